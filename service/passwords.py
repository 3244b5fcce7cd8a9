"""Passwords of directories: sealed in the database, or each in a file of its own. Settings hold their names only."""

import re
from collections.abc import Collection
from pathlib import Path

from directory.ids import DirectoryId
from provisioning.ports import UnitOfWork
from service.errors import InputError
from storage.errors import SealError
from sync.errors import LDAPSettingsError
from sync.run import Passwords

LONGEST = 1024
SEALED = "sealed:"
"""How a setting begins that names a secret in the database; no file is called so."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def directory_passwords(folder: Path, unit_of_work: UnitOfWork, directory_id: DirectoryId) -> Passwords:
    """Gives the passwords that the directory's settings name, each read when it is asked for and kept nowhere."""

    def give(name: str) -> str:
        if not name.startswith(SEALED):
            return read_password(folder, name)
        return _read_sealed(unit_of_work, directory_id, name.removeprefix(SEALED))

    return give


def _read_sealed(unit_of_work: UnitOfWork, directory_id: DirectoryId, name: str) -> str:
    try:
        with unit_of_work.read() as reader:
            secret = reader.secret(directory_id, name)
    except SealError as error:
        raise LDAPSettingsError(
            f"the account's password ('{name}') cannot be opened: {error}; or set it again with 'usher directory "
            "set-password'"
        ) from None
    if secret is None:
        raise LDAPSettingsError(
            f"the account's password ('{name}') is not stored, or was changed just now; if it stays so, set it with "
            "'usher directory set-password'"
        )
    return secret.decode()


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


def forget_passwords(folder: Path, directory_id: DirectoryId, *, names_in_use: Collection[str]) -> None:
    """Remove the files that earlier releases made for the directory and that its settings name no more."""
    for path in folder.glob(f"{directory_id}.*"):
        if path.name not in names_in_use:
            path.unlink(missing_ok=True)
