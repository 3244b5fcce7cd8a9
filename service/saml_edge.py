"""Puts the endpoints of single sign-on into the application: settings, stores, pages and limits to what they take."""

import os
import time
from datetime import timedelta

import structlog

from console.pages import ConsolePages
from saml.serving import Limits, Parts
from saml.trusts import TrustCache
from service.client_addresses import address_finder
from service.wiring import Wiring
from web.cookies import Cookies
from web.limits import RateLimit, Timer
from web.sessions import Sessions

# Of one address. Behind one address there may be a whole company in the morning.
_MESSAGES_PER_SECOND, _MESSAGES_AT_ONCE = 20, 120
_BEGUN_PER_SECOND, _BEGUN_AT_ONCE = 20, 120
# A code has 80 bits: this stops loops, and nobody who has mistyped.
_CODES_PER_SECOND, _CODES_AT_ONCE = 0.05, 10

_log = structlog.get_logger("usher.sso")


def saml_parts(wiring: Wiring, *, timer: Timer = time.monotonic) -> Parts:
    """What the endpoints of single sign-on work with, over the wiring's stores."""
    settings = wiring.settings
    cookies = Cookies(settings.base_url)
    idle = timedelta(minutes=settings.session_idle_minutes)
    return Parts(
        logins=wiring.logins,
        unit_of_work=wiring.unit_of_work,
        clock=wiring.clock,
        mint=wiring.mint,
        models=wiring.models,
        random=os.urandom,
        pages=ConsolePages(settings.base_url),
        cookies=cookies,
        sessions=Sessions(wiring.logins, cookies, clock=wiring.clock, idle=idle),
        trusts=TrustCache(),
        limits=Limits(
            messages=RateLimit(rate=_MESSAGES_PER_SECOND, burst=_MESSAGES_AT_ONCE, timer=timer),
            begun=RateLimit(rate=_BEGUN_PER_SECOND, burst=_BEGUN_AT_ONCE, timer=timer),
            codes=RateLimit(rate=_CODES_PER_SECOND, burst=_CODES_AT_ONCE, timer=timer),
        ),
        base_url=settings.base_url,
        session_length=timedelta(hours=settings.session_hours),
        find_address=address_finder(wiring),
        tell=_tell,
    )


def _tell(reason: str, reference: str) -> None:
    _log.info("login refused", reason=reason, reference=reference)
