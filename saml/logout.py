"""Logout messages of an identity provider: proven as a login is, or nobody's session ends.

By redirect, the signature is over the octets of the query as they came, and those octets are the ones that are read.
By POST, gate and verifier are those of a response.
"""

import base64
import binascii
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote, unquote_to_bytes

from lxml import etree

from saml import gate, names, requests, shapes, verifier
from saml.case import Fault, parse_moment, seconds_of, shown, text_of
from saml.errors import Denial, LoginDenied
from saml.login import NameID, Trust

MAX_QUERY = 64 * 1024
MAX_INFLATED = 64 * 1024
MAX_AGE = timedelta(minutes=5)
_MOST_INDEXES = 100
_MESSAGES = (requests.REQUEST, requests.RESPONSE)
_PARAMETERS = frozenset({*_MESSAGES, "RelayState", "SigAlg", "Signature", "SAMLEncoding"})
_ROOTS = {requests.REQUEST: names.LOGOUT_REQUEST, requests.RESPONSE: names.LOGOUT_RESPONSE}
_PARSER_SETTINGS = {"resolve_entities": False, "no_network": True, "collect_ids": False}


@dataclass(frozen=True, slots=True)
class LogoutExpectations:
    """Who may send it, to which address of ours, and when. `now` is aware UTC."""

    idp_entity_id: str
    slo_url: str
    now: datetime
    clock_skew_seconds: int = 120


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """Whose sessions end: all of the NameID, or those of the indexes where some are named."""

    message_id: str
    name_id: NameID
    session_indexes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogoutResponse:
    """The answer to a request of ours; whether there was that request is for the caller to find."""

    message_id: str
    in_response_to: str
    is_success: bool


LogoutMessage = LogoutRequest | LogoutResponse


def read_redirected(query: str, *, trust: Trust, expectations: LogoutExpectations) -> LogoutMessage:
    """Prove a logout message of the redirect binding. `query` is the query string as received, still escaped.

    Raises: LoginDenied, for whatever is wrong with any input; nothing else.
    """
    given = _parameters(query)
    parameter = next((name for name in _MESSAGES if name in given), None)
    if parameter is None:
        raise gate.refuse(Denial.MALFORMED, "no message", "SAMLRequest or SAMLResponse")
    document = _inflated(_base64(given[parameter]))
    if "Signature" not in given or "SigAlg" not in given:
        raise gate.refuse(Denial.SIGNATURE_MISSING, "no signature", "Signature and SigAlg")
    # SAML Bindings 3.4.4.1: in this order, and escaped as the sender did it.
    signed = "&".join(
        f"{name}={given[name]}" for name in (parameter, "RelayState", "SigAlg") if name in given
    )
    verifier.verify_octets(
        signed.encode(), _base64(given["Signature"]), unquote(given["SigAlg"]), verifier.keys_of(trust)
    )
    read = gate.read_document(document)
    if read.all(names.SIGNATURE):
        raise gate.refuse(Denial.SIGNATURE_SHAPE, "a signature inside too", "the one of the query")
    return _judge(read.root, parameter, expectations)


def read_posted(
    parameter: str, form_value: str, *, trust: Trust, expectations: LogoutExpectations
) -> LogoutMessage:
    """Prove a logout message of the POST binding. `parameter` is the name of the form field that it came in.

    Raises: LoginDenied, for whatever is wrong with any input; nothing else.
    """
    read = gate.read_document(gate.decode_field(form_value))
    (signature,) = shapes.read_signatures(read, [read.root])
    if signature is None:
        raise gate.refuse(Denial.SIGNATURE_MISSING, "no signature", "a signed message")
    octets = verifier.verify_element(signature, verifier.keys_of(trust))
    return _judge(etree.fromstring(octets, etree.XMLParser(**_PARSER_SETTINGS)), parameter, expectations)


def _parameters(query: str) -> dict[str, str]:
    """The parameters that mean something, still escaped. Any of them twice, or itself escaped, refuses the query."""
    if len(query) > MAX_QUERY:
        raise gate.refuse(Denial.TOO_LARGE, f"{len(query)} characters", f"at most {MAX_QUERY}")
    if not query.isascii():
        raise gate.refuse(Denial.MALFORMED, "a query beyond ASCII", "an escaped query")
    given: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        meant = unquote(name)
        if meant in _PARAMETERS and (name != meant or name in given):
            raise gate.refuse(Denial.LOGOUT_REFUSED, f"{meant} twice or escaped", "each parameter once")
        if meant in _PARAMETERS:
            given[name] = value
    if all(name in given for name in _MESSAGES):
        raise gate.refuse(Denial.LOGOUT_REFUSED, "two messages", "one")
    if unquote(given.get("SAMLEncoding", names.ENCODING_DEFLATE)) != names.ENCODING_DEFLATE:
        raise gate.refuse(Denial.LOGOUT_REFUSED, "another encoding", names.ENCODING_DEFLATE)
    return given


def _base64(escaped: str) -> bytes:
    try:
        return base64.b64decode(unquote_to_bytes(escaped), validate=True)
    except binascii.Error as err:
        raise gate.refuse(Denial.MALFORMED, "a value that is no base64", "base64") from err


def _inflated(packed: bytes) -> bytes:
    """No more is inflated than is read."""
    stream = zlib.decompressobj(-15)
    try:
        document = stream.decompress(packed, MAX_INFLATED)
    except zlib.error as err:
        raise gate.refuse(Denial.MALFORMED, "what cannot be inflated", "DEFLATE") from err
    if stream.unconsumed_tail:
        raise gate.refuse(Denial.TOO_LARGE, "a longer message", f"at most {MAX_INFLATED} octets")
    if not stream.eof or stream.unused_data:
        raise gate.refuse(Denial.MALFORMED, "what ends early or late", "DEFLATE")
    return document


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    reason: Denial
    check: Callable[[etree._Element, LogoutExpectations], None]


def _check_version(root: etree._Element, expected: LogoutExpectations) -> None:  # noqa: ARG001 - as the others
    if root.get("Version") != "2.0" or not root.get("ID"):
        raise Fault(f"version is {shown(root.get('Version'))}, expected 2.0 and an ID")


def _check_issuer(root: etree._Element, expected: LogoutExpectations) -> None:
    """SAML Profiles 4.4.4.1: there must be one."""
    found = [text_of(issuer) for issuer in root.iterchildren(names.ISSUER)]
    if found != [expected.idp_entity_id]:
        raise Fault(f"issuer is {shown(next(iter(found), None))}, expected {expected.idp_entity_id}")


def _check_destination(root: etree._Element, expected: LogoutExpectations) -> None:
    """SAML Bindings 3.4.5.2 and 3.5.5.2: a signed message names where it is to go."""
    if root.get("Destination") != expected.slo_url:
        raise Fault(f"destination is {shown(root.get('Destination'))}, expected {expected.slo_url}")


def _check_clock(root: etree._Element, expected: LogoutExpectations) -> None:
    issued = parse_moment(root.get("IssueInstant"), "IssueInstant")
    skew = timedelta(seconds=expected.clock_skew_seconds)
    apart = f"clocks differ by {seconds_of(issued - expected.now)} s"
    if issued > expected.now + skew:
        raise Fault(f"{apart}: it was made at {issued}", reason=Denial.NOT_YET_VALID)
    if issued < expected.now - MAX_AGE - skew:
        raise Fault(f"{apart}, or it came late: it was made at {issued}")
    end = root.get("NotOnOrAfter")
    if end is not None and parse_moment(end, "NotOnOrAfter") <= expected.now - skew:
        raise Fault(f"it was valid before {end}, and it is {expected.now} here")


_RULES: Sequence[_Rule] = (
    _Rule("version", Denial.VERSION_MISMATCH, _check_version),
    _Rule("issuer", Denial.ISSUER_MISMATCH, _check_issuer),
    _Rule("destination", Denial.DESTINATION_MISMATCH, _check_destination),
    _Rule("clock", Denial.EXPIRED, _check_clock),
)
_READING = "content"


def _judge(root: etree._Element, parameter: str, expected: LogoutExpectations) -> LogoutMessage:
    """`root` is proven: what was verified, parsed."""
    if root.tag != _ROOTS.get(parameter):
        raise gate.refuse(Denial.XML_REFUSED, "another element", "a LogoutRequest or LogoutResponse")
    for rule in _RULES:
        try:
            rule.check(root, expected)
        except Fault as fault:
            raise _denied(rule.name, rule.reason, fault) from fault
    try:
        return _request(root) if parameter == requests.REQUEST else _response(root)
    except Fault as fault:
        raise _denied(_READING, Denial.LOGOUT_REFUSED, fault) from fault


def _denied(check: str, reason: Denial, fault: Fault) -> LoginDenied:
    return LoginDenied(fault.reason or reason, check=check, words=fault.words)


def _request(root: etree._Element) -> LogoutRequest:
    found = list(root.iterchildren(names.NAME_ID))
    if len(found) != 1:
        raise Fault(f"there are {len(found)} NameIDs, expected one", reason=Denial.IDENTITY_MISSING)
    element = found[0]
    value = text_of(element)
    if not value:
        raise Fault("NameID is empty", reason=Denial.IDENTITY_MISSING)
    indexes = tuple(filter(None, map(text_of, root.iterchildren(names.SESSION_INDEX))))
    if len(indexes) > _MOST_INDEXES:
        raise Fault(f"there are {len(indexes)} session indexes, expected {_MOST_INDEXES} at most")
    return LogoutRequest(
        root.get("ID"),
        NameID(
            value,
            element.get("Format", ""),
            element.get("NameQualifier", ""),
            element.get("SPNameQualifier", ""),
            element.get("SPProvidedID", ""),
        ),
        indexes,
    )


def _response(root: etree._Element) -> LogoutResponse:
    answered = root.get("InResponseTo")
    if not answered:
        raise Fault(f"it answers the request {shown(answered)}, expected one of ours")
    codes = [code.get("Value") for status in root.iterchildren(names.STATUS) for code in status]
    return LogoutResponse(root.get("ID"), answered, codes[:1] == [names.SUCCESS])
