"""A name server of the tests' own, on a private port, that answers TXT questions from a mapping."""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence

from dnslib import QTYPE, RCODE, RR, TXT, DNSRecord
from dnslib.server import BaseResolver, DNSServer

Text = bytes | list[bytes]
"""One record's text, whole or in pieces."""


class _Zone(BaseResolver):  # type: ignore[misc]  # dnslib has no annotations
    def __init__(self, records: Mapping[str, Sequence[Text]], rcode: int) -> None:
        self._records = records
        self._rcode = rcode

    def resolve(self, request: DNSRecord, _handler: object) -> DNSRecord:
        reply = request.reply()
        name = str(request.q.qname).removesuffix(".")
        reply.header.rcode = self._rcode if name in self._records or self._rcode else RCODE.NXDOMAIN
        for text in self._records.get(name, ()):
            reply.add_answer(RR(request.q.qname, QTYPE.TXT, rdata=TXT(text), ttl=0))
        return reply


class _Silent:
    """Takes what a log would."""

    def __getattr__(self, _name: str) -> object:
        return lambda *_: None


@contextlib.contextmanager
def serve_names(records: Mapping[str, Sequence[Text]], *, rcode: int = RCODE.NOERROR) -> Iterator[str]:
    """Answer as the mapping says at the moment of each question; `address:port` of the server.

    A name that it does not hold does not exist; a name without texts exists and has none. `rcode` fails every
    question.
    """
    server = DNSServer(_Zone(records, rcode), address="127.0.0.1", port=0, logger=_Silent()).server
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
