"""What came back from a destination, and what each answer of HTTP means."""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """`later`: try again. `unfit`: something in the batch is not taken. `refused`: we are not; somebody must look."""

    TAKEN = "taken"
    LATER = "later"
    UNFIT = "unfit"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`text` is for people and repeats nothing of what the other side sent. `retry_seconds` is the other side's wish.

    Of a batch that was taken `unfit` are the places, among its records, of those that were not.
    """

    verdict: Verdict
    text: str
    retry_seconds: float = 0.0
    unfit: tuple[int, ...] = ()


TAKEN: Final = Outcome(Verdict.TAKEN, "taken")

_UNFIT: Final = frozenset({400, 413, 422})
_REFUSED: Final = frozenset({401, 403, 410})
_LONGEST_WISH: Final = 3600.0


def judge(status: int, headers: Mapping[str, str], now: datetime) -> Outcome:
    """What a status means. A redirect is not followed, so that whoever is at the address must be named."""
    if 200 <= status < 300:
        return Outcome(Verdict.TAKEN, f"answered {status}")
    if 300 <= status < 400:
        return Outcome(
            Verdict.REFUSED, f"answered {status}, a redirect, which is not followed; name the final address"
        )
    if status in _UNFIT:
        return Outcome(Verdict.UNFIT, f"answered {status}")
    if status in _REFUSED:
        return Outcome(Verdict.REFUSED, f"answered {status}{_ADVICE.get(status, '')}")
    return Outcome(
        Verdict.LATER, f"answered {status}", parse_retry_after(headers.get("retry-after", ""), now)
    )


_ADVICE: Final = {
    401: "; check the token or the key",
    403: "; check what the token or the key may do",
    410: ", which means that nothing is wanted there any more",
}


def parse_retry_after(text: str, now: datetime) -> float:
    """Seconds to wait, an hour at most; 0 when nothing is said. Source: RFC 9110 section 10.2.3."""
    text = text.strip()
    if text.isdecimal() and text.isascii():
        return min(float(text[:9]), _LONGEST_WISH)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WISH)
