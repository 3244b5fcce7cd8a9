"""`usher audit export`: the record written to a file or to the standard output."""

from pathlib import Path
from typing import Unpack

import click

from service.cli.audit_reading import filter_options
from service.cli.frame import UsherCommand, current, organisation_option
from service.log_filters import EventFilter, resolve_filter
from service.log_exports import FORMATS, export_log


@click.command(cls=UsherCommand)
@filter_options
@click.option("--format", "format_", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option(
    "--output", "target", type=click.Path(path_type=Path), help="A file; the standard output without."
)
@organisation_option
def export(format_: str, target: Path | None, **said: Unpack[EventFilter]) -> None:
    """Export the record, oldest first: exact event bodies with the names beside them, as JSON lines or CSV."""
    call = current()
    with call.administration.read() as reader:
        query = resolve_filter(reader, call.wiring.models, said)
    exported = export_log(call.administration, query, format_=format_, target=target)
    if target is not None:
        call.output.say(
            f"{exported.rows} events are in {target} ({exported.size} bytes, SHA-256 {exported.sha256}).",
            {"rows": exported.rows, "file": target, "bytes": exported.size, "sha256": exported.sha256},
        )
