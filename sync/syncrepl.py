"""Content synchronisation, once and without waiting: OpenLDAP's syncrepl, 389 Directory Server's content sync.

A server tells what it knows to have changed. What it sends when it does not know, literal clients have read as the
removal of everybody: so an entry is gone only where its id is listed as deleted. A present phase, an end without a
cookie, or more added entries than a day can bring means that the server has lost the thread: the answer is dropped.
`refreshDeletes` FALSE never removes anybody, whatever the standard lets it mean.

389 Directory Server sends every changed entry without what an account asks for by name: neither its id nor its lock,
so that a locked person would look like an active one. Such entries are asked for again by their ids. It also answers
from a log that was cut off behind the cookie, with success and without what was in there.
Source: RFC 4533; docs/decisions/0015-increments.md
"""

import base64
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from directory.ids import ExternalId
from sync import ber
from sync.ber import AttributeNames, SyncDone
from sync.changes import MOST_ENTRIES, Changes, Mark
from sync.dialects.dialect import Dialect
from sync.dn import dn_key, key_is_within
from sync.entries import RawEntry, RejectedEntry
from sync.errors import DoubtError, LDAPAnswerError, LDAPConnectionError
from sync.ldap_reader import SUCCESS, TEMPORARY, LDAPSession, RootDSE
from sync.ldap_results import describe_result
from sync.ldap_settings import Search
from sync.lookups import any_of, equals, find_names

SYNC_REQUEST: Final = "1.3.6.1.4.1.4203.1.9.1.1"
_STATE: Final = "1.3.6.1.4.1.4203.1.9.1.2"
_DONE: Final = "1.3.6.1.4.1.4203.1.9.1.3"
_REFRESH_REQUIRED: Final = 4096
_NS_ID: Final = "nsuniqueid"
_ID_ATTRIBUTES: Final = frozenset({"entryuuid", _NS_ID})
_STAMP: Final = "csn "
_COOKIE: Final = "cookie "
_NO_ATTRIBUTES: Final = ("1.1",)
_IDS_AT_ONCE: Final = 50


@dataclass(slots=True)
class _Answer(Changes):
    """One answer. `bare` are changed entries that came without the attribute that identifies them."""

    bare: set[ExternalId] = field(default_factory=set)


class ContentSync:
    """The method, for the searches of one directory. `percent` of the known entries may come as added."""

    name = "syncrepl"
    stamps: frozenset[str] = frozenset()

    def __init__(self, searches: tuple[Search, ...], dialect: Dialect, *, percent: int) -> None:
        self._searches = searches
        self._dialect = dialect
        self._percent = percent

    def begin(self, session: LDAPSession) -> Mark:
        for attribute in self._dialect.id_attributes:
            if attribute not in _ID_ATTRIBUTES:
                raise DoubtError(
                    f"the server names what is deleted by entryUUID or nsUniqueId, not by {attribute}"
                )
        root = session.probe()
        if SYNC_REQUEST not in root.texts("supportedcontrol"):
            raise DoubtError("the server offers no content synchronisation (overlay syncprov, or plug-in)")
        if _NS_ID not in self._dialect.id_attributes and _is_389(root):
            raise DoubtError("389 Directory Server names what is deleted by nsUniqueId alone")
        stamps = self._state_stamps(session)
        if stamps:
            # A question with nothing to answer shows whether this database has the overlay.
            for search in self._searches:
                self._drain(session, search, self._cookie(search, stamps, 0), _NO_ATTRIBUTES, None)
            return stamps
        mark: dict[str, str] = {}
        for number, search in enumerate(self._searches):
            done, _ = self._drain(session, search, b"", _NO_ATTRIBUTES, None)
            mark[f"{_COOKIE}{number}"] = _told(done)
        return mark

    def read(self, session: LDAPSession, mark: Mark, wanted: frozenset[str], known: int) -> Changes:
        now = self._state_stamps(session)
        if now:
            _check_stamps(mark, now)
            if now == mark:
                return Changes(now)
        changes = Changes(dict(now))
        for number, search in enumerate(self._searches):
            cookie = self._cookie(search, mark, number)
            done, found = self._drain(session, search, cookie, tuple(sorted(wanted)), known)
            changes.entries += found.entries
            changes.entries += self._read_again(session, search, found.bare, wanted)
            if not now:
                # Behind the answer, for the log may have been cut off while it was made.
                _check_log(session.probe(), cookie)
            for sought, ids in found.gone.items():
                changes.gone[sought] |= ids
            next_cookie = _told(done)
            if not now:
                changes.mark = {**changes.mark, f"{_COOKIE}{number}": next_cookie}
            elif not done.refresh_deletes:
                # Here OpenLDAP means: what was not sent is gone.
                raise DoubtError("the server tells what is there instead of what has changed")
        return changes

    def _state_stamps(self, session: LDAPSession) -> dict[str, str]:
        """The change numbers of OpenLDAP for every database that is read; empty where the server keeps none."""
        contexts = session.probe().texts("namingcontexts")
        stamps: dict[str, str] = {}
        for search in self._searches:
            context = _context_of(search.base, contexts)
            if context is None:
                return {}
            if _STAMP + context not in stamps:
                entry = session.read_base(context, ("contextCSN",))
                values = [] if entry is None else entry.attributes.get("contextcsn", [])
                if not values:
                    return {}
                stamps[_STAMP + context] = ";".join(
                    sorted(value.decode("ascii", "replace") for value in values)
                )
        return stamps

    def _cookie(self, search: Search, mark: Mark, number: int) -> bytes:
        stored = mark.get(f"{_COOKIE}{number}")
        if stored is not None:
            return base64.b64decode(stored)
        context = _context_of(search.base, [key.removeprefix(_STAMP) for key in mark])
        if context is None:
            raise DoubtError(f"there is no mark for '{search.base}'")
        # Source: OpenLDAP, servers/slapd/ldapsync.c, slap_parse_sync_cookie.
        return f"rid=000,csn={mark[_STAMP + context]}".encode("ascii")

    def _drain(
        self, session: LDAPSession, search: Search, cookie: bytes, wanted: tuple[str, ...], known: int | None
    ) -> "tuple[SyncDone, _Answer]":
        """Follow one answer to its end; `known` None for the first one, of which only the end is kept."""
        names, limits, found = AttributeNames(), session.settings.limits, _Answer({})
        attribute = self._dialect.id_attributes[search.sought == "group"]
        added, number = 0, session.ask(search, wanted, (SYNC_REQUEST, ber.sync_request(cookie)))
        while True:
            head, content = session.next_message(number)
            if head.kind == ber.SEARCH_ENTRY and known is not None:
                state = ber.read_sync_state(ber.read_entry_controls(content, head).get(_STATE, b""))
                if state.state == ber.PRESENT:
                    raise DoubtError("the server lists what is still there; its log does not reach back")
                if state.state == ber.DELETE:
                    found.gone[search.sought].add(self._id(search, state.entry_id))
                    continue
                dn, attributes, fault = ber.read_entry(content, head.start, head.stop, names, limits)
                place = len(found.entries) + 1
                if attribute not in attributes:
                    found.bare.add(self._id(search, state.entry_id))
                else:
                    found.entries.append(
                        RawEntry(dn, attributes, place, search.sought)
                        if fault is None
                        else RejectedEntry(place, fault, dn, attributes, sought=search.sought)
                    )
                added += state.state == ber.ADD
                if added * 100 > known * self._percent or place + len(found.bare) > MOST_ENTRIES:
                    raise DoubtError(f"the server sends more than {added - 1} of {known} entries as new")
            elif head.kind == ber.INTERMEDIATE and known is not None:
                self._take_info(content, head, search, found)
            elif head.kind == ber.SEARCH_DONE:
                return self._end(session, content, head, search), found
            elif head.kind not in {ber.SEARCH_ENTRY, ber.SEARCH_REFERENCE, ber.INTERMEDIATE}:
                raise LDAPAnswerError(f"{session.server} answered something else than was asked")

    def _read_again(
        self, session: LDAPSession, search: Search, ids: set[ExternalId], wanted: frozenset[str]
    ) -> list[RawEntry]:
        """The entries with all that is wanted. Who is not found has changed again, or cannot be read."""
        attribute = self._dialect.id_attributes[search.sought == "group"]
        ordered, asked = sorted(ids), tuple(sorted(wanted))
        found: list[RawEntry] = []
        for start in range(0, len(ordered), _IDS_AT_ONCE):
            some = ordered[start : start + _IDS_AT_ONCE]
            tests = any_of(equals(attribute, one.encode()) for one in some)
            found += find_names(session, search, tests, asked)
        if len(found) != len(ids):
            raise DoubtError(
                f"{len(ids) - len(found)} of {len(ids)} changed entries cannot be identified: they came without "
                f"{attribute}, and are not found by it"
            )
        return found

    def _take_info(self, content: bytes, head: ber.Head, search: Search, found: Changes) -> None:
        info = ber.read_sync_info(content, head)
        if info is None:
            return
        if info.kind == ber.REFRESH_PRESENT or (info.kind == ber.ENTRY_ID_SET and not info.refresh_deletes):
            raise DoubtError("the server lists what is still there; its log does not reach back")
        found.gone[search.sought].update(self._id(search, one) for one in info.entry_ids)

    def _end(self, session: LDAPSession, content: bytes, head: ber.Head, search: Search) -> SyncDone:
        result = ber.read_result(content, head)
        if result.code in TEMPORARY:
            raise LDAPConnectionError(f"{session.server}: {describe_result(result)}")
        if result.code == _REFRESH_REQUIRED:
            raise DoubtError("the server's log of changes does not reach back, or belongs to another server")
        if result.code != SUCCESS:
            raise DoubtError(f"the changes below '{search.base}' cannot be read: {describe_result(result)}")
        return (
            ber.read_sync_done(result.controls[_DONE]) if _DONE in result.controls else SyncDone(b"", False)
        )

    def _id(self, search: Search, raw: bytes) -> ExternalId:
        attribute = self._dialect.id_attributes[search.sought == "group"]
        if attribute == "entryuuid":
            return ExternalId(str(UUID(bytes=raw)))
        plain = raw.hex()
        return ExternalId("-".join(plain[at : at + 8] for at in range(0, 32, 8)))


def _told(done: SyncDone) -> str:
    """The cookie as it is kept."""
    if not done.cookie:
        raise DoubtError("the server does not say how far its answer reaches")
    return base64.b64encode(done.cookie).decode("ascii")


def _is_389(root: RootDSE) -> bool:
    return any("389" in text for text in root.texts("vendorname"))


def _check_log(root: RootDSE, cookie: bytes) -> None:
    """Refuse an answer from a log that begins behind the cookie, where the server says how far it reaches back.

    Source: 389 Directory Server, ldap/servers/plugins/sync/sync_util.c, sync_cookie_isvalid.
    """
    _, _, last_seen = cookie.rpartition(b"#")
    for first in root.texts("firstchangenumber"):
        if first.isdecimal() and last_seen.isdigit() and int(first) > int(last_seen) + 1:
            raise DoubtError("the server's log of changes does not reach back")


def _context_of(base: str, contexts: tuple[str, ...] | list[str]) -> str | None:
    """The longest of the naming contexts that hold the base."""
    key = dn_key(base)
    holding = [context for context in contexts if context and key_is_within(key, dn_key(context))]
    return max(holding, key=len, default=None)


def _check_stamps(mark: Mark, now: Mark) -> None:
    """Refuse a server that has not seen what an earlier reading has: a restored one, one that lags, another one."""
    if mark.keys() != now.keys():
        raise DoubtError("the server keeps its changes in another way than before")
    for key, stored in mark.items():
        before, after = _by_server(stored), _by_server(now[key])
        if before.keys() != after.keys():
            raise DoubtError("the server takes changes from other servers than before")
        if any(after[server] < stamp for server, stamp in before.items()):
            raise DoubtError(
                "the server stands before what was read already: restored, or another one that lags"
            )


def _by_server(stamps: str) -> dict[str, str]:
    """Change numbers by the server that made them. Source: OpenLDAP, draft-chu-ldap-csn."""
    return {parts[2] if len(parts := stamp.split("#")) == 4 else "": stamp for stamp in stamps.split(";")}
