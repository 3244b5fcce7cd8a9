"""`usher stream`: destinations of the log, what became of them, and a second sending."""

import secrets as randomness
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from directory.facts import name_key
from directory.ids import StreamId
from directory.stream_changes import PauseStream, PutStream, ReplayStream, ResumeStream
from provisioning.ports import Reader
from provisioning.stream_settings import KAFKA, PULL, STREAM_KINDS, TOKEN, format_of, shown_destination
from provisioning.streaming import ACTIVE, BACKING_OFF, Lane, StoredStream
from service.cli import exits
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.output import clean
from service.errors import InputError, NotFoundError
from service.files import read_text
from service.names import is_id
from service.stream_health import lag_seconds
from service.streams import probe_stream, remove_stream
from streams.kafka import MISSING, is_installed
from streams.outcomes import Verdict
from streams.webhook import render_secret

_KEY_BYTES: Final = 32
_SHOWN_LETTERS: Final = 20
_GENERATED: Final[Mapping[str, str]] = {"webhook": "signing_secret", PULL: TOKEN}
_SETTING = click.option(
    "--set", "assignments", metavar="NAME=VALUE", multiple=True, help="A setting; more than once."
)
_SECRET_FILE = click.option(
    "--secret-file",
    "secret_files",
    metavar="NAME=PATH",
    multiple=True,
    help="A secret, read from a file; it is stored sealed and shown nowhere.",
)
_SECRET_STDIN = click.option(
    "--secret-stdin", metavar="NAME", default="", help="A secret, read from standard input."
)
_SETTING_FILE = click.option(
    "--set-file", "setting_files", metavar="NAME=PATH", multiple=True, help="A setting, read from a file."
)


@click.group(cls=UsherGroup)
def stream() -> None:
    """Streams of the audit log to SIEMs and webhooks."""


@stream.command()
@click.argument("name")
@click.option("--to", "kind", type=click.Choice(list(STREAM_KINDS)), required=True, help="The destination.")
@_SETTING
@_SETTING_FILE
@_SECRET_FILE
@_SECRET_STDIN
@click.option(
    "--after", type=click.IntRange(min=-1), help="Begin behind this position; -1: at the first event."
)
@organisation_option
def add(
    name: str,
    kind: str,
    assignments: Sequence[str],
    setting_files: Sequence[str],
    secret_files: Sequence[str],
    secret_stdin: str,
    after: int | None,
) -> None:
    """Add a destination. Without --after it begins behind what is sealed now."""
    call = current()
    if kind == KAFKA and not is_installed():
        raise InputError([MISSING])
    given = _read_secrets(secret_files, secret_stdin)
    made = _GENERATED.get(kind, "")
    shown = ""
    if made and made not in given:
        key = randomness.token_bytes(_KEY_BYTES)
        shown = render_secret(key) if kind == "webhook" else f"ups_{key.hex()}"
        given[made] = shown.encode("ascii")
    stream_id = StreamId(call.wiring.mint.id())
    settings = _read_settings(assignments, setting_files)
    call.administration.apply([PutStream(stream_id, name, kind, settings, given, after)])
    document = {"id": stream_id, "name": name.strip(), "kind": kind, **({made: shown} if shown else {})}
    if call.is_json:
        call.output.document(document)
        return
    call.output.line(f"The stream {clean(name.strip())} is added: {shown_destination(kind, settings)}.")
    if shown:
        call.output.line(f"Its {made.replace('_', ' ')}, which is not shown again: {shown}")


@stream.command("set")
@click.argument("name")
@_SETTING
@_SETTING_FILE
@_SECRET_FILE
@_SECRET_STDIN
@click.option("--forget-secret", "forgotten", metavar="NAME", multiple=True, help="Forget a secret.")
@organisation_option
def set_(
    name: str,
    assignments: Sequence[str],
    setting_files: Sequence[str],
    secret_files: Sequence[str],
    secret_stdin: str,
    forgotten: Sequence[str],
) -> None:
    """Change settings or secrets; what is not named stays. A setting without a value is taken away."""
    call = current()
    with call.administration.read() as reader:
        found = _find(reader, name)
    moved = _read_settings(assignments, setting_files)
    settings = {key: value for key, value in {**found.settings, **moved}.items() if value != ""}
    given: dict[str, bytes | None] = {**_read_secrets(secret_files, secret_stdin), **dict.fromkeys(forgotten)}
    call.administration.apply([PutStream(found.stream_id, found.name, found.kind, settings, given)])
    call.output.say(f"The stream {clean(found.name)} is changed.", {"id": found.stream_id})


@stream.command("list")
@organisation_option
def list_() -> None:
    """List the streams with how far behind they are."""
    call = current()
    with call.administration.read() as reader:
        rows = [_row(reader, one, call.wiring.clock()) for one in reader.streams.streams()]
    columns = {
        "name": "Name",
        "destination": "Destination",
        "state": "State",
        "position": "Acknowledged",
        "lag_events": "Waiting",
        "lag_seconds": "Seconds",
        "trouble": "Trouble",
    }
    call.output.listing(rows, columns, empty="There is no stream yet; add one with 'usher stream add'.")


@stream.command()
@click.argument("name")
@organisation_option
def show(name: str) -> None:
    """Show one stream: settings, secrets by their fingerprints, and what its destination did not take."""
    call = current()
    with call.administration.read() as reader:
        found = _find(reader, name)
        row = _row(reader, found, call.wiring.clock())
        letters = reader.streams.dead_letters(found.stream_id, _SHOWN_LETTERS)
    row |= {
        "format": format_of(found.kind, found.settings),
        "settings": [f"{key}={value}" for key, value in sorted(found.settings.items())],
        "secrets": [f"{key} (...{value})" for key, value in sorted(found.fingerprints.items())],
        "dead_letters": [f"{one.leaf_index} {one.event_id}: {one.reason}" for one in letters],
    }
    headings = {
        "id": "Id",
        "name": "Name",
        "destination": "Destination",
        "state": "State",
        "trouble": "Trouble",
        "position": "Acknowledged",
        "acknowledged_at": "Last taken",
        "lag_events": "Waiting",
        "lag_since": "Since",
        "replay": "Replay",
        "format": "Format",
        "settings": "Settings",
        "secrets": "Secrets",
        "dead_letters": "Left out",
    }
    call.output.record(row, headings)


@stream.command()
@click.argument("name")
@organisation_option
def test(name: str) -> None:
    """Send a real event and say what came back."""
    call = current()
    with call.administration.read() as reader:
        found = _find(reader, name)
    outcome = probe_stream(call.administration, found)
    document = {"id": found.stream_id, "verdict": outcome.verdict.value, "answer": outcome.text}
    call.output.say(f"{shown_destination(found.kind, found.settings)}: {outcome.text}.", document)
    if outcome.verdict is not Verdict.TAKEN:
        raise click.exceptions.Exit(exits.OUTSIDE)


@stream.command()
@click.argument("name")
@organisation_option
def pause(name: str) -> None:
    """Send nothing until the stream is resumed; events wait in the log as long as that keeps them."""
    call = current()
    with call.administration.read() as reader:
        found = _find(reader, name)
    call.administration.apply([PauseStream(found.stream_id)])
    call.output.say(f"The stream {clean(found.name)} is paused.", {"id": found.stream_id})


@stream.command()
@click.argument("name")
@organisation_option
def resume(name: str) -> None:
    """Go on at once, behind a pause or an error."""
    call = current()
    with call.administration.read() as reader:
        found = _find(reader, name)
    call.administration.apply([ResumeStream(found.stream_id)])
    call.output.say(f"The stream {clean(found.name)} goes on.", {"id": found.stream_id})


@stream.command()
@click.argument("name")
@click.option(
    "--after", type=click.IntRange(min=-1), required=True, help="The position behind which to begin."
)
@organisation_option
def replay(name: str, after: int) -> None:
    """Send again what lies behind a position, marked as a replay, beside what is new."""
    call = current()
    with call.administration.read() as reader:
        found = _find(reader, name)
    call.administration.apply([ReplayStream(found.stream_id, after)])
    call.output.say(f"The stream {clean(found.name)} is sent again.", {"id": found.stream_id})


@stream.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@organisation_option
def remove(name: str, yes: bool) -> None:
    """Send nothing any more, but that; and destroy the stream's secrets."""
    call = current()
    with call.administration.read() as reader:
        found = _find(reader, name)
    if not yes:
        click.confirm(f"Remove the stream {clean(found.name)}?", abort=True, err=True)
    outcome = remove_stream(call.administration, found)
    document = {"id": found.stream_id, "answer": None if outcome is None else outcome.text}
    told = "" if outcome is None else f" Its destination was told, and {outcome.text}."
    if outcome is not None and outcome.verdict is not Verdict.TAKEN:
        told = f" Its destination could not be told: {outcome.text}."
    call.output.say(f"The stream {clean(found.name)} is removed.{told}", document)


def _find(reader: Reader, name: str) -> StoredStream:
    for one in reader.streams.streams():
        if name_key(one.name) == name_key(name.strip()) or (is_id(name) and one.stream_id == name.lower()):
            return one
    raise NotFoundError(f"the organisation has no stream '{name}'; see 'usher stream list'")


def _row(reader: Reader, one: StoredStream, now: datetime) -> dict[str, object]:
    lanes = {lane.track: lane for lane in reader.streams.lanes() if lane.stream_id == one.stream_id}
    live = lanes["live"]
    lag = reader.streams.lag(live)
    return {
        "id": one.stream_id,
        "name": one.name,
        "destination": shown_destination(one.kind, one.settings),
        "state": BACKING_OFF if one.state == ACTIVE and live.attempts else one.state,
        "trouble": one.reason or live.trouble,
        "position": live.position,
        "acknowledged_at": live.acknowledged_at,
        "lag_events": lag.events,
        "lag_since": lag.since,
        "lag_seconds": int(lag_seconds(lag.since, now)),
        "replay": _replay(lanes.get("replay")),
    }


def _replay(lane: Lane | None) -> str:
    return (
        "" if lane is None else f"{lane.position} of {lane.until}{', ' if lane.trouble else ''}{lane.trouble}"
    )


def _read_settings(assignments: Sequence[str], files: Sequence[str]) -> dict[str, str | int | bool]:
    read: dict[str, str | int | bool] = {}
    for assignment in assignments:
        name, value = _split(assignment, "--set")
        read[name] = int(value) if name == "port" and value.isascii() and value.isdecimal() else value
    for assignment in files:
        name, path = _split(assignment, "--set-file")
        read[name] = read_text(Path(path))
    return read


def _read_secrets(files: Sequence[str], stdin_name: str) -> dict[str, bytes]:
    texts = {}
    for assignment in files:
        name, path = _split(assignment, "--secret-file")
        texts[name] = read_text(Path(path))
    if stdin_name:
        texts[stdin_name] = sys.stdin.read()
    # What is not ASCII is refused by the write path, in words.
    return {name: text.strip().encode("utf-8") for name, text in texts.items()}


def _split(assignment: str, option: str) -> tuple[str, str]:
    name, mark, value = assignment.partition("=")
    if not mark or not name:
        raise InputError([f"'{option}' wants a name and a value: {option} name=value"])
    return name, value
