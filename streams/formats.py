"""The forms in which records are sent: canonical JSON, OCSF, the Elastic Common Schema, CEF.

Only the canonical form holds what a receiver needs to compute a leaf. An event that a form does not know, as one of
a later release, goes as it is: a record that cannot be rendered would hold up all that lie behind it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import orjson

from audit.body import EventBody, ValueBody, parse_body
from audit.cef import to_cef
from audit.ecs import to_ecs
from audit.errors import AuditError
from audit.events import ERASED, PII_PREFIX
from audit.ocsf import to_ocsf
from directory.ids import OrganisationId
from provisioning.ports import Clock
from provisioning.stream_settings import CANONICAL, CEF, OCSF, format_of
from provisioning.streaming import SealedEvent, StoredStream
from streams.notices import Notice, notice_to_cef, notice_to_ecs, notice_to_ocsf
from streams.records import (
    CheckpointRecord,
    EventRecord,
    GapRecord,
    ProbeRecord,
    Record,
    record_id,
    render_moment,
    render_record,
)

Render = Callable[[Record], bytes]
"""One record on one line: JSON, or CEF."""

GAP: Final = "stream.gap"
CHECKPOINT: Final = "log.checkpoint"
UNREADABLE: Final = "event.unreadable"

_Told = dict[str, Any] | str
_NAME_PARTS: Final = ("display_name", "name", "user_name", "mail", "mails", "external_id", "text")
# What corrupt and unknown bodies lead to.
_ODD: Final = (AuditError, AttributeError, KeyError, TypeError, ValueError)
# What a record has beside the event, and how often it says what the event says: measured, and rounded up.
_BARE_BYTES: Final = 160
_FRAME_BYTES: Final = 1000
_TIMES: Final = 1.2


class _Read(NamedTuple):
    """An event record taken apart. `marks`: replay, test."""

    raw: bytes
    event_id: str
    leaf_index: int | None
    at: datetime
    sealed_at: datetime | None
    known: Mapping[str, Mapping[str, str]]
    marks: list[str]


@dataclass(frozen=True, slots=True)
class Form:
    """Renders the records of one stream."""

    name: str
    organisation_id: OrganisationId
    clock: Clock
    product_version: str

    def render(self, record: Record) -> bytes:
        """One line. In other forms than the canonical one a gap has the time of its sending."""
        if self.name == CANONICAL:
            return render_record(record)
        if isinstance(record, GapRecord):
            told = self._tell_notice(_gap_notice(record, self.organisation_id, self.clock()))
        elif isinstance(record, CheckpointRecord):
            told = self._tell_notice(_checkpoint_notice(record, self.organisation_id))
        else:
            read = _take_apart(record)
            try:
                told = self._tell_event(read)
            except _ODD:
                told = self._tell_notice(_raw_notice(read, self.organisation_id))
        return told.encode() if isinstance(told, str) else orjson.dumps(told, option=orjson.OPT_SORT_KEYS)

    def _tell_event(self, read: _Read) -> _Told:
        body = parse_body(read.raw)
        references = _find_references(body)
        names = _clear_names(body, references, read.known)
        if self.name == CEF:
            return to_cef(
                body,
                leaf_index=read.leaf_index,
                product_version=self.product_version,
                names=names,
                marks=read.marks,
            )
        people = [{"ref": one, **read.known.get(one, {"name": ERASED})} for one in references]
        if self.name == OCSF:
            return _complete_ocsf(
                to_ocsf(
                    body, leaf_index=read.leaf_index or 0, product_version=self.product_version, names=names
                ),
                body,
                read,
                people,
            )
        told = to_ecs(body, leaf_index=read.leaf_index, product_version=self.product_version, names=names)
        return _complete_ecs(told, body, read, people)

    def _tell_notice(self, notice: Notice) -> _Told:
        if self.name == CEF:
            return notice_to_cef(notice, self.product_version)
        tell = notice_to_ocsf if self.name == OCSF else notice_to_ecs
        return tell(notice, self.product_version)


def form_of(stream: StoredStream, clock: Clock) -> Form:
    """The form that the stream is set to."""
    return Form(format_of(stream.kind, stream.settings), stream.organisation_id, clock, version("usher-sync"))


def measure_in(stream: StoredStream) -> Callable[[SealedEvent], int]:
    """How long an event is in the stream's form, without rendering it: a bound that few exceed."""
    form = format_of(stream.kind, stream.settings)
    frame, times = (_BARE_BYTES, 1) if form == CANONICAL else (_FRAME_BYTES, _TIMES)

    return lambda event: frame + int(times * (len(event.body) + len(orjson.dumps(event.names, default=dict))))


def _gap_notice(gap: GapRecord, organisation_id: OrganisationId, now: datetime) -> Notice:
    return Notice(
        organisation_id,
        GAP,
        record_id(gap),
        now,
        f"The events {gap.first} to {gap.last} were removed by the retention before they could be sent.",
        {"first": gap.first, "last": gap.last},
        is_grave=True,
    )


def _checkpoint_notice(record: CheckpointRecord, organisation_id: OrganisationId) -> Notice:
    checkpoint = record.checkpoint
    return Notice(
        organisation_id,
        CHECKPOINT,
        record_id(record),
        checkpoint.sealed_at,
        f"The first {checkpoint.size} events of the log were signed for. Keep the note: it holds us to them.",
        {"size": checkpoint.size},
        checkpoint.note,
    )


def _raw_notice(read: _Read, organisation_id: OrganisationId) -> Notice:
    return Notice(
        organisation_id,
        UNREADABLE,
        read.event_id,
        read.at,
        "An event of a form that this release does not know.",
        {} if read.leaf_index is None else {"leaf_index": read.leaf_index},
        read.raw.decode("utf-8", "replace"),
    )


def _take_apart(record: EventRecord | ProbeRecord) -> _Read:
    if isinstance(record, ProbeRecord):
        return _Read(
            record.body, record.event_id, None, record.at, None, {}, ["last" if record.is_last else "test"]
        )
    event = record.event
    marks = ["replay"] if record.is_replay else []
    return _Read(
        event.body, event.event_id, event.leaf_index, event.sealed_at, event.sealed_at, event.names, marks
    )


def _find_references(body: EventBody) -> list[str]:
    """Those of persons, in the order of their coming."""
    found = [one["pii"] for one in body.get("targets", ()) if "pii" in one]
    for change in body.get("changes", ()):
        found += [one for side in (change["before"], change["after"]) for one in _texts(side)]
    return [one for one in dict.fromkeys(found) if one.startswith(PII_PREFIX)]


def _texts(value: ValueBody) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from value


def _clear_names(
    body: EventBody, references: list[str], known: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """By reference, and by the id of whom it is. Of whoever was erased the reference says so."""
    names = dict.fromkeys(references, ERASED)
    for reference in references:
        if reference in known:
            name = next((known[reference][part] for part in _NAME_PARTS if known[reference].get(part)), "")
            if name:
                names[reference] = name
            else:
                del names[reference]
    for target in body.get("targets", ()):
        if target.get("pii", "") in known and target["pii"] in names:
            names[target["id"]] = names[target["pii"]]
    return names


def _complete_ocsf(
    told: dict[str, Any], body: EventBody, read: _Read, people: list[dict[str, str]]
) -> dict[str, Any]:
    metadata = told["metadata"]
    if read.leaf_index is None:
        del metadata["sequence"]
    if read.sealed_at is not None:
        metadata["logged_time"] = int(read.sealed_at.timestamp() * 1000)
    if read.marks:
        metadata["labels"] = read.marks
    if people:
        told["unmapped"]["names"] = people
    if "user" in told:
        _complete_user(told["user"], "uid", "email_addr", body, read)
    return told


def _complete_ecs(
    told: dict[str, Any], body: EventBody, read: _Read, people: list[dict[str, str]]
) -> dict[str, Any]:
    if read.sealed_at is not None:
        told["usher"]["sealed_at"] = render_moment(read.sealed_at)
    if read.marks:
        told["tags"] = read.marks
    if people:
        told["usher"]["names"] = people
    user = told.get("user", {})
    target = user.get("target", {})
    for one in (user, target):
        _complete_user(one, "id", "email", body, read)
    related = {text for one in (user, target) for text in one.values() if isinstance(text, str)} - {ERASED}
    if related:
        told["related"] = {"user": sorted(related)}
    return told


def _complete_user(user: dict[str, Any], uid: str, mail: str, body: EventBody, read: _Read) -> None:
    """What is known of a person beside the name: the full name, the name to sign in with, the address."""
    for target in body.get("targets", ()):
        known = read.known.get(target.get("pii", ""), {})
        if target["id"] != user.get(uid) or "name" not in user:
            continue
        if known.get("user_name") not in {None, "", user["name"]}:
            user |= {"name": known["user_name"], "full_name": user["name"]}
        if known.get("mail"):
            user[mail] = known["mail"]
