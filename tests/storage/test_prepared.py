"""Statements in the form in which a driver takes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Boolean, bindparam, literal, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from storage.engine import Database, open_database
from storage.prepared import Prepared, PreparedStatements
from storage.secrets import KeyRing
from storage.tables import directory_user, metadata
from storage.types import Id

STATEMENT = (
    select(directory_user.c.id, literal(7))
    .where(directory_user.c.id == bindparam("of_user", type_=Id))
    .where(bindparam("is_wanted", type_=Boolean))
)
GIVEN = {"of_user": "u", "is_wanted": True, "more": 1}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}", key_ring=KeyRing({"k": bytes(32)}, "k"))
    metadata.create_all(database.engine)
    yield database
    database.close()


def test_values_stand_in_the_order_of_the_text_for_sqlite() -> None:
    prepared = Prepared(STATEMENT, sqlite.dialect())

    assert prepared.bind(GIVEN) == [7, "u", 1]


def test_values_go_by_name_for_postgresql() -> None:
    prepared = Prepared(STATEMENT, PGDialect_psycopg())  # type: ignore[no-untyped-call]  # SQLAlchemy's own

    assert prepared.bind(GIVEN) == {"param_1": 7, "of_user": "u", "is_wanted": True}


def test_a_value_that_is_not_given_is_told() -> None:
    prepared = Prepared(STATEMENT, sqlite.dialect())

    with pytest.raises(KeyError, match="is_wanted"):
        prepared.bind({"of_user": "u"})


def test_a_statement_is_prepared_once_and_forgotten_with_its_last_holder() -> None:
    statements = PreparedStatements(sqlite.dialect())
    statement = select(directory_user.c.id)

    assert statements[statement] is statements[statement]
    assert len(statements) == 1

    del statement
    assert len(statements) == 0


def test_both_ways_give_the_same_rows(database: Database) -> None:
    statement = select(literal("a"), bindparam("b", type_=Id))
    with database.read() as connection:
        for is_in_use in (True, False):
            database.prepared.is_in_use = is_in_use
            cursor = database.prepared.execute(connection, statement, {"b": "x"})
            assert cursor.fetchall() == [("a", "x")]
            cursor.close()


def test_both_ways_tell_how_many_rows_were_written(database: Database) -> None:
    statement = directory_user.delete().where(directory_user.c.id == bindparam("of_user", type_=Id))
    with database.write() as connection:
        for is_in_use in (True, False):
            database.prepared.is_in_use = is_in_use
            cursor = database.prepared.execute(connection, statement, {"of_user": "x"})
            assert cursor.rowcount == 0
            cursor.close()
