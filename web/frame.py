"""What surrounds every answer: a request id, security headers, a count. As WSGI, since it is paid by each request.

Flask's own hooks would do the same at several times the cost: a header set on its answer object is a search in a
list, and a hook is a call with its context looked up anew.
"""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING

from web.requests import is_request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_ID = "usher.request_id"
"""The key of the request id in the WSGI environment."""

SECURITY_HEADERS = (
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""On every answer, unless it has its own of that name."""

_NAMES = frozenset(name.lower() for name, _ in SECURITY_HEADERS)
_FAILED = int(HTTPStatus.INTERNAL_SERVER_ERROR)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

current_request_id: ContextVar[str] = ContextVar("usher_request_id", default="")
"""The id of the request that this thread is answering, for the log; empty outside of one."""

Observe = Callable[[str, str, int, float], None]
"""Told of each answer: method, endpoint, status, seconds. Methods and endpoints are of a closed set."""


class RequestFrame:
    """Wraps an application. `new_id` makes ids for requests that bring none; `timer` counts seconds."""

    def __init__(
        self,
        application: "WSGIApplication",
        *,
        new_id: Callable[[], str],
        observe: Observe,
        timer: Callable[[], float],
    ) -> None:
        self._application = application
        self._new_id = new_id
        self._observe = observe
        self._timer = timer

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        started = self._timer()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if given and is_request_id(given) else self._new_id()
        environ[REQUEST_ID] = request_id
        answered, endpoint = _FAILED, "unknown"

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> Callable[[bytes], object]:
            nonlocal answered, endpoint
            answered = int(status[:3])
            # Werkzeug leaves the request that it made in the environment, and Flask takes it out again at the end.
            endpoint = getattr(environ.get("werkzeug.request"), "endpoint", None) or "unknown"
            own = [name for name, _ in headers if name.lower() in _NAMES]
            headers.extend(_without(own) if own else SECURITY_HEADERS)
            headers.append(("X-Request-Id", request_id))
            return start_response(status, headers, exc_info)  # type: ignore[arg-type]  # handed on as it came

        before = current_request_id.set(request_id)
        try:
            return self._application(environ, start)
        finally:
            current_request_id.reset(before)
            method = environ["REQUEST_METHOD"]
            told = method if method in _METHODS else "OTHER"
            self._observe(told, endpoint, answered, self._timer() - started)


def _without(names: Iterable[str]) -> list[tuple[str, str]]:
    taken = {name.lower() for name in names}
    return [header for header in SECURITY_HEADERS if header[0].lower() not in taken]
