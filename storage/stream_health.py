"""How streams and webhooks of all organisations are, counted by the database."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, Table, Text, and_, case, func, literal, select

from provisioning.host_webhooks import HOST_WEBHOOK
from provisioning.streaming import ACTIVE, BACKING_OFF, LIVE
from storage.across import Across
from storage.audit_tables import audit_edge, audit_leaf
from storage.engine import Database
from storage.stream_tables import host_lane, host_webhook, stream, stream_lane
from storage.types import read_optional_moment


class StreamHealth(NamedTuple):
    """Of all streams of one kind in one state: how many, how many events wait, and since when the first of them."""

    kind: str
    state: str
    streams: int
    lag_events: int
    since: datetime | None


def _count(
    owners: Table, lanes: Table, kind: ColumnElement[str]
) -> Select[tuple[str, str, int, int, datetime]]:
    owner, lane = owners.c, lanes.c
    waiting = func.coalesce(audit_edge.c.size, 0) - 1 - lane.position
    # Each delivery in the state that it is in: a webhook that backs off for one organisation is told in both.
    state = case(
        (and_(owner.state == ACTIVE, lane.attempts > 0), literal(BACKING_OFF, Text)), else_=owner.state
    )
    return (
        select(
            kind.label("kind_told"),
            state.label("state_told"),
            func.count(owner.id.distinct()),
            func.coalesce(func.sum(case((waiting > 0, waiting), else_=0)), 0),
            func.min(audit_leaf.c.sealed_at),
        )
        .select_from(
            owners.join(lanes, and_(lane.stream_id == owner.id, lane.track == LIVE))
            .outerjoin(audit_edge, audit_edge.c.organisation_id == lane.organisation_id)
            .outerjoin(
                audit_leaf,
                and_(
                    audit_leaf.c.organisation_id == lane.organisation_id,
                    audit_leaf.c.leaf_index == lane.position + 1,
                ),
            )
        )
        .where(owner.removed_at.is_(None))
        # By names that no column has: PostgreSQL takes a column first.
        .group_by("kind_told", "state_told")
    )


_HEALTH = (
    _count(stream, stream_lane, stream.c.kind),
    _count(host_webhook, host_lane, literal(HOST_WEBHOOK, Text)),
)


def stream_health(database: Database) -> list[StreamHealth]:
    """Figures of every kind and state that there is."""
    with database.read() as opened:
        across = Across(database, opened)
        rows = [row for statement in _HEALTH for row in across.rows(statement)]
    return [
        StreamHealth(row[0], row[1], int(row[2]), int(row[3]), read_optional_moment(row[4])) for row in rows
    ]
