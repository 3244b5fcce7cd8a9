"""Test logins: an administrator's link, a login that is asked for anew, and a page that says what came of it.

Everything is checked as in a login, told in words, and nobody is signed in. The result is kept sealed for an hour.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta

from flask import Request, Response

from audit.actors import AdminActor
from directory.sso_changes import RecordTest
from provisioning.commands import Command
from provisioning.logins import LoginRequest, LoginTest, Person, StoredConnection
from provisioning.models import read_model
from provisioning.signing_in import LoginOutcome, rehearse_login
from saml.attributes import read_person
from saml.correlation import expectations, use_once
from saml.errors import Denial, LoginDenied
from saml.login import Check, Examination, Result
from saml.pipeline import examine_response
from saml.serving import Found, Parts, find_connection, frame_id, known, network_of
from saml.starting import Purpose, redirect, send_request
from web.pages import LoginReport, ReportStep
from web.tokens import is_same

TEST_LIFE = timedelta(hours=1)
"""How long the link is good, and its result is kept."""

_LONGEST_XML = 200_000
_MOST_ATTRIBUTES = 200
_MOST_VALUES = 400
_OPERATOR = "operator:"


def open_test(parts: Parts, request: Request, test_id: str) -> Response:
    """The page behind the link: the login begins, or its result is shown to whoever began it.

    Raises: LoginDenied
    """
    if parts.limits.begun.take(network_of(parts.address(request))):
        raise LoginDenied(Denial.RATE_LIMITED, check="rate")
    test = parts.logins.login_test(test_id)
    key = request.args.get("key", "")
    if test is None or test.expires_at <= parts.clock():
        raise LoginDenied(Denial.CONNECTION_UNKNOWN, check="test")
    if not is_same(key or parts.cookies.test(request), test.secret_sha256):
        raise LoginDenied(Denial.BROWSER_MISMATCH, check="test")
    if test.result is not None:
        return parts.pages.login_report(read_report(test.result))
    found = find_connection(parts, test.connection_id)
    purpose = Purpose(force_authn=True, test_id=test.test_id, test_actor=test.actor)
    response = send_request(parts, request, known(found), purpose)
    if key:
        parts.cookies.set_test(response, key, seconds=int(TEST_LIFE.total_seconds()))
    return response


def find_tested(parts: Parts, test_id: str) -> Found:
    """Whose test it is, for the event of a refusal."""
    test = parts.logins.login_test(test_id)
    return Found(None, None) if test is None else find_connection(parts, test.connection_id)


def conclude(
    parts: Parts, request: Request, connection: StoredConnection, asked: LoginRequest, value: str
) -> Response:
    """Examine the answer to a test's request, write down how it ended, and lead to the page that shows it.

    Raises: LoginDenied, for an answer that is not this browser's, or not the first.
    """
    test = parts.logins.login_test(asked.test_id)
    now = parts.clock()
    if test is None or test.expires_at <= now:
        raise LoginDenied(Denial.EXPIRED, check="test")
    examination = examine_response(
        value,
        trust=parts.trusts.get(connection, now, parts.unit_of_work).trust,
        expectations=expectations(parts, connection, asked.request_id, asked, now),
    )
    login = examination.login
    assertion_id, keep_until = (
        (f"test {asked.request_id}", now) if login is None else (login.assertion_id, login.used_until)
    )
    use_once(parts, request, connection, asked, assertion_id, keep_until, now)
    report, failed = _examined(parts, connection, examination)
    parts.apply(
        connection.organisation_id,
        Command(
            actor=AdminActor(asked.test_actor, is_operator=asked.test_actor.startswith(_OPERATOR)),
            changes=(
                RecordTest(
                    connection_id=connection.connection_id,
                    test_id=test.test_id,
                    has_passed=report.has_passed,
                    version=connection.version,
                    failed_check=failed,
                ),
            ),
            kind="admin_action",
            request_id=frame_id(request),
        ),
    )
    _keep(parts, test, report)
    return redirect(f"{parts.base_url}/saml/test/{test.test_id}")


def _keep(parts: Parts, test: LoginTest, report: LoginReport) -> None:
    kept = LoginTest(
        test_id=test.test_id,
        organisation_id=test.organisation_id,
        connection_id=test.connection_id,
        actor=test.actor,
        secret_sha256=test.secret_sha256,
        created_at=test.created_at,
        expires_at=test.expires_at,
        result=json.dumps(asdict(report)).encode(),
    )
    parts.logins.put_login_test(kept)


def read_report(result: bytes) -> LoginReport:
    """What was kept of a test that has ended."""
    said = json.loads(result)
    said["steps"] = [ReportStep(**step) for step in said["steps"]]
    return LoginReport(**said)


def _examined(
    parts: Parts, connection: StoredConnection, examination: Examination
) -> tuple[LoginReport, str]:
    """The report, and the first check that failed; an empty text when none did."""
    checks = list(examination.checks)
    login, person, outcome = examination.login, None, None
    if login is not None:
        try:
            person = read_person(login, connection.read)
        except LoginDenied as denied:
            checks.append(Check("attributes_map", Result.FAIL, denied.words))
        else:
            checks.append(Check("attributes_map", Result.PASS, _person_in_words(person)))
            outcome = _rehearsed(parts, connection, person)
            is_let_in = outcome.denial is None
            checks.append(
                Check("member", Result.PASS if is_let_in else Result.FAIL, _outcome_in_words(outcome, person))
            )
    else:
        checks += [Check("attributes_map", Result.NOT_REACHED), Check("member", Result.NOT_REACHED)]
    failed = next((check.name for check in checks if check.result is Result.FAIL), "")
    member, access, seat = _held(parts, connection, outcome)
    attributes = () if login is None else tuple(login.attributes.items())[:_MOST_ATTRIBUTES]
    report = LoginReport(
        connection=connection.name,
        has_passed=not failed and outcome is not None,
        steps=[ReportStep(check.name, check.result.value, check.words) for check in checks],
        attributes=[(name, list(values[:_MOST_VALUES])) for name, values in attributes],
        member=member,
        access=access,
        seat=seat,
        notes=list(_notes(connection, person)),
        xml=examination.xml[:_LONGEST_XML],
        decrypted_xml=examination.decrypted_xml[:_LONGEST_XML],
    )
    return report, failed


def _rehearsed(parts: Parts, connection: StoredConnection, person: Person) -> LoginOutcome:
    return rehearse_login(
        connection.connection_id,
        person,
        login_id=parts.mint.id(),
        unit_of_work=parts.unit_of_work(connection.organisation_id),
        clock=parts.clock,
        mint=parts.mint,
        models=parts.models,
    )


def _person_in_words(person: Person) -> str:
    name = f"{person.given_name} {person.family_name}".strip()
    said = [f"key {person.key}", f"e-mail {person.mail or 'not sent'}", f"name {name or 'not sent'}"]
    return ", ".join([*said, "1 group" if len(person.groups) == 1 else f"{len(person.groups)} groups"])


_BY = {
    "link": "known from an earlier login",
    "external_id": "found by the external id that a directory gave",
    "mail": "found by the e-mail address, in a verified domain",
    "invitation": "invited, and would accept the invitation",
    "jit": "not known yet, and would be made by this login",
}
_DENIED = {
    "no_member": "no member has this key, external id or e-mail, and logins over this connection make nobody",
    "domain_not_verified": "the e-mail's domain is not verified by this organisation",
    "identity_missing": "the assertion does not say who the person is",
    "identity_ambiguous": "it cannot be told which member this is: the e-mail or id is no single, unlinked member's",
    "member_deactivated": "the member is deactivated",
    "member_blocked": "the member is blocked",
    "seat_limit_reached": "no seat is free for this person",
}


def _outcome_in_words(outcome: LoginOutcome, person: Person) -> str:
    if outcome.denial is not None:
        told = _DENIED.get(outcome.denial, outcome.denial)
        return f"{told} (key {person.key}, e-mail {person.mail or 'not sent'})"
    return _BY[str(outcome.by)]


def _held(
    parts: Parts, connection: StoredConnection, outcome: LoginOutcome | None
) -> tuple[str, list[str], str]:
    """Name, access and seat in words. Somebody who is not made yet has no name stored."""
    if outcome is None or outcome.member_id is None:
        return "", [], ""
    with parts.unit_of_work(connection.organisation_id).read() as reader:
        record = reader.member_records([outcome.member_id], with_attributes=False).get(outcome.member_id)
        model = read_model(reader, reader.organisation())
    access = []
    for role_id, scope_id in outcome.roles:
        role, scope = model.roles.get(role_id), model.scopes.get(scope_id)
        access.append(f"{role.label if role else role_id} at {scope.name if scope else scope_id}")
    name = "" if record is None else record.display_name or record.mail
    return name, access, outcome.seat or ""


def _notes(connection: StoredConnection, person: Person | None) -> Iterable[str]:
    if connection.read.disabled:
        yield "This connection is switched off: nobody can sign in over it until it is switched on."
    if person is not None and person.groups_withheld:
        yield (
            "The identity provider left the groups out because they are too many; nothing is known of them. "
            "Have it send only the groups that are assigned to the application."
        )
    if person is not None and not person.mail:
        yield "No e-mail address was sent; people can be found by key or external id only."
