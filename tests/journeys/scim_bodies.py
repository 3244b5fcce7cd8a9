"""Bodies that a SCIM client sends, and the endpoint that it sends them to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from directory.changes import GroupMatch
from directory.ids import GroupId, RoleId
from directory.schema import CORE_GROUP, CORE_USER
from tests.builders import MEMBER
from tests.journeys.sequences import Endpoint, Push, open_endpoint

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

Json = dict[str, Any]


def user(user_name: str = "ada", **values: object) -> Json:
    return {"schemas": [CORE_USER], "userName": user_name, **values}


def group(name: str = "Staff", *members: str, **values: object) -> Json:
    listed = {"members": [{"value": member} for member in members]} if members else {}
    return {"schemas": [CORE_GROUP], "displayName": name, **listed, **values}


def patch(*operations: tuple[str, str, object]) -> Json:
    """Operations as (op, path, value); no path for an empty one, no value for None."""
    told = [
        {"op": op} | ({"path": path} if path else {}) | ({} if value is None else {"value": value})
        for op, path, value in operations
    ]
    return {"schemas": [PATCH_URN], "Operations": told}


def bulk(*operations: Json, **values: object) -> Json:
    return {"schemas": [BULK_URN], "Operations": list(operations), **values}


def create(push: Push, path: str, body: Json) -> str:
    """Create a resource; its id."""
    answer = push.send("POST", path, body)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return str(answer.get_json()["id"])


def create_staff(push: Push, *users: str, role: RoleId = MEMBER, name: str = "Staff") -> str:
    """A group with a rule on it, and these users in it; the group's id. The events so far are taken as seen."""
    group_id = create(push, "/Groups", group(name))
    push.world.put_rule(GroupMatch(GroupId(group_id)), role)
    if users:
        answer = push.send("PATCH", f"/Groups/{group_id}", patch(("add", "members", entries(*users))))
        assert answer.status_code == 204, answer.get_data(as_text=True)
    push.world.events()
    return group_id


def entries(*ids: str) -> list[Json]:
    return [{"value": one} for one in ids]


@contextmanager
def endpoint_on(
    request: pytest.FixtureRequest, folders: pytest.TempPathFactory, kind: str
) -> Iterator[Endpoint]:
    """The application over a fresh database of a kind."""
    factory = request.getfixturevalue("postgresql_database") if kind == "postgresql" else None
    with open_endpoint(folders.mktemp("endpoint"), factory) as endpoint:
        yield endpoint
