"""A name that changes its mind between two looks gains nothing: what was checked is what is connected to."""

import socket
from collections.abc import Iterator

import pytest

from directory.ids import OrganisationId, StreamId
from provisioning.streaming import HeldLane, Lane, StoredStream
from streams.destinations import Destinations
from streams.outcomes import Outcome, Verdict
from streams.webhook import render_secret
from tests.certificates import Certificates
from tests.streams.receivers import HTTPSReceiver
from tests.streams.test_syslog import LOOPBACK, NOW, STREAM, batch
from web.outgoing import Outgoing
from web.targets import Targets

METADATA = "169.254.169.254"


class Fickle:
    """A name server that answers each time with the next address."""

    def __init__(self, *addresses: str) -> None:
        self._addresses: Iterator[str] = iter(addresses)
        self.asked = 0

    def __call__(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        return [next(self._addresses)]


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))


def send(
    resolve: Fickle, kind: str, settings: dict[str, str | int | bool], secrets: dict[str, bytes]
) -> Outcome:
    stream = StoredStream(
        stream_id=StreamId(STREAM),
        organisation_id=OrganisationId("org"),
        name="siem",
        kind=kind,
        settings=settings,
        host="",
        state="active",
        reason="",
        version=1,
        created_at=NOW,
    )
    held = HeldLane(Lane(stream.stream_id, stream.organisation_id, "live", -1, NOW), stream, secrets)
    targets = Targets(LOOPBACK, resolve)
    with (
        Outgoing(targets, timer=lambda: 0.0) as outgoing,
        Destinations(outgoing, targets, lambda: NOW, hostname="usher").open(held) as destination,
    ):
        return destination.send(batch(2))


def test_a_webhook_goes_to_the_address_that_was_checked(receiver: HTTPSReceiver) -> None:
    resolve = Fickle("127.0.0.1", METADATA)
    secrets = {"signing_secret": render_secret(b"k" * 32).encode()}

    first = send(resolve, "webhook", {"url": receiver.url}, secrets)
    second = send(resolve, "webhook", {"url": receiver.url}, secrets)

    assert (first.verdict, second.verdict) == (Verdict.TAKEN, Verdict.REFUSED)
    assert "not public" in second.text
    # Asked once for each connection: there is no second answer to be deceived by.
    assert (resolve.asked, len(receiver.received)) == (2, 1)


def test_syslog_goes_to_the_address_that_was_checked() -> None:
    resolve = Fickle("127.0.0.1", METADATA)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.close()
        first = send(resolve, "syslog", {"host": "localhost", "port": port}, {})
        second = send(resolve, "syslog", {"host": "localhost", "port": port}, {})

    assert (first.verdict, second.verdict) == (Verdict.LATER, Verdict.REFUSED)
    assert "not public" in second.text
    assert resolve.asked == 2
