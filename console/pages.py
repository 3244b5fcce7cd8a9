"""The pages of signing in, drawn from templates. They work without scripts."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web.pages import EnforcementView, LoginReport

_FOLDER = Path(__file__).parent
_POLICY = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
# Not on every page: a form of ours may end at an identity provider by way of our own answer, and browsers hold the
# whole way against this.
_OWN_FORMS = "; form-action 'self'"

_TITLES = {
    "message": "Message",
    "encryption": "Encryption",
    "signature": "Signature",
    "version": "Version",
    "ids": "IDs",
    "status": "Status",
    "issuer": "Issuer",
    "destination": "Destination",
    "in_response_to": "Answers our request",
    "conditions": "Conditions",
    "audience": "Audience",
    "clock": "Clocks",
    "conditions_time": "Time of the assertion",
    "confirmation": "Confirmation",
    "recipient": "Recipient",
    "confirmation_time": "Time of the confirmation",
    "confirmation_in_response_to": "Confirms our request",
    "unsolicited": "No other request",
    "validity": "Length of validity",
    "authn_statement": "Sign-in statement",
    "authn_instant": "Time of the sign-in",
    "session": "Session of the provider",
    "name_id": "NameID",
    "attributes": "Attributes",
    "identity": "Identity key",
    "attributes_map": "Person",
    "member": "Member",
}
_SEATS = {
    "seated": "The person has a seat, or would get one.",
    "waiting": "No seat is free: the person would wait for one.",
    "none": "The person has no access, and so needs no seat.",
}


def make_blueprint() -> Blueprint:
    """What the pages are drawn with."""
    return Blueprint("console", __name__, static_folder=str(_FOLDER / "static"), static_url_path="/static")


class ConsolePages:
    """The port `Pages`. `base_url`: what our addresses begin with."""

    def __init__(self, base_url: str) -> None:
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["plain"] = lambda words: words.replace("+00:00", " UTC")

    def refused(self, reference: str, retry_url: str) -> Response:
        return self._page(
            "refused.html", HTTPStatus.BAD_REQUEST, reference=reference, retry_url=retry_url, is_own=True
        )

    def post_form(self, action: str, fields: Mapping[str, str]) -> Response:
        return self._page("post_form.html", action=action, fields=fields)

    def login_report(self, report: LoginReport) -> Response:
        failed = [step for step in report.steps if step.result == "fail"]
        return self._page(
            "login_report.html",
            report=report,
            failed=failed,
            titles=_TITLES,
            seat=_SEATS.get(report.seat, ""),
            is_own=True,
        )

    def choose_connection(self, choices: Sequence[tuple[str, str]]) -> Response:
        return self._page("choose_connection.html", choices=choices)

    def sign_in(
        self, return_to: str, *, is_fresh: bool = False, message: str = "", status: int = HTTPStatus.OK
    ) -> Response:
        return self._page("sign_in.html", status, return_to=return_to, is_fresh=is_fresh, message=message)

    def signed_in(self) -> Response:
        return self._page("signed_in.html")

    def signed_out(self, *, message: str = "") -> Response:
        return self._page("signed_out.html", message=message)

    def recover(self, *, message: str = "", status: int = HTTPStatus.OK) -> Response:
        return self._page("recover.html", status, message=message, is_own=True)

    def settings(self, view: EnforcementView) -> Response:
        return self._page("settings.html", view=view)

    def _page(
        self, template: str, status: int = HTTPStatus.OK, *, is_own: bool = False, **said: object
    ) -> Response:
        text = self._templates.get_template(template).render(prefix=self._prefix, **said)
        response = Response(text, status, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _POLICY + (_OWN_FORMS if is_own else "")
        # With no-referrer, a browser would say of our own forms that they come from nowhere.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response
