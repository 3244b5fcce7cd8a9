"""The settings of a directory that is read over LDAP, from the flat form in which they are stored."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from sync.ber import BERLimits
from sync.dn import dn_key, key_is_within
from sync.errors import LDAPSettingsError

StoredSettings = Mapping[str, str | int | bool]

_Kind = TypeVar("_Kind", bound=Enum)

_LARGEST_PAGE: Final = 10_000
_LONGEST_WAIT_SECONDS: Final = 600
_LARGEST_MESSAGE: Final = 1 << 30
_LARGEST_ENTRIES: Final = 1 << 40

# A distinguished name, with blanks around its separators as people write them. A part without a value is
# refused, which the standard allows: as a base or an account it is a slip. Source: RFC 4514 section 3.
_TYPE: Final = r" *(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+) *"
_VALUE: Final = r""" *(?:"(?:[^"\\\0]|\\.)+"|(?:[^"\\,;+<>\0]|\\[0-9A-Fa-f]{2}|\\[ "#+,;<=>\\])+)"""
_PART: Final = f"{_TYPE}={_VALUE}"
_DN: Final = re.compile(rf"{_PART}(?: *\+{_PART})*(?: *,{_PART}(?: *\+{_PART})*)*", re.DOTALL)
# Names by which Active Directory lets an account in besides its DN. Source: [MS-ADTS] section 5.1.1.1.1.
_ACCOUNT: Final = re.compile(r"[^\s@\\=,]+@[^\s@\\=,]+|[^\s@\\=,]+\\[^\s@\\=,]+")


class TLSMode(Enum):
    """How the connection is made safe before any password is sent. `plain` is for this machine alone."""

    LDAPS = "ldaps"
    STARTTLS = "starttls"
    PLAIN = "plain"


class Scope(Enum):
    """How deep a search goes below its base. Source: RFC 4511 section 4.5.1.2."""

    ONE = "one"
    SUBTREE = "subtree"


@dataclass(frozen=True, slots=True)
class LDAPServer:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for below one base: `sought` is `user` or `group`."""

    base: str
    filter: str
    sought: str
    scope: Scope = Scope.SUBTREE


@dataclass(frozen=True, slots=True)
class LDAPSettings:
    """How servers are reached and asked. Servers are tried in their order; one run reads from one of them only."""

    servers: tuple[LDAPServer, ...]
    searches: tuple[Search, ...]
    tls: TLSMode = TLSMode.LDAPS
    ca_file: Path | None = None
    bind_dn: str = ""
    password_name: str = ""
    """Where the password is to be found; the password itself stands in no setting."""
    next_password_name: str = ""
    """Where the password is that is tried when the first is refused, while one follows the other."""
    page_size: int = 500
    connect_seconds: int = 5
    receive_seconds: int = 30
    entries: int = 5_000_000
    limits: BERLimits = field(default_factory=BERLimits)


def ldap_settings(settings: StoredSettings, *, user_filter: str, group_filter: str) -> LDAPSettings:
    """Read the stored settings; the filters are those of the dialect, for settings that name none.

    Raises: LDAPSettingsError naming the setting and what it may be.
    """
    tls = _choice(TLSMode, settings, "tls", TLSMode.LDAPS)
    scope = _choice(Scope, settings, "scope", Scope.SUBTREE)
    servers = tuple(_server(text, tls) for text in _listed(settings, "servers", ","))
    if not servers:
        raise LDAPSettingsError(
            "'servers' names no server; give HOST or HOST:PORT, several with commas", setting="servers"
        )
    user_bases = _outermost(_listed(settings, "user_bases", ";"), scope)
    group_bases = _outermost(_listed(settings, "group_bases", ";"), scope) or user_bases
    if not user_bases:
        raise LDAPSettingsError(
            "'user_bases' names no base; give the DN below which people stand", setting="user_bases"
        )
    bind_dn, ca_file = str(settings.get("bind_dn", "")), str(settings.get("ca_file", ""))
    for name, bases in (("user_bases", user_bases), ("group_bases", group_bases)):
        for base in bases:
            _check_base(name, base)
    _check_account(bind_dn)
    return LDAPSettings(
        servers=servers,
        searches=(
            *(
                Search(base, _text(settings, "user_filter", user_filter), "user", scope)
                for base in user_bases
            ),
            *(
                Search(base, _text(settings, "group_filter", group_filter), "group", scope)
                for base in group_bases
            ),
        ),
        tls=tls,
        ca_file=Path(ca_file) if ca_file else None,
        bind_dn=bind_dn,
        password_name=_text(settings, "password_name", "") if bind_dn else "",
        next_password_name=_text(settings, "next_password_name", "") if bind_dn else "",
        page_size=_number(settings, "page_size", 500, 1, _LARGEST_PAGE),
        connect_seconds=_number(settings, "connect_seconds", 5, 1, _LONGEST_WAIT_SECONDS),
        receive_seconds=_number(settings, "receive_seconds", 30, 1, _LONGEST_WAIT_SECONDS),
        entries=_number(settings, "entries", 5_000_000, 1, _LARGEST_ENTRIES),
        limits=BERLimits(message_bytes=_number(settings, "message_bytes", 64 << 20, 1024, _LARGEST_MESSAGE)),
    )


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its very name, whatever a resolver would say of it."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _server(text: str, tls: TLSMode) -> LDAPServer:
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or "/" in text or (port and not (port.isascii() and port.isdigit())):
        raise LDAPSettingsError(
            f"'{text}' in 'servers' is no server; give HOST or HOST:PORT", setting="servers"
        )
    number = int(port) if port else 636 if tls is TLSMode.LDAPS else 389
    if not 0 < number < 65536:
        raise LDAPSettingsError(f"'{text}' in 'servers' names no port from 1 to 65535", setting="servers")
    if tls is TLSMode.PLAIN and not is_loopback(host):
        raise LDAPSettingsError(
            f"tls 'plain' would send the password to {host} in clear; use ldaps or starttls there",
            setting="tls",
        )
    return LDAPServer(host, number)


def _check_base(name: str, base: str) -> None:
    if not _DN.fullmatch(base):
        raise LDAPSettingsError(
            f"'{base}' is no distinguished name; write it as the server does, such as ou=people,dc=example,dc=org "
            "(and a semicolon in a name as \\3B)",
            setting=name,
        )


def _check_account(bind_dn: str) -> None:
    if bind_dn and not (_DN.fullmatch(bind_dn) or _ACCOUNT.fullmatch(bind_dn)):
        raise LDAPSettingsError(
            f"'{bind_dn}' names no account; give its distinguished name, such as cn=reader,dc=example,dc=org "
            "(for Active Directory reader@example.org will do)",
            setting="bind_dn",
        )


def _outermost(bases: tuple[str, ...], scope: Scope) -> tuple[str, ...]:
    """The bases without those that stand within another: below it an entry would come twice."""
    kept: dict[str, str] = {}
    for base in bases:
        kept.setdefault(dn_key(base), base)
    if scope is Scope.ONE:
        return tuple(kept.values())
    return tuple(
        base
        for key, base in kept.items()
        if not any(other != key and key_is_within(key, other) for other in kept)
    )


def _choice(kind: type[_Kind], settings: StoredSettings, name: str, default: _Kind) -> _Kind:
    given = settings.get(name)
    if given is None:
        return default
    for one in kind:
        if one.value == given:
            return one
    raise LDAPSettingsError(
        f"'{name}' is '{given}'; choose one of {', '.join(str(one.value) for one in kind)}", setting=name
    )


def _number(settings: StoredSettings, name: str, default: int, least: int, most: int) -> int:
    given = settings.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise LDAPSettingsError(f"'{name}' is '{given}'; give a number from {least} to {most}", setting=name)
    return given


def _text(settings: StoredSettings, name: str, default: str) -> str:
    return str(settings.get(name) or default)


def _listed(settings: StoredSettings, name: str, separator: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in str(settings.get(name, "")).split(separator) if word.strip())
