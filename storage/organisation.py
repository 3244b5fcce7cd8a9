"""The organisation's own row and its environment's catalogue."""

import contextlib
from collections.abc import Iterator

from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy.engine import Connection

from directory.facts import name_key
from directory.ids import OrganisationId
from mappings.catalogue import Catalogue
from provisioning.state import OrganisationState, SeatPolicy
from storage.engine import Database
from storage.errors import UnknownOrganisationError
from storage.tables import environment, organisation
from storage.types import read_document
from storage.view import ORGANISATION, Row, View

_ORGANISATIONS = organisation.c

ORGANISATION_COLUMNS: tuple[ColumnElement[object], ...] = (
    _ORGANISATIONS.id,
    _ORGANISATIONS.environment_id,
    _ORGANISATIONS.name,
    _ORGANISATIONS.plan,
    _ORGANISATIONS.seat_limit,
    _ORGANISATIONS.seat_policy,
    _ORGANISATIONS.resolution,
    _ORGANISATIONS.switches,
    _ORGANISATIONS.owner_id,
    _ORGANISATIONS.root_scope_id,
    _ORGANISATIONS.access_version,
    _ORGANISATIONS.model_version,
    _ORGANISATIONS.seated,
    _ORGANISATIONS.reserved,
)
"""What `read_organisation` reads, in its order."""

_SELECT_ORGANISATION = select(*ORGANISATION_COLUMNS).where(_ORGANISATIONS.id == ORGANISATION)
# Rows of other tables refer to this one; the key itself never changes, so they need not wait.
_LOCK_ORGANISATION = _SELECT_ORGANISATION.with_for_update(key_share=True)
_SELECT_CATALOGUE_DIGEST = (
    select(environment.c.id, environment.c.catalogue_sha256)
    .join(organisation, _ORGANISATIONS.environment_id == environment.c.id)
    .where(_ORGANISATIONS.id == ORGANISATION)
)
_SELECT_CATALOGUE = (
    select(environment.c.catalogue)
    .join(organisation, _ORGANISATIONS.environment_id == environment.c.id)
    .where(_ORGANISATIONS.id == ORGANISATION)
)
_SAVE_ORGANISATION = (
    update(organisation)
    .where(_ORGANISATIONS.id == ORGANISATION)
    .values(
        {
            name: bindparam(f"new_{name}", type_=organisation.c[name].type)
            for name in (
                "environment_id",
                "name",
                "name_key",
                "plan",
                "seat_limit",
                "seat_policy",
                "resolution",
                "switches",
                "owner_id",
                "root_scope_id",
                "access_version",
                "model_version",
                "seated",
                "reserved",
            )
        }
    )
)


def read_organisation(row: Row) -> OrganisationState:
    """Read an organisation's row from the columns of `ORGANISATION_COLUMNS`."""
    return OrganisationState(
        organisation_id=row[0],
        environment_id=row[1],
        name=row[2],
        plan=row[3],
        seat_limit=row[4],
        seat_policy=SeatPolicy(row[5]),
        resolution=row[6],
        switches=read_document(row[7]),
        owner_id=row[8],
        root_scope_id=row[9],
        access_version=row[10],
        model_version=row[11],
        seated=row[12],
        reserved=row[13],
    )


def organisation_values(state: OrganisationState) -> dict[str, object]:
    """The row's columns by name, but for its id and the moment it was made."""
    return {
        "environment_id": state.environment_id,
        "name": state.name,
        "name_key": name_key(state.name),
        "plan": state.plan,
        "seat_limit": state.seat_limit,
        "seat_policy": state.seat_policy.value,
        "resolution": state.resolution,
        "switches": state.switches,
        "owner_id": state.owner_id,
        "root_scope_id": state.root_scope_id,
        "access_version": state.access_version,
        "model_version": state.model_version,
        "seated": state.seated,
        "reserved": state.reserved,
    }


class OrganisationReader(View):
    """The organisation as it stands in this transaction. Its row is read once, at the beginning."""

    def __init__(
        self,
        database: Database,
        connection: Connection,
        organisation_id: OrganisationId,
        *,
        is_locking: bool = False,
    ) -> None:
        super().__init__(database, connection, organisation_id)
        row = self._row(_LOCK_ORGANISATION if is_locking else _SELECT_ORGANISATION)
        if row is None:
            raise UnknownOrganisationError(organisation_id)
        self._state = read_organisation(row)

    def organisation(self) -> OrganisationState:
        return self._state

    def catalogue(self) -> Catalogue:
        ((environment_id, sha256),) = self._rows(_SELECT_CATALOGUE_DIGEST)
        kept = self._database.catalogues.find(sha256)
        if kept is not None:
            return kept
        ((text,),) = self._rows(_SELECT_CATALOGUE)
        return self._database.catalogues.load(sha256, text, source=f"environment {environment_id}")


class OrganisationWriter(OrganisationReader):
    """The organisation's row as commands change it."""

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        state = self._state
        try:
            with self._connection.begin_nested():
                yield
        except BaseException:
            self._state = state
            raise

    def save_organisation(self, organisation: OrganisationState) -> None:
        values = organisation_values(organisation)
        self._run(_SAVE_ORGANISATION, **{f"new_{name}": value for name, value in values.items()})
        self._state = organisation
