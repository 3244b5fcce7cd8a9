"""Kafka: one record a message, keyed by organisation, so that all of one lie in order in one partition.

The client is an extra. Whatever it connects to, brokers that the cluster names included, goes through one method of
the loop that it runs in, and there the guard of addresses stands. Source: docs/decisions/0024-kafka.md
"""

import asyncio
import contextlib
import logging
import ssl
import struct
from collections.abc import Callable, Coroutine, Mapping
from importlib.util import find_spec
from typing import Any, Final

from provisioning.stream_settings import MECHANISMS, Setting
from streams.formats import Form
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, record_id
from streams.tls import make_context
from web.targets import TargetRefusedError, Targets

INSTALL: Final = "pip install 'usher-sync[kafka]'"
MISSING: Final = f"the client for Kafka is not installed here; install it with: {INSTALL}"

# Whatever the client makes of what a stranger's broker answers; its own faults are RuntimeErrors.
_FAULTS: Final = (AssertionError, LookupError, OSError, RuntimeError, TypeError, ValueError, struct.error)
_CLIENT: Final = "aiokafka"
_SECONDS: Final = 10.0
_SECONDS_IN_ALL: Final = 25.0
_SECONDS_TO_END: Final = 2.0
_STEPS_TO_CLOSE: Final = 3
# Of a message and of a request: what brokers take when nothing else is set (message.max.bytes).
_MOST_BYTES: Final = 1_000_000
_BATCH_BYTES: Final = 524_288
# Of the number of rounds in SCRAM: Kafka itself allows 16,384.
_MOST_DIGITS: Final = 6
# Answers are short, but for a list of everything in the cluster.
_MOST_ANSWERED: Final = 16_777_216


def is_installed() -> bool:
    """Whether there is a client."""
    return find_spec(_CLIENT) is not None


class Kafka:
    """Sends batches over a producer that lives as long as its deliveries succeed. `close` it."""

    def __init__(
        self, targets: Targets, form: Form, settings: Mapping[str, Setting], secrets: Mapping[str, bytes]
    ) -> None:
        self._targets = targets
        self._form = form
        self._brokers = str(settings["brokers"]).split(",")
        self._topic = str(settings["topic"])
        self._user = str(settings.get("user") or "")
        self._mechanism = str(settings.get("mechanism") or MECHANISMS[-1])
        self._ca = str(settings.get("ca") or "")
        self._secrets = secrets
        self._running: _Running | None = None

    def send(self, batch: Batch) -> Outcome:
        if not is_installed():
            return Outcome(Verdict.LATER, MISSING)
        values = [(record_id(record).encode(), self._form.render(record)) for record in batch.records]
        if any(len(value) > _MOST_BYTES for _, value in values):
            return Outcome(Verdict.UNFIT, f"is longer than the {_MOST_BYTES} bytes that a message may have")
        try:
            running = self._running = self._running or _Running(self._targets, self._options())
        except (ssl.SSLError, ValueError):
            return Outcome(Verdict.LATER, "the certificates that are set cannot be read")
        outcome = running.send(self._topic, self._form.organisation_id.encode(), values)
        if outcome.verdict is not Verdict.TAKEN:
            self.close()
        return outcome

    def close(self) -> None:
        """End the producer and its connections."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap_servers": self._brokers,
            "client_id": "usher",
            "security_protocol": "SASL_SSL" if self._user else "SSL",
            "ssl_context": make_context(self._ca, self._secrets),
            "request_timeout_ms": int(_SECONDS * 1000),
        }
        if self._user:
            options |= {
                "sasl_mechanism": self._mechanism,
                "sasl_plain_username": self._user,
                "sasl_plain_password": self._secrets["password"].decode("ascii"),
            }
        return options


class _Running:
    """A producer in a loop of its own, which runs while a batch is sent and stands still in between."""

    def __init__(self, targets: Targets, options: Mapping[str, Any]) -> None:
        self._options = options
        self._loop = GuardedLoop(targets)
        # What it meets with is told by outcomes, once for each attempt and not for each of its own.
        logging.getLogger(_CLIENT).setLevel(logging.CRITICAL)
        self._loop.set_exception_handler(lambda *_: None)
        self._producer: Any = None

    def send(self, topic: str, key: bytes, values: list[tuple[bytes, bytes]]) -> Outcome:
        try:
            return self._loop.run_until_complete(self._race(self._deliver(topic, key, values)))
        except TargetRefusedError as error:
            return Outcome(Verdict.REFUSED, str(error))
        except _FAULTS as error:
            return explain(error, self._loop.trouble)

    def close(self) -> None:
        """End what runs, kindly at first."""
        loop = self._loop
        if self._producer is not None:
            loop.run_until_complete(_try_for(_SECONDS_TO_END, self._producer.stop()))
        with contextlib.suppress(*_FAULTS):
            pending = asyncio.all_tasks(loop)
            for task in pending:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.abandon())
        loop.close()

    async def _race(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Deliver, until the time is over or an address is refused: the client would go on trying it."""
        task = asyncio.ensure_future(work)
        refused = self._loop.refused()
        await asyncio.wait((task, refused), timeout=_SECONDS_IN_ALL, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not refused.done():
            return task.result()
        task.cancel()
        await asyncio.wait((task,), timeout=_SECONDS_TO_END)
        if refused.done():
            raise TargetRefusedError(refused.result())
        raise TimeoutError

    async def _deliver(self, topic: str, key: bytes, values: list[tuple[bytes, bytes]]) -> Outcome:
        import aiokafka  # noqa: PLC0415 - an extra, and slow to load

        _bound_rounds()
        if self._producer is None:
            self._producer = aiokafka.AIOKafkaProducer(
                **self._options,
                acks="all",
                enable_idempotence=True,
                compression_type="gzip",
                max_batch_size=_BATCH_BYTES,
                max_request_size=_MOST_BYTES + _BATCH_BYTES,
            )
            try:
                await self._producer.start()
            except aiokafka.errors.KafkaConnectionError:
                await self._sign_in_to_learn_why()
                raise
        sent = [
            await self._producer.send(topic, value, key, headers=[("id", name)]) for name, value in values
        ]
        await asyncio.gather(*sent)
        return Outcome(Verdict.TAKEN, f"acknowledged {len(sent)} messages")

    async def _sign_in_to_learn_why(self) -> None:
        """The producer says no more than that no broker would have it. Raises what one broker says."""
        from aiokafka.conn import collect_hosts, create_conn  # noqa: PLC0415 - as above

        options = dict(self._options)
        host, port, _ = collect_hosts(options.pop("bootstrap_servers"), randomize=False)[0]
        (await create_conn(host, port, **options)).close()


class GuardedLoop(asyncio.SelectorEventLoop):
    """Connects to addresses that the guard has checked, by TLS, and to nothing else."""

    def __init__(self, targets: Targets) -> None:
        super().__init__()
        self._targets = targets
        self._refused: asyncio.Future[str] = self.create_future()
        self._made: list[asyncio.Transport] = []
        self.trouble = ""

    def refused(self) -> asyncio.Future[str]:
        """Done as soon as an address was refused: why."""
        return self._refused

    async def abandon(self) -> None:
        """Close every connection at once, whatever the other side does."""
        for transport in self._made:
            transport.abort()
        # The loop closes sockets a step behind, and that of TLS the one below it.
        for _ in range(_STEPS_TO_CLOSE):
            await asyncio.sleep(0)

    async def create_connection(  # type: ignore[override]  # only what the client asks for, and no more
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        ssl: ssl.SSLContext,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Resolve once and connect to what was checked. The certificate stays by the name."""
        try:
            address = self._targets.find(host, port)
            transport, protocol = await super().create_connection(
                lambda: Bounded(protocol_factory()), address, port, ssl=ssl, server_hostname=host
            )
            self._made.append(transport)
            return transport, protocol
        except TargetRefusedError as error:
            if not self._refused.done():
                self._refused.set_result(str(error))
            raise ConnectionRefusedError(str(error)) from error
        except OSError as error:
            reason = getattr(error, "verify_message", "")
            self.trouble = (
                f"the certificate of {host} is not trusted: {reason}"
                if reason
                else f"{host}:{port} cannot be reached by TLS"
            )
            raise


class Bounded(asyncio.Protocol):
    """A protocol that is told no more than a connection may bring: a broker's lengths are its own word."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._transport: asyncio.BaseTransport | None = None
        self._left = _MOST_ANSWERED
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]  # as it comes
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left >= 0:
            self._inner.data_received(data)
        elif isinstance(self._transport, asyncio.Transport):
            self._transport.abort()


_UNFIT: Final = frozenset({"MessageSizeTooLargeError", "RecordListTooLargeError"})
_SIGN_IN: Final = frozenset(
    {
        "AuthenticationFailedError",
        "AuthenticationMethodNotSupported",
        "IllegalSaslStateError",
        "SaslAuthenticationFailed",
        "UnsupportedSaslMechanismError",
    }
)
_RIGHTS: Final = frozenset({"ClusterAuthorizationFailedError", "TopicAuthorizationFailedError"})
_TOPIC: Final = frozenset({"InvalidTopicError", "UnknownTopicOrPartitionError"})
FAULT_NAMES: Final = _UNFIT | _SIGN_IN | _RIGHTS | _TOPIC
"""Classes of `aiokafka.errors` that are told apart, by name: it need not be there."""


def explain(error: Exception, trouble: str) -> Outcome:
    """What a fault of the client means."""
    names = {one.__name__ for one in type(error).__mro__}
    if names & _UNFIT:
        return Outcome(Verdict.UNFIT, "is longer than the brokers take")
    if names & _SIGN_IN:
        return Outcome(Verdict.REFUSED, "the brokers do not let us in; check user, password and mechanism")
    if names & _RIGHTS:
        return Outcome(
            Verdict.REFUSED, "the brokers do not let us write; check what the user may do with the topic"
        )
    if names & _TOPIC:
        return Outcome(Verdict.LATER, "the brokers have no such topic, and make none")
    return Outcome(Verdict.LATER, trouble or "the brokers cannot be reached, or did not acknowledge in time")


def _bound_rounds() -> None:
    """See to it that no broker has us compute for hours: in SCRAM it says how many rounds there are to be.

    The client offers no place for it. To do it again changes nothing.
    """
    from aiokafka import conn  # noqa: PLC0415 - as above

    class Scram(conn.ScramAuthenticator):  # type: ignore[misc]  # the client has no annotations
        def process_server_first_message(self, server_first_message: str) -> None:
            """Source: RFC 5802 section 5.1, attribute i."""
            told = [one.partition("=")[2] for one in server_first_message.split(",") if one.startswith("i=")]
            if not told or any(not one.isdecimal() or len(one) > _MOST_DIGITS for one in told):
                raise ValueError("a number of rounds that is none, or too large")
            super().process_server_first_message(server_first_message)

    if conn.ScramAuthenticator.__name__ != Scram.__name__:
        conn.ScramAuthenticator = Scram


async def _try_for(seconds: float, work: Coroutine[Any, Any, object]) -> None:
    with contextlib.suppress(*_FAULTS):
        await asyncio.wait_for(work, seconds)
