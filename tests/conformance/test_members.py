"""Members: their records, and the ways to find them."""

from dataclasses import replace

import pytest

from directory.ids import DirectoryId, ExternalId, MemberId, ScopeId
from mappings.access import ActiveOverride, LinkedUser, MemberFacts
from provisioning.state import MemberRecord, OpenGrant, Seat, StoredBlock
from storage.errors import ConflictError
from tests.conformance.builders import (
    ADMIN,
    CLEANER,
    MINUTE,
    NOW,
    Tenant,
    directory,
    grant,
    group,
    interval,
    make_tenant,
    member,
    member_update,
    new_id,
    override,
    user,
)


def ids(*members: object) -> list[object]:
    return sorted(members)  # type: ignore[type-var]  # ids are text


def test_a_new_member_holds_nothing(tenant: Tenant) -> None:
    scope_id = tenant.state.root_scope_id
    invited = member("Zoë", invited=((ADMIN, scope_id), (CLEANER, scope_id)))
    tenant.add_members(invited)

    with tenant.unit_of_work.read() as reader:
        records = reader.member_records([invited.member_id, MemberId(new_id())])
    assert records == {
        invited.member_id: MemberRecord(
            facts=MemberFacts(invited.member_id, (), invited=invited.invited),
            display_name="Zoë",
            mail="Zoë@example.org",
            pii_ref=invited.pii_ref,
            is_active=True,
            seat=Seat.NONE,
            waiting_since=None,
            waiting_priority=None,
            waiting_rank=None,
            is_held=False,
            is_deleted=False,
            deactivated_at=None,
            has_users=False,
            held=(),
        )
    }


def test_a_record_has_all_that_access_depends_on(tenant: Tenant) -> None:
    ada = tenant.user("ada")
    second = tenant.user("ada2", member_id=ada.member_id, active=False)
    gone = tenant.user("ada3", member_id=ada.member_id, deleted_at=NOW)
    admins, ops = tenant.group("Admins"), tenant.group("Ops")
    tenant.add_users(ada, second, gone)
    tenant.add_groups(admins, ops)
    tenant.join((ops, ada), (admins, ada), (ops, second), (ops, gone))
    held = grant(tenant.state.root_scope_id, group_id=ops.group_id)
    exception = override(ada.member_id)
    with tenant.unit_of_work.write() as writer:
        writer.open_intervals([interval(ada.member_id, held)], NOW)
        writer.insert_block(StoredBlock(ada.member_id, "Left", "boss", NOW))
        writer.insert_override(override(ada.member_id, ended_at=NOW), NOW)
        writer.insert_override(exception, NOW)
        writer.update_members(
            [
                member_update(
                    ada.member_id,
                    Seat.WAITING,
                    is_active=False,
                    waiting_priority=5,
                    waiting_rank=30,
                    waiting_since=NOW,
                    is_held=True,
                    deactivated_at=NOW,
                )
            ],
            NOW,
        )
        writer.save_organisation(replace(tenant.state, owner_id=ada.member_id))

    with tenant.unit_of_work.read() as reader:
        record = reader.member_records([ada.member_id], with_attributes=False)[ada.member_id]

    assert sorted(record.facts.users, key=lambda linked: linked.user_id) == [
        LinkedUser(
            ada.user_id,
            tenant.directory_id,
            active=True,
            groups=(admins.group_id, ops.group_id),
            attributes={},
        ),
        LinkedUser(second.user_id, tenant.directory_id, active=False, groups=(ops.group_id,), attributes={}),
    ]
    assert record.facts.is_owner
    assert record.facts.is_blocked
    assert record.facts.override == ActiveOverride(exception.override_id, exception.grants, exception.ends_at)
    assert [(one.grant, one.interval_id > 0) for one in record.held] == [(held, True)]
    assert (record.is_active, record.seat, record.is_held, record.has_users) == (
        False,
        Seat.WAITING,
        True,
        True,
    )
    assert (record.waiting_priority, record.waiting_rank, record.waiting_since) == (5, 30, NOW)
    assert record.deactivated_at == NOW


def test_attributes_are_loaded_where_they_are_needed(tenant: Tenant) -> None:
    ada = tenant.user("ada")
    bare = tenant.user("bare", mails=(), attributes={}, given_name="", active=False)
    tenant.add_users(ada, bare)

    with tenant.unit_of_work.write() as writer:
        records = writer.member_records([ada.member_id], with_attributes=False)
        assert records[ada.member_id].facts.users[0].attributes == {}
        records = writer.member_records([ada.member_id, bare.member_id])

    assert records[ada.member_id].facts.users[0].attributes == {
        "active": ("true",),
        "department": ("R&D", "Ops"),
        "displayName": ("Ada",),
        "emails.value": ("ada@example.org",),
        "externalId": ("x-ada",),
        "name.familyName": ("Lovelace",),
        "name.givenName": ("Ada",),
        "title": ("Analyst",),
        "userName": ("ada",),
    }
    assert records[bare.member_id].facts.users[0].attributes == {
        "active": ("false",),
        "displayName": ("Bare",),
        "externalId": ("x-bare",),
        "name.familyName": ("Lovelace",),
        "userName": ("bare",),
    }


def test_no_members_cost_no_query(tenant: Tenant) -> None:
    with tenant.unit_of_work.read() as reader:
        assert reader.member_records([]) == {}


def test_deletion_keeps_its_first_moment_until_it_is_undone(tenant: Tenant) -> None:
    ada = member()
    tenant.add_members(ada)
    tenant.update(member_update(ada.member_id, Seat.NONE, is_deleted=True, is_active=False))
    tenant.update(member_update(ada.member_id, Seat.NONE, is_deleted=True, is_active=False), at=NOW + MINUTE)

    with tenant.unit_of_work.read() as reader:
        assert reader.member_records([ada.member_id])[ada.member_id].is_deleted
        assert reader.member_ids(None, 10) == []
    tenant.update(member_update(ada.member_id))
    with tenant.unit_of_work.read() as reader:
        assert not reader.member_records([ada.member_id])[ada.member_id].is_deleted
        assert reader.member_ids(None, 10) == [ada.member_id]


def test_profiles_and_invited_grants_are_rewritten(tenant: Tenant) -> None:
    ada = member()
    tenant.add_members(ada)
    pairs = ((ADMIN, ScopeId(new_id())),)

    with tenant.unit_of_work.write() as writer:
        ref = new_id()
        writer.update_profiles([(ada.member_id, "Ada King", "Ada@King.example", ref)])
        writer.set_invited(ada.member_id, pairs)
        record = writer.member_records([ada.member_id])[ada.member_id]
        assert (record.display_name, record.mail, record.pii_ref) == ("Ada King", "Ada@King.example", ref)
        assert record.facts.invited == pairs
        assert writer.members_by_mail(["ada@king.example"]) == {"ada@king.example": {ada.member_id}}
        writer.set_invited(ada.member_id, ())
        assert writer.member_records([ada.member_id])[ada.member_id].facts.invited == ()


def test_member_ids_are_pages_in_order(tenant: Tenant) -> None:
    members = [member(f"m{number}") for number in range(5)]
    tenant.add_members(*members)
    expected = ids(*(one.member_id for one in members))

    with tenant.unit_of_work.read() as reader:
        first = reader.member_ids(None, 3)
        assert first == expected[:3]
        assert reader.member_ids(first[-1], 3) == expected[3:]
        assert reader.member_ids(MemberId(str(expected[-1])), 3) == []


def test_directories_of_members_have_a_live_user(tenant: Tenant) -> None:
    second = DirectoryId(new_id())
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(directory(tenant.organisation_id, second, "second"), NOW)
    ada = tenant.user("ada")
    twin = user(second, "twin", member_id=ada.member_id)
    bob, gone = user(second, "bob"), user(second, "gone", deleted_at=NOW)
    admins, far = tenant.group(), group(second)
    tenant.add_users(ada, twin, bob, gone)
    tenant.add_groups(admins, far)
    tenant.join((admins, ada), (far, twin), (far, bob), (far, gone))

    with tenant.unit_of_work.read() as reader:
        assert reader.directories_of_members([ada.member_id, gone.member_id]) == {
            (ada.member_id, tenant.directory_id),
            (ada.member_id, second),
        }


def test_members_are_found_by_text(tenant: Tenant) -> None:
    ada = tenant.user("STRASSE", mails=("Ada@Example.org",))
    other_mail = replace(member("bob"), mail="ADA@example.ORG")
    tenant.add_users(ada)
    tenant.add_members(other_mail)

    with tenant.unit_of_work.read() as reader:
        assert reader.members_by_text("straße") == [ada.member_id]
        assert reader.members_by_text("ada@EXAMPLE.org") == ids(ada.member_id, other_mail.member_id)
        assert reader.members_by_text(ada.member_id.upper()) == [ada.member_id]
        assert reader.members_by_text("") == []
        assert reader.members_by_text("nobody") == []


def test_members_are_found_by_external_id_of_any_directory(tenant: Tenant) -> None:
    second = DirectoryId(new_id())
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(directory(tenant.organisation_id, second, "second"), NOW)
    ada, twin = tenant.user("ada"), user(second, "ada")
    left, gone = tenant.user("left"), tenant.user("gone", deleted_at=NOW)
    tenant.add_users(ada, twin, left, gone)
    tenant.update(member_update(left.member_id, Seat.NONE, is_deleted=True))

    with tenant.unit_of_work.read() as reader:
        wanted = [ada.external_id, left.external_id, gone.external_id, ExternalId("unknown")]
        assert reader.members_by_external_id(wanted) == {ada.external_id: {ada.member_id, twin.member_id}}


def test_members_are_found_by_what_a_pushing_client_calls_their_users(tenant: Tenant) -> None:
    ada = tenant.user("ada", external_id=ExternalId("A-1"))
    twin = tenant.pushed({"userName": "twin", "externalId": "A-1"})
    silent = tenant.pushed({"userName": "silent"})
    left, gone = (tenant.pushed({"userName": name, "externalId": "A-1"}) for name in ("left", "gone"))
    tenant.add_users(ada, twin, silent, left, replace(gone, deleted_at=NOW))
    tenant.update(member_update(left.member_id, Seat.NONE, is_deleted=True))

    with tenant.unit_of_work.read() as reader:
        wanted = [ExternalId("A-1"), ExternalId(""), silent.external_id, twin.external_id]
        assert reader.members_by_external_id(wanted) == {"A-1": {ada.member_id, twin.member_id}}


def test_members_are_found_by_what_a_client_called_their_deleted_users(tenant: Tenant, other: Tenant) -> None:
    live = tenant.pushed({"userName": "live", "externalId": "A-1"})
    gone, twin, silent = (
        tenant.pushed({"userName": "gone", "externalId": client_id}, deleted_at=NOW)
        for client_id in ("A-1", "A-1", "")
    )
    tenant.add_users(live, gone, twin, silent)
    tenant.update(member_update(twin.member_id, Seat.NONE, is_deleted=True))

    with tenant.unit_of_work.read() as reader:
        found = reader.members_of_deleted(tenant.directory_id, ["A-1", "A-2", ""])
        assert found == {"A-1": {gone.member_id, twin.member_id}}
        assert reader.members_of_deleted(other.directory_id, ["A-1"]) == {}
    with other.unit_of_work.read() as reader:
        assert reader.members_of_deleted(tenant.directory_id, ["A-1"]) == {}


def test_attributes_of_a_pushed_user_are_what_its_client_calls_them(tenant: Tenant) -> None:
    attributes = {
        "externalId": ("A-1",),
        "emails.value": ("b@example.org", "a@example.org"),
        "emails.type": ("home", "work"),
    }
    ada = tenant.pushed(
        {"userName": "ada", "externalId": "A-1"},
        mails=("a@example.org", "b@example.org"),
        attributes=attributes,
    )
    silent = tenant.pushed({"userName": "silent"}, attributes={}, mails=("s@example.org",))
    tenant.add_users(ada, silent)

    with tenant.unit_of_work.read() as reader:
        records = reader.member_records([ada.member_id, silent.member_id])

    found = records[ada.member_id].facts.users[0].attributes
    assert {name: found[name] for name in attributes} == attributes
    found = records[silent.member_id].facts.users[0].attributes
    assert "externalId" not in found
    assert found["emails.value"] == ("s@example.org",)


def test_members_are_found_by_mail_of_theirs_or_of_a_user(tenant: Tenant) -> None:
    ada = tenant.user("ada", mails=("new@example.org",))
    invited = member("guest")
    left, nameless = tenant.user("left"), tenant.user("nameless", mails=())
    tenant.add_users(ada, left, nameless)
    tenant.add_members(invited)
    tenant.update(member_update(left.member_id, Seat.NONE, is_deleted=True))
    with tenant.unit_of_work.write() as writer:
        writer.update_profiles([(ada.member_id, "Ada", "old@example.org", new_id())])

    with tenant.unit_of_work.read() as reader:
        assert reader.members_by_mail(
            ["new@example.org", "old@example.org", "guest@example.org", "left@example.org", ""]
        ) == {
            "new@example.org": {ada.member_id},
            "old@example.org": {ada.member_id},
            "guest@example.org": {invited.member_id},
        }


def test_the_waiting_list_goes_by_priority_rank_time_and_id(tenant: Tenant) -> None:
    members = [member(f"m{number}") for number in range(6)]
    tenant.add_members(*members)
    in_order = sorted(one.member_id for one in members)
    last, ranked_low, later, first_id, second_id, seated = in_order

    def waiting(member_id: MemberId, priority: int, rank: int, minutes: int) -> None:
        tenant.update(
            member_update(
                member_id,
                Seat.WAITING,
                waiting_priority=priority,
                waiting_rank=rank,
                waiting_since=NOW + minutes * MINUTE,
            )
        )

    waiting(last, 20, 99, 0)
    waiting(ranked_low, 10, 1, 0)
    waiting(later, 10, 50, 1)
    waiting(first_id, 10, 50, 0)
    waiting(second_id, 10, 50, 0)
    tenant.update(member_update(seated))
    expected = [first_id, second_id, later, ranked_low, last]

    with tenant.unit_of_work.read() as reader:
        assert reader.waiting(10, []) == expected
        assert reader.waiting(2, []) == expected[:2]
        assert reader.waiting(2, [first_id, later]) == [second_id, ranked_low]
        assert reader.count_waiting() == 5


def test_held_members_are_listed(tenant: Tenant) -> None:
    ada, bob = member("ada"), member("bob")
    tenant.add_members(ada, bob)
    tenant.update(member_update(bob.member_id, is_held=True))

    with tenant.unit_of_work.read() as reader:
        assert reader.held_members() == [bob.member_id]


def test_one_member_in_each_row(tenant: Tenant) -> None:
    ada = member()
    tenant.add_members(ada)

    with pytest.raises(ConflictError):
        tenant.add_members(ada)


def test_members_of_another_organisation_are_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    ada, admins = other.user(), other.group()
    other.add_users(ada)
    other.add_groups(admins)
    other.join((admins, ada))
    other.open(interval(ada.member_id, grant(other.state.root_scope_id)))
    other.update(member_update(ada.member_id, Seat.WAITING, is_held=True, waiting_since=NOW))
    member_id = ada.member_id

    with tenant.unit_of_work.write() as writer:
        assert writer.member_records([member_id]) == {}
        assert writer.member_ids(None, 10) == []
        assert writer.members_by_text(member_id) == writer.members_by_text("ada@example.org") == []
        assert writer.members_by_text("ada") == []
        assert writer.members_by_external_id([ada.external_id]) == {}
        assert writer.members_by_mail(["ada@example.org"]) == {}
        assert writer.directories_of_members([member_id]) == set()
        assert writer.waiting(10, []) == []
        assert writer.count_waiting() == 0
        assert writer.held_members() == []
        writer.update_members([member_update(member_id, Seat.NONE, is_deleted=True)], NOW)
        writer.update_profiles([(member_id, "stolen", "", new_id())])
        writer.set_invited(member_id, ((ADMIN, ScopeId(new_id())),))

    with other.unit_of_work.read() as reader:
        record = reader.member_records([member_id])[member_id]
        assert (record.display_name, record.seat, record.is_deleted) == ("Ada", Seat.WAITING, False)
        assert record.facts.invited == ()


def test_an_owner_of_one_organisation_owns_no_other(tenant: Tenant) -> None:
    ada = member()
    owned = make_tenant(tenant.database, owner_id=ada.member_id)
    tenant.add_members(ada)

    with tenant.unit_of_work.read() as reader:
        assert not reader.member_records([ada.member_id])[ada.member_id].facts.is_owner
    assert owned.state.owner_id == ada.member_id


def test_held_grants_share_what_they_have_in_common(tenant: Tenant) -> None:
    ada, bob = member("ada"), member("bob")
    tenant.add_members(ada, bob)
    held = grant(tenant.state.root_scope_id)
    tenant.open(interval(ada.member_id, held), interval(bob.member_id, held))

    with tenant.unit_of_work.read() as reader:
        records = reader.member_records([ada.member_id, bob.member_id])
    (first,), (second,) = records[ada.member_id].held, records[bob.member_id].held
    assert isinstance(first, OpenGrant)
    assert first.grant == second.grant == held
    assert first.interval_id != second.interval_id
