"""What administrators decide about single people: overrides, blocks, invitations."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Integer, Text, bindparam, delete, exists, insert, literal_column, select, update

from directory.facts import name_key
from directory.ids import InvitationId, MemberId, OverrideId, RoleId, ScopeId
from provisioning.state import StoredBlock, StoredInvitation, StoredOverride
from storage.tables import block, invitation, member, override
from storage.types import (
    Id,
    Moment,
    read_document,
    read_moment,
    read_optional_moment,
    read_pairs,
)
from storage.view import ORGANISATION, Row, View

_MEMBER = bindparam("of_member", type_=Id)
_MOMENT = bindparam("moment", type_=Moment)
_ROLE = bindparam("of_role", type_=Text)
_LIMIT = bindparam("row_limit", type_=Integer)

_OVERRIDES = override.c
_OVERRIDE_OF_ORGANISATION = _OVERRIDES.organisation_id == ORGANISATION
_IS_OPEN = _OVERRIDES.ended_at.is_(None)
_OVERRIDE = bindparam("of_override", type_=Id)
_OVERRIDES_OF_ORGANISATION = select(
    _OVERRIDES.id,
    _OVERRIDES.member_id,
    _OVERRIDES.grants,
    _OVERRIDES.reason,
    _OVERRIDES.author,
    _OVERRIDES.created_event,
    _OVERRIDES.ends_at,
    _OVERRIDES.ended_at,
).where(_OVERRIDE_OF_ORGANISATION)
_SELECT_OVERRIDE = _OVERRIDES_OF_ORGANISATION.where(_OVERRIDES.id == _OVERRIDE)
_SELECT_OVERRIDE_OF_MEMBER = _OVERRIDES_OF_ORGANISATION.where(_OVERRIDES.member_id == _MEMBER, _IS_OPEN)
_SELECT_OVERRIDES_DUE = (
    _OVERRIDES_OF_ORGANISATION.where(_IS_OPEN, _OVERRIDES.ends_at <= _MOMENT)
    .order_by(_OVERRIDES.ends_at, _OVERRIDES.id)
    .limit(_LIMIT)
)
_INSERT_OVERRIDE = insert(override)
_END_OVERRIDE = (
    update(override)
    .values(ended_at=_MOMENT)
    .where(_OVERRIDE_OF_ORGANISATION, _OVERRIDES.id == _OVERRIDE, _IS_OPEN)
)

_BLOCKS = block.c
_BLOCK_OF_MEMBER = (_BLOCKS.organisation_id == ORGANISATION) & (_BLOCKS.member_id == _MEMBER)
_SELECT_BLOCK = select(_BLOCKS.member_id, _BLOCKS.reason, _BLOCKS.author, _BLOCKS.created_at).where(
    _BLOCK_OF_MEMBER
)
_INSERT_BLOCK = insert(block)
_DELETE_BLOCK = delete(block).where(_BLOCK_OF_MEMBER)

_INVITATIONS = invitation.c
_INVITATION_OF_ORGANISATION = _INVITATIONS.organisation_id == ORGANISATION
_INVITATION = bindparam("of_invitation", type_=Id)
# Spelled out, not bound: the partial index says it too, and only so can be chosen.
_IS_PENDING = _INVITATIONS.state == literal_column("'pending'")
_INVITATIONS_OF_ORGANISATION = select(
    _INVITATIONS.id,
    _INVITATIONS.mail,
    _INVITATIONS.role,
    _INVITATIONS.scope_id,
    _INVITATIONS.state,
    _INVITATIONS.created_event,
    _INVITATIONS.ends_at,
    _INVITATIONS.pii_ref,
).where(_INVITATION_OF_ORGANISATION)
_SELECT_INVITATION = _INVITATIONS_OF_ORGANISATION.where(_INVITATIONS.id == _INVITATION)
_SELECT_INVITATIONS_DUE = (
    _INVITATIONS_OF_ORGANISATION.where(_IS_PENDING, _INVITATIONS.ends_at <= _MOMENT)
    .order_by(_INVITATIONS.ends_at, _INVITATIONS.id)
    .limit(_LIMIT)
)
_INSERT_INVITATION = insert(invitation)
_END_INVITATION = (
    update(invitation)
    .values(state=bindparam("new_state", type_=Text))
    .where(_INVITATION_OF_ORGANISATION, _INVITATIONS.id == _INVITATION)
)
_SELECT_OPEN_OVERRIDES = select(_OVERRIDES.member_id, _OVERRIDES.grants).where(
    _OVERRIDE_OF_ORGANISATION, _IS_OPEN
)
_SELECT_ACCEPTED = select(member.c.id, member.c.invited).where(
    member.c.organisation_id == ORGANISATION, member.c.invited.is_not(None)
)
_IS_INVITED_TO_ROLE = select(
    exists().where(_INVITATION_OF_ORGANISATION, _IS_PENDING, _INVITATIONS.role == _ROLE)
)


def _read_override(row: Row) -> StoredOverride:
    return StoredOverride(
        override_id=row[0],
        member_id=row[1],
        grants=read_pairs(read_document(row[2])),
        reason=row[3],
        author=row[4],
        created_event=row[5],
        ends_at=read_moment(row[6]),
        ended_at=read_optional_moment(row[7]),
    )


def _read_invitation(row: Row) -> StoredInvitation:
    return StoredInvitation(
        invitation_id=row[0],
        mail=row[1],
        role=row[2],
        scope_id=row[3],
        state=row[4],
        created_event=row[5],
        ends_at=read_moment(row[6]),
        pii_ref=row[7],
    )


class OverridesReader(View):
    """Overrides, blocks and invitations as they stand."""

    def override(self, override_id: OverrideId) -> StoredOverride | None:
        row = self._row(_SELECT_OVERRIDE, of_override=override_id)
        return None if row is None else _read_override(row)

    def override_of(self, member_id: MemberId) -> StoredOverride | None:
        row = self._row(_SELECT_OVERRIDE_OF_MEMBER, of_member=member_id)
        return None if row is None else _read_override(row)

    def overrides_due(self, moment: datetime, limit: int) -> list[StoredOverride]:
        rows = self._rows(_SELECT_OVERRIDES_DUE, moment=moment, row_limit=limit)
        return [_read_override(row) for row in rows]

    def block_of(self, member_id: MemberId) -> StoredBlock | None:
        row = self._row(_SELECT_BLOCK, of_member=member_id)
        return None if row is None else StoredBlock(row[0], row[1], row[2], read_moment(row[3]))

    def invitation(self, invitation_id: InvitationId) -> StoredInvitation | None:
        row = self._row(_SELECT_INVITATION, of_invitation=invitation_id)
        return None if row is None else _read_invitation(row)

    def invitations_due(self, moment: datetime, limit: int) -> list[StoredInvitation]:
        rows = self._rows(_SELECT_INVITATIONS_DUE, moment=moment, row_limit=limit)
        return [_read_invitation(row) for row in rows]

    def members_given_at(self, scope_id: ScopeId) -> list[MemberId]:
        given = self._given()
        return sorted({member_id for member_id, grants in given if any(scope_id == at for _, at in grants)})

    def is_role_given(self, role: RoleId) -> bool:
        is_named = any(role == given for _, grants in self._given() for given, _ in grants)
        return is_named or bool(self._count(_IS_INVITED_TO_ROLE, of_role=role))

    def _given(self) -> Iterator[tuple[MemberId, tuple[tuple[RoleId, ScopeId], ...]]]:
        """What people were given one by one: they are few, and no query looks into documents."""
        for statement in (_SELECT_OPEN_OVERRIDES, _SELECT_ACCEPTED):
            for member_id, grants in self._pair_rows(statement):
                yield member_id, read_pairs(read_document(grants))


class OverridesWriter(OverridesReader):
    """Overrides, blocks and invitations as commands change them."""

    def insert_override(self, override: StoredOverride, at: datetime) -> None:
        self._insert(
            _INSERT_OVERRIDE,
            id=override.override_id,
            member_id=override.member_id,
            grants=override.grants,
            reason=override.reason,
            author=override.author,
            created_at=at,
            created_event=override.created_event,
            ends_at=override.ends_at,
            ended_at=override.ended_at,
        )

    def end_override(self, override_id: OverrideId, at: datetime) -> None:
        self._run(_END_OVERRIDE, of_override=override_id, moment=at)

    def insert_block(self, block: StoredBlock) -> None:
        self._insert(
            _INSERT_BLOCK,
            member_id=block.member_id,
            reason=block.reason,
            author=block.author,
            created_at=block.created_at,
        )

    def delete_block(self, member_id: MemberId) -> None:
        self._run(_DELETE_BLOCK, of_member=member_id)

    def insert_invitation(self, invitation: StoredInvitation, at: datetime) -> None:
        self._insert(
            _INSERT_INVITATION,
            id=invitation.invitation_id,
            mail=invitation.mail,
            mail_key=name_key(invitation.mail),
            role=invitation.role,
            scope_id=invitation.scope_id,
            state=invitation.state,
            created_at=at,
            created_event=invitation.created_event,
            ends_at=invitation.ends_at,
            pii_ref=invitation.pii_ref,
        )

    def end_invitation(self, invitation_id: InvitationId, state: str) -> None:
        self._run(_END_INVITATION, of_invitation=invitation_id, new_state=state)
