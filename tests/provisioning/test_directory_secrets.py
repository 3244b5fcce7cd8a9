"""Secrets of pulled directories: who may set them, and what the record says of them."""

import pytest

from audit.actors import LoginActor, RunActor
from audit.sentences import describe
from directory.changes import PutDirectory, PutDirectorySecret
from directory.ids import DirectoryId, RunId
from provisioning.directory_secrets import LONGEST_SECRET
from provisioning.errors import RefusalCode
from tests.builders import MakeWorld, World

SECRET = b"hunter2"


@pytest.fixture
def hq(world: World) -> DirectoryId:
    directory_id = world.put_directory()
    world.events()
    return directory_id


def kept(world: World, directory_id: DirectoryId, name: str = "password") -> bytes | None:
    with world.read() as reader:
        return reader.secret(directory_id, name)


def test_a_secret_is_kept_and_is_nowhere_in_the_record(world: World, hq: DirectoryId) -> None:
    put = PutDirectorySecret(hq, "password", SECRET)
    version = world.state.access_version

    world.do(put)

    assert kept(world, hq) == SECRET
    (body,) = world.new_bodies()
    assert body["action"] == "directory.secret_changed"
    assert [(target["type"], target["id"]) for target in body["targets"]] == [("directory", hq)]
    assert {change["path"]: change["after"] for change in body["changes"]} == {
        "name": "hq",
        "secret_name": "password",
        "state": "set",
    }
    assert describe(body) == (
        f"Operator operator changed the secret password of directory {hq} named hq: it is set."
    )
    assert "hunter2" not in f"{body}{put!r}{world.command(put)!r}"
    assert world.state.access_version == version


def test_a_secret_that_is_forgotten_is_said_once(world: World, hq: DirectoryId) -> None:
    world.do(PutDirectorySecret(hq, "password", SECRET))
    world.events()

    for _ in range(2):
        world.do(PutDirectorySecret(hq, "password", None))

    assert kept(world, hq) is None
    assert world.events() == ["directory.secret_changed"]


def test_a_secret_comes_with_its_directory_or_not_at_all(world: World) -> None:
    directory_id = DirectoryId(world.new_id())

    world.refuse(
        PutDirectory(directory_id, "ldap", "", {}), PutDirectorySecret(directory_id, "password", SECRET)
    )
    assert kept(world, directory_id) is None

    world.do(
        PutDirectory(directory_id, "ldap", "hq", {}), PutDirectorySecret(directory_id, "password", SECRET)
    )
    assert kept(world, directory_id) == SECRET


@pytest.mark.parametrize(
    ("name", "secret", "words"),
    [
        ("", SECRET, "'' is no name of a secret"),
        ("Pass word", SECRET, "'Pass word' is no name of a secret"),
        ("x" * 41, SECRET, "is no name of a secret"),
        ("password", b"", f"a secret has 1 to {LONGEST_SECRET} bytes, not 0"),
        ("password", bytes(LONGEST_SECRET + 1), f"bytes, not {LONGEST_SECRET + 1}"),
    ],
)
def test_a_secret_that_cannot_be_one_is_refused(
    world: World, hq: DirectoryId, name: str, secret: bytes, words: str
) -> None:
    refused = world.refuse(PutDirectorySecret(hq, name, secret))

    assert refused.code is RefusalCode.INVALID
    assert words in refused.message
    assert "hunter2" not in refused.message


def test_only_a_pulled_directory_of_the_organisation_has_secrets(world: World, new_world: MakeWorld) -> None:
    push = world.put_directory("push", kind="scim")
    elsewhere = new_world().put_directory()

    assert "'push' is pushed to with a token" in world.refuse(PutDirectorySecret(push, "x", SECRET)).message
    assert world.refuse(PutDirectorySecret(elsewhere, "x", SECRET)).code is RefusalCode.NOT_FOUND
    assert "ids are UUIDs" in world.refuse(PutDirectorySecret(DirectoryId("hq"), "x", SECRET)).message


def test_neither_a_run_nor_somebody_who_signs_in_sets_a_secret(world: World, hq: DirectoryId) -> None:
    for actor in (RunActor(RunId(world.new_id()), hq), LoginActor(world.new_id())):
        refused = world.refuse(PutDirectorySecret(hq, "password", SECRET), actor=actor)
        assert refused.code is RefusalCode.NOT_ALLOWED
    assert kept(world, hq) is None
