"""Runs of pulled directories, and the fence that keeps an overtaken run from writing."""

from datetime import datetime

from sqlalchemy import Boolean, Integer, Text, bindparam, case, delete, insert, or_, select, update

from directory.ids import DirectoryId
from provisioning.state import Cursor, RunRecord
from storage.tables import directory, run
from storage.types import Document, Id, Moment, RowNumber, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View, is_own

_RUNS = run.c
_DIRECTORIES = directory.c
_RUN_IS_OWN = is_own(_RUNS.organisation_id)
_DIRECTORY = bindparam("of_directory", type_=Id)
_FENCE = bindparam("held_fence", type_=RowNumber)
_SUCCEEDED = bindparam("succeeded", type_=Boolean)

_RUNS_NEWEST_FIRST = (
    select(
        _RUNS.id,
        _RUNS.directory_id,
        _RUNS.fence,
        _RUNS.state,
        _RUNS.started_at,
        _RUNS.started_event,
        _RUNS.finished_at,
        _RUNS.counters,
        _RUNS.reason,
        _RUNS.plan_hash,
        _RUNS.source_hash,
        _RUNS.plan,
        _RUNS.approved_by,
        _RUNS.method,
        _RUNS.method_reason,
    )
    .order_by(_RUNS.started_at.desc(), _RUNS.id.desc())
    .limit(bindparam("row_limit", type_=Integer))
)
_SELECT_RUNS = _RUNS_NEWEST_FIRST.where(_RUNS.organisation_id == ORGANISATION)
_SELECT_RUNS_OF_DIRECTORY = _RUNS_NEWEST_FIRST.where(_RUN_IS_OWN, _RUNS.directory_id == _DIRECTORY)
# By the fence and not by the clock: the clocks of two workers may differ, the fence counts every claim.
_LATEST_FIRST = (_RUNS.fence.desc(), _RUNS.started_at.desc(), _RUNS.id.desc())
_SELECT_APPLIED_RUNS = (
    _SELECT_RUNS_OF_DIRECTORY.where(_RUNS.started_event.is_not(None)).order_by(None).order_by(*_LATEST_FIRST)
)
_IDS_LATEST_FIRST = (
    select(_RUNS.id).where(_RUN_IS_OWN, _RUNS.directory_id == _DIRECTORY).order_by(*_LATEST_FIRST)
)
# What the next run looks back at stays, however old it is.
_DELETE_OLD_RUNS = delete(run).where(
    _RUN_IS_OWN,
    _RUNS.directory_id == _DIRECTORY,
    _RUNS.state != "running",
    _RUNS.id.not_in(_IDS_LATEST_FIRST.where(_RUNS.started_event.is_not(None)).limit(1)),
    or_(
        _RUNS.started_at < bindparam("before", type_=Moment),
        _RUNS.id.in_(_IDS_LATEST_FIRST.offset(bindparam("kept", type_=Integer))),
    ),
)
_INTERRUPT_RUNS = (
    update(run)
    .values(state="interrupted", finished_at=bindparam("at", type_=Moment))
    .where(_RUN_IS_OWN, _RUNS.directory_id == _DIRECTORY, _RUNS.state == "running")
)
_INSERT_RUN = insert(run)
_FINISH_RUN = (
    update(run)
    .values(
        state=bindparam("new_state", type_=Text),
        started_event=bindparam("new_started_event", type_=Id),
        finished_at=bindparam("new_finished_at", type_=Moment),
        counters=bindparam("new_counters", type_=Document),
        reason=bindparam("new_reason", type_=Text),
        plan_hash=bindparam("new_plan_hash", type_=Text),
        source_hash=bindparam("new_source_hash", type_=Text),
        plan=bindparam("new_plan", type_=Document),
        approved_by=bindparam("new_approved_by", type_=Text),
        method=bindparam("new_method", type_=Text),
        method_reason=bindparam("new_method_reason", type_=Text),
    )
    .where(_RUN_IS_OWN, _RUNS.id == bindparam("of_run", type_=Id))
)

_HOLDS_FENCE = (
    (_DIRECTORIES.organisation_id == ORGANISATION)
    & (_DIRECTORIES.id == _DIRECTORY)
    & (_DIRECTORIES.fence == _FENCE)
    & _DIRECTORIES.lease_owner.is_not(None)
)
_RENEW_LEASE = (
    update(directory).values(lease_until=bindparam("new_lease_until", type_=Moment)).where(_HOLDS_FENCE)
)
_SAVE_CURSOR = update(directory).values(cursor=bindparam("new_cursor", type_=Document)).where(_HOLDS_FENCE)
_END_LEASE = (
    update(directory)
    .values(
        lease_owner=None,
        lease_until=None,
        next_run_at=bindparam("new_next_run_at", type_=Moment),
        failures=case((_SUCCEEDED, 0), else_=_DIRECTORIES.failures + 1),
        last_success_at=case(
            (_SUCCEEDED, bindparam("new_finished_at", type_=Moment)), else_=_DIRECTORIES.last_success_at
        ),
    )
    .where(_HOLDS_FENCE)
)


def _read_run(row: Row) -> RunRecord:
    return RunRecord(
        run_id=row[0],
        directory_id=row[1],
        fence=row[2],
        state=row[3],
        started_at=read_moment(row[4]),
        started_event=row[5],
        finished_at=read_optional_moment(row[6]),
        counters=read_document(row[7]),
        reason=row[8],
        plan_hash=row[9],
        source_hash=row[10],
        plan=read_document(row[11]),
        approved_by=row[12],
        method=row[13],
        method_reason=row[14],
    )


def _cursor_document(cursor: Cursor) -> dict[str, object]:
    return {
        "method": cursor.method,
        "binding": dict(cursor.binding),
        "mark": dict(cursor.mark),
        "full_at": None if cursor.full_at is None else cursor.full_at.isoformat(),
        "full_due": cursor.full_due,
        "server": cursor.server,
        "doubted_runs": cursor.doubted_runs,
    }


class RunsReader(View):
    """Runs as recorded."""

    def runs(self, directory_id: DirectoryId | None, limit: int) -> list[RunRecord]:
        if directory_id is None:
            return [_read_run(row) for row in self._rows(_SELECT_RUNS, row_limit=limit)]
        rows = self._rows(_SELECT_RUNS_OF_DIRECTORY, of_directory=directory_id, row_limit=limit)
        return [_read_run(row) for row in rows]

    def last_applied_run(self, directory_id: DirectoryId) -> RunRecord | None:
        row = self._row(_SELECT_APPLIED_RUNS, of_directory=directory_id, row_limit=1)
        return None if row is None else _read_run(row)


class RunsWriter(RunsReader):
    """Runs as they begin and end."""

    def check_fence(self, directory_id: DirectoryId, fence: int, lease_until: datetime) -> bool:
        renewed = self._run(
            _RENEW_LEASE, of_directory=directory_id, held_fence=fence, new_lease_until=lease_until
        )
        return renewed == 1

    def interrupt_runs(self, directory_id: DirectoryId, at: datetime) -> int:
        return self._run(_INTERRUPT_RUNS, of_directory=directory_id, at=at)

    def delete_runs(self, directory_id: DirectoryId, before: datetime, kept: int) -> int:
        return self._run(_DELETE_OLD_RUNS, of_directory=directory_id, before=before, kept=kept)

    def insert_run(self, run: RunRecord) -> None:
        self._insert(
            _INSERT_RUN,
            id=run.run_id,
            directory_id=run.directory_id,
            fence=run.fence,
            state=run.state,
            started_at=run.started_at,
            started_event=run.started_event,
            finished_at=run.finished_at,
            counters=run.counters,
            reason=run.reason,
            plan_hash=run.plan_hash,
            source_hash=run.source_hash,
            plan=run.plan,
            approved_by=run.approved_by,
            method=run.method,
            method_reason=run.method_reason,
        )

    def save_cursor(self, directory_id: DirectoryId, fence: int, cursor: Cursor) -> None:
        self._run(
            _SAVE_CURSOR, of_directory=directory_id, held_fence=fence, new_cursor=_cursor_document(cursor)
        )

    def finish_run(self, run: RunRecord, *, next_run_at: datetime | None, succeeded: bool) -> None:
        """A run that was overtaken writes its own end, but leaves the directory to the run that has it."""
        self._run(
            _FINISH_RUN,
            of_run=run.run_id,
            new_state=run.state,
            new_started_event=run.started_event,
            new_finished_at=run.finished_at,
            new_counters=run.counters,
            new_reason=run.reason,
            new_plan_hash=run.plan_hash,
            new_source_hash=run.source_hash,
            new_plan=run.plan,
            new_approved_by=run.approved_by,
            new_method=run.method,
            new_method_reason=run.method_reason,
        )
        self._run(
            _END_LEASE,
            of_directory=run.directory_id,
            held_fence=run.fence,
            new_next_run_at=next_run_at,
            new_finished_at=run.finished_at,
            succeeded=succeeded,
        )
