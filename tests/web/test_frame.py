"""Every answer carries an id and the security headers, and is counted under names of a closed set."""

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient

from web.frame import REQUEST_ID, SECURITY_HEADERS, RequestFrame, current_request_id

Seen = list[tuple[str, str, int, float]]


@pytest.fixture
def seen() -> Seen:
    return []


@pytest.fixture
def client(seen: Seen) -> FlaskClient:
    app = Flask("framed", static_folder=None)

    @app.get("/id")
    def show_id() -> str:
        assert request.environ[REQUEST_ID] == current_request_id.get()
        return current_request_id.get()

    @app.get("/cached")
    def cached() -> Response:
        return Response("x", headers={"cache-control": "max-age=60"})

    @app.route("/any", methods=["PROPFIND"])
    def answer_any() -> str:
        return "x"

    ticks = iter(range(100))
    framed = RequestFrame(
        app.wsgi_app,
        new_id=lambda: "made-0001",
        observe=lambda *told: seen.append(told),
        timer=lambda: float(next(ticks)),
    )
    app.wsgi_app = framed  # type: ignore[method-assign]  # Flask's own way of wrapping an application
    return app.test_client()


def test_an_answer_carries_a_new_id_and_the_security_headers(client: FlaskClient) -> None:
    answer = client.get("/id")

    assert answer.text == answer.headers["X-Request-Id"] == "made-0001"
    assert {name: answer.headers[name] for name, _ in SECURITY_HEADERS} == dict(SECURITY_HEADERS)


def test_a_plain_id_of_the_client_stays(client: FlaskClient) -> None:
    assert client.get("/id", headers={"X-Request-Id": "mine-0001"}).text == "mine-0001"
    assert client.get("/id", headers={"X-Request-Id": "not mine"}).text == "made-0001"


def test_an_answer_keeps_a_header_of_its_own(client: FlaskClient) -> None:
    assert client.get("/cached").headers.getlist("Cache-Control") == ["max-age=60"]


def test_answers_are_counted_by_view_and_never_by_what_a_client_invents(
    client: FlaskClient, seen: Seen
) -> None:
    client.get("/id")
    client.get("/nowhere/4711")
    client.open("/any", method="PROPFIND")
    client.open("/id", method="INVENTED-4711")

    assert seen == [
        ("GET", "show_id", 200, 1.0),
        ("GET", "unknown", 404, 1.0),
        ("OTHER", "answer_any", 200, 1.0),
        ("OTHER", "unknown", 405, 1.0),
    ]


def test_outside_of_a_request_there_is_no_id(client: FlaskClient) -> None:
    client.get("/id")

    assert current_request_id.get() == ""


def test_an_application_that_fails_is_counted_as_an_error(seen: Seen) -> None:
    def broken(_environ: object, _start_response: object) -> list[bytes]:
        raise RuntimeError("broken")

    frame = RequestFrame(
        broken, new_id=lambda: "made-0001", observe=lambda *told: seen.append(told), timer=lambda: 1.0
    )

    with pytest.raises(RuntimeError):
        frame({"REQUEST_METHOD": "GET"}, lambda *_: lambda _part: None)

    assert seen == [("GET", "unknown", 500, 0.0)]
    assert current_request_id.get() == ""
