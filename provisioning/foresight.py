"""What a command would do to people and seats, before anything is stored; and applying exactly that.

The command is rehearsed in a transaction that is rolled back, so that it is checked by the very code that would apply
it. The people are then resolved outside that transaction: nobody waits behind a preview of 20,000.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from audit.events import FieldChange, Reason
from directory.changes import AdministratorChange
from directory.ids import EventId, MemberId
from mappings.access import Access, resolve_access
from mappings.preview import Preview, preview
from provisioning.administration import apply_administration
from provisioning.apply import apply_changes, begin_work, open_ledger, state_target
from provisioning.commands import Applied, Command, Refused
from provisioning.consequences import Outlook, settle_seats
from provisioning.errors import Refusal, RefusalCode
from provisioning.models import ModelCache, OrganisationModel
from provisioning.ports import Clock, Mint, UnitOfWork
from provisioning.seats import seat_limit
from provisioning.state import MemberRecord, OrganisationState, Seat

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Foresight:
    """The effect of a command. `names` gives the display name of everybody whom the preview names.

    Seats count what is occupied, reserved ones too; `waiting` are people who would need a seat and find none.
    """

    preview: Preview
    seats_before: int
    seats_after: int
    seat_limit: int | None
    waiting: tuple[MemberId, ...]
    names: Mapping[MemberId, str]

    @property
    def plan_hash(self) -> str:
        return self.preview.plan_hash


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    state: OrganisationState
    model: OrganisationModel
    amended_state: OrganisationState
    amended_model: OrganisationModel
    touched: Mapping[MemberId, MemberRecord]
    queued: tuple[MemberId, ...]


class _RolledBack(Exception):  # noqa: N818 - the regular end of a rehearsal
    def __init__(self, rehearsal: _Rehearsal) -> None:
        self.rehearsal = rehearsal


def preview_changes(
    command: Command, *, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> Foresight | Refused:
    """Work out what the administrator's changes of the command would do. Stores only the event of the preview.

    Returns: the effect, whose `plan_hash` `apply_previewed` takes; or why the command would be refused.
    """
    try:
        rehearsal = _rehearse(command, unit_of_work, clock, mint, models)
    except Refusal as refusal:
        return Refused(refusal.code, refusal.message, EventId(""), refusal.numbers)
    foresight = _foresee(rehearsal, unit_of_work, clock)
    with unit_of_work.write() as writer:
        ledger = open_ledger(command, writer.organisation(), now=clock(), mint=mint)
        shown = foresight.preview
        ledger.record(
            "mapping.previewed",
            (state_target(rehearsal.state),),
            (
                FieldChange("plan_hash", None, shown.plan_hash),
                FieldChange("affected", None, len(shown.changes)),
                FieldChange("seats_before", None, foresight.seats_before),
                FieldChange("seats_after", None, foresight.seats_after),
            ),
        )
        writer.append_events(ledger.rows)
    return foresight


def apply_previewed(
    command: Command,
    plan_hash: str,
    *,
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
) -> Applied | Refused:
    """Apply the command if it still does what was previewed under `plan_hash`; refuse it if anything moved."""
    try:
        foresight = _foresee(_rehearse(command, unit_of_work, clock, mint, models), unit_of_work, clock)
    except Refusal:
        # The write path refuses it again, and writes the refusal's event.
        return apply_changes(command, unit_of_work=unit_of_work, clock=clock, mint=mint, models=models)
    if foresight.plan_hash != plan_hash:
        message = "what was previewed is no longer what would happen; preview it again"
        with unit_of_work.write() as writer:
            state = writer.organisation()
            ledger = open_ledger(command, state, now=clock(), mint=mint)
            event_id = ledger.record(
                "command.refused",
                (state_target(state),),
                (FieldChange("plan_hash", plan_hash, foresight.plan_hash),),
                reason=Reason(RefusalCode.STATE_MOVED.value),
            )
            writer.append_events(ledger.rows)
        return Refused(RefusalCode.STATE_MOVED, message, event_id)
    bound = replace(command, expected_version=foresight.preview.access_version, plan_hash=plan_hash)
    return apply_changes(bound, unit_of_work=unit_of_work, clock=clock, mint=mint, models=models)


def _rehearse(
    command: Command, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> _Rehearsal:
    try:
        with unit_of_work.write() as writer:
            work = begin_work(command, writer, clock, mint, models)
            state, model = work.state, work.model
            for change in command.changes:
                if isinstance(change, AdministratorChange):
                    apply_administration(work, change)
            touched = writer.member_records(work.causes.keys())
            queued: list[MemberId] = []
            while taken := writer.take_pending(10_000):
                queued.extend(pending.member_id for pending in taken)
            raise _RolledBack(_Rehearsal(state, model, work.state, work.model, touched, tuple(queued)))
    except _RolledBack as done:
        return done.rehearsal


def _foresee(rehearsal: _Rehearsal, unit_of_work: UnitOfWork, clock: Clock) -> Foresight:
    now = clock()
    before: dict[MemberId, Access] = {}
    after: dict[MemberId, Access] = {}
    outlooks: list[Outlook] = []
    names: dict[MemberId, str] = {}
    affected = list(dict.fromkeys([*rehearsal.touched, *rehearsal.queued]))
    with unit_of_work.read() as reader:
        for start in range(0, len(affected), _AT_ONCE):
            for member_id, record in reader.member_records(affected[start : start + _AT_ONCE]).items():
                amended = rehearsal.touched.get(member_id, record)
                before[member_id] = resolve_access(rehearsal.model.access, record.facts, now=now)
                after[member_id] = resolve_access(rehearsal.amended_model.access, amended.facts, now=now)
                names[member_id] = record.display_name
                outlooks.append(Outlook(amended, after[member_id]))
    shown = preview(
        before,
        after,
        catalogue=rehearsal.model.catalogue,
        roles=rehearsal.model.roles,
        scopes=rehearsal.model.scopes,
        access_version=rehearsal.state.access_version,
        roles_after=rehearsal.amended_model.roles,
        scopes_after=rehearsal.amended_model.scopes,
    )
    state = rehearsal.amended_state
    limit = seat_limit(state, rehearsal.amended_model.catalogue)
    settlement = settle_seats(outlooks, state, limit, now=now)
    waiting = sorted(member_id for member_id, seat in settlement.seats.items() if seat is Seat.WAITING)
    return Foresight(
        preview=shown,
        seats_before=rehearsal.state.seated + rehearsal.state.reserved,
        seats_after=settlement.seated + state.reserved,
        seat_limit=limit,
        waiting=tuple(waiting),
        names={change.member_id: names[change.member_id] for change in shown.changes},
    )
