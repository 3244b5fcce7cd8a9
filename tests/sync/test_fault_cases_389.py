"""Faults of a real 389 Directory Server: cases 31, 37, 38 and 40 of docs/guides/ldap-faults.md."""

from dataclasses import replace

import pytest

from directory.ids import DirectoryId
from provisioning.state import Cursor
from tests.builders import World
from tests.ds389 import DS389, DS389Factory
from tests.sync.ds389_trees import MANY, TEAM, cursor_of, is_settled, ns_id, on_389, people, read_first, run
from tests.sync.ldap_builders import GROUPS, PEOPLE
from tests.sync.ldap_trees import deleted, edited, team_dn, unit, user_dn

pytestmark = pytest.mark.ds389

# Case 31


def test_an_account_of_a_real_389_server_follows_its_lock(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389)
    states = []
    for lines in (
        edited(user_dn(7), "add", "nsAccountLock", "TRUE"),
        edited(user_dn(7), "replace", "nsAccountLock", "false"),
        edited(user_dn(7), "replace", "nsAccountLock", "true"),
        edited(user_dn(7), "delete", "nsAccountLock"),
    ):
        ds389.modify(lines)
        record = run(world, hq)
        assert record.method == "syncrepl", record.method_reason
        states.append(world.user(hq, ns_id(7)).active)

    assert states == [False, True, False, True]
    assert is_settled(world, hq)


# Case 37


def test_an_answer_that_names_only_what_it_holds_removes_nobody(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389)
    ds389.modify(edited(user_dn(8), "replace", "cn", "Other"))

    record = run(world, hq)

    # This server says refreshDeletes FALSE of every short answer, by which the standard lets it mean: only these are.
    assert record.method == "syncrepl", record.method_reason
    assert (record.counters["seen"], record.counters.get("users_deactivated", 0)) == (1, 0)
    with world.read() as reader:
        assert reader.counts(hq)["active_users"] == MANY
    assert is_settled(world, hq)


# Case 38


def test_a_cookie_of_another_server_leads_to_a_full_reading(
    world: World, ds389: DS389, make_ds389: DS389Factory
) -> None:
    hq = read_first(world, ds389)
    other = make_ds389(unit(PEOPLE) + unit(GROUPS) + people(1))
    far = world.put_directory(kind="ldap", name="far", settings=on_389(other))
    run(world, far)
    swap_marks(world, hq, cursor_of(world, far))

    record = run(world, hq)

    assert (record.state, record.method, record.plan_hash) == ("completed", "full", "")
    assert "belongs to another server" in record.method_reason
    assert run(world, hq).method == "syncrepl"


def test_a_log_that_was_trimmed_leads_to_a_full_reading(world: World, ds389: DS389) -> None:
    hq = read_first(world, ds389)
    ds389.modify("".join(edited(user_dn(9), "replace", "cn", f"Name {number}") for number in range(5)))
    ds389.modify(deleted(user_dn(10)))
    ds389.modify("".join(deleted(f"changenumber={number},cn=changelog") for number in range(1, 5)))
    # It says where its log begins by what it found at its start, or cut off by itself.
    ds389.restart()

    record = run(world, hq)

    assert (record.state, record.method) == ("completed", "full")
    assert "does not reach back" in record.method_reason
    assert record.counters["users_deactivated"] == 1
    assert run(world, hq).method == "syncrepl"


def swap_marks(world: World, hq: DirectoryId, other: Cursor) -> None:
    """Let the directory go on from where another one was."""
    own = cursor_of(world, hq)
    fence = world.claim(hq).fence
    with world.unit_of_work.write() as writer:
        writer.save_cursor(hq, fence, replace(own, mark={**other.mark, "entries": own.mark["entries"]}))


# Case 40


def test_a_membership_that_changed_through_the_group_alone_is_seen_on_a_389_server(
    world: World, ds389: DS389
) -> None:
    hq = read_first(world, ds389)
    ds389.modify(edited(team_dn("staff"), "delete", "member", user_dn(1)))
    ds389.modify(edited(team_dn("staff"), "add", "member", user_dn(11)))

    record = run(world, hq)

    assert record.method == "syncrepl", record.method_reason
    assert world.in_group(hq, ns_id(TEAM)) == {ns_id(2), ns_id(3), ns_id(11)}
    # The server writes memberOf into both people, which are no news of theirs.
    assert (record.counters["memberships_added"], record.counters["memberships_removed"]) == (1, 1)
    assert record.counters.get("users_updated", 0) == 0
    assert is_settled(world, hq)
