"""The pull API: a token opens one organisation's events, and the caller keeps the cursor."""

import hashlib
from typing import Any

import pytest
from flask.testing import FlaskClient

from audit.body import parse_body
from directory.ids import StreamId
from directory.stream_changes import PauseStream, PutStream, ReplayStream
from provisioning.ports import EventQuery
from service.administration import Administration
from service.app import create_app
from service.errors import RefusedError
from service.metrics import Metrics
from service.streams import StreamSender
from tests.sealed import remove_events, seal_log
from tests.service.worlds import HandClock

TOKEN = "ups_0123456789abcdef"
PATH = "/audit/v1/events"


@pytest.fixture
def stream_id(world: Administration) -> StreamId:
    made = StreamId(world.wiring.mint.id())
    world.apply([PutStream(made, "puller", "pull", {}, {"token": TOKEN.encode()})])
    return made


@pytest.fixture
def client(world: Administration) -> FlaskClient:
    return create_app(world.wiring).test_client()


def fetch(client: FlaskClient, query: str = "", token: str = TOKEN) -> Any:  # noqa: ANN401 - JSON
    answer = client.get(f"{PATH}{query}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def head(world: Administration) -> int:
    return seal_log(world.wiring, world.organisation_id)


def test_a_caller_reads_page_by_page(world: Administration, stream_id: StreamId, client: FlaskClient) -> None:
    last = head(world)

    leaves, after, has_more = [], -1, True
    while has_more:
        page = fetch(client, f"?after={after}&limit=3")
        leaves += [one["leaf_index"] for one in page["records"] if one["record"] == "event"]
        after, has_more = page["next"], page["has_more"]

    assert leaves == list(range(last + 1))
    assert fetch(client, f"?after={last}") == {"has_more": False, "next": last, "records": []}
    assert stream_id not in str(fetch(client)["records"][:1])


def test_what_was_removed_is_a_gap(world: Administration, stream_id: StreamId, client: FlaskClient) -> None:
    assert stream_id
    last = head(world)
    remove_events(world.wiring.database, world.organisation_id, 0, last)

    gap, checkpoint = fetch(client)["records"]
    assert gap == {"from": 0, "record": "stream.gap", "to": last}
    assert (checkpoint["record"], checkpoint["size"]) == ("log.checkpoint", last + 1)


def test_a_reading_is_an_event_once_a_day(
    world: Administration, clock: HandClock, stream_id: StreamId, client: FlaskClient
) -> None:
    head(world)
    for _ in range(3):
        fetch(client)
    clock.advance(days=1)
    fetch(client, "?after=2")

    with world.read() as reader:
        read = [parse_body(body) for _, body in reader.events(EventQuery(action="log.read"))]
    assert [one["actor"]["id"] for one in read] == [stream_id] * 2
    assert {change["path"]: change["after"] for change in read[1]["changes"]} == {"query": "pull", "first": 3}


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer ups_other", f"Basic {TOKEN}", TOKEN])
def test_nobody_reads_without_the_token(stream_id: StreamId, client: FlaskClient, header: str) -> None:
    assert stream_id
    answer = client.get(PATH, headers={"Authorization": header} if header else {})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")


def test_a_paused_stream_is_not_read(world: Administration, stream_id: StreamId, client: FlaskClient) -> None:
    world.apply([PauseStream(stream_id)])

    assert client.get(PATH, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401


@pytest.mark.parametrize(
    "query", ["?after=-2", "?after=x", "?limit=0", "?after=1234567890123456", "?after=--1"]
)
def test_odd_positions_are_refused(stream_id: StreamId, client: FlaskClient, query: str) -> None:
    assert stream_id
    answer = client.get(f"{PATH}{query}", headers={"Authorization": f"Bearer {TOKEN}"})

    assert answer.status_code == 400


def test_the_token_is_kept_as_a_digest_and_nothing_is_sent(
    world: Administration, stream_id: StreamId
) -> None:
    head(world)
    sender = StreamSender(world.wiring, Metrics())
    assert sender.pump() == 0
    sender.close()

    with world.read() as reader:
        assert reader.secret(stream_id, "token") is None
        stream = reader.streams.stream(stream_id)
    assert stream is not None
    assert stream.fingerprints == {"token": hashlib.sha256(TOKEN.encode()).hexdigest()[-4:]}
    with pytest.raises(RefusedError, match="not replayed"):
        world.apply([ReplayStream(stream_id, -1)])
