"""Streams through what receivers and processes do to them: nothing is lost, order is kept, a batch keeps its id."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from service.metrics import Metrics
from service.opening import open_database_as_is
from service.outside import guarded_targets
from service.streams import StreamSender
from service.wiring import Wiring
from tests.certificates import Certificates, make_certificates, today
from tests.journeys.shell import Shell
from tests.sealed import head, seal_log
from tests.service.worlds import HandClock
from tests.streams.receivers import HTTPSReceiver, Received, Reply
from web.outgoing import Outgoing

PATIENCE_SECONDS = 60
QUICK_SECONDS = 0.5

SENDER = """
    import os, sys
    from service.metrics import Metrics
    from service.opening import open_database_as_is
    from service.settings import load_settings
    from service.streams import StreamSender

    usher = {name: value for name, value in os.environ.items() if name.startswith("USHER_")}
    wiring = open_database_as_is(load_settings(usher))
    sender = StreamSender(wiring, Metrics())
    print("ready", flush=True)
    for line in sys.stdin:
        sender.pump()
        sender.wait()
        print("done", flush=True)
    sender.close()
"""
KILLED_BEFORE_SEALING = """
    import os, signal, sys
    import service.log_reading
    from service.cli import main
    try:
        sys.argv = ["usher", "audit", "list"]
        main()
    except SystemExit:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    folder = tmp_path / "tls"
    folder.mkdir()
    made = make_certificates(folder, now=today())
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    return made


@pytest.fixture
def receiver(certificates: Certificates) -> Iterator[HTTPSReceiver]:
    with HTTPSReceiver(certificates) as running:
        yield running


@pytest.fixture
def acme(either_shell: Shell, receiver: HTTPSReceiver, certificates: Certificates) -> Shell:
    either_shell.environ["USHER_PRIVATE_TARGETS"] = "127.0.0.0/8,::1/128"
    either_shell.environ["SSL_CERT_FILE"] = str(certificates.authority)
    either_shell.set_up()
    either_shell.answer(
        "stream", "add", "siem", "--to", "webhook", "--set", f"url={receiver.url}", "--after", "-1"
    )
    return either_shell


def seal(wiring: Wiring) -> int:
    (organisation,) = wiring.store.organisations()
    return seal_log(wiring, organisation.organisation_id)


def pump(wiring: Wiring) -> None:
    quick = Outgoing(guarded_targets(wiring.settings), timer=lambda: 0.0, timeout_seconds=QUICK_SECONDS)
    sender = StreamSender(wiring, Metrics(), outgoing=quick)
    sender.pump()
    sender.wait()
    sender.close()


def child(shell: Shell, code: str) -> "subprocess.Popen[str]":
    """A process of the test's; as a context it is waited for, and its pipes are closed."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **shell.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tell(process: "subprocess.Popen[str]", line: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def wait_for(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == line


def test_an_outage_of_every_kind_loses_nothing_and_keeps_the_order(
    acme: Shell, receiver: HTTPSReceiver, certificates: Certificates
) -> None:
    clock = HandClock()
    never = threading.Event()
    with open_database_as_is(acme.settings, clock=clock) as wiring:
        first = seal(wiring)
        # Down: it fails, is busy, breaks off before and within its answer, does not answer, has a wrong certificate.
        receiver.script.extend(
            [
                Reply(500),
                Reply(429, (("Retry-After", "600"),)),
                Reply(drop=True),
                Reply(cut=True),
                Reply(wait=never),
            ]
        )
        troubles = []
        for number in range(7):
            if number >= 5:
                receiver.show(certificates.wrong_name if number == 5 else certificates.expired)
            pump(wiring)
            (row,) = acme.json("stream", "list")
            assert (row["state"], row["position"]) == ("backing_off", -1)
            troubles.append(row["trouble"])
            # Before its time nothing is tried.
            pump(wiring)
            acme.answer("audit", "list")
            seal(wiring)
            clock.advance(seconds=601)
        never.set()
        receiver.show(certificates.good)
        for _ in range(2):
            pump(wiring)
        last = seal(wiring)
        pump(wiring)

    assert len(receiver.received) == 5 + 2
    # The one that hung was taken in the end, and comes again under its id.
    once = {name(got): got for got in receiver.taken}
    assert [leaf for got in once.values() for leaf in got.leaves] == list(range(last + 1))
    ids = [got.headers["webhook-id"].partition(".")[2] for got in receiver.received]
    assert ids[:6] == [f"0-{first}"] * 6
    assert len({got.body for got in receiver.received[:6]}) == 1
    assert [text.split(";")[0] for text in troubles[:2]] == ["answered 500", "answered 429"]
    assert "certificate" in troubles[5]
    assert "certificate" in troubles[6]
    (row,) = acme.json("stream", "list")
    assert (row["state"], row["trouble"], row["lag_events"]) == ("active", "", 0)


def test_a_process_killed_between_sending_and_its_acknowledgement_sends_the_same_again(
    acme: Shell, receiver: HTTPSReceiver
) -> None:
    clock = HandClock()
    never = threading.Event()
    receiver.script.append(Reply(wait=never))
    with open_database_as_is(acme.settings, clock=clock) as wiring:
        first = seal(wiring)
        with child(acme, SENDER) as dying:
            wait_for(dying, "ready")
            tell(dying)
            assert receiver.wait_for(1)
            dying.send_signal(signal.SIGKILL)
        never.set()
        acme.answer("audit", "list")
        last = seal(wiring)
        pump(wiring)
        # The dead one's lease still runs.
        assert len(receiver.received) == 1
        clock.advance(minutes=10)
        pump(wiring)

    cut_off, again, rest = receiver.received
    assert cut_off.headers["webhook-id"] == again.headers["webhook-id"]
    assert cut_off.headers["webhook-id"].endswith(f".0-{first}")
    assert cut_off.body == again.body
    assert rest.leaves == list(range(first + 1, last + 1))


def test_what_was_committed_and_not_sealed_when_the_process_died_leaves_behind_its_seal(
    acme: Shell, receiver: HTTPSReceiver
) -> None:
    with open_database_as_is(acme.settings, clock=HandClock()) as wiring:
        first = seal(wiring)
        pump(wiring)
        with child(acme, KILLED_BEFORE_SEALING) as dying:
            dying.communicate(timeout=PATIENCE_SECONDS)
        assert dying.returncode == -signal.SIGKILL
        pump(wiring)
        assert receiver.leaves == list(range(first + 1))

        last = seal(wiring)
        pump(wiring)

    assert last == first + 1
    assert receiver.leaves == list(range(last + 1))


class CutOffError(Exception):
    """Ends a transaction before its commit."""


def look_while_sealing(wiring: Wiring, last: int) -> int:
    """The head that others see while a sealer has written one more and not committed it."""
    (organisation,) = wiring.store.organisations()
    of_it = text(
        "INSERT INTO audit_leaf SELECT (SELECT max(id) FROM audit_event), organisation_id, leaf_index + 1, leaf, "
        "sealed_at FROM audit_leaf WHERE organisation_id = :organisation AND leaf_index = :last"
    )
    seen = -1
    with contextlib.suppress(CutOffError), wiring.database.write_durably() as sealing:
        sealing.execute(text("UPDATE audit_edge SET size = size + 1"))
        sealing.execute(of_it, {"organisation": organisation.organisation_id, "last": last})
        seen = head(wiring.database, organisation.organisation_id)
        pump(wiring)
        raise CutOffError
    return seen


def test_nothing_leaves_before_the_commit_that_seals_it(acme: Shell, receiver: HTTPSReceiver) -> None:
    with open_database_as_is(acme.settings, clock=HandClock()) as wiring:
        last = seal(wiring)
        pump(wiring)
        received = len(receiver.received)
        acme.answer("audit", "list")

        assert look_while_sealing(wiring, last) == last
        assert len(receiver.received) == received

        assert seal(wiring) == last + 1
        pump(wiring)
    assert receiver.leaves == list(range(last + 2))


def test_two_processes_send_each_batch_once(acme: Shell, receiver: HTTPSReceiver) -> None:
    with open_database_as_is(acme.settings, clock=HandClock()) as wiring:
        first = seal(wiring)
        with child(acme, SENDER) as one, child(acme, SENDER) as other:
            for process in (one, other):
                wait_for(process, "ready")
            for _ in range(5):
                acme.answer("audit", "list")
                seal(wiring)
                for process in (one, other):
                    tell(process)
                for process in (one, other):
                    wait_for(process, "done")
            for process in (one, other):
                process.communicate(timeout=PATIENCE_SECONDS)
                assert process.returncode == 0

    assert receiver.leaves == list(range(first + 6))
    assert len(receiver.received) == len({name(got) for got in receiver.received})


def name(got: Received) -> str:
    return got.headers["webhook-id"]
