"""The figures of the SCIM endpoint: against a bare handler with the same SQL, against other servers, and by size.

Every server runs in a process of its own and is asked by a client in another, round after round in turn.
`BENCH_SCALE=quick` does the same with small numbers, to try the measurement itself; its figures mean nothing.
"""

import contextlib
import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

from bench.figures import Figure, as_orientation, at_least, at_most, in_own_process, interleave, seconds
from bench.scim_bare import CREATE_USER, FIND_USER, GET_USER, Script
from bench.scim_client import MARK, Answer, ClientProcess, Connection, Job, Result, make_request
from bench.scim_peers import BASE, SCIM2_SERVER, TOKEN, Peer, peers
from bench.scim_place import (
    DATABASE,
    MARKER_LETTERS,
    Pushed,
    group_body,
    make_pushed,
    manager_patch,
    marker,
    member_patch,
    user_body,
    user_name,
)
from bench.scim_recording import MARKER, MEMBER, USER, Recorder, Recording, count_rows
from bench.scim_servers import Server, serve_bare, serve_usher

SCALE_VARIABLE = "BENCH_SCALE"
OURS, BARE = "usher", "bare"
_NEW_USERS = 1 << 40
"""Markers of users that come during a measurement begin here."""
_RESERVED = 1_000
"""Users at the end that are in no group and that rates leave alone: for recordings and for measurements of sizes."""
_RECORDED = 20
"""Of these, the last ones are for recordings."""
_CYCLE_CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `sizes` are the groups: small, of a thousand, large, largest."""

    sizes: tuple[int, int, int, int] = (10, 1_000, 10_000, 100_000)
    outsiders: int = 25_000
    few_users: int = 300
    rounds: int = 5
    round_seconds: float = 2
    slow_rounds: int = 1
    repeats: int = 100
    slow_repeats: int = 7
    cycle_users: int = 10_000
    cycle_groups: int = 200
    replaced: int = 20_000
    shown_users: int = 1_000
    with_peers: bool = True


QUICK = Scale(
    sizes=(10, 50, 200, 1_000),
    outsiders=4_000,
    few_users=50,
    rounds=2,
    round_seconds=0.3,
    slow_rounds=1,
    repeats=10,
    slow_repeats=2,
    cycle_users=100,
    cycle_groups=4,
    replaced=200,
    shown_users=100,
)


def measure() -> Iterator[Figure]:
    """All figures of the SCIM endpoint."""
    scale = QUICK if os.environ.get(SCALE_VARIABLE) == "quick" else Scale()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _tell("a first provisioning cycle")
        yield from _measure_cycle(folder, scale)
        largest = scale.sizes[-1]
        _tell(f"making {largest + scale.outsiders} users")
        pushed = make_pushed(folder / "large", users=largest + scale.outsiders, groups=(0, *scale.sizes))
        yield from _measure_memory(pushed, folder)
        bare = pushed.copy(folder / "bare")
        script, written = _record(bare, scale)
        yield at_most("scim.put_10k_rows", written, "rows", 1)
        with serve_usher(pushed) as server:
            yield from _measure_sizes(server, pushed, folder, scale)
            with serve_bare(script, bare.folder) as bare_server:
                yield from _measure_rates(_Contest(server, pushed, bare_server, bare, script, folder, scale))


# ---------------------------------------------------------------- recordings


def _record(bare: Pushed, scale: Scale) -> tuple[Script, int]:
    """What the application does for each request, and how many membership rows a PUT with one difference writes.

    This is done over the bare handler's own copy, with the users that come last, which no measurement uses.
    """
    recordings: dict[str, Recording] = {}
    spare = iter(reversed(bare.users))
    with Recorder(bare) as recorder:
        for warm in range(3):
            mark = marker(_NEW_USERS * 2 + warm)
            body = user_body(mark)
            recordings[CREATE_USER] = recorder.record("POST", "/Users", body=body, known={MARKER: mark})
            about = _known(bare, shown := len(bare.users) // 2 + warm)
            find = f"/Users?filter={_equals(user_name(marker(shown)))}"
            recordings[FIND_USER] = recorder.record("GET", find, known={MARKER: marker(shown), **about})
            recordings[GET_USER] = recorder.record("GET", f"/Users/{bare.users[shown]}", known=about)
            for size in scale.sizes[1:3]:
                user_id = next(spare)
                number = bare.users.index(user_id)
                group_id = bare.groups[size]
                recordings[group_id] = recorder.record(
                    "PATCH", f"/Groups/{group_id}", body=member_patch(user_id), known=_known(bare, number)
                )
        written = _count_written(recorder, bare, scale.sizes[2], next(spare))
    for name, recording in recordings.items():
        parts = ", ".join(
            f"{'write' if transaction.is_write else 'read'} of {len(transaction.statements)}"
            for transaction in recording.transactions
        )
        _tell(f"recorded {name}: {parts} statements; rows {dict(recording.grown)}")
    return Script(bare.url, recordings), written


def _known(pushed: Pushed, number: int) -> dict[str, str]:
    """The ids of a user and of the member it is linked to, as slots."""
    user_id = pushed.users[number]
    with _reading(pushed) as connection:
        row = connection.execute("SELECT member_id FROM directory_user WHERE id = ?", (user_id,)).fetchone()
    return {USER: user_id, MEMBER: row[0]}


def _count_written(recorder: Recorder, pushed: Pushed, size: int, outsider: str) -> int:
    """Rows of memberships that are written by a PUT of a group whose members differ by one."""
    group_id = pushed.groups[size]
    with _reading(pushed) as connection:
        connection.execute("CREATE TABLE bench_tally (n INTEGER)")
        for action in ("INSERT", "UPDATE", "DELETE"):
            connection.execute(
                f"CREATE TRIGGER bench_{action} AFTER {action} ON membership "
                "BEGIN INSERT INTO bench_tally VALUES (1); END"
            )
        connection.commit()
        members = [
            row[0]
            for row in connection.execute("SELECT user_id FROM membership WHERE group_id = ?", (group_id,))
        ]
        edges = (
            "SELECT count(*) FROM audit_event WHERE action IN ('group.member_added', 'group.member_removed')"
        )
        events = connection.execute(edges).fetchone()[0]
    recorder.ask("PUT", f"/Groups/{group_id}", body=group_body(f"group of {size}", [*members, outsider]))
    with _reading(pushed) as connection:
        rows: int = connection.execute("SELECT count(*) FROM bench_tally").fetchone()[0]
        assert connection.execute(edges).fetchone()[0] == events + 1, "not one event for the one edge"
        for action in ("INSERT", "UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER bench_{action}")
        connection.execute("DROP TABLE bench_tally")
        connection.commit()
    assert rows > 0, "the PUT wrote nothing"
    return rows


@contextlib.contextmanager
def _reading(pushed: Pushed) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(pushed.folder / DATABASE)) as connection:
        yield connection


# ---------------------------------------------------------------- rates


@dataclass(slots=True)
class _Contest:
    """The servers that are asked the same in turn. `given` counts the values that are used up."""

    server: Server
    pushed: Pushed
    bare_server: Server
    bare: Pushed
    script: Script
    folder: Path
    scale: Scale
    given: dict[tuple[str, str], int] = field(default_factory=dict)

    def fresh_markers(self, server: str, operation: str, most: int) -> list[str]:
        at = self._give(server, operation, most)
        return [marker(_NEW_USERS + number) for number in range(at, at + most)]

    def fresh_outsiders(self, server: str) -> list[str]:
        """A round's share of users that are in no group yet, for one of two operations."""
        people = self.pushed.outsiders[:-_RESERVED]
        share = len(people) // (2 * self.scale.rounds)
        at = self._give(server, "outsiders", share)
        return people[at : at + share]

    def _give(self, server: str, operation: str, number: int) -> int:
        at = self.given.get((server, operation), 0)
        self.given[server, operation] = at + number
        return at


MakeJob = Callable[[], Job]


@dataclass(frozen=True, slots=True)
class _Operation:
    """Something that every server is asked. The bounds are ratios; `orientation` is a rate, and none where it is 0.

    `grows` names the recording by which the bare handler's tables are seen to grow.
    """

    name: str
    jobs: dict[str, MakeJob]
    bare_bound: float = 0
    scim2_bound: float = 1
    orientation: float = 0
    grows: str = ""
    is_slow_elsewhere: bool = False


def _measure_rates(contest: _Contest) -> Iterator[Figure]:
    scale = contest.scale
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(ClientProcess())
        others = (
            stack.enter_context(peers(contest.folder, group_sizes=(0, *scale.sizes[1:3])))
            if scale.with_peers
            else []
        )
        for operation in _operations(contest, others):
            firm = {peer.name for peer in others if peer.is_firm}
            yield from _compete(operation, contest, client, firm)


def _compete(
    operation: _Operation, contest: _Contest, client: ClientProcess, firm: set[str]
) -> Iterator[Figure]:
    scale = contest.scale
    results: dict[str, list[Result]] = {name: [] for name in operation.jobs}
    before = count_rows(contest.bare.folder / DATABASE) if operation.grows else {}
    for turn in range(scale.rounds):
        for name, make_job in operation.jobs.items():
            is_peer = name not in {OURS, BARE}
            if is_peer and operation.is_slow_elsewhere and turn >= scale.slow_rounds:
                continue
            results[name].append(client.run(make_job()))
    if operation.grows:
        _check_growth(contest, operation.grows, before, sum(each.requests for each in results[BARE]))
    for name, taken in results.items():
        _tell(
            f"{operation.name:<16} {name:<16} {_median(each.rate for each in taken):>9.1f}/s  "
            f"p50 {_median(each.p50 for each in taken):.2f} ms  p99 {_median(each.p99 for each in taken):.2f} ms"
        )
    ours = results[OURS]
    prefix = f"scim.{operation.name}"
    if operation.bare_bound:
        ratio = _median(mine.rate / bare.rate for mine, bare in zip(ours, results[BARE], strict=True))
        yield at_least(f"{prefix}_to_bare", ratio, "ratio", operation.bare_bound)
    for name, taken in results.items():
        if name in {OURS, BARE}:
            continue
        bound = operation.scim2_bound if name == SCIM2_SERVER else 1
        ratio = _median(mine.rate / other.rate for mine, other in zip(ours, taken, strict=False))
        figure = at_least(f"{prefix}_to_{name}", ratio, "ratio", bound)
        yield figure if name in firm else as_orientation(figure)
    rate = _median(each.rate for each in ours)
    if operation.orientation:
        yield as_orientation(at_least(f"{prefix}_rate", rate, "1/s", operation.orientation))


def _check_growth(contest: _Contest, recording: str, before: dict[str, int], requests: int) -> None:
    """The bare handler wrote what the application would have written, or its rate says nothing."""
    after = count_rows(contest.bare.folder / DATABASE)
    grown = contest.script.recordings[recording].grown
    for table in after:
        expected = before[table] + requests * grown.get(table, 0)
        assert after[table] == expected, (recording, table, before[table], after[table], expected)


def _operations(contest: _Contest, others: Sequence[Peer]) -> Iterator[_Operation]:
    scale, pushed = contest.scale, contest.pushed
    shown = range(min(scale.shown_users, len(pushed.users)))
    ports = {OURS: contest.server.port, BARE: contest.bare_server.port}
    ports |= {peer.name: peer.server.port for peer in others}
    by_name = {peer.name: peer for peer in others}

    def ask(server: str, method: str, path: str, *, body: object = None, value_length: int = 0) -> str:
        base, token = (pushed.base, pushed.token) if server in {OURS, BARE} else (BASE, TOKEN)
        return make_request(method, base + path, token=token, body=body, value_length=value_length)

    def job(server: str, request: str, values: list[str], *, is_once: bool = False) -> Job:
        return Job(ports[server], request, values, scale.round_seconds, is_once)

    def users(server: str) -> list[str]:
        return by_name[server].users if server in by_name else [pushed.users[number] for number in shown]

    def group(server: str, size: int) -> str:
        return by_name[server].groups[size] if server in by_name else pushed.groups[size]

    def create(server: str) -> Job:
        request = ask(server, "POST", "/Users", body=user_body(), value_length=MARKER_LETTERS)
        most = int(6_000 * scale.round_seconds)
        return job(server, request, contest.fresh_markers(server, CREATE_USER, most), is_once=True)

    def get(server: str) -> Job:
        return job(server, ask(server, "GET", f"/Users/{MARK}"), users(server))

    def find(server: str) -> Job:
        request = ask(server, "GET", f"/Users?filter={_equals(user_name(MARK))}")
        return job(server, request, [marker(number) for number in range(len(users(server)))])

    def patch(size: int, server: str) -> Job:
        people = contest.fresh_outsiders(server)
        # The others do not look who a member is; their ids are of other lengths.
        request = ask(
            server,
            "PATCH",
            f"/Groups/{group(server, size)}",
            body=member_patch(MARK),
            value_length=len(people[0]),
        )
        return job(server, request, people, is_once=True)

    def read(size: int, server: str, query: str = "") -> Job:
        return job(server, ask(server, "GET", f"/Groups/{group(server, size)}{query}"), [""])

    def of(
        make: Callable[[str], Job], *, with_bare: bool = True, is_large: bool = False
    ) -> dict[str, MakeJob]:
        left_out = set() if with_bare else {BARE}
        if is_large:
            # The others take many seconds for these; one that is there for orientation need not.
            left_out |= {peer.name for peer in others if not peer.is_firm}
        return {name: partial(make, name) for name in ports if name not in left_out}

    _, thousand, large, _ = scale.sizes
    yield _Operation("get_user", of(get), bare_bound=0.6, scim2_bound=2, orientation=2_000)
    yield _Operation(
        "find_user", of(find), bare_bound=0.6, scim2_bound=2, orientation=1_500, is_slow_elsewhere=True
    )
    yield _Operation(
        "create_user", of(create), bare_bound=0.5, scim2_bound=2, orientation=900, grows=CREATE_USER
    )
    for size, name, orientation in ((thousand, "patch_1k", 0), (large, "patch_10k", 400)):
        yield _Operation(
            name,
            of(partial(patch, size), is_large=True),
            bare_bound=0.5,
            orientation=orientation,
            grows=pushed.groups[size],
            is_slow_elsewhere=True,
        )
    yield _Operation(
        "get_group_10k", of(partial(read, large), with_bare=False, is_large=True), is_slow_elsewhere=True
    )
    light = "?excludedAttributes=members"
    yield _Operation(
        "get_group_10k_light",
        of(partial(read, large, query=light), with_bare=False, is_large=True),
        is_slow_elsewhere=True,
    )


# ---------------------------------------------------------------- sizes


def _measure_sizes(server: Server, pushed: Pushed, folder: Path, scale: Scale) -> Iterator[Figure]:
    """Service times of one client that waits for each answer, so that they hold what the network takes as well."""
    with Connection(server.port) as connection:

        def ask(method: str, path: str, *, body: object = None) -> Answer:
            request = make_request(method, pushed.base + path, token=pushed.token, body=body)
            answer = connection.ask(request.encode())
            assert 200 <= answer.status < 300, (method, path, answer.status, answer.body[:500])
            return answer

        yield from _measure_patches(ask, pushed, scale)
        yield from _measure_group_reads(ask, pushed, scale)
        yield from _measure_puts(ask, pushed, scale)
        yield from _measure_replacement(ask, pushed, scale)
    yield from _measure_growth(server, pushed, folder, scale)


Ask = Callable[..., Answer]


def _measure_patches(ask: Ask, pushed: Pushed, scale: Scale) -> Iterator[Figure]:
    """A user comes into a group of each size; it is a new role for each of them."""
    small, _, large, largest = scale.sizes
    people = iter(pushed.outsiders[-_RESERVED:-_RECORDED])

    def add(size: int) -> None:
        ask("PATCH", f"/Groups/{pushed.groups[size]}", body=member_patch(next(people)))

    for size in (small, large, largest):
        add(size)
    into_small, into_large, into_largest = interleave(
        [lambda: add(small), lambda: add(large), lambda: add(largest)], rounds=scale.repeats
    )
    _tell(
        f"one member into {small}, {large}, {largest}: "
        f"{1000 * into_small:.2f}, {1000 * into_large:.2f}, {1000 * into_largest:.2f} ms"
    )
    yield at_most("scim.patch_10k_growth", into_large / into_small, "ratio", 1.3)
    yield at_most("scim.patch_100k_growth", into_largest / into_small, "ratio", 1.5)


def _measure_group_reads(ask: Ask, pushed: Pushed, scale: Scale) -> Iterator[Figure]:
    _, _, large, _ = scale.sizes
    whole = f"/Groups/{pushed.groups[large]}"
    light = f"{whole}?excludedAttributes=members"
    empty = f"/Groups/{pushed.groups[0]}"
    assert len(ask("GET", whole).document()["members"]) >= large
    (reading,) = interleave([lambda: ask("GET", whole)], rounds=max(scale.repeats // 3, 1))
    yield at_most("scim.get_group_10k", 1000 * reading, "ms", 60)
    lightly, emptily = interleave(
        [lambda: ask("GET", light), lambda: ask("GET", empty)], rounds=2 * scale.repeats
    )
    yield at_most("scim.get_group_light", lightly / emptily, "ratio", 1.2)


def _measure_puts(ask: Ask, pushed: Pushed, scale: Scale) -> Iterator[Figure]:
    """A whole group is put; it differs from what is stored by one member, who comes and goes."""
    _, _, large, _ = scale.sizes
    path = f"/Groups/{pushed.groups[large]}"
    members = [entry["value"] for entry in ask("GET", path).document()["members"]]
    outsider = pushed.outsiders[-_RECORDED - 1]
    bodies = [group_body(f"group of {large}", kept) for kept in (members, [*members, outsider])]
    turn = iter(range(4 * scale.slow_repeats + 4))

    def put() -> None:
        # The first is without a difference, and only warms up.
        ask("PUT", path, body=bodies[next(turn) % 2])

    put()
    (putting,) = interleave([put], rounds=2 * scale.slow_repeats)
    yield at_most("scim.put_10k", 1000 * putting, "ms", 150)


def _measure_replacement(ask: Ask, pushed: Pushed, scale: Scale) -> Iterator[Figure]:
    """A large group is made by one request, and all its members are exchanged by another."""
    first, second = pushed.users[: scale.replaced], pushed.users[scale.replaced : 2 * scale.replaced]
    made: list[str] = []

    def make() -> None:
        made.append(ask("POST", "/Groups", body=group_body("replaced", first)).document()["id"])

    yield at_most("scim.make_group_20k", seconds(make), "s", 30)
    taken = seconds(lambda: ask("PUT", f"/Groups/{made[0]}", body=group_body("replaced", second)))
    yield at_most("scim.replace_group_20k", taken, "s", 30)


def _measure_growth(server: Server, pushed: Pushed, folder: Path, scale: Scale) -> Iterator[Figure]:
    """Look-ups and pages among many users and among few."""
    few = make_pushed(folder / "few", users=scale.few_users, groups=())
    drawn = random.Random(3)
    with (
        serve_usher(few) as few_server,
        Connection(few_server.port) as of_few,
        Connection(server.port) as of_many,
    ):

        def ask(connection: Connection, place: Pushed, path: str) -> Answer:
            answer = connection.ask(make_request("GET", place.base + path, token=place.token).encode())
            assert answer.status == 200, (path, answer.status, answer.body[:500])
            return answer

        def find(connection: Connection, place: Pushed) -> None:
            mark = marker(drawn.randrange(len(place.users)))
            ask(connection, place, f"/Users?filter={_equals(user_name(mark))}")

        def second_page(connection: Connection, place: Pushed) -> str:
            cursor = ask(connection, place, "/Users?cursor=&count=100").document()["nextCursor"]
            return f"/Users?cursor={quote(cursor, safe='')}&count=100"

        among_many, among_few = interleave(
            [lambda: find(of_many, pushed), lambda: find(of_few, few)], rounds=2 * scale.repeats
        )
        yield at_most("scim.find_user_growth", among_many / among_few, "ratio", 1.3)
        if scale.few_users <= 100:
            return
        page_of_many, page_of_few = second_page(of_many, pushed), second_page(of_few, few)
        among_many, among_few = interleave(
            [lambda: ask(of_many, pushed, page_of_many), lambda: ask(of_few, few, page_of_few)],
            rounds=scale.repeats,
        )
        yield at_most("scim.cursor_page_growth", among_many / among_few, "ratio", 1.3)


def _measure_memory(pushed: Pushed, folder: Path) -> Iterator[Figure]:
    """What reading the largest group adds to the memory that the server needs for a small one."""
    place = folder / "place.json"
    small, largest = min(size for size in pushed.groups if size), max(pushed.groups)
    place.write_text(
        json.dumps(
            {
                "folder": str(pushed.folder),
                "directory_id": pushed.directory_id,
                "token": pushed.token,
                "groups": [pushed.groups[small], pushed.groups[largest]],
            }
        )
    )
    grown = in_own_process("bench.scim_memory", str(place))
    yield at_most("scim.get_group_100k_memory", grown["grown_mb"], "MB", 20)


# ---------------------------------------------------------------- a first cycle


def _measure_cycle(folder: Path, scale: Scale) -> Iterator[Figure]:
    """A first provisioning cycle as Entra does it, in seconds of the server's processors.

    For each user: is it there, create it, patch its manager in. For each group: is it there, create it, and then a
    PATCH for each member, which is the dearest way to say it. Source: Microsoft, "develop a SCIM endpoint" and "how
    provisioning works".
    """
    place = make_pushed(folder / "cycle", users=1, groups=(0,))
    created: list[list[str]] = [[] for _ in range(_CYCLE_CLIENTS)]
    used = []
    with serve_usher(place) as server:
        for work in (_push_users, _push_groups):
            before = server.cpu_seconds()
            taken = seconds(partial(_in_threads, _Cycle(server, place, scale, created), work))
            used.append(server.cpu_seconds() - before)
            _tell(f"{work.__name__.strip('_')}: {used[-1]:.1f} s of processors, {taken:.1f} s by the clock")
    yield at_most("scim.first_cycle_cpu", sum(used), "s", 60)
    with _reading(place) as connection:
        users = connection.execute("SELECT count(*) FROM directory_user WHERE deleted_at IS NULL").fetchone()[
            0
        ]
        members = connection.execute("SELECT count(*) FROM membership").fetchone()[0]
    assert users == scale.cycle_users + 1, users
    assert members == scale.cycle_users // scale.cycle_groups * scale.cycle_groups, members


@dataclass(frozen=True, slots=True)
class _Cycle:
    """`created` are the ids of the users that each client has pushed."""

    server: Server
    place: Pushed
    scale: Scale
    created: list[list[str]]

    def ask(
        self, connection: Connection, method: str, path: str, *, body: object = None, expected: int
    ) -> Answer:
        request = make_request(method, self.place.base + path, token=self.place.token, body=body)
        answer = connection.ask(request.encode())
        assert answer.status == expected, (method, path, answer.status, answer.body[:500])
        return answer


def _push_users(cycle: _Cycle, connection: Connection, number: int) -> None:
    created = cycle.created[number]
    for user in range(number, cycle.scale.cycle_users, _CYCLE_CLIENTS):
        mark = marker(_NEW_USERS + user)
        probe = f"/Users?filter={_equals(user_name(mark))}"
        assert cycle.ask(connection, "GET", probe, expected=200).document()["totalResults"] == 0
        answer = cycle.ask(connection, "POST", "/Users", body=user_body(mark), expected=201)
        created.append(answer.document()["id"])
        cycle.ask(connection, "PATCH", f"/Users/{created[-1]}", body=manager_patch(created[0]), expected=200)


def _push_groups(cycle: _Cycle, connection: Connection, number: int) -> None:
    people = iter(cycle.created[number])
    for group in range(number, cycle.scale.cycle_groups, _CYCLE_CLIENTS):
        name = f"Group {group}"
        probe = f"/Groups?excludedAttributes=members&filter={_equals(name, attribute='displayName')}"
        assert cycle.ask(connection, "GET", probe, expected=200).document()["totalResults"] == 0
        answer = cycle.ask(connection, "POST", "/Groups", body=group_body(name), expected=201)
        group_id = answer.document()["id"]
        for _ in range(cycle.scale.cycle_users // cycle.scale.cycle_groups):
            body = member_patch(next(people))
            cycle.ask(connection, "PATCH", f"/Groups/{group_id}", body=body, expected=204)


def _in_threads(cycle: _Cycle, work: Callable[[_Cycle, Connection, int], None]) -> None:
    """Do the work once for each client, all at the same time. Raises what the first that failed raised."""

    def run(number: int) -> None:
        with Connection(cycle.server.port) as connection:
            work(cycle, connection, number)

    with ThreadPoolExecutor(_CYCLE_CLIENTS) as pool:
        for done in [pool.submit(run, number) for number in range(_CYCLE_CLIENTS)]:
            done.result()


def _equals(value: str, *, attribute: str = "userName") -> str:
    """A filter as it stands in a URL, with `MARK` left as it is."""
    return quote(f'{attribute} eq "{value}"', safe="{}")


def _median(values: Iterator[float] | Sequence[float]) -> float:
    return statistics.median(values)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
