"""DirSync as servers play it that Samba is not: rights, marks and answers that are in doubt, lists that come whole.

Fault cases 32 and 33 where a real controller cannot show them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from directory.ids import DirectoryId
from provisioning.state import RunRecord
from sync.dirsync_control import DIRSYNC
from tests import scripted_ldap as wire
from tests.builders import World, on_sqlite_only
from tests.scripted_ldap import BIND, BIND_ANSWER, DONE, Peer, Request, serve
from tests.sync.builders import eid, uuid
from tests.sync.ldap_builders import stored
from tests.sync.test_incremental import cursor_of, put, run

pytestmark = on_sqlite_only

DOMAIN = "DC=example,DC=org"
SERVICE = f"CN=NTDS Settings,CN=DC1,CN=Configuration,{DOMAIN}"
PEOPLE, GROUPS = f"ou=people,{DOMAIN}", f"ou=groups,{DOMAIN}"
CONTROLS = [DIRSYNC, wire.PAGING]
ONE_PERSON = re.compile(f"CN=u([0-9]+),{PEOPLE}")
# How the filters begin by which changes are asked for: the class is there, or it is not.
ALL_OR_NONE = {b"\x87", b"\xa2"}


def guid(number: int) -> bytes:
    return UUID(uuid(number)).bytes_le


def sid(number: int) -> bytes:
    """Of one domain, with the number as its last part."""
    parts = (21, 1, 2, 3, number)
    return b"\x01\x05" + (5).to_bytes(6, "big") + b"".join(part.to_bytes(4, "little") for part in parts)


def person(number: int, **attributes: Sequence[bytes | str]) -> bytes:
    given: Mapping[str, Sequence[bytes | str]] = {
        "objectClass": ["user"],
        "sAMAccountName": [f"u{number}"],
        "objectGUID": [guid(number)],
        "objectSid": [sid(number)],
        "userAccountControl": ["512"],
        **attributes,
    }
    return wire.entry(f"CN=u{number},{PEOPLE}", {name: values for name, values in given.items() if values})


def group(number: int, *members: int, **attributes: Sequence[bytes | str]) -> bytes:
    given: Mapping[str, Sequence[bytes | str]] = {
        "objectClass": ["group"],
        "cn": [f"g{number}"],
        "objectGUID": [guid(number)],
        "objectSid": [sid(number)],
        "member": [f"CN=u{member},{PEOPLE}" for member in members],
        **attributes,
    }
    return wire.entry(f"CN=g{number},{GROUPS}", {name: values for name, values in given.items() if values})


def extended(number: int, dn: str = "", *, with_sid: bool = True) -> str:
    """The name of somebody with his ids."""
    middle = f"<SID=S-1-5-21-1-2-3-{number}>;" if with_sid else ""
    return f"<GUID={uuid(number)}>;{middle}{dn or f'CN=u{number},{PEOPLE}'}"


def touched(
    number: int, dn: str = "", *, with_sid: bool = True, **attributes: Sequence[bytes | str]
) -> bytes:
    """What an answer tells of somebody."""
    return wire.entry(extended(number, dn, with_sid=with_sid), {"instanceType": ["4"], **attributes})


def team(**attributes: Sequence[bytes | str]) -> bytes:
    """What an answer tells of group 9."""
    return wire.entry(extended(9, f"CN=g9,{GROUPS}"), {"instanceType": ["4"], **attributes})


def end(cookie: bytes = b"c", *, more: bool = False) -> bytes:
    content = wire.integer(int(more)) + wire.integer(0) + wire.octets(cookie)
    return wire.control(DIRSYNC, wire.ber(0x30, content))


def page(*operations: bytes, more: bool = False, cookie: bytes = b"c", code: int = 0) -> "Page":
    return Page(operations, None if code else end(cookie, more=more), code)


@dataclass(frozen=True, slots=True)
class Page:
    operations: Sequence[bytes]
    control: bytes | None
    code: int = 0


@dataclass(slots=True)
class Controller:
    """What a domain controller holds and answers; `people` and `groups` are shown to every question for them."""

    feed: list[Page]
    people: Sequence[bytes] = field(default_factory=lambda: [person(number) for number in range(1, 9)])
    groups: Sequence[bytes] = field(default_factory=lambda: [group(9, 1, 2)])
    later_people: Sequence[bytes] | None = None
    """Shown to every run but the first."""
    later_groups: Sequence[bytes] | None = None
    later_pages: Sequence[bytes] | None = None
    """Groups that are shown, likewise, to whoever asks for pages."""
    controls: Sequence[str] = field(default_factory=lambda: list(CONTROLS))
    contexts: Sequence[str] = (DOMAIN,)
    service: Sequence[str] = (SERVICE,)
    invocations: Sequence[bytes] = (b"\x07" * 16,)
    by_id: bool = True
    """Whether a name that is an id finds somebody."""
    end_of_pages: Callable[[], bytes] = wire.paging
    is_later: bool = False

    def script(self, peer: Peer) -> None:
        while True:
            request = peer.receive()
            said = self._answer(request)
            if request.kind == BIND:
                peer.send(wire.message(request.number, wire.result(BIND_ANSWER)))
            elif isinstance(said, Page):
                sent = [wire.message(request.number, one) for one in said.operations]
                controls = [said.control] if said.control is not None else []
                peer.send(*sent, wire.message(request.number, wire.result(DONE, said.code), *controls))
            else:
                controls = [self.end_of_pages()] if request.page_size else []
                sent = [wire.message(request.number, one) for one in said]
                peer.send(*sent, wire.message(request.number, wire.result(DONE), *controls))

    def _answer(self, request: Request) -> Page | Sequence[bytes]:
        if not request.base:
            return [
                wire.entry(
                    "",
                    {
                        "supportedControl": list(self.controls),
                        "namingContexts": list(self.contexts),
                        "dsServiceName": list(self.service),
                    },
                )
            ]
        if request.base == SERVICE:
            return [wire.entry(SERVICE, {"invocationId": list(self.invocations)})]
        if request.base.startswith("<GUID="):
            return [wire.entry("CN=x", {"objectClass": ["container"]})] if self.by_id else []
        if request.filter[:1] in ALL_OR_NONE:
            return self.feed.pop(0)
        if request.base in {PEOPLE, GROUPS}:
            return self._shown(request)
        found = ONE_PERSON.match(request.base)
        return [person(int(found[1]))] if found else []

    def _shown(self, request: Request) -> Sequence[bytes]:
        if not self.is_later:
            return self.people if request.base == PEOPLE else self.groups
        if request.base == PEOPLE:
            return self.people if self.later_people is None else self.later_people
        if request.page_size and self.later_pages is not None:
            return self.later_pages
        return self.groups if self.later_groups is None else self.later_groups


def settings(port: int, **given: str | int | bool) -> dict[str, str | int | bool]:
    bases = {"user_bases": PEOPLE, "group_bases": GROUPS}
    guard = {"guard_removed_users": 100, "guard_removed_memberships_percent": 100}
    return stored(port, **{"dialect": "active_directory", **guard, **bases, **given})


def runs(world: World, controller: Controller, **given: str | int | bool) -> tuple[DirectoryId, RunRecord]:
    """A first full run, and a second one."""
    with serve(controller.script) as played:
        hq = put(world, settings(played.port, **given))
        first = run(world, hq)
        assert (first.state, cursor_of(world, hq).method) == ("completed", "dirsync"), first.reason
        controller.is_later = True
        return hq, run(world, hq)


def refused(world: World, controller: Controller, **given: str | int | bool) -> str:
    """Why a server cannot be read by its changes: said by the run behind the first full one."""
    with serve(controller.script) as played:
        hq = put(world, settings(played.port, **given))
        assert run(world, hq).state == "completed"
        record = run(world, hq)
    assert (record.state, record.method, record.plan_hash) == ("completed", "full", "")
    return record.method_reason


# Whether changes can be asked for.


@pytest.mark.parametrize(
    ("controller", "given", "words"),
    [
        (Controller([], controls=[wire.PAGING]), {}, "the server offers no DirSync"),
        (Controller([]), {"member_attributes": "uniqueMember"}, "by member alone"),
        (Controller([], contexts=["DC=other"]), {}, "no naming context that holds"),
        (Controller([], service=[]), {}, "does not show its invocationId"),
        (Controller([], invocations=[]), {}, "does not show its invocationId"),
        (Controller([page(code=53)] * 2), {}, "the changes cannot be read: unwillingToPerform"),
        (Controller([page(code=50)] * 4), {}, "give it the right 'Replicating Directory Changes'"),
        (Controller([Page((), None)] * 2), {}, "the DirSync control of the server is malformed"),
        (Controller([page(wire.result(BIND_ANSWER))] * 2), {}, "something else than was asked"),
        (Controller([page(cookie=b"")] * 2), {}, "does not say how far its answer reaches"),
        (Controller([page(more=True)] * 2000), {}, "within 1000 pages"),
        (Controller([]), {"incremental": "timestamps"}, "names timestamps, which Active Directory has not"),
    ],
)
def test_a_server_that_cannot_be_asked_for_changes_is_read_in_full_and_says_why(
    world: World, controller: Controller, given: dict[str, str | int | bool], words: str
) -> None:
    assert words in refused(world, controller, **given)


def test_other_servers_have_no_dirsync(world: World) -> None:
    controller = Controller([], people=[person(1, entryUUID=[uuid(1)], uid=["u1"])], groups=[])

    reason = refused(world, controller, incremental="dirsync", dialect="generic", id_attribute="entryUUID")

    assert reason == "DirSync tells who has changed by objectGUID, not by entryuuid"


def test_a_temporary_fault_fails_the_reading_that_would_have_left_a_mark(world: World) -> None:
    with serve(Controller([page(code=51)] * 2).script) as played:
        record = run(world, put(world, settings(played.port)))

    assert record.state == "failed"
    assert "busy" in record.reason


# Answers in doubt.


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (page(code=12), "the server does not know the mark"),
        (page(code=51), "busy"),
        (page(wire.entry("CN=x", {})), "gives 'CN=x' without its objectGUID"),
        (page(touched(1, cn=[b"x" * ((1 << 20) + 1)])), "a value of cn is larger"),
        (page(wire.result(BIND_ANSWER)), "something else than was asked"),
        (page(*(touched(n) for n in range(20_001))), "more than 20000 entries have changed"),
        (page(*(touched(n, objectClass=["user"]) for n in (11, 12, 13))), "sends 3 of 9 entries as new"),
        (
            page(touched(99, f"OU=staff,{DOMAIN}", with_sid=False, name=["staff"])),
            "'OU=staff,DC=example,DC=org' has another name or place, and so has all below it",
        ),
    ],
)
def test_an_answer_in_doubt_is_dropped_and_everything_is_read(world: World, answer: Page, words: str) -> None:
    hq, record = runs(world, Controller([page(), answer, page()]))

    assert (record.state, record.method, record.plan_hash) == ("completed", "full", ""), record.reason
    assert words in record.method_reason
    assert all(world.user(hq, eid(number)).active for number in range(1, 9))


def test_a_controller_that_holds_other_partitions_than_before_is_read_in_full(world: World) -> None:
    controller = Controller([page(), page(), page()])
    with serve(controller.script) as played:
        hq = put(world, settings(played.port))
        run(world, hq)
        controller.contexts = (DOMAIN, PEOPLE)
        record = run(world, hq)

    assert record.method_reason == "the server holds other naming contexts than before"


def test_who_is_neither_deleted_nor_seen_is_not_gone(world: World) -> None:
    controller = Controller(
        [page(), page(touched(3, displayName=["X"])), page()],
        later_people=[person(1)],
        by_id=False,
    )
    _, record = runs(world, controller)

    assert record.method == "full"
    assert (
        "'CN=u3,ou=people,DC=example,DC=org' has changed and cannot be seen any more" in record.method_reason
    )


def test_a_reader_that_is_refused_asks_for_what_it_may_read(world: World) -> None:
    controller = Controller([page(code=50), page(), page(touched(3, displayName=["X"]))])
    controller.later_people = [person(3, displayName=["X"])]
    hq, record = runs(world, controller)

    assert (record.method, record.counters["users_updated"]) == ("dirsync", 1), record.method_reason
    assert "without the right to replicate changes" in record.method_reason
    assert world.user(hq, eid(3)).display_name == "X"


# What an answer says.


def test_changes_that_come_in_several_pages_and_parts_are_one_answer(world: World) -> None:
    parts = [
        page(wire.reference("ldap://other"), team(**{"member;range=1-1": [extended(3)]}), more=True),
        page(team(**{"member;range=1-1": [extended(4)], "member;range=0-0": [extended(3)]})),
    ]
    controller = Controller([page(touched(1)), *parts], later_people=[person(3)])
    hq, record = runs(world, controller)

    assert record.method == "dirsync", record.method_reason
    assert world.in_group(hq, eid(9)) == {eid(1), eid(2), eid(4)}


def test_the_last_member_leaves_and_one_who_joined_is_deleted_meanwhile(world: World) -> None:
    answer = page(
        team(**{"member;range=0-0": [extended(1), extended(2)], "member;range=1-1": [extended(3)]}),
        touched(3, f"CN=u3,CN=Deleted Objects,{DOMAIN}", isDeleted=["TRUE"]),
    )
    controller = Controller([page(), answer], later_people=[], later_groups=[group(9)])
    hq, record = runs(world, controller)

    assert record.method == "dirsync", record.method_reason
    assert not world.user(hq, eid(3)).active
    assert world.in_group(hq, eid(9)) == set()


def test_a_list_that_comes_whole_is_read_whole(world: World) -> None:
    controller = Controller([page(), page(team(member=[extended(5)]))], later_people=[])
    controller.later_groups = [group(9, 5)]
    hq, record = runs(world, controller)

    assert record.method == "dirsync", record.method_reason
    assert world.in_group(hq, eid(9)) == {eid(5)}


@pytest.mark.parametrize(
    ("groups", "end_of_pages", "words"),
    [
        ([group(9, 5, objectGUID=[])], wire.paging, "has changed and cannot be identified"),
        ([], wire.paging, "'CN=u9,ou=people,DC=example,DC=org' has changed and cannot be seen any more"),
        (
            [group(9, 5)],
            lambda: wire.control("1.2.3"),
            "the groups that are new could not be read to their end",
        ),
    ],
)
def test_a_group_that_cannot_be_read_whole_is_a_doubt(
    world: World, groups: Sequence[bytes], end_of_pages: Callable[[], bytes], words: str
) -> None:
    controller = Controller([page(), page(touched(9, member=[extended(5)])), page()])
    controller.later_groups, controller.by_id = groups, False
    with serve(controller.script) as played:
        hq = put(world, settings(played.port))
        run(world, hq)
        controller.is_later, controller.end_of_pages = True, end_of_pages
        record = run(world, hq)

    assert words in record.method_reason


def test_a_group_with_a_damaged_value_is_a_doubt(world: World) -> None:
    whole = group(9, 5, description=["x"], member=[b"x" * ((1 << 20) + 1)])
    controller = Controller([page(), page(team(member=[extended(5)])), page()], later_groups=[group(9, 5)])
    controller.later_pages = [whole]
    _, record = runs(world, controller)

    assert "has changed: a value of member is larger" in record.method_reason


def test_a_stored_group_that_is_not_found_is_a_doubt(world: World) -> None:
    gone = touched(1, f"CN=u1,CN=Deleted Objects,{DOMAIN}", isDeleted=["TRUE"])
    controller = Controller([page(), page(gone), page()], later_people=[person(2)], later_groups=[])
    _, record = runs(world, controller)

    assert "a group that is stored is not found on the server" in record.method_reason


def test_too_many_newcomers_to_ask_for_their_groups_are_a_doubt(world: World) -> None:
    many = range(100, 1101)
    controller = Controller(
        [page(), page(*(touched(number) for number in many)), page()],
        later_people=[person(number) for number in many],
        later_groups=[],
    )
    _, record = runs(world, controller)

    assert "more than 1000 names are new" in record.method_reason
