"""The state of one transaction while a command is worked into it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import assert_never

from audit.actors import AdminActor, ApiKeyActor, LoginActor, RunActor, SystemActor, TokenActor
from audit.body import parse_body
from audit.events import Reason, Target
from directory.changes import GroupMatch
from directory.ids import EventId, GroupId, MemberId, UserId
from directory.sso_changes import OpenSession
from mappings.scopes import ScopeNode
from provisioning.commands import Command
from provisioning.ledger import Ledger
from provisioning.models import OrganisationModel, compare_models, read_model
from provisioning.ports import Mint, Writer
from provisioning.state import MemberRecord, OrganisationState, PersonalData, StoredDirectory

SEAT_KINDS = frozenset({"seat_policy", "plan_change"})
"""The kinds of cause for which seats are given from the waiting list."""

PUSHED = "scim"
"""The kind of directory whose client sees its users and groups, and knows them by our ids."""

JUST_IN_TIME = "saml"
"""The kind of directory that logins over one connection write: of people whom no other directory brings."""

BATCH_SIZE = 1000
"""People whose access is worked out in one transaction."""


@dataclass(slots=True)
class Work:
    """One transaction. `model` is the committed model; `amended` says that the transaction has moved it.

    `causes` holds, for each member whose access must be worked out, the event that made it so; `group_causes` the
    event about one of its memberships, which is the better cause of a grant that rests on that group. `explicit`
    are people whom the command creates or activates, `newcomers` those of them who were not stored before,
    `entitled` those for whom an invitation has reserved a seat, and `heads` those with whom the giving of seats goes
    on. `is_queueing`: people were queued. `is_outgrown`: scopes were added that the model's access was not compiled
    with. `seat_event` and `admin_event` are the last events that took a seat and that made somebody an Admin of the
    organisation. The `shown_...` are those of whom a SCIM client sees something else than before; `stepped_users`
    have a new version already. `fresh` are members who have come in this transaction, as they are stored, but without
    attributes. The directory has taken something from those who are `deprived`; from those who are `beyond` more than
    its guard lets through. Of those `released` nothing is staged any more. `sessions` are opened when all else is
    worked out.
    """

    writer: Writer
    command: Command
    now: datetime
    mint: Mint
    state: OrganisationState
    model: OrganisationModel
    ledger: Ledger
    is_amended: bool = False
    is_outgrown: bool = False
    is_changed: bool = False
    is_queueing: bool = False
    seats_before: int = 0
    defers_seats: bool = False
    seats_opened: bool = False
    opened_by: EventId | None = None
    opened_kind: str = "seat_policy"
    seat_event: EventId | None = None
    admin_event: EventId | None = None
    causes: dict[MemberId, EventId] = field(default_factory=dict)
    kinds: dict[MemberId, str] = field(default_factory=dict)
    group_causes: dict[tuple[MemberId, GroupId], EventId] = field(default_factory=dict)
    explicit: set[MemberId] = field(default_factory=set)
    newcomers: set[MemberId] = field(default_factory=set)
    entitled: set[MemberId] = field(default_factory=set)
    heads: set[MemberId] = field(default_factory=set)
    waiting: set[MemberId] = field(default_factory=set)
    access_changed: list[MemberId] = field(default_factory=list)
    deactivated: list[MemberId] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    personal_data: list[PersonalData] = field(default_factory=list)
    fresh: dict[MemberId, MemberRecord] = field(default_factory=dict)
    known_directories: Sequence[StoredDirectory] | None = None
    shown_users: set[UserId] = field(default_factory=set)
    shown_members: set[MemberId] = field(default_factory=set)
    stepped_users: set[UserId] = field(default_factory=set)
    deprived: set[MemberId] = field(default_factory=set)
    beyond: set[MemberId] = field(default_factory=set)
    released: set[MemberId] = field(default_factory=set)
    sessions: list[OpenSession] = field(default_factory=list)

    def directories(self) -> Sequence[StoredDirectory]:
        """The organisation's directories, read once. A command that puts one does not ask for them afterwards."""
        if self.known_directories is None:
            self.known_directories = self.writer.directories()
        return self.known_directories

    def step_versions(self) -> None:
        """Let what a SCIM client sees of the moved users and groups have a new version."""
        # Newcomers have one user, which has just got its first version.
        members = {*self.access_changed, *self.shown_members} - self.newcomers
        users = self.shown_users - self.stepped_users
        if (members or users) and any(directory.kind == PUSHED for directory in self.directories()):
            self.writer.step_versions(
                users=users,
                members=members,
                leaving_out=self.stepped_users,
            )

    def amend(self, **values: object) -> None:
        """Change columns of the organisation's row; it is saved when the transaction ends."""
        self.state = replace(self.state, **values)  # type: ignore[arg-type]  # checked by the frozen dataclass
        self.is_changed = True

    def amend_model(self) -> None:
        """Rules, scopes, roles or settings were written: compile the model again from the transaction's own view."""
        self.model = read_model(self.writer, self.state)
        self.is_outgrown = False
        self.is_amended = True
        self.is_changed = True

    def add_scope(self, node: ScopeNode) -> None:
        """A scope that no rule, override or invitation names: nobody's access hangs on it, so none is looked at."""
        self.model = replace(self.model, scopes=self.model.scopes.plus(node))
        self.is_amended = True
        self.is_outgrown = True

    def touch(self, member_id: MemberId, event_id: EventId, kind: str = "") -> None:
        """The member's access must be worked out; the first event that says so is its cause."""
        if member_id not in self.causes:
            self.causes[member_id] = event_id
            if kind:
                self.kinds[member_id] = kind

    def open_seats(self, event_id: EventId, kind: str) -> None:
        """Seats came free without anybody leaving: the head of the waiting list is looked at, for this reason."""
        self.seats_opened = True
        self.opened_by = event_id
        self.opened_kind = kind

    def adopt(self, event_id: EventId) -> EventId:
        """Make an event of an earlier transaction ready to be a parent. One that is not kept stands as a root."""
        self.adopt_all([event_id])
        return event_id

    def adopt_all(self, event_ids: Collection[EventId]) -> None:
        """The same for many events."""
        bodies = self.writer.event_bodies(event_ids) if event_ids else {}
        for event_id in event_ids:
            body = bodies.get(event_id)
            root = parse_body(body)["cause"].get("root") if body is not None else None
            self.ledger.adopt(event_id, EventId(root) if root else event_id)

    @property
    def author(self) -> str:
        """Who is written down as the author of rules, overrides and blocks."""
        match self.command.actor:
            case AdminActor(admin_id):
                return admin_id
            case SystemActor(component):
                return component
            case TokenActor(token_id):
                return token_id
            case RunActor(run_id):
                return run_id
            case LoginActor(login_id):
                return login_id
            case ApiKeyActor(key_id):
                return key_id
            case _:
                assert_never(self.command.actor)


def follow_model(
    work: Work, event_id: EventId, kind: str, *, events: Mapping[GroupId, EventId] = MappingProxyType({})
) -> None:
    """Compile the model anew and queue everyone whose access the move can touch, by set-based statements.

    Rules that can grant nothing from now on are noted. `events` names for some groups the event that moved them;
    what else moves is caused by `event_id`.
    """
    old = work.model
    work.amend_model()
    _note_dangling(work, old, events, event_id)
    affected = compare_models(old, work.model)
    if affected.is_everyone:
        work.writer.enqueue_everyone(kind=kind, root=work.ledger.root_of(event_id), parent=event_id)
    for cause, groups in _by_cause(affected.groups, old, work.model, events, event_id).items():
        queue_groups(work, groups, cause, kind)
    if affected.directories:
        root = work.ledger.root_of(event_id)
        work.writer.enqueue_directories(affected.directories, kind=kind, root=root, parent=event_id)
    work.is_queueing = True


def queue_groups(work: Work, groups: Collection[GroupId], event_id: EventId, kind: str) -> None:
    """The members of these groups wait for their access to be worked out again."""
    work.writer.enqueue_groups(groups, kind=kind, root=work.ledger.root_of(event_id), parent=event_id)
    work.is_queueing = True


def _note_dangling(
    work: Work, old: OrganisationModel, events: Mapping[GroupId, EventId], event_id: EventId
) -> None:
    before = {rule.rule_id for rule, _ in old.access.dangling}
    for rule, fault in work.model.access.dangling:
        if rule.rule_id in before:
            continue
        group_id = rule.match.group_id if isinstance(rule.match, GroupMatch) else GroupId("")
        work.ledger.record(
            "mapping.dangling",
            (Target("rule", rule.rule_id),),
            parent=events.get(group_id, event_id),
            reason=Reason(fault.code.value),
            rule_id=rule.rule_id,
            rule_version=rule.version,
        )


def _by_cause(
    groups: Collection[GroupId],
    old: OrganisationModel,
    new: OrganisationModel,
    events: Mapping[GroupId, EventId],
    event_id: EventId,
) -> dict[EventId, list[GroupId]]:
    """The affected groups by the event that moved them, or that moved a group around them."""
    causes = dict(events)
    for moved, event in events.items():
        for model in (old, new):
            for group_id in model.access.nesting.descendants(moved):
                causes.setdefault(group_id, event)
    found: dict[EventId, list[GroupId]] = {}
    for group_id in sorted(groups):
        found.setdefault(causes.get(group_id, event_id), []).append(group_id)
    return found
