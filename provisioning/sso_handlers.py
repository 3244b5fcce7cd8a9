"""What checks and stores each statement about single sign-on."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from directory.sso_changes import (
    ClaimDomain,
    DenyLogin,
    EndSession,
    EndSessionsOf,
    EnforceLogin,
    FollowMail,
    LiftEnforcement,
    LinkLogin,
    NoteCertificateEnding,
    NoteDomainMissing,
    NoteMetadataFailure,
    OpenSession,
    PutConnection,
    PutIdPCertificate,
    PutRecoveryCodes,
    PutSPKey,
    RecordTest,
    ReleaseDomain,
    RemoveConnection,
    ResumeEnforcement,
    RetireIdPCertificate,
    RetireSPKey,
    TakeMetadata,
    UseRecoveryCode,
    VerifyDomain,
)
from provisioning.certificates import (
    note_certificate_ending,
    put_idp_certificate,
    put_sp_key,
    retire_idp_certificate,
    retire_sp_key,
)
from provisioning.connections import (
    CheckRole,
    note_metadata_failure,
    put_connection,
    remove_connection,
    take_metadata,
)
from provisioning.domains import claim_domain, note_domain_missing, release_domain, verify_domain
from provisioning.enforcement import (
    enforce_login,
    lift_enforcement,
    put_recovery_codes,
    record_test,
    resume,
    use_recovery_code,
)
from provisioning.sessions import (
    deny_login,
    end_session,
    end_sessions_of,
    follow_mail,
    link_login,
    open_session,
)
from provisioning.work import Work

Handler = Callable[[Work, Any], None]


def sso_handlers(check_role: CheckRole) -> Mapping[type, Handler]:
    """One handler for each kind of statement. `check_role` refuses a role that the actor may not give."""
    return MappingProxyType(
        {
            PutConnection: partial(put_connection, check_role=check_role),
            RemoveConnection: remove_connection,
            PutIdPCertificate: put_idp_certificate,
            RetireIdPCertificate: retire_idp_certificate,
            NoteCertificateEnding: note_certificate_ending,
            PutSPKey: put_sp_key,
            RetireSPKey: retire_sp_key,
            TakeMetadata: take_metadata,
            NoteMetadataFailure: note_metadata_failure,
            ClaimDomain: claim_domain,
            VerifyDomain: verify_domain,
            NoteDomainMissing: note_domain_missing,
            ReleaseDomain: release_domain,
            LinkLogin: link_login,
            FollowMail: follow_mail,
            OpenSession: open_session,
            EndSession: end_session,
            EndSessionsOf: end_sessions_of,
            DenyLogin: deny_login,
            RecordTest: record_test,
            EnforceLogin: enforce_login,
            LiftEnforcement: lift_enforcement,
            ResumeEnforcement: resume,
            PutRecoveryCodes: put_recovery_codes,
            UseRecoveryCode: use_recovery_code,
        }
    )
