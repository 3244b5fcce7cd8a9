"""One event that every test here varies with `replace`, and the ways to build a valid one for any action."""

from datetime import UTC, datetime

from audit.actors import TokenActor
from audit.body import EventBody
from audit.events import ACTIONS, PROFILE, Cause, Event, FieldChange, Outcome, Target
from directory.ids import DirectoryId, EventId, OrganisationId

EVENT = Event(
    id=EventId("01990000-0000-7000-8000-000000000001"),
    organisation=OrganisationId("01990000-0000-7000-8000-00000000000a"),
    time=datetime(2026, 3, 4, 5, 6, 7, 891_999, tzinfo=UTC),
    salt=bytes(range(16)),
    action="role.granted",
    outcome=Outcome.SUCCESS,
    actor=TokenActor("tok_1", DirectoryId("dir_1")),
    targets=(Target("member", "mem_1", pii="pii:1"),),
    cause=Cause("scim_request", scim_request_id="req_9"),
    changes=(FieldChange("role", None, "creator"), FieldChange("scope_id", None, "scope_4")),
)


def build_event_with_every_path(action: str) -> Event:
    """Say everything that the action allows, and leave one open path beside."""
    spec = ACTIONS[action]
    paths = sorted(spec.paths) + ([f"{spec.open_paths}seat_policy"] if spec.open_paths else [])
    return Event(
        id=EVENT.id,
        organisation=EVENT.organisation,
        time=EVENT.time,
        salt=EVENT.salt,
        action=action,
        outcome=Outcome.SUCCESS,
        actor=EVENT.actor,
        targets=(Target("thing", "thing_1"), Target("other_thing", "thing_2", role="object")),
        cause=EVENT.cause,
        changes=tuple(
            FieldChange(path, None, "pii:2" if path == PROFILE else f"new {path}") for path in paths
        ),
    )


def build_body(event_id: str, *, parent: str = "", root: str = "", organisation: str = "org_1") -> EventBody:
    """A stored event of which only its place in a cause chain matters."""
    body: EventBody = {
        "v": 1,
        "id": event_id,
        "organisation": organisation,
        "time": "2026-03-04T05:06:07.891Z",
        "salt": "00" * 16,
        "action": "user.updated",
        "outcome": "success",
        "actor": {"type": "system", "id": "seats"},
        "cause": {"kind": "run"},
    }
    if parent:
        body["cause"]["parent"] = parent
    if root:
        body["cause"]["root"] = root
    return body
