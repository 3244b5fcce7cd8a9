"""Makes the rows of single sign-on that the conformance tests are about."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from directory.ids import ClientId, ConnectionId, MemberId, OrganisationId, SessionId
from provisioning.clients import StoredClient, StoredCode, StoredTokens
from provisioning.logins import (
    IdPCertificate,
    Link,
    LoginRequest,
    LoginTest,
    MetadataCopy,
    RecoveryCode,
    SPKey,
    StoredConnection,
    StoredDomain,
    StoredSession,
)
from storage.client_store import SQLClientStore
from storage.engine import Database
from tests.conformance.builders import MINUT, NOW, Tenant, member, new_id

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def connection(tenant: Tenant, name: str = "Entra", **values: object) -> StoredConnection:
    row: dict[str, object] = {
        "connection_id": ConnectionId(new_id()),
        "organisation_id": tenant.organisation_id,
        "name": name,
        "settings": {"idp_entity_id": "https://idp.example", "clock_skew_seconds": 60, "jit": True},
        "version": 1,
        "created_at": NOW,
        **values,
    }
    return StoredConnection(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def certificate(name: str = "a", **values: object) -> IdPCertificate:
    row: dict[str, object] = {
        "sha256": digest(name).hex(),
        "certificate": name.encode(),
        "state": "active",
        "not_before": NOW - DAY,
        "not_after": NOW + 90 * DAY,
        "added_at": NOW,
        **values,
    }
    return IdPCertificate(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def key(key_id: str = "k1", **values: object) -> SPKey:
    row: dict[str, object] = {
        "key_id": key_id,
        "certificate": key_id.encode(),
        "state": "active",
        "not_after": NOW + 90 * DAY,
        "added_at": NOW,
        **values,
    }
    return SPKey(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def metadata(**values: object) -> MetadataCopy:
    row: dict[str, object] = {
        "document": "<EntityDescriptor/>",
        "etag": '"1"',
        "taken_at": NOW,
        "valid_until": NOW + DAY,
        "checked_at": NOW,
        **values,
    }
    return MetadataCopy(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def claim(domain: str = "", state: str = "pending", **values: object) -> StoredDomain:
    row: dict[str, object] = {
        "domain": domain or f"{new_id()}.example",
        "state": state,
        "challenge": "usher-domain=1234",
        "claimed_at": NOW,
        "verified_at": None if state == "pending" else NOW,
        "checked_at": None,
        **values,
    }
    return StoredDomain(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def link(connection_id: ConnectionId, key: str = "ada@idp", **values: object) -> Link:
    row: dict[str, object] = {
        "connection_id": connection_id,
        "key": key,
        "member_id": MemberId(new_id()),
        "linked_by": "external_id",
        "linked_at": NOW,
        **values,
    }
    return Link(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def session(tenant: Tenant, **values: object) -> StoredSession:
    row: dict[str, object] = {
        "session_id": SessionId(new_id()),
        "organisation_id": tenant.organisation_id,
        "member_id": MemberId(new_id()),
        "connection_id": ConnectionId(new_id()),
        "kind": "login",
        "login_id": new_id(),
        "auth_time": NOW,
        "created_at": NOW,
        "last_used_at": NOW,
        "expires_at": NOW + 8 * HOUR,
        "name_id": "<NameID>ada</NameID>",
        "session_index": "_s1",
        "address": "192.0.2.7",
        "user_agent": "Firefox",
        **values,
    }
    return StoredSession(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def put_sessions(tenant: Tenant, *sessions: StoredSession) -> None:
    """Store sessions. The token of each is its id."""
    with tenant.unit_of_work.write() as writer:
        for one in sessions:
            writer.sso.insert_session(one, digest(one.session_id))


def request(tenant: Tenant, **values: object) -> LoginRequest:
    row: dict[str, object] = {
        "request_id": f"_{new_id()}",
        "organisation_id": tenant.organisation_id,
        "connection_id": ConnectionId(new_id()),
        "relay_state": "r",
        "browser_sha256": digest("browser"),
        "return_to": "/oidc/authorize?client_id=x",
        "created_at": NOW,
        "expires_at": NOW + HOUR,
        **values,
    }
    return LoginRequest(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def login_test(tenant: Tenant, **values: object) -> LoginTest:
    row: dict[str, object] = {
        "test_id": new_id(),
        "organisation_id": tenant.organisation_id,
        "connection_id": ConnectionId(new_id()),
        "actor": "admin:ada",
        "secret_sha256": digest("link"),
        "created_at": NOW,
        "expires_at": NOW + HOUR,
        **values,
    }
    return LoginTest(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def recovery_code(member_id: MemberId, text: str, **values: object) -> RecoveryCode:
    row: dict[str, object] = {"member_id": member_id, "digest": digest(text), "created_at": NOW, **values}
    return RecoveryCode(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def client(name: str = "Minut", **values: object) -> StoredClient:
    row: dict[str, object] = {
        "client_id": ClientId(new_id()),
        "environment_id": MINUT,
        "name": name,
        "secret_sha256": digest("secret"),
        "redirect_uris": ("https://host.example/callback", "http://127.0.0.1/callback"),
        "logout_uris": ("https://host.example/",),
        "backchannel_logout_uri": "https://host.example/logout",
        "created_at": NOW,
        **values,
    }
    return StoredClient(**row)  # type: ignore[arg-type]  # the dataclass's own fields


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A member with a session, at one host application."""

    tenant: Tenant
    session: StoredSession
    client: StoredClient

    @property
    def store(self) -> SQLClientStore:
        return SQLClientStore(self.tenant.database)

    @property
    def organisation_id(self) -> OrganisationId:
        return self.tenant.organisation_id

    def code(self, text: str = "", **values: object) -> StoredCode:
        row: dict[str, object] = {
            "code_sha256": digest(text or new_id()),
            "client_id": self.client.client_id,
            "organisation_id": self.organisation_id,
            "member_id": self.session.member_id,
            "session_id": self.session.session_id,
            "redirect_uri": self.client.redirect_uris[0],
            "scope": "openid email",
            "nonce": "n",
            "code_challenge": "c" * 43,
            "auth_time": NOW,
            "created_at": NOW,
            "expires_at": NOW + timedelta(minutes=1),
            **values,
        }
        return StoredCode(**row)  # type: ignore[arg-type]  # the dataclass's own fields

    def tokens(self, code: StoredCode, **values: object) -> StoredTokens:
        row: dict[str, object] = {
            "access_sha256": digest(new_id()),
            "refresh_sha256": digest(new_id()),
            "code_sha256": code.code_sha256,
            "client_id": code.client_id,
            "organisation_id": code.organisation_id,
            "member_id": code.member_id,
            "session_id": code.session_id,
            "scope": code.scope,
            "created_at": NOW,
            "access_expires_at": NOW + timedelta(minutes=10),
            "expires_at": NOW + 8 * HOUR,
            **values,
        }
        return StoredTokens(**row)  # type: ignore[arg-type]  # the dataclass's own fields

    def exchanged(self, at: datetime = NOW) -> tuple[StoredCode, StoredTokens]:
        """A code that was handed out and exchanged, and what it gave."""
        code = self.code()
        self.store.insert_code(code)
        assert self.store.take_code(code.code_sha256, at) == code
        tokens = self.tokens(code)
        assert self.store.insert_tokens(tokens)
        return code, tokens


def sign_in(
    tenant: Tenant, found: StoredClient | None = None, connection_id: ConnectionId | None = None
) -> SignedIn:
    """A new member with a session, at an application that is registered unless one is given."""
    person = member()
    tenant.add_members(person)
    opened = session(tenant, member_id=person.member_id, connection_id=connection_id)
    put_sessions(tenant, opened)
    host = found or client()
    if found is None:
        SQLClientStore(tenant.database).put_client(host)
    return SignedIn(tenant, opened, host)


def sealed_values(database: Database, table: str, column: str) -> list[bytes]:
    """What stands in a column, as it is stored."""
    with database.read() as opened:
        rows = opened.exec_driver_sql(f"SELECT {column} FROM {table}").fetchall()
    return [bytes(row[0]) for row in rows if row[0] is not None]
