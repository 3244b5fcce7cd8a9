"""Events in the Open Cybersecurity Schema Framework, version 1.8.0, for systems that collect security events.

What has no place there stands in `unmapped`, so that nothing is lost; what proves an event is its canonical body, not
this form. Each action has a row in `ROWS`; a new action needs one.

Source: OCSF schema 1.8.0, classes 3001 to 3006 (tests/payloads/ocsf).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from audit.body import ActorBody, EventBody, ReasonBody, TargetBody, ValueBody
from audit.errors import UnmappedActionError
from audit.events import Outcome
from audit.sentences import NO_NAMES, describe

OCSF_VERSION = "1.8.0"
PRODUCT = "Usher"

CATEGORY_UID = 3
CATEGORY_NAME = "Identity & Access Management"

ACCOUNT_CHANGE = 3001
AUTHENTICATION = 3002
ENTITY_MANAGEMENT = 3004
USER_ACCESS = 3005
GROUP_MANAGEMENT = 3006

OTHER = 99

CLASS_NAMES: Mapping[int, str] = MappingProxyType(
    {
        ACCOUNT_CHANGE: "Account Change",
        AUTHENTICATION: "Authentication",
        ENTITY_MANAGEMENT: "Entity Management",
        USER_ACCESS: "User Access Management",
        GROUP_MANAGEMENT: "Group Management",
    }
)

ACTIVITY_NAMES: Mapping[int, Mapping[int, str]] = MappingProxyType(
    {
        ACCOUNT_CHANGE: {1: "Create", 2: "Enable", 5: "Disable", 6: "Delete", 9: "Lock", 12: "Unlock"},
        AUTHENTICATION: {1: "Logon", 2: "Logoff"},
        ENTITY_MANAGEMENT: {
            1: "Create",
            2: "Read",
            3: "Update",
            4: "Delete",
            8: "Enable",
            9: "Disable",
            12: "Suspend",
            13: "Resume",
        },
        USER_ACCESS: {1: "Assign Privileges", 2: "Revoke Privileges"},
        GROUP_MANAGEMENT: {
            3: "Add User",
            4: "Remove User",
            5: "Delete",
            6: "Create",
            7: "Add Subgroup",
            8: "Remove Subgroup",
        },
    }
)
"""The names of the activities used here, without 99, whose name is the action's."""

_SUCCESS, _FAILURE = 1, 2
_INFORMATIONAL, _MEDIUM, _HIGH = 1, 3, 4
_SAML = 5
_STATUSES = {_SUCCESS: "Success", _FAILURE: "Failure"}
_SEVERITIES = {_INFORMATIONAL: "Informational", _MEDIUM: "Medium", _HIGH: "High"}
_UNMAPPED = frozenset({"actor", "cause", "changes", "context", "outcome", "reason", "targets"})


@dataclass(frozen=True, slots=True)
class Row:
    """Class and activity of one action. `is_refusal` says that the action itself tells of something refused."""

    class_uid: int
    activity_id: int
    is_refusal: bool = False
    severity_id: int = 0


def _rows(class_uid: int, activities: Mapping[str, int]) -> dict[str, Row]:
    return {action: Row(class_uid, activity) for action, activity in activities.items()}


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        # 3001 has no Update; 12 is Unlock.
        **_rows(
            ACCOUNT_CHANGE,
            {
                f"{noun}.{verb}": activity
                for noun in ("user", "member")
                for verb, activity in (
                    ("created", 1),
                    ("updated", OTHER),
                    ("deactivated", 5),
                    ("reactivated", 2),
                    ("deleted", 6),
                )
            },
        ),
        **_rows(
            ACCOUNT_CHANGE,
            {
                "member.linked": OTHER,
                "member.change_held": OTHER,
                "member.change_released": OTHER,
                "member.change_staged": OTHER,
                "member.staged_allowed": OTHER,
                "member.staged_rejected": OTHER,
                "member.staged_ended": OTHER,
                "block.set": 9,
                "block.lifted": 12,
            },
        ),
        "sso.login": Row(AUTHENTICATION, 1),
        "sso.logout": Row(AUTHENTICATION, 2),
        "sso.login_denied": Row(AUTHENTICATION, 1, is_refusal=True),
        "breakglass.used": Row(AUTHENTICATION, 1, severity_id=_HIGH),
        **_rows(
            USER_ACCESS,
            {
                "role.granted": 1,
                "role.revoked": 2,
                "override.set": 1,
                "override.ended": 2,
                "seat.assigned": 1,
                "seat.released": 2,
                "seat.waiting": OTHER,
            },
        ),
        "seat.denied": Row(USER_ACCESS, 1, is_refusal=True),
        **_rows(
            GROUP_MANAGEMENT,
            {
                "group.created": 6,
                "group.deleted": 5,
                # 1.8.0 has no Update; 1.9.0 has one.
                "group.renamed": OTHER,
                "group.updated": OTHER,
                "group.member_added": 3,
                "group.member_removed": 4,
                "group.subgroup_added": 7,
                "group.subgroup_removed": 8,
            },
        ),
        **_rows(
            ENTITY_MANAGEMENT,
            {
                "seat.limit_changed": 3,
                "seat.threshold_reached": OTHER,
                "mapping.created": 1,
                "mapping.updated": 3,
                "mapping.deleted": 4,
                "mapping.previewed": 2,
                "mapping.applied": 3,
                "mapping.dangling": OTHER,
                "scope.created": 1,
                "scope.updated": 3,
                "scope.deleted": 4,
                "role_definition.created": 1,
                "role_definition.updated": 3,
                "role_definition.deleted": 4,
                "invitation.created": 1,
                "invitation.accepted": 3,
                "invitation.ended": 4,
                "owner.transferred": 3,
                "organisation.created": 1,
                "settings.updated": 3,
                "domain.verified": 3,
                "directory.created": 1,
                "directory.updated": 3,
                "directory.secret_changed": 3,
                "token.created": 1,
                "token.revoked": 4,
                "token.expiring": OTHER,
                "environment.loaded": 3,
                "key.added": 1,
                "key.rotated": 3,
                "key.dropped": 4,
                "sync.started": OTHER,
                "sync.completed": OTHER,
                "sync.failed": OTHER,
                "guard.released": OTHER,
                "guard.threshold_crossed": OTHER,
                "log.read": 2,
                "scim_log.read": 2,
                "scim_log.replayed": OTHER,
                "export.created": 2,
            },
        ),
        "stream.dead_lettered": Row(ENTITY_MANAGEMENT, OTHER, severity_id=_MEDIUM),
        "stream.failed": Row(ENTITY_MANAGEMENT, OTHER, severity_id=_HIGH),
        "stream.stuck": Row(ENTITY_MANAGEMENT, OTHER, severity_id=_MEDIUM),
        "sync.blocked": Row(ENTITY_MANAGEMENT, OTHER, is_refusal=True),
        "guard.refused": Row(ENTITY_MANAGEMENT, OTHER, is_refusal=True),
        "command.refused": Row(ENTITY_MANAGEMENT, OTHER, is_refusal=True),
        # What signing in, the sealed log, reviews and streams write.
        **_rows(
            ENTITY_MANAGEMENT,
            {
                "breakglass.armed": 8,
                "certificate.added": 1,
                "certificate.expiring": OTHER,
                "certificate.retired": 4,
                "certificate.updated": 3,
                "client.created": 1,
                "client.deleted": 4,
                "connection.created": 1,
                "connection.deleted": 4,
                "connection.enforced": 8,
                "connection.enforcement_lifted": 9,
                "connection.enforcement_resumed": 13,
                "connection.enforcement_suspended": 12,
                "connection.tested": OTHER,
                "connection.updated": 3,
                "domain.claimed": 1,
                "domain.missing": OTHER,
                "domain.released": 4,
                "domain.suspended": 12,
                "metadata.failed": OTHER,
                "metadata.taken": 3,
                "signing_key.rotated": 3,
                "sso.identity_moved": 3,
                "export.downloaded": 2,
                "log.hold_set": 8,
                "log.hold_lifted": 9,
                "log.key_rotated": OTHER,
                "log.pii_erased": OTHER,
                "log.restore_declared": OTHER,
                "log.retention_applied": OTHER,
                "log.retention_set": 3,
                "review.started": OTHER,
                "review.decided": OTHER,
                "review.finished": OTHER,
                "stream.created": 1,
                "stream.updated": 3,
                "stream.removed": 4,
                "stream.paused": 12,
                "stream.resumed": 13,
                "stream.tested": OTHER,
                "stream.replayed": OTHER,
                "stream.recovered": OTHER,
            },
        ),
    }
)
"""What each action is in OCSF. *Choice* where the schema is silent: 99 for what is neither written nor read."""

_ENTITY_TYPES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {"user": (2, "User"), "member": (2, "User"), "group": (3, "Group"), "organisation": (4, "Organization")}
)


def to_ocsf(
    body: EventBody, *, leaf_index: int, product_version: str, names: Mapping[str, str] = NO_NAMES
) -> dict[str, object]:
    """Give the OCSF form of a sealed event, ready to be serialised.

    `names` gives clear names for ids and references; they are not covered by any proof.
    Raises: `UnmappedActionError` for an action without a row, as one of a later release.
    """
    action = body["action"]
    row = ROWS.get(action)
    if row is None:
        message = f"action {action!r} of event {body['id']!r} has no row in audit.ocsf.ROWS"
        raise UnmappedActionError(message)
    activity = ACTIVITY_NAMES[row.class_uid].get(row.activity_id, action)
    has_failed = row.is_refusal or body["outcome"] in {Outcome.DENIED, Outcome.FAILURE}
    severity_id = row.severity_id or (_MEDIUM if has_failed else _INFORMATIONAL)
    told: dict[str, object] = {
        "activity_id": row.activity_id,
        "activity_name": activity,
        "actor": _render_actor(body["actor"], names),
        "category_name": CATEGORY_NAME,
        "category_uid": CATEGORY_UID,
        "class_name": CLASS_NAMES[row.class_uid],
        "class_uid": row.class_uid,
        "message": describe(body, names=names),
        "metadata": _render_metadata(body, leaf_index, product_version),
        "severity": _SEVERITIES[severity_id],
        "severity_id": severity_id,
        "time": to_milliseconds(body["time"]),
        "type_name": f"{CLASS_NAMES[row.class_uid]}: {activity if row.activity_id != OTHER else 'Other'}",
        "type_uid": row.class_uid * 100 + row.activity_id,
        "unmapped": {name: part for name, part in body.items() if name in _UNMAPPED},
    }
    told |= _render_status(body, has_failed=has_failed)
    if "request_id" in body.get("context", {}):
        told["http_request"] = {"uid": body["context"]["request_id"]}
    return told | _render_subject(body, row.class_uid, names)


def _render_status(body: EventBody, *, has_failed: bool) -> dict[str, object]:
    status_id = _FAILURE if has_failed else OTHER if body["outcome"] == Outcome.NOOP else _SUCCESS
    status: dict[str, object] = {
        "status": _STATUSES.get(status_id, body["outcome"]),
        "status_id": status_id,
    }
    if "reason" in body:
        status |= {"status_code": body["reason"]["code"], "status_detail": _render_reason(body["reason"])}
    return status


def _render_reason(reason: ReasonBody) -> str:
    numbers = ", ".join(f"{name} {_to_text(value)}" for name, value in reason.get("numbers", {}).items())
    return f"{reason['code']} ({numbers})" if numbers else reason["code"]


def _render_metadata(body: EventBody, leaf_index: int, product_version: str) -> dict[str, object]:
    return {
        # All events that one thing caused have one root.
        "correlation_uid": body["cause"].get("root", body["id"]),
        "event_code": body["action"],
        "log_name": "audit",
        "log_version": str(body["v"]),
        "original_time": body["time"],
        "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": product_version},
        "sequence": leaf_index,
        "tenant_uid": body["organisation"],
        "uid": body["id"],
        "version": OCSF_VERSION,
    }


def _render_actor(actor: ActorBody, names: Mapping[str, str]) -> dict[str, object]:
    kind, uid = actor["type"], actor["id"]
    if kind in {"run", "system"}:
        return {"app_name": PRODUCT, "app_uid": uid}
    if kind == "login":
        return {"session": {"uid": uid}}
    user: dict[str, object] = {"uid": uid, "type": kind}
    if kind in {"token", "api_key"}:
        user |= {"type_id": 4, "credential_uid": uid}
    else:
        user["type_id"] = 2
    if uid in names:
        user["name"] = names[uid]
    return {"user": user, "session": {"uid": actor["session"]}} if "session" in actor else {"user": user}


def _render_subject(body: EventBody, class_uid: int, names: Mapping[str, str]) -> dict[str, object]:
    """What the class requires beside the base: user, group, entity."""
    targets = body.get("targets", [])
    subject = next((one for one in targets if one["role"] == "subject"), None)
    if class_uid == ENTITY_MANAGEMENT:
        return {"entity": _render_entity(body, subject, names)}
    if class_uid == GROUP_MANAGEMENT:
        return _render_group(body, targets, names)
    user = _render_thing(subject, names) if subject is not None else {"uid": body["actor"]["id"]}
    if class_uid == AUTHENTICATION:
        protocol = (
            {"auth_protocol": "SAML", "auth_protocol_id": _SAML} if body["action"].startswith("sso.") else {}
        )
        return {"user": user, "service": {"name": PRODUCT}, **protocol}
    if class_uid == USER_ACCESS:
        scope = _find_value(body, "scope_id")
        resources = {"resources": [{"uid": _to_text(scope), "type": "scope"}]} if scope is not None else {}
        return {"user": user, "privileges": _list_privileges(body), **resources}
    return {"user": user}


def _render_entity(
    body: EventBody, subject: TargetBody | None, names: Mapping[str, str]
) -> dict[str, object]:
    if subject is None:
        uid = body["organisation"]
        return (
            {"uid": uid, "type": "Organization", "type_id": 4, "org": {"uid": uid}}
            if uid
            else {"name": PRODUCT, "type": "service", "type_id": OTHER}
        )
    type_id, kind = _ENTITY_TYPES.get(subject["type"], (OTHER, subject["type"]))
    return {**_render_thing(subject, names), "type": kind, "type_id": type_id}


def _render_group(body: EventBody, targets: list[TargetBody], names: Mapping[str, str]) -> dict[str, object]:
    """Where a person joins or leaves, the person is the subject and the group the object."""
    groups = [one for one in targets if one["type"] == "group"] or targets
    told: dict[str, object] = {"group": _render_thing(groups[-1], names) if groups else {"name": "unknown"}}
    member, subgroup = _find_value(body, "member"), _find_value(body, "subgroup")
    people = [one for one in targets if one["type"] in {"user", "member"}]
    if people:
        told["user"] = _render_thing(people[0], names)
    elif member is not None:
        told["user"] = {"uid": _to_text(member)}
    if subgroup is not None:
        told["subgroup"] = {"uid": _to_text(subgroup)}
    return told


def _render_thing(target: TargetBody, names: Mapping[str, str]) -> dict[str, object]:
    name = names.get(target.get("pii", ""), names.get(target["id"]))
    return {"uid": target["id"]} if name is None else {"uid": target["id"], "name": name}


def _list_privileges(body: EventBody) -> list[str]:
    for path in ("role", "grants"):
        value = _find_value(body, path)
        if isinstance(value, list):
            return [str(item) for item in value]
        if value is not None:
            return [_to_text(value)]
    return ["seat"] if body["action"].startswith("seat.") else [body["action"]]


def _find_value(body: EventBody, path: str) -> ValueBody:
    """The value of a path after the change, else the one before it."""
    for change in body.get("changes", []):
        if change["path"] == path:
            return change["before"] if change["after"] is None else change["after"]
    return None


def _to_text(value: ValueBody) -> str:
    return f"{value['len']} bytes" if isinstance(value, dict) else str(value)


def to_milliseconds(moment: str) -> int:
    """A moment of an event since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1_000)
