"""The one write path: a command becomes state, audit events and outbox rows in one transaction, or nothing.

Order inside the transaction, and why: the organisation's lock first, so that seats are counted under it; the fence,
so that a run that lost its directory writes nothing; facts before consequences, since access follows from facts; the
organisation's row and the events last, so that an event's number is drawn under the lock of what it tells about.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import get_args

from audit.events import FieldChange, Outcome, Reason, Target
from directory.changes import AdministratorChange, DirectoryChange
from directory.ids import EventId, MemberId
from provisioning.administration import apply_administration, seat_refusal
from provisioning.commands import Applied, Command, Refused
from provisioning.consequences import work_out
from provisioning.errors import Refusal, RefusalCode, StaleFenceError
from provisioning.facts import fold_directory_changes
from provisioning.ledger import Ledger
from provisioning.models import ModelCache
from provisioning.ports import Clock, Mint, UnitOfWork, Writer
from provisioning.state import OrganisationState, SeatPolicy, StoredDirectory
from provisioning.work import BATCH_SIZE, Work

_DIRECTORY_CHANGES = get_args(DirectoryChange)
_ADMINISTRATOR_CHANGES = get_args(AdministratorChange)


def apply_changes(
    command: Command, *, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> Applied | Refused:
    """Apply all changes of the command, or none.

    Directory changes come before the others, each kind in the order given. When a change reaches more people than
    fit one transaction (a rule on a group of 20,000), the change commits first and the people follow in batches, in
    further transactions of this same call; after a crash `drain_pending` ends what is left.

    Returns: `Applied`; or `Refused`, when nothing was stored but the refusal's event.
    Raises: StaleFenceError when another run holds the directory.
    """
    try:
        applied, more_waiting = _transact(command, unit_of_work, clock, mint, models)
    except Refusal as refusal:
        return _refuse(command, refusal, unit_of_work, clock, mint)
    rest = replace(command, changes=(), expected_version=None, refuse_when_full=False, give_seats=True)
    return _follow_up(applied, rest, more_waiting, unit_of_work, clock, mint, models)


def drain_pending(
    command: Command, *, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> Applied:
    """Work out the access of everyone who is queued, in batches. The command says only who acts and why."""
    rest = replace(command, changes=())
    applied, more_waiting = _transact(rest, unit_of_work, clock, mint, models, is_draining=True)
    return _follow_up(applied, rest, more_waiting, unit_of_work, clock, mint, models)


def _follow_up(
    applied: Applied,
    rest: Command,
    more_waiting: bool,
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
) -> Applied:
    counters = Counter(applied.counters)
    events, members = list(applied.events), list(applied.members)
    while applied.pending or more_waiting:
        applied, more_waiting = _transact(rest, unit_of_work, clock, mint, models, is_draining=True)
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
) -> tuple[Applied, bool]:
    with unit_of_work.write() as writer:
        work = begin_work(command, writer, clock, mint, models)
        if command.plan_hash:
            work.ledger.begin("mapping.applied", state_target(work.state), command.plan_hash)
        directory_changes = [change for change in command.changes if isinstance(change, _DIRECTORY_CHANGES)]
        if directory_changes:
            fold_directory_changes(work, _speaker(work), directory_changes)
        for change in command.changes:
            if isinstance(change, _ADMINISTRATOR_CHANGES):
                apply_administration(work, change)
        remaining = _take_pending(work) if work.pending or is_draining else 0
        if work.causes or work.seats_opened or command.give_seats:
            work_out(work, work.causes.keys())
        turned_away = work.explicit & work.waiting
        if turned_away and command.refuse_when_full and work.state.seat_policy is SeatPolicy.REJECT:
            raise seat_refusal(work, "The user was not added.")
        state = _finish(work)
    if work.is_amended:
        models.put(state, work.model)
    applied = Applied(
        access_version=state.access_version,
        events=work.ledger.event_ids,
        counters=dict(+work.counters),
        pending=remaining,
        members=tuple(work.access_changed),
    )
    return applied, work.more_waiting


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
    for directory in work.writer.directories():
        if directory.directory_id == work.command.directory_id:
            return directory
    raise Refusal(
        RefusalCode.NOT_FOUND, f"there is no directory '{work.command.directory_id}' in this organisation"
    )


def _take_pending(work: Work) -> int:
    """Add the head of the queue to the people of this transaction; how many stay queued."""
    taken = work.writer.take_pending(BATCH_SIZE)
    for pending in taken:
        work.touch(pending.member_id, pending.parent, pending.kind)
        if work.ledger.root_of(pending.parent) != pending.root:
            work.roots[pending.parent] = pending.root
    return work.writer.count_pending() if len(taken) == BATCH_SIZE else 0


def _finish(work: Work) -> OrganisationState:
    writer, now = work.writer, work.now
    state = work.state
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


def _notice(state: OrganisationState, members: list[MemberId]) -> Mapping[str, object]:
    return {"access_version": state.access_version, "members": sorted(set(members))}


def _refuse(
    command: Command, refusal: Refusal, unit_of_work: UnitOfWork, clock: Clock, mint: Mint
) -> Refused:
    """Write the refusal's event in a transaction of its own, after the refused one has been rolled back."""
    with unit_of_work.write() as writer:
        state = writer.organisation()
        ledger = open_ledger(command, state, now=clock(), mint=mint)
        targets = [state_target(state)]
        if refusal.subject:
            targets.insert(0, Target("member", refusal.subject))
        is_seat = refusal.code is RefusalCode.SEAT_LIMIT_REACHED
        names = tuple(sorted({type(change).__name__ for change in command.changes}))
        event_id: EventId = ledger.record(
            "seat.denied" if is_seat else "command.refused",
            targets,
            () if is_seat else (FieldChange("command", None, names),),
            outcome=Outcome.DENIED,
            reason=Reason(refusal.code.value, refusal.numbers),
        )
        writer.append_events(ledger.rows)
    return Refused(refusal.code, refusal.message, event_id, refusal.numbers)
