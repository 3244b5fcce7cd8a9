"""Requests go to public addresses, and to what the operator has opened."""

import ipaddress

import pytest

from web.outgoing import resolve_host
from web.targets import TargetRefusedError, Targets

_PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "100.64.0.1",
    "169.254.169.254",
    "192.168.1.1",
    "0.0.0.0",  # noqa: S104 - asked about, not bound to
    "224.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fd00:ec2::254",
    "fe80::1%eth0",
    "ff02::1",
]


def _targets(*answers: str, allowed: str = "") -> Targets:
    networks = (ipaddress.ip_network(allowed),) if allowed else ()
    return Targets(allowed=networks, resolve=lambda host, port: list(answers))


@pytest.mark.parametrize("address", _PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(TargetRefusedError, match=r"not public.*USHER_PRIVATE_TARGETS"):
        _targets(address).find("idp.example", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f000001", "2130706433", "127.1", "localhost", "::1"])
def test_every_notation_of_this_machine_is_refused(host: str) -> None:
    targets = Targets(allowed=(), resolve=resolve_host)

    with pytest.raises(TargetRefusedError):
        targets.find(host, 443)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_a_public_address_is_given_as_it_was_found(address: str) -> None:
    assert _targets(address).find("idp.example", 443) == address


def test_a_wrapped_address_is_connected_to_as_what_it_is() -> None:
    assert _targets("::ffff:93.184.216.34").find("idp.example", 443) == "93.184.216.34"


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(TargetRefusedError):
        _targets("93.184.216.34", "10.0.0.1").find("idp.example", 443)


def test_a_network_that_the_operator_has_opened_is_fit() -> None:
    targets = _targets("10.0.0.7", allowed="10.0.0.0/24")

    assert targets.find("idp.internal", 443) == "10.0.0.7"


def test_a_name_without_an_address_is_a_fault_of_the_network() -> None:
    with pytest.raises(OSError, match="has no address"):
        _targets().find("idp.example", 443)
