"""The touched slice of one directory while its changes are folded, and what each part of the fold needs of it."""

from dataclasses import dataclass, field

from audit.events import Target
from directory.facts import find_fault
from directory.ids import EventId, ExternalId, GroupId, MemberId, UserId
from provisioning.errors import Refusal, RefusalCode
from provisioning.staging import Removals
from provisioning.state import StoredDirectory, StoredGroup, StoredUser
from provisioning.work import PUSHED, Work


@dataclass(slots=True)
class Fold:
    """The touched slice of one directory, as the transaction has made it so far.

    `resolved`: the ids of the members whom some of the users make.
    """

    work: Work
    directory: StoredDirectory
    is_only_directory: bool
    users: dict[ExternalId, StoredUser]
    groups: dict[ExternalId, StoredGroup]
    new_users: dict[ExternalId, StoredUser] = field(default_factory=dict)
    changed_users: dict[ExternalId, StoredUser] = field(default_factory=dict)
    user_events: dict[ExternalId, EventId] = field(default_factory=dict)
    new_groups: dict[ExternalId, StoredGroup] = field(default_factory=dict)
    changed_groups: dict[ExternalId, StoredGroup] = field(default_factory=dict)
    group_events: dict[GroupId, EventId] = field(default_factory=dict)
    is_nesting_moved: bool = False
    edges: dict[tuple[GroupId, UserId], bool] = field(default_factory=dict)
    nesting: dict[tuple[GroupId, GroupId], bool] = field(default_factory=dict)
    renamed_users: set[UserId] = field(default_factory=set)
    cleared: dict[UserId, ExternalId] = field(default_factory=dict)
    by_user_id: dict[UserId, ExternalId] = field(default_factory=dict)
    was_active: dict[ExternalId, bool] = field(default_factory=dict)
    removals: Removals = field(default_factory=Removals)
    resolved: dict[ExternalId, MemberId] = field(default_factory=dict)

    @property
    def is_pushed(self) -> bool:
        return self.directory.kind == PUSHED

    def row_id(self, external_id: ExternalId) -> str:
        """The id of a new row: a SCIM client knows a resource by our id, which is its external id as well."""
        return external_id if self.is_pushed else self.work.mint.id()


def check_text(kind: str, external_id: str, what: str, text: str, *, is_name: bool = True) -> None:
    """Raises Refusal for a text that no database can keep."""
    fault = find_fault(text, is_name=is_name)
    if fault:
        message = f"the {what} of {kind} {external_id[:60]!r} {fault}; correct it in the directory"
        raise Refusal(RefusalCode.INVALID, message)


def user_target(user: StoredUser) -> Target:
    """The user as the subject of an event."""
    return Target("user", user.user_id, pii=user.pii_ref)


def name_of(user: StoredUser) -> str:
    """What people read of the user."""
    return user.display_name or user.user_name


def mail_of(user: StoredUser) -> str:
    """The primary address; empty when there is none."""
    return user.mails[0] if user.mails else ""
