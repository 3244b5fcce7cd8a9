"""Scopes come by the thousand: each is checked against those before it, and the model follows once."""

from directory.changes import NameMatch, PutRule, PutScope
from directory.ids import RuleId, ScopeId
from tests.builders import MEMBER, World, add_members, put_group


def test_scopes_of_one_command_stand_on_each_other_and_can_be_granted_at_once(world: World) -> None:
    location, unit = ScopeId(world.new_id()), ScopeId(world.new_id())
    directory_id = world.team("ann")
    rule_id = RuleId(world.new_id())
    match = NameMatch(directory_id, "clean-{unit}")
    world.push(directory_id, put_group("c", "clean-u1"), add_members("c", "ann"))

    world.do(
        PutScope(location, "location", "North", "north", (world.root,)),
        PutScope(unit, "unit", "One", "u1", (location,)),
        PutRule(rule_id, match, MEMBER, None),
    )

    assert (MEMBER, unit) in world.held(world.member_of(directory_id, "ann"))


def test_a_scope_that_a_pattern_waits_for_is_granted_when_it_comes(world: World) -> None:
    directory_id = world.team("ann")
    world.put_scope("Another", "unit")
    world.put_rule(NameMatch(directory_id, "clean-{unit}"))
    world.push(directory_id, put_group("c", "clean-u1"), add_members("c", "ann"))
    unit = ScopeId(world.new_id())

    world.do(PutScope(unit, "unit", "One", "u1", (world.root,)))

    assert (MEMBER, unit) in world.held(world.member_of(directory_id, "ann"))


def test_a_scope_that_nobody_waits_for_moves_the_model_and_nobody(world: World) -> None:
    world.team("ann")
    world.events()
    before = world.state

    world.put_scope("North")

    assert world.events() == ["scope.created"]
    assert world.state.model_version == before.model_version + 1
