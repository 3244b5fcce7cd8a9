"""A database of each kind for the whole session; every world in it is an organisation of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import pytest
from sqlalchemy import delete

from audit.body import parse_body
from provisioning.ports import EventQuery
from provisioning.replay import compare_replay, replay_events
from storage.engine import Database
from storage.tables import domain
from tests.builders import KINDS, MakeWorld, World, WorldOptions, make_world, shared_database


@pytest.fixture(scope="session", params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    is_postgresql = request.param == "postgresql"
    factory = request.getfixturevalue("postgresql_database") if is_postgresql else None
    with shared_database(request.param, tmp_path_factory.mktemp("database"), factory) as database:
        yield database


@pytest.fixture
def new_world(database: Database, tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes organisations; `make_world` says what can be chosen. Domains of earlier tests are nobody's again."""
    with database.write() as connection:
        connection.execute(delete(domain))

    made: list[World] = []

    def make(**options: Unpack[WorldOptions]) -> World:
        options.setdefault("folder", tmp_path)
        made.append(make_world(database, **options))
        return made[-1]

    yield make
    for world in made:
        check_replay(world)


def check_replay(world: World) -> None:
    """Whatever a test has done: the log alone must give the members, grants and seats that there are."""
    with world.unit_of_work.read() as reader:
        bodies = [parse_body(body) for _, body in reader.events(EventQuery(limit=1_000_000))]
        misfits = [misfit.text for misfit in compare_replay(replay_events(bodies), reader)]
    assert not misfits


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    """An organisation of the Minut catalogue with an owner, on the plan Pro (20 seats)."""
    return new_world()
