"""The addresses of single sign-on: routes in, answers out, and nothing decided."""

from collections.abc import Callable

from flask import Blueprint, Response, request

from saml import consuming, home, logging_out, login_tests, recovery, starting
from saml.addresses import sp_metadata
from saml.errors import Denial, LoginDenied
from saml.refusals import Refusals
from saml.serving import Found, Parts, find_connection, known
from web.origins import is_own_form

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_METADATA = "application/samlmetadata+xml"


def make_blueprint(parts: Parts) -> Blueprint:
    """The routes of every connection, and those before a connection is known."""
    blueprint = Blueprint("sso", __name__)
    refusals = Refusals(parts)

    def route(path: str, name: str, view: Callable[..., Response]) -> None:
        blueprint.add_url_rule(
            path,
            endpoint=name,
            view_func=view,
            methods=_METHODS,
            strict_slashes=False,
            merge_slashes=False,
            provide_automatic_options=False,
        )

    def refuse_method(found: Found) -> Response:
        return refusals.turn_away(request, LoginDenied(Denial.MALFORMED, check="method"), found)

    def metadata(connection_id: str) -> Response:
        found = find_connection(parts, connection_id)
        if request.method not in {"GET", "HEAD"}:
            return refuse_method(found)
        try:
            connection = known(found)
        except LoginDenied as denied:
            return refusals.turn_away(request, denied, found)
        return Response(sp_metadata(connection, parts.base_url), content_type=_METADATA)

    def login(connection_id: str) -> Response:
        found = find_connection(parts, connection_id)
        if request.method != "GET":
            return refuse_method(found)
        try:
            return starting.start_login(parts, request, found)
        except LoginDenied as denied:
            return refusals.turn_away(request, denied, found)

    def acs(connection_id: str) -> Response:
        return consuming.consume(parts, refusals, request, connection_id)

    def slo(connection_id: str) -> Response:
        return logging_out.receive(parts, refusals, request, connection_id)

    def test(test_id: str) -> Response:
        try:
            if request.method != "GET":
                raise LoginDenied(Denial.MALFORMED, check="method")
            return login_tests.open_test(parts, request, test_id)
        except LoginDenied as denied:
            return refusals.turn_away(request, denied, login_tests.find_tested(parts, test_id))

    def elsewhere(rest: str = "") -> Response:
        del rest
        return refusals.turn_away(
            request, LoginDenied(Denial.CONNECTION_UNKNOWN, check="path"), Found(None, None)
        )

    def sso_login() -> Response:
        if request.method == "POST":
            return home.find_home(parts, request)
        return home.ask_for_mail(parts, request)

    def sso_logout() -> Response:
        if request.method == "POST" and is_own_form(request, parts.base_url):
            return logging_out.sign_out(parts, request)
        is_in = parts.sessions.load_any(request) is not None
        return parts.pages.signed_in() if is_in else parts.pages.signed_out()

    def sso_recovery() -> Response:
        if request.method == "POST":
            return recovery.use_code(parts, refusals, request)
        return parts.pages.recover()

    def sso_settings() -> Response:
        if request.method == "POST":
            return recovery.change_settings(parts, request)
        return recovery.show_settings(parts, request)

    route("/saml/<connection_id>/metadata", "metadata", metadata)
    route("/saml/<connection_id>/login", "login", login)
    route("/saml/<connection_id>/acs", "acs", acs)
    route("/saml/<connection_id>/slo", "slo", slo)
    route("/saml/test/<test_id>", "test", test)
    route("/saml/<path:rest>", "unknown", elsewhere)
    route("/sso/login", "home", sso_login)
    route("/sso/logout", "logout", sso_logout)
    route("/sso/recovery", "recovery", sso_recovery)
    route("/sso/settings", "settings", sso_settings)
    return blueprint
