"""What the sign-on edges ask of whoever draws pages. The console draws them; `service` hands it over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flask import Response


@dataclass(frozen=True, slots=True)
class ReportStep:
    """One check of a test login: `result` is pass, fail or not_reached."""

    name: str
    result: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class LoginReport:
    """What an administrator is shown of a test login: text, all of it to be escaped. `xml` goes within the hour."""

    connection: str
    has_passed: bool
    steps: Sequence[ReportStep]
    attributes: Sequence[tuple[str, Sequence[str]]] = ()
    member: str = ""
    access: Sequence[str] = ()
    seat: str = ""
    notes: Sequence[str] = ()
    xml: str = field(repr=False, default="")
    decrypted_xml: str = field(repr=False, default="")


class Pages(Protocol):
    """Whole answers, with no-store and the headers of a page."""

    def refused(self, reference: str, retry_url: str) -> Response:
        """The one page for every cause, status 400: reference, a new login, what lost cookies are. Nothing else."""

    def post_form(self, action: str, fields: Mapping[str, str]) -> Response:
        """A form that posts itself to another site, with a button where scripts do not run."""

    def login_report(self, report: LoginReport) -> Response: ...

    def choose_connection(self, choices: Sequence[tuple[str, str]]) -> Response:
        """Names and addresses, where a domain has several connections."""

    def sign_in(self, return_to: str, *, message: str = "", status: int = 200) -> Response:
        """The form that asks for an e-mail address."""

    def signed_out(self) -> Response: ...
