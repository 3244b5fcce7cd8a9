"""Logged requests on their way to the database: a bounded queue, and one thread that writes it in batches.

A request never waits for its log, and a log that cannot be written never fails a request: what does not fit is
dropped and counted.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from provisioning.resources import LoggedRequest, PushStore, StoredToken

_MOST_QUEUED = 10_000
_BATCH_ROWS = 500
_BATCH_SECONDS = 0.2
_USE_INTERVAL = timedelta(minutes=1)
_MOST_TOKENS = 10_000

_log = structlog.get_logger("usher.request_log")


class RequestLog:
    """The port `RequestSink`. `start` and `stop` the thread; without it, `flush` writes what was put.

    `dropped` is told how many requests were lost.
    """

    def __init__(
        self, store: PushStore, *, dropped: Callable[[int], None], most_queued: int = _MOST_QUEUED
    ) -> None:
        self._store = store
        self._dropped = dropped
        self._most_queued = most_queued
        self._requests: deque[LoggedRequest] = deque()
        self._uses: OrderedDict[str, tuple[datetime, str]] = OrderedDict()
        self._noted: OrderedDict[str, datetime] = OrderedDict()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write in a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="usher-request-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread when all that was put is written."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def put(self, request: LoggedRequest) -> None:
        with self._changed:
            is_full = len(self._requests) >= self._most_queued
            if not is_full:
                self._requests.append(request)
                # The first wakes the thread, and the one that fills a batch; the others let it sleep.
                if len(self._requests) in {1, _BATCH_ROWS}:
                    self._changed.notify_all()
        if is_full:
            self._dropped(1)

    def note_use(self, token: StoredToken, at: datetime, address: str) -> None:
        if token.last_used_at is not None and at - token.last_used_at < _USE_INTERVAL:
            return
        with self._changed:
            noted = self._noted.get(token.token_id)
            if noted is not None and at - noted < _USE_INTERVAL:
                return
            self._noted[token.token_id] = at
            self._noted.move_to_end(token.token_id)
            if len(self._noted) > _MOST_TOKENS:
                self._noted.popitem(last=False)
            self._uses[token.token_id] = (at, address)
            self._changed.notify_all()

    def flush(self) -> None:
        """Write all that has been put until now, in the calling thread."""
        while self._write_batch():
            pass

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._uses or self._stopping)
                self._changed.wait_for(
                    lambda: len(self._requests) >= _BATCH_ROWS or self._stopping, timeout=_BATCH_SECONDS
                )
                is_over = self._stopping
            self._write_batch()
            if is_over:
                return

    def _write_batch(self) -> bool:
        """Write one batch; False when there was nothing. Another thread's batch is waited for."""
        with self._writing:
            with self._changed:
                requests = [self._requests.popleft() for _ in range(min(_BATCH_ROWS, len(self._requests)))]
                uses = dict(self._uses)
                self._uses.clear()
            if requests:
                self._append(requests)
            for token_id, (at, address) in uses.items():
                self._note(token_id, at, address)
        return bool(requests or uses)

    def _append(self, requests: Sequence[LoggedRequest]) -> None:
        try:
            self._store.append_requests(requests)
        except Exception as error:  # noqa: BLE001 - the worker loop: one bad batch must not end the log
            if len(requests) > 1 and getattr(error, "code", "") in _OF_ONE_ROW:
                for request in requests:
                    self._append([request])
                return
            self._dropped(len(requests))
            _log.warning("requests not logged", number=len(requests), reason=str(error))

    def _note(self, token_id: str, at: datetime, address: str) -> None:
        try:
            self._store.note_use(token_id, at, address)
        except Exception as error:  # noqa: BLE001 - the worker loop, likewise
            _log.warning("use of a token not noted", token=token_id, reason=str(error))


_OF_ONE_ROW = frozenset({"unfit_value", "storage_conflict"})
"""Codes of errors that a single row causes; the others of its batch are written without it."""
