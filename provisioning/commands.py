"""A command in, and what became of it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from audit.actors import Actor
from directory.changes import Change
from directory.ids import DirectoryId, EventId, MemberId
from provisioning.errors import RefusalCode


@dataclass(frozen=True, slots=True)
class Fence:
    """A run's claim on its directory. The transaction renews the lease, or writes nothing."""

    directory_id: DirectoryId
    token: int
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Command:
    """Changes to be applied together or not at all, by one actor, for one cause.

    `directory_id` is the speaker of directory changes. `root` is the event that began it all, when there is one (a
    run's start). `refuse_when_full` lets a full organisation turn a pushed user away, as its seat policy says; pulled
    directories never set it. `defer_seats` leaves newcomers on the waiting list, for `drain_pending` at the end of a
    long run, so that the order of the list decides and not the order of the batches. `expected_version` refuses the
    command when access has moved since it was previewed; `plan_hash` names that preview in the record. `address` is
    where it came from, as trusted proxies tell it.
    """

    actor: Actor
    changes: tuple[Change, ...]
    kind: str
    directory_id: DirectoryId | None = None
    root: EventId | None = None
    run_id: str = ""
    request_id: str = ""
    address: str = ""
    fence: Fence | None = None
    refuse_when_full: bool = False
    defer_seats: bool = False
    expected_version: int | None = None
    plan_hash: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """`counters` say what changed, by kind; `pending` people still wait for their access to be worked out."""

    access_version: int
    events: tuple[EventId, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    members: tuple[MemberId, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was stored but the refusal event. `message` says what to do."""

    code: RefusalCode
    message: str
    event_id: EventId
    numbers: tuple[tuple[str, str | int], ...] = ()
