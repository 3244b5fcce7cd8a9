"""`usher directory add-ldap`, `test` and `preview`: directory servers, from the first look on."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from directory.changes import PutDirectory
from directory.facts import UserFacts
from directory.ids import DirectoryId, RoleId
from provisioning.models import read_model
from service.administration import Administration
from service.cli.changing import preview_document, show_people
from service.cli.directory_password import (
    PASSWORD_SETTINGS,
    Option,
    password_options,
    put_with_passwords,
    read_given_password,
    set_password,
    stack,
)
from service.cli.exits import OUTSIDE, REFUSED
from service.cli.frame import Invocation, UsherCommand, current, organisation_option
from service.cli.output import clean
from service.cli.values import GUARD_HELP, parse_guards, seats_text
from service.directories import OTHER_SETTINGS, LDAPDirectory, ldap_directory_settings
from service.directory_preview import preview_directory
from service.errors import InputError
from service.ldap_examination import Examination, examine_directory
from service.names import find_directory, find_role
from service.passwords import directory_passwords, read_password
from service.wiring import utc_now
from sync.dialects import DIALECTS
from sync.errors import DialectError, LDAPSettingsError
from sync.ldap_settings import StoredSettings, TLSMode
from sync.run import Passwords

# How the options are called by which the settings are given.
_OPTIONS: Final[Mapping[str, str]] = {
    "servers": "--server",
    "tls": "--tls",
    "ca_file": "--ca-file",
    "bind_dn": "--bind-dn",
    "user_bases": "--user-base",
    "group_bases": "--group-base",
    "user_filter": "--user-filter",
    "group_filter": "--group-filter",
    "id_attribute": "--id-attribute",
    "page_size": "--page-size",
}


def _connection_options(*, is_required: bool) -> Option:
    """What says which server is read, and how."""
    return stack(
        click.option(
            "--server",
            "servers",
            multiple=True,
            required=is_required,
            metavar="URL",
            help="ldaps://HOST[:PORT], or ldap:// for StartTLS. Several are tried in their order.",
        ),
        click.option(
            "--tls",
            type=click.Choice([mode.value for mode in TLSMode]),
            help="How the connection is made safe; plain is for this machine alone. Default: as the URL says.",
        ),
        click.option(
            "--ca-file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Certificates of the authorities that may vouch for the server. Default: this machine's.",
        ),
        click.option(
            "--bind-dn", default="", metavar="DN", help="The account that reads. Default: anonymous."
        ),
        password_options,
        click.option(
            "--password-name",
            default="",
            metavar="NAME",
            help="A file in USHER_DATA/passwords that others keep up, such as a mounted secret, in place of a "
            "password that is stored.",
        ),
        click.option(
            "--user-base",
            "user_bases",
            multiple=True,
            required=is_required,
            metavar="DN",
            help="Where people stand.",
        ),
        click.option(
            "--group-base",
            "group_bases",
            multiple=True,
            metavar="DN",
            help="Where groups stand. Default: where people stand.",
        ),
        click.option(
            "--dialect",
            type=click.Choice(DIALECTS),
            required=is_required,
            help="The kind of server." + ("" if is_required else " Default: what the server looks like."),
        ),
        click.option(
            "--user-filter", default="", metavar="FILTER", help="Who of them. Default: the dialect's people."
        ),
        click.option(
            "--group-filter",
            default="",
            metavar="FILTER",
            help="Which of them. Default: the dialect's groups.",
        ),
        click.option("--id-attribute", default="", help="The attribute that identifies an entry for good."),
        click.option(
            "--page-size", type=click.IntRange(1, 10_000), help="Entries of one page. Default: 500."
        ),
        click.option(
            "--set",
            "others",
            multiple=True,
            metavar="NAME=VALUE",
            help=f"A further setting: {', '.join(sorted(OTHER_SETTINGS))}, or map_FACT for the attribute of a fact.",
        ),
    )


@contextmanager
def _named_options() -> Iterator[None]:
    """Tell a setting that cannot be used by the option that gave it."""
    try:
        yield
    except LDAPSettingsError as error:
        option = _OPTIONS.get(error.setting, "--set" if error.setting else None)
        raise click.BadParameter(str(error), param_hint=option) from error
    except DialectError as error:
        raise click.BadParameter(str(error), param_hint=["--dialect", "--id-attribute", "--set"]) from error


def _parse_others(others: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for other in others:
        name, equals, text = other.partition("=")
        if not equals:
            raise click.BadParameter(f"'{name}' is given no value; write NAME=VALUE", param_hint="--set")
        found[name] = text
    return found


@click.command("add-ldap", cls=UsherCommand)
@click.argument("name")
@_connection_options(is_required=True)
@click.option(
    "--interval", type=click.IntRange(5, 604_800), help="Seconds between two readings; by hand only without."
)
@click.option("--default-role", help="Role of people whom no rule matches; without it they get no access.")
@click.option("--priority", type=click.IntRange(0, 10_000), default=100, show_default=True)
@click.option(
    "--grace",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Complete readings that miss a person before the person is deactivated.",
)
@click.option("--guard", "guards", multiple=True, metavar="LIMIT=NUMBER", help=GUARD_HELP)
@click.option(
    "--replace", "is_change", is_flag=True, help="Change the directory of this name instead of adding one."
)
@organisation_option
def add_ldap(
    name: str,
    password_stdin: bool,
    password_file: Path | None,
    password_name: str,
    interval: int | None,
    default_role: str | None,
    priority: int,
    grace: int,
    guards: tuple[str, ...],
    is_change: bool,
    **connection: Any,  # noqa: ANN401 - the options that this command shares with `test`, as click gives them
) -> None:
    """Add a directory server that is read over LDAP, on a schedule or by hand.

    Look at it first with 'usher directory test' and the same options. With --replace every option is said again; the
    password stays as it is when none is given.
    """
    call = current()
    administration = call.administration
    folder = call.settings.passwords
    password = read_given_password(password_stdin=password_stdin, password_file=password_file)
    with administration.read() as reader:
        known = find_directory(reader, name) if is_change else None
        role: RoleId | None = (
            find_role(read_model(reader, reader.organisation()), default_role) if default_role else None
        )
    directory_id = known.directory_id if known else DirectoryId(administration.wiring.mint.id())
    kept = {key: str(known.settings.get(key, "")) for key in PASSWORD_SETTINGS} if known else {}
    directory = replace(
        _directory(connection),
        password_name=password_name or kept.get("password_name", ""),
        next_password_name="" if password_name or password else kept.get("next_password_name", ""),
        interval_seconds=interval,
        absence_grace_runs=grace,
        guard=parse_guards(guards),
    )
    # Everything else is checked before the password is stored anywhere.
    with _named_options():
        settings = ldap_directory_settings(directory, now=administration.wiring.clock())
    _check_account(directory, password, password_name, folder)
    put_with_passwords(
        administration,
        PutDirectory(directory_id, "ldap", name, settings, role, priority),
        {} if password is None else {"password_name": password},
    )
    every = f"read every {interval} s" if interval else "read by hand ('usher sync run')"
    servers = str(settings["servers"]).replace(",", ", ")
    call.output.say(
        f"Directory '{clean(name)}' is {'changed' if known else 'added'}: {servers} ({settings['tls']}, "
        f"{settings['dialect']}), {every}.",
        {
            "directory": name,
            "id": directory_id,
            "kind": "ldap",
            "settings": _stored(administration, directory_id),
        },
    )
    if not known:
        quoted = shlex.quote(name)
        call.output.note(
            f"Who would come, with which roles: 'usher directory preview {quoted}'. Nobody has come yet."
        )


def _stored(administration: Administration, directory_id: DirectoryId) -> Mapping[str, object]:
    with administration.read() as reader:
        return dict(next(one.settings for one in reader.directories() if one.directory_id == directory_id))


def _directory(connection: Mapping[str, Any]) -> LDAPDirectory:
    others = _parse_others(connection["others"])
    return LDAPDirectory(**{**connection, "others": others, "tls": connection["tls"] or ""})


def _check_account(directory: LDAPDirectory, password: str | None, password_name: str, folder: Path) -> None:
    """An account comes with one password, from one place."""
    if not directory.bind_dn:
        if password is not None or password_name:
            raise click.UsageError("a password needs the account that it belongs to; give --bind-dn")
        return
    if password is not None and password_name:
        raise click.UsageError("give the password, or --password-name, not both")
    if password is None and not directory.password_name:
        raise click.UsageError(
            "the account of --bind-dn needs its password; give it by --password-stdin or --password-file"
        )
    if password_name:
        with _named_options():
            read_password(folder, password_name)


# Looking at a server.


@click.command(cls=UsherCommand)
@click.argument("name", required=False, default="")
@_connection_options(is_required=False)
@organisation_option
def test(
    name: str,
    password_stdin: bool,
    password_file: Path | None,
    password_name: str,
    **connection: Any,  # noqa: ANN401 - as at `add-ldap`
) -> None:
    """Examine a directory server from its name to ten people, and store nothing.

    Give the NAME of a directory, or the options of 'add-ldap' for one that is not added yet. Exit code 3 when no
    server lets the account in, 1 when one does and the directory cannot be read as it is set.
    """
    call = current()
    now = utc_now()
    given, passwords = (
        _options_to_test(call, password_stdin, password_file, password_name, connection)
        if connection["servers"]
        else _directory_to_test(call, name, connection, password_stdin or password_file is not None)
    )
    if name and connection["servers"]:
        raise click.UsageError("name a directory, or give --server and its options, not both")
    with _named_options():
        found = examine_directory(given, passwords=passwords, now=now)
    _show_examination(call, found)
    if not found.is_good:
        click.get_current_context().exit(REFUSED if found.is_reachable else OUTSIDE)


def _options_to_test(
    call: Invocation,
    password_stdin: bool,
    password_file: Path | None,
    password_name: str,
    connection: Mapping[str, Any],
) -> tuple[StoredSettings, Passwords]:
    password = read_given_password(password_stdin=password_stdin, password_file=password_file)
    directory = replace(_directory(connection), password_name=password_name)
    is_guessed = not directory.dialect
    with _named_options():
        # The dialect is not known yet; any that needs nothing will do to check the rest.
        settings = ldap_directory_settings(
            replace(directory, dialect=directory.dialect or DIALECTS[0]), now=utc_now()
        )
    _check_account(directory, password, password_name, call.settings.passwords)
    if is_guessed:
        del settings["dialect"]
    if password is None:
        return settings, partial(read_password, call.settings.passwords)
    # By this name the password is asked for; it is in no file.
    return {**settings, "password_name": "given"}, lambda _name: password


def _directory_to_test(
    call: Invocation, name: str, connection: Mapping[str, Any], has_password: bool
) -> tuple[StoredSettings, Passwords]:
    if has_password or any(value for value in connection.values()):
        raise click.UsageError("options are for a server that is not added yet; give --server with them")
    with call.administration.read() as reader:
        known = find_directory(reader, name)
    if known.kind != "ldap":
        raise InputError(
            [f"directory '{known.name}' is of the kind {known.kind}; only LDAP directories are tested"]
        )
    passwords = directory_passwords(
        call.settings.passwords, call.administration.unit_of_work, known.directory_id
    )
    return known.settings, passwords


def _show_examination(call: Invocation, found: Examination) -> None:
    if call.is_json:
        call.output.document(_examination_document(found))
        return
    line = call.output.line
    for finding in found.findings:
        line(f"{finding.level.value:<5} {finding.about}: {clean(finding.text)}")
        if finding.remedy:
            line(f"      -> {clean(finding.remedy)}")
    if found.user_samples:
        line()
        call.output.table(
            ["User name", "Name", "Mail", "State", "Attributes"],
            [
                [
                    user.user_name,
                    user.display_name,
                    user.mails,
                    user.activity,
                    [f"{name}={', '.join(values)}" for name, values in sorted(user.attributes.items())],
                ]
                for user in found.user_samples
            ],
            title=f"The first {len(found.user_samples)} of {found.users} people:",
        )
    if found.group_samples:
        line()
        call.output.table(
            ["Group", "Members", "Groups in it"],
            [[group.display_name, group.members, group.subgroups] for group in found.group_samples],
            title=f"The first {len(found.group_samples)} of {found.groups} groups:",
        )


def _examination_document(found: Examination) -> dict[str, object]:
    return {
        "is_good": found.is_good,
        "is_reachable": found.is_reachable,
        "is_complete": found.is_complete,
        "server": found.server,
        "dialect": found.dialect,
        "dialect_guess": found.guess,
        "method": found.method,
        "method_reason": found.method_reason,
        "findings": [
            {"level": one.level.value, "about": one.about, "text": one.text, "remedy": one.remedy}
            for one in found.findings
        ],
        "certificates": {
            server: {
                "subject": shown.subject,
                "issuer": shown.issuer,
                "names": shown.names,
                "starts_at": shown.starts_at,
                "ends_at": shown.ends_at,
            }
            for server, shown in found.certificates.items()
        },
        "users": found.users,
        "groups": found.groups,
        "user_samples": [_user_document(user) for user in found.user_samples],
        "group_samples": [
            {
                "name": group.display_name,
                "dn": group.dn,
                "members": group.members,
                "subgroups": group.subgroups,
            }
            for group in found.group_samples
        ],
    }


def _user_document(user: UserFacts) -> dict[str, object]:
    return {
        "id": user.external_id,
        "dn": user.dn,
        "user_name": user.user_name,
        "display_name": user.display_name,
        "given_name": user.given_name,
        "family_name": user.family_name,
        "mails": user.mails,
        "state": user.activity,
        "attributes": dict(user.attributes),
    }


@click.command(cls=UsherCommand)
@click.argument("name", required=False, default="")
@organisation_option
def preview(name: str) -> None:
    """Read a directory now, and say who would come, with which roles and seats. No person is stored.

    The rules are those of today. A rule on a group can be made once the group is known, after the first reading.
    """
    call = current()
    administration = call.administration
    with administration.read() as reader:
        known = find_directory(reader, name)
    found = preview_directory(administration, known)
    planned, foresight = found.planned, found.foresight
    if call.is_json:
        document = preview_document(foresight)
        # This hash approves nothing: a run is approved by the hash of its own plan.
        del document["plan_hash"]
        call.output.document(
            {
                "directory": known.name,
                "is_complete": planned.reading.is_complete,
                "reason": planned.reading.reason,
                "limits_crossed": list(planned.crossed),
                "users": planned.counts.users,
                "groups": planned.counts.groups,
                "new_users": planned.plan.new_users,
                "rejected": planned.counts.rejected,
                **document,
            }
        )
        return
    line = call.output.line
    line(
        f"Read {planned.counts.users} people and {planned.counts.groups} groups; {planned.plan.new_users} people "
        f"would be new, {planned.counts.rejected} entries rejected."
    )
    if not planned.reading.is_complete:
        line(f"Incomplete, so nobody would be removed: {clean(planned.reading.reason)}")
    show_people(administration, foresight)
    if planned.crossed:
        line(f"The guard would stop this: {clean('; '.join(planned.crossed))}")
    free = "" if foresight.seat_limit is None else f" of {seats_text(foresight.seat_limit)}"
    line(f"Nothing is stored. Seats in use now: {foresight.seats_before}{free}.")
    line(f"Let it happen with 'usher sync run {shlex.quote(known.name)}'.")


LDAP_COMMANDS: Final = (add_ldap, set_password, test, preview)
