"""`usher audit replay`: whether the record alone gives what the tables hold."""

import click

from service.cli.exits import REFUSED
from service.cli.frame import UsherCommand, current, organisation_option
from service.cli.output import clean
from service.names import find_organisation
from service.replay_check import ReplayReport, replay_organisation


@click.command(cls=UsherCommand)
@click.option("--all", "everything", is_flag=True, help="All organisations.")
@organisation_option
def replay(everything: bool) -> None:
    """Rebuild members, grants and seats from the record alone, and compare them with the tables.

    It begins with the first event, or with what the retention has kept of those that it removed.

    The service does it every night. Exit code 1 when something differs: then an event is missing or was changed, or
    a table was changed past the record.
    """
    call = current()
    store = call.wiring.store
    chosen = (
        store.organisations()
        if everything
        else [find_organisation(store, call.organisation_name or call.settings.organisation)]
    )
    reports = [replay_organisation(call.wiring, organisation) for organisation in chosen]
    if call.is_json:
        call.output.document([_document(report) for report in reports])
    for report in reports:
        call.output.note(_sentence(report))
        for misfit in report.misfits:
            call.output.note(f"  member {misfit.member_id} {clean(misfit.text)}")
    if any(report.misfits for report in reports):
        click.get_current_context().exit(REFUSED)


def _sentence(report: ReplayReport) -> str:
    name = clean(report.organisation.name)
    gone = f" and what is kept of {report.removed} that the retention has removed" if report.removed else ""
    told = f"{name}: {report.events} events{gone} make {report.members} members"
    if report.misfits:
        return f"{told}; {len(report.misfits)} differences:"
    return f"{told}, with the grants and seats that the tables hold."


def _document(report: ReplayReport) -> dict[str, object]:
    return {
        "organisation": report.organisation.name,
        "events": report.events,
        "members": report.members,
        "removed": report.removed,
        "differences": [{"member": one.member_id, "text": one.text} for one in report.misfits],
    }
