"""The stable id of an entry, in one canonical text for each way in which servers keep it. Never the DN."""

import re
from collections.abc import Callable
from typing import Final
from uuid import UUID

from directory.ids import ExternalId
from sync.errors import DialectError

ReadId = Callable[[bytes], str | None]

_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NS_UNIQUE_ID: Final = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{8}){3}")
_LONGEST_ID: Final = 255
_NAMES_THAT_MOVE: Final = frozenset({"dn", "distinguishedname", "entrydn", "cn"})


def id_reader(attribute: str) -> ReadId:
    """The function that reads the id attribute `attribute`, given in lower case.

    Raises: DialectError for an attribute that holds the entry's name, which changes when the entry is moved.
    """
    if attribute in _NAMES_THAT_MOVE:
        raise DialectError(
            f"'{attribute}' cannot be the id attribute: it changes when an entry is renamed or moved; "
            "use entryUUID, objectGUID, nsUniqueId or another attribute that stays"
        )
    return _READERS.get(attribute, read_text)


def read_uuid(raw: bytes) -> str | None:
    """A UUID in text, as entryUUID holds it. Source: RFC 4530 section 2.1."""
    return raw.decode("ascii").lower() if _UUID.fullmatch(raw) else None


def read_guid(raw: bytes) -> str | None:
    """An objectGUID: 16 bytes, the first three groups little-endian. Source: [MS-DTYP] section 2.3.4.2.

    Text is read as well, with or without braces: tools that export through PowerShell write it so.
    """
    if len(raw) != 16:
        return read_uuid(raw[1:-1] if raw.startswith(b"{") and raw.endswith(b"}") else raw)
    plain = raw.hex()
    return (
        f"{plain[6:8]}{plain[4:6]}{plain[2:4]}{plain[:2]}-{plain[10:12]}{plain[8:10]}-{plain[14:16]}{plain[12:14]}-"
        f"{plain[16:20]}-{plain[20:]}"
    )


def read_ns_unique_id(raw: bytes) -> str | None:
    """An nsUniqueId of 389 Directory Server: four groups of eight."""
    return raw.decode("ascii").lower() if _NS_UNIQUE_ID.fullmatch(raw) else None


def read_text(raw: bytes) -> str | None:
    """Any other id: printable text as it stands."""
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and 0 < len(text) <= _LONGEST_ID else None


def external_id(values: list[bytes] | None, read: ReadId) -> ExternalId | None:
    """The id that the values of the id attribute hold; None unless there is exactly one readable value."""
    if values is None or len(values) != 1:
        return None
    text = read(values[0])
    return None if text is None else ExternalId(text)


def id_value(attribute: str, external_id: ExternalId) -> bytes:
    """The value by which a filter finds the id in the attribute, given in lower case."""
    return UUID(external_id).bytes_le if attribute == "objectguid" else external_id.encode()


_READERS: Final[dict[str, ReadId]] = {
    "entryuuid": read_uuid,
    "objectguid": read_guid,
    "nsuniqueid": read_ns_unique_id,
}
