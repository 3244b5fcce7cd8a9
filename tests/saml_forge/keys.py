"""The test keys, and what is done with them: signatures and key transport, with salts and seeds that are given."""

import base64
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

FOLDER = Path(__file__).parents[1] / "payloads" / "saml_keys"
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "md5": hashes.MD5,
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


@dataclass(frozen=True, slots=True)
class Key:
    """A private key and its certificate."""

    name: str
    private_pem: bytes = field(repr=False)
    certificate: bytes = field(repr=False)

    @property
    def certificate_text(self) -> str:
        """The DER in base64, as KeyInfo and metadata show it."""
        return base64.b64encode(self.certificate).decode()

    @property
    def private(self) -> Any:  # noqa: ANN401 - RSA or EC, as the algorithm asks for
        return _load(self.private_pem)

    @property
    def rsa(self) -> rsa.RSAPrivateNumbers:
        numbers = self.private.private_numbers()
        assert isinstance(numbers, rsa.RSAPrivateNumbers)
        return numbers

    @property
    def public_pem(self) -> bytes:
        """As an attacker has it who takes the certificate for a shared secret."""
        made: bytes = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return made

    @property
    def certificate_pem(self) -> bytes:
        return x509.load_der_x509_certificate(self.certificate).public_bytes(serialization.Encoding.PEM)


@functools.cache
def _load(pem: bytes) -> Any:  # noqa: ANN401 - as above
    return serialization.load_pem_private_key(pem, None)


def load_key(name: str) -> Key:
    """The key of tests/payloads/saml_keys/<name>.pem."""
    pem = (FOLDER / f"{name}.pem").read_bytes()
    head, mark, _ = pem.partition(b"-----END PRIVATE KEY-----\n")
    certificate = x509.load_pem_x509_certificate(pem)
    return Key(name, head + mark, certificate.public_bytes(serialization.Encoding.DER))


IDP = load_key("idp")
IDP_NEXT = load_key("idp-next")
IDP_P256 = load_key("idp-p256")
IDP_EXPIRED = load_key("idp-expired")
OTHER_IDP = load_key("other-idp")
ATTACKER = load_key("attacker")
SP = load_key("sp")
SP_NEXT = load_key("sp-next")
OTHER_SP = load_key("other-sp")


def sign_rsa(key: Key, name: str, data: bytes) -> bytes:
    """RSASSA-PKCS1-v1_5, with any digest that there ever was."""
    signed: bytes = key.private.sign(data, padding.PKCS1v15(), _HASHES[name]())
    return signed


def sign_ecdsa(key: Key, name: str, data: bytes) -> bytes:
    """ECDSA as XML has it: r and s side by side. The nonce is that of RFC 6979."""
    der = key.private.sign(data, ec.ECDSA(_HASHES[name](), deterministic_signing=True))
    size = (key.private.curve.key_size + 7) // 8
    return b"".join(number.to_bytes(size, "big") for number in utils.decode_dss_signature(der))


def sign_pss(key: Key, name: str, data: bytes) -> bytes:
    """RSASSA-PSS, RFC 8017 section 9.1.1, MGF1 with the same digest and a salt of its length (RFC 9231)."""
    digest = hashlib.new(name, data).digest()
    salt = _stretch(b"salt" + digest, len(digest), name)
    numbers = key.rsa.public_numbers
    bits = numbers.n.bit_length() - 1
    length = (bits + 7) // 8
    hashed = hashlib.new(name, bytes(8) + digest + salt).digest()
    block = bytes(length - len(salt) - len(hashed) - 2) + b"\x01" + salt
    masked = bytearray(_xor(block, _stretch(hashed, len(block), name)))
    masked[0] &= 0xFF >> (8 * length - bits)
    return _private(key, bytes(masked) + hashed + b"\xbc")


def sign_hmac(secret: bytes, name: str, data: bytes) -> bytes:
    """What is no signature at all to whoever knows the secret, and here everybody does."""
    made = hmac.HMAC(secret, _HASHES[name]())
    made.update(data)
    return made.finalize()


def wrap_oaep(key: Key, secret: bytes, *, digest: str = "sha1", mask: str = "sha1") -> bytes:
    """RSAES-OAEP to the key, RFC 8017 section 7.1.1, with a seed made of the secret."""
    size = (key.rsa.public_numbers.n.bit_length() + 7) // 8
    label = hashlib.new(digest, b"").digest()
    padding_length = size - len(secret) - 2 * len(label) - 2
    block = label + bytes(padding_length) + b"\x01" + secret
    seed = _stretch(b"seed" + secret, len(label), digest)
    masked = _xor(block, _stretch(seed, len(block), mask))
    masked_seed = _xor(seed, _stretch(masked, len(seed), mask))
    return _public(key, b"\x00" + masked_seed + masked)


def wrap_pkcs1(key: Key, secret: bytes, *, head: bytes = b"\x00\x02") -> bytes:
    """RSAES-PKCS1-v1_5, whose padding an oracle tells. Another `head` is a probe of such an oracle."""
    size = (key.rsa.public_numbers.n.bit_length() + 7) // 8
    filler = _stretch(b"filler" + secret, size - len(secret) - 3, "sha256").replace(b"\x00", b"\x01")
    return _public(key, head + filler + b"\x00" + secret)


def _stretch(seed: bytes, length: int, name: str) -> bytes:
    """MGF1, RFC 8017 appendix B.2.1."""
    parts = [hashlib.new(name, seed + count.to_bytes(4, "big")).digest() for count in range(length // 16 + 1)]
    return b"".join(parts)[:length]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _private(key: Key, block: bytes) -> bytes:
    numbers = key.rsa
    return _power(block, numbers.d, numbers.public_numbers.n)


def _public(key: Key, block: bytes) -> bytes:
    numbers = key.rsa.public_numbers
    return _power(block, numbers.e, numbers.n)


def _power(block: bytes, exponent: int, modulus: int) -> bytes:
    size = (modulus.bit_length() + 7) // 8
    return pow(int.from_bytes(block, "big"), exponent, modulus).to_bytes(size, "big")
