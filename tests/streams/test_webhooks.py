"""Deliveries to a real HTTPS receiver that fails in scripted ways: nothing is lost, order is kept."""

import base64
import hashlib
import hmac
import threading
from dataclasses import dataclass, field, replace

import orjson
import pytest

from audit.body import parse_body
from audit.checkpoint import parse_checkpoint, verify_note
from audit.tree import RightEdge, leaf_hash
from directory.ids import StreamId
from directory.stream_changes import PauseStream, PutStream, RemoveStream, ReplayStream, ResumeStream
from provisioning.ports import EventQuery
from provisioning.streaming import Lane, StoredStream
from service.administration import Administration
from service.log_keys import load_log_keys
from service.metrics import Metrics
from service.streams import StreamSender, probe_stream
from streams.engine import TELL_AFTER
from streams.outcomes import Verdict
from streams.webhook import render_secret
from tests.sealed import remove_events, seal_log
from tests.service.worlds import HandClock
from tests.streams.receivers import HTTPSReceiver, Reply

KEY = b"k" * 32
SECRET = render_secret(KEY).encode()


@dataclass
class Scene:
    """A service with one stream to the receiver, from the first event on."""

    world: Administration
    clock: HandClock
    receiver: HTTPSReceiver
    stream_id: StreamId = field(init=False)

    def __post_init__(self) -> None:
        self.stream_id = self.add("siem", self.receiver.url)
        self.head = self.seal()

    def add(self, name: str, url: str, after: int = -1) -> StreamId:
        stream_id = StreamId(self.world.wiring.mint.id())
        secrets = {"signing_secret": SECRET}
        self.world.apply([PutStream(stream_id, name, "webhook", {"url": url}, secrets, after)])
        return stream_id

    def seal(self) -> int:
        return seal_log(self.world.wiring, self.world.organisation_id)

    def write(self, number: int = 1) -> int:
        """So many events more; the last position."""
        for _ in range(number):
            self.world.record("log.read", ())
        return self.seal()

    def pump(self, turns: int = 1) -> None:
        """Turns of a process, in each of which every delivery that is due is made."""
        for _ in range(turns):
            sender = StreamSender(self.world.wiring, Metrics())
            sender.pump()
            sender.wait()
            sender.close()

    def stream(self) -> StoredStream:
        with self.world.read() as reader:
            found = reader.streams.stream(self.stream_id)
        assert found is not None
        return found

    def lane(self, track: str = "live") -> Lane:
        with self.world.read() as reader:
            lanes = {(one.stream_id, one.track): one for one in reader.streams.lanes()}
        return lanes[self.stream_id, track]

    def actions(self) -> list[str]:
        with self.world.read() as reader:
            rows = reader.events(EventQuery(action="stream.", limit=1000))
            return [parse_body(body)["action"] for _, body in rows]


@pytest.fixture
def scene(world: Administration, clock: HandClock, receiver: HTTPSReceiver) -> Scene:
    return Scene(world, clock, receiver)


def test_every_sealed_event_arrives_once_and_in_order(scene: Scene) -> None:
    scene.pump()
    last = scene.write(3)
    scene.pump(2)

    assert scene.receiver.leaves == list(range(last + 1))
    assert scene.lane().position == last
    first = scene.receiver.received[0]
    assert first.headers["webhook-id"] == f"{scene.stream_id}.0-{scene.head}"
    assert first.document["type"] == "usher.events"


def test_a_turn_that_ends_before_the_log_is_followed_by_another_at_once(scene: Scene) -> None:
    with scene.world.unit_of_work.write() as writer:
        writer.streams.put_lane(replace(scene.lane(), size=1))
    sender = StreamSender(scene.world.wiring, Metrics(), batches_in_turn=1)

    assert sender.pump() == 1
    sender.wait()
    sender.close()

    assert len(scene.receiver.received) > 3
    assert scene.receiver.leaves == list(range(scene.head + 1))


def test_a_receiver_can_verify_the_signature_and_the_body(scene: Scene) -> None:
    scene.pump()

    (got,) = scene.receiver.received
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    wanted = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert got.headers["webhook-signature"] == f"v1,{wanted}"
    with scene.world.read() as reader:
        bodies = [body for _, body in reader.events(EventQuery(limit=1000))]
    records = got.records("event")
    assert [orjson.dumps(one["body"], option=orjson.OPT_SORT_KEYS) for one in records] == bodies
    assert all(body in got.body for body in bodies)
    named = [name for one in records for name in one["names"].values()]
    assert any("olivia" in str(name).lower() for name in named)


def test_what_reaches_the_head_ends_with_a_checkpoint_that_proves_it(scene: Scene) -> None:
    """What a receiver can do with what it was sent, the service's public key, and nothing else."""
    scene.pump()
    scene.write(3)
    scene.pump()
    vkeys = load_log_keys(scene.world.wiring.settings).vkeys

    edge, kept = RightEdge(), []
    for got in scene.receiver.received:
        for record in got.document["data"]["records"]:
            if record["record"] == "event":
                body = orjson.dumps(record["body"], option=orjson.OPT_SORT_KEYS)
                edge = edge.append([leaf_hash(body)])
            else:
                checkpoint = parse_checkpoint(verify_note(record["note"], vkeys).text)
                assert checkpoint.origin.endswith(f"/audit/{scene.world.organisation_id}")
                assert (checkpoint.size, checkpoint.root) == (edge.size, edge.root())
                kept.append(checkpoint.size)

    assert kept == [scene.head + 1, scene.head + 4]


def test_a_receiver_that_takes_no_checkpoint_gets_every_event(scene: Scene) -> None:
    scene.receiver.rule = lambda got: Reply(400 if got.records("log.checkpoint") else 200)

    for _ in range(3):
        scene.write()
        scene.pump(2)

    assert scene.receiver.leaves == list(range(scene.head + 4))
    assert scene.stream().state == "active"
    with scene.world.read() as reader:
        assert reader.streams.dead_letters(scene.stream_id, 10) == []


def test_while_secrets_rotate_both_sign(scene: Scene) -> None:
    second = render_secret(b"n" * 32).encode()
    settings = {"url": scene.receiver.url}
    scene.world.apply(
        [PutStream(scene.stream_id, "siem", "webhook", settings, {"second_signing_secret": second})]
    )
    scene.pump()

    assert scene.receiver.received[0].headers["webhook-signature"].count("v1,") == 2


def test_an_outage_loses_nothing_and_keeps_the_order(scene: Scene) -> None:
    replies = (Reply(500), Reply(drop=True), Reply(503, (("Retry-After", "600"),)), Reply(429))
    scene.receiver.script.extend(replies)
    scene.pump()
    begun = scene.lane()
    assert (begun.attempts, begun.batch_last, begun.position) == (1, scene.head, -1)
    scene.write(2)
    scene.pump()
    assert len(scene.receiver.received) == 1

    for _ in range(3):
        scene.clock.advance(seconds=300)
        scene.pump()
    assert len(scene.receiver.received) == 3
    scene.clock.advance(seconds=400)
    scene.pump()
    scene.clock.advance(seconds=300)
    scene.pump()

    ids = [one.headers["webhook-id"] for one in scene.receiver.received]
    assert ids[:5] == [f"{scene.stream_id}.0-{scene.head}"] * 5
    assert len({one.body for one in scene.receiver.received[:5]}) == 1
    assert scene.receiver.leaves == list(range(scene.seal() + 1))
    assert scene.lane().trouble == ""


def test_trouble_of_some_minutes_and_its_end_are_told(scene: Scene) -> None:
    scene.receiver.script.extend([Reply(503)] * (TELL_AFTER + 2))
    for _ in range(TELL_AFTER + 3):
        scene.pump()
        scene.clock.advance(seconds=301)

    assert scene.actions() == ["stream.created", "stream.stuck", "stream.recovered"]
    assert scene.stream().state == "active"


@pytest.mark.parametrize("status", [400, 413])
def test_a_poisonous_event_is_left_out_alone(scene: Scene, status: int) -> None:
    scene.write(40)
    poison = 17
    scene.receiver.rule = lambda got: Reply(status if poison in got.leaves else 200)

    scene.pump(3)

    assert scene.receiver.leaves == [leaf for leaf in range(scene.lane().position + 1) if leaf != poison]
    with scene.world.read() as reader:
        (letter,) = reader.streams.dead_letters(scene.stream_id, 10)
    assert (letter.leaf_index, letter.reason) == (poison, f"answered {status}")
    assert scene.actions().count("stream.dead_lettered") == 1


def test_a_receiver_that_takes_nothing_stops_the_stream(scene: Scene) -> None:
    scene.write(40)
    scene.receiver.rule = lambda _got: Reply(400)

    scene.pump(6)

    assert scene.stream().state == "error"
    assert "10 events one behind the other" in scene.stream().reason
    assert scene.actions().count("stream.dead_lettered") == 9


@pytest.mark.parametrize("status", [401, 403, 410, 302])
def test_a_refusal_stops_the_stream_until_it_is_resumed(scene: Scene, status: int) -> None:
    scene.receiver.script.append(Reply(status))
    scene.pump(2)
    assert scene.stream().state == "error"
    assert f"answered {status}" in scene.stream().reason
    assert len(scene.receiver.received) == 1

    scene.world.apply([ResumeStream(scene.stream_id)])
    last = scene.seal()
    scene.pump(2)

    assert scene.receiver.leaves == list(range(last + 1))
    assert scene.actions() == ["stream.created", "stream.failed", "stream.resumed"]


def test_a_paused_stream_waits(scene: Scene) -> None:
    scene.world.apply([PauseStream(scene.stream_id), PauseStream(scene.stream_id)])
    last = scene.seal()
    scene.pump()
    assert scene.receiver.received == []

    scene.world.apply([ResumeStream(scene.stream_id)])
    scene.pump()

    assert scene.receiver.leaves == list(range(last + 1)) or scene.receiver.leaves[-1] >= last
    assert scene.actions() == ["stream.created", "stream.paused", "stream.resumed"]


def test_what_the_retention_overtook_is_told_first(scene: Scene) -> None:
    last = scene.write(10)
    remove_events(scene.world.wiring.database, scene.world.organisation_id, 0, 4)
    remove_events(scene.world.wiring.database, scene.world.organisation_id, 7, 7)

    scene.pump()

    records = scene.receiver.received[0].document["data"]["records"]
    assert records[0] == {"from": 0, "record": "stream.gap", "to": 4}
    assert records[3] == {"from": 7, "record": "stream.gap", "to": 7}
    assert scene.receiver.leaves == [5, 6, *range(8, last + 1)]


def test_a_gap_up_to_the_end_is_told(scene: Scene) -> None:
    remove_events(scene.world.wiring.database, scene.world.organisation_id, 0, scene.head)

    scene.pump(2)

    (got,) = scene.receiver.received
    assert got.document["data"]["records"][0] == {"from": 0, "record": "stream.gap", "to": scene.head}
    assert [one["size"] for one in got.records("log.checkpoint")] == [scene.head + 1]
    assert scene.lane().position == scene.head


def test_a_replay_runs_beside_the_live_delivery(scene: Scene) -> None:
    scene.pump()
    scene.receiver.taken.clear()
    scene.world.apply([ReplayStream(scene.stream_id, 1)])

    scene.pump(2)

    (got,) = scene.receiver.taken
    assert got.document["data"]["replay"] is True
    assert got.leaves == list(range(2, scene.head + 1))
    assert all(record["replay"] for record in got.records("event"))
    with pytest.raises(KeyError):
        scene.lane("replay")
    assert scene.lane().position == scene.head


def test_what_is_new_goes_on_while_the_old_is_sent_again(scene: Scene) -> None:
    scene.pump()
    scene.receiver.taken.clear()
    scene.world.apply([ReplayStream(scene.stream_id, -1)])
    scene.receiver.script.append(Reply(503))
    scene.receiver.script.append(Reply(503))
    last = scene.write(2)
    scene.pump()
    assert scene.lane("replay").attempts + scene.lane().attempts >= 1
    scene.clock.advance(seconds=301)
    scene.pump(3)

    replayed = [got for got in scene.receiver.taken if got.document["data"]["replay"]]
    live = [got for got in scene.receiver.taken if not got.document["data"]["replay"]]
    assert [leaf for got in live for leaf in got.leaves] == list(range(scene.head + 1, last + 1))
    # Up to what was sealed when it was asked for.
    assert [leaf for got in replayed for leaf in got.leaves] == list(range(scene.head + 1))
    assert {got.headers["webhook-id"] for got in replayed}.isdisjoint(
        got.headers["webhook-id"] for got in live
    )


def test_paused_past_the_retention_the_gap_comes_first_when_it_goes_on(scene: Scene) -> None:
    scene.pump()
    scene.world.apply([PauseStream(scene.stream_id)])
    last = scene.write(5)
    remove_events(scene.world.wiring.database, scene.world.organisation_id, scene.head + 1, scene.head + 4)
    scene.receiver.received.clear()
    scene.world.apply([ResumeStream(scene.stream_id)])
    scene.pump()

    records = scene.receiver.received[0].document["data"]["records"]
    assert records[0] == {"from": scene.head + 1, "record": "stream.gap", "to": scene.head + 4}
    assert scene.receiver.received[0].leaves[0] == scene.head + 5 <= last


def test_a_stalled_stream_does_not_slow_others(
    scene: Scene, certificates: object, world: Administration
) -> None:
    assert certificates
    go = threading.Event()
    scene.receiver.rule = lambda _got: Reply(wait=go)
    with HTTPSReceiver(certificates) as other:  # type: ignore[arg-type]  # the fixture's own
        for number in range(6):
            scene.add(f"stalled {number}", scene.receiver.url)
        quick = scene.add("quick", other.url)
        last = scene.seal()
        sender = StreamSender(world.wiring, Metrics())

        begun = sender.pump()
        arrived = other.wait_for(1)
        go.set()
        sender.close()

    # Four at once for one host, and one for the other.
    assert (begun, arrived) == (5, True)
    assert other.leaves[-1] == last
    assert other.received[0].headers["webhook-id"].startswith(quick)


def test_a_test_sends_a_real_event(scene: Scene) -> None:
    outcome = probe_stream(scene.world, scene.stream())

    assert (outcome.verdict, outcome.text) == (Verdict.TAKEN, "answered 200")
    (record,) = scene.receiver.received[0].document["data"]["records"]
    assert (record["body"]["action"], record["leaf_index"], record["test"]) == ("stream.tested", None, True)
    scene.seal()
    scene.pump()
    assert scene.receiver.received[-1].records("event")[-1]["body"] == record["body"]


def test_secrets_stand_nowhere_in_clear(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.receiver.script.append(Reply(401))
    scene.pump()
    scene.world.apply([ResumeStream(scene.stream_id)])
    scene.seal()
    scene.pump(2)
    file = scene.world.wiring.database.file
    assert file is not None
    scene.world.wiring.database.checkpoint()

    stored = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    for canary in (SECRET, KEY, base64.b64encode(KEY)):
        assert canary not in stored
        assert all(canary not in got.body for got in scene.receiver.received)
        assert canary.decode() not in caplog.text
    assert dict(scene.stream().fingerprints) == {"signing_secret": hashlib.sha256(SECRET).hexdigest()[-4:]}

    scene.world.apply([RemoveStream(scene.stream_id)])
    with scene.world.read() as reader:
        assert reader.secret(scene.stream_id, "signing_secret") is None
        assert reader.streams.streams() == []
        assert reader.streams.lanes() == []


def test_an_address_that_is_not_public_stops_the_stream(scene: Scene) -> None:
    scene.world.apply(
        [PutStream(scene.stream_id, "siem", "webhook", {"url": "https://169.254.169.254/latest"})]
    )
    scene.pump()

    assert scene.stream().state == "error"
    assert "not public" in scene.stream().reason


def test_a_long_answer_is_cut(scene: Scene) -> None:
    scene.receiver.script.append(Reply(body=b"x" * 100_000))

    scene.pump()

    assert scene.lane().position == scene.head
