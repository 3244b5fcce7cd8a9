"""What an operator does to the log as a whole: exchange the keys that sign it, and say that a backup was restored.

Both are written into every log, so that whoever reads one knows of it: a new key under a checkpoint of the old one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from audit.actors import Actor
from audit.events import Cause, Event, FieldChange, Outcome, Target
from audit.render import render_event
from directory.ids import EventId, OrganisationId
from provisioning.sealing import HEADS_LOG, Signer
from provisioning.state import EventRow
from service.administration import Administration
from service.errors import FileAccessError, RefusedError
from service.log_keys import add_log_key, load_log_keys, log_name, retire_log_keys
from service.sealer import keep_head, read_head
from service.wiring import Wiring
from storage.sealing import SQLSealing

_NO_ORGANISATION = OrganisationId("")


@dataclass(frozen=True, slots=True)
class Restored:
    """How many checkpoints were signed, and how many of them the database holds."""

    signed: int
    found: int


def announce_log_key(wiring: Wiring, actor: Actor) -> Signer:
    """Make a key and write into every log that it will sign; or end an announcement that was cut off.

    Until the older keys have sealed that, they sign alone; from then on all of them do.
    Raises: FileAccessError, LogKeyError; RefusedError where nothing was ever signed, or a key is announced already.
    """
    settings, sealing = wiring.settings, SQLSealing(wiring.database)
    known = {key.key_id: key for key in sealing.log_keys()}
    if not known:
        raise RefusedError("nothing_signed", "nothing has been signed yet, so there is no key to exchange")
    waiting = [key for key in known.values() if key.active_at is None and key.retired_at is None]
    if waiting:
        raise RefusedError(
            "key_announced",
            f"the key {waiting[0].key_id} is announced and signs as soon as that is sealed; run the service, or say "
            "'usher audit seal'",
        )
    unannounced = [one for one in load_log_keys(settings).signers.values() if one.key_id not in known]
    name = sealing.log_name() or log_name(settings)
    key = unannounced[0] if unannounced else add_log_key(settings.log_key_file, name)
    last = _write(wiring, actor, "log.key_rotated", _said(key, "announced"), [Target("log_key", key.key_id)])
    sealing.announce_key(key, last, wiring.clock())
    return key


def retire_old_log_keys(wiring: Wiring, actor: Actor) -> tuple[str, ...]:
    """Let the newest key sign alone, and take the private halves of the others out of the file; their key ids.

    Whoever still pins an older key then no longer can verify what comes.
    """
    sealing = SQLSealing(wiring.database)
    signing = [key for key in sealing.log_keys() if key.is_signing]
    old = signing[:-1]
    signers = load_log_keys(wiring.settings).signers
    for key in old:
        if key.key_id in signers:
            _write(
                wiring,
                actor,
                "log.key_rotated",
                _said(signers[key.key_id], "retired"),
                [Target("log_key", key.key_id)],
            )
    key_ids = frozenset(key.key_id for key in old)
    if key_ids:
        sealing.retire_keys(key_ids, wiring.clock())
        retire_log_keys(wiring.settings.log_key_file, key_ids)
    return tuple(sorted(key_ids))


def declare_restore(wiring: Wiring, actor: Actor) -> Restored:
    """Say that the database is an older one, and let sealing go on from where it stands.

    What was signed since is not in it: whoever kept such a checkpoint will find that the log was forked, and every
    log tells why.
    """
    settings, sealing = wiring.settings, SQLSealing(wiring.database)
    with sealing.read(HEADS_LOG) as heads:
        found = heads.checkpoint()
    try:
        head = read_head(settings)
    except FileAccessError:
        # What was last signed is not known any more; that is as good as another database.
        head = None
    restored = Restored(head.size if head else 0, found.size if found else 0)
    _write(
        wiring,
        actor,
        "log.restore_declared",
        (FieldChange("signed", None, restored.signed), FieldChange("found", None, restored.found)),
        (),
    )
    sealing.begin_anew()
    if found is None:
        settings.log_head_file.unlink(missing_ok=True)
    else:
        keep_head(settings, found.note)
    return restored


def _said(key: Signer, state: str) -> tuple[FieldChange, ...]:
    return (
        FieldChange("key_id", None, key.key_id),
        FieldChange("vkey", None, key.vkey),
        FieldChange("state", None, state),
    )


def _write(
    wiring: Wiring, actor: Actor, action: str, changes: tuple[FieldChange, ...], targets: Sequence[Target]
) -> EventId:
    """The same event in the log of each organisation, and last in the service's own; that one's id."""
    for state in wiring.store.organisations():
        Administration(wiring, state.organisation_id, actor).record(action, changes, targets)
    now = wiring.clock()
    event = Event(
        id=EventId(wiring.mint.id()),
        organisation=_NO_ORGANISATION,
        time=now,
        salt=wiring.mint.salt(),
        action=action,
        outcome=Outcome.SUCCESS,
        actor=actor,
        targets=tuple(targets),
        cause=Cause("operator"),
        changes=changes,
    )
    subject = targets[0].id if targets else ""
    wiring.events.append([EventRow(event.id, now, action, subject, render_event(event))])
    return event.id
