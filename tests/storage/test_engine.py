"""Opening databases, transactions, and what goes wrong with them, told so that an operator can act."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.engine import CatalogueCache, Database, open_database
from storage.errors import (
    CorruptDatabaseError,
    DatabaseAddressError,
    DatabaseLockedError,
    DatabaseUnavailableError,
    DiskFullError,
    NestedWriteError,
    ReadOnlyDatabaseError,
)
from storage.secrets import KeyRing
from tests.conformance.builders import catalogue_text
from tests.postgresql import DatabaseFactory

RING = KeyRing({"k1": b"1" * 32}, "k1")


def open_file(path: Path, *, lock_seconds: float = 5, is_fully_synchronous: bool = False) -> Database:
    return open_database(
        f"sqlite:///{path}",
        key_ring=RING,
        lock_seconds=lock_seconds,
        is_fully_synchronous=is_fully_synchronous,
    )


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_file(tmp_path / "usher.db", lock_seconds=0.2)
    with database.write() as connection:
        connection.execute(
            text("CREATE TABLE thing (id INTEGER PRIMARY KEY, other_id INTEGER REFERENCES thing (id))")
        )
    yield database
    database.close()


def insert(database: Database, row: str = "(NULL, NULL)") -> None:
    with database.write() as connection:
        connection.execute(text(f"INSERT INTO thing VALUES {row}"))


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM thing")).scalar_one())


def pragma(database: Database, name: str) -> object:
    with database.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not of the form"),
        ("mysql://user:secret@host/db", "'mysql' is not supported"),
        ("sqlite://", "in memory would be lost"),
        ("sqlite:///:memory:", "in memory would be lost"),
    ],
)
def test_an_address_of_another_kind_is_refused(url: str, words: str) -> None:
    with pytest.raises(DatabaseAddressError, match=words) as refused:
        open_database(url, key_ring=RING)
    assert "secret" not in str(refused.value)


def test_an_address_is_shown_without_its_password() -> None:
    database = open_database("postgresql://usher:secret@db.example/usher", key_ring=RING)

    assert database.address == "postgresql+psycopg://usher:***@db.example/usher"
    assert database.file is None


def test_sqlite_is_set_up_for_one_service(tmp_path: Path) -> None:
    database = open_file(tmp_path / "usher.db")
    assert pragma(database, "journal_mode") == "wal"
    assert pragma(database, "synchronous") == 1
    assert pragma(database, "foreign_keys") == 1
    assert pragma(database, "busy_timeout") == 5000
    assert database.file == tmp_path / "usher.db"
    database.close()


def test_sqlite_waits_for_the_disk_when_told_to(tmp_path: Path) -> None:
    database = open_file(tmp_path / "usher.db", is_fully_synchronous=True)
    assert pragma(database, "synchronous") == 2
    database.close()


def test_a_write_is_committed_or_rolled_back_whole(database: Database) -> None:
    def insert_and_fail() -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO thing VALUES (NULL, NULL)"))
            raise ZeroDivisionError

    insert(database)
    with pytest.raises(ZeroDivisionError):
        insert_and_fail()
    assert count(database) == 1


def test_a_statement_that_is_wrong_stays_what_it_is(database: Database) -> None:
    with pytest.raises(Exception, match="syntax error") as raised, database.read() as connection:
        connection.execute(text("SELEKT"))
    assert type(raised.value).__name__ == "OperationalError"


def test_a_second_writer_waits_for_its_turn_no_longer_than_told(database: Database) -> None:
    outcome: list[str] = []

    def write() -> None:
        try:
            insert(database)
        except DatabaseLockedError as err:
            outcome.append(str(err))

    with database.write():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert "has not ended within 0.2 seconds" in outcome[0]
    insert(database)


def test_a_write_inside_a_write_is_refused_at_once(database: Database) -> None:
    with pytest.raises(NestedWriteError), database.write(), database.write():
        ...
    insert(database)


def test_another_process_that_holds_the_file_is_told_of(database: Database) -> None:
    assert database.file is not None
    stranger = sqlite3.connect(database.file, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseLockedError, match="locked by somebody else"):
        insert(database)
    assert count(database) == 0

    stranger.execute("ROLLBACK")
    stranger.close()
    insert(database)


def test_a_checkpoint_empties_the_log_into_the_file(database: Database) -> None:
    assert database.file is not None
    insert(database)
    before = database.file.stat().st_size

    database.checkpoint()

    assert database.file.stat().st_size > before
    insert(database)


def test_tables_are_made_anew_while_others_refer_to_them(database: Database) -> None:
    insert(database, "(1, NULL), (2, 1)")

    with database.migrate() as connection:
        connection.execute(text("DROP TABLE thing"))
        connection.execute(text("CREATE TABLE thing (id INTEGER PRIMARY KEY)"))

    assert pragma(database, "foreign_keys") == 1


def test_a_folder_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    database = open_file(tmp_path / "none" / "usher.db")

    with pytest.raises(DatabaseUnavailableError, match="check the address") as raised, database.read():
        ...
    assert str(tmp_path) in str(raised.value)


def test_a_file_that_is_no_database_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "usher.db"
    path.write_bytes(b"no database at all" * 1000)
    database = open_file(path)

    with pytest.raises(CorruptDatabaseError, match="restore it from a backup"):
        count(database)
    database.close()


def test_a_damaged_file_is_told_of(database: Database, tmp_path: Path) -> None:
    insert(database)
    database.close()
    path = tmp_path / "usher.db"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))

    with pytest.raises(CorruptDatabaseError):
        count(database)


def test_a_database_that_may_only_be_read_is_told_of(database: Database) -> None:
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")

    with pytest.raises(ReadOnlyDatabaseError, match="right to write"):
        insert(database)


def test_a_full_disk_is_told_of_and_nothing_is_changed(database: Database) -> None:
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    def fill() -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO thing VALUES (NULL, NULL)"))
            connection.execute(text("CREATE TABLE filler (content BLOB)"))

    with pytest.raises(DiskFullError, match="free some space"):
        fill()
    assert count(database) == 0


def test_a_server_that_does_not_answer_is_told_of(tmp_path: Path) -> None:
    database = open_database(f"postgresql://usher:secret@/usher?host={tmp_path}", key_ring=RING)

    with pytest.raises(DatabaseUnavailableError, match="check the address") as raised, database.read():
        ...
    assert "secret" not in str(raised.value)


@pytest.mark.pg
def test_a_database_that_is_not_there_is_told_of(postgresql_dsn: str) -> None:
    database = open_database(psycopg_url(postgresql_dsn, "absent"), key_ring=RING)

    with pytest.raises(DatabaseUnavailableError, match="absent"), database.read():
        ...


def psycopg_url(dsn: str, name: str) -> str:
    """The address of another database on the same server."""
    head, _, options = dsn.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{options}"


@pytest.fixture
def on_postgresql(postgresql_database: DatabaseFactory) -> Iterator[Database]:
    database = open_database(postgresql_database(), key_ring=RING, lock_seconds=0.2, pool_size=2)
    yield database
    database.close()


@pytest.mark.pg
def test_postgresql_reads_without_being_able_to_write(on_postgresql: Database) -> None:
    with pytest.raises(ReadOnlyDatabaseError), on_postgresql.read() as connection:
        connection.execute(text("CREATE TABLE thing (id INTEGER)"))
    with on_postgresql.write() as connection:
        connection.execute(text("CREATE TABLE thing (id INTEGER)"))
    assert count(on_postgresql) == 0


@pytest.mark.pg
def test_a_lock_on_postgresql_is_waited_for_no_longer_than_told(on_postgresql: Database) -> None:
    with on_postgresql.write() as connection:
        connection.execute(text("CREATE TABLE thing (id INTEGER)"))
    with on_postgresql.write() as connection:
        connection.execute(text("LOCK TABLE thing"))
        with pytest.raises(DatabaseLockedError), on_postgresql.write() as other:
            other.execute(text("LOCK TABLE thing"))


@pytest.mark.pg
def test_a_connection_that_the_server_ended_is_told_of_and_replaced(on_postgresql: Database) -> None:
    ending = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(DatabaseUnavailableError), on_postgresql.read() as connection:
        connection.execute(ending)
    with on_postgresql.read() as connection:
        assert connection.execute(text("SHOW TimeZone")).scalar_one() == "UTC"


@pytest.mark.pg
def test_too_few_connections_are_told_of(postgresql_database: DatabaseFactory) -> None:
    database = open_database(postgresql_database(), key_ring=RING, lock_seconds=0.2, pool_size=1)
    with database.read(), pytest.raises(DatabaseUnavailableError, match="was free in time"), database.read():
        ...
    database.close()


@pytest.mark.pg
def test_a_checkpoint_is_sqlites_alone(on_postgresql: Database) -> None:
    on_postgresql.checkpoint()


@pytest.mark.pg
def cache_size(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA cache_size").scalar_one())


def test_what_reads_a_whole_table_does_not_fill_the_cache(database: Database) -> None:
    with database.read() as connection:
        before = cache_size(connection)
        with database.passing_through(connection):
            during = cache_size(connection)
        after = cache_size(connection)
    with database.write() as connection, database.passing_through(connection):
        while_writing = cache_size(connection)

    assert before == after == while_writing < during < 0


def test_the_cache_of_a_server_is_left_to_it(on_postgresql: Database) -> None:
    with on_postgresql.read() as connection, on_postgresql.passing_through(connection):
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_of_two_upgrades_on_postgresql_one_waits(on_postgresql: Database) -> None:
    order: list[str] = []

    def second() -> None:
        with on_postgresql.migrate():
            order.append("second")

    with on_postgresql.migrate() as connection:
        thread = threading.Thread(target=second)
        thread.start()
        wait_for_lock(connection.engine.url.render_as_string(hide_password=False).replace("+psycopg", ""))
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def wait_for_lock(dsn: str) -> None:
    """Return when somebody waits for an advisory lock."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        waiting = "SELECT count(*) FROM pg_locks, pg_sleep(0.01) WHERE locktype = 'advisory' AND NOT granted"
        while connection.execute(waiting).fetchone() == (0,):
            ...


def test_catalogues_are_kept_by_digest_up_to_a_number() -> None:
    cache = CatalogueCache(capacity=2)
    kept = cache.load("a", catalogue_text(), source="a")
    cache.load("b", catalogue_text("minikai"), source="b")
    assert cache.find("a") is kept
    cache.load("c", catalogue_text(), source="c")

    assert cache.find("a") is kept
    assert cache.find("b") is None
    assert cache.find("c") is not None
