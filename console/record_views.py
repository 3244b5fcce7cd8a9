"""What the pages of the record show of an event: a sentence, both times, values that filter, what changed."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from audit.body import EventBody, ValueBody
from audit.sentences import describe
from web.record import Entry, Proof, ReportView, Story
from web.return_paths import RECORD_PATH

_SHORT = 8
_OF_TARGETS = frozenset({"member", "user", "group", "rule", "mapping_rule", "directory", "scope"})


@dataclass(frozen=True, slots=True)
class Addresses:
    """Makes addresses of the page. `given` are the parts of the present one."""

    prefix: str
    given: Mapping[str, str]

    def page(self, **changes: str) -> str:
        """The list with some parts changed; another filter begins at the beginning."""
        return self.below("", **changes)

    def below(self, path: str, **changes: str) -> str:
        """An address below the page with the same filters."""
        kept = {
            name: value
            for name, value in self.given.items()
            if name not in {"after", "live", "format", "size"}
        }
        parts = {name: value for name, value in {**kept, **changes}.items() if value}
        return f"{self.prefix}{RECORD_PATH}{path}" + (f"?{urlencode(parts)}" if parts else "")

    def only(self, **filters: str) -> str:
        """The list with these filters alone."""
        return f"{self.prefix}{RECORD_PATH}" + (f"?{urlencode(filters)}" if filters else "")

    def event(self, event_id: str) -> str:
        return f"{self.prefix}{RECORD_PATH}/events/{event_id}"


@dataclass(frozen=True, slots=True)
class Chip:
    """A value that picks events when it is clicked."""

    what: str
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class ChangeView:
    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RowView:
    """One event, or a run of many."""

    id: str
    text: str
    url: str
    proof_url: str
    time: str
    shown_time: str
    sealed: str
    shown_sealed: str
    place: str
    outcome: str
    action: str
    chips: Sequence[Chip]
    changes: Sequence[ChangeView]
    run_url: str
    run_events: str


@dataclass(frozen=True, slots=True)
class StoryView:
    row: RowView
    causes: Sequence[tuple[str, str, str]]
    caused: Sequence[tuple[str, str, str]]
    has_more: bool
    body: str
    reason: str
    cause: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ProofView:
    """A proof with its hashes as texts."""

    event_url: str
    event_id: str
    body: str
    position: str
    of: str
    leaf: str
    root: str
    sealed: str
    shown_sealed: str
    hashes: Sequence[str]
    checkpoint: str
    vkeys: Sequence[str]
    head_index: str
    head_hashes: Sequence[str]
    head_checkpoint: str


def row_view(entry: Entry, names: Mapping[str, str], addresses: Addresses) -> RowView:
    """The event as a row of the list."""
    event = entry.event
    is_run = entry.run_events > 1
    run = event["cause"].get("run_id") or event["actor"]["id"]
    sealed = "" if entry.sealed_at is None else _iso(entry.sealed_at)
    url = addresses.event(event["id"])
    return RowView(
        id=event["id"],
        text=describe(event, names=names),
        url=url,
        proof_url=f"{url}/proof" if entry.leaf_index is not None else "",
        time=event["time"],
        shown_time=shown_moment(event["time"]),
        sealed=sealed,
        shown_sealed=shown_moment(sealed) if sealed else "",
        place="" if entry.leaf_index is None else f"{entry.leaf_index:,}",
        outcome=event["outcome"],
        action=event["action"],
        chips=_chips(event, names, addresses),
        changes=_changes(event, names),
        run_url=addresses.page(run=run) if is_run else "",
        run_events=f"{'more than ' if entry.is_cut else ''}{entry.run_events:,}" if is_run else "",
    )


def story_view(story: Story, addresses: Addresses) -> StoryView:
    """The event with all that is known of it."""
    event = story.entry.event
    reason = event.get("reason")
    told = "" if reason is None else reason["code"]
    numbers = {} if reason is None else reason.get("numbers", {})
    told += "".join(f", {name} {value}" for name, value in numbers.items())

    def lines(events: Sequence[EventBody]) -> list[tuple[str, str, str]]:
        return [(one["time"], describe(one, names=story.names), addresses.event(one["id"])) for one in events]

    return StoryView(
        row=row_view(story.entry, story.names, addresses),
        causes=lines(story.causes),
        caused=lines(story.caused),
        has_more=story.has_more,
        body=json.dumps(event, ensure_ascii=False, indent=2, sort_keys=True),
        reason=told,
        cause=[(name.replace("_", " "), str(value)) for name, value in event["cause"].items()],
    )


def proof_view(proof: Proof, addresses: Addresses) -> ProofView:
    sealed = _iso(proof.sealed_at)
    return ProofView(
        event_url=addresses.event(proof.event_id),
        event_id=proof.event_id,
        body=proof.body.decode(),
        position=f"{proof.leaf_index:,}",
        of=f"{proof.size:,}",
        leaf=_text(proof.leaf),
        root=_text(proof.root),
        sealed=sealed,
        shown_sealed=shown_moment(sealed),
        hashes=[_text(one) for one in proof.hashes],
        checkpoint=proof.checkpoint,
        vkeys=proof.vkeys,
        head_index="" if proof.head_index is None else f"{proof.head_index:,}",
        head_hashes=[_text(one) for one in proof.head_hashes],
        head_checkpoint=proof.head_checkpoint,
    )


def table_view(report: ReportView, addresses: Addresses) -> list[list[tuple[str, str]]]:
    """The cells of a report with the address that each leads to, if any."""
    return [[_cell(name, row.get(name), addresses) for name in report.columns] for row in report.rows]


def shown_moment(text: str) -> str:
    """As people read it, with its zone; what is no moment stays as it is."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _cell(name: str, value: object, addresses: Addresses) -> tuple[str, str]:
    text = "" if value is None else str(value)
    if name == "id":
        return text[-_SHORT:], addresses.event(text)
    if name == "member_id":
        return text[-_SHORT:], addresses.only(about=text)
    return (shown_moment(text), "") if name in {"time", "left_at", "gone_at"} else (text, "")


def _chips(event: EventBody, names: Mapping[str, str], addresses: Addresses) -> list[Chip]:
    actor = event["actor"]
    name = names.get(actor["id"], actor["id"])
    chips = [
        Chip("Action", event["action"], addresses.page(action=event["action"])),
        Chip("By", _short(name), addresses.page(actor=actor["id"])),
    ]
    for target in event.get("targets", ()):
        known = names.get(target.get("pii", ""), names.get(target["id"], ""))
        if known or target["type"] in _OF_TARGETS:
            kind = target["type"].replace("_", " ").capitalize()
            chips.append(Chip(kind, known or _short(target["id"]), addresses.page(about=target["id"])))
    for change in event.get("changes", ()):
        if change["path"] == "role":
            roles = {value for value in (change["before"], change["after"]) if isinstance(value, str)}
            chips.extend(Chip("Role", role, addresses.page(role=role)) for role in sorted(roles))
    address = names.get(event.get("context", {}).get("address", ""), "")
    if address:
        chips.append(Chip("From", address, addresses.page(address=address)))
    kind = event["cause"]["kind"]
    chips.append(Chip("Cause", kind.replace("_", " "), addresses.page(cause=kind)))
    return chips


def _changes(event: EventBody, names: Mapping[str, str]) -> list[ChangeView]:
    return [
        ChangeView(change["path"], _value(change["before"], names), _value(change["after"], names))
        for change in event.get("changes", ())
    ]


def _value(value: ValueBody, names: Mapping[str, str]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return ", ".join(names.get(item, item) for item in value) or "nothing"
    if isinstance(value, dict):
        return f"a value of {value['len']} bytes, SHA-256 {value['sha256']}"
    return str(value)


def _short(text: str) -> str:
    """An id as far as people look at one: its end, since ids of one hour begin alike."""
    return f"…{text[-_SHORT:]}" if len(text) == 36 and text.count("-") == 4 else text


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: bytes) -> str:
    return b64encode(value).decode()
