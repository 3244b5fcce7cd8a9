"""What the pages of the record make of values that events hold."""

import pytest

from audit.body import EventBody, ValueBody
from console.record_views import Addresses, row_view, shown_moment
from web.record import Entry

ADDRESSES = Addresses("", {"action": "role.", "after": "7", "live": "x"})


def event(before: ValueBody, after: ValueBody) -> EventBody:
    return {
        "v": 1,
        "id": "01990000-0000-7000-8000-000000000001",
        "organisation": "01990000-0000-7000-8000-000000000002",
        "time": "2026-01-02T03:04:05.678Z",
        "salt": "00",
        "action": "settings.changed",
        "outcome": "success",
        "actor": {"type": "admin", "id": "01990000-0000-7000-8000-0000000abcde"},
        "cause": {"kind": "admin_action"},
        "targets": [{"type": "key", "id": "k1", "role": "subject"}],
        "changes": [{"path": "value", "before": before, "after": after}],
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        ("text", "text"),
        ("known", "Known Name"),
        (["known", "other"], "Known Name, other"),
        ([], "nothing"),
        ({"sha256": "ab", "len": 900}, "a value of 900 bytes, SHA-256 ab"),
    ],
)
def test_each_value_is_shown_in_words(value: ValueBody, shown: str) -> None:
    (change,) = row_view(Entry(1, event(value, None)), {"known": "Known Name"}, ADDRESSES).changes

    assert (change.before, change.after) == (shown, "")


def test_an_id_without_a_name_is_shown_by_its_end() -> None:
    row = row_view(Entry(1, event(None, None)), {}, ADDRESSES)

    assert [(chip.what, chip.label) for chip in row.chips] == [
        ("Action", "settings.changed"),
        ("By", "…000abcde"),
        ("Cause", "admin action"),
    ]
    assert (row.proof_url, row.sealed, row.run_url) == ("", "", "")


def test_another_filter_begins_at_the_beginning() -> None:
    assert ADDRESSES.page(role="Admin") == "/console/audit?action=role.&role=Admin"
    assert ADDRESSES.page(action="") == "/console/audit"
    assert ADDRESSES.only() == "/console/audit"


def test_what_is_no_moment_is_shown_as_it_is() -> None:
    assert shown_moment("2026-01-02T03:04:05.678+02:00") == "2026-01-02 01:04:05 UTC"
    assert shown_moment("soon") == "soon"
