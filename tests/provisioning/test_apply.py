"""The write path as a whole: batches, interruptions, fences, versions, the outbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from audit.actors import RunActor, SystemActor
from audit.body import EventBody
from directory.changes import (
    AddDomain,
    AttributeMatch,
    DeactivateUser,
    DeleteGroup,
    GroupMatch,
    PutRule,
    RemoveRule,
    SetPlan,
    SetSettings,
)
from directory.ids import DirectoryId, RuleId, RunId
from provisioning import apply, consequences
from provisioning.apply import apply_changes, drain_pending
from provisioning.commands import Applied, Fence
from provisioning.errors import StaleFenceError
from provisioning.ports import Writer
from provisioning.state import UNLIMITED
from storage.unit_of_work import OrganisationUnitOfWork
from tests.builders import ADMIN, MEMBER, WORKER, MakeWorld, World, add_members, external, put_group, put_user

CROWD = 1_100
"""More people than fit one transaction."""


class KilledError(Exception):
    pass


class Mortal(OrganisationUnitOfWork):
    """A unit of work that is killed at the beginning of its transaction number `last` and one."""

    def __init__(self, world: World, last: int) -> None:
        super().__init__(world.database, world.organisation_id)
        self._left = last

    @contextmanager
    def write(self) -> Iterator[Writer]:
        if self._left == 0:
            raise KilledError
        self._left -= 1
        with super().write() as writer:
            yield writer


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five people in a transaction."""
    monkeypatch.setattr(apply, "BATCH_SIZE", 5)
    monkeypatch.setattr(consequences, "BATCH_SIZE", 5)


def crowded(world: World, size: int) -> tuple[DirectoryId, list[str]]:
    """A directory with so many people in one group, which no rule names."""
    hq = world.put_directory()
    names = [f"u{number:04}" for number in range(size)]
    world.push(hq, *map(put_user, names), put_group("all"), add_members("all", *names))
    world.events()
    return hq, names


def rule_for_all(world: World, hq: DirectoryId) -> PutRule:
    return PutRule(RuleId(world.new_id()), GroupMatch(world.group(hq, "all").group_id), MEMBER, world.root)


def roots(world: World, bodies: list[EventBody]) -> set[str]:
    return {world.chain(body)[-1] for body in bodies}


def drain(world: World) -> Applied:
    command = world.command(actor=SystemActor("worker"), kind="system")
    return drain_pending(command, **world.tools)


# Batches


def test_a_rule_on_a_crowd_is_applied_in_batches_of_one_call(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=UNLIMITED)
    hq, _ = crowded(world, CROWD)
    version = world.state.access_version

    applied = world.do(rule_for_all(world, hq))

    assert (applied.pending, applied.counters["grants_opened"], len(applied.members)) == (0, CROWD, CROWD)
    assert applied.access_version == world.state.access_version == version + 2
    assert world.state.seated == CROWD + 1
    bodies = world.bodies()[-len(applied.events) :]
    assert [body["id"] for body in bodies] == list(applied.events)
    granted = bodies[-2]
    assert (granted["cause"]["root"], granted["cause"]["kind"]) == (bodies[0]["id"], "mapping_rule")
    assert granted["cause"]["rule_id"] == bodies[0]["targets"][0]["id"]
    assert [len(payload["members"]) for topic, payload in world.outbox() if topic == "access.changed"][
        -2:
    ] == [
        1000,
        100,
    ]
    world.check()


@pytest.mark.usefixtures("small_batches")
def test_every_event_of_a_batch_leads_to_the_change_that_began_it(world: World) -> None:
    hq, _ = crowded(world, 12)

    world.do(rule_for_all(world, hq))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies].count("role.granted") == 12
    assert roots(world, bodies) == {"mapping.created"}
    world.do(SetSettings({"resolution": "priority"}))
    world.push(hq, DeleteGroup(external("all")))
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies].count("role.revoked") == 12
    assert roots(world, bodies) == {"settings.updated", "group.deleted"}
    world.check()


@pytest.mark.usefixtures("small_batches")
def test_with_few_seats_the_list_decides_and_not_the_batches(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=4, policy="waitlist")
    hq, names = crowded(world, 12)
    world.push(hq, put_group("chiefs"), add_members("chiefs", "u0009", "u0011"))
    chiefs = GroupMatch(world.group(hq, "chiefs").group_id)

    world.do(rule_for_all(world, hq), PutRule(RuleId(world.new_id()), chiefs, ADMIN, world.root, 1))

    seated = [name for name in names if world.seats(hq, name) == ["seated"]]
    assert seated == ["u0000", "u0009", "u0011"]
    assert world.waiting() == [world.member_of(hq, name) for name in names if name not in seated]
    bodies = world.new_bodies()
    assert roots(world, bodies) <= {"mapping.created", "group.created", "group.member_added"}
    world.check()


@pytest.mark.usefixtures("small_batches")
def test_seats_freed_by_many_go_to_the_head_of_the_list_in_the_end(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=8, policy="waitlist")
    hq, names = crowded(world, 7)
    rule = rule_for_all(world, hq)
    world.do(rule)
    late = [f"late{number}" for number in range(9)]
    world.clock.move(minutes=1)
    world.grow(hq, "late", *late)
    assert world.seats(hq, *late) == ["waiting"] * 9
    world.events()

    world.do(RemoveRule(rule.rule_id))

    assert world.seats(hq, *names, *late) == ["none"] * 7 + ["seated"] * 7 + ["waiting"] * 2
    assert roots(world, world.new_bodies()) == {"mapping.deleted"}
    world.check()


@pytest.mark.usefixtures("small_batches")
def test_many_seats_are_given_in_batches_with_their_cause(new_world: MakeWorld) -> None:
    world = new_world(plan="Starter", policy="waitlist")
    hq, names = crowded(world, 12)
    world.do(rule_for_all(world, hq))
    assert world.seats(hq, *names) == ["waiting"] * 12
    world.events()

    world.do(SetPlan("Pro"))

    assert world.seats(hq, *names) == ["seated"] * 12
    assert roots(world, world.new_bodies()) == {"seat.limit_changed"}
    world.check()


@pytest.mark.usefixtures("small_batches")
def test_an_unlimited_plan_seats_all_who_wait(new_world: MakeWorld) -> None:
    world = new_world(plan="Starter", policy="waitlist")
    hq, names = crowded(world, 12)
    world.do(rule_for_all(world, hq))

    world.do(SetPlan("Enterprise", UNLIMITED))

    assert world.seats(hq, *names) == ["seated"] * 12
    world.check()


@pytest.mark.usefixtures("small_batches")
def test_a_change_of_many_directories_reaches_everybody(world: World) -> None:
    hq, names = crowded(world, 12)

    world.do(PutRule(RuleId(world.new_id()), AttributeMatch(hq, "userName pr"), WORKER, world.root))

    assert all(world.roles(world.member_of(hq, name)) == ["Operator"] for name in names)
    world.check()


# Interruptions


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.parametrize("plan", ["Pro", "Standard"])
def test_a_command_killed_between_batches_is_ended_by_draining(
    new_world: MakeWorld, last: int, plan: str
) -> None:
    world = new_world(plan=plan, policy="waitlist")
    hq, names = crowded(world, 16)
    command = world.command(rule_for_all(world, hq))
    with pytest.raises(KilledError):
        apply_changes(command, **(world.tools | {"unit_of_work": Mortal(world, last)}))
    world.check()

    drain(world)

    states = world.seats(hq, *names)
    assert states == (["seated"] * 16 if plan == "Pro" else ["seated"] * 4 + ["waiting"] * 12)
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies].count("role.granted") == states.count("seated")
    assert roots(world, bodies) == {"mapping.created"}
    drain(world)
    assert world.events() == []
    world.check()


@pytest.mark.usefixtures("small_batches")
def test_a_change_is_followed_also_by_people_whom_a_killed_command_left_queued(world: World) -> None:
    hq, names = crowded(world, 12)
    rule = rule_for_all(world, hq)
    with pytest.raises(KilledError):
        apply_changes(world.command(rule), **(world.tools | {"unit_of_work": Mortal(world, 1)}))

    world.do(RemoveRule(rule.rule_id))

    assert all(world.held(world.member_of(hq, name)) == set() for name in names)
    assert drain(world).events == ()
    world.check()


def test_draining_an_empty_queue_changes_nothing(world: World) -> None:
    version = world.state.access_version

    assert drain(world).events == ()
    assert world.state.access_version == version


@pytest.mark.usefixtures("small_batches")
def test_draining_gives_the_seats_that_an_interrupted_run_left(new_world: MakeWorld) -> None:
    world = new_world(plan="Pro", policy="waitlist")
    hq, names = crowded(world, 12)
    world.push(hq, put_group("team"))
    world.put_rule(world.group(hq, "team").group_id)
    world.do(add_members("team", *names), directory_id=hq, kind="run", defer_seats=True)
    assert world.seats(hq, *names) == ["waiting"] * 12

    drain(world)
    drain(world)
    drain(world)

    assert world.seats(hq, *names) == ["seated"] * 12
    world.check()


# Fences and versions


def test_a_run_that_was_overtaken_writes_nothing(world: World) -> None:
    hq = world.put_ldif()
    claim, _ = world.claim(hq), world.claim(hq)
    before, seen = world.snapshot(), len(world.bodies())
    fence = Fence(hq, claim.fence, world.clock() + timedelta(minutes=2))
    command = world.command(
        put_user("ann"), actor=RunActor(RunId("r"), hq), kind="run", directory_id=hq, fence=fence
    )

    with pytest.raises(StaleFenceError, match="was taken over by another run; this one stops"):
        apply_changes(command, **world.tools)

    assert (world.snapshot(), len(world.bodies())) == (before, seen)
    apply_changes(replace(command, fence=replace(fence, token=claim.fence + 1)), **world.tools)
    assert world.has_user(hq, "ann")


def test_a_command_previewed_at_another_version_is_refused(world: World) -> None:
    version = world.state.access_version
    world.do(AddDomain("example.org"), expected_version=version)

    refused = world.refuse(AddDomain("example.net"), expected_version=version)

    assert (refused.code, refused.message) == (
        "state_moved",
        "access has changed since this was previewed; preview it again and apply what you see then",
    )
    assert refused.numbers == (("previewed", version), ("present", version + 1))


# What is told to others


def test_the_outbox_says_whose_access_changed_and_whose_sessions_end(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    before = len(world.outbox())

    world.push(hq, put_user("ann", display_name="Anna"))
    assert len(world.outbox()) == before
    world.push(hq, DeactivateUser(external("ann")))

    payload = {"access_version": world.state.access_version, "members": [ann]}
    assert world.outbox()[before:] == [("access.changed", payload), ("session.end", payload)]


def test_a_refused_command_tells_nobody(new_world: MakeWorld) -> None:
    world = new_world(plan="Starter")
    hq = world.put_directory(default_role=MEMBER)
    before = world.outbox()

    world.request(hq, put_user("ann"))

    assert world.outbox() == before


def test_directory_changes_come_before_the_others_of_a_command(world: World) -> None:
    hq = world.put_directory()
    world.push(hq, put_group("team"))
    rule = PutRule(RuleId(world.new_id()), GroupMatch(world.group(hq, "team").group_id), MEMBER, world.root)

    world.do(rule, put_user("ann"), add_members("team", "ann"), directory_id=hq)

    assert world.roles(world.member_of(hq, "ann")) == ["Member"]
    world.check()
