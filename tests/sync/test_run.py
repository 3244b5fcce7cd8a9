"""A run of an LDIF directory, from the file in its folder to the record."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from directory.changes import GroupMatch
from directory.ids import DirectoryId
from sync.dialects.dialect import DialectSettings
from sync.errors import SyncError
from sync.run import dialect_settings, plan_directory, snapshot_settings
from sync.snapshot import SnapshotSettings
from tests.builders import MakeWorld, World
from tests.sync.builders import eid, group, person

TEAM = 900
EXPORT = person(1, "ann") + person(2, "bob") + group(TEAM, "team", "ann", "bob")


@pytest.fixture
def hq(world: World) -> DirectoryId:
    return world.put_ldif()


def test_a_run_takes_the_export_over_and_a_second_one_plans_nothing(world: World, hq: DirectoryId) -> None:
    world.export(EXPORT)

    first, second = world.run(hq), world.run(hq)

    assert (first.state, second.state) == ("completed", "completed")
    assert first.counters["users_created"] == 2
    assert second.counters == {
        "seen": 3,
        "users_seen": 2,
        "groups_seen": 1,
        "rejected": 0,
        "unknown_references": 0,
    }
    assert (second.plan_hash, second.started_event) == ("", None)
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    world.check()


@pytest.mark.parametrize(
    ("file", "words"),
    [("missing.ldif", "missing.ldif"), ("../secret.ldif", "secret.ldif"), ("", "''")],
    ids=["missing", "outside the folder", "not said"],
)
def test_an_export_that_cannot_be_opened_fails_the_run_and_changes_nothing(
    world: World, file: str, words: str
) -> None:
    hq = world.put_ldif(file=file)

    record = world.run(hq)

    assert record.state == "failed"
    assert words in record.reason
    assert world.events()[-1] == "sync.failed"
    assert world.stored_directory(hq).failures == 1


def test_an_unknown_dialect_fails_the_run(world: World) -> None:
    world.export(EXPORT)
    hq = world.put_ldif(dialect="x500")

    assert (
        world.run(hq).reason
        == "'x500' is no dialect; choose one of openldap, active_directory, ds389, generic"
    )


def test_an_export_without_people_is_stopped_and_goes_on_when_it_is_whole_again(
    world: World, hq: DirectoryId
) -> None:
    world.export(EXPORT)
    world.run(hq)
    world.export(group(TEAM, "team"))

    blocked = world.run(hq)

    assert blocked.state == "blocked"
    assert blocked.reason == "no user was read while 2 are stored"
    assert world.user(hq, eid(1)).active
    world.export(EXPORT)
    assert world.run(hq).state == "completed"
    world.check()


def test_a_blocked_plan_is_approved_by_its_hash_and_refused_when_the_state_has_moved(
    world: World, hq: DirectoryId
) -> None:
    world.export(EXPORT)
    world.run(hq)
    world.export(person(1, "ann") + person(2, "bob"))
    blocked = world.run(hq)
    assert blocked.state == "blocked"

    world.put_scope("North")
    refused = world.run(hq, approval=blocked.plan_hash, approved_by="chris")
    assert (refused.state, refused.reason) == (
        "blocked",
        "the approval is for another plan: source, rules or stored state have moved since",
    )
    applied = world.run(hq, approval=refused.plan_hash, approved_by="chris")

    assert (applied.state, applied.approved_by) == ("completed", "chris")
    assert world.group(hq, eid(TEAM)).deleted_at is not None
    world.check()


def test_a_truncated_export_is_a_partial_run_that_removes_nobody(world: World) -> None:
    hq = world.put_ldif(guard_rejected_percent=100)
    world.export(EXPORT)
    world.run(hq)
    world.export((person(3, "cid") + person(1, "ann"))[:-12])

    record = world.run(hq)

    assert record.state == "partial"
    assert world.user(hq, eid(2)).active
    assert world.user(hq, eid(3)).active


def test_a_dry_run_stores_nothing_and_says_what_would_stop_it(world: World, hq: DirectoryId) -> None:
    world.export(EXPORT)
    world.run(hq)
    world.export(person(2, "bob"))
    before, seen = world.snapshot(), len(world.bodies())

    planned = plan_directory(
        world.stored_directory(hq), unit_of_work=world.unit_of_work, exports=world.folder, now=world.clock()
    )

    assert planned.hash == planned.plan.hash
    assert planned.crossed == ("2 of 2 memberships would end; the limit is 20 %",)
    assert (planned.counts.users, planned.reading.is_complete) == (1, True)
    assert (world.snapshot(), len(world.bodies())) == (before, seen)


def test_a_dry_run_of_a_missing_file_is_an_error(world: World, hq: DirectoryId) -> None:
    with pytest.raises(SyncError):
        plan_directory(
            world.stored_directory(hq),
            unit_of_work=world.unit_of_work,
            exports=world.folder,
            now=world.clock(),
        )


def test_two_directories_of_two_organisations_read_the_same_file_apart(new_world: MakeWorld) -> None:
    worlds = [new_world(), new_world()]
    for world in worlds:
        world.export(EXPORT)
        world.run(world.put_ldif())

    assert [len(world.members()) for world in worlds] == [3, 3]
    assert not set(worlds[0].members()) & set(worlds[1].members())


def test_a_new_rule_is_followed_without_a_run_and_by_the_next_people(world: World, hq: DirectoryId) -> None:
    world.export(EXPORT)
    world.run(hq)
    world.put_rule(GroupMatch(world.group(hq, eid(TEAM)).group_id))
    assert world.roles(world.member_of(hq, eid(1))) == ["Member"]

    people = person(1, "ann") + person(2, "bob") + person(3, "cid")
    world.export(people + group(TEAM, "team", "ann", "bob", "cid"))
    world.run(hq)

    assert world.roles(world.member_of(hq, eid(3))) == ["Member"]
    world.check()


# Settings


def test_settings_of_a_directory_become_those_of_dialect_and_snapshot() -> None:
    given: dict[str, str | int | bool] = {
        "file": "x.ldif",
        "id_attribute": "nsUniqueId",
        "group_id_attribute": "",
        "map_title": "personalTitle",
        "member_attributes": "member, uniqueMember",
        "disabled_attribute": "nsAccountLock",
        "disabled_values": "true,1",
        "include_built_in": True,
        "user_bases": "ou=people,o=x; ou=more,o=x",
        "ignored_references": "ou=old,o=x",
    }

    assert dialect_settings(given) == DialectSettings(
        id_attribute="nsUniqueId",
        group_id_attribute=None,
        attribute_map={"title": "personalTitle"},
        member_attributes=("member", "uniqueMember"),
        disabled_attribute="nsAccountLock",
        disabled_values=("true", "1"),
        include_built_in=True,
    )
    assert snapshot_settings(given) == SnapshotSettings(
        user_bases=("ou=people,o=x", "ou=more,o=x"),
        ignored_references=("ou=old,o=x",),
    )


def test_without_settings_the_dialect_decides() -> None:
    assert dialect_settings({}) == DialectSettings()
    assert snapshot_settings({}) == SnapshotSettings()


# kill -9

CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from directory.ids import DirectoryId, OrganisationId
    from storage.engine import open_database
    from storage.unit_of_work import OrganisationUnitOfWork
    from sync.run import run_directory
    from tests.builders import KEY_RING, CountingMint, World

    url, organisation, directory, folder, last = sys.argv[1:]
    database = open_database(url, key_ring=KEY_RING)
    unit_of_work = OrganisationUnitOfWork(database, OrganisationId(organisation))
    mint = CountingMint(series=1_000_000 + int(last))
    world = World(database, unit_of_work, root="", catalogue="minut", mint=mint, folder=Path(folder))
    calls = 0

    def progress(done, people):
        global calls
        calls += 1
        if calls == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    claim = world.claim(DirectoryId(directory))
    run_directory(claim, keeper=world.keeper, exports=world.folder, progress=progress)
    """
)


@pytest.mark.parametrize("last", [1, 2])
def test_a_process_that_is_killed_leaves_a_run_that_the_next_one_completes(
    new_world: MakeWorld, last: int
) -> None:
    world = new_world(plan="Enterprise", seat_limit=300)
    hq = world.put_ldif()
    names = [f"u{number}" for number in range(1, 601)]
    world.export("".join(person(number) for number in range(1, 601)) + group(TEAM, "team", *names))
    url = world.database.engine.url.render_as_string(hide_password=False)
    arguments = [url, world.organisation_id, hq, str(world.folder), str(last)]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    world.check()
    world.clock.move(minutes=5)

    record = world.run(hq)

    assert record.state == "completed"
    actions = world.events()
    assert [actions.count(name) for name in ("user.created", "group.created", "group.member_added")] == [
        600,
        1,
        600,
    ]
    assert world.run(hq).started_event is None
    world.check()
