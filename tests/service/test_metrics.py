"""The figures of directories, as they are asked for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from directory.ids import DirectoryId, RunId
from provisioning.state import RunRecord
from service.administration import Administration
from service.metrics import OrganisationFigures, entries_per_second
from tests.service.worlds import HandClock, add_directory, small_world

BEGUN = datetime(2026, 3, 2, 9, tzinfo=UTC)
RUN = RunRecord(
    RunId("r"),
    DirectoryId("d"),
    1,
    "completed",
    BEGUN,
    finished_at=BEGUN + timedelta(seconds=4),
    counters={"seen": 1000},
)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    with small_world(tmp_path, clock) as administration:
        yield administration


def figures(world: Administration) -> dict[str, float]:
    """Those of the one directory, by name."""
    return {
        sample.name: sample.value
        for metric in OrganisationFigures(world.wiring).collect()
        for sample in metric.samples
        if sample.labels.get("directory") == "hq"
    }


def test_a_directory_lags_once_its_last_success_is_older_than_its_interval(
    world: Administration, clock: HandClock
) -> None:
    clock.advance(seconds=50)
    in_time = figures(world)
    clock.advance(seconds=50)
    late = figures(world)

    assert (in_time["usher_directory_last_success_seconds"], in_time["usher_directory_lag_seconds"]) == (
        50,
        0,
    )
    assert (late["usher_directory_last_success_seconds"], late["usher_directory_lag_seconds"]) == (100, 40)
    assert late["usher_directory_failures"] == 0


def test_a_directory_that_is_run_by_hand_has_no_lag(world: Administration, clock: HandClock) -> None:
    with world.unit_of_work.write() as writer:
        (directory,) = writer.directories()
        settings = {name: value for name, value in directory.settings.items() if name != "interval_seconds"}
        writer.put_directory(replace(directory, interval_seconds=None, settings=settings), clock())

    assert "usher_directory_lag_seconds" not in figures(world)


def test_a_directory_that_was_never_read_has_no_age(world: Administration) -> None:
    add_directory(world, name="new")
    found = [
        sample.labels["directory"]
        for metric in OrganisationFigures(world.wiring).collect()
        for sample in metric.samples
        if sample.name in {"usher_directory_last_success_seconds", "usher_directory_lag_seconds"}
    ]

    assert found == ["hq", "hq"]


def test_the_speed_of_the_last_run_is_told(world: Administration) -> None:
    with world.read() as reader:
        (directory,) = reader.directories()
    slow = replace(RUN, run_id=RunId(world.wiring.mint.id()), directory_id=directory.directory_id, fence=9)
    now = world.wiring.clock() + timedelta(seconds=1)
    with world.unit_of_work.write() as writer:
        writer.insert_run(replace(slow, started_at=now, finished_at=now + timedelta(seconds=4)))

    assert figures(world)["usher_directory_entries_per_second"] == 250


def test_a_run_without_an_end_or_without_entries_has_no_speed() -> None:
    assert entries_per_second(RUN) == 250
    assert entries_per_second(replace(RUN, finished_at=None)) is None
    assert entries_per_second(replace(RUN, counters={})) is None
    assert entries_per_second(replace(RUN, finished_at=BEGUN)) is None
