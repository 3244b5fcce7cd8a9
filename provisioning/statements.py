"""What the statements of administrators share: who may say them, how they are refused, and how events name things."""

import re
from collections.abc import Collection
from datetime import datetime

from audit.actors import AdminActor, SystemActor
from audit.events import FieldChange, JSONValue, Target
from directory.ids import MemberId, RoleId, ScopeId
from mappings.catalogue import permissions_beyond
from provisioning.errors import Refusal, RefusalCode
from provisioning.seats import seat_limit
from provisioning.state import MemberRecord
from provisioning.work import Work

ID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The text form of an id, in small letters."""


def invalid(message: str) -> Refusal:
    """What was said cannot be."""
    return Refusal(RefusalCode.INVALID, message)


def not_found(kind: str, name: str) -> Refusal:
    """What was said is about nothing that is there."""
    return Refusal(RefusalCode.NOT_FOUND, f"there is no {kind} '{name}' in this organisation")


def field_change(path: str, before: JSONValue, after: JSONValue) -> FieldChange:
    """One path of an event, before and after."""
    return FieldChange(path, before, after)


def moved_fields(paths: dict[str, tuple[JSONValue, JSONValue]]) -> tuple[FieldChange, ...]:
    """Those of the paths that moved."""
    return tuple(
        field_change(path, before, after) for path, (before, after) in paths.items() if before != after
    )


def find_member(work: Work, member_id: MemberId) -> MemberRecord:
    """A member who is there. Raises Refusal."""
    record = work.writer.member_records([member_id]).get(member_id)
    if record is None or record.is_deleted:
        raise not_found("member", member_id)
    return record


def member_target(record: MemberRecord) -> Target:
    """The member as the subject of an event."""
    return Target("member", record.member_id, pii=record.pii_ref)


def organisation_target(work: Work) -> Target:
    return Target("organisation", work.state.organisation_id)


def check_person(
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


def check_grants(work: Work, grants: tuple[tuple[RoleId, ScopeId], ...]) -> None:
    """Refuse roles and scopes that are not there, do not fit each other, or are not to be given by the actor."""
    for role_id, scope_id in grants:
        role = work.model.roles.get(role_id)
        node = work.model.scopes.get(scope_id)
        if role is None:
            raise invalid(f"role '{role_id}' is not known; roles are {', '.join(work.model.roles)}")
        if node is None:
            raise not_found("scope", scope_id)
        if node.kind not in role.scope_kinds:
            kinds = ", ".join(role.scope_kinds)
            raise invalid(f"role '{role_id}' is granted at {kinds}, not at a {node.kind}")
        check_may_assign(work, role_id)


def check_may_assign(work: Work, role_id: RoleId) -> None:
    """Nobody assigns a role with permissions that they lack (MK-10). The operator and the system may."""
    actor = work.command.actor
    if not isinstance(actor, AdminActor) or actor.is_operator:
        return
    admin = MemberId(actor.admin_id)
    record = work.writer.member_records([admin] if ID_FORM.fullmatch(admin) else []).get(admin)
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


def is_operator(work: Work) -> bool:
    actor = work.command.actor
    return isinstance(actor, SystemActor) or (isinstance(actor, AdminActor) and actor.is_operator)


def is_owner_or_operator(work: Work) -> bool:
    actor = work.command.actor
    return is_operator(work) or (isinstance(actor, AdminActor) and actor.admin_id == work.state.owner_id)


def check_end(work: Work, ends_at: datetime, what: str) -> None:
    """Refuse an end that has passed."""
    if ends_at <= work.now:
        raise invalid(
            f"{what} would have ended at {ends_at:%Y-%m-%dT%H:%M:%SZ} already; give a moment to come"
        )


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
