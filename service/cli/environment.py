"""`usher environment`: catalogues checked, loaded and shown."""

from collections.abc import Mapping
from pathlib import Path

import click

from mappings.catalogue import Catalogue, Role, load_catalogue
from service.cli.frame import Invocation, UsherGroup, current
from service.cli.output import shown
from service.environments import load_environment
from service.errors import NotFoundError
from service.files import read_text, shipped_catalogue
from storage.errors import OutdatedDatabaseError


@click.group(cls=UsherGroup)
def environment() -> None:
    """Host applications, as catalogues in YAML.

    A catalogue holds roles, permissions, scope kinds and plans.
    """


@environment.command()
@click.argument("source", metavar="NAME|FILE")
def load(source: str) -> None:
    """Load a catalogue: a shipped one by name (minut, minikai), or a YAML file.

    Every organisation of the environment is worked out under it at once.
    """
    call = current()
    text, name = _find_text(source)
    loaded = load_environment(text, source=name, wiring=call.wiring, actor=call.actor)
    catalogue = loaded.catalogue
    words = {"new": "is new", "changed": "has changed", "unchanged": "is loaded already"}
    sentence = (
        f"Environment '{catalogue.id}' ({catalogue.name}, version {catalogue.version}) {words[loaded.state]}."
    )
    if loaded.organisations:
        sentence += f" Worked out anew: {shown(list(loaded.organisations))}."
    call.output.say(
        sentence,
        {
            "environment": catalogue.id,
            "version": catalogue.version,
            "sha256": loaded.sha256,
            "state": loaded.state,
            "organisations": list(loaded.organisations),
        },
    )


@environment.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a catalogue file; every fault is listed with its line."""
    catalogue = load_catalogue(read_text(file), source=str(file))
    document = _summary(catalogue)
    current().output.say(
        f"{file}: environment '{catalogue.id}', {len(catalogue.roles)} roles, "
        f"{len(catalogue.permissions)} permissions, {len(catalogue.plans)} plans: no fault found.",
        document,
    )


@environment.command()
@click.argument("name")
@click.option("--rulings", is_flag=True, help="Also print how the document's prose and gaps are read.")
def show(name: str, rulings: bool) -> None:
    """Print an environment's permission table as its document has it, with roles, plans and scope kinds."""
    call = current()
    catalogue, is_loaded = _find_catalogue(call, name)
    if call.is_json:
        call.output.document({**_summary(catalogue), "loaded": is_loaded, **_details(catalogue)})
        return
    line = call.output.line
    line(f"{catalogue.name} ({catalogue.id}), version {catalogue.version}")
    if not is_loaded:
        line(f"Not loaded here; load it with 'usher environment load {name}'.")
    line()
    _print_table(call, catalogue)
    line()
    _print_roles(call, catalogue)
    line()
    kinds = [f"{kind.id} ({kind.label})" for kind in catalogue.scope_kinds.values()]
    line(f"Scope kinds: {', '.join(kinds)}")
    line(f"Several rules for one person: {_RESOLUTIONS[catalogue.resolution.value]}")
    line(f"Only the owner: {', '.join(sorted(catalogue.owner_permissions)) or 'nothing'}")
    plans = [f"{plan.id} ({plan.label})" for plan in catalogue.plans.values()]
    line(
        f"Plans: {', '.join(plans) or 'none'}{'' if catalogue.is_plan_required else '; a plan is not required'}"
    )
    for switch in catalogue.switches.values():
        line(f"Switch {switch.id} (default {shown(switch.default)}): {switch.label}")
    if rulings:
        line()
        rows = [(ruling.id, ruling.text) for ruling in catalogue.rulings.values()]
        call.output.table(["Ruling", "Text"], rows)


_RESOLUTIONS: Mapping[str, str] = {
    "union": "all their pairs of role and scope hold (union)",
    "priority": "the first one's role decides (priority)",
}


def _find_text(source: str) -> tuple[str, str]:
    """The text of a file, or of a shipped catalogue; a name without a dot or slash is never a file's."""
    if "/" not in source and "." not in source:
        text = shipped_catalogue(source)
        if text is None:
            raise NotFoundError(
                f"no catalogue '{source}' comes with Usher; there are minut and minikai, or name a YAML file"
            )
        return text, f"{source}.yaml"
    return read_text(Path(source)), source


def _find_catalogue(call: Invocation, name: str) -> tuple[Catalogue, bool]:
    """The environment as it is loaded; before that, the one that comes with Usher."""
    try:
        stored = next(
            (kept for kept in call.wiring.store.environments() if kept.environment_id == name), None
        )
    except OutdatedDatabaseError:
        stored = None
    if stored is not None:
        return load_catalogue(stored.catalogue, source=f"environment {name}"), True
    text = shipped_catalogue(name)
    if text is None:
        raise NotFoundError(f"there is no environment '{name}'; load one with 'usher environment load'")
    return load_catalogue(text, source=f"{name}.yaml"), False


def _print_table(call: Invocation, catalogue: Catalogue) -> None:
    headings = ["#", "Permission", *catalogue.roles, "Ruling"]
    categories = dict.fromkeys(row.category for row in catalogue.table)
    for category in categories:
        rows = [
            [row.number, row.text, *(row.cells[role].mark for role in catalogue.roles), row.ruling]
            for row in catalogue.table
            if row.category == category
        ]
        call.output.table(headings, rows, title=category)


def _print_roles(call: Invocation, catalogue: Catalogue) -> None:
    rows = [
        [role.id, role.label, role.rank, role.scope_kinds, len(role.permissions)]
        for role in (*catalogue.roles.values(), *catalogue.presets.values())
    ]
    call.output.table(["Role", "Label", "Rank", "Granted at", "Permissions"], rows)


def _summary(catalogue: Catalogue) -> dict[str, object]:
    return {
        "environment": catalogue.id,
        "name": catalogue.name,
        "version": catalogue.version,
        "resolution": catalogue.resolution.value,
        "roles": list(catalogue.roles),
        "presets": list(catalogue.presets),
        "permissions": len(catalogue.permissions),
        "plans": {plan.id: plan.seats for plan in catalogue.plans.values()},
        "scope_kinds": list(catalogue.scope_kinds),
    }


def _details(catalogue: Catalogue) -> dict[str, object]:
    return {
        "table": [
            {
                "number": row.number,
                "category": row.category,
                "text": row.text,
                "permissions": row.permissions,
                "cells": {role: cell.mark for role, cell in row.cells.items()},
                "allows": {role: sorted(cell.allows) for role, cell in row.cells.items()},
                "ruling": row.ruling,
            }
            for row in catalogue.table
        ],
        "role_permissions": {
            role.id: _permissions(role) for role in (*catalogue.roles.values(), *catalogue.presets.values())
        },
        "owner_permissions": sorted(catalogue.owner_permissions),
        "rulings": {ruling.id: ruling.text for ruling in catalogue.rulings.values()},
    }


def _permissions(role: Role) -> dict[str, str | None]:
    return dict(sorted(role.permissions.items()))
