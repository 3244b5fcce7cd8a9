"""How much a pushing directory has taken away, and whose changes are staged."""

from dataclasses import replace

from directory.ids import DirectoryId, EventId, GroupId, MemberId
from provisioning.push_guard import PushWindow
from provisioning.state import PendingMember, StagedChange
from tests.conformance.builders import MINUTE, NOW, Tenant, member, new_id


def staged(tenant: Tenant, member_id: MemberId, minutes: int = 0) -> StagedChange:
    return StagedChange(member_id, tenant.directory_id, EventId(new_id()), NOW + minutes * MINUTE)


def test_a_window_is_kept_and_replaced(tenant: Tenant) -> None:
    window = PushWindow(tenant.directory_id, NOW, active_users=7, memberships=9)
    later = replace(
        window,
        started_at=NOW + MINUTE,
        users_lost=1,
        memberships_lost=2,
        groups={GroupId(new_id()): (60, 2)},
        crossed_at=NOW + 2 * MINUTE,
    )

    with tenant.unit_of_work.write() as writer:
        assert writer.push_window(tenant.directory_id) is None
        writer.save_push_window(window)
        assert writer.push_window(tenant.directory_id) == window
        writer.save_push_window(later)
        assert writer.push_window(tenant.directory_id) == later


def test_sizes_are_counted_of_groups_that_have_members(tenant: Tenant) -> None:
    ada, bob = tenant.user("ada"), tenant.user("bob")
    full, empty, other = (tenant.group(name) for name in ("full", "empty", "other"))
    tenant.add_users(ada, bob)
    tenant.add_groups(full, empty, other)
    tenant.join((full, ada), (full, bob), (other, ada))

    with tenant.unit_of_work.read() as reader:
        assert reader.sizes_of_groups([full.group_id, empty.group_id]) == {full.group_id: 2}
        assert reader.sizes_of_groups([]) == {}


def test_a_change_is_staged_once_for_each_member_and_shown_with_the_member(tenant: Tenant) -> None:
    ada, bob = member("ada"), member("bob")
    tenant.add_members(ada, bob)
    late, early = staged(tenant, ada.member_id, 1), staged(tenant, bob.member_id)

    with tenant.unit_of_work.write() as writer:
        writer.put_staged([late, early])
        assert writer.staged_changes() == [early, late]
        assert writer.staged_changes(tenant.directory_id) == [early, late]
        assert writer.staged_changes(DirectoryId(new_id())) == []
        rejected = replace(late, is_rejected=True, staged_at=NOW)
        writer.put_staged([rejected])
        assert writer.member_records([ada.member_id])[ada.member_id].staged == rejected
        writer.end_staged([ada.member_id])
        assert writer.member_records([ada.member_id])[ada.member_id].staged is None
        assert writer.staged_changes() == [early]


def test_whoever_waits_in_the_queue_is_staged_to_be_worked_out(tenant: Tenant) -> None:
    ada, bob, cid = member("ada"), member("bob"), member("cid")
    tenant.add_members(ada, bob, cid)
    cause = EventId(new_id())
    known = staged(tenant, ada.member_id, 1)

    with tenant.unit_of_work.write() as writer:
        writer.put_staged([known])
        writer.enqueue_members(
            [PendingMember(one.member_id, "scim_request", cause, cause) for one in (ada, bob)]
        )
        assert writer.stage_pending(tenant.directory_id, NOW) == 1
        assert writer.staged_changes() == [StagedChange(bob.member_id, tenant.directory_id, None, NOW), known]


def test_the_guard_of_another_organisation_is_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    ada, group, user = member("ada"), other.group(), other.user()
    other.add_members(ada)
    other.add_users(user)
    other.add_groups(group)
    other.join((group, user))
    window = PushWindow(other.directory_id, NOW, 1, 1)
    change = StagedChange(ada.member_id, other.directory_id, None, NOW)
    cause = EventId(new_id())
    with other.unit_of_work.write() as writer:
        writer.save_push_window(window)
        writer.put_staged([change])
        writer.enqueue_members([PendingMember(user.member_id, "scim_request", cause, cause)])

    with tenant.unit_of_work.write() as writer:
        assert writer.push_window(other.directory_id) is None
        assert writer.sizes_of_groups([group.group_id]) == {}
        assert writer.staged_changes(other.directory_id) == []
        assert writer.stage_pending(tenant.directory_id, NOW) == 0
        writer.end_staged([ada.member_id])

    with other.unit_of_work.read() as reader:
        assert reader.push_window(other.directory_id) == window
        assert reader.staged_changes() == [change]
