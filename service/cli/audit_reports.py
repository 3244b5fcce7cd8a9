"""`usher audit report`: what auditors ask every time."""

from datetime import datetime

import click

from service.cli.frame import UsherCommand, current, organisation_option
from service.cli.values import BACK
from service.reports import REPORTS, Span, make_report


@click.command(cls=UsherCommand)
@click.argument("name", type=click.Choice(list(REPORTS)))
@click.option("--since", type=BACK, help="From this moment on: 2026-12-31, or 90d for ninety days ago.")
@click.option("--until", type=BACK, help="Before this moment.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Rows shown.")
@organisation_option
def report(name: str, since: datetime | None, until: datetime | None, limit: int) -> None:
    """Make one of the auditors' reports. Orphans and who never signed in are said of now."""
    call = current()
    made = make_report(call.administration, name, Span(since, until), limit=limit)
    if call.is_json:
        call.output.document(
            {
                "report": name,
                "total": made.total,
                "summary": made.summary,
                "note": made.sentence,
                "rows": made.rows,
            }
        )
        return
    call.output.listing(made.rows, made.columns, empty="Nothing of that kind.")
    if made.sentence:
        call.output.line(made.sentence)
    if made.total > len(made.rows):
        call.output.line(f"{made.total} in all; --limit shows more than {limit}.")
