"""The TXT record that proves a domain, asked of a real name server of this machine."""

import socket
from collections.abc import Sequence

import pytest
from dnslib import RCODE

from saml.domains import Proof, find_proof, make_resolver, record_name, record_value
from tests.name_server import Text, serve_names

_NAME = "_usher.banksia.example"


def test_the_record_stands_under_the_domain_and_names_the_challenge() -> None:
    assert (record_name("banksia.example"), record_value("abc")) == (_NAME, "usher-verification=abc")


@pytest.mark.parametrize(
    ("texts", "proof"),
    [
        ([b"usher-verification=abc"], Proof.FOUND),
        ([b"v=spf1 -all", b" usher-verification=abc "], Proof.FOUND),
        ([[b"usher-verifi", b"cation=abc"]], Proof.FOUND),
        ([b"usher-verification=ABC"], Proof.ABSENT),
        ([b"usher-verification=abcd"], Proof.ABSENT),
        ([], Proof.ABSENT),
    ],
)
def test_a_domain_is_proven_by_exactly_its_record(texts: Sequence[Text], proof: Proof) -> None:
    with serve_names({_NAME: texts}) as server:
        assert find_proof("banksia.example", "abc", make_resolver([server])) is proof


def test_a_name_that_does_not_exist_proves_nothing() -> None:
    with serve_names({}) as server:
        assert find_proof("banksia.example", "abc", make_resolver([server])) is Proof.ABSENT


def test_a_server_that_fails_says_nothing_about_the_domain() -> None:
    with serve_names({_NAME: [b"usher-verification=abc"]}, rcode=RCODE.SERVFAIL) as server:
        assert find_proof("banksia.example", "abc", make_resolver([server])) is Proof.UNKNOWN


def test_a_server_that_is_silent_says_nothing_about_the_domain() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = make_resolver([f"127.0.0.1:{silent.getsockname()[1]}"], timeout_seconds=0.05)

        assert find_proof("banksia.example", "abc", resolver) is Proof.UNKNOWN


@pytest.mark.parametrize("domain", ["a..b", "x" * 64 + ".example", ".".join(["a" * 60] * 5)])
def test_what_is_no_domain_name_is_unknown_and_no_fault(domain: str) -> None:
    assert find_proof(domain, "abc", make_resolver(["127.0.0.1:9"], timeout_seconds=0.05)) is Proof.UNKNOWN


def test_the_systems_own_name_servers_are_the_default() -> None:
    assert make_resolver().lifetime == 5.0
    assert make_resolver(["127.0.0.1"]).nameservers == ["127.0.0.1"]
