"""Verifying the logs from the service's side: which logs, by which keys, against which checkpoints kept elsewhere."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.checkpoint import Checkpoint, parse_checkpoint, verify_note
from audit.errors import AuditError
from directory.ids import OrganisationId
from provisioning.log_verification import Verification, verify_heads, verify_log
from provisioning.sealing import HEADS_LOG, SERVICE_LOG, log_origin
from service.errors import FileAccessError, InputError
from service.log_keys import load_log_keys
from service.sealer import read_head
from service.wiring import Wiring
from storage.sealing import SQLSealing


@dataclass(frozen=True, slots=True)
class NamedVerification:
    """A log by the name that people know it by."""

    name: str
    result: Verification


def trusted_keys(wiring: Wiring, given: Sequence[str]) -> tuple[str, ...]:
    """The keys that are given, else those of the key file; never what the database says. Raises InputError."""
    vkeys = tuple(given) or load_log_keys(wiring.settings).vkeys
    if not vkeys:
        raise InputError(
            [
                f"there is no log key at {wiring.settings.log_key_file}, so no signature can be trusted; name the "
                "public key that you trust by --key"
            ]
        )
    return vkeys


def read_checkpoint_file(path: Path, vkeys: Collection[str]) -> Checkpoint:
    """A checkpoint that somebody kept. Raises FileAccessError, InputError when no trusted key has signed it."""
    try:
        return parse_checkpoint(verify_note(path.read_text(encoding="utf-8"), vkeys).text)
    except (OSError, UnicodeDecodeError) as err:
        raise FileAccessError(
            f"the checkpoint '{path}' cannot be read; name a file with a signed note"
        ) from err
    except AuditError as err:
        raise InputError([f"the checkpoint '{path}' cannot be used: {err}"]) from err


def verify_logs(
    wiring: Wiring,
    organisation_ids: Sequence[OrganisationId],
    vkeys: Collection[str],
    kept: Sequence[Checkpoint] = (),
) -> Iterator[NamedVerification]:
    """Recompute the logs of organisations, then the service's own and the tree of heads, one by one.

    The tree of heads is compared with what was last signed, as it is remembered outside of the database.
    Raises InputError for a kept checkpoint that is of none of these logs.
    """
    sealing = SQLSealing(wiring.database)
    name = sealing.log_name()
    origins = {log: log_origin(name, log) for log in (*organisation_ids, SERVICE_LOG, HEADS_LOG)}
    strangers = [one.origin for one in kept if one.origin not in origins.values()]
    if strangers:
        raise InputError([f"a checkpoint is of the log {strangers[0]}, which is not verified here"])
    known = {state.organisation_id: state.name for state in wiring.store.organisations()}
    for log, origin in origins.items():
        earlier = [one for one in kept if one.origin == origin]
        with sealing.read(log) as reader:
            if log == HEADS_LOG:
                head = read_head(wiring.settings)
                result = verify_heads(reader, origin, vkeys, [*earlier, *([head] if head else [])])
            else:
                result = verify_log(reader, origin, vkeys, earlier)
        yield NamedVerification(known.get(log, origin.rpartition("/")[2]), result)
