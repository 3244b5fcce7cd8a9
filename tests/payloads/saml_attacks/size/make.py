"""Class 15: messages that cost more than they say. Made when they are needed, and not kept as files."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack, raw
from tests.saml_forge.encryption import encrypted
from tests.saml_forge.keys import ATTACKER, IDP
from tests.saml_forge.messages import (
    ASSERTION,
    RESPONSE,
    SUBJECT,
    assertion,
    attribute,
    authn,
    response,
    stated,
    statement,
)
from tests.saml_forge.signing import ENVELOPED, EXCLUSIVE, sign, transforms, x509_data

LARGE = Denial.TOO_LARGE
XML = Denial.XML_REFUSED
SHAPE = Denial.SIGNATURE_SHAPE
# What is left of 512 KiB, in base64 and escaped for a form.
ROOM = 350_000


def make(canary: str) -> Iterator[Attack]:
    """Each above the cap on the body, and again as large as the cap lets it be."""
    yield from above()
    yield from below()
    yield from signatures()
    yield from canonicalised()


def above() -> Iterator[Attack]:
    for name, inner in (
        ("name-of-10-mb", "x" * 10_000_000),
        ("elements-200000", "<x/>" * 200_000),
        ("depth-100000", "<x>" * 100_000 + "</x>" * 100_000),
    ):
        yield large(name, LARGE, named(inner))
    yield large("attributes-50000", LARGE, response(said="".join(f' a{n}="{n}"' for n in range(50_000))))
    yield large(
        "namespaces-50000", LARGE, response(said="".join(f' xmlns:n{n}="urn:{n}"' for n in range(50_000)))
    )
    yield raw("spaces-of-10-mb", LARGE, "whitespace is skipped, and counted", " " * 10_000_000, is_kept=False)
    yield raw("base64-of-10-mb", LARGE, "nothing else", "A" * 10_000_000, is_kept=False)


def below() -> Iterator[Attack]:
    many = ROOM // 4
    yield large("elements-as-many-as-fit", XML, named("<x/>" * (many - 2_000)))
    depth = 20_000
    yield large("depth-as-fits", XML, named("<x>" * depth + "</x>" * depth))
    yield large("depth-of-300", XML, named("<x>" * 300 + "</x>" * 300))
    attributes = "".join(f' a{n}="{n}"' for n in range(20_000))
    yield large("attributes-as-many-as-fit", XML, response(said=attributes))
    spaces = "".join(f' xmlns:n{n}="u:{n}"' for n in range(15_000))
    yield large("namespaces-as-many-as-fit", XML, response(said=spaces))
    deep = "".join(f'<x xmlns:n{n}="u:{n}">' for n in range(5_000)) + "</x>" * 5_000
    yield large("namespaces-in-depth", XML, named(deep))
    redeclared = "".join(f'<x xmlns="u:{n}" xmlns:a="u:{n}"/>' for n in range(3_500))
    yield large("namespaces-beside-each-other", Denial.SIGNATURE_MISSING, named(redeclared))
    yield large("comments-as-many-as-fit", XML, named("<!---->" * 50_000))
    values = authn() + statement(attribute("groups", *("x" for _ in range(6_500))))
    yield large("values-as-many-as-fit", XML, sign(response(assertion(statements=values)), ASSERTION))
    signed = sign(response(), ASSERTION)
    long = signed.replace(SUBJECT, "x" * (ROOM - 10_000), 1)
    yield large("name-as-long-as-fits", Denial.SIGNATURE_INVALID, long)
    name = "a" * (ROOM - 10_000)
    yield large("attribute-as-long-as-fits", Denial.SIGNATURE_MISSING, response(said=f' x="{name}"'))
    yield large("tag-as-long-as-fits", XML, named(f"<{name[: ROOM // 2]}/>"))
    yield large(
        "references-to-characters", Denial.SIGNATURE_INVALID, signed.replace(SUBJECT, "&#120;" * 60_000, 1)
    )
    plain = sign(assertion(), ASSERTION).encode()
    sealed = encrypted(plain.replace(SUBJECT.encode(), b"<x/>" * 60_000, 1))
    yield large("elements-in-ciphertext", XML, response(sealed))
    comments = encrypted(plain.replace(SUBJECT.encode(), b"<!---->" * 35_000, 1))
    yield large("comments-in-ciphertext", XML, response(comments))


def signatures() -> Iterator[Attack]:
    enveloped = f'<ds:Transform Algorithm="{ENVELOPED}"/>'
    exclusive = f'<ds:Transform Algorithm="{EXCLUSIVE}"/>'
    many = sign(response(), ASSERTION, transforms=transforms(first=enveloped * 2_000))
    yield large("transforms-2000-enveloped", SHAPE, many)
    many = sign(response(), ASSERTION, transforms=transforms(last=exclusive * 2_000))
    yield large("transforms-2000-exclusive", SHAPE, many)
    one = sign(response(), ASSERTION)
    start, mark, rest = one.partition("<ds:Signature ")
    inner, end, tail = rest.partition("</ds:Signature>")
    small = inner[: inner.index("<ds:KeyInfo>")]
    yield large("signatures-350", SHAPE, start + (mark + small + end) * 350 + tail)
    head, mark, rest = one.partition("<ds:Reference ")
    inner, end, tail = rest.partition("</ds:Reference>")
    yield large("references-500", SHAPE, head + (mark + inner + end) * 500 + tail)
    prefixes = " ".join(f"p{n}" for n in range(30_000))
    listed = sign(response(), ASSERTION, prefixes="x").replace('PrefixList="x"', f'PrefixList="{prefixes}"')
    yield large("prefixes-30000", SHAPE, listed)
    certificates = x509_data(IDP) * 200
    yield large("certificates-200", SHAPE, sign(response(), ASSERTION, key_info=certificates))
    blown = sign(response(), RESPONSE).replace("</ds:SignatureValue>", "A" * 300_000 + "</ds:SignatureValue>")
    yield large("signature-value-as-long-as-fits", SHAPE, blown)


def canonicalised() -> Iterator[Attack]:
    """As much as the gate lets in, under a signature of nobody: it is canonicalised before that shows."""
    levels = range(12)
    declared = ["".join(f' xmlns:n{4 * n + k}="u:{n}:{k}"' for k in range(4)) for n in levels]
    opened = "".join(f"<x{each}>" for each in declared)
    deep = opened + "".join(f"<n{n % 48}:y/>" for n in range(3_500)) + "</x>" * len(levels)
    beside = "".join(f'<a:x xmlns:a="u:{n}" a:b="1" a:c="2"/>' for n in range(3_500))
    attributes = "".join(f' a{n}="{n}"' for n in range(14))
    wide = f"<x{attributes}/>" * 550
    cases = (("namespaces-in-depth", deep), ("namespaces-beside", beside), ("attributes", wide))
    for name, inner in cases:
        body = assertion(more=f"<saml:Advice>{inner}</saml:Advice>")
        prefixes = " ".join(f"n{n}" for n in range(8))
        made = sign(response(body), ASSERTION, key=ATTACKER, prefixes=prefixes)
        yield large(f"canonicalised-{name}", Denial.SIGNATURE_INVALID, made)
        twice = sign(made, RESPONSE, key=ATTACKER, prefixes=prefixes)
        yield large(f"canonicalised-twice-{name}", Denial.SIGNATURE_INVALID, twice)


def named(inner: str) -> str:
    """An unsigned response with the XML where the name stands."""
    return response(assertion(statements=authn() + stated()).replace(SUBJECT, inner, 1))


def large(name: str, reason: Denial, xml: str) -> Attack:
    return attack(name, reason, "cost", xml, is_kept=False)
