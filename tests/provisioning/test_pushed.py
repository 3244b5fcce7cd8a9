"""What a SCIM client says: one id for both sides, links by its own ids, versions of all that it sees."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from directory.changes import (
    AddDomain,
    AddMembers,
    AddSubgroups,
    Change,
    DeleteGroup,
    DeleteUser,
    GroupMatch,
    PutGroup,
    PutUser,
    RemoveMembers,
    RemoveSubgroups,
    SetPlan,
)
from directory.facts import Activity, GroupFacts, UserFacts
from directory.ids import DirectoryId, ExternalId, GroupId
from provisioning.apply import open_rehearsal
from provisioning.commands import Applied, Refused
from provisioning.errors import RefusalCode
from provisioning.ports import Reader
from provisioning.state import StoredGroup, StoredUser
from tests.builders import ADMIN, MEMBER, World


class Client:
    """A SCIM client of one directory. Each thing it makes gets an id, which it keeps by name."""

    def __init__(self, world: World, **settings: str | int | bool) -> None:
        self.world = world
        self.directory_id = world.put_directory("idp", kind="scim", settings=settings)
        self.ids: dict[str, ExternalId] = {}

    def user(self, name: str, **resource: str) -> PutUser:
        user_id = self.ids.setdefault(name, ExternalId(self.world.new_id()))
        facts = UserFacts(
            user_id,
            name,
            display_name=resource.get("displayName", ""),
            mails=(resource["mail"],) if "mail" in resource else (),
            client_id=resource.get("externalId", ""),
            resource={"userName": name, "active": True, **resource},
        )
        return PutUser(facts)

    def group(self, name: str, display_name: str = "", client_id: str = "") -> PutGroup:
        group_id = self.ids.setdefault(name, ExternalId(self.world.new_id()))
        return PutGroup(GroupFacts(group_id, display_name or name, client_id=client_id))

    def add(self, group: str, *users: str) -> AddMembers:
        return AddMembers(self.ids[group], tuple(self.ids[user] for user in users))

    def push(self, *changes: Change) -> Applied:
        return self.world.push(self.directory_id, *changes)

    def stored_user(self, name: str) -> StoredUser:
        with self.world.read() as reader:
            return reader.users_by_external_id(self.directory_id, [self.ids[name]])[self.ids[name]]

    def stored_group(self, name: str) -> StoredGroup:
        with self.world.read() as reader:
            return reader.groups_by_external_id(self.directory_id, [self.ids[name]])[self.ids[name]]

    def versions(self) -> Mapping[str, int]:
        """The version of every user and group that the client has made, by its name."""
        with self.world.read() as reader:
            users = reader.users_by_external_id(self.directory_id, list(self.ids.values()))
            groups = reader.groups_by_external_id(self.directory_id, list(self.ids.values()))
        versions = {key: row.version for key, row in users.items()}
        versions |= {key: row.version for key, row in groups.items()}
        return {name: versions[external_id] for name, external_id in self.ids.items()}

    def moved(self, *changes: Change) -> set[str]:
        """Those whose version the changes step."""
        before = self.versions()
        self.push(*changes)
        return {name for name, version in self.versions().items() if version != before.get(name)}


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def test_a_resource_has_one_id_on_both_sides(client: Client) -> None:
    client.push(client.user("ann"), client.group("team"))

    ann, team = client.stored_user("ann"), client.stored_group("team")
    assert (str(ann.user_id), str(team.group_id)) == (ann.external_id, team.external_id)


def test_what_the_client_said_is_kept_whole(client: Client) -> None:
    client.push(client.user("ann", nickName="", title="Boss", externalId="E1"))

    stored = client.stored_user("ann")
    assert stored.resource == {
        "userName": "ann",
        "active": True,
        "nickName": "",
        "title": "Boss",
        "externalId": "E1",
    }
    assert stored.client_id == "E1"


def test_what_no_predicate_sees_moves_the_version_and_is_told(client: Client, world: World) -> None:
    client.push(client.user("ann"))
    world.new_bodies()

    assert client.moved(client.user("ann", nickName="")) == {"ann"}
    (body,) = world.new_bodies()
    assert body["action"] == "user.updated"
    assert [(change["path"], change["after"]) for change in body["changes"]] == [("attributes", ["nickName"])]


def test_the_same_said_twice_moves_nothing(client: Client, world: World) -> None:
    said = (client.user("ann", title="x"), client.group("team", client_id="g"))
    client.push(*said)
    client.push(client.add("team", "ann"))
    world.new_bodies()

    assert client.moved(*said, client.add("team", "ann")) == set()
    assert world.new_bodies() == []


def test_a_deleted_user_is_not_brought_back_by_a_late_message(client: Client, world: World) -> None:
    client.push(client.user("ann"))
    client.push(DeleteUser(client.ids["ann"]))

    refused = world.request(client.directory_id, client.user("ann"))

    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.NOT_FOUND
    assert client.stored_user("ann").deleted_at is not None


def recreate(client: Client, name: str, **resource: str) -> None:
    client.push(client.user(name, **resource))
    client.push(DeleteUser(client.ids[name]))
    client.ids[f"old {name}"] = client.ids.pop(name)
    client.push(client.user(name, **resource))


def member_of(client: Client, name: str) -> str:
    return client.stored_user(name).member_id


def test_whoever_returns_under_the_same_external_id_is_the_same_person(client: Client, world: World) -> None:
    recreate(client, "ann", externalId="E1")

    assert client.ids["ann"] != client.ids["old ann"]
    assert member_of(client, "ann") == member_of(client, "old ann")
    assert "member.linked" in [body["action"] for body in world.new_bodies()]
    assert not world.record(client.stored_user("ann").member_id).is_deleted


@pytest.mark.parametrize("resource", [{"mail": "ann@example.org"}, {"displayName": "Ann"}])
def test_a_name_or_a_mail_alone_brings_nobody_back(
    client: Client, world: World, resource: Mapping[str, str]
) -> None:
    world.do(AddDomain("example.org"))
    recreate(client, "ann", **resource)

    assert member_of(client, "ann") != member_of(client, "old ann")


def test_a_directory_may_never_link_to_who_was_deleted(world: World) -> None:
    client = Client(world, relink="never")
    recreate(client, "ann", externalId="E1")

    assert member_of(client, "ann") != member_of(client, "old ann")


def test_people_of_two_directories_are_linked_by_the_clients_own_id(client: Client, world: World) -> None:
    hq = world.put_directory("hq")
    world.push(hq, PutUser(UserFacts(ExternalId("E1"), "ann@hq")))
    client.push(client.user("ann", externalId="E1"), client.user("bob"))

    assert member_of(client, "ann") == world.member_of(hq, "E1")
    assert member_of(client, "bob") != world.member_of(hq, "E1")


def test_two_resources_of_one_directory_are_two_people(client: Client) -> None:
    client.push(client.user("ann", externalId="E1"))
    client.push(client.user("twin", externalId="E1"))

    assert member_of(client, "ann") != member_of(client, "twin")


def team(client: Client, role: str = "Member") -> GroupId:
    client.push(client.group("team"), client.user("ann"), client.user("bob"))
    group_id = client.stored_group("team").group_id
    client.world.put_rule(GroupMatch(group_id), MEMBER if role == "Member" else ADMIN)
    return group_id


def test_a_membership_moves_the_group_and_the_user(client: Client) -> None:
    team(client)

    assert client.moved(client.add("team", "ann")) == {"team", "ann"}
    assert client.moved(RemoveMembers(client.ids["team"], (client.ids["ann"],))) == {"team", "ann"}


def test_a_membership_is_a_change_of_the_group_but_not_of_the_user(client: Client) -> None:
    team(client)
    before = (client.stored_user("ann").updated_at, client.stored_group("team").updated_at)
    later = client.world.clock.move(minutes=1)

    client.push(client.add("team", "ann"))

    assert (client.stored_user("ann").updated_at, client.stored_group("team").updated_at) == (
        before[0],
        later,
    )


def test_a_grant_by_a_new_rule_moves_the_users_who_get_it(client: Client) -> None:
    client.push(client.group("team"), client.user("ann"), client.user("bob"))
    client.push(client.add("team", "ann"))
    before = client.versions()

    client.world.put_rule(GroupMatch(client.stored_group("team").group_id))

    after = client.versions()
    assert {name for name in after if after[name] != before[name]} == {"ann"}


def test_a_new_display_name_moves_the_groups_and_a_renamed_group_its_members(client: Client) -> None:
    team(client)
    client.push(client.add("team", "ann"))

    assert client.moved(client.user("ann", displayName="Ann")) == {"ann", "team"}
    assert client.moved(client.user("ann", displayName="Ann", title="x")) == {"ann"}
    assert client.moved(client.group("team", "Crew")) == {"team", "ann"}
    assert client.moved(client.group("team", "Crew", client_id="g")) == {"team"}
    assert client.moved(DeleteGroup(client.ids["team"])) == {"team", "ann"}


def test_a_deleted_user_moves_its_groups(client: Client) -> None:
    team(client)
    client.push(client.add("team", "ann", "bob"))

    assert client.moved(DeleteUser(client.ids["ann"])) == {"team", "ann"}


def test_versions_of_pulled_directories_stay(world: World) -> None:
    hq = world.team("ann")
    before = world.user(hq, "ann").version

    world.put_rule(world.group(hq, "team").group_id, ADMIN)

    assert world.user(hq, "ann").version == before


def test_nested_groups_are_shown_and_give_nothing(client: Client, world: World) -> None:
    group_id = team(client)
    client.push(client.group("inner"))
    client.push(client.add("inner", "ann"))

    assert client.moved(AddSubgroups(client.ids["team"], (client.ids["inner"],))) == {"team"}
    with world.read() as reader:
        assert reader.nestings_of([group_id]) == {(group_id, GroupId(client.ids["inner"]))}
    assert world.held(client.stored_user("ann").member_id) == set()
    assert client.moved(AddSubgroups(client.ids["team"], (client.ids["inner"],))) == set()

    assert client.moved(RemoveSubgroups(client.ids["team"], (client.ids["inner"],))) == {"team"}
    client.push(AddSubgroups(client.ids["team"], (client.ids["inner"],)))
    assert client.moved(DeleteGroup(client.ids["inner"])) == {"team", "inner", "ann"}


def test_whoever_comes_with_a_group_holds_what_it_gives(client: Client, world: World) -> None:
    team(client)

    client.push(client.user("cid"), AddMembers(client.ids["team"], (client.ids["cid"],)))

    assert world.held(client.stored_user("cid").member_id) == {(MEMBER, world.root)}
    world.check()


class Talk:
    """An exchange that says fixed changes and remembers what it saw when it was concluded."""

    def __init__(self, directory_id: DirectoryId, *changes: Change) -> None:
        self.directory_id = directory_id
        self.said = changes
        self.seen: set[ExternalId] = set()

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        return self.said

    def conclude(self, reader: Reader) -> None:
        names = [change.user.external_id for change in self.said if isinstance(change, PutUser)]
        self.seen = set(reader.users_by_external_id(self.directory_id, names))


def test_a_rehearsal_shows_the_answer_and_the_events_and_stores_nothing(client: Client, world: World) -> None:
    before = world.snapshot()
    talk = Talk(client.directory_id, client.user("ann"))
    command = world.command(directory_id=client.directory_id, kind="scim_request")

    with open_rehearsal(**world.tools) as rehearsal:
        outcome, rows = rehearsal.take(command, talk)

    assert isinstance(outcome, Applied)
    assert talk.seen == {client.ids["ann"]}
    assert [row.action for row in rows] == ["user.created", "member.created"]
    assert world.snapshot() == before


def test_a_rehearsal_tells_the_refusal_and_stores_no_event(client: Client, world: World) -> None:
    world.do(SetPlan("Enterprise", 1))
    before = world.snapshot()
    talk = Talk(client.directory_id, SetPlan("Gold"))

    with open_rehearsal(**world.tools) as rehearsal:
        outcome, rows = rehearsal.take(world.command(), talk)

    assert isinstance(outcome, Refused)
    assert rows == ()
    assert world.snapshot() == before


def test_exchanges_of_a_rehearsal_see_each_other_and_nothing_of_a_refused_one(
    client: Client, world: World
) -> None:
    command = world.command(directory_id=client.directory_id, kind="scim_request")
    ann, bob, team = client.user("ann"), client.user("bob"), client.group("team")
    talks = [
        Talk(client.directory_id, *changes)
        for changes in ((ann,), (bob, SetPlan("Gold")), (team,), (client.add("team", "ann"),), (bob,))
    ]
    before = world.snapshot()

    with open_rehearsal(**world.tools) as rehearsal:
        takes = [rehearsal.take(command, talk) for talk in talks]

    assert [[row.action for row in rows] for _, rows in takes] == [
        ["user.created", "member.created"],
        [],
        ["group.created"],
        ["group.member_added"],
        ["user.created", "member.created"],
    ]
    assert isinstance(takes[1][0], Refused)
    assert world.snapshot() == before
    assert [type(world.request(client.directory_id, *talk.said)) for talk in talks] == [
        type(outcome) for outcome, _ in takes
    ]


def test_a_client_is_told_that_the_owner_stays(client: Client, world: World) -> None:
    world.do(AddDomain("example.org"))
    owner = world.record(world.owner)
    client.push(client.user("olga", mail=owner.mail))
    assert client.stored_user("olga").member_id == world.owner
    leaving = replace(client.user("olga").user, activity=Activity.DISABLED)

    refusals = [
        world.request(client.directory_id, change)
        for change in (PutUser(leaving), DeleteUser(client.ids["olga"]))
    ]

    assert [getattr(refused, "code", None) for refused in refusals] == [RefusalCode.OWNER_PROTECTED] * 2
    assert client.stored_user("olga").active
    client.push(client.user("olga", title="Owner"))
