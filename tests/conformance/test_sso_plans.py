"""Logins must be answered from the indexes that were made for them, however many there are."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from directory.ids import ClientId, ConnectionId, MemberId, SessionId
from provisioning.logins import SSOWriter
from storage.client_store import SQLClientStore
from storage.engine import Database
from storage.login_store import SQLLoginStore
from tests.conformance.builders import MINUTE, NOW, Tenant, make_tenant, new_id
from tests.conformance.sso_builders import (
    DAY,
    certificate,
    claim,
    client,
    connection,
    digest,
    key,
    link,
    login_test,
    metadata,
    put_sessions,
    recovery_code,
    request,
    session,
    sign_in,
)
from tests.conformance.test_query_plans import Recorder, explain

FEW = {"oidc_client", "signing_key", "connection", "connection_metadata", "enforcement", "recovery_code"}
"""Beside the small tables of `test_query_plans`: a few rows for each organisation, or for all."""


@dataclass(frozen=True, slots=True)
class Case:
    """A call, and what its plan must name: columns of an index for SQLite, the index for PostgreSQL."""

    call: Callable[[SSOWriter, SQLLoginStore, SQLClientStore], object]
    sqlite: str
    postgresql: str = ""


def _session(logins: SQLLoginStore) -> object:
    with logins.read() as view:
        return view.session(digest("x"))


def _home(logins: SQLLoginStore) -> object:
    with logins.read() as view:
        return view.home("x.example")


IDP = ConnectionId(new_id())
WRITES: dict[str, Case] = {
    "link": Case(
        lambda sso, _l, _c: sso.link(IDP, "x"), "(connection_id=? AND key_sha256=?)", "pk_login_link"
    ),
    "links of": Case(
        lambda sso, _l, _c: sso.links_of([MemberId(new_id())]),
        "ix_login_link_member_id (member_id=?)",
        "ix_login_link_member_id",
    ),
    "delete links": Case(
        lambda sso, _l, _c: sso.delete_links_of(IDP, MemberId(new_id())),
        "ix_login_link_member_id (member_id=?)",
    ),
    "session": Case(lambda sso, _l, _c: sso.session(SessionId(new_id())), "(id=?)", "pk_login_session"),
    "sessions": Case(
        lambda sso, _l, _c: sso.sessions(None, NOW, 9),
        "ix_login_session_organisation_id (organisation_id=?)",
        "ix_login_session_organisation_id",
    ),
    "sessions of a member": Case(
        lambda sso, _l, _c: sso.sessions(MemberId(new_id()), NOW, 9),
        "ix_login_session_member_id (member_id=?)",
        "ix_login_session_member_id",
    ),
    "sessions of a subject": Case(
        lambda sso, _l, _c: sso.sessions_of_subject(IDP, "x", "y", NOW),
        "ix_login_session_subject (connection_id=? AND subject_sha256=?)",
        "ix_login_session_subject",
    ),
    "end by member": Case(
        lambda sso, _l, _c: sso.end_sessions(NOW, "revoked", member_ids=[MemberId(new_id())]),
        "ix_login_session_member_id (member_id=?)",
        "ix_login_session_member_id",
    ),
    "end by connection": Case(
        lambda sso, _l, _c: sso.end_sessions(NOW, "revoked", connection_id=IDP),
        "ix_login_session_subject (connection_id=?)",
        "ix_login_session_subject",
    ),
    "claims": Case(lambda sso, _l, _c: sso.domain_claims(), "(organisation_id=?)", "pk_domain"),
}
CALLS: dict[str, Case] = {
    "session by token": Case(
        lambda _s, logins, _c: _session(logins), "(token_sha256=?)", "uq_login_session_token_sha256"
    ),
    "home": Case(lambda _s, logins, _c: _home(logins), "uq_domain_held (domain=?)", "uq_domain_held"),
    "request": Case(lambda _s, logins, _c: logins.request("x"), "(id=?)", "pk_login_request"),
    "touch": Case(
        lambda _s, logins, _c: logins.touch_session(SessionId(new_id()), NOW), "(id=?)", "pk_login_session"
    ),
    "expired requests": Case(
        lambda _s, logins, _c: logins.delete_expired(NOW, 9),
        "ix_login_request_expires_at (expires_at<?)",
        "ix_login_request_expires_at",
    ),
    "expired assertions": Case(
        lambda _s, logins, _c: logins.delete_expired(NOW, 9),
        "ix_used_assertion_kept_until (kept_until<?)",
        "ix_used_assertion_kept_until",
    ),
    "expired tokens": Case(
        lambda _s, logins, _c: logins.delete_expired(NOW, 9),
        "ix_oidc_token_expires_at (expires_at<?)",
        "ix_oidc_token_expires_at",
    ),
    "old sessions": Case(
        lambda _s, logins, _c: logins.delete_expired(NOW, 9),
        "ix_login_session_expires_at (expires_at<?)",
        "ix_login_session_expires_at",
    ),
    "certificates": Case(
        lambda _s, logins, _c: logins.certificates_ending(NOW, 7, 9),
        "ix_idp_certificate_not_after (not_after<?)",
        "ix_idp_certificate_not_after",
    ),
    "keys": Case(
        lambda _s, logins, _c: logins.certificates_ending(NOW, 7, 9),
        "ix_sp_key_not_after (not_after<?)",
        "ix_sp_key_not_after",
    ),
    "metadata": Case(
        lambda _s, logins, _c: logins.connections_to_refresh(NOW, 9),
        "ix_connection_metadata (metadata_checked_at<?)",
        "ix_connection_metadata",
    ),
    "domains": Case(
        lambda _s, logins, _c: logins.domains_to_check(pending_before=NOW, others_before=NOW, limit=9),
        "ix_domain_checked_at (checked_at<?)",
        "ix_domain_checked_at",
    ),
    "code": Case(
        lambda _s, _l, clients: clients.take_code(digest("x"), NOW), "(code_sha256=?)", "pk_oidc_code"
    ),
    "access token": Case(
        lambda _s, _l, clients: clients.tokens_by_access(digest("x"), NOW),
        "(access_sha256=?)",
        "pk_oidc_token",
    ),
    "refresh token": Case(
        lambda _s, _l, clients: clients.take_refresh(digest("x"), NOW),
        "(refresh_sha256=?)",
        "uq_oidc_token_refresh_sha256",
    ),
    "revocation": Case(
        lambda _s, _l, clients: clients.revoke_tokens(digest("x"), ClientId("x"), NOW),
        "(refresh_sha256=?)",
        "uq_oidc_token_refresh_sha256",
    ),
    "notices": Case(
        lambda _s, _l, clients: clients.notices_due(NOW, 9),
        "ix_logout_notice_due_at (due_at<?)",
        "ix_logout_notice_due_at",
    ),
}


@pytest.fixture(scope="module")
def filled(database: Database) -> Tenant:
    """An organisation with some of everything, beside others."""
    tenants = [make_tenant(database) for _ in range(3)]
    logins, clients = SQLLoginStore(database), SQLClientStore(database)
    host = client()
    clients.put_client(host)
    for tenant in tenants:
        idps = [connection(tenant, f"c{number}", settings={"metadata_url": "u"}) for number in range(40)]
        with tenant.unit_of_work.write() as writer:
            for idp in idps:
                writer.sso.put_connection(idp, NOW)
            for number, idp in enumerate(idps):
                writer.sso.put_metadata(idp.connection_id, metadata(checked_at=NOW + number * DAY))
            for number in range(60):
                idp = idps[number % 4]
                ends = NOW + (number + 10) * DAY
                writer.sso.put_certificate(idp.connection_id, certificate(f"{number}", not_after=ends))
                writer.sso.put_key(idp.connection_id, key(f"{number}", not_after=ends), None)
                writer.sso.put_domain_claim(claim(state="verified", checked_at=NOW + number * MINUTE))
            for number in range(300):
                writer.sso.put_link(link(idps[number % 4].connection_id, f"k{number}"))
            writer.sso.put_recovery_codes(MemberId(new_id()), [recovery_code(MemberId(new_id()), new_id())])
        put_sessions(
            tenant,
            *(
                session(
                    tenant,
                    connection_id=idps[number % 4].connection_id,
                    name_id=f"n{number}",
                    created_at=NOW + number * MINUTE,
                    expires_at=NOW + DAY + number * MINUTE,
                )
                for number in range(300)
            ),
        )
        for number in range(60):
            late = NOW + number * MINUTE
            logins.insert_request(request(tenant, expires_at=late + DAY))
            logins.use_request(
                organisation_id=tenant.organisation_id,
                connection_id=idps[0].connection_id,
                request_id=None,
                browser_sha256=None,
                assertion_id=new_id(),
                keep_until=late + DAY,
                now=NOW,
            )
            logins.put_login_test(login_test(tenant, expires_at=late + DAY))
            ada = sign_in(tenant, host)
            ada.exchanged()
            if number % 2:
                with tenant.unit_of_work.write() as writer:
                    writer.sso.end_sessions(late, "logout", session_ids=[ada.session.session_id])
    if not database.is_sqlite:
        with database.write() as opened:
            opened.exec_driver_sql("ANALYZE")
    return tenants[0]


@pytest.mark.parametrize("name", [*WRITES, *CALLS])
def test_a_call_reads_by_its_index(filled: Tenant, name: str) -> None:
    logins, clients = SQLLoginStore(filled.database), SQLClientStore(filled.database)
    with Recorder(filled.database) as recorder:
        if name in WRITES:
            case = WRITES[name]
            with filled.unit_of_work.write() as writer:
                case.call(writer.sso, logins, clients)
        else:
            case = CALLS[name]
            with filled.unit_of_work.read() as reader:
                case.call(reader.sso, logins, clients)  # type: ignore[arg-type]  # it is not asked

    indexed, scanned = explain(filled.database, recorder.statements)

    assert set(scanned) <= FEW
    if filled.database.is_sqlite:
        assert any(case.sqlite in detail for detail in indexed), indexed
    elif case.postgresql:
        assert case.postgresql in indexed


def test_a_login_costs_a_few_statements(filled: Tenant) -> None:
    logins = SQLLoginStore(filled.database)
    asked = request(filled)
    logins.insert_request(asked)

    with Recorder(filled.database) as recorder:
        answer = logins.use_request(
            organisation_id=filled.organisation_id,
            connection_id=asked.connection_id,
            request_id=asked.request_id,
            browser_sha256=asked.browser_sha256,
            assertion_id="_a",
            keep_until=NOW + DAY,
            now=NOW,
        )

    assert (answer, len(recorder.statements) <= 3) == ("", True)
