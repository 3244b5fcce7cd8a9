"""Connections to identity providers: put, removed, and kept in line with the provider's metadata."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from hashlib import sha256

from audit.events import FieldChange, JSONValue, Outcome, Reason, Target
from directory.facts import find_fault, name_key
from directory.ids import EventId, RoleId
from directory.sso_changes import NoteMetadataFailure, PutConnection, RemoveConnection, TakeMetadata
from provisioning.certificates import (
    MOST_CERTIFICATES,
    connection_target,
    end_certificates,
    find_connection,
    put_certificate,
    read_certificate,
    said,
)
from provisioning.connection_settings import find_faults, find_name_fault
from provisioning.errors import Refusal, RefusalCode
from provisioning.identity import is_other_directory_active
from provisioning.logins import ConnectionSettings, MetadataCopy, StoredConnection
from provisioning.sessions import record_ended
from provisioning.state import StoredDirectory
from provisioning.work import JUST_IN_TIME, Work, follow_model

MOST_CONNECTIONS = 50
"""Connections of one organisation."""

METADATA_SETTINGS = frozenset({"idp_entity_id", "sso_url", "sso_binding", "slo_url", "slo_binding"})
"""The settings that the identity provider's metadata decides."""

_LONGEST_METADATA = 1_048_576
_LAST_PRIORITY = 1000
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")
# The record refuses names that speak of an assertion; and what follows a question mark may be a key.
_SHOWN_AS = {
    "require_signed_assertion": "require_inner_signature",
    "require_encrypted_assertion": "require_encryption",
}

CheckRole = Callable[[Work, RoleId], None]
"""Refuses a role that the actor may not give."""


def put_connection(work: Work, change: PutConnection, check_role: CheckRole) -> None:
    """Store a connection with all of its settings. Raises Refusal, with every fault of them."""
    known = work.writer.sso.connection(change.connection_id)
    others = [one for one in work.writer.sso.connections() if one.connection_id != change.connection_id]
    _check(work, change, known, others)
    before = known.read if known else ConnectionSettings()
    after = ConnectionSettings.read(change.settings)
    name = change.name.strip()
    if after.default_role and after.default_role != before.default_role:
        check_role(work, RoleId(after.default_role))
    moved = _moved_settings(before, after)
    if known is not None and not moved and name == known.name:
        return
    version = known.version + 1 if known else 1
    connection = StoredConnection(
        connection_id=change.connection_id,
        organisation_id=work.state.organisation_id,
        name=name,
        settings=dict(change.settings),
        version=version,
        created_at=known.created_at if known else work.now,
    )
    work.writer.sso.put_connection(connection, work.now)
    event_id = work.ledger.record(
        "connection.updated" if known else "connection.created",
        (connection_target(change.connection_id),),
        (
            FieldChange("name", known.name if known else None, name),
            FieldChange("version", known.version if known else None, version),
            *moved,
        ),
    )
    _put_directory(work, connection, event_id)


def _check(
    work: Work, change: PutConnection, known: StoredConnection | None, others: list[StoredConnection]
) -> None:
    """Refuse what cannot be a connection, with all of its faults."""
    faults = [find_name_fault(change.name, [one.name for one in others])]
    faults += find_faults(change.settings, catalogue=work.model.catalogue, roles=work.model.roles)
    if known is None and len(others) >= MOST_CONNECTIONS:
        faults.append(f"the organisation has {len(others)} connections, the most there may be")
    directories = work.writer.directories()
    if change.settings.get("jit") is True:
        if is_other_directory_active(directories) and not (known and known.read.jit):
            faults.append(
                "setting 'jit' makes nobody while a directory says who the people are; pause that first"
            )
        if any(
            str(one.directory_id) != change.connection_id
            and name_key(one.name) == name_key(change.name.strip())
            for one in directories
        ):
            faults.append(f"a directory named '{change.name.strip()}' exists; choose another name")
    enforcement = work.writer.sso.enforcement()
    is_obligatory = enforcement is not None and enforcement.connection_id == change.connection_id
    if is_obligatory and change.settings.get("disabled") is True:
        faults.append("signing in over this connection is obligatory; lift that before it is disabled")
    told = [fault for fault in faults if fault]
    if told:
        raise Refusal(RefusalCode.INVALID, "; ".join(told))


def _moved_settings(before: ConnectionSettings, after: ConnectionSettings) -> tuple[FieldChange, ...]:
    return tuple(
        FieldChange(
            f"settings.{_SHOWN_AS.get(field.name, field.name)}",
            _shown(field.name, getattr(before, field.name)),
            _shown(field.name, getattr(after, field.name)),
        )
        for field in fields(ConnectionSettings)
        if getattr(before, field.name) != getattr(after, field.name)
    )


def _shown(name: str, value: str | int | bool) -> JSONValue:
    if name.endswith("_url") or name == "initiated_targets":
        return "\n".join(line.partition("?")[0] for line in str(value).splitlines())
    return value


def _put_directory(work: Work, connection: StoredConnection, event_id: EventId) -> None:
    """Keep the directory of those whom logins make in line: it comes with `jit`, and stays for its people."""
    settings = connection.read
    stored = next(
        (one for one in work.writer.directories() if one.directory_id == connection.directory_id), None
    )
    if stored is None and not settings.jit:
        return
    role = RoleId(settings.default_role) if settings.default_role else None
    directory = StoredDirectory(
        directory_id=connection.directory_id,
        organisation_id=work.state.organisation_id,
        kind=JUST_IN_TIME,
        name=connection.name,
        settings={},
        default_role=role,
        priority=_LAST_PRIORITY,
    )
    before = (stored.name, stored.default_role) if stored else (None, None)
    if before == (directory.name, directory.default_role):
        return
    work.writer.put_directory(directory, work.now)
    put_event = work.ledger.record(
        "directory.updated" if stored else "directory.created",
        (Target("directory", directory.directory_id),),
        (
            FieldChange("kind", stored.kind if stored else None, directory.kind),
            FieldChange("name", before[0], directory.name),
            FieldChange("default_role", before[1], role),
        ),
        parent=event_id,
    )
    follow_model(work, put_event, "directory_change")


def remove_connection(work: Work, change: RemoveConnection) -> None:
    """Nobody signs in over the connection any more, and those who did are signed out. A removed one is gone."""
    connection = find_connection(work, change.connection_id)
    enforcement = work.writer.sso.enforcement()
    if enforcement is not None and enforcement.connection_id == change.connection_id:
        raise Refusal(
            RefusalCode.IN_USE,
            f"signing in over the connection '{connection.name}' is obligatory; lift that before it is removed",
        )
    work.writer.sso.remove_connection(change.connection_id, work.now)
    event_id = work.ledger.record(
        "connection.deleted",
        (connection_target(change.connection_id),),
        (FieldChange("name", connection.name, None),),
    )
    ended = work.writer.sso.end_sessions(work.now, "connection_removed", connection_id=change.connection_id)
    record_ended(work, ended, "connection_removed", parent=event_id)


# Metadata


def take_metadata(work: Work, change: TakeMetadata) -> None:
    """Take over what the identity provider says of itself. Nothing of a document that is not good is taken."""
    connection = find_connection(work, change.connection_id)
    _check_metadata(work, connection, change)
    before = connection.read
    settings: dict[str, str | int | bool] = {**connection.settings, **change.settings}
    moved = _moved_settings(before, ConnectionSettings.read(settings))
    fingerprints = {sha256(der).hexdigest(): der for der in change.certificates}
    stored = {one.sha256: one for one in connection.certificates}
    added = [
        der
        for fingerprint, der in fingerprints.items()
        if fingerprint not in stored
        or (stored[fingerprint].state, stored[fingerprint].ends_at)
        not in {("active", None), ("retired", None)}
    ]
    ends_at = work.now + timedelta(hours=before.overlap_hours)
    withdrawn = [
        replace(one, ends_at=ends_at)
        for one in connection.certificates
        if one.state == "active" and one.ends_at is None and one.sha256 not in fingerprints
    ]
    old = connection.metadata
    is_same = old is not None and old.document == change.document and old.valid_until == change.valid_until
    work.writer.sso.put_metadata(
        change.connection_id,
        MetadataCopy(
            document=change.document,
            etag=change.etag,
            taken_at=old.taken_at if old is not None and is_same else work.now,
            valid_until=change.valid_until,
            checked_at=work.now,
        ),
    )
    failing_since = old.failing_since if old is not None else None
    if is_same and failing_since is None and not (moved or added or withdrawn):
        return
    event_id = work.ledger.record(
        "metadata.taken",
        (connection_target(change.connection_id),),
        (
            FieldChange("sha256", _digest(old), sha256(change.document.encode()).hexdigest()),
            FieldChange("certificates_added", None, len(added)),
            FieldChange("certificates_retired", None, len(withdrawn)),
            *(
                ()
                if change.valid_until is None
                else (FieldChange("valid_until", None, said(change.valid_until)),)
            ),
            *(() if failing_since is None else (FieldChange("failing_since", said(failing_since), None),)),
            *moved,
        ),
    )
    for der in added:
        put_certificate(work, connection, der, "active", parent=event_id, revives=False)
    end_certificates(work, connection, withdrawn, parent=event_id)
    if moved or added or withdrawn:
        work.writer.sso.put_connection(
            replace(connection, settings=settings, version=connection.version + 1), work.now
        )


def _digest(copy: MetadataCopy | None) -> str | None:
    return sha256(copy.document.encode()).hexdigest() if copy is not None and copy.document else None


def _check_metadata(work: Work, connection: StoredConnection, change: TakeMetadata) -> None:
    present = connection.read.idp_entity_id
    said_id = change.settings.get("idp_entity_id", present)
    if present and said_id != present:
        # Another provider behind the same address, or an attack: a human decides, by changing the setting.
        raise Refusal(
            RefusalCode.ENTITY_ID_CHANGED,
            f"the metadata is of '{str(said_id)[:200]}', and the connection trusts '{present}'; nothing was taken. "
            "Change the entity id of the connection first, if that is meant",
        )
    faults = _metadata_faults(work, connection, change)
    if faults:
        raise Refusal(RefusalCode.INVALID, "; ".join(faults))
    for der in change.certificates:
        read_certificate(der)


def _metadata_faults(work: Work, connection: StoredConnection, change: TakeMetadata) -> list[str]:
    faults = [
        f"metadata does not decide the setting '{name}'"
        for name in sorted(change.settings.keys() - METADATA_SETTINGS)
    ]
    settings: Mapping[str, str | int | bool] = {**connection.settings, **change.settings}
    faults += find_faults(settings, catalogue=work.model.catalogue, roles=work.model.roles)
    if not 0 < len(change.certificates) <= MOST_CERTIFICATES:
        faults.append(f"metadata names one signing certificate at least, and {MOST_CERTIFICATES} at most")
    if not 0 < len(change.document) <= _LONGEST_METADATA or find_fault(change.document, is_name=False):
        faults.append("a metadata document has at most 1 MiB of text")
    if len(change.etag) > 400 or find_fault(change.etag):
        faults.append("the ETag is too long")
    if change.valid_until is not None and change.valid_until <= work.now:
        faults.append(f"the metadata was good until {said(change.valid_until)}")
    return faults


def note_metadata_failure(work: Work, change: NoteMetadataFailure) -> None:
    """Write down that the metadata could not be read anew: once, until it is read again."""
    connection = find_connection(work, change.connection_id)
    if not _SLUG.fullmatch(change.reason):
        raise Refusal(RefusalCode.INVALID, "the reason of a failure is one word in small letters")
    old = connection.metadata or MetadataCopy("", "", work.now, None, work.now)
    since = old.failing_since or work.now
    put = replace(old, checked_at=work.now, failing_since=since, failure=change.reason)
    work.writer.sso.put_metadata(change.connection_id, put)
    if old.failing_since is None:
        work.ledger.record(
            "metadata.failed",
            (connection_target(change.connection_id),),
            (FieldChange("failing_since", None, said(since)),),
            reason=Reason(change.reason),
            outcome=Outcome.FAILURE,
        )
