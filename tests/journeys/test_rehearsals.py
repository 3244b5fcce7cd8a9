"""Bulk requests that are rehearsed: the whole of one is worked out as it would be done, and nothing is kept."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest

from directory.changes import NameMatch, PutDirectory, SetPlan
from scim.answers import Answer, SCIMRequest
from scim.callers import make_caller
from scim.handling import Context, handle, rehearse
from service.scim_edge import scim_parts
from tests.builders import KINDS, MEMBER, WORKER
from tests.journeys.pushes import add_scim, provider
from tests.journeys.scim_bodies import Json, bulk, endpoint_on, entries, group, patch, user
from tests.journeys.sequences import Endpoint, Push
from tests.journeys.shell import Shell


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint_on(request, tmp_path_factory, request.param) as endpoint:
        yield endpoint


@pytest.fixture
def push(endpoint: Endpoint) -> Push:
    return endpoint.make_push()


def operation(method: str, path: str, data: Json | None = None, bulk_id: str = "") -> Json:
    told: Json = {"method": method, "path": path}
    if bulk_id:
        told["bulkId"] = bulk_id
    return told if data is None else {**told, "data": data}


TEAM = bulk(
    operation("POST", "/Groups", group("Staff", "bulkId:ada"), "staff"),
    operation("POST", "/Users", user("ada"), "ada"),
    operation("POST", "/Users", user("ADA"), "twin"),
    operation("POST", "/Users", user("bob"), "bob"),
    operation("PATCH", "/Groups/bulkId:staff", patch(("add", "members", entries("bulkId:bob")))),
    operation("PATCH", "/Groups/bulkId:staff", patch(("add", "members", entries("bulkId:twin")))),
    operation("PATCH", "/Users/bulkId:bob", patch(("replace", "title", "Guide"))),
    operation("DELETE", "/Users/bulkId:ada"),
)
"""A group of what comes later, a name that is taken by then, and what refers to all of them."""


def make_context(endpoint: Endpoint, push: Push) -> Context:
    caller = make_caller(push.world.organisation_id, push.directory_id, "token", {})
    return Context(scim_parts(endpoint.wiring), caller, "request-1")


def request_of(body: Json) -> SCIMRequest:
    return SCIMRequest("POST", "Bulk", body=orjson.dumps(body))


def told(answer: Answer) -> Sequence[Any]:
    assert isinstance(answer.body, bytes)
    operations: Sequence[Any] = orjson.loads(answer.body)["Operations"]
    return operations


def test_references_are_followed_to_what_the_same_request_creates(endpoint: Endpoint, push: Push) -> None:
    context = make_context(endpoint, push)
    before = push.world.snapshot()

    foreseen = rehearse(request_of(TEAM), context)

    assert [one["status"] for one in told(foreseen)] == [
        "201",
        "201",
        "409",
        "201",
        "200",
        "400",
        "200",
        "204",
    ]
    assert "bulkId 'twin'" in told(foreseen)[5]["response"]["detail"]
    assert told(foreseen)[4]["location"] == told(foreseen)[0]["location"]
    assert push.world.snapshot() == before


def test_what_is_foreseen_is_what_happens(endpoint: Endpoint, push: Push) -> None:
    context = make_context(endpoint, push)

    foreseen = rehearse(request_of(TEAM), context)
    done = handle(request_of(TEAM), context, None)

    def without_ids(answer: Answer) -> list[tuple[str, str, str]]:
        return [(one["method"], one["status"], one.get("version", "")) for one in told(answer)]

    assert without_ids(foreseen) == without_ids(done)
    assert [row.action for row in foreseen.foreseen] == push.world.events()
    assert push.groups() == {"Staff": ["bob"]}


def test_what_is_refused_for_its_seat_leaves_nothing_to_the_next(endpoint: Endpoint, push: Push) -> None:
    push.world.do(SetPlan("Enterprise", 1))
    push.world.do(PutDirectory(push.directory_id, "scim", "idp", {}, default_role=MEMBER))
    context = make_context(endpoint, push)
    before = push.world.snapshot()
    body = bulk(
        operation("POST", "/Users", user("ada"), "ada"),
        operation("POST", "/Users", user("ada", active=False), "idle"),
        operation("POST", "/Groups", group("Staff", "bulkId:idle")),
        operation("POST", "/Groups", group("Others", "bulkId:ada")),
        failOnErrors=2,
    )

    foreseen = rehearse(request_of(body), context)

    assert [one["status"] for one in told(foreseen)] == ["403", "201", "201", "400"]
    assert push.world.snapshot() == before


def test_access_by_a_groups_name_is_foreseen_and_then_given(endpoint: Endpoint, push: Push) -> None:
    push.world.put_scope("u1", "unit")
    push.world.put_rule(NameMatch(push.directory_id, "minut-{unit}"), WORKER)
    push.world.events()
    context = make_context(endpoint, push)
    request = request_of(
        bulk(
            operation("POST", "/Groups", group("minut-u1"), "cleaners"),
            operation("POST", "/Users", user("ada"), "ada"),
            operation("PATCH", "/Groups/bulkId:cleaners", patch(("add", "members", entries("bulkId:ada")))),
            operation("PATCH", "/Groups/bulkId:cleaners", patch(("replace", "displayName", "None"))),
        )
    )

    foreseen = [row.action for row in rehearse(request, context).foreseen]
    handle(request, context, None)

    assert ("role.granted" in foreseen, "role.revoked" in foreseen) == (True, True)
    assert push.world.events() == foreseen
    push.world.check()


def test_a_bulk_request_is_replayed_whole_from_the_command_line(shell: Shell) -> None:
    shell.set_up()
    idp_of = add_scim(shell)
    shell.answer("directory", "pause", "idp")
    with provider(shell, *idp_of) as idp:
        assert idp.ask("POST", "Bulk", TEAM).status_code == 403
    shell.answer("directory", "resume", "idp")
    (logged,) = shell.json("scim", "log")

    replay = shell.json("scim", "replay", str(logged["id"]))

    assert replay["status"] == 200
    assert [one["status"] for one in replay["answer_body"]["Operations"]][:2] == ["201", "201"]
