"""One canonical text for each way of keeping an id, and never the name of an entry."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.dialects.ids import external_id, id_reader, read_guid, read_ns_unique_id, read_text, read_uuid
from sync.errors import DialectError


@given(st.uuids())
def test_a_guid_of_sixteen_bytes_reads_as_windows_shows_it(value: UUID) -> None:
    assert read_guid(value.bytes_le) == str(value)


@given(st.uuids())
def test_a_uuid_reads_the_same_in_any_case(value: UUID) -> None:
    assert read_uuid(str(value).upper().encode()) == str(value)
    assert read_guid(str(value).encode()) == str(value)
    assert read_guid(f"{{{value}}}".upper().encode()) == str(value)


@pytest.mark.parametrize(
    "raw", [b"", b"x" * 36, b"0" * 32, b"00000000-0000-0000-0000-00000000000g", b"\0" * 36]
)
def test_what_is_no_uuid_is_not_guessed(raw: bytes) -> None:
    assert read_uuid(raw) is None
    assert read_guid(raw) is None


def test_an_ns_unique_id_has_four_groups_of_eight() -> None:
    assert read_ns_unique_id(b"A1B2C3D4-00000000-00000000-0000000F") == "a1b2c3d4-00000000-00000000-0000000f"
    assert read_ns_unique_id(b"40e52c0e-7a16-1041-9dbe-8babaa220a0b") is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" E-17 ", "E-17"),
        ("Å1".encode(), "Å1"),
        (b"", None),
        (b"a\0b", None),
        (b"\xff", None),
        (b"x" * 256, None),
    ],
)
def test_another_id_is_printable_text_as_it_stands(raw: bytes, text: str | None) -> None:
    assert read_text(raw) == text


def test_an_entry_has_an_id_only_when_one_value_says_so() -> None:
    assert external_id([b"a"], read_text) == "a"
    assert [external_id(values, read_text) for values in (None, [], [b"a", b"b"], [b"\xff"])] == [None] * 4


@pytest.mark.parametrize("name", ["dn", "distinguishedname", "entrydn", "cn"])
def test_a_name_that_moves_is_refused_as_id(name: str) -> None:
    with pytest.raises(DialectError, match="cannot be the id attribute"):
        id_reader(name)


def test_known_id_attributes_have_their_own_form() -> None:
    assert id_reader("entryuuid") is read_uuid
    assert id_reader("objectguid") is read_guid
    assert id_reader("nsuniqueid") is read_ns_unique_id
    assert id_reader("employeenumber") is read_text
