"""Who answers to a name: the index from DNs, uids and primary groups to the ids of one reading.

It grows with the directory, so it keeps no name itself, only a 64-bit hash under a key of this process. Uids lie in
plain arrays until a group asks by one, which in most directories none does.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from directory.facts import name_key
from directory.ids import ExternalId
from sync.dn import dn_key

_AMBIGUOUS = "ambiguous_dn"


@dataclass(slots=True)
class Members:
    """Who is directly in a group, and what could not be resolved."""

    users: set[ExternalId] = field(default_factory=set)
    groups: set[ExternalId] = field(default_factory=set)
    dangling: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    """By the reason for which the member's own entry was ignored."""
    ambiguous_uids: list[str] = field(default_factory=list)


def hash_names(dns: Iterable[bytes]) -> "array[int]":
    """The hashes under which the index knows these DNs."""
    return array("q", [hash(dn_key(dn)) for dn in dns])


class MemberIndex:
    """Filled while entries are read; asked when all are known."""

    def __init__(self) -> None:
        self._users: dict[int, ExternalId] = {}
        self._groups: dict[int, ExternalId] = {}
        self._ignored: dict[int, str] = {}
        self._uids = array("q")
        self._uid_owners: list[ExternalId] = []
        self._users_by_uid: dict[int, ExternalId | None] | None = None
        self._users_by_primary_group: dict[bytes, list[ExternalId]] = {}

    def holds(self, name: int) -> bool:
        """Whether a user or a group answers to the name, or two entries of one DN were seen."""
        return name in self._users or name in self._groups or self._ignored.get(name) == _AMBIGUOUS

    def add_user(
        self,
        name: int,
        external_id: ExternalId,
        uids: Iterable[bytes] = (),
        primary_group: bytes | None = None,
    ) -> None:
        self._users[name] = external_id
        for uid in uids:
            self._uids.append(hash(_uid_key(uid)))
            self._uid_owners.append(external_id)
        if primary_group is not None:
            self._users_by_primary_group.setdefault(primary_group, []).append(external_id)

    def add_group(self, name: int, external_id: ExternalId) -> None:
        self._groups[name] = external_id

    def add_ignored(self, name: int, reason: str) -> None:
        self._ignored[name] = reason

    def mark_ambiguous(self, name: int) -> None:
        """Two entries have this DN: it names neither of them."""
        self._users.pop(name, None)
        self._groups.pop(name, None)
        self._ignored[name] = _AMBIGUOUS

    def resolve(self, names: Iterable[int], uids: Iterable[bytes], security_id: bytes | None) -> Members:
        """Find the members of a group that lists `names` and `uids` and is the primary group `security_id`."""
        found = Members()
        users, groups = self._users.get, self._groups.get
        for name in names:
            if (user := users(name)) is not None:
                found.users.add(user)
            elif (group := groups(name)) is not None:
                found.groups.add(group)
            elif (reason := self._ignored.get(name)) is not None:
                found.ignored[reason] += 1
            else:
                found.dangling += 1
        for uid in uids:
            key, known = hash(_uid_key(uid)), self._by_uid()
            named = known.get(key)
            if named is not None:
                found.users.add(named)
            elif key in known:
                found.ambiguous_uids.append(uid.decode("utf-8", "replace"))
            else:
                found.dangling += 1
        if security_id is not None:
            found.users.update(self._users_by_primary_group.get(security_id, ()))
        return found

    def _by_uid(self) -> dict[int, ExternalId | None]:
        if self._users_by_uid is None:
            known: dict[int, ExternalId | None] = {}
            for key, external_id in zip(self._uids, self._uid_owners, strict=True):
                # A uid of two users names neither.
                known[key] = None if key in known else external_id
            self._users_by_uid = known
        return self._users_by_uid

    def count_missing_primary_groups(self, security_ids: Iterable[bytes]) -> int:
        """How many users have a primary group that is none of these."""
        known = set(security_ids)
        return sum(len(users) for group, users in self._users_by_primary_group.items() if group not in known)


def _uid_key(uid: bytes) -> str:
    return name_key(uid.decode("utf-8", "surrogateescape"))
