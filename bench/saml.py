"""The figures of single sign-on: a whole judgement beside xmlsec's bare verification of the same message."""

import contextlib
import time
from collections.abc import Callable, Iterator

import xmlsec
from lxml import etree

from bench.figures import Figure, at_least, at_most, cpu_seconds, interleave
from bench.saml_messages import (
    Message,
    assertion_signed,
    both_signed,
    encrypted,
    expectations,
    hostile,
    many_groups,
    shipped,
    trust,
    trust_of_three,
)
from saml import names
from saml.errors import LoginDenied
from saml.pipeline import judge_response
from tests.saml_forge.keys import IDP

ROUNDS = 15
TIMES = 100
_SHIPPED_TIMES = 10


def measure() -> Iterator[Figure]:
    """Judgements to bare xmlsec; encrypted ones to python3-saml; the longest that a hostile message takes."""
    yield from _measure_to_raw(assertion_signed(), 0.25)
    yield from _measure_to_raw(both_signed(), 0.35)
    yield from _measure_to_raw(many_groups(), 0.35)
    yield from _measure_to_shipped(encrypted())
    yield from _measure_hostile()


def _judging(message: Message, times: int) -> Callable[[], None]:
    trusted, expected, value = trust(), expectations(), message.field
    assert judge_response(value, trust=trusted, expectations=expected).attributes

    def judge() -> None:
        for _ in range(times):
            judge_response(value, trust=trusted, expectations=expected)

    return judge


def _measure_to_raw(message: Message, bound: float) -> Iterator[Figure]:
    """Raw: the octets are there, the key is ready; parse, and verify each signature."""
    key = xmlsec.Key.from_memory(IDP.certificate_pem, xmlsec.KeyFormat.CERT_PEM)
    octets = message.xml.encode()

    def verify() -> None:
        for _ in range(TIMES):
            root = etree.fromstring(octets)
            xmlsec.tree.add_ids(root, ["ID"])
            for signature in root.iter(names.SIGNATURE):
                context = xmlsec.SignatureContext()
                context.key = key
                context.verify(signature)

    raw, ours = interleave([verify, _judging(message, TIMES)], rounds=ROUNDS, clock=cpu_seconds)
    yield at_least(f"saml.{message.name}_to_raw", raw / ours, "ratio", bound)
    yield _told(f"saml.{message.name}", TIMES / ours)


def _measure_to_shipped(message: Message) -> Iterator[Figure]:
    process = shipped(message)

    def serve() -> None:
        for _ in range(_SHIPPED_TIMES):
            process()

    theirs, ours = interleave([serve, _judging(message, _SHIPPED_TIMES)], rounds=ROUNDS, clock=cpu_seconds)
    yield at_least(f"saml.{message.name}_to_python3_saml", theirs / ours, "ratio", 4)
    yield _told(f"saml.{message.name}", _SHIPPED_TIMES / ours)


def _told(name: str, value: float) -> Figure:
    return Figure(name, round(value), "1/s", 0, ok=True)


def _measure_hostile() -> Iterator[Figure]:
    """Every message of the attack classes, and the dearest that come through the gate, with three certificates."""
    trusted, expected = trust_of_three(), expectations()
    dearest = 0.0
    for value in hostile():
        start = time.process_time()
        with contextlib.suppress(LoginDenied):
            judge_response(value, trust=trusted, expectations=expected)
        dearest = max(dearest, time.process_time() - start)
    yield at_most("saml.hostile_cpu", dearest * 1000, "ms", 300)
