"""The edges of the endpoint: tokens, routes, media types, sizes, bad input, our own faults, and the request log."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from directory.changes import PutDirectory, RevokeToken, SetPlan
from provisioning.resources import LoggedRequest, RequestQuery
from scim.answers import SCIMRequest
from scim.callers import make_caller
from scim.errors import ERROR_URN
from scim.handling import PATTERNS, Context, rehearse
from scim.resources import PREFIX
from service.app import REQUEST_LOG
from service.request_log import RequestLog
from service.scim_edge import scim_parts
from storage.errors import DatabaseUnavailableError
from tests.builders import KINDS, MEMBER
from tests.journeys.scim_bodies import create, create_staff, endpoint_on, group, user
from tests.journeys.sequences import PUBLIC_URL, Endpoint, Push
from tests.scim.builders import DOCUMENTS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint_on(request, tmp_path_factory, request.param) as endpoint:
        yield endpoint


@pytest.fixture
def fresh(endpoint: Endpoint) -> Endpoint:
    """The application anew over the same database, with full buckets."""
    return Endpoint(endpoint.wiring, endpoint.clock)


@pytest.fixture
def push(fresh: Endpoint) -> Push:
    return fresh.make_push()


@pytest.fixture(scope="module")
def fuzzed(endpoint: Endpoint) -> Push:
    push = endpoint.make_push()
    create(push, "/Groups", group("Staff", create(push, "/Users", user("ada"))))
    return push


def application(push: Push) -> Flask:
    app = push.player.client.application
    assert isinstance(app, Flask)
    return app


def logged(push: Push, endpoint: Endpoint) -> list[LoggedRequest]:
    log = application(push).extensions[REQUEST_LOG]
    assert isinstance(log, RequestLog)
    log.flush()
    found = endpoint.wiring.pushes.requests(push.world.organisation_id, RequestQuery(push.directory_id))
    whole = [endpoint.wiring.pushes.request(push.world.organisation_id, one.id) for one in found]
    return [one for one in whole if one is not None]


def is_error(answer: TestResponse, status: int, scim_type: str = "") -> bool:
    told = answer.get_json()
    return (
        answer.status_code == status
        and told["schemas"] == [ERROR_URN]
        and told["status"] == str(status)
        and told.get("scimType", "") == scim_type
        and bool(told["detail"])
        and answer.headers["Content-Type"] == "application/scim+json"
    )


def scim_paths(push: Push) -> list[str]:
    """Every route of the endpoint, from the application's own map, filled with ids that exist."""
    user_id, group_id = create(push, "/Users", user("ada")), create(push, "/Groups", group("Staff"))
    ids = {"Users": user_id, "Groups": group_id, "Schemas": "x", "ResourceTypes": "User"}
    found = []
    for rule in application(push).url_map.iter_rules():
        if rule.rule.startswith(f"{PREFIX}/"):
            below = rule.rule.removeprefix(f"{PREFIX}/<directory_id>/")
            below = below.replace("<resource_id>", ids.get(below.partition("/")[0], "x"))
            found.append(below.replace("<scim_rest:rest>", "some/thing/else"))
    assert len(found) == len(PATTERNS) + 1
    return found


def test_no_route_opens_for_another_directorys_token(fresh: Endpoint) -> None:
    push, other = fresh.make_push(), fresh.make_push()
    paths = scim_paths(push)
    before = push.world.snapshot()
    answers = set()

    for number, path in enumerate(paths):
        # Wrong tokens are counted by address.
        push.player.client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        for method in METHODS:
            answer = push.send(method, f"/{path}", None, {"Authorization": f"Bearer {other.player.token}"})
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            answers.add(answer.data)

    assert answers == {b"", push.send("GET", "/Users", headers={"Authorization": ""}).data}
    assert {name: rows for name, rows in push.world.snapshot().items() if name != "token"} == {
        name: rows for name, rows in before.items() if name != "token"
    }


# What needs no token: is the service well, where people and their applications sign in, the signed heads of logs, and
# where a token of an auditor is typed. A new route is refused to a SCIM token, or named here.
_FOR_EVERYBODY = (
    *("/healthz", "/readyz", "/static/", "/sso/", "/saml/", "/oidc/", "/.well-known/"),
    *("/audit/<log>/checkpoint", "/console/audit/sign-in", "/console/audit/sign-out"),
)


def test_scim_token_opens_nothing_else(push: Push) -> None:
    """Elsewhere it is worth as much as none: what answers it is there for everybody, or refuses everybody."""
    others = [rule.rule for rule in application(push).url_map.iter_rules() if PREFIX not in rule.rule]
    bearer = {"Authorization": f"Bearer {push.player.token}"}

    for path in others:
        without, with_token = (
            push.player.client.get(path, headers={"X-Forwarded-For": "192.0.2.7", **headers})
            for headers in ({}, bearer)
        )
        assert with_token.status_code == without.status_code, path
        assert path.startswith(_FOR_EVERYBODY) or with_token.status_code in (401, 403), path
    assert push.player.client.get("/oidc/userinfo", headers=bearer).status_code == 401


def test_refused_tokens_are_answered_alike(endpoint: Endpoint, push: Push) -> None:
    expired = push.issue_token("short", valid=timedelta(minutes=1))
    revoked = push.issue_token("old")
    push.world.do(RevokeToken(push.tokens["old"]))
    endpoint.clock.move(minutes=2)

    answers = [
        push.send("GET", "/Users", headers={"Authorization": value})
        for value in (f"Bearer {expired}", f"Bearer {revoked}", "Bearer x", "Basic eDp5", "")
    ]
    unknown = push.player.client.get(
        f"{PREFIX}/01990001-0000-7000-8000-ffffffffffff/Users",
        headers={"Authorization": f"Bearer {push.player.token}"},
    )

    assert all(is_error(answer, 401) for answer in (*answers, unknown)), [one.status_code for one in answers]
    assert len({answer.data for answer in (*answers, unknown)}) == 1
    # Who holds a token that was good is told of in the log of its directory; who guesses is not.
    assert [one.status for one in logged(push, endpoint)] == [401, 401, 401]


def test_paused_directory_takes_nothing_and_says_so(push: Push) -> None:
    push.world.do(PutDirectory(push.directory_id, "scim", "idp", {"paused": True}))

    for method, path in (("GET", "/Users"), ("POST", "/Users"), ("GET", "/nothing")):
        answer = push.send(method, path, user("ada"))
        assert is_error(answer, 403)
        assert "paused" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/Users", "GET, POST"),
        ("POST", "/Users/x", "GET, PUT, PATCH, DELETE"),
        ("GET", "/Users/.search", "POST"),
        ("DELETE", "/Schemas", "GET"),
        ("GET", "/Bulk", "POST"),
        ("OPTIONS", "/Groups", "GET, POST"),
    ],
)
def test_wrong_method_names_the_right_ones(push: Push, method: str, path: str, allowed: str) -> None:
    answer = push.send(method, path)

    assert is_error(answer, 405)
    assert answer.headers["Allow"] == allowed


def test_method_that_http_does_not_have_is_a_scim_error(push: Push) -> None:
    assert is_error(push.send("BREW", "/Users"), 405)


@pytest.mark.parametrize("path", ["/", "/nothing", "/users", "/Users/x/y", "/Users/.search/x", "/Schemas/x"])
def test_unknown_path_is_a_scim_error(push: Push, path: str) -> None:
    assert is_error(push.send("GET", path), 404)


@pytest.mark.parametrize("method", METHODS)
def test_me_is_answered_honestly(push: Push, method: str) -> None:
    answer = push.send(method, "/Me")

    assert answer.status_code == 501


def test_slashes_and_unknown_parameters_do_not_matter(push: Push) -> None:
    user_id = create(push, "/Users/?aadOptscim062020&x=1", user("ada"))

    for path in ("/Users/", "//Users", "/Users?aadOptscim062020", "/Users?filter=", "/Users?count="):
        answer = push.send("GET", path)
        assert answer.status_code == 200
        assert answer.get_json()["totalResults"] == 1
    answer = push.send("GET", f"/Users/{user_id}/?aadOptscim062020")
    assert answer.get_json()["meta"]["location"] == f"{PUBLIC_URL}{push.player.base}/Users/{user_id}"


def test_locations_never_follow_the_host_header(push: Push) -> None:
    answer = push.send("POST", "/Users", user("ada"), {"Host": "evil.example"})

    assert b"evil.example" not in answer.data
    assert "evil.example" not in answer.headers["Location"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("application/scim+json; charset=utf-8", 201),
        ('Application/JSON; charset="UTF-8"', 201),
        ("", 201),
        ("text/plain", 415),
        ("application/json; charset=utf-16", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_media_types(push: Push, content_type: str, status: int) -> None:
    assert push.send("POST", "/Users", user("ada"), {"Content-Type": content_type}).status_code == status


def test_bodies_beyond_the_limit_are_refused(push: Push) -> None:
    large = user("ada", title="x" * (1 << 20))

    assert is_error(push.send("POST", "/Users", large), 413)
    assert push.send("POST", "/Groups", group("Staff", x="x" * (1 << 20))).status_code == 201
    assert is_error(push.send("POST", "/Groups", group("Staff", x="x" * (8 << 20))), 413)


def test_body_without_a_length_is_read_where_the_server_ends_it(push: Push) -> None:
    chunked = push.player.client.post(
        f"{push.player.base}/Users",
        input_stream=BytesIO(b'{"userName": "ada"}'),
        environ_overrides={"wsgi.input_terminated": True},
        headers={"Authorization": f"Bearer {push.player.token}"},
    )
    without = push.player.client.post(
        f"{push.player.base}/Users", headers={"Authorization": f"Bearer {push.player.token}"}
    )
    cut_off = push.player.client.post(
        f"{push.player.base}/Users",
        data=b'{"userName": "bob"}',
        environ_overrides={"CONTENT_LENGTH": "500"},
        headers={"Authorization": f"Bearer {push.player.token}"},
    )

    assert chunked.status_code == 201
    assert is_error(without, 400, "invalidSyntax")
    assert is_error(cut_off, 400, "invalidSyntax")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"userName": "a", "userName": "b"}',
        b'{"userName": "a\\u0000b"}',
        b'{"userName": "\\ud800"}',
        b"\xff",
        b'{"userName": ' + b"[" * 40 + b"]" * 40 + b"}",
        b"[" * 100_000,
    ],
)
def test_bodies_that_are_no_object_of_json_are_refused(push: Push, body: bytes) -> None:
    for method, path in (("POST", "/Users"), ("POST", "/Groups"), ("POST", "/Bulk"), ("POST", "/.search")):
        assert is_error(push.send(method, path, body), 400, "invalidSyntax")


@pytest.mark.parametrize(
    "text",
    [
        "userName",
        "userName eq",
        'userName xx "a"',
        'nothing eq "a"',
        'password eq "a"',
        "active gt true",
        "(",
        "userName pr and " * 101 + "userName pr",
        "(" * 21 + "userName pr" + ")" * 21,
        "a" * 9_000,
    ],
)
def test_bad_filter_is_refused(push: Push, text: str) -> None:
    answer = push.player.client.get(
        f"{push.player.base}/Users",
        query_string={"filter": text},
        headers={"Authorization": f"Bearer {push.player.token}"},
    )

    assert is_error(answer, 400, "invalidFilter")


def test_fault_in_a_filter_is_told_with_its_place(push: Push) -> None:
    answer = push.send("GET", '/Users?filter=userName%20eq%20"a"%20and%20%5B')

    assert "position 20" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("query", "scim_type"),
    [
        ("count=x", "invalidValue"),
        ("startIndex=1.5", "invalidValue"),
        ("sortOrder=up", "invalidValue"),
        ("sortBy=nothing", "invalidPath"),
        ("sortBy=name", "invalidPath"),
        ("sortBy=password", "invalidPath"),
        ("sortBy=x509Certificates", "invalidPath"),
    ],
)
def test_bad_parameters_are_refused(push: Push, query: str, scim_type: str) -> None:
    assert is_error(push.send("GET", f"/Users?{query}"), 400, scim_type)


def test_discovery_cannot_be_filtered(push: Push) -> None:
    for path in ("/Schemas", "/ResourceTypes", "/ServiceProviderConfig"):
        assert is_error(push.send("GET", f"{path}?filter=x"), 403)
        assert push.send("GET", f"{path}?count=1&sortBy=id").status_code == 200


def test_wrong_tokens_are_told_when_to_come_back_and_right_ones_go_on(push: Push) -> None:
    answers = [push.send("GET", "/Users", headers={"Authorization": "Bearer x"}) for _ in range(60)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert is_error(refused[0], 429)
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert push.send("GET", "/Users").status_code == 200


def test_client_that_runs_in_a_loop_is_told_when_to_come_back(endpoint: Endpoint) -> None:
    wiring = endpoint.wiring
    slow = replace(wiring, settings=replace(wiring.settings, scim_rate=1, scim_burst=2))
    push, other = Endpoint(slow, endpoint.clock).make_push(), endpoint.make_push()

    answers = [push.send("GET", "/Users") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert is_error(answers[2], 429)
    assert answers[2].headers["Retry-After"] == "1"
    assert other.send("GET", "/Users").status_code == 200
    assert [one.status for one in logged(push, endpoint)] == [429, 200, 200]


def test_request_is_logged_with_what_it_changed_and_without_secrets(endpoint: Endpoint, push: Push) -> None:
    body = user("ada", password="hunter2", custom="secret-value")
    answer = push.send("POST", "/Users", body, {"X-Request-Id": "request-1", "User-Agent": "idp/1"})
    push.send("GET", '/Users?filter=password eq "hunter2"&token=abcdef')

    failed, made = logged(push, endpoint)

    assert (made.method, made.path, made.status, made.request_id) == ("POST", "Users", 201, "request-1")
    assert set(made.leniencies) >= {"ignore_unknown"}
    assert list(made.events) == [one["id"] for one in push.world.new_bodies()]
    assert made.answer_body == answer.get_data(as_text=True)
    assert made.headers["user-agent"] == "idp/1"
    assert failed.scim_type == "invalidFilter"
    for one in (made, failed):
        told = repr(one)
        assert "hunter2" not in told
        assert "secret-value" not in told
        assert "abcdef" not in told
        assert push.player.token not in told


def test_rehearsal_tells_answer_and_events_and_keeps_nothing(endpoint: Endpoint, push: Push) -> None:
    user_id = create(push, "/Users", user("ada"))
    create_staff(push, user_id)
    caller = make_caller(push.world.organisation_id, push.directory_id, "token", {})
    context = Context(scim_parts(endpoint.wiring), caller, "request-2")

    made = rehearse(SCIMRequest("POST", "Users", body=b'{"userName": "bob"}'), context)
    taken = rehearse(SCIMRequest("POST", "Users", body=b'{"userName": "ADA"}'), context)
    shown = rehearse(SCIMRequest("GET", "Groups"), context)

    large = rehearse(SCIMRequest("POST", "Users", body=b" " * (1 << 20) + b"{}"), context)
    push.world.do(SetPlan("Enterprise", 1))
    push.world.do(PutDirectory(push.directory_id, "scim", "idp", {}, default_role=MEMBER))
    before = push.world.snapshot()
    full = rehearse(SCIMRequest("POST", "Users", body=b'{"userName": "carl"}'), context)

    assert (large.status, full.status, full.events) == (413, 403, ())
    assert made.status == 201
    assert [row.action for row in made.foreseen] == ["user.created", "member.created"]
    assert taken.status == 409
    assert isinstance(shown.body, bytes)
    assert b"Staff" in shown.body
    assert push.world.snapshot() == before


def test_faults_of_our_own_are_scim_errors(push: Push) -> None:
    class Broken:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __call__(self, **_: object) -> None:
            raise self.error

    for error, status in ((DatabaseUnavailableError("gone"), 503), (RuntimeError("boom"), 500)):
        app = application(push)
        views = dict(app.view_functions)
        try:
            app.view_functions["scim.Users"] = Broken(error)  # type: ignore[assignment]  # a view that raises
            with capture_logs() as entries:
                answer = push.send("GET", "/Users")
        finally:
            app.view_functions.update(views)
        assert [entry["path"] for entry in entries] == [f"{push.player.base}/Users"]
        assert is_error(answer, status)
        assert ("Retry-After" in answer.headers) == (status == HTTPStatus.SERVICE_UNAVAILABLE)


PATHS = st.sampled_from([pattern.replace("*", "x") for pattern in PATTERNS]) | st.text(max_size=20)
TEXTS = st.text(max_size=30) | st.from_regex(
    re.compile(r'[a-zA-Z.:$]{1,12} (eq|co|gt|pr) ("[a-z]{0,3}"|[0-9]|true)')
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    method=st.sampled_from(METHODS),
    path=PATHS,
    query=st.dictionaries(
        st.sampled_from(["filter", "attributes", "excludedAttributes", "sortBy", "sortOrder", "startIndex"])
        | st.sampled_from(["count", "cursor"]),
        TEXTS,
        max_size=3,
    ),
    body=DOCUMENTS | st.binary(max_size=40),
)
def test_nothing_that_is_sent_is_ever_a_fault_of_ours(
    fuzzed: Push, method: str, path: str, query: dict[str, str], body: object
) -> None:
    answer = fuzzed.player.client.open(
        f"{fuzzed.player.base}/{quote(path)}",
        method=method,
        query_string=query,
        data=body if isinstance(body, bytes) else json.dumps(body),
        headers={"Authorization": f"Bearer {fuzzed.player.token}", "Content-Type": "application/json"},
    )

    assert answer.status_code < 500 or answer.status_code == 501
