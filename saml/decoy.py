"""Work that stands in for what a refused ciphertext did not get to.

Whoever learns whether a ciphertext of their own making opened, or was XML, can decrypt others with it, octet by octet
(Jager and Somorovsky, "How to Break XML Encryption", 2011). So a ciphertext that does not open takes as long as one
that opens and holds an assertion whose signature is wrong.
"""

import contextlib

from saml import gate, names, shapes, verifier
from saml.errors import LoginDenied

_HEAD = (
    f'<saml:Assertion xmlns:saml="{names.SAML}" ID="_decoy" Version="2.0" IssueInstant="2000-01-01T00:00:00Z">'
    f'<saml:Issuer>decoy</saml:Issuer><ds:Signature xmlns:ds="{names.DS}"><ds:SignedInfo>'
    f'<ds:CanonicalizationMethod Algorithm="{names.EXCLUSIVE_C14N}"/><ds:SignatureMethod Algorithm="%s"/>'
    f'<ds:Reference URI="#_decoy"><ds:Transforms><ds:Transform Algorithm="{names.ENVELOPED}"/>'
    f'<ds:Transform Algorithm="{names.EXCLUSIVE_C14N}"/></ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{names.XENC}sha256"/><ds:DigestValue>{"A" * 43}=</ds:DigestValue></ds:Reference>'
    f"</ds:SignedInfo><ds:SignatureValue>{'A' * 342}==</ds:SignatureValue></ds:Signature><saml:AttributeStatement>"
)
_PART = '<saml:Attribute Name="decoy"><saml:AttributeValue>decoy</saml:AttributeValue></saml:Attribute>'
_TAIL = "</saml:AttributeStatement></saml:Assertion>"


def spend(ciphertext_length: int, keys: verifier.Keys) -> None:
    """Do the work of an assertion whose ciphertext has so many characters of base64."""
    head = _HEAD % (names.RSA_SHA256 if keys.rsa_keys else names.ECDSA_SHA256)
    count = max(0, ciphertext_length * 3 // 4 - len(head)) // len(_PART)
    document = f"{head}{_PART * min(count, gate.LIMITS.elements // 2 - 16)}{_TAIL}"
    read = gate.read_document(document.encode())
    shapes.check_assertion(read.root)
    (signature,) = read.all(names.SIGNATURE)
    with contextlib.suppress(LoginDenied):
        verifier.verify_element(shapes.read_signature(signature), keys, is_uniform=True)
