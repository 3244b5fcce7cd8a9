"""What one directory says about a user, a group and who is in it.

Names compare by `name_key` (NFKC, then casefold), never by `lower()`: databases fold ASCII only or by locale.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from directory.ids import ExternalId

_NO_ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Activity(StrEnum):
    """Whether the directory lets the user in. `UNKNOWN`: the attribute was unreadable; the stored state is kept."""

    ACTIVE = "active"
    DISABLED = "disabled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class UserFacts:
    """A user as a directory shows it. `mails` holds the primary address first.

    `attributes` holds the further attributes that a mapping predicate may name, keyed by SCIM attribute path
    (`title`, `department`, `employeeNumber`, `userType` ...), each with its values as text.

    For a SCIM directory `external_id` is the resource's own `id`, which is the one that both sides know for good;
    `client_id` is the `externalId` that the client gave, by which people of several directories are linked; and
    `resource` is what the client said, whole and as sent, without what is ours to say (`id`, `meta`, `groups`).
    """

    external_id: ExternalId
    user_name: str
    display_name: str = ""
    given_name: str = ""
    family_name: str = ""
    mails: tuple[str, ...] = ()
    activity: Activity = Activity.ACTIVE
    dn: str = ""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_ATTRIBUTES)
    client_id: str = ""
    resource: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A group as a directory shows it, without its members: these are edges, said by changes of their own."""

    external_id: ExternalId
    display_name: str
    dn: str = ""
    client_id: str = ""


MAX_NAME = 400
"""Characters of a name, an address or an external id. Longer text of a directory is kept in attributes only."""


def find_fault(text: str, *, is_name: bool = True) -> str:
    """Why the text cannot be stored, as the end of a sentence; empty when it can.

    A NUL fits no PostgreSQL text, a lone surrogate no UTF-8; a name must fit an index on every database.
    """
    if is_name and (len(text) > MAX_NAME or (not text.isascii() and len(name_key(text)) > 2 * MAX_NAME)):
        return f"has {len(text)} characters; at most {MAX_NAME} are stored"
    if "\0" in text:
        return "holds a NUL character"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "holds half a character, a lone surrogate"
    return ""


def name_key(text: str) -> str:
    """The form in which user names and mail addresses compare: `STRASSE`, `straße` and composed forms are one."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
