from dataclasses import replace

import pytest

from audit.actors import Actor, AdminActor, ApiKeyActor, LoginActor, RunActor, SystemActor, TokenActor
from audit.body import EventBody, parse_body
from audit.events import ACTIONS, Event, FieldChange, Outcome, Reason, Target
from audit.render import render_event
from audit.sentences import describe
from directory.ids import DirectoryId, RunId
from tests.audit.samples import EVENT, build_body, build_event_with_every_path


def render_and_parse(event: Event) -> EventBody:
    return parse_body(render_event(event))


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_is_told_in_one_sentence(action: str) -> None:
    told = describe(render_and_parse(build_event_with_every_path(action)))

    assert told[0].isupper()
    assert told.endswith(".")
    assert not set("{}[]") & set(told)
    assert "not recorded" not in told


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_is_told_when_next_to_nothing_was_recorded(action: str) -> None:
    body = build_body("evt_1")
    body["action"] = action

    told = describe(body)

    assert told.startswith("The system (seats) ")
    assert not set("{}[]") & set(told)


def test_a_sentence_names_who_what_and_whom() -> None:
    assert describe(render_and_parse(EVENT)) == "SCIM token tok_1 granted creator at scope_4 to member mem_1."


def test_clear_names_replace_ids_and_references() -> None:
    names = {"tok_1": "Okta", "pii:1": "Ada Lovelace", "scope_4": "Unit 4", "creator": "Creator"}

    told = describe(render_and_parse(EVENT), names=names)

    assert told == "SCIM token Okta granted Creator at Unit 4 to Ada Lovelace."


def test_a_target_without_reference_is_named_by_its_id() -> None:
    event = replace(EVENT, targets=(Target("mapping_rule", "mr_1"),), action="mapping.deleted", changes=())

    assert describe(render_and_parse(event)) == "SCIM token tok_1 deleted mapping rule mr_1."
    assert describe(render_and_parse(event), names={"mr_1": "rule 1"}) == "SCIM token tok_1 deleted rule 1."


@pytest.mark.parametrize(
    ("outcome", "reason", "told"),
    [
        (
            Outcome.DENIED,
            Reason("seats_full", (("limit", 50), ("used", 50))),
            "Denied, seats_full (limit 50, used 50): SCIM token tok_1 lifted the block of member mem_1.",
        ),
        (Outcome.NOOP, None, "No effect: SCIM token tok_1 lifted the block of member mem_1."),
        (
            Outcome.FAILURE,
            Reason("source_unreachable"),
            "Failed, source_unreachable: SCIM token tok_1 lifted the block of member mem_1.",
        ),
        (
            Outcome.SUCCESS,
            Reason("expired", (("by", None), ("forced", True))),
            "SCIM token tok_1 lifted the block of member mem_1 because of expired (by none, forced yes).",
        ),
    ],
)
def test_the_outcome_and_its_reason_are_told(outcome: Outcome, reason: Reason | None, told: str) -> None:
    event = replace(EVENT, action="block.lifted", changes=(), outcome=outcome, reason=reason)

    assert describe(render_and_parse(event)) == told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (FieldChange("grants", None, ("a@1", "b@2")), "exactly a@1, b@2."),
        (FieldChange("grants", None, ()), "exactly nothing."),
        (FieldChange("grants", None, False), "exactly no."),
        (FieldChange("grants", "a@1", None), "exactly a@1."),
        (FieldChange("grants", None, None), "exactly (not recorded)."),
        (FieldChange("grants", None, "x" * 600), "exactly a value of 602 bytes."),
        (FieldChange("grants", None, "{actor} [x]"), "exactly {actor} [x]."),
    ],
)
def test_a_value_is_told_in_words(change: FieldChange, told: str) -> None:
    event = replace(EVENT, action="override.set", changes=(change,))

    assert describe(render_and_parse(event)).endswith(told)


def test_a_membership_names_the_person_and_the_group() -> None:
    event = replace(
        EVENT,
        action="group.member_removed",
        targets=(Target("user", "usr_1", pii="pii:1"), Target("group", "grp_1", role="object")),
        changes=(FieldChange("member", "usr_1", None),),
    )

    told = describe(render_and_parse(event), names={"pii:1": "Ada Lovelace"})

    assert told == "SCIM token tok_1 removed Ada Lovelace from group grp_1."
    assert "removed directory user usr_1 from" in describe(render_and_parse(event))


def test_a_change_tells_both_its_sides() -> None:
    event = replace(EVENT, action="group.renamed", changes=(FieldChange("display_name", "Old", "New"),))

    assert describe(render_and_parse(event)).endswith("renamed member mem_1 from Old to New.")


@pytest.mark.parametrize(
    ("actor", "told"),
    [
        (TokenActor("x", DirectoryId("d")), "SCIM token x "),
        (RunActor(RunId("x"), DirectoryId("d")), "Synchronisation run x "),
        (AdminActor("x"), "Administrator x "),
        (AdminActor("x", is_operator=True), "Operator x "),
        (AdminActor("x", on_behalf_of="y"), "Support x on behalf of y "),
        (LoginActor("x"), "Login x "),
        (ApiKeyActor("x"), "API key x "),
        (SystemActor("x"), "The system (x) "),
    ],
)
def test_every_kind_of_actor_has_its_word(actor: Actor, told: str) -> None:
    assert describe(render_and_parse(replace(EVENT, actor=actor))).startswith(told)


def test_words_of_a_later_release_are_shown_as_they_are() -> None:
    body = build_body("evt_1")
    body["action"] = "robot.summoned"
    body["outcome"] = "pending"
    body["actor"] = {"type": "robot", "id": "r2"}
    body["targets"] = [{"type": "droid", "id": "c3", "role": "subject"}]

    assert describe(body) == "Robot r2 caused robot.summoned on droid c3."


def test_a_name_cannot_write_control_characters_to_a_terminal() -> None:
    event = replace(
        EVENT, action="group.created", changes=(FieldChange("display_name", None, "a\n\x1b[2Jb"),)
    )

    assert describe(render_and_parse(event)).endswith("named a\ufffd\ufffd[2Jb.")
