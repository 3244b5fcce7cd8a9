"""The file of the service's key ring: followed while the service runs, and changed whole or not at all."""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from service.errors import FileAccessError
from storage.errors import KeyRingError
from storage.secrets import KeyRing, load_key_ring, make_key_ring_text

_OWNER_ONLY = 0o600
_NUMBERED = re.compile(r"k([0-9]{1,9})")


class KeyFileWatch:
    """Gives the ring when the file is another than at the last question. A file that cannot be used is passed over:
    the process goes on with the keys it has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = os.fspath(path)
        self._seen: tuple[int, int, int] | None = None

    def __call__(self) -> KeyRing | None:
        try:
            # Done for each value that is sealed, so without the path's own method, which costs as much again.
            status = os.stat(self._name)
            seen = status.st_ino, status.st_mtime_ns, status.st_size
            if seen == self._seen:
                return None
            ring = load_key_ring(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, KeyRingError):
            return None
        self._seen = seen
        return ring


def fresh_key_id(known: Iterable[str]) -> str:
    """An id that no key has, and none has had that was numbered like it."""
    numbers = [int(found[1]) for key_id in known if (found := _NUMBERED.fullmatch(key_id))]
    return f"k{max(numbers, default=0) + 1}"


def add_key(path: Path, key_id: str) -> None:
    """Put a fresh key in front, where it is the current one. Raises: FileAccessError, KeyRingError."""

    def add(text: str) -> str:
        if key_id in load_key_ring(text).key_ids:
            raise KeyRingError(f"the key ring {path} was changed by another; look at it and try again")
        return make_key_ring_text(key_id) + text

    _change(path, add)


def drop_keys(path: Path, key_ids: Collection[str]) -> None:
    """Take keys out; the current one is never among them. Raises: FileAccessError, KeyRingError."""

    def drop(text: str) -> str:
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if line.strip().partition(":")[0] not in key_ids)

    _change(path, drop)


def _change(path: Path, change: Callable[[str], str]) -> None:
    """Exchange the file for a changed one, for its owner alone; nobody ever finds half of it."""
    # Exchanging a link would leave the file behind it as it is.
    path = path.resolve()
    try:
        with locked_text(path) as text:
            changed = change(text)
            load_key_ring(changed)
            exchange_file(path, changed)
    except OSError as err:
        raise FileAccessError(
            f"the key file {path} cannot be changed ({err.strerror}); give this user the right to write to its folder"
        ) from err


@contextlib.contextmanager
def locked_text(path: Path) -> Iterator[str]:
    """The file's text, while no other command changes it."""
    while True:
        with path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever had the lock before may have put another file in its place.
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield file.read()
                return


def exchange_file(path: Path, text: str) -> None:
    """Put a file in place of one that is there, for the same owner alone, and see it on the disk."""
    owner = path.stat()
    made = path.with_name(f"{path.name}.new")
    # What a command that was cut off has left; it was never in use.
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    made.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
