"""Whether a directory can be read by what has changed, and the plan of such a reading.

An increment is a hint, a full reading is the truth: whatever is in doubt raises `DoubtError`, the answer is dropped,
and the directory is read in full. Doubt is another server, base, filter, account or mapping than the mark was made
with; a server that has lost the thread; groups that cannot be resolved without reading everybody.
Source: docs/decisions/0015-increments.md
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from directory.ids import ExternalId
from provisioning.plans import DirectoryPlan
from provisioning.ports import UnitOfWork
from provisioning.runs import Reading
from provisioning.state import Cursor, StoredDirectory
from sync.changes import Changes, Mark, Method
from sync.dialects.dialect import Dialect, GroupEntry
from sync.dialects.ids import id_value
from sync.dirsync import DirSync, describe_mark
from sync.dn import dn_key, key_is_within
from sync.entries import RawEntry, RejectedEntry
from sync.errors import (
    BERError,
    DoubtError,
    EntryError,
    LDAPAnswerError,
    LDAPConnectionError,
    LDAPSettingsError,
)
from sync.ldap_reader import LDAPSession
from sync.ldap_settings import LDAPSettings, Search
from sync.lookups import any_of, equals, find_names
from sync.outcome import Complete, Outcome
from sync.planner import plan_changes
from sync.snapshot import Snapshot, SnapshotCounts, SnapshotSettings
from sync.syncrepl import ContentSync
from sync.timestamps import Highest, Timestamps, end_mark
from sync.touched import TouchedEntries

METHODS: Final = ("auto", "off", "syncrepl", "timestamps", "dirsync")
"""What the setting `incremental` of a directory may be."""
DEFAULT_FULL_SECONDS: Final = 86_400
DEFAULT_OVERLAP_SECONDS: Final = 120
DEFAULT_PERCENT: Final = 30
_LONGEST_SECONDS: Final = 30 * 86_400
_ENTRIES: Final = "entries"
_BINDING_VERSION: Final = "1"
_NAMES_AT_ONCE: Final = 50
_MOST_NAMES: Final = 1000
_BINDING_WORDS: Final = {
    "server": "another server answers than the one that was read last",
    "searches": "the bases or filters have changed",
    "attributes": "other attributes are read than before",
    "account": "another account reads than before",
    "mapping": "the mapping of attributes has changed",
    "settings": "the settings of the directory have changed",
}


@dataclass(frozen=True, slots=True)
class IncrementSettings:
    """The setting `incremental` and what belongs to it. Raises LDAPSettingsError when read from something else."""

    method: str
    full_seconds: int
    overlap_seconds: int
    percent: int

    @classmethod
    def of(cls, directory: StoredDirectory) -> "IncrementSettings":
        return cls.of_settings(directory.settings)

    @classmethod
    def of_settings(cls, settings: Mapping[str, str | int | bool]) -> "IncrementSettings":
        method = settings.get("incremental", "auto")
        if method not in METHODS:
            raise LDAPSettingsError(
                f"'incremental' is '{method}'; choose one of {', '.join(METHODS)}", setting="incremental"
            )
        numbers = []
        for name, default, most in (
            ("full_interval", DEFAULT_FULL_SECONDS, _LONGEST_SECONDS),
            ("overlap_seconds", DEFAULT_OVERLAP_SECONDS, _LONGEST_SECONDS),
            ("incremental_percent", DEFAULT_PERCENT, 100),
        ):
            number = settings.get(name, default)
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
                raise LDAPSettingsError(
                    f"'{name}' is '{number}'; give a number from 0 to {most}", setting=name
                )
            numbers.append(number)
        return cls(str(method), *numbers)


def choose_method(
    session: LDAPSession,
    settings: LDAPSettings,
    dialect: Dialect,
    chosen: IncrementSettings,
    *,
    clock: Callable[[], datetime],
) -> tuple[Method | None, Mark, str]:
    """The method by which this server is read between two full readings, its mark, and why it is this one."""
    if chosen.method == "off":
        return None, {}, "the setting 'incremental' is off"
    if dialect.name == "active_directory" or chosen.method == DirSync.name:
        return _choose_dirsync(session, settings, dialect, chosen)
    by_time = Timestamps(settings, overlap_seconds=chosen.overlap_seconds, clock=clock)
    by_content = ContentSync(settings.searches, dialect, percent=chosen.percent)
    if chosen.method == by_time.name:
        return by_time, by_time.begin(session), "the setting 'incremental' names it"
    try:
        return by_content, by_content.begin(session), "the server offers content synchronisation"
    except DoubtError as doubt:
        if chosen.method == by_content.name:
            return None, {}, str(doubt)
        return by_time, by_time.begin(session), str(doubt)


def _choose_dirsync(
    session: LDAPSession, settings: LDAPSettings, dialect: Dialect, chosen: IncrementSettings
) -> tuple[Method | None, Mark, str]:
    """Active Directory is read by its own method or in full: its time stamps differ between controllers."""
    if chosen.method not in {"auto", DirSync.name}:
        return None, {}, f"the setting 'incremental' names {chosen.method}, which Active Directory has not"
    method = DirSync(settings.searches, dialect, percent=chosen.percent)
    try:
        mark = method.begin(session)
    except (DoubtError, LDAPAnswerError, BERError) as doubt:
        return None, {}, str(doubt)
    return method, mark, f"the server offers DirSync; {describe_mark(mark)}"


class Increments:
    """The incremental side of one run: why it must be full, or else what has changed; and the next cursor."""

    def __init__(
        self,
        directory: StoredDirectory,
        settings: LDAPSettings,
        dialect: Dialect,
        bounds: SnapshotSettings,
        *,
        clock: Callable[[], datetime],
        unit_of_work: UnitOfWork,
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._dialect = dialect
        self._bounds = bounds
        self._clock = clock
        self._unit_of_work = unit_of_work
        self._chosen = IncrementSettings.of(directory)
        self._method: Method | None = None
        self._mark: Mark = {}
        self._why = ""
        self._binding: dict[str, str] = {}
        self._highest = Highest()
        self._begun_at = clock()

    # A full reading, which leaves a mark.

    def reason_for_full(self) -> str:
        """Why the reading must be full, as far as is known before anybody is asked; empty when it need not be."""
        cursor = self._directory.cursor
        if self._chosen.method == "off":
            return "the setting 'incremental' is off"
        if cursor is None:
            return "it was never read before, or not in a way that can be gone on from"
        if cursor.full_due or cursor.full_at is None:
            return cursor.full_due
        if self._clock() - cursor.full_at >= timedelta(seconds=self._chosen.full_seconds):
            return f"a full reading is due every {self._chosen.full_seconds} s"
        return _difference(cursor.binding, self._bind(None))

    def prepare(self, session: LDAPSession) -> frozenset[str]:
        """Take the mark before a full reading begins; the attributes to be read besides."""
        self._begun_at = self._clock()
        self._highest.moment = None
        self._binding = self._bind(session)
        try:
            self._method, self._mark, self._why = choose_method(
                session, self._settings, self._dialect, self._chosen, clock=self._clock
            )
        except BERError as error:
            raise LDAPAnswerError(f"{session.server}: {error}") from error
        return self._method.stamps if self._method is not None else frozenset()

    @property
    def server(self) -> str:
        """Which server is read in full, by all that it says of itself."""
        return self._binding.get("server", "")

    def watch(self, items: Iterable[RawEntry | RejectedEntry]) -> Iterator[RawEntry | RejectedEntry]:
        """See the entries of a full reading pass."""
        return self._highest.watch(items)

    def cursor_after(self, counts: SnapshotCounts) -> Cursor:
        """Where the run after a full reading may go on."""
        mark = self._mark
        why = "" if self._method is not None else self._why
        if isinstance(self._method, Timestamps):
            mark = end_mark(self._highest, self._clock() - self._begun_at)
            why = (
                "" if mark else "the server shows no modifyTimestamp, and offers no other incremental method"
            )
        return Cursor(
            method=self._method.name if self._method is not None else "",
            binding=self._binding,
            mark={**mark, _ENTRIES: str(counts.users + counts.groups)},
            full_at=self._begun_at,
            full_due=why,
        )

    def _bind(self, session: LDAPSession | None) -> dict[str, str]:
        directory, settings, dialect = self._directory, self._settings, self._dialect
        searches = [(one.base, one.filter, one.sought, one.scope.value) for one in settings.searches]
        binding = {
            "searches": _digest(searches),
            "mapping": f"{_BINDING_VERSION} {dialect.mapping}",
            "attributes": _digest(sorted(dialect.wanted)),
            "account": settings.bind_dn,
            "settings": _digest(sorted(directory.settings.items())),
        }
        if session is not None:
            root = session.probe()
            named = [
                f"{name}={text}" for name in ("dsservicename", "vendorname") for text in root.texts(name)
            ]
            binding["server"] = " ".join([str(session.server), *named])
        return binding

    # An increment.

    def read(self, session: LDAPSession) -> tuple[DirectoryPlan, Reading, SnapshotCounts]:
        """Plan what has changed since the cursor.

        Raises: DoubtError, when the directory must be read in full.
        """
        cursor = self._directory.cursor or Cursor()
        try:
            difference = _difference(cursor.binding, self._bind(session))
            if difference:
                raise DoubtError(difference)
            return self._read(session, cursor)
        except (LDAPAnswerError, LDAPConnectionError, BERError) as error:
            raise DoubtError(f"the changes could not be read: {error}") from error

    def _read(self, session: LDAPSession, cursor: Cursor) -> tuple[DirectoryPlan, Reading, SnapshotCounts]:
        method: Method = ContentSync(self._settings.searches, self._dialect, percent=self._chosen.percent)
        if cursor.method == Timestamps.name:
            method = Timestamps(
                self._settings, overlap_seconds=self._chosen.overlap_seconds, clock=self._clock
            )
        elif cursor.method == DirSync.name:
            method = DirSync(self._settings.searches, self._dialect, percent=self._chosen.percent)
        mark = {key: value for key, value in cursor.mark.items() if key != _ENTRIES}
        known = int(cursor.mark[_ENTRIES])
        changes = method.read(session, mark, self._dialect.wanted, known)
        reason = "the directory was read in full before, and nothing is in doubt"
        if changes.touched:
            TouchedEntries(
                self._directory.directory_id, self._settings, self._dialect, self._unit_of_work
            ).complete(session, changes)
        if isinstance(method, DirSync):
            reason = f"{reason}; {describe_mark(mark)}"
        following = replace(cursor, mark={**changes.mark, _ENTRIES: str(known)})
        plan, reading, counts = self._plan(session, changes)
        return plan, replace(reading, method=method.name, method_reason=reason, cursor=following), counts

    def _plan(self, session: LDAPSession, changes: Changes) -> tuple[DirectoryPlan, Reading, SnapshotCounts]:
        directory_id = self._directory.directory_id
        gone = self._really_gone(session, changes)
        if not changes.entries and not any(gone.values()):
            counts = {"seen": 0, "users_seen": 0, "groups_seen": 0, "rejected": 0, "unknown_references": 0}
            return DirectoryPlan(directory_id, ""), Reading("", counts), SnapshotCounts(place="entry")
        more = [] if changes.is_whole else self._groups_of_newcomers(session, changes.entries)
        entries = changes.entries + more
        snapshot = Snapshot(_Held(entries), dialect=self._dialect, settings=self._bounds)
        users = list(snapshot.users())
        if entries and not isinstance(snapshot.outcome, Complete):
            raise DoubtError(f"the changes cannot stand alone: {snapshot.outcome.reason}")
        groups = self._groups_in(entries)
        seen = {user.external_id for user in users} | {group.external_id for group in groups}
        for name, named in changes.names.items():
            if named.is_stored or named.external_id in seen:
                snapshot.assume(name, named.external_id, is_group=named.is_group)
        if groups:
            taken = {user.external_id for user in users} | gone["user"]
            self._resolve(session, snapshot, groups, taken, gone["group"])
        plan, reading = plan_changes(
            snapshot,
            users,
            [group.external_id for group in groups],
            gone,
            self._directory,
            unit_of_work=self._unit_of_work,
        )
        return plan, reading, snapshot.counts

    def _really_gone(self, session: LDAPSession, changes: Changes) -> dict[str, set[ExternalId]]:
        """Who is stored, is said to be gone, and is not found when asked for.

        A server names every changed entry that does not fit a filter, so that the people who changed are among those
        who are gone from the groups; and somebody may be gone from one base because he stands below another now.
        """
        reported = {self._id_of(item) for item in changes.entries}
        gone = {sought: ids - reported for sought, ids in changes.gone.items()}
        if not any(gone.values()):
            return gone
        with self._unit_of_work.read() as reader:
            users = reader.users_by_external_id(
                self._directory.directory_id, gone["user"], with_documents=False
            )
            groups = reader.groups_by_external_id(self._directory.directory_id, gone["group"])
        gone["user"] = {one for one, row in users.items() if row.deleted_at is None and row.fingerprint}
        gone["group"] = {one for one, row in groups.items() if row.deleted_at is None}
        for search in self._settings.searches:
            attribute = self._dialect.id_attributes[search.sought == "group"]
            for some in _batches(sorted(gone[search.sought])):
                asked = any_of(equals(attribute, id_value(attribute, ExternalId(one))) for one in some)
                for item in find_names(session, search, asked, (attribute,)):
                    gone[search.sought].discard(self._id_by(item, search) or ExternalId(""))
        return gone

    def _groups_of_newcomers(
        self, session: LDAPSession, entries: Collection[RawEntry | RejectedEntry]
    ) -> list[RawEntry | RejectedEntry]:
        """Groups that have not changed and may list somebody who is new, is back, or has another name than before.

        The server reports the newcomer alone, and a group may have listed him before he could be seen.
        """
        tests = self._tests_of_newcomers(entries)
        if len(tests) > _MOST_NAMES:
            raise DoubtError(f"more than {_MOST_NAMES} names are new; a full reading asks the server less")
        reported = {dn_key(item.dn) for item in entries}
        wanted = tuple(sorted(self._dialect.wanted))
        found: list[RawEntry | RejectedEntry] = []
        for search in self._settings.searches:
            if search.sought != "group":
                continue
            for some in _batches(tests):
                for item in find_names(session, search, any_of(some), ("1.1",)):
                    if dn_key(item.dn) in reported:
                        continue
                    reported.add(dn_key(item.dn))
                    dn = item.dn.decode("utf-8", "replace")
                    whole = session.read_base(dn, wanted, matching=search.filter)
                    if whole is not None:
                        found.append(whole._replace(number=len(entries) + len(found) + 1, sought="group"))
        return found

    def _tests_of_newcomers(self, entries: Collection[RawEntry | RejectedEntry]) -> list[str]:
        """Filters that groups match which list one of the newcomers by DN or by uid."""
        ids = {self._id_of(item): item for item in entries}
        with self._unit_of_work.read() as reader:
            users = reader.users_by_external_id(
                self._directory.directory_id, ids.keys(), with_documents=False
            )
            groups = reader.groups_by_external_id(self._directory.directory_id, ids.keys())
        tests: list[str] = []
        by_uid = self._dialect.member_uid_attribute
        for external_id, item in ids.items():
            row = groups.get(external_id) or users.get(external_id)
            is_known = (
                row is not None and row.deleted_at is None and bool(row.fingerprint or item.sought == "group")
            )
            if row is not None and is_known and dn_key(row.dn) == dn_key(item.dn):
                continue
            tests += [equals(attribute, item.dn) for attribute in self._dialect.member_attributes]
            identity = self._dialect.identify(item.attributes)
            if by_uid is not None and identity is not None:
                tests += [equals(by_uid, uid) for uid in identity.uids]
        return tests

    def _groups_in(self, entries: Iterable[RawEntry | RejectedEntry]) -> list[GroupEntry]:
        groups: list[GroupEntry] = []
        for item in entries:
            if not isinstance(item, RawEntry) or item.sought != "group":
                continue
            try:
                read = self._dialect.read(item)
            except EntryError:
                continue
            if isinstance(read, GroupEntry):
                if read.member_uids:
                    raise DoubtError(f"the group '{read.facts.display_name}' lists its members by uid")
                groups.append(read)
        return groups

    def _resolve(
        self,
        session: LDAPSession,
        snapshot: Snapshot,
        groups: list[GroupEntry],
        taken: Collection[ExternalId],
        gone_groups: Collection[ExternalId],
    ) -> None:
        """Let the snapshot know whom the changed groups list: from what is stored, or else from the server."""
        directory_id = self._directory.directory_id
        with self._unit_of_work.read() as reader:
            rows = reader.groups_by_external_id(directory_id, [group.external_id for group in groups])
            for row in rows.values():
                for external_id, dn in reader.names_of_members(row.group_id).items():
                    if external_id not in taken:
                        snapshot.assume(dn, external_id)
            for external_id, dn in reader.names_of_groups(directory_id).items():
                if external_id not in rows and external_id not in gone_groups:
                    snapshot.assume(dn, external_id, is_group=True)
        unknown = {dn for group in groups for dn in group.member_dns if not snapshot.knows(dn)}
        asked = [(dn, search) for dn in sorted(unknown) for search in self._searches_around(dn)]
        if len(asked) > _MOST_NAMES:
            raise DoubtError(f"more than {_MOST_NAMES} members of groups are to be looked up")
        found: dict[bytes, tuple[ExternalId, Search]] = {}
        for name, search in asked:
            attribute = self._dialect.id_attributes[search.sought == "group"]
            wanted = ("objectClass", attribute)
            entry = session.read_base(name.decode("utf-8", "replace"), wanted, matching=search.filter)
            shown = None if entry is None else self._id_by(entry, search)
            if shown is not None:
                found[name] = shown, search
        self._assume_found(snapshot, found, taken, gone_groups)

    def _assume_found(
        self,
        snapshot: Snapshot,
        found: dict[bytes, tuple[ExternalId, Search]],
        taken: Collection[ExternalId],
        gone_groups: Collection[ExternalId],
    ) -> None:
        ids = {external_id for external_id, _ in found.values()}
        with self._unit_of_work.read() as reader:
            users = reader.users_by_external_id(self._directory.directory_id, ids, with_documents=False)
            groups = reader.groups_by_external_id(self._directory.directory_id, ids)
        for dn, (external_id, search) in found.items():
            if search.sought == "group":
                row = groups.get(external_id)
                if row is not None and row.deleted_at is None and external_id not in gone_groups:
                    snapshot.assume(dn, external_id, is_group=True)
            else:
                user = users.get(external_id)
                # Whoever is not stored yet comes by an increment of his own, with the groups that list him.
                is_stored = user is not None and user.deleted_at is None and user.fingerprint
                if is_stored and external_id not in taken:
                    snapshot.assume(dn, external_id)

    def _searches_around(self, dn: bytes) -> list[Search]:
        key = dn_key(dn)
        return [search for search in self._settings.searches if key_is_within(key, dn_key(search.base))]

    def _id_of(self, item: RawEntry | RejectedEntry) -> ExternalId:
        identity = self._dialect.identify(item.attributes)
        if identity is None or identity.external_id is None:
            raise DoubtError(f"'{item.dn.decode('utf-8', 'replace')}' has changed and cannot be identified")
        return identity.external_id

    def _id_by(self, item: RawEntry, search: Search) -> ExternalId | None:
        """The id that an entry shows which was asked for by that alone."""
        attribute = self._dialect.id_attributes[search.sought == "group"]
        return self._dialect.read_id(item.attributes.get(attribute), is_group=search.sought == "group")


class _Held:
    """The entries of an increment as the source of a snapshot."""

    place = "entry"
    shows_bases = False

    def __init__(self, entries: list[RawEntry | RejectedEntry]) -> None:
        self.references: list[str] = []
        self._entries = entries
        self.outcome: Outcome = Complete()

    def entries(self, wanted: frozenset[str]) -> Iterator[RawEntry | RejectedEntry]:  # noqa: ARG002 - read already
        for number, item in enumerate(self._entries, start=1):
            yield item._replace(number=number)

    def is_vouched(self) -> bool:
        return False


def _difference(before: Mapping[str, str], now: dict[str, str]) -> str:
    """In words, how what is read now differs from what the mark was made with; empty when it does not."""
    for part, value in now.items():
        if before.get(part) != value:
            return _BINDING_WORDS[part]
    return ""


def _digest(value: object) -> str:
    return sha256(repr(value).encode()).hexdigest()[:32]


def _batches(items: list[str] | list[ExternalId]) -> Iterator[list[str]]:
    for start in range(0, len(items), _NAMES_AT_ONCE):
        yield list(items[start : start + _NAMES_AT_ONCE])
