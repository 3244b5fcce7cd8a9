"""The values of attributes as a client may send them, read by the table of `directory.schema`.

Values are kept as sent; what is brought into form is their place: canonical names, booleans as booleans, entries as
objects in a list. Read-only sub-attributes are left out. Source: RFC 7643 sections 2.2 to 2.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from directory.schema import (
    CORE_GROUP,
    GROUP,
    USER,
    Attribute,
    Kind,
    Mutability,
    ResourceSchema,
    comparison_key,
)
from scim.errors import InvalidSyntaxError, InvalidValueError
from scim.profiles import Leniency, Profile

MAX_ENTRIES = 1_000
"""Entries of one multi-valued attribute. Members of a group are none of these and have no limit."""

Entry = dict[str, object]
EntryKey = tuple[tuple[str, str], ...]

_BOOLEANS: Mapping[str, bool] = MappingProxyType({"true": True, "false": False})
_JSON_NAMES: Mapping[type, str] = MappingProxyType(
    {
        str: "a text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        dict: "an object",
        list: "a list",
        type(None): "null",
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a request is read: what its directory's profile allows, and in `notes` what had to be allowed so far."""

    profile: Profile
    notes: set[Leniency]

    def allow(self, leniency: Leniency) -> bool:
        allowed = self.profile.allows(leniency)
        if allowed:
            self.notes.add(leniency)
        return allowed

    def pass_unknown(self, name: str) -> None:
        """Raises InvalidValueError where the profile does not pass unknown names over."""
        if not self.allow(Leniency.IGNORE_UNKNOWN):
            raise InvalidValueError(f"{shown(name)} is no attribute of this resource; leave it out")


def extension_attribute(schema: ResourceSchema, urn: str) -> Attribute:
    """An extension as the complex attribute that it is in a document: its URN is its name."""
    members = schema.extensions[urn]
    is_read_only = all(member.mutability is Mutability.READ_ONLY for member in members.values())
    return Attribute(
        urn,
        Kind.COMPLEX,
        mutability=Mutability.READ_ONLY if is_read_only else Mutability.READ_WRITE,
        sub_attributes=tuple(members.values()),
    )


EXTENSIONS: Mapping[str, Attribute] = MappingProxyType(
    {urn: extension_attribute(schema, urn) for schema in (USER, GROUP) for urn in schema.extensions}
)
"""Every extension by its URN."""


def is_group(schema: ResourceSchema) -> bool:
    return schema.urn == CORE_GROUP


def shown(text: str) -> str:
    """A name of the client's for an error, cut to a length that a log line bears."""
    return repr(text if len(text) <= 80 else f"{text[:80]}...")


def named(value: object) -> str:
    """What kind of JSON value it is, for an error that must not repeat the value."""
    return _JSON_NAMES.get(type(value), "something else")


def find_key(body: Mapping[str, object], name: str) -> object:
    """The value of a key in any case; None when there is none. Names are case-insensitive (RFC 7643 section 2.1)."""
    if name in body:
        return body[name]
    lowered = name.lower()
    return next((value for key, value in body.items() if key.lower() == lowered), None)


def read_attribute(
    attribute: Attribute,
    value: object,
    reading: Reading,
    *,
    where: str = "",
    keep_null: bool = False,
    single_entry: bool = False,
) -> object | None:
    """Read the value of an attribute or sub-attribute; None when it says nothing: null, [], an empty object.

    `where` is the path before the attribute, with its dot, for errors. With `keep_null` a null inside an object is
    kept, as the order to forget what stood there. `single_entry`: one object may stand for a list of one.
    Raises InvalidValueError that names the attribute and what was expected.
    """
    if value is None:
        reading.allow(Leniency.NULL_IS_ABSENT)
        return None
    if attribute.is_multi_valued:
        return read_entries(attribute, value, reading, where=where, single_entry=single_entry) or None
    if type(value) is list:
        value = _unwrap(attribute, value, reading, where)
        if value is None:
            return None
    if attribute.kind is Kind.COMPLEX:
        return _read_complex(attribute, value, reading, where, keep_null=keep_null)
    return _read_simple(attribute, value, reading, where)


def read_entries(
    attribute: Attribute, value: object, reading: Reading, *, where: str = "", single_entry: bool = False
) -> list[Entry]:
    """Read the entries of a multi-valued attribute; at most one of them is primary (RFC 7643 section 2.4)."""
    name = where + attribute.name
    if type(value) is not list:
        fits = type(value) is dict or (type(value) is str and _takes_text(attribute))
        if not fits or not ((single_entry and type(value) is dict) or reading.allow(Leniency.ENTRY_SHAPE)):
            raise InvalidValueError(f"{name} must be a list of objects, not {named(value)}")
        value = [value]
    if len(value) > MAX_ENTRIES:
        raise InvalidValueError(f"{name} has {len(value)} entries; at most {MAX_ENTRIES} are kept")
    found = []
    for index, item in enumerate(value):
        entry = _read_entry(attribute, item, reading, f"{name}[{index}]")
        if entry is not None:
            found.append(entry)
    return _keep_one_primary(name, found, reading)


def _read_entry(attribute: Attribute, item: object, reading: Reading, where: str) -> Entry | None:
    if type(item) is dict:
        return _read_members(attribute, item, reading, f"{where}.", keep_null=False)
    if item is None:
        reading.allow(Leniency.NULL_IS_ABSENT)
        return None
    if type(item) is str and _takes_text(attribute) and reading.allow(Leniency.ENTRY_SHAPE):
        return {"value": item}
    raise InvalidValueError(f"{where} must be an object, not {named(item)}")


def _takes_text(attribute: Attribute) -> bool:
    return attribute.sub_attribute("value") is not None


def _keep_one_primary(name: str, entries: list[Entry], reading: Reading) -> list[Entry]:
    primaries = [entry for entry in entries if entry.get("primary") is True]
    if len(primaries) > 1:
        if not reading.allow(Leniency.SEVERAL_PRIMARIES):
            raise InvalidValueError(
                f"{name} has {len(primaries)} primary entries; one at most may be primary"
            )
        for entry in primaries[1:]:
            entry["primary"] = False
    return entries


def _unwrap(attribute: Attribute, value: list[object], reading: Reading, where: str) -> object | None:
    """The one value of a list that stands where a single value belongs; None for an empty list."""
    if not value:
        return None
    if len(value) == 1 and reading.allow(Leniency.ENTRY_SHAPE):
        item = value[0]
        if attribute.kind is not Kind.COMPLEX and type(item) is dict:
            item = item.get("value")
        return item
    raise InvalidValueError(f"{where}{attribute.name} holds one value and must not be a list")


def _read_complex(
    attribute: Attribute, value: object, reading: Reading, where: str, *, keep_null: bool
) -> Entry | None:
    name = where + attribute.name
    if attribute.name == "manager":
        if type(value) is str and reading.allow(Leniency.MANAGER_AS_TEXT):
            return {"value": value}
        if type(value) is dict and value.get("$ref") is None:
            reading.allow(Leniency.MANAGER_WITHOUT_REFERENCE)
    if type(value) is not dict:
        raise InvalidValueError(f"{name} must be an object, not {named(value)}")
    dot = ":" if attribute.name.startswith("urn:") else "."
    return _read_members(attribute, value, reading, name + dot, keep_null=keep_null)


def _read_members(
    attribute: Attribute, value: dict[str, object], reading: Reading, where: str, *, keep_null: bool
) -> Entry | None:
    said: Entry = {}
    for key, item in value.items():
        sub = find_sub(attribute, key)
        if sub is None and key.lower() == "schemas" and attribute.name.startswith("urn:"):
            # Clients that take an extension for a resource of its own name its schema in it.
            continue
        if sub is None:
            _read_dotted(attribute, key, item, said, reading, where, keep_null=keep_null)
        elif sub.mutability is not Mutability.READ_WRITE:
            continue
        elif type(item) is str and sub.kind is not Kind.BOOLEAN and sub.kind is not Kind.COMPLEX:
            say(said, sub.name, item, where)
        elif item is None and keep_null:
            reading.allow(Leniency.NULL_IS_ABSENT)
            say(said, sub.name, None, where)
        else:
            read = read_attribute(sub, item, reading, where=where, keep_null=keep_null)
            if read is not None:
                say(said, sub.name, read, where)
    return said or None


def _read_dotted(
    attribute: Attribute,
    key: str,
    item: object,
    said: Entry,
    reading: Reading,
    where: str,
    *,
    keep_null: bool,
) -> None:
    """Read `manager.value` as a key of an extension; pass any other unknown key over, or refuse it."""
    first, dot, last = key.partition(".")
    outer = find_sub(attribute, first) if dot else None
    if outer is None or outer.kind is not Kind.COMPLEX or outer.sub_attribute(last) is None:
        reading.pass_unknown(where + key)
        return
    reading.allow(Leniency.DOTTED_KEYS)
    read = _read_members(outer, {last: item}, reading, f"{where}{outer.name}.", keep_null=keep_null)
    if read is not None:
        say(said, outer.name, read, where)


def find_sub(attribute: Attribute, key: str) -> Attribute | None:
    """As `Attribute.sub_attribute`, quicker for a name that is spelt as in the standard."""
    for sub in attribute.sub_attributes:
        if sub.name == key:
            return sub
    return attribute.sub_attribute(key)


def _read_simple(attribute: Attribute, value: object, reading: Reading, where: str) -> object:
    if attribute.kind is Kind.BOOLEAN:
        if type(value) is bool:
            return value
        read = read_boolean(value)
        if read is None:
            raise InvalidValueError(f"{where}{attribute.name} must be true or false, not {named(value)}")
        reading.allow(Leniency.TEXT_BOOLEAN)
        return read
    if type(value) is not str:
        raise InvalidValueError(f"{where}{attribute.name} must be a text, not {named(value)}")
    return value


def say(container: Entry, name: str, value: object, where: str = "") -> None:
    """Put a value where it is said once; objects that are said in parts are joined.

    Raises InvalidSyntaxError when the same is said twice, as `name` and `NAME` or as `name.givenName` besides.
    """
    if name not in container:
        container[name] = value
        return
    old = container[name]
    if type(old) is not dict or type(value) is not dict:
        raise InvalidSyntaxError(f"{where}{name} is given more than once")
    for key, item in value.items():
        say(old, key, item, f"{where}{name}.")


def read_boolean(value: object) -> bool | None:
    """A boolean, or the one that a text names in any case; None for anything else."""
    if type(value) is str:
        return _BOOLEANS.get(value.lower())
    return value if type(value) is bool else None


def entry_key(attribute: Attribute, entry: Mapping[str, object]) -> EntryKey:
    """What makes two entries of an attribute the same: every sub-attribute but `primary`, by comparison key."""
    return tuple(
        (sub.name, _value_key(sub, entry[sub.name]))
        for sub in attribute.sub_attributes
        if sub.name in entry and sub.name != "primary"
    )


def includes(attribute: Attribute, whole: Mapping[str, object], part: Mapping[str, object]) -> bool:
    """Whether every sub-attribute of `part`, `primary` apart, has the same value in `whole`."""
    return all(
        name in whole and _value_key(sub, whole[name]) == _value_key(sub, value)
        for name, value in part.items()
        if name != "primary" and (sub := attribute.sub_attribute(name)) is not None
    )


def _value_key(attribute: Attribute, value: object) -> str:
    return comparison_key(str(value), is_case_exact=attribute.is_case_exact)


def is_same_value(attribute: Attribute, shown_value: object, said: object, *, whole: bool = True) -> bool:
    """Whether a client that says a read-only attribute says what it was shown, or a part of it.

    `whole`: a list must hold as many entries as the one shown. Ids compare in any case.
    """
    if attribute.is_multi_valued:
        shown_entries = _mappings(shown_value)
        said_entries = _mappings(said)
        return (
            len(said_entries) == (len(said) if isinstance(said, list) else 1)
            and (not whole or len(said_entries) == len(shown_entries))
            and all(
                any(_includes_all(attribute, candidate, entry) for candidate in shown_entries)
                for entry in said_entries
            )
        )
    if isinstance(said, Mapping):
        return isinstance(shown_value, Mapping) and _includes_all(attribute, shown_value, said)
    if isinstance(said, str) and isinstance(shown_value, str):
        return said.lower() == shown_value.lower()
    return type(said) is type(shown_value) and said == shown_value


def _mappings(value: object) -> Sequence[Mapping[str, object]]:
    items = value if isinstance(value, list | tuple) else [value]
    return [item for item in items if isinstance(item, Mapping)]


def _includes_all(attribute: Attribute, whole: Mapping[str, object], part: Mapping[str, object]) -> bool:
    for name, value in part.items():
        sub = attribute.sub_attribute(name)
        if sub is None or value is None:
            continue
        if not is_same_value(sub, whole.get(sub.name), value):
            return False
    return True
