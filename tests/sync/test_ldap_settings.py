"""Settings of a directory server, from their stored form."""

from pathlib import Path

import pytest

from sync.errors import LDAPSettingsError
from sync.ldap_settings import LDAPServer, Scope, Search, TLSMode, is_loopback, ldap_settings
from tests.sync.ldap_builders import GROUP_FILTER, USER_FILTER, Stored, settings

LEAST: Stored = {"servers": "dc1.example.org", "user_bases": "ou=people,o=x"}


def test_the_least_that_must_be_said_is_a_server_and_where_people_stand() -> None:
    found = settings(LEAST)

    assert found.servers == (LDAPServer("dc1.example.org", 636),)
    assert (found.tls, found.ca_file, found.bind_dn, found.password_name) == (TLSMode.LDAPS, None, "", "")
    assert found.searches == (
        Search("ou=people,o=x", USER_FILTER, "user"),
        Search("ou=people,o=x", GROUP_FILTER, "group"),
    )
    assert (found.page_size, found.connect_seconds, found.receive_seconds) == (500, 5, 30)


def test_everything_can_be_said() -> None:
    found = settings(
        {
            "servers": "dc1:1636, [fd00::1]:389,[::1] ,10.0.0.1",
            "tls": "starttls",
            "ca_file": "/etc/ca.pem",
            "bind_dn": "cn=reader,o=x",
            "password_name": "hq",
            "next_password_name": "hq.next",
            "user_bases": "ou=people,o=x; ou=guests,o=x",
            "group_bases": "ou=groups,o=x",
            "user_filter": "(uid=*)",
            "group_filter": "(cn=*)",
            "scope": "one",
            "page_size": 1000,
            "connect_seconds": 1,
            "receive_seconds": 2,
            "entries": 3,
            "message_bytes": 4096,
        }
    )

    assert list(map(str, found.servers)) == ["dc1:1636", "[fd00::1]:389", "[::1]:389", "10.0.0.1:389"]
    assert (found.tls, found.ca_file) == (TLSMode.STARTTLS, Path("/etc/ca.pem"))
    assert (found.bind_dn, found.password_name, found.next_password_name) == (
        "cn=reader,o=x",
        "hq",
        "hq.next",
    )
    assert found.searches == (
        Search("ou=people,o=x", "(uid=*)", "user", Scope.ONE),
        Search("ou=guests,o=x", "(uid=*)", "user", Scope.ONE),
        Search("ou=groups,o=x", "(cn=*)", "group", Scope.ONE),
    )
    assert (found.page_size, found.entries, found.limits.message_bytes) == (1000, 3, 4096)
    assert (found.connect_seconds, found.receive_seconds) == (1, 2)


def test_a_base_within_another_one_is_not_read_twice() -> None:
    bases = "ou=people,o=x;OU=Staff, OU=People,O=X;ou=people, o=x;ou=other,o=x"

    assert [search.base for search in settings({**LEAST, "user_bases": bases}).searches[:2]] == [
        "ou=people,o=x",
        "ou=other,o=x",
    ]
    one_level = settings({**LEAST, "user_bases": bases, "scope": "one", "group_bases": "ou=groups,o=x"})
    assert len(one_level.searches) == 4


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"servers": ""}, "'servers' names no server"),
        ({"servers": "ldaps://dc1"}, "is no server"),
        ({"servers": "dc1:ldap"}, "is no server"),
        ({"servers": ":636"}, "is no server"),
        ({"servers": "dc1:0"}, "no port from 1 to 65535"),
        ({"servers": "dc1:65536"}, "no port from 1 to 65535"),
        ({"user_bases": " ; "}, "'user_bases' names no base"),
        ({"tls": "off"}, "choose one of ldaps, starttls, plain"),
        ({"tls": "plain"}, "would send the password to dc1.example.org in clear"),
        ({"scope": "base"}, "choose one of one, subtree"),
        ({"page_size": 0}, "give a number from 1 to 10000"),
        ({"page_size": "many"}, "give a number"),
        ({"receive_seconds": True}, "give a number"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_can(other: Stored, words: str) -> None:
    with pytest.raises(LDAPSettingsError, match=words):
        ldap_settings({**LEAST, **other}, user_filter="(a=b)", group_filter="(a=b)")


@pytest.mark.parametrize(
    "dn",
    [
        "ou=people,dc=example,dc=org",
        "OU=Staff , DC=example, DC=org",
        "2.5.4.11=people,o=x",
        "cn=Lee\\, Ann+uid=lee,o=\\c3\\96l \\3B Co",
        'cn="Lee, Ann",o=x',
        "cn=a=b,o=x",
    ],
)
def test_a_base_is_a_distinguished_name_in_any_spelling(dn: str) -> None:
    assert settings({**LEAST, "user_bases": dn}).searches[0].base == dn
    assert settings({**LEAST, "bind_dn": dn, "password_name": "hq"}).bind_dn == dn


@pytest.mark.parametrize(
    "dn", ["people", "ou=people,", "ou=,o=x", "=people", "ou=a+,o=x", "ou=a\\x", 'cn="a,o=x']
)
@pytest.mark.parametrize("name", ["user_bases", "group_bases", "bind_dn"])
def test_what_is_no_distinguished_name_is_refused_by_the_name_of_its_setting(dn: str, name: str) -> None:
    with pytest.raises(LDAPSettingsError) as caught:
        settings({**LEAST, name: dn})
    assert caught.value.setting == name
    assert f"'{dn}'" in str(caught.value)


@pytest.mark.parametrize("account", ["reader@ad.example.org", "EXAMPLE\\reader"])
def test_active_directory_lets_an_account_in_by_other_names_than_its_own(account: str) -> None:
    assert settings({**LEAST, "bind_dn": account}).bind_dn == account


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_may_be_asked_in_clear(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "::", ""])
def test_no_other_machine_is_taken_for_this_one(host: str) -> None:
    assert not is_loopback(host)
