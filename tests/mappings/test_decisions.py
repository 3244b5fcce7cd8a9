"""Decisions: who may do what, where, and why. The index is compared with a naive reading of the rules."""

from collections.abc import Iterable, Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.ids import MemberId, RoleId, ScopeId
from mappings.catalogue import Condition, Permission, Role
from mappings.decisions import Decision, DecisionIndex, Reason, decide
from mappings.scopes import ScopeGraph, ScopeNode

Given = tuple[MemberId, RoleId, ScopeId]

ROOT = ScopeId("root")
ANA, BEN, CARA, OWNER = map(MemberId, ("ana", "ben", "cara", "owner"))
ADMIN, MONITOR, CLEANER = map(RoleId, ("admin", "monitor", "cleaner"))

PERMISSIONS: Mapping[str, Permission] = {
    permission.id: permission
    for permission in (
        Permission("units.add", needs_organisation=True, label="Add units"),
        Permission("presets.edit", needs_organisation=True, label="Edit presets", ruling="MT-5"),
        Permission("sensors.view", needs_organisation=False, label="View sensors", ruling="MT-1"),
        Permission("tasks.view", needs_organisation=False, label="View tasks"),
        Permission("billing.manage", needs_organisation=True, label="Manage billing"),
    )
}
CONDITIONS: Mapping[str, Condition] = {
    "assigned_to_self": Condition("assigned_to_self", "assigned to the person"),
    "in_own_house": Condition("in_own_house", "in a house of the person", met_at=("house",)),
}
OWNER_PERMISSIONS = frozenset({"billing.manage"})


def role(role_id: RoleId, rank: int, permissions: Mapping[str, str | None]) -> Role:
    return Role(role_id, role_id, rank, ("organisation", "house", "flat"), permissions)


ROLES: Mapping[RoleId, Role] = {
    found.id: found
    for found in (
        role(ADMIN, 3, {"units.add": None, "presets.edit": None, "sensors.view": None, "tasks.view": None}),
        role(
            MONITOR,
            2,
            {"tasks.view": None, "sensors.view": "in_own_house", "presets.edit": "assigned_to_self"},
        ),
        role(CLEANER, 1, {"tasks.view": "assigned_to_self", "sensors.view": "unheard_of"}),
    )
}


def node(scope_id: str, *parents: str, kind: str = "flat") -> ScopeNode:
    return ScopeNode(ScopeId(scope_id), kind, scope_id, scope_id, tuple(map(ScopeId, parents)))


TREE = ScopeGraph(
    [
        node("root", kind="organisation"),
        node("north", "root", kind="house"),
        node("south", "root", kind="house"),
        node("n1", "north"),
        node("s1", "south"),
        node("lost", "gone"),
    ],
    ROOT,
)


def make_index(*grants: tuple[MemberId, RoleId, str], scopes: ScopeGraph = TREE) -> DecisionIndex:
    return DecisionIndex(
        roles=ROLES,
        permissions=PERMISSIONS,
        owner_permissions=OWNER_PERMISSIONS,
        owner=OWNER,
        scopes=scopes,
        grants=[(member_id, role_id, ScopeId(scope_id)) for member_id, role_id, scope_id in grants],
        access_version=7,
        conditions=CONDITIONS,
    )


def ask(index: DecisionIndex, permission: str, resource: str, member_id: MemberId = ANA) -> Decision:
    return decide(index, member_id, permission, ScopeId(resource))


# Allowed


def test_a_grant_allows_at_its_scope_and_below() -> None:
    index = make_index((ANA, ADMIN, "north"))

    assert ask(index, "sensors.view", "north").allowed
    assert ask(index, "sensors.view", "n1") == Decision(
        allowed=True,
        reason=Reason.GRANTED,
        condition=None,
        grant=(ADMIN, ScopeId("north")),
        access_version=7,
        ruling="MT-1",
    )


def test_a_grant_allows_nothing_above_or_beside_its_scope() -> None:
    index = make_index((ANA, ADMIN, "north"))

    for resource in ("root", "south", "s1"):
        assert ask(index, "sensors.view", resource).reason is Reason.NO_GRANT


def test_two_grants_never_make_the_highest_role_at_the_widest_scope() -> None:
    index = make_index((ANA, ADMIN, "north"), (ANA, CLEANER, "root"))

    assert ask(index, "tasks.view", "n1").grant == (ADMIN, ScopeId("north"))
    assert ask(index, "tasks.view", "s1").condition == "assigned_to_self"
    assert ask(index, "units.add", "n1").reason is Reason.NEEDS_ORGANISATION


def test_a_permission_without_ruling_says_none() -> None:
    assert ask(make_index((ANA, ADMIN, "root")), "tasks.view", "n1").ruling is None


def test_the_nearest_grant_decides() -> None:
    index = make_index((ANA, ADMIN, "root"), (ANA, MONITOR, "n1"))

    assert ask(index, "tasks.view", "n1").grant == (MONITOR, ScopeId("n1"))


def test_at_one_scope_the_role_of_the_highest_rank_decides() -> None:
    forward = make_index((ANA, MONITOR, "n1"), (ANA, ADMIN, "n1"))
    backward = make_index((ANA, ADMIN, "n1"), (ANA, MONITOR, "n1"))

    assert ask(forward, "tasks.view", "n1").grant == (ADMIN, ScopeId("n1"))
    assert ask(backward, "tasks.view", "n1").grant == (ADMIN, ScopeId("n1"))


# Conditions


def test_a_grant_without_condition_wins_over_a_nearer_one_with() -> None:
    index = make_index((ANA, CLEANER, "n1"), (ANA, MONITOR, "north"))

    decision = ask(index, "tasks.view", "n1")

    assert decision.condition is None
    assert decision.grant == (MONITOR, ScopeId("north"))


def test_at_one_scope_a_role_without_condition_wins_over_a_higher_one_with() -> None:
    roles = {
        CLEANER: role(CLEANER, 1, {"tasks.view": None}),
        ADMIN: role(ADMIN, 3, {"tasks.view": "assigned_to_self"}),
    }
    index = DecisionIndex(
        roles=roles,
        permissions=PERMISSIONS,
        owner_permissions=OWNER_PERMISSIONS,
        owner=None,
        scopes=TREE,
        grants=[(ANA, ADMIN, ROOT), (ANA, CLEANER, ROOT)],
        access_version=1,
    )

    assert ask(index, "tasks.view", "n1").grant == (CLEANER, ROOT)


def test_the_nearest_of_grants_under_conditions_decides() -> None:
    index = make_index((ANA, CLEANER, "root"), (ANA, CLEANER, "n1"))

    assert ask(index, "tasks.view", "n1").grant == (CLEANER, ScopeId("n1"))


def test_a_condition_is_met_by_a_grant_at_its_kind_of_scope() -> None:
    assert ask(make_index((ANA, MONITOR, "north")), "sensors.view", "n1").condition is None
    assert ask(make_index((ANA, MONITOR, "n1")), "sensors.view", "n1").condition == "in_own_house"
    assert ask(make_index((ANA, MONITOR, "root")), "sensors.view", "n1").condition == "in_own_house"


def test_an_unheard_of_condition_stays_for_the_host() -> None:
    assert ask(make_index((ANA, CLEANER, "north")), "sensors.view", "n1").condition == "unheard_of"


# The organisation and its owner


def test_a_permission_of_the_organisation_needs_a_grant_there() -> None:
    # B-R2, B-R3
    below = make_index((ANA, ADMIN, "north"))
    above = make_index((ANA, ADMIN, "root"))

    assert ask(below, "units.add", "n1").reason is Reason.NEEDS_ORGANISATION
    assert ask(below, "units.add", "root").reason is Reason.NEEDS_ORGANISATION
    assert ask(above, "units.add", "n1").grant == (ADMIN, ROOT)
    assert ask(above, "units.add", "root").allowed


def test_a_permission_of_the_organisation_may_be_under_a_condition() -> None:
    assert ask(make_index((ANA, MONITOR, "root")), "presets.edit", "n1").condition == "assigned_to_self"


def test_a_permission_of_the_organisation_that_no_role_gives_has_no_grant() -> None:
    assert ask(make_index((ANA, CLEANER, "root")), "units.add", "root").reason is Reason.NO_GRANT


def test_what_belongs_to_the_owner_is_nobody_else_s() -> None:
    # MT-2
    index = make_index((ANA, ADMIN, "root"))

    assert ask(index, "billing.manage", "root").reason is Reason.NEEDS_OWNER
    owned = ask(index, "billing.manage", "root", OWNER)
    assert (owned.allowed, owned.reason, owned.grant) == (True, Reason.OWNER, None)


def test_a_role_cannot_give_what_belongs_to_the_owner() -> None:
    index = DecisionIndex(
        roles={ADMIN: role(ADMIN, 3, {"billing.manage": None})},
        permissions=PERMISSIONS,
        owner_permissions=OWNER_PERMISSIONS,
        owner=None,
        scopes=TREE,
        grants=[(ANA, ADMIN, ROOT)],
        access_version=1,
    )

    assert ask(index, "billing.manage", "root").reason is Reason.NEEDS_OWNER
    assert index.where(ANA, "billing.manage") == frozenset()


# Denied


@pytest.mark.parametrize(
    ("member_id", "permission", "resource", "reason"),
    [
        (ANA, "units.burn", "root", Reason.UNKNOWN_PERMISSION),
        (ANA, "tasks.view", "nowhere", Reason.UNKNOWN_RESOURCE),
        (ANA, "tasks.view", "lost", Reason.UNKNOWN_RESOURCE),
        (OWNER, "billing.manage", "nowhere", Reason.UNKNOWN_RESOURCE),
        (BEN, "tasks.view", "n1", Reason.NO_MEMBER),
        (BEN, "units.add", "n1", Reason.NO_MEMBER),
    ],
)
def test_what_is_unknown_is_denied(
    member_id: MemberId, permission: str, resource: str, reason: Reason
) -> None:
    decision = ask(make_index((ANA, ADMIN, "root")), permission, resource, member_id)

    assert (decision.allowed, decision.reason, decision.grant) == (False, reason, None)
    assert decision.access_version == 7


def test_an_unknown_role_gives_nothing() -> None:
    index = make_index((ANA, RoleId("ghost"), "root"), (BEN, RoleId("ghost"), "root"), (BEN, ADMIN, "root"))

    assert ask(index, "tasks.view", "n1").reason is Reason.NO_GRANT
    assert ask(index, "tasks.view", "n1", BEN).grant == (ADMIN, ROOT)


def test_a_permission_that_left_the_catalogue_is_no_one_s() -> None:
    index = DecisionIndex(
        roles={ADMIN: role(ADMIN, 3, {"gone.away": None})},
        permissions=PERMISSIONS,
        owner_permissions=OWNER_PERMISSIONS,
        owner=None,
        scopes=TREE,
        grants=[(ANA, ADMIN, ROOT)],
        access_version=1,
    )

    assert ask(index, "gone.away", "root").reason is Reason.UNKNOWN_PERMISSION
    assert index.where(ANA, "gone.away") == frozenset()


@pytest.mark.parametrize("scope_id", ["lost", "gone"])
def test_a_grant_at_a_scope_that_is_gone_gives_nothing_anywhere(scope_id: str) -> None:
    # MT-19
    index = make_index((ANA, ADMIN, scope_id))

    assert {ask(index, "tasks.view", found.scope_id).allowed for found in TREE.nodes()} == {False}
    assert index.where(ANA, "tasks.view") == frozenset()


# Where


def test_where_names_every_scope_that_gives_the_permission() -> None:
    index = make_index((ANA, ADMIN, "north"), (ANA, CLEANER, "s1"))

    assert index.where(ANA, "tasks.view") == {ScopeId("north"), ScopeId("s1")}
    assert index.where(ANA, "units.add") == frozenset()
    assert index.where(BEN, "tasks.view") == frozenset()


def test_where_of_a_permission_of_the_organisation_is_the_organisation() -> None:
    index = make_index((ANA, ADMIN, "root"), (ANA, ADMIN, "north"))

    assert index.where(ANA, "units.add") == {ROOT}


def test_where_of_what_belongs_to_the_owner_is_the_organisation() -> None:
    assert make_index().where(OWNER, "billing.manage") == {ROOT}
    assert make_index().where(ANA, "billing.manage") == frozenset()


# Changing one member


def test_a_removed_member_is_denied_at_once_and_others_are_not() -> None:
    # B-R4, B-R5
    before = make_index((ANA, ADMIN, "root"), (BEN, ADMIN, "root"))
    assert ask(before, "tasks.view", "n1").allowed

    after = before.without_member(ANA, access_version=8)

    assert ask(after, "tasks.view", "n1").reason is Reason.NO_MEMBER
    assert ask(after, "tasks.view", "n1", BEN).allowed
    assert (len(before), len(after)) == (2, 1)
    assert (ANA in before, ANA in after) == (True, False)


def test_a_replaced_member_holds_only_the_new_grants() -> None:
    before = make_index((ANA, ADMIN, "root"))

    after = before.replace_member(ANA, [(CLEANER, ScopeId("north"))], access_version=8)

    assert ask(after, "tasks.view", "n1").condition == "assigned_to_self"
    assert not ask(after, "units.add", "root").allowed


def test_a_new_member_may_be_put_in() -> None:
    after = make_index().replace_member(CARA, [(ADMIN, ROOT)], access_version=8)

    assert ask(after, "units.add", "root", CARA).allowed


def test_answers_carry_the_version_of_their_own_index() -> None:
    before = make_index((ANA, ADMIN, "root"), (BEN, ADMIN, "root"))
    assert ask(before, "tasks.view", "n1", BEN).access_version == 7

    after = before.without_member(ANA, access_version=8)

    assert ask(after, "tasks.view", "n1", BEN).access_version == 8
    assert ask(before, "tasks.view", "n1", BEN).access_version == 7
    assert ask(before, "tasks.view", "n1").allowed


# Long chains


def test_a_deep_graph_is_answered_without_walking_it() -> None:
    depth = 5_000
    chain = ScopeGraph(
        [
            node("root", kind="organisation"),
            *(node(f"d{i}", f"d{i - 1}" if i else "root") for i in range(depth)),
        ],
        ROOT,
    )
    index = make_index((ANA, MONITOR, "d10"), (ANA, CLEANER, "d4000"), (ANA, ADMIN, "d4998"), scopes=chain)

    assert ask(index, "tasks.view", "d9").reason is Reason.NO_GRANT
    assert ask(index, "tasks.view", "d3000").grant == (MONITOR, ScopeId("d10"))
    assert ask(index, "tasks.view", "d4500").grant == (MONITOR, ScopeId("d10"))
    assert ask(index, "tasks.view", "d4999").grant == (ADMIN, ScopeId("d4998"))


# The index agrees with a naive reading

scope_names = [f"n{number}" for number in range(8)]
scope_graphs = st.fixed_dictionaries(
    {
        name: st.lists(st.sampled_from(["root", "gone", *scope_names]), max_size=3, unique=True)
        for name in scope_names
    }
)
grant_lists = st.lists(
    st.tuples(
        st.sampled_from([ANA, BEN]),
        st.sampled_from([*ROLES, RoleId("ghost")]),
        st.sampled_from(["root", "gone", *scope_names]).map(ScopeId),
    ),
    max_size=8,
)


def naive_outcomes(
    grants: Iterable[Given], scopes: ScopeGraph, member_id: MemberId, permission: str, resource: ScopeId
) -> set[tuple[str | None, RoleId, ScopeId]]:
    """Every (condition, role, scope) that allows, read off the rules without any index."""
    needed = PERMISSIONS[permission]
    found = set()
    for holder, role_id, scope_id in grants:
        scope = scopes.get(scope_id)
        if (
            holder != member_id
            or role_id not in ROLES
            or permission not in ROLES[role_id].permissions
            or scope is None
        ):
            continue
        if not (scopes.covers(scope_id, resource) and scopes.covers(ROOT, scope_id)):
            continue
        if needed.needs_organisation and scope_id != ROOT:
            continue
        condition = ROLES[role_id].permissions[permission]
        if any(scope.kind in known.met_at for known in CONDITIONS.values() if known.id == condition):
            condition = None
        found.add((condition, role_id, scope_id))
    return found


def build_scopes(parents: Mapping[str, list[str]]) -> ScopeGraph:
    nodes = [node(name, *above, kind="house" if name < "n4" else "flat") for name, above in parents.items()]
    return ScopeGraph([node("root", kind="organisation"), *nodes], ROOT)


QUESTIONS = [
    (member_id, permission)
    for member_id in (ANA, BEN)
    for permission in PERMISSIONS.keys() - OWNER_PERMISSIONS
]


@given(parents=scope_graphs, grants=grant_lists)
def test_the_index_agrees_with_a_naive_reading(parents: dict[str, list[str]], grants: list[Given]) -> None:
    scopes = build_scopes(parents)
    index = make_index(*grants, scopes=scopes)

    for member_id, permission in QUESTIONS:
        for scope in scopes.nodes():
            decision = decide(index, member_id, permission, scope.scope_id)
            naive = naive_outcomes(grants, scopes, member_id, permission, scope.scope_id)

            assert decision.allowed is bool(naive)
            assert decision.grant is None or (decision.condition, *decision.grant) in naive
            assert decision.condition is None or None not in {condition for condition, _, _ in naive}


@given(parents=scope_graphs, grants=grant_lists)
def test_where_covers_exactly_what_is_allowed(parents: dict[str, list[str]], grants: list[Given]) -> None:
    scopes = build_scopes(parents)
    index = make_index(*grants, scopes=scopes)

    for member_id, permission in QUESTIONS:
        found = index.where(member_id, permission)
        reached = {scope.scope_id for scope in scopes.nodes() if scopes.covers(ROOT, scope.scope_id)}

        assert {
            resource for resource in reached if decide(index, member_id, permission, resource).allowed
        } == {
            resource for resource in reached if any(scopes.covers(scope_id, resource) for scope_id in found)
        }


@given(parents=scope_graphs, grants=grant_lists, order=st.randoms(use_true_random=False))
def test_an_index_changed_member_by_member_is_the_index_built_at_once(
    parents: dict[str, list[str]], grants: list[Given], order: Random
) -> None:
    scopes = build_scopes(parents)
    built = make_index(*order.sample(grants, len(grants)), scopes=scopes)
    grown = make_index((ANA, ADMIN, "root"), (BEN, CLEANER, "root"), scopes=scopes)

    for member_id in (ANA, BEN):
        held = [(role_id, scope_id) for holder, role_id, scope_id in grants if holder == member_id]
        grown = grown.replace_member(member_id, held, access_version=7)

    for member_id, permission in QUESTIONS:
        for scope in scopes.nodes():
            expected = decide(built, member_id, permission, scope.scope_id)
            assert decide(grown, member_id, permission, scope.scope_id) == expected
