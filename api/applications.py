"""Host applications as the protocol sees them: found, told apart by their secrets, and asked what they may do."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from provisioning.clients import ClientStore, StoredClient

SCOPES = ("openid", "profile", "email", "offline_access")
_NO_SECRET = bytes(32)


class ClientRefusedError(Exception):
    """The application did not prove itself. `is_malformed`: by two ways at once, or none that can be read."""

    def __init__(self, *, is_malformed: bool = False) -> None:
        super().__init__("the application is not known, or its secret is not right")
        self.is_malformed = is_malformed


@dataclass(frozen=True, slots=True)
class Application:
    """A registered application, with the questions that Authlib asks (its `ClientMixin`)."""

    stored: StoredClient

    @property
    def client_id(self) -> str:
        return self.stored.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        """What of the scope is known. OpenID Connect Core 1.0 section 3.1.2.1: the rest is ignored."""
        return known_scope(scope or "")

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Letter by letter. Source: RFC 9700 section 2.1"""
        return redirect_uri in self.stored.redirect_uris

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


def known_scope(scope: str) -> str:
    """The scopes that we know, in our order."""
    asked = set(scope.split(" "))
    return " ".join(each for each in SCOPES if each in asked)


def find_application(store: ClientStore, client_id: str) -> Application | None:
    stored = store.client(client_id) if client_id else None
    return None if stored is None else Application(stored)


def prove_application(
    store: ClientStore, authorization: str, parameters: Mapping[str, str]
) -> tuple[Application, str]:
    """The application that asks, and how it has proven itself (RFC 7591's words). Raises ClientRefusedError.

    Which of the two, id or secret, is wrong shows neither in the answer nor in its time.
    Source: RFC 6749 section 2.3
    """
    method, client_id, secret = _credentials(authorization, parameters)
    found = find_application(store, client_id)
    expected = found.stored.secret_sha256 if found is not None else None
    is_right = hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), expected or _NO_SECRET)
    if found is None or (expected is None) != (method == "none") or (expected is not None and not is_right):
        raise ClientRefusedError
    return found, method


def _credentials(authorization: str, parameters: Mapping[str, str]) -> tuple[str, str, str]:
    in_body, secret = parameters.get("client_id", ""), parameters.get("client_secret", "")
    if not authorization:
        return ("client_secret_post" if secret else "none"), in_body, secret
    scheme, _, given = authorization.partition(" ")
    if secret or scheme.lower() != "basic":
        raise ClientRefusedError(is_malformed=True)
    try:
        text = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise ClientRefusedError from None
    name, colon, password = text.partition(":")
    # RFC 6749 section 2.3.1: both are form-encoded first.
    client_id = unquote_plus(name)
    if not colon or (in_body and in_body != client_id):
        raise ClientRefusedError
    return "client_secret_basic", client_id, unquote_plus(password)
