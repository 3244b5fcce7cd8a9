"""Bearer tokens: who may make them, how they end, and what the record says of them."""

from datetime import datetime, timedelta

import pytest

from audit.actors import Actor, AdminActor, ApiKeyActor, LoginActor, RunActor, SystemActor, TokenActor
from audit.body import EventBody
from audit.sentences import describe
from directory.changes import NoteTokenEnding, PutDirectory, PutToken, RevokeToken
from directory.ids import DirectoryId, RunId
from provisioning.directory_statements import PUSH_SETTINGS
from provisioning.resources import StoredToken
from provisioning.tokens import MOST_LIVE_TOKENS, is_live
from scim.profiles import PROFILES
from tests.builders import MONDAY, MakeWorld, World

DAY = timedelta(days=1)


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    return new_world()


@pytest.fixture
def push(world: World) -> DirectoryId:
    directory_id = world.put_directory("push", kind="scim")
    world.events()
    return directory_id


def new_token(
    world: World, directory_id: DirectoryId, *, name: str = "entra", expires_at: datetime | None = None
) -> PutToken:
    token_id = world.new_id()
    return PutToken(
        token_id, directory_id, name, f"usher_scim_{token_id[4:8]}{token_id[-4:]}", bytes(32), expires_at
    )


def stored(world: World) -> list[StoredToken]:
    with world.read() as reader:
        return reader.tokens()


def said(body: EventBody) -> dict[str, object]:
    return {change["path"]: change["after"] for change in body["changes"]}


def test_a_token_is_stored_and_its_secret_is_nowhere_in_the_record(world: World, push: DirectoryId) -> None:
    put = new_token(world, push, name=" entra ", expires_at=MONDAY + DAY)

    world.do(put)

    (token,) = stored(world)
    assert (token.token_id, token.directory_id, token.name) == (put.token_id, push, "entra")
    assert (token.created_at, token.created_by, token.expires_at) == (MONDAY, "operator", MONDAY + DAY)
    assert is_live(token, MONDAY)
    assert not is_live(token, MONDAY + DAY)
    (body,) = world.new_bodies()
    assert body["action"] == "token.created"
    assert [(target["type"], target["id"]) for target in body["targets"]] == [
        ("token", put.token_id),
        ("directory", push),
    ]
    assert said(body) == {
        "name": "entra",
        "prefix": put.prefix,
        "directory_id": push,
        "expires_at": "2026-03-03T09:00:00Z",
    }
    assert describe(body, names={push: "directory 'push'"}) == (
        "Operator operator created the token entra for directory 'push', good until 2026-03-03T09:00:00Z."
    )
    assert "sha256" not in repr(put)


def test_a_token_said_twice_is_one_and_its_id_is_no_other_s(world: World, push: DirectoryId) -> None:
    put = new_token(world, push)
    world.do(put)
    world.events()

    world.do(put)

    assert world.events() == []
    other = PutToken(put.token_id, push, "entra", put.prefix, bytes(range(32)))
    assert world.refuse(other).message == (
        f"there is a token '{put.token_id}' that is another one; use a new id"
    )


def test_a_token_is_for_a_scim_directory_of_the_same_organisation(world: World, new_world: MakeWorld) -> None:
    pulled = world.put_directory("hq")
    elsewhere = new_world().put_directory("push", kind="scim")

    assert world.refuse(new_token(world, pulled)).message == (
        "directory 'hq' is of the kind ldap, which is read by Usher; only a SCIM directory is pushed to with a token"
    )
    assert world.refuse(new_token(world, elsewhere)).message == (
        f"there is no directory '{elsewhere}' in this organisation"
    )
    assert world.refuse(RevokeToken("x")).message == "there is no token 'x'; ids are UUIDs in small letters"


def test_ten_tokens_may_live_at_once(world: World, push: DirectoryId) -> None:
    world.do(new_token(world, push, expires_at=MONDAY + DAY))
    for _ in range(MOST_LIVE_TOKENS - 1):
        world.do(new_token(world, push))

    refused = world.refuse(new_token(world, push))

    assert refused.message == "directory 'push' has 10 live tokens, the most there may be; revoke one first"
    world.clock.move(days=1)
    world.do(new_token(world, push))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "  "}, "a token needs a name of at most 200 letters"),
        ({"name": "n" * 201}, "a token needs a name of at most 200 letters"),
        (
            {"expires_at": MONDAY},
            "the token would have ended at 2026-03-02T09:00:00Z already; give a moment to come",
        ),
    ],
)
def test_what_cannot_be_a_token_is_refused(
    world: World, push: DirectoryId, values: dict[str, object], words: str
) -> None:
    assert world.refuse(new_token(world, push, **values)).message == words  # type: ignore[arg-type]  # as named


@pytest.mark.parametrize(("prefix", "sha256"), [("short", bytes(32)), ("usher_scim_abcdefgh", b"")])
def test_a_token_without_the_form_of_one_is_refused(
    world: World, push: DirectoryId, prefix: str, sha256: bytes
) -> None:
    refused = world.refuse(PutToken(world.new_id(), push, "entra", prefix, sha256))

    assert refused.message == (
        "a token has a prefix of 8 to 24 small letters, digits and '_', and a SHA-256 digest"
    )


@pytest.mark.parametrize("actor", [AdminActor("ada"), ApiKeyActor("key_1"), SystemActor("demo")])
def test_administrators_and_the_host_make_tokens(world: World, push: DirectoryId, actor: Actor) -> None:
    world.do(new_token(world, push), actor=actor)

    assert len(stored(world)) == 1


@pytest.mark.parametrize(
    "actor", [TokenActor("t", DirectoryId("d")), RunActor(RunId("r"), DirectoryId("d")), LoginActor("l")]
)
def test_no_token_makes_another(world: World, push: DirectoryId, actor: Actor) -> None:
    refused = world.refuse(new_token(world, push), actor=actor)

    assert (refused.code, stored(world)) == ("not_allowed", [])


def test_a_revoked_token_is_dead_at_once_and_stays_so(world: World, push: DirectoryId) -> None:
    put, other = new_token(world, push), new_token(world, push, name="okta")
    world.do(put, other)
    world.events()
    world.clock.move(hours=1)

    world.do(RevokeToken(put.token_id))
    world.do(RevokeToken(put.token_id))

    revoked, live = stored(world)
    assert (revoked.revoked_at, is_live(revoked, world.clock())) == (world.clock(), False)
    assert is_live(live, world.clock())
    (body,) = world.new_bodies()
    assert (body["action"], said(body)) == (
        "token.revoked",
        {"name": "entra", "prefix": put.prefix, "directory_id": push},
    )


def test_a_token_can_be_revoked_from_a_moment_to_come(world: World, push: DirectoryId) -> None:
    put = new_token(world, push, expires_at=MONDAY + 30 * DAY)
    world.do(put)
    world.do(NoteTokenEnding(put.token_id, 30))
    world.events()

    world.do(RevokeToken(put.token_id, MONDAY + 5 * DAY))
    world.do(RevokeToken(put.token_id, MONDAY + 6 * DAY))

    (token,) = stored(world)
    assert (token.revoked_at, token.expires_at, token.noticed_days) == (None, MONDAY + 5 * DAY, None)
    (body,) = world.new_bodies()
    assert body["changes"][-1] == {
        "path": "expires_at",
        "before": "2026-04-01T09:00:00Z",
        "after": "2026-03-07T09:00:00Z",
    }


def test_a_token_for_good_gets_an_end(world: World, push: DirectoryId) -> None:
    put = new_token(world, push)
    world.do(put)

    world.do(RevokeToken(put.token_id, MONDAY + DAY))
    assert stored(world)[0].expires_at == MONDAY + DAY

    world.do(RevokeToken(put.token_id, MONDAY))
    assert stored(world)[0].revoked_at == MONDAY


def test_the_nearing_end_is_noted_once_for_each_step(world: World, push: DirectoryId) -> None:
    put, endless = new_token(world, push, expires_at=MONDAY + 31 * DAY), new_token(world, push)
    world.do(put, endless)
    world.events()

    told = []
    for days, step in ((0, 30), (1, 30), (1, 30), (24, 7), (0, 30), (4, 1), (0, 1), (1, 1)):
        world.clock.move(days=days)
        world.do(
            NoteTokenEnding(put.token_id, step),
            NoteTokenEnding(endless.token_id, step),
            actor=SystemActor("s"),
        )
        told.append([said(body)["days"] for body in world.new_bodies()])

    assert told == [[], [30], [], [7], [], [1], [], []]


def test_an_unknown_token_is_told(world: World) -> None:
    unknown = world.new_id()

    assert world.refuse(RevokeToken(unknown)).message == f"there is no token '{unknown}' in this organisation"


def test_settings_of_a_scim_directory_are_known_ones(world: World) -> None:
    directory_id = DirectoryId(world.new_id())

    refused = world.refuse(PutDirectory(directory_id, "scim", "push", {"profile": "azure"}))
    assert refused.message == (
        "setting 'profile' of a directory is one of generic, entra, okta, strict, not 'azure'"
    )
    refused = world.refuse(PutDirectory(directory_id, "scim", "push", {"paused": 1}))
    assert refused.message == "setting 'paused' of a directory is one of false, true, not '1'"
    world.do(PutDirectory(directory_id, "scim", "push", {"profile": "okta", "paused": True}))


def test_every_profile_can_be_chosen() -> None:
    assert set(PUSH_SETTINGS["profile"]) == PROFILES.keys()
