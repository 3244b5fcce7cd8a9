"""`usher scope`: the places of an organisation."""

from collections.abc import Sequence
from pathlib import Path

import click

from directory.changes import Change, RemoveScope
from directory.ids import ScopeId
from mappings.catalogue import ROOT_KIND
from mappings.scopes import ScopeGraph
from provisioning.models import read_model
from service.cli.changing import carry_out, preview_options
from service.cli.frame import UsherGroup, current, organisation_option
from service.files import read_text
from service.labels import scope_name
from service.names import find_scope, scope_label
from service.scope_files import ScopeText, parse_scopes, plan_scopes


@click.group(cls=UsherGroup)
def scope() -> None:
    """Places of an organisation.

    Locations, buildings, units, groups and the like, below the organisation itself.
    """


@scope.command()
@click.argument("kind")
@click.argument("name")
@click.option("--host-id", required=True, help="The host application's own id of the place.")
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="SCOPE",
    help="What it stands below: kind/host id, name or id. Default: the organisation. Several where the kind allows.",
)
@organisation_option
def add(kind: str, name: str, host_id: str, parents: tuple[str, ...]) -> None:
    """Add a scope, or rename or move the one of this kind and host id."""
    administration = current().administration
    text = ScopeText(kind, host_id, name, parents or (ROOT_KIND,))
    with administration.read() as reader:
        scopes = read_model(reader, reader.organisation()).scopes
    puts = plan_scopes([text], scopes, administration.wiring.mint)
    if puts:
        administration.apply(puts)
    known = scopes.by_host_id(kind, host_id)
    scope_id = puts[0].scope_id if puts else known.scope_id if known else ""
    state = "unchanged" if not puts else "changed" if known else "new"
    words = {"unchanged": "stands already", "changed": "is changed", "new": "is added"}
    current().output.say(
        f"Scope {kind}/{host_id} '{name}' {words[state]}.",
        {"scope_id": scope_id, "kind": kind, "host_id": host_id, "state": state},
    )


@scope.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@preview_options
@organisation_option
def import_(file: Path, preview: bool, plan_hash: str) -> None:
    """Add and change scopes as a YAML file says, all or none. Scopes that the file does not name stay."""
    administration = current().administration
    texts = parse_scopes(read_text(file), source=str(file))
    with administration.read() as reader:
        scopes = read_model(reader, reader.organisation()).scopes
    puts = plan_scopes(texts, scopes, administration.wiring.mint, source=str(file))
    changes: Sequence[Change] = puts
    if puts and carry_out(administration, changes, preview=preview, plan_hash=plan_hash) is None:
        return
    added = sum(1 for put in puts if scopes.get(put.scope_id) is None)
    document = {"added": added, "changed": len(puts) - added, "unchanged": len(texts) - len(puts)}
    current().output.say(
        f"{added} scopes added, {document['changed']} changed, {document['unchanged']} unchanged.", document
    )


@scope.command("list")
@click.option("--kind", help="Only scopes of this kind.")
@organisation_option
def list_(kind: str | None) -> None:
    """List the scopes, each below its parents."""
    with current().administration.read() as reader:
        scopes = read_model(reader, reader.organisation()).scopes
    rows = [
        {
            "scope": scope_name(scopes, node.scope_id),
            "name": node.name,
            "kind": node.kind,
            "host_id": node.host_id,
            "parents": [scope_name(scopes, parent) for parent in node.parents],
            "id": node.scope_id,
        }
        for node in sorted(scopes.nodes(), key=lambda node: _path(scopes, node.scope_id))
        if kind in {None, node.kind}
    ]
    columns = {"scope": "Scope", "name": "Name", "parents": "Below", "id": "Id"}
    current().output.listing(rows, columns, empty="There is no such scope.")


def _path(scopes: ScopeGraph, scope_id: ScopeId) -> tuple[str, ...]:
    """The scopes from the organisation down to this one: the order of a tree."""
    above = [parent for parent in scopes.ancestors(scope_id) if parent != scopes.root]
    return tuple(scope_name(scopes, place) for place in (*reversed(above), scope_id) if place != scopes.root)


@scope.command()
@click.argument("name", metavar="SCOPE")
@preview_options
@organisation_option
def remove(name: str, preview: bool, plan_hash: str) -> None:
    """Remove a scope with nothing below it. Rules that name it grant nothing from then on, and are listed by lint."""
    administration = current().administration
    with administration.read() as reader:
        node = find_scope(read_model(reader, reader.organisation()).scopes, name)
    outcome = carry_out(administration, [RemoveScope(node.scope_id)], preview=preview, plan_hash=plan_hash)
    if outcome is not None:
        current().output.say(
            f"Scope {scope_label(node)} is removed.", {"scope_id": node.scope_id, "events": outcome.events}
        )
