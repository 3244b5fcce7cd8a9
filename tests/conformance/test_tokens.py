"""Bearer tokens: kept by the organisation, found by their prefix, and never of another organisation's directory."""

from dataclasses import replace
from datetime import timedelta

import pytest

from directory.ids import DirectoryId
from provisioning.resources import StoredToken
from storage.engine import Database
from storage.errors import ConflictError
from storage.push_store import SQLPushStore
from tests.conformance.builders import MINUTE, NOW, Tenant, directory, make_tenant, new_id

DAY = timedelta(days=1)


def token(tenant: Tenant, directory_id: DirectoryId | None = None, **values: object) -> StoredToken:
    token_id = new_id()
    row: dict[str, object] = {
        "token_id": token_id,
        "organisation_id": tenant.organisation_id,
        "directory_id": directory_id or tenant.directory_id,
        "name": "entra",
        "prefix": f"usher_scim_{token_id[-8:]}",
        "sha256": bytes(range(32)),
        "created_at": NOW,
        "created_by": "operator:chris",
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "last_used_from": "",
        "noticed_days": None,
        "directory_kind": "ldif",
        "directory_name": "hq",
        "settings": {"path": "export.ldif", "interval": 60, "hold": True},
        **values,
    }
    return StoredToken(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def put(tenant: Tenant, *tokens: StoredToken) -> None:
    with tenant.unit_of_work.write() as writer:
        for one in tokens:
            writer.put_token(one)


def test_a_token_is_kept_with_the_directory_that_it_opens(tenant: Tenant) -> None:
    kept = token(tenant, expires_at=NOW + DAY)

    put(tenant, kept)

    with tenant.unit_of_work.read() as reader:
        assert reader.tokens() == [kept]
        assert reader.tokens(tenant.directory_id) == [kept]
        assert reader.tokens(DirectoryId(new_id())) == []


def test_a_request_finds_a_token_by_its_prefix(database: Database, tenant: Tenant) -> None:
    kept = token(tenant)
    put(tenant, kept)

    with SQLPushStore(database).read() as view:
        assert view.token(kept.prefix) == kept
        assert view.token("usher_scim_zzzzzzzz") is None


def test_name_end_revocation_and_notice_may_move_and_nothing_else(database: Database, tenant: Tenant) -> None:
    kept = token(tenant)
    put(tenant, kept)
    SQLPushStore(database).note_use(kept.token_id, NOW + MINUTE, "192.0.2.7")
    moved = replace(
        kept,
        name="entra 2",
        expires_at=NOW + DAY,
        revoked_at=NOW + MINUTE,
        noticed_days=7,
        prefix="another",
        sha256=bytes(32),
    )

    put(tenant, moved)

    with tenant.unit_of_work.read() as reader:
        assert reader.tokens() == [
            replace(
                moved,
                prefix=kept.prefix,
                sha256=kept.sha256,
                last_used_at=NOW + MINUTE,
                last_used_from="192.0.2.7",
            )
        ]


def test_tokens_come_by_directory_and_creation(tenant: Tenant) -> None:
    second = directory(tenant.organisation_id, name="second")
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(second, NOW)
    of_second = token(tenant, second.directory_id)
    late, early = token(tenant, created_at=NOW + MINUTE), token(tenant)

    put(tenant, of_second, late, early)

    with tenant.unit_of_work.read() as reader:
        assert [one.token_id for one in reader.tokens()] == [
            early.token_id,
            late.token_id,
            of_second.token_id,
        ]


def test_another_organisation_sees_and_moves_no_token(tenant: Tenant, other: Tenant) -> None:
    kept = token(tenant)
    put(tenant, kept)

    with pytest.raises(ConflictError):
        put(other, replace(kept, organisation_id=other.organisation_id, revoked_at=NOW))

    with other.unit_of_work.read() as reader:
        assert reader.tokens() == []
        assert reader.tokens(tenant.directory_id) == []
    with tenant.unit_of_work.read() as reader:
        assert reader.tokens() == [kept]


def test_a_token_whose_directory_is_another_organisation_s_opens_nothing(
    database: Database, tenant: Tenant, other: Tenant
) -> None:
    stray = token(tenant, other.directory_id)
    put(tenant, stray)

    with SQLPushStore(database).read() as view:
        assert view.token(stray.prefix) is None


def test_a_long_address_is_cut(database: Database, tenant: Tenant) -> None:
    kept = token(tenant)
    put(tenant, kept)

    SQLPushStore(database).note_use(kept.token_id, NOW, "9" * 500)

    with tenant.unit_of_work.read() as reader:
        assert reader.tokens()[0].last_used_from == "9" * 64


def test_tokens_that_end_soon_are_told_until_that_is_noted(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    store = SQLPushStore(fresh_database)
    soon = token(tenant, expires_at=NOW + DAY)
    later = token(tenant, expires_at=NOW + 20 * DAY)
    noted = token(tenant, expires_at=NOW + 5 * DAY, noticed_days=7)
    put(
        tenant,
        later,
        soon,
        noted,
        token(tenant),
        token(tenant, expires_at=NOW - MINUTE),
        token(tenant, expires_at=NOW + DAY, revoked_at=NOW),
    )

    assert store.tokens_ending(NOW, 30, 9) == [soon, later]
    assert store.tokens_ending(NOW, 30, 1) == [soon]
    assert store.tokens_ending(NOW, 7, 9) == [soon]
    assert store.tokens_ending(NOW + 4 * DAY, 1, 9) == [noted]
