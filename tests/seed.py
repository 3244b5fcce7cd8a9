"""Writes an export of any size, the same each time: people and groups with everything odd that directories hold.

In the form of OpenLDAP, as ldapsearch writes it. The first people and the last groups are the odd ones; the real
exports in `payloads/` show the same shapes.
"""

import random
from base64 import b64encode
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from directory.ids import ExternalId

BASE: Final = "dc=example,dc=org"
PEOPLE: Final = f"ou=people,{BASE}"
GROUPS: Final = f"ou=groups,{BASE}"

GIVEN_NAMES: Final = ("Ada", "Björn", "Chloé", "Dmitri", "Elif", "Giulia", "Hiếu", "Katja", "Noor", "Ximena")
FAMILY_NAMES: Final = (
    "Andersen",
    "Brontë",
    "Çelik",
    "Dąbrowski",
    "Eriksson",
    "Großmann",
    "Ionescu",
    "Nguyễn",
    "Xu",
)
TITLES: Final = ("Engineer", "Manager", "Cleaner", "Coordinator", "Analyst", "Technician", "Nurse")
TOWNS: Final = ("Malmö", "Gothenburg", "Lyon", "Kraków")

# People whose entries are odd, by number.
COMMA, HASH, COMPOSED, DECOMPOSED, TWO_PART_NAME, TRAILING_SPACE = range(3, 9)
SAME_MAIL, CASE_VARIANT_MAIL, SEVERAL_MAILS, NO_MAIL, LONG_DESCRIPTION, PHOTO, INVALID_UTF8 = range(11, 18)
FIRST_PLAIN: Final = 20

_LINE: Final = 76
_DISABLED_EVERY: Final = 50
_MEMBERSHIPS_PER_USER: Final = 2.4
_SMALLEST_GROUP: Final = 3
_SPECIAL_GROUPS: Final = 10


@dataclass(frozen=True, slots=True)
class Seed:
    """What was written. `memberships` counts users directly in groups, `nestings` groups directly in groups."""

    users: int
    groups: int
    disabled: int
    memberships: int
    nestings: int
    dangling: int


def user_id(number: int) -> ExternalId:
    """The entryUUID of a person."""
    return ExternalId(f"{number:08x}-7a16-1041-8e76-a91c1cdb4b1a")


def group_id(number: int) -> ExternalId:
    """The entryUUID of a group. The last ten of an odd seed are the special ones."""
    return ExternalId(f"{number:08x}-7a16-1041-9694-a91c1cdb4b1a")


def user_dn(number: int, *, odd: bool = True) -> str:
    """The DN under which a person stands."""
    name = f"uid=u{number:06d}"
    if odd and number < FIRST_PLAIN:
        name = {
            COMMA: r"cn=Doe\2C Jane \2B Co",
            HASH: r"cn=\23hash user",
            COMPOSED: "cn=Zo\u00eb Gr\u00f6\u00dfe 5",
            DECOMPOSED: "cn=Jose\u0301 Nun\u0303ez 6",
            TWO_PART_NAME: f"cn=multi+uid=u{number:06d}",
            TRAILING_SPACE: r"cn=Trailing\20",
        }.get(number, name)
    return f"{name},{PEOPLE}"


def is_disabled(number: int) -> bool:
    """Two people of a hundred are locked for good."""
    return number % _DISABLED_EVERY == _DISABLED_EVERY - 1


def write_seed(
    path: Path,
    *,
    users: int,
    groups: int,
    large_group: int = 20_000,
    seed: int = 1,
    odd: bool = True,
    absent: Collection[int] = (),
    retitled: Collection[int] = (),
) -> Seed:
    """Write an export of `users` people and `groups` groups to `path`.

    The first group has `large_group` members, or all people when there are fewer; the sizes of the others follow
    Zipf's law, so that there are about 2.4 memberships for each person. `odd` makes the first people and the last
    ten groups odd. `absent` people are left out with their memberships, `retitled` ones have another title.

    Returns: what was written, counted.
    """
    if odd and (users < FIRST_PLAIN or groups < _SPECIAL_GROUPS):
        raise ValueError(f"an odd seed needs {FIRST_PLAIN} people and {_SPECIAL_GROUPS} groups at least")
    regular = groups - (_SPECIAL_GROUPS if odd else 0)
    sizes = list(_group_sizes(users, regular, large_group))
    chosen = random.Random(seed)
    memberships = nestings = 0
    with path.open("w", encoding="utf-8", newline="\n") as export:
        export.write("version: 1\n\n")
        _write_containers(export)
        for number in range(users):
            if number not in absent:
                export.write(
                    _user(number, odd=odd, title=TITLES[(number + (number in retitled)) % len(TITLES)])
                )
        for number, size in enumerate(sizes):
            members = [one for one in chosen.sample(range(users), size) if one not in absent]
            memberships += len(members)
            export.write(_group(number, f"g{number:04d}", [user_dn(one, odd=odd) for one in members]))
        if odd:
            special = list(_special_groups(regular, absent))
            for text, listed, nested in special:
                export.write(text)
                memberships += listed
                nestings += nested
        export.write("# pagedresults: cookie=\n")
    present = [number for number in range(users) if number not in absent]
    return Seed(
        len(present), groups, sum(map(is_disabled, present)), memberships, nestings, 1 if odd else 0
    )  # fmt: skip


def _group_sizes(users: int, groups: int, large_group: int) -> Iterator[int]:
    if groups <= 0:
        return
    first = min(large_group, users)
    yield first
    rest = max(users * _MEMBERSHIPS_PER_USER - first, 0)
    harmonic = sum(1 / rank for rank in range(1, groups)) or 1
    for rank in range(1, groups):
        yield min(users, max(_SMALLEST_GROUP, int(rest / harmonic / rank)))


def _write_containers(export: TextIO) -> None:
    uuid = "00000000-7a16-1041-9dbe-8babaa220a0{}"
    entries = (
        (
            BASE,
            [
                ("objectClass", "dcObject"),
                ("objectClass", "organization"),
                ("o", "Example"),
                ("dc", "example"),
            ],
        ),
        (f"cn=reader,{BASE}", [("objectClass", "organizationalRole"), ("cn", "reader")]),
        (PEOPLE, [("objectClass", "organizationalUnit"), ("ou", "people")]),
        (GROUPS, [("objectClass", "organizationalUnit"), ("ou", "groups")]),
    )
    for number, (dn, values) in enumerate(entries):
        export.write(_entry(dn, [*values, ("entryUUID", uuid.format(number))]))


def _user(number: int, *, odd: bool, title: str) -> str:
    given = GIVEN_NAMES[number % len(GIVEN_NAMES)]
    family = FAMILY_NAMES[number // len(GIVEN_NAMES) % len(FAMILY_NAMES)]
    uid = f"u{number:06d}"
    values: list[tuple[str, str | bytes]] = [
        ("objectClass", "inetOrgPerson"),
        ("uid", uid),
        ("cn", f"{given} {family}"),
        ("givenName", given),
        ("sn", family),
        ("displayName", f"{given} {family}"),
        ("mail", f"{uid}@example.org"),
        ("employeeNumber", str(number)),
        ("departmentNumber", f"dept{number % 40}"),
        ("telephoneNumber", f"+46 8 {number:07d}"),
        ("title", title),
        ("l", TOWNS[number % len(TOWNS)]),
        ("entryUUID", user_id(number)),
        ("modifyTimestamp", "20261121164215Z"),
    ]
    if odd and number < FIRST_PLAIN:
        values = _made_odd(number, values)
    if is_disabled(number):
        values.append(("pwdAccountLockedTime", "000001010000Z"))
    return _entry(user_dn(number, odd=odd), values)


def _made_odd(number: int, values: list[tuple[str, str | bytes]]) -> list[tuple[str, str | bytes]]:
    mails = {
        SAME_MAIL: [f"u{SAME_MAIL - 1:06d}@example.org"],
        CASE_VARIANT_MAIL: [f"U{CASE_VARIANT_MAIL - 2:06d}@EXAMPLE.ORG"],
        SEVERAL_MAILS: [f"u{SEVERAL_MAILS:06d}@example.org", "second@example.org", "third@example.org"],
        NO_MAIL: [],
    }
    if number in mails:
        values = [value for value in values if value[0] != "mail"]
        values += [("mail", mail) for mail in mails[number]]
    if number == LONG_DESCRIPTION:
        values.append(("description", "long text " * 20_000))
    if number == PHOTO:
        values.append(("jpegPhoto", bytes(range(256)) * 40))
    if number == INVALID_UTF8:
        values.append(("preferredLanguage", b"sv\xff"))
    return values


def _special_groups(first: int, absent: Collection[int]) -> Iterator[tuple[str, int, int]]:
    """Each special group with the people and the groups in it."""

    def people(*numbers: int) -> list[str]:
        return [user_dn(number) for number in numbers if number not in absent]

    def group(name: str) -> str:
        return f"cn={name},{GROUPS}"

    spaced = [
        f"UID=U{number:06d} , OU=PEOPLE , DC=EXAMPLE , DC=ORG" for number in (1, 2) if number not in absent
    ]
    escaped = people(COMMA, HASH, COMPOSED, DECOMPOSED, TWO_PART_NAME, TRAILING_SPACE)
    variants = [
        dn.replace(r"\2C", r"\,").replace("\u00eb", r"\C3\AB").replace("e\u0301", "\u00e9") for dn in escaped
    ]
    listed: list[tuple[str, list[str], int, list[str], int]] = [
        ("nest-top", [], 0, [group("nest-mid")], 1),
        ("nest-mid", people(0), len(people(0)), [group("nest-leaf")], 1),
        ("nest-leaf", people(1, 2), len(people(1, 2)), [], 0),
        ("cycle-a", people(1), len(people(1)), [group("cycle-b")], 1),
        ("cycle-b", people(2), len(people(2)), [group("cycle-a")], 1),
        ("self", people(0), len(people(0)), [group("self")], 0),
        ("dangling", [f"uid=ghost,{PEOPLE}", *people(0)], len(people(0)), [], 0),
        ("case", spaced, len(spaced), [], 0),
        ("escapes", variants, len(variants), [], 0),
    ]
    for offset, (name, users, user_count, groups, group_count) in enumerate(listed):
        yield _group(first + offset, name, [*groups, *users]), user_count, group_count
    uids = [f"u{number:06d}" for number in range(5) if number not in absent]
    values = [("objectClass", "posixGroup"), ("cn", "posix"), ("gidNumber", "5000")]
    values += [("memberUid", uid) for uid in uids]
    number = first + len(listed)
    yield _entry(group("posix"), [*values, ("entryUUID", group_id(number))]), len(uids), 0


def _group(number: int, name: str, members: list[str]) -> str:
    head = _entry(f"cn={name},{GROUPS}", [("objectClass", "groupOfNames"), ("cn", name)]).removesuffix("\n")
    lines = "".join(f"member: {dn}\n" if dn.isascii() else _line("member", dn) for dn in members)
    return f"{head}{lines}entryUUID: {group_id(number)}\nmodifyTimestamp: 20261121164215Z\n\n"


def _entry(dn: str, values: Collection[tuple[str, str | bytes]]) -> str:
    return _line("dn", dn) + "".join([_line(name, value) for name, value in values]) + "\n"


def _line(name: str, value: str | bytes) -> str:
    """One attribute as ldapsearch writes it: base64 for all that is not plain text, folded at 76."""
    if isinstance(value, str) and value.isascii() and not value.endswith(" "):
        line = f"{name}: {value}"
    else:
        raw = value.encode() if isinstance(value, str) else value
        line = f"{name}:: {b64encode(raw).decode()}"
    if len(line) <= _LINE:
        return line + "\n"
    rest = (line[start : start + _LINE - 1] for start in range(_LINE, len(line), _LINE - 1))
    return "\n ".join([line[:_LINE], *rest]) + "\n"
