"""Events in the Elastic Common Schema, version 8.17.

Values of changes are texts, so that an index gives each field one type, whatever a later event changes. What has no
place in the schema stands under `usher`, as the schema asks of those who add fields of their own.

Source: Elastic Common Schema 8.17, "Categorization Fields", "User Fields usage and examples" (IAM).
"""

from collections.abc import Mapping
from types import MappingProxyType

from audit.body import ActorBody, EventBody, ScalarBody, TargetBody, ValueBody
from audit.events import Outcome
from audit.ocsf import (
    ACCOUNT_CHANGE,
    AUTHENTICATION,
    ENTITY_MANAGEMENT,
    GROUP_MANAGEMENT,
    OTHER,
    PRODUCT,
    ROWS,
    USER_ACCESS,
    Row,
)
from audit.sentences import NO_NAMES, describe

ECS_VERSION = "8.17.0"
DATASET = "usher.audit"

CATEGORIES: Mapping[int, str] = MappingProxyType(
    {
        ACCOUNT_CHANGE: "iam",
        AUTHENTICATION: "authentication",
        ENTITY_MANAGEMENT: "configuration",
        USER_ACCESS: "iam",
        GROUP_MANAGEMENT: "iam",
    }
)
"""`event.category` by class of OCSF."""

TYPES: Mapping[int, Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        ACCOUNT_CHANGE: {1: ("user", "creation"), 6: ("user", "deletion"), OTHER: ("user", "change")},
        AUTHENTICATION: {1: ("start",), 2: ("end",), OTHER: ("info",)},
        ENTITY_MANAGEMENT: {
            1: ("creation",),
            2: ("access",),
            3: ("change",),
            4: ("deletion",),
            8: ("change",),
            9: ("change",),
            12: ("change",),
            13: ("change",),
            OTHER: ("info",),
        },
        USER_ACCESS: {OTHER: ("user", "change")},
        GROUP_MANAGEMENT: {5: ("group", "deletion"), 6: ("group", "creation"), OTHER: ("group", "change")},
    }
)
"""`event.type` by class and activity of OCSF; an activity without a row has that of 99."""

_UNKNOWN = Row(ENTITY_MANAGEMENT, OTHER)
_PEOPLE = frozenset({"user", "member"})
_MACHINES = frozenset({"run", "system", "login"})


def to_ecs(
    body: EventBody, *, leaf_index: int | None, product_version: str, names: Mapping[str, str] = NO_NAMES
) -> dict[str, object]:
    """Give the ECS form of an event, ready to be serialised.

    `names` gives clear names for ids and references; they are not covered by any proof. An action of a later
    release is information about configuration. `leaf_index` is None where the event is not sealed yet.
    """
    row = ROWS.get(body["action"], _UNKNOWN)
    types = TYPES[row.class_uid]
    event: dict[str, object] = {
        "action": body["action"],
        "category": [CATEGORIES[row.class_uid]],
        "dataset": DATASET,
        "id": body["id"],
        "kind": "event",
        "module": "usher",
        "outcome": _outcome(body, row),
        "provider": "usher",
        "type": list(types.get(row.activity_id, types[OTHER])),
    }
    usher: dict[str, object] = {"actor": body["actor"], "cause": body["cause"]}
    if leaf_index is not None:
        event["sequence"] = leaf_index
        usher["leaf_index"] = leaf_index
    told: dict[str, object] = {
        "@timestamp": body["time"],
        "ecs": {"version": ECS_VERSION},
        "event": event,
        "message": describe(body, names=names),
        "observer": {"product": PRODUCT, "vendor": PRODUCT, "version": product_version},
        "organization": {"id": body["organisation"]},
        "usher": usher,
    }
    if "reason" in body:
        numbers = body["reason"].get("numbers", {})
        event["reason"] = body["reason"]["code"]
        if numbers:
            usher["reason"] = [{"name": name, "value": value_text(value)} for name, value in numbers.items()]
    if "changes" in body:
        usher["changes"] = [
            {
                "path": change["path"],
                **{
                    side: value_text(value)
                    for side, value in (("before", change["before"]), ("after", change["after"]))
                    if value is not None
                },
            }
            for change in body["changes"]
        ]
    if "targets" in body:
        usher["targets"] = [{**target, **_name_of(target, names)} for target in body["targets"]]
    if "request_id" in body.get("context", {}):
        told["http"] = {"request": {"id": body["context"]["request_id"]}}
    _add_people(told, body, row.class_uid, names)
    return told


def value_text(value: ValueBody) -> str | list[str]:
    """A value of a change as text, or a list of texts."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return f"sha256:{value['sha256']} ({value['len']} bytes)"
    return scalar_text(value)


def scalar_text(value: ScalarBody) -> str:
    """A single value as JSON would have it, but for the quotation marks of text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _outcome(body: EventBody, row: Row) -> str:
    if row.is_refusal or body["outcome"] in {Outcome.DENIED, Outcome.FAILURE}:
        return "failure"
    return "unknown" if body["outcome"] == Outcome.NOOP else "success"


def _add_people(told: dict[str, object], body: EventBody, class_uid: int, names: Mapping[str, str]) -> None:
    """Who did it is `user`, whom it was done to `user.target`; who signs in is both."""
    targets = body.get("targets", [])
    people = [{"id": one["id"], **_name_of(one, names)} for one in targets if one["type"] in _PEOPLE]
    groups = [{"id": one["id"], **_name_of(one, names)} for one in targets if one["type"] == "group"]
    user: dict[str, object] = dict(_actor(body["actor"], names))
    if people and class_uid == AUTHENTICATION:
        user = dict(people[0])
    elif people:
        user["target"] = people[0]
    if user:
        told["user"] = user
    if groups:
        told["group"] = groups[0]


def _actor(actor: ActorBody, names: Mapping[str, str]) -> dict[str, str]:
    """A person or a key; what the service does by itself has no user."""
    if actor["type"] in _MACHINES:
        return {}
    name = names.get(actor["id"])
    return {"id": actor["id"]} if name is None else {"id": actor["id"], "name": name}


def _name_of(target: TargetBody, names: Mapping[str, str]) -> dict[str, str]:
    name = names.get(target.get("pii", ""), names.get(target["id"]))
    return {} if name is None else {"name": name}
