"""What an administrator, the operator or the system says, checked and stored. Access follows in `consequences`."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, get_args

from directory.audit_token_changes import AuditTokenChange
from directory.changes import (
    AcceptInvitation,
    AddDomain,
    AdministratorChange,
    AllowStaged,
    EndInvitation,
    EndOverride,
    EnrolOwner,
    GroupMatch,
    Invite,
    LiftBlock,
    NoteTokenEnding,
    PutDirectory,
    PutDirectorySecret,
    PutRole,
    PutRule,
    PutScope,
    PutToken,
    RejectStaged,
    RemoveMember,
    RemoveRole,
    RemoveRule,
    RemoveScope,
    RevokeToken,
    SetBlock,
    SetOverride,
    SetPlan,
    SetSettings,
    TransferOwner,
)
from directory.sso_changes import SSOChange
from directory.stream_changes import StreamChange
from provisioning.audit_token_statements import AUDIT_TOKEN_HANDLERS
from provisioning.directory_secrets import put_directory_secret
from provisioning.directory_statements import put_directory
from provisioning.domains import add_domain
from provisioning.errors import Refusal, RefusalCode
from provisioning.organisation_statements import (
    enrol_owner,
    set_plan,
    set_settings,
    transfer_owner,
)
from provisioning.people_statements import (
    accept_invitation,
    end_invitation,
    end_override,
    invite,
    lift_block,
    remove_member,
    set_block,
    set_override,
)
from provisioning.rule_statements import put_role, put_rule, put_scope, remove_role, remove_rule, remove_scope
from provisioning.sso_handlers import sso_handlers
from provisioning.staging import allow_staged, reject_staged
from provisioning.statements import ID_FORM, check_may_assign
from provisioning.stream_statements import STREAM_HANDLERS
from provisioning.tokens import note_token_ending, put_token, revoke_token
from provisioning.work import Work

_ID_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "rule_id": "mapping rule",
        "scope_id": "scope",
        "override_id": "override",
        "member_id": "member",
        "invitation_id": "invitation",
        "directory_id": "directory",
        "token_id": "token",
        "connection_id": "connection",
        "session_id": "session",
        "stream_id": "stream",
    }
)
_WITHOUT_ACCESS = (
    PutDirectorySecret,
    PutToken,
    RevokeToken,
    NoteTokenEnding,
    *get_args(SSOChange),
    *get_args(StreamChange),
    *get_args(AuditTokenChange),
)


def apply_administration(work: Work, change: AdministratorChange) -> None:
    """Check and store one change, with its event, and note whose access must be worked out. Raises `Refusal`."""
    _check_ids(change)
    handler: Callable[[Work, AdministratorChange], None] = _HANDLERS[type(change)]
    before = len(work.ledger.rows)
    handler(work, change)
    # What was said before changes nothing and is no event; what lets others in, or us, is no access of a member.
    is_access = not isinstance(change, _WITHOUT_ACCESS)
    work.is_changed = work.is_changed or (is_access and len(work.ledger.rows) > before)


def _check_ids(change: AdministratorChange) -> None:
    """Refuse what cannot be the id of anything; PostgreSQL would fail to compare it with one."""
    named = [
        (_ID_FIELDS[field.name], getattr(change, field.name))
        for field in fields(change)
        if field.name in _ID_FIELDS
    ]
    if isinstance(change, PutRule) and isinstance(change.match, GroupMatch):
        named.append(("group", change.match.group_id))
    for kind, name in named:
        if name is not None and not ID_FORM.fullmatch(name):
            raise Refusal(
                RefusalCode.NOT_FOUND, f"there is no {kind} '{name}'; ids are UUIDs in small letters"
            )


_HANDLERS: dict[type, Callable[[Work, Any], None]] = {
    PutRule: put_rule,
    RemoveRule: remove_rule,
    PutScope: put_scope,
    RemoveScope: remove_scope,
    PutRole: put_role,
    RemoveRole: remove_role,
    SetOverride: set_override,
    EndOverride: end_override,
    SetBlock: set_block,
    LiftBlock: lift_block,
    Invite: invite,
    AcceptInvitation: accept_invitation,
    EndInvitation: end_invitation,
    RemoveMember: remove_member,
    SetPlan: set_plan,
    TransferOwner: transfer_owner,
    EnrolOwner: enrol_owner,
    SetSettings: set_settings,
    AddDomain: add_domain,
    PutDirectory: put_directory,
    PutDirectorySecret: put_directory_secret,
    PutToken: put_token,
    RevokeToken: revoke_token,
    NoteTokenEnding: note_token_ending,
    AllowStaged: allow_staged,
    RejectStaged: reject_staged,
    **sso_handlers(check_may_assign),
    **STREAM_HANDLERS,
    **AUDIT_TOKEN_HANDLERS,
}
