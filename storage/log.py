"""The audit log and the outbox: appended in the transaction of the change, never changed.

Clear names stand beside the log, each under a key of its own, so that they can be erased without touching it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import cast

import orjson
from sqlalchemy import Integer, Select, Text, bindparam, select
from sqlalchemy.engine import Connection

from directory.ids import EventId, OrganisationId
from provisioning.ports import EventQuery
from provisioning.state import EventRow, PersonalData
from storage.bulk import BulkInsert
from storage.secrets import bind_place, open_with_own_key, seal_with_own_key
from storage.sets import in_set
from storage.tables import audit_event, audit_pii, outbox
from storage.types import Moment
from storage.view import ORGANISATION, View, is_own

_EVENTS = audit_event.c
_EVENTS_OF_ORGANISATION = (
    select(_EVENTS.id, _EVENTS.body)
    .where(_EVENTS.organisation_id == ORGANISATION)
    .limit(bindparam("row_limit", type_=Integer))
)
_SELECT_BODIES = select(_EVENTS.event_id, _EVENTS.body).where(
    in_set(_EVENTS.event_id, "event_ids"), is_own(_EVENTS.organisation_id)
)
_SELECT_PII = select(audit_pii.c.ref, audit_pii.c.key, audit_pii.c.ciphertext).where(
    in_set(audit_pii.c.ref, "refs"), is_own(audit_pii.c.organisation_id)
)

_INSERT_EVENTS = BulkInsert(
    audit_event, "organisation_id", "event_id", "time", "action", "subject_id", "body"
)
_INSERT_PII = BulkInsert(audit_pii, "organisation_id", "ref", "subject_id", "key", "ciphertext")
_INSERT_OUTBOX = BulkInsert(outbox, "organisation_id", "topic", "payload", "created_at")

# Behind every character that an action's name may have.
_LAST = "\x7f"


def append_event_rows(
    connection: Connection, organisation_id: OrganisationId | None, events: Iterable[EventRow]
) -> None:
    """Append events of one organisation, or of the service itself, in their order."""
    _INSERT_EVENTS(
        connection,
        (
            (organisation_id, event.event_id, event.time, event.action, event.subject_id, event.body)
            for event in events
        ),
    )


def _select_events(query: EventQuery) -> tuple[Select[tuple[int, bytes]], dict[str, object]]:
    statement = _EVENTS_OF_ORGANISATION
    parameters: dict[str, object] = {"row_limit": query.limit}
    if query.newest_first:
        statement = statement.order_by(_EVENTS.id.desc())
        if query.after:
            statement = statement.where(_EVENTS.id < bindparam("after", type_=Integer))
            parameters["after"] = query.after
    else:
        statement = statement.order_by(_EVENTS.id).where(_EVENTS.id > bindparam("after", type_=Integer))
        parameters["after"] = query.after
    if query.action.endswith((".", "*")):
        # A range, not LIKE: LIKE has wildcards of its own, and folds case on SQLite only.
        prefix = query.action.removesuffix("*")
        statement = statement.where(
            _EVENTS.action >= bindparam("prefix", type_=Text),
            _EVENTS.action < bindparam("prefix_end", type_=Text),
        )
        parameters |= {"prefix": prefix, "prefix_end": prefix + _LAST}
    elif query.action:
        statement = statement.where(_EVENTS.action == bindparam("named", type_=Text))
        parameters["named"] = query.action
    if query.subject_id:
        statement = statement.where(_EVENTS.subject_id == bindparam("about", type_=Text))
        parameters["about"] = query.subject_id
    if query.since is not None:
        statement = statement.where(_EVENTS.time >= bindparam("since", type_=Moment))
        parameters["since"] = query.since
    if query.until is not None:
        statement = statement.where(_EVENTS.time < bindparam("until", type_=Moment))
        parameters["until"] = query.until
    return statement, parameters


def pii_place(organisation_id: OrganisationId, ref: str, column: str) -> bytes:
    """The place that somebody's clear names, or their `key`, are sealed for."""
    return bind_place(organisation_id, f"audit_pii/{ref}", column)


class LogReader(View):
    """The organisation's events and the names beside them."""

    def event_bodies(self, event_ids: Collection[EventId]) -> dict[EventId, bytes]:
        return dict(self._pair_rows(_SELECT_BODIES, event_ids=event_ids))

    def events(self, query: EventQuery) -> Iterator[tuple[int, bytes]]:
        """`after` is left out itself; newest first, it is an upper bound (0: none). `until` is left out itself."""
        statement, parameters = _select_events(query)
        return cast("Iterator[tuple[int, bytes]]", self._stream(statement, **parameters))

    def personal_data(self, refs: Collection[str]) -> dict[str, Mapping[str, str]]:
        """References that were erased or never written are left out."""
        ring = self._database.key_ring
        found: dict[str, Mapping[str, str]] = {}
        for ref, key, ciphertext in self._rows(_SELECT_PII, refs=refs):
            clear = open_with_own_key(
                ring, key, ciphertext, key_place=self._place(ref, "key"), place=self._place(ref, "ciphertext")
            )
            found[ref] = orjson.loads(clear)
        return found

    def _place(self, ref: str, column: str) -> bytes:
        return pii_place(self._organisation_id, ref, column)


class LogWriter(LogReader):
    """The organisation's log as commands append to it."""

    def append_events(self, events: Sequence[EventRow]) -> None:
        append_event_rows(self._connection, self._organisation_id, events)

    def append_outbox(self, topic: str, payloads: Sequence[Mapping[str, object]], at: datetime) -> None:
        organisation_id = self._organisation_id
        _INSERT_OUTBOX(self._connection, ((organisation_id, topic, payload, at) for payload in payloads))

    def insert_personal_data(self, rows: Sequence[PersonalData]) -> None:
        _INSERT_PII(self._connection, map(self._sealed, rows))

    def _sealed(self, data: PersonalData) -> tuple[str, str, str, bytes, bytes]:
        key, ciphertext = seal_with_own_key(
            self._database.key_ring,
            orjson.dumps(data.values),
            key_place=self._place(data.ref, "key"),
            place=self._place(data.ref, "ciphertext"),
        )
        return self._organisation_id, data.ref, data.subject_id, key, ciphertext
