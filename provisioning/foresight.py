"""What a command would do to people and seats, before anything is stored; and applying exactly that.

The command is rehearsed in a transaction that is rolled back, so that it is checked by the very code that would apply
it. The people are then resolved outside that transaction: nobody waits behind a preview of 20,000. What says itself
something about so many is rehearsed in parts, for the same reason.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from audit.events import FieldChange
from directory.changes import Change
from directory.ids import EventId, MemberId
from mappings.access import Access
from mappings.preview import Preview, preview
from provisioning.apply import apply_changes, begin_work, open_ledger, refuse, state_target, take_in
from provisioning.commands import Applied, Command, Refused
from provisioning.consequences import Outlook, Seating, admin_pair, look_at, settle
from provisioning.errors import Refusal, RefusalCode
from provisioning.models import ModelCache, OrganisationModel
from provisioning.ports import Clock, Mint, UnitOfWork
from provisioning.seats import seat_limit
from provisioning.state import MemberRecord, OrganisationState, Seat
from provisioning.work import Work

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
    """What the command has made of the organisation before it was rolled back, and whom it touches.

    `touched` are as the command leaves them; `queued` are only named, and untouched.
    """

    state: OrganisationState
    model: OrganisationModel
    work: Work
    touched: Mapping[MemberId, MemberRecord]
    queued: tuple[MemberId, ...]


@dataclass(frozen=True, slots=True)
class _Rehearsed:
    """What the parts of a command come to: people as each part leaves them, and the last part."""

    outlooks: Mapping[MemberId, Outlook]
    queued: tuple[MemberId, ...]
    entitled: frozenset[MemberId]
    opens: bool
    last: _Rehearsal


class _RolledBack(Exception):  # noqa: N818 - the regular end of a rehearsal
    def __init__(self, rehearsal: _Rehearsal) -> None:
        self.rehearsal = rehearsal


def preview_changes(
    command: Command, *, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> Foresight | Refused:
    """Work out what the command would do. Stores only the event of the preview.

    Returns: the effect, whose `plan_hash` `apply_previewed` takes; or why the command would be refused.
    """
    return preview_parts(
        command, [command.changes], unit_of_work=unit_of_work, clock=clock, mint=mint, models=models
    )


def preview_parts(
    command: Command,
    parts: Iterable[tuple[Change, ...]],
    *,
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
) -> Foresight | Refused:
    """The same for changes that are rehearsed part by part, the organisation unlocked in between. At least one part.

    No part sees the one before it, so each says all there is to say of its people; who is in two parts is shown as
    the later leaves them. What others write meanwhile is seen by the parts that come after. No hash of it can be
    applied.
    """
    try:
        rehearsed = _rehearse_parts(command, parts, unit_of_work, clock, mint, models)
        foresight = _foresee(rehearsed, unit_of_work)
    except Refusal as refusal:
        return Refused(refusal.code, refusal.message, EventId(""), refusal.numbers)
    with unit_of_work.write() as writer:
        state = writer.organisation()
        ledger = open_ledger(command, state, now=clock(), mint=mint)
        shown = foresight.preview
        ledger.record(
            "mapping.previewed",
            (state_target(state),),
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
        rehearsed = _rehearse_parts(command, [command.changes], unit_of_work, clock, mint, models)
        foresight = _foresee(rehearsed, unit_of_work)
        if foresight.plan_hash != plan_hash:
            raise Refusal(
                RefusalCode.STATE_MOVED,
                "what was previewed is no longer what would happen; preview it again",
                numbers=(("previewed", plan_hash), ("present", foresight.plan_hash)),
            )
    except Refusal as refusal:
        return refuse(command, refusal, unit_of_work=unit_of_work, clock=clock, mint=mint)
    bound = replace(command, expected_version=foresight.preview.access_version, plan_hash=plan_hash)
    return apply_changes(bound, unit_of_work=unit_of_work, clock=clock, mint=mint, models=models)


def _rehearse_parts(
    command: Command,
    parts: Iterable[tuple[Change, ...]],
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
) -> _Rehearsed:
    outlooks: dict[MemberId, Outlook] = {}
    queued: dict[MemberId, None] = {}
    entitled: set[MemberId] = set()
    opens, last = False, None
    for changes in parts:
        # Of each part only what it comes to is kept: its events are many times as large.
        last = _rehearse(replace(command, changes=changes), unit_of_work, clock, mint, models)
        outlooks.update(look_at(last.touched.values(), last.work))
        queued.update(dict.fromkeys(last.queued))
        entitled |= last.work.entitled
        opens = opens or last.work.seats_opened
    assert last is not None  # noqa: S101 - there is at least one part
    return _Rehearsed(outlooks, tuple(queued), frozenset(entitled), opens or bool(queued), last)


def _rehearse(
    command: Command, unit_of_work: UnitOfWork, clock: Clock, mint: Mint, models: ModelCache
) -> _Rehearsal:
    try:
        with unit_of_work.write() as writer:
            work = begin_work(command, writer, clock, mint, models)
            state, model = work.state, work.model
            take_in(work)
            touched = writer.member_records(work.causes.keys())
            queued: list[MemberId] = []
            while work.is_queueing and (taken := writer.take_pending(_AT_ONCE)):
                queued.extend(pending.member_id for pending in taken)
            raise _RolledBack(_Rehearsal(state, model, work, touched, tuple(queued)))
    except _RolledBack as done:
        return done.rehearsal


def _foresee(rehearsed: _Rehearsed, unit_of_work: UnitOfWork) -> Foresight:
    rehearsal = rehearsed.last
    work, state = rehearsal.work, rehearsal.work.state
    limit = seat_limit(state, work.model.catalogue)
    seating = Seating(
        state=state,
        limit=limit,
        admin_pair=admin_pair(work.model, state),
        now=work.now,
        opens=rehearsed.opens,
        entitled=rehearsed.entitled,
    )
    with unit_of_work.read() as reader:

        def look(ids: Collection[MemberId]) -> dict[MemberId, Outlook]:
            touched = rehearsed.outlooks
            seen = {member_id: touched[member_id] for member_id in ids if member_id in touched}
            rest = [member_id for member_id in ids if member_id not in seen]
            found: dict[MemberId, MemberRecord] = {}
            for start in range(0, len(rest), _AT_ONCE):
                chunk = rest[start : start + _AT_ONCE]
                found.update(reader.member_records(chunk, with_attributes=work.model.looks_at_attributes))
            return {**seen, **look_at(found.values(), work)}

        outlooks = look(list(dict.fromkeys([*rehearsed.outlooks, *rehearsed.queued])))
        settlement = settle(outlooks, seating, reader=reader, look=look)
        if settlement.gains(seating.admin_pair):
            held = [member_id for member_id in reader.held_members() if member_id not in settlement.outlooks]
            settlement = settle({**settlement.outlooks, **look(held)}, seating, reader=reader, look=look)
    before = {member_id: _present(outlook) for member_id, outlook in settlement.outlooks.items()}
    after = {
        member_id: replace(outlook.desired, grants=settlement.target(outlook))
        for member_id, outlook in settlement.outlooks.items()
    }
    shown = preview(
        before,
        after,
        catalogue=rehearsal.model.catalogue,
        roles=rehearsal.model.roles,
        scopes=rehearsal.model.scopes,
        access_version=rehearsal.state.access_version,
        roles_after=work.model.roles,
        scopes_after=work.model.scopes,
    )
    return Foresight(
        preview=shown,
        seats_before=rehearsal.state.seated + rehearsal.state.reserved,
        seats_after=settlement.seated + state.reserved,
        seat_limit=limit,
        waiting=tuple(sorted(key for key, seat in settlement.seats.items() if seat is Seat.WAITING)),
        names={
            change.member_id: settlement.outlooks[change.member_id].record.display_name
            for change in shown.changes
        },
    )


def _present(outlook: Outlook) -> Access:
    """What the member holds now, in the form of what the facts say."""
    record = outlook.record
    grants = sorted((held.grant for held in record.held), key=lambda grant: grant.pair)
    return Access(is_active=record.is_active, grants=tuple(grants), priority=0, rank=0)
