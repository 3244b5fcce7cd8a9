"""The nightly check that the log is whole: members, grants and seats rebuilt from events alone equal the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from audit.body import parse_body
from directory.ids import OrganisationId
from provisioning.ports import EventQuery
from provisioning.replay import Misfit, compare_replay, replay_events
from provisioning.state import OrganisationState
from service.wiring import Wiring
from storage.sealing import SQLSealing

REPLAY_EVERY: Final = timedelta(hours=24)
REPLAY_SECONDS: Final = 3600
"""How often it is looked whether the check is due."""

_ALL: Final = 2**31 - 1
_MOST_TOLD: Final = 20

_log = structlog.get_logger("usher.replay")


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What the replay of one organisation's log has found. `reason` says why there was none."""

    organisation: OrganisationState
    events: int
    members: int
    misfits: Sequence[Misfit]
    reason: str = ""


def replay_organisation(wiring: Wiring, organisation: OrganisationState) -> ReplayReport:
    """Rebuild an organisation from its events and compare, in one view of the database.

    A log whose first events the retention has removed cannot be replayed.
    """
    if removed := _removed(wiring, organisation.organisation_id):
        return ReplayReport(organisation, 0, 0, (), f"the retention has removed the events up to {removed}")
    with wiring.unit_of_work(organisation.organisation_id).read() as reader:
        replay = replay_events(parse_body(body) for _, body in reader.events(EventQuery(limit=_ALL)))
        misfits = tuple(compare_replay(replay, reader))
    present = sum(not member.is_deleted for member in replay.members.values())
    return ReplayReport(organisation, replay.events, present, misfits)


def replay_all(wiring: Wiring) -> int:
    """The job: once in 24 hours, for all processes together; how many differences there are."""
    sealing = SQLSealing(wiring.database)
    now = wiring.clock()
    if not sealing.claim_replay(now, now - REPLAY_EVERY):
        return 0
    found = 0
    for organisation in wiring.store.organisations():
        report = replay_organisation(wiring, organisation)
        found += len(report.misfits)
        for misfit in report.misfits[:_MOST_TOLD]:
            _log.error(
                "the log does not say what is so",
                organisation=organisation.organisation_id,
                member=misfit.member_id,
                difference=misfit.text,
            )
    sealing.note_replay(found)
    return found


def _removed(wiring: Wiring, organisation_id: OrganisationId) -> int:
    with SQLSealing(wiring.database).read(organisation_id) as log:
        return max((last for _, last in log.removals()), default=-1) + 1
