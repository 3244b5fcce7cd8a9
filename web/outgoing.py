"""Outgoing HTTP: the one door, behind the guard of addresses.

HTTPS only, certificates and names checked, no redirects, no proxies of the environment, a limit on time and on size.
The name is resolved once and the address that was checked is the one connected to, so that a name that changes its
mind between the two (DNS rebinding) gains nothing.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

import httpcore

from web.targets import TargetRefusedError, Targets

_TIMEOUT_SECONDS = 10.0
_LONGEST_URL = 2000
_MOST_CONNECTIONS = 20
_IDLE_SECONDS = 5.0


class OutgoingError(Exception):
    """The request got no answer that is of use. `code`: url, address, network, timeout, tls, size.

    The text says what to do and repeats nothing of what the other side sent.
    """

    code = "outgoing"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status, redirects too. `headers` have small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def resolve_host(host: str, port: int) -> list[str]:
    """The system's own resolution, which knows /etc/hosts and takes numbers in every notation."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outgoing:
    """Requests to the outside. One for the process; safe in threads. `close` it.

    `timer` counts seconds: a request whole takes no longer than `timeout_seconds` and one read of a network packet.
    """

    def __init__(
        self,
        targets: Targets,
        *,
        timer: Callable[[], float],
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._timer = timer
        self._timeout = timeout_seconds
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            network_backend=_GuardedBackend(targets),
            max_connections=_MOST_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
        )

    def get(self, url: str, *, max_bytes: int, headers: Mapping[str, str] | None = None) -> Answer:
        """Read an address. Raises OutgoingError."""
        return self._send("GET", url, max_bytes=max_bytes, headers=headers or {})

    def post(
        self,
        url: str,
        body: bytes,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> Answer:
        """Send a body to an address. `cut` shortens an answer that is too long. Raises OutgoingError."""
        return self._send("POST", url, max_bytes=max_bytes, headers=headers or {}, body=body, cut=cut)

    def put(
        self,
        url: str,
        body: bytes,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> Answer:
        """Store a body under an address; else as `post`."""
        return self._send("PUT", url, max_bytes=max_bytes, headers=headers or {}, body=body, cut=cut)

    def head(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """What reading an address would be answered with, but for the body. Raises OutgoingError."""
        return self._send("HEAD", url, max_bytes=0, headers=headers or {})

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(
        self,
        method: str,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str],
        body: bytes | None = None,
        cut: bool = False,
    ) -> Answer:
        check_url(url)
        ends_at = self._timer() + self._timeout
        sent = {"Host": _authority(url), "User-Agent": "usher", "Accept-Encoding": "identity", **headers}
        if body is not None:
            sent["Content-Length"] = str(len(body))
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        try:
            with self._pool.stream(
                method,
                url,
                headers=list(sent.items()),
                content=body,
                extensions={"timeout": limits},
            ) as answer:
                return Answer(
                    status=answer.status,
                    headers={
                        name.decode("latin-1").lower(): value.decode("latin-1")
                        for name, value in answer.headers
                    },
                    body=self._read(answer.iter_stream(), url, ends_at, max_bytes, cut=cut),
                )
        except TargetRefusedError as err:
            raise OutgoingError("address", str(err)) from err
        except (httpcore.TimeoutException, TimeoutError) as err:
            raise self._too_slow(url) from err
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as err:
            raise _explain(err, url) from err

    def _read(self, chunks: Iterator[bytes], url: str, ends_at: float, max_bytes: int, *, cut: bool) -> bytes:
        read = bytearray()
        for chunk in chunks:
            read += chunk
            if len(read) > max_bytes and cut:
                return bytes(read[:max_bytes])
            if len(read) > max_bytes:
                raise OutgoingError(
                    "size", f"{_host(url)} sent more than the {max_bytes} bytes that are taken"
                )
            if self._timer() > ends_at:
                raise self._too_slow(url)
        return bytes(read)

    def _too_slow(self, url: str) -> OutgoingError:
        return OutgoingError(
            "timeout", f"{_host(url)} did not answer within {self._timeout:g} seconds; try again later"
        )


def check_url(url: str) -> None:
    """Refuse what is no plain https address. Raises OutgoingError."""
    try:
        parts = urlsplit(url)
        is_fit = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fit = False
    else:
        is_fit = is_fit and "@" not in parts.netloc and url.isascii() and url.isprintable() and " " not in url
    if not is_fit or len(url) > _LONGEST_URL:
        raise OutgoingError(
            "url", "the address must begin with https:// and a host name, without a user in it"
        )


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the other side"


def _authority(url: str) -> str:
    return urlsplit(url).netloc


def _explain(err: Exception, url: str) -> OutgoingError:
    cause: BaseException | None = err
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return OutgoingError("tls", f"the certificate of {_host(url)} is not trusted: {cause.verify_message}")
    if cause is not None:
        return OutgoingError(
            "tls", f"no TLS connection to {_host(url)} came about; does it speak HTTPS there?"
        )
    return OutgoingError("network", f"{_host(url)} cannot be reached; check the name and the network")


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to the address that the guard has checked, and to no other."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        address = self._targets.find(host, port)
        return self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
