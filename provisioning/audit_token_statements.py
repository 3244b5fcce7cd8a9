"""Tokens that open an organisation's record to be read: made, ended, and exchanged for a session of the page.

What opens the record by itself never comes here; only digests do.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from audit.actors import AdminActor, SystemActor
from audit.events import FieldChange, Target
from directory.audit_token_changes import OpenAuditSession, PutAuditToken, RevokeAuditToken
from provisioning.audit_tokens import StoredAuditToken
from provisioning.errors import Refusal, RefusalCode
from provisioning.work import Work

MOST_LIVE_AUDIT_TOKENS: Final = 50
"""Live tokens of one organisation."""

LONGEST_SESSION: Final = timedelta(hours=1)
"""How long a page reads by a token that was typed once."""

TARGET: Final = "audit_token"
KIND: Final = "auditor"

_PREFIX = re.compile(r"[a-z0-9_]{8,24}", re.ASCII)
_DIGEST_BYTES = 32
_MOST_LETTERS = 200


def put_audit_token(work: Work, change: PutAuditToken) -> None:
    """Store a new token. Saying it twice changes nothing; another token under its id is refused."""
    _check_speaker(work)
    known = work.writer.audit_tokens.all()
    same = next((token for token in known if token.token_id == change.token_id), None)
    if same is not None:
        if same.sha256 == change.sha256:
            return
        raise _invalid(f"there is a token '{change.token_id}' that is another one; use a new id")
    name = change.name.strip()
    if not 0 < len(name) <= _MOST_LETTERS or not name.isprintable():
        raise _invalid(f"a token needs a name of 1 to {_MOST_LETTERS} printable characters")
    if not _PREFIX.fullmatch(change.prefix) or len(change.sha256) != _DIGEST_BYTES:
        raise _invalid("a token has a prefix of 8 to 24 small letters, digits and '_', and a SHA-256 digest")
    if change.expires_at is not None and change.expires_at <= work.now:
        raise _invalid(
            f"the token would have ended at {change.expires_at:%Y-%m-%d %H:%M} UTC already; give a moment to come"
        )
    live = sum(token.is_live(work.now) for token in known)
    if live >= MOST_LIVE_AUDIT_TOKENS:
        raise _invalid(f"there are {live} live tokens for auditors, the most there may be; revoke one first")
    token = StoredAuditToken(
        token_id=change.token_id,
        organisation_id=work.state.organisation_id,
        name=name,
        prefix=change.prefix,
        sha256=change.sha256,
        created_at=work.now,
        created_by=work.author,
        expires_at=change.expires_at,
    )
    work.writer.audit_tokens.put(token)
    expires = () if token.expires_at is None else (FieldChange("expires_at", None, _said(token.expires_at)),)
    _record(work, "token.created", token, *expires)


def revoke_audit_token(work: Work, change: RevokeAuditToken) -> None:
    """End a token at once. One that has ended already is left as it is."""
    _check_speaker(work)
    token = _find(work, change.token_id)
    if token.is_live(work.now):
        work.writer.audit_tokens.put(replace(token, revoked_at=work.now))
        _record(work, "token.revoked", token)


def open_audit_session(work: Work, change: OpenAuditSession) -> None:
    """Let a page read by the token. Raises Refusal where the token has ended meanwhile."""
    token = _find(work, change.token_id)
    ends_at = min(change.expires_at, work.now + LONGEST_SESSION, token.expires_at or change.expires_at)
    if not token.is_live(work.now) or len(change.sha256) != _DIGEST_BYTES:
        raise Refusal(RefusalCode.NOT_ALLOWED, f"the token '{token.name}' is not good any more")
    work.writer.audit_tokens.open_session(token.token_id, change.sha256, work.now, ends_at)
    work.ledger.record(
        "log.read", (Target(TARGET, token.token_id),), (FieldChange("query", None, "sign-in"),)
    )


AUDIT_TOKEN_HANDLERS: Mapping[type, Callable[[Work, Any], None]] = MappingProxyType(
    {
        PutAuditToken: put_audit_token,
        RevokeAuditToken: revoke_audit_token,
        OpenAuditSession: open_audit_session,
    }
)
"""One handler for each kind of statement."""


def _check_speaker(work: Work) -> None:
    if not isinstance(work.command.actor, AdminActor | SystemActor):
        raise Refusal(
            RefusalCode.NOT_ALLOWED,
            "tokens for auditors are made and revoked by an administrator or the operator",
        )


def _find(work: Work, token_id: str) -> StoredAuditToken:
    found = next((token for token in work.writer.audit_tokens.all() if token.token_id == token_id), None)
    if found is None:
        raise Refusal(
            RefusalCode.NOT_FOUND, f"there is no token '{token_id}' for auditors in this organisation"
        )
    return found


def _record(work: Work, action: str, token: StoredAuditToken, *changes: FieldChange) -> None:
    said = (FieldChange("name", None, token.name), FieldChange("prefix", None, token.prefix))
    work.ledger.record(
        action, (Target(TARGET, token.token_id),), (*said, FieldChange("kind", None, KIND), *changes)
    )


def _said(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
