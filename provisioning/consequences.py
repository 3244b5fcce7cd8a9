"""What facts lead to: desired access against held access, seats, and the protection of the last Admin.

`work_out` is the only place where grants are opened and closed and seats are given and taken.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from audit.events import FieldChange, Reason, Target
from directory.ids import EventId, MemberId, RoleId, ScopeId
from mappings.access import Access, resolve_access
from mappings.rules import Grant
from provisioning.models import OrganisationModel
from provisioning.ports import Reader
from provisioning.seats import Candidate, allot_seats, free_seats, seat_limit
from provisioning.staging import Staging, hold_back
from provisioning.state import (
    CloseInterval,
    MemberRecord,
    MemberUpdate,
    OpenGrant,
    OpenInterval,
    OrganisationState,
    PendingMember,
    Seat,
    StagedChange,
)
from provisioning.work import BATCH_SIZE, Work

Pair = tuple[RoleId, ScopeId]

NO_END = 2**31 - 2
"""A number of people that is never reached."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one member holds now and what the facts say the member should hold, or what is held back of that."""

    record: MemberRecord
    desired: Access
    staging: Staging = Staging.NONE

    @property
    def is_gone(self) -> bool:
        """Whether nobody says any more that the member is there, and nothing of it is held back."""
        facts = self.record.facts
        is_known = self.record.has_users or facts.is_owner or bool(facts.invited)
        return not is_known and self.staging not in {Staging.BEGUN, Staging.STANDING}

    @property
    def needs_seat(self) -> bool:
        return self.desired.is_active and bool(self.desired.grants)

    @property
    def has_seat(self) -> bool:
        return self.record.seat is Seat.SEATED

    @property
    def held_pairs(self) -> set[Pair]:
        return {held.grant.pair for held in self.record.held}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of the members of one transaction. `kept` must stay as they are: see `settle`.

    `has_more`: more people wait than could be looked at, and there are seats for them. `defers`: newcomers wait.
    """

    outlooks: dict[MemberId, Outlook]
    seats: dict[MemberId, Seat]
    seated: int
    kept: MemberRecord | None = None
    has_more: bool = False
    defers: bool = False

    def target(self, outlook: Outlook) -> tuple[Grant, ...]:
        """What the member holds afterwards."""
        return outlook.desired.grants if self.seats[outlook.record.member_id] is Seat.SEATED else ()

    def gains(self, pair: Pair) -> bool:
        """Whether somebody gets this role at this scope who did not have it."""
        return any(
            pair not in outlook.held_pairs and pair in {grant.pair for grant in self.target(outlook)}
            for outlook in self.outlooks.values()
        )


@dataclass(frozen=True, slots=True)
class Seating:
    """The terms on which seats are given. `limit` None is unlimited.

    `opens`: seats are given from the waiting list even when nobody leaves. `defers`: newcomers wait, whatever is
    free. `entitled` have a seat reserved for them, `heads` were at the head of the list. `at_most` people are taken
    from the list.
    """

    state: OrganisationState
    limit: int | None
    admin_pair: Pair
    now: datetime
    opens: bool = False
    defers: bool = False
    entitled: frozenset[MemberId] = frozenset()
    heads: frozenset[MemberId] = frozenset()
    at_most: int = NO_END


Look = Callable[[Collection[MemberId]], dict[MemberId, Outlook]]


def settle(outlooks: dict[MemberId, Outlook], seating: Seating, *, reader: Reader, look: Look) -> Settlement:
    """Decide who is seated and what they hold, without storing it.

    Whoever holds a seat and needs one keeps it. The seats that are free, or come free, go by the order of the list to
    the newcomers and to those who have been waiting. Nothing may leave the organisation without an active Admin: one
    who would be the last to go is taken out, as `kept`. An administrator's own explicit change is refused before.
    """
    outlooks = dict(outlooks)
    has_more = False
    is_freed = any(outlook.has_seat and not outlook.needs_seat for outlook in outlooks.values())
    if (is_freed or seating.opens) and not seating.defers:
        free = free_seats(seating.limit, _keeping(outlooks, seating) + seating.state.reserved)
        room = seating.at_most + 1 if free is None else min(free, seating.at_most + 1)
        while room and (waiting := reader.waiting(room, list(outlooks))):
            has_more = len(waiting) > seating.at_most
            if has_more and free is not None and _has_newcomers(outlooks, seating):
                # Who is seated is to be decided among all of them, when the newcomers are on the list as well.
                seating = replace(seating, defers=True)
                break
            found = look(waiting[: seating.at_most])
            outlooks.update(found)
            room = 0 if has_more else sum(not outlook.needs_seat for outlook in found.values())
    settlement = _allot(outlooks, seating)
    kept = _last_admin(settlement, seating.admin_pair, reader)
    record = None if kept is None else outlooks.pop(kept).record
    if record is not None:
        settlement = _allot(outlooks, seating)
    return replace(settlement, kept=record, has_more=has_more, defers=seating.defers)


def _has_newcomers(outlooks: dict[MemberId, Outlook], seating: Seating) -> bool:
    return any(
        _is_newcomer(outlook, seating) and member_id not in seating.heads
        for member_id, outlook in outlooks.items()
    )


def _is_newcomer(outlook: Outlook, seating: Seating) -> bool:
    is_entitled = outlook.record.member_id in seating.entitled
    return outlook.needs_seat and not outlook.has_seat and not is_entitled


def _keeping(outlooks: dict[MemberId, Outlook], seating: Seating) -> int:
    """Seat holders when the leavers have gone and the reserved seats are taken, before anybody else comes."""
    seated = seating.state.seated
    for outlook in outlooks.values():
        keeps = outlook.has_seat or outlook.record.member_id in seating.entitled
        seated += (keeps and outlook.needs_seat) - outlook.has_seat
    return seated


def _allot(outlooks: dict[MemberId, Outlook], seating: Seating) -> Settlement:
    seats: dict[MemberId, Seat] = {}
    candidates: list[Candidate] = []
    for member_id, outlook in outlooks.items():
        record = outlook.record
        if not outlook.needs_seat:
            seats[member_id] = Seat.NONE
        elif not _is_newcomer(outlook, seating):
            seats[member_id] = Seat.SEATED
        else:
            since = record.waiting_since or seating.now
            rank = outlook.desired.rank
            candidates.append(
                Candidate(member_id, outlook.desired.priority, rank, since, record.facts.is_owner)
            )
    seated = _keeping(outlooks, seating)
    free = 0 if seating.defers else free_seats(seating.limit, seated + seating.state.reserved)
    allotment = allot_seats(candidates, free)
    seats.update((candidate.member_id, Seat.SEATED) for candidate in allotment.seated)
    seats.update((candidate.member_id, Seat.WAITING) for candidate in allotment.waiting)
    return Settlement(outlooks, seats, seated + len(allotment.seated))


def _last_admin(settlement: Settlement, pair: Pair, reader: Reader) -> MemberId | None:
    """The member who must be kept, so that an active Admin at the organisation remains (MK-12).

    With an owner there always is one (MT-20).
    """
    losing = {
        member_id
        for member_id, outlook in settlement.outlooks.items()
        if pair in outlook.held_pairs and pair not in {grant.pair for grant in settlement.target(outlook)}
    }
    if not losing or settlement.gains(pair):
        return None
    holders = reader.holders(*pair, limit=len(losing) + 1)
    # The last by id: the one who is left over when they leave in batches, which go by id.
    return None if any(holder not in losing for holder in holders) else max(losing)


def admin_pair(model: OrganisationModel, state: OrganisationState) -> Pair:
    """The grant that at least one active member must hold."""
    return (model.catalogue.administrator_role, state.root_scope_id)


def look_at(records: Iterable[MemberRecord], work: Work) -> dict[MemberId, Outlook]:
    """What each of the members holds and should hold. Who is gone for good is left out."""
    access, now = work.model.access, work.now
    return {
        record.member_id: Outlook(
            record, *hold_back(work, record, resolve_access(access, record.facts, now=now))
        )
        for record in records
        if not (record.is_deleted and not record.has_users and not record.facts.invited)
    }


def work_out(work: Work, member_ids: Collection[MemberId]) -> None:
    """Bring what these members hold in line with the facts, within the seats, an event for each edge that moves.

    A seat that is freed goes to the head of the waiting list in the same transaction. A member whose change would
    leave the organisation without an Admin stays as they are until there is another.
    """

    def look(ids: Collection[MemberId]) -> dict[MemberId, Outlook]:
        return look_at(_records(work, ids), work)

    seating = Seating(
        state=work.state,
        limit=seat_limit(work.state, work.model.catalogue),
        admin_pair=admin_pair(work.model, work.state),
        now=work.now,
        opens=work.seats_opened,
        defers=work.defers_seats,
        entitled=frozenset(work.entitled),
        heads=frozenset(work.heads),
        at_most=BATCH_SIZE,
    )
    settlement = settle(look(member_ids), seating, reader=work.writer, look=look)
    work.defers_seats = settlement.defers
    if settlement.kept is not None:
        _hold(work, settlement.kept)
    _settle(work, settlement, seating)
    work.fresh.clear()
    if settlement.has_more:
        _queue_head(work)
    made_admin, work.admin_event = work.admin_event, None
    held = work.writer.held_members() if made_admin is not None else []
    if made_admin is not None and held:
        for member_id in held:
            work.touch(member_id, made_admin, "last_admin")
        work_out(work, held)


def _records(work: Work, ids: Collection[MemberId]) -> Iterable[MemberRecord]:
    """The members as stored. Of those who have just come all is known, unless a rule looks at attributes."""
    if work.model.looks_at_attributes:
        return work.writer.member_records(ids).values()
    fresh = [work.fresh[member_id] for member_id in ids if member_id in work.fresh]
    others = [member_id for member_id in ids if member_id not in work.fresh] if fresh else ids
    return [*fresh, *work.writer.member_records(others, with_attributes=False).values()]


def _queue_head(work: Work) -> None:
    """Queue the head of the waiting list, so that the giving of seats goes on in the next transaction."""
    parent = work.opened_by or work.command.root or next(iter(work.causes.values()), work.seat_event)
    assert parent is not None  # noqa: S101 - somebody was seated, or somebody came and waits
    root = work.ledger.root_of(parent)
    heads = work.writer.waiting(1, ())
    work.writer.enqueue_members([PendingMember(head, work.opened_kind, root, parent) for head in heads])
    work.is_queueing = True


def _hold(work: Work, record: MemberRecord) -> None:
    if record.is_held:
        return
    work.ledger.record(
        "member.change_held",
        (Target("member", record.member_id, pii=record.pii_ref),),
        parent=work.causes.get(record.member_id),
        reason=Reason("last_admin"),
    )
    work.counters["changes_held"] += 1
    work.writer.update_members(
        [_update(record, is_active=record.is_active, seat=record.seat, is_held=True)], work.now
    )
    work.shown_members.add(record.member_id)
    work.is_changed = True


def _settle(work: Work, settlement: Settlement, seating: Seating) -> None:
    opened: list[OpenInterval] = []
    closed: list[CloseInterval] = []
    restated: list[OpenGrant] = []
    updates: list[MemberUpdate] = []
    begun: list[StagedChange] = []
    if settlement.seated != work.state.seated:
        work.amend(seated=settlement.seated)
    leavers = [
        member_id
        for member_id, outlook in settlement.outlooks.items()
        if outlook.record.is_active and not outlook.desired.is_active
    ]
    # In the transaction of the deactivation: there is no moment at which somebody is out and still signed in.
    ended = work.writer.sso.end_sessions(work.now, "deactivated", member_ids=leavers) if leavers else {}
    # Leavers first: the event of a freed seat is the cause of the seat that is given.
    ordered = sorted(
        settlement.outlooks.values(),
        key=lambda outlook: (
            settlement.seats[outlook.record.member_id] is not Seat.NONE,
            outlook.record.member_id,
        ),
    )
    for outlook in ordered:
        record, desired = outlook.record, outlook.desired
        seat = settlement.seats[record.member_id]
        step = _Step(work, record)
        begun.extend(_record_staging(step, outlook.staging))
        _record_activity(
            step, desired, is_deleted=outlook.is_gone, sessions_ended=ended.get(record.member_id, 0)
        )
        _record_grants(step, settlement.target(outlook), seating.admin_pair, opened, closed, restated)
        if seat is Seat.WAITING:
            work.waiting.add(record.member_id)
        if seat is not record.seat:
            _record_seat(step, seat, seating.limit)
        if record.is_held:
            step.record("member.change_released")
        update = _update(
            record,
            is_active=desired.is_active,
            seat=seat,
            access=desired,
            now=work.now,
            is_deleted=outlook.is_gone,
        )
        if update != _update(record, is_active=record.is_active, seat=record.seat, is_held=record.is_held):
            updates.append(update)
            work.shown_members.add(record.member_id)
    if opened:
        work.writer.open_intervals(opened, work.now)
    if closed:
        work.writer.close_intervals(closed, work.now)
    if restated:
        work.writer.restate_intervals(restated)
    if updates:
        work.writer.update_members(updates, work.now)
    if opened or closed or updates:
        work.is_changed = True
    _store_staged(work, settlement, begun)


def _store_staged(work: Work, settlement: Settlement, begun: list[StagedChange]) -> None:
    ended = [
        member_id
        for member_id, outlook in settlement.outlooks.items()
        if outlook.staging in {Staging.ENDED, Staging.DROPPED}
    ]
    if ended:
        work.writer.end_staged(ended)
    if begun:
        work.writer.put_staged(begun)
    work.shown_members.update(ended, (change.member_id for change in begun))
    work.is_changed = work.is_changed or bool(ended or begun)


@dataclass(slots=True)
class _Step:
    """One member's turn: events are chained to what caused them, later ones to the first grant that moved."""

    work: Work
    record_: MemberRecord
    moved: EventId | None = None

    @property
    def cause(self) -> EventId | None:
        return self.work.causes.get(self.record_.member_id, self.work.opened_by)

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
            kind=self.kind,
            reason=reason,
            rule_id=(grant.provenance.rule_id or "") if grant else "",
            rule_version=grant.provenance.rule_version if grant else 0,
            group_id=group_id or "",
        )


def _record_staging(step: _Step, staging: Staging) -> Iterator[StagedChange]:
    """Note that something is held back from the member's loss, and on whose word; or that nothing is any more."""
    work, record = step.work, step.record_
    if staging is Staging.ENDED:
        step.record("member.staged_ended")
    if staging is Staging.BEGUN:
        directory_id = record.staged.directory_id if record.staged else work.command.directory_id
        assert directory_id is not None  # noqa: S101 - it takes a directory's own command to go beyond the limits
        event_id = step.record(
            "member.change_staged", (FieldChange("directory_id", None, directory_id),), reason=Reason("guard")
        )
        yield StagedChange(record.member_id, directory_id, event_id, work.now)


def _record_activity(step: _Step, desired: Access, *, is_deleted: bool, sessions_ended: int) -> None:
    record, work = step.record_, step.work
    is_ended = record.is_active and not desired.is_active
    changes = (FieldChange("active", True, False),) if is_ended else ()
    if sessions_ended:
        changes = (*changes, FieldChange("sessions_ended", None, sessions_ended))
    if is_deleted and not record.is_deleted:
        step.record("member.deleted", changes)
        work.counters["members_deleted"] += 1
    elif is_ended:
        step.record("member.deactivated", changes)
        work.counters["members_deactivated"] += 1
    elif desired.is_active and not record.is_active and not _is_as_created(step):
        step.record("member.reactivated", (FieldChange("active", False, True),))
        work.counters["members_reactivated"] += 1
    elif record.is_deleted and not is_deleted:
        step.record("member.created", (FieldChange("active", None, False),))
    if is_ended:
        work.deactivated.append(record.member_id)


def _is_as_created(step: _Step) -> bool:
    """Whether the event that made somebody a member says already that they are active."""
    return step.record_.member_id in step.work.newcomers and step.record_.deactivated_at is None


def _record_grants(
    step: _Step,
    target: Sequence[Grant],
    administrator: Pair,
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
        if pair == administrator:
            work.admin_event = event_id
    work.counters["grants_opened"] += len(wanted.keys() - held.keys())
    work.counters["grants_closed"] += len(held.keys() - wanted.keys())
    if step.moved is not None:
        work.access_changed.append(record.member_id)


def _record_seat(step: _Step, seat: Seat, limit: int | None) -> None:
    action = {Seat.SEATED: "seat.assigned", Seat.WAITING: "seat.waiting", Seat.NONE: "seat.released"}[seat]
    work, before = step.work, step.record_.seat
    work.counters[f"seats_{seat.value}"] += 1
    reason = None
    if seat is Seat.WAITING and limit is not None and not work.defers_seats:
        used = work.state.seated + work.state.reserved
        reason = Reason("seat_limit_reached", (("limit", limit), ("used", used)))
    event_id = step.record(
        action, (FieldChange("seat", before.value, seat.value),), reason=reason, parent=step.moved
    )
    if seat is Seat.SEATED:
        work.seat_event = event_id
    if before is Seat.SEATED:
        work.opened_by = event_id


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
