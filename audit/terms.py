"""What an event is found by: one term for each thing that a reader may ask for.

A term is a word and a value. Actors and their types are kept with the action, so that "everything Ada did" and
"everything of the kind role.granted" are unions of a few terms, and "what Ada granted" is one.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from audit.actors import Actor, AdminActor, ApiKeyActor, LoginActor, RunActor, SystemActor, TokenActor
from audit.body import EventBody
from audit.events import ACTIONS, Event, Outcome

ACTOR_TYPES: Final = ("token", "run", "admin", "support", "login", "api_key", "system")

_TYPES: Final = {
    TokenActor: "token",
    RunActor: "run",
    AdminActor: "admin",
    LoginActor: "login",
    ApiKeyActor: "api_key",
    SystemActor: "system",
}
# A control character: neither an id nor the name of an action, a role or a kind holds one.
_GAP: Final = "\x1f"


def actor_term(actor_id: str, action: str) -> str:
    return f"actor{_GAP}{actor_id}{_GAP}{action}"


def actor_type_term(actor_type: str, action: str) -> str:
    return f"type{_GAP}{actor_type}{_GAP}{action}"


def cause_term(kind: str) -> str:
    return f"cause{_GAP}{kind}"


def parent_term(event_id: str) -> str:
    """Of the events that this one caused."""
    return f"parent{_GAP}{event_id}"


def target_term(target_id: str) -> str:
    return f"target{_GAP}{target_id}"


def group_term(group_id: str) -> str:
    """Of events that came about through a group; those about the group have it as a target."""
    return f"group{_GAP}{group_id}"


def rule_term(rule_id: str) -> str:
    """Of events that came about by a rule, likewise."""
    return f"rule{_GAP}{rule_id}"


def run_term(run_id: str) -> str:
    """Of events of a run that somebody else than the run is the actor of."""
    return f"run{_GAP}{run_id}"


def request_term(request_id: str) -> str:
    return f"request{_GAP}{request_id}"


def role_term(role: str) -> str:
    return f"role{_GAP}{role}"


def outcome_term(outcome: str) -> str:
    """Of events that did not succeed; the others have none."""
    return f"outcome{_GAP}{outcome}"


def actions_like(pattern: str) -> tuple[str, ...]:
    """The actions that a pattern means: one action, or with `.` or `*` at its end all that begin so."""
    if not pattern.endswith((".", "*")):
        return (pattern,)
    beginning = pattern.removesuffix("*")
    return tuple(action for action in ACTIONS if action.startswith(beginning))


def event_terms(event: Event) -> tuple[str, ...]:
    """The terms of an event that is about to be written, each once."""
    cause = event.cause
    return _terms(
        action=event.action,
        outcome=event.outcome,
        actor_type=_actor_type(event.actor),
        actor_id=_actor_id(event.actor),
        cause={
            "kind": cause.kind,
            "parent": cause.parent or "",
            "group_id": cause.group_id,
            "rule_id": cause.rule_id,
            "run_id": cause.run_id,
        },
        request_id=event.request_id or cause.scim_request_id,
        targets=(target.id for target in event.targets),
        roles=_roles(
            (change.path, value) for change in event.changes for value in (change.before, change.after)
        ),
    )


def body_terms(body: EventBody) -> tuple[str, ...]:
    """The terms of an event that is stored already: those that it was written with.

    Only what the body has cut to a digest, a great many roles given at once, is not found again.
    """
    cause = body["cause"]
    return _terms(
        action=body["action"],
        outcome=body["outcome"],
        actor_type=body["actor"]["type"],
        actor_id=body["actor"]["id"],
        cause={name: str(value) for name, value in cause.items()},
        request_id=body.get("context", {}).get("request_id", "") or cause.get("scim_request_id", ""),
        targets=(target["id"] for target in body.get("targets", ())),
        roles=_roles(
            (change["path"], value)
            for change in body.get("changes", ())
            for value in (change["before"], change["after"])
        ),
    )


def _terms(
    *,
    action: str,
    outcome: str,
    actor_type: str,
    actor_id: str,
    cause: dict[str, str],
    request_id: str,
    targets: Iterable[str],
    roles: Iterable[str],
) -> tuple[str, ...]:
    terms = [actor_term(actor_id, action), actor_type_term(actor_type, action), cause_term(cause["kind"])]
    terms.extend(map(target_term, targets))
    if parent := cause.get("parent"):
        terms.append(parent_term(parent))
    if group_id := cause.get("group_id"):
        terms.append(group_term(group_id))
    if rule_id := cause.get("rule_id"):
        terms.append(rule_term(rule_id))
    if (run_id := cause.get("run_id")) and run_id != actor_id:
        terms.append(run_term(run_id))
    if request_id:
        terms.append(request_term(request_id))
    if outcome != Outcome.SUCCESS:
        terms.append(outcome_term(outcome))
    terms.extend(map(role_term, roles))
    return tuple(dict.fromkeys(terms))


def _actor_type(actor: Actor) -> str:
    if isinstance(actor, AdminActor) and actor.on_behalf_of:
        return "support"
    return _TYPES[type(actor)]


def _actor_id(actor: Actor) -> str:
    match actor:
        case TokenActor():
            return actor.token_id
        case RunActor():
            return actor.run_id
        case AdminActor():
            return actor.admin_id
        case LoginActor():
            return actor.login_id
        case ApiKeyActor():
            return actor.key_id
        case SystemActor():
            return actor.component


def _roles(values: Iterable[tuple[str, object]]) -> Iterator[str]:
    """The roles that changes speak of: as `role`, or among grants as `role@scope`."""
    for path, value in values:
        if path == "role" and isinstance(value, str):
            yield value
        elif path == "grants" and isinstance(value, tuple | list):
            for pair in value:
                role, at, _ = pair.partition("@")
                if at:
                    yield role
