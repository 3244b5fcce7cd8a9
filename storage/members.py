"""Members: the facts that decide their access, what they hold, and the ways to find them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    not_,
    select,
    union,
    update,
)

from directory.facts import name_key
from directory.ids import DirectoryId, ExternalId, GroupId, MemberId, OverrideId, RoleId, ScopeId, UserId
from mappings.access import ActiveOverride, LinkedUser, MemberFacts
from mappings.rules import Grant
from provisioning.state import MemberRecord, MemberUpdate, NewMember, OpenGrant, Seat
from storage.access import read_grant
from storage.bulk import BulkInsert, BulkUpdate
from storage.organisation import OrganisationReader
from storage.push_guard import read_staged
from storage.sets import in_set
from storage.tables import (
    access_interval,
    block,
    directory,
    directory_user,
    member,
    membership,
    override,
    staged_change,
)
from storage.types import (
    Document,
    Id,
    is_id,
    read_document,
    read_moment,
    read_optional_moment,
    read_pairs,
)
from storage.view import ORGANISATION, Row, is_own

_MEMBERS = member.c
_USERS = directory_user.c
_INTERVALS = access_interval.c
_MEMBER_OF_ORGANISATION = _MEMBERS.organisation_id == ORGANISATION
_MEMBER_IS_OWN = is_own(_MEMBERS.organisation_id)
_USER_OF_ORGANISATION = _USERS.organisation_id == ORGANISATION
_USER_IS_OWN = is_own(_USERS.organisation_id)
_IS_LIVE_MEMBER = _MEMBERS.deleted_at.is_(None)
_IS_LIVE_USER = _USERS.deleted_at.is_(None)
_IS_OPEN = _INTERVALS.closed_at.is_(None)
_MEMBER = bindparam("of_member", type_=Id)
_KEY = bindparam("text_key", type_=Text)
# Spelled out, not bound: the partial indexes say it too, and only so can be chosen.
_NO_TEXT: ColumnElement[str] = literal_column("''")
_WAITING: ColumnElement[str] = literal_column("'waiting'")
_LIMIT = bindparam("row_limit", type_=Integer)

_OWN_DIRECTORIES = select(directory.c.id).where(directory.c.organisation_id == ORGANISATION)

_SELECT_MEMBERS = (
    select(
        _MEMBERS.id,
        _MEMBERS.display_name,
        _MEMBERS.mail,
        _MEMBERS.pii_ref,
        _MEMBERS.is_active,
        _MEMBERS.seat,
        _MEMBERS.waiting_since,
        _MEMBERS.waiting_priority,
        _MEMBERS.waiting_order,
        _MEMBERS.is_held,
        _MEMBERS.deleted_at,
        _MEMBERS.deactivated_at,
        _MEMBERS.invited,
        block.c.member_id,
        override.c.id,
        override.c.grants,
        override.c.ends_at,
        staged_change.c.member_id,
        staged_change.c.directory_id,
        staged_change.c.event_id,
        staged_change.c.staged_at,
        staged_change.c.is_rejected,
    )
    .outerjoin(block, block.c.member_id == _MEMBERS.id)
    .outerjoin(override, (override.c.member_id == _MEMBERS.id) & override.c.ended_at.is_(None))
    .outerjoin(staged_change, staged_change.c.member_id == _MEMBERS.id)
    .where(in_set(_MEMBERS.id, "member_ids"), _MEMBER_IS_OWN)
)
_SELECT_USERS = select(_USERS.id, _USERS.member_id, _USERS.directory_id, _USERS.active).where(
    in_set(_USERS.member_id, "member_ids"), _USER_IS_OWN, _IS_LIVE_USER
)
_SELECT_USERS_WITH_ATTRIBUTES = _SELECT_USERS.add_columns(
    _USERS.attributes,
    _USERS.external_id,
    _USERS.user_name,
    _USERS.display_name,
    _USERS.given_name,
    _USERS.family_name,
    _USERS.mails,
    _USERS.client_id,
)
_SELECT_GROUPS = (
    select(membership.c.user_id, membership.c.group_id)
    .join(directory_user, _USERS.id == membership.c.user_id)
    .where(in_set(_USERS.member_id, "member_ids"), _USER_IS_OWN, _IS_LIVE_USER)
)
_SELECT_HELD = select(
    _INTERVALS.member_id,
    _INTERVALS.id,
    _INTERVALS.role,
    _INTERVALS.scope_id,
    _INTERVALS.source,
    _INTERVALS.rule_id,
    _INTERVALS.rule_version,
    _INTERVALS.group_id,
    _INTERVALS.override_id,
).where(in_set(_INTERVALS.member_id, "member_ids"), is_own(_INTERVALS.organisation_id), _IS_OPEN)
_LIVE_MEMBER_IDS = select(_MEMBERS.id).where(_MEMBER_OF_ORGANISATION, _IS_LIVE_MEMBER)
_SELECT_MEMBER_IDS = _LIVE_MEMBER_IDS.order_by(_MEMBERS.id).limit(_LIMIT)
_SELECT_MEMBER_IDS_AFTER = _SELECT_MEMBER_IDS.where(_MEMBERS.id > bindparam("after_member", type_=Id))
_SELECT_MEMBERS_BY_TEXT = union(
    _LIVE_MEMBER_IDS.where(_MEMBERS.mail_key == _KEY, _MEMBERS.mail_key != _NO_TEXT),
    select(_USERS.member_id).where(
        _USER_IS_OWN,
        _USERS.directory_id.in_(_OWN_DIRECTORIES),
        _USERS.user_name_key == _KEY,
        _IS_LIVE_USER,
    ),
    select(_USERS.member_id).where(
        _USER_OF_ORGANISATION, _USERS.mail_key == _KEY, _USERS.mail_key != _NO_TEXT, _IS_LIVE_USER
    ),
)
_SELECT_MEMBER_BY_ID = select(_MEMBERS.id).where(_MEMBER_IS_OWN, _MEMBERS.id == _MEMBER, _IS_LIVE_MEMBER)
# What a SCIM client pushed has one id, which is ours; its client knows it by another.
_IS_PULLED = _USERS.external_id != cast(_USERS.id, Text)
_SELECT_MEMBERS_BY_EXTERNAL_ID = union(
    select(_USERS.external_id, _USERS.member_id)
    .join(member, _MEMBERS.id == _USERS.member_id)
    .where(
        _USERS.directory_id.in_(_OWN_DIRECTORIES),
        in_set(_USERS.external_id, "external_ids", item=Text),
        _USER_IS_OWN,
        _IS_PULLED,
        _IS_LIVE_USER,
        _IS_LIVE_MEMBER,
    ),
    select(_USERS.client_id, _USERS.member_id)
    .join(member, _MEMBERS.id == _USERS.member_id)
    .where(
        _USERS.directory_id.in_(_OWN_DIRECTORIES),
        in_set(_USERS.client_id, "external_ids", item=Text),
        _USERS.client_id != _NO_TEXT,
        _USER_IS_OWN,
        _IS_LIVE_USER,
        _IS_LIVE_MEMBER,
    ),
)
_SELECT_MEMBERS_OF_DELETED = select(_USERS.client_id, _USERS.member_id).where(
    _USERS.directory_id == bindparam("in_directory", type_=Id),
    in_set(_USERS.client_id, "client_ids", item=Text),
    _USERS.client_id != _NO_TEXT,
    _USER_IS_OWN,
    _USERS.deleted_at.is_not(None),
)
_SELECT_MEMBERS_BY_MAIL = union(
    select(_USERS.mail_key, _USERS.member_id)
    .join(member, _MEMBERS.id == _USERS.member_id)
    .where(
        _USER_OF_ORGANISATION,
        in_set(_USERS.mail_key, "mail_keys", item=Text),
        _USERS.mail_key != _NO_TEXT,
        _IS_LIVE_USER,
        _IS_LIVE_MEMBER,
    ),
    select(_MEMBERS.mail_key, _MEMBERS.id).where(
        _MEMBER_OF_ORGANISATION,
        in_set(_MEMBERS.mail_key, "mail_keys", item=Text),
        _MEMBERS.mail_key != _NO_TEXT,
        _IS_LIVE_MEMBER,
    ),
)
_SELECT_DIRECTORIES_OF_MEMBERS = (
    select(_USERS.member_id, _USERS.directory_id)
    .distinct()
    .where(in_set(_USERS.member_id, "member_ids"), _USER_IS_OWN, _IS_LIVE_USER)
)
_IS_WAITING = _MEMBERS.seat == _WAITING
_SELECT_WAITING = (
    select(_MEMBERS.id)
    .where(_MEMBER_OF_ORGANISATION, _IS_WAITING)
    .order_by(_MEMBERS.waiting_priority, _MEMBERS.waiting_order, _MEMBERS.waiting_since, _MEMBERS.id)
    .limit(_LIMIT)
)
_SELECT_WAITING_BUT = _SELECT_WAITING.where(not_(in_set(_MEMBERS.id, "left_out")))
_COUNT_WAITING = select(func.count()).where(_MEMBER_OF_ORGANISATION, _IS_WAITING)
_SELECT_HELD_MEMBERS = select(_MEMBERS.id).where(_MEMBER_OF_ORGANISATION, _MEMBERS.is_held)

_INSERT_MEMBERS = BulkInsert(
    member,
    "id",
    "organisation_id",
    "display_name",
    "mail",
    "mail_key",
    "is_active",
    "seat",
    "invited",
    "pii_ref",
    "created_at",
)
_UPDATE_MEMBERS = BulkUpdate(
    member,
    "id",
    "is_active",
    "seat",
    "waiting_priority",
    "waiting_order",
    "waiting_since",
    "is_held",
    "deactivated_at",
    "deleted_at",
    set_once=("deleted_at",),
)
_UPDATE_PROFILES = BulkUpdate(member, "id", "display_name", "mail", "mail_key", "pii_ref")
_SET_INVITED = (
    update(member)
    .values(invited=bindparam("grants", type_=Document))
    .where(_MEMBER_IS_OWN, _MEMBERS.id == _MEMBER)
)


def _read_override(row: Row) -> ActiveOverride | None:
    if row[14] is None:
        return None
    return ActiveOverride(OverrideId(row[14]), read_pairs(read_document(row[15])), read_moment(row[16]))


def _filter_attributes(row: Row) -> Mapping[str, tuple[str, ...]]:
    """A user's attributes by SCIM path, its own columns among them; empty values are absent."""
    attributes: dict[str, tuple[str, ...]] = {
        name: tuple(values) for name, values in read_document(row[4]).items()
    }
    attributes["active"] = ("true",) if row[3] else ("false",)
    for path, value in zip(_COLUMN_PATHS, row[5:10], strict=True):
        if value:
            attributes[path] = (value,)
    if row[5] == row[0]:
        attributes.pop("externalId")
        if row[11]:
            attributes["externalId"] = (row[11],)
    mails = read_document(row[10])
    # A SCIM client's addresses stand in line with their types; the primary one need not be the first.
    if mails and "emails.value" not in attributes:
        attributes["emails.value"] = tuple(mails)
    return attributes


# Source: RFC 7643 sections 3.1 and 4.1, in the order of the columns that `_filter_attributes` reads.
_NO_ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType({})
# Looked up once for each person: calling the class takes ten times as long.
_SEATS = {seat.value: seat for seat in Seat}
_COLUMN_PATHS = ("externalId", "userName", "displayName", "name.givenName", "name.familyName")


class MembersReader(OrganisationReader):
    """Members as stored, and who they are among."""

    def member_records(
        self, member_ids: Collection[MemberId], *, with_attributes: bool = True
    ) -> dict[MemberId, MemberRecord]:
        if not member_ids:
            return {}
        users = self._linked_users(member_ids, with_attributes=with_attributes)
        held = self._held(member_ids)
        owner_id = self.organisation().owner_id
        records: dict[MemberId, MemberRecord] = {}
        for row in self._rows(_SELECT_MEMBERS, member_ids=member_ids):
            member_id = row[0]
            linked = tuple(users.get(member_id, ()))
            facts = MemberFacts(
                member_id,
                linked,
                member_id == owner_id,
                row[13] is not None,
                read_pairs(read_document(row[12])),
                _read_override(row),
            )
            records[member_id] = MemberRecord(
                facts,
                row[1],
                row[2],
                row[3],
                bool(row[4]),
                _SEATS[row[5]],
                read_optional_moment(row[6]),
                row[7],
                None if row[8] is None else -row[8],
                bool(row[9]),
                row[10] is not None,
                read_optional_moment(row[11]),
                bool(linked),
                tuple(held.get(member_id, ())),
                None if row[17] is None else read_staged(row[17:]),
            )
        return records

    def _linked_users(
        self, member_ids: Collection[MemberId], *, with_attributes: bool
    ) -> dict[MemberId, list[LinkedUser]]:
        groups: dict[UserId, list[GroupId]] = {}
        for user_id, group_id in self._rows(_SELECT_GROUPS, member_ids=member_ids):
            groups.setdefault(user_id, []).append(group_id)
        statement = _SELECT_USERS_WITH_ATTRIBUTES if with_attributes else _SELECT_USERS
        users: dict[MemberId, list[LinkedUser]] = {}
        for row in self._rows(statement, member_ids=member_ids):
            user_id = row[0]
            linked = LinkedUser(
                user_id,
                row[2],
                bool(row[3]),
                tuple(sorted(groups.get(user_id, ()))),
                _filter_attributes(row) if with_attributes else _NO_ATTRIBUTES,
            )
            users.setdefault(row[1], []).append(linked)
        return users

    def _held(self, member_ids: Collection[MemberId]) -> dict[MemberId, list[OpenGrant]]:
        # Most members hold the same few grants: each is built once.
        grants: dict[Row, Grant] = {}
        held: dict[MemberId, list[OpenGrant]] = {}
        for row in self._rows(_SELECT_HELD, member_ids=member_ids):
            what = row[2:]
            grant = grants.get(what)
            if grant is None:
                grant = grants[what] = read_grant(what)
            held.setdefault(row[0], []).append(OpenGrant(row[1], grant))
        return held

    def member_ids(self, after: MemberId | None, limit: int) -> list[MemberId]:
        if after is None:
            return self._ids(_SELECT_MEMBER_IDS, row_limit=limit)
        return self._ids(_SELECT_MEMBER_IDS_AFTER, row_limit=limit, after_member=after)

    def members_by_text(self, text: str) -> list[MemberId]:
        found = set(self._ids(_SELECT_MEMBERS_BY_TEXT, text_key=name_key(text)))
        if is_id(text):
            found.update(self._ids(_SELECT_MEMBER_BY_ID, of_member=text.lower()))
        return sorted(found)

    def members_by_external_id(self, external_ids: Collection[ExternalId]) -> dict[ExternalId, set[MemberId]]:
        return self._member_sets(_SELECT_MEMBERS_BY_EXTERNAL_ID, external_ids=external_ids)

    def members_of_deleted(
        self, directory_id: DirectoryId, client_ids: Collection[str]
    ) -> dict[str, set[MemberId]]:
        return self._member_sets(_SELECT_MEMBERS_OF_DELETED, in_directory=directory_id, client_ids=client_ids)

    def members_by_mail(self, mail_keys: Collection[str]) -> dict[str, set[MemberId]]:
        return self._member_sets(_SELECT_MEMBERS_BY_MAIL, mail_keys=mail_keys)

    def directories_of_members(self, member_ids: Collection[MemberId]) -> set[tuple[MemberId, DirectoryId]]:
        return set(self._pair_rows(_SELECT_DIRECTORIES_OF_MEMBERS, member_ids=member_ids))

    def waiting(self, limit: int, leaving_out: Collection[MemberId]) -> list[MemberId]:
        if not leaving_out:
            return self._ids(_SELECT_WAITING, row_limit=limit)
        return self._ids(_SELECT_WAITING_BUT, row_limit=limit, left_out=leaving_out)

    def count_waiting(self) -> int:
        return self._count(_COUNT_WAITING)

    def held_members(self) -> list[MemberId]:
        return sorted(self._ids(_SELECT_HELD_MEMBERS))

    def _ids(self, statement: Executable, **parameters: object) -> list[MemberId]:
        return [row[0] for row in self._rows(statement, **parameters)]

    def _member_sets(self, statement: Executable, **parameters: object) -> dict[Any, set[MemberId]]:
        found: dict[Any, set[MemberId]] = {}
        for key, member_id in self._rows(statement, **parameters):
            found.setdefault(key, set()).add(member_id)
        return found


class MembersWriter(MembersReader):
    """Members as commands change them."""

    def insert_members(self, members: Sequence[NewMember], at: datetime) -> None:
        organisation_id = self._organisation_id
        _INSERT_MEMBERS(
            self._connection,
            (
                (
                    new.member_id,
                    organisation_id,
                    new.display_name,
                    new.mail,
                    name_key(new.mail),
                    new.is_active,
                    Seat.NONE.value,
                    new.invited or None,
                    new.pii_ref,
                    at,
                )
                for new in members
            ),
        )

    def update_members(self, updates: Sequence[MemberUpdate], at: datetime) -> None:
        _UPDATE_MEMBERS(
            self._connection,
            self._organisation_id,
            (
                (
                    new.member_id,
                    new.is_active,
                    new.seat.value,
                    new.waiting_priority,
                    None if new.waiting_rank is None else -new.waiting_rank,
                    new.waiting_since,
                    new.is_held,
                    new.deactivated_at,
                    at if new.is_deleted else None,
                )
                for new in updates
            ),
        )

    def update_profiles(self, profiles: Sequence[tuple[MemberId, str, str, str]]) -> None:
        rows = ((member_id, name, mail, name_key(mail), ref) for member_id, name, mail, ref in profiles)
        _UPDATE_PROFILES(self._connection, self._organisation_id, rows)

    def set_invited(self, member_id: MemberId, grants: tuple[tuple[RoleId, ScopeId], ...]) -> None:
        self._run(_SET_INVITED, of_member=member_id, grants=grants or None)
