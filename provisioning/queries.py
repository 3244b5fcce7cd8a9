"""Questions about access, answered from one consistent view: may somebody, why, who had what when, how many seats."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from audit.body import EventBody, parse_body
from audit.chains import walk_chain
from audit.errors import ChainError
from directory.changes import AttributeMatch
from directory.ids import EventId, MemberId, OrganisationId, RoleId, RuleId, ScopeId
from mappings.access import resolve_access
from mappings.decisions import Decision, DecisionIndex, decide
from mappings.explain import Explanation, explain
from mappings.lint import Finding, lint_rules
from provisioning.models import ModelCache, OrganisationModel
from provisioning.ports import Reader
from provisioning.seats import seat_limit
from provisioning.state import HeldInterval, OrganisationState, Seat

RECORDS_AT_ONCE = 1000


def build_index(
    state: OrganisationState,
    model: OrganisationModel,
    grants: Iterable[tuple[MemberId, RoleId, ScopeId]],
) -> DecisionIndex:
    """The decision index of an organisation, or of one member when only that member's grants are given."""
    return DecisionIndex(
        roles=model.roles,
        permissions=model.catalogue.permissions,
        conditions=model.catalogue.conditions,
        owner_permissions=model.catalogue.owner_permissions,
        owner=state.owner_id,
        scopes=model.scopes,
        grants=grants,
        access_version=state.access_version,
    )


class Decisions:
    """Answers decisions from memory. An index is built on the first question after access has moved."""

    def __init__(self, models: ModelCache, capacity: int = 32) -> None:
        self._models = models
        self._capacity = capacity
        self._indexes: dict[OrganisationId, DecisionIndex] = {}
        self._lock = Lock()

    def decide(self, reader: Reader, member_id: MemberId, permission: str, resource_id: ScopeId) -> Decision:
        """May the member do this there? Reads the organisation's row for its access version, and no more."""
        return decide(self.index(reader), member_id, permission, resource_id)

    def index(self, reader: Reader) -> DecisionIndex:
        state = reader.organisation()
        with self._lock:
            kept = self._indexes.get(state.organisation_id)
        if kept is not None and kept.access_version == state.access_version:
            return kept
        index = build_index(state, self._models.get(reader, state), reader.open_grants())
        with self._lock:
            self._indexes.pop(state.organisation_id, None)
            while len(self._indexes) >= self._capacity:
                self._indexes.pop(next(iter(self._indexes)))
            self._indexes[state.organisation_id] = index
        return index


def decide_once(
    reader: Reader, models: ModelCache, member_id: MemberId, permission: str, resource_id: ScopeId
) -> Decision:
    """One decision from the member's own grants, without an index of the whole organisation."""
    state = reader.organisation()
    held = reader.grants_of(member_id)
    grants = [(member_id, open_grant.grant.role, open_grant.grant.scope_id) for open_grant in held]
    return decide(build_index(state, models.get(reader, state), grants), member_id, permission, resource_id)


@dataclass(frozen=True, slots=True)
class Answer:
    """An explanation and, for a grant that is held, the events that led to it, the latest first."""

    explanation: Explanation
    chain: tuple[EventBody, ...]


def explain_access(
    reader: Reader,
    models: ModelCache,
    member_id: MemberId,
    permission: str,
    resource_id: ScopeId,
    *,
    now: datetime,
) -> Answer | None:
    """Walk from the answer to its cause, or for a denial to what is missing. None for an unknown member."""
    record = reader.member_records([member_id]).get(member_id)
    if record is None:
        return None
    state = reader.organisation()
    explanation = explain(
        models.get(reader, state).access,
        record.facts,
        permission,
        resource_id,
        now=now,
        access_version=state.access_version,
        is_waiting=record.seat is Seat.WAITING,
        held=[held.grant for held in record.held] if record.is_held or record.staged is not None else (),
    )
    pair = explanation.decision.grant
    opened = [
        interval.opened_event
        for interval in reader.intervals_of(member_id)
        if interval.closed_at is None and interval.grant.pair == pair
    ]
    return Answer(explanation, event_chain(reader, opened[0]) if opened else ())


def event_chain(reader: Reader, event_id: EventId) -> tuple[EventBody, ...]:
    """The event and its causes up to the root; as far as they are still kept."""
    seen: list[EventBody] = []

    def look_up(wanted: str) -> EventBody | None:
        body = reader.event_bodies([EventId(wanted)]).get(EventId(wanted))
        if body is None:
            return None
        seen.append(parse_body(body))
        return seen[-1]

    try:
        return walk_chain(event_id, look_up)
    except ChainError:
        return tuple(seen)


@dataclass(frozen=True, slots=True)
class SeatReport:
    """`limit` None is unlimited. `forecast` is what would be occupied if everybody waiting were seated."""

    plan: str | None
    policy: str
    limit: int | None
    seated: int
    reserved: int
    waiting: tuple[MemberId, ...]
    waiting_count: int

    @property
    def occupied(self) -> int:
        return self.seated + self.reserved

    @property
    def forecast(self) -> int:
        return self.occupied + self.waiting_count

    @property
    def over(self) -> int:
        """Seats beyond the limit, after a downgrade; nobody is evicted."""
        return 0 if self.limit is None else max(0, self.occupied - self.limit)


def seat_report(reader: Reader, *, shown: int = 100) -> SeatReport:
    state = reader.organisation()
    return SeatReport(
        plan=state.plan,
        policy=state.seat_policy.value,
        limit=seat_limit(state, reader.catalogue()),
        seated=state.seated,
        reserved=state.reserved,
        waiting=tuple(reader.waiting(shown, ())),
        waiting_count=reader.count_waiting(),
    )


@dataclass(frozen=True, slots=True)
class AccessDifference:
    """Grants that were held at only one of two moments."""

    opened: tuple[HeldInterval, ...]
    closed: tuple[HeldInterval, ...]


def access_as_of(
    reader: Reader, moment: datetime, *, keep: Callable[[HeldInterval], bool] = lambda _: True
) -> list[HeldInterval]:
    """Who held what at the moment, each with the events that opened and closed it, by member, role and scope."""
    held = [interval for interval in reader.intervals_at(moment) if keep(interval)]
    return sorted(held, key=_interval_key)


def access_difference(reader: Reader, earlier: datetime, later: datetime) -> AccessDifference:
    """What was held at one moment and not at the other."""
    before = {
        (interval.member_id, interval.grant.pair): interval for interval in reader.intervals_at(earlier)
    }
    after = {(interval.member_id, interval.grant.pair): interval for interval in reader.intervals_at(later)}
    return AccessDifference(
        opened=tuple(sorted((after[key] for key in after.keys() - before.keys()), key=_interval_key)),
        closed=tuple(sorted((before[key] for key in before.keys() - after.keys()), key=_interval_key)),
    )


def _interval_key(interval: HeldInterval) -> tuple[str, str, str]:
    return (interval.member_id, interval.grant.role, interval.grant.scope_id)


def lint(reader: Reader, models: ModelCache, *, now: datetime) -> tuple[Finding, ...]:
    """Dead, shadowed, dangling and escalating rules. Reads everybody once when a rule looks at attributes."""
    state = reader.organisation()
    model = models.get(reader, state)
    attribute_rules = [rule for rule in model.inputs.rules if isinstance(rule.match, AttributeMatch)]
    matched = Counter[RuleId](dict.fromkeys((rule.rule_id for rule in attribute_rules), 0))
    people = 0
    after: MemberId | None = None
    while ids := reader.member_ids(after, RECORDS_AT_ONCE):
        after = ids[-1]
        people += len(ids)
        if attribute_rules:
            for record in reader.member_records(ids).values():
                given = resolve_access(model.access, record.facts, now=now).grants
                rules = {grant.provenance.rule_id for grant in given if grant.provenance.rule_id}
                matched.update(rules & matched.keys())
    return lint_rules(
        model.access, people_in_group=reader.group_sizes(), people=people, matched_people=matched
    )
