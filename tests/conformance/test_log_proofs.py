"""Proofs from what is stored, at every size, and what is told when the stored tree does not give them."""

from dataclasses import replace

import pytest
from sqlalchemy import delete, text, update

from audit.checkpoint import Checkpoint
from audit.render import render_event
from audit.tree import RightEdge, leaf_hash, verify_consistency, verify_inclusion
from directory.ids import EventId
from provisioning.log_proofs import (
    NotSealedError,
    ProofBrokenError,
    find_checkpoint,
    prove_consistency,
    prove_event,
)
from provisioning.log_verification import Tampering, verify_heads, verify_log
from provisioning.sealing import HEADS_LOG, log_origin
from provisioning.state import EventRow
from storage.audit_tables import audit_checkpoint, audit_node
from storage.engine import Database
from storage.sealing import SQLSealing
from tests.audit.samples import EVENT
from tests.conformance.builders import NOW, Tenant, event, make_tenant, new_id
from tests.sealing import make_signer, seal

SIZES = (1, 2, 3, 255, 256, 257, 511, 600, 1025)
SIGNER = make_signer()


@pytest.fixture(scope="module")
def grown(database: Database) -> tuple[Tenant, list[EventId]]:
    """A log with checkpoints of these sizes."""
    tenant = make_tenant(database)
    ids: list[EventId] = []
    for size in SIZES:
        rows = [event(body=b"%d" % number) for number in range(len(ids), size)]
        with tenant.unit_of_work.write() as writer:
            writer.append_events(rows)
        ids += [row.event_id for row in rows]
        seal(database, NOW, SIGNER)
    return tenant, ids


def test_every_event_is_proven_in_the_latest_checkpoint(
    database: Database, grown: tuple[Tenant, list[EventId]]
) -> None:
    tenant, ids = grown
    with SQLSealing(database).read(tenant.organisation_id) as log:
        for index in (0, 1, 127, 255, 256, 300, 511, 512, 1023, 1024):
            proof = prove_event(log, ids[index])
            assert proof.event.leaf_index == index
            leaf = leaf_hash(b"%d" % index)
            assert verify_inclusion(leaf, index, 1025, proof.hashes, proof.checkpoint.root)


def test_an_event_is_proven_in_each_checkpoint_behind_it(
    database: Database, grown: tuple[Tenant, list[EventId]]
) -> None:
    tenant, ids = grown
    with SQLSealing(database).read(tenant.organisation_id) as log:
        for size in SIZES:
            proof = prove_event(log, ids[size - 1], size)
            root = RightEdge().append(leaf_hash(b"%d" % number) for number in range(size)).root()
            assert proof.checkpoint.root == root
        with pytest.raises(NotSealedError, match="came behind"):
            prove_event(log, ids[3], 3)


def test_every_pair_of_checkpoints_is_consistent(
    database: Database, grown: tuple[Tenant, list[EventId]]
) -> None:
    with SQLSealing(database).read(grown[0].organisation_id) as log:
        for old in SIZES:
            for new in (size for size in SIZES if size >= old):
                proof = prove_consistency(log, old, new)
                assert verify_consistency(old, new, proof.old.root, proof.new.root, proof.hashes)
        assert prove_consistency(log, 3).new.size == 1025
        with pytest.raises(NotSealedError, match="is not older"):
            prove_consistency(log, 256, 3)


def test_what_is_not_sealed_is_not_proven(database: Database) -> None:
    tenant = make_tenant(database)
    row = event()
    with tenant.unit_of_work.write() as writer:
        writer.append_events([row])
    with SQLSealing(database).read(tenant.organisation_id) as log:
        assert (log.size(), log.checkpoint()) == (0, None)
        with pytest.raises(NotSealedError, match="nothing is sealed yet"):
            find_checkpoint(log, None)
        with pytest.raises(NotSealedError, match="no checkpoint was signed at 5"):
            find_checkpoint(log, 5)
        for event_id in (row.event_id, EventId(new_id())):
            with pytest.raises(NotSealedError, match="no place in the log yet"):
                prove_event(log, event_id)
    seal(database, NOW, SIGNER)


def test_an_event_of_another_log_is_not_proven(
    database: Database, other: Tenant, grown: tuple[Tenant, list[EventId]]
) -> None:
    with SQLSealing(database).read(other.organisation_id) as log, pytest.raises(NotSealedError):
        prove_event(log, grown[1][0])


def forge(database: Database, *statements: object) -> None:
    """Write past the triggers, as the database's owner can."""
    with database.migrate() as connection:
        for table in ("audit_node", "audit_checkpoint", "audit_event"):
            if database.is_sqlite:
                for verb in ("update", "delete"):
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{verb}"))
            else:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]  # any statement


def real_event(tenant: Tenant) -> EventRow:
    """One whose row says the same as its body."""
    told = replace(EVENT, id=EventId(new_id()), organisation=tenant.organisation_id, time=NOW, salt=bytes(16))
    return replace(event(told.action, time=NOW, body=render_event(told)), event_id=told.id)


def test_a_tree_that_was_changed_gives_no_proof(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    rows = [real_event(tenant) for _ in range(600)]
    with tenant.unit_of_work.write() as writer:
        writer.append_events(rows)
    seal(fresh_database, NOW, SIGNER, limit=400)
    seal(fresh_database, NOW, SIGNER)
    of_tenant = audit_node.c.organisation_id == tenant.organisation_id

    for statement in (update(audit_node).values(hash=b"\x00" * 32), delete(audit_node)):
        forge(fresh_database, statement.where(of_tenant))
        with SQLSealing(fresh_database).read(tenant.organisation_id) as log:
            with pytest.raises(ProofBrokenError, match=r"that leaf 599 is in the checkpoint of 600"):
                prove_event(log, rows[599].event_id)
            with pytest.raises(ProofBrokenError, match="are the older log"):
                prove_consistency(log, 400)
            origin = log_origin(SIGNER.name, tenant.organisation_id)
            (found,) = verify_log(log, origin, [SIGNER.vkey]).differences
            assert found.kind is Tampering.UNSIGNED_TREE
            assert "3 stored nodes are not those of the leaves, the first at level 8, place 0" in found.text


def test_a_note_of_another_log_and_an_event_that_cannot_be_read_are_told(fresh_database: Database) -> None:
    tenant, other = make_tenant(fresh_database), make_tenant(fresh_database)
    for one in (tenant, other):
        with one.unit_of_work.write() as writer:
            writer.append_events([event(body=b"no event")])
    seal(fresh_database, NOW, SIGNER)
    origin = log_origin(SIGNER.name, tenant.organisation_id)
    with SQLSealing(fresh_database).read(other.organisation_id) as log:
        stored = log.checkpoint()
        assert stored is not None
    forge(
        fresh_database,
        update(audit_checkpoint)
        .values(note=stored.note)
        .where(audit_checkpoint.c.organisation_id == tenant.organisation_id),
    )

    with SQLSealing(fresh_database).read(tenant.organisation_id) as log:
        found = verify_log(log, origin, [SIGNER.vkey], [Checkpoint(origin, 9, b"")]).differences

    assert [one.kind for one in found] == [Tampering.EDITED, Tampering.RESIGNED, Tampering.CUT]
    assert "cannot be read" in found[0].text
    assert f"says 1 leaves of {log_origin(SIGNER.name, other.organisation_id)}" in found[1].text
    assert "kept elsewhere says 9 leaves; 1 can be found" in found[2].text


def test_checkpoints_that_vanished_behind_the_last_are_told(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    for _ in range(3):
        with tenant.unit_of_work.write() as writer:
            writer.append_events([event()])
        seal(fresh_database, NOW, SIGNER)
    forge(
        fresh_database,
        delete(audit_checkpoint).where(
            audit_checkpoint.c.organisation_id == tenant.organisation_id, audit_checkpoint.c.size == 3
        ),
    )

    sealing = SQLSealing(fresh_database)
    with sealing.read(tenant.organisation_id) as log:
        found = verify_log(log, log_origin(SIGNER.name, tenant.organisation_id), [SIGNER.vkey]).differences
    assert Tampering.CUT in {one.kind for one in found}
    assert any("the last checkpoint left says 2" in one.text for one in found)
    with sealing.read(HEADS_LOG) as heads:
        gone = verify_heads(heads, log_origin(SIGNER.name, HEADS_LOG), [SIGNER.vkey]).differences
    assert gone[0].kind is Tampering.DELETED
