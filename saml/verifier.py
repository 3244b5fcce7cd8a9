"""Signatures and ciphertexts: the one module that knows xmlsec and python3-saml. It gives octets, and no opinion.

What it is handed has passed the gate. A signature is verified by xmlsec with a key of the connection, never with what
the message brings; and what is handed on are the canonical octets whose digest the signature holds, digested here
once more. Nobody reads the tree that was verified.

Nothing of xmlsec is kept between messages but public keys, of which each context takes a copy: contexts and managers
of keys are not safe to share between threads, and a manager takes longer to make than a login (decision 0017).
"""

import contextlib
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree

from saml import names
from saml.errors import Denial, LoginDenied
from saml.libraries import ImportsOfLibraries
from saml.login import Trust
from saml.shapes import EncryptedShape, SignatureShape, WrappedKey

with ImportsOfLibraries():
    import xmlsec
    from onelogin.saml2.utils import OneLogin_Saml2_Utils

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_REFERENCE_TRANSFORMS = (
    xmlsec.Transform.ENVELOPED,
    xmlsec.Transform.EXCL_C14N,
    xmlsec.Transform.SHA256,
    xmlsec.Transform.SHA384,
    xmlsec.Transform.SHA512,
)
# Of the redirect binding, whose signatures are over octets. RSA-PSS has no name in xmlsec's Python module.
_OCTET_METHODS = {
    names.RSA_SHA256: xmlsec.Transform.RSA_SHA256,
    names.RSA_SHA384: xmlsec.Transform.RSA_SHA384,
    names.RSA_SHA512: xmlsec.Transform.RSA_SHA512,
    names.ECDSA_SHA256: xmlsec.Transform.ECDSA_SHA256,
    names.ECDSA_SHA384: xmlsec.Transform.ECDSA_SHA384,
    names.ECDSA_SHA512: xmlsec.Transform.ECDSA_SHA512,
}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key as either library wants it."""

    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    key: xmlsec.Key


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a connection as the libraries want them."""

    rsa_keys: tuple[VerifyingKey, ...]
    ec_keys: tuple[VerifyingKey, ...]
    private: tuple[rsa.RSAPrivateKey, ...] = field(repr=False)

    def for_method(self, method: str) -> tuple[VerifyingKey, ...]:
        """The keys that can have made a signature of the method.

        Raises: LoginDenied, when the connection has no certificate at all.
        """
        if not self.rsa_keys and not self.ec_keys:
            raise LoginDenied(Denial.CERTIFICATE_MISSING, found="no certificate", expected="one at least")
        return self.rsa_keys if method in names.RSA_METHODS else self.ec_keys


def keys_of(trust: Trust) -> Keys:
    """The prepared keys of a trust, made at its first message and kept with it."""
    kept = trust.memo.get("keys")
    if isinstance(kept, Keys):
        return kept
    # Two threads may both get here. They make the same, and the later one stays.
    made = _prepare(trust)
    trust.memo["keys"] = made
    return made


def _prepare(trust: Trust) -> Keys:
    verifying: list[VerifyingKey] = []
    for der in trust.certificates:
        # A certificate that cannot be used verifies nothing; the others of the connection still do.
        with contextlib.suppress(ValueError, UnsupportedAlgorithm, xmlsec.Error):
            public = x509.load_der_x509_certificate(der).public_key()
            if isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
                info = public.public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                verifying.append(VerifyingKey(public, xmlsec.Key.from_memory(info, xmlsec.KeyFormat.PEM)))
    # The keys are of our own making, and to prove their numbers anew takes fifty logins' time.
    private = [
        serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        for pem in trust.private_keys
    ]
    return Keys(
        tuple(one for one in verifying if isinstance(one.public, rsa.RSAPublicKey)),
        tuple(one for one in verifying if isinstance(one.public, ec.EllipticCurvePublicKey)),
        tuple(key for key in private if isinstance(key, rsa.RSAPrivateKey)),
    )


def verify_element(shape: SignatureShape, keys: Keys, *, is_uniform: bool = False) -> bytes:
    """The canonical octets of the signed element, without its signature, which is taken out of the tree.

    Which key has made the signature is found first, by the few octets of SignedInfo: what a stranger has signed is
    not even canonicalised, however many certificates there are. With `is_uniform` it is all the same, as often as
    for an honest message, so that the time tells nothing.
    Signatures around this one must have been verified before, and their octets taken.
    Raises: LoginDenied
    """
    signer = find_signer(shape, keys)
    if signer is None:
        if is_uniform:
            verify_in_vain(shape, keys)
        raise _invalid()
    if not is_signed_by(shape, signer):
        raise _invalid()
    _take_out(shape.element)
    octets = canonical(shape.signed, shape.prefixes)
    if not hmac.compare_digest(hashlib.new(shape.digest_name, octets).digest(), shape.digest):
        raise _invalid()
    return octets


def canonical(element: etree._Element, prefixes: Sequence[str] = ()) -> bytes:
    """The element alone, by exclusive canonicalisation without comments.

    Raises: LoginDenied, when it has no canonical form, as with a namespace that is a relative address.
    """
    # The text behind the element would be taken along, and may be part of what another signature covers.
    tail, element.tail = element.tail, None
    try:
        octets: bytes = etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=["" if prefix == "#default" else prefix for prefix in prefixes] or None,
        )
    except (etree.LxmlError, ValueError) as err:
        raise _invalid() from err
    element.tail = tail
    return octets


def _invalid() -> LoginDenied:
    return LoginDenied(
        Denial.SIGNATURE_INVALID,
        words="the signature was made with another key than those of the connection, or over another text",
    )


def find_signer(shape: SignatureShape, keys: Keys) -> VerifyingKey | None:
    """The key that the value of the signature is from. It says nothing of what is signed."""
    candidates = keys.for_method(shape.method)
    info = canonical(shape.element[0], shape.info_prefixes)
    return next((one for one in candidates if _is_from(one.public, shape, info)), None)


def _is_from(
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, shape: SignatureShape, octets: bytes
) -> bool:
    algorithm = _HASHES[names.METHOD_DIGESTS[shape.method]]()
    try:
        if isinstance(public, rsa.RSAPublicKey):
            scheme: padding.AsymmetricPadding = padding.PKCS1v15()
            if shape.method in names.PSS_METHODS:
                scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
            public.verify(shape.value, octets, scheme, algorithm)
        else:
            # RFC 4051 section 2.3.6: the two numbers side by side.
            half = len(shape.value) // 2
            numbers = (int.from_bytes(part, "big") for part in (shape.value[:half], shape.value[half:]))
            public.verify(utils.encode_dss_signature(*numbers), octets, ec.ECDSA(algorithm))
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_in_vain(shape: SignatureShape, keys: Keys) -> None:
    """The work of verifying a signature that no key has made."""
    for one in keys.for_method(shape.method)[:1]:
        is_signed_by(shape, one)


def is_signed_by(shape: SignatureShape, signer: VerifyingKey) -> bool:
    """Whether xmlsec verifies the signature, and what is signed, with the key."""
    context = xmlsec.SignatureContext()
    # With a key of its own, a context looks for none: KeyInfo is not read (XML Signature 1.1 section 4.5).
    context.key = signer.key
    for transform in _REFERENCE_TRANSFORMS:
        context.enable_reference_transform(transform)
    try:
        # This element alone is known by its ID, so the reference can lead nowhere else.
        context.register_id(shape.signed, "ID")
        context.verify(shape.element)
    except xmlsec.Error:
        return False
    return True


def _take_out(element: etree._Element) -> None:
    """Remove the element and leave the text behind it, which the enveloped-signature transform leaves too."""
    before, parent, tail = element.getprevious(), element.getparent(), element.tail
    if tail:
        if before is None:
            parent.text = (parent.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
    parent.remove(element)


def verify_octets(octets: bytes, signature: bytes, method: str, keys: Keys) -> None:
    """Verify a signature of the redirect binding. SAML Bindings 3.4.4.1.

    Raises: LoginDenied
    """
    transform = _OCTET_METHODS.get(method)
    if transform is None:
        raise LoginDenied(
            Denial.ALGORITHM_REFUSED, found=method[:100], expected="RSA or ECDSA with SHA-256 or better"
        )
    for one in keys.for_method(method):
        context = xmlsec.SignatureContext()
        context.key = one.key
        try:
            context.verify_binary(octets, transform, signature)
        except xmlsec.Error:
            continue
        return
    raise _invalid()


def decrypt(shape: EncryptedShape, keys: Keys) -> bytes:
    """The octets of an encrypted assertion. They have passed no gate yet.

    Raises: LoginDenied, the same for whatever is wrong.
    """
    size = names.CIPHERS[shape.cipher]
    for wrapped in shape.keys:
        for private in keys.private:
            secret = _unwrap(private, wrapped)
            if len(secret) == size:
                return _open(shape, secret)
    raise _closed()


def _closed() -> LoginDenied:
    return LoginDenied(
        Denial.DECRYPTION_FAILED, words="the assertion is encrypted to another key, or is damaged"
    )


def _unwrap(private: rsa.RSAPrivateKey, wrapped: WrappedKey) -> bytes:
    """The session key, or nothing. XML Encryption 1.1 section 5.5.2."""
    scheme = padding.OAEP(
        mgf=padding.MGF1(_HASHES[wrapped.mask]()), algorithm=_HASHES[wrapped.digest](), label=None
    )
    try:
        return private.decrypt(wrapped.value, scheme)
    except ValueError:
        return b""


def _open(shape: EncryptedShape, secret: bytes) -> bytes:
    """Decrypt by an element of our own that holds the cipher and the ciphertext: no structure of the sender's.

    It has no Type, so that xmlsec gives octets and parses nothing.
    """
    element = etree.Element(names.ENCRYPTED_DATA, nsmap={None: names.XENC})
    etree.SubElement(element, names.ENCRYPTION_METHOD, Algorithm=shape.cipher)
    etree.SubElement(etree.SubElement(element, names.CIPHER_DATA), names.CIPHER_VALUE).text = shape.ciphertext
    context = xmlsec.EncryptionContext()
    try:
        context.key = xmlsec.Key.from_binary_data(xmlsec.KeyData.AES, secret)
        opened: bytes = context.decrypt(element)
    except xmlsec.Error as err:
        raise _closed() from err
    return opened


def sign_element(document: bytes, private_key: bytes, certificate: bytes) -> bytes:
    """The document with an enveloped signature behind its Issuer. The key is PEM, the certificate DER."""
    signed: bytes | str = OneLogin_Saml2_Utils.add_sign(
        document,
        private_key.decode(),
        x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM).decode(),
        sign_algorithm=names.RSA_SHA256,
        digest_algorithm=f"{names.XENC}sha256",
    )
    return signed if isinstance(signed, bytes) else signed.encode()


def sign_octets(octets: bytes, private_key: bytes) -> bytes:
    """A signature of the redirect binding, RSA-SHA256, with a PEM key."""
    signed: bytes = OneLogin_Saml2_Utils.sign_binary(octets, private_key)
    return signed
