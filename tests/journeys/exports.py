"""Small LDIF exports, as OpenLDAP writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_DNS, uuid5

BASE = "dc=acme,dc=example"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the export. `key` decides the entryUUID; two of one key are two entries of one id. `place` is
    where the entry stands below the people, when not among them all.
    """

    uid: str
    mail: str = ""
    department: str = ""
    is_locked: bool = False
    key: str = ""
    extra: str = ""
    place: str = ""

    def entry(self) -> str:
        lines = [
            f"dn: uid={self.uid},{self.place}ou=people,{BASE}",
            "objectClass: inetOrgPerson",
            f"uid: {self.uid}",
            f"cn: {self.uid.title()} Example",
            "sn: Example",
            f"entryUUID: {uuid5(NAMESPACE_DNS, self.key or self.uid)}",
        ]
        lines.append(f"mail: {self.mail or f'{self.uid}@acme.example'}")
        if self.department:
            lines.append(f"departmentNumber: {self.department}")
        if self.is_locked:
            lines.append("pwdAccountLockedTime: 000001010000Z")
        if self.extra:
            lines.append(self.extra)
        return "\n".join(lines) + "\n"


def people(*uids: str) -> list[Person]:
    """Persons of these user names."""
    return [Person(uid) for uid in uids]


def group_entry(name: str, members: Sequence[str]) -> str:
    lines = [
        f"dn: cn={name},ou=groups,{BASE}",
        "objectClass: groupOfNames",
        f"cn: {name}",
        f"entryUUID: {uuid5(NAMESPACE_DNS, f'group {name}')}",
        *(f"member: uid={uid},ou=people,{BASE}" for uid in members),
    ]
    return "\n".join(lines) + "\n"


def export(persons: Sequence[Person], groups: Mapping[str, Sequence[str]]) -> str:
    """A whole export, complete to its last empty line."""
    head = (
        f"dn: {BASE}\nobjectClass: dcObject\ndc: acme\n\n"
        f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
        f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups\n"
    )
    entries = [person.entry() for person in persons]
    entries += [group_entry(name, members) for name, members in groups.items()]
    return "\n".join([head, *entries, ""])
