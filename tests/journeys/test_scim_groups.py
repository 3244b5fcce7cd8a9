"""A group through its life, lists and searches, bulk: the answer, what is stored, and the events."""

from collections.abc import Iterator

import pytest

from directory.schema import CORE_GROUP, ENTERPRISE
from tests.builders import KINDS
from tests.journeys.scim_bodies import (
    SEARCH_URN,
    bulk,
    create,
    create_staff,
    endpoint_on,
    entries,
    group,
    patch,
    user,
)
from tests.journeys.sequences import Endpoint, Push


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint_on(request, tmp_path_factory, request.param) as endpoint:
        yield endpoint


@pytest.fixture
def push(endpoint: Endpoint) -> Push:
    return endpoint.make_push()


def people(push: Push, *names: str) -> list[str]:
    ids = [create(push, "/Users", user(name)) for name in names]
    push.world.events()
    return ids


def members_of(push: Push, group_id: str) -> set[str]:
    return {entry["value"] for entry in push.send("GET", f"/Groups/{group_id}").get_json().get("members", [])}


def test_group_is_created_patched_replaced_and_deleted(push: Push) -> None:
    ada, bob = people(push, "ada", "bob")

    made = push.send("POST", "/Groups", group("Staff", ada, externalId="G-1"))
    assert made.status_code == 201
    assert made.headers["Location"] == made.get_json()["meta"]["location"]
    path = f"/Groups/{made.get_json()['id']}"
    assert made.get_json()["members"] == [
        {"value": ada, "$ref": f"{push.player.public_base}/Users/{ada}", "type": "User", "display": "ada"}
    ]
    assert push.world.events() == ["group.created", "group.member_added"]

    patched = push.send(
        "PATCH", path, patch(("add", "members", entries(bob)), ("replace", "displayName", "All"))
    )
    assert (patched.status_code, patched.data) == (204, b"")
    assert patched.headers["ETag"] == push.send("GET", path).headers["ETag"] != made.headers["ETag"]
    assert push.world.events() == ["group.renamed", "group.member_added"]

    shown = push.send(
        "PATCH", f"{path}?attributes=displayName", patch(("remove", f'members[value eq "{ada}"]', None))
    )
    assert shown.get_json() == {"schemas": [CORE_GROUP], "id": path[8:], "displayName": "All"}

    replaced = push.send("PUT", path, group("All", ada))
    assert replaced.status_code == 200
    assert push.groups() == {"All": ["ada"]}
    assert "externalId" not in replaced.get_json()

    assert push.send("DELETE", path).status_code == 204
    assert push.send("GET", path).status_code == 404
    assert push.send("DELETE", path).status_code == 404
    push.world.check()


def test_put_of_many_members_with_one_difference_writes_one_membership(push: Push) -> None:
    names = [f"u{number}" for number in range(30)]
    ids = people(push, *names)
    group_id = create(push, "/Groups", group("Staff", *ids[:-1]))
    push.world.events()

    push.send("PUT", f"/Groups/{group_id}", group("Staff", *ids[1:]))

    assert sorted(push.world.events()) == ["group.member_added", "group.member_removed"]
    assert members_of(push, group_id) == set(ids[1:])


def test_group_change_without_effect_moves_nothing(push: Push) -> None:
    ada, bob = people(push, "ada", "bob")
    group_id = create(push, "/Groups", group("Staff", ada))
    path = f"/Groups/{group_id}"
    before = push.send("GET", path).get_json()
    push.world.events()

    push.send("PUT", path, group("Staff", ada))
    push.send("PATCH", path, patch(("add", "members", entries(ada)), ("remove", "members", entries(bob))))
    push.send("PATCH", path, patch(("replace", "", {"id": group_id, "displayName": "Staff"})))

    assert push.send("GET", path).get_json() == before
    assert push.world.events() == []


def test_put_without_members_keeps_them_unless_the_profile_is_strict(endpoint: Endpoint) -> None:
    for profile, left in (("generic", 1), ("strict", 0)):
        push = endpoint.make_push(profile=profile)
        (ada,) = people(push, "ada")
        group_id = create(push, "/Groups", group("Staff", ada))

        push.send("PUT", f"/Groups/{group_id}", group("Renamed"))
        assert len(members_of(push, group_id)) == left
        push.send("PUT", f"/Groups/{group_id}", group("Renamed", members=[]))
        assert members_of(push, group_id) == set()


def test_unknown_members_are_named_up_to_ten_and_nothing_is_applied(push: Push) -> None:
    (ada,) = people(push, "ada")
    unknown = [f"unknown-{number}" for number in range(12)]
    before = push.world.snapshot()

    answer = push.send("POST", "/Groups", group("Staff", ada, *unknown))

    assert (answer.status_code, answer.get_json()["scimType"]) == (400, "invalidValue")
    assert answer.get_json()["detail"].count("unknown-") == 10
    assert "and 2 more" in answer.get_json()["detail"]
    assert push.world.snapshot() == before


def test_member_of_another_organisation_is_unknown(endpoint: Endpoint) -> None:
    push, other = endpoint.make_push(), endpoint.make_push()
    (stranger,) = people(other, "stranger")

    answer = push.send("POST", "/Groups", group("Staff", stranger))

    assert answer.status_code == 400
    assert stranger in answer.get_json()["detail"]


def test_deleted_members_are_passed_over(push: Push) -> None:
    ada, bob = people(push, "ada", "bob")
    push.send("DELETE", f"/Users/{bob}")

    made = push.send("POST", "/Groups", group("Staff", ada, bob))

    assert [entry["value"] for entry in made.get_json()["members"]] == [ada]


def test_nested_group_is_stored_and_shown_and_gives_nothing(push: Push) -> None:
    (ada,) = people(push, "ada")
    inner = create(push, "/Groups", group("Inner", ada))
    outer = create_staff(push, inner, name="Outer")

    shown = push.send("GET", f"/Groups/{outer}").get_json()

    assert [(entry["value"], entry["type"]) for entry in shown["members"]] == [(inner, "Group")]
    assert push.users()["ada"]["roles"] == []
    push.send("PATCH", f"/Groups/{outer}", patch(("remove", f'members[value eq "{inner}"]', None)))
    assert members_of(push, outer) == set()


def test_members_are_removed_by_what_is_said_of_them(push: Push) -> None:
    ada, bob = people(push, "ada", "bob")
    group_id = create(push, "/Groups", group("Staff", ada, bob))

    push.send("PATCH", f"/Groups/{group_id}", patch(("remove", 'members[display sw "A"]', None)))
    assert members_of(push, group_id) == {bob}
    push.send(
        "PATCH",
        f"/Groups/{group_id}",
        patch(("remove", 'members[type eq "User"]', None), ("add", "members", entries(ada, bob))),
    )
    assert members_of(push, group_id) == {ada, bob}
    push.send("PATCH", f"/Groups/{group_id}", patch(("remove", "members", None)))
    assert members_of(push, group_id) == set()


def test_second_group_of_a_name_is_refused_by_entra_alone(endpoint: Endpoint) -> None:
    for profile, status in (("entra", 409), ("generic", 201), ("strict", 201)):
        push = endpoint.make_push(profile=profile)
        create(push, "/Groups", group("Staff"))
        assert push.send("POST", "/Groups", group("STAFF")).status_code == status
        other = create(push, "/Groups", group("Other"))
        renamed = push.send("PATCH", f"/Groups/{other}", patch(("replace", "displayName", "staff")))
        assert (renamed.status_code == 409) == (status == 409)


def test_if_match_guards_a_group(push: Push) -> None:
    group_id = create(push, "/Groups", group("Staff"))

    for method, body in (
        ("PUT", group("B")),
        ("PATCH", patch(("replace", "displayName", "B"))),
        ("DELETE", None),
    ):
        answer = push.send(method, f"/Groups/{group_id}", body, {"If-Match": 'W/"9"'})
        assert answer.status_code == 412
    assert push.send("GET", f"/Groups/{group_id}", headers={"If-None-Match": 'W/"1"'}).status_code == 304


def test_large_group_is_streamed_whole(push: Push) -> None:
    names = [f"u{number:04}" for number in range(1_200)]
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": name, "data": user(name)} for name in names[:600]
    ]
    push.send("POST", "/Bulk", bulk(*operations))
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": name, "data": user(name)} for name in names[600:]
    ]
    push.send("POST", "/Bulk", bulk(*operations))
    ids = [
        one["id"]
        for start in (1, 1001)
        for one in push.send("GET", f"/Users?count=1000&attributes=id&startIndex={start}").get_json()[
            "Resources"
        ]
    ]
    group_id = create(push, "/Groups", group("Staff", *ids))

    answer = push.send("GET", f"/Groups/{group_id}")

    assert "Content-Length" not in answer.headers
    assert {entry["value"] for entry in answer.get_json()["members"]} == set(ids)
    assert answer.headers["ETag"] == answer.get_json()["meta"]["version"]
    listed = push.send("GET", "/Groups").get_json()["Resources"][0]
    assert len(listed["members"]) == 1_200
    short = push.send("GET", f"/Groups/{group_id}?excludedAttributes=members")
    assert "members" not in short.get_json()
    parts = push.send("GET", f"/Groups/{group_id}?attributes=members.value").get_json()
    assert all(set(entry) == {"value"} for entry in parts["members"])
    # Whoever leaves in the middle of it holds nothing open.
    push.send("HEAD", f"/Groups/{group_id}").close()


def test_lists_are_paged_by_index(push: Push) -> None:
    people(push, *"abcde")

    def page(query: str) -> tuple[int, int, list[str]]:
        told = push.send("GET", f"/Users?sortBy=userName&{query}").get_json()
        return told["totalResults"], told["startIndex"], [one["userName"] for one in told["Resources"]]

    assert page("count=2") == (5, 1, ["a", "b"])
    assert page("startIndex=4&count=1000000000") == (5, 4, ["d", "e"])
    assert page("startIndex=0&count=1") == (5, 1, ["a"])
    assert page("startIndex=9") == (5, 9, [])
    assert page("count=-1") == page("count=0") == (5, 1, [])
    assert page("sortOrder=Descending&count=2") == (5, 1, ["e", "d"])


def test_lists_are_paged_by_cursor_in_both_directions(push: Push) -> None:
    people(push, *"abcde")
    query = "/Users?sortBy=userName&count=2&cursor="

    first = push.send("GET", query).get_json()
    second = push.send("GET", query + first["nextCursor"]).get_json()
    people(push, "aa")
    third = push.send("GET", query + second["nextCursor"]).get_json()
    back = push.send("GET", query + third["previousCursor"]).get_json()

    names = [[one["userName"] for one in page["Resources"]] for page in (first, second, third, back)]
    assert names == [["a", "b"], ["c", "d"], ["e"], ["c", "d"]]
    assert "previousCursor" not in first
    assert "nextCursor" not in third
    assert "startIndex" not in first


def test_cursor_opens_for_the_same_question_of_the_same_directory_only(endpoint: Endpoint) -> None:
    push, other = endpoint.make_push(), endpoint.make_push()
    people(push, *"abc")
    cursor = push.send("GET", "/Users?count=1&cursor=").get_json()["nextCursor"]

    def fault(query: str, whose: Push = push) -> str:
        answer = whose.send("GET", f"/Users?{query}")
        assert answer.status_code == 400
        return str(answer.get_json()["scimType"])

    assert fault(f"cursor={cursor}&sortBy=userName") == "invalidCursor"
    assert fault(f"cursor={cursor[:-2]}AA") == "invalidCursor"
    assert fault("cursor=%C3%A9") == fault("cursor=!") == "invalidCursor"
    assert fault(f"cursor={cursor}", other) == "invalidCursor"
    assert fault(f"cursor={cursor}&count=2") == "invalidCount"
    assert fault(f"cursor={cursor}&count=x") == "invalidCount"
    assert push.send("GET", f"/Users?cursor={cursor}").status_code == 200
    endpoint.clock.move(seconds=3_601)
    assert fault(f"cursor={cursor}") == "expiredCursor"


def test_search_over_both_types_knows_what_each_does_not_have(push: Push) -> None:
    (ada, _) = people(push, "ada", "bob")
    create(push, "/Groups", group("Ada's", ada))

    def search(**values: object) -> list[str]:
        answer = push.send("POST", "/.search", {"schemas": [SEARCH_URN], **values})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return [one.get("userName", one.get("displayName")) for one in answer.get_json()["Resources"]]

    assert search(sortBy="userName") == ["ada", "bob", "Ada's"]
    assert search(filter='userName sw "ad" or displayName sw "ad"') == ["ada", "Ada's"]
    assert search(filter='not (userName eq "ada")') == ["bob", "Ada's"]
    assert search(filter='userName ne "ada"') == ["bob", "Ada's"]
    assert search(filter="userName eq null and displayName pr") == ["Ada's"]
    assert search(filter=f'members[value eq "{ada}"]') == ["Ada's"]
    assert search(startIndex=2, count=2, sortBy="userName") == ["bob", "Ada's"]
    assert search(startIndex=3) == ["Ada's"]
    assert search(count=0) == []
    refused = push.send("POST", "/.search", {"filter": "nonsense pr"})
    assert refused.get_json()["scimType"] == "invalidFilter"
    assert push.send("POST", "/.search", {"sortBy": "nonsense"}).get_json()["scimType"] == "invalidPath"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_cursors_lead_through_a_search_over_both_types(push: Push, count: int) -> None:
    people(push, "a", "b")
    for name in ("g", "h"):
        create(push, "/Groups", group(name))
    seen: list[str] = []
    cursor: str | None = ""

    while cursor is not None:
        told = push.send("POST", "/.search", {"count": count, "cursor": cursor}).get_json()
        assert told["totalResults"] == 4
        seen += [one.get("userName", one.get("displayName")) for one in told["Resources"]]
        cursor = told.get("nextCursor")

    assert seen == ["a", "b", "g", "h"]


def test_searches_of_one_type_are_as_their_lists(push: Push) -> None:
    (ada,) = people(push, "ada")
    create(push, "/Groups", group("Staff", ada))

    users = push.send("POST", "/Users/.search", {"filter": 'userName eq "ADA"', "attributes": ["userName"]})
    groups = push.send("POST", "/Groups/.search", {"excludedAttributes": ["members"]})

    assert [set(one) for one in users.get_json()["Resources"]] == [{"schemas", "id", "userName"}]
    assert ["members" in one for one in groups.get_json()["Resources"]] == [False]


def test_bulk_resolves_references_in_any_order(push: Push) -> None:
    answer = push.send(
        "POST",
        "/Bulk",
        bulk(
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": group("Staff", "bulkId:u")},
            {
                "method": "POST",
                "path": "/Users",
                "bulkId": "v",
                "data": user("bob", **{ENTERPRISE: {"manager": {"value": "bulkId:u"}}}),
            },
            {"method": "POST", "path": "/Users", "bulkId": "u", "data": user("ada")},
            {
                "method": "PATCH",
                "path": "/Groups/bulkId:g",
                "data": patch(("add", "members", entries("bulkId:v"))),
            },
            {
                "method": "PATCH",
                "path": "/Groups/bulkId:g",
                "data": patch(("remove", 'members[value eq "bulkId:u"]', None)),
            },
            {"method": "DELETE", "path": "/Users/nobody"},
        ),
    )

    told = answer.get_json()["Operations"]
    assert [one["status"] for one in told] == ["201", "201", "201", "200", "200", "404"]
    assert told[5]["response"]["detail"].startswith("there is no user 'nobody'")
    assert push.groups() == {"Staff": ["bob"]}
    boss = told[2]["location"].rpartition("/")[2]
    shown = push.send("GET", told[1]["location"].removeprefix(push.player.public_base)).get_json()
    assert shown[ENTERPRISE]["manager"]["value"] == boss
    push.world.check()


def test_bulk_refuses_circles_and_goes_on(push: Push) -> None:
    def nested(name: str, member: str) -> dict[str, object]:
        return {"method": "POST", "path": "/Groups", "bulkId": name, "data": group(name, f"bulkId:{member}")}

    answer = push.send(
        "POST",
        "/Bulk",
        bulk(nested("a", "b"), nested("b", "a"), nested("c", "a"), nested("d", "d"), nested("e", "nothing")),
    )

    told = answer.get_json()["Operations"]
    assert [one["status"] for one in told] == ["409", "409", "400", "409", "400"]
    assert push.groups() == {}


def test_bulk_stops_at_the_errors_that_it_is_told(push: Push) -> None:
    bad = {"method": "DELETE", "path": "/Users/nobody"}
    good = {"method": "POST", "path": "/Users", "bulkId": "u", "data": user("ada")}

    answer = push.send("POST", "/Bulk", bulk(bad, bad, good, failOnErrors=2))

    assert [one["status"] for one in answer.get_json()["Operations"]] == ["404", "404"]
    assert push.users() == {}


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"method": "GET", "path": "/Users"}, "400"),
        ({"method": "POST", "path": "/Schemas", "data": {}}, "404"),
        ({"method": "PUT", "path": "/Users", "data": {}}, "405"),
        ({"method": "POST", "path": "/Users", "data": None}, "400"),
        ({"method": "PUT", "path": "/Users/x", "data": {"userName": "x"}, "version": 'W/"1"'}, "404"),
    ],
)
def test_bad_bulk_operation_fails_alone(push: Push, operation: dict[str, object], status: str) -> None:
    good = {"method": "POST", "path": "/Users", "data": user("ada")}

    answer = push.send("POST", "/Bulk", bulk(operation, good))

    assert [one["status"] for one in answer.get_json()["Operations"]] == [status, "201"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (bulk(*({"method": "DELETE", "path": "/Users/x"} for _ in range(1_001))), 413),
        ({"Operations": {}}, 400),
        ([], 400),
        (bulk("x"), 400),  # type: ignore[arg-type]  # on purpose
        (bulk({"method": 1, "path": "/Users"}), 400),
        (bulk(failOnErrors=0), 400),
        (bulk({"method": "POST", "path": "/Users", "bulkId": "x" * 201}), 400),
        (bulk(*({"method": "POST", "path": "/Users", "bulkId": "x"} for _ in range(2))), 400),
    ],
)
def test_bad_bulk_request_is_refused_whole(push: Push, body: object, status: int) -> None:
    assert push.send("POST", "/Bulk", body).status_code == status


def test_bulk_refused_for_seats_says_so(endpoint: Endpoint) -> None:
    push = endpoint.make_push({"plan": "Enterprise", "seats": 1, "default_role": "Member"})

    answer = push.send("POST", "/Bulk", bulk({"method": "POST", "path": "/Users", "data": user("ada")}))

    (told,) = answer.get_json()["Operations"]
    assert told["status"] == "403"
    assert told["response"]["detail"].startswith("Seat limit reached")
