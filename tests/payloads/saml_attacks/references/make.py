"""Class 5: transforms and references that leave out, fetch or compute."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.messages import ASSERTION, DS, RESPONSE, SAML, VICTIM, find, parse, render, response
from tests.saml_forge.signing import (
    ENVELOPED,
    EXCLUSIVE,
    INCLUSIVE,
    SHA256,
    Shape,
    canonical,
    place,
    reference_to,
    sign,
    signature_of,
    transforms,
)

SHAPE = Denial.SIGNATURE_SHAPE
REFUSED = Denial.ALGORITHM_REFUSED
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"


def make(canary: str) -> Iterator[Attack]:
    """Everything is signed with the genuine key: only the shape is wrong."""
    yield from computed(canary)
    yield from chains()
    yield from references(canary)


def computed(canary: str) -> Iterator[Attack]:
    sheet = (
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        '<xsl:template match="/"><xsl:copy-of select="{}"/></xsl:template></xsl:stylesheet>'
    )
    for name, select in (
        ("xslt", "/"),
        ("xslt-document-http", f"document('{canary}/xslt')"),
        ("xslt-document-file", "document('file:///etc/passwd')"),
    ):
        made = f'<ds:Transform Algorithm="{XSLT}">{sheet.format(select)}</ds:Transform>'
        yield attack(name, REFUSED, "a program in a signature", chained(transforms(first=made)))

    def without_subject(_: object, target: object) -> bytes:
        copy = parse(render(target))
        copy.remove(copy.find(f"{{{SAML}}}Subject"))
        return canonical(copy)

    skipping = (
        f'<ds:Transform Algorithm="{XPATH}"><ds:XPath xmlns:saml="{SAML}">'
        "not(ancestor-or-self::saml:Subject)</ds:XPath></ds:Transform>"
    )
    made = sign(response(), ASSERTION, transforms=transforms(first=skipping), sees=without_subject)
    yield attack(
        "xpath-skipping-the-subject",
        REFUSED,
        "the name is not signed",
        made.replace("anna@example.org", VICTIM),
    )
    nothing = f'<ds:Transform Algorithm="{XPATH}"><ds:XPath>false()</ds:XPath></ds:Transform>'
    made = sign(response(), ASSERTION, transforms=transforms(first=nothing), sees=lambda *_: b"")
    yield attack("xpath-selecting-nothing", REFUSED, "the digest of nothing", made)
    filter2 = (
        '<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2">'
        '<f:XPath xmlns:f="http://www.w3.org/2002/06/xmldsig-filter2" Filter="intersect">/..</f:XPath></ds:Transform>'
    )
    yield attack("xpath-filter-2", REFUSED, "the digest of nothing", chained(transforms(first=filter2)))


def chains() -> Iterator[Attack]:
    one = f'<ds:Transform Algorithm="{EXCLUSIVE}"/>'
    yield attack("exclusive-twice", SHAPE, "each transform at most once", chained(transforms(last=one)))
    twice = f'<ds:Transform Algorithm="{ENVELOPED}"/>'
    yield attack("enveloped-twice", SHAPE, "each transform at most once", chained(transforms(first=twice)))
    for name, algorithm in (
        ("base64", f"{DS}base64"),
        ("inclusive", INCLUSIVE),
        ("with-comments", f"{EXCLUSIVE}WithComments"),
        ("unknown", "urn:example:transform"),
        ("decryption", "http://www.w3.org/2002/07/decrypt#XML"),
    ):
        chain = (
            f'<ds:Transforms><ds:Transform Algorithm="{ENVELOPED}"/>'
            f'<ds:Transform Algorithm="{algorithm}"/></ds:Transforms>'
        )
        yield attack(f"transform-{name}", REFUSED, "not on the list of transforms", chained(chain))
    only = f'<ds:Transforms><ds:Transform Algorithm="{EXCLUSIVE}"/></ds:Transforms>'
    yield attack("not-enveloped", SHAPE, "the signature would sign itself", chained(only))
    yield attack("empty-transforms", SHAPE, "XML Signature 1.1 asks for one", chained("<ds:Transforms/>"))


def references(canary: str) -> Iterator[Attack]:
    tree = parse(response())
    target = find(tree, ASSERTION)
    honest = reference_to(tree, target, Shape())
    decoy = reference_to(tree, tree, Shape())
    for name, both in (("two-references", honest + decoy), ("the-same-reference-twice", honest + honest)):
        yield attack(name, SHAPE, "exactly one thing is signed", sign(response(), ASSERTION, reference=both))
    yield attack("no-reference", SHAPE, "nothing is signed", sign(response(), ASSERTION, reference=""))
    whole = sign(response(), RESPONSE, uri="")
    yield attack("empty-uri", SHAPE, "the whole document, whatever it is", whole)
    yield attack("no-uri", SHAPE, "left to the application", sign(response(), ASSERTION, uri="-"))
    for name, uri in (
        ("http-uri", f"{canary}/reference"),
        ("http-uri-with-fragment", f"{canary}/reference#{ASSERTION}"),
        ("file-uri", "file:///etc/hostname"),
        ("bare-path", "etc/hostname"),
        ("xpointer-id", f"#xpointer(id('{ASSERTION}'))"),
        ("xpointer-root", "#xpointer(/)"),
        ("fragment-only", "#"),
        ("fragment-with-space", f"# {ASSERTION}"),
        ("fragment-escaped", f"#%5F{ASSERTION[1:]}"),
        ("dangling", "#_nobody"),
    ):
        yield attack(name, SHAPE, "not the ID of its parent", sign(response(), ASSERTION, uri=uri))
    placed = parse(response())
    signature = signature_of(placed, find(placed, ASSERTION))
    place(placed, signature)
    yield attack(
        "another-elements-id", SHAPE, "stands in the response and signs the assertion", render(placed)
    )
    turned = parse(response())
    signature = signature_of(turned, turned)
    place(find(turned, ASSERTION), signature)
    yield attack("the-parents-id", SHAPE, "stands in the assertion and signs the response", render(turned))
    deep = parse(response())
    target = find(deep, ASSERTION)
    target.find(f"{{{SAML}}}Subject").append(signature_of(deep, target))
    yield attack("signature-deep-inside", SHAPE, "not a direct child of what it signs", render(deep))
    manifest = (
        f'<ds:Reference URI="#_manifest-1" Type="{DS}Manifest">{transforms()}<ds:DigestMethod Algorithm="{SHA256}"/>'
        "<ds:DigestValue>AAAA</ds:DigestValue></ds:Reference>"
    )
    hidden = sign(
        response(),
        ASSERTION,
        reference=manifest,
        key_info=f'<ds:Object><ds:Manifest Id="_manifest-1">{honest}</ds:Manifest></ds:Object>',
    )
    yield attack("manifest", SHAPE, "signs a list of what might be signed", hidden)
    beside = sign(response(), ASSERTION, key_info="<ds:Object>anything</ds:Object>")
    yield attack("object", SHAPE, "a place to hide things in", beside)


def chained(chain: str) -> str:
    """A response whose signature has the chain of transforms, with the digest that an honest one has."""
    return sign(response(), ASSERTION, transforms=chain)
