"""The assertion consumer service: from a posted response to a session. The order of the steps is the design's.

Request and assertion are used up before anybody is looked for, so that a crash costs the person a login and opens
nothing again.
"""

import hmac
import json
from datetime import timedelta

from flask import Request, Response

from audit.actors import LoginActor
from directory.facts import find_fault
from directory.ids import MemberId, SessionId
from directory.sso_changes import EndSession, OpenSession
from provisioning.commands import Command
from provisioning.logins import ConnectionSettings, LoginRequest, StoredConnection
from provisioning.signing_in import sign_in
from saml import login_tests
from saml.addresses import addresses
from saml.attributes import read_person
from saml.correlation import expectations, find_by_relay_state, find_of, use_once
from saml.errors import Denial, LoginDenied
from saml.login import Login, NameID
from saml.pipeline import judge_response, named_request
from saml.refusals import KIND, Refusals, make_reference
from saml.serving import Found, Parts, find_connection, frame_id, known, network_of, plain, read_form
from saml.starting import redirect
from web.sessions import digest_token

SIGNED_IN_PATH = "/sso/login"
_LONGEST_INDEX = 1024
_LONGEST_AGENT = 400
_LONGEST_ID = 256
_UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"


def consume(parts: Parts, refusals: Refusals, request: Request, connection_id: str) -> Response:
    """Answer whatever comes to the address: a session and the way back, or the one page."""
    found = find_connection(parts, connection_id)
    try:
        return _consume(parts, refusals, request, found)
    except LoginDenied as denied:
        return refusals.turn_away(request, denied, found)


def _consume(parts: Parts, refusals: Refusals, request: Request, found: Found) -> Response:
    connection = known(found)
    if parts.limits.messages.take(network_of(parts.address(request))):
        raise LoginDenied(Denial.RATE_LIMITED, check="rate")
    if request.method != "POST":
        raise LoginDenied(Denial.MALFORMED, check="form", found=request.method, expected="POST")
    form = read_form(request)
    value, relay_state = form.get("SAMLResponse", ""), form.get("RelayState", "")
    if not value:
        raise LoginDenied(Denial.MALFORMED, check="form", found="no SAMLResponse")
    asked = find_by_relay_state(parts, connection, relay_state)
    if asked is not None and asked.test_id:
        # Told by the key, so that a test has its page even for what is no message at all.
        return login_tests.conclude(parts, request, connection, asked, value)
    named = named_request(value)
    asked = None if named is None else find_of(connection, parts.logins.request(named))
    if asked is not None and asked.test_id:
        return login_tests.conclude(parts, request, connection, asked, value)
    if connection.read.disabled:
        raise LoginDenied(Denial.CONNECTION_DISABLED, check="connection")
    now = parts.clock()
    login = judge_response(
        value,
        trust=parts.trusts.get(connection, now, parts.unit_of_work).trust,
        expectations=expectations(parts, connection, named, asked, now),
    )
    return_to = _way_back(connection.read, named, asked, relay_state)
    use_once(parts, request, connection, asked, login.assertion_id, login.used_until, now)
    return _sign_in(parts, refusals, request, found, login, return_to)


def _way_back(
    settings: ConnectionSettings, named: str | None, asked: LoginRequest | None, relay_state: str
) -> str:
    """Where the login leads. RelayState is a key of ours, or one of the listed addresses to the letter.

    Raises: LoginDenied
    """
    if named is None:
        if not settings.idp_initiated:
            raise LoginDenied(Denial.UNSOLICITED, check="in_response_to")
        if relay_state and relay_state not in settings.initiated_targets.splitlines():
            raise LoginDenied(Denial.RELAY_STATE_REFUSED, check="relay_state")
        return relay_state
    if asked is None:
        raise LoginDenied(Denial.IN_RESPONSE_TO_MISMATCH, check="in_response_to")
    # SAML Bindings 3.5.3 has it come back; a provider that loses it has named the request all the same.
    if relay_state and not hmac.compare_digest(relay_state.encode(), asked.relay_state.encode()):
        raise LoginDenied(Denial.RELAY_STATE_REFUSED, check="relay_state")
    return asked.return_to


def _sign_in(
    parts: Parts, refusals: Refusals, request: Request, found: Found, login: Login, return_to: str
) -> Response:
    connection = known(found)
    person = read_person(login, connection.read)
    token, reference = parts.token(), make_reference(parts.random)
    outcome = sign_in(
        connection.connection_id,
        person,
        _session(parts, request, connection, login, token),
        reference=reference,
        unit_of_work=parts.unit_of_work(connection.organisation_id),
        clock=parts.clock,
        mint=parts.mint,
        models=parts.models,
        request_id=frame_id(request),
    )
    if outcome.denial is not None:
        return refusals.page(reference, found)
    replace_session(parts, request)
    is_path = return_to.startswith("/")
    response = redirect(
        f"{parts.base_url}{return_to}" if is_path else return_to or f"{parts.base_url}{SIGNED_IN_PATH}"
    )
    parts.cookies.set_session(response, token)
    return response


def _session(
    parts: Parts, request: Request, connection: StoredConnection, login: Login, token: str
) -> OpenSession:
    """The session: it ends with ours or with the identity provider's, whichever is first."""
    now = parts.clock()
    ends_at = now + parts.session_length
    if login.session_ends_at is not None:
        # Within the skew that is allowed, its end may be past here by our clock.
        skew = timedelta(seconds=connection.read.clock_skew_seconds)
        end = login.session_ends_at
        ends_at = min(ends_at, end if end > now else end + skew)
    index = login.session_index
    is_kept = len(index) <= _LONGEST_INDEX and not find_fault(index, is_name=False)
    return OpenSession(
        session_id=SessionId(parts.mint.id()),
        token_sha256=digest_token(token),
        member_id=MemberId(""),
        connection_id=connection.connection_id,
        login_id=parts.mint.id(),
        auth_time=min(login.authn_instant, now),
        expires_at=ends_at,
        name_id="" if login.name_id is None else name_id_text(login.name_id, connection, parts.base_url),
        session_index=index if is_kept else "",
        address=parts.address(request),
        user_agent=plain(request.headers.get("User-Agent", ""), _LONGEST_AGENT),
        assertion_id=login.assertion_id[:_LONGEST_ID],
        issuer=login.issuer,
    )


def name_id_text(name_id: NameID, connection: StoredConnection, base_url: str) -> str:
    """The NameID as sessions are found by it: what may be left out is left out.

    Source: SAML Core 2.0 section 8.3.1 and 8.3.7, on the format and the qualifiers that are meant by none.
    """
    own = addresses(base_url, connection.connection_id).entity_id
    said = [
        name_id.value,
        "" if name_id.format == _UNSPECIFIED else name_id.format,
        "" if name_id.name_qualifier == connection.read.idp_entity_id else name_id.name_qualifier,
        "" if name_id.sp_name_qualifier == own else name_id.sp_name_qualifier,
        name_id.sp_provided_id,
    ]
    return json.dumps(said, separators=(",", ":"))


def read_name_id(text: str) -> NameID:
    """The NameID of its stored text."""
    return NameID(*json.loads(text))


def replace_session(parts: Parts, request: Request) -> None:
    """End the session that this browser had: whoever signs in now has a new one."""
    former = parts.sessions.load_any(request)
    if former is None:
        return
    command = Command(
        actor=LoginActor(former.login_id),
        changes=(EndSession(former.session_id, "replaced"),),
        kind=KIND,
        request_id=frame_id(request),
    )
    parts.apply(former.organisation_id, command)
