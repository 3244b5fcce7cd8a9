"""What a proven response must say: a table of named checks, each with its reason and its words.

It reads the octets that the verifier gives, parsed anew. Of a response that is not signed it reads what stands around
the assertion too, which may refuse and never grant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml import etree

from saml import names
from saml.case import WHITESPACE, Case, Fault, Proven, local_name, parse_moment, seconds_of, shown, text_of
from saml.errors import Denial, LoginDenied
from saml.login import Check, Expectations, Login, NameID, Result

# The replay table remembers an assertion for as long as it is good, so that is bounded.
MAX_VALIDITY = timedelta(hours=24)
# Of a login that nobody here asked for.
MAX_INITIATED_AGE = timedelta(minutes=5)
MAX_IDENTITY = 1024
NAME_ID_KEY = "name_id"


def _check_version(case: Case) -> str:
    for element in (case.response, case.assertion):
        if element.get("Version") != "2.0":
            found = shown(element.get("Version"))
            raise Fault(
                f"version of the {local_name(element)} is {found}, expected 2.0", found=found, expected="2.0"
            )
    return "version is 2.0"


def _check_ids(case: Case) -> str:
    for element in (case.response, case.assertion):
        if not element.get("ID"):
            raise Fault(f"the {local_name(element)} has no ID", found="missing", expected="an ID")
    return "response and assertion have an ID"


def _check_status(case: Case) -> str:
    """SAML Core 3.2.2.2: the topmost code tells. A second one below would say that it is no plain success."""
    codes = [
        code.get("Value", "")
        for status in case.response.iterchildren(names.STATUS)
        for code in status.iter(names.STATUS_CODE)
    ]
    if codes != [names.SUCCESS]:
        found = " / ".join(codes)[:200] or "missing"
        raise Fault(f"status is {found}, expected {names.SUCCESS}", found=found, expected=names.SUCCESS)
    return "status is Success"


def _check_issuer(case: Case) -> str:
    expected = case.expected.idp_entity_id
    own = list(case.assertion.iterchildren(names.ISSUER))
    found = [text_of(issuer) for issuer in (*own, *case.response.iterchildren(names.ISSUER))]
    wrong = next((name for name in found if name != expected), None if own else "")
    if wrong is not None or not expected:
        name = shown(wrong) if own else "missing"
        raise Fault(f"issuer is {name}, expected {expected}", found=name, expected=expected)
    return f"issuer is {expected}"


def _check_destination(case: Case) -> str:
    """SAML Bindings 3.5.5.2: a signed message names where it is to go."""
    expected = case.expected.acs_url
    found = case.response.get("Destination")
    if found != expected and (found is not None or case.proven.is_response_signed):
        raise Fault(
            f"destination is {shown(found)}, expected {expected}", found=shown(found), expected=expected
        )
    return (
        "destination is not named, and the response is not signed"
        if found is None
        else f"destination is {found}"
    )


def _check_answers(case: Case) -> str:
    return _answers(case, case.response, "the response")


def _answers(case: Case, element: etree._Element, what: str) -> str:
    found, expected = element.get("InResponseTo"), case.expected.request_id
    if found != expected or found == "":
        wanted = "none" if expected is None else expected
        raise Fault(
            f"{what} answers the request {shown(found)}, expected {wanted}",
            found=shown(found),
            expected=wanted,
        )
    return f"{what} answers no request" if found is None else f"{what} answers our request"


_CONDITIONS = frozenset({names.AUDIENCE_RESTRICTION, names.ONE_TIME_USE, names.PROXY_RESTRICTION})


def _check_conditions(case: Case) -> str:
    """SAML Core 2.5.1: a condition that is not understood cannot be met."""
    if len(case.conditions) != 1:
        raise Fault(
            f"there are {len(case.conditions)} Conditions, expected one", found=str(len(case.conditions))
        )
    unknown = [local_name(one) for one in case.conditions[0] if one.tag not in _CONDITIONS]
    if unknown:
        raise Fault(f"condition {unknown[0]} is not known", found=unknown[0], expected="known conditions")
    return "one set of conditions, all known"


def _check_audience(case: Case) -> str:
    """SAML Core 2.5.1.4: each restriction must be met, by any of its audiences."""
    expected = case.expected.sp_entity_id
    restrictions = [
        [text_of(audience) for audience in restriction.iterchildren(names.AUDIENCE)]
        for conditions in case.conditions
        for restriction in conditions.iterchildren(names.AUDIENCE_RESTRICTION)
    ]
    wrong = next((audiences for audiences in restrictions if expected not in audiences), None)
    if wrong is not None or not restrictions:
        found = (", ".join(wrong or []) or ("empty" if restrictions else "missing"))[:500]
        raise Fault(f"audience is {found}, expected {expected}", found=found, expected=expected)
    return f"audience is {expected}"


def _check_clock(case: Case) -> str:
    """When it was made: not in the future, and not before we asked."""
    requested_at = case.expected.requested_at
    parse_moment(case.response.get("IssueInstant"), "IssueInstant of the Response")
    issued = parse_moment(case.assertion.get("IssueInstant"), "IssueInstant of the Assertion")
    earliest = case.now - MAX_INITIATED_AGE if case.expected.request_id is None else requested_at
    if issued > case.now + case.skew:
        raise Fault(
            f"clocks differ by {seconds_of(issued - case.now)} s: the assertion was made at {issued}, and it is "
            f"{case.now} here; {seconds_of(case.skew)} s are allowed",
            found=str(issued),
            expected=f"at most {case.now + case.skew}",
            reason=Denial.NOT_YET_VALID,
        )
    if earliest is not None and issued < earliest - case.skew:
        raise Fault(
            f"clocks differ by {seconds_of(earliest - issued)} s, or the assertion is an old one: it was made at "
            f"{issued}, expected {earliest} or later; {seconds_of(case.skew)} s are allowed",
            found=str(issued),
            expected=f"at least {earliest}",
        )
    return f"clocks differ by {seconds_of(case.now - issued)} s at most"


def _check_conditions_time(case: Case) -> str:
    for conditions in case.conditions:
        _check_window(case, conditions, "the assertion")
        begins, ends = conditions.get("NotBefore"), conditions.get("NotOnOrAfter")
        if (
            begins is None
            or ends is None
            or parse_moment(begins, "NotBefore") < parse_moment(ends, "NotOnOrAfter")
        ):
            continue
        # SAML Core 2.5.1.2: the end lies after the beginning.
        raise Fault(
            f"the assertion is valid from {begins} on, and until {ends}",
            found=ends,
            expected=f"after {begins}",
            reason=Denial.CONDITIONS_INVALID,
        )
    return "the assertion is valid now"


def _check_window(case: Case, element: etree._Element, what: str) -> None:
    begins, ends = element.get("NotBefore"), element.get("NotOnOrAfter")
    if begins is not None and (start := parse_moment(begins, "NotBefore")) > case.now + case.skew:
        raise Fault(
            f"clocks differ by {seconds_of(start - case.now)} s: {what} is valid from {start} on, and it is "
            f"{case.now} here; {seconds_of(case.skew)} s are allowed",
            found=begins,
            expected=f"at most {case.now + case.skew}",
            reason=Denial.NOT_YET_VALID,
        )
    if ends is not None and (end := parse_moment(ends, "NotOnOrAfter")) <= case.now - case.skew:
        raise Fault(
            f"clocks differ by {seconds_of(case.now - end)} s, or it came late: {what} was valid before {end}, "
            f"and it is {case.now} here; {seconds_of(case.skew)} s are allowed",
            found=ends,
            expected=f"more than {case.now - case.skew}",
        )


def _check_confirmation(case: Case) -> str:
    """SAML Profiles 4.1.4.2: a bearer confirmation with data."""
    if case.bearer is None:
        raise Fault("there is no bearer confirmation with data", found="missing", expected=names.BEARER)
    return "there is a bearer confirmation"


def _check_recipient(case: Case, bearer: etree._Element) -> str:
    found, expected = bearer.get("Recipient"), case.expected.acs_url
    if found != expected:
        raise Fault(
            f"recipient is {shown(found)}, expected {expected}", found=shown(found), expected=expected
        )
    return f"recipient is {expected}"


def _check_confirmation_time(case: Case, bearer: etree._Element) -> str:
    """SAML Profiles 4.1.4.2: an end, and no beginning."""
    if bearer.get("NotBefore") is not None:
        raise Fault(
            "the bearer confirmation has NotBefore, which it may not have",
            found="NotBefore",
            expected="none",
            reason=Denial.CONFIRMATION_MISSING,
        )
    if bearer.get("NotOnOrAfter") is None:
        raise Fault(
            "the bearer confirmation has no NotOnOrAfter",
            found="missing",
            expected="NotOnOrAfter",
            reason=Denial.CONFIRMATION_MISSING,
        )
    _check_window(case, bearer, "the bearer confirmation")
    return "the bearer confirmation is valid now"


def _check_confirmation_answers(case: Case, bearer: etree._Element) -> str:
    return _answers(case, bearer, "the bearer confirmation")


def _of_bearer(check: Callable[[Case, etree._Element], str]) -> Callable[[Case], str]:
    def checked(case: Case) -> str:
        return "there is no bearer confirmation" if case.bearer is None else check(case, case.bearer)

    return checked


def _check_unsolicited(case: Case) -> str:
    """What nobody asked for may name no request anywhere."""
    if case.expected.request_id is None and case.subject is not None:
        for data in case.subject.iter(names.SUBJECT_CONFIRMATION_DATA):
            _answers(case, data, "a confirmation")
    return "no confirmation names another request"


def _ends(case: Case) -> list[datetime]:
    texts = [element.get("NotOnOrAfter") for element in (*case.conditions, *case.bearers)]
    return [parse_moment(text, "NotOnOrAfter") for text in texts if text is not None]


def _check_validity(case: Case) -> str:
    latest = max(_ends(case), default=case.now)
    if latest > case.now + MAX_VALIDITY:
        raise Fault(
            f"the assertion is valid until {latest}, expected 24 hours at most",
            found=str(latest),
            expected="24 hours at most",
        )
    return f"the assertion is valid until {latest}"


def _check_authn_statement(case: Case) -> str:
    if not case.statements:
        raise Fault("there is no AuthnStatement", found="missing", expected="AuthnStatement")
    return "there is an AuthnStatement"


def _authn_instant(case: Case) -> datetime:
    return min(parse_moment(one.get("AuthnInstant"), "AuthnInstant") for one in case.statements)


def _check_authn_instant(case: Case) -> str:
    if not case.statements:
        return "there is no AuthnStatement"
    instant = _authn_instant(case)
    if instant > case.now + case.skew:
        raise Fault(
            f"clocks differ by {seconds_of(instant - case.now)} s: the person signed in at {instant}, and it is "
            f"{case.now} here",
            found=str(instant),
            expected=f"at most {case.now + case.skew}",
            reason=Denial.NOT_YET_VALID,
        )
    requested_at = case.expected.requested_at
    if case.expected.force_authn and (requested_at is None or instant < requested_at - case.skew):
        raise Fault(
            f"the person signed in at {instant}, expected anew since {requested_at}",
            found=str(instant),
            expected=f"at least {requested_at}",
        )
    return f"the person signed in at {instant}"


def _session_ends_at(case: Case) -> datetime | None:
    texts = [one.get("SessionNotOnOrAfter") for one in case.statements]
    return min(
        (parse_moment(text, "SessionNotOnOrAfter") for text in texts if text is not None), default=None
    )


def _check_session(case: Case) -> str:
    end = _session_ends_at(case)
    if end is None:
        return "the provider does not limit the session"
    if end <= case.now - case.skew:
        raise Fault(
            f"the provider's session ended at {end}, and it is {case.now} here",
            found=str(end),
            expected=f"more than {case.now - case.skew}",
        )
    return f"the provider's session ends at {end}"


def _check_attributes(case: Case) -> str:
    """Read them: by Name, repeats merged in document order."""
    merged: dict[str, list[str]] = {}
    for statement in case.assertion.iterchildren(names.ATTRIBUTE_STATEMENT):
        for attribute in statement:
            if attribute.tag != names.ATTRIBUTE:
                raise Fault(
                    f"{local_name(attribute)} is not accepted",
                    found=local_name(attribute),
                    expected="Attribute",
                )
            values = merged.setdefault(attribute.get("Name", ""), [])
            values.extend(_value_of(value) for value in attribute)
    case.attributes = {name: tuple(values) for name, values in merged.items()}
    return f"{len(merged)} attributes"


def _value_of(value: etree._Element) -> str:
    """Plain text, or the NameID of an eduPersonTargetedID, which is an element and nothing beside it."""
    if value.tag != names.ATTRIBUTE_VALUE:
        raise Fault(f"{local_name(value)} is not accepted as a value", expected="AttributeValue")
    if not len(value):
        text: str = value.text or ""
        return text.strip(WHITESPACE)
    around = (value.text or "") + (value[0].tail or "")
    if len(value) == 1 and value[0].tag == names.NAME_ID and not around.strip(WHITESPACE):
        return text_of(value[0])
    raise Fault("an attribute's value holds elements, expected text only")


def _read_name_id(case: Case) -> NameID | None:
    if not case.name_ids:
        return None
    element = case.name_ids[0]
    return NameID(
        text_of(element),
        element.get("Format", ""),
        element.get("NameQualifier", ""),
        element.get("SPNameQualifier", ""),
        element.get("SPProvidedID", ""),
    )


def _check_name_id(case: Case) -> str:
    name_id = _read_name_id(case)
    if name_id is None:
        if case.expected.identity_key == NAME_ID_KEY:
            raise Fault("there is no NameID, expected one: it tells who the person is", expected="NameID")
        return "there is no NameID, and the person is told by an attribute"
    parts = (name_id.value, name_id.name_qualifier, name_id.sp_name_qualifier, name_id.sp_provided_id)
    if not name_id.value:
        raise Fault("NameID is empty", found="empty", expected="a value")
    if max(map(len, (*parts, name_id.format))) > MAX_IDENTITY:
        raise Fault(f"NameID is longer than {MAX_IDENTITY} characters", reason=Denial.IDENTITY_TEXT_REFUSED)
    return "there is a NameID"


def _check_identity(case: Case) -> str:
    key = case.expected.identity_key
    if key == NAME_ID_KEY:
        return "the person is told by the NameID"
    values = case.attributes.get(key, ())
    if len(values) > 1:
        raise Fault(
            f"attribute {key} has {len(values)} values, expected one",
            found=f"{len(values)} values",
            expected="one value",
            reason=Denial.IDENTITY_AMBIGUOUS,
        )
    if not values or not values[0]:
        raise Fault(
            f"attribute {key} is missing, expected one value", found="missing", expected=f"attribute {key}"
        )
    if len(values[0]) > MAX_IDENTITY:
        raise Fault(
            f"attribute {key} is longer than {MAX_IDENTITY} characters", reason=Denial.IDENTITY_TEXT_REFUSED
        )
    return f"the person is told by the attribute {key}"


def _case(proven: Proven, expected: Expectations) -> Case:
    """With the bearer confirmation that is good; else with the first, of which is told what is wrong with it."""
    case = Case(proven, expected)
    case.bearer = next((one for one in case.bearers if _is_good(case, one)), case.bearer)
    return case


def _is_good(case: Case, bearer: etree._Element) -> bool:
    try:
        for check in (_check_recipient, _check_confirmation_time, _check_confirmation_answers):
            check(case, bearer)
    except Fault:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. The check returns what it has found good, and raises Fault for anything else."""

    name: str
    reason: Denial
    check: Callable[[Case], str]


RULES: Sequence[Rule] = (
    Rule("version", Denial.VERSION_MISMATCH, _check_version),
    Rule("ids", Denial.MALFORMED, _check_ids),
    Rule("status", Denial.STATUS_NOT_SUCCESS, _check_status),
    Rule("issuer", Denial.ISSUER_MISMATCH, _check_issuer),
    Rule("destination", Denial.DESTINATION_MISMATCH, _check_destination),
    Rule("in_response_to", Denial.IN_RESPONSE_TO_MISMATCH, _check_answers),
    Rule("conditions", Denial.CONDITIONS_INVALID, _check_conditions),
    Rule("audience", Denial.AUDIENCE_MISMATCH, _check_audience),
    Rule("clock", Denial.EXPIRED, _check_clock),
    Rule("conditions_time", Denial.EXPIRED, _check_conditions_time),
    Rule("confirmation", Denial.CONFIRMATION_MISSING, _check_confirmation),
    Rule("recipient", Denial.RECIPIENT_MISMATCH, _of_bearer(_check_recipient)),
    Rule("confirmation_time", Denial.EXPIRED, _of_bearer(_check_confirmation_time)),
    Rule(
        "confirmation_in_response_to", Denial.IN_RESPONSE_TO_MISMATCH, _of_bearer(_check_confirmation_answers)
    ),
    Rule("unsolicited", Denial.IN_RESPONSE_TO_MISMATCH, _check_unsolicited),
    Rule("validity", Denial.VALID_TOO_LONG, _check_validity),
    Rule("authn_statement", Denial.AUTHN_STATEMENT_MISSING, _check_authn_statement),
    Rule("authn_instant", Denial.AUTHN_TOO_OLD, _check_authn_instant),
    Rule("session", Denial.EXPIRED, _check_session),
    Rule("name_id", Denial.IDENTITY_MISSING, _check_name_id),
    Rule("attributes", Denial.IDENTITY_TEXT_REFUSED, _check_attributes),
    Rule("identity", Denial.IDENTITY_MISSING, _check_identity),
)


def judge(proven: Proven, expected: Expectations) -> Login:
    """What the assertion says, if every check passes.

    Raises: LoginDenied of the first that does not.
    """
    case = _case(proven, expected)
    for rule in RULES:
        try:
            rule.check(case)
        except Fault as fault:
            raise denial_of(rule, fault) from fault
    return _login_of(case)


def examine(proven: Proven, expected: Expectations) -> tuple[list[Check], Login | None]:
    """Every check of the table with its words, and the login if all of them pass."""
    case = _case(proven, expected)
    checks = []
    for rule in RULES:
        try:
            checks.append(Check(rule.name, Result.PASS, rule.check(case)))
        except Fault as fault:
            checks.append(Check(rule.name, Result.FAIL, fault.words))
    has_passed = all(check.result is Result.PASS for check in checks)
    return checks, _login_of(case) if has_passed else None


def denial_of(rule: Rule, fault: Fault) -> LoginDenied:
    return LoginDenied(
        fault.reason or rule.reason,
        check=rule.name,
        found=fault.found,
        expected=fault.expected,
        words=fault.words,
    )


def _login_of(case: Case) -> Login:
    return Login(
        assertion_id=case.assertion.get("ID"),
        issuer=case.expected.idp_entity_id,
        name_id=_read_name_id(case),
        session_index=next(filter(None, (one.get("SessionIndex") for one in case.statements)), ""),
        attributes=case.attributes,
        authn_instant=_authn_instant(case),
        session_ends_at=_session_ends_at(case),
        used_until=max(_ends(case)) + case.skew,
        in_response_to=case.expected.request_id or "",
    )
