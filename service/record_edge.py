"""Puts the edges that show the record into the application: who may read is decided here, by the access engine."""

import os
import time
from collections import OrderedDict
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from flask import Blueprint, Request

from api.record import record_blueprint
from audit.actors import Actor, AdminActor, ApiKeyActor
from audit.events import FieldChange, Outcome, Reason
from console.record import RecordPages, record_pages_blueprint
from directory.audit_token_changes import OpenAuditSession
from directory.ids import OrganisationId
from mappings.decisions import Reason as DecisionReason
from provisioning.audit_token_statements import LONGEST_SESSION
from provisioning.audit_tokens import StoredAuditToken
from provisioning.logins import StoredSession
from saml.serving import frame_id, network_of
from service.administration import Administration
from service.client_addresses import address_finder
from service.errors import RefusedError
from service.record_reading import OpenRecord
from service.wiring import Wiring
from storage.audit_tokens import SQLAuditTokenStore
from web.cookies import TOKEN_OCTETS, Cookies, make_value
from web.limits import RateLimit, Timer
from web.record import Record, RecordClosedError, RecordNotFoundError
from web.requests import bearer_token
from web.sessions import Sessions, digest_token
from web.tokens import AUDIT, is_same, read_prefix

# Of one reader. A page that follows the log asks every two seconds.
_READS_PER_SECOND, _READS_AT_ONCE = 10, 100
# Of one address: a token has 256 bits, so this stops loops and nobody who has mistyped.
_FAILURES_PER_SECOND, _FAILURES_AT_ONCE = 0.2, 20
_TRIED_PER_SECOND, _TRIED_AT_ONCE = 0.05, 10

_MINUTE: Final = timedelta(minutes=1)
_MOST_FOLDS: Final = 1000
_NO_DIGEST: Final = bytes(32)
_UNKNOWN: Final = "give a token of 'usher audit token create' that is good: Authorization: Bearer TOKEN"
_SIGN_IN: Final = "Sign in to read the record."
_MAY_NOT: Final = "You may not read this record. Ask an administrator of your organisation."


def record_blueprints(wiring: Wiring, *, timer: Timer = time.monotonic) -> tuple[Blueprint, Blueprint]:
    """The JSON API of the record and its page."""
    doors = RecordDoors(wiring, timer=timer)
    base_url = wiring.settings.base_url
    pages = RecordPages(base_url)
    return (
        record_blueprint(doors, wiring.clock),
        record_pages_blueprint(doors, pages, wiring.clock, Cookies(base_url), base_url),
    )


class Denials:
    """Writes down that somebody was not let read: of one reader and reason once a minute, with how often since."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._folds: OrderedDict[tuple[str, str, str], tuple[datetime, int]] = OrderedDict()
        self._lock = Lock()

    def write(self, administration: Administration, reason: str) -> None:
        """In a transaction of its own: there is no other."""
        now = self._wiring.clock()
        key = (administration.organisation_id, str(administration.actor), reason)
        with self._lock:
            written_at, folded = self._folds.pop(key, (None, 0))
            if written_at is not None and written_at <= now < written_at + _MINUTE:
                self._folds[key] = (written_at, folded + 1)
                return
            self._folds[key] = (now, 0)
            if len(self._folds) > _MOST_FOLDS:
                self._folds.popitem(last=False)
        administration.record(
            "log.read",
            (FieldChange("query", None, "http"),),
            outcome=Outcome.DENIED,
            reason=Reason(reason, (("folded", folded),) if folded else ()),
        )


class RecordDoors:
    """The port `web.record.Records`."""

    def __init__(self, wiring: Wiring, *, timer: Timer) -> None:
        settings = wiring.settings
        self._wiring = wiring
        self._tokens = SQLAuditTokenStore(wiring.database)
        self._denials = Denials(wiring)
        self._find_address = address_finder(wiring)
        self._cookies = Cookies(settings.base_url)
        self._sessions = Sessions(
            wiring.logins,
            self._cookies,
            clock=wiring.clock,
            idle=timedelta(minutes=settings.session_idle_minutes),
        )
        self._reads = RateLimit(rate=_READS_PER_SECOND, burst=_READS_AT_ONCE, timer=timer)
        self._failures = RateLimit(rate=_FAILURES_PER_SECOND, burst=_FAILURES_AT_ONCE, timer=timer)
        self._tried = RateLimit(rate=_TRIED_PER_SECOND, burst=_TRIED_AT_ONCE, timer=timer)

    def by_token(self, request: Request, organisation_id: str) -> Record:
        token = self._judge(bearer_token(request.headers.get("Authorization", "")), request)
        if organisation_id.lower() != token.organisation_id:
            # Also where there is no such organisation: which there are is told to nobody.
            self._denials.write(self._administration(token, request), "other_organisation")
            raise RecordNotFoundError("there is no such record for this token")
        return self._open_by(token, request)

    def by_browser(self, request: Request) -> Record:
        held = self._cookies.audit(request)
        page = self._tokens.session(digest_token(held)) if held else None
        if page is not None and page.is_live(self._wiring.clock()):
            return self._open_by(page.token, request, ends_session=True)
        session = self._sessions.load_session(request)
        if session is None:
            raise RecordClosedError(401, "sign_in", _SIGN_IN)
        return self._open_for(session, request)

    def open_page(self, request: Request, token: str) -> str:
        sender = network_of(self._find_address(request.environ))
        if seconds := self._tried.take(sender):
            raise _too_often(seconds)
        known = self._judge(token.strip(), request)
        value = make_value(os.urandom(TOKEN_OCTETS))
        change = OpenAuditSession(known.token_id, digest_token(value), self._wiring.clock() + LONGEST_SESSION)
        try:
            self._administration(known, request).apply([change])
        except RefusedError as err:
            raise RecordClosedError(401, "unauthorized", _UNKNOWN) from err
        self._tokens.note_use(known.token_id, self._wiring.clock(), self._find_address(request.environ))
        return value

    def close_page(self, request: Request) -> None:
        if held := self._cookies.audit(request):
            self._tokens.end_session(digest_token(held))

    def _judge(self, text: str, request: Request) -> StoredAuditToken:
        """The live token of this text. Its digest is worked out and compared in every case."""
        prefix = read_prefix(text, AUDIT)
        token = self._tokens.token(prefix) if prefix else None
        is_right = is_same(text, _NO_DIGEST if token is None else token.sha256)
        if token is not None and is_right:
            if token.is_live(self._wiring.clock()):
                return token
            reason = "token_expired" if token.revoked_at is None else "token_revoked"
            self._denials.write(self._administration(token, request), reason)
        if seconds := self._failures.take(network_of(self._find_address(request.environ))):
            raise _too_often(seconds)
        raise RecordClosedError(401, "unauthorized", _UNKNOWN)

    def _open_by(self, token: StoredAuditToken, request: Request, *, ends_session: bool = False) -> Record:
        self._count(token.token_id)
        now = self._wiring.clock()
        if token.last_used_at is None or token.last_used_at + _MINUTE <= now:
            self._tokens.note_use(token.token_id, now, self._find_address(request.environ))
        administration = self._administration(token, request)
        return OpenRecord(administration, self._name(administration), token.name, ends_session)

    def _open_for(self, session: StoredSession, request: Request) -> Record:
        """Decided by what the member is granted now, at the organisation; the owner may in any case."""
        self._count(session.session_id)
        actor = AdminActor(session.member_id, session_id=session.session_id)
        administration = self._as(session.organisation_id, actor, "admin_action", request)
        with administration.read() as reader:
            state = reader.organisation()
            record = reader.member_records([session.member_id]).get(session.member_id)
            permission = self._wiring.models.get(reader, state).catalogue.audit_permission
            is_allowed, reason = state.owner_id == session.member_id, DecisionReason.NEEDS_OWNER.value
            if permission is not None and not is_allowed:
                decision = self._wiring.decisions.decide(
                    reader, session.member_id, permission, state.root_scope_id
                )
                # Nobody here could check a condition.
                is_allowed, reason = decision.allowed and decision.condition is None, decision.reason.value
        if not is_allowed:
            self._denials.write(administration, reason)
            raise RecordClosedError(403, "forbidden", _MAY_NOT)
        name = "" if record is None else record.display_name or record.mail
        return OpenRecord(administration, state.name, name)

    def _administration(self, token: StoredAuditToken, request: Request) -> Administration:
        return self._as(token.organisation_id, ApiKeyActor(token.token_id), "api_request", request)

    def _as(
        self, organisation_id: OrganisationId, actor: Actor, kind: str, request: Request
    ) -> Administration:
        return Administration(
            self._wiring,
            organisation_id,
            actor,
            kind,
            request_id=frame_id(request),
            address=self._find_address(request.environ),
        )

    def _name(self, administration: Administration) -> str:
        with administration.read() as reader:
            return reader.organisation().name

    def _count(self, reader: str) -> None:
        if seconds := self._reads.take(reader):
            raise _too_often(seconds)


def _too_often(seconds: int) -> RecordClosedError:
    return RecordClosedError(
        429, "too_many_requests", f"too many requests; try again in {seconds} seconds", seconds=seconds
    )
