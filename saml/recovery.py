"""The way in when the identity provider fails: a recovery code, and the settings that it opens and nothing else."""

import re
from datetime import datetime
from hashlib import sha256

from flask import Request, Response

from audit.actors import AdminActor, LoginActor
from directory.changes import Change
from directory.ids import MemberId, SessionId
from directory.sso_changes import LiftEnforcement, OpenSession, ResumeEnforcement, UseRecoveryCode
from provisioning.commands import Command, Refused
from provisioning.enforcement import BREAKGLASS_LIMIT
from provisioning.logins import Enforcement, StoredSession
from saml.consuming import replace_session
from saml.errors import Denial, LoginDenied
from saml.refusals import KIND, Refusals
from saml.serving import Found, Parts, frame_id, network_of, plain, read_form
from saml.starting import redirect
from web.origins import is_own_form
from web.pages import EnforcementView
from web.sessions import BREAKGLASS, digest_token

RECOVERY_PATH = "/sso/recovery"
SETTINGS_PATH = "/sso/settings"
_REASON = "breakglass"
_LONGEST_AGENT = 400
_GROUP = 4
_NOT_OF_CODES = re.compile(r"[^a-z2-7]")
_WRONG = "This recovery code is not good, or was used before. Reference {}."
_TOO_OFTEN = "Too many attempts. Wait a few minutes and try again."
_ELSEWHERE = "The form came from another site. Write your recovery code here."


def plain_code(text: str) -> str:
    """A code as it was shown, however it was typed: groups of four with a dash between them."""
    letters = _NOT_OF_CODES.sub("", text[:200].lower())
    return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))


def use_code(parts: Parts, refusals: Refusals, request: Request) -> Response:
    """Let whoever has a good code into the settings. All that is no good code is told alike."""
    if not is_own_form(request, parts.base_url):
        return parts.pages.recover(message=_ELSEWHERE, status=400)
    if parts.limits.codes.take(network_of(parts.address(request))):
        return parts.pages.recover(message=_TOO_OFTEN, status=429)
    try:
        code = plain_code(read_form(request).get("code", ""))
    except LoginDenied:
        code = ""
    # The digest is what is looked up: no time tells how much of a code is right.
    digest = sha256(code.encode()).digest()
    with parts.logins.read() as view:
        organisation_id = view.organisation_of_recovery_code(digest)
    token, login_id, now = parts.token(), parts.mint.id(), parts.clock()
    if organisation_id is not None:
        session = OpenSession(
            session_id=SessionId(parts.mint.id()),
            token_sha256=digest_token(token),
            member_id=MemberId(""),
            connection_id=None,
            login_id=login_id,
            auth_time=now,
            expires_at=now + BREAKGLASS_LIMIT,
            kind=BREAKGLASS,
            address=parts.address(request),
            user_agent=plain(request.headers.get("User-Agent", ""), _LONGEST_AGENT),
        )
        command = Command(
            actor=LoginActor(login_id),
            changes=(UseRecoveryCode(digest, session),),
            kind=KIND,
            request_id=frame_id(request),
            address=session.address,
        )
        if not isinstance(parts.apply(organisation_id, command), Refused):
            replace_session(parts, request)
            response = redirect(f"{parts.base_url}{SETTINGS_PATH}")
            parts.cookies.set_session(response, token)
            return response
    denied = LoginDenied(Denial.RECOVERY_CODE_INVALID)
    reference = refusals.record(request, denied, Found(organisation_id, None))
    return parts.pages.recover(message=_WRONG.format(reference), status=400)


def show_settings(parts: Parts, request: Request) -> Response:
    """Whether signing in is obligatory; for the session of a recovery code only."""
    session = parts.sessions.load_breakglass(request)
    if session is None:
        return redirect(f"{parts.base_url}{RECOVERY_PATH}")
    with parts.unit_of_work(session.organisation_id).read() as reader:
        enforcement = reader.sso.enforcement()
        connection = None if enforcement is None else reader.sso.connection(enforcement.connection_id)
        name = reader.organisation().name
    return parts.pages.settings(
        _view(name, "" if connection is None else connection.name, enforcement, session)
    )


def _view(
    organisation: str, connection: str, enforcement: Enforcement | None, session: StoredSession
) -> EnforcementView:
    if enforcement is None:
        return EnforcementView(organisation, "none", session_ends=_shown(session.expires_at))
    return EnforcementView(
        organisation=organisation,
        state="enforced" if enforcement.suspended_at is None else "suspended",
        connection=connection,
        since=_shown(enforcement.enforced_at),
        by=enforcement.enforced_by,
        suspended_since=_shown(enforcement.suspended_at),
        suspended_reason=enforcement.suspended_reason,
        session_ends=_shown(session.expires_at),
    )


def _shown(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


_ACTIONS: dict[str, Change] = {
    "suspend": LiftEnforcement(_REASON, suspended=True),
    "lift": LiftEnforcement(_REASON),
    "resume": ResumeEnforcement(),
}


def change_settings(parts: Parts, request: Request) -> Response:
    """Do what a button of the settings says, as the member whose code was used."""
    session = parts.sessions.load_breakglass(request)
    if session is not None and is_own_form(request, parts.base_url):
        try:
            action = _ACTIONS.get(read_form(request).get("action", ""))
        except LoginDenied:
            action = None
        if action is not None:
            actor = AdminActor(session.member_id, session_id=session.session_id)
            command = Command(
                actor=actor,
                changes=(action,),
                kind="admin_action",
                request_id=frame_id(request),
                address=parts.address(request),
            )
            parts.apply(session.organisation_id, command)
    return redirect(f"{parts.base_url}{SETTINGS_PATH}")
