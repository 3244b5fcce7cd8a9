"""Authlib's authorization server over our stores: the code grant with PKCE, refresh tokens that are used once.

What Authlib 1.9 leaves open is closed here and in `api.parameters`: its PKCE extension asks public clients alone, and
at the token endpoint only; it takes `plain`; it repeats what was sent in its errors, and fails on letters that may
not stand there; it reads the machine's clock and logs tokens at the level of debugging.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from authlib.common.urls import add_params_to_uri
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from authlib.oidc.core.util import create_half_hash
from flask import Response

from api.applications import (
    SCOPES,
    Application,
    ClientRefusedError,
    find_application,
    known_scope,
    prove_application,
)
from api.keys import ALGORITHM, SigningKeys
from api.people import People, Person, person_claims
from provisioning.clients import ClientStore, StoredCode, StoredTokens
from provisioning.logins import StoredSession
from provisioning.ports import Clock
from web.cookies import make_value
from web.sessions import digest_token

CODE_LIFETIME = timedelta(seconds=60)
TOKEN_LIFETIME = timedelta(minutes=10)
"""Of access tokens and ID tokens; neither outlives its session."""

# RFC 7636 section 4.2: 43 letters are what a SHA-256 digest comes to.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the provider is made of. `issuer` is the service's address; `random` gives secret octets."""

    issuer: str
    clients: ClientStore
    keys: SigningKeys
    people: People
    clock: Clock
    random: RandomBytes


class StrictRequest(OAuth2Request):  # type: ignore[misc]  # Authlib has no annotations
    """A request whose parameters were read by `api.parameters`, and which came to our public address."""

    def __init__(self, method: str, uri: str, authorization: str, parameters: dict[str, str]) -> None:
        super().__init__(method, uri, headers={})
        self.authorization = authorization
        self.parameters = parameters
        self.payload = BasicOAuth2Payload(parameters)

    @property
    def form(self) -> dict[str, str]:
        return self.parameters


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code that was just used, with the questions that Authlib asks (its `AuthorizationCodeMixin`)."""

    stored: StoredCode
    code_challenge_method: str = "S256"

    @property
    def code_challenge(self) -> str:
        return self.stored.code_challenge

    def get_redirect_uri(self) -> str:
        return self.stored.redirect_uri

    def get_scope(self) -> str:
        return self.stored.scope


@dataclass(frozen=True, slots=True)
class UsedRefresh:
    """A refresh token that was just used (Authlib's `TokenMixin`)."""

    stored: StoredTokens

    def check_client(self, client: Application) -> bool:
        return self.stored.client_id == client.client_id

    def get_scope(self) -> str:
        return self.stored.scope


class ProofKey(CodeChallenge):  # type: ignore[misc]  # Authlib has no annotations
    """PKCE for every client, by S256 alone. Source: RFC 7636; RFC 9700 section 2.1.1"""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def __init__(self) -> None:
        super().__init__(required=True)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:  # noqa: ANN401 - Authlib's own
        asked = grant.request.parameters
        if asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is required: code_challenge_method must be S256")
        if not _CHALLENGE.fullmatch(asked.get("code_challenge", "")):
            raise InvalidRequestError("PKCE is required: code_challenge must be 43 letters of base64url")
        super().validate_code_challenge(grant, redirect_uri)


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no annotations
    """Codes, good once and for a minute. Source: RFC 6749 section 4.1"""

    server: "Server"

    def generate_authorization_code(self) -> str:
        return self.server.new_token()

    def save_authorization_code(self, code: str, request: StrictRequest) -> None:
        session: StoredSession = request.user
        now = self.server.parts.clock()
        self.server.parts.clients.insert_code(
            StoredCode(
                code_sha256=digest_token(code),
                client_id=request.client.stored.client_id,
                organisation_id=session.organisation_id,
                member_id=session.member_id,
                session_id=session.session_id,
                redirect_uri=request.parameters["redirect_uri"],
                scope=known_scope(request.parameters["scope"]),
                nonce=request.parameters.get("nonce", ""),
                code_challenge=request.parameters["code_challenge"],
                auth_time=session.auth_time,
                created_at=now,
                expires_at=now + CODE_LIFETIME,
            )
        )

    def query_authorization_code(self, code: str, client: Application) -> IssuedCode | None:
        """The code, used up by this: it is good once, whatever else of the request is wrong."""
        taken = self.server.parts.clients.take_code(digest_token(code), self.server.parts.clock())
        if taken is None or taken.client_id != client.client_id:
            return None
        return IssuedCode(taken)

    def delete_authorization_code(self, authorization_code: IssuedCode) -> None:
        """It was used up when it was looked up."""

    def authenticate_user(self, authorization_code: IssuedCode) -> Person:
        return self.server.find_person(authorization_code.stored)


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no annotations
    """Refresh tokens, each good once and no longer than the session. Source: RFC 6749 section 6, RFC 9700 4.14.2"""

    INCLUDE_NEW_REFRESH_TOKEN = True
    server: "Server"

    def authenticate_refresh_token(self, refresh_token: str) -> UsedRefresh | None:
        # Before the token is used up: a slip of the pen shall not end the session's tokens.
        if set(self.request.parameters.get("scope", "openid").split()) - set(SCOPES):
            raise InvalidScopeError
        store, now = self.server.parts.clients, self.server.parts.clock()
        taken = store.take_refresh(digest_token(refresh_token), now)
        return None if taken is None else UsedRefresh(taken)

    def authenticate_user(self, refresh_token: UsedRefresh) -> Person:
        return self.server.find_person(refresh_token.stored)

    def revoke_old_credential(self, refresh_token: UsedRefresh) -> None:
        """It was used up when it was looked up; the access token beside it ends by itself, within minutes."""


class IdTokens(OpenIDCode):  # type: ignore[misc]  # Authlib has no annotations
    """ID tokens beside access tokens, at first and at each refresh. Source: OIDC Core 1.0 sections 2, 12.2"""

    def __init__(self, parts: Parts) -> None:
        super().__init__(require_nonce=False)
        self._parts = parts

    def exists_nonce(self, nonce: str, request: StrictRequest) -> bool:  # noqa: ARG002 - Authlib's signature
        """No: a nonce is the application's own, and each code carries one."""
        return False

    def encode_id_token(self, token: dict[str, Any], request: StrictRequest) -> str:
        person: Person = request.user
        now = self._parts.clock()
        claims = {
            "iss": self._parts.issuer,
            "aud": request.client.client_id,
            "iat": int(now.timestamp()),
            "exp": int(_end_of(person, now).timestamp()),
            "auth_time": int(person.session.auth_time.timestamp()),
            "at_hash": create_half_hash(token["access_token"], ALGORITHM).decode(),
            **person_claims(person, is_whole=False),
        }
        code: IssuedCode | None = request.authorization_code
        if code is not None and code.stored.nonce:
            claims["nonce"] = code.stored.nonce
        return self._parts.keys.sign(claims)


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib has no annotations
    """The authorization server. Requests are given to it as StrictRequest, and to its endpoints in no other way."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts
        id_tokens = IdTokens(parts)
        self.register_grant(CodeGrant, [ProofKey(), id_tokens])
        self.register_grant(RefreshGrant, [id_tokens])

    def query_client(self, client_id: str) -> Application | None:
        return find_application(self.parts.clients, client_id)

    def create_oauth2_request(self, request: StrictRequest) -> StrictRequest:
        return request

    def authenticate_client(
        self,
        request: StrictRequest,
        methods: object,  # noqa: ARG002 - Authlib's signature
        endpoint: str = "token",  # noqa: ARG002 - the same
    ) -> Application:
        """Raises InvalidClientError; one for all that can be wrong. Source: RFC 6749 section 5.2"""
        try:
            found, request.auth_method = prove_application(
                self.parts.clients, request.authorization, request.parameters
            )
        except ClientRefusedError as error:
            if error.is_malformed:
                raise InvalidRequestError(
                    "authenticate the application in one way, by Basic or in the body"
                ) from error
            raise InvalidClientError(
                "the application is not known, or its secret is not right", status_code=401
            ) from error
        return found

    def generate_token(
        self,
        grant_type: str,  # noqa: ARG002 - Authlib's signature
        client: Application,  # noqa: ARG002 - the same
        user: Person | None = None,
        scope: str | None = None,
        expires_in: int | None = None,  # noqa: ARG002 - the same
        include_refresh_token: bool = True,  # noqa: ARG002 - the same
    ) -> dict[str, Any]:
        assert user is not None  # noqa: S101 - both grants name the person
        now = self.parts.clock()
        return {
            "token_type": "Bearer",
            "access_token": self.new_token(),
            "expires_in": int((_end_of(user, now) - now).total_seconds()),
            "refresh_token": self.new_token(),
            "scope": known_scope(scope or ""),
        }

    def save_token(self, token: dict[str, Any], request: StrictRequest) -> None:
        """Raises InvalidGrantError when the session has ended, or the code was presented again meanwhile."""
        person: Person = request.user
        before: IssuedCode | UsedRefresh = request.authorization_code or request.refresh_token
        now = self.parts.clock()
        tokens = StoredTokens(
            access_sha256=digest_token(token["access_token"]),
            refresh_sha256=digest_token(token["refresh_token"]),
            code_sha256=before.stored.code_sha256,
            client_id=before.stored.client_id,
            organisation_id=before.stored.organisation_id,
            member_id=before.stored.member_id,
            session_id=before.stored.session_id,
            scope=token["scope"],
            created_at=now,
            access_expires_at=_end_of(person, now),
            expires_at=person.session.expires_at,
        )
        if not self.parts.clients.insert_tokens(tokens):
            raise InvalidGrantError("the session has ended")

    def handle_response(self, status_code: int, payload: Any, headers: Any) -> Response:  # noqa: ANN401 - Authlib's
        """An answer; one that leads back to an application says who we are (RFC 9207 section 2)."""
        named = [
            (name, add_params_to_uri(value, {"iss": self.parts.issuer}) if name == "Location" else value)
            for name, value in headers
        ]
        response: Response = super().handle_response(status_code, payload, named)
        return response

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def new_token(self) -> str:
        """256 random bits."""
        return make_value(self.parts.random(32))

    def find_person(self, stored: StoredCode | StoredTokens) -> Person:
        """Raises InvalidGrantError when the session is over."""
        person = self.parts.people.find(
            stored.organisation_id, stored.member_id, stored.session_id, self.parts.clock()
        )
        if person is None:
            raise InvalidGrantError("the session has ended")
        return person


def _end_of(person: Person, now: datetime) -> datetime:
    return min(now + TOKEN_LIFETIME, person.session.expires_at)
