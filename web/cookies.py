"""The cookies of signing in: the session, and what binds a login to the browser that began it.

Over https both are bound to this host by the prefix `__Host-` (RFC 6265bis section 4.1.3.2). Over http, where a
browser takes no Secure cookie (development, the demo), they do without.
"""

import base64
import re

from flask import Request, Response

_SESSION = "usher_session"
_LOGIN = "usher_login"
_TEST = "usher_test"
_AUDIT = "usher_audit"
# A value of ours: 32 random octets, base64url without padding.
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
TOKEN_OCTETS = 32


def make_value(random_octets: bytes) -> str:
    """The value of a cookie, of 32 random octets."""
    if len(random_octets) != TOKEN_OCTETS:
        raise ValueError(f"a cookie's value is made of {TOKEN_OCTETS} octets, not {len(random_octets)}")
    return base64.urlsafe_b64encode(random_octets).decode().rstrip("=")


class Cookies:
    """The cookies of a service whose addresses begin with `base_url`."""

    def __init__(self, base_url: str) -> None:
        self._is_secure = base_url.startswith("https:")
        self._prefix = "__Host-" if self._is_secure else ""

    def session(self, request: Request) -> str:
        """The token of the session; empty when the browser brings none that could be one."""
        return self._read(request, _SESSION)

    def login(self, request: Request) -> str:
        """What binds logins to this browser."""
        return self._read(request, _LOGIN)

    def test(self, request: Request) -> str:
        """The secret of the test login that this browser has opened."""
        return self._read(request, _TEST)

    def audit(self, request: Request) -> str:
        """What an auditor's token was exchanged for."""
        return self._read(request, _AUDIT)

    def set_session(self, response: Response, value: str) -> None:
        """Ends with the browser at the latest. Lax: it comes along when somebody is sent here, and with no form."""
        self._set(response, _SESSION, value, same_site="Lax")

    def set_login(self, response: Response, value: str, *, seconds: int) -> None:
        """None: the response of an identity provider is a form of its site."""
        self._set(response, _LOGIN, value, same_site="None" if self._is_secure else "Lax", seconds=seconds)

    def set_test(self, response: Response, value: str, *, seconds: int) -> None:
        self._set(response, _TEST, value, same_site="Lax", seconds=seconds)

    def set_audit(self, response: Response, value: str, *, seconds: int) -> None:
        """Strict: nobody is led to the record from elsewhere with it. Without a value it is taken back."""
        self._set(response, _AUDIT, value, same_site="Strict", seconds=seconds if value else 0)

    def clear_session(self, response: Response) -> None:
        self._set(response, _SESSION, "", same_site="Lax", seconds=0)

    def _read(self, request: Request, name: str) -> str:
        value = request.cookies.get(f"{self._prefix}{name}", "")
        return value if _VALUE.fullmatch(value) else ""

    def _set(
        self, response: Response, name: str, value: str, *, same_site: str, seconds: int | None = None
    ) -> None:
        response.set_cookie(
            f"{self._prefix}{name}",
            value,
            max_age=seconds,
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite=same_site,
        )
