"""One service on one SQLite file."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.engine import Database, open_database
from storage.errors import DatabaseLockedError, DatabaseUnavailableError
from storage.secrets import KeyRing
from storage.service_lock import hold_service_lock

RING = KeyRing({"k1": b"1" * 32}, "k1")
HOLD = """
import sys
from storage.engine import open_database
from storage.secrets import KeyRing
from storage.service_lock import hold_service_lock
with hold_service_lock(open_database(sys.argv[1], key_ring=KeyRing({"k1": b"1" * 32}, "k1"))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path}/usher.db", key_ring=RING)
    yield database
    database.close()


def test_a_second_service_is_refused_and_told_why(database: Database) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, database.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

        with (
            pytest.raises(DatabaseLockedError, match=rf"process {process.pid}\).*or move to PostgreSQL"),
            hold_service_lock(database),
        ):
            ...
        with database.write() as connection:
            connection.execute(text("CREATE TABLE thing (id)"))
        process.kill()

    with hold_service_lock(database):
        ...


def test_the_lock_is_let_go_of_at_the_end(database: Database) -> None:
    with hold_service_lock(database), pytest.raises(DatabaseLockedError), hold_service_lock(database):
        ...
    with hold_service_lock(database):
        ...


def test_the_same_file_by_another_way_is_the_same_file(database: Database, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link.db").symlink_to(tmp_path / "usher.db")
    linked = open_database(f"sqlite:///{tmp_path}/folder/link.db", key_ring=RING)

    with hold_service_lock(database), pytest.raises(DatabaseLockedError), hold_service_lock(linked):
        ...


def test_a_folder_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/none/usher.db", key_ring=RING)

    with pytest.raises(DatabaseUnavailableError, match="No such file"), hold_service_lock(database):
        ...


def test_postgresql_serves_any_number_of_services() -> None:
    database = open_database("postgresql://db.example/usher", key_ring=RING)

    with hold_service_lock(database), hold_service_lock(database):
        ...
