"""The sealer as a job: whoever has the lease seals what waits, and remembers outside of the database what it signed.

Checkpoints leave by the database alone, behind the commit that they are part of, and nothing is sent from here.
"""

import os
import socket
from datetime import datetime, timedelta
from typing import Final

import structlog

from audit.checkpoint import Checkpoint, parse_checkpoint, split_note
from audit.errors import NoteError
from provisioning.sealing import SealStatus
from service.errors import FileAccessError, ServiceError
from service.key_file import exchange_file
from service.log_keys import load_log_keys
from service.settings import Settings
from service.wiring import Wiring
from storage.errors import LogForkedError, LogKeyMissingError
from storage.sealing import SQLSealing

SEAL_SECONDS: Final = 0.5
"""How often it is looked for events that wait."""

ALARM_AFTER: Final = timedelta(seconds=10)
"""A committed event that waits longer than this has something in its way."""

_LEASE: Final = timedelta(seconds=5)
_EVENTS_AT_ONCE: Final = 5_000
_WATCH_EVERY: Final = timedelta(seconds=5)
_TELL_EVERY: Final = timedelta(seconds=60)
_OWNER_ONLY: Final = 0o600

_log = structlog.get_logger("usher.sealer")


def seal_lag(status: SealStatus, now: datetime) -> timedelta:
    """How long the earliest event has waited for its place in the log."""
    if status.oldest_unsealed is None:
        return timedelta(0)
    return max(now - status.oldest_unsealed, timedelta(0))


class Sealer:
    """Seals for one process. `seal` is the job; `drain` is the same and raises what keeps it from sealing."""

    def __init__(
        self, wiring: Wiring, *, events_at_once: int = _EVENTS_AT_ONCE, owner: str | None = None
    ) -> None:
        self._wiring = wiring
        self._sealing = SQLSealing(wiring.database)
        self._events_at_once = events_at_once
        self._owner = owner or f"{socket.gethostname()}:{os.getpid()}:{wiring.mint.id()[-12:]}"
        self._fence: int | None = None
        self._watched_at: datetime | None = None
        self._told_at: datetime | None = None
        self._trouble = ""

    def seal(self) -> int:
        """Seal what waits; how many events. What keeps it from sealing is told once, and by the alarm."""
        sealed = 0
        try:
            sealed = self.drain()
        except (LogForkedError, LogKeyMissingError, ServiceError) as error:
            if self._trouble != str(error):
                _log.error("the log is not sealed", reason=str(error))
            self._trouble = str(error)
        else:
            self._trouble = ""
        self._watch()
        return sealed

    def drain(self) -> int:
        """Seal until nothing more waits that can be sealed; how many events. Nothing while another has the lease."""
        if not self._sealing.has_unsealed():
            return 0
        settings, clock = self._wiring.settings, self._wiring.clock
        signers = load_log_keys(settings).signers
        head = read_head(settings)
        sealed = 0
        is_renewed = False
        while True:
            now = clock()
            if self._fence is None:
                self._fence = self._sealing.claim(self._owner, now, now + _LEASE)
                is_renewed = True
            if self._fence is None:
                return sealed
            batch = self._sealing.seal_batch(
                self._fence, signers, head, at=now, lease_until=now + _LEASE, limit=self._events_at_once
            )
            if batch is None:
                self._fence = None
                if is_renewed:
                    return sealed
                continue
            if batch.head:
                head = keep_head(settings, batch.head)
            sealed += batch.events
            if batch.is_drained:
                return sealed

    def stop(self) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        if self._fence is not None:
            self._sealing.release(self._fence)
            self._fence = None

    def _watch(self) -> None:
        now = self._wiring.clock()
        if self._watched_at is not None and timedelta(0) <= now - self._watched_at < _WATCH_EVERY:
            return
        self._watched_at = now
        status = self._sealing.status()
        lag = seal_lag(status, now)
        if lag <= ALARM_AFTER:
            self._told_at = None
            return
        if self._told_at is None or now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            _log.warning(
                "events wait to be sealed",
                lag_seconds=round(lag.total_seconds(), 1),
                events=status.unsealed,
                sealer=status.owner,
                reason=self._trouble or "look for a transaction that has been open for long",
            )


def read_head(settings: Settings) -> Checkpoint | None:
    """What was last signed from the database, by this process or another beside it. Raises FileAccessError."""
    path = settings.log_head_file
    try:
        return parse_checkpoint(split_note(path.read_text(encoding="utf-8"))[0])
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, NoteError) as err:
        raise FileAccessError(
            f"the file {path}, which holds what was last signed, cannot be read; restore it from your backup, or say "
            "'usher audit declare-restore'"
        ) from err


def keep_head(settings: Settings, note: str) -> Checkpoint:
    """Remember what was last signed, on the disk, before anything else is signed."""
    path = settings.log_head_file
    try:
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, _OWNER_ONLY))
        exchange_file(path, note)
    except OSError as err:
        raise FileAccessError(
            f"the file {path} cannot be written ({err.strerror}); give this user the right to write to its folder"
        ) from err
    return parse_checkpoint(split_note(note)[0])
