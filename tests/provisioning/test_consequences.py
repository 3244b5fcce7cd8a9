"""What becomes of people: owner, last Admin, overrides, blocks, pairs of role and scope, and why."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from directory.changes import (
    AddDomain,
    Change,
    DeactivateUser,
    DeleteUser,
    EndOverride,
    EnrolOwner,
    LiftBlock,
    PutScope,
    RemoveMember,
    RemoveMembers,
    RemoveRule,
    RemoveScope,
    SetBlock,
    SetOverride,
    SetPlan,
    SetSettings,
    TransferOwner,
)
from directory.ids import DirectoryId, MemberId, OverrideId, RoleId, RuleId, ScopeId
from mappings.rules import Source
from provisioning.state import Seat
from tests.builders import (
    ADMIN,
    CREATOR,
    MEMBER,
    MONDAY,
    WORKER,
    MakeWorld,
    World,
    add_members,
    external,
    put_group,
    put_user,
)

NO_ID = OverrideId("01990000-0000-7000-8000-000000000000")


@pytest.fixture
def ownerless(new_world: MakeWorld) -> World:
    """A Minikai organisation: no owner, no plan."""
    return new_world(catalogue="minikai", plan=None, with_owner=False)


def override(world: World, member_id: MemberId, *grants: tuple[RoleId, ScopeId]) -> OverrideId:
    """An override for a day."""
    override_id = OverrideId(world.new_id())
    ends_at = world.clock() + timedelta(hours=24)
    world.do(SetOverride(override_id, member_id, grants, "holiday cover", ends_at))
    return override_id


def leave_group(group: str, *names: str) -> RemoveMembers:
    return RemoveMembers(external(group), tuple(map(external, names)))


# Pairs


def test_two_roles_at_two_places_are_two_pairs_and_never_the_highest_everywhere(world: World) -> None:
    hq = world.put_directory()
    north, south = world.put_scope("North"), world.put_scope("South")
    world.grow(hq, "managers", "ann", role=ADMIN, scope=north)
    world.grow(hq, "cleaners", role=WORKER, scope=south)

    world.push(hq, add_members("cleaners", "ann"))

    assert world.held(world.member_of(hq, "ann")) == {(ADMIN, north), (WORKER, south)}


def test_under_priority_the_first_rule_decides_the_role(ownerless: World) -> None:
    hq = ownerless.put_directory()
    ownerless.grow(hq, "creators", "ann", role=CREATOR, priority=50)
    ownerless.grow(hq, "admins", "zoe", role=ADMIN, priority=60)

    ownerless.push(hq, add_members("admins", "ann"))

    assert ownerless.roles(ownerless.member_of(hq, "ann")) == ["Creator"]


def test_the_resolution_can_be_switched_and_reaches_everybody(world: World) -> None:
    hq = world.put_directory()
    world.grow(hq, "managers", "ann", role=ADMIN, priority=50)
    world.grow(hq, "hosts", role=MEMBER, priority=60)
    world.push(hq, add_members("hosts", "ann"))
    ann = world.member_of(hq, "ann")
    world.events()

    world.do(SetSettings({"resolution": "priority"}))
    assert world.roles(ann) == ["Admin"]
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["settings.updated", "role.revoked"]
    assert world.chain(bodies[1]) == ["role.revoked", "settings.updated"]
    world.do(SetSettings({"resolution": "union"}))

    assert world.roles(ann) == ["Admin", "Member"]
    world.check()


def test_a_grant_that_rests_on_another_rule_now_is_the_same_access(world: World) -> None:
    hq = world.put_directory()
    first = world.grow(hq, "hosts", "ann", priority=50)
    second = world.grow(hq, "others", priority=60)
    world.push(hq, add_members("others", "ann"))
    ann = world.member_of(hq, "ann")
    world.events()

    world.do(RemoveRule(first))

    assert world.events() == ["mapping.deleted"]
    (held,) = world.record(ann).held
    assert held.grant.provenance.rule_id == second
    world.check()


def test_nobody_matched_gets_the_default_role_of_the_directory(ownerless: World) -> None:
    hq = ownerless.put_directory(default_role=MEMBER)

    ownerless.push(hq, put_user("ann"))

    (held,) = ownerless.record(ownerless.member_of(hq, "ann")).held
    assert (held.grant.role, held.grant.provenance.source) == (MEMBER, Source.DEFAULT)


# Scopes that go and come


def test_a_removed_scope_grants_nothing_and_nothing_wider_until_it_is_put_again(world: World) -> None:
    hq = world.put_directory()
    unit = world.put_scope("Unit 1", "unit")
    rule_id = world.grow(hq, "cleaners", "ann", role=WORKER, scope=unit)
    ann = world.member_of(hq, "ann")
    world.events()

    world.do(RemoveScope(unit))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        "scope.deleted",
        "mapping.dangling",
        "role.revoked",
        "seat.released",
    ]
    assert (bodies[1]["targets"][0]["id"], bodies[1]["reason"]["code"]) == (rule_id, "scope_unknown")
    assert world.chain(bodies[2]) == ["role.revoked", "scope.deleted"]
    assert world.held(ann) == set()
    world.do(PutScope(unit, "unit", "Unit 1", "u1", (world.root,)))
    assert world.held(ann) == {(WORKER, unit)}
    world.check()


def test_an_override_at_a_scope_follows_the_scope(world: World) -> None:
    hq = world.put_directory()
    unit = world.put_scope("Unit 1", "unit")
    world.push(hq, put_user("ann"))
    ann = world.member_of(hq, "ann")
    override(world, ann, (MEMBER, unit))
    world.events()

    world.do(RemoveScope(unit))
    assert world.held(ann) == set()
    world.do(PutScope(unit, "unit", "Unit 1", "u1", (world.root,)))
    assert world.held(ann) == {(MEMBER, unit)}

    assert world.events() == [
        *["scope.deleted", "role.revoked", "seat.released"],
        *["scope.created", "role.granted", "seat.assigned"],
    ]
    world.check()


def test_a_mini_of_two_groups_stays_below_the_other(ownerless: World) -> None:
    first, second = ownerless.put_scope("First", "group"), ownerless.put_scope("Second", "group")
    mini = ScopeId(ownerless.new_id())
    ownerless.do(PutScope(mini, "mini", "Mini", "m", (first, second)))
    ownerless.events()

    ownerless.do(RemoveScope(first))

    bodies = ownerless.new_bodies()
    assert [body["action"] for body in bodies] == ["scope.deleted", "scope.updated"]
    assert bodies[1]["changes"] == [{"path": "parents", "before": sorted([first, second]), "after": [second]}]
    assert bodies[1]["targets"][0]["id"] == mini


# The owner


def test_the_owner_is_admin_of_the_organisation_and_seated(world: World) -> None:
    record = world.record(world.owner)

    assert [(held.grant.pair, held.grant.provenance.source) for held in record.held] == [
        ((ADMIN, world.root), Source.OWNER)
    ]
    assert record.seat is Seat.SEATED
    assert [body["action"] for body in world.bodies()] == ["member.created", "role.granted", "seat.assigned"]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda owner: SetBlock(owner, "no"), "blocked"),
        (lambda owner: SetOverride(NO_ID, owner, (), "no", MONDAY + timedelta(1)), "overridden"),
        (RemoveMember, "removed"),
    ],
)
def test_the_owner_cannot_be_touched_by_an_administrator(
    world: World, make: Callable[[MemberId], Change], word: str
) -> None:
    change = make(world.owner)

    refused = world.refuse(change)

    assert (refused.code, refused.message) == (
        "owner_protected",
        f"the owner cannot be {word}; transfer the ownership first",
    )
    (body,) = world.new_bodies()
    assert (body["action"], body["outcome"], body["targets"][0]["id"]) == (
        "command.refused",
        "denied",
        world.owner,
    )
    assert body["changes"] == [{"path": "command", "before": None, "after": [type(change).__name__]}]


def test_a_transfer_makes_the_one_owner_and_leaves_the_other_what_directories_give(world: World) -> None:
    world.do(AddDomain("example.org"))
    hq = world.team("ann", "olga")
    ann = world.member_of(hq, "ann")
    world.events()

    world.do(TransferOwner(ann))

    assert (world.roles(ann), world.roles(world.owner)) == (["Admin", "Member"], ["Member"])
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["owner.transferred", "role.revoked", "role.granted"]
    assert {world.chain(body)[-1] for body in bodies} == {"owner.transferred"}
    assert bodies[0]["changes"] == [{"path": "owner", "before": world.owner, "after": ann}]
    world.check()


def test_a_former_owner_whom_no_directory_knows_is_no_member_any_more(world: World) -> None:
    hq = world.team("ann")

    world.do(TransferOwner(world.member_of(hq, "ann")))

    assert world.record(world.owner).is_deleted
    assert world.outbox()[-1][0] == "session.end"
    world.check()


def test_a_waiting_member_who_becomes_the_owner_is_seated_beyond_the_limit(new_world: MakeWorld) -> None:
    world = new_world(plan="Starter", policy="waitlist")
    world.do(AddDomain("example.org"))
    hq = world.team("ann", "olga")
    assert world.seats(hq, "ann", "olga") == ["waiting", "seated"]

    world.do(TransferOwner(world.member_of(hq, "ann")))

    assert world.seats(hq, "ann", "olga") == ["seated", "seated"]
    assert world.state.seated == 2
    world.check()


def test_an_inactive_member_who_becomes_the_owner_is_active(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    world.push(hq, DeactivateUser(external("ann")))

    world.do(TransferOwner(ann))

    assert (world.record(ann).is_active, world.roles(ann)) == (True, ["Admin"])


# The last Admin


def with_admin(world: World, *names: str) -> DirectoryId:
    hq = world.put_directory()
    world.grow(hq, "admins", *names, role=ADMIN)
    world.events()
    return hq


def test_the_change_that_would_leave_no_admin_is_held_and_applies_when_there_is_another(
    ownerless: World,
) -> None:
    hq = with_admin(ownerless, "ann")
    ann = ownerless.member_of(hq, "ann")

    ownerless.push(hq, DeleteUser(external("ann")))

    bodies = ownerless.new_bodies()
    assert [body["action"] for body in bodies] == [
        "user.deleted",
        "group.member_removed",
        "member.change_held",
    ]
    assert ownerless.chain(bodies[-1]) == ["member.change_held", "user.deleted"]
    assert bodies[-1]["reason"] == {"code": "last_admin"}
    record = ownerless.record(ann)
    assert (record.is_active, record.is_held, record.seat) == (True, True, Seat.SEATED)
    assert ownerless.roles(ann) == ["Admin"]
    ownerless.check()

    ownerless.push(hq, put_user("bob"), add_members("admins", "bob"))

    bodies = ownerless.new_bodies()
    assert [body["action"] for body in bodies] == [
        *["user.created", "member.created", "group.member_added", "role.granted", "seat.assigned"],
        *["member.deleted", "role.revoked", "seat.released", "member.change_released"],
    ]
    released = next(body for body in bodies if body["action"] == "role.revoked")
    assert ownerless.chain(released) == ["role.revoked", "role.granted", "group.member_added"]
    assert released["cause"]["kind"] == "last_admin"
    assert ownerless.held(ann) == set()
    ownerless.check()


def test_a_held_change_is_told_once(ownerless: World) -> None:
    hq = with_admin(ownerless, "ann")
    ownerless.push(hq, leave_group("admins", "ann"))
    ownerless.events()

    ownerless.push(hq, put_user("ann", display_name="Anna"))
    ownerless.push(hq, DeactivateUser(external("ann")))

    assert ownerless.events() == ["user.updated", "user.deactivated"]
    assert ownerless.roles(ownerless.member_of(hq, "ann")) == ["Admin"]


def test_a_held_admin_who_is_admin_again_is_released(ownerless: World) -> None:
    hq = with_admin(ownerless, "ann")
    ownerless.push(hq, leave_group("admins", "ann"))
    ownerless.events()

    ownerless.push(hq, add_members("admins", "ann"))

    assert ownerless.events() == ["group.member_added", "member.change_released"]
    assert not ownerless.record(ownerless.member_of(hq, "ann")).is_held
    ownerless.check()


def test_of_several_who_leave_at_once_one_is_kept(ownerless: World) -> None:
    hq = with_admin(ownerless, "ann", "bob", "cid")
    names = ("ann", "bob", "cid")

    ownerless.push(hq, leave_group("admins", *names))

    held = [ownerless.record(ownerless.member_of(hq, name)).is_held for name in names]
    assert held == [False, False, True]
    assert ownerless.roles(ownerless.member_of(hq, "bob")) == []
    ownerless.check()


def test_an_admin_may_leave_while_another_stays_or_comes(ownerless: World) -> None:
    hq = with_admin(ownerless, "ann", "bob")

    ownerless.push(hq, leave_group("admins", "ann"))
    assert ownerless.roles(ownerless.member_of(hq, "ann")) == []
    ownerless.push(hq, leave_group("admins", "bob"), put_user("cid"), add_members("admins", "cid"))

    assert ownerless.roles(ownerless.member_of(hq, "bob")) == []
    assert "member.change_held" not in ownerless.events()


def test_with_an_owner_nobody_else_is_the_last_admin(world: World) -> None:
    hq = with_admin(world, "ann")

    world.push(hq, leave_group("admins", "ann"))

    assert world.held(world.member_of(hq, "ann")) == set()


def test_an_owner_releases_a_held_admin(ownerless: World) -> None:
    hq = with_admin(ownerless, "ann")
    ownerless.push(hq, leave_group("admins", "ann"))

    ownerless.do(EnrolOwner(MemberId(ownerless.new_id()), "olga@example.org", "Olga"))

    assert ownerless.held(ownerless.member_of(hq, "ann")) == set()
    assert ownerless.events()[-1] == "member.change_released"


def test_an_administrators_own_change_of_the_last_admin_is_refused(ownerless: World) -> None:
    hq = with_admin(ownerless, "ann")
    ann = ownerless.member_of(hq, "ann")
    before = ownerless.snapshot()

    refused = ownerless.refuse(SetBlock(ann, "left the company"))

    assert (refused.code, refused.message) == (
        "last_admin",
        "this is the last Admin of the organisation and cannot be blocked; make another one first",
    )
    assert ownerless.snapshot() == before
    ends_at = ownerless.clock() + timedelta(1)
    refused = ownerless.refuse(SetOverride(OverrideId(ownerless.new_id()), ann, (), "no", ends_at))
    assert refused.code == "last_admin"
    override(ownerless, ann, (ADMIN, ownerless.root))


def test_the_last_admin_of_a_removed_rule_is_held_and_the_rest_applies(ownerless: World) -> None:
    hq = ownerless.put_directory()
    rule_id = ownerless.grow(hq, "admins", "ann", "bob", role=ADMIN)
    ownerless.events()

    ownerless.do(RemoveRule(rule_id))

    assert ownerless.events() == ["mapping.deleted", "member.change_held", "role.revoked", "seat.released"]
    ownerless.check()


def test_the_seat_of_a_held_admin_is_not_given_away(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, seat_limit=1, policy="waitlist", with_owner=False)
    hq = world.put_directory()
    world.grow(hq, "admins", "ann", role=ADMIN)
    world.grow(hq, "members", "bob")
    assert world.seats(hq, "ann", "bob") == ["seated", "waiting"]

    world.push(hq, DeactivateUser(external("ann")))

    assert world.seats(hq, "ann", "bob") == ["seated", "waiting"]
    world.check()


def test_an_admin_who_waits_takes_the_seat_of_the_last_one_who_leaves(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, seat_limit=1, policy="waitlist", with_owner=False)
    hq = world.put_directory()
    world.grow(hq, "admins", "ann", "bob", role=ADMIN)

    world.push(hq, DeactivateUser(external("ann")))

    assert world.seats(hq, "ann", "bob") == ["none", "seated"]
    assert "member.change_held" not in world.events()
    world.check()


def test_the_admin_who_releases_a_held_one_frees_the_seat_for_the_next(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, seat_limit=2, policy="waitlist", with_owner=False)
    hq = world.put_directory()
    world.grow(hq, "admins", "ann", role=ADMIN)
    world.grow(hq, "members", "bob", "cid")
    world.push(hq, DeactivateUser(external("ann")))

    world.push(hq, add_members("admins", "bob"))

    assert world.seats(hq, "ann", "bob", "cid") == ["none", "seated", "seated"]
    world.check()


# Overrides and blocks


def test_an_override_stands_in_place_of_the_directory_until_it_ends(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    unit = world.put_scope("Unit 1", "unit")
    world.events()

    override_id = override(world, ann, (WORKER, unit))

    assert world.held(ann) == {(WORKER, unit)}
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["override.set", "role.revoked", "role.granted"]
    assert {body["cause"]["kind"] for body in bodies[1:]} == {"override"}
    world.push(hq, leave_group("team", "ann"))
    world.push(hq, add_members("team", "ann"))
    assert world.held(ann) == {(WORKER, unit)}
    world.events()

    world.do(EndOverride(override_id))

    assert world.held(ann) == {(MEMBER, world.root)}
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["override.ended", "role.revoked", "role.granted"]
    assert bodies[0]["reason"] == {"code": "ended"}
    assert world.chain(bodies[2]) == ["role.granted", "override.ended", "override.set"]
    world.check()


def test_an_override_that_has_run_out_counts_no_more_even_before_it_is_ended(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    override_id = override(world, ann)
    assert world.held(ann) == set()

    world.clock.move(hours=24)
    with world.read() as reader:
        (due,) = reader.overrides_due(world.clock(), 10)
    assert due.override_id == override_id
    world.push(hq, put_user("ann", display_name="Anna"))
    assert world.roles(ann) == ["Member"]
    world.do(EndOverride(override_id, expired=True))

    assert [body["reason"] for body in world.bodies() if body["action"] == "override.ended"] == [
        {"code": "expired"}
    ]
    world.check()


def test_a_new_override_takes_the_place_of_the_standing_one(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    override(world, ann, (WORKER, world.root))
    world.events()

    override(world, ann, (ADMIN, world.root))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        "override.ended",
        "override.set",
        "role.revoked",
        "role.granted",
    ]
    assert bodies[0]["reason"] == {"code": "replaced"}
    assert world.chain(bodies[3]) == ["role.granted", "override.set"]
    assert world.roles(ann) == ["Admin"]
    world.check()


def test_an_override_of_somebody_who_is_gone_can_end(world: World) -> None:
    hq = world.team("ann")
    override_id = override(world, world.member_of(hq, "ann"), (ADMIN, world.root))
    world.push(hq, DeleteUser(external("ann")))
    world.events()

    world.do(EndOverride(override_id, expired=True))

    assert world.events() == ["override.ended"]
    world.check()


def test_an_override_counts_only_while_somebody_says_the_person_is_there(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    override(world, ann, (ADMIN, world.root))

    world.push(hq, DeactivateUser(external("ann")))

    assert world.held(ann) == set()


def test_a_block_beats_every_directory_until_it_is_lifted(world: World) -> None:
    first = world.team("ann")
    second = world.team("ann", directory_name="branch", role=ADMIN)
    ann = world.member_of(first, "ann")
    world.events()

    world.do(SetBlock(ann, "lost laptop"))

    assert (world.held(ann), world.record(ann).is_active, world.seat(ann)) == (set(), False, Seat.NONE)
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        *["block.set", "member.deactivated", "role.revoked", "role.revoked", "seat.released"]
    ]
    assert {body["cause"]["kind"] for body in bodies[1:]} == {"block"}
    assert world.outbox()[-1][0] == "session.end"
    for hq in (first, second):
        world.push(hq, put_user("ann", display_name="Anna"), add_members("team", "ann"))
        world.push(hq, put_user("ann", active=False))
        world.push(hq, put_user("ann"))
    assert world.held(ann) == set()
    world.events()

    world.do(LiftBlock(ann))

    assert world.roles(ann) == ["Admin", "Member"]
    assert world.events() == ["block.lifted", "member.reactivated", *["role.granted"] * 2, "seat.assigned"]
    world.check()


def test_a_block_beats_an_override(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    override(world, ann, (ADMIN, world.root))

    world.do(SetBlock(ann, "no"))

    assert world.held(ann) == set()


def test_a_block_survives_deletion_and_return(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    world.do(SetBlock(ann, "no"))
    world.push(hq, DeleteUser(external("ann")))

    world.push(hq, put_user("ann"), add_members("team", "ann"))

    assert (world.held(ann), world.record(ann).is_active) == (set(), False)
    world.check()


def test_a_blocked_member_frees_the_seat_and_returns_to_the_list(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard", policy="waitlist")
    hq = world.team("ann", "bob", "cid", "dora", "eve")
    ann = world.member_of(hq, "ann")

    world.do(SetBlock(ann, "no"))
    assert world.seats(hq, "ann", "eve") == ["none", "seated"]
    world.do(LiftBlock(ann))

    assert world.seats(hq, "ann", "eve") == ["waiting", "seated"]
    assert world.record(ann).is_active
    world.check()


# Two organisations


def test_two_organisations_with_the_same_people_know_nothing_of_each_other(new_world: MakeWorld) -> None:
    world, other = new_world(), new_world()
    world.do(AddDomain("example.org"))
    hq, theirs = world.team("ann"), other.team("ann")
    before, seen = other.snapshot(), len(other.bodies())

    world.push(hq, put_user("ann", display_name="Anna"), put_group("x"), DeleteUser(external("ann")))
    world.do(SetPlan("Standard"), RemoveRule(RuleId(world_rules(world)[0])))

    assert (other.snapshot(), len(other.bodies())) == (before, seen)
    assert world.member_of(hq, "ann") != other.member_of(theirs, "ann")
    ids = {body["organisation"] for body in world.bodies()}
    assert ids == {world.organisation_id}


def test_nothing_of_another_organisation_can_be_named(new_world: MakeWorld) -> None:
    world, other = new_world(), new_world()
    theirs = other.team("ann")
    stranger = other.member_of(theirs, "ann")
    before = other.snapshot()

    for change in (SetBlock(stranger, "no"), LiftBlock(stranger), TransferOwner(stranger)):
        assert world.refuse(change).code == "not_found"
    rule_id = RuleId(world_rules(other)[0])
    assert world.refuse(RemoveRule(rule_id)).code == "not_found"
    outcome = world.request(theirs, put_user("ann"))

    assert getattr(outcome, "code", None) == "not_found"
    assert other.snapshot() == before


def world_rules(world: World) -> list[str]:
    with world.read() as reader:
        return [rule.rule_id for rule in reader.model_inputs().rules]
