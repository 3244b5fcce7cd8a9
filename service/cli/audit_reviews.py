"""`usher audit review`: who held what at a moment, and whether they may keep it."""

from datetime import datetime
from pathlib import Path

import click

from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.values import BACK
from service.errors import FileAccessError
from service.labels import scope_name
from service.names import find_member
from service.reviews import (
    Review,
    Verdict,
    decide_grants,
    finish_review,
    list_reviews,
    load_review,
    read_result,
    start_review,
)


@click.group(cls=UsherGroup)
def review() -> None:
    """Review access: a snapshot, a decision for each grant, a signed result. Nothing is taken away by it."""


@review.command()
@click.option("--as-of", "as_of", type=BACK, default="now", show_default=True, help="The moment to look at.")
@organisation_option
def start(as_of: datetime) -> None:
    """Begin a review of everything that was held at a moment."""
    call = current()
    started = start_review(call.administration, as_of)
    call.output.say(
        f"Review {started.review_id} looks at {len(started.items)} grants; "
        f"see them with 'usher audit review show {started.review_id}'.",
        {"review": started.review_id, "as_of": started.as_of, "grants": len(started.items)},
    )


@review.command("list")
@organisation_option
def list_() -> None:
    """List reviews, the latest first."""
    call = current()
    rows = [
        {
            "review": started["targets"][0]["id"],
            "started": started["time"],
            "by": started["actor"]["id"],
            "finished": None if finished is None else finished["time"],
        }
        for started, finished in list_reviews(call.administration)
    ]
    columns = {"review": "Review", "started": "Started", "by": "By", "finished": "Finished"}
    call.output.listing(rows, columns, empty="There is no review yet.")


@review.command()
@click.argument("review_id", metavar="REVIEW")
@click.option("--undecided", is_flag=True, help="Only grants without a decision.")
@organisation_option
def show(review_id: str, undecided: bool) -> None:
    """Show the grants of a review, and what was decided about each."""
    call = current()
    loaded = load_review(call.administration, review_id)
    rows = _rows(loaded)
    if undecided:
        rows = [row for row in rows if row["decision"] is None]
    columns = {"name": "Member", "role": "Role", "scope": "At", "decision": "Decision", "grant": "Grant"}
    call.output.listing(rows, columns, empty="No such grant.")
    call.output.note(_counted(loaded))


def _rows(loaded: Review) -> list[dict[str, object]]:
    administration = current().administration
    with administration.read() as reader:
        scopes = administration.wiring.models.get(reader, reader.organisation()).scopes
        people = reader.member_records({item.interval.member_id for item in loaded.items})
    return [
        {
            "name": record.display_name
            if (record := people.get(item.interval.member_id))
            else item.interval.member_id,
            "member_id": item.interval.member_id,
            "role": item.interval.grant.role,
            "scope": scope_name(scopes, item.interval.grant.scope_id),
            "since": item.interval.opened_at,
            "ended": item.interval.closed_at,
            "decision": item.decision and item.decision.verdict,
            "by": item.decision and item.decision.author,
            "reason": item.decision and item.decision.reason,
            "event": item.decision and item.decision.event_id,
            "grant": item.interval.opened_event,
        }
        for item in loaded.items
    ]


def _counted(loaded: Review) -> str:
    return (
        f"{loaded.count(Verdict.KEEP)} to keep, {loaded.count(Verdict.REVOKE)} to revoke, "
        f"{loaded.count(None)} undecided."
    )


@review.command()
@click.argument("review_id", metavar="REVIEW")
@click.argument("verdict", type=click.Choice([verdict.value for verdict in Verdict]))
@click.argument("grants", metavar="[GRANT]...", nargs=-1)
@click.option("--member", default="", help="All grants of this member.")
@click.option("--reason", default="", help="Why; it stands in the record.")
@organisation_option
def decide(review_id: str, verdict: str, grants: tuple[str, ...], member: str, reason: str) -> None:
    """Decide to keep or to revoke grants, by their ids or all of one member. Nothing is taken away by it."""
    call = current()
    administration = call.administration
    if bool(grants) == bool(member):
        raise click.UsageError("name grants, or a member with --member")
    if member:
        with administration.read() as reader:
            member_id = find_member(reader, member).member_id
        items = load_review(administration, review_id).items
        grants = tuple(item.interval.opened_event for item in items if item.interval.member_id == member_id)
    decided = decide_grants(administration, review_id, grants, Verdict(verdict), reason)
    call.output.say(
        f"{len(grants)} decided. In all: {_counted(decided)}",
        {"review": decided.review_id, "decided": len(grants), "undecided": decided.count(None)},
    )


@review.command()
@click.argument("review_id", metavar="REVIEW")
@click.option("--partial", is_flag=True, help="Although some grants are not decided.")
@organisation_option
def finish(review_id: str, partial: bool) -> None:
    """End a review. What is to be revoked is listed, and yours to carry out."""
    call = current()
    result = finish_review(call.administration, review_id, is_partial=partial)
    rows = [row for row in _rows(result.review) if row["decision"] == Verdict.REVOKE and row["ended"] is None]
    if call.is_json:
        call.output.document(
            {
                "review": result.review.review_id,
                "sha256": result.digest,
                "note": result.note,
                "to_revoke": rows,
            }
        )
        return
    line = call.output.line
    line(f"Review {result.review.review_id} is finished: {_counted(result.review)}")
    line(f"SHA-256 of the result: {result.digest}")
    line(f"'usher audit review result {result.review.review_id} --output FILE' writes it, signed.")
    if rows:
        columns = {"name": "To be revoked", "role": "Role", "scope": "At", "grant": "Grant"}
        call.output.listing(rows, columns, empty="")
        line(
            "Nothing is taken away yet. Take people out of their groups, change the rule, or set 'usher member "
            "override', 'block' or 'remove'."
        )


@review.command()
@click.argument("review_id", metavar="REVIEW")
@click.option("--output", "target", type=click.Path(path_type=Path), required=True, help="A file for it.")
@organisation_option
def result(review_id: str, target: Path) -> None:
    """Write the result of a finished review to FILE, and to FILE.note its digest, signed by the keys of the log."""
    call = current()
    read = read_result(call.administration, review_id)
    note = target.with_name(f"{target.name}.note")
    try:
        target.write_bytes(read.document)
        note.write_text(read.note, encoding="utf-8")
    except OSError as err:
        raise FileAccessError(f"the file '{err.filename}' cannot be written: {err.strerror}") from err
    call.output.say(
        f"The result is in {target}, its signed digest in {note}.",
        {"file": target, "note": note, "sha256": read.digest},
    )
