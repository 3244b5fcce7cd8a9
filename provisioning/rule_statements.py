"""Rules, scopes and custom roles as administrators and the operator say them."""

from dataclasses import replace
from typing import assert_never

from audit.events import Target
from directory.changes import (
    AttributeMatch,
    GroupMatch,
    NameMatch,
    PutRole,
    PutRule,
    PutScope,
    RemoveRole,
    RemoveRule,
    RemoveScope,
)
from directory.ids import EventId, GroupId, ScopeId
from mappings.catalogue import check_custom_role
from mappings.rules import Rule, check_rule, parse_pattern
from mappings.scopes import ScopeNode, check_scope
from provisioning.errors import Refusal, RefusalCode
from provisioning.models import role_of_definition
from provisioning.statements import (
    check_may_assign,
    field_change,
    invalid,
    is_operator,
    moved_fields,
    not_found,
)
from provisioning.work import Work, follow_model


def put_rule(work: Work, change: PutRule) -> None:
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
        raise invalid("; ".join(str(fault) for fault in faults))
    check_may_assign(work, change.role)
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
        moved_fields(
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


def remove_rule(work: Work, change: RemoveRule) -> None:
    known = work.model.rule(change.rule_id)
    if known is None:
        if work.writer.rule_versions(change.rule_id):
            return
        raise not_found("mapping rule", change.rule_id)
    work.writer.end_rule(change.rule_id, work.now)
    event_id = work.ledger.record(
        "mapping.deleted",
        (Target("rule", change.rule_id),),
        (
            field_change("match", render_match(known.match), None),
            field_change("role", known.role, None),
            field_change("scope_id", known.scope_id, None),
        ),
        rule_id=known.rule_id,
        rule_version=known.version,
    )
    follow_model(work, event_id, "mapping_rule")


def put_scope(work: Work, change: PutScope) -> None:
    known = work.model.scopes.get(change.scope_id)
    node = ScopeNode(change.scope_id, change.kind, change.name, change.host_id, change.parents)
    if known == node:
        return
    if change.scope_id == work.state.root_scope_id:
        raise invalid("the organisation itself is the root scope and is not put")
    faults = check_scope(work.model.scopes, node, kinds=work.model.catalogue.scope_kinds)
    if faults:
        raise invalid("; ".join(str(fault) for fault in faults))
    work.writer.put_scope(change)
    event_id = work.ledger.record(
        "scope.updated" if known else "scope.created",
        (Target("scope", change.scope_id),),
        moved_fields(
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


def remove_scope(work: Work, change: RemoveScope) -> None:
    known = work.model.scopes.get(change.scope_id)
    if known is None:
        if work.writer.had_scope(change.scope_id):
            return
        raise not_found("scope", change.scope_id)
    if change.scope_id == work.state.root_scope_id:
        raise invalid("the organisation itself is the root scope and cannot be removed")
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
            field_change("kind", known.kind, None),
            field_change("name", known.name, None),
            field_change("host_id", known.host_id, None),
        ),
    )
    for node in children:
        parents = tuple(parent for parent in node.parents if parent != change.scope_id)
        work.writer.put_scope(PutScope(node.scope_id, node.kind, node.name, node.host_id, parents))
        work.ledger.record(
            "scope.updated",
            (Target("scope", node.scope_id),),
            (field_change("parents", tuple(sorted(node.parents)), tuple(sorted(parents))),),
            parent=event_id,
            kind="scope_change",
        )
    _touch_given_at(work, change.scope_id, event_id)
    follow_model(work, event_id, "scope_change")


def put_role(work: Work, change: PutRole) -> None:
    if not is_operator(work):
        raise Refusal(RefusalCode.NOT_ALLOWED, "custom roles are defined by the operator (MK-4)")
    known = work.model.roles.get(change.role)
    if known is not None and not known.is_custom:
        raise invalid(f"'{change.role}' is a role of the catalogue; choose another name")
    faults = check_custom_role(work.model.catalogue, role_of_definition(change))
    if faults:
        raise invalid("; ".join(str(fault) for fault in faults))
    if known is not None and known == role_of_definition(change):
        return
    work.writer.put_role(change)
    event_id = work.ledger.record(
        "role_definition.updated" if known else "role_definition.created",
        (Target("role", change.role),),
        moved_fields(
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


def remove_role(work: Work, change: RemoveRole) -> None:
    known = work.model.roles.get(change.role)
    if known is None or not known.is_custom:
        raise not_found("custom role", change.role)
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
        "role_definition.deleted", (Target("role", change.role),), (field_change("label", known.label, None),)
    )
    follow_model(work, event_id, "role_change")
