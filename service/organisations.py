"""Organisations come into being: row, root scope, first event, owner.

These are three transactions. What a crash leaves is an organisation without an owner, in which nobody has access;
creating it again under the same name goes on where it stopped, and `doctor` names it.
"""

from dataclasses import dataclass

from audit.actors import Actor
from audit.body import parse_body
from audit.events import FieldChange, JSONValue
from directory.changes import AddDomain, Change, EnrolOwner, SetPlan, SetSettings
from directory.facts import name_key
from directory.ids import EnvironmentId, EventId, MemberId, OrganisationId, ScopeId
from mappings.catalogue import Catalogue, load_catalogue
from provisioning.commands import Applied
from provisioning.ports import EventQuery
from provisioning.state import UNLIMITED, OrganisationState, SeatPolicy
from service.administration import Administration
from service.errors import RefusedError
from service.wiring import Wiring

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class NewOrganisation:
    """What an operator says about a new organisation. `seat_limit` -1 is unlimited, said in words."""

    name: str
    environment_id: EnvironmentId
    owner_mail: str
    owner_name: str
    plan: str | None = None
    seat_limit: int | None = None
    seat_policy: SeatPolicy = SeatPolicy.REJECT
    domains: tuple[str, ...] = ()


def create_organisation(new: NewOrganisation, *, wiring: Wiring, actor: Actor) -> OrganisationState:
    """Create the organisation with its owner. Raises RefusedError; nothing is stored then."""
    environment = wiring.store.environment(new.environment_id)
    if environment is None:
        raise RefusedError(
            "not_found",
            f"there is no environment '{new.environment_id}'; load it with 'usher environment load'",
        )
    catalogue = load_catalogue(environment.catalogue, source=f"environment {new.environment_id}")
    _check(new, catalogue)
    begun = wiring.store.organisation(new.name)
    if begun is None:
        state = _first_state(new, wiring)
        wiring.store.create_organisation(state, wiring.clock())
    elif begun.owner_id is None and begun.environment_id == new.environment_id:
        state = begun
    else:
        raise RefusedError("invalid", f"there is an organisation '{begun.name}' already; choose another name")
    administration = Administration(wiring, state.organisation_id, actor)
    root = _first_event(administration, new)
    _enrol(administration, state, new, root)
    with administration.read() as reader:
        return reader.organisation()


def _check(new: NewOrganisation, catalogue: Catalogue) -> None:
    name = new.name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable() or name != new.name:
        raise RefusedError(
            "invalid",
            f"the name {new.name!r} cannot be used; give 1 to {_LONGEST_NAME} printable characters, no space around",
        )
    if "@" not in name_key(new.owner_mail).strip("@"):
        raise RefusedError("invalid", f"'{new.owner_mail}' is not a mail address; give the owner's")
    if not new.owner_name.strip():
        raise RefusedError("invalid", "the owner needs a name")
    check_plan(catalogue, new.plan, new.seat_limit)


def check_plan(catalogue: Catalogue, plan_name: str | None, seat_limit: int | None) -> None:
    """Refuse a plan that the catalogue does not have, and one that leaves its seats open without a number (MT-14)."""
    names = ", ".join(catalogue.plans) or "none"
    if plan_name is None:
        if catalogue.is_plan_required:
            raise RefusedError(
                "invalid", f"an organisation of '{catalogue.id}' needs a plan; its plans are {names}"
            )
    elif plan_name not in catalogue.plans:
        raise RefusedError(
            "invalid", f"plan '{plan_name}' is not in the catalogue '{catalogue.id}'; its plans are {names}"
        )
    elif (
        catalogue.plans[plan_name].seats is None
        and catalogue.plans[plan_name].is_custom
        and seat_limit is None
    ):
        raise RefusedError(
            "invalid",
            f"plan '{plan_name}' has no number of seats of its own; give one, or say unlimited (MT-14)",
        )
    if seat_limit is not None and seat_limit < 1 and seat_limit != UNLIMITED:
        raise RefusedError("invalid", "a seat limit is a number from 1, or unlimited")


def _first_state(new: NewOrganisation, wiring: Wiring) -> OrganisationState:
    return OrganisationState(
        organisation_id=OrganisationId(wiring.mint.id()),
        environment_id=new.environment_id,
        name=new.name,
        plan=new.plan,
        seat_limit=new.seat_limit,
        seat_policy=new.seat_policy,
        resolution=None,
        switches={},
        owner_id=None,
        root_scope_id=ScopeId(wiring.mint.id()),
        access_version=1,
        model_version=1,
        seated=0,
        reserved=0,
    )


def _first_event(administration: Administration, new: NewOrganisation) -> EventId:
    """The event that everything in the organisation begins with; the one that is there, when it is."""
    values: dict[str, JSONValue] = {
        "name": new.name,
        "environment": new.environment_id,
        "plan": new.plan,
        "seat_limit": new.seat_limit,
        "seat_policy": new.seat_policy.value,
    }
    with administration.read() as reader:
        written = list(reader.events(EventQuery(action="organisation.created", limit=1)))
    if written:
        return EventId(parse_body(written[0][1])["id"])
    changes = tuple(FieldChange(path, None, value) for path, value in values.items() if value is not None)
    return administration.record("organisation.created", changes)


def _enrol(
    administration: Administration, state: OrganisationState, new: NewOrganisation, root: EventId
) -> Applied:
    changes: list[Change] = []
    if (state.plan, state.seat_limit) != (new.plan, new.seat_limit) and new.plan is not None:
        changes.append(SetPlan(new.plan, new.seat_limit))
    if state.seat_policy is not new.seat_policy:
        changes.append(SetSettings({"seat_policy": new.seat_policy.value}))
    changes.extend(AddDomain(domain) for domain in new.domains)
    owner = EnrolOwner(MemberId(administration.wiring.mint.id()), new.owner_mail, new.owner_name)
    return administration.apply([*changes, owner], root=root)
