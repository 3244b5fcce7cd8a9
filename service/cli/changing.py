"""Changes from the command line: previewed, applied under the preview's hash, or applied at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from directory.changes import Change
from directory.ids import MemberId, RoleId, ScopeId
from mappings.preview import PersonChange
from mappings.scopes import ScopeGraph
from provisioning.commands import Applied
from provisioning.foresight import Foresight
from provisioning.models import read_model
from service.administration import Administration
from service.cli.frame import current
from service.cli.values import seats_text
from service.labels import scope_name

F = TypeVar("F", bound=Callable[..., Any])
_PEOPLE_SHOWN = 50


def preview_options(command: F) -> F:
    """`--preview` and `--plan`, for every command that can say beforehand what it would do."""
    with_plan = click.option(
        "--plan",
        "plan_hash",
        default="",
        metavar="HASH",
        help="Apply only if it does exactly what was previewed under this hash.",
    )
    with_preview = click.option("--preview", is_flag=True, help="Say what it would do, and store nothing.")
    return with_preview(with_plan(command))


def carry_out(
    administration: Administration, changes: Sequence[Change], *, preview: bool, plan_hash: str
) -> Applied | None:
    """Apply the changes, under the hash when there is one; or print what they would do, which gives None."""
    if preview:
        show_preview(administration, administration.preview(changes))
        return None
    if plan_hash:
        return administration.apply_previewed(changes, plan_hash)
    return administration.apply(changes)


def show_preview(
    administration: Administration, foresight: Foresight, *, document: dict[str, object] | None = None
) -> None:
    """Print who gains and loses what, the seats before and after, and the hash that applying takes."""
    output = current().output
    if output.is_json:
        output.document({**(document or {}), **preview_document(foresight)})
        return
    show_people(administration, foresight)
    output.line(f"Plan hash: {foresight.plan_hash}")


def show_people(administration: Administration, foresight: Foresight) -> None:
    """Print the first people who change, and how many change in all."""
    output = current().output
    with administration.read() as reader:
        scopes = read_model(reader, reader.organisation()).scopes
    people = foresight.preview.changes
    rows = [_person_row(change, foresight.names, scopes) for change in people[:_PEOPLE_SHOWN]]
    if rows:
        output.table(["Member", "Before", "After", "Gains", "Loses"], rows)
    if len(people) > _PEOPLE_SHOWN:
        output.line(f"... and {len(people) - _PEOPLE_SHOWN} more; --json lists everybody")
    output.line(
        f"{len(people)} people change, {foresight.preview.unchanged} looked at stay as they are. "
        f"Seats: {foresight.seats_before} before, {foresight.seats_after} after, "
        f"of {seats_text(foresight.seat_limit)}; {len(foresight.waiting)} of those concerned would wait."
    )
    losing = foresight.preview.losing_everything
    if losing:
        output.line(f"{len(losing)} of them would lose all access.")


def preview_document(foresight: Foresight) -> dict[str, object]:
    """What a program reads of a preview."""
    return {
        "plan_hash": foresight.plan_hash,
        "access_version": foresight.preview.access_version,
        "seats_before": foresight.seats_before,
        "seats_after": foresight.seats_after,
        "seat_limit": foresight.seat_limit,
        "waiting": list(foresight.waiting),
        "unchanged": foresight.preview.unchanged,
        "losing_everything": list(foresight.preview.losing_everything),
        "changes": [
            {
                "member_id": change.member_id,
                "name": foresight.names.get(change.member_id, ""),
                "before": [{"role": role, "scope_id": scope_id} for role, scope_id in change.before],
                "after": [{"role": role, "scope_id": scope_id} for role, scope_id in change.after],
                "permissions_gained": [name for name, _ in change.permissions_gained],
                "permissions_lost": [name for name, _ in change.permissions_lost],
            }
            for change in foresight.preview.changes
        ],
    }


def _person_row(change: PersonChange, names: Mapping[MemberId, str], scopes: ScopeGraph) -> list[object]:

    return [
        names.get(change.member_id) or change.member_id,
        pairs_text(change.before, scopes),
        pairs_text(change.after, scopes),
        _counted(change.permissions_gained),
        _counted(change.permissions_lost),
    ]


def pairs_text(pairs: Sequence[tuple[RoleId, ScopeId]], scopes: ScopeGraph) -> str:
    """Grants in one line: `Member@unit/loft-7, Operator@organisation`."""
    return ", ".join(f"{role}@{scope_name(scopes, scope_id)}" for role, scope_id in pairs) or "no access"


def _counted(permissions: Sequence[object]) -> str:
    return f"{len(permissions)} permissions" if permissions else "-"
