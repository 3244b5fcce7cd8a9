"""Who gets a seat. Pure; the caller counts under the organisation's lock.

Source: docs/decisions/0006-seats.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from directory.ids import MemberId
from mappings.catalogue import Catalogue
from provisioning.state import UNLIMITED, OrganisationState


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member who needs a seat and holds none. Lower `priority` and higher `rank` come first."""

    member_id: MemberId
    priority: int
    rank: int
    since: datetime
    is_owner: bool = False

    @property
    def order(self) -> tuple[int, int, datetime, str]:
        return (self.priority, -self.rank, self.since, self.member_id)


@dataclass(frozen=True, slots=True)
class Allotment:
    """The candidates in the order of the list: those who are seated, and those who wait."""

    seated: tuple[Candidate, ...]
    waiting: tuple[Candidate, ...]


def seat_limit(state: OrganisationState, catalogue: Catalogue) -> int | None:
    """The seats that the organisation may fill; None means unlimited.

    The organisation's own number stands before the plan's. Without any plan there is no limit (MK-13). A plan that
    leaves the number open is refused without one when it is set (MT-14); where a newer catalogue has opened the
    number, or has lost the plan, no further seat is given.
    """
    if state.seat_limit is not None:
        return None if state.seat_limit == UNLIMITED else state.seat_limit
    if state.plan is None:
        return None
    plan = catalogue.plans.get(state.plan)
    return 0 if plan is None or plan.is_custom else plan.seats


def free_seats(limit: int | None, occupied: int) -> int | None:
    """Seats to give; None when unlimited, never negative."""
    return None if limit is None else max(0, limit - occupied)


def allot_seats(candidates: Sequence[Candidate], free: int | None) -> Allotment:
    """Seat the head of the list. The owner is always seated, also beyond the limit, and uses a seat up.

    Order: rule priority, role rank, waiting since, id. The same candidates give the same allotment in any order.
    """
    ordered = sorted(candidates, key=lambda candidate: (not candidate.is_owner, *candidate.order))
    if free is None:
        return Allotment(tuple(ordered), ())
    owners = sum(1 for candidate in ordered if candidate.is_owner)
    cut = max(owners, min(free, len(ordered)))
    return Allotment(tuple(ordered[:cut]), tuple(ordered[cut:]))


def thresholds_crossed(limit: int | None, before: int, after: int) -> tuple[int, ...]:
    """Percentages (80, 100) of the limit that the occupation has just reached from below."""
    if not limit:
        return ()
    return tuple(percent for percent in (80, 100) if before * 100 < percent * limit <= after * 100)
