"""Sentinel by what its documentation says that it and the identity platform answer: a stub over real HTTPS."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs

import orjson
import pytest

from directory.ids import OrganisationId, StreamId
from provisioning.streaming import HeldLane, Lane, StoredStream
from streams.destinations import Destinations
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, EventRecord, GapRecord
from streams.sentinel import MOST_BYTES, Token, Tokens, parse_token, split_rows
from tests.certificates import Certificates
from tests.service.worlds import HandClock
from tests.streams.receivers import HTTPSReceiver, Received, Reply
from tests.streams.test_syslog import LOOPBACK, NOW, STREAM, event
from web.outgoing import Outgoing, resolve_host
from web.targets import Targets

BATCH = Batch(STREAM, (GapRecord(0, 1), EventRecord(event(2)), EventRecord(event(3))), 0, 3)
RULE = f"dcr-{'0' * 32}"
TOKEN_PATH = "/hook/contoso/oauth2/v2.0/token"
UPLOAD_PATH = f"/hook/dataCollectionRules/{RULE}/streams/Custom-Usher_CL?api-version=2023-01-01"


class Azure:
    """Gives tokens for the right secret, and takes calls with a token that it has given and not ended."""

    def __init__(self, receiver: HTTPSReceiver) -> None:
        self.calls = receiver.received
        self.given = 0
        self.valid: set[str] = set()
        self.replies: list[Reply] = []
        receiver.rule = self.answer

    def answer(self, received: Received) -> Reply:
        if received.path == TOKEN_PATH:
            form = parse_qs(received.body.decode())
            if form["client_secret"] != ["canary"]:
                return Reply(401, body=b'{"error":"invalid_client"}')
            self.given += 1
            self.valid.add(f"token-{self.given}")
            told = {"token_type": "Bearer", "expires_in": 3599, "access_token": f"token-{self.given}"}
            return Reply(200, body=orjson.dumps(told))
        assert received.path == UPLOAD_PATH
        if received.headers["authorization"].removeprefix("Bearer ") not in self.valid:
            return Reply(401)
        if len(received.body) > 1_048_576:
            return Reply(413)
        return self.replies.pop(0) if self.replies else Reply(204)

    @property
    def uploads(self) -> list[Received]:
        return [one for one in self.calls if one.path == UPLOAD_PATH]


class Sender:
    """Sends as one process does, whose destinations share what they have signed in with."""

    def __init__(self, receiver: HTTPSReceiver, outgoing: Outgoing, clock: HandClock) -> None:
        self._url = receiver.url
        self._destinations = Destinations(outgoing, Targets(LOOPBACK, resolve_host), clock, hostname="usher")

    def send(self, batch: Batch = BATCH, secret: bytes = b"canary", **settings: str) -> Outcome:
        stream = StoredStream(
            stream_id=StreamId(STREAM),
            organisation_id=OrganisationId("org"),
            name="siem",
            kind="sentinel",
            settings={
                "url": self._url,
                "rule": RULE,
                "stream": "Custom-Usher_CL",
                "tenant": "contoso",
                "client_id": "app",
                "authority": self._url,
                **settings,
            },
            host="",
            state="active",
            reason="",
            version=1,
            created_at=NOW,
        )
        lane = Lane(stream.stream_id, stream.organisation_id, "live", -1, NOW)
        with self._destinations.open(HeldLane(lane, stream, {"client_secret": secret})) as destination:
            return destination.send(batch)


@pytest.fixture
def sender(
    receiver: HTTPSReceiver, certificates: Certificates, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sender]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with Outgoing(Targets(LOOPBACK, resolve_host), timer=lambda: 0.0) as outgoing:
        yield Sender(receiver, outgoing, clock)


@pytest.fixture
def azure(receiver: HTTPSReceiver) -> Azure:
    return Azure(receiver)


def test_rows_go_to_the_rules_stream_with_a_token(azure: Azure, sender: Sender) -> None:
    outcome = sender.send()

    assert (outcome.verdict, outcome.text) == (Verdict.TAKEN, "answered 204")
    signed_in, uploaded = azure.calls
    assert parse_qs(signed_in.body.decode()) == {
        "client_id": ["app"],
        "client_secret": ["canary"],
        "grant_type": ["client_credentials"],
        "scope": ["https://monitor.azure.com//.default"],
    }
    gap, first, _ = uploaded.document
    assert (gap["RecordId"], gap["Record"]["metadata"]["event_code"]) == ("gap-0-1", "stream.gap")
    assert (first["RecordId"], first["TimeGenerated"]) == ("event-2", "2026-03-01T12:30:15.123Z")


def test_a_token_is_kept_until_shortly_before_its_end(azure: Azure, sender: Sender, clock: HandClock) -> None:
    for _ in range(2):
        assert sender.send().verdict is Verdict.TAKEN
    assert azure.given == 1
    clock.advance(minutes=56)
    assert sender.send().verdict is Verdict.TAKEN
    assert azure.given == 2


def test_a_token_that_was_ended_is_exchanged_once(azure: Azure, sender: Sender) -> None:
    sender.send()
    azure.valid.clear()

    assert sender.send().verdict is Verdict.TAKEN
    assert azure.given == 2

    azure.replies = [Reply(401), Reply(401)]
    refused = sender.send()
    assert (refused.verdict, azure.given) == (Verdict.REFUSED, 3)
    assert sender.send().verdict is Verdict.TAKEN


def test_a_wrong_secret_is_refused_without_being_said(azure: Azure, sender: Sender) -> None:
    refused = sender.send(secret=b"wrong-canary")

    assert refused == Outcome(
        Verdict.REFUSED, "signing in was answered 401; check tenant, client_id and client_secret"
    )
    assert azure.uploads == []


def test_a_missing_role_is_named(azure: Azure, sender: Sender) -> None:
    azure.replies = [Reply(403)]

    refused = sender.send()

    assert refused.verdict is Verdict.REFUSED
    assert refused.text.endswith("needs the role Monitoring Metrics Publisher on the rule")


def test_one_that_is_busy_says_how_long(azure: Azure, sender: Sender) -> None:
    azure.replies = [Reply(429, headers=(("Retry-After", "37"),))]

    assert sender.send() == Outcome(Verdict.LATER, "answered 429", 37.0)


def test_signing_in_that_fails_for_now_is_tried_again(
    azure: Azure, sender: Sender, receiver: HTTPSReceiver
) -> None:
    receiver.script.extend([Reply(503), Reply(200, body=b"<html>")])

    assert sender.send() == Outcome(Verdict.LATER, "signing in: answered 503")
    assert sender.send().text == "signing in brought no token; is this the authority's address?"
    assert sender.send(authority="https://localhost:1").verdict is Verdict.LATER
    assert azure.uploads == []


def test_a_clouds_own_addresses_are_signed_in_at(azure: Azure, sender: Sender) -> None:
    assert sender.send(audience="https://monitor.azure.us/").verdict is Verdict.TAKEN

    (signed_in, _) = azure.calls
    assert parse_qs(signed_in.body.decode())["scope"] == ["https://monitor.azure.us//.default"]


def test_a_batch_goes_a_megabyte_at_a_time(azure: Azure, sender: Sender) -> None:
    records = tuple(EventRecord(event(place, note="x" * 200_000)) for place in range(9))
    outcome = sender.send(Batch(STREAM, records, 0, 8))

    assert outcome.verdict is Verdict.TAKEN
    rows = [row["RecordId"] for upload in azure.uploads for row in upload.document]
    assert rows == [f"event-{place}" for place in range(9)]
    assert max(len(upload.body) for upload in azure.uploads) <= MOST_BYTES

    azure.replies = [Reply(204), Reply(503)]
    assert sender.send(Batch(STREAM, records, 0, 8)).verdict is Verdict.LATER


def test_an_event_too_long_for_a_call_is_not_fit(azure: Azure, sender: Sender) -> None:
    long = EventRecord(event(0, note="x" * 1_200_000))

    assert sender.send(Batch(STREAM, (long,), 0, 0)).verdict is Verdict.UNFIT
    assert len(azure.uploads) == 1


def test_no_rows_are_no_call() -> None:
    assert list(split_rows([])) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"access_token":"a"}',
        b'{"access_token":"","expires_in":1}',
        b'{"access_token":7,"expires_in":1}',
        b'{"access_token":"a\\nb","expires_in":1}',
    ],
)
def test_what_is_no_token_is_none(body: bytes) -> None:
    assert parse_token(body, NOW) is None


def test_tokens_are_kept_so_many_at_most() -> None:
    tokens = Tokens()
    kept = Token("canary", NOW + timedelta(hours=1))
    for number in range(501):
        tokens.put(b"%d" % number, kept, NOW)

    assert tokens.get(b"499", NOW) == kept
    assert tokens.get(b"500", NOW) is None
    assert "canary" not in repr(kept)
    tokens.put(b"500", kept, NOW + timedelta(hours=2))
    tokens.drop(b"499")
    assert tokens.get(b"499", NOW) is None
