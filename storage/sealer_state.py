"""The sealer's own row and the keys of the log: who seals until when, how far, and what signs."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Integer, Text, bindparam, insert, or_, select, update
from sqlalchemy.engine import Connection

from directory.ids import EventId
from provisioning.sealing import SealStatus, Signer, StoredLogKey
from storage.audit_tables import SEALER, audit_sealer, log_key
from storage.engine import Database
from storage.tables import audit_event
from storage.types import Id, Moment, read_moment, read_optional_moment
from storage.view import Row, fetch_rows
from storage.waiting_events import COUNT_UNSEALED, SELECT_ANY

LONGEST_LEASE: Final = timedelta(minutes=10)
"""A lease that ends later than this from now was given by a clock that has since gone back."""

_SEALERS = audit_sealer.c
_IS_SEALER = _SEALERS.name == SEALER
_AT = bindparam("at", type_=Moment)
_UNTIL = bindparam("new_lease_until", type_=Moment)
_FENCE = bindparam("held_fence", type_=Integer)
_CLAIM = (
    update(audit_sealer)
    .values(owner=bindparam("new_owner", type_=Text), lease_until=_UNTIL, fence=_SEALERS.fence + 1)
    .where(
        _IS_SEALER,
        or_(
            _SEALERS.lease_until.is_(None),
            _SEALERS.lease_until <= _AT,
            _SEALERS.lease_until > bindparam("latest", type_=Moment),
            _SEALERS.owner == bindparam("new_owner", type_=Text),
        ),
    )
    .returning(_SEALERS.fence)
)
_RELEASE = update(audit_sealer).values(owner="", lease_until=None).where(_IS_SEALER, _SEALERS.fence == _FENCE)
_STATUS = select(
    _SEALERS.sealed_at,
    _SEALERS.owner,
    _SEALERS.lease_until,
    _SEALERS.fence,
    _SEALERS.horizon,
    _SEALERS.replayed_at,
    _SEALERS.replay_misfits,
).where(_IS_SEALER)
_CLAIM_REPLAY = (
    update(audit_sealer)
    .values(replayed_at=_AT)
    .where(
        _IS_SEALER,
        or_(_SEALERS.replayed_at.is_(None), _SEALERS.replayed_at <= bindparam("before", type_=Moment)),
    )
)
_NOTE_REPLAY = (
    update(audit_sealer).values(replay_misfits=bindparam("misfits", type_=Integer)).where(_IS_SEALER)
)
_LOG_NAME = select(_SEALERS.log_name).where(_IS_SEALER)

_KEYS = select(
    log_key.c.key_id,
    log_key.c.vkey,
    log_key.c.created_at,
    log_key.c.announced_row,
    log_key.c.active_at,
    log_key.c.retired_at,
).order_by(log_key.c.announced_row)
_ROW_OF_EVENT = select(audit_event.c.id).where(audit_event.c.event_id == bindparam("of_event", type_=Id))
_RETIRE = (
    update(log_key)
    .values(retired_at=_AT)
    .where(log_key.c.key_id.in_(bindparam("of_keys", type_=Text, expanding=True)))
)
_BEGIN_ANEW = update(audit_sealer).values(horizon=0, target=0, position=0).where(_IS_SEALER)
# Rows that came with a dump from a server that had counted further: here their transactions lie in the future.
_SETTLE = (
    "LOCK TABLE audit_event IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only",
    "UPDATE audit_event SET xid = pg_current_xact_id() WHERE xid > pg_current_xact_id()",
    "ALTER TABLE audit_event ENABLE TRIGGER audit_event_append_only",
)


class SealerState:
    """The part of the port `Sealing` that seals nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has_unsealed(self) -> bool:
        with self._database.read() as connection:
            parameters = {"horizon": _status_row(connection)[4]}
            return bool(fetch_rows(connection, SELECT_ANY[self._database.is_sqlite], parameters))

    def status(self) -> SealStatus:
        with self._database.read() as connection:
            row = _status_row(connection)
            statement = COUNT_UNSEALED[self._database.is_sqlite]
            unsealed, oldest = fetch_rows(connection, statement, {"horizon": row[4]})[0]
        return SealStatus(
            unsealed,
            read_optional_moment(oldest),
            read_optional_moment(row[0]),
            row[1],
            read_optional_moment(row[2]),
            row[3],
            read_optional_moment(row[5]),
            row[6],
        )

    def log_name(self) -> str:
        with self._database.read() as connection:
            return str(fetch_rows(connection, _LOG_NAME, {})[0][0])

    def claim_replay(self, at: datetime, before: datetime) -> bool:
        with self._database.write() as connection:
            claimed = connection.execute(_CLAIM_REPLAY, {"at": at, "before": before})
            return claimed.rowcount == 1

    def note_replay(self, misfits: int) -> None:
        with self._database.write() as connection:
            connection.execute(_NOTE_REPLAY, {"misfits": misfits})

    def log_keys(self) -> list[StoredLogKey]:
        with self._database.read() as connection:
            return read_keys(connection)

    def claim(self, owner: str, at: datetime, lease_until: datetime) -> int | None:
        parameters = {
            "new_owner": owner,
            "new_lease_until": lease_until,
            "at": at,
            "latest": at + LONGEST_LEASE,
        }
        with self._database.write() as connection:
            return connection.execute(_CLAIM, parameters).scalar_one_or_none()

    def release(self, fence: int) -> None:
        with self._database.write() as connection:
            connection.execute(_RELEASE, {"held_fence": fence})

    def announce_key(self, key: Signer, event_id: EventId, at: datetime) -> None:
        with self._database.write() as connection:
            row = fetch_rows(connection, _ROW_OF_EVENT, {"of_event": event_id})[0][0]
            connection.execute(
                insert(log_key),
                {"key_id": key.key_id, "vkey": key.vkey, "created_at": at, "announced_row": row},
            )

    def retire_keys(self, key_ids: frozenset[str], at: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(_RETIRE, {"at": at, "of_keys": sorted(key_ids)})

    def begin_anew(self) -> None:
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                for statement in _SETTLE:
                    connection.exec_driver_sql(statement)
            connection.execute(_BEGIN_ANEW)


def _status_row(connection: Connection) -> Row:
    return fetch_rows(connection, _STATUS, {})[0]


def read_keys(connection: Connection) -> list[StoredLogKey]:
    return [
        StoredLogKey(
            row[0],
            row[1],
            read_moment(row[2]),
            row[3],
            read_optional_moment(row[4]),
            read_optional_moment(row[5]),
        )
        for row in fetch_rows(connection, _KEYS, {})
    ]
