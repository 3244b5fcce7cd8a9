"""Class 2: a signature that is not there, is empty, or no longer fits."""

from collections.abc import Iterator
from typing import Any

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.encryption import encrypt
from tests.saml_forge.messages import (
    ASSERTION,
    DS,
    IDP_ENTITY,
    RESPONSE,
    SAML,
    SP_ENTITY,
    SUBJECT,
    VICTIM,
    find,
    parse,
    render,
    response,
)
from tests.saml_forge.signing import place, sign, signature_of

SHAPE = Denial.SIGNATURE_SHAPE
MISSING = Denial.SIGNATURE_MISSING
INVALID = Denial.SIGNATURE_INVALID


def make(canary: str) -> Iterator[Attack]:
    """Signatures taken out whole or in part, and texts changed under them."""
    honest = sign(response(), ASSERTION)
    both = sign(honest, RESPONSE)
    yield attack("no-signature", MISSING, "nothing is signed", response())
    yield attack("encrypted-without-signature", MISSING, "ciphertext proves nobody", encrypt(response()))
    yield attack(
        "signature-of-response-only",
        MISSING,
        "a connection that asks for a signed assertion",
        sign(response(), RESPONSE),
        require_signed_assertion=True,
    )
    yield attack(
        "not-encrypted",
        Denial.ENCRYPTION_REQUIRED,
        "a connection that asks for encryption",
        honest,
        require_encrypted_assertion=True,
    )
    yield attack("empty-signature", SHAPE, "a Signature element with nothing in it", emptied("Signature"))
    for name, part in (
        ("without-signed-info", "SignedInfo"),
        ("without-reference", "Reference"),
        ("without-signature-value", "SignatureValue"),
        ("without-signature-method", "SignatureMethod"),
        ("without-canonicalization-method", "CanonicalizationMethod"),
        ("without-digest-method", "DigestMethod"),
        ("without-digest-value", "DigestValue"),
        ("without-transforms", "Transforms"),
    ):
        yield attack(name, SHAPE, f"a signature without its {part}", without(part))
    yield attack("empty-signature-value", INVALID, "a signature of no octets", emptied("SignatureValue"))
    yield attack("empty-digest-value", INVALID, "a digest of no octets", emptied("DigestValue"))
    for name, old, new in (
        ("name-id-changed", SUBJECT, VICTIM),
        ("audience-changed", SP_ENTITY + "</saml:Aud", SP_ENTITY + "x</saml:Aud"),
        ("issuer-changed", IDP_ENTITY, IDP_ENTITY + "x"),
        ("attribute-changed", ">staff<", ">administrators<"),
        ("time-changed", "2026-05-04T10:05:00Z", "2026-05-04T10:06:00Z"),
        ("whitespace-added", "</saml:NameID>", " </saml:NameID>"),
    ):
        yield attack(name, INVALID, "changed after it was signed", changed(honest, old, new))
    yield attack(
        "inner-valid-outer-broken",
        INVALID,
        "a genuine assertion in a response whose own signature is broken",
        both.replace('Version="2.0"', 'Version="2.0" Consent="x"', 1),
    )
    tree = parse(both)
    victim = find(tree, ASSERTION)
    victim.find(f"{{{SAML}}}Subject")[0].text = VICTIM
    root = parse(render(tree))
    broken = root.find(f"{{{DS}}}Signature")
    root.remove(broken)
    place(root, signature_of(root, root))
    yield attack(
        "outer-valid-inner-broken",
        INVALID,
        "a genuine response around an assertion that is broken",
        render(root),
    )
    part = parse(response())
    target = find(part, ASSERTION)
    name = target.find(f"{{{SAML}}}Subject")
    name.set("ID", "_subject-1")
    name.append(signature_of(part, name))
    yield attack("signature-of-subject-only", SHAPE, "a part is signed, the rest is not", render(part))


def without(part: str) -> str:
    """An honest response whose signature lacks the part."""
    tree = parse(sign(response(), ASSERTION))
    gone = first(tree, part)
    gone.getparent().remove(gone)
    return render(tree)


def emptied(part: str) -> str:
    """An honest response with nothing in the part of its signature."""
    tree = parse(sign(response(), ASSERTION))
    found = first(tree, part)
    for child in list(found):
        found.remove(child)
    found.text = None
    return render(tree)


def changed(text: str, old: str, new: str) -> str:
    """The change is in the assertion."""
    head, mark, tail = text.partition("<saml:Assertion")
    assert old in tail
    return head + mark + tail.replace(old, new)


def first(tree: Any, part: str) -> Any:  # noqa: ANN401 - lxml has no annotations
    return next(tree.iter(f"{{{DS}}}{part}"))
