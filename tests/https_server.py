"""A web server of the tests' own, over TLS on a private port, that answers from a mapping."""

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.certificates import KeyPair


@dataclass(slots=True)
class Web:
    """What is served by path: a document, what makes one, or a status. `asked`: path and If-None-Match of each."""

    url: str
    documents: MutableMapping[str, str | int | Callable[[], str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serve_https(keys: KeyPair) -> Iterator[Web]:
    """Serve with the certificate, which is for localhost. Documents have an ETag; a redirect leads to itself."""
    web = Web("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("If-None-Match", "")
            web.asked.append((self.path, wanted))
            found = web.documents.get(self.path, 404)
            if isinstance(found, int):
                self._answer(found, b"")
                return
            body = (found if isinstance(found, str) else found()).encode()
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            self._answer(304, b"", etag) if wanted == etag else self._answer(200, body, etag)

        def _answer(self, status: int, body: bytes, etag: str = "") -> None:
            self.send_response(status)
            if etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.certificate, keys.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        web.url = f"https://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
