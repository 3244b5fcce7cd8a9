"""Real receivers on this machine, which fail as a test says."""

import gzip
import http.server
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from tests.certificates import Certificates, KeyPair


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401 - whatever was sent
        return orjson.loads(self.body)

    def records(self, kind: str) -> list[Any]:
        return [one for one in self.document["data"]["records"] if one["record"] == kind]

    @property
    def leaves(self) -> list[int]:
        return [one["leaf_index"] for one in self.records("event")]


@dataclass(frozen=True, slots=True)
class Reply:
    """`drop` closes the connection before an answer, `cut` within it. `wait` is what the answer waits for."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    drop: bool = False
    cut: bool = False
    wait: threading.Event | None = None


Script = Callable[[Received], Reply]


class HTTPSReceiver:
    """Answers by its script, then by `rule`. `received` holds every request that came in whole."""

    def __init__(self, certificates: Certificates) -> None:
        self.received: list[Received] = []
        self.taken: list[Received] = []
        self.script: deque[Reply] = deque()
        self.rule: Script = lambda _received: Reply()
        self.arrived = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.answer(self, Received(self.path, headers, body))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that break off
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.show(certificates.good)
        self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def show(self, keys: KeyPair) -> None:
        """Show this certificate from now on."""
        self._context.load_cert_chain(keys.certificate, keys.key)

    def answer(self, handler: http.server.BaseHTTPRequestHandler, received: Received) -> None:
        with self.arrived:
            self.received.append(received)
            reply = self.script.popleft() if self.script else self.rule(received)
            if not (reply.drop or reply.cut) and 200 <= reply.status < 300:
                self.taken.append(received)
            self.arrived.notify_all()
        if reply.wait is not None:
            reply.wait.wait(30)
        if reply.drop:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if reply.cut:
            handler.close_connection = True
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
            # Without a wait for what lies in the way: the other side sees a reset.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            return
        handler.send_response(reply.status)
        for name, value in reply.headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)

    def wait_for(self, number: int) -> bool:
        """Whether so many requests came in time."""
        with self.arrived:
            return self.arrived.wait_for(lambda: len(self.received) >= number, timeout=20)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}/hook"

    @property
    def leaves(self) -> list[int]:
        """Positions of all events that were taken, in the order of their coming."""
        return [leaf for one in self.taken for leaf in one.leaves]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
