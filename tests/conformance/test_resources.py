"""What a SCIM client is shown of its directory."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from directory.filters import parse_filter
from directory.ids import DirectoryId, GroupId, RoleId, ScopeId, UserId
from directory.schema import ENTERPRISE, GROUP, MEMBER, USER, ResourceSchema
from provisioning.errors import UnfitFilterError
from provisioning.resources import (
    Direction,
    GroupMember,
    GroupResource,
    MemberKinds,
    Page,
    Position,
    ResourceQuery,
    ResourceReader,
    UserResource,
)
from provisioning.state import Seat, StoredGroup, StoredUser
from storage.engine import Database
from storage.resources import SQLResourceReader
from tests.conformance.builders import (
    ADMIN,
    CLEANER,
    MINUTE,
    NOW,
    Tenant,
    grant,
    interval,
    make_tenant,
    member_update,
    new_id,
)

DOCUMENT = {
    "userName": "Ada@example.org",
    "externalId": "A-1",
    "active": True,
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"value": "ada@example.org", "type": "work", "primary": True}, {"value": "Ada@Home.example"}],
    ENTERPRISE: {"department": "R&D", "manager": {"value": "M-1"}},
}


@pytest.fixture
def tenant(database: Database) -> Tenant:
    """A new organisation with one SCIM directory."""
    return make_tenant(database, kind="scim")


@pytest.fixture
def other(database: Database) -> Tenant:
    return make_tenant(database, kind="scim")


@pytest.fixture
def resources(tenant: Tenant) -> Iterator[ResourceReader]:
    """Reads what has been committed by the time of its first query."""
    with tenant.database.read() as connection:
        yield SQLResourceReader(tenant.database, connection, tenant.organisation_id, tenant.directory_id)


def shown(user: StoredUser, **values: object) -> UserResource:
    row: dict[str, object] = {
        "user_id": user.user_id,
        "version": user.version,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "resource": user.resource,
        "member_id": user.member_id,
        "seat": Seat.NONE,
        "is_held": False,
        **values,
    }
    return UserResource(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def shown_group(group: StoredGroup) -> GroupResource:
    return GroupResource(
        group.group_id, group.client_id, group.display_name, group.version, group.created_at, group.updated_at
    )


def user_names(page: Page[UserResource]) -> list[object]:
    return [row.resource["userName"] for row in page.rows]


# One resource


def test_a_user_is_shown_with_groups_seat_and_grants(tenant: Tenant, resources: ResourceReader) -> None:
    ada = tenant.pushed(DOCUMENT, version=7, updated_at=NOW + MINUTE)
    ops, admins, gone = (
        tenant.pushed_group("Ops"),
        tenant.pushed_group("Admins"),
        tenant.pushed_group(deleted_at=NOW),
    )
    scope_id, unknown = tenant.state.root_scope_id, ScopeId(new_id())
    tenant.add_users(ada)
    tenant.add_groups(ops, admins, gone)
    tenant.join((admins, ada), (ops, ada), (gone, ada))
    tenant.update(member_update(ada.member_id, Seat.SEATED))
    tenant.open(
        *(
            interval(ada.member_id, grant(at, role))
            for at, role in ((unknown, ADMIN), (scope_id, CLEANER), (scope_id, ADMIN))
        )
    )

    assert resources.user(ada.user_id) == shown(
        ada,
        seat=Seat.SEATED,
        groups=tuple(sorted([(ops.group_id, "Ops"), (admins.group_id, "Admins")])),
        grants=(
            (ADMIN, scope_id, tenant.state.name),
            (CLEANER, scope_id, tenant.state.name),
            (ADMIN, unknown, ""),
        ),
    )
    assert resources.user(ada.user_id, with_groups=False, with_grants=False) == shown(ada, seat=Seat.SEATED)
