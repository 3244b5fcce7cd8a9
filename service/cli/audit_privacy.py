"""`usher audit retention`, `hold` and `erase`: how long the record is kept, and who is taken out of it."""

from datetime import datetime

import click

from provisioning.log_retention import LEAST_DAYS, MOST_DAYS, Person, StillPresentError
from service.cli.frame import UsherCommand, UsherGroup, current, organisation_option
from service.cli.output import clean, shown
from service.cli.values import BACK, END
from service.log_retention import (
    RetentionPlan,
    apply_retention,
    erase_people,
    find_leavers,
    find_person,
    lift_hold,
    plan_retention,
    set_hold,
    set_retention,
)

_SHOWN = 10


@click.group(cls=UsherGroup)
def retention() -> None:
    """How long the record is kept."""


@retention.command()
@organisation_option
def show() -> None:
    """Show how long the record is kept, what is old enough to go, and whether a hold keeps it."""
    plan = plan_retention(current().administration)
    hold = plan.keeping.hold if plan.is_held else None
    current().output.record(
        {
            **_document(plan),
            "hold": hold and hold.reason,
            "held_since": hold and hold.held_at,
            "held_until": hold and hold.ends_at,
        },
        {
            "days": "Kept for days",
            "removed": "Events removed",
            "to_remove": "Old enough to go",
            "size": "Events in all",
            "hold": "Legal hold",
            "held_since": "Since",
            "held_until": "Until",
        },
    )


@retention.command("set")
@click.argument("days", type=click.IntRange(LEAST_DAYS, MOST_DAYS))
@click.option("--yes", is_flag=True, help="Do not ask.")
@organisation_option
def set_(days: int, yes: bool) -> None:
    """Keep the record for DAYS days. A running service removes what is older within the hour, for good."""
    call = current()
    plan = plan_retention(call.administration, days)
    if plan.number and not plan.is_held and not yes:
        click.confirm(f"{plan.number} events are older and will be removed. Go on?", abort=True, err=True)
    keeping = set_retention(call.administration, days)
    call.output.say(
        f"The record is kept for {keeping.days} days. {plan.number} events are older"
        f"{', and stay while the legal hold stands' if plan.is_held else ''}.",
        {"days": keeping.days, "to_remove": plan.number, "is_held": plan.is_held},
    )


@retention.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@organisation_option
def apply(dry_run: bool) -> None:
    """Remove now what is old enough, as a running service does every day.

    Of what is removed the hashes, the proofs and the checkpoints stay, and a snapshot of members, seats and grants.
    """
    call = current()
    plan = plan_retention(call.administration)
    if plan.overtaken:
        call.output.note(
            f"Not sent yet, and told to the destination as a gap: {clean(', '.join(plan.overtaken))}"
        )
    if dry_run:
        held = " A legal hold keeps them." if plan.is_held else ""
        call.output.say(
            f"{plan.number} of {plan.size} events are older than {plan.keeping.days} days ({shown(plan.limit)})."
            f"{held}",
            _document(plan),
        )
        return
    applied = apply_retention(call.administration)
    call.output.say(
        f"{applied.leaves} events are removed, and the names behind {applied.references} references that only they "
        "spoke of.",
        {"removed": applied.leaves, "references": applied.references},
    )


def _document(plan: RetentionPlan) -> dict[str, object]:
    return {
        "days": plan.keeping.days,
        "is_usual": plan.keeping.set_days is None,
        "before": plan.limit,
        "size": plan.size,
        "removed": plan.keeping.removed_before,
        "to_remove": plan.number,
        "is_held": plan.is_held,
        "overtaken_streams": list(plan.overtaken),
    }


@click.group(cls=UsherGroup)
def hold() -> None:
    """The legal hold: while it stands, nothing of the record is removed or erased."""


@hold.command("set")
@click.option(
    "--reason", required=True, help="Such as the number of a case; it stands in the record. Name nobody."
)
@click.option(
    "--until", "ends_at", type=END, help="Until this moment, or for so many days. Default: until lifted."
)
@organisation_option
def set_hold_(reason: str, ends_at: datetime | None) -> None:
    """Let nothing of the record be removed or erased, from now on. A second hold takes the place of the first."""
    call = current()
    set_ = set_hold(call.administration, reason, ends_at)
    until = "until it is lifted" if set_.ends_at is None else f"until {shown(set_.ends_at)}"
    call.output.say(
        f"The record is held {until}: nothing is removed or erased.",
        {"reason": set_.reason, "held_at": set_.held_at, "ends_at": set_.ends_at},
    )


@hold.command()
@organisation_option
def lift() -> None:
    """Let removals and erasures go on. What is old enough goes within the hour."""
    call = current()
    lifted = lift_hold(call.administration)
    plan = plan_retention(call.administration)
    call.output.say(
        f"The hold ({clean(lifted.reason)}) is lifted. {plan.number} events are old enough to go.",
        {"reason": lifted.reason, "held_at": lifted.held_at, "to_remove": plan.number},
    )


@click.command(cls=UsherCommand)
@click.argument("who", metavar="[MEMBER|MAIL|REFERENCE]", required=False)
@click.option("--left-before", type=BACK, help="Everybody who left before this moment: 2025-12-31, or 400d.")
@click.option(
    "--even-present", is_flag=True, help="Also somebody who has not left: what the record has until now."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@organisation_option
def erase(who: str | None, left_before: datetime | None, even_present: bool, yes: bool) -> None:
    """Erase a person from the record: from then on it shows [erased] in place of name, mail and address.

    The key of each name is destroyed. Events, proofs and checkpoints stay as they are. What Usher's tables still keep
    of who left goes, too. Somebody who comes back is somebody new. Copies elsewhere (backups, exports, what streams
    have sent) are not touched.
    """
    call = current()
    administration = call.administration
    if (who is None) == (left_before is None):
        raise click.UsageError("name somebody, or --left-before a moment")
    persons = (
        find_leavers(administration, left_before)
        if left_before is not None
        else [find_person(administration, who or "")]
    )
    if not even_present and any(person.is_present for person in persons):
        raise StillPresentError(1)
    if not persons:
        call.output.say(
            f"Nobody left before {shown(left_before)} who is not erased.", {"people": 0, "references": 0}
        )
        return
    if not yes:
        for line in _asked(persons):
            click.echo(line, err=True)
        click.confirm("This cannot be undone. Erase?", abort=True, err=True)
    erased = erase_people(administration, persons, even_present=even_present, left_before=left_before)
    call.output.say(
        f"Erased: {'1 person' if erased.persons == 1 else f'{erased.persons} people'}, "
        f"{_references(erased.references)}.",
        {
            "people": erased.persons,
            "references": erased.references,
            "is_overwritten": erased.is_overwritten,
        },
    )
    if not erased.is_overwritten:
        call.output.note(
            "The database's write-ahead log still holds the erased values, for something was reading; they are "
            "overwritten at the next checkpoint. Say it again to make sure."
        )
    call.output.note(
        "Backups and what was sent or exported keep them. The request log forgets after "
        f"{call.settings.scim_log_days} days."
    )


def _asked(persons: list[Person]) -> list[str]:
    if len(persons) > 1:
        return [
            f"{len(persons)} people who left, with {sum(len(one.references) for one in persons)} references."
        ]
    (person,) = persons
    named = [*person.names, *person.mails]
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    state = "present" if person.is_present else f"left {shown(person.left_at)}"
    return [
        f"Known as: {clean(', '.join(named[:_SHOWN])) or 'nothing any more'}{more}",
        f"Ids: {', '.join(sorted(person.ids))}",
        f"{state[:1].upper()}{state[1:]}; {_references(len(person.references))} in the record.",
    ]


def _references(number: int) -> str:
    return "1 reference" if number == 1 else f"{number} references"
