import pytest

from audit.body import EventBody
from audit.chains import EventLookup, walk_chain
from audit.errors import ChainError
from directory.ids import EventId
from tests.audit.samples import build_body


def look_up_among(*bodies: EventBody) -> EventLookup:
    by_id = {EventId(body["id"]): body for body in bodies}
    return by_id.get


def test_a_root_is_a_chain_of_itself() -> None:
    root = build_body("root")

    assert walk_chain(EventId("root"), look_up_among(root)) == (root,)


def test_a_chain_leads_from_the_event_to_its_root() -> None:
    root = build_body("root")
    middle = build_body("middle", parent="root", root="root")
    last = build_body("last", parent="middle", root="root")

    assert walk_chain(EventId("last"), look_up_among(root, middle, last)) == (last, middle, root)


@pytest.mark.parametrize(
    ("bodies", "told", "stopped_at"),
    [
        ((build_body("last", parent="gone", root="gone"),), "no such event", "gone"),
        (
            (build_body("last", parent="other", root="r"), build_body("other", parent="last", root="r")),
            "returns to itself",
            "last",
        ),
        ((build_body("last", parent="last", root="last"),), "returns to itself", "last"),
        ((build_body("last", parent="top", root="else"), build_body("top")), "another root", "last"),
        ((build_body("last", parent="top"), build_body("top")), "another root", "last"),
        (
            (build_body("last", parent="top", root="top"), build_body("top", organisation="org_2")),
            "another organisation",
            "last",
        ),
    ],
    ids=["missing", "cycle", "own parent", "wrong root", "no root", "foreign root"],
)
def test_a_chain_that_does_not_lead_to_its_root_is_an_error(
    bodies: tuple[EventBody, ...], told: str, stopped_at: str
) -> None:
    with pytest.raises(ChainError, match=told) as broken:
        walk_chain(EventId("last"), look_up_among(*bodies))

    assert broken.value.event_id == stopped_at
