"""Errors carry a stable code and what a caller needs beyond the text."""

from directory import errors
from directory.errors import DirectoryError, FilterSyntaxError


def test_every_error_has_a_code_of_its_own() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    rooted = [error for error in found if issubclass(error, DirectoryError)]

    assert rooted == found
    assert len({error.code for error in rooted}) == len(rooted)


def test_filter_syntax_error_names_the_position() -> None:
    error = FilterSyntaxError("expected a value", position=7)

    assert error.position == 7
    assert str(error) == "expected a value at position 7"
