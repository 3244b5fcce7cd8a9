"""Settings of directories, checked before they are stored, and how a SCIM directory is found from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from directory.ids import DirectoryId
from scim.endpoints import PREFIX
from service.errors import InputError
from service.settings import Settings
from sync.dialects import make_dialect
from sync.run import dialect_settings

_NO_GUARD: Mapping[str, int] = {}


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
