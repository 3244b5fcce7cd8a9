"""Webhooks to host applications as the operator handles them, and what their deliveries meet with.

A webhook is an environment's, so what becomes of it is an event of the service's own log.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from audit.actors import Actor, ApiKeyActor, SystemActor
from audit.events import Cause, Event, FieldChange, Outcome, Reason, Target
from audit.render import render_event
from directory.facts import name_key
from directory.ids import EnvironmentId, EventId, OrganisationId, StreamId
from provisioning.host_webhooks import FORMER, HOST_WEBHOOK, SIGNING, HostWebhook, find_host_webhook_faults
from provisioning.state import EventRow
from provisioning.stream_settings import shown_destination
from provisioning.streaming import ACTIVE, ERROR, PAUSED, DeadLetter, StoredStream
from service.administration import Administration
from service.errors import InputError, NotFoundError
from service.metrics import Metrics
from service.outside import open_outgoing
from service.stream_notes import count_attempt, tell_failed, tell_recovered, tell_stuck
from service.wiring import Wiring
from storage.host_webhooks import SQLHostWebhookStore
from streams.engine import Dead
from streams.host import HostWebhookSender
from streams.outcomes import Outcome as Answered
from streams.posting import Poster
from streams.records import Batch, ProbeRecord
from streams.webhook import render_secret

TOKEN_PREFIX = "uph_"  # noqa: S105 - what a token begins with
_KEY_BYTES = 32
_OF_NOBODY = OrganisationId("")


@dataclass(frozen=True, slots=True)
class NewHostWebhook:
    """What an operator says of a webhook."""

    name: str
    environment: str
    url: str
    events: Sequence[str]
    from_first: bool = False


@dataclass(frozen=True, slots=True)
class AddedHostWebhook:
    """A new webhook with what the host gets; nobody can show either again."""

    webhook: HostWebhook
    signing_secret: str = field(repr=False)
    token: str = field(repr=False)


class HostWebhooks:
    """Webhooks of one service, as one actor works on them."""

    def __init__(self, wiring: Wiring, actor: Actor) -> None:
        self._wiring = wiring
        self._actor = actor
        self.store = SQLHostWebhookStore(wiring.database)

    def find(self, name: str) -> HostWebhook:
        """By id, or by name. Raises NotFoundError."""
        for one in self.store.webhooks():
            if one.webhook_id == name.lower() or name_key(one.name) == name_key(name.strip()):
                return one
        raise NotFoundError(f"there is no webhook '{name}'; see 'usher webhook list'")

    def add(self, new: NewHostWebhook) -> AddedHostWebhook:
        """Make a webhook. Raises: InputError with every fault; NotFoundError for the environment."""
        wiring = self._wiring
        environment = wiring.store.environment(EnvironmentId(new.environment))
        if environment is None:
            raise NotFoundError(f"there is no environment '{new.environment}'; see 'usher environment list'")
        secret, token = _make_secret(), f"{TOKEN_PREFIX}{os.urandom(_KEY_BYTES).hex()}"
        webhook = HostWebhook(
            webhook_id=StreamId(wiring.mint.id()),
            environment_id=environment.environment_id,
            name=new.name.strip(),
            url=new.url,
            events=tuple(dict.fromkeys(new.events)),
            state=ACTIVE,
            reason="",
            version=1,
            created_at=wiring.clock(),
            fingerprints={SIGNING: _fingerprint(secret), "token": _fingerprint(token)},
        )
        self._check(webhook)
        self.store.add(
            webhook,
            secrets={SIGNING: secret.encode()},
            token_sha256=hashlib.sha256(token.encode()).digest(),
            from_first=new.from_first,
        )
        self._record("stream.created", webhook, *self._changes(None, webhook), secrets=(SIGNING, "token"))
        return AddedHostWebhook(webhook, secret, token)

    def change(self, webhook: HostWebhook, *, url: str = "", events: Sequence[str] = ()) -> HostWebhook:
        """Send elsewhere, or other events; what is empty stays. Raises InputError."""
        changed = replace(
            webhook,
            url=url or webhook.url,
            events=tuple(dict.fromkeys(events)) or webhook.events,
            version=webhook.version + 1,
        )
        if (changed.url, changed.events) == (webhook.url, webhook.events):
            return webhook
        self._check(changed)
        self.store.put(changed, self._wiring.clock())
        self._record("stream.updated", changed, *self._changes(webhook, changed))
        return changed

    def rotate_secret(self, webhook: HostWebhook) -> str:
        """Make a new signing secret; the one before signs too, until `forget_former_secret`."""
        secret, kept = _make_secret(), self.store.secrets(webhook.webhook_id)
        secrets = {SIGNING: secret.encode(), FORMER: kept[SIGNING]}
        self._put_secrets(webhook, secrets, (SIGNING, FORMER))
        return secret

    def forget_former_secret(self, webhook: HostWebhook) -> None:
        """Sign by the new secret alone. Raises InputError when there is one only."""
        kept = self.store.secrets(webhook.webhook_id)
        if FORMER not in kept:
            raise InputError([f"the webhook '{webhook.name}' has one signing secret only"])
        self._put_secrets(webhook, {SIGNING: kept[SIGNING]}, (FORMER,))

    def pause(self, webhook: HostWebhook) -> None:
        """Send nothing; one that is paused stays so."""
        if webhook.state != PAUSED:
            self._move(webhook, PAUSED, "stream.paused")

    def resume(self, webhook: HostWebhook) -> None:
        """Go on at once, behind a pause or an error."""
        self.store.wake(webhook.webhook_id, self._wiring.clock())
        if webhook.state != ACTIVE:
            self._move(webhook, ACTIVE, "stream.resumed")

    def remove(self, webhook: HostWebhook) -> None:
        """Send nothing any more, and destroy its secrets."""
        self.store.remove(webhook.webhook_id, self._wiring.clock())
        self._record("stream.removed", webhook, FieldChange("state", webhook.state, None))

    def probe(self, webhook: HostWebhook) -> Answered:
        """Send a message that is a test; what came back."""
        wiring = self._wiring
        event = self._record("stream.tested", webhook)
        batch = Batch(webhook.webhook_id, (ProbeRecord(event.body, event.event_id, wiring.clock()),))
        with open_outgoing(wiring.settings) as outgoing:
            sender = HostWebhookSender(
                Poster(outgoing, wiring.clock),
                wiring.clock,
                webhook.as_stream(_OF_NOBODY),
                self.store.secrets(webhook.webhook_id),
                self.store.facts,
            )
            return sender.send(batch)

    def _check(self, webhook: HostWebhook) -> None:
        if faults := find_host_webhook_faults(webhook, self.store.webhooks()):
            raise InputError(faults)

    def _put_secrets(self, webhook: HostWebhook, secrets: dict[str, bytes], changed: tuple[str, ...]) -> None:
        others = {
            name: value for name, value in webhook.fingerprints.items() if name not in {SIGNING, FORMER}
        }
        fingerprints = {name: _fingerprint(value.decode()) for name, value in secrets.items()}
        moved = replace(webhook, fingerprints=others | fingerprints, version=webhook.version + 1)
        self.store.put(moved, self._wiring.clock(), secrets=secrets)
        self._record("stream.updated", moved, *self._changes(webhook, moved), secrets=changed)

    def _move(self, webhook: HostWebhook, state: str, action: str) -> None:
        self.store.put(replace(webhook, state=state, reason=""), self._wiring.clock())
        self._record(action, webhook, FieldChange("state", webhook.state, state))

    def _changes(self, before: HostWebhook | None, after: HostWebhook) -> tuple[FieldChange, ...]:
        return (
            FieldChange("environment", None, after.environment_id),
            FieldChange("destination", _shown(before) if before else None, _shown(after)),
            FieldChange("events", before.events if before else None, after.events),
            FieldChange("version", before.version if before else None, after.version),
        )

    def _record(
        self, action: str, webhook: HostWebhook, *changes: FieldChange, secrets: tuple[str, ...] = ()
    ) -> EventRow:
        if secrets:
            changes = (*changes, FieldChange("secrets_changed", None, secrets))
        return record_of_webhook(self._wiring, self._actor, action, webhook.as_stream(_OF_NOBODY), changes)


class HostWebhookNotes:
    """`streams.delivery.Notes` for webhooks."""

    def __init__(self, wiring: Wiring, store: SQLHostWebhookStore, metrics: Metrics) -> None:
        self._wiring = wiring
        self._store = store
        self._metrics = metrics

    def tried(self, stream: StoredStream, batch: Batch, outcome: Answered) -> None:
        count_attempt(self._metrics, stream, batch, outcome)

    def dead(self, stream: StoredStream, dead: Dead) -> None:
        self._metrics.stream_dead_letters.labels(stream.kind).inc()
        letter = DeadLetter(
            stream.stream_id, dead.leaf_index, dead.event_id, dead.reason, self._wiring.clock()
        )
        if self._store.insert_dead_letter(letter, stream.organisation_id):
            changes = (
                FieldChange("leaf_index", None, dead.leaf_index),
                FieldChange("event_id", None, dead.event_id),
                FieldChange("reason", None, dead.reason),
            )
            self._say("stream.dead_lettered", stream, changes)

    def failed(self, stream: StoredStream, reason: str) -> None:
        tell_failed(stream, reason)
        if self._store.stop(stream.stream_id, ERROR, reason, self._wiring.clock()) is not None:
            changes = (FieldChange("state", ACTIVE, ERROR), FieldChange("reason", None, reason))
            self._say("stream.failed", stream, changes, Reason("stream_refused"))

    def stuck(self, stream: StoredStream, trouble: str) -> None:
        tell_stuck(stream, trouble)
        changes = (FieldChange("reason", None, trouble),)
        self._say("stream.stuck", stream, changes, Reason("stream_not_taken"))

    def recovered(self, stream: StoredStream) -> None:
        tell_recovered(stream)
        self._say("stream.recovered", stream, ())

    def _say(
        self,
        action: str,
        stream: StoredStream,
        changes: tuple[FieldChange, ...],
        reason: Reason | None = None,
    ) -> None:
        record_of_webhook(self._wiring, SystemActor("streams"), action, stream, changes, reason)


def record_of_webhook(
    wiring: Wiring,
    actor: Actor,
    action: str,
    stream: StoredStream,
    changes: tuple[FieldChange, ...],
    reason: Reason | None = None,
) -> EventRow:
    """Write an event of a webhook into the service's own log; it names the organisation where it is about one."""
    now = wiring.clock()
    targets = [Target(HOST_WEBHOOK, stream.stream_id)]
    if stream.organisation_id:
        targets.append(Target("organisation", stream.organisation_id, role="object"))
    event = Event(
        id=EventId(wiring.mint.id()),
        organisation=_OF_NOBODY,
        time=now,
        salt=wiring.mint.salt(),
        action=action,
        outcome=Outcome.SUCCESS if reason is None else Outcome.FAILURE,
        actor=actor,
        targets=tuple(targets),
        cause=Cause("system" if isinstance(actor, SystemActor) else "operator"),
        changes=(FieldChange("name", None, stream.name), *changes),
        reason=reason,
    )
    row = EventRow(event.id, now, event.action, stream.stream_id, render_event(event))
    wiring.events.append([row])
    return row


def note_host_pull(wiring: Wiring) -> Callable[[StoredStream, int], None]:
    """Writes into an organisation's log that the host fetched from it."""

    def note(stream: StoredStream, after: int) -> None:
        administration = Administration(
            wiring, stream.organisation_id, ApiKeyActor(stream.stream_id), kind="api_request"
        )
        administration.record(
            "log.read",
            (FieldChange("query", None, HOST_WEBHOOK), FieldChange("first", None, after + 1)),
            [Target(HOST_WEBHOOK, stream.stream_id)],
        )

    return note


def _shown(webhook: HostWebhook) -> str:
    return shown_destination(HOST_WEBHOOK, {"url": webhook.url})


def _make_secret() -> str:
    return render_secret(os.urandom(_KEY_BYTES))


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[-4:]
