"""Paths of PATCH operations and their filters on entries."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.filters import And, Comparison, Operator, ValuePath, parse_filter
from directory.schema import ENTERPRISE, GROUP, MEMBER, USER, Attribute, ResourceSchema
from scim.errors import InvalidPathError
from scim.paths import PatchPath, compile_entry_filter, parse_patch_path
from tests.scim.builders import PATHS

EMAILS = USER.attributes["emails"]
PHOTOS = USER.attributes["photos"]


def parse_user_path(text: str) -> PatchPath:
    path = parse_patch_path(text, USER)
    assert path is not None
    return path


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("USERNAME", "userName"),
        (" userName ", "userName"),
        ("name.FAMILYNAME", "name.familyName"),
        ("urn:ietf:params:scim:schemas:core:2.0:User:name.familyName", "name.familyName"),
        ("emails.value", "emails.value"),
        (f"{ENTERPRISE}:department", f"{ENTERPRISE}:department"),
        (f"{ENTERPRISE.upper()}:MANAGER.value", f"{ENTERPRISE}:manager.value"),
        (ENTERPRISE.lower(), ENTERPRISE),
        (MEMBER, MEMBER),
        ('addresses[type eq "work"]', "addresses[...]"),
        ('EMAILS[TYPE eq "a]b" and value co "]"].VALUE', "emails[...].value"),
        ('urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq "work"].value', "emails[...].value"),
        ('roles[primary eq "True"].value', "roles[...].value"),
        ("emails[primary ne false and value pr]", "emails[...]"),
        ("emails[type eq null]", "emails[...]"),
        (f"{MEMBER}:grants[role pr]", f"{MEMBER}:grants[...]"),
    ],
)
def test_a_path_is_known_in_any_case(text: str, canonical: str) -> None:
    assert parse_user_path(text).text == canonical


def test_a_path_holds_attribute_filter_and_part() -> None:
    path = parse_patch_path('members[value eq "x" and type eq "User"].display', GROUP)
    assert path is not None
    assert path.path.attribute is GROUP.attributes["members"]
    assert path.filter == And(
        (Comparison("value", Operator.EQ, "x"), Comparison("type", Operator.EQ, "User"))
    )
    assert path.sub is not None
    assert path.sub.name == "display"


@pytest.mark.parametrize(
    "text",
    [
        "odd",
        "members",
        "name.odd",
        "odd.value",
        "urn:odd:2.0:User:x",
        "department",
        "odd[type pr]",
        'emails[odd eq "x"]',
        "emails[type pr].odd",
        "emails[not (odd pr)]",
    ],
)
def test_an_unknown_attribute_is_none(text: str) -> None:
    assert parse_patch_path(text, USER) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "position 0"),
        ("1a", "position 0"),
        ("user name", "position 4"),
        ("name.", "position 4"),
        ("name.a.b", "position 6"),
        ("emails[type eq", "position 14"),
        ('emails[type eq "work"', "position 21"),
        ("emails[]", "position 7"),
        ('emails[type is "x"]', "position 12"),
        ('emails[type eq "x"]value', "position 19"),
        ('emails[type eq "x"].', "position 19"),
        ('emails[type eq "x"].a.b', "position 19"),
        ("emails[type pr] and title pr", "wrong at position 15"),
        ("title pr and emails[type pr]", "position 28"),
        ("emails[emails[type pr]]", "brackets inside brackets"),
        ("name[givenName pr]", "name has no entries"),
        ("emails.value[type pr]", "emails.value has no entries"),
        ('emails[primary eq "maybe"]', "primary is a boolean"),
        ("emails[primary eq 1]", "primary is a boolean"),
        ('emails[primary co "true"]', "primary is a boolean"),
        ("emails[value eq 5]", "value compares with a text"),
        ("emails[value eq true]", "value compares with a text"),
        ('x509Certificates[value gt "x"]', "binary"),
        (f"emails[{' or '.join(['type pr'] * 101)}]", "more than 100"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidPathError) as caught:
        parse_patch_path(text, USER)
    assert words in caught.value.detail


@given(PATHS, st.sampled_from([USER, GROUP]))
def test_no_path_raises_anything_else(text: str, schema: ResourceSchema) -> None:
    with contextlib.suppress(InvalidPathError):
        parse_patch_path(text, schema)


ENTRY = {"value": "Straße@Example.com", "type": "work", "primary": True, "display": ""}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('value eq "STRASSE@example.COM"', True),
        ('value ne "STRASSE@example.COM"', False),
        ('value ne "x"', True),
        ('value co "SSE@"', True),
        ('value sw "strass"', True),
        ('value ew ".COM"', True),
        ('value sw "x"', False),
        ('value gt "a"', True),
        ('value ge "x"', False),
        ('value lt "x"', True),
        ('value le "a"', False),
        ("value pr", True),
        ("display pr", False),
        ("display eq null", True),
        ("display ne null", False),
        ('display eq ""', True),
        ('display co ""', False),
        ('type co ""', True),
        ("primary eq true", True),
        ('primary eq "FALSE"', False),
        ("primary ne false", True),
        ("primary pr", True),
        ('type eq "work" and primary eq false', False),
        ('type eq "home" or primary eq true', True),
        ('not (type eq "home")', True),
    ],
)
def test_a_filter_holds_of_an_entry(text: str, holds: bool) -> None:
    assert compile_entry_filter(parse_filter(text), EMAILS)(ENTRY) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('value eq ""', False),
        ('value ne "x"', True),
        ("value eq null", True),
        ('value co ""', False),
        ('not (value sw "x")', True),
        ("primary eq false", False),
        ("primary ne true", True),
        ("primary pr", False),
    ],
)
def test_a_filter_holds_of_what_is_absent(text: str, holds: bool) -> None:
    assert compile_entry_filter(parse_filter(text), EMAILS)({"type": "work"}) is holds


def test_case_counts_where_the_schema_says_so() -> None:
    tree = parse_filter('value eq "http://A"')
    assert not compile_entry_filter(tree, PHOTOS)({"value": "http://a"})
    assert compile_entry_filter(tree, PHOTOS)({"value": "http://A"})


def test_false_is_present() -> None:
    assert compile_entry_filter(parse_filter("primary pr"), EMAILS)({"primary": False})


def test_a_filter_within_a_filter_is_refused() -> None:
    with pytest.raises(InvalidPathError):
        compile_entry_filter(ValuePath("a", parse_filter("b pr")), Attribute("emails"))


def test_a_name_that_is_no_part_is_absent() -> None:
    assert not compile_entry_filter(parse_filter("odd pr"), EMAILS)({"odd": None})
