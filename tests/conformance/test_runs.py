"""Runs, leases and the fence."""

from dataclasses import replace

from directory.ids import EventId
from provisioning.state import Claim, StoredDirectory
from storage.service_store import SQLServiceStore
from tests.conformance.builders import MINUTE, NOW, Tenant, directory, new_id, run


def _claim(tenant: Tenant, *, minutes: int = 0) -> Claim:
    at = NOW + minutes * MINUTE
    claim = SQLServiceStore(tenant.database).claim(tenant.directory_id, "worker", at, at + 5 * MINUTE)
    assert claim is not None
    return claim


def _directory(tenant: Tenant) -> StoredDirectory:
    with tenant.unit_of_work.read() as reader:
        (stored,) = reader.directories()
    return stored


def test_a_run_comes_back_as_it_ended(tenant: Tenant) -> None:
    started = run(tenant.directory_id)
    ended = replace(
        started,
        state="blocked",
        started_event=EventId(new_id()),
        finished_at=NOW + MINUTE,
        counters={"users_created": 3},
        reason="Too many went",
        plan_hash="ab" * 32,
        source_hash="cd" * 32,
        plan={"steps": [1, "zwei"], "more": None},
        approved_by="admin",
    )
    with tenant.unit_of_work.write() as writer:
        writer.insert_run(started)
        assert writer.runs(tenant.directory_id, 9) == [started]
        writer.finish_run(ended, next_run_at=None, succeeded=False)
        assert writer.runs(None, 9) == [ended]


def test_runs_are_newest_first(tenant: Tenant) -> None:
    second = directory(tenant.organisation_id, name="second")
    runs = [run(tenant.directory_id, started_at=NOW + minutes * MINUTE) for minutes in range(3)]
    far = run(second.directory_id, started_at=NOW - MINUTE, started_event=EventId(new_id()))
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(second, NOW)
        for one in (runs[1], runs[2], far, runs[0]):
            writer.insert_run(one)
        assert writer.runs(tenant.directory_id, 2) == [runs[2], runs[1]]
        assert writer.runs(None, 9) == [runs[2], runs[1], runs[0], far]


def test_the_last_applied_run_is_the_one_of_the_highest_fence_that_began_to_apply(tenant: Tenant) -> None:
    event_id = EventId(new_id())
    applied = run(tenant.directory_id, 7, started_event=event_id, started_at=NOW - MINUTE)
    with tenant.unit_of_work.write() as writer:
        assert writer.last_applied_run(tenant.directory_id) is None
        writer.insert_run(applied)
        # Of another worker, whose clock goes ahead.
        writer.insert_run(run(tenant.directory_id, 6, started_event=event_id))
        writer.insert_run(run(tenant.directory_id, 8, started_at=NOW + MINUTE))
        assert writer.last_applied_run(tenant.directory_id) == applied


def fences(tenant: Tenant) -> list[int]:
    with tenant.unit_of_work.read() as reader:
        return sorted(one.fence for one in reader.runs(tenant.directory_id, 99))


def test_of_the_history_the_latest_runs_stay_and_what_the_next_run_looks_back_at(
    tenant: Tenant, other: Tenant
) -> None:
    event_id = EventId(new_id())
    far = run(other.directory_id, state="completed", started_at=NOW - 9 * MINUTE)
    with other.unit_of_work.write() as writer:
        writer.insert_run(far)
    with tenant.unit_of_work.write() as writer:
        for fence in range(1, 10):
            applied = event_id if fence in {1, 2} else None
            state = "running" if fence == 3 else "completed"
            begun = NOW + (fence - 9) * MINUTE
            writer.insert_run(
                run(tenant.directory_id, fence, state=state, started_event=applied, started_at=begun)
            )
        assert writer.delete_runs(other.directory_id, NOW, 0) == 0
        assert writer.delete_runs(tenant.directory_id, NOW - 60 * MINUTE, 9) == 0
        assert writer.delete_runs(tenant.directory_id, NOW - 60 * MINUTE, 5) == 2
    assert fences(tenant) == [2, 3, 5, 6, 7, 8, 9]

    with tenant.unit_of_work.write() as writer:
        assert writer.delete_runs(tenant.directory_id, NOW - 2 * MINUTE, 99) == 2
    assert fences(tenant) == [2, 3, 7, 8, 9]
    with other.unit_of_work.read() as reader:
        assert reader.runs(None, 9) == [far]


def test_a_history_without_a_run_that_applied_anything_is_trimmed_as_well(tenant: Tenant) -> None:
    with tenant.unit_of_work.write() as writer:
        for fence in (1, 2):
            writer.insert_run(run(tenant.directory_id, fence, state="failed"))
        assert writer.delete_runs(tenant.directory_id, NOW, 1) == 1
    assert fences(tenant) == [2]


def test_runs_that_never_ended_are_interrupted(tenant: Tenant) -> None:
    lost, done = run(tenant.directory_id), run(tenant.directory_id, state="completed", finished_at=NOW)
    with tenant.unit_of_work.write() as writer:
        writer.insert_run(lost)
        writer.insert_run(done)
        assert writer.interrupt_runs(tenant.directory_id, NOW + MINUTE) == 1
        assert writer.interrupt_runs(tenant.directory_id, NOW + MINUTE) == 0
        found = {one.run_id: one for one in writer.runs(tenant.directory_id, 9)}
    assert found[lost.run_id] == replace(lost, state="interrupted", finished_at=NOW + MINUTE)
    assert found[done.run_id] == done


def test_a_success_ends_the_lease_and_clears_failures(tenant: Tenant) -> None:
    first, second = _claim(tenant), None
    ended = run(tenant.directory_id, first.fence, state="failed", finished_at=NOW)
    with tenant.unit_of_work.write() as writer:
        writer.insert_run(ended)
        writer.finish_run(ended, next_run_at=NOW + MINUTE, succeeded=False)
    stored = _directory(tenant)
    assert (stored.failures, stored.last_success_at, stored.next_run_at) == (1, None, NOW + MINUTE)

    second = _claim(tenant)
    ended = run(tenant.directory_id, second.fence, state="completed", finished_at=NOW + 2 * MINUTE)
    with tenant.unit_of_work.write() as writer:
        writer.insert_run(ended)
        writer.finish_run(ended, next_run_at=None, succeeded=True)
    stored = _directory(tenant)
    assert (stored.failures, stored.last_success_at, stored.next_run_at) == (0, NOW + 2 * MINUTE, None)
    assert stored.fence == second.fence == first.fence + 1
    assert _claim(tenant).fence == second.fence + 1


def test_the_fence_renews_the_lease(tenant: Tenant) -> None:
    claim = _claim(tenant)
    store = SQLServiceStore(tenant.database)

    with tenant.unit_of_work.write() as writer:
        assert writer.check_fence(tenant.directory_id, claim.fence, NOW + 60 * MINUTE)

    assert store.claim(tenant.directory_id, "other", NOW + 59 * MINUTE, NOW + 61 * MINUTE) is None
    assert store.claim(tenant.directory_id, "other", NOW + 60 * MINUTE, NOW + 61 * MINUTE) is not None


def test_a_run_that_was_overtaken_can_write_nothing(tenant: Tenant) -> None:
    stopped = _claim(tenant)
    taken_over = _claim(tenant, minutes=5)
    late = run(tenant.directory_id, stopped.fence, finished_at=NOW + 6 * MINUTE)

    with tenant.unit_of_work.write() as writer:
        writer.insert_run(late)
        assert not writer.check_fence(tenant.directory_id, stopped.fence, NOW + 60 * MINUTE)
        writer.finish_run(late, next_run_at=NOW, succeeded=True)
        assert writer.check_fence(tenant.directory_id, taken_over.fence, NOW + 60 * MINUTE)

    stored = _directory(tenant)
    assert (stored.next_run_at, stored.last_success_at) == (None, None)


def test_a_fence_that_was_never_taken_holds_nothing(tenant: Tenant) -> None:
    with tenant.unit_of_work.write() as writer:
        assert not writer.check_fence(tenant.directory_id, 0, NOW + MINUTE)


def test_runs_of_another_organisation_are_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    claim = _claim(other)
    running = run(other.directory_id, claim.fence, started_event=EventId(new_id()))
    with other.unit_of_work.write() as writer:
        writer.insert_run(running)

    with tenant.unit_of_work.write() as writer:
        assert writer.runs(other.directory_id, 9) == writer.runs(None, 9) == []
        assert writer.last_applied_run(other.directory_id) is None
        assert writer.interrupt_runs(other.directory_id, NOW) == 0
        assert not writer.check_fence(other.directory_id, claim.fence, NOW + MINUTE)
        writer.finish_run(replace(running, state="failed"), next_run_at=NOW, succeeded=True)

    with other.unit_of_work.write() as writer:
        assert writer.runs(None, 9) == [running]
        assert writer.check_fence(other.directory_id, claim.fence, NOW + MINUTE)
