"""Webhooks to hosts: what may be said about them."""

from dataclasses import replace

import pytest

from directory.ids import EnvironmentId, OrganisationId, StreamId
from provisioning.host_webhooks import (
    HOST_EVENTS,
    MOST_WEBHOOKS,
    HostWebhook,
    actions_of,
    find_host_webhook_faults,
)
from tests.conformance.builders import NOW

WEBHOOK = HostWebhook(
    StreamId("w"),
    EnvironmentId("minut"),
    "host",
    "https://host.example/usher",
    ("members",),
    "active",
    "",
    1,
    NOW,
)


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        (replace(WEBHOOK, name=""), "1 to 200 printable"),
        (replace(WEBHOOK, name="x" * 201), "1 to 200 printable"),
        (replace(WEBHOOK, name="a\nb"), "1 to 200 printable"),
        (replace(WEBHOOK, url="http://host.example"), "https://"),
        (replace(WEBHOOK, url="https://host.example/?key=canary"), "question mark"),
        (replace(WEBHOOK, events=()), "name some of members, grants, seats, scopes"),
        (replace(WEBHOOK, events=("members", "people")), "no events 'people'"),
    ],
)
def test_settings_have_forms(webhook: HostWebhook, words: str) -> None:
    assert any(words in fault for fault in find_host_webhook_faults(webhook, []))


def test_a_name_is_free_and_there_are_only_so_many() -> None:
    others = [replace(WEBHOOK, webhook_id=StreamId(f"{n}"), name=f"host {n}") for n in range(MOST_WEBHOOKS)]

    assert find_host_webhook_faults(WEBHOOK, [WEBHOOK]) == []
    assert "the most there may be" in str(find_host_webhook_faults(WEBHOOK, others))
    assert "named 'HOST 3' exists" in str(find_host_webhook_faults(replace(WEBHOOK, name="HOST 3"), others))
    elsewhere = replace(WEBHOOK, environment_id=EnvironmentId("other"))
    assert find_host_webhook_faults(elsewhere, others) == []


def test_deliveries_know_it_as_a_stream_of_one_organisation() -> None:
    stream = WEBHOOK.as_stream(OrganisationId("o"))

    assert (stream.organisation_id, stream.host, stream.kind) == ("o", "host.example:443", "host_webhook")
    assert actions_of(["seats"]) == set(HOST_EVENTS["seats"])
