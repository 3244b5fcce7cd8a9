"""Facts of what a client said, and text that cannot be stored."""

import pytest

from directory.facts import Activity, GroupFacts, UserFacts
from directory.ids import ExternalId
from directory.schema import ENTERPRISE
from scim.errors import InvalidValueError
from scim.facts import group_facts, user_facts


def test_a_user_keeps_the_whole_document_and_has_its_columns() -> None:
    resource: dict[str, object] = {
        "externalId": "e1",
        "userName": "Ada",
        "displayName": "Ada L.",
        "name": {"givenName": "Ada", "familyName": "Lovelace", "formatted": "Ada Lovelace"},
        "emails": [
            {"value": "home@example.com", "type": "home"},
            {"value": "work@example.com", "type": "work", "primary": True},
            {"value": "home@example.com"},
            {"type": "other"},
        ],
        "title": "",
        ENTERPRISE: {"department": "D", "manager": {"value": "m"}},
    }

    facts = user_facts("u1", resource, active=False)

    assert facts == UserFacts(
        external_id=ExternalId("u1"),
        user_name="Ada",
        display_name="Ada L.",
        given_name="Ada",
        family_name="Lovelace",
        mails=("work@example.com", "home@example.com"),
        activity=Activity.DISABLED,
        attributes={
            "name.formatted": ("Ada Lovelace",),
            "emails.value": ("home@example.com", "work@example.com", "home@example.com", ""),
            "emails.type": ("home", "work", "", "other"),
            "emails.primary": ("", "true", "", ""),
            "department": ("D",),
            "manager.value": ("m",),
        },
        client_id="e1",
        resource={**resource, "active": False},
    )
    assert "active" not in resource


def test_a_user_of_a_name_alone() -> None:
    facts = user_facts("u1", {"userName": "ada"}, active=True)
    assert (facts.display_name, facts.client_id, facts.mails) == ("", "", ())
    assert facts.activity is Activity.ACTIVE
    assert facts.attributes == {}


def test_the_formatted_name_stands_in_for_the_display_name() -> None:
    facts = user_facts("u1", {"userName": "ada", "name": {"formatted": "Ada L."}}, active=True)
    assert facts.display_name == "Ada L."


LONG = "x" * 401


@pytest.mark.parametrize(
    ("attributes", "path"),
    [
        ({"userName": LONG}, "userName"),
        ({"displayName": LONG}, "displayName"),
        ({"externalId": LONG}, "externalId"),
        ({"name": {"givenName": LONG}}, "name.givenName"),
        ({"name": {"familyName": LONG}}, "name.familyName"),
        ({"name": {"formatted": LONG}}, "name.formatted"),
        ({"emails": [{"value": "a"}, {"value": LONG}]}, "emails.value"),
        ({"title": "a\0"}, "title"),
        ({"title": "a\ud800"}, "title"),
    ],
)
def test_text_that_cannot_be_stored_is_named(attributes: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        user_facts("u1", {"userName": "ada", **attributes}, active=True)
    assert caught.value.detail.startswith(f"{path} h")


def test_other_text_may_be_long() -> None:
    resource = {"userName": "a", "displayName": "A", "title": LONG, "name": {"formatted": LONG}}
    assert user_facts("u1", resource, active=True).attributes["title"] == (LONG,)


def test_a_group_has_its_names() -> None:
    assert group_facts("g1", "Staff", "e1") == GroupFacts(ExternalId("g1"), "Staff", client_id="e1")


@pytest.mark.parametrize(("names", "path"), [((LONG, ""), "displayName"), (("Staff", LONG), "externalId")])
def test_a_group_of_a_name_that_cannot_be_stored_is_refused(names: tuple[str, str], path: str) -> None:
    with pytest.raises(InvalidValueError, match=path):
        group_facts("g1", *names)
