"""Only a trusted proxy is believed, and only about the hop before it."""

import pytest

from web.addresses import client_address, parse_networks

PROXIES = parse_networks("10.0.0.0/8, 192.0.2.1,::1, 2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Nobody trusted speaks: what is said is an invention.
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.7, 10.0.0.2", "203.0.113.9"),
        # One trusted proxy.
        ("10.1.2.3", "198.51.100.7", "198.51.100.7"),
        ("10.1.2.3", "198.51.100.7:4711", "198.51.100.7"),
        ("192.0.2.1", "[2001:db9::7]:443", "2001:db9::7"),
        ("::1", "2001:db9::7", "2001:db9::7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.1.2.3", "::ffff:198.51.100.7", "198.51.100.7"),
        # The right-most that is not trusted, whatever stands left of it.
        ("10.1.2.3", "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.7, 10.9.9.9, 192.0.2.1", "198.51.100.7"),
        ("10.1.2.3", "1.1.1.1,198.51.100.7,2001:db8::5", "198.51.100.7"),
        # All trusted: the first of them.
        ("10.1.2.3", "10.0.0.9, 10.0.0.8", "10.0.0.9"),
        # What is no address ends the reading at the last hop that is known.
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.7, _hidden, 10.0.0.8", "10.0.0.8"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.7, ", "10.1.2.3"),
        ("10.1.2.3", "10.0.0.1'; drop table", "10.1.2.3"),
        ("10.1.2.3", "[", "10.1.2.3"),
        ("10.1.2.3", "[]", "10.1.2.3"),
        ("unix:", "198.51.100.7", "unix:"),
        ("", "198.51.100.7", ""),
    ],
)
def test_the_client_is_the_nearest_hop_that_is_not_trusted(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert client_address("10.0.0.1", "198.51.100.7", ()) == "10.0.0.1"
    assert parse_networks(" , ") == ()


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy", "10.0.0.0/40", "10.0.0.1, ::g"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^'.+' is no address and no network: "):
        parse_networks(text)
