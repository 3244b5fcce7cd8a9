"""A directory server that is read again and again from the command line, on each kind of database."""

from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.journeys.shell import Shell
from tests.slapd import PASSWORD, Slapd, SlapdFactory, account
from tests.sync.ldap_builders import GROUPS, PEOPLE
from tests.sync.ldap_trees import deleted, edited, fill, people, team, team_dn, user_dn

FULL = "Everything was read (full): "
CHANGES = "Only what has changed was read (syncrepl): "

pytestmark = pytest.mark.slapd


@pytest.fixture(scope="module")
def servers(make_slapd: SlapdFactory) -> tuple[Slapd, Slapd]:
    return make_slapd.prepare(), make_slapd.prepare()


@pytest.fixture
def slapd(servers: tuple[Slapd, Slapd]) -> Slapd:
    made = fill(servers[0], people(1, 2, 3), team(50_000, "staff", 1, 2, 3))
    # Only what is written to a running server has its number; from here on it has one.
    made.modify(edited(user_dn(1), "replace", "sn", "Changed"))
    return made


@pytest.fixture
def shell(
    either_shell: Shell, slapd: Slapd, servers: tuple[Slapd, Slapd], certificates: Certificates
) -> Shell:
    """An organisation with a directory on the first server, and on the second where that is down."""
    either_shell.set_up()
    password = either_shell.folder / "reader.password"
    password.write_text(f"{PASSWORD}\n", encoding="utf-8")
    fill(servers[1], people(1, 2), team(50_000, "staff", 1, 2))
    add(either_shell, [slapd, servers[1]], certificates.authority, password)
    return either_shell


def add(shell: Shell, servers: list[Slapd], authority: Path, password: Path) -> None:
    shell.answer(
        *("directory", "add-ldap", "hq", "--ca-file", str(authority), "--dialect", "openldap"),
        *(option for one in servers for option in ("--server", f"ldaps://localhost:{one.tls_port}")),
        *("--bind-dn", account("reader"), "--password-file", str(password)),
        *("--user-base", PEOPLE, "--group-base", GROUPS),
        *("--guard", "removed_memberships_percent=100"),
    )


def test_each_reading_says_by_which_method_it_was_made_and_why(shell: Shell, slapd: Slapd) -> None:
    first = shell.answer("sync", "run", "hq")
    slapd.modify(edited(user_dn(1), "replace", "cn", "Other") + deleted(user_dn(3)))
    second = shell.answer("sync", "run", "hq")
    third = shell.answer("sync", "run", "hq")

    assert f"{FULL}it was never read before" in first
    assert "3 users added" in first
    assert f"{CHANGES}the directory was read in full before, and nothing is in doubt." in second
    assert "1 users changed, 1 users deactivated" in second
    assert CHANGES in third
    assert "Nothing has changed since the last reading." in third


def test_a_full_reading_that_is_asked_for_reads_everything_and_finds_nothing_left(
    shell: Shell, slapd: Slapd
) -> None:
    shell.answer("sync", "run", "hq")
    slapd.modify(edited(team_dn("staff"), "delete", "member", user_dn(2)))
    shell.answer("sync", "run", "hq")
    shell.mark()

    text = shell.answer("sync", "run", "hq", "--full")

    assert text == (
        "Read 4 entries: 3 users, 1 groups, 0 rejected.\n"
        f"{FULL}it was asked for.\n"
        "Nothing has changed since the last reading.\n"
    )
    (ended,) = shell.new_events()
    assert (ended["action"], ended["outcome"]) == ("sync.completed", "noop")
    newest = shell.json("sync", "history")[0]
    assert (newest["method"], newest["method_reason"]) == ("full", "it was asked for")


def test_a_rehearsal_reads_in_full_when_told_so_and_stores_nothing(shell: Shell, slapd: Slapd) -> None:
    shell.answer("sync", "run", "hq")
    slapd.modify(edited(user_dn(1), "replace", "cn", "Other"))
    shell.mark()

    short, whole = (shell.answer("sync", "run", "hq", "--dry-run", *more) for more in ((), ("--full",)))

    assert CHANGES in short
    assert f"{FULL}it was asked for." in whole
    assert "Read 4 entries" in whole
    assert shell.new_actions() == []
    assert "1 users changed" in shell.answer("sync", "run", "hq")


def test_a_reading_of_the_second_server_says_what_it_keeps_and_for_how_long(
    shell: Shell, slapd: Slapd
) -> None:
    shell.answer("sync", "run", "hq")
    slapd.stop()

    text = shell.answer("sync", "run", "hq")

    assert f"{FULL}another server answers than the one that was read last." in text
    assert "Note: read from localhost:" in text
    assert "or for one more complete reading." in text
    assert "deactivated" not in text
    assert "ended" not in text
    slapd.start()
    assert f"{FULL}what was missing on localhost:" in shell.answer("sync", "run", "hq")


def test_a_full_reading_of_an_export_is_what_every_reading_is(either_shell: Shell) -> None:
    either_shell.set_up()
    either_shell.write_export(
        f"dn: {user_dn(1)}\nobjectClass: inetOrgPerson\nuid: u1\nentryUUID: 00000001-0000-4000-8000-000000000000\n\n"
    )
    either_shell.answer("directory", "add-ldif", "hq", "--file", "hq.ldif", "--dialect", "openldap")

    text = either_shell.answer("sync", "run", "hq", "--full")

    assert "1 users added" in text
    assert "was read (" not in text
