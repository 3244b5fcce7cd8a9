"""The certificate of a directory server, seen without trusting it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from directory.changes import PutDirectory
from directory.ids import DirectoryId
from service import doctor
from service.doctor import Level, certificate_finding
from service.ldap_certificate import ServerCertificate, view_certificate
from sync.errors import LDAPTLSError
from sync.ldap_settings import LDAPServer, TLSMode
from tests import scripted_ldap as wire
from tests.scripted_ldap import Peer, serve
from tests.service.worlds import HandClock, small_world

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SERVER = LDAPServer("dc1.example.org", 636)


def view(port: int, tls: TLSMode = TLSMode.STARTTLS) -> ServerCertificate:
    return view_certificate(LDAPServer("127.0.0.1", port), tls, timeout_seconds=20)


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [
        (31, Level.OK, "for dc1, dc2, by 'CN=CA', from"),
        (30, Level.WARN, "ends in 30 days"),
        (-1, Level.FAIL, "has ended"),
    ],
)
def test_a_certificate_that_ends_is_told_thirty_days_before(days: int, level: Level, words: str) -> None:
    shown = ServerCertificate(
        "CN=dc1", "CN=CA", ("dc1", "dc2"), NOW - timedelta(days=9), NOW + timedelta(days=days)
    )

    found = certificate_finding("hq", SERVER, shown, NOW)

    assert found.level is level
    assert words in found.text


def test_a_certificate_for_no_name_is_told_to_be_so() -> None:
    shown = ServerCertificate("CN=dc1", "CN=CA", (), NOW, NOW + timedelta(days=99))

    assert "of 'CN=dc1' for no name" in certificate_finding("hq", SERVER, shown, NOW).text


def test_a_server_that_refuses_start_tls_shows_none() -> None:
    def refuse(peer: Peer) -> None:
        request = peer.receive()
        peer.send(wire.message(request.number, wire.result(wire.EXTENDED_ANSWER, 2)))
        peer.wait_for_end()

    def leave(peer: Peer) -> None:
        peer.receive()

    with serve(refuse, leave) as server:
        with pytest.raises(LDAPTLSError, match="refuses StartTLS: protocolError 2"):
            view(server.port)
        with pytest.raises(LDAPTLSError, match="instead of answering StartTLS"):
            view(server.port)
    assert [request.kind for request in server.seen] == [wire.EXTENDED, wire.EXTENDED]


def test_what_speaks_no_tls_shows_none() -> None:
    with serve(lambda peer: peer.send(b"no TLS at all")) as server, pytest.raises(OSError, match="SSL"):
        view(server.port, TLSMode.LDAPS)


def test_the_doctor_is_content_with_a_server_that_is_not_there_and_not_with_wrong_settings(
    tmp_path: Path,
) -> None:
    settings: dict[str, str | int | bool] = {
        "servers": "127.0.0.1:1",
        "user_bases": "o=x",
        "dialect": "openldap",
    }
    with small_world(tmp_path, HandClock()) as world:
        changes = {"gone": {}, "clear": {"tls": "plain"}, "wrong": {"user_bases": "people"}}
        for name, other in changes.items():
            directory_id = DirectoryId(world.wiring.mint.id())
            world.apply([PutDirectory(directory_id, "ldap", name, {**settings, **other})])
        found = [
            (finding.about.rpartition(" ")[2], finding.level, finding.text)
            for finding in doctor.examine(world.wiring.settings)
            if "directory 'hq'" not in finding.about and "directory '" in finding.about
        ]

    by_hand = Level.OK, "is read by hand only"
    assert found[:3] == [("'gone'", *by_hand), ("'clear'", *by_hand), ("'wrong'", *by_hand)]
    ((name, level, text),) = found[3:]
    assert (name, level) == ("'wrong'", Level.FAIL)
    assert "'people' is no distinguished name" in text
