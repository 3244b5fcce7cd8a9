"""The WSGI application: is it alive, is it ready, what does it count. Nothing here reads or changes an organisation.

Every answer carries a request id; an error is a JSON document with that id and nothing from inside.
"""

import hmac
import ipaddress
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

import structlog
from flask import Flask, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import Forbidden, HTTPException

from console.pages import make_blueprint as console_blueprint
from saml.endpoints import make_blueprint as sso_blueprint
from saml.logging_out import ask_provider
from saml.self_check import check_saml_libraries
from scim.endpoints import render_failure
from scim.resources import PREFIX
from service.host_webhooks import note_host_pull
from service.log_publication import SealFigures, log_blueprint
from service.metrics import Metrics, OrganisationFigures
from service.oidc_edge import oidc_blueprint
from service.record_edge import record_blueprints
from service.request_log import RequestLog
from service.saml_edge import saml_parts
from service.scim_edge import scim_blueprint
from service.stream_health import StreamFigures
from service.streams import note_pull
from service.wiring import Wiring
from storage.errors import StorageError
from storage.host_webhooks import SQLHostWebhookStore
from storage.migrate import check_version
from storage.streams import SQLStreamStore
from streams.host_pull import host_blueprint
from streams.pull import pull_blueprint
from web.frame import RequestFrame, current_request_id
from web.limits import Timer

REQUEST_LOG = "usher.request_log"

Check = Callable[[], str]
"""Gives an empty text when all is well, else what is not."""

_log = structlog.get_logger("usher.web")


def create_app(
    wiring: Wiring,
    *,
    metrics: Metrics | None = None,
    requests: RequestLog | None = None,
    is_scheduler_alive: Check = lambda: "",
    timer: Timer = time.monotonic,
) -> Flask:
    """Build the application over a database that is set up. `is_scheduler_alive` tells for `/readyz`.

    `timer` is what limits of how often somebody may ask go by.

    `requests` is started and stopped by whoever made it; without one there is a log without a thread, whose `flush`
    writes. It is found in the application's extensions under `REQUEST_LOG`.
    """
    check_saml_libraries()
    app = Flask("usher", static_folder=None)
    counted = metrics or Metrics()
    app.extensions[REQUEST_LOG] = requests or make_request_log(wiring, counted)
    counted.registry.register(OrganisationFigures(wiring))
    counted.registry.register(SealFigures(wiring))
    counted.registry.register(StreamFigures(wiring))
    _add_errors(app)
    app.wsgi_app = _frame(app, wiring, counted)  # type: ignore[method-assign]  # Flask's own way of wrapping it

    app.register_blueprint(scim_blueprint(wiring, app.extensions[REQUEST_LOG], timer=timer))
    app.register_blueprint(console_blueprint())
    sso = saml_parts(wiring, timer=timer)
    app.register_blueprint(sso_blueprint(sso))
    app.register_blueprint(oidc_blueprint(wiring, lead_to_provider=partial(ask_provider, sso)))
    app.register_blueprint(log_blueprint(wiring))
    for blueprint in record_blueprints(wiring, timer=timer):
        app.register_blueprint(blueprint)
    app.register_blueprint(pull_blueprint(SQLStreamStore(wiring.database), note_pull(wiring), wiring.clock))
    hosts = SQLHostWebhookStore(wiring.database)
    app.register_blueprint(host_blueprint(hosts, note_host_pull(wiring), wiring.clock))

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


def make_request_log(wiring: Wiring, metrics: Metrics) -> RequestLog:
    """The log of SCIM requests, not started yet."""
    return RequestLog(wiring.pushes, dropped=metrics.scim_log_dropped.inc)


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


def _frame(app: Flask, wiring: Wiring, metrics: Metrics) -> RequestFrame:
    def tell(method: str, endpoint: str, status: int, seconds: float) -> None:
        metrics.count_request(method, endpoint, status, seconds)
        _log.debug("request", method=method, endpoint=endpoint, status=status, seconds=round(seconds, 4))

    # Asking the logger for each request whether it is to say something costs more than all the rest.
    observe = tell if wiring.settings.log_level == "debug" else metrics.count_request
    return RequestFrame(app.wsgi_app, new_id=wiring.mint.id, observe=observe, timer=time.perf_counter)


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
    if request.path.startswith(f"{PREFIX}/"):
        return render_failure(status, message)
    code = name.lower().replace(" ", "_")
    return jsonify(
        error={
            "code": code,
            "message": message,
            "status": int(status),
            "request_id": current_request_id.get(),
        }
    )
