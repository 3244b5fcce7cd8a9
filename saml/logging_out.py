"""Single logout, both ways and by both bindings. Our own session has ended before anybody else is asked.

What ends a session is proven first. A response to a request of ours ends nothing: it is told by the browser's cookie,
of which the request's ID was made, and only shown.
"""

import hmac
from datetime import timedelta
from hashlib import sha256

from flask import Request, Response

from audit.actors import LoginActor
from directory.ids import OrganisationId
from directory.sso_changes import EndSession
from provisioning.commands import Command
from provisioning.logins import StoredConnection, StoredSession
from saml import requests
from saml.addresses import addresses
from saml.consuming import name_id_text, read_name_id
from saml.correlation import use_message
from saml.errors import Denial, LoginDenied
from saml.logout import (
    LogoutExpectations,
    LogoutMessage,
    LogoutRequest,
    read_posted,
    read_redirected,
)
from saml.refusals import KIND, Refusals
from saml.requests import Envelope, message_id
from saml.serving import (
    MAX_RELAY_STATE,
    Parts,
    find_connection,
    frame_id,
    known,
    network_of,
    read_fields,
    read_form,
)
from saml.starting import redirect, send
from web.return_paths import LOGGED_OUT_PATH

ASK_LIFE = timedelta(minutes=5)
_ID_OCTETS = 20
_PARTLY = "You are signed out here. Your identity provider could not end all other sessions."


def receive(parts: Parts, refusals: Refusals, request: Request, connection_id: str) -> Response:
    """Answer a logout message of the identity provider, or turn it away."""
    found = find_connection(parts, connection_id)
    try:
        connection = known(found)
        if parts.limits.messages.take(network_of(parts.address(request))):
            raise LoginDenied(Denial.RATE_LIMITED, check="rate")
        message, relay_state = _read(parts, request, connection)
        if isinstance(message, LogoutRequest):
            return _obey(parts, request, connection, message, relay_state)
        if not hmac.compare_digest(message.in_response_to, logout_id(parts.cookies.login(request))):
            raise LoginDenied(Denial.LOGOUT_REFUSED, check="in_response_to")
        if message.is_success:
            return redirect(f"{parts.base_url}{LOGGED_OUT_PATH}")
        return parts.pages.signed_out(message=_PARTLY)
    except LoginDenied as denied:
        return refusals.turn_away(request, denied, found)


def _read(parts: Parts, request: Request, connection: StoredConnection) -> tuple[LogoutMessage, str]:
    """The proven message, and the RelayState beside it."""
    now, settings = parts.clock(), connection.read
    trust = parts.trusts.get(connection, now, parts.unit_of_work).trust
    expected = LogoutExpectations(
        idp_entity_id=settings.idp_entity_id,
        slo_url=addresses(parts.base_url, connection.connection_id).slo,
        now=now,
        clock_skew_seconds=settings.clock_skew_seconds,
    )
    if request.method == "GET":
        query = request.environ.get("QUERY_STRING", "")
        proven = read_redirected(query, trust=trust, expectations=expected)
        return proven, read_fields(query.encode()).get("RelayState", "")
    if request.method != "POST":
        raise LoginDenied(Denial.MALFORMED, check="form", found=request.method, expected="GET or POST")
    form = read_form(request)
    given = [name for name in (requests.REQUEST, requests.RESPONSE) if name in form]
    if len(given) != 1:
        raise LoginDenied(Denial.MALFORMED, check="form", found=f"{len(given)} messages", expected="one")
    posted = read_posted(given[0], form[given[0]], trust=trust, expectations=expected)
    return posted, form.get("RelayState", "")


def _obey(
    parts: Parts, request: Request, connection: StoredConnection, message: LogoutRequest, relay_state: str
) -> Response:
    """End the sessions that the request names, and answer the identity provider."""
    now, settings = parts.clock(), connection.read
    use_message(parts, connection, message.message_id, now)
    subject = name_id_text(message.name_id, connection, parts.base_url)
    named: dict[str, StoredSession] = {}
    with parts.unit_of_work(connection.organisation_id).read() as reader:
        for index in message.session_indexes or ("",):
            for session in reader.sso.sessions_of_subject(connection.connection_id, subject, index, now):
                named[session.session_id] = session
    ended = tuple(EndSession(session.session_id, "idp_logout") for session in named.values())
    if ended:
        end(parts, request, connection.organisation_id, parts.mint.id(), ended)
    if settings.slo_url:
        own = addresses(parts.base_url, connection.connection_id)
        response = send(
            parts,
            connection,
            requests.render_logout_response(
                Envelope(parts.message_id(), now, own.entity_id, settings.slo_url),
                in_response_to=message.message_id,
            ),
            parameter=requests.RESPONSE,
            destination=settings.slo_url,
            binding=settings.slo_binding,
            relay_state=relay_state if len(relay_state) <= MAX_RELAY_STATE else "",
        )
    else:
        response = parts.pages.signed_out()
    return response


def sign_out(parts: Parts, request: Request) -> Response:
    """End the session of this browser, and then ask the identity provider to end its own."""
    session = parts.sessions.load_any(request)
    response = None
    if session is not None:
        ended = (EndSession(session.session_id, "logout"),)
        end(parts, request, session.organisation_id, session.login_id, ended)
        response = ask_provider(parts, session)
    response = response or parts.pages.signed_out()
    parts.cookies.clear_session(response)
    return response


def end(
    parts: Parts,
    request: Request,
    organisation_id: OrganisationId,
    login_id: str,
    ended: tuple[EndSession, ...],
) -> None:
    """End sessions, as whoever signed in with the login."""
    command = Command(actor=LoginActor(login_id), changes=ended, kind=KIND, request_id=frame_id(request))
    parts.apply(organisation_id, command)


def ask_provider(parts: Parts, session: StoredSession) -> Response | None:
    """Lead the browser to the identity provider, which is asked to sign the person out as well.

    None where it has no address for that, or knows nothing of the session, which has ended by now.
    """
    if session.connection_id is None or not session.name_id:
        return None
    connection = find_connection(parts, session.connection_id).connection
    if connection is None or not connection.read.slo_url:
        return None
    settings, now = connection.read, parts.clock()
    own = addresses(parts.base_url, connection.connection_id)
    browser = parts.token()
    response = send(
        parts,
        connection,
        requests.render_logout_request(
            Envelope(logout_id(browser), now, own.entity_id, settings.slo_url),
            name_id=read_name_id(session.name_id),
            session_index=session.session_index,
            not_on_or_after=now + ASK_LIFE,
        ),
        parameter=requests.REQUEST,
        destination=settings.slo_url,
        binding=settings.slo_binding,
        relay_state="",
    )
    parts.cookies.set_login(response, browser, seconds=int(ASK_LIFE.total_seconds()))
    return response


def logout_id(browser: str) -> str:
    """The ID of the LogoutRequest that this browser has carried away. No login's: those are made of other texts."""
    return message_id(sha256(f"logout {browser}".encode()).digest()[:_ID_OCTETS])
