"""Errors about directory facts. Expected refusals of commands are values of `provisioning`, not these."""


class DirectoryError(Exception):
    """Root of the package. `code` is a stable slug; the text says what, which one, and what to do."""

    code = "directory_error"


class FilterSyntaxError(DirectoryError):
    """A filter that does not parse. `position` counts characters from 0."""

    code = "filter_syntax"

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(f"{message} at position {position}")
        self.position = position


class NestingLimitError(DirectoryError):
    """A group graph beyond the limits that keep every walk bounded."""

    code = "nesting_limit"
