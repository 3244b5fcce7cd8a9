"""`usher audit seal`, `seal-status`, `prove` and `verify`: the sealed log, and proof of what is in it."""

from base64 import b64encode
from pathlib import Path

import click

from audit.events import FieldChange, Target
from directory.ids import EventId
from provisioning.log_proofs import InclusionProof, prove_consistency, prove_event, prove_leaf
from provisioning.log_verification import Verification
from provisioning.sealing import HEADS_LOG, StoredCheckpoint
from service.cli.exits import REFUSED
from service.cli.frame import UsherCommand, current, organisation_option
from service.cli.output import clean, shown
from service.errors import NotFoundError
from service.log_verification import read_checkpoint_file, trusted_keys, verify_logs
from service.names import is_id
from service.sealer import Sealer, seal_lag
from storage.sealing import SQLSealing


@click.command(cls=UsherCommand)
def seal() -> None:
    """Seal what waits, as a running service does by itself."""
    call = current()
    sealer = Sealer(call.wiring)
    try:
        sealed = sealer.drain()
    finally:
        sealer.stop()
    unsealed = SQLSealing(call.wiring.database).status().unsealed
    call.output.say(f"{sealed} events are sealed, {unsealed} wait.", {"sealed": sealed, "unsealed": unsealed})


@click.command("seal-status", cls=UsherCommand)
def seal_status() -> None:
    """Show how far the log is sealed, by whom, and by which keys."""
    call = current()
    sealing = SQLSealing(call.wiring.database)
    status = sealing.status()
    with sealing.read(HEADS_LOG) as heads:
        head = heads.checkpoint()
    keys = [
        {
            "vkey": key.vkey,
            "state": "signs" if key.is_signing else "retired" if key.retired_at else "announced",
        }
        for key in sealing.log_keys()
    ]
    document = {
        "unsealed": status.unsealed,
        "lag_seconds": round(seal_lag(status, call.wiring.clock()).total_seconds(), 1),
        "sealed_at": status.sealed_at,
        "sealer": status.owner or None,
        "lease_until": status.lease_until,
        "fence": status.fence,
        "checkpoints": 0 if head is None else head.size,
        "keys": keys,
    }
    if call.is_json:
        call.output.document(document)
        return
    headings = {
        "unsealed": "Events that wait",
        "lag_seconds": "The oldest, for seconds",
        "sealed_at": "Last sealed",
        "sealer": "Sealer",
        "checkpoints": "Checkpoints signed",
    }
    call.output.record(document, headings)
    for key in keys:
        call.output.line(f"Key ({key['state']}): {clean(key['vkey'])}")


@click.command(cls=UsherCommand)
@click.argument("event", metavar="EVENT")
@click.option(
    "--size", type=click.IntRange(1), help="In the checkpoint of so many events. Default: the latest."
)
@organisation_option
def prove(event: str, size: int | None) -> None:
    """Prove that an event is in the log: its place, the hashes that lead to the root, and the signed checkpoint.

    The proof is verified before it is printed. Which part it covers is the event's body alone: clear names that are
    shown beside an event are not part of it.
    """
    call = current()
    administration = call.administration
    if not is_id(event):
        raise NotFoundError(f"there is no event '{event}'; list them with 'usher audit list'")
    sealing = SQLSealing(call.wiring.database)
    event_id = EventId(event.lower())
    with administration.read() as reader:
        if not reader.event_bodies([event_id]):
            raise NotFoundError(f"there is no event '{event}'; list them with 'usher audit list'")
    with sealing.read(administration.organisation_id) as log:
        proof = prove_event(log, event_id, size)
    head, head_hashes = _prove_checkpoint(sealing, proof.checkpoint)
    administration.record(
        "log.read",
        (FieldChange("rows", None, 1), FieldChange("query", None, "prove")),
        [Target("organisation", administration.organisation_id), Target("event", event_id, role="object")],
    )
    if call.is_json:
        call.output.document(_proof_document(proof, head, head_hashes))
        return
    line = call.output.line
    line(
        f"Event {event_id} is number {proof.event.leaf_index} of {proof.checkpoint.size} in the log; verified."
    )
    line(f"Sealed {shown(proof.event.sealed_at)}. Leaf hash {_text(proof.event.leaf)}")
    line("The hashes beside the way from the leaf to the root:")
    for number, one in enumerate(proof.hashes, start=1):
        line(f"  {number:>2}  {_text(one)}")
    line("The checkpoint:")
    line()
    line(proof.checkpoint.note.rstrip("\n"))


@click.command("prove-consistency", cls=UsherCommand)
@click.argument("old_size", metavar="OLD_SIZE", type=click.IntRange(1))
@click.argument("new_size", metavar="[NEW_SIZE]", type=click.IntRange(1), required=False)
@organisation_option
def prove_consistency_(old_size: int, new_size: int | None) -> None:
    """Prove that the log of an older checkpoint is the beginning of a newer one's: nothing was taken back.

    Sizes are those of checkpoints; without the second it is the latest. The proof is verified before it is printed.
    """
    call = current()
    with SQLSealing(call.wiring.database).read(call.administration.organisation_id) as log:
        proof = prove_consistency(log, old_size, new_size)
    if call.is_json:
        call.output.document(
            {
                "old": proof.old.note,
                "new": proof.new.note,
                "proof": [_text(one) for one in proof.hashes],
            }
        )
        return
    line = call.output.line
    line(f"The first {proof.old.size} of {proof.new.size} events are the older log; verified.")
    for number, one in enumerate(proof.hashes, start=1):
        line(f"  {number:>2}  {_text(one)}")
    for checkpoint in (proof.old, proof.new):
        line()
        line(checkpoint.note.rstrip("\n"))


def _prove_checkpoint(
    sealing: SQLSealing, checkpoint: StoredCheckpoint
) -> tuple[StoredCheckpoint | None, tuple[bytes, ...]]:
    """That the checkpoint itself is in the tree of heads, which covers all logs."""
    index = checkpoint.head_index
    with sealing.read(HEADS_LOG) as heads:
        head = heads.checkpoint()
        if head is None or index is None:
            return None, ()
        (leaf,) = heads.leaves(index, index + 1)
        return head, prove_leaf(heads, index, leaf, head)


def _proof_document(
    proof: InclusionProof, head: StoredCheckpoint | None, head_hashes: tuple[bytes, ...]
) -> dict[str, object]:
    return {
        "event": proof.event.event_id,
        "body": (proof.event.body or b"").decode(),
        "leaf_index": proof.event.leaf_index,
        "leaf": _text(proof.event.leaf),
        "sealed_at": proof.event.sealed_at,
        "proof": [_text(one) for one in proof.hashes],
        "checkpoint": proof.checkpoint.note,
        "heads": {
            "leaf_index": proof.checkpoint.head_index,
            "proof": [_text(one) for one in head_hashes],
            "checkpoint": head and head.note,
        },
    }


@click.command(cls=UsherCommand)
@click.option("--all", "everything", is_flag=True, help="The logs of all organisations.")
@click.option(
    "--checkpoint",
    "kept",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A checkpoint that was kept elsewhere, a file. Only with one is a log found that was written anew by "
    "whoever has the key. May be given more than once.",
)
@click.option(
    "--key", "keys", multiple=True, metavar="VKEY", help="The public key to trust. Default: the key file's."
)
@organisation_option
def verify(everything: bool, kept: tuple[Path, ...], keys: tuple[str, ...]) -> None:
    """Recompute the log from the stored events and compare it with everything that was signed.

    The organisation's log, the service's own, and the tree of heads, which holds the checkpoints of all logs. Exit
    code 1 when something is not as it was signed; each difference is told.
    """
    call = current()
    wiring = call.wiring
    vkeys = trusted_keys(wiring, keys)
    organisations = (
        [state.organisation_id for state in wiring.store.organisations()]
        if everything
        else [call.administration.organisation_id]
    )
    earlier = [read_checkpoint_file(path, vkeys) for path in kept]
    documents: list[dict[str, object]] = []
    is_good = True
    for name, result in (
        (one.name, one.result) for one in verify_logs(wiring, organisations, vkeys, earlier)
    ):
        is_good = is_good and not result.differences
        documents.append(_verification_document(name, result))
        call.output.note(_sentence(name, result))
        for difference in result.differences:
            call.output.note(f"  {difference.kind.value}: {clean(difference.text)}")
    if call.is_json:
        call.output.document({"is_good": is_good, "keys": list(vkeys), "logs": documents})
    for vkey in vkeys:
        call.output.note(f"Trusted key: {clean(vkey)}")
    if not earlier:
        call.output.note("Not looked at: a checkpoint kept elsewhere; give one by --checkpoint.")
    if not is_good:
        click.get_current_context().exit(REFUSED)


def _sentence(name: str, result: Verification) -> str:
    removed = f" ({result.removed} removed by the retention)" if result.removed else ""
    told = f"{clean(name)}: {result.size} leaves{removed}, {result.checkpoints} checkpoints"
    return f"{told}: {len(result.differences)} differences" if result.differences else f"{told}: as signed"


def _verification_document(name: str, result: Verification) -> dict[str, object]:
    return {
        "name": name,
        "origin": result.origin,
        "leaves": result.size,
        "checkpoints": result.checkpoints,
        "removed": result.removed,
        "differences": [
            {"kind": one.kind, "leaf_index": one.leaf_index, "text": one.text} for one in result.differences
        ],
    }


def _text(value: bytes) -> str:
    return b64encode(value).decode()
