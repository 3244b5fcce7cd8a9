"""A directory is previewed in parts, and others get their turn in between."""

from dataclasses import replace
from pathlib import Path

import pytest

from directory.ids import DirectoryId
from provisioning.state import StoredDirectory
from service.administration import Administration
from service.directory_preview import TURN_SECONDS, preview_directory
from service.errors import RefusedError
from tests.postgresql import DatabaseFactory
from tests.service.worlds import HandClock, small_world, write_export

PEOPLE = ("anna", "ben", "cleo", "dan", "eva", "fay", "gus")


def directory(administration: Administration) -> StoredDirectory:
    with administration.read() as reader:
        (known,) = reader.directories()
    return known


def preview_five_more(administration: Administration, people_at_once: int) -> list[float]:
    """Preview that five people come; how long others were let in between."""
    write_export(administration.wiring, *PEOPLE)
    pauses: list[float] = []

    found = preview_directory(
        administration, directory(administration), people_at_once=people_at_once, pause=pauses.append
    )

    assert found.planned.plan.new_users == 5
    assert len(found.foresight.preview.changes) == 5
    assert found.foresight.seats_after == found.foresight.seats_before + 5
    return pauses


@pytest.mark.parametrize(("people_at_once", "turns"), [(1, 4), (2, 2), (5, 0)])
def test_others_are_let_between_two_parts(tmp_path: Path, people_at_once: int, turns: int) -> None:
    with small_world(tmp_path, HandClock()) as administration:
        assert preview_five_more(administration, people_at_once) == [TURN_SECONDS] * turns


@pytest.mark.pg
def test_who_waits_in_a_queue_needs_no_pause(tmp_path: Path, postgresql_database: DatabaseFactory) -> None:
    with small_world(tmp_path, HandClock(), USHER_DATABASE_URL=postgresql_database()) as administration:
        assert preview_five_more(administration, 2) == []


def test_a_directory_of_another_organisation_is_refused(tmp_path: Path) -> None:
    with small_world(tmp_path, HandClock()) as administration:
        stranger = replace(
            directory(administration), directory_id=DirectoryId(administration.wiring.mint.id())
        )

        with pytest.raises(RefusedError, match="there is no directory"):
            preview_directory(administration, stranger)
