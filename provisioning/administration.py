"""What an administrator, the operator or the system says, checked and stored. Access follows in `consequences`."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, assert_never

from audit.actors import AdminActor, SystemActor
from audit.events import FieldChange, JSONValue, Reason, Target
from directory.changes import (
    AcceptInvitation,
    AddDomain,
    AdministratorChange,
    AllowStaged,
    AttributeMatch,
    EndInvitation,
    EndOverride,
    EnrolOwner,
    GroupMatch,
    Invite,
    LiftBlock,
    NameMatch,
    NoteTokenEnding,
    PutDirectory,
    PutDirectorySecret,
    PutRole,
    PutRule,
    PutScope,
    PutToken,
    RejectStaged,
    RemoveMember,
    RemoveRole,
    RemoveRule,
    RemoveScope,
    RevokeToken,
    SetBlock,
    SetOverride,
    SetPlan,
    SetSettings,
    TransferOwner,
)
from directory.facts import name_key
from directory.ids import EventId, GroupId, InvitationId, MemberId, RoleId, ScopeId
from mappings.catalogue import Resolution, check_custom_role, permissions_beyond
from mappings.rules import Rule, check_default_role, check_rule, parse_pattern
from mappings.scopes import ScopeNode, check_scope
from provisioning.directory_secrets import put_directory_secret
from provisioning.errors import Refusal, RefusalCode
from provisioning.guard import GUARD_SETTINGS
from provisioning.models import role_of_definition
from provisioning.seats import free_seats, seat_limit
from provisioning.staging import allow_staged, reject_staged
from provisioning.state import (
    UNLIMITED,
    MemberRecord,
    NewMember,
    PersonalData,
    Seat,
    SeatPolicy,
    StoredBlock,
    StoredDirectory,
    StoredInvitation,
    StoredOverride,
)
from provisioning.tokens import note_token_ending, put_token, revoke_token
from provisioning.work import PUSHED, Work, follow_model

_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
DIRECTORY_KINDS = ("scim", "ldap", "ldif")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "rule_id": "mapping rule",
        "scope_id": "scope",
        "override_id": "override",
        "member_id": "member",
        "invitation_id": "invitation",
        "directory_id": "directory",
        "token_id": "token",
    }
)
_FROM_ONE = frozenset({"interval_seconds", "absence_grace_runs"})
PUSH_SETTINGS: Mapping[str, tuple[str | bool, ...]] = MappingProxyType(
    {
        "profile": ("generic", "entra", "okta", "strict"),
        "relink": ("external_id", "never"),
        "paused": (False, True),
        "hold": (False, True),
        "refuse_foreign_domains": (False, True),
    }
)
"""Settings of a SCIM directory, each with the values that it may have."""


_KEY_CHANGES = (PutDirectorySecret, PutToken, RevokeToken, NoteTokenEnding)


def apply_administration(work: Work, change: AdministratorChange) -> None:
    """Check and store one change, with its event, and note whose access must be worked out. Raises `Refusal`."""
    _check_ids(change)
    handler: Callable[[Work, AdministratorChange], None] = _HANDLERS[type(change)]
    before = len(work.ledger.rows)
    handler(work, change)
    # What was said before changes nothing and is no event; what lets clients in, or us, is no access of a member.
    is_access = not isinstance(change, _KEY_CHANGES)
    work.is_changed = work.is_changed or (is_access and len(work.ledger.rows) > before)


def _check_ids(change: AdministratorChange) -> None:
    """Refuse what cannot be the id of anything; PostgreSQL would fail to compare it with one."""
    named = [
        (_ID_FIELDS[field.name], getattr(change, field.name))
        for field in fields(change)
        if field.name in _ID_FIELDS
    ]
    if isinstance(change, PutRule) and isinstance(change.match, GroupMatch):
        named.append(("group", change.match.group_id))
    for kind, name in named:
        if name is not None and not _ID.fullmatch(name):
            raise Refusal(
                RefusalCode.NOT_FOUND, f"there is no {kind} '{name}'; ids are UUIDs in small letters"
            )


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)


def _not_found(kind: str, name: str) -> Refusal:
    return Refusal(RefusalCode.NOT_FOUND, f"there is no {kind} '{name}' in this organisation")


def _field(path: str, before: JSONValue, after: JSONValue) -> FieldChange:
    return FieldChange(path, before, after)


def _moved_fields(paths: dict[str, tuple[JSONValue, JSONValue]]) -> tuple[FieldChange, ...]:
    return tuple(_field(path, before, after) for path, (before, after) in paths.items() if before != after)


def _member(work: Work, member_id: MemberId) -> MemberRecord:
    record = work.writer.member_records([member_id]).get(member_id)
    if record is None or record.is_deleted:
        raise _not_found("member", member_id)
    return record


def _member_target(record: MemberRecord) -> Target:
    return Target("member", record.member_id, pii=record.pii_ref)


def _put_rule(work: Work, change: PutRule) -> None:
    known = work.model.rule(change.rule_id)
    faults = check_rule(
        match=change.match,
        role=change.role,
        scope_id=change.scope_id,
        catalogue=work.model.catalogue,
        roles=work.model.roles,
        scopes=work.model.scopes,
        groups=_live_groups(work, change),
        directories=work.model.inputs.default_roles,
    )
    if faults:
        raise _invalid("; ".join(str(fault) for fault in faults))
    _check_may_assign(work, change.role)
    versions = work.writer.rule_versions(change.rule_id)
    rule = Rule(
        rule_id=change.rule_id,
        version=versions[-1].version + 1 if versions else 1,
        priority=change.priority,
        match=change.match,
        role=change.role,
        scope_id=change.scope_id,
        author=work.author,
        created_at=work.now,
    )
    if known is not None and replace(
        rule, version=known.version, author="", created_at=known.created_at
    ) == replace(known, author=""):
        return
    work.writer.put_rule(rule, work.now)
    event_id = work.ledger.record(
        "mapping.updated" if known else "mapping.created",
        (Target("rule", change.rule_id),),
        _moved_fields(
            {
                "match": (render_match(known.match) if known else None, render_match(change.match)),
                "role": (known.role if known else None, change.role),
                "scope_id": (known.scope_id if known else None, change.scope_id),
                "priority": (known.priority if known else None, change.priority),
                "version": (known.version if known else None, rule.version),
            }
        ),
        rule_id=rule.rule_id,
        rule_version=rule.version,
    )
    follow_model(work, event_id, "mapping_rule")


def _live_groups(work: Work, change: PutRule) -> frozenset[GroupId]:
    if not isinstance(change.match, GroupMatch):
        return frozenset()
    groups = work.writer.groups_by_id([change.match.group_id]).values()
    return frozenset(group.group_id for group in groups if group.deleted_at is None)


def render_match(match: GroupMatch | NameMatch | AttributeMatch) -> str:
    """A match as one line of text, as events and tables show it."""
    match match:
        case GroupMatch(group_id):
            return f"group {group_id}"
        case NameMatch(directory_id, pattern):
            return f"name {pattern} in {directory_id}"
        case AttributeMatch(directory_id, text):
            return f"filter {text} in {directory_id}"
        case _:
            assert_never(match)


def _remove_rule(work: Work, change: RemoveRule) -> None:
    known = work.model.rule(change.rule_id)
    if known is None:
        if work.writer.rule_versions(change.rule_id):
            return
        raise _not_found("mapping rule", change.rule_id)
    work.writer.end_rule(change.rule_id, work.now)
    event_id = work.ledger.record(
        "mapping.deleted",
        (Target("rule", change.rule_id),),
        (
            _field("match", render_match(known.match), None),
            _field("role", known.role, None),
            _field("scope_id", known.scope_id, None),
        ),
        rule_id=known.rule_id,
        rule_version=known.version,
    )
    follow_model(work, event_id, "mapping_rule")


def _put_scope(work: Work, change: PutScope) -> None:
    known = work.model.scopes.get(change.scope_id)
    node = ScopeNode(change.scope_id, change.kind, change.name, change.host_id, change.parents)
    if known == node:
        return
    if change.scope_id == work.state.root_scope_id:
        raise _invalid("the organisation itself is the root scope and is not put")
    faults = check_scope(work.model.scopes, node, kinds=work.model.catalogue.scope_kinds)
    if faults:
        raise _invalid("; ".join(str(fault) for fault in faults))
    work.writer.put_scope(change)
    event_id = work.ledger.record(
        "scope.updated" if known else "scope.created",
        (Target("scope", change.scope_id),),
        _moved_fields(
            {
                "kind": (known.kind if known else None, change.kind),
                "name": (known.name if known else None, change.name),
                "host_id": (known.host_id if known else None, change.host_id),
                "parents": (tuple(sorted(known.parents)) if known else None, tuple(sorted(change.parents))),
            }
        ),
    )
    if known is None or known.kind != change.kind:
        _touch_given_at(work, change.scope_id, event_id)
    if known is None and not _is_awaited(work, node):
        work.add_scope(node)
    else:
        follow_model(work, event_id, "scope_change")


def _is_awaited(work: Work, node: ScopeNode) -> bool:
    """Whether a rule could grant something at a node that was not there: it names the node, or takes its kind."""
    return any(
        rule.scope_id == node.scope_id
        or (isinstance(rule.match, NameMatch) and parse_pattern(rule.match.pattern).kind == node.kind)
        for rule in work.model.inputs.rules
    )


def _touch_given_at(work: Work, scope_id: ScopeId, event_id: EventId) -> None:
    """Overrides and invitations name scopes without any rule; those who have one there are worked out again."""
    for member_id in work.writer.members_given_at(scope_id):
        work.touch(member_id, event_id, "scope_change")


def _remove_scope(work: Work, change: RemoveScope) -> None:
    known = work.model.scopes.get(change.scope_id)
    if known is None:
        if work.writer.had_scope(change.scope_id):
            return
        raise _not_found("scope", change.scope_id)
    if change.scope_id == work.state.root_scope_id:
        raise _invalid("the organisation itself is the root scope and cannot be removed")
    children = [node for node in work.model.scopes.nodes() if change.scope_id in node.parents]
    if any(len(node.parents) == 1 for node in children):
        raise Refusal(
            RefusalCode.IN_USE, f"scope '{known.name}' still has nodes below it; remove or move them first"
        )
    work.writer.end_scope(change.scope_id, work.now)
    event_id = work.ledger.record(
        "scope.deleted",
        (Target("scope", change.scope_id),),
        (
            _field("kind", known.kind, None),
            _field("name", known.name, None),
            _field("host_id", known.host_id, None),
        ),
    )
    for node in children:
        parents = tuple(parent for parent in node.parents if parent != change.scope_id)
        work.writer.put_scope(PutScope(node.scope_id, node.kind, node.name, node.host_id, parents))
        work.ledger.record(
            "scope.updated",
            (Target("scope", node.scope_id),),
            (_field("parents", tuple(sorted(node.parents)), tuple(sorted(parents))),),
            parent=event_id,
            kind="scope_change",
        )
    _touch_given_at(work, change.scope_id, event_id)
    follow_model(work, event_id, "scope_change")


def _put_role(work: Work, change: PutRole) -> None:
    if not _is_operator(work):
        raise Refusal(RefusalCode.NOT_ALLOWED, "custom roles are defined by the operator (MK-4)")
    known = work.model.roles.get(change.role)
    if known is not None and not known.is_custom:
        raise _invalid(f"'{change.role}' is a role of the catalogue; choose another name")
    faults = check_custom_role(work.model.catalogue, role_of_definition(change))
    if faults:
        raise _invalid("; ".join(str(fault) for fault in faults))
    if known is not None and known == role_of_definition(change):
        return
    work.writer.put_role(change)
    event_id = work.ledger.record(
        "role_definition.updated" if known else "role_definition.created",
        (Target("role", change.role),),
        _moved_fields(
            {
                "label": (known.label if known else None, change.label),
                "permissions": (
                    tuple(sorted(known.permissions)) if known else None,
                    tuple(sorted(change.permissions)),
                ),
                "scope_kinds": (tuple(known.scope_kinds) if known else None, change.scope_kinds),
                "rank": (known.rank if known else None, change.rank),
            }
        ),
    )
    follow_model(work, event_id, "role_change")


def _remove_role(work: Work, change: RemoveRole) -> None:
    known = work.model.roles.get(change.role)
    if known is None or not known.is_custom:
        raise _not_found("custom role", change.role)
    inputs = work.model.inputs
    if (
        any(rule.role == change.role for rule in inputs.rules)
        or change.role in inputs.default_roles.values()
        or work.writer.is_role_given(change.role)
    ):
        raise Refusal(
            RefusalCode.IN_USE,
            f"role '{change.role}' is in use; take it out of rules, default roles, overrides and invitations first",
        )
    work.writer.delete_role(change.role)
    event_id = work.ledger.record(
        "role_definition.deleted", (Target("role", change.role),), (_field("label", known.label, None),)
    )
    follow_model(work, event_id, "role_change")


def _set_settings(work: Work, change: SetSettings) -> None:
    state, switches = work.state, work.model.catalogue.switches
    moved: dict[str, tuple[JSONValue, JSONValue]] = {}
    amended: dict[str, object] = {}
    turned: dict[str, bool] = {}
    for name, value in change.values.items():
        path = f"settings.{name}"
        if name == "seat_policy" and value in set(SeatPolicy):
            moved[path] = (state.seat_policy.value, str(value))
            amended["seat_policy"] = SeatPolicy(value)
        elif name == "resolution" and value in set(Resolution):
            moved[path] = (state.resolution, str(value))
            amended["resolution"] = str(value)
        elif name in switches and isinstance(value, bool):
            moved[path] = (state.switches.get(name, switches[name].default), value)
            turned[name] = value
        else:
            known = ["seat_policy=reject|waitlist", "resolution=union|priority"]
            known += [f"{switch}=true|false" for switch in switches]
            raise _invalid(f"setting '{name}={value}' is not known here; settings are {', '.join(known)}")
    changes = _moved_fields(moved)
    if not changes:
        return
    work.amend(**amended, switches={**state.switches, **turned})
    event_id = work.ledger.record("settings.updated", (_organisation(work),), changes)
    follow_model(work, event_id, "settings_change")


def _organisation(work: Work) -> Target:
    return Target("organisation", work.state.organisation_id)


def _set_plan(work: Work, change: SetPlan) -> None:
    if isinstance(work.command.actor, AdminActor) and not _is_owner_or_operator(work):
        raise Refusal(RefusalCode.NOT_ALLOWED, "only the owner or the operator changes the plan (MT-15)")
    catalogue = work.model.catalogue
    plan = catalogue.plans.get(change.plan)
    if plan is None:
        names = ", ".join(catalogue.plans) or "none"
        raise _invalid(
            f"plan '{change.plan}' is not in the catalogue '{catalogue.id}'; its plans are {names}"
        )
    if plan.is_custom and change.seat_limit is None:
        raise _invalid(
            f"plan '{plan.id}' has no number of seats of its own; give one, or say unlimited (MT-14)"
        )
    if change.seat_limit is not None and change.seat_limit < 1 and change.seat_limit != UNLIMITED:
        raise _invalid("a seat limit is a number from 1, or unlimited")
    before = seat_limit(work.state, catalogue)
    moved: dict[str, tuple[JSONValue, JSONValue]] = {
        "plan": (work.state.plan, change.plan),
        "seat_limit": (work.state.seat_limit, change.seat_limit),
    }
    changes = _moved_fields(moved)
    if not changes:
        return
    work.amend(plan=change.plan, seat_limit=change.seat_limit)
    after = seat_limit(work.state, catalogue)
    occupied = work.state.seated + work.state.reserved
    reason = None
    if after is not None and occupied > after:
        # Nobody is evicted: additions are frozen until the organisation is below the limit again (MT-13).
        reason = Reason("over_seat_limit", (("limit", after), ("used", occupied)))
    event_id = work.ledger.record("seat.limit_changed", (_organisation(work),), changes, reason=reason)
    if after is None or (before is not None and after > before):
        work.open_seats(event_id, "plan_change")


def _enrol_owner(work: Work, change: EnrolOwner) -> None:
    if work.state.owner_id == change.member_id:
        return
    if work.state.owner_id is not None:
        raise _invalid("the organisation has an owner; use a transfer")
    pii_ref = work.mint.id()
    work.writer.insert_personal_data(
        [PersonalData(pii_ref, change.member_id, {"name": change.display_name, "mail": change.mail})]
    )
    work.writer.insert_members(
        [NewMember(change.member_id, change.display_name, change.mail, pii_ref, is_active=False)], work.now
    )
    event_id = work.ledger.record("member.created", (Target("member", change.member_id, pii=pii_ref),))
    work.counters["members_created"] += 1
    work.amend(owner_id=change.member_id)
    work.writer.save_organisation(work.state)
    work.touch(change.member_id, event_id)


def _transfer_owner(work: Work, change: TransferOwner) -> None:
    former = work.state.owner_id
    if not _is_owner_or_operator(work):
        raise Refusal(
            RefusalCode.NOT_ALLOWED, "only the owner or the operator transfers the ownership (MT-16)"
        )
    if former == change.member_id:
        return
    record = _member(work, change.member_id)
    if record.facts.is_blocked:
        raise _invalid("a blocked member cannot become the owner; lift the block first")
    work.amend(owner_id=change.member_id)
    # Facts of both people name the owner: the row must say so before they are read.
    work.writer.save_organisation(work.state)
    event_id = work.ledger.record(
        "owner.transferred", (_member_target(record),), (_field("owner", former, change.member_id),)
    )
    work.touch(change.member_id, event_id, "owner_transfer")
    if former is not None:
        work.touch(former, event_id, "owner_transfer")


def _check_person(
    work: Work, record: MemberRecord, action: str, *, keeps: tuple[tuple[RoleId, ScopeId], ...] = ()
) -> None:
    """Refuse what would touch the owner, or take the last Admin away (MT-16, MK-12)."""
    if record.facts.is_owner:
        raise Refusal(
            RefusalCode.OWNER_PROTECTED,
            f"the owner cannot be {action}; transfer the ownership first",
            subject=record.member_id,
        )
    pair = (work.model.catalogue.administrator_role, work.state.root_scope_id)
    holds = any(held.grant.pair == pair for held in record.held)
    if holds and pair not in keeps and work.writer.holders(*pair, limit=2) == [record.member_id]:
        raise Refusal(
            RefusalCode.LAST_ADMIN,
            f"this is the last {pair[0]} of the organisation and cannot be {action}; make another one first",
            subject=record.member_id,
        )


def _check_grants(work: Work, grants: tuple[tuple[RoleId, ScopeId], ...]) -> None:
    for role_id, scope_id in grants:
        role = work.model.roles.get(role_id)
        node = work.model.scopes.get(scope_id)
        if role is None:
            raise _invalid(f"role '{role_id}' is not known; roles are {', '.join(work.model.roles)}")
        if node is None:
            raise _not_found("scope", scope_id)
        if node.kind not in role.scope_kinds:
            kinds = ", ".join(role.scope_kinds)
            raise _invalid(f"role '{role_id}' is granted at {kinds}, not at a {node.kind}")
        _check_may_assign(work, role_id)


def _check_may_assign(work: Work, role_id: RoleId) -> None:
    """Nobody assigns a role with permissions that they lack (MK-10). The operator and the system may."""
    actor = work.command.actor
    if not isinstance(actor, AdminActor) or actor.is_operator:
        return
    admin = MemberId(actor.admin_id)
    record = work.writer.member_records([admin] if _ID.fullmatch(admin) else []).get(admin)
    roles = work.model.roles
    held = [
        roles[open_grant.grant.role]
        for open_grant in (record.held if record else ())
        if open_grant.grant.scope_id == work.state.root_scope_id and open_grant.grant.role in roles
    ]
    lacking = permissions_beyond(roles[role_id], held)
    if lacking:
        raise Refusal(
            RefusalCode.NOT_ALLOWED,
            f"role '{role_id}' has permissions that you lack ({', '.join(lacking[:5])}); ask someone who has them",
        )


def _is_operator(work: Work) -> bool:
    actor = work.command.actor
    return isinstance(actor, SystemActor) or (isinstance(actor, AdminActor) and actor.is_operator)


def _is_owner_or_operator(work: Work) -> bool:
    actor = work.command.actor
    return _is_operator(work) or (isinstance(actor, AdminActor) and actor.admin_id == work.state.owner_id)


def _check_end(work: Work, ends_at: datetime, what: str) -> None:
    if ends_at <= work.now:
        raise _invalid(
            f"{what} would have ended at {ends_at:%Y-%m-%dT%H:%M:%SZ} already; give a moment to come"
        )


def _set_override(work: Work, change: SetOverride) -> None:
    record = _member(work, change.member_id)
    known = work.writer.override(change.override_id)
    if known is not None:
        said = (change.member_id, change.grants, change.reason, change.ends_at)
        if (known.member_id, known.grants, known.reason, known.ends_at) == said:
            return
        raise _invalid(f"there is an override '{change.override_id}' that says something else; use a new id")
    _check_end(work, change.ends_at, "the override")
    if not change.reason.strip():
        raise _invalid("an override needs a reason")
    _check_person(work, record, "overridden", keeps=change.grants)
    _check_grants(work, change.grants)
    standing = work.writer.override_of(change.member_id)
    if standing is not None:
        _close_override(work, standing, record, "replaced")
    event_id = work.ledger.record(
        "override.set",
        (_member_target(record), Target("override", change.override_id, role="object")),
        (
            _field("grants", None, tuple(sorted(f"{role}@{scope}" for role, scope in change.grants))),
            _field("reason", None, change.reason),
            _field("ends_at", None, f"{change.ends_at:%Y-%m-%dT%H:%M:%SZ}"),
        ),
    )
    override = StoredOverride(
        override_id=change.override_id,
        member_id=change.member_id,
        grants=change.grants,
        reason=change.reason,
        author=work.author,
        created_event=event_id,
        ends_at=change.ends_at,
        ended_at=None,
    )
    work.writer.insert_override(override, work.now)
    work.touch(change.member_id, event_id, "override")


def _end_override(work: Work, change: EndOverride) -> None:
    override = work.writer.override(change.override_id)
    if override is None:
        raise _not_found("override", change.override_id)
    if override.ended_at is not None:
        return
    # Also of a member who is gone: an override must not stand for ever because of that.
    record = work.writer.member_records([override.member_id])[override.member_id]
    event_id = _close_override(work, override, record, "expired" if change.expired else "ended")
    work.touch(override.member_id, event_id, "override")


def _close_override(work: Work, override: StoredOverride, record: MemberRecord, reason: str) -> EventId:
    work.writer.end_override(override.override_id, work.now)
    return work.ledger.record(
        "override.ended",
        (_member_target(record), Target("override", override.override_id, role="object")),
        parent=work.adopt(override.created_event),
        reason=Reason(reason),
    )


def _set_block(work: Work, change: SetBlock) -> None:
    record = _member(work, change.member_id)
    if record.facts.is_blocked:
        return
    if not change.reason.strip():
        raise _invalid("a block needs a reason")
    _check_person(work, record, "blocked")
    work.writer.insert_block(StoredBlock(change.member_id, change.reason, work.author, work.now))
    event_id = work.ledger.record(
        "block.set", (_member_target(record),), (_field("reason", None, change.reason),)
    )
    work.touch(change.member_id, event_id, "block")


def _lift_block(work: Work, change: LiftBlock) -> None:
    record = _member(work, change.member_id)
    block = work.writer.block_of(change.member_id)
    if block is None:
        return
    work.writer.delete_block(change.member_id)
    event_id = work.ledger.record(
        "block.lifted", (_member_target(record),), (_field("reason", block.reason, None),)
    )
    work.touch(change.member_id, event_id, "block")


def _invite(work: Work, change: Invite) -> None:
    _check_end(work, change.ends_at, "the invitation")
    key = name_key(change.mail)
    if "@" not in key.strip("@"):
        raise _invalid(f"'{change.mail}' is not a mail address")
    known = work.writer.invitation(change.invitation_id)
    if known is not None:
        said = (change.mail, change.role, change.scope_id, change.ends_at)
        if (known.mail, known.role, known.scope_id, known.ends_at) == said:
            return
        raise _invalid(
            f"there is an invitation '{change.invitation_id}' that says something else; use a new id"
        )
    if work.writer.members_by_mail({key}):
        raise _invalid(f"a member with the mail '{change.mail}' exists; use an override to change the access")
    # As many as there are reserved seats: each open invitation holds one.
    standing = work.writer.invitations_due(_NEVER, work.state.reserved) if work.state.reserved else []
    if any(name_key(invitation.mail) == key for invitation in standing):
        raise _invalid(f"'{change.mail}' is invited already; withdraw that invitation before another one")
    _check_grants(work, ((change.role, change.scope_id),))
    limit = seat_limit(work.state, work.model.catalogue)
    used = work.state.seated + work.state.reserved
    if free_seats(limit, used) == 0:
        raise seat_refusal(work, "The person was not invited.")
    pii_ref = work.mint.id()
    work.writer.insert_personal_data([PersonalData(pii_ref, change.invitation_id, {"mail": change.mail})])
    event_id = work.ledger.record(
        "invitation.created",
        (Target("invitation", change.invitation_id, pii=pii_ref),),
        (
            _field("role", None, change.role),
            _field("scope_id", None, change.scope_id),
            _field("ends_at", None, f"{change.ends_at:%Y-%m-%dT%H:%M:%SZ}"),
        ),
    )
    invitation = StoredInvitation(
        invitation_id=change.invitation_id,
        mail=change.mail,
        role=change.role,
        scope_id=change.scope_id,
        state="pending",
        created_event=event_id,
        ends_at=change.ends_at,
        pii_ref=pii_ref,
    )
    work.writer.insert_invitation(invitation, work.now)
    work.amend(reserved=work.state.reserved + 1)
    work.seat_event = event_id


def seat_refusal(work: Work, consequence: str, members: Collection[MemberId] = ()) -> Refusal:
    """The words that a person who runs out of seats reads. Source: docs/decisions/0006-seats.md"""
    limit = seat_limit(work.state, work.model.catalogue) or 0
    used = work.state.seated + work.state.reserved
    plan = f" (plan {work.state.plan})" if work.state.plan else ""
    return Refusal(
        RefusalCode.SEAT_LIMIT_REACHED,
        f"Seat limit reached: {used} of {limit} used{plan}. {consequence}",
        numbers=(("limit", limit), ("used", used)),
        subject=min(members, default=""),
    )


def _invitation(work: Work, invitation_id: InvitationId) -> StoredInvitation:
    invitation = work.writer.invitation(invitation_id)
    if invitation is None:
        raise _not_found("invitation", invitation_id)
    return invitation


def _accept_invitation(work: Work, change: AcceptInvitation) -> None:
    invitation = _invitation(work, change.invitation_id)
    if invitation.state != "pending":
        raise _invalid(f"the invitation is {invitation.state}")
    if invitation.ends_at <= work.now:
        raise _invalid("the invitation has ended; ask for a new one")
    work.writer.end_invitation(change.invitation_id, "accepted")
    event_id = work.ledger.record(
        "invitation.accepted",
        (
            Target("invitation", change.invitation_id, pii=invitation.pii_ref),
            Target("member", change.member_id, role="object", pii=invitation.pii_ref),
        ),
        parent=work.adopt(invitation.created_event),
    )
    given = (invitation.role, invitation.scope_id)
    record = work.writer.member_records([change.member_id]).get(change.member_id)
    if record is not None:
        work.writer.set_invited(change.member_id, (*record.facts.invited, given))
    else:
        member = NewMember(
            change.member_id,
            invitation.mail,
            invitation.mail,
            invitation.pii_ref,
            is_active=False,
            invited=(given,),
        )
        work.writer.insert_members([member], work.now)
        event_id = work.ledger.record(
            "member.created", (Target("member", change.member_id, pii=invitation.pii_ref),), parent=event_id
        )
        work.counters["members_created"] += 1
    # The reserved seat becomes the member's in this transaction: nobody else can be given it in between.
    work.amend(reserved=work.state.reserved - 1)
    work.entitled.add(change.member_id)
    work.touch(change.member_id, event_id, "invitation")
    if record is not None and record.seat is Seat.SEATED:
        work.open_seats(event_id, "seat_policy")


def _end_invitation(work: Work, change: EndInvitation) -> None:
    invitation = _invitation(work, change.invitation_id)
    if invitation.state == "accepted":
        raise _invalid("the invitation is accepted; remove the member instead")
    if invitation.state != "pending":
        return
    work.writer.end_invitation(change.invitation_id, "expired" if change.expired else "withdrawn")
    event_id = work.ledger.record(
        "invitation.ended",
        (Target("invitation", change.invitation_id, pii=invitation.pii_ref),),
        parent=work.adopt(invitation.created_event),
        reason=Reason("expired" if change.expired else "withdrawn"),
    )
    work.amend(reserved=work.state.reserved - 1)
    work.open_seats(event_id, "seat_policy")


def _remove_member(work: Work, change: RemoveMember) -> None:
    record = work.writer.member_records([change.member_id]).get(change.member_id)
    if record is None:
        raise _not_found("member", change.member_id)
    if record.is_deleted:
        return
    _check_person(work, record, "removed")
    if record.has_users:
        raise Refusal(
            RefusalCode.NOT_ALLOWED,
            f"member '{record.display_name}' is managed by a directory; remove the person there, or set a block",
            subject=record.member_id,
        )
    work.writer.set_invited(change.member_id, ())
    event_id = work.ledger.record(
        "member.updated",
        (_member_target(record),),
        (_field("grants", tuple(f"{role}@{scope}" for role, scope in record.facts.invited), ()),),
    )
    work.touch(change.member_id, event_id)


def _add_domain(work: Work, change: AddDomain) -> None:
    domain = name_key(change.domain)
    if not domain or "@" in domain or " " in domain or "." not in domain:
        raise _invalid(f"'{change.domain}' is not a mail domain")
    if domain in work.writer.domains():
        return
    work.writer.put_domain(domain, work.now)
    work.amend_model()
    work.ledger.record("domain.verified", (_organisation(work),), (_field("domain", None, domain),))


def _put_directory(work: Work, change: PutDirectory) -> None:
    known = {directory.directory_id: directory for directory in work.writer.directories()}
    stored = known.pop(change.directory_id, None)
    _check_directory(work, change, stored, known.values())
    interval = change.settings.get("interval_seconds")
    seconds = int(interval) if interval is not None else None
    directory = StoredDirectory(
        directory_id=change.directory_id,
        organisation_id=work.state.organisation_id,
        kind=change.kind,
        name=change.name,
        settings=dict(change.settings),
        default_role=change.default_role,
        priority=change.priority,
        interval_seconds=seconds,
        next_run_at=work.now if seconds else None,
    )
    before: Mapping[str, str | int | bool] = stored.settings if stored else {}
    changes = _moved_fields(
        {
            "kind": (stored.kind if stored else None, change.kind),
            "name": (stored.name if stored else None, change.name),
            **_settings_fields(before, change.settings),
            "default_role": (stored.default_role if stored else None, change.default_role),
            "priority": (stored.priority if stored else None, change.priority),
        }
    )
    if not changes:
        return
    if stored is not None and stored.interval_seconds == seconds:
        directory = replace(directory, next_run_at=stored.next_run_at)
    work.writer.put_directory(directory, work.now)
    event_id = work.ledger.record(
        "directory.updated" if stored else "directory.created",
        (Target("directory", change.directory_id),),
        changes,
    )
    follow_model(work, event_id, "directory_change")


def _check_directory(
    work: Work, change: PutDirectory, stored: StoredDirectory | None, others: Iterable[StoredDirectory]
) -> None:
    if change.kind not in DIRECTORY_KINDS:
        raise _invalid(f"'{change.kind}' is no kind of directory; there are {', '.join(DIRECTORY_KINDS)}")
    if stored is not None and stored.kind != change.kind:
        raise _invalid(
            f"directory '{stored.name}' is of the kind {stored.kind} and stays so; add another directory"
        )
    if not change.name.strip():
        raise _invalid("a directory needs a name")
    if any(name_key(other.name) == name_key(change.name) for other in others):
        raise _invalid(f"a directory named '{change.name}' exists; choose another name")
    for name in ("interval_seconds", *GUARD_SETTINGS):
        value = change.settings.get(name)
        if value is not None and not (type(value) is int and value >= (name in _FROM_ONE)):
            lowest = int(name in _FROM_ONE)
            raise _invalid(f"setting '{name}' of a directory is a whole number from {lowest}, not '{value}'")
    if change.kind == PUSHED:
        _check_push_settings(change)
    if change.default_role:
        faults = check_default_role(
            change.default_role, catalogue=work.model.catalogue, roles=work.model.roles
        )
        if faults:
            raise _invalid("; ".join(str(fault) for fault in faults))
        _check_may_assign(work, change.default_role)


def _check_push_settings(change: PutDirectory) -> None:
    for name, values in PUSH_SETTINGS.items():
        value = change.settings.get(name)
        if value is not None and not any(value == known and type(value) is type(known) for known in values):
            listed = ", ".join(str(known).lower() for known in values)
            raise _invalid(f"setting '{name}' of a directory is one of {listed}, not '{value}'")


def _settings_fields(
    before: Mapping[str, str | int | bool], after: Mapping[str, str | int | bool]
) -> dict[str, tuple[JSONValue, JSONValue]]:
    return {f"settings.{name}": (before.get(name), after.get(name)) for name in sorted({*before, *after})}


_HANDLERS: dict[type, Callable[[Work, Any], None]] = {
    PutRule: _put_rule,
    RemoveRule: _remove_rule,
    PutScope: _put_scope,
    RemoveScope: _remove_scope,
    PutRole: _put_role,
    RemoveRole: _remove_role,
    SetOverride: _set_override,
    EndOverride: _end_override,
    SetBlock: _set_block,
    LiftBlock: _lift_block,
    Invite: _invite,
    AcceptInvitation: _accept_invitation,
    EndInvitation: _end_invitation,
    RemoveMember: _remove_member,
    SetPlan: _set_plan,
    TransferOwner: _transfer_owner,
    EnrolOwner: _enrol_owner,
    SetSettings: _set_settings,
    AddDomain: _add_domain,
    PutDirectory: _put_directory,
    PutDirectorySecret: put_directory_secret,
    PutToken: put_token,
    RevokeToken: revoke_token,
    NoteTokenEnding: note_token_ending,
    AllowStaged: allow_staged,
    RejectStaged: reject_staged,
}
