"""Faults and oddities of groups on a real server: cases 25 to 28 and 30 of docs/guides/ldap-faults.md."""

from collections.abc import Iterator

import pytest

from directory.ids import ExternalId
from tests import scripted_ldap as wire
from tests.builders import ADMIN, MEMBER, World, on_sqlite_only
from tests.scripted_ldap import serve
from tests.slapd import SUFFIX, Slapd, SlapdFactory
from tests.sync.builders import eid, uuid
from tests.sync.ldap_builders import PEOPLE, Stored, on_slapd, stored
from tests.sync.ldap_trees import (
    Hold,
    edited,
    entry,
    fill,
    is_settled,
    people,
    person,
    planned,
    put,
    run,
    team,
    team_dn,
    unit,
    user,
    user_dn,
)

TEAM = 50_000


@pytest.fixture(scope="module")
def server(make_slapd: SlapdFactory) -> Iterator[Slapd]:
    slapd = make_slapd.prepare()
    yield slapd
    slapd.stop()


@pytest.fixture
def hold(server: Slapd) -> Hold:
    return lambda *entries: fill(server, *entries)


# Case 25


@pytest.mark.slapd
def test_cycles_end_and_whoever_is_in_one_of_their_groups_is_in_all(world: World, hold: Hold) -> None:
    slapd = hold(
        people(1, 2, 3),
        team(TEAM, "a", 1, team_dn("b")),
        team(TEAM + 1, "b", 2, team_dn("a")),
        team(TEAM + 2, "self", 3, team_dn("self")),
    )
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    world.put_rule(world.group(hq, eid(TEAM)).group_id, MEMBER, world.put_scope("Gothenburg"))

    roles = [world.roles(user(world, hq, number).member_id) for number in (1, 2, 3)]

    assert roles == [["Member"], ["Member"], []]
    assert world.in_group(hq, eid(TEAM + 2)) == {eid(3)}
    assert is_settled(world, hq)


@pytest.mark.slapd
@on_sqlite_only
def test_a_chain_of_a_thousand_groups_reaches_whoever_is_in_the_last(world: World, hold: Hold) -> None:
    depth = 1_000
    chain = [team(TEAM + number, f"g{number}", team_dn(f"g{number + 1}")) for number in range(depth - 1)]
    slapd = hold(people(1, 2), *chain, team(TEAM + depth - 1, f"g{depth - 1}", 1))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    world.put_rule(world.group(hq, eid(TEAM)).group_id, MEMBER, world.put_scope("Gothenburg"))

    assert [world.roles(user(world, hq, number).member_id) for number in (1, 2)] == [["Member"], []]
    assert is_settled(world, hq)


# Case 26


@pytest.mark.slapd
def test_members_that_are_nobody_of_ours_are_counted_and_ignored(world: World, hold: Hold) -> None:
    outside = f"ou=partners,{SUFFIX}"
    printer = f"cn=printer,{PEOPLE}"
    slapd = hold(
        people(1),
        unit(outside),
        person(2, dn=f"uid=u2,{outside}"),
        entry(printer, ("objectClass", "device"), ("cn", "printer"), ("entryUUID", uuid(3))),
        team(TEAM, "staff", 1, f"uid=ghost,{PEOPLE}", f"uid=u2,{outside}", printer),
    )
    hq = put(world, on_slapd(slapd))

    record = run(world, hq)

    assert (record.state, record.counters["unknown_references"]) == ("completed", 3)
    assert world.in_group(hq, eid(TEAM)) == {eid(1)}
    assert is_settled(world, hq)


AD = "dc=ad,dc=example,dc=org"


def ad_entry(number: int, name: str, kind: str, **values: bytes | str | list[str]) -> bytes:
    given = {
        "objectClass": [kind],
        "cn": [name],
        "sAMAccountName": [name],
        "objectGUID": [number.to_bytes(16, "little")],
        **{key: value if isinstance(value, list) else [value] for key, value in values.items()},
    }
    return wire.entry(f"CN={name},CN=Users,{AD}", given)


def test_computers_and_contacts_in_a_group_of_active_directory_are_told_apart_from_strangers(
    world: World,
) -> None:
    names = [f"CN={name},CN=Users,{AD}" for name in ("ann", "pc", "card", "ghost")]
    entries = [
        ad_entry(1, "ann", "user", userAccountControl="512"),
        ad_entry(2, "pc", "computer", userAccountControl="4096"),
        ad_entry(3, "card", "contact"),
    ]
    with serve(*[wire.serve_entries(entries, [ad_entry(9, "team", "group", member=names)])] * 2) as fake:
        hq = put(world, stored(fake.port, dialect="active_directory", user_bases=AD, group_bases=AD))
        counts = planned(world, hq).counts
        record = run(world, hq)

    assert record.state == "completed"
    assert counts.dangling_members == 1
    assert dict(counts.ignored_members) == {"computer": 1, "contact": 1}
    with world.read() as reader:
        assert reader.counts(hq)["memberships"] == 1


# Case 27


@pytest.mark.slapd
def test_a_member_named_in_other_letters_and_spaces_is_the_same_person(world: World, hold: Hold) -> None:
    slapd = hold(people(1, 2), team(TEAM, "staff", f"UID=U1 , OU=People, {SUFFIX.upper()}", 2))
    hq = put(world, on_slapd(slapd))

    record = run(world, hq)

    assert "unknown_references" not in record.counters
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    assert is_settled(world, hq)


# Case 28


@pytest.mark.slapd
@on_sqlite_only
def test_one_of_twenty_thousand_members_is_one_row_and_all_of_them_are_the_guard_s(
    world: World, hold: Hold
) -> None:
    size = 20_000
    slapd = hold(people(*range(size + 1)), team(TEAM, "everybody", *range(size)), team(TEAM + 1, "spare", 1))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    world.events()
    everybody = team_dn("everybody")

    slapd.modify(edited(everybody, "add", "member", user_dn(size)))
    added = run(world, hq)
    after_adding = world.events()
    slapd.modify(edited(everybody, "delete", "member", user_dn(7)))
    removed = run(world, hq)
    after_removing = world.events()
    slapd.modify(edited(everybody, "replace", "member", user_dn(1)))
    cleared = run(world, hq)

    assert (added.counters["memberships_added"], after_adding.count("group.member_added")) == (1, 1)
    assert (removed.counters["memberships_removed"], after_removing.count("group.member_removed")) == (1, 1)
    assert len(after_adding) == len(after_removing) == 3
    assert cleared.state == "blocked"
    assert "group 'everybody' would shrink from 20000 to 1 members" in cleared.reason
    with world.read() as reader:
        assert reader.counts(hq)["memberships"] == size + 1


# Case 30

GUIDS = [ExternalId(f"{number:08x}-0000-0000-0000-000000000000") for number in (1, 8, 9)]


def sid(rid: int) -> bytes:
    """A security identifier of the one domain. Source: [MS-DTYP] section 2.4.2.2."""
    return bytes([1, 2]) + (5).to_bytes(6, "big") + (21).to_bytes(4, "little") + rid.to_bytes(4, "little")


def test_a_role_follows_the_primary_group(world: World) -> None:
    groups = [
        ad_entry(8, "Domain Users", "group", objectSid=sid(513)),
        ad_entry(9, "Chiefs", "group", objectSid=sid(1105)),
    ]

    def people_with(rid: int) -> list[bytes]:
        ann: dict[str, bytes | str] = {
            "userAccountControl": "512",
            "objectSid": sid(2001),
            "primaryGroupID": str(rid),
        }
        bob: dict[str, bytes | str] = {**ann, "objectSid": sid(2002), "primaryGroupID": "513"}
        return [ad_entry(1, "ann", "user", **ann), ad_entry(2, "bob", "user", **bob)]

    with serve(*(wire.serve_entries(people_with(rid), groups) for rid in (513, 1105, 513))) as fake:
        bases: Stored = {"user_bases": AD, "group_bases": AD, "guard_removed_memberships_percent": 100}
        hq = put(world, stored(fake.port, dialect="active_directory", **bases))
        run(world, hq)
        with world.read() as reader:
            known = {row.display_name: row for row in reader.groups_by_external_id(hq, GUIDS).values()}
            ann = reader.users_by_external_id(hq, GUIDS)[GUIDS[0]].member_id
        place = world.put_scope("Gothenburg")
        world.put_rule(known["Domain Users"].group_id, MEMBER, place)
        world.put_rule(known["Chiefs"].group_id, ADMIN, place)
        roles = [world.roles(ann)]
        for _ in range(2):
            run(world, hq)
            roles.append(world.roles(ann))

    assert roles == [["Member"], ["Admin"], ["Member"]]
    world.check()
