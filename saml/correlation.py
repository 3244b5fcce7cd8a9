"""Which request of ours a response answers, what it must say for that, and that both are used once."""

from datetime import datetime, timedelta

from flask import Request

from provisioning.logins import LoginRequest, StoredConnection
from saml.addresses import addresses
from saml.errors import Denial, LoginDenied
from saml.login import Expectations
from saml.serving import Parts, request_id_of
from web.sessions import digest_token

MESSAGE_LIFE = timedelta(minutes=15)
"""Longer than a logout message is good: `logout.MAX_AGE` and the largest skew on both sides."""


def find_by_relay_state(parts: Parts, connection: StoredConnection, relay_state: str) -> LoginRequest | None:
    if not relay_state or not relay_state.isascii():
        return None
    return find_of(connection, parts.logins.request(request_id_of(relay_state)))


def find_of(connection: StoredConnection, asked: LoginRequest | None) -> LoginRequest | None:
    """The request, if it is one of this connection."""
    is_own = asked is not None and asked.connection_id == connection.connection_id
    return asked if is_own else None


def expectations(
    parts: Parts, connection: StoredConnection, named: str | None, asked: LoginRequest | None, now: datetime
) -> Expectations:
    """What the response must say. One that names a request which is none of ours can meet nothing."""
    settings = connection.read
    own = addresses(parts.base_url, connection.connection_id)
    request_id = None if named is None else asked.request_id if asked is not None else ""
    return Expectations(
        idp_entity_id=settings.idp_entity_id,
        sp_entity_id=own.entity_id,
        acs_url=own.acs,
        request_id=request_id,
        requested_at=asked.created_at if asked is not None else None,
        now=now,
        clock_skew_seconds=settings.clock_skew_seconds,
        force_authn=asked is not None and asked.force_authn,
        identity_key=settings.identity_key,
    )


def use_once(
    parts: Parts,
    request: Request,
    connection: StoredConnection,
    asked: LoginRequest | None,
    assertion_id: str,
    keep_until: datetime,
    now: datetime,
) -> None:
    """Use the request in this browser, and the assertion. Raises LoginDenied."""
    browser = parts.cookies.login(request)
    fault = parts.logins.use_request(
        organisation_id=connection.organisation_id,
        connection_id=connection.connection_id,
        request_id=asked.request_id if asked is not None else None,
        browser_sha256=digest_token(browser) if browser else None,
        assertion_id=assertion_id,
        keep_until=keep_until,
        now=now,
    )
    if fault:
        raise LoginDenied(Denial(fault), check="use")


def use_message(parts: Parts, connection: StoredConnection, sent_id: str, now: datetime) -> None:
    """Take a message that names no request of ours once. Raises LoginDenied."""
    fault = parts.logins.use_request(
        organisation_id=connection.organisation_id,
        connection_id=connection.connection_id,
        request_id=None,
        browser_sha256=None,
        assertion_id=f"message {sent_id}",
        keep_until=now + MESSAGE_LIFE,
        now=now,
    )
    if fault:
        raise LoginDenied(Denial(fault), check="use")
