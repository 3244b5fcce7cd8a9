"""Exports that real servers wrote are read in full. What must come out is counted without our reader."""

import gzip
import io
import re
from pathlib import Path

import pytest

from directory.facts import Activity
from sync.dialects.dialect import DialectSettings
from sync.export_file import open_export
from sync.ldif_source import LDIFSource
from sync.outcome import Complete
from sync.snapshot import Snapshot, SnapshotGroup, SnapshotSettings
from tests.sync.builders import dialect, snapshot

PAYLOADS = Path(__file__).parent.parent / "payloads"
OPENLDAP = PAYLOADS / "openldap"
MS_AD = PAYLOADS / "ms_ad"


def counted(path: Path, pattern: str) -> int:
    """How many unfolded lines of an export fit the pattern."""
    text = gzip.decompress(path.read_bytes()).decode().replace("\n ", "")
    return len(re.findall(f"^{pattern}", text, re.MULTILINE))


def read(
    folder: Path, name: str, kind: str, settings: SnapshotSettings | None = None
) -> tuple[Snapshot, dict[str, Activity], dict[str, SnapshotGroup]]:
    """The snapshot, the activity of each user and the groups, both by name."""
    with open_export(folder, name) as export:
        reading = Snapshot(LDIFSource(export), dialect=dialect(kind), settings=settings)
        users = {reading.user_facts(user).user_name: user.activity for user in reading.users()}
        groups = {group.facts.display_name: group for group in reading.groups()}
    return reading, users, groups


def test_the_openldap_export_is_read_in_full() -> None:
    path = OPENLDAP / "openldap-2k.ldif.gz"

    reading, users, groups = read(OPENLDAP, path.name, "openldap")

    counts = reading.counts
    assert reading.outcome == Complete()
    assert counts.seen == counted(path, "dn:") == 2097
    assert counts.users == len(users) == counted(path, "objectClass: inetOrgPerson$") == 2000
    assert counts.groups == len(groups) == counted(path, "objectClass: (groupOfNames|posixGroup)$") == 89
    assert counts.rejected == 0
    assert (
        list(users.values()).count(Activity.DISABLED)
        == counted(path, "pwdAccountLockedTime: 000001010000Z$")
        == 40
    )
    assert counts.unknown_activity == 0


def test_the_openldap_export_s_members_are_all_resolved_but_the_ghost() -> None:
    path = OPENLDAP / "openldap-2k.ldif.gz"

    reading, _, groups = read(OPENLDAP, path.name, "openldap")

    listed = counted(path, "(member|memberUid): ")
    nested = counted(path, r"member: cn=[a-z0-9-]+,ou=groups,")
    coded = counted(path, "member:: ")
    assert sum(len(group.members) for group in groups.values()) == listed + coded - nested - 1 == 2958
    assert sum(len(group.subgroups) for group in groups.values()) == nested - 1 == 19
    assert reading.counts.dangling_members == 1
    assert max(len(group.members) for group in groups.values()) == 1200


def test_the_openldap_export_s_odd_groups_mean_what_they_say() -> None:
    _, _, groups = read(OPENLDAP, "odd-entries.ldif", "openldap")

    first, second = groups["case"].members
    assert groups["nest-leaf"].members == tuple(sorted((first, second)))
    assert groups["nest-top"].subgroups == (groups["nest-mid"].facts.external_id,)
    assert groups["cycle-a"].subgroups == (groups["cycle-b"].facts.external_id,)
    assert groups["cycle-b"].subgroups == (groups["cycle-a"].facts.external_id,)
    assert groups["self"][1:3] == ((), ())
    assert groups["dangling"].unresolved == 1
    assert len(groups["posix"].members) == 5


def test_the_openldap_export_s_shared_mails_are_reported() -> None:
    reading, _, _ = read(OPENLDAP, "odd-entries.ldif", "openldap")

    assert [shared.mail for shared in reading.counts.shared_mails] == [
        "u000011@example.org",
        "u000013@example.org",
    ]


def test_the_samba_export_is_read_in_full() -> None:
    path = MS_AD / "samba-ad-300.ldif.gz"

    reading, users, groups = read(MS_AD, path.name, "active_directory")

    built_in = 4  # Administrator, Guest, krbtgt, dns-dc1
    computers = counted(path, "objectClass: computer$")
    counts = reading.counts
    assert reading.outcome == Complete()
    assert counts.seen == counted(path, "dn:") == 369
    assert counts.users == len(users) == counted(path, "objectClass: user$") - built_in - computers == 300
    assert counts.groups == len(groups) == counted(path, "objectClass: group$") == 61
    assert counts.containers == counted(path, "objectClass: organizationalUnit$") == 3
    assert counts.ignored == {"built_in": built_in, "computer": computers}
    assert counts.rejected == 0
    # Seven accounts are 514; one of them is krbtgt, which came with the domain.
    assert list(users.values()).count(Activity.DISABLED) == counted(path, "userAccountControl: 514$") - 1 == 6
    assert counts.references == counted(path, "# refldap:") == 1


def test_the_samba_export_s_members_are_all_accounted_for() -> None:
    path = MS_AD / "samba-ad-300.ldif.gz"

    reading, users, groups = read(MS_AD, path.name, "active_directory")

    by_primary_group = groups.pop("Domain Users")
    assert len(by_primary_group.members) == counted(path, "primaryGroupID: 513$") - 3 == len(users)
    assert sum(len(group.members) for group in groups.values()) == counted(
        path, "member: CN=u[0-9]{6},OU=people,"
    )
    assert counted(path, "member::? ") == (
        sum(len(group.members) + len(group.subgroups) for group in groups.values())
        + len(by_primary_group.subgroups)
        + reading.counts.dangling_members
        + sum(reading.counts.ignored_members.values())
    )
    assert reading.counts.dangling_members == counted(path, "member: CN=S-1-5-") == 5
    assert reading.counts.missing_primary_groups == 0


def test_the_samba_export_s_ids_are_those_that_windows_shows() -> None:
    reading, _, groups = read(MS_AD, "built-in-entries.ldif", "active_directory")

    # objectGUID:: EyXUWvBrGEGTHCy4mXckzQ==
    assert groups["Domain Users"].facts.external_id == "5ad42513-6bf0-4118-931c-2cb8997724cd"
    assert reading.outcome == Complete()


def test_built_in_accounts_are_people_when_the_settings_say_so() -> None:
    with open_export(MS_AD, "built-in-entries.ldif") as export:
        reading = Snapshot(
            LDIFSource(export), dialect=dialect("active_directory", DialectSettings(include_built_in=True))
        )
        names = {reading.user_facts(user).user_name for user in reading.users()}

    assert {"Administrator", "Guest", "krbtgt", "dns-dc1"} <= names
    assert "DC1$" not in names


def test_a_part_of_the_tree_can_be_read_from_the_samba_export() -> None:
    settings = SnapshotSettings(
        user_bases=("ou=People,dc=ad,dc=example,dc=org",), group_bases=("ou=groups,dc=ad,dc=example,dc=org",)
    )

    reading, users, groups = read(MS_AD, "samba-ad-300.ldif.gz", "active_directory", settings)

    assert (len(users), len(groups)) == (300, 25)
    assert reading.counts.missing_primary_groups == 300
    assert reading.outcome == Complete()


@pytest.mark.parametrize("lines", [10, 500, 12_000, 41_000])
def test_the_head_of_an_export_is_never_taken_for_all_of_it(lines: int) -> None:
    text = gzip.decompress((OPENLDAP / "openldap-2k.ldif.gz").read_bytes())
    head = b"".join(io.BytesIO(text).readlines()[:lines])
    reading = snapshot(head)

    for _ in reading.users():
        pass

    assert reading.outcome != Complete()
