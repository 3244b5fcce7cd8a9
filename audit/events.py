"""The schema of an audit event and the closed registry of actions."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from audit.actors import Actor
from directory.ids import EventId, OrganisationId

JSONScalar = str | int | bool | None
JSONValue = JSONScalar | tuple[str, ...]


class Outcome(StrEnum):
    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"
    NOOP = "noop"


@dataclass(frozen=True, slots=True)
class Target:
    """What the event is about. `pii` refers to the clear name, which never stands in the body."""

    type: str
    id: str
    role: str = "subject"
    pii: str = ""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One path of one target before and after. The path must be on the action's allow-list; sets come sorted."""

    path: str
    before: JSONValue
    after: JSONValue


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it happened. `root` and `parent` are events; a root event has neither. See docs/architecture.md."""

    kind: str
    root: EventId | None = None
    parent: EventId | None = None
    rule_id: str = ""
    rule_version: int = 0
    group_id: str = ""
    run_id: str = ""
    scim_request_id: str = ""
    login_id: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code and the numbers that go with it, e.g. `seat_limit_reached` with limit and used."""

    code: str
    numbers: tuple[tuple[str, JSONScalar], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One audit event before it is rendered. `salt` is 16 random bytes; `time` is aware UTC."""

    id: EventId
    organisation: OrganisationId
    time: datetime
    salt: bytes
    action: str
    outcome: Outcome
    actor: Actor
    targets: tuple[Target, ...]
    cause: Cause
    changes: tuple[FieldChange, ...] = ()
    reason: Reason | None = None
    request_id: str = ""
