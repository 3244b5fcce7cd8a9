"""How long the record is kept, the legal hold that keeps it longer, and the erasure of people from it.

A removal takes a beginning of an organisation's log, of which every event is older than the limit by what it says and
by when it was sealed. It waits for no stream: what one has not sent yet is told to its destination as a gap.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from audit.body import parse_body
from audit.events import FieldChange, Target
from audit.tree import layered_nodes, right_edge
from provisioning.ledger import Ledger
from provisioning.log_retention import (
    LEAST_DAYS,
    MOST_DAYS,
    Erased,
    Hold,
    Keeping,
    KeepingView,
    Person,
    Range,
    RetentionHeldError,
    baseline_digest,
)
from provisioning.replay import replay_events
from provisioning.state import EventRow
from provisioning.streaming import LIVE
from service.administration import Administration
from service.errors import AmbiguousNameError, InputError, NotFoundError, RefusedError
from service.jobs import as_system
from service.names import is_id
from service.wiring import Wiring
from storage.engine import Database, open_database
from storage.errors import StorageError
from storage.log_retention import SQLLogKeeper
from storage.sealing import SQLSealing

RETENTION_SECONDS: Final = 3600
"""How often it is looked for events that are old enough."""

LONGEST_REASON: Final = 400
_DECLARED_AT_ONCE: Final = 100_000
_REMOVED_AT_ONCE: Final = 1_000
_ERASED_AT_ONCE: Final = 200
_LEAVERS_AT_ONCE: Final = 100_000
_REFERENCE = "pii:"

_log = structlog.get_logger("usher.retention")


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What the retention would do now. `overtaken` are streams that have not sent all of it."""

    keeping: Keeping
    limit: datetime
    leaves: Range
    size: int
    overtaken: tuple[str, ...]
    is_held: bool

    @property
    def number(self) -> int:
        """Events that are to go: those that are declared already, and those that are old enough."""
        return self.leaves.stop - self.keeping.removed_before


@dataclass(frozen=True, slots=True)
class Applied:
    """How many events went, and references that were kept for them alone. `first` and `stop` are the leaves."""

    leaves: int
    references: int


@dataclass(frozen=True, slots=True)
class ErasedPeople:
    """`is_overwritten`: nothing of it is left in the files of the database, as far as those are ours to change."""

    persons: int
    references: int
    is_overwritten: bool


def plan_retention(administration: Administration, days: int | None = None) -> RetentionPlan:
    """Look what is old enough, by the organisation's days or by others."""
    wiring = administration.wiring
    now = wiring.clock()
    with _keeper(administration).read() as view:
        return _plan(view, now, days)


def _plan(view: KeepingView, now: datetime, days: int | None = None) -> RetentionPlan:
    keeping = view.keeping()
    limit = keeping.limit(now, days)
    old = max(view.old_leaves(limit), keeping.declared_before)
    names = {stream.stream_id: stream.name for stream in view.streams.streams()}
    behind = {
        names[lane.stream_id]
        for lane in view.streams.lanes()
        if lane.track == LIVE and lane.position < old - 1 and old > keeping.removed_before
    }
    return RetentionPlan(
        keeping,
        limit,
        Range(keeping.declared_before, old),
        view.streams.sealed_head() + 1,
        tuple(sorted(behind)),
        keeping.hold is not None and keeping.hold.stands(now),
    )


def apply_retention(
    administration: Administration,
    *,
    declared_at_once: int = _DECLARED_AT_ONCE,
    removed_at_once: int = _REMOVED_AT_ONCE,
    is_stopping: Callable[[], bool] = lambda: False,
    after_batch: Callable[[int], None] = lambda _leaves: None,
) -> Applied:
    """Remove what is older than the organisation keeps it, beginning with what an earlier call was cut off from.

    May be done by several processes at once. Raises RetentionHeldError.
    """
    wiring = administration.wiring
    leaves, references = 0, 0
    with _removing_keeper(administration) as keeper:
        while True:
            while not is_stopping():
                removed = keeper.remove(wiring.clock(), removed_at_once)
                if not removed.leaves:
                    break
                leaves += removed.leaves
                references += removed.references
                after_batch(leaves)
            if is_stopping() or not _declare(administration, keeper, declared_at_once):
                return Applied(leaves, references)


def _declare(administration: Administration, keeper: SQLLogKeeper, at_once: int) -> bool:
    """Declare the next range; False when nothing is old enough."""
    wiring = administration.wiring
    now = wiring.clock()
    with keeper.read() as view:
        plan = _plan(view, now)
        leaves = Range(plan.leaves.first, min(plan.leaves.stop, plan.leaves.first + at_once))
        if not len(leaves):
            return False
        replay = replay_events(map(parse_body, view.bodies(leaves)), view.baseline())
    with SQLSealing(wiring.database).read(administration.organisation_id) as log:
        root = right_edge(leaves.stop, layered_nodes(log.node, log.leaves)).root()
    event = _event(
        administration,
        "log.retention_applied",
        (
            FieldChange("first", None, leaves.first),
            FieldChange("last", None, leaves.stop - 1),
            FieldChange("root", None, root.hex()),
            FieldChange("baseline", None, baseline_digest(replay.members)),
            FieldChange("days", None, plan.keeping.days),
        ),
    )
    moved = {member_id: replay.members[member_id] for member_id in replay.touched & replay.members.keys()}
    keeper.declare(leaves, moved, event, now)
    # Whoever was quicker has declared it: there may be more all the same.
    return True


def apply_retention_everywhere(wiring: Wiring, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """The job: every organisation in turn; how many events went. A hold keeps one and no other."""
    number = 0
    for state in wiring.store.organisations():
        if is_stopping():
            break
        administration = as_system(wiring, state.organisation_id, "retention", kind="retention")
        try:
            number += apply_retention(administration, is_stopping=is_stopping).leaves
        except RetentionHeldError:
            continue
        except StorageError as error:
            _log.error(
                "the retention could not be applied", organisation=state.organisation_id, reason=str(error)
            )
    return number


def set_retention(administration: Administration, days: int) -> Keeping:
    """Keep the record for so many days from now on. What is older goes with the next removal."""
    if not LEAST_DAYS <= days <= MOST_DAYS:
        raise InputError([f"the record is kept for {LEAST_DAYS} to {MOST_DAYS} days, not {days}"])
    keeper = _keeper(administration)
    with keeper.read() as view:
        before = view.keeping()
    if before.set_days != days:
        change = FieldChange("days", before.days, days)
        keeper.set_days(days, _event(administration, "log.retention_set", (change,)))
    with keeper.read() as view:
        return view.keeping()


def set_hold(administration: Administration, reason: str, ends_at: datetime | None = None) -> Hold:
    """Keep everything: nothing is removed or erased before the hold ends or is lifted."""
    now = administration.wiring.clock()
    if not reason.strip() or len(reason.encode("utf-8", "replace")) > LONGEST_REASON:
        raise InputError([f"a hold needs a reason of at most {LONGEST_REASON} bytes"])
    if ends_at is not None and ends_at <= now:
        raise InputError([f"the end of the hold, {_moment(ends_at)}, has been already"])
    hold = Hold(reason, now, ends_at)
    changes = [FieldChange("reason", None, reason)]
    if ends_at is not None:
        changes.append(FieldChange("ends_at", None, _moment(ends_at)))
    _keeper(administration).set_hold(hold, _event(administration, "log.hold_set", changes))
    return hold


def lift_hold(administration: Administration) -> Hold:
    """Let removals and erasures go on. Raises RefusedError where no hold stands."""
    keeper = _keeper(administration)
    with keeper.read() as view:
        hold = view.keeping().hold
    if hold is None or not hold.stands(administration.wiring.clock()):
        raise RefusedError("no_hold", "no legal hold stands")
    change = FieldChange("reason", hold.reason, None)
    keeper.set_hold(None, _event(administration, "log.hold_lifted", (change,)))
    return hold


def find_person(administration: Administration, text: str) -> Person:
    """The one person that an id, a reference, a mail or a user name means, as far as the record knows them.

    Raises: NotFoundError, AmbiguousNameError.
    """
    name = text.strip().removeprefix(_REFERENCE)
    with _keeper(administration).read() as view:
        ids = {name.lower()} if is_id(name) else {*view.members_by_text(name), *view.subjects_by_mail(name)}
        persons = view.persons(ids, with_names=True)
    if not persons:
        raise NotFoundError(
            f"the record knows nobody as '{text}'; name a member, a mail that somebody has or had, or a reference"
        )
    if len(persons) > 1:
        raise AmbiguousNameError("person", text, [_told(person) for person in persons])
    return persons[0]


def find_leavers(administration: Administration, before: datetime) -> list[Person]:
    """Everybody who left before the moment and is not erased yet, up to a bound."""
    with _keeper(administration).read() as view:
        return view.leavers(before, _LEAVERS_AT_ONCE)


def erase_people(
    administration: Administration,
    persons: Sequence[Person],
    *,
    even_present: bool = False,
    left_before: datetime | None = None,
) -> ErasedPeople:
    """Destroy the keys of all references of these people, and what tables keep of those who left.

    Raises: RetentionHeldError; StillPresentError for who is there, unless they are meant, too.
    """
    wiring, keeper = administration.wiring, _keeper(administration)
    number, references = 0, 0

    def tell(erased: Erased) -> list[EventRow]:
        changes = [
            FieldChange("people", None, erased.persons),
            FieldChange("references", None, erased.references),
        ]
        if left_before is not None:
            changes.append(FieldChange("left_before", None, _moment(left_before)))
        members = sorted(persons[0].member_ids) if len(persons) == 1 else []
        about = [Target("member", members[0])] if members else None
        return [_event(administration, "log.pii_erased", changes, about)]

    for start in range(0, len(persons), _ERASED_AT_ONCE):
        ids = {one for person in persons[start : start + _ERASED_AT_ONCE] for one in person.ids}
        erased = keeper.erase(ids, tell, wiring.clock(), even_present=even_present, mint=wiring.mint.id)
        number += erased.persons
        references += erased.references
    return ErasedPeople(number, references, keeper.overwrite())


def _told(person: Person) -> str:
    named = ", ".join((*person.names[:2], *person.mails[:2])) or "no name"
    return f"{named} ({sorted(person.ids)[0]})"


def _event(
    administration: Administration,
    action: str,
    changes: Collection[FieldChange],
    targets: Sequence[Target] | None = None,
) -> EventRow:
    """An event that is to be written together with what it tells of."""
    wiring = administration.wiring
    ledger = Ledger(
        organisation_id=administration.organisation_id,
        actor=administration.actor,
        now=wiring.clock(),
        mint=wiring.mint,
        kind=administration.kind,
    )
    about = targets or (Target("organisation", administration.organisation_id),)
    ledger.record(action, about, tuple(changes))
    return ledger.rows[0]


def _keeper(administration: Administration) -> SQLLogKeeper:
    return SQLLogKeeper(administration.wiring.database, administration.organisation_id)


@contextmanager
def _removing_keeper(administration: Administration) -> Iterator[SQLLogKeeper]:
    """The one that removes: under the role that has the right to it, where there is such a role."""
    wiring = administration.wiring
    address = wiring.settings.retention_database_url
    if not address:
        yield _keeper(administration)
        return
    removing: Database = open_database(address, key_ring=wiring.database.key_ring, pool_size=2)
    try:
        yield SQLLogKeeper(wiring.database, administration.organisation_id, removing=removing)
    finally:
        removing.close()


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
