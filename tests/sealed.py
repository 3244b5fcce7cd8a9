"""Gives events their places in the log by the real sealer, for tests that are about what comes behind it."""

from datetime import datetime

from sqlalchemy import text

from directory.ids import OrganisationId
from provisioning.sealing import Signer
from service.sealer import Sealer
from service.wiring import Wiring
from storage.engine import Database
from storage.streams import SQLStreamStore
from tests import sealing

_DECLARE = text(
    "INSERT INTO audit_removal (organisation_id, first_leaf, last_leaf, removed_at)"
    " SELECT organisation_id, :first, :last, sealed_at FROM audit_leaf"
    " WHERE leaf_index = :first AND organisation_id = :organisation"
)
_REMOVE = text(
    "DELETE FROM audit_event WHERE id IN (SELECT event_row FROM audit_leaf"
    " WHERE organisation_id = :organisation AND leaf_index BETWEEN :first AND :last)"
)


def seal(database: Database, organisation_id: OrganisationId, at: datetime, *signers: Signer) -> int:
    """Seal what waits in a database that no service has, less than one batch; the organisation's last position."""
    assert sealing.seal(database, at, *signers).is_drained
    return head(database, organisation_id)


def seal_log(wiring: Wiring, organisation_id: OrganisationId) -> int:
    """Let the service's own sealer seal what waits; the organisation's last position."""
    sealer = Sealer(wiring)
    sealer.drain()
    sealer.stop()
    return head(wiring.database, organisation_id)


def head(database: Database, organisation_id: OrganisationId) -> int:
    return SQLStreamStore(database).log(organisation_id).head()


def remove_events(database: Database, organisation_id: OrganisationId, first: int, last: int) -> None:
    """Do what the retention does: events of a declared range go, their leaves stay."""
    named = {"organisation": organisation_id, "first": first, "last": last}
    with database.write() as opened:
        opened.execute(_DECLARE, named)
        opened.execute(_REMOVE, named)
