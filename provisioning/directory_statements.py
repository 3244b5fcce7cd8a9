"""Directories as administrators say them, and which settings they may have."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from audit.events import JSONValue, Target
from directory.changes import PutDirectory
from directory.facts import name_key
from mappings.rules import check_default_role
from provisioning.guard import GUARD_SETTINGS
from provisioning.state import StoredDirectory
from provisioning.statements import check_may_assign, invalid, moved_fields
from provisioning.work import PUSHED, Work, follow_model

DIRECTORY_KINDS = ("scim", "ldap", "ldif")
_FROM_ONE = frozenset({"interval_seconds", "absence_grace_runs"})
PUSH_SETTINGS: Mapping[str, tuple[str | bool, ...]] = MappingProxyType(
    {
        "profile": ("generic", "entra", "okta", "strict"),
        "relink": ("external_id", "never"),
        "paused": (False, True),
        "hold": (False, True),
        "refuse_foreign_domains": (False, True),
    }
)
"""Settings of a SCIM directory, each with the values that it may have."""


def put_directory(work: Work, change: PutDirectory) -> None:
    known = {directory.directory_id: directory for directory in work.writer.directories()}
    stored = known.pop(change.directory_id, None)
    _check_directory(work, change, stored, known.values())
    interval = change.settings.get("interval_seconds")
    seconds = int(interval) if interval is not None else None
    directory = StoredDirectory(
        directory_id=change.directory_id,
        organisation_id=work.state.organisation_id,
        kind=change.kind,
        name=change.name,
        settings=dict(change.settings),
        default_role=change.default_role,
        priority=change.priority,
        interval_seconds=seconds,
        next_run_at=work.now if seconds else None,
    )
    before: Mapping[str, str | int | bool] = stored.settings if stored else {}
    changes = moved_fields(
        {
            "kind": (stored.kind if stored else None, change.kind),
            "name": (stored.name if stored else None, change.name),
            **_settings_fields(before, change.settings),
            "default_role": (stored.default_role if stored else None, change.default_role),
            "priority": (stored.priority if stored else None, change.priority),
        }
    )
    if not changes:
        return
    if stored is not None and stored.interval_seconds == seconds:
        directory = replace(directory, next_run_at=stored.next_run_at)
    work.writer.put_directory(directory, work.now)
    event_id = work.ledger.record(
        "directory.updated" if stored else "directory.created",
        (Target("directory", change.directory_id),),
        changes,
    )
    follow_model(work, event_id, "directory_change")


def _check_directory(
    work: Work, change: PutDirectory, stored: StoredDirectory | None, others: Iterable[StoredDirectory]
) -> None:
    if change.kind not in DIRECTORY_KINDS:
        raise invalid(f"'{change.kind}' is no kind of directory; there are {', '.join(DIRECTORY_KINDS)}")
    if stored is not None and stored.kind != change.kind:
        raise invalid(
            f"directory '{stored.name}' is of the kind {stored.kind} and stays so; add another directory"
        )
    if not change.name.strip():
        raise invalid("a directory needs a name")
    if any(name_key(other.name) == name_key(change.name) for other in others):
        raise invalid(f"a directory named '{change.name}' exists; choose another name")
    for name in ("interval_seconds", *GUARD_SETTINGS):
        value = change.settings.get(name)
        if value is not None and not (type(value) is int and value >= (name in _FROM_ONE)):
            lowest = int(name in _FROM_ONE)
            raise invalid(f"setting '{name}' of a directory is a whole number from {lowest}, not '{value}'")
    if change.kind == PUSHED:
        _check_push_settings(change)
    if change.default_role:
        faults = check_default_role(
            change.default_role, catalogue=work.model.catalogue, roles=work.model.roles
        )
        if faults:
            raise invalid("; ".join(str(fault) for fault in faults))
        check_may_assign(work, change.default_role)


def _check_push_settings(change: PutDirectory) -> None:
    for name, values in PUSH_SETTINGS.items():
        value = change.settings.get(name)
        if value is not None and not any(value == known and type(value) is type(known) for known in values):
            listed = ", ".join(str(known).lower() for known in values)
            raise invalid(f"setting '{name}' of a directory is one of {listed}, not '{value}'")


def _settings_fields(
    before: Mapping[str, str | int | bool], after: Mapping[str, str | int | bool]
) -> dict[str, tuple[JSONValue, JSONValue]]:
    return {f"settings.{name}": (before.get(name), after.get(name)) for name in sorted({*before, *after})}
