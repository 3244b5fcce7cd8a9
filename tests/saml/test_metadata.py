"""Metadata documents: what is taken from them, and what each wrong one is told."""

import base64
import contextlib
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from saml.errors import MetadataError
from saml.metadata import MAX_BYTES, SPDescription, parse_metadata, read_certificate, render_metadata
from saml.verifier import sign_element

_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_IDP = "https://idp.example/metadata"


def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_NOW - timedelta(days=1))
        .not_valid_after(_NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


_FIRST, _SECOND = _certificate(), _certificate()


def _key(certificate: bytes, use: str = ' use="signing"') -> str:
    text = base64.b64encode(certificate).decode()
    wrapped = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return (
        f"<md:KeyDescriptor{use}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n{wrapped}\n"
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )


def _service(kind: str, binding: str, location: str) -> str:
    return f'<md:{kind} Binding="urn:oasis:names:tc:SAML:2.0:bindings:{binding}" Location="{location}"/>'


_SSO = _service("SingleSignOnService", "HTTP-Redirect", "https://idp.example/sso")


def _role(*parts: str, attributes: str = "", protocol: str = "urn:oasis:names:tc:SAML:2.0:protocol") -> str:
    return (
        f'<md:IDPSSODescriptor protocolSupportEnumeration="{protocol}"{attributes}>{"".join(parts)}'
        "</md:IDPSSODescriptor>"
    )


def _entity(*roles: str, entity_id: str = _IDP, attributes: str = "") -> str:
    return (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
        f'xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="{entity_id}"{attributes}>'
        f"{''.join(roles)}</md:EntityDescriptor>"
    )


def _plain(*, role: str = "", entity: str = "", keys: str | None = None, sso: str = _SSO) -> bytes:
    held = _key(_FIRST) if keys is None else keys
    return _entity(_role(held, sso, attributes=role), attributes=entity).encode()


def test_a_document_gives_addresses_certificates_and_what_it_asks_for() -> None:
    document = _entity(
        _role(
            _key(_FIRST),
            _key(_SECOND, ""),
            _key(_certificate(), ' use="encryption"'),
            _service("SingleLogoutService", "SOAP", "https://idp.example/soap"),
            _service("SingleLogoutService", "HTTP-POST", "https://idp.example/slo"),
            _service("SingleSignOnService", "HTTP-POST", "https://idp.example/post"),
            _SSO,
            attributes=' WantAuthnRequestsSigned="true"',
        ),
        attributes=' validUntil="2026-11-22T12:00:00Z" cacheDuration="PT6H"',
    )

    read = parse_metadata(document.encode(), now=_NOW)

    assert read.settings == {
        "idp_entity_id": _IDP,
        "sso_url": "https://idp.example/sso",
        "sso_binding": "redirect",
        "slo_url": "https://idp.example/slo",
        "slo_binding": "post",
    }
    assert read.certificates == (_FIRST, _SECOND)
    assert read.wants_signed_requests
    assert (read.valid_until, read.cache_for) == (_NOW + timedelta(days=1), timedelta(hours=6))


def test_what_a_document_does_not_say_is_left_open() -> None:
    read = parse_metadata(
        _plain(sso=_service("SingleSignOnService", "HTTP-POST", "https://idp.example/sso")), now=_NOW
    )

    assert (read.sso_binding, read.slo_url, read.valid_until, read.cache_for) == ("post", "", None, None)
    assert not read.wants_signed_requests


def test_a_certificate_that_stands_twice_is_taken_once() -> None:
    assert parse_metadata(_plain(keys=_key(_FIRST) + _key(_FIRST, "")), now=_NOW).certificates == (_FIRST,)


def test_comments_and_instructions_are_passed_over() -> None:
    text = _plain().replace(b"<md:IDP", b"<!-- ours --><?keep it?><md:IDP", 1)

    assert parse_metadata(b"<?xml version='1.0'?><!-- a -->" + text, now=_NOW).entity_id == _IDP


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("P1D", 86400),
        ("PT1H30M", 5400),
        ("PT604800S", 604800),
        ("PT1.5S", 1),
        ("P1M", None),
        ("P", None),
        ("day", None),
    ],
)
def test_a_time_to_keep_is_read_where_its_length_is_fixed(text: str, seconds: int | None) -> None:
    read = parse_metadata(_plain(role=f' cacheDuration="{text}"'), now=_NOW)

    assert read.cache_for == (None if seconds is None else timedelta(seconds=seconds))


def _group(*entities: str, attributes: str = "") -> bytes:
    return (
        f'<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"{attributes}>'
        f"{''.join(entities)}</md:EntitiesDescriptor>"
    ).encode()


def _provider(entity_id: str) -> str:
    return _entity(_role(_key(_FIRST), _SSO), entity_id=entity_id)


def test_of_several_providers_the_one_that_is_asked_for_is_read() -> None:
    document = _group(_provider("urn:a"), _provider("urn:b"), _entity(entity_id="urn:sp"))

    assert parse_metadata(document, now=_NOW, entity_id="urn:b").entity_id == "urn:b"


def test_several_providers_are_named_and_asked_about() -> None:
    document = _group(*(_provider(f"urn:{number}") for number in range(12)))

    with pytest.raises(MetadataError, match=r"12 identity providers; say which.*urn:0, .*urn:9 and 2 more"):
        parse_metadata(document, now=_NOW)


def test_the_nearest_end_among_all_levels_counts() -> None:
    document = _group(_provider("urn:a"), attributes=' validUntil="2026-11-21T13:00:00"')

    assert parse_metadata(document, now=_NOW).valid_until == _NOW + timedelta(hours=1)


_WRONG = {
    "too large": (b"x" * (MAX_BYTES + 1), "larger than 1 MiB"),
    "too many elements": (b"<" * 400_001, "too many elements"),
    "not UTF-8": ("<a/>".encode("utf-16"), "no UTF-8 text"),
    "a document type": (b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "document type"),
    "a page": (b"<html><br></html>", "no XML"),
    "nothing": (b"", "no XML"),
    "another document": (b"<a/>", "no SAML 2.0 metadata"),
    "a service provider": (
        _entity('<md:SPSSODescriptor protocolSupportEnumeration="x"/>').encode(),
        "SAML 2.0",
    ),
    "an empty group": (_group(), "names no identity provider"),
    "SAML 1.1": (
        _entity(_role(_key(_FIRST), _SSO, protocol="urn:oasis:names:tc:SAML:1.1:protocol")).encode(),
        "speaks SAML 2.0",
    ),
    "no entity ID": (_entity(_role(_key(_FIRST), _SSO), entity_id=" ").encode(), "no entity ID"),
    "a long entity ID": (_entity(_role(_key(_FIRST), _SSO), entity_id="u" * 1025).encode(), "too long"),
    "no certificate": (_plain(keys=""), "no signing certificate"),
    "a broken certificate": (_plain(keys=_key(b"no certificate")), "cannot be read"),
    "no address": (_plain(sso=""), "no sign-on address"),
    "another binding only": (
        _plain(sso=_service("SingleSignOnService", "SOAP", "https://idp.example")),
        "HTTP-Redirect or HTTP-POST",
    ),
    "an end in the past": (_plain(entity=' validUntil="2026-11-21T11:59:59Z"'), "2026-11-21 11:59 UTC only"),
    "an end that is none": (_plain(entity=' validUntil="soon"'), "no moment"),
}


@pytest.mark.parametrize(("document", "words"), _WRONG.values(), ids=_WRONG.keys())
def test_a_wrong_document_is_told_what_to_do(document: bytes, words: str) -> None:
    with pytest.raises(MetadataError, match=words):
        parse_metadata(document, now=_NOW)


def test_more_certificates_than_a_provider_has_are_refused() -> None:
    keys = "".join(_key(_certificate()) for _ in range(21))

    with pytest.raises(MetadataError, match="more than 20"):
        parse_metadata(_plain(keys=keys), now=_NOW)


def test_a_provider_that_is_not_in_the_document_is_named() -> None:
    with pytest.raises(MetadataError, match="does not name the identity provider 'urn:other'"):
        parse_metadata(_plain(), now=_NOW, entity_id="urn:other")


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    with pytest.raises(MetadataError):
        parse_metadata(octets, now=_NOW)


@given(at=st.integers(0, len(_plain()) - 1), octet=st.integers(0, 255))
def test_any_damage_is_read_or_refused(at: int, octet: int) -> None:
    document = bytearray(_plain())
    document[at] = octet

    with contextlib.suppress(MetadataError):
        assert parse_metadata(bytes(document), now=_NOW).certificates


def test_a_certificate_is_read_from_pem_as_well() -> None:
    pem = x509.load_der_x509_certificate(_FIRST).public_bytes(serialization.Encoding.PEM).decode()

    assert read_certificate(pem) == _FIRST


def test_a_certificate_with_an_unknown_kind_of_key_is_refused() -> None:
    # The identifier of the curve, P-256, made that of no curve.
    strange = _FIRST.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d03017f"))

    with pytest.raises(MetadataError, match=r"unknown kind|cannot be read"):
        read_certificate(base64.b64encode(strange).decode())


def test_our_metadata_says_where_we_are_and_publishes_both_keys_for_both_uses() -> None:
    described = SPDescription(
        entity_id="https://usher.example/saml/1/metadata",
        acs_url="https://usher.example/saml/1/acs",
        slo_url="https://usher.example/saml/1/slo",
        certificates=(_FIRST, _SECOND),
        signs_requests=True,
        wants_signed_assertions=False,
    )

    root = etree.fromstring(render_metadata(described))

    space = {"md": "urn:oasis:names:tc:SAML:2.0:metadata", "ds": "http://www.w3.org/2000/09/xmldsig#"}
    role = root.find("md:SPSSODescriptor", space)
    assert role is not None
    held = [
        (key.get("use"), base64.b64decode(key.findtext(".//ds:X509Certificate", "", space)))
        for key in role.findall("md:KeyDescriptor", space)
    ]
    assert held == [
        ("signing", _FIRST),
        ("signing", _SECOND),
        ("encryption", _FIRST),
        ("encryption", _SECOND),
    ]
    assert (role.get("AuthnRequestsSigned"), role.get("WantAssertionsSigned")) == ("true", "false")
    (acs,) = role.findall("md:AssertionConsumerService", space)
    assert acs.get("Location") == described.acs_url
    assert {each.get("Location") for each in role.findall("md:SingleLogoutService", space)} == {
        described.slo_url
    }


def _signing_key() -> tuple[bytes, bytes]:
    """Key (PEM) and certificate (DER)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(_NOW - timedelta(days=1))
        .not_valid_after(_NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, made.public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def signer() -> tuple[bytes, bytes]:
    return _signing_key()


def _signed(signer: tuple[bytes, bytes]) -> bytes:
    return sign_element(_plain(entity=' ID="_1"'), *signer)


def test_a_document_of_the_pinned_signer_is_taken(signer: tuple[bytes, bytes]) -> None:
    pinned = hashlib.sha256(signer[1]).hexdigest()

    assert parse_metadata(_signed(signer), now=_NOW, signer=pinned).entity_id == _IDP


def test_a_document_of_another_signer_is_refused(signer: tuple[bytes, bytes]) -> None:
    with pytest.raises(MetadataError, match="not signed by the certificate that is pinned"):
        parse_metadata(_signed(signer), now=_NOW, signer="0" * 64)


def test_a_document_without_a_signature_is_refused_where_a_signer_is_pinned() -> None:
    with pytest.raises(MetadataError, match="is not signed"):
        parse_metadata(_plain(), now=_NOW, signer="0" * 64)


def test_a_signed_document_that_was_changed_is_refused(signer: tuple[bytes, bytes]) -> None:
    changed = _signed(signer).replace(b"https://idp.example/sso", b"https://bad.example/sso")

    with pytest.raises(MetadataError, match="pinned"):
        parse_metadata(changed, now=_NOW, signer=hashlib.sha256(signer[1]).hexdigest())


def test_what_stands_beside_the_signed_part_is_not_read(signer: tuple[bytes, bytes]) -> None:
    inner = _signed(signer)
    wrapped = _group(
        inner.decode().removeprefix("<?xml version='1.0' encoding='UTF-8'?>"), _provider("urn:bad")
    )

    with pytest.raises(MetadataError, match="not signed"):
        parse_metadata(wrapped, now=_NOW, signer=hashlib.sha256(signer[1]).hexdigest())
