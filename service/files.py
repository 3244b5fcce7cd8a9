"""Text files that people hand in, and those that come with the product."""

import codecs
from importlib.resources import files
from pathlib import Path

from mappings.catalogue import shipped_catalogues
from service.errors import FileAccessError, InputError

LARGEST_BYTES = 4 * 1024 * 1024


def read_text(path: Path) -> str:
    """Read a UTF-8 file, a byte order mark left out.

    Raises: FileAccessError when it cannot be read, InputError when it is no text or far too long.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as err:
        raise FileAccessError(f"the file '{path}' cannot be read: {err.strerror}") from err
    if len(content) > LARGEST_BYTES:
        raise InputError(
            [f"{path}: longer than {LARGEST_BYTES // 1024 // 1024} MiB; this cannot be the right file"]
        )
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise InputError([f"{path}:{line}: not UTF-8 text; save the file as UTF-8"]) from err


def shipped_catalogue(name: str) -> str | None:
    """The text of a catalogue that comes with the product; None when there is none of this name."""
    if name not in shipped_catalogues():
        return None
    return files("mappings").joinpath("catalogues", f"{name}.yaml").read_text(encoding="utf-8")
