"""Transactions of one organisation: the one class that implements the whole of the ports `Reader` and `Writer`."""

import contextlib
from collections.abc import Iterator

from sqlalchemy import text

from directory.ids import OrganisationId
from provisioning.ports import Reader, Writer
from storage.access import AccessReader, AccessWriter
from storage.audit_tokens import AuditTokensReading, AuditTokensWriting
from storage.configuration import ConfigurationReader, ConfigurationWriter
from storage.engine import Database
from storage.facts import FactsReader, FactsWriter
from storage.log import LogReader, LogWriter
from storage.members import MembersReader, MembersWriter
from storage.organisation import OrganisationWriter
from storage.overrides import OverridesReader, OverridesWriter
from storage.push_guard import PushGuardReader, PushGuardWriter
from storage.resources import ResourcesReader
from storage.runs import RunsReader, RunsWriter
from storage.secret_store import SecretsReader, SecretsWriter
from storage.sso import SSOReading, SSOWriting
from storage.streams import StreamsReading, StreamsWriting
from storage.tokens import TokensReader, TokensWriter
from storage.versions import VersionsWriter

_ANALYSE = text(
    "ANALYZE directory_user, directory_group, membership, member, access_interval, audit_event, audit_pii, "
    "scim_user, scim_entry"
)
_OPTIMISE = text("PRAGMA optimize")


class StoreReader(
    MembersReader,
    FactsReader,
    AccessReader,
    ConfigurationReader,
    OverridesReader,
    PushGuardReader,
    LogReader,
    RunsReader,
    TokensReader,
    SecretsReader,
    ResourcesReader,
    SSOReading,
    StreamsReading,
    AuditTokensReading,
):
    """Everything of one organisation, to be read."""


class StoreWriter(
    SSOWriting,
    StreamsWriting,
    AuditTokensWriting,
    StoreReader,
    OrganisationWriter,
    MembersWriter,
    FactsWriter,
    AccessWriter,
    ConfigurationWriter,
    OverridesWriter,
    PushGuardWriter,
    LogWriter,
    RunsWriter,
    VersionsWriter,
    TokensWriter,
    SecretsWriter,
):
    """Everything of one organisation, to be changed."""

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        self.write_late_events()
        with super().attempt():
            yield


class OrganisationUnitOfWork:
    """Transactions of one organisation, a connection each. Not to be nested."""

    def __init__(self, database: Database, organisation_id: OrganisationId) -> None:
        self._database = database
        self._organisation_id = organisation_id

    @property
    def organisation_id(self) -> OrganisationId:
        return self._organisation_id

    @contextlib.contextmanager
    def write(self) -> Iterator[Writer]:
        """One command's transaction, the organisation locked. Left by an exception, it is rolled back whole."""
        with self._database.write() as connection:
            writer = StoreWriter(self._database, connection, self._organisation_id, is_locking=True)
            yield writer
            writer.conclude()

    @contextlib.contextmanager
    def read(self) -> Iterator[Reader]:
        """A consistent view of the organisation."""
        with self._database.read() as connection:
            yield StoreReader(self._database, connection, self._organisation_id)

    def refresh_statistics(self) -> None:
        """Let the planner see how far the tables have grown.

        PostgreSQL keeps a statement's plan until statistics move; one made for empty tables reads them whole.
        """
        with self._database.write() as connection:
            connection.execute(_OPTIMISE if self._database.is_sqlite else _ANALYSE)
