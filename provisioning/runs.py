"""A run's plan from guard to record: stopped for review, approved once, applied in batches, resumed after a crash."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from audit.actors import RunActor
from audit.events import FieldChange, JSONValue, Outcome, Reason, Target
from directory.ids import DirectoryId, ExternalId, RunId
from provisioning.apply import apply_changes
from provisioning.commands import Applied, Command, Fence
from provisioning.errors import ProvisioningError, StaleFenceError
from provisioning.guard import crossed_limits, guard_limits
from provisioning.ledger import Ledger
from provisioning.models import ModelCache
from provisioning.plans import DirectoryPlan
from provisioning.ports import Clock, Mint, UnitOfWork, Writer
from provisioning.seats import free_seats, seat_limit
from provisioning.state import RunRecord, StoredDirectory

RUN_BATCH_SIZE = 500
"""People of a run's plan in one transaction."""
LEASE = timedelta(seconds=120)
"""How long a run may be silent before another may take its directory over; renewed by every batch."""
MAX_BACKOFF = timedelta(hours=6)
_KEPT_LINES = 1000


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
    """What the source showed, apart from the plan. `is_complete` False: nothing was inferred from absence."""

    source_hash: str
    counters: Mapping[str, int]
    is_complete: bool = True
    reason: str = ""


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
                claim, replace(record, state="blocked", reason=reason, plan=_kept(plan, crossed))
            )
        if crossed and not approval:
            return self._close(
                claim, replace(record, state="blocked", reason="; ".join(crossed), plan=_kept(plan, crossed))
            )
        if plan.is_empty:
            return self._close(
                claim, replace(record, state="completed" if reading.is_complete else "partial")
            )
        return self._apply(claim, plan, replace(record, approved_by=approval), reading, progress)

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
        )

    def _standing_approval(self, claim: Claim, plan: DirectoryPlan, reading: Reading) -> str:
        """Who approved this: now, by the hash; or before, if that run was cut off and the source is the same."""
        if claim.approval and claim.approval == plan.hash:
            return claim.approved_by
        with self.unit_of_work.read() as reader:
            last = reader.last_applied_run(claim.directory.directory_id)
        if (
            last is None
            or last.state not in {"running", "interrupted"}
            or last.source_hash != reading.source_hash
        ):
            return ""
        return last.approved_by

    def _apply(
        self,
        claim: Claim,
        plan: DirectoryPlan,
        record: RunRecord,
        reading: Reading,
        progress: Progress | None,
    ) -> RunRecord:
        record = self._open(claim, record)
        command = Command(
            actor=RunActor(claim.run_id, claim.directory.directory_id),
            changes=(),
            kind="run",
            directory_id=claim.directory.directory_id,
            root=record.started_event,
            run_id=claim.run_id,
            defer_seats=self._must_defer_seats(plan),
        )
        counters = Counter(record.counters)
        done, total = 0, len(plan.put_users) + len(plan.deactivate)
        for number, changes in enumerate(plan.batches(RUN_BATCH_SIZE), start=1):
            for applied in self._apply_batch(claim, replace(command, changes=changes), counters):
                counters.update(applied.counters)
                counters["events"] += len(applied.events)
            done = min(total, done + RUN_BATCH_SIZE)
            if number & (number - 1) == 0 and number > 1:
                self.unit_of_work.refresh_statistics()
            if progress is not None:
                progress(done, total)
        final = self._give_seats(claim, command)
        counters.update(final.counters)
        counters["events"] += len(final.events)
        state = "completed" if reading.is_complete else "partial"
        return self._close(
            claim, replace(record, state=state, counters=dict(+counters)), waiting_out=plan.waiting_out
        )

    def _apply_batch(self, claim: Claim, command: Command, counters: Counter[str]) -> list[Applied]:
        """Apply a batch, or what can be applied of it: a person who cannot be stored must not hold up the others."""
        try:
            return [self._apply_one(claim, command)]
        except StaleFenceError:
            raise
        except (ProvisioningError, ValueError):
            if len(command.changes) == 1:
                counters["changes_failed"] += 1
                return []
            return [
                applied
                for change in command.changes
                for applied in self._apply_batch(claim, replace(command, changes=(change,)), counters)
            ]

    def _apply_one(self, claim: Claim, command: Command) -> Applied:
        fence = Fence(claim.directory.directory_id, claim.fence, self.clock() + LEASE)
        outcome = apply_changes(
            replace(command, fence=fence),
            unit_of_work=self.unit_of_work,
            clock=self.clock,
            mint=self.mint,
            models=self.models,
        )
        if not isinstance(outcome, Applied):
            raise ProvisioningError(outcome.message)
        return outcome

    def _must_defer_seats(self, plan: DirectoryPlan) -> bool:
        """Whether the order of batches could decide who is seated: more newcomers than seats, in several batches."""
        if len(plan.put_users) <= RUN_BATCH_SIZE:
            return False
        with self.unit_of_work.read() as reader:
            state = reader.organisation()
            free = free_seats(seat_limit(state, reader.catalogue()), state.seated + state.reserved)
        return free is not None and free < len(plan.put_users)

    def _give_seats(self, claim: Claim, command: Command) -> Applied:
        if not command.defer_seats:
            return Applied(0)
        return self._apply_one(claim, replace(command, defer_seats=False, give_seats=True))

    def _open(self, claim: Claim, record: RunRecord) -> RunRecord:
        with self.unit_of_work.write() as writer:
            self._check_fence(writer, claim)
            writer.interrupt_runs(record.directory_id, self.clock())
            ledger = self._ledger(claim, writer)
            released = None
            if record.approved_by:
                released = ledger.record(
                    "guard.released",
                    (_target(record.directory_id),),
                    (FieldChange("plan_hash", None, record.plan_hash),),
                    reason=Reason("approved"),
                )
            event_id = ledger.record(
                "sync.started",
                (_target(record.directory_id),),
                (FieldChange("plan_hash", None, record.plan_hash),),
                parent=released,
            )
            record = replace(record, started_event=event_id)
            writer.insert_run(record)
            writer.append_events(ledger.rows)
        return record

    def _close(
        self, claim: Claim, record: RunRecord, *, waiting_out: tuple[tuple[ExternalId, int], ...] = ()
    ) -> RunRecord:
        now = self.clock()
        record = replace(record, finished_at=now)
        with self.unit_of_work.write() as writer:
            self._check_fence(writer, claim)
            if record.started_event is None:
                writer.insert_run(record)
            if waiting_out:
                writer.set_absent_runs(record.directory_id, dict(waiting_out))
            ledger = self._ledger(claim, writer)
            self._record_end(ledger, claim, record)
            succeeded = record.state in {"completed", "partial"}
            writer.finish_run(
                record,
                next_run_at=next_run_at(claim.directory, now, failed=record.state == "failed"),
                succeeded=succeeded,
            )
            writer.append_events(ledger.rows)
        return record

    def _record_end(self, ledger: Ledger, claim: Claim, record: RunRecord) -> None:
        actions = {"failed": "sync.failed", "blocked": "sync.blocked"}
        outcomes = {"failed": Outcome.FAILURE, "blocked": Outcome.DENIED}
        outcome = outcomes.get(record.state, Outcome.SUCCESS if record.started_event else Outcome.NOOP)
        changes: list[FieldChange] = [
            FieldChange(name, None, value) for name, value in sorted(record.counters.items())
        ]
        named: dict[str, JSONValue] = {"plan_hash": record.plan_hash, "state": record.state}
        changes.extend(FieldChange(name, None, value) for name, value in named.items() if value)
        parent = record.started_event
        if claim.approval and record.state == "blocked":
            parent = ledger.record(
                "guard.refused",
                (_target(record.directory_id),),
                (FieldChange("plan_hash", claim.approval, record.plan_hash),),
                outcome=Outcome.DENIED,
                reason=Reason("approval_mismatch"),
            )
        ledger.record(
            actions.get(record.state, "sync.completed"),
            (_target(record.directory_id),),
            tuple(changes),
            parent=parent,
            outcome=outcome,
            reason=Reason(_slug(record), (("text", record.reason[:400]),)) if record.reason else None,
        )

    def _ledger(self, claim: Claim, writer: Writer) -> Ledger:
        return Ledger(
            organisation_id=writer.organisation().organisation_id,
            actor=RunActor(claim.run_id, claim.directory.directory_id),
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
    return max(now + min(interval, timedelta(seconds=1)), due)


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
