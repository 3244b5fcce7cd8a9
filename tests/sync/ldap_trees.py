"""Small directories on one slapd: what a test loads, runs against, and edits.

Entries carry their own ids, so that a test can name people by numbers. One server is emptied and filled anew for each
test; its ports stay.
"""

import shutil
from base64 import b64encode
from collections.abc import Callable, Mapping

from directory.ids import DirectoryId
from provisioning.state import RunRecord, StoredUser
from sync.run import PlannedRun, plan_directory, run_directory
from tests.builders import Approval, World
from tests.slapd import PASSWORD, SUFFIX, Slapd
from tests.sync.builders import eid, uuid
from tests.sync.ldap_builders import GROUPS, PEOPLE, Stored

Hold = Callable[..., Slapd]
"""Fills the server with these entries and starts it: `slapd = hold(person(1), team(100, "staff", 1))`."""

PASSWORDS: Mapping[str, str] = {"hq": PASSWORD}


def line(name: str, value: str) -> str:
    """One attribute; base64 for what plain LDIF cannot say."""
    if value.isascii() and value == value.strip():
        return f"{name}: {value}\n"
    return f"{name}:: {b64encode(value.encode()).decode()}\n"


def entry(dn: str, *values: tuple[str, str]) -> str:
    return line("dn", dn) + "".join(line(name, value) for name, value in values) + "\n"


def unit(dn: str) -> str:
    """An organisational unit."""
    return entry(dn, ("objectClass", "organizationalUnit"), ("ou", dn.partition(",")[0].partition("=")[2]))


def user_dn(number: int) -> str:
    return f"uid=u{number},{PEOPLE}"


def person(number: int, *, dn: str = "", **values: str) -> str:
    """A person, `u<number>` below the people unless a DN is given."""
    fields = {"uid": f"u{number}", "cn": f"User {number}", "sn": "User", "entryUUID": uuid(number), **values}
    return entry(dn or user_dn(number), ("objectClass", "inetOrgPerson"), *fields.items())


def people(*numbers: int) -> str:
    return "".join(map(person, numbers))


def team(number: int, name: str, *members: int | str) -> str:
    """A group of people by number, and of entries by DN."""
    dns = [member if isinstance(member, str) else user_dn(member) for member in members]
    head = [("objectClass", "groupOfNames"), ("cn", name), ("entryUUID", uuid(number))]
    return entry(team_dn(name), *head, *(("member", dn) for dn in dns))


def team_dn(name: str) -> str:
    return f"cn={name},{GROUPS}"


def fill(slapd: Slapd, *entries: str) -> Slapd:
    """Start the server with nothing but these entries below the two usual units."""
    slapd.stop()
    shutil.rmtree(slapd.folder / "data", ignore_errors=True)
    root = [("objectClass", "organization"), ("objectClass", "dcObject"), ("o", "Example"), ("dc", "example")]
    slapd.load(entry(SUFFIX, *root) + unit(PEOPLE) + unit(GROUPS) + "".join(entries))
    slapd.start()
    return slapd


# Edits, to be joined and given to `Slapd.modify`.


def deleted(dn: str) -> str:
    return f"{line('dn', dn)}changetype: delete\n\n"


def moved(dn: str, name: str, *, below: str = "") -> str:
    """Another name, and another place if one is given."""
    place = line("newsuperior", below) if below else ""
    return f"{line('dn', dn)}changetype: modrdn\n{line('newrdn', name)}deleteoldrdn: 1\n{place}\n"


def edited(dn: str, verb: str, name: str, *values: str) -> str:
    """`add`, `delete` or `replace` an attribute."""
    said = "".join(line(name, value) for value in values)
    return f"{line('dn', dn)}changetype: modify\n{verb}: {name}\n{said}-\n\n"


# Runs


def put(world: World, given: Stored) -> DirectoryId:
    return world.put_directory(kind="ldap", settings=given)


def run(world: World, hq: DirectoryId, **approval: str) -> RunRecord:
    given: Approval = {
        "approval": approval.get("approval", ""),
        "approved_by": approval.get("approved_by", ""),
    }
    return run_directory(
        world.claim(hq, **given), keeper=world.keeper, exports=world.folder, passwords=PASSWORDS.__getitem__
    )


def planned(world: World, hq: DirectoryId, *, after_page: Callable[[], None] | None = None) -> PlannedRun:
    """What a run would do."""
    return plan_directory(
        world.stored_directory(hq),
        unit_of_work=world.unit_of_work,
        exports=world.folder,
        now=world.clock(),
        passwords=PASSWORDS.__getitem__,
        after_page=after_page,
    )


def user(world: World, hq: DirectoryId, number: int) -> StoredUser:
    return world.user(hq, eid(number))


def is_settled(world: World, hq: DirectoryId) -> bool:
    """Whether a further run finds nothing to change, and the world agrees with itself."""
    record = run(world, hq)
    world.check()
    return (record.state, record.plan_hash, record.started_event) == ("completed", "", None)
