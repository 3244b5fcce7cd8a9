"""The pages of signing in, drawn from templates. They work without scripts."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from flask import Blueprint, Response

from console.drawing import FOLDER, Drawing
from web.pages import EnforcementView, LoginReport

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
    return Blueprint("console", __name__, static_folder=str(FOLDER / "static"), static_url_path="/static")


class ConsolePages(Drawing):
    """The port `Pages`."""

    def refused(self, reference: str, retry_url: str) -> Response:
        return self._draw(
            "refused.html", HTTPStatus.BAD_REQUEST, reference=reference, retry_url=retry_url, is_own=True
        )

    def post_form(self, action: str, fields: Mapping[str, str]) -> Response:
        return self._draw("post_form.html", action=action, fields=fields)

    def login_report(self, report: LoginReport) -> Response:
        failed = [step for step in report.steps if step.result == "fail"]
        return self._draw(
            "login_report.html",
            report=report,
            failed=failed,
            titles=_TITLES,
            seat=_SEATS.get(report.seat, ""),
            is_own=True,
        )

    def choose_connection(self, choices: Sequence[tuple[str, str]]) -> Response:
        return self._draw("choose_connection.html", choices=choices)

    def sign_in(
        self, return_to: str, *, is_fresh: bool = False, message: str = "", status: int = HTTPStatus.OK
    ) -> Response:
        return self._draw("sign_in.html", status, return_to=return_to, is_fresh=is_fresh, message=message)

    def signed_in(self) -> Response:
        return self._draw("signed_in.html")

    def signed_out(self, *, message: str = "") -> Response:
        return self._draw("signed_out.html", message=message)

    def recover(self, *, message: str = "", status: int = HTTPStatus.OK) -> Response:
        return self._draw("recover.html", status, message=message, is_own=True)

    def settings(self, view: EnforcementView) -> Response:
        return self._draw("settings.html", view=view)

    def _draw(
        self, template: str, status: int = HTTPStatus.OK, *, is_own: bool = False, **said: object
    ) -> Response:
        return self.page(template, status, said, is_own=is_own)
