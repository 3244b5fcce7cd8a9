"""The record read and shown; each of which is recorded."""

import base64

import pytest

from tests.journeys.exports import Person, export
from tests.journeys.shell import Shell


@pytest.fixture
def full(shell: Shell) -> Shell:
    """One person whose name is a formula, in one group."""
    shell.set_up(plan="Pro")
    shell.write_export(export([Person("anna", extra="displayName: =HYPERLINK(1)")], {"staff": ["anna"]}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
    shell.mark()
    return shell


def test_list_tells_sentences_with_names(full: Shell) -> None:
    text = full.answer("audit", "list", "--limit", "3")

    lines = text.splitlines()
    assert len(lines) == 4
    assert "gave =HYPERLINK(1) a seat" in lines[1] + lines[2]
    assert "granted Member at 'Acme Stays' to =HYPERLINK(1)" in text
    (read,) = full.new_events()
    assert read["action"] == "log.read"
    assert {change["path"]: change["after"] for change in read.get("changes", ())} == {
        "rows": 3,
        "query": "list",
    }


def test_list_is_filtered_by_action_subject_and_time(full: Shell) -> None:
    member_id = full.json("member", "show", "anna")["id"]

    seats = full.json("audit", "list", "--action", "seat.", "--oldest-first")
    about = full.json("audit", "list", "--about", member_id)
    later = full.json("audit", "list", "--after", str(seats[0]["row"]), "--oldest-first", "--limit", "1")

    assert {event["action"] for event in seats} == {"seat.assigned"}
    assert [event["action"] for event in about] == ["seat.assigned", "role.granted", "member.created"]
    assert later[0]["row"] > seats[0]["row"]
    assert full.answer("audit", "list", "--until", "2020-01-01") == "No such event.\n"
    assert full.json("audit", "list", "--since", "1h", "--limit", "1")
    changes = [change for event in full.new_events() for change in event.get("changes", ())]
    assert {change["path"] for change in changes} == {"rows", "query", "filter", "since", "until"}


def test_idle_readings_are_left_out_and_counted(full: Shell) -> None:
    for _ in range(3):
        full.answer("sync", "run")

    text = full.answer("audit", "list", "--limit", "2")

    assert "3 readings that found nothing new are left out; --all lists them." in text
    assert "sync.completed" not in text
    assert (
        full.answer("audit", "list", "--all").count("No effect: synchronisation run of directory 'hq'") == 3
    )
    assert [event["outcome"] for event in full.json("audit", "list", "--action", "sync.completed")].count(
        "noop"
    ) == 3


def test_event_is_shown_with_what_led_to_it(full: Shell) -> None:
    (granted,) = full.json("audit", "list", "--action", "role.granted", "--limit", "1")
    full.mark()

    text = full.answer("audit", "show", granted["id"])
    document = full.json("audit", "show", granted["id"].upper())

    assert "role: - -> Member" in text
    assert "It followed from, the latest first:" in text
    assert "wrote rule" in text
    assert document["body"] == granted["body"]
    assert [cause["body"]["action"] for cause in document["causes"]] == ["mapping.created"]
    assert full.new_actions() == ["log.read", "log.read"]
    override = ("--grant", "Operator@organisation", "--until", "1d", "--reason", "x")
    full.answer("member", "override", "anna", *override)
    (given,) = full.json("audit", "list", "--action", "override.set")
    assert "grants: - -> Operator at 'Acme Stays'" in full.answer("audit", "show", given["id"])
    assert "there is no event 'x'" in full.fail(1, "audit", "show", "x")
    assert "there is no event" in full.fail(1, "audit", "show", full.state().root_scope_id)


def test_controls_in_names_do_not_reach_the_terminal(full: Shell) -> None:
    name = base64.b64encode(b"An\x1b[2Jna\nOperator root granted Admin").decode()
    full.write_export(export([Person("anna", extra=f"displayName:: {name}")], {"staff": ["anna"]}))
    full.answer("sync", "run")

    for command in (("audit", "list"), ("member", "list"), ("member", "show", "anna"), ("audit", "export")):
        text = full.answer(*command)
        assert "\x1b" not in text
        assert not any(line.startswith("Operator root") for line in text.splitlines())
