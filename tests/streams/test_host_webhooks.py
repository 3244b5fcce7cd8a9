"""Webhooks to the host: all organisations of an environment, each in its order, and only what was asked for."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from audit.body import parse_body
from audit.events import ACTIONS
from directory.changes import PutScope, SetBlock
from directory.ids import EnvironmentId, OrganisationId, ScopeId, StreamId
from provisioning.host_webhooks import HOST_EVENTS, HostWebhook
from provisioning.ports import EventQuery
from service.administration import Administration
from service.app import create_app
from service.errors import InputError, NotFoundError
from service.host_webhooks import AddedHostWebhook, HostWebhooks, NewHostWebhook
from service.metrics import Metrics
from service.organisations import NewOrganisation, create_organisation
from service.streams import StreamSender
from storage.streams import SQLStreamStore
from streams.engine import TELL_AFTER
from streams.outcomes import Verdict
from streams.webhook import parse_secret
from tests.sealed import remove_events, seal_log
from tests.service.worlds import OPERATOR, HandClock
from tests.streams.receivers import HTTPSReceiver, Received, Reply

ALL = tuple(HOST_EVENTS)


@dataclass
class Scene:
    """A service whose environment has one webhook to the receiver."""

    world: Administration
    clock: HandClock
    receiver: HTTPSReceiver
    webhooks: HostWebhooks = field(init=False)
    added: AddedHostWebhook = field(init=False)

    def __post_init__(self) -> None:
        self.webhooks = HostWebhooks(self.world.wiring, OPERATOR)
        self.added = self.add("host")

    @property
    def webhook_id(self) -> StreamId:
        return self.added.webhook.webhook_id

    @property
    def webhook(self) -> HostWebhook:
        return self.webhooks.find(self.webhook_id)

    def add(self, name: str, events: tuple[str, ...] = ALL, *, from_first: bool = True) -> AddedHostWebhook:
        return self.webhooks.add(NewHostWebhook(name, "minut", self.receiver.url, events, from_first))

    def organisation(self, name: str) -> Administration:
        new = NewOrganisation(name, EnvironmentId("minut"), f"o@{name}.example", "O", plan="Pro")
        state = create_organisation(new, wiring=self.world.wiring, actor=OPERATOR)
        return Administration(self.world.wiring, state.organisation_id, OPERATOR)

    def seal(self) -> int:
        return seal_log(self.world.wiring, self.world.organisation_id)

    def pump(self, turns: int = 1) -> None:
        for _ in range(turns):
            sender = StreamSender(self.world.wiring, Metrics())
            sender.pump()
            sender.wait()
            sender.close()

    def told(self, organisation_id: OrganisationId | None = None) -> list[dict[str, Any]]:
        wanted = organisation_id or self.world.organisation_id
        return [
            event
            for got in self.receiver.taken
            if got.document["data"]["organisation_id"] == wanted
            for event in got.document["data"]["events"]
        ]

    def log(self) -> list[Any]:
        """The bodies of the sealed events that a host may be told of, in their order."""
        actions = {action for group in HOST_EVENTS.values() for action in group}
        events = SQLStreamStore(self.world.wiring.database).log(self.world.organisation_id).after(-1, 1000)
        bodies = [(one.leaf_index, orjson.loads(one.body)) for one in events]
        return [(leaf, body) for leaf, body in bodies if body["action"] in actions]

    def service_events(self) -> list[Any]:
        with self.world.wiring.database.read() as opened:
            rows = opened.execute(
                text("SELECT body FROM audit_event WHERE organisation_id IS NULL ORDER BY id")
            ).scalars()
            bodies = [orjson.loads(bytes(row)) for row in rows]
        return [body for body in bodies if body["action"].startswith("stream.")]


@pytest.fixture
def scene(world: Administration, clock: HandClock, receiver: HTTPSReceiver) -> Scene:
    def answer(got: Received) -> Reply:
        assert got.path == "/hook"
        return Reply()

    receiver.rule = answer
    return Scene(world, clock, receiver)


def test_what_a_host_may_be_told_is_what_there_is() -> None:
    assert {action for group in HOST_EVENTS.values() for action in group} <= ACTIONS.keys()


def test_a_host_is_told_who_got_what_in_order_and_nothing_else(scene: Scene) -> None:
    scene.seal()

    scene.pump(2)

    told, log = scene.told(), scene.log()
    assert [(one["sequence"], one["id"], one["type"]) for one in told] == [
        (leaf, body["id"], body["action"]) for leaf, body in log
    ]
    assert len(told) > 5
    granted = next(one for one in told if one["type"] == "role.granted")
    assert (granted["role"], granted["scope"]) == ("Admin", "organisation")
    assert (
        granted["member_id"] == next(b for _, b in log if b["action"] == "role.granted")["targets"][0]["id"]
    )
    assert granted["timestamp"].endswith("Z")
    with scene.world.read() as reader:
        version = reader.organisation().access_version
    assert scene.receiver.taken[-1].document["data"]["access_version"] == version
    assert "pii" not in str(told)
    assert b"acme.example" not in b"".join(got.body for got in scene.receiver.taken)


def test_a_message_is_signed_as_the_standard_says_and_named_once(scene: Scene) -> None:
    scene.seal()
    scene.receiver.script.append(Reply(503))
    scene.pump()
    scene.clock.advance(seconds=301)
    scene.pump()

    first, again = scene.receiver.received[:2]
    name = first.headers["webhook-id"]
    assert name == again.headers["webhook-id"]
    assert name.startswith(f"{scene.webhook_id}.{scene.world.organisation_id}.0-")
    assert again.document["type"] == "access.changed"
    for got in (first, again):
        assert got.headers["webhook-signature"] == signature(scene.added.signing_secret, got)


def signature(secret: str, got: Received) -> str:
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    key = parse_secret(secret.encode())
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def test_every_organisation_has_its_own_order_and_new_ones_are_included(scene: Scene) -> None:
    second = scene.organisation("second")
    scene.seal()
    scene.pump(2)
    third = scene.organisation("third")
    scene.seal()
    scene.pump(2)

    for one in (scene.world, second, third):
        sequences = [event["sequence"] for event in scene.told(one.organisation_id)]
        assert sequences == sorted(sequences) != []
    assert scene.told(third.organisation_id)[0]["type"] == "member.created"
    assert scene.webhooks.store.progress(scene.webhook_id).organisations == 3


def test_one_that_does_not_get_through_holds_up_no_other_organisation(scene: Scene) -> None:
    second = scene.organisation("second")
    scene.seal()
    scene.receiver.rule = lambda got: Reply(
        503 if got.document["data"]["organisation_id"] == scene.world.organisation_id else 200
    )
    scene.pump(2)

    assert scene.told() == []
    assert scene.told(second.organisation_id)
    (worst,) = scene.webhooks.store.furthest_behind(scene.webhook_id, 1)
    assert (worst.organisation_id, worst.trouble) == (scene.world.organisation_id, "answered 503")
    progress = scene.webhooks.store.progress(scene.webhook_id)
    assert (progress.behind, progress.trouble) == (1, "answered 503")


def test_a_webhook_begins_with_what_comes_next_and_tells_what_it_was_asked_for(scene: Scene) -> None:
    head = scene.seal()
    seats = scene.add("seats", ("seats",), from_first=False).webhook
    scene.webhooks.pause(scene.webhook)
    scene.organisation("second")
    scene.world.apply([SetBlock(member(scene.world), "left")])
    scene.seal()
    scene.pump(2)

    assert {event["type"] for event in scene.told()} == {"seat.released"}
    assert scene.told()[0]["sequence"] > head
    lanes = scene.webhooks.store.furthest_behind(seats.webhook_id, 10)
    assert lanes == []


def member(world: Administration) -> Any:  # noqa: ANN401 - an id
    with world.read() as reader:
        records = reader.member_records(reader.member_ids(None, 100))
        owner = reader.organisation().owner_id
    return next(member_id for member_id in records if member_id != owner)


def test_what_is_not_wanted_moves_the_cursor_without_a_message(scene: Scene) -> None:
    scene.seal()
    scene.pump(2)
    before = len(scene.receiver.received)
    for _ in range(3):
        scene.world.record("log.read", ())
    last = scene.seal()

    scene.pump()

    assert len(scene.receiver.received) == before
    assert scene.webhooks.store.progress(scene.webhook_id).lag_events == 0
    assert scene.webhooks.store.due(scene.clock(), 10) == []
    assert last > 0


def test_scopes_are_named_as_the_host_names_them(scene: Scene) -> None:
    with scene.world.read() as reader:
        root = reader.organisation().root_scope_id
    scope_id = ScopeId(scene.world.wiring.mint.id())
    scene.world.apply([PutScope(scope_id, "location", "Gothenburg", "gbg", (root,))])
    scene.seal()
    scene.pump(2)

    made = next(event for event in scene.told() if event["type"] == "scope.created")
    assert (made["scope_id"], made["scope"]) == (scope_id, "location/gbg")


def test_a_poisonous_event_is_left_out_and_the_rest_goes_on(scene: Scene) -> None:
    scene.seal()
    poison = scene.log()[3][0]

    def is_poisonous(got: Received) -> Reply:
        return Reply(400 if any(e.get("sequence") == poison for e in got.document["data"]["events"]) else 200)

    scene.receiver.rule = is_poisonous
    scene.pump(4)

    assert [e["sequence"] for e in scene.told()] == [leaf for leaf, _ in scene.log() if leaf != poison]
    (letter,) = [body for body in scene.service_events() if body["action"] == "stream.dead_lettered"]
    assert letter["targets"][1]["id"] == scene.world.organisation_id
    assert {one["path"]: one["after"] for one in letter["changes"]}["leaf_index"] == poison


def test_a_gap_is_told(scene: Scene) -> None:
    head = scene.seal()
    remove_events(scene.world.wiring.database, scene.world.organisation_id, 0, head)

    scene.pump(2)

    assert scene.told() == [{"from": 0, "to": head, "type": "access.gap"}]


def test_a_host_that_refuses_stops_the_webhook_for_all_until_it_is_resumed(scene: Scene) -> None:
    second = scene.organisation("second")
    scene.seal()
    scene.receiver.rule = lambda _got: Reply(410)
    scene.pump(3)
    assert scene.webhook.state == "error"
    stopped = len(scene.receiver.received)
    scene.pump()
    assert len(scene.receiver.received) == stopped <= 2

    scene.receiver.rule = lambda _got: Reply()
    scene.webhooks.resume(scene.webhook)
    scene.pump(2)

    assert scene.told()
    assert scene.told(second.organisation_id)
    assert [body["action"] for body in scene.service_events()] == [
        "stream.created",
        "stream.failed",
        "stream.resumed",
    ]


def test_lasting_trouble_and_its_end_are_told(scene: Scene) -> None:
    scene.seal()
    scene.receiver.script.extend([Reply(503)] * TELL_AFTER)
    for _ in range(TELL_AFTER + 2):
        scene.pump()
        scene.clock.advance(seconds=301)

    assert [body["action"] for body in scene.service_events()] == [
        "stream.created",
        "stream.stuck",
        "stream.recovered",
    ]


def test_a_paused_webhook_waits_and_a_removed_one_is_gone(scene: Scene) -> None:
    scene.webhooks.pause(scene.webhook)
    scene.webhooks.pause(scene.webhook)
    scene.seal()
    scene.pump()
    assert scene.receiver.received == []
    scene.webhooks.remove(scene.webhook)
    scene.pump()

    assert scene.receiver.received == []
    assert scene.webhooks.store.webhooks() == []
    assert scene.webhooks.store.webhook(scene.webhook_id) is None
    assert scene.webhooks.store.secrets(scene.webhook_id) == {}
    assert scene.webhooks.store.progress(scene.webhook_id).organisations == 0
    with pytest.raises(NotFoundError, match="no webhook 'host'"):
        scene.webhooks.find("host")
    assert [body["action"] for body in scene.service_events()] == [
        "stream.created",
        "stream.paused",
        "stream.removed",
    ]


def test_while_secrets_rotate_both_sign(scene: Scene) -> None:
    scene.seal()
    with pytest.raises(InputError, match="one signing secret only"):
        scene.webhooks.forget_former_secret(scene.webhook)
    new = scene.webhooks.rotate_secret(scene.webhook)
    scene.pump()
    scene.webhooks.forget_former_secret(scene.webhook)
    outcome = scene.webhooks.probe(scene.webhook)

    both, alone = scene.receiver.received[0], scene.receiver.received[-1]
    assert both.headers["webhook-signature"].split() == [
        signature(new, both),
        signature(scene.added.signing_secret, both),
    ]
    assert alone.headers["webhook-signature"] == signature(new, alone)
    assert (outcome.verdict, alone.document["type"]) == (Verdict.TAKEN, "access.test")
    file = scene.world.wiring.database.file
    assert file is not None
    stored = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    for secret in (new, scene.added.signing_secret, scene.added.token):
        assert secret.encode() not in stored


def test_a_changed_address_is_told_with_old_and_new(scene: Scene) -> None:
    old = scene.receiver.url
    same = scene.webhooks.change(scene.webhook)
    changed = scene.webhooks.change(scene.webhook, url=f"{old}/2", events=("members",))

    assert (same.version, changed.version) == (1, 2)
    updated = scene.service_events()[-1]
    told = {one["path"]: (one["before"], one["after"]) for one in updated["changes"]}
    assert told["destination"] == (f"host_webhook {old}", f"host_webhook {old}/2")
    assert told["events"] == (sorted(ALL), ["members"])


def test_faults_are_told_together(scene: Scene) -> None:
    with pytest.raises(InputError) as caught:
        scene.webhooks.add(NewHostWebhook(" HOST ", "minut", "http://host.example", ("people",)))
    for words in ("named 'HOST' exists", "https://", "no events 'people'"):
        assert words in str(caught.value)
    with pytest.raises(NotFoundError, match="no environment 'other'"):
        scene.webhooks.add(NewHostWebhook("x", "other", "https://host.example", ALL))


def fetch(scene: Scene, path: str, token: str | None = None) -> tuple[int, Any]:
    client = create_app(scene.world.wiring).test_client()
    header: Mapping[str, str] = {"Authorization": f"Bearer {token or scene.added.token}"}
    answer = client.get(f"/host/v1/{path}", headers=header)
    return answer.status_code, answer.get_json()


def test_a_host_catches_up_by_its_own_cursor(scene: Scene) -> None:
    head = scene.seal()
    organisation_id = scene.world.organisation_id

    assert fetch(scene, "organisations")[1] == {
        "next": None,
        "organisations": [{"last": head, "organisation_id": organisation_id}],
    }
    told: list[Any] = []
    after, has_more = -1, True
    while has_more:
        _, page = fetch(scene, f"events?organisation={organisation_id}&after={after}&limit=4")
        told += page["data"]["events"]
        after, has_more = page["next"], page["has_more"]

    scene.pump(2)
    assert [one["id"] for one in told] == [one["id"] for one in scene.told()]
    with scene.world.read() as reader:
        read = [parse_body(body) for _, body in reader.events(EventQuery(action="log.read"))]
    assert [one["actor"]["id"] for one in read] == [scene.webhook_id]


def test_a_token_opens_the_organisations_of_its_environment_alone(scene: Scene) -> None:
    scene.seal()
    nobody = scene.world.wiring.mint.id()

    for asked in (nobody, "", "x" * 36, "-" * 36):
        assert fetch(scene, f"events?organisation={asked}")[0] == 404
    assert fetch(scene, "organisations?after=x")[0] == 404
    assert fetch(scene, f"organisations?after={'f' * 8}-ffff-ffff-ffff-{'f' * 12}")[1]["organisations"] == []
    assert fetch(scene, f"events?organisation={scene.world.organisation_id}&after=-2")[0] == 400
    for token in ("uph_other", " ", scene.added.signing_secret):
        assert fetch(scene, "organisations", token)[0] == 401
    scene.webhooks.pause(scene.webhook)
    assert fetch(scene, "organisations")[0] == 401
