"""A preview says what the command then does, and applying it does nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from directory.changes import (
    AddDomain,
    Change,
    DeactivateUser,
    EndInvitation,
    GroupMatch,
    Invite,
    PutRule,
    RemoveRule,
    RemoveScope,
    SetBlock,
    SetOverride,
    SetPlan,
    SetSettings,
    TransferOwner,
)
from directory.ids import DirectoryId, InvitationId, OverrideId, RoleId, RuleId
from provisioning import apply, consequences
from provisioning.commands import Applied, Refused
from provisioning.errors import RefusalCode
from provisioning.foresight import Foresight, apply_previewed, preview_changes, preview_parts
from provisioning.plans import DirectoryPlan
from storage.engine import Database
from tests.builders import (
    ADMIN,
    MEMBER,
    WORKER,
    MakeWorld,
    World,
    add_members,
    external,
    make_world,
    on_sqlite_only,
    put_group,
    put_user,
)


def foresee(world: World, *changes: Change) -> Foresight:
    outcome = preview_changes(world.command(*changes), **world.tools)
    assert isinstance(outcome, Foresight), outcome
    return outcome


def apply_seen(world: World, plan_hash: str, *changes: Change) -> Applied | Refused:
    return apply_previewed(world.command(*changes), plan_hash, **world.tools)


def check_true(world: World, *changes: Change) -> Foresight:
    """Preview, apply, and compare: everybody's access, who is active, seats and waiting list."""
    before = {member_id: world.record(member_id) for member_id in world.members()}
    seen = foresee(world, *changes)

    applied = apply_seen(world, seen.plan_hash, *changes)

    assert isinstance(applied, Applied), applied
    foreseen = {change.member_id: change for change in seen.preview.changes}
    for member_id, record in before.items():
        now = world.record(member_id)
        change = foreseen.get(member_id)
        if change is None:
            assert world.held(member_id) == {held.grant.pair for held in record.held}
            assert now.is_active == record.is_active
        else:
            assert set(change.before) == {held.grant.pair for held in record.held}
            assert set(change.after) == world.held(member_id)
            assert (change.was_active, change.is_active) == (record.is_active, now.is_active)
            assert seen.names[member_id] == record.display_name
    state = world.state
    assert seen.seats_after == state.seated + state.reserved
    assert set(seen.waiting) <= set(world.waiting())
    world.check()
    return seen


@pytest.fixture
def office(new_world: MakeWorld) -> tuple[World, DirectoryId, RuleId]:
    """Five seats: the owner and four of a team of six; another group with nobody seated."""
    world = new_world(plan="Standard", policy="waitlist")
    hq = world.put_directory()
    rule_id = world.grow(hq, "team", "ann", "bob", "cid", "dora", "eve", "fay")
    world.push(hq, put_group("others"), put_user("gus"), add_members("others", "gus", "ann"))
    world.events()
    return world, hq, rule_id


def test_a_preview_of_a_rule_says_who_gains_what_and_stores_only_its_event(
    office: tuple[World, DirectoryId, RuleId],
) -> None:
    world, hq, _ = office
    before = world.snapshot()
    others = GroupMatch(world.group(hq, "others").group_id)

    seen = foresee(world, PutRule(RuleId(world.new_id()), others, WORKER, world.root))

    ann, gus = world.member_of(hq, "ann"), world.member_of(hq, "gus")
    (change,) = seen.preview.changes
    assert (change.member_id, change.pairs_gained) == (ann, ((WORKER, world.root),))
    assert (seen.seats_before, seen.seats_after, seen.seat_limit) == (5, 5, 5)
    assert (seen.waiting, seen.names) == ((gus,), {ann: "Ann"})
    assert world.snapshot() == before
    (body,) = world.new_bodies()
    assert body["action"] == "mapping.previewed"
    assert {change["path"]: change["after"] for change in body["changes"]} == {
        "plan_hash": seen.plan_hash,
        "affected": 1,
        "seats_before": 5,
        "seats_after": 5,
    }


def test_applying_what_was_previewed_begins_with_its_own_event(
    office: tuple[World, DirectoryId, RuleId],
) -> None:
    world, _, rule_id = office
    seen = foresee(world, RemoveRule(rule_id))
    world.events()

    applied = apply_seen(world, seen.plan_hash, RemoveRule(rule_id))

    assert isinstance(applied, Applied)
    bodies = world.new_bodies()
    assert bodies[0]["action"] == "mapping.applied"
    assert bodies[0]["changes"] == [{"path": "plan_hash", "before": None, "after": seen.plan_hash}]
    assert {world.chain(body)[-1] for body in bodies} == {"mapping.applied"}


CHANGES: dict[str, Callable[[World, DirectoryId, RuleId], list[Change]]] = {
    "rule": lambda w, hq, r: [
        PutRule(RuleId(w.new_id()), GroupMatch(w.group(hq, "others").group_id), ADMIN, w.root, 1)
    ],
    "rule removed": lambda w, hq, r: [RemoveRule(r)],
    "rule to another role": lambda w, hq, r: [
        PutRule(r, GroupMatch(w.group(hq, "team").group_id), ADMIN, w.root)
    ],
    "greater plan": lambda w, hq, r: [SetPlan("Pro")],
    "smaller plan": lambda w, hq, r: [SetPlan("Starter")],
    "block": lambda w, hq, r: [SetBlock(w.member_of(hq, "ann"), "x")],
    "override of one who waits": lambda w, hq, r: [
        SetOverride(
            OverrideId(w.new_id()), w.member_of(hq, "fay"), ((ADMIN, w.root),), "x", w.clock() + timedelta(1)
        ),
        SetBlock(w.member_of(hq, "bob"), "x"),
    ],
    "owner": lambda w, hq, r: [TransferOwner(w.member_of(hq, "fay"))],
    "resolution": lambda w, hq, r: [SetSettings({"resolution": "priority"})],
    "invitation withdrawn": lambda w, hq, r: [],
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_foreseen_is_what_happens(office: tuple[World, DirectoryId, RuleId], name: str) -> None:
    world, hq, rule_id = office
    changes = CHANGES[name](world, hq, rule_id)
    if not changes:
        invitation_id = InvitationId(world.new_id())
        world.do(SetPlan("Pro"))
        world.do(Invite(invitation_id, "ida@example.org", MEMBER, world.root, world.clock() + timedelta(1)))
        changes = [EndInvitation(invitation_id)]

    check_true(world, *changes)


def test_a_directory_change_can_be_foreseen_newcomers_included(
    office: tuple[World, DirectoryId, RuleId],
) -> None:
    world, hq, _ = office
    changes = (DeactivateUser(external("ann")), put_user("new"), add_members("team", "new"))
    command = world.command(*changes, directory_id=hq)

    seen = preview_changes(command, **world.tools)

    assert isinstance(seen, Foresight)
    assert sorted(seen.names.values()) == ["Ann", "Eve", "New"]
    assert not world.has_user(hq, "new")


def test_more_people_than_fit_one_transaction_are_foreseen_together(
    office: tuple[World, DirectoryId, RuleId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "BATCH_SIZE", 2)
    monkeypatch.setattr(consequences, "BATCH_SIZE", 2)
    world, hq, rule_id = office
    crowd = [f"z{number}" for number in range(7)]
    world.push(hq, *map(put_user, crowd), put_group("crowd"), add_members("crowd", *crowd, "ann"))
    match = GroupMatch(world.group(hq, "crowd").group_id)

    check_true(world, RemoveRule(rule_id), PutRule(RuleId(world.new_id()), match, ADMIN, world.root, 1))


def test_a_held_admin_is_foreseen_as_unchanged_and_released_with_the_next(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, with_owner=False)
    hq = world.put_directory()
    rule_id = world.grow(hq, "admins", "ann", role=ADMIN)
    world.grow(hq, "members", "bob")
    seen = check_true(world, RemoveRule(rule_id))
    assert seen.preview.changes == ()

    members = GroupMatch(world.group(hq, "members").group_id)
    seen = check_true(world, PutRule(RuleId(world.new_id()), members, ADMIN, world.root, 1))

    assert len(seen.preview.changes) == 2


@pytest.mark.parametrize(
    "move",
    [
        lambda w, hq: w.push(hq, put_user("new"), add_members("others", "new")),
        lambda w, hq: w.push(hq, put_user("ann", active=False)),
        lambda w, hq: w.do(SetPlan("Pro")),
        lambda w, hq: w.put_scope("Anywhere"),
    ],
    ids=["group", "user", "plan", "scope"],
)
def test_a_preview_is_no_good_when_anything_has_moved(
    office: tuple[World, DirectoryId, RuleId], move: Callable[[World, DirectoryId], object]
) -> None:
    world, hq, _ = office
    rule = PutRule(RuleId(world.new_id()), GroupMatch(world.group(hq, "others").group_id), WORKER, world.root)
    seen = foresee(world, rule)
    move(world, hq)
    before = world.snapshot()
    world.events()

    refused = apply_seen(world, seen.plan_hash, rule)

    assert isinstance(refused, Refused)
    assert (refused.code, refused.message) == (
        "state_moved",
        "what was previewed is no longer what would happen; preview it again",
    )
    (body,) = world.new_bodies()
    assert (body["action"], body["outcome"], body["reason"]["code"]) == (
        "command.refused",
        "denied",
        "state_moved",
    )
    assert body["reason"]["numbers"]["previewed"] == seen.plan_hash
    assert world.snapshot() == before


def test_the_hash_of_another_change_is_refused(office: tuple[World, DirectoryId, RuleId]) -> None:
    world, _, rule_id = office
    seen = foresee(world, SetPlan("Pro"))

    refused = apply_seen(world, seen.plan_hash, RemoveRule(rule_id))

    assert isinstance(refused, Refused)
    assert refused.code == "state_moved"


def test_what_would_be_refused_is_refused_at_the_preview_without_an_event(
    office: tuple[World, DirectoryId, RuleId],
) -> None:
    world, *_ = office

    outcome = preview_changes(world.command(SetPlan("Gold")), **world.tools)

    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.event_id) == ("invalid", "")
    assert world.events() == []
    assert isinstance(apply_seen(world, "any", SetPlan("Gold")), Refused)
    assert world.events() == ["command.refused"]


def test_a_command_that_slipped_in_after_the_second_look_is_refused_by_the_version(
    office: tuple[World, DirectoryId, RuleId],
) -> None:
    world, _, rule_id = office
    seen = foresee(world, RemoveRule(rule_id))
    world.put_scope("Anywhere")

    refused = world.refuse(RemoveRule(rule_id), expected_version=seen.preview.access_version)

    assert refused.code == "state_moved"


NAMES = ("ann", "bob", "cid", "dora", "eve", "fay", "gus")
GROUPS = ("red", "green", "blue")


@on_sqlite_only
@given(data=st.data())
@settings(max_examples=20)
def test_whatever_is_foreseen_is_what_happens(database: Database, data: st.DataObject) -> None:
    world = make_world(
        database,
        plan="Enterprise",
        seat_limit=data.draw(st.integers(1, 8), label="seats"),
        policy="waitlist",
        with_owner=data.draw(st.booleans(), label="owner"),
    )
    hq = world.put_directory()
    world.push(hq, *map(put_user, NAMES), *map(put_group, GROUPS))
    for group in GROUPS:
        world.push(hq, add_members(group, *data.draw(st.sets(st.sampled_from(NAMES)), label=group)))
    unit = world.put_scope("u1", "unit")
    groups = {name: world.group(hq, name).group_id for name in GROUPS}
    rules = [RuleId(world.new_id()) for _ in range(3)]

    def change() -> Change:
        kind = data.draw(st.sampled_from(["rule", "rule", "rule", "plan", "remove", "block", "scope"]))
        standing = [rule.rule_id for rule in rules_of(world)]
        if kind == "remove" and standing:
            return RemoveRule(data.draw(st.sampled_from(standing)))
        if kind == "plan":
            return SetPlan("Enterprise", data.draw(st.integers(1, 8)))
        if kind == "block":
            return SetBlock(world.member_of(hq, data.draw(st.sampled_from(NAMES))), "x")
        if kind == "scope" and any(True for node in scopes_of(world) if node == unit):
            return RemoveScope(unit)
        return PutRule(
            data.draw(st.sampled_from(rules)),
            GroupMatch(groups[data.draw(st.sampled_from(GROUPS))]),
            RoleId(data.draw(st.sampled_from([ADMIN, MEMBER, WORKER]))),
            world.root,
            data.draw(st.integers(1, 3)),
        )

    size = data.draw(st.sampled_from([1, 2, 3, 1000]), label="people in a transaction")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "BATCH_SIZE", size)
        patch.setattr(consequences, "BATCH_SIZE", size)
        for _ in range(4):
            said = [change()]
            is_refused = isinstance(foresee_or_refuse(world, said[0]), Refused)
            check_true(world, *said[is_refused:])


def foresee_or_refuse(world: World, change: Change) -> Foresight | Refused:
    return preview_changes(world.command(change), **world.tools)


def rules_of(world: World) -> list[PutRule]:
    with world.read() as reader:
        return [
            PutRule(rule.rule_id, rule.match, rule.role, rule.scope_id)
            for rule in reader.model_inputs().rules
        ]


def scopes_of(world: World) -> list[str]:
    with world.read() as reader:
        return [node.scope_id for node in reader.model_inputs().scopes]


# In parts.


@pytest.fixture
def plan(office: tuple[World, DirectoryId, RuleId]) -> DirectoryPlan:
    """People who leave, come, move and change with their groups, under rules on groups, one nested, one deleted."""
    world, hq, _ = office
    world.push(hq, put_group("gone"), put_group("inner"), add_members("gone", "ann", "bob", "cid"))
    world.put_rule(world.group(hq, "gone").group_id, WORKER)
    pairs = [("inner", "gus"), ("inner", "new0"), ("team", "new1"), ("inner", "ann")]
    return DirectoryPlan(
        directory_id=hq,
        base="",
        put_users=tuple(put_user(f"new{number}") for number in range(5)),
        deactivate=(external("dora"),),
        put_groups=(put_group("fresh"),),
        delete_groups=(external("gone"),),
        add_members=tuple((external(group), external(user)) for group, user in pairs),
        remove_members=((external("team"), external("ann")), (external("team"), external("dora"))),
        add_subgroups=((external("team"), external("inner")),),
    )


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_is_foreseen_in_parts_is_what_is_foreseen_at_once(
    office: tuple[World, DirectoryId, RuleId], plan: DirectoryPlan, size: int
) -> None:
    world, hq, _ = office
    command = world.command(directory_id=hq, kind="run")
    everything = tuple(chain.from_iterable(plan.batches(100)))
    world.events()

    at_once = preview_changes(replace(command, changes=everything), **world.tools)
    in_parts = preview_parts(command, plan.rehearsals(size), **world.tools)

    assert isinstance(at_once, Foresight)
    assert isinstance(in_parts, Foresight)
    assert shown(in_parts) == shown(at_once)
    assert len(at_once.preview.changes) >= 5
    assert world.events() == ["mapping.previewed", "mapping.previewed"]


def shown(seen: Foresight) -> tuple[object, ...]:
    """What there is to see, by names: newcomers get other ids each time."""
    people = sorted(
        (seen.names[change.member_id], change.before, change.after) for change in seen.preview.changes
    )
    waiting = sorted(seen.names.get(member_id, member_id) for member_id in seen.waiting)
    return people, seen.seats_before, seen.seats_after, seen.seat_limit, waiting, seen.preview.unchanged


def test_others_write_between_two_parts(
    office: tuple[World, DirectoryId, RuleId], plan: DirectoryPlan
) -> None:
    world, hq, _ = office

    def parts() -> Iterator[tuple[Change, ...]]:
        for number, part in enumerate(plan.rehearsals(2)):
            yield part
            world.do(AddDomain(f"{number}.example.org"))

    assert isinstance(preview_parts(world.command(directory_id=hq), parts(), **world.tools), Foresight)
    with world.read() as reader:
        assert "0.example.org" in reader.domains()


def test_a_part_that_is_refused_refuses_the_whole(office: tuple[World, DirectoryId, RuleId]) -> None:
    world, hq, _ = office
    parts = [(put_user("new"),), (put_user("", user_name="\0"),)]

    outcome = preview_parts(world.command(directory_id=hq), parts, **world.tools)

    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.INVALID
