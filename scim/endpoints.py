"""The SCIM endpoint's place in the Flask application: routes in, answers out, and nothing decided.

The WSGI environment is read directly: parsing a request into objects that nobody looks at costs more than answering.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from flask.blueprints import BlueprintSetupState
from werkzeug.datastructures import Headers
from werkzeug.routing import BaseConverter

from scim.answers import MEDIA_TYPE, Answer, SCIMRequest
from scim.errors import ERROR_URN
from scim.handling import PATTERNS
from scim.resources import dump_json
from scim.serving import Arrival
from web.frame import REQUEST_ID
from web.requests import read_body

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PREFIX = "/scim/v2"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HEADERS = {
    "CONTENT_TYPE": "content-type",
    "HTTP_ACCEPT": "accept",
    "HTTP_IF_MATCH": "if-match",
    "HTTP_IF_NONE_MATCH": "if-none-match",
    "HTTP_USER_AGENT": "user-agent",
}
_REST = "<scim_rest:rest>"
_SEGMENTS_BEFORE = 4
_RETRY_SECONDS = 5
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class _Anything(BaseConverter):
    """What stands behind the last known segment, slashes at its beginning included."""

    regex = ".*?"
    part_isolating = False


Serve = Callable[[Arrival], Answer]
FindAddress = Callable[["WSGIEnvironment"], str]


def make_blueprint(serve: Serve, find_address: FindAddress) -> Blueprint:
    """The routes of every directory. `find_address` says whom a request came from."""
    blueprint = Blueprint("scim", __name__)
    blueprint.record(_add_converter)

    def answer(directory_id: str, **_: str) -> Response:
        environ = request.environ
        arrival = Arrival(
            directory_id=directory_id,
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
            address=find_address(environ),
            request_id=environ.get(REQUEST_ID, ""),
            request=SCIMRequest(
                method=environ["REQUEST_METHOD"],
                path=_path_below(request.path),
                query=_read_query(environ.get("QUERY_STRING", "")),
                headers={name: environ[key] for key, name in _HEADERS.items() if key in environ},
            ),
            read_body=lambda limit: _read_body(environ, limit),
        )
        return _respond(serve(arrival))

    for pattern in (*PATTERNS, _REST):
        path = pattern.replace("*", "<resource_id>")
        blueprint.add_url_rule(
            f"{PREFIX}/<directory_id>/{path}",
            endpoint=_name(pattern),
            view_func=answer,
            methods=_METHODS,
            strict_slashes=False,
            merge_slashes=False,
            provide_automatic_options=False,
        )
    return blueprint


def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["scim_rest"] = _Anything


def _name(pattern: str) -> str:
    """The name of a route in the figures."""
    if pattern == _REST:
        return "unknown"
    return pattern.replace("/*", "_one").replace("/.", "_").replace(".", "")


def render_failure(status: int, detail: str) -> Response:
    """An error that the request is not to blame for, as a SCIM client can read it. Source: RFC 7644 section 3.12"""
    body = dump_json({"schemas": [ERROR_URN], "status": str(int(status)), "detail": detail})
    response = Response(body, status, content_type=MEDIA_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response


def _path_below(path: str) -> str:
    """What stands behind `/scim/v2/<directory-id>/`."""
    parts = path.split("/", _SEGMENTS_BEFORE)
    return parts[_SEGMENTS_BEFORE] if len(parts) > _SEGMENTS_BEFORE else ""


def _read_query(text: str) -> tuple[tuple[str, str], ...]:
    """The parameters of a query. What is no UTF-8 is replaced: a filter with it matches nothing."""
    if not text:
        return ()
    # WSGI hands bytes over as Latin-1.
    text = text if text.isascii() else text.encode("latin-1").decode(errors="replace")
    return tuple(parse_qsl(text, keep_blank_values=True, errors="replace"))


def _read_body(environ: "WSGIEnvironment", limit: int) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdigit():
        return read_body(environ["wsgi.input"], limit, int(length))
    return read_body(environ["wsgi.input"], limit, None) if environ.get("wsgi.input_terminated") else b""


class _Ready(Response):
    """A response whose headers are as they shall be: our addresses are absolute and of ASCII already."""

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:  # noqa: ARG002 - Werkzeug's signature
        return self.headers


def _respond(answer: Answer) -> Response:
    response = _Ready(answer.body, answer.status, answer.headers or None)
    if "Content-Type" not in answer.headers:
        del response.headers["Content-Type"]
    if answer.status in _BODILESS:
        # Source: RFC 9110 section 8.6
        del response.headers["Content-Length"]
    return response
