"""A run's plan from guard to record: stopped for review, approved once, applied in batches, resumed after a crash."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from audit.actors import Actor, AdminActor, RunActor
from audit.events import FieldChange, JSONValue, Outcome, Reason, Target
from directory.changes import DirectoryChange
from directory.errors import DirectoryError
from directory.ids import DirectoryId, EventId, ExternalId, RunId
from provisioning.apply import apply_changes, drain_pending
from provisioning.commands import Applied, Command, Fence
from provisioning.errors import ProvisioningError, StaleFenceError
from provisioning.guard import crossed_limits, guard_limits
from provisioning.ledger import Ledger
from provisioning.models import ModelCache
from provisioning.plans import DirectoryPlan, entry_of
from provisioning.ports import Clock, Mint, UnitOfWork, Writer
from provisioning.seats import free_seats, seat_limit
from provisioning.state import Cursor, RunRecord, StoredDirectory

RUN_BATCH_SIZE = 500
"""People of a run's plan in one transaction."""
LEASE = timedelta(seconds=120)
"""How long a run may be silent before another may take its directory over; renewed by every batch."""
MAX_BACKOFF = timedelta(hours=6)
FULL = "full"
"""The method of a reading that shows everything."""
_KEPT_LINES = 1000
_NAMED_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that holds its directory. `approval` is the hash of the plan that an administrator has let through."""

    run_id: RunId
    directory: StoredDirectory
    fence: int
    started_at: datetime
    approval: str = ""
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the source showed, apart from the plan. `is_complete` False: nothing was inferred from absence.

    `method` is empty for a source that knows one way of being read; else `method_reason` says why it was chosen.
    `cursor` is where the next reading may go on once all of this one is stored.
    """

    source_hash: str
    counters: Mapping[str, int]
    is_complete: bool = True
    reason: str = ""
    method: str = ""
    method_reason: str = ""
    cursor: Cursor | None = None

    @property
    def is_incremental(self) -> bool:
        return self.method not in {"", FULL}


Progress = Callable[[int, int], None]
"""Called after each batch with the people done and the people in all."""


@dataclass(frozen=True, slots=True)
class RunKeeper:
    """Everything a run needs to write: the organisation's unit of work and the tools that come with it."""

    unit_of_work: UnitOfWork
    clock: Clock
    mint: Mint
    models: ModelCache

    def submit(
        self, claim: Claim, plan: DirectoryPlan, reading: Reading, *, progress: Progress | None = None
    ) -> RunRecord:
        """Take the plan through the guard and apply it, or keep it for review.

        A plan that crosses a limit is applied only with an approval that names its hash. The approval of a run that
        was interrupted stays good while the source shows the same, and for nothing else.

        Returns: the run's record: `completed`, `partial` (applied, but from an incomplete read) or `blocked`.
        Raises: StaleFenceError when another run has taken over; nothing more was written then.
        """
        record = self._record(claim, plan, reading)
        crossed = crossed_limits(plan.counts, guard_limits(claim.directory.settings))
        approval = self._standing_approval(claim, plan, reading) if crossed else ""
        if claim.approval and claim.approval != plan.hash:
            reason = "the approval is for another plan: source, rules or stored state have moved since"
            return self._close(
                claim, replace(record, state="blocked", reason=reason, plan=_kept(plan, crossed)), reading
            )
        if crossed and not approval:
            return self._close(
                claim,
                replace(record, state="blocked", reason="; ".join(crossed), plan=_kept(plan, crossed)),
                reading,
            )
        if plan.is_empty and not self._is_unfinished(claim):
            return self._close(claim, replace(record, state=_end_state(reading)), reading)
        return self._apply(claim, plan, replace(record, approved_by=approval), reading, progress)

    def heartbeat(self, claim: Claim) -> Callable[[], None]:
        """What a long reading calls now and then, so that its lease does not run out while nothing is written.

        The call raises StaleFenceError when another run has taken over.
        """
        renewed_at = self.clock()

        def beat() -> None:
            nonlocal renewed_at
            if self.clock() - renewed_at >= LEASE / 4:
                with self.unit_of_work.write() as writer:
                    self._check_fence(writer, claim)
                renewed_at = self.clock()

        return beat

    def fail(self, claim: Claim, reason: str) -> RunRecord:
        """The source could not be read: nothing changes, and the directory is tried again later and later."""
        record = RunRecord(
            claim.run_id, claim.directory.directory_id, claim.fence, "failed", claim.started_at, reason=reason
        )
        return self._close(claim, record)

    def _record(self, claim: Claim, plan: DirectoryPlan, reading: Reading) -> RunRecord:
        return RunRecord(
            run_id=claim.run_id,
            directory_id=claim.directory.directory_id,
            fence=claim.fence,
            state="running",
            started_at=claim.started_at,
            counters=dict(reading.counters),
            reason=reading.reason,
            plan_hash="" if plan.is_empty else plan.hash,
            source_hash=reading.source_hash,
            method=reading.method,
            method_reason=reading.method_reason,
        )

    def _standing_approval(self, claim: Claim, plan: DirectoryPlan, reading: Reading) -> str:
        """Who approved this: now, by the hash; or before, if that run was cut off and the source is the same."""
        if claim.approval and claim.approval == plan.hash:
            return claim.approved_by
        last = self._unfinished_run(claim)
        return last.approved_by if last is not None and last.source_hash == reading.source_hash else ""

    def _is_unfinished(self, claim: Claim) -> bool:
        return self._unfinished_run(claim) is not None

    def _unfinished_run(self, claim: Claim) -> RunRecord | None:
        """The last run that applied something, when it was cut off: people may wait for seats that are free."""
        with self.unit_of_work.read() as reader:
            last = reader.last_applied_run(claim.directory.directory_id)
        return last if last is not None and last.state in {"running", "interrupted"} else None

    def _apply(
        self,
        claim: Claim,
        plan: DirectoryPlan,
        record: RunRecord,
        reading: Reading,
        progress: Progress | None,
    ) -> RunRecord:
        is_resumed, people = self._is_unfinished(claim), plan.count_people()
        record = self._open(claim, record)
        command = Command(
            actor=RunActor(claim.run_id, claim.directory.directory_id),
            changes=(),
            kind="run",
            directory_id=claim.directory.directory_id,
            root=record.started_event,
            run_id=claim.run_id,
            defer_seats=self._must_defer_seats(people),
        )
        tally = _Tally(Counter(record.counters))
        done = 0
        for number, changes in enumerate(plan.batches(RUN_BATCH_SIZE), start=1):
            self._apply_batch(claim, command, changes, tally)
            done = min(people, done + RUN_BATCH_SIZE)
            if number & (number - 1) == 0 and number > 1:
                self.unit_of_work.refresh_statistics()
            if progress is not None:
                progress(done, people)
        if not tally.failures:
            for changes in plan.group_fingerprints(RUN_BATCH_SIZE):
                self._apply_batch(claim, command, changes, tally)
        if command.defer_seats or is_resumed:
            tally.add(self._drain(claim, replace(command, defer_seats=False)))
        record = replace(
            record,
            state=_end_state(reading),
            counters=dict(+tally.counters),
            reason="; ".join([*([record.reason] if record.reason else []), *tally.failures]),
        )
        return self._close(claim, record, reading, waiting_out=plan.waiting_out)

    def _apply_batch(
        self, claim: Claim, command: Command, changes: tuple[DirectoryChange, ...], tally: "_Tally"
    ) -> None:
        """Apply a batch, or what can be applied of it: a person who cannot be stored must not hold up the others."""
        try:
            tally.add(self._apply_one(claim, replace(command, changes=changes)))
        except StaleFenceError:
            raise
        except (ProvisioningError, DirectoryError, ValueError) as error:
            if len(changes) == 1:
                tally.fail(changes[0], error)
                return
            for change in changes:
                self._apply_batch(claim, command, (change,), tally)

    def _apply_one(self, claim: Claim, command: Command) -> Applied:
        outcome = apply_changes(
            replace(command, fence=self._fence(claim)),
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            mint=self.mint,
            models=self.models,
        )
        if not isinstance(outcome, Applied):
            raise ProvisioningError(outcome.message)
        return outcome

    def _drain(self, claim: Claim, command: Command) -> Applied:
        return drain_pending(
            replace(command, fence=self._fence(claim)),
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            mint=self.mint,
            models=self.models,
        )

    def _fence(self, claim: Claim) -> Fence:
        return Fence(claim.directory.directory_id, claim.fence, self.clock() + LEASE)

    def _must_defer_seats(self, people: int) -> bool:
        """Whether the order of batches could decide who is seated: more people than seats, in several batches."""
        if people <= RUN_BATCH_SIZE:
            return False
        with self.unit_of_work.read() as reader:
            state = reader.organisation()
            free = free_seats(seat_limit(state, reader.catalogue()), state.seated + state.reserved)
        return free is not None and free < people

    def _open(self, claim: Claim, record: RunRecord) -> RunRecord:
        with self.unit_of_work.write() as writer:
            self._check_fence(writer, claim)
            writer.interrupt_runs(record.directory_id, self.clock())
            ledger = self._ledger(claim, writer, RunActor(claim.run_id, claim.directory.directory_id))
            target = (_target(record.directory_id),)
            plan_hash = (FieldChange("plan_hash", None, record.plan_hash),)
            event_id = ledger.record("sync.started", target, plan_hash)
            record = replace(record, started_event=event_id)
            writer.insert_run(record)
            writer.append_events(ledger.rows)
            if record.approved_by:
                release = self._ledger(claim, writer, AdminActor(record.approved_by))
                release.record(
                    "guard.released", target, plan_hash, parent=event_id, reason=Reason("approved")
                )
                writer.append_events(release.rows)
        return record

    def _close(
        self,
        claim: Claim,
        record: RunRecord,
        reading: Reading | None = None,
        *,
        waiting_out: tuple[tuple[ExternalId, int], ...] = (),
    ) -> RunRecord:
        """Write the run's end and give the directory back, in one transaction with how far it has been read.

        An incremental reading that found nothing is written down in the directory's own row only: it happens every
        few minutes. The first one behind a failure is recorded, so that the failure is not the last thing told.
        """
        now = self.clock()
        record = replace(record, finished_at=now)
        is_idle = (
            reading is not None
            and reading.is_incremental
            and record.state == "completed"
            and record.started_event is None
            and not claim.directory.failures
        )
        cursor = _next_cursor(claim, record, reading)
        with self.unit_of_work.write() as writer:
            self._check_fence(writer, claim)
            if waiting_out:
                writer.set_absent_runs(record.directory_id, dict(waiting_out))
            if cursor is not None and cursor != claim.directory.cursor:
                writer.save_cursor(record.directory_id, claim.fence, cursor)
            if not is_idle:
                self._write_end(writer, claim, record)
            writer.finish_run(
                record,
                next_run_at=next_run_at(claim.directory, now, failed=record.state == "failed"),
                succeeded=record.state in {"completed", "partial"},
            )
        return record

    def _write_end(self, writer: Writer, claim: Claim, record: RunRecord) -> None:
        if record.started_event is None:
            writer.insert_run(record)
        parent = self._record_refusal(writer, claim, record)
        ledger = self._ledger(claim, writer, RunActor(claim.run_id, claim.directory.directory_id))
        self._record_end(ledger, record, parent or record.started_event)
        writer.append_events(ledger.rows)

    def _record_refusal(self, writer: Writer, claim: Claim, record: RunRecord) -> EventId | None:
        """An approval that does not fit is refused to the one who gave it."""
        if not claim.approval or record.state != "blocked":
            return None
        ledger = self._ledger(claim, writer, AdminActor(claim.approved_by))
        event_id = ledger.record(
            "guard.refused",
            (_target(record.directory_id),),
            (FieldChange("plan_hash", claim.approval, record.plan_hash),),
            outcome=Outcome.DENIED,
            reason=Reason("approval_mismatch"),
        )
        writer.append_events(ledger.rows)
        return event_id

    def _record_end(self, ledger: Ledger, record: RunRecord, parent: EventId | None) -> None:
        actions = {"failed": "sync.failed", "blocked": "sync.blocked"}
        outcomes = {"failed": Outcome.FAILURE, "blocked": Outcome.DENIED}
        outcome = outcomes.get(record.state, Outcome.SUCCESS if record.started_event else Outcome.NOOP)
        changes: list[FieldChange] = [
            FieldChange(name, None, value) for name, value in sorted(record.counters.items())
        ]
        named: dict[str, JSONValue] = {"plan_hash": record.plan_hash, "state": record.state}
        changes.extend(FieldChange(name, None, value) for name, value in named.items() if value)
        ledger.record(
            actions.get(record.state, "sync.completed"),
            (_target(record.directory_id),),
            tuple(changes),
            parent=parent,
            outcome=outcome,
            reason=Reason(_slug(record), (("text", record.reason[:400]),)) if record.reason else None,
        )

    def _ledger(self, claim: Claim, writer: Writer, actor: Actor) -> Ledger:
        return Ledger(
            organisation_id=writer.organisation().organisation_id,
            actor=actor,
            now=self.clock(),
            mint=self.mint,
            kind="run",
            run_id=claim.run_id,
        )

    def _check_fence(self, writer: Writer, claim: Claim) -> None:
        if not writer.check_fence(claim.directory.directory_id, claim.fence, self.clock() + LEASE):
            raise StaleFenceError(
                f"directory '{claim.directory.name}' was taken over by another run; this one stops"
            )


def _next_cursor(claim: Claim, record: RunRecord, reading: Reading | None) -> Cursor | None:
    """Where the next run may go on; None when that stays as it is.

    It moves only with the data: whatever was not applied must come again. A full reading that did not come to its
    end is followed by another one, so that an approval meets the plan that it names.
    """
    if reading is None or not reading.method:
        return None
    if record.state == "completed" and not record.counters.get("changes_failed"):
        return reading.cursor
    if reading.is_incremental:
        return None
    reason = f"the last full reading ended as {record.state}"
    if record.state == "completed":
        reason = "not everything of the last full reading could be stored"
    return replace(claim.directory.cursor or Cursor(), full_due=reason)


def next_run_at(directory: StoredDirectory, now: datetime, *, failed: bool) -> datetime | None:
    """When the directory is due again; None when it runs by hand only.

    Missed runs coalesce into one. After a failure the wait doubles with each further one, up to six hours, so that
    a wrong password does not lock an account out.
    """
    if directory.interval_seconds is None:
        return None
    interval = timedelta(seconds=directory.interval_seconds)
    if failed:
        return now + max(interval, min(interval * (1 << min(directory.failures + 1, 20)), MAX_BACKOFF))
    due = (directory.next_run_at or now) + interval
    return due if due > now else now + interval


@dataclass(slots=True)
class _Tally:
    """What the batches of a run have come to."""

    counters: Counter[str]
    failures: list[str] = field(default_factory=list)

    def add(self, applied: Applied) -> None:
        self.counters.update(applied.counters)
        self.counters["events"] += len(applied.events)

    def fail(self, change: DirectoryChange, error: Exception) -> None:
        self.counters["changes_failed"] += 1
        if len(self.failures) < _NAMED_FAILURES:
            self.failures.append(f"{type(change).__name__} {entry_of(change)} failed: {error}")


def _end_state(reading: Reading) -> str:
    return "completed" if reading.is_complete else "partial"


def _target(directory_id: DirectoryId) -> Target:
    return Target("directory", directory_id)


def _slug(record: RunRecord) -> str:
    return {"failed": "source_unreadable", "blocked": "guard", "partial": "incomplete_read"}.get(
        record.state, "note"
    )


def _kept(plan: DirectoryPlan, crossed: tuple[str, ...]) -> dict[str, object]:
    """The plan as it is kept for review: its head, and how much more there is."""
    lines: list[str] = []
    more = 0
    for line in plan.lines():
        if len(lines) < _KEPT_LINES:
            lines.append(line)
        else:
            more += 1
    return {"hash": plan.hash, "limits": list(crossed), "lines": lines, "more": more}
