"""The rows by which a user's document is found: comparison keys of its attributes, and its entries.

Owns which column holds which attribute. The rows are made when a document is stored and never looked at in Python.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from directory.schema import ENTERPRISE, USER, Attribute, Path, comparison_key, entries_of, text_of

Document = Mapping[str, object]
Row = tuple[object, ...]


class _Place(NamedTuple):
    """Where a document holds the value of a column: under a name of one of its parts."""

    column: str
    path: Path

    @property
    def part(self) -> tuple[str, str]:
        """The extension and the complex attribute that the name stands in; both may be empty."""
        return (self.path.urn, self.path.attribute.name if self.path.sub else "")


_USER_PATHS = {
    "external_id_key": "externalId",
    "display_name_key": "displayName",
    "nick_name_key": "nickName",
    "profile_url_key": "profileUrl",
    "title_key": "title",
    "user_type_key": "userType",
    "preferred_language_key": "preferredLanguage",
    "locale_key": "locale",
    "timezone_key": "timezone",
    "name_formatted_key": "name.formatted",
    "name_family_name_key": "name.familyName",
    "name_given_name_key": "name.givenName",
    "name_middle_name_key": "name.middleName",
    "name_honorific_prefix_key": "name.honorificPrefix",
    "name_honorific_suffix_key": "name.honorificSuffix",
    "employee_number_key": f"{ENTERPRISE}:employeeNumber",
    "cost_center_key": f"{ENTERPRISE}:costCenter",
    "organization_key": f"{ENTERPRISE}:organization",
    "division_key": f"{ENTERPRISE}:division",
    "department_key": f"{ENTERPRISE}:department",
    "manager_value_key": f"{ENTERPRISE}:manager.value",
    "manager_ref_key": f"{ENTERPRISE}:manager.$ref",
    "manager_display_name_key": f"{ENTERPRISE}:manager.displayName",
}
_PLACES = tuple(
    _Place(column, path) for column, text in _USER_PATHS.items() if (path := USER.find(text)) is not None
)

COLUMN_OF: Mapping[str, str] = MappingProxyType({place.path.text: place.column for place in _PLACES})
"""The column of `scim_user` that holds the key of a singular attribute, by the text of its path."""

ENTERPRISE_COLUMNS = tuple(place.column for place in _PLACES if place.path.urn == ENTERPRISE)

ENTRY_COLUMN_OF: Mapping[str, str] = MappingProxyType(
    {
        "value": "value_key",
        "display": "display_key",
        "type": "type_key",
        "formatted": "formatted_key",
        "streetAddress": "street_address_key",
        "locality": "locality_key",
        "region": "region_key",
        "postalCode": "postal_code_key",
        "country": "country_key",
    }
)
"""The column of `scim_entry` that holds the key of a sub-attribute; `primary` has its own, `is_primary`."""

STORED_ENTRIES = frozenset(
    attribute.name
    for attribute in USER.attributes.values()
    if attribute.is_multi_valued and attribute.name != "groups"
)
"""The multi-valued attributes whose entries have rows of `scim_entry`."""

_NOTHING: Document = MappingProxyType({})
_PARTS = tuple(dict.fromkeys(place.part for place in _PLACES))
_LEAVES = tuple((_PARTS.index(place.part), place.path.leaf) for place in _PLACES)

USER_KEY_COLUMNS = tuple(place.column for place in _PLACES)
ENTRY_KEY_COLUMNS = tuple(ENTRY_COLUMN_OF.values())


def user_keys(document: Document) -> Row:
    """The keys of the singular attributes, in the order of `USER_KEY_COLUMNS`."""
    parts = [_part(document, *part) for part in _PARTS]
    return tuple([_key(parts[part].get(leaf.name), leaf) for part, leaf in _LEAVES])


def _part(document: Document, urn: str, name: str) -> Document:
    """A part of a document; an empty one where it has none."""
    found: object = document.get(urn) if urn else document
    if name and isinstance(found, Mapping):
        found = found.get(name)
    return found if isinstance(found, Mapping) else _NOTHING


def entry_rows(document: Document) -> Iterator[Row]:
    """(attribute, position, is primary, keys in the order of `ENTRY_KEY_COLUMNS`) of every entry."""
    for name in STORED_ENTRIES:
        if document.get(name):
            attribute = USER.attributes[name]
            for position, entry in enumerate(entries_of(document[name])):
                yield (name, position, _truth(entry.get("primary")), *_entry_keys(attribute, entry))


def _entry_keys(attribute: Attribute, entry: Document) -> Row:
    subs = {sub.name: sub for sub in attribute.sub_attributes}
    return tuple(
        _key(entry[name], subs[name]) if name in entry and name in subs else None for name in ENTRY_COLUMN_OF
    )


def _key(value: object, attribute: Attribute) -> str | None:
    """An attribute without a value has none; one that is no simple value cannot be asked for."""
    if value is None or isinstance(value, Mapping | list | tuple):
        return None
    return comparison_key(text_of(value), is_case_exact=attribute.is_case_exact)


def _truth(value: object) -> bool | None:
    """A boolean, or one that a client sent as text."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None
