"""Who holds what, now and at any moment before; and the queue of members to be worked out."""

from datetime import datetime

import pytest

from directory.ids import DirectoryId, EventId, MemberId, OverrideId, RoleId, ScopeId
from mappings.rules import Grant, Provenance, Source
from provisioning.ports import Reader
from provisioning.state import CloseInterval, HeldInterval, OpenGrant, PendingMember
from storage.errors import ConflictError
from tests.conformance.builders import (
    ADMIN,
    CLEANER,
    MINUTE,
    NOW,
    Tenant,
    directory,
    grant,
    interval,
    member,
    member_update,
    new_id,
    user,
)

SCOPE = ScopeId("00000000-0000-7000-8000-000000000001")
FARTHER = ScopeId("00000000-0000-7000-8000-000000000002")


def test_grants_come_back_with_their_provenance(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    by_override = Grant(CLEANER, SCOPE, Provenance(Source.OVERRIDE, override_id=OverrideId(new_id())))
    by_default = Grant(CLEANER, FARTHER, Provenance(Source.DEFAULT))
    grants = [grant(SCOPE), by_override, by_default]

    tenant.open(*(interval(member_id, held) for held in grants))

    with tenant.unit_of_work.read() as reader:
        assert [held.grant for held in reader.grants_of(member_id)] == grants


def test_a_pair_is_held_once(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    tenant.open(interval(member_id, grant(SCOPE)))

    with pytest.raises(ConflictError):
        tenant.open(interval(member_id, grant(SCOPE)))


def test_a_pair_may_be_held_again_after_it_ended(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    held = grant(SCOPE)
    closed = EventId(new_id())
    with tenant.unit_of_work.write() as writer:
        writer.open_intervals([interval(member_id, held)], NOW)
        (open_grant,) = writer.grants_of(member_id)
        writer.close_intervals([CloseInterval(open_grant.interval_id, closed)], NOW + MINUTE)
        assert writer.grants_of(member_id) == []
        writer.open_intervals([interval(member_id, held)], NOW + 2 * MINUTE)
        (back,) = writer.grants_of(member_id)

    assert back.interval_id != open_grant.interval_id


def test_restating_changes_the_provenance_only(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    tenant.open(interval(member_id, grant(SCOPE)))

    with tenant.unit_of_work.write() as writer:
        (held,) = writer.grants_of(member_id)
        restated = OpenGrant(held.interval_id, Grant(ADMIN, SCOPE, Provenance(Source.OWNER)))
        writer.restate_intervals([restated])
        assert writer.grants_of(member_id) == [restated]


def _intervals(reader: Reader, moment: datetime) -> list[tuple[str, datetime | None]]:
    return [(held.member_id, held.closed_at) for held in reader.intervals_at(moment)]


def test_intervals_tell_who_held_what_at_a_moment(tenant: Tenant) -> None:
    ada, bob = MemberId(new_id()), MemberId(new_id())
    first, second = interval(ada, grant(SCOPE)), interval(bob, grant(SCOPE, CLEANER))
    ended = EventId(new_id())
    tenant.open(first)
    tenant.open(second, at=NOW + MINUTE)
    with tenant.unit_of_work.write() as writer:
        (held,) = writer.grants_of(ada)
        writer.close_intervals([CloseInterval(held.interval_id, ended)], NOW + 2 * MINUTE)

    end = NOW + 2 * MINUTE
    with tenant.unit_of_work.read() as reader:
        assert _intervals(reader, NOW - MINUTE) == []
        assert _intervals(reader, NOW) == [(ada, end)]
        assert _intervals(reader, NOW + MINUTE) == [(ada, end), (bob, None)]
        assert _intervals(reader, end) == [(bob, None)]
        assert reader.intervals_of(ada) == [HeldInterval(ada, first.grant, NOW, first.event_id, end, ended)]
        assert reader.intervals_of(bob) == [
            HeldInterval(bob, second.grant, NOW + MINUTE, second.event_id, None, None)
        ]


def test_spans_of_a_member_are_oldest_first(tenant: Tenant) -> None:
    member_id = MemberId(new_id())
    tenant.open(interval(member_id, grant(SCOPE)), interval(member_id, grant(FARTHER)))
    with tenant.unit_of_work.write() as writer:
        last = writer.grants_of(member_id)[1]
        writer.close_intervals([CloseInterval(last.interval_id, EventId(new_id()))], NOW)
    tenant.open(interval(member_id, grant(FARTHER)), at=NOW + MINUTE)

    with tenant.unit_of_work.read() as reader:
        spans = reader.intervals_of(member_id)
    assert [(span.grant.scope_id, span.closed_at is None) for span in spans] == [
        (SCOPE, True),
        (FARTHER, False),
        (FARTHER, True),
    ]


def test_holders_by_role_and_scope(tenant: Tenant) -> None:
    ada, bob, eve = sorted(MemberId(new_id()) for _ in range(3))
    tenant.open(
        interval(ada, grant(SCOPE)),
        interval(bob, grant(SCOPE)),
        interval(bob, grant(FARTHER)),
        interval(eve, grant(SCOPE, CLEANER)),
    )

    with tenant.unit_of_work.write() as writer:
        assert writer.holders(ADMIN, SCOPE, 10) == [ada, bob]
        assert writer.holders(ADMIN, SCOPE, 1) == [ada]
        assert sorted(writer.open_grants()) == [
            (ada, ADMIN, SCOPE),
            (bob, ADMIN, SCOPE),
            (bob, ADMIN, FARTHER),
            (eve, CLEANER, SCOPE),
        ]
        closed = writer.grants_of(ada)[0].interval_id
        writer.close_intervals([CloseInterval(closed, EventId(new_id()))], NOW)
        assert writer.holders(ADMIN, SCOPE, 10) == [bob]
        assert writer.holders(RoleId("Nobody"), SCOPE, 10) == []


def test_open_grants_of_many_members_are_streamed_whole(tenant: Tenant) -> None:
    tenant.open(*(interval(MemberId(new_id()), grant(SCOPE)) for _ in range(4001)))

    with tenant.unit_of_work.read() as reader:
        grants = reader.open_grants()
        assert next(grants)[1] == ADMIN
        assert sum(1 for _ in grants) == 4000


def _cause() -> tuple[EventId, EventId]:
    return EventId(new_id()), EventId(new_id())


def test_the_queue_keeps_the_first_cause_and_gives_members_in_order(tenant: Tenant) -> None:
    root, parent = _cause()
    first, second, third = (PendingMember(MemberId(new_id()), "mapping_rule", root, parent) for _ in range(3))
    later = PendingMember(first.member_id, "override", *_cause())

    with tenant.unit_of_work.write() as writer:
        writer.enqueue_members([third, first])
        writer.enqueue_members([later, second])
        writer.enqueue_members([])
        assert writer.count_pending() == 3
        expected = sorted([first, second, third], key=lambda pending: pending.member_id)
        assert writer.take_pending(2) == expected[:2]
        assert writer.take_pending(2) == expected[2:]
        assert writer.take_pending(2) == []
        assert writer.count_pending() == 0


def test_whole_groups_directories_and_everyone_are_enqueued(tenant: Tenant) -> None:
    second = DirectoryId(new_id())
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(directory(tenant.organisation_id, second, "second"), NOW)
    ada = tenant.user("ada")
    twin = tenant.user("twin", member_id=ada.member_id)
    bob, gone = user(second, "bob"), user(second, "gone", deleted_at=NOW)
    left, guest = user(second, "left", deleted_at=NOW), member("guest")
    admins = tenant.group()
    tenant.add_users(ada, twin, bob, gone, left)
    tenant.add_members(guest)
    tenant.add_groups(admins)
    tenant.join((admins, ada), (admins, twin), (admins, gone))
    tenant.update(member_update(left.member_id, is_deleted=True))
    root, parent = _cause()

    with tenant.unit_of_work.write() as writer:
        assert writer.enqueue_groups([admins.group_id], kind="group_change", root=root, parent=parent) == 1
        assert writer.enqueue_groups([admins.group_id], kind="group_change", root=root, parent=parent) == 0
        assert writer.enqueue_groups([], kind="group_change", root=root, parent=parent) == 0
        assert writer.take_pending(9) == [PendingMember(ada.member_id, "group_change", root, parent)]
        assert writer.enqueue_directories([second], kind="settings_change", root=root, parent=parent) == 1
        assert writer.enqueue_everyone(kind="plan_change", root=root, parent=parent) == 3
        kinds = {pending.member_id: pending.kind for pending in writer.take_pending(9)}
    assert kinds == {
        bob.member_id: "settings_change",
        ada.member_id: "plan_change",
        gone.member_id: "plan_change",
        guest.member_id: "plan_change",
    }


def test_access_of_another_organisation_is_out_of_reach(tenant: Tenant, other: Tenant) -> None:
    ada, admins = other.user(), other.group()
    other.add_users(ada)
    other.add_groups(admins)
    other.join((admins, ada))
    other.open(interval(ada.member_id, grant(SCOPE)))
    root, parent = _cause()
    with other.unit_of_work.write() as writer:
        (held,) = writer.grants_of(ada.member_id)
        writer.enqueue_everyone(kind="system", root=root, parent=parent)

    with tenant.unit_of_work.write() as writer:
        assert writer.holders(ADMIN, SCOPE, 10) == []
        assert list(writer.open_grants()) == []
        assert writer.grants_of(ada.member_id) == []
        assert writer.intervals_of(ada.member_id) == []
        assert list(writer.intervals_at(NOW)) == []
        writer.close_intervals([CloseInterval(held.interval_id, EventId(new_id()))], NOW)
        writer.restate_intervals([OpenGrant(held.interval_id, grant(SCOPE))])
        assert writer.count_pending() == 0
        assert writer.take_pending(9) == []
        assert writer.enqueue_groups([admins.group_id], kind="system", root=root, parent=parent) == 0
        assert writer.enqueue_directories([other.directory_id], kind="system", root=root, parent=parent) == 0
        assert writer.enqueue_everyone(kind="system", root=root, parent=parent) == 0

    with other.unit_of_work.read() as reader:
        assert reader.grants_of(ada.member_id) == [held]
    with other.unit_of_work.write() as writer:
        assert writer.count_pending() == 1
