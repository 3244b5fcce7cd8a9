"""PATCH as it is sent: what is read of a message, and what is refused before any resource is looked at."""

import pytest

from directory.schema import GROUP, USER, ResourceSchema
from scim.errors import (
    InvalidPathError,
    InvalidSyntaxError,
    InvalidValueError,
    NoTargetError,
    SCIMError,
    TooLargeError,
)
from scim.operations import PATCH_OP, Op, Operation, read_operations
from scim.profiles import PROFILES
from tests.scim.builders import operation

ONE = operation("add", "title", value="T")


def read(
    *operations: dict[str, object], profile: str = "strict", schema: ResourceSchema = USER
) -> tuple[Operation, ...]:
    body = {"schemas": [PATCH_OP], "Operations": list(operations)}
    return read_operations(body, schema, PROFILES[profile], set())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "a PATCH is a JSON object"),
        ({}, "Operations must be a list"),
        ({"Operations": []}, "Operations must be a list"),
        ({"Operations": {}}, "Operations must be a list"),
        ({"Operations": ["x"]}, "operation 1: an operation is a JSON object, not a text"),
        ({"Operations": [{"path": "title"}]}, "operation 1: op must be add, remove or replace, not null"),
        ({"Operations": [{"op": "move"}]}, "not 'move'"),
        ({"Operations": [{"op": 5}]}, "not a number"),
    ],
)
def test_what_is_no_patch_is_refused(body: object, words: str) -> None:
    with pytest.raises(InvalidSyntaxError) as caught:
        read_operations(body, USER, PROFILES["entra"], set())
    assert words in caught.value.detail


def test_names_of_the_message_are_read_in_any_case() -> None:
    body = {"SCHEMAS": [PATCH_OP], "operations": [{"OP": "add", "Path": "title", "VALUE": "T"}]}
    [said] = read_operations(body, USER, PROFILES["strict"], set())
    assert (said.op, said.path.text, said.value, said.index) == (Op.ADD, "title", "T", 0)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (operation("remove"), NoTargetError, "needs a path"),
        (operation("remove", ""), NoTargetError, "needs a path"),
        (operation("add", "title"), InvalidValueError, "add needs a value"),
        (operation("replace"), InvalidValueError, "needs an object"),
        (operation("replace", value="x"), InvalidValueError, "not a text"),
        (operation("add", value=[]), InvalidValueError, "not a list"),
        (operation("add", "user name", value="x"), InvalidPathError, "position 4"),
        (operation("add", value={"emails[": "x"}), InvalidPathError, "position"),
        ({"op": "add", "path": 5, "value": "x"}, InvalidPathError, "path must be a text"),
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_fault_names_its_operation(
    said: dict[str, object], error: type[SCIMError], words: str, profile: str
) -> None:
    with pytest.raises(error) as caught:
        read(ONE, said, profile=profile)
    assert caught.value.detail.startswith("operation 2: ")
    assert words in caught.value.detail


def test_operation_without_a_path_becomes_one_for_each_key() -> None:
    said = read(operation("add", value={"title": "T", "name.givenName": "A"}), ONE)

    assert [(one.path.text, one.value, one.index) for one in said] == [
        ("title", "T", 0),
        ("name.givenName", "A", 0),
        ("title", "T", 1),
    ]


def test_more_than_a_thousand_operations_are_too_many() -> None:
    assert len(read(*[ONE] * 1000)) == 1000
    for many in ([ONE] * 1001, [operation("add", value={"title": "T", "nickName": "N"})] * 501):
        with pytest.raises(TooLargeError):
            read(*many)
    paths = {f'emails[value eq "{number}"]': {"type": "work"} for number in range(1001)}
    with pytest.raises(TooLargeError):
        read(operation("add", value=paths), ONE)


def test_more_than_2000_comparisons_are_too_many() -> None:
    path = f"members[{' or '.join(['value pr'] * 100)}]"
    most = [operation("remove", path)] * 20
    assert len(read(*most, schema=GROUP)) == 20
    with pytest.raises(TooLargeError, match="2000 comparisons"):
        read(*most, operation("remove", "members[value pr]"), schema=GROUP)


def test_a_null_path_is_none() -> None:
    [said] = read({"op": "add", "path": None, "value": {"title": "T"}})
    assert (said.path.text, said.value) == ("title", "T")


def test_schemas_are_not_patched() -> None:
    assert read(operation("add", "schemas", value=["x"]), operation("add", value={"Schemas": ["x"]})) == ()
