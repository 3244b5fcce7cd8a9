"""The profile `strict`: what only we say waits until a client names it, in every answer that shows a resource."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from directory.schema import CORE_GROUP, CORE_USER, MEMBER
from tests.builders import KINDS
from tests.journeys.scim_bodies import endpoint_on
from tests.journeys.sequences import Endpoint, Push

PATCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "replace", "path": "displayName", "value": "New"}],
}


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint_on(request, tmp_path_factory, request.param) as endpoint:
        yield endpoint


@pytest.fixture
def push(endpoint: Endpoint) -> Push:
    return endpoint.make_push(profile="strict")


def send(push: Push, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    answer = push.send(method, path, body)
    assert answer.status_code in (200, 201), answer.get_data(as_text=True)
    return answer.get_json()


def ada(**attributes: object) -> dict[str, object]:
    return {"schemas": [CORE_USER], "userName": "ada", "displayName": "Ada", **attributes}


def staff(*members: str) -> dict[str, object]:
    entries = [{"value": member} for member in members]
    return {"schemas": [CORE_GROUP], "displayName": "Staff", "members": entries}


def test_user_has_our_extension_only_in_answers_that_were_asked_for_it(push: Push) -> None:
    made = send(push, "POST", "/Users", ada())
    place = f"/Users/{made['id']}"
    search = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}
    requests: tuple[tuple[str, str, dict[str, object] | None], ...] = (
        ("GET", place, None),
        ("PUT", place, ada(title="Guide")),
        ("PATCH", place, PATCH),
        ("GET", "/Users", None),
    )

    unasked = [made, *(send(push, *request) for request in requests)]
    unasked += [send(push, "POST", path, search) for path in ("/Users/.search", "/.search")]
    asked = [
        send(push, method, f"{path}?attributes={MEMBER.upper()}:SEAT", body)
        for method, path, body in requests
    ]
    asked += [
        send(push, "POST", path, {**search, "attributes": [MEMBER]})
        for path in ("/Users/.search", "/.search")
    ]

    for told in unasked:
        user = told["Resources"][0] if "Resources" in told else told
        assert MEMBER not in user
        assert user["schemas"] == [CORE_USER]
    for told in asked:
        user = told["Resources"][0] if "Resources" in told else told
        assert user[MEMBER]["seat"] == "none"
        assert user["schemas"] == [CORE_USER, MEMBER]


def test_members_have_their_names_only_in_answers_that_were_asked_for_them(push: Push) -> None:
    user_id = send(push, "POST", "/Users", ada())["id"]
    made = send(push, "POST", "/Groups", staff(user_id))
    place = f"/Groups/{made['id']}"

    unasked = [
        made,
        send(push, "GET", place),
        send(push, "GET", "/Groups")["Resources"][0],
        send(push, "PUT", place, staff(user_id)),
        send(push, "PATCH", f"{place}?attributes=members", PATCH),
    ]
    asked = send(push, "GET", f"{place}?attributes=members.value,MEMBERS.display")

    for group in unasked:
        [entry] = group["members"]
        assert entry.keys() == {"value", "$ref", "type"}
    assert asked["members"] == [{"value": user_id, "display": "Ada"}]


def test_filters_see_what_is_not_shown(push: Push) -> None:
    user_id = send(push, "POST", "/Users", ada())["id"]
    group_id = send(push, "POST", "/Groups", staff(user_id))["id"]

    users = send(push, "GET", "/Users?filter=" + quote(f'{MEMBER}:seat eq "none"'))
    groups = send(push, "GET", "/Groups?filter=" + quote('members.display eq "Ada"'))

    assert [user["id"] for user in users["Resources"]] == [user_id]
    assert [group["id"] for group in groups["Resources"]] == [group_id]


def test_present_value_of_what_is_not_shown_passes_and_another_does_not(push: Push) -> None:
    place = f"/Users/{send(push, 'POST', '/Users', ada())['id']}"

    def replace_seat(seat: str) -> int:
        operation = {"op": "replace", "path": f"{MEMBER}:seat", "value": seat}
        return push.send("PATCH", place, {**PATCH, "Operations": [operation]}).status_code

    assert [replace_seat("none"), replace_seat("seated")] == [200, 400]


@pytest.mark.parametrize(("profile", "returned"), [("generic", "default"), ("strict", "request")])
def test_what_is_shown_is_what_the_schemas_say(endpoint: Endpoint, profile: str, returned: str) -> None:
    push = endpoint.make_push(profile=profile)

    schemas = {one["id"]: one for one in send(push, "GET", "/Schemas")["Resources"]}
    user = send(push, "POST", "/Users", ada())

    assert {one["returned"] for one in schemas[MEMBER]["attributes"]} == {returned}
    assert (MEMBER in user) is (returned == "default")
