"""Tokens: random, found by their prefix, and kept as a digest alone."""

import pytest

from web.tokens import AUDIT, digest, is_same, make_token, read_prefix

RANDOM = bytes(range(48))


def test_a_token_is_made_of_its_random_bytes_alone() -> None:
    token = make_token(RANDOM)

    assert token == make_token(RANDOM)
    assert token.text == "usher_scim_eaqseize_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert token.text.startswith(f"{token.prefix}_")
    assert token.sha256 == digest(token.text)
    assert make_token(bytes(48)).text != token.text


def test_a_token_does_not_show_its_text() -> None:
    token = make_token(RANDOM)

    assert repr(token) == "FreshToken(usher_scim_eaqseize)"


def test_too_little_chance_is_a_fault() -> None:
    with pytest.raises(ValueError, match="needs 40 random bytes, got 39"):
        make_token(bytes(39))


def test_the_prefix_is_read_of_a_token_only() -> None:
    text = make_token(RANDOM).text

    assert read_prefix(text) == "usher_scim_eaqseize"
    for other in ("", "usher_scim_eaqseize", text[:-1], text + "x", text.upper(), f" {text}", text + "\n"):
        assert read_prefix(other) == ""


def test_only_the_very_text_is_the_token() -> None:
    token = make_token(RANDOM)

    assert is_same(token.text, token.sha256)
    assert not is_same(token.text[:-1] + "9", token.sha256)
    assert not is_same("", token.sha256)


def test_a_token_is_read_for_its_own_purpose_only() -> None:
    text = make_token(RANDOM, AUDIT).text

    assert text.startswith("usher_audit_eaqseize_")
    assert read_prefix(text, AUDIT) == "usher_audit_eaqseize"
    assert read_prefix(text) == ""
    assert read_prefix(make_token(RANDOM).text, AUDIT) == ""
