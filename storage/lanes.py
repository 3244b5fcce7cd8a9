"""Deliveries as rows, whoever's they are: found when they are due, held by a lease, and refused to an old fence."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.engine import Connection

from directory.ids import OrganisationId
from provisioning.streaming import ACTIVE, DueLane, HeldLane, Lane
from storage.across import Across
from storage.audit_tables import audit_edge
from storage.engine import Database
from storage.sealed_events import SQLSealedLog
from storage.types import Id, Moment, RowNumber, read_moment, read_optional_moment
from storage.view import Row

MOST_OF_ONE: Final = 100
"""Due deliveries of one receiver that are named at once, so that none hides those of others."""

_AT = bindparam("at", type_=Moment)
_STREAM = bindparam("of_stream", type_=Id)
_ORGANISATION = bindparam("of_organisation", type_=Id)
_TRACK = bindparam("of_track", type_=Text)


@dataclass(frozen=True, slots=True)
class LaneStatements:
    """What is asked of one table of deliveries."""

    any: Executable
    due: Executable
    claim: Executable
    save: Executable
    finish: Executable


def lane_columns(lanes: Table) -> tuple[ColumnElement[object], ...]:
    """In the order that `read_lane` takes them."""
    column = lanes.c
    return (
        column.stream_id,
        column.organisation_id,
        column.track,
        column.position,
        column.due_at,
        column.until,
        column.batch_last,
        column.size,
        column.attempts,
        column.dead_in_row,
        column.acknowledged_at,
        column.trouble,
        column.fence,
    )


def read_lane(row: Row) -> Lane:
    return Lane(
        stream_id=row[0],
        organisation_id=row[1],
        track=row[2],
        position=row[3],
        due_at=read_moment(row[4]),
        until=row[5],
        batch_last=row[6],
        size=row[7],
        attempts=row[8],
        dead_in_row=row[9],
        acknowledged_at=read_optional_moment(row[10]),
        trouble=row[11],
        fence=row[12],
    )


def make_lane_statements(
    lanes: Table, owners: Table, *, is_sent: ColumnElement[bool] | None = None
) -> LaneStatements:
    """`owners` are what deliveries belong to; `is_sent` says to which of them anything is sent."""
    lane, owner = lanes.c, owners.c
    is_active = and_(owner.id == lane.stream_id, owner.state == ACTIVE, owner.removed_at.is_(None))
    is_due = and_(lane.due_at <= _AT, or_(lane.lease_until.is_(None), lane.lease_until <= _AT))
    is_lane = and_(lane.stream_id == _STREAM, lane.organisation_id == _ORGANISATION, lane.track == _TRACK)
    is_held = and_(is_lane, lane.fence == bindparam("of_fence", type_=RowNumber))
    ranked = (
        select(
            lane.stream_id,
            lane.track,
            owner.host,
            lane.organisation_id,
            lane.due_at,
            func.row_number().over(partition_by=owner.host, order_by=lane.due_at).label("turn"),
        )
        .select_from(
            lanes.join(owners, is_active).join(
                audit_edge,
                and_(
                    audit_edge.c.organisation_id == lane.organisation_id,
                    audit_edge.c.size > lane.position + 1,
                ),
            )
        )
        .where(is_due, true() if is_sent is None else is_sent)
        .subquery()
    )
    return LaneStatements(
        any=select(lane.stream_id).limit(1),
        # The longest due of each receiver, then the second of each, and so on.
        due=select(ranked.c.stream_id, ranked.c.track, ranked.c.host, ranked.c.organisation_id)
        .where(ranked.c.turn <= MOST_OF_ONE)
        .order_by(ranked.c.turn, ranked.c.due_at)
        .limit(bindparam("row_limit", type_=Integer)),
        claim=update(lanes)
        .values(
            owner=bindparam("new_owner", type_=Text),
            lease_until=bindparam("new_lease", type_=Moment),
            fence=lane.fence + 1,
        )
        .where(is_lane, is_due, exists().where(is_active))
        .returning(*lane_columns(lanes)),
        save=update(lanes)
        .values(
            position=bindparam("new_position", type_=RowNumber),
            batch_last=bindparam("new_batch_last", type_=RowNumber),
            size=bindparam("new_size", type_=Integer),
            attempts=bindparam("new_attempts", type_=Integer),
            dead_in_row=bindparam("new_dead", type_=Integer),
            due_at=bindparam("new_due_at", type_=Moment),
            acknowledged_at=bindparam("new_acknowledged_at", type_=Moment),
            trouble=bindparam("new_trouble", type_=Text),
            lease_until=bindparam("new_lease", type_=Moment),
        )
        .where(is_held),
        finish=delete(lanes).where(is_held),
    )


class SQLLanes(ABC):
    """`provisioning.streaming.LaneStore` over one table of deliveries."""

    def __init__(self, database: Database, statements: LaneStatements) -> None:
        self._database = database
        self._statements = statements

    @abstractmethod
    def _hold(self, opened: Connection, lane: Lane) -> HeldLane:
        """The delivery with what it belongs to, and the secrets of that."""

    def log(self, organisation_id: OrganisationId) -> SQLSealedLog:
        return SQLSealedLog(self._database, organisation_id)

    def due(self, at: datetime, limit: int) -> list[DueLane]:
        asked = self._statements
        with self._database.read() as opened:
            across = Across(self._database, opened)
            rows = across.rows(asked.due, at=at, row_limit=limit) if across.rows(asked.any) else []
        return [DueLane(*row) for row in rows]

    def claim(self, due: DueLane, owner: str, at: datetime, lease_until: datetime) -> HeldLane | None:
        with self._database.write() as opened:
            row = Across(self._database, opened).row(
                self._statements.claim,
                of_stream=due.stream_id,
                of_organisation=due.organisation_id,
                of_track=due.track,
                at=at,
                new_owner=owner,
                new_lease=lease_until,
            )
            return None if row is None else self._hold(opened, read_lane(row))

    def save(self, lane: Lane, *, lease_until: datetime | None) -> bool:
        # A range that is sent next must outlive a power cut, or the same id would come with other events.
        write = self._database.write if lane.batch_last is None else self._database.write_durably
        with write() as opened:
            return bool(
                Across(self._database, opened).run(
                    self._statements.save,
                    **_named(lane),
                    new_position=lane.position,
                    new_batch_last=lane.batch_last,
                    new_size=lane.size,
                    new_attempts=lane.attempts,
                    new_dead=lane.dead_in_row,
                    new_due_at=lane.due_at,
                    new_acknowledged_at=lane.acknowledged_at,
                    new_trouble=lane.trouble,
                    new_lease=lease_until,
                )
            )

    def finish(self, lane: Lane) -> bool:
        with self._database.write() as opened:
            return bool(Across(self._database, opened).run(self._statements.finish, **_named(lane)))


def _named(lane: Lane) -> Mapping[str, object]:
    return {
        "of_stream": lane.stream_id,
        "of_organisation": lane.organisation_id,
        "of_track": lane.track,
        "of_fence": lane.fence,
    }
