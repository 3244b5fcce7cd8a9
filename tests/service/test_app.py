"""The web application: alive, ready, measured, and silent about its inside."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import create_app
from service.logs import set_up_logs
from service.opening import open_and_upgrade
from service.settings import Settings, load_settings
from service.wiring import Wiring


def settings(folder: Path, **extra: str) -> Settings:
    return load_settings({"USHER_DATA": str(folder / "var"), **extra})


@pytest.fixture
def wiring(tmp_path: Path) -> Iterator[Wiring]:
    with open_and_upgrade(settings(tmp_path)) as opened:
        yield opened


@pytest.fixture
def app(wiring: Wiring) -> Flask:
    built = create_app(wiring)

    @built.get("/broken")
    def broken() -> str:
        raise RuntimeError("token=hidden")

    return built


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok"}
    assert client.get("/readyz").get_json() == {"status": "ready"}


def test_not_ready_says_why(wiring: Wiring) -> None:
    client = create_app(wiring, is_scheduler_alive=lambda: "the scheduler does not run").test_client()

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.get_json() == {"status": "unavailable", "reasons": ["the scheduler does not run"]}
    assert client.get("/healthz").status_code == 200


def test_not_ready_while_the_database_is_of_another_release(client: FlaskClient, wiring: Wiring) -> None:
    connection = sqlite3.connect(wiring.settings.data / "usher.db")
    connection.execute("UPDATE alembic_version SET version_num = 'older'")
    connection.commit()
    connection.close()

    (reason,) = client.get("/readyz").get_json()["reasons"]

    assert "newer release" in reason


def test_lost_database_is_unavailable_and_not_an_error_page(client: FlaskClient, wiring: Wiring) -> None:
    connection = sqlite3.connect(wiring.settings.data / "usher.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    wiring.close()
    for path in wiring.settings.data.glob("usher.db*"):
        path.write_bytes(b"no database" * 1000)

    answer = client.get("/metrics")

    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] == "service_unavailable"


def test_every_answer_has_an_id_and_headers(client: FlaskClient) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": "trace-1234.5"})
    odd = client.get("/healthz", headers={"X-Request-Id": "no spaces"})

    assert answer.headers["X-Request-Id"] == "trace-1234.5"
    assert odd.headers["X-Request-Id"] != "no spaces"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("POST", "/healthz", 405)])
def test_error_is_a_document(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method)

    error = answer.get_json()["error"]
    assert (answer.status_code, error["status"]) == (status, status)
    assert error["request_id"] == answer.headers["X-Request-Id"]


def test_unexpected_error_tells_only_its_reference(client: FlaskClient) -> None:
    answer = client.get("/broken")

    assert answer.status_code == 500
    assert "hidden" not in answer.text
    assert answer.get_json()["error"]["request_id"] == answer.headers["X-Request-Id"]


def test_metrics_are_for_this_machine_without_a_token(client: FlaskClient) -> None:
    assert b"usher_pending_members 0.0" in client.get("/metrics").data
    for origin in (
        {"environ_base": {"REMOTE_ADDR": "10.1.2.3"}},
        {"environ_base": {"REMOTE_ADDR": "unix"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
    ):
        assert client.get("/metrics", **origin).status_code == 403


def test_metrics_are_for_whoever_knows_the_token(tmp_path: Path) -> None:
    with open_and_upgrade(settings(tmp_path, USHER_METRICS_TOKEN="s3cret")) as opened:
        client = create_app(opened).test_client()
        elsewhere = {"REMOTE_ADDR": "10.1.2.3"}

        known = client.get("/metrics", environ_base=elsewhere, headers={"Authorization": "Bearer s3cret"})
        wrong = client.get("/metrics", headers={"Authorization": "Bearer other"})

    assert (known.status_code, wrong.status_code) == (200, 403)
    assert b'usher_http_requests_total{endpoint="show_metrics"' not in wrong.data


def test_requests_are_told_where_the_log_tells_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = settings(tmp_path, USHER_LOG_LEVEL="debug", USHER_LOG_FORMAT="json")
    with open_and_upgrade(chosen) as opened:
        set_up_logs(chosen)
        create_app(opened).test_client().get("/healthz", headers={"X-Request-Id": "mine-0001"})

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["endpoint"], line["status"]) == ("request", "healthz", 200)


def test_a_log_line_of_a_request_has_its_id(
    app: Flask, wiring: Wiring, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs(wiring.settings)

    app.test_client().get("/broken", headers={"X-Request-Id": "mine-0001"})

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["request_id"]) == ("request failed", "mine-0001")
    assert "hidden" not in line["exception"]
