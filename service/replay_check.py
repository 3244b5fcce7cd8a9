"""The nightly check that the log is whole: members, grants and seats rebuilt from events alone equal the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from audit.body import parse_body
from directory.ids import MemberId
from provisioning.log_retention import baseline_digest
from provisioning.replay import Misfit, Replay, compare_replay
from provisioning.state import OrganisationState
from service.wiring import Wiring
from storage.log_retention import SQLLogKeeper
from storage.sealing import SQLSealing

REPLAY_EVERY: Final = timedelta(hours=24)
REPLAY_SECONDS: Final = 3600
"""How often it is looked whether the check is due."""

_NOBODY: Final = MemberId("-")
_MOST_TOLD: Final = 20

_log = structlog.get_logger("usher.replay")


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What the replay of one organisation's log has found. `removed` events, the first ones, are kept no more."""

    organisation: OrganisationState
    events: int
    members: int
    misfits: Sequence[Misfit]
    removed: int = 0


def replay_organisation(wiring: Wiring, organisation: OrganisationState) -> ReplayReport:
    """Rebuild an organisation from its events and compare, in one view of the database.

    Where the retention has removed the first events, it begins with what it kept of them, which an event must name.
    """
    with SQLLogKeeper(wiring.database, organisation.organisation_id).read() as view:
        start, base = view.keeping().declared_before, view.baseline()
        digest = baseline_digest(base)
        told = ""
        replay = Replay(base)
        for stored in view.later_bodies(start):
            body = parse_body(stored)
            if body["action"] == "log.retention_applied":
                told = next(
                    (str(change["after"]) for change in body["changes"] if change["path"] == "baseline"), told
                )
            replay.take(body)
        misfits = tuple(compare_replay(replay, view))
    if start and told != digest:
        misfits = (
            Misfit(_NOBODY, "what is kept of the removed events is not what the log says of it"),
            *misfits,
        )
    present = sum(not member.is_deleted for member in replay.members.values())
    return ReplayReport(organisation, replay.events, present, misfits, start)


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
