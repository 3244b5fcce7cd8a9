"""Users, groups, memberships and nesting."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from directory.ids import DirectoryId, ExternalId, GroupId, MemberId
from directory.schema import ENTERPRISE
from provisioning.state import StoredUser
from storage.errors import ConflictError
from storage.tables import scim_entry, scim_user
from tests.conformance.builders import MINUTE, NOW, Tenant, directory, group, new_id, user

LARGE = "Ω" * 100_000


def test_users_come_back_as_they_were_stored(tenant: Tenant) -> None:
    ada = tenant.user("Ada Ÿ 🦉", mails=("Ada@Example.org", "a@b.c"), dn=LARGE, attributes={}, active=False)
    eve = tenant.user(
        "eve", mails=(), deleted_at=NOW, updated_at=NOW + MINUTE, absent_runs=2, version=7, fingerprint=b""
    )

    tenant.add_users(ada, eve)

    with tenant.unit_of_work.read() as reader:
        found = reader.users_by_external_id(
            tenant.directory_id, [ada.external_id, eve.external_id, ExternalId("?")]
        )
    assert found == {ada.external_id: ada, eve.external_id: eve}


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_sets_of_any_size_are_one_parameter(tenant: Tenant, size: int) -> None:
    users = [tenant.user(f"u{number}") for number in range(size)]
    ids = [one.external_id for one in users]

    tenant.add_users(*users)

    with tenant.unit_of_work.read() as reader:
        assert len(reader.users_by_external_id(tenant.directory_id, ids)) == size
        assert len(reader.member_records([one.member_id for one in users])) == size


def test_update_rewrites_every_column(tenant: Tenant) -> None:
    ada = tenant.user()
    tenant.add_users(ada)
    changed = replace(
        ada,
        user_name="Countess",
        display_name="Ada King",
        given_name="A",
        family_name="K",
        mails=("ada@king.example",),
        dn="uid=countess",
        attributes={"title": ("Countess",)},
        active=False,
        fingerprint=b"new",
        pii_ref=new_id(),
        absent_runs=1,
        version=2,
        updated_at=NOW + MINUTE,
        deleted_at=NOW + MINUTE,
    )

    with tenant.unit_of_work.write() as writer:
        writer.update_users([changed])
        writer.update_users([])

    with tenant.unit_of_work.read() as reader:
        assert reader.users_by_external_id(tenant.directory_id, [ada.external_id]) == {
            ada.external_id: changed
        }


def test_an_external_id_is_taken_once_in_a_directory(tenant: Tenant) -> None:
    tenant.add_users(tenant.user())

    with pytest.raises(ConflictError):
        tenant.add_users(tenant.user())


def test_user_names_may_repeat_in_a_directory(tenant: Tenant) -> None:
    first, second = tenant.user(), replace(tenant.user(), external_id=ExternalId("x-2"))

    tenant.add_users(first, second)

    with tenant.unit_of_work.read() as reader:
        assert len(reader.users_by_external_id(tenant.directory_id, ["x-ada", "x-2"])) == 2  # type: ignore[list-item]


def test_users_of_members_are_live_and_in_order_of_their_directories(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    second = DirectoryId(new_id())
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(directory(tenant.organisation_id, second, "first", priority=1), NOW)
    late = tenant.user("late", member_id=member_id)
    early = user(second, "early", member_id=member_id)
    gone = tenant.user("gone", member_id=member_id, deleted_at=NOW)

    tenant.add_users(late, early, gone)

    with tenant.unit_of_work.read() as reader:
        assert reader.users_of_members([member_id]) == [early, late]


def test_groups_come_back_as_they_were_stored(tenant: Tenant) -> None:
    admins, gone = tenant.group("Ädmins"), tenant.group("Gone", deleted_at=NOW)
    tenant.add_groups(admins, gone)

    with tenant.unit_of_work.read() as reader:
        ids = [admins.external_id, gone.external_id]
        assert reader.groups_by_external_id(tenant.directory_id, ids) == dict(
            zip(ids, [admins, gone], strict=True)
        )
        assert reader.groups_by_id([admins.group_id, GroupId(new_id())]) == {admins.group_id: admins}


def test_group_update_rewrites_every_column(tenant: Tenant) -> None:
    admins = tenant.group()
    tenant.add_groups(admins)
    changed = replace(
        admins, display_name="Ops", dn="", fingerprint=b"", version=2, updated_at=NOW + MINUTE, deleted_at=NOW
    )

    with tenant.unit_of_work.write() as writer:
        writer.update_groups([changed])

    with tenant.unit_of_work.read() as reader:
        assert reader.groups_by_id([admins.group_id]) == {admins.group_id: changed}


def test_groups_by_name_compare_by_name_key_and_leave_tombstones_out(tenant: Tenant) -> None:
    street, upper = tenant.group("Straße"), replace(tenant.group("STRASSE"), external_id=ExternalId("g-2"))
    gone = replace(tenant.group("strasse"), external_id=ExternalId("g-3"), deleted_at=NOW)
    tenant.add_groups(street, upper, gone)

    with tenant.unit_of_work.read() as reader:
        assert reader.groups_by_name("strasse") == [street, upper]
        assert reader.groups_by_name("Street") == []


def test_memberships_begin_and_end(tenant: Tenant) -> None:
    ada, bob = tenant.user("ada"), tenant.user("bob")
    admins, ops = tenant.group("Admins"), tenant.group("Ops")
    tenant.add_users(ada, bob)
    tenant.add_groups(admins, ops)
    pairs = [(admins.group_id, ada.user_id), (admins.group_id, bob.user_id), (ops.group_id, ada.user_id)]

    with tenant.unit_of_work.write() as writer:
        writer.insert_memberships([*pairs, pairs[0]])
        writer.insert_memberships(pairs[:1])
        writer.insert_memberships([])
        assert writer.present_memberships([*pairs, (ops.group_id, bob.user_id)]) == set(pairs)
        assert writer.groups_of_users([ada.user_id]) == sorted([pairs[0], pairs[2]])
        assert writer.user_ids_of_group(admins.group_id) == {"x-ada": ada.user_id, "x-bob": bob.user_id}
        assert writer.group_sizes() == {admins.group_id: 2, ops.group_id: 1}
        writer.delete_memberships([pairs[1], (ops.group_id, bob.user_id)])
        writer.delete_memberships([])

    with tenant.unit_of_work.read() as reader:
        assert reader.present_memberships(pairs) == {pairs[0], pairs[2]}


def test_present_memberships_of_many_pairs(tenant: Tenant) -> None:
    users = [tenant.user(f"u{number}") for number in range(1000)]
    groups = [tenant.group(f"g{number}") for number in range(5)]
    tenant.add_users(*users)
    tenant.add_groups(*groups)
    pairs = [(one.group_id, who.user_id) for one in groups for who in users]

    with tenant.unit_of_work.write() as writer:
        writer.insert_memberships(pairs[:2500])
        assert writer.present_memberships(pairs) == set(pairs[:2500])
        writer.delete_memberships(pairs[1:])
        assert writer.present_memberships(pairs) == {pairs[0]}


def test_group_sizes_leave_tombstones_and_other_directories_out(tenant: Tenant) -> None:
    second = DirectoryId(new_id())
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(directory(tenant.organisation_id, second, "second"), NOW)
    ada, bob = tenant.user(), user(second, "bob")
    admins, gone, empty, far = (
        tenant.group(),
        tenant.group("G", deleted_at=NOW),
        tenant.group("E"),
        group(second),
    )
    tenant.add_users(ada, bob)
    tenant.add_groups(admins, gone, empty, far)
    tenant.join((admins, ada), (gone, ada), (far, bob))

    with tenant.unit_of_work.read() as reader:
        assert reader.group_sizes() == {admins.group_id: 1, far.group_id: 1}
        assert reader.group_sizes(tenant.directory_id) == {admins.group_id: 1}


def test_clearing_a_group_ends_its_memberships_and_its_nesting_both_ways(tenant: Tenant) -> None:
    ada, bob = tenant.user("ada"), tenant.user("bob")
    outer, middle, inner = (tenant.group(name) for name in ("Outer", "Middle", "Inner"))
    tenant.add_users(ada, bob)
    tenant.add_groups(outer, middle, inner)
    tenant.join((middle, ada), (middle, bob), (inner, ada))

    with tenant.unit_of_work.write() as writer:
        writer.insert_subgroups([(outer.group_id, middle.group_id), (middle.group_id, inner.group_id)])
        writer.insert_subgroups([(outer.group_id, inner.group_id), (outer.group_id, inner.group_id)])
        assert writer.clear_group(middle.group_id) == 2
        assert writer.clear_group(middle.group_id) == 0
        assert writer.model_inputs().nesting == ((outer.group_id, inner.group_id),)
        assert writer.group_sizes() == {inner.group_id: 1}


def test_nesting_begins_and_ends_and_may_be_a_cycle(tenant: Tenant) -> None:
    first, second = tenant.group("First"), tenant.group("Second")
    tenant.add_groups(first, second)
    pairs = [(first.group_id, second.group_id), (second.group_id, first.group_id)]

    with tenant.unit_of_work.write() as writer:
        writer.insert_subgroups(pairs)
        writer.insert_subgroups(pairs)
        assert set(writer.model_inputs().nesting) == set(pairs)
        writer.delete_subgroups(pairs[:1])
        assert writer.model_inputs().nesting == (pairs[1],)


def test_fingerprints_are_of_live_users_that_have_one_and_of_live_groups(tenant: Tenant) -> None:
    kept = tenant.user("Ünï", fingerprint=b"\x00a")
    tenant.add_users(kept, tenant.user("b", fingerprint=b""), tenant.user("c", deleted_at=NOW))
    tenant.add_groups(
        tenant.group("G"), tenant.group("H", fingerprint=b""), tenant.group("I", deleted_at=NOW)
    )

    with tenant.unit_of_work.read() as reader:
        users, groups = reader.fingerprints(tenant.directory_id)
        assert users == {"x-Ünï".encode(): b"\x00a"}
        assert groups == {b"g-G": b"\x01" * 16, b"g-H": b""}
        assert reader.fingerprints(DirectoryId(new_id())) == ({}, {})


def test_fingerprints_of_many_users_are_all_there(tenant: Tenant) -> None:
    tenant.add_users(*(tenant.user(f"u{number}") for number in range(4501)))

    with tenant.unit_of_work.read() as reader:
        assert len(reader.fingerprints(tenant.directory_id)[0]) == 4501


def test_absent_runs_are_set_by_external_id(tenant: Tenant) -> None:
    tenant.add_users(
        tenant.user("a"), tenant.user("b"), tenant.user("c"), tenant.user("d", absent_runs=4, deleted_at=NOW)
    )

    with tenant.unit_of_work.write() as writer:
        writer.set_absent_runs(
            tenant.directory_id, {ExternalId("x-a"): 1, ExternalId("x-b"): 2, ExternalId("x-c"): 1}
        )
        writer.set_absent_runs(tenant.directory_id, {ExternalId("x-c"): 0})
        writer.set_absent_runs(tenant.directory_id, {})

    with tenant.unit_of_work.read() as reader:
        assert reader.absent_users(tenant.directory_id) == {"x-a": 1, "x-b": 2}


def test_users_to_delete_left_long_ago_by_absence(tenant: Tenant) -> None:
    old = NOW - MINUTE
    gone = {"active": False, "fingerprint": b"", "updated_at": old}
    tenant.add_users(
        tenant.user("second", **{**gone, "updated_at": old + MINUTE / 2}),
        tenant.user("first", **gone),
        tenant.user("active", **{**gone, "active": True}),
        tenant.user("disabled", **{**gone, "fingerprint": b"f"}),
        tenant.user("recent", **{**gone, "updated_at": NOW}),
        tenant.user("tombstone", **{**gone, "deleted_at": old}),
    )

    with tenant.unit_of_work.read() as reader:
        assert reader.users_to_delete(tenant.directory_id, NOW, 10) == ["x-first", "x-second"]
        assert reader.users_to_delete(tenant.directory_id, NOW, 1) == ["x-first"]


def test_counts_leave_tombstones_out(tenant: Tenant) -> None:
    ada, bob, gone = tenant.user("ada"), tenant.user("bob", active=False), tenant.user("gone", deleted_at=NOW)
    admins, old = tenant.group(), tenant.group("Old", deleted_at=NOW)
    tenant.add_users(ada, bob, gone)
    tenant.add_groups(admins, old)
    tenant.join((admins, ada), (admins, bob), (old, ada))

    with tenant.unit_of_work.read() as reader:
        assert reader.counts(tenant.directory_id) == {
            "users": 2,
            "active_users": 1,
            "groups": 1,
            "memberships": 2,
        }


def test_facts_of_another_organisation_are_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    ada, admins, ops = other.user(), other.group(), other.group("Ops")
    other.add_users(ada)
    other.add_groups(admins, ops)
    other.join((admins, ada))
    own_user, own_group = tenant.user("own"), tenant.group("Own")
    tenant.add_users(own_user)
    tenant.add_groups(own_group)
    directory_id = other.directory_id
    pair = (admins.group_id, ada.user_id)

    with tenant.unit_of_work.write() as writer:
        assert writer.users_by_external_id(directory_id, [ada.external_id]) == {}
        assert writer.users_of_members([ada.member_id]) == []
        assert writer.groups_by_external_id(directory_id, [admins.external_id]) == {}
        assert writer.groups_by_id([admins.group_id]) == {}
        assert writer.groups_by_name("Admins") == []
        assert writer.group_sizes() == writer.group_sizes(directory_id) == {}
        assert writer.present_memberships([pair]) == set()
        assert writer.groups_of_users([ada.user_id]) == []
        assert writer.user_ids_of_group(admins.group_id) == {}
        assert writer.fingerprints(directory_id) == ({}, {})
        assert writer.absent_users(directory_id) == {}
        assert writer.counts(directory_id) == {"users": 0, "active_users": 0, "groups": 0, "memberships": 0}
        writer.update_users([replace(ada, user_name="stolen")])
        writer.update_groups([replace(admins, display_name="stolen")])
        writer.set_absent_runs(directory_id, {ada.external_id: 5})
        writer.delete_memberships([pair])
        assert writer.clear_group(admins.group_id) == 0
        writer.insert_memberships([(admins.group_id, own_user.user_id), (own_group.group_id, ada.user_id)])
        writer.insert_subgroups([(admins.group_id, ops.group_id), (own_group.group_id, ops.group_id)])
        writer.delete_subgroups([(admins.group_id, ops.group_id)])

    with other.unit_of_work.read() as reader:
        assert reader.users_by_external_id(directory_id, [ada.external_id]) == {ada.external_id: ada}
        assert reader.groups_by_id([admins.group_id]) == {admins.group_id: admins}
        assert reader.user_ids_of_group(admins.group_id) == {ada.external_id: ada.user_id}
        assert reader.model_inputs().nesting == ()
    with tenant.unit_of_work.read() as reader:
        assert reader.group_sizes() == {}
        assert reader.model_inputs().nesting == ()


DOCUMENT = {
    "userName": "ada@example.org",
    "externalId": "A-1",
    "active": True,
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"value": "ada@example.org", "type": "work", "primary": True}, {"value": "Ada@Home.example"}],
    ENTERPRISE: {"department": "R&D", "manager": {"value": "M-1", "$ref": None}},
}


def rows_of(tenant: Tenant, *users: StoredUser) -> tuple[int, int]:
    """Documents and entries stored for users."""
    ids = [one.user_id for one in users]
    with tenant.database.read() as connection:
        documents = connection.execute(select(func.count()).where(scim_user.c.id.in_(ids))).scalar_one()
        entries = connection.execute(select(func.count()).where(scim_entry.c.user_id.in_(ids))).scalar_one()
    return documents, entries


def stored(tenant: Tenant, *users: StoredUser) -> list[StoredUser]:
    with tenant.unit_of_work.read() as reader:
        found = reader.users_by_external_id(tenant.directory_id, [one.external_id for one in users])
    return [found[one.external_id] for one in users]


def test_what_a_client_said_comes_back_as_sent(tenant: Tenant) -> None:
    ada = tenant.pushed(DOCUMENT)
    bare = tenant.pushed({"userName": "Ω 🦉", "emails": [], "roles": None, "title": "", "active": False})
    admins = tenant.pushed_group(client_id="G-1")

    tenant.add_users(ada, bare)
    tenant.add_groups(admins)

    assert stored(tenant, ada, bare) == [ada, bare]
    assert rows_of(tenant, ada, bare) == (2, 2)
    with tenant.unit_of_work.read() as reader:
        assert reader.groups_by_id([admins.group_id]) == {admins.group_id: admins}
        assert reader.users_of_members([ada.member_id]) == [ada]


def test_a_document_is_rewritten_with_its_entries(tenant: Tenant) -> None:
    ada, bob = tenant.pushed(DOCUMENT), tenant.pushed({**DOCUMENT, "userName": "bob"})
    tenant.add_users(ada, bob)
    changed = replace(
        ada,
        client_id="A-2",
        resource={"userName": "ada", "roles": [{"value": "x"}, {"value": "y"}, {"primary": "True"}]},
    )

    with tenant.unit_of_work.write() as writer:
        writer.update_users([changed])

    assert stored(tenant, ada, bob) == [changed, bob]
    assert rows_of(tenant, ada) == (1, 3)
    assert rows_of(tenant, bob) == (1, 2)


def test_a_deleted_user_keeps_its_ids_and_loses_its_document(tenant: Tenant) -> None:
    ada, bob = tenant.pushed(DOCUMENT), tenant.pushed({**DOCUMENT, "userName": "bob"})
    tenant.add_users(ada, bob)
    gone = replace(ada, deleted_at=NOW, version=2)

    with tenant.unit_of_work.write() as writer:
        writer.update_users([gone, bob])

    assert stored(tenant, ada, bob) == [replace(gone, resource=None), bob]
    assert rows_of(tenant, ada) == (0, 0)
    assert rows_of(tenant, bob) == (1, 2)


def test_a_tombstone_that_is_stored_has_no_document(tenant: Tenant) -> None:
    gone = tenant.pushed(DOCUMENT, deleted_at=NOW)

    tenant.add_users(gone)

    assert stored(tenant, gone) == [replace(gone, resource=None)]
    assert rows_of(tenant, gone) == (0, 0)


def test_a_document_that_was_lost_can_be_put_again(tenant: Tenant) -> None:
    ada, bob = tenant.pushed(DOCUMENT), tenant.pushed({**DOCUMENT, "userName": "bob"})
    tenant.add_users(ada, bob)

    with tenant.unit_of_work.write() as writer:
        writer.update_users([replace(ada, resource=None)])
        writer.update_users([ada, bob])

    assert stored(tenant, ada, bob) == [ada, bob]
    assert rows_of(tenant, ada, bob) == (2, 4)


def test_documents_of_another_organisation_are_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    ada = tenant.pushed(DOCUMENT)
    tenant.add_users(ada)

    with other.unit_of_work.write() as writer:
        writer.update_users([replace(ada, deleted_at=NOW)])
        writer.step_versions(users=[ada.user_id], members=[ada.member_id])

    assert stored(tenant, ada) == [ada]
    assert rows_of(tenant, ada) == (1, 2)


def test_versions_step_once_and_only_of_what_clients_pushed(tenant: Tenant) -> None:
    ada, bob, eve = (tenant.pushed({"userName": name}) for name in ("ada", "bob", "eve"))
    gone = tenant.pushed({"userName": "gone"}, deleted_at=NOW, resource=None)
    pulled = tenant.user("pulled", member_id=ada.member_id)
    tenant.add_users(ada, bob, eve, gone, pulled)

    with tenant.unit_of_work.write() as writer:
        writer.step_versions(users=[], members=[])
        writer.step_versions(
            users=[ada.user_id, gone.user_id, pulled.user_id],
            members=[ada.member_id, bob.member_id, eve.member_id],
            leaving_out=[eve.user_id],
        )

    users = stored(tenant, ada, bob, eve, gone, pulled)
    assert users == [replace(ada, version=2), replace(bob, version=2), eve, gone, pulled]
