"""How much a pushing directory has taken away within the hour, and whether that is beyond its limits. Pure.

The limits are those of a pulled run: what would stop a plan there raises an alert here.
Source: docs/decisions/0012-pushed-guard.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from directory.ids import DirectoryId, GroupId
from provisioning.guard import GuardLimits, PlanCounts, crossed_limits

WINDOW = timedelta(hours=1)
"""How long removals are added up, from the first of them on."""

_NO_GROUPS: Mapping[GroupId, tuple[int, int]] = MappingProxyType({})
_QUIET = PlanCounts(
    users_read=0,
    users_stored=0,
    active_users_stored=0,
    removed_users=0,
    memberships_stored=0,
    removed_memberships=0,
    entries_read=0,
    entries_rejected=0,
)


@dataclass(frozen=True, slots=True)
class Crossing:
    """The limits that a window is beyond: that of users, that of memberships, and that of each of these groups."""

    users: bool = False
    memberships: bool = False
    groups: frozenset[GroupId] = frozenset()

    def __bool__(self) -> bool:
        return self.users or self.memberships or bool(self.groups)

    @property
    def limits(self) -> tuple[str, ...]:
        """The settings that say the limits, without their prefix."""
        crossed = {
            "group_loss_percent": bool(self.groups),
            "removed_memberships_percent": self.memberships,
            "removed_users": self.users,
        }
        return tuple(name for name, is_crossed in crossed.items() if is_crossed)


@dataclass(frozen=True, slots=True)
class PushWindow:
    """The removals of one directory since `started_at`; `active_users` and `memberships` were stored then.

    `groups` holds (size, members lost) of groups that are big enough to be guarded, the size from before the group's
    first loss in this window. `crossed_at`: when the first limit was crossed.
    """

    directory_id: DirectoryId
    started_at: datetime
    active_users: int
    memberships: int
    users_lost: int = 0
    memberships_lost: int = 0
    groups: Mapping[GroupId, tuple[int, int]] = field(default_factory=lambda: _NO_GROUPS)
    crossed_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether a removal of this moment still belongs to the window."""
        return now - self.started_at < WINDOW

    def minus(
        self, users: int, losses: Mapping[GroupId, int], sizes: Mapping[GroupId, int], limits: GuardLimits
    ) -> "PushWindow":
        """The window with further removals. `sizes` are from before them, of groups that the window does not hold."""
        groups = dict(self.groups)
        for group_id, lost in losses.items():
            size, lost_before = groups.get(group_id, (sizes.get(group_id, 0), 0))
            if size > limits.group_size:
                groups[group_id] = (size, lost_before + lost)
        return replace(
            self,
            users_lost=self.users_lost + users,
            memberships_lost=self.memberships_lost + sum(losses.values()),
            groups=groups,
        )

    def crossing(self, limits: GuardLimits) -> Crossing:
        """The limits that the window is beyond, each judged as that of a plan."""
        users = replace(_QUIET, active_users_stored=self.active_users, removed_users=self.users_lost)
        memberships = replace(
            _QUIET, memberships_stored=self.memberships, removed_memberships=self.memberships_lost
        )
        return Crossing(
            users=bool(crossed_limits(users, limits)),
            memberships=self.memberships_lost > limits.removed_memberships
            and bool(crossed_limits(memberships, limits)),
            groups=frozenset(
                group_id
                for group_id, (size, lost) in self.groups.items()
                if crossed_limits(replace(_QUIET, shrinking=((group_id, size, size - lost),)), limits)
            ),
        )
