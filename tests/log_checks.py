"""What must hold of a log whatever a test has done: it gives the present state, and every cause leads to a root."""

from audit.body import EventBody, parse_body
from audit.chains import walk_chain
from directory.ids import EventId, OrganisationId
from provisioning.ports import EventQuery
from service.replay_check import replay_organisation
from service.wiring import Wiring

_ALL = 1_000_000


def check_logs(wiring: Wiring) -> None:
    """Replay the log of each organisation, and walk each chain in it to its root."""
    for organisation in wiring.store.organisations():
        report = replay_organisation(wiring, organisation)
        assert [misfit.text for misfit in report.misfits] == []
        check_chains(wiring, organisation.organisation_id)


def check_chains(wiring: Wiring, organisation_id: OrganisationId) -> int:
    """Walk each chain; how many events lead to another."""
    with wiring.unit_of_work(organisation_id).read() as reader:
        bodies = [parse_body(body) for _, body in reader.events(EventQuery(limit=_ALL))]
    log: dict[EventId, EventBody] = {EventId(body["id"]): body for body in bodies}
    for event_id in log:
        walk_chain(event_id, log.get)
    return sum("parent" in body["cause"] for body in bodies)
