"""Applications and sessions at the command line."""

import hashlib
from datetime import timedelta

import pytest

from directory.ids import ConnectionId, SessionId
from directory.sso_changes import OpenSession, PutConnection
from service.administration import Administration
from service.wiring import utc_now
from tests.journeys.shell import ACME, OWNER, Shell
from tests.service.worlds import OPERATOR

CALLBACK = "https://app.example/callback"
ADD = ("client", "add", "Host", "--environment", "minut", "--redirect-uri", CALLBACK)


@pytest.fixture
def ready(shell: Shell) -> Shell:
    shell.set_up()
    return shell


def sign_in(shell: Shell, number: int = 1) -> str:
    """The id of a new session of the owner."""
    with shell.wiring() as wiring:
        state = wiring.store.organisation(ACME)
        assert state is not None
        assert state.owner_id is not None
        administration = Administration(wiring, state.organisation_id, OPERATOR)
        with administration.read() as reader:
            known = reader.sso.connections()
        connection_id = known[0].connection_id if known else ConnectionId(wiring.mint.id())
        if not known:
            settings = {"idp_entity_id": "https://idp.example", "sso_url": "https://idp.example/sso"}
            administration.apply([PutConnection(connection_id, "entra", settings)])
        opened = OpenSession(
            session_id=SessionId(wiring.mint.id()),
            token_sha256=hashlib.sha256(str(number).encode()).digest(),
            member_id=state.owner_id,
            connection_id=connection_id,
            login_id=f"login-{number}",
            auth_time=utc_now(),
            expires_at=utc_now() + timedelta(hours=8),
            address="192.0.2.7",
        )
        administration.apply([opened])
        return opened.session_id


def test_an_application_is_added_listed_shown_and_removed(ready: Shell) -> None:
    made = ready.json(*ADD, "--logout-uri", "https://app.example/bye")
    assert made["client_secret"].startswith("usher_client_")
    assert made["issuer"] == "http://127.0.0.1:8000"
    assert made["kind"] == "confidential"

    (listed,) = ready.json("client", "list")
    shown = ready.json("client", "show", "host")
    assert listed["client_id"] == shown["client_id"] == made["client_id"]
    assert "client_secret" not in listed | shown
    assert shown["redirect_uris"] == [CALLBACK]

    assert "is removed" in ready.answer("client", "remove", made["client_id"], "--yes")
    assert ready.json("client", "list") == []
    assert "register one with" in ready.answer("client", "list")


def test_the_secret_is_said_once_in_words(ready: Shell) -> None:
    told = ready.answer(*ADD, "--backchannel-logout-uri", "https://app.example/backchannel")

    assert "client secret  usher_client_" in told
    assert "shown this once" in told
    shown = ready.answer("client", "show", "Host")
    assert f"Comes back to: {CALLBACK}" in shown
    assert "Told of ended sessions: https://app.example/backchannel" in shown
    assert "usher_client_" not in shown
    assert "Host" in ready.answer("client", "list")


def test_a_public_application_gets_no_secret(ready: Shell) -> None:
    told = ready.answer(*ADD, "--public")

    assert "It has no secret" in told
    assert "usher_client_" not in told
    assert ready.json("client", "show", "Host")["kind"] == "public"


def test_a_faulty_application_is_refused_with_every_fault(ready: Shell) -> None:
    wrong = ("client", "add", "Host", "--environment", "minut", "--redirect-uri", "http://app.example/#x")

    assert "must not have a fragment" in ready.fail(1, *wrong)
    assert "no environment 'else'" in ready.fail(
        1, "client", "add", "Host", "--environment", "else", "--redirect-uri", CALLBACK
    )
    assert "no application 'Host'" in ready.fail(1, "client", "show", "Host")


def test_removing_asks_first(ready: Shell) -> None:
    ready.answer(*ADD)

    result = ready.invoke("client", "remove", "Host", stdin="n\n")

    assert result.exit_code != 0
    assert len(ready.json("client", "list")) == 1


def test_the_signing_key_is_changed_by_hand(ready: Shell) -> None:
    first = ready.json("client", "rotate-key")["key_id"]

    second = ready.json("client", "rotate-key", "--compromised")["key_id"]

    assert first != second
    with ready.wiring() as wiring:
        keys = wiring.clients.signing_keys(utc_now())
    assert [key.state for key in keys] == ["active", "next"]
    assert keys[0].key_id == second


def test_sessions_are_listed_and_revoked_one_by_one(ready: Shell) -> None:
    assert "Nobody is signed in" in ready.answer("session", "list")
    first, second = sign_in(ready, 1), sign_in(ready, 2)
    listed = ready.json("session", "list", "--member", OWNER)
    assert [row["session_id"] for row in listed] == [second, first]
    assert {row["member"] for row in listed} == {OWNER}
    assert {row["connection"] for row in listed} == {"entra"}
    assert OWNER in ready.answer("session", "list")
    ready.mark()

    assert "has ended" in ready.answer("session", "revoke", first.upper())

    assert [row["session_id"] for row in ready.json("session", "list")] == [second]
    (event,) = ready.new_events()
    assert event["action"] == "sso.logout"
    assert event["reason"]["code"] == "revoked"


def test_all_sessions_of_a_person_are_revoked_together(ready: Shell) -> None:
    sign_in(ready, 1)
    sign_in(ready, 2)
    ready.mark()

    answer = ready.json("session", "revoke", "--member", OWNER)

    assert answer["sessions_ended"] == 2
    assert ready.json("session", "list") == []
    assert ready.new_actions() == ["sso.logout"]


def test_what_is_revoked_is_named_in_one_way(ready: Shell) -> None:
    for arguments in ((), ("--member", OWNER, "0190a000-0000-7000-8000-000000000001")):
        assert "name a session" in ready.fail(2, "session", "revoke", *arguments)
    assert "no id of a session" in ready.fail(2, "session", "revoke", "yesterday's")
    assert "there is no session" in ready.fail(1, "session", "revoke", "0190a000-0000-7000-8000-000000000001")
