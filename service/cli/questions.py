"""`usher decide`, `explain`, `access` and `seats`: what is asked about access."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from audit.sentences import describe
from directory.ids import MemberId, UserId
from mappings.decisions import Decision
from mappings.scopes import ScopeGraph
from provisioning.ports import Reader
from provisioning.queries import (
    access_as_of,
    access_difference,
    decide_once,
    explain_access,
    seat_report,
)
from provisioning.state import HeldInterval
from service.administration import Administration
from service.cli.exits import REFUSED
from service.cli.frame import UsherCommand, UsherGroup, current, organisation_option
from service.cli.output import clean
from service.cli.values import BACK, seats_text
from service.labels import event_names, membership_events, scope_name
from service.names import find_member, find_scope


@click.command(cls=UsherCommand)
@click.argument("member")
@click.argument("permission")
@click.argument("resource", metavar="SCOPE")
@organisation_option
def decide(member: str, permission: str, resource: str) -> None:
    """May a member do this, there?

    Exit code 0 for yes, 1 for no.
    """
    call = current()
    administration = call.administration
    models = administration.wiring.models
    with administration.read() as reader:
        record = find_member(reader, member)
        scopes = models.get(reader, reader.organisation()).scopes
        node = find_scope(scopes, resource)
        decision = decide_once(reader, models, record.member_id, permission, node.scope_id)
    grant = decision.grant
    document = {
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "condition": decision.condition,
        "grant": {"role": grant[0], "scope_id": grant[1]} if grant else None,
        "ruling": decision.ruling,
        "access_version": decision.access_version,
        "member_id": record.member_id,
        "permission": permission,
        "scope_id": node.scope_id,
    }
    call.output.say(_decision_sentence(decision, scopes), document)
    if not decision.allowed:
        click.get_current_context().exit(REFUSED)


def _decision_sentence(decision: Decision, scopes: ScopeGraph) -> str:
    answer = "Allowed" if decision.allowed else "Denied"
    details = [decision.reason.value.replace("_", " ")]
    if decision.grant is not None:
        role, scope_id = decision.grant
        details.append(f"by {role}@{scope_name(scopes, scope_id)}")
    if decision.condition:
        details.append(f"if {decision.condition} (the host checks)")
    if decision.ruling:
        details.append(f"ruling {decision.ruling}")
    details.append(f"access version {decision.access_version}")
    return f"{answer}: {', '.join(details)}."


@click.command(cls=UsherCommand)
@click.argument("member")
@click.argument("permission")
@click.argument("resource", metavar="SCOPE")
@organisation_option
def explain(member: str, permission: str, resource: str) -> None:
    """Why may a member do this, there, or why not?

    Leads from the answer down to the event that began it, or names what is missing.
    """
    call = current()
    administration = call.administration
    models = administration.wiring.models
    with administration.read() as reader:
        record = find_member(reader, member)
        node = find_scope(models.get(reader, reader.organisation()).scopes, resource)
        answer = explain_access(
            reader,
            models,
            record.member_id,
            permission,
            node.scope_id,
            now=administration.wiring.clock(),
        )
        assert answer is not None  # noqa: S101 - the member was found in this very view
        memberships = membership_events(reader, answer.explanation.steps)
        events = [*answer.chain, *(body for body in memberships if body not in answer.chain)]
        names = event_names(reader, models, events)
        users = {user.user_id: f"'{user.user_name}'" for user in reader.users_of_members([record.member_id])}
    told = [describe(body, names=names) for body in events]
    steps = [_named(sentence, users) for sentence in answer.explanation.sentences]
    if call.is_json:
        call.output.document(
            {
                "allowed": answer.explanation.decision.allowed,
                "reason": answer.explanation.decision.reason.value,
                "steps": steps,
                "events": [
                    {"id": body["id"], "time": body["time"], "action": body["action"], "text": text}
                    for body, text in zip(events, told, strict=True)
                ],
            }
        )
        return
    call.output.line(f"{clean(record.display_name)} <{clean(record.mail)}>")
    for sentence in steps:
        call.output.line(f"  {clean(sentence)}")
    if events:
        call.output.line("It came about so, the latest first:")
    for body, text in zip(events, told, strict=True):
        call.output.line(f"  {body['time']}  {clean(text)}  [{body['id']}]")


def _named(sentence: str, names: Mapping[UserId, str]) -> str:
    """The sentence with names of directory users in place of their ids."""
    for user_id, name in names.items():
        sentence = sentence.replace(user_id, name)
    return sentence


@click.group(cls=UsherGroup)
def access() -> None:
    """Who held what, and when."""


@access.command("as-of")
@click.argument("moment", type=BACK)
@click.option("--member", default="", help="Only this member.")
@click.option("--role", default="", help="Only this role, such as Admin.")
@click.option("--scope", default="", help="Only grants at exactly this scope.")
@organisation_option
def as_of(moment: datetime, member: str, role: str, scope: str) -> None:
    """List who held which role where at a moment (2026-12-31T18:00, or 7d for seven days ago), and since when."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        scopes = administration.wiring.models.get(reader, reader.organisation()).scopes
        member_id = find_member(reader, member).member_id if member else None
        scope_id = find_scope(scopes, scope).scope_id if scope else None

        def keep(interval: HeldInterval) -> bool:
            return (
                member_id in {None, interval.member_id}
                and role.lower() in {"", interval.grant.role.lower()}
                and scope_id in {None, interval.grant.scope_id}
            )

        rows = _interval_rows(reader, access_as_of(reader, moment, keep=keep), scopes)
    call.output.listing(
        rows, _INTERVAL_COLUMNS, empty=f"Nobody held such a role at {moment:%Y-%m-%d %H:%M:%S} UTC."
    )


_INTERVAL_COLUMNS = {
    "name": "Member",
    "mail": "Mail",
    "role": "Role",
    "scope": "At",
    "source": "By",
    "opened_at": "Since",
    "closed_at": "Until",
    "opened_event": "Event",
}


def _interval_rows(
    reader: Reader, intervals: Sequence[HeldInterval], scopes: ScopeGraph
) -> list[dict[str, object]]:
    people = reader.member_records({interval.member_id for interval in intervals})
    rows: list[dict[str, object]] = []
    for interval in intervals:
        record = people.get(MemberId(interval.member_id))
        provenance = interval.grant.provenance
        rows.append(
            {
                "name": record.display_name if record else interval.member_id,
                "mail": record.mail if record else "",
                "member_id": interval.member_id,
                "role": interval.grant.role,
                "scope": scope_name(scopes, interval.grant.scope_id),
                "scope_id": interval.grant.scope_id,
                "source": provenance.source.value,
                "rule_id": provenance.rule_id,
                "rule_version": provenance.rule_version,
                "opened_at": interval.opened_at,
                "opened_event": interval.opened_event,
                "closed_at": interval.closed_at,
                "closed_event": interval.closed_event,
            }
        )
    return rows


@access.command()
@click.argument("earlier", type=BACK)
@click.argument("later", type=BACK)
@organisation_option
def diff(earlier: datetime, later: datetime) -> None:
    """List the grants that were held at only one of two moments."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        scopes = administration.wiring.models.get(reader, reader.organisation()).scopes
        difference = access_difference(reader, earlier, later)
        opened = _interval_rows(reader, difference.opened, scopes)
        closed = _interval_rows(reader, difference.closed, scopes)
    if call.is_json:
        call.output.document({"earlier": earlier, "later": later, "gained": opened, "lost": closed})
        return
    rows = [{**row, "change": "gained"} for row in opened] + [{**row, "change": "lost"} for row in closed]
    columns = {"change": "Change", **_INTERVAL_COLUMNS}
    call.output.listing(rows, columns, empty="The same grants were held at both moments.")


@click.command(cls=UsherCommand)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="People of the list."
)
@organisation_option
def seats(limit: int) -> None:
    """Seats used, and the waiting list in its order."""
    call = current()
    administration: Administration = call.administration
    with administration.read() as reader:
        report = seat_report(reader, shown=limit)
        people = reader.member_records(report.waiting)
    rows = [
        {
            "place": place,
            "name": people[member_id].display_name,
            "mail": people[member_id].mail,
            "rule_priority": people[member_id].waiting_priority,
            "role_rank": people[member_id].waiting_rank,
            "since": people[member_id].waiting_since,
            "member_id": member_id,
        }
        for place, member_id in enumerate(report.waiting, start=1)
    ]
    if call.is_json:
        call.output.document(
            {
                "plan": report.plan,
                "limit": report.limit,
                "occupied": report.occupied,
                "seated": report.seated,
                "reserved": report.reserved,
                "over": report.over,
                "forecast": report.forecast,
                "policy": report.policy,
                "waiting_count": report.waiting_count,
                "waiting": rows,
            }
        )
        return
    call.output.line(
        f"{report.occupied} of {seats_text(report.limit)} seats used (plan {report.plan or 'none'}): "
        f"{report.seated} seated, {report.reserved} reserved by invitations."
    )
    if report.over:
        call.output.line(f"{report.over} too many: nobody loses a seat, nobody new gets one.")
    if report.waiting_count:
        call.output.line(f"{report.waiting_count} wait; with them it would be {report.forecast}.")
        columns = {
            "place": "Place",
            "name": "Member",
            "mail": "Mail",
            "rule_priority": "Rule priority",
            "role_rank": "Role rank",
            "since": "Waits since",
        }
        call.output.listing(rows, columns, empty="")
