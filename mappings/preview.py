"""What a change would do to people: access before and after, permissions gained and lost, seats.

Compares two answers of `resolve_access` and decides nothing. The hash binds an approval to exactly this
outcome at exactly this access version; when anything moves, the hash is another one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from directory.ids import MemberId, RoleId, ScopeId
from mappings.access import NO_ACCESS, Access
from mappings.catalogue import ROOT_KIND, Catalogue, Role
from mappings.rules import Source
from mappings.scopes import ScopeGraph

Pair = tuple[RoleId, ScopeId]

HeldPermission = tuple[str, str | None]
"""A permission and the condition that the host must check, if any."""


@dataclass(frozen=True, slots=True)
class PersonChange:
    """One person before and after. Pairs are in the order of the grants, permissions sorted.

    A permission counts as held wherever some pair gives it; that it moved from one place to another shows in
    the pairs alone.
    """

    member_id: MemberId
    was_active: bool
    is_active: bool
    before: tuple[Pair, ...]
    after: tuple[Pair, ...]
    permissions_gained: tuple[HeldPermission, ...]
    permissions_lost: tuple[HeldPermission, ...]

    @property
    def pairs_gained(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.after if pair not in self.before)

    @property
    def pairs_lost(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.before if pair not in self.after)

    @property
    def gains_everything(self) -> bool:
        """The person had no access and gets some."""
        return not self.before and bool(self.after)

    @property
    def loses_everything(self) -> bool:
        """The person had access and keeps none."""
        return bool(self.before) and not self.after


@dataclass(frozen=True, slots=True)
class Preview:
    """The effect of a change. `changes` is sorted by member.

    Seats are counted from access alone: what the waiting list and reserved seats add is known to the caller.
    """

    changes: tuple[PersonChange, ...]
    unchanged: int
    seats_before: int
    seats_after: int
    access_version: int
    plan_hash: str

    @property
    def gaining_everything(self) -> tuple[MemberId, ...]:
        return tuple(change.member_id for change in self.changes if change.gains_everything)

    @property
    def losing_everything(self) -> tuple[MemberId, ...]:
        return tuple(change.member_id for change in self.changes if change.loses_everything)


def preview(
    before: Mapping[MemberId, Access],
    after: Mapping[MemberId, Access],
    *,
    catalogue: Catalogue,
    roles: Mapping[RoleId, Role],
    scopes: ScopeGraph,
    access_version: int,
    roles_after: Mapping[RoleId, Role] | None = None,
    scopes_after: ScopeGraph | None = None,
) -> Preview:
    """Compare access before and after a change. Who is missing on one side has no access there.

    `roles_after` and `scopes_after` are given when the change is to these. `access_version` is the one that
    `before` was resolved at.
    """
    old = _Holdings(catalogue, roles, scopes)
    new = _Holdings(
        catalogue,
        roles if roles_after is None else roles_after,
        scopes if scopes_after is None else scopes_after,
    )
    changes = []
    members = sorted(before.keys() | after.keys())
    differences: dict[tuple[_Held, _Held], _Difference] = {}
    for member_id in members:
        was, becomes = before.get(member_id, NO_ACCESS), after.get(member_id, NO_ACCESS)
        held = (_held(was), _held(becomes))
        difference = differences.get(held)
        if difference is None:
            difference = differences[held] = _difference(old.permissions(held[0]), new.permissions(held[1]))
        if (
            was.is_active != becomes.is_active
            or held[0].pairs != held[1].pairs
            or difference != _NO_DIFFERENCE
        ):
            changes.append(
                PersonChange(
                    member_id=member_id,
                    was_active=was.is_active,
                    is_active=becomes.is_active,
                    before=held[0].pairs,
                    after=held[1].pairs,
                    permissions_gained=difference.gained,
                    permissions_lost=difference.lost,
                )
            )
    seats_before, seats_after = _seats(before), _seats(after)
    return Preview(
        changes=tuple(changes),
        unchanged=len(members) - len(changes),
        seats_before=seats_before,
        seats_after=seats_after,
        access_version=access_version,
        plan_hash=_hash(changes, seats_before, seats_after, access_version),
    )


class _Held(NamedTuple):
    pairs: tuple[Pair, ...]
    is_owner: bool


class _Difference(NamedTuple):
    gained: tuple[HeldPermission, ...]
    lost: tuple[HeldPermission, ...]


_NO_DIFFERENCE = _Difference((), ())


class _Holdings:
    """What pairs amount to in permissions, at one state of roles and scopes."""

    def __init__(self, catalogue: Catalogue, roles: Mapping[RoleId, Role], scopes: ScopeGraph) -> None:
        self._catalogue = catalogue
        self._roles = roles
        self._scopes = scopes

    def permissions(self, held: _Held) -> frozenset[HeldPermission]:
        """A permission that is held without a condition somewhere is not listed with one as well."""
        found: set[HeldPermission] = set()
        for role_id, scope_id in held.pairs:
            found.update(self._of_pair(role_id, scope_id))
        if held.is_owner:
            found.update((name, None) for name in self._catalogue.owner_permissions)
        return frozenset(pair for pair in found if pair[1] is None or (pair[0], None) not in found)

    def _of_pair(self, role_id: RoleId, scope_id: ScopeId) -> Iterator[HeldPermission]:
        role = self._roles.get(role_id)
        node = self._scopes.get(scope_id)
        if role is None or node is None:
            return
        is_root = scope_id == self._scopes.root
        kind = ROOT_KIND if is_root else node.kind
        for name in role.permissions:
            permission = self._catalogue.permissions[name]
            if is_root or not permission.needs_organisation:
                yield name, self._catalogue.condition_at(role, name, kind)


def _held(access: Access) -> _Held:
    return _Held(
        tuple([grant.pair for grant in access.grants]),
        any(grant.provenance.source is Source.OWNER for grant in access.grants),
    )


def _difference(before: frozenset[HeldPermission], after: frozenset[HeldPermission]) -> _Difference:
    return _Difference(_sorted(after - before), _sorted(before - after))


def _sorted(held: frozenset[HeldPermission]) -> tuple[HeldPermission, ...]:
    return tuple(sorted(held, key=lambda pair: (pair[0], pair[1] or "")))


def _seats(people: Mapping[MemberId, Access]) -> int:
    return sum(access.is_active and bool(access.grants) for access in people.values())


def _hash(changes: list[PersonChange], seats_before: int, seats_after: int, access_version: int) -> str:
    """SHA-256 over one JSON text a line, so that no two outcomes share a text; in the order of members."""
    digest = sha256(f"{json.dumps(['plan', 1, access_version, seats_before, seats_after])}\n".encode())
    for change in changes:
        line = [
            change.member_id,
            change.was_active,
            change.is_active,
            sorted(change.before),
            sorted(change.after),
            change.permissions_gained,
            change.permissions_lost,
        ]
        digest.update(f"{json.dumps(line)}\n".encode())
    return digest.hexdigest()
