"""The service as a process: the demo, two services on one file, graceful stops, the scheduler at work."""

import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.exports import export, people
from tests.journeys.shell import Shell

PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_until_ready(port: int, process: subprocess.Popen[str]) -> None:
    def is_ready() -> bool:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
        try:
            return fetch(port, "/readyz")[0] == 200
        except OSError:
            return False

    give_up = time.monotonic() + PATIENCE_SECONDS
    assert any(is_ready() for _ in iter(lambda: time.monotonic() < give_up, False))


def start(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from service.cli import main; main()", *arguments]
    return subprocess.Popen(
        command,
        env=shell.environ,
        cwd=shell.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(shell: Shell, *arguments: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    port = free_port()
    shell.environ["USHER_PORT"] = str(port)
    shell.environ["USHER_TICK_SECONDS"] = "1"
    process = start(shell, *arguments)
    try:
        wait_until_ready(port, process)
        yield port, process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    return output, errors


def test_service_applies_an_edited_export_and_stops_in_order(either_shell: Shell) -> None:
    shell = either_shell
    shell.set_up(plan="Pro")
    shell.write_export(export(people("anna"), {"staff": ["anna"]}))
    shell.add_directory("hq", "--interval", "5")
    with running(shell, "serve") as (port, process):
        wait_for(lambda: shell.json("directory", "status")["users"] == 1)
        shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
        shell.write_export(export(people("anna", "ben"), {"staff": ["anna", "ben"]}))
        wait_for(lambda: shell.seats() == (3, 0))

        status, metrics = fetch(port, "/metrics")
        assert status == 200
        assert 'usher_seats_occupied{organisation="Acme Stays"} 3.0' in metrics
        assert re.search(r'usher_runs_total\{state="completed"\} [1-9]', metrics)
        assert fetch(port, "/healthz") == (200, '{"status":"ok"}\n')
        _, errors = stop(process)

    lines = [json.loads(line) for line in errors.splitlines()]
    assert lines[0]["event"] == "serving"
    assert lines[-1]["event"] == "stopping"
    assert {line["state"] for line in lines if line["event"] == "run"} == {"completed"}


@pytest.mark.pg
def test_two_services_share_a_postgresql_database(
    tmp_path: Path, postgresql_database: Callable[[], str]
) -> None:
    shell = Shell(tmp_path, postgresql_database())
    shell.set_up(plan="Pro")
    shell.write_export(export(people("anna"), {"staff": ["anna"]}))
    shell.add_directory("hq", "--interval", "5")
    with running(shell, "serve") as (_, first), running(shell, "serve") as (_, second):
        wait_for(lambda: len(shell.json("sync", "history")) >= 3)
        stop(first)
        stop(second)

    history = shell.json("sync", "history")
    assert {run["state"] for run in history} == {"completed"}
    assert [body["action"] for _, body in shell.events()].count("user.created") == 1
    began = sorted(run["started_at"] for run in history)
    assert len(set(began)) == len(began)


def wait_for(check: Callable[[], bool]) -> None:
    def is_so() -> bool:
        time.sleep(0.3)
        return check()

    give_up = time.monotonic() + PATIENCE_SECONDS
    assert any(is_so() for _ in iter(lambda: time.monotonic() < give_up, False))


def test_second_service_on_one_file_refuses_and_says_why(shell: Shell) -> None:
    with running(shell, "serve") as (_, first):
        shell.environ["USHER_PORT"] = str(free_port())
        second = start(shell, "serve")
        output, errors = second.communicate(timeout=PATIENCE_SECONDS)

        assert second.returncode == 3
        assert output == ""
        assert f"usher: another Usher service (process {first.pid}) runs on" in errors
        assert len(errors.splitlines()) == 1
        # Commands beside the service are welcome.
        assert shell.answer("organisation", "list")


def test_taken_port_is_told(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(shell, "serve", "--port", str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 3
    assert "usher: cannot listen on 127.0.0.1:" in errors
    assert "Traceback" not in errors


def test_killed_service_leaves_nothing_undone_or_done_twice(shell: Shell) -> None:
    uids = tuple(f"person{number:04d}" for number in range(3000))
    shell.set_up(plan="Enterprise", seats="unlimited")
    shell.write_export(export(people(*uids), {"staff": uids}))
    shell.add_directory("hq", "--interval", "5")
    with running(shell, "serve") as (_, process):
        wait_for(lambda: shell.json("directory", "status")["users"] > 0)
        process.kill()
        process.wait()
    stored = shell.json("directory", "status")["users"]

    # The lease of the dead run ends by itself; here its time is let pass.
    with shell.read() as reader:
        (directory,) = reader.directories()
    with shell.wiring() as wiring:
        late = wiring.clock().replace(year=wiring.clock().year + 1)
        lease = wiring.store.claim(directory.directory_id, "later", late, late)
        assert lease is not None
        wiring.store.release(lease)
    last = shell.json("sync", "run")

    assert 0 < stored <= 3000
    assert last["state"] == "completed"
    assert shell.json("directory", "status")["users"] == 3000
    created = [body["targets"][0]["id"] for _, body in shell.events() if body["action"] == "user.created"]
    assert len(created) == len(set(created)) == 3000
    assert shell.json("sync", "run")["plan_hash"] == ""


def test_demo_is_made_once_and_kept(either_shell: Shell) -> None:
    shell = either_shell

    first = shell.answer("demo", "--once")
    shell.answer("rules", "remove", shell.json("rules", "list", "-o", "Kusthem")[0]["id"], "-o", "Kusthem")
    kept = {name: shell.state(name).access_version for name in ("Kusthem", "Banksia Community Care")}
    second = shell.answer("demo", "--once")
    document = shell.json("demo", "--once")

    assert (
        "Organisation 'Kusthem' (minut) is new: 46 people and 35 groups; 20 of 20 seats used, 22 wait."
        in first
    )
    assert "is there already and stays as it is" in second
    assert {name: shell.state(name).access_version for name in kept} == kept
    assert [demo["is_new"] for demo in document] == [False, False]
    assert {path.name for path in shell.exports.iterdir()} == {"minut.ldif", "minikai.ldif"}


def test_every_printed_command_works(either_shell: Shell) -> None:
    text = either_shell.answer("demo", "--once").partition("takes pushes")[0]

    commands = [line.strip() for line in text.splitlines() if re.match(r"\s+\S*usher\S* \S", line)]
    assert len(commands) >= 8
    for command in commands:
        assert either_shell.answer(*shlex.split(command)[1:])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
def test_the_printed_lines_push_a_person(either_shell: Shell) -> None:
    shell = either_shell
    with running(shell, "serve") as (_, process):
        printed = shell.answer("demo", "--once").partition("push a person by SCIM:\n")[2]
        script = printed.partition("\n\n")[0]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", script],
            env={**shell.environ, "PATH": path},
            cwd=shell.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
        stop(process)

    assert '"seat":"seated"' in done.stdout
    assert '"totalResults":1' in done.stdout
    assert '"pagination":' in done.stdout
    assert "POST" in done.stdout


def test_the_demo_makes_a_new_token_on_each_start(either_shell: Shell) -> None:
    first, second = (either_shell.json("demo", "--once")[1]["scim"] for _ in range(2))

    assert first["base_url"] == second["base_url"]
    assert first["token"] != second["token"]
    live = either_shell.json("token", "list", "-o", "Banksia")
    assert [token["state"] for token in live] == ["revoked", "live"]


def test_demo_is_served(blank_shell: Shell) -> None:
    with running(blank_shell, "demo") as (port, process):
        output, _ = stop(process)

    assert "What to try next, in another terminal:" in output
    assert f"Serving on http://127.0.0.1:{port}" in output


def test_doctor_finds_all_well_after_the_demo(blank_shell: Shell) -> None:
    blank_shell.answer("demo", "--once")

    findings = blank_shell.json("doctor")

    assert {finding["level"] for finding in findings} == {"ok"}
    assert "ok    database:" in blank_shell.answer("doctor")


def test_doctor_names_what_to_mend(shell: Shell) -> None:
    shell.set_up(plan="Pro")
    shell.write_export(export(people("anna"), {"staff": ["anna"]}))
    shell.add_directory("hq", "--interval", "3600")
    assert "has never been read" in shell.answer("doctor")
    shell.answer("sync", "run")
    shell.settings.key_file.chmod(0o644)
    (shell.exports / "hq.ldif").unlink()
    shell.answer("sync", "run", code=3)

    text = shell.answer("doctor", code=1)

    assert "fail  key: others may read" in text
    assert "-> chmod 600" in text
    assert "the last reading failed: there is no export 'hq.ldif'" in text


def test_doctor_looks_at_what_it_can_without_a_database(blank_shell: Shell) -> None:
    findings = blank_shell.json("doctor", code=1)

    assert [finding["about"] for finding in findings] == ["settings", "disk", "key", "database"]
    assert findings[-1]["level"] == "fail"


def test_upgrade_may_be_said_twice(blank_shell: Shell) -> None:
    assert "is up to date" in blank_shell.answer("db", "upgrade")
    assert blank_shell.json("db", "upgrade")["database"].startswith("sqlite:///")
    key = blank_shell.settings.key_file
    assert oct(key.stat().st_mode & 0o777) == "0o600"


def test_other_servers_get_the_application(shell: Shell) -> None:
    """What a WSGI server of one's own does: import the module and ask for `app`."""
    code = (
        "import service.wsgi as module\n"
        "from werkzeug.test import Client\n"
        "print(Client(module.app).get('/readyz').get_json())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=shell.environ,
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'status': 'ready'}\n"


def test_granian_serves_the_application(shell: Shell) -> None:
    port = free_port()
    command = ["-m", "granian", "--interface", "wsgi", "--port", str(port), "--blocking-threads", "2"]
    process = subprocess.Popen(
        [sys.executable, *command, "service.wsgi:app"],
        env=shell.environ,
        cwd=shell.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_ready(port, process)
        assert fetch(port, "/nope")[0] == 404
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("member", "--help"), ("-h",)])
def test_help_needs_no_database(blank_shell: Shell, arguments: tuple[str, ...]) -> None:
    assert blank_shell.answer(*arguments)
    assert not Path(blank_shell.environ["USHER_DATA"]).exists()


def test_reader_that_has_seen_enough_is_no_error(blank_shell: Shell) -> None:
    blank_shell.answer("demo", "--once")
    python = f"{shlex.quote(sys.executable)} -c 'from service.cli import main; main()'"
    command = f"{python} audit list -o Kus --limit 9999"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} | head -1"],
        env={**blank_shell.environ, "PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.stdout.startswith("Row")
    assert done.stderr == ""


def test_person_at_a_terminal_sees_drawn_tables_and_progress(shell: Shell) -> None:
    shell.set_up(plan="Enterprise", seats="unlimited")
    uids = tuple(f"person{number:04d}" for number in range(1200))
    shell.write_export(export(people(*uids), {"staff": uids}))
    shell.add_directory()

    run = at_terminal(shell, "sync", "run")
    members = at_terminal(shell, "member", "list", "--limit", "3")

    assert "1200 users added" in run
    assert "people" in run
    assert "┃" in members
    assert "Member" in members
    assert "Olivia Owner" in members


def at_terminal(shell: Shell, *arguments: str) -> str:
    """What a terminal of 160 columns shows of a command."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from service.cli import main; main()", *arguments],
        env={**shell.environ, "COLUMNS": "160", "TERM": "xterm"},
        cwd=shell.folder,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while chunk := os.read(ours, 65536):  # pragma: no branch - Linux ends it by an error
            shown += chunk
    except OSError:
        # On Linux the other end's closing is told so.
        pass
    os.close(ours)
    assert process.wait(timeout=PATIENCE_SECONDS) == 0, shown
    return shown.decode()
