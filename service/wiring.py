"""Puts the parts together, for the service and for every command alike."""

import os
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import uuid_utils

from directory.ids import OrganisationId
from provisioning.clients import ClientStore
from provisioning.logins import LoginStore
from provisioning.models import ModelCache
from provisioning.ports import Clock, EventSink, Mint, ServiceStore, UnitOfWork
from provisioning.queries import Decisions
from provisioning.resources import PushStore
from provisioning.runs import RunKeeper
from service.settings import Settings
from storage.client_store import SQLClientStore
from storage.engine import Database, open_database
from storage.login_store import SQLLoginStore
from storage.push_store import SQLPushStore
from storage.secrets import KeyRing
from storage.service_store import SQLEventSink, SQLServiceStore
from storage.unit_of_work import OrganisationUnitOfWork

_SALT_BYTES = 16
_SALTS_AT_ONCE = 1024


def utc_now() -> datetime:
    """The one clock of the product."""
    return datetime.now(UTC)


class SystemMint:
    """Ids and salts from the operating system. Salts are drawn in blocks: a call for each would cost a syscall."""

    def __init__(self) -> None:
        self._salts: deque[bytes] = deque()

    def id(self) -> str:
        return str(uuid_utils.uuid7())

    def salt(self) -> bytes:
        while True:
            try:
                # One step, so that two threads never get the same salt.
                return self._salts.pop()
            except IndexError:
                block = os.urandom(_SALT_BYTES * _SALTS_AT_ONCE)
                self._salts.extend(block[at : at + _SALT_BYTES] for at in range(0, len(block), _SALT_BYTES))


@dataclass(frozen=True, slots=True)
class Wiring:
    """Everything that work on the database needs. Made by `wire`; `close` it."""

    settings: Settings
    database: Database
    store: ServiceStore
    events: EventSink
    pushes: PushStore
    logins: LoginStore
    clients: ClientStore
    models: ModelCache
    decisions: Decisions
    clock: Clock
    mint: Mint

    def unit_of_work(self, organisation_id: OrganisationId) -> UnitOfWork:
        return OrganisationUnitOfWork(self.database, organisation_id)

    def run_keeper(self, organisation_id: OrganisationId) -> RunKeeper:
        return RunKeeper(self.unit_of_work(organisation_id), self.clock, self.mint, self.models)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wire(
    settings: Settings, key_ring: KeyRing, *, clock: Clock = utc_now, mint: Mint | None = None
) -> Wiring:
    """Connect the parts over the settings' database. Nothing is read or made yet."""
    database = open_database(
        settings.database_url,
        key_ring=key_ring,
        is_fully_synchronous=settings.sqlite_full_sync,
        pool_size=settings.database_pool,
    )
    models = ModelCache()
    return Wiring(
        settings=settings,
        database=database,
        store=SQLServiceStore(database),
        events=SQLEventSink(database),
        pushes=SQLPushStore(database),
        logins=SQLLoginStore(database),
        clients=SQLClientStore(database),
        models=models,
        decisions=Decisions(models),
        clock=clock,
        mint=mint or SystemMint(),
    )
