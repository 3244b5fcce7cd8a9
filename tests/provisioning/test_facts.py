"""What directories say is stored as said, and becomes people, links and events."""

from collections.abc import Callable

import pytest
from sqlalchemy import event

from directory.changes import (
    AddDomain,
    AddSubgroups,
    AttributeMatch,
    Change,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    NameMatch,
    PutUser,
    RemoveMembers,
    RemoveSubgroups,
)
from directory.facts import Activity
from directory.ids import DirectoryId, ExternalId
from provisioning.commands import Refused
from provisioning.state import UNLIMITED, Seat
from tests.builders import (
    ADMIN,
    WORKER,
    MakeWorld,
    World,
    add_members,
    external,
    on_sqlite_only,
    put_group,
    put_user,
)


def remove_members(group: str, *users: str) -> RemoveMembers:
    return RemoveMembers(external(group), tuple(map(ExternalId, users)))


def nest(group: str, *subgroups: str) -> AddSubgroups:
    return AddSubgroups(external(group), tuple(map(ExternalId, subgroups)))


def take_out(group: str, *subgroups: str) -> RemoveSubgroups:
    return RemoveSubgroups(external(group), tuple(map(ExternalId, subgroups)))


# Each change: what it writes, and that saying it again writes nothing


def nothing(world: World, hq: DirectoryId) -> None:
    """The organisation as it is."""


def with_ann(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_user("ann"))


def with_ann_away(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_user("ann"))
    world.push(hq, DeactivateUser(external("ann")))


def with_ann_deleted(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_user("ann"), DeleteUser(external("ann")))


def with_group(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_group("staff"), put_user("ann"))


def with_member(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_group("staff"), put_user("ann"), add_members("staff", "ann"))


def with_groups(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_group("staff"), put_group("night"))


def with_nesting(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_group("staff"), put_group("night"), nest("staff", "night"))


def with_group_deleted(world: World, hq: DirectoryId) -> None:
    world.push(hq, put_group("staff"), DeleteGroup(external("staff")))


CASES: list[tuple[Callable[[World, DirectoryId], None], Change, list[str]]] = [
    (nothing, put_user("ann"), ["user.created", "member.created"]),
    (nothing, put_user("ann", active=False), ["user.created", "member.created"]),
    (nothing, put_user("ann", activity=Activity.UNKNOWN), ["user.created", "member.created"]),
    (with_ann, put_user("ann", display_name="Anna"), ["user.updated"]),
    (with_ann, put_user("ann", attributes={"title": ("Chef",)}), ["user.updated"]),
    (with_ann, put_user("ann", active=False), ["user.deactivated", "member.deactivated"]),
    (with_ann_away, put_user("ann"), ["user.reactivated", "member.reactivated"]),
    (with_ann_deleted, put_user("ann"), ["user.reactivated", "member.reactivated"]),
    (with_ann, DeactivateUser(external("ann")), ["user.deactivated", "member.deactivated"]),
    (with_ann, DeleteUser(external("ann")), ["user.deleted", "member.deleted"]),
    (with_ann_away, DeleteUser(external("ann")), ["user.deleted", "member.deleted"]),
    (with_member, DeleteUser(external("ann")), ["user.deleted", "group.member_removed", "member.deleted"]),
    (nothing, put_group("staff"), ["group.created"]),
    (with_group, put_group("staff", "Everyone"), ["group.renamed"]),
    (with_group_deleted, put_group("staff"), ["group.created"]),
    (with_group, DeleteGroup(external("staff")), ["group.deleted"]),
    (with_member, DeleteGroup(external("staff")), ["group.deleted"]),
    (with_group, add_members("staff", "ann"), ["group.member_added"]),
    (with_member, remove_members("staff", "ann"), ["group.member_removed"]),
    (with_groups, nest("staff", "night"), ["group.subgroup_added"]),
    (with_nesting, take_out("staff", "night"), ["group.subgroup_removed"]),
]


@pytest.mark.parametrize(
    ("given", "change", "actions"), CASES, ids=[f"{g.__name__}-{c!r:.40}" for g, c, _ in CASES]
)
def test_a_change_writes_its_events_once(
    world: World, given: Callable[[World, DirectoryId], None], change: Change, actions: list[str]
) -> None:
    hq = world.put_directory()
    given(world, hq)
    world.events()

    world.push(hq, change)
    assert world.events() == actions
    before, version = world.snapshot(), world.state.access_version
    world.clock.move(hours=1)
    applied = world.push(hq, change)

    assert world.events() == []
    assert applied.counters == {}
    assert (applied.access_version, world.snapshot()) == (version, before)
    world.check()


UNKNOWN: list[tuple[Change, str]] = [
    (DeactivateUser(external("nobody")), "users_unknown"),
    (DeleteUser(external("nobody")), "users_unknown"),
    (DeleteGroup(external("nothing")), "groups_unknown"),
    (add_members("nothing", "ann"), "groups_unknown"),
    (remove_members("nothing", "ann"), "groups_unknown"),
    (add_members("staff", "nobody"), "members_unknown"),
    (remove_members("staff", "nobody"), "members_unknown"),
    (nest("nothing", "staff"), "groups_unknown"),
    (take_out("nothing", "staff"), "groups_unknown"),
    (nest("staff", "nothing"), "subgroups_unknown"),
    (take_out("staff", "nothing"), "subgroups_unknown"),
]


@on_sqlite_only
@pytest.mark.parametrize(("change", "counter"), UNKNOWN, ids=[f"{c!r:.50}" for c, _ in UNKNOWN])
def test_what_names_an_unknown_entry_is_counted_and_left_out(
    world: World, change: Change, counter: str
) -> None:
    hq = world.put_directory()
    with_group(world, hq)
    world.events()

    applied = world.push(hq, change)

    assert applied.counters == {counter: 1}
    assert world.events() == []


def test_a_deleted_entry_is_unknown_to_memberships(world: World) -> None:
    hq = world.put_directory()
    with_group(world, hq)
    world.push(hq, put_group("night"), DeleteUser(external("ann")), DeleteGroup(external("staff")))

    applied = world.push(
        hq,
        add_members("staff", "ann"),
        add_members("night", "ann"),
        nest("staff", "night"),
        nest("night", "staff"),
    )

    assert applied.counters == {"groups_unknown": 2, "members_unknown": 1, "subgroups_unknown": 1}


def test_a_command_of_an_unknown_directory_is_refused(world: World) -> None:
    missing = DirectoryId(world.new_id())

    outcome = world.request(missing, put_user("ann"))

    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.message) == (
        "not_found",
        f"there is no directory '{missing}' in this organisation",
    )
    assert world.events() == ["command.refused"]


def test_a_fingerprint_alone_is_stored_without_an_event(world: World) -> None:
    hq = world.put_directory()
    user, group = put_user("ann"), put_group("staff")
    world.push(hq, user, group)
    world.events()

    world.push(hq, type(user)(user.user, b"1"), type(group)(group.group, b"2"))

    assert world.events() == []
    assert (world.user(hq, "ann").fingerprint, world.group(hq, "staff").fingerprint) == (b"1", b"2")
    assert world.user(hq, "ann").version == 1


def test_an_unreadable_account_state_keeps_what_is_stored(world: World) -> None:
    hq = world.put_directory()
    world.push(hq, put_user("ann"), put_user("bob", active=False))

    world.push(hq, *(put_user(name, activity=Activity.UNKNOWN) for name in ("ann", "bob", "new")))

    assert [world.user(hq, name).active for name in ("ann", "bob", "new")] == [True, False, False]


def test_no_clear_name_stands_in_the_log(world: World) -> None:
    hq = world.team("zebulon")
    world.push(hq, put_user("zebulon", display_name="Zebulon Ny", dn="uid=zebulon,o=x", mails=("zeb@x.org",)))
    world.push(hq, DeleteUser(external("zebulon")))

    assert "zeb" not in str(world.bodies()).lower()


def test_an_update_says_which_attributes_moved_and_where_the_names_are_kept(world: World) -> None:
    hq = world.put_directory()
    with_ann(world, hq)
    old = world.user(hq, "ann").pii_ref
    world.events()

    world.push(
        hq, put_user("ann", display_name="Anna Ny", attributes={"title": ("Chef",), "department": ("Bar",)})
    )

    (body,) = world.new_bodies()
    new = world.user(hq, "ann").pii_ref
    assert body["changes"] == [
        {"path": "profile", "before": f"pii:{old}", "after": f"pii:{new}"},
        {"path": "attributes", "before": None, "after": ["department", "title"]},
    ]
    with world.read() as reader:
        assert reader.personal_data([new])[new]["name"] == "Anna Ny"
        assert reader.personal_data([old])[old]["name"] == "Ann"


# In one command


def test_what_is_said_twice_in_one_command_counts_as_said_last(world: World) -> None:
    hq = world.put_directory()

    world.push(
        hq,
        put_user("ann"),
        put_user("ann", display_name="Anna"),
        put_group("staff"),
        put_group("staff", "Everyone"),
        add_members("staff", "ann"),
        remove_members("staff", "ann"),
        add_members("staff", "ann"),
    )

    assert world.user(hq, "ann").display_name == "Anna"
    assert world.group(hq, "staff").display_name == "Everyone"
    assert world.in_group(hq, "staff") == {"ann"}
    world.check()


def test_who_is_created_and_deleted_in_one_command_is_a_tombstone(world: World) -> None:
    hq = world.put_directory()

    world.push(
        hq, put_group("staff"), put_user("ann"), add_members("staff", "ann"), DeleteUser(external("ann"))
    )
    world.push(
        hq, put_group("night"), put_user("bob"), add_members("night", "bob"), DeleteGroup(external("night"))
    )

    assert world.user(hq, "ann").deleted_at is not None
    assert world.record(world.member_of(hq, "ann")).is_deleted
    assert world.in_group(hq, "staff") == world.in_group(hq, "night") == set()
    world.check()


def test_who_is_deleted_and_put_back_in_one_command_is_in_no_group(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")

    world.push(hq, add_members("team", "ann"), DeleteUser(external("ann")), put_user("ann"))

    assert (world.member_of(hq, "ann"), world.in_group(hq, "team"), world.held(ann)) == (ann, set(), set())
    world.push(hq, DeleteUser(external("ann")), put_user("ann"), add_members("team", "ann"))
    assert world.roles(ann) == ["Member"]
    world.check()


def test_a_group_deleted_and_put_back_in_one_command_is_empty(world: World) -> None:
    hq = world.team("ann", "bob")

    world.push(hq, DeleteGroup(external("team")), put_group("team"), add_members("team", "bob"))

    assert world.in_group(hq, "team") == {"bob"}
    assert [world.roles(world.member_of(hq, name)) for name in ("ann", "bob")] == [[], ["Member"]]
    world.check()


# People who leave and come back


def test_deactivation_ends_grants_seat_and_sessions_and_keeps_the_rows(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    world.events()

    world.push(hq, DeactivateUser(external("ann")))

    assert world.events() == ["user.deactivated", "member.deactivated", "role.revoked", "seat.released"]
    assert (world.held(ann), world.seat(ann), world.in_group(hq, "team")) == (set(), Seat.NONE, {"ann"})
    version = world.state.access_version
    assert world.outbox()[-2:] == [
        ("access.changed", {"access_version": version, "members": [ann]}),
        ("session.end", {"access_version": version, "members": [ann]}),
    ]
    world.check()


def test_the_return_recomputes_access_from_present_groups(world: World) -> None:
    hq = world.team("ann")
    world.grow(hq, "managers", role=ADMIN)
    ann = world.member_of(hq, "ann")
    world.push(hq, DeactivateUser(external("ann")))
    world.push(hq, remove_members("team", "ann"), add_members("managers", "ann"))
    world.events()

    world.push(hq, put_user("ann"))

    assert world.roles(ann) == ["Admin"]
    assert world.events() == ["user.reactivated", "member.reactivated", "role.granted", "seat.assigned"]


def test_who_was_deleted_comes_back_as_the_same_member_without_the_old_groups(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    world.push(hq, DeleteUser(external("ann")))
    assert world.record(ann).is_deleted
    assert world.events()[-5:] == [
        "user.deleted",
        "group.member_removed",
        "member.deleted",
        "role.revoked",
        "seat.released",
    ]

    world.push(hq, put_user("ann"))

    assert world.events() == ["user.reactivated", "member.reactivated"]
    assert (world.member_of(hq, "ann"), world.record(ann).is_deleted, world.held(ann)) == (ann, False, set())
    world.push(hq, add_members("team", "ann"))
    assert world.roles(ann) == ["Member"]
    world.check()


# Groups, names, nesting, attributes


def test_a_renamed_group_keeps_its_rule(world: World) -> None:
    hq = world.team("ann")
    world.events()

    world.push(hq, put_group("team", "Another Name"))

    assert world.events() == ["group.renamed"]
    assert world.roles(world.member_of(hq, "ann")) == ["Member"]


def test_a_deleted_group_leaves_its_rule_dangling_until_it_returns(world: World) -> None:
    hq = world.team("ann")
    ann = world.member_of(hq, "ann")
    world.events()

    world.push(hq, DeleteGroup(external("team")))

    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        "group.deleted",
        "mapping.dangling",
        "role.revoked",
        "seat.released",
    ]
    assert bodies[1]["reason"] == {"code": "group_unknown"}
    assert world.chain(bodies[2]) == ["role.revoked", "group.deleted"]
    assert world.held(ann) == set()
    world.push(hq, put_group("team"))
    assert world.held(ann) == set()
    world.push(hq, add_members("team", "ann"))
    assert world.roles(ann) == ["Member"]
    world.check()


def test_a_grant_is_caused_by_the_membership_it_rests_on(world: World) -> None:
    hq = world.put_directory()
    rule_id = world.grow(hq, "team")
    world.push(hq, put_user("ann"))
    world.events()

    world.push(hq, put_user("ann", display_name="Anna"), add_members("team", "ann"))

    granted = next(body for body in world.new_bodies() if body["action"] == "role.granted")
    assert world.chain(granted) == ["role.granted", "group.member_added"]
    assert granted["cause"] | {"root": "", "parent": ""} == {
        "kind": "scim_request",
        "root": "",
        "parent": "",
        "rule_id": rule_id,
        "rule_version": 1,
        "group_id": world.group(hq, "team").group_id,
        "scim_request_id": "req_1",
    }


def test_people_of_nested_groups_get_what_the_outer_group_gives(world: World) -> None:
    hq = world.team("ann")
    world.push(hq, put_group("night"), put_group("cellar"), put_user("bob"), add_members("cellar", "bob"))
    bob = world.member_of(hq, "bob")
    world.events()

    world.push(hq, nest("night", "cellar"))
    assert world.held(bob) == set()
    world.push(hq, nest("team", "night"))

    assert world.roles(bob) == ["Member"]
    assert world.events() == ["group.subgroup_added", "group.subgroup_added", "role.granted", "seat.assigned"]
    world.push(hq, take_out("night", "cellar"))
    assert world.held(bob) == set()
    world.check()


def test_deleting_a_group_in_the_middle_reaches_those_below_it(world: World) -> None:
    hq = world.team()
    world.push(hq, put_group("night"), put_group("cellar"), put_user("bob"), add_members("cellar", "bob"))
    world.push(hq, nest("team", "night"), nest("night", "cellar"))
    bob = world.member_of(hq, "bob")
    assert world.roles(bob) == ["Member"]
    world.events()

    world.push(hq, DeleteGroup(external("night")))

    assert world.held(bob) == set()
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == ["group.deleted", "role.revoked", "seat.released"]
    assert world.chain(bodies[1]) == ["role.revoked", "group.deleted"]
    world.check()


def test_groups_nested_in_a_circle_end_and_share_their_rules(world: World) -> None:
    hq = world.team("ann")
    world.push(hq, put_group("night"), put_user("bob"), add_members("night", "bob"))

    world.push(hq, nest("team", "night", "team"), nest("night", "team"))

    assert world.roles(world.member_of(hq, "bob")) == ["Member"]
    world.push(hq, take_out("team", "night"))
    assert world.held(world.member_of(hq, "bob")) == set()
    world.check()


def test_a_rule_on_names_follows_groups_that_appear_are_renamed_and_vanish(world: World) -> None:
    hq = world.put_directory()
    first, second = world.put_scope("u1", "unit"), world.put_scope("u2", "unit")
    world.put_rule(NameMatch(hq, "minut-{unit}-cleaners"), WORKER)
    world.push(hq, put_user("ann"), put_group("g", "minut-u1-cleaners"), add_members("g", "ann"))
    ann = world.member_of(hq, "ann")
    assert world.held(ann) == {(WORKER, first)}

    world.push(hq, put_group("g", "MINUT-U2-Cleaners"))
    assert world.held(ann) == {(WORKER, second)}
    world.push(hq, put_group("g", "minut-u3-cleaners"))
    assert world.held(ann) == set()
    world.put_scope("u3", "unit")
    assert len(world.held(ann)) == 1
    world.push(hq, put_group("g", "something else"))
    assert world.held(ann) == set()
    world.push(hq, put_group("g", "minut-u1-cleaners"))
    world.push(hq, DeleteGroup(external("g")))
    assert world.held(ann) == set()
    world.check()


def test_each_grant_by_name_is_caused_by_the_group_that_was_renamed(world: World) -> None:
    hq = world.put_directory()
    world.put_scope("u1", "unit")
    world.put_rule(NameMatch(hq, "minut-{unit}"), WORKER)
    world.push(hq, put_group("a"), put_group("b"), put_user("ann"), add_members("b", "ann"))
    world.events()

    world.push(hq, put_group("a", "Nothing Of Note"), put_group("b", "minut-u1"))

    granted = next(body for body in world.new_bodies() if body["action"] == "role.granted")
    renamed = next(body for body in world.bodies() if body["id"] == granted["cause"]["parent"])
    assert renamed["targets"][0]["id"] == world.group(hq, "b").group_id


def test_a_rule_on_attributes_follows_the_user(world: World) -> None:
    hq = world.put_directory()
    world.put_rule(AttributeMatch(hq, 'department eq "Cleaning"'), WORKER)
    world.push(hq, put_user("ann", attributes={"department": ("cleaning",)}), put_user("bob"))
    ann, bob = world.member_of(hq, "ann"), world.member_of(hq, "bob")
    assert (world.roles(ann), world.roles(bob)) == (["Operator"], [])

    world.push(hq, put_user("ann"), put_user("bob", attributes={"department": ("Cleaning",)}))

    assert (world.roles(ann), world.roles(bob)) == ([], ["Operator"])
    world.check()


# Several directories


def test_one_person_of_two_directories_is_one_member_by_external_id(world: World) -> None:
    first = world.team("ann")
    second = world.team(directory_name="branch", role=ADMIN)
    world.events()

    world.push(second, put_user("ann", user_name="a.ny", mails=()), add_members("team", "ann"))

    ann = world.member_of(first, "ann")
    assert world.member_of(second, "ann") == ann
    assert world.roles(ann) == ["Admin", "Member"]
    assert world.events()[:2] == ["user.created", "member.linked"]
    world.check()


def test_one_person_of_two_directories_is_one_member_by_mail_of_a_verified_domain(world: World) -> None:
    first, second = world.team("ann", "bob"), world.put_directory("branch")

    world.push(second, put_user("x1", mails=("ANN@Example.Org",)))
    assert world.member_of(second, "x1") != world.member_of(first, "ann")
    world.do(AddDomain("Example.org"))
    world.push(second, put_user("x2", mails=("BOB@Example.Org",)))

    assert world.member_of(second, "x2") == world.member_of(first, "bob")


def test_a_domain_verified_by_another_organisation_links_nobody(new_world: MakeWorld) -> None:
    world, other = new_world(), new_world()
    other.do(AddDomain("example.org"))
    first, second = world.team("ann"), world.put_directory("branch")

    world.push(second, put_user("x1", mails=("ann@example.org",)))

    assert world.member_of(second, "x1") != world.member_of(first, "ann")


def test_the_owner_is_linked_by_mail_and_stays_admin_whatever_the_directory_says(world: World) -> None:
    world.do(AddDomain("example.org"))
    hq = world.team("olga")
    assert world.member_of(hq, "olga") == world.owner
    assert world.roles(world.owner) == ["Admin", "Member"]

    for change in (
        put_user("olga", active=False),
        DeactivateUser(external("olga")),
        DeleteUser(external("olga")),
    ):
        world.push(hq, change)
        assert (world.roles(world.owner), world.seat(world.owner)) == (["Admin"], Seat.SEATED)
    assert world.record(world.owner).is_active
    assert not world.record(world.owner).is_deleted
    world.check()


def test_two_entries_of_one_directory_are_two_people_whatever_mail_they_share(world: World) -> None:
    world.do(AddDomain("example.org"))
    hq = world.put_directory()

    world.push(hq, put_user("ann"), put_user("ann2", mails=("ann@example.org",)))
    world.push(hq, put_user("ann3", mails=("ann@example.org",)))

    assert len({world.member_of(hq, name) for name in ("ann", "ann2", "ann3")}) == 3


def test_an_ambiguous_mail_links_nobody(world: World) -> None:
    world.do(AddDomain("example.org"))
    hq, branch = world.put_directory(), world.put_directory("branch")
    world.push(hq, put_user("ann"), put_user("ann2", mails=("ann@example.org",)))

    world.push(branch, put_user("x", mails=("ann@example.org",)))

    assert len({world.member_of(hq, "ann"), world.member_of(hq, "ann2"), world.member_of(branch, "x")}) == 3


def test_a_directory_takes_away_only_what_it_gave(world: World) -> None:
    first = world.team("ann")
    second = world.team("ann", directory_name="branch", role=ADMIN)
    ann = world.member_of(first, "ann")

    world.push(second, DeactivateUser(external("ann")))
    assert (world.roles(ann), world.record(ann).is_active) == (["Member"], True)
    world.push(second, DeleteUser(external("ann")))
    assert (world.roles(ann), world.record(ann).is_deleted) == (["Member"], False)
    world.push(first, DeleteUser(external("ann")))

    assert world.record(ann).is_deleted
    world.check()


def test_the_first_directory_settles_the_profile(world: World) -> None:
    last = world.put_directory("last", priority=200)
    first = world.put_directory("first", priority=1)
    world.push(last, put_user("ann", display_name="From Last"))
    ann = world.member_of(last, "ann")

    world.push(first, put_user("ann", display_name="From First", mails=("first@example.org",)))
    assert (world.record(ann).display_name, world.record(ann).mail) == ("From First", "first@example.org")
    world.push(last, put_user("ann", display_name="Last Again"))
    assert world.record(ann).display_name == "From First"
    world.push(first, DeleteUser(external("ann")))
    assert world.record(ann).display_name == "Last Again"
    world.push(last, DeleteUser(external("ann")))

    assert world.record(ann).display_name == "Last Again"


def test_the_only_directory_settles_the_profile(world: World) -> None:
    hq = world.put_directory()
    world.push(hq, put_user("ann"))

    world.push(hq, put_user("ann", display_name="", user_name="a.ny", mails=()))

    ann = world.record(world.member_of(hq, "ann"))
    assert (ann.display_name, ann.mail) == ("a.ny", "")


def test_mail_and_name_can_be_swapped_between_two_people(world: World) -> None:
    def named(entry: str, name: str) -> PutUser:
        return put_user(entry, user_name=name, mails=(f"{name}@e.org",))

    hq = world.put_directory()
    world.push(hq, named("x", "ann"), named("y", "bob"))
    x, y = world.member_of(hq, "x"), world.member_of(hq, "y")

    world.push(hq, named("x", "bob"), named("y", "ann"))

    assert (world.record(x).mail, world.record(y).mail) == ("bob@e.org", "ann@e.org")
    assert (world.member_of(hq, "x"), world.member_of(hq, "y")) == (x, y)


@pytest.mark.parametrize("size", [3, 300])
def test_a_member_more_costs_the_same_in_any_group(new_world: MakeWorld, size: int) -> None:
    world = new_world(plan="Enterprise", seat_limit=UNLIMITED)
    hq = world.team()
    crowd = [f"u{number}" for number in range(size)]
    world.push(hq, *map(put_user, crowd), add_members("team", *crowd))
    world.push(hq, put_user("ann"))
    executed: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        executed.append(statement)

    world.database.prepared.is_in_use = False
    event.listen(world.database.engine, "before_cursor_execute", note)
    try:
        world.push(hq, add_members("team", "ann"))
    finally:
        event.remove(world.database.engine, "before_cursor_execute", note)
        world.database.prepared.is_in_use = True

    assert len(executed) < 25
    assert not any("count(" in statement for statement in executed)
    world.check()
