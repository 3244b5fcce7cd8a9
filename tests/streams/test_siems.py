"""Splunk, Datadog and Elasticsearch by what their documentation says that they answer."""

from datetime import UTC, datetime

import orjson
import pytest

from directory.ids import OrganisationId, StreamId
from provisioning.streaming import HeldLane, Lane, StoredStream
from streams.destinations import Destinations
from streams.elastic import judge_items
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, EventRecord, GapRecord
from tests.certificates import Certificates
from tests.streams.receivers import HTTPSReceiver, Received, Reply
from tests.streams.test_syslog import LOOPBACK, NOW, STREAM, event
from web.outgoing import Outgoing, resolve_host
from web.targets import Targets

BATCH = Batch(STREAM, (GapRecord(0, 1), EventRecord(event(2)), EventRecord(event(3))), 0, 3)
EVENT_SECONDS = datetime(2026, 3, 1, 12, 30, 15, 123000, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))


def send(kind: str, receiver: HTTPSReceiver, batch: Batch = BATCH, **settings: str) -> Outcome:
    secret = "token" if kind == "splunk" else "api_key"
    settings = {"url": receiver.url, "format": "canonical", **settings}
    stream = StoredStream(
        stream_id=StreamId(STREAM),
        organisation_id=OrganisationId("org"),
        name="siem",
        kind=kind,
        settings=dict(settings),
        host="",
        state="active",
        reason="",
        version=1,
        created_at=NOW,
    )
    held = HeldLane(
        Lane(stream.stream_id, stream.organisation_id, "live", -1, NOW), stream, {secret: b"canary"}
    )
    targets = Targets(LOOPBACK, resolve_host)
    with Outgoing(targets, timer=lambda: 0.0) as outgoing:
        opened = Destinations(outgoing, targets, lambda: NOW, hostname="usher")
        with opened.open(held) as destination:
            return destination.send(batch)


def test_splunk_gets_one_object_for_each_record(receiver: HTTPSReceiver) -> None:
    outcome = send("splunk", receiver, index="audit", source="")

    (got,) = receiver.received
    assert outcome.verdict is Verdict.TAKEN
    assert got.headers["authorization"] == "Splunk canary"
    gap, first, _ = [orjson.loads(line) for line in got.body.splitlines()]
    assert gap["event"] == {"from": 0, "record": "stream.gap", "to": 1}
    assert (first["time"], first["index"], first["source"]) == (f"{EVENT_SECONDS:.3f}", "audit", "usher")
    assert first["event"]["leaf_index"] == 2


def test_splunk_that_is_busy_is_tried_again(receiver: HTTPSReceiver) -> None:
    receiver.script.append(Reply(503, body=b'{"text":"Server is busy","code":9}'))

    assert send("splunk", receiver).verdict is Verdict.LATER


def test_datadog_gets_a_list(receiver: HTTPSReceiver) -> None:
    receiver.script.append(Reply(202))

    outcome = send("datadog", receiver, tags="env:prod", service="")

    (got,) = receiver.received
    assert outcome.verdict is Verdict.TAKEN
    assert got.headers["dd-api-key"] == "canary"
    _, first, _ = got.document
    assert orjson.loads(first["message"])["leaf_index"] == 2
    assert (first["ddtags"], first["service"], first["timestamp"]) == (
        "env:prod",
        "usher",
        int(EVENT_SECONDS * 1000),
    )


def items(*statuses: int) -> bytes:
    return orjson.dumps({"errors": True, "items": [{"create": {"status": status}} for status in statuses]})


def test_elastic_creates_documents_under_their_ids(receiver: HTTPSReceiver) -> None:
    receiver.script.append(Reply(body=items(201, 201, 409)))

    outcome = send("elastic", receiver, index="audit")

    (got,) = receiver.received
    assert (outcome.verdict, outcome.unfit) == (Verdict.TAKEN, ())
    assert got.path == "/hook/audit/_bulk?filter_path=errors,items.*.status"
    lines = [orjson.loads(line) for line in got.body.splitlines()]
    assert [one["create"]["_id"] for one in lines[::2]] == [f"{STREAM}-gap-0-1", "event-2", "event-3"]
    assert lines[3]["usher"]["leaf_index"] == 2


def test_elastic_has_each_form_where_a_template_finds_it(receiver: HTTPSReceiver) -> None:
    for name in ("", "ecs"):
        receiver.script.append(Reply(body=items(201, 201, 201)))
        send("elastic", receiver, index="audit", format=name)

    ocsf, ecs = ([orjson.loads(line) for line in got.body.splitlines()][3] for got in receiver.received)
    assert (ocsf["@timestamp"], ocsf["ocsf"]["metadata"]["version"]) == ("2026-03-01T12:30:15.123Z", "1.8.0")
    assert ecs["ecs"] == {"version": "8.17.0"}


def test_elastic_that_refuses_the_request_says_so(receiver: HTTPSReceiver) -> None:
    receiver.script.append(Reply(401))

    assert send("elastic", receiver, index="audit").verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("body", "verdict", "unfit"),
    [
        (items(201, 400, 409), Verdict.TAKEN, (1,)),
        (items(201, 429, 400), Verdict.LATER, ()),
        (items(201, 503, 201), Verdict.LATER, ()),
        (items(403, 403, 403), Verdict.REFUSED, ()),
        (items(201), Verdict.LATER, ()),
        (b"<html>", Verdict.LATER, ()),
        (b'{"items":[{}]}', Verdict.LATER, ()),
        (b'{"errors":false}', Verdict.LATER, ()),
    ],
)
def test_each_item_has_its_own_answer(body: bytes, verdict: Verdict, unfit: tuple[int, ...]) -> None:
    outcome = judge_items(body, 3)

    assert (outcome.verdict, outcome.unfit) == (verdict, unfit)


def test_nothing_is_sent_to_what_is_fetched(receiver: HTTPSReceiver) -> None:
    with pytest.raises(ValueError, match="nothing is sent"):
        send("pull", receiver)
    assert receiver.received == list[Received]()
