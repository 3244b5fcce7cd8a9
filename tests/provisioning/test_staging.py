"""What a SCIM client takes away beyond its limits: an alert, and where the directory holds, nobody loses anything."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.body import EventBody
from audit.sentences import describe
from directory import schema
from directory.changes import (
    AllowStaged,
    AttributeMatch,
    Change,
    EndOverride,
    GroupMatch,
    LiftBlock,
    NameMatch,
    PutDirectory,
    PutRole,
    PutRule,
    PutScope,
    RejectStaged,
    RemoveRule,
    RemoveScope,
    SetBlock,
    SetOverride,
    SetSettings,
    TransferOwner,
)
from directory.filters import parse_filter
from directory.ids import DirectoryId, GroupId, MemberId, OverrideId, RoleId, RuleId, ScopeId
from mappings.access import resolve_access
from provisioning.commands import Applied
from provisioning.errors import RefusalCode
from provisioning.foresight import Foresight, preview_changes
from provisioning.resources import ResourceQuery
from provisioning.state import Seat
from storage.engine import Database
from tests.builders import ADMIN, CREATOR, MEMBER, WORKER, MakeWorld, World, make_world, on_sqlite_only
from tests.provisioning.pushing import Idp

PEOPLE = tuple(f"p{number:02}" for number in range(30))
GUEST = RoleId("guest")
HELD = f"{schema.MEMBER}:held eq true"
TEN, ELEVEN = PEOPLE[:10], PEOPLE[:11]


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    return new_world(plan="Enterprise", seat_limit=2_000)


@pytest.fixture
def alerting(world: World) -> Idp:
    """Thirty people in one group, pushed by a client whose directory does not hold."""
    idp = Idp(world)
    idp.staff(PEOPLE)
    return idp


@pytest.fixture
def holding(world: World) -> Idp:
    """The same, and the directory holds."""
    idp = Idp(world, hold=True)
    idp.staff(PEOPLE)
    return idp


def off(idp: Idp, *names: str) -> Applied:
    return idp.push(*map(idp.off, names))


def said(body: EventBody) -> dict[str, tuple[object, object]]:
    return {change["path"]: (change["before"], change["after"]) for change in body["changes"]}


def hold(world: World, idp: Idp, *names: str) -> None:
    """Deactivate ten people, and then these, who are staged."""
    off(idp, *[name for name in PEOPLE if name not in names][:10])
    off(idp, *names)
    assert idp.staged() == set(names)
    world.events()


def override(world: World, member_id: MemberId, *grants: tuple[RoleId, ScopeId]) -> OverrideId:
    override_id = OverrideId(world.new_id())
    world.do(SetOverride(override_id, member_id, grants, "cover", world.clock() + timedelta(hours=24)))
    return override_id


# The alert


def test_what_crosses_a_limit_applies_and_raises_an_alert(world: World, alerting: Idp) -> None:
    off(alerting, *ELEVEN)

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        *["user.deactivated"] * 11,
        "guard.threshold_crossed",
        *["member.deactivated", "role.revoked", "seat.released"] * 11,
    ]
    alert = bodies[11]
    assert alert["targets"] == [{"type": "directory", "id": alerting.directory_id, "role": "subject"}]
    assert said(alert) == {
        "limits": (None, ["removed_users"]),
        "users_lost": (None, 11),
        "active_users": (30, None),
        "memberships_lost": (None, 0),
        "memberships": (30, None),
        "groups": (None, []),
        "hold": (None, False),
    }
    assert world.chain(alert) == ["guard.threshold_crossed", "user.deactivated"]
    assert "went beyond the limits of the guard" in describe(alert)
    assert alerting.staged() == set()
    world.check()


def test_removals_one_by_one_add_up_and_the_alert_is_raised_once(world: World, alerting: Idp) -> None:
    for name in PEOPLE[:13]:
        off(alerting, name)
        world.clock.move(minutes=1)

    assert world.events().count("guard.threshold_crossed") == 1
    window = alerting.window()
    assert (window.users_lost, window.active_users, window.memberships) == (13, 30, 30)


def test_a_new_window_begins_an_hour_after_the_first_removal(world: World, alerting: Idp) -> None:
    off(alerting, *ELEVEN[:9])
    world.clock.move(minutes=60)

    off(alerting, *ELEVEN[9:])

    assert "guard.threshold_crossed" not in world.events()
    window = alerting.window()
    assert (window.users_lost, window.active_users, window.started_at) == (2, 21, world.clock())
    world.clock.move(hours=2)
    off(alerting, *PEOPLE[11:22])
    assert world.events().count("guard.threshold_crossed") == 1


def test_who_comes_in_the_request_that_begins_a_window_was_not_stored_before_it(
    world: World, alerting: Idp
) -> None:
    off(alerting, PEOPLE[0])
    world.clock.move(hours=1)

    alerting.push(
        alerting.user("new"),
        alerting.join("staff", ["new"]),
        alerting.user(PEOPLE[0]),
        alerting.off(PEOPLE[1]),
        alerting.leave("staff", PEOPLE[1:3]),
    )

    window = alerting.window()
    assert (window.active_users, window.memberships) == (29, 30)
    assert (window.users_lost, window.memberships_lost) == (1, 2)


def test_a_request_that_takes_nothing_away_begins_no_window(world: World, alerting: Idp) -> None:
    alerting.push(alerting.user("new"), alerting.join("staff", ["new"]), alerting.group("empty"))
    alerting.push(alerting.end_group("empty"), alerting.user("off", active=False))
    alerting.push(alerting.user(PEOPLE[0]), alerting.leave("staff", ["off"]), alerting.delete("off"))

    with world.read() as reader:
        assert reader.push_window(alerting.directory_id) is None


def test_pulled_directories_have_no_window(world: World) -> None:
    hq = world.team(*PEOPLE[:3])
    idp = Idp(world, name="other")

    world.push(hq, idp.leave("team", ()), *[])

    with world.read() as reader:
        assert reader.push_window(hq) is None


def test_memberships_and_big_groups_have_limits_of_their_own(world: World) -> None:
    idp = Idp(world, guard_group_size=10, guard_group_loss_percent=20)
    idp.staff(PEOPLE)
    idp.staff(PEOPLE[:10], "small")
    world.events()

    idp.push(idp.leave("small", PEOPLE[:6]))
    assert "guard.threshold_crossed" not in world.events()
    idp.push(idp.leave("staff", PEOPLE[:7]))

    alert = next(body for body in world.new_bodies() if body["action"] == "guard.threshold_crossed")
    assert said(alert)["limits"] == (None, ["group_loss_percent", "removed_memberships_percent"])
    assert said(alert)["groups"] == (None, [idp.id("staff")])
    assert idp.window().groups == {GroupId(idp.id("staff")): (30, 7)}


def test_the_size_of_a_group_is_that_before_its_first_loss(world: World) -> None:
    idp = Idp(world, guard_group_size=10)
    idp.staff(PEOPLE[:20])
    idp.push(*map(idp.user, PEOPLE[20:]))

    idp.push(idp.leave("staff", PEOPLE[:2]), idp.join("staff", PEOPLE[20:25]))
    idp.push(idp.join("staff", PEOPLE[25:]))
    idp.push(idp.leave("staff", PEOPLE[2:4]))

    assert idp.window().groups == {GroupId(idp.id("staff")): (20, 4)}


def test_a_deleted_group_loses_all_its_members(world: World, alerting: Idp) -> None:
    alerting.push(alerting.end_group("staff"))

    assert alerting.window().memberships_lost == 30
    assert "guard.threshold_crossed" in world.events()
    assert alerting.roles(*PEOPLE) == [[]] * 30


def test_with_a_deleted_user_the_memberships_are_not_counted_as_well(world: World, alerting: Idp) -> None:
    alerting.push(*map(alerting.delete, TEN))

    window = alerting.window()
    assert (window.users_lost, window.memberships_lost) == (10, 0)
    assert "guard.threshold_crossed" not in world.events()


def test_what_is_said_twice_counts_once(world: World, alerting: Idp) -> None:
    off(alerting, *TEN)
    off(alerting, *TEN)
    alerting.push(alerting.delete(TEN[0]))

    assert alerting.window().users_lost == 10


# Held back


def test_beyond_the_limit_the_word_is_stored_and_its_effect_waits(world: World, holding: Idp) -> None:
    off(holding, *TEN)
    world.events()
    before = holding.version(PEOPLE[10])

    off(holding, *PEOPLE[10:12])

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        *["user.deactivated"] * 2,
        "guard.threshold_crossed",
        *["member.change_staged"] * 2,
    ]
    staged = bodies[-1]
    assert world.chain(staged) == ["member.change_staged", "user.deactivated"]
    assert staged["reason"] == {"code": "guard"}
    assert said(staged) == {"directory_id": (None, holding.directory_id)}
    record = holding.record(PEOPLE[10])
    assert (record.is_active, record.seat, record.is_held) == (True, Seat.SEATED, False)
    assert not world.user(holding.directory_id, holding.id(PEOPLE[10])).active
    assert holding.version(PEOPLE[10]) == before + 1
    assert holding.staged() == set(PEOPLE[10:12])
    assert holding.roles(*PEOPLE[:12]) == [*[[]] * 10, ["Member"], ["Member"]]
    assert [change.staged_at for change in holding.changes()] == [world.clock()] * 2
    world.check()


def test_the_whole_request_that_crosses_is_held(world: World, holding: Idp) -> None:
    off(holding, *ELEVEN)

    assert holding.staged() == set(ELEVEN)
    assert "role.revoked" not in world.events()


def test_what_is_staged_is_said_once(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    state = world.state

    assert off(holding, "p20").events == ()
    holding.push(holding.leave("staff", ["p20"]))

    assert world.events() == ["group.member_removed"]
    assert world.state.seated == state.seated
    assert holding.roles("p20") == [["Member"]]
    world.check()


def test_a_person_is_deactivated_while_memberships_of_others_are_held(world: World, holding: Idp) -> None:
    holding.push(holding.leave("staff", PEOPLE[:7]))
    assert holding.staged() == set(PEOPLE[:7])

    off(holding, "p20")
    holding.push(holding.delete("p21"))

    assert holding.staged() == set(PEOPLE[:7])
    assert (holding.record("p20").is_active, holding.record("p21").is_deleted) == (False, True)
    holding.push(holding.leave("staff", ["p22"]))
    assert holding.staged() == {*PEOPLE[:7], "p22"}
    world.check()


def test_of_two_groups_only_the_one_beyond_its_limit_is_held(world: World) -> None:
    idp = Idp(world, hold=True, guard_group_size=5, guard_removed_memberships_percent=100)
    idp.staff(PEOPLE[:10], "red")
    idp.staff(PEOPLE[10:20], "blue")

    idp.push(idp.leave("red", PEOPLE[:6]), idp.leave("blue", PEOPLE[10:12]))

    assert idp.staged() == set(PEOPLE[:6])
    assert idp.roles("p10", "p00") == [[], ["Member"]]


def test_the_deleted_are_members_until_it_is_allowed(world: World, holding: Idp) -> None:
    holding.push(*map(holding.delete, ELEVEN))
    world.events()
    record = holding.record("p00")
    assert (record.is_deleted, record.is_active, record.has_users) == (False, True, False)
    world.check()

    world.do(AllowStaged(holding.directory_id, holding.members(["p00"])))

    assert world.events() == ["member.staged_allowed", "member.deleted", "role.revoked", "seat.released"]
    assert holding.record("p00").is_deleted
    world.check()


def test_what_is_added_is_never_held(world: World, holding: Idp) -> None:
    unit = world.put_scope("Unit 1", "unit")
    holding.staff(["p00"], "workers", WORKER, unit)
    hold(world, holding, "p20", "p21")

    holding.push(holding.user("new"), holding.join("staff", ["new"]), holding.user("p00"))
    holding.push(holding.user("p20"), holding.leave("staff", ["p20"]), holding.join("workers", ["p20"]))

    assert holding.roles("new", "p20") == [["Member"], ["Member", "Operator"]]
    assert holding.record("p00").is_active
    assert holding.staged() == {"p20", "p21"}
    world.check()


def test_who_loses_nothing_is_not_staged(world: World, holding: Idp) -> None:
    holding.staff(PEOPLE[:3], "others")
    holding.push(holding.group("unmapped"), holding.join("unmapped", PEOPLE[:4]))
    world.events()

    holding.push(holding.leave("staff", PEOPLE[:7]), holding.leave("unmapped", PEOPLE[:4]))

    assert holding.staged() == set(PEOPLE[3:7])
    off(holding, *PEOPLE[8:19])
    off(holding, *PEOPLE[3:7])
    assert world.events().count("member.change_staged") == 4 + 11


def test_a_member_of_a_deleted_group_is_held_and_who_loses_nothing_is_not(world: World, holding: Idp) -> None:
    holding.staff(PEOPLE[:3], "others")

    holding.push(holding.end_group("staff"))

    bodies = world.new_bodies()
    actions = [body["action"] for body in bodies]
    assert actions == [
        "group.deleted",
        "mapping.dangling",
        "guard.threshold_crossed",
        *["member.change_staged"] * 27,
    ]
    assert world.chain(bodies[-1]) == ["member.change_staged", "group.deleted"]
    assert holding.staged() == set(PEOPLE[3:])
    assert holding.roles(*PEOPLE) == [["Member"]] * 30
    world.check()


@on_sqlite_only
def test_a_deleted_group_is_held_in_batches(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=2_000)
    idp = Idp(world, hold=True)
    names = [f"n{number:04}" for number in range(1_003)]
    idp.staff(names)

    idp.push(idp.end_group("staff"))
    assert len(idp.staged()) == 1_003
    assert all(change.event_id for change in idp.changes())
    assert world.events().count("member.change_staged") == 1_003
    world.check()

    shown = preview_changes(world.command(AllowStaged(idp.directory_id)), **world.tools)
    assert isinstance(shown, Foresight)
    assert len(shown.preview.losing_everything) == 1_003
    world.do(AllowStaged(idp.directory_id))
    assert idp.staged() == set()
    assert world.state.seated == 1
    world.check()


def test_a_deleted_group_within_the_limits_has_its_effect(world: World, holding: Idp) -> None:
    holding.staff(PEOPLE[:2], "few", WORKER)
    off(holding, *ELEVEN[2:], *PEOPLE[11:13])

    holding.push(holding.end_group("few"))

    assert holding.roles("p00", "p01") == [["Member"], ["Member"]]


def test_what_was_applied_before_the_limit_was_crossed_stays_applied(world: World, holding: Idp) -> None:
    holding.push(holding.leave("staff", PEOPLE[:6]))
    assert holding.roles("p00") == [[]]

    holding.push(holding.leave("staff", PEOPLE[6:8]))

    assert holding.staged() == {"p06", "p07"}
    assert holding.roles("p00") == [[]]


def test_who_holds_nothing_is_not_held_back(world: World, holding: Idp) -> None:
    holding.push(holding.user("guest"))
    off(holding, *ELEVEN)
    world.events()

    off(holding, "guest")

    assert world.events() == ["user.deactivated", "member.deactivated"]
    assert not holding.record("guest").is_active


def test_who_is_staged_stays_so_in_a_new_window(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    world.clock.move(hours=5)

    holding.push(holding.delete("p20"))
    off(holding, "p25")

    assert (holding.staged(), holding.roles("p20", "p25")) == ({"p20"}, [["Member"], []])
    world.check()


def test_when_the_directory_takes_its_word_back_nothing_is_held_any_more(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    before = holding.version("p20")

    holding.push(holding.user("p20"))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["user.reactivated", "member.staged_ended"]
    assert world.chain(bodies[-1]) == ["member.staged_ended", "user.reactivated"]
    assert (holding.staged(), holding.roles("p20")) == (set(), [["Member"]])
    assert holding.version("p20") == before + 1
    assert "nothing to take" in describe(bodies[-1])
    world.clock.move(hours=1)
    off(holding, "p20")
    assert holding.roles("p20") == [[]]
    world.check()


def test_a_held_person_keeps_the_seat_and_nobody_waiting_gets_it(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=31, policy="waitlist")
    idp = Idp(world, hold=True)
    idp.staff(PEOPLE)
    idp.push(idp.user("late"), idp.join("staff", ["late"]))
    off(idp, *ELEVEN)
    assert idp.record("late").seat is Seat.WAITING
    world.events()

    world.do(AllowStaged(idp.directory_id, idp.members(["p03"])))

    assert world.events() == [
        *["member.staged_allowed", "member.deactivated", "role.revoked", "seat.released"],
        *["role.granted", "seat.assigned"],
    ]
    assert idp.record("late").seat is Seat.SEATED
    world.check()


def shown_as_held(idp: Idp, name: str) -> bool:
    """What the client sees of one person, which must be what it can filter by."""
    query = ResourceQuery(parse_filter(HELD))
    with idp.world.read() as reader:
        resources = reader.resources(idp.directory_id)
        resource = resources.user(idp.id(name))
        found = {str(row.user_id) for row in resources.users(query).rows}
    assert resource is not None
    assert resource.is_held == (idp.id(name) in found)
    return resource.is_held


def test_the_client_sees_who_is_held_and_not_who_is_rejected(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    assert (shown_as_held(holding, "p20"), shown_as_held(holding, "p00")) == (True, False)
    version = holding.version("p20")

    world.do(RejectStaged(holding.directory_id))

    assert not shown_as_held(holding, "p20")
    assert holding.version("p20") == version + 1


# Allowed and rejected


def test_what_is_allowed_has_its_effect_in_the_same_transaction(world: World, holding: Idp) -> None:
    hold(world, holding, "p20", "p21", "p22")

    world.do(AllowStaged(holding.directory_id, holding.members(["p20"])))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        *["member.staged_allowed", "member.deactivated", "role.revoked", "seat.released"]
    ]
    assert world.chain(bodies[2]) == [
        *["role.revoked", "member.staged_allowed", "member.change_staged", "user.deactivated"]
    ]
    assert bodies[2]["cause"]["kind"] == "guard"
    assert world.outbox()[-1] == (
        "session.end",
        {"access_version": world.state.access_version, "members": [holding.member("p20")]},
    )
    assert holding.staged() == {"p21", "p22"}

    world.do(AllowStaged(holding.directory_id))
    assert (holding.staged(), holding.roles("p21", "p22")) == (set(), [[], []])
    world.events()
    world.do(AllowStaged(holding.directory_id))
    world.do(RejectStaged(holding.directory_id, (world.owner,)))
    assert world.events() == []
    world.check()


def test_what_would_be_allowed_can_be_previewed(world: World, holding: Idp) -> None:
    hold(world, holding, "p20", "p21")

    shown = preview_changes(world.command(AllowStaged(holding.directory_id)), **world.tools)

    assert isinstance(shown, Foresight)
    assert set(shown.preview.losing_everything) == set(holding.members(["p20", "p21"]))
    assert (shown.seats_before, shown.seats_after) == (21, 19)
    assert holding.staged() == {"p20", "p21"}


def test_what_is_rejected_stays_until_the_directory_says_something_new(world: World, holding: Idp) -> None:
    unit = world.put_scope("Unit 1", "unit")
    holding.staff(["p20", "p21", "p22"], "workers", WORKER, unit)
    holding.push(holding.leave("staff", ["p20", "p21", "p22", *PEOPLE[:5]]))
    world.clock.move(hours=1)
    world.events()

    world.do(RejectStaged(holding.directory_id, holding.members(["p20", "p21"])))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["member.staged_rejected"] * 2
    assert world.chain(bodies[0]) == [
        *["member.staged_rejected", "member.change_staged", "group.member_removed"]
    ]
    assert (holding.staged(), holding.staged(rejected=True)) == ({"p22", *PEOPLE[:5]}, {"p20", "p21"})
    holding.push(holding.user("p20", attributes={"title": "Cook"}), holding.join("workers", ["p00"]))
    assert holding.roles("p20") == [["Member", "Operator"]]
    world.do(RejectStaged(holding.directory_id, holding.members(["p20"])))
    assert world.events() == ["user.updated", "group.member_added", "role.granted"]

    holding.push(holding.leave("workers", ["p20"]))

    assert world.events() == ["group.member_removed", "role.revoked", "role.revoked", "seat.released"]
    assert holding.staged(rejected=True) == {"p21"}
    assert holding.roles("p21") == [["Member", "Operator"]]
    world.check()


def test_what_is_new_and_beyond_the_limits_is_staged_anew(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    world.do(RejectStaged(holding.directory_id))
    holding.push(holding.user("p21"), holding.leave("staff", PEOPLE[21:28]))
    world.events()

    holding.push(holding.leave("staff", ["p20"]))

    assert world.events() == ["group.member_removed", "member.change_staged"]
    assert "p20" in holding.staged()
    holding.push(holding.user("p20"), holding.join("staff", ["p20"]))
    assert holding.staged(rejected=True) == set()
    assert world.events() == ["user.reactivated", "group.member_added", "member.staged_ended"]


def test_a_rejected_person_from_whom_more_is_taken_is_staged_again(world: World, holding: Idp) -> None:
    holding.push(holding.leave("staff", PEOPLE[:7]))
    world.do(RejectStaged(holding.directory_id, holding.members(["p00"])))
    world.events()

    off(holding, *ELEVEN)

    actions = world.events()
    assert actions.count("member.change_staged") == 5
    assert holding.staged() == set(ELEVEN)
    assert holding.roles("p00") == [["Member"]]


def test_what_was_rejected_can_be_allowed_by_name_only(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    world.do(RejectStaged(holding.directory_id))

    world.do(AllowStaged(holding.directory_id))
    assert holding.roles("p20") == [["Member"]]
    world.do(AllowStaged(holding.directory_id, holding.members(["p20"])))

    assert holding.roles("p20") == [[]]


@pytest.mark.parametrize("decide", [AllowStaged, RejectStaged])
def test_an_unknown_directory_is_refused(
    world: World, holding: Idp, decide: Callable[[DirectoryId], Change]
) -> None:
    assert world.refuse(decide(DirectoryId(world.new_id()))).code is RefusalCode.NOT_FOUND


def test_what_another_directory_holds_is_not_meant(world: World, holding: Idp) -> None:
    other = Idp(world, name="other")
    hold(world, holding, "p20")

    world.do(AllowStaged(other.directory_id), RejectStaged(other.directory_id, holding.members(["p20"])))

    assert holding.staged() == {"p20"}
    assert world.events() == []


# What administrators take away is gone


def test_a_block_beats_what_is_held(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    p20 = holding.member("p20")

    world.do(SetBlock(p20, "stolen laptop"))

    assert world.events() == [
        *["block.set", "member.staged_ended", "member.deactivated", "role.revoked", "seat.released"]
    ]
    world.do(LiftBlock(p20))
    assert (holding.staged(), holding.roles("p20")) == (set(), [[]])
    world.check()


def test_an_override_stands_in_place_of_what_is_held(world: World, holding: Idp) -> None:
    hold(world, holding, "p20")
    unit = world.put_scope("Unit 1", "unit")
    p20 = holding.member("p20")

    override_id = override(world, p20, (WORKER, unit))

    assert world.held(p20) == {(WORKER, unit)}
    assert holding.staged() == {"p20"}
    world.do(EndOverride(override_id))
    assert (world.held(p20), holding.staged()) == (set(), set())
    world.check()


def test_a_person_with_an_override_who_is_deactivated_keeps_it_while_it_is_held(
    world: World, holding: Idp
) -> None:
    unit = world.put_scope("Unit 1", "unit")
    override(world, holding.member("p20"), (WORKER, unit))

    hold(world, holding, "p20")

    assert holding.roles("p20") == [["Operator"]]
    world.clock.move(hours=24)
    holding.push(holding.leave("staff", ["p20"]))
    assert holding.roles("p20") == [[]]


def change_rule(idp: Idp, rule_id: RuleId, *, role: RoleId = MEMBER, scope: ScopeId | None = None) -> Change:
    group = GroupMatch(GroupId(idp.id("staff")))
    return PutRule(rule_id, group, role, scope or idp.world.root)


@pytest.mark.parametrize(
    ("change", "keeps"),
    [
        (lambda idp, rule_id, unit: RemoveRule(rule_id), False),
        (lambda idp, rule_id, unit: change_rule(idp, rule_id, role=ADMIN), False),
        (lambda idp, rule_id, unit: change_rule(idp, rule_id, scope=unit), False),
        (lambda idp, rule_id, unit: PutScope(unit, "location", "South", "s", (idp.world.root,)), True),
        (lambda idp, rule_id, unit: SetSettings({"resolution": "priority"}), True),
    ],
    ids=["rule removed", "another role", "another scope", "scope renamed", "resolution"],
)
def test_a_held_grant_goes_with_the_rule_that_gave_it(
    world: World, change: Callable[[Idp, RuleId, ScopeId], Change], keeps: bool
) -> None:
    unit = world.put_scope("North", "location")
    idp = Idp(world, hold=True)
    rule_id = idp.staff(PEOPLE)
    hold(world, idp, "p20")

    world.do(change(idp, rule_id, unit))

    assert idp.roles("p20") == [["Member"] if keeps else []]
    assert idp.staged() == ({"p20"} if keeps else set())
    world.check()


def test_a_held_grant_goes_with_its_scope(world: World) -> None:
    unit = world.put_scope("Unit 1", "unit")
    idp = Idp(world, hold=True)
    idp.staff(PEOPLE, role=WORKER, scope=unit)
    hold(world, idp, "p20", "p21")
    idp.push(idp.user("p21"))

    world.do(RemoveScope(unit))

    assert idp.roles("p20", "p21") == [[], []]
    assert idp.staged() == set()


def test_a_held_grant_goes_where_its_role_is_given_no_more(world: World) -> None:
    unit = world.put_scope("Unit 1", "unit")
    world.do(PutRole(GUEST, "Guest", ("tasks.view",), ("unit",), 1))
    idp = Idp(world, hold=True)
    idp.staff(PEOPLE, role=GUEST, scope=unit)
    hold(world, idp, "p20")
    assert idp.roles("p20") == [["guest"]]

    world.do(PutRole(GUEST, "Guest", ("tasks.view",), ("location",), 1))

    assert idp.roles("p20", "p25") == [[], []]
    assert idp.staged() == set()


def test_a_default_role_is_held_while_it_is_one(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, with_owner=False)
    idp = Idp(world, hold=True)
    idp.staff(["admin"], "admins", ADMIN)
    world.do(PutDirectory(idp.directory_id, "scim", "idp", idp.settings, MEMBER))
    idp.push(*map(idp.user, PEOPLE))
    hold(world, idp, "p20", "p21")

    idp.push(idp.user("p21"))
    assert (idp.roles("p20"), idp.staged()) == ([["Member"]], {"p20"})
    world.do(PutDirectory(idp.directory_id, "scim", "idp", idp.settings, None))

    assert idp.roles("p20", "p21") == [[], []]
    assert idp.staged() == set()
    world.check()


def test_a_grant_by_a_groups_name_is_held(world: World) -> None:
    unit = world.put_scope("Unit 1", "unit")
    world.put_scope("North", "location")
    idp = Idp(world, hold=True)
    rule_id = world.put_rule(NameMatch(idp.directory_id, "{unit}-crew"), WORKER)
    idp.push(idp.group("unit 1-crew"), *map(idp.user, PEOPLE), idp.join("unit 1-crew", PEOPLE))
    hold(world, idp, "p20")
    assert world.held(idp.member("p20")) == {(WORKER, unit)}

    world.do(PutRule(rule_id, NameMatch(idp.directory_id, "{location}-crew"), WORKER, None))

    assert idp.roles("p20") == [[]]


def test_a_grant_by_an_attribute_is_held(world: World) -> None:
    idp = Idp(world, hold=True)
    world.put_rule(AttributeMatch(idp.directory_id, 'title eq "Cook"'))
    idp.push(*(idp.user(name, attributes={"title": "Cook"}) for name in PEOPLE))

    hold(world, idp, "p20")

    assert idp.roles("p20", "p25") == [["Member"], ["Member"]]


def test_under_priority_another_role_comes_when_the_held_one_has_gone(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, with_owner=False)
    idp = Idp(world, hold=True)
    idp.staff(["admin"], "admins", ADMIN)
    idp.staff([], "creators", CREATOR)
    idp.staff(PEOPLE)
    idp.push(idp.leave("staff", PEOPLE[:7]), idp.join("creators", PEOPLE[:2]))
    assert idp.staged() == set(PEOPLE[:7])
    assert idp.roles("p00", "p01") == [["Member"], ["Member"]]

    world.do(AllowStaged(idp.directory_id, idp.members(["p00"])))

    assert idp.roles("p00", "p01") == [["Creator"], ["Member"]]
    world.check()


# The owner and the last Admin


def test_the_owner_and_the_last_admin_keep_their_own_rules(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, with_owner=False)
    idp = Idp(world, hold=True)
    idp.staff(["admin"], "admins", ADMIN)
    idp.staff(PEOPLE)
    off(idp, *TEN)
    off(idp, "admin")
    assert idp.staged() == {"admin"}
    assert not idp.record("admin").is_held

    world.do(AllowStaged(idp.directory_id))

    assert idp.staged() == set()
    assert (idp.record("admin").is_held, idp.roles("admin")) == (True, [["Admin"]])
    world.check()


def test_the_owner_is_never_without_the_owners_grant(world: World) -> None:
    idp = Idp(world, hold=True)
    idp.staff(PEOPLE)
    owner = idp.member("p20")
    world.do(TransferOwner(owner))
    idp.push(idp.leave("staff", TEN))
    idp.push(idp.leave("staff", ["p20"]))

    assert world.roles(owner) == ["Admin", "Member"]
    world.do(AllowStaged(idp.directory_id))

    assert (world.roles(owner), world.record(owner).is_active) == (["Admin"], True)
    world.check()


# Properties

Statement = Callable[[Idp], Change]
FEW = PEOPLE[:8]
few = st.sampled_from(FEW)
some = st.lists(few, min_size=1, max_size=4, unique=True)
groups = st.sampled_from(["red", "blue"])
statements: st.SearchStrategy[Statement] = st.one_of(
    st.builds(lambda name, active: lambda idp: idp.user(name, active=active), few, st.booleans()),
    st.builds(lambda name: lambda idp: idp.off(name), few),
    st.builds(lambda group, names: lambda idp: idp.join(group, names), groups, some),
    st.builds(lambda group, names: lambda idp: idp.leave(group, names), groups, some),
    st.builds(lambda group: lambda idp: idp.group(group, "renamed"), groups),
)
endings: st.SearchStrategy[Statement] = st.one_of(
    st.builds(lambda name: lambda idp: idp.delete(name), few),
    st.builds(lambda group: lambda idp: idp.end_group(group), groups),
)


@on_sqlite_only
@given(
    said=st.lists(st.lists(statements, min_size=1, max_size=4), max_size=8),
    ending=st.lists(endings, max_size=4),
    minutes=st.integers(0, 40),
    limit=st.integers(0, 2),
    resolution=st.sampled_from(["union", "priority"]),
)
@settings(max_examples=40)
def test_nothing_that_a_directory_says_takes_from_a_held_person(
    database: Database,
    said: list[list[Statement]],
    ending: list[Statement],
    minutes: int,
    limit: int,
    resolution: str,
) -> None:
    world = make_world(database, plan="Enterprise", seat_limit=20, policy="waitlist")
    world.do(SetSettings({"resolution": resolution}))
    idp = Idp(world, hold=True, guard_removed_users=limit, guard_removed_users_percent=0)
    idp.staff(FEW, "red")
    idp.staff(FEW[:4], "blue", WORKER)

    for request in [*said, *([one] for one in ending)]:
        before = {change.member_id: world.held(change.member_id) for change in idp.changes()}
        world.clock.move(minutes=minutes)
        world.request(idp.directory_id, *(say(idp) for say in request))

        for member_id, held in before.items():
            assert world.held(member_id) >= held
            assert world.record(member_id).is_active
        for change in idp.changes():
            assert world.held(change.member_id)
        world.check()

    world.do(AllowStaged(idp.directory_id))
    for member_id in world.members():
        assert world.held(member_id) == desired(world, member_id)


def desired(world: World, member_id: MemberId) -> set[tuple[RoleId, ScopeId]]:
    """What the facts say, in an organisation with seats for everybody."""
    with world.read() as reader:
        state = reader.organisation()
        record = reader.member_records([member_id])[member_id]
        access = resolve_access(world.models.get(reader, state).access, record.facts, now=world.clock())
    return {grant.pair for grant in access.grants}
