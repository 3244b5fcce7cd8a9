"""Webhooks to the host application: one for an environment, told what changes in each of its organisations.

They are deliveries like those of streams: order is kept for each organisation, by its own positions.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from directory.facts import name_key
from directory.ids import EnvironmentId, OrganisationId, StreamId
from provisioning.stream_settings import find_host, find_stream_faults
from provisioning.streaming import DeadLetter, Lane, LaneStore, StoredStream

HOST_WEBHOOK: Final = "host_webhook"
"""What such deliveries are called where kinds of streams are named."""

SIGNING: Final = "signing_secret"
FORMER: Final = "second_signing_secret"
"""The secret before; it signs too, until the host has learnt the new one."""

MOST_WEBHOOKS: Final = 20
"""Webhooks of one environment."""

_LONGEST_NAME: Final = 200

HOST_EVENTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "members": (
            "block.lifted",
            "block.set",
            "member.created",
            "member.deactivated",
            "member.deleted",
            "member.linked",
            "member.reactivated",
            "member.updated",
        ),
        "grants": (
            "override.ended",
            "override.set",
            "owner.transferred",
            "role.granted",
            "role.revoked",
        ),
        "seats": ("seat.assigned", "seat.limit_changed", "seat.released", "seat.waiting"),
        "scopes": ("scope.created", "scope.deleted", "scope.updated"),
    }
)
"""What a host may be told, by groups. Closed: an action of a later release is not sent to who does not know it."""


@dataclass(frozen=True, slots=True)
class HostWebhook:
    """Where a host is told. `events` are groups of `HOST_EVENTS`; `state` is as that of a stream."""

    webhook_id: StreamId
    environment_id: EnvironmentId
    name: str
    url: str
    events: tuple[str, ...]
    state: str
    reason: str
    version: int
    created_at: datetime
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return find_host({"url": self.url})

    def as_stream(self, organisation_id: OrganisationId) -> StoredStream:
        """As deliveries for one organisation know it."""
        return StoredStream(
            stream_id=self.webhook_id,
            organisation_id=organisation_id,
            name=self.name,
            kind=HOST_WEBHOOK,
            settings={"url": self.url, "events": ",".join(self.events)},
            host=self.host,
            state=self.state,
            reason=self.reason,
            version=self.version,
            created_at=self.created_at,
            fingerprints=self.fingerprints,
        )


class HostFacts(NamedTuple):
    """What is told beside events: the organisation's version of access as it is now, and the host's ids of scopes."""

    access_version: int
    scopes: Mapping[str, str]


class HostProgress(NamedTuple):
    """How far a webhook is, over all organisations. `behind` are those with something to be told."""

    organisations: int
    behind: int
    lag_events: int
    since: datetime | None
    attempts: int
    trouble: str


class HostWebhookStore(LaneStore, Protocol):
    """Webhooks of all environments, and their deliveries. Each call is a transaction of its own."""

    def webhooks(self) -> list[HostWebhook]:
        """By name."""

    def webhook(self, webhook_id: StreamId) -> HostWebhook | None: ...

    def add(
        self,
        webhook: HostWebhook,
        *,
        secrets: Mapping[str, bytes],
        token_sha256: bytes,
        from_first: bool,
    ) -> None:
        """Make it, and begin for every organisation there is: at its first event, or behind what is sealed now."""

    def put(
        self,
        webhook: HostWebhook,
        at: datetime,
        *,
        secrets: Mapping[str, bytes] | None = None,
        token_sha256: bytes | None = None,
    ) -> None:
        """Change it; None leaves secrets and token as they are."""

    def secrets(self, webhook_id: StreamId) -> dict[str, bytes]: ...

    def include_new(self, at: datetime) -> int:
        """Begin, at their first event, for organisations that were made since; how many."""

    def wake(self, webhook_id: StreamId, at: datetime) -> None:
        """Let all deliveries be due, without the memory of failures."""

    def remove(self, webhook_id: StreamId, at: datetime) -> None:
        """Destroy its secrets and forget its deliveries."""

    def stop(self, webhook_id: StreamId, state: str, reason: str, at: datetime) -> HostWebhook | None:
        """Give an active webhook another state. None: it was not active."""

    def progress(self, webhook_id: StreamId) -> HostProgress: ...

    def furthest_behind(self, webhook_id: StreamId, limit: int) -> list[Lane]:
        """The deliveries with the most failures, then those with the most to be told."""

    def insert_dead_letter(self, letter: DeadLetter, organisation_id: OrganisationId) -> bool:
        """False when it is kept already."""

    def webhook_of_token(self, digest: bytes) -> HostWebhook | None:
        """The webhook whose events are fetched with the token of this SHA-256, when it is active."""

    def serves(self, webhook_id: StreamId, organisation_id: OrganisationId) -> bool:
        """Whether the organisation is one of those that the webhook is about."""

    def heads(
        self, webhook_id: StreamId, after: OrganisationId | None, limit: int
    ) -> list[tuple[OrganisationId, int]]:
        """Organisations by id, behind one, each with its last position."""

    def note_fetched(self, webhook_id: StreamId, organisation_id: OrganisationId, at: datetime) -> bool:
        """Whether it is the first time on this day (UTC)."""

    def facts(self, organisation_id: OrganisationId, scope_ids: Collection[str]) -> HostFacts: ...


def actions_of(events: Iterable[str]) -> frozenset[str]:
    """The actions of some groups."""
    return frozenset(action for group in events for action in HOST_EVENTS[group])


def find_host_webhook_faults(webhook: HostWebhook, known: Sequence[HostWebhook]) -> list[str]:
    """Everything that keeps a webhook from being one, in words. `known` are those of all environments."""
    others = [one for one in known if one.webhook_id != webhook.webhook_id]
    faults: list[str] = []
    if not 0 < len(webhook.name) <= _LONGEST_NAME or not webhook.name.isprintable():
        faults.append(f"a webhook's name has 1 to {_LONGEST_NAME} printable characters")
    if name_key(webhook.name) in {name_key(one.name) for one in others}:
        faults.append(f"a webhook named '{webhook.name}' exists; choose another name")
    if sum(one.environment_id == webhook.environment_id for one in others) >= MOST_WEBHOOKS:
        faults.append(f"the environment has {MOST_WEBHOOKS} webhooks, the most there may be")
    faults += find_stream_faults("webhook", {"url": webhook.url}, {SIGNING: b"kept"})
    unknown = [group for group in webhook.events if group not in HOST_EVENTS]
    if unknown or not webhook.events:
        faults.append(
            f"there are no events '{', '.join(unknown)[:80]}'; name some of {', '.join(HOST_EVENTS)}"
        )
    return faults
