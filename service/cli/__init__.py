"""The command line `usher`: a module for each noun, thin over the functions that every edge calls."""

import sys
from importlib.metadata import version

import click

from service.cli.audit import audit
from service.cli.database import db
from service.cli.directory import directory
from service.cli.environment import environment
from service.cli.frame import RootGroup
from service.cli.member import member
from service.cli.organisation import organisation
from service.cli.questions import access, decide, explain, seats
from service.cli.role import role
from service.cli.rules import rules
from service.cli.running import demo, doctor, serve
from service.cli.scope import scope
from service.cli.sync import sync


@click.group(
    cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(version("usher-sync"), prog_name="usher")
def cli() -> None:
    """Usher shows each person of a customer's directory to the right seat."""


for _command in (
    serve,
    demo,
    doctor,
    db,
    environment,
    organisation,
    scope,
    directory,
    sync,
    rules,
    member,
    role,
    decide,
    explain,
    access,
    seats,
    audit,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and end the process."""
    cli.main(sys.argv[1:])
