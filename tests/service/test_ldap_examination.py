"""What a directory server looks like, and what it does when it is examined and is not as it should be."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from service.doctor import Level
from service.ldap_examination import Examination, examine_directory, guess_dialect
from sync.ldap_reader import RootDSE
from tests import scripted_ldap as wire
from tests.scripted_ldap import Script, serve
from tests.slapd import PASSWORD
from tests.sync.ldap_builders import stored

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "dialect"),
    [
        ({"supportedcapabilities": ["1.2.840.113556.1.4.800"]}, "active_directory"),
        ({"vendorname": ["389 Project"], "vendorversion": ["389-Directory/2.3.1"]}, "ds389"),
        ({"objectclass": ["top", "OpenLDAProotDSE"]}, "openldap"),
        ({"vendorname": ["Other Works"]}, "generic"),
        ({}, "generic"),
    ],
)
def test_a_server_is_known_by_what_it_says_of_itself(said: Mapping[str, Sequence[str]], dialect: str) -> None:
    root = RootDSE({name: [value.encode() for value in values] for name, values in said.items()})

    assert guess_dialect(root) == dialect


def examine(script: Script, **other: str | int | bool) -> Examination:
    with serve(lambda peer: peer.wait_for_end(), script) as server:
        given = stored(server.port, **other)
        return examine_directory(given, passwords=lambda _name: PASSWORD, now=NOW)


def test_a_server_that_cannot_read_by_pages_is_told_before_anybody_is_read() -> None:
    def script(peer: wire.Peer) -> None:
        bind = peer.receive()
        peer.send(wire.message(bind.number, wire.result(wire.BIND_ANSWER)))
        request = peer.receive()
        root = wire.entry("", {"supportedControl": ["1.2.3"]})
        peer.send(wire.message(request.number, root), wire.message(request.number, wire.result(wire.DONE)))
        peer.wait_for_end()

    found = examine(script)

    assert found.is_reachable
    assert not found.is_good
    assert (found.findings[-1].level, found.findings[-1].about) == (Level.FAIL, "server")
    assert "cannot read by pages" in found.findings[-1].text


def test_a_server_that_breaks_off_is_told() -> None:
    found = examine(lambda peer: peer.reset())

    assert not found.is_good
    assert found.findings[-1].level is Level.FAIL
