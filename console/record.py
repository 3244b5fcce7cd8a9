"""The page of the record: its routes. It works without scripts; with them times are also the reader's, and new
events come by themselves.
"""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlencode

from flask import Blueprint, Response, request

from console.drawing import Drawing
from console.record_views import Addresses, proof_view, row_view, shown_moment, story_view, table_view
from provisioning.ports import Clock
from web.cookies import Cookies
from web.origins import is_own_form
from web.record import Record, RecordClosedError, RecordError, Records
from web.record_queries import (
    FILTERS,
    Asked,
    AskedWronglyError,
    parse_asked,
    parse_moment,
    parse_number,
    read_once,
)
from web.requests import BodyCutOffError, BodyTooLargeError, read_body
from web.return_paths import RECORD_PATH

_SESSION_SECONDS: Final = 3600
_MOST_FORM_BYTES: Final = 8 * 1024
_LONGEST_TOKEN: Final = 200
_REPORT_ROWS: Final = 1000
_NEWS: Final = 100
_LARGEST: Final = 10**15
_ELSEWHERE = "The form came from another site. Paste your token here."
_WRONG = "This token is not good: it was mistyped, has ended, or was revoked."


class RecordPages(Drawing):
    """Draws the pages of the record. All of their forms lead to us."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self.filters["moment"] = shown_moment

    def draw(self, template: str, said: Mapping[str, object], status: int = HTTPStatus.OK) -> Response:
        return self.page(f"record/{template}.html", status, said, is_own=True)

    def sign_in(self, message: str = "", status: int = HTTPStatus.OK, *, back: str = "") -> Response:
        query = f"?{urlencode({'return': back})}" if back else ""
        said = {
            "message": message,
            "action": f"{self.prefix}{RECORD_PATH}/sign-in",
            "home": f"{self.prefix}/sso/login{query}",
        }
        return self.draw("sign_in", said, status)


def record_pages_blueprint(
    records: Records, pages: RecordPages, clock: Clock, cookies: Cookies, base_url: str
) -> Blueprint:
    """`/console/audit` and what lies below it."""
    blueprint = Blueprint("record_pages", __name__, url_prefix=RECORD_PATH)
    routes = _Routes(records, pages, clock, cookies, base_url)
    blueprint.add_url_rule("", view_func=routes.listing, methods=["GET"])
    blueprint.add_url_rule("/news", view_func=routes.news, methods=["GET"])
    blueprint.add_url_rule("/events/<event_id>", view_func=routes.event, methods=["GET"])
    blueprint.add_url_rule("/events/<event_id>/proof", view_func=routes.proof, methods=["GET"])
    blueprint.add_url_rule("/export", view_func=routes.export, methods=["GET"])
    blueprint.add_url_rule("/reports/<name>", view_func=routes.report, methods=["GET"])
    blueprint.add_url_rule("/sign-in", view_func=routes.ask, methods=["GET"])
    blueprint.add_url_rule("/sign-in", endpoint="enter", view_func=routes.enter, methods=["POST"])
    blueprint.add_url_rule("/sign-out", view_func=routes.leave, methods=["POST"])
    blueprint.register_error_handler(RecordError, routes.refuse)
    blueprint.register_error_handler(AskedWronglyError, routes.correct)
    return blueprint


class _Routes:
    """What each address answers."""

    def __init__(
        self, records: Records, pages: RecordPages, clock: Clock, cookies: Cookies, base_url: str
    ) -> None:
        self._records = records
        self._pages = pages
        self._clock = clock
        self._cookies = cookies
        self._base_url = base_url

    def listing(self) -> Response:
        record = self._records.by_browser(request)
        asked = parse_asked(request.args, now=self._clock(), also=("live",))
        addresses = self._addresses()
        live = request.args.get("live", "")
        if live == "1":
            if asked.after or asked.oldest_first:
                raise AskedWronglyError(
                    ("what is followed begins at its end: leave out 'after' and 'order'",)
                )
            return _send_to(addresses.page(live=record.open_tail(asked)))
        listing = record.poll(_news(asked), live) if live else record.events(asked, folds_runs=True)
        said = {
            "asked": asked,
            "filters": [
                (name, addresses.given[name], addresses.page(**{name: ""}))
                for name in (*FILTERS, "since", "until")
                if addresses.given.get(name)
            ],
            "rows": [row_view(entry, listing.names, addresses) for entry in listing.entries],
            "left_out": listing.left_out,
            "following": ""
            if live or listing.next_row is None
            else addresses.page(after=str(listing.next_row)),
            "live": live,
            "news": addresses.below("/news", live=live),
            "top": max((entry.row for entry in listing.entries), default=0),
        }
        return self._pages.draw("list", {**self._frame(record, addresses), **said})

    def news(self) -> Response:
        """What has come since, as rows of the list; nothing else is on this page."""
        record = self._records.by_browser(request)
        asked = parse_asked(request.args, now=self._clock(), also=("live",))
        listing = record.poll(_news(asked), request.args.get("live", ""))
        addresses = self._addresses()
        rows = [row_view(entry, listing.names, addresses) for entry in listing.entries]
        answer = self._pages.draw("news", {"rows": rows})
        if listing.next_row is not None:
            answer.headers["X-Cut"] = "1"
        answer.headers["X-Last-Row"] = str(max((one.row for one in listing.entries), default=asked.after))
        return answer

    def event(self, event_id: str) -> Response:
        record = self._records.by_browser(request)
        _read(())
        addresses = self._addresses()
        story = story_view(record.event(event_id), addresses)
        return self._pages.draw("event", {**self._frame(record, addresses), "story": story})

    def proof(self, event_id: str) -> Response:
        record = self._records.by_browser(request)
        given, faults = _read(("size",))
        size = parse_number("size", given.get("size", ""), 0, least=1, most=_LARGEST, faults=faults)
        _check(faults)
        addresses = self._addresses()
        proof = proof_view(record.proof(event_id, size or None), addresses)
        return self._pages.draw("proof", {**self._frame(record, addresses), "proof": proof})

    def export(self) -> Response:
        record = self._records.by_browser(request)
        asked = parse_asked(request.args, now=self._clock(), also=("format",))
        made = record.export(asked, request.args.get("format", "jsonl"))
        answer = Response(made.chunks, content_type=made.media_type)
        answer.headers["Content-Disposition"] = f'attachment; filename="{made.file_name}"'
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def report(self, name: str) -> Response:
        record = self._records.by_browser(request)
        given, faults = _read(("since", "until"))
        now = self._clock()
        since, until = self._span(given, now, faults)
        _check(faults)
        made = record.report(name, since, until, _REPORT_ROWS)
        addresses = self._addresses()
        said = {
            "name": name,
            "report": made,
            "table": table_view(made, addresses),
            "since": given.get("since", ""),
            "until": given.get("until", ""),
        }
        return self._pages.draw("report", {**self._frame(record, addresses), **said})

    def ask(self) -> Response:
        return self._pages.sign_in(back=RECORD_PATH)

    def enter(self) -> Response:
        """Take a token once, for an hour."""
        if not is_own_form(request, self._base_url):
            return self._pages.sign_in(_ELSEWHERE, HTTPStatus.BAD_REQUEST, back=RECORD_PATH)
        try:
            value = self._records.open_page(request, _token_of_form())
        except RecordClosedError as error:
            message = _WRONG if error.status == HTTPStatus.UNAUTHORIZED else str(error)
            return self._pages.sign_in(message, error.status, back=RECORD_PATH)
        answer = _send_to(f"{self._pages.prefix}{RECORD_PATH}")
        self._cookies.set_audit(answer, value, seconds=_SESSION_SECONDS)
        return answer

    def leave(self) -> Response:
        answer = _send_to(f"{self._pages.prefix}{RECORD_PATH}/sign-in")
        if is_own_form(request, self._base_url):
            self._records.close_page(request)
            self._cookies.set_audit(answer, "", seconds=0)
        return answer

    def refuse(self, error: RecordError) -> Response:
        if error.status == HTTPStatus.UNAUTHORIZED:
            # Who comes for the first time has done nothing wrong.
            return self._pages.sign_in("", error.status, back=_here())
        back = Addresses(self._pages.prefix, {}).page()
        answer = self._pages.draw("refused", {"faults": (str(error),), "back": back}, error.status)
        if isinstance(error, RecordClosedError) and error.seconds:
            answer.headers["Retry-After"] = str(error.seconds)
        return answer

    def correct(self, error: AskedWronglyError) -> Response:
        back = Addresses(self._pages.prefix, {}).page()
        return self._pages.draw("refused", {"faults": error.faults, "back": back}, HTTPStatus.BAD_REQUEST)

    def _addresses(self) -> Addresses:
        return Addresses(self._pages.prefix, {name: value for name, value in request.args.items() if value})

    def _frame(self, record: Record, addresses: Addresses) -> dict[str, object]:
        """What every page about the record shows around itself."""
        return {
            "organisation": record.organisation,
            "reader": record.reader,
            "ends_session": record.ends_session,
            "reports": record.report_names,
            "formats": record.export_formats,
            "addresses": addresses,
        }

    @staticmethod
    def _span(
        given: dict[str, str], now: datetime, faults: list[str]
    ) -> tuple[datetime | None, datetime | None]:
        return (
            parse_moment("since", given.get("since", ""), now, faults),
            parse_moment("until", given.get("until", ""), now, faults),
        )


def _send_to(url: str) -> Response:
    answer = Response(status=HTTPStatus.SEE_OTHER)
    answer.headers["Location"] = url
    return answer


def _news(asked: Asked) -> Asked:
    return Asked(asked.filters, asked.since, asked.until, asked.after, _NEWS, everything=asked.everything)


def _read(known: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    faults: list[str] = []
    given = read_once(request.args, known, faults)
    if not known and faults:
        faults = [f"'{name[:40]}' is not read here" for name in request.args]
        _check(faults)
    return given, faults


def _check(faults: list[str]) -> None:
    if faults:
        raise AskedWronglyError(tuple(faults))


def _here() -> str:
    """Where to come back to after signing in: this address."""
    query = request.query_string.decode("ascii", "replace")
    return request.path + (f"?{query}" if query else "")


def _token_of_form() -> str:
    """The token that was pasted; empty where the form is not one of ours."""
    length = request.content_length
    try:
        body = read_body(request.environ["wsgi.input"], _MOST_FORM_BYTES, length or 0) if length else b""
    except (BodyTooLargeError, BodyCutOffError):
        return ""
    try:
        fields = parse_qs(body.decode("ascii", "replace"), max_num_fields=5)
    except ValueError:
        return ""
    values = fields.get("token", [""])
    return values[0][:_LONGEST_TOKEN] if len(values) == 1 else ""
