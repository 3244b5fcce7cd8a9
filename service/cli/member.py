"""`usher member`: people of an organisation, and an administrator's exceptions for them."""

from collections.abc import Iterator
from datetime import datetime

import click

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
from directory.ids import InvitationId, MemberId, OverrideId, RoleId, ScopeId
from mappings.access import Access, headline
from mappings.rules import Grant
from mappings.scopes import ScopeGraph
from provisioning.models import OrganisationModel
from provisioning.ports import Reader
from provisioning.state import MemberRecord, Seat, StagedChange
from service.administration import Administration
from service.cli.changing import carry_out, pairs_text, preview_options
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.values import AHEAD, GRANT
from service.errors import NotFoundError
from service.labels import scope_name
from service.names import find_invitation, find_member, find_role, find_scope

_AT_ONCE = 500


@click.group(cls=UsherGroup)
def member() -> None:
    """People of an organisation, and exceptions for them."""


def _model(administration: Administration, reader: Reader) -> OrganisationModel:
    return administration.wiring.models.get(reader, reader.organisation())


@member.command("list")
@click.option(
    "--seat", type=click.Choice([seat.value for seat in Seat]), help="Only people with this seat state."
)
@click.option("--role", "role_name", default="", help="Only people who hold this role somewhere.")
@click.option("--inactive", is_flag=True, help="Only people who may not act.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("--after", default="", metavar="ID", help="Go on behind this member id.")
@organisation_option
def list_(seat: str | None, role_name: str, inactive: bool, limit: int, after: str) -> None:
    """List members with what they hold."""
    call = current()
    administration = call.administration
    rows: list[dict[str, object]] = []
    more = False
    with administration.read() as reader:
        model = _model(administration, reader)
        role = find_role(model, role_name) if role_name else None
        owner = reader.organisation().owner_id
        for record in _records(reader, after):
            holds = {held.grant.role for held in record.held}
            if (
                seat not in {None, record.seat.value}
                or (role is not None and role not in holds)
                or (inactive and record.is_active)
            ):
                continue
            more = len(rows) == limit
            if more:
                break
            rows.append({**_member_row(record, model), "owner": record.member_id == owner})
    columns = {
        "name": "Member",
        "mail": "Mail",
        "active": "Active",
        "seat": "Seat",
        "headline": "Role",
        "access": "Holds",
        "id": "Id",
    }
    call.output.listing(rows, columns, empty="There is no such member.")
    if more:
        call.output.note(f"There are more; go on with --after {rows[-1]['id']}")


def _records(reader: Reader, after: str) -> Iterator[MemberRecord]:
    last: MemberId | None = MemberId(after) if after else None
    while ids := reader.member_ids(last, _AT_ONCE):
        last = ids[-1]
        records = reader.member_records(ids)
        yield from (records[member_id] for member_id in ids if member_id in records)


def _member_row(record: MemberRecord, model: OrganisationModel) -> dict[str, object]:
    return {
        "name": record.display_name,
        "mail": record.mail,
        "active": record.is_active,
        "seat": record.seat.value,
        "headline": _headline(record, model),
        "access": pairs_text([held.grant.pair for held in record.held], model.scopes),
        "grants": [
            _grant_document(held.grant.role, held.grant.scope_id, model.scopes) for held in record.held
        ],
        "id": record.member_id,
    }


def _grant_document(role: RoleId, scope_id: ScopeId, scopes: ScopeGraph) -> dict[str, object]:
    return {"role": role, "scope": scope_name(scopes, scope_id), "scope_id": scope_id}


def _headline(record: MemberRecord, model: OrganisationModel) -> str:
    held = Access(
        is_active=True, grants=tuple(open_grant.grant for open_grant in record.held), priority=0, rank=0
    )
    shown = headline(held, model.roles, model.scopes)
    if shown is None:
        return ""
    role, level = shown
    kind = model.catalogue.scope_kinds.get(level)
    return f"{role}, {kind.label if kind else level}"


@member.command()
@click.argument("name", metavar="MEMBER")
@organisation_option
def show(name: str) -> None:
    """Show one member: what directories say, what is held and why, and any exception."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        record = find_member(reader, name)
        document = _member_document(administration, reader, record)
    call.output.record(document, _HEADINGS)


_HEADINGS = {
    "name": "Member",
    "mail": "Mail",
    "id": "Id",
    "owner": "Owner",
    "active": "Active",
    "seat": "Seat",
    "waiting_since": "Waits since",
    "headline": "Role",
    "access": "Holds",
    "because": "Because of",
    "users_text": "Directory users",
    "groups": "Groups",
    "override_text": "Override",
    "block_text": "Block",
    "held_back": "Held for want of another Admin",
    "staged_text": "Held by the guard",
}


def _member_document(
    administration: Administration, reader: Reader, record: MemberRecord
) -> dict[str, object]:
    model = _model(administration, reader)
    directories = {directory.directory_id: directory.name for directory in reader.directories()}
    users = reader.users_of_members([record.member_id])
    group_ids = [group_id for group_id, _ in reader.groups_of_users([user.user_id for user in users])]
    groups = reader.groups_by_id(group_ids)
    override, block = reader.override_of(record.member_id), reader.block_of(record.member_id)
    return {
        **_member_row(record, model),
        "owner": record.facts.is_owner,
        "waiting_since": record.waiting_since,
        "because": [_because(held.grant, model.scopes) for held in record.held],
        "users": [
            {
                "directory": directories[user.directory_id],
                "user_name": user.user_name,
                "external_id": user.external_id,
                "active": user.active,
                "mails": list(user.mails),
                "dn": user.dn,
                "user_id": user.user_id,
            }
            for user in users
        ],
        "users_text": [
            f"{user.user_name} in {directories[user.directory_id]} ({'active' if user.active else 'inactive'})"
            for user in users
        ],
        "groups": sorted(group.display_name for group in groups.values()),
        "override": None
        if override is None
        else {
            "id": override.override_id,
            "grants": [_grant_document(role, scope_id, model.scopes) for role, scope_id in override.grants],
            "reason": override.reason,
            "author": override.author,
            "ends_at": override.ends_at,
        },
        "override_text": None
        if override is None
        else f"{pairs_text(override.grants, model.scopes)} until {override.ends_at:%Y-%m-%d %H:%M} UTC "
        f"by {override.author}: {override.reason}",
        "block": None if block is None else {"reason": block.reason, "author": block.author},
        "block_text": None if block is None else f"by {block.author}: {block.reason}",
        "held_back": record.is_held,
        **_staged_document(record.staged),
    }


def _staged_document(staged: StagedChange | None) -> dict[str, object]:
    if staged is None:
        return {"staged": None, "staged_text": None}
    state = "rejected" if staged.is_rejected else "waits"
    return {
        "staged": {"since": staged.staged_at, "rejected": staged.is_rejected},
        "staged_text": f"{state} since {staged.staged_at:%Y-%m-%d %H:%M} UTC",
    }


def _because(grant: Grant, scopes: ScopeGraph) -> str:
    basis = grant.provenance
    why = f"rule {basis.rule_id} version {basis.rule_version}" if basis.rule_id else basis.source.value
    return f"{pairs_text([grant.pair], scopes)}: {why}"


@member.command()
@click.argument("name", metavar="MEMBER")
@click.option(
    "--grant", "grants", type=GRANT, multiple=True, required=True, help="ROLE@SCOPE; several are united."
)
@click.option("--until", type=AHEAD, required=True, help="When it ends: 2026-12-31, or 7d for in seven days.")
@click.option("--reason", required=True, help="Why; it stands in the record.")
@preview_options
@organisation_option
def override(
    name: str,
    grants: tuple[tuple[str, str], ...],
    until: datetime,
    reason: str,
    preview: bool,
    plan_hash: str,
) -> None:
    """Give a member exactly these grants, in place of what directories give, until a moment."""
    administration = current().administration
    with administration.read() as reader:
        record = find_member(reader, name)
        model = _model(administration, reader)
        pairs = tuple(
            (find_role(model, role), find_scope(model.scopes, scope).scope_id) for role, scope in grants
        )
    change = SetOverride(OverrideId(administration.wiring.mint.id()), record.member_id, pairs, reason, until)
    outcome = carry_out(administration, [change], preview=preview, plan_hash=plan_hash)
    if outcome is not None:
        current().output.say(
            f"{record.display_name} holds {pairs_text(pairs, model.scopes)} until {until:%Y-%m-%d %H:%M} UTC.",
            {"override_id": change.override_id, "member_id": record.member_id, "events": outcome.events},
        )


@member.command("end-override")
@click.argument("name", metavar="MEMBER")
@preview_options
@organisation_option
def end_override(name: str, preview: bool, plan_hash: str) -> None:
    """End a member's override now; what the directories give returns."""
    administration = current().administration
    with administration.read() as reader:
        record = find_member(reader, name)
        standing = reader.override_of(record.member_id)
    if standing is None:
        raise NotFoundError(f"member '{record.display_name}' has no override")
    outcome = carry_out(
        administration, [EndOverride(standing.override_id)], preview=preview, plan_hash=plan_hash
    )
    if outcome is not None:
        current().output.say(
            f"The override of {record.display_name} is ended.",
            {"member_id": record.member_id, "events": outcome.events},
        )


@member.command()
@click.argument("name", metavar="MEMBER")
@click.option("--reason", required=True, help="Why; it stands in the record.")
@preview_options
@organisation_option
def block(name: str, reason: str, preview: bool, plan_hash: str) -> None:
    """Keep a member from acting, whatever any directory says, until the block is lifted."""
    administration = current().administration
    with administration.read() as reader:
        record = find_member(reader, name)
    change = SetBlock(record.member_id, reason)
    outcome = carry_out(administration, [change], preview=preview, plan_hash=plan_hash)
    if outcome is not None:
        current().output.say(
            f"{record.display_name} is blocked.", {"member_id": record.member_id, "events": outcome.events}
        )


@member.command()
@click.argument("name", metavar="MEMBER")
@preview_options
@organisation_option
def unblock(name: str, preview: bool, plan_hash: str) -> None:
    """Lift a member's block; access follows from the directories again."""
    administration = current().administration
    with administration.read() as reader:
        record = find_member(reader, name)
    change = LiftBlock(record.member_id)
    outcome = carry_out(administration, [change], preview=preview, plan_hash=plan_hash)
    if outcome is not None:
        current().output.say(
            f"{record.display_name} is not blocked any more.",
            {"member_id": record.member_id, "events": outcome.events},
        )


@member.command()
@click.argument("mail")
@click.option("--grant", type=GRANT, required=True, help="ROLE@SCOPE to be held once accepted.")
@click.option("--until", type=AHEAD, default="7d", show_default=True, help="When the invitation ends.")
@organisation_option
def invite(mail: str, grant: tuple[str, str], until: datetime) -> None:
    """Invite a person whom no directory brings. The invitation holds a seat until it ends."""
    administration = current().administration
    with administration.read() as reader:
        model = _model(administration, reader)
        role = find_role(model, grant[0])
        scope_id = find_scope(model.scopes, grant[1]).scope_id
    change = Invite(InvitationId(administration.wiring.mint.id()), mail, role, scope_id, until)
    outcome = administration.apply([change])
    current().output.say(
        f"{mail} is invited as {pairs_text([(role, scope_id)], model.scopes)} until {until:%Y-%m-%d %H:%M} UTC; "
        f"accept it with 'usher member accept {change.invitation_id}'.",
        {"invitation_id": change.invitation_id, "ends_at": until, "events": outcome.events},
    )


@member.command()
@click.argument("invitation")
@organisation_option
def accept(invitation: str) -> None:
    """Note that an invitation was accepted, by its id or mail: the person becomes a member in the reserved seat."""
    administration = current().administration
    with administration.read() as reader:
        pending = find_invitation(reader, invitation)
    invitation_id = pending.invitation_id if pending is not None else InvitationId(invitation)
    change = AcceptInvitation(invitation_id, MemberId(administration.wiring.mint.id()))
    outcome = administration.apply([change])
    current().output.say(
        f"{pending.mail if pending else invitation} is a member now.",
        {"member_id": change.member_id, "invitation_id": invitation_id, "events": outcome.events},
    )


@member.command()
@click.argument("name", metavar="MEMBER|INVITATION")
@organisation_option
def remove(name: str) -> None:
    """End the membership of a person whom no directory manages, or withdraw an invitation."""
    administration = current().administration
    with administration.read() as reader:
        pending = find_invitation(reader, name)
        record = None if pending is not None else find_member(reader, name)
    if record is None:
        # The one of the two that is there, `find_member` having found or refused the other.
        invitation_id = pending.invitation_id if pending is not None else InvitationId(name)
        outcome = administration.apply([EndInvitation(invitation_id)])
        current().output.say(
            f"The invitation of {name} is withdrawn.",
            {"invitation_id": invitation_id, "events": outcome.events},
        )
        return
    outcome = administration.apply([RemoveMember(record.member_id)])
    current().output.say(
        f"{record.display_name} is not a member any more.",
        {"member_id": record.member_id, "events": outcome.events},
    )
