"""What the endpoint says about itself, beside what it does."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from directory.schema import CORE_GROUP, CORE_USER, ENTERPRISE, GROUP, MEMBER, USER, Attribute
from scim import limits
from scim.cursors import TIMEOUT_SECONDS
from scim.discovery import Discovery
from scim.profiles import PROFILES
from scim.resources import Base

BASE = Base("https://usher.example/scim/v2/1")
COMMON = {"id", "externalId", "meta"}


def read(*path: str, shows_ours: bool = True) -> Any:  # noqa: ANN401 - JSON
    found = Discovery("https://usher.example/docs").read(path, BASE, shows_ours=shows_ours)
    assert found is not None, path
    return json.loads(found)


def compare(told: Iterable[dict[str, Any]], ours: Iterable[Attribute], place: str) -> None:
    known = {attribute.name: attribute for attribute in ours}
    named = {entry["name"]: entry for entry in told}
    assert named.keys() == known.keys(), place
    for name, attribute in known.items():
        entry = named[name]
        where = f"{place}.{name}"
        assert entry["type"] == attribute.kind.value, where
        assert entry["multiValued"] == attribute.is_multi_valued, where
        assert entry["caseExact"] == attribute.is_case_exact, where
        assert entry["mutability"] == attribute.mutability.value, where
        assert entry["description"], where
        compare(entry.get("subAttributes", ()), attribute.sub_attributes, where)


def test_schemas_say_what_values_are_read_by() -> None:
    ours = {
        CORE_USER: [attribute for name, attribute in USER.attributes.items() if name not in COMMON],
        ENTERPRISE: USER.extensions[ENTERPRISE].values(),
        MEMBER: USER.extensions[MEMBER].values(),
        CORE_GROUP: [attribute for name, attribute in GROUP.attributes.items() if name not in COMMON],
    }

    for profile in PROFILES.values():
        for urn, attributes in ours.items():
            told = read("Schemas", urn, shows_ours=profile.shows_ours)
            compare(told["attributes"], attributes, urn)


def on_request(told: Iterable[dict[str, Any]], place: str = "") -> set[str]:
    """The paths that a client is told to name when it wants them."""
    found = set()
    for entry in told:
        path = f"{place}{entry['name']}"
        if entry["returned"] == "request":
            found.add(path)
        found |= on_request(entry.get("subAttributes", ()), f"{path}.")
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_only_the_strict_must_name_what_no_client_can_say(profile: str) -> None:
    shows_ours = PROFILES[profile].shows_ours
    schemas = {one["id"]: one for one in read("Schemas", shows_ours=shows_ours)["Resources"]}

    told = {urn: on_request(schema.get("attributes", ())) for urn, schema in schemas.items()}

    assert shows_ours is (profile != "strict")
    expected = {} if shows_ours else {MEMBER: set(USER.extensions[MEMBER]), CORE_GROUP: {"members.display"}}
    assert {urn: paths for urn, paths in told.items() if paths} == expected
    for urn, schema in schemas.items():
        assert read("Schemas", urn, shows_ours=shows_ours) == schema


def test_password_is_never_returned_and_names_are_unique() -> None:
    attributes = {entry["name"]: entry for entry in read("Schemas", CORE_USER)["attributes"]}

    assert attributes["password"]["returned"] == "never"
    assert attributes["userName"]["uniqueness"] == "server"
    assert attributes["userName"]["required"] is True
    manager = next(one for one in read("Schemas", ENTERPRISE)["attributes"] if one["name"] == "manager")
    assert [sub["required"] for sub in manager["subAttributes"] if sub["name"] == "$ref"] == [False]


def test_configuration_announces_what_is_done() -> None:
    told = read("ServiceProviderConfig")

    assert told["bulk"] == {
        "supported": True,
        "maxOperations": limits.MAX_BULK_OPERATIONS,
        "maxPayloadSize": limits.MAX_LARGE_BODY,
    }
    assert told["filter"] == {"supported": True, "maxResults": limits.MAX_COUNT}
    assert told["changePassword"] == {"supported": False}
    assert told["pagination"] == {
        "cursor": True,
        "index": True,
        "defaultPaginationMethod": "index",
        "defaultPageSize": limits.DEFAULT_COUNT,
        "maxPageSize": limits.MAX_COUNT,
        "cursorTimeout": TIMEOUT_SECONDS,
    }
    assert [told[name]["supported"] for name in ("patch", "sort", "etag")] == [True] * 3
    assert told["documentationUri"] == "https://usher.example/docs"
    assert "documentationUri" not in json.loads(Discovery().read(["ServiceProviderConfig"], BASE) or b"")


def test_resource_types_name_their_schemas() -> None:
    for shows_ours, extensions in ((True, {ENTERPRISE, MEMBER}), (False, {ENTERPRISE})):
        told = {one["id"]: one for one in read("ResourceTypes", shows_ours=shows_ours)["Resources"]}

        assert {name: one["schema"] for name, one in told.items()} == {"User": CORE_USER, "Group": CORE_GROUP}
        assert {one["schema"] for one in told["User"]["schemaExtensions"]} == extensions
        assert {one["endpoint"] for one in told.values()} == {"/Users", "/Groups"}


def test_no_answer_has_null_and_each_knows_its_own_address() -> None:
    for path in (("ServiceProviderConfig",), ("ResourceTypes",), ("Schemas",)):
        text = Discovery().read(path, BASE) or b""
        assert b"null" not in text
        assert b"base.invalid" not in text
        for one in json.loads(text).get("Resources", [json.loads(text)]):
            below = one["meta"]["location"].removeprefix(f"{BASE.url}/").split("/")
            assert read(*below)["meta"] == one["meta"]


def test_schemas_are_found_in_any_case_and_nothing_else_is() -> None:
    assert read("Schemas", CORE_USER.upper())["id"] == CORE_USER
    assert Discovery().read(("Schemas", "x"), BASE) is None
