"""`usher audit retention`, `hold` and `erase`, as somebody at a terminal says them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import cli
from tests.journeys.shell import Shell
from tests.service.keeping import bodies, let_go, old_world, seal
from tests.service.worlds import HandClock

ANNA = "anna@acme.example"
INTERRUPTED = 130


@pytest.fixture
def acme(tmp_path: Path) -> Shell:
    """What made its three members is 500 days old; Anna left 469 days ago."""
    clock = HandClock()
    with old_world(tmp_path, clock) as administration:
        now = clock.now
        clock.advance(days=-500)
        let_go(administration, clock, "ben")
        clock.now = now
        seal(administration)
        administration.record("log.read", ())
        seal(administration)
        assert bodies(administration, "user.deleted")
    return Shell(tmp_path)


def ask(acme: Shell, *arguments: str, say: str) -> tuple[int, str]:
    """A command whose question is answered."""
    done = CliRunner().invoke(cli, list(arguments), input=say, env=acme.environ, prog_name="usher")
    return done.exit_code, done.stdout + done.stderr


def test_the_days_are_shown_set_and_applied(acme: Shell) -> None:
    shown = acme.json("audit", "retention", "show")
    assert (shown["days"], shown["is_usual"], shown["removed"], shown["is_held"]) == (400, True, 0, False)
    old = shown["to_remove"]
    # What was sealed today is young, whatever it says.
    assert 10 < old < shown["size"]
    text = acme.answer("audit", "retention", "show")
    assert "Kept for days" in text
    assert "Legal hold        -" in text

    assert acme.json("audit", "retention", "apply", "--dry-run")["to_remove"] == old
    assert f"{old} of {shown['size']} events are older than 400 days" in acme.answer(
        "audit", "retention", "apply", "--dry-run"
    )
    assert acme.json("audit", "retention", "show")["removed"] == 0

    assert "kept for 600 days. 0 events are older" in acme.answer("audit", "retention", "set", "600")
    code, said = ask(acme, "audit", "retention", "set", "450", say="n\n")
    assert code == INTERRUPTED
    assert f"{old} events are older and will be removed. Go on?" in said
    assert acme.json("audit", "retention", "show")["days"] == 600
    assert acme.json("audit", "retention", "set", "450", "--yes") == {
        "days": 450,
        "to_remove": old,
        "is_held": False,
    }
    assert f"{old} events are removed" in acme.answer("audit", "retention", "apply")
    assert acme.json("audit", "retention", "apply") == {"removed": 0, "references": 0}
    acme.answer("audit", "seal")
    assert f"({old} removed by the retention)" in acme.answer("audit", "verify")
    assert f"what is kept of {old} that the retention has removed make 2 members" in acme.answer(
        "audit", "replay"
    )
    assert acme.json("audit", "replay")[0]["removed"] == old


def test_what_is_no_number_of_days_is_refused(acme: Shell) -> None:
    for days in ("89", "3654", "many"):
        assert "DAYS" in acme.fail(2, "audit", "retention", "set", days)
    assert acme.json("audit", "retention", "show")["days"] == 400


def test_a_hold_says_why_nothing_goes(acme: Shell) -> None:
    assert "no legal hold stands" in acme.fail(1, "audit", "hold", "lift")
    assert "Missing option '--reason'" in acme.fail(2, "audit", "hold", "set")
    told = acme.answer("audit", "hold", "set", "--reason", "case 7", "--until", "30")
    assert "The record is held until 20" in told

    for command in (
        ("retention", "apply"),
        ("erase", ANNA, "--yes"),
        ("erase", "--left-before", "1d", "--yes"),
    ):
        said = acme.fail(1, "audit", *command)
        assert "a legal hold stands until 20" in said
        assert "(case 7)" in said
        assert "'usher audit hold lift'" in said
    assert "A legal hold keeps them." in acme.answer("audit", "retention", "apply", "--dry-run")
    assert "stay while the legal hold stands" in acme.answer("audit", "retention", "set", "450")
    assert acme.json("audit", "retention", "show")["hold"] == "case 7"
    assert "(case 7) is lifted" in acme.answer("audit", "hold", "lift")
    assert "is held until it is lifted" in acme.answer("audit", "hold", "set", "--reason", "case 8")
    assert "case 8 is" not in acme.answer("audit", "list", "--action", "log.hold_set")


def test_a_person_is_shown_before_they_are_erased(acme: Shell) -> None:
    code, said = ask(acme, "audit", "erase", ANNA, say="n\n")
    assert code == INTERRUPTED
    assert "Known as: Anna Example, anna, anna@acme.example" in said
    assert "Left 20" in said
    assert "1 reference in the record." in said
    assert "This cannot be undone. Erase?" in said

    code, said = ask(acme, "audit", "erase", ANNA, say="y\n")

    assert code == 0
    assert "Erased: 1 person, 1 reference." in said
    assert "Backups and what was sent or exported keep them." in said
    assert "the record knows nobody as" in acme.fail(1, "audit", "erase", ANNA)
    listed = acme.answer("audit", "list", "--action", "user.deleted")
    assert "[erased]" in listed
    assert "nna" not in listed
    assert acme.json("audit", "verify")["is_good"]
    assert "erased personal data from the record (people: 1, references: 1)" in acme.answer(
        "audit", "list", "--action", "log.pii_erased"
    )


def test_who_is_present_and_who_is_nobody_is_told(acme: Shell) -> None:
    said = acme.fail(1, "audit", "erase", "ben", "--yes")
    assert "--even-present" in said
    assert "name somebody, or --left-before" in acme.fail(2, "audit", "erase")
    assert "name somebody, or --left-before" in acme.fail(2, "audit", "erase", "ben", "--left-before", "1d")
    assert "the record knows nobody as 'zoe'" in acme.fail(1, "audit", "erase", "zoe")
    code, said = ask(acme, "audit", "erase", "ben", "--even-present", say="n\n")
    assert code == INTERRUPTED
    assert "Present; 1 reference in" in said
    assert acme.json("audit", "erase", "ben", "--even-present", "--yes") == {
        "people": 1,
        "references": 1,
        "is_overwritten": True,
    }


def test_a_stream_that_will_be_overtaken_is_named(acme: Shell) -> None:
    acme.answer("stream", "add", "siem", "--to", "pull", "--after", "-1")

    told = acme.answer("audit", "retention", "apply", "--dry-run")

    assert "Not sent yet, and told to the destination as a gap: siem" in told
    assert acme.json("audit", "retention", "apply", "--dry-run")["overtaken_streams"] == ["siem"]


def test_all_who_left_are_erased_together(acme: Shell) -> None:
    assert "Nobody left before" in acme.answer("audit", "erase", "--left-before", "500d")
    code, said = ask(acme, "audit", "erase", "--left-before", "400d", say="y\n")
    assert code == 0
    assert "1 reference." in said
    assert acme.json("audit", "erase", "--left-before", "400d") == {"people": 0, "references": 0}
