"""From an export and the stored facts to a plan: exactly what differs, and removals only of what is surely gone."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from directory.changes import DeleteUser, GroupMatch, PutGroup
from directory.ids import DirectoryId
from provisioning.plans import DirectoryPlan
from provisioning.runs import Reading
from storage.engine import Database
from sync.errors import UnreadableSourceError
from sync.planner import plan_snapshot
from tests.builders import MEMBER, World, make_world, on_sqlite_only
from tests.sync.builders import Text, eid, group, person, snapshot, uuid

TEAM, NIGHT = 900, 901
LOCKED = "000001010000Z"


def planned(
    world: World, hq: DirectoryId, *entries: str, content: Text | None = None
) -> tuple[DirectoryPlan, Reading]:
    read = snapshot(content or "".join(entries))
    return plan_snapshot(read, world.stored_directory(hq), unit_of_work=world.unit_of_work)


def plan(world: World, hq: DirectoryId, *entries: str) -> DirectoryPlan:
    return planned(world, hq, *entries)[0]


def take(world: World, hq: DirectoryId, *entries: str, doubted: str | None = None) -> DirectoryPlan:
    """Plan and apply, whatever the guard says."""
    found, reading = planned(world, hq, content=Text("".join(entries), doubted=doubted))
    claim = world.claim(hq, approval=found.hash, approved_by="chris")
    record = world.keeper.submit(claim, found, reading)
    assert record.state in {"completed", "partial"}, record
    return found


def words(found: DirectoryPlan) -> list[str]:
    """The lines of a plan with numbers in place of entryUUIDs."""
    lines = list(found.lines())
    for number in range(1000):
        lines = [line.replace(uuid(number), str(number)) for line in lines]
    return lines


@pytest.fixture
def hq(world: World) -> DirectoryId:
    return world.put_ldif()


ANN, BOB, CID = person(1, "ann"), person(2, "bob"), person(3, "cid")
BASE = (ANN, BOB, CID, group(TEAM, "team", "ann", "bob"))


def test_a_first_plan_puts_everything(world: World, hq: DirectoryId) -> None:
    found, reading = planned(world, hq, *BASE)

    assert words(found) == [
        "put group 900 team",
        "put user 1 ann",
        "put user 2 bob",
        "put user 3 cid",
        "add member 1 in 900",
        "add member 2 in 900",
    ]
    assert found.new_users == 3
    assert reading.counters == {
        "seen": 4,
        "users_seen": 3,
        "groups_seen": 1,
        "rejected": 0,
        "unknown_references": 0,
    }
    assert reading.is_complete


def test_the_same_source_plans_nothing_the_second_time(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)

    found = plan(world, hq, *reversed(BASE))

    assert found.is_empty
    assert words(found) == []


def test_the_plan_is_the_same_for_any_order_of_the_source(world: World, hq: DirectoryId) -> None:
    first, second = planned(world, hq, *BASE), planned(world, hq, *reversed(BASE))

    assert first[0].hash == second[0].hash
    assert first[1].source_hash == second[1].source_hash
    assert planned(world, hq, ANN)[1].source_hash != first[1].source_hash


def test_only_what_differs_is_planned(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)

    found = plan(world, hq, person(1, "ann", title="Chef"), BOB, CID, group(TEAM, "team", "bob", "cid"))

    assert words(found) == [
        "put group 900 team",
        "put user 1 ann",
        "add member 3 in 900",
        "remove member 1 from 900",
    ]
    assert found.new_users == 0
    assert found.counts.removed_memberships == 1
    assert found.counts.shrinking == (("team", 2, 1),)


def test_a_person_who_is_renamed_is_the_same_person(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    ann = world.member_of(hq, eid(1))

    take(world, hq, person(1, "anna"), BOB, CID, group(TEAM, "team", "anna", "bob"))

    assert world.member_of(hq, eid(1)) == ann
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}


def test_a_renamed_person_stays_where_the_group_still_has_the_old_name(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)

    take(world, hq, person(1, "anna"), BOB, CID, group(TEAM, "team", "ann", "bob"))
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    take(world, hq, person(1, "anna"), BOB, CID, group(TEAM, "team", "bob"))

    assert world.in_group(hq, eid(TEAM)) == {eid(2)}


def test_an_entry_made_anew_under_the_old_name_is_a_new_person(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    world.put_rule(GroupMatch(world.group(hq, eid(TEAM)).group_id))
    ann = world.member_of(hq, eid(1))

    take(world, hq, person(4, "ann"), BOB, CID, group(TEAM, "team", "bob"))

    assert world.member_of(hq, eid(4)) != ann
    assert world.held(world.member_of(hq, eid(4))) == set()
    assert not world.record(ann).is_active


def test_names_and_mails_are_swapped_in_one_run(world: World, hq: DirectoryId) -> None:
    take(world, hq, person(1, "ann", mail="ann@x.org"), person(2, "bob", mail="bob@x.org"))
    first, second = world.member_of(hq, eid(1)), world.member_of(hq, eid(2))

    take(world, hq, person(2, "ann", mail="ann@x.org"), person(1, "bob", mail="bob@x.org"))

    assert (world.record(first).mail, world.record(second).mail) == ("bob@x.org", "ann@x.org")
    assert (world.user(hq, eid(1)).user_name, world.user(hq, eid(2)).user_name) == ("bob", "ann")


def test_a_disabled_account_is_deactivated_and_counted(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)

    found = plan(world, hq, person(1, "ann", pwdAccountLockedTime=LOCKED), BOB, CID, BASE[3])

    assert words(found) == ["put disabled user 1 ann"]
    assert found.counts.removed_users == 1
    take(world, hq, person(1, "ann", pwdAccountLockedTime=LOCKED), BOB, CID, BASE[3])
    assert not world.user(hq, eid(1)).active
    assert plan(world, hq, person(1, "ann", pwdAccountLockedTime=LOCKED), BOB, CID, BASE[3]).is_empty


# Absence


def test_who_is_absent_from_a_complete_reading_is_deactivated_and_stays_in_the_group(
    world: World, hq: DirectoryId
) -> None:
    take(world, hq, *BASE)

    found = take(world, hq, BOB, CID, group(TEAM, "team", "bob"))

    assert words(found) == ["deactivate user 1", "put group 900 team"]
    assert (found.counts.removed_users, found.counts.removed_memberships) == (1, 0)
    assert not world.user(hq, eid(1)).active
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    assert plan(world, hq, BOB, CID, group(TEAM, "team", "bob")).is_empty


def test_who_comes_back_is_the_same_person(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    world.put_rule(GroupMatch(world.group(hq, eid(TEAM)).group_id))
    ann = world.member_of(hq, eid(1))
    take(world, hq, BOB, CID, group(TEAM, "team", "bob"))

    take(world, hq, *BASE)

    assert (world.member_of(hq, eid(1)), world.roles(ann)) == (ann, ["Member"])
    assert plan(world, hq, *BASE).is_empty


def test_who_comes_back_without_the_group_is_taken_out_of_it(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    world.put_rule(GroupMatch(world.group(hq, eid(TEAM)).group_id))
    take(world, hq, BOB, CID, group(TEAM, "team", "bob"))

    found = take(world, hq, ANN, BOB, CID, group(TEAM, "team", "bob"))

    assert words(found) == ["put user 1 ann", "remove member 1 from 900"]
    assert world.held(world.member_of(hq, eid(1))) == set()
    assert world.in_group(hq, eid(TEAM)) == {eid(2)}


def test_who_comes_back_within_the_grace_is_taken_out_of_a_group_that_changed(
    world: World, hq: DirectoryId
) -> None:
    hq = world.put_ldif("patient", absence_grace_runs=3)
    take(world, hq, *BASE)
    take(world, hq, BOB, CID, group(TEAM, "team", "bob"))
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}

    found = take(world, hq, ANN, BOB, CID, group(TEAM, "team", "bob"))

    assert words(found) == ["remove member 1 from 900"]
    assert found.waiting_out == ((eid(1), 0),)


def test_who_comes_back_in_an_incomplete_reading_is_looked_at_again(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    take(world, hq, BOB, CID, group(TEAM, "team", "bob"))

    take(world, hq, ANN, BOB, CID, group(TEAM, "team", "bob"), doubted="the file changed while it was read")
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    take(world, hq, ANN, BOB, CID, group(TEAM, "team", "bob"))

    assert world.in_group(hq, eid(TEAM)) == {eid(2)}


def test_the_grace_is_so_many_complete_readings(world: World) -> None:
    hq = world.put_ldif(absence_grace_runs=3)
    take(world, hq, *BASE)
    rest = BASE[1:]

    first, second = take(world, hq, *rest), take(world, hq, *rest)
    assert (first.waiting_out, second.waiting_out) == (((eid(1), 1),), ((eid(1), 2),))
    assert world.user(hq, eid(1)).active
    take(world, hq, *BASE)
    assert world.user(hq, eid(1)).absent_runs == 0
    for _ in range(3):
        assert world.user(hq, eid(1)).active
        take(world, hq, *rest)

    assert not world.user(hq, eid(1)).active


def test_an_absent_group_is_deleted_and_counted_as_shrinking(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)

    found = take(world, hq, ANN, BOB, CID)

    assert words(found) == ["delete group 900"]
    assert (found.counts.removed_memberships, found.counts.shrinking) == (2, (("team", 2, 0),))
    assert world.group(hq, eid(TEAM)).deleted_at is not None
    take(world, hq, *BASE)
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}


def test_an_incomplete_reading_adds_and_changes_and_removes_nothing(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE, group(NIGHT, "night", "cn=team,ou=groups,o=x"))

    found, reading = planned(
        world,
        hq,
        content=Text(
            person(1, "anna") + person(4, "dora") + group(TEAM, "team", "dora"), doubted="it is in doubt"
        ),
    )

    assert words(found) == ["put group 900 team", "put user 1 anna", "put user 4 dora", "add member 4 in 900"]
    assert (reading.is_complete, reading.reason) == (False, "it is in doubt")


def test_a_group_from_an_incomplete_reading_is_compared_again(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    changed = (ANN, BOB, CID, group(TEAM, "team", "bob"))

    take(world, hq, *changed, doubted="it is in doubt")
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    found = take(world, hq, *changed)

    assert words(found) == ["put group 900 team", "remove member 1 from 900"]
    assert plan(world, hq, *changed).is_empty


def test_a_group_that_vanished_after_an_incomplete_reading_is_deleted(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    take(world, hq, ANN, BOB, CID, group(TEAM, "team", "bob"), doubted="it is in doubt")

    assert words(plan(world, hq, ANN, BOB, CID)) == ["delete group 900"]


def test_a_rejected_entry_protects_whoever_is_behind_it(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    damaged = f"dn: uid=ann,ou=people,o=x\nobjectClass: inetOrgPerson\nentryUUID: {uuid(1)}\nuid:: !!!\n\n"
    bad_group = f"dn: cn=team,ou=groups,o=x\nobjectClass: groupOfNames\nentryUUID: {uuid(TEAM)}\ncn:: !!!\n\n"

    found, reading = planned(world, hq, damaged, BOB, CID, bad_group)

    assert words(found) == []
    assert reading.counters["rejected"] == 2
    assert found.counts.entries_rejected == 2


def test_a_source_that_failed_is_no_plan(world: World, hq: DirectoryId) -> None:
    with pytest.raises(UnreadableSourceError, match="the file holds no entry"):
        plan(world, hq, "")


# Nesting


def test_nested_groups_are_planned_as_such(world: World, hq: DirectoryId) -> None:
    night = group(NIGHT, "night", "cid")
    outer = group(TEAM, "team", "ann", "cn=night,ou=groups,o=x")
    found = take(world, hq, ANN, BOB, CID, night, outer)
    assert "nest group 901 in 900" in words(found)
    world.put_rule(GroupMatch(world.group(hq, eid(TEAM)).group_id), MEMBER)
    assert world.roles(world.member_of(hq, eid(3))) == ["Member"]
    assert plan(world, hq, ANN, BOB, CID, night, outer).is_empty

    found = take(world, hq, ANN, BOB, CID, night, group(TEAM, "team", "ann"))

    assert words(found) == ["put group 900 team", "take out group 901 from 900"]
    assert world.held(world.member_of(hq, eid(3))) == set()


def test_a_changed_group_keeps_its_nesting(world: World, hq: DirectoryId) -> None:
    night, inner = group(NIGHT, "night", "cid"), "cn=night,ou=groups,o=x"
    take(world, hq, ANN, BOB, CID, night, group(TEAM, "team", "ann", inner))

    found = plan(world, hq, ANN, BOB, CID, night, group(TEAM, "team", "bob", inner))

    assert words(found) == ["put group 900 team", "add member 2 in 900", "remove member 1 from 900"]


def test_taking_out_waits_for_a_complete_reading(world: World, hq: DirectoryId) -> None:
    night, inner = group(NIGHT, "night", "cid"), "cn=night,ou=groups,o=x"
    take(world, hq, ANN, CID, night, group(TEAM, "team", "ann", inner))

    found = take(world, hq, ANN, CID, night, group(TEAM, "team", "ann"), doubted="it is in doubt")
    assert words(found) == ["put group 900 team"]
    found = take(world, hq, ANN, CID, night, group(TEAM, "team", "ann"))

    assert words(found) == ["put group 900 team", "take out group 901 from 900"]


# The hash and the counts


def test_the_hash_is_of_the_state_as_well(world: World, hq: DirectoryId) -> None:
    before = plan(world, hq, *BASE)
    world.put_scope("North")
    moved = plan(world, hq, *BASE)
    assert (before.hash != moved.hash, replace(moved, base=before.base).hash) == (True, before.hash)

    take(world, hq, ANN)
    rest = plan(world, hq, *BASE)

    assert rest.base != moved.base


def test_counts_are_of_what_is_stored_and_what_was_read(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    take(world, hq, person(1, "ann", pwdAccountLockedTime=LOCKED), BOB, CID, BASE[3])

    counts = plan(world, hq, BOB, BASE[3]).counts

    assert (counts.users_read, counts.users_stored, counts.active_users_stored) == (1, 3, 2)
    assert (counts.removed_users, counts.memberships_stored, counts.entries_read) == (1, 2, 2)


def test_who_was_deleted_after_the_retention_comes_back_as_the_same_member(
    world: World, hq: DirectoryId
) -> None:
    take(world, hq, *BASE)
    ann = world.member_of(hq, eid(1))
    take(world, hq, *BASE[1:3], group(TEAM, "team", "bob"))
    world.do(DeleteUser(eid(1)), directory_id=hq, kind="retention")

    take(world, hq, *BASE)

    assert (world.member_of(hq, eid(1)), world.user(hq, eid(1)).deleted_at) == (ann, None)
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}


def test_a_group_put_without_a_fingerprint_is_planned_again(world: World, hq: DirectoryId) -> None:
    take(world, hq, *BASE)
    world.do(PutGroup(plan(world, hq, *BASE[:3], group(TEAM, "team")).put_groups[0].group), directory_id=hq)

    assert words(plan(world, hq, *BASE)) == ["put group 900 team"]


# Whatever an export says


@st.composite
def exports(draw: st.DrawFn) -> list[str]:
    """A small directory: some of five people, some disabled or renamed, and three groups that may be nested."""
    numbers = sorted(draw(st.sets(st.integers(1, 5), min_size=1)))
    entries = []
    names = {}
    for number in numbers:
        names[number] = draw(st.sampled_from([f"u{number}", f"n{number}"]))
        locked = {"pwdAccountLockedTime": LOCKED} if draw(st.booleans()) else {}
        entries.append(person(number, names[number], **locked))
    for number in draw(st.sets(st.integers(900, 902))):
        members = draw(st.sets(st.sampled_from(numbers)))
        inner = draw(st.sets(st.integers(900, 902)))
        dns = [*(names[one] for one in members), *(f"cn=g{one},ou=groups,o=x" for one in inner)]
        entries.append(group(number, f"g{number}", *sorted(dns)))
    return draw(st.permutations(entries))


@on_sqlite_only
@given(steps=st.lists(exports(), min_size=2, max_size=4))
@settings(max_examples=25)
def test_whatever_is_read_the_same_export_soon_plans_nothing(
    database: Database, steps: list[list[str]]
) -> None:
    world = make_world(database, plan="Enterprise", seat_limit=3)
    hq = world.put_ldif()
    first = True
    for entries in steps:
        take(world, hq, *entries)
        # Somebody renamed is looked at again where a group has a member that nobody answers to.
        take(world, hq, *entries)
        assert plan(world, hq, *entries).is_empty
        if first:
            for stored in range(900, 903):
                if any(uuid(stored) in entry for entry in entries):
                    world.put_rule(world.group(hq, eid(stored)).group_id)
            first = False
        world.check()
    fresh = make_world(database, plan="Enterprise", seat_limit=3)
    other = fresh.put_ldif()
    take(fresh, other, *steps[-1])
    for number in range(900, 903):
        if any(uuid(number) in entry for entry in steps[-1]):
            shown = {one for one in world.in_group(hq, eid(number)) if is_shown(one, steps[-1])}
            assert shown == fresh.in_group(other, eid(number))


def is_shown(external_id: str, entries: list[str]) -> bool:
    return any(f"entryUUID: {external_id}" in entry for entry in entries)
