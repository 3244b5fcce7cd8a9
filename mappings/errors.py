"""Errors about catalogues, rules and scopes.

What a check finds wrong with a rule is a value, not an exception.
"""

from dataclasses import dataclass


class MappingError(Exception):
    """Root of the package. `code` is a stable slug; the text says what, which one, and what to do."""

    code = "mapping_error"


@dataclass(frozen=True, slots=True, order=True)
class CatalogueFault:
    """One thing wrong with a catalogue file. `line` counts from 1."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.reason}"


class CatalogueError(MappingError):
    """A catalogue that cannot be used. `faults` holds all that is wrong, in the order of the lines."""

    code = "catalogue_invalid"

    def __init__(self, faults: tuple[CatalogueFault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class PatternError(MappingError):
    """A group name pattern that is not a text with one capture in braces."""

    code = "pattern_invalid"
