"""What the guard of pushing directories keeps: how much was taken away of late, and whose changes are staged."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Boolean, bindparam, delete, func, insert, literal, select, update

from directory.ids import DirectoryId, GroupId, MemberId
from provisioning.push_guard import PushWindow
from provisioning.state import StagedChange
from storage.sets import in_set
from storage.tables import directory_group, membership, pending_member, push_window, staged_change
from storage.types import Document, Id, Moment, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View, is_own

_WINDOWS = push_window.c
_STAGED = staged_change.c
_DIRECTORY = bindparam("in_directory", type_=Id)
_AT = bindparam("at", type_=Moment)
_WINDOW_OF_DIRECTORY = (_WINDOWS.organisation_id == ORGANISATION) & (_WINDOWS.directory_id == _DIRECTORY)
_STAGED_OF_ORGANISATION = _STAGED.organisation_id == ORGANISATION
_STAGED_IS_OWN = is_own(_STAGED.organisation_id)

_SELECT_WINDOW = select(
    _WINDOWS.directory_id,
    _WINDOWS.started_at,
    _WINDOWS.active_users,
    _WINDOWS.memberships,
    _WINDOWS.users_lost,
    _WINDOWS.memberships_lost,
    _WINDOWS.groups,
    _WINDOWS.crossed_at,
).where(_WINDOW_OF_DIRECTORY)
_UPDATE_WINDOW = (
    update(push_window)
    .values(
        started_at=bindparam("new_started_at", type_=Moment),
        active_users=bindparam("new_active_users"),
        memberships=bindparam("new_memberships"),
        users_lost=bindparam("new_users_lost"),
        memberships_lost=bindparam("new_memberships_lost"),
        groups=bindparam("new_groups", type_=Document),
        crossed_at=bindparam("new_crossed_at", type_=Moment),
    )
    .where(_WINDOW_OF_DIRECTORY)
)
_INSERT_WINDOW = insert(push_window)
_SELECT_SIZES = (
    select(membership.c.group_id, func.count())
    .join(directory_group, directory_group.c.id == membership.c.group_id)
    .where(in_set(membership.c.group_id, "group_ids"), is_own(directory_group.c.organisation_id))
    .group_by(membership.c.group_id)
)

_SELECT_STAGED = (
    select(_STAGED.member_id, _STAGED.directory_id, _STAGED.event_id, _STAGED.staged_at, _STAGED.is_rejected)
    .where(_STAGED_OF_ORGANISATION)
    .order_by(_STAGED.staged_at, _STAGED.member_id)
)
_SELECT_STAGED_OF_DIRECTORY = _SELECT_STAGED.where(_STAGED.directory_id == _DIRECTORY)
_STAGE_PENDING = insert(staged_change).from_select(
    ["member_id", "organisation_id", "directory_id", "staged_at", "is_rejected"],
    select(pending_member.c.member_id, ORGANISATION, _DIRECTORY, _AT, literal(False, type_=Boolean)).where(
        pending_member.c.organisation_id == ORGANISATION,
        ~select(_STAGED.member_id).where(_STAGED.member_id == pending_member.c.member_id).exists(),
    ),
)
_INSERT_STAGED = insert(staged_change)
_DELETE_STAGED = delete(staged_change).where(in_set(_STAGED.member_id, "member_ids"), _STAGED_IS_OWN)


def read_staged(row: Row) -> StagedChange:
    """Read a staged change: member, directory, event, moment, whether it is rejected."""
    return StagedChange(
        member_id=row[0],
        directory_id=row[1],
        event_id=row[2],
        staged_at=read_moment(row[3]),
        is_rejected=bool(row[4]),
    )


class PushGuardReader(View):
    """The guard of pushing directories as it stands."""

    def push_window(self, directory_id: DirectoryId) -> PushWindow | None:
        row = self._row(_SELECT_WINDOW, in_directory=directory_id)
        if row is None:
            return None
        groups: Mapping[GroupId, Sequence[int]] = read_document(row[6])
        return PushWindow(
            directory_id=row[0],
            started_at=read_moment(row[1]),
            active_users=row[2],
            memberships=row[3],
            users_lost=row[4],
            memberships_lost=row[5],
            groups={group_id: (size, lost) for group_id, (size, lost) in groups.items()},
            crossed_at=read_optional_moment(row[7]),
        )

    def sizes_of_groups(self, group_ids: Collection[GroupId]) -> dict[GroupId, int]:
        return dict(self._pair_rows(_SELECT_SIZES, group_ids=group_ids))

    def staged_changes(self, directory_id: DirectoryId | None = None) -> list[StagedChange]:
        rows = (
            self._rows(_SELECT_STAGED)
            if directory_id is None
            else self._rows(_SELECT_STAGED_OF_DIRECTORY, in_directory=directory_id)
        )
        return [read_staged(row) for row in rows]


class PushGuardWriter(PushGuardReader):
    """The guard of pushing directories as commands change it."""

    def save_push_window(self, window: PushWindow) -> None:
        values: dict[str, object] = {
            "started_at": window.started_at,
            "active_users": window.active_users,
            "memberships": window.memberships,
            "users_lost": window.users_lost,
            "memberships_lost": window.memberships_lost,
            "groups": dict(window.groups),
            "crossed_at": window.crossed_at,
        }
        moved = {f"new_{name}": value for name, value in values.items()}
        if not self._run(_UPDATE_WINDOW, in_directory=window.directory_id, **moved):
            self._insert(_INSERT_WINDOW, directory_id=window.directory_id, **values)

    def stage_pending(self, directory_id: DirectoryId, at: datetime) -> int:
        return self._run(_STAGE_PENDING, in_directory=directory_id, at=at)

    def put_staged(self, changes: Sequence[StagedChange]) -> None:
        self.end_staged([change.member_id for change in changes])
        rows = [
            {
                "member_id": change.member_id,
                "organisation_id": self._organisation_id,
                "directory_id": change.directory_id,
                "event_id": change.event_id,
                "staged_at": change.staged_at,
                "is_rejected": change.is_rejected,
            }
            for change in changes
        ]
        self._connection.execute(_INSERT_STAGED, rows)

    def end_staged(self, member_ids: Collection[MemberId]) -> None:
        self._run(_DELETE_STAGED, member_ids=member_ids)
