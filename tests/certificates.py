"""Certificates for test servers, made when they are asked for: a good one, and one wrong in each way."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, in PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """`good` is for localhost and 127.0.0.1, by `authority`. `other_authority` has signed none of them."""

    authority: Path
    other_authority: Path
    good: KeyPair
    wrong_name: KeyPair
    expired: KeyPair


def make_certificates(folder: Path, *, now: datetime) -> Certificates:
    """Write all of them to the folder."""
    authority = _Authority(folder, "authority", now)
    other = _Authority(folder, "other", now)
    return Certificates(
        authority=authority.path,
        other_authority=other.path,
        good=authority.issue(folder, "good", ["localhost"]),
        wrong_name=authority.issue(folder, "wrong-name", ["elsewhere.example"]),
        expired=authority.issue(folder, "expired", ["localhost"], ends_at=now - timedelta(days=1)),
    )


def today() -> datetime:
    """Servers and libraries go by the machine's clock, whatever a test's own says."""
    return datetime.now(UTC)  # noqa: TID251 - as above


class _Authority:
    def __init__(self, folder: Path, name: str, now: datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"Test authority {name}")
        self._now = now
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        signed = (
            self._builder(self._name, self._key.public_key(), now + _YEAR)
            .add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, folder: Path, name: str, hosts: list[str], *, ends_at: datetime | None = None) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        if "localhost" in hosts:
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        signed = (
            self._builder(_name(hosts[0]), key.public_key(), ends_at or self._now + _YEAR)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
        pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ends_at: datetime
    ) -> x509.CertificateBuilder:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _YEAR)
            .not_valid_after(ends_at)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(identifier, critical=False)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
