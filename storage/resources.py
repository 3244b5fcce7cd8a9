"""What a SCIM client is shown of its directory: users, groups and members, one by one and in lists.

Implements `provisioning.resources.ResourceReader`. A resource is read by one statement. A list is a statement that
finds the ids of a page and reads their rows, and one that counts where the page does not tell the number itself.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    ColumnElement,
    Executable,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    null,
    select,
)
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from directory.facts import name_key
from directory.ids import DirectoryId, GroupId, OrganisationId, UserId
from provisioning.resources import (
    Direction,
    GroupMember,
    GroupResource,
    MemberKinds,
    Page,
    Position,
    ResourceQuery,
    UserResource,
)
from provisioning.state import Seat
from storage.engine import Database
from storage.resource_columns import DIRECTORY, GROUP_COLUMNS, HAS_WAITING_CHANGE, USER_COLUMNS
from storage.resource_lists import Listed, Shape
from storage.resource_order import Order
from storage.resource_plans import Plan, plan_filter
from storage.sets import in_set
from storage.tables import (
    access_interval,
    directory_group,
    directory_user,
    member,
    membership,
    scim_user,
    scope,
    subgroup,
)
from storage.types import Id, read_document, read_moment
from storage.view import ORGANISATION, Row, View, checked, is_own

_USERS = directory_user.c
_GROUPS = directory_group.c
_DOCUMENTS = scim_user.c
_INTERVALS = access_interval.c
_MEMBERSHIPS = membership.c
_SUBGROUPS = subgroup.c

_CHUNK = 2_000
_SEATS = {seat.value: seat for seat in Seat}
_Resource = TypeVar("_Resource")


class _Rows(FunctionElement[str]):
    """All rows of a query as one JSON array of arrays; of none, NULL or an empty array."""

    type = Text()
    name = "rows_as_json"
    inherit_cache = True


@compiles(_Rows, "sqlite")
def _rows_sqlite(element: _Rows, compiler: SQLCompiler, **options: object) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"


@compiles(_Rows, "postgresql")
def _rows_postgresql(element: _Rows, compiler: SQLCompiler, **options: object) -> str:
    return f"json_agg(json_build_array({compiler.process(element.clauses, **options)}))"


_GROUPS_OF_USER = (
    select(_Rows(_GROUPS.id, _GROUPS.display_name))
    .select_from(membership)
    .join(directory_group, _GROUPS.id == _MEMBERSHIPS.group_id)
    .where(_MEMBERSHIPS.user_id == _USERS.id, _GROUPS.deleted_at.is_(None))
    .correlate(directory_user)
    .scalar_subquery()
)
_GRANTS_OF_USER = (
    select(_Rows(_INTERVALS.scope_id, _INTERVALS.role, func.coalesce(scope.c.name, "")))
    .select_from(access_interval)
    .outerjoin(scope, scope.c.id == _INTERVALS.scope_id)
    .where(
        _INTERVALS.member_id == _USERS.member_id,
        _INTERVALS.closed_at.is_(None),
        is_own(_INTERVALS.organisation_id),
    )
    .correlate(directory_user)
    .scalar_subquery()
)


def _user_columns(*, with_groups: bool, with_grants: bool) -> tuple[ColumnElement[Any], ...]:
    """What `_read_user` reads, in its order."""
    return (
        _USERS.id,
        _USERS.version,
        _USERS.created_at,
        _USERS.updated_at,
        _DOCUMENTS.resource,
        _USERS.member_id,
        member.c.seat,
        HAS_WAITING_CHANGE,
        _GROUPS_OF_USER if with_groups else null(),
        _GRANTS_OF_USER if with_grants else null(),
    )


def _pairs(value: object) -> Sequence[Sequence[Any]]:
    """Rows that a statement has put into one value, in order."""
    rows: list[list[Any]] = read_document(value) or []
    rows.sort()
    return rows


def _read_user(row: Row) -> UserResource:
    return UserResource(
        row[0],
        row[1],
        read_moment(row[2]),
        read_moment(row[3]),
        orjson.loads(row[4]),
        row[5],
        _SEATS[row[6]],
        bool(row[7]),
        tuple((group_id, name) for group_id, name in _pairs(row[8])) if row[8] else (),
        tuple((role, scope_id, name) for scope_id, role, name in _pairs(row[9])) if row[9] else (),
    )


_GROUP_COLUMNS: tuple[ColumnElement[Any], ...] = (
    _GROUPS.id,
    _GROUPS.client_id,
    _GROUPS.display_name,
    _GROUPS.version,
    _GROUPS.created_at,
    _GROUPS.updated_at,
)


def _read_group(row: Row) -> GroupResource:
    return GroupResource(row[0], row[1], row[2], row[3], read_moment(row[4]), read_moment(row[5]))


_IS_LIVE_USER = _USERS.deleted_at.is_(None)
_IS_LIVE_GROUP = _GROUPS.deleted_at.is_(None)
_USER_OF_DIRECTORY = and_(_USERS.directory_id == DIRECTORY, is_own(_USERS.organisation_id))
_GROUP_OF_DIRECTORY = and_(_GROUPS.directory_id == DIRECTORY, is_own(_GROUPS.organisation_id))
_KEY = bindparam("text_key", type_=Text)
_RESOURCE = bindparam("resource_id", type_=Text)
_GROUP = bindparam("of_group", type_=Id)
_NO_TEXT: ColumnElement[str] = literal_column("''", Text)


def _select_users(from_rows: FromClause, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    joined = from_rows.join(scim_user, _DOCUMENTS.id == _USERS.id)
    return select(*columns).select_from(joined.join(member, member.c.id == _USERS.member_id))


_BOOLEANS = (False, True)
_SELECT_USER = {
    (with_groups, with_grants): _select_users(
        directory_user, *_user_columns(with_groups=with_groups, with_grants=with_grants)
    ).where(_USER_OF_DIRECTORY, _IS_LIVE_USER, _USERS.external_id == _RESOURCE)
    for with_groups in _BOOLEANS
    for with_grants in _BOOLEANS
}
_SELECT_USER_NAMED = select(_USERS.id).where(_USER_OF_DIRECTORY, _IS_LIVE_USER, _USERS.user_name_key == _KEY)
_SELECT_GROUP = select(*_GROUP_COLUMNS).where(
    _GROUP_OF_DIRECTORY, _IS_LIVE_GROUP, _GROUPS.external_id == _RESOURCE
)
_SELECT_GROUPS_NAMED = (
    select(_GROUPS.id)
    .where(
        _GROUPS.organisation_id == ORGANISATION,
        _GROUPS.name_key == _KEY,
        checked(_GROUPS.directory_id) == DIRECTORY,
        _IS_LIVE_GROUP,
    )
    .order_by(_GROUPS.id)
)

_IS_OWN_GROUP = exists().where(_GROUPS.id == _GROUP, _GROUP_OF_DIRECTORY, _IS_LIVE_GROUP)
_DISPLAY = func.coalesce(func.nullif(_USERS.display_name, _NO_TEXT), _USERS.user_name)
_LIMIT = bindparam("row_limit", type_=Integer)
_AFTER = bindparam("after_id", type_=Id)
_SELECT_SOME_MEMBERS = (
    select(_MEMBERSHIPS.user_id, _DISPLAY)
    .join(directory_user, _USERS.id == _MEMBERSHIPS.user_id)
    .where(_MEMBERSHIPS.group_id == _GROUP, _MEMBERSHIPS.user_id > _AFTER, _IS_OWN_GROUP, _IS_LIVE_USER)
    .order_by(_MEMBERSHIPS.user_id)
    .limit(_LIMIT)
)
_CHILD = directory_group.alias("child")
_SELECT_SOME_SUBGROUPS = (
    select(_SUBGROUPS.subgroup_id, _CHILD.c.display_name)
    .join(_CHILD, _CHILD.c.id == _SUBGROUPS.subgroup_id)
    .where(
        _SUBGROUPS.group_id == _GROUP,
        _SUBGROUPS.subgroup_id > _AFTER,
        _IS_OWN_GROUP,
        is_own(_SUBGROUPS.organisation_id),
        _CHILD.c.deleted_at.is_(None),
    )
    .order_by(_SUBGROUPS.subgroup_id)
    .limit(_LIMIT)
)
# Found once, and not asked of each of the members.
_OWN_GROUPS = select(_GROUPS.id).where(
    in_set(_GROUPS.id, "group_ids"),
    checked(_GROUPS.directory_id) == DIRECTORY,
    is_own(_GROUPS.organisation_id),
    _IS_LIVE_GROUP,
)
_SELECT_MEMBERS_OF = (
    select(_MEMBERSHIPS.group_id, _MEMBERSHIPS.user_id, _DISPLAY)
    .join(directory_user, _USERS.id == _MEMBERSHIPS.user_id)
    .where(_MEMBERSHIPS.group_id.in_(_OWN_GROUPS), _IS_LIVE_USER)
    .order_by(_MEMBERSHIPS.group_id, _MEMBERSHIPS.user_id)
)
_SELECT_SUBGROUPS_OF = (
    select(_SUBGROUPS.group_id, _SUBGROUPS.subgroup_id, _CHILD.c.display_name)
    .join(_CHILD, _CHILD.c.id == _SUBGROUPS.subgroup_id)
    .where(
        _SUBGROUPS.group_id.in_(_OWN_GROUPS),
        is_own(_SUBGROUPS.organisation_id),
        _CHILD.c.deleted_at.is_(None),
    )
    .order_by(_SUBGROUPS.group_id, _SUBGROUPS.subgroup_id)
)
_SELECT_KNOWN_USERS = select(_USERS.id, _USERS.deleted_at.is_not(None)).where(
    _USER_OF_DIRECTORY, in_set(_USERS.external_id, "ids", item=Text)
)
_SELECT_KNOWN_GROUPS = select(_GROUPS.id).where(
    _GROUP_OF_DIRECTORY, _IS_LIVE_GROUP, in_set(_GROUPS.external_id, "ids", item=Text)
)
_SELECT_PRESENT_USERS = select(_MEMBERSHIPS.user_id).where(
    _MEMBERSHIPS.group_id == _GROUP, in_set(_MEMBERSHIPS.user_id, "ids"), _IS_OWN_GROUP
)
_SELECT_PRESENT_GROUPS = select(_SUBGROUPS.subgroup_id).where(
    _SUBGROUPS.group_id == _GROUP, in_set(_SUBGROUPS.subgroup_id, "ids"), _IS_OWN_GROUP
)
_SELECT_OTHER_USERS = (
    select(_MEMBERSHIPS.user_id)
    .where(_MEMBERSHIPS.group_id == _GROUP, not_(in_set(_MEMBERSHIPS.user_id, "ids")), _IS_OWN_GROUP)
    .order_by(_MEMBERSHIPS.user_id)
)
_SELECT_OTHER_GROUPS = (
    select(_SUBGROUPS.subgroup_id)
    .where(_SUBGROUPS.group_id == _GROUP, not_(in_set(_SUBGROUPS.subgroup_id, "ids")), _IS_OWN_GROUP)
    .order_by(_SUBGROUPS.subgroup_id)
)
# Scopes that have gone are named too, while somebody holds a grant there.
_SELECT_GRANT_NAMES = (
    select(_INTERVALS.role, _INTERVALS.scope_id, func.coalesce(scope.c.name, _NO_TEXT))
    .distinct()
    .select_from(access_interval)
    .outerjoin(scope, scope.c.id == _INTERVALS.scope_id)
    .where(_INTERVALS.organisation_id == ORGANISATION, _INTERVALS.closed_at.is_(None))
)
_OWN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEFORE_ALL_IDS = "00000000-0000-0000-0000-000000000000"


def _is_own_id(text: str) -> bool:
    """Whether a text can be one of our ids. Other texts are not asked for: a database may refuse them."""
    return _OWN_ID.fullmatch(text) is not None


def _select_user_rows(rows: FromClause, shape: Shape) -> Select[*tuple[Any, ...]]:
    columns = _user_columns(with_groups=shape.with_groups, with_grants=shape.with_grants)
    return _select_users(rows, *columns)


def _select_group_rows(rows: FromClause, _shape: Shape) -> Select[*tuple[Any, ...]]:
    return select(*_GROUP_COLUMNS).select_from(rows)


_LISTED_USERS = Listed(USER_COLUMNS, _select_user_rows, _read_user)
_LISTED_GROUPS = Listed(GROUP_COLUMNS, _select_group_rows, _read_group)
# Statements of longer filters are made anew each time: nobody asks them often, and a client could make them up.
_KEPT_VALUES = 8


class SQLResourceReader(View):
    """One SCIM directory of one organisation, in one transaction."""

    def __init__(
        self,
        database: Database,
        connection: Connection,
        organisation_id: OrganisationId,
        directory_id: DirectoryId,
    ) -> None:
        super().__init__(database, connection, organisation_id)
        self._directory_id = directory_id

    def user(
        self, user_id: str, *, with_groups: bool = True, with_grants: bool = True
    ) -> UserResource | None:
        if not _is_own_id(user_id):
            return None
        row = self._found(_SELECT_USER[with_groups, with_grants], resource_id=user_id)
        return _read_user(row[0]) if row else None

    def users(self, query: ResourceQuery) -> Page[UserResource]:
        return self._list(_LISTED_USERS, query)

    def user_named(self, user_name: str) -> UserId | None:
        rows = self._found(_SELECT_USER_NAMED, text_key=name_key(user_name))
        return rows[0][0] if rows else None

    def group(self, group_id: str) -> GroupResource | None:
        if not _is_own_id(group_id):
            return None
        rows = self._found(_SELECT_GROUP, resource_id=group_id)
        return _read_group(rows[0]) if rows else None

    def groups(self, query: ResourceQuery) -> Page[GroupResource]:
        return self._list(_LISTED_GROUPS, query)

    def groups_named(self, display_name: str) -> list[GroupId]:
        return [row[0] for row in self._found(_SELECT_GROUPS_NAMED, text_key=name_key(display_name))]

    def members(self, group_id: GroupId) -> Iterator[Sequence[GroupMember]]:
        if not _is_own_id(group_id):
            return
        for statement, is_group in ((_SELECT_SOME_MEMBERS, False), (_SELECT_SOME_SUBGROUPS, True)):
            after = _BEFORE_ALL_IDS
            while rows := self._found(statement, of_group=group_id, after_id=after, row_limit=_CHUNK):
                yield [GroupMember(member_id, display, is_group) for member_id, display in rows]
                if len(rows) < _CHUNK:
                    break
                after = rows[-1][0]

    def members_of(self, group_ids: Collection[GroupId]) -> Mapping[GroupId, Sequence[GroupMember]]:
        wanted = [group_id for group_id in group_ids if _is_own_id(group_id)]
        found: dict[GroupId, list[GroupMember]] = {}
        for statement, is_group in ((_SELECT_MEMBERS_OF, False), (_SELECT_SUBGROUPS_OF, True)):
            for group_id, member_id, display in self._found(statement, group_ids=wanted):
                found.setdefault(group_id, []).append(GroupMember(member_id, display, is_group))
        return found

    def classify(self, ids: Collection[str]) -> MemberKinds:
        wanted = {text for text in ids if _is_own_id(text)}
        users = self._found(_SELECT_KNOWN_USERS, ids=wanted) if wanted else []
        live = frozenset(user_id for user_id, is_deleted in users if not is_deleted)
        deleted = frozenset(user_id for user_id, is_deleted in users if is_deleted)
        left = wanted - live - deleted
        groups = (
            frozenset(row[0] for row in self._found(_SELECT_KNOWN_GROUPS, ids=left)) if left else frozenset()
        )
        known = live | deleted | groups
        return MemberKinds(
            live, groups, deleted, tuple(text for text in dict.fromkeys(ids) if text not in known)
        )

    def absent_from(self, group_id: GroupId, ids: Collection[str]) -> tuple[str, ...]:
        present = self._ids_in(group_id, ids, (_SELECT_PRESENT_USERS, _SELECT_PRESENT_GROUPS))
        known = {member_id for found in present for member_id in found}
        return tuple(text for text in dict.fromkeys(ids) if text not in known)

    def surplus_in(self, group_id: GroupId, ids: Collection[str]) -> tuple[list[UserId], list[GroupId]]:
        users, groups = self._ids_in(group_id, ids, (_SELECT_OTHER_USERS, _SELECT_OTHER_GROUPS))
        return [UserId(member_id) for member_id in users], [GroupId(member_id) for member_id in groups]

    def _ids_in(
        self, group_id: GroupId, ids: Collection[str], statements: tuple[Executable, Executable]
    ) -> list[list[str]]:
        if not _is_own_id(group_id):
            return [[], []]
        wanted = {text for text in ids if _is_own_id(text)}
        return [
            [row[0] for row in self._found(statement, of_group=group_id, ids=wanted)]
            for statement in statements
        ]

    def _found(self, statement: Executable, **parameters: object) -> list[Row]:
        """The rows of a statement about the directory."""
        return self._rows(statement, in_directory=self._directory_id, **parameters)

    # Lists

    def _list(self, listed: Listed[_Resource], query: ResourceQuery) -> Page[_Resource]:
        columns = listed.columns
        plan: Plan | None = None
        values: dict[str, object] = {}
        if query.filter is not None:
            plan, values = plan_filter(query.filter, columns, self._grant_names)
        after = query.after
        statements = listed.statements(
            Shape(
                plan,
                query.sort.text if query.sort else "",
                query.is_descending,
                None if after is None else after.direction,
                after is not None and after.key is not None,
                query.with_groups,
                query.with_grants,
            ),
            is_kept=len(values) <= _KEPT_VALUES,
        )
        order = statements.order
        rows: list[Row] = []
        if query.limit:
            place = {} if after is None else order.place(after)
            rows = self._found(
                statements.page, row_limit=query.limit + 1, row_skip=query.skip, **values, **place
            )
        shown = rows[: query.limit]
        has_more = len(rows) > len(shown)
        if after is None and query.limit and not has_more and (shown or not query.skip):
            total = query.skip + len(shown)
        elif not query.with_total:
            total = -1
        else:
            total = int(self._found(statements.count, **values)[0][0])
        is_backward = after is not None and after.direction is Direction.BACKWARD
        if is_backward:
            shown.reverse()
        has_before = has_more if is_backward else after is not None or query.skip > 0
        return Page(
            [listed.read(row) for row in shown],
            total,
            _position(order, shown[0], Direction.BACKWARD) if shown and has_before else None,
            _position(order, shown[-1], Direction.FORWARD) if shown and (has_more or is_backward) else None,
        )

    def _grant_names(self) -> Iterator[tuple[str, str, str]]:
        for role, scope_id, name in self._rows(_SELECT_GRANT_NAMES):
            yield role, scope_id, f"{role} @ {name}"


def _position(order: Order, row: Row, direction: Direction) -> Position:
    return Position(order.key_of(row[-1]), row[0], direction)


class ResourcesReader(View):
    """The SCIM directories of one organisation."""

    def resources(self, directory_id: DirectoryId) -> SQLResourceReader:
        return SQLResourceReader(self._database, self._connection, self._organisation_id, directory_id)
