"""Passwords of directories, each in a file of its own; settings hold the file's name only."""

import os
import re
from collections.abc import Collection
from pathlib import Path

from directory.ids import DirectoryId
from service.errors import FileAccessError, InputError
from sync.errors import LDAPSettingsError

LONGEST = 1024
_OWNER_ONLY = 0o600
_FOLDER_OF_OWNER = 0o700
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


def check_password(text: str) -> str:
    """The password as it was handed in, without the line's end. Raises InputError, which never shows it."""
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise InputError(["the password is empty; a server would let anybody in as nobody"])
    if len(password) > LONGEST or any(letter in password for letter in "\n\r\0"):
        raise InputError([f"the password is no single line of at most {LONGEST} characters"])
    return password


def store_password(
    folder: Path, directory_id: DirectoryId, password: str, *, names_in_use: Collection[str]
) -> str:
    """Write the password to a new file that its owner alone may read. Returns the file's name.

    The files in use stay as they are, so that whoever reads one meanwhile finds it whole.
    """
    name = next(
        candidate
        for number in range(1, len(names_in_use) + 2)
        if (candidate := f"{directory_id}.{number}") not in names_in_use
    )
    try:
        folder.mkdir(mode=_FOLDER_OF_OWNER, parents=True, exist_ok=True)
        # What a command that was cut off has left; nobody reads it.
        (folder / name).unlink(missing_ok=True)
        with open(folder / name, "x", encoding="utf-8", opener=_open_for_owner) as file:
            file.write(password)
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        raise FileAccessError(
            f"the password cannot be written to '{folder / name}' ({err.strerror}); give this user the right to"
        ) from err
    return name


def forget_passwords(folder: Path, directory_id: DirectoryId, *, names_in_use: Collection[str]) -> None:
    """Remove the files that `store_password` made for the directory and that its settings name no more."""
    for path in folder.glob(f"{directory_id}.*"):
        if path.name not in names_in_use:
            path.unlink(missing_ok=True)


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)
