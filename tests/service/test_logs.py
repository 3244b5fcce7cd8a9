"""Logs hold no secret, and are lines of JSON or for people."""

import io
import json
import logging

import structlog

from service.logs import set_up_logs
from service.settings import Settings


def test_line_is_json_without_secrets() -> None:
    stream = io.StringIO()
    set_up_logs(Settings(log_format="json"), stream=stream)

    structlog.get_logger().info(
        "login", bind_password="hidden", header=("Authorization", "Bearer abcdefgh12345678")
    )

    line = json.loads(stream.getvalue())
    assert line["event"] == "login"
    assert line["bind_password"] == "[redacted]"
    assert line["header"] == ["Authorization", "[redacted]"]
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_trace_of_an_error_is_redacted_too() -> None:
    stream = io.StringIO()
    set_up_logs(Settings(log_format="json"), stream=stream)

    try:
        raise ValueError("password=hidden")
    except ValueError:
        structlog.get_logger().exception("failed")

    line = json.loads(stream.getvalue())
    assert "ValueError" in line["exception"]
    assert "hidden" not in stream.getvalue()


def test_logs_of_libraries_come_the_same_way() -> None:
    stream = io.StringIO()
    set_up_logs(Settings(log_format="json", log_level="debug"), stream=stream)

    logging.getLogger("waitress").warning("queue is %s", "long")
    logging.getLogger("sqlalchemy").info("not this")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "queue is long"


def test_person_gets_a_readable_line() -> None:
    stream = io.StringIO()
    set_up_logs(Settings(log_format="console", log_level="warning"), stream=stream)

    structlog.get_logger().info("too quiet")
    structlog.get_logger().warning("loud enough", number=3)

    assert "loud enough" in stream.getvalue()
    assert "number=3" in stream.getvalue()
    assert "too quiet" not in stream.getvalue()


def test_format_follows_the_stream_when_nothing_is_said() -> None:
    stream = io.StringIO()
    set_up_logs(Settings(), stream=stream)

    structlog.get_logger().info("x")

    assert json.loads(stream.getvalue())
