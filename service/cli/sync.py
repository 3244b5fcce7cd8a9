"""`usher sync`: directories read now, and what earlier readings did."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from provisioning.plans import DirectoryPlan
from provisioning.runs import Reading
from provisioning.state import RunRecord, StoredDirectory
from service.cli.exits import OUTSIDE, REFUSED
from service.cli.frame import Invocation, UsherGroup, current, organisation_option
from service.cli.output import clean
from service.names import find_directory
from service.runs import Run, claim_directory, plan_now, run_claimed
from sync.run import PlannedRun
from sync.snapshot import SnapshotCounts

_REJECTIONS_SHOWN = 20
_LINES_SHOWN = 200
# What a run did, in the order in which people ask for it.
_COUNTERS = {
    "users_created": "users added",
    "users_updated": "users changed",
    "users_deactivated": "users deactivated",
    "users_reactivated": "users reactivated",
    "groups_created": "groups added",
    "groups_renamed": "groups renamed",
    "groups_deleted": "groups deleted",
    "memberships_added": "memberships added",
    "memberships_removed": "memberships ended",
    "grants_opened": "grants given",
    "grants_closed": "grants taken",
    "seats_seated": "people seated",
    "seats_waiting": "people waiting",
    "changes_failed": "changes that failed",
}


@click.group(cls=UsherGroup)
def sync() -> None:
    """Readings of directories."""


@sync.command()
@click.argument("directory", required=False, default="")
@click.option("--dry-run", is_flag=True, help="Print the plan and store nothing.")
@click.option("--full", is_flag=True, help="Read everything, even where only changes could be asked for.")
@click.option(
    "--approve", default="", metavar="HASH", help="Let the plan that the guard holds through, once."
)
@organisation_option
def run(directory: str, dry_run: bool, full: bool, approve: str) -> None:
    """Read a directory now and apply what changed, within the guard's limits."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        known = find_directory(reader, directory)
    if dry_run:
        planned = plan_now(administration.wiring, administration.organisation_id, known, full=full)
        _show_plan(call, known, planned)
        return
    lease = claim_directory(administration.wiring, known)
    with _progress_bar(call) as progress:
        done = run_claimed(
            administration.wiring,
            lease,
            approval=approve,
            approved_by=call.actor.admin_id,
            progress=progress,
            full=full,
        )
    _show_run(call, known, done)
    codes = {"blocked": REFUSED, "failed": OUTSIDE}
    if done.record.state in codes:
        click.get_current_context().exit(codes[done.record.state])


@contextmanager
def _progress_bar(call: Invocation) -> Iterator[Callable[[int, int], None]]:
    if call.is_json or not call.output.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=call.output.console(), transient=True) as progress:
        task = progress.add_task("people", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _show_plan(call: Invocation, known: StoredDirectory, planned: PlannedRun) -> None:
    plan = planned.plan
    if call.is_json:
        call.output.document(
            {
                "directory": known.name,
                "plan_hash": "" if plan.is_empty else plan.hash,
                "is_complete": planned.reading.is_complete,
                "reason": planned.reading.reason,
                "method": planned.reading.method,
                "method_reason": planned.reading.method_reason,
                "limits_crossed": list(planned.crossed),
                "counters": dict(planned.reading.counters),
                "lines": list(plan.lines()),
                "rejections": _rejections(planned.counts),
            }
        )
        return
    _show_reading(call, planned.reading, planned.counts)
    _show_lines(call, plan)
    if planned.crossed:
        call.output.line("The guard would stop this plan:")
        for limit in planned.crossed:
            call.output.line(f"  {clean(limit)}")
        call.output.line(
            f"Let exactly this plan through with 'usher sync run {shlex.quote(known.name)} --approve {plan.hash}'."
        )


def _show_lines(call: Invocation, plan: DirectoryPlan) -> None:
    if plan.is_empty:
        call.output.line("Nothing to change.")
        return
    more = 0
    for number, line in enumerate(plan.lines()):
        if number < _LINES_SHOWN:
            call.output.line(f"  {clean(line)}")
        else:
            more += 1
    if more:
        call.output.line(f"  ... and {more} more changes; --json lists all")
    call.output.line(f"Plan hash: {plan.hash}")


def _show_reading(call: Invocation, reading: Reading, counts: SnapshotCounts) -> None:
    call.output.line(
        f"Read {counts.seen} entries: {counts.users} users, {counts.groups} groups, {counts.rejected} rejected"
        f"{_ignored(counts)}."
    )
    if reading.method:
        way = "Only what has changed was read" if reading.is_incremental else "Everything was read"
        call.output.line(f"{way} ({reading.method}): {clean(reading.method_reason)}.")
    if not reading.is_complete:
        call.output.line(f"Incomplete, so nobody is removed for being absent: {clean(reading.reason)}")
    elif reading.reason:
        call.output.line(f"Note: {clean(reading.reason)}.")
    _show_doubts(call, counts)


def _ignored(counts: SnapshotCounts) -> str:
    ignored = [f"{number} {reason.replace('_', ' ')}" for reason, number in sorted(counts.ignored.items())]
    return f"; not looked at: {', '.join(ignored)}" if ignored else ""


def _show_doubts(call: Invocation, counts: SnapshotCounts) -> None:
    for rejection in counts.rejections[:_REJECTIONS_SHOWN]:
        place, dn = f"{counts.place} {rejection.number}", clean(rejection.dn) or "(no dn)"
        call.output.line(f"  rejected, {place}, {dn}: {clean(rejection.reason)}")
    if counts.rejected > _REJECTIONS_SHOWN:
        call.output.line(f"  ... and {counts.rejected - _REJECTIONS_SHOWN} more rejected entries")
    told = (
        (counts.dangling_members, "members of groups whom no entry answers to"),
        (counts.ambiguous_members, "members of groups whose uid several people have"),
        (counts.shared_mail, "mail addresses that two people have; both are kept apart"),
        (counts.unknown_activity, "people of whom it cannot be read whether they are active"),
    )
    for number, words in told:
        if number:
            call.output.line(f"  {number} {words}")


def _rejections(counts: SnapshotCounts | None) -> list[dict[str, object]]:
    if counts is None:
        return []
    return [{counts.place: item.number, "dn": item.dn, "reason": item.reason} for item in counts.rejections]


def _show_run(call: Invocation, known: StoredDirectory, done: Run) -> None:
    record = done.record
    if call.is_json:
        call.output.document({**run_document(record, known.name), "rejections": _rejections(done.counts)})
        return
    if done.counts is not None:
        reading = Reading(
            record.source_hash,
            record.counters,
            record.state != "partial",
            record.reason if record.state in {"completed", "partial"} else "",
            record.method,
            record.method_reason,
        )
        _show_reading(call, reading, done.counts)
    call.output.line(_run_sentence(known, record))


def _run_sentence(known: StoredDirectory, record: RunRecord) -> str:
    name = shlex.quote(known.name)
    if record.state == "failed":
        return f"Failed, nothing is changed: {clean(record.reason)}"
    if record.state == "blocked":
        limits = clean(record.reason)
        if not record.plan_hash:
            return f"Stopped, nothing is changed: {limits}. The export asks for no change now."
        return (
            f"Stopped by the guard, nothing is changed: {limits}.\n"
            f"Look at the plan with 'usher sync run {name} --dry-run'; if it is right, let exactly it through with\n"
            f"  usher sync run {name} --approve {record.plan_hash}"
        )
    did = [f"{record.counters[key]} {words}" for key, words in _COUNTERS.items() if record.counters.get(key)]
    if not did:
        return "Nothing has changed since the last reading."
    return f"Done: {', '.join(did)}. {record.counters.get('events', 0)} events written."


def run_document(record: RunRecord, directory: str) -> dict[str, object]:
    """What a program reads of a run."""
    return {
        "run_id": record.run_id,
        "directory": directory,
        "state": record.state,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "counters": dict(record.counters),
        "reason": record.reason,
        "plan_hash": record.plan_hash,
        "approved_by": record.approved_by,
        "method": record.method,
        "method_reason": record.method_reason,
        "plan": record.plan,
    }


@sync.command()
@click.argument("directory", required=False, default="")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@organisation_option
def history(directory: str, limit: int) -> None:
    """List earlier readings, the newest first."""
    call = current()
    with call.administration.read() as reader:
        names = {known.directory_id: known.name for known in reader.directories()}
        wanted = find_directory(reader, directory).directory_id if directory else None
        records = reader.runs(wanted, limit)
    rows = []
    for record in records:
        document = run_document(record, names.get(record.directory_id, record.directory_id))
        counters = record.counters
        document["seen"] = counters.get("seen")
        document["did"] = [
            f"{counters[key]} {words}" for key, words in _COUNTERS.items() if counters.get(key)
        ]
        rows.append(document)
    columns = {
        "started_at": "Began",
        "directory": "Directory",
        "state": "State",
        "method": "Method",
        "seen": "Entries",
        "did": "Did",
        "reason": "Reason",
        "approved_by": "Approved by",
    }
    call.output.listing(rows, columns, empty="No directory has been read yet; see 'usher sync run --help'.")
