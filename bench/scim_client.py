"""A client over raw sockets, so that it costs little beside the servers that it shares the machine with.

Usage: python -m bench.scim_client. Reads one job a line, as JSON, and prints what came of it. It knows of HTTP what
these servers say: a length or chunks, and connections that stay open.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

MARK = "{marker}"
"""Stands in a request where its value comes. All values of a job are of one length, so that the body's holds."""
PATIENCE_SECONDS = 300
_RECEIVE_BYTES = 1 << 18
_END_OF_HEAD = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_SHOWN_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is as it came over the wire; `document` takes chunks apart."""

    status: int
    head: bytes
    body: bytes

    def document(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        if b"transfer-encoding: chunked" in self.head:
            return json.loads(b"".join(_chunks(self.body)))
        return json.loads(self.body)


def _chunks(body: bytes) -> Iterator[bytes]:
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return
        yield body[end + 2 : end + 2 + size]
        at = end + 4 + size


class Connection:
    """One connection that stays open; a server that closes it after each answer costs a new one each time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connect()
        self._is_closed = False

    def _connect(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_SECONDS)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> Answer:
        if self._is_closed:
            self._socket.close()
            self._socket = self._connect()
        self._socket.sendall(request)
        received = self._receive()
        while (split := received.find(_END_OF_HEAD)) < 0:
            received += self._receive()
        head, body = received[:split].lower(), received[split + 4 :]
        status = int(head[9:12])
        self._is_closed = head.startswith(b"http/1.0") or b"connection: close" in head
        if status in {204, 304}:
            return Answer(status, head, body)
        at = head.find(b"content-length:")
        if at >= 0:
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            return Answer(status, head, self._rest(body, length))
        if b"transfer-encoding: chunked" in head:
            return Answer(status, head, self._all_chunks(body))
        raise AssertionError(f"an answer without a length: {head!r}")

    def _rest(self, body: bytes, length: int) -> bytes:
        if len(body) >= length:
            return body
        parts, missing = [body], length - len(body)
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        return b"".join(parts)

    def _all_chunks(self, body: bytes) -> bytes:
        """JSON on one line holds no bare line end, so the last chunk is known by its bytes alone."""
        parts = [body]
        end = body
        while not (end.endswith(b"\r\n" + _LAST_CHUNK) or end == _LAST_CHUNK):
            parts.append(self._receive())
            end = (end + parts[-1])[-7:]
        return b"".join(parts)

    def _receive(self) -> bytes:
        part = self._socket.recv(_RECEIVE_BYTES)
        if not part:
            raise AssertionError("the server closed a connection in the middle of an answer")
        return part


def make_request(method: str, path: str, *, token: str, body: object = None, value_length: int = 0) -> str:
    """The whole text of a request. `value_length`: of the values that come in where `MARK` stands in the body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    text = ""
    if body is not None:
        text = json.dumps(body, separators=(",", ":"))
        length = len(text) + text.count(MARK) * (value_length - len(MARK))
        lines += ["Content-Type: application/scim+json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", text])


@dataclass(frozen=True, slots=True)
class Job:
    """Requests to send over several connections for a while.

    `values` come in at `MARK` one after the other, round and round or, with `is_once`, until they are used up.
    """

    port: int
    request: str
    values: list[str]
    seconds: float
    is_once: bool = False
    connections: int = 4


@dataclass(frozen=True, slots=True)
class Result:
    """`rate` is in requests a second; p50 and p99 are in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float
    failures: list[str]


class _Supply:
    """The values of a job, each given to one connection."""

    def __init__(self, job: Job) -> None:
        self._values = job.values
        self._is_once = job.is_once
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> str | None:
        with self._lock:
            at = self._next
            self._next += 1
        if at >= len(self._values) and self._is_once:
            return None
        return self._values[at % len(self._values)]


def run_job(job: Job) -> Result:
    before, _, after = job.request.encode().partition(MARK.encode())
    # A name may stand several times in a body.
    pieces = [before, *after.split(MARK.encode())]
    supply = _Supply(job)
    times: list[list[float]] = [[] for _ in range(job.connections)]
    failures: list[str] = []
    clock = time.perf_counter
    gate = threading.Barrier(job.connections + 1)

    def work(mine: list[float]) -> None:
        try:
            with Connection(job.port) as connection:
                gate.wait()
                end = clock() + job.seconds
                begun = clock()
                while begun < end:
                    value = supply.take()
                    if value is None:
                        return
                    request = value.encode().join(pieces)
                    begun = clock()
                    answer = connection.ask(request)
                    done = clock()
                    mine.append(done - begun)
                    begun = done
                    if not 200 <= answer.status < 300:
                        failures.append(f"{answer.status} {answer.body[:300].decode(errors='replace')}")
        except (OSError, AssertionError, threading.BrokenBarrierError) as err:
            gate.abort()
            failures.append(repr(err))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in times]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        gate.wait()
    start = clock()
    for thread in threads:
        thread.join()
    taken = clock() - start
    every = sorted(1000 * each for mine in times for each in mine)
    if not every:
        return Result(0, 0.0, 0.0, 0.0, failures or ["no request was sent"])
    return Result(
        requests=len(every),
        rate=len(every) / taken,
        p50=every[len(every) // 2],
        p99=every[min(len(every) - 1, len(every) * 99 // 100)],
        failures=failures[:_SHOWN_FAILURES],
    )


class ClientProcess:
    """A client in a process of its own, for as long as this is entered."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.scim_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, job: Job) -> Result:
        """Raises AssertionError when anything but a success was answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(job)), file=self._process.stdin, flush=True)
        result = Result(**json.loads(self._process.stdout.readline()))
        if result.failures:
            failures = "\n".join(result.failures)
            raise AssertionError(f"requests failed, {job.request[:100]!r}:\n{failures}")
        return result


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(asdict(run_job(Job(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
