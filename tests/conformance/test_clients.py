"""Host applications, their codes and tokens, our signing keys, and who is still to be told of a session's end."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import delete, select

from directory.ids import ClientId
from provisioning.clients import SigningKey
from storage.client_store import SQLClientStore
from storage.engine import Database
from storage.errors import ConflictError, SealError
from storage.sso_tables import oidc_code, oidc_token
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, member_update, new_id
from tests.conformance.sso_builders import (
    DAY,
    HOUR,
    client,
    digest,
    put_sessions,
    sealed_values,
    session,
    sign_in,
)


def signing_key(key_id: str, state: str = "active", **values: object) -> SigningKey:
    row: dict[str, object] = {
        "key_id": key_id,
        "algorithm": "RS256",
        "public_jwk": '{"kty":"RSA"}',
        "private_jwk": '{"d":"PRIVATE"}',
        "state": state,
        "created_at": NOW,
        **values,
    }
    return SigningKey(**row)  # type: ignore[arg-type]  # the dataclass's own fields


# Registrations


def test_a_client_is_kept_changed_and_removed(database: Database) -> None:
    store = SQLClientStore(database)
    kept = client()
    public = replace(kept, name="New", secret_sha256=None, redirect_uris=(), backchannel_logout_uri="")

    store.put_client(kept)
    assert store.client(kept.client_id) == kept
    store.put_client(public)
    assert store.client(kept.client_id) == public
    store.put_client(replace(public, removed_at=NOW))

    assert store.client(kept.client_id) is None
    for text in ("", "unknown", "nul\x00", "half \ud800 of a pair"):
        assert store.client(text) is None


def test_clients_come_by_name(fresh_database: Database) -> None:
    store = SQLClientStore(fresh_database)
    zeta, alpha, gone = client("Zeta"), client("Alpha"), client("Gone", removed_at=NOW)
    for one in (zeta, alpha, gone):
        store.put_client(one)

    assert store.clients() == [alpha, zeta]


# Codes


def test_a_code_is_good_once(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code = ada.code()
    ada.store.insert_code(code)

    assert ada.store.take_code(code.code_sha256, NOW) == code
    assert ada.store.take_code(code.code_sha256, NOW) is None
    assert ada.store.take_code(digest("another"), NOW) is None


def test_an_expired_code_is_none_and_revokes_nothing(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code = ada.code()
    ada.store.insert_code(code)

    assert ada.store.take_code(code.code_sha256, code.expires_at) is None

    assert ada.store.take_code(code.code_sha256, NOW) == code
    assert ada.store.insert_tokens(ada.tokens(code))


def test_a_code_presented_twice_revokes_what_it_gave_and_gives_no_more(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code, tokens = ada.exchanged()
    _, others = ada.exchanged()

    assert ada.store.take_code(code.code_sha256, NOW + DAY) is None

    assert ada.store.tokens_by_access(tokens.access_sha256, NOW) is None
    assert ada.store.take_refresh(tokens.refresh_sha256 or b"", NOW) is None
    assert not ada.store.insert_tokens(ada.tokens(code))
    assert ada.store.tokens_by_access(others.access_sha256, NOW) == others


def test_of_those_who_present_a_code_at_once_one_has_it_and_nobody_has_tokens(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code = ada.code()
    ada.store.insert_code(code)
    together = Barrier(4)

    def exchange(_: int) -> tuple[bool, bytes]:
        together.wait(30)
        taken = SQLClientStore(tenant.database).take_code(code.code_sha256, NOW)
        tokens = ada.tokens(code)
        if taken is not None:
            ada.store.insert_tokens(tokens)
        return taken is not None, tokens.access_sha256

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(exchange, range(4)))

    assert [taken for taken, _ in answers].count(True) == 1
    assert all(ada.store.tokens_by_access(access, NOW) is None for _, access in answers)


# Tokens


def test_tokens_are_kept_whole_until_they_expire(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code, tokens = ada.exchanged()
    without_refresh = [ada.tokens(code, refresh_sha256=None) for _ in range(2)]
    for one in without_refresh:
        assert ada.store.insert_tokens(one)

    for one in (tokens, *without_refresh):
        assert ada.store.tokens_by_access(one.access_sha256, NOW) == one
        assert ada.store.tokens_by_access(one.access_sha256, one.access_expires_at) is None
    assert ada.store.tokens_by_access(tokens.refresh_sha256 or b"", NOW) is None


def test_a_code_that_was_not_taken_or_is_another_s_gives_no_tokens(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    untaken, (code, _) = ada.code(), ada.exchanged()
    ada.store.insert_code(untaken)
    stranger = sign_in(tenant, ada.client)

    assert not ada.store.insert_tokens(ada.tokens(untaken))
    assert not ada.store.insert_tokens(ada.tokens(code, client_id=ClientId("another")))
    assert not ada.store.insert_tokens(ada.tokens(code, session_id=stranger.session.session_id))
    assert not ada.store.insert_tokens(ada.tokens(ada.code()))


def test_a_session_that_has_ended_or_expired_gives_no_tokens(tenant: Tenant) -> None:
    ada, bob = sign_in(tenant), sign_in(tenant)
    code, _ = ada.exchanged()
    his, _ = bob.exchanged()
    with tenant.unit_of_work.write() as writer:
        writer.sso.end_sessions(NOW, "logout", session_ids=[ada.session.session_id])

    assert not ada.store.insert_tokens(ada.tokens(code))
    assert not bob.store.insert_tokens(bob.tokens(his, created_at=bob.session.expires_at))


def test_tokens_that_are_given_while_the_session_ends_end_with_it(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    codes = [ada.code() for _ in range(6)]
    for code in codes:
        ada.store.insert_code(code)
        ada.store.take_code(code.code_sha256, NOW)
    given = [ada.tokens(code) for code in codes]
    together = Barrier(len(given) + 1)

    def give(number: int) -> bool:
        together.wait(30)
        return ada.store.insert_tokens(given[number])

    def end() -> None:
        together.wait(30)
        with tenant.unit_of_work.write() as writer:
            writer.sso.end_sessions(NOW, "logout", session_ids=[ada.session.session_id])

    with ThreadPoolExecutor(len(given) + 1) as pool:
        waiting = [pool.submit(give, number) for number in range(len(given))]
        pool.submit(end).result()
        stored = [one.result() for one in waiting]

    with tenant.database.read() as opened:
        rows = opened.execute(
            select(oidc_token.c.revoked_at).where(oidc_token.c.session_id == ada.session.session_id)
        ).all()
    assert len(rows) == stored.count(True)
    assert all(revoked_at is not None for (revoked_at,) in rows)


def test_tokens_are_live_while_session_member_and_client_are(tenant: Tenant) -> None:
    ada, bob, cid = sign_in(tenant), sign_in(tenant), sign_in(tenant)
    lasting = NOW + 30 * DAY
    given = []
    for one in (ada, bob, cid):
        code = one.code()
        one.store.insert_code(code)
        one.store.take_code(code.code_sha256, NOW)
        tokens = one.tokens(code, access_expires_at=lasting, expires_at=lasting)
        assert one.store.insert_tokens(tokens)
        assert one.store.tokens_by_access(tokens.access_sha256, NOW) == tokens
        given.append(tokens)

    tenant.update(member_update(bob.session.member_id, is_active=False, deactivated_at=NOW))
    cid.store.put_client(replace(cid.client, removed_at=NOW))

    for tokens, at in zip(given, (ada.session.expires_at, NOW, NOW), strict=True):
        assert ada.store.tokens_by_access(tokens.access_sha256, at) is None
        assert ada.store.take_refresh(tokens.refresh_sha256 or b"", at) is None


def test_tokens_of_another_organisation_s_session_or_member_open_nothing(
    tenant: Tenant, other: Tenant
) -> None:
    ada, eve = sign_in(tenant), sign_in(other)
    stray_member = session(tenant, member_id=eve.session.member_id)
    put_sessions(tenant, stray_member)
    mixed = replace(ada, session=stray_member)
    _, of_member = mixed.exchanged()
    code = ada.code(organisation_id=other.organisation_id)
    ada.store.insert_code(code)
    ada.store.take_code(code.code_sha256, NOW)
    of_session = ada.tokens(code)
    ada.store.insert_tokens(of_session)

    for tokens in (of_member, of_session):
        assert ada.store.tokens_by_access(tokens.access_sha256, NOW) is None


def test_a_refresh_token_is_good_once_and_used_twice_ends_the_family(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code, first = ada.exchanged()
    _, others = ada.exchanged()
    assert ada.store.take_refresh(first.refresh_sha256 or b"", NOW + MINUTE) == first
    second = ada.tokens(code, created_at=NOW + MINUTE)
    assert ada.store.insert_tokens(second)
    assert ada.store.tokens_by_access(first.access_sha256, NOW) == first

    assert ada.store.take_refresh(first.refresh_sha256 or b"", NOW + MINUTE) is None

    assert ada.store.take_refresh(second.refresh_sha256 or b"", NOW + MINUTE) is None
    assert ada.store.tokens_by_access(second.access_sha256, NOW) is None
    assert not ada.store.insert_tokens(ada.tokens(code))
    assert ada.store.tokens_by_access(others.access_sha256, NOW) == others


def test_an_unknown_or_expired_refresh_token_is_none(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    _, tokens = ada.exchanged()

    assert ada.store.take_refresh(digest("another"), NOW) is None
    assert ada.store.take_refresh(tokens.access_sha256, NOW) is None
    assert ada.store.take_refresh(tokens.refresh_sha256 or b"", tokens.expires_at) is None

    assert ada.store.take_refresh(tokens.refresh_sha256 or b"", NOW) == tokens


@pytest.mark.parametrize("by", ["access_sha256", "refresh_sha256"])
def test_tokens_are_revoked_by_either_and_by_their_own_client(tenant: Tenant, by: str) -> None:
    ada = sign_in(tenant)
    _, tokens = ada.exchanged()
    named = getattr(tokens, by)

    assert not ada.store.revoke_tokens(named, ClientId("another"), NOW)
    assert not ada.store.revoke_tokens(digest("another"), ada.client.client_id, NOW)
    assert ada.store.tokens_by_access(tokens.access_sha256, NOW) == tokens
    assert ada.store.revoke_tokens(named, ada.client.client_id, NOW)

    assert ada.store.tokens_by_access(tokens.access_sha256, NOW) is None
    assert ada.store.take_refresh(tokens.refresh_sha256 or b"", NOW) is None


def test_tokens_whose_code_is_gone_are_revoked_all_the_same(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code, tokens = ada.exchanged()
    with tenant.database.write() as opened:
        opened.execute(delete(oidc_code).where(oidc_code.c.code_sha256 == code.code_sha256))

    assert ada.store.revoke_tokens(tokens.access_sha256, ada.client.client_id, NOW)

    assert ada.store.tokens_by_access(tokens.access_sha256, NOW) is None


# Keys


def test_published_keys_come_with_the_active_one_first(fresh_database: Database) -> None:
    store = SQLClientStore(fresh_database)
    old = signing_key("old", "retired", gone_at=NOW + HOUR)
    active = signing_key("active", created_at=NOW + MINUTE)
    coming = signing_key("coming", "next")
    for one in (old, coming, active):
        store.put_signing_key(one)

    assert store.signing_keys(NOW) == [active, coming, old]
    assert store.signing_keys(NOW + HOUR) == [active, coming]
    store.put_signing_key(replace(coming, state="active"))
    store.put_signing_key(replace(active, state="retired", gone_at=NOW + DAY, private_jwk="ignored"))

    assert [(key.key_id, key.state) for key in store.signing_keys(NOW + HOUR)] == [
        ("coming", "active"),
        ("active", "retired"),
    ]


def test_a_private_signing_key_is_sealed_and_opens_only_where_it_stands(fresh_database: Database) -> None:
    store = SQLClientStore(fresh_database)
    store.put_signing_key(signing_key("a"))
    (stored,) = sealed_values(fresh_database, "signing_key", "private_jwk")
    assert b"PRIVATE" not in stored

    with fresh_database.write() as opened:
        opened.exec_driver_sql("UPDATE signing_key SET id = 'b'")

    with pytest.raises(SealError):
        store.signing_keys(NOW)


# Notices


def test_a_notice_is_delivered_postponed_or_given_up(fresh_database: Database) -> None:
    store = SQLClientStore(fresh_database)
    tenant = make_tenant(fresh_database)
    for number in range(3):
        ada = sign_in(tenant)
        ada.exchanged()
        with tenant.unit_of_work.write() as writer:
            ended = [ada.session.session_id]
            writer.sso.end_sessions(NOW + timedelta(seconds=number), "logout", session_ids=ended)
    later = NOW + HOUR
    first, second, third = store.notices_due(later, 9)
    assert store.notices_due(NOW, 9) == [first]
    assert store.notices_due(later, 2) == [first, second]

    store.settle_notice(first.notice_id, delivered=True, due_at=None)
    store.settle_notice(second.notice_id, delivered=False, due_at=later)
    store.settle_notice(third.notice_id, delivered=False, due_at=None)
    store.settle_notice(9999, delivered=True, due_at=None)

    assert store.notices_due(later - MINUTE, 9) == []
    assert store.notices_due(later, 9) == [replace(second, attempts=1, due_at=later)]


def test_a_code_is_inserted_once(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    code = ada.code(new_id())
    ada.store.insert_code(code)

    with pytest.raises(ConflictError):
        ada.store.insert_code(code)
