"""SCIM directories and their tokens from the command line: added, paused, opened, rotated, revoked."""

import re

import pytest

from tests.journeys.pushes import add_scim, provider
from tests.journeys.shell import Shell

TOKEN = re.compile(r"^usher_scim_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$", re.MULTILINE)


@pytest.fixture
def acme(shell: Shell) -> Shell:
    shell.set_up()
    shell.mark()
    return shell


def status_of(shell: Shell, base_url: str, token: str) -> int:
    with provider(shell, base_url, token) as idp:
        return idp.ask("GET", "Users").status_code


def test_a_scim_directory_is_added_with_its_settings(acme: Shell) -> None:
    acme.environ["USHER_PUBLIC_URL"] = "https://usher.example/"
    told = acme.answer(
        "directory",
        "add-scim",
        "entra",
        "--profile",
        "entra",
        "--hold",
        "--relink",
        "never",
        "--refuse-foreign-domains",
        "--default-role",
        "Member",
        "--priority",
        "7",
        "--guard",
        "removed_users=3",
    )

    status = acme.json("directory", "status", "entra")
    assert told == (
        "Directory 'entra' is added: SCIM, profile entra.\n"
        f"Base URL: https://usher.example/scim/v2/{status['id']}\n"
        "Make its token with 'usher token create entra'.\n"
    )
    assert status["settings"] == {
        "profile": "entra",
        "relink": "never",
        "hold": True,
        "refuse_foreign_domains": True,
        "guard_removed_users": 3,
    }
    assert (status["default_role"], status["priority"]) == ("Member", 7)
    assert (status["tokens"], status["last_request"]) == ([], None)
    assert acme.new_actions() == ["directory.created"]
    shown = acme.answer("directory", "status", "entra")
    assert "No token opens it; make one with 'usher token create entra'." in shown


def test_a_directory_that_is_replaced_stays_paused_and_keeps_its_address(acme: Shell) -> None:
    base_url, token = add_scim(acme)
    acme.answer("directory", "pause", "idp")

    told = acme.answer("directory", "add-scim", "IDP", "--profile", "okta", "--replace")

    assert told == (
        "Directory 'idp' is changed: SCIM, profile okta.\n"
        f"Base URL: {base_url}\n"
        "Set USHER_PUBLIC_URL to the https address at which the identity provider reaches this service.\n"
    )
    assert acme.json("directory", "status")["settings"] == {"profile": "okta", "paused": True}
    assert status_of(acme, base_url, token) == 403


def test_a_paused_directory_says_so_until_it_is_resumed(acme: Shell) -> None:
    base_url, token = add_scim(acme)
    acme.mark()

    assert "is paused; what is pushed to it is refused, aloud" in acme.answer("directory", "pause", "idp")
    acme.answer("directory", "pause", "idp")
    with provider(acme, base_url, token) as idp:
        answer = idp.ask("GET", "Users")
    assert (answer.status_code, answer.get_json()["status"]) == (403, "403")
    assert "this directory is paused" in answer.get_json()["detail"]
    assert acme.json("directory", "resume", "idp")["paused"] is False
    assert status_of(acme, base_url, token) == 200
    assert acme.new_actions() == ["directory.updated", "directory.updated"]


def test_a_token_is_shown_once_and_opens_its_directory(acme: Shell) -> None:
    acme.answer("directory", "add-scim", "idp")

    told = acme.answer("token", "create", "idp", "--name", "first", "--expires", "90")

    (text,) = TOKEN.findall(told)
    assert "It is shown this once; only its digest is kept." in told
    assert "notices come 30, 7 and 1 days before." in told
    (listed,) = acme.json("token", "list")
    assert (listed["name"], listed["state"], listed["days_left"]) == ("first", "live", 90)
    assert text not in acme.answer("token", "list") + acme.answer("audit", "list")
    secret = text.rsplit("_", 1)[1]
    assert secret.encode() not in (acme.folder / "var" / "usher.db").read_bytes()
    base_url = acme.json("directory", "status")["base_url"]
    assert status_of(acme, base_url, text) == 200
    (used,) = acme.json("token", "list")
    assert used["last_used_at"] is not None
    assert used["last_used_from"] == "127.0.0.1"
    assert "ends in 90 days, at " in acme.answer("directory", "status")


def test_a_token_is_called_after_its_directory_and_needs_no_end(acme: Shell) -> None:
    add_scim(acme)

    (listed,) = acme.json("token", "list", "idp")

    assert (listed["name"], listed["expires_at"], listed["days_left"]) == ("idp", None, None)
    assert "is good until it is revoked" in acme.answer("token", "list")


def test_rotation_leaves_both_good_until_the_old_one_is_revoked(acme: Shell) -> None:
    base_url, old = add_scim(acme)
    acme.mark()

    told = acme.answer("token", "rotate", "idp")

    (new,) = TOKEN.findall(told)
    prefix = old[: len("usher_scim_") + 8]
    assert f"usher token revoke {prefix}" in told
    assert [status_of(acme, base_url, text) for text in (old, new)] == [200, 200]
    assert "is revoked; it opens nothing any more" in acme.answer("token", "revoke", prefix)
    assert [status_of(acme, base_url, text) for text in (old, new)] == [401, 200]
    assert acme.new_actions() == ["token.created", "token.revoked"]
    assert "was not good any more" in acme.answer("token", "revoke", prefix[-8:])
    assert [row["state"] for row in acme.json("token", "list")] == ["revoked", "live"]
    assert prefix not in acme.answer("token", "list")
    assert prefix in acme.answer("token", "list", "--all")


def test_the_old_token_may_end_by_itself(acme: Shell) -> None:
    add_scim(acme)

    told = acme.answer("token", "rotate", "idp", "--revoke-old-after", "7d", "--expires", "2999-01-01")

    assert re.search(r"The old one \(usher_scim_\w{8}\) ends at \d{4}-", told)
    old, new = acme.json("token", "list")
    assert (old["days_left"], new["expires_at"]) == (7, "2999-01-01T00:00:00Z")


def test_the_next_token_lives_as_long_as_the_one_before_was_made_for(acme: Shell) -> None:
    acme.answer("directory", "add-scim", "idp")
    acme.answer("token", "create", "--name", "first", "--expires", "30d")

    issued = acme.json("token", "rotate", "first")

    assert issued["days_left"] == 30


def test_a_name_of_two_live_tokens_is_refused_with_both(acme: Shell) -> None:
    add_scim(acme)
    acme.answer("token", "rotate", "idp")

    told = acme.fail(1, "token", "revoke", "idp")

    assert told.startswith("'idp' names more than one token: usher_scim_")
    assert "of 'idp'" in told


def test_a_pasted_token_finds_its_row_and_is_not_repeated(acme: Shell) -> None:
    _, token = add_scim(acme)
    wrong = token[:11] + "zzzzzzzz" + token[19:]

    told = acme.fail(1, "token", "revoke", wrong)

    assert told == "there is no token 'usher_scim_zzzzzzzz'; list them with 'usher token list'"
    acme.answer("token", "revoke", token)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("token", "create"), "there is no SCIM directory yet; add one with 'usher directory add-scim'"),
        (
            ("token", "create", "hq"),
            "directory 'hq' is of the kind ldif; only SCIM directories are pushed to",
        ),
        (("token", "create", "nix"), "there is no directory 'nix'; list them with 'usher directory list'"),
        (("token", "rotate", "nix"), "there is no token 'nix'; list them with 'usher token list'"),
        (
            ("directory", "pause", "hq"),
            "directory 'hq' is of the kind ldif; only SCIM directories are pushed to",
        ),
    ],
)
def test_what_is_no_scim_directory_is_told(acme: Shell, arguments: tuple[str, ...], told: str) -> None:
    acme.write_export("version: 1\n")
    acme.add_directory()

    assert acme.fail(1, *arguments) == told


def test_of_several_directories_one_is_named(acme: Shell) -> None:
    add_scim(acme, "one")
    acme.answer("directory", "add-scim", "two")

    assert (
        acme.fail(1, "token", "create")
        == "there are several SCIM directories; name one of them: 'one', 'two'"
    )
    assert acme.fail(1, "token", "rotate", "two") == (
        "directory 'two' has no live token; make one with 'usher token create'"
    )
    listed = {row["directory"]: row for row in acme.json("directory", "list")}
    assert len(listed["one"]["tokens"]) == 1
    assert listed["two"]["source"] == listed["two"]["base_url"]


def test_a_token_that_would_have_ended_is_refused(acme: Shell) -> None:
    acme.answer("directory", "add-scim", "idp")

    told = acme.fail(1, "token", "create", "--expires", "2020-01-01")

    assert told == "the token would have ended at 2020-01-01T00:00:00Z already; give a moment to come"
    assert acme.new_actions()[-1] == "command.refused"
    assert "is no moment" in acme.fail(2, "token", "create", "--expires", "soon")


def test_a_token_opens_no_other_directory_and_no_other_organisation(acme: Shell) -> None:
    base_url, token = add_scim(acme, "one")
    second_url, _ = add_scim(acme, "two")
    acme.create("Other")
    acme.environ["USHER_ORGANISATION"] = "Other"
    acme.answer("directory", "add-scim", "theirs")
    theirs_url = acme.json("directory", "status", "theirs")["base_url"]
    theirs = acme.json("token", "create", "theirs")["token"]
    nowhere = base_url[:-12] + "0" * 12

    answers = []
    for where, text in (
        (base_url, theirs),
        (second_url, token),
        (theirs_url, token),
        (nowhere, token),
        (base_url, "nonsense"),
        (base_url, token[:-1] + ("a" if token[-1] != "a" else "b")),
    ):
        with provider(acme, where, text) as idp:
            answer = idp.ask("GET", "Users")
            answers.append((answer.status_code, answer.headers["WWW-Authenticate"], answer.text))

    assert {status for status, _, _ in answers} == {401}
    assert len(set(answers)) == 1
    assert status_of(acme, base_url, token) == status_of(acme, theirs_url, theirs) == 200
