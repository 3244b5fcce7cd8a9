"""The attributes of SCIM users and groups: their names, types, and how their values compare.

One table serves every front end: bodies and paths are checked against it, filters are compiled by it, and the
discovery endpoints must say the same. Source: RFC 7643 sections 3.1, 4 and 8.7.1.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from directory.facts import name_key

CORE_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
CORE_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MEMBER = "urn:ietf:params:scim:schemas:extension:usher:2.0:Member"


class Kind(StrEnum):
    """The attribute types of RFC 7643 section 2.3 that users and groups have."""

    STRING = "string"
    BOOLEAN = "boolean"
    DATE_TIME = "dateTime"
    BINARY = "binary"
    REFERENCE = "reference"
    COMPLEX = "complex"


class Mutability(StrEnum):
    """RFC 7643 section 7."""

    READ_WRITE = "readWrite"
    READ_ONLY = "readOnly"
    WRITE_ONLY = "writeOnly"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute or sub-attribute, by the name that the RFC spells."""

    name: str
    kind: Kind = Kind.STRING
    is_case_exact: bool = False
    is_multi_valued: bool = False
    mutability: Mutability = Mutability.READ_WRITE
    sub_attributes: tuple["Attribute", ...] = ()

    def sub_attribute(self, name: str) -> "Attribute | None":
        """The sub-attribute of this name in any case."""
        wanted = name.lower()
        return next((sub for sub in self.sub_attributes if sub.name.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class Path:
    """An attribute, or one of its sub-attributes, with the extension it belongs to; `urn` is empty for the core."""

    urn: str
    attribute: Attribute
    sub: Attribute | None = None

    @property
    def leaf(self) -> Attribute:
        return self.sub or self.attribute

    @property
    def text(self) -> str:
        """As the RFC spells it: `name.givenName`, or with its URN for an extension."""
        name = self.attribute.name if self.sub is None else f"{self.attribute.name}.{self.sub.name}"
        return f"{self.urn}:{name}" if self.urn else name


class ResourceSchema:
    """The attributes of one resource type: the common ones, the core schema's and those of its extensions."""

    def __init__(
        self,
        urn: str,
        attributes: Sequence[Attribute],
        extensions: Mapping[str, Sequence[Attribute]] = MappingProxyType({}),
    ) -> None:
        self.urn = urn
        self.attributes: Mapping[str, Attribute] = MappingProxyType({at.name: at for at in attributes})
        self.extensions: Mapping[str, Mapping[str, Attribute]] = MappingProxyType(
            {name: MappingProxyType({at.name: at for at in members}) for name, members in extensions.items()}
        )
        self._by_key: dict[str, tuple[str, Attribute]] = {}
        for extension, attribute in self._all():
            key = f"{extension}:{attribute.name}" if extension else attribute.name
            self._by_key[key.lower()] = (extension, attribute)
            if not extension:
                self._by_key[f"{urn}:{attribute.name}".lower()] = (extension, attribute)

    def _all(self) -> Iterator[tuple[str, Attribute]]:
        for attribute in self.attributes.values():
            yield "", attribute
        for extension, members in self.extensions.items():
            for attribute in members.values():
                yield extension, attribute

    def find(self, text: str) -> Path | None:
        """Find `userName`, `name.givenName` or a path with its URN, in any case; None for what is not known here.

        A path of an extension needs its URN. `meta` counts as a common attribute. Source: RFC 7644 section 3.10.
        """
        lowered = text.lower()
        found = self._by_key.get(lowered)
        if found is not None:
            return Path(*found)
        whole, dot, last = lowered.rpartition(".")
        found = self._by_key.get(whole) if dot else None
        sub = found[1].sub_attribute(last) if found is not None else None
        return Path(*found, sub) if found is not None and sub is not None else None

    def extension(self, text: str) -> str:
        """The URN of an extension as the RFC spells it, for a text in any case; empty when it is none."""
        lowered = text.lower()
        return next((urn for urn in self.extensions if urn.lower() == lowered), "")


def comparison_key(text: str, *, is_case_exact: bool) -> str:
    """The form in which values of an attribute compare: composed; and folded unless case counts."""
    if is_case_exact:
        return text if text.isascii() else unicodedata.normalize("NFC", text)
    return name_key(text)


def text_of(value: object) -> str:
    """A simple value as text, as filters and predicates see it: a boolean is `true` or `false`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def entries_of(value: object) -> list[Mapping[str, object]]:
    """The entries of a multi-valued complex attribute as it stands in a document."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []


def flatten(document: Mapping[str, object], schema: ResourceSchema) -> dict[str, tuple[str, ...]]:
    """Every value of a document by its path, as mapping predicates see it. Empty values are absent.

    Entries of a multi-valued attribute stand at the same index of its sub-attributes' tuples. Extension attributes
    go by their bare names, which core attributes do not share.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, attribute in schema.attributes.items():
        if name in document:
            _flatten_one(found, name, attribute, document[name])
    for urn, members in schema.extensions.items():
        extension = document.get(urn)
        if isinstance(extension, Mapping):
            for name, attribute in members.items():
                if name in extension:
                    _flatten_one(found, name, attribute, extension[name])
    return found


def _flatten_one(found: dict[str, tuple[str, ...]], name: str, attribute: Attribute, value: object) -> None:
    if attribute.is_multi_valued:
        entries = entries_of(value)
        for sub in attribute.sub_attributes:
            texts = tuple(text_of(entry[sub.name]) if sub.name in entry else "" for entry in entries)
            if any(texts):
                found[f"{name}.{sub.name}"] = texts
    elif isinstance(value, Mapping):
        for sub in attribute.sub_attributes:
            text = text_of(value[sub.name]) if sub.name in value else ""
            if text:
                found[f"{name}.{sub.name}"] = (text,)
    elif value is not None and value != "":
        found[name] = (text_of(value),)


def _read_only(name: str, kind: Kind = Kind.STRING, *, is_case_exact: bool = False) -> Attribute:
    return Attribute(name, kind, is_case_exact=is_case_exact, mutability=Mutability.READ_ONLY)


def _complex(name: str, *subs: Attribute, mutability: Mutability = Mutability.READ_WRITE) -> Attribute:
    return Attribute(name, Kind.COMPLEX, mutability=mutability, sub_attributes=subs)


def _plural(name: str, *subs: Attribute, mutability: Mutability = Mutability.READ_WRITE) -> Attribute:
    return Attribute(name, Kind.COMPLEX, is_multi_valued=True, mutability=mutability, sub_attributes=subs)


def _strings(*names: str) -> tuple[Attribute, ...]:
    return tuple(map(Attribute, names))


def _valued(name: str, value: Attribute | None = None) -> Attribute:
    """A multi-valued attribute with the sub-attributes of RFC 7643 section 2.4."""
    first = value or Attribute("value")
    return _plural(name, first, *_strings("display", "type"), Attribute("primary", Kind.BOOLEAN))


_ID = _read_only("id", is_case_exact=True)
_EXTERNAL_ID = Attribute("externalId", is_case_exact=True)
_META = _complex(
    "meta",
    _read_only("resourceType", is_case_exact=True),
    _read_only("created", Kind.DATE_TIME),
    _read_only("lastModified", Kind.DATE_TIME),
    _read_only("location", Kind.REFERENCE, is_case_exact=True),
    _read_only("version", is_case_exact=True),
    mutability=Mutability.READ_ONLY,
)
_REFERENCE = Attribute("$ref", Kind.REFERENCE, is_case_exact=True)
_EXACT_VALUE = Attribute("value", is_case_exact=True)

USER = ResourceSchema(
    CORE_USER,
    (
        _ID,
        _EXTERNAL_ID,
        _META,
        Attribute("userName"),
        _complex(
            "name",
            *_strings(
                "formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix"
            ),
        ),
        *_strings("displayName", "nickName"),
        Attribute("profileUrl", Kind.REFERENCE, is_case_exact=True),
        *_strings("title", "userType", "preferredLanguage", "locale", "timezone"),
        Attribute("active", Kind.BOOLEAN),
        Attribute("password", is_case_exact=True, mutability=Mutability.WRITE_ONLY),
        _valued("emails"),
        _valued("phoneNumbers"),
        _valued("ims"),
        _valued("photos", Attribute("value", Kind.REFERENCE, is_case_exact=True)),
        _plural(
            "addresses",
            *_strings("formatted", "streetAddress", "locality", "region", "postalCode", "country", "type"),
            Attribute("primary", Kind.BOOLEAN),
        ),
        _plural(
            "groups",
            _read_only("value", is_case_exact=True),
            _read_only("$ref", Kind.REFERENCE, is_case_exact=True),
            _read_only("display"),
            _read_only("type"),
            mutability=Mutability.READ_ONLY,
        ),
        _valued("entitlements"),
        _valued("roles"),
        _valued("x509Certificates", Attribute("value", Kind.BINARY, is_case_exact=True)),
    ),
    {
        ENTERPRISE: (
            *_strings("employeeNumber", "costCenter", "organization", "division", "department"),
            _complex("manager", _EXACT_VALUE, _REFERENCE, _read_only("displayName")),
        ),
        MEMBER: (
            _read_only("memberId", is_case_exact=True),
            _read_only("seat"),
            _read_only("held", Kind.BOOLEAN),
            _plural(
                "grants",
                _read_only("role", is_case_exact=True),
                _read_only("scope", is_case_exact=True),
                _read_only("display"),
                mutability=Mutability.READ_ONLY,
            ),
        ),
    },
)
"""User with the enterprise extension and our own."""

GROUP = ResourceSchema(
    CORE_GROUP,
    (
        _ID,
        _EXTERNAL_ID,
        _META,
        Attribute("displayName"),
        _plural("members", _EXACT_VALUE, _REFERENCE, Attribute("type"), _read_only("display")),
    ),
)
