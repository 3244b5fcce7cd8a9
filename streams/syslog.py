"""Syslog messages over TLS. Nothing acknowledges them beyond TCP.

Source: RFC 5424 (messages), RFC 5425 (TLS, octet counting), RFC 6587 is not used.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from provisioning.ports import Clock
from provisioning.stream_settings import CEF, Setting
from streams.formats import Form
from streams.outcomes import Outcome, Verdict
from streams.records import (
    Batch,
    CheckpointRecord,
    EventRecord,
    GapRecord,
    ProbeRecord,
    Record,
    read_body,
    record_id,
    record_time,
    render_moment,
)
from streams.tls import make_context
from web.targets import TargetRefusedError, Targets

DEFAULT_PORT: Final = 6514
_SECONDS: Final = 10.0
_CHUNK: Final = 65_536
# Facility "log audit" (13). Severities: informational (6), notice (5) for what was denied or failed, warning (4).
_FACILITY: Final = 13
_INFORMATIONAL: Final = 6
_NOTICE: Final = 5
_WARNING: Final = 4
_BOM: Final = b"\xef\xbb\xbf"
# 32473 is the private enterprise number for documentation. Source: RFC 5612.
_ELEMENT: Final = "usher@32473"


class Syslog:
    """Sends batches over a connection of each batch's own.

    A receiver that has gone says so by closing, which TCP tells only behind what was sent last. So each batch ends
    with the closing of our side, and counts as taken when the receiver has closed its own without a fault: what was
    sent before that has been read.
    """

    def __init__(
        self,
        targets: Targets,
        clock: Clock,
        form: Form,
        settings: Mapping[str, Setting],
        secrets: Mapping[str, bytes],
        *,
        hostname: str,
        connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection,
    ) -> None:
        self._targets = targets
        self._clock = clock
        self._form = form
        self._host = str(settings["host"])
        self._port = int(settings.get("port") or DEFAULT_PORT)
        self._app_name = str(settings.get("app_name") or "usher")
        self._ca = str(settings.get("ca") or "")
        self._secrets = secrets
        self._hostname = hostname
        self._connect = connect
        self._context: ssl.SSLContext | None = None

    def send(self, batch: Batch) -> Outcome:
        now = self._clock()
        # Made while the receiver reads those before.
        frames = (
            frame(
                render_message(
                    record,
                    batch.stream_id,
                    self._form,
                    now=now,
                    hostname=self._hostname,
                    app_name=self._app_name,
                )
            )
            for record in batch.records
        )
        try:
            address = self._targets.find(self._host, self._port)
            context = self._context = self._context or _make_context(self._ca, self._secrets)
            with self._connect((address, self._port), _SECONDS) as opened:
                # The notice that ours was the last is short, and would wait for a receiver that puts off its own.
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _Session(opened, context, self._host).send(frames)
        except TargetRefusedError as error:
            return Outcome(Verdict.REFUSED, str(error))
        except ssl.SSLCertVerificationError as error:
            return Outcome(
                Verdict.LATER, f"the certificate of {self._host} is not trusted: {error.verify_message}"
            )
        except (ssl.SSLError, ValueError):
            return Outcome(
                Verdict.LATER,
                f"no TLS connection to {self._host} came about; does it speak TLS there, and does it want a "
                "certificate?",
            )
        except OSError:
            return Outcome(Verdict.LATER, f"{self._host} cannot be reached, or broke off")
        return Outcome(Verdict.TAKEN, f"sent {len(batch.records)} messages to {self._host}")


class _Session:
    """TLS over a connected socket, that tells a clean end of the other side from one that broke off."""

    def __init__(self, opened: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._socket = opened
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def send(self, frames: Iterable[bytes]) -> None:
        """Send them, end our side, and wait until the other side has read all and closed. Raises OSError.

        Its system resets the connection when it closes without having read all. Receivers that close without a
        notice of TLS are common, rsyslog is one.
        """
        while not self._try(self._tls.do_handshake):
            self._receive()
        for chunk in _gather(frames):
            self._tls.write(chunk)
            self._flush()
        while not self._try(self._tls.unwrap):
            if not self._receive():
                return

    def _try(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._flush()
        return True

    def _flush(self) -> None:
        if waiting := self._outgoing.read():
            self._socket.sendall(waiting)

    def _receive(self) -> bool:
        chunk = self._socket.recv(_CHUNK)
        if chunk:
            self._incoming.write(chunk)
        else:
            self._incoming.write_eof()
        return bool(chunk)


def _gather(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Put frames together until they are worth a write."""
    chunk = bytearray()
    for one in frames:
        chunk += one
        if len(chunk) >= _CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def _make_context(ca: str, secrets: Mapping[str, bytes]) -> ssl.SSLContext:
    """Raises: ssl.SSLError, ValueError where certificates or the key cannot be read."""
    context = make_context(ca, secrets)
    # In TLS 1.3 a receiver that wants a certificate may refuse ours behind the handshake, when messages are sent
    # already, and merely close; by 1.2 it has looked before the first one.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def frame(message: bytes) -> bytes:
    """Count its octets. Source: RFC 5425 section 4.3."""
    return b"%d %s" % (len(message), message)


def render_message(
    record: Record, stream_id: str, form: Form, *, now: datetime, hostname: str, app_name: str
) -> bytes:
    """One message: its header, one element of structured data, and the record. Source: RFC 5424 section 6."""
    body = read_body(record) if isinstance(record, EventRecord | ProbeRecord) else {}
    severity, message_id = _class_of(record, body)
    at = render_moment(record_time(record, now, body))
    data = {"stream": stream_id, "id": record_id(record)}
    if isinstance(record, EventRecord):
        data["leaf"] = str(record.event.leaf_index)
        if record.is_replay:
            data["replay"] = "true"
    pairs = "".join(f' {name}="{escape(value)}"' for name, value in data.items())
    header = (
        f"<{_FACILITY * 8 + severity}>1 {at} {_word(hostname, 255)} {_word(app_name, 48)} - "
        f"{_word(message_id, 32)} [{_ELEMENT}{pairs}] "
    )
    # The mark says that what follows is UTF-8; who reads CEF wants that first. Source: RFC 5424 section 6.4.
    mark = b"" if form.name == CEF else _BOM
    return header.encode("utf-8") + mark + form.render(record)


def escape(value: str) -> str:
    """A value of structured data. Source: RFC 5424 section 6.3.3."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _class_of(record: Record, body: Mapping[str, Any]) -> tuple[int, str]:
    if isinstance(record, GapRecord):
        return _WARNING, "stream.gap"
    if isinstance(record, CheckpointRecord):
        return _INFORMATIONAL, "log.checkpoint"
    severity = _NOTICE if body.get("outcome") in {"denied", "failure"} else _INFORMATIONAL
    return severity, str(body.get("action", "-"))


def _word(text: str, longest: int) -> str:
    """Printable ASCII without a space. Source: RFC 5424 section 6."""
    is_plain = text.isascii() and text.isprintable() and " " not in text
    plain = text if is_plain else "".join(mark for mark in text if "!" <= mark <= "~")
    return plain[:longest] or "-"
