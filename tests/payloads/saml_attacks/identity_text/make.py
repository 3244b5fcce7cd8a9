"""Class 8: names that are read in part, or as somebody else's. All of it is signed by the genuine key."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack, literal
from tests.saml_forge.encryption import encrypt, encrypted
from tests.saml_forge.messages import (
    ASSERTION,
    HONEST,
    SAML,
    SUBJECT,
    VICTIM,
    assertion,
    attribute,
    authn,
    confirmation,
    name_id,
    response,
    stated,
    statement,
    subject,
)
from tests.saml_forge.signing import sign

XML = Denial.XML_REFUSED
TEXT = Denial.IDENTITY_TEXT_REFUSED
KEY = {"identity_key": "email"}
SPLIT = (
    ("comment", "<!---->", XML),
    ("pi", "<?x?>", XML),
    ("child", "<x/>", TEXT),
    ("child-with-text", "<x>y</x>", TEXT),
)
# The whole text, or nothing: what stands for the victim's name never does.
LITERAL = (
    ("cdata", f"{VICTIM}<![CDATA[.evil.example]]>", f"{VICTIM}.evil.example"),
    ("zero-width-space", f"vera\u200b{VICTIM[4:]}", f"vera\u200b{VICTIM[4:]}"),
    ("zero-width-joiner", f"{VICTIM}\u200d", f"{VICTIM}\u200d"),
    ("byte-order-mark", f"\ufeff{VICTIM}", f"\ufeff{VICTIM}"),
    ("right-to-left-override", f"\u202e{VICTIM}", f"\u202e{VICTIM}"),
    ("soft-hyphen", f"ve\u00adra{VICTIM[4:]}", f"ve\u00adra{VICTIM[4:]}"),
    ("cyrillic-letter", f"ver\u0430{VICTIM[4:]}", f"ver\u0430{VICTIM[4:]}"),
    ("decomposed-letter", f"ve\u0301ra{VICTIM[4:]}", f"ve\u0301ra{VICTIM[4:]}"),
    ("line-break-inside", f"{VICTIM}&#10;.evil.example", f"{VICTIM}\n.evil.example"),
    ("other-case", VICTIM.upper(), VICTIM.upper()),
    ("no-break-space", f"{VICTIM}\u00a0", f"{VICTIM}\u00a0"),
)


def make(canary: str) -> Iterator[Attack]:
    """In the NameID, in attribute values, in the open and in ciphertext."""
    yield from split()
    for name, inner, whole in LITERAL:
        yield literal(f"name-id-{name}", "as the whole text that it is", named(inner), whole)
    yield from counts()


def split() -> Iterator[Attack]:
    origin = "CVE-2017-11427 and others: the text ends at the node"
    for name, cut, reason in SPLIT:
        inner = f"{VICTIM}{cut}.evil.example"
        yield attack(f"name-id-{name}", reason, origin, named(inner))
        yield attack(
            f"name-id-{name}-in-ciphertext",
            reason,
            origin,
            encrypt(sign(response(with_name(inner)), ASSERTION)),
        )
        yield attack(f"value-{name}", reason, origin, mailed(inner), **KEY)
        hidden = encrypt(mailed(inner))
        yield attack(f"value-{name}-in-ciphertext", reason, origin, hidden, **KEY)
    # Added on the way: exclusive c14n leaves comments out, so that the signature still fits.
    honest = sign(response(with_name(f"{VICTIM}.evil.example")), ASSERTION)
    added = honest.replace(f"{VICTIM}.evil", f"{VICTIM}<!---->.evil")
    yield attack("name-id-comment-added-after-signing", XML, "CVE-2017-11427", added)
    inside = sign(with_name(f"{VICTIM}.evil.example"), ASSERTION).replace(".evil", "<!---->.evil", 1)
    yield attack(
        "name-id-comment-added-in-ciphertext", XML, "CVE-2017-11427", response(encrypted(inside.encode()))
    )


def counts() -> Iterator[Attack]:
    two = subject(name_id("anna@example.org"), name_id(VICTIM), confirmation())
    yield attack("two-name-ids", XML, "which one is meant?", about(two))
    for name, inner in (("empty", ""), ("blank", " \n "), ("only-child", "<x>vera@example.org</x>")):
        reason = TEXT if name == "only-child" else Denial.IDENTITY_MISSING
        yield attack(f"name-id-{name}", reason, "nobody is named", named(inner))
    yield attack("no-name-id", Denial.IDENTITY_MISSING, "nobody is named", about(subject(confirmation())))
    base = f"<saml:BaseID>{VICTIM}</saml:BaseID>"
    yield attack("base-id", XML, "a name of another kind", about(subject(base, confirmation())))
    sealed = encrypted(name_id(VICTIM).replace("<saml:NameID", f'<saml:NameID xmlns:saml="{SAML}"').encode())
    hidden = sealed.replace("EncryptedAssertion", "EncryptedID")
    yield attack("encrypted-id", XML, "not taken", about(subject(hidden, confirmation())))
    inner = sealed.replace("EncryptedAssertion", "EncryptedAttribute")
    made = sign(response(assertion(statements=authn() + statement(inner))), ASSERTION)
    yield attack("encrypted-attribute", XML, "not taken", made)
    look = f'<x:NameID xmlns:x="urn:example:decoy">{VICTIM}</x:NameID>'
    yield attack(
        "name-id-of-another-namespace",
        XML,
        "a NameID by its local name only",
        about(subject(look, confirmation())),
    )
    for name, values in (
        ("two-values", ("anna@example.org", VICTIM)),
        ("the-same-value-twice", (VICTIM, VICTIM)),
    ):
        statements = authn() + stated({**HONEST, "email": values})
        made = sign(response(assertion(statements=statements)), ASSERTION)
        yield attack(
            f"identity-{name}", Denial.IDENTITY_AMBIGUOUS, "never the first or the last", made, **KEY
        )
    repeated = authn() + statement(attribute("email", "anna@example.org"), attribute("email", VICTIM))
    made = sign(response(assertion(statements=repeated)), ASSERTION)
    yield attack("identity-attribute-twice", Denial.IDENTITY_AMBIGUOUS, "as two values", made, **KEY)
    twice = authn() + stated({**HONEST, "email": (SUBJECT, VICTIM)})
    made = sign(response(assertion(statements=twice)), ASSERTION)
    yield attack(
        "mail-two-values", Denial.IDENTITY_AMBIGUOUS, "by which a link is made", made, at="attributes"
    )
    split_up = (
        authn() + statement(attribute("email", "anna@example.org")) + statement(attribute("email", VICTIM))
    )
    made = sign(response(assertion(statements=split_up)), ASSERTION)
    yield attack("identity-in-two-statements", Denial.IDENTITY_AMBIGUOUS, "as two values", made, **KEY)
    for name, written in (
        ("no-value", '<saml:Attribute Name="email"/>'),
        ("empty-value", attribute("email", "")),
        ("blank-value", attribute("email", " ")),
    ):
        statements = authn() + statement(written)
        made = sign(response(assertion(statements=statements)), ASSERTION)
        yield attack(f"identity-{name}", Denial.IDENTITY_MISSING, "nobody is named", made, **KEY)
    friendly = authn() + statement(attribute("urn:oid:1.2.3", VICTIM, FriendlyName="email"))
    made = sign(response(assertion(statements=friendly)), ASSERTION)
    yield attack(
        "identity-by-friendly-name", Denial.IDENTITY_MISSING, "FriendlyName is for display", made, **KEY
    )
    other = authn() + statement(attribute("Email", VICTIM))
    made = sign(response(assertion(statements=other)), ASSERTION)
    yield attack(
        "identity-name-in-other-case", Denial.IDENTITY_MISSING, "names are compared exactly", made, **KEY
    )


def with_name(inner: str) -> str:
    """An assertion about the NameID, which is XML."""
    return assertion(about=subject(name_id(inner), confirmation()))


def named(inner: str) -> str:
    return sign(response(with_name(inner)), ASSERTION)


def about(made: str) -> str:
    return sign(response(assertion(about=made)), ASSERTION)


def mailed(inner: str) -> str:
    """A signed response whose attribute `email` holds the XML."""
    return sign(response(assertion(statements=authn() + statement(attribute("email", inner)))), ASSERTION)
