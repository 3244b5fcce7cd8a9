"""A small directory on a real 389 Directory Server: what tests load, run against, and edit."""

from uuid import UUID

from directory.ids import DirectoryId, ExternalId
from provisioning.state import Cursor, RunRecord
from sync.run import run_directory
from tests.builders import World
from tests.ds389 import DS389, PASSWORD, account
from tests.sync.ldap_builders import GROUPS, PEOPLE, Stored, stored
from tests.sync.ldap_trees import entry, team_dn, unit, user_dn

TEAM = 50_000
MANY = 30


def ns_id(number: int) -> ExternalId:
    """An nsUniqueId as the server writes it."""
    plain = UUID(int=number << 96).hex
    return ExternalId("-".join(plain[at : at + 8] for at in range(0, 32, 8)))


def person(number: int, **values: str) -> str:
    fields = {
        "uid": f"u{number}",
        "cn": f"User {number}",
        "sn": "User",
        "nsUniqueId": ns_id(number),
        **values,
    }
    return entry(user_dn(number), ("objectClass", "inetOrgPerson"), *fields.items())


def people(*numbers: int) -> str:
    return "".join(map(person, numbers))


def team(number: int, name: str, *members: int) -> str:
    head = [("objectClass", "groupOfNames"), ("cn", name), ("nsUniqueId", ns_id(number))]
    return entry(team_dn(name), *head, *(("member", user_dn(member)) for member in members))


def tree() -> str:
    """Thirty people, of whom three are in a group."""
    return unit(PEOPLE) + unit(GROUPS) + people(*range(MANY)) + team(TEAM, "staff", 1, 2, 3)


def on_389(server: DS389, **other: str | int | bool) -> Stored:
    given: Stored = {
        "dialect": "ds389",
        "bind_dn": account("reader"),
        "guard_removed_memberships_percent": 100,
    }
    given |= other
    return stored(server.port, **given)


def run(world: World, hq: DirectoryId, *, full: bool = False) -> RunRecord:
    return run_directory(
        world.claim(hq),
        keeper=world.keeper,
        exports=world.folder,
        passwords={"hq": PASSWORD}.__getitem__,
        full=full,
    )


def read_first(world: World, server: DS389, **other: str | int | bool) -> DirectoryId:
    hq = world.put_directory(kind="ldap", settings=on_389(server, **other))
    record = run(world, hq)
    assert (record.state, record.counters["users_created"]) == ("completed", MANY), record.reason
    return hq


def cursor_of(world: World, hq: DirectoryId) -> Cursor:
    cursor = world.stored_directory(hq).cursor
    assert cursor is not None
    return cursor


def is_settled(world: World, hq: DirectoryId) -> bool:
    """Whether a full reading finds nothing that was left, and the world agrees with itself."""
    record = run(world, hq, full=True)
    world.check()
    return (record.state, record.plan_hash) == ("completed", "")
