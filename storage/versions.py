"""Versions of what a SCIM client sees: they step with whatever it would see otherwise, by set-based statements."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import bindparam, select, update

from directory.ids import GroupId, UserId
from storage.sets import in_set
from storage.tables import directory_group, directory_user, membership
from storage.types import Moment
from storage.view import View, is_own

_USERS = directory_user.c
_GROUPS = directory_group.c

_TOUCH_GROUPS = (
    update(directory_group)
    .values(version=_GROUPS.version + 1, updated_at=bindparam("at", type_=Moment))
    .where(in_set(_GROUPS.id, "group_ids"), is_own(_GROUPS.organisation_id))
)
_STEP_USERS_OF = (
    update(directory_user)
    .values(version=_USERS.version + 1)
    .where(
        _USERS.id.in_(select(membership.c.user_id).where(in_set(membership.c.group_id, "group_ids"))),
        is_own(_USERS.organisation_id),
    )
)
_STEP_GROUPS_OF = (
    update(directory_group)
    .values(version=_GROUPS.version + 1)
    .where(
        _GROUPS.id.in_(select(membership.c.group_id).where(in_set(membership.c.user_id, "user_ids"))),
        is_own(_GROUPS.organisation_id),
    )
)


class VersionsWriter(View):
    """Versions of users and groups."""

    def touch_groups(self, group_ids: Collection[GroupId], at: datetime) -> None:
        if group_ids:
            self._run(_TOUCH_GROUPS, group_ids=group_ids, at=at)

    def step_related_versions(self, *, users_of: Collection[GroupId], groups_of: Collection[UserId]) -> None:
        if users_of:
            self._run(_STEP_USERS_OF, group_ids=users_of)
        if groups_of:
            self._run(_STEP_GROUPS_OF, user_ids=groups_of)
