"""Bodies of requests: bytes to JSON, JSON to what the client said of a user, of a group, or of a query.

Knows neither HTTP nor what is stored. A `members` array passes no model: it may hold a hundred thousand entries.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import orjson

from directory.schema import CORE_GROUP, GROUP, USER, Attribute, Mutability, ResourceSchema
from scim.errors import InvalidSyntaxError, InvalidValueError
from scim.profiles import Leniency, Profile
from scim.values import EXTENSIONS, Reading, find_key, named, read_attribute, say, shown

MAX_DEPTH = 32
MAX_INTEGER = 2**53
"""The integers that every JSON reader agrees on. Source: RFC 8259 section 6."""

# Where a value may stand. One within a text only costs a second look.
_LONG_NUMBER = re.compile(rb"[:,\[][ \t\r\n]*-?[0-9]{16}")
_MARK = b"\xef\xbb\xbf"


def parse_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Parse a body. Raises InvalidSyntaxError with the place of the fault; also for what JSON readers disagree on
    or a database cannot hold: a key given twice, NUL, half a character, numbers beyond 2**53, deep nesting."""
    data = data.removeprefix(_MARK)
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidSyntaxError(_explain_fault(data, error)) from error
    if data.count(b"{") + data.count(b"[") > max_depth:
        _check_depth(value, max_depth)
    if b"\\u0000" in data or _LONG_NUMBER.search(data) is not None:
        _check_scalars(value)
    # A repeated key is dropped by the parser, with its quotes; without one, they are all written again.
    if _count_quotes(data) != _count_quotes(orjson.dumps(value)):
        _name_repeated_key(data, max_depth)
    return value


def _explain_fault(data: bytes, error: orjson.JSONDecodeError) -> str:
    if not data.strip():
        return "the body is empty; a JSON object was expected"
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        return f"the body is not UTF-8: byte {fault.start} is wrong"
    return f"the body is not JSON: {error.msg}, line {error.lineno} column {error.colno}"


def _check_depth(value: object, max_depth: int) -> None:
    level = [value] if type(value) in (dict, list) else []
    for _ in range(max_depth):
        level = [child for parent in level for child in _children(parent) if type(child) in (dict, list)]
        if not level:
            return
    raise _too_deep(max_depth)


def _too_deep(max_depth: int) -> InvalidSyntaxError:
    return InvalidSyntaxError(f"the body is nested more than {max_depth} levels deep")


def _children(parent: object) -> Iterable[object]:
    if type(parent) is dict:
        return parent.values()
    return parent if type(parent) is list else ()


def _check_scalars(value: object) -> None:
    if type(value) is dict:
        for key, item in value.items():
            if "\0" in key:
                raise InvalidSyntaxError("a key of the body holds a NUL character")
            _check_scalar(shown(key), item)
            _check_scalars(item)
    elif type(value) is list:
        for item in value:
            _check_scalar("an item of a list", item)
            _check_scalars(item)
    else:
        _check_scalar("the body", value)


def _check_scalar(name: str, value: object) -> None:
    if type(value) is str and "\0" in value:
        raise InvalidSyntaxError(f"{name} holds a NUL character")
    if type(value) in (int, float) and not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]  # a number
        raise InvalidSyntaxError(f"{name} is a number that is out of range")


def _count_quotes(data: bytes) -> int:
    """Quotes that begin or end a text, not those within one."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return data.count(b'"')


def _name_repeated_key(data: bytes, max_depth: int) -> NoReturn:
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, object]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                repeated.append(key)
            seen.add(key)

    try:
        json.loads(data, object_pairs_hook=collect, parse_int=float)
    except RecursionError as error:
        # The deep part stood under a key that was given again.
        raise _too_deep(max_depth) from error
    raise InvalidSyntaxError(f"the key {shown(''.join(repeated[:1]))} is given more than once in one object")


@dataclass(frozen=True, slots=True)
class UserSaid:
    """What a client said of a user, whole. `resource` holds canonical names and values as sent, without `active`.

    `active` None: unsaid.
    """

    resource: dict[str, object]
    active: bool | None


def read_user(body: object, profile: Profile, notes: set[Leniency]) -> UserSaid:
    """Read the body of a POST or PUT. What is read-only is left out, and so is the password, which is never kept.

    Raises InvalidSyntaxError or InvalidValueError, naming the attribute. Source: RFC 7643 sections 4.1 and 4.3
    """
    document = _object(body, "a user")
    reading = Reading(profile, notes)
    resource: dict[str, object] = {}
    has_schemas = False
    for key, value in document.items():
        attribute = USER.attributes.get(key)
        if attribute is not None:
            _say_attribute(resource, attribute, value, reading)
        elif key.lower() == "schemas":
            has_schemas = True
            _check_schemas(value, USER, reading)
        else:
            _say_by_path(resource, USER, key, value, reading)
    if not has_schemas:
        _check_schemas(None, USER, reading)
    active = resource.pop("active", None)
    user_name = resource.get("userName")
    if type(user_name) is not str or not user_name.strip():
        raise InvalidValueError("userName is required and must not be empty")
    return UserSaid(resource, active if type(active) is bool else None)


def _object(body: object, what: str) -> dict[str, object]:
    if type(body) is not dict:
        raise InvalidSyntaxError(f"{what} is a JSON object, not {named(body)}")
    return body


def _say_attribute(
    resource: dict[str, object], attribute: Attribute, value: object, reading: Reading, *, urn: str = ""
) -> None:
    if attribute.mutability is Mutability.READ_WRITE:
        read = read_attribute(attribute, value, reading, where=f"{urn}:" if urn else "")
        if read is not None and urn:
            say(resource, urn, {attribute.name: read})
        elif read is not None:
            say(resource, attribute.name, read)


def _say_by_path(
    resource: dict[str, object], schema: ResourceSchema, key: str, value: object, reading: Reading
) -> None:
    """Say what stands under a key that is no attribute's name as it is spelt: another case, a path, an extension."""
    extension = schema.extension(key)
    if extension:
        _say_attribute(resource, EXTENSIONS[extension], value, reading)
        return
    path = schema.find(key)
    if path is None or (path.sub is not None and path.attribute.is_multi_valued):
        reading.pass_unknown(key)
        return
    if path.sub is None and ":" not in key:
        _say_attribute(resource, path.attribute, value, reading)
        return
    reading.allow(Leniency.DOTTED_KEYS)
    said = value if path.sub is None else {path.sub.name: value}
    _say_attribute(resource, path.attribute, said, reading, urn=path.urn)


def _check_schemas(value: object, schema: ResourceSchema, reading: Reading) -> None:
    """Source: RFC 7643 section 3, `schemas`."""
    urns = value if type(value) is list else []
    texts = [urn for urn in urns if type(urn) is str]
    wanted = schema.urn.lower()
    is_said = len(texts) == len(urns) and any(text.lower() == wanted for text in texts)
    if not is_said and not reading.allow(Leniency.UNSAID_SCHEMAS):
        raise InvalidValueError(f"schemas must be a list of URNs with {schema.urn} among them")
    for text in texts:
        if text.lower() != wanted and not schema.extension(text):
            reading.pass_unknown(text)


@dataclass(frozen=True, slots=True)
class GroupSaid:
    """What a client said of a group. `members` are ids in lower case, each once; None: they were not said."""

    display_name: str
    client_id: str
    members: tuple[str, ...] | None


def read_group(body: object, profile: Profile, notes: set[Leniency]) -> GroupSaid:
    """Read the body of a POST or PUT. A `members` of null is unsaid: no removal follows from what is not said.

    Raises InvalidSyntaxError or InvalidValueError. Source: RFC 7643 section 4.2
    """
    document = _object(body, "a group")
    reading = Reading(profile, notes)
    resource: dict[str, object] = {}
    members: tuple[str, ...] | None = None
    schemas: object = None
    for key, value in document.items():
        lowered = key.lower()
        if lowered in ("members", _MEMBERS_KEY):
            if members is not None:
                raise InvalidSyntaxError("members is given more than once")
            members = read_member_ids(value, reading) if value is not None else None
            if value is None:
                reading.allow(Leniency.NULL_IS_ABSENT)
        elif lowered == "schemas":
            schemas = value
        elif (attribute := GROUP.attributes.get(key)) is not None:
            _say_attribute(resource, attribute, value, reading)
        else:
            _say_by_path(resource, GROUP, key, value, reading)
    _check_schemas(schemas, GROUP, reading)
    return GroupSaid(
        check_group_name(resource.get("displayName")), _text(resource.get("externalId")), members
    )


_MEMBERS_KEY = f"{CORE_GROUP}:members".lower()


def check_group_name(value: object) -> str:
    name = _text(value)
    if not name.strip():
        raise InvalidValueError("displayName is required and must not be empty")
    return name


def _text(value: object) -> str:
    return value if type(value) is str else ""


def read_member_ids(value: object, reading: Reading, *, single_entry: bool = False) -> tuple[str, ...]:
    """Read a `members` array to ids in lower case, each once. All but `value` is ours to say and ignored.

    `single_entry`: one object may stand for a list of one. Raises InvalidValueError with the index of the entry.
    """
    if type(value) is not list:
        if not (type(value) is dict and single_entry) and not (
            type(value) in (dict, str) and reading.allow(Leniency.ENTRY_SHAPE)
        ):
            raise InvalidValueError(f"members must be a list of objects, not {named(value)}")
        value = [value]
    found: dict[str, None] = {}
    for index, entry in enumerate(value):
        member_id = entry.get("value") if type(entry) is dict else None
        if type(member_id) is not str or not member_id:
            member_id = _read_odd_member(entry, index, reading)
        elif entry.get("$ref", "") is None:
            reading.allow(Leniency.NULL_IS_ABSENT)
        found[member_id.lower()] = None
    return tuple(found)


def _read_odd_member(entry: object, index: int, reading: Reading) -> str:
    if type(entry) is dict:
        entry_id = find_key(entry, "value")
        if type(entry_id) is str and entry_id:
            return entry_id
        raise InvalidValueError(f"members[{index}] needs a value, the id of a user")
    if type(entry) is str and entry and reading.allow(Leniency.ENTRY_SHAPE):
        return entry
    raise InvalidValueError(f"members[{index}] must be an object with a value, not {named(entry)}")


_QUERY_TEXTS: Mapping[str, str] = {name.lower(): name for name in ("filter", "sortBy", "sortOrder", "cursor")}
_QUERY_LISTS: Mapping[str, str] = {name.lower(): name for name in ("attributes", "excludedAttributes")}
_QUERY_NUMBERS: Mapping[str, str] = {name.lower(): name for name in ("startIndex", "count")}


def read_query_message(body: object) -> dict[str, object]:
    """Read a SearchRequest: its parameters by canonical name, without those that are null or unknown.

    Texts are `str`, `attributes` and `excludedAttributes` lists of `str`, `startIndex` and `count` are `int`.
    Raises InvalidSyntaxError or InvalidValueError. Source: RFC 7644 section 3.4.3, RFC 9865 section 2
    """
    found: dict[str, object] = {}
    for key, value in _object(body, "a search request").items():
        lowered = key.lower()
        if value is None:
            continue
        if lowered in _QUERY_TEXTS:
            say(found, _QUERY_TEXTS[lowered], _query_value(key, value, str, "a text"))
        elif lowered in _QUERY_NUMBERS:
            say(found, _QUERY_NUMBERS[lowered], _query_value(key, value, int, "an integer"))
        elif lowered in _QUERY_LISTS:
            names = _query_value(key, value, list, "a list of texts")
            if not isinstance(names, list) or not all(type(name) is str for name in names):
                raise InvalidValueError(f"{key} must be a list of texts")
            say(found, _QUERY_LISTS[lowered], names)
    return found


def _query_value(key: str, value: object, kind: type, expected: str) -> object:
    if type(value) is not kind:
        raise InvalidValueError(f"{key} must be {expected}, not {named(value)}")
    return value
