"""A process killed between sending and the acknowledgement: the next one sends the same batch under the same id."""

import os
import signal
import subprocess
import sys
import threading

from directory.ids import StreamId
from directory.stream_changes import PutStream
from service.administration import Administration
from service.metrics import Metrics
from service.streams import StreamSender
from streams.webhook import render_secret
from tests.sealed import seal_log
from tests.service.worlds import HandClock
from tests.streams.receivers import HTTPSReceiver, Reply

CHILD = """
import os
from service.metrics import Metrics
from service.opening import open_database_as_is
from service.settings import load_settings
from service.streams import StreamSender

environ = {name: value for name, value in os.environ.items() if name.startswith("USHER_")}
sender = StreamSender(open_database_as_is(load_settings(environ)), Metrics())
sender.pump()
sender.wait()
"""


def test_a_batch_that_was_cut_off_by_kill_9_is_sent_again_as_it_was(
    world: Administration, clock: HandClock, receiver: HTTPSReceiver
) -> None:
    wiring = world.wiring
    stream_id = StreamId(wiring.mint.id())
    secrets = {"signing_secret": render_secret(b"k" * 32).encode()}
    world.apply([PutStream(stream_id, "siem", "webhook", {"url": receiver.url}, secrets, -1)])
    first = seal_log(wiring, world.organisation_id)
    never = threading.Event()
    receiver.script.append(Reply(wait=never))
    environ = {"USHER_DATA": str(wiring.settings.data), "USHER_PRIVATE_TARGETS": "127.0.0.0/8,::1/128"}

    child = subprocess.Popen([sys.executable, "-c", CHILD], env=_environ(environ))
    assert receiver.wait_for(1)
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    never.set()
    world.record("log.read", ())
    last = seal_log(wiring, world.organisation_id)

    for minutes in (0, 10):
        clock.advance(minutes=minutes)
        sender = StreamSender(wiring, Metrics())
        sender.pump()
        sender.wait()
        sender.close()
        # While the dead process's lease runs nobody else sends.
        assert len(receiver.received) == (1 if not minutes else 3)

    cut_off, again, rest = receiver.received
    assert cut_off.headers["webhook-id"] == again.headers["webhook-id"] == f"{stream_id}.0-{first}"
    assert cut_off.body == again.body
    assert rest.leaves == [last]


def _environ(extra: dict[str, str]) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("USHER_")}, **extra}
