"""How long the log is kept, what keeps it longer, and what a removal leaves behind. Ports for whoever stores it.

Only a beginning of the log is ever removed: whole leaf ranges, each behind the one before. What the removed events
made of the members is kept as a baseline, so that the rest can still be replayed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

from audit.canonical import canonicalise
from directory.ids import EventId, MemberId, RoleId, ScopeId
from provisioning.errors import ProvisioningError
from provisioning.ports import Reader
from provisioning.replay import RebuiltMember
from provisioning.state import EventRow, Seat

LEAST_DAYS: Final = 90
USUAL_DAYS: Final = 400
MOST_DAYS: Final = 3653
"""Ten years, with their leap days."""


class RetentionHeldError(ProvisioningError):
    """A legal hold stands: nothing of the log is removed or erased."""

    code = "legal_hold"

    def __init__(self, hold: "Hold") -> None:
        until = "until it is lifted" if hold.ends_at is None else f"until {hold.ends_at:%Y-%m-%d %H:%M} UTC"
        super().__init__(
            f"a legal hold stands {until} ({hold.reason}): nothing of the record is removed or erased before "
            "'usher audit hold lift'"
        )
        self.hold = hold


class StillPresentError(ProvisioningError):
    """Whoever is to be erased is still there."""

    code = "still_present"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"{number} of them are present: members, known to a directory, or invited. Take them out first; or say "
            "--even-present to erase what the record has of them until now"
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """Keeps everything while it stands. Without `ends_at` until it is lifted."""

    reason: str
    held_at: datetime
    ends_at: datetime | None = None

    def stands(self, now: datetime) -> bool:
        return self.ends_at is None or now < self.ends_at


@dataclass(frozen=True, slots=True)
class Keeping:
    """How an organisation keeps its log. `set_days` None: as long as is usual.

    Events of the leaves before `declared_before` are to be removed, those before `removed_before` are.
    """

    set_days: int | None = None
    hold: Hold | None = None
    declared_before: int = 0
    removed_before: int = 0

    @property
    def days(self) -> int:
        return USUAL_DAYS if self.set_days is None else self.set_days

    def limit(self, now: datetime, days: int | None = None) -> datetime:
        """What is older goes, after these days or others. Whole days (UTC), so that there is one removal a day."""
        span = timedelta(days=self.days if days is None else days)
        return (now - span).replace(hour=0, minute=0, second=0, microsecond=0)

    def check_free(self, now: datetime) -> None:
        """Raises RetentionHeldError."""
        if self.hold is not None and self.hold.stands(now):
            raise RetentionHeldError(self.hold)


@dataclass(frozen=True, slots=True)
class Range:
    """Leaves from `first` up to, not including, `stop`."""

    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first


@dataclass(frozen=True, slots=True)
class Removed:
    """What one transaction has removed: the events of leaves, and references that nothing speaks of any more."""

    leaves: int
    references: int


@dataclass(frozen=True, slots=True)
class Erased:
    """How many people and references, and whatever ids were theirs."""

    persons: int
    references: int
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Person:
    """Everything by which the record knows somebody. `mails` and `names` are for whoever is asked to confirm."""

    member_ids: frozenset[str]
    user_ids: frozenset[str]
    invitation_ids: frozenset[str]
    references: frozenset[str]
    names: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()
    is_present: bool = False
    left_at: datetime | None = None

    @property
    def ids(self) -> frozenset[str]:
        return self.member_ids | self.user_ids | self.invitation_ids


def write_state(member: RebuiltMember) -> dict[str, object]:
    """A member of the baseline as a document."""
    return {
        "active": member.is_active,
        "deleted": member.is_deleted,
        "grants": [[role, scope, event] for (role, scope), event in sorted(member.grants.items())],
        "seat": member.seat.value,
    }


def read_state(document: Mapping[str, object]) -> RebuiltMember:
    """The reverse of `write_state`."""
    grants = document["grants"]
    assert isinstance(grants, list)  # noqa: S101 - as it was written
    return RebuiltMember(
        is_active=document["active"] is True,
        is_deleted=document["deleted"] is True,
        seat=Seat(str(document["seat"])),
        grants={(RoleId(role), ScopeId(scope)): EventId(event) for role, scope, event in grants},
    )


def baseline_digest(members: Mapping[MemberId, RebuiltMember]) -> str:
    """SHA-256 over the members in the order of their ids, a canonical line for each; the event names it."""
    digest = sha256()
    for member_id in sorted(members):
        digest.update(canonicalise({"member": member_id, **write_state(members[member_id])}))
        digest.update(b"\n")
    return digest.hexdigest()


class KeepingView(Reader, Protocol):
    """A consistent view of one organisation and of how its log is kept."""

    def keeping(self) -> Keeping: ...

    def old_leaves(self, limit: datetime) -> int:
        """How many leaves, from the first on, are older than the moment, by what they say and by their sealing."""

    def bodies(self, leaves: Range) -> Iterator[bytes]:
        """What is stored at them, in their order."""

    def later_bodies(self, first: int) -> Iterator[bytes]:
        """What is stored at the leaves from this one on, and not sealed yet, in the order written."""

    def baseline(self) -> dict[MemberId, RebuiltMember]:
        """What the events that are gone, or declared to go, made of the members."""

    def persons(self, ids: Iterable[str], *, with_names: bool = False) -> list[Person]:
        """Whoever the ids belong to: those of members, users, invitations or references."""

    def leavers(self, before: datetime, limit: int) -> list[Person]:
        """People who left before the moment and are not erased yet."""


class LogKeeper(Protocol):
    """One organisation's log as retention and erasure work on it. Each call that writes is a transaction."""

    def read(self) -> AbstractContextManager[KeepingView]: ...

    def set_days(self, days: int, event: EventRow) -> None: ...

    def set_hold(self, hold: Hold | None, event: EventRow) -> None: ...

    def declare(
        self, leaves: Range, members: Mapping[MemberId, RebuiltMember], event: EventRow, now: datetime
    ) -> bool:
        """Say that the events of these leaves are to go, and keep what they made of `members`; False when another
        has been quicker. Raises RetentionHeldError."""

    def remove(self, now: datetime, limit: int) -> Removed:
        """Remove up to so many declared events, and what was kept for them alone. Raises RetentionHeldError."""

    def erase(
        self,
        ids: Collection[str],
        tell: Callable[[Erased], Sequence[EventRow]],
        now: datetime,
        *,
        even_present: bool,
        mint: Callable[[], str],
    ) -> Erased:
        """Destroy the keys of all references of people, and what tables keep of those who left.

        Who is present goes on under new references. `tell` makes the event of what was done.
        Raises RetentionHeldError, StillPresentError.
        """

    def overwrite(self) -> bool:
        """Let what was erased leave the files as well, as far as that is ours; False when something is in the way."""
