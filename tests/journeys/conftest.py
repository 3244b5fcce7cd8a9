"""Shells on fresh databases, copied from one that was made once."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.shell import Shell
from tests.journeys.sso_scene import Scene, sso_scene
from tests.log_checks import check_logs
from tests.postgresql import DatabaseFactory


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an upgraded, empty SQLite database and its key."""
    folder = tmp_path_factory.mktemp("made")
    Shell(folder).answer("db", "upgrade")
    return folder


@pytest.fixture
def shell(tmp_path: Path, made_sqlite: Path) -> Shell:
    """A shell on SQLite."""
    shutil.copytree(made_sqlite / "var", tmp_path / "var")
    return Shell(tmp_path)


@pytest.fixture
def blank_shell(tmp_path: Path) -> Shell:
    """A shell where nothing is set up."""
    return Shell(tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def either_shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """A shell on each kind of database; nothing is set up."""
    if request.param == "sqlite":
        return Shell(tmp_path)
    make: Callable[[], str] = request.getfixturevalue("postgresql_database")
    assert isinstance(make, DatabaseFactory)
    return Shell(tmp_path, make())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Two organisations with an identity provider each, on SQLite. Their logs must be whole at the end."""
    with sso_scene(tmp_path) as made:
        yield made
        check_logs(made.wiring)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def either_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """The same on each kind of database."""
    make: Callable[[], str] | None = None
    if request.param == "postgresql":
        make = request.getfixturevalue("postgresql_database")
    with sso_scene(tmp_path, make() if make is not None else "") as made:
        yield made
        check_logs(made.wiring)
