"""The record of the sample companies: it gives their members, grants and seats, and tells who was changed past it."""

from dataclasses import replace

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from audit.actors import AdminActor
from service.demo import prepare_demo
from service.replay_check import REPLAY_EVERY, replay_all
from storage.tables import member
from tests.journeys.shell import Shell
from tests.log_checks import check_chains, check_logs


@pytest.fixture
def demo(blank_shell: Shell) -> Shell:
    blank_shell.answer("db", "upgrade")
    with blank_shell.wiring() as wiring:
        prepare_demo(wiring, AdminActor("operator:tests", is_operator=True), tell=lambda _line: None)
    return blank_shell


def test_every_cause_of_the_demo_leads_to_a_root_and_the_record_gives_its_state(demo: Shell) -> None:
    with demo.wiring() as wiring:
        check_logs(wiring)
        (caused, _) = [check_chains(wiring, one.organisation_id) for one in wiring.store.organisations()]

    assert caused > 100
    assert "with the grants and seats that the tables hold" in demo.answer("audit", "replay", "--all")


def test_a_member_who_was_changed_past_the_record_is_found_by_the_nightly_check(
    demo: Shell,
) -> None:
    with demo.read("Kusthem") as reader:
        whom = next(
            iter(reader.members_by_mail(["oskar.holm@kusthem.example"])["oskar.holm@kusthem.example"])
        )
    with demo.wiring() as wiring:
        assert replay_all(wiring) == 0
    with demo.wiring() as wiring:
        with wiring.database.write() as connection:
            connection.execute(update(member).where(member.c.id == whom).values(is_active=False))
        # The night's check is done; by hand it is done at once.
        told = demo.invoke("audit", "replay", "-o", "Kusthem")

    assert told.exit_code == 1
    assert f"member {whom} is inactive, by the log active" in told.stdout
    with demo.wiring() as wiring, capture_logs() as logged:
        tomorrow = wiring.clock() + REPLAY_EVERY
        assert replay_all(replace(wiring, clock=lambda: tomorrow)) == 1
    (line,) = [one for one in logged if one["log_level"] == "error"]
    assert (line["member"], line["difference"]) == (whom, "is inactive, by the log active")
