"""The request log as people read it. Each reading is itself recorded; so is a request that is done again."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import parse_qsl

from audit.body import EventBody, parse_body
from audit.events import FieldChange, Target
from audit.sentences import describe
from directory.ids import DirectoryId
from provisioning.ports import Reader
from provisioning.resources import LoggedRequest, RequestQuery
from provisioning.state import StoredDirectory
from scim.answers import Answer, SCIMRequest, is_read
from scim.callers import Caller, make_caller
from scim.handling import Context, handle, rehearse
from scim.request_log import RequestLog, Visit
from service.administration import Administration
from service.errors import NotFoundError, RefusedError
from service.labels import event_names
from service.scim_edge import scim_parts

_CUT = "[cut: "
_NO_JSON = "[no JSON: "
_REDACTED = "[redacted: "


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """A request with what it changed: each event's id, time and sentence."""

    request: LoggedRequest
    directory: str
    events: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a request would be answered now, or was. `is_redacted`: a value that was not kept is a mark in it."""

    request: LoggedRequest
    directory: str
    status: int
    scim_type: str
    body: str
    detail: str
    leniencies: tuple[str, ...]
    events: Sequence[str]
    is_redacted: bool
    request_id: str = ""


def list_requests(administration: Administration, query: RequestQuery) -> list[LoggedRequest]:
    """Read requests of a directory, the newest first, and record that they were read."""
    found = administration.wiring.pushes.requests(administration.organisation_id, query)
    _record_reading(administration, query.directory_id, "list", rows=len(found), narrowing=_narrowing(query))
    return found


def show_request(administration: Administration, name: str) -> ShownRequest:
    """Read one request with its events, and record that it was read. Raises NotFoundError."""
    logged = _find(administration, name)
    with administration.read() as reader:
        directory = _directory(reader, logged.directory_id)
        bodies = reader.event_bodies(logged.events)
        events = _told(
            administration, reader, [parse_body(bodies[one]) for one in logged.events if one in bodies]
        )
    _record_reading(administration, logged.directory_id, "show", rows=1, request=logged.id)
    return ShownRequest(logged, directory.name, events)


def replay_request(administration: Administration, name: str) -> Replay:
    """Say what a logged request would do and be answered now. Nothing is stored but that somebody asked.

    Raises: NotFoundError; RefusedError where the log does not hold the request whole.
    """
    logged, request, caller, directory = _prepare(administration, name)
    wiring = administration.wiring
    context = Context(scim_parts(wiring), caller, wiring.mint.id())
    answer = rehearse(request, context)
    with administration.read() as reader:
        events = _told(administration, reader, [parse_body(row.body) for row in answer.foreseen])
    _record_reading(administration, logged.directory_id, "replay", rows=1, request=logged.id)
    return _replay(logged, directory, answer, [text for _, _, text in events])


def apply_request(administration: Administration, name: str) -> Replay:
    """Do a logged request again, as the administrator who says so. It is recorded before, and logged like any other.

    Raises: NotFoundError; RefusedError where the log does not hold the request whole, with every value.
    """
    logged, request, caller, directory = _prepare(administration, name)
    if _is_redacted(logged):
        raise RefusedError(
            "invalid",
            f"request '{logged.id}' holds values that the log did not keep; let the identity provider push it again",
        )
    wiring = administration.wiring
    request_id = wiring.mint.id()
    administration.record(
        "scim_log.replayed",
        (
            FieldChange("request", None, logged.id),
            FieldChange("method", None, logged.method),
            FieldChange("as_request", None, request_id),
        ),
        [Target("directory", logged.directory_id)],
    )
    context = Context(scim_parts(wiring), replace(caller, acting=administration.actor), request_id)
    at = wiring.clock()
    with contextlib.ExitStack() as stack:
        resources = None
        if is_read(request):
            reader = stack.enter_context(administration.read())
            resources = reader.resources(logged.directory_id)
        answer = handle(request, context, resources)
        answer.body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    visit = Visit(request_id, at, "", "", 0)
    row = RequestLog().describe(request, answer, caller, visit, log_id=wiring.mint.id())
    wiring.pushes.append_requests([row])
    with administration.read() as reader:
        bodies = reader.event_bodies(answer.events)
        events = _told(administration, reader, [parse_body(bodies[one]) for one in answer.events])
    told = _replay(logged, directory, answer, [text for _, _, text in events])
    return replace(told, request_id=request_id)


def _find(administration: Administration, name: str) -> LoggedRequest:
    logged = administration.wiring.pushes.request(administration.organisation_id, name)
    if logged is None:
        raise NotFoundError(f"there is no request '{name}' in the log; list them with 'usher scim log'")
    return logged


def _directory(reader: Reader, directory_id: DirectoryId) -> StoredDirectory:
    return next(known for known in reader.directories() if known.directory_id == directory_id)


def _prepare(
    administration: Administration, name: str
) -> tuple[LoggedRequest, SCIMRequest, Caller, StoredDirectory]:
    """The request as it can be handled again, and the client whom it is from."""
    logged = _find(administration, name)
    kept = (logged.path, logged.query, logged.request_body or "")
    if any(text.endswith("[cut]") or _CUT in text or text.startswith(_NO_JSON) for text in kept):
        raise RefusedError(
            "invalid", f"request '{logged.id}' is in the log in parts only and cannot be done again"
        )
    if logged.status == HTTPStatus.UNAUTHORIZED:
        raise RefusedError(
            "invalid", f"request '{logged.id}' was turned away at the door for its token; nothing was asked"
        )
    with administration.read() as reader:
        directory = _directory(reader, logged.directory_id)
        tokens = {token.prefix: token.token_id for token in reader.tokens(logged.directory_id)}
    caller = make_caller(
        logged.organisation_id,
        logged.directory_id,
        tokens.get(logged.token_prefix, logged.token_prefix or "replay"),
        directory.settings,
    )
    request = SCIMRequest(
        method=logged.method,
        path=logged.path,
        query=tuple(parse_qsl(logged.query, keep_blank_values=True)),
        headers=logged.headers,
        body=(logged.request_body or "").encode(),
    )
    return logged, request, caller, directory


def _is_redacted(logged: LoggedRequest) -> bool:
    values = [value for _, value in parse_qsl(logged.query)]
    return any(_REDACTED in text for text in (logged.request_body or "", *values))


def _replay(
    logged: LoggedRequest, directory: StoredDirectory, answer: Answer, events: Sequence[str]
) -> Replay:
    body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    return Replay(
        request=logged,
        directory=directory.name,
        status=answer.status,
        scim_type=answer.scim_type,
        body=body.decode(),
        detail=answer.detail,
        leniencies=answer.leniencies,
        events=events,
        is_redacted=_is_redacted(logged),
    )


def _told(
    administration: Administration, reader: Reader, bodies: Sequence[EventBody]
) -> list[tuple[str, str, str]]:
    names = event_names(reader, administration.wiring.models, bodies)
    return [(body["id"], body["time"], describe(body, names=names)) for body in bodies]


def _record_reading(
    administration: Administration,
    directory_id: DirectoryId,
    what: str,
    *,
    rows: int,
    request: str = "",
    narrowing: str = "",
) -> None:
    changes = [FieldChange("rows", None, rows), FieldChange("query", None, what)]
    if request:
        changes.append(FieldChange("request", None, request))
    if narrowing:
        changes.append(FieldChange("filter", None, narrowing))
    administration.record("scim_log.read", tuple(changes), [Target("directory", directory_id)])


def _narrowing(query: RequestQuery) -> str:
    """What the reading was narrowed to. Of a text only that there was one: it may be somebody's name."""
    said = (
        ("failed", "yes" if query.failed_only else ""),
        ("status", "" if query.status is None else str(query.status)),
        ("method", query.method),
        ("text", "yes" if query.text else ""),
        ("since", "" if query.since is None else f"{query.since:%Y-%m-%dT%H:%M:%SZ}"),
    )
    return " ".join(f"{name}={value}" for name, value in said if value)
