"""The one factory of worlds: an organisation in a real database, with a clock that is moved by hand.

A world writes through the one write path only, and reads what came of it. Ids are minted by counting, so that two
runs of a test see the same ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict, Unpack

import pytest
from sqlalchemy import select

import mappings
from audit.actors import Actor, AdminActor, TokenActor
from audit.body import EventBody, parse_body
from audit.chains import walk_chain
from directory.changes import (
    AddMembers,
    AttributeMatch,
    Change,
    EnrolOwner,
    GroupMatch,
    Match,
    NameMatch,
    PutDirectory,
    PutGroup,
    PutRule,
    PutScope,
    PutUser,
)
from directory.facts import Activity, GroupFacts, UserFacts
from directory.ids import (
    DirectoryId,
    EnvironmentId,
    EventId,
    ExternalId,
    GroupId,
    MemberId,
    OrganisationId,
    RoleId,
    RuleId,
    RunId,
    ScopeId,
)
from provisioning.apply import apply_changes
from provisioning.commands import Applied, Command, Fence, Refused
from provisioning.models import ModelCache
from provisioning.ports import EventQuery, Reader
from provisioning.runs import LEASE, Claim, RunKeeper
from provisioning.state import (
    MemberRecord,
    OrganisationState,
    RunRecord,
    Seat,
    SeatPolicy,
    StoredDirectory,
    StoredGroup,
    StoredUser,
)
from storage import tables
from storage.engine import Database, open_database
from storage.migrate import upgrade
from storage.secrets import KeyRing
from storage.service_store import SQLServiceStore
from storage.unit_of_work import OrganisationUnitOfWork
from sync.run import run_directory
from tests.postgresql import DatabaseFactory

MONDAY: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
OPERATOR: Final = AdminActor("operator", is_operator=True)
KEY_RING: Final = KeyRing({"k1": bytes(range(32))}, "k1")
CATALOGUES: Final = Path(mappings.__file__).parent / "catalogues"

ADMIN: Final = RoleId("Admin")
MEMBER: Final = RoleId("Member")
CREATOR: Final = RoleId("Creator")
WORKER: Final = RoleId("Operator")

NOBODY: Final = MemberId("")

_series = count(1)


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = MONDAY) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **amount: float) -> datetime:
        """Go on by an amount of `timedelta`; the moment reached."""
        self.now += timedelta(**amount)
        return self.now


class CountingMint:
    """Ids and salts by counting, in the form of UUIDv7. No two mints of one process share an id.

    Another process that writes to the same database needs a `series` of its own.
    """

    def __init__(self, series: int | None = None) -> None:
        self._series = next(_series) if series is None else series
        self._numbers = count(1)

    def id(self) -> str:
        number = next(self._numbers)
        return f"{0x01990000 + self._series:08x}-{number >> 16 & 0xFFFF:04x}-7000-8000-{number:012x}"

    def salt(self) -> bytes:
        return bytes(16)


class WorldOptions(TypedDict, total=False):
    """What can be chosen about a world."""

    catalogue: str
    plan: str | None
    seat_limit: int | None
    policy: str
    with_owner: bool
    folder: Path


class MakeWorld(Protocol):
    def __call__(self, **options: Unpack[WorldOptions]) -> "World": ...


class CommandOptions(TypedDict, total=False):
    """What a command says besides its changes."""

    actor: Actor
    kind: str
    directory_id: DirectoryId | None
    root: EventId | None
    run_id: str
    request_id: str
    fence: Fence | None
    refuse_when_full: bool
    defer_seats: bool
    expected_version: int | None
    plan_hash: str


class UserValues(TypedDict, total=False):
    """Facts of a user in place of those that the name gives."""

    external_id: ExternalId
    user_name: str
    display_name: str
    given_name: str
    family_name: str
    mails: tuple[str, ...]
    activity: Activity
    dn: str
    attributes: Mapping[str, tuple[str, ...]]


class DirectoryValues(TypedDict, total=False):
    settings: Mapping[str, str | int | bool]
    default_role: RoleId | None
    priority: int


class Approval(TypedDict, total=False):
    approval: str
    approved_by: str


class Tools(TypedDict):
    """What every use case of the write path takes besides its command."""

    unit_of_work: OrganisationUnitOfWork
    clock: FakeClock
    mint: CountingMint
    models: ModelCache


def external(name: str) -> ExternalId:
    return ExternalId(name)


def user_facts(name: str, **values: Unpack[UserValues]) -> UserFacts:
    """A user by one name: external id, user name and mail are made of it."""
    facts = UserFacts(
        external_id=ExternalId(name),
        user_name=name,
        display_name=name.title(),
        mails=(f"{name}@example.org",),
    )
    return replace(facts, **values)


def put_user(name: str, *, active: bool = True, **values: Unpack[UserValues]) -> PutUser:
    values.setdefault("activity", Activity.ACTIVE if active else Activity.DISABLED)
    return PutUser(user_facts(name, **values))


def put_group(name: str, display_name: str = "") -> PutGroup:
    return PutGroup(GroupFacts(ExternalId(name), display_name or name.title()))


def add_members(group: str, *users: str) -> AddMembers:
    return AddMembers(ExternalId(group), tuple(map(ExternalId, users)))


@dataclass
class World:
    """One organisation, all that is needed to change it, and ways to look at it."""

    database: Database
    unit_of_work: OrganisationUnitOfWork
    root: ScopeId
    catalogue: str
    clock: FakeClock = field(default_factory=FakeClock)
    mint: CountingMint = field(default_factory=CountingMint)
    models: ModelCache = field(default_factory=ModelCache)
    owner: MemberId = NOBODY
    folder: Path = Path()
    _log: dict[EventId, EventBody] = field(default_factory=dict)
    _last_row: int = 0
    _seen: int = 0

    # Commands

    def command(self, *changes: Change, **options: Unpack[CommandOptions]) -> Command:
        options.setdefault("actor", OPERATOR)
        options.setdefault("kind", "admin_action")
        return Command(changes=changes, **options)

    def apply(self, command: Command) -> Applied | Refused:
        return apply_changes(command, **self.tools)

    @property
    def tools(self) -> Tools:
        return Tools(unit_of_work=self.unit_of_work, clock=self.clock, mint=self.mint, models=self.models)

    @property
    def keeper(self) -> RunKeeper:
        return RunKeeper(**self.tools)

    def do(self, *changes: Change, **options: Unpack[CommandOptions]) -> Applied:
        """Apply the changes, by default as the operator; they must not be refused."""
        outcome = self.apply(self.command(*changes, **options))
        assert isinstance(outcome, Applied), outcome
        return outcome

    def refuse(self, *changes: Change, **options: Unpack[CommandOptions]) -> Refused:
        """Apply changes that must be refused."""
        outcome = self.apply(self.command(*changes, **options))
        assert isinstance(outcome, Refused), outcome
        return outcome

    def request(self, speaker: DirectoryId, *changes: Change) -> Applied | Refused:
        """What the directory's SCIM client says in one request, and what becomes of it."""
        command = self.command(
            *changes,
            actor=TokenActor("token", speaker),
            directory_id=speaker,
            kind="scim_request",
            request_id="req_1",
            refuse_when_full=True,
        )
        return self.apply(command)

    def push(self, speaker: DirectoryId, *changes: Change) -> Applied:
        """A SCIM request that must not be refused."""
        outcome = self.request(speaker, *changes)
        assert isinstance(outcome, Applied), outcome
        return outcome

    # Things

    def new_id(self) -> str:
        return self.mint.id()

    def put_directory(
        self, name: str = "hq", *, kind: str = "ldap", **values: Unpack[DirectoryValues]
    ) -> DirectoryId:
        directory_id = DirectoryId(self.new_id())
        values.setdefault("settings", {})
        self.do(PutDirectory(directory_id, kind, name, **values))
        return directory_id

    def put_scope(self, name: str, kind: str = "location", parent: ScopeId | None = None) -> ScopeId:
        """A node below the root or another node; its host id is the name in small letters."""
        scope_id = ScopeId(self.new_id())
        self.do(PutScope(scope_id, kind, name, name.lower(), (parent or self.root,)))
        return scope_id

    def put_rule(
        self,
        match: Match | GroupId,
        role: RoleId = MEMBER,
        scope: ScopeId | None = None,
        *,
        priority: int = 100,
    ) -> RuleId:
        """A rule that grants the role, at the root unless a scope is named."""
        rule_id = RuleId(self.new_id())
        if not isinstance(match, GroupMatch | NameMatch | AttributeMatch):
            match = GroupMatch(match)
        scope_id = None if isinstance(match, NameMatch) else scope or self.root
        self.do(PutRule(rule_id, match, role, scope_id, priority))
        return rule_id

    def team(self, *users: str, role: RoleId = MEMBER, directory_name: str = "hq") -> DirectoryId:
        """A directory with a group `team` of these users and a rule on it, pushed one by one."""
        directory_id = self.put_directory(directory_name)
        self.grow(directory_id, "team", *users, role=role)
        return directory_id

    def grow(
        self,
        directory_id: DirectoryId,
        group: str,
        *users: str,
        role: RoleId = MEMBER,
        scope: ScopeId | None = None,
        priority: int = 100,
    ) -> RuleId:
        """A group of the directory with a rule on it, and users in it who are pushed one by one."""
        self.push(directory_id, put_group(group))
        rule_id = self.put_rule(self.group(directory_id, group).group_id, role, scope, priority=priority)
        for name in users:
            self.push(directory_id, put_user(name))
            self.push(directory_id, add_members(group, name))
        return rule_id

    # Looking

    def read(self) -> AbstractContextManager[Reader]:
        return self.unit_of_work.read()

    @property
    def organisation_id(self) -> OrganisationId:
        return self.unit_of_work.organisation_id

    @property
    def state(self) -> OrganisationState:
        with self.read() as reader:
            return reader.organisation()

    def user(self, directory_id: DirectoryId, name: str) -> StoredUser:
        with self.read() as reader:
            return reader.users_by_external_id(directory_id, [ExternalId(name)])[ExternalId(name)]

    def has_user(self, directory_id: DirectoryId, name: str) -> bool:
        with self.read() as reader:
            return bool(reader.users_by_external_id(directory_id, [ExternalId(name)]))

    def group(self, directory_id: DirectoryId, name: str) -> StoredGroup:
        with self.read() as reader:
            return reader.groups_by_external_id(directory_id, [ExternalId(name)])[ExternalId(name)]

    def in_group(self, directory_id: DirectoryId, name: str) -> set[str]:
        """External ids of the users directly in a group."""
        with self.read() as reader:
            return set(reader.user_ids_of_group(self.group(directory_id, name).group_id))

    def member_of(self, directory_id: DirectoryId, name: str) -> MemberId:
        return self.user(directory_id, name).member_id

    def record(self, member_id: MemberId) -> MemberRecord:
        with self.read() as reader:
            return reader.member_records([member_id])[member_id]

    def held(self, member_id: MemberId) -> set[tuple[RoleId, ScopeId]]:
        """The (role, scope) pairs that the member holds."""
        return {open_grant.grant.pair for open_grant in self.record(member_id).held}

    def roles(self, member_id: MemberId) -> list[str]:
        """The member's roles, each once."""
        return sorted({role for role, _ in self.held(member_id)})

    def seat(self, member_id: MemberId) -> Seat:
        return self.record(member_id).seat

    def seats(self, directory_id: DirectoryId, *names: str) -> list[str]:
        return [self.seat(self.member_of(directory_id, name)).value for name in names]

    def members(self) -> list[MemberId]:
        with self.read() as reader:
            return reader.member_ids(None, 1_000_000)

    def waiting(self) -> list[MemberId]:
        """The waiting list, its head first."""
        with self.read() as reader:
            return reader.waiting(1_000_000, ())

    def stored_directory(self, directory_id: DirectoryId) -> StoredDirectory:
        with self.read() as reader:
            return next(one for one in reader.directories() if one.directory_id == directory_id)

    def snapshot(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the organisation but its log, to compare two moments by."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        with self.database.read() as connection:
            for table in tables.metadata.sorted_tables:
                if not table.name.startswith("audit_") and "organisation_id" in table.c:
                    rows = connection.execute(
                        select(table).where(table.c.organisation_id == self.organisation_id)
                    )
                    found[table.name] = sorted(tuple(map(repr, row)) for row in rows)
        found["organisation"] = [(repr(self.state),)]
        return found

    def outbox(self) -> list[tuple[str, dict[str, Any]]]:
        """Topic and payload of what is to be sent, the first first."""
        table = tables.outbox
        with self.database.read() as connection:
            rows = connection.execute(
                select(table.c.topic, table.c.payload)
                .where(table.c.organisation_id == self.organisation_id)
                .order_by(table.c.id)
            )
            return [(row[0], row[1]) for row in rows]

    # The log

    def bodies(self) -> list[EventBody]:
        """The whole log. Every chain must lead to its root."""
        with self.read() as reader:
            rows = list(reader.events(EventQuery(after=self._last_row, limit=1_000_000)))
        if rows:
            self._last_row = rows[-1][0]
            new = {EventId(body["id"]): body for body in (parse_body(row) for _, row in rows)}
            self._log.update(new)
            for event_id in new:
                walk_chain(event_id, self._log.get)
        return list(self._log.values())

    def new_bodies(self) -> list[EventBody]:
        """What was written since this, or `events`, was last asked."""
        bodies = self.bodies()[self._seen :]
        self._seen += len(bodies)
        return bodies

    def events(self) -> list[str]:
        """The actions written since last asked, in order."""
        return [body["action"] for body in self.new_bodies()]

    def chain(self, body: EventBody) -> list[str]:
        """The actions from an event to its root."""
        self.bodies()
        return [one["action"] for one in walk_chain(EventId(body["id"]), self._log.get)]

    def check(self) -> None:
        """What must hold at any time: counters, seats, grants and the log say the same."""
        state = self.state
        with self.read() as reader:
            limit = len(self.members()) + 1
            records = reader.member_records(reader.member_ids(None, limit))
            open_grants = set(reader.open_grants())
            assert reader.count_waiting() == sum(one.seat is Seat.WAITING for one in records.values())
        seated = {member_id for member_id, one in records.items() if one.seat is Seat.SEATED}
        assert state.seated == len(seated)
        assert state.reserved == self._count_pending_invitations()
        assert {member_id for member_id, _, _ in open_grants} == seated
        for one in records.values():
            assert one.is_active or one.seat is Seat.NONE
        assert self._replayed() == {(str(m), str(r), str(s)) for m, r, s in open_grants}

    def _count_pending_invitations(self) -> int:
        with self.read() as reader:
            return len(reader.invitations_due(datetime(9999, 1, 1, tzinfo=UTC), 1_000_000))

    def _replayed(self) -> set[tuple[str, str, str]]:
        """The grants that the log leads to."""
        held: set[tuple[str, str, str]] = set()
        for body in self.bodies():
            if body["action"] in {"role.granted", "role.revoked"}:
                values = {change["path"]: change for change in body["changes"]}
                side = "after" if body["action"] == "role.granted" else "before"
                role, scope = values["role"][side], values["scope_id"][side]  # type: ignore[literal-required]  # of the two
                grant = (body["targets"][0]["id"], str(role), str(scope))
                assert (grant in held) == (side == "before"), f"{body['action']} said twice: {grant}"
                held ^= {grant}
        return held

    # Runs

    def export(self, text: str, name: str = "export.ldif") -> None:
        """Write the file that an LDIF directory reads."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def put_ldif(self, name: str = "hq", **settings: str | int | bool) -> DirectoryId:
        given = {"file": "export.ldif", "dialect": "openldap", **settings}
        return self.put_directory(name, kind="ldif", settings=given)

    def claim(self, directory_id: DirectoryId, *, approval: str = "", approved_by: str = "") -> Claim:
        """Take the directory over, whoever holds it."""
        lease_until = self.clock() + LEASE
        later = datetime(9999, 1, 1, tzinfo=UTC)
        assert SQLServiceStore(self.database).claim(directory_id, "test", later, lease_until)
        return Claim(
            run_id=RunId(self.new_id()),
            directory=self.stored_directory(directory_id),
            fence=self.stored_directory(directory_id).fence,
            started_at=self.clock(),
            approval=approval,
            approved_by=approved_by,
        )

    def run(self, directory_id: DirectoryId, **approval: Unpack[Approval]) -> RunRecord:
        """Run an LDIF directory on the present export."""
        claim = self.claim(directory_id, **approval)
        return run_directory(claim, keeper=self.keeper, exports=self.folder)


def make_world(
    database: Database,
    *,
    catalogue: str = "minut",
    plan: str | None = "Pro",
    seat_limit: int | None = None,
    policy: str = "reject",
    with_owner: bool = True,
    folder: Path = Path(),
) -> World:
    """A new organisation in the database, with an owner unless told otherwise, whose events are taken as seen."""
    store = SQLServiceStore(database)
    environment_id = EnvironmentId(catalogue)
    if store.environment(environment_id) is None:
        text = (CATALOGUES / f"{catalogue}.yaml").read_text(encoding="utf-8")
        store.put_environment(environment_id, text, sha256(text.encode()).hexdigest(), MONDAY)
    mint = CountingMint()
    state = OrganisationState(
        organisation_id=OrganisationId(mint.id()),
        environment_id=environment_id,
        name=f"Nordhem {mint.id()}",
        plan=plan,
        seat_limit=seat_limit,
        seat_policy=SeatPolicy(policy),
        resolution=None,
        switches={},
        owner_id=None,
        root_scope_id=ScopeId(mint.id()),
        access_version=1,
        model_version=1,
        seated=0,
        reserved=0,
    )
    store.create_organisation(state, MONDAY)
    world = World(
        database=database,
        unit_of_work=OrganisationUnitOfWork(database, state.organisation_id),
        root=state.root_scope_id,
        catalogue=catalogue,
        mint=mint,
        folder=folder,
    )
    if with_owner:
        world.owner = MemberId(mint.id())
        world.do(EnrolOwner(world.owner, "olga@example.org", "Olga Owner"))
    world.events()
    return world


@contextmanager
def shared_database(kind: str, folder: Path, postgresql: DatabaseFactory | None) -> Iterator[Database]:
    """A database with all tables. Worlds are isolated in it, so that tests can share it."""
    url = postgresql() if postgresql is not None else f"sqlite:///{folder / 'usher.db'}"
    assert (postgresql is not None) == (kind == "postgresql")
    database = open_database(url, key_ring=KEY_RING)
    upgrade(database)
    yield database
    database.close()


on_sqlite_only: Final = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what is decided before any database is asked, and for properties."""

KINDS: Final[Sequence[Any]] = ("sqlite", pytest.param("postgresql", marks=pytest.mark.pg))
"""The kinds of database, as parameters of a fixture."""
