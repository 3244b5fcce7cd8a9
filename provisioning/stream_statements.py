"""Streams of the log: put, paused, resumed, replayed and removed; and what their deliveries have met with."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from audit.actors import AdminActor, ApiKeyActor, SystemActor
from audit.events import FieldChange, Outcome, Reason, Target
from directory.facts import name_key
from directory.ids import StreamId
from directory.stream_changes import (
    NoteDeadLetter,
    NoteStreamFailed,
    NoteStreamRecovered,
    NoteStreamStuck,
    PauseStream,
    PutStream,
    RemoveStream,
    ReplayStream,
    ResumeStream,
)
from provisioning.errors import Refusal, RefusalCode
from provisioning.stream_settings import (
    PULL,
    STREAM_KINDS,
    TOKEN,
    find_host,
    find_stream_faults,
    format_of,
    shown_destination,
)
from provisioning.streaming import (
    ACTIVE,
    BEFORE_FIRST,
    ERROR,
    LIVE,
    PAUSED,
    REPLAY,
    DeadLetter,
    Lane,
    StoredStream,
)
from provisioning.work import Work

MOST_STREAMS = 50
"""Streams of one organisation."""

_LONGEST_NAME = 200


def put_stream(work: Work, change: PutStream) -> None:
    """Store a stream with all of its settings. Raises Refusal, with every fault of them."""
    _check_speaker(work)
    known = work.writer.streams.stream(change.stream_id)
    name = change.name.strip()
    _check(work, change, name, known)
    fingerprints = dict(known.fingerprints) if known else {}
    for secret_name, secret in change.secrets.items():
        if change.kind != PULL:
            work.writer.streams.put_stream_secret(change.stream_id, secret_name, secret, work.now)
        fingerprints.pop(secret_name, None)
        if secret is not None:
            fingerprints[secret_name] = sha256(secret).hexdigest()[-4:]
    if (
        known is not None
        and not change.secrets
        and (known.name, dict(known.settings)) == (name, dict(change.settings))
    ):
        return
    stream = StoredStream(
        stream_id=change.stream_id,
        organisation_id=work.state.organisation_id,
        name=name,
        kind=change.kind,
        settings=dict(change.settings),
        host=find_host(change.settings),
        state=known.state if known else ACTIVE,
        reason=known.reason if known else "",
        version=known.version + 1 if known else 1,
        created_at=known.created_at if known else work.now,
        fingerprints=fingerprints,
    )
    work.writer.streams.put_stream(stream, work.now)
    token = change.secrets.get(TOKEN)
    if change.kind == PULL and token is not None:
        # Nobody needs to read it again: a digest will do.
        work.writer.streams.put_token(stream.stream_id, sha256(token).digest())
    if known is None:
        head = work.writer.streams.sealed_head()
        after = head if change.after is None else min(max(change.after, BEFORE_FIRST), head)
        work.writer.streams.put_lane(Lane(stream.stream_id, stream.organisation_id, LIVE, after, work.now))
    work.ledger.record(
        "stream.updated" if known else "stream.created",
        (_target(stream),),
        (
            FieldChange("name", known.name if known else None, name),
            FieldChange(
                "destination",
                shown_destination(known.kind, known.settings) if known else None,
                shown_destination(change.kind, change.settings),
            ),
            FieldChange(
                "format",
                format_of(known.kind, known.settings) if known else None,
                format_of(change.kind, change.settings),
            ),
            FieldChange("version", known.version if known else None, stream.version),
            *(
                (FieldChange("secrets_changed", None, tuple(sorted(change.secrets))),)
                if change.secrets
                else ()
            ),
        ),
    )


def _check(work: Work, change: PutStream, name: str, known: StoredStream | None) -> None:
    others = [one for one in work.writer.streams.streams() if one.stream_id != change.stream_id]
    faults: list[str] = []
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        faults.append(f"a stream's name has 1 to {_LONGEST_NAME} printable characters")
    if name_key(name) in {name_key(one.name) for one in others}:
        faults.append(f"a stream named '{name}' exists; choose another name")
    if known is None and len(others) >= MOST_STREAMS:
        faults.append(f"the organisation has {len(others)} streams, the most there may be")
    if known is not None and known.kind != change.kind:
        faults.append(f"the stream is of the kind {known.kind}; remove it and add another")
    secrets = {key: value for key, value in change.secrets.items() if value is not None}
    kind = STREAM_KINDS.get(change.kind)
    if known is not None and kind is not None:
        kept = [key for key in known.fingerprints if key not in change.secrets and key in kind.secrets]
        secrets |= dict.fromkeys(kept, b"kept")
    faults += find_stream_faults(change.kind, change.settings, secrets)
    if faults:
        raise Refusal(RefusalCode.INVALID, "; ".join(faults))


def pause_stream(work: Work, change: PauseStream) -> None:
    """Hold the stream back; one that is paused stays so."""
    _check_speaker(work)
    stream = _find(work, change.stream_id)
    if stream.state != PAUSED:
        _move(work, stream, PAUSED, "stream.paused")


def resume_stream(work: Work, change: ResumeStream) -> None:
    """Let the stream go on at once."""
    _check_speaker(work)
    stream = _find(work, change.stream_id)
    work.writer.streams.wake(stream.stream_id, work.now)
    if stream.state != ACTIVE:
        _move(work, stream, ACTIVE, "stream.resumed")


def remove_stream(work: Work, change: RemoveStream) -> None:
    """Destroy its secrets and forget its deliveries; the dead letters stay for the record."""
    _check_speaker(work)
    stream = _find(work, change.stream_id)
    for name in stream.fingerprints:
        work.writer.streams.put_stream_secret(stream.stream_id, name, None, work.now)
    work.writer.streams.remove_stream(stream.stream_id, work.now)
    _record(work, "stream.removed", stream, FieldChange("state", stream.state, None))


def replay_stream(work: Work, change: ReplayStream) -> None:
    """Begin a second delivery beside the live one; a replay that is under way gives way to it."""
    _check_speaker(work)
    stream = _find(work, change.stream_id)
    if stream.kind == PULL:
        raise _invalid("what is fetched is not replayed; ask for it again with another 'after'")
    head = work.writer.streams.sealed_head()
    if not BEFORE_FIRST <= change.after < head:
        raise _invalid(f"a replay begins behind a position from {BEFORE_FIRST} to {head - 1}")
    work.writer.streams.put_lane(
        Lane(stream.stream_id, stream.organisation_id, REPLAY, change.after, work.now, until=head)
    )
    _record(
        work,
        "stream.replayed",
        stream,
        FieldChange("first", None, change.after + 1),
        FieldChange("last", None, head),
    )


def note_dead_letter(work: Work, change: NoteDeadLetter) -> None:
    """Keep which event was left out; once, however often it was tried."""
    stream = _find(work, change.stream_id)
    letter = DeadLetter(stream.stream_id, change.leaf_index, change.event_id, change.reason, work.now)
    if work.writer.streams.insert_dead_letter(letter):
        _record(
            work,
            "stream.dead_lettered",
            stream,
            FieldChange("leaf_index", None, change.leaf_index),
            FieldChange("event_id", None, change.event_id),
            FieldChange("reason", None, change.reason),
        )


def note_stream_failed(work: Work, change: NoteStreamFailed) -> None:
    """Stop the stream. One that was paused or has gone meanwhile stays as it is."""
    stream = work.writer.streams.stream(change.stream_id)
    if stream is None or stream.state != ACTIVE:
        return
    work.writer.streams.put_stream(replace(stream, state=ERROR, reason=change.reason), work.now)
    work.ledger.record(
        "stream.failed",
        (_target(stream),),
        (
            FieldChange("name", None, stream.name),
            FieldChange("state", stream.state, ERROR),
            FieldChange("reason", None, change.reason),
        ),
        outcome=Outcome.FAILURE,
        reason=Reason("stream_refused"),
    )


def note_stream_stuck(work: Work, change: NoteStreamStuck) -> None:
    """Tell that the stream does not get through. It stays as it is."""
    stream = _find(work, change.stream_id)
    work.ledger.record(
        "stream.stuck",
        (_target(stream),),
        (FieldChange("name", None, stream.name), FieldChange("reason", None, change.trouble)),
        outcome=Outcome.FAILURE,
        reason=Reason("stream_not_taken"),
    )


def note_stream_recovered(work: Work, change: NoteStreamRecovered) -> None:
    """Tell that the stream gets through again."""
    _record(work, "stream.recovered", _find(work, change.stream_id))


STREAM_HANDLERS: Mapping[type, Callable[[Work, Any], None]] = MappingProxyType(
    {
        PutStream: put_stream,
        PauseStream: pause_stream,
        ResumeStream: resume_stream,
        RemoveStream: remove_stream,
        ReplayStream: replay_stream,
        NoteDeadLetter: note_dead_letter,
        NoteStreamFailed: note_stream_failed,
        NoteStreamStuck: note_stream_stuck,
        NoteStreamRecovered: note_stream_recovered,
    }
)
"""One handler for each kind of statement."""


def _check_speaker(work: Work) -> None:
    if not isinstance(work.command.actor, AdminActor | ApiKeyActor | SystemActor):
        raise Refusal(RefusalCode.NOT_ALLOWED, "streams are set by an administrator or the operator")


def _find(work: Work, stream_id: StreamId) -> StoredStream:
    stream = work.writer.streams.stream(stream_id)
    if stream is None:
        raise Refusal(RefusalCode.NOT_FOUND, f"there is no stream '{stream_id}' in this organisation")
    return stream


def _move(work: Work, stream: StoredStream, state: str, action: str) -> None:
    work.writer.streams.put_stream(replace(stream, state=state, reason=""), work.now)
    _record(work, action, stream, FieldChange("state", stream.state, state))


def _record(work: Work, action: str, stream: StoredStream, *changes: FieldChange) -> None:
    work.ledger.record(action, (_target(stream),), (FieldChange("name", None, stream.name), *changes))


def _target(stream: StoredStream) -> Target:
    return Target("stream", stream.stream_id)


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
