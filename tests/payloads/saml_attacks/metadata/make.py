"""Class 19: metadata that would make us trust somebody else. The last good copy stays."""

from collections.abc import Iterator

from tests.saml_forge.cases import Attack, document
from tests.saml_forge.keys import ATTACKER, IDP, IDP_NEXT
from tests.saml_forge.messages import OTHER_IDP_ENTITY, after
from tests.saml_forge.metadata import METADATA, entities, entity, role
from tests.saml_forge.signing import sign


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
        ("script-location", entity(role(sso="javascript:alert(1)")), "no address of the web"),
        ("unsigned-with-pinned-signer", entity(), "the connection names who signs"),
        ("wrong-signer", sign(entity(), METADATA, key=ATTACKER), "somebody else signs"),
        (
            "wrong-signer-shown-as-right",
            sign(entity(), METADATA, key=ATTACKER, key_info=""),
            "somebody else signs",
        ),
        (
            "changed-under-signature",
            sign(entity(), METADATA, key=IDP_NEXT).replace("/sso", "/evil"),
            "changed",
        ),
        ("entity-id-swapped", entity(entity_id=OTHER_IDP_ENTITY), "never adopted by itself"),
        ("stylesheet", f'<?xml-stylesheet href="{canary}/sheet"?>' + entity(), "a program to be fetched"),
    ):
        yield document(name, origin, text)
