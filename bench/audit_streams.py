"""The figures of streams: events a second from the sealed log to receivers, and how long one is on its way.

Everything is the product's: rows in the database, the sealer, the sender with its cadence, TLS. rsyslogd is real, and
the HTTPS receiver has a process of its own.
"""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any

from audit.actors import AdminActor
from audit.events import PII_PREFIX, Target
from audit.render import render_event
from bench.databases import DATABASES, fresh_database
from bench.figures import Figure, at_least, at_most
from directory.ids import EnvironmentId, EventId, StreamId
from directory.stream_changes import PutStream, RemoveStream
from provisioning.state import EventRow, PersonalData
from provisioning.stream_settings import Setting
from service.administration import Administration
from service.environments import load_environment
from service.files import shipped_catalogue
from service.metrics import Metrics
from service.opening import open_and_upgrade
from service.organisations import NewOrganisation, create_organisation
from service.sealer import SEAL_SECONDS, Sealer
from service.settings import load_settings
from service.streams import PUMP_SECONDS, StreamSender
from tests.audit.samples import EVENT
from tests.certificates import Certificates, make_certificates, today
from tests.streams.test_syslog import CONFIGURATION, RSYSLOGD

EVENTS = 30_000
PEOPLE = 2_000
BACKLOG = 1_000_000
EVENTS_A_SECOND = 100
LATENCY_SECONDS = 8
_PATIENCE_SECONDS = 300
_OPERATOR = AdminActor("operator:bench", is_operator=True)


def measure_streams() -> Iterator[Figure]:
    """30,000 sealed events of 600 bytes with names, to syslog and HTTPS; then 100 events a second on their way."""
    with tempfile.TemporaryDirectory(prefix="usher-bench-") as folder:
        certificates = make_certificates(Path(folder), now=today())
        os.environ["SSL_CERT_FILE"] = str(certificates.authority)
        for kind in DATABASES:
            place = Path(folder) / kind
            place.mkdir()
            with fresh_database(kind, place) as url, _open(place, url) as administration:
                yield from _measure(administration, certificates, place, kind)


def _measure(
    administration: Administration, certificates: Certificates, folder: Path, kind: str
) -> Iterator[Figure]:
    _seed(administration, EVENTS)
    _seal(administration)
    if RSYSLOGD is not None:
        with _rsyslogd(certificates, folder) as (settings, count):
            rate = _rate(administration, "syslog", settings, {}, count)
        yield at_least(f"audit: syslog, events a second from the log, {kind}", rate, "1/s", 10_000)
    secrets = {"signing_secret": b"whsec_MDEyMzQ1Njc4OWFiY2RlZg=="}
    with _https(certificates) as (url, ask):
        rate = _rate(administration, "webhook", {"url": url}, secrets, lambda: int(ask()["count"]))
    yield at_least(f"audit: HTTPS, events a second from the log, {kind}", rate, "1/s", 5_000)
    yield at_most(
        f"audit: a backlog of 1,000,000 over HTTPS, by the rate of {EVENTS}, {kind}", BACKLOG / rate, "s", 300
    )
    with _https(certificates) as (url, ask):
        waits = _wait_times(administration, {"url": url}, secrets, ask)
    cuts = quantiles(waits, n=100)
    yield at_most(f"audit: commit to receiver p50 at 100 events/s, {kind}", cuts[49], "s", 1.5)
    yield at_most(f"audit: commit to receiver p99 at 100 events/s, {kind}", cuts[98], "s", 5)


@contextmanager
def _open(folder: Path, url: str) -> Iterator[Administration]:
    settings = load_settings(
        {
            "USHER_DATA": str(folder / "var"),
            "USHER_PRIVATE_TARGETS": "127.0.0.0/8,::1/128",
            "USHER_DATABASE_URL": url,
        }
    )
    with open_and_upgrade(settings) as wiring:
        load_environment(shipped_catalogue("minut") or "", source="minut", wiring=wiring, actor=_OPERATOR)
        new = NewOrganisation("Acme", EnvironmentId("minut"), "olivia@acme.example", "Olivia", plan="Pro")
        state = create_organisation(new, wiring=wiring, actor=_OPERATOR)
        yield Administration(wiring, state.organisation_id, _OPERATOR)


def _seed(administration: Administration, number: int) -> None:
    mint = administration.wiring.mint
    people = [(mint.id(), mint.id()) for _ in range(PEOPLE)]
    with administration.unit_of_work.write() as writer:
        writer.insert_personal_data(
            [
                PersonalData(ref, person, {"name": f"Person {place}", "mail": f"p{place}@example.org"})
                for place, (ref, person) in enumerate(people)
            ]
        )
    for first in range(0, number, 1000):
        _append(administration, people, first, min(1000, number - first))


def _append(administration: Administration, people: list[tuple[str, str]], first: int, number: int) -> None:
    wiring = administration.wiring
    now = wiring.clock()
    rows = []
    for place in range(first, first + number):
        ref, person = people[place % len(people)]
        event = replace(
            EVENT,
            id=EventId(wiring.mint.id()),
            organisation=administration.organisation_id,
            time=now,
            targets=(Target("member", person, pii=f"{PII_PREFIX}{ref}"),),
        )
        rows.append(EventRow(event.id, now, event.action, person, render_event(event)))
    with administration.unit_of_work.write() as writer:
        writer.append_events(rows)


def _rate(
    administration: Administration,
    kind: str,
    settings: dict[str, Setting],
    secrets: dict[str, bytes],
    count: Callable[[], int],
) -> float:
    """Events a second, from the first look at what is due until the last event has come."""
    with _stream(administration, kind, settings, secrets):
        sender = StreamSender(administration.wiring, Metrics())
        tick = threading.Event()
        began = time.perf_counter()
        pumped = threading.Thread(target=_pump, args=(sender, tick))
        pumped.start()
        while count() < EVENTS and time.perf_counter() - began < _PATIENCE_SECONDS:
            tick.wait(0.02)
        taken = time.perf_counter() - began
        tick.set()
        pumped.join()
        sender.close()
        return EVENTS / taken


def _pump(sender: StreamSender, is_over: threading.Event) -> None:
    while not is_over.is_set():
        sender.pump()
        is_over.wait(PUMP_SECONDS)


def _wait_times(
    administration: Administration,
    settings: dict[str, Setting],
    secrets: dict[str, bytes],
    ask: Callable[[], dict[str, Any]],
) -> list[float]:
    """Seconds from the writing of each event to its coming, with the product's cadence of sealing and sending."""
    with _stream(administration, "webhook", settings, secrets, after=None):
        sealer, sender = Sealer(administration.wiring), StreamSender(administration.wiring, Metrics())
        is_over = threading.Event()

        def seal() -> None:
            while not is_over.is_set():
                sealer.seal()
                is_over.wait(SEAL_SECONDS)

        threads = [threading.Thread(target=seal), threading.Thread(target=_pump, args=(sender, is_over))]
        for thread in threads:
            thread.start()
        people = [(administration.wiring.mint.id(), administration.wiring.mint.id())]
        began = time.perf_counter()
        for place in range(EVENTS_A_SECOND * LATENCY_SECONDS):
            _append(administration, people, place, 1)
            is_over.wait(max(0.0, began + (place + 1) / EVENTS_A_SECOND - time.perf_counter()))
        expected = EVENTS_A_SECOND * LATENCY_SECONDS
        while len(ask()["waits"]) < expected and time.perf_counter() - began < _PATIENCE_SECONDS:
            is_over.wait(0.1)
        is_over.set()
        for thread in threads:
            thread.join()
        sender.close()
        sealer.stop()
        waits: list[float] = ask()["waits"]
        return waits


def _seal(administration: Administration) -> None:
    """Seal what waits, and let another sealer begin at once."""
    sealer = Sealer(administration.wiring)
    sealer.drain()
    sealer.stop()


@contextmanager
def _stream(
    administration: Administration,
    kind: str,
    settings: dict[str, Setting],
    secrets: dict[str, bytes],
    *,
    after: int | None = -1,
) -> Iterator[None]:
    stream_id = StreamId(administration.wiring.mint.id())
    administration.apply([PutStream(stream_id, f"bench {kind}", kind, settings, secrets, after)])
    _seal(administration)
    yield
    administration.apply([RemoveStream(stream_id)])


@contextmanager
def _rsyslogd(
    certificates: Certificates, folder: Path
) -> Iterator[tuple[dict[str, Setting], Callable[[], int]]]:
    """A receiver that asks for no certificate, and how many lines it has written."""
    out = folder / "out"
    (folder / "rsyslog.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            ca=certificates.authority,
            certificate=certificates.good.certificate,
            key=certificates.good.key,
        ).replace("x509/certvalid", "anon"),
        encoding="utf-8",
    )
    command = [str(RSYSLOGD), "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = [0, 0]

    def count() -> int:
        if out.exists():
            with out.open("rb") as file:
                file.seek(seen[0])
                new = file.read()
            seen[0] += len(new)
            seen[1] += new.count(b"\n")
        return seen[1]

    port = folder / "port"
    never = threading.Event()
    try:
        assert any((port.exists() and port.read_text()) or never.wait(0.05) for _ in range(200))
        yield (
            {
                "host": "localhost",
                "port": int(port.read_text()),
                "ca": certificates.authority.read_text(),
            },
            count,
        )
    finally:
        running.terminate()
        running.wait(10)


@contextmanager
def _https(certificates: Certificates) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """A receiver's address, and what it tells of what has come."""
    good = certificates.good
    command = [sys.executable, "-m", "bench.stream_receiver", str(good.certificate), str(good.key)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    url = f"https://localhost:{running.stdout.readline().strip()}/"
    context = ssl.create_default_context(cafile=str(certificates.authority))

    def ask() -> dict[str, Any]:
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    try:
        yield url, ask
    finally:
        running.terminate()
        running.wait(10)


if __name__ == "__main__":
    for figure in measure_streams():
        print(json.dumps({"name": figure.name, "value": figure.value, "ok": figure.ok}), flush=True)
