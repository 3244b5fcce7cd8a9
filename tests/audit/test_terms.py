from dataclasses import replace

import pytest

from audit.actors import Actor, AdminActor, ApiKeyActor, LoginActor, RunActor, SystemActor, TokenActor
from audit.body import parse_body
from audit.events import ACTIONS, Cause, Event, FieldChange, Outcome, Target
from audit.render import render_event
from audit.terms import (
    ACTOR_TYPES,
    actions_like,
    actor_term,
    actor_type_term,
    address_term,
    body_terms,
    cause_term,
    group_term,
    outcome_term,
    parent_term,
    request_term,
    role_term,
    rule_term,
    run_term,
    target_term,
)
from directory.ids import DirectoryId, EventId, RunId
from tests.audit.samples import EVENT

DIRECTORY = DirectoryId("dir_1")


def _terms_of(event: Event) -> tuple[str, ...]:
    return body_terms(parse_body(render_event(event)))


def test_an_event_is_found_by_everything_it_speaks_of() -> None:
    event = replace(
        EVENT,
        outcome=Outcome.DENIED,
        targets=(Target("member", "mem_1"), Target("scope", "scope_4", role="object")),
        cause=Cause(
            "mapping_rule",
            root=EventId("evt_0"),
            parent=EventId("evt_1"),
            rule_id="mr_12",
            rule_version=4,
            group_id="grp_1",
            run_id="run_1",
        ),
        request_id="req_9",
        address="pii:7",
    )

    assert set(_terms_of(event)) == {
        actor_term("tok_1", "role.granted"),
        actor_type_term("token", "role.granted"),
        cause_term("mapping_rule"),
        target_term("mem_1"),
        target_term("scope_4"),
        parent_term("evt_1"),
        group_term("grp_1"),
        rule_term("mr_12"),
        run_term("run_1"),
        request_term("req_9"),
        address_term("pii:7"),
        outcome_term("denied"),
        role_term("creator"),
    }


@pytest.mark.parametrize(
    ("actor", "kind", "actor_id"),
    [
        (TokenActor("tok", DIRECTORY), "token", "tok"),
        (RunActor(RunId("run"), DIRECTORY), "run", "run"),
        (AdminActor("ada"), "admin", "ada"),
        (AdminActor("op", on_behalf_of="ada"), "support", "op"),
        (LoginActor("login"), "login", "login"),
        (ApiKeyActor("key"), "api_key", "key"),
        (SystemActor("scheduler"), "system", "scheduler"),
    ],
)
def test_every_kind_of_actor_is_found_by_its_type_and_its_id(actor: Actor, kind: str, actor_id: str) -> None:
    event = replace(EVENT, actor=actor)

    terms = _terms_of(event)

    assert kind in ACTOR_TYPES
    assert actor_type_term(kind, event.action) in terms
    assert actor_term(actor_id, event.action) in terms


def test_a_run_that_acts_itself_is_found_as_the_actor() -> None:
    event = replace(EVENT, actor=RunActor(RunId("run_1"), DIRECTORY), cause=Cause("run", run_id="run_1"))
    assert run_term("run_1") not in _terms_of(event)
    assert actor_term("run_1", event.action) in _terms_of(event)


def test_a_thing_that_is_named_twice_is_one_term() -> None:
    event = replace(EVENT, targets=(Target("user", "usr_1"), Target("user", "usr_1", role="object")))
    terms = _terms_of(event)
    assert len(terms) == len(set(terms))


def test_roles_are_found_among_grants() -> None:
    grants = FieldChange("grants", ("Owner@scope_1",), ("Admin@scope_1", "Member@scope_2", "unread"))
    event = replace(EVENT, action="override.set", changes=(grants,))

    assert {term for term in _terms_of(event) if term.startswith("role")} == {
        role_term("Owner"),
        role_term("Admin"),
        role_term("Member"),
    }


def test_a_pattern_means_one_action_or_all_that_begin_so() -> None:
    assert actions_like("role.granted") == ("role.granted",)
    assert actions_like("no.such") == ("no.such",)
    assert actions_like("role.") == ("role.granted", "role.revoked")
    assert actions_like("seat*") == tuple(action for action in ACTIONS if action.startswith("seat"))
    assert actions_like("*") == tuple(ACTIONS)
