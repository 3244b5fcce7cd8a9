"""The auditors' reports, from the command line, each on a log in which it has something to find."""

from dataclasses import dataclass
from typing import Any

import pytest

from audit.actors import AdminActor
from service.administration import Administration
from service.reports import REPORTS
from tests.conformance.builders import event
from tests.journeys.exports import Person, export
from tests.journeys.shell import Shell

NAMES = ["anna", "bob", *(f"p{number}" for number in range(12))]


def _write(shell: Shell, *, without: str = "") -> None:
    names = [name for name in NAMES if name != without]
    shell.write_export(export([Person(name) for name in names], {"staff": names}))


@pytest.fixture
def full(shell: Shell) -> Shell:
    """People with a role by a rule."""
    shell.set_up(plan="Pro")
    _write(shell)
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
    return shell


def _report(shell: Shell, name: str, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = shell.json("audit", "report", name, *options)
    assert document["report"] == name
    return document


@dataclass(frozen=True, slots=True)
class Write:
    """Appends events as other features of the service would."""

    shell: Shell

    def __call__(self, action: str, subject_id: str, **parts: object) -> None:
        state = self.shell.state()
        with self.shell.wiring() as wiring, wiring.unit_of_work(state.organisation_id).write() as writer:
            writer.append_events([event(action, subject_id, wiring.clock(), **parts)])  # type: ignore[arg-type]  # parts of it


def _member(shell: Shell, name: str) -> str:
    member_id: str = shell.json("member", "show", name)["id"]
    return member_id


def test_leavers_are_told_with_the_time_until_their_access_was_gone(full: Shell) -> None:
    _write(full, without="bob")
    full.answer("sync", "run")

    document = _report(full, "leavers")
    text = full.answer("audit", "report", "leavers")

    (row,) = document["rows"]
    assert row["state"] == "gone"
    assert row["member_ids"] == [_member(full, "bob")]
    assert row["seconds"] >= 0
    assert document["summary"] == {
        "leavers": 1,
        "access_taken": 1,
        "still_active": 0,
        "p50_seconds": row["seconds"],
        "p99_seconds": row["seconds"],
        "worst_seconds": row["seconds"],
    }
    assert "1 left, 1 of them lost access by it, 0 are still active." in text
    assert _report(full, "leavers", "--until", "2020-01-01")["total"] == 0
    assert "Nothing of that kind." in full.answer("audit", "report", "leavers", "--until", "2020-01-01")


def test_an_override_does_not_keep_a_leaver(full: Shell) -> None:
    full.answer(
        "member", "override", "bob", "--grant", "Member@organisation", "--until", "7d", "--reason", "handover"
    )
    _write(full, without="bob")
    full.answer("sync", "run")

    (row,) = _report(full, "leavers")["rows"]
    assert row["state"] == "gone"


def test_a_leaver_who_holds_something_yet_is_still_active(full: Shell) -> None:
    guest = full.json(
        "member", "invite", "guest@else.example", "--grant", "Member@organisation", "--until", "7d"
    )
    member_id = full.json("member", "accept", guest["invitation_id"])["member_id"]
    write = Write(full)
    write("user.deactivated", "01990000-0000-7000-8000-0000000000aa")
    (left,) = full.json("audit", "list", "--action", "user.deactivated")
    write(
        "member.change_staged", member_id, cause={"kind": "guard", "root": left["id"], "parent": left["id"]}
    )

    document = _report(full, "leavers")

    assert document["rows"][0]["state"] == "still active"
    assert document["summary"]["still_active"] == 1
    assert document["summary"]["worst_seconds"] is None


def test_overrides_are_told_as_sentences(full: Shell) -> None:
    for name in ("anna", "bob"):
        full.answer(
            "member",
            "override",
            name,
            "--grant",
            "Admin@organisation",
            "--until",
            "7d",
            "--reason",
            "stand-in",
        )
    full.answer("member", "end-override", "anna")

    document = _report(full, "overrides", "--limit", "2")

    assert document["total"] == 3
    assert [row["action"] for row in document["rows"]] == ["override.set", "override.set"]
    assert "stand-in" in document["rows"][0]["text"]
    assert "3 in all; --limit shows more than 2." in full.answer(
        "audit", "report", "overrides", "--limit", "2"
    )


def test_what_somebody_granted_to_themselves_is_told(full: Shell) -> None:
    anna = _member(full, "anna")
    with full.wiring() as wiring:
        administration = Administration(wiring, full.state().organisation_id, AdminActor(anna))
        own = administration.record("mapping.previewed", ())
    write = Write(full)
    write("role.granted", anna, actor={"type": "admin", "id": anna})
    write(
        "role.granted",
        anna,
        actor={"type": "system", "id": "x"},
        cause={"kind": "system", "root": own, "parent": own},
    )
    write("role.granted", anna, actor={"type": "support", "id": "op", "on_behalf_of": anna})
    write(
        "role.granted",
        anna,
        cause={"kind": "system", "root": "01990000-0000-7000-8000-000000000001", "parent": own},
    )
    write("role.granted", _member(full, "bob"), actor={"type": "admin", "id": anna})

    document = _report(full, "own-grants")

    assert document["total"] == 3


def test_what_the_guard_stopped_and_who_let_it_through_is_told(full: Shell) -> None:
    full.write_export(export([Person(name) for name in NAMES], {"staff": NAMES[:1]}))
    stopped = full.invoke("sync", "run")
    plan = stopped.output.split("--approve ")[1].split()[0]
    full.answer("sync", "run", "hq", "--approve", plan)

    actions = {row["action"] for row in _report(full, "guard")["rows"]}

    assert "guard.released" in actions


def test_access_that_no_directory_stands_behind_is_told(full: Shell) -> None:
    invitation = full.json(
        "member", "invite", "guest@else.example", "--grant", "Member@organisation", "--until", "7d"
    )
    full.answer("member", "accept", invitation["invitation_id"])

    (row,) = _report(full, "orphans")["rows"]

    assert row["mail"] == "guest@else.example"
    assert row["by"] == "invitation"


def test_who_never_signed_in_is_told_where_sign_ins_are_recorded(full: Shell) -> None:
    assert "it cannot be said" in full.answer("audit", "report", "never-signed-in")
    write = Write(full)
    write("sso.login", _member(full, "anna"))
    write("sso.login", _member(full, "bob"), outcome="denied")

    names = {row["mail"] for row in _report(full, "never-signed-in")["rows"]}

    assert "bob@acme.example" in names
    assert "anna@acme.example" not in names


def test_break_glass_is_told(full: Shell) -> None:
    assert _report(full, "break-glass")["rows"] == []
    Write(full)("breakglass.used", _member(full, "anna"))
    assert _report(full, "break-glass", "--since", "1h")["total"] == 1


def test_changes_of_configuration_are_told_and_nothing_else(full: Shell) -> None:
    actions = {row["action"] for row in _report(full, "configuration")["rows"]}
    assert actions >= {"organisation.created", "directory.created", "mapping.created"}
    assert not any(action.startswith(("role.", "member.", "user.", "sync.")) for action in actions)


def test_every_report_is_recorded(full: Shell) -> None:
    full.mark()
    for name in REPORTS:
        full.answer("audit", "report", name, "--since", "90d")
    told = full.new_events()
    assert [body["action"] for body in told] == ["log.read"] * len(REPORTS)
    assert {change["after"] for body in told for change in body["changes"] if change["path"] == "query"} == {
        f"report {name}" for name in REPORTS
    }
