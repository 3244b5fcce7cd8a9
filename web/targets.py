"""Which addresses an outgoing request may be sent to: public ones, and what the operator has listed.

A customer's administrator chooses where metadata is read and notices are sent; the machine behind this service must
not be reachable that way.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from web.addresses import Address, Network

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host name, as texts, in the order they are to be tried. Raises OSError."""

# IPv6 addresses that carry an IPv4 address to somewhere else. Source: RFC 6052 section 2.1, RFC 8215, RFC 3056,
# RFC 4380.
_TRANSLATED = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)


class TargetRefusedError(Exception):
    """The host leads to an address that requests are not sent to."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The guard. `allowed` are private networks that the operator has opened."""

    allowed: tuple[Network, ...]
    resolve: Resolve

    def find(self, host: str, port: int) -> str:
        """The address to connect to; what is connected to is what was checked, however the name resolves next.

        Every address of the name must be fit: a name with one public and one private address is not a public one.

        Raises: TargetRefusedError; OSError where the name has no address.
        """
        found = [_plain(text) for text in self.resolve(host, port)]
        if not found:
            raise OSError(f"the name '{host}' has no address")
        for address in found:
            if not self._is_fit(address):
                raise TargetRefusedError(
                    f"'{host}' leads to an address that is not public; "
                    "the operator may allow its network with USHER_PRIVATE_TARGETS"
                )
        return str(found[0])

    def _is_fit(self, address: Address) -> bool:
        if any(address in network for network in self.allowed):
            return True
        if any(address in network for network in _TRANSLATED):
            return False
        return address.is_global and not address.is_multicast


def _plain(text: str) -> Address:
    """The address without a zone; an IPv4 address that is wrapped into IPv6 is that IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
