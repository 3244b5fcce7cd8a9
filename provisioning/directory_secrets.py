"""Secrets of pulled directories: put and forgotten. What one is is stored sealed, and said nowhere."""

import re

from audit.actors import AdminActor, ApiKeyActor, SystemActor
from audit.events import FieldChange, Target
from directory.changes import PutDirectorySecret
from provisioning.errors import Refusal, RefusalCode
from provisioning.work import PUSHED, Work

LONGEST_SECRET = 8192
"""Bytes of a secret; a private key fits."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


def put_directory_secret(work: Work, change: PutDirectorySecret) -> None:
    """Store a secret, or forget it. A new one is an event each time: what is stored is not opened to compare."""
    if not isinstance(work.command.actor, AdminActor | ApiKeyActor | SystemActor):
        raise Refusal(
            RefusalCode.NOT_ALLOWED, "a directory's secret is set by an administrator or the operator"
        )
    directory = next(
        (known for known in work.writer.directories() if known.directory_id == change.directory_id), None
    )
    if directory is None:
        raise Refusal(
            RefusalCode.NOT_FOUND, f"there is no directory '{change.directory_id}' in this organisation"
        )
    if directory.kind == PUSHED:
        raise _invalid(f"directory '{directory.name}' is pushed to with a token; it has no secret of its own")
    if not _NAME.fullmatch(change.name):
        raise _invalid(f"'{change.name}' is no name of a secret: small letters, digits and '_', at most 40")
    if change.secret is None:
        if not work.writer.delete_secret(change.directory_id, change.name):
            return
    elif not 0 < len(change.secret) <= LONGEST_SECRET:
        raise _invalid(f"a secret has 1 to {LONGEST_SECRET} bytes, not {len(change.secret)}")
    else:
        work.writer.put_secret(change.directory_id, change.name, change.secret, work.now)
    work.ledger.record(
        "directory.secret_changed",
        (Target("directory", change.directory_id),),
        (
            FieldChange("name", None, directory.name),
            FieldChange("secret_name", None, change.name),
            FieldChange("state", None, "forgotten" if change.secret is None else "set"),
        ),
    )


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
