"""Entries, edits and settings of a Samba domain controller, for the tests of `sync`.

Every test has a unit of its own, named after it, on the controller that all share.
"""

from dataclasses import dataclass
from uuid import UUID

from directory.ids import DirectoryId, ExternalId
from provisioning.state import RunRecord
from sync.ldap_reader import open_session
from sync.run import run_directory
from tests.builders import World
from tests.samba_dc import PASSWORD, SUFFIX, SambaDC, account, unicode_password
from tests.sync.ldap_builders import Stored, settings

SOMEBODY = 544
"""The flags of an enabled account that needs no password."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit on the controller, with `people` and `groups` below it."""

    dc: SambaDC
    dn: str

    @property
    def people(self) -> str:
        return f"OU=people,{self.dn}"

    @property
    def groups(self) -> str:
        return f"OU=groups,{self.dn}"

    def person(self, name: str) -> str:
        return f"CN={name},{self.people}"

    def group(self, name: str) -> str:
        return f"CN={name},{self.groups}"

    def prefixed(self, name: str) -> str:
        """Names of accounts are unique in a domain."""
        return f"{name}.{self.dn[3:].partition(',')[0]}"

    def new_person(self, name: str, *lines: str, below: str = "", flags: int = SOMEBODY) -> str:
        rest = "".join(f"{line}\n" for line in lines)
        return (
            f"dn: CN={name},{below or self.people}\nchangetype: add\nobjectClass: user\n"
            f"sAMAccountName: {self.prefixed(name)}\nuserAccountControl: {flags}\n{rest}\n"
        )

    def new_group(self, name: str, *members: str) -> str:
        listed = "".join(f"member: {member}\n" for member in members)
        return (
            f"dn: {self.group(name)}\nchangetype: add\nobjectClass: group\n"
            f"sAMAccountName: {self.prefixed(name)}\n{listed}\n"
        )

    def settings(self, who: str = "syncer", **other: str | int | bool) -> Stored:
        """Of a directory that reads the unit over LDAPS."""
        return {
            "servers": f"localhost:{self.dc.port}",
            "tls": "ldaps",
            "ca_file": str(self.dc.certificates.authority),
            "bind_dn": account(who),
            "password_name": "hq",
            "user_bases": self.people,
            "group_bases": self.groups,
            "dialect": "active_directory",
            "guard_removed_memberships_percent": 100,
            "guard_removed_users": 100,
            "incremental_percent": 100,
            **other,
        }

    def id_of(self, dn: str) -> ExternalId:
        """The id of an entry that is there."""
        with open_session(settings(self.settings("Administrator")), PASSWORD) as session:
            found = session.read_base(dn, ("objectGUID",))
        assert found is not None, dn
        return ExternalId(str(UUID(bytes_le=found.attributes["objectguid"][0])))

    def ids_of(self, *dns: str) -> set[ExternalId]:
        return {self.id_of(dn) for dn in dns}


def make_unit(dc: SambaDC, name: str) -> Unit:
    """An empty unit."""
    unit = Unit(dc, f"OU={name},{SUFFIX}")
    dc.modify(
        "".join(
            f"dn: {dn}\nchangetype: add\nobjectClass: organizationalUnit\n\n"
            for dn in (unit.dn, unit.people, unit.groups)
        )
    )
    return unit


def deleted(dn: str) -> str:
    return f"dn: {dn}\nchangetype: delete\n\n"


def edited(dn: str, verb: str, name: str, *values: str) -> str:
    """`add`, `delete` or `replace` an attribute."""
    said = "".join(f"{name}: {value}\n" for value in values)
    return f"dn: {dn}\nchangetype: modify\n{verb}: {name}\n{said}-\n\n"


def moved(dn: str, name: str, *, below: str = "") -> str:
    place = f"newsuperior: {below}\n" if below else ""
    return f"dn: {dn}\nchangetype: modrdn\nnewrdn: CN={name}\ndeleteoldrdn: 1\n{place}\n"


def with_password(dn: str) -> str:
    return f"dn: {dn}\nchangetype: modify\nreplace: unicodePwd\n{unicode_password('Another one 2')}-\n\n"


def put(world: World, given: Stored) -> DirectoryId:
    return world.put_directory(kind="ldap", settings=given)


def run(world: World, hq: DirectoryId, *, full: bool = False) -> RunRecord:
    return run_directory(
        world.claim(hq),
        keeper=world.keeper,
        exports=world.folder,
        passwords={"hq": PASSWORD}.__getitem__,
        full=full,
    )


def read_first(world: World, given: Stored) -> DirectoryId:
    """A directory that was read in full."""
    hq = put(world, given)
    record = run(world, hq)
    assert (record.state, record.method) == ("completed", "full"), record.reason
    return hq


def read_changes(world: World, hq: DirectoryId) -> RunRecord:
    """A run that reads what has changed; a further one, and a full one behind it, find nothing that it left."""
    record = run(world, hq)
    assert (record.state, record.method) == ("completed", "dirsync"), (
        f"{record.reason} {record.method_reason}"
    )
    agree(world, hq)
    return record


def agree(world: World, hq: DirectoryId) -> None:
    again, everything = run(world, hq), run(world, hq, full=True)
    assert (again.method, again.plan_hash) == ("dirsync", ""), again.method_reason
    assert (everything.state, everything.plan_hash, everything.method) == ("completed", "", "full")
    world.check()
