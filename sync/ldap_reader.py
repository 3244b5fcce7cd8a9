"""Reads a directory server: connection, TLS, bind, messages. The only module that knows ldap3.

ldap3 parses filters and encodes requests, and does nothing else here. Its own connection checks no certificate
unless told to, follows referrals with the password, ends a search quietly when a limit is hit, connects anew by
itself with a cookie that is good on the old connection only, decodes by recursion what a stranger sent, and takes ten
times as long. So the socket and TLS are the standard library's, and every answer is read by `sync.ber`.

One session is one connection to one server, and serves one reading.
Source: RFC 4511, RFC 4513, RFC 2696.
"""

import socket
import ssl
from collections.abc import Iterator
from itertools import count
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from ldap3 import SIMPLE
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.bind import bind_operation
from ldap3.operation.extended import extended_operation
from ldap3.operation.search import search_operation
from ldap3.operation.unbind import unbind_operation
from ldap3.protocol.convert import build_controls_list
from ldap3.protocol.rfc2696 import paged_search_control
from ldap3.protocol.rfc4511 import LDAPMessage, MessageID, ProtocolOp
from ldap3.utils.asn1 import encode

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

Password = str | tuple[str, ...]
"""The password, or several while one follows the other: the next is tried when the one before it is refused."""

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
        self._numbers = count(1)
        self._has_more = False
        self._messages = self._receive()
        context = self._tls_context()
        self._stream: socket.socket = self._connect()
        try:
            if settings.tls is TLSMode.STARTTLS:
                self._ask_for_tls()
            if context is not None:
                self._secure(context)
        except (LDAPError, BERError):
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, saying so to the server if it still listens."""
        try:
            self._send("unbindRequest", unbind_operation(), None)
        except LDAPConnectionError:
            pass
        finally:
            self._stream.close()

    def bind(self, password: Password) -> None:
        """Log in as the account of the settings; without one, stay anonymous. Each password is tried once.

        Raises: LDAPBindError with the server's reason in words.
        """
        dn = self.settings.bind_dn
        if not dn:
            return
        *others, last = (password,) if isinstance(password, str) else password
        for other in others:
            try:
                self._bind(dn, other)
            except LDAPBindError:
                continue
            return
        self._bind(dn, last)

    def _bind(self, dn: str, password: str) -> None:
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

    def read_base(
        self, dn: str, wanted: tuple[str, ...], *, matching: str = "(objectClass=*)"
    ) -> RawEntry | None:
        """One entry by its name; None when the server shows none of that name that the filter matches.

        Raises: LDAPAnswerError, LDAPConnectionError, BERError.
        """
        number = self._send_search(dn, matching, "BASE", wanted, None)
        found: RawEntry | None = None
        names = AttributeNames()
        while True:
            head, content = self.next_message(number)
            if head.kind == ber.SEARCH_ENTRY and found is None:
                read = ber.read_entry(content, head.start, head.stop, names, self.settings.limits)
                if read.fault is not None:
                    raise BERError(read.fault)
                found = RawEntry(read.dn, read.attributes, 0)
            elif head.kind == ber.SEARCH_DONE:
                break
            elif head.kind not in {ber.SEARCH_REFERENCE, ber.INTERMEDIATE}:
                raise LDAPAnswerError(f"{self.server} answered something else than was asked")
        result = ber.read_result(content, head)
        if result.code not in {SUCCESS, 32}:
            raise LDAPAnswerError(f"{self.server}: '{dn}' cannot be read: {describe_result(result)}")
        return found

    def ask_page(self, search: Search, wanted: tuple[str, ...], cookie: bytes) -> int:
        """Ask for the page behind the cookie; the number by which its answers are known."""
        self.pages += 1
        control = paged_search_control(True, self.settings.page_size, cookie or None)
        return self._send_search(search.base, search.filter, _DEPTH[search.scope], wanted, [control])

    def ask(self, search: Search, wanted: tuple[str, ...], *critical: tuple[str, bytes | None]) -> int:
        """Ask for everything at once, perhaps with critical controls; the number of the request."""
        controls: list[object] | None = [(oid, True, value) for oid, value in critical]
        return self._send_search(search.base, search.filter, _DEPTH[search.scope], wanted, controls)

    def next_message(self, number: int) -> tuple[ber.Head, bytes]:
        """The next message that answers the request. Those that answer another are passed over.

        Raises: LDAPConnectionError when the server takes its leave, closes the connection or stays silent.
        """
        while True:
            content = next(self._messages)
            head = ber.read_head(content)
            if head.message_id == number:
                return head, content
            if head.message_id == 0:
                # An unsolicited notification: the one that is defined says that the server hangs up.
                # Source: RFC 4511 section 4.4.
                result = ber.read_result(content, head)
                raise LDAPConnectionError(f"{self.server} ends the connection: {describe_result(result)}")

    def _connect(self) -> socket.socket:
        settings = self.settings
        try:
            stream = socket.create_connection(
                (self.server.host, self.server.port), timeout=settings.connect_seconds
            )
        except OSError as err:
            raise LDAPConnectionError(
                f"{self.server} cannot be reached within {settings.connect_seconds} s: {err}"
            ) from err
        stream.settimeout(settings.receive_seconds)
        return stream

    def _ask_for_tls(self) -> None:
        """Source: RFC 4511 section 4.14, RFC 4513 section 3.1."""
        number = self._send("extendedReq", extended_operation(_START_TLS), None)
        result = self._result(number, ber.EXTENDED_ANSWER)
        if result.code != SUCCESS:
            raise LDAPTLSError(f"{self.server} refuses StartTLS: {describe_result(result)}")
        if not self._cutter.is_empty or self._has_more:
            # Somebody in between put words in before the connection was safe.
            raise LDAPTLSError(f"{self.server} sent more than its answer to StartTLS; that is not safe")

    def _tls_context(self) -> ssl.SSLContext | None:
        """Authority, name and dates are always checked; there is no setting against it."""
        if self.settings.tls is TLSMode.PLAIN:
            return None
        ca_file = self.settings.ca_file
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as err:
            raise LDAPTLSError(f"ca_file '{ca_file}' cannot be read as certificates: {err}") from err
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _secure(self, context: ssl.SSLContext) -> None:
        try:
            # The name of the settings, never one that the server or a resolver gave.
            self._stream = context.wrap_socket(self._stream, server_hostname=self.server.host)
        except (OSError, ValueError) as err:
            fault = err.verify_message if isinstance(err, ssl.SSLCertVerificationError) else err
            raise LDAPTLSError(
                f"{self.server}: no safe connection: {fault}; "
                "check the server's certificate, its names and dates, and ca_file"
            ) from err

    def _send(self, kind: str, request: object, controls: list[object] | None) -> int:
        self.requests += 1
        number = next(self._numbers)
        message = LDAPMessage()
        message["messageID"] = MessageID(number)
        message["protocolOp"] = ProtocolOp().setComponentByName(kind, request)
        if controls:
            message["controls"] = build_controls_list(controls)
        raw: bytes = encode(message)
        try:
            self._stream.sendall(raw)
        except OSError as err:
            raise LDAPConnectionError(f"{self.server}: the request could not be sent: {err}") from err
        return number

    def _send_search(
        self, base: str, text: str, depth: str, wanted: tuple[str, ...], controls: list[object] | None
    ) -> int:
        request = search_operation(base, text, depth, "NEVER", list(wanted), 0, 0, False, True, True)
        return self._send("searchRequest", request, controls)

    def _result(self, number: int, kind: int) -> Result:
        head, content = self.next_message(number)
        if head.kind != kind:
            raise LDAPAnswerError(f"{self.server} answered something else than was asked")
        return ber.read_result(content, head)

    def _receive(self) -> Iterator[bytes]:
        """Messages as they come in, for ever."""
        while True:
            try:
                piece = self._stream.recv(_RECEIVED_AT_ONCE)
            except TimeoutError as err:
                raise LDAPConnectionError(
                    f"{self.server} was silent for {self.settings.receive_seconds} s; "
                    "raise receive_seconds if it is only slow"
                ) from err
            except OSError as err:
                raise LDAPConnectionError(f"{self.server}: the connection broke: {err}") from err
            if not piece:
                raise LDAPConnectionError(f"{self.server} closed the connection before its answer was whole")
            messages = self._cutter.feed(piece)
            for position, message in enumerate(messages, start=1):
                self._has_more = position < len(messages)
                yield message


def open_session(settings: LDAPSettings, password: Password, *, first: int = 0) -> LDAPSession:
    """A bound session with the first server that can be reached and is safe, beginning with number `first`.

    An account that one server refuses is not tried on another: each try counts towards its lock-out.

    Raises: LDAPConnectionError or LDAPTLSError naming what was wrong with each server; LDAPBindError.
    """
    for search in settings.searches:
        check_filter(search.filter)
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
