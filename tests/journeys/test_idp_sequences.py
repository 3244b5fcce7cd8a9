"""What each identity provider sends, from its first hour to its weeks, against the whole application."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from directory.changes import RevokeToken
from scim.profiles import PROFILES, Leniency
from tests.builders import KINDS
from tests.journeys.sequences import (
    ABSENT,
    ANY,
    IDPS,
    PAYLOADS,
    Endpoint,
    PayloadSequence,
    Push,
    differences,
    fill,
    load_sequence,
    load_sequences,
    open_endpoint,
    pick,
)

SEQUENCES = load_sequences()
LIVES = [sequence for sequence in SEQUENCES if not sequence.leniency]
ODDITIES = [sequence for sequence in SEQUENCES if sequence.leniency]

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
SECRETS = ("1mz050nq", "TkdFNVdIVkxhM2c9", "GeheimesWort7")
ROOMY = {"plan": "Enterprise", "seats": -1}
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    postgresql = request.getfixturevalue("postgresql_database") if request.param == "postgresql" else None
    with open_endpoint(tmp_path_factory.mktemp("endpoint"), postgresql) as opened:
        yield opened


def make_user(name: str, **more: object) -> dict[str, object]:
    return {"schemas": [USER], "userName": f"{name}@example.com", "externalId": f"x-{name}", **more}


def make_patch(*operations: dict[str, object]) -> dict[str, object]:
    return {"schemas": [PATCH], "Operations": list(operations)}


def create(push: Push, kind: str, body: dict[str, object]) -> str:
    answer = push.send("POST", f"/{kind}", body)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return str(answer.get_json()["id"])


# The recorded sequences


@pytest.mark.parametrize("sequence", LIVES, ids=lambda one: one.id)
def test_sequence_is_answered_and_leaves_state_and_events_as_recorded(
    endpoint: Endpoint, sequence: PayloadSequence
) -> None:
    push = endpoint.make_push(sequence.world, profile=sequence.profile)

    push.play(sequence)

    assert push.users() == sequence.state["users"]
    assert push.groups() == sequence.state["groups"]
    assert push.world.events() == list(sequence.events)
    log = push.logged()
    assert [list(row.leniencies) for row in log] == [step.get("leniencies", []) for step in sequence.requests]
    kept = " ".join(f"{row.request_body} {row.answer_body}" for row in log)
    assert not any(secret in kept for secret in SECRETS)


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("sequence", ODDITIES, ids=lambda one: one.id)
def test_leniency_is_granted_by_its_profiles_and_refused_by_the_others(
    endpoint: Endpoint, sequence: PayloadSequence, profile: str
) -> None:
    push = endpoint.make_push(profile=profile)

    is_allowed = PROFILES[profile].allows(Leniency(sequence.leniency))

    push.play(sequence, is_allowed=is_allowed)

    assert (sequence.leniency in {slug for row in push.logged() for slug in row.leniencies}) == is_allowed


def test_every_leniency_has_a_payload_that_shows_it() -> None:
    shown = {sequence.leniency for sequence in ODDITIES}

    assert shown == {leniency.value for leniency in Leniency}


def test_both_styles_of_entra_end_in_one_state(endpoint: Endpoint) -> None:
    ends: list[tuple[Any, Any]] = []
    for name in ("groups", "groups-optscim"):
        push = endpoint.make_push(profile="entra")
        push.play(load_sequence(PAYLOADS / "entra" / f"{name}.json"))
        ends.append((push.users(), push.groups()))

    assert ends[0] == ends[1]


# The files themselves


@pytest.mark.parametrize("idp", IDPS)
def test_readme_names_every_file_of_its_folder(idp: str) -> None:
    text = (PAYLOADS / idp / "README.md").read_text(encoding="utf-8")
    names = sorted(path.name for path in (PAYLOADS / idp).glob("*.json"))

    assert re.findall(r"^\| `([a-z0-9-]+\.json)` \|", text, re.MULTILINE) == names


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: one.id)
def test_file_has_the_form_of_a_sequence(sequence: PayloadSequence) -> None:
    text = (PAYLOADS / sequence.idp / f"{sequence.name}.json").read_text(encoding="utf-8")

    assert sequence.origin
    assert sequence.profile in PROFILES
    assert not re.search(
        r"@(?!Example\.com|example\.com|home\.example|jensen\.org|foo\.com|odata)[A-Za-z]",
        text.replace("%40", "@"),
    )
    for step in sequence.steps:
        kinds = {"say", "rule"} if "rule" in step else {"say", "method", "path", "expect"}
        assert kinds <= step.keys() <= kinds | {"body", "headers", "otherwise", "save", "leniencies"}
        assert "otherwise" not in step or sequence.leniency
        for told in (step.get("expect", {}), step.get("otherwise", {})):
            assert told.keys() <= {"status", "scimType", "detail", "headers", "body", "empty"}
        assert all(Leniency(slug) for slug in step.get("leniencies", ()))


# The player


@pytest.mark.parametrize(
    ("expected", "seen", "faults"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": ANY, "b": ABSENT}, {"a": 0}, []),
        ({"a": ANY}, {"a": ""}, ["$.a: nothing there"]),
        ({"a": ABSENT}, {"a": 1}, ["$.a: 1, not absent"]),
        ({"a": 1}, {}, ["$.a: absent, not 1"]),
        ({"a": True}, {"a": 1}, ["$.a: 1, not True"]),
        ({"a": {}}, {"a": 1}, ["$.a: 1 is no object"]),
        ([1, {"a": 2}], [1, {"a": 2, "b": 3}], []),
        ([1], [1, 2], ["$: [1, 2] has not 1 entries"]),
        ([1, 2], [1, 3], ["$[1]: 3, not 2"]),
    ],
)
def test_player_names_what_differs(expected: object, seen: object, faults: list[str]) -> None:
    assert differences(expected, seen) == faults


def test_player_fills_in_what_was_saved() -> None:
    values = {"userId": pick({"Resources": [{"id": 7}]}, "Resources.0.id")}

    assert fill({"{userId}": ["/Users/{userId}", None, '{"id": 1}']}, values) == {
        "7": ["/Users/7", None, '{"id": 1}']
    }
    with pytest.raises(KeyError):
        fill("{nobody}", values)


# An identity provider, first hour


def test_request_without_a_user_agent_is_accepted(endpoint: Endpoint) -> None:
    push = endpoint.make_push()

    assert "HTTP_USER_AGENT" not in endpoint.client.environ_base
    assert push.send("GET", "/Users").status_code == 200


def test_members_by_post_put_and_patch_give_the_same_state(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    members = [{"value": create(push, "Users", make_user(name))} for name in ("anna", "ben")]
    create(push, "Groups", {"schemas": [GROUP], "displayName": "posted", "members": members})
    put = create(push, "Groups", {"schemas": [GROUP], "displayName": "put"})
    patched = create(push, "Groups", {"schemas": [GROUP], "displayName": "patched"})

    body = {"schemas": [GROUP], "displayName": "put", "members": members}
    assert push.send("PUT", f"/Groups/{put}", body).status_code == 200
    operation: dict[str, object] = {"op": "add", "path": "members", "value": members}
    assert push.send("PATCH", f"/Groups/{patched}", make_patch(operation)).status_code == 204

    both = ["anna@example.com", "ben@example.com"]
    assert push.groups() == {"posted": both, "put": both, "patched": both}


def test_hundreds_of_people_are_imported_without_an_error(endpoint: Endpoint) -> None:
    """The bench imports 10,000, one request each."""
    push = endpoint.make_push(ROOMY)
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": f"b{number}", "data": make_user(f"p{number}")}
        for number in range(400)
    ]

    answer = push.send("POST", "/Bulk", {"schemas": [BULK], "Operations": operations})

    assert {one["status"] for one in answer.get_json()["Operations"]} == {"201"}
    assert push.send("GET", "/Users?count=0").get_json()["totalResults"] == 400


# An identity provider, each week


def test_same_request_twice_is_the_same_state(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    user_id = create(push, "Users", make_user("anna"))
    group_id = create(push, "Groups", {"schemas": [GROUP], "displayName": "staff"})
    requests: list[tuple[str, str, dict[str, object]]] = [
        ("PUT", f"/Users/{user_id}", make_user("anna", title="Lead")),
        ("PATCH", f"/Users/{user_id}", make_patch({"op": "replace", "path": "nickName", "value": "A"})),
        (
            "PATCH",
            f"/Groups/{group_id}",
            make_patch({"op": "add", "path": "members", "value": [{"value": user_id}]}),
        ),
        ("PATCH", f"/Users/{user_id}", make_patch({"op": "replace", "value": {"active": False}})),
    ]
    for method, path, body in requests:
        assert push.send(method, path, body).status_code in {200, 204}
        tags = [
            push.send("GET", f"/{kind}").headers["ETag"]
            for kind in (f"Users/{user_id}", f"Groups/{group_id}")
        ]
        push.world.events()

        assert push.send(method, path, body).status_code in {200, 204}

        assert push.world.events() == []
        assert tags == [
            push.send("GET", f"/{kind}").headers["ETag"]
            for kind in (f"Users/{user_id}", f"Groups/{group_id}")
        ]


def test_pages_are_stable_and_whole(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    made = [create(push, "Users", make_user(f"p{n}")) for n in range(7)]

    for size in (2, 3, 7):
        pages = [
            push.send("GET", f"/Users?startIndex={start}&count={size}").get_json()
            for start in range(1, 8, size)
        ]
        ids = [row["id"] for page in pages for row in page["Resources"]]
        assert sorted(ids) == sorted(made)
        assert {page["totalResults"] for page in pages} == {7}
    cursor: str | None = ""
    ids = []
    while cursor is not None:
        page = push.send("GET", f"/Users?cursor={cursor}&count=3").get_json()
        ids += [row["id"] for row in page["Resources"]]
        cursor = page.get("nextCursor")
    assert sorted(ids) == sorted(made)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/Users", b"{"),
        ("POST", "/Users", b"[]"),
        ("POST", "/Users", b"null"),
        ("POST", "/Users", b'{"userName": "a", "userName": "b"}'),
        ("POST", "/Users", b'{"schemas": 1, "userName": {"a": 1}}'),
        ("POST", "/Users", b'{"userName": "\\ud800"}'),
        ("POST", "/Groups", b'{"displayName": 7, "members": "all"}'),
        ("POST", "/Bulk", b'{"Operations": {}}'),
        ("POST", "/.search", b'{"filter": 7}'),
        ("GET", "/Users?filter=userName+eq", None),
        ("GET", "/Users?filter=" + "(" * 500, None),
        ("GET", "/Users?sortBy=name", None),
        ("GET", "/Users?startIndex=x", None),
        ("GET", "/Users?cursor=nonsense", None),
    ],
)
def test_bad_input_is_told_so_and_is_never_a_fault_of_ours(
    endpoint: Endpoint, method: str, path: str, body: bytes | None
) -> None:
    push = endpoint.make_push()

    answer = push.send(method, path, body)

    assert answer.status_code == 400
    assert answer.content_type == "application/scim+json"
    assert answer.get_json()["detail"]


def test_unknown_operation_changes_nothing_and_says_so(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    user_id = create(push, "Users", make_user("anna"))
    push.world.events()

    answer = push.send(
        "PATCH",
        f"/Users/{user_id}",
        make_patch({"op": "replace", "path": "title", "value": "x"}, {"op": "test", "path": "title"}),
    )

    assert answer.status_code == 400
    assert "test" in answer.get_json()["detail"]
    assert push.world.events() == []


def test_too_many_wrong_tokens_are_told_when_to_come_back(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    elsewhere = {"REMOTE_ADDR": "203.0.113.7"}
    wrong = {"Authorization": "Bearer nonsense"}

    answers = [
        endpoint.client.get(f"{push.player.base}/Users", headers=wrong, environ_overrides=elsewhere)
        for _ in range(200)
    ]

    assert {answer.status_code for answer in answers} == {401, 429}
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert push.send("GET", "/Users").status_code == 200


def test_leaver_is_let_go_while_all_seats_are_taken(endpoint: Endpoint) -> None:
    push = endpoint.make_push({"seats": 2, "default_role": "Member"})
    user_id = create(push, "Users", make_user("anna"))
    assert push.send("POST", "/Users", make_user("ben")).status_code == 403

    answer = push.send(
        "PATCH", f"/Users/{user_id}", make_patch({"op": "replace", "value": {"active": False}})
    )

    assert answer.status_code == 200
    assert push.users()["anna@example.com"]["seat"] == "none"
    push.world.check()


def test_leaver_is_let_go_while_the_guard_holds_others(endpoint: Endpoint) -> None:
    push = endpoint.make_push({**ROOMY, "default_role": "Member"}, hold=True)
    ids = [create(push, "Users", make_user(f"p{n}")) for n in range(12)]
    gone: dict[str, object] = {"op": "replace", "value": {"active": False}}

    answers = [push.send("PATCH", f"/Users/{user_id}", make_patch(gone)) for user_id in ids]

    assert {answer.status_code for answer in answers} == {200}
    seats = [user["seat"] for user in push.users().values()]
    assert seats.count("none") >= 10
    push.world.check()


def test_revoked_token_is_refused_at_once_and_others_go_on(endpoint: Endpoint) -> None:
    push, other = endpoint.make_push(), endpoint.make_push()
    second = push.issue_token("second")
    assert push.send("GET", "/Users").status_code == 200

    push.world.do(RevokeToken(push.tokens["first"]))

    refused = push.send("GET", "/Users")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert push.send("GET", "/Users", headers={"Authorization": f"Bearer {second}"}).status_code == 200
    assert other.send("GET", "/Users").status_code == 200


def test_token_ends_at_its_moment(endpoint: Endpoint) -> None:
    push = endpoint.make_push()
    push.player.token = push.issue_token("short", valid=timedelta(days=1))
    assert push.send("GET", "/Users").status_code == 200

    endpoint.clock.move(days=2)

    assert push.send("GET", "/Users").status_code == 401


def test_token_opens_no_other_directory(endpoint: Endpoint) -> None:
    push, other = endpoint.make_push(), endpoint.make_push()

    answers = [
        endpoint.client.get(f"{base}/Users", headers={"Authorization": f"Bearer {push.player.token}"})
        for base in (other.player.base, "/scim/v2/nothing")
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].get_json() == answers[1].get_json()
