"""Exports of a long log: how fast, in how much memory, how soon the first byte comes; and its bundle verified.

Each measured action runs in a process of its own. What a log costs to read is the measure: every body in its order,
all of them in memory, and nothing done with them.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import bindparam, select

import audit.verifier
from bench.databases import DATABASES, fresh_database
from bench.figures import Figure, at_most, in_own_process, memory_mb, seconds
from bench.place import OPERATOR, Place, open_place
from directory.ids import EventId
from provisioning.ports import EventQuery
from provisioning.state import EventRow, PersonalData
from service.administration import Administration
from service.log_exports import save_export, stream_export
from service.wiring import utc_now
from storage.event_rows import append_event_rows
from storage.sealing import SQLSealing
from storage.tables import audit_event
from storage.types import Id
from storage.view import fetch_rows
from tests.sealing import LEASE, keyed, make_signer

EVENTS: Final = 1_000_000
PEOPLE: Final = 20_000
ROUNDS: Final = 3
_AT_ONCE: Final = 10_000
_BODY: Final = (
    '{"action":"role.granted","actor":{"id":"cccccccc-0000-7000-8000-%012d","type":"run"},"cause":{"group_id":'
    '"bbbbbbbb-0000-7000-8000-%012d","kind":"mapping_rule","parent":"eeeeeeee-0000-7000-8000-%012d","root":'
    '"eeeeeeee-0000-7000-8000-%012d","rule_id":"ffffffff-0000-7000-8000-%012d","rule_version":4},"changes":[{'
    '"after":"Member","before":null,"path":"role"},{"after":"99999999-0000-7000-8000-%012d","before":null,"path":'
    '"scope_id"}],"context":{"request_id":"req-%d"},"id":"eeeeeeee-0000-7000-8000-%012d","organisation":"%s",'
    '"outcome":"success","salt":"%032x","targets":[{"id":"aaaaaaaa-0000-7000-8000-%012d","pii":'
    '"pii:abababab-0000-7000-8000-%012d","role":"subject","type":"member"}],"time":"%s.000Z","v":1}'
)
_RAW: Final = (
    select(audit_event.c.body)
    .where(audit_event.c.organisation_id == bindparam("organisation", type_=Id))
    .order_by(audit_event.c.id)
)
# In the auditor's empty directory, with Python's own library alone.
_VERIFY: Final = (
    "import json,runpy,sys,time\n"
    "begun=time.perf_counter()\n"
    "try: runpy.run_path('verifier.py',run_name='__main__')\n"
    "except SystemExit as end: code=end.code\n"
    "taken=time.perf_counter()-begun\n"
    "lines=open('/proc/self/status').read().splitlines()\n"
    "peak=next(int(line.split()[1])/1024 for line in lines if line.startswith('VmHWM'))\n"
    "print(json.dumps({'code':code,'seconds':taken,'memory_mb':peak}))\n"
)


def measure_exports(events: int = EVENTS) -> Iterator[Figure]:
    """Exports of a log of so many events on each kind of database; the bundle verified once."""
    for kind in DATABASES:
        with (
            tempfile.TemporaryDirectory(prefix="usher-bench-") as name,
            fresh_database(kind, Path(name)) as url,
        ):
            folder = Path(name)
            with open_place(url, folder, is_new=True) as place:
                write_long_log(place, events)
            yield from _measure(kind, url, folder)


def write_long_log(place: Place, events: int) -> None:
    """Events about some people, who have names, written a second apart; all of them sealed."""
    database, own = place.wiring.database, place.state.organisation_id
    with place.unit_of_work.write() as writer:
        writer.insert_personal_data(
            [
                PersonalData(
                    f"abababab-0000-7000-8000-{number:012d}",
                    f"aaaaaaaa-0000-7000-8000-{number:012d}",
                    {"name": f"Person {number} Example", "mail": f"p{number}@bench.example"},
                )
                for number in range(PEOPLE)
            ]
        )
    begun = utc_now() - timedelta(seconds=events)

    def event(number: int) -> EventRow:
        at, person = begun + timedelta(seconds=number), number * 7919 % PEOPLE
        numbers = (number // 2000, number % 500, max(number - 1, 0), number - number % 2000, number % 50)
        about = (number % 1000, number // 10, number, own, number, person, person)
        body = _BODY % (*numbers, *about, at.strftime("%Y-%m-%dT%H:%M:%S"))
        return EventRow(
            EventId(f"eeeeeeee-0000-7000-8000-{number:012d}"), at, "role.granted", own, body.encode()
        )

    for first in range(0, events, _AT_ONCE):
        with database.write() as connection:
            append_event_rows(connection, own, map(event, range(first, min(events, first + _AT_ONCE))))
    sealing, signers = SQLSealing(database), keyed(make_signer())
    fence, is_drained = sealing.claim("bench", utc_now(), utc_now() + LEASE), False
    assert fence is not None
    while not is_drained:
        now = utc_now()
        batch = sealing.seal_batch(fence, signers, None, at=now, lease_until=now + LEASE, limit=20_000)
        assert batch is not None
        is_drained = batch.is_drained
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")


def _measure(kind: str, url: str, folder: Path) -> Iterator[Figure]:
    target = folder / "export"
    rounds: dict[str, list[dict[str, Any]]] = {"raw": [], "jsonl": []}
    for _ in range(ROUNDS):
        for action, found in rounds.items():
            found.append(in_own_process("bench.audit_export", action, url, str(target)))
    raw, lines = ([one["seconds"] for one in rounds[action]] for action in ("raw", "jsonl"))
    ratio = statistics.median(lines) / statistics.median(raw)
    yield at_most(f"audit: export of JSON lines against a raw read, {kind}", ratio, "x", 1.5)
    peak = max(one["memory_mb"] for one in rounds["jsonl"])
    yield at_most(f"audit: memory of an export, {kind}", peak, "MB", 150)
    soon = statistics.median(one["first_ms"] for one in rounds["jsonl"])
    yield at_most(f"audit: first byte of an export, {kind}", soon, "ms", 200)
    bundle = in_own_process("bench.audit_export", "bundle", url, str(target))
    yield at_most(f"audit: memory of a bundle, {kind}", bundle["memory_mb"], "MB", 150)
    if kind == "sqlite":
        yield from _verify(target)


def _verify(bundle: Path) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="usher-bench-") as elsewhere:
        Path(elsewhere, "verifier.py").write_bytes(Path(audit.verifier.__file__).read_bytes())
        done = subprocess.run(
            [sys.executable, "-I", "-c", _VERIFY, str(bundle), "--key", make_signer().vkey, "--complete"],
            cwd=elsewhere,
            check=True,
            capture_output=True,
            text=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    if found["code"]:
        raise RuntimeError(done.stdout)
    yield at_most("audit: a million events verified offline", found["seconds"], "s", 20)
    yield at_most("audit: memory of the verifier", found["memory_mb"], "MB", 100)


# What runs in a process of its own.


def _read_raw(administration: Administration, _target: Path) -> dict[str, float]:
    database, organisation = administration.wiring.database, administration.organisation_id

    def read() -> None:
        with database.read() as connection:
            fetch_rows(connection, _RAW, {"organisation": organisation})

    return {"seconds": seconds(read)}


def _export(format_: str) -> Callable[[Administration, Path], dict[str, float]]:
    def run(administration: Administration, target: Path) -> dict[str, float]:
        def read() -> None:
            """As somebody does at the other end of a pipe; what a disk takes is not ours."""
            for _ in stream_export(administration, EventQuery(), format_=format_):
                pass

        def save() -> None:
            save_export(administration, EventQuery(), format_=format_, target=target)

        # As in a service that runs: its first statements of all are prepared, and kept.
        stream_export(administration, EventQuery(), format_=format_).close()
        begun = time.perf_counter()
        with contextlib.closing(stream_export(administration, EventQuery(), format_=format_)) as chunks:
            next(chunks)
            first = time.perf_counter() - begun
        taken = seconds(save if format_ == "bundle" else read)
        return {"seconds": taken, "memory_mb": memory_mb(), "first_ms": first * 1000}

    return run


_ACTIONS: Final = {"raw": _read_raw, "jsonl": _export("jsonl"), "bundle": _export("bundle")}


def main(action: str, url: str, target: str) -> None:
    with open_place(url, Path(target).parent) as place:
        administration = Administration(place.wiring, place.state.organisation_id, OPERATOR)
        print(json.dumps(_ACTIONS[action](administration, Path(target))))


if __name__ == "__main__":
    main(*sys.argv[1:])
