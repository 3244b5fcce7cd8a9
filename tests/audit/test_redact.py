from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.redact import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_NODES,
    MAX_TEXT,
    REDACTED,
    fingerprint,
    is_secret_name,
    redact,
    redact_text,
)

SECRET = "Tr0ub4dor"

SECRET_NAMES = [
    "password",
    "bind_password",
    "bindPw",
    "client-secret",
    "Authorization",
    "Set-Cookie",
    "cookies",
    "SAMLResponse",
    "saml_assertion",
    "private_key",
    "privateKey",
    "userPassword",
    "unicodePwd",
    "access_token",
    "X-Api-Key",
    "SessionIndex",
    "key passphrase",
    "credentials",
    "TOKEN",
    "token_",
]
TEXTS_WITH_SECRETS = [
    "Authorization: Bearer Tr0ub4dor",
    "sent 'Bearer Tr0ub4dor' to hq",
    "Authorization: Basic Tr0ub4dorw==",
    "tried Basic Tr0ub4dorw== first",
    "Cookie: a=Tr0ub4dor; b=Tr0ub4dor",
    "password=Tr0ub4dor&next=/",
    "bind_password: Tr0ub4dor",
    "userPassword:: Tr0ub4dor",
    '{"client_secret": "Tr0ub4dor x", "a": 1}',
    '{\\"token\\": \\"Tr0ub4dor\\"}',
    "Settings(password='Tr0ub4dor', host='h')",
    "token => Tr0ub4dor",
    "postgresql://usher:Tr0ub4dor@db/usher",
    "https://:Tr0ub4dor@host/",
    "eyJhbGciOiJub25lIn0.Tr0ub4dor.Tr0ub4dor",
    "-----BEGIN PRIVATE KEY-----\nTr0ub4dor\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nTr0ub4dor cut off",
    "<saml2:Assertion ID='a'>Tr0ub4dor</saml2:Assertion>",
    "<Response>Tr0ub4dor",
    f"got {SECRET}{'xY9_' * 12} instead",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_tells_of_a_secret_hides_its_value(name: str) -> None:
    assert redact({"outer": [{name: SECRET}]}) == {"outer": [{name: REDACTED}]}
    assert redact({name: {"nested": SECRET}}) == {name: REDACTED}
    assert redact([(name, SECRET), [name, SECRET]]) == [[name, REDACTED], [name, REDACTED]]


@pytest.mark.parametrize(
    "name", ["token_id", "tokenId", "password_sha256", "cookie_name", "token_count", "user_name", "kind"]
)
def test_a_name_that_tells_about_a_secret_hides_nothing(name: str) -> None:
    assert not is_secret_name(name)
    assert redact({name: "shown"}) == {name: "shown"}


@pytest.mark.parametrize("absent", [None, "", True, False])
def test_that_a_secret_is_absent_is_shown(absent: object) -> None:
    assert redact({"password": absent}) == {"password": absent}


@pytest.mark.parametrize("text", TEXTS_WITH_SECRETS)
def test_a_secret_in_a_text_is_taken_out(text: str) -> None:
    redacted = redact_text(text)

    assert SECRET not in redacted
    assert REDACTED in redacted
    assert redact_text(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "group 'eng-admins' is managed by the LDAP directory 'hq'; change it there",
        "Basic authentication is not offered",
        "01990000-0000-7000-8000-000000000001",
        f"plan {'0123456789abcdef' * 4}",
        "token_id=tok_1 key_id=key_2",
        "ldaps://dc1.example.org:636/ou=people",
    ],
)
def test_a_text_without_secret_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


@given(st.text() | st.lists(st.sampled_from([*TEXTS_WITH_SECRETS, "\n", "a"])).map("\n".join))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact_text(text)

    assert redact_text(once) == once


leaves = st.none() | st.booleans() | st.integers() | st.just(SECRET)
secret_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(SECRET_NAMES), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(SECRET_NAMES), secret_values))
def test_nothing_under_a_secret_name_survives(value: Mapping[str, object]) -> None:
    assert SECRET not in repr(redact(value))


def test_other_values_are_copied_as_plain_ones() -> None:
    value = {
        "n": 1,
        "f": 0.5,
        "b": b"abc",
        "s": {"x"},
        "t": (1, 2, 3),
        3: datetime(2026, 1, 2, tzinfo=UTC),
        "e": ValueError("password=Tr0ub4dor"),
    }

    assert redact(value) == {
        "n": 1,
        "f": 0.5,
        "b": "[3 bytes]",
        "s": ["x"],
        "t": [1, 2, 3],
        "3": "2026-01-02 00:00:00+00:00",
        "e": "password=[redacted]",
    }


def test_a_long_text_is_cut() -> None:
    assert redact_text("a" * (MAX_TEXT + 5)) == "a" * MAX_TEXT + "[5 more characters]"


def test_a_long_container_is_cut() -> None:
    assert redact([0] * (MAX_ITEMS + 2)) == [0] * MAX_ITEMS + ["[2 more]"]
    assert (
        len(str(redact({str(number): 0 for number in range(MAX_ITEMS + 7)})).split("'...': '[7 more]'")) == 2
    )


def test_a_value_that_holds_itself_comes_to_an_end() -> None:
    value: list[object] = [0]
    value.append(value)
    value.append(0)

    copied = str(redact(value))

    assert copied.count("[too deep]") == 1
    assert copied.count("[") == MAX_DEPTH + 1


def test_a_wide_and_deep_value_comes_to_an_end() -> None:
    value: object = "x"
    for _ in range(MAX_DEPTH - 1):
        value = [value] * MAX_ITEMS

    copied = str(redact(value))

    assert "[too large]" in copied
    assert copied.count("'x'") < MAX_NODES


@pytest.mark.parametrize(
    "piece", ["a-", "token", "<Assertion ", "-----BEGIN PRIVATE KEY-----", "://:", "bearer ", "aB"]
)
def test_a_hostile_text_comes_to_an_end(piece: str) -> None:
    assert redact_text(piece * MAX_TEXT).endswith(" more characters]")


def test_a_fingerprint_is_short_and_stable() -> None:
    assert fingerprint(b"abc") == "sha256:ba7816bf8f01cfea"
