"""Streams and their deliveries on both databases: one holder at a time, and nothing but one's own."""

from dataclasses import replace
from datetime import timedelta

import pytest

from audit.events import ERASED
from directory.ids import EventId, OrganisationId, StreamId
from provisioning.state import EventRow, PersonalData
from provisioning.streaming import DeadLetter, DueLane, Lag, Lane, StoredStream
from storage.engine import Database
from storage.streams import SQLStreamStore
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, new_id
from tests.sealed import remove_events, seal

LEASE = NOW + MINUTE


@pytest.fixture
def tenant(fresh_database: Database) -> Tenant:
    """Nobody else has anything due."""
    return make_tenant(fresh_database)


def put(
    tenant: Tenant, name: str = "siem", kind: str = "webhook", host: str = "siem.example:443", **lane: int
) -> StoredStream:
    stream = StoredStream(
        stream_id=StreamId(new_id()),
        organisation_id=tenant.organisation_id,
        name=name,
        kind=kind,
        settings={"url": "https://siem.example"},
        host=host,
        state="active",
        reason="",
        version=1,
        created_at=NOW,
        fingerprints={"signing_secret": "abcd"},
    )
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_stream(stream, NOW)
        writer.streams.put_lane(lane_of(stream, **lane))
    return stream


def lane_of(stream: StoredStream, **values: int) -> Lane:
    return replace(Lane(stream.stream_id, stream.organisation_id, "live", -1, NOW), **values)  # type: ignore[arg-type]  # the tests give numbers to fields that are numbers


def due_lane(stream: StoredStream, track: str = "live") -> DueLane:
    return DueLane(stream.stream_id, track, stream.host, stream.organisation_id)


def append(tenant: Tenant, number: int, ref: str = "") -> None:
    body = b'{"targets":[{"pii":"pii:%s"}]}' % ref.encode() if ref else b"{}"
    with tenant.unit_of_work.write() as writer:
        writer.append_events([EventRow(EventId(new_id()), NOW, "log.read", "", body) for _ in range(number)])


def lanes(tenant: Tenant) -> list[Lane]:
    with tenant.unit_of_work.read() as reader:
        return reader.streams.lanes()


def test_a_stream_is_kept_whole_and_is_its_organisations(fresh_database: Database, tenant: Tenant) -> None:
    other = make_tenant(fresh_database)
    zeta, alpha = put(tenant, "Zeta"), put(tenant, "alpha")

    with tenant.unit_of_work.read() as reader:
        assert reader.streams.streams() == [alpha, zeta]
        assert reader.streams.stream(zeta.stream_id) == zeta
        assert reader.streams.stream(StreamId("siem")) is None
    with other.unit_of_work.read() as reader:
        assert (reader.streams.streams(), reader.streams.lanes()) == ([], [])
        assert reader.streams.stream(zeta.stream_id) is None


def test_a_removed_stream_is_gone(tenant: Tenant) -> None:
    stream = put(tenant)
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_stream_secret(stream.stream_id, "signing_secret", b"canary", NOW)
        assert writer.streams.secrets(stream.stream_id, ["signing_secret", "other"]) == {
            "signing_secret": b"canary"
        }
        writer.streams.put_stream_secret(stream.stream_id, "signing_secret", None, NOW)
        writer.streams.remove_stream(stream.stream_id, NOW)

        assert writer.streams.secrets(stream.stream_id, ["signing_secret"]) == {}
        assert (writer.streams.streams(), writer.streams.lanes()) == ([], [])


def test_sealed_events_come_with_their_names(fresh_database: Database, tenant: Tenant) -> None:
    ref, erased = new_id(), new_id()
    with tenant.unit_of_work.write() as writer:
        writer.insert_personal_data([PersonalData(ref, new_id(), {"display_name": "Ann"})])
    append(tenant, 1, ref)
    append(tenant, 1, erased)
    append(tenant, 2)
    log = SQLStreamStore(fresh_database).log(tenant.organisation_id)
    assert (log.head(), list(log.after(-1, 10))) == (-1, [])
    seal(fresh_database, tenant.organisation_id, NOW)

    found = log.after(-1, 10)

    assert (log.head(), [event.leaf_index for event in found]) == (3, [0, 1, 2, 3])
    assert found[0].names == {f"pii:{ref}": {"display_name": "Ann"}}
    assert (found[1].names, found[0].sealed_at) == ({f"pii:{erased}": {"name": ERASED}}, NOW)
    assert [event.leaf_index for event in log.after(1, 1)] == [2]
    signed = log.checkpoint(4)
    assert signed is not None
    assert (signed.size, signed.sealed_at) == (4, NOW)
    assert str(tenant.organisation_id) in signed.note
    assert log.checkpoint(3) is None
    remove_events(fresh_database, tenant.organisation_id, 0, 1)
    assert [event.leaf_index for event in log.after(-1, 10)] == [2, 3]
    assert SQLStreamStore(fresh_database).log(OrganisationId(new_id())).head() == -1


def test_what_is_behind_is_due_the_longest_first(fresh_database: Database, tenant: Tenant) -> None:
    store = SQLStreamStore(fresh_database)
    assert store.due(NOW, 10) == []
    first, second = put(tenant, "first"), put(tenant, "second")
    put(tenant, "done", position=1)
    put(tenant, "fetched", kind="pull")
    append(tenant, 2)
    assert store.due(NOW, 10) == []
    seal(fresh_database, tenant.organisation_id, NOW)
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_lane(replace(lane_of(second), due_at=NOW - MINUTE))

    assert [one.stream_id for one in store.due(NOW, 10)] == [second.stream_id, first.stream_id]
    assert store.due(NOW, 1) == [due_lane(second)]
    assert [one.stream_id for one in store.due(NOW - MINUTE, 10)] == [second.stream_id]
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_stream(replace(second, state="paused"), NOW)
        writer.streams.remove_stream(first.stream_id, NOW)
    assert store.due(NOW, 10) == []


def test_no_receiver_hides_those_of_others(fresh_database: Database, tenant: Tenant) -> None:
    store = SQLStreamStore(fresh_database)
    for number in range(6):
        put(tenant, f"stalled {number}")
    other = make_tenant(fresh_database)
    quick = put(other, "quick", host="quick.example:443")
    with other.unit_of_work.write() as writer:
        writer.streams.put_lane(replace(lane_of(quick), due_at=NOW + MINUTE))
    for one in (tenant, other):
        append(one, 1)
    seal(fresh_database, tenant.organisation_id, NOW)

    due = store.due(NOW + MINUTE, 3)

    assert [one.host for one in due] == ["siem.example:443", "quick.example:443", "siem.example:443"]
    assert due[1].organisation_id == other.organisation_id
    assert store.claim(replace_organisation(due[1], tenant), "one", NOW + MINUTE, LEASE + MINUTE) is None


def replace_organisation(due: DueLane, tenant: Tenant) -> DueLane:
    return due._replace(organisation_id=tenant.organisation_id)


def test_a_delivery_is_held_by_one(fresh_database: Database, tenant: Tenant) -> None:
    store = SQLStreamStore(fresh_database)
    stream = put(tenant)
    due = due_lane(stream)
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_stream_secret(stream.stream_id, "signing_secret", b"canary", NOW)

    held = store.claim(due, "one", NOW, LEASE)

    assert held is not None
    assert (held.stream, dict(held.secrets)) == (stream, {"signing_secret": b"canary"})
    assert "canary" not in repr(held)
    assert store.claim(due, "two", NOW, LEASE) is None
    taken_over = store.claim(due, "two", LEASE, LEASE + MINUTE)
    assert taken_over is not None
    moved = replace(held.lane, position=1)
    assert not store.save(moved, lease_until=None)
    assert not store.finish(held.lane)
    kept = replace(
        taken_over.lane,
        position=1,
        batch_last=4,
        size=7,
        attempts=2,
        dead_in_row=1,
        due_at=LEASE,
        acknowledged_at=NOW,
        trouble="answered 500",
    )
    assert store.save(kept, lease_until=LEASE + MINUTE)
    assert lanes(tenant) == [kept]
    assert store.claim(due, "three", LEASE, LEASE) is None
    assert store.save(kept, lease_until=None)
    again = store.claim(due, "three", LEASE, LEASE + MINUTE)
    assert again is not None
    assert again.lane == replace(kept, fence=kept.fence + 1)


def test_a_stream_that_is_paused_cannot_be_held(fresh_database: Database, tenant: Tenant) -> None:
    stream = put(tenant)
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_stream(replace(stream, state="paused"), NOW)

    due = due_lane(stream)
    assert SQLStreamStore(fresh_database).claim(due, "one", NOW, LEASE) is None


def test_what_a_replay_replaced_or_ended_is_refused(fresh_database: Database, tenant: Tenant) -> None:
    store = SQLStreamStore(fresh_database)
    stream = put(tenant)
    replay = replace(lane_of(stream), track="replay", until=3)
    due = due_lane(stream, "replay")
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_lane(replay)
    old = store.claim(due, "one", NOW, LEASE)
    assert old is not None
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_lane(replay)
    assert not store.save(old.lane, lease_until=None)

    newer = store.claim(due, "two", NOW, LEASE)
    assert newer is not None
    assert store.finish(newer.lane)
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_lane(replace(replay, due_at=NOW + timedelta(seconds=1)))
    assert store.claim(due, "three", LEASE, LEASE) is not None
    assert not store.save(newer.lane, lease_until=None)


def test_waking_forgets_failures(tenant: Tenant) -> None:
    stream = put(tenant, attempts=9, dead_in_row=3)
    with tenant.unit_of_work.write() as writer:
        writer.streams.wake(stream.stream_id, LEASE)

    (lane,) = lanes(tenant)
    assert (lane.attempts, lane.dead_in_row, lane.due_at) == (0, 0, LEASE)


def test_lag_is_told_in_events_and_since_when(fresh_database: Database, tenant: Tenant) -> None:
    stream = put(tenant)
    append(tenant, 3)
    seal(fresh_database, tenant.organisation_id, NOW)

    with tenant.unit_of_work.read() as reader:
        assert reader.streams.lag(lane_of(stream)) == Lag(3, NOW)
        assert reader.streams.lag(lane_of(stream, position=2)) == Lag(0, None)
        assert reader.streams.lag(lane_of(stream, until=1)) == Lag(2, NOW)


def test_a_dead_letter_is_kept_once(tenant: Tenant) -> None:
    stream = put(tenant)
    letter = DeadLetter(stream.stream_id, 7, new_id(), "answered 400", NOW)
    with tenant.unit_of_work.write() as writer:
        assert writer.streams.insert_dead_letter(letter)
        assert not writer.streams.insert_dead_letter(letter)
        assert writer.streams.dead_letters(stream.stream_id, 10) == [letter]


def test_a_token_finds_its_stream_while_that_is_active(fresh_database: Database, tenant: Tenant) -> None:
    store = SQLStreamStore(fresh_database)
    stream = put(tenant, kind="pull")
    with tenant.unit_of_work.write() as writer:
        writer.streams.put_token(stream.stream_id, b"digest")
    assert store.stream_of_token(b"digest") == stream
    assert store.stream_of_token(b"other") is None

    assert store.note_fetched(stream.stream_id, 3, NOW)
    assert not store.note_fetched(stream.stream_id, 4, NOW + MINUTE)
    assert store.note_fetched(stream.stream_id, 5, NOW + timedelta(days=1))
    assert [lane.position for lane in lanes(tenant)] == [5]

    with tenant.unit_of_work.write() as writer:
        writer.streams.remove_stream(stream.stream_id, NOW)
    assert store.stream_of_token(b"digest") is None
    assert store.note_fetched(stream.stream_id, 3, NOW)
