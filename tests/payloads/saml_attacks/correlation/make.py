"""Class 11: answers to somebody else's question, or to none. Login CSRF."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.messages import (
    ASSERTION,
    OTHER_REQUEST,
    REQUEST,
    RESPONSE,
    assertion,
    confirmation,
    name_id,
    response,
    subject,
)
from tests.saml_forge.signing import sign

MISMATCH = Denial.IN_RESPONSE_TO_MISMATCH
INITIATED = {"request_id": None, "requested_at": None}


def make(canary: str) -> Iterator[Attack]:
    """Both levels say which request they answer, and both are asked."""
    for name, text in (
        ("other", OTHER_REQUEST),
        ("empty", ""),
        ("missing", None),
        ("prefix", REQUEST[:-1]),
        ("longer", REQUEST + "x"),
        ("upper-case", REQUEST.upper()),
    ):
        made = sign(response(answers=text), ASSERTION)
        yield attack(f"response-{name}", MISMATCH, "Profiles 4.1.4.3", made)
        whole = sign(sign(response(answers=text), ASSERTION), RESPONSE)
        yield attack(f"signed-response-{name}", MISMATCH, "the same when signed", whole)
        inner = answering(text)
        yield attack(f"confirmation-{name}", MISMATCH, "Profiles 4.1.4.3", sign(response(inner), ASSERTION))
    both = sign(response(answering(None), answers=None), ASSERTION)
    yield attack("unsolicited", MISMATCH, "nothing is answered, and something was asked", both)
    both = sign(response(answering(OTHER_REQUEST), answers=OTHER_REQUEST), ASSERTION)
    yield attack(
        "answer-to-another-request", MISMATCH, "both levels agree with each other, and not with us", both
    )
    half = sign(response(answering(None)), ASSERTION)
    yield attack(
        "initiated-with-response-in-response-to",
        MISMATCH,
        "a stolen answer without its request",
        half,
        **INITIATED,
    )
    half = sign(response(answers=None), ASSERTION)
    yield attack(
        "initiated-with-confirmation-in-response-to",
        MISMATCH,
        "the same on the other level",
        half,
        **INITIATED,
    )
    half = sign(response(answering(""), answers=""), ASSERTION)
    yield attack(
        "initiated-with-empty-in-response-to", MISMATCH, "none at all is asked for", half, **INITIATED
    )
    honest = sign(response(), ASSERTION)
    place = {"at": "endpoint"}
    yield attack(
        "another-browser",
        Denial.BROWSER_MISMATCH,
        "the right answer, sent by another browser",
        honest,
        **place,
    )
    yield attack(
        "no-cookie",
        Denial.BROWSER_MISMATCH,
        "the right answer, from a browser without the cookie",
        honest,
        **place,
    )


def answering(text: str | None) -> str:
    """An assertion whose confirmation answers it."""
    return assertion(about=subject(name_id(), confirmation(answers=text)))
