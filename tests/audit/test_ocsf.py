import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.actors import (
    Actor,
    AdminActor,
    ApiKeyActor,
    LoginActor,
    RunActor,
    SystemActor,
    TokenActor,
)
from audit.body import EventBody, ValueBody, parse_body
from audit.errors import UnmappedActionError
from audit.events import ACTIONS
from audit.ocsf import ACTIVITY_NAMES, CLASS_NAMES, ROWS, to_ocsf
from audit.render import render_event
from directory.ids import DirectoryId, RunId
from tests.audit import ocsf_samples
from tests.audit.ocsf_samples import FOLDER, build_body, render
from tests.audit.samples import EVENT

SCHEMA = json.loads((FOLDER / "schema-1.8.0.json").read_text(encoding="utf-8"))
CLASSES = {one["uid"]: one for one in SCHEMA["classes"].values()}
PYTHON_TYPES = {"integer_t": int, "long_t": int, "timestamp_t": int, "boolean_t": bool, "object": dict}


def check(value: object, told: dict[str, Any], path: str) -> list[str]:
    """What the schema has against a value: a small part of what a whole validator says, enough for our classes."""
    if told.get("is_array"):
        if not isinstance(value, list):
            return [f"{path} is no list"]
        single = {name: one for name, one in told.items() if name != "is_array"}
        return [fault for at, item in enumerate(value) for fault in check(item, single, f"{path}[{at}]")]
    if told["type"] in SCHEMA["objects"]:
        return check_object(value, SCHEMA["objects"][told["type"]], path)
    faults = [] if type(value) is PYTHON_TYPES.get(told["type"], str) else [f"{path} is no {told['type']}"]
    return faults + ([f"{path} is {value}"] if "enum" in told and str(value) not in told["enum"] else [])


def check_object(value: object, schema: dict[str, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path} is no object"]
    attributes = schema["attributes"]
    faults = [
        f"{path} lacks {name}"
        for name, told in attributes.items()
        if told.get("requirement") == "required" and name not in value
    ]
    one_of = schema.get("constraints", {}).get("at_least_one")
    faults += [f"{path} has none of {one_of}"] if one_of and not value.keys() & set(one_of) else []
    for name, item in value.items():
        faults += (
            check(item, attributes[name], f"{path}.{name}") if name in attributes else [f"no {path}.{name}"]
        )
    return faults


def convert(body: EventBody) -> dict[str, Any]:
    return to_ocsf(body, leaf_index=41, product_version="1.2.3")


def with_change(action: str, path: str, before: ValueBody, after: ValueBody) -> EventBody:
    body = build_body(action)
    body["changes"] = [{"path": path, "before": before, "after": after}]
    return body


def test_every_action_has_a_row() -> None:
    assert set(ACTIONS) <= set(ROWS), "add the new action to audit.ocsf.ROWS"


def test_every_action_has_its_file_and_no_file_is_left_over() -> None:
    held = {path.stem for path in FOLDER.glob("*.json")} - {"schema-1.8.0"}

    assert held == set(ACTIONS), "see the README there; delete what no action has"


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_told_as_its_file_says(action: str) -> None:
    assert render(action) == (FOLDER / f"{action}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_told_as_the_schema_demands(action: str) -> None:
    told = json.loads(render(action))

    assert check_object(told, CLASSES[told["class_uid"]], action) == []


def test_classes_and_activities_have_the_names_of_the_schema() -> None:
    for uid, name in CLASS_NAMES.items():
        activities = CLASSES[uid]["attributes"]["activity_id"]["enum"]
        assert CLASSES[uid]["caption"] == name
        assert {str(one): told for one, told in ACTIVITY_NAMES[uid].items()}.items() <= activities.items()
    assert {f"{row.class_uid * 100 + row.activity_id}" for row in ROWS.values()} <= {
        uid for one in CLASSES.values() for uid in one["attributes"]["type_uid"]["enum"]
    }
    assert all(
        row.activity_id == 99 or row.activity_id in ACTIVITY_NAMES[row.class_uid] for row in ROWS.values()
    )


@pytest.mark.parametrize(
    ("value", "told", "fault"),
    [
        ([], {"type": "user"}, "x is no object"),
        ({}, {"type": "user"}, "x has none of ['account', 'name', 'uid']"),
        ({"uid": "1", "colour": "red"}, {"type": "user"}, "no x.colour"),
        ({"uid": 1}, {"type": "user"}, "x.uid is no string_t"),
        ({"uid": "1"}, {"type": "user", "is_array": True}, "x is no list"),
        (["1", 2], {"type": "string_t", "is_array": True}, "x[1] is no string_t"),
        (7, {"type": "integer_t", "enum": {"1": "One"}}, "x is 7"),
        ({"name": "log"}, {"type": "metadata"}, "x lacks product"),
    ],
)
def test_the_check_finds_what_the_schema_refuses(value: object, told: dict[str, Any], fault: str) -> None:
    assert fault in check(value, told, "x")


def test_an_action_of_a_later_release_is_refused_by_its_name() -> None:
    body = build_body("user.created")
    body["action"] = "user.renamed_later"

    with pytest.raises(UnmappedActionError, match=r"user\.renamed_later"):
        convert(body)


@pytest.mark.parametrize(
    ("outcome", "status", "status_id", "severity_id"),
    [
        ("success", "Success", 1, 1),
        ("noop", "noop", 99, 1),
        ("denied", "Failure", 2, 3),
        ("failure", "Failure", 2, 3),
    ],
)
def test_the_outcome_decides_status_and_severity(
    outcome: str, status: str, status_id: int, severity_id: int
) -> None:
    body = build_body("user.created")
    body["outcome"] = outcome

    told = convert(body)

    assert (told["status"], told["status_id"], told["severity_id"]) == (status, status_id, severity_id)
    assert told["unmapped"]["outcome"] == outcome


def test_a_refusal_is_a_failure_with_its_reason() -> None:
    told = convert(build_body("seat.denied"))

    assert (told["class_uid"], told["activity_id"], told["status_id"]) == (3005, 1, 2)
    assert told["status_code"] == "seat_limit_reached"
    assert told["status_detail"] == "seat_limit_reached (limit 50, used 50)"


def test_a_reason_without_numbers_is_its_code() -> None:
    body = build_body("seat.denied")
    body["reason"] = {"code": "no_mapping"}

    assert convert(body)["status_detail"] == "no_mapping"


def test_ids_position_and_cause_are_kept() -> None:
    body = build_body("user.created")

    told = convert(body)

    assert told["metadata"]["uid"] == body["id"]
    assert told["metadata"]["sequence"] == 41
    assert told["metadata"]["tenant_uid"] == body["organisation"]
    assert told["metadata"]["correlation_uid"] == body["cause"]["root"]
    assert told["http_request"] == {"uid": "req_9"}
    assert told["unmapped"]["cause"] == body["cause"]
    assert told["time"] == 1772600767891


def test_a_root_event_is_its_own_correlation() -> None:
    body = parse_body(render_event(EVENT))

    told = convert(body)

    assert told["metadata"]["correlation_uid"] == EVENT.id
    assert "http_request" not in told


@pytest.mark.parametrize(
    ("actor", "told"),
    [
        (
            TokenActor("tok_1", DirectoryId("dir_1")),
            {"user": {"uid": "tok_1", "type": "token", "type_id": 4, "credential_uid": "tok_1"}},
        ),
        (
            ApiKeyActor("key_1"),
            {"user": {"uid": "key_1", "type": "api_key", "type_id": 4, "credential_uid": "key_1"}},
        ),
        (AdminActor("adm_1"), {"user": {"uid": "adm_1", "type": "admin", "type_id": 2}}),
        (
            AdminActor("adm_1", session_id="ses_1", on_behalf_of="org_1"),
            {"user": {"uid": "adm_1", "type": "support", "type_id": 2}, "session": {"uid": "ses_1"}},
        ),
        (RunActor(RunId("run_1"), DirectoryId("dir_1")), {"app_name": "Usher", "app_uid": "run_1"}),
        (SystemActor("seats"), {"app_name": "Usher", "app_uid": "seats"}),
        (LoginActor("log_1"), {"session": {"uid": "log_1"}}),
    ],
)
def test_every_actor_is_told(actor: Actor, told: dict[str, object]) -> None:
    body = parse_body(render_event(replace(EVENT, actor=actor)))

    assert convert(body)["actor"] == told
    assert check(convert(body)["actor"], {"type": "actor"}, "actor") == []


@pytest.mark.parametrize(
    ("action", "path", "before", "after", "privileges"),
    [
        ("role.granted", "role", None, "creator", ["creator"]),
        ("role.revoked", "role", "creator", None, ["creator"]),
        (
            "override.set",
            "grants",
            None,
            ["creator@scope_1", "viewer@scope_2"],
            ["creator@scope_1", "viewer@scope_2"],
        ),
        ("override.set", "grants", None, {"sha256": "ab", "len": 900}, ["900 bytes"]),
        ("override.ended", "reason", None, "left", ["override.ended"]),
        ("seat.assigned", "used", 4, 5, ["seat"]),
    ],
)
def test_privileges_are_what_was_given_or_taken(
    action: str, path: str, before: ValueBody, after: ValueBody, privileges: list[str]
) -> None:
    assert convert(with_change(action, path, before, after))["privileges"] == privileges


def test_a_grant_names_its_scope_as_resource() -> None:
    assert convert(build_body("role.granted"))["resources"] == [{"uid": "scope_4", "type": "scope"}]


def test_names_are_told_beside_ids_where_they_are_known() -> None:
    told = to_ocsf(
        build_body("role.granted"),
        leaf_index=41,
        product_version="1",
        names={"pii:1": "Anna", "tok_1": "Okta"},
    )

    assert told["user"] == {"uid": "member_1", "name": "Anna"}
    assert told["actor"] == {
        "user": {"uid": "tok_1", "type": "token", "type_id": 4, "credential_uid": "tok_1", "name": "Okta"}
    }


def test_a_membership_names_group_and_person() -> None:
    told = convert(build_body("group.member_added"))
    without_person = build_body("group.member_added")
    without_person["targets"] = without_person["targets"][1:]

    assert (told["group"], told["user"]) == ({"uid": "group_1"}, {"uid": "user_1"})
    assert convert(without_person)["user"] == {"uid": "user_7"}


def test_a_nesting_names_both_groups() -> None:
    told = convert(build_body("group.subgroup_added"))

    assert (told["group"], told["subgroup"]) == ({"uid": "group_1"}, {"uid": "group_8"})


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("user.created", ("user", {"uid": "tok_1"})),
        ("group.created", ("group", {"name": "unknown"})),
        ("directory.created", ("entity", "organisation")),
    ],
)
def test_a_body_without_targets_still_fits_the_schema(action: str, told: tuple[str, object]) -> None:
    body = build_body(action)
    del body["targets"]

    converted = convert(body)

    assert check_object(converted, CLASSES[converted["class_uid"]], action) == []
    assert converted[told[0]] == told[1] or converted[told[0]]["uid"] == body["organisation"]


def test_an_event_of_the_service_itself_is_about_the_service() -> None:
    body = build_body("environment.loaded")
    body["organisation"] = ""

    assert convert(body)["entity"] == {"name": "Usher", "type": "service", "type_id": 99}


@pytest.mark.parametrize(
    ("action", "activity_id", "status_id", "severity_id"),
    [
        ("sso.login", 1, 1, 1),
        ("sso.login_denied", 1, 2, 3),
        ("sso.logout", 2, 1, 1),
        ("breakglass.used", 1, 1, 4),
    ],
)
def test_signing_in_is_authentication(
    action: str, activity_id: int, status_id: int, severity_id: int
) -> None:
    body = build_body("user.created")
    body["action"] = action

    told = convert(body)

    assert check_object(told, CLASSES[3002], action) == []
    assert (told["activity_id"], told["status_id"], told["severity_id"]) == (
        activity_id,
        status_id,
        severity_id,
    )
    assert told.get("auth_protocol") == (None if action == "breakglass.used" else "SAML")


def test_the_files_are_written_by_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocsf_samples, "FOLDER", tmp_path)

    ocsf_samples.write_files()

    assert {path.stem for path in tmp_path.iterdir()} == set(ACTIONS)
