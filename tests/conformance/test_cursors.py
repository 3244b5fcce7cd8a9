"""How far a directory was read, kept under the fence, and the names by which changed groups are resolved."""

from directory.ids import UserId
from provisioning.state import Cursor
from storage.service_store import SQLServiceStore
from tests.conformance.builders import MINUTE, NOW, Tenant, group, user

CURSOR = Cursor(
    "timestamps", {"server": "a:389"}, {"stamp": "20261121120000Z"}, NOW, "it was asked for", "b:389", 2
)


def test_a_cursor_comes_back_as_it_was_saved(tenant: Tenant) -> None:
    claim = SQLServiceStore(tenant.database).claim(tenant.directory_id, "worker", NOW, NOW + MINUTE)
    assert claim is not None
    for cursor in (CURSOR, Cursor()):
        with tenant.unit_of_work.write() as writer:
            writer.save_cursor(tenant.directory_id, claim.fence, cursor)
            (stored,) = writer.directories()
        assert stored.cursor == cursor


def test_settings_that_are_stored_leave_the_cursor(tenant: Tenant) -> None:
    claim = SQLServiceStore(tenant.database).claim(tenant.directory_id, "worker", NOW, NOW + MINUTE)
    assert claim is not None
    with tenant.unit_of_work.write() as writer:
        writer.save_cursor(tenant.directory_id, claim.fence, CURSOR)
        (stored,) = writer.directories()
        writer.put_directory(stored, NOW)
        assert writer.directories()[0].cursor == CURSOR


def test_an_overtaken_run_and_another_organisation_save_no_cursor(tenant: Tenant, other: Tenant) -> None:
    claim = SQLServiceStore(tenant.database).claim(tenant.directory_id, "worker", NOW, NOW + MINUTE)
    assert claim is not None
    with tenant.unit_of_work.write() as writer:
        writer.save_cursor(tenant.directory_id, claim.fence - 1, CURSOR)
    with other.unit_of_work.write() as writer:
        writer.save_cursor(tenant.directory_id, claim.fence, CURSOR)
    with tenant.unit_of_work.read() as reader:
        assert reader.directories()[0].cursor is None


def test_names_are_those_of_members_whom_the_directory_still_shows(tenant: Tenant, other: Tenant) -> None:
    team = group(tenant.directory_id, "team", dn="cn=team")
    people = [
        user(tenant.directory_id, "ada", dn="uid=ada", fingerprint=b"1"),
        user(tenant.directory_id, "absent", dn="uid=absent", fingerprint=b""),
        user(tenant.directory_id, "deleted", dn="uid=deleted", fingerprint=b"1", deleted_at=NOW),
    ]
    gone = group(tenant.directory_id, "gone", dn="cn=gone", deleted_at=NOW)
    with tenant.unit_of_work.write() as writer:
        writer.insert_groups([team, gone])
        writer.insert_users(people)
        writer.insert_memberships([(team.group_id, UserId(one.user_id)) for one in people])
        assert writer.names_of_members(team.group_id) == {people[0].external_id: "uid=ada"}
        assert writer.names_of_groups(tenant.directory_id) == {team.external_id: "cn=team"}
    with other.unit_of_work.read() as reader:
        assert reader.names_of_members(team.group_id) == {}
        assert reader.names_of_groups(tenant.directory_id) == {}
