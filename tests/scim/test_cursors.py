"""Sealed places in lists."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.resources import Direction, Position
from scim.cursors import Mark, Question, open_cursor, seal_cursor
from scim.errors import ExpiredCursorError, InvalidCountError, InvalidCursorError
from service.scim_edge import RingSealer
from tests.builders import KEY_RING, MONDAY

SEALER = RingSealer(KEY_RING)
QUESTION = Question("directory", "User", 'title eq "x"', "userName", is_descending=False)
MARK = Mark(50, Position("key", "id"))


def seal(question: Question = QUESTION, mark: Mark = MARK) -> str:
    return seal_cursor(question, mark, sealer=SEALER, now=MONDAY)


def unseal(text: str, question: Question = QUESTION, count: int | None = None, *, seconds: int = 0) -> Mark:
    return open_cursor(text, question, count, sealer=SEALER, now=MONDAY + timedelta(seconds=seconds))


@given(
    count=st.integers(0, 1_000),
    position=st.none()
    | st.builds(
        Position,
        st.none() | st.text(st.characters(codec="utf-8"), max_size=50),
        st.text(st.characters(codec="utf-8"), max_size=36),
        st.sampled_from(Direction),
    ),
    kind=st.sampled_from(["", "User", "Group"]),
)
def test_cursor_gives_back_its_place(count: int, position: Position | None, kind: str) -> None:
    mark = Mark(count, position, kind)

    text = seal(mark=mark)

    assert re.fullmatch("[A-Za-z0-9_-]+", text)
    assert unseal(text) == mark


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, directory_id="other"),
        replace(QUESTION, resource_type="Group"),
        replace(QUESTION, filter=""),
        replace(QUESTION, sort=""),
        replace(QUESTION, is_descending=True),
    ],
)
def test_cursor_opens_for_its_own_question_only(other: Question) -> None:
    with pytest.raises(InvalidCursorError):
        unseal(seal(), other)


@pytest.mark.parametrize(
    "text", ["", "x", "é", "====", "A" * 20_000, seal()[:-4], seal()[::-1], f"{seal()}AAAA"]
)
def test_text_that_was_never_given_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        unseal(text)


def test_cursor_ends_after_an_hour() -> None:
    assert unseal(seal(), seconds=3_600) == MARK
    with pytest.raises(ExpiredCursorError):
        unseal(seal(), seconds=3_601)


def test_count_must_stay_or_be_left_out() -> None:
    assert unseal(seal(), count=50) == MARK
    with pytest.raises(InvalidCountError):
        unseal(seal(), count=51)
