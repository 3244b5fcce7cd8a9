"""Reads a directory server: connection, TLS, bind, pages. The only module that knows ldap3.

ldap3 opens the connection and encodes requests. Every answer is read here, by `sync.ber`: ldap3's own reading takes
ten times as long, follows referrals with the password, ends a search quietly when a limit is hit, and decodes by
recursion what a stranger sent. So nothing of ldap3 ever reads from the socket, and none of its strategies that
connect anew by themselves is used: a cookie is good on its own connection only.

One session is one connection to one server, and serves one reading.
Source: RFC 4511, RFC 4513, RFC 2696.
"""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from ldap3 import ANONYMOUS, NONE, SIMPLE, SYNC, Connection, Server, Tls
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.bind import bind_operation
from ldap3.operation.extended import extended_operation
from ldap3.operation.search import search_operation
from ldap3.protocol.rfc2696 import paged_search_control

from sync import ber
from sync.ber import AttributeNames, MessageCutter, Result
from sync.entries import Attributes, RawEntry
from sync.errors import (
    BERError,
    LDAPAnswerError,
    LDAPBindError,
    LDAPConnectionError,
    LDAPError,
    LDAPSettingsError,
    LDAPTLSError,
)
from sync.ldap_results import POLICY_CONTROL, describe_refusal, describe_result, policy_error
from sync.ldap_settings import LDAPServer, LDAPSettings, Scope, Search, TLSMode

_RECEIVED_AT_ONCE: Final = 256 * 1024

PAGING: Final = "1.2.840.113556.1.4.319"
_START_TLS: Final = "1.3.6.1.4.1.1466.20037"

SUCCESS: Final = 0
TEMPORARY: Final = frozenset({51, 52})
_DEPTH = MappingProxyType({Scope.ONE: "LEVEL", Scope.SUBTREE: "SUBTREE"})


class RootDSE(NamedTuple):
    """What a server says of itself. Empty where it does not say it."""

    attributes: Attributes

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of an attribute, given in lower case."""
        return tuple(value.decode("utf-8", "replace") for value in self.attributes.get(name, ()))

    def lacks_control(self, oid: str) -> bool:
        """Whether the server lists its controls, and this one is not among them."""
        listed = self.texts("supportedcontrol")
        return bool(listed) and oid not in listed


class _Message(NamedTuple):
    kind: int
    start: int
    stop: int
    content: bytes
    head: ber.Head


class _CheckedTLS(Tls):  # type: ignore[misc]  # ldap3 has no annotations
    """TLS with certificate, name and validity always checked. ldap3's own checks nothing unless told to."""

    def __init__(self, ca_file: Path | None) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self.fault = ""
        try:
            self._context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as err:
            raise LDAPTLSError(f"ca_file '{ca_file}' cannot be read as certificates: {err}") from err
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    def wrap_socket(self, connection: Any, do_handshake: bool = True) -> None:  # noqa: ANN401, ARG002
        # The name of the settings, never one that the server or a resolver gave.
        try:
            connection.socket = self._context.wrap_socket(
                connection.socket, server_hostname=connection.server.host
            )
        except ssl.SSLCertVerificationError as err:
            self.fault = err.verify_message
            raise
        except (OSError, ValueError) as err:
            self.fault = str(err)
            raise


class LDAPSession:
    """One bound connection to one server. Use as a context; leaving it closes the connection."""

    def __init__(self, settings: LDAPSettings, server: LDAPServer) -> None:
        """Connect, and make the connection safe as the settings say. No password is sent.

        Raises: LDAPConnectionError, LDAPTLSError.
        """
        self.server = server
        self.requests = 0
        """How many requests were sent, binding among them."""
        self.pages = 0
        self.settings = settings
        self._cutter = MessageCutter(settings.limits.message_bytes)
        self._tls = _CheckedTLS(settings.ca_file) if settings.tls is not TLSMode.PLAIN else None
        self._connection = Connection(
            Server(
                server.host,
                port=server.port,
                use_ssl=settings.tls is TLSMode.LDAPS,
                tls=self._tls,
                get_info=NONE,
                connect_timeout=settings.connect_seconds,
                allowed_referral_hosts=[],
            ),
            client_strategy=SYNC,
            authentication=ANONYMOUS,
            auto_referrals=False,
            auto_range=False,
            read_only=True,
            receive_timeout=settings.receive_seconds,
        )
        self._messages = self._receive()
        self._has_more = False
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, saying so to the server if it still listens."""
        try:
            self._connection.unbind()
        except (LDAPExceptionError, OSError):
            self._connection.strategy.close()

    def bind(self, password: str) -> None:
        """Log in as the account of the settings; without one, stay anonymous. Tried once.

        Raises: LDAPBindError with the server's reason in words.
        """
        dn = self.settings.bind_dn
        if not dn:
            return
        if not password:
            # A simple bind without a password succeeds as nobody. Source: RFC 4513 section 5.1.2.
            raise LDAPBindError(f"the password of '{dn}' is empty; the server would let anybody in as nobody")
        request = bind_operation(3, SIMPLE, dn, password.encode("utf-8"), auto_encode=True)
        number = self._send("bindRequest", request, [(POLICY_CONTROL, False, None)])
        result = self._result(number, ber.BIND_ANSWER)
        if result.code in TEMPORARY:
            raise LDAPConnectionError(f"{self.server}: {describe_result(result)}")
        if result.code != SUCCESS:
            raise LDAPBindError(f"{self.server} refuses '{dn}': {describe_refusal(result)}")
        error = policy_error(result)
        if error:
            raise LDAPBindError(f"{self.server} lets '{dn}' in only to say that {error}")

    def probe(self) -> RootDSE:
        """What the server says of itself."""
        wanted = ("+", "*", "supportedControl", "namingContexts", "defaultNamingContext", "dsServiceName")
        entries = self.read_base("", wanted)
        return RootDSE(entries.attributes if entries is not None else {})

    def read_base(self, dn: str, wanted: tuple[str, ...]) -> RawEntry | None:
        """One entry by its name; None when the server shows none of that name.

        Raises: LDAPAnswerError, LDAPConnectionError, BERError.
        """
        number = self._send_search(dn, "(objectClass=*)", "BASE", wanted, None)
        found: RawEntry | None = None
        names = AttributeNames()
        while True:
            message = self.next_message(number)
            if message.kind == ber.SEARCH_ENTRY and found is None:
                read = ber.read_entry(
                    message.content, message.start, message.stop, names, self.settings.limits
                )
                if read.fault is not None:
                    raise BERError(read.fault)
                found = RawEntry(read.dn, read.attributes, 0)
            elif message.kind == ber.SEARCH_DONE:
                break
            elif message.kind not in {ber.SEARCH_REFERENCE, ber.INTERMEDIATE}:
                raise LDAPAnswerError(f"{self.server} answered something else than was asked")
        result = ber.read_result(message.content, message.head)
        if result.code not in {SUCCESS, 32}:
            raise LDAPAnswerError(f"{self.server}: '{dn}' cannot be read: {describe_result(result)}")
        return found

    def ask_page(self, search: Search, wanted: tuple[str, ...], cookie: bytes) -> int:
        """Ask for the page behind the cookie; the number by which its answers are known."""
        self.pages += 1
        control = paged_search_control(True, self.settings.page_size, cookie or None)
        return self._send_search(search.base, search.filter, _DEPTH[search.scope], wanted, [control])

    def next_message(self, number: int) -> _Message:
        """The next message that answers the request. Those that answer another are passed over.

        Raises: LDAPConnectionError when the server takes its leave, closes the connection or stays silent.
        """
        for content in self._messages:
            head = ber.read_head(content)
            if head.message_id == number:
                return _Message(head.kind, head.start, head.stop, content, head)
            if head.message_id == 0:
                # An unsolicited notification: the one that is defined says that the server hangs up.
                # Source: RFC 4511 section 4.4.
                result = ber.read_result(content, head)
                raise LDAPConnectionError(f"{self.server} ends the connection: {describe_result(result)}")
        raise AssertionError("the stream of messages ends by an exception only")

    def _open(self) -> None:
        connection = self._connection
        try:
            connection.open(read_server_info=False)
        except (LDAPExceptionError, OSError) as err:
            self._refuse_tls(err)
            raise LDAPConnectionError(
                f"{self.server} cannot be reached within {self.settings.connect_seconds} s: {_shown(err)}"
            ) from err
        if self.settings.tls is TLSMode.STARTTLS:
            try:
                self._start_tls()
            except (LDAPError, BERError):
                self.close()
                raise

    def _start_tls(self) -> None:
        """Source: RFC 4511 section 4.14, RFC 4513 section 3.1."""
        number = self._send("extendedReq", extended_operation(_START_TLS), None)
        result = self._result(number, ber.EXTENDED_ANSWER)
        if result.code != SUCCESS:
            raise LDAPTLSError(f"{self.server} refuses StartTLS: {describe_result(result)}")
        if not self._cutter.is_empty or self._has_more:
            # Somebody in between put words in before the connection was safe.
            raise LDAPTLSError(f"{self.server} sent more than its answer to StartTLS; that is not safe")
        try:
            self._connection.server.tls.wrap_socket(self._connection)
        except (OSError, ValueError) as err:
            self._refuse_tls(err)

    def _refuse_tls(self, err: Exception) -> None:
        if self._tls is not None and self._tls.fault:
            raise LDAPTLSError(
                f"{self.server}: no safe connection: {self._tls.fault}; "
                "check the server's certificate, its names and dates, and ca_file"
            ) from err

    def _send(self, kind: str, request: object, controls: list[object] | None) -> int:
        self.requests += 1
        try:
            number: int = self._connection.send(kind, request, controls)
            # ldap3 keeps each request until it reads the answer itself, which it never does here.
            self._connection.strategy._outstanding.clear()
        except (LDAPExceptionError, OSError) as err:
            raise LDAPConnectionError(f"{self.server}: the request could not be sent: {_shown(err)}") from err
        return number

    def _send_search(
        self, base: str, text: str, depth: str, wanted: tuple[str, ...], controls: list[object] | None
    ) -> int:
        request = search_operation(base, text, depth, "NEVER", list(wanted), 0, 0, False, True, True)
        return self._send("searchRequest", request, controls)

    def _result(self, number: int, kind: int) -> Result:
        message = self.next_message(number)
        if message.kind != kind:
            raise LDAPAnswerError(f"{self.server} answered something else than was asked")
        return ber.read_result(message.content, message.head)

    def _receive(self) -> Iterator[bytes]:
        """Messages as they come in, for ever."""
        while True:
            # Asked for anew each time: StartTLS puts another socket in its place.
            stream: socket.socket = self._connection.socket
            try:
                piece = stream.recv(_RECEIVED_AT_ONCE)
            except (TimeoutError, BlockingIOError, ssl.SSLWantReadError) as err:
                raise LDAPConnectionError(
                    f"{self.server} was silent for {self.settings.receive_seconds} s; "
                    "raise receive_seconds if it is only slow"
                ) from err
            except OSError as err:
                raise LDAPConnectionError(f"{self.server}: the connection broke: {err}") from err
            if not piece:
                raise LDAPConnectionError(f"{self.server} closed the connection before its answer was whole")
            messages = self._cutter.feed(piece)
            for count, message in enumerate(messages, start=1):
                self._has_more = count < len(messages)
                yield message


def open_session(settings: LDAPSettings, password: str, *, first: int = 0) -> LDAPSession:
    """A bound session with the first server that can be reached and is safe, beginning with number `first`.

    An account that one server refuses is not tried on another: each try counts towards its lock-out.

    Raises: LDAPConnectionError or LDAPTLSError naming what was wrong with each server; LDAPBindError.
    """
    faults: list[LDAPError] = []
    servers = settings.servers
    for offset in range(len(servers)):
        server = servers[(first + offset) % len(servers)]
        try:
            session = LDAPSession(settings, server)
        except (LDAPConnectionError, LDAPTLSError, LDAPAnswerError, BERError) as err:
            faults.append(err if isinstance(err, LDAPError) else LDAPAnswerError(f"{server}: {err}"))
            continue
        try:
            session.bind(password)
        except LDAPConnectionError as err:
            session.close()
            faults.append(err)
        except BERError as err:
            session.close()
            raise LDAPAnswerError(f"{server}: {err}") from err
        except BaseException:
            session.close()
            raise
        else:
            return session
    text = "; ".join(map(str, faults))
    if any(isinstance(fault, LDAPConnectionError) for fault in faults):
        raise LDAPConnectionError(text)
    raise type(faults[0])(text)


def check_filter(text: str) -> None:
    """Whether a server could be asked by the filter. Raises: LDAPSettingsError."""
    try:
        if "\0" in text:
            raise LDAPSettingsError(f"the filter {text!r} holds a NUL character; write it as \\00")
        search_operation("", text, "BASE", "NEVER", [], 0, 0, False, True, True)
    except (LDAPExceptionError, ValueError, IndexError) as err:
        raise LDAPSettingsError(f"'{text}' is no LDAP filter: {err}") from err


def _shown(err: Exception) -> str:
    return str(err).strip() or type(err).__name__
