"""An empty database upgraded has the tables that the code declares, on both databases; a newer one is refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from storage.audit_tables import metadata
from storage.engine import Database, open_database
from storage.errors import NewerDatabaseError, OutdatedDatabaseError
from storage.migrate import check_version, migration_config, upgrade
from storage.secrets import KeyRing
from tests.postgresql import DatabaseFactory

RING = KeyRing({"k1": b"1" * 32}, "k1")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/100% usher.db"
    if request.param == "postgresql":
        factory: DatabaseFactory = request.getfixturevalue("postgresql_database")
        url = factory()
    database = open_database(url, key_ring=RING)
    yield database
    database.close()


def own_tables(connection: Connection) -> set[str]:
    """The tables there are, but for those of the job library."""
    return {name for name in inspect(connection).get_table_names() if not name.startswith("procrastinate_")}


def set_version(database: Database, version: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def test_an_upgraded_database_is_what_the_code_declares(empty: Database) -> None:
    upgrade(empty)

    with empty.read() as connection:
        command.check(migration_config(connection))
        assert own_tables(connection) == {*metadata.tables, "alembic_version"}


def test_a_second_upgrade_changes_nothing(empty: Database) -> None:
    upgrade(empty)
    upgrade(empty)

    check_version(empty)


def test_upgrades_at_once_wait_for_each_other(empty: Database) -> None:
    with ThreadPoolExecutor(3) as pool:
        for running in [pool.submit(upgrade, empty) for _ in range(3)]:
            running.result()

    check_version(empty)


def test_an_empty_database_is_told_of(empty: Database) -> None:
    with pytest.raises(OutdatedDatabaseError, match="has no tables of Usher's yet; run 'usher db upgrade'"):
        check_version(empty)


def test_a_newer_database_is_refused_and_left_alone(empty: Database) -> None:
    upgrade(empty)
    set_version(empty, "9999")

    for refuse in (check_version, upgrade):
        with pytest.raises(NewerDatabaseError, match=r"by a newer release \(version 9999\)"):
            refuse(empty)


def test_an_older_database_is_told_of(empty: Database) -> None:
    with empty.migrate() as connection:
        command.upgrade(migration_config(connection), "0001")

    with pytest.raises(
        OutdatedDatabaseError, match=r"of an older release \(version 0001, this one needs 0011\)"
    ):
        check_version(empty)


def test_a_domain_of_several_organisations_stays_with_who_had_it_first(empty: Database) -> None:
    first, second, third = (f"01990000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
    with empty.migrate() as connection:
        command.upgrade(migration_config(connection), "0003")
        connection.execute(text("INSERT INTO environment VALUES ('minut', '', '', '2026-03-01 12:00:00')"))
        for number, organisation_id in enumerate((first, second, third)):
            connection.execute(
                text(
                    "INSERT INTO organisation (id, environment_id, name, name_key, seat_policy, switches,"
                    " root_scope_id, access_version, model_version, seated, reserved, created_at)"
                    f" VALUES ('{organisation_id}', 'minut', 'o{number}', 'o{number}', 'reject', '{{}}',"
                    f" '{organisation_id}', 1, 1, 0, 0, '2026-03-01 12:00:00')"
                )
            )
            for domain, hour in (
                ("shared.example", 12 - number),
                ("tied.example", 9),
                (f"o{number}.example", 9),
            ):
                connection.execute(
                    text(
                        "INSERT INTO domain (organisation_id, domain, verified_at)"
                        f" VALUES ('{organisation_id}', '{domain}', '2026-03-01 {hour:02}:00:00')"
                    )
                )

    upgrade(empty)

    with empty.read() as connection:
        held = connection.execute(
            text("SELECT domain, organisation_id FROM domain WHERE state = 'verified' ORDER BY domain")
        ).all()
        pending = connection.execute(
            text("SELECT domain, verified_at, challenge FROM domain WHERE state = 'pending' ORDER BY domain")
        ).all()
    assert [(domain, str(whose)) for domain, whose in held] == [
        ("o0.example", first),
        ("o1.example", second),
        ("o2.example", third),
        ("shared.example", third),
        ("tied.example", first),
    ]
    assert pending == [("shared.example", None, "")] * 2 + [("tied.example", None, "")] * 2


def test_an_upgrade_that_fails_leaves_nothing(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = command.upgrade

    def fail(config: Config, revision: str) -> None:
        complete(config, revision)
        raise InterruptedError

    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(InterruptedError):
        upgrade(empty)

    with empty.read() as connection:
        assert inspect(connection).get_table_names() == []


def test_there_is_one_line_of_migrations_named_by_their_time_of_running() -> None:
    folder = Path(migration_config.__code__.co_filename).with_name("migrations") / "versions"
    names = [path.name for path in folder.glob("*.py")]
    assert names
    assert all(name.startswith(("pre_", "post_")) for name in names)
