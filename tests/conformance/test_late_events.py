"""Events that wait for the commit of their change and go with it, and all that must not be noticed of that."""

import pytest

from directory.ids import EventId
from provisioning.ports import EventQuery, UnitOfWork, Writer
from provisioning.state import EventRow
from storage.engine import Database
from storage.errors import ConflictError
from storage.event_rows import FEW, has_waiting_events, index_waiting_events
from tests.conformance.builders import Tenant, event, make_tenant


def _ids(unit_of_work: UnitOfWork, events: list[EventRow]) -> list[EventId]:
    """Which of the events there are, in the order of their rows."""
    known = {row.body: row.event_id for row in events}
    with unit_of_work.read() as reader:
        return [known[body] for _, body in reader.events(EventQuery(limit=1000)) if body in known]


def _events(number: int) -> list[EventRow]:
    return [event() for _ in range(number)]


@pytest.mark.parametrize("number", [1, 2, FEW, FEW + 1, 3 * FEW])
def test_events_are_stored_in_the_order_in_which_they_were_appended(tenant: Tenant, number: int) -> None:
    events = _events(number)

    with tenant.unit_of_work.write() as writer:
        for one in events:
            writer.append_events([one])

    assert _ids(tenant.unit_of_work, events) == [one.event_id for one in events]


def test_a_change_without_events_is_committed(tenant: Tenant) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.append_events([])


def test_a_transaction_sees_the_events_that_it_has_appended(tenant: Tenant) -> None:
    first, second = _events(2)

    with tenant.unit_of_work.write() as writer:
        writer.append_events([first])
        assert writer.event_bodies([first.event_id]) == {first.event_id: first.body}
        writer.append_events([second])
        found = [body for _, body in writer.events(EventQuery(limit=1000))]

    assert found[-2:] == [first.body, second.body]
    assert _ids(tenant.unit_of_work, [first, second]) == [first.event_id, second.event_id]


def test_an_attempt_that_is_taken_back_takes_its_own_events_and_no_others(tenant: Tenant) -> None:
    before, inside, kept, behind = events = _events(4)

    with tenant.unit_of_work.write() as writer:
        writer.append_events([before])
        with pytest.raises(LookupError):
            _fail(writer, inside)
        with writer.attempt():
            writer.append_events([kept])
        writer.append_events([behind])

    assert _ids(tenant.unit_of_work, events) == [before.event_id, kept.event_id, behind.event_id]


def _fail(writer: Writer, inside: EventRow) -> None:
    with writer.attempt():
        writer.append_events([inside])
        raise LookupError


def test_a_change_that_fails_leaves_no_event(tenant: Tenant) -> None:
    events = _events(1)

    with pytest.raises(LookupError):
        _fail_whole(tenant, events)

    assert _ids(tenant.unit_of_work, events) == []


def _fail_whole(tenant: Tenant, events: list[EventRow]) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.append_events(events)
        raise LookupError


def test_a_change_whose_event_cannot_be_written_is_rolled_back(tenant: Tenant) -> None:
    (known, fresh) = _events(2)
    with tenant.unit_of_work.write() as writer:
        writer.append_events([known])
    with tenant.unit_of_work.read() as reader:
        before = reader.organisation()

    with pytest.raises(ConflictError):
        _change(tenant, [fresh, known])

    with tenant.unit_of_work.read() as reader:
        assert reader.organisation() == before
    assert _ids(tenant.unit_of_work, [known, fresh]) == [known.event_id]
    # The connection is as good as new.
    _change(tenant, [fresh])
    assert _ids(tenant.unit_of_work, [known, fresh]) == [known.event_id, fresh.event_id]


def _change(tenant: Tenant, events: list[EventRow]) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.save_organisation(tenant.state)
        writer.append_events(events)


def test_events_wait_for_terms_until_they_are_given(fresh_database: Database) -> None:
    own = make_tenant(fresh_database)
    with own.unit_of_work.write() as writer:
        # The first of a process are given terms at once, the next wait.
        writer.append_events(_events(1))
    with own.unit_of_work.write() as writer:
        writer.append_events(_events(1))

    with fresh_database.write() as connection:
        assert has_waiting_events(connection)
        assert index_waiting_events(connection) > 0
    with fresh_database.read() as connection:
        assert not has_waiting_events(connection)
