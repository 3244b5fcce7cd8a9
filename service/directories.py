"""Settings of an LDIF directory, checked before they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from service.errors import InputError
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
