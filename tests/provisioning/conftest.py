"""A database of each kind for the whole session; every world in it is an organisation of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import pytest
from sqlalchemy import delete

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
def new_world(database: Database, tmp_path: Path) -> MakeWorld:
    """Makes organisations; `make_world` says what can be chosen. Domains of earlier tests are nobody's again."""
    with database.write() as connection:
        connection.execute(delete(domain))

    def make(**options: Unpack[WorldOptions]) -> World:
        options.setdefault("folder", tmp_path)
        return make_world(database, **options)

    return make


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    """An organisation of the Minut catalogue with an owner, on the plan Pro (20 seats)."""
    return new_world()
