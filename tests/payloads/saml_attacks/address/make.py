"""Class 10: messages for somebody else, of somebody else, or that say no. All signed by the genuine key."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.messages import (
    ACS,
    ASSERTION,
    IDP_ENTITY,
    OTHER_ACS,
    OTHER_IDP_ENTITY,
    OTHER_REQUEST,
    OTHER_SP_ENTITY,
    RESPONSE,
    SP_ENTITY,
    SUCCESS,
    assertion,
    audiences,
    authn,
    conditions,
    confirmation,
    issuer,
    name_id,
    response,
    stated,
    status,
    subject,
)
from tests.saml_forge.signing import sign

CM = "urn:oasis:names:tc:SAML:2.0:cm:"
CODE = "urn:oasis:names:tc:SAML:2.0:status:"
MISSING = Denial.CONFIRMATION_MISSING
INVALID = Denial.CONDITIONS_INVALID


def make(canary: str) -> Iterator[Attack]:
    """Every address that differs in every way in which a loose comparison would not see it."""
    yield from addresses()
    yield from restrictions()
    yield from states()
    yield from confirmations()
    yield from statements()


def near(right: str, other: str) -> list[tuple[str, str]]:
    """Texts that are not the right one, by what is wrong with them."""
    return [
        ("other", other),
        ("prefix", right[:-1]),
        ("longer", right + "x"),
        ("with-slash", right + "/"),
        ("with-query", right + "?x=1"),
        ("substring", f"https://evil.example/?to={right}"),
        ("upper-case", right.upper()),
        ("other-scheme", right.replace("https://", "http://")),
        ("with-port", right.replace(".com/", ".com:443/").replace(".org/", ".org:443/")),
        ("with-space-inside", right.replace("/saml/", "/saml /").replace("/meta", "/ meta")),
        ("empty", ""),
    ]


def addresses() -> Iterator[Attack]:
    for name, text in near(SP_ENTITY, OTHER_SP_ENTITY):
        made = signed(when=conditions(audiences(text)))
        yield attack(f"audience-{name}", Denial.AUDIENCE_MISMATCH, "Core 2.5.1.4: exactly us", made)
    for name, text in near(ACS, OTHER_ACS):
        made = signed(about=subject(name_id(), confirmation(recipient=text)))
        yield attack(f"recipient-{name}", Denial.RECIPIENT_MISMATCH, "Profiles 4.1.4.3: exactly us", made)
        made = sign(sign(response(destination=text), ASSERTION), RESPONSE)
        yield attack(f"destination-{name}", Denial.DESTINATION_MISMATCH, "Bindings 3.5.5.2: exactly us", made)
    made = sign(response(destination=OTHER_ACS), ASSERTION)
    yield attack(
        "destination-other-unsigned", Denial.DESTINATION_MISMATCH, "what is unsigned may refuse", made
    )
    made = sign(sign(response(destination=None), ASSERTION), RESPONSE)
    yield attack("destination-missing", Denial.DESTINATION_MISMATCH, "Bindings 3.5.5.2: when signed", made)
    made = signed(about=subject(name_id(), confirmation(recipient=None)))
    yield attack("recipient-missing", Denial.RECIPIENT_MISMATCH, "Profiles 4.1.4.2: it must have one", made)
    for name, text in near(IDP_ENTITY, OTHER_IDP_ENTITY):
        made = signed(issued_by=issuer(text))
        yield attack(f"issuer-{name}", Denial.ISSUER_MISMATCH, "Core 2.2.5: exactly the provider", made)
    yield attack(
        "issuer-missing", Denial.ISSUER_MISMATCH, "Core 2.3.3: it must have one", signed(issued_by="")
    )
    two = signed(issued_by=issuer() + issuer(OTHER_IDP_ENTITY))
    yield attack("issuer-twice", Denial.XML_REFUSED, "Core 2.3.3: one", two)
    made = sign(response(issued_by=issuer(OTHER_IDP_ENTITY)), ASSERTION)
    yield attack("response-issuer-other", Denial.ISSUER_MISMATCH, "wherever else it stands", made)


def restrictions() -> Iterator[Attack]:
    mismatch = Denial.AUDIENCE_MISMATCH
    none = signed(when=conditions(" "))
    yield attack("audience-missing", mismatch, "Profiles 4.1.4.2: it must name us", none)
    made = signed(when=conditions("<saml:AudienceRestriction/>"))
    yield attack("audience-restriction-empty", mismatch, "names nobody", made)
    each = audiences(SP_ENTITY) + audiences(OTHER_SP_ENTITY)
    yield attack(
        "one-restriction-without-us",
        mismatch,
        "Core 2.5.1.4: each must name us",
        signed(when=conditions(each)),
    )
    turned = audiences(OTHER_SP_ENTITY) + audiences(SP_ENTITY)
    yield attack(
        "first-restriction-without-us", mismatch, "the same turned round", signed(when=conditions(turned))
    )
    joined = f"{OTHER_SP_ENTITY} {SP_ENTITY}"
    yield attack(
        "audience-of-two-names", mismatch, "a list in one element", signed(when=conditions(audiences(joined)))
    )
    outside = signed(when=conditions(" ") + audiences(SP_ENTITY))
    yield attack("audience-outside-conditions", Denial.XML_REFUSED, "not where it counts", outside)
    yield attack("no-conditions", INVALID, "they must be there", signed(when=""))
    yield attack(
        "two-conditions", Denial.XML_REFUSED, "which hold?", signed(when=conditions() + conditions())
    )
    strange = conditions(
        audiences(SP_ENTITY),
        '<saml:Condition xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:x="urn:example:x" xsi:type="x:Never"/>',
    )
    yield attack(
        "unknown-condition", INVALID, "Core 2.5.1: what is not understood cannot hold", signed(when=strange)
    )
    alien = conditions(audiences(SP_ENTITY), '<x:Never xmlns:x="urn:example:x"/>')
    yield attack("foreign-condition", INVALID, "Core 2.5.1: the same", signed(when=alien))


def states() -> Iterator[Attack]:
    refused = Denial.STATUS_NOT_SUCCESS
    for name, made in (
        ("responder", status(CODE + "Responder")),
        ("requester", status(CODE + "Requester")),
        ("authn-failed", status(CODE + "Responder", CODE + "AuthnFailed")),
        ("success-nested", status(CODE + "Responder", SUCCESS)),
        ("success-in-lower-case", status(SUCCESS.lower())),
        ("success-longer", status(SUCCESS + "x")),
        ("success-of-saml-1", status("samlp:Success")),
        ("empty", status("")),
        ("without-code", "<samlp:Status/>"),
        ("missing", " "),
        ("code-twice", status().replace("</samlp:Status>", '<samlp:StatusCode Value="x"/></samlp:Status>')),
    ):
        yield attack(f"status-{name}", refused, "Core 3.2.2.2", sign(response(state=made), ASSERTION))
    both = sign(response(state=status() + status(CODE + "Responder")), ASSERTION)
    yield attack("status-twice", Denial.XML_REFUSED, "which one holds?", both)
    for name, version in (("1-1", "1.1"), ("2-1", "2.1"), ("2", "2"), ("empty", ""), ("missing", None)):
        made = sign(response(version=version), ASSERTION)
        yield attack(f"response-version-{name}", Denial.VERSION_MISMATCH, "Core 4.1", made)
        yield attack(
            f"assertion-version-{name}", Denial.VERSION_MISMATCH, "Core 4.1", signed(version=version)
        )


def confirmations() -> Iterator[Attack]:
    for name, method in (
        ("holder-of-key", CM + "holder-of-key"),
        ("sender-vouches", CM + "sender-vouches"),
        ("unknown", "urn:example:method"),
        ("in-capitals", CM + "BEARER"),
        ("of-saml-1", "urn:oasis:names:tc:SAML:1.0:cm:bearer"),
        ("empty", ""),
    ):
        made = signed(about=subject(name_id(), confirmation(method=method)))
        yield attack(f"confirmation-{name}", MISSING, "Profiles 4.1.4.2: a bearer's", made)
    yield attack(
        "confirmation-none", MISSING, "Profiles 4.1.4.2: at least one", signed(about=subject(name_id()))
    )
    bare = '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/>'
    yield attack(
        "confirmation-without-data", MISSING, "Profiles 4.1.4.2", signed(about=subject(name_id(), bare))
    )
    yield attack("no-subject", MISSING, "Profiles 4.1.4.2", signed(about=""))
    two = subject(name_id(), confirmation()) + subject(name_id("vera@example.org"), confirmation())
    yield attack("two-subjects", Denial.XML_REFUSED, "who is it?", signed(about=two))
    split = subject(
        name_id(),
        confirmation(recipient=OTHER_ACS),
        confirmation(answers=OTHER_REQUEST),
    )
    yield attack(
        "confirmations-that-hold-only-together",
        Denial.RECIPIENT_MISMATCH,
        "one of them must hold as a whole",
        signed(about=split),
    )


def statements() -> Iterator[Attack]:
    made = signed(statements=stated())
    yield attack("no-authn-statement", Denial.AUTHN_STATEMENT_MISSING, "Profiles 4.1.4.2", made)
    other = authn().replace("AuthnStatement", "AuthzDecisionStatement")
    yield attack(
        "another-statement",
        Denial.AUTHN_STATEMENT_MISSING,
        "none of authentication",
        signed(statements=other),
    )


def signed(**said: str | None) -> str:
    """A response with a signed assertion that says it."""
    return sign(response(assertion(**said)), ASSERTION)  # type: ignore[arg-type]  # all of them are text
