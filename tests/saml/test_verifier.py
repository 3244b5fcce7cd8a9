from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from saml import names
from saml.errors import Denial, LoginDenied
from saml.gate import read_document
from saml.login import Trust
from saml.pipeline import judge_response
from saml.shapes import SignatureShape, check_response, read_encrypted
from saml.verifier import Keys, decrypt, keys_of, verify_element, verify_octets
from tests.saml_forge import messages
from tests.saml_forge.accepted import expectations, form_value
from tests.saml_forge.encryption import AES256_CBC, encrypt
from tests.saml_forge.keys import ATTACKER, IDP, IDP_P256, OTHER_SP, SP, SP_NEXT, sign_rsa
from tests.saml_forge.messages import ASSERTION, DS, RESPONSE
from tests.saml_forge.signing import sign

TRUST = Trust((IDP.certificate,), (SP.private_pem,))


def shape_of(text: str) -> SignatureShape:
    shape = check_response(read_document(text.encode()))
    found = shape.signature or shape.assertion_signature
    assert found is not None
    return found


def test_octets_are_those_of_the_signed_element_without_its_signature() -> None:
    octets = verify_element(shape_of(sign(messages.response(), ASSERTION)), keys_of(TRUST))

    assert octets.startswith(b"<saml:Assertion xmlns:saml=")
    assert octets.endswith(b"</saml:Assertion>")
    assert b"Signature" not in octets


def test_text_behind_a_signature_stays_in_what_was_signed() -> None:
    plain = messages.response().replace("</saml:Issuer><samlp:Status>", "</saml:Issuer>\n<samlp:Status>")
    signed = sign(plain, RESPONSE).replace("</saml:Issuer>\n", "</saml:Issuer>")

    text = signed.replace("</ds:Signature>", "</ds:Signature>\n")

    assert b"</saml:Issuer>\n<samlp:Status>" in verify_element(shape_of(text), keys_of(TRUST))


def test_text_behind_a_signature_that_comes_first_stays() -> None:
    plain = messages.response(issued_by="").replace("<samlp:Status>", "\n<samlp:Status>")
    signed = sign(plain, RESPONSE).replace("\n<ds:Signature", "<ds:Signature")

    text = signed.replace("</ds:Signature>", "</ds:Signature>\n")

    assert b">\n<samlp:Status>" in verify_element(shape_of(text), keys_of(TRUST))


def test_digest_made_here_must_agree_with_the_library() -> None:
    shape = replace(shape_of(sign(messages.response(), ASSERTION)), digest=bytes(32))

    with pytest.raises(LoginDenied) as denied:
        verify_element(shape, keys_of(TRUST))

    assert denied.value.reason == Denial.SIGNATURE_INVALID


def test_what_cannot_be_canonicalised_here_is_refused() -> None:
    shape = replace(shape_of(sign(messages.response(), ASSERTION)), prefixes=("\0",))

    with pytest.raises(LoginDenied) as denied:
        verify_element(shape, keys_of(TRUST))

    assert denied.value.reason == Denial.SIGNATURE_INVALID


def test_decrypted_text_without_a_canonical_form_is_refused() -> None:
    text = messages.response(messages.assertion(more='<saml:Advice><x xmlns="relative"/></saml:Advice>'))
    signed = sign(encrypt(text), RESPONSE)

    with pytest.raises(LoginDenied) as denied:
        judge_response(form_value("x.xml", signed.encode()), trust=TRUST, expectations=expectations({}))

    assert denied.value.reason == Denial.SIGNATURE_INVALID


def test_keys_are_prepared_once_for_a_trust() -> None:
    trust = Trust((IDP.certificate, IDP_P256.certificate, b"none", _ed25519()), (SP.private_pem,))

    keys = keys_of(trust)

    assert keys_of(trust) is keys
    assert (len(keys.rsa_keys), len(keys.ec_keys), len(keys.private)) == (1, 1, 1)
    assert trust == Trust(trust.certificates, trust.private_keys)


def test_no_key_of_a_kind_is_no_signature_of_it() -> None:
    shape = shape_of(sign(messages.response(), ASSERTION))

    with pytest.raises(LoginDenied) as denied:
        verify_element(shape, keys_of(Trust((IDP_P256.certificate,))))

    assert denied.value.reason == Denial.SIGNATURE_INVALID


def test_octets_are_verified_by_any_key_of_the_connection() -> None:
    keys = keys_of(Trust((ATTACKER.certificate, IDP.certificate)))
    signature = sign_rsa(IDP, "sha256", b"octets")

    verify_octets(b"octets", signature, names.RSA_SHA256, keys)
    with pytest.raises(LoginDenied) as denied:
        verify_octets(b"other", signature, names.RSA_SHA256, keys)

    assert denied.value.reason == Denial.SIGNATURE_INVALID


def test_octets_signed_with_sha1_are_refused_by_name() -> None:
    with pytest.raises(LoginDenied) as denied:
        verify_octets(b"octets", b"", f"{DS}rsa-sha1", keys_of(TRUST))

    assert denied.value.reason == Denial.ALGORITHM_REFUSED


def test_many_threads_share_one_trust() -> None:
    texts = [sign(encrypt(sign(messages.response(), ASSERTION), cipher=AES256_CBC), RESPONSE)]
    texts.append(sign(messages.response(), ASSERTION))
    trust = Trust(
        (ATTACKER.certificate, IDP.certificate), (OTHER_SP.private_pem, SP_NEXT.private_pem, SP.private_pem)
    )
    fields = [form_value("x.xml", text.encode()) for text in texts] * 60

    with ThreadPoolExecutor(8) as pool:
        logins = list(
            pool.map(lambda one: judge_response(one, trust=trust, expectations=expectations({})), fields)
        )

    assert {login.assertion_id for login in logins} == {ASSERTION}


def _ed25519() -> bytes:
    """A certificate whose key no accepted algorithm uses."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, messages.NOW, messages.NOW)
    return made.sign(key, None).public_bytes(serialization.Encoding.DER)


class Counting(tuple[Any, ...]):
    """Keys that count how often they are tried, and how often in vain."""

    tried = 0
    in_vain = 0

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - as of a tuple
        self.in_vain += 1
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[Any]:
        self.tried += 1
        return super().__iter__()


def _work(text: str) -> tuple[int, int]:
    """How often keys were tried on the way to a refusal, and how often xmlsec verified in vain."""
    trust = Trust((IDP.certificate,), (SP.private_pem,))
    made = keys_of(trust)
    counting = Counting(made.rsa_keys)
    trust.memo["keys"] = Keys(counting, made.ec_keys, made.private)
    with pytest.raises(LoginDenied):
        judge_response(form_value("x.xml", text.encode()), trust=trust, expectations=expectations({}))
    return counting.tried, counting.in_vain


def test_ciphertext_that_does_not_open_costs_a_signature_as_one_that_does() -> None:
    forged = sign(messages.response(), ASSERTION, key=ATTACKER)

    assert _work(encrypt(forged)) == (1, 1)
    assert _work(encrypt(forged, sealed=bytes(4000))) == (1, 1)
    assert _work(encrypt(forged, key=OTHER_SP)) == (1, 1)
    assert _work(encrypt(messages.response())) == (1, 1)


def test_what_a_stranger_has_signed_in_the_open_is_not_even_canonicalised() -> None:
    assert _work(sign(messages.response(), ASSERTION, key=ATTACKER)) == (1, 0)


def test_nothing_is_decrypted_in_a_signed_response_that_is_not_verified() -> None:
    text = sign(encrypt(sign(messages.response(), ASSERTION), sealed=b""), RESPONSE, key=ATTACKER)

    with pytest.raises(LoginDenied) as denied:
        judge_response(form_value("x.xml", text.encode()), trust=TRUST, expectations=expectations({}))

    assert denied.value.reason == Denial.SIGNATURE_INVALID


def test_ciphertext_is_opened_by_any_key_of_ours() -> None:
    shape = check_response(read_document(encrypt(messages.response()).encode()))
    assert shape.encrypted is not None

    opened = decrypt(
        read_encrypted(shape.encrypted), keys_of(Trust((), (OTHER_SP.private_pem, SP.private_pem)))
    )

    assert opened.startswith(b"<saml:Assertion")
