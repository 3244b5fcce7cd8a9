import pytest

from saml.errors import Denial, LoginDenied
from saml.login import Check, Result
from saml.pipeline import examine_response, judge_response, named_request
from tests.saml_forge import messages
from tests.saml_forge.accepted import expectations, form_value, trust
from tests.saml_forge.encryption import encrypt
from tests.saml_forge.keys import ATTACKER, IDP, OTHER_SP
from tests.saml_forge.messages import ASSERTION, REQUEST, RESPONSE, response
from tests.saml_forge.signing import sign


def field(text: str) -> str:
    return form_value("x.xml", text.encode())


def told(text: str) -> dict[str, Check]:
    examined = examine_response(field(text), trust=trust({}), expectations=expectations({}))
    return {check.name: check for check in examined.checks}


def test_request_is_named_without_being_proven() -> None:
    text = sign(response(), ASSERTION, key=ATTACKER)

    assert named_request(field(text)) == REQUEST
    assert named_request(field(text.replace(f' InResponseTo="{REQUEST}"', "", 1))) is None


def test_request_of_what_the_gate_refuses_is_not_named() -> None:
    with pytest.raises(LoginDenied) as denied:
        named_request("")

    assert denied.value.reason == Denial.MALFORMED


def test_signed_assertion_is_asked_for_inside_a_ciphertext_too() -> None:
    text = sign(encrypt(response()), RESPONSE)

    with pytest.raises(LoginDenied) as denied:
        judge_response(
            field(text), trust=trust({"require_signed_assertion": True}), expectations=expectations({})
        )

    assert denied.value.reason == Denial.SIGNATURE_MISSING


def test_test_login_shows_both_certificates_where_the_signature_is_of_another() -> None:
    words = told(sign(response(), ASSERTION, key=ATTACKER))["signature"].words

    assert "the message shows the certificate" in words
    assert "the connection has" in words


@pytest.mark.parametrize(
    "key_info",
    [
        "",
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{'A' * 5}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
    ],
)
def test_test_login_says_when_no_certificate_is_shown(key_info: str) -> None:
    checks = told(sign(response(), ASSERTION, key=ATTACKER, key_info=key_info))

    assert "the message shows no certificate" in checks["signature"].words
    assert checks["audience"].result is Result.NOT_REACHED


def test_test_login_tells_encryption_from_signature() -> None:
    inner = sign(response(), ASSERTION)

    closed = told(encrypt(inner, key=OTHER_SP))
    forged = told(encrypt(sign(response(), ASSERTION, key=ATTACKER)))

    assert closed["encryption"].result is Result.FAIL
    assert closed["signature"].result is Result.NOT_REACHED
    assert forged["encryption"].result is Result.PASS
    assert forged["signature"].result is Result.FAIL


def test_test_login_shows_what_was_received_and_what_was_inside() -> None:
    text = encrypt(sign(response(), ASSERTION, key=IDP))

    examined = examine_response(field(text), trust=trust({}), expectations=expectations({}))

    assert examined.xml == text
    assert examined.decrypted_xml.startswith("<saml:Assertion")
    assert messages.SUBJECT not in repr(examined).replace(repr(examined.login), "")
