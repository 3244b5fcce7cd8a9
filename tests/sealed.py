"""Gives events their places in the log, as the sealer does, for tests that are about what comes behind it."""

from datetime import datetime

from sqlalchemy import text

from directory.ids import OrganisationId
from storage.engine import Database

_TABLE = (
    "CREATE TABLE IF NOT EXISTS audit_leaf (event_row BIGINT PRIMARY KEY, organisation_id {id} NOT NULL,"
    " leaf_index BIGINT NOT NULL, leaf {bytes} NOT NULL, sealed_at {moment} NOT NULL)"
)
_UNSEALED = text(
    "SELECT id FROM audit_event WHERE organisation_id = :organisation AND NOT EXISTS"
    " (SELECT 1 FROM audit_leaf WHERE event_row = audit_event.id) ORDER BY id"
)
_SIZE = text("SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_leaf WHERE organisation_id = :organisation")
_SEAL = text(
    "INSERT INTO audit_leaf (event_row, organisation_id, leaf_index, leaf, sealed_at)"
    " VALUES (:row, :organisation, :leaf_index, :leaf, :at)"
)
_TRIGGERS = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event'")
_REMOVE = text(
    "DELETE FROM audit_event WHERE id IN (SELECT event_row FROM audit_leaf"
    " WHERE organisation_id = :organisation AND leaf_index BETWEEN :first AND :last)"
)


def make_leaf_table(database: Database) -> None:
    """The table of leaves, unless it is there."""
    types = (
        {"id": "CHAR(36)", "bytes": "BLOB", "moment": "DATETIME"}
        if database.is_sqlite
        else {"id": "UUID", "bytes": "BYTEA", "moment": "TIMESTAMPTZ"}
    )
    with database.write() as opened:
        opened.execute(text(_TABLE.format(**types)))


def seal(database: Database, organisation_id: OrganisationId, at: datetime) -> int:
    """Seal what the organisation's log holds; the last position."""
    make_leaf_table(database)
    moment = at.replace(tzinfo=None) if database.is_sqlite else at
    with database.write() as opened:
        size = int(opened.execute(_SIZE, {"organisation": organisation_id}).scalar_one())
        rows = opened.execute(_UNSEALED, {"organisation": organisation_id}).scalars().all()
        if rows:
            opened.execute(
                _SEAL,
                [
                    {
                        "row": row,
                        "organisation": organisation_id,
                        "leaf_index": size + number,
                        "leaf": bytes(32),
                        "at": str(moment) if database.is_sqlite else moment,
                    }
                    for number, row in enumerate(rows)
                ],
            )
    return size + len(rows) - 1


def remove_events(database: Database, organisation_id: OrganisationId, first: int, last: int) -> None:
    """Do what the retention does: events go, leaves stay. The owner of tables can always lift what guards them."""
    with database.write() as opened:
        if database.is_sqlite:
            for name in opened.execute(_TRIGGERS).scalars().all():
                opened.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            opened.exec_driver_sql("ALTER TABLE audit_event DISABLE TRIGGER USER")
        opened.execute(_REMOVE, {"organisation": organisation_id, "first": first, "last": last})
