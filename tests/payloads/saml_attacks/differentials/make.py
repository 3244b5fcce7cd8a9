"""Class 6: messages that two readers read differently, or whose canonical form is not what it seems."""

import base64
import hashlib
from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.keys import ATTACKER
from tests.saml_forge.messages import (
    ASSERTION,
    DS,
    RESPONSE,
    SAMLP,
    SUBJECT,
    VICTIM,
    assertion,
    find,
    parse,
    render,
    response,
    victims,
)
from tests.saml_forge.signing import canonical, place, sign, signature_of

SHAPE = Denial.SIGNATURE_SHAPE
XML = Denial.XML_REFUSED
EMPTY = base64.b64encode(hashlib.sha256(b"").digest()).decode()


def make(canary: str) -> Iterator[Attack]:
    """The classes of the faults found in ruby-saml, xml-crypto and others since 2024."""
    yield from canonical_forms()
    yield from signatures()
    yield from digests()
    yield from documents()


def canonical_forms() -> Iterator[Attack]:
    relative = assertion(said=' xmlns:rel="relative/path" rel:a="1"')
    made = sign(response(relative), ASSERTION, sees=lambda *_: b"")
    yield attack(
        "relative-namespace",
        Denial.SIGNATURE_INVALID,
        "CVE-2025-66568: canonicalisation fails, and is read as the empty string",
        made,
    )
    made = sign(response(), ASSERTION, digest_text=lambda _: EMPTY).replace(SUBJECT, VICTIM)
    yield attack(
        "digest-of-nothing", Denial.SIGNATURE_INVALID, "what a failed canonicalisation would have given", made
    )
    for name, said in (
        ("unparsable-namespace", ' xmlns:bad="http://[::1" bad:a="1"'),
        ("namespace-with-space", ' xmlns:bad="urn:a b" bad:a="1"'),
    ):
        made = sign(response(assertion()), ASSERTION, sees=lambda *_: b"").replace(
            "<saml:Assertion", f"<saml:Assertion{said}", 1
        )
        yield attack(name, XML, "canonicalisation may fail", made.replace(SUBJECT, VICTIM))


def signatures() -> Iterator[Attack]:
    honest = parse(sign(response(), ASSERTION))
    target = find(honest, ASSERTION)
    genuine = target.find(f"{{{DS}}}Signature")
    forged = parse(sign(response(victims()), "_forged-1", key=ATTACKER))
    info = forged.find(f".//{{{DS}}}SignedInfo")
    for name, at in (("two-signed-infos-forged-first", 0), ("two-signed-infos-genuine-first", 1)):
        tree = parse(render(honest))
        found = find(tree, ASSERTION).find(f"{{{DS}}}Signature")
        found.insert(at, parse(render(info)))
        yield attack(
            name,
            SHAPE,
            "CVE-2025-29774: one is verified, the other is read",
            render(tree).replace(SUBJECT, VICTIM),
        )
    tree = parse(render(honest))
    found = find(tree, ASSERTION)
    found.append(parse(render(genuine)))
    yield attack("two-signatures", SHAPE, "one is verified, the other is read", render(tree))
    tree = parse(render(honest))
    decoy = parse(render(genuine))
    state = tree.find(f"{{{SAMLP}}}Status")
    detail = parse(f'<samlp:StatusDetail xmlns:samlp="{SAMLP}"/>')
    detail.append(decoy)
    state.append(detail)
    yield attack("signature-in-status-detail", SHAPE, "CVE-2024-45409: found by a search", render(tree))
    tree = parse(render(honest).replace(SUBJECT, VICTIM))
    digest = digest_of(render(tree))
    extensions = parse(f'<samlp:Extensions xmlns:samlp="{SAMLP}"/>')
    extensions.append(parse(f'<x:DigestValue xmlns:x="{DS}">{digest}</x:DigestValue>'))
    tree.insert(1, extensions)
    yield attack(
        "digest-value-in-extensions",
        Denial.SIGNATURE_INVALID,
        "CVE-2024-45409: the digest of the changed assertion, found by a search",
        render(tree),
    )
    tree = parse(response(victims()))
    target = find(tree, "_forged-1")
    decoy = parse(sign(assertion(), ASSERTION, prefix="decoy")).find(f"{{{DS}}}Signature")
    place(target, decoy)
    place(target, signature_of(tree, target, key=ATTACKER))
    yield attack(
        "decoy-signature-of-another-prefix",
        SHAPE,
        "CVE-2025-25291: the two readers find another one",
        render(tree),
    )
    other = sign(response(), ASSERTION).replace(
        f'xmlns:ds="{DS}"', 'xmlns:ds="http://www.w3.org/2000/09/xmldsig"'
    )
    yield attack("signature-of-another-namespace", XML, "a signature by its local name only", other)
    split = sign(response(), ASSERTION).replace("<ds:SignedInfo>", "<ds:SignedInfo/><ds:SignedInfo>")
    yield attack("empty-signed-info-first", SHAPE, "CVE-2025-29774", split)


def digests() -> Iterator[Attack]:
    forged = sign(response(), ASSERTION).replace(SUBJECT, VICTIM)
    wanted = digest_of(forged)
    start, mark, rest = forged.partition("<ds:DigestValue>")
    digest, end, tail = rest.partition("</ds:DigestValue>")
    for name, reason, value in (
        ("comment-in-digest-value", XML, f"<!--{wanted}-->{digest}"),
        ("comment-behind-digest-value", XML, f"{wanted}<!--{digest}-->"),
        ("child-in-digest-value", SHAPE, f"<x>{wanted}</x>{digest}"),
        ("pi-in-digest-value", XML, f"<?x {wanted}?>{digest}"),
    ):
        yield attack(name, reason, "CVE-2025-29775", start + mark + value + end + tail)
    for name, edit in (
        ("comment-in-signature-value", lambda value: f"<!--x-->{value}"),
        ("child-in-signature-value", lambda value: f"<x/>{value}"),
    ):
        changed = sign(response(), ASSERTION, value_text=edit)
        reason = SHAPE if name.startswith("child") else XML
        yield attack(name, reason, "CVE-2025-29775", changed)


def digest_of(text: str) -> str:
    """The digest that the assertion has now, in base64."""
    bare = find(parse(text), ASSERTION)
    bare.remove(bare.find(f"{{{DS}}}Signature"))
    return base64.b64encode(hashlib.sha256(canonical(bare)).digest()).decode()


def documents() -> Iterator[Attack]:
    honest = sign(response(), ASSERTION)
    ruby = (
        "<!DOCTYPE r [<!ELEMENT r ANY><!ATTLIST samlp:Response xmlns:samlp CDATA "
        f'"{SAMLP}"><!ENTITY x "&lt;saml:Assertion/&gt;">]>'
    )
    yield attack(
        "doctype-differential", XML, "CVE-2025-25292: one reader skips what the other reads", ruby + honest
    )
    yield attack(
        "doctype-with-attribute-defaults",
        XML,
        "CVE-2025-66567: namespaces that only one of the readers sees",
        f'<!DOCTYPE samlp:Response [<!ATTLIST saml:Assertion ID CDATA "{ASSERTION}">]>{honest}',
    )
    twice = honest.replace(f' ID="{ASSERTION}"', f' ID="{ASSERTION}" ID="_forged-1"', 1)
    yield attack("attribute-twice", XML, "not well-formed, and some take the last", twice)
    both = honest.replace("<samlp:Response ", '<samlp:Response xmlns:p2="' + SAMLP + '" p2:ID="_x" ', 1)
    yield attack(
        "protocol-attribute-in-namespace",
        XML,
        "an attribute of SAML has no namespace",
        both.replace(f' ID="{RESPONSE}"', "", 1),
    )
    for name, text in (
        ("null-character", honest.replace(SUBJECT, f"{SUBJECT}&#0;.evil.example")),
        ("control-character", honest.replace(SUBJECT, f"{SUBJECT}&#8;")),
        ("unclosed", honest.replace("</samlp:Response>", "")),
        ("unbound-prefix", honest.replace("<samlp:Status>", "<samlp:Status><nobody:x/>")),
        ("trailing-text", honest + "behind the root"),
        ("text-before", "before the root" + honest),
    ):
        yield attack(name, XML, "not well-formed", text)
