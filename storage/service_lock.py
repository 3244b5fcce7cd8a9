"""One service on one SQLite file. Commands beside a running service take no such lock and wait for their turn."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from storage.engine import Database
from storage.errors import DatabaseLockedError
from storage.translation import translate_os_error


@contextlib.contextmanager
def hold_service_lock(database: Database) -> Iterator[None]:
    """Hold `<file>.lock` while the service runs; raises DatabaseLockedError when another service does.

    The operating system lets go of it however the process ends, so a lock file that is left behind means nothing.
    PostgreSQL serves any number of services: there it does nothing.
    """
    if database.file is None:
        yield
        return
    file = database.file.resolve()
    path = file.with_name(f"{file.name}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise translate_os_error(err, database.address) from err
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            raise DatabaseLockedError(
                f"another Usher service (process {holder}) runs on {database.file}; SQLite serves one process: "
                "stop that service, or move to PostgreSQL to run several"
            ) from err
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
