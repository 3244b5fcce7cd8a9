"""Connections to real servers: which are refused, and why, before a password is sent; what an account is told."""

import contextlib
import socket
from pathlib import Path

import pytest
from ldap3 import Connection, Server, Tls
from ldap3.strategy.base import BaseStrategy

from sync.errors import (
    LDAPAnswerError,
    LDAPBindError,
    LDAPConnectionError,
    LDAPError,
    LDAPSettingsError,
    LDAPTLSError,
)
from sync.ldap_reader import LDAPSession, check_filter, open_session
from sync.ldap_settings import LDAPServer
from sync.outcome import Complete
from tests import scripted_ldap as wire
from tests.certificates import Certificates
from tests.scripted_ldap import Peer, Script, message, serve
from tests.slapd import PASSWORD, SUFFIX, Slapd, SlapdFactory, account
from tests.sync.ldap_builders import (
    Stored,
    drained,
    named,
    on_slapd,
    over_tls,
    person,
    settings,
    source,
    stored,
)

EXPORT = Path(__file__).parent.parent / "payloads" / "openldap" / "openldap-2k.ldif.gz"


@pytest.fixture(scope="module")
def slapd(make_slapd: SlapdFactory) -> Slapd:
    """A server with the export of a real one. Nobody writes to it."""
    return make_slapd(EXPORT)


def opened(given: Stored, password: str = PASSWORD) -> LDAPSession:
    return open_session(settings(given), password)


def refusal(given: Stored, password: str = PASSWORD) -> LDAPError:
    """Why no session comes about."""
    with pytest.raises(LDAPError) as caught:
        opened(given, password)
    return caught.value


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


# TLS: trap 9, cases 13 and 14.


@pytest.mark.slapd
@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_that_shows_a_good_certificate_is_read(
    slapd: Slapd, certificates: Certificates, tls: str, host: str
) -> None:
    given = over_tls(slapd, certificates.authority, tls)
    given["servers"] = str(given["servers"]).replace("localhost", host)

    with opened(given) as session:
        assert SUFFIX in session.probe().texts("namingcontexts")


@pytest.mark.slapd
@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_a_certificate_of_another_authority_is_refused(
    slapd: Slapd, certificates: Certificates, tls: str
) -> None:
    error = refusal(over_tls(slapd, certificates.other_authority, tls))

    assert isinstance(error, LDAPTLSError)
    assert "self-signed certificate in certificate chain; check the server's certificate" in str(error)


@pytest.mark.slapd
@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
@pytest.mark.parametrize(
    ("name", "words"), [("wrong_name", "certificate is not valid for 'localhost'"), ("expired", "expired")]
)
def test_a_certificate_with_a_fault_is_refused_and_the_password_stays_here(
    make_slapd: SlapdFactory, certificates: Certificates, tls: str, name: str, words: str
) -> None:
    other = make_slapd(keys=getattr(certificates, name))

    error = refusal(over_tls(other, certificates.authority, tls))

    assert isinstance(error, LDAPTLSError)
    assert words in str(error)
    assert not error.may_pass


@pytest.mark.slapd
def test_the_address_of_the_settings_must_be_in_the_certificate(
    slapd: Slapd, certificates: Certificates
) -> None:
    given = over_tls(slapd, certificates.authority, "ldaps", servers=f"127.0.0.2:{slapd.tls_port}")

    assert "certificate is not valid for '127.0.0.2'" in str(refusal(given))


def test_the_system_s_authorities_are_asked_when_no_file_is_given(certificates: Certificates) -> None:
    def script(peer: Peer) -> None:
        with contextlib.suppress(OSError):
            peer.start_tls(certificates.good)

    with serve(script) as server:
        error = refusal(stored(server.port, servers=f"localhost:{server.port}", tls="ldaps"))

    assert isinstance(error, LDAPTLSError)
    assert "unable to get local issuer certificate" in str(error)


def test_a_file_that_holds_no_certificates_is_refused(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense", encoding="utf-8")

    for path in (nonsense, tmp_path / "missing.pem"):
        error = refusal(stored(1, tls="ldaps", ca_file=str(path)))
        assert isinstance(error, LDAPTLSError)
        assert f"ca_file '{path}' cannot be read as certificates" in str(error)


def answer_start_tls(*after: bytes, code: int = 0) -> Script:
    def script(peer: Peer) -> None:
        request = peer.receive()
        assert request.kind == wire.EXTENDED
        peer.send(message(request.number, wire.result(wire.EXTENDED_ANSWER, code)), *after)
        peer.wait_for_end()

    return script


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (answer_start_tls(code=2), "refuses StartTLS: protocolError 2"),
        (answer_start_tls(b"\x30"), "sent more than its answer to StartTLS"),
        (answer_start_tls(message(2, person(1))), "sent more than its answer to StartTLS"),
    ],
    ids=["refused", "half a message behind it", "a message behind it"],
)
def test_a_server_without_start_tls_is_refused_before_any_bind(script: Script, words: str) -> None:
    with serve(script) as server:
        error = refusal(stored(server.port, tls="starttls"))

    assert isinstance(error, LDAPTLSError)
    assert words in str(error)
    assert wire.BIND not in {request.kind for request in server.seen}


def test_start_tls_that_leads_to_no_handshake_is_refused() -> None:
    def script(peer: Peer) -> None:
        request = peer.receive()
        peer.send(message(request.number, wire.result(wire.EXTENDED_ANSWER)))

    with serve(script) as server:
        error = refusal(stored(server.port, tls="starttls"))

    assert isinstance(error, LDAPTLSError)
    assert "no safe connection" in str(error)


def test_what_answers_start_tls_by_something_else_is_refused() -> None:
    def script(peer: Peer) -> None:
        request = peer.receive()
        peer.send(message(request.number, wire.result(wire.BIND_ANSWER)))
        peer.wait_for_end()

    with serve(script, lambda peer: peer.send(b"no LDAP")) as server:
        assert "something else" in str(refusal(stored(server.port, tls="starttls")))
        assert "no LDAP message" in str(refusal(stored(server.port, tls="starttls")))


# Binding: cases 15 and 16.


@pytest.mark.slapd
def test_a_wrong_password_is_refused_in_words_and_tried_once(make_slapd: SlapdFactory) -> None:
    own = make_slapd(EXPORT)
    given = on_slapd(own)

    # Three failures lock the account: a second try in one run would show at the third run's start.
    said = [str(refusal(given, "wrong")) for _ in range(2)]
    with opened(given):
        pass
    said += [str(refusal(given, "wrong")) for _ in range(3)]

    assert all("bind_dn or the password is wrong" in text for text in said)
    assert "the account is locked" in str(refusal(given))


@pytest.mark.slapd
def test_while_one_password_follows_another_either_lets_in(slapd: Slapd) -> None:
    given = settings(on_slapd(slapd))

    for passwords in ((PASSWORD, "old"), ("new", PASSWORD)):
        with open_session(given, passwords) as session:
            assert session.read_base(SUFFIX, ("dc",)) is not None
    with pytest.raises(LDAPBindError, match="the password is wrong"):
        open_session(given, ("new", "old"))


@pytest.mark.slapd
def test_an_expired_password_is_told_from_a_wrong_one(slapd: Slapd) -> None:
    error = refusal(on_slapd(slapd, bind_dn=account("stale")))

    assert isinstance(error, LDAPBindError)
    assert "the password has expired" in str(error)


@pytest.mark.slapd
def test_without_a_bind_dn_the_reading_is_anonymous(slapd: Slapd) -> None:
    reading = source(on_slapd(slapd, bind_dn="", page_size=200, user_filter="(uid=u00000*)"))

    assert len(named(drained(reading))) > 9


def test_an_empty_password_is_never_sent() -> None:
    with serve(wire.serve_nothing) as server:
        error = refusal(stored(server.port), "")

    assert isinstance(error, LDAPBindError)
    assert wire.BIND not in {request.kind for request in server.seen}


def answer_bind(*, code: int = 0, text: str = "", error: int | None = None) -> Script:
    def script(peer: Peer) -> None:
        request = peer.receive()
        value = wire.ber(0x30, b"" if error is None else wire.ber(0x81, bytes([error])))
        policy = wire.control("1.3.6.1.4.1.42.2.27.8.5.1", value)
        peer.send(message(request.number, wire.result(wire.BIND_ANSWER, code, text=text), policy))
        peer.wait_for_end()

    return script


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (answer_bind(code=8), "strongerAuthRequired 8; the server wants a safe connection"),
        (answer_bind(code=49, error=1), "the account is locked"),
        (answer_bind(code=53, error=8), "its password policy refuses it (8)"),
        (answer_bind(error=2), "only to say that the password must be changed first"),
        (
            answer_bind(code=49, text="80090308: LdapErr: DSID-0C090334, data 775, v2580"),
            "the account is locked",
        ),
        (
            answer_bind(code=49, text="comment: AcceptSecurityContext error, data 532, v1"),
            "password has expired",
        ),
        (answer_bind(code=49, text="data fff"), "bind_dn or the password is wrong"),
    ],
)
def test_a_refused_bind_is_explained(script: Script, words: str) -> None:
    with serve(script) as server:
        error = refusal(stored(server.port))

    assert isinstance(error, LDAPBindError)
    assert words in str(error)
    assert PASSWORD not in str(error)


def test_an_account_that_one_server_refuses_is_not_tried_on_the_next() -> None:
    with serve(answer_bind(code=49)) as first, serve(wire.serve_nothing) as second:
        refusal(stored(0, servers=f"127.0.0.1:{first.port}, 127.0.0.1:{second.port}"))

    assert second.clients == 0


def test_the_password_goes_out_as_it_is() -> None:
    with serve(wire.serve_nothing) as server, opened(stored(server.port), "p\u00e4ss \u2160"):
        pass

    assert server.seen[0].password == "p\u00e4ss \u2160".encode()


def test_a_bind_that_is_answered_by_nonsense_fails() -> None:
    def script(peer: Peer) -> None:
        request = peer.receive()
        peer.send(message(request.number, wire.ber(wire.BIND_ANSWER, b"")))
        peer.wait_for_end()

    with serve(script) as server:
        assert isinstance(refusal(stored(server.port)), LDAPAnswerError)


# Servers that cannot be reached, and the list of servers: cases 6 and 48.


def test_a_server_that_does_not_listen_is_named() -> None:
    error = refusal(stored(port := closed_port()))

    assert isinstance(error, LDAPConnectionError)
    assert f"127.0.0.1:{port} cannot be reached within 5 s" in str(error)


def test_the_next_server_of_the_list_is_taken_when_the_first_is_down_or_busy() -> None:
    with serve(answer_bind(code=51)) as busy, serve(wire.serve_nothing) as good:
        servers = [LDAPServer("127.0.0.1", port) for port in (closed_port(), busy.port, good.port)]
        with opened(stored(0, servers=",".join(map(str, servers)))) as session:
            assert session.server == servers[2]


def test_every_fault_is_told_when_no_server_is_left(certificates: Certificates) -> None:
    ports = (closed_port(), closed_port())

    error = refusal(stored(0, servers=",".join(f"127.0.0.1:{port}" for port in ports)))

    assert all(f"127.0.0.1:{port} cannot be reached" in str(error) for port in ports)


@pytest.mark.slapd
def test_a_server_that_is_frozen_is_given_up_after_the_time_out(make_slapd: SlapdFactory) -> None:
    own = make_slapd(EXPORT)
    given = on_slapd(own, receive_seconds=1, page_size=100)
    with opened(given) as session:
        own.freeze()
        with pytest.raises(LDAPConnectionError, match="was silent for 1 s"):
            session.probe()
    assert "was silent for 1 s" in str(refusal(given))
    own.thaw()
    reading = source(given)
    drained(reading)
    assert reading.outcome == Complete()


@pytest.mark.slapd
def test_a_connection_that_was_ended_cannot_be_written_to(make_slapd: SlapdFactory) -> None:
    own = make_slapd(EXPORT)
    with opened(on_slapd(own)) as session:
        own.restart()
        with pytest.raises(LDAPConnectionError):
            session.probe()
        with pytest.raises(LDAPConnectionError):
            session.probe()


def test_a_connection_that_is_reset_is_told() -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.reset()

    with serve(script) as server:
        error = refusal(stored(server.port))

    assert isinstance(error, LDAPConnectionError)
    assert "broke" in str(error) or "closed" in str(error)


# Single entries.


@pytest.mark.slapd
def test_one_entry_is_read_by_its_name(slapd: Slapd) -> None:
    with opened(on_slapd(slapd)) as session:
        found = session.read_base(SUFFIX, ("dc",))
        assert found is not None
        assert found.attributes == {"dc": [b"example"]}
        assert session.read_base(f"cn=nobody,{SUFFIX}", ("cn",)) is None
        with pytest.raises(LDAPAnswerError, match="invalidDNSyntax 34"):
            session.read_base("no name", ("cn",))


@pytest.mark.parametrize(
    "operations",
    [[person(1), person(1)], [wire.ber(wire.ENTRY, b"")], [wire.result(wire.BIND_ANSWER)]],
    ids=["two", "broken", "something else"],
)
def test_an_answer_that_is_not_one_entry_is_refused(operations: list[bytes]) -> None:
    def script(peer: Peer) -> None:
        bind = peer.receive()
        peer.send(message(bind.number, wire.result(wire.BIND_ANSWER)))
        probe = peer.receive()
        peer.send(*[message(probe.number, one) for one in (wire.reference("ldap://x"), *operations)])
        peer.wait_for_end()

    with serve(script) as server:
        reading = source(stored(server.port))
        drained(reading)

    assert reading.outcome != Complete()


# What is asked of ldap3.


@pytest.mark.slapd
def test_ldap3_opens_no_connection(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its connection is what follows referrals, hides limits and recurses: it must not come back unnoticed.
    for owner in (Connection, Server, Tls, BaseStrategy):
        monkeypatch.setattr(owner, "__init__", None)
    reading = source(on_slapd(slapd))

    assert len(drained(reading)) == 2089
    assert reading.outcome == Complete()


@pytest.mark.parametrize("text", ["(uid=*)", "(&(a=b)(|(c=*d*e)(!(f>=1))))", r"(cn=\2a\00)", "(cn=Zo\u00eb)"])
def test_a_filter_that_a_server_can_be_asked_by_is_good(text: str) -> None:
    check_filter(text)


@pytest.mark.parametrize("text", ["", "(uid=*)(", "uid=*", "(uid=*)(uid=a)", "(&)(", "(uid=a\0)", "(uid)"])
def test_a_filter_that_is_none_is_refused_when_it_is_set(text: str) -> None:
    with pytest.raises(LDAPSettingsError):
        check_filter(text)


def test_a_bad_filter_fails_the_reading_before_anybody_is_asked() -> None:
    with serve(wire.serve_nothing) as server:
        refusal(stored(server.port, user_filter="(uid=*)("))

    assert server.clients == 0
