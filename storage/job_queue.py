"""What we ask the job library's tables ourselves, on PostgreSQL: who lives, how much waits. Writes nothing there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Float, Integer, bindparam, text

from storage.engine import Database
from storage.view import fetch_rows

# "UsherJob" in ASCII: whoever holds it looks after the jobs of workers that died.
_RECOVERY_LOCK = 0x55736865724A6F62
_STANDSTILL_SECONDS = 10

_TAKE_TURN = text(f"SELECT pg_try_advisory_xact_lock({_RECOVERY_LOCK})")
_END_STANDSTILL = text(f"SET LOCAL idle_in_transaction_session_timeout = {_STANDSTILL_SECONDS * 1000}")
_FIGURES = (
    text(
        """
    SELECT
        (SELECT count(*) FROM procrastinate_workers
            WHERE last_heartbeat >= now() - make_interval(secs => :silence)),
        (SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'),
        (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo')
    """
    )
    .bindparams(bindparam("silence", type_=Float))
    .columns(workers=Integer, running=Integer, waiting=Integer)
)


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Workers that live, jobs that they run, and jobs that wait for one."""

    workers: int
    running: int
    waiting: int


def queue_figures(database: Database, silence_seconds: float) -> QueueFigures:
    """Count them by the database's own clock. A worker that is silent for longer counts as dead."""
    with database.read() as connection:
        ((workers, running, waiting),) = fetch_rows(connection, _FIGURES, {"silence": silence_seconds})
    return QueueFigures(workers, running, waiting)


@contextmanager
def recovery_turn(database: Database) -> Iterator[bool]:
    """Whether it is ours to look after what dead workers left; nobody else does until this is left.

    Held by a transaction, so that it ends with its process and may pass through a pool of connections; of a process
    that has come to a standstill the server ends it. It saves double work only: what keeps a directory from being
    written twice is its fence.
    """
    with database.write() as connection:
        connection.execute(_END_STANDSTILL)
        ((is_ours,),) = fetch_rows(connection, _TAKE_TURN, {})
        yield is_ours
