"""Class 4: algorithms that prove nothing, or no longer enough."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.encryption import RSA15, TRIPLE_DES, encrypt
from tests.saml_forge.keys import IDP, IDP_P256, sign_hmac
from tests.saml_forge.messages import ASSERTION, DS, RESPONSE, response
from tests.saml_forge.signing import INCLUSIVE, MORE, SHA1, sign

REFUSED = Denial.ALGORITHM_REFUSED
HMAC = f"{MORE}hmac-sha256"


def make(canary: str) -> Iterator[Attack]:
    """Each of them signed as its name says, with the genuine key where it asks for one."""
    yield from secrets()
    yield from weak()
    yield from mixed()


def secrets() -> Iterator[Attack]:
    for name, secret in (
        ("hmac-with-certificate-der", IDP.certificate),
        ("hmac-with-certificate-pem", IDP.certificate_pem),
        ("hmac-with-public-key-pem", IDP.public_pem),
        ("hmac-with-empty-secret", b""),
    ):
        made = sign(
            response(),
            ASSERTION,
            method=HMAC,
            signs=lambda octets, secret=secret: sign_hmac(secret, "sha256", octets),
        )
        yield attack(name, REFUSED, "what is public is taken for a shared secret", made)
    for length in (0, 8):
        made = sign(
            response(),
            ASSERTION,
            method=HMAC,
            method_inner=f"<ds:HMACOutputLength>{length}</ds:HMACOutputLength>",
            signs=lambda octets, length=length: sign_hmac(b"", "sha256", octets)[: length // 8],
        )
        yield attack(f"hmac-of-{length}-bits", REFUSED, "CVE-2009-0217", made)
    made = sign(
        response(),
        ASSERTION,
        method_inner="<ds:HMACOutputLength>8</ds:HMACOutputLength>",
    )
    yield attack("rsa-with-output-length", REFUSED, "CVE-2009-0217 on a method without it", made)
    for name, method in (
        ("none", "none"),
        ("none-of-xml", f"{DS}none"),
        ("empty", ""),
        ("unknown", "urn:example:signature"),
        ("rsa-sha256-in-capitals", f"{MORE}RSA-SHA256"),
    ):
        made = sign(response(), ASSERTION, method=method, signs=lambda _: b"")
        yield attack(f"method-{name}", REFUSED, "no method at all", made)


def weak() -> Iterator[Attack]:
    for name, method in (
        ("rsa-md5", f"{MORE}rsa-md5"),
        ("rsa-sha1", f"{DS}rsa-sha1"),
        ("rsa-sha224", f"{MORE}rsa-sha224"),
        ("rsa-pss-sha1", "http://www.w3.org/2007/05/xmldsig-more#sha1-rsa-MGF1"),
        ("dsa-sha1", f"{DS}dsa-sha1"),
        ("ripemd160", f"{MORE}rsa-ripemd160"),
    ):
        yield attack(
            f"signature-{name}",
            REFUSED,
            "not on the list of methods",
            sign(response(), ASSERTION, method=method),
        )
    made = sign(response(), ASSERTION, method=f"{MORE}ecdsa-sha1", key=IDP_P256)
    yield attack("signature-ecdsa-sha1", REFUSED, "not on the list of methods", made)
    for name, digest in (
        ("md5", f"{MORE}md5"),
        ("sha1", SHA1),
        ("sha224", f"{MORE}sha224"),
        ("unknown", "urn:example:digest"),
        ("empty", ""),
    ):
        yield attack(
            f"digest-{name}",
            REFUSED,
            "not on the list of digests",
            sign(response(), ASSERTION, digest=digest),
        )
    exclusive_with = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
    for name, method in (
        ("inclusive", INCLUSIVE),
        ("inclusive-1-1", "http://www.w3.org/2006/12/xml-c14n11"),
        ("with-comments", exclusive_with),
        ("inclusive-with-comments", INCLUSIVE + "#WithComments"),
        ("unknown", "urn:example:canonical"),
        ("empty", ""),
    ):
        made = sign(response(), ASSERTION, canonical=method)
        yield attack(f"canonicalization-{name}", REFUSED, "only exclusive c14n is taken", made)


def mixed() -> Iterator[Attack]:
    weak_inside = sign(sign(response(), ASSERTION, method=f"{DS}rsa-sha1"), RESPONSE)
    yield attack("strong-outside-weak-inside", REFUSED, "every signature counts", weak_inside)
    digest_inside = sign(sign(response(), ASSERTION, digest=SHA1), RESPONSE)
    yield attack("strong-outside-weak-digest-inside", REFUSED, "every signature counts", digest_inside)
    weak_outside = sign(sign(response(), ASSERTION), RESPONSE, method=f"{DS}rsa-sha1")
    yield attack("weak-outside-strong-inside", REFUSED, "every signature counts", weak_outside)
    hidden = encrypt(sign(response(), ASSERTION, method=f"{DS}rsa-sha1"))
    yield attack("weak-in-ciphertext", REFUSED, "a gate before decryption does not see it", hidden)
    hidden = sign(encrypt(sign(response(), ASSERTION, digest=SHA1)), RESPONSE)
    yield attack("strong-outside-weak-in-ciphertext", REFUSED, "both signatures count", hidden)
    signed = sign(response(), ASSERTION)
    for name, said in (
        ("transport-rsa15", {"transport": RSA15}),
        ("transport-unknown", {"transport": "urn:example:transport"}),
        ("cipher-3des", {"cipher": TRIPLE_DES}),
        ("cipher-unknown", {"cipher": "urn:example:cipher"}),
        ("cipher-null", {"cipher": ""}),
    ):
        changed = encrypt(signed, **said)
        yield attack(f"encryption-{name}", REFUSED, "not on the list of ciphers", changed)
