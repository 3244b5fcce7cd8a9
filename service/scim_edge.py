"""Puts the SCIM endpoint into the application: settings, stores and keys to what it takes."""

import time

from flask import Blueprint

from provisioning.resources import RequestSink
from scim.discovery import Discovery
from scim.endpoints import make_blueprint
from scim.handling import Parts
from scim.request_log import RequestLog
from scim.serving import Endpoint, Limits
from service.client_addresses import address_finder
from service.wiring import Wiring
from storage.errors import SealError
from storage.secrets import KeyRing
from web.limits import RateLimit, Timer

_FAILURES_PER_SECOND = 1
_FAILURES_AT_ONCE = 30


class RingSealer:
    """Seals cursors by the service's key ring. What does not open is simply nobody's."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def seal(self, secret: bytes, place: bytes) -> bytes:
        return self._ring.seal(secret, place)

    def open(self, sealed: bytes, place: bytes) -> bytes | None:
        try:
            return self._ring.open(sealed, place)
        except SealError:
            return None


def scim_parts(wiring: Wiring) -> Parts:
    """What requests need of the process, for the endpoint and for a rehearsal of a logged one."""
    return Parts(
        unit_of_work=wiring.unit_of_work,
        clock=wiring.clock,
        mint=wiring.mint,
        models=wiring.models,
        sealer=RingSealer(wiring.database.key_ring),
        discovery=Discovery(),
        public_url=wiring.settings.base_url,
    )


def scim_blueprint(wiring: Wiring, sink: RequestSink, *, timer: Timer = time.monotonic) -> Blueprint:
    """The routes of the SCIM endpoint over the wiring's stores."""
    settings = wiring.settings
    endpoint = Endpoint(
        parts=scim_parts(wiring),
        push=wiring.pushes,
        sink=sink,
        limits=Limits(
            requests=RateLimit(rate=settings.scim_rate, burst=settings.scim_burst, timer=timer),
            failures=RateLimit(rate=_FAILURES_PER_SECOND, burst=_FAILURES_AT_ONCE, timer=timer),
        ),
        timer=timer,
        log=RequestLog(),
    )
    return make_blueprint(endpoint.serve, address_finder(wiring))
