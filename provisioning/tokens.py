"""Bearer tokens of SCIM directories: made, ended and announced. What lets somebody in never comes here."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

from audit.actors import AdminActor, ApiKeyActor, SystemActor
from audit.events import FieldChange, Target
from directory.changes import NoteTokenEnding, PutToken, RevokeToken
from provisioning.errors import Refusal, RefusalCode
from provisioning.resources import StoredToken
from provisioning.work import PUSHED, Work

MOST_LIVE_TOKENS = 10
"""Live tokens of one directory. Two at once are normal while one takes over from the other."""

_PREFIX = re.compile(r"[a-z0-9_]{8,24}", re.ASCII)
_DIGEST_BYTES = 32
_MOST_LETTERS = 200


def is_live(token: StoredToken, now: datetime) -> bool:
    """Whether the token opens its directory."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def put_token(work: Work, change: PutToken) -> None:
    """Store a new token. Saying it twice changes nothing; another token under its id is refused."""
    if not isinstance(work.command.actor, AdminActor | ApiKeyActor | SystemActor):
        raise Refusal(RefusalCode.NOT_ALLOWED, "a token is created by an administrator or the operator")
    directory = next(
        (known for known in work.writer.directories() if known.directory_id == change.directory_id), None
    )
    if directory is None:
        raise Refusal(
            RefusalCode.NOT_FOUND, f"there is no directory '{change.directory_id}' in this organisation"
        )
    if directory.kind != PUSHED:
        raise _invalid(
            f"directory '{directory.name}' is of the kind {directory.kind}, which is read by Usher; only a SCIM "
            "directory is pushed to with a token"
        )
    known = work.writer.tokens()
    same = next((token for token in known if token.token_id == change.token_id), None)
    if same is not None:
        if (same.directory_id, same.sha256) == (change.directory_id, change.sha256):
            return
        raise _invalid(f"there is a token '{change.token_id}' that is another one; use a new id")
    _check_form(change)
    if change.expires_at is not None and change.expires_at <= work.now:
        raise _invalid(
            f"the token would have ended at {_said(change.expires_at)} already; give a moment to come"
        )
    live = [
        token for token in known if token.directory_id == change.directory_id and is_live(token, work.now)
    ]
    if len(live) >= MOST_LIVE_TOKENS:
        raise _invalid(
            f"directory '{directory.name}' has {len(live)} live tokens, the most there may be; revoke one first"
        )
    token = StoredToken(
        token_id=change.token_id,
        organisation_id=work.state.organisation_id,
        directory_id=change.directory_id,
        name=change.name.strip(),
        prefix=change.prefix,
        sha256=change.sha256,
        created_at=work.now,
        created_by=work.author,
        expires_at=change.expires_at,
        revoked_at=None,
        last_used_at=None,
        last_used_from="",
        noticed_days=None,
    )
    work.writer.put_token(token)
    _record(work, "token.created", token, (None, token.expires_at))


def _check_form(change: PutToken) -> None:
    if not change.name.strip() or len(change.name) > _MOST_LETTERS:
        raise _invalid(f"a token needs a name of at most {_MOST_LETTERS} letters")
    if not _PREFIX.fullmatch(change.prefix) or len(change.sha256) != _DIGEST_BYTES:
        raise _invalid("a token has a prefix of 8 to 24 small letters, digits and '_', and a SHA-256 digest")


def revoke_token(work: Work, change: RevokeToken) -> None:
    """End a token, at once or at a moment to come. One that has ended already is left as it is."""
    token = _token(work, change.token_id)
    ends_at = change.ends_at
    if not is_live(token, work.now):
        return
    if ends_at is None or ends_at <= work.now:
        work.writer.put_token(replace(token, revoked_at=work.now))
        _record(work, "token.revoked", token)
    elif token.expires_at is None or ends_at < token.expires_at:
        work.writer.put_token(replace(token, expires_at=ends_at, noticed_days=None))
        _record(work, "token.revoked", token, (token.expires_at, ends_at))


def note_token_ending(work: Work, change: NoteTokenEnding) -> None:
    """Write down that a token ends soon, unless that was written for as few days already."""
    token = _token(work, change.token_id)
    if (
        token.expires_at is None
        or not is_live(token, work.now)
        or token.expires_at > work.now + timedelta(days=change.days)
        or (token.noticed_days is not None and token.noticed_days <= change.days)
    ):
        return
    work.writer.put_token(replace(token, noticed_days=change.days))
    _record(
        work,
        "token.expiring",
        token,
        (None, token.expires_at),
        FieldChange("days", None, change.days),
    )


def _token(work: Work, token_id: str) -> StoredToken:
    found = next((token for token in work.writer.tokens() if token.token_id == token_id), None)
    if found is None:
        raise Refusal(RefusalCode.NOT_FOUND, f"there is no token '{token_id}' in this organisation")
    return found


def _record(
    work: Work,
    action: str,
    token: StoredToken,
    ends: tuple[datetime | None, datetime | None] = (None, None),
    *further: FieldChange,
) -> None:
    said = (
        FieldChange("name", None, token.name),
        FieldChange("prefix", None, token.prefix),
        FieldChange("directory_id", None, token.directory_id),
        *further,
    )
    before, after = ends
    if after is not None:
        said = (*said, FieldChange("expires_at", None if before is None else _said(before), _said(after)))
    targets = (Target("token", token.token_id), Target("directory", token.directory_id, role="object"))
    work.ledger.record(action, targets, said)


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
