"""Reviews of access from the command line: snapshot, decisions, signed result, and nothing taken away."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from audit.checkpoint import verify_note
from service.log_keys import add_log_key, load_log_keys
from tests.journeys.exports import Person, export
from tests.journeys.shell import Shell


@pytest.fixture
def full(shell: Shell) -> Shell:
    """Two people and the owner with a role each."""
    shell.set_up(plan="Pro")
    shell.write_export(export([Person("anna"), Person("bob")], {"staff": ["anna", "bob"]}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
    return shell


def _start(shell: Shell, *options: str) -> str:
    review_id: str = shell.json("audit", "review", "start", *options)["review"]
    return review_id


def _rows(shell: Shell, review_id: str, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shell.json("audit", "review", "show", review_id, *options)
    return rows


def test_a_review_goes_from_a_snapshot_to_a_signed_result(full: Shell, tmp_path: Path) -> None:
    add_log_key(full.settings.log_key_file, "usher")
    review_id = _start(full)
    rows = _rows(full, review_id)
    assert len(rows) == 3

    bob = full.json("member", "show", "bob")["id"]
    (of_bob,) = [row for row in rows if row["member_id"] == bob]
    others = [row["grant"] for row in rows if row is not of_bob]
    full.answer("audit", "review", "decide", review_id, "revoke", of_bob["grant"], "--reason", "moved on")
    full.answer("audit", "review", "decide", review_id, "keep", *others)
    text = full.answer("audit", "review", "finish", review_id)
    full.answer("audit", "review", "result", review_id, "--output", str(tmp_path / "q1.json"))

    assert "2 to keep, 1 to revoke, 0 undecided." in text
    assert "Nothing is taken away yet." in text
    document = (tmp_path / "q1.json").read_bytes()
    note = verify_note(
        (tmp_path / "q1.json.note").read_text(encoding="utf-8"), load_log_keys(full.settings).vkeys
    )
    assert sha256(document).hexdigest() in note.text
    assert len(note.signers) == 2
    decided = {item["grant"]: (item["decision"], item["reason"]) for item in json.loads(document)["items"]}
    assert decided[of_bob["grant"]] == ("revoke", "moved on")
    assert full.json("access", "as-of", "now", "--member", "bob")


def test_the_steps_of_a_review_are_events_about_it(full: Shell) -> None:
    full.mark()
    # Without a key the digest stands in the log, signed by nobody beside it.
    full.settings.log_key_file.unlink()
    review_id = _start(full)
    full.answer("audit", "review", "decide", review_id, "keep", "--member", "anna")
    document = full.json("audit", "review", "finish", review_id, "--partial")

    assert full.new_actions() == ["review.started", "review.decided", "review.finished"]
    about = full.json("audit", "list", "--about", review_id)
    assert {row["action"] for row in about} == {"review.started", "review.decided", "review.finished"}
    assert document["to_revoke"] == []
    assert document["note"].endswith(f"{document['sha256']}\n")


def test_a_later_decision_takes_an_earlier_ones_place(full: Shell) -> None:
    review_id = _start(full)
    for verdict in ("revoke", "keep"):
        full.answer("audit", "review", "decide", review_id, verdict, "--member", "anna")

    decided = [row["decision"] for row in _rows(full, review_id) if row["decision"]]

    assert decided == ["keep"]
    assert len(_rows(full, review_id, "--undecided")) == 2


def test_a_review_looks_at_the_moment_that_it_names(full: Shell) -> None:
    review_id = _start(full, "--as-of", "2020-01-01")
    assert _rows(full, review_id) == []
    assert "nothing is known yet" in full.fail(1, "audit", "review", "start", "--as-of", "2999-01-01")


def test_what_was_held_then_is_shown_though_it_ended_since(full: Shell) -> None:
    review_id = _start(full)
    full.answer("member", "block", "bob", "--reason", "left")
    full.answer("audit", "review", "decide", review_id, "revoke", "--member", "bob")
    document = full.json("audit", "review", "finish", review_id, "--partial")
    assert document["to_revoke"] == []


def test_undecided_grants_keep_a_review_from_ending(full: Shell) -> None:
    review_id = _start(full)
    assert "3 of 3 grants are not decided yet" in full.fail(1, "audit", "review", "finish", review_id)
    assert "is not finished" in full.fail(1, "audit", "review", "result", review_id, "--output", "x")


def test_a_finished_review_takes_no_more_decisions(full: Shell) -> None:
    review_id = _start(full)
    full.answer("audit", "review", "finish", review_id, "--partial")
    for command in (("decide", review_id, "keep", "--member", "anna"), ("finish", review_id)):
        assert "is finished; begin another" in full.fail(1, "audit", "review", *command)


def test_wrong_names_are_refused(full: Shell) -> None:
    review_id = _start(full)
    other = "01990000-0000-7000-8000-000000000001"
    for name in ("x", other):
        assert f"there is no review '{name}'" in full.fail(1, "audit", "review", "show", name)
    assert "has no grant" in full.fail(1, "audit", "review", "decide", review_id, "keep", other)
    assert "name grants, or a member" in full.fail(2, "audit", "review", "decide", review_id, "keep")
    long = ("audit", "review", "decide", review_id, "keep", "--member", "anna", "--reason", "x" * 401)
    assert "longer than 400 bytes" in full.fail(1, *long)


def test_reviews_are_listed_the_latest_first(full: Shell) -> None:
    assert "There is no review yet." in full.answer("audit", "review", "list")
    first, second = _start(full), _start(full)
    full.answer("audit", "review", "finish", first, "--partial")
    rows = full.json("audit", "review", "list")
    assert [row["review"] for row in rows] == [second, first]
    assert [bool(row["finished"]) for row in rows] == [False, True]


def test_access_that_was_changed_past_usher_is_noticed(full: Shell) -> None:
    review_id = _start(full)
    with full.wiring() as wiring, wiring.database.write() as connection:
        connection.execute(text("UPDATE access_interval SET role = 'Guest' WHERE role = 'Member'"))
    assert "changed past Usher" in full.fail(1, "audit", "review", "show", review_id)


def test_a_result_that_cannot_be_written_is_said(full: Shell, tmp_path: Path) -> None:
    review_id = _start(full)
    full.answer("audit", "review", "finish", review_id, "--partial")
    nowhere = str(tmp_path / "no" / "where")
    assert "cannot be written" in full.fail(3, "audit", "review", "result", review_id, "--output", nowhere)
