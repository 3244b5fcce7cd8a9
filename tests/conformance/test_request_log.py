"""The request log: appended in batches, read newest first, bounded, and each organisation sees its own."""

from dataclasses import replace
from datetime import timedelta

import pytest

from directory.ids import DirectoryId, EventId
from provisioning.resources import LoggedRequest, RequestQuery
from storage.engine import Database
from storage.push_store import SQLPushStore
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, new_id

DAY = timedelta(days=1)


def request(tenant: Tenant, **values: object) -> LoggedRequest:
    row: dict[str, object] = {
        "id": new_id(),
        "organisation_id": tenant.organisation_id,
        "directory_id": tenant.directory_id,
        "request_id": f"request-{new_id()}",
        "at": NOW,
        "token_prefix": "usher_scim_abcdefgh",
        "address": "192.0.2.7",
        "method": "POST",
        "path": "/scim/v2/d/Users",
        "query": "",
        "headers": {"Content-Type": "", "User-Agent": "x"},
        "status": 201,
        "scim_type": "",
        "detail": "",
        "duration_us": 1234,
        "profile": "entra",
        "leniencies": ("text_boolean",),
        "events": (EventId(new_id()),),
        "request_body": '{"userName":"ada"}',
        "answer_body": None,
        **values,
    }
    return LoggedRequest(**row)  # type: ignore[arg-type]  # the dataclass's own fields


@pytest.fixture
def pushes(database: Database) -> SQLPushStore:
    return SQLPushStore(database)


def look(tenant: Tenant, **values: object) -> RequestQuery:
    return replace(RequestQuery(tenant.directory_id), **values)  # type: ignore[arg-type]  # its own fields


def test_a_request_comes_back_whole_by_either_id(pushes: SQLPushStore, tenant: Tenant) -> None:
    logged = request(tenant, answer_body="{}", status=409, scim_type="uniqueness", detail="taken")

    pushes.append_requests([logged])

    assert pushes.request(tenant.organisation_id, logged.id) == logged
    assert pushes.request(tenant.organisation_id, logged.id.upper()) == logged
    assert pushes.request(tenant.organisation_id, logged.request_id) == logged
    assert pushes.request(tenant.organisation_id, new_id()) is None
    assert pushes.request(tenant.organisation_id, "nothing") is None


def test_the_latest_of_one_request_id_is_meant(pushes: SQLPushStore, tenant: Tenant) -> None:
    first, second = request(tenant, request_id="req-same-0001"), request(tenant, request_id="req-same-0001")

    pushes.append_requests([first, second])

    assert pushes.request(tenant.organisation_id, "req-same-0001") == second


def test_a_request_id_in_the_form_of_an_id_is_found_too(pushes: SQLPushStore, tenant: Tenant) -> None:
    logged = request(tenant, request_id=new_id())

    pushes.append_requests([logged])

    assert pushes.request(tenant.organisation_id, logged.request_id) == logged


def test_the_list_is_newest_first_without_bodies_and_goes_on_behind_a_row(
    pushes: SQLPushStore, tenant: Tenant
) -> None:
    logged = [request(tenant, at=NOW + number * MINUTE) for number in range(3)]
    pushes.append_requests(logged[:2])
    pushes.append_requests(logged[2:])
    pushes.append_requests([])

    first = pushes.requests(tenant.organisation_id, look(tenant, limit=2))
    rest = pushes.requests(tenant.organisation_id, look(tenant, before=first[-1].id))

    bare = [replace(one, request_body=None, answer_body=None) for one in reversed(logged)]
    assert first + rest == bare


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"failed_only": True}, "fg"),
        ({"status": 404}, "g"),
        ({"method": "GET"}, "g"),
        ({"text": "zoë%"}, "f"),
        ({"text": 'userName eq "x"'}, "g"),
        ({"text": "userName+eq+%22"}, "g"),
        ({"text": "no such user"}, "g"),
        ({"text": "secret-ish"}, "o"),
        ({"text": "ZOË"}, ""),
        ({"since": NOW + MINUTE}, "fg"),
        ({"until": NOW + MINUTE}, "o"),
        ({"since": NOW, "until": NOW + 2 * MINUTE, "failed_only": True}, "f"),
    ],
)
def test_the_list_is_narrowed(
    pushes: SQLPushStore, tenant: Tenant, values: dict[str, object], found: str
) -> None:
    logged = {
        "o": request(tenant, answer_body="secret-ish"),
        "f": request(tenant, at=NOW + MINUTE, status=400, request_body='{"userName":"zoë%"}'),
        "g": request(
            tenant,
            at=NOW + 2 * MINUTE,
            status=404,
            method="GET",
            query="filter=userName+eq+%22x%22",
            detail="there is no such user",
            request_body=None,
        ),
    }
    pushes.append_requests(list(logged.values()))

    listed = [one.id for one in pushes.requests(tenant.organisation_id, look(tenant, **values))]

    assert listed == [logged[name].id for name in reversed(found)]


def test_no_other_organisation_and_no_other_directory_sees_a_request(
    pushes: SQLPushStore, tenant: Tenant, other: Tenant
) -> None:
    logged = request(tenant)
    pushes.append_requests([logged])

    assert pushes.requests(other.organisation_id, look(tenant)) == []
    assert pushes.requests(tenant.organisation_id, RequestQuery(DirectoryId(new_id()))) == []
    assert pushes.request(other.organisation_id, logged.id) is None
    assert pushes.request(other.organisation_id, logged.request_id) is None


def test_what_no_database_holds_is_cleaned_and_cut(pushes: SQLPushStore, tenant: Tenant) -> None:
    hostile = "a\0b\ud800c"
    logged = request(
        tenant,
        request_id="r" * 99,
        token_prefix=hostile * 9,
        address=hostile,
        method="PROPPATCHED",
        path=hostile,
        query=hostile,
        headers={hostile: hostile},
        scim_type="t" * 99,
        detail=hostile,
        profile="p" * 99,
        request_body=hostile,
        answer_body=hostile,
    )

    pushes.append_requests([logged])

    kept = pushes.request(tenant.organisation_id, logged.id)
    assert kept is not None
    clean = "a\N{REPLACEMENT CHARACTER}b?c"
    assert (kept.path, kept.query, kept.detail, kept.request_body, kept.answer_body) == (clean,) * 5
    assert kept.headers == {clean: clean}
    assert (len(kept.request_id), kept.method, len(kept.token_prefix)) == (64, "PROPPATC", 24)


def test_the_oldest_are_deleted_a_part_at_a_time(fresh_database: Database) -> None:
    tenant, pushes = make_tenant(fresh_database), SQLPushStore(fresh_database)
    logged = [request(tenant, at=NOW + number * DAY) for number in range(4)]
    pushes.append_requests(logged)

    assert pushes.delete_requests(NOW + 3 * DAY, 2) == 2
    assert [one.id for one in pushes.requests(tenant.organisation_id, look(tenant))] == [
        logged[3].id,
        logged[2].id,
    ]
    assert pushes.delete_requests(NOW + 3 * DAY, 2) == 1
    assert pushes.delete_requests(NOW + 3 * DAY, 2) == 0
