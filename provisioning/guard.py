"""The limits that stop a pulled plan before it takes access away by mistake. Pure.

A directory's answer that makes many people disappear is more often a fault than a decision: an inference is guarded.
Source: docs/decisions/0007-guard.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Settings of one directory. Percentages are of what is stored on our side, never of what the source shows.

    So many `removed_memberships` of a pushing directory never count, whatever their part: in a small one a single
    membership is more than a fifth of all.
    """

    removed_users: int = 10
    removed_users_percent: int = 10
    group_size: int = 50
    group_loss_percent: int = 50
    removed_memberships: int = 10
    removed_memberships_percent: int = 20
    rejected_percent: int = 1


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """What a plan would do, in numbers. `removed_users` counts people deactivated, absent or disabled.

    `shrinking` holds (name, members before, members after) of stored groups that would lose members.
    """

    users_read: int
    users_stored: int
    active_users_stored: int
    removed_users: int
    memberships_stored: int
    removed_memberships: int
    entries_read: int
    entries_rejected: int
    shrinking: tuple[tuple[str, int, int], ...] = ()


GUARD_SETTINGS = ("absence_grace_runs", *(f"guard_{field.name}" for field in fields(GuardLimits)))
"""The settings of a directory that hold removals back, all whole numbers."""


def guard_limits(settings: Mapping[str, str | int | bool]) -> GuardLimits:
    """The limits of a directory: settings named `guard_<limit>` in place of the defaults."""
    given = {
        field.name: int(settings[f"guard_{field.name}"])
        for field in fields(GuardLimits)
        if f"guard_{field.name}" in settings
    }
    return GuardLimits(**given)


def crossed_limits(counts: PlanCounts, limits: GuardLimits) -> tuple[str, ...]:
    """The limits that the plan would cross, each as a sentence with its numbers; empty when it may be applied."""
    crossed: list[str] = []
    if counts.users_read == 0 and counts.users_stored > 0:
        crossed.append(f"no user was read while {counts.users_stored} are stored")
    allowed = max(limits.removed_users, counts.active_users_stored * limits.removed_users_percent // 100)
    if counts.removed_users > allowed:
        crossed.append(
            f"{counts.removed_users} of {counts.active_users_stored} active users would be deactivated; "
            f"the limit is {allowed}"
        )
    for name, before, after in counts.shrinking:
        if before > limits.group_size and (before - after) * 100 > before * limits.group_loss_percent:
            crossed.append(
                f"group '{name}' would shrink from {before} to {after} members; "
                f"the limit is a loss of {limits.group_loss_percent} %"
            )
    if counts.removed_memberships * 100 > counts.memberships_stored * limits.removed_memberships_percent:
        crossed.append(
            f"{counts.removed_memberships} of {counts.memberships_stored} memberships would end; "
            f"the limit is {limits.removed_memberships_percent} %"
        )
    if counts.entries_rejected * 100 > counts.entries_read * limits.rejected_percent:
        crossed.append(
            f"{counts.entries_rejected} of {counts.entries_read} entries were rejected; "
            f"the limit is {limits.rejected_percent} %"
        )
    return tuple(crossed)
