"""`usher audit list|show`: the record read. A reading is itself recorded."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from audit.body import EventBody
from audit.sentences import describe
from provisioning.ports import EventQuery
from service.cli.frame import UsherCommand, current, organisation_option
from service.cli.output import clean, shown
from service.cli.values import BACK
from service.log_reading import read_log, show_event

F = TypeVar("F", bound=Callable[..., Any])


def filter_options(command: F) -> F:
    """The options that say which events."""
    options = (
        click.option("--action", default="", help="Only this action, or a prefix of it such as 'role.'."),
        click.option(
            "--about", default="", metavar="ID", help="Only events about this member, user, group or rule."
        ),
        click.option("--since", type=BACK, help="From this moment on: 2026-12-31, or 2h for two hours ago."),
        click.option("--until", type=BACK, help="Before this moment."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("list", cls=UsherCommand)
@filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--after", type=click.IntRange(0), default=0, metavar="ROW", help="Go on behind this row.")
@click.option("--oldest-first", is_flag=True, help="In the order in which it happened.")
@click.option(
    "--all", "everything", is_flag=True, help="Also readings of directories that found nothing new."
)
@organisation_option
def list_(
    action: str,
    about: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: int,
    oldest_first: bool,
    everything: bool,
) -> None:
    """List events, the newest first, each in a sentence.

    Readings of a directory that found nothing new are left out and counted, unless --all or --json is given.
    """
    call = current()
    query = EventQuery(
        after=after,
        limit=limit,
        newest_first=not oldest_first,
        action=action,
        about=(about,) if about else (),
        since=since,
        until=until,
    )
    read = read_log(call.administration, query, leave_out_idle=not everything and not call.is_json)
    rows = [
        {
            "row": row,
            "time": body["time"],
            "action": body["action"],
            "outcome": body["outcome"],
            "text": describe(body, names=read.names),
            "id": body["id"],
            "body": body,
        }
        for row, body in read.events
    ]
    call.output.listing(
        rows,
        {"row": "Row", "time": "Time", "action": "Action", "text": "What happened"},
        empty="No such event.",
    )
    if read.left_out:
        call.output.note(f"{read.left_out} readings that found nothing new are left out; --all lists them.")


@click.command(cls=UsherCommand)
@click.argument("event", metavar="EVENT")
@organisation_option
def show(event: str) -> None:
    """Show one event whole, with the events that led to it."""
    call = current()
    read = show_event(call.administration, event)
    (body, *causes) = (body for _, body in read.events)
    if call.is_json:
        call.output.document(
            {
                "body": body,
                "text": describe(body, names=read.names),
                "names": read.names,
                "causes": [{"body": cause, "text": describe(cause, names=read.names)} for cause in causes],
            }
        )
        return
    line = call.output.line
    line(clean(describe(body, names=read.names)))
    for heading, value in _facts(body):
        line(f"  {heading:<9}{clean(value)}")
    for change in body.get("changes", ()):
        before, after = (_value(change[side], read.names) for side in ("before", "after"))
        line(f"  {change['path']}: {before} -> {after}")
    if causes:
        line("It followed from, the latest first:")
    for cause in causes:
        line(f"  {cause['time']}  {clean(describe(cause, names=read.names))}  [{cause['id']}]")


def _facts(body: EventBody) -> list[tuple[str, str]]:
    targets = [f"{target['type']} {target['id']} ({target['role']})" for target in body.get("targets", ())]
    return [
        ("event", body["id"]),
        ("time", body["time"]),
        ("action", f"{body['action']}, {body['outcome']}"),
        ("actor", f"{body['actor']['type']} {body['actor']['id']}"),
        ("about", "; ".join(targets) or "-"),
        ("cause", ", ".join(f"{key} {value}" for key, value in body["cause"].items())),
    ]


def _value(value: object, names: dict[str, str]) -> str:
    if isinstance(value, str):
        return clean(names.get(value, value))
    if isinstance(value, list):
        return ", ".join(_value(item, names) for item in value) or "nothing"
    return shown(value)
