"""May this person do this, here? The index answers from memory; nothing in it is found by searching.

An index belongs to one organisation at one access version. A committed change makes a new one, which shares
what did not change; whoever still holds the old one may finish with it.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from directory.ids import MemberId, RoleId, ScopeId
from mappings.catalogue import Condition, Permission, Role
from mappings.scopes import ScopeGraph, ScopeNode

# A longer way to the root is not walked; what the member holds is looked up among its nodes instead.
_LONGEST_WALK = 64

_NO_CONDITIONS: Mapping[str, Condition] = MappingProxyType({})


class Reason(StrEnum):
    """Why the answer is what it is. `NO_MEMBER`: nobody with a grant has this id."""

    GRANTED = "granted"
    OWNER = "owner"
    UNKNOWN_PERMISSION = "unknown_permission"
    UNKNOWN_RESOURCE = "unknown_resource"
    NO_MEMBER = "no_member"
    NO_GRANT = "no_grant"
    NEEDS_ORGANISATION = "needs_organisation"
    NEEDS_OWNER = "needs_owner"


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer. Under a `condition` it allows only where the host finds the condition met.

    `grant` is the deciding (role, scope): None for a denial and for what the owner alone may do. `ruling`
    names the catalogue's ruling on the permission.
    """

    allowed: bool
    reason: Reason
    condition: str | None
    grant: tuple[RoleId, ScopeId] | None
    access_version: int
    ruling: str | None


@dataclass(eq=False, slots=True)
class _Outcome:
    """A decision but for its access version. Compared by identity, which makes finding its decision cheap."""

    reason: Reason
    ruling: str | None
    condition: str | None = None
    grant: tuple[RoleId, ScopeId] | None = None


@dataclass(eq=False, slots=True)
class _Question:
    """A permission, with every outcome that no single grant decides."""

    needs_organisation: bool
    needs_owner: bool
    owner: _Outcome
    not_owner: _Outcome
    no_member: _Outcome
    no_grant: _Outcome
    no_grant_at_organisation: _Outcome
    unknown_resource: _Outcome


@dataclass(eq=False, slots=True)
class _Cell:
    """What these roles at this scope give, by permission. One for all members who hold just them there."""

    scope_id: ScopeId
    roles: tuple[RoleId, ...]
    outcomes: Mapping[str, _Outcome]


_Held = dict[ScopeId, _Cell]
_UNKNOWN_PERMISSION = _Outcome(Reason.UNKNOWN_PERMISSION, None)


class DecisionIndex:
    """What everybody of an organisation may do, compiled from their grants. Ask it through `decide`.

    `roles` are the organisation's own (`roles_of`); `permissions`, `conditions` and `owner_permissions` are
    the catalogue's. A condition that is not in `conditions` always stays for the host to check. A grant of an
    unknown role, or at a scope that does not reach the root, gives nothing.
    """

    __slots__ = (
        "_cells",
        "_decisions",
        "_held",
        "_owner",
        "_questions",
        "_root_walk",
        "_scopes",
        "_walks",
        "access_version",
    )

    def __init__(
        self,
        *,
        roles: Mapping[RoleId, Role],
        permissions: Mapping[str, Permission],
        owner_permissions: frozenset[str],
        owner: MemberId | None,
        scopes: ScopeGraph,
        grants: Iterable[tuple[MemberId, RoleId, ScopeId]],
        access_version: int,
        conditions: Mapping[str, Condition] = _NO_CONDITIONS,
    ) -> None:
        self.access_version = access_version
        self._owner = owner
        self._scopes = scopes
        self._questions = {
            name: _make_question(permission, needs_owner=name in owner_permissions)
            for name, permission in permissions.items()
        }
        self._cells = _Cells(roles, permissions, conditions, scopes)
        self._decisions: dict[_Outcome, Decision] = {}
        self._walks: dict[ScopeId, tuple[ScopeId, ...]] = {}
        self._root_walk = tuple(scopes.lineage(scopes.root))
        self._held: dict[MemberId, _Held] = {}
        self._cells.add_to(self._held, grants)

    def __len__(self) -> int:
        """How many members hold a grant."""
        return len(self._held)

    def __contains__(self, member_id: object) -> bool:
        return member_id in self._held

    def where(self, member_id: MemberId, permission: str) -> frozenset[ScopeId]:
        """The scopes at which the member was granted the permission: these, and all below them, allow it.

        Also where the allowance is under a condition, which `decide` then names.
        """
        question = self._questions.get(permission)
        if question is None:
            return frozenset()
        if question.needs_owner:
            return frozenset(self._root_walk if member_id == self._owner else ())
        held = self._held.get(member_id, {})
        found = frozenset(scope_id for scope_id, cell in held.items() if permission in cell.outcomes)
        return found.intersection(self._root_walk) if question.needs_organisation else found

    def without_member(self, member_id: MemberId, *, access_version: int) -> Self:
        """The index after a change that left the member without grants."""
        return self.replace_member(member_id, (), access_version=access_version)

    def replace_member(
        self, member_id: MemberId, grants: Iterable[tuple[RoleId, ScopeId]], *, access_version: int
    ) -> Self:
        """The index after a change to one member's grants. Costs a copy of the table of members, no more."""
        changed = copy(self)
        changed.access_version = access_version
        changed._decisions = {}
        changed._held = self._held.copy()
        changed._held.pop(member_id, None)
        changed._cells.add_to(changed._held, ((member_id, role, scope_id) for role, scope_id in grants))
        return changed

    def _make_decision(self, outcome: _Outcome) -> Decision:
        decision = self._decisions[outcome] = Decision(
            allowed=outcome.reason in (Reason.GRANTED, Reason.OWNER),
            reason=outcome.reason,
            condition=outcome.condition,
            grant=outcome.grant,
            access_version=self.access_version,
            ruling=outcome.ruling,
        )
        return decision

    def _find_walk(self, resource_id: ScopeId, held: _Held) -> Iterable[ScopeId]:
        """The scopes to ask, nearest first: the resource and all above it, or those of them that are held."""
        lineage = self._scopes.lineage(resource_id)
        if len(lineage) > _LONGEST_WALK:
            return sorted(held.keys() & lineage.keys(), key=lineage.__getitem__)
        walk = self._walks[resource_id] = tuple(lineage)
        return walk


def decide(index: DecisionIndex, member_id: MemberId, permission: str, resource_id: ScopeId) -> Decision:
    """Decide whether the member may act on the resource. Unknown permission, resource or member is denied.

    Some grant must hold the permission at a scope that covers the resource; for a permission of the
    organisation the grant must be at the organisation, wherever it is asked about (B-R2, B-R3). A grant
    without condition wins over one with, then the one nearest to the resource, then the role of the highest
    rank. What belongs to the owner is answered by ownership alone (MT-2).
    """
    # Everything is looked up and nothing made: a host asks on each request of its own.
    question = index._questions.get(permission)
    if question is None:
        outcome = _UNKNOWN_PERMISSION
    else:
        outcome = _find_outcome(index, question, member_id, permission, resource_id)
    return index._decisions.get(outcome) or index._make_decision(outcome)


def _find_outcome(
    index: DecisionIndex, question: _Question, member_id: MemberId, permission: str, resource_id: ScopeId
) -> _Outcome:
    walk: Iterable[ScopeId] | None = index._walks.get(resource_id)
    if walk is None and not index._scopes.lineage(resource_id):
        return question.unknown_resource
    if question.needs_owner:
        return question.owner if member_id == index._owner else question.not_owner
    held = index._held.get(member_id)
    if held is None:
        return question.no_member
    if question.needs_organisation:
        walk = index._root_walk
    elif walk is None:
        walk = index._find_walk(resource_id, held)
    conditional = None
    for scope_id in walk:
        cell = held.get(scope_id)
        if cell is not None:
            outcome = cell.outcomes.get(permission)
            if outcome is not None:
                if outcome.condition is None:
                    return outcome
                conditional = conditional or outcome
    if conditional is not None:
        return conditional
    if question.needs_organisation and any(permission in cell.outcomes for cell in held.values()):
        return question.no_grant_at_organisation
    return question.no_grant


def _make_question(permission: Permission, *, needs_owner: bool) -> _Question:
    ruling = permission.ruling or None
    return _Question(
        needs_organisation=permission.needs_organisation,
        needs_owner=needs_owner,
        owner=_Outcome(Reason.OWNER, ruling),
        not_owner=_Outcome(Reason.NEEDS_OWNER, ruling),
        no_member=_Outcome(Reason.NO_MEMBER, ruling),
        no_grant=_Outcome(Reason.NO_GRANT, ruling),
        no_grant_at_organisation=_Outcome(Reason.NEEDS_ORGANISATION, ruling),
        unknown_resource=_Outcome(Reason.UNKNOWN_RESOURCE, ruling),
    )


class _Cells:
    """The cells of an organisation, each made once. Grows by the pairs of roles and scopes that occur."""

    __slots__ = ("_conditions", "_joined", "_permissions", "_roles", "_scopes", "_single")

    def __init__(
        self,
        roles: Mapping[RoleId, Role],
        permissions: Mapping[str, Permission],
        conditions: Mapping[str, Condition],
        scopes: ScopeGraph,
    ) -> None:
        self._roles = roles
        self._permissions = permissions
        self._conditions = conditions
        self._scopes = scopes
        self._single: dict[tuple[RoleId, ScopeId], _Cell] = {}
        self._joined: dict[tuple[tuple[RoleId, ...], ScopeId], _Cell] = {}

    def add_to(
        self, everybody: dict[MemberId, _Held], grants: Iterable[tuple[MemberId, RoleId, ScopeId]]
    ) -> None:
        """Add grants to what members hold."""
        single = self._single
        for member_id, role, scope_id in grants:
            held = everybody.get(member_id)
            if held is None:
                held = everybody[member_id] = {}
            present = held.get(scope_id)
            if present is not None:
                held[scope_id] = self._join((*present.roles, role), scope_id)
            else:
                pair = (role, scope_id)
                held[scope_id] = single.get(pair) or self._make_single(pair)

    def _make_single(self, pair: tuple[RoleId, ScopeId]) -> _Cell:
        role, scope_id = pair
        cell = self._single[pair] = self._join((role,), scope_id)
        return cell

    def _join(self, roles: tuple[RoleId, ...], scope_id: ScopeId) -> _Cell:
        known = self._joined.get((roles, scope_id))
        if known is None:
            best_first = tuple(sorted(set(roles), key=self._order))
            known = self._joined.get((best_first, scope_id)) or self._make_cell(best_first, scope_id)
            self._joined[roles, scope_id] = self._joined[best_first, scope_id] = known
        return known

    def _order(self, role_id: RoleId) -> tuple[int, RoleId]:
        role = self._roles.get(role_id)
        return (-role.rank if role is not None else 0, role_id)

    def _make_cell(self, roles: tuple[RoleId, ...], scope_id: ScopeId) -> _Cell:
        outcomes: dict[str, _Outcome] = {}
        node = self._scopes.get(scope_id)
        if node is not None and self._scopes.lineage(scope_id):
            for role_id in roles:
                for permission, outcome in self._outcomes(role_id, node):
                    present = outcomes.get(permission)
                    if present is None or (present.condition is not None and outcome.condition is None):
                        outcomes[permission] = outcome
        return _Cell(scope_id, roles, outcomes)

    def _outcomes(self, role_id: RoleId, node: ScopeNode) -> Iterable[tuple[str, _Outcome]]:
        role = self._roles.get(role_id)
        for name, stated in () if role is None else role.permissions.items():
            permission = self._permissions.get(name)
            if permission is not None:
                condition = None if self._is_met(stated, node.kind) else stated
                grant = (role_id, node.scope_id)
                yield name, _Outcome(Reason.GRANTED, permission.ruling or None, condition, grant)

    def _is_met(self, condition: str | None, scope_kind: str) -> bool:
        known = None if condition is None else self._conditions.get(condition)
        return known is not None and scope_kind in known.met_at
