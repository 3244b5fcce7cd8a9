"""A person at the command line: commands run in this process, on a database of their own."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from audit.body import EventBody, parse_body
from provisioning.ports import EventQuery, Reader
from provisioning.state import OrganisationState
from service.cli import cli
from service.opening import open_database_as_is
from service.settings import Settings, load_settings
from service.wiring import Wiring
from tests.journeys.exports import BASE

ACME = "Acme Stays"
OWNER = "olivia.owner@acme.example"


class Shell:
    """Runs `usher` with its data in a folder. `answer` and `fail` hold the exit code to what is expected."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        self.folder = folder
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("USHER_")}
        self.environ["USHER_DATA"] = str(folder / "var")
        if database_url:
            self.environ["USHER_DATABASE_URL"] = database_url
        self._seen = 0

    @property
    def settings(self) -> Settings:
        return load_settings(
            {name: value for name, value in self.environ.items() if name.startswith("USHER_")}
        )

    @property
    def exports(self) -> Path:
        return self.settings.exports

    def invoke(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        changes: Mapping[str, str | None] = {
            **{name: None for name in os.environ if name.startswith("USHER_")},
            **{name: value for name, value in self.environ.items() if name.startswith("USHER_")},
        }
        return CliRunner().invoke(
            cli, list(arguments), input=stdin, env=changes, prog_name="usher", catch_exceptions=False
        )

    def answer(self, *arguments: str, code: int = 0) -> str:
        """The standard output of a command that ends as expected."""
        result = self.invoke(*arguments)
        assert result.exit_code == code, f"{arguments}: {result.exit_code}: {result.stdout}{result.stderr}"
        return result.stdout

    def json(self, *arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - as commands differ, so do their documents
        """The one JSON document of a command that ends as expected."""
        return json.loads(self.answer(*arguments, "--json", code=code))

    def fail(self, code: int, *arguments: str) -> str:
        """The message of a command that ends by an error: plain lines, never a trace."""
        result = self.invoke(*arguments)
        assert result.exit_code == code, f"{arguments}: {result.exit_code}: {result.stdout}{result.stderr}"
        assert "Traceback" not in result.stderr
        assert all(line.startswith("usher: ") for line in result.stderr.splitlines())
        assert result.stdout == ""
        return "\n".join(line.removeprefix("usher: ") for line in result.stderr.splitlines())

    @contextmanager
    def wiring(self) -> Iterator[Wiring]:
        with open_database_as_is(self.settings) as wiring:
            yield wiring

    @contextmanager
    def read(self, organisation: str = ACME) -> Iterator[Reader]:
        with self.wiring() as wiring:
            state = wiring.store.organisation(organisation)
            assert state is not None
            with wiring.unit_of_work(state.organisation_id).read() as reader:
                yield reader

    def state(self, organisation: str = ACME) -> OrganisationState:
        with self.read(organisation) as reader:
            return reader.organisation()

    def events(self, organisation: str = ACME) -> list[tuple[int, EventBody]]:
        with self.read(organisation) as reader:
            return [(row, parse_body(body)) for row, body in reader.events(EventQuery(limit=1_000_000))]

    def mark(self, organisation: str = ACME) -> None:
        """From here on `new_actions` counts."""
        rows = self.events(organisation)
        self._seen = rows[-1][0] if rows else 0

    def new_events(self, organisation: str = ACME) -> list[EventBody]:
        """Events written since the last mark, in their order; it marks again."""
        found = [(row, body) for row, body in self.events(organisation) if row > self._seen]
        self._seen = found[-1][0] if found else self._seen
        return [body for _, body in found]

    def new_actions(self, organisation: str = ACME) -> list[str]:
        return [body["action"] for body in self.new_events(organisation)]

    # Steps that many journeys begin with

    def set_up(
        self, *, plan: str = "Standard", seats: str = "", environment: str = "minut", owner: str = OWNER
    ) -> None:
        """A database with one organisation."""
        self.answer("db", "upgrade")
        self.answer("environment", "load", environment)
        self.create(ACME, plan=plan, seats=seats, environment=environment, owner=owner)

    def create(
        self,
        name: str,
        *,
        plan: str = "Standard",
        seats: str = "",
        environment: str = "minut",
        owner: str = OWNER,
    ) -> None:
        self.answer(
            "organisation",
            "create",
            name,
            "--environment",
            environment,
            "--plan",
            plan,
            "--owner-mail",
            owner,
            "--owner-name",
            "Olivia Owner",
            *(("--seats", seats) if seats else ()),
        )

    def write_export(self, text: str, name: str = "hq.ldif") -> Path:
        path = self.exports / name
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return path

    def add_directory(self, name: str = "hq", *options: str) -> None:
        self.answer(
            "directory",
            "add-ldif",
            name,
            "--file",
            f"{name}.ldif",
            "--dialect",
            "openldap",
            "--user-base",
            f"ou=people,{BASE}",
            "--group-base",
            f"ou=groups,{BASE}",
            *options,
        )

    def passwords(self, directory: str = "hq") -> dict[str, str]:
        """The passwords that are sealed for a directory."""
        with self.read() as reader:
            holder = next(known.directory_id for known in reader.directories() if known.name == directory)
            sealed = {name: reader.secret(holder, name) for name in ("password", "next_password")}
        return {name: secret.decode() for name, secret in sealed.items() if secret is not None}

    def seats(self) -> tuple[int, int]:
        """Seats used, and people waiting."""
        document = self.json("seats")
        return document["occupied"], document["waiting_count"]
