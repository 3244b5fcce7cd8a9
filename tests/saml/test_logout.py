import base64
import zlib
from urllib.parse import quote

import pytest

from saml import names
from saml.errors import Denial, LoginDenied
from saml.login import NameID, Trust
from saml.logout import (
    MAX_INFLATED,
    MAX_QUERY,
    LogoutExpectations,
    LogoutMessage,
    LogoutRequest,
    LogoutResponse,
    read_posted,
    read_redirected,
)
from tests.saml_forge.keys import IDP, IDP_P256
from tests.saml_forge.logout import LOGOUT, deflated, logout_request, logout_response, signed_query
from tests.saml_forge.messages import IDP_ENTITY, MAIL_FORMAT, NOW, SESSION_INDEX, SLO, SUBJECT, name_id
from tests.saml_forge.signing import ECDSA_SHA256, sign

TRUST = Trust((IDP.certificate, IDP_P256.certificate))
EXPECTED = LogoutExpectations(IDP_ENTITY, SLO, NOW)
REQUESTED = LogoutRequest(LOGOUT, NameID(SUBJECT, MAIL_FORMAT), (SESSION_INDEX,))


def redirected(query: str) -> LogoutMessage:
    return read_redirected(query, trust=TRUST, expectations=EXPECTED)


def posted(text: str, parameter: str = "SAMLRequest") -> LogoutMessage:
    value = base64.b64encode(text.encode()).decode()
    return read_posted(parameter, value, trust=TRUST, expectations=EXPECTED)


def refused(query: str) -> Denial:
    with pytest.raises(LoginDenied) as denied:
        redirected(query)
    return denied.value.reason


def test_request_is_proven_by_either_binding() -> None:
    assert redirected(signed_query(logout_request())) == REQUESTED
    assert posted(sign(logout_request(), LOGOUT)) == REQUESTED


def test_redirect_may_carry_a_relay_state_and_be_signed_by_an_elliptic_key() -> None:
    query = signed_query(logout_request(), key=IDP_P256, method=ECDSA_SHA256, relay_state="a b/c")

    assert redirected(f"{query}&SAMLEncoding={quote(names.ENCODING_DEFLATE, safe='')}&other=1") == REQUESTED


def test_octets_verified_are_those_of_the_query_however_it_escapes() -> None:
    query = signed_query(logout_request())

    assert (
        refused(query.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")) == Denial.SIGNATURE_INVALID
    )


@pytest.mark.parametrize("is_success", [True, False])
def test_answer_tells_which_request_it_is_for_and_what_became_of_it(is_success: bool) -> None:
    text = logout_response() if is_success else logout_response().replace("Success", "Responder")

    expected = LogoutResponse(LOGOUT, "_logout-ours", is_success)
    assert redirected(signed_query(text, "SAMLResponse")) == expected
    assert posted(sign(text, LOGOUT), "SAMLResponse") == expected


@pytest.mark.parametrize("parameter", ["SAMLResponse", "Other"])
def test_message_in_the_field_of_another_is_refused(parameter: str) -> None:
    with pytest.raises(LoginDenied) as denied:
        posted(sign(logout_request(), LOGOUT), parameter)

    assert denied.value.reason == Denial.XML_REFUSED


def test_parameter_that_is_escaped_is_not_taken_for_another() -> None:
    query = signed_query(logout_request())

    assert refused(query.replace("SAMLRequest=", "SAMLR%65quest=")) == Denial.LOGOUT_REFUSED


def test_redirect_with_a_signature_inside_too_is_refused() -> None:
    assert refused(signed_query(sign(logout_request(), LOGOUT))) == Denial.SIGNATURE_SHAPE


def test_query_is_bounded_and_plain() -> None:
    assert refused("x" * (MAX_QUERY + 1)) == Denial.TOO_LARGE
    assert refused("SAMLRequest=ä") == Denial.MALFORMED


def test_bomb_is_inflated_no_further_than_a_message_may_be() -> None:
    assert refused(f"SAMLRequest={deflated(bytes(40_000_000))}") == Denial.TOO_LARGE
    assert refused(f"SAMLRequest={deflated(bytes(MAX_INFLATED))}") == Denial.SIGNATURE_MISSING


@pytest.mark.parametrize("octets", [b"\xff\xff\xff", zlib.compress(b"x", wbits=-15) + b"behind"])
def test_what_is_no_deflated_message_is_malformed(octets: bytes) -> None:
    assert refused(f"SAMLRequest={quote(base64.b64encode(octets), safe='')}") == Denial.MALFORMED


def test_person_of_an_empty_name_is_nobody() -> None:
    assert refused(signed_query(logout_request(about=name_id(" ")))) == Denial.IDENTITY_MISSING


def test_indexes_are_bounded() -> None:
    text = logout_request().replace("</samlp:LogoutRequest>", "")

    many = "".join(f"<samlp:SessionIndex>_{number}</samlp:SessionIndex>" for number in range(100))

    assert refused(signed_query(f"{text}{many}</samlp:LogoutRequest>")) == Denial.LOGOUT_REFUSED
