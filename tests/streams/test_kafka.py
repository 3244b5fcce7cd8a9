"""Kafka: librdkafka's mock cluster behind real TLS, and brokers that lead elsewhere.

What cancels tasks runs in a thread of its own: by CPython 3.11 coverage loses the place in a thread that has done so.
"""

import contextlib
import hashlib
import hmac
import socket
import ssl
import struct
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_network
from typing import Self

import aiokafka.errors
import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from directory.ids import OrganisationId, StreamId
from provisioning.streaming import HeldLane, Lane, StoredStream
from streams.destinations import Destinations
from streams.kafka import FAULT_NAMES, INSTALL, Kafka, explain
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, EventRecord, GapRecord
from tests.certificates import Certificates
from tests.streams.test_syslog import FORM, LOOPBACK, NOW, STREAM, batch, event
from web.outgoing import Outgoing
from web.targets import Targets

TOPIC = "usher-audit"
# The mock cluster has no TLS and names itself by this address. The same port of the other one has TLS in front of it,
# and it is there that the name leads.
PLAIN, SECURED = "127.0.0.1", "127.0.0.2"
API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36


class Cluster:
    """One broker of librdkafka's own, that takes and gives back what is sent."""

    def __init__(self) -> None:
        self._producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none"})
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.port = int(broker.port)

    def read(self, number: int) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
        """So many messages of the topic, in their order: key, value, headers."""
        consumer = Consumer({"bootstrap.servers": f"{PLAIN}:{self.port}", "group.id": "test"})
        try:
            partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
            consumer.assign([TopicPartition(TOPIC, one, 0) for one in partitions])
            found: list[tuple[bytes, bytes, dict[str, bytes]]] = []
            while len(found) < number:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None
                found.append((message.key(), message.value(), dict(message.headers())))  # type: ignore[arg-type]  # none is None
            return found
        finally:
            consumer.close()


Answer = Callable[[int, bytes], bytes | None]
"""What stands in front of a broker says to a request by itself: by the kind of the request, and its body."""


class Front:
    """TLS in front of a broker. `answer` may answer in its place, and `heard` is what came to it in clear text."""

    def __init__(
        self,
        certificates: Certificates,
        port: int,
        *,
        wants_certificate: bool = False,
        sasl: Answer | None = None,
    ) -> None:
        self.connections = 0
        self.broken = threading.Event()
        self._port = port
        self._sasl = sasl
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.good.certificate, certificates.good.key)
        if wants_certificate:
            self._context.load_verify_locations(certificates.authority)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._socket = socket.create_server((SECURED, port))
        self._opened: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for opened in self._opened:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._opened.append(opened)
            thread = threading.Thread(target=self._serve, args=(opened,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, opened: socket.socket) -> None:
        try:
            with (
                self._context.wrap_socket(opened.dup(), server_side=True) as secured,
                socket.create_connection((PLAIN, self._port)) as behind,
            ):
                while (request := _read(secured)) and not self.broken.is_set():
                    secured.sendall(_frame(self._ask(behind, request)))
        except OSError:
            pass
        finally:
            opened.close()

    def _ask(self, behind: socket.socket, request: bytes) -> bytes:
        kind, _, correlation = struct.unpack(">hhi", request[:8])
        if self._sasl is not None:
            (length,) = struct.unpack(">h", request[8:10])
            said = self._sasl(kind, request[10 + max(length, 0) :])
            if said is not None:
                return struct.pack(">i", correlation) + said
        behind.sendall(_frame(request))
        answer = _read(behind)
        if kind == API_VERSIONS and self._sasl is not None:
            (count,) = struct.unpack(">i", answer[6:10])
            more = struct.pack(">hhhhhh", SASL_HANDSHAKE, 0, 1, SASL_AUTHENTICATE, 0, 0)
            return (
                answer[:6]
                + struct.pack(">i", count + 2)
                + answer[10 : 10 + 6 * count]
                + more
                + answer[10 + 6 * count :]
            )
        return answer


def _read(connection: socket.socket) -> bytes:
    head = _read_exactly(connection, 4)
    return _read_exactly(connection, struct.unpack(">i", head)[0]) if head else b""


def _read_exactly(connection: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        chunk = connection.recv(length - len(read))
        if not chunk:
            return b""
        read += chunk
    return read


def _frame(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


class Sasl:
    """Signs one user in, by each of the three mechanisms, as a broker does."""

    def __init__(self, rounds: str = "4096") -> None:
        self.password = b"canary"
        self.rounds = rounds
        self.mechanism = ""
        self._first = ""
        self._served = ""

    def __call__(self, kind: int, body: bytes) -> bytes | None:
        if kind == SASL_HANDSHAKE:
            self.mechanism = body[2:].decode()
            names = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
            told = b"".join(struct.pack(">h", len(one)) + one.encode() for one in names)
            return struct.pack(">hi", 0, len(names)) + told
        if kind == SASL_AUTHENTICATE:
            fault, said = self._step(body[4:])
            text = b"wrong" if fault else b""
            return struct.pack(">hh", fault, len(text)) + text + _frame(said)
        return None

    def _step(self, said: bytes) -> tuple[int, bytes]:
        if self.mechanism == "PLAIN":
            return (0, b"") if said == b"usher\0usher\0" + self.password else (58, b"")
        name = self.mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        if said.startswith(b"n,,"):
            self._first = said[3:].decode()
            nonce = self._first.partition("r=")[2]
            self._served = f"r={nonce}more,s={b64encode(b'salt').decode()},i={self.rounds}"
            return 0, self._served.encode()
        salted = hashlib.pbkdf2_hmac(name, self.password, b"salt", 4096)
        bare, _, proof = said.decode().rpartition(",p=")
        signed = f"{self._first},{self._served},{bare}".encode()
        client = hmac.digest(salted, b"Client Key", name)
        signature = hmac.digest(hashlib.new(name, client).digest(), signed, name)
        right = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        if proof != b64encode(right).decode():
            return 58, b""
        server = hmac.digest(hmac.digest(salted, b"Server Key", name), signed, name)
        return 0, b"v=" + b64encode(server)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


def resolve(host: str, _port: int) -> list[str]:
    return [{PLAIN: SECURED, "localhost": SECURED}.get(host, host)]


@pytest.fixture
def make(certificates: Certificates) -> Iterator[Callable[..., Kafka]]:
    made: list[Kafka] = []

    def make_one(port: int, targets: Targets | None = None, **changed: str | bytes) -> Kafka:
        settings = {"brokers": f"localhost:{port}", "topic": TOPIC, "ca": certificates.authority.read_text()}
        settings |= {name: value for name, value in changed.items() if isinstance(value, str)}
        secrets = {name: value for name, value in changed.items() if isinstance(value, bytes)}
        made.append(Kafka(targets or Targets(LOOPBACK, resolve), FORM, settings, secrets))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


def test_batches_arrive_in_order_under_the_organisations_key(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka]
) -> None:
    with Front(certificates, cluster.port) as front:
        kafka = make(cluster.port)

        outcomes = [kafka.send(batch(100, first)) for first in (0, 100, 200)]
        used = front.connections
        kafka.close()

    assert outcomes == [Outcome(Verdict.TAKEN, "acknowledged 100 messages")] * 3
    messages = cluster.read(300)
    assert {key for key, _, _ in messages} == {b"org"}
    assert [orjson.loads(value)["leaf_index"] for _, value, _ in messages] == list(range(300))
    assert [headers["id"] for _, _, headers in messages[:2]] == [b"event-0", b"event-1"]
    assert used <= 3


def test_the_destination_of_a_stream_ends_with_its_turn(
    cluster: Cluster, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    settings = {"brokers": f"localhost:{cluster.port}", "topic": "of-a-turn", "format": "ecs"}
    stream = StoredStream(
        StreamId(STREAM), OrganisationId("org"), "siem", "kafka", settings, "", "active", "", 1, NOW
    )
    lane = Lane(stream.stream_id, stream.organisation_id, "live", -1, NOW)
    targets = Targets(LOOPBACK, resolve)
    before = threading.active_count()
    with Front(certificates, cluster.port), Outgoing(targets, timer=lambda: 0.0) as outgoing:
        destinations = Destinations(outgoing, targets, lambda: NOW, hostname="usher")
        with destinations.open(HeldLane(lane, stream, {})) as destination:
            sent = destination.send(Batch(STREAM, (GapRecord(0, 1), EventRecord(event(2))), 0, 2))

    assert sent.verdict is Verdict.TAKEN
    assert threading.active_count() == before


def test_brokers_may_ask_for_our_certificate(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka]
) -> None:
    pair = {
        "client_certificate": certificates.good.certificate.read_bytes(),
        "client_key": certificates.good.key.read_bytes(),
    }
    with Front(certificates, cluster.port, wants_certificate=True):
        assert make(cluster.port, **pair).send(batch(1)).verdict is Verdict.TAKEN
        assert make(cluster.port).send(batch(1)).verdict is Verdict.LATER


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", ""])
def test_users_are_signed_in(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka], mechanism: str
) -> None:
    sasl = Sasl()
    with Front(certificates, cluster.port, sasl=sasl):
        known = make(cluster.port, user="usher", password=b"canary", mechanism=mechanism)
        unknown = make(cluster.port, user="usher", password=b"wrong", mechanism=mechanism)

        assert known.send(batch(2)).verdict is Verdict.TAKEN
        assert sasl.mechanism == (mechanism or "SCRAM-SHA-512")
        assert unknown.send(batch(2)) == Outcome(
            Verdict.REFUSED, "the brokers do not let us in; check user, password and mechanism"
        )


@pytest.mark.parametrize("rounds", ["2147483647", "many", "0000002147483647", "4096,i=999999999"])
def test_a_broker_has_nobody_compute_for_hours(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka], rounds: str
) -> None:
    with Front(certificates, cluster.port, sasl=Sasl(rounds)):
        assert make(cluster.port, user="usher", password=b"canary").send(batch(1)).verdict is Verdict.LATER


def test_a_broker_without_a_good_certificate_is_told_nothing(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka]
) -> None:
    with Front(replace(certificates, good=certificates.wrong_name), cluster.port):
        outcome = make(cluster.port).send(batch(1))

    assert outcome.verdict is Verdict.LATER
    assert "the certificate of localhost is not trusted" in outcome.text


def test_plain_text_is_spoken_to_nobody(cluster: Cluster, make: Callable[..., Kafka]) -> None:
    kafka = make(cluster.port, Targets(LOOPBACK, lambda *_: [PLAIN]))

    assert kafka.send(batch(1)).verdict is Verdict.LATER


def test_an_address_that_is_not_public_is_refused(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka]
) -> None:
    with Front(certificates, cluster.port) as front:
        refused = make(cluster.port, Targets((), resolve)).send(batch(1))

        assert front.connections == 0
    assert refused.verdict is Verdict.REFUSED
    assert "'localhost' leads to an address that is not public" in refused.text


def test_a_broker_that_the_cluster_names_is_guarded_too(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka]
) -> None:
    """The first broker is allowed; it names another, which is not."""
    allowed = (ip_network(f"{SECURED}/32"),)
    targets = Targets(allowed, lambda host, _: [SECURED if host == "localhost" else host])
    with Front(certificates, cluster.port) as front, ThreadPoolExecutor() as pool:
        refused = pool.submit(make(cluster.port, targets).send, batch(1)).result()

        assert front.connections == 1
    assert refused.verdict is Verdict.REFUSED
    assert f"'{PLAIN}' leads to an address that is not public" in refused.text


def test_a_name_is_resolved_once_for_each_connection(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka]
) -> None:
    asked: list[str] = []

    def resolve_and_note(host: str, port: int) -> list[str]:
        asked.append(host)
        return resolve(host, port)

    with Front(certificates, cluster.port) as front:
        make(cluster.port, Targets(LOOPBACK, resolve_and_note)).send(batch(1))

        assert len(asked) == front.connections


def test_brokers_that_have_gone_are_tried_again(
    cluster: Cluster, certificates: Certificates, make: Callable[..., Kafka]
) -> None:
    kafka = make(cluster.port)
    with Front(certificates, cluster.port):
        assert kafka.send(batch(1)).verdict is Verdict.TAKEN
    with ThreadPoolExecutor() as pool:
        pool.submit(kafka.close).result()
    gone = kafka.send(batch(1))
    assert (gone.verdict, gone.text) == (
        Verdict.LATER,
        f"localhost:{cluster.port} cannot be reached by TLS",
    )
    with Front(certificates, cluster.port):
        assert kafka.send(batch(1)).verdict is Verdict.TAKEN


def test_a_message_that_is_too_long_is_not_fit(make: Callable[..., Kafka]) -> None:
    long = EventRecord(event(0, note="x" * 1_000_000))

    assert make(1).send(Batch(STREAM, (long,), 0, 0)).verdict is Verdict.UNFIT


def test_certificates_that_cannot_be_read_are_told(make: Callable[..., Kafka]) -> None:
    outcome = make(1, client_certificate=b"no", client_key=b"none").send(batch(1))

    assert outcome == Outcome(Verdict.LATER, "the certificates that are set cannot be read")


def test_a_broker_brings_no_more_than_so_much(certificates: Certificates, make: Callable[..., Kafka]) -> None:
    """It says that its answer is 2 GiB long, and begins to send it."""
    sent: list[int] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.good.certificate, certificates.good.key)

    def flood(listener: socket.socket) -> None:
        opened, _ = listener.accept()
        listener.close()
        try:
            with context.wrap_socket(opened, server_side=True) as secured:
                _read(secured)
                secured.sendall(b"\x7f\xff\xff\xff")
                while True:
                    secured.sendall(bytes(65_536))
                    sent.append(65_536)
        except OSError:
            return

    with socket.create_server((SECURED, 0)) as listener:
        thread = threading.Thread(target=flood, args=(listener,), daemon=True)
        thread.start()
        kafka = make(listener.getsockname()[1])

        assert kafka.send(batch(1)).verdict is Verdict.LATER
        thread.join(20)
    assert 16_000_000 < sum(sent) < 40_000_000


def test_without_the_client_it_is_said_how_to_install_it(
    make: Callable[..., Kafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = make(1)
    monkeypatch.setitem(sys.modules, "aiokafka", None)

    outcome = kafka.send(batch(1))

    assert outcome.verdict is Verdict.LATER
    assert outcome.text.endswith(INSTALL)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("MessageSizeTooLargeError", Verdict.UNFIT),
        ("SaslAuthenticationFailed", Verdict.REFUSED),
        ("TopicAuthorizationFailedError", Verdict.REFUSED),
        ("UnknownTopicOrPartitionError", Verdict.LATER),
        ("NotEnoughReplicasError", Verdict.LATER),
    ],
)
def test_each_fault_of_the_client_means_one_thing(name: str, verdict: Verdict) -> None:
    error: Exception = getattr(aiokafka.errors, name)()

    assert explain(error, "").verdict is verdict


def test_the_faults_that_are_told_apart_are_the_clients_own() -> None:
    for name in FAULT_NAMES:
        assert issubclass(getattr(aiokafka.errors, name), aiokafka.errors.KafkaError)
