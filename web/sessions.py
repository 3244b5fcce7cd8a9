"""Who is signed in at the browser that asks. Sessions lie on the server; the browser holds a token, we its digest."""

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

from flask import Request

from provisioning.logins import LoginStore, StoredSession
from provisioning.ports import Clock
from web.cookies import Cookies

LOGIN = "login"
BREAKGLASS = "breakglass"

LoadSession = Callable[[Request], StoredSession | None]
"""The live session of a person who has signed in over a connection; None where there is none."""


def digest_token(token: str) -> bytes:
    """What is stored of a session's token, of a browser's binding or of a test's secret."""
    return sha256(token.encode()).digest()


class Sessions:
    """Finds sessions by their cookie. `idle`: after so long without a use a session is over."""

    def __init__(self, logins: LoginStore, cookies: Cookies, *, clock: Clock, idle: timedelta) -> None:
        self._logins = logins
        self._cookies = cookies
        self._clock = clock
        self._idle = idle

    def load_session(self, request: Request) -> StoredSession | None:
        """The live session of somebody who has signed in over a connection; this is a use of it."""
        return self._load(request, LOGIN)

    def load_breakglass(self, request: Request) -> StoredSession | None:
        """The live session of a recovery code, which opens the sign-on settings and nothing else."""
        return self._load(request, BREAKGLASS)

    def load_any(self, request: Request) -> StoredSession | None:
        """Either of them, for what ends them."""
        return self._load(request, LOGIN, BREAKGLASS)

    def is_live(self, session: StoredSession, now: datetime) -> bool:
        """Whether the session is good now. One of a member who was deactivated has ended with that."""
        return (
            session.ended_at is None and now < session.expires_at and now < session.last_used_at + self._idle
        )

    def _load(self, request: Request, *kinds: str) -> StoredSession | None:
        token = self._cookies.session(request)
        if not token:
            return None
        with self._logins.read() as view:
            session = view.session(digest_token(token))
        now = self._clock()
        if session is None or session.kind not in kinds or not self.is_live(session, now):
            return None
        self._logins.touch_session(session.session_id, now)
        return session
