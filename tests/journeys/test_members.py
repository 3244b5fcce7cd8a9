"""People and the exceptions for them: overrides, blocks, invitations, ownership."""

from datetime import timedelta

import pytest

from provisioning.ports import Clock
from service import jobs
from service.opening import open_database_as_is
from service.wiring import utc_now
from tests.journeys.exports import Person, export, people
from tests.journeys.shell import ACME, OWNER, Shell

STAFF = ("anna", "ben", "carla")


@pytest.fixture
def full(shell: Shell) -> Shell:
    """Three members by a rule on one group, beside the owner."""
    shell.set_up(plan="Standard")
    shell.answer("scope", "add", "unit", "Loft 7", "--host-id", "loft-7")
    shell.write_export(export(people(*STAFF), {"staff": STAFF}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Operator", "--scope", "organisation")
    shell.mark()
    return shell


def in_days(days: int) -> Clock:
    return lambda: utc_now() + timedelta(days=days)


def holds(shell: Shell, member: str) -> list[str]:
    return [f"{grant['role']}@{grant['scope']}" for grant in shell.json("member", "show", member)["grants"]]


def test_override_replaces_and_gives_back(full: Shell) -> None:
    answer = full.answer(
        "member", "override", "anna", "--grant", "member@unit/loft-7", "--until", "2d", "--reason", "on call"
    )

    assert answer.startswith("Anna Example holds Member@unit/loft-7 until ")
    assert holds(full, "anna") == ["Member@unit/loft-7"]
    shown = full.answer("member", "show", "anna@acme.example")
    assert "by operator:" in shown
    assert "on call" in shown
    assert full.new_actions() == ["override.set", "role.revoked", "role.granted"]
    full.answer("member", "end-override", "anna")
    assert holds(full, "anna") == ["Operator@organisation"]
    assert full.new_actions() == ["override.ended", "role.revoked", "role.granted"]
    assert full.fail(1, "member", "end-override", "anna") == "member 'Anna Example' has no override"


def test_override_ends_by_itself_when_its_time_is_up(full: Shell) -> None:
    arguments = ("--grant", "Member@unit/loft-7", "--until", "1d", "--reason", "stand-in")
    full.answer("member", "override", "anna", *arguments)
    full.answer("member", "invite", "guest@acme.example", "--grant", "Operator@unit/loft-7", "--until", "1d")
    full.mark()

    with open_database_as_is(full.settings, clock=in_days(2)) as wiring:
        ended = jobs.end_what_is_due(wiring)
        again = jobs.end_what_is_due(wiring)

    assert (ended, again) == (2, 0)
    assert holds(full, "anna") == ["Operator@organisation"]
    events = full.new_events()
    assert [body["action"] for body in events] == [
        "override.ended",
        "role.revoked",
        "role.granted",
        "invitation.ended",
    ]
    assert {body["actor"]["id"] for body in events} == {"scheduler"}
    assert events[0].get("reason", {}).get("code") == "expired"


def test_expired_override_is_refused_when_it_is_set(full: Shell) -> None:
    message = full.fail(
        1,
        "member",
        "override",
        "anna",
        "--grant",
        "Member@unit/loft-7",
        "--until",
        "2020-01-01",
        "--reason",
        "late",
    )

    assert message == "the override would have ended at 2020-01-01T00:00:00Z already; give a moment to come"
    assert full.new_actions() == ["command.refused"]


def test_block_beats_the_directory_until_it_is_lifted(full: Shell) -> None:
    full.answer("member", "block", "ben", "--reason", "lost laptop")
    assert full.seats() == (3, 0)
    assert full.new_actions() == ["block.set", "member.deactivated", "role.revoked", "seat.released"]

    full.answer("sync", "run")
    assert full.json("member", "show", "ben")["active"] is False
    assert full.json("member", "list", "--inactive")[0]["mail"] == "ben@acme.example"
    full.mark()
    full.answer("member", "unblock", "ben")

    assert full.new_actions() == [
        "block.lifted",
        "member.reactivated",
        "role.granted",
        "seat.assigned",
        "seat.threshold_reached",
    ]
    assert full.seats() == (4, 0)


def test_change_of_a_member_can_be_previewed(full: Shell) -> None:
    shown = full.answer("member", "block", "ben", "--reason", "lost laptop", "--preview")

    assert "Ben Example" in shown
    assert "1 of them would lose all access" in shown
    assert "Seats: 4 before, 3 after, of 5" in shown
    for command in (
        ("override", "ben", "--grant", "Member@loft-7", "--until", "2d", "--reason", "x"),
        ("unblock", "ben"),
    ):
        assert "Plan hash: " in full.answer("member", *command, "--preview")
    assert set(full.new_actions()) == {"mapping.previewed"}
    assert full.json("member", "show", "ben")["active"] is True


def test_invited_person_takes_the_reserved_seat(full: Shell) -> None:
    invited = full.json("member", "invite", "gina@partner.example", "--grant", "Operator@unit/loft-7")
    assert full.seats() == (5, 0)
    assert "1 reserved by invitations" in full.answer("seats")
    assert "Seat limit reached" in full.fail(
        1, "member", "invite", "x@y.example", "--grant", "Operator@loft-7"
    )

    accepted = full.json("member", "accept", "Gina@partner.example")

    assert accepted["invitation_id"] == invited["invitation_id"]
    assert holds(full, "gina@partner.example") == ["Operator@unit/loft-7"]
    assert full.seats() == (5, 0)
    assert full.new_actions() == [
        "invitation.created",
        "seat.threshold_reached",
        "seat.denied",
        "invitation.accepted",
        "member.created",
        "role.granted",
        "seat.assigned",
    ]
    assert full.fail(1, "member", "accept", invited["invitation_id"]) == "the invitation is accepted"
    assert "is not a member any more" in full.answer("member", "remove", "gina@partner.example")
    assert full.seats() == (4, 0)


def test_invitation_is_withdrawn_by_its_mail(full: Shell) -> None:
    full.answer("member", "invite", "gina@partner.example", "--grant", "Operator@unit/loft-7")

    assert full.answer("member", "remove", "gina@partner.example") == (
        "The invitation of gina@partner.example is withdrawn.\n"
    )
    assert full.seats() == (4, 0)
    assert "there is no invitation 'nobody@partner.example'" in full.fail(
        1, "member", "accept", "nobody@partner.example"
    )


def test_owner_is_protected_and_handed_over(full: Shell) -> None:
    for command in (("block", OWNER, "--reason", "x"), ("remove", OWNER)):
        assert "the owner cannot be" in full.fail(1, "member", *command)
    override = ("--grant", "Operator@loft-7", "--until", "1d", "--reason", "x")
    assert "transfer the ownership first" in full.fail(1, "member", "override", OWNER, *override)
    full.mark()

    full.answer("organisation", "transfer-owner", "anna")

    assert full.json("member", "show", "anna")["owner"] is True
    assert full.json("organisation", "show")["owner"] == "Anna Example <anna@acme.example>"
    assert full.new_actions()[0] == "owner.transferred"


def test_person_of_a_directory_is_removed_there_and_not_here(full: Shell) -> None:
    message = full.fail(1, "member", "remove", "anna")

    assert "is managed by a directory; remove the person there, or set a block" in message


def test_two_people_of_one_mail_are_told_apart(full: Shell) -> None:
    persons = [*people(*STAFF), Person("anna2", mail="anna@acme.example")]
    full.write_export(export(persons, {"staff": [*STAFF, "anna2"]}))
    full.answer("sync", "run")

    message = full.fail(1, "member", "show", "anna@acme.example")

    assert message.startswith("'anna@acme.example' names more than one member: ")
    assert message.count("anna@acme.example>") == 2
    ids = {full.json("member", "show", uid)["id"] for uid in ("anna", "anna2")}
    assert all(member_id in message for member_id in ids)
    assert full.json("member", "show", ids.pop())["mail"] == "anna@acme.example"


def test_two_entries_whose_names_differ_in_case_only_are_two_people(full: Shell) -> None:
    persons = [
        *people(*STAFF),
        Person("Anna", mail="anna.two@acme.example", key="second anna", place="ou=abroad,"),
    ]
    full.write_export(export(persons, {"staff": STAFF}))
    full.answer("sync", "run")

    message = full.fail(1, "member", "show", "ANNA")

    assert "anna@acme.example" in message
    assert "anna.two@acme.example" in message
    assert full.json("member", "show", "anna.two@acme.example")["grants"] == []


def test_names_that_differ_in_case_or_unicode_form_are_one(full: Shell) -> None:
    full.write_export(export([*people(*STAFF), Person("åsa")], {"staff": STAFF}))
    full.answer("sync", "run")

    composed, decomposed = full.json("member", "show", "ÅSA"), full.json("member", "show", "a\u030asa")

    assert composed["id"] == decomposed["id"]


def test_list_is_filtered_and_paged(full: Shell) -> None:
    everybody = full.json("member", "list")
    assert {row["headline"] for row in everybody} == {
        "Admin, Organisation-wide",
        "Operator, Organisation-wide",
    }
    assert [row["mail"] for row in everybody if row["owner"]] == [OWNER]
    first = full.json("member", "list", "--limit", "2")
    rest = full.json("member", "list", "--after", first[-1]["id"])
    assert [row["id"] for row in first + rest] == [row["id"] for row in everybody]
    assert "There are more; go on with --after" in full.answer("member", "list", "--limit", "2")
    assert len(full.json("member", "list", "--role", "operator")) == 3
    assert full.answer("member", "list", "--seat", "waiting") == "There is no such member.\n"
    assert "there is no role 'king'" in full.fail(1, "member", "list", "--role", "king")


def test_unknown_member_is_told_how_to_be_named(full: Shell) -> None:
    expected = "there is no member 'zoe'; name one by mail, user name or id ('usher member list')"

    assert full.fail(1, "member", "show", "zoe") == expected
    assert "there is no member" in full.fail(1, "member", "show", full.state(ACME).root_scope_id)
