from dataclasses import replace

import pytest

from directory.ids import MemberId, RoleId
from mappings.access import NO_ACCESS, Access
from mappings.catalogue import roles_of
from mappings.preview import PersonChange, Preview, preview
from mappings.scopes import ScopeGraph
from tests.mappings.builders import MINIKAI, MINIKAI_SCOPES, MINUT, MINUT_SCOPES, ROOT, member, model, resolve

ROLES = roles_of(MINUT, switches={})
People = dict[str, Access]


def holding(*pairs: tuple[str, str], is_owner: bool = False) -> Access:
    return resolve(model(), member(invited=pairs or (("gone", "gone"),), is_owner=is_owner))


def compare(before: People, after: People, *, access_version: int = 7) -> Preview:
    return preview(
        {MemberId(name): access for name, access in before.items()},
        {MemberId(name): access for name, access in after.items()},
        catalogue=MINUT,
        roles=ROLES,
        scopes=MINUT_SCOPES,
        access_version=access_version,
    )


def only_change(before: Access, after: Access) -> PersonChange:
    (change,) = compare({"ann": before}, {"ann": after}).changes
    return change


def test_nothing_changes_for_the_same_access() -> None:
    people = {"ann": holding(("Member", "u1")), "bob": holding()}

    found = compare(people, people)
    assert (found.changes, found.unchanged) == ((), 2)
    assert (found.seats_before, found.seats_after) == (1, 1)


def test_reason_alone_is_no_change() -> None:
    owner = holding(is_owner=True)
    (grant,) = owner.grants
    other = replace(owner, grants=(replace(grant, provenance=replace(grant.provenance, rule_version=9)),))

    assert compare({"ann": owner}, {"ann": other}).changes == ()


def test_moved_scope_shows_in_the_pairs_alone() -> None:
    change = only_change(holding(("Operator", "u1")), holding(("Operator", "u2")))

    assert change.pairs_lost == (("Operator", "u1"),)
    assert change.pairs_gained == (("Operator", "u2"),)
    assert (change.permissions_gained, change.permissions_lost) == ((), ())
    assert not change.gains_everything
    assert not change.loses_everything


def test_demotion_lists_the_permissions_lost() -> None:
    change = only_change(holding(("Member", "u1")), holding(("Operator", "u1")))

    assert change.permissions_lost == (
        ("devices.add", None),
        ("notifications.monitoring", None),
        ("security_alarm.manage", None),
        ("tasks.complete", None),
        ("tasks.view", None),
    )
    assert change.permissions_gained == (
        ("tasks.complete", "assigned_to_self"),
        ("tasks.view", "assigned_to_self"),
    )


def test_condition_beside_the_plain_permission_is_nothing_more() -> None:
    change = only_change(holding(("Member", "u1")), holding(("Member", "u1"), ("Operator", "u1")))

    assert (change.permissions_gained, change.permissions_lost) == ((), ())


def test_narrower_scope_loses_what_needs_the_organisation() -> None:
    change = only_change(holding(("Admin", "root")), holding(("Admin", "u1")))

    lost = {name for name, _ in change.permissions_lost}
    assert lost == {
        name for name in ROLES[RoleId("Admin")].permissions if MINUT.permissions[name].needs_organisation
    }


def test_owner_gains_billing() -> None:
    change = only_change(holding(("Admin", "root")), holding(is_owner=True))

    assert {name for name, _ in change.permissions_gained} == MINUT.owner_permissions
    assert change.before == change.after


def test_condition_that_a_scope_meets_is_lost_with_it() -> None:
    before, after = (
        {
            MemberId("ann"): resolve(
                model(catalogue=MINIKAI, scopes=MINIKAI_SCOPES), member(invited=(("Member", scope_id),))
            )
        }
        for scope_id in ("root", "g1")
    )
    found = preview(
        before,
        after,
        catalogue=MINIKAI,
        roles=roles_of(MINIKAI, switches={}),
        scopes=MINIKAI_SCOPES,
        access_version=1,
    )

    assert ("minis.chat", "in_own_group") in found.changes[0].permissions_lost
    assert ("minis.chat", None) in found.changes[0].permissions_gained


def test_people_who_gain_and_lose_everything_are_named() -> None:
    found = compare(
        {"ann": holding(("Member", "u1")), "bob": holding(), "cy": holding(("Member", "u1"))},
        {"ann": NO_ACCESS, "bob": holding(("Member", "u1")), "dee": holding(("Operator", "u1"))},
    )

    assert found.gaining_everything == ("bob", "dee")
    assert found.losing_everything == ("ann", "cy")
    assert (found.seats_before, found.seats_after) == (2, 2)


def test_becoming_inactive_without_grants_is_a_change() -> None:
    change = only_change(holding(), NO_ACCESS)

    assert (change.was_active, change.is_active) == (True, False)


def test_changed_role_changes_people_whose_pairs_stay() -> None:
    people = {MemberId("ann"): holding(("Member", "u1")), MemberId("bob"): holding(("Operator", "u1"))}
    found = preview(
        people,
        people,
        catalogue=MINUT,
        roles=ROLES,
        scopes=MINUT_SCOPES,
        access_version=1,
        roles_after=roles_of(MINUT, switches={"member_sees_sensor_data": True}),
    )

    (change,) = found.changes
    assert change.member_id == "ann"
    assert change.permissions_gained == (("device_data.view", None), ("sensor_data.view", None))


def test_role_or_scope_that_is_gone_afterwards_gives_nothing() -> None:
    people = {MemberId("ann"): holding(("Member", "u1"))}
    for roles_after, scopes_after in ((({}), MINUT_SCOPES), (ROLES, ScopeGraph([], ROOT))):
        found = preview(
            people,
            people,
            catalogue=MINUT,
            roles=ROLES,
            scopes=MINUT_SCOPES,
            access_version=1,
            roles_after=roles_after,
            scopes_after=scopes_after,
        )
        assert {name for name, _ in found.changes[0].permissions_lost} == set(
            ROLES[RoleId("Member")].permissions
        )


# The hash

BEFORE = {"ann": holding(("Member", "u1")), "bob": holding(("Member", "u1"))}
AFTER = {"ann": holding(("Operator", "u1")), "bob": holding(("Operator", "u1"))}


def test_hash_does_not_depend_on_the_order_of_people() -> None:
    turned = compare(dict(reversed(BEFORE.items())), dict(reversed(AFTER.items())))

    assert turned.plan_hash == compare(BEFORE, AFTER).plan_hash
    assert len(turned.plan_hash) == 64


@pytest.mark.parametrize(
    "after",
    [
        BEFORE,
        {**AFTER, "ann": holding(("Operator", "u2"))},
        {**AFTER, "ann": NO_ACCESS},
        {**AFTER, "cy": holding(("Operator", "u1"))},
        {"bob": AFTER["bob"]},
    ],
)
def test_hash_is_another_for_another_outcome(after: People) -> None:
    assert compare(BEFORE, after).plan_hash != compare(BEFORE, AFTER).plan_hash


def test_hash_is_another_when_anything_moved() -> None:
    assert compare(BEFORE, AFTER, access_version=8).plan_hash != compare(BEFORE, AFTER).plan_hash


def test_hash_covers_permissions_that_changed_under_the_same_pairs() -> None:
    people = {MemberId(name): access for name, access in BEFORE.items()}
    hashes = {
        preview(
            people,
            people,
            catalogue=MINUT,
            roles=ROLES,
            scopes=MINUT_SCOPES,
            access_version=1,
            roles_after=roles_of(MINUT, switches={"member_sees_sensor_data": switch}),
        ).plan_hash
        for switch in (True, False)
    }

    assert len(hashes) == 2
