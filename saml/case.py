"""A proven message beside what is expected of it, and how its texts and moments are read."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lxml import etree

from saml import names
from saml.errors import Denial
from saml.login import Expectations

_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,12}))?Z"
)
WHITESPACE = " \t\r\n"


class Fault(Exception):  # noqa: N818 - it is what a check finds, and caught by its table
    """What a check has found. `reason` None is the reason of the check's row."""

    def __init__(
        self, words: str, *, found: str = "", expected: str = "", reason: Denial | None = None
    ) -> None:
        super().__init__(words)
        self.words = words
        self.found = found
        self.expected = expected
        self.reason = reason


def parse_moment(text: str | None, what: str) -> datetime:
    """A moment as SAML Core 1.3.3 has it: in UTC, with a Z. Digits below a microsecond are dropped."""
    match = _MOMENT.fullmatch(text or "")
    if match is None:
        raise Fault(
            f"{what} is {shown(text)}, expected a moment in UTC such as 2026-01-31T12:00:00Z",
            found=shown(text),
            expected="a moment in UTC",
            reason=Denial.MALFORMED,
        )
    *parts, fraction = match.groups()
    year, month, day, hour, minute, second = map(int, parts)
    microsecond = int(fraction[:6].ljust(6, "0")) if fraction else 0
    try:
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    except ValueError as err:
        raise Fault(
            f"{what} is {text}, which is no moment", found=str(text), reason=Denial.MALFORMED
        ) from err


def text_of(element: etree._Element) -> str:
    """The text of an element that holds nothing else, without surrounding whitespace."""
    if len(element):
        raise Fault(
            f"{local_name(element)} holds an element, expected text only", reason=Denial.IDENTITY_TEXT_REFUSED
        )
    text: str = element.text or ""
    return text.strip(WHITESPACE)


def local_name(element: etree._Element) -> str:
    name: str = element.tag.rpartition("}")[2]
    return name


def shown(text: str | None) -> str:
    if text is None:
        return "missing"
    return text[:200] if text else "empty"


def seconds_of(span: timedelta) -> int:
    return abs(round(span.total_seconds()))


@dataclass(frozen=True, slots=True)
class Proven:
    """What the verifier has proven, parsed from its octets: the assertion, and the response where it is signed too.

    Where it is not, `response` is what was received.
    """

    response: etree._Element
    is_response_signed: bool
    assertion: etree._Element


class Case:
    """A proven response beside what is expected of it. Checks may be asked in any order."""

    __slots__ = (
        "assertion",
        "attributes",
        "bearer",
        "bearers",
        "conditions",
        "expected",
        "name_ids",
        "now",
        "proven",
        "response",
        "skew",
        "statements",
        "subject",
    )

    def __init__(self, proven: Proven, expected: Expectations) -> None:
        self.proven = proven
        self.expected = expected
        self.response = proven.response
        self.assertion = proven.assertion
        self.now = expected.now
        self.skew = timedelta(seconds=expected.clock_skew_seconds)
        self.subject = self.assertion.find(names.SUBJECT)
        self.conditions = list(self.assertion.iterchildren(names.CONDITIONS))
        self.statements = list(self.assertion.iterchildren(names.AUTHN_STATEMENT))
        self.name_ids = [] if self.subject is None else list(self.subject.iterchildren(names.NAME_ID))
        self.bearers = self._find_bearers()
        self.bearer: etree._Element | None = next(iter(self.bearers), None)
        self.attributes: dict[str, tuple[str, ...]] = {}

    def _find_bearers(self) -> list[etree._Element]:
        """The data of the bearer confirmations. One without data says nothing that could be checked."""
        if self.subject is None:
            return []
        return [
            data
            for confirmation in self.subject.iterchildren(names.SUBJECT_CONFIRMATION)
            if confirmation.get("Method") == names.BEARER
            for data in confirmation.iterchildren(names.SUBJECT_CONFIRMATION_DATA)
        ]
