"""Where a request comes from, behind proxies that are trusted to say so.

Source: RFC 7239 section 8.1 on why nobody else is believed; X-Forwarded-For itself has no standard.
"""

import ipaddress
import re
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WITH_PORT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks (`10.0.0.0/8, ::1`), apart by commas. Raises ValueError naming the wrong one."""
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as err:
        raise ValueError(f"'{text}' is no address and no network: {err}") from err


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The address of the client: the peer, or what the nearest trusted proxy says about who asked it.

    `forwarded_for` is the header as it came, the nearest hop last. It is read from the right as long as the hop that
    wrote an entry is trusted; what stands further left may be an invention. An entry that is no address ends it.
    """
    if not trusted:
        return peer
    nearest = _parse(peer)
    if nearest is None or not _is_trusted(nearest, trusted):
        return peer
    for entry in reversed(forwarded_for.split(",")):
        hop = _parse(entry.strip())
        if hop is None:
            break
        nearest = hop
        if not _is_trusted(hop, trusted):
            break
    return str(nearest)


def _parse(text: str) -> Address | None:
    found = _WITH_PORT.fullmatch(text)
    bare = text if found is None else found["six"] or found["four"] or ""
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
