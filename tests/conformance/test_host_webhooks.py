"""Webhooks to hosts on both databases: a delivery for each organisation, also for those that come later."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from directory.ids import EventId, OrganisationId, StreamId
from provisioning.host_webhooks import FORMER, HOST_EVENTS, SIGNING, HostWebhook
from provisioning.state import EventRow
from provisioning.streaming import DeadLetter, DueLane
from storage.engine import Database, open_database
from storage.host_webhooks import SQLHostWebhookStore
from storage.rotation import count_keys, reseal
from storage.secrets import KeyRing
from tests.conformance.builders import MINUT, MINUTE, NOW, Tenant, make_tenant, new_id, put_environment
from tests.conformance.conftest import NewDatabase
from tests.sealed import seal

LEASE = NOW + MINUTE


@pytest.fixture
def store(fresh_database: Database) -> SQLHostWebhookStore:
    return SQLHostWebhookStore(fresh_database)


def add(store: SQLHostWebhookStore, name: str = "host", *, from_first: bool = True) -> HostWebhook:
    webhook = HostWebhook(
        webhook_id=StreamId(new_id()),
        environment_id=MINUT,
        name=name,
        url="https://host.example/usher",
        events=tuple(HOST_EVENTS),
        state="active",
        reason="",
        version=1,
        created_at=NOW,
        fingerprints={SIGNING: "abcd"},
    )
    store.add(webhook, secrets={SIGNING: b"canary"}, token_sha256=name.encode(), from_first=from_first)
    return webhook


def append(tenant: Tenant, number: int) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.append_events(
            [EventRow(EventId(new_id()), NOW, "role.granted", "", b"{}") for _ in range(number)]
        )


def test_a_webhook_is_kept_whole_and_its_secrets_are_sealed(store: SQLHostWebhookStore) -> None:
    zeta, alpha = add(store, "Zeta"), add(store, "alpha")

    assert store.webhooks() == [alpha, zeta]
    assert store.webhook(zeta.webhook_id) == zeta
    assert store.secrets(zeta.webhook_id) == {SIGNING: b"canary"}
    changed = replace(zeta, name="Zoe", version=2, events=("seats",), url="https://other.example:8443/")
    store.put(changed, LEASE, secrets={SIGNING: b"new", FORMER: b"canary"}, token_sha256=b"token")
    assert store.webhook(zeta.webhook_id) == changed
    assert store.secrets(zeta.webhook_id) == {SIGNING: b"new", FORMER: b"canary"}
    assert store.webhook_of_token(b"token") == changed
    assert store.webhook_of_token(b"Zeta") is None
    store.put(replace(changed, state="paused"), LEASE)
    assert store.webhook_of_token(b"token") is None
    store.remove(zeta.webhook_id, LEASE)
    assert (store.webhooks(), store.secrets(zeta.webhook_id)) == ([alpha], {})


def test_a_rotation_of_the_key_seals_the_secrets_anew(new_database: NewDatabase) -> None:
    url, keys = new_database(), {"k1": bytes(range(32)), "k2": bytes(32)}
    with closing(open_database(url, key_ring=KeyRing(keys, "k1"))) as before:
        put_environment(before)
        webhook = add(SQLHostWebhookStore(before))

    with closing(open_database(url, key_ring=KeyRing(keys, "k2"))) as rotating:
        assert reseal(rotating).values == 1
        assert count_keys(rotating) == {"k2": 1}
        assert SQLHostWebhookStore(rotating).secrets(webhook.webhook_id) == {SIGNING: b"canary"}


def test_each_organisation_has_a_delivery_and_new_ones_begin_at_their_first_event(
    fresh_database: Database, store: SQLHostWebhookStore
) -> None:
    first = make_tenant(fresh_database)
    append(first, 3)
    seal(fresh_database, first.organisation_id, NOW)
    here, at_first = add(store, "here", from_first=False), add(store, "at first")
    assert store.include_new(NOW) == 0

    second = make_tenant(fresh_database)
    assert store.include_new(NOW) == 2
    assert store.include_new(NOW) == 0
    append(second, 2)
    seal(fresh_database, second.organisation_id, NOW)

    due = {(one.stream_id, one.organisation_id) for one in store.due(NOW, 10)}
    assert due == {
        (here.webhook_id, second.organisation_id),
        (at_first.webhook_id, first.organisation_id),
        (at_first.webhook_id, second.organisation_id),
    }
    progress = store.progress(at_first.webhook_id)
    assert (progress.organisations, progress.behind, progress.lag_events, progress.since) == (2, 2, 5, NOW)
    assert [one.organisation_id for one in store.furthest_behind(at_first.webhook_id, 9)] == [
        first.organisation_id,
        second.organisation_id,
    ]
    heads = {first.organisation_id: 2, second.organisation_id: 1}
    assert dict(store.heads(here.webhook_id, None, 10)) == heads
    (lowest,) = store.heads(here.webhook_id, None, 1)
    assert store.heads(here.webhook_id, lowest[0], 10) == [(max(heads), heads[max(heads)])]
    assert store.serves(here.webhook_id, first.organisation_id)
    assert not store.serves(here.webhook_id, OrganisationId(new_id()))


def test_a_delivery_is_held_by_one_and_only_while_the_webhook_is_active(
    fresh_database: Database, store: SQLHostWebhookStore
) -> None:
    tenant = make_tenant(fresh_database)
    append(tenant, 3)
    seal(fresh_database, tenant.organisation_id, NOW)
    webhook = add(store)
    due = DueLane(webhook.webhook_id, "live", webhook.host, tenant.organisation_id)

    held = store.claim(due, "one", NOW, LEASE)

    assert held is not None
    assert (held.stream.organisation_id, held.stream.kind) == (tenant.organisation_id, "host_webhook")
    assert held.secrets == {SIGNING: b"canary"}
    assert store.claim(due, "two", NOW, LEASE) is None
    moved = replace(held.lane, position=1, batch_last=2, attempts=4, trouble="answered 500")
    assert store.save(moved, lease_until=None)
    stopped = store.stop(webhook.webhook_id, "error", "answered 410", NOW)
    assert stopped is not None
    assert (stopped.state, stopped.reason) == ("error", "answered 410")
    assert store.stop(webhook.webhook_id, "error", "again", NOW) is None
    assert store.claim(due, "two", NOW, LEASE) is None
    assert store.progress(webhook.webhook_id).attempts == 4
    store.wake(webhook.webhook_id, LEASE)
    assert store.progress(webhook.webhook_id).trouble == ""
    assert store.finish(moved)


def test_events_come_without_names_and_with_what_the_host_calls_its_scopes(
    fresh_database: Database, store: SQLHostWebhookStore
) -> None:
    tenant = make_tenant(fresh_database)
    with tenant.unit_of_work.read() as reader:
        state = reader.organisation()

    facts = store.facts(tenant.organisation_id, [state.root_scope_id, new_id()])

    assert facts.access_version == state.access_version
    assert facts.scopes == {state.root_scope_id: "organisation"}


def test_dead_letters_are_kept_once_and_fetching_is_noted_once_a_day(
    fresh_database: Database, store: SQLHostWebhookStore
) -> None:
    first, second = make_tenant(fresh_database), make_tenant(fresh_database)
    webhook = add(store)
    letter = DeadLetter(webhook.webhook_id, 7, new_id(), "answered 400", NOW)

    assert store.insert_dead_letter(letter, first.organisation_id)
    assert store.insert_dead_letter(letter, second.organisation_id)
    assert not store.insert_dead_letter(letter, first.organisation_id)
    noted = [
        store.note_fetched(webhook.webhook_id, first.organisation_id, NOW + timedelta(days=days))
        for days in (0, 0, 1)
    ]
    assert noted == [True, False, True]
