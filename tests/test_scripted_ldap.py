"""The server that plays a script, where no client shows what it does."""

import socket
from collections.abc import Iterator
from typing import cast

from tests import scripted_ldap as wire


class Pieces:
    """A stream whose bytes come in these pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def recv(self, _size: int) -> bytes:
        return next(self._pieces, b"")


def test_a_request_is_read_when_all_of_it_has_come() -> None:
    bind = wire.message(
        7, wire.ber(wire.BIND, wire.ber(0x02, b"\x03") + wire.octets("cn=a") + wire.ber(0x80, b"s"))
    )
    stream = cast("socket.socket", Pieces(bind[at : at + 1] for at in range(len(bind))))

    request = wire.Peer(stream, []).receive()

    assert (request.number, request.base, request.password) == (7, "cn=a", b"s")
