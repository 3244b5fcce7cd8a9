"""Who is signed in: links, sessions and their end, and logins that were refused.

A session is opened when all else of its command has been worked out, so that nobody is signed in whom the same
command deactivates, or who gets no seat. Those who are deactivated are signed out by `consequences`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from audit.actors import AdminActor, ApiKeyActor, SystemActor
from audit.events import FieldChange, Outcome, Reason, Target
from directory.facts import find_fault, name_key
from directory.ids import EventId, MemberId
from directory.sso_changes import DenyLogin, EndSession, EndSessionsOf, FollowMail, LinkLogin, OpenSession
from provisioning.certificates import connection_target, find_connection, said
from provisioning.errors import Refusal, RefusalCode
from provisioning.identity import is_plain_mail
from provisioning.logins import Link, StoredSession
from provisioning.state import MemberRecord, PersonalData, Seat
from provisioning.work import Work

MOST_SESSIONS = 10_000
"""Live sessions of one member that are looked through."""

LONGEST_SESSION = timedelta(days=30)
BREAKGLASS = "breakglass"

_LINKED_BY = frozenset({"external_id", "mail", "invitation", "jit", "relink"})
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DIGEST_BYTES = 32
_LONGEST_TEXT = 8192


def find_member(work: Work, member_id: MemberId) -> MemberRecord:
    """The member. Raises Refusal when there is none, or none any more."""
    record = work.writer.member_records([member_id], with_attributes=False).get(member_id)
    if record is None or record.is_deleted:
        raise Refusal(RefusalCode.NOT_FOUND, f"there is no member '{member_id}' in this organisation")
    return record


def member_target(record: MemberRecord, *, role: str = "subject") -> Target:
    return Target("member", record.member_id, role=role, pii=record.pii_ref)


def link_login(work: Work, change: LinkLogin) -> None:
    """Who signs in with the key is the member from now on. A link is made once; only `relink` moves it."""
    connection = find_connection(work, change.connection_id)
    record = find_member(work, change.member_id)
    if change.linked_by not in _LINKED_BY:
        raise _invalid(f"a login is linked by one of {', '.join(sorted(_LINKED_BY))}")
    if not change.key or change.key != change.key.strip() or find_fault(change.key):
        raise _invalid("an identity key is a text without whitespace around it")
    known = work.writer.sso.link(change.connection_id, change.key)
    if known is not None and known.member_id == change.member_id:
        return
    if change.linked_by != "relink" and known is not None:
        raise _invalid("the key is another member's; move it by relinking")
    if change.linked_by == "relink":
        _relink(work, change, record, known)
        return
    _put_link(work, change)
    work.ledger.record(
        "member.linked",
        (member_target(record), connection_target(connection.connection_id, role="object")),
        (FieldChange("linked_by", None, change.linked_by),),
    )


def _put_link(work: Work, change: LinkLogin) -> None:
    link = Link(change.connection_id, change.key, change.member_id, change.linked_by, work.now)
    work.writer.sso.put_link(link)


def _relink(work: Work, change: LinkLogin, record: MemberRecord, known: Link | None) -> None:
    """Move the key to the member, whose other keys of the connection are good no more. Old sessions end."""
    if not isinstance(work.command.actor, AdminActor | ApiKeyActor | SystemActor):
        raise Refusal(RefusalCode.NOT_ALLOWED, "a login is moved by an administrator or the operator")
    former = known.member_id if known is not None else None
    work.writer.sso.delete_links_of(change.connection_id, change.member_id)
    _put_link(work, change)
    targets = [member_target(record)]
    if former is not None:
        targets.append(member_target(work.writer.member_records([former])[former], role="object"))
    event_id = work.ledger.record(
        "sso.identity_moved",
        targets,
        (
            FieldChange("connection_id", None, change.connection_id),
            FieldChange("linked_by", known.linked_by if known else None, change.linked_by),
        ),
    )
    members = [change.member_id] if former is None else [change.member_id, former]
    sessions = [
        session.session_id
        for member_id in members
        for session in work.writer.sso.sessions(member_id, work.now, MOST_SESSIONS)
        if session.connection_id == change.connection_id
    ]
    if sessions:
        ended = work.writer.sso.end_sessions(work.now, "relinked", session_ids=sessions)
        record_ended(work, ended, "relinked", parent=event_id)


def follow_mail(work: Work, change: FollowMail) -> None:
    """Take over an address inside the verified domains. What a directory manages, or another has, stays as it is."""
    record = find_member(work, change.member_id)
    key = name_key(change.mail)
    if record.has_users or record.mail == change.mail:
        return
    is_taken = bool(work.writer.members_by_mail([key]).get(key, set()) - {change.member_id})
    is_ours = key.rpartition("@")[2] in work.writer.domains()
    if is_taken or not is_ours or not is_plain_mail(change.mail) or find_fault(change.mail):
        return
    name = change.mail if record.display_name == record.mail else record.display_name
    pii_ref = work.mint.id()
    work.writer.insert_personal_data(
        [PersonalData(pii_ref, change.member_id, {"name": name, "mail": change.mail})]
    )
    work.writer.update_profiles([(change.member_id, name, change.mail, pii_ref)])
    work.ledger.record(
        "member.updated",
        (Target("member", change.member_id, pii=pii_ref),),
        (FieldChange("profile", f"pii:{record.pii_ref}", f"pii:{pii_ref}"),),
    )


def open_session(work: Work, change: OpenSession) -> None:
    """Note that a session is to be opened at the end of the command. Raises Refusal for what can be none."""
    if change.kind == BREAKGLASS or change.connection_id is None:
        raise _invalid("a session without a connection is opened by a recovery code alone")
    connection = find_connection(work, change.connection_id)
    settings = connection.read
    if settings.disabled:
        raise _invalid(f"the connection '{connection.name}' is disabled")
    if settings.session_minutes:
        ends_at = work.now + timedelta(minutes=settings.session_minutes)
        change = replace(change, expires_at=min(change.expires_at, ends_at))
    check_session(work, change)
    work.sessions.append(change)


def check_session(work: Work, change: OpenSession) -> None:
    """Refuse what cannot be a session."""
    if len(change.token_sha256) != _DIGEST_BYTES:
        raise _invalid("a session is known by the SHA-256 digest of its token")
    if not work.now < change.expires_at <= work.now + LONGEST_SESSION:
        raise _invalid("a session ends at a moment to come, within 30 days")
    texts = (change.name_id, change.session_index, change.address, change.user_agent, change.login_id)
    if any(len(text) > _LONGEST_TEXT or find_fault(text, is_name=False) for text in texts):
        raise _invalid("a text of the session is too long, or can not be stored")
    if work.writer.sso.session(change.session_id) is not None:
        raise _invalid(f"there is a session '{change.session_id}'; use a new id")


def open_sessions(work: Work) -> None:
    """Open what was asked for, in view of what the command has led to. Who waits for a seat gets no session."""
    for change in work.sessions:
        record = find_member(work, change.member_id)
        if not record.is_active:
            raise Refusal(
                RefusalCode.NOT_ALLOWED,
                f"member '{record.display_name}' is not active and is not signed in",
                subject=record.member_id,
            )
        if record.seat is Seat.WAITING and change.kind != BREAKGLASS:
            continue
        work.writer.sso.insert_session(_stored(work, change), change.token_sha256)
        _record_session(work, change, record)


def _stored(work: Work, change: OpenSession) -> StoredSession:
    return StoredSession(
        session_id=change.session_id,
        organisation_id=work.state.organisation_id,
        member_id=change.member_id,
        connection_id=change.connection_id,
        kind=change.kind,
        login_id=change.login_id,
        auth_time=change.auth_time,
        created_at=work.now,
        last_used_at=work.now,
        expires_at=change.expires_at,
        name_id=change.name_id,
        session_index=change.session_index,
        address=change.address,
        user_agent=change.user_agent,
    )


def _record_session(work: Work, change: OpenSession, record: MemberRecord) -> None:
    targets = [member_target(record)]
    if change.connection_id is not None:
        targets.append(connection_target(change.connection_id, role="object"))
    values: dict[str, str | tuple[str, ...]] = {
        "session_id": change.session_id,
        "kind": change.kind,
        "authn_instant": said(change.auth_time),
        "connection_id": change.connection_id or "",
        "linked_by": change.linked_by,
        "assertion_id": change.assertion_id,
        "issuer": change.issuer,
        "groups": change.groups,
    }
    work.ledger.record(
        "breakglass.used" if change.kind == BREAKGLASS else "sso.login",
        targets,
        tuple(FieldChange(path, None, value) for path, value in values.items() if value),
    )


def end_session(work: Work, change: EndSession) -> None:
    """End one session. One that has ended stays as it is."""
    session = work.writer.sso.session(change.session_id)
    if session is None:
        raise Refusal(
            RefusalCode.NOT_FOUND, f"there is no session '{change.session_id}' in this organisation"
        )
    _check_reason(change.reason)
    ended = work.writer.sso.end_sessions(work.now, change.reason, session_ids=[change.session_id])
    record_ended(work, ended, change.reason, session=session)


def end_sessions_of(work: Work, change: EndSessionsOf) -> None:
    """End all sessions of the member, who may be gone already."""
    if change.member_id not in work.writer.member_records([change.member_id], with_attributes=False):
        raise Refusal(RefusalCode.NOT_FOUND, f"there is no member '{change.member_id}' in this organisation")
    _check_reason(change.reason)
    ended = work.writer.sso.end_sessions(work.now, change.reason, member_ids=[change.member_id])
    record_ended(work, ended, change.reason)


def _check_reason(reason: str) -> None:
    if not _SLUG.fullmatch(reason):
        raise _invalid("a reason is one word in small letters")


def record_ended(
    work: Work,
    ended: Mapping[MemberId, int],
    reason: str,
    *,
    parent: EventId | None = None,
    session: StoredSession | None = None,
) -> None:
    """An event for each member who was signed out."""
    records = work.writer.member_records(ended.keys(), with_attributes=False) if ended else {}
    one = () if session is None else (FieldChange("session_id", session.session_id, None),)
    for member_id, count in sorted(ended.items()):
        work.ledger.record(
            "sso.logout",
            (member_target(records[member_id]),),
            (FieldChange("sessions_ended", None, count), *one),
            parent=parent,
            reason=Reason(reason),
        )


def deny_login(work: Work, change: DenyLogin) -> None:
    """Write down that somebody was not let in, and why. Nothing else changes."""
    _check_reason(change.reason)
    if find_fault(change.reference):
        raise _invalid("a reference is a short text")
    targets: list[Target] = []
    if change.member_id is not None:
        record = work.writer.member_records([change.member_id], with_attributes=False).get(change.member_id)
        if record is not None:
            targets.append(member_target(record))
    values = [("reference", change.reference)]
    if change.connection_id is not None:
        targets.append(connection_target(change.connection_id, role="object"))
        values.append(("connection_id", change.connection_id))
    work.ledger.record(
        "sso.login_denied",
        targets,
        tuple(FieldChange(path, None, value) for path, value in values if value),
        outcome=Outcome.DENIED,
        reason=Reason(change.reason, change.numbers),
    )


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
