"""What a SCIM client is shown of its directory."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from directory.filters import parse_filter
from directory.ids import GroupId, ScopeId, UserId
from directory.schema import ENTERPRISE, GROUP, MEMBER, USER, ResourceSchema
from provisioning.errors import UnfitFilterError
from provisioning.resources import (
    Direction,
    GroupMember,
    GroupResource,
    MemberKinds,
    Page,
    Position,
    ResourceQuery,
    ResourceReader,
    UserResource,
)
from provisioning.state import NewMember, Seat, StoredGroup, StoredUser
from storage.engine import Database
from storage.resources import SQLResourceReader
from tests.conformance.builders import (
    ADMIN,
    CLEANER,
    MINUTE,
    NOW,
    Tenant,
    grant,
    interval,
    make_tenant,
    member_update,
    new_id,
)

DOCUMENT = {
    "userName": "Ada@example.org",
    "externalId": "A-1",
    "active": True,
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"value": "ada@example.org", "type": "work", "primary": True}, {"value": "Ada@Home.example"}],
    ENTERPRISE: {"department": "R&D", "manager": {"value": "M-1"}},
}


@pytest.fixture
def tenant(database: Database) -> Tenant:
    """A new organisation with one SCIM directory."""
    return make_tenant(database, kind="scim")


@pytest.fixture
def other(database: Database) -> Tenant:
    return make_tenant(database, kind="scim")


@pytest.fixture
def resources(tenant: Tenant) -> Iterator[ResourceReader]:
    """Reads what has been committed by the time of its first query."""
    with tenant.database.read() as connection:
        yield SQLResourceReader(tenant.database, connection, tenant.organisation_id, tenant.directory_id)


def shown(user: StoredUser, **values: object) -> UserResource:
    row: dict[str, object] = {
        "user_id": user.user_id,
        "version": user.version,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "resource": user.resource,
        "member_id": user.member_id,
        "seat": Seat.NONE,
        "is_held": False,
        **values,
    }
    return UserResource(**row)  # type: ignore[arg-type]  # the dataclass's own fields


def shown_group(group: StoredGroup) -> GroupResource:
    return GroupResource(
        group.group_id, group.client_id, group.display_name, group.version, group.created_at, group.updated_at
    )


def new_member(user: StoredUser) -> NewMember:
    return NewMember(user.member_id, user.display_name, "", user.pii_ref, is_active=True)


def user_names(page: Page[UserResource]) -> list[object]:
    return [row.resource["userName"] for row in page.rows]


# One resource


def test_a_user_is_shown_with_groups_seat_and_grants(tenant: Tenant, resources: ResourceReader) -> None:
    ada = tenant.pushed(DOCUMENT, version=7, updated_at=NOW + MINUTE)
    ops, admins, gone = (
        tenant.pushed_group("Ops"),
        tenant.pushed_group("Admins"),
        tenant.pushed_group(deleted_at=NOW),
    )
    scope_id, unknown = tenant.state.root_scope_id, ScopeId(new_id())
    tenant.add_users(ada)
    tenant.add_groups(ops, admins, gone)
    tenant.join((admins, ada), (ops, ada), (gone, ada))
    tenant.update(member_update(ada.member_id, Seat.SEATED))
    tenant.open(
        *(
            interval(ada.member_id, grant(at, role))
            for at, role in ((unknown, ADMIN), (scope_id, CLEANER), (scope_id, ADMIN))
        )
    )

    assert resources.user(ada.user_id) == shown(
        ada,
        seat=Seat.SEATED,
        groups=tuple(sorted([(ops.group_id, "Ops"), (admins.group_id, "Admins")])),
        grants=(
            (ADMIN, scope_id, tenant.state.name),
            (CLEANER, scope_id, tenant.state.name),
            (ADMIN, unknown, ""),
        ),
    )
    assert resources.user(ada.user_id, with_groups=False, with_grants=False) == shown(ada, seat=Seat.SEATED)


def test_a_change_that_waits_is_held(tenant: Tenant, resources: ResourceReader) -> None:
    ada, bob = tenant.pushed({"userName": "ada"}), tenant.pushed({"userName": "bob"})
    tenant.add_users(ada, bob)
    tenant.update(member_update(ada.member_id, Seat.WAITING, is_held=True, waiting_since=NOW))

    assert resources.user(ada.user_id) == shown(ada, seat=Seat.WAITING, is_held=True)
    assert resources.user(bob.user_id) == shown(bob)


NO_IDS = ("", "x", "\0", "\ud800", "' or 1=1 --", "0" * 36)


def test_what_is_no_id_is_not_found(tenant: Tenant, resources: ResourceReader) -> None:
    ada, ops = tenant.pushed({"userName": "ada"}), tenant.pushed_group("Ops")
    gone = tenant.pushed({"userName": "gone"}, deleted_at=NOW)
    ended = tenant.pushed_group("Ended", deleted_at=NOW)
    tenant.add_users(ada, gone)
    tenant.add_groups(ops, ended)

    for text in (*NO_IDS, ada.user_id.upper(), gone.user_id, ops.group_id, new_id()):
        assert resources.user(text) is None
    for text in (*NO_IDS, ops.group_id.upper(), ended.group_id, ada.user_id, new_id()):
        assert resources.group(text) is None
        assert list(resources.members(GroupId(text))) == []
        assert resources.members_of([GroupId(text)]) == {}
        assert resources.absent_from(GroupId(text), [ada.user_id]) == (ada.user_id,)
        assert resources.surplus_in(GroupId(text), []) == ([], [])


def test_one_directory_sees_nothing_of_another(
    tenant: Tenant, other: Tenant, resources: ResourceReader
) -> None:
    ada, ops = other.pushed(DOCUMENT), other.pushed_group("Ops", client_id="G")
    other.add_users(ada)
    other.add_groups(ops)
    other.join((ops, ada))

    assert resources.user(ada.user_id) is None
    assert resources.user_named("Ada@example.org") is None
    assert resources.group(ops.group_id) is None
    assert resources.groups_named("Ops") == []
    assert list(resources.members(ops.group_id)) == []
    assert resources.members_of([ops.group_id]) == {}
    assert resources.classify([ada.user_id, ops.group_id]) == MemberKinds(unknown=(ada.user_id, ops.group_id))
    assert resources.absent_from(ops.group_id, [ada.user_id]) == (ada.user_id,)
    assert resources.surplus_in(ops.group_id, []) == ([], [])
    assert resources.users(ResourceQuery()) == Page([], 0)
    assert resources.groups(ResourceQuery()) == Page([], 0)


def test_another_organisation_sees_nothing_of_a_directory(tenant: Tenant, other: Tenant) -> None:
    ada, ops = tenant.pushed(DOCUMENT), tenant.pushed_group("Ops")
    tenant.add_users(ada)
    tenant.add_groups(ops)
    tenant.join((ops, ada))

    with other.unit_of_work.read() as reader:
        resources = reader.resources(tenant.directory_id)
        assert resources.user(ada.user_id) is None
        assert resources.user_named("Ada@example.org") is None
        assert resources.group(ops.group_id) is None
        assert resources.groups_named("Ops") == []
        assert list(resources.members(ops.group_id)) == []
        assert resources.members_of([ops.group_id]) == {}
        assert resources.classify([ada.user_id]) == MemberKinds(unknown=(ada.user_id,))
        assert resources.surplus_in(ops.group_id, []) == ([], [])
        assert resources.users(ResourceQuery()) == Page([], 0)


def test_names_find_live_resources(tenant: Tenant, resources: ResourceReader) -> None:
    ada = tenant.pushed({"userName": "Straße@example.org", "externalId": "Caf\u00e9"})
    twin = tenant.pushed({"userName": "twin", "externalId": "Cafe\u0301"})
    gone = tenant.pushed({"userName": "gone", "externalId": "Caf\u00e9"}, deleted_at=NOW)
    ops, copy = tenant.pushed_group("Ops"), tenant.pushed_group("OPS")
    ended = tenant.pushed_group("Ops", deleted_at=NOW)
    tenant.add_users(ada, twin, gone)
    tenant.add_groups(ops, copy, ended)

    assert resources.user_named("STRASSE@example.org") == ada.user_id
    assert resources.user_named("gone") is None
    assert resources.groups_named("ops") == sorted([ops.group_id, copy.group_id])
    assert resources.group(ops.group_id) == shown_group(ops)


# Members


def test_members_are_shown_users_first_each_kind_by_id(tenant: Tenant, resources: ResourceReader) -> None:
    ada = tenant.pushed({"userName": "ada", "displayName": "Ada"})
    bob, gone = tenant.pushed({"userName": "bob"}), tenant.pushed({"userName": "gone"}, deleted_at=NOW)
    ops, inner, ended = (
        tenant.pushed_group("Ops"),
        tenant.pushed_group("Inner"),
        tenant.pushed_group("Ended", deleted_at=NOW),
    )
    empty = tenant.pushed_group("Empty")
    tenant.add_users(ada, bob, gone)
    tenant.add_groups(ops, inner, ended, empty)
    tenant.join((ops, ada), (ops, bob), (ops, gone), (inner, ada))
    with tenant.unit_of_work.write() as writer:
        writer.insert_subgroups([(ops.group_id, inner.group_id), (ops.group_id, ended.group_id)])

    users = [
        GroupMember(user_id, display)
        for user_id, display in sorted([(ada.user_id, "Ada"), (bob.user_id, "bob")])
    ]
    groups = [GroupMember(inner.group_id, "Inner", is_group=True)]
    assert list(resources.members(ops.group_id)) == [users, groups]
    assert list(resources.members(empty.group_id)) == []
    assert resources.members_of([ops.group_id, inner.group_id, empty.group_id]) == {
        ops.group_id: [*users, *groups],
        inner.group_id: [GroupMember(ada.user_id, "Ada")],
    }


def test_many_members_come_in_chunks(tenant: Tenant, resources: ResourceReader) -> None:
    users = [tenant.pushed({"userName": f"u{number}"}) for number in range(4000)]
    ops = tenant.pushed_group("Ops")
    tenant.add_users(*users)
    tenant.add_groups(ops)
    tenant.join(*((ops, one) for one in users))

    chunks = list(resources.members(ops.group_id))

    assert [len(chunk) for chunk in chunks] == [2000, 2000]
    assert [one.id for chunk in chunks for one in chunk] == sorted(one.user_id for one in users)


def test_ids_of_members_are_told_apart(tenant: Tenant, resources: ResourceReader) -> None:
    ada, gone = tenant.pushed({"userName": "ada"}), tenant.pushed({"userName": "gone"}, deleted_at=NOW)
    ops, ended = tenant.pushed_group("Ops"), tenant.pushed_group("Ended", deleted_at=NOW)
    tenant.add_users(ada, gone)
    tenant.add_groups(ops, ended)
    unknown = ("?", new_id(), ended.group_id, ada.user_id.upper(), "\0")

    found = resources.classify([unknown[0], ada.user_id, *unknown, ops.group_id, gone.user_id, ada.user_id])

    assert found == MemberKinds(
        frozenset({ada.user_id}), frozenset({ops.group_id}), frozenset({gone.user_id}), unknown
    )
    assert resources.classify([]) == MemberKinds()
    assert resources.classify(["?"]) == MemberKinds(unknown=("?",))
    assert resources.classify([ada.user_id]) == MemberKinds(frozenset({ada.user_id}))


def test_members_are_compared_with_a_list(tenant: Tenant, resources: ResourceReader) -> None:
    ada, bob, eve = (tenant.pushed({"userName": name}) for name in ("ada", "bob", "eve"))
    ops, inner, side = (tenant.pushed_group(name) for name in ("Ops", "Inner", "Side"))
    tenant.add_users(ada, bob, eve)
    tenant.add_groups(ops, inner, side)
    tenant.join((ops, ada), (ops, bob), (inner, eve))
    with tenant.unit_of_work.write() as writer:
        writer.insert_subgroups([(ops.group_id, inner.group_id)])

    wanted = [eve.user_id, ada.user_id, "?", side.group_id, inner.group_id, eve.user_id]
    assert resources.absent_from(ops.group_id, wanted) == (eve.user_id, "?", side.group_id)
    assert resources.surplus_in(ops.group_id, wanted) == ([bob.user_id], [])
    assert resources.surplus_in(ops.group_id, []) == (sorted([ada.user_id, bob.user_id]), [inner.group_id])
    assert resources.absent_from(ops.group_id, []) == ()


def test_twenty_thousand_ids_are_one_parameter(tenant: Tenant, resources: ResourceReader) -> None:
    users = [tenant.pushed({"userName": f"u{number}"}) for number in range(50)]
    ops = tenant.pushed_group("Ops")
    tenant.add_users(*users)
    tenant.add_groups(ops)
    tenant.join(*((ops, one) for one in users))
    ids = [new_id() for _ in range(20_000)] + [one.user_id for one in users[:20]]

    assert len(resources.classify(ids).unknown) == 20_000
    assert len(resources.absent_from(ops.group_id, ids)) == 20_000
    assert len(resources.surplus_in(ops.group_id, ids)[0]) == 30


# Lists


def add_named(tenant: Tenant, *names: str, **values: object) -> list[StoredUser]:
    users = [tenant.pushed({"userName": name}, **values) for name in names]
    tenant.add_users(*users)
    return users


def test_a_list_shows_what_it_is_asked_for(tenant: Tenant, resources: ResourceReader) -> None:
    ada, ops = tenant.pushed(DOCUMENT), tenant.pushed_group("Ops", client_id="G-1")
    tenant.add_users(ada)
    tenant.add_groups(ops)
    tenant.join((ops, ada))
    tenant.open(interval(ada.member_id, grant(tenant.state.root_scope_id)))
    groups = ((ops.group_id, "Ops"),)
    grants = ((ADMIN, tenant.state.root_scope_id, tenant.state.name),)

    assert resources.users(ResourceQuery()) == Page([shown(ada, groups=groups, grants=grants)], 1)
    assert resources.users(ResourceQuery(with_groups=False)) == Page([shown(ada, grants=grants)], 1)
    assert resources.users(ResourceQuery(with_grants=False)) == Page([shown(ada, groups=groups)], 1)
    assert resources.groups(ResourceQuery()) == Page([shown_group(ops)], 1)


def test_pages_by_index_are_in_the_order_of_ids(tenant: Tenant, resources: ResourceReader) -> None:
    users = sorted(add_named(tenant, *"abcdefg"), key=lambda one: one.user_id)
    add_named(tenant, "gone", deleted_at=NOW)
    ids = [one.user_id for one in users]

    def page(skip: int, limit: int) -> tuple[list[UserId], int, bool, bool]:
        found = resources.users(ResourceQuery(skip=skip, limit=limit))
        return (
            [row.user_id for row in found.rows],
            found.total,
            found.first is not None,
            found.last is not None,
        )

    assert page(0, 3) == (ids[:3], 7, False, True)
    assert page(3, 3) == (ids[3:6], 7, True, True)
    assert page(6, 3) == (ids[6:], 7, True, False)
    assert page(4, 3) == (ids[4:], 7, True, False)
    assert page(7, 3) == ([], 7, False, False)
    assert page(2**31 - 1, 3) == ([], 7, False, False)
    assert page(0, 0) == ([], 7, False, False)
    assert page(0, 7) == (ids, 7, False, False)


def walk(resources: ResourceReader, query: ResourceQuery, *, total: int) -> tuple[list[str], list[str]]:
    """The ids seen by cursors on the way to the end, and those seen on the way back."""
    page = resources.users(query)
    forward, backward = [page], []
    assert page.first is None
    while page.last is not None:
        page = resources.users(replace(query, after=page.last))
        forward.append(page)
    while page.first is not None:
        page = resources.users(replace(query, after=page.first))
        backward.append(page)
    assert {one.total for one in (*forward, *backward)} == {total}
    assert all(len(one.rows) <= query.limit for one in (*forward, *backward))
    return (
        [row.user_id for one in forward for row in one.rows],
        [row.user_id for one in reversed(backward) for row in one.rows],
    )


SORTED_DOCUMENTS: list[Mapping[str, object]] = [
    {"title": "b", "emails": [{"value": "z@x"}, {"value": "b@x", "type": "t", "primary": True}]},
    {"title": "B", "emails": [{"value": "a@x"}]},
    {"title": "a", "emails": [], "active": False},
    {"title": ""},
    {"title": None, "emails": [{"type": "u"}]},
    {},
    {"title": "\U0001f989", "name": {"familyName": "Straße"}},
    {"title": "\ue000", "name": {"familyName": "strasse"}, ENTERPRISE: {"manager": {"value": "M"}}},
]


@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize(
    ("sort", "ordered"),
    [
        ("", ["0", "1", "2", "3", "4", "5", "6", "7"]),
        ("id", ["0", "1", "2", "3", "4", "5", "6", "7"]),
        ("userName", ["0", "1", "2", "3", "4", "5", "6", "7"]),
        ("title", ["3", "2", "01", "7", "6", "45"]),
        ("name.familyName", ["67", "012345"]),
        ("emails", ["1", "0", "234567"]),
        ("emails.type", ["0", "4", "123567"]),
        ("emails.primary", ["0", "1234567"]),
        ("active", ["2", "0134567"]),
        ("meta.created", ["02", "135", "467"]),
        ("meta.version", ["0", "1", "2", "3", "4", "5", "6", "7"]),
        ("meta.resourceType", ["01234567"]),
        ("meta.location", ["0", "1", "2", "3", "4", "5", "6", "7"]),
        ("groups", ["3", "0124567"]),
        ("groups.type", ["01234567"]),
        ("groups.$ref", ["3", "0124567"]),
        ("groups.display", ["3", "0124567"]),
        (f"{ENTERPRISE}:manager.value", ["7", "0123456"]),
        (f"{MEMBER}:seat", ["67", "012345"]),
        (f"{MEMBER}:held", ["01245", "367"]),
        (f"{MEMBER}:grants.role", ["5", "0123467"]),
    ],
)
def test_a_sorted_list_is_walked_both_ways(
    tenant: Tenant, resources: ResourceReader, sort: str, ordered: list[str], is_descending: bool
) -> None:
    users = [
        tenant.pushed(
            {"userName": str(number), **document},
            version=number + 1,
            created_at=NOW + (0 if number in (0, 2) else 1 if number in (1, 3, 5) else 2) * MINUTE,
        )
        for number, document in enumerate(SORTED_DOCUMENTS)
    ]
    ops = tenant.pushed_group("Ops")
    tenant.add_users(*users)
    tenant.add_groups(ops)
    tenant.join((ops, users[3]))
    tenant.update(
        *(member_update(users[number].member_id, Seat.NONE, is_held=True) for number in (6, 7)),
        member_update(users[3].member_id, Seat.SEATED, is_held=True),
        *(member_update(users[number].member_id, Seat.SEATED) for number in (0, 1, 2, 4, 5)),
    )
    tenant.open(interval(users[5].member_id, grant(tenant.state.root_scope_id)))
    parts = [sorted(users[int(number)].user_id for number in part) for part in ordered]
    wanted = [user_id for part in (reversed(parts) if is_descending else parts) for user_id in part]
    path = USER.find(sort) if sort else None
    if not sort:
        wanted.sort()

    for limit in (3, 100):
        query = ResourceQuery(sort=path, is_descending=is_descending, limit=limit)
        forward, backward = walk(resources, query, total=8)
        assert forward == wanted
        assert [*backward, *wanted[len(backward) :]] == wanted


def test_groups_are_sorted_and_walked_too(tenant: Tenant, resources: ResourceReader) -> None:
    groups = [
        tenant.pushed_group(name, client_id=client_id)
        for name, client_id in (("b", ""), ("A", "y"), ("c", "x"))
    ]
    ada = tenant.pushed({"userName": "ada"})
    tenant.add_users(ada)
    tenant.add_groups(*groups)
    tenant.join((groups[2], ada))
    with tenant.unit_of_work.write() as writer:
        writer.insert_subgroups([(groups[1].group_id, groups[0].group_id)])

    def names(sort: str, *, is_descending: bool = False) -> list[str]:
        query = ResourceQuery(sort=GROUP.find(sort), is_descending=is_descending, limit=2)
        first = resources.groups(query)
        assert first.last is not None
        rest = resources.groups(replace(query, after=first.last))
        return [row.display_name for row in (*first.rows, *rest.rows)]

    assert names("displayName") == ["A", "b", "c"]
    assert names("externalId") == ["c", "A", "b"]
    assert names("externalId", is_descending=True) == ["b", "A", "c"]
    assert names("members")[2] == "b"
    assert names("members.display") == ["c", "A", "b"]


@pytest.mark.parametrize(
    ("sort", "schema"),
    [
        ("name", USER),
        ("addresses", USER),
        ("x509Certificates", USER),
        ("password", USER),
        (f"{MEMBER}:grants", USER),
        (f"{MEMBER}:grants.display", USER),
        ("meta", GROUP),
    ],
)
def test_what_has_no_order_is_refused(resources: ResourceReader, sort: str, schema: ResourceSchema) -> None:
    query = ResourceQuery(sort=schema.find(sort))

    with pytest.raises(UnfitFilterError, match=r"there is no order by|cannot be filtered by"):
        resources.users(query) if schema is USER else resources.groups(query)


def test_rows_that_come_and_go_shift_no_page(tenant: Tenant) -> None:
    add_named(tenant, "b", "d", "f", "h")
    query = ResourceQuery(sort=USER.find("userName"), limit=2)
    with tenant.unit_of_work.read() as reader:
        first = reader.resources(tenant.directory_id).users(query)

    add_named(tenant, "a", "c", "g")
    with tenant.unit_of_work.write() as writer:
        gone = writer.users_by_external_id(tenant.directory_id, [first.rows[1].user_id])  # type: ignore[list-item]  # one id
        writer.update_users([replace(one, deleted_at=NOW) for one in gone.values()])

    with tenant.unit_of_work.read() as reader:
        second = reader.resources(tenant.directory_id).users(replace(query, after=first.last))
    assert user_names(first) == ["b", "d"]
    assert user_names(second) == ["f", "g"]
    assert second.total == 6


def test_a_filtered_list_is_walked_and_counted(tenant: Tenant, resources: ResourceReader) -> None:
    add_named(tenant, *(f"a{number}" for number in range(5)), "b1", "b2")
    query = ResourceQuery(
        filter=parse_filter('userName sw "a"'), sort=USER.find("userName"), is_descending=True, limit=2
    )

    page = resources.users(query)
    assert (user_names(page), page.total) == (["a4", "a3"], 5)
    page = resources.users(replace(query, after=page.last))
    assert (user_names(page), page.total) == (["a2", "a1"], 5)
    page = resources.users(replace(query, after=page.first))
    assert (user_names(page), page.total, page.first) == (["a4", "a3"], 5, None)
    assert resources.users(replace(query, skip=4)).total == 5
    assert resources.users(replace(query, limit=0)).total == 5


def test_a_total_that_is_not_asked_for_is_told_where_it_costs_nothing(
    tenant: Tenant, resources: ResourceReader
) -> None:
    add_named(tenant, "a", "b", "c")
    query = ResourceQuery(limit=2, with_total=False)

    first = resources.users(query)
    assert (len(first.rows), first.total) == (2, -1)
    assert resources.users(replace(query, after=first.last)).total == -1
    assert resources.users(replace(query, limit=3)).total == 3


def test_a_place_where_nothing_is_left_is_an_empty_page(tenant: Tenant, resources: ResourceReader) -> None:
    (ada,) = add_named(tenant, "ada")

    for direction in Direction:
        page = resources.users(ResourceQuery(after=Position(None, ada.user_id, direction)))
        assert page == Page([], 1)


def test_a_reader_of_the_organisation_reads_what_is_written(tenant: Tenant) -> None:
    ada = tenant.pushed({"userName": "ada"})
    with tenant.unit_of_work.write() as writer:
        writer.insert_users([ada])
        writer.insert_members([new_member(ada)], NOW)
        assert writer.resources(tenant.directory_id).user(ada.user_id) == shown(ada)
