"""Connections with certificates, keys and metadata, tests and enforcement: kept whole, and of one organisation."""

from dataclasses import replace

import pytest

from directory.ids import ConnectionId
from provisioning.logins import Enforcement, StoredTest
from storage.engine import Database
from storage.errors import ConflictError, SealError
from storage.login_store import SQLLoginStore
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, new_id
from tests.conformance.sso_builders import (
    DAY,
    HOUR,
    certificate,
    connection,
    key,
    metadata,
    sealed_values,
)

URL = {"metadata_url": "https://idp.example/metadata"}


def test_a_connection_is_kept_whole(tenant: Tenant) -> None:
    ends = certificate("b", state="retired", added_at=NOW + MINUTE, ends_at=NOW + DAY, noticed_days=7)
    kept = connection(
        tenant,
        certificates=(certificate(), ends),
        keys=(key(), key("k2", state="next", added_at=NOW + MINUTE, noticed_days=30)),
        metadata=metadata(failing_since=NOW, failure="timed out"),
    )

    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(kept, NOW)
        for one in kept.certificates:
            writer.sso.put_certificate(kept.connection_id, one)
        for each in kept.keys:
            writer.sso.put_key(kept.connection_id, each, None)
        assert kept.metadata is not None
        writer.sso.put_metadata(kept.connection_id, kept.metadata)

    with tenant.unit_of_work.read() as reader:
        assert reader.sso.connection(kept.connection_id) == kept
        assert reader.sso.connections() == [kept]
        assert reader.sso.connection(ConnectionId(new_id())) is None
        assert reader.sso.connection(ConnectionId("entra")) is None


def test_connections_come_by_name_and_are_written_anew(tenant: Tenant) -> None:
    zeta, alpha = connection(tenant, "Zeta"), connection(tenant, "alpha")
    moved = replace(alpha, name="Beta", settings={"jit": False}, version=2)

    with tenant.unit_of_work.write() as writer:
        assert writer.sso.connections() == []
        for one in (zeta, alpha):
            writer.sso.put_connection(one, NOW)
        writer.sso.put_connection(replace(moved, created_at=NOW + DAY), NOW + MINUTE)

        assert writer.sso.connections() == [moved, zeta]


def test_a_removed_connection_is_gone_and_its_keys_are_destroyed(database: Database, tenant: Tenant) -> None:
    gone = connection(tenant)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(gone, NOW)
        writer.sso.put_key(gone.connection_id, key(), b"PEM")

        writer.sso.remove_connection(gone.connection_id, NOW)
        writer.sso.remove_connection(gone.connection_id, NOW + DAY)

        assert writer.sso.connections() == []
        assert writer.sso.connection(gone.connection_id) is None
        assert writer.sso.sp_private_key(gone.connection_id, "k1") is None
    with SQLLoginStore(database).read() as view:
        assert view.organisation_of_connection(gone.connection_id) == tenant.organisation_id


def test_of_a_stored_certificate_state_end_and_notice_move(tenant: Tenant) -> None:
    owner = connection(tenant)
    moved = certificate(state="retired", ends_at=NOW, noticed_days=1)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(owner, NOW)
        writer.sso.put_certificate(owner.connection_id, certificate())

        writer.sso.put_certificate(owner.connection_id, replace(moved, added_at=NOW + DAY, certificate=b"x"))

        found = writer.sso.connection(owner.connection_id)
    assert found is not None
    assert found.certificates == (moved,)


def test_metadata_is_replaced(tenant: Tenant) -> None:
    owner = connection(tenant)
    newer = metadata(document="<new/>", etag="", valid_until=None, taken_at=NOW + DAY, checked_at=NOW + DAY)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(owner, NOW)
        writer.sso.put_metadata(owner.connection_id, metadata())
        writer.sso.put_metadata(owner.connection_id, newer)

        found = writer.sso.connection(owner.connection_id)
    assert found is not None
    assert found.metadata == newer


def test_a_private_key_is_sealed_kept_and_destroyed(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    owner = connection(tenant)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(owner, NOW)
        writer.sso.put_key(owner.connection_id, key(), b"PRIVATE")
        writer.sso.put_key(owner.connection_id, key(state="next"), None)
        writer.sso.put_key(owner.connection_id, key("k2"), None)
        assert writer.sso.sp_private_key(owner.connection_id, "k1") == b"PRIVATE"
        assert writer.sso.sp_private_key(owner.connection_id, "k2") is None
        assert writer.sso.sp_private_key(owner.connection_id, "k3") is None
    (stored,) = sealed_values(fresh_database, "sp_key", "private_key")
    assert b"PRIVATE" not in stored

    with tenant.unit_of_work.write() as writer:
        writer.sso.delete_key(owner.connection_id, "k1")
        assert writer.sso.sp_private_key(owner.connection_id, "k1") is None
        found = writer.sso.connection(owner.connection_id)
    assert found is not None
    assert found.keys == (key("k2"),)


@pytest.mark.parametrize("column", ["key_id", "connection_id", "organisation_id"])
def test_a_sealed_key_that_was_moved_does_not_open(fresh_database: Database, column: str) -> None:
    tenant, other = make_tenant(fresh_database), make_tenant(fresh_database)
    first, second, theirs = connection(tenant), connection(tenant, "Okta"), connection(other)
    with tenant.unit_of_work.write() as writer:
        for one in (first, second):
            writer.sso.put_connection(one, NOW)
        writer.sso.put_key(first.connection_id, key(), b"PRIVATE")
    with other.unit_of_work.write() as writer:
        writer.sso.put_connection(theirs, NOW)
    moved = {
        "key_id": "k2",
        "connection_id": second.connection_id,
        "organisation_id": other.organisation_id,
    }[column]
    with fresh_database.write() as opened:
        opened.exec_driver_sql(f"UPDATE sp_key SET {column} = '{moved}'")

    reader_of = other if column == "organisation_id" else tenant
    with reader_of.unit_of_work.read() as reader, pytest.raises(SealError):
        reader.sso.sp_private_key(
            second.connection_id if column == "connection_id" else first.connection_id,
            "k2" if column == "key_id" else "k1",
        )


def test_the_newest_test_of_each_actor_is_kept(tenant: Tenant) -> None:
    owner = ConnectionId(new_id())
    first = StoredTest(owner, new_id(), "admin:ada", True, 1, NOW)
    failed = StoredTest(owner, new_id(), "admin:ada", False, 2, NOW + MINUTE)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_test(first)
        assert writer.sso.last_test(owner, "admin:ada") == first

        writer.sso.put_test(failed)

        assert writer.sso.last_test(owner, "admin:ada") == failed
        assert writer.sso.last_test(owner, "admin:bob") is None
        assert writer.sso.last_test(ConnectionId(new_id()), "admin:ada") is None


def test_enforcement_is_put_suspended_and_lifted(tenant: Tenant) -> None:
    held = Enforcement(ConnectionId(new_id()), "admin:ada", NOW)
    with tenant.unit_of_work.write() as writer:
        assert writer.sso.enforcement() is None
        writer.sso.put_enforcement(held)
        assert writer.sso.enforcement() == held
        suspended = replace(held, suspended_at=NOW + MINUTE, suspended_reason="domain_missing")
        writer.sso.put_enforcement(suspended)
        assert writer.sso.enforcement() == suspended
        writer.sso.put_enforcement(None)
        assert writer.sso.enforcement() is None


def test_another_organisation_reaches_no_connection(tenant: Tenant, other: Tenant) -> None:
    kept = connection(tenant, certificates=(certificate(),), keys=(key(),), metadata=metadata())
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(kept, NOW)
        writer.sso.put_certificate(kept.connection_id, certificate())
        writer.sso.put_key(kept.connection_id, key(), b"PRIVATE")
        writer.sso.put_metadata(kept.connection_id, metadata())
        writer.sso.put_test(StoredTest(kept.connection_id, new_id(), "admin:ada", True, 1, NOW))
        writer.sso.put_enforcement(Enforcement(kept.connection_id, "admin:ada", NOW))

    with other.unit_of_work.write() as writer:
        assert writer.sso.connections() == []
        assert writer.sso.connection(kept.connection_id) is None
        assert writer.sso.sp_private_key(kept.connection_id, "k1") is None
        assert writer.sso.last_test(kept.connection_id, "admin:ada") is None
        assert writer.sso.enforcement() is None
        writer.sso.remove_connection(kept.connection_id, NOW)
        writer.sso.delete_key(kept.connection_id, "k1")
        writer.sso.put_enforcement(None)
    with pytest.raises(ConflictError), other.unit_of_work.write() as writer:
        writer.sso.put_connection(replace(kept, name="stolen"), NOW)
    with pytest.raises(ConflictError), other.unit_of_work.write() as writer:
        writer.sso.put_key(kept.connection_id, key(), b"ANOTHER")

    with tenant.unit_of_work.read() as reader:
        assert reader.sso.connections() == [kept]
        assert reader.sso.sp_private_key(kept.connection_id, "k1") == b"PRIVATE"
        assert reader.sso.enforcement() is not None


def test_metadata_is_to_be_read_anew_the_longest_ago_first(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    never, early, late, recent, without, gone = (
        connection(tenant, name, settings={} if name == "without" else URL)
        for name in ("never", "early", "late", "recent", "without", "gone")
    )
    with tenant.unit_of_work.write() as writer:
        for one in (never, early, late, recent, without, gone):
            writer.sso.put_connection(one, NOW)
        for one, hours in ((late, 2), (early, 1), (recent, 9), (without, 1)):
            writer.sso.put_metadata(one.connection_id, metadata(checked_at=NOW + hours * HOUR))
        writer.sso.remove_connection(gone.connection_id, NOW)

    def due(limit: int) -> list[str]:
        names = {one.connection_id: one.name for one in (never, early, late, recent, without, gone)}
        found = store.connections_to_refresh(NOW + 5 * HOUR, limit)
        assert {organisation_id for organisation_id, _ in found} <= {tenant.organisation_id}
        return [names[connection_id] for _, connection_id in found]

    assert due(9) == ["never", "early", "late"]
    assert due(2) == ["never", "early"]
    assert due(1) == ["never"]
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(replace(recent, settings={**URL, "jit": True}), NOW)
    assert due(9) == ["never", "early", "late"]
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(replace(recent, settings={"metadata_url": "https://new.example"}), NOW)
    assert sorted(due(9)[:2]) == ["never", "recent"]


def test_certificates_that_end_are_told_until_that_is_noted(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    kept, gone = connection(tenant), connection(tenant, "gone")
    ours = key(not_after=NOW + 2 * DAY)
    soon = certificate("soon", not_after=NOW + DAY)
    staged = certificate("staged", state="staged", not_after=NOW + 20 * DAY)
    noted = certificate("noted", not_after=NOW + 5 * DAY, noticed_days=7)
    with tenant.unit_of_work.write() as writer:
        for one in (kept, gone):
            writer.sso.put_connection(one, NOW)
            writer.sso.put_certificate(one.connection_id, soon)
        for each in (
            staged,
            noted,
            certificate("later"),
            certificate("retired", state="retired", not_after=NOW + DAY),
            certificate("over", not_after=NOW + DAY, ends_at=NOW),
        ):
            writer.sso.put_certificate(kept.connection_id, each)
        writer.sso.put_key(kept.connection_id, ours, None)
        writer.sso.remove_connection(gone.connection_id, NOW)

    def ending(days: int, limit: int = 9) -> list[str]:
        found = store.certificates_ending(NOW, days, limit)
        assert all(row[:2] == (tenant.organisation_id, kept.connection_id) for row in found)
        assert [row[3] for row in found] == sorted(row[3] for row in found)
        names = {one.sha256: name for name, one in (("soon", soon), ("staged", staged), ("noted", noted))}
        return [names.get(row[2], "ours") for row in found]

    assert ending(30) == ["soon", "ours", "staged"]
    assert ending(30, 1) == ["soon"]
    assert ending(7) == ["soon", "ours"]
    assert ending(5) == ["soon", "ours", "noted"]
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_key(kept.connection_id, replace(ours, noticed_days=1), None)
        writer.sso.put_certificate(kept.connection_id, replace(soon, noticed_days=1))
    assert ending(7) == []
