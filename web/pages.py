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


@dataclass(frozen=True, slots=True)
class EnforcementView:
    """What the sign-on settings show. `state`: none, enforced, suspended; moments and reasons are texts."""

    organisation: str
    state: str
    connection: str = ""
    since: str = ""
    by: str = ""
    suspended_since: str = ""
    suspended_reason: str = ""
    session_ends: str = ""


class Pages(Protocol):
    """Whole answers, with no-store and the headers of a page."""

    def refused(self, reference: str, retry_url: str) -> Response:
        """The one page for every cause, status 400: reference, a new login, what lost cookies are. Nothing else."""

    def post_form(self, action: str, fields: Mapping[str, str]) -> Response:
        """A form that posts itself to another site, with a button where scripts do not run."""

    def login_report(self, report: LoginReport) -> Response: ...

    def choose_connection(self, choices: Sequence[tuple[str, str]]) -> Response:
        """Names and addresses, where a domain has several connections."""

    def sign_in(
        self, return_to: str, *, is_fresh: bool = False, message: str = "", status: int = 200
    ) -> Response:
        """The form that asks for an e-mail address."""

    def signed_in(self) -> Response:
        """Somebody is signed in and came for nothing else: with a button that signs out."""

    def signed_out(self, *, message: str = "") -> Response: ...

    def recover(self, *, message: str = "", status: int = 200) -> Response:
        """The form that asks for a recovery code."""

    def settings(self, view: EnforcementView) -> Response:
        """What a recovery code opens: whether signing in is obligatory, with buttons that change it."""
