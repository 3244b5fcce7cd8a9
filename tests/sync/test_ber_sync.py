"""Messages of a content synchronisation, whole and damaged."""

from uuid import UUID

import pytest

from sync import ber
from sync.ber import SyncDone, SyncInfo, SyncState
from sync.errors import BERError
from tests import scripted_ldap as wire
from tests.sync.builders import uuid

ID = UUID(uuid(7)).bytes
TRUE = wire.ber(0x01, b"\xff")


def sequence(*parts: bytes) -> bytes:
    return wire.ber(0x30, b"".join(parts))


def intermediate(content: bytes) -> tuple[bytes, ber.Head]:
    raw = wire.message(3, wire.ber(wire.INTERMEDIATE, content))
    return raw, ber.read_head(raw)


def told(value: bytes) -> SyncInfo | None:
    return ber.read_sync_info(*intermediate(wire.ber(0x80, ber.SYNC_INFO) + wire.ber(0x81, value)))


def test_a_state_names_its_kind_and_the_entry() -> None:
    value = sequence(wire.integer(2, 0x0A), wire.octets(ID), wire.octets("cookie"))
    assert ber.read_sync_state(value) == SyncState(ber.MODIFY, ID)


def test_an_end_without_cookie_and_flag_says_neither() -> None:
    assert ber.read_sync_done(sequence()) == SyncDone(b"", False)
    assert ber.read_sync_done(sequence(wire.octets("c"), TRUE)) == SyncDone(b"c", True)


def test_each_kind_of_information_is_told_apart() -> None:
    listed = wire.ber(0x31, wire.octets(ID) * 2)
    assert told(wire.ber(0x80, b"c")) == SyncInfo(ber.NEW_COOKIE, b"c")
    assert told(wire.ber(0xA1, wire.octets("c") + TRUE)) == SyncInfo(ber.REFRESH_DELETE, b"c")
    assert told(wire.ber(0xA2, b"")) == SyncInfo(ber.REFRESH_PRESENT)
    assert told(wire.ber(0xA3, TRUE + listed)) == SyncInfo(ber.ENTRY_ID_SET, b"", True, (ID, ID))
    assert told(wire.ber(0xA3, listed)) == SyncInfo(ber.ENTRY_ID_SET, b"", False, (ID, ID))


def test_an_intermediate_answer_of_another_kind_is_none_of_ours() -> None:
    assert ber.read_sync_info(*intermediate(wire.ber(0x80, b"1.2.3"))) is None
    assert ber.read_sync_info(*intermediate(b"")) is None


def test_a_request_carries_the_cookie_however_long() -> None:
    assert ber.sync_request(b"") == sequence(wire.integer(1, 0x0A))
    for cookie in (b"c", b"c" * 300):
        assert ber.sync_request(cookie) == sequence(wire.integer(1, 0x0A), wire.octets(cookie))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x30",
        b"\x30\x05\x0a",
        wire.octets("x"),
        sequence(wire.integer(1, 0x0A)),
        sequence(wire.integer(1), wire.octets(ID)),
        sequence(wire.integer(1, 0x0A), wire.octets("short")),
        sequence() + sequence(),
    ],
)
def test_a_damaged_state_is_an_error(value: bytes) -> None:
    with pytest.raises(BERError):
        ber.read_sync_state(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xa3",
        wire.ber(0xA4, b""),
        wire.octets("x"),
        wire.ber(0xA3, wire.ber(0x31, wire.octets("short"))),
    ],
)
def test_damaged_information_is_an_error(value: bytes) -> None:
    with pytest.raises(BERError):
        told(value)


def test_controls_that_end_early_are_an_error() -> None:
    raw = wire.message(3, wire.entry("o=x", {}))
    head = ber.read_head(raw)
    assert ber.read_entry_controls(raw, head) == {}
    with pytest.raises(BERError, match="ends inside its controls"):
        ber.read_entry_controls(raw + b"\xa0", head)
