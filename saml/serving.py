"""What every endpoint of single sign-on has at hand, and how it reads a request: bounded, and strictly."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from flask import Request

from directory.ids import ConnectionId, OrganisationId
from provisioning.apply import apply_changes
from provisioning.commands import Applied, Command, Refused
from provisioning.logins import LoginStore, StoredConnection
from provisioning.models import ModelCache
from provisioning.ports import Clock, Mint, UnitOfWork
from saml.errors import Denial, LoginDenied
from saml.requests import message_id
from saml.trusts import TrustCache
from web.cookies import TOKEN_OCTETS, Cookies, make_value
from web.frame import REQUEST_ID
from web.limits import RateLimit
from web.pages import Pages
from web.requests import BodyCutOffError, BodyTooLargeError, read_body
from web.sessions import Sessions

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY = 512 * 1024
MAX_RELAY_STATE = 1024
_MOST_FIELDS = 20
_FORM = "application/x-www-form-urlencoded"
_ID_OCTETS = 20
_NETWORK_BITS = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How often one address may do what costs something. `begun`: logins begun and forms; `codes`: recovery codes."""

    messages: RateLimit
    begun: RateLimit
    codes: RateLimit


@dataclass(frozen=True, slots=True)
class Parts:
    """What the process gives. `random` draws octets; `tell` logs a refusal that is no organisation's."""

    logins: LoginStore
    unit_of_work: Callable[[OrganisationId], UnitOfWork]
    clock: Clock
    mint: Mint
    models: ModelCache
    random: Callable[[int], bytes]
    pages: Pages
    cookies: Cookies
    sessions: Sessions
    trusts: TrustCache
    limits: Limits
    base_url: str
    session_length: timedelta
    find_address: "Callable[[WSGIEnvironment], str]"
    tell: Callable[[str, str], None]

    def apply(self, organisation_id: OrganisationId, command: Command) -> Applied | Refused:
        return apply_changes(
            command,
            unit_of_work=self.unit_of_work(organisation_id),
            clock=self.clock,
            mint=self.mint,
            models=self.models,
        )

    def token(self) -> str:
        return make_value(self.random(TOKEN_OCTETS))

    def message_id(self) -> str:
        return message_id(self.random(_ID_OCTETS))

    def address(self, request: Request) -> str:
        return self.find_address(request.environ)


@dataclass(frozen=True, slots=True)
class Found:
    """The connection of a path. None: its organisation has removed it, or there never was one."""

    organisation_id: OrganisationId | None
    connection: StoredConnection | None


def find_connection(parts: Parts, connection_id: str) -> Found:
    """Whose path it is, and the connection."""
    with parts.logins.read() as view:
        organisation_id = view.organisation_of_connection(connection_id)
    if organisation_id is None:
        return Found(None, None)
    with parts.unit_of_work(organisation_id).read() as reader:
        return Found(organisation_id, reader.sso.connection(ConnectionId(connection_id.lower())))


def known(found: Found) -> StoredConnection:
    """The connection that was found. Raises LoginDenied when there is none."""
    if found.connection is None:
        raise LoginDenied(Denial.CONNECTION_UNKNOWN, check="connection")
    return found.connection


def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a posted form, each of which is there once.

    Raises: LoginDenied
    """
    if request.mimetype != _FORM:
        raise LoginDenied(Denial.MALFORMED, check="form", found="another content type", expected=_FORM)
    environ = request.environ
    length = environ.get("CONTENT_LENGTH") or ""
    declared = int(length) if length.isascii() and length.isdigit() else None
    if declared is None and not environ.get("wsgi.input_terminated"):
        declared = 0
    try:
        body = read_body(environ["wsgi.input"], MAX_BODY, declared) if declared != 0 else b""
    except BodyTooLargeError as err:
        raise LoginDenied(Denial.TOO_LARGE, check="form", expected=f"at most {MAX_BODY} octets") from err
    except BodyCutOffError as err:
        raise LoginDenied(Denial.MALFORMED, check="form", found="a body that was cut off") from err
    return read_fields(body)


def read_fields(body: bytes) -> Mapping[str, str]:
    """The fields of an encoded form or query. Raises LoginDenied, for one that is there twice."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError as err:
        raise LoginDenied(Denial.MALFORMED, check="form", found="what is no encoded form") from err
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise LoginDenied(Denial.MALFORMED, check="form", found="a field twice", expected="each field once")
    return fields


def request_id_of(relay_state: str) -> str:
    """The ID of the request that goes out with this key: who has the one cannot tell the other from it."""
    return message_id(sha256(f"request {relay_state}".encode()).digest()[:_ID_OCTETS])


def frame_id(request: Request) -> str:
    """The id of the HTTP request, as it stands in events."""
    return str(request.environ.get(REQUEST_ID, ""))


def network_of(address: str) -> str:
    """What counts as one sender: the address; of IPv6 the network, of which anybody has all addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), _NETWORK_BITS), strict=False).network_address)


def plain(text: str, limit: int) -> str:
    """What of a header is worth keeping: printable ASCII."""
    return "".join(letter for letter in text[:limit] if " " <= letter <= "~")
