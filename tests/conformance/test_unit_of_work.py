"""Transactions: all or nothing, one writer of an organisation at a time, a consistent view for readers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from directory.ids import ExternalId, OrganisationId
from provisioning.ports import Reader, Writer
from storage.engine import Database
from storage.errors import NestedWriteError, UnfitValueError, UnknownOrganisationError
from storage.service_store import SQLServiceStore
from storage.unit_of_work import OrganisationUnitOfWork
from tests.conformance.builders import NOW, Tenant, event, grant, interval, member, new_id


class Stop(Exception):  # noqa: N818 - a stand-in for whatever goes wrong
    """What a command raises half-way."""


def run_all(*tasks: Callable[[], None]) -> None:
    """Run tasks at once, a thread each, and raise what any of them raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        for running in [pool.submit(task) for task in tasks]:
            running.result()


def test_both_ways_satisfy_the_ports(tenant: Tenant) -> None:
    with tenant.unit_of_work.write() as writer:
        as_writer: Writer = writer
        assert as_writer.organisation() == tenant.state
    with tenant.unit_of_work.read() as reader:
        as_reader: Reader = reader
        assert as_reader.organisation() == tenant.state
    assert tenant.unit_of_work.organisation_id == tenant.organisation_id


def test_an_unknown_organisation_is_refused(database: Database) -> None:
    unit_of_work = OrganisationUnitOfWork(database, OrganisationId(new_id()))

    with pytest.raises(UnknownOrganisationError, match=unit_of_work.organisation_id), unit_of_work.write():
        ...
    with pytest.raises(UnknownOrganisationError), unit_of_work.read():
        ...


def test_a_write_that_fails_leaves_nothing(tenant: Tenant) -> None:
    ada, admins, guest, written = tenant.user(), tenant.group(), member(), event()

    def everything() -> None:
        with tenant.unit_of_work.write() as writer:
            writer.insert_users([ada])
            writer.insert_groups([admins])
            writer.insert_memberships([(admins.group_id, ada.user_id)])
            writer.insert_members([guest], NOW)
            writer.open_intervals([interval(guest.member_id, grant(tenant.state.root_scope_id))], NOW)
            writer.append_events([written])
            writer.put_domain("example.org", NOW)
            writer.save_organisation(replace(tenant.state, access_version=99))
            raise Stop

    with pytest.raises(Stop):
        everything()

    with tenant.unit_of_work.read() as reader:
        assert reader.organisation() == tenant.state
        assert reader.users_by_external_id(tenant.directory_id, [ada.external_id]) == {}
        assert reader.group_sizes() == {}
        assert reader.member_ids(None, 9) == []
        assert list(reader.open_grants()) == []
        assert reader.event_bodies([written.event_id]) == {}
        assert reader.domains() == frozenset()


def test_an_attempt_that_fails_leaves_the_rest_of_the_write(tenant: Tenant) -> None:
    first, lost, last = (tenant.group(name, external_id=ExternalId(name)) for name in ("a", "b", "c"))
    kept = replace(tenant.state, access_version=7)

    def attempt_in_vain(writer: Writer) -> None:
        with writer.attempt():
            writer.insert_groups([lost])
            writer.save_organisation(replace(kept, access_version=99))
            raise Stop

    with tenant.unit_of_work.write() as writer:
        with writer.attempt():
            writer.insert_groups([first])
            writer.save_organisation(kept)
        with pytest.raises(Stop):
            attempt_in_vain(writer)
        assert writer.organisation() == kept
        writer.insert_groups([last])

    with tenant.unit_of_work.read() as reader:
        found = reader.groups_by_external_id(tenant.directory_id, [ExternalId(name) for name in "abc"])
        assert reader.organisation() == kept
    assert found.keys() == {"a", "c"}


def test_a_refused_value_leaves_nothing_and_the_next_write_works(tenant: Tenant) -> None:
    if tenant.database.is_sqlite:
        pytest.skip("SQLite stores any text")
    with pytest.raises(UnfitValueError):
        tenant.add_users(tenant.user("nul\x00"))
    with pytest.raises(UnfitValueError), tenant.unit_of_work.write() as writer:
        writer.put_domain("x" * 300, NOW)

    tenant.add_users(tenant.user())
    with tenant.unit_of_work.read() as reader:
        assert reader.domains() == frozenset()


def test_writers_at_once_lose_nothing(tenant: Tenant) -> None:
    rounds = 20

    def count_up() -> None:
        for _ in range(rounds):
            with tenant.unit_of_work.write() as writer:
                state = writer.organisation()
                writer.save_organisation(replace(state, access_version=state.access_version + 1))

    run_all(count_up, count_up, count_up)

    with tenant.unit_of_work.read() as reader:
        assert reader.organisation().access_version == tenant.state.access_version + 3 * rounds


def test_a_reader_sees_one_moment(tenant: Tenant) -> None:
    with tenant.unit_of_work.read() as reader:
        assert reader.member_ids(None, 9) == []
        run_all(lambda: tenant.add_members(member()))
        assert reader.member_ids(None, 9) == []

    with tenant.unit_of_work.read() as reader:
        assert len(reader.member_ids(None, 9)) == 1


def test_a_reader_does_not_see_what_is_not_committed(tenant: Tenant) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.insert_members([member()], NOW)
        with tenant.unit_of_work.read() as reader:
            assert reader.member_ids(None, 9) == []


def test_a_write_inside_a_write_is_refused_where_it_would_wait_for_itself(
    tenant: Tenant, other: Tenant
) -> None:
    if not tenant.database.is_sqlite:
        pytest.skip("PostgreSQL has a lock for each organisation")
    with tenant.unit_of_work.write(), pytest.raises(NestedWriteError), other.unit_of_work.write():
        ...

    tenant.add_members(member())


def test_organisations_are_written_at_once_on_postgresql(tenant: Tenant, other: Tenant) -> None:
    if tenant.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    with tenant.unit_of_work.write() as writer, other.unit_of_work.write() as other_writer:
        writer.insert_members([member()], NOW)
        other_writer.insert_members([member()], NOW)


def test_work_of_the_service_does_not_wait_for_a_locked_organisation(tenant: Tenant) -> None:
    if tenant.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    store = SQLServiceStore(tenant.database)

    with tenant.unit_of_work.write():
        claim = store.claim(tenant.directory_id, "worker", NOW, NOW)
        assert claim is not None


def test_statistics_can_be_refreshed_at_any_time(tenant: Tenant) -> None:
    tenant.unit_of_work.refresh_statistics()
    tenant.add_users(*(tenant.user(f"u{number}") for number in range(100)))
    tenant.unit_of_work.refresh_statistics()

    with tenant.unit_of_work.read() as reader:
        assert reader.counts(tenant.directory_id)["users"] == 100
