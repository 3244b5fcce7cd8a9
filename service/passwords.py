"""Passwords of directories, each in a file of its own; settings hold the file's name only."""

import re
from pathlib import Path

from sync.errors import LDAPSettingsError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_password(folder: Path, name: str) -> str:
    """The password in the file `name` of the folder, without the line's end.

    Raises: LDAPSettingsError, which never shows what the file holds.
    """
    if not _NAME.fullmatch(name):
        raise LDAPSettingsError(f"'{name}' is no name of a password; give the name of a file in {folder}")
    try:
        return (folder / name).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
        raise LDAPSettingsError(f"the password '{name}' cannot be read from {folder}: {reason}") from None
