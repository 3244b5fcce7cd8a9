"""Domains, links, sessions and recovery codes of one organisation, and what ends with a session."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from directory.ids import ConnectionId, MemberId, SessionId
from provisioning.logins import StoredDomain
from storage.client_store import SQLClientStore
from storage.engine import Database
from storage.errors import ConflictError
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, new_id
from tests.conformance.sso_builders import (
    DAY,
    HOUR,
    claim,
    client,
    digest,
    link,
    put_sessions,
    recovery_code,
    session,
    sign_in,
)

# Domains


def put(tenant: Tenant, *claims: StoredDomain) -> list[bool]:
    with tenant.unit_of_work.write() as writer:
        return [writer.sso.put_domain_claim(one) for one in claims]


def test_a_domain_is_claimed_verified_and_released(tenant: Tenant) -> None:
    pending, other = claim(f"b{new_id()}.example"), claim(f"a{new_id()}.example")
    missing = replace(
        pending, state="missing", verified_at=NOW, checked_at=NOW + MINUTE, missing_since=NOW + MINUTE
    )

    assert put(tenant, pending, other) == [True, True]
    with tenant.unit_of_work.read() as reader:
        assert reader.sso.domain_claims() == [other, pending]
    assert put(tenant, missing) == [True]

    with tenant.unit_of_work.write() as writer:
        assert writer.sso.domain_claims() == [other, missing]
        writer.sso.delete_domain(other.domain)
        assert writer.sso.domain_claims() == [missing]


def test_verified_domains_and_those_whose_proof_is_missing_count(tenant: Tenant) -> None:
    claims = {state: claim(state=state) for state in ("pending", "verified", "missing", "suspended")}

    put(tenant, *claims.values())

    with tenant.unit_of_work.read() as reader:
        counted = {claims["verified"].domain, claims["missing"].domain}
        assert reader.domains() == reader.model_inputs().domains == counted


@pytest.mark.parametrize("state", ["verified", "missing", "suspended"])
def test_a_domain_that_is_another_organisation_s_is_not_taken(
    tenant: Tenant, other: Tenant, state: str
) -> None:
    theirs = claim(state=state)
    mine = replace(theirs, state="pending", verified_at=None)
    assert put(other, theirs) == [True]

    assert put(tenant, mine) == [True]
    assert put(tenant, replace(mine, state="verified", verified_at=NOW), claim()) == [False, True]

    with tenant.unit_of_work.write() as writer:
        assert mine in writer.sso.domain_claims()
        writer.sso.delete_domain(theirs.domain)
    with other.unit_of_work.read() as reader:
        assert reader.sso.domain_claims() == [theirs]


def test_a_domain_that_was_released_may_be_verified_by_another(tenant: Tenant, other: Tenant) -> None:
    theirs = claim(state="verified")
    put(other, theirs)
    with other.unit_of_work.write() as writer:
        writer.sso.delete_domain(theirs.domain)

    assert put(tenant, theirs) == [True]


def test_what_the_operator_vouches_for_is_verified_without_a_challenge(tenant: Tenant, other: Tenant) -> None:
    known = claim(state="suspended", missing_since=NOW, checked_at=NOW)
    put(tenant, known)

    with tenant.unit_of_work.write() as writer:
        writer.put_domain(known.domain, NOW + MINUTE)

        assert writer.sso.domain_claims() == [
            replace(
                known,
                state="verified",
                challenge="",
                verified_at=NOW + MINUTE,
                checked_at=None,
                missing_since=None,
            )
        ]
    with pytest.raises(ConflictError), other.unit_of_work.write() as writer:
        writer.put_domain(known.domain, NOW)


def test_of_two_organisations_that_verify_a_domain_at_once_one_has_it(database: Database) -> None:
    tenants = [make_tenant(database) for _ in range(4)]
    theirs = claim(state="verified")
    together = Barrier(len(tenants))

    def verify(tenant: Tenant) -> bool:
        together.wait(30)
        return put(tenant, theirs) == [True]

    with ThreadPoolExecutor(len(tenants)) as pool:
        taken = list(pool.map(verify, tenants))

    assert taken.count(True) == 1


# Links


def test_a_link_is_found_by_its_key_exactly(tenant: Tenant) -> None:
    connection_id = ConnectionId(new_id())
    keys = ("Ada@idp", "ada@idp", "ada@idp\u200b", "ad\u0061\u0301", "ad\u00e1", "x" * 20_000)
    links = {key: link(connection_id, key) for key in keys}

    with tenant.unit_of_work.write() as writer:
        for one in links.values():
            writer.sso.put_link(one)

        assert {key: writer.sso.link(connection_id, key) for key in keys} == links
        assert writer.sso.link(connection_id, "ADA@IDP") is None
        assert writer.sso.link(ConnectionId(new_id()), "ada@idp") is None


def test_a_key_is_linked_anew_in_place(tenant: Tenant) -> None:
    first = link(ConnectionId(new_id()))
    second = replace(first, member_id=MemberId(new_id()), linked_by="relink", linked_at=NOW + MINUTE)

    with tenant.unit_of_work.write() as writer:
        writer.sso.put_link(first)
        writer.sso.put_link(second)

        assert writer.sso.link(first.connection_id, first.key) == second
        assert writer.sso.links_of([first.member_id]) == []


def test_links_come_by_member_and_connection_and_are_deleted_so(tenant: Tenant) -> None:
    connections = sorted(ConnectionId(new_id()) for _ in range(2))
    members = sorted(MemberId(new_id()) for _ in range(2))
    links = [link(one, f"k{who}", member_id=who) for who in members for one in connections]

    with tenant.unit_of_work.write() as writer:
        for one in reversed(links):
            writer.sso.put_link(one)
        assert writer.sso.links_of(members) == links
        assert writer.sso.links_of([]) == []

        assert writer.sso.delete_links_of(connections[0], members[0]) == 1
        assert writer.sso.delete_links_of(connections[0], members[0]) == 0

        assert writer.sso.links_of(members) == links[1:]


def test_another_organisation_reaches_no_link(tenant: Tenant, other: Tenant) -> None:
    kept = link(ConnectionId(new_id()))
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_link(kept)

    with other.unit_of_work.write() as writer:
        assert writer.sso.link(kept.connection_id, kept.key) is None
        assert writer.sso.links_of([kept.member_id]) == []
        assert writer.sso.delete_links_of(kept.connection_id, kept.member_id) == 0
    with pytest.raises(ConflictError), other.unit_of_work.write() as writer:
        writer.sso.put_link(replace(kept, member_id=MemberId(new_id())))

    with tenant.unit_of_work.read() as reader:
        assert reader.sso.link(kept.connection_id, kept.key) == kept


# Sessions


def test_a_session_is_kept_whole(tenant: Tenant) -> None:
    kept = session(tenant)
    bare = session(
        tenant, connection_id=None, kind="breakglass", name_id="", session_index="", address="", user_agent=""
    )

    put_sessions(tenant, kept, bare)

    with tenant.unit_of_work.read() as reader:
        assert reader.sso.session(kept.session_id) == kept
        assert reader.sso.session(bare.session_id) == bare
        assert reader.sso.session(SessionId(new_id())) is None
        assert reader.sso.session(SessionId("mine")) is None


def test_what_a_browser_says_of_itself_is_cut(tenant: Tenant) -> None:
    long = session(tenant, address="9" * 500, user_agent="x" * 5000)

    put_sessions(tenant, long)

    with tenant.unit_of_work.read() as reader:
        found = reader.sso.session(long.session_id)
    assert found == replace(long, address="9" * 64, user_agent="x" * 400)


def test_live_sessions_come_newest_first(tenant: Tenant) -> None:
    ada = MemberId(new_id())
    old = session(tenant, member_id=ada)
    new = session(tenant, member_id=ada, created_at=NOW + MINUTE)
    expired = session(tenant, member_id=ada, expires_at=NOW + MINUTE)
    bob_s = session(tenant, created_at=NOW + 2 * MINUTE)
    put_sessions(tenant, old, new, expired, bob_s)

    with tenant.unit_of_work.read() as reader:
        now = NOW + 5 * MINUTE
        assert reader.sso.sessions(ada, now, 9) == [new, old]
        assert reader.sso.sessions(ada, now, 1) == [new]
        assert reader.sso.sessions(None, now, 9) == [bob_s, new, old]
        assert reader.sso.sessions(None, now, 2) == [bob_s, new]
        assert reader.sso.sessions(MemberId(new_id()), now, 9) == []


def test_a_logout_request_finds_the_sessions_of_its_subject(tenant: Tenant) -> None:
    idp = ConnectionId(new_id())
    first = session(tenant, connection_id=idp, created_at=NOW + MINUTE)
    second = session(tenant, connection_id=idp, session_index="_s2")
    put_sessions(
        tenant,
        first,
        second,
        session(tenant),
        session(tenant, connection_id=idp, name_id="<NameID>bob</NameID>"),
        session(tenant, connection_id=idp, name_id=""),
        session(tenant, connection_id=idp, expires_at=NOW),
    )

    with tenant.unit_of_work.read() as reader:
        find = reader.sso.sessions_of_subject
        assert find(idp, first.name_id, "", NOW) == [first, second]
        assert find(idp, first.name_id, "_s2", NOW) == [second]
        assert find(idp, first.name_id, "_s3", NOW) == []
        assert find(idp, "", "", NOW) == []
        assert find(ConnectionId(new_id()), first.name_id, "", NOW) == []


def test_sessions_end_by_id_by_member_and_by_connection(tenant: Tenant) -> None:
    idp, ada, bob = ConnectionId(new_id()), MemberId(new_id()), MemberId(new_id())
    by_id, both = session(tenant, member_id=ada), session(tenant, member_id=bob, connection_id=idp)
    of_ada, over_idp = session(tenant, member_id=ada), session(tenant, connection_id=idp)
    expired, stays = session(tenant, member_id=ada, expires_at=NOW + MINUTE), session(tenant)
    put_sessions(tenant, by_id, both, of_ada, over_idp, expired, stays)
    now = NOW + 2 * MINUTE

    with tenant.unit_of_work.write() as writer:
        end = writer.sso.end_sessions
        assert end(now, "logout") == {}
        assert end(now, "logout", session_ids=[by_id.session_id, SessionId("no id")]) == {ada: 1}
        assert end(now, "logout", session_ids=[by_id.session_id]) == {}
        assert end(now, "revoked", member_ids=[ada, bob], connection_id=idp) == {
            ada: 1,
            bob: 1,
            over_idp.member_id: 1,
        }
        assert writer.sso.session(by_id.session_id) == replace(by_id, ended_at=now, end_reason="logout")
        assert writer.sso.session(both.session_id) == replace(both, ended_at=now, end_reason="revoked")
        assert writer.sso.session(expired.session_id) == expired
        assert writer.sso.sessions(None, now, 9) == [stays]
        assert writer.sso.sessions_of_subject(idp, both.name_id, "", now) == []


def test_several_sessions_of_a_member_are_counted(tenant: Tenant) -> None:
    ada = MemberId(new_id())
    put_sessions(tenant, *(session(tenant, member_id=ada) for _ in range(3)))

    with tenant.unit_of_work.write() as writer:
        assert writer.sso.end_sessions(NOW, "revoked", member_ids=[ada]) == {ada: 3}


def test_another_organisation_reaches_no_session(tenant: Tenant, other: Tenant) -> None:
    kept = session(tenant)
    put_sessions(tenant, kept)
    assert kept.connection_id is not None

    with other.unit_of_work.write() as writer:
        assert writer.sso.session(kept.session_id) is None
        assert writer.sso.sessions(kept.member_id, NOW, 9) == []
        assert writer.sso.sessions(None, NOW, 9) == []
        assert writer.sso.sessions_of_subject(kept.connection_id, kept.name_id, "", NOW) == []
        ended = writer.sso.end_sessions(
            NOW,
            "revoked",
            session_ids=[kept.session_id],
            member_ids=[kept.member_id],
            connection_id=kept.connection_id,
        )
    assert ended == {}

    with tenant.unit_of_work.read() as reader:
        assert reader.sso.session(kept.session_id) == kept


# What a session was handed on by


def test_tokens_end_with_the_session_in_its_transaction(tenant: Tenant) -> None:
    ada, bob = sign_in(tenant), sign_in(tenant)
    _, tokens = ada.exchanged()
    _, others = bob.exchanged()
    assert ada.store.tokens_by_access(tokens.access_sha256, NOW) == tokens

    with tenant.unit_of_work.write() as writer:
        writer.sso.end_sessions(NOW + MINUTE, "logout", session_ids=[ada.session.session_id])

    assert ada.store.tokens_by_access(tokens.access_sha256, NOW) is None
    assert ada.store.take_refresh(tokens.refresh_sha256 or b"", NOW) is None
    assert bob.store.tokens_by_access(others.access_sha256, NOW) == others


def test_an_end_that_is_rolled_back_ends_nothing(tenant: Tenant) -> None:
    ada = sign_in(tenant)
    _, tokens = ada.exchanged()

    def end_in_vain() -> None:
        with tenant.unit_of_work.write() as writer:
            writer.sso.end_sessions(NOW, "logout", session_ids=[ada.session.session_id])
            raise InterruptedError

    with pytest.raises(InterruptedError):
        end_in_vain()

    assert ada.store.tokens_by_access(tokens.access_sha256, NOW) == tokens


def test_each_application_that_knows_the_session_is_told_once(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLClientStore(fresh_database)
    silent, gone, unused = (
        client("silent", backchannel_logout_uri=""),
        client("gone"),
        client("unused"),
    )
    for one in (silent, gone, unused):
        store.put_client(one)
    ada = sign_in(tenant)
    ada.exchanged()
    ada.exchanged()
    for one in (silent, gone):
        replace(ada, client=one).exchanged()
    store.insert_code(replace(ada, client=unused).code())
    sign_in(tenant, ada.client).exchanged()
    store.put_client(replace(gone, removed_at=NOW))

    with tenant.unit_of_work.write() as writer:
        writer.sso.end_sessions(NOW + MINUTE, "revoked", member_ids=[ada.session.member_id])

    assert store.notices_due(NOW, 9) == []
    (notice,) = store.notices_due(NOW + MINUTE, 9)
    assert (notice.client_id, notice.backchannel_logout_uri) == (
        ada.client.client_id,
        ada.client.backchannel_logout_uri,
    )
    assert (notice.organisation_id, notice.member_id, notice.session_id) == (
        tenant.organisation_id,
        ada.session.member_id,
        ada.session.session_id,
    )
    assert (notice.attempts, notice.due_at) == (0, NOW + MINUTE)


# Recovery codes


def test_recovery_codes_are_replaced_and_good_once(tenant: Tenant, other: Tenant) -> None:
    ada, bob = sorted(MemberId(new_id()) for _ in range(2))
    older, code, his = recovery_code(ada, "older"), recovery_code(ada, "a"), recovery_code(bob, "b")
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_recovery_codes(ada, [older])
        writer.sso.put_recovery_codes(ada, [code])
        writer.sso.put_recovery_codes(bob, [his])
        assert writer.sso.recovery_codes() == [code, his]
        assert writer.sso.use_recovery_code(older.digest, NOW) is None
    with other.unit_of_work.write() as writer:
        assert writer.sso.recovery_codes() == []
        assert writer.sso.use_recovery_code(code.digest, NOW) is None
        writer.sso.put_recovery_codes(ada, [])
        writer.sso.put_recovery_codes(ada, [code])

    with tenant.unit_of_work.write() as writer:
        assert writer.sso.use_recovery_code(digest("a"), NOW + HOUR) == ada
        assert writer.sso.use_recovery_code(digest("a"), NOW + DAY) is None
        assert writer.sso.recovery_codes() == [replace(code, used_at=NOW + HOUR), his]
        writer.sso.put_recovery_codes(bob, ())
        assert writer.sso.recovery_codes() == [replace(code, used_at=NOW + HOUR)]
