"""Tokens of auditors as an administrator handles them: made, found by name, ended. The text is shown once."""

import os
from dataclasses import dataclass, field
from datetime import datetime

from directory.audit_token_changes import PutAuditToken
from directory.facts import name_key
from provisioning.audit_tokens import StoredAuditToken
from provisioning.ports import Reader
from service.administration import Administration
from service.errors import AmbiguousNameError, NotFoundError
from web.tokens import AUDIT, make_token

_RANDOM_BYTES = 48


@dataclass(frozen=True, slots=True)
class IssuedAuditToken:
    """A new token. `text` is what the auditor gets; nobody can show it again."""

    token: StoredAuditToken
    text: str = field(repr=False)


def issue_audit_token(
    administration: Administration, *, name: str, expires_at: datetime | None
) -> IssuedAuditToken:
    """Make a token that reads the organisation's record. Raises RefusedError."""
    fresh, token_id = make_token(os.urandom(_RANDOM_BYTES), AUDIT), administration.wiring.mint.id()
    administration.apply([PutAuditToken(token_id, name, fresh.prefix, fresh.sha256, expires_at)])
    with administration.read() as reader:
        token = next(one for one in reader.audit_tokens.all() if one.token_id == token_id)
    return IssuedAuditToken(token, fresh.text)


def find_audit_token(reader: Reader, text: str) -> StoredAuditToken:
    """By id or prefix, or by name; of several of one name the live one. Raises NotFoundError, AmbiguousNameError."""
    known = reader.audit_tokens.all()
    found = [one for one in known if text.lower() in {one.token_id, one.prefix}]
    found = found or [one for one in known if name_key(one.name) == name_key(text)]
    live = [one for one in found if one.revoked_at is None]
    found = live or found[-1:]
    if not found:
        raise NotFoundError(
            f"there is no token '{text}' for auditors; list them with 'usher audit token list'"
        )
    if len(found) > 1:
        raise AmbiguousNameError("token", text, [f"{one.name} ({one.prefix})" for one in found])
    return found[0]


def audit_token_state(token: StoredAuditToken, now: datetime) -> str:
    """What can be said of the token in a word."""
    return "revoked" if token.revoked_at is not None else "live" if token.is_live(now) else "expired"
