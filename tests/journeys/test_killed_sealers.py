"""Sealers as processes, killed by SIGKILL at the worst moments: nothing is sealed twice, or signed and then lost."""

import signal
import subprocess
import sys
import textwrap

import pytest

from audit.checkpoint import parse_checkpoint, split_note
from provisioning.sealing import HEADS_LOG
from service.sealer import Sealer, read_head
from storage.sealing import SQLSealing
from tests.journeys.shell import Shell

PATIENCE_SECONDS = 60

KILLED = {
    "between the change's commit and the sealing": """
        from service.cli import main
        import service.log_reading
        try:
            sys.argv = ["usher", "audit", "list"]
            main()
        except SystemExit:
            os.kill(os.getpid(), signal.SIGKILL)
    """,
    "in the middle of the sealer's transaction": """
        import storage.sealing
        from service.opening import open_database_as_is
        from service.sealer import Sealer
        from service.settings import load_settings
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        storage.sealing._Batch._mark = die
        Sealer(open_database_as_is(load_settings(usher))).drain()
    """,
    "between the sealer's commit and its own memory of it": """
        import service.sealer
        from service.opening import open_database_as_is
        from service.settings import load_settings
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        service.sealer.keep_head = die
        service.sealer.Sealer(open_database_as_is(load_settings(usher))).drain()
    """,
}


def run_until_killed(shell: Shell, moment: str) -> None:
    begin = (
        "import os, signal, sys\nusher = {k: v for k, v in os.environ.items() if k.startswith('USHER_')}\n"
    )
    code = begin + textwrap.dedent(KILLED[moment])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=shell.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("moment", KILLED)
def test_a_killed_process_leaves_a_whole_log(either_shell: Shell, moment: str) -> None:
    shell = either_shell
    shell.set_up(plan="Pro")
    shell.answer("audit", "seal")
    before = read_head(shell.settings)
    assert before is not None
    shell.answer("audit", "list")

    run_until_killed(shell, moment)

    with shell.wiring() as wiring:
        sealing = SQLSealing(wiring.database)
        with sealing.read(HEADS_LOG) as heads:
            head = heads.checkpoint()
        assert head is not None
        # What is remembered is never more than what is committed.
        assert head.size >= before.size
        # Another takes over as soon as the lease of the dead one is over.
        at = wiring.clock()
        lease_until = sealing.status().lease_until or at
        fence = sealing.claim("after the lease", max(at, lease_until), max(at, lease_until))
        assert fence is not None
        sealing.release(fence)
        survivor = Sealer(wiring)
        survivor.drain()
        survivor.stop()
        assert sealing.status().unsealed == 0
        with sealing.read(HEADS_LOG) as heads:
            last = heads.checkpoint()
        assert last is not None
    shell.answer("audit", "list")
    shell.answer("audit", "seal")
    remembered = read_head(shell.settings)
    assert remembered is not None
    assert remembered.size > last.size
    assert parse_checkpoint(split_note(last.note)[0]).size == last.size
    assert shell.json("audit", "verify", "--all")["is_good"]
    assert shell.json("audit", "replay", "--all")[0]["differences"] == []
