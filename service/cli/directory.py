"""`usher directory`: where people and groups come from."""

from collections.abc import Mapping

import click

from directory.changes import PutDirectory
from directory.ids import DirectoryId, RoleId
from provisioning.guard import GuardLimits, guard_limits
from provisioning.models import read_model
from provisioning.ports import Reader
from provisioning.state import StoredDirectory
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.staged import allow, reject, staged
from service.directories import LDIFDirectory, ldif_settings
from service.names import find_directory, find_role
from sync.dialects import DIALECTS

_GUARD_DEFAULTS = GuardLimits()


@click.group(cls=UsherGroup)
def directory() -> None:
    """Sources of people and groups."""


directory.add_command(staged)
directory.add_command(allow)
directory.add_command(reject)


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
    help=f"A limit of the guard: {', '.join(sorted(GuardLimits.__dataclass_fields__))}.",
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
            guard=_parse_guards(guards),
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


def _parse_guards(guards: tuple[str, ...]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for guard in guards:
        limit, equals, number = guard.partition("=")
        if not equals or limit not in GuardLimits.__dataclass_fields__ or not number.isdigit():
            known = ", ".join(sorted(GuardLimits.__dataclass_fields__))
            raise click.BadParameter(
                f"'{guard}' is no limit; write one of {known} as NAME=NUMBER", param_hint="--guard"
            )
        found[limit] = int(number)
    return found


@directory.command("list")
@organisation_option
def list_() -> None:
    """List the directories."""
    with current().administration.read() as reader:
        rows = [_row(reader, known) for known in reader.directories()]
    columns = {
        "directory": "Directory",
        "kind": "Kind",
        "source": "Source",
        "interval_seconds": "Every (s)",
        "users": "Users",
        "active_users": "Active",
        "groups": "Groups",
        "memberships": "Memberships",
        "last_success_at": "Last success",
    }
    current().output.listing(
        rows, columns, empty="There is no directory yet; see 'usher directory add-ldif --help'."
    )


def _row(reader: Reader, known: StoredDirectory) -> dict[str, object]:
    return {
        "directory": known.name,
        "id": known.directory_id,
        "kind": known.kind,
        "source": known.settings.get("file", ""),
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
        document = _row(reader, known)
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
    call.output.record(document, _STATUS)
    if last is not None and last.state == "blocked":
        call.output.note(
            f"The guard holds a plan. Look at it with 'usher sync run {known.name!r} --dry-run'; let exactly it "
            f"through with 'usher sync run {known.name!r} --approve {last.plan_hash}'."
        )


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
