"""PATCH: what operations make of a user, and which steps they are on a group."""

import contextlib
import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.filters import parse_filter
from directory.schema import CORE_GROUP, ENTERPRISE, GROUP, MEMBER, USER
from scim.errors import (
    InvalidPathError,
    InvalidValueError,
    MutabilityError,
    NoTargetError,
    SCIMError,
)
from scim.members import AddIds, ClearAll, MemberStep, RemoveIds, RemoveMatching, ReplaceIds
from scim.operations import PATCH_OP, read_operations
from scim.patch import GroupPatch, patch_group, patch_user
from scim.profiles import PROFILES, Leniency
from tests.scim.builders import PATCHES, operation

USER_ID = "0199aaaa-0000-7000-8000-000000000001"
WORK = {"value": "work@example.com", "type": "work", "primary": True}
HOME = {"value": "home@example.com", "type": "home"}
NOTHING: tuple[object, ...] = (None, [])
ADA: Mapping[str, Any] = {
    "userName": "ada",
    "active": True,
    "name": {"givenName": "Ada", "familyName": "L"},
    "emails": [WORK, HOME],
    ENTERPRISE: {"department": "D", "manager": {"value": "m1", "$ref": "../Users/m1"}},
}
SHOWN: Mapping[str, Any] = {
    **ADA,
    "id": USER_ID,
    "meta": {"resourceType": "User", "version": 'W/"1"'},
    "groups": [{"value": "g1", "display": "Staff"}],
    MEMBER: {"seat": "seated", "held": False},
}


def patch(
    *operations: dict[str, object], profile: str = "strict", current: Mapping[str, Any] = ADA
) -> tuple[dict[str, Any], set[Leniency]]:
    notes: set[Leniency] = set()
    before = copy.deepcopy(current)
    body = {"schemas": [PATCH_OP], "Operations": list(operations)}
    read = read_operations(body, USER, PROFILES[profile], notes)
    try:
        return patch_user(current, read, PROFILES[profile], notes, shown={**SHOWN, **current}), notes
    finally:
        assert current == before


def changes_of(*operations: dict[str, object], profile: str = "strict") -> dict[str, Any]:
    """The attributes that are other than Ada's; None for those that are gone."""
    document, _ = patch(*operations, profile=profile)
    names = [*document, *(name for name in ADA if name not in document)]
    return {name: document.get(name) for name in names if document.get(name) != ADA.get(name)}


def patch_members(
    *operations: dict[str, object], profile: str = "strict"
) -> tuple[tuple[MemberStep, ...], set[Leniency]]:
    said, notes = patch_staff(*operations, profile=profile)
    assert (said.display_name, said.client_id) == (None, None)
    return said.steps, notes


def patch_staff(*operations: dict[str, object], profile: str = "strict") -> tuple[GroupPatch, set[Leniency]]:
    notes: set[Leniency] = set()
    body = {"schemas": [PATCH_OP], "Operations": list(operations)}
    read = read_operations(body, GROUP, PROFILES[profile], notes)
    shown = {"id": USER_ID, "displayName": "Staff", "meta": {"resourceType": "Group"}}
    return patch_group(read, PROFILES[profile], notes, shown=shown), notes


class TestSingleValues:
    @pytest.mark.parametrize("op", ["add", "replace"])
    def test_a_simple_value_is_set(self, op: str) -> None:
        assert changes_of(operation(op, "TITLE", value="T")) == {"title": "T"}
        assert changes_of(operation(op, "active", value=False)) == {"active": False}
        assert changes_of(operation(op, "name.familyName", value="M")) == {
            "name": {"givenName": "Ada", "familyName": "M"}
        }
        assert changes_of(operation(op, f"{ENTERPRISE}:costCenter", value="")) == {
            ENTERPRISE: {**ADA[ENTERPRISE], "costCenter": ""}
        }

    def test_a_value_is_removed(self) -> None:
        said = (
            operation("remove", "name.givenName"),
            operation("remove", f"{ENTERPRISE}:department"),
            operation("remove", f"{ENTERPRISE}:manager.value"),
        )
        assert changes_of(*said) == {"name": {"familyName": "L"}, ENTERPRISE: None}

    def test_what_is_absent_is_removed_without_effect(self) -> None:
        absent = ("title", "name.middleName", f"{ENTERPRISE}:costCenter", "roles", 'emails[type eq "x"]')
        assert changes_of(*(operation("remove", path) for path in absent)) == {}
        bare = {"userName": "ada", "active": True}
        said = [operation("remove", path) for path in (*absent, "name", ENTERPRISE, 'ims[type eq "x"].value')]
        assert patch(*said, current=bare)[0] == bare

    @pytest.mark.parametrize("op", ["add", "replace"])
    def test_a_complex_value_keeps_the_parts_that_are_not_said(self, op: str) -> None:
        assert changes_of(operation(op, "name", value={"givenName": "B", "middleName": "C"})) == {
            "name": {"givenName": "B", "familyName": "L", "middleName": "C"}
        }
        assert changes_of(operation(op, "name", value={})) == {}
        assert changes_of(operation(op, "name", value={"givenName": None})) == {"name": {"familyName": "L"}}

    def test_an_extension_is_patched_whole(self) -> None:
        said = operation("replace", ENTERPRISE, value={"costCenter": "C", "manager": {"value": "m2"}})
        assert changes_of(said) == {
            ENTERPRISE: {"department": "D", "costCenter": "C", "manager": {"value": "m2"}}
        }
        assert changes_of(operation("remove", ENTERPRISE.lower())) == {ENTERPRISE: None}
        nothing = operation("add", value={ENTERPRISE: {"department": None, "manager": None}})
        assert changes_of(nothing) == {ENTERPRISE: None}
        again = operation("replace", ENTERPRISE, value={"manager": {"value": None, "$ref": None}})
        assert changes_of(again) == {ENTERPRISE: {"department": "D"}}

    def test_a_reference_goes_with_the_value_beside_it(self) -> None:
        manager = f"{ENTERPRISE}:manager"
        for said in (
            operation("replace", f"{manager}.value", value="m2"),
            operation("add", manager, value={"value": "m2"}),
        ):
            assert changes_of(said)[ENTERPRISE]["manager"] == {"value": "m2"}
        same = operation("replace", manager, value={"value": "m1"})
        assert changes_of(same) == {}
        both = operation("replace", manager, value={"value": "m2", "$ref": "r"})
        assert changes_of(both)[ENTERPRISE]["manager"] == {"value": "m2", "$ref": "r"}

    def test_a_manager_is_given_to_a_user_without_extension(self) -> None:
        said = operation("add", f"{ENTERPRISE}:manager", value={"value": "m"})
        bare = {"userName": "ada", "active": True}
        assert patch(said, current=bare)[0] == {**bare, ENTERPRISE: {"manager": {"value": "m"}}}

    @pytest.mark.parametrize("op", ["remove", "replace"])
    @pytest.mark.parametrize("value", ["", " ", None])
    def test_the_user_name_cannot_be_taken_away(self, op: str, value: object) -> None:
        with pytest.raises(InvalidValueError, match="userName is required"):
            patch(operation(op, "userName", value=value))

    def test_active_cannot_be_removed_and_null_leaves_it(self) -> None:
        with pytest.raises(InvalidValueError, match="replace it by false"):
            patch(operation("remove", "active"))
        assert changes_of(operation("replace", value={"active": None})) == {}

    def test_a_password_is_dropped(self) -> None:
        assert (
            changes_of(operation("add", value={"password": "secret"}), operation("remove", "password")) == {}
        )

    @pytest.mark.parametrize(
        ("path", "value", "words"),
        [
            ("title", 5, "title must be a text"),
            ("title", ["a", "b"], "title holds one value"),
            ("name", "Ada", "name must be an object"),
            ("name.givenName", 5, "name.givenName must be a text"),
            (f"{ENTERPRISE}:department", 5, f"{ENTERPRISE}:department must be a text"),
            ("active", "yes", "active must be true or false"),
            ("emails", 5, "emails must be a list"),
            ('emails[type eq "work"]', "x", "emails must be an object"),
            ('emails[type eq "work"].primary', 5, "emails.primary must be true or false"),
        ],
    )
    def test_a_wrong_type_is_refused(self, path: str, value: object, words: str) -> None:
        with pytest.raises(SCIMError) as caught:
            patch(operation("replace", path, value=value))
        assert caught.value.scim_type == "invalidValue"
        assert words in caught.value.detail


class TestReadOnly:
    @pytest.mark.parametrize("op", ["add", "replace"])
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("id", USER_ID),
            ("id", USER_ID.upper()),
            ("id", None),
            ("meta", {"resourceType": "User"}),
            ("meta.version", 'W/"1"'),
            ("groups", [{"value": "g1"}]),
            ("groups", []),
            (MEMBER, {"seat": "seated"}),
            (f"{MEMBER}:held", False),
        ],
    )
    def test_the_present_value_passes(self, op: str, path: str, value: object) -> None:
        assert changes_of(operation(op, path, value=value)) == {}
        assert changes_of(operation(op, value={path: value, "title": "T"})) == {"title": "T"}

    @pytest.mark.parametrize("profile", PROFILES)
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("id", "other"),
            ("meta.version", 'W/"2"'),
            ("groups", [{"value": "g2"}]),
            ('groups[value eq "g1"]', {"value": "g1"}),
            ("groups.value", "g1"),
            (MEMBER, {"seat": "waiting"}),
            (f"{MEMBER}:grants", [{"role": "x"}]),
            (f"{MEMBER}:grants.role", "x"),
            (f"{ENTERPRISE}:manager.displayName", "Max"),
        ],
    )
    def test_another_value_is_refused(self, path: str, value: object, profile: str) -> None:
        with pytest.raises(MutabilityError, match="read-only"):
            patch(operation("replace", path, value=value), profile=profile)

    def test_what_is_absent_may_be_removed(self) -> None:
        assert changes_of(operation("remove", f"{MEMBER}:grants")) == {}
        with pytest.raises(MutabilityError):
            patch(operation("remove", "id"))

    def test_a_read_only_part_of_an_object_is_left_out(self) -> None:
        said = operation("add", f"{ENTERPRISE}:manager", value={"value": "m1", "displayName": "Max"})
        assert changes_of(said) == {}


class TestEntries:
    def test_add_appends_what_is_not_there(self) -> None:
        fresh = {"value": "new@example.com"}
        said = operation("add", "emails", value=[{**HOME, "value": "HOME@example.com"}, fresh, fresh])
        assert changes_of(said) == {"emails": [WORK, HOME, fresh]}
        assert changes_of(operation("add", "emails", value=HOME)) == {}
        assert changes_of(operation("add", "emails", value=[])) == {}
        assert changes_of(operation("add", "emails", value=None)) == {}

    def test_a_new_primary_entry_unmarks_the_other(self) -> None:
        unmarked = {**WORK, "primary": False}
        new = {"value": "new", "primary": True}
        assert changes_of(operation("add", "emails", value=[new])) == {"emails": [unmarked, HOME, new]}
        home = {**HOME, "primary": True}
        for said in (
            operation("add", "emails", value=[home]),
            operation("replace", 'emails[type eq "home"].primary', value=True),
            operation("replace", 'emails[type eq "home"]', value={"primary": True}),
        ):
            assert changes_of(said) == {"emails": [unmarked, home]}

    def test_several_entries_cannot_become_primary(self) -> None:
        with pytest.raises(InvalidValueError, match="at most may be primary"):
            patch(operation("replace", "emails[value pr].primary", value=True))

    def test_replace_sets_the_whole_list(self) -> None:
        assert changes_of(operation("replace", "emails", value=[HOME])) == {"emails": [HOME]}
        for nothing in NOTHING:
            assert changes_of(operation("replace", "emails", value=nothing)) == {"emails": None}

    def test_remove_takes_all_or_those_that_match(self) -> None:
        assert changes_of(operation("remove", "emails")) == {"emails": None}
        assert changes_of(operation("remove", 'emails[type eq "WORK"]')) == {"emails": [HOME]}
        assert changes_of(operation("remove", "emails[value pr]")) == {"emails": None}

    def test_an_entry_without_more_than_its_label_goes(self) -> None:
        assert changes_of(operation("remove", 'emails[type eq "work"].value')) == {"emails": [HOME]}
        assert changes_of(operation("remove", "emails.type")) == {
            "emails": [{"value": WORK["value"], "primary": True}, {"value": HOME["value"]}]
        }

    def test_a_filter_chooses_what_is_replaced(self) -> None:
        new = {**HOME, "value": "new", "display": "New"}
        assert changes_of(
            operation("replace", 'emails[type eq "home"].value', value="new"),
            operation("add", 'emails[type eq "home"]', value=[{"display": "New"}]),
        ) == {"emails": [WORK, new]}
        every = [{**WORK, "display": "D"}, {**HOME, "display": "D"}]
        assert changes_of(operation("replace", "emails[value pr].display", value="D")) == {"emails": every}

    def test_null_takes_a_part_of_an_entry(self) -> None:
        path = 'emails[type eq "home"]'
        assert changes_of(operation("replace", f"{path}.type", value=None)) == {
            "emails": [WORK, {"value": HOME["value"]}]
        }
        assert changes_of(operation("add", f"{path}.type", value=None)) == {}
        assert changes_of(operation("replace", path, value={})) == {}
        for value in (*NOTHING, {"value": None, "type": None}):
            assert changes_of(operation("replace", path, value=value)) == {"emails": [WORK]}
        assert changes_of(operation("add", path, value=None)) == {}

    def test_a_part_without_a_filter_needs_one_entry_at_most(self) -> None:
        with pytest.raises(InvalidPathError, match="names 2 entries"):
            patch(operation("replace", "emails.value", value="x"))
        said = operation("replace", "roles.value", value="x")
        assert changes_of(said) == {"roles": [{"value": "x"}]}
        assert changes_of(said, operation("add", "roles.value", value="y")) == {"roles": [{"value": "y"}]}
        assert changes_of(operation("replace", "roles.value", value=None)) == {}

    def test_entries_are_bounded(self) -> None:
        with pytest.raises(InvalidValueError, match="more than 1000 entries"):
            patch(operation("add", "emails", value=[{"value": str(number)} for number in range(999)]))

    def test_other_profiles_find_no_target_for_a_filter_that_describes_no_entry(self) -> None:
        for path in (
            'emails[type ne "work" and type ne "home"]',
            'emails[type eq "a" or type eq "b"]',
            'emails[type eq "a" and not (type eq "b")]',
            "emails[type eq null]",
        ):
            with pytest.raises(NoTargetError):
                patch(operation("replace", f"{path}.value", value="x"), profile="entra")


class TestLeniencies:
    def check(
        self,
        leniency: Leniency,
        said: dict[str, object],
        expected: dict[str, object],
        refusal: type[SCIMError] = InvalidValueError,
    ) -> None:
        for profile in PROFILES.values():
            if profile.allows(leniency):
                assert changes_of(said, profile=profile.name) == expected
                assert leniency in patch(said, profile=profile.name)[1]
            else:
                with pytest.raises(refusal):
                    patch(said, profile=profile.name)

    def test_operation_case(self) -> None:
        self.check(Leniency.OPERATION_CASE, operation("REPLACE", "title", value="T"), {"title": "T"})

    def test_text_boolean(self) -> None:
        self.check(Leniency.TEXT_BOOLEAN, operation("replace", "active", value="False"), {"active": False})

    def test_dotted_keys(self) -> None:
        said = {
            "name.givenName": "B",
            f"{ENTERPRISE}:costCenter": "C",
            'emails[type eq "home"].value': "new",
        }
        expected: dict[str, object] = {
            "name": {"givenName": "B", "familyName": "L"},
            ENTERPRISE: {**ADA[ENTERPRISE], "costCenter": "C"},
            "emails": [WORK, {**HOME, "value": "new"}],
        }
        self.check(Leniency.DOTTED_KEYS, operation("replace", value=said), expected)
        assert patch(operation("replace", "name.givenName", value="B"))[1] == set()

    def test_null_is_absent(self) -> None:
        said = operation("replace", value={"emails": None, "name": None, "title": None})
        self.check(Leniency.NULL_IS_ABSENT, said, {"emails": None, "name": None})
        self.check(Leniency.NULL_IS_ABSENT, operation("add", "name", value=None), {})

    def test_manager_without_reference(self) -> None:
        said = operation("add", f"{ENTERPRISE}:manager", value={"value": "m2"})
        self.check(
            Leniency.MANAGER_WITHOUT_REFERENCE,
            said,
            {ENTERPRISE: {"department": "D", "manager": {"value": "m2"}}},
        )

    @pytest.mark.parametrize(
        "value", [[HOME], [{"value": "HOME@example.com"}], {"value": HOME["value"], "primary": True}]
    )
    def test_remove_by_value(self, value: object) -> None:
        said = operation("remove", "emails", value=value)
        self.check(Leniency.REMOVE_BY_VALUE, said, {"emails": [WORK]})

    @pytest.mark.parametrize("value", [[], [{}], [{"type": "home", "value": WORK["value"]}]])
    def test_remove_by_a_value_that_is_none_removes_nothing(self, value: object) -> None:
        self.check(Leniency.REMOVE_BY_VALUE, operation("remove", "emails", value=value), {})

    @pytest.mark.parametrize("op", ["add", "replace"])
    def test_create_unmatched_entry(self, op: str) -> None:
        created = {"type": "other", "display": "O", "value": "x"}
        said = operation(op, 'emails[type eq "other" and display eq "O"].value', value="x")
        expected: dict[str, object] = {"emails": [WORK, HOME, created]}
        self.check(Leniency.CREATE_UNMATCHED_ENTRY, said, expected, NoTargetError)

    def test_an_unmatched_primary_entry_becomes_the_primary_one(self) -> None:
        said = operation("add", 'roles[primary eq "True"].value', value="r")
        created: dict[str, object] = {"roles": [{"primary": True, "value": "r"}]}
        self.check(Leniency.CREATE_UNMATCHED_ENTRY, said, created, NoTargetError)

    def test_no_entry_is_created_of_nothing_or_that_its_filter_would_not_find(self) -> None:
        path = 'emails[type eq "other"]'
        assert patch(operation("replace", f"{path}.value", value=None), profile="entra") == (
            ADA,
            {Leniency.NULL_IS_ABSENT},
        )
        with pytest.raises(NoTargetError, match="none that it would match"):
            patch(operation("replace", path, value={"type": "else"}), profile="entra")

    @pytest.mark.parametrize(
        "said",
        [
            operation("add", "odd", value="x"),
            operation("remove", "odd.value"),
            operation("add", value={"odd": 1, "odd key": 2, "1": 3}),
            operation("add", "department", value="x"),
            operation("replace", 'emails[odd eq "x"].value', value="x"),
        ],
    )
    def test_ignore_unknown(self, said: dict[str, object]) -> None:
        self.check(Leniency.IGNORE_UNKNOWN, said, {}, InvalidPathError)

    def test_ignore_unknown_within_a_value(self) -> None:
        said = operation("add", "name", value={"odd": 1, "givenName": "B"})
        expected: dict[str, object] = {"name": {"givenName": "B", "familyName": "L"}}
        self.check(Leniency.IGNORE_UNKNOWN, said, expected)

    def test_manager_as_text(self) -> None:
        said = operation("replace", f"{ENTERPRISE}:manager", value="m2")
        expected: dict[str, object] = {ENTERPRISE: {"department": "D", "manager": {"value": "m2"}}}
        self.check(Leniency.MANAGER_AS_TEXT, said, expected)

    @pytest.mark.parametrize("value", ["new", ["new"]])
    def test_entry_shape(self, value: object) -> None:
        said = operation("add", "emails", value=value)
        self.check(Leniency.ENTRY_SHAPE, said, {"emails": [WORK, HOME, {"value": "new"}]})

    def test_several_primaries(self) -> None:
        said = operation("replace", "emails", value=[{**HOME, "primary": True}, WORK])
        expected: dict[str, object] = {"emails": [{**HOME, "primary": True}, {**WORK, "primary": False}]}
        self.check(Leniency.SEVERAL_PRIMARIES, said, expected)

    @pytest.mark.parametrize("schemas", [{}, {"schemas": []}, {"schemas": "x"}, {"schemas": [5, "urn:x"]}])
    def test_unsaid_schemas(self, schemas: dict[str, object]) -> None:
        body = {"Operations": [operation("add", "title", value="T")], **schemas}
        for profile in PROFILES.values():
            notes: set[Leniency] = set()
            if profile.allows(Leniency.UNSAID_SCHEMAS):
                assert len(read_operations(body, USER, profile, notes)) == 1
                assert notes == {Leniency.UNSAID_SCHEMAS}
            else:
                with pytest.raises(InvalidValueError):
                    read_operations(body, USER, profile, notes)


SAID: list[tuple[str, list[object]]] = [
    ("title", ["T", "", None]),
    ("name", [{"givenName": "B"}, {"givenName": None}, {}, None]),
    ("name.middleName", ["M", None]),
    (ENTERPRISE, [{"department": "E", "manager": {"value": "m2"}}, {"manager": None}]),
    (f"{ENTERPRISE}:manager", [{"value": "m2"}, "m3", [{"value": "m1"}]]),
    ("emails", [[HOME], WORK, [{"value": "n", "primary": True}, HOME], [], None, "n"]),
    (
        'emails[type eq "work"]',
        [{"value": "n"}, {"display": "D", "primary": True}, {"type": None}],
    ),
    ('emails[type eq "other"]', [{"value": "n"}, {"primary": True}]),
    ('emails[type eq "home"].primary', [True, "False"]),
    ('emails[type eq "other"].value', ["n", None]),
    ("roles.value", ["r", None]),
    ("active", [True, "False"]),
]


class TestWholeRequests:
    def test_a_fault_in_the_fourth_operation_applies_none(self) -> None:
        said = [operation("replace", path, value="x") for path in ("title", "nickName", "name.givenName")]
        with pytest.raises(NoTargetError, match="operation 4"):
            patch(*said, operation("replace", 'ims[type eq "x"].value', value="x"))

    def test_both_styles_of_entra_come_to_the_same(self) -> None:
        one_each = [
            operation("Replace", "displayName", value="B"),
            operation("Replace", "name.familyName", value="M"),
            operation("Replace", 'emails[type eq "work"].value', value="b@example.com"),
            operation("Replace", "active", value="False"),
            operation("Add", f"{ENTERPRISE}:department", value="E"),
        ]
        at_once = operation("replace", value={str(said["path"]): said["value"] for said in one_each})
        assert patch(*one_each, profile="entra")[0] == patch(at_once, profile="entra")[0]

    @given(
        st.sampled_from(["add", "replace", "remove"]),
        st.sampled_from([(path, value) for path, values in SAID for value in values]),
        st.sampled_from(list(PROFILES)),
    )
    def test_an_operation_taken_twice_is_as_taken_once(
        self, op: str, said: tuple[str, object], profile: str
    ) -> None:
        wanted = operation(op, said[0], value=said[1])
        if said == ('emails[type eq "work"]', {"type": None}):
            # It takes away what the filter finds its entry by, and so says another thing the second time.
            return
        try:
            once, _ = patch(wanted, profile=profile)
        except SCIMError:
            return
        assert patch(wanted, profile=profile, current=once)[0] == once
        assert patch(wanted, wanted, profile=profile)[0] == once


class TestGroups:
    @pytest.mark.parametrize("profile", PROFILES)
    @pytest.mark.parametrize(
        ("said", "steps"),
        [
            (operation("add", "members", value=[{"value": "A"}, {"value": "b"}]), [AddIds(("a", "b"))]),
            (operation("add", "members", value={"value": "a"}), [AddIds(("a",))]),
            (operation("add", value={"members": [{"value": "a"}]}), [AddIds(("a",))]),
            (operation("replace", value={f"{CORE_GROUP}:members": []}), [ReplaceIds(())]),
            (operation("replace", "members", value=[{"value": "a"}]), [ReplaceIds(("a",))]),
            (operation("remove", "members"), [ClearAll()]),
            (operation("remove", "members", value=None), [ClearAll()]),
            (operation("replace", "members", value=None), [ClearAll()]),
            (operation("add", "members", value=None), []),
            (operation("replace", value={"members": None}), []),
            (operation("remove", 'members[value eq "A"]'), [RemoveIds(("a",))]),
            (
                operation("remove", 'MEMBERS[VALUE eq "a" or (value eq "B" or value eq "a")]'),
                [RemoveIds(("a", "b"))],
            ),
            (
                operation("remove", 'members[type eq "Group"]'),
                [RemoveMatching(parse_filter('type eq "Group"'))],
            ),
            (
                operation("remove", 'members[value eq "a" or value sw "b"]'),
                [RemoveMatching(parse_filter('value eq "a" or value sw "b"'))],
            ),
            (operation("remove", "members[value eq null]"), [RemoveMatching(parse_filter("value eq null"))]),
            (operation("add", 'members[value eq "a"]', value={"value": "a"}), [AddIds(("a",))]),
            (
                operation("replace", 'members[value eq "a"]', value=[{"value": "b"}]),
                [RemoveIds(("a",)), AddIds(("b",))],
            ),
            (operation("replace", 'members[value eq "a"].display', value="A"), []),
        ],
    )
    def test_an_operation_is_a_step(
        self, said: dict[str, object], steps: list[MemberStep], profile: str
    ) -> None:
        assert patch_members(said, profile=profile)[0] == tuple(steps)

    @pytest.mark.parametrize("value", [[{"value": "A"}], {"value": "a"}])
    def test_remove_by_value(self, value: object) -> None:
        said = operation("remove", "members", value=value)
        for profile in PROFILES.values():
            if profile.allows(Leniency.REMOVE_BY_VALUE):
                assert patch_members(said, profile=profile.name) == (
                    (RemoveIds(("a",)),),
                    {Leniency.REMOVE_BY_VALUE},
                )
            else:
                with pytest.raises(InvalidValueError, match="remove takes no value"):
                    patch_members(said, profile=profile.name)

    def test_remove_of_an_empty_array_removes_nobody(self) -> None:
        said = operation("remove", "members", value=[])
        assert patch_members(said, profile="entra")[0] == (RemoveIds(()),)
        with pytest.raises(InvalidValueError):
            patch_members(said)

    @pytest.mark.parametrize("value", ["A", ["a"]])
    def test_entry_shape(self, value: object) -> None:
        said = operation("add", "members", value=value)
        assert patch_members(said, profile="okta") == ((AddIds(("a",)),), {Leniency.ENTRY_SHAPE})
        with pytest.raises(InvalidValueError):
            patch_members(said)

    def test_the_id_of_a_member_cannot_be_changed(self) -> None:
        for path in ("members.value", 'members[value eq "a"].value'):
            with pytest.raises(MutabilityError):
                patch_members(operation("replace", path, value="b"))

    def test_a_wrong_member_is_named_by_operation_and_place(self) -> None:
        with pytest.raises(InvalidValueError, match=r"operation 1: members\[1\]"):
            patch_members(operation("add", "members", value=[{"value": "a"}, {"value": 1}]))

    def test_names_are_said_or_not(self) -> None:
        assert patch_staff(operation("add", "members", value=[]))[0] == GroupPatch(None, None, (AddIds(()),))
        said = operation("replace", value={"id": USER_ID, "displayName": "Crew", "externalId": "e"})
        assert patch_staff(said)[0] == GroupPatch("Crew", "e", ())
        assert patch_staff(operation("remove", "externalId"))[0] == GroupPatch(None, "", ())
        assert patch_staff(operation("replace", "externalId", value=None))[0] == GroupPatch(None, "", ())
        assert patch_staff(operation("add", "externalId", value=None))[0] == GroupPatch(None, None, ())

    @pytest.mark.parametrize(
        "said",
        [
            operation("remove", "displayName"),
            operation("replace", "displayName", value=""),
            operation("replace", "displayName", value=None),
            operation("replace", "displayName", value=5),
        ],
    )
    def test_the_name_of_a_group_cannot_be_taken_away(self, said: dict[str, object]) -> None:
        with pytest.raises(InvalidValueError, match="displayName"):
            patch_staff(said)

    def test_a_read_only_attribute_passes_as_it_is(self) -> None:
        assert patch_staff(operation("replace", "id", value=USER_ID))[0] == GroupPatch(None, None, ())
        with pytest.raises(MutabilityError):
            patch_staff(operation("replace", "id", value="other"))


@given(PATCHES, st.sampled_from(list(PROFILES)))
def test_no_patch_raises_anything_but_a_scim_error(body: dict[str, object], profile: str) -> None:
    notes: set[Leniency] = set()
    with contextlib.suppress(SCIMError):
        said = read_operations(body, USER, PROFILES[profile], notes)
        patch_user(ADA, said, PROFILES[profile], notes, shown=SHOWN)
    with contextlib.suppress(SCIMError):
        said = read_operations(body, GROUP, PROFILES[profile], notes)
        patch_group(said, PROFILES[profile], notes, shown={"id": "x"})
    assert notes <= PROFILES[profile].leniencies
