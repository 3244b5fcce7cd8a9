"""Structured logs: one line for each thing that happened, as JSON or for a person, without secrets."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from audit.redact import redact
from service.settings import Settings
from web.frame import current_request_id

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TRACEBACK_KEYS = frozenset({"exc_info", "exception"})


def set_up_logs(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send every log of this process, those of libraries too, to `stream` (the standard error without one)."""
    target = sys.stderr if stream is None else stream
    level = _LEVELS[settings.log_level]
    is_json = settings.log_format == "json" or (settings.log_format == "auto" and not target.isatty())
    renderer: structlog.typing.Processor
    if is_json:
        renderer = structlog.processors.JSONRenderer(sort_keys=True)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=target.isatty())
    shared: list[structlog.typing.Processor] = [
        add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_event,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


def add_request_id(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Say in which request something happened."""
    request_id = current_request_id.get()
    if request_id:
        event.setdefault("request_id", request_id)
    return event


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of everything that is about to be written."""
    for key, value in event.items():
        event[key] = redact({key: value})[key]  # type: ignore[index]  # a mapping stays one
    return event
