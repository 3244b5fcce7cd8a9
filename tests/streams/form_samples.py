"""Records of every sort in every form, and the files that hold what they should be.

`python -c "from tests.streams.form_samples import write_files; write_files()"` writes the files anew.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from audit.actors import AdminActor, LoginActor, SystemActor
from audit.events import Cause, Event, FieldChange, Outcome, Reason, Target
from audit.render import render_event
from directory.ids import EventId, OrganisationId
from provisioning.streaming import SealedCheckpoint, SealedEvent
from streams.formats import Form
from streams.records import CheckpointRecord, EventRecord, GapRecord, ProbeRecord, Record
from tests.audit.samples import EVENT

FOLDER = Path(__file__).parents[1] / "payloads" / "streams"
FORMS = ("canonical", "ocsf", "ecs", "cef")
NOW = datetime(2026, 3, 4, 5, 6, 9, 123_000, tzinfo=UTC)
ROOT = EventId("01990000-0000-7000-8000-000000000009")
ANNA = {
    "name": "Anna Ø. Example",
    "user_name": "anna",
    "mail": "anna@example.org",
    "dn": "uid=anna,ou=people|staff",
}
_NOTE = "usher.example/audit/org\n41\nAAAA=\n\n— usher.example BBBB=\n"


def sealed(event: Event, leaf_index: int, **names: dict[str, str]) -> SealedEvent:
    """The event at its place, with names by the end of their references."""
    known = {f"pii:{ref[1:]}": values for ref, values in names.items()}
    return SealedEvent(leaf_index, render_event(event), event.id, NOW - timedelta(seconds=1), known)


def samples() -> Iterator[tuple[str, Record]]:
    """One of each sort."""
    granted = replace(EVENT, cause=replace(EVENT.cause, root=ROOT, parent=ROOT), request_id="req_9")
    denied = replace(
        EVENT,
        action="seat.denied",
        outcome=Outcome.DENIED,
        actor=AdminActor("mem_2"),
        reason=Reason("seat_limit_reached", (("limit", 50), ("used", 50), ("is_owner", False))),
        changes=(),
    )
    joined = replace(
        EVENT,
        action="group.member_added",
        targets=(Target("user", "user_1", pii="pii:1"), Target("group", "group_1", role="object")),
        changes=(
            FieldChange("member", None, "user_1"),
            FieldChange("display_name", None, "creators | a=b\\c\nnext"),
        ),
    )
    updated = replace(
        EVENT,
        action="user.updated",
        outcome=Outcome.NOOP,
        actor=SystemActor("seats"),
        targets=(Target("user", "user_1", pii="pii:1"),),
        changes=(
            FieldChange("profile", "pii:1", "pii:2"),
            FieldChange("attributes", None, ("dn", "mail")),
            FieldChange("active", True, False),
        ),
    )
    login = replace(
        EVENT,
        action="sso.login",
        actor=LoginActor("login_1"),
        cause=Cause("sso_assertion"),
        changes=(),
    )
    yield "event", EventRecord(sealed(granted, 41, _1=ANNA))
    yield "replay", EventRecord(sealed(granted, 41, _1=ANNA), is_replay=True)
    yield "denied", EventRecord(sealed(denied, 42, _1={"mail": "only@example.org"}))
    yield "joined", EventRecord(sealed(joined, 43, _1=ANNA))
    yield "erased", EventRecord(sealed(updated, 44, _2={"dn": "uid=nobody"}))
    yield "login", EventRecord(sealed(login, 45, _1=ANNA))
    tested = replace(
        EVENT,
        action="stream.tested",
        targets=(Target("stream", "stream_1"),),
        changes=(FieldChange("name", None, "siem"),),
    )
    yield "probe", ProbeRecord(render_event(tested), tested.id, NOW)
    yield "gap", GapRecord(3, 7)
    yield "checkpoint", CheckpointRecord(SealedCheckpoint(41, _NOTE, NOW))
    yield "unreadable", EventRecord(SealedEvent(46, b'{"v":2,"id":"later"}', "event-46", NOW, {}))


def make_form(name: str) -> Form:
    return Form(name, OrganisationId("org"), lambda: NOW, "1.2.3")


def render(name: str) -> str:
    """The text of the form's file."""
    form = make_form(name)
    told = {sample: form.render(record).decode() for sample, record in samples()}
    read = told if name == "cef" else {sample: orjson.loads(line) for sample, line in told.items()}
    return json.dumps(read, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_files() -> None:
    for name in FORMS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")
