"""Tokens of auditors: who may make them, how they end, and what the record says of them."""

from datetime import datetime, timedelta
from typing import Unpack

import pytest

from audit.actors import ApiKeyActor, LoginActor
from audit.sentences import describe
from directory.audit_token_changes import OpenAuditSession, PutAuditToken, RevokeAuditToken
from directory.changes import Change
from provisioning.audit_token_statements import LONGEST_SESSION, MOST_LIVE_AUDIT_TOKENS
from provisioning.audit_tokens import StoredAuditToken
from provisioning.errors import RefusalCode
from storage.audit_tokens import SQLAuditTokenStore
from tests.builders import MONDAY, CommandOptions, MakeWorld, World

DAY = timedelta(days=1)
HELD = b"h" * 32


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    made = new_world()
    made.new_bodies()
    return made


def put(world: World, *, name: str = "Auditor EY", expires_at: datetime | None = None) -> PutAuditToken:
    token_id = world.new_id()
    return PutAuditToken(token_id, name, f"usher_audit_{token_id[4:8]}{token_id[-4:]}", b"s" * 32, expires_at)


def stored(world: World) -> list[StoredAuditToken]:
    with world.read() as reader:
        return reader.audit_tokens.all()


def refused(world: World, code: RefusalCode, change: Change, **options: Unpack[CommandOptions]) -> str:
    outcome = world.refuse(change, **options)
    assert outcome.code is code
    return outcome.message


def test_a_token_is_told_by_name_and_never_by_its_digest(world: World) -> None:
    made = put(world, name=" Auditor EY ", expires_at=MONDAY + DAY)

    world.do(made)

    (token,) = stored(world)
    assert (token.name, token.created_by, token.expires_at) == ("Auditor EY", "operator", MONDAY + DAY)
    assert token.is_live(MONDAY)
    assert not token.is_live(MONDAY + DAY)
    (body,) = world.new_bodies()
    assert "created the auditor token Auditor EY, good until 2026-" in describe(body)
    assert made.sha256.hex() not in str(body)


def test_what_was_said_before_changes_nothing(world: World) -> None:
    made = put(world)
    world.do(made)
    world.do(made)
    world.do(RevokeAuditToken(made.token_id))
    world.do(RevokeAuditToken(made.token_id))

    assert [body["action"] for body in world.new_bodies()] == ["token.created", "token.revoked"]
    assert not stored(world)[0].is_live(MONDAY)


def test_an_id_is_of_one_token(world: World) -> None:
    made = put(world)
    world.do(made)
    other = PutAuditToken(made.token_id, "Other", made.prefix, b"o" * 32)

    assert "another one" in refused(world, RefusalCode.INVALID, other)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb"])
def test_a_token_has_a_name_that_can_be_read(world: World, name: str) -> None:
    assert "name of 1 to 200" in refused(world, RefusalCode.INVALID, put(world, name=name))


@pytest.mark.parametrize(("prefix", "digest"), [("short", b"s" * 32), ("usher_audit_abc", b"s")])
def test_a_token_has_the_form_of_one(world: World, prefix: str, digest: bytes) -> None:
    change = PutAuditToken(world.new_id(), "EY", prefix, digest)

    assert "prefix of 8 to 24" in refused(world, RefusalCode.INVALID, change)


def test_a_token_does_not_end_before_it_begins(world: World) -> None:
    assert "ended at" in refused(world, RefusalCode.INVALID, put(world, expires_at=MONDAY))


def test_there_are_not_any_number_of_tokens(world: World) -> None:
    world.do(*(put(world) for _ in range(MOST_LIVE_AUDIT_TOKENS)))

    assert "the most there may be" in refused(world, RefusalCode.INVALID, put(world))


def test_whoever_reads_by_a_token_makes_none(world: World) -> None:
    made = put(world)
    world.do(made)

    for actor in (ApiKeyActor(made.token_id), LoginActor("l1")):
        for change in (put(world), RevokeAuditToken(made.token_id)):
            assert "administrator" in refused(world, RefusalCode.NOT_ALLOWED, change, actor=actor)


def test_a_token_of_nobody_is_not_found(world: World) -> None:
    for token_id in ("none", world.new_id()):
        for change in (RevokeAuditToken(token_id), OpenAuditSession(token_id, HELD, MONDAY + DAY)):
            assert f"no token '{token_id}'" in refused(world, RefusalCode.NOT_FOUND, change)


def test_a_page_ends_with_its_hour_its_token_or_by_hand(world: World) -> None:
    store = SQLAuditTokenStore(world.database)
    made = put(world, expires_at=MONDAY + timedelta(minutes=30))
    world.do(made, put(world, name="Other"))
    other = stored(world)[1]
    world.do(OpenAuditSession(made.token_id, HELD, MONDAY + DAY), actor=ApiKeyActor(made.token_id))
    world.do(OpenAuditSession(other.token_id, b"o" * 32, MONDAY + DAY), actor=ApiKeyActor(other.token_id))

    session, longer = store.session(HELD), store.session(b"o" * 32)
    assert session is not None
    assert session.expires_at == MONDAY + timedelta(minutes=30)
    assert session.is_live(MONDAY)
    assert longer is not None
    assert longer.expires_at == MONDAY + LONGEST_SESSION
    assert not longer.is_live(MONDAY + LONGEST_SESSION)
    assert [body["action"] for body in world.new_bodies()][-2:] == ["log.read", "log.read"]

    world.do(RevokeAuditToken(made.token_id))
    ended = store.session(HELD)
    assert ended is not None
    assert not ended.is_live(MONDAY)
    store.end_session(b"o" * 32)
    assert store.session(b"o" * 32) is None
    again = OpenAuditSession(made.token_id, HELD, MONDAY + DAY)
    assert "not good any more" in refused(world, RefusalCode.NOT_ALLOWED, again)


def test_the_last_use_is_kept_once_a_minute(world: World) -> None:
    store = SQLAuditTokenStore(world.database)
    made = put(world)
    world.do(made)

    for seconds, address in ((0, "192.0.2.1"), (30, "192.0.2.2"), (90, "192.0.2.3" * 20)):
        store.note_use(made.token_id, MONDAY + timedelta(seconds=seconds), address)
        found = store.token(made.prefix)
        assert found is not None
        expected = "192.0.2.1" if seconds < 60 else ("192.0.2.3" * 20)[:64]
        assert found.last_used_from == expected
    assert store.token("usher_audit_unknown") is None
