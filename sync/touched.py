"""From who has changed to what became of them: the entries of an answer that names changes only.

Users are read again by their ids, through the searches of a full reading, so that they come out as there. The members
of a group that is stored are not read again: who was added or removed is put into what is stored, by id, so that
neither a rename nor the size of the group matters. A group that is not stored as it was on the server is read whole.
Source: docs/decisions/0015-increments.md
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from directory.ids import DirectoryId, ExternalId
from provisioning.ports import Reader, UnitOfWork
from provisioning.state import StoredGroup, StoredUser
from sync.changes import Changes, Named, Touched
from sync.dialects.dialect import Dialect
from sync.dialects.ids import id_value
from sync.dn import dn_key, key_is_within
from sync.entries import RawEntry, RejectedEntry
from sync.errors import DoubtError
from sync.ldap_reader import LDAPSession
from sync.ldap_settings import LDAPSettings, Search
from sync.ldap_source import LDAPSource
from sync.lookups import any_of, equals, find_names
from sync.outcome import Complete

_AT_ONCE: Final = 50
_MOST_NAMES: Final = 1000
_SECURITY_ID: Final = "objectSid"
_PRIMARY_GROUP: Final = "primarygroupid"

Entries = dict[ExternalId, RawEntry]

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Stored:
    """What is stored of some ids."""

    users: dict[ExternalId, StoredUser] = field(default_factory=dict)
    groups: dict[ExternalId, StoredGroup] = field(default_factory=dict)
    away: dict[ExternalId, StoredUser] = field(default_factory=dict)
    """Users whom the last readings did not show."""

    def __contains__(self, external_id: ExternalId) -> bool:
        return external_id in self.users or external_id in self.groups


class TouchedEntries:
    """Completes one answer. The database is never kept open while the server is asked."""

    def __init__(
        self,
        directory_id: DirectoryId,
        settings: LDAPSettings,
        dialect: Dialect,
        unit_of_work: UnitOfWork,
    ) -> None:
        self._directory_id = directory_id
        self._settings = settings
        self._dialect = dialect
        self._unit_of_work = unit_of_work
        self._bases = [dn_key(search.base) for search in settings.searches]

    def complete(self, session: LDAPSession, changes: Changes) -> None:
        """Put entries, and who is gone, into the answer.

        Raises: DoubtError when they cannot be told; LDAPError, BERError.
        """
        touched = changes.touched
        stored = self._stored({*touched, *(one for each in touched.values() for one in each.members)})
        users, groups = self._read_touched(session, touched, stored)
        for external_id, one in touched.items():
            if external_id in stored and external_id not in users and external_id not in groups:
                if not one.is_deleted:
                    _check_seen(session, external_id, one)
                changes.gone["user" if external_id in stored.users else "group"].add(external_id)
        joined = self._joined(session, {**users, **groups}, stored)
        listed = {*groups, *joined, *self._primary_groups(session, touched, users, stored)}
        listed |= self._groups_around(changes.gone, users, stored)
        listed -= changes.gone["group"]
        missing = [one for one in listed if one not in groups]
        groups |= self._ask(session, "group", missing)
        if any(one not in groups for one in missing):
            raise DoubtError("a group that is stored is not found on the server")
        stored = replace(stored, groups=stored.groups | self._stored(missing).groups)
        whole = {one for one in groups if self._is_read_whole(one, touched, stored)}
        for external_id, entry in self._read_whole(session, whole).items():
            groups[external_id] = entry
        for external_id in groups.keys() - whole:
            deltas = {**touched.get(external_id, Touched()).members, **joined.get(external_id, {})}
            self._list_members(
                groups[external_id], stored.groups[external_id], deltas, changes, users, stored
            )
        changes.entries += users.values()
        changes.entries += groups.values()

    def _stored(self, external_ids: Collection[ExternalId]) -> _Stored:
        with self._unit_of_work.read() as reader:
            users = reader.users_by_external_id(self._directory_id, external_ids, with_documents=False)
            groups = reader.groups_by_external_id(self._directory_id, external_ids)
        live = {one: row for one, row in users.items() if row.deleted_at is None}
        return _Stored(
            {one: row for one, row in live.items() if row.fingerprint},
            {one: row for one, row in groups.items() if row.deleted_at is None},
            {one: row for one, row in live.items() if not row.fingerprint},
        )

    def _read_touched(
        self, session: LDAPSession, touched: dict[ExternalId, Touched], stored: _Stored
    ) -> tuple[Entries, Entries]:
        """The users and groups among them that the searches of a full reading show."""
        asked = [
            external_id
            for external_id, one in touched.items()
            if not one.is_deleted and (external_id in stored or self._is_within(one.dn))
        ]
        # Whoever was removed from a group may be in it still by its being his primary group.
        removed = {
            member
            for one in touched.values()
            for member, is_added in one.members.items()
            if not is_added and member in stored.users and member not in touched
        }
        users = self._ask(session, "user", [*(one for one in asked if one not in stored.groups), *removed])
        return users, self._ask(session, "group", [one for one in asked if one not in stored.users])

    def _is_within(self, dn: bytes) -> bool:
        key = dn_key(dn)
        return any(key_is_within(key, base) for base in self._bases)

    def _ask(self, session: LDAPSession, sought: str, external_ids: Collection[ExternalId]) -> Entries:
        """These entries, without the lists of members."""
        attribute = self._dialect.id_attributes[sought == "group"]
        wanted = tuple(sorted(self._dialect.wanted - {*self._dialect.member_attributes}))
        found: Entries = {}
        for search in self._searches(sought):
            for some in _batches(sorted(external_ids)):
                asked = any_of(equals(attribute, id_value(attribute, one)) for one in some)
                for entry in find_names(session, search, asked, wanted):
                    found[self._id_of(entry, sought)] = entry
        return found

    def _joined(
        self, session: LDAPSession, found: Entries, stored: _Stored
    ) -> dict[ExternalId, dict[ExternalId, bool]]:
        """By group, the newcomers whom it lists already: it has not changed by their coming into sight."""
        newcomers = [external_id for external_id in found if external_id not in stored]
        if len(newcomers) > _MOST_NAMES:
            raise DoubtError(f"more than {_MOST_NAMES} names are new; a full reading asks the server less")
        joined: dict[ExternalId, dict[ExternalId, bool]] = {}
        attribute = self._dialect.id_attributes[1]
        for external_id in newcomers:
            tests = any_of(equals(one, found[external_id].dn) for one in self._dialect.member_attributes)
            for search in self._searches("group"):
                for entry in find_names(session, search, tests, (attribute,)):
                    joined.setdefault(self._id_of(entry, "group"), {})[external_id] = True
        return joined

    def _primary_groups(
        self, session: LDAPSession, touched: dict[ExternalId, Touched], users: Entries, stored: _Stored
    ) -> set[ExternalId]:
        """The groups that hold somebody without listing him, where that is new."""
        sids: set[bytes] = set()
        for external_id, entry in users.items():
            attributes = touched[external_id].attributes if external_id in touched else set()
            identity = self._dialect.identify(entry.attributes)
            is_new = external_id not in stored or _PRIMARY_GROUP in attributes
            if is_new and identity is not None and identity.primary_group is not None:
                sids.add(identity.primary_group)
        attribute = self._dialect.id_attributes[1]
        return {
            self._id_of(entry, "group")
            for search in self._searches("group")
            for some in _batches(sorted(sids))
            for entry in find_names(
                session, search, any_of(equals(_SECURITY_ID, sid) for sid in some), (attribute,)
            )
        }

    def _groups_around(
        self, gone: dict[str, set[ExternalId]], users: Entries, stored: _Stored
    ) -> set[ExternalId]:
        """The groups in which somebody is who is gone, or was when he was seen last and is back now."""
        rows = [stored.users[one] for one in gone["user"]]
        rows += [stored.away[one] for one in users if one in stored.away]
        groups = [stored.groups[one].group_id for one in gone["group"]]
        with self._unit_of_work.read() as reader:
            around = {group_id for group_id, _ in reader.groups_of_users([row.user_id for row in rows])}
            around |= {parent for parent, child in reader.nestings_of(groups) if child in groups}
            found = reader.groups_by_id(around)
        return {
            row.external_id
            for row in found.values()
            if row.deleted_at is None and row.directory_id == self._directory_id
        }

    def _is_read_whole(
        self, external_id: ExternalId, touched: dict[ExternalId, Touched], stored: _Stored
    ) -> bool:
        """Whether what is stored of a group is nothing to go on from."""
        row = stored.groups.get(external_id)
        return row is None or not row.fingerprint or touched.get(external_id, Touched()).lists_all

    def _read_whole(self, session: LDAPSession, external_ids: Collection[ExternalId]) -> Entries:
        attribute = self._dialect.id_attributes[1]
        searches = tuple(
            replace(search, filter=f"(&{search.filter}{asked})")
            for some in _batches(sorted(external_ids))
            for asked in [any_of(equals(attribute, id_value(attribute, one)) for one in some)]
            for search in self._searches("group")
        )
        if not searches:
            return {}
        source = LDAPSource(replace(self._settings, searches=searches), "")
        found: Entries = {}
        for item in source.entries_of(session, self._dialect.wanted):
            if isinstance(item, RejectedEntry):
                raise DoubtError(f"'{item.dn.decode('utf-8', 'replace')}' has changed: {item.reason}")
            found[self._id_of(item, "group")] = item
        if not isinstance(source.outcome, Complete) or found.keys() != {*external_ids}:
            raise DoubtError("the groups that are new could not be read to their end")
        return found

    def _list_members(
        self,
        entry: RawEntry,
        row: StoredGroup,
        deltas: dict[ExternalId, bool],
        changes: Changes,
        users: Entries,
        stored: _Stored,
    ) -> None:
        """Let the entry list who is stored as its member, and who was added since, by what stands for their ids."""
        with self._unit_of_work.read() as reader:
            members = dict.fromkeys(reader.names_of_members(row.group_id), False)
            members |= dict.fromkeys(_subgroups(reader, row), True)
        gone = changes.gone["user"] | changes.gone["group"]
        known = {one: is_group for one, is_group in members.items() if one not in gone}
        for external_id, is_added in deltas.items():
            if not is_added:
                known.pop(external_id, None)
            elif external_id not in gone:
                is_user = external_id in users or external_id in stored.users
                known[external_id] = not is_user
        listed: list[bytes] = []
        for external_id, is_group in known.items():
            name = f"<GUID={external_id}>".encode()
            is_stored = external_id in members or external_id in stored
            changes.names[name] = Named(external_id, is_group, is_stored)
            listed.append(name)
        if listed:
            entry.attributes[self._dialect.member_attributes[0]] = listed

    def _searches(self, sought: str) -> Iterator[Search]:
        return (search for search in self._settings.searches if search.sought == sought)

    def _id_of(self, entry: RawEntry, sought: str) -> ExternalId:
        is_group = sought == "group"
        attribute = self._dialect.id_attributes[is_group]
        found = self._dialect.read_id(entry.attributes.get(attribute), is_group=is_group)
        if found is None:
            raise DoubtError(f"'{entry.dn.decode('utf-8', 'replace')}' has changed and cannot be identified")
        return found


def _check_seen(session: LDAPSession, external_id: ExternalId, one: Touched) -> None:
    """Whoever fits no search any more is gone; whoever cannot be seen at all may not be."""
    if session.read_base(f"<GUID={external_id}>", ("objectClass",)) is None:
        raise DoubtError(f"'{one.dn.decode('utf-8', 'replace')}' has changed and cannot be seen any more")


def _subgroups(reader: Reader, row: StoredGroup) -> list[ExternalId]:
    inside = [child for parent, child in reader.nestings_of([row.group_id]) if parent == row.group_id]
    return [one.external_id for one in reader.groups_by_id(inside).values() if one.deleted_at is None]


def _batches(items: list[_Item]) -> Iterator[list[_Item]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
