"""The audit log and the outbox: appended in the transaction of the change, never changed.

Clear names stand beside the log, each under a key of its own, so that they can be erased without touching it.
"""

import contextlib
import hmac
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import orjson
import psycopg
from sqlalchemy import LargeBinary, Select, bindparam, select

from audit.events import ERASED
from directory.facts import name_key
from directory.ids import EventId, OrganisationId
from provisioning.ports import EventPage, EventQuery
from provisioning.state import EventRow, PersonalData
from storage.bulk import BulkInsert
from storage.event_rows import FEW, SOON, append_event_rows, append_few_events, index_waiting_events
from storage.event_search import PROBES, EventSearch
from storage.secrets import bind_place, open_with_own_key, seal_with_own_key
from storage.sets import in_set
from storage.tables import audit_event, audit_mail, audit_pii, outbox
from storage.view import ORGANISATION, View, is_own

_KEY_BYTES = 32
_MOST_REFERENCES = 10_000
# What the digest of an address begins with; no mail does.
_ADDRESS = "address\x1f"
_ERASED: Mapping[str, str] = MappingProxyType({"name": ERASED})

_EVENTS = audit_event.c
_SELECT_BODIES = select(_EVENTS.event_id, _EVENTS.body).where(
    in_set(_EVENTS.event_id, "event_ids"), is_own(_EVENTS.organisation_id)
)
_SELECT_PII = select(audit_pii.c.ref, audit_pii.c.key, audit_pii.c.ciphertext).where(
    in_set(audit_pii.c.ref, "refs"), is_own(audit_pii.c.organisation_id)
)

_SELECT_SUBJECTS = (
    select(audit_pii.c.subject_id)
    .join_from(audit_mail, audit_pii, audit_pii.c.ref == audit_mail.c.ref)
    .where(
        audit_mail.c.organisation_id == ORGANISATION,
        audit_mail.c.mail_digest == bindparam("digest", type_=LargeBinary),
    )
    .distinct()
)

_SELECT_REFERENCES: Select[Any] = (
    select(audit_mail.c.ref)
    .where(
        audit_mail.c.organisation_id == ORGANISATION,
        audit_mail.c.mail_digest == bindparam("digest", type_=LargeBinary),
    )
    .limit(_MOST_REFERENCES)
)
_SELECT_OWN_REFERENCES = (
    _SELECT_REFERENCES.join_from(audit_mail, audit_pii, audit_pii.c.ref == audit_mail.c.ref)
    .where(audit_pii.c.subject_id == bindparam("subject", type_=audit_pii.c.subject_id.type))
    .limit(1)
)

_INSERT_PII = BulkInsert(audit_pii, "organisation_id", "ref", "subject_id", "key", "ciphertext")
_INSERT_KEY = BulkInsert(
    audit_pii, "organisation_id", "ref", "subject_id", "key", "ciphertext", ignore_present=True
)
_INSERT_MAILS = BulkInsert(audit_mail, "organisation_id", "ref", "mail_digest")
_INSERT_OUTBOX = BulkInsert(outbox, "organisation_id", "topic", "payload", "created_at")


def pii_place(organisation_id: OrganisationId, ref: str, column: str) -> bytes:
    """The place that somebody's clear names, or their `key`, are sealed for."""
    return bind_place(organisation_id, f"audit_pii/{ref}", column)


def _digest(key: bytes, mail: str) -> bytes:
    return hmac.digest(key, name_key(mail).encode("utf-8", "surrogatepass"), "sha256")


class LogReader(View):
    """The organisation's events and the names beside them."""

    def event_bodies(self, event_ids: Collection[EventId]) -> dict[EventId, bytes]:
        return dict(self._pair_rows(_SELECT_BODIES, event_ids=event_ids))

    def events(self, query: EventQuery) -> Iterator[tuple[int, bytes]]:
        """`after` is left out itself; newest first, it is an upper bound (0: none). `until` is left out itself."""
        return EventSearch(
            self._connection, self._organisation_id, query, prepared=self._database.prepared
        ).found()

    def search_events(self, query: EventQuery) -> EventPage:
        """The first page, or as much of it as is found soon. `after` is as in `events`."""
        return EventSearch(
            self._connection, self._organisation_id, query, prepared=self._database.prepared, probes=PROBES
        ).page()

    def personal_data(self, refs: Collection[str]) -> dict[str, Mapping[str, str]]:
        """Of a reference that is not there any more it says that it was erased."""
        return dict.fromkeys(refs, _ERASED) | self._opened(refs)

    def _opened(self, refs: Collection[str]) -> dict[str, Mapping[str, str]]:
        ring = self._database.key_ring
        found: dict[str, Mapping[str, str]] = {}
        for ref, key, ciphertext in self._rows(_SELECT_PII, refs=refs):
            clear = open_with_own_key(
                ring, key, ciphertext, key_place=self._place(ref, "key"), place=self._place(ref, "ciphertext")
            )
            found[ref] = orjson.loads(clear)
        return found

    def subjects_by_mail(self, mail: str) -> list[str]:
        key = self._mail_key()
        if key is None:
            return []
        return [row[0] for row in self._rows(_SELECT_SUBJECTS, digest=_digest(key, mail))]

    def address_references(self, address: str, subject_id: str = "") -> list[str]:
        key = self._mail_key()
        if key is None:
            return []
        digest = _digest(key, f"{_ADDRESS}{address}")
        statement = _SELECT_OWN_REFERENCES if subject_id else _SELECT_REFERENCES
        return [row[0] for row in self._rows(statement, digest=digest, subject=subject_id)]

    def _mail_key(self) -> bytes | None:
        """By which the organisation's mails are digested. It stands among the names, under the organisation's id."""
        found = self._opened([self._organisation_id]).get(self._organisation_id)
        return None if found is None else bytes.fromhex(found["mail_key"])

    def _place(self, ref: str, column: str) -> bytes:
        return pii_place(self._organisation_id, ref, column)


class LogWriter(LogReader):
    """The organisation's log as commands append to it.

    On PostgreSQL events wait for the commit and go with it in one message: whoever waits for the organisation's lock
    waits no longer than for a change without any.
    """

    _late: tuple[EventRow, ...] = ()
    _is_indexing = False

    def event_bodies(self, event_ids: Collection[EventId]) -> dict[EventId, bytes]:
        self.write_late_events()
        return super().event_bodies(event_ids)

    def events(self, query: EventQuery) -> Iterator[tuple[int, bytes]]:
        self.write_late_events()
        return super().events(query)

    def search_events(self, query: EventQuery) -> EventPage:
        self.write_late_events()
        return super().search_events(query)

    def append_events(self, events: Sequence[EventRow]) -> None:
        self._is_indexing |= self._database.is_turn(len(events), every=SOON)
        self._late += tuple(events)
        # What a savepoint may take back must not outlive it.
        if self._database.is_sqlite or self._connection.in_nested_transaction():
            self.write_late_events()

    def write_late_events(self) -> None:
        """Write the events that wait for the commit, because somebody looks or something may be taken back."""
        late, self._late = self._late, ()
        if late:
            append_event_rows(self._connection, self._organisation_id, late)

    def conclude(self) -> None:
        """Do what comes last, and commit if there are events that wait for it. Nothing may be written behind it."""
        if self._is_indexing:
            self.write_late_events()
            index_waiting_events(self._connection)
        late, transaction = self._late, self._connection.get_transaction()
        if len(late) > FEW or transaction is None:
            self.write_late_events()
        elif late:
            driver: Any = self._connection.connection.dbapi_connection
            try:
                with driver.pipeline():
                    append_few_events(self._connection, self._organisation_id, late)
                    transaction.commit()
            except BaseException:
                # For SQLAlchemy it is committed; the server has done nothing behind what failed.
                with contextlib.suppress(psycopg.Error):
                    driver.rollback()
                raise

    def append_outbox(self, topic: str, payloads: Sequence[Mapping[str, object]], at: datetime) -> None:
        organisation_id = self._organisation_id
        _INSERT_OUTBOX(self._connection, ((organisation_id, topic, payload, at) for payload in payloads))

    def insert_personal_data(self, rows: Sequence[PersonalData]) -> None:
        _INSERT_PII(self._connection, map(self._sealed, rows))
        named = [(data.ref, data.values["mail"]) for data in rows if data.values.get("mail")]
        # Two references in one: nothing has a mail and an address.
        named += [
            (data.ref, f"{_ADDRESS}{data.values['address']}") for data in rows if "address" in data.values
        ]
        if named:
            key = self._mail_key() or self._make_mail_key()
            own = self._organisation_id
            _INSERT_MAILS(self._connection, ((own, ref, _digest(key, mail)) for ref, mail in named))

    def _make_mail_key(self) -> bytes:
        """Whoever is first makes the key; on PostgreSQL another may have been quicker."""
        own = self._organisation_id
        fresh = PersonalData(own, own, {"mail_key": os.urandom(_KEY_BYTES).hex()})
        _INSERT_KEY(self._connection, [self._sealed(fresh)])
        key = self._mail_key()
        assert key is not None  # noqa: S101 - it was put there by somebody
        return key

    def _sealed(self, data: PersonalData) -> tuple[str, str, str, bytes, bytes]:
        key, ciphertext = seal_with_own_key(
            self._database.key_ring,
            orjson.dumps(data.values),
            key_place=self._place(data.ref, "key"),
            place=self._place(data.ref, "ciphertext"),
        )
        return self._organisation_id, data.ref, data.subject_id, key, ciphertext
