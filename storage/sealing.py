"""The sealer's transactions: events that are committed get their place in the tree, signed in the same transaction.

Unsealed means absent from `audit_leaf`, never "of a higher row": an open transaction may hold a lower one. On
PostgreSQL a batch takes what was written by transactions that are all over (below the horizon of the snapshot), so
that no row comes to light behind it. On SQLite there is one writer, and the order of rows is that of commits.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, LargeBinary, Text, and_, bindparam, func, insert, select, text, update
from sqlalchemy.engine import Connection

from audit.checkpoint import Checkpoint, split_note
from audit.tree import RightEdge
from directory.ids import OrganisationId
from provisioning.sealing import (
    HEADS_LOG,
    SERVICE_LOG,
    Growth,
    SealedBatch,
    Signer,
    grow,
    log_origin,
    sign_checkpoint,
)
from storage.audit_tables import (
    SEALER,
    audit_checkpoint,
    audit_edge,
    audit_leaf,
    audit_mark,
    audit_node,
    audit_sealer,
    log_key,
)
from storage.bulk import BulkInsert
from storage.errors import LogForkedError, LogKeyMissingError
from storage.sealed_log import SealedLog, read_edge
from storage.sealer_state import SealerState, read_keys
from storage.types import Id, Moment, RowNumber, read_moment
from storage.view import Row, fetch_rows
from storage.waiting_events import (
    FIRST_UNSEALED,
    SELECT_BATCH,
    SNAPSHOT_HORIZON,
)

_SEALERS = audit_sealer.c
_IS_SEALER = _SEALERS.name == SEALER
_AT = bindparam("at", type_=Moment)
_UNTIL = bindparam("new_lease_until", type_=Moment)
_FENCE = bindparam("held_fence", type_=Integer)
# Locks the row: of two sealers one waits here, and then finds that its fence is no longer the one.
_RENEW = (
    update(audit_sealer)
    .values(lease_until=_UNTIL)
    .where(_IS_SEALER, _SEALERS.fence == _FENCE)
    .returning(_SEALERS.log_name, _SEALERS.horizon, _SEALERS.target, _SEALERS.position)
)
_MOVE = (
    update(audit_sealer)
    .values(
        log_name=bindparam("new_name", type_=Text),
        horizon=bindparam("new_horizon", type_=RowNumber),
        target=bindparam("new_target", type_=RowNumber),
        position=bindparam("new_position", type_=RowNumber),
        sealed_at=func.coalesce(bindparam("new_sealed_at", type_=Moment), _SEALERS.sealed_at),
    )
    .where(_IS_SEALER)
)
_ACTIVATE = (
    update(log_key)
    .values(active_at=_AT)
    .where(
        log_key.c.active_at.is_(None),
        log_key.c.retired_at.is_(None),
        select(audit_leaf.c.event_row).where(audit_leaf.c.event_row == log_key.c.announced_row).exists(),
    )
)

_ORGANISATIONS = bindparam("of_organisations", type_=Id, expanding=True)
_SIGNED = audit_checkpoint.c
_ANY_SIZE = audit_checkpoint.alias("any_size").c
_LAST_SIGNED = (
    select(_ANY_SIZE.size)
    .where(_ANY_SIZE.organisation_id == audit_edge.c.organisation_id)
    .order_by(_ANY_SIZE.size.desc())
    .limit(1)
    .scalar_subquery()
)
# Each edge with the checkpoint that was signed last.
_EDGES = (
    select(audit_edge.c.organisation_id, audit_edge.c.size, audit_edge.c.peaks, _SIGNED.size, _SIGNED.root)
    .select_from(
        audit_edge.outerjoin(
            audit_checkpoint,
            and_(_SIGNED.organisation_id == audit_edge.c.organisation_id, _SIGNED.size == _LAST_SIGNED),
        )
    )
    .where(audit_edge.c.organisation_id.in_(_ORGANISATIONS))
)
_ANY_SIGNED = select(_SIGNED.organisation_id).where(_SIGNED.organisation_id.in_(_ORGANISATIONS)).limit(1)
_PUT_EDGE = text(
    "INSERT INTO audit_edge (organisation_id, size, peaks) VALUES (:organisation_id, :size, :peaks) "
    "ON CONFLICT (organisation_id) DO UPDATE SET size = excluded.size, peaks = excluded.peaks"
).bindparams(
    bindparam("organisation_id", type_=Id),
    bindparam("size", type_=RowNumber),
    bindparam("peaks", type_=LargeBinary),
)
# A later leaf of an hour that has a mark changes nothing.
_INSERT_MARKS = BulkInsert(audit_mark, "organisation_id", "hour", "first_leaf", ignore_present=True)
_INSERT_LEAVES = BulkInsert(audit_leaf, "event_row", "organisation_id", "leaf_index", "leaf", "sealed_at")
_INSERT_NODES = BulkInsert(audit_node, "organisation_id", "level", "node_index", "hash")
_INSERT_CHECKPOINTS = BulkInsert(
    audit_checkpoint, "organisation_id", "size", "root", "note", "sealed_at", "head_index"
)


@dataclass(frozen=True, slots=True)
class _Position:
    """How far the sealer is; `audit_sealer` says what the numbers are."""

    log_name: str
    horizon: int
    target: int
    position: int


class SQLSealing(SealerState):
    """The port `Sealing` over one database."""

    def seal_batch(
        self,
        fence: int,
        signers: Mapping[str, Signer],
        known_head: Checkpoint | None,
        *,
        at: datetime,
        lease_until: datetime,
        limit: int,
    ) -> SealedBatch | None:
        with self._database.write_durably() as connection:
            renewed = connection.execute(
                _RENEW, {"held_fence": fence, "new_lease_until": lease_until}
            ).first()
            if renewed is None:
                return None
            batch = _Batch(connection, _Position(*renewed), at, is_sqlite=self._database.is_sqlite)
            return batch.seal(signers, known_head, limit)

    @contextlib.contextmanager
    def read(self, organisation_id: OrganisationId) -> Iterator[SealedLog]:
        with self._database.read() as connection:
            yield SealedLog(self._database, connection, organisation_id)


class _Batch:
    """One transaction of the sealer, under its fence."""

    def __init__(self, connection: Connection, position: _Position, at: datetime, *, is_sqlite: bool) -> None:
        self._connection = connection
        self._position = position
        self._at = at
        self._is_sqlite = is_sqlite

    def seal(self, signers: Mapping[str, Signer], known_head: Checkpoint | None, limit: int) -> SealedBatch:
        start = self._position if self._is_sqlite else self._aim()
        signing = self._pick_signers(signers)
        parameters: dict[str, object] = {"horizon": start.horizon, "row_limit": limit}
        if not self._is_sqlite:
            parameters |= {"position": start.position, "target": start.target}
        rows = fetch_rows(self._connection, SELECT_BATCH[self._is_sqlite], parameters)
        is_drained = len(rows) < limit
        head = self._append(rows, signing, known_head) if rows else ""
        self._move(start, rows, is_drained=is_drained, log_name=signing[0].name)
        if is_drained:
            self._connection.execute(_ACTIVATE, {"at": self._at})
        return SealedBatch(len(rows), is_drained, head)

    def _aim(self) -> _Position:
        """Where this batch begins and ends: the rest of what an earlier one was cut off from, or all that is over."""
        start = self._position
        if start.target:
            return start
        target: int = fetch_rows(self._connection, SNAPSHOT_HORIZON, {})[0][0]
        if target < start.horizon:
            raise LogForkedError(
                "the database counts its transactions from an earlier number than the log does: it was restored into "
                "another server. Sealing stands still until you say 'usher audit declare-restore'"
            )
        first = fetch_rows(self._connection, FIRST_UNSEALED, {"horizon": start.horizon})[0][0]
        return _Position(start.log_name, start.horizon, target, 0 if first is None else first - 1)

    def _pick_signers(self, signers: Mapping[str, Signer]) -> list[Signer]:
        keys = read_keys(self._connection)
        if not keys:
            first = next(iter(signers.values()), None)
            if first is None:
                raise LogKeyMissingError(
                    "there is no key to sign the log with; 'usher db upgrade' or 'usher serve' makes one"
                )
            self._connection.execute(
                insert(log_key),
                {
                    "key_id": first.key_id,
                    "vkey": first.vkey,
                    "created_at": self._at,
                    "announced_row": 0,
                    "active_at": self._at,
                },
            )
            return [first]
        wanted = [key for key in keys if key.is_signing]
        missing = [key.vkey for key in wanted if key.key_id not in signers]
        if missing or not wanted:
            raise LogKeyMissingError(
                f"the log is signed by {', '.join(missing) or 'no key'}, and the private key is not here; copy the "
                "log key file from where the log was sealed until now, or restore it from your backup"
            )
        return [signers[key.key_id] for key in wanted]

    def _append(self, rows: Sequence[Row], signers: Sequence[Signer], known_head: Checkpoint | None) -> str:
        events: dict[OrganisationId, list[Row]] = {}
        for row in rows:
            events.setdefault(row[1] or SERVICE_LOG, []).append(row)
        edges = self._edges([*events, HEADS_LOG])
        self._check_head(edges[HEADS_LOG], known_head)
        log_name = self._position.log_name or signers[0].name
        growths = {
            organisation_id: grow(edges[organisation_id], [(row[0], row[3]) for row in own])
            for organisation_id, own in events.items()
        }
        notes = {
            organisation_id: sign_checkpoint(log_origin(log_name, organisation_id), growth.edge, signers)
            for organisation_id, growth in growths.items()
        }
        heads = edges[HEADS_LOG]
        head_leaves = [(0, split_note(note)[0].encode()) for note in notes.values()]
        head_growth = grow(heads, head_leaves)
        head = sign_checkpoint(log_origin(log_name, HEADS_LOG), head_growth.edge, signers)
        self._store(growths, head_growth)
        _INSERT_CHECKPOINTS(
            self._connection,
            [
                *(
                    (
                        log,
                        growths[log].edge.size,
                        growths[log].edge.root(),
                        note,
                        self._at,
                        heads.size + place,
                    )
                    for place, (log, note) in enumerate(notes.items())
                ),
                (HEADS_LOG, head_growth.edge.size, head_growth.edge.root(), head, self._at, None),
            ],
        )
        self._mark(events, edges)
        return head

    def _edges(self, organisation_ids: Sequence[OrganisationId]) -> dict[OrganisationId, RightEdge]:
        """The right edges, each the one that was signed last. Raises LogForkedError."""
        edges: dict[OrganisationId, RightEdge] = {}
        rows = self._connection.execute(_EDGES, {"of_organisations": organisation_ids})
        for log, size, peaks, signed_size, signed_root in rows:
            edge = edges[log] = read_edge(size, peaks)
            if size != signed_size or edge.root() != signed_root:
                raise _forked(log)
        fresh = [log for log in organisation_ids if log not in edges]
        if fresh:
            signed = self._connection.execute(_ANY_SIGNED, {"of_organisations": fresh}).scalars().first()
            if signed is not None:
                raise _forked(signed)
        return edges | dict.fromkeys(fresh, RightEdge())

    def _check_head(self, heads: RightEdge, known: Checkpoint | None) -> None:
        """Whether the database is at least as new as what was last signed from it."""
        if known is None:
            return
        statement = select(audit_checkpoint.c.root).where(
            audit_checkpoint.c.organisation_id == HEADS_LOG, audit_checkpoint.c.size == known.size
        )
        root = self._connection.execute(statement).scalar_one_or_none()
        if root is None or bytes(root) != known.root:
            raise LogForkedError(
                f"{known.size} checkpoints were signed, and the database, which has {heads.size}, does not hold "
                "them: it was restored from a backup, or is another. Sealing stands still until you say 'usher audit "
                "declare-restore'"
            )

    def _store(self, growths: Mapping[OrganisationId, Growth], heads: Growth) -> None:
        at = self._at
        _INSERT_LEAVES(
            self._connection,
            (
                (row, log, leaf_index, leaf, at)
                for log, growth in growths.items()
                for row, leaf_index, leaf in growth.rows
            ),
        )
        all_growths = {**growths, HEADS_LOG: heads}
        _INSERT_NODES(
            self._connection,
            [
                (log, node.level, node.index, node.hash)
                for log, growth in all_growths.items()
                for node in growth.nodes
            ],
        )
        self._connection.execute(
            _PUT_EDGE,
            [
                {"organisation_id": log, "size": growth.edge.size, "peaks": b"".join(growth.edge.peaks)}
                for log, growth in all_growths.items()
            ],
        )

    def _mark(
        self, events: Mapping[OrganisationId, Sequence[Row]], edges: Mapping[OrganisationId, RightEdge]
    ) -> None:
        """Mark the hours that the events say, and the one in which they are sealed."""
        hour_of = _hour_text if self._is_sqlite else _hour_moment
        sealed_in = _hour_moment(self._at)
        marks: dict[tuple[OrganisationId, Any], int] = {}
        for log, rows in events.items():
            for leaf_index, row in enumerate(rows, start=edges[log].size):
                marks.setdefault((log, hour_of(row[2])), leaf_index)
        hours = {
            (log, read_moment(f"{hour}:00:00" if self._is_sqlite else hour)): leaf
            for (log, hour), leaf in marks.items()
        }
        for log in events:
            hours[log, sealed_in] = edges[log].size
        _INSERT_MARKS(self._connection, [(log, hour, leaf) for (log, hour), leaf in hours.items()])

    def _move(self, start: _Position, rows: Sequence[Row], *, is_drained: bool, log_name: str) -> None:
        last = rows[-1][0] if rows else 0
        if self._is_sqlite:
            horizon, target, position = max(start.horizon, last), 0, 0
        elif is_drained:
            horizon, target, position = start.target, 0, 0
        else:
            horizon, target, position = start.horizon, start.target, last
        self._connection.execute(
            _MOVE,
            {
                "new_name": start.log_name or log_name,
                "new_horizon": horizon,
                "new_target": target,
                "new_position": position,
                "new_sealed_at": self._at if rows else None,
            },
        )


def _forked(log: str) -> LogForkedError:
    return LogForkedError(
        f"the tree of the log {log} is not the one that was signed last; nothing more is sealed. "
        "Look at it with 'usher audit verify'"
    )


def _hour_text(moment: str) -> str:
    return moment[:13]


def _hour_moment(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
