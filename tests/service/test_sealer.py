"""The sealer as a job: what it tells, what it waits for, and what it remembers."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.administration import Administration
from service.doctor import Level, examine
from service.errors import FileAccessError
from service.log_upkeep import Restored, announce_log_key, declare_restore, retire_old_log_keys
from service.metrics import Metrics
from service.replay_check import REPLAY_EVERY, replay_all
from service.scheduler import Scheduler
from service.sealer import ALARM_AFTER, Sealer, keep_head, read_head, seal_lag
from storage.sealing import SQLSealing
from storage.tables import member
from tests.service.worlds import OPERATOR, HandClock, small_world


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def acme(tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    with small_world(tmp_path, clock) as administration:
        yield administration


def test_a_batch_after_the_other_is_sealed_until_nothing_waits(acme: Administration) -> None:
    sealing = SQLSealing(acme.wiring.database)
    waiting = sealing.status().unsealed

    assert Sealer(acme.wiring, events_at_once=3).seal() == waiting > 10

    assert sealing.status().unsealed == 0
    assert Sealer(acme.wiring).seal() == 0


def test_a_sealer_whose_lease_was_taken_goes_on_when_it_is_free(
    acme: Administration, clock: HandClock
) -> None:
    first, second = Sealer(acme.wiring, owner="first"), Sealer(acme.wiring, owner="second")
    assert first.seal() > 0
    acme.record("log.read", ())
    assert second.seal() == 0
    clock.advance(seconds=6)
    assert second.seal() == 1
    acme.record("log.read", ())
    assert first.seal() == 0
    second.stop()
    second.stop()
    assert first.seal() == 1


def test_a_sealer_that_stands_still_tells_why_once_and_the_alarm_repeats_it(
    acme: Administration, clock: HandClock
) -> None:
    key = acme.wiring.settings.log_key_file
    text = key.read_text()
    sealer = Sealer(acme.wiring)
    sealer.seal()
    key.unlink()
    acme.record("log.read", ())

    with capture_logs() as logs:
        for _ in range(40):
            sealer.seal()
            clock.advance(seconds=2)
    told = [line for line in logs if line["event"] == "the log is not sealed"]
    alarms = [line for line in logs if line["event"] == "events wait to be sealed"]
    assert len(told) == 1
    assert "copy the log key file" in told[0]["reason"]
    assert len(alarms) == 2
    assert alarms[0]["lag_seconds"] > ALARM_AFTER.total_seconds()
    assert alarms[0]["reason"] == told[0]["reason"]

    key.write_text(text)
    with capture_logs() as logs:
        assert sealer.seal() == 1
        clock.advance(seconds=6)
        sealer.seal()
    assert [line for line in logs if line["log_level"] != "info"] == []


def test_a_clock_that_goes_back_neither_alarms_nor_stops_the_sealer(
    acme: Administration, clock: HandClock
) -> None:
    sealer = Sealer(acme.wiring)
    sealer.seal()
    clock.advance(hours=-2)
    acme.record("log.read", ())
    with capture_logs() as logs:
        assert sealer.seal() == 1
    assert logs == []
    clock.advance(hours=-2)
    acme.record("log.read", ())
    assert Sealer(acme.wiring, owner="other").seal() == 1
    status = SQLSealing(acme.wiring.database).status()
    assert seal_lag(status, clock()) == timedelta(0)


def test_an_event_of_a_clock_ahead_has_no_lag(acme: Administration, clock: HandClock) -> None:
    status = SQLSealing(acme.wiring.database).status()
    assert seal_lag(status, clock() - timedelta(hours=1)) == timedelta(0)
    assert seal_lag(status, clock() + timedelta(hours=1)) >= timedelta(hours=1)


def test_what_was_signed_is_remembered_for_its_owner_alone(acme: Administration) -> None:
    settings = acme.wiring.settings
    assert read_head(settings) is None
    Sealer(acme.wiring).seal()

    head = read_head(settings)

    assert head is not None
    assert head.size == 2
    assert settings.log_head_file.stat().st_mode & 0o777 == 0o600
    settings.log_head_file.write_text("torn")
    with pytest.raises(FileAccessError, match="declare-restore"):
        read_head(settings)


def test_a_memory_that_cannot_be_kept_is_told(acme: Administration) -> None:
    settings = acme.wiring.settings
    Sealer(acme.wiring).seal()
    note = settings.log_head_file.read_text()
    settings.log_head_file.unlink()
    settings.log_head_file.mkdir()
    with pytest.raises(FileAccessError, match="cannot be written"):
        keep_head(settings, note)


def test_a_restore_is_declared_also_where_nothing_is_remembered_or_signed(acme: Administration) -> None:
    settings = acme.wiring.settings
    settings.log_head_file.write_text("torn")
    assert declare_restore(acme.wiring, OPERATOR) == Restored(signed=0, found=0)
    assert not settings.log_head_file.exists()
    Sealer(acme.wiring).seal()
    settings.log_head_file.unlink()

    assert declare_restore(acme.wiring, OPERATOR) == Restored(signed=0, found=2)

    assert Sealer(acme.wiring, owner="next").drain() == 0
    head = read_head(settings)
    assert head is not None
    assert head.size == 2


def test_a_key_whose_private_half_is_gone_is_retired_all_the_same(acme: Administration) -> None:
    wiring = acme.wiring
    sealer = Sealer(wiring)
    sealer.seal()
    announce_log_key(wiring, OPERATOR)
    sealer.seal()
    path = wiring.settings.log_key_file
    old = path.read_text().splitlines()[0]
    path.write_text(path.read_text().replace(f"{old}\n", ""))

    (retired,) = retire_old_log_keys(wiring, OPERATOR)

    assert retired in old
    assert sealer.seal() == 0
    acme.record("log.read", ())
    assert sealer.seal() == 1


def test_the_scheduler_seals_and_gives_the_lease_back(acme: Administration) -> None:
    sealing = SQLSealing(acme.wiring.database)
    scheduler = Scheduler(acme.wiring, Metrics())
    scheduler.start()
    try:
        while sealing.status().unsealed:
            threading.Event().wait(0.05)
    finally:
        scheduler.stop()
    assert sealing.status().owner == ""


def test_the_log_is_replayed_once_a_day(acme: Administration, clock: HandClock) -> None:
    assert replay_all(acme.wiring) == 0
    with acme.wiring.database.write() as connection:
        connection.execute(member.update().values(seat="none").where(member.c.seat == "seated"))

    assert replay_all(acme.wiring) == 0
    clock.advance(seconds=REPLAY_EVERY.total_seconds())
    with capture_logs() as logs:
        assert replay_all(acme.wiring) == 3
    assert [line["difference"] for line in logs] == ["has the seat none, by the log seated"] * 3
    findings = [finding for finding in examine(acme.wiring.settings) if finding.about == "log"]
    assert Level.FAIL in {finding.level for finding in findings}
    assert any("found 3 differences" in finding.text for finding in findings)


def test_the_doctor_warns_of_events_that_wait_and_of_an_older_database(
    acme: Administration, clock: HandClock
) -> None:
    sealer = Sealer(acme.wiring)
    sealer.seal()
    clock.advance(hours=-1)
    acme.record("log.read", ())

    def found() -> dict[Level, str]:
        return {one.level: one.text for one in examine(acme.wiring.settings) if one.about == "log"}

    assert "1 events wait to be sealed" in found()[Level.WARN]
    sealer.seal()
    assert found() == {Level.OK: "every event is sealed"}
    head = acme.wiring.settings.log_head_file
    head.write_text(head.read_text().replace("\n3\n", "\n9\n"))
    assert "9 checkpoints were signed" in found()[Level.FAIL]
