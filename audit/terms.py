"""What an event is found by: one term for each thing that a reader may ask for.

A term is a word and a value. Actors and their types are kept with the action, so that "everything Ada did" and
"everything of the kind role.granted" are unions of a few terms, and "what Ada granted" is one.
"""

from collections.abc import Iterator
from typing import Final

from audit.body import EventBody, ValueBody
from audit.events import ACTIONS, Outcome

ACTOR_TYPES: Final = ("token", "run", "admin", "support", "login", "api_key", "system")

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


def address_term(reference: str) -> str:
    """By the reference to an address, which is another one for each subject that it is of."""
    return f"address{_GAP}{reference}"


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


def body_terms(body: EventBody) -> tuple[str, ...]:
    """The terms of an event, each once. Roles that the body has cut to a digest are not among them."""
    action, actor, cause = body["action"], body["actor"], body["cause"]
    terms = [
        actor_term(actor["id"], action),
        actor_type_term(actor["type"], action),
        cause_term(cause["kind"]),
    ]
    terms.extend(target_term(target["id"]) for target in body.get("targets", ()))
    if parent := cause.get("parent"):
        terms.append(parent_term(parent))
    if group_id := cause.get("group_id"):
        terms.append(group_term(group_id))
    if rule_id := cause.get("rule_id"):
        terms.append(rule_term(rule_id))
    if (run_id := cause.get("run_id")) and run_id != actor["id"]:
        terms.append(run_term(run_id))
    if request_id := body.get("context", {}).get("request_id") or cause.get("scim_request_id"):
        terms.append(request_term(request_id))
    if address := body.get("context", {}).get("address"):
        terms.append(address_term(address))
    if body["outcome"] != Outcome.SUCCESS:
        terms.append(outcome_term(body["outcome"]))
    for change in body.get("changes", ()):
        if change["path"] in {"role", "grants"}:
            terms.extend(map(role_term, _roles(change["before"])))
            terms.extend(map(role_term, _roles(change["after"])))
    return tuple(dict.fromkeys(terms))


def _roles(value: ValueBody) -> Iterator[str]:
    """The roles that a change speaks of: one by itself, or those of a list of `role@scope`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for pair in value:
            role, at, _ = pair.partition("@")
            if at:
                yield role
