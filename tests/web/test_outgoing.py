"""Outgoing HTTP against real servers of this machine, whose network the guard is told to let through."""

import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates, KeyPair, make_certificates, today
from web.outgoing import Outgoing, OutgoingError, resolve_host
from web.targets import Targets

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path: /large, /redirect, /broken, or an echo of the body and the Host header."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/broken":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            self.close_connection = True
        else:
            self._answer(b"x" * 5000 if self.path == "/large" else self.headers["Host"].encode())

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_PUT(self) -> None:
        self._answer(b"put " + self.rfile.read(int(self.headers["Content-Length"])))

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("X-Answer", "yes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Serve = Callable[[KeyPair | None], int]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), now=today())


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(pair: KeyPair | None) -> int:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that break off
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return int(server.server_address[1])

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def _outgoing(authority: Path, *, is_open: bool = True, timer: Callable[[], float] = lambda: 0.0) -> Outgoing:
    context = ssl.create_default_context(cafile=str(authority))
    targets = Targets(allowed=_LOOPBACK if is_open else (), resolve=resolve_host)
    return Outgoing(targets, timer=timer, tls=context, timeout_seconds=5)


def test_an_answer_comes_with_its_status_its_headers_and_its_body(
    serve: Serve, certificates: Certificates
) -> None:
    port = serve(certificates.good)

    with _outgoing(certificates.authority) as outgoing:
        answer = outgoing.get(f"https://localhost:{port}/", max_bytes=100)

    assert (answer.status, answer.headers["x-answer"], answer.body) == (
        200,
        "yes",
        f"localhost:{port}".encode(),
    )


def test_a_body_is_sent_whole(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.good)

    with _outgoing(certificates.authority) as outgoing:
        answer = outgoing.post(f"https://localhost:{port}/", b"logout_token=1", max_bytes=100)

    assert answer.body == b"logout_token=1"


def test_a_body_is_stored_and_asked_after(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.good)

    with _outgoing(certificates.authority) as outgoing:
        stored = outgoing.put(f"https://localhost:{port}/", b"object", max_bytes=5, cut=True)
        known = outgoing.head(f"https://localhost:{port}/")

    assert stored.body == b"put o"
    assert (known.status, known.headers["content-length"], known.body) == (200, "5000", b"")


def test_a_redirect_is_an_answer_and_is_not_followed(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.good)

    with _outgoing(certificates.authority) as outgoing:
        answer = outgoing.get(f"https://localhost:{port}/redirect", max_bytes=100)

    assert answer.status == 302


def test_more_bytes_than_are_taken_end_the_request(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.good)

    with (
        _outgoing(certificates.authority) as outgoing,
        pytest.raises(OutgoingError, match="more than the 4096"),
    ):
        outgoing.get(f"https://localhost:{port}/large", max_bytes=4096)


def test_a_slow_trickle_ends_with_the_time(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.good)
    moments = iter([0.0, 6.0])

    with (
        _outgoing(certificates.authority, timer=lambda: next(moments)) as outgoing,
        pytest.raises(OutgoingError, match="within 5 seconds") as caught,
    ):
        outgoing.get(f"https://localhost:{port}/", max_bytes=100)

    assert caught.value.code == "timeout"


def test_a_server_that_never_answers_ends_with_the_time(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        context = ssl.create_default_context(cafile=str(certificates.authority))
        targets = Targets(allowed=_LOOPBACK, resolve=resolve_host)
        with (
            Outgoing(targets, timer=lambda: 0.0, tls=context, timeout_seconds=0.05) as outgoing,
            pytest.raises(OutgoingError) as caught,
        ):
            outgoing.get(f"https://localhost:{port}/", max_bytes=100)

    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    ("pair", "words"),
    [("wrong_name", "localhost"), ("expired", "certificate has expired")],
)
def test_a_certificate_that_does_not_fit_is_refused_in_words(
    serve: Serve, certificates: Certificates, pair: str, words: str
) -> None:
    port = serve(getattr(certificates, pair))

    with _outgoing(certificates.authority) as outgoing, pytest.raises(OutgoingError) as caught:
        outgoing.get(f"https://localhost:{port}/", max_bytes=100)

    assert caught.value.code == "tls"
    assert "is not trusted" in str(caught.value)
    assert words in str(caught.value)


def test_a_certificate_of_another_authority_is_refused(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.good)

    with _outgoing(certificates.other_authority) as outgoing, pytest.raises(OutgoingError) as caught:
        outgoing.get(f"https://localhost:{port}/", max_bytes=100)

    assert caught.value.code == "tls"


def test_a_server_without_tls_is_told_from_an_untrusted_one(serve: Serve, certificates: Certificates) -> None:
    port = serve(None)

    with (
        _outgoing(certificates.authority) as outgoing,
        pytest.raises(OutgoingError, match="does it speak HTTPS"),
    ):
        outgoing.get(f"https://localhost:{port}/", max_bytes=100)


def test_an_answer_that_is_no_http_is_a_fault_of_the_network(
    serve: Serve, certificates: Certificates
) -> None:
    port = serve(certificates.good)

    with _outgoing(certificates.authority) as outgoing, pytest.raises(OutgoingError) as caught:
        outgoing.get(f"https://localhost:{port}/broken", max_bytes=100)

    assert caught.value.code == "network"


def test_a_private_address_is_never_connected_to(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.good)

    with _outgoing(certificates.authority, is_open=False) as outgoing, pytest.raises(OutgoingError) as caught:
        outgoing.get(f"https://localhost:{port}/", max_bytes=100)

    assert caught.value.code == "address"


def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked(
    serve: Serve, certificates: Certificates
) -> None:
    port = serve(certificates.good)
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    targets = Targets(allowed=_LOOPBACK, resolve=lambda host, port: next(answers))
    context = ssl.create_default_context(cafile=str(certificates.authority))

    with Outgoing(targets, timer=lambda: 0.0, tls=context, timeout_seconds=5) as outgoing:
        assert outgoing.get(f"https://localhost:{port}/", max_bytes=100).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example/",
        "https://",
        "https://user@idp.example/",
        "https://idp.example:0/",
        "https://idp.example:port/",
        "https://idp.example/ a",
        "https://idp.example/\n",
        "https://idpé.example/",
        "https://idp.example/" + "x" * 2000,
        "ftp://idp.example/",
    ],
)
def test_what_is_no_plain_https_address_is_refused(certificates: Certificates, url: str) -> None:
    with _outgoing(certificates.authority) as outgoing, pytest.raises(OutgoingError) as caught:
        outgoing.get(url, max_bytes=100)

    assert caught.value.code == "url"


def test_a_name_that_does_not_resolve_says_to_check_it() -> None:
    targets = Targets(allowed=(), resolve=lambda host, port: [])

    with (
        Outgoing(targets, timer=lambda: 0.0) as outgoing,
        pytest.raises(OutgoingError, match="check the name"),
    ):
        outgoing.get("https://name.invalid/", max_bytes=100)
