"""An identity provider and an administrator who connects it, for the tests of single sign-on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from audit.body import EventBody
from directory.changes import AddDomain
from directory.ids import ConnectionId, DirectoryId, MemberId, SessionId
from directory.sso_changes import OpenSession, PutConnection, PutIdPCertificate, PutSPKey
from provisioning.logins import Person, StoredConnection, StoredSession
from provisioning.signing_in import LoginOutcome, rehearse_login, sign_in
from tests.builders import MONDAY, NOBODY, World

ENTITY_ID = "https://idp.example.org/metadata"
DOMAIN = "example.org"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def certificate(
    name: str = "idp", key: Key | None = None, *, begins_at: datetime = MONDAY, days: float = 365
) -> bytes:
    """A self-signed certificate in DER."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins_at)
        .not_valid_after(begins_at + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.DER)


@lru_cache(maxsize=8)
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One of a few keys, made once: they take time."""
    del number
    return rsa.generate_private_key(65537, bits)


def pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def fingerprint(der: bytes) -> str:
    return sha256(der).hexdigest()


def changed(body: EventBody) -> dict[str, object]:
    """Path and new value of what an event says."""
    return {change["path"]: change["after"] for change in body["changes"]}


class Provider:
    """A connection of the world's organisation, and the people who sign in over it."""

    def __init__(self, world: World, name: str = "entra", **settings: str | int | bool) -> None:
        self.world = world
        self.connection_id = ConnectionId(world.new_id())
        self.name = name
        self.settings: Mapping[str, str | int | bool] = {
            "idp_entity_id": ENTITY_ID,
            "sso_url": "https://idp.example.org/sso",
            **settings,
        }
        world.do(PutConnection(self.connection_id, name, self.settings))
        world.events()

    # What is said

    def put(self, **settings: str | int | bool) -> PutConnection:
        """The connection with some settings in place of what they are."""
        return PutConnection(self.connection_id, self.name, {**self.settings, **settings})

    def certificate(self, der: bytes, state: str = "active") -> PutIdPCertificate:
        return PutIdPCertificate(self.connection_id, der, state)

    def key(self, name: str, number: int = 0, state: str = "active") -> PutSPKey:
        key = rsa_key(number)
        der = _sp_certificate(number)
        return PutSPKey(self.connection_id, name, der, pem(key), state)

    def open(self, member_id: MemberId = NOBODY, **values: object) -> OpenSession:
        """A session of eight hours, with a token of its own."""
        number = self.world.new_id()
        session = OpenSession(
            session_id=SessionId(number),
            token_sha256=sha256(number.encode()).digest(),
            member_id=member_id,
            connection_id=self.connection_id,
            login_id=f"login-{number[-4:]}",
            auth_time=self.world.clock(),
            expires_at=self.world.clock() + timedelta(hours=8),
        )
        return replace(session, **values)  # type: ignore[arg-type]  # as named

    def sign_in(self, key: str, mail: str = "", **values: object) -> LoginOutcome:
        person = replace(Person(key, mail), **values)  # type: ignore[arg-type]  # as named
        return sign_in(self.connection_id, person, self.open(), reference="REF-1", **self.world.tools)

    def rehearse(self, key: str, mail: str = "", **values: object) -> LoginOutcome:
        person = replace(Person(key, mail), **values)  # type: ignore[arg-type]  # as named
        return rehearse_login(self.connection_id, person, login_id="login-test", **self.world.tools)

    # What is stored

    @property
    def directory_id(self) -> DirectoryId:
        return DirectoryId(self.connection_id)

    @property
    def stored(self) -> StoredConnection:
        with self.world.read() as reader:
            connection = reader.sso.connection(self.connection_id)
        assert connection is not None
        return connection

    def sessions(self, member_id: MemberId) -> list[StoredSession]:
        with self.world.read() as reader:
            return reader.sso.sessions(member_id, self.world.clock(), 100)


@lru_cache(maxsize=8)
def _sp_certificate(number: int) -> bytes:
    return certificate("sp", rsa_key(number))


def own_domain(world: World, domain: str = DOMAIN) -> None:
    world.do(AddDomain(domain))
    world.events()
