"""`usher audit list|show`: the record read. A reading is itself recorded."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, Unpack

import click

from audit.body import EventBody
from audit.events import CAUSE_KINDS, Outcome
from audit.sentences import describe
from audit.terms import ACTOR_TYPES
from service.cli.frame import UsherCommand, current, organisation_option
from service.cli.output import clean, shown
from service.cli.values import BACK
from service.log_filters import EventFilter, resolve_filter
from service.log_reading import read_log, show_event

F = TypeVar("F", bound=Callable[..., Any])


def filter_options(command: F) -> F:
    """The options that say which events."""
    options = (
        click.option("--action", default="", help="Only this action, or a prefix of it such as 'role.'."),
        click.option(
            "--about",
            default="",
            metavar="ID|MAIL",
            help="Only events about this member, user, rule or other thing.",
        ),
        click.option(
            "--actor", default="", metavar="ID", help="Only what this administrator, run or token did."
        ),
        click.option(
            "--actor-type", type=click.Choice(ACTOR_TYPES), help="Only what actors of this kind did."
        ),
        click.option(
            "--group", default="", help="Only events about this group, or that came about through it."
        ),
        click.option(
            "--rule", default="", metavar="ID", help="Only events about this rule, or that came about by it."
        ),
        click.option("--role", default="", help="Only events that speak of this role."),
        click.option(
            "--outcome", type=click.Choice([one.value for one in Outcome]), help="Only with this outcome."
        ),
        click.option("--cause", type=click.Choice(sorted(CAUSE_KINDS)), help="Only what came about so."),
        click.option("--run", default="", metavar="ID", help="Only events of this synchronisation run."),
        click.option("--request", default="", metavar="ID", help="Only events of this request."),
        click.option(
            "--address",
            default="",
            metavar="ADDRESS",
            help="Only what came from this address, IPv4 or IPv6, to the letter.",
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
def list_(limit: int, after: int, oldest_first: bool, everything: bool, **said: Unpack[EventFilter]) -> None:
    """List events, the newest first, each in a sentence.

    Readings of a directory that found nothing new are left out and counted, unless --all or --json is given.
    """
    call = current()
    with call.administration.read() as reader:
        query = resolve_filter(reader, call.wiring.models, said)
    query = replace(query, after=after, limit=limit, newest_first=not oldest_first)
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
@click.option("--children", is_flag=True, help="Also the events that this one caused.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Of those caused."
)
@organisation_option
def show(event: str, children: bool, limit: int) -> None:
    """Show one event whole, with the events that led to it."""
    call = current()
    read = show_event(call.administration, event, children=limit if children else 0)
    body, names = read.event, read.names
    if call.is_json:
        document = {
            "body": body,
            "text": describe(body, names=names),
            "names": names,
            "causes": _told(read.causes, names),
        }
        call.output.document(document | ({"children": _told(read.children, names)} if children else {}))
        return
    line = call.output.line
    line(clean(describe(body, names=names)))
    for heading, value in _facts(body, names):
        line(f"  {heading:<9}{clean(value)}")
    for change in body.get("changes", ()):
        before, after = (_value(change[side], names) for side in ("before", "after"))
        line(f"  {change['path']}: {before} -> {after}")
    if read.causes:
        line("It followed from, the latest first:")
    for cause in read.causes:
        line(f"  {cause['time']}  {clean(describe(cause, names=names))}  [{cause['id']}]")
    if children:
        line("It caused:" if read.children else "It caused nothing.")
    for child in read.children:
        line(f"  {child['time']}  {clean(describe(child, names=names))}  [{child['id']}]")
    if read.has_more:
        line(f"  There are more; --limit shows more than {limit}.")


def _told(bodies: Sequence[EventBody], names: dict[str, str]) -> list[dict[str, object]]:
    return [{"body": body, "text": describe(body, names=names)} for body in bodies]


def _facts(body: EventBody, names: dict[str, str]) -> list[tuple[str, str]]:
    address = body.get("context", {}).get("address", "")
    targets = [f"{target['type']} {target['id']} ({target['role']})" for target in body.get("targets", ())]
    return [
        ("event", body["id"]),
        ("time", body["time"]),
        ("action", f"{body['action']}, {body['outcome']}"),
        ("actor", f"{body['actor']['type']} {body['actor']['id']}"),
        ("about", "; ".join(targets) or "-"),
        ("cause", ", ".join(f"{key} {value}" for key, value in body["cause"].items())),
        *([("from", names.get(address, "[erased]"))] if address else []),
    ]


def _value(value: object, names: dict[str, str]) -> str:
    if isinstance(value, str):
        return clean(names.get(value, value))
    if isinstance(value, list):
        return ", ".join(_value(item, names) for item in value) or "nothing"
    return shown(value)
