"""Bad input by name: what is told in a plain line, and that nothing is half done."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.journeys.exports import Person, export, group_entry, people
from tests.journeys.shell import Shell

STAFF = tuple(f"person{number:02d}" for number in range(12))


@pytest.fixture
def full(shell: Shell) -> Shell:
    """Twelve people, read once; the guard lets a bad entry of twelve pass."""
    shell.set_up(plan="Pro")
    shell.write_export(export(people(*STAFF), {"staff": STAFF}))
    shell.add_directory("hq", "--guard", "rejected_percent=50")
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
    return shell


def active(shell: Shell) -> int:
    count = shell.json("directory", "status")["active_users"]
    assert isinstance(count, int)
    return count


def test_export_cut_in_the_middle_of_an_entry_removes_nobody(full: Shell) -> None:
    text = export(people(*STAFF), {"staff": STAFF})
    full.write_export(text[: text.index("uid: person08")])

    answer = full.json("sync", "run")

    assert answer["state"] == "partial"
    assert answer["reason"]
    assert active(full) == 12
    assert full.seats() == (13, 0)
    assert "Incomplete, so nobody is removed for being absent" in full.answer("sync", "run")


def test_entry_with_wrong_base64_is_rejected_alone(full: Shell) -> None:
    persons = [*people(*STAFF), Person("new", extra="displayName:: %%%not base64%%%")]
    full.write_export(export(persons, {"staff": STAFF}))

    answer = full.json("sync", "run")

    (rejection,) = answer["rejections"]
    assert "base64" in rejection["reason"]
    assert rejection["line"] > 0
    assert active(full) == 12


def test_second_entry_of_one_id_is_rejected(full: Shell) -> None:
    full.write_export(export([*people(*STAFF), Person("copy", key="person01")], {"staff": STAFF}))

    answer = full.json("sync", "run")

    (rejection,) = answer["rejections"]
    assert "is that of the entry on line" in rejection["reason"]
    assert answer["state"] == "partial"
    assert "there is no member 'copy'" in full.fail(1, "member", "show", "copy")


def test_value_of_200_kilobytes_is_survived(full: Shell) -> None:
    large = "description: " + "x" * 200_000
    full.write_export(export([*people(*STAFF), Person("new", extra=large)], {"staff": STAFF}))

    answer = full.json("sync", "run")

    assert answer["state"] in {"completed", "partial"}
    assert active(full) >= 12


@pytest.mark.parametrize("line", ["displayName: An\x00na", "displayName:: QW4AbmE="])
def test_nul_bytes_are_refused_or_survived_alone(full: Shell, line: str) -> None:
    full.write_export(export([*people(*STAFF), Person("new", extra=line)], {"staff": STAFF}))

    result = full.invoke("sync", "run", "--json")

    assert result.exit_code in {0, 1, 3}
    assert active(full) >= 12
    assert full.seats()[0] >= 13


def test_change_records_are_refused_with_their_line(full: Shell) -> None:
    full.write_export(export(people(*STAFF), {}) + "dn: uid=x,dc=acme,dc=example\nchangetype: delete\n\n")

    answer = full.json("sync", "run", code=3)

    assert answer["state"] == "failed"
    assert "line " in answer["reason"]
    assert active(full) == 12


@pytest.mark.parametrize("content", ["", "\n\n", "not an export at all\n", "\x00" * 5000])
def test_file_that_is_no_export_fails_and_changes_nothing(full: Shell, content: str) -> None:
    full.write_export(content)
    before = full.state().access_version

    result = full.invoke("sync", "run", "--json")

    assert result.exit_code in {1, 3}
    assert full.state().access_version == before


def test_group_deleted_under_a_rule_leaves_it_dangling(full: Shell) -> None:
    full.write_export(export(people(*STAFF), {}))

    plan_hash = full.json("sync", "run", code=1)["plan_hash"]
    full.answer("sync", "run", "--approve", plan_hash)

    assert full.seats() == (1, 0)
    assert {finding["kind"] for finding in full.json("rules", "lint", code=1)} == {"dangling"}


@pytest.mark.parametrize("name", ["../hq.ldif", "/etc/passwd", "hq.txt", "a\\b.ldif", ""])
def test_export_must_be_a_name_in_the_folder(full: Shell, name: str) -> None:
    message = full.fail(1, "directory", "add-ldif", "other", "--file", name, "--dialect", "openldap")

    assert "is no name of an export" in message
    assert len(full.json("directory", "list")) == 1


def test_directory_settings_are_checked(full: Shell) -> None:
    add = ("directory", "add-ldif", "hq", "--file", "hq.ldif", "--dialect", "openldap")
    assert "a directory named 'hq' exists" in full.fail(1, *add)
    assert "'speed=1' is no limit" in full.fail(2, *add, "--guard", "speed=1")
    assert "is not one of" in full.fail(
        2, "directory", "add-ldif", "x", "--file", "x.ldif", "--dialect", "novell"
    )
    assert "there is no role 'king'" in full.fail(1, *add, "--default-role", "king", "--replace")
    assert "nobody is one by default" in full.fail(1, *add, "--default-role", "Admin", "--replace")
    assert "is changed" in full.answer(
        *add, "--interval", "3600", "--replace", "--grace", "2", "--checksum", "--id-attribute", "entryUUID"
    )
    assert full.json("directory", "status")["settings"] == {
        "file": "hq.ldif",
        "dialect": "openldap",
        "interval_seconds": 3600,
        "id_attribute": "entryUUID",
        "absence_grace_runs": 2,
        "checksum_required": True,
    }
    assert "there is no directory 'none'" in full.fail(1, "directory", "status", "none")


def test_checksum_that_is_required_and_missing_makes_the_reading_partial(full: Shell) -> None:
    full.answer(
        "directory", "add-ldif", "hq", "--file", "hq.ldif", "--dialect", "openldap", "--replace", "--checksum"
    )

    assert "'hq.ldif.sha256' is required and missing" in full.json("sync", "run")["reason"]


def test_no_directory_is_told(shell: Shell) -> None:
    shell.set_up()

    assert "there is no directory yet" in shell.fail(1, "sync", "run")
    assert "There is no directory yet" in shell.answer("directory", "list")
    assert "No directory has been read yet" in shell.answer("sync", "history")


# The database


def test_nothing_set_up_is_told(blank_shell: Shell) -> None:
    message = blank_shell.fail(3, "organisation", "list")

    assert message.startswith("there is no database at ")
    assert "'usher db upgrade'" in message
    assert not blank_shell.folder.joinpath("var").exists()


def test_database_of_a_newer_release_is_refused(full: Shell) -> None:
    with sqlite3.connect(full.settings.data / "usher.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    connection.close()

    for command in (("organisation", "list"), ("db", "upgrade"), ("demo", "--once"), ("serve",)):
        message = full.fail(3, *command)
        assert "was upgraded by a newer release (version from_the_future)" in message


def test_database_without_tables_is_told(blank_shell: Shell) -> None:
    (blank_shell.folder / "var").mkdir()
    sqlite3.connect(blank_shell.settings.data / "usher.db").close()
    (blank_shell.settings.data / "usher.db").touch()

    assert "has no tables of Usher's yet" in blank_shell.fail(3, "organisation", "list")


def test_file_that_is_no_database_is_told(blank_shell: Shell) -> None:
    (blank_shell.folder / "var").mkdir()
    (blank_shell.settings.data / "usher.db").write_bytes(b"no database " * 1000)

    assert "is damaged or no database of Usher's" in blank_shell.fail(3, "organisation", "list")


@contextmanager
def every_connection(pragma: str) -> Iterator[None]:
    """Give each new connection a pragma, as a disk would give its state."""

    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(pragma)

    event.listen(Engine, "connect", connect)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connect)


def test_read_only_disk_is_told(full: Shell) -> None:
    with every_connection("PRAGMA query_only = 1"):
        message = full.fail(
            3, "rules", "add", "--group", "staff", "--role", "Admin", "--scope", "organisation"
        )

    assert "cannot be written" in message
    assert len(full.json("rules", "list")) == 1


def test_full_disk_is_told_and_nothing_is_half_done(full: Shell) -> None:
    path = full.settings.data / "usher.db"
    connection = sqlite3.connect(path)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    many = tuple(f"extra{number:03d}" for number in range(200))
    full.write_export(export(people(*STAFF, *many), {"staff": STAFF}))
    before = full.json("directory", "status")["users"]

    with every_connection(f"PRAGMA max_page_count = {pages + 2}"):
        message = full.fail(3, "sync", "run")

    assert "no room is left" in message
    assert full.json("directory", "status")["users"] == before
    # The lease was given back, so the next run need not wait, and ends the work.
    assert full.json("sync", "run")["counters"]["users_created"] == 200


def test_folder_that_cannot_be_made_is_told(blank_shell: Shell) -> None:
    blank_shell.folder.joinpath("var").write_text("a file in the way")

    for command in (("db", "upgrade"), ("demo", "--once")):
        assert "cannot be written" in blank_shell.fail(3, *command)


def test_lost_key_is_told_before_anything_is_made(full: Shell) -> None:
    key = full.settings.key_file
    text = key.read_text()
    key.unlink()

    for command in (("organisation", "list"), ("db", "upgrade"), ("demo", "--once")):
        message = full.fail(3, *command)
        assert "the database holds sealed values, but there is no key" in message
    assert not key.exists()
    full.environ["USHER_SECRET_KEY"] = text
    full.answer("audit", "list")


def test_damaged_key_is_told_without_being_shown(full: Shell) -> None:
    full.settings.key_file.write_text("k1:c2hvcnQ=\n")

    message = full.fail(3, "organisation", "list")

    assert "32 are needed" in message
    assert "c2hvcnQ" not in message


def test_database_that_cannot_be_reached_is_told_without_its_password(blank_shell: Shell) -> None:
    blank_shell.environ["USHER_DATABASE_URL"] = "postgresql://usher:hidden@127.0.0.1:1/usher"
    blank_shell.environ["USHER_SECRET_KEY"] = "k1:" + "A" * 43 + "="

    message = blank_shell.fail(3, "organisation", "list")

    assert "cannot be reached" in message
    assert "hidden" not in message


# The call itself


def test_settings_faults_are_told_together(blank_shell: Shell) -> None:
    blank_shell.environ["USHER_PORT"] = "many"
    blank_shell.environ["USHER_PROT"] = "8000"

    message = blank_shell.fail(2, "organisation", "list")

    assert message.splitlines() == [
        "USHER_PROT is no setting; did you mean USHER_PORT?",
        "USHER_PORT must be a whole number from 1 to 65535, not 'many'",
    ]


@pytest.mark.parametrize("arguments", [("--json", "seats"), ("seats", "--json")])
def test_error_is_a_document_wherever_json_stands(blank_shell: Shell, arguments: tuple[str, ...]) -> None:
    result = blank_shell.invoke(*arguments)

    assert result.exit_code == 3
    assert '"code": "database_outdated"' in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fly",), "No such command 'fly'; see 'usher --help'"),
        (("seats", "--fly"), "No such option"),
        (("decide", "anna"), "Missing argument 'PERMISSION'; see 'usher decide --help'"),
        (("rules", "apply"), "Missing option '-f' / '--file'"),
        (("member", "override", "x", "--grant", "Admin", "--until", "1d", "--reason", "y"), "is no grant"),
    ],
)
def test_wrong_call_is_usage(blank_shell: Shell, arguments: tuple[str, ...], expected: str) -> None:
    assert expected in blank_shell.fail(2, *arguments)


def test_usage_is_a_document_with_json(blank_shell: Shell) -> None:
    result = blank_shell.invoke("decide", "anna", "--json")

    assert result.exit_code == 2
    assert '"code": "usage"' in result.stderr


def test_entry_is_not_lost_for_a_bad_neighbour(full: Shell) -> None:
    text = export(people(*STAFF, "later"), {}) + group_entry("staff", [*STAFF, "later"]) + "\n"
    broken = text.replace("uid: person05\n", "uid: person05\nthis is no attribute\n")
    full.write_export(broken)

    answer = full.json("sync", "run")

    assert len(answer["rejections"]) == 1
    assert full.json("member", "show", "later")["grants"]
    assert full.json("member", "show", "person05")["grants"]
