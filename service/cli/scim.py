"""`usher scim`: what identity providers asked, what they were answered, and why."""

from datetime import datetime
from urllib.parse import unquote_plus

import click
import orjson

from provisioning.resources import LoggedRequest, RequestQuery
from scim.profiles import EXPLANATIONS, Leniency
from service.cli.frame import Invocation, UsherGroup, current, organisation_option
from service.cli.output import clean
from service.cli.values import BACK
from service.names import find_push_directory, is_id
from service.request_reading import (
    Replay,
    apply_request,
    list_requests,
    replay_request,
    show_request,
)
from service.scim_explanations import Explanation, explain

_MICROSECONDS = 1000


@click.group(cls=UsherGroup)
def scim() -> None:
    """Requests of identity providers."""


@scim.command()
@click.argument("directory", required=False, default="")
@click.option("--failed", is_flag=True, help="Only answers of 400 and above.")
@click.option("--status", type=click.IntRange(100, 599), help="Only this status.")
@click.option("--method", default="", help="Only this method.")
@click.option("--text", default="", help="Only with this text, as written, in path, query, detail or a body.")
@click.option("--since", type=BACK, help="From this moment on: 2026-12-31, or 2h for two hours ago.")
@click.option("--until", type=BACK, help="Before this moment.")
@click.option("--before", default="", metavar="ID", help="Go on behind this request.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@organisation_option
def log(
    directory: str,
    failed: bool,
    status: int | None,
    method: str,
    text: str,
    since: datetime | None,
    until: datetime | None,
    before: str,
    limit: int,
) -> None:
    """List the requests of a SCIM directory, the newest first."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        known = find_push_directory(reader, directory)
    if before and not is_id(before):
        raise click.BadParameter(f"'{before}' is no id of a request", param_hint="--before")
    query = RequestQuery(
        known.directory_id,
        limit=limit,
        before=before.lower(),
        failed_only=failed,
        status=status,
        method=method.upper(),
        text=text,
        since=since,
        until=until,
    )
    rows = [_listed(logged) for logged in list_requests(administration, query)]
    call.output.listing(
        rows,
        {
            "at": "Time",
            "request": "Request",
            "status": "Status",
            "milliseconds": "ms",
            "changed": "Events",
            "leniencies": "Leniencies",
            "detail": "Detail",
            "id": "Id",
        },
        empty="No such request.",
    )


def _listed(logged: LoggedRequest) -> dict[str, object]:
    query = f"?{unquote_plus(logged.query)}" if logged.query else ""
    return {
        "id": logged.id,
        "request_id": logged.request_id,
        "at": logged.at,
        "request": f"{logged.method} /{logged.path}{query}",
        "method": logged.method,
        "path": logged.path,
        "query": logged.query,
        "status": logged.status,
        "scim_type": logged.scim_type,
        "detail": logged.detail,
        "milliseconds": round(logged.duration_us / _MICROSECONDS, 1),
        "address": logged.address,
        "token": logged.token_prefix,
        "profile": logged.profile,
        "leniencies": list(logged.leniencies),
        "changed": len(logged.events),
    }


@scim.command()
@click.argument("request")
@organisation_option
def show(request: str) -> None:
    """Show one request whole: both bodies, what it changed, and why it was answered so."""
    call = current()
    shown = show_request(call.administration, request)
    logged = shown.request
    explanation = explain(logged.status, logged.scim_type, logged.detail)
    if call.is_json:
        call.output.document(
            {
                **_listed(logged),
                "directory": shown.directory,
                "headers": dict(logged.headers),
                "request_body": _parsed(logged.request_body),
                "answer_body": _parsed(logged.answer_body),
                "events": [{"id": one, "time": time, "text": text} for one, time, text in shown.events],
                "explanation": _explained(explanation),
            }
        )
        return
    line = call.output.line
    line(clean(f"{_listed(logged)['request']} -> {logged.status} {logged.scim_type}".rstrip()))
    call.output.record({**_listed(logged), "directory": shown.directory}, _FACTS)
    for name, value in logged.headers.items():
        line(clean(f"  {name}: {value}"))
    for heading, body in (("Request", logged.request_body), ("Answer", logged.answer_body)):
        if body is not None:
            line(f"{heading}:")
            line(_pretty(body))
    for name in logged.leniencies:
        line(clean(f"Leniency {name}: {leniency_text(name)}"))
    line("It changed nothing." if not shown.events else "It changed:")
    for event_id, _, text in shown.events:
        line(f"  {clean(text)}  [{event_id}]")
    _show_explanation(call, explanation)


_FACTS = {
    "id": "Id",
    "request_id": "Request id",
    "at": "Time",
    "directory": "Directory",
    "profile": "Profile",
    "token": "Token",
    "address": "Address",
    "milliseconds": "Milliseconds",
    "detail": "Detail",
}


def leniency_text(name: str) -> str:
    """What a leniency let through; its name alone where a later release knows another."""
    known = {leniency.value: leniency for leniency in Leniency}
    return EXPLANATIONS[known[name]].text if name in known else "of another release"


def _explained(explanation: Explanation | None) -> dict[str, str] | None:
    if explanation is None:
        return None
    return {
        "title": explanation.title,
        "meaning": explanation.meaning,
        "remedy": explanation.remedy,
    }


def _show_explanation(call: Invocation, explanation: Explanation | None) -> None:
    if explanation is not None:
        call.output.line(f"{explanation.title}. {explanation.meaning}")
        call.output.line(f"What to do: {explanation.remedy}")


def _parsed(body: str | None) -> object:
    """A body as a document of its own where it is one."""
    if body is None:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body


def _pretty(body: str) -> str:
    parsed = _parsed(body)
    text = parsed if isinstance(parsed, str) else orjson.dumps(parsed, option=orjson.OPT_INDENT_2).decode()
    return "\n".join(f"  {clean(part)}" for part in text.splitlines())


@scim.command()
@click.argument("request")
@click.option(
    "--apply", "is_applied", is_flag=True, help="Do it again, as yourself; otherwise nothing is kept."
)
@organisation_option
def replay(request: str, is_applied: bool) -> None:
    """Say what a logged request would do and be answered now. Nothing is changed without --apply."""
    call = current()
    told = (apply_request if is_applied else replay_request)(call.administration, request)
    explanation = explain(told.status, told.scim_type, told.detail) if told.status >= 400 else None
    if call.is_json:
        call.output.document(_replayed(told, is_applied=is_applied))
        return
    line = call.output.line
    logged = told.request
    line(clean(f"{_listed(logged)['request']}, answered {logged.status} then, {told.status} now."))
    if told.is_redacted:
        line("Values that the log did not keep are marks in it; what they would do is not seen.")
    for name in told.leniencies:
        line(clean(f"Leniency {name}: {leniency_text(name)}"))
    if is_applied:
        line(f"It was done as request {told.request_id}.")
    heading = "It changed:" if is_applied else "It would change:"
    line(heading if told.events else heading.replace(":", " nothing."))
    for text in told.events:
        line(f"  {clean(text)}")
    if told.body:
        line("Answer:")
        line(_pretty(told.body))
    _show_explanation(call, explanation)


def _replayed(told: Replay, *, is_applied: bool) -> dict[str, object]:
    return {
        "id": told.request.id,
        "directory": told.directory,
        "applied": is_applied,
        "request_id": told.request_id,
        "status_then": told.request.status,
        "status": told.status,
        "scim_type": told.scim_type,
        "answer_body": _parsed(told.body) if told.body else None,
        "leniencies": list(told.leniencies),
        "events": list(told.events),
        "redacted": told.is_redacted,
        "explanation": _explained(explain(told.status, told.scim_type, told.detail)),
    }
