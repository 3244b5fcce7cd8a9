"""Logout messages, and the signed query of the redirect binding (Bindings 3.4.4.1)."""

import base64
import zlib
from urllib.parse import quote

from tests.saml_forge.keys import IDP, Key
from tests.saml_forge.messages import (
    SAML,
    SAMLP,
    SESSION_INDEX,
    SLO,
    after,
    attributes_of,
    issuer,
    name_id,
    status,
)
from tests.saml_forge.signing import RSA_SHA256, Shape, maker

LOGOUT = "_logout-1"


def logout_request(
    *,
    about: str | None = None,
    index: str | None = SESSION_INDEX,
    issued: str = after(-5),
    ends: str | None = after(300),
    destination: str | None = SLO,
    issued_by: str | None = None,
    version: str = "2.0",
    logout_id: str = LOGOUT,
) -> str:
    head = attributes_of(
        ID=logout_id, Version=version, IssueInstant=issued, NotOnOrAfter=ends, Destination=destination
    )
    whose = name_id() if about is None else about
    indexes = "" if index is None else f"<samlp:SessionIndex>{index}</samlp:SessionIndex>"
    return (
        f'<samlp:LogoutRequest xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}"{head}>'
        f"{issuer() if issued_by is None else issued_by}{whose}{indexes}</samlp:LogoutRequest>"
    )


def logout_response(*, answers: str | None = "_logout-ours", destination: str = SLO) -> str:
    head = attributes_of(
        ID=LOGOUT, Version="2.0", IssueInstant=after(-5), Destination=destination, InResponseTo=answers
    )
    return (
        f'<samlp:LogoutResponse xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}"{head}>'
        f"{issuer()}{status()}</samlp:LogoutResponse>"
    )


def signed_query(
    text: str,
    field: str = "SAMLRequest",
    *,
    key: Key = IDP,
    method: str = RSA_SHA256,
    relay_state: str | None = None,
) -> str:
    """The query string, deflated and signed over its escaped octets."""
    parts = [f"{field}={deflated(text)}"]
    if relay_state is not None:
        parts.append(f"RelayState={quote(relay_state, safe='')}")
    parts.append(f"SigAlg={quote(method, safe='')}")
    signature = maker(Shape(key=key, method=method))("&".join(parts).encode())
    return "&".join((*parts, f"Signature={quote(base64.b64encode(signature), safe='')}"))


def deflated(text: str | bytes) -> str:
    """Raw DEFLATE, base64, escaped."""
    octets = text.encode() if isinstance(text, str) else text
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return quote(base64.b64encode(packer.compress(octets) + packer.flush()), safe="")
