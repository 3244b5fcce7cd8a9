"""Runs of pulled directories: claimed by lease and fence, read, planned, guarded, applied. Whoever asks for one
comes through here: the ticker, and the operator at the command line.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from directory.ids import OrganisationId, RunId
from provisioning.errors import StaleFenceError
from provisioning.ports import Reader
from provisioning.runs import LEASE, Claim, Progress
from provisioning.state import Claim as Lease
from provisioning.state import RunRecord, StoredDirectory
from service.errors import DirectoryBusyError, NotFoundError
from service.passwords import directory_passwords
from service.wiring import Wiring
from sync.errors import SyncError
from sync.run import PlannedRun, plan_directory
from sync.snapshot import SnapshotCounts

PULLED_KINDS = frozenset({"ldif", "ldap"})
"""Kinds of directories that are read on a schedule."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended, with what its reading met; None when the source could not be opened."""

    record: RunRecord
    counts: SnapshotCounts | None


def worker_name() -> str:
    """Who holds a lease, for people who look at it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def claim_due(wiring: Wiring, *, limit: int) -> list[Lease]:
    """Take the directories that are due, the longest due first."""
    now = wiring.clock()
    return wiring.store.claim_due(worker_name(), now, now + LEASE, limit)


def claim_directory(wiring: Wiring, directory: StoredDirectory) -> Lease:
    """Take one directory, due or not. Raises DirectoryBusyError while another run has it."""
    now = wiring.clock()
    lease = wiring.store.claim(directory.directory_id, worker_name(), now, now + LEASE)
    if lease is None:
        raise DirectoryBusyError(
            f"directory '{directory.name}' is being read by another run; wait for its end, "
            f"or for {int(LEASE.total_seconds())} s if that run was killed ('usher sync history')"
        )
    return lease


def run_claimed(
    wiring: Wiring,
    lease: Lease,
    *,
    approval: str = "",
    approved_by: str = "",
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
    full: bool = False,
) -> Run:
    """Run the directory that is held, by a `full` reading if told so. However it ends, the lease is given back.

    `check` is called now and then while a server is read; what it raises ends the run.

    Raises: StaleFenceError when another run has taken the directory over.
    """
    keeper = wiring.run_keeper(lease.organisation_id)
    try:
        with keeper.unit_of_work.read() as reader:
            directory = _held_directory(reader, lease)
        claim = Claim(
            run_id=RunId(wiring.mint.id()),
            directory=directory,
            fence=lease.fence,
            started_at=wiring.clock(),
            approval=approval,
            approved_by=approved_by,
        )
        beat = keeper.heartbeat(claim)

        def after_page() -> None:
            check()
            beat()

        try:
            planned = plan_directory(
                directory,
                unit_of_work=keeper.unit_of_work,
                exports=wiring.settings.exports,
                passwords=directory_passwords(
                    wiring.settings.passwords, keeper.unit_of_work, directory.directory_id
                ),
                after_page=after_page,
                now=wiring.clock(),
                clock=wiring.clock,
                full=full,
            )
        except SyncError as error:
            return Run(keeper.fail(claim, str(error)), None)
        record = keeper.submit(claim, planned.plan, planned.reading, progress=progress)
        return Run(record, planned.counts)
    except StaleFenceError:
        raise
    except BaseException:
        # The run's end could not be written; without this nobody could try again before the lease ends.
        wiring.store.release(lease)
        raise


def plan_now(
    wiring: Wiring, organisation_id: OrganisationId, directory: StoredDirectory, *, full: bool = False
) -> PlannedRun:
    """What a run would do now; nothing is stored. Raises SyncError when the source cannot be read."""
    unit_of_work = wiring.unit_of_work(organisation_id)
    return plan_directory(
        directory,
        unit_of_work=unit_of_work,
        exports=wiring.settings.exports,
        passwords=directory_passwords(wiring.settings.passwords, unit_of_work, directory.directory_id),
        now=wiring.clock(),
        clock=wiring.clock,
        full=full,
    )


def _held_directory(reader: Reader, lease: Lease) -> StoredDirectory:
    for directory in reader.directories():
        if directory.directory_id == lease.directory_id:
            if directory.kind not in PULLED_KINDS:
                raise NotFoundError(
                    f"directory '{directory.name}' is of kind {directory.kind} and is not read"
                )
            return directory
    raise NotFoundError(f"there is no directory '{lease.directory_id}'")
