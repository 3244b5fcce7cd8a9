"""A directory server as the source of a snapshot: our own paging loop, and what each way of ending it means.

A reading is complete when every page of every base came with result 0 and with a paging control, the last one with an
empty cookie, over one connection. Anything less is partial or failed, and says which limit was hit and what to do.
Source: RFC 2696; docs/decisions/0014-ldap.md
"""

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

from sync import ber
from sync.ber import AttributeNames, Result
from sync.entries import Attributes, RawEntry, RejectedEntry
from sync.errors import BERError, LDAPAnswerError, LDAPConnectionError, LDAPError
from sync.ldap_reader import PAGING, SUCCESS, TEMPORARY, LDAPSession, Password, open_session
from sync.ldap_results import describe_result
from sync.ldap_settings import LDAPSettings, Search
from sync.outcome import Complete, Failed, Outcome, Partial

Items = Iterator[RawEntry | RejectedEntry]

# A page waits undecoded while the next one is asked for, but no more of it than this.
_HELD_BYTES: Final = 8 << 20
_REFERENCES_KEPT: Final = 100
_EMPTY_PAGES: Final = 100
_RANGE_ATTEMPTS: Final = 3
_REFERRAL: Final = 10
_ADMIN_LIMIT: Final = 11
_LIMITS: Final = frozenset({3, 4, _ADMIN_LIMIT})
_RANGE: Final = re.compile(
    r"(?P<name>[^;]+(?:;(?!range=)[^;]+)*);range=(?P<first>[0-9]{1,9})-(?P<last>[0-9]{1,9}|\*)"
)
# By these a change of an entry between two requests shows.
_STAMPS: Final = ("modifytimestamp", "usnchanged", "whenchanged")


@dataclass(slots=True)
class _Page:
    """What has come of one page."""

    held: list[tuple[bytes, int, int]] = field(default_factory=list)
    held_bytes: int = 0
    count: int = 0
    first: bytes = b""


class LDAPSource:
    """Reads all searches of the settings, once. How it ended is known afterwards.

    Memory does not grow with the directory: entries are given one by one and never kept.
    """

    place = "entry"
    shows_bases = False

    def __init__(
        self,
        settings: LDAPSettings,
        password: Password,
        *,
        first_server: int = 0,
        after_page: Callable[[], None] | None = None,
        prepare: Callable[[LDAPSession], frozenset[str]] | None = None,
    ) -> None:
        self.outcome: Outcome = Failed("the reading was given up")
        self.references: list[str] = []
        """The first hundred references, none of which was followed."""
        self.reference_count = 0
        self.entry_count = 0
        self.requests = 0
        """How many requests were sent, binding among them."""
        self.server_number = first_server
        """Which of the servers was read."""
        self.settings = settings
        self._password = password
        self._first_server = first_server
        self._prepare = prepare
        self.after_page = after_page
        """Called after each page, while the server works on the next one."""

    def is_vouched(self) -> bool:
        """Never: an entry of a server has no end to be in doubt."""
        return False

    def entries(self, wanted: frozenset[str]) -> Generator[RawEntry | RejectedEntry, None, None]:
        try:
            with open_session(self.settings, self._password, first=self._first_server) as session:
                self.server_number = self.settings.servers.index(session.server)
                self.requests = session.requests
                more = self._prepare(session) if self._prepare is not None else frozenset()
                yield from self.entries_of(session, wanted | more)
        except LDAPError as err:
            self.outcome = Failed(str(err), err.may_pass)

    def entries_of(
        self, session: LDAPSession, wanted: frozenset[str]
    ) -> Generator[RawEntry | RejectedEntry, None, None]:
        """Read over a session that is open. Raises: LDAPError, and then nothing of it may be used."""
        gaps: list[str] = []
        try:
            yield from _Reading(self, session, tuple(sorted(wanted))).read_all(gaps)
        finally:
            self.requests = session.requests
        self.outcome = Partial("; ".join(gaps)) if gaps else Complete()


class _Reading:
    """One pass over one session."""

    def __init__(self, source: LDAPSource, session: LDAPSession, wanted: tuple[str, ...]) -> None:
        self._source = source
        self._session = session
        self._settings = source.settings
        self._wanted = wanted
        self._names = AttributeNames()
        self._ranged: list[bytes] = []

    def read_all(self, gaps: list[str]) -> Items:
        """Every entry below every base. Why it is not all, if so, stands in `gaps` afterwards."""
        session = self._session
        try:
            if session.probe().lacks_control(PAGING):
                raise LDAPAnswerError(
                    f"{session.server} cannot read by pages, which a complete reading needs; use an export"
                )
            for search in self._settings.searches:
                gap = yield from self._read(search)
                if gap is not None:
                    gaps.append(gap)
        except BERError as err:
            raise LDAPAnswerError(f"{session.server}: {err}") from err

    def _read(self, search: Search) -> Generator[RawEntry | RejectedEntry, None, str | None]:
        """Read below one base, page by page. Returns why it is not all, or None."""
        session, cookie, before, empty_pages = self._session, b"", b"", 0
        begun_at = self._source.entry_count
        number = session.ask_page(search, self._wanted, cookie)
        while True:
            page = _Page()
            result = yield from self._read_page(page, search, number)
            gap, next_cookie = self._judge(
                result, search, self._source.entry_count + len(page.held) - begun_at
            )
            if next_cookie:
                empty_pages = 0 if page.count else empty_pages + 1
                is_repeated = next_cookie == cookie and page.first == before
                if is_repeated or empty_pages > _EMPTY_PAGES:
                    raise LDAPAnswerError(
                        f"{session.server} gives the same page below '{search.base}' again and again; "
                        "its paging cannot be relied on"
                    )
                # Ahead of decoding this page, so that the server works on the next one meanwhile.
                number = session.ask_page(search, self._wanted, next_cookie)
                cookie, before = next_cookie, page.first
            yield from self._decode(page, search)
            if self._source.after_page is not None:
                self._source.after_page()
            if self._source.entry_count > self._settings.entries:
                return (
                    f"more than {self._settings.entries} entries below '{search.base}'; "
                    "raise the setting 'entries' if the directory is that large"
                )
            if not next_cookie:
                yield from self._read_ranged(search)
                return gap

    def _read_page(
        self, page: _Page, search: Search, number: int
    ) -> Generator[RawEntry | RejectedEntry, None, Result]:
        """Take in the messages of one page. Gives entries only when the page is too large to wait for its end."""
        session, held = self._session, page.held
        entry, next_message = ber.SEARCH_ENTRY, session.next_message
        while True:
            head, content = next_message(number)
            _, kind, start, stop = head
            if kind == entry:
                if not page.count:
                    page.first = content[start:]
                page.count += 1
                page.held_bytes += stop
                held.append((content, start, stop))
                if page.held_bytes > _HELD_BYTES:
                    yield from self._decode(page, search)
            elif kind == ber.SEARCH_DONE:
                return ber.read_result(content, head)
            elif kind == ber.SEARCH_REFERENCE:
                self._source.reference_count += 1
                uris = ber.read_reference(content, head)
                self._source.references += uris[: _REFERENCES_KEPT - len(self._source.references)]
            elif kind != ber.INTERMEDIATE:
                raise LDAPAnswerError(f"{session.server} answered something else than was asked")

    def _decode(self, page: _Page, search: Search) -> Iterator[RawEntry | RejectedEntry]:
        read, names, limits, sought = ber.read_entry, self._names, self._settings.limits, search.sought
        number = self._source.entry_count
        for content, start, stop in page.held:
            dn, attributes, fault = read(content, start, stop, names, limits)
            number += 1
            self._source.entry_count = number
            if fault is not None:
                yield RejectedEntry(number, fault, dn, attributes, sought=sought)
            elif names.has_ranges and _open_range(attributes) is not None:
                self._ranged.append(dn)
            else:
                yield RawEntry(dn, attributes, number, sought)
        page.held.clear()
        page.held_bytes = 0

    def _judge(self, result: Result, search: Search, entries: int) -> tuple[str | None, bytes]:
        """What the end of a page says: why the search is not whole, if so, and the cookie of the next page."""
        session, code = self._session, result.code
        if code == SUCCESS:
            control = result.controls.get(PAGING)
            if control is None:
                return (
                    f"{session.server} left out where to go on after {entries} entries below '{search.base}'",
                    b"",
                )
            return None, ber.read_paging_cookie(control)
        account = self._settings.bind_dn or "anonymous readers"
        if code in _LIMITS and (code != _ADMIN_LIMIT or entries):
            return (
                f"{session.server} stopped after {entries} entries below '{search.base}': {describe_result(result)}; "
                f"lift this limit for {account}"
            ), b""
        if code == _ADMIN_LIMIT:
            raise LDAPAnswerError(
                f"{session.server} gives nothing below '{search.base}' in pages of {self._settings.page_size}: "
                f"{describe_result(result)}; lower page_size, or lift the limit for {account}"
            )
        if code == _REFERRAL:
            shown = ", ".join(result.referrals) or "another server"
            raise LDAPAnswerError(
                f"{session.server} does not hold '{search.base}' and refers to {shown}, which is never followed; "
                "name that server in 'servers'"
            )
        text = f"{session.server}: '{search.base}' cannot be read: {describe_result(result)}"
        raise LDAPConnectionError(text) if code in TEMPORARY else LDAPAnswerError(text)

    def _read_ranged(self, search: Search) -> Iterator[RawEntry | RejectedEntry]:
        """Read in full the entries of which the pages held only a part of the values."""
        for dn in self._ranged:
            self._source.entry_count += 1
            yield self._read_whole(dn, search.sought)
        self._ranged.clear()

    def _read_whole(self, dn: bytes, sought: str) -> RawEntry | RejectedEntry:
        """One entry with all values of its ranges, from one state of it: a change in between begins it anew.

        Source: [MS-ADTS] section 3.1.1.3.1.3.3.
        """
        name = dn.decode("utf-8", "replace")
        entry: RawEntry | None = None
        for _ in range(_RANGE_ATTEMPTS):
            entry = self._session.read_base(name, (*self._wanted, *_STAMPS))
            if entry is None:
                return RejectedEntry(
                    self._source.entry_count, "the entry went away while its values were read", dn, {}
                )
            if self._fill(name, entry.attributes):
                return RawEntry(dn, entry.attributes, self._source.entry_count, sought)
        attributes = entry.attributes if entry is not None else {}
        reason = f"the entry changed {_RANGE_ATTEMPTS} times while its values were read"
        return RejectedEntry(self._source.entry_count, reason, dn, attributes, sought=sought)

    def _fill(self, dn: str, attributes: Attributes) -> bool:
        """Put the rest of each range into `attributes`; False when the entry changed meanwhile."""
        stamps = [attributes.get(stamp) for stamp in _STAMPS]
        while (found := _open_range(attributes)) is not None:
            key, name, last = found
            values = attributes.get(name, []) + attributes.pop(key)
            while last != "*":
                wanted = f"{name};range={int(last) + 1}-*"
                piece = self._session.read_base(dn, (wanted, *_STAMPS))
                if piece is None or [piece.attributes.get(stamp) for stamp in _STAMPS] != stamps:
                    return False
                match = next((match for key in piece.attributes if (match := _RANGE.fullmatch(key))), None)
                if match is None or match["name"] != name or int(match["first"]) != int(last) + 1:
                    return False
                values += piece.attributes[match.string]
                last = match["last"]
            attributes[name] = values
        return True


def _open_range(attributes: Attributes) -> tuple[str, str, str] | None:
    """The first attribute that came as a range which is not all: its key, its name and where it ends."""
    for key in attributes:
        match = _RANGE.fullmatch(key)
        if match is not None and (match["last"] != "*" or match["first"] == "0"):
            return key, match["name"], match["last"]
    return None
