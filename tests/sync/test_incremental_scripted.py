"""Increments from servers that play a script: 389 Directory Server's content sync, and servers that lose the thread.

Fault cases 35, 37, 38 and 39.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest

from directory.ids import DirectoryId
from provisioning.state import RunRecord
from sync.syncrepl import SYNC_REQUEST
from tests import scripted_ldap as wire
from tests.builders import World
from tests.scripted_ldap import BIND, BIND_ANSWER, DONE, INTERMEDIATE, Peer, Request, Script, serve
from tests.sync.builders import eid, uuid
from tests.sync.ldap_builders import group, person, stored
from tests.sync.test_incremental import change, cursor_of, put, run

STATE, END, INFO = (f"1.3.6.1.4.1.4203.1.9.1.{number}" for number in (2, 3, 4))
ROOT = wire.entry("", {"supportedControl": [SYNC_REQUEST, wire.PAGING]})
EVERYBODY = [person(number, modifyTimestamp=["20261121120000Z"]) for number in range(1, 9)]
TEAM = group(9, "team", [1, 2], modifyTimestamp=["20261121120000Z"])


def state(kind: int, number: int) -> bytes:
    """The control of an entry."""
    content = wire.integer(kind, 0x0A) + wire.octets(UUID(uuid(number)).bytes)
    return wire.control(STATE, wire.ber(0x30, content))


def end(cookie: bytes = b"c2", *, deletes: bool = False) -> bytes:
    """The control of the end."""
    flag = wire.ber(0x01, b"\xff") if deletes else b""
    return wire.control(END, wire.ber(0x30, (wire.octets(cookie) if cookie else b"") + flag))


def info(content: bytes, name: str = INFO) -> bytes:
    return wire.ber(INTERMEDIATE, wire.ber(0x80, name.encode()) + wire.ber(0x81, content))


def ids(*numbers: int, deletes: bool) -> bytes:
    """A set of ids."""
    flag = wire.ber(0x01, b"\xff") if deletes else b""
    listed = b"".join(wire.octets(UUID(uuid(number)).bytes) for number in numbers)
    return info(wire.ber(0xA3, flag + wire.ber(0x31, listed)))


Answer = Callable[[Request], list[bytes]]


def done(request: Request, *, code: int = 0, control: bytes | None = None) -> bytes:
    return wire.message(request.number, wire.result(DONE, code), *([control] if control else []))


def server(answers: Sequence[Answer], *, people: Sequence[bytes] = EVERYBODY) -> Script:
    """Lets everybody in, gives all people and one group by pages, and one of `answers` to each other search."""
    left = list(answers)

    def script(peer: Peer) -> None:
        while True:
            request = peer.receive()
            if request.kind == BIND:
                peer.send(wire.message(request.number, wire.result(BIND_ANSWER)))
            elif not request.base:
                peer.send(wire.message(request.number, ROOT), done(request))
            elif request.page_size:
                held = people if "people" in request.base else [TEAM]
                said = [wire.message(request.number, one) for one in held]
                peer.send(*said, done(request, control=wire.paging()))
            else:
                peer.send(*left.pop(0)(request))

    return script


def first(request: Request) -> list[bytes]:
    """The answer to a request without a cookie: everything, and then a cookie."""
    return [
        wire.message(request.number, person(1), state(1, 1)),
        wire.message(request.number, wire.reference("ldap://other.example/")),
        wire.message(request.number, ids(1, deletes=False)),
        done(request, control=end(b"c1")),
    ]


def nothing(request: Request) -> list[bytes]:
    return [done(request, control=end())]


def said(
    *operations: tuple[bytes, bytes | None] | bytes, control: bytes | None = None, code: int = 0
) -> Answer:
    """An answer of operations, each with its control or without."""

    def answer(request: Request) -> list[bytes]:
        messages = []
        for one in operations:
            operation, behind = one if isinstance(one, tuple) else (one, None)
            messages.append(wire.message(request.number, operation, *([behind] if behind else [])))
        return [
            *messages,
            done(request, code=code, control=end() if control is None and not code else control),
        ]

    return answer


def runs(world: World, *answers: Answer, **given: str | int | bool) -> tuple[DirectoryId, RunRecord]:
    """A first full run, and a second one that is answered so; behind them a full reading may take another mark."""
    with serve(server([first, first, *answers, first, first])) as played:
        hq = put(world, stored(played.port, guard_removed_memberships_percent=100, **given))
        assert run(world, hq).state == "completed"
        assert cursor_of(world, hq).method == "syncrepl"
        return hq, run(world, hq)


def test_a_short_answer_without_refresh_deletes_removes_nobody(world: World) -> None:
    changed = person(3, cn=["Other"]), state(2, 3)
    hq, record = runs(world, said(changed), nothing, said())

    assert (record.state, record.method) == ("completed", "syncrepl"), record.method_reason
    assert record.counters["users_updated"] == 1
    assert all(world.user(hq, eid(number)).active for number in range(1, 9))
    assert set(cursor_of(world, hq).mark) == {"cookie 0", "cookie 1", "entries"}


def test_ids_and_entries_that_are_said_to_be_deleted_go(world: World) -> None:
    gone = said(
        (person(3), state(3, 3)), ids(4, deletes=True), info(wire.ber(0x80, b"c")), info(b"", "1.2.3")
    )
    begun = said(info(wire.ber(0xA1, b"")), ids(9, deletes=True))
    # Asked again for each of them, the server shows nobody but number 4, who is kept.
    shown = said(person(4))
    hq, record = runs(world, gone, begun, shown, said())

    assert (record.method, record.counters["users_deactivated"]) == ("syncrepl", 1), record.method_reason
    assert not world.user(hq, eid(3)).active
    assert world.user(hq, eid(4)).active
    assert world.group(hq, eid(9)).deleted_at is not None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said(code=4096), "does not reach back, or belongs to another server"),
        (said(code=53), "unwillingToPerform"),
        (said(code=51), "busy"),
        (said(control=end(b"")), "does not say how far its answer reaches"),
        (lambda request: [done(request)], "does not say how far its answer reaches"),
        (said((person(1), state(0, 1))), "what is still there"),
        (said(ids(1, 2, 3, deletes=False)), "what is still there"),
        (said(info(wire.ber(0xA2, b""))), "what is still there"),
        (said(*((person(n), state(1, n)) for n in range(1, 9))), "more than 2 of 9 entries as new"),
        (said((person(1), None)), "could not be read"),
        (said(wire.result(BIND_ANSWER)), "something else than was asked"),
        (said((person(7, entryUUID=[]), state(2, 7))), "cannot be identified"),
        (said((person(7), state(2, 7)), (person(7), state(2, 7))), "cannot stand alone"),
        (said(*((person(n), state(2, n)) for n in range(10, 400))), "more than 1000 names are new"),
        (
            said((person(7, cn=[b"x" * ((1 << 20) + 1)]), state(2, 7))),
            "no user and no group could be taken over",
        ),
    ],
)
def test_an_answer_in_doubt_is_dropped_and_everything_is_read(
    world: World, answer: Answer, words: str
) -> None:
    def script(peer: Peer) -> None:
        count = 0
        while True:
            request = peer.receive()
            if request.kind == BIND:
                peer.send(wire.message(request.number, wire.result(BIND_ANSWER)))
            elif not request.base:
                peer.send(wire.message(request.number, ROOT), done(request))
            else:
                count += 1
                peer.send(*(answer if count == 1 else nothing)(request))

    with serve(server([first, first]), script, server([first, first])) as played:
        hq = put(world, stored(played.port, guard_removed_users=100))
        run(world, hq)
        record = run(world, hq)

    assert (record.state, record.method, record.plan_hash) == ("completed", "full", ""), record.reason
    assert words in record.method_reason
    assert all(world.user(hq, eid(number)).active for number in range(1, 9))


def stamped(number: int, stamp: str, name: str = "") -> bytes:
    return person(number, modifyTimestamp=[stamp], displayName=[name or f"U{number}"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([stamped(1, "20261121115000Z", "Late")], "the server's clock was set back"),
        ([], "the server's clock was set back"),
    ],
)
def test_a_clock_that_was_set_back_loses_no_edit(world: World, answer: list[bytes], words: str) -> None:
    """The entry that made the mark was edited once more, by a clock that goes ten minutes behind."""
    edited = [stamped(1, "20261121115000Z", "Late")]
    before = [stamped(1, "20261121120000Z")]
    with serve(wire.serve_entries(before), wire.serve_entries(answer), wire.serve_entries(edited)) as played:
        hq = put(world, stored(played.port, incremental="timestamps", guard_removed_users=100))
        run(world, hq)
        record = run(world, hq)

    assert (record.state, record.method) == ("completed", "full"), record.reason
    assert words in record.method_reason
    assert world.user(hq, eid(1)).display_name == "Late"


def test_the_question_for_changes_reaches_back_before_the_mark(world: World) -> None:
    entries = wire.serve_entries([stamped(1, "20261121120000Z")])
    with serve(entries) as played:
        hq = put(world, stored(played.port, incremental="timestamps"))
        run(world, hq)
        change(world, hq, overlap_seconds=600)
        run(world, hq)
        record = run(world, hq)

    assert (record.method, record.plan_hash) == ("timestamps", "")
    assert b"20261121115000Z" in played.searches()[-2].filter


@pytest.mark.parametrize("stamp", ["", "yesterday", "20269999999999Z"])
def test_a_server_without_usable_stamps_is_read_in_full(world: World, stamp: str) -> None:
    with serve(wire.serve_entries([person(1, modifyTimestamp=[stamp] if stamp else [])])) as played:
        hq = put(world, stored(played.port))
        run(world, hq)
        record = run(world, hq)

    assert (record.state, record.method) == ("completed", "full")
    assert record.method_reason.startswith("the server shows no modifyTimestamp")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"incremental": "sometimes"}, "choose one of auto, off, syncrepl, timestamps"),
        ({"full_interval": -1}, "'full_interval' is '-1'"),
        ({"incremental_percent": True}, "'incremental_percent' is 'True'"),
    ],
)
def test_settings_that_mean_nothing_fail_the_run(
    world: World, other: dict[str, str | int | bool], words: str
) -> None:
    record = run(world, put(world, stored(1, **other)))

    assert record.state == "failed"
    assert words in record.reason


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"id_attribute": "employeeNumber", "incremental": "syncrepl"}, "not by employeenumber"),
        (
            {"dialect": "active_directory", "id_attribute": "entryUUID"},
            "DirSync tells who has changed by objectGUID, not by entryuuid",
        ),
        ({"incremental": "off"}, "the setting 'incremental' is off"),
    ],
)
def test_a_directory_without_a_method_is_read_in_full_and_says_why(
    world: World, other: dict[str, str | int | bool], words: str
) -> None:
    people = [person(1, employeeNumber=["1"], objectClass=["inetOrgPerson", "user"], sAMAccountName=["u1"])]
    with serve(wire.serve_entries(people)) as played:
        hq = put(world, stored(played.port, **other))
        run(world, hq)
        record = run(world, hq)

    assert (record.state, record.method) == ("completed", "full"), record.reason
    assert words in record.method_reason


def test_a_group_that_cannot_be_taken_over_is_rejected_alone(world: World) -> None:
    """The answer to the search for people is empty; that for groups holds a damaged, a deleted and a good one."""
    entries = said(
        (group(20, "damaged", [1], cn=[]), state(2, 20)),
        (group(21, "deleted", [1], isDeleted=["TRUE"]), state(2, 21)),
        (group(9, "team", [1]), state(2, 9)),
    )
    hq, record = runs(world, nothing, entries, said(), guard_rejected_percent=100)

    assert (record.state, record.method, record.counters["rejected"]) == ("completed", "syncrepl", 1)
    assert world.in_group(hq, eid(9)) == {eid(1)}


def test_a_first_cookie_that_is_damaged_fails_the_run(world: World) -> None:
    damaged = said(control=wire.control(END, b"\x30\x01\x04"))
    with serve(server([damaged])) as played:
        record = run(world, put(world, stored(played.port)))

    assert record.state == "failed"
    assert "the synchronisation end of the server ends inside itself" in record.reason


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (said(code=53), "cannot be asked: unwillingToPerform"),
        (said(wire.result(BIND_ANSWER)), "something else than was asked"),
        (said(group(9, "x", [1], cn=[b"x" * ((1 << 20) + 1)])), "a value of cn is larger"),
        (said(wire.reference("ldap://other.example/"), wire.entry("cn=gone,o=x", {})), ""),
    ],
)
def test_a_question_beside_the_reading_that_fails_is_a_doubt(world: World, found: Answer, words: str) -> None:
    """Somebody is new, so that the groups are asked which of them lists him."""
    new = said((person(10), state(2, 10)))
    answers = [new, nothing, found] + ([said()] if not words else [])
    hq, record = runs(world, *answers)

    assert record.state == "completed", record.reason
    assert words in record.method_reason
    assert world.has_user(hq, eid(10)) == (not words)


def test_too_many_unknown_members_of_a_group_are_not_looked_up(world: World) -> None:
    _, record = runs(world, nothing, said((group(9, "team", range(10, 1100)), state(2, 9))))

    assert record.method_reason == "more than 1000 members of groups are to be looked up"


def test_ids_of_389_directory_server_are_read_as_it_writes_them(world: World) -> None:
    unique = [f"0000000{number}-00000000-00000000-00000000" for number in range(9)]
    people = [person(number, nsUniqueId=[unique[number]]) for number in range(1, 9)]
    raw = UUID(hex=unique[3].replace("-", "")).bytes
    gone = said(info(wire.ber(0xA3, wire.ber(0x01, b"\xff") + wire.ber(0x31, wire.octets(raw)))))
    with serve(server([first, first, gone, nothing, said()], people=people)) as played:
        hq = put(
            world, stored(played.port, dialect="ds389", group_filter="(cn=none)", group_bases="ou=people,o=x")
        )
        run(world, hq)
        record = run(world, hq)

    assert (record.method, record.counters["users_deactivated"]) == ("syncrepl", 1), record.method_reason
    assert not world.user(hq, unique[3]).active


def test_changes_that_cannot_be_read_to_their_end_are_a_doubt(world: World) -> None:
    entries = [stamped(1, "20261121120000Z")]
    broken = wire.pages(entries, end=lambda number: wire.message(number, wire.result(DONE, 4)))
    with serve(wire.serve_entries(entries), broken, wire.serve_entries(entries)) as played:
        hq = put(world, stored(played.port, incremental="timestamps"))
        run(world, hq)
        record = run(world, hq)

    assert (record.method, record.method_reason) == ("full", "the changes could not be read to their end")
