"""Who would come from a directory that is read now, before anybody is stored."""

from dataclasses import dataclass, replace
from itertools import chain

from provisioning.commands import Refused
from provisioning.foresight import Foresight, preview_changes
from provisioning.runs import RUN_BATCH_SIZE
from provisioning.state import StoredDirectory
from service.administration import Administration
from service.errors import RefusedError
from service.runs import plan_now
from sync.run import PlannedRun


@dataclass(frozen=True, slots=True)
class DirectoryPreview:
    """What a run would do, and what that would do to people and seats."""

    planned: PlannedRun
    foresight: Foresight


def preview_directory(administration: Administration, directory: StoredDirectory) -> DirectoryPreview:
    """Read the source, plan, and rehearse the plan. Stores only the event of the preview.

    Raises: SyncError when the source cannot be read; RefusedError.
    """
    wiring = administration.wiring
    planned = plan_now(wiring, administration.organisation_id, directory, full=True)
    changes = tuple(chain.from_iterable(planned.plan.batches(RUN_BATCH_SIZE)))
    command = administration.command(changes, directory_id=directory.directory_id)
    outcome = preview_changes(
        replace(command, kind="run"),
        unit_of_work=administration.unit_of_work,
        clock=wiring.clock,
        mint=wiring.mint,
        models=wiring.models,
    )
    if isinstance(outcome, Refused):
        raise RefusedError(outcome.code.value, outcome.message)
    return DirectoryPreview(planned, outcome)
