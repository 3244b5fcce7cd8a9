"""The one write path: a command becomes state, audit events and outbox rows in one transaction, or nothing.

Order inside the transaction, and why: the organisation's lock first, so that seats are counted under it; the fence,
so that a run that lost its directory writes nothing; facts before consequences, since access follows from facts;
sessions after them, since nobody signs in whom they put out; the organisation's row and the events last, so that an
event's number is drawn under the lock of what it tells about.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, get_args

from audit.events import FieldChange, Outcome, Reason, Target
from directory.changes import AdministratorChange, Change, DirectoryChange
from directory.ids import EventId, MemberId
from provisioning.administration import apply_administration
from provisioning.commands import Applied, Command, Refused
from provisioning.consequences import work_out
from provisioning.errors import Refusal, RefusalCode, StaleFenceError
from provisioning.facts import fold_directory_changes
from provisioning.ledger import Ledger
from provisioning.log_addresses import refer_to_address
from provisioning.models import ModelCache
from provisioning.ports import Clock, Mint, Reader, UnitOfWork, Writer
from provisioning.seats import free_seats, seat_limit, thresholds_crossed
from provisioning.sessions import open_sessions
from provisioning.state import EventRow, OrganisationState, SeatPolicy, StoredDirectory
from provisioning.statements import seat_refusal
from provisioning.work import BATCH_SIZE, SEAT_KINDS, Work

_DIRECTORY_CHANGES = get_args(DirectoryChange)
_ADMINISTRATOR_CHANGES = get_args(AdministratorChange)


class Exchange(Protocol):
    """A request of a pushing client, in the one transaction that obeys it.

    What it says depends on what is stored (a PATCH, a taken name), so it is worked out under the organisation's lock:
    two requests about one resource queue, and none is lost. An error raised here leaves nothing behind.
    """

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        """What the request says, in view of what is stored."""

    def conclude(self, reader: Reader) -> None:
        """Read what the client is answered, in view of what has been written."""


def apply_changes(
    command: Command,
    *,
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
    exchange: Exchange | None = None,
) -> Applied | Refused:
    """Apply all changes of the command, or none.

    Directory changes come before the others, each kind in the order given. When a change reaches more people than
    fit one transaction (a rule on a group of 20,000), the change commits first and the people follow in batches, in
    further transactions of this same call; after a crash `drain_pending` ends what is left. An `exchange` gives
    the changes in place of the command.

    Returns: `Applied`; or `Refused`, when nothing was stored but the refusal's event.
    Raises: StaleFenceError when another run holds the directory; whatever the exchange raises.
    """
    try:
        applied = _transact(command, unit_of_work, clock, mint, models, exchange=exchange)
    except Refusal as refusal:
        return refuse(command, refusal, unit_of_work=unit_of_work, clock=clock, mint=mint)
    return _follow_up(applied, command, unit_of_work, clock, mint, models)


class Rehearsal:
    """Exchanges in a transaction that is rolled back in the end, each in view of those before it.

    Made by `open_rehearsal`. `models` is the rehearsal's own: what is compiled here is of a state that never comes.
    """

    def __init__(self, writer: Writer, clock: Clock, mint: Mint, models: ModelCache) -> None:
        self._writer = writer
        self._clock = clock
        self._mint = mint
        self._models = models

    def take(self, command: Command, exchange: Exchange) -> tuple[Applied | Refused, tuple[EventRow, ...]]:
        """Do what `apply_changes` would do; the outcome with the events that would be written.

        What is refused, or raises, leaves nothing behind for the next. People whom only later batches would reach
        are counted as `pending`.
        """
        try:
            with self._writer.attempt():
                done = _act(command, self._writer, self._clock, self._mint, self._models, exchange=exchange)
        except Refusal as refusal:
            return Refused(refusal.code, refusal.message, EventId(""), refusal.numbers), ()
        done.keep_model(self._models)
        return done.applied, tuple(done.work.ledger.rows)


@contextlib.contextmanager
def open_rehearsal(
    *, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> Iterator[Rehearsal]:
    """A rehearsal, of which nothing is stored, no event either. The organisation is locked until it ends."""
    with contextlib.suppress(_RehearsedError), unit_of_work.write() as writer:
        state = writer.organisation()
        own = ModelCache(capacity=1)
        own.put(state, models.get(writer, state))
        yield Rehearsal(writer, clock, mint, own)
        raise _RehearsedError


class _RehearsedError(Exception):
    """Has the transaction of a rehearsal rolled back."""


def drain_pending(
    command: Command, *, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> Applied:
    """Work out the access of everyone who is queued, in batches, and give the seats that are free.

    The command says only who acts and why.
    """
    rest = replace(command, changes=())
    applied = _transact(rest, unit_of_work, clock, mint, models, is_draining=True)
    return _follow_up(applied, rest, unit_of_work, clock, mint, models)


def _follow_up(
    applied: Applied, command: Command, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> Applied:
    rest = replace(command, changes=(), expected_version=None, plan_hash="")
    counters = Counter(applied.counters)
    events, members = list(applied.events), list(applied.members)
    while applied.pending:
        applied = _transact(rest, unit_of_work, clock, mint, models, is_draining=True)
        counters.update(applied.counters)
        events.extend(applied.events)
        members.extend(applied.members)
    return replace(applied, counters=dict(counters), events=tuple(events), members=tuple(members))


def _transact(
    command: Command,
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
    *,
    is_draining: bool = False,
    exchange: Exchange | None = None,
) -> Applied:
    with unit_of_work.write() as writer:
        done = _act(command, writer, clock, mint, models, is_draining=is_draining, exchange=exchange)
    done.keep_model(models)
    return done.applied


@dataclass(frozen=True, slots=True)
class _Done:
    """What has been written and is not committed yet."""

    applied: Applied
    work: Work
    state: OrganisationState

    def keep_model(self, models: ModelCache) -> None:
        """To be called once what was written stays."""
        if self.work.is_amended:
            models.put(self.state, self.work.model)


def _act(
    command: Command,
    writer: Writer,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
    *,
    is_draining: bool = False,
    exchange: Exchange | None = None,
) -> _Done:
    work = begin_work(command, writer, clock, mint, models)
    if exchange is not None:
        work.command = replace(command, changes=exchange.changes(writer))
    work.ledger.address = refer_to_address(writer, work.command, mint)
    if command.plan_hash:
        work.ledger.begin("mapping.applied", state_target(work.state), command.plan_hash)
    take_in(work)
    is_last = _take_pending(work) if work.is_queueing or is_draining else True
    work.seats_opened = work.seats_opened or (is_last and is_draining)
    if work.causes or work.seats_opened:
        work_out(work, work.causes.keys())
    turned_away = work.explicit & work.waiting
    if turned_away and command.refuse_when_full and work.state.seat_policy is SeatPolicy.REJECT:
        raise seat_refusal(work, "The user was not added.", turned_away - work.newcomers)
    open_sessions(work)
    state = _finish(work)
    applied = Applied(
        access_version=state.access_version,
        events=work.ledger.event_ids,
        counters=dict(+work.counters),
        pending=writer.count_pending() if work.is_queueing or is_draining else 0,
        members=tuple(work.access_changed),
    )
    if exchange is not None:
        exchange.conclude(writer)
    return _Done(applied, work, state)


def take_in(work: Work) -> None:
    """Check and store what the command says, and note whose access must be worked out. Raises `Refusal`."""
    changes = work.command.changes
    directory_changes = [change for change in changes if isinstance(change, _DIRECTORY_CHANGES)]
    if directory_changes:
        fold_directory_changes(work, _speaker(work), directory_changes)
    for change in changes:
        if isinstance(change, _ADMINISTRATOR_CHANGES):
            apply_administration(work, change)
    if work.is_outgrown:
        work.amend_model()


def state_target(state: OrganisationState) -> Target:
    return Target("organisation", state.organisation_id)


def begin_work(command: Command, writer: Writer, clock: Clock, mint: Mint, models: ModelCache) -> Work:
    state = writer.organisation()
    fence = command.fence
    if fence is not None and not writer.check_fence(fence.directory_id, fence.token, fence.lease_until):
        raise StaleFenceError(f"directory {fence.directory_id} was taken over by another run; this one stops")
    if command.expected_version is not None and command.expected_version != state.access_version:
        raise Refusal(
            RefusalCode.STATE_MOVED,
            "access has changed since this was previewed; preview it again and apply what you see then",
            numbers=(("previewed", command.expected_version), ("present", state.access_version)),
        )
    now = clock()
    return Work(
        writer=writer,
        command=command,
        now=now,
        mint=mint,
        state=state,
        model=models.get(writer, state),
        ledger=open_ledger(command, state, now=now, mint=mint),
        seats_before=state.seated + state.reserved,
        defers_seats=command.defer_seats,
    )


def open_ledger(command: Command, state: OrganisationState, *, now: datetime, mint: Mint) -> Ledger:
    return Ledger(
        organisation_id=state.organisation_id,
        actor=command.actor,
        now=now,
        mint=mint,
        kind=command.kind,
        root=command.root,
        run_id=command.run_id,
        request_id=command.request_id,
    )


def _speaker(work: Work) -> StoredDirectory:
    for directory in work.directories():
        if directory.directory_id == work.command.directory_id:
            return directory
    raise Refusal(
        RefusalCode.NOT_FOUND, f"there is no directory '{work.command.directory_id}' in this organisation"
    )


def _take_pending(work: Work) -> bool:
    """Add the head of the queue to the people of this transaction; whether that was all of it.

    While more people follow than there may be seats for, newcomers wait, so that the order of the list decides in
    the end and not the order of the batches.
    """
    taken = work.writer.take_pending(BATCH_SIZE)
    for pending in taken:
        work.ledger.adopt(pending.parent, pending.root)
        work.touch(pending.member_id, pending.parent, pending.kind)
        if pending.kind in SEAT_KINDS:
            work.heads.add(pending.member_id)
            work.open_seats(pending.parent, pending.kind)
    if taken and work.opened_by is None:
        work.opened_by = taken[-1].parent
    remaining = work.writer.count_pending() if len(taken) == BATCH_SIZE else 0
    free = free_seats(seat_limit(work.state, work.model.catalogue), work.state.seated + work.state.reserved)
    if remaining and free is not None and free < remaining + len(work.causes) + work.writer.count_waiting():
        work.defers_seats = True
    return not remaining


def _finish(work: Work) -> OrganisationState:
    writer, now = work.writer, work.now
    state = work.state
    _record_thresholds(work)
    work.step_versions()
    if work.is_changed:
        state = replace(
            state,
            access_version=state.access_version + 1,
            model_version=state.model_version + (1 if work.is_amended else 0),
        )
        writer.save_organisation(state)
    if work.ledger.rows:
        writer.append_events(work.ledger.rows)
    if work.access_changed:
        writer.append_outbox("access.changed", [_notice(state, work.access_changed)], now)
    if work.deactivated:
        writer.append_outbox("session.end", [_notice(state, work.deactivated)], now)
    return state


def _record_thresholds(work: Work) -> None:
    state = work.state
    limit, used = seat_limit(state, work.model.catalogue), state.seated + state.reserved
    for percent in thresholds_crossed(limit, work.seats_before, used):
        work.ledger.record(
            "seat.threshold_reached",
            (state_target(state),),
            (FieldChange("limit", None, limit), FieldChange("used", None, used)),
            parent=work.seat_event,
            reason=Reason("seat_threshold", (("percent", percent),)),
        )


def _notice(state: OrganisationState, members: list[MemberId]) -> Mapping[str, object]:
    return {"access_version": state.access_version, "members": sorted(set(members))}


def refuse(
    command: Command, refusal: Refusal, *, unit_of_work: UnitOfWork, clock: Clock, mint: Mint
) -> Refused:
    """Write the refusal's event in a transaction of its own, after the refused one has been rolled back."""
    with unit_of_work.write() as writer:
        state = writer.organisation()
        ledger = open_ledger(command, state, now=clock(), mint=mint)
        ledger.address = refer_to_address(writer, command, mint)
        targets = [state_target(state)]
        if refusal.subject:
            targets.insert(0, Target("member", refusal.subject))
        is_seat = refusal.code is RefusalCode.SEAT_LIMIT_REACHED
        # An exchange's changes went with its transaction.
        names = tuple(sorted({type(change).__name__ for change in command.changes})) or (command.kind,)
        event_id: EventId = ledger.record(
            "seat.denied" if is_seat else "command.refused",
            targets,
            () if is_seat else (FieldChange("command", None, names),),
            outcome=Outcome.DENIED,
            reason=Reason(refusal.code.value, refusal.numbers),
        )
        writer.append_events(ledger.rows)
    return Refused(refusal.code, refusal.message, event_id, refusal.numbers)
