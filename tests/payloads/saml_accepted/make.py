"""What honest identity providers send, in all their variety. Each logs in, as exactly the person it is about."""

import base64
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from lxml import etree

from saml.login import NameID
from tests.saml_forge.accepted import Accepted, accepted, accepted_field
from tests.saml_forge.encryption import (
    AES128_CBC,
    AES128_GCM,
    AES256_CBC,
    AES256_GCM,
    OAEP11,
    XENC11,
    encrypt,
    encrypted,
)
from tests.saml_forge.keys import IDP, IDP_EXPIRED, IDP_NEXT, IDP_P256, SP, SP_NEXT, wrap_oaep
from tests.saml_forge.messages import (
    ASSERTION,
    DS,
    HONEST,
    NOW,
    OTHER_SP_ENTITY,
    PERSISTENT,
    RESPONSE,
    SAMLP,
    SP_ENTITY,
    SUBJECT,
    after,
    assertion,
    attribute,
    audiences,
    authn,
    conditions,
    confirmation,
    issuer,
    name_id,
    parse,
    response,
    stated,
    statement,
    subject,
)
from tests.saml_forge.signing import MORE, RSA_PSS_SHA256, SHA256, SHA384, SHA512, sign

PSS = "http://www.w3.org/2007/05/xmldsig-more#"
HONEST_VALUES = {name: tuple(values) for name, values in HONEST.items()}
INITIATED = {"request_id": None, "requested_at": None}


def make() -> Iterator[Accepted]:
    """Section by section of what may differ: signatures, ciphertexts, texts, moments, content."""
    yield from signed()
    yield from sealed()
    yield from written()
    yield from timed()
    yield from said()
    yield from addressed()


def signed() -> Iterator[Accepted]:
    inner = sign(response(), ASSERTION)
    yield accepted("assertion-signed", inner)
    yield accepted("response-signed", sign(response(), RESPONSE))
    yield accepted("both-signed", sign(inner, RESPONSE))
    yield accepted("assertion-signed-as-asked", inner, require_signed_assertion=True)
    bare = sign(response(), ASSERTION, key_info="")
    yield accepted("key-info-absent", bare)
    new = sign(response(), ASSERTION, key=IDP_NEXT, key_info="")
    yield accepted(
        "second-certificate-key-info-absent", new, certificates=(IDP.certificate, IDP_NEXT.certificate)
    )
    yield accepted(
        "second-certificate-shown",
        sign(response(), ASSERTION, key=IDP_NEXT),
        certificates=(IDP.certificate, IDP_NEXT.certificate),
    )
    mixed = sign(inner, RESPONSE, key=IDP_NEXT)
    yield accepted("each-by-another-certificate", mixed, certificates=(IDP.certificate, IDP_NEXT.certificate))
    old = sign(response(), ASSERTION, key=IDP_EXPIRED)
    yield accepted("certificate-past-its-end", old, certificates=(IDP_EXPIRED.certificate,))
    for name, method, digest in (
        ("rsa-sha384", f"{MORE}rsa-sha384", SHA384),
        ("rsa-sha512", f"{MORE}rsa-sha512", SHA512),
        ("rsa-pss-sha256", RSA_PSS_SHA256, SHA256),
        ("rsa-pss-sha384", f"{PSS}sha384-rsa-MGF1", SHA384),
        ("rsa-pss-sha512", f"{PSS}sha512-rsa-MGF1", SHA512),
    ):
        yield accepted(name, sign(response(), ASSERTION, method=method, digest=digest))
    for size in (256, 384, 512):
        made = sign(response(), ASSERTION, key=IDP_P256, method=f"{MORE}ecdsa-sha{size}")
        yield accepted(f"ecdsa-p256-sha{size}", made, certificates=(IDP.certificate, IDP_P256.certificate))
    yield accepted("prefix-list", sign(response(), ASSERTION, prefixes="xs saml xsi"))
    yield accepted("prefix-list-with-default", sign(response(), ASSERTION, prefixes="#default xs"))
    yield accepted("signature-without-prefix", sign(response(), ASSERTION, prefix=""))
    wrapped = sign(
        response(), ASSERTION, value_text=lambda text: "\n" + "\n".join(textwrap.wrap(text, 64)) + "\n"
    )
    yield accepted("signature-value-in-lines", wrapped)


def sealed() -> Iterator[Accepted]:
    inner = sign(response(), ASSERTION)
    for name, cipher in (
        ("aes128-cbc", AES128_CBC),
        ("aes256-cbc", AES256_CBC),
        ("aes128-gcm", AES128_GCM),
        ("aes256-gcm", AES256_GCM),
    ):
        yield accepted(f"encrypted-{name}-inner-signed", encrypt(inner, cipher=cipher))
        outer = sign(encrypt(response(), cipher=cipher), RESPONSE)
        yield accepted(f"encrypted-{name}-outer-signed", outer)
        both = sign(encrypt(inner, cipher=cipher), RESPONSE)
        yield accepted(f"encrypted-{name}-both-signed", both)
    yield accepted("encrypted-as-asked", encrypt(inner), require_encrypted_assertion=True)
    yield accepted("encrypted-key-beside", encrypt(inner, keys_beside=True))
    yield accepted(
        "encrypted-for-the-next-key",
        encrypt(inner, key=SP_NEXT),
        private_keys=(SP.private_pem, SP_NEXT.private_pem),
    )
    yield accepted(
        "encrypted-oaep-with-its-sha1-digest",
        encrypt(inner, oaep=f'<ds:DigestMethod Algorithm="{DS}sha1"/>'),
    )
    plain = sign(assertion(), ASSERTION).encode()
    secret = b"0123456789abcdef"
    from_oaep = encrypted(
        plain,
        cipher=AES128_GCM,
        transport=OAEP11,
        wrapped=wrap_oaep(SP, secret, digest="sha256", mask="sha256"),
        secret=secret,
        oaep=f'<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f'<xenc11:MGF xmlns:xenc11="{XENC11}" Algorithm="{XENC11}mgf1sha256"/>',
    )
    yield accepted("encrypted-oaep-sha256", response(from_oaep))


def written() -> Iterator[Accepted]:
    inner = sign(response(), ASSERTION)
    yield accepted("xml-declaration", '<?xml version="1.0" encoding="UTF-8"?>\n' + inner)
    yield accepted(
        "xml-declaration-standalone", "<?xml version='1.0' encoding='utf-8' standalone='yes'?>" + inner
    )
    yield accepted("byte-order-mark", "\ufeff" + inner)
    yield accepted("trailing-line-break", inner + "\n")
    tree = parse(response())
    etree.indent(tree)
    indented = sign(etree.tostring(tree, encoding="unicode"), ASSERTION)
    yield accepted("indented", indented)
    code = base64.b64encode(inner.encode()).decode()
    yield accepted_field("base64-in-lines", "\r\n".join(textwrap.wrap(code, 76)) + "\r\n")
    yield accepted_field("base64-with-spaces", f" {code[:100]} \t{code[100:]}\n")
    plain = assertion().replace("saml:", "").replace("xmlns:saml=", "xmlns=")
    yield accepted("assertion-without-prefix", sign(response(plain), ASSERTION, prefix=""))
    bare = response().replace("samlp:", "").replace("xmlns:samlp=", "xmlns=")
    assert f'xmlns="{SAMLP}"' in bare
    yield accepted("response-without-prefix", sign(bare, ASSERTION))
    other = response().replace("samlp:", "saml2p:").replace("saml:", "saml2:")
    other = other.replace("xmlns:saml=", "xmlns:saml2=").replace("xmlns:samlp=", "xmlns:saml2p=")
    yield accepted("other-prefixes", sign(other, ASSERTION))
    typed = (
        ' xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    )
    value = f'<saml:AttributeValue{typed} xsi:type="xs:string">'
    yield accepted(
        "typed-values",
        sign(response(assertion().replace("<saml:AttributeValue>", value)), ASSERTION, prefixes="xs"),
    )
    spaced = name_id(f"\n    {SUBJECT}\n  ")
    yield accepted("whitespace-around-the-name", signed_with(about=subject(spaced, confirmation())))
    yield accepted("cdata", sign(response(), ASSERTION).replace(SUBJECT, f"<![CDATA[{SUBJECT}]]>"))


def timed() -> Iterator[Accepted]:
    made = signed_with(when=conditions(begins=after(-400), ends=after(-119)))
    yield accepted("skew-conditions-end", made)
    yield accepted("skew-conditions-begin", signed_with(when=conditions(begins=after(120))))
    made = signed_with(about=subject(name_id(), confirmation(ends=after(-119))))
    yield accepted("skew-confirmation-end", made)
    made = signed_with(issued=after(120), statements=authn(instant=after(120)) + stated())
    yield accepted("skew-issued-ahead", made, login={"authn_instant": NOW + timedelta(seconds=120)})
    yield accepted("skew-issued-before-the-request", signed_with(issued=after(-150)))
    made = signed_with(statements=authn(ends=after(-119)) + stated())
    yield accepted("skew-session-end", made, login={"session_ends_at": NOW - timedelta(seconds=119)})
    made = signed_with(statements=authn(instant=after(-150)) + stated())
    yield accepted(
        "skew-fresh-login", made, login={"authn_instant": NOW - timedelta(seconds=150)}, force_authn=True
    )
    made = signed_with(when=conditions(begins=None, ends=None))
    yield accepted("conditions-without-times", made)
    seven = signed_with(
        issued="2026-05-04T09:59:55.1234567Z",
        about=subject(name_id(), confirmation(ends="2026-05-04T10:05:00.0000000Z")),
        when=conditions(begins="2026-05-04T09:59:00.9876543Z", ends="2026-05-04T10:05:00.7654321Z"),
        statements=authn(instant="2026-05-04T09:59:55.0000000Z") + stated(),
    )
    yield accepted(
        "fractions-of-seven-digits",
        seven,
        login={"used_until": NOW + timedelta(seconds=420, microseconds=765_432)},
    )
    ends_at = NOW + timedelta(hours=8)
    made = signed_with(statements=authn(ends=after(8 * 3600)) + stated())
    yield accepted("session-not-on-or-after", made, login={"session_ends_at": ends_at})
    last = {"session_ends_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}
    made = signed_with(statements=authn(ends="9999-12-31T23:59:59Z") + stated())
    yield accepted("session-without-end", made, login=last)
    made = signed_with(when=conditions(begins="0001-01-01T00:00:00Z"))
    yield accepted("conditions-without-beginning", made)
    made = signed_with(statements=authn(instant=after(-7200)) + stated())
    yield accepted("authenticated-hours-ago", made, login={"authn_instant": NOW - timedelta(hours=2)})
    made = signed_with(
        about=subject(name_id(), confirmation(ends=after(86_000))), when=conditions(ends=after(86_000))
    )
    yield accepted("valid-for-nearly-a-day", made, login={"used_until": NOW + timedelta(seconds=86_120)})


def said() -> Iterator[Accepted]:
    split = (
        authn() + statement(attribute("email", SUBJECT)) + statement(attribute("groups", "staff", "admins"))
    )
    yield accepted(
        "two-attribute-statements",
        signed_with(statements=split),
        login={"attributes": {"email": (SUBJECT,), "groups": ("staff", "admins")}},
    )
    yield accepted("no-attribute-statement", signed_with(statements=authn()), login={"attributes": {}})
    repeated = authn() + statement(
        attribute("Role", "b"), attribute("email", SUBJECT), attribute("Role", "a", "c")
    )
    yield accepted(
        "repeated-attribute",
        signed_with(statements=repeated),
        login={"attributes": {"Role": ("b", "a", "c"), "email": (SUBJECT,)}},
    )
    groups = tuple(f"group-{number:03}" for number in range(300))
    yield accepted(
        "groups-300",
        signed_with(statements=authn() + stated({"groups": groups})),
        login={"attributes": {"groups": groups}},
    )
    names = {"firstName": ("Åsa 😀",), "lastName": ("Łukasiewicz",), "groups": ("Ärzte", "研究", "ﷺ")}
    yield accepted(
        "values-beyond-ascii", signed_with(statements=authn() + stated(names)), login={"attributes": names}
    )
    marked = {"groups": ("R&D", "<b>", "a;b", '"quoted"')}
    yield accepted(
        "values-with-markup", signed_with(statements=authn() + stated(marked)), login={"attributes": marked}
    )
    qualified = name_id(
        "8c1f0e2a",
        form=PERSISTENT,
        NameQualifier="https://idp.example.org/metadata",
        SPNameQualifier=SP_ENTITY,
    )
    yield accepted(
        "persistent-name-id",
        signed_with(about=subject(qualified, confirmation())),
        login={
            "name_id": NameID("8c1f0e2a", PERSISTENT, "https://idp.example.org/metadata", SP_ENTITY),
        },
    )
    plain = signed_with(about=subject(name_id(form=None), confirmation()))
    yield accepted("name-id-without-format", plain, login={"name_id": NameID(SUBJECT)})
    keyed = signed_with(about=subject(confirmation()))
    yield accepted("no-name-id-with-attribute-as-key", keyed, login={"name_id": None}, identity_key="email")
    yield accepted(
        "no-session-index", signed_with(statements=authn(index=None) + stated()), login={"session_index": ""}
    )
    epids = (
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.10",
        f'<saml:NameID Format="{PERSISTENT}">8c1f0e2a</saml:NameID>',
    )
    nested = authn() + statement(attribute(epids[0], epids[1]), attribute("email", SUBJECT))
    yield accepted(
        "name-id-in-an-attribute-value",
        signed_with(statements=nested),
        login={"attributes": {epids[0]: ("8c1f0e2a",), "email": (SUBJECT,)}},
    )


def addressed() -> Iterator[Accepted]:
    both = signed_with(when=conditions(audiences(OTHER_SP_ENTITY, SP_ENTITY)))
    yield accepted("several-audiences-in-one-restriction", both)
    twice = signed_with(when=conditions(audiences(SP_ENTITY), audiences(OTHER_SP_ENTITY, SP_ENTITY)))
    yield accepted("two-restrictions-that-name-us", twice)
    yield accepted("one-time-use", signed_with(when=conditions(audiences(SP_ENTITY), "<saml:OneTimeUse/>")))
    proxied = conditions(audiences(SP_ENTITY), '<saml:ProxyRestriction Count="0"/>')
    yield accepted("proxy-restriction", signed_with(when=proxied))
    yield accepted("no-issuer-on-an-unsigned-response", sign(response(issued_by=""), ASSERTION))
    yield accepted("no-destination-on-an-unsigned-response", sign(response(destination=None), ASSERTION))
    entity = '<saml:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">'
    yield accepted("issuer-with-format", signed_with(issued_by=issuer().replace("<saml:Issuer>", entity)))
    vouching = confirmation(method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches", recipient=None, ends=None)
    good = confirmation()
    yield accepted("sender-vouches-beside-a-bearer", signed_with(about=subject(name_id(), vouching, good)))
    stale = confirmation(ends=after(-3600))
    yield accepted("a-stale-bearer-beside-a-good-one", signed_with(about=subject(name_id(), stale, good)))
    addressed_to = good.replace("Recipient=", 'Address="192.0.2.7" Recipient=')
    yield accepted("confirmation-with-address", signed_with(about=subject(name_id(), addressed_to)))
    free = assertion(about=subject(name_id(), confirmation(answers=None)))
    initiated = response(free, answers=None)
    yield accepted("idp-initiated", sign(initiated, ASSERTION), login={"in_response_to": ""}, **INITIATED)
    yield accepted(
        "idp-initiated-both-signed",
        sign(sign(initiated, ASSERTION), RESPONSE),
        login={"in_response_to": ""},
        **INITIATED,
    )


def signed_with(**parts: str | None) -> str:
    """A response with a signed assertion that says it."""
    return sign(response(assertion(**parts)), ASSERTION)  # type: ignore[arg-type]  # all of them are text
