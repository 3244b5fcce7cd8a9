"""A person whom a login made and a directory brings later: the directory's word is the only one from then on."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from directory.changes import DeactivateUser, PutUser
from directory.facts import UserFacts
from directory.ids import MemberId
from tests.builders import MEMBER, WORKER, MakeWorld, World, external, on_sqlite_only, put_user
from tests.provisioning.pushing import Idp
from tests.provisioning.signing import Provider, changed, own_domain


@pytest.fixture
def provider(world: World) -> Provider:
    own_domain(world)
    return Provider(world, jit=True, default_role="Member")


def made(provider: Provider, name: str = "ada") -> MemberId:
    """A person whom a login made, with a role by an asserted group."""
    world = provider.world
    outcome = provider.sign_in(f"{name}-1", f"{name}@example.org", groups=("staff",))
    assert outcome.member_id is not None
    world.events()
    return outcome.member_id


def bring(idp: Idp, name: str = "ada", *, active: bool = True) -> PutUser:
    """The SCIM client's user with the same mail."""
    said = idp.user(name, active=active).user
    facts = UserFacts(
        said.external_id, name, mails=(f"{name}@example.org",), activity=said.activity, resource={}
    )
    return PutUser(facts)


def test_what_a_login_gave_ends_when_a_directory_brings_the_person(world: World, provider: Provider) -> None:
    ada = made(provider)
    world.put_rule(world.group(provider.directory_id, "staff").group_id, WORKER, world.put_scope("u", "unit"))
    assert world.roles(ada) == [WORKER]
    idp = Idp(world)
    world.events()

    idp.push(bring(idp))

    assert (idp.member("ada"), world.roles(ada)) == (ada, [])
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        "user.created",
        "member.linked",
        "user.deleted",
        "group.member_removed",
        "role.revoked",
        "seat.released",
    ]
    assert bodies[2]["reason"]["code"] == "taken_over"
    assert world.chain(bodies[4]) == ["role.revoked", "group.member_removed", "member.linked", "user.created"]
    assert world.in_group(provider.directory_id, "staff") == set()
    world.check()


def off(idp: Idp) -> None:
    idp.push(idp.off("ada"))


def delete(idp: Idp) -> None:
    idp.push(idp.delete("ada"))


@pytest.mark.parametrize("leave", [off, delete])
def test_who_was_brought_and_leaves_is_out_and_no_login_brings_them_back(
    world: World, provider: Provider, leave: Callable[[Idp], None]
) -> None:
    ada = made(provider)
    idp = Idp(world)
    idp.push(bring(idp))

    leave(idp)

    assert not world.record(ada).is_active
    assert provider.sessions(ada) == []
    outcome = provider.sign_in("ada-1", "ada@example.org", groups=("staff",))
    assert (outcome.denial, outcome.member_id) == ("member_deactivated", ada)
    assert len(world.members()) == (2 if leave is off else 1)
    world.check()


def test_who_is_brought_inactive_is_out_at_once(world: World, provider: Provider) -> None:
    ada = made(provider)
    idp = Idp(world)
    world.events()

    idp.push(bring(idp, active=False))

    told = [body for body in world.new_bodies() if body["action"] == "member.deactivated"]
    assert [changed(body)["sessions_ended"] for body in told] == [1]
    assert not world.record(ada).is_active


def test_a_pulled_directory_takes_over_too_and_the_login_goes_on(world: World, provider: Provider) -> None:
    ada = made(provider)
    hq = world.put_directory(default_role=MEMBER)

    world.push(hq, put_user("ada"))

    assert world.member_of(hq, "ada") == ada
    assert world.roles(ada) == [MEMBER]
    assert provider.sign_in("ada-1", "ada@example.org", groups=("staff",)).member_id == ada
    assert world.in_group(provider.directory_id, "staff") == set()
    assert world.user(provider.directory_id, "ada-1").deleted_at is not None


def test_whom_no_login_made_is_linked_as_ever(world: World, provider: Provider) -> None:
    made(provider)
    hq, branch = world.put_directory(), world.put_directory("branch")
    world.push(hq, put_user("bea"))
    world.events()

    world.push(branch, put_user("bea"))

    assert world.events() == ["user.created", "member.linked"]


def test_without_groups_there_is_nothing_to_leave(world: World, provider: Provider) -> None:
    provider.sign_in("ada-1", "ada@example.org")
    hq = world.put_directory()
    world.events()

    world.push(hq, put_user("ada"))

    assert world.events()[:3] == ["user.created", "member.linked", "user.deleted"]


STEPS = st.lists(st.sampled_from(["login", "groups", "on", "off", "pause"]), min_size=1, max_size=8)


@on_sqlite_only
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_once_brought_a_person_is_what_the_directory_says(new_world: MakeWorld, steps: list[str]) -> None:
    world = new_world()
    own_domain(world, f"d{world.new_id()[:8]}.example")
    domain = next(iter(_domains(world)))
    provider = Provider(world, jit=True, default_role="Member")
    first = provider.sign_in("ada-1", f"ada@{domain}", groups=("staff",)).member_id
    assert first is not None
    hq = world.put_directory()
    is_on: bool | None = None
    for step in steps:
        if step in {"on", "off"}:
            is_on = step == "on"
            world.push(hq, put_user("ada", active=is_on, mails=(f"ada@{domain}",)))
        elif step == "pause" and is_on is not None:
            world.push(hq, DeactivateUser(external("ada")))
            is_on = False
        else:
            groups = ("staff", "more") if step == "groups" else ("staff",)
            outcome = provider.sign_in("ada-1", f"ada@{domain}", groups=groups)
            assert (outcome.denial is None) == (is_on is not False)
        assert world.record(first).is_active == (is_on is not False)
        assert bool(world.roles(first)) == (is_on is None)
    world.check()


def _domains(world: World) -> frozenset[str]:
    with world.read() as reader:
        return reader.domains()
