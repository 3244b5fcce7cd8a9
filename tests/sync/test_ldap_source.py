"""What each way of ending a page means, shown by a server that plays a script."""

import threading

import pytest

from sync.entries import RawEntry, RejectedEntry
from sync.outcome import Complete, Failed, Outcome, Partial
from tests import scripted_ldap as wire
from tests.scripted_ldap import Peer, Script, message, serve
from tests.sync.ldap_builders import PEOPLE, drained, group, named, person, source, stored

PEOPLE_ONLY = {"group_filter": "(cn=none)", "page_size": 2}


def outcome_of(*scripts: Script, **other: str | int | bool) -> Outcome:
    with serve(*scripts) as server:
        reading = source(stored(server.port, **other))
        drained(reading)
    return reading.outcome


def ended(code: int, *, text: str = "", rest: bytes = b"", matched: str = "") -> Script:
    """One page of two people, ended by a result other than the usual."""
    return wire.pages(
        [person(1), person(2)],
        end=lambda number: message(
            number, wire.result(wire.DONE, code, text=text, rest=rest, matched=matched)
        ),
    )


# Whole readings.


def test_every_page_of_every_base_ended_properly_is_a_complete_reading() -> None:
    people = [person(number) for number in range(5)]
    with serve(wire.serve_entries(people, [group(9, "team", [1, 2])])) as server:
        reading = source(stored(server.port, page_size=2))
        read = drained(reading)

    assert reading.outcome == Complete()
    assert named(read) == ["uid=u0", "uid=u1", "uid=u2", "uid=u3", "uid=u4", "cn=team"]
    assert [item.number for item in read] == [1, 2, 3, 4, 5, 6]
    assert [item.sought for item in read] == ["user"] * 5 + ["group"]
    assert server.clients == 1


def test_no_more_is_asked_than_one_request_a_page_and_two_besides() -> None:
    people = [person(number) for number in range(7)]
    with serve(wire.serve_entries(people)) as server:
        reading = source(stored(server.port, page_size=3))
        drained(reading)

    # The bind, what the server says of itself, three pages of people and one of groups.
    assert reading.requests == 2 + 3 + 1
    assert [request.cookie for request in server.searches()] == [b"", b"3", b"6", b""]


def test_a_search_asks_for_what_is_wanted_only_and_never_follows_aliases() -> None:
    with serve(wire.serve_entries([person(1)])) as server:
        drained(source(stored(server.port)), frozenset({"uid", "entryuuid"}))

    assert {request.deref for request in server.seen if request.kind == wire.SEARCH} == {0}
    assert {request.attributes for request in server.searches()} == {("entryuuid", "uid")}
    assert {request.scope for request in server.searches()} == {2}


def test_one_level_can_be_read_instead_of_the_tree() -> None:
    with serve(wire.serve_entries([person(1)])) as server:
        drained(source(stored(server.port, scope="one")))

    assert {request.scope for request in server.searches()} == {1}


def test_the_next_page_is_asked_for_before_the_present_one_is_given() -> None:
    asked: list[bytes] = []
    has_come = threading.Event()

    def script(peer: Peer) -> None:
        first = peer.answer_until_search()
        peer.send(
            message(first.number, person(1)), message(first.number, wire.result(wire.DONE), wire.paging(b"c"))
        )
        second = peer.receive()
        asked.append(second.cookie)
        has_come.set()
        peer.send(message(second.number, wire.result(wire.DONE), wire.paging()))
        wire.serve_nothing(peer)

    with serve(script) as server:
        items = iter(source(stored(server.port)).entries(frozenset({"uid"})))
        next(items)
        # Nobody asks for more entries now; the request is under way all the same.
        assert has_come.wait(60)
        assert asked == [b"c"]
        list(items)


def test_a_page_too_large_to_wait_for_is_given_while_it_comes_in() -> None:
    large = [person(number, cn=[b"x" * 900_000] * 3) for number in range(8)]
    with serve(wire.serve_entries(large)) as server:
        reading = source(stored(server.port))
        read = drained(reading)

    assert len(read) == 8
    assert reading.outcome == Complete()


def test_a_source_that_nobody_follows_to_its_end_has_failed() -> None:
    with serve(wire.serve_entries([person(1), person(2)])) as server:
        reading = source(stored(server.port))
        items = reading.entries(frozenset({"uid"}))
        next(items)
        items.close()

    assert reading.outcome == Failed("the reading was given up")
    assert not reading.is_vouched()


# Limits: trap 1 and 2, cases 1 and 2.


@pytest.mark.parametrize(
    ("code", "name"), [(3, "timeLimitExceeded"), (4, "sizeLimitExceeded"), (11, "adminLimitExceeded")]
)
def test_a_limit_after_some_entries_makes_the_reading_partial_and_is_named(code: int, name: str) -> None:
    found = outcome_of(ended(code, text="enough"))

    assert isinstance(found, Partial)
    assert f"stopped after 2 entries below '{PEOPLE}': {name} {code} (enough)" in found.reason
    assert "lift this limit for cn=reader,o=accounts" in found.reason


def test_an_administrative_limit_before_any_entry_fails_with_a_hint_at_the_page_size() -> None:
    script = wire.pages([], end=lambda number: message(number, wire.result(wire.DONE, 11)))

    found = outcome_of(script, page_size=1000)

    assert isinstance(found, Failed)
    assert "in pages of 1000: adminLimitExceeded 11; lower page_size" in found.reason
    assert not found.may_pass


def test_more_entries_than_the_setting_allows_make_the_reading_partial() -> None:
    people = [person(number) for number in range(9)]

    found = outcome_of(wire.serve_entries(people), page_size=2, entries=5)

    assert isinstance(found, Partial)
    assert "more than 5 entries" in found.reason


# Paging that cannot be relied on: traps 1 and 6, cases 8 and 9.


def test_a_page_without_its_paging_control_makes_the_reading_partial() -> None:
    found = outcome_of(
        wire.pages([person(1)], [person(2)], end=lambda number: message(number, wire.result(wire.DONE)))
    )

    assert isinstance(found, Partial)
    assert f"left out where to go on after 2 entries below '{PEOPLE}'" in found.reason


def endless(*operations: bytes, cookies: bool = False) -> Script:
    """The same page for ever, with one cookie, or with ever new ones."""

    def script(peer: Peer) -> None:
        count = 0
        while True:
            request = peer.answer_until_search()
            count += 1
            cookie = b"%d" % count if cookies else b"same"
            said = [message(request.number, operation) for operation in operations]
            peer.send(*said, message(request.number, wire.result(wire.DONE), wire.paging(cookie)))

    return script


@pytest.mark.parametrize(
    "script", [endless(), endless(person(1)), endless(cookies=True)], ids=["empty", "repeated", "new cookies"]
)
def test_a_server_that_never_clears_its_cookie_is_given_up(script: Script) -> None:
    found = outcome_of(script)

    assert isinstance(found, Failed)
    assert "the same page" in found.reason


def test_a_cookie_that_stays_the_same_is_no_fault_while_the_pages_differ() -> None:
    # 389 Directory Server numbers its searches, and gives the number as the cookie of every page.
    def script(peer: Peer) -> None:
        for number in range(4):
            request = peer.answer_until_search()
            cookie = b"0" if number < 3 else b""
            peer.send(
                message(request.number, person(number)),
                message(request.number, wire.result(wire.DONE), wire.paging(cookie)),
            )
        wire.serve_nothing(peer)

    assert outcome_of(script) == Complete()


def test_a_server_that_does_not_know_paging_is_refused_before_any_search() -> None:
    def script(peer: Peer) -> None:
        bind, probe = peer.receive(), None
        peer.send(message(bind.number, wire.result(wire.BIND_ANSWER)))
        probe = peer.receive()
        peer.send(
            message(probe.number, wire.entry("", {"supportedControl": ["1.2.3"]})),
            message(probe.number, wire.result(wire.DONE)),
        )
        peer.wait_for_end()

    with serve(script) as server:
        reading = source(stored(server.port))
        drained(reading)

    assert isinstance(reading.outcome, Failed)
    assert "cannot read by pages" in reading.outcome.reason
    assert server.searches() == []


# Refusals: case 4, trap 3 and case 47.


@pytest.mark.parametrize(
    ("code", "words", "may_pass"),
    [
        (1, "operationsError 1; the account may not be bound", False),
        (12, "unavailableCriticalExtension 12; the server cannot read by pages", False),
        (32, "noSuchObject 32, the nearest entry is 'dc=org'; there is no such base", False),
        (50, "insufficientAccessRights 50; the account may not read there", False),
        (51, "busy 51", True),
        (52, "unavailable 52", True),
        (53, "unwillingToPerform 53; the server may refuse pages of this size", False),
        (4096, "result 4096", False),
    ],
)
def test_any_other_result_fails_the_reading_with_its_remedy(code: int, words: str, may_pass: bool) -> None:
    found = outcome_of(ended(code, matched="dc=org" if code == 32 else ""))

    assert isinstance(found, Failed)
    assert f"'{PEOPLE}' cannot be read: {words}" in found.reason
    assert found.may_pass == may_pass


def test_a_referral_is_told_and_never_followed() -> None:
    with serve(wire.serve_nothing) as elsewhere:
        rest = wire.referral(f"ldap://127.0.0.1:{elsewhere.port}/{PEOPLE}")
        found = outcome_of(ended(10, rest=rest))
        shown = f"refers to ldap://127.0.0.1:{elsewhere.port}/{PEOPLE}, which is never followed"

    assert isinstance(found, Failed)
    assert shown in found.reason
    assert elsewhere.clients == 0


def test_references_among_the_entries_are_counted_and_never_followed() -> None:
    with serve(wire.serve_nothing) as elsewhere:
        uri = f"ldap://127.0.0.1:{elsewhere.port}/ou=far,{PEOPLE}"
        operations = [person(1), *[wire.reference(uri)] * 150, person(2)]
        with serve(wire.pages(operations)) as server:
            reading = source(stored(server.port))
            read = drained(reading)

    assert named(read) == ["uid=u1", "uid=u2"]
    assert (reading.reference_count, len(reading.references)) == (150, 100)
    assert elsewhere.clients == 0


# Connections that break: cases 5, 7, 11 and 12, trap 4.


def test_a_connection_that_ends_between_two_pages_fails_and_may_be_tried_again() -> None:
    def script(peer: Peer) -> None:
        request = peer.answer_until_search()
        peer.send(
            message(request.number, person(1)),
            message(request.number, wire.result(wire.DONE), wire.paging(b"c")),
        )
        peer.receive()

    with serve(script) as server:
        reading = source(stored(server.port))
        drained(reading)

    assert isinstance(reading.outcome, Failed)
    assert "closed the connection before its answer was whole" in reading.outcome.reason
    assert reading.outcome.may_pass
    # Nobody connects anew behind the reader's back and goes on with a cookie of another connection.
    assert server.clients == 1


def test_a_server_that_takes_its_leave_fails_the_reading() -> None:
    def script(peer: Peer) -> None:
        request = peer.answer_until_search()
        rest = wire.ber(0x8A, wire.DISCONNECTION.encode())
        leave = wire.result(wire.EXTENDED_ANSWER, 52, text="going down", rest=rest)
        peer.send(message(request.number, person(1)), message(0, leave))
        peer.wait_for_end()

    found = outcome_of(script)

    assert isinstance(found, Failed)
    assert "ends the connection: unavailable 52 (going down)" in found.reason
    assert found.may_pass


def test_answers_to_requests_of_others_and_intermediate_ones_are_passed_over() -> None:
    def script(peer: Peer) -> None:
        request = peer.answer_until_search()
        peer.send(
            message(request.number + 5000, person(7)),
            message(request.number, wire.ber(wire.INTERMEDIATE, b"")),
            message(request.number, person(1)),
            message(request.number, wire.result(wire.DONE), wire.paging()),
        )
        wire.serve_nothing(peer)

    with serve(script) as server:
        reading = source(stored(server.port))
        read = drained(reading)

    assert named(read) == ["uid=u1"]
    assert reading.outcome == Complete()


BOMB = wire.ber(0x30, wire.ber(0x30, wire.ber(0x30, b"")) * 2000)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x30\x84\x7f\xff\xff\xff\x02", "2147483647 bytes is larger than the limit"),
        (b"HTTP/1.1 200 OK\r\n", "no LDAP message"),
        (wire.ber(0x30, b"\x04\x00"), "does not begin with its number"),
        (wire.ber(0x30, wire.integer(0) + BOMB), "holds no result"),
    ],
    ids=["two gigabytes", "another protocol", "no number", "nesting"],
)
def test_what_is_no_message_fails_the_reading(raw: bytes, words: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer_until_search()
        peer.send(raw)
        peer.wait_for_end()

    found = outcome_of(script)

    assert isinstance(found, Failed)
    assert words in found.reason


@pytest.mark.parametrize("operation", [wire.result(wire.BIND_ANSWER), wire.ber(0x42, b"")])
def test_an_answer_to_something_else_fails_the_reading(operation: bytes) -> None:
    def script(peer: Peer) -> None:
        request = peer.answer_until_search()
        peer.send(message(request.number, operation))
        peer.wait_for_end()

    found = outcome_of(script)

    assert isinstance(found, Failed)
    assert "something else than was asked" in found.reason


# Entries that cannot be taken over: case 46.


def test_an_entry_that_cannot_be_decoded_is_rejected_alone() -> None:
    broken = wire.ber(wire.ENTRY, wire.octets(f"uid=u2,{PEOPLE}") + wire.octets("no list"))
    with serve(wire.pages([person(1), broken, person(3)])) as server:
        reading = source(stored(server.port))
        first, second, third = drained(reading)

    assert isinstance(first, RawEntry)
    assert second == RejectedEntry(
        2, "an entry has no list of attributes", f"uid=u2,{PEOPLE}".encode(), {}, sought="user"
    )
    assert third.number == 3
    assert reading.outcome == Complete()


def test_a_value_above_the_limit_rejects_its_entry_alone() -> None:
    with serve(wire.pages([person(1, cn=[b"x" * ((1 << 20) + 1)]), person(2)])) as server:
        first, second = drained(source(stored(server.port)))

    assert isinstance(first, RejectedEntry)
    assert first.reason == "a value of cn is larger than 1048576 bytes"
    assert first.attributes["uid"] == [b"u1"]
    assert isinstance(second, RawEntry)


# Ranges: case 29.


class Ranged:
    """A group of Active Directory that shows three members at a time, and may change in between."""

    def __init__(
        self, changes: int = 0, *, size: int = 8, vanishes: bool = False, skips: bool = False
    ) -> None:
        self.changes = changes
        self.asked: list[tuple[str, ...]] = []
        self._size = size
        self._vanishes = vanishes
        self._skips = skips

    def __call__(self, peer: Peer) -> None:
        for operations in ([person(1)], [self._piece(0, 0), group(2, "small", [1])]):
            request = peer.answer_until_search()
            said = [message(request.number, operation) for operation in operations]
            peer.send(*said, message(request.number, wire.result(wire.DONE), wire.paging()))
        stamp = 0
        while True:
            request = peer.receive()
            if request.kind == wire.UNBIND:
                break
            self.asked.append(request.attributes)
            wanted = next((name for name in request.attributes if ";range=" in name), "member;range=0-*")
            first = int(wanted.partition("=")[2].partition("-")[0])
            if first == 6 and self.changes:
                self.changes -= 1
                stamp += 1
            said = [] if self._vanishes else [self._piece(first + self._skips * bool(first), stamp)]
            peer.send(
                *[message(request.number, one) for one in said],
                message(request.number, wire.result(wire.DONE)),
            )

    def _piece(self, first: int, stamp: int) -> bytes:
        last = min(first + 2, self._size - 1)
        shown = "*" if last == self._size - 1 else str(last)
        members = [f"uid=u{number},{PEOPLE}" for number in range(first, last + 1)]
        name = f"member;range={first}-{shown}"
        return group(9, "large", [], **{"member": [], name: members, "uSNChanged": [str(stamp)]})


def read_ranged(script: Ranged) -> list[RawEntry | RejectedEntry]:
    with serve(script) as server:
        reading = source(stored(server.port))
        read = drained(reading)
        assert reading.outcome == Complete()
    return read


def test_a_list_that_comes_in_ranges_is_fetched_to_its_end() -> None:
    script = Ranged()

    _, small, large = read_ranged(script)

    assert isinstance(large, RawEntry)
    assert large.attributes["member"] == [f"uid=u{number},{PEOPLE}".encode() for number in range(8)]
    assert not any(";range=" in name for name in large.attributes)
    assert small.attributes["member"] == [f"uid=u1,{PEOPLE}".encode()]
    stamps = ("modifytimestamp", "usnchanged", "whenchanged")
    assert script.asked[1:] == [("member;range=3-*", *stamps), ("member;range=6-*", *stamps)]


def test_a_list_that_changes_while_it_is_fetched_is_fetched_anew() -> None:
    script = Ranged(changes=2)

    *_, large = read_ranged(script)

    assert isinstance(large, RawEntry)
    assert len(large.attributes["member"]) == 8
    assert len(script.asked) == 9


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Ranged(changes=3), "changed 3 times while its values were read"),
        (Ranged(skips=True), "changed 3 times while its values were read"),
        (Ranged(vanishes=True), "went away while its values were read"),
    ],
    ids=["changes", "gaps", "gone"],
)
def test_a_list_that_cannot_be_had_whole_rejects_its_group_alone(script: Ranged, words: str) -> None:
    *_, large = read_ranged(script)

    assert isinstance(large, RejectedEntry)
    assert words in large.reason
