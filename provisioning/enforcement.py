"""The obligation to sign in over a connection, the test that comes before it, and the way in when it fails.

Nobody can lock an organisation out: enforcing needs a test that the same person has passed on the connection as it is
now, and the owner gets in by a recovery code, as far as the sign-on settings and no further.
"""

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from audit.actors import AdminActor, ApiKeyActor, SystemActor
from audit.events import FieldChange, Outcome, Reason, Target
from directory.facts import find_fault
from directory.ids import ConnectionId, EventId, MemberId
from directory.sso_changes import (
    EnforceLogin,
    LiftEnforcement,
    PutRecoveryCodes,
    RecordTest,
    ResumeEnforcement,
    UseRecoveryCode,
)
from provisioning.certificates import connection_target, find_connection
from provisioning.errors import Refusal, RefusalCode
from provisioning.log_addresses import refer_to_address
from provisioning.logins import Enforcement, RecoveryCode, StoredTest
from provisioning.sessions import BREAKGLASS, check_session, member_target
from provisioning.work import Work

BREAKGLASS_LIMIT = timedelta(minutes=30)
"""How long a session of a recovery code lasts."""

MOST_CODES = 20
MOST_HOLDERS = 2

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DIGEST_BYTES = 32


def record_test(work: Work, change: RecordTest) -> None:
    """Store how a test login ended. It is good for the version that it was made on."""
    connection = find_connection(work, change.connection_id)
    if not change.test_id or find_fault(change.test_id):
        raise _invalid("a test has an id")
    if not 0 < change.version <= connection.version:
        raise _invalid(f"the connection has the version {connection.version}, not {change.version}")
    if change.failed_check and not _SLUG.fullmatch(change.failed_check):
        raise _invalid("a check is named by one word in small letters")
    work.writer.sso.put_test(
        StoredTest(
            connection_id=change.connection_id,
            test_id=change.test_id,
            actor=work.author,
            has_passed=change.has_passed,
            version=change.version,
            at=work.now,
        )
    )
    failed = (FieldChange("failed_check", None, change.failed_check),) if change.failed_check else ()
    work.ledger.record(
        "connection.tested",
        (connection_target(change.connection_id),),
        (
            FieldChange("test_id", None, change.test_id),
            FieldChange("version", None, change.version),
            *failed,
        ),
        outcome=Outcome.SUCCESS if change.has_passed else Outcome.FAILURE,
    )


def enforce_login(work: Work, change: EnforceLogin) -> None:
    """People of the verified domains sign in over the connection only, from now on. Raises Refusal."""
    connection = find_connection(work, change.connection_id)
    _check_administrator(work)
    known = work.writer.sso.enforcement()
    if known is not None and known.connection_id == change.connection_id and known.suspended_at is None:
        return
    if connection.read.disabled:
        raise _invalid(f"the connection '{connection.name}' is disabled; enable it first")
    if not work.writer.domains():
        raise Refusal(
            RefusalCode.NOT_ALLOWED, "no mail domain of the organisation is verified; verify one first"
        )
    test = work.writer.sso.last_test(change.connection_id, work.author)
    if test is None or not test.has_passed or test.version != connection.version:
        raise Refusal(
            RefusalCode.NOT_TESTED,
            f"you have not passed a test login over '{connection.name}' as it is now; do that first",
            numbers=(("version", connection.version), ("tested", test.version if test else 0)),
        )
    work.writer.sso.put_enforcement(Enforcement(change.connection_id, work.author, work.now))
    _record(work, "connection.enforced", change.connection_id)


def lift_enforcement(work: Work, change: LiftEnforcement) -> None:
    """The obligation ends, or rests until its reason is over. What is not in force is not lifted."""
    if not _SLUG.fullmatch(change.reason):
        raise _invalid("a reason is one word in small letters")
    if change.suspended:
        suspend_enforcement(work, reason=change.reason)
        return
    known = work.writer.sso.enforcement()
    if known is None:
        return
    work.writer.sso.put_enforcement(None)
    _record(work, "connection.enforcement_lifted", known.connection_id, reason=change.reason)


def suspend_enforcement(work: Work, *, reason: str, parent: EventId | None = None) -> None:
    """The obligation rests."""
    known = work.writer.sso.enforcement()
    if known is None or known.suspended_at is not None:
        return
    work.writer.sso.put_enforcement(replace(known, suspended_at=work.now, suspended_reason=reason))
    _record(work, "connection.enforcement_suspended", known.connection_id, reason=reason, parent=parent)


def resume(work: Work, change: ResumeEnforcement) -> None:
    """What rests holds again, whatever it rested for. Raises Refusal while no domain is verified."""
    del change
    if not work.writer.domains():
        raise Refusal(
            RefusalCode.NOT_ALLOWED, "no mail domain of the organisation is verified; verify one first"
        )
    resume_enforcement(work)


def resume_enforcement(work: Work, *, reason: str = "", parent: EventId | None = None) -> None:
    """What rests, for this reason if one is given, holds again."""
    known = work.writer.sso.enforcement()
    if known is None or known.suspended_at is None or (reason and known.suspended_reason != reason):
        return
    work.writer.sso.put_enforcement(replace(known, suspended_at=None, suspended_reason=""))
    _record(work, "connection.enforcement_resumed", known.connection_id, parent=parent)


# The way in when nobody can sign in


def put_recovery_codes(work: Work, change: PutRecoveryCodes) -> None:
    """Make codes for a member, in place of older ones. Two members at most have any, the owner among them."""
    _check_administrator(work)
    codes = work.writer.sso.recovery_codes()
    had = [code for code in codes if code.member_id == change.member_id]
    if not change.digests and not had:
        return
    record = work.writer.member_records([change.member_id], with_attributes=False).get(change.member_id)
    if record is None:
        raise Refusal(RefusalCode.NOT_FOUND, f"there is no member '{change.member_id}' in this organisation")
    holders = {code.member_id for code in codes} - {change.member_id}
    if change.digests:
        if not record.is_active:
            raise _invalid(f"member '{record.display_name}' is not active and gets no recovery codes")
        _check_digests(change.digests)
        holders.add(change.member_id)
        _check_holders(work, holders)
    elif change.member_id == work.state.owner_id:
        _check_holders(work, holders)
    put = [RecoveryCode(change.member_id, digest, work.now) for digest in change.digests]
    work.writer.sso.put_recovery_codes(change.member_id, put)
    # Numbers only: nothing that a code could be guessed from.
    work.ledger.record(
        "breakglass.armed",
        (member_target(record),),
        (FieldChange("codes", sum(code.used_at is None for code in had), len(put)),),
    )


def _check_digests(digests: Collection[bytes]) -> None:
    if len(digests) > MOST_CODES or len(set(digests)) < len(digests):
        raise _invalid(f"a member has at most {MOST_CODES} recovery codes, each another")
    if any(len(digest) != _DIGEST_BYTES for digest in digests):
        raise _invalid("a recovery code is known by its SHA-256 digest")


def _check_holders(work: Work, holders: Collection[MemberId]) -> None:
    if holders and work.state.owner_id not in holders:
        raise _invalid("the owner is among those who have recovery codes; make the owner's first")
    if len(holders) > MOST_HOLDERS:
        raise _invalid(f"{MOST_HOLDERS} members at most have recovery codes; take somebody's away first")


def use_recovery_code(work: Work, change: UseRecoveryCode) -> None:
    """Let the member of a code in for a short while. A code that is none and one of somebody gone are told alike."""
    member_id = None
    if len(change.digest) == _DIGEST_BYTES:
        member_id = work.writer.sso.use_recovery_code(change.digest, work.now)
    found = {} if member_id is None else work.writer.member_records([member_id], with_attributes=False)
    if member_id is None or not found[member_id].is_active:
        raise Refusal(RefusalCode.RECOVERY_CODE_INVALID, "this recovery code is not good, or was used before")
    ends_at = min(change.session.expires_at, work.now + BREAKGLASS_LIMIT)
    session = replace(
        change.session, member_id=member_id, connection_id=None, kind=BREAKGLASS, expires_at=ends_at
    )
    check_session(work, session)
    work.ledger.address = refer_to_address(work.writer, replace(work.command, changes=(session,)), work.mint)
    work.sessions.append(session)


def _check_administrator(work: Work) -> None:
    if not isinstance(work.command.actor, AdminActor | ApiKeyActor | SystemActor):
        raise Refusal(
            RefusalCode.NOT_ALLOWED, "an administrator or the operator decides how people must sign in"
        )


def _record(
    work: Work, action: str, connection_id: ConnectionId, *, reason: str = "", parent: EventId | None = None
) -> None:
    targets: tuple[Target, ...] = (connection_target(connection_id),)
    work.ledger.record(action, targets, reason=Reason(reason) if reason else None, parent=parent)


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
