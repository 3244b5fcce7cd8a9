"""Changes of a pushing directory that wait for an administrator, because they went beyond the limits of its guard.

The directory's word is stored all the same. Who would lose something by it keeps what they hold, until an
administrator allows it or the directory takes it back.
Source: docs/decisions/0012-pushed-guard.md
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from audit.events import FieldChange, Target
from directory.changes import AllowStaged, NameMatch, RejectStaged
from directory.ids import DirectoryId, EventId, GroupId, MemberId, UserId
from mappings.access import Access, LinkedUser, MemberFacts, resolve_access
from mappings.catalogue import Resolution
from mappings.rules import Grant, Source, parse_pattern
from provisioning.errors import Refusal, RefusalCode
from provisioning.guard import guard_limits
from provisioning.models import OrganisationModel
from provisioning.push_guard import Crossing, PushWindow
from provisioning.state import MemberRecord, PendingMember, StagedChange, StoredDirectory
from provisioning.work import BATCH_SIZE, Work


class Staging(StrEnum):
    """What becomes of a member's staged change.

    `BEGUN`: something is held back from now on. `STANDING`: it is held back still. `ENDED`: the facts take nothing
    away any more. `DROPPED`: nothing was ever lost, or the directory has said something new since it was rejected.
    """

    NONE = "none"
    BEGUN = "begun"
    STANDING = "standing"
    ENDED = "ended"
    DROPPED = "dropped"


def hold_back(work: Work, record: MemberRecord, desired: Access) -> tuple[Access, Staging]:
    """What the member is to hold, where the facts say `desired`: more than that while a change is staged."""
    member_id = record.member_id
    staged = None if member_id in work.released else record.staged
    if staged is None and member_id not in work.beyond:
        return desired, Staging.NONE
    is_overtaken = staged is not None and staged.is_rejected and member_id in work.deprived
    if is_overtaken and member_id not in work.beyond:
        return desired, Staging.DROPPED
    kept = _keep(work, record, desired)
    is_told = staged is not None and (staged.event_id is not None or staged.is_rejected)
    if kept is not None:
        return kept, Staging.STANDING if is_told and not is_overtaken else Staging.BEGUN
    if staged is None:
        return desired, Staging.NONE
    return desired, Staging.ENDED if is_told else Staging.DROPPED


def _keep(work: Work, record: MemberRecord, desired: Access) -> Access | None:
    """What the member holds or is given by somebody else than the directory; None where nothing is lost.

    Only a directory's word is held back. What an administrator has taken away since is gone: by a block, by an
    override in place of what directories give, by a rule, a scope or a default role.
    """
    model, facts = work.model, record.facts
    if facts.is_blocked:
        return None
    given = desired
    if not desired.is_active:
        given = resolve_access(model.access, _as_present(facts), now=work.now)
    pairs = {grant.pair for grant in given.grants}
    is_overridden = facts.override is not None and facts.override.ends_at > work.now
    kept = [
        held.grant
        for held in record.held
        if not is_overridden and held.grant.pair not in pairs and _is_still_given(model, held.grant)
    ]
    grants = [*given.grants, *kept]
    if kept and model.resolution is Resolution.PRIORITY:
        # Everybody has one role: another one comes when the one that is held back has gone.
        roles = {grant.role for grant in kept}
        grants = [grant for grant in grants if grant.role in roles]
    if {grant.pair for grant in grants} == {grant.pair for grant in desired.grants}:
        return None
    grants.sort(key=lambda grant: (-model.roles[grant.role].rank, grant.scope_id, grant.role))
    return Access(
        is_active=True,
        grants=tuple(grants),
        priority=given.priority,
        rank=model.roles[grants[0].role].rank,
    )


def _as_present(facts: MemberFacts) -> MemberFacts:
    """The facts as if some directory still said that the person is there, though in no group."""
    user = LinkedUser(UserId(""), DirectoryId(""), active=True, groups=(), attributes={})
    return replace(facts, users=(user,))


def _is_still_given(model: OrganisationModel, grant: Grant) -> bool:
    """Whether what administrators say would still give the grant, if the directory said what it said before."""
    role, node, basis = model.roles.get(grant.role), model.scopes.get(grant.scope_id), grant.provenance
    if role is None or node is None or not model.scopes.covers(model.scopes.root, grant.scope_id):
        return False
    if node.kind not in role.scope_kinds:
        return False
    if basis.source is Source.DEFAULT:
        return grant.role in model.inputs.default_roles.values()
    rule = model.rule(basis.rule_id or "")
    if rule is None or rule.role != grant.role:
        return False
    if isinstance(rule.match, NameMatch):
        return parse_pattern(rule.match.pattern).kind == node.kind
    return rule.scope_id == grant.scope_id


# What a directory takes away


@dataclass(slots=True)
class Removals:
    """What one request takes away. People are counted by user, and those who are deleted not by membership as well.

    `users` were active and are not any more. `memberships` ended one by one, by group. `emptied` groups were deleted,
    each with the members that it had. `left` and `joined` are all memberships that ended one by one and began,
    `activated` the users who became active: what was stored before follows from them. `deprived` are all from whom
    something was taken.
    """

    users: set[MemberId] = field(default_factory=set)
    memberships: dict[GroupId, set[MemberId]] = field(default_factory=dict)
    emptied: dict[GroupId, int] = field(default_factory=dict)
    left: Counter[GroupId] = field(default_factory=Counter)
    joined: Counter[GroupId] = field(default_factory=Counter)
    activated: int = 0
    deprived: set[MemberId] = field(default_factory=set)

    @property
    def losses(self) -> dict[GroupId, int]:
        ended = {group_id: len(members) for group_id, members in self.memberships.items()}
        return ended | {group_id: size for group_id, size in self.emptied.items() if size}


def watch_removals(work: Work, directory: StoredDirectory, removals: Removals) -> None:
    """Add up what the directory has taken away, raise the alert once, and note whose losses are beyond the limits.

    A request that takes nothing away costs nothing.
    """
    work.deprived |= removals.deprived
    losses = removals.losses
    if not removals.users and not losses:
        return
    limits = guard_limits(directory.settings)
    window = work.writer.push_window(directory.directory_id)
    if window is None or not window.is_open(work.now):
        window = _begin_window(work, directory.directory_id, removals)
    sizes = _sizes_before(work, removals, losses.keys() - window.groups.keys())
    window = window.minus(len(removals.users), losses, sizes, limits)
    crossing = window.crossing(limits)
    if crossing and window.crossed_at is None:
        window = replace(window, crossed_at=work.now)
        _record_crossing(work, directory, window, crossing)
    work.writer.save_push_window(window)
    work.is_changed = True
    if crossing and directory.settings.get("hold") is True:
        _note_beyond(work, directory.directory_id, removals, crossing)


def _begin_window(work: Work, directory_id: DirectoryId, removals: Removals) -> PushWindow:
    stored = work.writer.counts(directory_id)
    ended = removals.left.total() + sum(removals.emptied.values())
    return PushWindow(
        directory_id=directory_id,
        started_at=work.now,
        active_users=stored["active_users"] + len(removals.users) - removals.activated,
        memberships=stored["memberships"] + ended - removals.joined.total(),
    )


def _sizes_before(work: Work, removals: Removals, groups: Collection[GroupId]) -> Mapping[GroupId, int]:
    standing = [group_id for group_id in groups if group_id not in removals.emptied]
    sizes = work.writer.sizes_of_groups(standing) if standing else {}
    before = {
        group_id: sizes.get(group_id, 0) + removals.left[group_id] - removals.joined[group_id]
        for group_id in standing
    }
    return before | removals.emptied


def _record_crossing(work: Work, directory: StoredDirectory, window: PushWindow, crossing: Crossing) -> None:
    work.ledger.record(
        "guard.threshold_crossed",
        (Target("directory", directory.directory_id),),
        (
            FieldChange("limits", None, crossing.limits),
            FieldChange("users_lost", None, window.users_lost),
            FieldChange("active_users", window.active_users, None),
            FieldChange("memberships_lost", None, window.memberships_lost),
            FieldChange("memberships", window.memberships, None),
            FieldChange("groups", None, tuple(crossing.groups)),
            FieldChange("hold", None, directory.settings.get("hold") is True),
        ),
        parent=work.ledger.event_ids[-1],
    )


def _note_beyond(work: Work, directory_id: DirectoryId, removals: Removals, crossing: Crossing) -> None:
    """Each limit holds back what counts for it: a single person is deactivated also while others are held."""
    if crossing.users:
        work.beyond |= removals.users
    for group_id, members in removals.memberships.items():
        if crossing.memberships or group_id in crossing.groups:
            work.beyond |= members
    if removals.emptied and (crossing.memberships or crossing.groups & removals.emptied.keys()):
        # Those who were in it are in the queue, and may be too many to be named one by one.
        work.writer.stage_pending(directory_id, work.now)


# What an administrator says about it


def allow_staged(work: Work, change: AllowStaged) -> None:
    """End the waiting: the directory's word has its effect in this transaction, or in batches when they are many."""
    changes = _named(work, change, with_rejected=change.members is not None)
    events = _tell(work, changes, "member.staged_allowed")
    work.writer.end_staged(list(events))
    work.released.update(events)
    now, later = list(events.items())[:BATCH_SIZE], list(events.items())[BATCH_SIZE:]
    for member_id, event_id in now:
        work.touch(member_id, event_id, "guard")
    if later:
        work.writer.enqueue_members(
            [
                PendingMember(member_id, "guard", work.ledger.root_of(event_id), event_id)
                for member_id, event_id in later
            ]
        )
        work.is_queueing = True


def reject_staged(work: Work, change: RejectStaged) -> None:
    """Let the members keep what they hold until the directory says something new about them."""
    changes = _named(work, change, with_rejected=False)
    events = _tell(work, changes, "member.staged_rejected")
    if changes:
        work.writer.put_staged(
            [
                replace(staged, is_rejected=True, event_id=staged.event_id or events[staged.member_id])
                for staged in changes
            ]
        )


def _named(work: Work, change: AllowStaged | RejectStaged, *, with_rejected: bool) -> list[StagedChange]:
    """The staged changes that are meant. For whom nothing is staged, nothing is to be said."""
    if all(known.directory_id != change.directory_id for known in work.directories()):
        raise Refusal(
            RefusalCode.NOT_FOUND, f"there is no directory '{change.directory_id}' in this organisation"
        )
    named = None if change.members is None else set(change.members)
    return [
        staged
        for staged in work.writer.staged_changes(change.directory_id)
        if (named is None or staged.member_id in named) and (with_rejected or not staged.is_rejected)
    ]


def _tell(work: Work, changes: Sequence[StagedChange], action: str) -> dict[MemberId, EventId]:
    """Record for each what is decided, as a consequence of what staged it."""
    records = work.writer.member_records([staged.member_id for staged in changes], with_attributes=False)
    work.adopt_all([staged.event_id for staged in changes if staged.event_id is not None])
    work.shown_members.update(records)
    return {
        staged.member_id: work.ledger.record(
            action,
            (
                Target("member", staged.member_id, pii=records[staged.member_id].pii_ref),
                Target("directory", staged.directory_id, role="object"),
            ),
            parent=staged.event_id,
        )
        for staged in changes
    }
