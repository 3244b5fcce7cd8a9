"""The provider's place in the Flask application: routes in, answers out.

Nothing of it is for scripts of other origins: there is no CORS, and every answer is kept by nobody (no-store).
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from flask import Blueprint, Response, jsonify, request

from api.applications import SCOPES
from api.authorization import Authorization
from api.keys import ALGORITHM
from api.logout import Logout
from api.parameters import MAX_FORM, UnfitParametersError, read_parameters
from api.people import person_claims
from api.server import Parts, Server, StrictRequest
from web.limits import RateLimit
from web.requests import bearer_token
from web.return_paths import LOGGED_OUT_PATH
from web.sessions import LoadSession, digest_token

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_FORM = "application/x-www-form-urlencoded"
_METHODS = ("GET", "POST")
_CLAIMS = (
    "iss sub aud exp iat auth_time nonce at_hash name email email_verified organisation organisation_name roles "
    "grants grants_count access_version sid session_ends_at"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """By address. `failures` is for answers that somebody may be guessing for."""

    requests: RateLimit
    failures: RateLimit


@dataclass(frozen=True, slots=True)
class Provider:
    """The OpenID Provider of the service."""

    parts: Parts
    authorization: Authorization
    logout: Logout
    load_session: LoadSession
    limits: Limits
    find_address: "Callable[[WSGIEnvironment], str]"

    @property
    def server(self) -> Server:
        return self.authorization.server


def make_blueprint(provider: Provider) -> Blueprint:
    """The routes of the provider."""
    blueprint = Blueprint("oidc", __name__)

    @blueprint.before_request
    def limit() -> Response | None:
        request.max_content_length = MAX_FORM
        wait = provider.limits.requests.take(provider.find_address(request.environ))
        return _slow_down(wait) if wait else None

    @blueprint.after_request
    def count(response: Response) -> Response:
        if response.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}:
            wait = provider.limits.failures.take(provider.find_address(request.environ))
            return _slow_down(wait) if wait else response
        return response

    @blueprint.errorhandler(OAuth2Error)
    def tell(error: OAuth2Error) -> Response:
        answer: Response = provider.server.handle_response(*error())
        return answer

    @blueprint.errorhandler(UnfitParametersError)
    def tell_unfit(error: UnfitParametersError) -> Response:
        return tell(InvalidRequestError(str(error)))

    @blueprint.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return jsonify(describe(provider.parts.issuer))

    @blueprint.get("/oidc/jwks")
    def jwks() -> Response:
        return jsonify(provider.parts.keys.public())

    @blueprint.route("/oidc/authorize", methods=_METHODS)
    def authorize() -> Response:
        return provider.authorization.answer(request.method, _pairs(), lambda: provider.load_session(request))

    @blueprint.post("/oidc/token")
    def token() -> Response:
        asked = StrictRequest(
            "POST",
            provider.parts.issuer + request.path,
            request.headers.get("Authorization", ""),
            read_parameters(_pairs()),
        )
        _check_grant_type(asked.parameters.get("grant_type", ""))
        response: Response = provider.server.create_token_response(asked)
        return response

    @blueprint.route("/oidc/userinfo", methods=_METHODS)
    def userinfo() -> Response:
        return _userinfo(provider.parts, bearer_token(request.headers.get("Authorization", "")))

    @blueprint.route("/oidc/logout", methods=_METHODS)
    def logout() -> Response:
        return provider.logout.answer(_pairs())

    @blueprint.get(LOGGED_OUT_PATH)
    def logged_out() -> Response:
        return provider.logout.come_back(request.cookies.get(provider.logout.cookie, ""))

    return blueprint


def describe(issuer: str) -> dict[str, Any]:
    """What applications find out by themselves. Source: OpenID Connect Discovery 1.0 section 3, RFC 9207 section 3"""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oidc/authorize",
        "token_endpoint": f"{issuer}/oidc/token",
        "userinfo_endpoint": f"{issuer}/oidc/userinfo",
        "jwks_uri": f"{issuer}/oidc/jwks",
        "end_session_endpoint": f"{issuer}/oidc/logout",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": _CLAIMS.split(),
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


class _UnknownGrantError(OAuth2Error):  # type: ignore[misc]  # Authlib has no annotations
    """In place of Authlib's, which repeats what was sent."""

    error = "unsupported_grant_type"
    description = "grant_type must be authorization_code or refresh_token"


def _check_grant_type(kind: str) -> None:
    if not kind:
        raise InvalidRequestError("grant_type is missing")
    if kind not in {"authorization_code", "refresh_token"}:
        raise _UnknownGrantError


def _pairs() -> list[tuple[str, str]]:
    """The parameters as they came: of the query, or of the body of a POST (RFC 6749 section 3.2: never of both)."""
    if request.method != "POST":
        return list(request.args.items(multi=True))
    if request.mimetype != _FORM:
        raise UnfitParametersError(f"the body must be {_FORM}")
    return list(request.form.items(multi=True))


def _userinfo(parts: Parts, text: str) -> Response:
    """Source: OpenID Connect Core 1.0 section 5.3, RFC 6750 section 3"""
    if not text:
        return _unauthorized('Bearer realm="usher"')
    now = parts.clock()
    tokens = parts.clients.tokens_by_access(digest_token(text), now)
    person = None
    if tokens is not None:
        person = parts.people.find(tokens.organisation_id, tokens.member_id, tokens.session_id, now)
    if person is None:
        return _unauthorized(
            'Bearer realm="usher", error="invalid_token", error_description="ended, or never ours"'
        )
    return jsonify(person_claims(person, is_whole=True))


def _unauthorized(challenge: str) -> Response:
    answer = jsonify(error="invalid_token")
    answer.status_code = HTTPStatus.UNAUTHORIZED
    answer.headers["WWW-Authenticate"] = challenge
    return answer


def _slow_down(seconds: int) -> Response:
    answer = jsonify(error="slow_down", error_description=f"too many requests; wait {seconds} s")
    answer.status_code = HTTPStatus.TOO_MANY_REQUESTS
    answer.headers["Retry-After"] = str(seconds)
    return answer
