"""scim2-tester against the application, for each profile on each database.

All of its checks must be good but five, which are named here: the tester takes each extension to be writable, since
an extension has no mutability of its own, and compares an entry of a group's members whole, with what only we say.
"""

from collections.abc import Iterator

import pytest
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import CheckResult, Status, check_server

from directory.schema import MEMBER
from scim.profiles import PROFILES
from tests.builders import KINDS
from tests.journeys.sequences import Endpoint, Push, open_endpoint

BEYOND_THE_TESTER = {
    ("User", "check_add_attribute", MEMBER),
    ("User", "check_remove_attribute", MEMBER),
    ("User", "check_replace_attribute", MEMBER),
    ("Group", "check_add_attribute", "members"),
    ("Group", "check_replace_attribute", "members"),
}


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


@pytest.mark.parametrize("profile", PROFILES)
def test_every_check_is_good(endpoint: Endpoint, profile: str) -> None:
    push = endpoint.make_push({"plan": "Pro"}, profile=profile)

    results = check(push)

    failed = [result for result in results if result.status is not Status.SUCCESS]
    told = {(result.resource_type, result.title, (result.data or {}).get("urn")) for result in failed}
    assert told == BEYOND_THE_TESTER, [(result.title, result.reason) for result in failed]
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
