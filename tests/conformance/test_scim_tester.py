"""scim2-tester against the application, for each profile on each database.

Under `strict` every check is good. The other profiles show unasked what only we say, which identity providers'
administrators look at; so five checks fail there, and those alone.
"""

from collections.abc import Iterator

import pytest
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import CheckResult, Status, check_server

from directory.schema import MEMBER
from scim.profiles import PROFILES
from tests.builders import KINDS
from tests.journeys.sequences import Endpoint, Push, open_endpoint

_NOT_WRITABLE = (
    "an extension has no mutability of its own, so the tester takes ours, all read-only, to be writable"
)
_SEEN_WHOLE = "the tester compares an entry of members whole, with the `display` that only we say"
BEYOND_THE_TESTER = {
    ("User", "check_add_attribute", MEMBER): _NOT_WRITABLE,
    ("User", "check_remove_attribute", MEMBER): _NOT_WRITABLE,
    ("User", "check_replace_attribute", MEMBER): _NOT_WRITABLE,
    ("Group", "check_add_attribute", "members"): _SEEN_WHOLE,
    ("Group", "check_replace_attribute", "members"): _SEEN_WHOLE,
}
"""The checks that fail where what is ours is shown unasked, and why."""
LAX = [name for name, profile in PROFILES.items() if profile.shows_ours]


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    factory = request.getfixturevalue("postgresql_database") if request.param == "postgresql" else None
    with open_endpoint(tmp_path_factory.mktemp("tester"), factory) as endpoint:
        yield endpoint


def check(push: Push) -> list[CheckResult]:
    client = WSGISCIMClient(
        push.player.client.application,
        base_url=push.player.public_base,
        headers={"Authorization": f"Bearer {push.player.token}"},
    )
    return check_server(client)


def test_every_check_is_good_under_strict(endpoint: Endpoint) -> None:
    push = endpoint.make_push({"plan": "Pro"}, profile="strict")

    results = check(push)

    assert [(one.title, one.reason) for one in results if one.status is not Status.SUCCESS] == []
    assert len(results) > 130
    push.world.check()


@pytest.mark.parametrize("profile", LAX)
def test_every_check_is_good_but_those_that_see_what_only_we_say(endpoint: Endpoint, profile: str) -> None:
    push = endpoint.make_push({"plan": "Pro"}, profile=profile)

    results = check(push)

    failed = [result for result in results if result.status is not Status.SUCCESS]
    told = {(result.resource_type, result.title, (result.data or {}).get("urn")) for result in failed}
    assert told == BEYOND_THE_TESTER.keys(), [(result.title, result.reason) for result in failed]
    assert len(results) > 130
    push.world.check()


def test_member_extension_is_only_ever_said_by_us(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    made = push.send("POST", "/Users", {"userName": "ada", MEMBER: {"seat": "seated", "held": True}})

    assert made.get_json()[MEMBER]["seat"] == "none"
    assert made.get_json()[MEMBER]["held"] is False


def test_display_of_a_member_is_the_name_of_the_user(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    user_id = push.send("POST", "/Users", {"userName": "ada", "displayName": "Ada"}).get_json()["id"]
    body = {"displayName": "Staff", "members": [{"value": user_id, "display": "Somebody else"}]}

    made = push.send("POST", "/Groups", body)

    assert [entry["display"] for entry in made.get_json()["members"]] == ["Ada"]
