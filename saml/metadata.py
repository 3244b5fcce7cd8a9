"""Metadata: what an identity provider says of itself, and what we say of ourselves.

Reading takes any document and gives either what a connection needs of it or one error that says what to do. Where a
document comes from and when it is read anew is not decided here.
Source: SAML Metadata 2.0 (OASIS saml-metadata-2.0-os), section 2.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from lxml import etree

from saml import names
from saml.errors import LoginDenied, MetadataError
from saml.login import Trust
from saml.shapes import read_signature
from saml.verifier import keys_of, verify_element

MAX_BYTES = 1024 * 1024
_MOST_ELEMENTS = 200_000
_MOST_CERTIFICATES = 20
_MOST_NAMED = 10
_LONGEST_ENTITY_ID = 1024

_MD = "urn:oasis:names:tc:SAML:2.0:metadata"
_BINDINGS = {
    "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect": "redirect",
    names.BINDING_POST: "post",
}
_CACHE = re.compile(r"""\scacheDuration\s*=\s*["']([^"'<]{1,40})["']""")
_BINDING_NAMES = {name: uri for uri, name in _BINDINGS.items()}
_ENTITY = f"{{{_MD}}}EntityDescriptor"
_ENTITIES = f"{{{_MD}}}EntitiesDescriptor"
_IDP = f"{{{_MD}}}IDPSSODescriptor"
_KEY = f"{{{_MD}}}KeyDescriptor"
_DURATION = re.compile(
    r"P(?:(?P<days>\d{1,4})D)?(?:T(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,8})(?:\.\d+)?S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class IdPMetadata:
    """One identity provider. `certificates` (DER) are those that it signs with, in document order.

    `wants_signed_requests` is a wish for the administrator to follow. `cache_for` is how long the document asks to be
    kept before it is read again; None where it does not say.
    """

    entity_id: str
    sso_url: str
    sso_binding: str
    slo_url: str = ""
    slo_binding: str = "redirect"
    wants_signed_requests: bool = False
    certificates: tuple[bytes, ...] = field(repr=False, default=())
    valid_until: datetime | None = None
    cache_for: timedelta | None = None

    @property
    def settings(self) -> Mapping[str, str | int | bool]:
        """The settings of a connection that the document decides."""
        return {
            "idp_entity_id": self.entity_id,
            "sso_url": self.sso_url,
            "sso_binding": self.sso_binding,
            "slo_url": self.slo_url,
            "slo_binding": self.slo_binding,
        }


def parse_metadata(document: bytes, *, now: datetime, entity_id: str = "", signer: str = "") -> IdPMetadata:
    """Read a metadata document.

    `entity_id` says which identity provider is meant where the document names several. `signer`: the SHA-256
    (hexadecimal) of the certificate by which the document must be signed as a whole.

    Raises: MetadataError.
    """
    root = _parse(document)
    if signer:
        root = _verified(root, signer)
    return _read(root, now=now, entity_id=entity_id)


def _verified(root: etree._Element, signer: str) -> etree._Element:
    """What the pinned certificate has signed, read anew from the octets of its signature.

    The certificate may come with the document: its digest was given from elsewhere.
    """
    element = next((child for child in root if child.tag == names.SIGNATURE), None)
    if element is None:
        raise MetadataError("the metadata is not signed, and this connection takes signed metadata only")
    shown = [read_certificate(each.text or "") for each in element.iter(names.X509_CERTIFICATE)]
    pinned = [der for der in shown if hmac.compare_digest(hashlib.sha256(der).hexdigest(), signer)]
    try:
        shape = read_signature(element)
        octets = verify_element(shape, keys_of(Trust(certificates=tuple(pinned[:1]))))
    except LoginDenied as err:
        raise MetadataError(
            "the metadata is not signed by the certificate that is pinned; compare its SHA-256 with the provider"
        ) from err
    return _parse(octets)


def _parse(document: bytes) -> etree._Element:
    """The tree of a document without a document type, without comments, not too large. Raises MetadataError."""
    if len(document) > MAX_BYTES:
        raise MetadataError(
            f"the metadata is larger than {MAX_BYTES // 1024 // 1024} MiB; give the document of the one identity "
            "provider, not of a whole federation"
        )
    if document.count(b"<") > 2 * _MOST_ELEMENTS:
        raise MetadataError(
            "the metadata has too many elements; give the document of the one identity provider"
        )
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        document.decode("utf-8")
        if b"<!DOCTYPE" in document:
            raise MetadataError("the metadata has a document type, which is not read; remove it")
        root = etree.fromstring(document, parser)
    except UnicodeDecodeError as err:
        raise MetadataError("the metadata is no UTF-8 text; save it as UTF-8") from err
    except (etree.XMLSyntaxError, ValueError) as err:
        raise MetadataError("the metadata is no XML; was the page saved instead of the file?") from err
    return root


def _read(root: etree._Element, *, now: datetime, entity_id: str) -> IdPMetadata:
    """What the tree says of one identity provider. Raises MetadataError."""
    entity, ends = _choose(root, entity_id)
    role = _role(entity)
    ends = [*ends, *_moments(entity, role)]
    valid_until = min(ends) if ends else None
    if valid_until is not None and valid_until <= now:
        raise MetadataError(
            f"the metadata was valid until {valid_until:%Y-%m-%d %H:%M} UTC only; get a fresh copy from the provider"
        )
    sso_url, sso_binding = _service(role, "SingleSignOnService")
    if not sso_url:
        raise MetadataError(
            "the metadata names no sign-on address for HTTP-Redirect or HTTP-POST, the bindings that are spoken here"
        )
    slo_url, slo_binding = _service(role, "SingleLogoutService")
    return IdPMetadata(
        entity_id=entity.get("entityID", ""),
        sso_url=sso_url,
        sso_binding=sso_binding,
        slo_url=slo_url,
        slo_binding=slo_binding or "redirect",
        wants_signed_requests=role.get("WantAuthnRequestsSigned", "").strip() in {"true", "1"},
        certificates=_certificates(role),
        valid_until=valid_until,
        cache_for=_shortest_cache(root, entity, role),
    )


def _choose(root: etree._Element, entity_id: str) -> tuple[etree._Element, list[datetime]]:
    """The entity, and the ends that groups around it set."""
    if root.tag == _ENTITY:
        entities = [root]
    elif root.tag == _ENTITIES:
        entities = [each for each in root.iter(_ENTITY) if each.find(_IDP) is not None]
    else:
        raise MetadataError("this is XML, but no SAML 2.0 metadata: it begins with another element")
    if entity_id:
        entities = [each for each in entities if each.get("entityID") == entity_id]
        if not entities:
            raise MetadataError(f"the metadata does not name the identity provider '{entity_id[:200]}'")
    if not entities:
        raise MetadataError("the metadata names no identity provider; is it that of a service provider?")
    if len(entities) > 1:
        listed = ", ".join(each.get("entityID", "")[:200] for each in entities[:_MOST_NAMED])
        more = "" if len(entities) <= _MOST_NAMED else f" and {len(entities) - _MOST_NAMED} more"
        raise MetadataError(
            f"the metadata names {len(entities)} identity providers; say which one is meant: {listed}{more}"
        )
    (entity,) = entities
    name = entity.get("entityID", "")
    if not name.strip() or len(name) > _LONGEST_ENTITY_ID:
        raise MetadataError(
            "the metadata gives no entity ID of the identity provider, or one that is too long"
        )
    groups = list(entity.iterancestors(_ENTITIES))
    return entity, [*_moments(*groups)]


def _role(entity: etree._Element) -> etree._Element:
    for role in entity.iterchildren(_IDP):
        if names.SAMLP in role.get("protocolSupportEnumeration", "").split():
            return role
    raise MetadataError(
        "the metadata names no identity provider that speaks SAML 2.0; is it that of a service provider?"
    )


def _moments(*elements: etree._Element) -> Iterable[datetime]:
    for element in elements:
        text = element.get("validUntil")
        if text is None:
            continue
        try:
            moment = datetime.fromisoformat(text.strip())
            # SAML Core 1.3.3: times are UTC; without a zone they are meant so. At the ends of the calendar another
            # zone's moment has no name in UTC.
            yield moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError) as err:
            raise MetadataError("the metadata's validUntil is no moment") from err


def _shortest_cache(*elements: etree._Element) -> timedelta | None:
    given = [found for each in elements if (found := _duration(each.get("cacheDuration", ""))) is not None]
    return min(given, default=None)


def cache_duration(document: str) -> timedelta | None:
    """How long a document that was taken asks to be kept before it is read again; None where it does not say."""
    given = [found for text in _CACHE.findall(document) if (found := _duration(text)) is not None]
    return min(given, default=None)


def _duration(text: str) -> timedelta | None:
    """Days and less. Months and years have no fixed length, and are longer than anything is kept here."""
    found = _DURATION.fullmatch(text.strip())
    parts = (
        {} if found is None else {unit: int(number) for unit, number in found.groupdict().items() if number}
    )
    return timedelta(**parts) if parts else None


def _service(role: etree._Element, kind: str) -> tuple[str, str]:
    """Address and binding of a service: redirect where there is a choice, since it needs no page of ours."""
    found: dict[str, str] = {}
    for service in role.iterchildren(f"{{{_MD}}}{kind}"):
        binding = _BINDINGS.get(service.get("Binding", ""))
        if binding is not None:
            found.setdefault(binding, service.get("Location", "").strip())
    for binding in ("redirect", "post"):
        if found.get(binding):
            return found[binding], binding
    return "", ""


def _certificates(role: etree._Element) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for key in role.iterchildren(_KEY):
        if key.get("use", "signing") != "signing":
            continue
        for element in key.iter(names.X509_CERTIFICATE):
            certificate = read_certificate(element.text or "")
            if certificate not in found:
                found.append(certificate)
    if not found:
        raise MetadataError(
            "the metadata holds no signing certificate; without one no message of the provider can be trusted"
        )
    if len(found) > _MOST_CERTIFICATES:
        raise MetadataError(f"the metadata holds more than {_MOST_CERTIFICATES} signing certificates")
    return tuple(found)


def read_certificate(text: str) -> bytes:
    """DER of a certificate in PEM or in the base64 of metadata. Raises MetadataError."""
    packed = re.sub(r"-----(?:BEGIN|END) CERTIFICATE-----|\s+", "", text)
    try:
        der = base64.b64decode(packed, validate=True)
        x509.load_der_x509_certificate(der).public_key()
    except (binascii.Error, ValueError, TypeError) as err:
        raise MetadataError("a certificate cannot be read; it must be X.509 in PEM or base64") from err
    except UnsupportedAlgorithm as err:
        raise MetadataError(
            "a certificate holds a key of an unknown kind; RSA and elliptic curves are known"
        ) from err
    return der


@dataclass(frozen=True, slots=True)
class SPDescription:
    """What our metadata says for one connection. `certificates` (DER): published ones, the active one first."""

    entity_id: str
    acs_url: str
    slo_url: str
    certificates: tuple[bytes, ...]
    signs_requests: bool
    wants_signed_assertions: bool


def render_metadata(described: SPDescription) -> bytes:
    """Our metadata as a document. The encryption key is always in it, so that a provider may encrypt."""
    root = etree.Element(_ENTITY, nsmap={"md": _MD, "ds": names.DS}, entityID=described.entity_id)
    role = etree.SubElement(
        root,
        f"{{{_MD}}}SPSSODescriptor",
        AuthnRequestsSigned=str(described.signs_requests).lower(),
        WantAssertionsSigned=str(described.wants_signed_assertions).lower(),
        protocolSupportEnumeration=names.SAMLP,
    )
    for use in ("signing", "encryption"):
        for certificate in described.certificates:
            key = etree.SubElement(role, _KEY, use=use)
            data = etree.SubElement(etree.SubElement(key, names.KEY_INFO), f"{{{names.DS}}}X509Data")
            etree.SubElement(data, names.X509_CERTIFICATE).text = base64.b64encode(certificate).decode()
    for binding in ("redirect", "post"):
        etree.SubElement(
            role,
            f"{{{_MD}}}SingleLogoutService",
            Binding=_BINDING_NAMES[binding],
            Location=described.slo_url,
        )
    etree.SubElement(
        role,
        f"{{{_MD}}}AssertionConsumerService",
        Binding=names.BINDING_POST,
        Location=described.acs_url,
        index="0",
        isDefault="true",
    )
    rendered: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return rendered
