"""Stands between a sender and a store: what is sent arrives, and the answer may be withheld."""

import http.server
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Protocol, Self

from tests.certificates import Certificates


class Answer(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


class Store(Protocol):
    """Something that takes requests."""

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer: ...


class Relay:
    """Passes requests on. `passed`: method and path of each.

    So many answers are kept back until it is closed (`keeps`), or lost with their connection (`drops`).
    """

    def __init__(self, certificates: Certificates, store: Store) -> None:
        self.keeps = 0
        self.drops = 0
        self.passed: list[tuple[str, str]] = []
        self.kept = threading.Event()
        self._closing = threading.Event()
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                self._pass(self.rfile.read(int(self.headers["Content-Length"])))

            def do_HEAD(self) -> None:
                self._pass(b"")

            def _pass(self, body: bytes) -> None:
                answer = store.call(self.command, self.path.lstrip("/"), body, dict(self.headers))
                relay.passed.append((self.command, self.path.partition("?")[0]))
                if relay.drops:
                    relay.drops -= 1
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if relay.keeps:
                    relay.keeps -= 1
                    relay.kept.set()
                    relay._closing.wait(60)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that break off
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.good.certificate, certificates.good.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
