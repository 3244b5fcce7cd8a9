"""XML signatures of any shape. XML Signature 1.1 says what an honest one looks like; every part can be another."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lxml import etree

from tests.saml_forge.keys import IDP, Key, sign_ecdsa, sign_pss, sign_rsa
from tests.saml_forge.messages import DS, SAML, find, parse, render

EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
ENVELOPED = f"{DS}enveloped-signature"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
RSA_SHA256 = f"{MORE}rsa-sha256"
RSA_PSS_SHA256 = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
ECDSA_SHA256 = f"{MORE}ecdsa-sha256"
SHA1 = f"{DS}sha1"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
SHA384 = f"{MORE}sha384"
SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a signature is made. What is None is as it should be.

    `sees` gives the octets that the Reference's digest is made of, from the document and the element. `uri` empty is
    the whole document, `uri` "-" leaves the attribute out. `key_info`, `transforms`, `reference`, `method_inner` and
    `info` are XML: KeyInfo, Transforms, whole References, what stands in SignatureMethod, the SignedInfo.
    """

    key: Key = IDP
    method: str = RSA_SHA256
    digest: str = SHA256
    canonical: str = EXCLUSIVE
    prefixes: str = ""
    uri: str | None = None
    transforms: str | None = None
    reference: str | None = None
    method_inner: str = ""
    key_info: str | None = None
    digest_text: Callable[[str], str] = str
    value_text: Callable[[str], str] = str
    sees: Callable[[Any, Any], bytes] | None = None
    signs: Callable[[bytes], bytes] | None = None
    info_octets: Callable[[Any], bytes] | None = None
    prefix: str = "ds"


def sign(text: str, element_id: str, shape: Shape | None = None, **changes: Any) -> str:  # noqa: ANN401
    """The document with an enveloped signature of the element, behind the element's Issuer where it has one."""
    tree = parse(text)
    target = find(tree, element_id)
    signature = signature_of(tree, target, shape, **changes)
    place(target, signature)
    return render(tree)


def place(target: Any, signature: Any) -> None:  # noqa: ANN401 - lxml has no annotations
    """SAML Core 5.4.1: the signature follows the Issuer."""
    heads = [child for child in target if child.tag == f"{{{SAML}}}Issuer"]
    target.insert(target.index(heads[0]) + 1 if heads else 0, signature)


def signature_of(tree: Any, target: Any, shape: Shape | None = None, **changes: Any) -> Any:  # noqa: ANN401
    """The Signature element over the target, which does not hold it yet."""
    shape = replace(shape or Shape(), **changes)
    spaces = f'xmlns:{shape.prefix}="{DS}"' if shape.prefix else f'xmlns="{DS}"'
    p = f"{shape.prefix}:" if shape.prefix else ""
    reference = reference_to(tree, target, shape) if shape.reference is None else shape.reference
    info = (
        f"<{p}SignedInfo>"
        f'<{p}CanonicalizationMethod Algorithm="{shape.canonical}"/>'
        f'<{p}SignatureMethod Algorithm="{shape.method}">{shape.method_inner}</{p}SignatureMethod>'
        f"{reference}</{p}SignedInfo>"
    )
    known = shape.key_info
    if known is None:
        known = x509_data(shape.key, p)
    signature = parse(
        f"<{p}Signature {spaces}>{info}<{p}SignatureValue></{p}SignatureValue>{known}</{p}Signature>"
    )
    signed_info = signature[0]
    # Canonicalised where it will stand: the namespaces above it may be asked for.
    octets = (shape.info_octets or (lambda one: canonical(one, shape.canonical)))(signed_info)
    value = base64.b64encode((shape.signs or maker(shape))(octets)).decode()
    return parse(
        f"<{p}Signature {spaces}>{info}<{p}SignatureValue>{shape.value_text(value)}</{p}SignatureValue>"
        f"{known}</{p}Signature>"
    )


def reference_to(tree: Any, target: Any, shape: Shape) -> str:  # noqa: ANN401 - as above
    """One Reference, as the shape has it."""
    p = f"{shape.prefix}:" if shape.prefix else ""
    octets = (shape.sees or (lambda _, one: canonical(one, EXCLUSIVE, shape.prefixes)))(tree, target)
    digest = base64.b64encode(hashlib.new(_digest_name(shape.digest), octets).digest()).decode()
    uri = "" if shape.uri == "-" else f' URI="{"#" + target.get("ID") if shape.uri is None else shape.uri}"'
    chain = transforms(shape.prefixes, p) if shape.transforms is None else shape.transforms
    return (
        f"<{p}Reference{uri}>{chain}"
        f'<{p}DigestMethod Algorithm="{shape.digest}"/>'
        f"<{p}DigestValue>{shape.digest_text(digest)}</{p}DigestValue></{p}Reference>"
    )


def transforms(prefixes: str = "", p: str = "ds:", *, first: str = "", last: str = "") -> str:
    """The two that SAML Core 5.4.4 allows, between others that it does not."""
    names = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{prefixes}"/>' if prefixes else ""
    return (
        f'<{p}Transforms>{first}<{p}Transform Algorithm="{ENVELOPED}"/>'
        f'<{p}Transform Algorithm="{EXCLUSIVE}">{names}</{p}Transform>{last}</{p}Transforms>'
    )


def x509_data(key: Key, p: str = "ds:") -> str:
    certificate = f"<{p}X509Certificate>{key.certificate_text}</{p}X509Certificate>"
    return f"<{p}KeyInfo><{p}X509Data>{certificate}</{p}X509Data></{p}KeyInfo>"


def canonical(element: Any, method: str = EXCLUSIVE, prefixes: str = "") -> bytes:  # noqa: ANN401
    """Canonical octets of an element in its document, without comments unless the method says so."""
    # lxml would canonicalise the text behind the element too.
    tail, element.tail = element.tail, None
    octets: bytes = etree.tostring(
        element,
        method="c14n",
        exclusive=method.startswith(EXCLUSIVE),
        with_comments=method.endswith("WithComments"),
        inclusive_ns_prefixes=prefixes.split() or None,
    )
    element.tail = tail
    return octets


def maker(shape: Shape) -> Callable[[bytes], bytes]:
    """Who signs, by the method's name."""
    name = _digest_name(shape.method)
    if "MGF1" in shape.method:
        return lambda octets: sign_pss(shape.key, name, octets)
    if "ecdsa" in shape.method:
        return lambda octets: sign_ecdsa(shape.key, name, octets)
    return lambda octets: sign_rsa(shape.key, name, octets)


def _digest_name(algorithm: str) -> str:
    names = ("sha1", "sha224", "sha256", "sha384", "sha512", "md5")
    return next((name for name in names if name in algorithm.rpartition("#")[2]), "sha256")
