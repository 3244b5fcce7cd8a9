"""Text of responses and assertions, part by part: every part can be replaced, left out or said twice.

Dates are made for one moment, `NOW`, and addresses for one connection. What is not given is as an honest provider
says it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
REQUESTED_AT = NOW - timedelta(seconds=30)
BASE = "https://usher.example.com"
CONNECTION = "0196a2b0-0000-7000-8000-000000000001"
OTHER_CONNECTION = "0196a2b0-0000-7000-8000-000000000002"
SP_ENTITY = f"{BASE}/saml/{CONNECTION}/metadata"
ACS = f"{BASE}/saml/{CONNECTION}/acs"
SLO = f"{BASE}/saml/{CONNECTION}/slo"
OTHER_SP_ENTITY = f"{BASE}/saml/{OTHER_CONNECTION}/metadata"
OTHER_ACS = f"{BASE}/saml/{OTHER_CONNECTION}/acs"
IDP_ENTITY = "https://idp.example.org/metadata"
OTHER_IDP_ENTITY = "https://idp.example.net/metadata"
# The service names a request after the key that goes out with it.
RELAY_STATE = "A" * 43
OTHER_RELAY_STATE = "B" * 43
REQUEST = f"_{sha256(b'request ' + RELAY_STATE.encode()).hexdigest()[:40]}"
OTHER_REQUEST = f"_{sha256(b'request ' + OTHER_RELAY_STATE.encode()).hexdigest()[:40]}"
RESPONSE = "_response-1"
ASSERTION = "_assertion-1"
SESSION_INDEX = "_session-1"
VICTIM = "vera@example.org"
SUBJECT = "anna@example.org"

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
MAIL_FORMAT = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BASIC = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"

HONEST: Mapping[str, Sequence[str]] = {
    "email": (SUBJECT,),
    "firstName": ("Anna",),
    "lastName": ("Berg",),
    "groups": ("staff",),
}


def moment(at: datetime) -> str:
    """SAML Core 1.3.3: UTC, with a Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def after(seconds: float) -> str:
    """So many seconds after NOW; before it, when negative."""
    return moment(NOW + timedelta(seconds=seconds))


def attributes_of(**values: str | None) -> str:
    """XML attributes; None leaves one out."""
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value is not None)


def issuer(name: str = IDP_ENTITY) -> str:
    return f"<saml:Issuer>{escape(name)}</saml:Issuer>"


def status(code: str = SUCCESS, nested: str = "") -> str:
    inner = f'<samlp:StatusCode Value="{nested}"/>' if nested else ""
    return f'<samlp:Status><samlp:StatusCode Value="{code}">{inner}</samlp:StatusCode></samlp:Status>'


def name_id(inner: str = SUBJECT, *, form: str | None = MAIL_FORMAT, **qualifiers: str) -> str:
    """`inner` is XML."""
    return f"<saml:NameID{attributes_of(Format=form, **qualifiers)}>{inner}</saml:NameID>"


def confirmation(
    *,
    method: str = BEARER,
    recipient: str | None = ACS,
    ends: str | None = after(300),
    begins: str | None = None,
    answers: str | None = REQUEST,
    inner: str = "",
) -> str:
    said = attributes_of(NotBefore=begins, NotOnOrAfter=ends, Recipient=recipient, InResponseTo=answers)
    return (
        f'<saml:SubjectConfirmation Method="{method}">'
        f"<saml:SubjectConfirmationData{said}>{inner}</saml:SubjectConfirmationData></saml:SubjectConfirmation>"
    )


def subject(*parts: str) -> str:
    return f"<saml:Subject>{''.join(parts or (name_id(), confirmation()))}</saml:Subject>"


def audiences(*names: str) -> str:
    inner = "".join(f"<saml:Audience>{escape(name)}</saml:Audience>" for name in names)
    return f"<saml:AudienceRestriction>{inner}</saml:AudienceRestriction>"


def conditions(
    *parts: str,
    begins: str | None = after(-60),
    ends: str | None = after(300),
) -> str:
    said = attributes_of(NotBefore=begins, NotOnOrAfter=ends)
    return f"<saml:Conditions{said}>{''.join(parts or (audiences(SP_ENTITY),))}</saml:Conditions>"


def authn(
    *, instant: str | None = after(-5), index: str | None = SESSION_INDEX, ends: str | None = None
) -> str:
    said = attributes_of(AuthnInstant=instant, SessionIndex=index, SessionNotOnOrAfter=ends)
    return (
        f"<saml:AuthnStatement{said}><saml:AuthnContext>"
        f"<saml:AuthnContextClassRef>{PASSWORD}</saml:AuthnContextClassRef>"
        "</saml:AuthnContext></saml:AuthnStatement>"
    )


def attribute(name: str, *values: str, **said: str) -> str:
    """`values` are XML, each the inside of one AttributeValue."""
    inner = "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in values)
    return f"<saml:Attribute{attributes_of(Name=name, NameFormat=BASIC, **said)}>{inner}</saml:Attribute>"


def statement(*parts: str) -> str:
    return f"<saml:AttributeStatement>{''.join(parts)}</saml:AttributeStatement>"


def stated(values: Mapping[str, Sequence[str]] = HONEST) -> str:
    """One statement of plain values."""
    return statement(*(attribute(name, *map(escape, texts)) for name, texts in values.items()))


def assertion(
    *,
    assertion_id: str | None = ASSERTION,
    version: str | None = "2.0",
    issued: str | None = after(-5),
    issued_by: str | None = None,
    about: str | None = None,
    when: str | None = None,
    statements: str | None = None,
    more: str = "",
    said: str = "",
) -> str:
    """An assertion; `more` stands after its statements, `said` are further XML attributes."""
    parts = (
        issuer() if issued_by is None else issued_by,
        subject() if about is None else about,
        conditions() if when is None else when,
        authn() + stated() if statements is None else statements,
    )
    head = attributes_of(ID=assertion_id, Version=version, IssueInstant=issued)
    return f'<saml:Assertion xmlns:saml="{SAML}"{head}{said}>{"".join(parts)}{more}</saml:Assertion>'


def victims(**said: Any) -> str:  # noqa: ANN401 - as `assertion`
    """What an attacker would have us believe: the same about somebody else, under another ID."""
    about = subject(name_id(VICTIM), confirmation())
    stated_of = authn() + stated({**HONEST, "email": (VICTIM,)})
    return assertion(**{"assertion_id": "_forged-1", "about": about, "statements": stated_of, **said})


def response(
    *parts: str,
    response_id: str | None = RESPONSE,
    version: str | None = "2.0",
    issued: str | None = after(-5),
    destination: str | None = ACS,
    answers: str | None = REQUEST,
    issued_by: str | None = None,
    state: str | None = None,
    extensions: str = "",
    said: str = "",
) -> str:
    """A response around the parts, or around an honest assertion."""
    head = attributes_of(
        ID=response_id,
        Version=version,
        IssueInstant=issued,
        Destination=destination,
        InResponseTo=answers,
    )
    inner = "".join(
        (
            issuer() if issued_by is None else issued_by,
            f"<samlp:Extensions>{extensions}</samlp:Extensions>" if extensions else "",
            status() if state is None else state,
            *(parts or (assertion(),)),
        )
    )
    spaces = f'xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}"'
    return f"<samlp:Response {spaces}{head}{said}>{inner}</samlp:Response>"


def parse(text: str) -> Any:  # noqa: ANN401 - lxml has no annotations
    """The tree of a message of ours, with comments, processing instructions and CDATA kept."""
    return etree.fromstring(text.encode(), etree.XMLParser(strip_cdata=False, resolve_entities=False))


def render(tree: Any) -> str:  # noqa: ANN401 - as above
    text: str = etree.tostring(tree, encoding="unicode", with_tail=False)
    return text


def find(tree: Any, element_id: str) -> Any:  # noqa: ANN401 - as above
    """The element with the ID: the first, where an attack has several."""
    return next(one for one in tree.iter(etree.Element) if element_id in {one.get("ID"), one.get("Id")})
