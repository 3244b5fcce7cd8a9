"""An HTTPS receiver in a process of its own: `python -m bench.stream_receiver CERTIFICATE KEY` prints its port.

It takes every POST. A GET tells how many events have come, and how many milliseconds each took from its own time.
"""

import gzip
import http.server
import json
import re
import ssl
import sys
import time
from datetime import datetime

_TIME = re.compile(rb'"time":"([0-9T:.-]{23})Z"')


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0
    waits: list[float] = []  # noqa: RUF012 - of the process, which has one receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrived = time.time()  # noqa: TID251 - the moment is the measurement
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        times = _TIME.findall(body)
        _Handler.count += body.count(b'"leaf_index":')
        _Handler.waits += [
            arrived - datetime.fromisoformat(f"{one.decode()}+00:00").timestamp() for one in times[-1000:]
        ]
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(json.dumps({"count": _Handler.count, "waits": _Handler.waits}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(certificate: str, key: str) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
