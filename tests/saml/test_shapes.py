import pytest

from saml import names
from saml.errors import Denial, LoginDenied
from saml.gate import read_document
from saml.shapes import check_decrypted, check_response, read_encrypted
from tests.saml_forge import messages
from tests.saml_forge.encryption import OAEP11, XENC11, encrypt, encrypted
from tests.saml_forge.messages import ASSERTION, DS, RESPONSE, XENC
from tests.saml_forge.signing import ENVELOPED, EXCLUSIVE, sign, transforms

FAILED = "urn:oasis:names:tc:SAML:2.0:status:Responder"


def shape_refused(text: str) -> LoginDenied:
    with pytest.raises(LoginDenied) as denied:
        check_response(read_document(text.encode()))
    return denied.value


def encrypted_refused(text: str) -> Denial:
    with pytest.raises(LoginDenied) as denied:
        read_encrypted(read_document(text.encode()).root)
    return denied.value.reason


def test_response_without_an_assertion_tells_the_status_that_it_gives() -> None:
    text = messages.response("", state=messages.status(FAILED, "urn:nested")).replace("<saml:Assertion", "<x")

    denied = shape_refused(text)

    assert denied.reason == Denial.STATUS_NOT_SUCCESS
    assert denied.found == f"{FAILED} / urn:nested"


def test_response_without_an_assertion_that_claims_success_is_no_response() -> None:
    assert shape_refused(messages.response("")).reason == Denial.XML_REFUSED


def test_shape_tells_which_element_each_signature_signs() -> None:
    text = sign(sign(messages.response(), ASSERTION), RESPONSE)

    shape = check_response(read_document(text.encode()))

    assert shape.signature is not None
    assert shape.signature.signed.get("ID") == RESPONSE
    assert shape.assertion_signature is not None
    assert shape.assertion_signature.signed.get("ID") == ASSERTION
    assert shape.assertion_signature.digest_name == "sha256"


@pytest.mark.parametrize(
    "chain",
    [
        transforms(first="<ds:Other/>"),
        f'<ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"><x/></ds:Transform>'
        f'<ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>',
        f'<ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"/>'
        f'<ds:Transform Algorithm="{EXCLUSIVE}"><x/></ds:Transform></ds:Transforms>',
        f'<ds:Transforms><ds:Transform Algorithm="{EXCLUSIVE}"/>'
        f'<ds:Transform Algorithm="{ENVELOPED}"/></ds:Transforms>',
        transforms(" ".join(f"n{number}" for number in range(9))),
    ],
)
def test_transforms_hold_nothing_but_the_two_and_a_few_prefixes(chain: str) -> None:
    assert (
        shape_refused(sign(messages.response(), ASSERTION, transforms=chain)).reason == Denial.SIGNATURE_SHAPE
    )


def test_digest_that_is_no_base64_is_refused() -> None:
    text = sign(messages.response(), ASSERTION, digest_text=lambda text: f"*{text}")

    assert shape_refused(text).reason == Denial.SIGNATURE_SHAPE


def test_oaep_of_xml_encryption_1_1_may_name_its_digest_and_its_mask() -> None:
    parameters = f'<ds:DigestMethod Algorithm="{XENC}sha256"/><xenc11:MGF xmlns:xenc11="{XENC11}" '
    text = encrypted(b"x", transport=OAEP11, oaep=f'{parameters}Algorithm="{XENC11}mgf1sha512"/>')

    (wrapped,) = read_encrypted(read_document(text.encode()).root).keys

    assert (wrapped.digest, wrapped.mask) == ("sha256", "sha512")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (encrypted(b"x", oaep=f'<ds:DigestMethod Algorithm="{DS}md5"/>'), Denial.ALGORITHM_REFUSED),
        (encrypted(b"x", oaep="<xenc:OAEPparams>AAAA</xenc:OAEPparams>"), Denial.ALGORITHM_REFUSED),
        (
            encrypted(b"x", oaep=f'<q:MGF xmlns:q="{XENC11}" Algorithm="{XENC11}mgf1sha256"/>'),
            Denial.ALGORITHM_REFUSED,
        ),
        (
            encrypted(b"x").replace("</saml:EncryptedAssertion>", "<x/></saml:EncryptedAssertion>"),
            Denial.XML_REFUSED,
        ),
        (encrypted(b"x").replace("CipherValue>", "CipherReference>"), Denial.XML_REFUSED),
        (encrypted(b"x").replace("CipherValue>", "CipherValue>*"), Denial.XML_REFUSED),
    ],
)
def test_ciphertext_of_another_shape_is_refused(text: str, reason: Denial) -> None:
    assert encrypted_refused(text) == reason


def test_encrypted_assertion_keeps_the_namespaces_around_it() -> None:
    shape = check_response(read_document(encrypt(messages.response()).encode()))
    assert shape.encrypted is not None

    assert read_encrypted(shape.encrypted).around["samlp"] == names.SAMLP


def test_ciphertext_in_a_ciphertext_is_refused_wherever_it_stands() -> None:
    inside = messages.assertion(more=f"<saml:Advice>{encrypted(b'x')}</saml:Advice>")

    with pytest.raises(LoginDenied) as denied:
        check_decrypted(read_document(inside.encode()))

    assert denied.value.reason == Denial.XML_REFUSED
