"""Whom a request came from, as the settings trust proxies to say."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from service.wiring import Wiring
from web.addresses import client_address

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def address_finder(wiring: Wiring) -> "Callable[[WSGIEnvironment], str]":
    """The address of the client of a request."""
    trusted = wiring.settings.trusted_proxies

    def find(environ: "WSGIEnvironment") -> str:
        peer = str(environ.get("REMOTE_ADDR") or "")
        return client_address(peer, environ.get("HTTP_X_FORWARDED_FOR", ""), trusted) if trusted else peer

    return find
