"""Class 1: a genuine signature over something that is not what would be read."""

from collections.abc import Callable, Iterator
from typing import Any

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.encryption import encrypt, encrypted
from tests.saml_forge.keys import ATTACKER
from tests.saml_forge.messages import (
    ASSERTION,
    DS,
    RESPONSE,
    SAML,
    SAMLP,
    assertion,
    find,
    parse,
    render,
    response,
    victims,
)
from tests.saml_forge.signing import sign

# Somorovsky and others, "On Breaking SAML: Be Whoever You Want to Be".
XSW = "USENIX Security 2012, "
FORGED = "_forged-1"
Edit = Callable[[Any, Any, Any], None]


def make(canary: str) -> Iterator[Attack]:
    """One file for each place to which the original can be moved, and for each kind of twin."""
    yield from moved_assertions()
    yield from moved_responses()
    yield from twins()
    yield from ciphertexts()
    yield from names()


def wrapped(edit: Edit) -> str:
    """An honest response with a signed assertion, a forged one before it, and the edit done to both."""
    root = parse(sign(response(assertion()), ASSERTION))
    original = find(root, ASSERTION)
    forged = parse(victims())
    root.replace(original, forged)
    edit(root, forged, original)
    return render(root)


def moved_assertions() -> Iterator[Attack]:
    def take_signature(forged: Any, original: Any) -> Any:  # noqa: ANN401 - lxml has no annotations
        signature = original.find(f"{{{DS}}}Signature")
        forged.insert(1, signature)
        return signature

    def into_object(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        signature = take_signature(forged, original)
        parse_into(signature, f'<ds:Object xmlns:ds="{DS}"/>').append(original)

    def into_extensions(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        holder = parse(f'<samlp:Extensions xmlns:samlp="{SAMLP}"/>')
        root.insert(1, holder)
        holder.append(original)

    def into_status_detail(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        state = root.find(f"{{{SAMLP}}}Status")
        parse_into(state, f'<samlp:StatusDetail xmlns:samlp="{SAMLP}"/>').append(original)

    def into_forged(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        take_signature(forged, original)
        forged.append(original)

    def into_advice(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        parse_into(forged, f'<saml:Advice xmlns:saml="{SAML}"/>').append(original)

    def into_value(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        next(forged.iter(f"{{{SAML}}}AttributeValue")).append(original)

    def around(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        root.replace(forged, original)
        original.append(forged)

    def behind(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        root.append(original)

    def before(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        forged.addprevious(original)

    def behind_with_signature(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        take_signature(forged, original)
        root.append(original)

    def same_id(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        forged.set("ID", ASSERTION)
        root.append(original)

    def into_wrapper(root: Any, forged: Any, original: Any) -> None:  # noqa: ANN401
        parse_into(root, '<wrapper xmlns="urn:example:wrapper"/>').append(original)

    places: tuple[tuple[str, Edit, str], ...] = (
        ("original-in-signature-object", into_object, "XSW8"),
        ("original-in-extensions", into_extensions, "XSW7"),
        ("original-in-status-detail", into_status_detail, "CVE-2024-45409, its place"),
        ("original-in-forged-assertion", into_forged, "XSW4 and XSW6"),
        ("original-in-advice", into_advice, "a variant of XSW4"),
        ("original-in-attribute-value", into_value, "a variant of XSW4"),
        ("forged-in-original", around, "XSW4 turned round"),
        ("original-behind-forged", behind, "XSW3"),
        ("original-before-forged", before, "XSW3 turned round"),
        ("signature-in-forged-original-beside", behind_with_signature, "XSW5"),
        ("original-and-forged-of-one-id", same_id, "a variant of XSW3"),
        ("original-in-unknown-element", into_wrapper, "a variant of XSW7"),
    )
    for name, edit, source in places:
        yield attack(name, Denial.XML_REFUSED, XSW + source, wrapped(edit))


def moved_responses() -> Iterator[Attack]:
    signed = sign(response(assertion()), RESPONSE)
    inside = signed.replace('<?xml version="1.0"?>', "")
    outer = {"response_id": "_forged-2"}
    yield attack(
        "response-in-extensions",
        Denial.XML_REFUSED,
        XSW + "XSW1",
        response(victims(), extensions=inside, response_id="_forged-2"),
    )
    root = parse(response(victims(), response_id="_forged-2"))
    original = parse(signed)
    signature = original.find(f"{{{DS}}}Signature")
    root.insert(1, signature)
    parse_into(signature, f'<ds:Object xmlns:ds="{DS}"/>').append(original)
    yield attack("response-in-signature-object", Denial.XML_REFUSED, XSW + "XSW2", render(root))
    root = parse(response(victims(), **outer))
    root.append(parse(signed))
    yield attack("response-in-response", Denial.XML_REFUSED, XSW + "XSW1", render(root))
    yield attack(
        "wrapper-root",
        Denial.XML_REFUSED,
        "the root is none of SAML's, and a search from anywhere finds both",
        f'<wrapper xmlns="urn:example:wrapper">{response(victims(), **outer)}{inside}</wrapper>',
    )
    yield attack(
        "soap-envelope-root",
        Denial.XML_REFUSED,
        "the binding of another profile",
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
        f"<s:Body>{inside}</s:Body></s:Envelope>",
    )
    bare = sign(assertion(), ASSERTION)
    yield attack("bare-assertion-root", Denial.XML_REFUSED, "an assertion without its response", bare)


def twins() -> Iterator[Attack]:
    honest = sign(response(assertion()), ASSERTION)
    both = sign(sign(response(assertion(), victims()), ASSERTION), FORGED, key=ATTACKER)
    yield attack("second-signed-by-attacker", Denial.XML_REFUSED, "two assertions, one of them proven", both)
    both = sign(sign(response(victims(), assertion()), ASSERTION), FORGED, key=ATTACKER)
    yield attack("first-signed-by-attacker", Denial.XML_REFUSED, "the same in the other order", both)
    both = sign(sign(response(assertion(), victims()), ASSERTION), FORGED)
    yield attack(
        "two-genuine", Denial.XML_REFUSED, "two people in one answer: which one signed in is not said", both
    )
    root = parse(honest)
    root.append(parse(victims()))
    yield attack("second-unsigned", Denial.XML_REFUSED, XSW + "XSW3", render(root))
    whole = sign(response(assertion(), victims()), RESPONSE)
    yield attack(
        "two-in-a-signed-response", Denial.XML_REFUSED, "both are proven, and one is too many", whole
    )


def ciphertexts() -> Iterator[Attack]:
    root = parse(sign(response(assertion()), ASSERTION))
    root.append(parse(encrypted(victims().encode())))
    yield attack(
        "forged-ciphertext-behind-signed", Denial.XML_REFUSED, "anybody can encrypt for us", render(root)
    )
    root = parse(sign(response(assertion()), ASSERTION))
    find(root, ASSERTION).addprevious(parse(encrypted(victims().encode())))
    yield attack(
        "forged-ciphertext-before-signed", Denial.XML_REFUSED, "the same in the other order", render(root)
    )
    signed = sign(assertion(), ASSERTION)
    yield attack(
        "two-assertions-in-one-ciphertext",
        Denial.XML_REFUSED,
        "decrypted octets that are two elements",
        response(encrypted(signed.encode() + victims().encode())),
    )
    yield attack(
        "forged-before-signed-in-one-ciphertext",
        Denial.XML_REFUSED,
        "the same in the other order",
        response(encrypted(victims().encode() + signed.encode())),
    )
    original = sign(assertion(), ASSERTION)
    nested = victims(more=f"<saml:Advice>{original}</saml:Advice>")
    yield attack(
        "wrapped-in-ciphertext",
        Denial.XML_REFUSED,
        XSW + "XSW4 inside the ciphertext, where a gate before decryption does not see it",
        response(encrypted(nested.encode())),
    )
    yield attack(
        "response-in-ciphertext",
        Denial.XML_REFUSED,
        "the ciphertext holds another message",
        response(encrypted(sign(response(assertion()), ASSERTION).encode())),
    )
    inner = encrypted(sign(assertion(), ASSERTION).encode())
    yield attack(
        "ciphertext-in-ciphertext", Denial.XML_REFUSED, "encrypted twice", response(encrypted(inner.encode()))
    )
    twice = encrypt(encrypt(sign(response(assertion(), victims()), ASSERTION)), FORGED)
    yield attack("two-ciphertexts", Denial.XML_REFUSED, "two encrypted assertions", twice)


def names() -> Iterator[Attack]:
    def renamed(old: str, new: str) -> str:
        return sign(response(assertion()), ASSERTION).replace(old, new)

    fake = victims().replace(SAML, f"{SAML}#")
    root = parse(sign(response(assertion()), ASSERTION))
    root.insert(2, parse(fake))
    yield attack(
        "look-alike-namespace-beside",
        Denial.XML_REFUSED,
        "an assertion by its local name only",
        render(root),
    )
    yield attack(
        "look-alike-protocol-namespace",
        Denial.XML_REFUSED,
        "a response by its local name only",
        renamed(SAMLP, SAMLP + "/"),
    )
    yield attack(
        "saml-1-1-namespace",
        Denial.XML_REFUSED,
        "the names of SAML 1.1",
        sign(
            response(assertion().replace(SAML, "urn:oasis:names:tc:SAML:1.0:assertion")),
            ASSERTION,
        ),
    )
    ex = 'xmlns:ex="urn:example:decoy" '
    for name, reason, decoy in (
        ("decoy-namespaced-id", Denial.XML_REFUSED, f'{ex}ex:ID="{ASSERTION}"'),
        ("decoy-xml-id", Denial.XML_REFUSED, f'xml:id="{ASSERTION}"'),
        ("decoy-id-in-other-case", Denial.SIGNATURE_SHAPE, f'Id="{ASSERTION}"'),
    ):
        forged = sign(response(assertion()), ASSERTION).replace(
            f' ID="{ASSERTION}"', f' {decoy} ID="{FORGED}"', 1
        )
        yield attack(name, reason, "an attribute that some would take for the ID", forged)
    same = sign(response(assertion(), response_id=ASSERTION), ASSERTION)
    yield attack("response-and-assertion-of-one-id", Denial.XML_REFUSED, "an ID that stands twice", same)


def parse_into(parent: Any, text: str) -> Any:  # noqa: ANN401 - lxml has no annotations
    """A new last child of the parent."""
    child = parse(text)
    parent.append(child)
    return child
