"""Faults and oddities of people on a real server: cases 17 to 24 and 31 of docs/guides/ldap-faults.md."""

from collections.abc import Iterator, Sequence

import pytest

from directory.ids import ExternalId
from sync.ldap_reader import open_session
from tests import scripted_ldap as wire
from tests.builders import World, on_sqlite_only
from tests.scripted_ldap import serve
from tests.slapd import PASSWORD, Slapd, SlapdFactory
from tests.sync import ldap_builders
from tests.sync.builders import eid, uuid
from tests.sync.ldap_builders import PEOPLE, on_slapd, settings, stored
from tests.sync.ldap_trees import (
    Hold,
    deleted,
    edited,
    fill,
    is_settled,
    moved,
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

TEAM = 9_001


@pytest.fixture(scope="module")
def server(make_slapd: SlapdFactory) -> Iterator[Slapd]:
    slapd = make_slapd.prepare()
    yield slapd
    slapd.stop()


@pytest.fixture
def hold(server: Slapd) -> Hold:
    return lambda *entries: fill(server, *entries)


# Case 17


@pytest.mark.slapd
def test_a_third_of_the_people_deleted_is_blocked_and_applied_by_its_hash_alone(
    world: World, hold: Hold
) -> None:
    slapd = hold(people(*range(1, 41)))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    slapd.modify("".join(deleted(user_dn(number)) for number in range(1, 13)))

    blocked = run(world, hq)
    other = run(world, hq, approval="ab" * 32, approved_by="ann")
    still = sum(user(world, hq, number).active for number in range(1, 41))
    approved = run(world, hq, approval=blocked.plan_hash, approved_by="ann")
    again = run(world, hq, approval=blocked.plan_hash, approved_by="ann")

    assert blocked.state == other.state == "blocked"
    assert blocked.reason == "12 of 40 active users would be deactivated; the limit is 10"
    assert "the approval is for another plan" in other.reason
    assert still == 40
    assert (approved.state, approved.counters["users_deactivated"]) == ("completed", 12)
    assert again.state == "blocked"
    assert is_settled(world, hq)


# Case 18


@pytest.mark.slapd
def test_people_deleted_on_the_server_are_deactivated_and_lose_their_sessions(
    world: World, hold: Hold
) -> None:
    slapd = hold(people(*range(1, 31)), team(TEAM, "staff", *range(1, 31)))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    world.put_rule(world.group(hq, eid(TEAM)).group_id, scope=world.put_scope("Gothenburg"))
    gone = [user(world, hq, number).member_id for number in (1, 2, 3)]
    world.events()
    slapd.modify("".join(deleted(user_dn(number)) for number in (1, 2, 3)))

    record = run(world, hq)

    assert (record.state, record.counters["users_deactivated"]) == ("completed", 3)
    actions = world.events()
    assert [actions.count(name) for name in ("user.deactivated", "member.deactivated")] == [3, 3]
    ended = [payload["members"] for topic, payload in world.outbox() if topic == "session.end"]
    assert sorted(ended[-1]) == sorted(gone)
    assert not any(world.record(member_id).is_active for member_id in gone)
    assert is_settled(world, hq)


# Case 19


@pytest.mark.slapd
def test_a_person_moved_to_another_unit_is_the_same_person(world: World, hold: Hold) -> None:
    elsewhere = f"ou=elsewhere,{PEOPLE}"
    slapd = hold(people(1, 2), unit(elsewhere), team(TEAM, "staff", 1, 2))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    before = user(world, hq, 1)
    slapd.modify(moved(user_dn(1), "uid=u1", below=elsewhere))

    record = run(world, hq)

    after = user(world, hq, 1)
    assert (after.user_id, after.member_id, after.active) == (before.user_id, before.member_id, True)
    assert after.dn == f"uid=u1,{elsewhere}"
    assert "users_created" not in record.counters
    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    assert is_settled(world, hq)


@pytest.mark.slapd
@on_sqlite_only
def test_a_unit_renamed_above_a_thousand_people_keeps_them_all_in_their_groups(
    world: World, hold: Hold
) -> None:
    numbers = range(1, 1_001)
    below = f"ou=north,{PEOPLE}"
    slapd = hold(
        unit(below),
        *(person(number, dn=f"uid=u{number},{below}") for number in numbers),
        team(TEAM, "staff", *(f"uid=u{number},{below}" for number in numbers)),
    )
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    members = {number: user(world, hq, number).member_id for number in numbers}
    slapd.modify(moved(below, "ou=south"))

    record = run(world, hq)

    assert record.state == "completed", record.reason
    assert len(world.in_group(hq, eid(TEAM))) == 1_000
    assert {number: user(world, hq, number).member_id for number in numbers} == members
    assert user(world, hq, 7).dn == f"uid=u7,ou=south,{PEOPLE}"
    assert {"users_created", "users_deactivated", "memberships_removed"}.isdisjoint(record.counters)
    again = run(world, hq)
    assert {"memberships_added", "memberships_removed"}.isdisjoint(again.counters)
    assert len(world.in_group(hq, eid(TEAM))) == 1_000
    world.check()


def test_who_was_renamed_stays_in_a_group_that_the_server_leaves_alone_until_somebody_decides(
    world: World,
) -> None:
    numbers = range(60)
    renamed = [
        wire.entry(
            f"uid=u{number},ou=south,{PEOPLE}",
            {"objectClass": ["inetOrgPerson"], "uid": [f"u{number}"], "entryUUID": [uuid(number)]},
        )
        for number in numbers
    ]
    listed = [ldap_builders.group(TEAM, "staff", numbers)]
    before = wire.serve_entries([ldap_builders.person(number) for number in numbers], listed)
    after = wire.serve_entries(renamed, listed)
    with serve(before, after, after) as fake:
        hq = put(world, stored(fake.port))
        records = [run(world, hq) for _ in range(3)]

    assert [record.state for record in records] == ["completed", "completed", "blocked"]
    assert "group 'staff' would shrink from 60 to 0 members" in records[2].reason
    assert len(world.in_group(hq, eid(TEAM))) == 60


# Case 20


@pytest.mark.slapd
def test_a_group_that_the_server_edits_after_a_rename_keeps_its_members(world: World, hold: Hold) -> None:
    slapd = hold(people(1, 2), team(TEAM, "staff", 1, 2))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    slapd.modify(moved(user_dn(1), "uid=renamed"))
    assert is_listed(slapd, f"uid=renamed,{PEOPLE}")

    record = run(world, hq)

    assert world.in_group(hq, eid(TEAM)) == {eid(1), eid(2)}
    assert {"memberships_added", "memberships_removed"}.isdisjoint(record.counters)
    assert is_settled(world, hq)


def is_listed(slapd: Slapd, dn: str) -> bool:
    """Whether the server has come to list the DN in the group: it edits groups behind the rename's answer."""
    with open_session(settings(on_slapd(slapd)), PASSWORD) as session:
        shown = (session.read_base(team_dn("staff"), ("member",)) for _ in range(10_000))
        return any(found and dn.encode() in found.attributes["member"] for found in shown)


# Case 22


@pytest.mark.slapd
def test_an_address_moves_and_two_addresses_are_swapped_in_one_run_each(world: World, hold: Hold) -> None:
    slapd = hold(person(1, mail="one@example.org"), person(2))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    slapd.modify(
        edited(user_dn(1), "replace", "mail", "two@example.org")
        + edited(user_dn(2), "add", "mail", "one@example.org")
    )

    first = run(world, hq)
    moved_to = [user(world, hq, number).mails for number in (1, 2)]
    slapd.modify(
        edited(user_dn(1), "replace", "mail", "one@example.org")
        + edited(user_dn(2), "replace", "mail", "two@example.org")
    )
    second = run(world, hq)

    assert (first.state, second.state) == ("completed", "completed")
    assert moved_to == [("two@example.org",), ("one@example.org",)]
    assert [user(world, hq, number).mails for number in (1, 2)] == [
        ("one@example.org",),
        ("two@example.org",),
    ]
    assert is_settled(world, hq)


# Case 23


@pytest.mark.slapd
def test_shared_several_and_missing_addresses_are_reported_and_keep_nobody_out(
    world: World, hold: Hold
) -> None:
    slapd = hold(
        person(1, mail="same@example.org"),
        person(2, mail="same@example.org"),
        person(3, mail="SAME@Example.ORG"),
        person(4, mail="four@example.org").replace("\n\n", "\nmail: second@example.org\n\n"),
        person(5),
    )
    hq = put(world, on_slapd(slapd))

    counts = planned(world, hq).counts
    record = run(world, hq)

    assert (counts.users, counts.shared_mail) == (5, 2)
    assert record.counters["users_created"] == 5
    assert set(user(world, hq, 4).mails) == {"four@example.org", "second@example.org"}
    assert len({user(world, hq, number).member_id for number in (1, 2, 3, 4, 5)}) == 5
    assert is_settled(world, hq)


# Case 24

ODD = {
    1: "cn=Zo\u00eb Gr\u00f6\u00dfe",
    2: "cn=Jose\u0301 Nun\u0303ez",
    3: r"cn=Doe\2C Jane \2B Co",
    4: "cn=multi+uid=u4",
    5: r"cn=Trailing\20",
    6: r"cn=\23hash",
}


@pytest.mark.slapd
def test_names_that_are_spelt_in_many_ways_are_the_same_in_every_run(world: World, hold: Hold) -> None:
    names = [
        "Zo\u00eb Gr\u00f6\u00dfe",
        "Jose\u0301 Nun\u0303ez",
        "Doe, Jane + Co",
        "multi",
        "Trailing ",
        "#hash",
    ]
    entries = [
        person(number, dn=f"{rdn},{PEOPLE}", cn=name)
        for (number, rdn), name in zip(ODD.items(), names, strict=True)
    ]
    spelt = [
        f"cn=Zoe\u0308 Gr\u00f6\u00dfe,{PEOPLE}",
        f"CN=Jos\u00e9 Nu\u00f1ez,{PEOPLE}",
        rf"cn=Doe\, Jane \+ Co,{PEOPLE}",
        f"uid=u4+cn=multi,{PEOPLE}",
        rf"cn=Trailing\20,{PEOPLE}",
        rf"cn=\#hash,{PEOPLE}",
    ]
    slapd = hold(*entries, team(TEAM, "odd", *spelt))
    hq = put(world, on_slapd(slapd))

    record = run(world, hq)

    assert (record.state, record.counters["users_created"]) == ("completed", 6)
    assert world.in_group(hq, eid(TEAM)) == {eid(number) for number in ODD}
    assert is_settled(world, hq)


# Case 31


@pytest.mark.slapd
def test_an_account_locked_for_good_by_the_password_policy_is_disabled_until_it_is_unlocked(
    world: World, hold: Hold
) -> None:
    slapd = hold(people(1, 2))
    hq = put(world, on_slapd(slapd))
    run(world, hq)
    world.events()
    states = []
    for edit in (
        edited(user_dn(1), "add", "pwdAccountLockedTime", "000001010000Z"),
        edited(user_dn(1), "replace", "pwdAccountLockedTime", "20260301120000Z"),
        edited(user_dn(1), "delete", "pwdAccountLockedTime"),
    ):
        slapd.modify(edit)
        run(world, hq)
        states.append(user(world, hq, 1).active)

    assert states == [False, True, True]
    actions = [action for action in world.events() if action.startswith("user.")]
    assert actions == ["user.deactivated", "user.reactivated"]
    assert is_settled(world, hq)


AD = "dc=ad,dc=example,dc=org"


def ad_person(number: int, **values: str) -> bytes:
    given: dict[str, Sequence[bytes | str]] = {
        "objectClass": ["user"],
        "sAMAccountName": [f"u{number}"],
        "objectGUID": [number.to_bytes(16, "little")],
        "userAccountControl": ["512"],
        **{name: [value] for name, value in values.items()},
    }
    return wire.entry(f"CN=u{number},CN=Users,{AD}", given)


def ad_id(number: int) -> ExternalId:
    """Such an objectGUID as it is written."""
    return ExternalId(f"{number:08x}-0000-0000-0000-000000000000")


def test_an_account_of_active_directory_follows_its_flags(world: World) -> None:
    flags = ("514", "512", "546", "512")
    with serve(
        *(wire.serve_entries([ad_person(1, userAccountControl=said), ad_person(2)]) for said in flags)
    ) as fake:
        hq = put(world, stored(fake.port, dialect="active_directory", user_bases=AD, group_bases=AD))
        states = []
        for _ in flags:
            run(world, hq)
            states.append(world.user(hq, ad_id(1)).active)

    assert states == [False, True, False, True]
    world.check()


def test_an_account_of_389_directory_server_follows_its_lock(world: World) -> None:
    def locked(said: str) -> list[bytes]:
        extra = {"nsAccountLock": [said]} if said else {}
        return [
            ldap_builders.person(1, nsUniqueId=[f"{1:08x}-00000000-00000000-00000000"], **extra),
            ldap_builders.person(2, nsUniqueId=[f"{2:08x}-00000000-00000000-00000000"]),
        ]

    with serve(*(wire.serve_entries(locked(said)) for said in ("", "true", "FALSE", "TRUE"))) as fake:
        hq = put(world, stored(fake.port, dialect="ds389"))
        states = []
        for _ in range(4):
            run(world, hq)
            with world.read() as reader:
                states.append(reader.counts(hq)["active_users"])

    assert states == [2, 1, 2, 1]
    world.check()
