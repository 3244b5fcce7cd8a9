"""Class 3: signatures by a key that the connection does not know, whatever the message says about it."""

import base64
from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.keys import ATTACKER, IDP, IDP_NEXT, OTHER_IDP, SP, Key
from tests.saml_forge.messages import ASSERTION, DS, RESPONSE, response, victims
from tests.saml_forge.signing import sign, x509_data

INVALID = Denial.SIGNATURE_INVALID


def make(canary: str) -> Iterator[Attack]:
    """The same forged assertion, signed by an attacker and shown with different proofs."""

    def forged(key_info: str, key: Key = ATTACKER) -> str:
        return sign(response(victims()), "_forged-1", key=key, key_info=key_info)

    both = x509_data(ATTACKER).replace("</ds:X509Data>", x509_of(IDP) + "</ds:X509Data>")
    turned = x509_data(IDP).replace("</ds:X509Data>", x509_of(ATTACKER) + "</ds:X509Data>")
    remote = f'<ds:RetrievalMethod Type="{DS}X509Data" URI="{canary}/key"/>'
    shown = (
        ("certificate-of-attacker", x509_data(ATTACKER), "the certificate comes with the message"),
        ("certificate-of-idp-over-another-key", x509_data(IDP), "the right certificate, another key"),
        ("both-certificates", both, "the attacker's first, the right one behind it"),
        ("both-certificates-turned-round", turned, "the right one first"),
        ("no-key-info", "", "nothing is said about the key"),
        ("key-value", f"<ds:KeyInfo>{key_value(ATTACKER)}</ds:KeyInfo>", "the bare public key"),
        ("key-name", "<ds:KeyInfo><ds:KeyName>idp</ds:KeyName></ds:KeyInfo>", "a name as our own keys have"),
        ("retrieval-method", f"<ds:KeyInfo>{remote}</ds:KeyInfo>", "the key is to be fetched: nobody does"),
        (
            "retrieval-method-file",
            f'<ds:KeyInfo><ds:RetrievalMethod Type="{DS}rawX509Certificate" URI="file:///etc/hostname"/></ds:KeyInfo>',
            "the key is to be read from a file of ours",
        ),
    )
    for name, key_info, origin in shown:
        yield attack(name, INVALID, origin, forged(key_info))
    yield attack("key-of-our-own", INVALID, "the key that decrypts for us", forged(x509_data(SP), SP))
    yield attack(
        "certificate-not-yet-active",
        INVALID,
        "a certificate that is staged or retired verifies nothing",
        sign(response(), ASSERTION, key=IDP_NEXT),
    )
    yield attack(
        "key-of-another-organisation",
        INVALID,
        "a key that we know, of another connection",
        forged(x509_data(OTHER_IDP), OTHER_IDP),
    )
    inner = sign(response(victims()), "_forged-1", key=ATTACKER)
    yield attack(
        "genuine-outside-foreign-inside",
        INVALID,
        "every signature that is there must be good",
        sign(inner, RESPONSE),
    )
    inner = sign(response(), ASSERTION)
    yield attack(
        "foreign-outside-genuine-inside",
        INVALID,
        "the same turned round",
        sign(inner, RESPONSE, key=ATTACKER),
    )
    yield attack(
        "no-certificate-known",
        Denial.CERTIFICATE_MISSING,
        "a connection without certificates trusts nobody, and not everybody",
        sign(response(), ASSERTION),
        certificates=(),
    )


def x509_of(key: Key) -> str:
    return f"<ds:X509Certificate>{key.certificate_text}</ds:X509Certificate>"


def key_value(key: Key) -> str:
    numbers = key.rsa.public_numbers

    def coded(number: int) -> str:
        return base64.b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()

    return (
        f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{coded(numbers.n)}</ds:Modulus>"
        f"<ds:Exponent>{coded(numbers.e)}</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
    )
