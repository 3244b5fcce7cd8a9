from typing import Any

import pytest

from saml.errors import Denial, LoginDenied
from saml.login import Result
from saml.pipeline import examine_response, judge_response
from tests.saml_forge import messages
from tests.saml_forge.accepted import expectations, form_value, trust
from tests.saml_forge.messages import (
    ASSERTION,
    OTHER_SP_ENTITY,
    RESPONSE,
    SP_ENTITY,
    after,
    assertion,
    attribute,
    audiences,
    authn,
    conditions,
    confirmation,
    name_id,
    response,
    statement,
    subject,
)
from tests.saml_forge.signing import sign


def refused(text: str, **given: Any) -> LoginDenied:  # noqa: ANN401 - as the forge
    with pytest.raises(LoginDenied) as denied:
        judge_response(
            form_value("x.xml", text.encode()), trust=trust(given), expectations=expectations(given)
        )
    return denied.value


def failed_words(text: str, **given: Any) -> dict[str, str]:  # noqa: ANN401 - as the forge
    told = examine_response(
        form_value("x.xml", text.encode()), trust=trust(given), expectations=expectations(given)
    )
    return {check.name: check.words for check in told.checks if check.result is Result.FAIL}


def test_assertion_without_an_id_cannot_be_remembered() -> None:
    denied = refused(sign(response(assertion(assertion_id=None)), RESPONSE))

    assert (denied.reason, denied.check) == (Denial.MALFORMED, "ids")


@pytest.mark.parametrize(
    "about",
    [name_id("x" * 1025), name_id("x", NameQualifier="q" * 1025)],
    ids=["value", "qualifier"],
)
def test_name_id_is_no_longer_than_can_be_stored(about: str) -> None:
    denied = refused(sign(response(assertion(about=subject(about, confirmation()))), ASSERTION))

    assert denied.reason == Denial.IDENTITY_TEXT_REFUSED


def test_identity_attribute_is_no_longer_than_can_be_stored() -> None:
    said = authn() + statement(attribute("uid", "x" * 1025))

    denied = refused(sign(response(assertion(statements=said)), ASSERTION), identity_key="uid")

    assert denied.reason == Denial.IDENTITY_TEXT_REFUSED


@pytest.mark.parametrize(
    "said", [statement("<saml:Other/>"), statement('<saml:Attribute Name="a"><x/></saml:Attribute>')]
)
def test_attribute_statement_holds_attributes_and_values_only(said: str) -> None:
    denied = refused(sign(response(assertion(statements=authn() + said)), ASSERTION))

    assert denied.reason == Denial.IDENTITY_TEXT_REFUSED


def test_fresh_login_is_not_proven_where_nobody_asked() -> None:
    about = subject(name_id(), confirmation(answers=None))
    text = sign(response(assertion(about=about), answers=None), ASSERTION)

    denied = refused(text, request_id=None, requested_at=None, force_authn=True)

    assert denied.reason == Denial.AUTHN_TOO_OLD


def test_unsolicited_login_names_no_request_in_any_confirmation() -> None:
    vouched = confirmation(method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches", answers="_other")
    about = subject(name_id(), confirmation(answers=None), vouched)
    text = sign(response(assertion(about=about), answers=None), ASSERTION)

    denied = refused(text, request_id=None, requested_at=None)

    assert (denied.reason, denied.check) == (Denial.IN_RESPONSE_TO_MISMATCH, "unsolicited")


def test_audience_is_told_in_words() -> None:
    text = sign(response(assertion(when=conditions(audiences(OTHER_SP_ENTITY)))), ASSERTION)

    assert failed_words(text) == {"audience": f"audience is {OTHER_SP_ENTITY}, expected {SP_ENTITY}"}


def test_clocks_are_told_apart_in_seconds() -> None:
    when = conditions(begins=after(400), ends=after(700))
    about = subject(name_id(), confirmation(ends=after(700)))
    said = authn(instant=after(400)) + messages.stated()
    late = assertion(issued=after(400), when=when, about=about, statements=said)

    words = failed_words(sign(response(late), ASSERTION))

    assert set(words) == {"clock", "conditions_time", "authn_instant"}
    assert all(text.startswith("clocks differ by 400 s") for text in words.values())


def test_examination_tells_every_fault_and_not_the_first_alone() -> None:
    when = conditions(audiences(OTHER_SP_ENTITY))
    about = subject(name_id(), confirmation(recipient="https://other.example/"))

    words = failed_words(sign(response(assertion(when=when, about=about)), ASSERTION))

    assert set(words) == {"audience", "recipient"}


def test_assertion_is_remembered_until_its_last_end_and_the_skew() -> None:
    about = subject(name_id(), confirmation(ends=after(60)), confirmation(ends=after(900)))
    text = sign(response(assertion(about=about)), ASSERTION)

    login = judge_response(form_value("x.xml", text.encode()), trust=trust({}), expectations=expectations({}))

    assert messages.moment(login.used_until) == after(900 + 120)


def test_several_statements_bound_the_session_by_the_earliest() -> None:
    said = authn(index=None, ends=after(900)) + authn(instant=after(-60), ends=after(600))
    text = sign(response(assertion(statements=said)), ASSERTION)

    login = judge_response(form_value("x.xml", text.encode()), trust=trust({}), expectations=expectations({}))

    assert login.session_ends_at is not None
    assert messages.moment(login.session_ends_at) == after(600)
    assert messages.moment(login.authn_instant) == after(-60)
    assert login.session_index == messages.SESSION_INDEX
