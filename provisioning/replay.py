"""Rebuilds members, grants and seats from the events alone, and compares them with the tables.

It begins with the first event, or with what the retention has kept of those that it removed.

Knows what events say and none of the rules by which things came about: what cannot be rebuilt is missing in the log.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from audit.body import ChangeBody, EventBody
from audit.events import Outcome
from directory.ids import EventId, MemberId, RoleId, ScopeId
from provisioning.ports import Reader
from provisioning.state import Seat

_MEMBERS_AT_ONCE: Final = 1_000
_SEAT_ACTIONS: Final = frozenset({"seat.assigned", "seat.waiting", "seat.released"})

# What is held then is what has not ended, whatever clocks said when it began.
_ENDLESS: Final = datetime(9999, 1, 1, tzinfo=UTC)

Pair = tuple[RoleId, ScopeId]


@dataclass(slots=True)
class RebuiltMember:
    """A member as the log says. `grants` are those held now, with the event that granted each."""

    is_active: bool = False
    is_deleted: bool = False
    seat: Seat = Seat.NONE
    grants: dict[Pair, EventId] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something that the log says otherwise than the tables, in words."""

    member_id: MemberId
    text: str


class Replay:
    """The state of one organisation as its events, taken in their order, make it."""

    def __init__(self, members: Mapping[MemberId, RebuiltMember] | None = None) -> None:
        """`members`: what earlier events, which are kept no more, have made of them. They are changed in place."""
        self.members: dict[MemberId, RebuiltMember] = dict(members or {})
        self.touched: set[MemberId] = set()
        self.events = 0
        self.faults: list[Misfit] = []

    def take(self, body: EventBody) -> None:
        """Do what the event says was done."""
        self.events += 1
        action = body["action"]
        if body["outcome"] != Outcome.SUCCESS or not (
            action.startswith(("member.", "role.")) or action in _SEAT_ACTIONS
        ):
            return
        subject = next((one for one in body.get("targets", ()) if one["role"] == "subject"), None)
        if subject is None or subject["type"] != "member":
            return
        member_id = MemberId(subject["id"])
        self.touched.add(member_id)
        changes = {change["path"]: change for change in body.get("changes", ())}
        match action:
            case "member.created":
                self._create(member_id, changes)
            case "member.deactivated" | "member.reactivated" | "member.deleted":
                member = self._member(member_id, body)
                member.is_active = action == "member.reactivated"
                member.is_deleted = action == "member.deleted"
            case "role.granted" | "role.revoked":
                self._move_grant(member_id, body, changes)
            case "seat.assigned" | "seat.waiting" | "seat.released":
                self._move_seat(member_id, body, changes)
            case _:
                # Linked, renamed, held or staged: nobody's state moves by it.
                pass

    def _create(self, member_id: MemberId, changes: Mapping[str, ChangeBody]) -> None:
        member = self.members.setdefault(member_id, RebuiltMember())
        member.is_deleted = False
        member.is_active = "active" in changes and changes["active"]["after"] is True

    def _move_grant(self, member_id: MemberId, body: EventBody, changes: Mapping[str, ChangeBody]) -> None:
        grants = self._member(member_id, body).grants
        side = "after" if body["action"] == "role.granted" else "before"
        role, scope_id = changes["role"], changes["scope_id"]
        if side == "after":
            pair = RoleId(str(role["after"])), ScopeId(str(scope_id["after"]))
            if pair in grants:
                self._tell(member_id, f"event {body['id']} grants {_named(pair)}, which was held already")
            grants[pair] = EventId(body["id"])
        else:
            pair = RoleId(str(role["before"])), ScopeId(str(scope_id["before"]))
            if grants.pop(pair, None) is None:
                self._tell(member_id, f"event {body['id']} takes {_named(pair)} away, which was not held")

    def _move_seat(self, member_id: MemberId, body: EventBody, changes: Mapping[str, ChangeBody]) -> None:
        member = self._member(member_id, body)
        seat = changes["seat"]
        if seat["before"] != member.seat:
            self._tell(
                member_id, f"event {body['id']} moves the seat from {seat['before']}, which was {member.seat}"
            )
        member.seat = Seat(str(seat["after"]))

    def _member(self, member_id: MemberId, body: EventBody) -> RebuiltMember:
        member = self.members.get(member_id)
        if member is None:
            self._tell(
                member_id, f"event {body['id']} ({body['action']}) speaks of somebody never made a member"
            )
            member = self.members[member_id] = RebuiltMember()
        return member

    def _tell(self, member_id: MemberId, text: str) -> None:
        self.faults.append(Misfit(member_id, text))


def replay_events(
    bodies: Iterable[EventBody], members: Mapping[MemberId, RebuiltMember] | None = None
) -> Replay:
    """Take all events of an organisation in their order; or those behind the ones that have made `members`."""
    replay = Replay(members)
    for body in bodies:
        replay.take(body)
    return replay


def compare_replay(replay: Replay, reader: Reader) -> Iterator[Misfit]:
    """Say where the tables are otherwise than the log, member by member."""
    yield from replay.faults
    held: dict[MemberId, dict[Pair, EventId]] = {}
    for interval in reader.intervals_at(_ENDLESS):
        held.setdefault(interval.member_id, {})[interval.grant.pair] = interval.opened_event
    seen: set[MemberId] = set()
    after: MemberId | None = None
    while ids := reader.member_ids(after, _MEMBERS_AT_ONCE):
        after = ids[-1]
        seen.update(ids)
        for member_id, record in reader.member_records(ids, with_attributes=False).items():
            rebuilt = replay.members.get(member_id)
            if rebuilt is None:
                yield Misfit(member_id, "is a member, and no event made them one")
                continue
            if rebuilt.is_deleted:
                yield Misfit(member_id, "is a member, and by the log no longer")
            if rebuilt.is_active != record.is_active:
                yield Misfit(
                    member_id, f"is {_activity(record.is_active)}, by the log {_activity(rebuilt.is_active)}"
                )
            if rebuilt.seat is not record.seat:
                yield Misfit(member_id, f"has the seat {record.seat}, by the log {rebuilt.seat}")
            yield from _compare_grants(member_id, rebuilt.grants, held.get(member_id, {}))
    for member_id, rebuilt in replay.members.items():
        if member_id in seen:
            continue
        if not rebuilt.is_deleted:
            yield Misfit(member_id, "is a member by the log, and not among the members")
        yield from _compare_grants(member_id, rebuilt.grants, held.get(member_id, {}))
    for member_id in held.keys() - seen - replay.members.keys():
        yield Misfit(member_id, "holds grants, and is neither among the members nor in the log")


def _compare_grants(
    member_id: MemberId, rebuilt: Mapping[Pair, EventId], held: Mapping[Pair, EventId]
) -> Iterator[Misfit]:
    for pair in sorted(held.keys() - rebuilt.keys()):
        yield Misfit(member_id, f"holds {_named(pair)}, and the log does not say so")
    for pair in sorted(rebuilt.keys() - held.keys()):
        yield Misfit(member_id, f"holds {_named(pair)} by the log, and not by the tables")
    for pair in sorted(rebuilt.keys() & held.keys()):
        if rebuilt[pair] != held[pair]:
            yield Misfit(member_id, f"holds {_named(pair)} by another event than the table says")


def _named(pair: Pair) -> str:
    return f"{pair[0]} at {pair[1]}"


def _activity(is_active: bool) -> str:
    return "active" if is_active else "inactive"
