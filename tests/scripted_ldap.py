"""Directory servers that misbehave: one that plays a script on the wire, and a proxy that drops or stalls.

The encoder is our own, written from X.690, so that what it writes may be wrong in any way a test wants.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from tests.certificates import KeyPair

PAGING = "1.2.840.113556.1.4.319"
START_TLS = "1.3.6.1.4.1.1466.20037"
DISCONNECTION = "1.3.6.1.4.1.1466.20036"

BIND, UNBIND, SEARCH, EXTENDED = 0x60, 0x42, 0x63, 0x77
BIND_ANSWER, ENTRY, DONE, REFERENCE, EXTENDED_ANSWER, INTERMEDIATE = 0x61, 0x64, 0x65, 0x73, 0x78, 0x79

# Encoding.


def ber(tag: int, content: bytes) -> bytes:
    """A tag, its length in the shortest form, and the content."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def octets(value: bytes | str) -> bytes:
    return ber(0x04, value.encode() if isinstance(value, str) else value)


def integer(value: int, tag: int = 0x02) -> bytes:
    return ber(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def message(number: int, operation: bytes, *controls: bytes) -> bytes:
    tail = ber(0xA0, b"".join(controls)) if controls else b""
    return ber(0x30, integer(number) + operation + tail)


def entry(dn: bytes | str, attributes: Mapping[str, Sequence[bytes | str]]) -> bytes:
    """A SearchResultEntry."""
    listed = b"".join(
        ber(0x30, octets(name) + ber(0x31, b"".join(map(octets, values))))
        for name, values in attributes.items()
    )
    return ber(ENTRY, octets(dn) + ber(0x30, listed))


def result(tag: int, code: int = 0, *, matched: str = "", text: str = "", rest: bytes = b"") -> bytes:
    """An LDAPResult: of a search, a bind, an extended operation."""
    return ber(tag, integer(code, 0x0A) + octets(matched) + octets(text) + rest)


def referral(*uris: str) -> bytes:
    """What stands behind a result with code 10."""
    return ber(0xA3, b"".join(map(octets, uris)))


def reference(*uris: str) -> bytes:
    return ber(REFERENCE, b"".join(map(octets, uris)))


def control(oid: str, value: bytes | None = None, *, critical: bool = False) -> bytes:
    flag = ber(0x01, b"\xff") if critical else b""
    return ber(0x30, octets(oid) + flag + (b"" if value is None else octets(value)))


def paging(cookie: bytes = b"", size: int = 0) -> bytes:
    return control(PAGING, ber(0x30, integer(size) + octets(cookie)))


# Reading requests.


def parts(content: bytes) -> list[tuple[int, bytes]]:
    """The tags and contents side by side in `content`."""
    found, at = [], 0
    while at < len(content):
        tag, size, at = content[at], content[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(content[at : at + count], "big"), at + count
        found.append((tag, content[at : at + size]))
        at += size
    return found


@dataclass(frozen=True, slots=True)
class Request:
    """A request as far as tests look at it."""

    number: int
    kind: int
    base: str = ""
    attributes: tuple[str, ...] = ()
    filter: bytes = b""
    cookie: bytes = b""
    page_size: int = 0
    password: bytes = b""
    deref: int = -1
    scope: int = -1


def read_request(raw: bytes) -> Request:
    """Read one whole message of a client."""
    ((_, content),) = parts(raw)
    (_, number), (kind, operation), *controls = parts(content)
    cookie, page_size = b"", 0
    for _, one in parts(controls[0][1]) if controls else ():
        oid, *rest = parts(one)
        if oid[1].decode() == PAGING:
            ((_, inner),) = parts(rest[-1][1])
            (_, size), (_, cookie) = parts(inner)
            page_size = int.from_bytes(size, "big")
    told = Request(int.from_bytes(number, "big"), kind)
    if kind == SEARCH:
        base, scope, deref, _, _, _, (tag, rest_of_filter), attributes = parts(operation)
        return replace(
            told,
            base=base[1].decode(),
            scope=scope[1][0],
            deref=deref[1][0],
            filter=bytes([tag]) + rest_of_filter,
            attributes=tuple(name.decode() for _, name in parts(attributes[1])),
            cookie=cookie,
            page_size=page_size,
        )
    if kind == BIND:
        _, name, secret = parts(operation)
        return replace(told, base=name[1].decode(), password=secret[1])
    return told


class Peer:
    """One client that is connected, as the script sees it."""

    def __init__(self, stream: socket.socket, seen: list[Request]) -> None:
        self._stream = stream
        self._seen = seen
        self._rest = b""

    def receive(self) -> Request:
        """The next request. Raises EOFError when the client has gone."""
        while True:
            raw = self._cut()
            if raw is not None:
                request = read_request(raw)
                self._seen.append(request)
                return request
            piece = self._stream.recv(65536)
            if not piece:
                raise EOFError
            self._rest += piece

    def send(self, *messages: bytes) -> None:
        self._stream.sendall(b"".join(messages))

    def answer_until_search(self) -> Request:
        """Let the client in and tell it nothing of the server; the first search that asks for pages."""
        while True:
            request = self.receive()
            if request.kind == BIND:
                self.send(message(request.number, result(BIND_ANSWER)))
            elif request.page_size:
                return request
            else:
                self.send(message(request.number, result(DONE)))

    def wait_for_end(self) -> None:
        """Say nothing until the client goes."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.receive()

    def reset(self) -> None:
        """End the connection as a crash would, and lose what was not read."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()

    def start_tls(self, keys: KeyPair) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys.certificate, keys.key)
        self._stream = context.wrap_socket(self._stream, server_side=True)

    def _cut(self) -> bytes | None:
        rest = self._rest
        if len(rest) < 2:
            return None
        size, at = rest[1], 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(rest[2 : 2 + count], "big"), 2 + count
        if len(rest) < at + size:
            return None
        self._rest = rest[at + size :]
        return rest[: at + size]


Script = Callable[[Peer], None]


@dataclass(slots=True)
class ScriptedServer:
    """Plays one script for each client, the last one for all that follow. A client that goes ends its script."""

    scripts: Sequence[Script]
    seen: list[Request] = field(default_factory=list)
    """Every request of every client."""
    clients: int = 0
    faults: list[BaseException] = field(default_factory=list)
    _listener: socket.socket = field(init=False, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _streams: list[socket.socket] = field(default_factory=list, repr=False)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _hang_up(self._listener)
        for stream in self._streams:
            _hang_up(stream)
        for thread in self._threads:
            thread.join()
        assert not self.faults, self.faults

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def searches(self) -> list[Request]:
        """The searches that asked for pages."""
        return [request for request in self.seen if request.page_size]

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                self._streams.append(stream)
                script = self.scripts[min(self.clients, len(self.scripts) - 1)]
                self.clients += 1
                self._start(self._play, stream, script)

    def _play(self, stream: socket.socket, script: Script) -> None:
        peer = Peer(stream, self.seen)
        try:
            script(peer)
        except (EOFError, OSError):
            pass
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.faults.append(error)
        finally:
            _hang_up(peer._stream)


def serve(*scripts: Script) -> ScriptedServer:
    """A server to be used as a context."""
    return ScriptedServer(scripts)


def pages(*answers: Iterable[bytes], end: Callable[[int], bytes] | None = None) -> Script:
    """A script that gives one page for each of `answers` and a cookie behind all but the last one.

    `end` makes the last message of the last page from the request's number.
    """

    def script(peer: Peer) -> None:
        for position, operations in enumerate(answers, start=1):
            request = peer.answer_until_search()
            is_last = position == len(answers)
            said = [message(request.number, operation) for operation in operations]
            if is_last and end is not None:
                said.append(end(request.number))
            else:
                cookie = b"" if is_last else b"page %d" % position
                said.append(message(request.number, result(DONE), paging(cookie)))
            peer.send(*said)
        serve_nothing(peer)

    return script


def serve_nothing(peer: Peer) -> None:
    """Answer every further search by an empty last page."""
    while True:
        request = peer.answer_until_search()
        peer.send(message(request.number, result(DONE), paging()))


def serve_entries(people: Sequence[bytes], groups: Sequence[bytes] = ()) -> Script:
    """A script that behaves: people to whoever asks first, then groups, in pages of the size asked for."""

    def script(peer: Peer) -> None:
        for held in (people, groups):
            at = 0
            while True:
                request = peer.answer_until_search()
                at = int(request.cookie or b"0")
                stop = at + request.page_size
                cookie = b"%d" % stop if stop < len(held) else b""
                said = [message(request.number, operation) for operation in held[at:stop]]
                peer.send(*said, message(request.number, result(DONE), paging(cookie)))
                if not cookie:
                    break
        serve_nothing(peer)

    return script


@dataclass(slots=True)
class Proxy:
    """Stands before a server and passes everything on, until `drop_after` bytes of answers, then hangs up.

    With `stall` it passes on nothing more instead, and lets the client wait.
    """

    target_port: int
    drop_after: int
    stall: bool = False
    clients: int = 0
    _listener: socket.socket = field(init=False, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _streams: list[socket.socket] = field(default_factory=list, repr=False)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _hang_up(self._listener)
        for stream in self._streams:
            _hang_up(stream)
        for thread in self._threads:
            thread.join()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target_port))
                self._streams += [client, server]
                # Only the first client meets the fault.
                limit = self.drop_after if not self.clients else None
                self.clients += 1
                self._start(self._pass_on, client, server, None)
                self._start(self._pass_on, server, client, limit)

    def _pass_on(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if limit is not None and passed + len(piece) > limit:
                    sink.sendall(piece[: limit - passed])
                    if self.stall:
                        return
                    break
                sink.sendall(piece)
                passed += len(piece)
        _hang_up(source)
        _hang_up(sink)


def _hang_up(stream: socket.socket) -> None:
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
    stream.close()
