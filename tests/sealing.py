"""Sealing in tests: keys that sign, and a sealer that is asked for each batch."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import Checkpoint
from provisioning.sealing import SealedBatch, Signer
from storage.engine import Database
from storage.sealing import SQLSealing

LEASE = timedelta(seconds=5)


def make_signer(number: int = 1, name: str = "usher.example.org") -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return Signer(name, private.public_key().public_bytes_raw(), private.sign)


def keyed(*signers: Signer) -> Mapping[str, Signer]:
    return {signer.key_id: signer for signer in signers}


def seal(
    database: Database,
    at: datetime,
    *signers: Signer,
    limit: int = 10_000,
    known_head: Checkpoint | None = None,
    owner: str = "one",
) -> SealedBatch:
    """Seal one batch as a sealer that nobody disputes."""
    sealing = SQLSealing(database)
    fence = sealing.claim(owner, at, at + LEASE)
    assert fence is not None
    batch = sealing.seal_batch(
        fence,
        keyed(*(signers or [make_signer()])),
        known_head,
        at=at,
        lease_until=at + LEASE,
        limit=limit,
    )
    assert batch is not None
    return batch
