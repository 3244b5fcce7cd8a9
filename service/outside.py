"""The ways out of the process: outgoing HTTP and name servers, as the settings allow them."""

import time

import dns.resolver

from saml.domains import make_resolver
from service.settings import Settings
from web.outgoing import Outgoing, resolve_host
from web.targets import Targets


def open_outgoing(settings: Settings) -> Outgoing:
    """One for the process; close it."""
    return Outgoing(guarded_targets(settings), timer=time.monotonic)


def guarded_targets(settings: Settings) -> Targets:
    """Which addresses may be connected to."""
    return Targets(allowed=settings.private_targets, resolve=resolve_host)


def resolver(settings: Settings) -> dns.resolver.Resolver:
    """The name servers that the proof of domains is asked of."""
    return make_resolver(settings.dns_servers)
