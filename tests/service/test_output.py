"""What people and programs are shown."""

import io
import json
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType

import pytest

from service.cli.output import Output, clean, render_json, shown


class Colour(Enum):
    RED = "red"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Ascii(io.TextIOWrapper):
    """A stream that can only write ASCII."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", errors="strict")


def test_values_are_shown_as_people_read_them() -> None:
    assert [shown(value) for value in (None, True, False, 7, "x\x07", Colour.RED, ["a", None], [])] == [
        "-",
        "yes",
        "no",
        "7",
        "x\N{REPLACEMENT CHARACTER}",
        "red",
        "a, -",
        "-",
    ]
    assert shown(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05 UTC"


def test_text_without_controls_is_left_as_it_is() -> None:
    assert clean("Åsa 李") == "Åsa 李"
    assert clean("a\nb") == "a\N{REPLACEMENT CHARACTER}b"


def test_document_takes_what_the_product_is_made_of() -> None:
    document = {
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "set": frozenset({"x"}),
        "colour": Colour.RED,
        "map": MappingProxyType({1: ("a",)}),
        "path": Path("var"),
    }

    assert json.loads(render_json(document)) == {
        "at": "2026-01-02T00:00:00Z",
        "set": ["x"],
        "colour": "red",
        "map": {"1": ["a"]},
        "path": "var",
    }
    with pytest.raises(TypeError):
        render_json(object())


def test_table_is_plain_outside_a_terminal() -> None:
    stream = io.StringIO()

    Output(stream).table(["Name", "N"], [["Ann", 1], ["B", 22]], title="People")

    assert stream.getvalue() == "People\nName  N\nAnn   1\nB     22\n"


def test_table_is_drawn_on_a_terminal_and_reads_no_markup() -> None:
    stream = Terminal()

    Output(stream).table(["Name"], [["[red]Ann[/red]"]], title="People")

    assert "[red]Ann[/red]" in stream.getvalue()
    assert "People" in stream.getvalue()


def test_old_terminal_gets_a_question_mark() -> None:
    stream = Ascii()

    Output(stream).line("Åsa")

    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    assert buffer.getvalue() == b"?sa\n"


def test_program_gets_one_document_and_no_notes() -> None:
    stream = io.StringIO()
    output = Output(stream, is_json=True)

    output.note("for people")
    output.listing([{"a": 1, "b": 2}], {"a": "A"}, empty="none")

    assert json.loads(stream.getvalue()) == [{"a": 1, "b": 2}]


def test_record_is_a_line_each() -> None:
    stream = io.StringIO()

    Output(stream).record({"a": 1, "c": 3}, {"a": "A", "long": "Long"})

    assert stream.getvalue() == "A     1\nLong  -\n"
