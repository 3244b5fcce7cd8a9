"""What of a resource is shown."""

from typing import Any

import pytest

from directory.schema import CORE_GROUP, CORE_USER, ENTERPRISE, GROUP, MEMBER, USER
from scim.errors import BadRequestError
from scim.projection import Projection, make_projection, read_projection

DOCUMENT: dict[str, Any] = {
    "schemas": [CORE_USER, ENTERPRISE, MEMBER],
    "id": "1",
    "userName": "ada",
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"value": "a@x", "type": "work"}, {"value": "b@x"}],
    ENTERPRISE: {"department": "R", "manager": {"value": "2", "displayName": "Bob"}},
    MEMBER: {"seat": "none"},
    "meta": {"version": 'W/"1"'},
}


STAFF: dict[str, Any] = {
    "schemas": [CORE_GROUP],
    "id": "2",
    "displayName": "Staff",
    "members": [{"value": "1", "display": "Ada"}],
}


def shown(attributes: str = "", excluded: str = "") -> dict[str, Any]:
    return read_projection(attributes, excluded, USER).apply(dict(DOCUMENT))


def shown_to_the_strict(attributes: str = "", excluded: str = "") -> dict[str, Any]:
    return read_projection(attributes, excluded, USER, shows_ours=False).apply(dict(DOCUMENT))


def staff_shown_to_the_strict(attributes: str = "", excluded: str = "") -> dict[str, Any]:
    """The group, seen whole and in pieces."""
    projection = read_projection(attributes, excluded, GROUP, shows_ours=False)
    told = projection.apply(dict(STAFF))
    if projection.shows_members:
        assert told["members"] == [projection.apply_to_member(dict(entry)) for entry in STAFF["members"]]
    return told


def test_without_parameters_everything_is_shown() -> None:
    assert shown() == DOCUMENT


def test_id_and_schemas_always_stay() -> None:
    assert shown("title") == {"schemas": [CORE_USER], "id": "1"}
    assert shown(excluded="id,schemas,title") == DOCUMENT


def test_names_are_matched_in_any_case_with_and_without_urn() -> None:
    expected = {"schemas": [CORE_USER], "id": "1", "userName": "ada"}

    assert (
        shown("USERNAME")
        == shown(f"{CORE_USER.upper()}:username")
        == shown(" userName , nothing")
        == expected
    )


def test_sub_attributes_are_chosen() -> None:
    assert shown("name.givenName,emails.type") == {
        "schemas": [CORE_USER],
        "id": "1",
        "name": {"givenName": "Ada"},
        "emails": [{"type": "work"}],
    }
    assert shown("emails.display") == {"schemas": [CORE_USER], "id": "1"}


def test_whole_attribute_includes_its_parts_in_any_order() -> None:
    assert shown("name,name.givenName")["name"] == shown("name.givenName,name")["name"] == DOCUMENT["name"]


def test_parts_of_extensions_are_chosen() -> None:
    assert shown(f"{ENTERPRISE}:manager.displayName") == {
        "schemas": [CORE_USER, ENTERPRISE],
        "id": "1",
        ENTERPRISE: {"manager": {"displayName": "Bob"}},
    }
    assert shown(ENTERPRISE.lower())[ENTERPRISE] == DOCUMENT[ENTERPRISE]


def test_what_is_excluded_is_left_out_and_so_is_what_is_empty_then() -> None:
    left = shown(excluded=f"name.givenName,name.familyName,emails.type,{ENTERPRISE},{MEMBER}:seat")

    assert left == {
        "schemas": [CORE_USER],
        "id": "1",
        "userName": "ada",
        "emails": [{"value": "a@x"}, {"value": "b@x"}],
        "meta": {"version": 'W/"1"'},
    }


def test_part_of_a_simple_value_is_the_value() -> None:
    odd: dict[str, object] = {"schemas": [CORE_USER], "id": "1", "name": "text"}

    assert read_projection("name.givenName", "", USER).apply(odd) == odd


def test_both_parameters_are_refused() -> None:
    with pytest.raises(BadRequestError):
        make_projection(["title"], ["name"], USER)
    assert make_projection([""], [" "], USER).is_whole


@pytest.mark.parametrize(
    ("attributes", "excluded", "groups", "grants"),
    [
        ("", "", True, True),
        ("userName", "", False, False),
        ("groups.value", "", True, False),
        (f"{MEMBER}:grants", "", False, True),
        (f"{MEMBER}:seat", "", False, False),
        (MEMBER, "", False, True),
        ("", "groups", False, True),
        ("", "groups.display", True, True),
        ("", MEMBER, True, False),
        ("", f"{MEMBER}:seat", True, True),
        ("", f"{MEMBER}:grants", True, False),
        ("", f"{MEMBER}:grants.role", True, True),
    ],
)
def test_what_is_not_shown_need_not_be_read(
    attributes: str, excluded: str, groups: bool, grants: bool
) -> None:
    projection = read_projection(attributes, excluded, USER)

    assert (projection.shows_groups, projection.shows_grants) == (groups, grants)


def test_entries_of_members_are_cut() -> None:
    entry: dict[str, object] = {"value": "1", "display": "Ada", "type": "User"}

    def cut(attributes: str, excluded: str) -> dict[str, object]:
        return read_projection(attributes, excluded, GROUP).apply_to_member(dict(entry))

    assert cut("members", "") == cut("", "displayName") == entry
    assert cut("members.value", "") == {"value": "1"}
    assert cut("", "members.display") == {"value": "1", "type": "User"}
    assert Projection(kept={}).shows_members is False


def test_what_only_we_say_waits_to_be_asked_for_by_the_strict() -> None:
    unasked = {name: value for name, value in DOCUMENT.items() if name != MEMBER}

    assert shown_to_the_strict() == {**unasked, "schemas": [CORE_USER, ENTERPRISE]}
    assert MEMBER not in shown_to_the_strict("userName")
    left = shown_to_the_strict(excluded="name,emails,meta")
    assert left == {
        "schemas": [CORE_USER, ENTERPRISE],
        "id": "1",
        "userName": "ada",
        ENTERPRISE: DOCUMENT[ENTERPRISE],
    }


@pytest.mark.parametrize("name", [MEMBER, MEMBER.upper(), f"{MEMBER}:seat", f"{MEMBER.lower()}:SEAT"])
def test_strict_are_shown_what_they_name(name: str) -> None:
    assert shown_to_the_strict(name) == {
        "schemas": [CORE_USER, MEMBER],
        "id": "1",
        MEMBER: DOCUMENT[MEMBER],
    }
    assert shown_to_the_strict(f"userName,{name}")["userName"] == "ada"


def test_display_of_members_is_shown_to_the_strict_by_its_own_name_only() -> None:
    without = [{"value": "1"}]

    assert staff_shown_to_the_strict()["members"] == without
    assert staff_shown_to_the_strict("members")["members"] == without
    assert staff_shown_to_the_strict(excluded="displayName")["members"] == without
    assert staff_shown_to_the_strict("MEMBERS.DISPLAY")["members"] == [{"display": "Ada"}]
    assert staff_shown_to_the_strict("members.value,members.display")["members"] == STAFF["members"]
    assert staff_shown_to_the_strict("members,members.display")["members"] == STAFF["members"]
    assert "members" not in staff_shown_to_the_strict(excluded="members")
    assert "members" not in staff_shown_to_the_strict("nothing")


@pytest.mark.parametrize(
    ("attributes", "excluded", "groups", "grants"),
    [
        ("", "", True, False),
        ("", "groups", False, False),
        (MEMBER, "", False, True),
        (f"{MEMBER}:seat", "", False, False),
        (f"{MEMBER}:grants.role,groups", "", True, True),
    ],
)
def test_what_the_strict_do_not_ask_for_need_not_be_read(
    attributes: str, excluded: str, groups: bool, grants: bool
) -> None:
    projection = read_projection(attributes, excluded, USER, shows_ours=False)

    assert (projection.shows_groups, projection.shows_grants) == (groups, grants)
