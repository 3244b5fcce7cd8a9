"""Opens an export in the one configured folder, and tells afterwards whether it is the file that was exported.

A file carries no result code. What can be known from outside its content is here: that nobody wrote to it
while it was read, and that it matches the checksum which the exporting job left beside it.
"""

import gzip
import os
import re
import stat
from hashlib import sha256
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from sync.errors import ExportFileError
from sync.ldif_reader import Readable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_NAME: Final = re.compile(r"[^/\\\0]+\.ldif(?:\.gz)?", re.IGNORECASE)
_DIGEST: Final = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_COMPANION_BYTES: Final = 4096
_BUFFER: Final = 1 << 20


class Export:
    """An open export. Read `stream` to its end, ask `doubt` and `is_vouched`, then close it."""

    def __init__(self, path: Path, descriptor: int, checksum: bytes | None) -> None:
        self.name = path.name
        self._path = path
        self._descriptor = descriptor
        self._checksum = checksum
        self._before = _mark(os.fstat(descriptor))
        self._stored = _Stored(descriptor, digested=checksum is not None)
        self._buffered = BufferedReader(self._stored, _BUFFER)
        is_packed = path.name.lower().endswith(".gz")
        self.stream: Readable = gzip.GzipFile(fileobj=self._buffered) if is_packed else self._buffered

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def doubt(self, *, checksum_required: bool) -> str | None:
        """Why the file may not be what was exported; None when nothing speaks against it."""
        if self._checksum is None and checksum_required:
            return f"'{self.name}.sha256' is required and missing"
        if self._checksum is not None and not self.is_vouched():
            return f"the content does not match '{self.name}.sha256'"
        try:
            # The name may lead to another file by now, or the open file may have grown.
            after = {_mark(os.stat(self._path)), _mark(os.fstat(self._descriptor))}
        except OSError:
            return "the file was removed while it was read"
        return None if after == {self._before} else "the file changed while it was read"

    def is_vouched(self) -> bool:
        """Whether a checksum stands beside the file and what was read matches it."""
        while self._buffered.read(_BUFFER):
            pass
        return self._checksum is not None and self._stored.digest() == self._checksum


def open_export(folder: Path, name: str) -> Export:
    """Open the export `name` (`.ldif`, or `.ldif.gz`) in `folder`; its checksum is `name` with `.sha256` behind it.

    Raises: ExportFileError when the name has path parts or another ending, leads out of the folder, is no
    regular file, or cannot be opened.
    """
    if not _NAME.fullmatch(name):
        message = (
            f"'{name}' is no name of an export; give the name of a .ldif or .ldif.gz file without its folder"
        )
        raise ExportFileError(message, name=name)
    descriptor = _open_within(folder, name)
    if descriptor is None:
        message = f"there is no export '{name}' in the configured folder; export it there or correct the name"
        raise ExportFileError(message, name=name)
    try:
        return Export(folder / name, descriptor, _read_checksum(folder, f"{name}.sha256"))
    except ExportFileError:
        os.close(descriptor)
        raise


def _read_checksum(folder: Path, name: str) -> bytes | None:
    """The digest that a companion names; empty, and so never matched, when it holds none."""
    descriptor = _open_within(folder, name)
    if descriptor is None:
        return None
    try:
        found = _DIGEST.search(os.read(descriptor, _COMPANION_BYTES))
    finally:
        os.close(descriptor)
    return b"" if found is None else found[0].lower()


def _open_within(folder: Path, name: str) -> int | None:
    """A descriptor of the regular file `name` in `folder`; None when there is none of this name."""
    try:
        # Not Path.resolve, which leaves its errors at links that lead in a circle.
        real = Path(os.path.realpath(folder / name, strict=True))
        if not real.is_relative_to(os.path.realpath(folder, strict=True)):
            message = f"'{name}' is a link that leads out of the configured folder; put the file itself there"
            raise ExportFileError(message, name=name)
        # The last part must not have become a link since, and a pipe must not keep the reader waiting.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise ExportFileError(f"'{name}' cannot be opened: {err.strerror}", name=name) from err
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ExportFileError(f"'{name}' is no regular file", name=name)
    return descriptor


def _mark(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _Stored(RawIOBase):
    """The bytes as they stand in the file, digested while they are read."""

    def __init__(self, descriptor: int, *, digested: bool) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._digest = sha256() if digested else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        count = os.readv(self._descriptor, [buffer])
        if self._digest is not None:
            self._digest.update(memoryview(buffer)[:count])
        return count

    def digest(self) -> bytes:
        return b"" if self._digest is None else self._digest.hexdigest().encode("ascii")
