"""The record searched from the command line: each option finds what it names, and the reading tells no names."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.exports import Person, export
from tests.journeys.shell import Shell


@pytest.fixture
def full(shell: Shell) -> Shell:
    """People in a group that gives a role; one was removed from it since."""
    shell.set_up(plan="Pro")
    names = ["anna", "bob", *(f"p{number}" for number in range(8))]
    people = [Person(name) for name in names]
    shell.write_export(export(people, {"staff": names}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
    shell.write_export(export(people, {"staff": [name for name in names if name != "bob"]}))
    shell.answer("sync", "run")
    shell.mark()
    return shell


def _found(shell: Shell, *options: str) -> list[dict[str, Any]]:
    rows = shell.json("audit", "list", "--limit", "1000", *options)
    return [row["body"] for row in rows]


def test_events_of_a_run_are_found(full: Shell) -> None:
    (completed, *_) = _found(full, "--action", "sync.completed")
    found = _found(full, "--run", completed["actor"]["id"])
    assert {body["action"] for body in found} >= {"sync.started", "group.member_removed", "role.revoked"}
    assert {body["actor"]["id"] for body in found} == {completed["actor"]["id"]}
    assert _found(full, "--actor", completed["actor"]["id"]) == found


def test_events_that_came_about_through_a_group_are_found_by_its_name(full: Shell) -> None:
    found = _found(full, "--group", "staff")
    assert {body["action"] for body in found} >= {"group.created", "group.member_added", "role.granted"}
    group_id = next(body["targets"][0]["id"] for body in found if body["action"] == "group.created")
    assert _found(full, "--group", group_id.upper()) == found


def test_events_that_came_about_by_a_rule_are_found(full: Shell) -> None:
    (created,) = _found(full, "--action", "mapping.created")
    found = _found(full, "--rule", created["targets"][0]["id"])
    assert {body["action"] for body in found} >= {"mapping.created", "role.granted"}


def test_events_about_a_person_are_found_by_mail(full: Shell) -> None:
    found = _found(full, "--about", "BOB@acme.example")
    assert {body["action"] for body in found} >= {
        "user.created",
        "member.created",
        "role.granted",
        "role.revoked",
    }
    (read,) = [body for body in full.new_events() if body["action"] == "log.read"]
    assert "acme.example" not in json.dumps(read)
    assert "nobody has or had the mail 'eve@acme.example'" in full.fail(
        1, "audit", "list", "--about", "eve@acme.example"
    )


def test_options_narrow_each_other(full: Shell) -> None:
    granted = _found(full, "--role", "member", "--action", "role.")
    assert {body["action"] for body in granted} == {"role.granted", "role.revoked"}
    assert _found(full, "--role", "Member", "--action", "role.revoked", "--actor-type", "run") == [
        body for body in granted if body["action"] == "role.revoked"
    ]
    assert _found(full, "--role", "Member", "--action", "role.", "--outcome", "denied") == []
    assert _found(full, "--cause", "mapping_rule", "--outcome", "success", "--about", "Member") == []


def test_a_refused_command_is_found_by_its_outcome(full: Shell) -> None:
    full.fail(1, "member", "remove", "anna")
    (denied,) = _found(full, "--outcome", "denied")
    assert denied["action"] == "command.refused"


def test_an_export_holds_what_the_options_say(full: Shell, tmp_path: Path) -> None:
    full.answer("audit", "export", "--group", "staff", "--action", "role.", "--output", str(tmp_path / "out"))
    lines = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["body"]["action"] for line in lines} == {"role.granted", "role.revoked"}


def test_show_tells_what_an_event_caused(full: Shell) -> None:
    (created,) = _found(full, "--action", "mapping.created")

    shown = full.json("audit", "show", created["id"], "--children")
    text = full.answer("audit", "show", created["id"], "--children", "--limit", "1")

    caused = [child["body"] for child in shown["children"]]
    assert {body["action"] for body in caused} >= {"role.granted"}
    assert {body["cause"]["parent"] for body in caused} == {created["id"]}
    assert "It caused:" in text
    assert "There are more; --limit shows more than 1." in text
    leaf = next(body for body in caused if body["action"] == "role.granted")
    assert "children" not in full.json("audit", "show", leaf["id"])


def test_show_says_that_an_event_caused_nothing(full: Shell) -> None:
    (read, *_) = _found(full, "--action", "sync.completed")
    assert "It caused nothing." in full.answer("audit", "show", read["id"], "--children")
