"""Class 13: one organisation's provider speaks for another."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.encryption import encrypt
from tests.saml_forge.keys import OTHER_IDP, OTHER_SP
from tests.saml_forge.messages import (
    ASSERTION,
    OTHER_ACS,
    OTHER_IDP_ENTITY,
    OTHER_SP_ENTITY,
    assertion,
    audiences,
    conditions,
    confirmation,
    issuer,
    name_id,
    response,
    subject,
)
from tests.saml_forge.signing import sign


def make(canary: str) -> Iterator[Attack]:
    """The other organisation has a connection of its own on this installation, with a good key."""
    mine = issuer(OTHER_IDP_ENTITY)
    yield attack(
        "other-provider",
        Denial.SIGNATURE_INVALID,
        "its issuer and its key, at our address",
        sign(response(assertion(issued_by=mine), issued_by=mine), ASSERTION, key=OTHER_IDP),
    )
    yield attack(
        "other-key",
        Denial.SIGNATURE_INVALID,
        "our provider's name, its key",
        sign(response(), ASSERTION, key=OTHER_IDP),
    )
    yield attack(
        "other-issuer",
        Denial.ISSUER_MISMATCH,
        "a key that both share, its name",
        sign(response(assertion(issued_by=mine), issued_by=mine), ASSERTION),
    )
    theirs = assertion(
        about=subject(name_id(), confirmation(recipient=OTHER_ACS)),
        when=conditions(audiences(OTHER_SP_ENTITY)),
    )
    yield attack(
        "other-audience",
        Denial.DESTINATION_MISMATCH,
        "a login there, presented here",
        sign(response(theirs, destination=OTHER_ACS), ASSERTION),
    )
    only = assertion(when=conditions(audiences(OTHER_SP_ENTITY)))
    yield attack(
        "other-audience-our-address",
        Denial.AUDIENCE_MISMATCH,
        "its audience, our addresses",
        sign(response(only), ASSERTION),
    )
    yield attack(
        "encrypted-for-the-other",
        Denial.DECRYPTION_FAILED,
        "our keys are per connection",
        encrypt(sign(response(), ASSERTION), key=OTHER_SP),
    )
    honest = sign(response(), ASSERTION)
    place = {"at": "endpoint"}
    yield attack(
        "posted-to-the-others-acs",
        Denial.SIGNATURE_INVALID,
        "the path selects the connection",
        honest,
        **place,
    )
    about = subject(name_id("vera@example.net"), confirmation())
    yield attack(
        "mail-of-the-others-domain",
        Denial.DOMAIN_NOT_VERIFIED,
        "a domain that the other organisation verified",
        sign(response(assertion(about=about).replace("anna@example.org", "vera@example.net")), ASSERTION),
        **place,
    )
