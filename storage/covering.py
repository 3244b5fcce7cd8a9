"""The signed checkpoint that goes with stored objects: the first that covers a position of an organisation's log."""

from sqlalchemy import bindparam, select

from directory.ids import OrganisationId
from storage.audit_tables import audit_checkpoint
from storage.engine import Database
from storage.types import RowNumber
from storage.view import ORGANISATION, View

_COVERING = (
    select(audit_checkpoint.c.note)
    .where(
        audit_checkpoint.c.organisation_id == ORGANISATION,
        audit_checkpoint.c.size > bindparam("position", type_=RowNumber),
    )
    .order_by(audit_checkpoint.c.size)
    .limit(1)
)


class CoveringCheckpoints(View):
    """Checkpoints of one organisation's log."""

    def covering(self, position: int) -> str | None:
        """The signed note over the fewest events that reach the position. It stays the same one."""
        row = self._row(_COVERING, position=position)
        return None if row is None else str(row[0])


def find_covering(database: Database, organisation_id: OrganisationId, position: int) -> str | None:
    """The same in a transaction of its own."""
    with database.read() as opened:
        return CoveringCheckpoints(database, opened, organisation_id).covering(position)
