"""The bytes of the DirSync control, and the names that come with it."""

import pytest

from sync import ber
from sync.dirsync_control import (
    INCREMENTAL_VALUES,
    OBJECT_SECURITY,
    dirsync_request,
    extended_dn_request,
    read_dirsync_end,
    read_extended_name,
)
from sync.errors import BERError
from tests import scripted_ldap as wire


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (INCREMENTAL_VALUES, b"\x80\x00\x00\x00"),
        (INCREMENTAL_VALUES | OBJECT_SECURITY, b"\x80\x00\x00\x01"),
    ],
)
def test_the_flags_take_four_bytes_however_wide_integers_are_here(flags: int, expected: bytes) -> None:
    ((_, content),) = ber.parts_of(dirsync_request(flags, b"cookie"), "a request")
    parts = ber.parts_of(content, "a request")

    assert parts == [(0x02, expected), (0x02, b"\x10\x00\x00"), (0x04, b"cookie")]
    assert extended_dn_request() == b"\x30\x03\x02\x01\x01"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x03\x04\x01x",
        wire.ber(0x30, wire.integer(0) * 3),
        b"\x30\x00\x30\x00",
    ],
)
def test_a_control_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(BERError, match="the DirSync control"):
        read_dirsync_end(value)


def test_a_name_without_an_id_is_refused() -> None:
    with pytest.raises(BERError, match="gives 'CN=x' without its objectGUID"):
        read_extended_name(b"CN=x")
