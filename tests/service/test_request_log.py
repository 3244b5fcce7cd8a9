"""The log of requests never holds a request up, writes in batches, and counts what it loses."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from directory.changes import PutDirectory, PutToken
from directory.ids import DirectoryId, OrganisationId
from provisioning.resources import LoggedRequest, RequestQuery, StoredToken
from service.administration import Administration
from service.request_log import RequestLog
from storage.engine import Database
from storage.errors import DatabaseUnavailableError
from storage.push_store import SQLPushStore
from tests.service.worlds import HandClock, small_world


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    with small_world(tmp_path, clock) as administration:
        yield administration


@pytest.fixture
def token(world: Administration) -> StoredToken:
    mint = world.wiring.mint
    directory_id, token_id = DirectoryId(mint.id()), mint.id()
    world.apply([PutDirectory(directory_id, "scim", "push", {})])
    world.apply([PutToken(token_id, directory_id, "entra", "usher_scim_abcdefgh", bytes(32))])
    return read_token(world)


def read_token(world: Administration) -> StoredToken:
    with world.read() as reader:
        (found,) = reader.tokens()
    return found


def request(world: Administration, token: StoredToken, **values: object) -> LoggedRequest:
    logged = LoggedRequest(
        id=world.wiring.mint.id(),
        organisation_id=world.organisation_id,
        directory_id=token.directory_id,
        request_id="request-1",
        at=world.wiring.clock(),
        token_prefix=token.prefix,
        address="192.0.2.7",
        method="GET",
        path="/Users",
        query="",
        headers={},
        status=200,
        scim_type="",
        detail="",
        duration_us=1,
        profile="generic",
        leniencies=(),
        events=(),
        request_body=None,
        answer_body=None,
    )
    return replace(logged, **values)  # type: ignore[arg-type]  # the dataclass's own fields


def logged_ids(world: Administration, token: StoredToken) -> set[str]:
    query = RequestQuery(token.directory_id, limit=10_000)
    return {one.id for one in world.wiring.pushes.requests(world.organisation_id, query)}


class Losses:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, number: int) -> None:
        self.count += number


@pytest.fixture
def losses() -> Losses:
    return Losses()


def test_the_thread_writes_what_is_put(world: Administration, token: StoredToken, losses: Losses) -> None:
    log = RequestLog(world.wiring.pushes, dropped=losses)
    log.start()
    requests = [request(world, token) for _ in range(1200)]

    for one in requests:
        log.put(one)
    log.stop()

    assert logged_ids(world, token) == {one.id for one in requests}
    assert losses.count == 0


def test_flush_writes_without_a_thread(world: Administration, token: StoredToken, losses: Losses) -> None:
    log = RequestLog(world.wiring.pushes, dropped=losses)
    one = request(world, token)
    log.put(one)

    assert logged_ids(world, token) == set()
    log.flush()
    assert logged_ids(world, token) == {one.id}
    log.stop()


def test_the_thread_writes_while_it_runs(world: Administration, token: StoredToken, losses: Losses) -> None:
    written = threading.Event()
    log = RequestLog(Telling(world.wiring.database, written), dropped=losses)
    log.start()
    for number in range(2):
        written.clear()
        log.put(request(world, token))
        assert written.wait(30), number
    log.stop()

    assert len(logged_ids(world, token)) == 2


class Telling(SQLPushStore):
    """The store, which tells when a batch is in it."""

    def __init__(self, database: Database, written: threading.Event) -> None:
        super().__init__(database)
        self._written = written

    def append_requests(self, requests: Sequence[LoggedRequest]) -> None:
        super().append_requests(requests)
        self._written.set()


def test_a_full_queue_drops_and_counts(world: Administration, token: StoredToken, losses: Losses) -> None:
    log = RequestLog(world.wiring.pushes, dropped=losses, most_queued=2)
    for _ in range(5):
        log.put(request(world, token))

    log.flush()

    assert (losses.count, len(logged_ids(world, token))) == (3, 2)


def test_a_row_that_does_not_fit_takes_no_other_with_it(
    world: Administration, token: StoredToken, losses: Losses
) -> None:
    log = RequestLog(world.wiring.pushes, dropped=losses)
    good, stray = request(world, token), request(world, token, organisation_id=OrganisationId("nobody"))
    for one in (good, stray, request(world, token)):
        log.put(one)

    log.flush()

    assert (losses.count, len(logged_ids(world, token))) == (1, 2)


def test_a_database_that_is_away_loses_a_batch_and_nothing_else(
    world: Administration, token: StoredToken, losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RequestLog(world.wiring.pushes, dropped=losses)

    def away(*_: object) -> None:
        raise DatabaseUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.wiring.pushes), "append_requests", away)
        patch.setattr(type(world.wiring.pushes), "note_use", away)
        log.put(request(world, token))
        log.put(request(world, token))
        log.note_use(token, world.wiring.clock(), "192.0.2.7")
        log.flush()
    assert losses.count == 2

    log.put(request(world, token))
    log.flush()
    assert len(logged_ids(world, token)) == 1


def test_the_use_of_a_token_is_noted_once_a_minute(
    world: Administration, token: StoredToken, clock: HandClock, losses: Losses
) -> None:
    log = RequestLog(world.wiring.pushes, dropped=losses)
    noted: list[tuple[datetime | None, str]] = []

    def use(address: str, row: StoredToken) -> None:
        log.note_use(row, clock(), address)
        log.flush()
        now = read_token(world)
        noted.append((now.last_used_at, now.last_used_from))

    start = clock()
    use("192.0.2.1", token)
    # Another request that read the row before it was written.
    use("192.0.2.2", token)
    clock.advance(seconds=59)
    use("192.0.2.3", read_token(world))
    clock.advance(seconds=1)
    use("192.0.2.4", read_token(world))

    assert noted == [(start, "192.0.2.1")] * 3 + [(start + timedelta(minutes=1), "192.0.2.4")]


def test_only_so_many_tokens_are_remembered(
    world: Administration, token: StoredToken, losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.request_log._MOST_TOKENS", 1)
    log = RequestLog(world.wiring.pushes, dropped=losses)
    now = world.wiring.clock()

    log.note_use(token, now, "192.0.2.1")
    log.note_use(replace(token, token_id=world.wiring.mint.id()), now, "192.0.2.2")
    log.note_use(token, now, "192.0.2.3")
    log.flush()

    assert read_token(world).last_used_from == "192.0.2.3"
