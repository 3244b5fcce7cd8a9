"""What a command prints: tables and sentences for people, one JSON document for programs.

Names come from directories and may hold anything; no terminal control leaves here.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TextIO

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2
_GAP = "  "


def render_json(document: object) -> str:
    """A document as JSON text of several lines."""
    return orjson.dumps(document, default=_plain, option=_JSON_OPTIONS).decode()


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
        case tuple() | set() | frozenset():
            return list(value)
        case Path():
            return str(value)
        case _:
            raise TypeError(f"a {type(value).__name__} has no JSON form")


def clean(text: str) -> str:
    """The text without line ends and terminal controls, which a directory may have put into a name."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def shown(value: object) -> str:
    """A value as a person reads it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case Enum():
            return str(value.value)
        case list() | tuple() | frozenset() | set():
            return ", ".join(shown(item) for item in value) or "-"
        case _:
            return clean(str(value))


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's result goes. `is_json`: one document on `stdout`, nothing else."""

    stdout: TextIO
    is_json: bool = False

    @property
    def is_terminal(self) -> bool:
        return self.stdout.isatty()

    def document(self, document: object) -> None:
        """Print the one document of a command; for programs only."""
        self._write(render_json(document))

    def say(self, sentence: str, document: Mapping[str, object]) -> None:
        """A sentence for people, the same as a document for programs."""
        if self.is_json:
            self.document(document)
        else:
            self.line(sentence)

    def line(self, text: str = "") -> None:
        """A line for people. It may hold line ends of our own; values in it must be `clean`."""
        self._write(text)

    def note(self, text: str) -> None:
        """A line for people; nothing when a program reads."""
        if not self.is_json:
            self._write(text)

    def listing(
        self, rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], *, empty: str, title: str = ""
    ) -> None:
        """Rows as a table of the columns (key to heading), or whole as a list for programs."""
        if self.is_json:
            self.document(list(rows))
        elif rows:
            self.table(
                list(columns.values()), [[row.get(key) for key in columns] for row in rows], title=title
            )
        else:
            self.line(empty)

    def record(self, document: Mapping[str, object], headings: Mapping[str, str]) -> None:
        """One thing with its properties, a line each (key to heading), or whole for programs."""
        if self.is_json:
            self.document(document)
            return
        width = max(len(heading) for heading in headings.values())
        for key, heading in headings.items():
            self.line(f"{heading:<{width}}{_GAP}{shown(document.get(key))}")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
        """A table: drawn on a terminal, plain aligned columns elsewhere."""
        texts = [[shown(cell) for cell in row] for row in rows]
        if self.is_terminal:
            table = Table(title=title or None, title_justify="left", header_style="bold")
            for heading in headings:
                table.add_column(heading, overflow="fold")
            for row in texts:
                table.add_row(*(Text(cell) for cell in row))
            self.console().print(table)
            return
        if title:
            self.line(title)
        widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]
        for row in [list(headings), *texts]:
            self.line(_GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())

    def console(self) -> Console:
        """A console for what only a terminal shows."""
        return Console(file=self.stdout, highlight=False, markup=False)

    def _write(self, text: str) -> None:
        try:
            self.stdout.write(text + "\n")
        except UnicodeEncodeError:
            # A terminal of an old locale: better a question mark than no answer.
            encoding = self.stdout.encoding or "ascii"
            self.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def standard_output(*, is_json: bool) -> Output:
    """The process's own standard output, as it is now."""
    return Output(sys.stdout, is_json)
