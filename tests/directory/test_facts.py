"""Names compare by one key, whatever form a directory wrote them in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.facts import Activity, GroupFacts, UserFacts, name_key
from directory.ids import ExternalId


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("Ana@Example.ORG", "ana@example.org"),
        (unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "zoë")),
        ("Ａｎａ＠ｅｘａｍｐｌｅ．ｏｒｇ", "ana@example.org"),
        ("ﬁnance", "FINANCE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ],
)
def test_name_key_sees_one_name_in_two_forms(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(("one", "other"), [("ana", "anna"), ("ı", "i"), ("zoë", "zoe"), ("", " ")])
def test_name_key_keeps_different_names_apart(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


@given(st.text())
def test_name_key_of_a_key_is_the_key(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_name_key_of_ascii_agrees_with_the_general_rule(text: str) -> None:
    assert name_key(text) == unicodedata.normalize("NFKC", text).casefold()


def test_user_facts_default_to_an_active_user_without_attributes() -> None:
    user = UserFacts(ExternalId("1"), "ana")

    assert user.activity is Activity.ACTIVE
    assert dict(user.attributes) == {}


def test_facts_are_equal_by_value() -> None:
    assert UserFacts(ExternalId("1"), "ana") == UserFacts(ExternalId("1"), "ana")
    assert GroupFacts(ExternalId("1"), "cleaners") != GroupFacts(ExternalId("1"), "Cleaners")
