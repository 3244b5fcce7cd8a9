"""What a pushing client's requests read must come from an index, however many tokens and requests there are."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from provisioning.resources import RequestQuery
from storage.engine import Database
from storage.push_store import SQLPushStore
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, new_id
from tests.conformance.test_query_plans import Recorder, explain
from tests.conformance.test_request_log import request
from tests.conformance.test_tokens import token

Call = Callable[[SQLPushStore, Tenant], object]


def _find(store: SQLPushStore, _: Tenant) -> None:
    with store.read() as view:
        view.token("usher_scim_zzzzzzzz")


CALLS: dict[str, tuple[Call, str, str]] = {
    "token": (_find, "(prefix=?)", "uq_token_prefix"),
    "note_use": (lambda store, _: store.note_use(new_id(), NOW, "::1"), "(id=?)", "pk_token"),
    "tokens_ending": (
        lambda store, _: store.tokens_ending(NOW, 30, 9),
        "ix_token_expires_at",
        "ix_token_expires_at",
    ),
    "requests": (
        lambda store, tenant: store.requests(tenant.organisation_id, RequestQuery(tenant.directory_id)),
        "ix_scim_request_directory_id",
        "ix_scim_request_directory_id",
    ),
    "requests_behind": (
        lambda store, tenant: store.requests(
            tenant.organisation_id, RequestQuery(tenant.directory_id, before=new_id())
        ),
        "ix_scim_request_directory_id (directory_id=? AND id<?)",
        "ix_scim_request_directory_id",
    ),
    "request_by_id": (
        lambda store, tenant: store.request(tenant.organisation_id, new_id()),
        "ix_scim_request_request_id",
        "ix_scim_request_request_id",
    ),
    "delete_requests": (
        lambda store, _: store.delete_requests(NOW - MINUTE, 9),
        "ix_scim_request_at",
        "ix_scim_request_at",
    ),
}


@pytest.fixture(scope="module")
def filled(database: Database) -> Tenant:
    """An organisation with tokens and requests, beside others."""
    tenants = [make_tenant(database) for _ in range(40)]
    for tenant in tenants:
        with tenant.unit_of_work.write() as writer:
            for number in range(20):
                ends_at = NOW + timedelta(days=number) if number % 2 else None
                writer.put_token(token(tenant, expires_at=ends_at))
        SQLPushStore(database).append_requests(
            [request(tenant, at=NOW + number * MINUTE) for number in range(40)]
        )
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    return tenants[0]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_reads_by_its_index(filled: Tenant, name: str) -> None:
    call, sqlite, postgresql = CALLS[name]
    with Recorder(filled.database) as recorder:
        call(SQLPushStore(filled.database), filled)

    indexed, scanned = explain(filled.database, recorder.statements)

    assert scanned == []
    expected = sqlite if filled.database.is_sqlite else postgresql
    assert any(expected in detail for detail in indexed), indexed
