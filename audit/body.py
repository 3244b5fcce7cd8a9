"""An event as it is stored, for readers. Knows the wire shape only; `audit.render` writes it."""

from typing import NotRequired, TypedDict, cast

import orjson

from audit.errors import MalformedBodyError

SCHEMA_VERSION = 1


class DigestBody(TypedDict):
    """A value too large to be kept: SHA-256 and length in bytes of its canonical form."""

    sha256: str
    len: int


ScalarBody = str | int | bool | None
ValueBody = ScalarBody | list[str] | DigestBody


class ActorBody(TypedDict):
    """`type` is token, run, admin, support, login, api_key or system; `id` is that of the token, run ..."""

    type: str
    id: str
    directory: NotRequired[str]
    session: NotRequired[str]
    operator: NotRequired[bool]
    on_behalf_of: NotRequired[str]


class TargetBody(TypedDict):
    type: str
    id: str
    role: str
    pii: NotRequired[str]


class ChangeBody(TypedDict):
    path: str
    before: ValueBody
    after: ValueBody


class CauseBody(TypedDict):
    """Root and parent are both there, or the event is itself a root."""

    kind: str
    root: NotRequired[str]
    parent: NotRequired[str]
    rule_id: NotRequired[str]
    rule_version: NotRequired[int]
    group_id: NotRequired[str]
    run_id: NotRequired[str]
    scim_request_id: NotRequired[str]
    login_id: NotRequired[str]


class ReasonBody(TypedDict):
    code: str
    numbers: NotRequired[dict[str, ScalarBody | DigestBody]]


class ContextBody(TypedDict):
    """`address` is a reference to the address of whoever asked, as trusted proxies tell it."""

    address: NotRequired[str]
    request_id: NotRequired[str]


class EventBody(TypedDict):
    """`time` is RFC 3339 UTC in milliseconds; `salt` is hexadecimal. Empty optional parts are left out."""

    v: int
    id: str
    organisation: str
    time: str
    salt: str
    action: str
    outcome: str
    actor: ActorBody
    cause: CauseBody
    reason: NotRequired[ReasonBody]
    targets: NotRequired[list[TargetBody]]
    changes: NotRequired[list[ChangeBody]]
    context: NotRequired[ContextBody]


def parse_body(body: bytes) -> EventBody:
    """Read the stored bytes of one event.

    Only the schema version and the presence of the required parts are checked: the bytes came from
    `render_event`, and whether they still are those bytes is what the proofs are for. Unknown parts are kept.
    """
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as err:
        message = f"no JSON: {err}"
        raise MalformedBodyError(message) from err
    if not isinstance(value, dict):
        message = f"an event body is an object, not a {type(value).__name__}"
        raise MalformedBodyError(message)
    version: object = value.get("v")
    if version != SCHEMA_VERSION:
        message = f"schema version {version!r} is not read by this release; use one that writes it"
        raise MalformedBodyError(message)
    missing = sorted(EventBody.__required_keys__ - value.keys())
    if missing:
        message = f"an event body without {', '.join(missing)}"
        raise MalformedBodyError(message)
    return cast("EventBody", value)
