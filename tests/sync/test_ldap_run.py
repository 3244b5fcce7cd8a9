"""Runs of a directory server, from the wire to the record: what is stored, and what a fault must not do."""

import gzip
import io
from collections.abc import Mapping
from pathlib import Path

import pytest

from directory.changes import PutDirectory
from directory.facts import Activity
from directory.ids import DirectoryId
from provisioning.errors import StaleFenceError
from provisioning.runs import LEASE
from provisioning.state import RunRecord
from storage.tables import metadata
from sync.entries import RawEntry
from sync.errors import LDAPSettingsError, SyncError
from sync.ldap_reader import open_session
from sync.ldif_reader import read_ldif
from sync.outcome import Complete
from sync.run import plan_directory, run_directory
from sync.snapshot import Snapshot, SnapshotSettings
from tests import scripted_ldap as wire
from tests.builders import World
from tests.scripted_ldap import Proxy, serve
from tests.slapd import PASSWORD, SUFFIX, Slapd, SlapdFactory, account
from tests.sync.builders import dialect, eid, snapshot
from tests.sync.ldap_builders import (
    GROUPS,
    PEOPLE,
    Stored,
    group,
    on_slapd,
    person,
    settings,
    source,
    stored,
)

PAYLOADS = Path(__file__).parent.parent / "payloads"
OPENLDAP = PAYLOADS / "openldap" / "openldap-2k.ldif.gz"
SAMBA = PAYLOADS / "ms_ad" / "samba-ad-300.ldif.gz"
BOUNDS = SnapshotSettings(user_bases=(PEOPLE,), group_bases=(GROUPS,))


@pytest.fixture(scope="module")
def slapd(make_slapd: SlapdFactory) -> Slapd:
    """A server with the export of a real one. Nobody writes to it."""
    return make_slapd(OPENLDAP)


@pytest.fixture
def own_slapd(make_slapd: SlapdFactory, slapd: Slapd) -> Slapd:
    """The same data on a server of the test's own, to be written to."""
    return make_slapd.copy(slapd)


def put(world: World, given: Stored) -> DirectoryId:
    return world.put_directory(kind="ldap", settings=given)


def change(world: World, hq: DirectoryId, **other: str | int | bool) -> None:
    """Store other settings of the directory."""
    known = world.stored_directory(hq)
    world.do(PutDirectory(hq, "ldap", known.name, {**known.settings, **other}))


def run(world: World, hq: DirectoryId) -> RunRecord:
    return run_directory(
        world.claim(hq), keeper=world.keeper, exports=world.folder, passwords={"hq": PASSWORD}.__getitem__
    )


def few(slapd: Slapd, **other: str | int | bool) -> Stored:
    """A hundred of the two thousand people, and all groups."""
    return on_slapd(slapd, **{"user_filter": "(uid=u0001*)", **other})


def id_of(slapd: Slapd, dn: str) -> str:
    """The entryUUID that the server gives an entry."""
    with open_session(settings(on_slapd(slapd)), PASSWORD) as session:
        found = session.read_base(dn, ("entryUUID",))
    assert found is not None
    return found.attributes["entryuuid"][0].decode()


# A server says the same as its export.


def taken(reading: Snapshot) -> tuple[dict[str, object], dict[str, object]]:
    """Facts of users and groups by id, with fingerprints and members."""
    users: dict[str, object] = {
        user.external_id: (reading.user_facts(user), user.fingerprint) for user in reading.users()
    }
    groups: dict[str, object] = {one.facts.external_id: one for one in reading.groups()}
    return users, groups


@pytest.mark.slapd
def test_a_server_gives_the_same_facts_and_fingerprints_as_its_export(slapd: Slapd) -> None:
    live = Snapshot(source(on_slapd(slapd)), dialect=dialect(), settings=BOUNDS)
    exported = snapshot(gzip.decompress(OPENLDAP.read_bytes()), settings=BOUNDS)

    assert taken(live) == taken(exported)
    assert live.outcome == exported.outcome == Complete()
    assert (live.counts.users, live.counts.groups) == (2000, 89)


def as_operation(entry: RawEntry) -> bytes:
    return wire.entry(entry.dn, entry.attributes)


def test_active_directory_gives_the_same_facts_as_its_export() -> None:
    text = gzip.decompress(SAMBA.read_bytes())
    entries = [item for item in read_ldif(io.BytesIO(text)) if isinstance(item, RawEntry)]
    people = [as_operation(entry) for entry in entries if b"group" not in entry.attributes["objectclass"]]
    groups = [as_operation(entry) for entry in entries if b"group" in entry.attributes["objectclass"]]
    reader = dialect("active_directory")
    base = "dc=ad,dc=example,dc=org"

    with serve(wire.serve_entries(people, groups)) as server:
        given = stored(server.port, user_bases=base, group_bases=base, page_size=100)
        live = Snapshot(source(given), dialect=reader)
        found = taken(live)

    # Domain Users holds everybody without listing anybody: the primary group is followed by its identifier.
    exported = snapshot(text, read_by=reader)
    assert found == taken(exported)
    assert live.outcome == Complete()
    sizes = {one.facts.display_name: len(one.members) for one in exported.groups()}
    assert sizes["Domain Users"] == 300


def test_a_disabled_account_of_389_directory_server_is_disabled_however_it_is_spelt() -> None:
    people = [
        person(number, nsUniqueId=[f"0000000{number}-00000000-00000000-00000000"], **values)
        for number, values in enumerate(
            ({}, {"nsAccountLock": ["TRUE"]}, {"nsAccountLock": ["false"]}, {"nsAccountLock": ["perhaps"]})
        )
    ]
    with serve(wire.serve_entries(people)) as server:
        live = Snapshot(source(stored(server.port)), dialect=dialect("ds389"))
        found = [user.activity for user in live.users()]

    assert found == [Activity.ACTIVE, Activity.DISABLED, Activity.ACTIVE, Activity.UNKNOWN]


# Runs.


def rows(world: World) -> Mapping[str, list[tuple[object, ...]]]:
    with world.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(table.select())]
            for table in metadata.sorted_tables
        }


@pytest.mark.slapd
def test_a_run_takes_a_server_over_and_a_second_one_plans_nothing(world: World, slapd: Slapd) -> None:
    hq = put(world, on_slapd(slapd))

    first = run(world, hq)
    before = rows(world)
    second = run(world, hq)
    after = rows(world)

    assert (first.state, first.counters["users_created"]) == ("completed", 2000)
    assert (second.state, second.plan_hash, second.started_event) == ("completed", "", None)
    written = {
        name: [row for row in found if row not in before[name]]
        for name, found in after.items()
        if found != before[name]
    }
    assert sum(map(len, written.values())) <= 3, written
    world.check()


# Faults: cases 1 to 5, 7, 10, 16 and 48.


@pytest.mark.slapd
def test_an_account_with_a_limit_makes_a_partial_run_that_removes_nobody(world: World, slapd: Slapd) -> None:
    hq = put(world, few(slapd, user_filter="(uid=u0019*)"))
    run(world, hq)
    change(world, hq, bind_dn=account("limited"), user_filter="(uid=u*)", guard_group_lost_percent=100)

    record = run(world, hq)

    assert record.state == "partial", record.reason
    assert "sizeLimitExceeded 4" in record.reason
    assert "lift this limit for cn=limited,o=accounts" in record.reason
    assert record.counters.get("users_deactivated", 0) == 0
    assert record.counters.get("memberships_removed", 0) == 0
    assert world.user(hq, id_of(slapd, f"uid=u001950,{PEOPLE}")).active


@pytest.mark.slapd
def test_a_page_above_the_server_s_limit_fails_with_a_hint(world: World, slapd: Slapd) -> None:
    hq = put(world, on_slapd(slapd, bind_dn=account("limited"), page_size=1000))

    record = run(world, hq)

    assert record.state == "failed"
    assert "lower page_size" in record.reason


@pytest.mark.slapd
def test_an_account_that_sees_nobody_is_stopped_by_the_guard(world: World, slapd: Slapd) -> None:
    hq = put(world, few(slapd))
    run(world, hq)
    users = len(world.members())
    change(world, hq, bind_dn=account("blind"))

    record = run(world, hq)

    assert record.state == "blocked"
    assert "no user was read while 100 are stored" in record.reason
    assert len(world.members()) == users


@pytest.mark.slapd
@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"user_bases": f"ou=poeple,{SUFFIX}"}, "there is no such base; correct user_bases"),
        ({"group_bases": f"ou=gruops,{SUFFIX}"}, "there is no such base"),
        ({"user_filter": "(uid=*)("}, "is no LDAP filter"),
        ({"tls": "off"}, "choose one of"),
        ({"bind_dn": f"cn=nobody,{SUFFIX}"}, "bind_dn or the password is wrong"),
        ({"user_filter": "(uid=nobody)", "group_filter": "(cn=nobody)"}, "the server shows no entry"),
    ],
)
def test_settings_that_find_nothing_fail_the_run_and_change_nothing(
    world: World, slapd: Slapd, other: Stored, words: str
) -> None:
    hq = put(world, on_slapd(slapd, user_filter="(uid=u00000*)", group_filter="(cn=nest-*)"))
    run(world, hq)
    users = len(world.members())
    change(world, hq, **other)

    record = run(world, hq)

    assert record.state == "failed"
    assert words in record.reason
    assert len(world.members()) == users
    assert world.stored_directory(hq).failures == 1


@pytest.mark.slapd
@pytest.mark.parametrize("drop_after", [2_000, 20_000, 80_000])
def test_a_connection_that_is_dropped_is_read_anew_from_the_first_page(
    world: World, slapd: Slapd, drop_after: int
) -> None:
    with Proxy(slapd.port, drop_after) as proxy:
        hq = put(world, few(slapd, servers=f"127.0.0.1:{proxy.port}", page_size=10))
        record = run(world, hq)

    assert record.state == "completed"
    assert record.counters["users_created"] == 100
    assert proxy.clients == 2
    world.check()


@pytest.mark.slapd
def test_a_stalled_connection_is_read_anew_from_the_next_server(world: World, slapd: Slapd) -> None:
    with Proxy(slapd.port, 20_000, stall=True) as proxy:
        servers = f"127.0.0.1:{proxy.port},127.0.0.1:{slapd.port}"
        hq = put(world, few(slapd, servers=servers, receive_seconds=1))
        record = run(world, hq)

    assert record.state == "completed"
    assert proxy.clients == 1


def test_a_server_that_always_breaks_off_is_tried_twice_and_fails(world: World) -> None:
    def script(peer: wire.Peer) -> None:
        request = peer.answer_until_search()
        peer.send(wire.message(request.number, person(1)))

    with serve(script) as server:
        hq = put(world, stored(server.port))
        record = run(world, hq)

    assert record.state == "failed"
    assert "closed the connection before its answer was whole" in record.reason
    assert server.clients == 2
    assert not world.has_user(hq, eid(1))


def test_a_reference_below_a_base_makes_the_run_partial_unless_it_is_ignored(world: World) -> None:
    far = wire.reference(f"ldap://other.example/ou=far,{PEOPLE}")
    script = wire.pages([person(1), far], [])

    with serve(script) as server:
        hq = put(world, stored(server.port))
        first = run(world, hq)
        change(world, hq, ignored_references=f"ou=far,{PEOPLE}")
        second = run(world, hq)

    assert (first.state, second.state) == ("partial", "completed")
    assert "leaves out what stands under ldap://other.example" in first.reason


def test_an_entry_that_cannot_be_read_leaves_its_person_and_is_named_by_its_number(world: World) -> None:
    people = [person(number) for number in range(3)]
    damaged = person(1, cn=[b"x" * ((1 << 20) + 1)])
    with serve(
        wire.serve_entries(people, [group(9, "team", [0, 1])]),
        wire.serve_entries([people[0], damaged, people[2]], [group(9, "team", [0, 1])]),
    ) as server:
        hq = put(world, stored(server.port, guard_rejected_percent=100))
        run(world, hq)
        planned = plan_directory(
            world.stored_directory(hq),
            unit_of_work=world.unit_of_work,
            exports=world.folder,
            now=world.clock(),
            passwords={"hq": PASSWORD}.__getitem__,
        )

    assert planned.plan.is_empty
    assert planned.counts.place == "entry"
    assert [(item.number, item.reason) for item in planned.counts.rejections] == [
        (2, "a value of cn is larger than 1048576 bytes")
    ]


def test_two_entries_of_one_id_are_told_by_their_numbers(world: World) -> None:
    with serve(wire.serve_entries([person(1), person(2), person(1)])) as server:
        record = run(world, put(world, stored(server.port, guard_rejected_percent=100)))

    assert record.state == "partial"
    assert "the entries numbers 1 and 3 have the same id" in record.reason


def test_a_group_below_the_people_is_read_once_where_one_base_holds_both(world: World) -> None:
    team = group(9, "team", [1])
    script = wire.serve_entries([person(1), team], [team, person(1)])

    with serve(script) as server:
        hq = put(world, stored(server.port, user_bases=SUFFIX, group_bases=SUFFIX))
        record = run(world, hq)

    assert record.state == "completed"
    assert world.in_group(hq, eid(9)) == {eid(1)}


# Changes on a server: cases 18, 19, 21 and 28.


@pytest.mark.slapd
def test_what_is_edited_on_the_server_is_what_the_next_run_changes(world: World, own_slapd: Slapd) -> None:
    hq = put(world, few(own_slapd, user_filter="(|(uid=u0001*)(uid=renamed))"))
    run(world, hq)
    gone, renamed = (f"uid=u{number:06d},{PEOPLE}" for number in (100, 101))
    before = {name: id_of(own_slapd, name) for name in (gone, renamed)}
    own_slapd.modify(
        f"dn: {gone}\nchangetype: delete\n\n"
        f"dn: {renamed}\nchangetype: modrdn\nnewrdn: uid=renamed\ndeleteoldrdn: 1\n\n"
    )

    record = run(world, hq)

    assert record.state == "completed"
    assert not world.user(hq, before[gone]).active
    assert world.user(hq, before[renamed]).user_name == "renamed"
    assert record.counters["users_deactivated"] == 1
    assert record.counters.get("users_created", 0) == 0
    assert record.counters.get("memberships_removed", 0) == 0
    assert run(world, hq).plan_hash == ""
    world.check()


@pytest.mark.slapd
def test_a_person_made_anew_under_the_same_name_is_another_person(world: World, own_slapd: Slapd) -> None:
    hq = put(world, few(own_slapd, user_filter="(|(uid=u0001*)(uid=renamed))"))
    run(world, hq)
    dn = f"uid=u000100,{PEOPLE}"
    old = id_of(own_slapd, dn)
    own_slapd.modify(
        f"dn: {dn}\nchangetype: delete\n\n"
        f"dn: {dn}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: u000100\ncn: New\nsn: New\n\n"
    )

    run(world, hq)

    new = id_of(own_slapd, dn)
    assert new != old
    assert not world.user(hq, old).active
    assert world.user(hq, new).active


# Leases.


def test_a_long_reading_keeps_its_lease_and_a_lost_one_ends_it(world: World) -> None:
    with serve(wire.serve_entries([person(number) for number in range(4)])) as server:
        hq = put(world, stored(server.port, page_size=1))
        claim = world.claim(hq)
        beat = world.keeper.heartbeat(claim)
        before = rows(world)
        beat()
        assert rows(world) == before
        world.clock.move(seconds=LEASE.total_seconds() / 2)
        beat()
        assert rows(world) != before
        world.claim(hq)
        world.clock.move(seconds=LEASE.total_seconds() / 2)

        with pytest.raises(StaleFenceError):
            plan_directory(
                claim.directory,
                unit_of_work=world.unit_of_work,
                exports=world.folder,
                now=world.clock(),
                passwords={"hq": PASSWORD}.__getitem__,
                after_page=beat,
            )


def test_a_directory_that_is_read_by_whoever_has_no_passwords_is_refused(world: World) -> None:
    hq = put(world, stored(1))

    with pytest.raises(LDAPSettingsError, match="there is no password 'hq' here"):
        plan_directory(
            world.stored_directory(hq),
            unit_of_work=world.unit_of_work,
            exports=world.folder,
            now=world.clock(),
        )
    assert issubclass(LDAPSettingsError, SyncError)
