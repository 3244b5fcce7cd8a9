"""Class 9: moments that are past, to come, missing or no moments. All of it is signed by the genuine key."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.messages import (
    ASSERTION,
    SP_ENTITY,
    after,
    assertion,
    audiences,
    authn,
    conditions,
    confirmation,
    name_id,
    response,
    stated,
    subject,
)
from tests.saml_forge.signing import sign

EXPIRED = Denial.EXPIRED
EARLY = Denial.NOT_YET_VALID
MALFORMED = Denial.MALFORMED
ODD = (
    ("offset", "2026-05-04T12:05:00+02:00", "an offset in place of Z"),
    ("zero-offset", "2026-05-04T10:05:00+00:00", "an offset in place of Z"),
    ("no-zone", "2026-05-04T10:05:00", "no zone"),
    ("small-z", "2026-05-04T10:05:00z", "not a time of XML Schema"),
    ("date-only", "2026-05-04", "a day"),
    ("text", "tomorrow", "a word"),
    ("empty", "", "nothing"),
    ("space-inside", "2026-05-04 10:05:00Z", "not a time of XML Schema"),
    ("month-13", "2026-13-04T10:05:00Z", "no such month"),
    ("february-30", "2026-02-30T10:05:00Z", "no such day"),
    ("hour-25", "2026-05-04T25:05:00Z", "no such hour"),
    ("year-0", "0000-05-04T10:05:00Z", "no such year"),
    ("year-of-five-digits", "12026-05-04T10:05:00Z", "beyond what we reckon with"),
    ("negative-year", "-2026-05-04T10:05:00Z", "before our time"),
    ("arabic-digits", "٢٠٢٦-05-04T10:05:00Z", "digits of another script"),
    ("number", "1777888800", "seconds since 1970"),
    ("long-fraction", f"2026-05-04T10:05:00.{'9' * 5_000}Z", "a fraction without end"),
)


def make(canary: str) -> Iterator[Attack]:
    """Each limit by itself, one second beyond what the skew of 120 s allows."""
    yield from limits()
    for name, value, origin in ODD:
        made = signed(about=subject(name_id(), confirmation(ends=value)))
        yield attack(f"confirmation-end-{name}", MALFORMED, origin, made)
    for place, said in (
        ("conditions-end", {"when": conditions(ends="soon")}),
        ("conditions-begin", {"when": conditions(begins="2026-05-04T12:05:00+02:00")}),
        ("authn-instant", {"statements": authn(instant="now") + stated()}),
        ("session-end", {"statements": authn(ends="late") + stated()}),
        ("issue-instant", {"issued": "2026-05-04"}),
    ):
        yield attack(f"{place}-malformed", MALFORMED, "no moment", signed(**said))
    yield from relations()


def limits() -> Iterator[Attack]:
    made = signed(when=conditions(begins=after(-400), ends=after(-120)))
    yield attack("conditions-ended", EXPIRED, "the end itself is past", made)
    made = signed(when=conditions(begins=after(121)))
    yield attack("conditions-not-begun", EARLY, "a second beyond the skew", made)
    made = signed(about=subject(name_id(), confirmation(ends=after(-120))))
    yield attack("confirmation-ended", EXPIRED, "Profiles 4.1.4.3", made)
    made = signed(about=subject(name_id(), confirmation(ends=None)))
    missing = Denial.CONFIRMATION_MISSING
    yield attack("confirmation-without-end", missing, "Profiles 4.1.4.2: it must have one", made)
    made = signed(about=subject(name_id(), confirmation(begins=after(-60))))
    yield attack("confirmation-with-begin", missing, "Profiles 4.1.4.2: it must not have one", made)
    made = signed(statements=authn(ends=after(-120)) + stated())
    yield attack("session-ended", EXPIRED, "the session would have ended", made)
    made = signed(issued=after(121))
    yield attack("issued-in-the-future", EARLY, "a second beyond the skew", made)
    made = signed(issued=after(-151))
    yield attack("issued-before-the-request", EXPIRED, "an answer from before the question", made)
    made = signed(statements=authn(instant=after(121)) + stated())
    yield attack("authenticated-in-the-future", EARLY, "a second beyond the skew", made)
    made = signed(issued=None)
    yield attack("issue-instant-missing", MALFORMED, "Core 2.3.3: it must have one", made)
    made = signed(statements=authn(instant=None) + stated())
    yield attack("authn-instant-missing", MALFORMED, "Core 2.7.2: it must have one", made)
    made = sign(response(issued="now"), ASSERTION)
    yield attack("response-issue-instant-malformed", MALFORMED, "no moment", made)
    made = sign(response(issued=None), ASSERTION)
    yield attack("response-issue-instant-missing", MALFORMED, "Core 3.2.2: it must have one", made)


def relations() -> Iterator[Attack]:
    long = Denial.VALID_TOO_LONG
    day = 24 * 3600
    made = signed(
        about=subject(name_id(), confirmation(ends=after(day + 121))),
        when=conditions(ends=after(day + 121)),
    )
    yield attack("valid-for-more-than-a-day", long, "it would have to be remembered as long", made)
    made = signed(about=subject(name_id(), confirmation(ends="9999-12-31T23:59:59Z")))
    yield attack("confirmation-for-ever", long, "it would have to be remembered for ever", made)
    made = signed(when=conditions(ends="9999-12-31T23:59:59Z"))
    yield attack("conditions-for-ever", long, "it would have to be remembered for ever", made)
    made = signed(statements=authn(instant="0001-01-01T00:00:00Z") + stated())
    yield attack(
        "authenticated-before-the-calendar",
        Denial.AUTHN_TOO_OLD,
        "the first moment there is",
        made,
        force_authn=True,
    )
    made = signed(issued="0001-01-01T00:00:00Z")
    yield attack("issued-before-the-calendar", EXPIRED, "the first moment there is", made)
    made = signed(issued="9999-12-31T23:59:59Z")
    yield attack("issued-behind-the-calendar", EARLY, "the last moment there is", made)
    made = signed(when=conditions(begins=after(60), ends=after(30)))
    yield attack("conditions-end-before-begin", Denial.CONDITIONS_INVALID, "Core 2.5.1.2", made)
    made = signed(statements=authn(instant=after(-3600)) + stated())
    yield attack(
        "authenticated-before-we-asked",
        Denial.AUTHN_TOO_OLD,
        "a fresh login was asked for",
        made,
        force_authn=True,
    )
    bare = assertion(
        about=subject(name_id(), confirmation(answers=None)),
        issued=after(-301),
    )
    made = sign(response(bare, answers=None), ASSERTION)
    yield attack(
        "idp-initiated-issued-long-ago",
        EXPIRED,
        "without a request five minutes are the limit",
        made,
        request_id=None,
        requested_at=None,
        clock_skew_seconds=0,
    )
    two = subject(name_id(), confirmation(ends=after(-120)), confirmation(ends=after(-300)))
    yield attack("every-confirmation-ended", EXPIRED, "one of several must hold", signed(about=two))
    made = signed(when=conditions(audiences(SP_ENTITY), begins=after(-7200), ends=after(-3600)))
    yield attack("conditions-long-past", EXPIRED, "an hour ago", made)


def signed(**said: str | None) -> str:
    """A response with a signed assertion that says it."""
    return sign(response(assertion(**said)), ASSERTION)  # type: ignore[arg-type]  # all of them are text
