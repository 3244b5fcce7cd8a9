"""Tells host applications that a session has ended: the queue of notices, worked off by a job.

A notice is written in the transaction that ends the session, and kept until the application has taken it. One that
does not answer is asked again, less and less often, and given up after about a day.
Source: OpenID Connect Back-Channel Logout 1.0 sections 2.5 to 2.8
"""

from datetime import timedelta
from http import HTTPStatus

import structlog

from api.keys import SigningKeys
from api.logout import logout_form
from provisioning.clients import LogoutNotice
from service.clients import signing_keys
from service.outside import open_outgoing
from service.wiring import Wiring
from web.outgoing import Outgoing, OutgoingError

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=4)
MOST_ATTEMPTS = 15
"""Half a minute, then twice as long each time, up to four hours: the last attempt is a day after the first."""

ROTATE_AFTER = timedelta(days=90)

_AT_ONCE = 50
_MOST_BYTES = 16 * 1024
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})

_log = structlog.get_logger("usher.backchannel")


def deliver_notices(wiring: Wiring) -> int:
    """Deliver what is due, over a way out of its own that is opened only where there is something to say."""
    if not wiring.clients.notices_due(wiring.clock(), 1):
        return 0
    with open_outgoing(wiring.settings) as outgoing:
        return tell_logouts(wiring, outgoing)


def tell_logouts(wiring: Wiring, outgoing: Outgoing) -> int:
    """Deliver the notices that are due, some at a time; how many were taken.

    An application that does not answer is not asked again in the same round, so that it cannot keep others waiting.
    """
    keys = signing_keys(wiring)
    taken = 0
    silent: set[str] = set()
    for notice in wiring.clients.notices_due(wiring.clock(), _AT_ONCE):
        reason = "" if notice.client_id not in silent else "the application did not answer just now"
        reason = reason or _tell(wiring, outgoing, keys, notice)
        if not reason:
            wiring.clients.settle_notice(notice.notice_id, delivered=True, due_at=None)
            taken += 1
            continue
        silent.add(notice.client_id)
        _postpone(wiring, notice, reason)
    return taken


def _tell(wiring: Wiring, outgoing: Outgoing, keys: SigningKeys, notice: LogoutNotice) -> str:
    """Send one notice; why it was not taken, or an empty text."""
    if not notice.backchannel_logout_uri or wiring.clients.client(notice.client_id) is None:
        # Nobody is left to be told.
        return ""
    body = logout_form(keys, wiring.settings.base_url, notice, now=wiring.clock(), token_id=wiring.mint.id())
    try:
        answer = outgoing.post(notice.backchannel_logout_uri, body, max_bytes=_MOST_BYTES, headers=_HEADERS)
    except OutgoingError as error:
        return f"{error.code}: {error}"
    return "" if answer.status in _TAKEN else f"it answered {answer.status}"


def _postpone(wiring: Wiring, notice: LogoutNotice, reason: str) -> None:
    attempts = notice.attempts + 1
    is_over = attempts >= MOST_ATTEMPTS
    wait = min(FIRST_WAIT * 2**notice.attempts, LONGEST_WAIT)
    due_at = None if is_over else wiring.clock() + wait
    wiring.clients.settle_notice(notice.notice_id, delivered=False, due_at=due_at)
    level = "error" if is_over else "warning"
    getattr(_log, level)(
        "logout notice given up" if is_over else "logout notice not taken",
        organisation=notice.organisation_id,
        client=notice.client_id,
        session=notice.session_id,
        attempts=attempts,
        reason=reason,
    )


def rotate_signing_keys(wiring: Wiring) -> bool:
    """Let the next key sign when the present one has signed for a quarter of a year; whether it was time."""
    return signing_keys(wiring).rotate_when_older(ROTATE_AFTER)
