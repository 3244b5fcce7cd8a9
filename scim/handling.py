"""One SCIM request in, one answer out. Knows no web framework, so that a stored request can be handled again.

Parses what is asked, hands it to a reader or to the write path, and renders what comes back. Every expected fault
becomes a SCIM error; whatever else is raised is the server's own. Source: RFC 7644 section 3
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TypeAlias

from directory.ids import EventId, OrganisationId
from directory.schema import GROUP, USER, ResourceSchema
from provisioning.apply import Exchange, Rehearsal, apply_changes, open_rehearsal
from provisioning.commands import Applied, Command, Refused
from provisioning.models import ModelCache
from provisioning.ports import Clock, Mint, UnitOfWork
from provisioning.resources import ResourceReader
from provisioning.state import EventRow
from scim.answers import (
    MEDIA_TYPE,
    Answer,
    SCIMRequest,
    body_limit,
    check_media_type,
    is_read,
    render_error,
    settle,
)
from scim.bodies import parse_json, read_group, read_query_message, read_user
from scim.bulk import BulkOperation, BulkOutcome, read_bulk, run_bulk
from scim.callers import Caller
from scim.conditions import names_version, render_version
from scim.cursors import Sealer
from scim.discovery import Discovery
from scim.errors import (
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    NotImplementedHereError,
    SCIMError,
    TooLargeError,
)
from scim.exchanges import (
    CreateGroup,
    CreateUser,
    GroupExchange,
    PatchGroup,
    PatchUser,
    RemoveGroup,
    RemoveUser,
    ReplaceGroup,
    ReplaceUser,
    UserExchange,
    show_group,
)
from scim.operations import read_operations
from scim.profiles import Leniency
from scim.projection import Projection, read_projection
from scim.queries import GROUPS, USERS, Lister, ListRequest, read_list_request
from scim.refusals import explain_refusal
from scim.resources import PREFIX, WHOLE, Base, dump_json, user_document


@dataclass(frozen=True, slots=True)
class Parts:
    """What the process gives every request. `public_url` ends without a slash."""

    unit_of_work: Callable[[OrganisationId], UnitOfWork]
    clock: Clock
    mint: Mint
    models: ModelCache
    sealer: Sealer
    discovery: Discovery
    public_url: str


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, and whether it counts. In a `rehearsal` everything is worked out and nothing is kept."""

    parts: Parts
    caller: Caller
    request_id: str
    rehearsal: Rehearsal | None = None
    address: str = ""

    @property
    def base(self) -> Base:
        return Base(f"{self.parts.public_url}{PREFIX}/{self.caller.directory_id}")


def handle(request: SCIMRequest, context: Context, resources: ResourceReader | None) -> Answer:
    """Answer a request. `resources` is given for what `is_read` and stays open until the answer's body is read."""
    handler = _Handler(request, context, resources)
    try:
        answer = handler.answer()
    except SCIMError as error:
        answer = render_error(error)
    answer.events = tuple(handler.events)
    answer.foreseen = tuple(handler.foreseen)
    if handler.notes:
        answer.leniencies = tuple(sorted(handler.notes))
    return answer


def rehearse(request: SCIMRequest, context: Context) -> Answer:
    """Answer a request as `handle` would, keeping nothing. The body is whole; `foreseen` holds the events."""
    parts = context.parts
    unit_of_work = parts.unit_of_work(context.caller.organisation_id)
    if not is_read(request):
        with open_rehearsal(
            unit_of_work=unit_of_work, clock=parts.clock, mint=parts.mint, models=parts.models
        ) as rehearsal:
            return handle(request, replace(context, rehearsal=rehearsal), None)
    with unit_of_work.read() as reader:
        answer = handle(request, context, reader.resources(context.caller.directory_id))
        answer.body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        return answer


class _Handler:
    """The work on one request: what it asked, what it noted and what it changed."""

    __slots__ = ("caller", "context", "events", "foreseen", "notes", "parameters", "request", "resources")

    def __init__(self, request: SCIMRequest, context: Context, resources: ResourceReader | None) -> None:
        self.request = request
        self.context = context
        self.caller = context.caller
        self.resources = resources
        self.parameters: dict[str, object] = dict(request.query) if request.query else {}
        self.notes: set[Leniency] = set()
        self.events: list[EventId] = []
        self.foreseen: list[EventRow] = []

    def answer(self) -> Answer:
        if self.caller.is_paused:
            raise ForbiddenError(
                "this directory is paused, so nothing that is pushed to it is taken; resume it and push again"
            )
        segments = [segment for segment in self.request.path.split("/") if segment]
        methods = _ROUTES.get(_pattern(segments))
        if methods is None:
            raise NotFoundError(f"there is nothing at '/{self.request.path.strip('/')[:200]}'")
        method = "GET" if self.request.method == "HEAD" else self.request.method
        act = methods.get(method) or methods.get("*")
        if act is None:
            allowed = tuple(methods)
            raise MethodNotAllowedError(
                f"{method[:20]} is not possible here; possible are {', '.join(allowed)}", allowed
            )
        return act(self, segments)

    # What is read of the request

    def document(self) -> object:
        """The body as JSON. Raises UnsupportedMediaTypeError, TooLargeError or InvalidSyntaxError."""
        check_media_type(self.request.headers.get("content-type", ""))
        limit = body_limit(self.request.path)
        if len(self.request.body) > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes; send less at a time")
        return parse_json(self.request.body)

    def projection(self, schema: ResourceSchema) -> Projection:
        shows_ours = self.caller.profile.shows_ours
        if shows_ours and not self.parameters:
            return WHOLE
        return read_projection(
            str(self.parameters.get("attributes", "")),
            str(self.parameters.get("excludedAttributes", "")),
            schema,
            shows_ours=shows_ours,
        )

    @property
    def if_match(self) -> str:
        return self.request.headers.get("if-match", "")

    def is_unmoved(self, version: int) -> bool:
        tags = self.request.headers.get("if-none-match", "")
        return bool(tags) and names_version(tags, version)

    def reader(self) -> ResourceReader:
        assert self.resources is not None  # noqa: S101 - the edge gives a reader to what `is_read`
        return self.resources

    # Users

    def create_user(self, _: list[str]) -> Answer:
        exchange = self.write_user("POST", "", self.document(), self.projection(USER), self.if_match)
        return self.tell_user(exchange, HTTPStatus.CREATED)

    def show_user(self, segments: list[str]) -> Answer:
        projection = self.projection(USER)
        row = self.reader().user(
            segments[1], with_groups=projection.shows_groups, with_grants=projection.shows_grants
        )
        if row is None:
            raise NotFoundError(f"there is no user '{segments[1][:60]}' in this directory")
        headers = {"Content-Type": MEDIA_TYPE, "ETag": render_version(row.version)}
        if self.is_unmoved(row.version):
            return Answer(HTTPStatus.NOT_MODIFIED, headers)
        return Answer(HTTPStatus.OK, headers, dump_json(user_document(row, self.context.base, projection)))

    def replace_user(self, segments: list[str]) -> Answer:
        exchange = self.write_user("PUT", segments[1], self.document(), self.projection(USER), self.if_match)
        return self.tell_user(exchange, HTTPStatus.OK)

    def patch_user(self, segments: list[str]) -> Answer:
        exchange = self.write_user(
            "PATCH", segments[1], self.document(), self.projection(USER), self.if_match
        )
        return self.tell_user(exchange, HTTPStatus.OK)

    def delete_user(self, segments: list[str]) -> Answer:
        self.write_user("DELETE", segments[1], None, WHOLE, self.if_match)
        return Answer(HTTPStatus.NO_CONTENT)

    def write_user(
        self, method: str, user_id: str, document: object, projection: Projection, if_match: str
    ) -> UserExchange:
        """Do what a request says of a user; the exchange knows the user afterwards."""
        caller, base, notes = self.caller, self.context.base, self.notes
        exchange: CreateUser | ReplaceUser | PatchUser | RemoveUser
        if method == "POST":
            said = read_user(document, caller.profile, notes)
            fresh = self.context.parts.mint.id()
            exchange = CreateUser(caller, base, projection, "", notes, fresh, said=said)
        elif method == "PUT":
            said = read_user(document, caller.profile, notes)
            exchange = ReplaceUser(caller, base, projection, if_match, notes, user_id, said=said)
        elif method == "PATCH":
            operations = read_operations(document, USER, caller.profile, notes)
            exchange = PatchUser(caller, base, projection, if_match, notes, user_id, operations=operations)
        else:
            exchange = RemoveUser(caller, base, projection, if_match, notes, user_id)
        self.write(exchange)
        return exchange

    def tell_user(self, exchange: UserExchange, status: int) -> Answer:
        row = exchange.shown
        assert row is not None  # noqa: S101 - read in the transaction that wrote it
        headers = {"Content-Type": MEDIA_TYPE, "ETag": render_version(row.version)}
        if status == HTTPStatus.CREATED:
            headers["Location"] = exchange.base.user(row.user_id)
        return Answer(status, headers, dump_json(user_document(row, exchange.base, exchange.projection)))

    # Groups

    def create_group(self, _: list[str]) -> Answer:
        exchange = self.write_group("POST", "", self.document(), self.projection(GROUP), self.if_match)
        return self.tell_group(exchange, HTTPStatus.CREATED)

    def show_group(self, segments: list[str]) -> Answer:
        projection = self.projection(GROUP)
        row = self.reader().group(segments[1])
        if row is None:
            raise NotFoundError(f"there is no group '{segments[1][:60]}' in this directory")
        headers = {"Content-Type": MEDIA_TYPE, "ETag": render_version(row.version)}
        if self.is_unmoved(row.version):
            return Answer(HTTPStatus.NOT_MODIFIED, headers)
        pieces = show_group(self.reader(), row, self.context.base, projection)
        return Answer(HTTPStatus.OK, headers, settle(pieces))

    def replace_group(self, segments: list[str]) -> Answer:
        exchange = self.write_group(
            "PUT", segments[1], self.document(), self.projection(GROUP), self.if_match
        )
        return self.tell_group(exchange, HTTPStatus.OK)

    def patch_group(self, segments: list[str]) -> Answer:
        """204 without a body, as Entra wants it, unless the client asks for attributes."""
        wants_body = bool(self.parameters.get("attributes"))
        exchange = self.write_group(
            "PATCH",
            segments[1],
            self.document(),
            self.projection(GROUP),
            self.if_match,
            wants_body=wants_body,
        )
        return self.tell_group(exchange, HTTPStatus.OK if wants_body else HTTPStatus.NO_CONTENT)

    def delete_group(self, segments: list[str]) -> Answer:
        self.write_group("DELETE", segments[1], None, WHOLE, self.if_match)
        return Answer(HTTPStatus.NO_CONTENT)

    def write_group(
        self,
        method: str,
        group_id: str,
        document: object,
        projection: Projection,
        if_match: str,
        *,
        wants_body: bool = True,
    ) -> GroupExchange:
        """Do what a request says of a group; the exchange knows the group afterwards."""
        caller, base, notes = self.caller, self.context.base, self.notes
        exchange: CreateGroup | ReplaceGroup | PatchGroup | RemoveGroup
        if method == "POST":
            said = read_group(document, caller.profile, notes)
            fresh = self.context.parts.mint.id()
            exchange = CreateGroup(caller, base, projection, "", notes, fresh, wants_body, said=said)
        elif method == "PUT":
            said = read_group(document, caller.profile, notes)
            exchange = ReplaceGroup(
                caller, base, projection, if_match, notes, group_id, wants_body, said=said
            )
        elif method == "PATCH":
            operations = read_operations(document, GROUP, caller.profile, notes)
            exchange = PatchGroup(
                caller, base, projection, if_match, notes, group_id, wants_body, operations=operations
            )
        else:
            exchange = RemoveGroup(caller, base, projection, if_match, notes, group_id)
        self.write(exchange)
        return exchange

    def tell_group(self, exchange: GroupExchange, status: int) -> Answer:
        row = exchange.shown
        assert row is not None  # noqa: S101 - read in the transaction that wrote it
        headers = {"ETag": render_version(row.version)}
        if status != HTTPStatus.NO_CONTENT:
            headers["Content-Type"] = MEDIA_TYPE
        if status == HTTPStatus.CREATED:
            headers["Location"] = exchange.base.group(row.group_id)
        return Answer(status, headers, exchange.body)

    # Lists

    def list_users(self, _: list[str]) -> Answer:
        return self.tell_list(self.lister().list_type(USERS, read_list_request(self.parameters)))

    def search_users(self, _: list[str]) -> Answer:
        return self.tell_list(self.lister().list_type(USERS, self.search_request()))

    def list_groups(self, _: list[str]) -> Answer:
        return self.tell_list(self.lister().list_type(GROUPS, read_list_request(self.parameters)))

    def search_groups(self, _: list[str]) -> Answer:
        return self.tell_list(self.lister().list_type(GROUPS, self.search_request()))

    def search_everything(self, _: list[str]) -> Answer:
        return self.tell_list(self.lister().search_everything(self.search_request()))

    def search_request(self) -> ListRequest:
        return read_list_request(read_query_message(self.document()))

    def lister(self) -> Lister:
        parts = self.context.parts
        return Lister(
            self.reader(),
            self.context.base,
            self.caller.directory_id,
            parts.sealer,
            parts.clock(),
            shows_ours=self.caller.profile.shows_ours,
        )

    def tell_list(self, pieces: Iterator[bytes]) -> Answer:
        return Answer(HTTPStatus.OK, {"Content-Type": MEDIA_TYPE}, settle(pieces))

    # The rest

    def discover(self, segments: list[str]) -> Answer:
        """Source: RFC 7644 section 4: a filter is refused, paging and sorting are ignored."""
        if "filter" in self.parameters:
            raise ForbiddenError(
                "the discovery resources cannot be filtered; ask for all, or for one by its id"
            )
        document = self.context.parts.discovery.read(
            segments, self.context.base, shows_ours=self.caller.profile.shows_ours
        )
        if document is None:
            raise NotFoundError(f"there is no '{segments[-1][:200]}' among the {segments[0]}")
        return Answer(HTTPStatus.OK, {"Content-Type": MEDIA_TYPE}, document)

    def refuse_me(self, _: list[str]) -> Answer:
        """Source: RFC 7644 section 3.11"""
        raise NotImplementedHereError(
            "a bearer token belongs to a directory and to no user, so there is no /Me"
        )

    def do_bulk(self, _: list[str]) -> Answer:
        told = run_bulk(read_bulk(self.document()), self.perform)
        return Answer(HTTPStatus.OK, {"Content-Type": MEDIA_TYPE}, dump_json(told))

    def perform(self, operation: BulkOperation) -> BulkOutcome:
        """Do one operation of a bulk request. Its answer is without the resource. Source: RFC 7644 section 3.7.3"""
        segments = [segment for segment in operation.path.split("/") if segment]
        pattern = _pattern(segments)
        if pattern not in _BULK_METHODS:
            raise NotFoundError(f"a bulk operation cannot be about '/{operation.path[:200]}'")
        allowed = _BULK_METHODS[pattern]
        if operation.method not in allowed:
            raise MethodNotAllowedError(
                f"{operation.method} is not possible on '/{operation.path[:200]}'", allowed
            )
        resource_id = segments[1] if len(segments) > 1 else ""
        status = _BULK_STATUS[operation.method]
        exchange: UserExchange | GroupExchange
        if segments[0] == "Users":
            exchange = user = self.write_user(
                operation.method, resource_id, operation.data, _NOTHING, operation.version
            )
            resource_id, location = user.user_id, user.base.user(user.user_id)
        else:
            exchange = group = self.write_group(
                operation.method, resource_id, operation.data, _NOTHING, operation.version, wants_body=False
            )
            resource_id, location = group.group_id, group.base.group(group.group_id)
        version = "" if exchange.shown is None else render_version(exchange.shown.version)
        return BulkOutcome(status, location, version, resource_id)

    def write(self, exchange: Exchange) -> None:
        """Have the write path obey an exchange. Raises the error that tells of a refusal."""
        parts, caller = self.context.parts, self.caller
        command = Command(
            actor=caller.actor,
            changes=(),
            kind="scim_request",
            directory_id=caller.directory_id,
            request_id=self.context.request_id,
            address=self.context.address,
            refuse_when_full=True,
        )
        outcome: Applied | Refused
        if self.context.rehearsal is not None:
            outcome, rows = self.context.rehearsal.take(command, exchange)
            self.foreseen.extend(rows)
        else:
            outcome = apply_changes(
                command,
                unit_of_work=parts.unit_of_work(caller.organisation_id),
                clock=parts.clock,
                mint=parts.mint,
                models=parts.models,
                exchange=exchange,
            )
        if isinstance(outcome, Refused):
            if outcome.event_id:
                self.events.append(outcome.event_id)
            raise explain_refusal(outcome)
        self.events.extend(outcome.events)


_NOTHING = Projection(kept={})
_BULK_STATUS = {
    "POST": HTTPStatus.CREATED,
    "PUT": HTTPStatus.OK,
    "PATCH": HTTPStatus.OK,
    "DELETE": HTTPStatus.NO_CONTENT,
}
_BULK_METHODS = {
    "Users": ("POST",),
    "Users/*": ("PUT", "PATCH", "DELETE"),
    "Groups": ("POST",),
    "Groups/*": ("PUT", "PATCH", "DELETE"),
}
_Act: TypeAlias = Callable[[_Handler, list[str]], Answer]
_ROUTES: Mapping[str, Mapping[str, _Act]] = {
    "Users": {"GET": _Handler.list_users, "POST": _Handler.create_user},
    "Users/.search": {"POST": _Handler.search_users},
    "Users/*": {
        "GET": _Handler.show_user,
        "PUT": _Handler.replace_user,
        "PATCH": _Handler.patch_user,
        "DELETE": _Handler.delete_user,
    },
    "Groups": {"GET": _Handler.list_groups, "POST": _Handler.create_group},
    "Groups/.search": {"POST": _Handler.search_groups},
    "Groups/*": {
        "GET": _Handler.show_group,
        "PUT": _Handler.replace_group,
        "PATCH": _Handler.patch_group,
        "DELETE": _Handler.delete_group,
    },
    ".search": {"POST": _Handler.search_everything},
    "Bulk": {"POST": _Handler.do_bulk},
    "Me": {"*": _Handler.refuse_me},
    "ServiceProviderConfig": {"GET": _Handler.discover},
    "ResourceTypes": {"GET": _Handler.discover},
    "ResourceTypes/*": {"GET": _Handler.discover},
    "Schemas": {"GET": _Handler.discover},
    "Schemas/*": {"GET": _Handler.discover},
}
PATTERNS = tuple(_ROUTES)
"""Every path below the base; `*` stands for an id."""


def _pattern(segments: list[str]) -> str:
    if len(segments) == 2 and segments[1] != ".search":
        return f"{segments[0]}/*"
    return "/".join(segments)
