"""One reading of a directory: its users as they come, its groups resolved at the end, and whether that was all.

Only a `Complete` snapshot says anything by what it does not hold. Users are given one by one and not kept;
what stays in memory is an index from each entry's name to its id, and the groups. Entries that cannot be
taken over are rejected alone; whoever is behind them is `protected`, so that no reader mistakes a damaged
entry for one that is gone.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol, assert_never
from urllib.parse import unquote, urlsplit

from directory.facts import Activity, GroupFacts, UserFacts, name_key
from directory.ids import ExternalId
from sync.dialects.dialect import ContainerEntry, Dialect, GroupEntry, IgnoredEntry, UserEntry
from sync.dn import dn_key, key_is_within
from sync.entries import RawEntry, RejectedEntry
from sync.errors import EntryError
from sync.member_index import MemberIndex, hash_names
from sync.outcome import Complete, Failed, Outcome, Partial

_REPORTED: Final = 100
# Naming contexts of Active Directory that hold no people; every export of a whole domain refers to them.
_CONTEXTS_WITHOUT_PEOPLE: Final = ("cn=configuration", "dc=domaindnszones", "dc=forestdnszones")
_OUTSIDE: Final = "outside_base"
_NO_ENTRY: Final = {
    "line": "the file holds no entry",
    "entry": "the server shows no entry; check bases, filters and the rights of the account",
}


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """What of a source counts, and what it must hold to be complete.

    Users and groups count when they stand within one of their bases; no base stands for everything. Every
    base must be in an export itself. A reference to one of `ignored_references` (a DN, with all below it) is
    no gap.
    """

    user_bases: tuple[str, ...] = ()
    group_bases: tuple[str, ...] = ()
    ignored_references: tuple[str, ...] = ()


class Source(Protocol):
    """What a snapshot is taken of: `sync.ldif_source.LDIFSource` or `sync.ldap_source.LDAPSource`."""

    @property
    def place(self) -> str:
        """What an entry's number counts: `line` or `entry`."""
        ...

    @property
    def shows_bases(self) -> bool:
        """Whether every base must turn up as an entry. A server says of itself when there is no such base."""
        ...

    @property
    def outcome(self) -> Outcome:
        """How the reading ended, once `entries` was followed to its end."""
        ...

    @property
    def references(self) -> list[str]:
        """The first references that were met and not followed."""
        ...

    def entries(self, wanted: frozenset[str]) -> Iterator[RawEntry | RejectedEntry]:
        """Every entry once, with the attributes `wanted` at least."""
        ...

    def is_vouched(self) -> bool:
        """Whether something from outside proves that the source is whole."""
        ...


class Rejection(NamedTuple):
    """An entry that was not taken over, its number (the line where it went wrong), and why."""

    number: int
    dn: str
    reason: str


class SharedMail(NamedTuple):
    """An address that two users have; both are kept. The numbers of their entries."""

    mail: str
    first: int
    second: int


@dataclass(slots=True)
class SnapshotCounts:
    """What a reading met. Lists hold the first hundred, their counts everything."""

    place: str = "line"
    """What the numbers of entries count: `line` or `entry`."""
    seen: int = 0
    users: int = 0
    groups: int = 0
    containers: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """Entries of no concern, by reason."""
    unknown_activity: int = 0
    shared_mail: int = 0
    shared_mails: list[SharedMail] = field(default_factory=list)
    references: int = 0
    dangling_members: int = 0
    """Members that no entry of the reading answers to."""
    ignored_members: Counter[str] = field(default_factory=Counter)
    """Members that are of no concern themselves, by the reason for which their entry was ignored."""
    ambiguous_members: int = 0
    """Members listed by a uid that several users have: in none of the groups, for nobody is guessed."""
    ambiguous_uids: list[str] = field(default_factory=list)
    missing_primary_groups: int = 0
    """Users whose primary group is not in the reading."""


class SnapshotGroup(NamedTuple):
    """A group with the users and groups directly in it, each sorted by id.

    `unresolved` counts the members left out because nobody answers to them; until a later reading knows
    better, that is no reason to remove anybody.
    """

    facts: GroupFacts
    members: tuple[ExternalId, ...]
    subgroups: tuple[ExternalId, ...]
    fingerprint: bytes
    unresolved: int


class _RawGroup(NamedTuple):
    facts: GroupFacts
    member_names: "array[int]"
    member_uids: list[bytes]
    security_id: bytes | None


class Snapshot:
    """One pass over a source: first all `users`, then all `groups`, then `outcome`.

    `protected` holds the ids of entries that were rejected and could still be identified: nothing may be
    taken from them for want of what their entry says. An entry that cannot be identified makes the snapshot
    partial.
    """

    def __init__(self, source: Source, *, dialect: Dialect, settings: SnapshotSettings | None = None) -> None:
        self.counts = SnapshotCounts(place=source.place)
        self.protected: set[ExternalId] = set()
        self._source = source
        self._dialect = dialect
        self._settings = settings or SnapshotSettings()
        self._user_bases = tuple(map(dn_key, self._settings.user_bases))
        self._group_bases = tuple(map(dn_key, self._settings.group_bases))
        bases = self._settings.user_bases + self._settings.group_bases
        self._bases_to_see = {dn_key(base): base for base in bases} if source.shows_bases else {}
        # Reasons to doubt that this is all, each once, in the order in which they turned up.
        self._gaps: dict[str, None] = {}
        self._failure: Failed | None = Failed("the reading was given up")
        self._doubt_of_absences = ""
        self._index = MemberIndex()
        self._user_numbers: dict[ExternalId, int] = {}
        self._group_numbers: dict[ExternalId, int] = {}
        self._mail_numbers: dict[int, int] = {}
        self._raw_groups: list[_RawGroup] = []

    def users(self) -> Iterator[UserEntry]:
        """Every user once, in the source's order; `user_facts` turns those that changed into facts.

        The end of the iteration says nothing, for a source that breaks off ends it as well: ask `outcome`.
        """
        for item in self._source.entries(self._dialect.wanted):
            user = self._take(item)
            if user is not None:
                yield user
        self._conclude()

    def groups(self) -> Iterator[SnapshotGroup]:
        """Every group once, in the source's order, its members resolved among all that was read before."""
        for raw in self._raw_groups:
            yield self._resolve(raw)

    def assume(self, dn: bytes | str, external_id: ExternalId, *, is_group: bool = False) -> None:
        """Let a name answer to somebody whom this reading did not show, unless another has the name now."""
        name = hash(dn_key(dn))
        if self._index.holds(name):
            return
        if is_group:
            self._index.add_group(name, external_id)
        else:
            self._index.add_user(name, external_id)

    def knows(self, dn: bytes | str) -> bool:
        """Whether somebody answers to the name."""
        return self._index.holds(hash(dn_key(dn)))

    def user_facts(self, user: UserEntry) -> UserFacts:
        """The facts of a user that this snapshot gave."""
        return self._dialect.user_facts(user)

    @property
    def outcome(self) -> Outcome:
        """How the reading ended; it has failed unless `users` was followed to its end."""
        if self._failure is not None:
            return self._failure
        if not self.counts.seen:
            return Failed("; ".join(self._gaps) or _NO_ENTRY[self.counts.place])
        if not (self.counts.users or self.counts.groups):
            if self.counts.rejections:
                number, _, reason = self.counts.rejections[0]
                return Failed(
                    f"no user and no group could be taken over; first, {self.counts.place} {number}: {reason}"
                )
            if self.counts.ignored["other"]:
                return Failed(
                    f"no entry is a user or a group in the dialect '{self._dialect.name}'; check the dialect"
                )
        return Partial("; ".join(self._gaps)) if self._gaps else Complete(self._doubt_of_absences)

    def _take(self, item: RawEntry | RejectedEntry) -> UserEntry | None:
        """Take one entry in; give it back when it is a user."""
        self.counts.seen += 1
        dn = dn_key(item.dn)
        name = hash(dn)
        if self._bases_to_see:
            self._bases_to_see.pop(dn, None)
        may_be_user = item.sought != "group" and _is_within(dn, self._user_bases)
        may_be_group = item.sought != "user" and _is_within(dn, self._group_bases)
        if item.dn and not (may_be_user or may_be_group):
            self._ignore(name, _OUTSIDE)
            return None
        if isinstance(item, RejectedEntry):
            if not (item.unterminated and self._source.is_vouched()):
                self._doubt(item.reason if item.unterminated else None)
                self._reject(item, name, item.reason)
                return None
            item = RawEntry(item.dn, item.attributes, item.number, item.sought)
        try:
            read = self._dialect.read(item)
        except EntryError as err:
            self._reject(item, name, str(err))
            return None
        match read:
            case UserEntry() if may_be_user:
                return read if self._take_user(read, name) else None
            case GroupEntry() if may_be_group:
                self._take_group(read, name)
            case UserEntry() | GroupEntry():
                self._ignore(name, _OUTSIDE)
            case IgnoredEntry():
                self._ignore(name, read.reason)
            case ContainerEntry():
                self.counts.containers += 1
                self._index.add_ignored(name, "container")
            case _:
                assert_never(read)
        return None

    def _take_user(self, user: UserEntry, name: int) -> bool:
        number = user.entry.number
        if self._is_repeated(user.external_id, self._user_numbers, user.entry, name):
            return False
        self._user_numbers[user.external_id] = number
        self._index.add_user(name, user.external_id, user.uids, user.primary_group)
        self.counts.users += 1
        if user.activity is Activity.UNKNOWN:
            self.counts.unknown_activity += 1
        for mail in user.mails:
            self._note_mail(mail, number)
        return True

    def _take_group(self, group: GroupEntry, name: int) -> None:
        if self._is_repeated(group.external_id, self._group_numbers, group.entry, name):
            return
        self._group_numbers[group.external_id] = group.entry.number
        self._index.add_group(name, group.external_id)
        self.counts.groups += 1
        self._raw_groups.append(
            _RawGroup(group.facts, hash_names(group.member_dns), group.member_uids, group.security_id)
        )

    def _is_repeated(
        self, external_id: ExternalId, numbers: dict[ExternalId, int], entry: RawEntry, name: int
    ) -> bool:
        """Reject an entry whose id or DN another has. A file that says one thing twice may lack another."""
        first = numbers.get(external_id)
        if first is not None:
            # The second DN is left without an owner: whoever copied an entry and kept its id made another
            # person.
            self._report(entry, f"the id {external_id} is that of the entry {self._spot(first)} already")
            self._doubt(f"the entries {self._spot(first, entry.number)} have the same id")
            return True
        if self._index.holds(name):
            self._index.mark_ambiguous(name)
            self.protected.add(external_id)
            self._report(entry, "another entry before has the same dn")
            self._doubt(f"the entry {self._spot(entry.number)} has the dn of another one")
            return True
        return False

    def _ignore(self, name: int, reason: str) -> None:
        self.counts.ignored[reason] += 1
        self._index.add_ignored(name, reason)

    def _reject(self, item: RawEntry | RejectedEntry, name: int, reason: str) -> None:
        self._report(item, reason)
        identity = self._dialect.identify(item.attributes)
        if identity is None:
            return
        if identity.external_id is None:
            self._doubt(f"the entry rejected {self._spot(item.number)} cannot be identified")
            return
        self.protected.add(identity.external_id)
        # Groups that list the entry keep it.
        if item.dn and not self._index.holds(name):
            if identity.is_group:
                self._index.add_group(name, identity.external_id)
            else:
                self._index.add_user(name, identity.external_id, identity.uids, identity.primary_group)

    def _report(self, item: RawEntry | RejectedEntry, reason: str) -> None:
        self.counts.rejected += 1
        if len(self.counts.rejections) < _REPORTED:
            self.counts.rejections.append(Rejection(item.number, item.dn.decode("utf-8", "replace"), reason))

    def _spot(self, *numbers: int) -> str:
        """Where entries stand, in words."""
        plural = "s" if len(numbers) > 1 else ""
        shown = " and ".join(map(str, numbers))
        return f"on line{plural} {shown}" if self.counts.place == "line" else f"number{plural} {shown}"

    def _doubt(self, reason: str | None) -> None:
        if reason is not None and len(self._gaps) < _REPORTED:
            self._gaps[reason] = None

    def _note_mail(self, mail: bytes, number: int) -> None:
        key = hash(name_key(mail.decode("utf-8", "surrogateescape")))
        first = self._mail_numbers.setdefault(key, number)
        if first != number:
            self.counts.shared_mail += 1
            if len(self.counts.shared_mails) < _REPORTED:
                self.counts.shared_mails.append(SharedMail(mail.decode("utf-8", "replace"), first, number))

    def _conclude(self) -> None:
        outcome = self._source.outcome
        self._failure = outcome if isinstance(outcome, Failed) else None
        self._doubt(outcome.reason if isinstance(outcome, Partial) else None)
        self._doubt_of_absences = outcome.doubt if isinstance(outcome, Complete) else ""
        references = self._source.references
        for reference in references:
            if self._is_gap(reference):
                self._doubt(f"the source leaves out what stands under {reference}")
        for base in self._bases_to_see.values():
            self._doubt(f"the base '{base}' is not in the file")
        self.counts.references = len(references)
        self.counts.missing_primary_groups = self._index.count_missing_primary_groups(
            raw.security_id for raw in self._raw_groups if raw.security_id is not None
        )

    def _is_gap(self, reference: str) -> bool:
        dn = dn_key(unquote(urlsplit(reference).path.removeprefix("/")))
        if dn.partition(",")[0] in _CONTEXTS_WITHOUT_PEOPLE or _is_within(
            dn, tuple(map(dn_key, self._settings.ignored_references)), default=False
        ):
            return False
        bases = self._user_bases + self._group_bases
        # A reference below a base hides entries of it; one above a base, or to the base itself, all of them.
        return not bases or any(key_is_within(dn, base) or key_is_within(base, dn) for base in bases)

    def _resolve(self, raw: _RawGroup) -> SnapshotGroup:
        facts, counts = raw.facts, self.counts
        found = self._index.resolve(raw.member_names, raw.member_uids, raw.security_id)
        counts.dangling_members += found.dangling
        counts.ignored_members.update(found.ignored)
        counts.ambiguous_members += len(found.ambiguous_uids)
        for uid in found.ambiguous_uids:
            if uid not in counts.ambiguous_uids and len(counts.ambiguous_uids) < _REPORTED:
                counts.ambiguous_uids.append(uid)
        # A group in itself says nothing.
        found.groups.discard(facts.external_id)
        members, subgroups = tuple(sorted(found.users)), tuple(sorted(found.groups))
        shown = "\0".join((facts.display_name, facts.dn, "", *members, "", *subgroups))
        fingerprint = blake2b(shown.encode("utf-8"), digest_size=16, person=b"usher group 1").digest()
        unresolved = found.dangling + len(found.ambiguous_uids) + found.ignored.get("ambiguous_dn", 0)
        return SnapshotGroup(facts, members, subgroups, fingerprint, unresolved)


def _is_within(dn: str, bases: tuple[str, ...], *, default: bool = True) -> bool:
    """Whether the DN, given as its key, stands within one of the bases; without bases, the default."""
    return any(key_is_within(dn, base) for base in bases) if bases else default
