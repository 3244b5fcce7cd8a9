"""`usher audit rotate-key` and `declare-restore`: what an operator does to the log as a whole."""

import click

from service.cli.frame import UsherCommand, current
from service.cli.output import clean
from service.log_upkeep import announce_log_key, declare_restore, retire_old_log_keys


@click.command("rotate-key", cls=UsherCommand)
@click.option("--retire-old", is_flag=True, help="Let the newest key sign alone; make none.")
def rotate_key(retire_old: bool) -> None:
    """Make a new key for the log and announce it under the old one; then both sign, until the old one is retired.

    Tell the new public key to whoever verifies before you retire the old one. Where several machines seal, copy the
    key file to each of them.
    """
    call = current()
    if retire_old:
        retired = retire_old_log_keys(call.wiring, call.actor)
        told = f"Retired: {', '.join(retired)}." if retired else "There is no older key to retire."
        call.output.say(told, {"retired": list(retired)})
        return
    key = announce_log_key(call.wiring, call.actor)
    call.output.say(
        f"The key {key.key_id} is announced. Once that is sealed it signs beside the old one:\n{clean(key.vkey)}",
        {"key_id": key.key_id, "vkey": key.vkey},
    )
    call.output.note(f"Back up {clean(str(call.settings.log_key_file))} now.")


@click.command("declare-restore", cls=UsherCommand)
def restore() -> None:
    """Say that the database was restored from a backup, so that sealing goes on. It is written into every log.

    Without it nothing is sealed: a checkpoint of the same size as an earlier one, but over other events, is what a
    forger would make. Whoever kept a later checkpoint than the backup's will find the fork.
    """
    call = current()
    restored = declare_restore(call.wiring, call.actor)
    call.output.say(
        f"Declared: {restored.signed} checkpoints were signed, {restored.found} of them are here. Sealing goes on.",
        {"signed": restored.signed, "found": restored.found},
    )
