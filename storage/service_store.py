"""What belongs to the service and not to one organisation: environments, organisations, and who works on what."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import (
    Executable,
    Integer,
    Text,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.engine import Connection

from directory.facts import name_key
from directory.ids import DirectoryId, EnvironmentId, OrganisationId
from mappings.catalogue import ROOT_KIND
from provisioning.state import Claim, EventRow, OrganisationState, StoredEnvironment
from storage.audit_tables import metadata
from storage.engine import Database
from storage.errors import ConflictError, UnknownEnvironmentError
from storage.event_rows import append_event_rows
from storage.organisation import ORGANISATION_COLUMNS, organisation_values, read_organisation
from storage.tables import (
    directory,
    environment,
    invitation,
    organisation,
    override,
    pending_member,
    scope,
)
from storage.types import Id, Moment, is_id, read_moment
from storage.view import Row, fetch_rows

_AT = bindparam("at", type_=Moment)
_LIMIT = bindparam("row_limit", type_=Integer)

_ENVIRONMENTS = environment.c
_ENVIRONMENT = bindparam("of_environment", type_=Text)
_SELECT_ENVIRONMENTS = select(
    _ENVIRONMENTS.id, _ENVIRONMENTS.catalogue, _ENVIRONMENTS.catalogue_sha256, _ENVIRONMENTS.loaded_at
).order_by(_ENVIRONMENTS.id)
_SELECT_ENVIRONMENT = _SELECT_ENVIRONMENTS.where(_ENVIRONMENTS.id == _ENVIRONMENT)
_UPDATE_ENVIRONMENT = (
    update(environment)
    .values(
        catalogue=bindparam("new_catalogue", type_=Text),
        catalogue_sha256=bindparam("new_sha256", type_=Text),
        loaded_at=_AT,
    )
    .where(_ENVIRONMENTS.id == _ENVIRONMENT)
)
_INSERT_ENVIRONMENT = insert(environment)

_ORGANISATIONS = organisation.c
_SELECT_ORGANISATIONS = select(*ORGANISATION_COLUMNS).order_by(_ORGANISATIONS.name_key)
_SELECT_ORGANISATION_BY_ID = _SELECT_ORGANISATIONS.where(_ORGANISATIONS.id == bindparam("of_id", type_=Id))
_SELECT_ORGANISATION_BY_NAME = _SELECT_ORGANISATIONS.where(
    _ORGANISATIONS.name_key == bindparam("key", type_=Text)
)
_INSERT_ORGANISATION = insert(organisation)
_INSERT_SCOPE = insert(scope)

_DIRECTORIES = directory.c
_IS_FREE = or_(_DIRECTORIES.lease_until.is_(None), _DIRECTORIES.lease_until <= _AT)
_SELECT_DUE = (
    select(_DIRECTORIES.id)
    .where(_DIRECTORIES.next_run_at.is_not(None), _DIRECTORIES.next_run_at <= _AT, _IS_FREE)
    .order_by(_DIRECTORIES.next_run_at)
    .limit(_LIMIT)
)
# A CTE and not a sub-select: PostgreSQL could run a sub-select with a limit more than once, and claim more.
_DUE = _SELECT_DUE.with_for_update(skip_locked=True).cte("due")
_CLAIM = (
    update(directory)
    .values(
        lease_owner=bindparam("owner", type_=Text),
        lease_until=bindparam("new_lease_until", type_=Moment),
        fence=_DIRECTORIES.fence + 1,
    )
    .returning(_DIRECTORIES.organisation_id, _DIRECTORIES.id, _DIRECTORIES.fence)
)
_CLAIM_DUE = _CLAIM.where(_DIRECTORIES.id.in_(select(_DUE.c.id)))
_DIRECTORY = bindparam("of_directory", type_=Id)
_CLAIM_ONE = _CLAIM.where(_DIRECTORIES.id == _DIRECTORY, _IS_FREE)
_CLAIM_ONE_IF_DUE = _CLAIM_ONE.where(_DIRECTORIES.next_run_at.is_not(None), _DIRECTORIES.next_run_at <= _AT)
_RELEASE = (
    update(directory)
    .values(lease_owner=None, lease_until=None)
    .where(
        _DIRECTORIES.id == _DIRECTORY,
        _DIRECTORIES.fence == bindparam("held_fence", type_=Integer),
        _DIRECTORIES.lease_owner.is_not(None),
    )
)
_SELECT_HELD = select(_DIRECTORIES.fence).where(
    _DIRECTORIES.id == _DIRECTORY, _DIRECTORIES.lease_owner == bindparam("owner", type_=Text)
)
_LOCK_HELD = _SELECT_HELD.with_for_update(skip_locked=True)

_SELECT_WITH_PENDING = (
    select(_ORGANISATIONS.id)
    .where(exists().where(pending_member.c.organisation_id == _ORGANISATIONS.id))
    .order_by(_ORGANISATIONS.id)
    .limit(_LIMIT)
)
# Unordered, or SQLite would read whole indexes for the sake of the order.
_SELECT_WITH_DUE = union(
    select(override.c.organisation_id).where(override.c.ended_at.is_(None), override.c.ends_at <= _AT),
    select(invitation.c.organisation_id).where(
        invitation.c.state == literal_column("'pending'"), invitation.c.ends_at <= _AT
    ),
).limit(_LIMIT)
_COUNTS = tuple((table.name, select(func.count()).select_from(table)) for table in metadata.sorted_tables)


def _read_environment(row: Row) -> StoredEnvironment:
    return StoredEnvironment(row[0], row[1], row[2], read_moment(row[3]))


class SQLServiceStore:
    """The port `ServiceStore` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_environment(
        self, environment_id: EnvironmentId, catalogue: str, sha256: str, at: datetime
    ) -> None:
        with self._database.write() as connection:
            updated = connection.execute(
                _UPDATE_ENVIRONMENT,
                {
                    "of_environment": environment_id,
                    "new_catalogue": catalogue,
                    "new_sha256": sha256,
                    "at": at,
                },
            )
            if updated.rowcount == 0:
                connection.execute(
                    _INSERT_ENVIRONMENT,
                    {
                        "id": environment_id,
                        "catalogue": catalogue,
                        "catalogue_sha256": sha256,
                        "loaded_at": at,
                    },
                )

    def environment(self, environment_id: EnvironmentId) -> StoredEnvironment | None:
        with self._database.read() as connection:
            rows = fetch_rows(connection, _SELECT_ENVIRONMENT, {"of_environment": environment_id})
        return _read_environment(rows[0]) if rows else None

    def environments(self) -> list[StoredEnvironment]:
        with self._database.read() as connection:
            return [_read_environment(row) for row in fetch_rows(connection, _SELECT_ENVIRONMENTS, {})]

    def create_organisation(self, organisation: OrganisationState, at: datetime) -> None:
        """Raises ConflictError when the name is taken, UnknownEnvironmentError when there is no such environment."""
        with self._database.write() as connection:
            if not fetch_rows(
                connection, _SELECT_ENVIRONMENT, {"of_environment": organisation.environment_id}
            ):
                raise UnknownEnvironmentError(organisation.environment_id)
            if fetch_rows(connection, _SELECT_ORGANISATION_BY_NAME, {"key": name_key(organisation.name)}):
                raise ConflictError(
                    f"there is an organisation {organisation.name!r} already; choose another name"
                )
            connection.execute(
                _INSERT_ORGANISATION,
                {"id": organisation.organisation_id, "created_at": at, **organisation_values(organisation)},
            )
            connection.execute(
                _INSERT_SCOPE,
                {
                    "id": organisation.root_scope_id,
                    "organisation_id": organisation.organisation_id,
                    "kind": ROOT_KIND,
                    "name": organisation.name,
                    "host_id": organisation.organisation_id,
                    "parents": (),
                },
            )

    def organisation(self, name_or_id: str) -> OrganisationState | None:
        with self._database.read() as connection:
            rows: list[Row] = []
            if is_id(name_or_id):
                rows = fetch_rows(connection, _SELECT_ORGANISATION_BY_ID, {"of_id": name_or_id.lower()})
            if not rows:
                rows = fetch_rows(connection, _SELECT_ORGANISATION_BY_NAME, {"key": name_key(name_or_id)})
        return read_organisation(rows[0]) if rows else None

    def organisations(self) -> list[OrganisationState]:
        with self._database.read() as connection:
            return [read_organisation(row) for row in fetch_rows(connection, _SELECT_ORGANISATIONS, {})]

    def claim_due(self, owner: str, at: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        parameters = {"owner": owner, "at": at, "new_lease_until": lease_until, "row_limit": limit}
        with self._database.write() as connection:
            return [Claim(*row) for row in connection.execute(_CLAIM_DUE, parameters)]

    def directories_due(self, at: datetime, limit: int) -> list[DirectoryId]:
        with self._database.read() as connection:
            return [row[0] for row in fetch_rows(connection, _SELECT_DUE, {"at": at, "row_limit": limit})]

    def claim(
        self,
        directory_id: DirectoryId,
        owner: str,
        at: datetime,
        lease_until: datetime,
        *,
        only_due: bool = False,
    ) -> Claim | None:
        parameters = {"owner": owner, "at": at, "new_lease_until": lease_until, "of_directory": directory_id}
        with self._database.write() as connection:
            row = connection.execute(_CLAIM_ONE_IF_DUE if only_due else _CLAIM_ONE, parameters).one_or_none()
        return None if row is None else Claim(*row)

    def release(self, claim: Claim) -> bool:
        parameters = {"of_directory": claim.directory_id, "held_fence": claim.fence}
        with self._database.write() as connection:
            return connection.execute(_RELEASE, parameters).rowcount == 1

    def release_owner(self, directory_id: DirectoryId, owner: str) -> bool:
        parameters = {"of_directory": directory_id, "owner": owner}
        with self._database.write() as connection:
            if not fetch_rows(connection, _SELECT_HELD, parameters):
                return True
            # Whoever was stopped in the middle of a transaction has the row locked: that is not waited for here.
            for row in fetch_rows(connection, _LOCK_HELD, parameters):
                connection.execute(_RELEASE, {"of_directory": directory_id, "held_fence": row[0]})
                return True
        return False

    def organisations_with_pending(self, limit: int) -> list[OrganisationId]:
        with self._database.read() as connection:
            return _ids(connection, _SELECT_WITH_PENDING, {"row_limit": limit})

    def organisations_with_due(self, at: datetime, limit: int) -> list[OrganisationId]:
        with self._database.read() as connection:
            return sorted(_ids(connection, _SELECT_WITH_DUE, {"at": at, "row_limit": limit}))

    def row_counts(self) -> Mapping[str, int]:
        with self._database.read() as connection:
            return {name: fetch_rows(connection, statement, {})[0][0] for name, statement in _COUNTS}


class SQLEventSink:
    """The port `EventSink`: events about the service itself, which belong to no organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, events: Iterable[EventRow]) -> None:
        with self._database.write() as connection:
            append_event_rows(connection, None, events)


def _ids(
    connection: Connection, statement: Executable, parameters: dict[str, object]
) -> list[OrganisationId]:
    return [row[0] for row in fetch_rows(connection, statement, parameters)]
