"""Options of directory servers: what is wrong with one is told before anything is stored or asked."""

from pathlib import Path

import pytest

from directory.changes import PutDirectory
from service.administration import Administration
from storage.secrets import make_key_ring_text
from tests.journeys.exports import BASE
from tests.journeys.shell import ACME, Shell
from tests.service.worlds import OPERATOR

SERVER = ("--server", "ldaps://ldap.acme.example", "--user-base", f"ou=people,{BASE}")
READER = ("--bind-dn", f"cn=reader,{BASE}")
ADD = ("directory", "add-ldap", "hq", *SERVER, "--dialect", "openldap")
TEST = ("directory", "test", *SERVER)


@pytest.fixture
def shell(shell: Shell) -> Shell:
    shell.set_up()
    return shell


def stored_files(shell: Shell) -> list[Path]:
    return list(shell.settings.passwords.glob("*"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--server", "http://dc1"), "--server: 'http://dc1' is no server"),
        (("--tls", "starttls"), "--server: with tls starttls every server is ldap://HOST:PORT"),
        (("--user-base", "people"), "--user-base: 'people' is no distinguished name"),
        (("--group-base", "ou=a;ou=b"), "--group-base: 'ou=a;ou=b' holds a semicolon"),
        (("--user-filter", "(uid=*)("), "--user-filter: '(uid=*)(' is no LDAP filter"),
        (("--group-filter", "(cn"), "--group-filter: '(cn' is no LDAP filter"),
        (("--ca-file", "/none/ca.pem"), "--ca-file: '/none/ca.pem' cannot be read as certificates"),
        (("--set", "map_!=x"), "is neither a fact nor a SCIM attribute name"),
        (("--set", "scope"), "--set: 'scope' is given no value; write NAME=VALUE"),
        (("--set", "pages=3"), "--set: 'pages' is no further setting"),
        (("--dialect", "generic"), "needs id_attribute"),
        (("--id-attribute", "cn"), "'cn' cannot be the id attribute"),
        (READER, "the account of --bind-dn needs its password"),
        (("--password-name", "hq"), "give --bind-dn"),
        (("--bind-dn", "nobody"), "--bind-dn: 'nobody' names no account"),
        ((*READER, "--password-name", "none"), "the password 'none' cannot be read"),
    ],
)
@pytest.mark.parametrize("command", [ADD, TEST], ids=["add-ldap", "test"])
def test_an_option_that_cannot_be_used_is_named_with_what_it_may_be(
    shell: Shell, command: tuple[str, ...], given: tuple[str, ...], words: str
) -> None:
    assert words in shell.fail(2, *command, *given)
    assert shell.json("directory", "list") == []


@pytest.mark.parametrize("command", [ADD, TEST, ("directory", "set-password", "hq")])
@pytest.mark.parametrize("given", [("--password", "hunter2"), ("--password=hunter2",)])
def test_a_password_in_the_command_line_is_refused_and_not_repeated(
    shell: Shell, command: tuple[str, ...], given: tuple[str, ...]
) -> None:
    told = shell.fail(2, *command, *given)

    assert "seen by everybody on this machine" in told
    assert "hunter2" not in told


def test_a_password_comes_from_one_place(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "reader.password"
    file.write_text("hunter2", encoding="utf-8")

    both = shell.fail(2, *ADD, *READER, "--password-stdin", "--password-file", str(file))
    named = shell.fail(2, *ADD, *READER, "--password-name", "hq", "--password-file", str(file))
    missing = shell.fail(3, *ADD, *READER, "--password-file", str(tmp_path / "none"))

    assert "not both" in both
    assert "not both" in named
    assert "cannot be read" in missing
    assert shell.json("directory", "list") == []


def test_a_password_from_standard_input_is_stored_without_its_line_s_end(shell: Shell) -> None:
    result = shell.invoke(*ADD, *READER, "--password-stdin", stdin="hunter2\n")

    assert result.exit_code == 0, result.stderr
    assert shell.passwords() == {"password": "hunter2"}
    assert stored_files(shell) == []


@pytest.mark.parametrize(
    ("stdin", "words"), [(b"\xff\xfe", "not UTF-8"), (b"", "is empty"), (b"a\nb\n", "single line")]
)
def test_standard_input_that_holds_no_password_is_refused(shell: Shell, stdin: bytes, words: str) -> None:
    result = shell.invoke(*ADD, *READER, "--password-stdin", stdin=stdin)

    assert result.exit_code == 1
    assert words in result.stderr
    assert shell.json("directory", "list") == []


def test_a_password_that_others_keep_up_is_named_and_never_removed(shell: Shell) -> None:
    shell.settings.passwords.mkdir()
    mounted = shell.settings.passwords / "mounted"
    mounted.write_text("hunter2", encoding="utf-8")

    shell.answer(*ADD, *READER, "--password-name", "mounted")
    assert shell.json("directory", "status")["settings"]["password_name"] == "mounted"
    result = shell.invoke("directory", "set-password", "hq", stdin="hunter3")

    assert result.exit_code == 0
    assert shell.passwords() == {"password": "hunter3"}
    shell.answer(*ADD, *READER, "--password-name", "mounted", "--replace")
    assert shell.passwords() == {}
    assert stored_files(shell) == [mounted]


def use_files(shell: Shell, **passwords: str) -> None:
    """Have the directory name files, as those do that an earlier release has set up."""
    shell.settings.passwords.mkdir(exist_ok=True)
    with shell.wiring() as wiring:
        state = wiring.store.organisation(ACME)
        assert state is not None
        administration = Administration(wiring, state.organisation_id, OPERATOR)
        with administration.read() as reader:
            (hq,) = reader.directories()
        names = {setting: f"{hq.directory_id}.{number}" for number, setting in enumerate(passwords, 1)}
        for setting, name in names.items():
            (shell.settings.passwords / name).write_text(passwords[setting], encoding="utf-8")
        settings = {**hq.settings, **names, "password_set_at": "2026-03-01T00:00:00Z"}
        administration.apply([PutDirectory(hq.directory_id, "ldap", hq.name, settings)])


def test_a_password_in_a_file_of_an_earlier_release_stays_until_a_new_one_is_sealed(shell: Shell) -> None:
    shell.invoke(*ADD, *READER, "--password-stdin", stdin="hunter2")
    use_files(shell, password_name="in a file")
    (file,) = stored_files(shell)

    shell.answer(*ADD, *READER, "--page-size", "100", "--replace")
    assert shell.json("directory", "status")["settings"]["password_name"] == file.name
    assert file.exists()
    assert shell.passwords() == {}

    shell.invoke("directory", "set-password", "hq", stdin="hunter3")
    assert shell.passwords() == {"password": "hunter3"}
    settings = shell.json("directory", "status")["settings"]
    assert settings["password_name"] == "sealed:password"
    assert "password_set_at" not in settings
    assert stored_files(shell) == []


def test_a_next_password_in_a_file_of_an_earlier_release_takes_its_place(shell: Shell) -> None:
    shell.invoke(*ADD, *READER, "--password-stdin", stdin="hunter2")
    use_files(shell, password_name="old", next_password_name="new")

    shell.answer("directory", "set-password", "hq", "--promote")

    (file,) = stored_files(shell)
    assert file.read_text(encoding="utf-8") == "new"
    settings = shell.json("directory", "status")["settings"]
    assert settings["password_name"] == file.name
    assert "next_password_name" not in settings


def test_a_next_password_takes_the_place_of_the_present_one(shell: Shell) -> None:
    shell.invoke(*ADD, *READER, "--password-stdin", stdin="hunter2")
    shell.invoke("directory", "set-password", "hq", "--next", stdin="hunter3")
    assert shell.passwords() == {"password": "hunter2", "next_password": "hunter3"}
    shell.mark()

    shell.answer("directory", "set-password", "hq", "--promote")

    assert shell.passwords() == {"password": "hunter3"}
    said = shell.new_events()
    assert [body["action"] for body in said] == ["directory.updated", *["directory.secret_changed"] * 2]
    assert "hunter" not in str(said)


def test_a_password_whose_key_is_lost_is_told_and_can_be_set_again(shell: Shell) -> None:
    shell.invoke(*ADD, *READER, "--password-stdin", stdin="hunter2")
    shell.settings.key_file.write_text(make_key_ring_text("k9"), encoding="utf-8")

    told = shell.answer("sync", "run", code=3)
    assert "needs key 'k1', which is not on the key ring" in told

    shell.invoke("directory", "set-password", "hq", stdin="hunter3")
    assert shell.passwords() == {"password": "hunter3"}


def test_a_changed_directory_keeps_its_password_and_an_anonymous_one_forgets_it(shell: Shell) -> None:
    shell.invoke(*ADD, *READER, "--password-stdin", stdin="hunter2")
    before = shell.json("directory", "status")["settings"]

    shell.answer(*ADD, *READER, "--page-size", "100", "--replace")
    after = shell.json("directory", "status")["settings"]
    assert after == {**before, "page_size": 100}

    shell.answer(*ADD, "--replace")
    assert "password_name" not in shell.json("directory", "status")["settings"]
    assert shell.passwords() == {}


def test_a_directory_that_is_refused_leaves_no_password(shell: Shell) -> None:
    shell.answer(*ADD)

    result = shell.invoke(*ADD, *READER, "--password-stdin", stdin="hunter2")

    assert result.exit_code == 1
    assert "a directory named 'hq' exists" in result.stderr
    assert shell.passwords() == {}


def test_only_a_directory_with_an_account_has_a_password(shell: Shell) -> None:
    shell.answer(*ADD)
    shell.answer("directory", "add-scim", "cloud")

    for name in ("hq", "cloud"):
        assert "no account that a password could be of" in shell.fail(1, "directory", "set-password", name)
    assert "and no other" in shell.fail(2, "directory", "set-password", "hq", "--promote", "--next")


def test_a_test_is_of_a_stored_directory_or_of_options(shell: Shell) -> None:
    shell.answer("directory", "add-scim", "cloud")

    assert "not both" in shell.fail(2, "directory", "test", "cloud", *SERVER)
    assert "give --server with them" in shell.fail(2, "directory", "test", "cloud", "--dialect", "openldap")
    assert "only LDAP directories are tested" in shell.fail(1, "directory", "test", "cloud")


def test_a_preview_of_what_cannot_be_read_is_refused(shell: Shell) -> None:
    shell.answer("directory", "add-ldif", "hq", "--file", "hq.ldif", "--dialect", "openldap")

    assert "hq.ldif" in shell.fail(3, "directory", "preview")
