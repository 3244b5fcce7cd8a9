"""The frame around every command."""

import os

import click
import pytest
from click.testing import CliRunner

from service.cli.frame import Invocation, RootGroup, UsherGroup, current


@click.group(cls=RootGroup)
def root() -> None:
    """A small command line."""


@root.command()
def stop() -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


@root.command()
def complain() -> None:
    """An error of click's own that no context belongs to."""
    raise click.ClickException("nothing fits.")


@root.command()
def bug() -> None:
    """A fault of ours is not dressed up as somebody else's."""
    raise ZeroDivisionError


@root.group(cls=UsherGroup)
def outer() -> None:
    """A group."""


@outer.group()
def inner() -> None:
    """A group in a group."""


@inner.command()
@click.argument("words", nargs=-1)
def say(words: tuple[str, ...]) -> None:
    """Say whether JSON is wanted."""
    click.echo(f"{current().is_json} {' '.join(words)}")


def test_interrupted_command_ends_with_its_own_code() -> None:
    result = CliRunner().invoke(root, ["stop"])

    assert result.exit_code == 130
    assert "usher: stopped" in result.stderr


def test_error_without_context_has_no_hint() -> None:
    result = CliRunner().invoke(root, ["complain"])

    assert (result.exit_code, result.stderr) == (1, "usher: nothing fits.\n")


def test_bug_is_not_hidden() -> None:
    assert isinstance(CliRunner().invoke(root, ["bug"]).exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--json", "outer", "inner", "say"], "True "),
        (["outer", "--json", "inner", "say"], "True "),
        (["outer", "inner", "--json", "say"], "True "),
        (["outer", "inner", "say", "--json"], "True "),
        (["outer", "inner", "say"], "False "),
        (["outer", "inner", "say", "--", "--json"], "False --json"),
    ],
)
def test_json_is_taken_everywhere(arguments: list[str], expected: str) -> None:
    assert CliRunner().invoke(root, arguments).stdout == f"{expected}\n"


def test_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)

    assert Invocation({}).actor.admin_id == f"operator:{os.getuid()}"
