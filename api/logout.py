"""The end of a session: asked for by an application, and told to the others.

Sources: OpenID Connect RP-Initiated Logout 1.0, OpenID Connect Back-Channel Logout 1.0
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Response, redirect

from api.applications import find_application
from api.keys import SigningKeys
from api.parameters import read_parameters
from api.people import OpenOrganisation
from directory.ids import OrganisationId, SessionId
from provisioning.clients import ClientStore, LogoutNotice
from provisioning.logins import StoredSession
from provisioning.ports import Clock

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LOGOUT_JWT = "logout+jwt"
_RETURN_JWT = "after-logout+jwt"
_TOKEN_LIFETIME = timedelta(minutes=2)

_RETURN_LIFETIME = timedelta(minutes=5)
_COOKIE = "usher_after_logout"
# Browsers keep 4096 octets of a cookie with its name and attributes.
_LONGEST_COOKIE = 3800

EndSession = Callable[[StoredSession], None]
LeadToProvider = Callable[[StoredSession], Response | None]
"""Leads the browser to the identity provider, to sign out there too; it comes back to `LOGGED_OUT_PATH`.

None where the connection has no such way.
"""


@dataclass(frozen=True, slots=True)
class Logout:
    """The logout endpoint. Who has nowhere to go back to sees the page of /sso/logout, which asks where it must."""

    issuer: str
    clients: ClientStore
    keys: SigningKeys
    clock: Clock
    open_organisation: OpenOrganisation
    end_session: EndSession
    lead_to_provider: LeadToProvider

    def answer(self, pairs: list[tuple[str, str]]) -> Response:
        """End the session that the ID token tells of. Raises UnfitParametersError, and OAuth2Error: nothing ended.

        Without an ID token the person is asked: else any page could sign people out (section 6 of the standard).
        """
        asked = read_parameters(pairs)
        hint = asked.get("id_token_hint", "")
        if not hint:
            return self._show_page()
        claims = self.keys.verify(hint)
        if claims is None or claims.get("iss") != self.issuer or "sid" not in claims or "events" in claims:
            raise InvalidRequestError("id_token_hint is no ID token of this provider")
        back = self._way_back(claims, asked)
        session = self._session_of(claims)
        if session is not None and session.ended_at is None:
            self.end_session(session)
            led = self.lead_to_provider(session)
            if led is not None:
                return self._remember(led, back)
        return _go(back) if back else self._show_page()

    def come_back(self, remembered: str) -> Response:
        """Lead the browser on, which has been at the identity provider; `remembered` is its cookie."""
        claims = self.keys.verify(remembered) if remembered else None
        if claims is None or "after" not in claims or claims["exp"] < self.clock().timestamp():
            return self._show_page()
        response = _go(str(claims["after"]))
        self._set_cookie(response, "", 0)
        return response

    def _show_page(self) -> Response:
        return _go(f"{self.issuer}/sso/logout")

    @property
    def cookie(self) -> str:
        """The name of the cookie that remembers where to lead the browser to."""
        return f"__Host-{_COOKIE}" if self._is_secure else _COOKIE

    @property
    def _is_secure(self) -> bool:
        return self.issuer.startswith("https:")

    def _remember(self, response: Response, back: str) -> Response:
        """Signed, so that nobody but us says where people are led to."""
        if back:
            ends_at = self.clock() + _RETURN_LIFETIME
            value = self.keys.sign({"after": back, "exp": int(ends_at.timestamp())}, token_type=_RETURN_JWT)
            if len(value) <= _LONGEST_COOKIE:
                self._set_cookie(response, value, int(_RETURN_LIFETIME.total_seconds()))
        return response

    def _set_cookie(self, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            self.cookie,
            value,
            max_age=seconds,
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="Lax",
        )

    def _way_back(self, claims: dict[str, Any], asked: dict[str, str]) -> str:
        """Where the application wants the browser to be led; empty when it did not say."""
        client_id = str(claims.get("aud", ""))
        if asked.get("client_id", client_id) != client_id:
            raise InvalidRequestError("id_token_hint was made for another application")
        uri = asked.get("post_logout_redirect_uri", "")
        if not uri:
            return ""
        application = find_application(self.clients, client_id)
        if application is None or uri not in application.stored.logout_uris:
            raise InvalidRequestError(
                "post_logout_redirect_uri is not one that the application has registered"
            )
        state = asked.get("state", "")
        return str(add_params_to_uri(uri, {"state": state})) if state else uri

    def _session_of(self, claims: dict[str, Any]) -> StoredSession | None:
        with self.open_organisation(OrganisationId(str(claims.get("organisation", "")))).read() as reader:
            session = reader.sso.session(SessionId(str(claims["sid"])))
        return session if session is not None and session.member_id == claims.get("sub") else None


def _go(where: str) -> Response:
    return redirect(where, HTTPStatus.SEE_OTHER, Response)  # type: ignore[return-value]  # of the class it is given


def logout_form(
    keys: SigningKeys, issuer: str, notice: LogoutNotice, *, now: datetime, token_id: str
) -> bytes:
    """The body that tells an application of a session's end. Source: Back-Channel Logout 1.0 sections 2.4, 2.5"""
    claims = {
        "iss": issuer,
        "sub": notice.member_id,
        "aud": notice.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + _TOKEN_LIFETIME).timestamp()),
        "jti": token_id,
        "sid": notice.session_id,
        "events": {LOGOUT_EVENT: {}},
    }
    token = keys.sign(claims, token_type=_LOGOUT_JWT)
    return urlencode({"logout_token": token}).encode()
