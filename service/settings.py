"""Settings: read once from `USHER_*` variables into one frozen value, all faults told together.

A variable of the same name with `_FILE` behind it gives a secret's file instead of the secret itself.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service.errors import SettingsError
from web.addresses import Network, parse_networks

PREFIX = "USHER_"
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "console", "json")
LOCAL = "local"
"""Whoever finds a directory due reads it, in the same process."""
WORKERS = "workers"
"""Directories are read by `usher worker` processes."""
_HEARTBEATS_MISSED = 3

_SERVER = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs. Secrets are left out of its `repr`.

    `secret_key` is the text of a key ring; empty means the one in `key_file`. `organisation` is whom commands are
    about when they do not say. `metrics_token`: without one, `/metrics` answers this machine only. `scim_rate` is in
    requests a second for each directory. A session ends `session_hours` after its login at the latest, and when it
    was not used for `session_idle_minutes`. `private_targets` are networks that are not public and may yet be sent
    requests to; `dns_servers` (`address:port`) answer for the proof of domains in place of the system's. `jobs` says
    who reads directories, `LOCAL` or `WORKERS`; the three behind it are about workers: how often they say that they
    live, after which silence their work is given to others, and how often that is looked for. `log_key_file` holds
    what the audit log is signed by. `retention_database_url`: the database, for a role of it that may remove events.
    """

    data: Path = Path("var")
    database_url: str = field(default="", repr=False)
    exports: Path = Path("var/directories")
    host: str = "127.0.0.1"
    port: int = 8000
    log_level: str = "info"
    log_format: str = "auto"
    secret_key: str = field(default="", repr=False)
    tick_seconds: int = 5
    run_threads: int = 2
    server_threads: int = 8
    retention_days: int = 30
    sqlite_full_sync: bool = False
    database_pool: int = 10
    trusted_proxies: tuple[Network, ...] = ()
    public_url: str = ""
    scim_rate: int = 2000
    scim_burst: int = 4000
    scim_log_days: int = 30
    metrics_token: str = field(default="", repr=False)
    organisation: str = ""
    session_hours: int = 12
    session_idle_minutes: int = 60
    private_targets: tuple[Network, ...] = ()
    dns_servers: tuple[str, ...] = ()
    jobs: str = LOCAL
    worker_heartbeat_seconds: int = 1
    worker_stalled_seconds: int = 5
    worker_recovery_seconds: int = 2
    log_key_file: Path = Path("var/log.key")
    retention_database_url: str = field(default="", repr=False)

    @property
    def key_file(self) -> Path:
        """Where the key ring lies when the settings do not hold one."""
        return self.data / "secret.key"

    @property
    def log_head_file(self) -> Path:
        """What was last signed from the database: with it an older database is told from the right one."""
        return self.data / "log.head"

    @property
    def passwords(self) -> Path:
        """The folder with one file for each password that a directory's settings name."""
        return self.data / "passwords"

    @property
    def base_url(self) -> str:
        """What the addresses of this service begin with, without a slash at the end."""
        return self.public_url or f"http://127.0.0.1:{self.port}"

    @property
    def is_on_sqlite(self) -> bool:
        """Whether one process has the database, and not a server."""
        return self.database_url.startswith("sqlite:")

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)


class _UnfitError(ValueError):
    """Why one value cannot be used: what is wrong, and what to write instead."""


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    return Path(value).expanduser()


def _number(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not lowest <= int(value) <= highest:
            raise _UnfitError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise _UnfitError(f"must be one of {', '.join(choices)}")
        return value.lower()

    return parse


def _flag(value: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if value.lower() not in words:
        raise _UnfitError("must be true or false")
    return words[value.lower()]


def _networks(value: str) -> tuple[Network, ...]:
    try:
        return parse_networks(value)
    except ValueError as err:
        raise _UnfitError(
            "must be the addresses or networks of the proxies in front, such as 10.0.0.0/8,::1"
        ) from err


def _private(value: str) -> tuple[Network, ...]:
    try:
        return parse_networks(value)
    except ValueError as err:
        raise _UnfitError("must be the private networks that may be addressed, such as 10.1.0.0/16") from err


def _servers(value: str) -> tuple[str, ...]:
    servers = tuple(part.strip() for part in value.split(",") if part.strip())
    if not all(_SERVER.fullmatch(server) for server in servers):
        raise _UnfitError("must be the IPv4 addresses of name servers, such as 10.0.0.53 or 127.0.0.1:5353")
    return servers


def _url(value: str) -> str:
    """An address that clients are told. Without user, query and fragment, which would end up in each of them."""
    try:
        parts = urlsplit(value)
        is_fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fit = False
    else:
        is_fit = is_fit and "@" not in parts.netloc and not value.endswith(("?", "#"))
        is_fit = is_fit and not (parts.query or parts.fragment) and value.isascii() and value.isprintable()
    if not is_fit or " " in value:
        raise _UnfitError(
            "must be the address that clients reach the service at, such as https://usher.example.com"
        )
    return value.rstrip("/")


def _database(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql://")):
        raise _UnfitError("must be sqlite:///path/to/usher.db or postgresql://user@host/database")
    return value


def _server(value: str) -> str:
    if not value.startswith("postgresql://"):
        raise _UnfitError(
            "must be postgresql://user@host/database: the same database, as a role that may remove events"
        )
    return value


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "data": _path,
    "database_url": _database,
    "exports": _path,
    "host": _text,
    "port": _number(1, 65535),
    "log_level": _choice(*LOG_LEVELS),
    "log_format": _choice(*LOG_FORMATS),
    "secret_key": _text,
    "tick_seconds": _number(1, 3600),
    "run_threads": _number(1, 64),
    "server_threads": _number(1, 256),
    "retention_days": _number(1, 3650),
    "sqlite_full_sync": _flag,
    "database_pool": _number(1, 200),
    "trusted_proxies": _networks,
    "public_url": _url,
    "scim_rate": _number(1, 1_000_000),
    "scim_burst": _number(1, 1_000_000),
    "scim_log_days": _number(1, 3650),
    "metrics_token": _text,
    "organisation": _text,
    "session_hours": _number(1, 720),
    "session_idle_minutes": _number(1, 1440),
    "private_targets": _private,
    "dns_servers": _servers,
    "jobs": _choice(LOCAL, WORKERS),
    "worker_heartbeat_seconds": _number(1, 600),
    "worker_stalled_seconds": _number(3, 3600),
    "worker_recovery_seconds": _number(1, 600),
    "log_key_file": _path,
    "retention_database_url": _server,
}
_SECRETS = frozenset({"database_url", "secret_key", "metrics_token", "retention_database_url"})


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def known_variables() -> tuple[str, ...]:
    """Every variable that is read, in the order of the settings."""
    named = (setting.name for setting in fields(Settings))
    return tuple(
        known
        for name in named
        for known in ([variable(name), f"{variable(name)}_FILE"] if name in _SECRETS else [variable(name)])
    )


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings. Raises SettingsError with every fault, each naming its variable and what to do."""
    faults = [
        _unknown(name)
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known_variables()
    ]
    values: dict[str, Any] = {}
    for name, parse in _PARSERS.items():
        given = _given(name, environ, faults)
        if given is None:
            continue
        try:
            values[name] = parse(given)
        except _UnfitError as fault:
            # A secret is not repeated: its text may be right in all but one place.
            shown = "" if name in _SECRETS else f", not '{given}'"
            faults.append(f"{variable(name)} {fault}{shown}")
    if faults:
        raise SettingsError(faults)
    data: Path = values.setdefault("data", Path("var"))
    values.setdefault("exports", data / "directories")
    values.setdefault("log_key_file", data / "log.key")
    values.setdefault("database_url", f"sqlite:///{data / 'usher.db'}")
    settings = Settings(**values)
    if faults := _misfits(settings):
        raise SettingsError(faults)
    return settings


def _misfits(settings: Settings) -> list[str]:
    """What is wrong with settings that are right each by itself."""
    faults = []
    if settings.jobs == WORKERS and settings.is_on_sqlite:
        faults.append(
            "USHER_JOBS is workers, but SQLite serves one process; set USHER_DATABASE_URL to a PostgreSQL database, "
            "or leave USHER_JOBS out"
        )
    if settings.retention_database_url and settings.is_on_sqlite:
        faults.append(
            "USHER_RETENTION_DATABASE_URL names a role of PostgreSQL, but the database is SQLite, which has none; "
            "leave it out"
        )
    if settings.worker_stalled_seconds < _HEARTBEATS_MISSED * settings.worker_heartbeat_seconds:
        faults.append(
            f"USHER_WORKER_STALLED_SECONDS must be at least {_HEARTBEATS_MISSED} times "
            "USHER_WORKER_HEARTBEAT_SECONDS, or a worker that is slow counts as dead"
        )
    return faults


def _given(name: str, environ: Mapping[str, str], faults: list[str]) -> str | None:
    """The text of a setting, from its variable or its file. An empty variable is the same as none."""
    direct = environ.get(variable(name), "").strip()
    if name not in _SECRETS:
        return direct or None
    file_variable = f"{variable(name)}_FILE"
    path = environ.get(file_variable, "").strip()
    if not path:
        return direct or None
    if direct:
        faults.append(f"{variable(name)} and {file_variable} are both set; keep one of them")
        return None
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
        faults.append(
            f"{file_variable}: the file '{path}' cannot be read ({why}); correct the path or its rights"
        )
        return None
    if not text:
        faults.append(f"{file_variable}: the file '{path}' is empty; write the value into it")
        return None
    return text


def _unknown(name: str) -> str:
    known = [variable.removeprefix(PREFIX) for variable in known_variables()]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    hint = f"did you mean {PREFIX}{near[0]}?" if near else "unset it; 'usher serve --help' lists the settings"
    return f"{name} is no setting; {hint}"
