"""`usher directory set-password`, and how every command takes the password of a directory's account."""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click

from directory.changes import PutDirectory, PutDirectorySecret
from provisioning.state import StoredDirectory
from service.administration import Administration
from service.cli.frame import UsherCommand, current, organisation_option
from service.cli.output import clean
from service.errors import InputError, NotFoundError
from service.files import read_text
from service.names import find_directory
from service.passwords import LONGEST, SEALED, check_password, directory_passwords, forget_passwords

Option = Callable[[Callable[..., Any]], Callable[..., Any]]

PASSWORD_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"password_name": "password", "next_password_name": "next_password"}
)
"""Settings that name a password, each with the name under which its password is sealed."""
# `password_set_at` is of earlier releases; now an event says when.
_LEFT_OUT: Final = ("next_password_name", "password_set_at")


def _refuse_password(_context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadParameter(
            "a password in the command line is seen by everybody on this machine and stays in the shell's history; "
            "give it by --password-stdin or --password-file, and change it, since it has been seen now",
            param=parameter,
        )


def stack(*options: Option) -> Option:
    """Several options as one."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


password_options = stack(
    click.option("--password-stdin", is_flag=True, help="Read the account's password from standard input."),
    click.option(
        "--password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Read the account's password from this file; it is stored sealed.",
    ),
    click.option(
        "--password", "_password", hidden=True, expose_value=False, callback=_refuse_password, default=None
    ),
)


def read_given_password(*, password_stdin: bool, password_file: Path | None) -> str | None:
    """The password that is handed in; None when none is."""
    if password_stdin and password_file is not None:
        raise click.UsageError("give --password-stdin or --password-file, not both")
    if password_file is not None:
        return check_password(read_text(password_file))
    if not password_stdin:
        return None
    if sys.stdin.isatty():
        return check_password(str(click.prompt("Password", hide_input=True, err=True)))
    raw = sys.stdin.buffer.read(4 * LONGEST + 2)
    try:
        return check_password(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError(["the password is not UTF-8 text"]) from None


def put_with_passwords(
    administration: Administration, change: PutDirectory, passwords: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Store a directory with new passwords by the settings that name them; forget those that none names any more."""
    settings = dict(change.settings)
    sealed = [
        PutDirectorySecret(change.directory_id, PASSWORD_SETTINGS[setting], password.encode())
        for setting, password in passwords.items()
    ]
    settings.update({setting: SEALED + PASSWORD_SETTINGS[setting] for setting in passwords})
    in_use = {str(settings[setting]) for setting in PASSWORD_SETTINGS if setting in settings}
    unused = [
        PutDirectorySecret(change.directory_id, name, None)
        for name in PASSWORD_SETTINGS.values()
        if SEALED + name not in in_use
    ]
    administration.apply([replace(change, settings=settings), *sealed, *unused])
    forget_passwords(administration.wiring.settings.passwords, change.directory_id, names_in_use=in_use)


@click.command("set-password", cls=UsherCommand)
@click.argument("name")
@click.option(
    "--password-file", type=click.Path(dir_okay=False, path_type=Path), help="Read it from this file."
)
@click.option(
    "--password", "_password", hidden=True, expose_value=False, callback=_refuse_password, default=None
)
@click.option(
    "--next",
    "is_next",
    is_flag=True,
    help="Try it when the present one is refused, until --promote: for a change.",
)
@click.option(
    "--promote", is_flag=True, help="Let the next one take the place of the present one, which is forgotten."
)
@organisation_option
def set_password(name: str, password_file: Path | None, is_next: bool, promote: bool) -> None:
    """Give an LDAP directory the password of its account, from standard input or a file.

    To change it without a failed reading: set the new one with --next, change it at the directory server, then
    --promote. While both are set, a reading may try both.
    """
    call = current()
    administration = call.administration
    if promote and (is_next or password_file is not None):
        raise click.UsageError("--promote takes the password that was set with --next, and no other")
    with administration.read() as reader:
        known = find_directory(reader, name)
    if known.kind != "ldap" or not known.settings.get("bind_dn"):
        raise InputError([f"directory '{known.name}' has no account that a password could be of"])
    if promote:
        _promote(administration, known)
        told = "its next password has taken the place of the old one, which is forgotten"
    else:
        password = read_given_password(password_stdin=password_file is None, password_file=password_file)
        setting = "next_password_name" if is_next else "password_name"
        put_with_passwords(administration, _without_next(known), {setting: password or ""})
        told = (
            "its next password is set; it is tried when the present one is refused"
            if is_next
            else "its password is set"
        )
    call.output.say(
        f"Directory '{clean(known.name)}': {told}. 'usher directory test {shlex.quote(known.name)}' tries it.",
        {"directory": known.name, "id": known.directory_id, "next": is_next, "promoted": promote},
    )


def _without_next(known: StoredDirectory) -> PutDirectory:
    """The directory as it is, but for the password that was to follow."""
    settings = {key: value for key, value in known.settings.items() if key not in _LEFT_OUT}
    return PutDirectory(
        known.directory_id, known.kind, known.name, settings, known.default_role, known.priority
    )


def _promote(administration: Administration, known: StoredDirectory) -> None:
    following = str(known.settings.get("next_password_name", ""))
    if not following:
        raise NotFoundError(f"directory '{known.name}' has no next password; set one with --next")
    change = _without_next(known)
    if not following.startswith(SEALED):
        put_with_passwords(
            administration, replace(change, settings={**change.settings, "password_name": following})
        )
        return
    give = directory_passwords(
        administration.wiring.settings.passwords, administration.unit_of_work, known.directory_id
    )
    put_with_passwords(administration, change, {"password_name": give(following)})
