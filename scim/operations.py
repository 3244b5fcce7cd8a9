"""PATCH as it is sent: the message of a client as operations, each on one path that is known.

Nothing is known here of the resource that they are about. Source: RFC 7644 section 3.5.2
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from directory.schema import ResourceSchema
from scim.errors import (
    InvalidPathError,
    InvalidSyntaxError,
    InvalidValueError,
    NoTargetError,
    SCIMError,
    TooLargeError,
)
from scim.paths import PatchPath, count_terms, parse_patch_path
from scim.profiles import Leniency, Profile
from scim.values import Reading, find_key, is_group, named, shown

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MAX_OPERATIONS = 1_000
"""Of one request, each key of an operation without path counted."""
MAX_TERMS = 2_000
"""Comparisons in all paths of one request: each may be asked of every entry that a user has."""


class Op(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


_OPS: Mapping[str, Op] = {op.value: op for op in Op}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one path. `value` is as sent; None: null, or none. `index` is its place in the request."""

    op: Op
    path: PatchPath
    value: object
    index: int


def read_operations(
    body: object, schema: ResourceSchema, profile: Profile, notes: set[Leniency]
) -> tuple[Operation, ...]:
    """Read a PatchOp. An operation without path becomes one for each key of its value.

    Raises InvalidSyntaxError, NoTargetError for a `remove` without path, InvalidPathError, InvalidValueError, and
    TooLargeError beyond `MAX_OPERATIONS`.
    """
    if type(body) is not dict:
        raise InvalidSyntaxError(f"a PATCH is a JSON object, not {named(body)}")
    reading = Reading(profile, notes)
    _check_message(find_key(body, "schemas"), reading)
    items = find_key(body, "Operations")
    if type(items) is not list or not items:
        raise InvalidSyntaxError("Operations must be a list of at least one operation")
    found: list[Operation] = []
    for index, item in enumerate(items):
        if len(found) > MAX_OPERATIONS or len(items) > MAX_OPERATIONS:
            raise _too_many()
        try:
            found.extend(_read_operation(item, index, schema, reading))
        except SCIMError as error:
            raise name_operation(error, index) from error
    if len(found) > MAX_OPERATIONS:
        raise _too_many()
    if sum(count_terms(operation.path.filter) for operation in found if operation.path.filter) > MAX_TERMS:
        raise TooLargeError(f"the paths of a PATCH hold at most {MAX_TERMS} comparisons; send it in parts")
    return tuple(found)


def _check_message(schemas: object, reading: Reading) -> None:
    urns = schemas if type(schemas) is list else []
    if any(type(urn) is str and urn.lower() == PATCH_OP.lower() for urn in urns):
        return
    if not reading.allow(Leniency.UNSAID_SCHEMAS):
        raise InvalidValueError(f"schemas must be a list with {PATCH_OP}")


def _too_many() -> TooLargeError:
    return TooLargeError(f"a PATCH takes at most {MAX_OPERATIONS} operations; send it in parts")


def name_operation(error: SCIMError, index: int) -> SCIMError:
    """The same error, with the place of its operation."""
    return type(error)(f"operation {index + 1}: {error.detail}")


def _read_operation(
    item: object, index: int, schema: ResourceSchema, reading: Reading
) -> Iterator[Operation]:
    if type(item) is not dict:
        raise InvalidSyntaxError(f"an operation is a JSON object, not {named(item)}")
    op = _read_op(find_key(item, "op"), reading)
    text = find_key(item, "path")
    value = find_key(item, "value")
    if text is None or text == "":
        yield from _expand(op, value, index, schema, reading)
        return
    if type(text) is not str:
        raise InvalidPathError(f"path must be a text, not {named(text)}")
    if op is not Op.REMOVE and value is None and not any(key.lower() == "value" for key in item):
        raise InvalidValueError(f"{op} needs a value")
    path = _find_path(text, schema, reading)
    if path is not None:
        yield Operation(op, path, value, index)


def _read_op(text: object, reading: Reading) -> Op:
    op = _OPS.get(text) if type(text) is str else None
    if op is None and type(text) is str:
        op = _OPS.get(text.lower())
        if op is not None:
            reading.allow(Leniency.OPERATION_CASE)
    if op is None:
        given = shown(text) if type(text) is str else named(text)
        raise InvalidSyntaxError(f"op must be add, remove or replace, not {given}")
    return op


def _expand(
    op: Op, value: object, index: int, schema: ResourceSchema, reading: Reading
) -> Iterator[Operation]:
    if op is Op.REMOVE:
        raise NoTargetError("remove needs a path that says what to remove")
    if type(value) is not dict:
        raise InvalidValueError(f"{op} without a path needs an object as its value, not {named(value)}")
    for key, item in value.items():
        path = _find_path(key, schema, reading, is_key=True)
        if path is None:
            continue
        if path.sub is not None or path.filter is not None or path.path.urn:
            reading.allow(Leniency.DOTTED_KEYS)
        if item is None and is_group(schema) and path.path.attribute.name == "members":
            # As in a PUT: nobody leaves a group because of something that is not there.
            reading.allow(Leniency.NULL_IS_ABSENT)
            continue
        yield Operation(op, path, item, index)


def _find_path(
    text: str, schema: ResourceSchema, reading: Reading, *, is_key: bool = False
) -> PatchPath | None:
    """The path, or None for one that is passed over. `schemas` follows from what a resource holds."""
    if text.lower() == "schemas":
        return None
    try:
        path = parse_patch_path(text, schema)
    except InvalidPathError:
        # A key of an object is a path only when it looks like one.
        if not is_key or "[" in text:
            raise
        path = None
    if path is None and not reading.allow(Leniency.IGNORE_UNKNOWN):
        raise InvalidPathError(f"{shown(text)} is no attribute of this resource")
    return path
