"""The controls of a DirSync search in bytes, and what its entries say: who, whether deleted, what of it has changed.

ldap3 writes the flags as a positive INTEGER of five bytes, which Active Directory refuses: it wants four.
Source: [MS-ADTS] section 3.1.1.3.4.1.3 (DirSync) and 3.1.1.3.4.1.5 (extended names).
"""

import re
from typing import Final, NamedTuple

from sync import ber
from sync.entries import Attributes
from sync.errors import BERError

DIRSYNC: Final = "1.2.840.113556.1.4.841"
EXTENDED_DN: Final = "1.2.840.113556.1.4.529"
OBJECT_SECURITY: Final = 0x0000_0001
"""Show what the account may read by its own rights: without it, it needs the right to replicate changes."""
INCREMENTAL_VALUES: Final = -0x8000_0000
"""Of a list of names only those that were added or removed. 0x80000000, as the sign of four bytes."""

_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_SEQUENCE: Final = 0x30
_MOST_BYTES: Final = 1 << 20
_NAME: Final = re.compile(rb"<GUID=([0-9a-fA-F-]{36})>(;<SID=[^>]*>)?;(.*)", re.DOTALL)
_ADDED: Final = ";range=1-1"
_REMOVED: Final = ";range=0-0"


class DirSyncEnd(NamedTuple):
    """The end of one page of changes."""

    cookie: bytes
    has_more: bool


class ExtendedName(NamedTuple):
    """A name that comes with the objectGUID of whom it names, in its canonical text."""

    guid: str
    dn: bytes
    has_security_id: bool
    """Whether it is somebody who can be given rights: a user, a computer, a group."""


def dirsync_request(flags: int, cookie: bytes) -> bytes:
    """The value of the control. An empty cookie asks for everything."""
    content = _integer(flags) + _integer(_MOST_BYTES) + ber.encoded(_OCTETS, cookie)
    return ber.encoded(_SEQUENCE, content)


def extended_dn_request() -> bytes:
    """The value of the control that asks for names with their objectGUID as text."""
    return ber.encoded(_SEQUENCE, _integer(1))


def read_dirsync_end(value: bytes) -> DirSyncEnd:
    """Read the control behind a page. Raises: BERError."""
    what = "the DirSync control"
    outer = ber.parts_of(value, what)
    inner = ber.parts_of(outer[0][1], what) if len(outer) == 1 else []
    if [kind for kind, _ in inner] != [_INTEGER, _INTEGER, _OCTETS]:
        raise BERError(f"{what} of the server is malformed")
    return DirSyncEnd(inner[2][1], any(inner[0][1]))


def read_extended_name(raw: bytes) -> ExtendedName:
    """Raises: BERError for a name without an objectGUID."""
    match = _NAME.fullmatch(raw)
    if match is None:
        raise BERError(f"the server gives '{raw.decode('utf-8', 'replace')}' without its objectGUID")
    return ExtendedName(match[1].decode("ascii").lower(), match[3], match[2] is not None)


def member_changes(attributes: Attributes, name: str) -> tuple[list[ExtendedName], list[ExtendedName]]:
    """Whom the entry lists by `name` since, and whom it lists no longer. Raises: BERError."""
    added, removed = (attributes.get(name + key, []) for key in (_ADDED, _REMOVED))
    return [read_extended_name(raw) for raw in added], [read_extended_name(raw) for raw in removed]


def _integer(value: int) -> bytes:
    size = max(1, (value.bit_length() + 8) // 8) if value >= 0 else 4
    return ber.encoded(_INTEGER, value.to_bytes(size, "big", signed=True))
