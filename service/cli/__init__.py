"""The command line `usher`: a module for each noun, thin over the functions that every edge calls."""

import sys
from importlib.metadata import version

import click

from service.cli.frame import RootGroup


@click.group(
    cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(version("usher-sync"), prog_name="usher")
def cli() -> None:
    """Usher shows each person of a customer's directory to the right seat."""


def main() -> None:
    """Run the command line and end the process."""
    cli.main(sys.argv[1:])
