"""Settings of directories, checked before they are stored, and how a SCIM directory is found from outside."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from directory.ids import DirectoryId
from scim.resources import PREFIX
from service.errors import InputError
from service.settings import Settings
from sync.dialects import make_dialect
from sync.errors import LDAPSettingsError
from sync.incremental import IncrementSettings
from sync.ldap_reader import check_filter
from sync.ldap_settings import TLSMode, ldap_settings
from sync.run import dialect_settings

_NO_GUARD: Mapping[str, int] = {}

OTHER_SETTINGS: Mapping[str, type[str] | type[int] | type[bool]] = {
    "connect_seconds": int,
    "disabled_attribute": str,
    "disabled_values": str,
    "entries": int,
    "full_interval": int,
    "group_id_attribute": str,
    "ignored_references": str,
    "incremental": str,
    "incremental_percent": int,
    "include_built_in": bool,
    "member_attributes": str,
    "message_bytes": int,
    "overlap_seconds": int,
    "receive_seconds": int,
    "scope": str,
}
"""Settings of a directory server that few need, with their kinds; besides, `map_<fact>` names attributes."""
_MAP_PREFIX = "map_"


@dataclass(frozen=True, slots=True)
class LDIFDirectory:
    """An export in the folder of exports, and how it is read. Empty bases: the whole file."""

    file: str
    dialect: str
    interval_seconds: int | None = None
    user_bases: tuple[str, ...] = ()
    group_bases: tuple[str, ...] = ()
    id_attribute: str = ""
    absence_grace_runs: int = 1
    checksum_required: bool = False
    guard: Mapping[str, int] = field(default_factory=lambda: _NO_GUARD)


@dataclass(frozen=True, slots=True)
class LDAPDirectory:
    """A directory server, and how it is read. `servers` are URLs (`ldaps://HOST:PORT`) or HOST:PORT, in order.

    An empty `tls` follows from the URLs: StartTLS for `ldap://`, which sends nothing in clear either. `others` are
    settings by the names under which they are stored; see `OTHER_SETTINGS`.
    """

    servers: tuple[str, ...]
    dialect: str
    user_bases: tuple[str, ...]
    group_bases: tuple[str, ...] = ()
    tls: str = ""
    ca_file: Path | None = None
    bind_dn: str = ""
    password_name: str = ""
    next_password_name: str = ""
    user_filter: str = ""
    group_filter: str = ""
    id_attribute: str = ""
    interval_seconds: int | None = None
    page_size: int | None = None
    absence_grace_runs: int = 1
    guard: Mapping[str, int] = field(default_factory=lambda: _NO_GUARD)
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PushDirectory:
    """A directory that an identity provider pushes to. An empty profile is `generic`."""

    profile: str = ""
    hold: bool = False
    relink: str = ""
    refuse_foreign_domains: bool = False
    is_paused: bool = False
    guard: Mapping[str, int] = field(default_factory=lambda: _NO_GUARD)


def push_settings(directory: PushDirectory) -> dict[str, str | int | bool]:
    """The settings as they are stored: what is as by default is left out."""
    settings: dict[str, str | int | bool] = {}
    if directory.profile:
        settings["profile"] = directory.profile
    if directory.relink:
        settings["relink"] = directory.relink
    for name, value in (
        ("hold", directory.hold),
        ("refuse_foreign_domains", directory.refuse_foreign_domains),
        ("paused", directory.is_paused),
    ):
        if value:
            settings[name] = True
    return settings | {f"guard_{limit}": number for limit, number in directory.guard.items()}


def scim_base_url(settings: Settings, directory_id: DirectoryId) -> str:
    """What an administrator pastes into the identity provider."""
    return f"{settings.base_url}{PREFIX}/{directory_id}"


def server_urls(settings: Mapping[str, str | int | bool]) -> list[str]:
    """The addresses of the servers of an LDAP directory's settings; none for other kinds."""
    servers = str(settings.get("servers", ""))
    scheme = "ldaps" if settings.get("tls", "ldaps") == "ldaps" else "ldap"
    return [f"{scheme}://{server.strip()}" for server in servers.split(",") if server.strip()]


def ldif_settings(directory: LDIFDirectory, *, now: datetime) -> dict[str, str | int | bool]:
    """The settings as they are stored. Raises InputError for a name that is a path, DialectError for the dialect."""
    file = directory.file
    if "/" in file or "\\" in file or "\0" in file or not file.lower().endswith((".ldif", ".ldif.gz")):
        raise InputError(
            [
                f"'{file}' is no name of an export; give a .ldif or .ldif.gz file in USHER_EXPORTS without its folder"
            ]
        )
    settings: dict[str, str | int | bool] = {"file": file, "dialect": directory.dialect}
    if directory.interval_seconds is not None:
        settings["interval_seconds"] = directory.interval_seconds
    if directory.user_bases:
        settings["user_bases"] = ";".join(directory.user_bases)
    if directory.group_bases:
        settings["group_bases"] = ";".join(directory.group_bases)
    if directory.id_attribute:
        settings["id_attribute"] = directory.id_attribute
    if directory.absence_grace_runs != 1:
        settings["absence_grace_runs"] = directory.absence_grace_runs
    if directory.checksum_required:
        settings["checksum_required"] = True
    settings |= {f"guard_{limit}": number for limit, number in directory.guard.items()}
    make_dialect(directory.dialect, dialect_settings(settings), now=now)
    return settings


def ldap_directory_settings(directory: LDAPDirectory, *, now: datetime) -> dict[str, str | int | bool]:
    """The settings as they are stored; they hold no password.

    Raises: LDAPSettingsError naming the setting at fault; DialectError.
    """
    tls, servers = _parse_servers(directory.servers, directory.tls)
    given: dict[str, str | int | bool | None] = {
        "servers": ",".join(servers),
        "tls": tls.value,
        "ca_file": _check_authorities(directory.ca_file),
        "bind_dn": directory.bind_dn,
        "password_name": directory.password_name if directory.bind_dn else "",
        "next_password_name": directory.next_password_name if directory.bind_dn else "",
        "user_bases": _join_bases("user_bases", directory.user_bases),
        "group_bases": _join_bases("group_bases", directory.group_bases),
        "dialect": directory.dialect,
        "user_filter": directory.user_filter,
        "group_filter": directory.group_filter,
        "id_attribute": directory.id_attribute,
        "interval_seconds": directory.interval_seconds,
        "page_size": directory.page_size,
        "absence_grace_runs": directory.absence_grace_runs if directory.absence_grace_runs != 1 else None,
        **{f"guard_{limit}": number for limit, number in directory.guard.items()},
        **{name: _parse_other(name, text) for name, text in directory.others.items()},
    }
    # An empty map takes a fact away; elsewhere nothing stands for the default.
    stored = {
        name: value
        for name, value in given.items()
        if value is not None and (value != "" or name.startswith(_MAP_PREFIX))
    }
    dialect = make_dialect(directory.dialect, dialect_settings(stored), now=now)
    IncrementSettings.of_settings(stored)
    ldap_settings(stored, user_filter=dialect.user_filter, group_filter=dialect.group_filter)
    for name in ("user_filter", "group_filter"):
        if name in stored:
            try:
                check_filter(str(stored[name]))
            except LDAPSettingsError as err:
                raise LDAPSettingsError(str(err), setting=name) from err
    return stored


def _parse_servers(texts: tuple[str, ...], tls: str) -> tuple[TLSMode, list[str]]:
    """How the connection is made safe, and the servers as HOST:PORT."""
    found = [_parse_server(text.strip()) for text in texts]
    schemes = {scheme for scheme, _ in found if scheme}
    if tls:
        mode = TLSMode(tls)
    else:
        mode = TLSMode.STARTTLS if schemes == {"ldap"} else TLSMode.LDAPS
    wanted = "ldaps" if mode is TLSMode.LDAPS else "ldap"
    if schemes - {wanted}:
        raise LDAPSettingsError(
            f"with tls {mode.value} every server is {wanted}://HOST:PORT; "
            f"{'ldap:// servers take starttls' if wanted == 'ldaps' else 'ldaps:// servers take ldaps'}",
            setting="servers",
        )
    return mode, [server for _, server in found]


def _parse_server(text: str) -> tuple[str, str]:
    """The scheme, empty where there is none, and HOST:PORT."""
    if "@" in text:
        # Whatever stands before the sign may be a password, so it is not shown.
        raise LDAPSettingsError(
            "a server's address holds no account; give the account by bind_dn and its password apart",
            setting="servers",
        )
    if "://" not in text:
        return "", text
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"ldap", "ldaps"} or not parts.netloc or parts.path.strip("/") or parts.query:
        raise LDAPSettingsError(
            f"'{text}' is no server; give ldaps://HOST:PORT (or ldap:// with starttls), and bases apart",
            setting="servers",
        )
    return parts.scheme, parts.netloc


def _check_authorities(path: Path | None) -> str:
    """The file as an absolute path: whoever reads it later stands in another folder."""
    if path is None:
        return ""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as err:
        why = "it holds no certificate in PEM form" if isinstance(err, ssl.SSLError) else err.strerror
        raise LDAPSettingsError(f"'{path}' cannot be read as certificates: {why}", setting="ca_file") from err
    return str(path.absolute())


def _join_bases(name: str, bases: tuple[str, ...]) -> str:
    for base in bases:
        if ";" in base:
            raise LDAPSettingsError(
                f"'{base}' holds a semicolon; give each base by itself, and write a semicolon in a name as \\3B",
                setting=name,
            )
    return ";".join(bases)


def _parse_other(name: str, text: str) -> str | int | bool:
    kind = str if name.startswith(_MAP_PREFIX) else OTHER_SETTINGS.get(name)
    if kind is None:
        known = ", ".join([*sorted(OTHER_SETTINGS), f"{_MAP_PREFIX}FACT"])
        raise LDAPSettingsError(f"'{name}' is no further setting; there are {known}", setting=name)
    if kind is bool:
        if text not in {"true", "false"}:
            raise LDAPSettingsError(f"'{name}' is true or false, not '{text}'", setting=name)
        return text == "true"
    if kind is int and text.isascii() and text.isdigit():
        return int(text)
    return text
