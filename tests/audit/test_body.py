import pytest

from audit.body import parse_body
from audit.canonical import canonicalise
from audit.errors import MalformedBodyError
from audit.render import render_event
from tests.audit.samples import EVENT, build_body


def test_a_rendered_event_is_read_back() -> None:
    body = parse_body(render_event(EVENT))

    assert (body["id"], body["action"]) == (EVENT.id, EVENT.action)


def test_parts_of_later_releases_are_kept() -> None:
    body = parse_body(canonicalise({**build_body("evt_1"), "later": 1}))

    assert body.get("later") == 1


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b"{", "no JSON"),
        (b"[]", "not a list"),
        (b"{}", "schema version None"),
        (b'{"v":2}', "schema version 2"),
        (b'{"v":1,"id":"e"}', "without action, actor, cause, organisation, outcome, salt, time"),
    ],
)
def test_bytes_that_are_no_event_are_refused(stored: bytes, told: str) -> None:
    with pytest.raises(MalformedBodyError, match=told):
        parse_body(stored)
