"""One run of a directory that is read: open the source, plan, and hand the plan over. Writes no row itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from provisioning.guard import crossed_limits, guard_limits
from provisioning.plans import DirectoryPlan
from provisioning.ports import UnitOfWork
from provisioning.runs import FULL, Claim, Progress, Reading, RunKeeper
from provisioning.state import RunRecord, StoredDirectory
from sync.dialects import make_dialect
from sync.dialects.dialect import DialectSettings
from sync.entries import RawEntry, RejectedEntry
from sync.errors import DoubtError, LDAPSettingsError, SyncError, UnreadableSourceError
from sync.export_file import open_export
from sync.failover import Failover
from sync.incremental import Increments
from sync.ldap_reader import LDAPSession, Password, open_session
from sync.ldap_settings import LDAPSettings, ldap_settings
from sync.ldap_source import LDAPSource
from sync.ldif_source import LDIFSource
from sync.outcome import Complete, Outcome
from sync.planner import plan_snapshot
from sync.snapshot import Snapshot, SnapshotCounts, SnapshotSettings, Source

_MAP_PREFIX = "map_"

Passwords = Callable[[str], str]
"""Gives the password that a directory's settings name. Raises SyncError when there is none of that name."""


def no_passwords(name: str) -> str:
    """For whoever reads exports only."""
    raise LDAPSettingsError(f"there is no password '{name}' here")


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """What a run would do now. `crossed` names the guard's limits that would stop it."""

    plan: DirectoryPlan
    reading: Reading
    crossed: tuple[str, ...]
    counts: SnapshotCounts

    @property
    def hash(self) -> str:
        return self.plan.hash


def plan_directory(
    directory: StoredDirectory,
    *,
    unit_of_work: UnitOfWork,
    exports: Path,
    now: datetime,
    passwords: Passwords = no_passwords,
    after_page: Callable[[], None] | None = None,
    clock: Callable[[], datetime] | None = None,
    full: bool = False,
) -> PlannedRun:
    """Read the source and plan, storing nothing. `exports` is the one folder that holds exports.

    `after_page` is called now and then while a server is read, which may take longer than a lease.

    A server is asked for its changes where a mark of an earlier reading is good for it, and read in full where that
    is in any doubt, or `full`. One that fails in the middle is read anew from the first page, once, beginning with
    the next server.

    Raises: SyncError when the source cannot be read.
    """
    settings = directory.settings
    dialect = make_dialect(str(settings.get("dialect", "generic")), dialect_settings(settings), now=now)
    bounds = snapshot_settings(settings)

    def plan(source: Source) -> PlannedRun:
        snapshot = Snapshot(source, dialect=dialect, settings=bounds)
        found, reading = plan_snapshot(snapshot, directory, unit_of_work=unit_of_work)
        return PlannedRun(
            found, reading, crossed_limits(found.counts, guard_limits(settings)), snapshot.counts
        )

    if directory.kind != "ldap":
        with open_export(exports, str(settings.get("file", ""))) as export:
            required = bool(settings.get("checksum_required", False))
            return plan(LDIFSource(export, checksum_required=required))
    asked = ldap_settings(settings, user_filter=dialect.user_filter, group_filter=dialect.group_filter)
    password = read_passwords(asked, passwords)
    increments = Increments(
        directory, asked, dialect, bounds, clock=clock or (lambda: now), unit_of_work=unit_of_work
    )
    failover = Failover(directory)
    reason, first = "it was asked for" if full else increments.reason_for_full(), 0
    if not reason:
        with open_session(asked, password) as session:
            first = asked.servers.index(session.server)
            try:
                found, reading, counts = increments.read(session)
            except DoubtError as doubt:
                reason = str(doubt)
            else:
                crossed = crossed_limits(found.counts, guard_limits(settings))
                return PlannedRun(found, reading, crossed, counts)
    if after_page is not None:
        after_page()

    def plan_full(source: LDAPSource) -> PlannedRun:
        planned = plan(_Watched(source, increments, failover))
        cursor = failover.cursor_after(increments.cursor_after(planned.counts))
        reading = replace(planned.reading, method=FULL, method_reason=reason, cursor=cursor)
        return replace(planned, reading=reading)

    def prepare(session: LDAPSession) -> frozenset[str]:
        more = increments.prepare(session)
        failover.note(increments.server)
        return more

    source = LDAPSource(asked, password, first_server=first, after_page=after_page, prepare=prepare)
    try:
        return plan_full(source)
    except UnreadableSourceError as error:
        if not (error.may_pass and source.requests):
            raise
        number = source.server_number + 1
        return plan_full(
            LDAPSource(asked, password, first_server=number, after_page=after_page, prepare=prepare)
        )


class _Watched:
    """A server that is read in full while the mark for the next reading is taken."""

    place = LDAPSource.place
    shows_bases = LDAPSource.shows_bases

    def __init__(self, source: LDAPSource, increments: Increments, failover: Failover) -> None:
        self._source = source
        self._increments = increments
        self._failover = failover
        self.references = source.references

    @property
    def outcome(self) -> Outcome:
        outcome = self._source.outcome
        return Complete(self._failover.doubt) if isinstance(outcome, Complete) else outcome

    def entries(self, wanted: frozenset[str]) -> Iterator[RawEntry | RejectedEntry]:
        return self._increments.watch(self._source.entries(wanted))

    def is_vouched(self) -> bool:
        return self._source.is_vouched()


def run_directory(
    claim: Claim,
    *,
    keeper: RunKeeper,
    exports: Path,
    passwords: Passwords = no_passwords,
    progress: Progress | None = None,
    full: bool = False,
) -> RunRecord:
    """Bring the stored facts in line with the source. A second run on the same source plans nothing.

    Returns: the run's record; an unreadable source ends as `failed`, and nothing has changed.
    Raises: StaleFenceError when another run has taken the directory over.
    """
    try:
        planned = plan_directory(
            claim.directory,
            unit_of_work=keeper.unit_of_work,
            exports=exports,
            now=keeper.clock(),
            passwords=passwords,
            after_page=keeper.heartbeat(claim),
            clock=keeper.clock,
            full=full,
        )
    except SyncError as error:
        return keeper.fail(claim, str(error))
    return keeper.submit(claim, planned.plan, planned.reading, progress=progress)


def read_passwords(settings: LDAPSettings, passwords: Passwords) -> Password:
    """What the account is let in by; nothing for anonymous readers. Raises SyncError."""
    if not settings.bind_dn:
        return ""
    following = settings.next_password_name
    names = [settings.password_name, following] if following else [settings.password_name]
    return tuple(map(passwords, names))


def dialect_settings(settings: Mapping[str, str | int | bool]) -> DialectSettings:
    """The dialect's part of a directory's settings. `map_<fact>` names the attribute of a fact."""
    return DialectSettings(
        id_attribute=_text(settings, "id_attribute"),
        group_id_attribute=_text(settings, "group_id_attribute"),
        attribute_map={
            name.removeprefix(_MAP_PREFIX): str(value)
            for name, value in settings.items()
            if name.startswith(_MAP_PREFIX)
        },
        member_attributes=_words(settings, "member_attributes") or None,
        disabled_attribute=_text(settings, "disabled_attribute"),
        disabled_values=_words(settings, "disabled_values"),
        include_built_in=bool(settings.get("include_built_in", False)),
    )


def snapshot_settings(settings: Mapping[str, str | int | bool]) -> SnapshotSettings:
    """The reading's part of a directory's settings. Bases are DNs, separated by semicolons."""
    return SnapshotSettings(
        user_bases=_words(settings, "user_bases", ";"),
        group_bases=_words(settings, "group_bases", ";"),
        ignored_references=_words(settings, "ignored_references", ";"),
    )


def _text(settings: Mapping[str, str | int | bool], name: str) -> str | None:
    value = settings.get(name)
    return str(value) if value else None


def _words(settings: Mapping[str, str | int | bool], name: str, separator: str = ",") -> tuple[str, ...]:
    return tuple(word.strip() for word in str(settings.get(name, "")).split(separator) if word.strip())
