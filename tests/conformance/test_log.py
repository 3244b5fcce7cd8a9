"""The audit log, the names beside it, and the outbox."""

import pytest
from sqlalchemy import Executable, delete, select, text, update

from audit.events import ERASED
from directory.ids import EventId
from provisioning.ports import EventQuery, Reader
from provisioning.state import EventRow, PersonalData
from storage.engine import Database, open_database
from storage.errors import ConflictError, SealError
from storage.secrets import KeyRing
from storage.service_store import SQLEventSink
from storage.tables import audit_event, audit_pii, outbox
from storage.unit_of_work import OrganisationUnitOfWork
from tests.conformance.builders import NOW, Tenant, event, new_id

BODY = '{"name":"Zoë","z":"\\u0000"}'.encode()


def _append(tenant: Tenant, *events: EventRow) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.append_events(events)


def _bodies(reader: Reader, **query: object) -> list[bytes]:
    return [body for _, body in reader.events(EventQuery(**query))]  # type: ignore[arg-type]  # its own fields


def test_bodies_are_kept_byte_by_byte(tenant: Tenant) -> None:
    written = event(body=BODY), event(body=b"\x00" * 1_000_000), event(body=b"")

    _append(tenant, *written)

    with tenant.unit_of_work.read() as reader:
        wanted = [one.event_id for one in written] + [EventId(new_id())]
        assert reader.event_bodies(wanted) == {one.event_id: one.body for one in written}


def test_events_are_in_the_order_written(tenant: Tenant) -> None:
    _append(tenant, *(event(body=b"%d" % number) for number in range(5)))

    with tenant.unit_of_work.read() as reader:
        numbers = [number for number, _ in reader.events(EventQuery())]
        assert numbers == sorted(numbers)
        assert _bodies(reader) == [b"0", b"1", b"2", b"3", b"4"]
        assert _bodies(reader, limit=2) == [b"0", b"1"]
        assert _bodies(reader, after=numbers[1], limit=2) == [b"2", b"3"]
        assert _bodies(reader, newest_first=True, limit=2) == [b"4", b"3"]
        assert _bodies(reader, newest_first=True, after=numbers[3], limit=2) == [b"2", b"1"]


def test_many_events_are_streamed(tenant: Tenant) -> None:
    _append(tenant, *(event() for _ in range(5001)))

    with tenant.unit_of_work.read() as reader:
        assert len(_bodies(reader, limit=10_000)) == 5001


def test_an_event_is_written_once(tenant: Tenant) -> None:
    once = event()
    _append(tenant, once)

    with pytest.raises(ConflictError):
        _append(tenant, once)


@pytest.mark.parametrize(
    "statement", [update(audit_event).values(body=b"forged"), delete(audit_event)], ids=["update", "delete"]
)
def test_events_can_be_neither_changed_nor_deleted(tenant: Tenant, statement: Executable) -> None:
    written = event()
    _append(tenant, written)

    with pytest.raises(ConflictError, match="append-only"), tenant.database.write() as connection:
        connection.execute(statement)

    with tenant.unit_of_work.read() as reader:
        assert reader.event_bodies([written.event_id]) == {written.event_id: written.body}


def test_events_cannot_be_truncated_on_postgresql(tenant: Tenant) -> None:
    if tenant.database.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(ConflictError, match="append-only"), tenant.database.write() as connection:
        connection.execute(text("TRUNCATE audit_event"))


def test_postgresql_keeps_the_transaction_that_wrote_an_event(tenant: Tenant) -> None:
    if tenant.database.is_sqlite:
        pytest.skip("SQLite has one writer: the order of its rows is the order of its commits")
    _append(tenant, event(), event())
    _append(tenant, event())
    with tenant.database.read() as connection:
        newest = text("SELECT xid::text::bigint FROM audit_event ORDER BY id DESC LIMIT 3")
        third, second, first = connection.execute(newest).scalars()
    assert first == second < third


def test_names_come_back_under_their_reference(tenant: Tenant) -> None:
    zoe = PersonalData(new_id(), new_id(), {"name": "Zoë", "dn": "uid=zoë," + "x" * 100_000})
    bob = PersonalData(new_id(), new_id(), {})

    with tenant.unit_of_work.write() as writer:
        writer.insert_personal_data([zoe, bob])
        writer.insert_personal_data([])

    with tenant.unit_of_work.read() as reader:
        assert reader.personal_data([zoe.ref, bob.ref]) == {zoe.ref: zoe.values, bob.ref: {}}
        assert reader.personal_data([]) == {}


def test_a_reference_without_a_name_is_shown_as_erased(tenant: Tenant) -> None:
    gone = new_id()
    with tenant.unit_of_work.read() as reader:
        assert reader.personal_data([gone]) == {gone: {"name": "[erased]"}}


def test_names_are_not_stored_in_clear(tenant: Tenant) -> None:
    data = PersonalData(new_id(), new_id(), {"name": "Canary Wharf"})
    with tenant.unit_of_work.write() as writer:
        writer.insert_personal_data([data])

    with tenant.database.read() as connection:
        (row,) = connection.execute(select(audit_pii).where(audit_pii.c.ref == data.ref))
    assert b"Canary" not in row.key + row.ciphertext


def test_a_sealed_name_opens_in_no_other_row(tenant: Tenant) -> None:
    zoe, bob = (PersonalData(new_id(), new_id(), {"name": name}) for name in ("Zoë", "Bob"))
    with tenant.unit_of_work.write() as writer:
        writer.insert_personal_data([zoe, bob])
    with tenant.database.write() as connection:
        columns = select(audit_pii.c.key, audit_pii.c.ciphertext).where(audit_pii.c.ref == zoe.ref)
        key, ciphertext = connection.execute(columns).one()
        connection.execute(
            update(audit_pii).where(audit_pii.c.ref == bob.ref).values(key=key, ciphertext=ciphertext)
        )

    with tenant.unit_of_work.read() as reader, pytest.raises(SealError):
        reader.personal_data([bob.ref])


def test_names_need_the_key_they_were_sealed_by(tenant: Tenant) -> None:
    data = PersonalData(new_id(), new_id(), {"name": "Zoë"})
    with tenant.unit_of_work.write() as writer:
        writer.insert_personal_data([data])

    url = tenant.database.engine.url.render_as_string(hide_password=False)
    stranger = open_database(url, key_ring=KeyRing({"k2": b"2" * 32}, "k2"))
    with (
        OrganisationUnitOfWork(stranger, tenant.organisation_id).read() as reader,
        pytest.raises(SealError, match="key 'k1'"),
    ):
        reader.personal_data([data.ref])
    stranger.close()


def test_the_outbox_keeps_payloads_in_order(tenant: Tenant) -> None:
    payloads = [{"event": new_id(), "name": "Zoë", "nested": {"n": [1, None]}}, {}]
    with tenant.unit_of_work.write() as writer:
        writer.append_outbox("sessions.end", payloads, NOW)
        writer.append_outbox("none", [], NOW)

    with tenant.database.read() as connection:
        rows = connection.execute(
            select(outbox.c.topic, outbox.c.payload, outbox.c.created_at)
            .where(outbox.c.organisation_id == tenant.organisation_id)
            .order_by(outbox.c.id)
        ).all()
    assert [tuple(row) for row in rows] == [("sessions.end", payload, NOW) for payload in payloads]


def test_the_service_has_events_of_its_own(tenant: Tenant, database: Database) -> None:
    own = event("environment.loaded", body=b"service")

    SQLEventSink(database).append([own])
    SQLEventSink(database).append([])

    with tenant.unit_of_work.read() as reader:
        assert reader.event_bodies([own.event_id]) == {}
    with database.read() as connection:
        stored = select(audit_event.c.organisation_id, audit_event.c.body).where(
            audit_event.c.event_id == own.event_id
        )
        assert connection.execute(stored).one() == (None, b"service")


def test_the_log_of_another_organisation_is_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    subject, data = new_id(), PersonalData(new_id(), new_id(), {"name": "Zoë"})
    written = event(subject_id=subject)
    _append(other, written)
    with other.unit_of_work.write() as writer:
        writer.insert_personal_data([data])

    with tenant.unit_of_work.read() as reader:
        assert _bodies(reader) == _bodies(reader, about=(subject,)) == []
        assert reader.event_bodies([written.event_id]) == {}
        assert reader.personal_data([data.ref]) == {data.ref: {"name": ERASED}}
