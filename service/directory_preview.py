"""Who would come from a directory that is read now, before anybody is stored."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from directory.changes import Change
from provisioning.commands import Refused
from provisioning.foresight import Foresight, preview_parts
from provisioning.state import StoredDirectory
from service.administration import Administration
from service.errors import RefusedError
from service.runs import plan_now
from sync.run import PlannedRun

PEOPLE_AT_ONCE: Final = 1_000
"""People rehearsed in one transaction: others who write wait for about a quarter of a second."""
TURN_SECONDS: Final = 0.2
"""How long others are let before the next. Who waits for SQLite's one writer looks again every tenth of a second
only, and would find it taken each time. Source: sqliteDefaultBusyCallback in SQLite's main.c."""


@dataclass(frozen=True, slots=True)
class DirectoryPreview:
    """What a run would do, and what that would do to people and seats."""

    planned: PlannedRun
    foresight: Foresight


def preview_directory(
    administration: Administration,
    directory: StoredDirectory,
    *,
    people_at_once: int = PEOPLE_AT_ONCE,
    pause: Callable[[float], None] = time.sleep,
) -> DirectoryPreview:
    """Read the source, plan, and rehearse the plan in parts. Stores only the event of the preview.

    Raises: SyncError when the source cannot be read; RefusedError.
    """
    wiring = administration.wiring
    planned = plan_now(wiring, administration.organisation_id, directory, full=True)
    command = administration.command((), directory_id=directory.directory_id)
    outcome = preview_parts(
        replace(command, kind="run"),
        _in_turn(planned.plan.rehearsals(people_at_once), pause if wiring.database.is_sqlite else None),
        unit_of_work=administration.unit_of_work,
        clock=wiring.clock,
        mint=wiring.mint,
        models=wiring.models,
    )
    if isinstance(outcome, Refused):
        raise RefusedError(outcome.code.value, outcome.message)
    return DirectoryPreview(planned, outcome)


def _in_turn(
    parts: Iterator[tuple[Change, ...]], pause: Callable[[float], None] | None
) -> Iterator[tuple[Change, ...]]:
    """The parts, others let in before each but the first."""
    for number, part in enumerate(parts):
        if number and pause is not None:
            pause(TURN_SECONDS)
        yield part
