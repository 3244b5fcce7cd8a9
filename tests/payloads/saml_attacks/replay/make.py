"""Class 12: a proven answer for the second time. The first of each pair logs in, and the file is the second."""

import base64
import textwrap
from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack, raw
from tests.saml_forge.encryption import encrypt
from tests.saml_forge.messages import (
    ASSERTION,
    OTHER_REQUEST,
    assertion,
    confirmation,
    name_id,
    response,
    subject,
)
from tests.saml_forge.signing import sign

PLACE = {"at": "endpoint"}


def make(canary: str) -> Iterator[Attack]:
    """What is remembered is the assertion, and not how it was wrapped."""
    honest = sign(assertion(), ASSERTION)
    first = response(honest)
    yield attack("same-bytes", Denial.REPLAYED, "the same field again", first, **PLACE)
    coded = "\n".join(textwrap.wrap(base64.b64encode(first.encode()).decode(), 76))
    yield raw("re-encoded", Denial.REPLAYED, "the same octets in other base64", coded, **PLACE)
    again = response(honest, response_id="_response-2")
    yield attack("re-wrapped", Denial.REPLAYED, "the same assertion in another response", again, **PLACE)
    spaced = first.replace("<samlp:Status>", "\n  <samlp:Status>")
    yield attack("re-indented", Denial.REPLAYED, "another text around the same assertion", spaced, **PLACE)
    hidden = encrypt(first)
    yield attack("re-encrypted", Denial.REPLAYED, "the same assertion as ciphertext", hidden, **PLACE)
    another = assertion(about=subject(name_id(), confirmation(answers=OTHER_REQUEST)))
    fresh = sign(response(another, answers=OTHER_REQUEST, response_id="_response-2"), ASSERTION)
    yield attack("same-id-for-another-request", Denial.REPLAYED, "the ID alone is the same", fresh, **PLACE)
