"""Ids, tokens and bodies of requests, however they are sent."""

import io

import pytest

from web.requests import BodyCutOffError, BodyTooLargeError, bearer_token, is_request_id, read_body


class Trickle(io.BytesIO):
    """Gives a few bytes at a time and counts them, as a slow client sends them."""

    given = 0

    def read(self, size: int | None = -1) -> bytes:
        part = super().read(7 if size is None else min(size, 7))
        self.given += len(part)
        return part


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER  abc ", "abc"),
        ("Bearer a.b~c+d/e-f_g==", "a.b~c+d/e-f_g=="),
        ("", ""),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("Bearer a b", ""),
        ("Bearer a=b", ""),
        ("Bearer ä", ""),
        ("Basic YTpi", ""),
        ("Bearerabc", ""),
        ("Bearer abc, Bearer def", ""),
        ("Bearer abc\n", ""),
    ],
)
def test_a_bearer_token_is_taken_out_of_its_header(header: str, token: str) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize("text", ["12345678", "a-b_c.D0" * 8])
def test_a_plain_id_of_the_client_is_taken_over(text: str) -> None:
    assert is_request_id(text)


@pytest.mark.parametrize(
    "text", ["", "1234567", "a" * 65, "with space", "ääääääää", "line\nfeed", "12345678\n"]
)
def test_any_other_id_is_not(text: str) -> None:
    assert not is_request_id(text)


@pytest.mark.parametrize("declared", [None, 20])
def test_a_body_is_read_whole_at_its_limit(declared: int | None) -> None:
    assert read_body(Trickle(b"x" * 20), 20, declared) == b"x" * 20


def test_no_body_is_an_empty_one() -> None:
    assert read_body(io.BytesIO(), 20, None) == b""
    assert read_body(io.BytesIO(b"{}"), 20, 2) == b"{}"


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    stream = Trickle(b"x" * 21)

    with pytest.raises(BodyTooLargeError, match="larger than 20 bytes"):
        read_body(stream, 20, 21)
    assert stream.given == 0


def test_a_body_that_hides_its_length_is_read_no_further_than_its_limit() -> None:
    stream = Trickle(b"x" * 1000)

    with pytest.raises(BodyTooLargeError):
        read_body(stream, 20, None)
    assert stream.given == 21


def test_a_body_that_ends_early_is_told() -> None:
    with pytest.raises(BodyCutOffError, match="ended after 3 of 20 bytes"):
        read_body(io.BytesIO(b"xxx"), 100, 20)


def test_a_body_is_not_read_past_its_declared_end() -> None:
    stream = io.BytesIO(b"{}the next request")

    assert read_body(stream, 100, 2) == b"{}"
    assert stream.read() == b"the next request"
