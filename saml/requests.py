"""Messages of ours: what they say, and how they go out by the redirect and the POST binding.

Ids and moments are given. A signature is RSA-SHA256, made by the verifier's library.
"""

import base64
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from lxml import etree

from saml import names, verifier
from saml.login import NameID

REQUEST = "SAMLRequest"
RESPONSE = "SAMLResponse"
_MIN_RANDOM = 16


@dataclass(frozen=True, slots=True)
class Signer:
    """A key of ours: PEM, and its certificate in DER."""

    private_key: bytes = field(repr=False)
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every message says: its ID, when it was made, who sends it and where it goes."""

    message_id: str
    issued_at: datetime
    issuer: str
    destination: str


def message_id(random_octets: bytes) -> str:
    """An ID that begins with no digit and cannot be guessed. SAML Core 1.3.4: 128 random bits at least."""
    if len(random_octets) < _MIN_RANDOM:
        raise ValueError(f"an ID needs {_MIN_RANDOM} random octets, not {len(random_octets)}")
    return f"_{random_octets.hex()}"


def render_authn_request(
    envelope: Envelope, *, acs_url: str, force_authn: bool = False, requested_authn_context: str = ""
) -> bytes:
    """An AuthnRequest, SAML Core 3.4.1. `requested_authn_context`: class references, split at whitespace.

    The format of the NameID is left to the provider.
    """
    root = _message("AuthnRequest", envelope)
    if force_authn:
        root.set("ForceAuthn", "true")
    root.set("ProtocolBinding", names.BINDING_POST)
    root.set("AssertionConsumerServiceURL", acs_url)
    etree.SubElement(root, f"{{{names.SAMLP}}}NameIDPolicy", AllowCreate="true")
    if requested_authn_context.split():
        context = etree.SubElement(root, f"{{{names.SAMLP}}}RequestedAuthnContext", Comparison="exact")
        for reference in requested_authn_context.split():
            etree.SubElement(context, f"{{{names.SAML}}}AuthnContextClassRef").text = reference
    return _octets(root)


def render_logout_request(
    envelope: Envelope, *, name_id: NameID, session_index: str, not_on_or_after: datetime
) -> bytes:
    """A LogoutRequest, SAML Core 3.7.1, for one session, or all of the person's when the index is empty."""
    root = _message("LogoutRequest", envelope)
    root.set("NotOnOrAfter", _moment(not_on_or_after))
    element = etree.SubElement(root, names.NAME_ID)
    element.text = name_id.value
    for name, value in (
        ("NameQualifier", name_id.name_qualifier),
        ("SPNameQualifier", name_id.sp_name_qualifier),
        ("Format", name_id.format),
        ("SPProvidedID", name_id.sp_provided_id),
    ):
        if value:
            element.set(name, value)
    if session_index:
        etree.SubElement(root, names.SESSION_INDEX).text = session_index
    return _octets(root)


def render_logout_response(envelope: Envelope, *, in_response_to: str, is_success: bool = True) -> bytes:
    """A LogoutResponse, SAML Core 3.7.2."""
    root = _message("LogoutResponse", envelope)
    root.set("InResponseTo", in_response_to)
    code = names.SUCCESS if is_success else names.RESPONDER
    etree.SubElement(etree.SubElement(root, names.STATUS), names.STATUS_CODE, Value=code)
    return _octets(root)


def _message(name: str, envelope: Envelope) -> etree._Element:
    root = etree.Element(
        f"{{{names.SAMLP}}}{name}",
        {
            "ID": envelope.message_id,
            "Version": "2.0",
            "IssueInstant": _moment(envelope.issued_at),
            "Destination": envelope.destination,
        },
        nsmap={"samlp": names.SAMLP, "saml": names.SAML},
    )
    etree.SubElement(root, names.ISSUER).text = envelope.issuer
    return root


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _octets(root: etree._Element) -> bytes:
    octets: bytes = etree.tostring(root)
    return octets


def redirect_url(
    destination: str, document: bytes, *, parameter: str, relay_state: str = "", signer: Signer | None = None
) -> str:
    """The address that carries the message by the redirect binding. SAML Bindings 3.4.4.1.

    `parameter` is SAMLRequest or SAMLResponse. The signature is over the octets as they stand in the address.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(document) + packer.flush()
    query = f"{parameter}={_escaped(packed)}"
    if relay_state:
        query += f"&RelayState={quote(relay_state, safe='')}"
    if signer is not None:
        query += f"&SigAlg={quote(names.RSA_SHA256, safe='')}"
        query += f"&Signature={_escaped(verifier.sign_octets(query.encode(), signer.private_key))}"
    return f"{destination}{'&' if '?' in destination else '?'}{query}"


def _escaped(octets: bytes) -> str:
    return quote(base64.b64encode(octets), safe="")


def post_fields(
    document: bytes, *, parameter: str, relay_state: str = "", signer: Signer | None = None
) -> dict[str, str]:
    """The fields of the form that carries the message by the POST binding. SAML Bindings 3.5.4."""
    if signer is not None:
        document = verifier.sign_element(document, signer.private_key, signer.certificate)
    fields = {parameter: base64.b64encode(document).decode()}
    if relay_state:
        fields["RelayState"] = relay_state
    return fields
