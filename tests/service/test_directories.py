"""Settings of a directory server, as they are typed and as they are stored."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.directories import LDAPDirectory, ldap_directory_settings, server_urls
from sync.errors import DialectError, LDAPSettingsError
from tests.certificates import Certificates

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LEAST = LDAPDirectory(("ldaps://dc1.example.org",), "openldap", ("ou=people,o=x",))


def stored(**other: object) -> dict[str, str | int | bool]:
    return ldap_directory_settings(replace(LEAST, **other), now=NOW)  # type: ignore[arg-type]  # as named by the test


def test_what_is_as_by_default_is_not_stored() -> None:
    assert stored() == {
        "servers": "dc1.example.org",
        "tls": "ldaps",
        "user_bases": "ou=people,o=x",
        "dialect": "openldap",
    }


def test_everything_that_is_said_is_stored_and_no_password_is(certificates: Certificates) -> None:
    found = stored(
        servers=("ldap://dc1.example.org:3389/", "[::1]:389", "dc2.example.org"),
        ca_file=certificates.authority,
        tls="starttls",
        bind_dn="cn=reader,o=x",
        password_name="hq.1",
        next_password_name="hq.2",
        user_bases=("ou=people,o=x", "ou=guests,o=x"),
        group_bases=("ou=groups,o=x",),
        user_filter="(uid=*)",
        group_filter="(cn=*)",
        id_attribute="entryUUID",
        interval_seconds=900,
        page_size=1000,
        absence_grace_runs=2,
        guard={"removed_users": 5},
        others={
            "map_department": "ou",
            "map_mails": "",
            "receive_seconds": "60",
            "scope": "one",
            "include_built_in": "true",
        },
    )

    assert found == {
        "servers": "dc1.example.org:3389,[::1]:389,dc2.example.org",
        "ca_file": str(certificates.authority),
        "tls": "starttls",
        "bind_dn": "cn=reader,o=x",
        "password_name": "hq.1",
        "next_password_name": "hq.2",
        "user_bases": "ou=people,o=x;ou=guests,o=x",
        "group_bases": "ou=groups,o=x",
        "dialect": "openldap",
        "user_filter": "(uid=*)",
        "group_filter": "(cn=*)",
        "id_attribute": "entryUUID",
        "interval_seconds": 900,
        "page_size": 1000,
        "absence_grace_runs": 2,
        "guard_removed_users": 5,
        "map_department": "ou",
        "map_mails": "",
        "receive_seconds": 60,
        "scope": "one",
        "include_built_in": True,
    }
    assert server_urls(found) == [
        "ldap://dc1.example.org:3389",
        "ldap://[::1]:389",
        "ldap://dc2.example.org",
    ]


@pytest.mark.parametrize(
    ("servers", "tls"),
    [(("ldap://dc1",), "starttls"), (("dc1:636",), "ldaps"), (("ldaps://dc1", "dc2"), "ldaps")],
)
def test_the_addresses_say_how_the_connection_is_made_safe_and_never_that_it_is_not(
    servers: tuple[str, ...], tls: str
) -> None:
    assert stored(servers=servers)["tls"] == tls


@pytest.mark.parametrize(
    ("other", "setting", "words"),
    [
        (
            {"servers": ("ldaps://dc1", "ldap://dc2")},
            "servers",
            "with tls ldaps every server is ldaps://HOST:PORT",
        ),
        ({"servers": ("ldaps://dc1",), "tls": "starttls"}, "servers", "ldaps:// servers take ldaps"),
        ({"servers": ("ldap://dc1",), "tls": "plain"}, "tls", "would send the password to dc1 in clear"),
        ({"servers": ("https://dc1",)}, "servers", "'https://dc1' is no server"),
        ({"servers": ("ldaps://",)}, "servers", "is no server"),
        ({"servers": ("ldaps://dc1/o=x",)}, "servers", "and bases apart"),
        ({"servers": ("ldaps://[::1",)}, "servers", "is no server"),
        ({"servers": ("dc1:ldap",)}, "servers", "is no server"),
        ({"user_bases": ("people",)}, "user_bases", "is no distinguished name"),
        ({"group_bases": ("ou=a;ou=b",)}, "group_bases", "holds a semicolon"),
        ({"bind_dn": "nobody"}, "bind_dn", "names no account"),
        ({"user_filter": "(uid=*)("}, "user_filter", "is no LDAP filter"),
        ({"group_filter": "(cn=\0)"}, "group_filter", "NUL character"),
        ({"ca_file": Path("/none/ca.pem")}, "ca_file", "No such file"),
        ({"others": {"page": "1"}}, "page", "is no further setting"),
        ({"others": {"scope": "base"}}, "scope", "choose one of one, subtree"),
        ({"others": {"incremental": "usn"}}, "incremental", "choose one of auto, off"),
        ({"others": {"full_interval": "daily"}}, "full_interval", "give a number"),
        ({"others": {"receive_seconds": "soon"}}, "receive_seconds", "give a number"),
        ({"others": {"include_built_in": "yes"}}, "include_built_in", "is true or false"),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_stored(
    other: dict[str, object], setting: str, words: str
) -> None:
    with pytest.raises(LDAPSettingsError, match=words.replace("(", r"\(")) as caught:
        stored(**other)

    assert caught.value.setting == setting


@pytest.mark.parametrize("server", ["ldaps://reader:hunter2@dc1", "reader:hunter2@dc1"])
def test_a_password_in_an_address_is_refused_and_not_repeated(server: str) -> None:
    with pytest.raises(LDAPSettingsError, match="holds no account") as caught:
        stored(servers=(server,))

    assert "hunter2" not in str(caught.value)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nonsense", encoding="utf-8")

    with pytest.raises(LDAPSettingsError, match="holds no certificate in PEM form"):
        stored(ca_file=path)


def test_a_dialect_says_what_it_needs() -> None:
    with pytest.raises(DialectError, match="needs id_attribute"):
        stored(dialect="generic")
