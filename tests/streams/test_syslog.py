"""Syslog over TLS: the octets of RFC 5424 and 5425, and a real rsyslogd."""

import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from audit.render import render_event
from directory.ids import OrganisationId, StreamId
from provisioning.streaming import SealedCheckpoint, SealedEvent
from streams.formats import Form
from streams.outcomes import Verdict
from streams.records import Batch, CheckpointRecord, EventRecord, GapRecord, ProbeRecord, Record
from streams.syslog import Syslog, escape, frame, render_message
from tests.audit.samples import EVENT
from tests.certificates import Certificates, KeyPair
from web.outgoing import resolve_host
from web.targets import Targets

BODY = render_event(EVENT)
NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
STREAM = StreamId("0195-stream")
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
FORM = Form("canonical", OrganisationId("org"), lambda: NOW, "1.2.3")
_LIBRARIES = Path("/usr/lib")
_TLS = (*_LIBRARIES.glob("rsyslog/lmnsd_gtls.so"), *_LIBRARIES.glob("*/rsyslog/lmnsd_gtls.so"))
RSYSLOGD = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") if _TLS else None


def event(leaf_index: int, outcome: str = "success", **fields: str) -> SealedEvent:
    body = orjson.dumps(
        {"action": "role.granted", "outcome": outcome, "time": "2026-03-01T12:30:15.123Z", **fields},
        option=orjson.OPT_SORT_KEYS,
    )
    return SealedEvent(leaf_index, body, f"event-{leaf_index}", NOW, {"pii:1": {"display_name": "Zoë"}})


def batch(number: int, first: int = 0) -> Batch:
    records = tuple(EventRecord(event(place)) for place in range(first, first + number))
    return Batch(STREAM, records, first, first + number - 1)


def syslog(port: int, certificates: Certificates, **secrets: bytes) -> Syslog:
    settings: dict[str, str | int | bool] = {
        "host": "localhost",
        "port": port,
        "ca": certificates.authority.read_text(),
    }
    return Syslog(
        Targets(LOOPBACK, resolve_host), lambda: NOW, FORM, settings, secrets, hostname="usher host"
    )


def test_a_message_has_header_structured_data_and_marked_utf8() -> None:
    message = render_message(
        EventRecord(event(7), is_replay=True), STREAM, FORM, now=NOW, hostname="usher host", app_name="usher"
    )

    head, mark, tail = message.partition(b"\xef\xbb\xbf")
    assert head.decode() == (
        "<110>1 2026-03-01T12:30:15.123Z usherhost usher - role.granted "
        '[usher@32473 stream="0195-stream" id="event-7" leaf="7" replay="true"] '
    )
    assert mark
    assert orjson.loads(tail)["names"] == {"pii:1": {"display_name": "Zoë"}}


def test_cef_stands_at_the_beginning_of_its_message() -> None:
    form = Form("cef", OrganisationId("org"), lambda: NOW, "1.2.3")

    message = render_message(
        EventRecord(SealedEvent(7, BODY, "event-7", NOW, {})),
        STREAM,
        form,
        now=NOW,
        hostname="a",
        app_name="b",
    )

    assert message.startswith(
        b"<110>1 2026-03-04T05:06:07.891Z a b - role.granted "
        b'[usher@32473 stream="0195-stream" id="event-7" leaf="7"] CEF:0|Usher|Usher|'
    )


def test_severity_says_what_was_denied_and_what_is_missing() -> None:
    def head(record: Record) -> str:
        message = render_message(record, STREAM, FORM, now=NOW, hostname="", app_name="usher")
        return message.decode().split(" [")[0]

    assert head(EventRecord(event(1, "denied"))).startswith("<109>1 ")
    signed = CheckpointRecord(SealedCheckpoint(6, "note", NOW))
    assert head(signed) == "<110>1 2026-03-01T12:30:15.123Z - usher - log.checkpoint"
    assert head(GapRecord(0, 5)) == "<108>1 2026-03-01T12:30:15.123Z - usher - stream.gap"
    assert head(ProbeRecord(event(1).body, "event-1", NOW)).startswith("<110>1 ")


def test_values_are_escaped_and_octets_counted() -> None:
    assert escape('a"b]c\\d') == 'a\\"b\\]c\\\\d'
    assert frame("é".encode()) == b"2 \xc3\xa9"


class Listener:
    """A TLS receiver that keeps what it gets, or treats its connection as `handle` says."""

    def __init__(
        self,
        pair: KeyPair,
        *,
        authority: Path | None = None,
        handle: Callable[[socket.socket], None] | None = None,
    ) -> None:
        self.received = bytearray()
        self._handle = handle
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)
        if authority is not None:
            self._context.load_verify_locations(authority)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            opened, _ = self._socket.accept()
            if self._handle is not None:
                self._handle(opened)
                return
            with self._context.wrap_socket(opened, server_side=True) as secured:
                while chunk := secured.recv(65536):
                    self.received += chunk
                secured.unwrap().close()
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()
        self._thread.join(10)


@contextmanager
def listening(
    pair: KeyPair, authority: Path | None = None, handle: Callable[[socket.socket], None] | None = None
) -> Iterator[Listener]:
    listener = Listener(pair, authority=authority, handle=handle)
    yield listener
    listener.close()


def test_a_batch_is_one_frame_for_each_message(certificates: Certificates) -> None:
    with listening(certificates.good) as listener:
        outcome = syslog(listener.port, certificates).send(batch(3))

    assert (outcome.verdict, outcome.text) == (Verdict.TAKEN, "sent 3 messages to localhost")
    rest, messages = bytes(listener.received), []
    while rest:
        count, _, rest = rest.partition(b" ")
        messages.append(rest[: int(count)])
        rest = rest[int(count) :]
    assert [b'leaf="%d"' % place in one for place, one in enumerate(messages)] == [True] * 3


def test_a_receiver_may_ask_for_our_certificate(certificates: Certificates) -> None:
    pair = {
        "client_certificate": certificates.good.certificate.read_bytes(),
        "client_key": certificates.good.key.read_bytes(),
    }
    with listening(certificates.good, certificates.authority) as listener:
        assert syslog(listener.port, certificates, **pair).send(batch(1)).verdict is Verdict.TAKEN
    with listening(certificates.good, certificates.authority) as listener:
        assert syslog(listener.port, certificates).send(batch(1)).verdict is Verdict.LATER
        assert listener.received == b""


def test_a_wrong_name_is_not_sent_to(certificates: Certificates) -> None:
    with listening(certificates.wrong_name) as listener:
        outcome = syslog(listener.port, certificates).send(batch(1))

        assert listener.received == b""
    assert outcome.verdict is Verdict.LATER
    assert "is not trusted" in outcome.text


@pytest.mark.parametrize("answer", [b"", b"plain text, no TLS\r\n" * 5])
def test_a_receiver_that_breaks_off_or_speaks_no_tls_is_tried_again(
    certificates: Certificates, answer: bytes
) -> None:
    def handle(opened: socket.socket) -> None:
        opened.recv(10)
        opened.sendall(answer)
        opened.close()

    with listening(certificates.good, handle=handle) as listener:
        assert syslog(listener.port, certificates).send(batch(1)).verdict is Verdict.LATER


def test_an_address_that_is_not_public_is_refused(certificates: Certificates) -> None:
    guarded = Syslog(
        Targets((), resolve_host),
        lambda: NOW,
        FORM,
        {"host": "localhost", "ca": certificates.authority.read_text()},
        {},
        hostname="",
    )

    assert guarded.send(batch(1)).verdict is Verdict.REFUSED


def test_nobody_there_is_tried_again(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert syslog(port, certificates).send(batch(1)).text == "localhost cannot be reached, or broke off"


CONFIGURATION = """
global(workDirectory="{folder}"
  defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}"
  maxMessageSize="64k")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="whole" type="list") {{
  property(name="msgid") constant(value=" ") property(name="structured-data") constant(value=" ")
  property(name="msg") constant(value="\\n")
}}
input(type="imtcp" port="0" listenPortFileName="{folder}/port" address="127.0.0.1")
*.* action(type="omfile" file="{folder}/out" template="whole")
"""


@pytest.mark.rsyslog
@pytest.mark.skipif(
    RSYSLOGD is None and os.environ.get("REQUIRE_RSYSLOG") != "1",
    reason="no rsyslogd with TLS; install the packages rsyslog and rsyslog-gnutls",
)
def test_rsyslog_takes_every_message_in_order_by_mutual_tls(
    tmp_path: Path, certificates: Certificates
) -> None:
    configuration = tmp_path / "rsyslog.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=tmp_path,
            ca=certificates.authority,
            certificate=certificates.good.certificate,
            key=certificates.good.key,
        )
    )
    running = subprocess.Popen(
        [str(RSYSLOGD), "-n", "-f", str(configuration), "-i", str(tmp_path / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    never = threading.Event()
    try:
        port_file, out = tmp_path / "port", tmp_path / "out"
        assert any((port_file.exists() and port_file.read_text()) or never.wait(0.05) for _ in range(200))
        destination = syslog(
            int(port_file.read_text()),
            certificates,
            client_certificate=certificates.good.certificate.read_bytes(),
            client_key=certificates.good.key.read_bytes(),
        )

        outcomes = [destination.send(batch(500, first)).verdict for first in range(0, 2000, 500)]

        assert outcomes == [Verdict.TAKEN] * 4
        assert any(
            (out.exists() and out.read_bytes().count(b"\n") >= 2000) or never.wait(0.05) for _ in range(400)
        )
        lines = out.read_text(encoding="utf-8").splitlines()
        assert [f'leaf="{place}"' in line for place, line in enumerate(lines)] == [True] * 2000
        assert "Zoë" in lines[0]
    finally:
        running.terminate()
        running.wait(10)
