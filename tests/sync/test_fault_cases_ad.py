"""What becomes of edits, accounts and marks of Active Directory, on a Samba domain controller.

Fault cases 15, 21, 26, 30, 31, 32, 33 and 34. Behind every increment a full reading must find nothing to do.
"""

from dataclasses import replace
from hashlib import sha256

import pytest

from sync.errors import LDAPBindError
from sync.ldap_reader import open_session
from tests.builders import World, on_sqlite_only
from tests.samba_dc import PASSWORD, SHOW_DELETED, SUFFIX, SambaDC, SambaFactory
from tests.sync.ad_trees import (
    Unit,
    agree,
    deleted,
    edited,
    make_unit,
    moved,
    read_changes,
    read_first,
    run,
    with_password,
)
from tests.sync.ldap_builders import settings
from tests.sync.test_incremental import change, cursor_of, set_cursor

pytestmark = pytest.mark.samba


@pytest.fixture
def unit(samba_dc: SambaDC, request: pytest.FixtureRequest) -> Unit:
    """Anna and Bert are in `team`, Carl in none; `around` has `team` in it."""
    return filled(make_unit(samba_dc, sha256(request.node.name.encode()).hexdigest()[:8]))


def filled(unit: Unit) -> Unit:
    unit.dc.modify(
        "".join(
            unit.new_person(name, f"mail: {name}@example.org") for name in ("anna", "bert", "carl", "dora")
        )
        + unit.new_group("team", unit.person("anna"), unit.person("bert"))
        + unit.new_group("around", unit.group("team"), unit.person("dora"))
    )
    return unit


def test_a_controller_that_wants_a_safe_connection_is_explained(unit: Unit) -> None:
    plain = unit.settings(servers=f"127.0.0.1:{unit.dc.plain_port}", tls="plain")

    with pytest.raises(LDAPBindError, match=r"strongerAuthRequired 8.*use tls ldaps or starttls"):
        open_session(settings(plain), PASSWORD)


@on_sqlite_only
def test_an_edit_changes_that_person_alone(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    unit.dc.modify(edited(unit.person("anna"), "replace", "displayName", "Anna Andersson"))

    record = read_changes(world, hq)

    assert (record.counters["seen"], record.counters["users_updated"]) == (1, 1)
    assert world.user(hq, unit.id_of(unit.person("anna"))).display_name == "Anna Andersson"


def test_members_that_join_and_leave_are_put_into_what_is_stored(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    team = unit.group("team")
    unit.dc.modify(
        edited(team, "add", "member", unit.person("carl"))
        + edited(team, "delete", "member", unit.person("anna"))
    )

    record = read_changes(world, hq)

    assert (record.counters["memberships_added"], record.counters["memberships_removed"]) == (1, 1)
    assert world.in_group(hq, unit.id_of(team)) == unit.ids_of(unit.person("bert"), unit.person("carl"))


def test_who_is_renamed_or_moved_is_the_same_and_stays_in_his_groups(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings(user_bases=unit.dn, group_bases=unit.dn))
    known = unit.ids_of(unit.person("anna"), unit.person("bert"))
    unit.dc.modify(
        moved(unit.person("anna"), "anne")
        + moved(unit.person("bert"), "bert", below=unit.groups)
        + moved(unit.group("team"), "crew", below=unit.people)
    )

    record = read_changes(world, hq)

    assert record.counters.get("users_created", 0) == 0
    assert world.in_group(hq, unit.id_of(unit.person("crew"))) == known
    assert world.user(hq, unit.id_of(unit.person("anne"))).dn == unit.person("anne")


@on_sqlite_only
def test_who_is_renamed_while_joining_a_group_is_in_it(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    unit.dc.modify(
        edited(unit.group("team"), "add", "member", unit.person("carl")) + moved(unit.person("carl"), "karl")
    )

    read_changes(world, hq)

    assert unit.id_of(unit.person("karl")) in world.in_group(hq, unit.id_of(unit.group("team")))


def test_the_deleted_go_at_once_and_their_groups_agree_with_the_server(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings(absence_grace_runs=3))
    anna, around = unit.id_of(unit.person("anna")), unit.id_of(unit.group("around"))
    unit.dc.modify(deleted(unit.person("anna")) + deleted(unit.group("around")))

    record = read_changes(world, hq)

    assert record.counters["users_deactivated"] == 1
    assert not world.user(hq, anna).active
    assert world.group(hq, around).deleted_at is not None


def test_a_group_that_held_a_deleted_group_agrees_with_the_server(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    unit.dc.modify(deleted(unit.group("team")))

    read_changes(world, hq)

    assert world.in_group(hq, unit.id_of(unit.group("around"))) == unit.ids_of(unit.person("dora"))


def test_who_is_made_anew_under_the_same_name_is_another_person(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    before, team = unit.id_of(unit.person("anna")), unit.id_of(unit.group("team"))
    unit.dc.modify(deleted(unit.person("anna")) + unit.new_person("anna", "mail: anna@example.org"))

    record = read_changes(world, hq)

    after = unit.id_of(unit.person("anna"))
    assert (record.counters["users_created"], record.counters["users_deactivated"]) == (1, 1)
    assert before != after
    assert (world.user(hq, before).active, world.user(hq, after).active) == (False, True)
    assert world.in_group(hq, team) - {before} == unit.ids_of(unit.person("bert"))


def test_who_leaves_the_base_goes_and_comes_back_with_his_groups(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    anna, team = unit.id_of(unit.person("anna")), unit.id_of(unit.group("team"))
    unit.dc.modify(moved(unit.person("anna"), "anna", below=unit.dn))

    left = read_changes(world, hq)
    unit.dc.modify(moved(f"CN=anna,{unit.dn}", "anna", below=unit.people))
    back = read_changes(world, hq)

    assert left.counters["users_deactivated"] == 1
    assert back.counters.get("users_created", 0) == 0
    assert world.user(hq, anna).active
    assert anna in world.in_group(hq, team)


def test_who_comes_back_from_the_deleted_is_in_no_group_that_he_lost(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    anna, team = unit.id_of(unit.person("anna")), unit.id_of(unit.group("team"))
    unit.dc.modify(deleted(unit.person("anna")))
    read_changes(world, hq)
    unit.dc.modify(
        f"dn: CN=anna\\0ADEL:{anna},CN=Deleted Objects,{SUFFIX}\nchangetype: modify\ndelete: isDeleted\n-\n"
        f"replace: distinguishedName\ndistinguishedName: {unit.person('anna')}\n-\n\n",
        controls=(SHOW_DELETED,),
    )
    unit.dc.modify(edited(unit.person("anna"), "replace", "userAccountControl", "544"))

    read_changes(world, hq)

    assert world.user(hq, anna).active
    assert anna not in world.in_group(hq, team)


def test_newcomers_arrive_with_groups_that_are_new_or_list_them(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    unit.dc.modify(
        unit.new_person("emil")
        + unit.new_group("fresh", unit.person("emil"), unit.person("anna"), unit.group("team"))
        + edited(unit.group("team"), "add", "member", unit.person("emil"))
    )

    record = read_changes(world, hq)

    emil = unit.id_of(unit.person("emil"))
    assert record.counters["users_created"] == 1
    assert world.in_group(hq, unit.id_of(unit.group("fresh"))) == {emil, unit.id_of(unit.person("anna"))}
    assert emil in world.in_group(hq, unit.id_of(unit.group("team")))


def test_a_group_that_comes_into_the_base_brings_all_its_members(world: World, unit: Unit) -> None:
    unit.dc.modify(moved(unit.group("team"), "team", below=unit.dn))
    hq = read_first(world, unit.settings())
    unit.dc.modify(moved(f"CN=team,{unit.dn}", "team", below=unit.groups))

    read_changes(world, hq)

    assert world.in_group(hq, unit.id_of(unit.group("team"))) == unit.ids_of(
        unit.person("anna"), unit.person("bert")
    )


@on_sqlite_only
def test_members_outside_the_base_computers_and_contacts_are_ignored(world: World, unit: Unit) -> None:
    unit.dc.modify(
        unit.new_person("guest", below=unit.dn)
        + f"dn: {unit.person('pc')}\nchangetype: add\nobjectClass: computer\n"
        + f"sAMAccountName: {unit.prefixed('p')[:15]}$\nuserAccountControl: 4096\n\n"
        + f"dn: {unit.person('shop')}\nchangetype: add\nobjectClass: contact\n\n"
    )
    hq = read_first(world, unit.settings())
    strangers = (f"CN=guest,{unit.dn}", unit.person("pc"), unit.person("shop"))
    unit.dc.modify(
        edited(unit.group("team"), "add", "member", *strangers, unit.person("carl"))
        + moved(unit.person("shop"), "store")
    )

    read_changes(world, hq)

    assert world.in_group(hq, unit.id_of(unit.group("team"))) == unit.ids_of(
        *map(unit.person, ("anna", "bert", "carl"))
    )


@on_sqlite_only
def test_a_role_follows_the_primary_group_to_and_fro(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    anna, team = unit.id_of(unit.person("anna")), unit.id_of(unit.group("team"))
    shown = unit.dc.ask(unit.group("team"), "(objectClass=*)", "primaryGroupToken")
    (token,) = (line.split()[1] for line in shown.splitlines() if line.startswith("primaryGroupToken"))
    unit.dc.modify(edited(unit.person("anna"), "replace", "primaryGroupID", token))

    # The group does not list her any more, and holds her still.
    read_changes(world, hq)
    held = world.in_group(hq, team)
    unit.dc.modify(
        edited(unit.person("anna"), "replace", "primaryGroupID", "513")
        + edited(unit.group("team"), "delete", "member", unit.person("anna"))
    )
    read_changes(world, hq)

    assert anna in held
    assert anna not in world.in_group(hq, team)


@on_sqlite_only
def test_a_newcomer_is_in_the_primary_group_that_does_not_list_him(world: World, unit: Unit) -> None:
    users = f"CN=Domain Users,CN=Users,{SUFFIX}"
    everybody = unit.settings(group_bases=users)
    hq = read_first(world, everybody)
    before = world.in_group(hq, unit.id_of(users))
    unit.dc.modify(unit.new_person("emil"))

    read_changes(world, hq)

    assert world.in_group(hq, unit.id_of(users)) - before == unit.ids_of(unit.person("emil"))


@on_sqlite_only
def test_an_account_follows_its_flags(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    anna = unit.id_of(unit.person("anna"))
    unit.dc.modify(with_password(unit.person("anna")))
    states = []
    for flags in ("514", "512", "546", "544"):
        unit.dc.modify(edited(unit.person("anna"), "replace", "userAccountControl", flags))
        read_changes(world, hq)
        states.append(world.user(hq, anna).active)

    assert states == [False, True, False, True]


@on_sqlite_only
def test_a_unit_that_is_renamed_leads_to_a_full_reading(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings(user_bases=SUFFIX, group_bases=unit.groups))
    unit.dc.modify(
        f"dn: {unit.people}\nchangetype: modrdn\nnewrdn: OU=staff\ndeleteoldrdn: 1\n\n",
    )

    record = run(world, hq)

    assert (record.state, record.method) == ("completed", "full")
    assert f"'OU=staff,{unit.dn}' has another name or place, and so has all below it" in record.method_reason
    assert world.user(hq, unit.id_of(f"CN=anna,OU=staff,{unit.dn}")).dn == f"CN=anna,OU=staff,{unit.dn}"


@on_sqlite_only
def test_a_reader_without_the_right_is_told_of_changes_and_waits_for_deletions(
    world: World, unit: Unit
) -> None:
    hq = read_first(world, unit.settings("reader"))
    anna, team = unit.id_of(unit.person("anna")), unit.group("team")
    unit.dc.modify(edited(team, "add", "member", unit.person("carl")))
    changed = read_changes(world, hq)
    unit.dc.modify(deleted(unit.person("anna")))

    waiting = run(world, hq)
    everything = run(world, hq, full=True)

    assert "without the right to replicate changes" in changed.method_reason
    assert "deletions wait for the next full reading" in changed.method_reason
    assert (waiting.method, waiting.plan_hash) == ("dirsync", "")
    assert everything.counters["users_deactivated"] == 1
    assert not world.user(hq, anna).active


@on_sqlite_only
def test_a_right_that_is_withdrawn_leads_to_a_full_reading(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings("reader"))
    cursor = cursor_of(world, hq)
    set_cursor(world, hq, replace(cursor, mark={**cursor.mark, "rights": "replicates"}))

    record = run(world, hq)

    assert (record.method, record.plan_hash) == ("full", "")
    assert "give it the right 'Replicating Directory Changes'" in record.method_reason


@on_sqlite_only
@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("cookie", "Z2FyYmFnZQ==", "the server does not know the mark, or no DirSync"),
        ("invocation", "00", "another domain controller answers, or this one was restored"),
        ("deleted", "unseen", "the account may see deleted entries now, or may no longer"),
    ],
)
def test_a_mark_in_doubt_leads_to_a_full_reading_that_removes_nobody(
    world: World, unit: Unit, key: str, value: str, words: str
) -> None:
    hq = read_first(world, unit.settings())
    cursor = cursor_of(world, hq)
    (name,) = (one for one in cursor.mark if one.startswith(key))
    set_cursor(world, hq, replace(cursor, mark={**cursor.mark, name: value}))

    record = run(world, hq)

    assert (record.state, record.method, record.plan_hash) == ("completed", "full", "")
    assert words in record.method_reason
    agree(world, hq)


@on_sqlite_only
def test_too_many_newcomers_lead_to_a_full_reading(world: World, unit: Unit) -> None:
    hq = read_first(world, unit.settings())
    change(world, hq, incremental_percent=30)
    run(world, hq)
    unit.dc.modify("".join(unit.new_person(f"new{number}") for number in range(3)))

    record = run(world, hq)

    assert (record.method, record.counters["users_created"]) == ("full", 3)
    assert record.method_reason == "the server sends 3 of 6 entries as new"


@on_sqlite_only
def test_a_tombstone_with_its_memberships_is_nobody(world: World, make_samba_dc: SambaFactory) -> None:
    unit = filled(make_unit(make_samba_dc(recycle_bin=True), "recycled"))
    hq = read_first(world, unit.settings(user_bases=SUFFIX, group_bases=SUFFIX))
    anna = unit.id_of(unit.person("anna"))
    unit.dc.modify(
        deleted(unit.person("anna")) + edited(unit.group("team"), "add", "member", unit.person("carl"))
    )
    shown = unit.dc.ask(
        SUFFIX, f"(sAMAccountName={unit.prefixed('anna')})", "memberOf", controls=(SHOW_DELETED,)
    )

    record = read_changes(world, hq)

    assert f"memberOf: {unit.group('team')}" in shown
    assert record.counters["users_deactivated"] == 1
    assert not world.user(hq, anna).active
    assert world.in_group(hq, unit.id_of(unit.group("team"))) - {anna} == unit.ids_of(
        unit.person("bert"), unit.person("carl")
    )
