"""Which place the sealer gave to events, looked up for a page of them at once."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import BigInteger, select

from directory.ids import OrganisationId
from storage.audit_tables import audit_leaf
from storage.engine import Database
from storage.sets import in_set
from storage.types import read_moment
from storage.view import View, is_own

_LEAF = audit_leaf.c
_PLACES = select(_LEAF.event_row, _LEAF.leaf_index, _LEAF.sealed_at).where(
    in_set(_LEAF.event_row, "rows", item=BigInteger), is_own(_LEAF.organisation_id)
)


class SQLLogPlaces:
    """Places in the logs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def places(
        self, organisation_id: OrganisationId, rows: Collection[int]
    ) -> dict[int, tuple[int, datetime]]:
        """Leaf index and time of sealing by row; what is not sealed yet is not there."""
        if not rows:
            return {}
        with self._database.read() as opened:
            found = View(self._database, opened, organisation_id)._rows(_PLACES, rows=sorted(rows))
        return {row[0]: (row[1], read_moment(row[2])) for row in found}
