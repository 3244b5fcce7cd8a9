"""What the guard of a SCIM directory holds back: listed, allowed and rejected at the command line."""

from uuid import UUID

import pytest

from audit.actors import TokenActor
from directory.changes import (
    AddMembers,
    Change,
    DeactivateUser,
    GroupMatch,
    PutDirectory,
    PutGroup,
    PutRule,
    PutUser,
)
from directory.facts import GroupFacts, UserFacts
from directory.ids import DirectoryId, ExternalId, GroupId, RoleId, RuleId
from provisioning.apply import apply_changes
from provisioning.commands import Applied, Command
from service.wiring import Wiring
from tests.journeys.shell import ACME, Shell

STAFF = ("anna", "ben", "carla")
PUSH = DirectoryId(str(UUID(int=1)))
GROUP = ExternalId(str(UUID(int=2)))


def user_id(name: str) -> ExternalId:
    return ExternalId(str(UUID(int=10 + STAFF.index(name))))


def apply(wiring: Wiring, *changes: Change) -> None:
    """Say something as the SCIM client."""
    state = wiring.store.organisation(ACME)
    assert state is not None
    outcome = apply_changes(
        Command(TokenActor("token", PUSH), changes, "scim_request", directory_id=PUSH, request_id="req_1"),
        unit_of_work=wiring.unit_of_work(state.organisation_id),
        clock=wiring.clock,
        mint=wiring.mint,
        models=wiring.models,
    )
    assert isinstance(outcome, Applied), outcome


@pytest.fixture
def held(shell: Shell) -> Shell:
    """A SCIM directory that holds; its client has deactivated all three members at once."""
    shell.set_up()
    root = shell.state().root_scope_id
    settings = {"hold": True, "guard_removed_users": 1, "guard_removed_users_percent": 1}
    users = [
        PutUser(UserFacts(user_id(name), name, name.title(), mails=(f"{name}@acme.example",)))
        for name in STAFF
    ]
    rule = PutRule(RuleId(str(UUID(int=3))), GroupMatch(GroupId(GROUP)), RoleId("Member"), root)
    with shell.wiring() as wiring:
        apply(wiring, PutDirectory(PUSH, "scim", "idp", settings))
        apply(wiring, PutGroup(GroupFacts(GROUP, "Staff")), rule)
        apply(wiring, *users, AddMembers(GROUP, tuple(map(user_id, STAFF))))
        apply(wiring, *(DeactivateUser(user_id(name)) for name in STAFF))
    shell.mark()
    return shell


def names(shell: Shell, state: str = "waits") -> list[str]:
    rows = shell.json("directory", "staged", "idp")
    return sorted(row["name"] for row in rows if row["state"] == state)


def test_what_is_held_back_is_listed_with_what_the_directory_says(held: Shell) -> None:
    listed = held.answer("directory", "staged")

    heading, *lines = listed.splitlines()
    assert heading.split("  ")[0] == "Member"
    assert len(lines) == 3
    assert all("Member@organisation  no access" in line for line in lines)
    row = held.json("directory", "staged", "idp")[0]
    assert (row["holds"], row["would_hold"], row["state"]) == ("Member@organisation", "no access", "waits")


def test_one_person_is_allowed_and_another_rejected(held: Shell) -> None:
    shown = held.answer("directory", "allow", "idp", "--person", "anna", "--preview")
    assert "1 of them would lose all access." in shown
    assert names(held) == ["Anna", "Ben", "Carla"]

    answer = held.answer("directory", "allow", "idp", "--person", "anna")
    assert answer == "What directory 'idp' said about 1 person has its effect.\n"
    assert held.new_actions() == [
        *["mapping.previewed", "member.staged_allowed", "member.deactivated", "role.revoked", "seat.released"]
    ]
    answer = held.answer("directory", "reject", "idp", "--person", "ben")

    assert answer == "What directory 'idp' said about 1 person is rejected; they keep what they hold.\n"
    assert held.new_actions() == ["member.staged_rejected"]
    assert held.json("member", "show", "ben")["staged"]["rejected"]
    assert "Held by the guard               waits since " in held.answer("member", "show", "carla")
    assert (names(held), names(held, "rejected")) == (["Carla"], ["Ben"])


def test_all_who_wait_are_decided_at_once(held: Shell) -> None:
    held.answer("directory", "reject", "--person", "ben")
    document = held.json("directory", "allow", "idp", "--all")

    assert len(document["members"]) == 2
    assert (names(held), names(held, "rejected")) == ([], ["Ben"])
    held.answer("directory", "allow", "--person", "ben")
    assert held.answer("directory", "staged") == "Nothing of directory 'idp' is held back.\n"


def test_the_plan_that_was_previewed_is_applied(held: Shell) -> None:
    plan = held.json("directory", "allow", "idp", "--all", "--preview")["plan_hash"]

    answer = held.answer("directory", "allow", "idp", "--all", "--plan", plan)

    assert answer == "What directory 'idp' said about 3 people has its effect.\n"
    assert names(held) == []


@pytest.mark.parametrize("command", ["allow", "reject"])
def test_it_must_be_said_who_is_meant(held: Shell, command: str) -> None:
    words = f"say whom you mean: --person MEMBER, or --all; see 'usher directory {command} --help'"
    assert held.fail(2, "directory", command, "idp") == words
    assert held.fail(2, "directory", command, "idp", "--all", "--person", "anna") == words
    nothing = "nothing of directory 'idp' is held back for 'Olivia Owner'"
    assert held.fail(1, "directory", command, "idp", "--person", "olivia.owner@acme.example") == nothing
