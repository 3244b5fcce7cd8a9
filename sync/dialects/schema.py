"""The one implementation of `Dialect`: a table of classes and attributes, with what is a server's own beside it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from directory.facts import Activity, GroupFacts, UserFacts, name_key
from directory.ids import ExternalId
from sync.dialects.activity import Rule, decide, one_of
from sync.dialects.dialect import (
    ContainerEntry,
    DialectSettings,
    DirectoryEntry,
    GroupEntry,
    Identity,
    IgnoredEntry,
    Moment,
    UserEntry,
)
from sync.dialects.ids import external_id, id_reader
from sync.entries import Attributes, RawEntry
from sync.errors import DialectError, EntryError

# Raised whenever the same entry gives other facts than before, so that every entry counts as changed once.
_MAPPING_VERSION: Final = 1
_FACTS: Final = frozenset({"user_name", "display_name", "given_name", "family_name", "mails", "group_name"})
_LDAP_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(?:;[a-z0-9._-]+)*")
_SCIM_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_$:.-]*")
_CLASS_SETS_KEPT: Final = 4096

_USER, _GROUP, _CONTAINER = "user", "group", "container"


def _never_ignored(attributes: Attributes) -> str | None:  # noqa: ARG001 - the shape of the hook
    return None


def _no_primary_group(attributes: Attributes) -> bytes | None:  # noqa: ARG001 - the shape of the hook
    return None


@dataclass(frozen=True, slots=True)
class Schema:
    """What sets one kind of server apart. Classes and attributes in lower case.

    `ignored_classes` come first, then groups, users and containers: a computer of Active Directory is also a
    user, and an organisational unit may carry auxiliary classes. `names` maps facts and SCIM attributes to
    attributes.
    """

    name: str
    id_attribute: str | None
    user_classes: frozenset[str]
    group_classes: frozenset[str]
    container_classes: frozenset[str]
    ignored_classes: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]
    member_attributes: tuple[str, ...]
    activity: Mapping[str, Rule]
    required_for_activity: str | None = None
    member_uid_attribute: str | None = None
    uid_attribute: str | None = None
    security_id_attribute: str | None = None
    ignored_user: Callable[[Attributes], str | None] = _never_ignored
    ignored_built_in: Callable[[Attributes], str | None] = _never_ignored
    primary_group: Callable[[Attributes], bytes | None] = _no_primary_group
    primary_group_attributes: tuple[str, ...] = ()
    user_filter: str = ""
    """What a server is asked for users by, where the classes alone would fetch too many."""


class SchemaDialect:
    """A `Dialect` from a `Schema` and the administrator's settings, for one reading at `moment`.

    Raises: DialectError for settings that name no usable attribute.
    """

    def __init__(self, schema: Schema, settings: DialectSettings, moment: Moment) -> None:
        self._schema = schema
        self._moment = moment
        self._names = _named(schema.names, settings.attribute_map)
        self._id_attribute = _id_attribute(schema, settings.id_attribute)
        self._group_id_attribute = (settings.group_id_attribute or self._id_attribute).lower()
        self._read_id = id_reader(self._id_attribute)
        self._read_group_id = id_reader(self._group_id_attribute)
        self._member_attributes = tuple(
            map(_ldap_name, settings.member_attributes or schema.member_attributes)
        )
        self._rules = dict(schema.activity)
        if settings.disabled_attribute:
            self._rules[_ldap_name(settings.disabled_attribute)] = one_of(settings.disabled_values)
        self._ignored_built_in = _never_ignored if settings.include_built_in else schema.ignored_built_in
        self._mapped = tuple(sorted({name for candidates in self._names.values() for name in candidates}))
        self._predicates = {scim: names for scim, names in self._names.items() if scim not in _FACTS}
        self._kinds: dict[tuple[bytes, ...], tuple[str, str]] = {}
        self._digest = blake2b(
            repr((_MAPPING_VERSION, schema.name, self._id_attribute, sorted(self._names.items()))).encode(),
            digest_size=16,
        )

    @property
    def name(self) -> str:
        return self._schema.name

    @property
    def mapping(self) -> str:
        return self._digest.hexdigest()

    @property
    def id_attributes(self) -> tuple[str, str]:
        return self._id_attribute, self._group_id_attribute

    @property
    def member_attributes(self) -> tuple[str, ...]:
        return self._member_attributes

    @property
    def member_uid_attribute(self) -> str | None:
        return self._schema.member_uid_attribute

    @property
    def wanted(self) -> frozenset[str]:
        schema = self._schema
        others = (
            schema.required_for_activity,
            schema.member_uid_attribute,
            schema.uid_attribute,
            schema.security_id_attribute,
        )
        return frozenset(
            {
                "objectclass",
                "isdeleted",
                "iscriticalsystemobject",
                self._id_attribute,
                self._group_id_attribute,
                *self._mapped,
                *self._rules,
                *self._member_attributes,
                *schema.primary_group_attributes,
                *(name for name in others if name),
            }
        )

    @property
    def user_filter(self) -> str:
        return self._schema.user_filter or _any_class(self._schema.user_classes)

    @property
    def group_filter(self) -> str:
        return _any_class(self._schema.group_classes)

    def read(self, entry: RawEntry) -> DirectoryEntry:
        """Say what the entry is.

        Raises: EntryError when it is a user or a group, or might be one, and cannot be taken over.
        """
        attributes = entry.attributes
        kind, reason = self._kind(attributes)
        if kind is _USER:
            return self._read_user(entry)
        if kind is _GROUP:
            return self._read_group(entry)
        return ContainerEntry(entry) if kind is _CONTAINER else IgnoredEntry(entry, reason)

    def identify(self, attributes: Attributes) -> Identity | None:
        """Say whose attributes these are, perhaps not all of an entry; None when surely of no user and no group."""
        kind = self._kind(attributes)[0] if attributes.get("objectclass") else _USER
        if kind is _USER:
            found = external_id(attributes.get(self._id_attribute), self._read_id)
            return Identity(found, False, self._uids(attributes), self._schema.primary_group(attributes))
        if kind is _GROUP:
            found = external_id(attributes.get(self._group_id_attribute), self._read_group_id)
            return Identity(found, True, [], None)
        return None

    def read_id(self, values: list[bytes] | None, *, is_group: bool) -> ExternalId | None:
        return external_id(values, self._read_group_id if is_group else self._read_id)

    def user_facts(self, user: UserEntry) -> UserFacts:
        """The facts that the user's entry holds. A value that is not UTF-8 text is left out."""
        attributes = user.entry.attributes
        predicates = {
            scim: values for scim, names in self._predicates.items() if (values := _texts(attributes, names))
        }
        return UserFacts(
            external_id=user.external_id,
            user_name=self._first("user_name", attributes),
            display_name=self._first("display_name", attributes),
            given_name=self._first("given_name", attributes),
            family_name=self._first("family_name", attributes),
            mails=_mails(attributes, self._names["mails"]),
            activity=user.activity,
            dn=user.entry.dn.decode("utf-8", "replace"),
            attributes=MappingProxyType(predicates),
        )

    def _kind(self, attributes: Attributes) -> tuple[str, str]:
        classes = attributes.get("objectclass")
        if not classes:
            raise EntryError("the entry holds no objectClass; export objectClass as well")
        key = tuple(classes)
        known = self._kinds.get(key)
        if known is None:
            known = self._classify({name.decode("utf-8", "replace").lower() for name in classes})
            if len(self._kinds) < _CLASS_SETS_KEPT:
                self._kinds[key] = known
        return known

    def _classify(self, classes: set[str]) -> tuple[str, str]:
        schema = self._schema
        for name, reason in schema.ignored_classes.items():
            if name in classes:
                return "ignored", reason
        if classes & schema.group_classes:
            return _GROUP, ""
        if classes & schema.user_classes:
            return _USER, ""
        if classes & schema.container_classes:
            return _CONTAINER, ""
        return "ignored", "other"

    def _read_user(self, entry: RawEntry) -> UserEntry | IgnoredEntry:
        attributes, schema = entry.attributes, self._schema
        reason = self._ignored_built_in(attributes) or schema.ignored_user(attributes)
        if reason is not None:
            return IgnoredEntry(entry, reason)
        found = external_id(attributes.get(self._id_attribute), self._read_id)
        if found is None:
            raise EntryError(_no_id(attributes, self._id_attribute))
        if not self._first("user_name", attributes):
            raise EntryError(f"the user has no readable {' or '.join(self._names['user_name'])}")
        activity = decide(self._rules, attributes, self._moment)
        if schema.required_for_activity and schema.required_for_activity not in attributes:
            activity = Activity.UNKNOWN
        return UserEntry(
            found,
            self._fingerprint(entry, activity),
            activity,
            entry,
            [mail for name in self._names["mails"] for mail in attributes.get(name, ())],
            self._uids(attributes),
            schema.primary_group(attributes),
        )

    def _read_group(self, entry: RawEntry) -> GroupEntry | IgnoredEntry:
        attributes, schema = entry.attributes, self._schema
        if attributes.get("isdeleted", [b""])[0].upper() == b"TRUE":
            return IgnoredEntry(entry, "deleted")
        found = external_id(attributes.get(self._group_id_attribute), self._read_group_id)
        if found is None:
            raise EntryError(_no_id(attributes, self._group_id_attribute))
        display_name = self._first("group_name", attributes)
        if not display_name:
            raise EntryError(f"the group has no readable {' or '.join(self._names['group_name'])}")
        for name in attributes:
            if ";range=" in name and not name.endswith("-*"):
                raise EntryError(f"the export holds only a part of the members ({name}); export all of them")
        security_ids = (
            attributes.get(schema.security_id_attribute, []) if schema.security_id_attribute else []
        )
        return GroupEntry(
            found,
            GroupFacts(found, display_name, entry.dn.decode("utf-8", "replace")),
            entry,
            [member for name in self._member_attributes for member in _members(attributes, name)],
            attributes.get(schema.member_uid_attribute, []) if schema.member_uid_attribute else [],
            security_ids[0] if security_ids else None,
        )

    def _uids(self, attributes: Attributes) -> list[bytes]:
        name = self._schema.uid_attribute
        return attributes.get(name, []) if name else []

    def _first(self, fact: str, attributes: Attributes) -> str:
        for name in self._names[fact]:
            for raw in attributes.get(name, ()):
                text = _text(raw)
                if text:
                    return text
        return ""

    def _fingerprint(self, entry: RawEntry, activity: Activity) -> bytes:
        # The activity stands for the attributes behind it: an end that has passed changes it, and no
        # attribute.
        attributes = entry.attributes
        shown: list[object] = [entry.dn, activity.value]
        for name in self._mapped:
            values = attributes.get(name)
            shown.append(sorted(values) if values and len(values) > 1 else values)
        digest = self._digest.copy()
        digest.update(repr(shown).encode("ascii"))
        return digest.digest()


def _any_class(classes: frozenset[str]) -> str:
    return f"(|{''.join(f'(objectClass={name})' for name in sorted(classes))})"


def _no_id(attributes: Attributes, name: str) -> str:
    values = attributes.get(name)
    if not values:
        return f"the entry holds no {name}, which identifies it; export this attribute as well"
    if len(values) > 1:
        return f"the entry holds {len(values)} values of {name}, which must identify it"
    return f"the value of {name}, which identifies the entry, cannot be read"


def _members(attributes: Attributes, name: str) -> list[bytes]:
    # The last part of a list that Active Directory gave in ranges is named `member;range=1500-*`.
    ranged = f"{name};range="
    listed = [
        value
        for key, values in attributes.items()
        if key == name or key.startswith(ranged)
        for value in values
    ]
    # A unique member may carry a bit string behind its name. Source: RFC 4517 section 3.3.21.
    return [value.partition(b"#'")[0] for value in listed] if name == "uniquemember" else listed


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _texts(attributes: Attributes, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        texts = tuple(text for raw in attributes.get(name, ()) if (text := _text(raw)))
        if texts:
            return texts
    return ()


def _mails(attributes: Attributes, names: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses without repetition, the primary one first: Exchange marks it by `SMTP:` in capitals."""
    primary: dict[str, str] = {}
    others: dict[str, str] = {}
    for name in names:
        for raw in attributes.get(name, ()):
            text = _text(raw)
            kind, colon, rest = text.partition(":")
            address = rest if colon and kind.upper() == "SMTP" else text
            if "@" in address and (not colon or kind.upper() == "SMTP"):
                (primary if colon and kind == "SMTP" else others).setdefault(name_key(address), address)
    return tuple(
        {**primary, **{key: address for key, address in others.items() if key not in primary}}.values()
    )


def _id_attribute(schema: Schema, configured: str | None) -> str:
    name = configured or schema.id_attribute
    if name is None:
        raise DialectError(
            f"the dialect '{schema.name}' needs id_attribute: the attribute that identifies an entry for good, "
            "such as entryUUID or nsUniqueId"
        )
    return _ldap_name(name)


def _ldap_name(name: str) -> str:
    lower = name.strip().lower()
    if not _LDAP_NAME.fullmatch(lower):
        raise DialectError(f"'{name}' is no LDAP attribute name")
    return lower


def _named(
    defaults: Mapping[str, tuple[str, ...]], overrides: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    names = dict(defaults)
    for fact, given in overrides.items():
        if not _SCIM_NAME.fullmatch(fact):
            raise DialectError(f"'{fact}' is neither a fact nor a SCIM attribute name")
        names[fact] = tuple(_ldap_name(name) for name in given.split(",")) if given.strip() else ()
    for fact in ("user_name", "group_name"):
        if not names[fact]:
            raise DialectError(f"'{fact}' must come from an attribute")
    return names
