"""What a directory says about users, folded into stored facts, with an event for what moved."""

from collections.abc import Mapping
from dataclasses import replace

from audit.events import FieldChange, Reason
from directory.facts import Activity, UserFacts
from directory.ids import ExternalId, MemberId, UserId
from provisioning.errors import Refusal, RefusalCode
from provisioning.fold import Fold, check_text, mail_of, name_of, user_target
from provisioning.linking import link_members
from provisioning.state import PersonalData, StoredUser

_PROFILE = ("user_name", "display_name", "given_name", "family_name", "mails", "dn", "client_id")


def put_user(fold: Fold, said: UserFacts, fingerprint: bytes) -> None:
    """The user is as said: created, changed, brought back, activated or deactivated. Raises Refusal."""
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
        check_text("user", said.external_id, what, text)
    for name, values in (("dn", (said.dn,)), *said.attributes.items()):
        for text in values:
            check_text("user", said.external_id, name, text, is_name=False)


def _create_user(fold: Fold, said: UserFacts, fingerprint: bytes) -> None:
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
        (user_target(user),),
        (FieldChange("active", None, user.active), FieldChange("profile", None, f"pii:{user.pii_ref}")),
    )
    work.counters["users_created"] += 1
    fold.users[said.external_id] = fold.new_users[said.external_id] = user
    fold.by_user_id[user.user_id] = said.external_id
    fold.user_events[said.external_id] = event_id


def _record_user_change(fold: Fold, stored: StoredUser, put: StoredUser, reason: str = "") -> None:
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
        if name_of(stored) != name_of(put):
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
        action, (user_target(put),), tuple(changes), reason=Reason(reason) if reason else None
    )
    work.counters[counter] += 1
    fold.user_events.setdefault(external_id, event_id)
    if put.member_id:
        work.touch(put.member_id, event_id)
        if put.active and not (stored.active and stored.deleted_at is None):
            work.explicit.add(put.member_id)


def _check_owner(fold: Fold, stored: StoredUser, put: StoredUser) -> None:
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


def deactivate_user(fold: Fold, external_id: ExternalId, reason: str) -> None:
    """The user may no longer act; row and memberships stay."""
    stored = fold.users.get(external_id)
    if stored is None or stored.deleted_at is not None:
        fold.work.counters["users_unknown"] += stored is None
        return
    # The fingerprint goes with the access: when the source shows the user again, that is a change. The moment
    # starts the retention.
    put = replace(stored, active=False, fingerprint=b"", absent_runs=0, updated_at=fold.work.now)
    if stored.active or stored.fingerprint:
        _record_user_change(fold, stored, put, reason)


def delete_user(fold: Fold, external_id: ExternalId) -> None:
    """The user left: memberships end, a tombstone stays."""
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
        "mail": mail_of(user),
        "dn": user.dn,
        "external_id": user.client_id or user.external_id,
    }
    return PersonalData(user.pii_ref, user.user_id, {key: value for key, value in values.items() if value})


def store_users(fold: Fold) -> None:
    """Write the users that moved, and link the new ones to members."""
    work = fold.work
    if fold.new_users:
        link_members(fold)
        work.writer.insert_users(list(fold.new_users.values()))
    if fold.changed_users:
        work.writer.update_users(list(fold.changed_users.values()))
        work.is_changed = True
    _store_profiles(fold)
    if work.personal_data:
        work.writer.insert_personal_data(work.personal_data)
        work.personal_data.clear()


def _store_profiles(fold: Fold) -> None:
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
            [(user.member_id, name_of(user), mail_of(user), user.pii_ref) for user in users]
        )


def note_moved_users(fold: Fold) -> None:
    """What the guard counts: who was active before this command and is not now, and the reverse."""
    removals = fold.removals
    for external_id, was_active in fold.was_active.items():
        user = fold.users[external_id]
        removals.activated += user.active and not was_active
        if was_active and not user.active:
            removals.users.add(user.member_id)
        if user.deleted_at is not None or (was_active and not user.active):
            removals.deprived.add(user.member_id)
