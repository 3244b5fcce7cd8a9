"""What makes values and entries the same, and what a read-only attribute may be said to be."""

import pytest

from directory.schema import GROUP, USER
from scim.profiles import PROFILES
from scim.values import EXTENSIONS, Reading, entry_key, includes, is_same_value, named, shown

EMAILS = USER.attributes["emails"]
GROUPS = USER.attributes["groups"]
META = USER.attributes["meta"]
ID = USER.attributes["id"]


def test_entries_are_the_same_by_comparison_key_whatever_is_primary() -> None:
    one = {"value": "STRASSE@x", "type": "work", "primary": True}
    other = {"type": "WORK", "value": "straße@X"}
    assert entry_key(EMAILS, one) == entry_key(EMAILS, other)
    assert entry_key(EMAILS, one) != entry_key(EMAILS, {**other, "display": "x"})


def test_an_entry_includes_its_parts() -> None:
    entry = {"value": "a@x", "type": "work"}
    assert includes(EMAILS, entry, {"value": "A@X", "primary": True})
    assert not includes(EMAILS, entry, {"value": "a@x", "display": "x"})


@pytest.mark.parametrize(
    ("shown_value", "said", "whole", "same"),
    [
        ([{"value": "g1", "display": "G"}], [{"value": "G1"}], True, True),
        ([{"value": "g1"}], [{"value": "g2"}], True, False),
        ([{"value": "g1"}, {"value": "g2"}], [{"value": "g1"}], True, False),
        ([{"value": "g1"}, {"value": "g2"}], [{"value": "g1"}], False, True),
        ([{"value": "g1"}], {"value": "g1"}, True, True),
        ([{"value": "g1"}], ["g1"], True, False),
        (None, [{"value": "g1"}], True, False),
    ],
)
def test_read_only_entries_may_be_repeated(
    shown_value: object, said: object, whole: bool, same: bool
) -> None:
    assert is_same_value(GROUPS, shown_value, said, whole=whole) is same


def test_a_part_of_a_read_only_object_may_be_repeated() -> None:
    whole = {"resourceType": "User", "version": 'W/"1"'}
    assert is_same_value(META, whole, {"resourceType": "User", "created": None, "odd": 1})
    assert not is_same_value(META, whole, {"resourceType": "Group"})
    assert not is_same_value(META, None, {"resourceType": "Group"})
    assert not is_same_value(META, whole, 5)


def test_ids_are_the_same_in_any_case_and_of_one_type() -> None:
    assert is_same_value(ID, "abc", "ABC")
    assert not is_same_value(ID, "1", 1)


def test_an_extension_is_an_attribute_named_by_its_urn() -> None:
    assert list(EXTENSIONS) == [*USER.extensions, *GROUP.extensions]
    assert all(attribute.name == urn for urn, attribute in EXTENSIONS.items())


def test_a_long_name_is_cut() -> None:
    assert len(shown("x" * 500)) < 90


def test_a_value_is_named_by_its_kind_alone() -> None:
    assert named(1.5) == "a number"
    assert named(b"secret") == "something else"


def test_only_what_was_allowed_is_noted() -> None:
    for profile in PROFILES.values():
        reading = Reading(profile, set())
        for leniency in EXPECTED:
            assert reading.allow(leniency) is profile.allows(leniency)
        assert reading.notes == profile.leniencies


EXPECTED = sorted(PROFILES["generic"].leniencies)
