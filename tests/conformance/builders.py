"""Makes the rows that the conformance tests are about. Ids are fresh, so organisations never meet by accident."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files

import orjson
import uuid_utils

from directory.changes import GroupMatch, Match
from directory.facts import name_key
from directory.ids import (
    DirectoryId,
    EnvironmentId,
    EventId,
    ExternalId,
    GroupId,
    InvitationId,
    MemberId,
    OrganisationId,
    OverrideId,
    RoleId,
    RuleId,
    RunId,
    ScopeId,
    UserId,
)
from mappings.rules import Grant, Provenance, Rule, Source
from provisioning.ports import UnitOfWork
from provisioning.state import (
    EventRow,
    MemberUpdate,
    NewMember,
    OpenInterval,
    OrganisationState,
    RunRecord,
    Seat,
    SeatPolicy,
    StoredDirectory,
    StoredGroup,
    StoredInvitation,
    StoredOverride,
    StoredUser,
)
from storage.engine import Database
from storage.service_store import SQLServiceStore
from storage.unit_of_work import OrganisationUnitOfWork

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUT = EnvironmentId("minut")
ADMIN = RoleId("Admin")
CLEANER = RoleId("Cleaner")


def new_id() -> str:
    return str(uuid_utils.uuid7())


def catalogue_text(name: str = "minut") -> str:
    return (files("mappings") / "catalogues" / f"{name}.yaml").read_text(encoding="utf-8")


def put_environment(database: Database) -> None:
    text = catalogue_text()
    SQLServiceStore(database).put_environment(MINUT, text, sha256(text.encode()).hexdigest(), NOW)


def organisation(name: str = "", **values: object) -> OrganisationState:
    organisation_id = OrganisationId(new_id())
    row: dict[str, object] = {
        "organisation_id": organisation_id,
        "environment_id": MINUT,
        "name": name or f"Organisation {organisation_id}",
        "plan": "Standard",
        "seat_limit": None,
        "seat_policy": SeatPolicy.REJECT,
        "resolution": None,
        "switches": {},
        "owner_id": None,
        "root_scope_id": ScopeId(new_id()),
        "access_version": 1,
        "model_version": 1,
        "seated": 0,
        "reserved": 0,
        **values,
    }
    return OrganisationState(**row)  # type: ignore[arg-type]  # the dataclass's own fields


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation with one directory, and the ways to fill it."""

    database: Database
    state: OrganisationState
    directory_id: DirectoryId

    @property
    def organisation_id(self) -> OrganisationId:
        return self.state.organisation_id

    @property
    def unit_of_work(self) -> UnitOfWork:
        return OrganisationUnitOfWork(self.database, self.organisation_id)

    def user(self, name: str = "ada", **values: object) -> StoredUser:
        return user(self.directory_id, name, **values)

    def group(self, name: str = "Admins", **values: object) -> StoredGroup:
        return group(self.directory_id, name, **values)

    def pushed(self, document: Mapping[str, object], **values: object) -> StoredUser:
        return pushed_user(self.directory_id, document, **values)

    def pushed_group(self, name: str = "Admins", **values: object) -> StoredGroup:
        return pushed_group(self.directory_id, name, **values)

    def add_users(self, *users: StoredUser) -> None:
        """Store users and the members they are linked to."""
        with self.unit_of_work.write() as writer:
            writer.insert_users(users)
            known = writer.member_records([one.member_id for one in users])
            new = {one.member_id: one for one in users if one.member_id not in known}
            writer.insert_members(
                [
                    NewMember(
                        one.member_id,
                        one.display_name,
                        one.mails[0] if one.mails else "",
                        one.pii_ref,
                        is_active=True,
                    )
                    for one in new.values()
                ],
                NOW,
            )

    def add_groups(self, *groups: StoredGroup) -> None:
        with self.unit_of_work.write() as writer:
            writer.insert_groups(groups)

    def add_members(self, *members: NewMember) -> None:
        with self.unit_of_work.write() as writer:
            writer.insert_members(members, NOW)

    def join(self, *pairs: tuple[StoredGroup, StoredUser]) -> None:
        with self.unit_of_work.write() as writer:
            writer.insert_memberships([(one.group_id, who.user_id) for one, who in pairs])

    def open(self, *intervals: OpenInterval, at: datetime = NOW) -> None:
        with self.unit_of_work.write() as writer:
            writer.open_intervals(intervals, at)

    def update(self, *updates: MemberUpdate, at: datetime = NOW) -> None:
        with self.unit_of_work.write() as writer:
            writer.update_members(updates, at)


def make_tenant(database: Database, name: str = "", *, kind: str = "ldif", **values: object) -> Tenant:
    state = organisation(name, **values)
    SQLServiceStore(database).create_organisation(state, NOW)
    tenant = Tenant(database, state, DirectoryId(new_id()))
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(directory(tenant.organisation_id, tenant.directory_id, kind=kind), NOW)
    return tenant


def directory(
    organisation_id: OrganisationId,
    directory_id: DirectoryId | None = None,
    name: str = "hq",
    **values: object,
) -> StoredDirectory:
    row: dict[str, object] = {
        "directory_id": directory_id or DirectoryId(new_id()),
        "organisation_id": organisation_id,
        "kind": "ldif",
        "name": name,
        "settings": {"path": "export.ldif", "interval": 60, "hold": True},
        "default_role": None,
        "priority": 100,
        **values,
    }
    return StoredDirectory(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def user(directory_id: DirectoryId, name: str = "ada", **values: object) -> StoredUser:
    row: dict[str, object] = {
        "user_id": UserId(new_id()),
        "directory_id": directory_id,
        "external_id": ExternalId(f"x-{name}"),
        "member_id": MemberId(new_id()),
        "user_name": name,
        "display_name": name.title(),
        "given_name": name.title(),
        "family_name": "Lovelace",
        "mails": (f"{name_key(name)}@example.org",),
        "dn": f"uid={name},ou=people,dc=example,dc=org",
        "attributes": {"title": ("Analyst",), "department": ("R&D", "Ops")},
        "active": True,
        "fingerprint": b"\x00\xff" * 8,
        "pii_ref": new_id(),
        "absent_runs": 0,
        "version": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "deleted_at": None,
        **values,
    }
    return StoredUser(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def pushed_user(directory_id: DirectoryId, document: Mapping[str, object], **values: object) -> StoredUser:
    """A user of a SCIM directory, as a client's document says it."""
    user_id = new_id()
    name = document["userName"]
    row: dict[str, object] = {
        "user_id": user_id,
        "external_id": user_id,
        "display_name": document.get("displayName", ""),
        "mails": tuple(entry["value"] for entry in document.get("emails", ()) if "value" in entry),  # type: ignore[attr-defined]  # a list of objects
        "active": document.get("active", True),
        "client_id": document.get("externalId", ""),
        "resource": document,
        "fingerprint": b"",
        "dn": "",
        **values,
    }
    return user(directory_id, str(name), **row)


def pushed_group(directory_id: DirectoryId, name: str = "Admins", **values: object) -> StoredGroup:
    """A group of a SCIM directory."""
    group_id = new_id()
    row = {"group_id": group_id, "external_id": group_id, "fingerprint": b"", "dn": "", **values}
    return group(directory_id, name, **row)


def group(directory_id: DirectoryId, name: str = "Admins", **values: object) -> StoredGroup:
    row: dict[str, object] = {
        "group_id": GroupId(new_id()),
        "directory_id": directory_id,
        "external_id": ExternalId(f"g-{name}"),
        "display_name": name,
        "dn": f"cn={name},ou=groups,dc=example,dc=org",
        "fingerprint": b"\x01" * 16,
        "version": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "deleted_at": None,
        **values,
    }
    return StoredGroup(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def member(name: str = "ada", *, invited: tuple[tuple[RoleId, ScopeId], ...] = ()) -> NewMember:
    return NewMember(
        MemberId(new_id()), name.title(), f"{name}@example.org", new_id(), is_active=True, invited=invited
    )


def member_update(member_id: MemberId, seat: Seat = Seat.SEATED, **values: object) -> MemberUpdate:
    row: dict[str, object] = {
        "member_id": member_id,
        "is_active": True,
        "seat": seat,
        "waiting_priority": None,
        "waiting_rank": None,
        "waiting_since": None,
        "is_held": False,
        "is_deleted": False,
        "deactivated_at": None,
        **values,
    }
    return MemberUpdate(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def grant(scope_id: ScopeId, role: RoleId = ADMIN, *, group_id: GroupId | None = None) -> Grant:
    return Grant(role, scope_id, Provenance(Source.RULE, RuleId(new_id()), 3, group_id))


def interval(member_id: MemberId, held: Grant) -> OpenInterval:
    return OpenInterval(member_id, held, EventId(new_id()))


def rule(match: Match | None = None, **values: object) -> Rule:
    row: dict[str, object] = {
        "rule_id": RuleId(new_id()),
        "version": 1,
        "priority": 10,
        "match": match or GroupMatch(GroupId(new_id())),
        "role": ADMIN,
        "scope_id": ScopeId(new_id()),
        "author": "admin@example.org",
        "created_at": NOW,
        **values,
    }
    return Rule(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def override(member_id: MemberId, **values: object) -> StoredOverride:
    row: dict[str, object] = {
        "override_id": OverrideId(new_id()),
        "member_id": member_id,
        "grants": ((CLEANER, ScopeId(new_id())), (ADMIN, ScopeId(new_id()))),
        "reason": "Stands in for Zoë",
        "author": "admin@example.org",
        "created_event": EventId(new_id()),
        "ends_at": NOW + MINUTE,
        "ended_at": None,
        **values,
    }
    return StoredOverride(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def invitation(mail: str = "Zoë@Example.org", **values: object) -> StoredInvitation:
    row: dict[str, object] = {
        "invitation_id": InvitationId(new_id()),
        "mail": mail,
        "role": CLEANER,
        "scope_id": ScopeId(new_id()),
        "state": "pending",
        "created_event": EventId(new_id()),
        "ends_at": NOW + MINUTE,
        "pii_ref": new_id(),
        **values,
    }
    return StoredInvitation(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def event(
    action: str = "member.created",
    subject_id: str = "",
    time: datetime = NOW,
    body: bytes = b"",
    **parts: object,
) -> EventRow:
    """An event of a log's table. Its body is what searches read of one, with `parts` in it, unless it is given."""
    event_id, subject_id = EventId(new_id()), subject_id or new_id()
    said: dict[str, object] = {
        "v": 1,
        "id": event_id,
        "organisation": "",
        "time": f"{time:%Y-%m-%dT%H:%M:%S}.000Z",
        "salt": "",
        "action": action,
        "outcome": "success",
        "actor": {"type": "system", "id": "tests"},
        "cause": {"kind": "system"},
        "targets": [{"type": "member", "id": subject_id, "role": "subject"}],
        **parts,
    }
    return EventRow(event_id, time, action, subject_id, body or orjson.dumps(said))


def run(directory_id: DirectoryId, fence: int = 1, **values: object) -> RunRecord:
    row: dict[str, object] = {
        "run_id": RunId(new_id()),
        "directory_id": directory_id,
        "fence": fence,
        "state": "running",
        "started_at": NOW,
        **values,
    }
    return RunRecord(**row)  # type: ignore[arg-type]  # the dataclass's own fields
