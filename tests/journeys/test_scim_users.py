"""A user through its life, as a SCIM client tells it: the answer, what is stored, and the events."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from directory.changes import AddDomain
from directory.schema import ENTERPRISE, MEMBER
from tests.builders import ADMIN, KINDS, make_world
from tests.journeys.scim_bodies import create, create_staff, endpoint_on, entries, patch, user
from tests.journeys.sequences import Endpoint, Push


@pytest.fixture(scope="module", params=KINDS)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint_on(request, tmp_path_factory, request.param) as endpoint:
        yield endpoint


@pytest.fixture
def push(endpoint: Endpoint) -> Push:
    return endpoint.make_push()


def full(endpoint: Endpoint, policy: str) -> Push:
    """An organisation whose owner and one member take both seats; everybody of the directory is a Member."""
    push = endpoint.make_push({"plan": "Enterprise", "seats": 2, "policy": policy, "default_role": "Member"})
    create(push, "/Users", user("first"))
    push.world.events()
    return push


def test_create_answers_with_the_resource_as_sent_and_where_it_is(push: Push) -> None:
    body = user("Ada.Lovelace@Example.ORG", externalId="X-1", name={"givenName": "Ada"}, password="hunter2")

    answer = push.send("POST", "/Users", {**body, ENTERPRISE: {"department": "R&D"}})

    made = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == made["meta"]["location"]
    assert made["meta"]["location"] == f"{push.player.public_base}/Users/{made['id']}"
    assert answer.headers["ETag"] == made["meta"]["version"] == 'W/"1"'
    assert answer.headers["Content-Type"] == "application/scim+json"
    assert made["userName"] == "Ada.Lovelace@Example.ORG"
    assert made["active"] is True
    assert made[ENTERPRISE] == {"department": "R&D"}
    assert b"hunter2" not in answer.data
    assert push.send("GET", f"/Users/{made['id']}").get_json() == made
    assert push.world.events() == ["user.created", "member.created"]


def test_user_is_patched_deactivated_reactivated_deleted_and_created_anew(push: Push) -> None:
    user_id = create(push, "/Users", user("ada", externalId="X-1"))
    create_staff(push, user_id)
    member_id = push.send("GET", f"/Users/{user_id}").get_json()[MEMBER]["memberId"]
    path = f"/Users/{user_id}"

    renamed = push.send("PATCH", path, patch(("replace", "displayName", "Ada")))
    assert (renamed.status_code, renamed.get_json()["displayName"]) == (200, "Ada")
    assert push.world.events() == ["user.updated"]

    gone = push.send("PATCH", path, patch(("Replace", "active", "False")))
    assert gone.get_json()["active"] is False
    assert gone.get_json()[MEMBER]["seat"] == "none"
    assert gone.get_json()["groups"][0]["display"] == "Staff"
    assert push.world.events() == [
        "user.deactivated",
        "member.deactivated",
        "role.revoked",
        "seat.released",
    ]

    back = push.send("PATCH", path, patch(("replace", "", {"active": True})))
    assert back.get_json()[MEMBER]["seat"] == "seated"
    assert push.world.events() == ["user.reactivated", "member.reactivated", "role.granted", "seat.assigned"]

    assert push.send("DELETE", path).status_code == 204
    assert push.send("GET", path).status_code == 404
    assert push.send("DELETE", path).status_code == 404
    assert push.groups() == {"Staff": []}
    assert push.world.events() == [
        "user.deleted",
        "group.member_removed",
        "member.deleted",
        "role.revoked",
        "seat.released",
    ]

    answer = push.send("POST", "/Users", user("ada", externalId="X-1"))
    assert answer.status_code == 201
    assert answer.get_json()["id"] != user_id
    assert answer.get_json()[MEMBER]["memberId"] == member_id
    push.world.check()


def test_saying_the_same_twice_moves_nothing(push: Push) -> None:
    body = user("ada", emails=[{"value": "ada@example.org", "primary": True}], active=True)
    user_id = create(push, "/Users", body)
    push.world.events()
    before = push.send("GET", f"/Users/{user_id}").get_json()

    put = push.send("PUT", f"/Users/{user_id}", body)
    patched = push.send("PATCH", f"/Users/{user_id}", patch(("replace", "active", True)))

    assert put.get_json() == patched.get_json() == before
    assert push.world.events() == []


def test_put_clears_what_is_absent_but_neither_revives_nor_disables(push: Push) -> None:
    user_id = create(push, "/Users", user("ada", title="Countess", active=False))

    answer = push.send("PUT", f"/Users/{user_id}", user("ada.l"))

    assert "title" not in answer.get_json()
    assert answer.get_json()["userName"] == "ada.l"
    assert answer.get_json()["active"] is False
    assert answer.get_json()["id"] == user_id


def test_name_is_taken_whatever_its_case_or_unicode_form(push: Push) -> None:
    create(push, "/Users", user("Straße"))
    other = create(push, "/Users", user("other"))

    for method, path in (("POST", "/Users"), ("PUT", f"/Users/{other}")):
        answer = push.send(method, path, user("STRASSE"))
        assert (answer.status_code, answer.get_json()["scimType"]) == (409, "uniqueness")
    patched = push.send("PATCH", f"/Users/{other}", patch(("replace", "userName", "STRASSE")))
    assert patched.status_code == 409
    assert push.send("PUT", f"/Users/{other}", user("OTHER")).status_code == 200


@pytest.mark.parametrize(("profile", "status"), [("generic", 201), ("okta", 201), ("strict", 409)])
def test_post_of_an_inactive_user_restores_it_where_the_profile_says_so(
    endpoint: Endpoint, profile: str, status: int
) -> None:
    push = endpoint.make_push(profile=profile)
    user_id = create(push, "/Users", user("ada", externalId="X-1", active=False))

    answer = push.send("POST", "/Users", user("ada", externalId="X-1"))
    other = push.send("POST", "/Users", user("ada", externalId="X-2"))

    assert answer.status_code == status
    assert other.status_code == 409
    if status == 201:
        assert answer.get_json()["id"] == user_id
        assert answer.get_json()["active"] is True


def test_of_two_creates_at_the_last_seat_one_is_refused(endpoint: Endpoint) -> None:
    push = endpoint.make_push({"plan": "Enterprise", "seats": 2, "default_role": "Member"})
    statuses: list[int] = []

    def send(name: str) -> None:
        statuses.append(push.send("POST", "/Users", user(name)).status_code)

    threads = [threading.Thread(target=send, args=(name,)) for name in ("ada", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [201, 403]
    assert len(push.users()) == 1
    push.world.check()


def test_full_organisation_refuses_with_numbers_and_stores_only_the_refusal(endpoint: Endpoint) -> None:
    push = full(endpoint, "reject")

    answer = push.send("POST", "/Users", user("second"))

    assert answer.status_code == 403
    assert "scimType" not in answer.get_json()
    assert answer.get_json()["detail"].startswith("Seat limit reached: 2 of 2 used")
    assert list(push.users()) == ["first"]
    assert push.world.events() == ["seat.denied"]


def test_waitlist_stores_the_user_who_waits_with_active_as_sent(endpoint: Endpoint) -> None:
    push = full(endpoint, "waitlist")

    answer = push.send("POST", "/Users", user("second", active=True))

    assert answer.status_code == 201
    assert answer.get_json()["active"] is True
    assert answer.get_json()[MEMBER]["seat"] == "waiting"
    found = push.send("GET", f'/Users?filter={MEMBER}:seat eq "waiting"').get_json()
    assert [one["userName"] for one in found["Resources"]] == ["second"]


def test_owner_is_neither_deactivated_nor_deleted_but_may_be_renamed(push: Push) -> None:
    push.world.do(AddDomain("example.org"))
    owner = create(push, "/Users", user("olga", emails=[{"value": "olga@example.org"}]))
    assert push.send("GET", f"/Users/{owner}").get_json()[MEMBER]["memberId"] == push.world.owner
    push.world.events()

    deactivated = push.send("PATCH", f"/Users/{owner}", patch(("replace", "active", False)))
    deleted = push.send("DELETE", f"/Users/{owner}")

    assert deactivated.status_code == deleted.status_code == 403
    assert "owner" in deactivated.get_json()["detail"]
    assert push.world.events() == ["command.refused", "command.refused"]
    assert push.send("PATCH", f"/Users/{owner}", patch(("replace", "title", "Owner"))).status_code == 200


def test_last_admin_is_held_until_there_is_another(endpoint: Endpoint) -> None:
    world = make_world(endpoint.wiring.database, with_owner=False)
    world.clock = endpoint.clock
    push = Push(endpoint.client, world, world.put_directory("idp", kind="scim"), endpoint.wiring.pushes)
    push.player.token = push.issue_token("first")
    ada, bob = create(push, "/Users", user("ada")), create(push, "/Users", user("bob"))
    group_id = create_staff(push, ada, role=ADMIN)

    answer = push.send("PATCH", f"/Users/{ada}", patch(("replace", "active", False)))

    assert answer.status_code == 200
    assert answer.get_json()["active"] is False
    assert answer.get_json()[MEMBER] | {"grants": []} == {
        "memberId": push.world.member_of(push.directory_id, ada),
        "seat": "seated",
        "held": True,
        "grants": [],
    }
    assert push.users()["ada"]["roles"] == ["Admin"]
    push.send("PATCH", f"/Groups/{group_id}", patch(("add", "members", entries(bob))))
    assert push.send("GET", f"/Users/{ada}").get_json()[MEMBER]["held"] is False
    assert push.users()["ada"]["roles"] == []


def test_fourth_operation_fails_and_nothing_is_applied(push: Push) -> None:
    user_id = create(push, "/Users", user("ada"))
    before = push.world.snapshot()
    push.world.events()

    answer = push.send(
        "PATCH",
        f"/Users/{user_id}",
        patch(
            ("replace", "displayName", "A"),
            ("add", "title", "B"),
            ("remove", "nickName", None),
            ("replace", "id", "another"),
        ),
    )

    assert (answer.status_code, answer.get_json()["scimType"]) == (400, "mutability")
    assert answer.get_json()["detail"].startswith("operation 4")
    assert push.world.snapshot() == before
    assert push.world.events() == []


def test_read_only_attributes_may_be_repeated_as_they_are(push: Push) -> None:
    user_id = create(push, "/Users", user("ada"))
    create_staff(push, user_id)
    shown = push.send("GET", f"/Users/{user_id}").get_json()
    repeated = {name: shown[name] for name in ("id", "meta", "groups", MEMBER)}

    answer = push.send("PATCH", f"/Users/{user_id}", patch(("replace", "", repeated)))

    assert answer.status_code == 200
    assert answer.get_json() == shown


def test_foreign_domains_are_refused_where_the_directory_says_so(endpoint: Endpoint) -> None:
    push = endpoint.make_push(refuse_foreign_domains=True)
    push.world.do(AddDomain("home.example"))
    mine = create(push, "/Users", user("ada@Home.example", emails=[{"value": "ada@home.example"}]))

    named = push.send("POST", "/Users", user("eve@evil.example"))
    mailed = push.send(
        "PATCH", f"/Users/{mine}", patch(("add", "emails", [{"value": "ada@evil.example", "type": "home"}]))
    )

    assert (named.status_code, named.get_json()["scimType"]) == (400, "invalidValue")
    assert mailed.status_code == 400
    assert "evil.example" in mailed.get_json()["detail"]
    assert push.send("PATCH", f"/Users/{mine}", patch(("replace", "active", False))).status_code == 200
    assert create(push, "/Users", user("without-a-domain"))


def test_if_match_guards_a_write_and_none_is_ever_demanded(push: Push) -> None:
    user_id = create(push, "/Users", user("ada"))
    path = f"/Users/{user_id}"
    change = patch(("replace", "title", "B"))

    assert push.send("PATCH", path, change, {"If-Match": 'W/"7", W/"1"'}).status_code == 200
    for method, body in (("PATCH", patch(("replace", "title", "C"))), ("PUT", user("ada")), ("DELETE", None)):
        assert push.send(method, path, body, {"If-Match": 'W/"1"'}).status_code == 412
    assert push.send("DELETE", path, None, {"If-Match": "*"}).status_code == 204


def test_get_of_a_version_that_is_known_has_no_body(push: Push) -> None:
    user_id = create(push, "/Users", user("ada"))

    answer = push.send("GET", f"/Users/{user_id}", headers={"If-None-Match": 'W/"1"'})

    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == 'W/"1"'
    assert push.send("GET", f"/Users/{user_id}", headers={"If-None-Match": 'W/"2"'}).status_code == 200


def test_attributes_choose_what_every_answer_shows(push: Push) -> None:
    answer = push.send(
        "POST",
        "/Users?attributes=USERNAME,name.givenName",
        user("ada", name={"givenName": "A", "familyName": "L"}),
    )
    made = answer.get_json()
    assert set(made) == {"schemas", "id", "userName", "name"}
    assert made["name"] == {"givenName": "A"}

    patched = push.send(
        "PATCH", f"/Users/{made['id']}?excludedAttributes=meta,{MEMBER}", patch(("add", "title", "B"))
    )
    assert set(patched.get_json()) == {"schemas", "id", "userName", "name", "active", "title"}

    both = push.send("GET", f"/Users/{made['id']}?attributes=title&excludedAttributes=name")
    assert both.status_code == 400


def test_last_modified_moves_only_when_the_directory_changed_something(push: Push) -> None:
    user_id = create(push, "/Users", user("ada"))
    before = push.send("GET", f"/Users/{user_id}").get_json()["meta"]
    push.world.clock.now += timedelta(minutes=1)

    create_staff(push, user_id)

    after = push.send("GET", f"/Users/{user_id}").get_json()["meta"]
    assert after["version"] != before["version"]
    assert after["lastModified"] == before["lastModified"]
    push.send("PATCH", f"/Users/{user_id}", patch(("replace", "title", "B")))
    assert push.send("GET", f"/Users/{user_id}").get_json()["meta"]["lastModified"] > before["lastModified"]


def test_concurrent_patches_of_one_user_lose_nothing(push: Push) -> None:
    user_id = create(push, "/Users", user("ada"))
    statuses: list[int] = []

    def send(number: int) -> None:
        entry = {"value": f"{number}@example.org", "type": f"t{number}"}
        statuses.append(
            push.send("PATCH", f"/Users/{user_id}", patch(("add", "emails", [entry]))).status_code
        )

    threads = [threading.Thread(target=send, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 12
    shown = push.send("GET", f"/Users/{user_id}").get_json()
    assert {entry["value"] for entry in shown["emails"]} == {f"{number}@example.org" for number in range(12)}
    assert shown["meta"]["version"] == 'W/"13"'


def test_concurrent_member_adds_lose_nothing(push: Push) -> None:
    users = [create(push, "/Users", user(f"u{number}")) for number in range(12)]
    group_id = create_staff(push)
    statuses: list[int] = []

    def send(user_id: str) -> None:
        body = patch(("add", "members", entries(user_id)))
        statuses.append(push.send("PATCH", f"/Groups/{group_id}", body).status_code)

    threads = [threading.Thread(target=send, args=(user_id,)) for user_id in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [204] * 12
    assert push.groups() == {"Staff": sorted(f"u{number}" for number in range(12))}
    push.world.check()
