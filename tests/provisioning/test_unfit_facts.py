"""Text that one of the databases cannot hold is refused on both, alone, and in words."""

import pytest

from directory.changes import Change, PutUser
from directory.facts import MAX_NAME
from provisioning.commands import Refused
from tests.builders import World, put_group, put_user, user_facts
from tests.sync.builders import group, person

LONG = "x" * (MAX_NAME + 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put_user(LONG), "the external id of user"),
        (
            put_user("a", user_name=LONG),
            "the user name of user 'a' has 401 characters; at most 400 are stored",
        ),
        (put_user("a", display_name="a\0b"), "the display name of user 'a' holds a NUL character"),
        (put_user("a", family_name="\ud800"), "the family name of user 'a' holds half a character"),
        (put_user("a", mails=(f"{LONG}@x.y",)), "the mail of user 'a' has 405 characters"),
        (put_user("a", user_name="\ufdfa" * 100), "the user name of user 'a' has 100 characters"),
        (PutUser(user_facts("a", attributes={"title": ("b\0",)})), "the title of user 'a' holds a NUL"),
        (put_group("g", LONG), "the name of group 'g' has 401 characters"),
    ],
)
def test_a_fact_that_cannot_be_stored_is_refused(world: World, change: Change, words: str) -> None:
    directory_id = world.put_directory("hq")
    world.events()

    refused = world.request(directory_id, change)

    assert isinstance(refused, Refused)
    assert words in refused.message
    assert world.events() == ["command.refused"]


def test_a_long_attribute_is_stored(world: World) -> None:
    directory_id = world.put_directory("hq")

    world.push(directory_id, PutUser(user_facts("a", attributes={"title": (LONG,)})))

    assert world.user(directory_id, "a").attributes == {"title": (LONG,)}


def test_a_run_leaves_out_who_cannot_be_stored_and_names_them(world: World) -> None:
    directory_id = world.put_ldif()
    head = "dn: ou=people,o=x\nobjectClass: organizationalUnit\nou: people\n\n"
    world.export(head + person(1) + person(2, LONG) + group(3, "staff", "u1", LONG))

    run = world.run(directory_id)

    assert run.state == "completed"
    assert run.counters["users_created"] == 1
    assert run.counters["changes_failed"] == 1
    assert "at most 400 are stored" in run.reason
