"""Whose a new directory user is: a member that is known already, or a new one."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from audit.events import FieldChange, Target
from directory.facts import name_key
from directory.ids import EventId, ExternalId, MemberId
from mappings.access import LinkedUser, MemberFacts
from provisioning.fold import Fold, mail_of, name_of
from provisioning.state import MemberRecord, NewMember, Seat, StoredUser
from provisioning.takeover import take_over
from provisioning.work import JUST_IN_TIME

_NO_ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def link_members(fold: Fold) -> None:
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
    linked_members: dict[MemberId, EventId] = {}
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
            linked_members[member_id] = event_id
        else:
            member_id = fold.resolved.get(external_id) or MemberId(work.mint.id())
            work.newcomers.add(member_id)
            new_members.append(
                NewMember(member_id, name_of(user), mail_of(user), user.pii_ref, is_active=False)
            )
            if user.deleted_at is None:
                work.fresh[member_id] = _fresh_record(member_id, user)
            event_id = work.ledger.record(
                "member.created",
                (Target("member", member_id, pii=user.pii_ref), Target("user", user.user_id, role="object")),
                (FieldChange("active", None, user.active and user.deleted_at is None),),
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
    if linked_members and fold.directory.kind != JUST_IN_TIME:
        take_over(work, linked_members)
    work.is_changed = True


def _fresh_record(member_id: MemberId, user: StoredUser) -> MemberRecord:
    """A member as it is stored when it has just been made: nothing held, no seat, no block."""
    return MemberRecord(
        facts=MemberFacts(
            member_id, (LinkedUser(user.user_id, user.directory_id, user.active, (), _NO_ATTRIBUTES),)
        ),
        display_name=name_of(user),
        mail=mail_of(user),
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


def _candidates(fold: Fold) -> dict[ExternalId, set[MemberId]]:
    """Members that new users may be, found by the client's own id or else by a mail of a verified domain.

    Of a person whose user was deleted only that id brings the membership back; a name or a mail may be another's.
    Whom a login makes has been looked for already, and more strictly.
    """
    if fold.directory.kind == JUST_IN_TIME:
        return {}
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


def _link_id(fold: Fold, user: StoredUser) -> ExternalId:
    """The id by which the client knows the person, wherever else that client speaks; empty when it gave none."""
    return ExternalId(user.client_id) if fold.is_pushed else user.external_id


def _by_link_id(
    ids: Mapping[ExternalId, ExternalId], members: Mapping[ExternalId, set[MemberId]]
) -> dict[ExternalId, set[MemberId]]:
    return {external_id: members[link_id] for external_id, link_id in ids.items() if link_id in members}
