"""Column types and what drivers give for them."""

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from sqlalchemy import create_engine

from storage.types import (
    Moment,
    document_text,
    is_id,
    moment_writer,
    read_document,
    read_moment,
    read_optional_moment,
    read_pairs,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
IN_TOKYO = NOW.astimezone(timezone(timedelta(hours=9)))
SQLITE = create_engine("sqlite://").dialect
POSTGRESQL = create_engine("postgresql+psycopg://").dialect
AS_TEXT = "2026-03-01 12:00:00.000005"


def test_moments_are_stored_in_utc_whatever_their_zone() -> None:
    moment = Moment()
    for value in (NOW, IN_TOKYO):
        assert moment.process_bind_param(value, SQLITE) == NOW.replace(tzinfo=None)
        assert moment.process_bind_param(value, POSTGRESQL) == NOW
    assert moment.process_bind_param(None, SQLITE) is None


def test_moments_come_back_aware() -> None:
    moment = Moment()
    for value in (NOW.replace(tzinfo=None), IN_TOKYO):
        found = moment.process_result_value(value, SQLITE)
        assert found == NOW
        assert found is not None
        assert found.tzinfo is UTC
    assert moment.process_result_value(None, SQLITE) is None


def test_a_moment_without_a_zone_is_refused() -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="without a time zone"):
        Moment().process_bind_param(naive, SQLITE)
    with pytest.raises(ValueError, match="without a time zone"):
        moment_writer("")(naive)


def test_moments_are_written_as_sqlite_keeps_them() -> None:
    write = moment_writer("")
    assert [write(NOW), write(NOW), write(IN_TOKYO)] == [AS_TEXT] * 3
    assert moment_writer("+00")(NOW) == f"{AS_TEXT}+00"
    assert write(NOW.replace(microsecond=0)) == "2026-03-01 12:00:00.000000"


def test_moments_are_read_from_either_driver() -> None:
    assert read_moment(AS_TEXT) == read_moment(IN_TOKYO) == NOW
    assert read_optional_moment(AS_TEXT) == NOW
    assert read_optional_moment(None) is None


def test_documents_are_written_as_text_and_read_from_either_driver() -> None:
    document = MappingProxyType({"ä": ("x", 1, None), "nested": MappingProxyType({})})
    assert read_document(document_text(document)) == {"ä": ["x", 1, None], "nested": {}}
    assert read_document([1]) == [1]
    assert read_document(None) is None


def test_pairs_are_read_from_documents() -> None:
    assert read_pairs([["Admin", "s1"]]) == (("Admin", "s1"),)
    assert read_pairs(None) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("019b2ad1-0000-7000-8000-000000000001", True),
        ("019B2AD1-0000-7000-8000-00000000000A", True),
        ("019b2ad10000700080000000000000001", False),
        ("019b2ad1-0000-7000-8000-000000000001\n", False),
        ("ada@example.org", False),
    ],
)
def test_an_id_is_known_by_its_form(text: str, expected: bool) -> None:
    assert is_id(text) is expected
