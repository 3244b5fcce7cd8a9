"""Versions as weak tags."""

import pytest

from scim.conditions import check_version, names_version, render_version
from scim.errors import PreconditionFailedError


@pytest.mark.parametrize(
    "header", ['W/"3"', '"3"', "*", " * ", 'W/"1", W/"3"', 'W/"1","3" , W/"4"', "3", 'W/"3",', 'W/"a,b", "3"']
)
def test_header_that_names_the_version(header: str) -> None:
    assert names_version(header, 3)


@pytest.mark.parametrize("header", ["", 'W/"4"', '"33"', 'W/"1", "2"', "W/", '"', ",", "x" * 10_000])
def test_header_that_names_another_version(header: str) -> None:
    assert not names_version(header, 3)


def test_nobody_who_sent_no_if_match_is_refused() -> None:
    check_version("", 3)
    check_version(render_version(3), 3)
    with pytest.raises(PreconditionFailedError, match='W/"3"'):
        check_version(render_version(2), 3)
