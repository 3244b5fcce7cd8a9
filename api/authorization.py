"""The authorization endpoint: an application asks who is at the browser, and gets a code, or an error that says why.

A browser without a session is sent to sign in and comes back with the same request. Nothing is ever sent to an
address that the application has not registered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
)
from authlib.oidc.core.errors import (
    LoginRequiredError,
    RegistrationNotSupportedError,
    RequestNotSupportedError,
    RequestURINotSupportedError,
)
from flask import Response, redirect

from api.applications import Application, find_application
from api.parameters import UnfitParametersError, read_parameters
from api.server import Server, StrictRequest
from directory.ids import EnvironmentId, OrganisationId
from provisioning.logins import StoredSession
from web.return_paths import AUTHORIZE_PATH, is_return_path

SINCE = "usher_since"
"""Our own parameter on the way to a login and back: the person is to sign in anew, at or after this moment."""

_RECIPIENT = ("client_id", "redirect_uri")
_LONGEST_LOGIN = timedelta(hours=1)
# The moment of a login is told by the identity provider's clock.
_CLOCK_SKEW = timedelta(minutes=5)
_UNSUPPORTED: Mapping[str, type[OAuth2Error]] = {
    "request": RequestNotSupportedError,
    "request_uri": RequestURINotSupportedError,
    "registration": RegistrationNotSupportedError,
}

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Authorization:
    """`environment_of` says which environment an organisation stands on."""

    server: Server
    environment_of: Callable[[OrganisationId], EnvironmentId]

    def answer(self, method: str, pairs: Pairs, load_session: Callable[[], StoredSession | None]) -> Response:
        """Answer a request of `pairs`; the session is loaded only for one that is in order."""
        fault = ""
        try:
            asked = read_parameters(pairs)
        except UnfitParametersError as error:
            fault = str(error)
            asked = _recipient_of(pairs)
        application = find_application(self.server.parts.clients, asked.get("client_id", ""))
        uri = asked.get("redirect_uri", "")
        issuer = self.server.parts.issuer
        request = StrictRequest(method, issuer + AUTHORIZE_PATH, "", asked)
        try:
            _check_recipient(application, uri)
        except OAuth2Error as error:
            return self._refuse(request, error)
        try:
            if fault:
                raise InvalidRequestError(fault)
            return self._answer(request, load_session)
        except OAuth2Error as error:
            error.redirect_uri = uri
            error.state = asked.get("state")
            return self._refuse(request, error)

    def _refuse(self, request: StrictRequest, error: OAuth2Error) -> Response:
        response: Response = self.server.handle_error_response(request, error)
        return response

    def _answer(self, request: StrictRequest, load_session: Callable[[], StoredSession | None]) -> Response:
        asked = request.parameters
        prompts = _check_request(asked)
        max_age = _max_age(asked)
        session = load_session()
        # Authlib's checks, PKCE and `prompt` among them.
        grant = self.server.get_consent_grant(request, session)
        if session is None:
            return self._send_to_login(asked, is_anew=bool(prompts & {"login", "select_account"}))
        self._check_hint(asked, session)
        if self._must_sign_in_anew(asked, session, prompts, max_age):
            return self._send_to_login(asked, is_anew=True)
        application: Application = request.client
        if self.environment_of(session.organisation_id) != application.stored.environment_id:
            raise AccessDeniedError(description="who is signed in belongs to another environment")
        response: Response = self.server.create_authorization_response(request, session, grant)
        return response

    def _check_hint(self, asked: Mapping[str, str], session: StoredSession) -> None:
        hint = asked.get("id_token_hint", "")
        if hint:
            claims = self.server.parts.keys.verify(hint)
            if claims is None:
                raise InvalidRequestError("id_token_hint is no ID token of this provider")
            if claims.get("sub") != session.member_id:
                raise LoginRequiredError(description="somebody else is signed in")

    def _must_sign_in_anew(
        self,
        asked: Mapping[str, str],
        session: StoredSession,
        prompts: frozenset[str],
        max_age: timedelta | None,
    ) -> bool:
        """Whether this login is not new enough. Raises LoginRequiredError when a new one was not, either."""
        now = self.server.parts.clock()
        wants_login = bool(prompts & {"login", "select_account"})
        if not wants_login and (max_age is None or now - session.auth_time <= max_age):
            return False
        since = _since(asked, now)
        came_back = since is not None and session.created_at >= since
        if since is not None and came_back and session.auth_time >= since - _CLOCK_SKEW:
            return False
        if came_back or "none" in prompts:
            # OpenID Connect Core 1.0 section 3.1.2.1: an error, where a person cannot be made to sign in anew.
            raise LoginRequiredError(description="the last login is older than the application wants")
        return True

    def _send_to_login(self, asked: Mapping[str, str], *, is_anew: bool) -> Response:
        parts = self.server.parts
        kept = dict(asked)
        if is_anew:
            kept[SINCE] = str(int(parts.clock().timestamp()))
        path = f"{AUTHORIZE_PATH}?{urlencode(kept)}"
        if not is_return_path(path):
            raise InvalidRequestError("the request is too long")
        query = urlencode({"return": path, **({"fresh": "1"} if is_anew else {})})
        where = f"{parts.issuer}/sso/login?{query}"
        return redirect(where, HTTPStatus.SEE_OTHER, Response)  # type: ignore[return-value]  # of the class it is given


def _recipient_of(pairs: Pairs) -> dict[str, str]:
    """Whom to tell that the rest cannot be read, where at least that is clear."""
    try:
        return read_parameters([pair for pair in pairs if pair[0] in _RECIPIENT])
    except UnfitParametersError:
        return {}


def _check_recipient(application: Application | None, redirect_uri: str) -> None:
    """RFC 6749 section 4.1.2.1: without a known application and address, nobody is sent anywhere."""
    if application is None:
        raise InvalidRequestError("client_id is not the id of a registered application")
    if not application.check_redirect_uri(redirect_uri):
        raise InvalidRequestError("redirect_uri is not one of those that the application has registered")


def _check_request(asked: Mapping[str, str]) -> frozenset[str]:
    """The prompts that are asked for; the rest of the request is in order."""
    for name, error in _UNSUPPORTED.items():
        if name in asked:
            raise error
    kind = asked.get("response_type", "")
    if not kind:
        raise InvalidRequestError("response_type is missing")
    if kind != "code":
        raise _OnlyCodesError
    if asked.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query")
    if "openid" not in asked.get("scope", "").split(" "):
        raise InvalidScopeError(description="scope must hold openid")
    prompts = frozenset(asked.get("prompt", "").split())
    if "none" in prompts and len(prompts) > 1:
        raise InvalidRequestError("prompt is none, or something else")
    return prompts


class _OnlyCodesError(OAuth2Error):  # type: ignore[misc]  # Authlib has no annotations
    """In place of Authlib's, which repeats what was sent."""

    error = "unsupported_response_type"
    description = "response_type must be code"


def _max_age(asked: Mapping[str, str]) -> timedelta | None:
    text = asked.get("max_age", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise InvalidRequestError("max_age must be a number of seconds")
    return timedelta(seconds=int(text))


def _since(asked: Mapping[str, str], now: datetime) -> datetime | None:
    """From when on the person was to sign in; None where nobody was sent to do so within the hour."""
    text = asked.get(SINCE, "")
    if not text.isascii() or not text.isdigit() or len(text) > len("9999999999"):
        return None
    since = datetime.fromtimestamp(int(text), UTC)
    return since if now - _LONGEST_LOGIN <= since <= now else None
