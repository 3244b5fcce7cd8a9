"""Renders an event to the exact bytes that are stored. Refuses what the registry does not allow.

A first import renders some 300,000 events inside its transactions, so this module is written for speed: the
body is built in the order of its sorted keys, what repeats (actors) is rendered once, and values are told
apart by type.
"""

import re
from datetime import UTC, timedelta
from functools import lru_cache
from hashlib import sha256
from types import NoneType
from typing import NoReturn

import orjson

from audit.actors import AdminActor, ApiKeyActor, LoginActor, RunActor, SystemActor, TokenActor
from audit.body import SCHEMA_VERSION
from audit.canonical import render_canonical
from audit.errors import (
    ClearNameError,
    EventError,
    MissingPartError,
    PathNotAllowedError,
    UnfitValueError,
    UnknownActionError,
    UnknownCauseError,
)
from audit.events import (
    ACTIONS,
    CAUSE_KINDS,
    PII_PREFIX,
    PROFILE,
    ActionSpec,
    Event,
    FieldChange,
    Outcome,
    Reason,
    Target,
)
from audit.redact import is_secret_name

MAX_VALUE_BYTES = 512
SALT_BYTES = 16

# Text of so many characters is within MAX_VALUE_BYTES whatever it holds: an escaped character takes six
# bytes, the quotes two.
_SURELY_SHORT = (MAX_VALUE_BYTES - 2) // 6
_PLAIN = frozenset({bool, int, NoneType})
_TARGET_ROLES = frozenset({"subject", "object"})
_BARE_REFERENCE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_OFFSET = timedelta(0)
_LENGTH_TO_MILLISECONDS = len("2026-01-31T12:00:00.000")


def render_event(event: Event) -> bytes:
    """Render the canonical body of `event`, schema version 1.

    Raises: an `EventError` that names the event, when the registry, the schema or the privacy rules refuse
    it; `OutsideModelError` for text or an integer that has no canonical form.
    Source: RFC 8785
    """
    spec = ACTIONS.get(event.action)
    if spec is None:
        _refuse(event, UnknownActionError, "no such action; add it to audit.events.ACTIONS")
    if not event.id or (spec.needs_organisation and not event.organisation):
        _refuse(event, MissingPartError, "it needs an id and an organisation")
    actor = _render_actor(event.actor)
    if actor is None:
        _refuse(event, MissingPartError, "it has no actor, or one without an id; name who caused it")
    # The keys are put in sorted order: the serialiser then has nothing left to sort.
    body: dict[str, object] = {"action": spec.name, "actor": actor, "cause": _render_cause(event)}
    if event.changes:
        body["changes"] = [_render_change(change, spec, event) for change in event.changes]
    if event.address or event.request_id:
        body["context"] = _render_context(event)
    body["id"] = event.id
    body["organisation"] = event.organisation
    body["outcome"] = event.outcome
    if event.reason is not None:
        body["reason"] = _render_reason(event.reason, spec, event)
    body["salt"] = _render_salt(event)
    if event.targets:
        body["targets"] = [_render_target(target, event) for target in event.targets]
    elif spec.needs_target:
        _refuse(event, MissingPartError, "it has no target; say what the change is about")
    body["time"] = _render_time(event)
    body["v"] = SCHEMA_VERSION
    if spec.required and event.outcome is Outcome.SUCCESS:
        _check_required(spec, event)
    return render_canonical(body)


def _render_context(event: Event) -> dict[str, str]:
    context: dict[str, str] = {}
    if event.address:
        context["address"] = _render_reference(event.address, event, "an address")
    if event.request_id:
        context["request_id"] = event.request_id
    return context


def _refuse(event: Event, error: type[EventError], message: str) -> NoReturn:
    raise error(message, action=event.action, event_id=event.id)


# Keyed by the whole value and without effect but time, so it is no state that anybody could see.
@lru_cache(maxsize=1_024)
def _render_actor(actor: object) -> orjson.Fragment | None:
    """Render what is the same in all events of one run, token or session. None when nobody is named."""
    fields: dict[str, str | bool]
    match actor:
        case TokenActor():
            fields = {"type": "token", "id": actor.token_id, "directory": actor.directory_id}
        case RunActor():
            fields = {"type": "run", "id": actor.run_id, "directory": actor.directory_id}
        case AdminActor():
            fields = {
                "type": "support" if actor.on_behalf_of else "admin",
                "id": actor.admin_id,
                "session": actor.session_id,
                "operator": actor.is_operator,
                "on_behalf_of": actor.on_behalf_of,
            }
        case LoginActor():
            fields = {"type": "login", "id": actor.login_id}
        case ApiKeyActor():
            fields = {"type": "api_key", "id": actor.key_id}
        case SystemActor():
            fields = {"type": "system", "id": actor.component}
        case _:
            return None
    if not fields["id"]:
        return None
    return orjson.Fragment(render_canonical({name: value for name, value in fields.items() if value}))


def _render_cause(event: Event) -> dict[str, str | int]:
    cause = event.cause
    if cause.kind not in CAUSE_KINDS:
        _refuse(
            event, UnknownCauseError, f"no such kind of cause: {cause.kind!r}; see audit.events.CAUSE_KINDS"
        )
    rendered: dict[str, str | int] = {}
    if cause.group_id:
        rendered["group_id"] = cause.group_id
    rendered["kind"] = cause.kind
    if cause.login_id:
        rendered["login_id"] = cause.login_id
    if cause.parent and cause.root:
        rendered["parent"] = cause.parent
        rendered["root"] = cause.root
    elif cause.parent or cause.root:
        _refuse(
            event, UnknownCauseError, "root and parent of the cause go together; a root event has neither"
        )
    if cause.rule_id:
        rendered["rule_id"] = cause.rule_id
    if cause.rule_version:
        rendered["rule_version"] = cause.rule_version
    if cause.run_id:
        rendered["run_id"] = cause.run_id
    if cause.scim_request_id:
        rendered["scim_request_id"] = cause.scim_request_id
    return rendered


def _render_change(change: FieldChange, spec: ActionSpec, event: Event) -> dict[str, object]:
    path = change.path
    if path not in spec.paths:
        _check_open_path(path, spec, event)
    if path == PROFILE:
        _check_reference(change.before, event)
        _check_reference(change.after, event)
    return {
        "after": _render_value(change.after, path, spec, event),
        "before": _render_value(change.before, path, spec, event),
        "path": path,
    }


def _check_open_path(path: str, spec: ActionSpec, event: Event) -> None:
    """Refuse what is not under the open path; a directory's settings could also hold a secret there."""
    if not spec.open_paths or not path.startswith(spec.open_paths) or path == spec.open_paths:
        _refuse(event, PathNotAllowedError, f"path {path!r} is not on the action's allow-list")
    if is_secret_name(path):
        _refuse(event, PathNotAllowedError, f"path {path!r} names a secret; secrets are never written")


def _check_reference(value: object, event: Event) -> None:
    if value is not None and not (isinstance(value, str) and value.startswith(PII_PREFIX)):
        _refuse(
            event, ClearNameError, f"personal data is written as a reference that begins with {PII_PREFIX!r}"
        )


def _render_value(value: object, name: str, spec: ActionSpec, event: Event) -> object:
    """Render a scalar or a set, or the digest of what is too large to be kept."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        if len(value) <= _SURELY_SHORT:
            return value
        canonical = render_canonical(value)
    elif isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        canonical = render_canonical(sorted(value))
    else:
        _refuse(
            event, UnfitValueError, f"{name!r} holds a {type(value).__name__}; see audit.events.JSONValue"
        )
    if len(canonical) <= MAX_VALUE_BYTES:
        return orjson.Fragment(canonical)
    if name in spec.required:
        _refuse(
            event,
            UnfitValueError,
            f"{name!r} is too large to be kept; write one event for each thing it names",
        )
    return {"len": len(canonical), "sha256": sha256(canonical).hexdigest()}


def _render_reason(reason: Reason, spec: ActionSpec, event: Event) -> dict[str, object]:
    if not reason.code:
        _refuse(event, MissingPartError, "its reason has no code")
    if not reason.numbers:
        return {"code": reason.code}
    for name, _value in reason.numbers:
        if not name.isascii():
            _refuse(event, UnfitValueError, f"{name!r} among the reason's numbers is not ASCII")
    numbers = {name: _render_value(value, name, spec, event) for name, value in reason.numbers}
    return {"code": reason.code, "numbers": numbers}


def _render_target(target: Target, event: Event) -> dict[str, str]:
    if not target.id or not target.type:
        _refuse(event, MissingPartError, "a target has no type or no id")
    if target.role not in _TARGET_ROLES:
        _refuse(event, UnfitValueError, f"target role {target.role!r} is neither subject nor object")
    if not target.pii:
        return {"id": target.id, "role": target.role, "type": target.type}
    reference = _render_reference(target.pii, event, "a target's personal data")
    return {"id": target.id, "pii": reference, "role": target.role, "type": target.type}


def _render_reference(reference: str, event: Event, what: str) -> str:
    if reference.startswith(PII_PREFIX):
        return reference
    if _BARE_REFERENCE.fullmatch(reference) is None:
        _refuse(event, ClearNameError, f"{what} is written as a reference, never in clear")
    return PII_PREFIX + reference


def _render_salt(event: Event) -> str:
    if len(event.salt) != SALT_BYTES:
        _refuse(event, UnfitValueError, f"the salt has {len(event.salt)} bytes, not {SALT_BYTES}")
    return event.salt.hex()


def _render_time(event: Event) -> str:
    """Milliseconds are cut, not rounded, so that no event is later than its clock."""
    moment = event.time
    if moment.tzinfo is not UTC and moment.utcoffset() != _NO_OFFSET:
        _refuse(event, UnfitValueError, "its time is not aware UTC")
    return f"{moment.isoformat(timespec='milliseconds')[:_LENGTH_TO_MILLISECONDS]}Z"


def _check_required(spec: ActionSpec, event: Event) -> None:
    absent = spec.required.difference([change.path for change in event.changes])
    if absent:
        _refuse(event, MissingPartError, f"it does not say {', '.join(sorted(absent))}")
