"""What all commands share: where they print, what they act on, and how an error ends them."""

import getpass
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import click

from audit.actors import AdminActor
from service.administration import Administration
from service.cli import exits
from service.cli.output import Output, clean, render_json, standard_output
from service.names import find_organisation
from service.opening import open_database_as_is
from service.settings import Settings, load_settings
from service.wiring import Wiring

F = TypeVar("F", bound=Callable[..., Any])

_INTERRUPTED = 130


class Invocation:
    """One call of the command line: its environment, its output, and what it has opened so far."""

    def __init__(self, environ: Mapping[str, str], *, is_json: bool = False) -> None:
        self.environ = environ
        self.is_json = is_json
        self.organisation_name = ""
        self._wiring: Wiring | None = None

    @property
    def output(self) -> Output:
        return standard_output(is_json=self.is_json)

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.environ)

    @property
    def wiring(self) -> Wiring:
        """The database, which must be set up already."""
        if self._wiring is None:
            self._wiring = open_database_as_is(self.settings)
        return self._wiring

    @cached_property
    def actor(self) -> AdminActor:
        """Whoever is at the command line has the operator's rights, and is named in every event."""
        return AdminActor(admin_id=f"operator:{_system_user()}", is_operator=True)

    @cached_property
    def administration(self) -> Administration:
        """The organisation that the command is about."""
        name = self.organisation_name or self.settings.organisation
        organisation = find_organisation(self.wiring.store, name)
        return Administration(self.wiring, organisation.organisation_id, self.actor)

    def close(self) -> None:
        if self._wiring is not None:
            self._wiring.close()


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return str(os.getuid())


def _choose_organisation(context: click.Context, _parameter: click.Parameter, value: str) -> None:
    context.ensure_object(Invocation).organisation_name = value


def organisation_option(command: F) -> F:
    """`-o`, for every command that is about one organisation."""
    option = click.option(
        "-o",
        "--organisation",
        metavar="NAME",
        default="",
        expose_value=False,
        callback=_choose_organisation,
        help="The organisation, by name, beginning of its name, or id. Needed where there are several.",
    )
    return option(command)


def _want_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Invocation).is_json = True


_JSON_OPTION = click.Option(
    ["--json"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_want_json,
    help="Print one JSON document instead of text.",
)


class UsherCommand(click.Command):
    """A command that takes the global `--json`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), _JSON_OPTION]


class UsherGroup(click.Group):
    """A group that takes the global `--json`; so do its commands and groups."""

    command_class = UsherCommand
    group_class: type[click.Group] | type[type] | None = type

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), _JSON_OPTION]


class RootGroup(UsherGroup):
    """The whole command line. Ends the process with an exit code of `service.cli.exits`."""

    group_class = UsherGroup

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002 - the signature is click's; this one always ends the process
        windows_expand_args: bool = True,
        **extra: object,
    ) -> NoReturn:
        given = list(sys.argv[1:] if args is None else args)
        call = Invocation(os.environ, is_json="--json" in given[: _end_of_options(given)])
        extra["obj"] = call
        sys.exit(self._run(call, given, prog_name or "usher", complete_var, windows_expand_args, extra))

    def _run(
        self,
        call: Invocation,
        given: list[str],
        prog_name: str,
        complete_var: str | None,
        windows_expand_args: bool,
        extra: dict[str, Any],
    ) -> int:
        try:
            code = super().main(
                given,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
            sys.stdout.flush()
            return code if isinstance(code, int) else exits.DONE
        except click.Abort:
            _complain("stopped")
            return _INTERRUPTED
        except click.ClickException as error:
            _tell(call, error.format_message(), usage_document(error), hint=_hint(error))
            return error.exit_code
        except BrokenPipeError:
            # Whoever read us has seen enough; Python would complain once more when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return exits.DONE
        except exits.EXPECTED as error:
            _tell(call, exits.error_text(error), exits.error_document(error))
            return exits.exit_code(error)
        finally:
            call.close()


def _end_of_options(given: list[str]) -> int:
    return given.index("--") if "--" in given else len(given)


def usage_document(error: click.ClickException) -> dict[str, object]:
    """What a program reads of a wrong call."""
    return {"error": {"code": "usage", "message": error.format_message()}}


def _hint(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"; see '{error.ctx.command_path} --help'"
    return ""


def _tell(call: Invocation, text: str, document: Mapping[str, object], *, hint: str = "") -> None:
    if call.is_json:
        sys.stderr.write(render_json(document) + "\n")
    else:
        _complain(text.rstrip(".") + hint if hint else text)


def _complain(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"usher: {clean(line)}\n")


def current() -> Invocation:
    """The call that is under way."""
    return click.get_current_context().ensure_object(Invocation)
