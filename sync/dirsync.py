"""Changes of Active Directory by its DirSync control: who has changed, and which names joined or left a list.

The control asks for a whole naming context, so that what counts is sorted out here; and it tells of changes, not of
entries, so that whoever has changed is read again by his objectGUID (`sync/touched.py`). It needs the right to
replicate changes; without it, it shows what the account may read. Deleted entries are shown to whoever may list the
container that they are moved to.
Source: [MS-ADTS] section 3.1.1.3.4.1.3; docs/decisions/0015-increments.md
"""

import base64
from typing import Final

from directory.ids import ExternalId
from sync import ber
from sync.ber import AttributeNames, Result
from sync.changes import MOST_ENTRIES, Changes, Mark, Touched
from sync.dialects.dialect import Dialect
from sync.dirsync_control import (
    DIRSYNC,
    EXTENDED_DN,
    INCREMENTAL_VALUES,
    OBJECT_SECURITY,
    dirsync_request,
    extended_dn_request,
    member_changes,
    read_dirsync_end,
    read_extended_name,
)
from sync.dn import dn_key, key_is_within
from sync.entries import Attributes
from sync.errors import BERError, DoubtError, LDAPAnswerError, LDAPConnectionError
from sync.ldap_reader import SUCCESS, TEMPORARY, LDAPSession
from sync.ldap_results import describe_result
from sync.ldap_settings import Search

_ID_ATTRIBUTE: Final = "objectguid"
_MEMBERS: Final = "member"
_EVERYBODY: Final = "(objectClass=*)"
_NOBODY: Final = "(!(objectClass=*))"
_SHOW_DELETED: Final = "1.2.840.113556.1.4.417"
_DELETED: Final = "CN=Deleted Objects"
# A new name or another place above an entry shows as one of these.
_PLACES: Final = frozenset({"name", "parentguid"})
_LEAVES: Final = frozenset({b"contact", b"dnsnode", b"printqueue", b"volume"})
_MOST_PAGES: Final = 1000
_NOT_PERMITTED: Final = 50
_UNKNOWN_COOKIE: Final = 12
_SERVER: Final = "invocation"
_RIGHTS: Final = "rights"
_SEES_DELETED: Final = "deleted"
_COOKIE: Final = "cookie "
_REPLICATES, _READS = "replicates", "reads"
_YES, _NO = "seen", "unseen"


class DirSync:
    """The method, for the searches of one directory. `percent` of the known entries may come as new."""

    name = "dirsync"
    stamps: frozenset[str] = frozenset()

    def __init__(self, searches: tuple[Search, ...], dialect: Dialect, *, percent: int) -> None:
        self._searches = searches
        self._dialect = dialect
        self._percent = percent

    def begin(self, session: LDAPSession) -> Mark:
        for attribute in self._dialect.id_attributes:
            if attribute != _ID_ATTRIBUTE:
                raise DoubtError(f"DirSync tells who has changed by objectGUID, not by {attribute}")
        if self._dialect.member_attributes != (_MEMBERS,):
            raise DoubtError(
                "DirSync tells who joined a group by member alone, and the settings name another"
            )
        if session.probe().lacks_control(DIRSYNC):
            raise DoubtError("the server offers no DirSync")
        mark = {_SERVER: _invocation_id(session)}
        contexts, rights = self._contexts(session), _REPLICATES
        for context in contexts:
            rights, cookie = self._first_cookie(session, context, rights)
            mark[_COOKIE + context] = _kept(cookie)
        sees_deleted = all(_shows_deleted(session, context) for context in contexts)
        return {**mark, _RIGHTS: rights, _SEES_DELETED: _YES if sees_deleted else _NO}

    def read(self, session: LDAPSession, mark: Mark, wanted: frozenset[str], known: int) -> Changes:
        if _invocation_id(session) != mark[_SERVER]:
            raise DoubtError("another domain controller answers, or this one was restored from a backup")
        contexts = self._contexts(session)
        if {_COOKIE + context for context in contexts} != {key for key in mark if key.startswith(_COOKIE)}:
            raise DoubtError("the server holds other naming contexts than before")
        is_seen = _YES if all(_shows_deleted(session, context) for context in contexts) else _NO
        if is_seen != mark[_SEES_DELETED]:
            raise DoubtError("the account may see deleted entries now, or may no longer")
        changes = Changes({}, is_whole=True)
        following = dict(mark)
        for context in contexts:
            cookie = base64.b64decode(mark[_COOKIE + context])
            asked = tuple(sorted(wanted | _PLACES | {"isdeleted", "objectclass"}))
            result, cookie = self._follow(session, context, mark[_RIGHTS], cookie, asked, changes.touched)
            if result.code != SUCCESS:
                raise DoubtError(_refusal(result))
            following[_COOKIE + context] = _kept(cookie)
        changes.mark = following
        self._check(session, changes, known)
        return changes

    def _contexts(self, session: LDAPSession) -> list[str]:
        """The naming contexts that hold the bases."""
        shown = session.probe().texts("namingcontexts")
        found: dict[str, None] = {}
        for search in self._searches:
            key = dn_key(search.base)
            holding = [one for one in shown if one and key_is_within(key, dn_key(one))]
            if not holding:
                raise DoubtError(f"the server names no naming context that holds '{search.base}'")
            found[max(holding, key=len)] = None
        return list(found)

    def _first_cookie(self, session: LDAPSession, context: str, rights: str) -> tuple[str, bytes]:
        """What the account may do, and a cookie for what changes from now on."""
        result, cookie = self._follow(session, context, rights, b"", ("objectClass",), None)
        if result.code == _NOT_PERMITTED and rights == _REPLICATES:
            rights = _READS
            result, cookie = self._follow(session, context, rights, b"", ("objectClass",), None)
        if result.code != SUCCESS:
            raise DoubtError(_refusal(result))
        return rights, cookie

    def _follow(
        self,
        session: LDAPSession,
        context: str,
        rights: str,
        cookie: bytes,
        wanted: tuple[str, ...],
        touched: dict[ExternalId, Touched] | None,
    ) -> tuple[Result, bytes]:
        """Take in all pages behind the cookie; with `touched` None, only how far they reach."""
        flags = INCREMENTAL_VALUES | (OBJECT_SECURITY if rights == _READS else 0)
        search = Search(context, _NOBODY if touched is None else _EVERYBODY, "")
        names = AttributeNames()
        for _ in range(_MOST_PAGES):
            number = session.ask(
                search,
                wanted,
                (DIRSYNC, dirsync_request(flags, cookie)),
                (EXTENDED_DN, extended_dn_request()),
            )
            result = self._read_page(session, number, names, touched)
            if result.code != SUCCESS:
                return result, cookie
            end = read_dirsync_end(result.controls.get(DIRSYNC, b""))
            if not end.cookie:
                raise DoubtError("the server does not say how far its answer reaches")
            cookie = end.cookie
            if not end.has_more:
                return result, cookie
        raise DoubtError(f"the server has not come to an end of its changes within {_MOST_PAGES} pages")

    def _read_page(
        self,
        session: LDAPSession,
        number: int,
        names: AttributeNames,
        touched: dict[ExternalId, Touched] | None,
    ) -> Result:
        while True:
            head, content = session.next_message(number)
            if head.kind == ber.SEARCH_ENTRY:
                dn, attributes, fault = ber.read_entry(
                    content, head.start, head.stop, names, session.settings.limits
                )
                if fault is not None:
                    raise BERError(fault)
                if touched is not None:
                    _touch(touched, dn, attributes)
                    if len(touched) > MOST_ENTRIES:
                        raise DoubtError(f"more than {MOST_ENTRIES} entries have changed")
            elif head.kind == ber.SEARCH_DONE:
                result = ber.read_result(content, head)
                if result.code in TEMPORARY:
                    raise LDAPConnectionError(f"{session.server}: {describe_result(result)}")
                return result
            elif head.kind not in {ber.SEARCH_REFERENCE, ber.INTERMEDIATE}:
                raise LDAPAnswerError(f"{session.server} answered something else than was asked")

    def _check(self, session: LDAPSession, changes: Changes, known: int) -> None:
        """Doubt an answer that begins anew, and one that moves people without naming them."""
        bases = [dn_key(search.base) for search in self._searches]
        added = 0
        for external_id, one in changes.touched.items():
            if one.is_deleted:
                continue
            if one.is_new:
                added += any(key_is_within(dn_key(one.dn), base) for base in bases)
            elif one.is_moved and not one.has_security_id and _may_hold_others(session, external_id):
                raise DoubtError(
                    f"'{one.dn.decode('utf-8', 'replace')}' has another name or place, and so has all below it"
                )
        if added * 100 > known * self._percent:
            raise DoubtError(f"the server sends {added} of {known} entries as new")


def describe_mark(mark: Mark) -> str:
    """What the account may do, in words, as it was found when the mark was made."""
    rights = (
        "the account has the right to replicate changes"
        if mark[_RIGHTS] == _REPLICATES
        else "without the right to replicate changes, what the account may read is told"
    )
    deleted = (
        "it sees deleted entries"
        if mark[_SEES_DELETED] == _YES
        else f"it may not list '{_DELETED}', so that deletions wait for the next full reading"
    )
    return f"{rights}; {deleted}"


def _touch(touched: dict[ExternalId, Touched], dn: bytes, attributes: Attributes) -> None:
    """Take in one entry of an answer; an entry may come in several parts."""
    name = read_extended_name(dn)
    one = touched.setdefault(ExternalId(name.guid), Touched())
    one.dn = name.dn
    one.has_security_id = name.has_security_id
    one.is_deleted = attributes.get("isdeleted", [b""])[0].upper() == b"TRUE"
    one.attributes.update(attributes)
    added, removed = member_changes(attributes, _MEMBERS)
    one.members.update({ExternalId(member.guid): True for member in added})
    one.members.update({ExternalId(member.guid): False for member in removed})
    one.is_new = one.is_new or "objectclass" in attributes
    one.is_moved = one.is_moved or not _PLACES.isdisjoint(attributes)
    one.lists_all = one.lists_all or _MEMBERS in attributes


def _may_hold_others(session: LDAPSession, external_id: ExternalId) -> bool:
    entry = session.read_base(f"<GUID={external_id}>", ("objectClass",))
    classes = [] if entry is None else entry.attributes.get("objectclass", [])
    return _LEAVES.isdisjoint(name.lower() for name in classes)


def _invocation_id(session: LDAPSession) -> str:
    """Which state of which controller this is: restoring it from a backup gives it another."""
    for name in session.probe().texts("dsservicename"):
        entry = session.read_base(name, ("invocationId",))
        for value in [] if entry is None else entry.attributes.get("invocationid", []):
            return value.hex()
    raise DoubtError(
        "the domain controller does not show its invocationId, by which its changes are told apart"
    )


def _shows_deleted(session: LDAPSession, context: str) -> bool:
    """Whether the account may list what was deleted."""
    search = Search(f"{_DELETED},{context}", "(cn=Deleted Objects)", "")
    number = session.ask(search, ("objectClass",), (_SHOW_DELETED, None))
    is_shown = False
    while True:
        head, _ = session.next_message(number)
        is_shown = is_shown or head.kind == ber.SEARCH_ENTRY
        if head.kind == ber.SEARCH_DONE:
            return is_shown


def _refusal(result: Result) -> str:
    if result.code == _NOT_PERMITTED:
        return (
            "the account may not ask for changes any more; give it the right 'Replicating Directory Changes'"
        )
    if result.code == _UNKNOWN_COOKIE:
        return "the server does not know the mark, or no DirSync"
    return f"the changes cannot be read: {describe_result(result)}"


def _kept(cookie: bytes) -> str:
    return base64.b64encode(cookie).decode("ascii")
