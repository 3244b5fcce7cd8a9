"""What a list is asked for."""

import pytest

from directory.filters import Present, parse_filter
from directory.schema import GROUP, USER
from scim.errors import InvalidCountError, InvalidFilterError, InvalidPathError, InvalidValueError
from scim.queries import LAST_INDEX, ListRequest, find_sort, read_filter, read_list_request


@pytest.mark.parametrize(
    ("count", "read"),
    [
        ("0", 0),
        ("-5", 0),
        ("+7", 7),
        ("007", 7),
        ("1000000000", 1_000),
        ("9" * 5_000, 1_000),
        ("", None),
        (3, 3),
        (-3, 0),
        (10**12, 1_000),
        (None, None),
    ],
)
def test_count_is_moved_into_its_range(count: object, read: int | None) -> None:
    assert read_list_request({"count": count}).count == read


@pytest.mark.parametrize(("start", "read"), [("0", 1), ("-1", 1), ("5", 5), ("9" * 30, LAST_INDEX), (0, 1)])
def test_start_is_moved_into_its_range(start: object, read: int) -> None:
    assert read_list_request({"startIndex": start}).start_index == read


@pytest.mark.parametrize(
    "parameters",
    [
        {"count": "x"},
        {"count": "1.0"},
        {"count": True},
        {"startIndex": []},
        {"sortOrder": "x"},
        {"filter": 1},
        {"attributes": 1},
        {"excludedAttributes": [1]},
    ],
)
def test_odd_parameters_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError):
        read_list_request(parameters)


def test_odd_count_has_a_name_of_its_own_with_a_cursor() -> None:
    with pytest.raises(InvalidCountError):
        read_list_request({"count": "x", "cursor": ""})


def test_names_come_as_a_text_or_as_a_list() -> None:
    assert read_list_request({"attributes": "a,b"}).attributes == ("a", "b")
    assert read_list_request({"excludedAttributes": ["a", "b"]}).excluded == ("a", "b")
    assert read_list_request({}) == ListRequest()
    assert read_list_request({"sortOrder": "Descending", "cursor": ""}) == ListRequest(
        is_descending=True, cursor=""
    )


def test_filter_of_blanks_is_none() -> None:
    assert read_filter(" ") is None
    assert read_filter("title pr") == Present("title") == parse_filter("title pr")
    with pytest.raises(InvalidFilterError, match="position"):
        read_filter("title")


def test_lists_are_sorted_by_simple_values() -> None:
    path = find_sort("emails", USER)
    assert path is not None
    assert path.text == "emails.value"
    path = find_sort("NAME.familyname", USER)
    assert path is not None
    assert path.text == "name.familyName"
    assert find_sort("", USER) is find_sort("userName", GROUP) is None


@pytest.mark.parametrize("text", ["name", "meta", "password", "x509Certificates", "addresses"])
def test_what_has_no_order_is_refused(text: str) -> None:
    with pytest.raises(InvalidPathError):
        find_sort(text, USER)
