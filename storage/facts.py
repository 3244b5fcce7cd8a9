"""What directories said: users, groups, memberships and nesting."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Text,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    union,
    update,
)

from directory.facts import name_key
from directory.ids import DirectoryId, ExternalId, GroupId, MemberId, UserId
from provisioning.state import StoredGroup, StoredUser
from storage.bulk import BulkInsert, BulkUpdate
from storage.resource_keys import ENTRY_KEY_COLUMNS, USER_KEY_COLUMNS, entry_rows, user_keys
from storage.sets import in_set, join_pairs, pair_set
from storage.tables import (
    directory,
    directory_group,
    directory_user,
    membership,
    scim_entry,
    scim_user,
    subgroup,
)
from storage.types import Id, Moment, document_text, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View, is_own

_Said = tuple[StoredUser, Mapping[str, object]]

_DIRECTORY = bindparam("in_directory", type_=Id)
_GROUP = bindparam("of_group", type_=Id)
_PAIRS = pair_set("pairs").alias("pair")

_USERS = directory_user.c
_GROUPS = directory_group.c
_IS_LIVE_USER = _USERS.deleted_at.is_(None)
_IS_LIVE_GROUP = _GROUPS.deleted_at.is_(None)

# What a SCIM client pushed has one id. Of anything else no document is looked up.
_IS_PUSHED_USER = _USERS.external_id == cast(_USERS.id, Text)
_RESOURCE = case(
    (_IS_PUSHED_USER, select(scim_user.c.resource).where(scim_user.c.id == _USERS.id).scalar_subquery())
)

_LIGHT: Mapping[str, ColumnElement[str]] = {
    "mails": literal_column("'[]'"),
    "attributes": literal_column("'{}'"),
}
_NO_RESOURCE: ColumnElement[str] = literal_column("NULL")

# The fields of StoredUser and StoredGroup, in their order.
_USER_COLUMNS = (
    _USERS.id,
    _USERS.directory_id,
    _USERS.external_id,
    _USERS.member_id,
    _USERS.user_name,
    _USERS.display_name,
    _USERS.given_name,
    _USERS.family_name,
    _USERS.mails,
    _USERS.dn,
    _USERS.attributes,
    _USERS.active,
    _USERS.fingerprint,
    _USERS.pii_ref,
    _USERS.absent_runs,
    _USERS.version,
    _USERS.created_at,
    _USERS.updated_at,
    _USERS.deleted_at,
    _USERS.client_id,
    _RESOURCE,
)
_GROUP_COLUMNS = (
    _GROUPS.id,
    _GROUPS.directory_id,
    _GROUPS.external_id,
    _GROUPS.display_name,
    _GROUPS.dn,
    _GROUPS.fingerprint,
    _GROUPS.version,
    _GROUPS.created_at,
    _GROUPS.updated_at,
    _GROUPS.deleted_at,
    _GROUPS.client_id,
)

_USER_IS_OWN = is_own(_USERS.organisation_id)
_GROUP_OF_ORGANISATION = _GROUPS.organisation_id == ORGANISATION
_GROUP_IS_OWN = is_own(_GROUPS.organisation_id)

_BY_EXTERNAL_ID = (
    _USER_IS_OWN,
    _USERS.directory_id == _DIRECTORY,
    in_set(_USERS.external_id, "external_ids", item=Text),
)
_SELECT_USERS_BY_EXTERNAL_ID = select(*_USER_COLUMNS).where(*_BY_EXTERNAL_ID)
# For the many who are only named as members of a group.
_SELECT_USERS_WITHOUT_DOCUMENTS = select(
    *(
        _LIGHT.get(column.key, column) if isinstance(column, Column) else _NO_RESOURCE
        for column in _USER_COLUMNS
    )
).where(*_BY_EXTERNAL_ID)
_SELECT_USERS_OF_MEMBERS = (
    select(*_USER_COLUMNS)
    .join(directory, directory.c.id == _USERS.directory_id)
    .where(_USER_IS_OWN, in_set(_USERS.member_id, "member_ids"), _IS_LIVE_USER)
    .order_by(directory.c.priority, _USERS.id)
)
_SELECT_GROUPS_BY_EXTERNAL_ID = select(*_GROUP_COLUMNS).where(
    _GROUP_IS_OWN,
    _GROUPS.directory_id == _DIRECTORY,
    in_set(_GROUPS.external_id, "external_ids", item=Text),
)
_SELECT_GROUPS_BY_ID = select(*_GROUP_COLUMNS).where(_GROUP_IS_OWN, in_set(_GROUPS.id, "group_ids"))
_SELECT_GROUPS_BY_NAME = (
    select(*_GROUP_COLUMNS)
    .where(_GROUP_OF_ORGANISATION, _GROUPS.name_key == bindparam("key"), _IS_LIVE_GROUP)
    .order_by(_GROUPS.id)
)
_SELECT_GROUP_SIZES = (
    select(_GROUPS.id, func.count())
    .join(membership, membership.c.group_id == _GROUPS.id)
    .where(_GROUP_OF_ORGANISATION, _IS_LIVE_GROUP)
    .group_by(_GROUPS.id)
)
_SELECT_GROUP_SIZES_OF_DIRECTORY = _SELECT_GROUP_SIZES.where(_GROUPS.directory_id == _DIRECTORY)
_SELECT_GROUPS_OF_USERS = (
    select(membership.c.group_id, membership.c.user_id)
    .join(directory_user, _USERS.id == membership.c.user_id)
    .where(_USER_IS_OWN, in_set(membership.c.user_id, "user_ids"))
    .order_by(membership.c.user_id, membership.c.group_id)
)
_SELECT_USERS_OF_GROUP = (
    select(_USERS.external_id, _USERS.id)
    .join(membership, membership.c.user_id == _USERS.id)
    .where(_USER_IS_OWN, membership.c.group_id == _GROUP)
)
_SELECT_NAMES_OF_MEMBERS = (
    select(_USERS.external_id, _USERS.dn)
    .join(membership, membership.c.user_id == _USERS.id)
    .where(_USER_IS_OWN, membership.c.group_id == _GROUP, _IS_LIVE_USER, _USERS.fingerprint != b"")
)
_SELECT_NAMES_OF_GROUPS = select(_GROUPS.external_id, _GROUPS.dn).where(
    _GROUP_IS_OWN, _GROUPS.directory_id == _DIRECTORY, _IS_LIVE_GROUP
)
_SELECT_NESTINGS_OF = select(subgroup.c.group_id, subgroup.c.subgroup_id).where(
    subgroup.c.organisation_id == ORGANISATION,
    or_(in_set(subgroup.c.group_id, "group_ids"), in_set(subgroup.c.subgroup_id, "group_ids")),
)
_NO_FINGERPRINT = b""
_SELECT_USER_FINGERPRINTS = select(_USERS.external_id, _USERS.fingerprint).where(
    _USER_IS_OWN, _USERS.directory_id == _DIRECTORY, _IS_LIVE_USER, _USERS.fingerprint != _NO_FINGERPRINT
)
_SELECT_GROUP_FINGERPRINTS = select(_GROUPS.external_id, _GROUPS.fingerprint).where(
    _GROUP_IS_OWN, _GROUPS.directory_id == _DIRECTORY, _IS_LIVE_GROUP
)
_SELECT_ABSENT_USERS = select(_USERS.external_id, _USERS.absent_runs).where(
    _USER_IS_OWN, _USERS.directory_id == _DIRECTORY, _IS_LIVE_USER, _USERS.absent_runs > 0
)
_SELECT_USERS_TO_DELETE = (
    select(_USERS.external_id)
    .where(
        _USER_IS_OWN,
        _USERS.directory_id == _DIRECTORY,
        _IS_LIVE_USER,
        ~_USERS.active,
        _USERS.fingerprint == _NO_FINGERPRINT,
        _USERS.updated_at < bindparam("before", type_=Moment),
    )
    .order_by(_USERS.updated_at, _USERS.external_id)
    .limit(bindparam("row_limit", type_=Integer))
)
_COUNT_USERS = select(func.count(), func.count().filter(_USERS.active)).where(
    _USER_IS_OWN, _USERS.directory_id == _DIRECTORY, _IS_LIVE_USER
)
_COUNT_GROUPS = select(func.count()).where(_GROUP_IS_OWN, _GROUPS.directory_id == _DIRECTORY, _IS_LIVE_GROUP)
_COUNT_MEMBERSHIPS = (
    select(func.count())
    .select_from(directory_group)
    .join(membership, membership.c.group_id == _GROUPS.id)
    .where(_GROUP_IS_OWN, _GROUPS.directory_id == _DIRECTORY, _IS_LIVE_GROUP)
)

_USER_FACTS = (
    "external_id",
    "member_id",
    "user_name",
    "user_name_key",
    "display_name",
    "given_name",
    "family_name",
    "mails",
    "mail_key",
    "dn",
    "attributes",
    "active",
    "fingerprint",
    "pii_ref",
    "absent_runs",
    "version",
    "created_at",
    "updated_at",
    "deleted_at",
    "client_id",
)
_GROUP_FACTS = (
    "external_id",
    "display_name",
    "name_key",
    "dn",
    "fingerprint",
    "version",
    "created_at",
    "updated_at",
    "deleted_at",
    "client_id",
)
_INSERT_USERS = BulkInsert(directory_user, "id", *_USER_FACTS, "organisation_id", "directory_id")
_UPDATE_USERS = BulkUpdate(directory_user, "id", *_USER_FACTS)
_INSERT_GROUPS = BulkInsert(directory_group, "id", *_GROUP_FACTS, "organisation_id", "directory_id")
_UPDATE_GROUPS = BulkUpdate(directory_group, "id", *_GROUP_FACTS)
_INSERT_RESOURCES = BulkInsert(
    scim_user, "id", "resource", *USER_KEY_COLUMNS, "organisation_id", "directory_id"
)
_UPDATE_RESOURCES = BulkUpdate(scim_user, "id", "resource", *USER_KEY_COLUMNS)
_INSERT_ENTRIES = BulkInsert(
    scim_entry, "user_id", "directory_id", "attribute", "position", "is_primary", *ENTRY_KEY_COLUMNS
)
_DELETE_RESOURCES = delete(scim_user).where(
    in_set(scim_user.c.id, "user_ids"), is_own(scim_user.c.organisation_id)
)
# Before the rows of the users go, which say whose the entries are.
_DELETE_ENTRIES = delete(scim_entry).where(
    in_set(scim_entry.c.user_id, "user_ids"),
    exists().where(scim_user.c.id == scim_entry.c.user_id, is_own(scim_user.c.organisation_id)),
)
_STEP_USERS = (
    update(directory_user)
    .values(version=_USERS.version + 1)
    .where(
        _USERS.id.in_(
            union(
                select(_USERS.id).where(in_set(_USERS.id, "user_ids")),
                select(_USERS.id).where(in_set(_USERS.member_id, "member_ids")),
            )
        ),
        _USER_IS_OWN,
        _IS_LIVE_USER,
        _IS_PUSHED_USER,
        not_(in_set(_USERS.id, "left_out")),
    )
)


def _group_is_own(group_id: ColumnElement[str]) -> ColumnElement[bool]:
    return exists().where(_GROUPS.id == group_id, _GROUP_IS_OWN)


# Pairs are asked one by one (EXISTS), not joined: SQLite may begin a join with the whole organisation.
_IS_PRESENT = exists().where(membership.c.group_id == _PAIRS.c.first, membership.c.user_id == _PAIRS.c.second)
_SELECT_PRESENT_MEMBERSHIPS = select(_PAIRS.c.first, _PAIRS.c.second).where(
    _IS_PRESENT, _group_is_own(_PAIRS.c.first)
)
_INSERT_MEMBERSHIPS = insert(membership).from_select(
    ["group_id", "user_id"],
    select(_PAIRS.c.first, _PAIRS.c.second).where(
        ~_IS_PRESENT,
        _group_is_own(_PAIRS.c.first),
        exists().where(_USERS.id == _PAIRS.c.second, _USER_IS_OWN),
    ),
)
_SET_ABSENT_RUNS = (
    update(directory_user)
    .values(absent_runs=bindparam("runs"))
    .where(
        _USER_IS_OWN,
        _USERS.directory_id == _DIRECTORY,
        in_set(_USERS.external_id, "external_ids", item=Text),
    )
)
_DELETE_MEMBERSHIPS = delete(membership).where(
    tuple_(membership.c.group_id, membership.c.user_id).in_(select(_PAIRS.c.first, _PAIRS.c.second)),
    _group_is_own(membership.c.group_id),
)
_DELETE_MEMBERSHIPS_OF_GROUP = delete(membership).where(
    membership.c.group_id == _GROUP, _group_is_own(membership.c.group_id)
)
_INSERT_SUBGROUPS = insert(subgroup).from_select(
    ["organisation_id", "group_id", "subgroup_id"],
    select(ORGANISATION, _PAIRS.c.first, _PAIRS.c.second).where(
        ~exists().where(subgroup.c.group_id == _PAIRS.c.first, subgroup.c.subgroup_id == _PAIRS.c.second),
        _group_is_own(_PAIRS.c.first),
        _group_is_own(_PAIRS.c.second),
    ),
)
_DELETE_SUBGROUPS = delete(subgroup).where(
    subgroup.c.organisation_id == ORGANISATION,
    tuple_(subgroup.c.group_id, subgroup.c.subgroup_id).in_(select(_PAIRS.c.first, _PAIRS.c.second)),
)
_DELETE_SUBGROUPS_OF_GROUP = delete(subgroup).where(
    subgroup.c.organisation_id == ORGANISATION,
    or_(subgroup.c.group_id == _GROUP, subgroup.c.subgroup_id == _GROUP),
)


def _read_user(row: Row) -> StoredUser:
    attributes = read_document(row[10])
    return StoredUser(
        user_id=row[0],
        directory_id=row[1],
        external_id=row[2],
        member_id=row[3],
        user_name=row[4],
        display_name=row[5],
        given_name=row[6],
        family_name=row[7],
        mails=tuple(read_document(row[8])),
        dn=row[9],
        attributes={name: tuple(values) for name, values in attributes.items()},
        active=bool(row[11]),
        fingerprint=row[12],
        pii_ref=row[13],
        absent_runs=row[14],
        version=row[15],
        created_at=read_moment(row[16]),
        updated_at=read_moment(row[17]),
        deleted_at=read_optional_moment(row[18]),
        client_id=row[19],
        resource=None if row[20] is None else orjson.loads(row[20]),
    )


def _read_group(row: Row) -> StoredGroup:
    return StoredGroup(
        group_id=row[0],
        directory_id=row[1],
        external_id=row[2],
        display_name=row[3],
        dn=row[4],
        fingerprint=row[5],
        version=row[6],
        created_at=read_moment(row[7]),
        updated_at=read_moment(row[8]),
        deleted_at=read_optional_moment(row[9]),
        client_id=row[10],
    )


def _user_facts(user: StoredUser) -> Row:
    return (
        user.external_id,
        user.member_id,
        user.user_name,
        name_key(user.user_name),
        user.display_name,
        user.given_name,
        user.family_name,
        user.mails,
        name_key(user.mails[0]) if user.mails else "",
        user.dn,
        user.attributes,
        user.active,
        user.fingerprint,
        user.pii_ref,
        user.absent_runs,
        user.version,
        user.created_at,
        user.updated_at,
        user.deleted_at,
        user.client_id,
    )


def _group_facts(group: StoredGroup) -> Row:
    return (
        group.external_id,
        group.display_name,
        name_key(group.display_name),
        group.dn,
        group.fingerprint,
        group.version,
        group.created_at,
        group.updated_at,
        group.deleted_at,
        group.client_id,
    )


def _resource_row(user: StoredUser, resource: Mapping[str, object]) -> Row:
    return (user.user_id, document_text(resource), *user_keys(resource))


class FactsReader(View):
    """Users, groups and memberships as stored."""

    def users_by_external_id(
        self,
        directory_id: DirectoryId,
        external_ids: Collection[ExternalId],
        *,
        with_documents: bool = True,
    ) -> dict[ExternalId, StoredUser]:
        statement = _SELECT_USERS_BY_EXTERNAL_ID if with_documents else _SELECT_USERS_WITHOUT_DOCUMENTS
        rows = self._rows(statement, in_directory=directory_id, external_ids=external_ids)
        return {row[2]: _read_user(row) for row in rows}

    def users_of_members(self, member_ids: Collection[MemberId]) -> list[StoredUser]:
        return [_read_user(row) for row in self._rows(_SELECT_USERS_OF_MEMBERS, member_ids=member_ids)]

    def groups_by_external_id(
        self, directory_id: DirectoryId, external_ids: Collection[ExternalId]
    ) -> dict[ExternalId, StoredGroup]:
        rows = self._rows(_SELECT_GROUPS_BY_EXTERNAL_ID, in_directory=directory_id, external_ids=external_ids)
        return {row[2]: _read_group(row) for row in rows}

    def groups_by_id(self, group_ids: Collection[GroupId]) -> dict[GroupId, StoredGroup]:
        return {row[0]: _read_group(row) for row in self._rows(_SELECT_GROUPS_BY_ID, group_ids=group_ids)}

    def groups_by_name(self, name: str) -> list[StoredGroup]:
        return [_read_group(row) for row in self._rows(_SELECT_GROUPS_BY_NAME, key=name_key(name))]

    def group_sizes(self, directory_id: DirectoryId | None = None) -> dict[GroupId, int]:
        if directory_id is None:
            return dict(self._pair_rows(_SELECT_GROUP_SIZES))
        return dict(self._pair_rows(_SELECT_GROUP_SIZES_OF_DIRECTORY, in_directory=directory_id))

    def present_memberships(self, pairs: Collection[tuple[GroupId, UserId]]) -> set[tuple[GroupId, UserId]]:
        return set(self._pair_rows(_SELECT_PRESENT_MEMBERSHIPS, pairs=join_pairs(pairs)))

    def groups_of_users(self, user_ids: Collection[UserId]) -> list[tuple[GroupId, UserId]]:
        return self._pair_rows(_SELECT_GROUPS_OF_USERS, user_ids=user_ids)

    def nestings_of(self, group_ids: Collection[GroupId]) -> set[tuple[GroupId, GroupId]]:
        return set(self._pair_rows(_SELECT_NESTINGS_OF, group_ids=group_ids))

    def user_ids_of_group(self, group_id: GroupId) -> dict[ExternalId, UserId]:
        return dict(self._pair_rows(_SELECT_USERS_OF_GROUP, of_group=group_id))

    def names_of_members(self, group_id: GroupId) -> dict[ExternalId, str]:
        return dict(self._pair_rows(_SELECT_NAMES_OF_MEMBERS, of_group=group_id))

    def names_of_groups(self, directory_id: DirectoryId) -> dict[ExternalId, str]:
        return dict(self._pair_rows(_SELECT_NAMES_OF_GROUPS, in_directory=directory_id))

    def fingerprints(self, directory_id: DirectoryId) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        with self._database.passing_through(self._connection):
            users = self._stream(_SELECT_USER_FINGERPRINTS, in_directory=directory_id)
            known_users: dict[bytes, bytes] = {external_id.encode(): mark for external_id, mark in users}
            groups = self._stream(_SELECT_GROUP_FINGERPRINTS, in_directory=directory_id)
            return known_users, {external_id.encode(): mark for external_id, mark in groups}

    def absent_users(self, directory_id: DirectoryId) -> dict[ExternalId, int]:
        with self._database.passing_through(self._connection):
            return dict(self._pair_rows(_SELECT_ABSENT_USERS, in_directory=directory_id))

    def users_to_delete(self, directory_id: DirectoryId, before: datetime, limit: int) -> list[ExternalId]:
        rows = self._rows(_SELECT_USERS_TO_DELETE, in_directory=directory_id, before=before, row_limit=limit)
        return [row[0] for row in rows]

    def counts(self, directory_id: DirectoryId) -> Mapping[str, int]:
        with self._database.passing_through(self._connection):
            ((users, active_users),) = self._rows(_COUNT_USERS, in_directory=directory_id)
            return {
                "users": users,
                "active_users": active_users,
                "groups": self._count(_COUNT_GROUPS, in_directory=directory_id),
                "memberships": self._count(_COUNT_MEMBERSHIPS, in_directory=directory_id),
            }


class FactsWriter(FactsReader):
    """Users, groups and memberships as a directory changes them."""

    def insert_users(self, users: Sequence[StoredUser]) -> None:
        organisation_id = self._organisation_id
        _INSERT_USERS(
            self._connection,
            ((user.user_id, *_user_facts(user), organisation_id, user.directory_id) for user in users),
        )
        said = [
            (user, user.resource) for user in users if user.resource is not None and user.deleted_at is None
        ]
        if said:
            self._insert_resources(said)
            self._insert_entries(said)

    def update_users(self, users: Sequence[StoredUser]) -> None:
        rows = ((user.user_id, *_user_facts(user)) for user in users)
        _UPDATE_USERS(self._connection, self._organisation_id, rows)
        pushed = [
            user for user in users if user.resource is not None or str(user.external_id) == user.user_id
        ]
        if pushed:
            self._put_resources(pushed)

    def _put_resources(self, users: Sequence[StoredUser]) -> None:
        said: list[_Said] = []
        silent: list[UserId] = []
        for user in users:
            if user.resource is None or user.deleted_at is not None:
                silent.append(user.user_id)
            else:
                said.append((user, user.resource))
        self._run(_DELETE_ENTRIES, user_ids=[user.user_id for user in users])
        if said:
            updates = [_resource_row(user, resource) for user, resource in said]
            if _UPDATE_RESOURCES(self._connection, self._organisation_id, updates) < len(updates):
                self._run(_DELETE_RESOURCES, user_ids=[user.user_id for user, _ in said])
                self._insert_resources(said)
            self._insert_entries(said)
        if silent:
            self._run(_DELETE_RESOURCES, user_ids=silent)

    def _insert_resources(self, said: Sequence[_Said]) -> None:
        organisation_id = self._organisation_id
        _INSERT_RESOURCES(
            self._connection,
            ((*_resource_row(user, resource), organisation_id, user.directory_id) for user, resource in said),
        )

    def _insert_entries(self, said: Sequence[_Said]) -> None:
        rows = [
            (user.user_id, user.directory_id, *row) for user, resource in said for row in entry_rows(resource)
        ]
        if rows:
            _INSERT_ENTRIES(self._connection, rows)

    def set_absent_runs(self, directory_id: DirectoryId, values: Mapping[ExternalId, int]) -> None:
        by_runs: dict[int, list[ExternalId]] = {}
        for external_id, runs in values.items():
            by_runs.setdefault(runs, []).append(external_id)
        for runs, external_ids in by_runs.items():
            self._run(_SET_ABSENT_RUNS, in_directory=directory_id, runs=runs, external_ids=external_ids)

    def insert_groups(self, groups: Sequence[StoredGroup]) -> None:
        organisation_id = self._organisation_id
        _INSERT_GROUPS(
            self._connection,
            ((group.group_id, *_group_facts(group), organisation_id, group.directory_id) for group in groups),
        )

    def update_groups(self, groups: Sequence[StoredGroup]) -> None:
        rows = ((group.group_id, *_group_facts(group)) for group in groups)
        _UPDATE_GROUPS(self._connection, self._organisation_id, rows)

    def insert_memberships(self, pairs: Sequence[tuple[GroupId, UserId]]) -> None:
        self._run(_INSERT_MEMBERSHIPS, pairs=join_pairs(dict.fromkeys(pairs)))

    def delete_memberships(self, pairs: Sequence[tuple[GroupId, UserId]]) -> None:
        self._run(_DELETE_MEMBERSHIPS, pairs=join_pairs(pairs))

    def clear_group(self, group_id: GroupId) -> int:
        self._run(_DELETE_SUBGROUPS_OF_GROUP, of_group=group_id)
        return self._run(_DELETE_MEMBERSHIPS_OF_GROUP, of_group=group_id)

    def insert_subgroups(self, pairs: Sequence[tuple[GroupId, GroupId]]) -> None:
        self._run(_INSERT_SUBGROUPS, pairs=join_pairs(dict.fromkeys(pairs)))

    def delete_subgroups(self, pairs: Sequence[tuple[GroupId, GroupId]]) -> None:
        self._run(_DELETE_SUBGROUPS, pairs=join_pairs(pairs))

    def step_versions(
        self,
        *,
        users: Collection[UserId],
        members: Collection[MemberId],
        leaving_out: Collection[UserId] = (),
    ) -> None:
        if users or members:
            self._run(_STEP_USERS, user_ids=users, member_ids=members, left_out=leaving_out)
