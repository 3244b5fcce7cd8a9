"""`usher db`: the database's own form."""

import click

from service.cli.frame import UsherGroup, current
from service.opening import open_and_upgrade


@click.group(cls=UsherGroup)
def db() -> None:
    """The database."""


@db.command()
def upgrade() -> None:
    """Make the database, or bring it to the form that this release needs. Back it up before."""
    call = current()
    with open_and_upgrade(call.settings) as wiring:
        address = wiring.database.address
    call.output.say(f"The database {address} is up to date.", {"database": address})
