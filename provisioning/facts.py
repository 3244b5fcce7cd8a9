"""Directory changes folded into stored facts: users, groups, memberships, and the people they are linked to.

Facts are always stored as said. Nothing here decides about roles or seats; it notes whose access must be worked out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import assert_never

from audit.events import FieldChange, Reason, Target
from directory.changes import (
    AddMembers,
    AddSubgroups,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    DirectoryChange,
    GroupMatch,
    PutGroup,
    PutUser,
    RemoveMembers,
    RemoveSubgroups,
)
from directory.facts import Activity, GroupFacts, UserFacts, find_fault, name_key
from directory.ids import EventId, ExternalId, GroupId, MemberId, UserId
from mappings.access import LinkedUser, MemberFacts
from provisioning.errors import Refusal, RefusalCode
from provisioning.staging import Removals, watch_removals
from provisioning.state import (
    MemberRecord,
    NewMember,
    PersonalData,
    Seat,
    StoredDirectory,
    StoredGroup,
    StoredUser,
)
from provisioning.work import PUSHED, Work, follow_model, queue_groups

_NO_ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType({})
_PROFILE = ("user_name", "display_name", "given_name", "family_name", "mails", "dn", "client_id")


@dataclass(slots=True)
class _Fold:
    """The touched slice of one directory, as the transaction has made it so far."""

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

    @property
    def is_pushed(self) -> bool:
        return self.directory.kind == PUSHED

    def row_id(self, external_id: ExternalId) -> str:
        """The id of a new row: a SCIM client knows a resource by our id, which is its external id as well."""
        return external_id if self.is_pushed else self.work.mint.id()


def fold_directory_changes(
    work: Work, directory: StoredDirectory, changes: Sequence[DirectoryChange]
) -> None:
    """Store what the directory said, in the order it was said, with one event for each edge that moved.

    Cost follows the changes: only the users, groups and memberships named are read, never a group's member list.
    """
    user_ids, member_ids, group_ids = _named(changes)
    member_ids -= user_ids
    fold = _Fold(
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
    _store_users(fold)
    _store_groups(fold)
    _store_nesting(fold)
    _follow_groups(fold)
    _store_memberships(fold)
    if fold.renamed_users and fold.is_pushed:
        work.writer.step_related_versions(users_of=(), groups_of=fold.renamed_users)
    if fold.is_pushed:
        _note_moved_users(fold)
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


def _fold_one(fold: _Fold, change: DirectoryChange) -> None:
    match change:
        case PutUser(user, fingerprint):
            _put_user(fold, user, fingerprint)
        case DeactivateUser(external_id, reason):
            _deactivate_user(fold, external_id, reason)
        case DeleteUser(external_id):
            _delete_user(fold, external_id)
        case PutGroup(group, fingerprint):
            _put_group(fold, group, fingerprint)
        case DeleteGroup(external_id):
            _delete_group(fold, external_id)
        case AddMembers(external_id, members):
            _set_edges(fold, external_id, members, is_member=True)
        case RemoveMembers(external_id, members):
            _set_edges(fold, external_id, members, is_member=False)
        case AddSubgroups(external_id, subgroups):
            _set_nesting(fold, external_id, subgroups, is_nested=True)
        case RemoveSubgroups(external_id, subgroups):
            _set_nesting(fold, external_id, subgroups, is_nested=False)
        case _:
            assert_never(change)


def _put_user(fold: _Fold, said: UserFacts, fingerprint: bytes) -> None:
    _check_user(said)
    stored = fold.users.get(said.external_id)
    if stored is None:
        _create_user(fold, said, fingerprint)
        return
    if stored.deleted_at is not None and fold.is_pushed:
        # A pulled directory may show an entry again; a client's deleted resource is gone for good, its id with it.
        raise Refusal(RefusalCode.NOT_FOUND, f"user {said.external_id} was deleted; create a new one")
    # An unreadable account state is neither "enabled" nor "disabled": what is stored stays.
    active = stored.active if said.activity is Activity.UNKNOWN else said.activity is Activity.ACTIVE
    put = replace(
        stored,
        user_name=said.user_name,
        display_name=said.display_name,
        given_name=said.given_name,
        family_name=said.family_name,
        mails=said.mails,
        dn=said.dn,
        attributes=said.attributes,
        active=active,
        fingerprint=fingerprint,
        absent_runs=0,
        deleted_at=None,
        client_id=said.client_id,
        resource=said.resource,
    )
    if put == stored:
        return
    _record_user_change(fold, stored, put)


def _check_user(said: UserFacts) -> None:
    names = (
        ("external id", said.external_id),
        ("user name", said.user_name),
        ("display name", said.display_name),
        ("given name", said.given_name),
        ("family name", said.family_name),
        *(("mail", mail) for mail in said.mails),
    )
    for what, text in names:
        _check_text("user", said.external_id, what, text)
    for name, values in (("dn", (said.dn,)), *said.attributes.items()):
        for text in values:
            _check_text("user", said.external_id, name, text, is_name=False)


def _check_text(kind: str, external_id: str, what: str, text: str, *, is_name: bool = True) -> None:
    fault = find_fault(text, is_name=is_name)
    if fault:
        message = f"the {what} of {kind} {external_id[:60]!r} {fault}; correct it in the directory"
        raise Refusal(RefusalCode.INVALID, message)


def _create_user(fold: _Fold, said: UserFacts, fingerprint: bytes) -> None:
    work = fold.work
    user = StoredUser(
        user_id=UserId(fold.row_id(said.external_id)),
        directory_id=fold.directory.directory_id,
        external_id=said.external_id,
        member_id=MemberId(""),
        user_name=said.user_name,
        display_name=said.display_name,
        given_name=said.given_name,
        family_name=said.family_name,
        mails=said.mails,
        dn=said.dn,
        attributes=said.attributes,
        active=said.activity is Activity.ACTIVE,
        fingerprint=fingerprint,
        pii_ref=work.mint.id(),
        absent_runs=0,
        version=1,
        created_at=work.now,
        updated_at=work.now,
        deleted_at=None,
        client_id=said.client_id,
        resource=said.resource,
    )
    work.stepped_users.add(user.user_id)
    fold.was_active[said.external_id] = False
    work.personal_data.append(_personal_data(user))
    event_id = work.ledger.record(
        "user.created",
        (_user_target(user),),
        (FieldChange("active", None, user.active), FieldChange("profile", None, f"pii:{user.pii_ref}")),
    )
    work.counters["users_created"] += 1
    fold.users[said.external_id] = fold.new_users[said.external_id] = user
    fold.by_user_id[user.user_id] = said.external_id
    fold.user_events[said.external_id] = event_id


def _record_user_change(fold: _Fold, stored: StoredUser, put: StoredUser, reason: str = "") -> None:
    """Note a stored user's new state with one event for what moved; a new fingerprint alone is no event."""
    work = fold.work
    _check_owner(fold, stored, put)
    fold.was_active.setdefault(stored.external_id, stored.active)
    changes: list[FieldChange] = []
    if any(getattr(stored, name) != getattr(put, name) for name in _PROFILE):
        put = replace(put, pii_ref=work.mint.id())
        work.personal_data.append(_personal_data(put))
        changes.append(FieldChange("profile", f"pii:{stored.pii_ref}", f"pii:{put.pii_ref}"))
    names = _moved_names(stored.attributes, put.attributes)
    if not changes and not names and stored.active == put.active:
        # What no predicate sees is shown to the client all the same: an empty value, the order of entries.
        names = _moved_names(stored.resource or {}, put.resource or {})
    if names:
        changes.append(FieldChange("attributes", None, names))
    if stored.active != put.active:
        changes.append(FieldChange("active", stored.active, put.active))
    action, counter = _name_change(stored, put, is_moved=bool(changes))
    if action:
        put = replace(put, version=put.version + 1, updated_at=work.now)
        work.stepped_users.add(put.user_id)
        if _name(stored) != _name(put):
            fold.renamed_users.add(put.user_id)
    external_id = put.external_id
    fold.users[external_id] = put
    if external_id in fold.new_users:
        fold.new_users[external_id] = put
    else:
        fold.changed_users[external_id] = put
    fold.by_user_id[put.user_id] = external_id
    if not action:
        return
    event_id = work.ledger.record(
        action, (_user_target(put),), tuple(changes), reason=Reason(reason) if reason else None
    )
    work.counters[counter] += 1
    fold.user_events.setdefault(external_id, event_id)
    if put.member_id:
        work.touch(put.member_id, event_id)
        if put.active and not (stored.active and stored.deleted_at is None):
            work.explicit.add(put.member_id)


def _check_owner(fold: _Fold, stored: StoredUser, put: StoredUser) -> None:
    """A client is told that the owner stays; a pulled directory's word is stored and changes nothing (MT-16)."""
    is_deleted = put.deleted_at is not None
    loses = is_deleted or (stored.active and not put.active)
    if fold.is_pushed and loses and stored.member_id == fold.work.state.owner_id:
        what = "deleted" if is_deleted else "deactivated"
        raise Refusal(
            RefusalCode.OWNER_PROTECTED,
            f"user '{stored.user_name}' is the owner of the organisation, who cannot be {what} by a directory; "
            "transfer the ownership first",
            subject=stored.member_id,
        )


def _moved_names(stored: Mapping[str, object], put: Mapping[str, object]) -> tuple[str, ...]:
    """The names whose values differ, in order."""
    names = stored.keys() | put.keys()
    return tuple(sorted(name for name in names if stored.get(name) != put.get(name)))


def _name_change(stored: StoredUser, put: StoredUser, *, is_moved: bool) -> tuple[str, str]:
    """The action and the counter for what became of a user; empty when nothing did."""
    was_live, is_live = stored.deleted_at is None, put.deleted_at is None
    if was_live and not is_live:
        return "user.deleted", "users_deleted"
    if is_live and not was_live:
        return "user.reactivated", "users_returned"
    if put.active != stored.active:
        return (
            ("user.reactivated", "users_reactivated")
            if put.active
            else ("user.deactivated", "users_deactivated")
        )
    return ("user.updated", "users_updated") if is_moved else ("", "")


def _deactivate_user(fold: _Fold, external_id: ExternalId, reason: str) -> None:
    stored = fold.users.get(external_id)
    if stored is None or stored.deleted_at is not None:
        fold.work.counters["users_unknown"] += stored is None
        return
    # The fingerprint goes with the access: when the source shows the user again, that is a change. The moment
    # starts the retention.
    put = replace(stored, active=False, fingerprint=b"", absent_runs=0, updated_at=fold.work.now)
    if stored.active or stored.fingerprint:
        _record_user_change(fold, stored, put, reason)


def _delete_user(fold: _Fold, external_id: ExternalId) -> None:
    stored = fold.users.get(external_id)
    if stored is None or stored.deleted_at is not None:
        fold.work.counters["users_unknown"] += stored is None
        return
    for pair in [pair for pair in fold.edges if pair[1] == stored.user_id]:
        del fold.edges[pair]
    fold.cleared[stored.user_id] = external_id
    gone = replace(stored, active=False, fingerprint=b"", deleted_at=fold.work.now)
    _record_user_change(fold, stored, gone)


def _personal_data(user: StoredUser) -> PersonalData:
    values = {
        "name": user.display_name,
        "user_name": user.user_name,
        "mail": _mail(user),
        "dn": user.dn,
        "external_id": user.client_id or user.external_id,
    }
    return PersonalData(user.pii_ref, user.user_id, {key: value for key, value in values.items() if value})


def _user_target(user: StoredUser) -> Target:
    return Target("user", user.user_id, pii=user.pii_ref)


def _store_users(fold: _Fold) -> None:
    work = fold.work
    if fold.new_users:
        _link_members(fold)
        work.writer.insert_users(list(fold.new_users.values()))
    if fold.changed_users:
        work.writer.update_users(list(fold.changed_users.values()))
        work.is_changed = True
    _store_profiles(fold)
    if work.personal_data:
        work.writer.insert_personal_data(work.personal_data)
        work.personal_data.clear()


def _store_profiles(fold: _Fold) -> None:
    """Take over names and mail of those whose user has moved, or was linked to them: the first directory's count."""
    work = fold.work
    users = [
        user
        for external_id, user in fold.users.items()
        if external_id in fold.user_events and user.member_id not in work.newcomers
    ]
    if not users:
        return
    if fold.is_only_directory:
        users = [user for user in users if user.deleted_at is None]
    else:
        first: dict[MemberId, StoredUser] = {}
        for user in work.writer.users_of_members({user.member_id for user in users}):
            first.setdefault(user.member_id, user)
        users = list(first.values())
    if users:
        work.writer.update_profiles(
            [(user.member_id, _name(user), _mail(user), user.pii_ref) for user in users]
        )


def _name(user: StoredUser) -> str:
    return user.display_name or user.user_name


def _mail(user: StoredUser) -> str:
    return user.mails[0] if user.mails else ""


def _link_members(fold: _Fold) -> None:
    """Give each new user its member: by external id, then by mail of a verified domain, else a new one.

    A member who has a live user of this directory already is never taken: two entries of one directory are two
    people, whatever mail they share. An ambiguous match links nobody.
    """
    work = fold.work
    found = _candidates(fold)
    candidates = {member for members in found.values() for member in members}
    taken = work.writer.directories_of_members(candidates) if candidates else set()
    occupied = {member for member, directory_id in taken if directory_id == fold.directory.directory_id}
    new_members: list[NewMember] = []
    for external_id, user in fold.new_users.items():
        free = found.get(external_id, set()) - occupied
        if len(free) == 1:
            member_id = free.pop()
            event_id = work.ledger.record(
                "member.linked",
                (Target("member", member_id, pii=user.pii_ref), Target("user", user.user_id, role="object")),
                parent=fold.user_events[external_id],
            )
            work.counters["members_linked"] += 1
        else:
            member_id = MemberId(work.mint.id())
            work.newcomers.add(member_id)
            new_members.append(NewMember(member_id, _name(user), _mail(user), user.pii_ref, is_active=False))
            if user.deleted_at is None:
                work.fresh[member_id] = _fresh_record(member_id, user)
            event_id = work.ledger.record(
                "member.created",
                (Target("member", member_id, pii=user.pii_ref), Target("user", user.user_id, role="object")),
                parent=fold.user_events[external_id],
            )
            work.counters["members_created"] += 1
        occupied.add(member_id)
        linked = replace(user, member_id=member_id)
        fold.users[external_id] = fold.new_users[external_id] = linked
        work.touch(member_id, event_id)
        if linked.active:
            work.explicit.add(member_id)
    if new_members:
        work.writer.insert_members(new_members, work.now)
    work.is_changed = True


def _fresh_record(member_id: MemberId, user: StoredUser) -> MemberRecord:
    """A member as it is stored when it has just been made: nothing held, no seat, no block."""
    return MemberRecord(
        facts=MemberFacts(
            member_id, (LinkedUser(user.user_id, user.directory_id, user.active, (), _NO_ATTRIBUTES),)
        ),
        display_name=_name(user),
        mail=_mail(user),
        pii_ref=user.pii_ref,
        is_active=False,
        seat=Seat.NONE,
        waiting_since=None,
        waiting_priority=None,
        waiting_rank=None,
        is_held=False,
        is_deleted=False,
        deactivated_at=None,
        has_users=True,
        held=(),
    )


def _note_fresh_groups(fold: _Fold, added: Sequence[tuple[GroupId, UserId]]) -> None:
    """Who has just come is in these groups and in no others."""
    fresh = fold.work.fresh
    groups: dict[MemberId, list[GroupId]] = {}
    for group_id, user_id in added:
        user = fold.new_users.get(fold.by_user_id[user_id])
        if user is not None and user.member_id in fresh:
            groups.setdefault(user.member_id, []).append(group_id)
    for member_id, group_ids in groups.items():
        record = fresh[member_id]
        (linked,) = record.facts.users
        linked = replace(linked, groups=tuple(sorted(group_ids)))
        fresh[member_id] = replace(record, facts=replace(record.facts, users=(linked,)))


def _candidates(fold: _Fold) -> dict[ExternalId, set[MemberId]]:
    """Members that new users may be, found by the client's own id or else by a mail of a verified domain.

    Of a person whose user was deleted only that id brings the membership back; a name or a mail may be another's.
    """
    writer = fold.work.writer
    found: dict[ExternalId, set[MemberId]] = {}
    ids = {external_id: _link_id(fold, user) for external_id, user in fold.new_users.items()}
    wanted = {link_id for link_id in ids.values() if link_id}
    if wanted and not fold.is_only_directory:
        found.update(_by_link_id(ids, writer.members_by_external_id(wanted)))
    if wanted and fold.is_pushed and fold.directory.settings.get("relink") != "never":
        left = {external_id: link_id for external_id, link_id in ids.items() if external_id not in found}
        deleted = writer.members_of_deleted(fold.directory.directory_id, set(left.values()) - {""})
        found.update(
            _by_link_id(left, {ExternalId(link_id): members for link_id, members in deleted.items()})
        )
    keys = {
        external_id: name_key(user.mails[0])
        for external_id, user in fold.new_users.items()
        if external_id not in found and user.mails
    }
    domains = fold.work.model.inputs.domains
    keys = {external_id: key for external_id, key in keys.items() if key.rpartition("@")[2] in domains}
    if keys:
        by_mail = writer.members_by_mail(set(keys.values()))
        found.update({external_id: by_mail[key] for external_id, key in keys.items() if key in by_mail})
    return found


def _link_id(fold: _Fold, user: StoredUser) -> ExternalId:
    """The id by which the client knows the person, wherever else that client speaks; empty when it gave none."""
    return ExternalId(user.client_id) if fold.is_pushed else user.external_id


def _by_link_id(
    ids: Mapping[ExternalId, ExternalId], members: Mapping[ExternalId, set[MemberId]]
) -> dict[ExternalId, set[MemberId]]:
    return {external_id: members[link_id] for external_id, link_id in ids.items() if link_id in members}


def _put_group(fold: _Fold, said: GroupFacts, fingerprint: bytes) -> None:
    work = fold.work
    for what, text in (("external id", said.external_id), ("name", said.display_name)):
        _check_text("group", said.external_id, what, text)
    stored = fold.groups.get(said.external_id)
    if stored is None:
        group = StoredGroup(
            group_id=GroupId(fold.row_id(said.external_id)),
            directory_id=fold.directory.directory_id,
            external_id=said.external_id,
            display_name=said.display_name,
            dn=said.dn,
            fingerprint=fingerprint,
            version=1,
            created_at=work.now,
            updated_at=work.now,
            deleted_at=None,
            client_id=said.client_id,
        )
        fold.groups[said.external_id] = fold.new_groups[said.external_id] = group
        fold.group_events[group.group_id] = work.ledger.record(
            "group.created",
            (Target("group", group.group_id),),
            (FieldChange("display_name", None, group.display_name),),
        )
        work.counters["groups_created"] += 1
        return
    put = replace(
        stored,
        display_name=said.display_name,
        dn=said.dn,
        fingerprint=fingerprint,
        deleted_at=None,
        client_id=said.client_id,
    )
    if put == stored:
        return
    is_renamed = stored.display_name != put.display_name
    is_returning = stored.deleted_at is not None
    if is_renamed or is_returning:
        fold.group_events[put.group_id] = work.ledger.record(
            "group.created" if is_returning else "group.renamed",
            (Target("group", put.group_id),),
            (FieldChange("display_name", None if is_returning else stored.display_name, put.display_name),),
        )
        work.counters["groups_renamed" if not is_returning else "groups_created"] += 1
    elif stored.client_id != put.client_id:
        work.ledger.record(
            "group.updated",
            (Target("group", put.group_id),),
            (FieldChange("external_id", stored.client_id, put.client_id),),
        )
    if is_renamed or is_returning or stored.client_id != put.client_id:
        put = replace(put, version=put.version + 1, updated_at=work.now)
    if is_renamed and fold.is_pushed:
        work.writer.step_related_versions(users_of=[put.group_id], groups_of=())
    fold.groups[said.external_id] = put
    target = fold.new_groups if said.external_id in fold.new_groups else fold.changed_groups
    target[said.external_id] = put


def _delete_group(fold: _Fold, external_id: ExternalId) -> None:
    work = fold.work
    stored = fold.groups.get(external_id)
    if stored is None or stored.deleted_at is not None:
        work.counters["groups_unknown"] += stored is None
        return
    for pair in [pair for pair in fold.edges if pair[0] == stored.group_id]:
        del fold.edges[pair]
    event_id = fold.group_events[stored.group_id] = work.ledger.record(
        "group.deleted",
        (Target("group", stored.group_id),),
        (FieldChange("display_name", stored.display_name, None),),
    )
    if stored.external_id not in fold.new_groups:
        # Everyone who was in it, in one statement: a group of 100,000 is not read into memory.
        if work.model.access.has_rules(stored.group_id):
            queue_groups(work, [stored.group_id], event_id, work.command.kind)
        fold.is_nesting_moved |= any(stored.group_id in pair for pair in work.model.inputs.nesting)
        if fold.is_pushed:
            parents = {pair[0] for pair in work.writer.nestings_of([stored.group_id])} - {stored.group_id}
            work.writer.touch_groups(parents, work.now)
            work.writer.step_related_versions(users_of=[stored.group_id], groups_of=())
        fold.removals.emptied[stored.group_id] = work.writer.clear_group(stored.group_id)
    gone = replace(
        stored, fingerprint=b"", version=stored.version + 1, updated_at=work.now, deleted_at=work.now
    )
    fold.groups[external_id] = gone
    target = fold.new_groups if external_id in fold.new_groups else fold.changed_groups
    target[external_id] = gone
    work.counters["groups_deleted"] += 1


def _store_groups(fold: _Fold) -> None:
    writer = fold.work.writer
    if fold.new_groups:
        writer.insert_groups(list(fold.new_groups.values()))
    if fold.changed_groups:
        writer.update_groups(list(fold.changed_groups.values()))
    if fold.new_groups or fold.changed_groups:
        fold.work.is_changed = True


def _set_edges(fold: _Fold, group_id: ExternalId, users: Sequence[ExternalId], *, is_member: bool) -> None:
    group = fold.groups.get(group_id)
    if group is None or group.deleted_at is not None:
        fold.work.counters["groups_unknown"] += 1
        return
    row_id = group.group_id
    for external_id in users:
        user = fold.users.get(external_id)
        if user is None or user.deleted_at is not None:
            fold.work.counters["members_unknown"] += 1
            continue
        fold.edges[row_id, user.user_id] = is_member
        fold.by_user_id[user.user_id] = external_id


def _store_memberships(fold: _Fold) -> None:
    """Write the memberships that differ from what is stored, an event for each."""
    work = fold.work
    if fold.cleared:
        for pair in work.writer.groups_of_users(fold.cleared.keys()):
            fold.edges.setdefault(pair, False)
            fold.by_user_id[pair[1]] = fold.cleared[pair[1]]
    if not fold.edges:
        return
    new_users = {user.user_id for user in fold.new_users.values()}
    new_groups = {group.group_id for group in fold.new_groups.values()}
    known = [pair for pair in fold.edges if pair[1] not in new_users and pair[0] not in new_groups]
    present = work.writer.present_memberships(known) if known else set()
    added = [pair for pair, is_member in fold.edges.items() if is_member and pair not in present]
    removed = [pair for pair, is_member in fold.edges.items() if not is_member and pair in present]
    for pair in added:
        _record_edge(fold, pair, "group.member_added")
    for pair in removed:
        _record_edge(fold, pair, "group.member_removed")
    if added:
        work.writer.insert_memberships(added)
        _note_fresh_groups(fold, added)
    if removed:
        work.writer.delete_memberships(removed)
    work.counters["memberships_added"] += len(added)
    work.counters["memberships_removed"] += len(removed)
    if added or removed:
        _show_memberships(fold, [*added, *removed])
        _note_moved_memberships(fold, added, removed)
        work.is_changed = True


def _note_moved_users(fold: _Fold) -> None:
    """What the guard counts: who was active before this command and is not now, and the reverse."""
    removals = fold.removals
    for external_id, was_active in fold.was_active.items():
        user = fold.users[external_id]
        removals.activated += user.active and not was_active
        if was_active and not user.active:
            removals.users.add(user.member_id)
        if user.deleted_at is not None or (was_active and not user.active):
            removals.deprived.add(user.member_id)


def _note_moved_memberships(
    fold: _Fold, added: Sequence[tuple[GroupId, UserId]], removed: Sequence[tuple[GroupId, UserId]]
) -> None:
    """What the guard counts: memberships that end one by one. With a user who is deleted they go as a whole."""
    removals = fold.removals
    removals.joined.update(group_id for group_id, _ in added)
    removals.left.update(group_id for group_id, _ in removed)
    for group_id, user_id in removed:
        if user_id not in fold.cleared:
            member_id = fold.users[fold.by_user_id[user_id]].member_id
            removals.memberships.setdefault(group_id, set()).add(member_id)
            removals.deprived.add(member_id)


def _show_memberships(fold: _Fold, pairs: Sequence[tuple[GroupId, UserId]]) -> None:
    """A SCIM client sees other members of these groups, and other groups of these users."""
    if fold.is_pushed:
        new = {group.group_id for group in fold.new_groups.values()}
        fold.work.shown_users.update(user_id for _, user_id in pairs)
        fold.work.writer.touch_groups({group_id for group_id, _ in pairs} - new, fold.work.now)


def _record_edge(fold: _Fold, pair: tuple[GroupId, UserId], action: str) -> None:
    work = fold.work
    group_id, user_id = pair
    user = fold.users.get(fold.by_user_id[user_id])
    assert user is not None  # noqa: S101 - every edge is made from a user of the fold
    before, after = (None, user_id) if action == "group.member_added" else (user_id, None)
    event_id = work.ledger.record(
        action,
        (_user_target(user), Target("group", group_id, role="object")),
        (FieldChange("member", before, after),),
        group_id=group_id,
    )
    work.group_causes[user.member_id, group_id] = event_id
    if work.model.access.has_rules(group_id):
        work.touch(user.member_id, event_id)


def _set_nesting(
    fold: _Fold, group_id: ExternalId, subgroups: Sequence[ExternalId], *, is_nested: bool
) -> None:
    group = fold.groups.get(group_id)
    if group is None or group.deleted_at is not None:
        fold.work.counters["groups_unknown"] += 1
        return
    for external_id in subgroups:
        subgroup = fold.groups.get(external_id)
        if subgroup is None or subgroup.deleted_at is not None:
            fold.work.counters["subgroups_unknown"] += 1
            continue
        fold.nesting[group.group_id, subgroup.group_id] = is_nested


def _store_nesting(fold: _Fold) -> None:
    work = fold.work
    if not fold.nesting:
        return
    present = work.writer.nestings_of({group_id for group_id, _ in fold.nesting})
    added = [pair for pair, is_nested in fold.nesting.items() if is_nested and pair not in present]
    removed = [pair for pair, is_nested in fold.nesting.items() if not is_nested and pair in present]
    for (group_id, subgroup_id), action in [(pair, "group.subgroup_added") for pair in added] + [
        (pair, "group.subgroup_removed") for pair in removed
    ]:
        is_added = action == "group.subgroup_added"
        fold.group_events[group_id] = work.ledger.record(
            action,
            (Target("group", group_id), Target("group", subgroup_id, role="object")),
            (FieldChange("subgroup", None if is_added else subgroup_id, subgroup_id if is_added else None),),
        )
    fold.is_nesting_moved |= bool(added or removed) and not fold.is_pushed
    if added:
        work.writer.insert_subgroups(added)
    if removed:
        work.writer.delete_subgroups(removed)
    if fold.is_pushed and (added or removed):
        work.writer.touch_groups({group_id for group_id, _ in (*added, *removed)}, work.now)
    work.counters["nestings_added"] += len(added)
    work.counters["nestings_removed"] += len(removed)
    work.is_changed = work.is_changed or bool(added or removed)


def _follow_groups(fold: _Fold) -> None:
    """Move the access model with groups that rules depend on: by name, by id, or by nesting."""
    work = fold.work
    if not fold.group_events:
        return
    model = work.model
    in_rules = {rule.match.group_id for rule in model.inputs.rules if isinstance(rule.match, GroupMatch)}
    if (
        fold.is_nesting_moved
        or fold.directory.directory_id in model.name_match_directories
        or any(group_id in in_rules or model.access.has_rules(group_id) for group_id in fold.group_events)
    ):
        first = next(iter(fold.group_events.values()))
        follow_model(work, first, work.command.kind, events=fold.group_events)
