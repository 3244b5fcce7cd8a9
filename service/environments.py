"""Environments: a catalogue is checked, stored, and followed up in every organisation that stands on it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from audit.actors import Actor
from audit.body import EventBody, parse_body
from audit.events import Cause, Event, FieldChange, JSONValue, Outcome, Target
from audit.render import render_event
from directory.ids import EventId, OrganisationId
from mappings.catalogue import Catalogue, load_catalogue, roles_of
from provisioning.apply import drain_pending
from provisioning.ledger import Ledger
from provisioning.models import role_of_definition
from provisioning.ports import EventQuery, Reader
from provisioning.state import EventRow, OrganisationState, StoredEnvironment
from service.administration import Administration
from service.errors import InputError
from service.wiring import Wiring

_NO_ORGANISATION = OrganisationId("")


@dataclass(frozen=True, slots=True)
class LoadedEnvironment:
    """`state` is `new`, `changed` or `unchanged`; `organisations` were worked out anew under the catalogue."""

    catalogue: Catalogue
    sha256: str
    state: str
    organisations: tuple[str, ...]


def load_environment(text: str, *, source: str, wiring: Wiring, actor: Actor) -> LoadedEnvironment:
    """Store the catalogue as an environment, new or in place of its former text.

    Every organisation of the environment is then worked out under the new text. Loading the same text again ends
    what a crash has left undone, and else does nothing.

    Raises: CatalogueError for a faulty text; InputError where an organisation uses what the text does not have.
    """
    catalogue = load_catalogue(text, source=source)
    digest = sha256(text.encode()).hexdigest()
    stored = wiring.store.environment(catalogue.id)
    concerned = [state for state in wiring.store.organisations() if state.environment_id == catalogue.id]
    if stored is None or stored.sha256 != digest:
        faults = [fault for state in concerned for fault in _missed_by(state, catalogue, wiring)]
        if faults:
            raise InputError(faults)
        wiring.store.put_environment(catalogue.id, text, digest, wiring.clock())
        _record_load(catalogue, digest, stored, wiring, actor)
        stored_now = wiring.store.environment(catalogue.id)
        state = "new" if stored is None else "changed"
    else:
        stored_now, state = stored, "unchanged"
    followed = []
    for organisation in concerned:
        administration = Administration(wiring, organisation.organisation_id, actor)
        if stored_now is not None and _is_behind(administration, stored_now):
            _follow(administration, catalogue, digest)
            followed.append(organisation.name)
    return LoadedEnvironment(catalogue, digest, state, tuple(followed))


def _missed_by(state: OrganisationState, catalogue: Catalogue, wiring: Wiring) -> Iterable[str]:
    """What the organisation uses and the catalogue does not have."""
    where = f"organisation '{state.name}'"
    if state.plan is not None and state.plan not in catalogue.plans:
        yield f"{where} has the plan '{state.plan}', which the new catalogue lacks; change the plan first"
    with wiring.unit_of_work(state.organisation_id).read() as reader:
        inputs = reader.model_inputs()
        used = {role for _, role, _ in reader.open_grants()}
    used |= {rule.role for rule in inputs.rules}
    used |= {role for role in inputs.default_roles.values() if role is not None}
    custom = [role_of_definition(definition) for definition in inputs.custom_roles]
    roles = roles_of(catalogue, switches=state.switches, custom=custom)
    for role in sorted(used - roles.keys()):
        yield f"{where} uses the role '{role}', which the new catalogue lacks; change its rules and overrides first"
    for kind in sorted({scope.kind for scope in inputs.scopes} - catalogue.scope_kinds.keys()):
        yield f"{where} has scopes of the kind '{kind}', which the new catalogue lacks; remove them first"


def _is_behind(administration: Administration, environment: StoredEnvironment) -> bool:
    """Whether the organisation was last worked out under an earlier text of the catalogue."""
    with administration.read() as reader:
        followed = _last(reader, "environment.loaded")
        if followed is not None:
            return _after(followed, "catalogue_sha256") != environment.sha256
        created = _last(reader, "organisation.created")
    return created is None or datetime.fromisoformat(created["time"]) <= environment.loaded_at


def _last(reader: Reader, action: str) -> EventBody | None:
    rows = list(reader.events(EventQuery(action=action, limit=1, newest_first=True)))
    return parse_body(rows[0][1]) if rows else None


def _after(body: EventBody, path: str) -> object:
    return next((change["after"] for change in body.get("changes", ()) if change["path"] == path), None)


def _follow(administration: Administration, catalogue: Catalogue, digest: str) -> None:
    """Move the organisation to the catalogue that is stored now, and work everybody's access out again."""
    wiring = administration.wiring
    with administration.unit_of_work.write() as writer:
        state = writer.organisation()
        ledger = Ledger(
            organisation_id=state.organisation_id,
            actor=administration.actor,
            now=wiring.clock(),
            mint=wiring.mint,
            kind=administration.kind,
        )
        event_id = ledger.record(
            "environment.loaded",
            (Target("organisation", state.organisation_id),),
            (
                FieldChange("environment", None, catalogue.id),
                FieldChange("catalogue_sha256", None, digest),
                FieldChange("version", None, catalogue.version),
            ),
        )
        # Compiled models are kept by this version, in every process.
        writer.save_organisation(
            replace(
                state,
                access_version=state.access_version + 1,
                model_version=state.model_version + 1,
            )
        )
        writer.enqueue_everyone(kind="operator", root=event_id, parent=event_id)
        writer.append_events(ledger.rows)
    drain_pending(
        administration.command((), root=event_id),
        unit_of_work=administration.unit_of_work,
        clock=wiring.clock,
        mint=wiring.mint,
        models=wiring.models,
    )


def _record_load(
    catalogue: Catalogue, digest: str, former: StoredEnvironment | None, wiring: Wiring, actor: Actor
) -> None:
    """Write the event of the service itself; organisations get theirs when they follow."""
    values: dict[str, JSONValue] = {
        "environment": catalogue.id,
        "version": catalogue.version,
        "roles": len(catalogue.roles),
        "permissions": len(catalogue.permissions),
        "plans": len(catalogue.plans),
        "scope_kinds": len(catalogue.scope_kinds),
    }
    now = wiring.clock()
    event = Event(
        id=EventId(wiring.mint.id()),
        organisation=_NO_ORGANISATION,
        time=now,
        salt=wiring.mint.salt(),
        action="environment.loaded",
        outcome=Outcome.SUCCESS,
        actor=actor,
        targets=(Target("environment", catalogue.id),),
        cause=Cause("operator"),
        changes=(
            *(FieldChange(path, None, value) for path, value in values.items()),
            FieldChange("catalogue_sha256", None if former is None else former.sha256, digest),
        ),
    )
    wiring.events.append([EventRow(event.id, now, event.action, catalogue.id, render_event(event))])
