"""Small questions to a server beside its reading. What is put into a filter is escaped here, and nowhere else."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from sync import ber
from sync.ber import AttributeNames
from sync.entries import RawEntry
from sync.errors import BERError, LDAPAnswerError
from sync.ldap_reader import SUCCESS, LDAPSession
from sync.ldap_results import describe_result
from sync.ldap_settings import Search

# A space as well: the library leaves it out at either end of a value, where a binary id may have one.
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9=,.@_-]")


def equals(attribute: str, value: bytes) -> str:
    """A filter for entries with this value. Whatever the value holds, it is one. Source: RFC 4515 section 3."""
    escaped = _UNSAFE.sub(lambda match: f"\\{match[0].hex()}".encode(), value)
    return f"({attribute}={escaped.decode('ascii')})"


def any_of(filters: Iterable[str]) -> str:
    return f"(|{''.join(filters)})"


def find_names(session: LDAPSession, search: Search, asked: str, wanted: tuple[str, ...]) -> list[RawEntry]:
    """The few entries of a search that match a further filter, all in one answer.

    Raises: LDAPAnswerError when they are not all of them; LDAPConnectionError, BERError.
    """
    names = AttributeNames()
    found: list[RawEntry] = []
    number = session.ask(replace(search, filter=f"(&{search.filter}{asked})"), wanted)
    while True:
        head, content = session.next_message(number)
        if head.kind == ber.SEARCH_ENTRY:
            read = ber.read_entry(content, head.start, head.stop, names, session.settings.limits)
            if read.fault is not None:
                raise BERError(read.fault)
            found.append(RawEntry(read.dn, read.attributes, len(found) + 1, search.sought))
        elif head.kind == ber.SEARCH_DONE:
            result = ber.read_result(content, head)
            if result.code != SUCCESS:
                raise LDAPAnswerError(f"'{search.base}' cannot be asked: {describe_result(result)}")
            return found
        elif head.kind not in {ber.SEARCH_REFERENCE, ber.INTERMEDIATE}:
            raise LDAPAnswerError(f"{session.server} answered something else than was asked")
