"""The state of one transaction while a command is worked into it."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from audit.actors import AdminActor, SystemActor
from directory.ids import EventId, GroupId, MemberId
from provisioning.commands import Command
from provisioning.ledger import Ledger
from provisioning.models import Affected, OrganisationModel, compare_models, read_model
from provisioning.ports import Mint, Writer
from provisioning.state import OrganisationState, PersonalData

BATCH_SIZE = 1000
"""People whose access is worked out in one transaction."""


@dataclass(slots=True)
class Work:
    """One transaction. `model` is the committed model; `amended` says that the transaction has moved it.

    `causes` holds, for each member whose access must be worked out, the event that made it so; `group_causes` the
    event about one of its memberships, which is the better cause of a grant that rests on that group.
    """

    writer: Writer
    command: Command
    now: datetime
    mint: Mint
    state: OrganisationState
    model: OrganisationModel
    ledger: Ledger
    is_amended: bool = False
    is_changed: bool = False
    seats_before: int = 0
    seats_opened: bool = False
    opened_by: EventId | None = None
    opened_kind: str = "seat_policy"
    more_waiting: bool = False
    pending: int = 0
    causes: dict[MemberId, EventId] = field(default_factory=dict)
    kinds: dict[MemberId, str] = field(default_factory=dict)
    group_causes: dict[tuple[MemberId, GroupId], EventId] = field(default_factory=dict)
    roots: dict[EventId, EventId] = field(default_factory=dict)
    explicit: set[MemberId] = field(default_factory=set)
    waiting: set[MemberId] = field(default_factory=set)
    access_changed: list[MemberId] = field(default_factory=list)
    deactivated: list[MemberId] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    personal_data: list[PersonalData] = field(default_factory=list)

    def amend(self, **values: object) -> None:
        """Change columns of the organisation's row; it is saved when the transaction ends."""
        self.state = replace(self.state, **values)  # type: ignore[arg-type]  # checked by the frozen dataclass
        self.is_changed = True

    def amend_model(self) -> None:
        """Rules, scopes, roles or settings were written: compile the model again from the transaction's own view."""
        self.model = read_model(self.writer, self.state)
        self.is_amended = True
        self.is_changed = True

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

    @property
    def author(self) -> str:
        """Who is written down as the author of rules, overrides and blocks."""
        actor = self.command.actor
        if isinstance(actor, AdminActor):
            return actor.admin_id
        return actor.component if isinstance(actor, SystemActor) else "directory"


def follow_model(work: Work, event_id: EventId, kind: str) -> None:
    """Compile the model anew and queue everyone whose access the move can touch, by set-based statements."""
    old = work.model
    work.amend_model()
    queue_affected(work, compare_models(old, work.model), event_id, kind)


def queue_affected(work: Work, affected: Affected, event_id: EventId, kind: str) -> None:
    """Members of the affected groups and directories wait for their access to be worked out again."""
    root = work.ledger.root_of(event_id)
    writer = work.writer
    if affected.is_everyone:
        work.pending += writer.enqueue_everyone(kind=kind, root=root, parent=event_id)
        return
    if affected.groups:
        work.pending += writer.enqueue_groups(affected.groups, kind=kind, root=root, parent=event_id)
    if affected.directories:
        work.pending += writer.enqueue_directories(
            affected.directories, kind=kind, root=root, parent=event_id
        )
