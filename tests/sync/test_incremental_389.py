"""Full and incremental readings of a real 389 Directory Server, and what it does in ways of its own."""

import pytest

from directory.changes import PutDirectory
from sync.dialects import make_dialect
from sync.dialects.dialect import DialectSettings
from sync.errors import DoubtError
from sync.ldap_reader import open_session
from sync.syncrepl import ContentSync
from tests.builders import World
from tests.ds389 import DS389, PASSWORD, SUFFIX, account
from tests.sync.builders import NOW
from tests.sync.ds389_trees import MANY, TEAM, cursor_of, is_settled, ns_id, on_389, read_first, run
from tests.sync.ldap_builders import PEOPLE, settings
from tests.sync.ldap_trees import deleted, edited, moved, team_dn, user_dn

pytestmark = pytest.mark.ds389


def test_the_first_reading_brings_everybody_and_the_second_nothing(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389)

    again, whole = run(world, hq), run(world, hq, full=True)

    assert world.in_group(hq, ns_id(TEAM)) == {ns_id(1), ns_id(2), ns_id(3)}
    assert cursor_of(world, hq).method == "syncrepl"
    assert (again.method, again.plan_hash) == ("syncrepl", ""), again.method_reason
    assert (whole.method, whole.plan_hash) == ("full", "")


def test_what_was_edited_arrives_with_the_cursor_behind_it(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389)
    before = cursor_of(world, hq)
    ds389.modify(
        edited(user_dn(4), "replace", "cn", "Other")
        + moved(user_dn(5), "uid=five")
        + deleted(user_dn(6))
        + f"dn: uid=new,{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: new\ncn: New\nsn: New\n\n"
        + edited(team_dn("staff"), "add", "member", f"uid=new,{PEOPLE}", f"uid=five,{PEOPLE}")
    )

    record = run(world, hq)

    assert record.method == "syncrepl", record.method_reason
    assert (record.counters["users_created"], record.counters["users_deactivated"]) == (1, 1)
    assert world.user(hq, ns_id(5)).user_name == "five"
    assert ns_id(5) in world.in_group(hq, ns_id(TEAM))
    assert len(world.in_group(hq, ns_id(TEAM))) == 5
    assert cursor_of(world, hq).mark != before.mark
    assert run(world, hq).plan_hash == ""
    assert is_settled(world, hq)


def test_a_unit_renamed_above_people_is_noticed_by_the_next_full_reading(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389, user_bases=SUFFIX)
    ds389.modify(moved(PEOPLE, "ou=crew"))

    between, full = run(world, hq), run(world, hq, full=True)

    assert (between.method, between.plan_hash) == ("syncrepl", "")
    assert full.counters.get("users_created", 0) == full.counters.get("users_deactivated", 0) == 0
    assert world.user(hq, ns_id(1)).dn == f"uid=u1,ou=crew,{SUFFIX}"
    assert world.in_group(hq, ns_id(TEAM)) == {ns_id(1), ns_id(2), ns_id(3)}
    world.check()


def test_who_leaves_the_base_goes_at_once_and_is_in_the_group_again_when_back(
    world: World, ds389: DS389
) -> None:
    hq = read_first(world, ds389)
    ds389.modify(moved(user_dn(2), "uid=u2", below=SUFFIX))

    left = run(world, hq)
    is_active = world.user(hq, ns_id(2)).active
    ds389.modify(moved(f"uid=u2,{SUFFIX}", "uid=u2", below=PEOPLE))
    back = run(world, hq)

    assert (left.method, is_active) == ("syncrepl", False), left.method_reason
    assert (back.method, world.user(hq, ns_id(2)).active) == ("syncrepl", True), back.method_reason
    assert ns_id(2) in world.in_group(hq, ns_id(TEAM))
    assert is_settled(world, hq)


def test_who_leaves_the_filter_goes_by_the_next_full_reading(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389, user_filter="(&(objectClass=inetOrgPerson)(!(employeeType=left)))")
    ds389.modify(edited(user_dn(1), "add", "employeeType", "left"))

    between, full = run(world, hq), run(world, hq, full=True)

    # The server leaves such an entry out, and does not name it among those that went.
    assert (between.method, between.plan_hash) == ("syncrepl", "")
    assert full.counters["users_deactivated"] == 1
    assert not world.user(hq, ns_id(1)).active


def test_a_person_made_anew_under_the_same_name_is_another_person(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389)
    ds389.modify(
        deleted(user_dn(1))
        + f"dn: {user_dn(1)}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: u1\ncn: New\nsn: New\n\n"
    )

    record = run(world, hq)

    assert record.method == "syncrepl", record.method_reason
    assert (record.counters["users_created"], record.counters["users_deactivated"]) == (1, 1)
    assert not world.user(hq, ns_id(1)).active
    assert is_settled(world, hq)


def test_an_account_with_a_limit_makes_a_partial_run_that_removes_nobody(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389)
    known = world.stored_directory(hq)
    world.do(PutDirectory(hq, "ldap", known.name, {**known.settings, "bind_dn": account("limited")}))

    record = run(world, hq)

    assert record.state == "partial", record.reason
    assert "limit" in record.reason
    with world.read() as reader:
        assert reader.counts(hq)["active_users"] == MANY


def test_content_synchronisation_is_refused_for_ids_by_which_this_server_tells_no_deletion(
    ds389: DS389,
) -> None:
    dialect = make_dialect("ds389", DialectSettings(id_attribute="entryUUID"), now=NOW)
    given = settings(on_389(ds389))

    with open_session(given, PASSWORD) as session, pytest.raises(DoubtError, match="by nsUniqueId alone"):
        ContentSync(given.searches, dialect, percent=30).begin(session)
