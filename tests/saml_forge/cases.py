"""What a fixture is: a file, what becomes of it and where it comes from; and the folders that hold them."""

import functools
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from saml.errors import Denial
from tests.saml_forge.accepted import form_value

PAYLOADS = Path(__file__).parents[1] / "payloads"
ATTACKS = PAYLOADS / "saml_attacks"
ACCEPTED = PAYLOADS / "saml_accepted"
PRESETS = PAYLOADS / "saml_presets"
CANARY = "http://canary.example.net"
# In the order of docs/guides/saml-attacks.md.
CLASSES = (
    "signature_wrapping",
    "stripping",
    "foreign_key",
    "algorithms",
    "references",
    "differentials",
    "xml",
    "identity_text",
    "time",
    "address",
    "correlation",
    "replay",
    "cross_organisation",
    "relay_state",
    "size",
    "encodings",
    "logout",
    "decryption_oracle",
    "metadata",
)


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. `file` ends in xml (the message), b64 (what the form field holds, to the letter) or txt (another
    field, or a query string). `reason` is a Denial, or the code of another refusal.

    `given` are settings that differ from the usual: fields of Trust and Expectations. `literal`: the attack logs in
    as this NameID, whole, and as nobody else. `at` is who refuses it: the pipeline, the
    attributes, or the endpoint with its store. `is_kept` False: too large to be kept as a file.
    """

    file: str
    reason: str
    origin: str
    content: bytes = field(repr=False)
    given: Mapping[str, object] = field(default_factory=dict)
    literal: str = ""
    at: str = "pipeline"
    is_kept: bool = True

    @property
    def form_value(self) -> str:
        """The field SAMLResponse as posted."""
        return form_value(self.file, self.content)


def attack(name: str, reason: Denial, origin: str, xml: str, **said: object) -> Attack:
    """An attack that is a message in UTF-8. `said` are settings, but for `literal`, `at` and `is_kept`."""
    return _made(f"{name}.xml", reason, origin, xml.encode(), said)


def literal(name: str, origin: str, xml: str, whole: str) -> Attack:
    """A name that looks like another: it logs in as the whole text that it is."""
    return _made(f"{name}.xml", "another person", origin, xml.encode(), {"literal": whole})


def raw(name: str, reason: Denial, origin: str, value: str, **said: object) -> Attack:
    """An attack on what wraps the message."""
    return _made(f"{name}.b64", reason, origin, value.encode("latin-1"), said)


def relay_state(name: str, reason: Denial, origin: str, value: str) -> Attack:
    """An attack by the field RelayState."""
    return _made(f"{name}.txt", reason, origin, value.encode(), {"at": "endpoint"})


def query(name: str, reason: Denial, origin: str, value: str, **said: object) -> Attack:
    """An attack by a query string."""
    return _made(f"{name}.txt", reason, origin, value.encode(), {"at": "logout", **said})


def document(name: str, reason: str, origin: str, xml: str, **said: object) -> Attack:
    """A document that is no message: metadata. `reason` is `metadata` where reading refuses it."""
    return _made(f"{name}.xml", reason, origin, xml.encode(), {**said, "at": "metadata"})


def _made(file: str, reason: str, origin: str, content: bytes, said: dict[str, object]) -> Attack:
    literal = said.pop("literal", "")
    place = said.pop("at", "pipeline")
    assert isinstance(literal, str)
    assert isinstance(place, str)
    kept = bool(said.pop("is_kept", True))
    return Attack(file, reason, origin, content, said, literal, place, kept)


@functools.cache
def attacks_of(name: str, canary: str = CANARY) -> tuple[Attack, ...]:
    """The attacks of a class, made anew. `canary` is the address that some would have fetched."""
    module = importlib.import_module(f"tests.payloads.saml_attacks.{name}.make")
    made: Iterator[Attack] = module.make(canary)
    return tuple(made)
