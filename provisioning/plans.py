"""The plan of a pulled directory: what a snapshot says, less what is stored, in the order in which it is applied.

Deactivations come first, so that the seats they free are there for the newcomers; groups come before the people in
them; deleted groups come last, when nobody moves into another group any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import assert_never

from directory.changes import (
    AddMembers,
    AddSubgroups,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    DirectoryChange,
    PutGroup,
    PutUser,
    RemoveMembers,
    RemoveSubgroups,
)
from directory.facts import Activity
from directory.ids import DirectoryId, ExternalId
from provisioning.guard import PlanCounts

Edge = tuple[ExternalId, ExternalId]
"""A group and one of its members."""


@dataclass(frozen=True, slots=True)
class DirectoryPlan:
    """The changes that bring the stored facts of a directory in line with a snapshot.

    `base` names the state that the plan was made on; with it, the hash is good for one application. `waiting_out`
    are absent people whose grace has not run out yet, with the number of runs, and people who are back (0).
    """

    directory_id: DirectoryId
    base: str
    put_users: tuple[PutUser, ...] = ()
    deactivate: tuple[ExternalId, ...] = ()
    put_groups: tuple[PutGroup, ...] = ()
    delete_groups: tuple[ExternalId, ...] = ()
    add_members: tuple[Edge, ...] = ()
    remove_members: tuple[Edge, ...] = ()
    add_subgroups: tuple[Edge, ...] = ()
    remove_subgroups: tuple[Edge, ...] = ()
    waiting_out: tuple[tuple[ExternalId, int], ...] = ()
    new_users: int = 0
    counts: PlanCounts = field(default_factory=lambda: PlanCounts(0, 0, 0, 0, 0, 0, 0, 0))

    @property
    def is_empty(self) -> bool:
        """Whether applying it would change no fact."""
        return not (
            self.put_users
            or self.deactivate
            or self.put_groups
            or self.delete_groups
            or self.add_members
            or self.remove_members
            or self.add_subgroups
            or self.remove_subgroups
            or self.waiting_out
        )

    def count_people(self) -> int:
        """People whom the plan concerns, in their facts or their memberships."""
        edges = (*self.add_members, *self.remove_members)
        people = {put.user.external_id for put in self.put_users} | {user for _, user in edges}
        return len(people.union(self.deactivate))

    @property
    def hash(self) -> str:
        """SHA-256 over the changes in order and the base, in hexadecimal. An approval names this."""
        digest = sha256(f"{self.directory_id}\0{self.base}\0".encode())
        for line in self.lines():
            # The length first: a name with a line break in it must not read as two changes.
            digest.update(f"{len(line)} {line}\n".encode())
        for put in self.put_users:
            digest.update(put.fingerprint)
        return digest.hexdigest()

    def lines(self) -> Iterator[str]:
        """The plan in words, a change a line, as a dry run prints it."""
        for external_id in self.deactivate:
            yield f"deactivate user {external_id}"
        for group in self.put_groups:
            yield f"put group {group.group.external_id} {group.group.display_name}"
        for put in self.put_users:
            verb = "put" if put.user.activity is Activity.ACTIVE else "put disabled"
            yield f"{verb} user {put.user.external_id} {put.user.user_name}"
        for word, edges in (
            ("add member", self.add_members),
            ("remove member", self.remove_members),
            ("nest group", self.add_subgroups),
            ("take out group", self.remove_subgroups),
        ):
            for group_id, external_id in edges:
                yield f"{word} {external_id} {'in' if word[0] in 'an' else 'from'} {group_id}"
        for external_id in self.delete_groups:
            yield f"delete group {external_id}"

    def batches(self, size: int) -> Iterator[tuple[DirectoryChange, ...]]:
        """The changes in transactions: at most `size` people each, a person's memberships with the person.

        Groups are put without their fingerprint, which stands for all their members: a run that is cut off before
        `group_fingerprints` must find them changed the next time.
        """
        yield from _chunks([DeactivateUser(external_id, "absent") for external_id in self.deactivate], size)
        yield from _chunks([PutGroup(put.group) for put in self.put_groups], size)
        if self.add_subgroups or self.remove_subgroups:
            yield (
                *_by_group(AddSubgroups, self.add_subgroups),
                *_by_group(RemoveSubgroups, self.remove_subgroups),
            )
        yield from self._people(size)
        for external_id in self.delete_groups:
            yield (DeleteGroup(external_id),)

    def rehearsals(self, size: int) -> Iterator[tuple[DirectoryChange, ...]]:
        """The changes in parts that say enough to be rehearsed each by itself, at least one part.

        Of at most `size` people a part says everything; of groups, which are few, each part says everything.
        """
        groups = [PutGroup(put.group) for put in self.put_groups]
        nesting = [
            *_by_group(AddSubgroups, self.add_subgroups),
            *_by_group(RemoveSubgroups, self.remove_subgroups),
        ]
        deleted = [DeleteGroup(external_id) for external_id in self.delete_groups]
        for people in self._people(size, with_absent=True) if self.count_people() else [()]:
            yield (*groups, *nesting, *people, *deleted)

    def group_fingerprints(self, size: int) -> Iterator[tuple[DirectoryChange, ...]]:
        """What is stored last, when every membership is: from now on the groups are as the source shows them."""
        yield from _chunks([put for put in self.put_groups if put.fingerprint], size)

    def _people(self, size: int, *, with_absent: bool = False) -> Iterator[tuple[DirectoryChange, ...]]:
        absent = set(self.deactivate) if with_absent else set()
        added, removed = _by_user(self.add_members), _by_user(self.remove_members)
        puts = {put.user.external_id: put for put in self.put_users}
        first = self.deactivate if with_absent else ()
        people = list(dict.fromkeys([*first, *puts, *added, *removed]))
        for start in range(0, len(people), size):
            chunk = people[start : start + size]
            yield (
                *(DeactivateUser(external_id, "absent") for external_id in chunk if external_id in absent),
                *(puts[external_id] for external_id in chunk if external_id in puts),
                *_by_group(
                    RemoveMembers, [(group, user) for user in chunk for group in removed.get(user, ())]
                ),
                *_by_group(AddMembers, [(group, user) for user in chunk for group in added.get(user, ())]),
            )


def entry_of(change: DirectoryChange) -> ExternalId:
    """The directory's id of the user or group that a change is about."""
    match change:
        case PutUser(user):
            return user.external_id
        case PutGroup(group):
            return group.external_id
        case DeactivateUser(external_id) | DeleteUser(external_id) | DeleteGroup(external_id):
            return external_id
        case AddMembers(group_id) | RemoveMembers(group_id):
            return group_id
        case AddSubgroups(group_id) | RemoveSubgroups(group_id):
            return group_id
        case _:
            assert_never(change)


def _chunks(changes: Sequence[DirectoryChange], size: int) -> Iterator[tuple[DirectoryChange, ...]]:
    for start in range(0, len(changes), size):
        yield tuple(changes[start : start + size])


def _by_user(edges: Sequence[Edge]) -> dict[ExternalId, list[ExternalId]]:
    found: dict[ExternalId, list[ExternalId]] = {}
    for group_id, user_id in edges:
        found.setdefault(user_id, []).append(group_id)
    return found


def _by_group(
    kind: type[AddMembers] | type[RemoveMembers] | type[AddSubgroups] | type[RemoveSubgroups],
    edges: Sequence[Edge],
) -> list[DirectoryChange]:
    found: dict[ExternalId, list[ExternalId]] = {}
    for group_id, external_id in edges:
        found.setdefault(group_id, []).append(external_id)
    return [kind(group_id, tuple(members)) for group_id, members in found.items()]
