"""What facts lead to: desired access against held access, seats, and the protection of the last Admin.

`work_out` is the only place where grants are opened and closed and seats are given and taken.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from audit.events import FieldChange, Reason, Target
from directory.ids import EventId, MemberId, RoleId, ScopeId
from mappings.access import Access, resolve_access
from mappings.rules import Grant
from provisioning.seats import Candidate, allot_seats, free_seats, seat_limit, thresholds_crossed
from provisioning.state import (
    CloseInterval,
    MemberRecord,
    MemberUpdate,
    OpenGrant,
    OpenInterval,
    OrganisationState,
    Seat,
)
from provisioning.work import BATCH_SIZE, Work

Pair = tuple[RoleId, ScopeId]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one member holds now and what the facts say the member should hold."""

    record: MemberRecord
    desired: Access

    @property
    def needs_seat(self) -> bool:
        return self.desired.is_active and bool(self.desired.grants)

    @property
    def held_pairs(self) -> set[Pair]:
        return {held.grant.pair for held in self.record.held}


@dataclass(frozen=True, slots=True)
class Settlement:
    """The members of one transaction after seats were given. `free` is what is left; None is unlimited."""

    seats: dict[MemberId, Seat]
    seated: int
    free: int | None


def settle_seats(
    outlooks: Collection[Outlook],
    state: OrganisationState,
    limit: int | None,
    *,
    now: datetime,
    is_deferred: bool = False,
) -> Settlement:
    """Give the seats of one transaction: whoever holds and needs one keeps it, the others go by the list."""
    seats: dict[MemberId, Seat] = {}
    candidates: list[Candidate] = []
    seated = state.seated
    for outlook in outlooks:
        record = outlook.record
        has_seat = record.seat is Seat.SEATED
        if not outlook.needs_seat:
            seats[record.member_id] = Seat.NONE
            seated -= has_seat
        elif has_seat:
            seats[record.member_id] = Seat.SEATED
        else:
            candidates.append(
                Candidate(
                    record.member_id,
                    outlook.desired.priority,
                    outlook.desired.rank,
                    record.waiting_since or now,
                    record.facts.is_owner,
                )
            )
    free = free_seats(limit, seated + state.reserved)
    allotment = allot_seats(candidates, 0 if is_deferred else free)
    seats.update((candidate.member_id, Seat.SEATED) for candidate in allotment.seated)
    seats.update((candidate.member_id, Seat.WAITING) for candidate in allotment.waiting)
    seated += len(allotment.seated)
    return Settlement(seats, seated, free_seats(limit, seated + state.reserved))


def work_out(work: Work, member_ids: Collection[MemberId]) -> None:
    """Bring what these members hold in line with the facts, within the seats, an event for each edge that moves.

    A seat that is freed goes to the head of the waiting list in the same transaction. Members whose change would
    leave the organisation without an Admin stay as they are until there is another.
    """
    outlooks = _look(work, member_ids)
    limit = seat_limit(work.state, work.model.catalogue)
    settlement = settle_seats(
        outlooks.values(), work.state, limit, now=work.now, is_deferred=work.command.defer_seats
    )
    may_seat = not work.command.defer_seats and settlement.free != 0
    frees = work.seats_opened or any(
        outlook.record.seat is Seat.SEATED and not outlook.needs_seat for outlook in outlooks.values()
    )
    if may_seat and (frees or work.command.give_seats):
        room = BATCH_SIZE if settlement.free is None else min(settlement.free, BATCH_SIZE)
        waiting = work.writer.waiting(room, list(outlooks))
        work.more_waiting = len(waiting) == BATCH_SIZE
        if waiting:
            outlooks.update(_look(work, waiting))
            settlement = settle_seats(outlooks.values(), work.state, limit, now=work.now)
    kept = _protect_last_admin(work, outlooks, settlement)
    if kept is not None:
        _hold(work, outlooks.pop(kept).record)
        settlement = settle_seats(
            outlooks.values(), work.state, limit, now=work.now, is_deferred=work.command.defer_seats
        )
    _settle(work, outlooks, settlement)
    gained = _admin_pair(work) in {
        pair for outlook in outlooks.values() for pair in _gained(outlook, settlement.seats)
    }
    if gained:
        held = [member_id for member_id in work.writer.held_members() if member_id not in outlooks]
        if held:
            work_out(work, held)


def _look(work: Work, member_ids: Collection[MemberId]) -> dict[MemberId, Outlook]:
    records = work.writer.member_records(member_ids)
    access = work.model.access
    return {
        member_id: Outlook(record, resolve_access(access, record.facts, now=work.now))
        for member_id, record in records.items()
        if not (record.is_deleted and not record.has_users and not record.facts.invited)
    }


def _admin_pair(work: Work) -> Pair:
    return (work.model.catalogue.administrator_role, work.state.root_scope_id)


def _target(outlook: Outlook, seats: dict[MemberId, Seat]) -> tuple[Grant, ...]:
    return outlook.desired.grants if seats[outlook.record.member_id] is Seat.SEATED else ()


def _gained(outlook: Outlook, seats: dict[MemberId, Seat]) -> set[Pair]:
    return {grant.pair for grant in _target(outlook, seats)} - outlook.held_pairs


def _protect_last_admin(
    work: Work, outlooks: dict[MemberId, Outlook], settlement: Settlement
) -> MemberId | None:
    """The member who must be held back, so that an active Admin at the organisation remains (MK-12).

    An administrator's own explicit change is refused instead. With an owner there always is one (MT-20).
    """
    pair = _admin_pair(work)
    losing = {
        member_id
        for member_id, outlook in outlooks.items()
        if pair in outlook.held_pairs
        and pair not in {grant.pair for grant in _target(outlook, settlement.seats)}
    }
    if not losing or any(pair in _gained(outlook, settlement.seats) for outlook in outlooks.values()):
        return None
    holders = work.writer.holders(*pair, limit=len(losing) + 1)
    if any(holder not in losing for holder in holders):
        return None
    return min(losing)


def _hold(work: Work, record: MemberRecord) -> None:
    if record.is_held:
        return
    cause = work.causes.get(record.member_id)
    work.ledger.record(
        "member.change_held",
        (Target("member", record.member_id, pii=record.pii_ref),),
        parent=cause,
        root=_root(work, cause),
        reason=Reason("last_admin"),
    )
    work.counters["changes_held"] += 1
    work.writer.update_members(
        [_update(record, is_active=record.is_active, seat=record.seat, is_held=True)], work.now
    )


def _settle(work: Work, outlooks: dict[MemberId, Outlook], settlement: Settlement) -> None:
    opened: list[OpenInterval] = []
    closed: list[CloseInterval] = []
    restated: list[OpenGrant] = []
    updates: list[MemberUpdate] = []
    limit = seat_limit(work.state, work.model.catalogue)
    # Leavers first: the event of a freed seat is the cause of the seat that is given.
    ordered = sorted(
        outlooks.values(),
        key=lambda outlook: (
            settlement.seats[outlook.record.member_id] is not Seat.NONE,
            outlook.record.member_id,
        ),
    )
    freed_by = work.opened_by
    for outlook in ordered:
        record, desired = outlook.record, outlook.desired
        seat = settlement.seats[record.member_id]
        step = _Step(work, record, freed_by)
        _record_activity(step, desired)
        _record_grants(step, _target(outlook, settlement.seats), opened, closed, restated)
        if seat is Seat.WAITING:
            work.waiting.add(record.member_id)
        if seat is not record.seat:
            event_id = _record_seat(step, seat, limit)
            if record.seat is Seat.SEATED:
                freed_by = event_id
        if record.is_held:
            step.record("member.change_released")
        update = _update(
            record,
            is_active=desired.is_active,
            seat=seat,
            access=desired,
            now=work.now,
            is_deleted=not record.has_users and not record.facts.is_owner and not record.facts.invited,
        )
        if update != _update(record, is_active=record.is_active, seat=record.seat, is_held=record.is_held):
            updates.append(update)
    if opened:
        work.writer.open_intervals(opened, work.now)
    if closed:
        work.writer.close_intervals(closed, work.now)
    if restated:
        work.writer.restate_intervals(restated)
    if updates:
        work.writer.update_members(updates, work.now)
    if settlement.seated != work.state.seated:
        _record_thresholds(work, limit, settlement.seated)
        work.amend(seated=settlement.seated)
    if opened or closed or updates:
        work.is_changed = True


@dataclass(slots=True)
class _Step:
    """One member's turn: events are chained to what caused them, later ones to the first grant that moved."""

    work: Work
    record_: MemberRecord
    freed_by: EventId | None
    moved: EventId | None = None

    @property
    def cause(self) -> EventId | None:
        return self.work.causes.get(self.record_.member_id, self.freed_by)

    @property
    def kind(self) -> str:
        member_id = self.record_.member_id
        if member_id not in self.work.causes:
            return self.work.opened_kind
        return self.work.kinds.get(member_id, "")

    @property
    def target(self) -> Target:
        return Target("member", self.record_.member_id, pii=self.record_.pii_ref)

    def record(
        self,
        action: str,
        changes: tuple[FieldChange, ...] = (),
        *,
        scope_id: ScopeId | None = None,
        grant: Grant | None = None,
        reason: Reason | None = None,
        parent: EventId | None = None,
    ) -> EventId:
        work = self.work
        group_id = grant.provenance.group_id if grant else None
        if parent is None and group_id is not None:
            parent = work.group_causes.get((self.record_.member_id, group_id))
        parent = parent or self.cause
        targets = (
            (self.target,) if scope_id is None else (self.target, Target("scope", scope_id, role="object"))
        )
        return work.ledger.record(
            action,
            targets,
            changes,
            parent=parent,
            root=_root(work, parent),
            kind=self.kind,
            reason=reason,
            rule_id=(grant.provenance.rule_id or "") if grant else "",
            rule_version=grant.provenance.rule_version if grant else 0,
            group_id=group_id or "",
        )


def _root(work: Work, parent: EventId | None) -> EventId | None:
    """The root of a parent from another transaction; the ledger knows those of this one."""
    return None if parent is None else work.roots.get(parent)


def _record_activity(step: _Step, desired: Access) -> None:
    record = step.record_
    if record.is_active == desired.is_active:
        return
    if desired.is_active:
        if record.deactivated_at is not None:
            step.record("member.reactivated", (FieldChange("active", False, True),))
            step.work.counters["members_reactivated"] += 1
        return
    is_gone = not record.has_users
    step.record("member.deleted" if is_gone else "member.deactivated", (FieldChange("active", True, False),))
    step.work.counters["members_deleted" if is_gone else "members_deactivated"] += 1
    step.work.deactivated.append(record.member_id)


def _record_grants(
    step: _Step,
    target: Sequence[Grant],
    opened: list[OpenInterval],
    closed: list[CloseInterval],
    restated: list[OpenGrant],
) -> None:
    record, work = step.record_, step.work
    wanted = {grant.pair: grant for grant in target}
    held = {open_grant.grant.pair: open_grant for open_grant in record.held}
    for pair, open_grant in held.items():
        grant = wanted.get(pair)
        if grant is None:
            event_id = step.record(
                "role.revoked",
                (FieldChange("role", pair[0], None), FieldChange("scope_id", pair[1], None)),
                scope_id=pair[1],
                grant=open_grant.grant,
            )
            closed.append(CloseInterval(open_grant.interval_id, event_id))
            step.moved = step.moved or event_id
        elif grant.provenance != open_grant.grant.provenance:
            restated.append(replace(open_grant, grant=grant))
    for pair, grant in wanted.items():
        if pair in held:
            continue
        event_id = step.record(
            "role.granted",
            (FieldChange("role", None, pair[0]), FieldChange("scope_id", None, pair[1])),
            scope_id=pair[1],
            grant=grant,
        )
        opened.append(OpenInterval(record.member_id, grant, event_id))
        step.moved = step.moved or event_id
    work.counters["grants_opened"] += len(wanted.keys() - held.keys())
    work.counters["grants_closed"] += len(held.keys() - wanted.keys())
    if step.moved is not None:
        work.access_changed.append(record.member_id)


def _record_seat(step: _Step, seat: Seat, limit: int | None) -> EventId:
    action = {Seat.SEATED: "seat.assigned", Seat.WAITING: "seat.waiting", Seat.NONE: "seat.released"}[seat]
    step.work.counters[f"seats_{seat.value}"] += 1
    reason = None
    if seat is Seat.WAITING and limit is not None:
        used = step.work.state.seated + step.work.state.reserved
        reason = Reason("seat_limit_reached", (("limit", limit), ("used", used)))
    return step.record(
        action, (FieldChange("seat", step.record_.seat.value, seat.value),), reason=reason, parent=step.moved
    )


def _record_thresholds(work: Work, limit: int | None, seated: int) -> None:
    reserved = work.state.reserved
    for percent in thresholds_crossed(limit, work.seats_before, seated + reserved):
        work.ledger.record(
            "seat.threshold_reached",
            (Target("organisation", work.state.organisation_id),),
            (FieldChange("limit", None, limit), FieldChange("used", None, seated + reserved)),
            reason=Reason("seat_threshold", (("percent", percent),)),
        )


def _update(
    record: MemberRecord,
    *,
    is_active: bool,
    seat: Seat,
    access: Access | None = None,
    now: datetime | None = None,
    is_held: bool = False,
    is_deleted: bool | None = None,
) -> MemberUpdate:
    is_waiting = seat is Seat.WAITING
    return MemberUpdate(
        member_id=record.member_id,
        is_active=is_active,
        seat=seat,
        waiting_priority=(access.priority if access else record.waiting_priority) if is_waiting else None,
        waiting_rank=(access.rank if access else record.waiting_rank) if is_waiting else None,
        waiting_since=(record.waiting_since or now) if is_waiting else None,
        is_held=is_held,
        is_deleted=record.is_deleted if is_deleted is None else is_deleted,
        deactivated_at=_deactivated_at(record, is_active=is_active, now=now),
    )


def _deactivated_at(record: MemberRecord, *, is_active: bool, now: datetime | None) -> datetime | None:
    """A member who was never active has not been deactivated."""
    if is_active:
        return None
    return now if record.is_active and now is not None else record.deactivated_at
