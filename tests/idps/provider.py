"""What the identity providers of the tests have in common: a folder, a port, keys, people, and one file of state.

Knows nothing of Usher. What a provider does stands in `state.json`, which its server reads at each request: so a test
changes it while it runs, as an administrator would.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree

_YEAR = timedelta(days=365)
_PATIENCE = 60
_MD = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_DS = "{http://www.w3.org/2000/09/xmldsig#}"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the provider knows. `name` is what they type, and by default their NameID."""

    name: str
    password: str
    mail: str
    given_name: str
    family_name: str
    groups: tuple[str, ...] = ()


ADA = Person("ada", "correct horse", "ada@acme.example", "Ada", "Adams", ("staff", "editors"))
BEN = Person("ben", "battery staple", "ben@acme.example", "Ben", "Brown", ("staff",))


@dataclass(frozen=True, slots=True)
class Answers:
    """How the provider answers. Empty `audience` and `name_id`: what it should; `binding` is that of its logouts."""

    sign_response: bool = True
    sign_assertion: bool = True
    encrypt: bool = False
    audience: str = ""
    name_id: str = ""
    binding: str = "redirect"


@dataclass(frozen=True, slots=True)
class Key:
    """A private key and its certificate, in PEM files."""

    private_key: Path
    certificate: Path


def make_key(folder: Path, name: str, *, now: datetime) -> Key:
    """A key with a certificate of its own making, as identity providers sign with."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _YEAR)
        .not_valid_after(now + _YEAR)
        .sign(private, hashes.SHA256())
    )
    made = Key(folder / f"{name}.key", folder / f"{name}.crt")
    made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    made.private_key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return made


@dataclass(slots=True)
class Provider(ABC):
    """One identity provider in its folder, with the keys `first` and `second`. `start` it; `stop` ends it."""

    preset: ClassVar[str]
    """What its attributes are called, in the words of a connection's settings."""
    publishes_several: ClassVar[bool] = True
    """Whether its metadata can name two certificates."""
    folder: Path
    keys: Mapping[str, Key]
    people: Sequence[Person] = (ADA, BEN)
    port: int = 0
    answers: Answers = field(default_factory=Answers)
    signing: str = "first"
    published: tuple[str, ...] = ("first",)
    _service_provider: dict[str, str] | None = None
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    @abstractmethod
    def entity_id(self) -> str: ...

    @property
    @abstractmethod
    def metadata_url(self) -> str: ...

    @property
    @abstractmethod
    def logout_url(self) -> str:
        """Where a person begins a logout at the provider."""

    @abstractmethod
    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What runs the server, and what it needs in its environment."""

    def start(self) -> None:
        """Start; returns when it gives its metadata."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._write()
        words, environ = self.command()
        with (self.folder / "server.out").open("wb") as output:
            self._process = subprocess.Popen(
                list(words),
                cwd=self.folder,
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        while self._process.poll() is None:
            with contextlib.suppress(OSError, urllib.error.HTTPError):
                self.metadata()
                return
            threading.Event().wait(0.05)
        said = (self.folder / "server.out").read_text(errors="replace")
        self.stop()
        pytest.fail(f"the identity provider did not start: {said[-2000:]}", pytrace=False)

    def stop(self) -> None:
        """Stop, whatever state it is in."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def metadata(self) -> str:
        """Its metadata, from its own address."""
        # On this machine, and of this session's own.
        with urllib.request.urlopen(self.metadata_url, timeout=_PATIENCE) as answer:  # noqa: S310
            text: str = answer.read().decode()
        return text

    def write_metadata(self) -> Path:
        """Its metadata in a file."""
        path = self.folder / "idp-metadata.xml"
        path.write_text(self.metadata(), encoding="utf-8")
        return path

    def register(self, metadata: str) -> None:
        """Let the service provider of the metadata in, in place of the one before."""
        root = etree.fromstring(metadata.encode())
        role = root.find(f"{_MD}SPSSODescriptor")
        assert role is not None
        certificate = role.findtext(f"{_MD}KeyDescriptor[@use='encryption']//{_DS}X509Certificate")
        self._service_provider = {
            "entity_id": str(root.get("entityID")),
            "acs": str(role.find(f"{_MD}AssertionConsumerService").get("Location")),
            "slo": str(role.find(f"{_MD}SingleLogoutService").get("Location")),
            "certificate": "".join((certificate or "").split()),
            "metadata": metadata,
        }
        self._write()

    def reset(self) -> None:
        """As it was when it started."""
        self.answers, self.signing, self.published = Answers(), "first", ("first",)
        self.people, self._service_provider = (ADA, BEN), None
        self._write()

    def answer(self, **changes: str | bool) -> None:
        """Answer differently from now on."""
        self.answers = replace(self.answers, **changes)  # type: ignore[arg-type]  # each by its name
        self._write()

    def use_keys(self, *, signing: str = "", published: Sequence[str] = ()) -> None:
        """Sign with another key, or publish others, from now on."""
        self.signing = signing or self.signing
        self.published = tuple(published) or self.published
        self._write()

    def sha256(self, key: str) -> str:
        """The digest of the certificate of a key, in small hexadecimal figures."""
        certificate = x509.load_pem_x509_certificate(self.keys[key].certificate.read_bytes())
        return certificate.fingerprint(hashes.SHA256()).hex()

    def _write(self) -> None:
        signing = self.keys[self.signing]
        state = {
            "entity_id": self.entity_id,
            "url": self.url,
            "key": str(signing.private_key),
            "certificate": str(signing.certificate),
            "published": [str(self.keys[name].certificate) for name in self.published],
            "service_provider": self._service_provider,
            "answers": asdict(self.answers),
            "people": [asdict(person) for person in self.people],
        }
        draft = self.folder / "state.draft"
        draft.write_text(json.dumps(state), encoding="utf-8")
        draft.replace(self.folder / "state.json")


@contextlib.contextmanager
def running_provider(kind: type[Provider], folder: Path, *, now: datetime) -> Iterator[Provider]:
    """A provider that knows no service provider yet. It ends with the context."""
    provider = kind(folder, {name: make_key(folder, name, now=now) for name in ("first", "second")})
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()


def require(program: str, remedy: str, environment: Mapping[str, str]) -> str:
    """Where the program is; without it the asking test is skipped with a plain line, or fails when REQUIRE_IDPS=1."""
    found = shutil.which(program, path=environment.get("PATH", ""))
    return found or give_up(f"no {program} here: {remedy}", environment)


def give_up(why: str, environment: Mapping[str, str]) -> NoReturn:
    """Skip the asking test with a plain line, or fail it when REQUIRE_IDPS=1."""
    if environment.get("REQUIRE_IDPS") == "1":
        pytest.fail(f"REQUIRE_IDPS=1, but {why}", pytrace=False)
    pytest.skip(why)
