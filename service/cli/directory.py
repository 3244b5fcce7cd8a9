"""`usher directory`: where people and groups come from."""

import shlex

import click

from directory.changes import PutDirectory
from directory.ids import DirectoryId, RoleId
from provisioning.guard import GuardLimits, guard_limits
from provisioning.models import read_model
from provisioning.ports import Reader
from provisioning.resources import RequestQuery
from provisioning.state import StoredDirectory
from provisioning.tokens import is_live
from scim.profiles import PROFILES
from service.administration import Administration
from service.cli.frame import Invocation, UsherGroup, current, organisation_option
from service.cli.ldap import LDAP_COMMANDS
from service.cli.output import clean
from service.cli.staged import allow, reject, staged
from service.cli.token import token_document, token_text
from service.cli.values import GUARD_HELP, parse_guards
from service.directories import (
    LDIFDirectory,
    PushDirectory,
    ldif_settings,
    push_settings,
    scim_base_url,
    server_urls,
)
from service.names import find_directory, find_push_directory, find_role
from sync.dialects import DIALECTS


@click.group(cls=UsherGroup)
def directory() -> None:
    """Sources of people and groups."""


directory.add_command(staged)
directory.add_command(allow)
directory.add_command(reject)
for ldap_command in LDAP_COMMANDS:
    directory.add_command(ldap_command)


@directory.command("add-ldif")
@click.argument("name")
@click.option("--file", required=True, help="Name of the .ldif or .ldif.gz file in the folder USHER_EXPORTS.")
@click.option(
    "--dialect", type=click.Choice(DIALECTS), required=True, help="The kind of server that wrote it."
)
@click.option(
    "--interval", type=click.IntRange(5, 604_800), help="Seconds between two readings; by hand only without."
)
@click.option(
    "--user-base", "user_bases", multiple=True, metavar="DN", help="Where people stand. Default: all."
)
@click.option(
    "--group-base", "group_bases", multiple=True, metavar="DN", help="Where groups stand. Default: all."
)
@click.option("--id-attribute", default="", help="The attribute that identifies an entry for good.")
@click.option("--default-role", help="Role of people whom no rule matches; without it they get no access.")
@click.option("--priority", type=click.IntRange(0, 10_000), default=100, show_default=True)
@click.option(
    "--grace",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Complete readings that miss a person before the person is deactivated.",
)
@click.option("--checksum", is_flag=True, help="Require FILE.sha256 beside the file.")
@click.option(
    "--guard",
    "guards",
    multiple=True,
    metavar="LIMIT=NUMBER",
    help=GUARD_HELP,
)
@click.option("--replace", is_flag=True, help="Change the directory of this name instead of adding one.")
@organisation_option
def add_ldif(
    name: str,
    file: str,
    dialect: str,
    interval: int | None,
    user_bases: tuple[str, ...],
    group_bases: tuple[str, ...],
    id_attribute: str,
    default_role: str | None,
    priority: int,
    grace: int,
    checksum: bool,
    guards: tuple[str, ...],
    replace: bool,
) -> None:
    """Add a directory that is read from an LDIF export, on a schedule or by hand."""
    administration = current().administration
    settings = ldif_settings(
        LDIFDirectory(
            file=file,
            dialect=dialect,
            interval_seconds=interval,
            user_bases=user_bases,
            group_bases=group_bases,
            id_attribute=id_attribute,
            absence_grace_runs=grace,
            checksum_required=checksum,
            guard=parse_guards(guards),
        ),
        now=administration.wiring.clock(),
    )
    with administration.read() as reader:
        known = find_directory(reader, name).directory_id if replace else None
        model = read_model(reader, reader.organisation())
        role: RoleId | None = find_role(model, default_role) if default_role else None
    directory_id = known or DirectoryId(administration.wiring.mint.id())
    administration.apply([PutDirectory(directory_id, "ldif", name, settings, role, priority)])
    every = f"read every {interval} s" if interval else "read by hand ('usher sync run')"
    current().output.say(
        f"Directory '{name}' is {'changed' if known else 'added'}: {file} ({dialect}), {every}.",
        {"directory": name, "id": directory_id, "kind": "ldif", "settings": settings},
    )


@directory.command("add-scim")
@click.argument("name")
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), help="The kind of identity provider. Default: generic."
)
@click.option(
    "--hold", is_flag=True, help="Hold back what crosses the guard's limits, until somebody allows it."
)
@click.option(
    "--relink",
    type=click.Choice(["external_id", "never"]),
    help="Whether a person who was deleted comes back by externalId. Default: external_id.",
)
@click.option(
    "--refuse-foreign-domains", is_flag=True, help="Refuse people whose address is in no verified domain."
)
@click.option("--default-role", help="Role of people whom no rule matches; without it they get no access.")
@click.option("--priority", type=click.IntRange(0, 10_000), default=100, show_default=True)
@click.option(
    "--guard",
    "guards",
    multiple=True,
    metavar="LIMIT=NUMBER",
    help=GUARD_HELP,
)
@click.option("--replace", is_flag=True, help="Change the directory of this name instead of adding one.")
@organisation_option
def add_scim(
    name: str,
    profile: str | None,
    hold: bool,
    relink: str | None,
    refuse_foreign_domains: bool,
    default_role: str | None,
    priority: int,
    guards: tuple[str, ...],
    replace: bool,
) -> None:
    """Add a directory that an identity provider pushes to by SCIM."""
    administration = current().administration
    with administration.read() as reader:
        known = find_push_directory(reader, name) if replace else None
        model = read_model(reader, reader.organisation())
        role: RoleId | None = find_role(model, default_role) if default_role else None
    settings = push_settings(
        PushDirectory(
            profile=profile or "",
            hold=hold,
            relink=relink or "",
            refuse_foreign_domains=refuse_foreign_domains,
            is_paused=known is not None and bool(known.settings.get("paused")),
            guard=parse_guards(guards),
        )
    )
    directory_id = known.directory_id if known else DirectoryId(administration.wiring.mint.id())
    title = known.name if known else name
    administration.apply([PutDirectory(directory_id, "scim", title, settings, role, priority)])
    base_url = scim_base_url(administration.wiring.settings, directory_id)
    output = current().output
    output.say(
        f"Directory '{title}' is {'changed' if known else 'added'}: SCIM, profile {profile or 'generic'}.",
        {"directory": title, "id": directory_id, "kind": "scim", "base_url": base_url, "settings": settings},
    )
    output.note(f"Base URL: {base_url}")
    if not known:
        output.note(f"Make its token with 'usher token create {shlex.quote(title)}'.")
    if not administration.wiring.settings.public_url:
        output.note(
            "Set USHER_PUBLIC_URL to the https address at which the identity provider reaches this service."
        )


@directory.command()
@click.argument("name", required=False, default="")
@organisation_option
def pause(name: str) -> None:
    """Take nothing that is pushed to a SCIM directory: the identity provider is answered 403 and told why."""
    known = _set_paused(name, is_paused=True)
    current().output.say(
        f"Directory '{known.name}' is paused; what is pushed to it is refused, aloud, until it is resumed.",
        {"directory": known.name, "id": known.directory_id, "paused": True},
    )


@directory.command()
@click.argument("name", required=False, default="")
@organisation_option
def resume(name: str) -> None:
    """Take again what is pushed to a SCIM directory."""
    known = _set_paused(name, is_paused=False)
    current().output.say(
        f"Directory '{known.name}' takes what is pushed to it. What was refused meanwhile comes with the next "
        "cycle of the identity provider, or with a full push.",
        {"directory": known.name, "id": known.directory_id, "paused": False},
    )


def _set_paused(name: str, *, is_paused: bool) -> StoredDirectory:
    administration = current().administration
    with administration.read() as reader:
        known = find_push_directory(reader, name)
    settings = {key: value for key, value in known.settings.items() if key != "paused"}
    if is_paused:
        settings["paused"] = True
    administration.apply(
        [
            PutDirectory(
                known.directory_id, known.kind, known.name, settings, known.default_role, known.priority
            )
        ]
    )
    return known


@directory.command("list")
@organisation_option
def list_() -> None:
    """List the directories."""
    administration = current().administration
    with administration.read() as reader:
        rows = [_row(administration, reader, known) for known in reader.directories()]
    columns = {
        "directory": "Directory",
        "kind": "Kind",
        "source": "Source",
        "interval_seconds": "Every (s)",
        "users": "Users",
        "active_users": "Active",
        "groups": "Groups",
        "memberships": "Memberships",
        "last_at": "Last success",
    }
    current().output.listing(
        rows, columns, empty="There is no directory yet; see 'usher directory --help' for how to add one."
    )


def _row(administration: Administration, reader: Reader, known: StoredDirectory) -> dict[str, object]:
    row = _common_row(reader, known)
    if known.kind != "scim":
        return {**row, "last_at": known.last_success_at}
    wiring = administration.wiring
    now = wiring.clock()
    query = RequestQuery(known.directory_id, limit=1)
    last = next(iter(wiring.pushes.requests(administration.organisation_id, query)), None)
    return {
        **row,
        "source": scim_base_url(wiring.settings, known.directory_id),
        "base_url": scim_base_url(wiring.settings, known.directory_id),
        "profile": known.settings.get("profile", "generic"),
        "paused": bool(known.settings.get("paused")),
        "tokens": [token_document(token, now) for token in reader.tokens(known.directory_id)],
        "last_at": last.at if last else None,
        "last_request_at": last.at if last else None,
        "last_request": f"{last.method} /{last.path}, {last.status}" if last else None,
    }


def _common_row(reader: Reader, known: StoredDirectory) -> dict[str, object]:
    return {
        "directory": known.name,
        "id": known.directory_id,
        "kind": known.kind,
        "source": ", ".join(server_urls(known.settings)) or known.settings.get("file", ""),
        "interval_seconds": known.interval_seconds,
        "last_success_at": known.last_success_at,
        "next_run_at": known.next_run_at,
        "failures": known.failures,
        **reader.counts(known.directory_id),
    }


@directory.command()
@click.argument("name", required=False, default="")
@organisation_option
def status(name: str) -> None:
    """Show how a directory is: what is stored of it, its last runs, and what keeps it from being read."""
    call = current()
    with call.administration.read() as reader:
        known = find_directory(reader, name)
        runs = reader.runs(known.directory_id, 1)
        document = _row(call.administration, reader, known)
    last = runs[0] if runs else None
    limits = guard_limits(known.settings)
    document |= {
        "settings": dict(known.settings),
        "default_role": known.default_role,
        "priority": known.priority,
        "guard": {limit: getattr(limits, limit) for limit in GuardLimits.__dataclass_fields__},
        "last_state": last.state if last else None,
        "last_run_at": last.started_at if last else None,
        "reason": last.reason if last else "",
        "plan_hash": last.plan_hash if last and last.state == "blocked" else "",
    }
    if known.kind == "scim":
        _show_push_status(call, known, document)
        return
    call.output.record(document, _STATUS)
    if last is not None and last.state == "blocked":
        call.output.note(
            f"The guard holds a plan. Look at it with 'usher sync run {known.name!r} --dry-run'; let exactly it "
            f"through with 'usher sync run {known.name!r} --approve {last.plan_hash}'."
        )


def _show_push_status(call: Invocation, known: StoredDirectory, document: dict[str, object]) -> None:
    settings = known.settings
    document |= {
        "hold": bool(settings.get("hold")),
        "relink": settings.get("relink", "external_id"),
        "refuse_foreign_domains": bool(settings.get("refuse_foreign_domains")),
    }
    call.output.record(document, _PUSH_STATUS)
    if call.is_json:
        return
    with call.administration.read() as reader:
        tokens = reader.tokens(known.directory_id)
    now = call.wiring.clock()
    live = [token for token in tokens if is_live(token, now)]
    for token in live:
        call.output.line(f"Token '{clean(token.name)}' ({token.prefix}) {token_text(token, now)}")
    if not live:
        call.output.line(f"No token opens it; make one with 'usher token create {shlex.quote(known.name)}'.")


_PUSH_STATUS = {
    "directory": "Directory",
    "id": "Id",
    "kind": "Kind",
    "base_url": "Base URL",
    "profile": "Profile",
    "paused": "Paused",
    "hold": "Holds what crosses the guard",
    "relink": "Relinks by",
    "refuse_foreign_domains": "Refuses foreign domains",
    "users": "Users",
    "active_users": "Active users",
    "groups": "Groups",
    "memberships": "Memberships",
    "default_role": "Default role",
    "last_request_at": "Last request",
    "last_request": "It was",
}
_STATUS = {
    "directory": "Directory",
    "id": "Id",
    "kind": "Kind",
    "source": "Source",
    "interval_seconds": "Read every (s)",
    "users": "Users",
    "active_users": "Active users",
    "groups": "Groups",
    "memberships": "Memberships",
    "default_role": "Default role",
    "last_state": "Last run",
    "last_run_at": "Last run began",
    "last_success_at": "Last success",
    "next_run_at": "Next run",
    "failures": "Failures in a row",
    "reason": "Reason",
    "plan_hash": "Plan held",
}
