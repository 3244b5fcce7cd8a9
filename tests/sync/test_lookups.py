"""What is put into a filter stands there byte for byte."""

from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import search_operation

from sync.lookups import equals


def sent(filter_: str) -> bytes:
    """The value in a request with the filter."""
    request = search_operation("", filter_, "BASE", "NEVER", [], 0, 0, False, True, True)
    return bytes(request["filter"].getComponent()["assertionValue"])


@given(st.binary(min_size=1))
def test_any_value_is_asked_for_as_it_is(value: bytes) -> None:
    assert sent(equals("objectGUID", value)) == value


def test_spaces_at_both_ends_are_part_of_a_value() -> None:
    assert sent(equals("objectGUID", b" id ")) == b" id "
