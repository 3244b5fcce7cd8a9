import base64
import zlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from saml import names
from saml.gate import read_document
from saml.login import NameID, Trust
from saml.requests import (
    REQUEST,
    RESPONSE,
    Envelope,
    Signer,
    message_id,
    post_fields,
    redirect_url,
    render_authn_request,
    render_logout_request,
    render_logout_response,
)
from saml.shapes import read_signatures
from saml.verifier import keys_of, verify_element
from tests.saml_forge.keys import SP
from tests.saml_forge.messages import ACS, MAIL_FORMAT, NOW, SP_ENTITY, after

SIGNER = Signer(SP.private_pem, SP.certificate)
ENVELOPE = Envelope("_id", NOW, SP_ENTITY, "https://idp.example.org/sso?a=<b>")
AUTHN = render_authn_request(ENVELOPE, acs_url=ACS)


def test_id_begins_with_no_digit_and_holds_all_that_was_drawn() -> None:
    assert message_id(bytes(20)) == "_" + "0" * 40
    with pytest.raises(ValueError, match="16 random octets"):
        message_id(bytes(15))


def test_request_says_who_asks_and_where_the_answer_goes() -> None:
    root = etree.fromstring(AUTHN)

    assert root.tag == f"{{{names.SAMLP}}}AuthnRequest"
    assert dict(root.attrib) == {
        "ID": "_id",
        "Version": "2.0",
        "IssueInstant": "2026-05-04T10:00:00Z",
        "Destination": "https://idp.example.org/sso?a=<b>",
        "ProtocolBinding": names.BINDING_POST,
        "AssertionConsumerServiceURL": ACS,
    }
    assert root.findtext(names.ISSUER) == SP_ENTITY
    assert [child.tag.rpartition("}")[2] for child in root] == ["Issuer", "NameIDPolicy"]


def test_request_asks_anew_and_for_a_context_only_when_told_to() -> None:
    root = etree.fromstring(
        render_authn_request(ENVELOPE, acs_url=ACS, force_authn=True, requested_authn_context="urn:a urn:b")
    )

    assert root.get("ForceAuthn") == "true"
    assert root[-1].get("Comparison") == "exact"
    assert [reference.text for reference in root[-1]] == ["urn:a", "urn:b"]


def test_logout_names_the_person_as_the_provider_did() -> None:
    name_id = NameID("anna", MAIL_FORMAT, "idp", "sp", "own")

    root = etree.fromstring(
        render_logout_request(ENVELOPE, name_id=name_id, session_index="_s", not_on_or_after=NOW)
    )

    element = root.find(names.NAME_ID)
    assert element.text == "anna"
    assert dict(element.attrib) == {
        "Format": MAIL_FORMAT,
        "NameQualifier": "idp",
        "SPNameQualifier": "sp",
        "SPProvidedID": "own",
    }
    assert root.findtext(names.SESSION_INDEX) == "_s"
    assert root.get("NotOnOrAfter") == after(0)


def test_logout_of_every_session_names_none() -> None:
    document = render_logout_request(ENVELOPE, name_id=NameID("anna"), session_index="", not_on_or_after=NOW)

    assert etree.fromstring(document).find(names.SESSION_INDEX) is None


@pytest.mark.parametrize(("is_success", "code"), [(True, names.SUCCESS), (False, names.RESPONDER)])
def test_answer_to_a_logout_says_whether_it_was_done(is_success: bool, code: str) -> None:
    root = etree.fromstring(render_logout_response(ENVELOPE, in_response_to="_r", is_success=is_success))

    assert root.get("InResponseTo") == "_r"
    assert root.find(f"{names.STATUS}/{names.STATUS_CODE}").get("Value") == code


def _query(url: str) -> dict[str, Any]:
    return parse_qs(urlsplit(url).query, strict_parsing=True)


def test_redirect_carries_the_deflated_message_beside_what_the_address_holds() -> None:
    url = redirect_url("https://idp.example.org/sso?tenant=1", AUTHN, parameter=REQUEST, relay_state="a&b")

    query = _query(url)
    assert set(query) == {"tenant", REQUEST, "RelayState"}
    assert query["RelayState"] == ["a&b"]
    assert zlib.decompress(base64.b64decode(query[REQUEST][0]), -15) == AUTHN


def test_redirect_is_signed_over_the_octets_of_the_address() -> None:
    url = redirect_url(
        "https://idp.example.org/sso", AUTHN, parameter=REQUEST, relay_state="r", signer=SIGNER
    )

    signed, _, _ = urlsplit(url).query.partition("&Signature=")
    query = _query(url)
    assert list(query) == [REQUEST, "RelayState", "SigAlg", "Signature"]
    assert query["SigAlg"] == [names.RSA_SHA256]
    signature = base64.b64decode(query["Signature"][0])
    SP.private.public_key().verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())


def test_posted_message_is_signed_behind_its_issuer() -> None:
    fields = post_fields(AUTHN, parameter=RESPONSE, relay_state="r", signer=SIGNER)

    assert set(fields) == {RESPONSE, "RelayState"}
    document = read_document(base64.b64decode(fields[RESPONSE]))
    assert document.root[1].tag == names.SIGNATURE
    (signature,) = read_signatures(document, [document.root])
    assert signature is not None
    assert b"NameIDPolicy" in verify_element(signature, keys_of(Trust((SP.certificate,))))


def test_posted_message_without_a_key_is_the_message() -> None:
    assert post_fields(AUTHN, parameter=REQUEST) == {REQUEST: base64.b64encode(AUTHN).decode()}


def test_redirect_without_a_relay_state_names_none() -> None:
    url = redirect_url("https://idp.example.org/sso", AUTHN, parameter=REQUEST, signer=SIGNER)

    assert list(_query(url)) == [REQUEST, "SigAlg", "Signature"]
