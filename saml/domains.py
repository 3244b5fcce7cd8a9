"""The proof that a mail domain is an organisation's: a TXT record that only its owner can publish.

A question that got no answer says nothing about the domain: only a name server that answers "there is none" does.
"""

import hmac
from collections.abc import Sequence
from enum import StrEnum

import dns.exception
import dns.resolver

LABEL = "_usher"
"""The name under the domain where the record stands, so that the domain's own TXT records stay as they are."""
VALUE = "usher-verification="
_MOST_RECORDS = 50


class Proof(StrEnum):
    FOUND = "found"
    ABSENT = "absent"
    UNKNOWN = "unknown"


def record_name(domain: str) -> str:
    """Where the record is to be published."""
    return f"{LABEL}.{domain}"


def record_value(challenge: str) -> str:
    """What the record is to say."""
    return f"{VALUE}{challenge}"


def make_resolver(servers: Sequence[str] = (), *, timeout_seconds: float = 5.0) -> dns.resolver.Resolver:
    """A resolver over the system's name servers, or over those given as `address` or `address:port` (IPv4)."""
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        hosts = [server.partition(":") for server in servers]
        resolver.nameservers = [host for host, _, _ in hosts]
        resolver.nameserver_ports = {host: int(port) for host, _, port in hosts if port}
    resolver.lifetime = timeout_seconds
    return resolver


def find_proof(domain: str, challenge: str, resolver: dns.resolver.Resolver) -> Proof:
    """Look the record up, in at most the resolver's lifetime."""
    try:
        answer = resolver.resolve(f"{record_name(domain)}.", "TXT", search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return Proof.ABSENT
    except (dns.exception.DNSException, OSError):
        return Proof.UNKNOWN
    expected = record_value(challenge).encode()
    found = [b"".join(record.strings).strip() for record in list(answer)[:_MOST_RECORDS]]
    return Proof.FOUND if any(hmac.compare_digest(text, expected) for text in found) else Proof.ABSENT
