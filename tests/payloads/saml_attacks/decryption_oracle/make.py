"""Class 18: ciphertexts that ask what our key makes of them. All fail alike."""

import hashlib
from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.encryption import (
    AES128_CBC,
    AES256_CBC,
    AES256_GCM,
    RSA15,
    encrypted,
    seal,
)
from tests.saml_forge.keys import ATTACKER, SP, wrap_oaep, wrap_pkcs1
from tests.saml_forge.messages import ASSERTION, RESPONSE, assertion, response
from tests.saml_forge.signing import sign

FAILED = Denial.DECRYPTION_FAILED
# Told apart in the event, and by nothing that the sender can see.
NOT_XML = Denial.XML_REFUSED
SECRET = hashlib.sha256(b"oracle").digest()


def make(canary: str) -> Iterator[Attack]:
    """In an unsigned response each reaches our key; what is wrong is never told apart."""
    plain = sign(assertion(), ASSERTION).encode()
    yield from probes(plain)
    yield from damage(plain)
    yield from shapes(plain, canary)


def probes(plain: bytes) -> Iterator[Attack]:
    for name, head in (
        ("well-padded", b"\x00\x02"),
        ("badly-padded", b"\x00\x01"),
        ("no-padding", b"\x11\x02"),
    ):
        made = encrypted(plain, transport=RSA15, wrapped=wrap_pkcs1(SP, SECRET, head=head))
        yield attack(
            f"rsa15-{name}",
            Denial.ALGORITHM_REFUSED,
            "Bleichenbacher: refused before it is tried",
            response(made),
        )
    # The name says OAEP, the padding is the other.
    made = encrypted(plain, wrapped=wrap_pkcs1(SP, SECRET), sealed=seal(AES256_GCM, SECRET, plain))
    yield attack(
        "rsa15-under-the-name-of-oaep", FAILED, "the same padding under another name", response(made)
    )
    for name, wrapped in (
        ("zero", bytes(256)),
        ("ones", b"\xff" * 256),
        ("short", b"\x01" * 16),
        ("long", b"\x01" * 512),
        ("empty", b""),
    ):
        made = encrypted(plain, wrapped=wrapped)
        yield attack(f"oaep-{name}", FAILED, "Manger: no key of ours opens it", response(made))
    wrong = encrypted(plain, key=ATTACKER)
    yield attack("for-another-key", FAILED, "no key of ours opens it", response(wrong))
    for size in (8, 15, 24, 33):
        made = encrypted(plain, wrapped=wrap_oaep(SP, SECRET[:1] * size))
        yield attack(f"secret-of-{size}-octets", FAILED, "a secret of another length", response(made))


def damage(plain: bytes) -> Iterator[Attack]:
    for cipher in (AES128_CBC, AES256_GCM):
        name = cipher[-3:]
        secret = SECRET[:16] if "128" in cipher else SECRET
        whole = seal(cipher, secret, plain)
        for kind, sealed in (
            ("last-octet", whole[:-1] + bytes([whole[-1] ^ 1])),
            ("first-octet", bytes([whole[0] ^ 1]) + whole[1:]),
            ("middle-octet", whole[:200] + bytes([whole[200] ^ 0x80]) + whole[201:]),
            ("cut-by-one", whole[:-1]),
            ("cut-by-a-block", whole[:-16]),
            ("nonce-only", whole[:12]),
            ("empty", b""),
        ):
            made = encrypted(plain, cipher=cipher, wrapped=wrap_oaep(SP, secret), sealed=sealed)
            # CBC lets it through as other text, which fails as that text does.
            is_text = name == "cbc" and kind in {"first-octet", "middle-octet"}
            yield attack(
                f"{name}-{kind}", NOT_XML if is_text else FAILED, "a padding oracle asks so", response(made)
            )
    for count in (0, 17, 255):
        sealed = seal(AES256_CBC, SECRET, plain, filler=count)
        made = encrypted(plain, cipher=AES256_CBC, wrapped=wrap_oaep(SP, SECRET), sealed=sealed)
        reason = FAILED if count else NOT_XML
        yield attack(f"cbc-padding-of-{count}", reason, "Jager and Somorovsky (CCS 2011)", response(made))
    for name, text in (
        ("garbage", b"\x80\x81\x82\x83" * 8),
        ("text", b"hello"),
        ("nothing", b""),
        ("half", plain[:300]),
    ):
        made = encrypted(text)
        yield attack(f"decrypts-to-{name}", NOT_XML, "what comes out is no element", response(made))
    genuine = sign(response(encrypted(plain)), RESPONSE)
    head, mark, tail = genuine.rpartition("<xenc:CipherValue>")
    changed = head + mark + ("B" if tail[0] != "B" else "C") + tail[1:]
    yield attack(
        "changed-under-a-signature",
        Denial.SIGNATURE_INVALID,
        "a signed response is verified before anything is decrypted",
        changed,
    )


def shapes(plain: bytes, canary: str) -> Iterator[Attack]:
    reference = f'<xenc:CipherReference URI="{canary}/cipher"/>'
    for name, data in (
        ("cipher-reference", reference),
        ("no-cipher-value", ""),
        ("two-cipher-values", "<xenc:CipherValue>AAAA</xenc:CipherValue>" * 2),
        ("cipher-value-no-base64", "<xenc:CipherValue>*</xenc:CipherValue>"),
    ):
        made = encrypted(plain, cipher_data=data)
        reason = FAILED if name.endswith("base64") else NOT_XML
        yield attack(name, reason, "not the shape of a ciphertext", response(made))
    yield attack(
        "empty-encrypted-assertion",
        NOT_XML,
        "nothing is encrypted",
        response("<saml:EncryptedAssertion/>"),
    )
    start, mark, rest = encrypted(plain).partition("<xenc:EncryptedKey")
    inner, end, tail = rest.partition("</xenc:EncryptedKey>")
    yield attack("no-encrypted-key", NOT_XML, "no secret is sent", response(start + tail))
    many = start + (mark + inner + end) * 50 + tail
    yield attack("fifty-encrypted-keys", NOT_XML, "each costs us a private operation", response(many))
    yield attack(
        "no-key-of-ours", FAILED, "the connection has no key", response(encrypted(plain)), private_keys=()
    )
