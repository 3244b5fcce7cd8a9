"""Every honest variant of tests/payloads/saml_accepted logs in as exactly whom it is about, and no mutant does."""

import base64
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saml.errors import LoginDenied
from saml.login import Result
from saml.pipeline import examine_response, judge_response
from tests.payloads.saml_accepted.make import make
from tests.saml_forge.accepted import Accepted, expectations, expected, form_value, trust
from tests.saml_forge.cases import ACCEPTED
from tests.saml_forge.messages import (
    after,
    assertion,
    authn,
    parse,
    render,
    response,
    stated,
)
from tests.saml_forge.signing import sign

CASES = list(make())
by_file = pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])


def posted(case: Accepted) -> str:
    return form_value(case.file, (ACCEPTED / case.file).read_bytes())


@by_file
def test_variant_logs_in_as_the_person_it_is_about(case: Accepted) -> None:
    login = judge_response(posted(case), trust=trust(case.given), expectations=expectations(case.given))

    assert login == expected(case.login)


@by_file
def test_examination_of_a_variant_passes_every_check(case: Accepted) -> None:
    told = examine_response(posted(case), trust=trust(case.given), expectations=expectations(case.given))

    assert told.login == expected(case.login)
    assert {check.result for check in told.checks} == {Result.PASS}
    assert all(check.words for check in told.checks)


MUTATED = ("assertion-signed", "response-signed", "both-signed", "encrypted-aes256-gcm-inner-signed")
NAMED = {case.file: case for case in CASES}


@st.composite
def mutants(draw: st.DrawFn) -> tuple[Accepted, bytes]:
    """A message with some octets replaced, put in or taken out."""
    case = NAMED[draw(st.sampled_from(MUTATED)) + ".xml"]
    octets = bytearray(case.content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(octets) - 1))
        taken = draw(st.integers(0, 3))
        octets[at : at + taken] = draw(st.one_of(st.binary(max_size=3), st.sampled_from(TELLING)))
    return case, bytes(octets)


# Octets that mean something to a parser.
TELLING = (
    b"<",
    b">",
    b"&",
    b'"',
    b"/",
    b"<!--",
    b"-->",
    b"<?x?>",
    b"<x/>",
    b" ",
    b"\n",
    b"&#120;",
    b"\xef\xbb\xbf",
)


@settings(max_examples=400)
@given(mutants())
def test_no_mutant_of_a_signed_message_is_somebody_else(mutant: tuple[Accepted, bytes]) -> None:
    case, octets = mutant

    assert_same_or_denied(case, base64.b64encode(octets).decode())


@settings(max_examples=100)
@given(st.sampled_from(MUTATED), st.data())
def test_no_mutant_of_a_form_field_is_somebody_else(name: str, data: st.DataObject) -> None:
    case = NAMED[f"{name}.xml"]
    value = form_value(case.file, case.content)
    at = data.draw(st.integers(0, len(value)))

    assert_same_or_denied(case, value[:at] + data.draw(st.text(max_size=3)) + value[at + 1 :])


def assert_same_or_denied(case: Accepted, value: str) -> None:
    try:
        login = judge_response(value, trust=trust(case.given), expectations=expectations(case.given))
    except LoginDenied:
        return
    assert login == expected(case.login)


ODD = st.sampled_from(
    [
        "",
        " ",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
        "2026-05-04T10:05:60Z",
        "x" * 2_000,
        "2.0",
        "é\u200b",
    ]
)


@settings(max_examples=150)
@given(st.data())
def test_whatever_a_provider_signs_is_judged_or_refused(data: st.DataObject) -> None:
    root = parse(response(assertion(statements=authn(ends=after(3_600)) + stated())))
    elements = list(root.iter())
    for _ in range(data.draw(st.integers(1, 3))):
        element = data.draw(st.sampled_from(elements))
        match data.draw(st.sampled_from(["attribute", "text", "away", "twice"])):
            case "attribute" if element.attrib:
                element.set(data.draw(st.sampled_from(sorted(element.keys()))), data.draw(ODD))
            case "away" if element.getparent() is not None and element.get("ID") is None:
                element.getparent().remove(element)
            case "twice":
                data.draw(st.sampled_from(elements)).append(deepcopy(element))
            case _:
                element.text = data.draw(ODD)
    value = form_value("x.xml", sign_root(render(root)).encode())

    told = examine_response(value, trust=trust({}), expectations=expectations({}))

    assert (told.login is None) == (Result.FAIL in {check.result for check in told.checks})


def sign_root(text: str) -> str:
    """Signed as a whole, whatever its ID is now."""
    return sign(text, parse(text).get("ID"))


def test_untouched_message_is_the_same_person() -> None:
    case = NAMED["assertion-signed.xml"]

    assert_same_or_denied(case, form_value(case.file, case.content))
