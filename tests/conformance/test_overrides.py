"""Overrides, blocks and invitations."""

from dataclasses import replace

import pytest

from directory.ids import InvitationId, MemberId, OverrideId, RoleId, ScopeId
from provisioning.state import StoredBlock
from storage.errors import ConflictError
from tests.conformance.builders import (
    ADMIN,
    CLEANER,
    MINUTE,
    NOW,
    Tenant,
    grant,
    interval,
    invitation,
    member,
    new_id,
    override,
)


def test_an_override_begins_and_ends(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    stored = override(member_id)

    with tenant.unit_of_work.write() as writer:
        writer.insert_override(stored, NOW)
        assert writer.override(stored.override_id) == stored
        assert writer.override_of(member_id) == stored
        writer.end_override(stored.override_id, NOW)
        writer.end_override(stored.override_id, NOW + MINUTE)
        assert writer.override_of(member_id) is None
        assert writer.override(stored.override_id) == replace(stored, ended_at=NOW)
        assert writer.override(OverrideId(new_id())) is None


def test_a_member_has_one_open_override(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    with tenant.unit_of_work.write() as writer:
        writer.insert_override(override(member_id, ended_at=NOW), NOW)
        writer.insert_override(override(member_id), NOW)

    with pytest.raises(ConflictError), tenant.unit_of_work.write() as writer:
        writer.insert_override(override(member_id), NOW)


def test_overrides_are_due_from_the_moment_they_end(tenant: Tenant) -> None:
    late, early, ended = (
        override(MemberId(new_id()), ends_at=NOW + minutes * MINUTE) for minutes in (2, 1, 0)
    )
    with tenant.unit_of_work.write() as writer:
        for stored in (late, early, replace(ended, ended_at=NOW)):
            writer.insert_override(stored, NOW)
        assert writer.overrides_due(NOW, 9) == []
        assert writer.overrides_due(NOW + MINUTE, 9) == [early]
        assert writer.overrides_due(NOW + 2 * MINUTE, 9) == [early, late]
        assert writer.overrides_due(NOW + 2 * MINUTE, 1) == [early]


def test_a_block_is_set_once_and_lifted(tenant: Tenant) -> None:
    block = StoredBlock(MemberId(new_id()), "Left us", "boss", NOW)
    with tenant.unit_of_work.write() as writer:
        writer.insert_block(block)
        assert writer.block_of(block.member_id) == block
    with pytest.raises(ConflictError), tenant.unit_of_work.write() as writer:
        writer.insert_block(block)
    with tenant.unit_of_work.write() as writer:
        writer.delete_block(block.member_id)
        assert writer.block_of(block.member_id) is None


def test_an_invitation_is_pending_until_it_ends(tenant: Tenant) -> None:
    stored, later = invitation(), invitation("bob@example.org", ends_at=NOW + 2 * MINUTE)
    with tenant.unit_of_work.write() as writer:
        writer.insert_invitation(later, NOW)
        writer.insert_invitation(stored, NOW)
        assert writer.invitation(stored.invitation_id) == stored
        assert writer.invitation(InvitationId(new_id())) is None
        assert writer.invitations_due(NOW, 9) == []
        assert writer.invitations_due(NOW + 2 * MINUTE, 9) == [stored, later]
        assert writer.invitations_due(NOW + 2 * MINUTE, 1) == [stored]
        writer.end_invitation(stored.invitation_id, "expired")
        assert writer.invitation(stored.invitation_id) == replace(stored, state="expired")
        assert writer.invitations_due(NOW + 2 * MINUTE, 9) == [later]


def test_members_given_something_at_a_scope_are_found(tenant: Tenant) -> None:
    scope_id, elsewhere = ScopeId(new_id()), ScopeId(new_id())
    ada, guest, stranger = member("ada"), member("guest", invited=((CLEANER, scope_id),)), member("stranger")
    tenant.add_members(ada, guest, stranger)
    with tenant.unit_of_work.write() as writer:
        exception = override(ada.member_id, grants=((ADMIN, elsewhere), (CLEANER, scope_id)))
        writer.insert_override(exception, NOW)
        writer.insert_override(override(stranger.member_id, grants=((ADMIN, scope_id),), ended_at=NOW), NOW)
        writer.insert_invitation(invitation(scope_id=scope_id), NOW)
        assert writer.members_given_at(scope_id) == sorted([ada.member_id, guest.member_id])
        assert writer.members_given_at(elsewhere) == [ada.member_id]
        assert writer.members_given_at(ScopeId(new_id())) == []
        writer.end_override(exception.override_id, NOW)
        assert writer.members_given_at(elsewhere) == []


def test_a_role_is_given_by_override_or_invitation(tenant: Tenant) -> None:
    by_override, by_acceptance, by_invitation, held, ended, none = (
        RoleId(name) for name in ("Ö", "accepted", "invited", "held", "ended", "%")
    )
    scope_id, asked = ScopeId(new_id()), invitation(role=ended)
    guest = member("guest", invited=((by_acceptance, scope_id),))
    tenant.add_members(guest)
    tenant.open(interval(guest.member_id, grant(scope_id, held)))
    with tenant.unit_of_work.write() as writer:
        writer.insert_override(override(guest.member_id, grants=((by_override, scope_id),)), NOW)
        writer.insert_invitation(invitation(role=by_invitation), NOW)
        writer.insert_invitation(asked, NOW)
        writer.end_invitation(asked.invitation_id, "withdrawn")
        given = {
            role: writer.is_role_given(role)
            for role in (by_override, by_acceptance, by_invitation, held, ended, none)
        }
    assert given == {
        by_override: True,
        by_acceptance: True,
        by_invitation: True,
        held: False,
        ended: False,
        none: False,
    }


def test_decisions_of_another_organisation_are_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    member_id = MemberId(new_id())
    exception, block, asked = override(member_id), StoredBlock(member_id, "", "boss", NOW), invitation()
    with other.unit_of_work.write() as writer:
        writer.insert_override(exception, NOW)
        writer.insert_block(block)
        writer.insert_invitation(asked, NOW)

    with tenant.unit_of_work.write() as writer:
        assert writer.override(exception.override_id) is None
        assert writer.override_of(member_id) is None
        assert writer.overrides_due(NOW + MINUTE, 9) == []
        assert writer.block_of(member_id) is None
        assert writer.invitation(asked.invitation_id) is None
        assert writer.invitations_due(NOW + MINUTE, 9) == []
        assert writer.members_given_at(exception.grants[0][1]) == []
        assert not writer.is_role_given(ADMIN)
        writer.end_override(exception.override_id, NOW)
        writer.delete_block(member_id)
        writer.end_invitation(asked.invitation_id, "withdrawn")

    with other.unit_of_work.read() as reader:
        assert reader.override_of(member_id) == exception
        assert reader.block_of(member_id) == block
        assert reader.invitation(asked.invitation_id) == asked
