"""Bearer tokens as an administrator handles them: made, taken over by the next, ended. The text is shown once."""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from directory.changes import PutToken, RevokeToken
from provisioning.resources import StoredToken
from provisioning.state import StoredDirectory
from provisioning.tokens import is_live
from service.administration import Administration
from web.tokens import make_token

_RANDOM_BYTES = 48
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. `text` is what the identity provider gets; nobody can show it again."""

    token: StoredToken
    text: str = field(repr=False)


def issue_token(
    administration: Administration, directory: StoredDirectory, *, name: str, expires_at: datetime | None
) -> IssuedToken:
    """Make a token of the directory. Raises RefusedError."""
    fresh, token_id = make_token(os.urandom(_RANDOM_BYTES)), administration.wiring.mint.id()
    put = PutToken(token_id, directory.directory_id, name, fresh.prefix, fresh.sha256, expires_at)
    administration.apply([put])
    return IssuedToken(_stored(administration, token_id), fresh.text)


def rotate_token(
    administration: Administration,
    old: StoredToken,
    *,
    expires_at: datetime | None = None,
    revoke_old_at: datetime | None = None,
) -> IssuedToken:
    """Make a token in the place of another. Both are good, until the old one is revoked or ends.

    Without an end of its own the new one lives as long as the old one was made for. Raises RefusedError, and then
    neither of the two has changed.
    """
    wiring = administration.wiring
    if expires_at is None and old.expires_at is not None:
        expires_at = wiring.clock() + (old.expires_at - old.created_at)
    fresh, token_id = make_token(os.urandom(_RANDOM_BYTES)), wiring.mint.id()
    put = PutToken(token_id, old.directory_id, old.name, fresh.prefix, fresh.sha256, expires_at)
    ending = [] if revoke_old_at is None else [RevokeToken(old.token_id, revoke_old_at)]
    administration.apply([put, *ending])
    return IssuedToken(_stored(administration, token_id), fresh.text)


def _stored(administration: Administration, token_id: str) -> StoredToken:
    with administration.read() as reader:
        return next(token for token in reader.tokens() if token.token_id == token_id)


def days_left(token: StoredToken, now: datetime) -> int | None:
    """Whole days until the token ends, begun ones counted; None when it has no end or has ended."""
    if token.expires_at is None or not is_live(token, now):
        return None
    return -((now - token.expires_at) // _DAY)


def token_state(token: StoredToken, now: datetime) -> str:
    """What can be said of the token in a word or two."""
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= now:
        return "expired"
    return "live"
