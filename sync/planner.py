"""From a snapshot and the stored facts to a plan. Removes only what a complete snapshot does not hold.

Users are compared by fingerprint while they are read, so that an unchanged one costs a look-up; groups are resolved
when everybody is known, and the stored members of a group are read only when the group has changed.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from types import MappingProxyType

from directory.changes import PutGroup, PutUser
from directory.diff import FingerprintDiff, Seen, diff_members
from directory.facts import Activity
from directory.ids import DirectoryId, ExternalId
from provisioning.guard import PlanCounts
from provisioning.plans import DirectoryPlan, Edge
from provisioning.ports import Reader, UnitOfWork
from provisioning.runs import Reading
from provisioning.state import StoredDirectory, StoredUser
from sync.dialects.dialect import UserEntry
from sync.errors import UnreadableSourceError
from sync.failover import absence_grace_runs
from sync.outcome import Complete, Failed
from sync.snapshot import Snapshot, SnapshotGroup

_NEVER = 1 << 30
_NOBODY: AbstractSet[ExternalId] = frozenset()
_NOTHING_STORED: Mapping[str, int] = MappingProxyType({"users": 0, "active_users": 0, "memberships": 0})
_UNSETTLED = b""
"""The fingerprint of a group that was not brought in line with its source: it agrees with none."""


@dataclass(slots=True)
class _Source:
    """What the pass over the users left: the changed ones, and who was not seen."""

    puts: list[PutUser] = field(default_factory=list)
    is_new: set[ExternalId] = field(default_factory=set)
    absent: set[ExternalId] = field(default_factory=set)
    returned: set[ExternalId] = field(default_factory=set)
    digest: int = 0

    def note(self, external_id: ExternalId, fingerprint: bytes) -> None:
        """Add an entry to the digest of the source, in which order does not matter."""
        mark = blake2b(external_id.encode("utf-8", "surrogatepass") + fingerprint, digest_size=16).digest()
        self.digest ^= int.from_bytes(mark, "big")


@dataclass(slots=True)
class _Groups:
    puts: list[PutGroup] = field(default_factory=list)
    deleted: list[ExternalId] = field(default_factory=list)
    added: list[Edge] = field(default_factory=list)
    removed: list[Edge] = field(default_factory=list)
    nested: list[Edge] = field(default_factory=list)
    taken_out: list[Edge] = field(default_factory=list)
    shrinking: list[tuple[str, int, int]] = field(default_factory=list)
    ended: int = 0

    def remove(self, group_id: ExternalId, users: Iterable[ExternalId]) -> None:
        before = len(self.removed)
        self.removed.extend((group_id, user) for user in users)
        self.ended += len(self.removed) - before


def plan_snapshot(
    snapshot: Snapshot, directory: StoredDirectory, *, unit_of_work: UnitOfWork
) -> tuple[DirectoryPlan, Reading]:
    """Read the snapshot to its end and say what would bring the stored facts in line with it.

    No transaction is open while the source is read. The plan is the same for any order of the source.

    Raises: UnreadableSourceError when the reading failed as a whole.
    """
    with unit_of_work.read() as reader:
        user_prints, group_prints = reader.fingerprints(directory.directory_id)
        waiting = reader.absent_users(directory.directory_id)
    source = _read_users(snapshot, snapshot.users(), user_prints, waiting)
    del user_prints
    outcome = snapshot.outcome
    if isinstance(outcome, Failed):
        raise UnreadableSourceError(outcome.reason, may_pass=outcome.may_pass)
    is_complete = isinstance(outcome, Complete)
    reason = outcome.doubt if isinstance(outcome, Complete) else outcome.reason
    if not is_complete:
        source.absent.clear()
    with unit_of_work.read() as reader:
        groups = _plan_groups(snapshot, directory.directory_id, group_prints, source, reader, not reason)
        # In doubt, absences are counted on and have no consequence yet.
        grace = _NEVER if reason else absence_grace_runs(directory.settings)
        stored = reader.counts(directory.directory_id)
        plan = _assemble(snapshot, directory, source, groups, waiting, reader, grace=grace, stored=stored)
    return plan, _reading(snapshot, source, is_complete=is_complete, reason=reason)


def plan_changes(
    snapshot: Snapshot,
    users: Iterable[UserEntry],
    group_ids: Iterable[ExternalId],
    gone: Mapping[str, AbstractSet[ExternalId]],
    directory: StoredDirectory,
    *,
    unit_of_work: UnitOfWork,
) -> tuple[DirectoryPlan, Reading]:
    """Say what would bring the stored facts in line with an incremental answer, whose users have been read already.

    Who is not in it stays as stored; only `gone`, by `user` and `group`, are gone, and at once. What is read of the
    database depends on the size of the answer only, not on that of the directory.
    """
    users = list(users)
    user_ids = {user.external_id for user in users} | gone["user"]
    with unit_of_work.read() as reader:
        rows = reader.users_by_external_id(directory.directory_id, user_ids, with_documents=False)
        user_prints = {
            external_id.encode("utf-8", "surrogatepass"): row.fingerprint
            for external_id, row in rows.items()
            if row.deleted_at is None and row.fingerprint
        }
        group_rows = reader.groups_by_external_id(directory.directory_id, {*group_ids} | gone["group"])
        group_prints = {
            external_id.encode("utf-8", "surrogatepass"): row.fingerprint
            for external_id, row in group_rows.items()
            if row.deleted_at is None
        }
        waiting = {external_id: row.absent_runs for external_id, row in rows.items() if row.absent_runs}
        source = _read_users(snapshot, users, user_prints, waiting)
        groups = _plan_groups(snapshot, directory.directory_id, group_prints, source, reader, True)
        is_taking = source.absent or groups.ended or groups.deleted or snapshot.counts.rejected
        is_taking = is_taking or any(put.user.activity is Activity.DISABLED for put in source.puts)
        # Counting a whole directory takes longer than all else here; the guard asks only when something is taken.
        stored = reader.counts(directory.directory_id) if is_taking else None
        plan = _assemble(snapshot, directory, source, groups, waiting, reader, grace=0, stored=stored)
    if stored is not None:
        known = stored["users"] + stored["groups"]
        counts = replace(
            plan.counts, users_read=stored["users"], entries_read=max(known, plan.counts.entries_read)
        )
        plan = replace(plan, counts=counts)
    return plan, _reading(snapshot, source)


def _reading(snapshot: Snapshot, source: _Source, *, is_complete: bool = True, reason: str = "") -> Reading:
    counts = snapshot.counts
    return Reading(
        source_hash=f"{source.digest:032x}",
        counters={
            "seen": counts.seen,
            "users_seen": counts.users,
            "groups_seen": counts.groups,
            "rejected": counts.rejected,
            "unknown_references": counts.dangling_members,
        },
        is_complete=is_complete,
        reason=reason,
    )


def _read_users(
    snapshot: Snapshot,
    users: Iterable[UserEntry],
    stored: dict[bytes, bytes],
    waiting: Mapping[ExternalId, int],
) -> _Source:
    source = _Source()
    diff = FingerprintDiff(stored)
    for user in users:
        external_id = user.external_id
        seen = diff.classify(external_id.encode("utf-8", "surrogatepass"), user.fingerprint)
        source.note(external_id, user.fingerprint)
        if seen in {Seen.NEW, Seen.CHANGED}:
            source.puts.append(PutUser(snapshot.user_facts(user), user.fingerprint))
            if seen is Seen.NEW:
                source.is_new.add(external_id)
        if external_id in waiting:
            source.returned.add(external_id)
    absent = (ExternalId(key.decode("utf-8", "surrogatepass")) for key in diff.absent())
    source.absent = {external_id for external_id in absent if external_id not in snapshot.protected}
    return source


def _plan_groups(
    snapshot: Snapshot,
    directory_id: DirectoryId,
    stored: dict[bytes, bytes],
    source: _Source,
    reader: Reader,
    is_complete: bool,
) -> _Groups:
    groups = _Groups()
    diff = FingerprintDiff(stored)
    changed: list[SnapshotGroup] = []
    kept = _kept_memberships(directory_id, source, reader)
    for group in snapshot.groups():
        external_id = group.facts.external_id
        source.note(external_id, group.fingerprint)
        seen = diff.classify(external_id.encode("utf-8", "surrogatepass"), group.fingerprint)
        left = kept.get(external_id, _NOBODY) - set(group.members)
        if seen is Seen.UNCHANGED and left:
            # The group was brought in line while they were away.
            if is_complete:
                groups.remove(external_id, left)
            else:
                groups.puts.append(PutGroup(group.facts, _UNSETTLED))
        elif seen is Seen.NEW:
            groups.puts.append(PutGroup(group.facts, group.fingerprint))
            groups.added.extend((external_id, member) for member in group.members)
            groups.nested.extend((external_id, subgroup) for subgroup in group.subgroups)
        elif seen is Seen.CHANGED:
            changed.append(group)
    if changed:
        _plan_changed(changed, directory_id, source, reader, groups, is_complete=is_complete)
    if is_complete:
        gone = (ExternalId(key.decode("utf-8", "surrogatepass")) for key in diff.absent())
        groups.deleted = sorted(external_id for external_id in gone if external_id not in snapshot.protected)
    if groups.deleted:
        sizes = reader.group_sizes(directory_id)
        for external_id, row in reader.groups_by_external_id(directory_id, groups.deleted).items():
            size = sizes.get(row.group_id, 0)
            groups.ended += size
            groups.shrinking.append((row.display_name or external_id, size, 0))
    return groups


def _kept_memberships(
    directory_id: DirectoryId, source: _Source, reader: Reader
) -> Mapping[ExternalId, AbstractSet[ExternalId]]:
    """By group, those who are back and are in it still: absence left them there, whatever became of the group."""
    users = reader.users_by_external_id(directory_id, source.is_new | source.returned)
    external_ids = {user.user_id: external_id for external_id, user in users.items()}
    pairs = reader.groups_of_users(external_ids.keys()) if users else []
    known = reader.groups_by_id({group_id for group_id, _ in pairs})
    kept: dict[ExternalId, set[ExternalId]] = {}
    for group_id, user_id in pairs:
        kept.setdefault(known[group_id].external_id, set()).add(external_ids[user_id])
    return kept


def _plan_changed(
    changed: list[SnapshotGroup],
    directory_id: DirectoryId,
    source: _Source,
    reader: Reader,
    groups: _Groups,
    *,
    is_complete: bool,
) -> None:
    rows = reader.groups_by_external_id(directory_id, [group.facts.external_id for group in changed])
    external_ids = {row.group_id: external_id for external_id, row in rows.items()}
    nested: dict[ExternalId, set[ExternalId]] = {}
    nesting = reader.model_inputs().nesting
    known = reader.groups_by_id({child for parent, child in nesting if parent in external_ids})
    for parent, child in nesting:
        if parent in external_ids and child in known:
            nested.setdefault(external_ids[parent], set()).add(known[child].external_id)
    renamed = _renamed(source, directory_id, reader)
    for group in changed:
        external_id = group.facts.external_id
        row = rows[external_id]
        stored = frozenset(reader.user_ids_of_group(row.group_id))
        added, removed = diff_members(stored, frozenset(group.members))
        # Who is absent is deactivated and keeps the membership for the return; who was renamed in this very
        # export may stand in the group under the old name until the server has caught up.
        doubtful = {user for user in removed if group.unresolved and user in renamed}
        removed = tuple(user for user in removed if user not in source.absent and user not in doubtful)
        is_settled = is_complete and not doubtful
        if not is_complete:
            removed = ()
        groups.puts.append(PutGroup(group.facts, group.fingerprint if is_settled else _UNSETTLED))
        groups.added.extend((external_id, user) for user in added)
        groups.remove(external_id, removed)
        if removed:
            size = len(stored)
            groups.shrinking.append((row.display_name, size, size - len(removed)))
        nested_before = frozenset(nested.get(external_id, ()))
        nest, take_out = diff_members(nested_before, frozenset(group.subgroups))
        groups.nested.extend((external_id, subgroup) for subgroup in nest)
        groups.taken_out.extend((external_id, subgroup) for subgroup in (take_out if is_complete else ()))


def _renamed(source: _Source, directory_id: DirectoryId, reader: Reader) -> frozenset[ExternalId]:
    """Users whose DN differs from the stored one."""
    said = {
        put.user.external_id: put.user.dn for put in source.puts if put.user.external_id not in source.is_new
    }
    stored = reader.users_by_external_id(directory_id, said.keys())
    return frozenset(external_id for external_id, user in stored.items() if user.dn != said[external_id])


def _assemble(
    snapshot: Snapshot,
    directory: StoredDirectory,
    source: _Source,
    groups: _Groups,
    waiting: Mapping[ExternalId, int],
    reader: Reader,
    *,
    grace: int,
    stored: Mapping[str, int] | None,
) -> DirectoryPlan:
    stored = _NOTHING_STORED if stored is None else stored
    missed = {external_id: waiting.get(external_id, 0) + 1 for external_id in source.absent}
    deactivate = sorted(external_id for external_id, runs in missed.items() if runs >= grace)
    waiting_out = [(external_id, runs) for external_id, runs in sorted(missed.items()) if runs < grace]
    waiting_out += [(external_id, 0) for external_id in sorted(source.returned)]
    disabled = [put.user.external_id for put in source.puts if put.user.activity is Activity.DISABLED]
    losing = reader.users_by_external_id(directory.directory_id, [*deactivate, *disabled])
    counts = snapshot.counts
    last = reader.last_applied_run(directory.directory_id)
    return DirectoryPlan(
        directory_id=directory.directory_id,
        base=f"{reader.organisation().model_version}:{last.run_id if last else ''}",
        put_users=tuple(
            sorted(source.puts, key=lambda put: (put.user.external_id in source.is_new, put.user.external_id))
        ),
        deactivate=tuple(deactivate),
        put_groups=tuple(sorted(groups.puts, key=lambda put: put.group.external_id)),
        delete_groups=tuple(groups.deleted),
        add_members=tuple(sorted(groups.added)),
        remove_members=tuple(sorted(groups.removed)),
        add_subgroups=tuple(sorted(groups.nested)),
        remove_subgroups=tuple(sorted(groups.taken_out)),
        waiting_out=tuple(waiting_out),
        new_users=len(source.is_new),
        counts=PlanCounts(
            users_read=counts.users,
            users_stored=stored["users"],
            active_users_stored=stored["active_users"],
            removed_users=_count_active(losing.values()),
            memberships_stored=stored["memberships"],
            removed_memberships=groups.ended,
            entries_read=counts.seen,
            entries_rejected=counts.rejected,
            shrinking=tuple(groups.shrinking),
        ),
    )


def _count_active(users: Iterable[StoredUser]) -> int:
    return sum(1 for user in users if user.active and user.deleted_at is None)
