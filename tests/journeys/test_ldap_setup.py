"""A directory server from the first look to the first person, with a real one on the other side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Certificates
from tests.journeys.shell import Shell
from tests.slapd import PASSWORD, SUFFIX, Slapd, SlapdFactory, account
from tests.sync.ldap_builders import GROUPS, PEOPLE

OPENLDAP = Path(__file__).parent.parent / "payloads" / "openldap" / "openldap-2k.ldif.gz"
BASES = ("--user-base", PEOPLE, "--group-base", GROUPS)
FEW = ("--user-filter", "(uid=u0001*)")

pytestmark = pytest.mark.slapd


@pytest.fixture(scope="module")
def slapd(make_slapd: SlapdFactory) -> Slapd:
    """A server with the export of a real one. Nobody writes to it."""
    return make_slapd(OPENLDAP)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "reader.password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return path


@pytest.fixture
def server(slapd: Slapd, certificates: Certificates, password_file: Path) -> list[str]:
    """Options for the server over TLS, as the account that may read everything."""
    return options(slapd, certificates.authority, password_file)


def options(
    slapd: Slapd, authority: Path, password_file: Path, *, who: str = "reader", tls: str = "ldaps"
) -> list[str]:
    url = f"ldaps://localhost:{slapd.tls_port}" if tls == "ldaps" else f"ldap://localhost:{slapd.port}"
    return [
        *("--server", url, "--ca-file", str(authority)),
        *("--bind-dn", account(who), "--password-file", str(password_file)),
    ]


def levels(found: dict[str, Any], level: str) -> list[str]:
    return [one["about"] for one in found["findings"] if one["level"] == level]


def finding(found: dict[str, Any], about: str, level: str) -> Any:  # noqa: ANN401 - a part of the document
    (one,) = [one for one in found["findings"] if (one["about"], one["level"]) == (about, level)]
    return one


def examine(shell: Shell, *given: str, code: int = 0) -> dict[str, Any]:
    """What `directory test` finds, by its document; the text is printed too, and shows no password."""
    text = shell.answer("directory", "test", *given, code=code)
    found: dict[str, Any] = shell.json("directory", "test", *given, code=code)
    assert PASSWORD not in text + str(found)
    assert all(clean_line(one) in text for one in found["findings"])
    assert all(f"\n      -> {one['remedy']}" in text for one in found["findings"] if one["remedy"])
    return found


def clean_line(one: dict[str, str]) -> str:
    return f"{one['level']:<5} {one['about']}: {one['text']}"


# Looking, before anything is added.


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_a_good_server_is_examined_from_its_name_to_ten_people_and_nothing_is_stored(
    blank_shell: Shell, slapd: Slapd, certificates: Certificates, password_file: Path, tls: str
) -> None:
    given = options(slapd, certificates.authority, password_file, tls=tls)

    found = examine(blank_shell, *given, *BASES)

    assert found["is_good"]
    assert not levels(found, "fail")
    assert (found["dialect"], found["dialect_guess"], found["users"], found["groups"]) == (
        "openldap",
        "openldap",
        2000,
        89,
    )
    assert len(found["user_samples"]) == len(found["group_samples"]) == 10
    assert found["user_samples"][0]["user_name"].startswith("u")
    (shown,) = found["certificates"].values()
    assert shown["names"] == ["localhost", "127.0.0.1"]
    assert shown["issuer"] == "CN=Test authority authority"
    assert found["method"] == "syncrepl"
    assert "content synchronisation" in finding(found, "method", "ok")["text"]
    assert not (blank_shell.folder / "var").exists()


def test_a_wrong_password_is_told_after_one_try_and_the_exit_code_says_outside(
    blank_shell: Shell, server: Sequence[str], password_file: Path
) -> None:
    password_file.write_text("wrong guess", encoding="utf-8")

    found = examine(blank_shell, *server, *BASES, code=3)

    told = finding(found, "account", "fail")
    assert "bind_dn or the password is wrong" in told["text"]
    assert told["remedy"].startswith("check bind_dn letter by letter, give the password anew")
    assert "locked out" in told["remedy"]
    assert "wrong guess" not in str(found)
    assert found["findings"][-1]["about"] == "account"


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_a_wrong_authority_is_refused_with_what_the_server_shows(
    blank_shell: Shell, slapd: Slapd, certificates: Certificates, password_file: Path, tls: str
) -> None:
    given = options(slapd, certificates.other_authority, password_file, tls=tls)

    found = examine(blank_shell, *given, *BASES, code=3)

    told = finding(found, "tls", "fail")
    assert "self-signed certificate in certificate chain" in told["text"]
    assert "does not hold the authority 'CN=Test authority authority'" in told["remedy"]
    assert "of 'CN=localhost' for localhost, 127.0.0.1" in finding(found, "certificate", "ok")["text"]


@pytest.mark.parametrize(
    ("keys", "level", "words", "remedy"),
    [
        ("expired", "fail", "it has ended", "renew the server's certificate"),
        (
            "wrong_name",
            "ok",
            "for elsewhere.example",
            "name the server as its certificate does (elsewhere.example)",
        ),
    ],
)
def test_a_certificate_with_a_fault_is_told_by_its_names_and_dates(
    blank_shell: Shell,
    make_slapd: SlapdFactory,
    certificates: Certificates,
    password_file: Path,
    keys: str,
    level: str,
    words: str,
    remedy: str,
) -> None:
    slapd = make_slapd(keys=getattr(certificates, keys))

    found = examine(blank_shell, *options(slapd, certificates.authority, password_file), *BASES, code=3)

    assert words in finding(found, "certificate", level)["text"]
    assert remedy in finding(found, "tls", "fail")["remedy"]


def test_an_authority_that_is_not_given_is_asked_for(blank_shell: Shell, slapd: Slapd) -> None:
    found = examine(blank_shell, "--server", f"ldaps://localhost:{slapd.tls_port}", *BASES, code=3)

    assert "give the certificate of the authority" in finding(found, "tls", "fail")["remedy"]


def test_an_account_with_a_size_limit_is_told_that_nobody_would_ever_be_removed(
    blank_shell: Shell, slapd: Slapd, certificates: Certificates, password_file: Path
) -> None:
    given = options(slapd, certificates.authority, password_file, who="limited")

    found = examine(blank_shell, *given, *BASES, code=1)

    told = finding(found, "reading", "fail")
    assert "sizeLimitExceeded 4" in told["text"]
    assert "nobody would ever be removed" in told["text"]
    assert "lift this limit for cn=limited,o=accounts" in told["text"]
    assert 'limits dn.exact="cn=limited,o=accounts" size=unlimited' in told["remedy"]
    assert not found["is_complete"]
    assert "rights" not in levels(found, "ok")


def test_a_page_that_is_too_large_for_the_account_is_told(
    blank_shell: Shell, slapd: Slapd, certificates: Certificates, password_file: Path
) -> None:
    given = options(slapd, certificates.authority, password_file, who="limited")

    found = examine(blank_shell, *given, *BASES, "--page-size", "1000", code=1)

    assert "lower page_size" in finding(found, "reading", "fail")["text"]
    # Of rights nothing is known when nothing could be read.
    assert "rights" not in levels(found, "fail")


def test_an_account_that_sees_nobody_is_told_to_lack_the_right(
    blank_shell: Shell, slapd: Slapd, certificates: Certificates, password_file: Path
) -> None:
    given = options(slapd, certificates.authority, password_file, who="blind")

    found = examine(blank_shell, *given, *BASES, code=1)

    assert levels(found, "ok").count("base") == 2
    told = finding(found, "rights", "fail")
    assert "sees nobody below the bases of people" in told["text"]
    assert "give the account the right" in told["remedy"]
    # The server ends such a reading with success; that it is complete is not told as something good.
    assert "reading" not in levels(found, "ok")


def test_a_misspelt_base_is_told_with_the_nearest_entry_that_is_there(
    blank_shell: Shell, server: Sequence[str]
) -> None:
    found = examine(
        blank_shell, *server, "--user-base", f"ou=poeple,{SUFFIX}", "--group-base", "ou=groups,o=else", code=1
    )

    first, second = [one["text"] for one in found["findings"] if one["about"] == "base"]
    assert f"the nearest entry that is seen is '{SUFFIX}'" in first
    assert f"the server holds {SUFFIX}, o=accounts" in second
    assert found["users"] == 0


def test_a_dialect_that_the_server_does_not_speak_is_doubted(
    blank_shell: Shell, server: Sequence[str]
) -> None:
    found = examine(blank_shell, *server, *BASES, "--dialect", "ds389", code=1)

    assert finding(found, "server", "warn")["remedy"] == "use openldap"
    assert finding(found, "rights", "fail")


def test_missing_rights_on_attributes_show_as_doubts(blank_shell: Shell, server: Sequence[str]) -> None:
    given = ("--group-filter", "(cn=nobody)", "--set", "map_mails=pager")

    found = examine(blank_shell, *server, *BASES, *given)

    texts = [one["text"] for one in found["findings"] if one["about"] == "rights"]
    assert texts == ["no mail address can be read of anybody", "no group can be read"]


def test_people_who_would_be_rejected_are_named_and_the_rest_of_them_counted(
    blank_shell: Shell, server: Sequence[str]
) -> None:
    found = examine(
        blank_shell,
        *server,
        *BASES,
        "--id-attribute",
        "title",
        "--set",
        "group_id_attribute=entryUUID",
        code=1,
    )

    texts = [one["text"] for one in found["findings"] if one["about"] == "rights"]
    assert "would be rejected: the id Engineer is that of the entry number" in texts[0]
    assert len([text for text in texts if "would be rejected:" in text]) == 10
    assert any("more entries would be rejected" in text for text in texts)


def test_an_anonymous_reader_on_this_machine_may_go_in_clear(blank_shell: Shell, slapd: Slapd) -> None:
    found = examine(blank_shell, "--server", slapd.url, "--tls", "plain", *BASES, *FEW)

    assert finding(found, "account", "warn")["text"].startswith("no account is set")
    assert finding(found, "tls", "ok")["text"] == "none, on this machine alone"


def test_a_method_that_is_switched_off_leaves_full_readings(
    blank_shell: Shell, server: Sequence[str]
) -> None:
    found = examine(blank_shell, *server, *BASES, *FEW, "--set", "incremental=off")

    assert found["method"] == "full"
    assert finding(found, "method", "ok")["text"].startswith(
        "every reading is full: the setting 'incremental'"
    )


def test_servers_that_are_not_there_are_told_one_by_one(blank_shell: Shell, slapd: Slapd) -> None:
    gone = ("--server", "ldap://127.0.0.1:1", "--server", "ldap://no-such-host.invalid")

    found = examine(blank_shell, *gone, *BASES, code=3)

    assert finding(found, "connection", "fail")["text"].startswith("127.0.0.1:1 cannot be reached within 5 s")
    assert "'no-such-host.invalid' has no address" in finding(found, "name", "fail")["text"]
    assert not found["is_reachable"]


def test_a_second_server_stands_in_for_the_first(blank_shell: Shell, slapd: Slapd) -> None:
    url = slapd.url
    several = ("--server", "ldap://127.0.0.1:1", "--server", url, "--server", url, "--tls", "plain")

    found = examine(blank_shell, *several, *BASES, *FEW, code=1)

    assert found["server"] == url.removeprefix("ldap://")
    assert found["users"] == 100
    assert levels(found, "fail") == ["connection"]


# Adding, testing, previewing, reading.


def test_a_server_is_added_previewed_and_read_and_nobody_comes_before(
    either_shell: Shell, server: Sequence[str]
) -> None:
    shell = either_shell
    shell.set_up()
    shell.mark()
    added = shell.answer(
        "directory",
        "add-ldap",
        "hq",
        *server,
        *BASES,
        *FEW,
        "--dialect",
        "openldap",
        "--default-role",
        "Member",
    )
    assert "localhost" in added
    assert shell.new_actions() == ["directory.created", "directory.secret_changed"]
    assert examine(shell, "hq")["users"] == 100

    text = shell.answer("directory", "preview", "hq")
    shell.mark()
    foreseen = shell.json("directory", "preview")
    assert shell.new_actions() == ["mapping.previewed"]

    assert "100 people would be new" in text
    assert "... and 48 more; --json lists everybody" in text
    assert (foreseen["new_users"], foreseen["seats_before"], foreseen["seats_after"]) == (100, 1, 5)
    assert (len(foreseen["changes"]), len(foreseen["waiting"])) == (98, 94)
    assert shell.seats() == (1, 0)
    assert shell.json("directory", "status")["users"] == 0
    shell.answer("sync", "run", "hq")
    assert shell.seats() == (5, 94)
    assert "0 people would be new" in shell.answer("directory", "preview", "hq")


def test_a_preview_says_what_the_guard_would_stop_and_what_is_missing(
    shell: Shell, server: Sequence[str]
) -> None:
    shell.set_up()
    add = ("directory", "add-ldap", "hq", *server, *BASES, "--dialect", "openldap")
    shell.answer(*add, *FEW)
    shell.answer("sync", "run", "hq")
    shell.answer(*add, "--user-filter", "(uid=u00010*)", "--replace")

    text = shell.answer("directory", "preview", "hq")
    assert "The guard would stop this: 88 of 98 active users would be deactivated" in text

    shell.answer(*add, "--replace", "--set", "entries=100")
    assert "Incomplete, so nobody would be removed: more than 100 entries" in shell.answer(
        "directory", "preview"
    )


def test_status_list_and_doctor_tell_what_an_administrator_needs(
    shell: Shell, server: Sequence[str], slapd: Slapd
) -> None:
    shell.set_up()
    shell.answer(
        "directory", "add-ldap", "hq", *server, *BASES, *FEW, "--dialect", "openldap", "--interval", "60"
    )
    shell.answer("sync", "run", "hq")

    (row,) = shell.json("directory", "list")
    status = shell.json("directory", "status", "hq")

    assert row["source"] == status["source"] == f"ldaps://localhost:{slapd.tls_port}"
    assert status["last_success_at"]
    assert status["last_state"] == "completed"
    told = [one["text"] for one in shell.json("doctor") if "hq" in one["about"]]
    assert any("shows a certificate of 'CN=localhost'" in text for text in told)
    assert any(text.startswith("was last read ") for text in told)


# Passwords.


def test_a_password_is_kept_sealed_and_stands_nowhere_else(shell: Shell, server: Sequence[str]) -> None:
    shell.set_up()
    shell.mark()

    document = shell.json("directory", "add-ldap", "hq", *server, *BASES, "--dialect", "openldap")

    assert shell.passwords() == {"password": PASSWORD}
    assert document["settings"]["password_name"] == "sealed:password"
    assert shell.new_actions() == ["directory.created", "directory.secret_changed"]
    said = f"{document}{shell.json('directory', 'status')}{shell.json('audit', 'list')}"
    assert PASSWORD not in said
    for file in shell.settings.data.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()


def test_a_password_is_changed_without_a_reading_that_fails(shell: Shell, server: Sequence[str]) -> None:
    shell.set_up()
    shell.answer("directory", "add-ldap", "hq", *server, *BASES, *FEW, "--dialect", "openldap")
    set_password(shell, "old")
    assert "the password is wrong" in shell.answer("sync", "run", code=3)

    shell.mark()
    set_password(shell, f"{PASSWORD}\n", "--next")
    assert shell.new_actions() == ["directory.updated", "directory.secret_changed"]
    assert shell.passwords() == {"password": "old", "next_password": PASSWORD}
    shell.answer("sync", "run")
    shell.answer("directory", "set-password", "hq", "--promote")

    assert shell.passwords() == {"password": PASSWORD}
    shell.answer("sync", "run")
    assert "has no next password" in shell.fail(1, "directory", "set-password", "hq", "--promote")


def set_password(shell: Shell, password: str, *more: str, code: int = 0) -> str:
    result = shell.invoke("directory", "set-password", "hq", *more, stdin=password)
    assert result.exit_code == code, result.stderr
    assert password.strip() == "" or password.strip() not in result.stdout + result.stderr
    return result.stderr
