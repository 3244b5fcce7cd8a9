"""The request log's view of a request: who asked what and what came of it, without what nobody should keep.

Redaction is by allow-list. Values of attributes that the schema knows stay, and so do the words of the protocol; a
password, and whatever nobody knows, becomes a mark with its length. Of headers and query parameters only those that
the protocol has are kept. A body that is no JSON is a mark as a whole.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

import orjson

from directory.schema import GROUP, USER, Attribute, Mutability, ResourceSchema
from provisioning.resources import LoggedRequest
from scim.answers import Answer, SCIMRequest
from scim.callers import Caller

MAX_BODY = 65_536
"""Characters of a body that are kept."""
MAX_EVENTS = 100

_MAX_TEXT = 4_096
_MAX_QUERY = 16_384
_MAX_DETAIL = 1_024
_MAX_HEADER = 256
_MAX_DEPTH = 32
_ENTRIES_OF_LARGE = 50
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HEADERS = frozenset({"content-type", "accept", "if-match", "if-none-match", "user-agent"})
_EXPRESSIONS = frozenset({"filter", "path"})
_COMPARES = re.compile(r"[\s\"'\[(]")
_BRACKETS = re.compile(r"\[.*\]")
_PARAMETERS = frozenset(
    {
        "filter",
        "attributes",
        "excludedAttributes",
        "sortBy",
        "sortOrder",
        "startIndex",
        "count",
        "cursor",
        "aadOptscim062020",
    }
)
_PROTOCOL = frozenset(
    {
        "schemas",
        "operations",
        "op",
        "path",
        "value",
        "method",
        "bulkid",
        "version",
        "data",
        "failonerrors",
        "filter",
        "attributes",
        "excludedattributes",
        "sortby",
        "sortorder",
        "startindex",
        "count",
        "cursor",
    }
)
"""Keys of messages, in small letters. Source: RFC 7644 sections 3.4.3, 3.5.2 and 3.7"""


@dataclass(frozen=True, slots=True)
class Visit:
    """What of a request only the edge knows."""

    request_id: str
    at: datetime
    token_prefix: str
    address: str
    duration_us: int


class RequestLog:
    """Makes the log's rows; knows by name what may be kept."""

    def __init__(self) -> None:
        self._known = _PROTOCOL.union(_names(USER), _names(GROUP))

    def describe(
        self, request: SCIMRequest, answer: Answer, caller: Caller, visit: Visit, *, log_id: str
    ) -> LoggedRequest:
        """The row for a request and its answer. Bodies are kept of writes and of what failed."""
        keeps_bodies = request.method in _WRITES or answer.status >= HTTPStatus.BAD_REQUEST
        return LoggedRequest(
            id=log_id,
            organisation_id=caller.organisation_id,
            directory_id=caller.directory_id,
            request_id=visit.request_id,
            at=visit.at,
            token_prefix=visit.token_prefix,
            address=_clean(visit.address[:64], 64),
            method=_clean(request.method[:8], 8),
            path=_clean(request.path, _MAX_TEXT),
            query=_redact_query(request.query) if request.query else "",
            headers={
                name: _clean(value, _MAX_HEADER)
                for name, value in request.headers.items()
                if name in _HEADERS and value
            },
            status=answer.status,
            scim_type=answer.scim_type,
            detail=_clean(answer.detail, _MAX_DETAIL),
            duration_us=visit.duration_us,
            profile=caller.profile.name,
            leniencies=answer.leniencies,
            events=answer.events[:MAX_EVENTS],
            request_body=self._redact_body(request.body) if keeps_bodies and request.body else None,
            answer_body=_cut_bytes(answer.body) if keeps_bodies and isinstance(answer.body, bytes) else None,
        )

    def _redact_body(self, body: bytes) -> str:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return f"[no JSON: {len(body)} bytes]"
        longest_list = _ENTRIES_OF_LARGE if len(body) > MAX_BODY else len(body)
        redacted = self._redact(value, longest_list, _MAX_DEPTH)
        return _cut_text(orjson.dumps(redacted).decode())

    def _redact(self, value: object, longest_list: int, depth: int) -> object:
        if isinstance(value, dict):
            if depth == 0:
                return _mark(value)
            hides_value = "op" in value and not self._may_keep_value_of(value.get("path"))
            return {
                _clean(name, _MAX_DETAIL): self._redact(item, longest_list, depth - 1)
                if self._is_known(name)
                and not (hides_value and name == "value")
                and not (name.lower() in _EXPRESSIONS and _compares_password(item))
                else _mark(item)
                for name, item in value.items()
            }
        if isinstance(value, list):
            if depth == 0:
                return _mark(value)
            kept = [self._redact(item, longest_list, depth - 1) for item in value[:longest_list]]
            more = len(value) - len(kept)
            return [*kept, f"[cut: {more} more]"] if more else kept
        return value

    def _is_known(self, name: str) -> bool:
        lowered = name.lower()
        if lowered in self._known:
            return True
        if "." not in lowered and ":" not in lowered:
            return False
        return _may_keep(name, USER) or _may_keep(name, GROUP)

    def _may_keep_value_of(self, path: object) -> bool:
        """Whether the value of a PATCH operation may be kept. Without a path, its keys decide for themselves."""
        if path is None:
            return True
        if not isinstance(path, str):
            return False
        return self._is_known(_BRACKETS.sub("", path.strip()))


def _may_keep(name: str, schema: ResourceSchema) -> bool:
    path = schema.find(name)
    if path is not None:
        return Mutability.WRITE_ONLY not in (path.attribute.mutability, path.leaf.mutability)
    return bool(schema.extension(name))


def _names(schema: ResourceSchema) -> Iterator[str]:
    """Names that may be kept, in small letters, with those of sub-attributes."""
    for members in (schema.attributes, *schema.extensions.values()):
        for attribute in members.values():
            yield from _names_of(attribute)


def _names_of(attribute: Attribute) -> Iterator[str]:
    if attribute.mutability is not Mutability.WRITE_ONLY:
        yield attribute.name.lower()
        for sub in attribute.sub_attributes:
            yield from _names_of(sub)


def _redact_query(pairs: Sequence[tuple[str, str]]) -> str:
    kept = [
        (name, value if name in _PARAMETERS and not _compares_password(value) else _mark(value))
        for name, value in pairs
    ]
    return _clean(urlencode(kept, errors="replace"), _MAX_QUERY)


def _compares_password(expression: object) -> bool:
    """Whether a filter or a path may hold a password beside the word."""
    return (
        isinstance(expression, str)
        and "password" in expression.lower()
        and _COMPARES.search(expression.strip()) is not None
    )


def _mark(value: object) -> str:
    # Nothing is rendered to be measured: what is in here may be nested deeper than any renderer goes.
    if isinstance(value, dict | list):
        return f"[redacted: {len(value)} entries]"
    return f"[redacted: {len(str(value))} characters]"


def _cut_bytes(body: bytes) -> str:
    if len(body) <= MAX_BODY:
        return body.decode(errors="replace")
    return _cut_text(body.decode(errors="replace"))


def _cut_text(text: str) -> str:
    more = len(text) - MAX_BODY
    return text if more <= 0 else f"{text[:MAX_BODY]}[cut: {more} more characters]"


def _clean(text: str, longest: int) -> str:
    """Text that every database can keep."""
    if len(text) > longest:
        text = f"{text[:longest]}[cut]"
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return text.replace("\0", "\ufffd") if "\0" in text else text
