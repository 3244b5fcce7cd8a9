"""One entry as a source gives it: raw bytes, before any dialect says what it means. Shared by every reader."""

from typing import NamedTuple

Attributes = dict[str, list[bytes]]
"""Attribute names in lower case, options kept (`cn;lang-sv`), each with its values in the source's order."""


class RawEntry(NamedTuple):
    """One entry. `number` says where it stood: the line of its `dn:` in a file, its count in a server's answer.

    `sought` is `user` or `group` when the source was asked for these only, and empty when it gives whatever it holds.
    """

    dn: bytes
    attributes: Attributes
    number: int
    sought: str = ""


class RejectedEntry(NamedTuple):
    """An entry that is not taken over. `attributes` holds what could be read, so that it may still be identified.

    `unterminated`: nothing is wrong with the entry but that the file ends with it, without the empty line
    that exporting tools write; it may be only the first part of the entry.
    """

    number: int
    reason: str
    dn: bytes
    attributes: Attributes
    unterminated: bool = False
    sought: str = ""
