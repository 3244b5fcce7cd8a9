"""Encrypted assertions, XML Encryption 1.1, with secrets and nonces that are given."""

import base64
import hashlib
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from tests.saml_forge.keys import SP, Key, wrap_oaep, wrap_pkcs1
from tests.saml_forge.messages import ASSERTION, DS, SAML, XENC, find, parse, render

XENC11 = "http://www.w3.org/2009/xmlenc11#"
AES128_CBC = f"{XENC}aes128-cbc"
AES256_CBC = f"{XENC}aes256-cbc"
AES128_GCM = f"{XENC11}aes128-gcm"
AES256_GCM = f"{XENC11}aes256-gcm"
TRIPLE_DES = f"{XENC}tripledes-cbc"
OAEP = f"{XENC}rsa-oaep-mgf1p"
OAEP11 = f"{XENC11}rsa-oaep"
RSA15 = f"{XENC}rsa-1_5"


def encrypt(text: str, element_id: str = ASSERTION, **said: Any) -> str:  # noqa: ANN401 - as `encrypted`
    """The document with the element replaced by an EncryptedAssertion of it."""
    tree = parse(text)
    target = find(tree, element_id)
    plain = render(target).encode()
    sealed = parse(encrypted(plain, **said))
    parent = target.getparent()
    parent.replace(target, sealed)
    return render(tree)


def encrypted(
    plain: bytes,
    *,
    key: Key = SP,
    cipher: str = AES256_GCM,
    transport: str = OAEP,
    secret: bytes | None = None,
    wrapped: bytes | None = None,
    sealed: bytes | None = None,
    oaep: str = "",
    keys_beside: bool = False,
    kind: str = f"{XENC}Element",
    cipher_data: str | None = None,
) -> str:
    """An EncryptedAssertion of the octets. `wrapped` and `sealed` replace the ciphertexts.

    `oaep` is what stands in the EncryptionMethod of the key: its digest. `keys_beside` puts the EncryptedKey beside
    the EncryptedData, as Shibboleth does, and not into its KeyInfo.
    """
    if secret is None:
        size = 16 if "128" in cipher else 24 if "triple" in cipher else 32
        secret = hashlib.sha256(b"secret" + plain).digest()[:size]
    if wrapped is None:
        wrapped = wrap_pkcs1(key, secret) if transport == RSA15 else wrap_oaep(key, secret)
    if sealed is None:
        sealed = seal(cipher, secret, plain)
    value = f"<xenc:CipherValue>{base64.b64encode(sealed).decode()}</xenc:CipherValue>"
    encrypted_key = (
        f'<xenc:EncryptedKey Id="_key-1"><xenc:EncryptionMethod Algorithm="{transport}">{oaep}'
        f"</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{base64.b64encode(wrapped).decode()}"
        "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>"
    )
    inside = (
        encrypted_key if not keys_beside else f'<ds:RetrievalMethod Type="{XENC}EncryptedKey" URI="#_key-1"/>'
    )
    return (
        f'<saml:EncryptedAssertion xmlns:saml="{SAML}" xmlns:ds="{DS}" xmlns:xenc="{XENC}">'
        f'<xenc:EncryptedData Type="{kind}"><xenc:EncryptionMethod Algorithm="{cipher}"/>'
        f"<ds:KeyInfo>{inside}</ds:KeyInfo>"
        f"<xenc:CipherData>{value if cipher_data is None else cipher_data}</xenc:CipherData></xenc:EncryptedData>"
        f"{encrypted_key if keys_beside else ''}</saml:EncryptedAssertion>"
    )


def seal(cipher: str, secret: bytes, plain: bytes, *, filler: int | None = None) -> bytes:
    """The ciphertext with its nonce before it. `filler` replaces the last octet of the padding (CBC)."""
    nonce = hashlib.sha256(b"nonce" + secret).digest()
    if cipher.endswith("gcm"):
        return nonce[:12] + AESGCM(secret).encrypt(nonce[:12], plain, None)
    count = 16 - len(plain) % 16
    # XML Encryption 5.2: the last octet says how long the padding is, the others are arbitrary.
    padded = plain + bytes(count - 1) + bytes([count if filler is None else filler])
    # A test of refusing 3DES needs its name only: it is refused before anything is decrypted.
    made = Cipher(AES(secret if len(secret) != 24 else secret[:16]), modes.CBC(nonce[:16])).encryptor()
    return nonce[:16] + made.update(padded) + made.finalize()
