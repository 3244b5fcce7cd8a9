"""What belongs to the service: environments, organisations, claims, and where work is waiting."""

from dataclasses import replace
from datetime import datetime

import pytest

from directory.ids import DirectoryId, EnvironmentId, EventId, MemberId, OrganisationId
from mappings.scopes import ScopeNode
from provisioning.ports import EventSink, ServiceStore
from provisioning.state import Claim, StoredEnvironment
from storage.engine import Database
from storage.errors import ConflictError, UnknownEnvironmentError
from storage.service_store import SQLEventSink, SQLServiceStore
from tests.conformance.builders import (
    MINUTE,
    NOW,
    directory,
    event,
    invitation,
    make_tenant,
    member,
    new_id,
    organisation,
    override,
)
from tests.conformance.test_unit_of_work import run_all


def test_the_stores_satisfy_the_ports(fresh_database: Database) -> None:
    store: ServiceStore = SQLServiceStore(fresh_database)
    sink: EventSink = SQLEventSink(fresh_database)
    sink.append([event()])
    assert store.row_counts()["audit_event"] == 1


def test_environments_are_put_and_put_again(store: ServiceStore) -> None:
    minikai = StoredEnvironment(EnvironmentId("minikai"), "Ü: 1\n" * 50_000, "a" * 64, NOW)
    store.put_environment(minikai.environment_id, minikai.catalogue, minikai.sha256, minikai.loaded_at)
    assert store.environment(minikai.environment_id) == minikai
    assert [one.environment_id for one in store.environments()] == ["minikai", "minut"]

    changed = replace(minikai, catalogue="x", sha256="b" * 64, loaded_at=NOW + MINUTE)
    store.put_environment(changed.environment_id, changed.catalogue, changed.sha256, changed.loaded_at)
    assert store.environment(minikai.environment_id) == changed
    assert store.environment(EnvironmentId("unknown")) is None


def test_a_new_organisation_has_its_root_scope(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database, "Straße & Söhne")
    store = SQLServiceStore(fresh_database)

    assert store.organisations() == [tenant.state]
    with tenant.unit_of_work.read() as reader:
        assert reader.model_inputs().scopes == (
            ScopeNode(
                tenant.state.root_scope_id,
                "organisation",
                "Straße & Söhne",
                tenant.organisation_id,
                parents=(),
            ),
        )


def test_organisations_are_found_by_name_and_id(store: ServiceStore) -> None:
    first, second = organisation("Straße"), organisation("Another")
    store.create_organisation(first, NOW)
    store.create_organisation(second, NOW)

    assert store.organisation("STRASSE") == first
    assert store.organisation(first.organisation_id.upper()) == first
    assert store.organisation("Streets") is None
    assert store.organisation(new_id()) is None
    assert store.organisations() == [second, first]


def test_an_organisation_may_be_named_like_an_id(store: ServiceStore) -> None:
    odd = organisation(new_id())
    store.create_organisation(odd, NOW)

    assert store.organisation(odd.name) == odd


def test_a_name_of_an_organisation_is_taken_once(store: ServiceStore) -> None:
    store.create_organisation(organisation("Straße"), NOW)

    with pytest.raises(ConflictError, match="'strasse' already"):
        store.create_organisation(organisation("strasse"), NOW)
    assert len(store.organisations()) == 1


def test_an_organisation_needs_its_environment(store: ServiceStore) -> None:
    with pytest.raises(UnknownEnvironmentError, match="'elsewhere'"):
        store.create_organisation(organisation(environment_id=EnvironmentId("elsewhere")), NOW)
    assert store.organisations() == []


def _add_directories(database: Database, *due: datetime | None) -> list[DirectoryId]:
    tenant = make_tenant(database)
    stored = [
        directory(tenant.organisation_id, name=f"d{number}", next_run_at=moment)
        for number, moment in enumerate(due)
    ]
    with tenant.unit_of_work.write() as writer:
        for one in stored:
            writer.put_directory(one, NOW)
    return [one.directory_id for one in stored]


def test_the_longest_due_are_claimed_first_and_once(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    late, early, _future, _by_hand = _add_directories(fresh_database, NOW, NOW - MINUTE, NOW + MINUTE, None)

    def claim(limit: int) -> list[DirectoryId]:
        return [one.directory_id for one in store.claim_due("worker", NOW, NOW + MINUTE, limit)]

    assert claim(1) == [early]
    assert claim(9) == [late]
    assert claim(9) == []


def test_a_claim_says_whose_and_carries_the_next_fence(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    (directory_id,) = _add_directories(fresh_database, NOW)
    (owner,) = store.organisations()

    assert store.claim_due("a", NOW, NOW + MINUTE, 9) == [Claim(owner.organisation_id, directory_id, 1)]
    assert store.claim_due("b", NOW + MINUTE, NOW + 2 * MINUTE, 9) == [
        Claim(owner.organisation_id, directory_id, 2)
    ]


def test_claims_of_several_workers_give_each_directory_once(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    wanted = _add_directories(fresh_database, *(NOW - number * MINUTE for number in range(60)))
    claimed: list[DirectoryId] = []

    def work(owner: str) -> None:
        while claims := store.claim_due(owner, NOW, NOW + MINUTE, 3):
            claimed.extend(one.directory_id for one in claims)

    run_all(*(lambda owner=owner: work(owner) for owner in "abcd"))

    assert sorted(claimed) == sorted(wanted)


def test_one_directory_is_claimed_by_hand_unless_it_is_held(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    (directory_id,) = _add_directories(fresh_database, None)

    first = store.claim(directory_id, "cli", NOW, NOW + MINUTE)
    assert first is not None
    assert first.fence == 1
    assert store.claim(directory_id, "other", NOW + MINUTE / 2, NOW + MINUTE) is None
    assert store.release(first)
    assert not store.release(first)
    second = store.claim(directory_id, "other", NOW, NOW + MINUTE)
    assert second is not None
    assert second.fence == 2
    assert not store.release(first)
    assert store.claim(DirectoryId(new_id()), "cli", NOW, NOW + MINUTE) is None


def test_due_directories_are_named_without_being_taken(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    late, early, _future, _by_hand = _add_directories(fresh_database, NOW, NOW - MINUTE, NOW + MINUTE, None)

    assert store.directories_due(NOW, 9) == [early, late]
    assert store.directories_due(NOW, 1) == [early]
    store.claim(early, "worker", NOW, NOW + MINUTE)
    assert store.directories_due(NOW, 9) == [late]


def test_a_directory_that_is_not_due_is_not_claimed_for_a_job(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    due, future, by_hand = _add_directories(fresh_database, NOW, NOW + MINUTE, None)

    def claim(directory_id: DirectoryId) -> Claim | None:
        return store.claim(directory_id, "job", NOW, NOW + MINUTE, only_due=True)

    assert [claim(future), claim(by_hand)] == [None, None]
    assert claim(due) is not None
    assert claim(due) is None


def test_the_lease_of_an_owner_who_is_gone_is_ended_and_no_other(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    (directory_id,) = _add_directories(fresh_database, NOW)
    held = store.claim(directory_id, "job 7, attempt 1", NOW, NOW + MINUTE)
    assert held is not None

    assert store.release_owner(directory_id, "job 7, attempt 2")
    assert store.claim(directory_id, "other", NOW, NOW + MINUTE) is None
    assert store.release_owner(directory_id, "job 7, attempt 1")
    assert not store.release(held)
    assert store.claim(directory_id, "other", NOW, NOW + MINUTE) is not None


def test_organisations_with_pending_members_are_found(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    quiet, busy, busier = (make_tenant(fresh_database) for _ in range(3))
    for tenant in (quiet, busy, busier):
        tenant.add_members(member("a"), member("b"))
    for tenant in (busy, busier):
        with tenant.unit_of_work.write() as writer:
            writer.enqueue_everyone(kind="system", root=EventId(new_id()), parent=EventId(new_id()))

    expected = sorted([busy.organisation_id, busier.organisation_id])
    assert store.organisations_with_pending(9) == expected
    assert store.organisations_with_pending(1) == expected[:1]


def test_organisations_with_something_that_ran_out_are_found(fresh_database: Database) -> None:
    store = SQLServiceStore(fresh_database)
    overridden, inviting, done = (make_tenant(fresh_database) for _ in range(3))
    with overridden.unit_of_work.write() as writer:
        writer.insert_override(override(MemberId(new_id())), NOW)
        writer.insert_invitation(invitation(), NOW)
    with inviting.unit_of_work.write() as writer:
        writer.insert_invitation(invitation(), NOW)
    with done.unit_of_work.write() as writer:
        writer.insert_override(override(MemberId(new_id()), ended_at=NOW), NOW)
        writer.insert_invitation(invitation(state="accepted"), NOW)

    expected: list[OrganisationId] = sorted([overridden.organisation_id, inviting.organisation_id])
    assert store.organisations_with_due(NOW, 9) == []
    assert store.organisations_with_due(NOW + MINUTE, 9) == expected
    assert len(store.organisations_with_due(NOW + MINUTE, 1)) == 1


def test_rows_of_every_table_are_counted(fresh_database: Database) -> None:
    make_tenant(fresh_database)

    counts = SQLServiceStore(fresh_database).row_counts()

    # The migrations make the one row each of the two that the log is kept by.
    assert {name: count for name, count in counts.items() if count} == {
        "audit_indexed": 1,
        "audit_sealer": 1,
        "directory": 1,
        "environment": 1,
        "organisation": 1,
        "scope": 1,
    }
