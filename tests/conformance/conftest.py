"""Databases of both kinds. Most tests share one of each and have organisations of their own in it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.engine import Database, open_database
from storage.migrate import upgrade
from storage.secrets import KeyRing
from storage.service_store import SQLServiceStore
from tests.conformance.builders import Tenant, make_tenant, put_environment
from tests.postgresql import DatabaseFactory

NewDatabase = Callable[[], str]
"""Gives the address of a database that has all tables and no rows."""

KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.pg))


@pytest.fixture(scope="session")
def key_ring() -> KeyRing:
    return KeyRing({"k1": bytes(range(32))}, "k1")


@pytest.fixture(scope="session", params=KINDS)
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, key_ring: KeyRing
) -> NewDatabase:
    """Makes databases of one kind, copied from one that was upgraded once."""
    if request.param == "sqlite":
        return _sqlite_copies(tmp_path_factory, key_ring)
    factory: DatabaseFactory = request.getfixturevalue("postgresql_database")
    template = factory()
    _upgrade(template, key_ring)
    return lambda: factory(template)


def _sqlite_copies(folders: pytest.TempPathFactory, key_ring: KeyRing) -> NewDatabase:
    template = folders.mktemp("template") / "usher.db"
    _upgrade(f"sqlite:///{template}", key_ring)

    def copy() -> str:
        path: Path = folders.mktemp("database") / "usher.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}"

    return copy


def _upgrade(url: str, key_ring: KeyRing) -> None:
    database = open_database(url, key_ring=key_ring)
    upgrade(database)
    database.close()


@pytest.fixture(scope="module")
def database(new_database: NewDatabase, key_ring: KeyRing) -> Iterator[Database]:
    """A database that the tests of a module share. It has the environment of the builders."""
    database = open_database(new_database(), key_ring=key_ring)
    put_environment(database)
    yield database
    database.close()


@pytest.fixture
def fresh_database(new_database: NewDatabase, key_ring: KeyRing) -> Iterator[Database]:
    """A database of the test's own, with the environment of the builders."""
    database = open_database(new_database(), key_ring=key_ring)
    put_environment(database)
    yield database
    database.close()


@pytest.fixture
def store(fresh_database: Database) -> SQLServiceStore:
    return SQLServiceStore(fresh_database)


@pytest.fixture
def tenant(database: Database) -> Tenant:
    """A new organisation with one directory."""
    return make_tenant(database)


@pytest.fixture
def other(database: Database) -> Tenant:
    """Another organisation in the same database."""
    return make_tenant(database)
