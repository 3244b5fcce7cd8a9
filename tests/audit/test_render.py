from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from hashlib import sha256
from typing import Any, cast, get_args

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.actors import (
    Actor,
    AdminActor,
    ApiKeyActor,
    LoginActor,
    RunActor,
    SystemActor,
    TokenActor,
)
from audit.body import ChangeBody, parse_body
from audit.errors import (
    AuditError,
    ClearNameError,
    EventError,
    MissingPartError,
    OutsideModelError,
    PathNotAllowedError,
    UnfitValueError,
    UnknownActionError,
    UnknownCauseError,
)
from audit.events import ACTIONS, CAUSE_KINDS, Cause, Event, FieldChange, JSONValue, Outcome, Reason, Target
from audit.render import MAX_VALUE_BYTES, render_event
from directory.ids import DirectoryId, EventId, OrganisationId, RunId
from tests.audit.samples import EVENT, build_event_with_every_path

texts = st.text(st.characters(exclude_categories=["Cs"]))
UPDATE = replace(EVENT, action="user.updated", changes=())


def render_with_change(
    path: str, before: JSONValue, after: JSONValue, action: str = "override.set"
) -> ChangeBody:
    event = replace(EVENT, action=action, changes=(FieldChange(path, before, after),))
    return parse_body(render_event(event)).get("changes", [])[0]


def test_the_body_has_the_published_shape_to_the_byte() -> None:
    event = replace(
        EVENT,
        reason=Reason("seat_freed", (("used", 48), ("limit", 50))),
        cause=Cause(
            "mapping_rule",
            root=EventId("evt_r"),
            parent=EventId("evt_p"),
            rule_id="mr_12",
            rule_version=4,
            group_id="grp_1",
            run_id="run_1",
            scim_request_id="req_9",
            login_id="log_1",
        ),
        request_id="http_1",
        address="01990000-0000-7000-8000-00000000000c",
    )

    assert render_event(event).decode() == (
        '{"action":"role.granted","actor":{"directory":"dir_1","id":"tok_1","type":"token"},'
        '"cause":{"group_id":"grp_1","kind":"mapping_rule","login_id":"log_1","parent":"evt_p","root":"evt_r",'
        '"rule_id":"mr_12","rule_version":4,"run_id":"run_1","scim_request_id":"req_9"},'
        '"changes":[{"after":"creator","before":null,"path":"role"},'
        '{"after":"scope_4","before":null,"path":"scope_id"}],"context":{"address":"pii:01990000-0000-7000-8000-00000000000c",'
        '"request_id":"http_1"},'
        '"id":"01990000-0000-7000-8000-000000000001","organisation":"01990000-0000-7000-8000-00000000000a",'
        '"outcome":"success","reason":{"code":"seat_freed","numbers":{"limit":50,"used":48}},'
        '"salt":"000102030405060708090a0b0c0d0e0f",'
        '"targets":[{"id":"mem_1","pii":"pii:1","role":"subject","type":"member"}],'
        '"time":"2026-03-04T05:06:07.891Z","v":1}'
    )


def test_empty_optional_parts_are_left_out() -> None:
    event = replace(EVENT, action="log.read", targets=(), changes=(), cause=Cause("api_request"))

    assert set(parse_body(render_event(event))) == {
        "v",
        "id",
        "organisation",
        "time",
        "salt",
        "action",
        "outcome",
        "actor",
        "cause",
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_can_say_all_that_it_allows(action: str) -> None:
    event = build_event_with_every_path(action)

    body = parse_body(render_event(event))

    assert [change["path"] for change in body.get("changes", [])] == [change.path for change in event.changes]


@given(
    name=texts,
    names=st.lists(texts).map(tuple),
    number=st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1),
    moment=st.datetimes(timezones=st.just(UTC)),
    outcome=st.sampled_from(Outcome),
)
def test_every_body_is_canonical_and_keeps_what_was_said(
    name: str, names: tuple[str, ...], number: int, moment: datetime, outcome: Outcome
) -> None:
    event = replace(
        EVENT,
        action="scope.updated",
        time=moment,
        outcome=outcome,
        targets=(Target("scope", name or "-", role="object"),),
        changes=(
            FieldChange("name", None, name),
            FieldChange("parents", names, ()),
            FieldChange("kind", number, True),
        ),
        reason=Reason(name or "-", (("text", name), ("number", number))),
        request_id=name,
    )

    stored = render_event(event)

    body: Any = parse_body(stored)
    assert rfc8785.dumps(body) == stored
    assert body["outcome"] == outcome.value
    assert datetime.fromisoformat(body["time"]) == moment.replace(
        microsecond=moment.microsecond // 1000 * 1000
    )
    assert body["changes"][2] == {"path": "kind", "before": number, "after": True}


@pytest.mark.parametrize(
    ("actor", "rendered"),
    [
        (TokenActor("t", DirectoryId("d")), {"type": "token", "id": "t", "directory": "d"}),
        (RunActor(RunId("t"), DirectoryId("d")), {"type": "run", "id": "t", "directory": "d"}),
        (AdminActor("a"), {"type": "admin", "id": "a"}),
        (AdminActor("a", "s"), {"type": "admin", "id": "a", "session": "s"}),
        (AdminActor("root", is_operator=True), {"type": "admin", "id": "root", "operator": True}),
        (AdminActor("a", on_behalf_of="b"), {"type": "support", "id": "a", "on_behalf_of": "b"}),
        (LoginActor("l"), {"type": "login", "id": "l"}),
        (ApiKeyActor("k"), {"type": "api_key", "id": "k"}),
        (SystemActor("seats"), {"type": "system", "id": "seats"}),
    ],
)
def test_an_actor_is_rendered_by_its_kind(actor: Actor, rendered: dict[str, str | bool]) -> None:
    assert parse_body(render_event(replace(EVENT, actor=actor)))["actor"] == rendered


def test_every_kind_of_actor_is_tested() -> None:
    assert set(get_args(Actor)) == {TokenActor, RunActor, AdminActor, LoginActor, ApiKeyActor, SystemActor}


@pytest.mark.parametrize("kind", sorted(CAUSE_KINDS))
def test_every_kind_of_cause_is_rendered(kind: str) -> None:
    assert parse_body(render_event(replace(EVENT, cause=Cause(kind))))["cause"] == {"kind": kind}


def test_a_bare_reference_gets_its_prefix() -> None:
    reference = "01990000-0000-7000-8000-0000000000ff"
    event = replace(EVENT, targets=(Target("member", "mem_1", pii=reference),))

    assert parse_body(render_event(event)).get("targets", [])[0].get("pii") == f"pii:{reference}"


def test_an_address_is_never_written_in_clear() -> None:
    with pytest.raises(ClearNameError) as raised:
        render_event(replace(EVENT, address="203.0.113.7"))

    assert "203.0.113.7" not in str(raised.value)


def test_a_set_is_sorted() -> None:
    change = render_with_change("grants", None, ("viewer@scope_2", "admin@scope_1"))

    assert change["after"] == ["admin@scope_1", "viewer@scope_2"]


def test_a_member_of_an_enumeration_is_rendered_as_its_text() -> None:
    class Policy(StrEnum):
        WAIT = "waitlist"

    assert render_with_change("policy", Policy.WAIT, None, "seat.waiting")["before"] == "waitlist"


@pytest.mark.parametrize("text", ["a" * (MAX_VALUE_BYTES - 2), "é" * 255, "\x01" * 85])
def test_a_value_of_512_bytes_is_kept(text: str) -> None:
    assert render_with_change("reason", None, text)["after"] == text


@pytest.mark.parametrize("text", ["a" * (MAX_VALUE_BYTES - 1), "é" * 256, "\x01" * 86])
def test_a_larger_value_becomes_the_digest_of_its_canonical_form(text: str) -> None:
    canonical = rfc8785.dumps(text)

    assert render_with_change("reason", None, text)["after"] == {
        "sha256": sha256(canonical).hexdigest(),
        "len": len(canonical),
    }


def test_a_larger_set_becomes_the_digest_of_its_sorted_list() -> None:
    grants = tuple(f"role@scope_{number}" for number in range(99, 0, -1))
    canonical = rfc8785.dumps(sorted(grants))

    assert render_with_change("grants", grants, None)["before"] == {
        "sha256": sha256(canonical).hexdigest(),
        "len": len(canonical),
    }


def test_a_membership_event_never_hides_the_member_in_a_digest() -> None:
    many = tuple(f"user_{number}" for number in range(100))
    event = replace(EVENT, action="group.member_added", changes=(FieldChange("member", None, many),))

    with pytest.raises(UnfitValueError, match="one event for each"):
        render_event(event)


def test_a_denied_event_need_not_say_what_did_not_happen() -> None:
    event = replace(EVENT, outcome=Outcome.DENIED, changes=(), reason=Reason("role_not_assignable"))

    assert parse_body(render_event(event)).get("reason") == {"code": "role_not_assignable"}


def test_a_setting_is_named_by_its_path() -> None:
    change = render_with_change("settings.seat_policy", "reject", "waitlist", "settings.updated")

    assert change == {"path": "settings.seat_policy", "before": "reject", "after": "waitlist"}


def test_the_environment_belongs_to_no_organisation() -> None:
    event = replace(EVENT, action="environment.loaded", organisation=OrganisationId(""), changes=())

    assert parse_body(render_event(event))["organisation"] == ""


def test_another_name_for_utc_is_utc() -> None:
    greenwich = timezone(timedelta(0), "GMT")

    assert parse_body(render_event(replace(EVENT, time=EVENT.time.astimezone(greenwich))))["time"].endswith(
        "891Z"
    )


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (replace(EVENT, action="role.invented"), UnknownActionError),
        (replace(EVENT, action=""), UnknownActionError),
        (replace(EVENT, id=EventId("")), MissingPartError),
        (replace(EVENT, organisation=OrganisationId("")), MissingPartError),
        (replace(EVENT, actor=cast("Actor", None)), MissingPartError),
        (replace(EVENT, actor=SystemActor("")), MissingPartError),
        (replace(EVENT, targets=()), MissingPartError),
        (replace(EVENT, targets=(Target("", "mem_1"),)), MissingPartError),
        (replace(EVENT, targets=(Target("member", ""),)), MissingPartError),
        (replace(EVENT, targets=(Target("member", "mem_1", role="victim"),)), UnfitValueError),
        (replace(EVENT, targets=(Target("member", "mem_1", pii="Ada Lovelace"),)), ClearNameError),
        (replace(EVENT, cause=Cause("whim")), UnknownCauseError),
        (replace(EVENT, cause=Cause("run", root=EventId("evt_r"))), UnknownCauseError),
        (replace(EVENT, cause=Cause("run", parent=EventId("evt_p"))), UnknownCauseError),
        (replace(EVENT, salt=b"short"), UnfitValueError),
        (replace(EVENT, time=EVENT.time.replace(tzinfo=None)), UnfitValueError),
        (replace(EVENT, time=EVENT.time.astimezone(timezone(timedelta(hours=1)))), UnfitValueError),
        (replace(EVENT, changes=EVENT.changes[:1]), MissingPartError),
        (replace(EVENT, reason=Reason("")), MissingPartError),
        (replace(EVENT, reason=Reason("full", (("größe", 1),))), UnfitValueError),
        (replace(EVENT, reason=Reason("full", (("share", cast("Any", 0.5)),))), UnfitValueError),
        (replace(UPDATE, changes=(FieldChange("password", None, None),)), PathNotAllowedError),
        (replace(UPDATE, changes=(FieldChange("settings.x", None, None),)), PathNotAllowedError),
        (replace(UPDATE, changes=(FieldChange("profile", "Ada", None),)), ClearNameError),
        (replace(UPDATE, changes=(FieldChange("profile", None, ("Ada",)),)), ClearNameError),
        (replace(UPDATE, changes=(FieldChange("active", None, cast("Any", 1.0)),)), UnfitValueError),
        (replace(UPDATE, changes=(FieldChange("attributes", None, cast("Any", (1,))),)), UnfitValueError),
    ],
)
def test_an_event_that_the_schema_refuses_is_named(event: Event, error: type[EventError]) -> None:
    with pytest.raises(error) as refused:
        render_event(event)

    assert type(refused.value) is error
    assert (refused.value.event_id, refused.value.action) == (event.id, event.action)


@pytest.mark.parametrize("path", ["settings.", "settings", "settings.bind_password", "theme.colour"])
def test_an_open_path_admits_neither_other_paths_nor_secrets(path: str) -> None:
    with pytest.raises(PathNotAllowedError):
        render_with_change(path, None, "canary", "settings.updated")


@pytest.mark.parametrize("number", [2**53, -(2**53)])
def test_a_number_without_canonical_form_is_refused(number: int) -> None:
    with pytest.raises(OutsideModelError):
        render_with_change("grants", None, number)


def test_a_refusal_never_repeats_the_clear_name() -> None:
    with pytest.raises(AuditError) as refused:
        render_event(replace(UPDATE, changes=(FieldChange("profile", None, "Ada Lovelace"),)))

    assert "Ada" not in str(refused.value)
