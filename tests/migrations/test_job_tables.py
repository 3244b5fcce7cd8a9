"""The job library's tables: on PostgreSQL alone, and as the installed release of the library wants them."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import inspect

from storage.engine import open_database
from storage.migrate import upgrade
from tests.migrations.test_migrate import RING

DESCRIBE = """
    SELECT 'column', concat_ws(' ', table_name, column_name, data_type, column_default, is_nullable)
        FROM information_schema.columns WHERE table_name LIKE 'procrastinate%'
    UNION SELECT 'index', indexdef FROM pg_indexes WHERE tablename LIKE 'procrastinate%'
    UNION SELECT 'function', pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'procrastinate%'
    UNION SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger
        WHERE tgrelid::regclass::text LIKE 'procrastinate%' AND NOT tgisinternal
    UNION SELECT 'constraint', conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid::regclass::text LIKE 'procrastinate%'
    UNION SELECT 'label', enumtypid::regtype || ' ' || enumlabel FROM pg_enum
        WHERE enumtypid::regtype::text LIKE 'procrastinate%'
    ORDER BY 1, 2
"""


def described(url: str) -> list[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        return [(kind, text) for kind, text in connection.execute(DESCRIBE)]


@pytest.mark.pg
def test_our_revisions_make_what_the_installed_library_would(
    postgresql_database: Callable[[], str],
) -> None:
    """Fails when the library is upgraded past our revisions: the newest one says what to add."""
    ours, theirs = postgresql_database(), postgresql_database()
    database = open_database(ours, key_ring=RING)
    upgrade(database)
    database.close()
    with psycopg.connect(theirs) as connection:
        connection.execute((files("procrastinate.sql") / "schema.sql").read_bytes())

    made = described(ours)
    assert len(made) > 50
    assert made == described(theirs)


def test_sqlite_has_none_of_them(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/usher.db", key_ring=RING)
    upgrade(database)

    with database.read() as connection:
        names = inspect(connection).get_table_names()
    database.close()
    assert not [name for name in names if name.startswith("procrastinate")]
