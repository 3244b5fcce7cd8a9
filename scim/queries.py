"""Lists: what was asked for, in a query or in the body of a `.search`, and the page that answers it.

Source: RFC 7644 sections 3.4.2 and 3.4.3; RFC 9865 section 2.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar, assert_never

from directory.errors import FilterSyntaxError
from directory.filters import And, Comparison, Filter, Not, Operator, Or, Present, ValuePath, parse_filter
from directory.schema import GROUP, USER, Kind, Mutability, Path, ResourceSchema
from provisioning.errors import UnfitFilterError
from provisioning.resources import (
    GroupResource,
    Page,
    ResourceQuery,
    ResourceReader,
    UserResource,
)
from scim.cursors import Mark, Question, Sealer, open_cursor, seal_cursor
from scim.errors import InvalidCountError, InvalidFilterError, InvalidPathError, InvalidValueError
from scim.limits import DEFAULT_COUNT, MAX_COUNT, MAX_FILTER_DEPTH, MAX_FILTER_LENGTH, MAX_FILTER_TERMS
from scim.projection import Projection, make_projection
from scim.resources import LIST_URN, Base, dump_json, stream_group, user_document

LAST_INDEX = 2**31 - 1
"""Numbers beyond are as good as this one: no list is longer."""

_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_GROUPS_AT_ONCE = 10
_MEMBERS_AT_ONCE = 1_000
_ALWAYS = Present("id")

_Row = TypeVar("_Row", UserResource, GroupResource)
_Other = TypeVar("_Other", UserResource, GroupResource)


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What a client wants to see. `count` None: it did not say; `cursor` None: it pages by index."""

    filter: str = ""
    attributes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    sort_by: str = ""
    is_descending: bool = False
    start_index: int = 1
    count: int | None = None
    cursor: str | None = None


def read_list_request(parameters: Mapping[str, object]) -> ListRequest:
    """Read the parameters of a query, as texts, or the members of a search message. Others are ignored."""
    if not parameters:
        return ListRequest()
    cursor = _text(parameters, "cursor") if parameters.get("cursor") is not None else None
    return ListRequest(
        filter=_text(parameters, "filter"),
        attributes=_names(parameters, "attributes"),
        excluded=_names(parameters, "excludedAttributes"),
        sort_by=_text(parameters, "sortBy"),
        is_descending=_read_order(_text(parameters, "sortOrder")),
        start_index=max(1, _number(parameters, "startIndex", 1)),
        count=_read_count(parameters, is_paging_by_cursor=cursor is not None),
        cursor=cursor,
    )


def _text(parameters: Mapping[str, object], name: str) -> str:
    value = parameters.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidValueError(f"{name} must be a text")
    return value


def _names(parameters: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = parameters.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(value.split(","))
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    raise InvalidValueError(f"{name} must be a list of attribute names")


def _number(parameters: Mapping[str, object], name: str, default: int) -> int:
    """A whole number from 0 to `LAST_INDEX`; what lies outside is moved to the end next to it."""
    value = parameters.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, 0), LAST_INDEX)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise InvalidValueError(f"{name} must be a whole number")
    if value.startswith("-"):
        return 0
    digits = value.lstrip("+0") or "0"
    return LAST_INDEX if len(digits) > len(str(LAST_INDEX)) else min(int(digits), LAST_INDEX)


def _read_count(parameters: Mapping[str, object], *, is_paging_by_cursor: bool) -> int | None:
    try:
        count = _number(parameters, "count", -1)
    except InvalidValueError as error:
        if is_paging_by_cursor:
            raise InvalidCountError(error.detail) from error
        raise
    return None if count < 0 else min(count, MAX_COUNT)


def _read_order(text: str) -> bool:
    order = text.lower()
    if order not in ("", "ascending", "descending"):
        raise InvalidValueError("sortOrder must be ascending or descending")
    return order == "descending"


def read_filter(text: str) -> Filter | None:
    """Parse a client's filter within the limits for clients; None for an empty one. Raises InvalidFilterError."""
    if not text.strip():
        return None
    try:
        return parse_filter(
            text, max_terms=MAX_FILTER_TERMS, max_length=MAX_FILTER_LENGTH, max_depth=MAX_FILTER_DEPTH
        )
    except FilterSyntaxError as error:
        raise InvalidFilterError(f"the filter cannot be read: {error}") from error


def find_sort(text: str, schema: ResourceSchema) -> Path | None:
    """The path that a list is to be sorted by; None for an empty text or an attribute unknown to the schema.

    Raises InvalidPathError for what has no order. Source: RFC 7644 section 3.4.2.3
    """
    path = schema.find(text) if text else None
    if path is None:
        return None
    if path.sub is None and path.attribute.is_multi_valued:
        path = replace(path, sub=path.attribute.sub_attribute("value"))
    leaf = path.leaf
    if leaf.kind in (Kind.COMPLEX, Kind.BINARY) or leaf.mutability is Mutability.WRITE_ONLY:
        raise InvalidPathError(f"there is no order by '{text}'; sort by an attribute with simple values")
    return path


@dataclass(frozen=True, slots=True)
class ResourceType(Generic[_Row]):
    """How one type of resource is listed."""

    name: str
    schema: ResourceSchema
    read: Callable[[ResourceReader, ResourceQuery], Page[_Row]]
    render: Callable[[ResourceReader, Sequence[_Row], Base, Projection], Iterator[bytes]]


def _read_users(reader: ResourceReader, query: ResourceQuery) -> Page[UserResource]:
    return reader.users(query)


def _read_groups(reader: ResourceReader, query: ResourceQuery) -> Page[GroupResource]:
    return reader.groups(query)


def _render_users(
    _reader: ResourceReader, rows: Sequence[UserResource], base: Base, projection: Projection
) -> Iterator[bytes]:
    if rows:
        yield dump_json([user_document(row, base, projection) for row in rows])[1:-1]


def _render_groups(
    reader: ResourceReader, rows: Sequence[GroupResource], base: Base, projection: Projection
) -> Iterator[bytes]:
    """The members of a few groups at a time are in memory, and one thousand of them as JSON."""
    is_first = True
    for start in range(0, len(rows), _GROUPS_AT_ONCE):
        batch = rows[start : start + _GROUPS_AT_ONCE]
        members = reader.members_of([row.group_id for row in batch]) if projection.shows_members else {}
        for row in batch:
            if not is_first:
                yield b","
            is_first = False
            found = members.get(row.group_id, ())
            chunks = (
                found[index : index + _MEMBERS_AT_ONCE] for index in range(0, len(found), _MEMBERS_AT_ONCE)
            )
            yield from stream_group(row, base, projection, chunks)


USERS = ResourceType("User", USER, _read_users, _render_users)
GROUPS = ResourceType("Group", GROUP, _read_groups, _render_groups)


@dataclass(frozen=True, slots=True)
class Lister:
    """Answers lists of one directory, within one read transaction.

    The answers are JSON in pieces; what is wrong with a request is raised before there is one. `shows_ours` as in
    a profile.
    """

    reader: ResourceReader
    base: Base
    directory_id: str
    sealer: Sealer
    now: datetime
    shows_ours: bool = True

    def list_type(self, kind: ResourceType[_Row], request: ListRequest) -> Iterator[bytes]:
        """One page of users or of groups."""
        projection = self._projection(request, kind.schema)
        sort = find_sort(request.sort_by, kind.schema)
        if request.sort_by and sort is None:
            raise InvalidPathError(f"a {kind.name} has no attribute '{request.sort_by}' to sort by")
        mark = self._begin(request, kind.name)
        query = ResourceQuery(
            filter=read_filter(request.filter),
            sort=sort,
            is_descending=request.is_descending,
            skip=request.start_index - 1 if request.cursor is None else 0,
            limit=mark.count,
            after=mark.position,
            with_groups=projection.shows_groups,
            with_grants=projection.shows_grants,
        )
        page = _read(kind, self.reader, query)
        if request.cursor is None:
            more: dict[str, object] = {"startIndex": request.start_index}
        else:
            following = Mark(mark.count, page.last) if page.last else None
            preceding = Mark(mark.count, page.first) if page.first else None
            more = self._cursors(self._question(request, kind.name), following, preceding)
        rows = kind.render(self.reader, page.rows, self.base, projection)
        return _frame(rows, page.total, len(page.rows), more)

    def search_everything(self, request: ListRequest) -> Iterator[bytes]:
        """One page of users and groups, users first. What a type does not have counts as absent there.

        Cursors lead forward only, which RFC 9865 section 2 allows. Source: RFC 7644 sections 3.4.2.1 and 3.4.3
        """
        mark = self._begin(request, "")
        user_projection = self._projection(request, USER)
        group_projection = self._projection(request, GROUP)
        user_query = _search_query(USERS, GROUPS, request, user_projection)
        group_query = _search_query(GROUPS, USERS, request, group_projection)
        is_among_groups = mark.resource_type == GROUPS.name
        users = _read(
            USERS,
            self.reader,
            replace(
                user_query,
                limit=0 if is_among_groups else mark.count,
                skip=request.start_index - 1 if request.cursor is None else 0,
                after=None if is_among_groups else mark.position,
            ),
        )
        left = mark.count - len(users.rows)
        groups = _read(
            GROUPS,
            self.reader,
            replace(
                group_query,
                limit=left,
                skip=max(0, request.start_index - 1 - users.total) if request.cursor is None else 0,
                after=mark.position if is_among_groups else None,
            ),
        )
        if request.cursor is None:
            more: dict[str, object] = {"startIndex": request.start_index}
        else:
            more = self._cursors(self._question(request, ""), _follow(mark.count, users, groups, left), None)
        rows = _join(
            USERS.render(self.reader, users.rows, self.base, user_projection),
            GROUPS.render(self.reader, groups.rows, self.base, group_projection),
        )
        return _frame(rows, users.total + groups.total, len(users.rows) + len(groups.rows), more)

    def _projection(self, request: ListRequest, schema: ResourceSchema) -> Projection:
        return make_projection(request.attributes, request.excluded, schema, shows_ours=self.shows_ours)

    def _question(self, request: ListRequest, type_name: str) -> Question:
        return Question(
            self.directory_id, type_name, request.filter, request.sort_by, is_descending=request.is_descending
        )

    def _begin(self, request: ListRequest, type_name: str) -> Mark:
        if not request.cursor:
            return Mark(DEFAULT_COUNT if request.count is None else request.count, None)
        question = self._question(request, type_name)
        return open_cursor(request.cursor, question, request.count, sealer=self.sealer, now=self.now)

    def _cursors(
        self, question: Question, following: Mark | None, preceding: Mark | None
    ) -> dict[str, object]:
        marks = {"nextCursor": following, "previousCursor": preceding}
        return {
            name: seal_cursor(question, mark, sealer=self.sealer, now=self.now)
            for name, mark in marks.items()
            if mark is not None
        }


def _read(kind: ResourceType[_Row], reader: ResourceReader, query: ResourceQuery) -> Page[_Row]:
    try:
        return kind.read(reader, query)
    except UnfitFilterError as error:
        raise InvalidFilterError(str(error)) from error


def _follow(count: int, users: Page[UserResource], groups: Page[GroupResource], left: int) -> Mark | None:
    """Where a search goes on; before the first group when the users have just filled a page."""
    if users.last is not None:
        return Mark(count, users.last, USERS.name)
    if groups.last is not None:
        return Mark(count, groups.last, GROUPS.name)
    return Mark(count, None, GROUPS.name) if count and not left and groups.total else None


def _search_query(
    kind: ResourceType[_Row], other: ResourceType[_Other], request: ListRequest, projection: Projection
) -> ResourceQuery:
    """What is asked of one type in a search over both."""
    sort = find_sort(request.sort_by, kind.schema)
    if request.sort_by and sort is None and find_sort(request.sort_by, other.schema) is None:
        raise InvalidPathError(f"no resource has an attribute '{request.sort_by}' to sort by")
    tree = read_filter(request.filter)
    return ResourceQuery(
        filter=None if tree is None else _restrict(tree, kind.schema, other.schema),
        sort=sort,
        is_descending=request.is_descending,
        with_groups=projection.shows_groups,
        with_grants=projection.shows_grants,
    )


def _restrict(tree: Filter, schema: ResourceSchema, other: ResourceSchema) -> Filter:
    """The filter with each term decided whose attribute only the other type has: it has no value here.

    Source: RFC 7644 section 3.4.2.1
    """
    match tree:
        case And(terms):
            return And(tuple(_restrict(term, schema, other) for term in terms))
        case Or(terms):
            return Or(tuple(_restrict(term, schema, other) for term in terms))
        case Not(inner):
            return Not(_restrict(inner, schema, other))
        case Comparison(path) | Present(path) | ValuePath(path):
            if schema.find(path) is not None or other.find(path) is None:
                # What neither type has is refused where the filter is compiled.
                return tree
            return _ALWAYS if _holds_when_absent(tree) else Not(_ALWAYS)
        case _:
            assert_never(tree)


def _holds_when_absent(term: Filter) -> bool:
    if not isinstance(term, Comparison):
        return False
    return (term.operator is Operator.NE) if term.value is not None else (term.operator is Operator.EQ)


def _join(first: Iterator[bytes], second: Iterator[bytes]) -> Iterator[bytes]:
    is_empty = True
    for piece in first:
        is_empty = False
        yield piece
    for piece in second:
        yield piece if is_empty else b"," + piece
        is_empty = True


def _frame(rows: Iterator[bytes], total: int, shown: int, more: Mapping[str, object]) -> Iterator[bytes]:
    """A list response around its resources. Source: RFC 7644 section 3.4.2"""
    head = {"schemas": [LIST_URN], "totalResults": total, "itemsPerPage": shown, **more}
    yield dump_json(head)[:-1] + b',"Resources":['
    yield from rows
    yield b"]}"
