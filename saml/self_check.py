"""The check at start: the libraries verify a signature that is good, and refuse one that is not."""

import base64

from lxml import etree

from saml import gate, shapes, verifier
from saml.errors import LoginDenied
from saml.libraries import LibrariesError, LibraryVersions, library_versions
from saml.login import Trust

# Made once, with a key that was thrown away.
_SIGNED = (
    '<check xmlns="urn:usher:self-check" ID="_check">genuine<ds:Signature '
    'xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod '
    'Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod '
    'Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference '
    'URI="#_check"><ds:Transforms><ds:Transform '
    'Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform '
    'Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="htt'
    'p://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>YvjQ2Z8H3K57hamQtKvZOjljm5IjPBU9J/V9AN+BxOY=<'
    "/ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>At1GBMoR/8QDDxgKcjmx2TdJRcgDTtsRiu"
    "l+CN/KgOobaclpDgy6WWdJHaW5EdYJz2N//RCxPTDeCCaS3kPOmWtIxEqKHrfUQNSvtdE1mVpw8hx6Q3Jf0rEDgtOZAPFT7hejYV"
    "hNvzAV7E+fLAqen2jnTeug9DabIWTOqA2SuUEELTRoTOgnkVPjJJShz3TbL9Nd7pmJbVKICA2tzvQBKy0Ywe07svc4CWq99afblP"
    "D3SLo6zypl8fYJ4QfcuEyr5xOyxh8DjxSIhwkoYgnGUun8TvTDCLAeEYXbJpyJVr+AauvfaFaoC0LXpYSF2dhKr7ikg1qb1T4eRc"
    "GO3DhtQw==</ds:SignatureValue></ds:Signature></check>"
)
_CERTIFICATE = (
    "MIICpTCCAY2gAwIBAgIBATANBgkqhkiG9w0BAQsFADAVMRMwEQYDVQQDDApzZWxmLWNoZWNrMCAXDTI2MDEwMTAwMDAwMFoYDzIx"
    "MjYwMTAxMDAwMDAwWjAVMRMwEQYDVQQDDApzZWxmLWNoZWNrMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAkSttZEJl"
    "DS20So5qocxPbjxMHYicRTctFH3YXeOiAlxiDDxa8G0kC06MCohRKJ5j8VCzJupNFQ4M5LqWcLHyrwo0Dnh89Hri+PO8qGQcejhw"
    "odG93B+1Kb+82QhbAkdZexgad+20gcNRnxYRIXOogqZEdyu03IGqMfxjfiPWhd8lOZxoVz5XinpDdZzWT2qbvCH1t9HyBenVAQSK"
    "/rQzNaHyqQAniucqjY6opDXLM5HmgJUIdmyJNYZbINx3NeSM48gqYOHk1bcjLG5FlWzT1z6NgX5ci3dmy5bKh1c50X+KSrCiE2ow"
    "qCApf1dandFZwH2PDvUHfxCaIThOtjRtRQIDAQABMA0GCSqGSIb3DQEBCwUAA4IBAQBbmTFJSt9I2l29LbZiszU+PKmUSPURklEa"
    "WvTLLJCCH683Jn+s+iahhTyWNvSa9Tcrzl9FowmloLkdZgWCjayyy6Xn+N5YC1tbySWpHhyil/Fl8KVuxTbXX8UC/CtwyVC6oF+9"
    "YA3i76gvP4lkVbNnl+xc3X73xytOBF8IG0V/tviPqAAaAj7ql/s6vW2ru1pFTWL3h+F9DDdQFM5517isTr8aSeyuI4+b8oRy+Yzn"
    "TnAzaFNY93djKVMTCIPXXH4J/fq9ek24IrGyjsUENnxwJS5dNEJjfawL+LbzUvepduDRClh6kCRHU5/w1wMCAYG/t/4mSCNViWfj"
    "rCgGJSfE"
)


def check_saml_libraries(
    *, signed: str = _SIGNED, tampered: str = _SIGNED.replace("genuine", "tampered")
) -> LibraryVersions:
    """Verify a built-in signature, and refuse its twin whose text was changed. Both are parameters for tests only.

    Returns: the versions, for the page of diagnostics.
    Raises: LibrariesError, with the versions and what to do; the service must not start.
    """
    versions = library_versions()
    if not _is_verified(signed):
        raise LibrariesError("the SAML libraries refuse a good signature", versions)
    if _is_verified(tampered):
        raise LibrariesError("the SAML libraries take a changed text for a signed one", versions)
    return versions


def _is_verified(document: str) -> bool:
    keys = verifier.keys_of(Trust((base64.b64decode(_CERTIFICATE),)))
    try:
        read = gate.read_document(document.encode())
        (signature,) = shapes.read_signatures(read, [read.root])
        # Of xmlsec alone: the digest that the verifier makes beside it would hide its fault.
        return signature is not None and verifier.is_signed_by(signature, keys.rsa_keys[0])
    except (LoginDenied, etree.LxmlError):
        return False
