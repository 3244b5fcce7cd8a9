"""When a directory brings somebody whom a login had made, what the login said of them ends for good.

Not only while the directory shows them: a person who is deleted there must not come back by what an old login said.
Source: docs/decisions/0019-saml-identity.md
"""

from collections.abc import Mapping
from dataclasses import replace

from audit.events import FieldChange, Reason, Target
from directory.ids import EventId, MemberId
from provisioning.fold import user_target
from provisioning.state import StoredUser
from provisioning.work import JUST_IN_TIME, Work


def take_over(work: Work, linked: Mapping[MemberId, EventId]) -> None:
    """End the users that logins made for these members, who are linked to a directory by these events from now on."""
    made = {one.directory_id for one in work.directories() if one.kind == JUST_IN_TIME}
    if not made:
        return
    users = [one for one in work.writer.users_of_members(linked.keys()) if one.directory_id in made]
    if not users:
        return
    by_id = {user.user_id: user for user in users}
    pairs = work.writer.groups_of_users(by_id.keys())
    for user in users:
        _record(work, "user.deleted", user, linked[user.member_id], FieldChange("active", user.active, False))
    for group_id, user_id in pairs:
        user = by_id[user_id]
        event_id = _record(
            work,
            "group.member_removed",
            user,
            linked[user.member_id],
            FieldChange("member", user_id, None),
            Target("group", group_id, role="object"),
        )
        work.group_causes[user.member_id, group_id] = event_id
    work.writer.update_users(
        [
            replace(
                user,
                active=False,
                fingerprint=b"",
                version=user.version + 1,
                updated_at=work.now,
                deleted_at=work.now,
            )
            for user in users
        ]
    )
    if pairs:
        work.writer.delete_memberships(pairs)


def _record(
    work: Work, action: str, user: StoredUser, parent: EventId, change: FieldChange, *further: Target
) -> EventId:
    return work.ledger.record(
        action, (user_target(user), *further), (change,), parent=parent, reason=Reason("taken_over")
    )
