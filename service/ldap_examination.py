"""What an administrator wants to know of a directory server before people depend on it. Stores nothing.

Each step stands on the one before: name, connection, certificate, account, bases, people. The account's password is
sent to one server only, and not before its certificate has been found good.
"""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from directory.facts import UserFacts
from service.doctor import Finding, Level, certificate_finding
from service.ldap_certificate import ServerCertificate, view_certificate
from sync.dialects import make_dialect
from sync.dialects.dialect import Dialect
from sync.errors import BERError, LDAPAnswerError, LDAPError, LDAPTLSError, SyncError
from sync.incremental import IncrementSettings, choose_method
from sync.ldap_reader import PAGING, LDAPSession, Password, RootDSE
from sync.ldap_settings import LDAPServer, LDAPSettings, StoredSettings, TLSMode, ldap_settings
from sync.ldap_source import LDAPSource
from sync.outcome import Complete, Failed
from sync.run import Passwords, dialect_settings, read_passwords, snapshot_settings
from sync.snapshot import Snapshot

SAMPLES: Final = 10
_NO_DIALECT: Final = "generic"
_ACTIVE_DIRECTORY: Final = "1.2.840.113556.1.4.800"
_PLACEHOLDER: Final = "(objectClass=*)"
_UNESCAPED_COMMA: Final = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class GroupSample:
    """A group as it was read."""

    display_name: str
    dn: str
    members: int
    subgroups: int


@dataclass(slots=True)
class Examination:
    """What was found, in the order of the steps.

    `is_reachable`: a server let the account in. `dialect` is the one that was read by, `guess` the one that the
    server looks like. `users` and `groups` are counted, the first ten kept.
    """

    findings: list[Finding] = field(default_factory=list)
    is_reachable: bool = False
    server: str = ""
    dialect: str = ""
    guess: str = ""
    method: str = ""
    method_reason: str = ""
    certificates: dict[str, ServerCertificate] = field(default_factory=dict)
    is_complete: bool = False
    users: int = 0
    groups: int = 0
    user_samples: list[UserFacts] = field(default_factory=list)
    group_samples: list[GroupSample] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether the directory can be read as it is set."""
        return self.is_reachable and not any(finding.level is Level.FAIL for finding in self.findings)

    def note(self, level: Level, about: str, text: str, remedy: str = "") -> None:
        self.findings.append(Finding(level, about, text, remedy))


def examine_directory(given: StoredSettings, *, passwords: Passwords, now: datetime) -> Examination:
    """Go through every step with the settings, as they are stored or before that. Without a dialect it is guessed.

    Raises: LDAPSettingsError, DialectError for settings that cannot be used at all.
    """
    found = Examination(dialect=str(given.get("dialect", "")))
    settings = _settings(given, found.dialect, now)
    session = _find_server(settings, found, now)
    if session is None:
        return found
    with closing(session):
        if not _bind(session, settings, passwords, found):
            return found
        found.is_reachable = True
        found.server = str(session.server)
        try:
            root = session.probe()
            _look_at_root(root, found)
            settings = _settings(given, found.dialect, now)
            are_there = [_look_at_base(session, base, root, found) for base in _bases(settings)]
            if all(are_there):
                _choose_method(session, given, settings, found, now)
        except (LDAPError, BERError) as err:
            found.note(Level.FAIL, "server", str(err))
            return found
    if all(are_there):
        _read(given, settings, read_passwords(settings, passwords), found, now)
    return found


def guess_dialect(root: RootDSE) -> str:
    """The dialect that a server speaks, from what it says of itself."""
    vendor = " ".join((*root.texts("vendorname"), *root.texts("vendorversion"))).lower()
    classes = {name.lower() for name in root.texts("objectclass")}
    if _ACTIVE_DIRECTORY in root.texts("supportedcapabilities"):
        return "active_directory"
    if "389" in vendor:
        return "ds389"
    return "openldap" if "openldaprootdse" in classes else _NO_DIALECT


def _settings(given: StoredSettings, dialect: str, now: datetime) -> LDAPSettings:
    if not dialect:
        return ldap_settings(given, user_filter=_PLACEHOLDER, group_filter=_PLACEHOLDER)
    spoken = _dialect(given, dialect, now)
    return ldap_settings(given, user_filter=spoken.user_filter, group_filter=spoken.group_filter)


def _dialect(given: StoredSettings, name: str, now: datetime) -> Dialect:
    return make_dialect(name, dialect_settings(given), now=now)


def _bases(settings: LDAPSettings) -> list[str]:
    return list(dict.fromkeys(search.base for search in settings.searches))


# Name, connection, certificate.


def _find_server(settings: LDAPSettings, found: Examination, now: datetime) -> LDAPSession | None:
    """Look at every server of the list; the first good one is kept connected."""
    kept: LDAPSession | None = None
    for server in settings.servers:
        session = _look_at_server(server, settings, found, now)
        if session is not None and kept is not None:
            session.close()
        kept = kept or session
    return kept


def _look_at_server(
    server: LDAPServer, settings: LDAPSettings, found: Examination, now: datetime
) -> LDAPSession | None:
    try:
        addresses = {
            str(one[4][0]) for one in socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        }
    except (OSError, UnicodeError) as err:
        found.note(
            Level.FAIL,
            "name",
            f"'{server.host}' has no address: {err}",
            "check the name and this machine's resolver",
        )
        return None
    found.note(Level.OK, "name", f"'{server.host}' is {', '.join(sorted(addresses))}")
    try:
        with socket.create_connection((server.host, server.port), timeout=settings.connect_seconds):
            found.note(Level.OK, "connection", f"{server} answers")
    except OSError as err:
        found.note(
            Level.FAIL,
            "connection",
            f"{server} cannot be reached within {settings.connect_seconds} s: {err}",
            "check the port and the firewalls on the way",
        )
        return None
    if settings.tls is not TLSMode.PLAIN:
        _view_certificate(server, settings, found, now)
    try:
        session = LDAPSession(settings, server)
    except (LDAPError, BERError) as err:
        found.note(Level.FAIL, "tls", str(err), _tls_remedy(err, server, settings, found))
        return None
    if settings.tls is TLSMode.PLAIN:
        found.note(Level.OK, "tls", "none, on this machine alone")
    else:
        trusted = f"'{settings.ca_file}'" if settings.ca_file else "this machine's own authorities"
        found.note(Level.OK, "tls", f"the certificate is good by {trusted}, by name and by date")
    return session


def _view_certificate(server: LDAPServer, settings: LDAPSettings, found: Examination, now: datetime) -> None:
    try:
        shown = view_certificate(server, settings.tls, timeout_seconds=settings.connect_seconds)
    except (OSError, ValueError, SyncError):
        # Why there is none is said by the reader's own attempt, which follows.
        return
    found.certificates[str(server)] = shown
    found.findings.append(certificate_finding("certificate", server, shown, now))


def _tls_remedy(err: SyncError, server: LDAPServer, settings: LDAPSettings, found: Examination) -> str:
    """What to do about a certificate that was refused, beyond what the refusal says."""
    shown, text = found.certificates.get(str(server)), str(err)
    if not isinstance(err, LDAPTLSError) or shown is None or "cannot be read as certificates" in text:
        return ""
    if "not valid for" in text:
        names = ", ".join(shown.names) or "none"
        return f"name the server as its certificate does ({names}), or have '{server.host}' put into it"
    if "expired" in text or "not yet valid" in text:
        return "renew the server's certificate, or set the clocks right"
    if settings.ca_file is None:
        return f"give the certificate of the authority '{shown.issuer}' by ca_file"
    return f"'{settings.ca_file}' does not hold the authority '{shown.issuer}' or the one above it; put it in"


# Account, bases.


def _bind(session: LDAPSession, settings: LDAPSettings, passwords: Passwords, found: Examination) -> bool:
    try:
        password: Password = read_passwords(settings, passwords)
        session.bind(password)
    except (LDAPError, BERError) as err:
        remedy = "nothing more is tried, so that no account is locked out by this"
        if "password is wrong" in str(err):
            remedy = (
                f"check bind_dn letter by letter, give the password anew, or unlock the account; {remedy}"
            )
        found.note(Level.FAIL, "account", str(err), remedy)
        return False
    if settings.bind_dn:
        found.note(Level.OK, "account", f"'{settings.bind_dn}' is let in")
    else:
        found.note(
            Level.WARN,
            "account",
            "no account is set: what everybody may see is read",
            "give bind_dn if people or attributes are missing below",
        )
    return True


def _look_at_root(root: RootDSE, found: Examination) -> None:
    found.guess = guess_dialect(root)
    contexts = ", ".join(root.texts("namingcontexts")) or "nothing that it would name"
    told = f"it looks like {found.guess} and holds {contexts}"
    if not found.dialect:
        found.dialect = found.guess
        found.note(Level.OK, "server", f"{told}; it is read so, since no dialect is set")
    elif found.dialect in {found.guess, _NO_DIALECT} or found.guess == _NO_DIALECT:
        found.note(Level.OK, "server", told)
    else:
        found.note(Level.WARN, "server", f"{told}, but the dialect is {found.dialect}", f"use {found.guess}")
    if root.lacks_control(PAGING):
        raise LDAPAnswerError(
            "the server cannot read by pages, which a complete reading needs; use an export"
        )


def _look_at_base(session: LDAPSession, base: str, root: RootDSE, found: Examination) -> bool:
    if session.read_base(base, ("objectClass",)) is not None:
        found.note(Level.OK, "base", f"'{base}' is there")
        return True
    nearest = next((above for above in _above(base) if _is_there(session, above)), "")
    contexts = ", ".join(root.texts("namingcontexts"))
    hint = f"the nearest entry that is seen is '{nearest}'" if nearest else f"the server holds {contexts}"
    found.note(
        Level.FAIL,
        "base",
        f"there is no '{base}', or the account may not see it; {hint}",
        "correct the base, or give the account the right to read it",
    )
    return False


def _choose_method(
    session: LDAPSession, given: StoredSettings, settings: LDAPSettings, found: Examination, now: datetime
) -> None:
    """What readings between two full ones would ask for, and why."""
    spoken, chosen = _dialect(given, found.dialect, now), IncrementSettings.of_settings(given)
    method, _, why = choose_method(session, settings, spoken, chosen, clock=lambda: now)
    found.method, found.method_reason = method.name if method is not None else "full", why
    found.note(
        Level.OK,
        "method",
        f"changes are read by {found.method}: {why}" if method else f"every reading is full: {why}",
    )


def _is_there(session: LDAPSession, dn: str) -> bool:
    try:
        return session.read_base(dn, ("objectClass",)) is not None
    except LDAPAnswerError:
        return False


def _above(dn: str) -> Iterator[str]:
    parts = _UNESCAPED_COMMA.split(dn)
    for start in range(1, len(parts)):
        yield ",".join(parts[start:]).strip()


# People and groups.


def _read(
    given: StoredSettings, settings: LDAPSettings, password: Password, found: Examination, now: datetime
) -> None:
    first = [str(server) for server in settings.servers].index(found.server)
    source = LDAPSource(settings, password, first_server=first)
    snapshot = Snapshot(
        source, dialect=_dialect(given, found.dialect, now), settings=snapshot_settings(given)
    )
    mails = 0
    for user in snapshot.users():
        mails += bool(user.mails)
        if len(found.user_samples) < SAMPLES:
            found.user_samples.append(snapshot.user_facts(user))
    memberships = 0
    for group in snapshot.groups():
        memberships += len(group.members) + len(group.subgroups)
        if len(found.group_samples) < SAMPLES:
            found.group_samples.append(
                GroupSample(
                    group.facts.display_name, group.facts.dn, len(group.members), len(group.subgroups)
                )
            )
    found.users, found.groups = snapshot.counts.users, snapshot.counts.groups
    is_read = not isinstance(source.outcome, Failed)
    _judge_reading(snapshot, settings, found, is_read=is_read, mails=mails, memberships=memberships)


def _limit_remedy(dialect: str, bind_dn: str) -> str:
    """Where each kind of server keeps the limit of an account."""
    places = {
        "openldap": f'add to the database: limits dn.exact="{bind_dn}" size=unlimited time=unlimited (olcLimits)',
        "ds389": "set nsSizeLimit, nsLookThroughLimit, nsPagedSizeLimit, nsPagedLookThroughLimit to -1 in its entry",
    }
    return places.get(
        dialect if bind_dn else "",
        "ask the server's administrator to lift the limits of size and time for it",
    )


def _judge_reading(
    snapshot: Snapshot,
    settings: LDAPSettings,
    found: Examination,
    *,
    is_read: bool,
    mails: int,
    memberships: int,
) -> None:
    counts, outcome = snapshot.counts, snapshot.outcome
    account = settings.bind_dn or "anonymous readers"
    found.is_complete = isinstance(outcome, Complete)
    if isinstance(outcome, Failed):
        found.note(Level.FAIL, "reading", outcome.reason)
    elif not isinstance(outcome, Complete):
        text = f"incomplete, so that nobody would ever be removed: {outcome.reason}"
        is_limited = "LimitExceeded" in outcome.reason
        found.note(
            Level.FAIL, "reading", text, _limit_remedy(found.dialect, settings.bind_dn) if is_limited else ""
        )
    elif counts.users:
        found.note(
            Level.OK,
            "reading",
            f"complete: {counts.users} people and {counts.groups} groups, no limit was met",
        )
    if not counts.users and is_read:
        found.note(
            Level.FAIL,
            "rights",
            f"{account} sees nobody below the bases of people, and {counts.groups} groups; the server calls this all "
            "there is, as it does to an account without the right to see people",
            "give the account the right to read people and their attributes, or correct user_filter or the dialect; "
            "once people are stored, the guard stops a reading that shows nobody",
        )
    if not counts.users:
        return
    for rejection in counts.rejections[:SAMPLES]:
        found.note(Level.WARN, "rights", f"'{rejection.dn}' would be rejected: {rejection.reason}")
    if counts.rejected > SAMPLES:
        found.note(Level.WARN, "rights", f"{counts.rejected - SAMPLES} more entries would be rejected")
    doubts: Mapping[str, bool] = {
        f"it cannot be read of {counts.unknown_activity} people whether they are active": bool(
            counts.unknown_activity
        ),
        "no mail address can be read of anybody": not mails,
        "no member can be read of any group": bool(counts.groups) and not memberships,
        "no group can be read": not counts.groups,
    }
    for text, is_so in doubts.items():
        if is_so:
            found.note(Level.WARN, "rights", text, f"let {account} read it, if it is there")
    if found.is_complete and not any(doubts.values()) and not counts.rejected:
        found.note(Level.OK, "rights", f"{account} may read what is needed")
