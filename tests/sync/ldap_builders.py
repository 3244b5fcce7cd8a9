"""Makes settings, entries and readings of directory servers for the tests of `sync`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sync.entries import RawEntry, RejectedEntry
from sync.ldap_settings import LDAPSettings, ldap_settings
from sync.ldap_source import LDAPSource
from tests import scripted_ldap as wire
from tests.slapd import PASSWORD, SUFFIX, Slapd, account
from tests.sync.builders import uuid

WANTED = frozenset({"objectclass", "entryuuid", "uid", "cn", "mail", "member", "memberuid"})
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
USER_FILTER = "(objectClass=inetOrgPerson)"
GROUP_FILTER = "(|(objectClass=groupOfNames)(objectClass=posixGroup))"

Stored = dict[str, str | int | bool]


def stored(port: int, **other: str | int | bool) -> Stored:
    """Settings of a directory on this machine, as they are stored."""
    return {
        "servers": f"127.0.0.1:{port}",
        "tls": "plain",
        "bind_dn": account("reader"),
        "password_name": "hq",
        "user_bases": PEOPLE,
        "group_bases": GROUPS,
        "receive_seconds": 20,
        "dialect": "openldap",
        **other,
    }


def on_slapd(slapd: Slapd, **other: str | int | bool) -> Stored:
    return stored(slapd.port, **other)


def over_tls(slapd: Slapd, authority: Path, tls: str, **other: str | int | bool) -> Stored:
    port = slapd.tls_port if tls == "ldaps" else slapd.port
    return stored(port, **{"servers": f"localhost:{port}", "tls": tls, "ca_file": str(authority), **other})


def settings(given: Stored) -> LDAPSettings:
    return ldap_settings(given, user_filter=USER_FILTER, group_filter=GROUP_FILTER)


def source(given: Stored, *, password: str = PASSWORD, first_server: int = 0) -> LDAPSource:
    return LDAPSource(settings(given), password, first_server=first_server)


def drained(source: LDAPSource, wanted: frozenset[str] = WANTED) -> list[RawEntry | RejectedEntry]:
    """Everything that the source gives."""
    return list(source.entries(wanted))


def named(items: Sequence[RawEntry | RejectedEntry]) -> list[str]:
    """The DNs of what was read, without the part that they share."""
    return [item.dn.decode().partition(",")[0] for item in items]


def person(number: int, **attributes: Sequence[bytes | str]) -> bytes:
    """A SearchResultEntry of a person."""
    given: Mapping[str, Sequence[bytes | str]] = {
        "objectClass": ["inetOrgPerson"],
        "uid": [f"u{number}"],
        "entryUUID": [uuid(number)],
        **attributes,
    }
    return wire.entry(f"uid=u{number},{PEOPLE}", given)


def group(number: int, name: str, members: Sequence[int], **attributes: Sequence[bytes | str]) -> bytes:
    """A SearchResultEntry of a group of such people."""
    given: Mapping[str, Sequence[bytes | str]] = {
        "objectClass": ["groupOfNames"],
        "cn": [name],
        "entryUUID": [uuid(number)],
        "member": [f"uid=u{member},{PEOPLE}" for member in members],
        **attributes,
    }
    return wire.entry(f"cn={name},{GROUPS}", {key: values for key, values in given.items() if values})
