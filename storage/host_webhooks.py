"""Webhooks to host applications as they are stored, and a delivery for each organisation of their environment."""

from collections.abc import Collection, Mapping
from datetime import datetime

import orjson
from sqlalchemy import (
    ColumnElement,
    Insert,
    Integer,
    LargeBinary,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.engine import Connection

from directory.facts import name_key
from directory.ids import OrganisationId, StreamId
from provisioning.host_webhooks import HostFacts, HostProgress, HostWebhook
from provisioning.streaming import ACTIVE, BEFORE_FIRST, LIVE, MOST_EVENTS, DeadLetter, HeldLane, Lane
from storage.across import Across
from storage.audit_tables import audit_edge, audit_leaf
from storage.engine import Database
from storage.lanes import SQLLanes, lane_columns, make_lane_statements, read_lane
from storage.sealed_events import SQLSealedLog
from storage.sealed_places import host_webhook_place
from storage.sets import in_set
from storage.stream_tables import host_dead_letter, host_lane, host_webhook
from storage.tables import organisation, scope
from storage.types import Id, Moment, RowNumber, read_document, read_moment, read_optional_moment
from storage.view import Row

_AT = bindparam("at", type_=Moment)
_WEBHOOK = bindparam("of_webhook", type_=Id)
_ORGANISATION = bindparam("of_organisation", type_=Id)
_LIMIT = bindparam("row_limit", type_=Integer)

_HOOKS, _LANES, _LETTERS = host_webhook.c, host_lane.c, host_dead_letter.c
_STATEMENTS = make_lane_statements(host_lane, host_webhook)
_COLUMNS: tuple[ColumnElement[object], ...] = (
    _HOOKS.id,
    _HOOKS.environment_id,
    _HOOKS.name,
    _HOOKS.url,
    _HOOKS.events,
    _HOOKS.state,
    _HOOKS.reason,
    _HOOKS.version,
    _HOOKS.created_at,
    _HOOKS.fingerprints,
)
_IS_THERE = _HOOKS.removed_at.is_(None)
_IS_IT = and_(_HOOKS.id == _WEBHOOK, _IS_THERE)
_SELECT_ALL = select(*_COLUMNS).where(_IS_THERE)
_SELECT_ONE = select(*_COLUMNS).where(_IS_IT)
_SELECT_SECRETS = select(_HOOKS.secrets).where(_IS_IT)
_SELECT_BY_TOKEN = _SELECT_ALL.where(
    _HOOKS.token_sha256 == bindparam("digest", type_=LargeBinary), _HOOKS.state == ACTIVE
)
_CHANGED = ("name", "url", "events", "host", "state", "reason", "version", "fingerprints", "updated_at")
_UPDATE = (
    update(host_webhook)
    .values({name: bindparam(f"new_{name}", type_=_HOOKS[name].type) for name in _CHANGED})
    .where(_IS_IT)
)
_INSERT = insert(host_webhook)
_PUT_SECRETS = update(host_webhook).values(secrets=bindparam("sealed", type_=LargeBinary)).where(_IS_IT)
_PUT_TOKEN = update(host_webhook).values(token_sha256=bindparam("digest", type_=LargeBinary)).where(_IS_IT)
_STOP = (
    update(host_webhook)
    .values(
        state=bindparam("new_state", type_=Text), reason=bindparam("new_reason", type_=Text), updated_at=_AT
    )
    .where(_IS_IT, _HOOKS.state == ACTIVE)
    .returning(*_COLUMNS)
)
_REMOVE = update(host_webhook).values(removed_at=_AT, token_sha256=None, secrets=None).where(_IS_IT)
_FORGET_LANES = delete(host_lane).where(_LANES.stream_id == _WEBHOOK)
_WAKE = (
    update(host_lane)
    .values(due_at=_AT, attempts=0, dead_in_row=0, trouble="")
    .where(_LANES.stream_id == _WEBHOOK)
)

_IS_SERVED = and_(
    _IS_THERE,
    organisation.c.environment_id == _HOOKS.environment_id,
    ~exists().where(_LANES.stream_id == _HOOKS.id, _LANES.organisation_id == organisation.c.id),
)
_ANY_NEW = select(_HOOKS.id).select_from(host_webhook.join(organisation, _IS_SERVED)).limit(1)
_BEGUN = (
    "stream_id",
    "organisation_id",
    "track",
    "position",
    "size",
    "attempts",
    "dead_in_row",
    "due_at",
    "trouble",
    "owner",
    "fence",
)


def _begin(where: ColumnElement[bool], position: ColumnElement[int]) -> Insert:
    """Make a delivery for every organisation that has none, at a position of its log."""
    return insert(host_lane).from_select(
        _BEGUN,
        select(
            _HOOKS.id,
            organisation.c.id,
            literal(LIVE, Text),
            position,
            literal(MOST_EVENTS, Integer),
            literal(0, Integer),
            literal(0, Integer),
            _AT,
            literal("", Text),
            literal("", Text),
            literal(0, RowNumber),
        )
        .select_from(
            host_webhook.join(organisation, _IS_SERVED).outerjoin(
                audit_edge, audit_edge.c.organisation_id == organisation.c.id
            )
        )
        .where(where),
    )


_FROM_FIRST: ColumnElement[int] = literal(BEFORE_FIRST, RowNumber)
_BEGIN_NEW = _begin(true(), _FROM_FIRST)
_BEGIN_AT_FIRST = _begin(_IS_IT, _FROM_FIRST)
_BEGIN_HERE = _begin(_IS_IT, func.coalesce(audit_edge.c.size, 0) - 1)

_WAITING = func.coalesce(audit_edge.c.size, 0) - 1 - _LANES.position
_WITH_EDGE = host_lane.outerjoin(audit_edge, audit_edge.c.organisation_id == _LANES.organisation_id)
_PROGRESS = (
    select(
        func.count(),
        func.count(audit_leaf.c.event_row),
        func.coalesce(func.sum(_WAITING), 0),
        func.min(audit_leaf.c.sealed_at),
        func.coalesce(func.max(_LANES.attempts), 0),
        func.coalesce(func.max(_LANES.trouble), ""),
    )
    .select_from(
        _WITH_EDGE.outerjoin(
            audit_leaf,
            and_(
                audit_leaf.c.organisation_id == _LANES.organisation_id,
                audit_leaf.c.leaf_index == _LANES.position + 1,
            ),
        )
    )
    .where(_LANES.stream_id == _WEBHOOK)
)
_FURTHEST = (
    select(*lane_columns(host_lane))
    .select_from(_WITH_EDGE)
    .where(_LANES.stream_id == _WEBHOOK, _WAITING > 0)
    .order_by(_LANES.attempts.desc(), _WAITING.desc(), _LANES.organisation_id)
    .limit(_LIMIT)
)
_HEADS = (
    select(_LANES.organisation_id, func.coalesce(audit_edge.c.size, 0) - 1)
    .select_from(_WITH_EDGE)
    .where(_LANES.stream_id == _WEBHOOK, _LANES.organisation_id > bindparam("after", type_=Id))
    .order_by(_LANES.organisation_id)
    .limit(_LIMIT)
)
_IS_LANE = and_(_LANES.stream_id == _WEBHOOK, _LANES.organisation_id == _ORGANISATION)
_FETCHED = select(_LANES.fetched_at).where(_IS_LANE)
_NOTE_FETCHED = update(host_lane).values(fetched_at=_AT).where(_IS_LANE)
_HAS_LETTER = select(_LETTERS.leaf_index).where(
    _LETTERS.stream_id == _WEBHOOK,
    _LETTERS.organisation_id == _ORGANISATION,
    _LETTERS.leaf_index == bindparam("of_leaf", type_=RowNumber),
)
_INSERT_LETTER = insert(host_dead_letter)

_VERSION = select(organisation.c.access_version, organisation.c.root_scope_id).where(
    organisation.c.id == _ORGANISATION
)
_SCOPES = select(scope.c.id, scope.c.kind, scope.c.host_id).where(
    scope.c.organisation_id == _ORGANISATION, in_set(scope.c.id, "of_scopes")
)
_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"


class SQLHostWebhookStore(SQLLanes):
    """`provisioning.host_webhooks.HostWebhookStore`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS)

    def log(self, organisation_id: OrganisationId) -> SQLSealedLog:
        return SQLSealedLog(self._database, organisation_id, is_named=False)

    def webhooks(self) -> list[HostWebhook]:
        with self._database.read() as opened:
            found = map(_read, Across(self._database, opened).rows(_SELECT_ALL))
            return sorted(found, key=lambda one: (name_key(one.name), one.webhook_id))

    def webhook(self, webhook_id: StreamId) -> HostWebhook | None:
        with self._database.read() as opened:
            row = Across(self._database, opened).row(_SELECT_ONE, of_webhook=webhook_id)
        return None if row is None else _read(row)

    def add(
        self,
        webhook: HostWebhook,
        *,
        secrets: Mapping[str, bytes],
        token_sha256: bytes,
        from_first: bool,
    ) -> None:
        with self._database.write() as opened:
            opened.execute(
                _INSERT,
                {
                    "id": webhook.webhook_id,
                    "environment_id": webhook.environment_id,
                    "created_at": webhook.created_at,
                    **_values(webhook, webhook.created_at),
                },
            )
            self._put_secrets(opened, webhook.webhook_id, secrets, token_sha256)
            begin = _BEGIN_AT_FIRST if from_first else _BEGIN_HERE
            Across(self._database, opened).run(begin, of_webhook=webhook.webhook_id, at=webhook.created_at)

    def put(
        self,
        webhook: HostWebhook,
        at: datetime,
        *,
        secrets: Mapping[str, bytes] | None = None,
        token_sha256: bytes | None = None,
    ) -> None:
        named = {f"new_{name}": value for name, value in _values(webhook, at).items()}
        with self._database.write() as opened:
            Across(self._database, opened).run(_UPDATE, of_webhook=webhook.webhook_id, **named)
            self._put_secrets(opened, webhook.webhook_id, secrets, token_sha256)

    def secrets(self, webhook_id: StreamId) -> dict[str, bytes]:
        with self._database.read() as opened:
            return self._open_secrets(opened, webhook_id)

    def include_new(self, at: datetime) -> int:
        with self._database.read() as opened:
            if Across(self._database, opened).row(_ANY_NEW) is None:
                return 0
        with self._database.write() as opened:
            return Across(self._database, opened).run(_BEGIN_NEW, at=at)

    def wake(self, webhook_id: StreamId, at: datetime) -> None:
        with self._database.write() as opened:
            Across(self._database, opened).run(_WAKE, of_webhook=webhook_id, at=at)

    def remove(self, webhook_id: StreamId, at: datetime) -> None:
        with self._database.write() as opened:
            across = Across(self._database, opened)
            across.run(_FORGET_LANES, of_webhook=webhook_id)
            across.run(_REMOVE, of_webhook=webhook_id, at=at)

    def stop(self, webhook_id: StreamId, state: str, reason: str, at: datetime) -> HostWebhook | None:
        with self._database.write() as opened:
            row = Across(self._database, opened).row(
                _STOP, of_webhook=webhook_id, new_state=state, new_reason=reason, at=at
            )
        return None if row is None else _read(row)

    def progress(self, webhook_id: StreamId) -> HostProgress:
        with self._database.read() as opened:
            (row,) = Across(self._database, opened).rows(_PROGRESS, of_webhook=webhook_id)
        return HostProgress(
            row[0], row[1], max(int(row[2]), 0), read_optional_moment(row[3]), int(row[4]), row[5]
        )

    def furthest_behind(self, webhook_id: StreamId, limit: int) -> list[Lane]:
        with self._database.read() as opened:
            rows = Across(self._database, opened).rows(_FURTHEST, of_webhook=webhook_id, row_limit=limit)
        return [read_lane(row) for row in rows]

    def insert_dead_letter(self, letter: DeadLetter, organisation_id: OrganisationId) -> bool:
        with self._database.write() as opened:
            known = Across(self._database, opened).row(
                _HAS_LETTER,
                of_webhook=letter.stream_id,
                of_organisation=organisation_id,
                of_leaf=letter.leaf_index,
            )
            if known is None:
                opened.execute(
                    _INSERT_LETTER,
                    {
                        "stream_id": letter.stream_id,
                        "organisation_id": organisation_id,
                        "leaf_index": letter.leaf_index,
                        "event_id": letter.event_id,
                        "reason": letter.reason,
                        "at": letter.at,
                    },
                )
        return known is None

    def webhook_of_token(self, digest: bytes) -> HostWebhook | None:
        with self._database.read() as opened:
            row = Across(self._database, opened).row(_SELECT_BY_TOKEN, digest=digest)
        return None if row is None else _read(row)

    def serves(self, webhook_id: StreamId, organisation_id: OrganisationId) -> bool:
        with self._database.read() as opened:
            return bool(
                Across(self._database, opened).rows(
                    _FETCHED, of_webhook=webhook_id, of_organisation=organisation_id
                )
            )

    def heads(
        self, webhook_id: StreamId, after: OrganisationId | None, limit: int
    ) -> list[tuple[OrganisationId, int]]:
        with self._database.read() as opened:
            rows = Across(self._database, opened).rows(
                _HEADS, of_webhook=webhook_id, after=after or _BEFORE_ALL, row_limit=limit
            )
        return [(row[0], int(row[1])) for row in rows]

    def note_fetched(self, webhook_id: StreamId, organisation_id: OrganisationId, at: datetime) -> bool:
        named = {"of_webhook": webhook_id, "of_organisation": organisation_id}
        with self._database.write() as opened:
            across = Across(self._database, opened)
            row = across.row(_FETCHED, **named)
            across.run(_NOTE_FETCHED, **named, at=at)
        last = None if row is None else read_optional_moment(row[0])
        return last is None or last.date() != at.date()

    def facts(self, organisation_id: OrganisationId, scope_ids: Collection[str]) -> HostFacts:
        with self._database.read() as opened:
            across = Across(self._database, opened)
            ((version, root),) = across.rows(_VERSION, of_organisation=organisation_id)
            rows = across.rows(_SCOPES, of_organisation=organisation_id, of_scopes=scope_ids)
        return HostFacts(
            version, {row[0]: row[1] if row[0] == root else f"{row[1]}/{row[2]}" for row in rows}
        )

    def _hold(self, opened: Connection, lane: Lane) -> HeldLane:
        (found,) = Across(self._database, opened).rows(_SELECT_ONE, of_webhook=lane.stream_id)
        held = _read(found).as_stream(lane.organisation_id)
        return HeldLane(lane, held, self._open_secrets(opened, lane.stream_id))

    def _open_secrets(self, opened: Connection, webhook_id: StreamId) -> dict[str, bytes]:
        row = Across(self._database, opened).row(_SELECT_SECRETS, of_webhook=webhook_id)
        if row is None or row[0] is None:
            return {}
        text = self._database.key_ring.open(bytes(row[0]), host_webhook_place(webhook_id))
        return {name: value.encode("ascii") for name, value in orjson.loads(text).items()}

    def _put_secrets(
        self,
        opened: Connection,
        webhook_id: StreamId,
        secrets: Mapping[str, bytes] | None,
        token_sha256: bytes | None,
    ) -> None:
        across = Across(self._database, opened)
        if secrets is not None:
            text = orjson.dumps({name: value.decode("ascii") for name, value in secrets.items()})
            sealed = self._database.key_ring.seal(text, host_webhook_place(webhook_id))
            across.run(_PUT_SECRETS, of_webhook=webhook_id, sealed=sealed)
        if token_sha256 is not None:
            across.run(_PUT_TOKEN, of_webhook=webhook_id, digest=token_sha256)


def _values(webhook: HostWebhook, at: datetime) -> dict[str, object]:
    return {
        "name": webhook.name,
        "url": webhook.url,
        "events": ",".join(webhook.events),
        "host": webhook.host,
        "state": webhook.state,
        "reason": webhook.reason,
        "version": webhook.version,
        "fingerprints": dict(webhook.fingerprints),
        "updated_at": at,
    }


def _read(row: Row) -> HostWebhook:
    return HostWebhook(
        webhook_id=row[0],
        environment_id=row[1],
        name=row[2],
        url=row[3],
        events=tuple(row[4].split(",")),
        state=row[5],
        reason=row[6],
        version=row[7],
        created_at=read_moment(row[8]),
        fingerprints=read_document(row[9]),
    )
