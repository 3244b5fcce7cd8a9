"""The command line `usher`: a module for each noun, thin over the functions that every edge calls."""

import sys
from importlib import import_module
from importlib.metadata import version

import click

from service.cli.frame import RootGroup

# Each is loaded when it is asked for: a question about access need not wait for a web server to be imported.
_COMMANDS = {
    "serve": "running",
    "worker": "running",
    "demo": "running",
    "doctor": "running",
    "db": "database",
    "environment": "environment",
    "organisation": "organisation",
    "scope": "scope",
    "directory": "directory",
    "token": "token",
    "scim": "scim",
    "connection": "connection",
    "domain": "domain",
    "client": "client",
    "session": "session",
    "sync": "sync",
    "rules": "rules",
    "member": "member",
    "role": "role",
    "decide": "questions",
    "explain": "questions",
    "access": "questions",
    "seats": "questions",
    "audit": "audit",
    "stream": "stream",
    "webhook": "webhook",
}


class _Commands(RootGroup):
    """The commands in the order in which they are mostly needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(import_module(f"service.cli.{module}"), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(version("usher-sync"), prog_name="usher")
def cli() -> None:
    """Usher shows each person of a customer's directory to the right seat."""


def main() -> None:
    """Run the command line and end the process."""
    cli.main(sys.argv[1:])
