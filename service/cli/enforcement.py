"""`usher connection test|enforce|lift|recovery`: obligatory signing in, and the way back when it fails."""

import base64
import hashlib
import os
from dataclasses import asdict

import click

from directory.sso_changes import EnforceLogin, LiftEnforcement, PutRecoveryCodes, ResumeEnforcement
from service.cli.frame import UsherCommand, current, organisation_option
from service.cli.output import clean, shown
from service.errors import NotFoundError
from service.login_tests import begin_test, find_report, test_id_of
from service.names import find_connection, find_member
from web.pages import LoginReport

_RESULTS = {"pass": "pass", "fail": "FAIL", "not_reached": "not reached"}
_CODES = 10
_CODE_BYTES = 10
_GROUP = 4


@click.command("test", cls=UsherCommand)
@click.argument("name", required=False, default="")
@click.option("--show", default="", metavar="TEST", help="Say how a test of yours ended, by its id or link.")
@organisation_option
def test(name: str, show: str) -> None:
    """Begin a test login: it checks everything, says in words what is wrong, and changes nothing."""
    call = current()
    administration = call.administration
    if show:
        _show_test(find_report(administration, test_id_of(show)))
        return
    with administration.read() as reader:
        known = find_connection(reader, name)
    link = begin_test(administration, known)
    if call.is_json:
        call.output.document({"connection": known.name, "test": test_id_of(link), "link": link})
        return
    call.output.line(f"Open this link to test signing in over '{clean(known.name)}'; it is good for an hour:")
    call.output.line(f"  {link}")
    call.output.line("Whoever has the link sees the result, which is kept as long. It is said here too:")
    call.output.line(f"  usher connection test --show {test_id_of(link)}")


def _show_test(report: LoginReport | None) -> None:
    """Without the message itself: that is for the page, and no terminal keeps it."""
    call = current()
    if report is None:
        call.output.say("The test has not ended: open its link, and sign in.", {"has_ended": False})
        return
    if call.is_json:
        document = asdict(report)
        call.output.document(
            {"has_ended": True, **{name: document[name] for name in document if not name.endswith("xml")}}
        )
        return
    line = call.output.line
    outcome = "has passed" if report.has_passed else "has failed"
    line(f"The test of '{clean(report.connection)}' {outcome}.")
    for step in report.steps:
        line(f"  {_RESULTS[step.result]:<12} {step.name}{f': {clean(step.words)}' if step.words else ''}")
    if report.member:
        line(f"Member: {clean(report.member)}")
    for access in report.access:
        line(f"  {clean(access)}")
    if report.seat:
        line(f"Seat: {clean(report.seat)}")
    for note in report.notes:
        line(clean(note))


@click.command("enforce", cls=UsherCommand)
@click.argument("name", required=False, default="")
@click.option("--resume", is_flag=True, help="Let what was suspended hold again.")
@organisation_option
def enforce(name: str, resume: bool) -> None:
    """Let people of the verified domains sign in over this connection only. Needs a test login of your own."""
    call = current()
    administration = call.administration
    if resume:
        administration.apply([ResumeEnforcement()])
    else:
        with administration.read() as reader:
            known = find_connection(reader, name)
        administration.apply([EnforceLogin(known.connection_id)])
    with administration.read() as reader:
        enforcement, domains = reader.sso.enforcement(), sorted(reader.domains())
        holders = {code.member_id for code in reader.sso.recovery_codes() if code.used_at is None}
    if enforcement is None:
        raise NotFoundError("signing in is not obligatory over any connection; there is nothing to resume")
    document = {
        "connection_id": enforcement.connection_id,
        "enforced_at": enforcement.enforced_at,
        "suspended": enforcement.suspended_reason,
        "domains": domains,
        "recovery_holders": len(holders),
    }
    call.output.say(f"People of {', '.join(domains)} sign in over this connection only.", document)
    if not holders:
        call.output.note(
            "Nobody holds recovery codes: should the identity provider fail, only the operator can lift this. "
            "Make some for the owner with 'usher connection recovery OWNER'."
        )


@click.command("lift", cls=UsherCommand)
@click.option("--reason", default="operator", show_default=True, help="One word that the event names.")
@organisation_option
def lift(reason: str) -> None:
    """End the obligation to sign in over a connection."""
    call = current()
    call.administration.apply([LiftEnforcement(reason)])
    call.output.say("Signing in over a connection is not obligatory any more.", {"enforced": False})


@click.command("recovery", cls=UsherCommand)
@click.argument("member")
@click.option("--remove", is_flag=True, help="Take the codes away instead.")
@organisation_option
def recovery(member: str, remove: bool) -> None:
    """Make recovery codes for the owner, or one other: each is good once, and opens the sign-on settings only."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        record = find_member(reader, member)
    codes = [] if remove else [_code() for _ in range(_CODES)]
    digests = tuple(hashlib.sha256(code.encode()).digest() for code in codes)
    administration.apply([PutRecoveryCodes(record.member_id, digests)])
    name = clean(record.display_name)
    if call.is_json:
        call.output.document({"member_id": record.member_id, "codes": codes})
        return
    if remove:
        call.output.line(f"{name} has no recovery codes any more.")
        return
    call.output.line(f"Recovery codes of {name}; older ones are good no more. They are shown this once:")
    for code in codes:
        call.output.line(f"  {code}")
    call.output.line(f"Each is good once, at {call.settings.base_url}/sso/recovery")


def _code() -> str:
    """80 random bits, as four groups of letters and figures that cannot be taken for one another."""
    text = base64.b32encode(os.urandom(_CODE_BYTES)).decode().lower()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


@click.command("enforcement", cls=UsherCommand)
@organisation_option
def enforcement_state() -> None:
    """Show whether signing in is obligatory, since when and by whom."""
    call = current()
    with call.administration.read() as reader:
        enforcement = reader.sso.enforcement()
        codes = reader.sso.recovery_codes()
        known = None if enforcement is None else reader.sso.connection(enforcement.connection_id)
    unused = sum(code.used_at is None for code in codes)
    if enforcement is None or known is None:
        call.output.say("Signing in is not obligatory.", {"enforced": False, "recovery_codes": unused})
        return
    rests = f", suspended since {shown(enforcement.suspended_at)} ({enforcement.suspended_reason})"
    call.output.say(
        f"Obligatory over '{clean(known.name)}' since {shown(enforcement.enforced_at)}, by {enforcement.enforced_by}"
        f"{rests if enforcement.suspended_at else ''}; {unused} recovery codes are unused.",
        {
            "enforced": enforcement.suspended_at is None,
            "connection": known.name,
            "enforced_at": enforcement.enforced_at,
            "enforced_by": enforcement.enforced_by,
            "suspended_at": enforcement.suspended_at,
            "suspended_reason": enforcement.suspended_reason,
            "recovery_codes": unused,
        },
    )


ENFORCEMENT_COMMANDS: tuple[click.Command, ...] = (test, enforce, lift, recovery, enforcement_state)
