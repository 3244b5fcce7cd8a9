"""A SCIM client that takes things away, for the tests of the guard on pushes."""

from collections.abc import Iterable, Mapping

from directory.changes import (
    AddMembers,
    Change,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    PutGroup,
    PutUser,
    RemoveMembers,
)
from directory.facts import Activity, GroupFacts, UserFacts
from directory.ids import ExternalId, GroupId, MemberId, RoleId, RuleId, ScopeId
from provisioning.commands import Applied
from provisioning.push_guard import PushWindow
from provisioning.state import MemberRecord, StagedChange, StoredUser
from tests.builders import MEMBER, World


class Idp:
    """A SCIM directory and the ids of what its client has made, by name. No membership is too few to be counted."""

    def __init__(self, world: World, name: str = "idp", **settings: str | int | bool) -> None:
        self.world = world
        settings.setdefault("guard_removed_memberships", 0)
        self.settings = settings
        self.directory_id = world.put_directory(name, kind="scim", settings=settings)
        self.ids: dict[str, ExternalId] = {}

    # What it says

    def id(self, name: str) -> ExternalId:
        return self.ids.setdefault(name, ExternalId(self.world.new_id()))

    def user(self, name: str, *, active: bool = True, attributes: Mapping[str, str] | None = None) -> PutUser:
        given = {key: (value,) for key, value in (attributes or {}).items()}
        activity = Activity.ACTIVE if active else Activity.DISABLED
        return PutUser(
            UserFacts(self.id(name), name, activity=activity, attributes=given, resource={"userName": name})
        )

    def off(self, name: str) -> DeactivateUser:
        return DeactivateUser(self.id(name))

    def delete(self, name: str) -> DeleteUser:
        return DeleteUser(self.id(name))

    def group(self, name: str, display_name: str = "") -> PutGroup:
        return PutGroup(GroupFacts(self.id(name), display_name or name))

    def end_group(self, name: str) -> DeleteGroup:
        return DeleteGroup(self.id(name))

    def join(self, group: str, names: Iterable[str]) -> AddMembers:
        return AddMembers(self.id(group), tuple(map(self.id, names)))

    def leave(self, group: str, names: Iterable[str]) -> RemoveMembers:
        return RemoveMembers(self.id(group), tuple(map(self.id, names)))

    def push(self, *changes: Change) -> Applied:
        return self.world.push(self.directory_id, *changes)

    def staff(
        self, names: Iterable[str], group: str = "staff", role: RoleId = MEMBER, scope: ScopeId | None = None
    ) -> RuleId:
        """A group with a rule on it and these people in it."""
        people = list(names)
        self.push(self.group(group))
        rule_id = self.world.put_rule(GroupId(self.id(group)), role, scope)
        self.push(*map(self.user, people), self.join(group, people))
        self.world.events()
        return rule_id

    # What became of it

    def member(self, name: str) -> MemberId:
        with self.world.read() as reader:
            return reader.users_by_external_id(self.directory_id, [self.id(name)])[self.id(name)].member_id

    def members(self, names: Iterable[str]) -> tuple[MemberId, ...]:
        return tuple(map(self.member, names))

    def record(self, name: str) -> MemberRecord:
        return self.world.record(self.member(name))

    def roles(self, *names: str) -> list[list[str]]:
        return [self.world.roles(self.member(name)) for name in names]

    def staged(self, *, rejected: bool = False) -> set[str]:
        """Those of whom something is held back, or of whom it was rejected."""
        names = {user.member_id: name for name, user in self._users().items()}
        return {names[one.member_id] for one in self.changes() if one.is_rejected == rejected}

    def changes(self) -> list[StagedChange]:
        with self.world.read() as reader:
            return reader.staged_changes(self.directory_id)

    def window(self) -> PushWindow:
        with self.world.read() as reader:
            window = reader.push_window(self.directory_id)
        assert window is not None
        return window

    def version(self, name: str) -> int:
        return self._users()[name].version

    def _users(self) -> dict[str, StoredUser]:
        with self.world.read() as reader:
            found = reader.users_by_external_id(self.directory_id, list(self.ids.values()))
        return {name: found[key] for name, key in self.ids.items() if key in found}
