"""Rotation of the service's key: a fresh key, everything sealed anew by it, and the old ones dropped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from audit.actors import Actor
from audit.events import Cause, Event, FieldChange, Outcome, Target
from audit.render import render_event
from directory.ids import EventId, OrganisationId
from provisioning.state import EventRow
from service.errors import InputError
from service.key_file import add_key, drop_keys, fresh_key_id
from service.wiring import Wiring
from storage.rotation import BATCH_SIZE, BrokenValue, count_keys, hold_sealed, reseal
from storage.service_lock import hold_service_lock

_NO_ORGANISATION = OrganisationId("")


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation has done. `still_used` counts what other keys than the current one seal, by their ids."""

    key_id: str
    is_new: bool
    values: int
    broken: tuple[BrokenValue, ...]
    still_used: Mapping[str, int]
    droppable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Old keys that are gone, and those that stay with what they seal."""

    key_ids: tuple[str, ...]
    still_used: Mapping[str, int]


def rotate_key(
    wiring: Wiring,
    actor: Actor,
    *,
    batch_size: int = BATCH_SIZE,
    after_batch: Callable[[int], None] = lambda _values: None,
) -> Rotation:
    """Add a fresh key and seal everything anew by it; or end a rotation that was cut off, without another key.

    Raises: InputError when a fresh key is needed and the ring is not in the key file; FileAccessError; KeyRingError;
    DatabaseLockedError while a service runs on the SQLite file.
    """
    settings, database = wiring.settings, wiring.database
    with hold_service_lock(database):
        ring = database.key_ring
        # What an earlier rotation has left, or somebody who sealed while it ran.
        done = reseal(database, batch_size=batch_size, after_batch=after_batch)
        is_new = not done.values
        if is_new:
            key_id = fresh_key_id([*ring.key_ids, *count_keys(database)])
            if settings.secret_key:
                raise InputError([_by_hand(key_id)])
            add_key(settings.key_file, key_id)
            _record(wiring, actor, "key.added", key_id)
            done = reseal(database, batch_size=batch_size, after_batch=after_batch)
        current = ring.current_id
        _record(wiring, actor, "key.rotated", current, done.values)
        left = {
            key_id: number for key_id, number in sorted(count_keys(database).items()) if key_id != current
        }
    droppable = tuple(sorted(ring.key_ids - {current} - left.keys()))
    return Rotation(current, is_new, done.values, done.broken, left, droppable)


def drop_old_keys(wiring: Wiring, actor: Actor) -> Dropped:
    """Take every key out of the key file that seals nothing any more. Raises as `rotate_key` does."""
    database = wiring.database
    with hold_service_lock(database):
        ring = database.key_ring
        with hold_sealed(database) as used:
            current = ring.current_id
            unused = tuple(sorted(ring.key_ids - {current} - used.keys()))
            if unused and wiring.settings.secret_key:
                names = ", ".join(map(repr, unused))
                raise InputError(
                    [
                        f"nothing needs {names} any more, but the key ring comes from USHER_SECRET_KEY; take the "
                        "lines of these keys out there, and start every process anew"
                    ]
                )
            if unused:
                drop_keys(wiring.settings.key_file, unused)
        for key_id in unused:
            _record(wiring, actor, "key.dropped", key_id)
    return Dropped(unused, {key_id: number for key_id, number in sorted(used.items()) if key_id != current})


def _by_hand(key_id: str) -> str:
    return (
        "the key ring comes from USHER_SECRET_KEY, which this command cannot change: put a line "
        f"'{key_id}:KEY' before the others there, KEY being what 'openssl rand -base64 32' prints; keep the others, "
        "start every process anew, then say this again"
    )


def _record(wiring: Wiring, actor: Actor, action: str, key_id: str, values: int | None = None) -> None:
    now = wiring.clock()
    said = [FieldChange("key_id", None, key_id)]
    if values is not None:
        said.append(FieldChange("values", None, values))
    event = Event(
        id=EventId(wiring.mint.id()),
        organisation=_NO_ORGANISATION,
        time=now,
        salt=wiring.mint.salt(),
        action=action,
        outcome=Outcome.SUCCESS,
        actor=actor,
        targets=(Target("key", key_id),),
        cause=Cause("operator"),
        changes=tuple(said),
    )
    wiring.events.append([EventRow(event.id, now, event.action, key_id, render_event(event))])
