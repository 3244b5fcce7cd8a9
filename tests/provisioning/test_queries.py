"""Questions: may somebody, why, who had what when, how many seats, what is wrong with the rules."""

from collections.abc import Collection
from datetime import datetime, timedelta

import pytest

from directory.changes import (
    AttributeMatch,
    DeactivateUser,
    RemoveRule,
    RemoveScope,
    SetOverride,
    SetPlan,
    SetSettings,
)
from directory.ids import EventId, MemberId, OverrideId, ScopeId
from mappings.lint import FindingKind
from provisioning.queries import (
    Decisions,
    access_as_of,
    access_difference,
    decide_once,
    event_chain,
    explain_access,
    lint,
    seat_report,
)
from provisioning.state import UNLIMITED
from storage.unit_of_work import StoreReader
from tests.builders import (
    ADMIN,
    MEMBER,
    MONDAY,
    WORKER,
    MakeWorld,
    World,
    add_members,
    external,
    put_group,
    put_user,
)


def allows(
    world: World, decisions: Decisions, member_id: MemberId, permission: str, resource: ScopeId
) -> bool:
    """The answer of the index, which must be that of the member's own grants."""
    with world.read() as reader:
        answer = decisions.decide(reader, member_id, permission, resource)
        assert answer == decide_once(reader, world.models, member_id, permission, resource)
    return answer.allowed


@pytest.fixture
def decisions(world: World) -> Decisions:
    return Decisions(world.models)


# Decisions


def test_the_next_decision_reflects_a_committed_change(world: World, decisions: Decisions) -> None:
    hq = world.put_directory()
    unit = world.put_scope("Unit 1", "unit")
    world.grow(hq, "cleaners", "ann", role=WORKER, scope=unit)
    ann = world.member_of(hq, "ann")
    assert allows(world, decisions, ann, "tasks.view", unit)

    world.push(hq, DeactivateUser(external("ann")))

    assert not allows(world, decisions, ann, "tasks.view", unit)


def test_a_scope_added_later_is_covered_by_the_organisation(world: World, decisions: Decisions) -> None:
    hq = world.team("ann", role=ADMIN)
    ann = world.member_of(hq, "ann")
    assert allows(world, decisions, ann, "thresholds.edit", world.root)

    unit = world.put_scope("Unit 1", "unit")

    assert allows(world, decisions, ann, "thresholds.edit", unit)


def test_an_admin_of_one_place_decides_nothing_elsewhere_or_for_all(
    world: World, decisions: Decisions
) -> None:
    hq = world.put_directory()
    north, south = world.put_scope("North"), world.put_scope("South")
    world.grow(hq, "north", "ann", role=ADMIN, scope=north)
    world.grow(hq, "south", role=WORKER, scope=south)
    world.push(hq, add_members("south", "ann"))
    ann = world.member_of(hq, "ann")

    assert allows(world, decisions, ann, "thresholds.edit", north)
    assert not allows(world, decisions, ann, "thresholds.edit", south)
    assert not allows(world, decisions, ann, "members.invite", world.root)
    assert allows(world, decisions, world.owner, "billing.manage", world.root)
    assert not allows(world, decisions, ann, "billing.manage", world.root)


def test_the_switch_for_sensor_data_decides_at_once(world: World, decisions: Decisions) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    assert not allows(world, decisions, ann, "sensor_data.view", world.root)

    world.do(SetSettings({"member_sees_sensor_data": True}))
    assert allows(world, decisions, ann, "sensor_data.view", world.root)
    world.do(SetSettings({"member_sees_sensor_data": False}))

    assert not allows(world, decisions, ann, "sensor_data.view", world.root)


def test_unknown_things_are_denied(world: World, decisions: Decisions) -> None:
    unknown = world.new_id()

    assert not allows(world, decisions, MemberId(unknown), "tasks.view", world.root)
    assert not allows(world, decisions, world.owner, "tea.make", world.root)
    assert not allows(world, decisions, world.owner, "tasks.view", ScopeId(unknown))


def test_an_index_is_kept_until_access_moves_and_for_so_many_organisations(new_world: MakeWorld) -> None:
    world, other = new_world(), new_world()
    decisions = Decisions(world.models, capacity=1)
    with world.read() as reader:
        index = decisions.index(reader)
        assert decisions.index(reader) is index
    with other.read() as reader:
        decisions.index(reader)

    with world.read() as reader:
        again = decisions.index(reader)

    assert again is not index
    assert again.access_version == index.access_version


# Why


def test_an_explanation_leads_to_the_request_that_gave_the_access(world: World) -> None:
    hq = world.put_directory()
    rule_id = world.grow(hq, "team", "ann")

    with world.read() as reader:
        ann = world.member_of(hq, "ann")
        answer = explain_access(reader, world.models, ann, "tasks.view", world.root, now=world.clock())

    assert answer is not None
    assert answer.explanation.decision.allowed
    assert [body["action"] for body in answer.chain] == ["role.granted", "group.member_added"]
    assert answer.chain[0]["cause"]["rule_id"] == rule_id
    assert answer.chain[-1]["cause"]["scim_request_id"] == "req_1"


def test_explain_and_decide_agree_about_the_last_admin_whose_change_is_held(new_world: MakeWorld) -> None:
    world = new_world(with_owner=False)
    hq = world.team("ann", role=ADMIN)
    world.push(hq, DeactivateUser(external("ann")))

    with world.read() as reader:
        ann = world.member_of(hq, "ann")
        answer = explain_access(reader, world.models, ann, "tasks.view", world.root, now=world.clock())
        decided = decide_once(reader, world.models, ann, "tasks.view", world.root)

    assert answer is not None
    assert answer.explanation.decision.allowed
    assert decided.allowed
    assert "that change is held" in answer.explanation.sentences[-1]


def test_a_denial_names_what_is_missing(new_world: MakeWorld) -> None:
    world = new_world(plan="Starter", policy="waitlist")
    hq = world.team("ann")

    with world.read() as reader:
        ann = world.member_of(hq, "ann")
        answer = explain_access(reader, world.models, ann, "tasks.view", world.root, now=world.clock())

    assert answer is not None
    assert (answer.explanation.decision.allowed, answer.chain) == (False, ())
    assert (
        answer.explanation.sentences[-1] == "The member waits for a seat and holds nothing until one is free."
    )


def test_nobody_has_no_explanation(world: World) -> None:
    with world.read() as reader:
        unknown = MemberId(world.new_id())
        assert explain_access(reader, world.models, unknown, "tasks.view", world.root, now=MONDAY) is None


class Forgetful(StoreReader):
    """A view in which some events are no longer kept."""

    forgotten: frozenset[str] = frozenset()

    def event_bodies(self, event_ids: Collection[EventId]) -> dict[EventId, bytes]:
        return super().event_bodies([one for one in event_ids if one not in self.forgotten])


def test_a_chain_whose_beginning_is_no_longer_kept_is_shown_as_far_as_it_goes(world: World) -> None:
    world.team("ann")
    assigned = EventId([body for body in world.bodies() if body["action"] == "seat.assigned"][-1]["id"])
    with world.database.read() as connection:
        reader = Forgetful(world.database, connection, world.organisation_id)
        whole = event_chain(reader, assigned)
        reader.forgotten = frozenset({whole[-1]["id"]})

        assert [body["action"] for body in whole] == ["seat.assigned", "role.granted", "group.member_added"]
        assert event_chain(reader, assigned) == whole[:2]
        assert event_chain(reader, EventId(world.new_id())) == ()


# When


def test_access_as_of_a_moment_is_what_was_held_then(world: World) -> None:
    hq = world.put_directory()
    world.grow(hq, "team", "ann")
    ann = world.member_of(hq, "ann")
    tuesday = world.clock.move(days=1)
    world.grow(hq, "admins", role=ADMIN)
    world.push(hq, add_members("admins", "ann"))
    wednesday = world.clock.move(days=1)
    world.push(hq, DeactivateUser(external("ann")))

    def held(moment: datetime) -> list[str]:
        with world.read() as reader:
            found = access_as_of(reader, moment, keep=lambda one: one.member_id == ann)
        return [one.grant.role for one in found]

    assert held(MONDAY - timedelta(seconds=1)) == []
    assert held(MONDAY) == held(tuesday - timedelta(seconds=1)) == ["Member"]
    assert held(tuesday) == ["Admin", "Member"]
    assert held(wednesday) == []
    world.check()


def test_a_span_of_access_names_the_events_that_opened_and_closed_it(world: World) -> None:
    hq = world.put_directory()
    rule_id = world.grow(hq, "team", "ann")
    ann = world.member_of(hq, "ann")
    closed_at = world.clock.move(days=1)
    world.do(RemoveRule(rule_id))

    with world.read() as reader:
        (span,) = reader.intervals_of(ann)
        bodies = reader.event_bodies([span.opened_event, span.closed_event or span.opened_event])

    assert (span.opened_at, span.closed_at) == (MONDAY, closed_at)
    assert len(bodies) == 2
    actions = {body["id"]: body["action"] for body in world.bodies()}
    assert actions[span.opened_event] == "role.granted"
    assert actions[str(span.closed_event)] == "role.revoked"


def test_the_difference_of_two_moments_is_what_was_held_at_one_of_them(world: World) -> None:
    hq = world.put_directory()
    rule_id = world.grow(hq, "team", "ann")
    world.grow(hq, "others", "bob", role=WORKER)
    later = world.clock.move(days=1)
    world.do(RemoveRule(rule_id))
    world.grow(hq, "admins", "cid", role=ADMIN)

    with world.read() as reader:
        difference = access_difference(reader, MONDAY, later)

    assert [(one.member_id, one.grant.role) for one in difference.opened] == [
        (world.member_of(hq, "cid"), "Admin")
    ]
    assert [(one.member_id, one.grant.role) for one in difference.closed] == [
        (world.member_of(hq, "ann"), "Member")
    ]


# Seats


def test_the_seat_report_counts_forecasts_and_shows_an_overrun(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard", policy="waitlist")
    hq = world.team("ann", "bob", "cid", "dora", "eve", "fay")

    with world.read() as reader:
        report = seat_report(reader, shown=1)
    assert (report.plan, report.policy, report.limit) == ("Standard", "waitlist", 5)
    assert (report.seated, report.reserved, report.occupied, report.over) == (5, 0, 5, 0)
    assert (report.waiting, report.waiting_count, report.forecast) == ((world.member_of(hq, "eve"),), 2, 7)
    world.do(SetPlan("Starter"))
    with world.read() as reader:
        assert seat_report(reader).over == 4
    world.do(SetPlan("Enterprise", UNLIMITED))

    with world.read() as reader:
        report = seat_report(reader)
    assert (report.limit, report.over, report.waiting) == (None, 0, ())


# Rules


def test_lint_finds_dead_and_dangling_rules(world: World) -> None:
    hq = world.put_directory()
    unit = world.put_scope("Unit 1", "unit")
    dangling = world.grow(hq, "cleaners", "ann", scope=unit)
    world.do(RemoveScope(unit))
    world.push(hq, put_group("empty"))
    dead = world.put_rule(world.group(hq, "empty").group_id)

    with world.read() as reader:
        found = lint(reader, world.models, now=world.clock())

    assert {(one.kind, one.rule_id) for one in found} >= {
        (FindingKind.DANGLING, dangling),
        (FindingKind.DEAD, dead),
    }


def test_lint_counts_people_by_their_attributes(world: World) -> None:
    hq = world.put_directory()
    world.push(hq, put_user("ann", attributes={"title": ("Cleaner",)}), put_user("bob"))
    alive = world.put_rule(AttributeMatch(hq, 'title eq "Cleaner"'), WORKER)
    dead = world.put_rule(AttributeMatch(hq, 'title eq "Pilot"'), WORKER)

    with world.read() as reader:
        found = lint(reader, world.models, now=world.clock())

    assert [one.rule_id for one in found if one.kind is FindingKind.DEAD] == [dead]
    assert alive != dead


def test_an_override_in_force_is_seen_by_decisions(world: World, decisions: Decisions) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    ends_at = world.clock() + timedelta(days=1)

    world.do(SetOverride(OverrideId(world.new_id()), ann, ((ADMIN, world.root),), "cover", ends_at))

    assert allows(world, decisions, ann, "members.invite", world.root)
    assert MEMBER not in world.roles(ann)
