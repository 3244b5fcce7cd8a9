"""What is asked about access: decisions, explanations, who held what when."""

import pytest

from service.wiring import utc_now
from tests.journeys.exports import export, people
from tests.journeys.shell import ACME, Shell


@pytest.fixture
def full(shell: Shell) -> Shell:
    """Anna is a Member of the building, Ben an Operator of the loft in it."""
    shell.set_up(plan="Pro")
    shell.answer("scope", "add", "building", "House One", "--host-id", "b1")
    shell.answer("scope", "add", "unit", "Loft 7", "--host-id", "loft-7", "--parent", "building/b1")
    shell.write_export(export(people("anna", "ben"), {"house": ["anna"], "minut-loft-7-cleaners": ["ben"]}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "house", "--role", "Member", "--scope", "building/b1")
    shell.answer("rules", "add", "--pattern", "minut-{unit}-cleaners", "--role", "Operator")
    return shell


def test_decision_is_an_exit_code(full: Shell) -> None:
    yes = full.json("decide", "anna", "security_alarm.manage", "unit/loft-7")
    no = full.json("decide", "anna", "sensor_data.view", "unit/loft-7", code=1)

    assert (yes["allowed"], yes["grant"]["role"], yes["reason"]) == (True, "Member", "granted")
    assert (no["allowed"], no["ruling"], no["reason"]) == (False, "MT-1", "no_grant")
    text = full.answer("decide", "ben", "tasks.view", "loft 7")
    assert "if assigned_to_self (the host checks)" in text
    assert "by Operator@unit/loft-7" in text
    assert "unknown permission" in full.answer("decide", "anna", "planes.fly", "loft 7", code=1)
    assert "there is no scope 'moon'" in full.fail(1, "decide", "anna", "tasks.view", "moon")


def test_decision_follows_a_change_at_once(full: Shell) -> None:
    before = full.json("decide", "anna", "tasks.view", "loft 7")["access_version"]
    full.write_export(export(people("anna", "ben"), {"house": [], "minut-loft-7-cleaners": ["ben"]}))
    full.answer("sync", "run", "--approve", full.json("sync", "run", code=1)["plan_hash"])

    after = full.json("decide", "anna", "tasks.view", "loft 7", code=1)

    assert after["access_version"] > before


def test_owner_has_what_belongs_to_the_owner(full: Shell) -> None:
    assert "Allowed: owner" in full.answer(
        "decide", "olivia.owner@acme.example", "billing.manage", "organisation"
    )
    assert "Denied: needs owner" in full.answer("decide", "anna", "billing.manage", "organisation", code=1)


def test_explanation_leads_to_the_run(full: Shell) -> None:
    text = full.answer("explain", "anna", "security_alarm.manage", "unit/loft-7")

    for part in (
        "Allowed: 'Manage the security alarm' (security_alarm.manage) at unit 'Loft 7'.",
        "The member holds Member at building 'House One'",
        "written by operator:",
        "The directory user 'anna' is in 'house'.",
        "Synchronisation run of directory 'hq' added Anna Example to group 'house'.",
        "Synchronisation run of directory 'hq' started to read directory 'hq'.",
    ):
        assert part in text
    document = full.json("explain", "anna", "security_alarm.manage", "unit/loft-7")
    assert [event["action"] for event in document["events"]] == [
        "role.granted",
        "mapping.created",
        "group.member_added",
        "sync.started",
    ]


def test_explanation_of_a_denial_says_what_is_missing(full: Shell) -> None:
    text = full.answer("explain", "ben", "security_alarm.manage", "unit/loft-7")

    assert "Denied: 'Manage the security alarm'" in text
    assert "but the person is not in the group 'house'" in text
    owner = full.json("explain", "olivia.owner@acme.example", "tasks.view", "loft 7")
    assert owner["allowed"] is True
    assert [event["action"] for event in owner["events"]] == [
        "role.granted",
        "member.created",
        "organisation.created",
    ]


def test_access_of_the_past_can_be_asked_for(full: Shell) -> None:
    before = utc_now().isoformat()
    full.write_export(export(people("anna"), {"house": ["anna"]}))
    full.answer("sync", "run", "--approve", full.json("sync", "run", code=1)["plan_hash"])

    then = full.json("access", "as-of", before)
    now = full.json("access", "as-of", "now")

    held = {(row["name"], row["role"], row["scope"]) for row in then}
    assert held == {
        ("Olivia Owner", "Admin", "organisation"),
        ("Anna Example", "Member", "building/b1"),
        ("Ben Example", "Operator", "unit/loft-7"),
    }
    assert {row["name"] for row in now} == {"Olivia Owner", "Anna Example"}
    (ben,) = full.json(
        "access", "as-of", before, "--member", "ben", "--role", "operator", "--scope", "unit/loft-7"
    )
    assert ben["closed_event"]
    assert "Anna Example" in full.answer("access", "as-of", before, "--role", "Member")
    assert (
        full.answer("access", "as-of", "2020-01-01")
        == "Nobody held such a role at 2020-01-01 00:00:00 UTC.\n"
    )
    difference = full.json("access", "diff", before, "now")
    assert ([row["name"] for row in difference["lost"]], difference["gained"]) == (["Ben Example"], [])
    assert "lost" in full.answer("access", "diff", before, "now")
    assert full.answer("access", "diff", "now", "now") == "The same grants were held at both moments.\n"


def test_moment_is_read_strictly(full: Shell) -> None:
    assert "'yesterday' is no moment" in full.fail(2, "access", "as-of", "yesterday")
    assert full.json("access", "as-of", "5m") == []
    assert full.json("access", "as-of", "2020-01-01T10:00+02:00") == []


def test_waiting_list_is_shown_in_its_order(full: Shell) -> None:
    full.answer("organisation", "set-plan", "Starter")
    persons = ["anna", "ben", "carl"]
    full.write_export(export(people(*persons), {"house": ["anna", "carl"], "minut-loft-7-cleaners": ["ben"]}))
    full.answer("sync", "run")

    text = full.answer("seats")

    assert "1 wait; with them it would be 4." in text
    assert "carl@acme.example" in text
    waiting = full.json("member", "show", "carl")
    assert (waiting["seat"], waiting["grants"]) == ("waiting", [])
    explained = full.answer("explain", "carl", "tasks.view", "building/b1")
    assert "The member waits for a seat" in explained
    assert full.state(ACME).seated == 3
