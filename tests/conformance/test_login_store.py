"""Logins across organisations: whose a path, a domain or a cookie is, and what is good once, and for how long."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from directory.ids import ConnectionId, MemberId, OrganisationId
from provisioning.logins import Enforcement, Home, LoginRequest, StoredDomain
from storage.engine import Database, open_database
from storage.errors import SealError
from storage.login_store import KEEP_REQUESTS, KEEP_SESSIONS, SQLLoginStore
from storage.secrets import KeyRing
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, new_id
from tests.conformance.sso_builders import (
    DAY,
    HOUR,
    claim,
    connection,
    digest,
    login_test,
    put_sessions,
    recovery_code,
    request,
    sealed_values,
    session,
    sign_in,
)

STRANGE = ("", "no id", "nul\x00", "half \ud800 of a pair", "x" * 10_000)


@pytest.fixture
def logins(database: Database) -> SQLLoginStore:
    return SQLLoginStore(database)


# Whose it is


def test_a_path_names_the_organisation_of_its_connection(logins: SQLLoginStore, tenant: Tenant) -> None:
    kept = connection(tenant)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(kept, NOW)

    with logins.read() as view:
        assert view.organisation_of_connection(kept.connection_id) == tenant.organisation_id
        assert view.organisation_of_connection(new_id()) is None
        for text in STRANGE:
            assert view.organisation_of_connection(text) is None


def test_a_verified_domain_leads_home(logins: SQLLoginStore, tenant: Tenant) -> None:
    zeta, alpha = connection(tenant, "Zeta"), connection(tenant, "Alpha")
    off, gone = connection(tenant, "Off", settings={"disabled": True}), connection(tenant, "Gone")
    held = claim(state="verified")
    enforced = Enforcement(alpha.connection_id, "admin:ada", NOW)
    connections = ((alpha.connection_id, "Alpha"), (zeta.connection_id, "Zeta"))
    home = Home(tenant.organisation_id, tenant.state.name, connections, is_enforced=False)
    with tenant.unit_of_work.write() as writer:
        for one in (zeta, alpha, off, gone):
            writer.sso.put_connection(one, NOW)
        writer.sso.remove_connection(gone.connection_id, NOW)
        assert writer.sso.put_domain_claim(held)

    def found() -> Home | None:
        with logins.read() as view:
            return view.home(held.domain.upper())

    assert found() == home
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_enforcement(enforced)
        writer.sso.put_domain_claim(replace(held, state="missing", missing_since=NOW))
    assert found() == replace(home, connections=connections[:1], is_enforced=True)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_enforcement(replace(enforced, suspended_at=NOW, suspended_reason="domain_missing"))
    assert found() == home


@pytest.mark.parametrize("state", ["pending", "suspended"])
def test_a_domain_that_nobody_has_verified_leads_nowhere(
    logins: SQLLoginStore, tenant: Tenant, state: str
) -> None:
    held = claim(state=state)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_domain_claim(held)

    with logins.read() as view:
        for domain in (held.domain, *STRANGE):
            assert view.home(domain) is None


def test_a_session_is_found_by_its_token_ended_or_not(logins: SQLLoginStore, tenant: Tenant) -> None:
    kept = session(tenant)
    put_sessions(tenant, kept)
    ended = replace(kept, ended_at=NOW, end_reason="logout")

    with logins.read() as view:
        assert view.session(digest(kept.session_id)) == kept
        assert view.session(digest("another")) is None
    with tenant.unit_of_work.write() as writer:
        writer.sso.end_sessions(NOW, "logout", session_ids=[kept.session_id])

    with logins.read() as view:
        assert view.session(digest(kept.session_id)) == ended


# Once


def use(store: SQLLoginStore, known: LoginRequest, assertion_id: str = "", **changed: object) -> str:
    values: dict[str, object] = {
        "organisation_id": known.organisation_id,
        "connection_id": known.connection_id,
        "request_id": known.request_id,
        "browser_sha256": known.browser_sha256,
        "assertion_id": assertion_id or new_id(),
        "keep_until": NOW + HOUR,
        "now": NOW + MINUTE,
        **changed,
    }
    return store.use_request(**values)  # type: ignore[arg-type]  # the method's own arguments


def test_a_recovery_code_says_whose_it_is_used_or_not(logins: SQLLoginStore, tenant: Tenant) -> None:
    ada = MemberId(new_id())
    code = recovery_code(ada, f"code-{ada}")
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_recovery_codes(ada, [code])
        writer.sso.use_recovery_code(code.digest, NOW)

    with logins.read() as view:
        assert view.organisation_of_recovery_code(code.digest) == tenant.organisation_id
        assert view.organisation_of_recovery_code(digest("none")) is None


def test_a_request_is_kept_whole_and_used_once(logins: SQLLoginStore, tenant: Tenant) -> None:
    kept = request(tenant, force_authn=True, test_id="t", test_actor="admin:ada")

    logins.insert_request(kept)

    assert logins.request(kept.request_id) == kept
    assert use(logins, kept) == ""
    assert use(logins, kept) == "replayed"
    assert logins.request(kept.request_id) == kept
    for text in STRANGE:
        assert logins.request(text) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"request_id": "_unknown"}, "in_response_to_mismatch"),
        ({"request_id": "nul\x00"}, "in_response_to_mismatch"),
        ({"connection_id": ConnectionId(new_id())}, "in_response_to_mismatch"),
        ({"organisation_id": new_id()}, "in_response_to_mismatch"),
        ({"browser_sha256": digest("another")}, "browser_mismatch"),
        ({"browser_sha256": None}, "browser_mismatch"),
        ({"now": NOW + HOUR}, "expired"),
    ],
)
def test_a_request_that_does_not_fit_stays_open_and_so_does_the_assertion(
    logins: SQLLoginStore, tenant: Tenant, changed: dict[str, object], reason: str
) -> None:
    kept = request(tenant)
    logins.insert_request(kept)

    assert use(logins, kept, "_a", **changed) == reason

    assert use(logins, kept, "_a") == ""


def test_an_assertion_is_good_once_and_its_request_stays_open(logins: SQLLoginStore, tenant: Tenant) -> None:
    idp = ConnectionId(new_id())
    first, second = request(tenant, connection_id=idp), request(tenant, connection_id=idp)
    for one in (first, second):
        logins.insert_request(one)
    assert use(logins, first, "_a") == ""

    assert use(logins, second, "_a") == "replayed"

    assert use(logins, second, "_b") == ""


def test_a_login_that_the_provider_began_is_good_once(logins: SQLLoginStore, tenant: Tenant) -> None:
    unasked = request(tenant, request_id="_none")
    begun: dict[str, object] = {"request_id": None, "browser_sha256": None}

    assert use(logins, unasked, "_a", **begun) == ""
    assert use(logins, unasked, "_a", **begun) == "replayed"
    assert use(logins, unasked, "_a" * 5000, **begun) == ""
    assert use(logins, request(tenant), "_a", **begun) == ""


def at_once(
    database: Database, key_ring: KeyRing, attempts: list[Callable[[SQLLoginStore], str]]
) -> list[str]:
    """What each attempt gets, every one of a database handle of its own, as processes have."""
    together = Barrier(len(attempts))
    url = database.engine.url.render_as_string(hide_password=False).replace("+psycopg", "")

    def run(attempt: Callable[[SQLLoginStore], str]) -> str:
        own = open_database(url, key_ring=key_ring)
        try:
            together.wait(30)
            return attempt(SQLLoginStore(own))
        finally:
            own.close()

    with ThreadPoolExecutor(len(attempts)) as pool:
        return list(pool.map(run, attempts))


def test_of_processes_that_use_a_request_at_once_one_succeeds(
    database: Database, key_ring: KeyRing, tenant: Tenant
) -> None:
    kept = request(tenant)
    SQLLoginStore(database).insert_request(kept)

    answers = at_once(database, key_ring, [lambda store: use(store, kept)] * 4)

    assert sorted(answers) == ["", "replayed", "replayed", "replayed"]


def test_of_processes_that_use_an_assertion_at_once_one_succeeds(
    database: Database, key_ring: KeyRing, tenant: Tenant
) -> None:
    idp = ConnectionId(new_id())
    requests = [request(tenant, connection_id=idp) for _ in range(3)]
    for one in requests:
        SQLLoginStore(database).insert_request(one)
    attempts: list[Callable[[SQLLoginStore], str]] = [
        lambda store, one=one: use(store, one, "_a")  # type: ignore[misc]  # mypy cannot infer the default's type
        for one in requests
    ]

    answers = at_once(database, key_ring, attempts)

    assert sorted(answers) == ["", "replayed", "replayed"]


# Use, tests, and what is past


def test_a_use_is_noted_at_most_once_a_minute(logins: SQLLoginStore, tenant: Tenant) -> None:
    kept = session(tenant)
    put_sessions(tenant, kept)
    noted = []

    for moment in (NOW + 59 * MINUTE / 60, NOW + MINUTE, NOW + 1.5 * MINUTE, NOW + 3 * MINUTE, NOW):
        logins.touch_session(kept.session_id, moment)
        with logins.read() as view:
            found = view.session(digest(kept.session_id))
        assert found is not None
        noted.append((found.last_used_at - NOW) / MINUTE)

    assert noted == [0, 1, 1, 3, 3]
    logins.touch_session(session(tenant).session_id, NOW)


def test_the_result_of_a_test_login_is_sealed(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    begun, second = login_test(tenant), login_test(tenant)
    done = replace(begun, result=b"<Response/>", expires_at=NOW + MINUTE)
    for one in (begun, second):
        store.put_login_test(one)
    assert store.login_test(begun.test_id) == begun

    store.put_login_test(replace(done, actor="admin:bob"))

    assert store.login_test(begun.test_id) == done
    (stored,) = sealed_values(fresh_database, "login_test", "result")
    assert b"Response" not in stored
    for text in (*STRANGE, new_id()):
        assert store.login_test(text) is None
    with fresh_database.write() as opened:
        opened.exec_driver_sql(
            "UPDATE login_test SET result = (SELECT result FROM login_test WHERE result IS NOT NULL)"
        )
    with pytest.raises(SealError):
        store.login_test(second.test_id)


def test_what_is_past_is_deleted(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    short, long = request(tenant, expires_at=NOW), request(tenant, expires_at=NOW + DAY)
    for one in (short, long):
        store.insert_request(one)
    assert use(store, long, "_a", keep_until=NOW) == ""
    assert use(store, long, "_b", keep_until=NOW + DAY, request_id=None) == ""
    over, running = login_test(tenant, expires_at=NOW), login_test(tenant, expires_at=NOW + DAY)
    for each in (over, running):
        store.put_login_test(each)

    assert store.delete_expired(NOW, 9) == 0
    assert store.delete_expired(NOW + MINUTE, 9) == 2
    assert store.delete_expired(NOW + KEEP_REQUESTS + MINUTE, 9) == 1

    assert (store.request(short.request_id), store.request(long.request_id)) == (None, long)
    assert (store.login_test(over.test_id), store.login_test(running.test_id)) == (None, running)
    assert use(store, long, "_b", request_id=None) == "replayed"


def test_a_session_s_codes_and_tokens_go_with_it(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    old, young = sign_in(tenant), sign_in(tenant)
    code, tokens = old.exchanged()
    refreshed = old.tokens(code, expires_at=NOW + 300 * DAY)
    assert old.store.insert_tokens(refreshed)
    _, lasting = young.exchanged()
    with fresh_database.write() as opened:
        opened.exec_driver_sql(
            f"UPDATE login_session SET expires_at = '2027-03-01' WHERE id = '{young.session.session_id}'"
        )
    end = old.session.expires_at

    assert store.delete_expired(tokens.expires_at, 9) == 0
    assert store.delete_expired(end + MINUTE, 9) == 2
    assert store.delete_expired(end + KEEP_SESSIONS, 9) == 0
    with store.read() as view:
        assert view.session(digest(old.session.session_id)) == old.session
    assert store.delete_expired(end + KEEP_SESSIONS + MINUTE, 9) == 3

    with store.read() as view:
        assert view.session(digest(old.session.session_id)) is None
        assert view.session(digest(young.session.session_id)) is not None
    assert young.store.take_refresh(lasting.refresh_sha256 or b"", NOW) is None


def test_so_many_are_deleted_at_once(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    requests = [request(tenant, expires_at=NOW + number * MINUTE) for number in range(5)]
    for one in requests:
        store.insert_request(one)

    deleted = [store.delete_expired(NOW + DAY, 2) for _ in range(4)]

    assert deleted == [2, 2, 1, 0]


def test_domains_are_to_be_looked_up_the_longest_ago_first(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    never, late, early, recent, vouched = (
        claim(f"{name}.example", state="verified", checked_at=None if hours is None else NOW + hours * HOUR)
        for name, hours in (("never", None), ("late", 2), ("early", 1), ("recent", 9), ("vouched", None))
    )
    with tenant.unit_of_work.write() as writer:
        for one in (never, late, early, recent, replace(vouched, challenge="")):
            assert writer.sso.put_domain_claim(one)

    def due(limit: int) -> list[tuple[OrganisationId, StoredDomain]]:
        return store.domains_to_check(pending_before=NOW, others_before=NOW + 5 * HOUR, limit=limit)

    found = due(9)

    assert found == [(tenant.organisation_id, one) for one in (never, early, late)]
    assert (due(2), due(1)) == (found[:2], found[:1])


def test_pending_domains_are_looked_up_more_often_than_verified_ones(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    pending = claim("pending.example", checked_at=NOW + HOUR)
    verified = claim("verified.example", state="verified", checked_at=NOW)
    with tenant.unit_of_work.write() as writer:
        for one in (pending, verified):
            assert writer.sso.put_domain_claim(one)

    found = store.domains_to_check(pending_before=NOW + 2 * HOUR, others_before=NOW - HOUR, limit=9)

    assert found == [(tenant.organisation_id, pending)]


def test_a_domain_that_was_asked_about_in_vain_lets_others_go_first(fresh_database: Database) -> None:
    tenant, store = make_tenant(fresh_database), SQLLoginStore(fresh_database)
    with tenant.unit_of_work.write() as writer:
        assert writer.sso.put_domain_claim(claim("silent.example"))

    store.note_domain_check(tenant.organisation_id, "silent.example", NOW)

    assert store.domains_to_check(pending_before=NOW, others_before=NOW, limit=9) == []
