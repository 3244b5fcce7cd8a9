"""An organisation to measure, with rules, and with a directory to read.

Imports what the service imports and nothing of the tests, so that memory can be measured in a process that runs it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import mappings
from audit.actors import AdminActor
from directory.changes import AttributeMatch, Change, PutDirectory, PutRule, PutScope
from directory.ids import DirectoryId, EnvironmentId, ExternalId, GroupId, RoleId, RuleId, RunId, ScopeId
from provisioning.apply import apply_changes
from provisioning.commands import Applied, Command
from provisioning.ports import UnitOfWork
from provisioning.runs import LEASE, Claim, RunKeeper
from provisioning.state import UNLIMITED, RunRecord
from service.environments import load_environment
from service.organisations import NewOrganisation, create_organisation
from service.settings import Settings
from service.wiring import Wiring, wire
from storage.migrate import upgrade
from storage.secrets import KeyRing
from sync.run import run_directory

OPERATOR = AdminActor("operator:bench", is_operator=True)


class Place:
    """One organisation of Minut without a seat limit, and one LDIF directory."""

    def __init__(self, wiring: Wiring, exports: Path) -> None:
        self.password = ""
        """Of the directory, if it is one that asks for one."""
        self.wiring = wiring
        self.exports = exports
        state = wiring.store.organisation("Bench")
        assert state is not None
        self.state = state
        self.unit_of_work: UnitOfWork = wiring.unit_of_work(state.organisation_id)
        with self.unit_of_work.read() as reader:
            self.directory_id = (
                next(iter(reader.directories())).directory_id if reader.directories() else None
            )
            nodes = reader.model_inputs().scopes
        self.location = next((node.scope_id for node in nodes if node.kind == "location"), None)

    def do(self, *changes: Change, directory_id: DirectoryId | None = None) -> Applied:
        wiring = self.wiring
        outcome = apply_changes(
            self.command(*changes, directory_id=directory_id),
            unit_of_work=self.unit_of_work,
            clock=wiring.clock,
            mint=wiring.mint,
            models=wiring.models,
        )
        assert isinstance(outcome, Applied), outcome
        return outcome

    def command(self, *changes: Change, directory_id: DirectoryId | None = None) -> Command:
        return Command(OPERATOR, changes, "admin_action", directory_id=directory_id)

    def set_up(self, file: str, *, rules: int) -> None:
        """A location, an LDIF directory, and rules on departments as the seed has them."""
        self.set_up_directory("ldif", {"file": file, "dialect": "openldap"}, rules=rules)

    def set_up_directory(self, kind: str, settings: Mapping[str, str | int | bool], *, rules: int) -> None:
        """The same with any kind of directory."""
        mint = self.wiring.mint
        self.directory_id = DirectoryId(mint.id())
        self.location = ScopeId(mint.id())
        self.do(
            PutDirectory(self.directory_id, kind, "bench", settings),
            PutScope(self.location, "location", "Gothenburg", "gothenburg", (self.state.root_scope_id,)),
        )
        for number in range(rules):
            match = AttributeMatch(self.directory_id, f'department eq "dept{number % 40}"')
            role = RoleId("Member" if number % 2 else "Operator")
            self.do(PutRule(RuleId(mint.id()), match, role, self.location, priority=number))

    def run(self) -> RunRecord:
        wiring = self.wiring
        assert self.directory_id is not None
        now = wiring.clock()
        claim = wiring.store.claim(self.directory_id, "bench", now, now + LEASE)
        assert claim is not None
        with self.unit_of_work.read() as reader:
            (directory,) = [row for row in reader.directories() if row.directory_id == self.directory_id]
        keeper = RunKeeper(self.unit_of_work, wiring.clock, wiring.mint, wiring.models)
        ticket = Claim(RunId(wiring.mint.id()), directory, claim.fence, now)
        return run_directory(ticket, keeper=keeper, exports=self.exports, passwords=lambda _: self.password)

    def group_by_size(self, size: int) -> GroupId:
        """The group whose direct members are nearest to `size` in number."""
        with self.unit_of_work.read() as reader:
            sizes = reader.group_sizes()
        return min(sizes, key=lambda group_id: abs(sizes[group_id] - size))

    def external_id(self, group_id: GroupId) -> ExternalId:
        with self.unit_of_work.read() as reader:
            return reader.groups_by_id([group_id])[group_id].external_id


@contextlib.contextmanager
def open_place(url: str, exports: Path, *, is_new: bool = False) -> Iterator[Place]:
    settings = Settings(database_url=url)
    with wire(settings, KeyRing({"bench": bytes(32)}, "bench")) as wiring:
        if is_new:
            upgrade(wiring.database)
            text = files(mappings).joinpath("catalogues", "minut.yaml").read_text(encoding="utf-8")
            load_environment(text, source="minut.yaml", wiring=wiring, actor=OPERATOR)
            create_organisation(
                NewOrganisation(
                    "Bench", EnvironmentId("minut"), "owner@bench.example", "Owner", "Enterprise", UNLIMITED
                ),
                wiring=wiring,
                actor=OPERATOR,
            )
        yield Place(wiring, exports)
