"""`usher role`: the roles of an organisation, its own ones among them."""

import click

from directory.changes import PutRole, RemoveRole
from directory.ids import RoleId
from service.cli.changing import carry_out, preview_options
from service.cli.frame import UsherGroup, current, organisation_option
from service.names import find_role


@click.group(cls=UsherGroup)
def role() -> None:
    """Roles, custom ones among them.

    The environment has its own; the operator defines further ones for one organisation.
    """


@role.command()
@click.argument("name")
@click.option("--label", required=True, help="What people read.")
@click.option(
    "--permission", "permissions", multiple=True, required=True, help="A permission of the environment."
)
@click.option(
    "--at", "kinds", multiple=True, required=True, metavar="KIND", help="A scope kind it may be granted at."
)
@click.option(
    "--rank", type=click.IntRange(0, 1000), required=True, help="Its place among the roles; higher is more."
)
@preview_options
@organisation_option
def add(
    name: str,
    label: str,
    permissions: tuple[str, ...],
    kinds: tuple[str, ...],
    rank: int,
    preview: bool,
    plan_hash: str,
) -> None:
    """Define a custom role, or change the one of this name. What belongs to the owner cannot be in it."""
    put = PutRole(RoleId(name), label, permissions, kinds, rank)
    outcome = carry_out(current().administration, [put], preview=preview, plan_hash=plan_hash)
    if outcome is not None:
        current().output.say(
            f"Role '{name}' has {len(permissions)} permissions and may be granted at {', '.join(kinds)}.",
            {"role": name, "permissions": list(permissions), "events": outcome.events},
        )


@role.command("list")
@organisation_option
def list_() -> None:
    """List the roles that rules and overrides may give."""
    administration = current().administration
    with administration.read() as reader:
        model = administration.wiring.models.get(reader, reader.organisation())
    rows = [
        {
            "role": known.id,
            "label": known.label,
            "rank": known.rank,
            "scope_kinds": list(known.scope_kinds),
            "permissions": len(known.permissions),
            "origin": "custom" if known.is_custom else "preset" if known.is_preset else "environment",
            "permission_names": sorted(known.permissions),
            "administrator_equivalent": known.is_administrator_equivalent,
        }
        for known in sorted(model.roles.values(), key=lambda known: (-known.rank, known.id))
    ]
    columns = {
        "role": "Role",
        "label": "Label",
        "rank": "Rank",
        "scope_kinds": "Granted at",
        "permissions": "Permissions",
        "origin": "From",
        "administrator_equivalent": "Administrator",
    }
    current().output.listing(rows, columns, empty="There is no role.")


@role.command()
@click.argument("name")
@organisation_option
def remove(name: str) -> None:
    """Delete a custom role that nothing uses any more."""
    administration = current().administration
    with administration.read() as reader:
        role_id = find_role(administration.wiring.models.get(reader, reader.organisation()), name)
    outcome = administration.apply([RemoveRole(role_id)])
    current().output.say(f"Role '{role_id}' is deleted.", {"role": role_id, "events": outcome.events})
