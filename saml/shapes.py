"""The one form of a response, of a signature and of a ciphertext that is accepted. Nothing is verified here.

Whatever a library would have to choose about is refused: a second assertion, signature or reference, a transform or
an algorithm that is not on the lists, a signature that is no child of what it signs.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from saml import names
from saml.errors import Denial, LoginDenied
from saml.gate import LIMITS, Document, refuse, refuse_strangers


@dataclass(frozen=True, slots=True)
class SignatureShape:
    """A signature of the one shape that is accepted. Nothing has been verified.

    `digest` and `prefixes` are of what is signed; `value` and `info_prefixes` of the SignedInfo.
    """

    element: etree._Element
    signed: etree._Element
    method: str
    digest_name: str
    digest: bytes
    prefixes: tuple[str, ...]
    value: bytes
    info_prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResponseShape:
    """A response with exactly one assertion, open or encrypted."""

    root: etree._Element
    signature: SignatureShape | None
    assertion: etree._Element | None
    assertion_signature: SignatureShape | None
    encrypted: etree._Element | None


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A session key, wrapped with RSA-OAEP. `digest` and `mask` are hashlib's names."""

    value: bytes
    digest: str
    mask: str


@dataclass(frozen=True, slots=True)
class EncryptedShape:
    """What is needed to open an encrypted assertion, and nothing else of it. `ciphertext` is base64."""

    cipher: str
    ciphertext: str
    keys: tuple[WrappedKey, ...]
    around: Mapping[str | None, str]


_RESPONSE_PARTS = frozenset(
    {
        names.ISSUER,
        names.SIGNATURE,
        names.EXTENSIONS,
        names.STATUS,
        names.ASSERTION,
        names.ENCRYPTED_ASSERTION,
    }
)


def check_response(document: Document) -> ResponseShape:
    """The shape of a response: one assertion, and no signature but on the response or on that assertion."""
    root = document.root
    if root.tag != names.RESPONSE:
        raise refuse(Denial.XML_REFUSED, "another element", "a SAML 2.0 Response")
    refuse_strangers(root, _RESPONSE_PARTS)
    _refuse_encrypted_parts(document)
    assertions, encrypted = document.all(names.ASSERTION), document.all(names.ENCRYPTED_ASSERTION)
    if not assertions and not encrypted:
        _check_failed_status(root)
    if len(assertions) + len(encrypted) != 1 or (assertions + encrypted)[0].getparent() is not root:
        raise refuse(Denial.XML_REFUSED, f"{len(assertions) + len(encrypted)} assertions", "exactly one")
    assertion = assertions[0] if assertions else None
    shapes = read_signatures(document, [root] if assertion is None else [root, assertion])
    if assertion is not None and not any(shapes):
        raise refuse(Denial.SIGNATURE_MISSING, "no signature", "a signed Response or Assertion")
    if assertion is not None:
        check_assertion(assertion)
    return ResponseShape(
        root=root,
        signature=shapes[0],
        assertion=assertion,
        assertion_signature=None if assertion is None else shapes[1],
        encrypted=encrypted[0] if encrypted else None,
    )


def check_decrypted(document: Document) -> SignatureShape | None:
    """The shape of what was decrypted: the assertion, with the signature that it may have."""
    root = document.root
    if root.tag != names.ASSERTION or len(document.all(names.ASSERTION)) != 1:
        raise refuse(Denial.XML_REFUSED, "something else in the ciphertext", "one Assertion")
    if document.all(names.ENCRYPTED_ASSERTION):
        raise refuse(Denial.XML_REFUSED, "an encrypted assertion in the ciphertext", "one Assertion")
    _refuse_encrypted_parts(document)
    (shape,) = read_signatures(document, [root])
    check_assertion(root)
    return shape


def _refuse_encrypted_parts(document: Document) -> None:
    if document.all(names.ENCRYPTED_ID) or document.all(names.ENCRYPTED_ATTRIBUTE):
        raise refuse(Denial.XML_REFUSED, "an encrypted NameID or attribute", "an encrypted assertion")


def _check_failed_status(root: etree._Element) -> None:
    """Without an assertion, say what the provider said, if it said that it failed. Nothing of it is trusted."""
    codes = [code.get("Value", "") for code in root.iter(names.STATUS_CODE)]
    if codes and codes[0] != names.SUCCESS:
        raise refuse(Denial.STATUS_NOT_SUCCESS, " / ".join(codes[:2]), names.SUCCESS)


_ASSERTION_PARTS = frozenset({names.ISSUER, names.SIGNATURE, names.SUBJECT, names.CONDITIONS, names.ADVICE})
_STATEMENTS = frozenset({names.AUTHN_STATEMENT, names.ATTRIBUTE_STATEMENT, names.AUTHZ_DECISION_STATEMENT})


def check_assertion(assertion: etree._Element) -> None:
    """No part twice that decides. SAML Core 2.3.3."""
    refuse_strangers(assertion, _ASSERTION_PARTS, repeated=_STATEMENTS)
    for subject in assertion.iterchildren(names.SUBJECT):
        refuse_strangers(
            subject, frozenset({names.NAME_ID}), repeated=frozenset({names.SUBJECT_CONFIRMATION})
        )


def read_signatures(document: Document, parents: list[etree._Element]) -> list[SignatureShape | None]:
    """The signatures that are children of the parents. One anywhere else refuses the document."""
    elements = document.all(names.SIGNATURE)
    shapes: list[SignatureShape | None] = [None] * len(parents)
    for element in elements:
        parent = element.getparent()
        place = next((place for place, each in enumerate(parents) if each is parent), None)
        if place is None or shapes[place] is not None:
            raise refuse(Denial.SIGNATURE_SHAPE, "a signature in another place", "a child of what it signs")
        shapes[place] = read_signature(element)
    return shapes


_SIGNATURE_PARTS = (names.SIGNED_INFO, names.SIGNATURE_VALUE)
_REFERENCE_PARTS = (names.TRANSFORMS, names.DIGEST_METHOD, names.DIGEST_VALUE)
_INFO_PARTS = (names.CANONICALIZATION_METHOD, names.SIGNATURE_METHOD, names.REFERENCE)


def read_signature(element: etree._Element) -> SignatureShape:
    """The one shape that SAML Core 5.4 has: enveloped, one Reference to the parent's ID, exclusive c14n."""
    parent = element.getparent()
    parts = list(element)
    tags = [part.tag for part in parts]
    if tuple(tags[:2]) != _SIGNATURE_PARTS or tags[2:] not in ([], [names.KEY_INFO]):
        raise _shape("the parts of a signature", "SignedInfo, SignatureValue, KeyInfo")
    info = _exactly(parts[0], _INFO_PARTS)
    reference = info[2]
    if reference.get("URI") != f"#{parent.get('ID', '')}" or not parent.get("ID"):
        raise _shape("a reference to something else", "the ID of the signature's parent")
    transforms, digest_method, digest_value = _exactly(reference, _REFERENCE_PARTS)
    info_prefixes = _check_canonical(info[0])
    method = _algorithm(info[1], names.RSA_METHODS | names.EC_METHODS)
    prefixes = _check_transforms(transforms)
    digest_name = names.DIGESTS[_algorithm(digest_method, frozenset(names.DIGESTS))]
    digest, value = _plain_base64(digest_value, 256), _plain_base64(parts[1], 4096)
    return SignatureShape(element, parent, method, digest_name, digest, prefixes, value, info_prefixes)


def _check_transforms(transforms: etree._Element) -> tuple[str, ...]:
    steps = list(transforms)
    given = [step.get("Algorithm", "") for step in steps]
    if any(step.tag != names.TRANSFORM for step in steps):
        raise _shape("an element among the transforms", "Transform")
    if given != [names.ENVELOPED, names.EXCLUSIVE_C14N]:
        if set(given) <= {names.ENVELOPED, names.EXCLUSIVE_C14N}:
            raise _shape(f"{len(given)} transforms", "enveloped signature, then exclusive canonicalisation")
        raise refuse(
            Denial.ALGORITHM_REFUSED, "another transform", "enveloped signature, exclusive canonicalisation"
        )
    if len(steps[0]):
        raise _shape("something inside a transform", "nothing")
    return _prefixes(steps[1])


def _check_canonical(method: etree._Element) -> tuple[str, ...]:
    if method.get("Algorithm") != names.EXCLUSIVE_C14N:
        raise refuse(Denial.ALGORITHM_REFUSED, "another canonicalisation", names.EXCLUSIVE_C14N)
    return _prefixes(method)


def _prefixes(step: etree._Element) -> tuple[str, ...]:
    """The PrefixList of exclusive canonicalisation. Each costs a search at each element, so they are few."""
    children = list(step)
    if not children:
        return ()
    if len(children) > 1 or children[0].tag != names.INCLUSIVE_NAMESPACES or len(children[0]):
        raise _shape("something inside a canonicalisation", "InclusiveNamespaces")
    listed = tuple(children[0].get("PrefixList", "").split())
    if len(listed) > LIMITS.prefixes:
        raise _shape(f"{len(listed)} prefixes", f"at most {LIMITS.prefixes}")
    return listed


def _algorithm(element: etree._Element, allowed: frozenset[str]) -> str:
    algorithm: str = element.get("Algorithm", "")
    if algorithm not in allowed or len(element):
        raise refuse(Denial.ALGORITHM_REFUSED, algorithm[:100], "SHA-256 or better, with RSA or ECDSA")
    return algorithm


def _exactly(parent: etree._Element, tags: tuple[str, ...]) -> list[etree._Element]:
    children = list(parent)
    if tuple(child.tag for child in children) != tags:
        raise _shape(f"other parts in {parent.tag.rpartition('}')[2]}", "one of each, in order")
    return children


def _plain_base64(element: etree._Element, most: int) -> bytes:
    text = element.text or ""
    if len(element) or len(text) > most:
        raise _shape("a value that is no plain text", "base64")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error) as err:
        raise _shape("a value that is no base64", "base64") from err


def _shape(found: str, expected: str) -> LoginDenied:
    return refuse(Denial.SIGNATURE_SHAPE, found, expected)


_MAX_WRAPPED_KEYS = 4


def read_encrypted(element: etree._Element) -> EncryptedShape:
    """The shape of an EncryptedAssertion. Its keys stand in KeyInfo or beside the data (SAML Core 2.2.4, 6.1)."""
    children = list(element)
    if not children or children[0].tag != names.ENCRYPTED_DATA:
        raise _no_cipher("no EncryptedData")
    data, beside = children[0], children[1:]
    if any(child.tag != names.ENCRYPTED_KEY for child in beside):
        raise _no_cipher("an element beside the EncryptedData")
    method, cipher_data = data.find(names.ENCRYPTION_METHOD), data.find(names.CIPHER_DATA)
    cipher = "" if method is None else method.get("Algorithm", "")
    if cipher not in names.CIPHERS:
        raise refuse(Denial.ALGORITHM_REFUSED, cipher[:100], "AES-GCM or AES-CBC")
    key_info = data.find(names.KEY_INFO)
    inside = [] if key_info is None else list(key_info.iterchildren(names.ENCRYPTED_KEY))
    wrapped = inside + beside
    if not 0 < len(wrapped) <= _MAX_WRAPPED_KEYS:
        raise _no_cipher(f"{len(wrapped)} encrypted keys")
    return EncryptedShape(
        cipher, _cipher_value(cipher_data), tuple(map(_read_wrapped, wrapped)), dict(element.nsmap)
    )


def _read_wrapped(element: etree._Element) -> WrappedKey:
    method = element.find(names.ENCRYPTION_METHOD)
    algorithm = "" if method is None else method.get("Algorithm", "")
    if algorithm not in {names.OAEP, names.OAEP_MGF1P}:
        raise refuse(Denial.ALGORITHM_REFUSED, algorithm[:100], "RSA-OAEP")
    digest = mask = "sha1"
    for part in method:
        name = part.get("Algorithm", "")
        if part.tag == names.DIGEST_METHOD and name in names.OAEP_DIGESTS:
            digest = names.OAEP_DIGESTS[name]
        elif part.tag == names.MGF and algorithm == names.OAEP and name in names.OAEP_MASKS:
            mask = names.OAEP_MASKS[name]
        else:
            raise refuse(
                Denial.ALGORITHM_REFUSED, "another parameter of RSA-OAEP", "SHA-1, or SHA-256 and better"
            )
    try:
        value = base64.b64decode(
            "".join(_cipher_value(element.find(names.CIPHER_DATA)).split()), validate=True
        )
    except ValueError as err:
        raise _no_cipher("a key that is no base64") from err
    return WrappedKey(value, digest, mask)


def _cipher_value(cipher_data: etree._Element | None) -> str:
    """The one CipherValue. A CipherReference would have us fetch something."""
    parts = [] if cipher_data is None else list(cipher_data)
    if len(parts) != 1 or parts[0].tag != names.CIPHER_VALUE or len(parts[0]):
        raise _no_cipher("another CipherData")
    return parts[0].text or ""


def _no_cipher(found: str) -> LoginDenied:
    return refuse(Denial.XML_REFUSED, found, "EncryptedData with its keys")
