"""The figures of searching the log: p95 of every filter, and what it costs to be found.

One organisation has half of the events, 200 others the rest. `BENCH_SCALE` says how many there are in millions.
"""

import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import orjson

from bench.databases import DATABASES, fresh_database
from bench.figures import Figure, as_orientation, at_most, cpu_seconds, seconds
from bench.place import open_place
from directory.ids import EventId, OrganisationId
from provisioning.ports import EventQuery
from provisioning.state import EventRow
from storage.engine import Database
from storage.event_rows import append_event_rows, index_waiting_events
from storage.unit_of_work import OrganisationUnitOfWork

BOUND_MS: Final = 25
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
QUESTIONS: Final = 60
_AT_ONCE: Final = 5000
# Of a hundred events: action, kind of actor, kind of cause. Most are written by runs.
_MIX: Final = (
    (45, "group.member_added", "run", "run"),
    (20, "user.updated", "run", "run"),
    (15, "role.granted", "run", "mapping_rule"),
    (10, "role.revoked", "token", "scim_request"),
    (5, "member.deactivated", "token", "scim_request"),
    (3, "log.read", "admin", "operator"),
    (1, "mapping.updated", "admin", "operator"),
    (1, "command.refused", "admin", "operator"),
)


@dataclass(frozen=True, slots=True)
class _Log:
    """A log as it is written: people, groups, runs and the moments between them."""

    drawn: random.Random
    events: int

    def id(self, kind: str, number: int) -> str:
        return f"{kind:0<8}-0000-7000-8000-{number:012d}"

    def someone(self) -> str:
        return self.id("aaaaaaaa", self.drawn.randrange(max(100, self.events // 50)))

    def group(self) -> str:
        return self.id("bbbbbbbb", self.drawn.randrange(500))

    def run(self, number: int) -> str:
        return self.id("cccccccc", number // 2000)

    def moment(self, number: int) -> datetime:
        """A year, however many events there are."""
        return START + timedelta(days=365) * number / self.events

    def event(self, number: int) -> EventRow:
        _, action, actor, cause = self.drawn.choices(_MIX, weights=[share for share, *_ in _MIX])[0]
        event_id, person = self.id("eeeeeeee", number), self.someone()
        actor_id = self.run(number) if actor == "run" else self.id("dddddddd", self.drawn.randrange(5))
        why: dict[str, object] = {
            "kind": cause,
            "parent": self.id("eeeeeeee", max(0, number - 1)),
            "root": event_id,
        }
        if cause == "mapping_rule":
            why |= {"rule_id": self.id("ffffffff", self.drawn.randrange(50)), "group_id": self.group()}
        targets = [{"type": "member", "id": person, "role": "subject", "pii": f"pii:{event_id}"}]
        if action == "group.member_added":
            targets.append({"type": "group", "id": self.group(), "role": "object"})
        time = self.moment(number)
        body = {
            "action": action,
            "actor": {"type": actor, "id": actor_id},
            "cause": why,
            "changes": [
                {"path": "role", "before": None, "after": self.drawn.choice(["Admin", "Member", "Guest"])}
            ],
            "context": {"request_id": f"req-{number // 10}"},
            "id": event_id,
            "organisation": "",
            "outcome": "denied" if action == "command.refused" else "success",
            "salt": "00" * 16,
            "targets": targets,
            "time": f"{time:%Y-%m-%dT%H:%M:%S}.000Z",
            "v": 1,
        }
        return EventRow(EventId(event_id), time, action, person, orjson.dumps(body))


def measure() -> Iterator[Figure]:
    millions = float(os.environ.get("BENCH_SCALE", "1"))
    for kind in DATABASES:
        with (
            tempfile.TemporaryDirectory() as folder,
            fresh_database(kind, Path(folder)) as url,
            open_place(url, Path(folder), is_new=True) as place,
        ):
            yield from _measure(
                kind, place.wiring.database, place.state.organisation_id, round(millions * 1e6)
            )


def _measure(kind: str, database: Database, own: OrganisationId, events: int) -> Iterator[Figure]:
    log = _Log(random.Random(1), events)
    taken = _write(database, own, log)
    yield as_orientation(at_most(f"audit_reading.index_{kind}", taken / events * 1e6, "us CPU/event", 60))
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    for name, make in _questions(log).items():
        times = [_ask(database, own, replace(make(), limit=50, newest_first=True)) for _ in range(QUESTIONS)]
        p95 = statistics.quantiles(times, n=20)[-1] * 1000
        figure = at_most(f"audit_reading.{name}_{kind}", p95, "ms p95", BOUND_MS)
        # Two filters that many events have and no event both: one of the two must be walked to its end.
        yield as_orientation(figure) if name == "nothing_in_common" else figure


def _write(database: Database, own: OrganisationId, log: _Log) -> float:
    """Write the log; the CPU seconds that it took to give it terms."""
    others = [OrganisationId(log.id("99999999", number)) for number in range(200)]
    taken = 0.0

    def index() -> None:
        with database.write() as connection:
            index_waiting_events(connection)

    for start in range(0, log.events, _AT_ONCE):
        whose = own if start // _AT_ONCE % 2 else log.drawn.choice(others)
        with database.write() as connection:
            append_event_rows(
                connection, whose, (log.event(number) for number in range(start, start + _AT_ONCE))
            )
        taken += cpu_seconds(index)
    return taken


def _ask(database: Database, own: OrganisationId, query: EventQuery) -> float:
    def ask() -> None:
        with OrganisationUnitOfWork(database, own).read() as reader:
            list(reader.events(query))

    # All of SQLite happens in this process; by its own time other processes do not disturb.
    return cpu_seconds(ask) if database.is_sqlite else seconds(ask)


def _questions(log: _Log) -> dict[str, Callable[[], EventQuery]]:
    """Every filter, and the pairs that a table of one column each would be slow at."""

    def window() -> tuple[datetime, datetime]:
        since = log.moment(log.drawn.randrange(log.events))
        return since, since + timedelta(hours=log.drawn.choice([1, 24, 720]))

    def within(query: EventQuery) -> EventQuery:
        since, until = window()
        return replace(query, since=since, until=until)

    def action() -> str:
        return log.drawn.choice(_MIX)[1]

    def admin() -> str:
        return log.id("dddddddd", log.drawn.randrange(5))

    def request() -> str:
        return f"req-{log.drawn.randrange(log.events // 10)}"

    return {
        "latest": EventQuery,
        "page": lambda: EventQuery(after=log.drawn.randrange(log.events)),
        "window": lambda: within(EventQuery()),
        "action": lambda: EventQuery(action=action()),
        "prefix": lambda: EventQuery(action="role."),
        "about": lambda: EventQuery(about=(log.someone(),)),
        "actor": lambda: EventQuery(actor=admin()),
        "actor_type": lambda: EventQuery(actor_type=log.drawn.choice(["run", "admin", "support"])),
        "group": lambda: EventQuery(group=log.group()),
        "rule": lambda: EventQuery(rule=log.id("ffffffff", log.drawn.randrange(50))),
        "role": lambda: EventQuery(role="Admin"),
        "denied": lambda: EventQuery(outcome="denied"),
        "success": lambda: EventQuery(outcome="success"),
        "cause": lambda: EventQuery(cause=log.drawn.choice(["run", "operator", "guard"])),
        "run": lambda: EventQuery(run=log.run(log.drawn.randrange(log.events))),
        "request": lambda: EventQuery(request=request()),
        "children": lambda: EventQuery(parent=log.id("eeeeeeee", log.drawn.randrange(log.events))),
        "window_action": lambda: within(EventQuery(action=action())),
        "window_denied": lambda: within(EventQuery(outcome="denied")),
        "actor_action": lambda: EventQuery(actor=admin(), action=action()),
        "about_action": lambda: EventQuery(about=(log.someone(),), action=action()),
        "group_role": lambda: EventQuery(group=log.group(), role="Admin"),
        "cause_prefix": lambda: EventQuery(cause="mapping_rule", action="role."),
        "nothing_in_common": lambda: EventQuery(cause="scim_request", action="role.granted"),
    }
