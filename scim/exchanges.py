"""Requests that write, as exchanges with the write path: what is stored in, what is to change out.

Each is worked out under the organisation's lock, so that two requests about one resource queue and none is lost.
A request that changes nothing says nothing. Source: RFC 7644 sections 3.3, 3.5 and 3.6.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from directory.changes import (
    AddMembers,
    AddSubgroups,
    Change,
    DeleteGroup,
    DeleteUser,
    PutGroup,
    PutUser,
    RemoveMembers,
    RemoveSubgroups,
)
from directory.facts import name_key
from directory.filters import Filter
from directory.ids import ExternalId, GroupId, UserId
from directory.schema import Mutability, entries_of
from provisioning.ports import Reader
from provisioning.resources import GroupResource, MemberKinds, ResourceReader, UserResource
from scim.bodies import GroupSaid, UserSaid
from scim.callers import Caller
from scim.conditions import check_version
from scim.errors import InvalidValueError, NotFoundError, UniquenessError
from scim.facts import group_facts, user_facts
from scim.members import MEMBERS, MemberChange, fold_steps
from scim.operations import Operation
from scim.patch import patch_group, patch_user
from scim.paths import compile_entry_filter
from scim.profiles import Leniency
from scim.projection import Projection
from scim.resources import Base, dump_json, group_document, member_entry, stream_group, user_document

_NAMED_MEMBERS = 10


@dataclass(slots=True)
class UserExchange:
    """What every request about one user has. `shown` is the user as it is after the request."""

    caller: Caller
    base: Base
    projection: Projection
    if_match: str = ""
    notes: set[Leniency] = field(default_factory=set)
    user_id: str = ""
    shown: UserResource | None = None

    def conclude(self, reader: Reader) -> None:
        resources = reader.resources(self.caller.directory_id)
        self.shown = resources.user(
            self.user_id,
            with_groups=self.projection.shows_groups,
            with_grants=self.projection.shows_grants,
        )

    def find(self, resources: ResourceReader, *, with_computed: bool = False) -> UserResource:
        """The user as it is before the request, in the version that the client may have named."""
        row = resources.user(self.user_id, with_groups=with_computed, with_grants=with_computed)
        if row is None:
            raise NotFoundError(f"there is no user '{self.user_id[:60]}' in this directory")
        self.user_id = row.user_id
        check_version(self.if_match, row.version)
        return row

    def say(
        self, reader: Reader, resource: Mapping[str, object], stored: UserResource | None
    ) -> tuple[Change, ...]:
        """The change that makes the user as given; none when it is so already."""
        if stored is not None and dict(stored.resource) == resource:
            return ()
        if self.caller.refuses_foreign_domains:
            known = set[str]() if stored is None else _addresses(stored.resource)
            _check_domains(_addresses(resource) - known, reader.domains())
        facts = user_facts(UserId(self.user_id), resource, bool(resource["active"]))
        return (PutUser(facts, is_new=stored is None),)

    def check_name_free(self, resources: ResourceReader, user_name: str) -> None:
        holder = resources.user_named(user_name)
        if holder is not None and holder != self.user_id:
            raise _taken(user_name, holder)


@dataclass(slots=True)
class CreateUser(UserExchange):
    """POST. `user_id` is the id for a new user; an inactive one of the same names may be brought back instead."""

    said: UserSaid = field(kw_only=True)

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        resources = reader.resources(self.caller.directory_id)
        active = True if self.said.active is None else self.said.active
        resource = {**self.said.resource, "active": active}
        user_name = str(resource["userName"])
        holder = resources.user_named(user_name)
        stored = None
        if holder is not None:
            stored = resources.user(holder, with_groups=False, with_grants=False)
            if stored is None or not self._may_restore(stored, resource):
                raise _taken(user_name, holder)
            self.notes.add(Leniency.RESTORE_INACTIVE)
            self.user_id = holder
        return self.say(reader, resource, stored)

    def _may_restore(self, stored: UserResource, resource: Mapping[str, object]) -> bool:
        """A 409 would lock the person out for good. Source: better-auth issue 11111"""
        return (
            self.caller.profile.allows(Leniency.RESTORE_INACTIVE)
            and stored.resource.get("active") is False
            and stored.resource.get("externalId") == resource.get("externalId")
        )


@dataclass(slots=True)
class ReplaceUser(UserExchange):
    """PUT. What is absent is cleared, but for `active`: an omission neither revives nor disables anybody."""

    said: UserSaid = field(kw_only=True)

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        resources = reader.resources(self.caller.directory_id)
        row = self.find(resources)
        active = row.resource.get("active", True) if self.said.active is None else self.said.active
        resource = {**self.said.resource, "active": active}
        self.check_name_free(resources, str(resource["userName"]))
        return self.say(reader, resource, row)


@dataclass(slots=True)
class PatchUser(UserExchange):
    """PATCH. All operations count, or none."""

    operations: Sequence[Operation] = field(kw_only=True)

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        resources = reader.resources(self.caller.directory_id)
        names_shown = _name_read_only(self.operations)
        row = self.find(resources, with_computed=names_shown)
        shown = _as_told(user_document(row, self.base)) if names_shown else {}
        resource = patch_user(row.resource, self.operations, self.caller.profile, self.notes, shown=shown)
        if resource.get("userName") != row.resource.get("userName"):
            self.check_name_free(resources, str(resource["userName"]))
        return self.say(reader, resource, row)


@dataclass(slots=True)
class RemoveUser(UserExchange):
    """DELETE."""

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        self.find(reader.resources(self.caller.directory_id))
        return (DeleteUser(ExternalId(self.user_id)),)

    def conclude(self, reader: Reader) -> None:
        """There is nothing left to show."""


@dataclass(slots=True)
class GroupExchange:
    """What every request about one group has. `shown` is the group after it; `body` its JSON, where it is wanted."""

    caller: Caller
    base: Base
    projection: Projection
    if_match: str = ""
    notes: set[Leniency] = field(default_factory=set)
    group_id: str = ""
    wants_body: bool = True
    shown: GroupResource | None = None
    body: bytes = b""

    def conclude(self, reader: Reader) -> None:
        resources = reader.resources(self.caller.directory_id)
        self.shown = resources.group(self.group_id)
        if self.wants_body and self.shown is not None:
            self.body = b"".join(show_group(resources, self.shown, self.base, self.projection))

    def find(self, resources: ResourceReader) -> GroupResource:
        """The group as it is before the request, in the version that the client may have named."""
        row = resources.group(self.group_id)
        if row is None:
            raise NotFoundError(f"there is no group '{self.group_id[:60]}' in this directory")
        self.group_id = row.group_id
        check_version(self.if_match, row.version)
        return row

    def check_name_free(self, resources: ResourceReader, display_name: str) -> None:
        """Entra finds groups by name and cannot tell two of one name apart."""
        if not self.caller.profile.unique_group_names:
            return
        holders = [holder for holder in resources.groups_named(display_name) if holder != self.group_id]
        if holders:
            raise UniquenessError(
                f"the displayName '{display_name}' is taken by group {holders[0]} of this directory; "
                "the directory's profile allows each name once"
            )

    def rename(
        self, resources: ResourceReader, row: GroupResource, display_name: str, client_id: str
    ) -> list[Change]:
        """The change that gives the group these names; none when it has them."""
        if (display_name, client_id) == (row.display_name, row.client_id):
            return []
        if name_key(display_name) != name_key(row.display_name):
            self.check_name_free(resources, display_name)
        return [PutGroup(group_facts(row.group_id, display_name, client_id))]


@dataclass(slots=True)
class CreateGroup(GroupExchange):
    """POST. `group_id` is the id for the new group."""

    said: GroupSaid = field(kw_only=True)

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        resources = reader.resources(self.caller.directory_id)
        self.check_name_free(resources, self.said.display_name)
        group_id = GroupId(self.group_id)
        facts = group_facts(group_id, self.said.display_name, self.said.client_id)
        members = dict.fromkeys(self.said.members or ())
        kinds = _known_members(resources, members)
        return (PutGroup(facts), *_add(group_id, members, kinds))


@dataclass(slots=True)
class ReplaceGroup(GroupExchange):
    """PUT. Without a `members` key the members stay, unless the profile is strict; an empty array clears them."""

    said: GroupSaid = field(kw_only=True)

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        resources = reader.resources(self.caller.directory_id)
        row = self.find(resources)
        changes = self.rename(resources, row, self.said.display_name, self.said.client_id)
        members = self.said.members
        if members is None and self.caller.profile.allows(Leniency.KEEP_UNSAID_MEMBERS):
            self.notes.add(Leniency.KEEP_UNSAID_MEMBERS)
            return tuple(changes)
        return (*changes, *_replace_members(resources, row.group_id, members or ()))


@dataclass(slots=True)
class PatchGroup(GroupExchange):
    """PATCH. Only the members that are named are read; all operations count, or none."""

    operations: Sequence[Operation] = field(kw_only=True)

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        resources = reader.resources(self.caller.directory_id)
        row = self.find(resources)
        shown = _as_told(group_document(row, self.base)) if _name_read_only(self.operations) else {}
        patch = patch_group(self.operations, self.caller.profile, self.notes, shown=shown)
        changes = self.rename(
            resources,
            row,
            row.display_name if patch.display_name is None else patch.display_name,
            row.client_id if patch.client_id is None else patch.client_id,
        )
        return (*changes, *_change_members(resources, row.group_id, fold_steps(patch.steps), self.base))


@dataclass(slots=True)
class RemoveGroup(GroupExchange):
    """DELETE."""

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        self.find(reader.resources(self.caller.directory_id))
        return (DeleteGroup(ExternalId(self.group_id)),)

    def conclude(self, reader: Reader) -> None:
        """There is nothing left to show."""


def show_group(
    resources: ResourceReader, row: GroupResource, base: Base, projection: Projection
) -> Iterator[bytes]:
    """A group's JSON in pieces; its members are read only where they are shown."""
    chunks = resources.members(row.group_id) if projection.shows_members else iter(())
    return stream_group(row, base, projection, chunks)


def _name_read_only(operations: Sequence[Operation]) -> bool:
    """Whether an operation is about something that only we say, so that what we say has to be known."""
    return any(
        Mutability.READ_ONLY in (operation.path.path.attribute.mutability, operation.path.sub.mutability)
        if operation.path.sub is not None
        else operation.path.path.attribute.mutability is Mutability.READ_ONLY
        for operation in operations
    )


def _as_told(document: dict[str, object]) -> dict[str, object]:
    """A document with its moments as texts, as the client has read them."""
    told: dict[str, object] = orjson.loads(dump_json(document))
    return told


def _taken(user_name: str, holder: UserId) -> UniquenessError:
    return UniquenessError(
        f"the userName '{user_name}' is taken by user {holder} of this directory; "
        "letters compare without regard to case"
    )


def _addresses(resource: Mapping[str, object]) -> set[str]:
    """The mail addresses of a user: its mails, and its name where that has the form of one."""
    values = [entry.get("value") for entry in entries_of(resource.get("emails"))]
    return {value for value in (*values, resource.get("userName")) if isinstance(value, str) and "@" in value}


def _check_domains(addresses: Collection[str], verified: Collection[str]) -> None:
    for address in sorted(addresses):
        if name_key(address.rpartition("@")[2]) not in verified:
            raise InvalidValueError(
                f"'{address}' is outside the verified domains of the organisation; verify its domain first, "
                "or let the directory take foreign domains"
            )


def _known_members(resources: ResourceReader, ids: Collection[str]) -> MemberKinds:
    """What the ids are. Raises InvalidValueError for those that never were of this directory.

    Users deleted from it are passed over: a client that is behind does not know yet.
    """
    kinds = resources.classify(ids) if ids else MemberKinds()
    if kinds.unknown:
        named = ", ".join(f"'{member[:60]}'" for member in kinds.unknown[:_NAMED_MEMBERS])
        more = len(kinds.unknown) - _NAMED_MEMBERS
        rest = f" and {more} more" if more > 0 else ""
        raise InvalidValueError(
            f"members {named}{rest} are neither users nor groups of this directory; nothing was changed"
        )
    return kinds


def _replace_members(resources: ResourceReader, group_id: GroupId, members: Collection[str]) -> list[Change]:
    """The changes after which exactly these are members. The database compares the sets."""
    wanted = dict.fromkeys(members)
    # Who is in the group already is known; only the others may be nobody.
    fresh = resources.absent_from(group_id, wanted.keys())
    kinds = _known_members(resources, fresh)
    users, groups = resources.surplus_in(group_id, wanted.keys())
    return [*_remove(group_id, users, groups), *_add(group_id, fresh, kinds)]


def _change_members(
    resources: ResourceReader, group_id: GroupId, change: MemberChange, base: Base
) -> list[Change]:
    """The changes that a PATCH of the members comes to."""
    if change.is_whole:
        return _replace_members(resources, group_id, change.added)
    changes: list[Change] = []
    if change.removed or change.matching:
        gone = _present(resources, group_id, change.removed)
        gone.update(_matching(resources, group_id, change.matching, base))
        gone.difference_update(change.added)
        kinds = resources.classify(gone) if gone else MemberKinds()
        changes += _remove(group_id, sorted(kinds.users), sorted(kinds.groups))
    if change.added:
        kinds = _known_members(resources, change.added)
        # One is looked up by the write path itself; of many, most may be members already.
        fresh = change.added if len(change.added) == 1 else resources.absent_from(group_id, change.added)
        changes += _add(group_id, fresh, kinds)
    return changes


def _present(resources: ResourceReader, group_id: GroupId, ids: Collection[str]) -> set[str]:
    return set(ids).difference(resources.absent_from(group_id, ids)) if ids else set()


def _matching(
    resources: ResourceReader, group_id: GroupId, filters: Sequence[Filter], base: Base
) -> set[str]:
    """Ids of the members that one of the filters matches. Reads them all: such filters are rare."""
    if not filters:
        return set()
    tests = [compile_entry_filter(tree, MEMBERS) for tree in filters]
    found = set()
    for chunk in resources.members(group_id):
        for member in chunk:
            entry = member_entry(member, base)
            if any(test(entry) for test in tests):
                found.add(member.id)
    return found


def _add(group_id: GroupId, ids: Collection[str], kinds: MemberKinds) -> list[Change]:
    users = tuple(ExternalId(member) for member in ids if member in kinds.users)
    groups = tuple(ExternalId(member) for member in ids if member in kinds.groups)
    return [
        *([AddMembers(ExternalId(group_id), users)] if users else []),
        *([AddSubgroups(ExternalId(group_id), groups)] if groups else []),
    ]


def _remove(group_id: GroupId, users: Sequence[UserId], groups: Sequence[GroupId]) -> list[Change]:
    return [
        *([RemoveMembers(ExternalId(group_id), tuple(map(ExternalId, users)))] if users else []),
        *([RemoveSubgroups(ExternalId(group_id), tuple(map(ExternalId, groups)))] if groups else []),
    ]
