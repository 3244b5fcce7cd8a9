"""`usher db`: the database's own form, and the key that seals its secrets."""

import click

from service.cli.exits import REFUSED
from service.cli.frame import Invocation, UsherGroup, current
from service.cli.output import clean
from service.key_rotation import Rotation, drop_old_keys, rotate_key
from service.opening import open_and_upgrade


@click.group(cls=UsherGroup)
def db() -> None:
    """The database."""


@db.command()
def upgrade() -> None:
    """Make the database, or bring it to the form that this release needs. Back it up before."""
    call = current()
    with open_and_upgrade(call.settings) as wiring:
        address = wiring.database.address
    call.output.say(f"The database {address} is up to date.", {"database": address})


@db.command("rotate-key")
@click.option("--drop-old", is_flag=True, help="Take the keys out that seal nothing any more; add none.")
def rotate(drop_old: bool) -> None:
    """Add a fresh key to the key ring and seal every stored secret anew by it.

    Say it again when it was cut off: it goes on, without another key. On SQLite stop the service before; on
    PostgreSQL processes that read the same key file follow by themselves. Exit code 1 when a value does not open.
    """
    call = current()
    if drop_old:
        _drop(call)
        return
    done = rotate_key(call.wiring, call.actor)
    call.output.say(
        f"{'A fresh key' if done.is_new else 'The key'} '{done.key_id}' seals from now on; {done.values} values are "
        "sealed anew by it.",
        {
            "key_id": done.key_id,
            "is_new": done.is_new,
            "values": done.values,
            "broken": [{"table": one.table, "row": one.row, "reason": one.reason} for one in done.broken],
            "still_used": dict(done.still_used),
            "droppable": list(done.droppable),
        },
    )
    _tell_what_is_left(call, done)
    if done.broken:
        click.get_current_context().exit(REFUSED)


def _tell_what_is_left(call: Invocation, done: Rotation) -> None:
    for one in done.broken:
        call.output.note(f"{one.table} {clean(one.row)} stays as it is: {clean(one.reason)}")
    if done.droppable:
        call.output.note(
            f"Back up the key ring now. Nothing here needs {_listed(done.droppable)} any more, but backups made "
            "until now do: keep a copy with those, then say 'usher db rotate-key --drop-old'."
        )


def _drop(call: Invocation) -> None:
    done = drop_old_keys(call.wiring, call.actor)
    told = f"Dropped: {_listed(done.key_ids)}." if done.key_ids else "There is no key to drop."
    call.output.say(told, {"dropped": list(done.key_ids), "still_used": dict(done.still_used)})
    for key_id, number in done.still_used.items():
        still = f"Key '{clean(key_id)}' still seals {number} values"
        call.output.note(f"{still}; 'usher db rotate-key' seals them anew, or says why not.")


def _listed(key_ids: tuple[str, ...]) -> str:
    return ", ".join(f"'{clean(key_id)}'" for key_id in key_ids)
