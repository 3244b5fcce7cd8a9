import csv
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.body import EventBody, parse_body
from audit.csv_form import COLUMNS, escape_cell, render_event_row, render_header, render_row
from audit.events import Cause, Event, Outcome, Reason, Target
from audit.render import render_event
from directory.ids import EventId
from tests.audit.samples import EVENT

ROOT = EventId("01990000-0000-7000-8000-000000000009")
WHOLE = replace(
    EVENT,
    outcome=Outcome.DENIED,
    reason=Reason("seat_limit_reached", (("limit", 50), ("used", 50))),
    targets=(Target("member", "mem_1", pii="pii:1"), Target("group", "grp_1", role="object")),
    cause=Cause("mapping_rule", root=ROOT, parent=ROOT, rule_id="mr_12", rule_version=4, run_id="run_1"),
    request_id="req_9",
)


def read(line: bytes) -> dict[str, str]:
    (cells,) = csv.reader(StringIO(line.decode(), newline=""))
    return dict(zip(COLUMNS, cells, strict=True))


def body_of(event: Event = WHOLE) -> EventBody:
    return parse_body(render_event(event))


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("https://evil.example","x")',
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
    ],
)
def test_what_a_spreadsheet_would_run_is_escaped(text: str) -> None:
    assert escape_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Anna", "a=b", "1-2", " ", "'=1", "anna@example.com"])
def test_other_text_stands_as_it_is(text: str) -> None:
    assert escape_cell(text) == text


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=2))
def test_cells_are_read_back_and_none_begins_a_formula(cells: list[str]) -> None:
    # The reader itself joins the ends of lines inside of cells only when it is given them as they are.
    (found,) = csv.reader(StringIO(render_row(cells).decode(), newline=""))

    assert [cell.removeprefix("'") for cell in found] == [cell.removeprefix("'") for cell in cells]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in found)


def test_the_header_names_what_is_not_proven() -> None:
    assert render_header() == ",".join(COLUMNS).encode() + b"\r\n"
    assert {name for name in COLUMNS if "name" in name or "sentence" in name} == {
        name for name in COLUMNS if name.endswith("_unproven")
    }


def test_a_row_tells_the_whole_event() -> None:
    row = read(render_event_row(body_of(), leaf_index=41, names={"pii:1": "Anna Example", "tok_1": "Okta"}))

    assert row == {
        "leaf_index": "41",
        "time": "2026-03-04T05:06:07.891Z",
        "id": EVENT.id,
        "action": "role.granted",
        "outcome": "denied",
        "sentence_unproven": (
            "Denied, seat_limit_reached (limit 50, used 50): SCIM token Okta granted creator at scope_4 "
            "to Anna Example."
        ),
        "actor_type": "token",
        "actor_id": "tok_1",
        "actor_name_unproven": "Okta",
        "subject_type": "member",
        "subject_id": "mem_1",
        "subject_name_unproven": "Anna Example",
        "object_type": "group",
        "object_id": "grp_1",
        "object_name_unproven": "",
        "reason": "seat_limit_reached",
        "reason_numbers": '{"limit":50,"used":50}',
        "changes": (
            '[{"after":"creator","before":null,"path":"role"},{"after":"scope_4","before":null,"path":"scope_id"}]'
        ),
        "cause_kind": "mapping_rule",
        "cause_root": ROOT,
        "cause_parent": ROOT,
        "rule_id": "mr_12",
        "rule_version": "4",
        "run_id": "run_1",
        "request_id": "req_9",
    }


def test_an_event_that_is_not_sealed_has_no_leaf_and_absent_parts_are_empty() -> None:
    body = body_of(replace(EVENT, cause=Cause("command")))
    del body["targets"], body["changes"]

    row = read(render_event_row(body, leaf_index=None))

    assert {name for name, cell in row.items() if cell} == {
        "time",
        "id",
        "action",
        "outcome",
        "sentence_unproven",
        "actor_type",
        "actor_id",
        "cause_kind",
    }


def test_the_first_subject_is_told_and_a_dangerous_name_is_harmless() -> None:
    targets = (Target("member", "mem_1", pii="pii:1"), Target("member", "mem_2"))
    body = body_of(replace(EVENT, targets=targets))

    row = read(render_event_row(body, leaf_index=0, names={"pii:1": "=cmd|'/C calc'!A0", "tok_1": "\udc80"}))

    assert row["subject_id"] == "mem_1"
    assert row["subject_name_unproven"] == "'=cmd|'/C calc'!A0"
    assert row["actor_name_unproven"] == "?"
