"""What the service does by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from audit.body import EventBody, parse_body
from audit.sentences import describe
from directory.changes import Change, PutDirectory, PutToken, SetOverride
from directory.ids import DirectoryId, EventId, OverrideId, RoleId
from provisioning.apply import Exchange
from provisioning.commands import Applied
from provisioning.ports import EventQuery
from service import jobs
from service.administration import Administration
from service.errors import RefusedError
from service.names import find_member
from service.runs import claim_due, run_claimed
from tests.service.test_request_log import logged_ids, request
from tests.service.worlds import HandClock, active_mails, small_world, write_export


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    with small_world(tmp_path, clock) as administration:
        yield administration


def last_actions(world: Administration, number: int) -> list[str]:
    with world.read() as reader:
        rows = list(reader.events(EventQuery(newest_first=True, limit=number)))
    return [parse_body(body)["action"] for _, body in reversed(rows)]


def test_events_get_their_terms_by_themselves(world: Administration) -> None:
    world.record("log.read", ())
    while jobs.index_events(world.wiring):
        pass

    world.record("log.read", ())

    # PostgreSQL lets those wait that began beside others.
    assert jobs.index_events(world.wiring) == 1
    assert jobs.index_events(world.wiring) == 0


def test_person_absent_longer_than_the_retention_is_deleted(world: Administration, clock: HandClock) -> None:
    write_export(world.wiring, "anna")
    clock.advance(minutes=2)
    (lease,) = claim_due(world.wiring, limit=5)
    assert run_claimed(world.wiring, lease).record.state == "completed"
    assert "ben@acme.example" not in active_mails(world)

    clock.advance(days=29)
    assert jobs.delete_after_retention(world.wiring) == 0
    clock.advance(days=2)
    assert jobs.delete_after_retention(world.wiring) == 1
    assert jobs.delete_after_retention(world.wiring) == 0

    assert "user.deleted" in last_actions(world, 3)
    with world.read() as reader:
        (directory,) = reader.directories()
        assert reader.counts(directory.directory_id)["users"] == 1


def test_queue_that_a_crash_left_is_worked_off(world: Administration) -> None:
    assert jobs.drain(world.wiring) == 0
    with world.unit_of_work.write() as writer:
        ((_, body),) = list(writer.events(EventQuery(limit=1)))
        event_id = EventId(parse_body(body)["id"])
        writer.enqueue_everyone(kind="operator", root=event_id, parent=event_id)

    assert jobs.drain(world.wiring) == 1

    assert world.wiring.store.organisations_with_pending(10) == []


def test_refused_ending_keeps_no_other_from_ending(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.read() as reader:
        root = reader.organisation().root_scope_id
        members = [find_member(reader, name).member_id for name in ("anna", "ben")]
    for member_id in members:
        override = SetOverride(
            OverrideId(world.wiring.mint.id()),
            member_id,
            ((RoleId("Operator"), root),),
            "stand-in",
            clock() + timedelta(days=1),
        )
        world.apply([override])
    clock.advance(days=2)
    apply = Administration.apply
    refused = iter([True, False])

    def sometimes(self: Administration, changes: Sequence[Change]) -> Applied:
        if next(refused):
            raise RefusedError("invalid", "not now")
        return apply(self, changes)

    with monkeypatch.context() as patch:
        patch.setattr(Administration, "apply", sometimes)
        assert jobs.end_what_is_due(world.wiring) == 1

    assert jobs.end_what_is_due(world.wiring) == 1
    assert jobs.end_what_is_due(world.wiring) == 0


def test_retention_looks_at_directories_that_are_read_only(world: Administration, clock: HandClock) -> None:
    with world.unit_of_work.write() as writer:
        (directory,) = writer.directories()
        writer.put_directory(replace(directory, kind="scim"), clock())
    clock.advance(days=90)

    assert jobs.delete_after_retention(world.wiring) == 0


def test_who_comes_back_while_the_retention_looks_on_is_not_deleted(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(world.wiring, "anna")
    clock.advance(minutes=2)
    (lease,) = claim_due(world.wiring, limit=5)
    run_claimed(world.wiring, lease)
    clock.advance(days=31)
    apply = Administration.apply

    def come_back_first(
        self: Administration,
        changes: Sequence[Change],
        *,
        directory_id: DirectoryId | None = None,
        exchange: Exchange | None = None,
    ) -> Applied:
        monkeypatch.setattr(Administration, "apply", apply)
        write_export(world.wiring, "anna", "ben")
        (lease,) = claim_due(world.wiring, limit=5)
        run_claimed(world.wiring, lease)
        return apply(self, changes, directory_id=directory_id, exchange=exchange)

    monkeypatch.setattr(Administration, "apply", come_back_first)

    assert jobs.delete_after_retention(world.wiring) == 0
    assert "ben@acme.example" in active_mails(world)


def test_the_history_of_runs_is_bounded_in_number_and_in_time(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RUNS_KEPT", 3)
    for _ in range(5):
        clock.advance(minutes=2)
        (lease,) = claim_due(world.wiring, limit=5)
        run_claimed(world.wiring, lease)

    # The first one is the last that changed anything.
    assert jobs.delete_old_runs(world.wiring) == 2
    assert count_runs(world) == 4
    clock.advance(days=91)
    assert jobs.delete_old_runs(world.wiring) == 3
    assert count_runs(world) == 1


def count_runs(world: Administration) -> int:
    with world.read() as reader:
        return len(reader.runs(None, 99))


def add_token(world: Administration, *, days: int | None) -> str:
    mint = world.wiring.mint
    directory_id, token_id = DirectoryId(mint.id()), mint.id()
    expires_at = None if days is None else world.wiring.clock() + timedelta(days=days)
    world.apply([PutDirectory(directory_id, "scim", f"push {token_id}", {})])
    world.apply([PutToken(token_id, directory_id, "entra", f"usher_{token_id[-8:]}", bytes(32), expires_at)])
    return token_id


def test_the_end_of_a_token_is_noted_at_30_7_and_1_days(world: Administration, clock: HandClock) -> None:
    add_token(world, days=31)
    add_token(world, days=None)

    noted = []
    for days in (0, 1, 1, 22, 1, 5, 1, 1):
        clock.advance(days=days)
        noted.append(jobs.note_ending_tokens(world.wiring))

    assert noted == [0, 1, 0, 1, 0, 1, 0, 0]
    (body,) = [one for one in last_bodies(world, 1) if one["action"] == "token.expiring"]
    assert body["actor"] == {"type": "system", "id": "scheduler"}
    assert describe(body).startswith("The system (scheduler) noted that the token entra of directory ")


def last_bodies(world: Administration, number: int) -> list[EventBody]:
    with world.read() as reader:
        return [parse_body(body) for _, body in reader.events(EventQuery(newest_first=True, limit=number))]


def test_a_token_made_for_a_day_is_noted_once(world: Administration, clock: HandClock) -> None:
    add_token(world, days=1)

    assert [jobs.note_ending_tokens(world.wiring) for _ in range(2)] == [1, 0]
    (body,) = last_bodies(world, 1)
    assert {change["path"]: change["after"] for change in body["changes"]}["days"] == 1


def test_a_notice_that_is_refused_keeps_no_other_from_being_given(
    world: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_token(world, days=1)

    def refuse(*_: object, **__: object) -> Applied:
        raise RefusedError("not_found", "gone")

    with monkeypatch.context() as patch:
        patch.setattr(Administration, "apply", refuse)
        assert jobs.note_ending_tokens(world.wiring) == 0
    assert jobs.note_ending_tokens(world.wiring) == 1


def test_the_request_log_is_kept_as_long_as_the_settings_say(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_REQUESTS_AT_ONCE", 2)
    add_token(world, days=None)
    with world.read() as reader:
        (token,) = reader.tokens()
    for _ in range(5):
        world.wiring.pushes.append_requests([request(world, token)])
    clock.advance(days=29)
    world.wiring.pushes.append_requests([request(world, token)])

    assert jobs.delete_logged_requests(world.wiring) == 0
    clock.advance(days=2)
    assert jobs.delete_logged_requests(world.wiring) == 5
    assert len(logged_ids(world, token)) == 1


def test_what_two_processes_do_at_once_is_done_once(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that it is due; the second comes to the lock when the first has done it."""
    add_token(world, days=1)
    with world.read() as reader:
        root = reader.organisation().root_scope_id
        anna = find_member(reader, "anna").member_id
    until = clock() + timedelta(hours=1)
    role = ((RoleId("Operator"), root),)
    world.apply([SetOverride(OverrideId(world.wiring.mint.id()), anna, role, "stand-in", until)])
    clock.advance(hours=2)
    apply = Administration.apply

    for job, action in (
        (jobs.end_what_is_due, "override.ended"),
        (jobs.note_ending_tokens, "token.expiring"),
    ):
        done = []

        def come_first(self: Administration, changes: Sequence[Change]) -> Applied:
            monkeypatch.setattr(Administration, "apply", apply)
            done.append(job(self.wiring))  # noqa: B023 - called within this turn of the loop
            return apply(self, changes)

        monkeypatch.setattr(Administration, "apply", come_first)
        assert job(world.wiring) == 0
        assert done == [1]
        assert [body["action"] for body in last_bodies(world, 99)].count(action) == 1
