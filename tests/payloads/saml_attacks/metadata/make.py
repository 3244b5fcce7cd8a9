"""Class 19: metadata that would make us trust somebody else. The last good copy stays."""

from collections.abc import Iterator
from hashlib import sha256

from tests.saml_forge.cases import Attack, document
from tests.saml_forge.keys import ATTACKER, IDP, IDP_NEXT
from tests.saml_forge.messages import DS, OTHER_IDP_ENTITY, after, parse, render
from tests.saml_forge.metadata import METADATA, entities, entity, role
from tests.saml_forge.signing import sign, x509_data

# Whom a connection expects to sign.
PINNED = sha256(IDP_NEXT.certificate).hexdigest()


def make(canary: str) -> Iterator[Attack]:
    """Documents. Addresses to fetch from are refused by the guard of outgoing requests, which has its own tests."""
    for name, text, origin in (
        ("dtd", "<!DOCTYPE r>" + entity(), "no DTD"),
        (
            "xxe-http",
            f'<!DOCTYPE r [<!ENTITY x SYSTEM "{canary}/metadata">]>' + entity(),
            "an entity to be fetched",
        ),
        ("expired", entity(ends=after(-1)), "validUntil is past"),
        ("expired-entities", entities(entity(), ends=after(-1)), "validUntil of what is around it is past"),
        ("end-malformed", entity(ends="tomorrow"), "no moment"),
        ("empty", "", "nothing"),
        ("not-xml", "hello", "a word"),
        ("html", "<html><body>Sign in</body></html>", "a page of a portal"),
        ("other-root", entity().replace("EntityDescriptor", "RoleDescriptor"), "another element"),
        (
            "service-provider",
            entity(role().replace("IDPSSODescriptor", "SPSSODescriptor")),
            "no identity provider",
        ),
        ("without-entity-id", entity(entity_id=None), "nobody"),
        ("without-certificate", entity(role(keys=())), "nothing to verify with"),
        ("certificate-for-encryption-only", entity(role(use="encryption")), "nothing to verify with"),
        ("certificate-no-base64", entity(role().replace(IDP.certificate_text, "*")), "no certificate"),
        (
            "certificate-no-certificate",
            entity(role().replace(IDP.certificate_text, "AAAA")),
            "no certificate",
        ),
        ("without-sso-service", entity(role(services="")), "nowhere to send people"),
        (
            "end-before-the-calendar",
            entity(ends="0001-01-01T00:00:00+14:00"),
            "no moment that can be reckoned with",
        ),
        (
            "end-behind-the-calendar",
            entity(ends="9999-12-31T23:59:59-14:00"),
            "no moment that can be reckoned with",
        ),
    ):
        yield document(name, "metadata", origin, text)
    for name, text, origin in (
        ("unsigned", entity(), "the connection names who signs"),
        ("wrong-signer", sign(entity(), METADATA, key=ATTACKER), "somebody else signs"),
        (
            "wrong-signer-shows-the-right-certificate",
            sign(entity(), METADATA, key=ATTACKER, key_info=x509_data(IDP_NEXT)),
            "somebody else signs",
        ),
        ("changed-under-signature", signed().replace("/sso", "/evil"), "changed after it was signed"),
        (
            "signed-beside-forged",
            entities(signed(), entity(entity_id=OTHER_IDP_ENTITY)),
            "the root is not signed",
        ),
        ("signed-inside-forged", wrapped(), "the signature is of something else"),
        (
            "sha1",
            sign(entity(), METADATA, key=IDP_NEXT, method=f"{DS}rsa-sha1"),
            "not on the list of methods",
        ),
    ):
        yield document(f"pinned-{name}", "metadata", origin, text, signer=PINNED)
    swapped = entity(entity_id=OTHER_IDP_ENTITY)
    yield document("entity-id-swapped", "entity_id_changed", "never adopted by itself", swapped)
    for name, address in (
        ("script", "javascript:alert(1)"),
        ("plain-http", "http://idp.example.org/sso"),
        ("with-password", "https://user:password@idp.example.org/sso"),
    ):
        yield document(f"location-{name}", "invalid", "nowhere to send people", entity(role(sso=address)))


def signed() -> str:
    return sign(entity(), METADATA, key=IDP_NEXT)


def wrapped() -> str:
    """A forged entity with the genuine one inside and its signature moved out."""
    genuine = parse(signed())
    forged = parse(entity(entity_id=OTHER_IDP_ENTITY).replace(METADATA, "_forged-1"))
    forged.insert(0, genuine[0])
    forged.append(genuine)
    return render(forged)
