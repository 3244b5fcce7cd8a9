"""Worker processes on one PostgreSQL database: killed, stopped, overtaken, without their database for a while."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
import pytest

from provisioning.state import RunRecord
from tests.journeys.exports import export, people
from tests.journeys.shell import Shell
from tests.journeys.test_running import PATIENCE_SECONDS, fetch, running, start, stop, wait_for

ONCE = "user.created", "group.created", "group.member_added", "member.created"

# A worker whose ids come from a mint that does something to its own process when it has given so many, behind those
# that its parts are named by.
ODD_WORKER = dedent(
    """
    import os, signal, sys
    from contextlib import ExitStack
    from dataclasses import replace

    from service.logs import set_up_logs
    from service.metrics import Metrics
    from service.opening import open_for_service
    from service.settings import load_settings
    from service.wiring import SystemMint
    from service.worker import Worker

    class OddMint(SystemMint):
        left = 0

        def id(self):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), getattr(signal, sys.argv[2]))
            return super().id()

    settings = load_settings({name: text for name, text in os.environ.items() if name.startswith("USHER_")})
    set_up_logs(settings)
    with ExitStack() as stack:
        mint = OddMint()
        worker = Worker(replace(open_for_service(settings, stack), mint=mint), Metrics(), concurrency=1)
        mint.left = int(sys.argv[1])
        worker.run()
    """
)


@pytest.fixture
def shell(tmp_path: Path, postgresql_database: Callable[[], str]) -> Shell:
    """A shell on a new PostgreSQL database whose services leave reading to workers."""
    shell = Shell(tmp_path, postgresql_database())
    shell.environ |= {"USHER_JOBS": "workers", "USHER_TICK_SECONDS": "1"}
    shell.set_up(plan="Enterprise", seats="unlimited")
    return shell


@contextmanager
def processes(*started: subprocess.Popen[str]) -> Iterator[None]:
    """End them whatever happens."""
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()


def odd_worker(shell: Shell, ids: int, signal_name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ODD_WORKER, str(ids), signal_name],
        env=shell.environ,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def history(shell: Shell) -> list[RunRecord]:
    """Newest first."""
    with shell.read() as reader:
        return reader.runs(None, 99)


def completed(shell: Shell) -> int:
    return [run.state for run in history(shell)].count("completed")


def lines(text: str, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]


def stored_users(shell: Shell) -> int:
    return int(shell.json("directory", "status")["users"])


def check_nothing_is_doubled(shell: Shell, number: int) -> None:
    """Every person, group and membership has one event of its making."""
    actions = Counter(body["action"] for _, body in shell.events())
    # The owner is a member, too.
    assert [actions[name] for name in ONCE] == [number, 1, number, number + 1]
    assert stored_users(shell) == number


def give_people(shell: Shell, number: int) -> None:
    uids = tuple(f"person{number:04d}" for number in range(number))
    shell.write_export(export(people(*uids), {"staff": uids}))
    shell.add_directory("hq", "--interval", "3600")


@pytest.mark.pg
def test_two_workers_share_what_is_due_and_the_service_only_ticks(shell: Shell) -> None:
    names = [f"d{number}" for number in range(8)]
    for name in names:
        shell.write_export(export(people(name), {f"group-{name}": [name]}), f"{name}.ldif")
        shell.add_directory(name, "--interval", "3600")
    with running(shell, "serve") as (port, service), ExitStack() as stack:
        assert "fail  workers: 0 alive" in shell.answer("doctor", code=1)
        wait_for(lambda: "usher_jobs_waiting 8.0" in fetch(port, "/metrics")[1])
        workers = [start(shell, "worker", "--concurrency", "1") for _ in range(2)]
        stack.enter_context(processes(*workers))
        wait_for(lambda: completed(shell) == 8)

        metrics = fetch(port, "/metrics")[1]
        assert re.search(r"^usher_workers_alive [12]\.0$", metrics, re.MULTILINE)
        wait_for(lambda: "ok    workers: 2 alive; 0 directories in hand, 0 wait" in shell.answer("doctor"))
        told = [lines(stop(worker)[1], "run") for worker in workers]
        _, errors = stop(service)

    assert lines(errors, "run") == []
    read_by = [line["directory"] for one in told for line in one]
    assert len(read_by) == len(set(read_by)) == 8
    assert {(run.state, run.fence) for run in history(shell)} == {("completed", 1)}
    assert [body["action"] for _, body in shell.events()].count("user.created") == 8


@pytest.mark.pg
@pytest.mark.parametrize(
    ("ids", "stored"), [(1, 0), (700, 0), (3400, 500)], ids=["before", "in", "after a batch"]
)
def test_a_run_of_a_killed_worker_is_taken_up_by_another_and_nothing_is_doubled(
    shell: Shell, ids: int, stored: int
) -> None:
    give_people(shell, 1200)
    killed = odd_worker(shell, ids, "SIGKILL")
    with processes(killed):
        assert killed.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    assert stored_users(shell) == stored
    worker = start(shell, "worker")
    with processes(worker):
        wait_for(lambda: completed(shell) == 1)
        _, errors = stop(worker)

    (died,) = lines(errors, "worker died, its job goes on elsewhere")
    assert died["lease"].endswith("attempt 1")
    latest = history(shell)[0]
    assert latest.fence == 2
    assert [run.state for run in history(shell)[1:]] == (["interrupted"] if ids > 1 else [])
    check_nothing_is_doubled(shell, 1200)
    assert shell.json("sync", "run")["plan_hash"] == ""


@pytest.mark.pg
def test_a_worker_that_is_told_to_stop_hands_its_run_over(shell: Shell) -> None:
    give_people(shell, 4000)
    first = start(shell, "worker")
    with processes(first), ExitStack() as stack:
        wait_for(lambda: stored_users(shell) > 0)
        second = start(shell, "worker")
        stack.enter_context(processes(second))
        _, errors = stop(first)
        assert len(lines(errors, "run cut short, the next one goes on")) == 1
        assert lines(errors, "run") == []
        wait_for(lambda: completed(shell) == 1)
        _, later = stop(second)

    assert lines(later, "worker died, its job goes on elsewhere") == []
    assert [(run.state, run.fence) for run in history(shell)] == [("completed", 2), ("interrupted", 1)]
    check_nothing_is_doubled(shell, 4000)


@pytest.mark.pg
def test_a_worker_that_slept_is_overtaken_and_what_it_writes_then_is_refused(shell: Shell) -> None:
    asleep = odd_worker(shell, 1, "SIGSTOP")
    with processes(asleep), ExitStack() as stack:
        # What a worker does at its start writes to directories that are there already, and it must not sleep then.
        wait_for(lambda: "workers: 1 alive" in shell.invoke("doctor").stdout)
        give_people(shell, 20)
        wait_for(lambda: is_stopped(asleep.pid))
        awake = start(shell, "worker")
        stack.enter_context(processes(awake))
        wait_for(lambda: completed(shell) == 1)
        stop(awake)
        asleep.send_signal(signal.SIGCONT)
        # It goes on working: what comes next is its own.
        shell.write_export(export(people("zoe"), {"staff": ["zoe"]}), "next.ldif")
        shell.add_directory("next", "--interval", "3600")
        wait_for(lambda: completed(shell) == 2)
        _, errors = stop(asleep)

    assert len(lines(errors, "run overtaken")) == 1
    assert {(run.state, run.fence) for run in history(shell)} == {("completed", 2), ("completed", 1)}
    assert [body["action"] for _, body in shell.events()].count("user.created") == 21


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"


@pytest.mark.pg
def test_a_worker_outlives_a_database_that_goes_away(shell: Shell, postgresql_dsn: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(shell.environ["USHER_DATABASE_URL"])["dbname"]

    def allow(word: str) -> None:
        with psycopg.connect(postgresql_dsn, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {word}')
            if word == "false":
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                )

    log = shell.folder / "worker.log"
    with log.open("w", encoding="utf-8") as written:
        worker = subprocess.Popen(
            [sys.executable, "-c", "from service.cli import main; main()", "worker"],
            env=shell.environ,
            cwd=shell.folder,
            stderr=written,
            text=True,
        )
    with processes(worker):
        wait_for(lambda: '"working"' in log.read_text(encoding="utf-8"))
        allow("false")
        try:
            wait_for(lambda: "worker lost the database" in log.read_text(encoding="utf-8"))
        finally:
            allow("true")
        give_people(shell, 3)
        wait_for(lambda: completed(shell) == 1)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0


def test_workers_are_refused_on_sqlite_and_told_why(tmp_path: Path) -> None:
    shell = Shell(tmp_path)

    assert shell.fail(2, "worker") == (
        "workers need PostgreSQL: SQLite serves one process, and 'usher serve' does all the work there; "
        "set USHER_DATABASE_URL=postgresql://... to move, or leave 'usher worker' out"
    )
    shell.environ["USHER_JOBS"] = "workers"
    assert shell.fail(2, "serve").startswith("USHER_JOBS is workers, but SQLite serves one process;")
    assert not Path(shell.environ["USHER_DATA"]).exists()
