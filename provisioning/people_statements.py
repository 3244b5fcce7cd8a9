"""What is said of one person: overrides, blocks, invitations, removal."""

from datetime import UTC, datetime

from audit.events import PII_PREFIX, Reason, Target
from directory.changes import (
    AcceptInvitation,
    EndInvitation,
    EndOverride,
    Invite,
    LiftBlock,
    RemoveMember,
    SetBlock,
    SetOverride,
)
from directory.facts import name_key
from directory.ids import EventId, InvitationId, MemberId
from provisioning.errors import Refusal, RefusalCode
from provisioning.seats import free_seats, seat_limit
from provisioning.state import (
    MemberRecord,
    NewMember,
    PersonalData,
    Seat,
    StoredBlock,
    StoredInvitation,
    StoredOverride,
)
from provisioning.statements import (
    check_end,
    check_grants,
    check_person,
    field_change,
    find_member,
    invalid,
    member_target,
    not_found,
    seat_refusal,
)
from provisioning.work import Work

_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


def _refer_to_reason(work: Work, member_id: MemberId, reason: str) -> str:
    """Keep what was written about somebody among what can be erased; the reference to it."""
    ref = work.mint.id()
    work.writer.insert_personal_data([PersonalData(ref, member_id, {"text": reason})])
    return f"{PII_PREFIX}{ref}"


def set_override(work: Work, change: SetOverride) -> None:
    record = find_member(work, change.member_id)
    known = work.writer.override(change.override_id)
    if known is not None:
        said = (change.member_id, change.grants, change.reason, change.ends_at)
        if (known.member_id, known.grants, known.reason, known.ends_at) == said:
            return
        raise invalid(f"there is an override '{change.override_id}' that says something else; use a new id")
    check_end(work, change.ends_at, "the override")
    if not change.reason.strip():
        raise invalid("an override needs a reason")
    check_person(work, record, "overridden", keeps=change.grants)
    check_grants(work, change.grants)
    standing = work.writer.override_of(change.member_id)
    if standing is not None:
        _close_override(work, standing, record, "replaced")
    event_id = work.ledger.record(
        "override.set",
        (member_target(record), Target("override", change.override_id, role="object")),
        (
            field_change("grants", None, tuple(sorted(f"{role}@{scope}" for role, scope in change.grants))),
            field_change("reason", None, _refer_to_reason(work, change.member_id, change.reason)),
            field_change("ends_at", None, f"{change.ends_at:%Y-%m-%dT%H:%M:%SZ}"),
        ),
    )
    override = StoredOverride(
        override_id=change.override_id,
        member_id=change.member_id,
        grants=change.grants,
        reason=change.reason,
        author=work.author,
        created_event=event_id,
        ends_at=change.ends_at,
        ended_at=None,
    )
    work.writer.insert_override(override, work.now)
    work.touch(change.member_id, event_id, "override")


def end_override(work: Work, change: EndOverride) -> None:
    override = work.writer.override(change.override_id)
    if override is None:
        raise not_found("override", change.override_id)
    if override.ended_at is not None:
        return
    # Also of a member who is gone: an override must not stand for ever because of that.
    record = work.writer.member_records([override.member_id])[override.member_id]
    event_id = _close_override(work, override, record, "expired" if change.expired else "ended")
    work.touch(override.member_id, event_id, "override")


def _close_override(work: Work, override: StoredOverride, record: MemberRecord, reason: str) -> EventId:
    work.writer.end_override(override.override_id, work.now)
    return work.ledger.record(
        "override.ended",
        (member_target(record), Target("override", override.override_id, role="object")),
        parent=work.adopt(override.created_event),
        reason=Reason(reason),
    )


def set_block(work: Work, change: SetBlock) -> None:
    record = find_member(work, change.member_id)
    if record.facts.is_blocked:
        return
    if not change.reason.strip():
        raise invalid("a block needs a reason")
    check_person(work, record, "blocked")
    work.writer.insert_block(StoredBlock(change.member_id, change.reason, work.author, work.now))
    reason = _refer_to_reason(work, change.member_id, change.reason)
    event_id = work.ledger.record(
        "block.set", (member_target(record),), (field_change("reason", None, reason),)
    )
    work.touch(change.member_id, event_id, "block")


def lift_block(work: Work, change: LiftBlock) -> None:
    record = find_member(work, change.member_id)
    block = work.writer.block_of(change.member_id)
    if block is None:
        return
    work.writer.delete_block(change.member_id)
    reason = _refer_to_reason(work, change.member_id, block.reason)
    event_id = work.ledger.record(
        "block.lifted", (member_target(record),), (field_change("reason", reason, None),)
    )
    work.touch(change.member_id, event_id, "block")


def invite(work: Work, change: Invite) -> None:
    check_end(work, change.ends_at, "the invitation")
    key = name_key(change.mail)
    if "@" not in key.strip("@"):
        raise invalid(f"'{change.mail}' is not a mail address")
    known = work.writer.invitation(change.invitation_id)
    if known is not None:
        said = (change.mail, change.role, change.scope_id, change.ends_at)
        if (known.mail, known.role, known.scope_id, known.ends_at) == said:
            return
        raise invalid(
            f"there is an invitation '{change.invitation_id}' that says something else; use a new id"
        )
    if work.writer.members_by_mail({key}):
        raise invalid(f"a member with the mail '{change.mail}' exists; use an override to change the access")
    # As many as there are reserved seats: each open invitation holds one.
    standing = work.writer.invitations_due(_NEVER, work.state.reserved) if work.state.reserved else []
    if any(name_key(invitation.mail) == key for invitation in standing):
        raise invalid(f"'{change.mail}' is invited already; withdraw that invitation before another one")
    check_grants(work, ((change.role, change.scope_id),))
    limit = seat_limit(work.state, work.model.catalogue)
    used = work.state.seated + work.state.reserved
    if free_seats(limit, used) == 0:
        raise seat_refusal(work, "The person was not invited.")
    pii_ref = work.mint.id()
    work.writer.insert_personal_data([PersonalData(pii_ref, change.invitation_id, {"mail": change.mail})])
    event_id = work.ledger.record(
        "invitation.created",
        (Target("invitation", change.invitation_id, pii=pii_ref),),
        (
            field_change("role", None, change.role),
            field_change("scope_id", None, change.scope_id),
            field_change("ends_at", None, f"{change.ends_at:%Y-%m-%dT%H:%M:%SZ}"),
        ),
    )
    invitation = StoredInvitation(
        invitation_id=change.invitation_id,
        mail=change.mail,
        role=change.role,
        scope_id=change.scope_id,
        state="pending",
        created_event=event_id,
        ends_at=change.ends_at,
        pii_ref=pii_ref,
    )
    work.writer.insert_invitation(invitation, work.now)
    work.amend(reserved=work.state.reserved + 1)
    work.seat_event = event_id


def _invitation(work: Work, invitation_id: InvitationId) -> StoredInvitation:
    invitation = work.writer.invitation(invitation_id)
    if invitation is None:
        raise not_found("invitation", invitation_id)
    return invitation


def accept_invitation(work: Work, change: AcceptInvitation) -> None:
    invitation = _invitation(work, change.invitation_id)
    if invitation.state != "pending":
        raise invalid(f"the invitation is {invitation.state}")
    if invitation.ends_at <= work.now:
        raise invalid("the invitation has ended; ask for a new one")
    work.writer.end_invitation(change.invitation_id, "accepted")
    event_id = work.ledger.record(
        "invitation.accepted",
        (
            Target("invitation", change.invitation_id, pii=invitation.pii_ref),
            Target("member", change.member_id, role="object", pii=invitation.pii_ref),
        ),
        parent=work.adopt(invitation.created_event),
    )
    given = (invitation.role, invitation.scope_id)
    record = work.writer.member_records([change.member_id]).get(change.member_id)
    if record is not None:
        work.writer.set_invited(change.member_id, (*record.facts.invited, given))
    else:
        member = NewMember(
            change.member_id,
            invitation.mail,
            invitation.mail,
            invitation.pii_ref,
            is_active=False,
            invited=(given,),
        )
        work.writer.insert_members([member], work.now)
        event_id = work.ledger.record(
            "member.created",
            (Target("member", change.member_id, pii=invitation.pii_ref),),
            (field_change("active", None, True),),
            parent=event_id,
        )
        work.newcomers.add(change.member_id)
        work.counters["members_created"] += 1
    # The reserved seat becomes the member's in this transaction: nobody else can be given it in between.
    work.amend(reserved=work.state.reserved - 1)
    work.entitled.add(change.member_id)
    work.touch(change.member_id, event_id, "invitation")
    if record is not None and record.seat is Seat.SEATED:
        work.open_seats(event_id, "seat_policy")


def end_invitation(work: Work, change: EndInvitation) -> None:
    invitation = _invitation(work, change.invitation_id)
    if invitation.state == "accepted":
        raise invalid("the invitation is accepted; remove the member instead")
    if invitation.state != "pending":
        return
    work.writer.end_invitation(change.invitation_id, "expired" if change.expired else "withdrawn")
    event_id = work.ledger.record(
        "invitation.ended",
        (Target("invitation", change.invitation_id, pii=invitation.pii_ref),),
        parent=work.adopt(invitation.created_event),
        reason=Reason("expired" if change.expired else "withdrawn"),
    )
    work.amend(reserved=work.state.reserved - 1)
    work.open_seats(event_id, "seat_policy")


def remove_member(work: Work, change: RemoveMember) -> None:
    record = work.writer.member_records([change.member_id]).get(change.member_id)
    if record is None:
        raise not_found("member", change.member_id)
    if record.is_deleted:
        return
    check_person(work, record, "removed")
    if record.has_users:
        raise Refusal(
            RefusalCode.NOT_ALLOWED,
            f"member '{record.display_name}' is managed by a directory; remove the person there, or set a block",
            subject=record.member_id,
        )
    work.writer.set_invited(change.member_id, ())
    event_id = work.ledger.record(
        "member.updated",
        (member_target(record),),
        (field_change("grants", tuple(f"{role}@{scope}" for role, scope in record.facts.invited), ()),),
    )
    work.touch(change.member_id, event_id)
