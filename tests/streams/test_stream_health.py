"""What watches streams: figures of few labels, and the doctor's word on each that needs somebody."""

import pytest
from prometheus_client import generate_latest

from directory.ids import StreamId
from directory.stream_changes import PauseStream, PutStream, ResumeStream
from provisioning.host_webhooks import HOST_EVENTS
from service import doctor
from service.administration import Administration
from service.app import create_app
from service.doctor import Finding, Level
from service.host_webhooks import HostWebhooks, NewHostWebhook
from service.metrics import Metrics
from service.stream_health import StreamTrouble, find_stream_troubles
from service.streams import StreamSender, remove_stream
from streams.engine import TELL_AFTER
from streams.webhook import render_secret
from tests.sealed import seal_log
from tests.service.worlds import OPERATOR, HandClock
from tests.streams.receivers import HTTPSReceiver, Reply


@pytest.fixture
def stream_id(world: Administration, receiver: HTTPSReceiver) -> StreamId:
    made = StreamId(world.wiring.mint.id())
    secrets = {"signing_secret": render_secret(b"k" * 32).encode()}
    world.apply([PutStream(made, "siem", "webhook", {"url": receiver.url}, secrets, -1)])
    seal_log(world.wiring, world.organisation_id)
    return made


def add_puller(world: Administration) -> StreamId:
    made = StreamId(world.wiring.mint.id())
    world.apply([PutStream(made, "puller", "pull", {}, {"token": b"t"}, -1)])
    return made


def pump(world: Administration, metrics: Metrics | None = None) -> None:
    sender = StreamSender(world.wiring, metrics or Metrics())
    sender.pump()
    sender.wait()
    sender.close()


def troubles(world: Administration) -> list[StreamTrouble]:
    return list(find_stream_troubles(world.wiring))


def test_figures_have_kinds_and_states_for_labels_and_no_names(
    world: Administration, receiver: HTTPSReceiver, clock: HandClock, stream_id: StreamId
) -> None:
    add_puller(world)
    new = NewHostWebhook("host", "minut", receiver.url, tuple(HOST_EVENTS), from_first=True)
    HostWebhooks(world.wiring, OPERATOR).add(new)
    last = seal_log(world.wiring, world.organisation_id)
    clock.advance(seconds=90)
    metrics = Metrics()
    create_app(world.wiring, metrics=metrics)

    before = generate_latest(metrics.registry).decode()
    receiver.script.append(Reply(503))
    for _ in range(3):
        pump(world, metrics)
    after = generate_latest(metrics.registry).decode()

    for line in (
        'usher_streams{kind="webhook",state="active"} 1.0',
        'usher_streams{kind="host_webhook",state="active"} 1.0',
        f'usher_stream_lag_events{{kind="webhook",state="active"}} {last + 1}.0',
        'usher_stream_lag_seconds{kind="pull",state="active"} 90.0',
    ):
        assert line in before
    assert "siem" not in before
    assert stream_id not in before
    assert 'state="backing_off"} 90.0' in after
    assert 'verdict="later"} 1.0' in after
    assert "usher_stream_events_total{" in after


def test_the_doctor_tells_of_streams_that_need_somebody(
    world: Administration, receiver: HTTPSReceiver, clock: HandClock, stream_id: StreamId
) -> None:
    assert troubles(world) == []
    clock.advance(minutes=16)
    assert "is behind: " in troubles(world)[0].text

    receiver.script.extend([Reply(503)] * TELL_AFTER)
    for _ in range(TELL_AFTER):
        pump(world)
        clock.advance(seconds=301)
    (stuck,) = troubles(world)
    assert stuck.about == "stream 'siem' of 'Acme'"
    assert "does not get through (answered 503)" in stuck.text

    world.apply([PauseStream(stream_id)])
    assert "is paused" in troubles(world)[0].text
    world.apply([ResumeStream(stream_id)])
    receiver.script.append(Reply(410))
    pump(world)
    (stopped,) = troubles(world)
    assert stopped.is_stopped
    assert "usher stream resume siem -o Acme" in stopped.remedy
    assert [(one.level, one.remedy) for one in found(world, stopped.about)] == [(Level.FAIL, stopped.remedy)]

    world.apply([ResumeStream(stream_id)])
    pump(world)
    assert troubles(world) == []


def found(world: Administration, about: str) -> list[Finding]:
    return [one for one in doctor.examine(world.wiring.settings) if one.about == about]


def test_what_is_not_fetched_and_webhooks_are_told_too(
    world: Administration, receiver: HTTPSReceiver, clock: HandClock
) -> None:
    add_puller(world)
    webhooks = HostWebhooks(world.wiring, OPERATOR)
    added = webhooks.add(NewHostWebhook("host", "minut", receiver.url, tuple(HOST_EVENTS), from_first=True))
    webhooks.pause(added.webhook)
    seal_log(world.wiring, world.organisation_id)
    clock.advance(minutes=16)

    puller, host = troubles(world)

    assert "is not fetched" in puller.text
    assert (host.about, "is paused" in host.text) == ("webhook 'host'", True)


def test_the_last_that_a_destination_is_sent_says_so(
    world: Administration, receiver: HTTPSReceiver, stream_id: StreamId
) -> None:
    pump(world)
    with world.read() as reader:
        stream = reader.streams.stream(stream_id)
    assert stream is not None

    outcome = remove_stream(world, stream)

    assert outcome is not None
    assert outcome.text == "answered 200"
    got = receiver.received[-1]
    assert got.headers["webhook-id"].startswith(f"{stream_id}.last.")
    assert [one["body"]["action"] for one in got.records("event")] == ["stream.removed"]
    seal_log(world.wiring, world.organisation_id)
    pump(world)
    assert receiver.received[-1] is got


def test_what_was_fetched_is_told_nothing(world: Administration) -> None:
    made = add_puller(world)
    with world.read() as reader:
        stream = reader.streams.stream(made)
    assert stream is not None

    assert remove_stream(world, stream) is None
