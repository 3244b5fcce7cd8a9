"""A run from guard to record: stopped, approved once, applied in batches, resumed after it was cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from audit.events import ACTIONS
from directory.changes import GroupMatch, PutUser
from directory.ids import DirectoryId
from provisioning import runs
from provisioning.errors import StaleFenceError
from provisioning.plans import DirectoryPlan
from provisioning.ports import Writer
from provisioning.runs import FULL, Reading, RunKeeper, next_run_at
from provisioning.state import Cursor, RunRecord, StoredDirectory
from storage.unit_of_work import OrganisationUnitOfWork
from tests.builders import (
    ADMIN,
    MONDAY,
    MakeWorld,
    World,
    external,
    put_group,
    put_user,
)

READING = Reading("source-1", {"seen": 3, "users_seen": 2, "groups_seen": 1})


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
def hq(world: World) -> DirectoryId:
    directory_id = world.put_ldif(interval_seconds=600)
    world.events()
    return directory_id


def plan_of(hq: DirectoryId, *names: str, **parts: object) -> DirectoryPlan:
    """A plan that puts these people into a group `team`."""
    plan = DirectoryPlan(
        directory_id=hq,
        base="1:",
        put_users=tuple(map(put_user, names)),
        put_groups=(put_group("team"),),
        add_members=tuple((external("team"), external(name)) for name in names),
    )
    return replace(plan, **parts)  # type: ignore[arg-type]  # fields of a plan


def risky(plan: DirectoryPlan) -> DirectoryPlan:
    """The same plan, as one that would remove every second user."""
    counts = replace(plan.counts, users_read=1, users_stored=40, active_users_stored=40, removed_users=20)
    return replace(plan, counts=counts)


def submit(world: World, plan: DirectoryPlan, reading: Reading = READING, *, approval: str = "") -> RunRecord:
    claim = world.claim(plan.directory_id, approval=approval, approved_by="chris" if approval else "")
    return world.keeper.submit(claim, plan, reading)


def killed(
    world: World, plan: DirectoryPlan, last: int, reading: Reading = READING, *, approval: str = ""
) -> None:
    """Submit, and be killed behind so many transactions."""
    claim = world.claim(plan.directory_id, approval=approval, approved_by="chris" if approval else "")
    keeper = RunKeeper(Mortal(world, last), world.clock, world.mint, world.models)
    with pytest.raises(KilledError):
        keeper.submit(claim, plan, reading)


# Applying


def test_a_run_writes_its_beginning_what_it_did_and_its_end(world: World, hq: DirectoryId) -> None:
    record = submit(world, plan_of(hq, "ann"))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        "sync.started",
        "group.created",
        "user.created",
        "member.created",
        "group.member_added",
        "sync.completed",
    ]
    assert {world.chain(body)[-1] for body in bodies} == {"sync.started"}
    assert {body["actor"]["type"] for body in bodies} == {"run"}
    assert {body["cause"]["run_id"] for body in bodies} == {record.run_id}
    assert record.state == "completed"
    assert record.counters == {
        "seen": 3,
        "users_seen": 2,
        "groups_seen": 1,
        "groups_created": 1,
        "users_created": 1,
        "members_created": 1,
        "memberships_added": 1,
        "events": 4,
    }
    with world.read() as reader:
        assert reader.runs(hq, 9) == [record]
    world.check()


def test_an_empty_plan_is_a_run_without_a_beginning(world: World, hq: DirectoryId) -> None:
    record = submit(world, DirectoryPlan(hq, "1:"))

    (body,) = world.new_bodies()
    assert (body["action"], body["outcome"]) == ("sync.completed", "noop")
    assert (record.state, record.plan_hash, record.started_event) == ("completed", "", None)


def test_an_incomplete_reading_is_a_partial_run(world: World, hq: DirectoryId) -> None:
    reading = Reading("source-1", {"seen": 3}, is_complete=False, reason="the base 'o=x' is not in the file")

    applied = submit(world, plan_of(hq, "ann"), reading)
    empty = submit(world, DirectoryPlan(hq, "1:"), reading)

    assert (applied.state, empty.state) == ("partial", "partial")
    body = world.new_bodies()[-1]
    assert body["reason"] == {
        "code": "incomplete_read",
        "numbers": {"text": "the base 'o=x' is not in the file"},
    }


def test_a_source_that_cannot_be_read_changes_nothing_and_is_tried_later(
    world: World, hq: DirectoryId
) -> None:
    before = world.snapshot()

    record = world.keeper.fail(world.claim(hq), "the file holds no entry")

    assert (record.state, record.reason) == ("failed", "the file holds no entry")
    (body,) = world.new_bodies()
    assert (body["action"], body["outcome"]) == ("sync.failed", "failure")
    assert body["reason"] == {"code": "source_unreadable", "numbers": {"text": "the file holds no entry"}}
    stored = world.stored_directory(hq)
    assert (stored.failures, stored.next_run_at) == (1, MONDAY + timedelta(minutes=20))
    after = world.snapshot()
    assert {name for name in after if after[name] != before[name]} == {"directory", "run"}


def test_people_waiting_out_their_grace_are_noted(world: World, hq: DirectoryId) -> None:
    submit(world, plan_of(hq, "ann", "bob"))

    submit(world, DirectoryPlan(hq, "2:", waiting_out=((external("ann"), 1),)))
    with world.read() as reader:
        assert reader.absent_users(hq) == {"ann": 1}
    submit(world, DirectoryPlan(hq, "3:", waiting_out=((external("ann"), 0),)))

    with world.read() as reader:
        assert reader.absent_users(hq) == {}


def test_progress_is_told_after_each_batch(
    world: World, hq: DirectoryId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RUN_BATCH_SIZE", 2)
    told: list[tuple[int, int]] = []

    world.keeper.submit(
        world.claim(hq), plan_of(hq, "a", "b", "c", "d", "e"), READING, progress=lambda *at: told.append(at)
    )

    assert told == [(2, 5), (4, 5), (5, 5), (5, 5)]


def test_a_person_who_cannot_be_stored_does_not_hold_up_the_others(world: World, hq: DirectoryId) -> None:
    long = put_user("long", user_name="x" * 500)

    record = submit(
        world, replace(plan_of(hq, "ann", "bob"), put_users=(put_user("ann"), long, put_user("bob")))
    )

    assert (world.has_user(hq, "ann"), world.has_user(hq, "long"), world.has_user(hq, "bob")) == (
        True,
        False,
        True,
    )
    assert record.counters["changes_failed"] == 1
    assert record.reason.startswith("PutUser long failed: the user name of user 'long' has 500 characters;")
    assert record.state == "completed"
    assert world.new_bodies()[-1]["reason"]["code"] == "note"
    world.check()


@pytest.mark.parametrize(
    ("name", "mark"), [("bob", "2"), ("x" * 500, "1")], ids=["all was stored", "one could not be stored"]
)
def test_the_cursor_of_an_increment_moves_only_with_all_of_its_data(
    world: World, hq: DirectoryId, name: str, mark: str
) -> None:
    def read(change: PutUser, method: str, mark: str) -> None:
        reading = replace(READING, method=method, cursor=Cursor("timestamps", mark={"at": mark}))
        world.keeper.submit(world.claim(hq), plan_of(hq, put_users=(change,)), reading)

    read(put_user("ann"), FULL, "1")
    read(put_user("b", user_name=name), "timestamps", "2")

    cursor = world.stored_directory(hq).cursor
    assert cursor is not None
    assert cursor.mark == {"at": mark}


def test_only_so_many_failures_are_named(world: World, hq: DirectoryId) -> None:
    names = [f"u{number}" for number in range(12)]
    plan = plan_of(hq, *names, put_users=tuple(put_user(name, user_name="x" * 500) for name in names))

    record = submit(world, plan)

    assert record.counters["changes_failed"] == 12
    assert record.reason.count("PutUser u") == 10
    assert not world.has_user(hq, "u0")
    world.check()


def test_every_counter_of_a_run_may_stand_in_its_events() -> None:
    counted = {
        f"{what}_{how}"
        for what in ("users", "members", "groups", "seats")
        for how in ("created", "deleted", "unknown", "seated", "waiting")
    } & ACTIONS["sync.completed"].paths

    assert {"users_created", "members_deleted", "groups_unknown", "seats_waiting"} <= counted
    assert ACTIONS["sync.completed"].paths == ACTIONS["sync.failed"].paths


# The guard


def test_a_plan_that_crosses_a_limit_is_kept_and_not_applied(world: World, hq: DirectoryId) -> None:
    before = world.snapshot()
    plan = risky(plan_of(hq, "ann"))

    record = submit(world, plan)

    words = "20 of 40 active users would be deactivated; the limit is 10"
    assert (record.state, record.reason, record.plan_hash) == ("blocked", words, plan.hash)
    assert record.plan == {
        "hash": plan.hash,
        "limits": [words],
        "lines": ["put group team Team", "put user ann ann", "add member ann in team"],
        "more": 0,
    }
    (body,) = world.new_bodies()
    assert (body["action"], body["outcome"], body["reason"]["code"]) == ("sync.blocked", "denied", "guard")
    after = world.snapshot()
    assert {name for name in after if after[name] != before[name]} == {"directory", "run"}


def test_of_a_long_plan_the_head_is_kept(world: World, hq: DirectoryId) -> None:
    plan = risky(DirectoryPlan(hq, "1:", deactivate=tuple(external(f"u{number}") for number in range(1003))))

    record = submit(world, plan)

    assert record.plan is not None
    assert (len(record.plan["lines"]), record.plan["more"]) == (1000, 3)  # type: ignore[arg-type]  # a list


def test_the_approval_of_exactly_this_plan_lets_it_through_once(world: World, hq: DirectoryId) -> None:
    plan = risky(plan_of(hq, "ann"))
    assert submit(world, plan).state == "blocked"
    world.events()

    record = submit(world, plan, approval=plan.hash)

    assert (record.state, record.approved_by) == ("completed", "chris")
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies][:2] == ["sync.started", "guard.released"]
    assert bodies[1]["actor"] == {"id": "chris", "type": "admin"}
    assert bodies[1]["changes"] == [{"path": "plan_hash", "before": None, "after": plan.hash}]
    assert world.has_user(hq, "ann")
    # The hash names the last applied run, so that the same changes are another plan now.
    assert submit(world, risky(plan_of(hq, "ann", base="2:"))).state == "blocked"


def test_an_approval_of_another_plan_is_refused_to_the_one_who_gave_it(world: World, hq: DirectoryId) -> None:
    plan = risky(plan_of(hq, "ann"))

    record = submit(world, plan, approval="0" * 64)

    words = "the approval is for another plan: source, rules or stored state have moved since"
    assert (record.state, record.reason) == ("blocked", words)
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["guard.refused", "sync.blocked"]
    assert bodies[0]["actor"]["id"] == "chris"
    assert bodies[0]["changes"] == [{"path": "plan_hash", "before": "0" * 64, "after": plan.hash}]
    assert world.chain(bodies[1]) == ["sync.blocked", "guard.refused"]
    assert not world.has_user(hq, "ann")


def test_an_approval_of_another_plan_stops_also_a_harmless_one(world: World, hq: DirectoryId) -> None:
    assert submit(world, plan_of(hq, "ann"), approval="0" * 64).state == "blocked"


def test_an_approval_that_was_not_needed_does_no_harm(world: World, hq: DirectoryId) -> None:
    plan = plan_of(hq, "ann")

    record = submit(world, plan, approval=plan.hash)

    assert (record.state, record.approved_by) == ("completed", "")


# Interruptions


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people in a transaction of a run."""
    monkeypatch.setattr(runs, "RUN_BATCH_SIZE", 2)


CROWD = ("a", "b", "c", "d", "e")


@pytest.mark.usefixtures("pairs")
def test_an_approved_run_that_was_cut_off_resumes_with_the_same_source_only(
    world: World, hq: DirectoryId
) -> None:
    plan = risky(plan_of(hq, *CROWD))
    killed(world, plan, 3, approval=plan.hash)
    rest = risky(plan_of(hq, *CROWD, base="2:"))

    assert submit(world, rest, replace(READING, source_hash="source-2")).state == "blocked"
    world.events()
    record = submit(world, rest)

    assert (record.state, record.approved_by) == ("completed", "chris")
    actions = world.events()
    assert actions[:2] == ["sync.started", "guard.released"]
    assert world.in_group(hq, "team") == set(CROWD)
    assert submit(world, risky(plan_of(hq, "x", base="3:"))).state == "blocked"
    with world.read() as reader:
        assert [run.state for run in reader.runs(hq, 9)] == ["blocked", "completed", "blocked", "interrupted"]


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("last", range(1, 7))
def test_a_run_killed_at_any_point_is_completed_by_the_next_without_a_doubled_event(
    new_world: MakeWorld, last: int
) -> None:
    world = new_world(plan="Standard", policy="waitlist")
    hq = world.put_ldif()
    world.do(put_group("team"), directory_id=hq)
    world.put_rule(GroupMatch(world.group(hq, "team").group_id), ADMIN)
    plan = plan_of(hq, *CROWD)
    world.events()

    killed(world, plan, last)
    world.check()
    record = submit(world, plan)

    assert record.state == "completed"
    actions = world.events()
    assert [actions.count(name) for name in ("user.created", "group.member_added", "role.granted")] == [
        5,
        5,
        4,
    ]
    assert world.seats(hq, *CROWD) == ["seated"] * 4 + ["waiting"]
    assert submit(world, DirectoryPlan(hq, "9:")).started_event is None
    assert world.events() == ["sync.completed"]
    world.check()


@pytest.mark.usefixtures("pairs")
def test_seats_left_by_a_run_that_was_killed_are_given_although_nothing_is_to_change(
    new_world: MakeWorld,
) -> None:
    world = new_world(plan="Standard", policy="waitlist")
    hq = world.put_ldif()
    world.do(put_group("team"), directory_id=hq)
    world.put_rule(GroupMatch(world.group(hq, "team").group_id), ADMIN)
    # Beginning, group, three batches of people; then the fingerprints would follow, and the seats.
    killed(world, plan_of(hq, *CROWD), 5)
    assert world.seats(hq, *CROWD) == ["waiting"] * 5

    submit(world, DirectoryPlan(hq, "2:"))

    assert world.seats(hq, *CROWD) == ["seated"] * 4 + ["waiting"]
    assert submit(world, DirectoryPlan(hq, "3:")).started_event is None
    world.check()


@pytest.mark.usefixtures("pairs")
def test_a_run_that_was_overtaken_stops_and_writes_no_end(world: World, hq: DirectoryId) -> None:
    claim = world.claim(hq)
    world.claim(hq)
    seen = len(world.bodies())

    with pytest.raises(StaleFenceError, match="directory 'hq' was taken over by another run; this one stops"):
        world.keeper.submit(claim, plan_of(hq, "ann"), READING)
    with pytest.raises(StaleFenceError):
        world.keeper.fail(claim, "x")

    assert (world.has_user(hq, "ann"), len(world.bodies())) == (False, seen)


@pytest.mark.usefixtures("pairs")
def test_a_run_that_is_overtaken_between_batches_stops_there(world: World, hq: DirectoryId) -> None:
    claim = world.claim(hq)

    def overtake(done: int, _people: int) -> None:
        if done == 4:
            world.claim(hq)

    with pytest.raises(StaleFenceError):
        world.keeper.submit(claim, plan_of(hq, *CROWD), READING, progress=overtake)

    assert sum(world.has_user(hq, name) for name in CROWD) == 2
    world.check()


# Seats


@pytest.mark.usefixtures("pairs")
def test_with_few_seats_the_list_decides_and_not_the_batches(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard")
    hq = world.put_ldif()
    world.do(put_group("team"), put_group("chiefs"), directory_id=hq)
    world.put_rule(world.group(hq, "team").group_id)
    world.put_rule(world.group(hq, "chiefs").group_id, ADMIN, priority=1)
    chiefs = tuple((external("chiefs"), external(name)) for name in ("f", "g"))
    plan = plan_of(hq, *CROWD, "f", "g")
    world.events()

    submit(world, replace(plan, add_members=(*plan.add_members, *chiefs)))

    assert world.seats(hq, *CROWD, "f", "g") == ["seated"] * 2 + ["waiting"] * 3 + ["seated"] * 2
    bodies = world.new_bodies()
    assert {world.chain(body)[-1] for body in bodies} == {"sync.started"}
    world.check()


def test_a_pulled_directory_is_never_refused_for_want_of_seats(new_world: MakeWorld) -> None:
    world = new_world(plan="Starter")
    hq = world.put_ldif()
    world.do(put_group("team"), directory_id=hq)
    world.put_rule(world.group(hq, "team").group_id)

    record = submit(world, plan_of(hq, "ann"))

    assert (record.state, world.seats(hq, "ann")) == ("completed", ["waiting"])


def test_a_freed_seat_is_used_by_the_next_run(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard")
    hq = world.put_ldif()
    world.do(put_group("team"), directory_id=hq)
    world.put_rule(world.group(hq, "team").group_id)
    submit(world, plan_of(hq, *CROWD))
    assert world.seats(hq, "e") == ["waiting"]

    submit(world, DirectoryPlan(hq, "2:", deactivate=(external("a"),)))

    assert world.seats(hq, "a", "e") == ["none", "seated"]
    world.check()


# The schedule

DIRECTORY = StoredDirectory(
    directory_id=DirectoryId("d"),
    organisation_id="o",  # type: ignore[arg-type]  # any id
    kind="ldif",
    name="hq",
    settings={},
    default_role=None,
    priority=100,
    interval_seconds=600,
    next_run_at=MONDAY,
)


@pytest.mark.parametrize(
    ("late", "due"),
    [
        (timedelta(0), MONDAY + timedelta(minutes=10)),
        (timedelta(minutes=3), MONDAY + timedelta(minutes=10)),
        (timedelta(minutes=10), MONDAY + timedelta(minutes=20)),
        (timedelta(days=3), MONDAY + timedelta(days=3, minutes=10)),
    ],
    ids=["in time", "a little late", "a whole interval late", "days late"],
)
def test_missed_runs_are_made_up_for_by_one(late: timedelta, due: datetime) -> None:
    assert next_run_at(DIRECTORY, MONDAY + late, failed=False) == due


@pytest.mark.parametrize(("failures", "minutes"), [(0, 20), (1, 40), (2, 80), (5, 360), (60, 360)], ids=str)
def test_after_failures_the_wait_doubles_up_to_six_hours(failures: int, minutes: int) -> None:
    due = next_run_at(replace(DIRECTORY, failures=failures), MONDAY, failed=True)

    assert due == MONDAY + timedelta(minutes=minutes)


def test_a_long_interval_is_not_shortened_by_a_failure() -> None:
    daily = replace(DIRECTORY, interval_seconds=86_400)

    assert next_run_at(daily, MONDAY, failed=True) == MONDAY + timedelta(days=1)


def test_a_directory_without_an_interval_runs_by_hand_only() -> None:
    by_hand = replace(DIRECTORY, interval_seconds=None, next_run_at=None)

    assert next_run_at(by_hand, MONDAY, failed=False) is None
    assert next_run_at(replace(DIRECTORY, next_run_at=None), MONDAY, failed=False) == MONDAY + timedelta(
        minutes=10
    )
