"""Logins that begin here: a request is stored, bound to the browser, and sent off with it."""

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from flask import Request, Response

from provisioning.logins import LoginRequest, StoredConnection
from saml import requests
from saml.addresses import addresses
from saml.errors import Denial, LoginDenied
from saml.requests import Envelope
from saml.serving import Found, Parts, known, network_of, request_id_of
from web.return_paths import is_return_path
from web.sessions import digest_token

REQUEST_LIFE = timedelta(minutes=15)
"""How long a person may take at the identity provider."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a login is for. `test_id` marks a test login of `test_actor`."""

    return_to: str = ""
    force_authn: bool = False
    test_id: str = ""
    test_actor: str = ""


def start_login(parts: Parts, request: Request, found: Found) -> Response:
    """Begin the login that the address asks for: `return` leads back, `fresh` has the person asked anew.

    Raises: LoginDenied
    """
    if parts.limits.begun.take(network_of(parts.address(request))):
        raise LoginDenied(Denial.RATE_LIMITED, check="rate")
    connection = known(found)
    if connection.read.disabled:
        raise LoginDenied(Denial.CONNECTION_DISABLED, check="connection")
    wanted = request.args.get("return", "")
    purpose = Purpose(
        return_to=wanted if is_return_path(wanted) else "",
        force_authn=connection.read.force_authn or request.args.get("fresh", "") == "1",
    )
    return send_request(parts, request, connection, purpose)


def send_request(parts: Parts, request: Request, connection: StoredConnection, purpose: Purpose) -> Response:
    """Store a request and send the browser off with it. Raises LoginDenied, for a draft without an address."""
    settings = connection.read
    if not settings.sso_url or not settings.idp_entity_id:
        raise LoginDenied(Denial.CONNECTION_DISABLED, check="connection")
    own = addresses(parts.base_url, connection.connection_id)
    browser = parts.cookies.login(request) or parts.token()
    relay_state = parts.token()
    # What goes out is in whole seconds, and so is what comes back.
    now = parts.clock().replace(microsecond=0)
    stored = LoginRequest(
        request_id=request_id_of(relay_state),
        organisation_id=connection.organisation_id,
        connection_id=connection.connection_id,
        relay_state=relay_state,
        browser_sha256=digest_token(browser),
        return_to=purpose.return_to,
        created_at=now,
        expires_at=now + REQUEST_LIFE,
        force_authn=purpose.force_authn,
        test_id=purpose.test_id,
        test_actor=purpose.test_actor,
    )
    parts.logins.insert_request(stored)
    document = requests.render_authn_request(
        Envelope(stored.request_id, now, own.entity_id, settings.sso_url),
        acs_url=own.acs,
        force_authn=purpose.force_authn,
        requested_authn_context=settings.requested_authn_context,
    )
    response = send(
        parts,
        connection,
        document,
        parameter=requests.REQUEST,
        destination=settings.sso_url,
        binding=settings.sso_binding,
        relay_state=relay_state,
        is_signed=settings.sign_requests,
    )
    parts.cookies.set_login(response, browser, seconds=int(REQUEST_LIFE.total_seconds()))
    return response


def send(
    parts: Parts,
    connection: StoredConnection,
    document: bytes,
    *,
    parameter: str,
    destination: str,
    binding: str,
    relay_state: str,
    is_signed: bool = True,
) -> Response:
    """Have the browser carry a message to the identity provider. Signed where there is a key and it is asked for."""
    signer = None
    if is_signed:
        signer = parts.trusts.get(connection, parts.clock(), parts.unit_of_work).signer
    if binding == "post":
        fields = requests.post_fields(document, parameter=parameter, relay_state=relay_state, signer=signer)
        return parts.pages.post_form(destination, fields)
    url = requests.redirect_url(
        destination, document, parameter=parameter, relay_state=relay_state, signer=signer
    )
    return redirect(url)


def redirect(url: str) -> Response:
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": url})
