"""Opens the database for a process: with its key, at the right version, made anew where that was asked for.

A key is made on the first start only. Once anything is stored, a missing key is a fault: a new one opens nothing.
"""

import os
from contextlib import ExitStack
from pathlib import Path

from provisioning.ports import Clock
from service.errors import FileAccessError, MissingKeyError
from service.key_file import KeyFileWatch
from service.log_keys import log_name, make_log_key
from service.settings import Settings
from service.wiring import Wiring, utc_now, wire
from storage.errors import OutdatedDatabaseError
from storage.migrate import check_version, upgrade
from storage.sealing import SQLSealing
from storage.secrets import KeyRing, load_key_ring, make_key_ring_text
from storage.service_lock import hold_service_lock

_FIRST_KEY = "k1"
_OWNER_ONLY = 0o600
_FOLDER_OF_OWNER = 0o700


def open_database_as_is(settings: Settings, *, clock: Clock = utc_now) -> Wiring:
    """Open a database that is set up already. Nothing is made, upgraded or written.

    Raises: OutdatedDatabaseError, NewerDatabaseError, MissingKeyError, or what keeps the database from being read.
    """
    ring = load_ring(settings)
    wiring = wire(settings, ring or _provisional_ring(), clock=clock)
    file = wiring.database.file
    if file is not None and not file.exists():
        raise OutdatedDatabaseError(
            f"there is no database at {file} yet; make one with 'usher db upgrade', or look around with 'usher demo'"
        )
    check_version(wiring.database)
    if ring is None:
        raise _missing_key(settings)
    return wiring


def open_and_upgrade(settings: Settings, *, clock: Clock = utc_now) -> Wiring:
    """Open the database, making or upgrading what it needs: folders, key, tables."""
    with ExitStack() as stack:
        wiring = _open_and_upgrade(settings, clock, stack, is_service=False)
        stack.pop_all()
    return wiring


def open_for_service(settings: Settings, stack: ExitStack, *, clock: Clock = utc_now) -> Wiring:
    """The same for a process that stays. The stack closes it, and lets go of the one service's lock on a SQLite file.

    The lock comes before the upgrade, so that a new release never changes tables under a service that runs.
    """
    return _open_and_upgrade(settings, clock, stack, is_service=True)


def _open_and_upgrade(settings: Settings, clock: Clock, stack: ExitStack, *, is_service: bool) -> Wiring:
    make_folder(settings.data, mode=_FOLDER_OF_OWNER)
    make_folder(settings.exports)
    ring = load_ring(settings)
    text = make_key_ring_text(_FIRST_KEY)
    fresh = load_key_ring(text, changed=KeyFileWatch(settings.key_file))
    wiring = stack.enter_context(wire(settings, ring or fresh, clock=clock))
    if is_service:
        stack.enter_context(hold_service_lock(wiring.database))
    upgrade(wiring.database)
    _ensure_log_key(wiring)
    if ring is not None:
        return wiring
    if wiring.store.organisations():
        raise _missing_key(settings)
    if write_key(settings.key_file, text):
        return wiring
    # Another process was quicker; its key is the key.
    stack.close()
    return _open_and_upgrade(settings, clock, stack, is_service=is_service)


def _ensure_log_key(wiring: Wiring) -> None:
    """Make the key that signs the log, unless something is signed: then the key there was is needed, not another."""
    settings = wiring.settings
    if not settings.log_key_file.exists() and not SQLSealing(wiring.database).log_keys():
        write_key(settings.log_key_file, make_log_key(log_name(settings)))


def load_ring(settings: Settings) -> KeyRing | None:
    """The key ring of the settings, or of the key file; None when there is neither. Raises KeyRingError."""
    if settings.secret_key:
        return load_key_ring(settings.secret_key)
    try:
        text = settings.key_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as err:
        raise FileAccessError(
            f"the key file {settings.key_file} cannot be read ({err.strerror}); give this user the right to read it"
        ) from err
    return load_key_ring(text, changed=KeyFileWatch(settings.key_file))


def write_key(path: Path, text: str) -> bool:
    """Write a key file that only its owner may read; False when there is one already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        return False
    except OSError as err:
        raise _unwritable(path, err) from err
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return True


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those above it, unless it is there; the process's mask takes from the mode."""
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
    except OSError as err:
        raise _unwritable(path, err) from err


def _unwritable(path: Path, err: OSError) -> FileAccessError:
    return FileAccessError(
        f"'{path}' cannot be written ({err.strerror}); give this user the right to write there, or set USHER_DATA"
    )


def _provisional_ring() -> KeyRing:
    return load_key_ring(make_key_ring_text(_FIRST_KEY))


def _missing_key(settings: Settings) -> MissingKeyError:
    return MissingKeyError(
        f"the database holds sealed values, but there is no key at {settings.key_file}; restore the key file from "
        "your backup, or set USHER_SECRET_KEY or USHER_SECRET_KEY_FILE"
    )
