"""Names lead to ids, and to nobody when two entries share one."""

from directory.ids import ExternalId
from sync.member_index import MemberIndex, hash_names

ADA, EVE, TEAM = ExternalId("ada"), ExternalId("eve"), ExternalId("team")


def name(dn: str) -> int:
    return hash_names([dn.encode()])[0]


def test_a_name_leads_to_a_user_or_a_group_in_any_spelling() -> None:
    index = MemberIndex()
    index.add_user(name("uid=ada,o=x"), ADA)
    index.add_group(name("cn=team,o=x"), TEAM)

    found = index.resolve(hash_names([b"UID=Ada, O=X", b"CN=Team,O=x", b"cn=ghost"]), [], None)

    assert (found.users, found.groups, found.dangling) == ({ADA}, {TEAM}, 1)
    assert index.holds(name("UID=ADA,o=x"))
    assert not index.holds(name("cn=ghost"))


def test_a_uid_leads_to_its_user_and_that_of_two_users_to_neither() -> None:
    index = MemberIndex()
    index.add_user(name("cn=1"), ADA, [b"ada", b"STRASSE"])
    index.add_user(name("cn=2"), EVE, [b"eve", "straße".encode(), b"\xff"])

    found = index.resolve([], [b"ADA", b"strasse", b"\xff", b"ghost"], None)

    assert found.users == {ADA, EVE}
    assert found.ambiguous_uids == ["strasse"]
    assert found.dangling == 1


def test_a_primary_group_holds_its_users_without_listing_them() -> None:
    index = MemberIndex()
    index.add_user(name("cn=1"), ADA, primary_group=b"513")
    index.add_user(name("cn=2"), EVE, primary_group=b"514")

    assert index.resolve([], [], b"513").users == {ADA}
    assert index.resolve([], [], b"999").users == set()
    assert index.count_missing_primary_groups([b"513"]) == 1


def test_an_ignored_member_is_counted_by_its_reason() -> None:
    index = MemberIndex()
    index.add_ignored(name("cn=pc"), "computer")

    found = index.resolve(hash_names([b"cn=pc", b"CN=PC"]), [], None)

    assert (found.ignored, found.dangling) == ({"computer": 2}, 0)


def test_an_ambiguous_name_leads_to_nobody_and_stays_taken() -> None:
    index = MemberIndex()
    index.add_user(name("cn=1"), ADA)
    index.add_group(name("cn=2"), TEAM)
    for dn in ("cn=1", "cn=2"):
        index.mark_ambiguous(name(dn))

    found = index.resolve(hash_names([b"cn=1", b"cn=2"]), [], None)

    assert (found.users, found.groups) == (set(), set())
    assert found.ignored == {"ambiguous_dn": 2}
    assert index.holds(name("cn=1"))
