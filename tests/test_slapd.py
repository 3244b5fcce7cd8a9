"""The test server is found or asked for in plain words, and tells why it does not start."""

import socket
from pathlib import Path

import pytest

from tests.certificates import KeyPair
from tests.scripted_ldap import BIND, UNBIND, Peer, Script, ber, message, serve
from tests.slapd import (
    NOT_FOUND,
    SlapdFactory,
    SlapdUnavailableError,
    default_path,
    find_programs,
    require_programs,
)


def test_without_the_programs_a_test_is_skipped_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="no slapd here: install Debian's packages"):
        require_programs({"SLAPD_PATH": str(tmp_path)})


def test_without_the_programs_a_test_fails_where_they_are_required(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_SLAPD=1, but no slapd here"):
        require_programs({"SLAPD_PATH": str(tmp_path), "REQUIRE_SLAPD": "1"})


def test_programs_outside_of_path_are_found_where_distributions_keep_them() -> None:
    assert default_path({"PATH": "/own"}).split(":")[:2] == ["/own", "/usr/sbin"]
    with pytest.raises(SlapdUnavailableError, match=NOT_FOUND[:12]):
        find_programs("")


@pytest.mark.slapd
def test_an_export_that_cannot_be_loaded_is_told(make_slapd: SlapdFactory) -> None:
    with pytest.raises(SlapdUnavailableError, match="slapadd failed"):
        make_slapd("dn: nothing\n\n")


@pytest.mark.slapd
def test_a_server_that_does_not_start_says_why(make_slapd: SlapdFactory, tmp_path: Path) -> None:
    prepared = make_slapd.prepare(keys=KeyPair(tmp_path / "missing.crt", tmp_path / "missing.key"))

    with pytest.raises(SlapdUnavailableError, match="slapd"):
        prepared.start()


def test_a_script_that_is_wrong_about_its_client_fails_the_test() -> None:
    def script(peer: Peer) -> None:
        assert peer.receive().kind == BIND

    with pytest.raises(AssertionError, match="AssertionError"):
        say_goodbye(script)


def say_goodbye(script: Script) -> None:
    """Connect, leave as a client does, and wait until the script is over and hangs up."""
    with serve(script) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(message(1, ber(UNBIND, b"")))
        assert client.recv(1) == b""
