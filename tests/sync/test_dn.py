r"""Spellings of one name compare as one, and different names never do. Source: RFC 4514."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.dn import dn_key, is_within, key_is_within


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uid=ada,ou=People,dc=example", "UID=ADA,OU=people,DC=Example"),
        ("uid=ada,ou=people", " UID = ada , OU = people "),
        (r"cn=Doe\2C Jane,o=x", r"cn=Doe\, Jane,o=x"),
        (r"cn=Doe\, Jane,o=x", 'cn="Doe, Jane",o=x'),
        ('cn="Jane" ,o=x', "cn=Jane,o=x"),
        ('cn="a\\"b",o=x', r"cn=a\"b,o=x"),
        (r"cn=\23tag,o=x", r"cn=\#tag,o=x"),
        (r"cn=Zo\C3\AB,o=x", "cn=Zoë,o=x"),
        ("cn=Zoë,o=x", "cn=ZOE\u0308,o=x"),
        ("cn=Stra\u00dfe,o=x", "cn=STRASSE,o=x"),
        ("cn=multi+uid=u7,o=x", "UID=U7 + CN=multi,o=x"),
        ("cn=Jane  Doe,o=x", "cn=jane doe,o=x"),
        (r"cn=Jane\20,o=x", "cn=Jane,o=x"),
        ("cn=#04024869,o=x", "cn=Hi,o=x"),
        ("cn=#0C024869,o=x", "cn=hi,o=x"),
        ("cn=a;o=x", "cn=a,o=x"),
    ],
)
def test_two_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert dn_key(one) == dn_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"cn=a\,o=x,dc=y", "cn=a,o=x,dc=y"),
        (r"cn=a\+uid=b,o=x", "cn=a+uid=b,o=x"),
        (r"cn=\23414243,o=x", "cn=#414243,o=x"),
        ("cn=a，o=x", "cn=a,o=x"),
        ("cn=\u212a1,o=x", "cn=ki,o=x"),
        ("cn=#040548,o=x", "cn=h,o=x"),
        ("cn=#0301ff,o=x", "cn=#0401ff,o=x"),
        ("cn=#zz,o=x", "cn=zz,o=x"),
        ("uid=a,ou=b", "uid=a,ou=b,dc=c"),
    ],
)
def test_two_names_never_share_a_key(one: str, other: str) -> None:
    assert dn_key(one) != dn_key(other)


def test_bytes_and_text_give_one_key() -> None:
    assert dn_key("cn=Zoë,o=x".encode()) == dn_key("cn=Zoë,o=x")


def test_a_name_of_invalid_utf8_still_has_a_key() -> None:
    assert dn_key(b"cn=\xff,o=x") == dn_key(b"CN=\xff , O=x")


@pytest.mark.parametrize("text", ["", "nobody", ",,=,+", "cn=a\\", "cn=a\\5", '"', 'cn="open', "=\0;#", "\\"])
def test_a_text_that_is_no_name_has_a_key_as_well(text: str) -> None:
    assert isinstance(dn_key(text), str)


def test_an_entry_is_within_its_base_and_the_bases_above() -> None:
    assert is_within("uid=ada,OU=people,dc=x", "ou=People , dc=x")
    assert is_within("ou=people,dc=x", "ou=people,dc=x")
    assert key_is_within(dn_key("ou=people"), "")


def test_an_escaped_comma_puts_nobody_below_a_base() -> None:
    assert not is_within(r"cn=ada\,ou=people", "ou=people")
    assert not is_within("uid=ada,ou=sheep,ou=peoples", "ou=people")


VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8
).filter(lambda text: text.strip(" ") != "")


def escaped(value: str, *, as_hex: bool) -> str:
    """RFC 4514 section 2.4, either way of escaping."""
    if as_hex:
        return "".join(f"\\{byte:02X}" for byte in value.encode())
    return "".join(f"\\{char}" if char in ' \\",+;<>=#' else char for char in value)


@given(VALUES, VALUES, st.sampled_from(["cn", "CN"]))
def test_any_way_of_escaping_gives_the_same_key(value: str, base: str, kind: str) -> None:
    plain = f"cn={escaped(value, as_hex=False)},o={escaped(base, as_hex=False)}"
    coded = f"{kind}={escaped(value, as_hex=True)} , o = {escaped(base, as_hex=True)}"
    decomposed = unicodedata.normalize("NFD", plain)

    assert dn_key(plain) == dn_key(coded) == dn_key(decomposed)


@given(st.text(max_size=40))
def test_a_key_is_its_own_key_for_whatever_a_file_says(text: str) -> None:
    key = dn_key(text)

    assert dn_key(key) == key
