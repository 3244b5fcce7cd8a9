"""The record over HTTP: what an auditor's token opens, what it does not, and what is written down of it."""

import json
from base64 import b64decode
from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from audit.body import EventBody
from audit.checkpoint import parse_checkpoint, verify_note
from audit.tree import leaf_hash, verify_consistency, verify_inclusion
from directory.audit_token_changes import RevokeAuditToken
from directory.changes import SetSettings
from provisioning.ports import EventQuery
from service.audit_tokens import IssuedAuditToken, issue_audit_token
from tests.journeys.sso_scene import OWNER, Organisation, Scene
from tests.sealed import seal_log

PROBLEM = "application/problem+json"


class Auditor:
    """Somebody with a token of one organisation."""

    def __init__(self, organisation: Organisation, *, days: int = 90) -> None:
        self.organisation = organisation
        self.client = organisation.scene.app.test_client()
        expires_at = organisation.scene.clock() + timedelta(days=days)
        administration = organisation.administration
        self.issued: IssuedAuditToken = issue_audit_token(
            administration, name="Auditor EY", expires_at=expires_at
        )
        self.base = f"/audit/{administration.organisation_id}"

    def get(self, path: str, base: object = "", **query: object) -> TestResponse:
        url = f"{base or self.base}{path}" + (f"?{urlencode(query)}" if query else "")
        return self.client.get(url, headers={"Authorization": f"Bearer {self.issued.text}"})

    def json(self, path: str, **query: object) -> Any:  # noqa: ANN401 - as routes differ, so do their documents
        answer = self.get(path, "", **query)
        assert answer.status_code == 200, answer.text
        return answer.json


@pytest.fixture
def auditor(either_scene: Scene) -> Auditor:
    """Of our organisation, in which somebody has signed in, all of it sealed."""
    ours = either_scene.ours
    ours.sign_in(either_scene.browser(), OWNER)
    ours.sign_in(either_scene.browser())
    made = Auditor(ours)
    seal_log(either_scene.wiring, ours.administration.organisation_id)
    ours.news()
    return made


def said(event: EventBody) -> dict[str, object]:
    return {change["path"]: change["after"] for change in event["changes"]}


def test_events_come_with_their_places_and_what_is_not_proven(auditor: Auditor) -> None:
    document = auditor.json("/events", action="sso.login", order="oldest")

    events = document["events"]
    assert [event["action"] for event in events] == ["sso.login", "sso.login"]
    assert "Olivia Owner" in events[0]["text"]
    assert events[0]["sealed"] is True
    assert events[0]["leaf_index"] < events[1]["leaf_index"]
    assert events[0]["sealed_at"].endswith("Z")
    assert "Olivia Owner" in events[0]["names"].values()
    assert document["unproven"] == ["names", "text"]
    assert document["next"] is None


def test_pages_follow_each_other_without_gap_or_repetition(auditor: Auditor) -> None:
    whole = [event["id"] for event in auditor.json("/events", limit=500, order="oldest")["events"]]
    paged: list[str] = []
    answer = auditor.get("/events", limit=3, order="oldest")
    while len(paged) < len(whole):
        assert answer.json is not None
        paged += [event["id"] for event in answer.json["events"]]
        link = answer.headers["Link"]
        assert link == f'<?limit=3&order=oldest&after={answer.json["next"]}>; rel="next"'
        answer = auditor.get("/events", limit=3, order="oldest", after=answer.json["next"])

    assert paged[: len(whole)] == whole


def test_newest_come_first(auditor: Auditor) -> None:
    rows = [event["row"] for event in auditor.json("/events")["events"]]

    assert all(earlier > later for earlier, later in pairwise(rows))


def test_filters_are_those_of_the_command_line(auditor: Auditor) -> None:
    member = auditor.organisation.member(OWNER)

    by_mail = auditor.json("/events", about=OWNER, action="sso.")["events"]
    by_id = auditor.json("/events", about=member, action="sso.", outcome="success", since="1h")["events"]

    assert [one["id"] for one in by_mail] == [one["id"] for one in by_id]
    assert len(by_mail) == 1
    assert auditor.json("/events", until="2001-01-01")["events"] == []
    assert auditor.json("/events", actor="operator:test", cause="operator", limit=1)["events"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"limit": 0}, "'limit' is a whole number from 1 to 500"),
        ({"limit": "9" * 40}, "'limit' is a whole number"),
        ({"after": "-1"}, "'after' is a whole number"),
        ({"after": "٣"}, "'after' is a whole number"),
        ({"order": "random"}, "'order' is newest or oldest"),
        ({"all": "1"}, "there is no 'all' here"),
        ({"since": "yesterday"}, "'since' is a moment"),
        ({"until": "999999w"}, "'until' is a moment"),
        ({"since": "2026-02-02", "until": "2026-02-01"}, "'since' must be before 'until'"),
        ({"outcome": "maybe"}, "'outcome' is one of denied"),
        ({"actor_type": "ghost"}, "'actor_type' is one of"),
        ({"cause": "fate"}, "'cause' is one of"),
        ({"action": "DROP TABLE"}, "'action' is an action"),
        ({"actor": "anna@example.org"}, "'actor' is the id"),
        ({"about": "Anna Example"}, "'about' is the id"),
        ({"about": "nobody@nowhere.example"}, "nobody has or had the mail"),
        ({"rule": "1"}, "'rule' is the id"),
        ({"run": "1"}, "'run' is the id"),
        ({"request": "a b"}, "'request' is the id"),
        ({"role": "Admin;"}, "'role' is the name"),
        ({"group": "no such group"}, "no such group"),
        ({"group": "x\x00"}, "printable characters"),
        ({"group": "x" * 301}, "at most 300"),
        ({"colour": "red"}, "there is no 'colour' here"),
        ({"limit": [1, 2]}, "'limit' is given 2 times"),
    ],
)
def test_what_cannot_be_asked_is_told_whole(scene: Scene, query: dict[str, object], words: str) -> None:
    auditor = Auditor(scene.ours)
    answer = auditor.client.get(
        f"{auditor.base}/events?{urlencode(query, doseq=True)}",
        headers={"Authorization": f"Bearer {auditor.issued.text}"},
    )

    assert (answer.status_code, answer.content_type) == (400, PROBLEM)
    assert answer.json is not None
    assert any(words in fault for fault in answer.json["faults"]), answer.json
    assert (answer.json["status"], answer.json["code"]) == (400, "invalid")


def test_an_event_is_told_with_its_causes_both_ways_and_proven(auditor: Auditor) -> None:
    ours = auditor.organisation
    (seated,) = auditor.json("/events", action="seat.assigned", about=ours.member(OWNER))["events"]

    shown = auditor.json(f"/events/{seated['id']}")
    root = auditor.json(f"/events/{shown['causes'][-1]['id']}")

    assert "root" not in shown["causes"][-1]["body"]["cause"]
    assert root["caused"]
    assert root["causes"] == []
    proof = shown["proof"]
    leaf = leaf_hash(proof["body"].encode())
    hashes = [b64decode(one) for one in proof["proof"]]
    checkpoint = parse_checkpoint(verify_note(proof["checkpoint"], proof["keys"]).text)
    assert verify_inclusion(leaf, proof["leaf_index"], checkpoint.size, hashes, checkpoint.root)
    assert json.loads(proof["body"]) == shown["body"]
    head = parse_checkpoint(verify_note(proof["heads"]["checkpoint"], proof["keys"]).text)
    note = proof["checkpoint"].partition("\n\n")[0] + "\n"
    head_hashes = [b64decode(one) for one in proof["heads"]["proof"]]
    assert verify_inclusion(
        leaf_hash(note.encode()), proof["heads"]["leaf_index"], head.size, head_hashes, head.root
    )
    assert auditor.json("/proof", event=seated["id"]) == proof
    assert auditor.json("/proof", event=seated["id"], size=proof["size"]) == proof


def test_what_is_not_sealed_says_so_and_has_no_proof_yet(auditor: Auditor) -> None:
    auditor.organisation.do(SetSettings({"seat_policy": "waitlist"}))
    (event,) = auditor.json("/events", action="settings.", limit=1)["events"]

    assert (event["sealed"], event["leaf_index"], event["sealed_at"]) == (False, None, None)
    assert auditor.json(f"/events/{event['id']}")["proof"] is None
    answer = auditor.get("/proof", event=event["id"])
    assert (answer.status_code, answer.content_type) == (409, PROBLEM)
    assert "no place in the log yet" in answer.text


def test_an_older_checkpoint_is_proven_to_be_the_beginning(auditor: Auditor, either_scene: Scene) -> None:
    organisation_id = auditor.organisation.administration.organisation_id
    old_size = parse_checkpoint(
        auditor.client.get(f"{auditor.base}/checkpoint").text.partition("\n\n")[0] + "\n"
    ).size
    auditor.json("/events")
    seal_log(either_scene.wiring, organisation_id)

    document = auditor.json("/proof", **{"from": old_size})

    old, new = (parse_checkpoint(document[name].partition("\n\n")[0] + "\n") for name in ("old", "new"))
    hashes = [b64decode(one) for one in document["proof"]]
    assert old.size < new.size
    assert verify_consistency(old.size, new.size, old.root, new.root, hashes)
    assert auditor.get("/proof", **{"from": old_size, "to": new.size}).json == document
    for wrong in ({}, {"from": 1, "event": "x"}, {"from": 0}, {"size": "x"}):
        assert auditor.get("/proof", **wrong).status_code == 400
    assert auditor.get("/proof", **{"from": 999}).status_code == 409


def test_what_is_not_there_is_not_found(auditor: Auditor) -> None:
    unknown = auditor.organisation.scene.wiring.mint.id()

    for path in (f"/events/{unknown}", "/events/x", "/events/ABCD-EFGH-IJKL", "/reports/x"):
        answer = auditor.get(path)
        assert (answer.status_code, answer.content_type) == (404, PROBLEM), path
    assert auditor.get("/proof", event=unknown).status_code == 404
    assert auditor.get("/export", format="exe").status_code == 400
    assert auditor.get(f"/events/{unknown}", colour="red").status_code == 400
    assert auditor.get("/reports/orphans", limit="x").status_code == 400


@pytest.mark.parametrize("format_", ["jsonl", "csv", "ocsf", "bundle"])
def test_an_export_is_recorded_before_it_leaves(auditor: Auditor, format_: str) -> None:
    auditor.organisation.news()

    answer = auditor.get("/export", format=format_, action="sso.")

    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="acme-')
    assert len(answer.data) > 100
    answer.close()
    news = auditor.organisation.news()
    assert [event["action"] for event in news] == ["export.created", "export.downloaded"]
    assert {event["actor"]["id"] for event in news} == {auditor.issued.token.token_id}


def test_a_report_is_the_command_lines(auditor: Auditor) -> None:
    document = auditor.json("/reports/configuration", since="90d", limit=1)

    assert document["total"] > 1
    assert len(document["rows"]) == 1
    assert "created the organisation" in document["rows"][0]["text"]


def test_reading_is_recorded_once_without_whom_was_searched_by_mail(auditor: Auditor) -> None:
    ours = auditor.organisation
    auditor.json("/events", about=OWNER, action="sso.", actor="system-x", since="2020-01-01")

    (event,) = ours.news()

    assert (event["action"], event["outcome"]) == ("log.read", "success")
    assert event["actor"] == {"id": auditor.issued.token.token_id, "type": "api_key"}
    told = said(event)
    assert told["query"] == "list"
    assert f"{ours.member(OWNER)}" in str(told["filter"])
    assert "action=sso." in str(told["filter"])
    assert "actor" in str(told["filter"])
    assert told["since"] == "2020-01-01T00:00:00Z"
    assert OWNER not in json.dumps(event)
    assert "system-x" not in json.dumps(event)


def test_readings_are_found_by_where_they_came_from(auditor: Auditor) -> None:
    answer = auditor.get("/events", limit=1)
    (event,) = auditor.organisation.news()

    found = auditor.json("/events", address="127.0.0.1", action="log.read")["events"]

    assert [one["id"] for one in found] == [event["id"]]
    assert event["context"]["request_id"] == answer.headers["X-Request-Id"]
    assert "127.0.0.1" not in json.dumps(event)
    for wrong, words in (
        ("x.y", "'address' is an address"),
        ("1.2.3.999", "no address"),
        ("::9", "nothing came"),
    ):
        refused = auditor.get("/events", address=wrong)
        assert (refused.status_code, words in refused.text) == (400, True), refused.text


def test_whoever_has_no_good_token_learns_nothing(either_scene: Scene) -> None:
    auditor = Auditor(either_scene.ours)
    text = auditor.issued.text
    wrong = [
        {},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {text[:-1]}"},
        {"Authorization": f"Bearer {text[:-1]}{'A' if text[-1] != 'A' else 'B'}"},
        {"Authorization": f"Bearer {text.replace('usher_audit_', 'usher_scim_')}"},
        {"Authorization": f"Bearer usher_audit_aaaaaaaa_{text[-43:]}"},
        {"Cookie": f"__Host-usher_audit={text}"},
    ]

    answers = [auditor.client.get(f"{auditor.base}/events", headers=headers) for headers in wrong]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}
    told = [{**(answer.json or {}), "request_id": ""} for answer in answers]
    assert all(one == told[0] for one in told)
    for path in ("/events/x", "/proof", "/export", "/reports/orphans"):
        assert auditor.client.get(f"{auditor.base}{path}").status_code == 401


def test_a_token_that_has_ended_opens_nothing_and_its_use_is_recorded(either_scene: Scene) -> None:
    ours, clock = either_scene.ours, either_scene.clock
    short, revoked = Auditor(ours, days=1), Auditor(ours)
    assert short.get("/events").status_code == 200
    ours.do(RevokeAuditToken(revoked.issued.token.token_id))
    clock.move(days=2)
    ours.news()

    assert [one.get("/events").status_code for one in (short, revoked, short, short)] == [401] * 4
    clock.move(minutes=2)
    assert short.get("/events").status_code == 401

    told = [(event["action"], event["outcome"], event["reason"]["code"]) for event in ours.news()]
    assert told == [
        ("log.read", "denied", "token_expired"),
        ("log.read", "denied", "token_revoked"),
        ("log.read", "denied", "token_expired"),
    ]


def test_the_refusals_of_a_minute_are_counted_in_the_next_event(scene: Scene) -> None:
    auditor = Auditor(scene.ours, days=1)
    scene.clock.move(days=2)
    scene.ours.news()
    for _ in range(4):
        auditor.get("/events")
    scene.clock.move(minutes=1)
    auditor.get("/events")

    first, second = scene.ours.news()

    assert "numbers" not in first["reason"]
    assert second["reason"]["numbers"] == {"folded": 3}


def record_paths(scene: Scene, organisation_id: str, event_id: str) -> list[str]:
    """Every route under an organisation's record but the public checkpoint, from the URL map."""
    rules = [
        rule.rule for rule in scene.app.url_map.iter_rules() if rule.rule.startswith("/audit/<organisation>")
    ]
    paths = [
        rule.replace("<organisation>", organisation_id)
        .replace("<event_id>", event_id)
        .replace("<name>", "configuration")
        for rule in rules
    ]
    assert not any("<" in path for path in paths)
    return paths


def test_no_route_shows_another_organisations_record(either_scene: Scene) -> None:
    theirs, auditor = either_scene.theirs, Auditor(either_scene.ours)
    stranger = theirs.administration.organisation_id
    seal_log(either_scene.wiring, stranger)
    with theirs.administration.read() as reader:
        row = next(iter(reader.events(EventQuery(limit=1))))
    event_id = json.loads(row[1])["id"]
    either_scene.ours.news(), theirs.news()

    paths = record_paths(either_scene, stranger, event_id)
    answers = [auditor.get(path, base="/") for path in (one.removeprefix("/") for one in paths)]
    unknown = auditor.get("/events", base=f"/audit/{either_scene.wiring.mint.id()}")

    assert len(paths) == 5
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json["detail"] for answer in answers if answer.json} == {unknown.json["detail"]}  # type: ignore[index]
    assert theirs.news() == []
    denied = either_scene.ours.news()
    assert {(event["outcome"], event["reason"]["code"]) for event in denied} == {
        ("denied", "other_organisation")
    }
    assert stranger not in json.dumps(denied)
    # Under one's own name another's event is not there either.
    for path in (f"/events/{event_id}", f"/proof?event={event_id}"):
        assert (
            auditor.client.get(
                f"{auditor.base}{path}", headers={"Authorization": f"Bearer {auditor.issued.text}"}
            ).status_code
            == 404
        )
    listed = auditor.json("/events", about=stranger)["events"]
    assert listed == []


def test_whoever_asks_too_often_is_told_when_to_come_again(scene: Scene) -> None:
    auditor = Auditor(scene.ours)

    answers = [auditor.get("/proof") for _ in range(101)]

    assert {answer.status_code for answer in answers[:100]} == {400}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_who_tries_tokens_is_held_up(scene: Scene) -> None:
    client = scene.app.test_client()

    answers = [client.get("/audit/x/events", headers={"Authorization": "Bearer x"}) for _ in range(21)]

    assert answers[-2].status_code == 401
    assert answers[-1].status_code == 429


def test_an_auditors_token_opens_no_directory(scene: Scene) -> None:
    auditor = Auditor(scene.ours)
    bearer = {"Authorization": f"Bearer {auditor.issued.text}"}

    for path in (f"/scim/v2/{scene.wiring.mint.id()}/Users", "/audit/v1/events", "/oidc/userinfo"):
        assert auditor.client.get(path, headers=bearer).status_code == 401, path
    for method in ("post", "put", "patch", "delete"):
        assert getattr(auditor.client, method)(f"{auditor.base}/events", headers=bearer).status_code == 405


def test_when_and_from_where_a_token_was_used_is_kept(either_scene: Scene) -> None:
    auditor = Auditor(either_scene.ours)
    auditor.get("/events")

    with either_scene.ours.administration.read() as reader:
        (token,) = reader.audit_tokens.all()

    assert (token.last_used_at, token.last_used_from) == (either_scene.clock(), "127.0.0.1")
