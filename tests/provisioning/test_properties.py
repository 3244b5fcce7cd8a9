"""What holds whatever is said, in whatever order. On SQLite: the other tests show that the databases agree."""

from collections.abc import Callable
from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from directory.changes import (
    AddSubgroups,
    Change,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    EndInvitation,
    GroupMatch,
    Invite,
    LiftBlock,
    PutRule,
    RemoveMembers,
    RemoveRule,
    SetBlock,
    SetOverride,
    SetPlan,
)
from directory.ids import DirectoryId, InvitationId, MemberId, OverrideId, RuleId
from provisioning.queries import access_as_of
from storage.engine import Database
from tests.builders import (
    ADMIN,
    MEMBER,
    WORKER,
    World,
    add_members,
    external,
    make_world,
    on_sqlite_only,
    put_group,
    put_user,
)

NAMES = ("ann", "bob", "cid", "dora", "eve", "fay")
GROUPS = ("red", "green", "blue")

names = st.sampled_from(NAMES)
groups = st.sampled_from(GROUPS)
some_names = st.lists(names, min_size=1, max_size=4, unique=True)
statements = st.one_of(
    st.builds(put_user, names, active=st.booleans()),
    st.builds(lambda name: DeactivateUser(external(name)), names),
    st.builds(lambda name: DeleteUser(external(name)), names),
    st.builds(put_group, groups),
    st.builds(lambda group: DeleteGroup(external(group)), groups),
    st.builds(lambda group, users: add_members(group, *users), groups, some_names),
    st.builds(lambda g, users: RemoveMembers(external(g), tuple(map(external, users))), groups, some_names),
    st.builds(lambda outer, inner: AddSubgroups(external(outer), (external(inner),)), groups, groups),
)


def begin(
    database: Database, *, seats: int, policy: str = "waitlist"
) -> tuple[World, DirectoryId, list[RuleId]]:
    """Three groups with a rule each, nobody in them."""
    world = make_world(database, plan="Enterprise", seat_limit=seats, policy=policy)
    hq = world.put_directory()
    roles = (ADMIN, MEMBER, WORKER)
    rules = [
        world.grow(hq, group, role=role, priority=number)
        for number, (group, role) in enumerate(zip(GROUPS, roles, strict=True))
    ]
    return world, hq, rules


@on_sqlite_only
@given(
    seats=st.integers(1, 5),
    policy=st.sampled_from(["reject", "waitlist"]),
    said=st.lists(st.lists(statements, min_size=1, max_size=4), max_size=10),
)
@settings(max_examples=25)
def test_seats_are_never_overrun_and_all_counters_and_the_log_agree(
    database: Database, seats: int, policy: str, said: list[list[Change]]
) -> None:
    world, hq, _ = begin(database, seats=seats, policy=policy)

    for changes in said:
        world.request(hq, *changes)

        state = world.state
        assert state.seated + state.reserved <= seats
        assert not world.waiting() or state.seated == seats
        world.check()


@on_sqlite_only
@given(changes=st.lists(statements, max_size=12))
@settings(max_examples=15)
def test_whatever_is_said_twice_is_said_once(database: Database, changes: list[Change]) -> None:
    world, hq, _ = begin(database, seats=3)
    for change in changes:
        world.push(hq, change)
        state = world.state

        assert world.push(hq, change).events == ()
        assert world.state == state


@on_sqlite_only
@given(
    people=st.dictionaries(names, st.sets(groups), min_size=2),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=15)
def test_the_order_of_independent_changes_does_not_matter(
    database: Database, people: dict[str, set[str]], order: Random
) -> None:
    shuffled = order.sample(sorted(people), len(people))
    outcomes = []
    for sequence in (sorted(people), shuffled):
        world, hq, _ = begin(database, seats=20)
        for name in sequence:
            changes = [add_members(group, name) for group in sorted(people[name])]
            world.push(hq, put_user(name), *changes)
        outcomes.append({name: world.roles(world.member_of(hq, name)) for name in people})

    assert outcomes[0] == outcomes[1]


@on_sqlite_only
@given(more=st.sets(groups), had=st.sets(groups))
@settings(max_examples=10)
def test_under_union_a_further_group_never_takes_a_grant_away(
    database: Database, more: set[str], had: set[str]
) -> None:
    world, hq, _ = begin(database, seats=20)
    world.push(hq, put_user("ann"), *(add_members(group, "ann") for group in sorted(had)))
    ann = world.member_of(hq, "ann")
    before = world.held(ann)

    world.push(hq, *(add_members(group, "ann") for group in sorted(more)))

    assert world.held(ann) >= before


Act = Callable[[World, DirectoryId, list[RuleId], st.DataObject], Change]
ACTS: list[Act] = [
    lambda w, hq, rules, data: RemoveRule(data.draw(st.sampled_from(rules))),
    lambda w, hq, rules, data: PutRule(
        data.draw(st.sampled_from(rules)),
        match_of(w, hq, data),
        data.draw(st.sampled_from([ADMIN, MEMBER])),
        w.root,
    ),
    lambda w, hq, rules, data: SetPlan("Enterprise", data.draw(st.integers(1, 6))),
    lambda w, hq, rules, data: SetBlock(person_of(w, hq, data), "x"),
    lambda w, hq, rules, data: LiftBlock(person_of(w, hq, data)),
    lambda w, hq, rules, data: SetOverride(
        OverrideId(w.new_id()),
        person_of(w, hq, data),
        ((WORKER, w.root),),
        "x",
        w.clock() + timedelta(hours=3),
    ),
    lambda w, hq, rules, data: Invite(
        InvitationId(w.new_id()), f"i{w.new_id()}@x.org", MEMBER, w.root, w.clock() + timedelta(hours=3)
    ),
]


def person_of(world: World, hq: DirectoryId, data: st.DataObject) -> MemberId:
    return world.member_of(hq, data.draw(names))


def match_of(world: World, hq: DirectoryId, data: st.DataObject) -> GroupMatch:
    return GroupMatch(world.group(hq, data.draw(groups)).group_id)


@on_sqlite_only
@given(data=st.data())
@settings(max_examples=20)
def test_intervals_replayed_are_the_grants_of_each_moment(database: Database, data: st.DataObject) -> None:
    world, hq, rules = begin(database, seats=3)
    world.push(hq, *map(put_user, NAMES))
    history = []
    for _ in range(data.draw(st.integers(2, 7))):
        if data.draw(st.booleans()):
            world.request(hq, data.draw(statements))
        else:
            world.apply(world.command(data.draw(st.sampled_from(ACTS))(world, hq, rules, data)))
        with world.read() as reader:
            invitations = reader.invitations_due(world.clock(), 9)
        world.do(*(EndInvitation(invitation.invitation_id, expired=True) for invitation in invitations))
        world.check()
        history.append((world.clock(), set(grants(world))))
        world.clock.move(hours=1)

    for moment, held in history:
        with world.read() as reader:
            then = {(one.member_id, *one.grant.pair) for one in access_as_of(reader, moment)}
        assert then == held


def grants(world: World) -> list[tuple[str, str, str]]:
    with world.read() as reader:
        return [(member, role, scope) for member, role, scope in reader.open_grants()]
