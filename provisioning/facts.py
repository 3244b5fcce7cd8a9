"""Directory changes folded into stored facts: users, groups, memberships, and the people they are linked to.

Facts are always stored as said. Nothing here decides about roles or seats; it notes whose access must be worked out.
"""

from collections.abc import Iterable, Sequence
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
from directory.ids import ExternalId
from provisioning.fold import Fold
from provisioning.folded_groups import (
    delete_group,
    follow_groups,
    put_group,
    set_edges,
    set_nesting,
    store_groups,
    store_memberships,
    store_nesting,
)
from provisioning.folded_users import deactivate_user, delete_user, note_moved_users, put_user, store_users
from provisioning.staging import watch_removals
from provisioning.state import StoredDirectory
from provisioning.work import Work


def fold_directory_changes(
    work: Work, directory: StoredDirectory, changes: Sequence[DirectoryChange]
) -> None:
    """Store what the directory said, in the order it was said, with one event for each edge that moved.

    Cost follows the changes: only the users, groups and memberships named are read, never a group's member list.
    """
    user_ids, member_ids, group_ids = _named(changes)
    member_ids -= user_ids
    fold = Fold(
        work=work,
        directory=directory,
        is_only_directory=len(work.directories()) == 1,
        users=work.writer.users_by_external_id(directory.directory_id, user_ids) if user_ids else {},
        groups=work.writer.groups_by_external_id(directory.directory_id, group_ids) if group_ids else {},
    )
    if member_ids:
        members = work.writer.users_by_external_id(directory.directory_id, member_ids, with_documents=False)
        fold.users.update(members)
    for change in changes:
        _fold_one(fold, change)
    store_users(fold)
    store_groups(fold)
    store_nesting(fold)
    follow_groups(fold)
    store_memberships(fold)
    if fold.renamed_users and fold.is_pushed:
        work.writer.step_related_versions(users_of=(), groups_of=fold.renamed_users)
    if fold.is_pushed:
        note_moved_users(fold)
        watch_removals(work, directory, fold.removals)


def _named(
    changes: Iterable[DirectoryChange],
) -> tuple[set[ExternalId], set[ExternalId], set[ExternalId]]:
    """The users that something is said about, those named as members, and the groups."""
    users: set[ExternalId] = set()
    edges: set[ExternalId] = set()
    groups: set[ExternalId] = set()
    for change in changes:
        match change:
            case PutUser(is_new=True):
                pass
            case PutUser(user):
                users.add(user.external_id)
            case DeactivateUser(external_id) | DeleteUser(external_id):
                users.add(external_id)
            case PutGroup(group):
                groups.add(group.external_id)
            case DeleteGroup(external_id):
                groups.add(external_id)
            case AddMembers(external_id, members) | RemoveMembers(external_id, members):
                groups.add(external_id)
                edges.update(members)
            case AddSubgroups(external_id, subgroups) | RemoveSubgroups(external_id, subgroups):
                groups.add(external_id)
                groups.update(subgroups)
            case _:
                assert_never(change)
    return users, edges, groups


def _fold_one(fold: Fold, change: DirectoryChange) -> None:
    match change:
        case PutUser(user, fingerprint, member_id=member_id):
            if member_id is not None:
                fold.resolved[user.external_id] = member_id
            put_user(fold, user, fingerprint)
        case DeactivateUser(external_id, reason):
            deactivate_user(fold, external_id, reason)
        case DeleteUser(external_id):
            delete_user(fold, external_id)
        case PutGroup(group, fingerprint):
            put_group(fold, group, fingerprint)
        case DeleteGroup(external_id):
            delete_group(fold, external_id)
        case AddMembers(external_id, members):
            set_edges(fold, external_id, members, is_member=True)
        case RemoveMembers(external_id, members):
            set_edges(fold, external_id, members, is_member=False)
        case AddSubgroups(external_id, subgroups):
            set_nesting(fold, external_id, subgroups, is_nested=True)
        case RemoveSubgroups(external_id, subgroups):
            set_nesting(fold, external_id, subgroups, is_nested=False)
        case _:
            assert_never(change)
