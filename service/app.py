"""The WSGI application: is it alive, is it ready, what does it count. Nothing here reads or changes an organisation.

Every answer carries a request id; an error is a JSON document with that id and nothing from inside.
"""

import hmac
import ipaddress
import re
import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from flask import Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import Forbidden, HTTPException

from service.metrics import Metrics, OrganisationFigures
from service.wiring import Wiring
from storage.errors import StorageError
from storage.migrate import check_version

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Check = Callable[[], str]
"""Gives an empty text when all is well, else what is not."""

_log = structlog.get_logger("usher.web")


def create_app(
    wiring: Wiring, *, metrics: Metrics | None = None, is_scheduler_alive: Check = lambda: ""
) -> Flask:
    """Build the application over a database that is set up. `is_scheduler_alive` tells for `/readyz`."""
    app = Flask("usher", static_folder=None)
    counted = metrics or Metrics()
    counted.registry.register(OrganisationFigures(wiring))
    _add_request_handling(app, wiring, counted)
    _add_errors(app)

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        reasons = [reason for reason in (_check_database(wiring), is_scheduler_alive()) if reason]
        if reasons:
            return jsonify(status="unavailable", reasons=reasons), HTTPStatus.SERVICE_UNAVAILABLE
        return jsonify(status="ready"), HTTPStatus.OK

    @app.get("/metrics")
    def show_metrics() -> Response:
        _check_may_see_metrics(wiring.settings.metrics_token)
        return Response(generate_latest(counted.registry), content_type=CONTENT_TYPE_LATEST)

    return app


def _check_database(wiring: Wiring) -> str:
    try:
        check_version(wiring.database)
    except StorageError as error:
        # The text names the database and the remedy, never a password.
        return str(error)
    return ""


def _check_may_see_metrics(token: str) -> None:
    """Figures name customers: they are for whoever knows the token, and without one for this machine only."""
    if token:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise Forbidden("give the metrics token: Authorization: Bearer TOKEN")
    elif not _is_this_machine(request.remote_addr or "") or "X-Forwarded-For" in request.headers:
        raise Forbidden(
            "metrics are for this machine only; set USHER_METRICS_TOKEN to read them from elsewhere"
        )


def _is_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _add_request_handling(app: Flask, wiring: Wiring, metrics: Metrics) -> None:
    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else wiring.mint.id()
        g.started = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        endpoint = request.endpoint or "unknown"
        seconds = time.perf_counter() - g.started
        metrics.requests.labels(request.method, endpoint, response.status_code).inc()
        metrics.request_seconds.labels(endpoint).observe(seconds)
        response.headers["X-Request-Id"] = g.request_id
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        _log.debug("request", path=request.path, status=response.status_code, seconds=round(seconds, 4))
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id")


def _add_errors(app: Flask) -> None:
    @app.errorhandler(HTTPException)
    def tell(error: HTTPException) -> tuple[Response, int]:
        code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
        return _error(code, error.name, error.description or error.name), code

    @app.errorhandler(StorageError)
    def wait(error: StorageError) -> tuple[Response, int]:
        _log.warning("database not available", path=request.path, reason=str(error))
        code = HTTPStatus.SERVICE_UNAVAILABLE
        return _error(
            code, code.phrase, "the database does not answer as it should; 'usher doctor' says more"
        ), code

    @app.errorhandler(Exception)
    def fail(error: Exception) -> tuple[Response, int]:
        # The boundary: what nobody expected is logged with its trace and told by its reference alone.
        _log.error("request failed", path=request.path, exc_info=error)
        code = HTTPStatus.INTERNAL_SERVER_ERROR
        return _error(
            code, code.phrase, "something went wrong here; the log has it under this request id"
        ), code


def _error(status: int, name: str, message: str) -> Response:
    code = name.lower().replace(" ", "_")
    return jsonify(
        error={"code": code, "message": message, "status": int(status), "request_id": g.request_id}
    )
