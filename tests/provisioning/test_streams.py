"""Streams: what may be said about them, and what is refused with all of its faults."""

import pytest

from audit.actors import LoginActor
from directory.ids import StreamId
from directory.stream_changes import (
    NoteDeadLetter,
    NoteStreamFailed,
    PauseStream,
    PutStream,
    ReplayStream,
    ResumeStream,
)
from provisioning.errors import RefusalCode
from provisioning.stream_settings import Setting, find_host, find_stream_faults, shown_destination
from provisioning.stream_statements import MOST_STREAMS
from provisioning.streaming import StoredStream
from tests.builders import World
from tests.sealed import seal

SECRETS = {"signing_secret": b"canary"}
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def put(world: World, name: str = "siem", **values: object) -> PutStream:
    settings: dict[str, Setting] = {"url": "https://siem.example/hook"}
    stream_id = StreamId(world.new_id())
    return PutStream(
        **{  # type: ignore[arg-type]  # the test's own values
            "stream_id": stream_id,
            "name": name,
            "kind": "webhook",
            "settings": settings,
            "secrets": SECRETS,
            **values,
        }
    )


def stored(world: World, stream_id: StreamId) -> StoredStream:
    with world.read() as reader:
        found = reader.streams.stream(stream_id)
    assert found is not None
    return found


def test_what_was_said_before_is_no_event(world: World) -> None:
    first = put(world)
    world.do(first)
    same = put(world, stream_id=first.stream_id, secrets={})
    world.new_bodies()

    world.do(same)

    assert world.new_bodies() == []
    assert stored(world, first.stream_id).version == 1


def test_events_name_old_and_new_destination_and_no_key(world: World) -> None:
    first = put(world)
    world.do(first)
    world.do(
        put(
            world,
            stream_id=first.stream_id,
            settings={"url": "https://other.example:8443/hook"},
            secrets={"second_signing_secret": b"more", "signing_secret": b"canary2"},
        )
    )

    body = world.new_bodies()[-1]
    changes = {one["path"]: (one["before"], one["after"]) for one in body["changes"]}
    assert changes["destination"] == (
        "webhook https://siem.example/hook",
        "webhook https://other.example:8443/hook",
    )
    assert changes["secrets_changed"] == (None, ["second_signing_secret", "signing_secret"])
    assert "canary" not in str(world.bodies())


def test_another_format_is_an_event_with_old_and_new(world: World) -> None:
    first = put(world)
    world.do(first)
    world.do(put(world, stream_id=first.stream_id, settings={**first.settings, "format": "ocsf"}, secrets={}))

    body = world.new_bodies()[-1]
    assert body["action"] == "stream.updated"
    changes = {one["path"]: (one["before"], one["after"]) for one in body["changes"]}
    assert changes["format"] == ("canonical", "ocsf")


def test_a_new_stream_begins_where_it_is_told(world: World) -> None:
    head = seal(world.database, world.organisation_id, world.clock())
    for number, (after, position) in enumerate([(None, head), (-1, -1), (10**6, head), (-7, -1)]):
        one = put(world, f"s{number}", after=after)
        world.do(one)
        with world.read() as reader:
            assert [lane.position for lane in reader.streams.lanes() if lane.stream_id == one.stream_id] == [
                position
            ]


def test_faults_are_told_together(world: World) -> None:
    world.do(put(world, "taken"))
    refused = world.refuse(put(world, " Taken ", kind="pull"))
    assert refused.code is RefusalCode.INVALID
    for words in (
        "named 'Taken' exists",
        "no setting 'url'",
        "'token' is missing",
        "no secret 'signing_secret'",
    ):
        assert words in refused.message

    known = put(world, "second")
    world.do(known)
    moved = put(world, "\n", stream_id=known.stream_id, kind="carrier pigeon", settings={})
    message = world.refuse(moved).message
    assert "1 to 200 printable" in message
    assert "is of the kind webhook" in message
    assert "no destination of the kind 'carrier pigeon'" in message
    forgotten = put(world, "second", stream_id=known.stream_id, secrets={"signing_secret": None})
    assert "the secret 'signing_secret' is missing" in world.refuse(forgotten).message


def test_there_are_only_so_many(world: World) -> None:
    world.do(*(put(world, f"s{number}") for number in range(MOST_STREAMS)))

    assert "the most there may be" in world.refuse(put(world, "one more")).message


def test_who_may_not_set_streams_is_refused(world: World) -> None:
    refused = world.refuse(put(world), actor=LoginActor("login"))

    assert refused.code is RefusalCode.NOT_ALLOWED


def test_what_is_not_there_is_not_found(world: World) -> None:
    gone = StreamId(world.new_id())
    assert world.refuse(PauseStream(gone)).code is RefusalCode.NOT_FOUND
    assert world.refuse(ResumeStream(StreamId("siem"))).code is RefusalCode.NOT_FOUND
    world.new_bodies()
    world.do(NoteStreamFailed(gone, "answered 401"))
    assert world.new_bodies() == []


def test_a_dead_letter_is_told_once_and_a_replay_has_bounds(world: World) -> None:
    one = put(world)
    world.do(one)
    head = seal(world.database, world.organisation_id, world.clock())
    letter = NoteDeadLetter(one.stream_id, 3, world.new_id(), "answered 400")
    world.new_bodies()
    world.do(letter)
    world.do(letter)
    assert [body["action"] for body in world.new_bodies()] == ["stream.dead_lettered"]
    for after in (-2, head):
        assert "a replay begins behind" in world.refuse(ReplayStream(one.stream_id, after)).message


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("webhook", {"url": "http://siem.example"}, "https://"),
        ("webhook", {"url": "https://user@siem.example"}, "without a user"),
        ("webhook", {"url": "https://siem.example/hook?sig=canary"}, "secret 'query'"),
        ("webhook", {"url": 7}, "is no text"),
        ("syslog", {"host": "a b"}, "is no host name"),
        ("syslog", {"host": "a", "port": 0}, "is no port"),
        ("syslog", {"host": "a", "port": True}, "is no port"),
        ("syslog", {"host": "a", "app_name": "a b"}, "is no word"),
        ("syslog", {"host": "a", "ca": "x"}, "PEM"),
        ("elastic", {"url": "https://a", "index": "A"}, "index in small letters"),
        ("splunk", {"url": "https://a", "source": "\n"}, "one line"),
        ("splunk", {"url": "https://a", "format": "cef"}, "'format' is none of ocsf, ecs, canonical"),
        ("pull", {"format": 7}, "'format' is no text"),
        ("sentinel", {"rule": "dcr-1"}, "32 hexadecimal digits"),
        ("kafka", {"brokers": "a"}, "host:port"),
        ("kafka", {"brokers": ",".join(["a:1"] * 11)}, "1 to 10 brokers"),
        ("kafka", {"topic": "a b"}, "no name of a topic"),
        ("kafka", {"mechanism": "GSSAPI"}, "none of PLAIN"),
        ("kafka", {"user": "usher"}, "'user' and the secret 'password' go together"),
    ],
)
def test_settings_have_forms(kind: str, settings: dict[str, Setting], words: str) -> None:
    assert words in "; ".join(find_stream_faults(kind, settings, {}))


def test_good_settings_have_no_fault() -> None:
    pair = {"client_certificate": PEM.encode(), "client_key": PEM.encode()}
    settings: dict[str, Setting] = {"host": "logs.example", "port": 6514, "ca": PEM, "app_name": ""}

    assert find_stream_faults("syslog", settings, pair) == []
    assert find_stream_faults("syslog", settings, {"client_key": b"x"}) == [
        "a client's certificate and its key go together"
    ]
    assert find_stream_faults("splunk", {"url": "https://a"}, {"token": b"a\nb"}) == [
        "the secret 'token' is not one line of text"
    ]


def test_a_host_is_what_deliveries_share() -> None:
    assert find_host({"url": "https://SIEM.example/x"}) == "siem.example:443"
    assert find_host({"url": "https://[::1]:8443"}) == "[::1]:8443"
    assert find_host({"host": "Logs.example"}) == "logs.example:6514"
    assert find_host({"brokers": "Kafka1:9093,kafka2:9093"}) == "kafka1:9093"
    assert find_host({}) == ""
    assert shown_destination("pull", {}) == "pull"


def test_a_destination_is_shown_by_all_that_says_where_things_go() -> None:
    rule: dict[str, Setting] = {"url": "https://dce.example", "rule": "dcr-0", "stream": "Custom-Usher_CL"}

    assert shown_destination("sentinel", rule) == "sentinel https://dce.example dcr-0 Custom-Usher_CL"
    assert shown_destination("kafka", {"brokers": "a:1,b:2", "topic": "t"}) == "kafka a:1,b:2 t"


def test_a_secret_of_one_line_is_one_whatever_its_name() -> None:
    faults = find_stream_faults("sentinel", {}, {"client_secret": b"a\nb"})

    assert "the secret 'client_secret' is not one line of text" in faults


def test_what_is_paused_or_goes_on_already_is_no_event_and_a_forgotten_secret_is_one(world: World) -> None:
    one = put(world, secrets={**SECRETS, "second_signing_secret": b"more"})
    world.do(one)
    world.do(PauseStream(one.stream_id), PauseStream(one.stream_id))
    world.do(ResumeStream(one.stream_id), ResumeStream(one.stream_id))
    world.do(put(world, stream_id=one.stream_id, secrets={"second_signing_secret": None}))

    actions = [body["action"] for body in world.bodies() if body["action"].startswith("stream.")]
    assert actions == ["stream.created", "stream.paused", "stream.resumed", "stream.updated"]
    assert stored(world, one.stream_id).fingerprints.keys() == {"signing_secret"}
