"""Class 17: whoever can end sessions can at least annoy. None of these ends one."""

import base64
from collections.abc import Iterator
from urllib.parse import quote

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack, query
from tests.saml_forge.keys import ATTACKER, IDP, IDP_P256, OTHER_IDP, sign_pss
from tests.saml_forge.logout import LOGOUT, deflated, logout_request, logout_response, signed_query
from tests.saml_forge.messages import (
    DS,
    OTHER_IDP_ENTITY,
    RESPONSE,
    SAMLP,
    SUBJECT,
    VICTIM,
    after,
    issuer,
    name_id,
    parse,
    render,
    response,
)
from tests.saml_forge.signing import ECDSA_SHA256, sign

PSS = quote(base64.b64encode(sign_pss(IDP, "sha256", b"SAMLRequest")), safe="")
REFUSED = Denial.LOGOUT_REFUSED
INVALID = Denial.SIGNATURE_INVALID


def make(canary: str) -> Iterator[Attack]:
    """By POST (xml) and by redirect (txt: the query string)."""
    yield from posted()
    yield from redirected()


def posted() -> Iterator[Attack]:
    for name, reason, made in (
        ("unsigned", Denial.SIGNATURE_MISSING, logout_request()),
        ("foreign-key", INVALID, sign(logout_request(), LOGOUT, key=ATTACKER)),
        ("other-organisations-key", INVALID, sign(logout_request(), LOGOUT, key=OTHER_IDP)),
        ("changed", INVALID, sign(logout_request(), LOGOUT).replace(SUBJECT, VICTIM)),
        ("sha1", Denial.ALGORITHM_REFUSED, sign(logout_request(), LOGOUT, method=f"{DS}rsa-sha1")),
        ("expired", Denial.EXPIRED, sign(logout_request(ends=after(-121)), LOGOUT)),
        (
            "without-end-long-ago",
            Denial.EXPIRED,
            sign(logout_request(ends=None, issued=after(-3600)), LOGOUT),
        ),
        ("issued-in-the-future", Denial.NOT_YET_VALID, sign(logout_request(issued=after(121)), LOGOUT)),
        (
            "other-issuer",
            Denial.ISSUER_MISMATCH,
            sign(logout_request(issued_by=issuer(OTHER_IDP_ENTITY)), LOGOUT),
        ),
        (
            "other-destination",
            Denial.DESTINATION_MISMATCH,
            sign(logout_request(destination="https://x.example/"), LOGOUT),
        ),
        ("without-destination", Denial.DESTINATION_MISMATCH, sign(logout_request(destination=None), LOGOUT)),
        ("version-1-1", Denial.VERSION_MISMATCH, sign(logout_request(version="1.1"), LOGOUT)),
        ("without-name-id", Denial.IDENTITY_MISSING, sign(logout_request(about=""), LOGOUT)),
        (
            "child-in-name-id",
            Denial.IDENTITY_TEXT_REFUSED,
            sign(logout_request(about=name_id(f"{SUBJECT}<x/>")), LOGOUT),
        ),
        ("dtd", Denial.XML_REFUSED, "<!DOCTYPE r>" + sign(logout_request(), LOGOUT)),
        ("not-xml", Denial.XML_REFUSED, "hello"),
        ("wrapped", Denial.SIGNATURE_SHAPE, wrapped()),
        ("login-response", Denial.XML_REFUSED, sign(response(), RESPONSE)),
        ("response-without-request", REFUSED, sign(logout_response(answers="_nobody-1"), LOGOUT)),
        ("response-without-in-response-to", REFUSED, sign(logout_response(answers=None), LOGOUT)),
        ("response-unsigned", Denial.SIGNATURE_MISSING, logout_response()),
    ):
        place = "endpoint" if name in {"response-without-request"} else "logout"
        yield attack(f"post-{name}", reason, "Profiles 4.4", made, at=place)


def redirected() -> Iterator[Attack]:
    honest = signed_query(logout_request())
    forged = signed_query(logout_request(about=name_id(VICTIM)), key=ATTACKER)
    first = forged.partition("&")[0]
    for name, reason, text, origin in (
        ("unsigned", Denial.SIGNATURE_MISSING, honest.partition("&SigAlg")[0], "no signature"),
        (
            "empty-signature",
            INVALID,
            honest.partition("&Signature=")[0] + "&Signature=",
            "a signature of no octets",
        ),
        ("foreign-key", INVALID, forged, "a key that nobody trusts"),
        ("sha1", Denial.ALGORITHM_REFUSED, signed_query(logout_request(), method=f"{DS}rsa-sha1"), "SHA-1"),
        ("without-algorithm", Denial.SIGNATURE_MISSING, without(honest, "SigAlg"), "no algorithm"),
        ("request-twice", REFUSED, f"{honest}&{first}", "the octets verified are the octets used"),
        ("request-twice-first", REFUSED, f"{first}&{honest}", "the same in the other order"),
        ("request-and-response", REFUSED, f"{honest}&SAMLResponse={first.partition('=')[2]}", "two messages"),
        ("signature-twice", REFUSED, f"{honest}&Signature=AAAA", "two signatures"),
        ("relay-state-twice", REFUSED, f"{honest}&RelayState=x&RelayState=y", "not what was signed"),
        ("relay-state-added", INVALID, f"{honest}&RelayState=x", "not what was signed"),
        ("no-base64", Denial.MALFORMED, "SAMLRequest=***", "no base64"),
        ("no-deflate", Denial.MALFORMED, "SAMLRequest=AAAA", "cannot be inflated"),
        ("empty", Denial.MALFORMED, "", "no message"),
        ("other-encoding", REFUSED, f"{honest}&SAMLEncoding=urn:example:x", "Bindings 3.4.4: DEFLATE only"),
        (
            "response-as-request",
            Denial.XML_REFUSED,
            signed_query(logout_response()),
            "one message under the other's name",
        ),
        (
            "pss-under-the-name-of-rsa",
            INVALID,
            f"{honest.partition('&Signature=')[0]}&Signature={PSS}",
            "another padding",
        ),
        (
            "ecdsa-named",
            INVALID,
            signed_query(logout_request(), key=IDP_P256, method=ECDSA_SHA256),
            "a key of another kind, which the connection does not have",
        ),
        (
            "response-without-request",
            REFUSED,
            signed_query(logout_response(answers="_nobody-1"), "SAMLResponse"),
            "never asked",
        ),
    ):
        place = "endpoint" if name == "response-without-request" else "logout"
        yield query(f"redirect-{name}", reason, origin, text, at=place)
    for name, octets in (("zeros", b"\0" * 30_000_000), ("elements", b"<x>" * 4_000_000)):
        bomb = f"SAMLRequest={deflated(octets)}"
        yield query(
            f"redirect-bomb-of-{name}", Denial.TOO_LARGE, "inflates a thousandfold", bomb, is_kept=False
        )


def wrapped() -> str:
    """A forged request with the genuine one in it, and the signature of that."""
    genuine = parse(sign(logout_request(), LOGOUT))
    forged = parse(logout_request(about=name_id(VICTIM), logout_id="_forged-1"))
    forged.insert(1, genuine[1])
    holder = parse(f'<samlp:Extensions xmlns:samlp="{SAMLP}"/>')
    holder.append(genuine)
    forged.insert(2, holder)
    return render(forged)


def without(text: str, name: str) -> str:
    return "&".join(part for part in text.split("&") if not part.startswith(f"{name}="))
