"""The doctor finds what is wrong and says what to do."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from directory.changes import PutDirectory, PutToken, RevokeToken, SetPlan
from directory.ids import DirectoryId, EventId, RunId
from provisioning.state import MemberUpdate, RunRecord
from service import doctor
from service.administration import Administration
from service.doctor import Finding, Level
from service.opening import open_database_as_is
from service.runs import claim_directory, run_claimed
from service.sealer import Sealer
from tests.service.worlds import HandClock, small_world, write_export


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    with small_world(tmp_path, clock) as administration:
        # What no service has sealed is told as well, and is not what these tests are about.
        Sealer(administration.wiring).drain()
        yield administration


def examine(world: Administration) -> Sequence[Finding]:
    return doctor.examine(world.wiring.settings)


def texts(world: Administration, level: Level) -> list[str]:
    return [finding.text for finding in examine(world) if finding.level is level]


def test_all_is_well(world: Administration) -> None:
    assert {finding.level for finding in examine(world)} == {Level.OK}


def test_wrong_count_of_seats_is_found(world: Administration) -> None:
    with world.unit_of_work.write() as writer:
        writer.save_organisation(replace(writer.organisation(), seated=9))

    assert texts(world, Level.FAIL) == ["the row counts 9 seats held and 0 reserved, but there are 3 and 0"]


def test_seats_beyond_the_plan_are_a_warning(world: Administration) -> None:
    world.apply([SetPlan("Starter")])

    assert texts(world, Level.WARN) == ["3 seats are used, 2 more than the plan has"]


def test_little_room_is_a_warning(world: Administration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 10**12, 1024 * 1024))

    assert texts(world, Level.WARN) == ["1 MiB are free where the data lies"]


def test_key_of_the_settings_needs_no_file(world: Administration) -> None:
    settings = world.wiring.settings
    text = settings.key_file.read_text(encoding="utf-8")
    settings.key_file.unlink()

    findings = doctor.examine(replace(settings, secret_key=text))

    assert {finding.level for finding in findings} == {Level.OK}
    assert "the key ring comes from the settings" in [finding.text for finding in findings]


def test_queue_and_held_changes_are_told(world: Administration) -> None:
    with world.unit_of_work.write() as writer:
        records = writer.member_records(writer.member_ids(None, 10)).values()
        record = next(record for record in records if not record.facts.is_owner)
        writer.enqueue_everyone(kind="operator", root=EventId("e"), parent=EventId("e"))
        held = MemberUpdate(
            member_id=record.member_id,
            is_active=record.is_active,
            seat=record.seat,
            waiting_priority=None,
            waiting_rank=None,
            waiting_since=None,
            is_held=True,
            is_deleted=False,
            deactivated_at=None,
        )
        writer.update_members([held], world.wiring.clock())

    assert texts(world, Level.WARN) == [
        "1 changes are held: they would take the last Admin away",
        "people wait for their access to be worked out",
    ]


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0, "was last read 0 s ago"), (1, "was last read 60 min ago"), (30, "was last read 30 h ago")],
)
def test_old_reading_is_told(
    world: Administration,
    clock: HandClock,
    hours: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock.advance(hours=hours)
    monkeypatch.setattr(
        "service.doctor.open_database_as_is", lambda settings: open_database_as_is(settings, clock=clock)
    )

    (finding,) = [finding for finding in examine(world) if "directory" in finding.about]

    assert finding.text == expected
    assert finding.level is (Level.OK if hours == 0 else Level.WARN)


def test_run_that_never_ended_is_told(world: Administration, clock: HandClock) -> None:
    with world.unit_of_work.write() as writer:
        (directory,) = writer.directories()
        run = RunRecord(
            RunId(world.wiring.mint.id()),
            directory.directory_id,
            9,
            "running",
            clock() + timedelta(seconds=1),
        )
        writer.insert_run(run)
    assert texts(world, Level.WARN) == []
    clock.advance(minutes=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "service.doctor.open_database_as_is", lambda settings: open_database_as_is(settings, clock=clock)
        )
        assert texts(world, Level.WARN) == ["a run that began 9 min ago has not ended"]


def test_directory_read_by_hand_need_not_be_recent(world: Administration) -> None:
    with world.unit_of_work.write() as writer:
        (directory,) = writer.directories()
        writer.put_directory(replace(directory, interval_seconds=None), world.wiring.clock())

    assert "is read by hand only" in texts(world, Level.OK)


def test_blocked_and_manual_directories_are_told(world: Administration, clock: HandClock) -> None:
    write_export(world.wiring)
    with world.read() as reader:
        (directory,) = reader.directories()
    assert run_claimed(world.wiring, claim_directory(world.wiring, directory)).record.state == "blocked"
    assert any("the guard holds a plan: no user was read" in text for text in texts(world, Level.WARN))


def test_a_scim_directory_needs_a_live_token_and_says_when_it_ends(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "service.doctor.open_database_as_is", lambda settings: open_database_as_is(settings, clock=clock)
    )
    mint = world.wiring.mint
    directory_id, short, long = DirectoryId(mint.id()), mint.id(), mint.id()
    world.apply([PutDirectory(directory_id, "scim", "push", {"paused": True})])

    def told() -> list[tuple[Level, str]]:
        return [(one.level, one.text) for one in examine(world) if "'push'" in one.about]

    assert told() == [
        (Level.WARN, "is paused: whatever is pushed to it is refused"),
        (Level.WARN, "has no live token, so nobody gets in"),
    ]
    ends_at = clock() + timedelta(days=29, hours=1)
    world.apply(
        [
            PutDirectory(directory_id, "scim", "push", {}),
            PutToken(short, directory_id, "entra", "usher_scim_short", bytes(32), ends_at),
        ]
    )
    assert told() == [(Level.WARN, "token 'entra' (usher_scim_short) ends in 30 days")]
    world.apply([RevokeToken(short), PutToken(long, directory_id, "okta", "usher_scim_long", bytes(32))])
    assert told() == [(Level.OK, "was never asked for anything; 1 live tokens")]
    world.wiring.pushes.note_use(long, clock(), "192.0.2.7")
    assert told() == [(Level.OK, "was last asked 0 s ago; 1 live tokens")]
