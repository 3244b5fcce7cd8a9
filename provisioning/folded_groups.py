"""What a directory says about groups, memberships and nesting, folded into stored facts."""

from collections.abc import Sequence
from dataclasses import replace

from audit.events import FieldChange, Target
from directory.changes import GroupMatch
from directory.facts import GroupFacts
from directory.ids import ExternalId, GroupId, MemberId, UserId
from provisioning.fold import Fold, check_text, user_target
from provisioning.state import StoredGroup
from provisioning.work import follow_model, queue_groups


def put_group(fold: Fold, said: GroupFacts, fingerprint: bytes) -> None:
    """The group exists as said. Its members are not touched. Raises Refusal."""
    work = fold.work
    for what, text in (("external id", said.external_id), ("name", said.display_name)):
        check_text("group", said.external_id, what, text)
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


def delete_group(fold: Fold, external_id: ExternalId) -> None:
    """The group is gone, and with it its memberships and nestings."""
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


def store_groups(fold: Fold) -> None:
    """Write the groups that moved."""
    writer = fold.work.writer
    if fold.new_groups:
        writer.insert_groups(list(fold.new_groups.values()))
    if fold.changed_groups:
        writer.update_groups(list(fold.changed_groups.values()))
    if fold.new_groups or fold.changed_groups:
        fold.work.is_changed = True


def set_edges(fold: Fold, group_id: ExternalId, users: Sequence[ExternalId], *, is_member: bool) -> None:
    """Note that these users are in the group, or are not; unknown ones are counted and left out."""
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


def store_memberships(fold: Fold) -> None:
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


def _note_fresh_groups(fold: Fold, added: Sequence[tuple[GroupId, UserId]]) -> None:
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


def _note_moved_memberships(
    fold: Fold, added: Sequence[tuple[GroupId, UserId]], removed: Sequence[tuple[GroupId, UserId]]
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


def _show_memberships(fold: Fold, pairs: Sequence[tuple[GroupId, UserId]]) -> None:
    """A SCIM client sees other members of these groups, and other groups of these users."""
    if fold.is_pushed:
        new = {group.group_id for group in fold.new_groups.values()}
        fold.work.shown_users.update(user_id for _, user_id in pairs)
        fold.work.writer.touch_groups({group_id for group_id, _ in pairs} - new, fold.work.now)


def _record_edge(fold: Fold, pair: tuple[GroupId, UserId], action: str) -> None:
    work = fold.work
    group_id, user_id = pair
    user = fold.users.get(fold.by_user_id[user_id])
    assert user is not None  # noqa: S101 - every edge is made from a user of the fold
    before, after = (None, user_id) if action == "group.member_added" else (user_id, None)
    event_id = work.ledger.record(
        action,
        (user_target(user), Target("group", group_id, role="object")),
        (FieldChange("member", before, after),),
        group_id=group_id,
    )
    work.group_causes[user.member_id, group_id] = event_id
    if work.model.access.has_rules(group_id):
        work.touch(user.member_id, event_id)


def set_nesting(
    fold: Fold, group_id: ExternalId, subgroups: Sequence[ExternalId], *, is_nested: bool
) -> None:
    """Note that these groups are nested in the group, or are not."""
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


def store_nesting(fold: Fold) -> None:
    """Write the nestings that differ from what is stored, an event for each."""
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


def follow_groups(fold: Fold) -> None:
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
