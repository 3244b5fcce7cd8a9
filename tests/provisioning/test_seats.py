"""Who is seated, who waits and who is refused."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from random import Random
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.changes import (
    AcceptInvitation,
    DeactivateUser,
    EndInvitation,
    Invite,
    RemoveMembers,
    SetPlan,
    SetSettings,
)
from directory.ids import EnvironmentId, InvitationId, MemberId
from mappings.catalogue import load_catalogue
from provisioning.commands import Applied, Refused
from provisioning.seats import Allotment, Candidate, allot_seats, free_seats, seat_limit, thresholds_crossed
from provisioning.state import UNLIMITED, Seat
from storage.engine import Database
from storage.service_store import SQLServiceStore
from tests.builders import (
    ADMIN,
    CATALOGUES,
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

FULL = "Seat limit reached: 5 of 5 used (plan Standard)."
FOUR = ("ann", "bob", "cid", "dora")
"""With the owner, all that the plan Standard has room for."""


def candidate(
    name: str, *, priority: int = 100, rank: int = 1, minutes: int = 0, is_owner: bool = False
) -> Candidate:
    since = MONDAY + timedelta(minutes=minutes)
    return Candidate(MemberId(name), priority, rank, since, is_owner)


def names(candidates: tuple[Candidate, ...]) -> list[str]:
    return [str(one.member_id) for one in candidates]


@pytest.fixture
def waitlist(new_world: MakeWorld) -> World:
    return new_world(plan="Standard", policy="waitlist")


@pytest.fixture
def strict(new_world: MakeWorld) -> World:
    return new_world(plan="Standard")


# The list


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (candidate("z", priority=1, minutes=9), candidate("a", rank=3)),
        (candidate("z", rank=3, minutes=9), candidate("a", rank=2)),
        (candidate("z"), candidate("a", minutes=1)),
        (candidate("a"), candidate("b")),
    ],
    ids=["rule priority", "role rank", "waiting since", "id"],
)
def test_the_list_is_ordered_by(first: Candidate, second: Candidate) -> None:
    assert allot_seats([second, first], 1) == Allotment((first,), (second,))


def test_the_owner_is_seated_beyond_the_limit_and_uses_a_seat_up() -> None:
    owner, other = candidate("owner", priority=999, is_owner=True), candidate("other", priority=1)

    assert names(allot_seats([other, owner], 0).seated) == ["owner"]
    assert names(allot_seats([other, owner], 1).waiting) == ["other"]
    assert names(allot_seats([other, owner], 2).seated) == ["owner", "other"]


def test_without_a_limit_everybody_is_seated() -> None:
    assert allot_seats([candidate("a"), candidate("b")], None).waiting == ()
    assert free_seats(None, 1_000_000) is None


@given(
    st.lists(
        st.builds(candidate, st.text("abc", min_size=1, max_size=3), priority=st.integers(0, 3)), max_size=20
    ),
    st.integers(0, 10),
    st.randoms(use_true_random=False),
)
def test_the_same_people_get_the_same_seats_in_any_order(
    people: list[Candidate], free: int, random: Random
) -> None:
    shuffled = random.sample(people, len(people))
    first, second = allot_seats(people, free), allot_seats(shuffled, free)

    assert names(first.seated) == names(second.seated)
    assert len(first.seated) == min(free, len(people))


# The limit


@pytest.mark.parametrize(
    ("plan", "own", "limit"),
    [
        ("Starter", None, 1),
        ("Standard", None, 5),
        ("Pro", None, 20),
        ("Standard", 7, 7),
        ("Enterprise", 250, 250),
        ("Enterprise", UNLIMITED, None),
        ("Enterprise", None, 0),
        ("Gone", None, 0),
        (None, None, None),
    ],
)
def test_the_limit_is_the_organisations_own_number_or_the_plans(
    world: World, plan: str | None, own: int | None, limit: int | None
) -> None:
    catalogue = load_catalogue((CATALOGUES / "minut.yaml").read_text(), source="minut.yaml")
    state = replace(world.state, plan=plan, seat_limit=own)

    assert seat_limit(state, catalogue) == limit


def test_a_plan_that_says_unlimited_needs_no_number(database: Database, new_world: MakeWorld) -> None:
    text = (CATALOGUES / "minut.yaml").read_text(encoding="utf-8")
    generous = text.replace("seats: custom", "seats: unlimited").replace("id: minut", "id: generous")
    digest = sha256(generous.encode()).hexdigest()
    SQLServiceStore(database).put_environment(EnvironmentId("generous"), generous, digest, MONDAY)
    world = new_world(catalogue="generous")

    world.do(SetPlan("Enterprise"))

    assert seat_limit(world.state, load_catalogue(generous, source="generous")) is None


def test_free_seats_are_never_negative() -> None:
    assert free_seats(5, 7) == 0
    assert free_seats(5, 3) == 2


@pytest.mark.parametrize(
    ("before", "after", "crossed"),
    [(3, 4, (80,)), (4, 5, (100,)), (3, 5, (80, 100)), (4, 4, ()), (5, 4, ()), (0, 3, ())],
)
def test_thresholds_are_crossed_from_below_only(before: int, after: int, crossed: tuple[int, ...]) -> None:
    assert thresholds_crossed(5, before, after) == crossed


def test_no_limit_has_no_threshold() -> None:
    assert thresholds_crossed(None, 0, 99) == ()
    assert thresholds_crossed(0, 0, 99) == ()


# Journeys


def test_the_owner_alone_fills_the_plan_starter(new_world: MakeWorld) -> None:
    world = new_world(plan="Starter", policy="waitlist")

    hq = world.team("ann")

    assert world.seat(world.owner) is Seat.SEATED
    assert world.seats(hq, "ann") == ["waiting"]


def test_five_are_seated_the_sixth_waits_and_gets_the_seat_of_one_who_leaves(waitlist: World) -> None:
    hq = waitlist.team(*FOUR, "eve")
    assert waitlist.seats(hq, *FOUR, "eve") == ["seated"] * 4 + ["waiting"]
    assert waitlist.held(waitlist.member_of(hq, "eve")) == set()
    waitlist.events()

    waitlist.push(hq, DeactivateUser(external("bob")))

    bodies = waitlist.new_bodies()
    assert [body["action"] for body in bodies] == [
        "user.deactivated",
        "member.deactivated",
        "role.revoked",
        "seat.released",
        "role.granted",
        "seat.assigned",
    ]
    assert waitlist.chain(bodies[-1]) == [
        "seat.assigned",
        "role.granted",
        "seat.released",
        "role.revoked",
        "user.deactivated",
    ]
    assert bodies[-1]["cause"]["kind"] == "seat_policy"
    assert waitlist.seats(hq, *FOUR, "eve") == ["seated", "none", "seated", "seated", "seated"]
    assert waitlist.state.seated == 5
    waitlist.check()


def test_who_is_told_to_wait_is_told_how_many_seats_there_are(waitlist: World) -> None:
    waitlist.team(*FOUR, "eve")

    (body,) = [body for body in waitlist.new_bodies() if body["action"] == "seat.waiting"]

    assert body["reason"] == {"code": "seat_limit_reached", "numbers": {"limit": 5, "used": 5}}


def test_every_role_takes_a_seat(waitlist: World) -> None:
    hq = waitlist.team(*FOUR, role=WORKER)

    assert waitlist.state.seated == 5
    assert waitlist.seats(hq, *FOUR) == ["seated"] * 4


def test_a_user_without_a_grant_takes_no_seat(strict: World) -> None:
    hq = strict.team(*FOUR)

    strict.push(hq, put_user("eve"))

    assert strict.seats(hq, "eve") == ["none"]
    assert strict.record(strict.member_of(hq, "eve")).is_active


def test_a_group_change_puts_on_the_waiting_list_and_refuses_nobody(strict: World) -> None:
    hq = strict.team(*FOUR)
    strict.push(hq, put_user("eve"))

    strict.push(hq, add_members("team", "eve"))

    assert strict.seats(hq, "eve") == ["waiting"]
    assert strict.in_group(hq, "team") == {*FOUR, "eve"}


def test_a_new_user_who_needs_a_seat_is_refused_and_nothing_is_stored(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard")
    hq = world.put_directory(default_role=MEMBER)
    world.push(hq, *map(put_user, FOUR))
    before = world.snapshot()
    world.events()

    outcome = world.request(hq, put_user("eve"))

    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.message) == ("seat_limit_reached", f"{FULL} The user was not added.")
    (body,) = world.new_bodies()
    assert (body["action"], body["outcome"]) == ("seat.denied", "denied")
    assert body["reason"] == {"code": "seat_limit_reached", "numbers": {"limit": 5, "used": 5}}
    assert body["id"] == outcome.event_id
    assert world.snapshot() == before


def test_somebody_who_comes_back_to_a_full_organisation_is_refused_by_name(strict: World) -> None:
    hq = strict.team(*FOUR, "eve")
    eve = strict.member_of(hq, "eve")
    strict.push(hq, DeactivateUser(external("eve")))
    before = strict.snapshot()
    strict.events()

    outcome = strict.request(hq, put_user("eve"))

    assert isinstance(outcome, Refused)
    (body,) = strict.new_bodies()
    assert body["targets"][0]["id"] == eve
    assert strict.snapshot() == before


def test_all_of_a_refused_request_is_left_out(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard")
    hq = world.put_directory(default_role=MEMBER)
    world.push(hq, *map(put_user, FOUR[:3]))

    outcome = world.request(hq, put_user("dora"), put_group("staff"), put_user("eve"))

    assert isinstance(outcome, Refused)
    assert outcome.message.startswith("Seat limit reached: 5 of 5 used")
    assert not world.has_user(hq, "dora")
    assert world.state.seated == 4


def test_a_waiting_list_stores_the_new_user_without_a_grant(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard", policy="waitlist")
    hq = world.put_directory(default_role=MEMBER)

    world.push(hq, *map(put_user, [*FOUR, "eve"]))

    eve = world.record(world.member_of(hq, "eve"))
    assert (eve.seat, eve.is_active, eve.held) == (Seat.WAITING, True, ())
    assert world.user(hq, "eve").active


def test_an_update_never_costs_the_seat(strict: World) -> None:
    hq = strict.team(*FOUR)
    strict.do(SetPlan("Starter"))
    strict.events()

    strict.push(hq, put_user("ann", display_name="Anna Ny"))

    assert strict.seats(hq, "ann") == ["seated"]
    assert strict.events() == ["user.updated"]


def test_an_update_of_somebody_who_waits_is_not_refused(strict: World) -> None:
    hq = strict.team(*FOUR, "eve")

    strict.push(hq, put_user("eve", display_name="Eve Ny"))

    assert strict.seats(hq, "eve") == ["waiting"]


def test_a_downgrade_evicts_nobody_and_freezes_additions(waitlist: World) -> None:
    waitlist.do(SetPlan("Pro"))
    hq = waitlist.team(*FOUR, "eve", "fay")
    waitlist.events()

    waitlist.do(SetPlan("Standard"))

    (body,) = waitlist.new_bodies()
    assert body["action"] == "seat.limit_changed"
    assert body["reason"] == {"code": "over_seat_limit", "numbers": {"limit": 5, "used": 7}}
    assert waitlist.state.seated == 7
    waitlist.push(hq, put_user("gus"), add_members("team", "gus"))
    assert waitlist.seats(hq, "gus") == ["waiting"]


def test_an_overrun_is_repaired_by_leaving_and_then_additions_go_on(waitlist: World) -> None:
    waitlist.do(SetPlan("Pro"))
    hq = waitlist.team(*FOUR, "eve", "fay")
    waitlist.do(SetPlan("Standard"))
    waitlist.push(hq, put_user("gus"), add_members("team", "gus"))

    waitlist.push(hq, DeactivateUser(external("ann")))
    waitlist.push(hq, DeactivateUser(external("bob")))
    assert (waitlist.state.seated, waitlist.seats(hq, "gus")) == (5, ["waiting"])
    waitlist.push(hq, DeactivateUser(external("cid")))

    assert (waitlist.state.seated, waitlist.seats(hq, "gus")) == (5, ["seated"])
    waitlist.check()


def test_a_greater_plan_seats_those_who_wait_in_the_same_transaction(waitlist: World) -> None:
    hq = waitlist.team(*FOUR, "eve", "fay")
    waitlist.events()

    waitlist.do(SetPlan("Pro"))

    bodies = waitlist.new_bodies()
    assert [body["action"] for body in bodies] == [
        "seat.limit_changed",
        *["role.granted", "seat.assigned"] * 2,
    ]
    assert waitlist.chain(bodies[-1]) == ["seat.assigned", "role.granted", "seat.limit_changed"]
    assert {body["cause"]["kind"] for body in bodies[1:]} == {"plan_change"}
    assert waitlist.seats(hq, "eve", "fay") == ["seated", "seated"]


def test_a_smaller_plan_and_the_same_plan_give_no_seat(waitlist: World) -> None:
    hq = waitlist.team(*FOUR, "eve")
    waitlist.events()

    waitlist.do(SetPlan("Starter"))
    waitlist.do(SetPlan("Starter"))

    assert waitlist.events() == ["seat.limit_changed"]
    assert waitlist.seats(hq, "eve") == ["waiting"]


def test_a_freed_seat_goes_by_priority_then_rank_then_time(waitlist: World) -> None:
    hq = waitlist.team(*FOUR)
    waitlist.grow(hq, "cleaners", "early", role=WORKER)
    waitlist.clock.move(minutes=1)
    waitlist.grow(hq, "hosts", "later")
    waitlist.clock.move(minutes=1)
    waitlist.grow(hq, "managers", "chief", role=ADMIN)
    waitlist.clock.move(minutes=1)
    waitlist.grow(hq, "urgent", "first", role=WORKER, priority=1)
    waited = [waitlist.member_of(hq, name) for name in ("first", "chief", "later", "early")]
    assert waitlist.waiting() == waited

    for name, member_id in zip(FOUR, waited, strict=True):
        waitlist.push(hq, DeactivateUser(external(name)))
        assert waitlist.seat(member_id) is Seat.SEATED
    waitlist.check()


def test_a_newcomer_does_not_overtake_one_who_waits(waitlist: World) -> None:
    hq = waitlist.team(*FOUR, "eve")
    waitlist.clock.move(minutes=1)

    waitlist.push(hq, DeactivateUser(external("ann")), put_user("fay"), add_members("team", "fay"))

    assert waitlist.seats(hq, "eve", "fay") == ["seated", "waiting"]


def test_one_who_no_longer_needs_the_seat_leaves_the_list(waitlist: World) -> None:
    hq = waitlist.team(*FOUR, "eve")
    waitlist.events()

    waitlist.push(hq, RemoveMembers(external("team"), (external("eve"),)))

    assert waitlist.events() == ["group.member_removed", "seat.released"]
    assert waitlist.waiting() == []


def test_a_better_rule_moves_a_waiting_member_up_and_keeps_the_time(waitlist: World) -> None:
    hq = waitlist.team(*FOUR, "eve", "fay")
    fay = waitlist.member_of(hq, "fay")
    since = waitlist.record(fay).waiting_since
    waitlist.clock.move(hours=1)

    waitlist.grow(hq, "urgent", priority=1)
    waitlist.push(hq, add_members("urgent", "fay"))

    assert waitlist.waiting()[0] == fay
    assert waitlist.record(fay).waiting_since == since
    waitlist.check()


def test_alerts_are_raised_at_80_and_100_percent_once_each(waitlist: World) -> None:
    waitlist.team(*FOUR, "eve")

    bodies = [body for body in waitlist.new_bodies() if body["action"] == "seat.threshold_reached"]

    assert [body["reason"]["numbers"]["percent"] for body in bodies] == [80, 100]
    assert waitlist.chain(bodies[0])[1:3] == ["seat.assigned", "role.granted"]


# Invitations


def invite(world: World, mail: str = "ida@example.org", **hours: float) -> InvitationId:
    invitation_id = InvitationId(world.new_id())
    world.do(
        Invite(invitation_id, mail, MEMBER, world.root, world.clock() + timedelta(**(hours or {"hours": 24})))
    )
    return invitation_id


def test_an_invitation_reserves_a_seat(strict: World) -> None:
    strict.team(*FOUR[:3])
    invite(strict)
    hq = strict.put_directory("branch", default_role=MEMBER)

    outcome = strict.request(hq, put_user("eve"))

    assert isinstance(outcome, Refused)
    assert outcome.message == f"{FULL} The user was not added."
    assert (strict.state.seated, strict.state.reserved) == (4, 1)
    strict.check()


def test_an_invitation_is_refused_when_the_seats_are_full(strict: World) -> None:
    strict.team(*FOUR)
    before = strict.snapshot()

    refused = strict.refuse(
        Invite(
            InvitationId(strict.new_id()), "ida@example.org", MEMBER, strict.root, MONDAY + timedelta(days=1)
        )
    )

    assert refused.message == f"{FULL} The person was not invited."
    assert strict.events()[-1] == "seat.denied"
    assert strict.snapshot() == before


def test_an_invitation_can_reach_a_threshold(strict: World) -> None:
    strict.team(*FOUR[:2])
    strict.events()

    invite(strict)

    bodies = strict.new_bodies()
    assert [body["action"] for body in bodies] == ["invitation.created", "seat.threshold_reached"]
    assert strict.chain(bodies[1]) == ["seat.threshold_reached", "invitation.created"]


def test_the_invited_person_takes_the_reserved_seat_also_after_a_downgrade(strict: World) -> None:
    strict.team(*FOUR[:3])
    invitation_id = invite(strict)
    strict.do(SetPlan("Starter"))
    ida = MemberId(strict.new_id())
    strict.events()

    strict.do(AcceptInvitation(invitation_id, ida))

    bodies = strict.new_bodies()
    assert [body["action"] for body in bodies] == [
        "invitation.accepted",
        "member.created",
        "role.granted",
        "seat.assigned",
    ]
    assert strict.chain(bodies[-1]) == [
        "seat.assigned",
        "role.granted",
        "member.created",
        "invitation.accepted",
        "invitation.created",
    ]
    assert (strict.seat(ida), strict.state.seated, strict.state.reserved) == (Seat.SEATED, 5, 0)
    strict.check()


@pytest.mark.parametrize("expired", [True, False])
def test_an_invitation_that_ends_gives_its_seat_to_the_next(waitlist: World, expired: bool) -> None:
    hq = waitlist.team(*FOUR[:3])
    invitation_id = invite(waitlist)
    waitlist.grow(hq, "more", "eve")
    waitlist.events()

    waitlist.do(EndInvitation(invitation_id, expired=expired))

    bodies = waitlist.new_bodies()
    assert [body["action"] for body in bodies] == ["invitation.ended", "role.granted", "seat.assigned"]
    assert bodies[0]["reason"] == {"code": "expired" if expired else "withdrawn"}
    assert waitlist.chain(bodies[-1])[-2:] == ["invitation.ended", "invitation.created"]
    assert waitlist.seats(hq, "eve") == ["seated"]
    waitlist.check()


def test_a_member_who_accepts_with_a_seat_of_their_own_frees_the_reserved_one(waitlist: World) -> None:
    hq = waitlist.team(*FOUR[:3])
    invitation_id = invite(waitlist)
    waitlist.grow(hq, "more", "eve")
    ann = waitlist.member_of(hq, "ann")
    unit = waitlist.put_scope("Unit 1", "unit")
    waitlist.events()

    waitlist.do(AcceptInvitation(invitation_id, ann))

    assert waitlist.events() == ["invitation.accepted", "role.granted", "seat.assigned"]
    assert waitlist.seats(hq, "eve") == ["seated"]
    assert waitlist.record(ann).facts.invited == ((MEMBER, waitlist.root),)
    assert unit
    waitlist.check()


# Requests side by side


def test_requests_at_the_last_seat_seat_exactly_one(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard")
    hq = world.put_directory(default_role=MEMBER)
    world.push(hq, *map(put_user, FOUR[:3]))
    crowd = [f"guest{number}" for number in range(6)]
    barrier = Barrier(len(crowd))

    def ask(name: str) -> Applied | Refused:
        barrier.wait()
        return world.request(hq, put_user(name))

    with ThreadPoolExecutor(len(crowd)) as pool:
        outcomes = list(pool.map(ask, crowd))

    assert sum(isinstance(outcome, Applied) for outcome in outcomes) == 1
    assert world.state.seated == 5
    assert world.events().count("seat.denied") == 5
    world.check()


def test_group_changes_at_the_last_seat_seat_exactly_one(waitlist: World) -> None:
    hq = waitlist.team(*FOUR[:3])
    crowd = [f"guest{number}" for number in range(6)]
    waitlist.push(hq, *map(put_user, crowd))

    with ThreadPoolExecutor(len(crowd)) as pool:
        list(pool.map(lambda name: waitlist.push(hq, add_members("team", name)), crowd))

    assert sorted(waitlist.seats(hq, *crowd)) == ["seated", *["waiting"] * 5]
    waitlist.check()


def test_the_seat_policy_can_be_changed_and_is_audited(strict: World) -> None:
    strict.team(*FOUR)
    hq = strict.put_directory("branch", default_role=MEMBER)
    strict.events()

    strict.do(SetSettings({"seat_policy": "waitlist"}))
    strict.push(hq, put_user("eve"))

    assert strict.events()[0] == "settings.updated"
    assert strict.seats(hq, "eve") == ["waiting"]
