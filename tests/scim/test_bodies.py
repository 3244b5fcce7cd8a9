"""Bodies: bytes to JSON, JSON to what the client said."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.schema import CORE_GROUP, CORE_USER, ENTERPRISE, MEMBER
from scim.bodies import GroupSaid, UserSaid, parse_json, read_group, read_query_message, read_user
from scim.errors import InvalidSyntaxError, InvalidValueError, SCIMError
from scim.profiles import PROFILES, Leniency
from tests.scim.builders import DOCUMENTS, VALUES

LENIENT = [PROFILES["generic"], PROFILES["entra"], PROFILES["okta"]]
STRICT = PROFILES["strict"]
ENTRA = PROFILES["entra"]
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(CHARACTERS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS), inner),
    max_leaves=12,
)


def say_user(profile: str = "entra", /, **attributes: object) -> tuple[UserSaid, set[Leniency]]:
    notes: set[Leniency] = set()
    body = {"schemas": [CORE_USER], "userName": "ada", **attributes}
    return read_user(body, PROFILES[profile], notes), notes


def say_group(profile: str = "entra", /, **attributes: object) -> tuple[GroupSaid, set[Leniency]]:
    notes: set[Leniency] = set()
    body = {"schemas": [CORE_GROUP], "displayName": "Staff", **attributes}
    return read_group(body, PROFILES[profile], notes), notes


def check_leniency(
    leniency: Leniency,
    attributes: Mapping[str, Any],
    expected: Mapping[str, object],
    *,
    active: object = None,
) -> None:
    """Every profile that has the leniency reads the attributes as expected and notes it; any other refuses them."""
    for profile in PROFILES.values():
        if profile.allows(leniency):
            said, notes = say_user(profile.name, **attributes)
            assert said.resource == {"userName": "ada", **expected}
            assert said.active is active
            assert leniency in notes
        else:
            with pytest.raises(InvalidValueError):
                say_user(profile.name, **attributes)


class TestParsing:
    @given(JSON_VALUES)
    def test_any_json_is_read_as_the_standard_library_reads_it(self, value: object) -> None:
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
            assert parse_json(text.encode()) == value

    def test_a_byte_order_mark_is_passed_over(self) -> None:
        assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b" \n", "empty"),
            (b'{"a": 1,}', "line 1 column"),
            (b'{\n"a" 1}', "line 2 column 5"),
            (b'{"a": "\xff"}', "not UTF-8: byte 7"),
            (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
            (b'{"a": "\\ud800"}', "not JSON"),
            (b'{"\\udc00": 1}', "not JSON"),
            (b'{"a": NaN}', "not JSON"),
            (b'{"a": Infinity}', "not JSON"),
            (b'{"a": 1e999}', "not JSON"),
            (b'{"a": "x\\u0000"}', "'a' holds a NUL"),
            (b'{"a": [["\\u0000"]]}', "an item of a list holds a NUL"),
            (b'{"\\u0000": 1}', "a key of the body holds a NUL"),
            (b'"\\u0000"', "the body holds a NUL"),
            (b'{"a": 9007199254740993}', "'a' is a number that is out of range"),
            (b'{"a": [-123456789012345678901234567890]}', "out of range"),
            (b"9" * 5000, "not JSON"),
            (b"[" * 33 + b"]" * 33, "more than 32 levels"),
            (b'{"a":' * 33 + b"1" + b"}" * 33, "more than 32 levels"),
            (b"[" * 5000, "not JSON"),
        ],
    )
    def test_what_is_no_sound_json_is_refused(self, data: bytes, words: str) -> None:
        with pytest.raises(InvalidSyntaxError) as caught:
            parse_json(data)
        assert words in caught.value.detail

    def test_what_only_looks_odd_is_taken(self) -> None:
        text = '{"a": "\\\\u0000", "b": [": 1234567890123456789", 9007199254740992, true], "c": "\\"\\\\"}'
        assert parse_json(text.encode()) == json.loads(text)

    def test_32_levels_are_taken(self) -> None:
        assert parse_json(b"[" * 32 + b"]" * 32) is not None
        assert parse_json(b"[" + b"{}," * 40 + b"[]]") is not None
        assert parse_json(b'"' + b"[" * 40 + b'"') == "[" * 40

    @pytest.mark.parametrize(
        ("data", "key"),
        [
            (b'{"userName": "a", "userName": "b"}', "'userName'"),
            (b'{"userName": "a", "user\\u004eame": "b"}', "'userName'"),
            (b'{"a": [{"b": {"c": 1, "d": "\\"", "c": 2}}]}', "'c'"),
            (b'{"": 123456789012345678901234567890, "": 1}', "''"),
            (b'{"a": [{"x": 1}], "a": []}', "'a'"),
        ],
    )
    def test_a_key_given_twice_is_named(self, data: bytes, key: str) -> None:
        with pytest.raises(InvalidSyntaxError) as caught:
            parse_json(data)
        assert caught.value.detail == f"the key {key} is given more than once in one object"

    def test_depth_under_a_key_given_twice_is_refused(self) -> None:
        with pytest.raises(InvalidSyntaxError):
            parse_json(b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b', "a": 1}')

    @given(JSON_VALUES, st.text(CHARACTERS))
    def test_no_repeated_key_is_missed(self, value: object, key: str) -> None:
        quoted, said = json.dumps(key), json.dumps(value)
        with pytest.raises(InvalidSyntaxError, match="more than once"):
            parse_json(f'[{{{quoted}: {said}, "other": 1, {quoted}: 2}}]'.encode())

    @given(st.binary(max_size=40) | VALUES.map(orjson.dumps))
    def test_no_body_raises_anything_else(self, data: bytes) -> None:
        with contextlib.suppress(InvalidSyntaxError):
            parse_json(data)


class TestUsers:
    def test_values_are_kept_as_sent_under_canonical_names(self) -> None:
        said, notes = say_user(
            USERNAME_IS_NOT_THIS=None,
            DISPLAYNAME="  Ada  ",
            Emails=[{"VALUE": "Ada@Example.COM", "Type": "work", "primary": True}],
            nickName="",
            active=False,
        )

        assert said == UserSaid(
            {
                "userName": "ada",
                "displayName": "  Ada  ",
                "emails": [{"value": "Ada@Example.COM", "type": "work", "primary": True}],
                "nickName": "",
            },
            active=False,
        )
        assert notes == {Leniency.IGNORE_UNKNOWN}

    def test_what_is_ours_to_say_and_the_password_are_left_out(self) -> None:
        said, notes = say_user(
            "strict",
            id="x",
            meta=5,
            groups=[{"value": "g"}],
            password=["odd"],
            **{
                MEMBER: {"seat": "seated", "odd": 1},
                f"{MEMBER}:held": True,
                ENTERPRISE: {"manager": {"value": "m", "$ref": "u", "displayName": "Max"}},
            },
        )

        assert said.resource == {"userName": "ada", ENTERPRISE: {"manager": {"value": "m", "$ref": "u"}}}
        assert said.active is None
        assert notes == {Leniency.DOTTED_KEYS}

    def test_what_holds_nothing_is_absent(self) -> None:
        said, notes = say_user(
            "strict", emails=[], ims=[{"value": []}], name={}, addresses=[{}], active=[], **{ENTERPRISE: {}}
        )
        assert said == UserSaid({"userName": "ada"}, None)
        assert notes == set()

    @pytest.mark.parametrize(
        ("attributes", "words"),
        [
            ({"title": 5}, "title must be a text, not a number"),
            ({"title": {"value": "x"}}, "title must be a text, not an object"),
            ({"active": "yes"}, "active must be true or false, not a text"),
            ({"active": 1}, "active must be true or false, not a number"),
            ({"name": "Ada"}, "name must be an object, not a text"),
            ({"name": {"givenName": True}}, "name.givenName must be a text, not a boolean"),
            ({"emails": 5}, "emails must be a list of objects, not a number"),
            ({"addresses": "x"}, "addresses must be a list of objects, not a text"),
            ({"addresses": ["x"]}, "addresses[0] must be an object, not a text"),
            ({"emails": [{}, 7]}, "emails[1] must be an object, not a number"),
            ({"emails": [{"value": ["a", "b"]}]}, "emails[0].value holds one value"),
            ({"emails": [{"primary": "maybe"}]}, "emails[0].primary must be true or false"),
            ({"emails": [{"value": "a"}] * 1001}, "emails has 1001 entries; at most 1000"),
            ({ENTERPRISE: "x"}, f"{ENTERPRISE} must be an object"),
            ({ENTERPRISE: {"department": 5}}, f"{ENTERPRISE}:department must be a text"),
            ({ENTERPRISE: {"manager": {"value": 5}}}, f"{ENTERPRISE}:manager.value must be a text"),
            ({f"{ENTERPRISE}:manager": 5}, f"{ENTERPRISE}:manager must be an object"),
            ({f"{ENTERPRISE}:department": 5}, f"{ENTERPRISE}:department must be a text"),
            ({"userName": ""}, "userName is required"),
            ({"userName": "  "}, "userName is required"),
            ({"userName": None}, "userName is required"),
            ({"userName": 5}, "userName must be a text"),
        ],
    )
    def test_a_wrong_type_names_attribute_and_expectation(
        self, attributes: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(InvalidValueError) as caught:
            say_user(**attributes)
        assert words in caught.value.detail

    @pytest.mark.parametrize(
        "attributes",
        [
            {"title": "a", "TITLE": "b"},
            {"name": {"givenName": "a"}, "name.givenName": "b"},
            {"name.givenName": "b", "name": {"givenname": "a"}},
            {"name": {"givenName": "a", "GIVENNAME": "b"}},
            {ENTERPRISE: {"department": "a"}, f"{ENTERPRISE}:department": "b"},
        ],
    )
    def test_the_same_attribute_said_twice_is_refused(self, attributes: dict[str, Any]) -> None:
        with pytest.raises(InvalidSyntaxError, match="more than once"):
            say_user(**attributes)

    def test_a_user_without_a_name_is_refused(self) -> None:
        with pytest.raises(InvalidValueError, match="userName"):
            read_user({"schemas": [CORE_USER]}, STRICT, set())

    @pytest.mark.parametrize("body", [None, [], "x", 5, True])
    def test_what_is_no_object_is_refused(self, body: object) -> None:
        for read in (read_user, read_group):
            with pytest.raises(InvalidSyntaxError):
                read(body, ENTRA, set())
        with pytest.raises(InvalidSyntaxError):
            read_query_message(body)

    def test_the_schemas_may_be_in_any_case(self) -> None:
        said, notes = say_user("strict", schemas=[CORE_USER.upper(), ENTERPRISE.lower()])
        assert (said.resource, notes) == ({"userName": "ada"}, set())

    @given(DOCUMENTS, st.sampled_from(list(PROFILES)))
    def test_no_document_raises_anything_but_a_scim_error(self, body: dict[str, object], name: str) -> None:
        before = repr(body)
        for read in (read_user, read_group):
            with contextlib.suppress(InvalidSyntaxError, InvalidValueError):
                read(body, PROFILES[name], set())
        assert repr(body) == before

    @given(DOCUMENTS)
    def test_reading_what_was_read_changes_nothing(self, body: dict[str, object]) -> None:
        try:
            said = read_user({"userName": "ada", **body}, ENTRA, set())
        except SCIMError:
            return
        assert read_user(said.resource, ENTRA, set()).resource == said.resource


class TestLeniencies:
    def test_text_boolean(self) -> None:
        check_leniency(
            Leniency.TEXT_BOOLEAN,
            {"active": "False", "emails": [{"value": "a", "primary": "True"}]},
            {"emails": [{"value": "a", "primary": True}]},
            active=False,
        )

    def test_dotted_keys(self) -> None:
        check_leniency(
            Leniency.DOTTED_KEYS,
            {
                "name": {"familyName": "L"},
                "name.givenName": "Ada",
                f"{CORE_USER}:title": "T",
                f"{ENTERPRISE}:department": "D",
                f"{ENTERPRISE.lower()}:MANAGER.value": "m",
                ENTERPRISE.upper(): {"manager.$ref": "u", "costCenter": "C"},
            },
            {
                "name": {"familyName": "L", "givenName": "Ada"},
                "title": "T",
                ENTERPRISE: {
                    "department": "D",
                    "manager": {"value": "m", "$ref": "u"},
                    "costCenter": "C",
                },
            },
        )

    def test_null_is_absent(self) -> None:
        check_leniency(
            Leniency.NULL_IS_ABSENT,
            {
                "title": None,
                "active": None,
                "emails": [None],
                "name.givenName": None,
                ENTERPRISE: {"manager": {"value": "m", "$ref": None}, "manager.value": None},
            },
            {ENTERPRISE: {"manager": {"value": "m"}}},
        )

    def test_manager_without_reference(self) -> None:
        manager = {ENTERPRISE: {"manager": {"value": "m"}}}
        check_leniency(Leniency.MANAGER_WITHOUT_REFERENCE, manager, manager)

    def test_manager_as_text(self) -> None:
        check_leniency(
            Leniency.MANAGER_AS_TEXT,
            {f"{ENTERPRISE}:manager": "m"},
            {ENTERPRISE: {"manager": {"value": "m"}}},
        )

    @pytest.mark.parametrize(
        "attributes",
        [
            {"odd": 1},
            {"emails.value": "x"},
            {"name": {"odd": 1}},
            {"emails": [{"odd": 1}]},
            {"schemas": [CORE_USER, "urn:odd"]},
            {"urn:odd": {"a": 1}},
            {ENTERPRISE: {"odd": 1, "odd.value": 2, "manager.odd": 3, "department.odd": 4}},
        ],
    )
    def test_ignore_unknown(self, attributes: dict[str, Any]) -> None:
        check_leniency(Leniency.IGNORE_UNKNOWN, attributes, {})

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({"emails": {"value": "a"}}, {"emails": [{"value": "a"}]}),
            ({"emails": "a"}, {"emails": [{"value": "a"}]}),
            ({"emails": ["a"]}, {"emails": [{"value": "a"}]}),
            ({"title": [{"$ref": None, "value": "T"}]}, {"title": "T"}),
            ({"title": ["T"]}, {"title": "T"}),
            ({"title": [None]}, {}),
            ({"name": [{"givenName": "Ada"}]}, {"name": {"givenName": "Ada"}}),
        ],
    )
    def test_entry_shape(self, attributes: dict[str, Any], expected: dict[str, object]) -> None:
        check_leniency(Leniency.ENTRY_SHAPE, attributes, expected)

    def test_several_primaries(self) -> None:
        check_leniency(
            Leniency.SEVERAL_PRIMARIES,
            {"emails": [{"value": "a"}, {"value": "b", "primary": True}, {"value": "c", "primary": True}]},
            {"emails": [{"value": "a"}, {"value": "b", "primary": True}, {"value": "c", "primary": False}]},
        )

    @pytest.mark.parametrize("schemas", [None, [], [ENTERPRISE], "x", [CORE_USER, 5]])
    def test_unsaid_schemas(self, schemas: object) -> None:
        check_leniency(Leniency.UNSAID_SCHEMAS, {"schemas": schemas}, {})


class TestGroups:
    def test_members_are_ids_in_lower_case_each_once(self) -> None:
        said, notes = say_group(
            "strict",
            EXTERNALID="e",
            id="x",
            Members=[{"value": "A1", "type": "User", "display": 5}, {"VALUE": "b2"}, {"value": "a1"}],
        )
        assert said == GroupSaid("Staff", "e", ("a1", "b2"))
        assert notes == set()

    def test_members_that_are_not_said_differ_from_none(self) -> None:
        assert say_group()[0].members is None
        assert say_group(members=[])[0].members == ()

    @pytest.mark.parametrize("name", PROFILES)
    def test_members_of_null_are_not_said(self, name: str) -> None:
        said, notes = say_group(name, members=None)
        assert said.members is None
        assert notes == {Leniency.NULL_IS_ABSENT}

    def test_a_reference_of_null_is_noted(self) -> None:
        said, notes = say_group("strict", members=[{"value": "a", "$ref": None}])
        assert said.members == ("a",)
        assert notes == {Leniency.NULL_IS_ABSENT}

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            (5, "members must be a list of objects, not a number"),
            ([{"value": "a"}, {"value": 5}], "members[1] needs a value"),
            ([{"value": ""}], "members[0] needs a value"),
            ([{}], "members[0] needs a value"),
            ([None], "members[0] must be an object with a value, not null"),
            ([""], "members[0] must be an object"),
        ],
    )
    def test_a_member_that_is_none_is_named_by_its_place(self, members: object, words: str) -> None:
        with pytest.raises(InvalidValueError) as caught:
            say_group(members=members)
        assert words in caught.value.detail

    @pytest.mark.parametrize("members", [{"value": "A"}, "A", ["A"]])
    def test_entry_shape(self, members: object) -> None:
        for profile in LENIENT:
            said, notes = say_group(profile.name, members=members)
            assert said.members == ("a",)
            assert notes == {Leniency.ENTRY_SHAPE}
        with pytest.raises(InvalidValueError):
            say_group("strict", members=members)

    def test_members_said_twice_are_refused(self) -> None:
        with pytest.raises(InvalidSyntaxError, match="more than once"):
            say_group(**{"members": [], f"{CORE_GROUP}:members": [{"value": "a"}]})

    @pytest.mark.parametrize("value", ["", " ", None])
    def test_a_group_needs_a_name(self, value: object) -> None:
        with pytest.raises(InvalidValueError, match="displayName is required"):
            say_group(displayName=value)

    @pytest.mark.parametrize("attributes", [{"odd": 1}, {"schemas": [CORE_GROUP, "http://odd/Group"]}])
    def test_ignore_unknown(self, attributes: dict[str, Any]) -> None:
        for profile in LENIENT:
            assert say_group(profile.name, **attributes)[1] == {Leniency.IGNORE_UNKNOWN}
        with pytest.raises(InvalidValueError):
            say_group("strict", **attributes)

    def test_unsaid_schemas(self) -> None:
        for profile in LENIENT:
            assert say_group(profile.name, schemas=None)[1] == {Leniency.UNSAID_SCHEMAS}
        with pytest.raises(InvalidValueError):
            say_group("strict", schemas=None)


class TestQueries:
    def test_parameters_are_read_in_any_case(self) -> None:
        assert read_query_message(
            {
                "schemas": ["urn:x"],
                "ATTRIBUTES": ["userName"],
                "excludedAttributes": [],
                "Filter": "userName pr",
                "sortby": "userName",
                "sortOrder": "descending",
                "startIndex": 2,
                "COUNT": 5,
                "cursor": "",
                "odd": 1,
            }
        ) == {
            "attributes": ["userName"],
            "excludedAttributes": [],
            "filter": "userName pr",
            "sortBy": "userName",
            "sortOrder": "descending",
            "startIndex": 2,
            "count": 5,
            "cursor": "",
        }

    def test_null_is_absent(self) -> None:
        assert read_query_message({"filter": None, "count": None}) == {}

    @pytest.mark.parametrize(
        "body",
        [
            {"filter": 5},
            {"count": "5"},
            {"count": True},
            {"startIndex": 1.5},
            {"attributes": "userName"},
            {"attributes": [5]},
        ],
    )
    def test_a_wrong_type_is_refused(self, body: dict[str, object]) -> None:
        with pytest.raises(InvalidValueError):
            read_query_message(body)

    def test_a_parameter_said_twice_is_refused(self) -> None:
        with pytest.raises(InvalidSyntaxError):
            read_query_message({"count": 1, "COUNT": 2})
