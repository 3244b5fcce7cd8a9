"""Who holds what, and whose access must be worked out again."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    Insert,
    Integer,
    Select,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    union_all,
)

from directory.ids import DirectoryId, EventId, GroupId, MemberId, RoleId, ScopeId
from mappings.rules import Grant, Provenance, Source
from provisioning.state import (
    CloseInterval,
    HeldInterval,
    OpenGrant,
    OpenInterval,
    PendingMember,
)
from storage.bulk import BulkInsert, BulkUpdate
from storage.sets import in_set
from storage.tables import access_interval, directory_user, member, membership, pending_member
from storage.types import Document, Id, Moment, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View, is_own

_INTERVALS = access_interval.c
_PENDING = pending_member.c
_USERS = directory_user.c
_OF_ORGANISATION = _INTERVALS.organisation_id == ORGANISATION
_IS_OWN = is_own(_INTERVALS.organisation_id)
_IS_OPEN = _INTERVALS.closed_at.is_(None)
_HAS_ROLE = _INTERVALS.role == bindparam("of_role", type_=Text)
_AT_SCOPE = _INTERVALS.scope_id == bindparam("at_scope", type_=Id)
_OF_MEMBER = _INTERVALS.member_id == bindparam("of_member", type_=Id)
_MOMENT = bindparam("moment", type_=Moment)
_LIMIT = bindparam("row_limit", type_=Integer)

# What `read_grant` reads, in its order.
_GRANT_COLUMNS = (
    _INTERVALS.role,
    _INTERVALS.scope_id,
    _INTERVALS.source,
    _INTERVALS.rule_id,
    _INTERVALS.rule_version,
    _INTERVALS.group_id,
    _INTERVALS.override_id,
)

_SELECT_HOLDERS = (
    select(_INTERVALS.member_id)
    .where(_OF_ORGANISATION, _HAS_ROLE, _AT_SCOPE, _IS_OPEN)
    .order_by(_INTERVALS.member_id)
    .limit(_LIMIT)
)
# In the order of the index, or SQLite would take another one.
_SELECT_OPEN_GRANTS = (
    select(_INTERVALS.member_id, _INTERVALS.role, _INTERVALS.scope_id)
    .where(_OF_ORGANISATION, _IS_OPEN)
    .order_by(_INTERVALS.scope_id, _INTERVALS.role, _INTERVALS.member_id)
)
_SELECT_GRANTS_OF_MEMBER = (
    select(_INTERVALS.id, *_GRANT_COLUMNS).where(_IS_OWN, _OF_MEMBER, _IS_OPEN).order_by(_INTERVALS.id)
)
_SELECT_INTERVALS = select(
    _INTERVALS.id,
    _INTERVALS.member_id,
    _INTERVALS.opened_at,
    _INTERVALS.opened_event,
    _INTERVALS.closed_at,
    _INTERVALS.closed_event,
    *_GRANT_COLUMNS,
)
_SELECT_INTERVALS_AT = _SELECT_INTERVALS.where(
    _OF_ORGANISATION, _INTERVALS.opened_at <= _MOMENT, or_(_IS_OPEN, _INTERVALS.closed_at > _MOMENT)
).order_by(_INTERVALS.opened_at, _INTERVALS.id)
# Open and closed spans have an index each.
_SELECT_INTERVALS_OF_MEMBER = union_all(
    _SELECT_INTERVALS.where(_IS_OWN, _OF_MEMBER, _IS_OPEN),
    _SELECT_INTERVALS.where(_IS_OWN, _OF_MEMBER, _INTERVALS.closed_at.is_not(None)),
).order_by("id")

_PROVENANCE = ("source", "rule_id", "rule_version", "group_id", "override_id")
_OPEN_INTERVALS = BulkInsert(
    access_interval,
    "organisation_id",
    "member_id",
    "role",
    "scope_id",
    *_PROVENANCE,
    "opened_at",
    "opened_event",
)
_CLOSE_INTERVALS = BulkUpdate(access_interval, "id", "closed_at", "closed_event")
_RESTATE_INTERVALS = BulkUpdate(access_interval, "id", *_PROVENANCE)

_ENQUEUE_MEMBERS = BulkInsert(pending_member, "organisation_id", "member_id", "cause", ignore_present=True)


def _enqueue(members: Select[Any]) -> Insert:
    """Put every member that a query of ids gives into the queue, but for those who are in it."""
    found = members.subquery("found")
    member_id = found.c[0]
    present = exists().where(_PENDING.organisation_id == ORGANISATION, _PENDING.member_id == member_id)
    return insert(pending_member).from_select(
        ["organisation_id", "member_id", "cause"],
        select(ORGANISATION, member_id, bindparam("why", type_=Document)).where(~present),
    )


_LIVE_MEMBERS_WITH_USERS = (
    select(_USERS.member_id).distinct().where(is_own(_USERS.organisation_id), _USERS.deleted_at.is_(None))
)
_ENQUEUE_GROUPS = _enqueue(
    _LIVE_MEMBERS_WITH_USERS.join(membership, membership.c.user_id == _USERS.id).where(
        in_set(membership.c.group_id, "group_ids")
    )
)
_ENQUEUE_DIRECTORIES = _enqueue(_LIVE_MEMBERS_WITH_USERS.where(in_set(_USERS.directory_id, "directory_ids")))
_ENQUEUE_EVERYONE = _enqueue(
    select(member.c.id).where(member.c.organisation_id == ORGANISATION, member.c.deleted_at.is_(None))
)
_COUNT_PENDING = select(func.count()).where(_PENDING.organisation_id == ORGANISATION)
_SELECT_PENDING = (
    select(_PENDING.member_id, _PENDING.cause)
    .where(_PENDING.organisation_id == ORGANISATION)
    .order_by(_PENDING.member_id)
    .limit(_LIMIT)
)
_DELETE_PENDING = delete(pending_member).where(
    _PENDING.organisation_id == ORGANISATION, in_set(_PENDING.member_id, "member_ids")
)


def read_grant(row: Row) -> Grant:
    """Read a grant from role, scope, source, rule, its version, group and override."""
    role, scope_id, source, rule_id, rule_version, group_id, override_id = row
    return Grant(role, scope_id, Provenance(Source(source), rule_id, rule_version, group_id, override_id))


def _read_interval(row: Row) -> HeldInterval:
    return HeldInterval(
        member_id=row[1],
        grant=read_grant(row[6:]),
        opened_at=read_moment(row[2]),
        opened_event=row[3],
        closed_at=read_optional_moment(row[4]),
        closed_event=row[5],
    )


def _provenance(grant: Grant) -> Row:
    provenance = grant.provenance
    return (
        provenance.source.value,
        provenance.rule_id,
        provenance.rule_version,
        provenance.group_id,
        provenance.override_id,
    )


class AccessReader(View):
    """Grants held now and at any moment before."""

    def holders(self, role: RoleId, scope_id: ScopeId, limit: int) -> list[MemberId]:
        rows = self._rows(_SELECT_HOLDERS, of_role=role, at_scope=scope_id, row_limit=limit)
        return [row[0] for row in rows]

    def open_grants(self) -> Iterator[tuple[MemberId, RoleId, ScopeId]]:
        return cast("Iterator[tuple[MemberId, RoleId, ScopeId]]", self._stream(_SELECT_OPEN_GRANTS))

    def grants_of(self, member_id: MemberId) -> list[OpenGrant]:
        rows = self._rows(_SELECT_GRANTS_OF_MEMBER, of_member=member_id)
        return [OpenGrant(row[0], read_grant(row[1:])) for row in rows]

    def intervals_at(self, moment: datetime) -> Iterator[HeldInterval]:
        for row in self._stream(_SELECT_INTERVALS_AT, moment=moment):
            yield _read_interval(row)

    def intervals_of(self, member_id: MemberId) -> list[HeldInterval]:
        rows = self._rows(_SELECT_INTERVALS_OF_MEMBER, of_member=member_id)
        return [_read_interval(row) for row in rows]


class AccessWriter(AccessReader):
    """Grants as they begin and end, and the queue of members whose access must be worked out."""

    def open_intervals(self, intervals: Sequence[OpenInterval], at: datetime) -> None:
        organisation_id = self._organisation_id
        _OPEN_INTERVALS(
            self._connection,
            (
                (
                    organisation_id,
                    opened.member_id,
                    opened.grant.role,
                    opened.grant.scope_id,
                    *_provenance(opened.grant),
                    at,
                    opened.event_id,
                )
                for opened in intervals
            ),
        )

    def close_intervals(self, intervals: Sequence[CloseInterval], at: datetime) -> None:
        rows = ((closed.interval_id, at, closed.event_id) for closed in intervals)
        _CLOSE_INTERVALS(self._connection, self._organisation_id, rows)

    def restate_intervals(self, intervals: Sequence[OpenGrant]) -> None:
        rows = ((held.interval_id, *_provenance(held.grant)) for held in intervals)
        _RESTATE_INTERVALS(self._connection, self._organisation_id, rows)

    def enqueue_members(self, members: Sequence[PendingMember]) -> None:
        organisation_id = self._organisation_id
        _ENQUEUE_MEMBERS(
            self._connection,
            (
                (organisation_id, pending.member_id, _cause(pending.kind, pending.root, pending.parent))
                for pending in members
            ),
        )

    def enqueue_groups(
        self, group_ids: Collection[GroupId], *, kind: str, root: EventId, parent: EventId
    ) -> int:
        return self._run(_ENQUEUE_GROUPS, group_ids=group_ids, why=_cause(kind, root, parent))

    def enqueue_directories(
        self, directory_ids: Collection[DirectoryId], *, kind: str, root: EventId, parent: EventId
    ) -> int:
        return self._run(_ENQUEUE_DIRECTORIES, directory_ids=directory_ids, why=_cause(kind, root, parent))

    def enqueue_everyone(self, *, kind: str, root: EventId, parent: EventId) -> int:
        return self._run(_ENQUEUE_EVERYONE, why=_cause(kind, root, parent))

    def count_pending(self) -> int:
        return self._count(_COUNT_PENDING)

    def take_pending(self, limit: int) -> list[PendingMember]:
        rows = self._rows(_SELECT_PENDING, row_limit=limit)
        if rows:
            self._run(_DELETE_PENDING, member_ids=[row[0] for row in rows])
        return [PendingMember(member_id, **read_document(cause)) for member_id, cause in rows]


def _cause(kind: str, root: EventId, parent: EventId) -> dict[str, str]:
    return {"kind": kind, "root": root, "parent": parent}
