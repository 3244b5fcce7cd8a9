"""Who is signed in at a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from directory.ids import MemberId, OrganisationId, SessionId
from provisioning.logins import LoginStore, StoredSession
from tests.builders import MONDAY, FakeClock
from web.cookies import Cookies, make_value
from web.sessions import Sessions, digest_token

TOKEN = make_value(bytes(range(32)))
IDLE = timedelta(minutes=60)
STORED = StoredSession(
    session_id=SessionId("s1"),
    organisation_id=OrganisationId("o1"),
    member_id=MemberId("m1"),
    connection_id=None,
    kind="login",
    login_id="l1",
    auth_time=MONDAY,
    created_at=MONDAY,
    last_used_at=MONDAY,
    expires_at=MONDAY + timedelta(hours=8),
)


class OneSession:
    """The part of a login store that knows sessions, with one of them."""

    def __init__(self, session: StoredSession) -> None:
        self.stored = session

    @contextmanager
    def read(self) -> Iterator["OneSession"]:
        yield self

    def session(self, token_sha256: bytes) -> StoredSession | None:
        return self.stored if token_sha256 == digest_token(TOKEN) else None

    def touch_session(self, session_id: SessionId, at: object) -> None:
        assert session_id == self.stored.session_id
        self.stored = replace(self.stored, last_used_at=at)  # type: ignore[arg-type]  # a moment


def request_with(token: str = TOKEN) -> Request:
    headers = [("Cookie", f"__Host-usher_session={token}")] if token else []
    return Request(EnvironBuilder(headers=headers).get_environ())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def sessions_of(stored: StoredSession, clock: FakeClock) -> Sessions:
    store = OneSession(stored)
    return Sessions(cast(LoginStore, store), Cookies("https://usher.example"), clock=clock, idle=IDLE)


def test_a_session_lives_on_while_it_is_used(clock: FakeClock) -> None:
    sessions = sessions_of(STORED, clock)

    for _ in range(3):
        clock.move(minutes=59)
        assert sessions.load_session(request_with()) is not None


def test_a_session_that_is_not_used_is_over(clock: FakeClock) -> None:
    clock.move(minutes=60)

    assert sessions_of(STORED, clock).load_session(request_with()) is None


def test_a_session_ends_at_its_end_however_much_it_is_used(clock: FakeClock) -> None:
    clock.move(hours=8)
    used = replace(STORED, last_used_at=clock.now)

    assert sessions_of(used, clock).load_session(request_with()) is None


def test_an_ended_session_is_none(clock: FakeClock) -> None:
    assert sessions_of(replace(STORED, ended_at=MONDAY), clock).load_session(request_with()) is None


@pytest.mark.parametrize("token", ["", "x", make_value(bytes(32))])
def test_without_its_token_nobody_is_signed_in(token: str, clock: FakeClock) -> None:
    assert sessions_of(STORED, clock).load_session(request_with(token)) is None


def test_a_recovery_session_is_none_for_applications(clock: FakeClock) -> None:
    sessions = sessions_of(replace(STORED, kind="breakglass"), clock)

    assert sessions.load_session(request_with()) is None
    assert sessions.load_breakglass(request_with()) is not None
    assert sessions.load_any(request_with()) is not None


def test_a_login_opens_no_settings(clock: FakeClock) -> None:
    assert sessions_of(STORED, clock).load_breakglass(request_with()) is None
