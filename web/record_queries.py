"""What of the record is asked for by an address: its filters, where to go on, how much. Every part is bounded."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from audit.events import CAUSE_KINDS, Outcome
from audit.terms import ACTOR_TYPES

MOST_ROWS: Final = 500
USUAL_ROWS: Final = 50
_LONGEST_VALUE: Final = 300
_LONGEST_NUMBER: Final = 15

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,99}", re.ASCII)
_ACTION = re.compile(r"[a-z][a-z_.]{0,60}\*?", re.ASCII)
_ROLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)
_ADDRESS = re.compile(r"[0-9A-Fa-f:.\[\]]{2,45}", re.ASCII)
_MAIL = re.compile(r"[^@\s]+@[^@\s]+")
_SPAN = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])", re.ASCII)
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_YES = {"": False, "0": False, "1": True}


class AskedWronglyError(Exception):
    """The address asks for what there cannot be. `faults` holds all that is wrong, each naming its part."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Arguments(Protocol):
    """The query of an address."""

    def keys(self) -> Iterable[str]: ...

    def getlist(self, key: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """`filters` as they stand in the address; `after` is the row behind which to go on, 0 for the beginning."""

    filters: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    limit: int = USUAL_ROWS
    oldest_first: bool = False
    everything: bool = False


_WORDS: Mapping[str, frozenset[str]] = {
    "actor_type": frozenset(ACTOR_TYPES),
    "outcome": frozenset(one.value for one in Outcome),
    "cause": frozenset(CAUSE_KINDS),
}
_FORMS: Mapping[str, tuple[tuple[re.Pattern[str], ...], str]] = {
    "action": ((_ACTION,), "an action such as role.granted, or the beginning of one such as role."),
    "about": ((_ID, _MAIL), "the id of a member, user, rule or other thing, or a mail address"),
    "actor": ((_ACTOR,), "the id of who acted"),
    "rule": ((_ID,), "the id of a rule"),
    "run": ((_ID,), "the id of a synchronisation run"),
    "request": ((_ACTOR,), "the id of a request"),
    "role": ((_ROLE,), "the name of a role"),
    "address": ((_ADDRESS,), "an address, IPv4 or IPv6, from which something was done"),
}
FILTERS: Final = (
    "action",
    "about",
    "actor",
    "actor_type",
    "group",
    "rule",
    "role",
    "outcome",
    "cause",
    "run",
    "request",
    "address",
)
"""What events are picked by, apart from their time."""

_PAGING = ("since", "until", "after", "limit", "order")


def parse_asked(
    arguments: Arguments, *, now: datetime, also: tuple[str, ...] = (), hides_idle: bool = True
) -> Asked:
    """Read an address's query. `also` are parts that the route itself reads. Raises AskedWronglyError.

    With `hides_idle`, runs that found nothing new are asked for by `all`; else they always are.
    """
    faults: list[str] = []
    given = read_once(arguments, (*FILTERS, *_PAGING, *(("all",) if hides_idle else ()), *also), faults)
    filters = {name: given[name] for name in FILTERS if given.get(name)}
    for name, value in filters.items():
        words = _WORDS.get(name)
        if words is not None and value not in words:
            faults.append(f"'{name}' is one of {', '.join(sorted(words))}")
        if name in _FORMS:
            forms, meaning = _FORMS[name]
            if not any(form.fullmatch(value) for form in forms):
                faults.append(f"'{name}' is {meaning}")
    since = parse_moment("since", given.get("since", ""), now, faults)
    until = parse_moment("until", given.get("until", ""), now, faults)
    if since is not None and until is not None and since >= until:
        faults.append("'since' must be before 'until'")
    after = parse_number("after", given.get("after", ""), 0, least=0, most=10**_LONGEST_NUMBER, faults=faults)
    limit = parse_number("limit", given.get("limit", ""), USUAL_ROWS, least=1, most=MOST_ROWS, faults=faults)
    order = given.get("order", "") or "newest"
    if order not in {"newest", "oldest"}:
        faults.append("'order' is newest or oldest")
    everything = given.get("all", "")
    if everything not in _YES:
        faults.append("'all' is 1 or 0")
    if faults:
        raise AskedWronglyError(tuple(faults))
    return Asked(filters, since, until, after, limit, order == "oldest", not hides_idle or _YES[everything])


def read_once(arguments: Arguments, known: tuple[str, ...], faults: list[str]) -> dict[str, str]:
    """The parts of a query, each of them known, given once, and of a length that is read."""
    given: dict[str, str] = {}
    for name in arguments.keys():  # noqa: SIM118 - a port with this one method, and no mapping
        values = arguments.getlist(name)
        if name not in known:
            faults.append(f"there is no '{name[:40]}' here; there are {', '.join(known)}")
        elif len(values) > 1:
            faults.append(f"'{name}' is given {len(values)} times; give it once")
        elif len(values[0]) > _LONGEST_VALUE or not values[0].isprintable():
            faults.append(f"'{name}' is no text of at most {_LONGEST_VALUE} printable characters")
        else:
            given[name] = values[0].strip()
    return given


def parse_moment(name: str, text: str, now: datetime, faults: list[str]) -> datetime | None:
    """`2026-12-31`, `2026-12-31T18:00` (UTC unless it says otherwise), or a span back from now such as `90d`."""
    if not text:
        return None
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return now - int(span["number"]) * _UNITS[span["unit"]]
        # An offset's plus sign is a blank in a query that was not escaped.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        faults.append(
            f"'{name}' is a moment: 2026-12-31, 2026-12-31T18:00 or a span back from now such as 90d"
        )
        return None


def parse_number(name: str, text: str, otherwise: int, *, least: int, most: int, faults: list[str]) -> int:
    """A whole number within its bounds."""
    if not text:
        return otherwise
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
    if not is_number or not least <= int(text) <= most:
        faults.append(f"'{name}' is a whole number from {least} to {most}")
        return otherwise
    return int(text)
