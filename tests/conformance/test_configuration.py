"""The organisation's row, and what administrators set up in it."""

from dataclasses import replace
from hashlib import sha256

import pytest

from directory.changes import AttributeMatch, GroupMatch, NameMatch, PutRole, PutScope
from directory.ids import EnvironmentId, MemberId, RoleId, RuleId, ScopeId
from mappings.catalogue import load_catalogue
from mappings.errors import CatalogueError
from mappings.rules import GroupNode
from mappings.scopes import ScopeNode
from provisioning.state import SeatPolicy
from storage.engine import Database
from storage.errors import ConflictError
from storage.service_store import SQLServiceStore
from tests.conformance.builders import (
    ADMIN,
    CLEANER,
    MINUTE,
    NOW,
    Tenant,
    catalogue_text,
    directory,
    make_tenant,
    new_id,
    rule,
)


def test_every_column_of_the_organisation_is_saved(tenant: Tenant) -> None:
    saved = replace(
        tenant.state,
        name=f"{tenant.state.name} GmbH",
        plan=None,
        seat_limit=-1,
        seat_policy=SeatPolicy.WAITLIST,
        resolution="union",
        switches={"member_sees_sensor_data": True},
        owner_id=MemberId(new_id()),
        root_scope_id=ScopeId(new_id()),
        access_version=2**40,
        model_version=7,
        seated=3,
        reserved=2,
    )

    with tenant.unit_of_work.write() as writer:
        assert writer.organisation() == tenant.state
        writer.save_organisation(saved)
        assert writer.organisation() == saved

    with tenant.unit_of_work.read() as reader:
        assert reader.organisation() == saved
    assert SQLServiceStore(tenant.database).organisation(saved.name) == saved


def test_a_name_is_taken_once(tenant: Tenant, other: Tenant) -> None:
    with pytest.raises(ConflictError), tenant.unit_of_work.write() as writer:
        writer.save_organisation(replace(tenant.state, name=other.state.name.upper()))


def test_the_catalogue_is_parsed_once_for_each_text(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    with tenant.unit_of_work.read() as reader:
        first = reader.catalogue()
    with tenant.unit_of_work.write() as writer:
        assert writer.catalogue() is first
    assert first == load_catalogue(catalogue_text(), source="minut.yaml")

    text = catalogue_text() + "\n# changed\n"
    SQLServiceStore(fresh_database).put_environment(
        EnvironmentId("minut"), text, sha256(text.encode()).hexdigest(), NOW
    )
    with tenant.unit_of_work.read() as reader:
        assert reader.catalogue() is not first


def test_a_bad_catalogue_names_its_environment(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    SQLServiceStore(fresh_database).put_environment(EnvironmentId("minut"), "roles: 7", "0" * 64, NOW)

    with tenant.unit_of_work.read() as reader, pytest.raises(CatalogueError, match="environment minut"):
        reader.catalogue()


def test_directories_come_back_by_priority(tenant: Tenant) -> None:
    first = directory(
        tenant.organisation_id,
        name="first",
        priority=1,
        kind="scim",
        settings={},
        default_role=CLEANER,
        interval_seconds=900,
        next_run_at=NOW,
        fence=4,
        failures=2,
        last_success_at=NOW - MINUTE,
    )
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(first, NOW)

    with tenant.unit_of_work.read() as reader:
        assert reader.directories() == [first, directory(tenant.organisation_id, tenant.directory_id)]
        assert reader.model_inputs().default_roles == {first.directory_id: CLEANER, tenant.directory_id: None}


def test_a_directory_put_again_keeps_fence_and_failures(tenant: Tenant) -> None:
    stored = directory(tenant.organisation_id, name="stored", fence=4, failures=2, last_success_at=NOW)
    changed = replace(
        stored,
        kind="ldap",
        name="renamed",
        settings={"url": "ldaps://hq"},
        default_role=ADMIN,
        priority=3,
        interval_seconds=60,
        next_run_at=NOW + MINUTE,
        fence=0,
        failures=0,
        last_success_at=None,
    )
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(stored, NOW)
        writer.put_directory(changed, NOW)

    with tenant.unit_of_work.read() as reader:
        assert replace(changed, fence=4, failures=2, last_success_at=NOW) in reader.directories()


def test_a_directory_name_is_taken_once_in_an_organisation(tenant: Tenant, other: Tenant) -> None:
    again = directory(tenant.organisation_id, name="hq")

    with pytest.raises(ConflictError), tenant.unit_of_work.write() as writer:
        writer.put_directory(again, NOW)
    with other.unit_of_work.read() as reader:
        assert [one.name for one in reader.directories()] == ["hq"]


def test_rules_of_every_kind_come_back(tenant: Tenant) -> None:
    admins = tenant.group()
    rules = (
        rule(GroupMatch(admins.group_id)),
        rule(NameMatch(tenant.directory_id, "minut-{unit}-ø"), scope_id=None, priority=5),
        rule(AttributeMatch(tenant.directory_id, 'title eq "x"'), author="", role=CLEANER),
    )
    tenant.add_groups(admins, tenant.group("Old", deleted_at=NOW))

    with tenant.unit_of_work.write() as writer:
        for one in rules:
            writer.put_rule(one, NOW)
        inputs = writer.model_inputs()

    assert sorted(inputs.rules, key=lambda one: one.rule_id) == sorted(rules, key=lambda one: one.rule_id)
    assert inputs.groups == (GroupNode(admins.group_id, tenant.directory_id, "Admins"),)


def test_a_rule_keeps_its_versions(tenant: Tenant) -> None:
    first = rule()
    second = replace(first, version=2, role=CLEANER, created_at=NOW + MINUTE)

    with tenant.unit_of_work.write() as writer:
        writer.put_rule(first, NOW)
        writer.put_rule(second, NOW + MINUTE)
        assert writer.model_inputs().rules == (second,)
        writer.end_rule(first.rule_id, NOW + 2 * MINUTE)
        assert writer.model_inputs().rules == ()
        assert writer.rule_versions(first.rule_id) == [first, second]
        assert writer.rule_versions(RuleId(new_id())) == []


def test_scopes_are_put_ended_and_put_again(tenant: Tenant) -> None:
    root = ScopeNode(
        tenant.state.root_scope_id, "organisation", tenant.state.name, tenant.organisation_id, parents=()
    )
    unit = PutScope(ScopeId(new_id()), "unit", "Unit Ä", "host-1", (root.scope_id, ScopeId(new_id())))
    moved = replace(unit, kind="building", name="Tower", host_id="host-2", parents=(root.scope_id,))

    def nodes() -> set[ScopeNode]:
        with tenant.unit_of_work.read() as reader:
            return set(reader.model_inputs().scopes)

    def node(scope: PutScope) -> ScopeNode:
        return ScopeNode(scope.scope_id, scope.kind, scope.name, scope.host_id, scope.parents)

    with tenant.unit_of_work.write() as writer:
        writer.put_scope(unit)
    assert nodes() == {root, node(unit)}
    with tenant.unit_of_work.write() as writer:
        writer.put_scope(moved)
    assert nodes() == {root, node(moved)}
    with tenant.unit_of_work.write() as writer:
        writer.end_scope(unit.scope_id, NOW)
    assert nodes() == {root}
    with tenant.unit_of_work.read() as reader:
        assert reader.had_scope(unit.scope_id)
        assert not reader.had_scope(ScopeId(new_id()))
        assert not reader.had_scope(ScopeId("no id at all"))
    with tenant.unit_of_work.write() as writer:
        writer.put_scope(unit)
    assert nodes() == {root, node(unit)}


def test_custom_roles_are_put_and_deleted(tenant: Tenant) -> None:
    auditor = PutRole(RoleId("auditor"), "Auditor", ("log.read", "members.read"), ("organisation",), 5)
    wider = replace(auditor, label="Wide", permissions=("log.read",), rank=6)

    with tenant.unit_of_work.write() as writer:
        writer.put_role(auditor)
        assert writer.model_inputs().custom_roles == (auditor,)
        writer.put_role(wider)
        assert writer.model_inputs().custom_roles == (wider,)
        writer.delete_role(auditor.role)
        assert writer.model_inputs().custom_roles == ()


def test_domains_are_put_once(tenant: Tenant) -> None:
    with tenant.unit_of_work.write() as writer:
        assert writer.domains() == frozenset()
        writer.put_domain("once.example", NOW)
        writer.put_domain("once.example", NOW + MINUTE)
        writer.put_domain("münchen.example", NOW)
        assert writer.domains() == {"once.example", "münchen.example"}


def test_configuration_of_another_organisation_is_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    stored = rule()
    scope = PutScope(ScopeId(new_id()), "unit", "Unit", "host", (other.state.root_scope_id,))
    auditor = PutRole(RoleId("auditor"), "Auditor", (), (), 1)
    admins = other.group()
    other.add_groups(admins)
    with other.unit_of_work.write() as writer:
        writer.put_rule(stored, NOW)
        writer.put_scope(scope)
        writer.put_role(auditor)
        writer.put_domain("out-of-reach.example", NOW)
        writer.insert_subgroups([(admins.group_id, admins.group_id)])
        before = writer.model_inputs(), writer.directories(), writer.domains()

    with tenant.unit_of_work.write() as writer:
        inputs = writer.model_inputs()
        assert [one.scope_id for one in inputs.scopes] == [tenant.state.root_scope_id]
        assert (inputs.rules, inputs.groups, inputs.nesting, inputs.custom_roles) == ((), (), (), ())
        assert list(inputs.default_roles) == [tenant.directory_id]
        assert [one.directory_id for one in writer.directories()] == [tenant.directory_id]
        assert writer.domains() == frozenset()
        assert writer.rule_versions(stored.rule_id) == []
        assert not writer.had_scope(scope.scope_id)
        writer.end_rule(stored.rule_id, NOW)
        writer.end_scope(scope.scope_id, NOW)
        writer.delete_role(auditor.role)
    stolen = directory(tenant.organisation_id, other.directory_id, "stolen")
    with pytest.raises(ConflictError), tenant.unit_of_work.write() as writer:
        writer.put_directory(stolen, NOW)
    with pytest.raises(ConflictError), tenant.unit_of_work.write() as writer:
        writer.put_scope(replace(scope, name="stolen"))

    with other.unit_of_work.read() as reader:
        assert (reader.model_inputs(), reader.directories(), reader.domains()) == before
