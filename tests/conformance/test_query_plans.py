"""Queries must be answered from the index that was made for them, on both databases, however large the tables are.

PostgreSQL reads small tables whole, whatever indexes there are; here it is told to avoid that. Of two indexes that
lead to the same few rows it takes either.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Self, TypeVar

import pytest
import sqlalchemy
from sqlalchemy.engine import Connection

from directory.filters import parse_filter
from directory.ids import (
    EventId,
    ExternalId,
    GroupId,
    InvitationId,
    MemberId,
    OverrideId,
    RoleId,
    RuleId,
    ScopeId,
    UserId,
)
from directory.schema import MEMBER, USER
from provisioning.ports import EventQuery, Writer
from provisioning.resources import Position, ResourceQuery, ResourceReader
from provisioning.state import CloseInterval, PendingMember, PersonalData, Seat
from storage.engine import Database
from storage.service_store import SQLServiceStore
from tests.conformance.builders import (
    ADMIN,
    CLEANER,
    MINUTE,
    NOW,
    Tenant,
    directory,
    event,
    grant,
    interval,
    invitation,
    make_tenant,
    member_update,
    new_id,
    override,
    pushed_user,
    run,
)

SMALL = {
    "environment",
    "organisation",
    "directory",
    "rule",
    "scope",
    "role",
    "domain",
    "block",
    "push_window",
    "staged_change",
}
"""Tables of a few rows for each organisation; a scan of them is no fault."""

_Reader = TypeVar("_Reader")
Call = Callable[[_Reader, Tenant], object]


@dataclass(frozen=True, slots=True)
class Case(Generic[_Reader]):
    """A call, and what its plan must name: columns of an index for SQLite, the index for PostgreSQL."""

    call: Call[_Reader]
    sqlite: str = ""
    postgresql: str = ""


def _ids(kind: Callable[[str], Any]) -> list[Any]:
    return [kind(new_id()), kind(new_id())]


def _users(text: str) -> Call[ResourceReader]:
    tree = parse_filter(text) if text else None
    return lambda reader, _: reader.users(ResourceQuery(filter=tree))


def _groups(text: str) -> Call[ResourceReader]:
    tree = parse_filter(text) if text else None
    return lambda reader, _: reader.groups(ResourceQuery(filter=tree))


CASES: dict[str, Case[Writer]] = {
    "users_by_external_id": Case(
        lambda writer, tenant: writer.users_by_external_id(tenant.directory_id, [ExternalId("x")]),
        "(directory_id=? AND external_id=?)",
        "uq_directory_user_directory_id_external_id",
    ),
    "groups_by_external_id": Case(
        lambda writer, tenant: writer.groups_by_external_id(tenant.directory_id, [ExternalId("x")]),
        "(directory_id=? AND external_id=?)",
        "uq_directory_group_directory_id_external_id",
    ),
    "groups_by_name": Case(
        lambda writer, _: writer.groups_by_name("x"),
        "ix_directory_group_name_key (organisation_id=? AND name_key=?)",
        "ix_directory_group_name_key",
    ),
    "users_of_members": Case(
        lambda writer, _: writer.users_of_members(_ids(MemberId)),
        "ix_directory_user_member_id (member_id=?)",
        "ix_directory_user_member_id",
    ),
    "present_memberships": Case(
        lambda writer, _: writer.present_memberships([(GroupId(new_id()), UserId(new_id()))]),
        "(group_id=? AND user_id=?)",
        "ix_membership_user_id",
    ),
    "insert_memberships": Case(
        lambda writer, _: writer.insert_memberships([(GroupId(new_id()), UserId(new_id()))]),
        "(group_id=? AND user_id=?)",
        "ix_membership_user_id",
    ),
    "delete_memberships": Case(
        lambda writer, _: writer.delete_memberships([(GroupId(new_id()), UserId(new_id()))]),
        "ix_membership_user_id (user_id=? AND group_id=?)",
        "ix_membership_user_id",
    ),
    "clear_group": Case(
        lambda writer, _: writer.clear_group(GroupId(new_id())), "(group_id=?)", "pk_membership"
    ),
    "groups_of_users": Case(
        lambda writer, _: writer.groups_of_users(_ids(UserId)),
        "ix_membership_user_id (user_id=?)",
        "ix_membership_user_id",
    ),
    "user_ids_of_group": Case(
        lambda writer, _: writer.user_ids_of_group(GroupId(new_id())), "(group_id=?)", "pk_membership"
    ),
    "fingerprints": Case(
        lambda writer, tenant: writer.fingerprints(tenant.directory_id),
        "(directory_id=?)",
    ),
    "users_to_delete": Case(
        lambda writer, tenant: writer.users_to_delete(tenant.directory_id, NOW, 9),
        "ix_directory_user_left (directory_id=? AND updated_at<?)",
        "ix_directory_user_left",
    ),
    "absent_users": Case(lambda writer, tenant: writer.absent_users(tenant.directory_id)),
    "counts": Case(lambda writer, tenant: writer.counts(tenant.directory_id)),
    "group_sizes": Case(lambda writer, tenant: writer.group_sizes(tenant.directory_id)),
    "member_records": Case(
        lambda writer, _: writer.member_records(_ids(MemberId)),
        "uq_access_interval_open (member_id=?)",
        "uq_access_interval_open",
    ),
    "member_ids": Case(
        lambda writer, _: writer.member_ids(MemberId(new_id()), 9),
        "ix_member_organisation_id (organisation_id=? AND id>?)",
        "pk_member",
    ),
    "members_by_text": Case(
        lambda writer, _: writer.members_by_text("x"),
        "ix_directory_user_user_name_key (directory_id=? AND user_name_key=?)",
        "ix_directory_user_user_name_key",
    ),
    "members_by_external_id": Case(
        lambda writer, _: writer.members_by_external_id([ExternalId("x")]),
        "(directory_id=? AND external_id=?)",
        "uq_directory_user_directory_id_external_id",
    ),
    "members_by_mail": Case(
        lambda writer, _: writer.members_by_mail(["x"]),
        "ix_directory_user_mail_key (organisation_id=? AND mail_key=?)",
        "ix_directory_user_mail_key",
    ),
    "directories_of_members": Case(
        lambda writer, _: writer.directories_of_members(_ids(MemberId)),
        "ix_directory_user_member_id (member_id=?)",
        "ix_directory_user_member_id",
    ),
    "waiting": Case(
        lambda writer, _: writer.waiting(9, _ids(MemberId)),
        "ix_member_waiting (organisation_id=?)",
        "ix_member_waiting",
    ),
    "count_waiting": Case(lambda writer, _: writer.count_waiting(), "ix_member_waiting", "ix_member_waiting"),
    "held_members": Case(lambda writer, _: writer.held_members(), "ix_member_held", "ix_member_held"),
    "holders": Case(
        lambda writer, tenant: writer.holders(ADMIN, tenant.state.root_scope_id, 9),
        "ix_access_interval_scope_id (organisation_id=? AND scope_id=? AND role=?)",
        "ix_access_interval_scope_id",
    ),
    "members_given_at": Case(
        lambda writer, tenant: writer.members_given_at(tenant.state.root_scope_id),
        "ix_member_invited (organisation_id=?",
        "ix_member_invited",
    ),
    "is_role_given": Case(
        lambda writer, _: writer.is_role_given(RoleId("?")),
        "ix_override_organisation_id (organisation_id=?)",
        "ix_invitation_organisation_id",
    ),
    "open_grants": Case(
        lambda writer, _: list(writer.open_grants()), "ix_access_interval_scope_id (organisation_id=?)"
    ),
    "grants_of": Case(
        lambda writer, _: writer.grants_of(MemberId(new_id())),
        "uq_access_interval_open (member_id=?)",
        "uq_access_interval_open",
    ),
    "intervals_of": Case(
        lambda writer, _: writer.intervals_of(MemberId(new_id())),
        "ix_access_interval_closed (member_id=?)",
        "ix_access_interval_closed",
    ),
    "intervals_at": Case(
        lambda writer, _: list(writer.intervals_at(NOW)),
        "ix_access_interval_opened_at (organisation_id=? AND opened_at<?)",
        "ix_access_interval_opened_at",
    ),
    "override": Case(lambda writer, _: writer.override(OverrideId(new_id()))),
    "override_of": Case(
        lambda writer, _: writer.override_of(MemberId(new_id())),
        "ix_override_member_id (member_id=?)",
        "ix_override_member_id",
    ),
    "overrides_due": Case(
        lambda writer, _: writer.overrides_due(NOW, 9),
        "ix_override_organisation_id (organisation_id=? AND ends_at<?)",
        "ix_override_organisation_id",
    ),
    "invitation": Case(lambda writer, _: writer.invitation(InvitationId(new_id()))),
    "invitations_due": Case(
        lambda writer, _: writer.invitations_due(NOW, 9),
        "ix_invitation_organisation_id (organisation_id=? AND ends_at<?)",
        "ix_invitation_organisation_id",
    ),
    "runs": Case(
        lambda writer, tenant: writer.runs(tenant.directory_id, 9),
        "ix_run_directory_id (directory_id=?)",
        "ix_run_directory_id",
    ),
    "runs_of_all": Case(
        lambda writer, _: writer.runs(None, 9),
        "ix_run_organisation_id (organisation_id=?)",
        "ix_run_organisation_id",
    ),
    "last_applied_run": Case(
        lambda writer, tenant: writer.last_applied_run(tenant.directory_id),
        "ix_run_directory_id (directory_id=?)",
        "ix_run_directory_id",
    ),
    "interrupt_runs": Case(lambda writer, tenant: writer.interrupt_runs(tenant.directory_id, NOW)),
    "event_bodies": Case(
        lambda writer, _: writer.event_bodies(_ids(EventId)),
        "ix_audit_event_event_id (event_id=?)",
        "ix_audit_event_event_id",
    ),
    "events": Case(
        lambda writer, _: list(writer.events(EventQuery(after=5))),
        "ix_audit_event_organisation_id (organisation_id=? AND id>?)",
        "ix_audit_event_organisation_id",
    ),
    "newest_events": Case(
        lambda writer, _: list(writer.events(EventQuery(newest_first=True))),
        "ix_audit_event_organisation_id (organisation_id=?)",
        "ix_audit_event_organisation_id",
    ),
    "subjects_by_mail": Case(
        lambda writer, _: writer.subjects_by_mail("x"),
        "ix_audit_mail_mail_digest (organisation_id=? AND mail_digest=?)",
        "ix_audit_mail_mail_digest",
    ),
    "address_references": Case(
        lambda writer, _: writer.address_references("192.0.2.7", new_id()),
        "(ref=?)",
        "ix_audit_mail_mail_digest",
    ),
    "personal_data": Case(lambda writer, _: writer.personal_data([new_id()]), "(ref=?)", "pk_audit_pii"),
    "enqueue_groups": Case(
        lambda writer, _: writer.enqueue_groups(
            _ids(GroupId), kind="system", root=EventId(new_id()), parent=EventId(new_id())
        ),
        "(group_id=?)",
        "pk_membership",
    ),
    "take_pending": Case(lambda writer, _: writer.take_pending(9), "(organisation_id=?", "pk_pending_member"),
    "sizes_of_groups": Case(
        lambda writer, _: writer.sizes_of_groups(_ids(GroupId)), "(group_id=?)", "pk_membership"
    ),
    "push_window": Case(lambda writer, tenant: writer.push_window(tenant.directory_id)),
    "staged_changes": Case(
        lambda writer, tenant: writer.staged_changes(tenant.directory_id),
        "ix_staged_change_organisation_id (organisation_id=? AND directory_id=?)",
    ),
    "stage_pending": Case(
        lambda writer, tenant: writer.stage_pending(tenant.directory_id, NOW),
        "(organisation_id=?",
        "pk_pending_member",
    ),
    "end_staged": Case(lambda writer, _: writer.end_staged(_ids(MemberId)), "(member_id=?)"),
    "rule_versions": Case(lambda writer, _: writer.rule_versions(RuleId(new_id()))),
}

LISTED_USERS: dict[str, Case[ResourceReader]] = {
    "userName eq": Case(
        _users('userName eq "x"'),
        "ix_directory_user_user_name_key (directory_id=? AND user_name_key=?)",
        "ix_directory_user_user_name_key",
    ),
    "userName sw": Case(
        _users('userName sw "x"'),
        "ix_directory_user_user_name_key (directory_id=? AND user_name_key>? AND user_name_key<?)",
        "ix_directory_user_user_name_key",
    ),
    "id eq": Case(
        _users('id eq "x"'),
        "(directory_id=? AND external_id=?)",
        "uq_directory_user_directory_id_external_id",
    ),
    "externalId eq": Case(
        _users('externalId eq "x" and active eq true'),
        "ix_scim_user_external_id_key (directory_id=? AND external_id_key=?)",
        "ix_scim_user_external_id_key",
    ),
    "displayName eq": Case(
        _users('displayName eq "x"'),
        "ix_scim_user_display_name_key (directory_id=? AND display_name_key=?)",
        "ix_scim_user_display_name_key",
    ),
    "emails eq": Case(
        _users('emails eq "x"'),
        "ix_scim_entry_email (directory_id=? AND value_key=?)",
        "ix_scim_entry_email",
    ),
    "emails.value sw": Case(
        _users('emails.value sw "x"'),
        "ix_scim_entry_email (directory_id=? AND value_key>? AND value_key<?)",
        "ix_scim_entry_email",
    ),
    "emails[].value eq": Case(
        _users('emails[type eq "work"].value eq "x"'),
        "ix_scim_entry_email (directory_id=? AND value_key=?)",
        "ix_scim_entry_email",
    ),
    "groups eq": Case(_users(f'groups.value eq "{new_id()}"'), "(group_id=?)", "pk_membership"),
    "memberId eq": Case(
        _users(f'{MEMBER}:memberId eq "{new_id()}"'),
        "ix_directory_user_member_id (member_id=?)",
        "ix_directory_user_member_id",
    ),
    "all": Case(_users(""), "(directory_id=?)", "uq_directory_user_directory_id_external_id"),
    "a cursor": Case(
        lambda reader, _: reader.users(ResourceQuery(after=Position(None, new_id()), with_total=False)),
        "(directory_id=? AND external_id>?)",
        "uq_directory_user_directory_id_external_id",
    ),
    "a cursor in order": Case(
        lambda reader, _: reader.users(
            ResourceQuery(after=Position("x", new_id()), sort=USER.find("userName"), with_total=False)
        ),
        "ix_directory_user_user_name_key (directory_id=? AND user_name_key>?)",
        "ix_directory_user_user_name_key",
    ),
    "a total": Case(
        lambda reader, _: reader.users(ResourceQuery(limit=0)),
        "ix_directory_user_user_name_key (directory_id=? AND user_name_key>?)",
    ),
}
LISTED_GROUPS: dict[str, Case[ResourceReader]] = {
    "displayName eq": Case(
        _groups('displayName eq "x"'),
        "ix_directory_group_name_key (organisation_id=? AND name_key=?)",
        "ix_directory_group_name_key",
    ),
    "externalId eq": Case(
        _groups('externalId eq "x"'),
        "ix_directory_group_client_id (directory_id=? AND client_id=?)",
        "ix_directory_group_client_id",
    ),
    "id eq and members eq": Case(
        _groups(f'id eq "{new_id()}" and members eq "{new_id()}"'),
        "(directory_id=? AND external_id=?)",
        "ix_membership_user_id",
    ),
    "members[value eq]": Case(
        _groups(f'members[value eq "{new_id()}"]'),
        "ix_membership_user_id (user_id=?)",
        "ix_membership_user_id",
    ),
    "all": Case(_groups(""), "(directory_id=?)", "uq_directory_group_directory_id_external_id"),
}
RESOURCES: dict[str, Case[ResourceReader]] = {
    "user": Case(
        lambda reader, _: reader.user(new_id()),
        "(directory_id=? AND external_id=?)",
        "uq_directory_user_directory_id_external_id",
    ),
    "group": Case(
        lambda reader, _: reader.group(new_id()),
        "(directory_id=? AND external_id=?)",
        "uq_directory_group_directory_id_external_id",
    ),
    "user_named": Case(
        lambda reader, _: reader.user_named("x"),
        "ix_directory_user_user_name_key (directory_id=? AND user_name_key=?)",
        "ix_directory_user_user_name_key",
    ),
    "groups_named": Case(
        lambda reader, _: reader.groups_named("x"),
        "ix_directory_group_name_key (organisation_id=? AND name_key=?)",
        "ix_directory_group_name_key",
    ),
    "members": Case(
        lambda reader, _: list(reader.members(GroupId(new_id()))),
        "(group_id=? AND user_id>?)",
        "pk_membership",
    ),
    "members_of": Case(lambda reader, _: reader.members_of(_ids(GroupId)), "(group_id=?)", "pk_membership"),
    "classify": Case(
        lambda reader, _: reader.classify(_ids(str)),
        "(directory_id=? AND external_id=?)",
        "uq_directory_user_directory_id_external_id",
    ),
    "absent_from": Case(
        lambda reader, _: reader.absent_from(GroupId(new_id()), _ids(str)), "(user_id=? AND group_id=?)"
    ),
    "surplus_in": Case(
        lambda reader, _: reader.surplus_in(GroupId(new_id()), _ids(str)), "(group_id=?)", "pk_membership"
    ),
}


class Recorder:
    """Statements and their parameters as the driver gets them."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._prepared = database.prepared
        self.statements: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        self._prepared.is_in_use = False
        sqlalchemy.event.listen(self._engine, "before_cursor_execute", self._record)
        return self

    def __exit__(self, *_: object) -> None:
        sqlalchemy.event.remove(self._engine, "before_cursor_execute", self._record)
        self._prepared.is_in_use = True

    def _record(
        self, _connection: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if not statement.startswith(("BEGIN", "EXPLAIN", "SET")):
            self.statements.append((statement, parameters))


def explain(database: Database, statements: list[tuple[str, Any]]) -> tuple[list[str], list[str]]:
    """What the plans read by an index, and which tables they read whole."""
    indexed: list[str] = []
    scanned: list[str] = []
    with database.write() as connection:
        if not database.is_sqlite:
            for method in ("seqscan", "hashjoin", "mergejoin"):
                connection.exec_driver_sql(f"SET LOCAL enable_{method} = off")
        for statement, parameters in statements:
            if database.is_sqlite:
                _explain_sqlite(connection, statement, parameters, indexed, scanned)
            else:
                _explain_postgresql(connection, statement, parameters, indexed, scanned)
    return indexed, [table for table in scanned if table not in SMALL]


def _explain_sqlite(
    connection: Connection,
    statement: str,
    parameters: tuple[Any, ...] | dict[str, Any],
    indexed: list[str],
    scanned: list[str],
) -> None:
    for *_, detail in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        indexed.append(detail)
        found = re.match(r"SCAN (\w+)", detail)
        if found and found[1] in _tables(connection):
            scanned.append(found[1])


def _tables(connection: Connection) -> set[str]:
    return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())


def _explain_postgresql(
    connection: Connection,
    statement: str,
    parameters: tuple[Any, ...] | dict[str, Any],
    indexed: list[str],
    scanned: list[str],
) -> None:
    answer = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    (plan,) = json.loads(answer) if isinstance(answer, str) else answer
    for node in _nodes(plan["Plan"]):
        if "Index Name" in node:
            indexed.append(node["Index Name"])
        if node["Node Type"] == "Seq Scan" or ("Index Name" in node and "Index Cond" not in node):
            scanned.append(node.get("Relation Name", "?"))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.fixture(scope="module")
def filled(database: Database) -> Tenant:
    """An organisation with some of everything, beside others."""
    tenants = [make_tenant(database) for _ in range(4)]
    for tenant in tenants:
        _fill(tenant)
    with tenants[1].unit_of_work.write() as writer:
        # So many that it would be dear to read past them.
        writer.append_events([event() for _ in range(8000)])
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    return tenants[0]


def _fill(tenant: Tenant) -> None:
    users = [tenant.user(f"u{number}", active=number % 50 > 0) for number in range(300)]
    groups = [tenant.group(f"g{number}") for number in range(30)]
    tenant.add_users(*users)
    tenant.add_groups(*groups)
    tenant.join(
        *((groups[(number + step) % 30], who) for number, who in enumerate(users) for step in range(3))
    )
    second = directory(tenant.organisation_id, name="second")
    scopes, roles = [ScopeId(new_id()) for _ in range(10)], (ADMIN, CLEANER, RoleId("Guest"))
    for number, who in enumerate(users):
        held = interval(who.member_id, grant(scopes[number % 10], roles[number % 3]))
        tenant.open(held, at=NOW + number * MINUTE)
    tenant.update(
        *(
            member_update(who.member_id, Seat.WAITING if number % 20 == 0 else Seat.SEATED, waiting_since=NOW)
            for number, who in enumerate(users)
        )
    )
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(second, NOW)
        for number, who in enumerate(users[:100]):
            (open_grant,) = writer.grants_of(who.member_id)
            writer.close_intervals([CloseInterval(open_grant.interval_id, EventId(new_id()))], NOW)
            writer.insert_override(override(who.member_id, ends_at=NOW + number * MINUTE), NOW)
            writer.insert_invitation(invitation(ends_at=NOW + number * MINUTE), NOW)
            whose = second.directory_id if number % 10 else tenant.directory_id
            writer.insert_run(run(whose, started_at=NOW + number * MINUTE))
    tenant.add_users(
        *(
            pushed_user(second.directory_id, {"userName": f"p{number}", "externalId": f"c{number}"})
            for number in range(50)
        )
    )
    with tenant.unit_of_work.write() as writer:
        writer.append_events([event(subject_id=who.user_id) for who in users])
        writer.insert_personal_data(
            [PersonalData(who.pii_ref, who.user_id, {"mail": who.user_name}) for who in users]
        )
        root = EventId(new_id())
        writer.enqueue_members([PendingMember(who.member_id, "system", root, root) for who in users])


@pytest.mark.parametrize("name", CASES)
def test_a_call_reads_by_its_index(filled: Tenant, name: str) -> None:
    case = CASES[name]
    with Recorder(filled.database) as recorder, filled.unit_of_work.write() as writer:
        case.call(writer, filled)

    indexed, scanned = explain(filled.database, recorder.statements)

    assert scanned == []
    if filled.database.is_sqlite:
        assert any(case.sqlite in detail for detail in indexed), indexed
    elif case.postgresql:
        assert case.postgresql in indexed


@pytest.fixture(scope="module")
def pushed(database: Database) -> Tenant:
    """A SCIM directory of some size, beside others."""
    tenants = [make_tenant(database, kind="scim") for _ in range(3)]
    for tenant in tenants:
        users = [
            tenant.pushed(
                {
                    "userName": f"u{number}",
                    "externalId": f"e{number}",
                    "displayName": f"U {number}",
                    "emails": [
                        {"value": f"u{number}@example.org", "type": "work"},
                        {"value": f"{number}@home"},
                    ],
                }
            )
            for number in range(300)
        ]
        groups = [tenant.pushed_group(f"g{number}", client_id=f"c{number}") for number in range(60)]
        tenant.add_users(*users)
        tenant.add_groups(*groups)
        tenant.join(
            *((groups[(number + step) % 60], who) for number, who in enumerate(users) for step in range(3))
        )
        with tenant.unit_of_work.write() as writer:
            writer.insert_subgroups([(outer.group_id, inner.group_id) for outer, inner in pairwise(groups)])
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    return tenants[0]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{kind} {name}")
        for kind, cases in (("users", LISTED_USERS), ("groups", LISTED_GROUPS), ("resources", RESOURCES))
        for name, case in cases.items()
    ],
)
def test_a_resource_is_read_by_its_index(pushed: Tenant, case: Case[ResourceReader]) -> None:
    with Recorder(pushed.database) as recorder, pushed.unit_of_work.read() as reader:
        case.call(reader.resources(pushed.directory_id), pushed)

    indexed, scanned = explain(pushed.database, recorder.statements)

    assert scanned == []
    if pushed.database.is_sqlite:
        assert any(case.sqlite in detail for detail in indexed), indexed
    elif case.postgresql:
        assert case.postgresql in indexed


def test_one_user_is_one_statement(pushed: Tenant) -> None:
    with pushed.unit_of_work.read() as reader, Recorder(pushed.database) as recorder:
        resources = reader.resources(pushed.directory_id)
        assert resources.users(ResourceQuery(filter=parse_filter('userName eq "U7"'))).total == 1
        resources.user(new_id())

    assert len(recorder.statements) == 2


def test_finding_work_reads_by_indexes(filled: Tenant) -> None:
    store = SQLServiceStore(filled.database)
    with Recorder(filled.database) as recorder:
        store.claim_due("worker", NOW, NOW, 9)
        store.organisations_with_pending(9)
        store.organisations_with_due(NOW, 9)

    indexed, scanned = explain(filled.database, recorder.statements)

    assert scanned == []
    for name in ("ix_directory_due", "ix_override_ends_at", "ix_invitation_ends_at"):
        assert any(name in detail for detail in indexed), indexed
