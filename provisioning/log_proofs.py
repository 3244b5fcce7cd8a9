"""Proofs for what is sealed: that an event is in its log, and that an older log is the beginning of a newer one.

Every proof is verified here before it is given away: one that does not hold means that the stored tree was changed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from audit.errors import TreeError
from audit.tree import (
    consistency_proof,
    inclusion_proof,
    layered_nodes,
    verify_consistency,
    verify_inclusion,
)
from directory.ids import EventId
from provisioning.errors import ProvisioningError
from provisioning.sealing import SealedReader, StoredCheckpoint, StoredEvent


class NotSealedError(ProvisioningError):
    """The event has no place in the log yet, or there is no such checkpoint."""

    code = "not_sealed"


class ProofBrokenError(ProvisioningError):
    """The stored tree does not prove what it should: it is not the one that was signed."""

    code = "proof_broken"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That `event` is the leaf of its index in the tree of the checkpoint; the hashes from the leaf upwards."""

    event: StoredEvent
    checkpoint: StoredCheckpoint
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the tree of the older checkpoint is the beginning of that of the newer one."""

    old: StoredCheckpoint
    new: StoredCheckpoint
    hashes: tuple[bytes, ...]


def prove_event(log: SealedReader, event_id: EventId, size: int | None = None) -> InclusionProof:
    """Prove one event in the latest checkpoint, or in the one of `size`. Raises NotSealedError, ProofBrokenError."""
    event = log.leaf_of(event_id)
    if event is None:
        raise NotSealedError(
            f"the event {event_id} has no place in the log yet; a running service seals within a second, and "
            "'usher audit seal' does it now"
        )
    checkpoint = find_checkpoint(log, size)
    if event.leaf_index >= checkpoint.size:
        raise NotSealedError(f"the event {event_id} came behind the checkpoint of {checkpoint.size} events")
    return InclusionProof(event, checkpoint, prove_leaf(log, event.leaf_index, event.leaf, checkpoint))


def prove_leaf(log: SealedReader, index: int, leaf: bytes, checkpoint: StoredCheckpoint) -> tuple[bytes, ...]:
    """Prove a leaf in a checkpoint. Raises ProofBrokenError."""
    hashes = _attempt(lambda: inclusion_proof(index, checkpoint.size, layered_nodes(log.node, log.leaves)))
    if hashes is None or not verify_inclusion(leaf, index, checkpoint.size, hashes, checkpoint.root):
        raise _broken(f"that leaf {index} is in the checkpoint of {checkpoint.size}")
    return hashes


def prove_consistency(log: SealedReader, old_size: int, new_size: int | None = None) -> ConsistencyProof:
    """Prove that nothing was taken back between two checkpoints. Raises NotSealedError, ProofBrokenError."""
    old, new = find_checkpoint(log, old_size), find_checkpoint(log, new_size)
    if old.size > new.size:
        raise NotSealedError(f"the checkpoint of {old.size} events is not older than that of {new.size}")
    hashes = _attempt(lambda: consistency_proof(old.size, new.size, layered_nodes(log.node, log.leaves)))
    if hashes is None or not verify_consistency(old.size, new.size, old.root, new.root, hashes):
        raise _broken(f"that the first {old.size} of {new.size} leaves are the older log")
    return ConsistencyProof(old, new, hashes)


def find_checkpoint(log: SealedReader, size: int | None) -> StoredCheckpoint:
    """The latest checkpoint, or the one of exactly that size. Raises NotSealedError."""
    found = log.checkpoint(size)
    if found is None:
        told = "nothing is sealed yet" if size is None else f"no checkpoint was signed at {size} events"
        raise NotSealedError(told)
    return found


def _attempt(prove: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...] | None:
    try:
        return prove()
    except (TreeError, IndexError):
        # Leaves or nodes that should be stored are not.
        return None


def _broken(what: str) -> ProofBrokenError:
    return ProofBrokenError(f"the stored tree does not prove {what}; look at it with 'usher audit verify'")
