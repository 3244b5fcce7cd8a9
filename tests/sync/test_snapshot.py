"""What a reading says of users and groups, and when it may be taken for all there is."""

import gzip
import io
import random
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.facts import Activity
from directory.ids import ExternalId
from sync.ldif_reader import LDIFLimits
from sync.outcome import Complete, Failed, Outcome, Partial
from sync.snapshot import Snapshot, SnapshotGroup, SnapshotSettings
from tests.seed import NO_MAIL, SEVERAL_MAILS, group_id, is_disabled, user_id, write_seed
from tests.sync.builders import NOW, Text, dialect, eid, group, person, snapshot, uuid


def drained(reading: Snapshot) -> dict[str, SnapshotGroup]:
    """Read everything; the groups by name."""
    for _ in reading.users():
        pass
    return {one.facts.display_name: one for one in reading.groups()}


def outcome_of(content: str | bytes | Text, **settings: object) -> Outcome:
    reading = snapshot(content, settings=SnapshotSettings(**settings))  # type: ignore[arg-type]  # as the test says
    drained(reading)
    return reading.outcome


def partial_reason(content: str | bytes | Text, **settings: object) -> str:
    outcome = outcome_of(content, **settings)
    assert isinstance(outcome, Partial), outcome
    return outcome.reason


# Users and groups.


def test_users_come_in_the_file_s_order_and_groups_after_them() -> None:
    reading = snapshot(
        group(9, "early", "ada") + person(1, "ada") + person(2, "eve") + group(8, "late", "eve", "ada")
    )

    assert [user.external_id for user in reading.users()] == [eid(1), eid(2)]
    groups = list(reading.groups())
    assert [one.facts.display_name for one in groups] == ["early", "late"]
    assert [one.members for one in groups] == [(eid(1),), (eid(1), eid(2))]
    assert reading.outcome == Complete()


def test_facts_are_built_for_those_who_ask() -> None:
    reading = snapshot(person(1, "ada", cn="Ada L", mail="ada@x.org", title="Lead"))

    (user,) = reading.users()
    facts = reading.user_facts(user)

    assert (facts.external_id, facts.user_name, facts.display_name) == (eid(1), "ada", "Ada L")
    assert (facts.mails, facts.dn) == (("ada@x.org",), "uid=ada,ou=people,o=x")
    assert facts.attributes == {"title": ("Lead",)}


def test_nested_groups_cycles_included_are_subgroups_and_a_group_in_itself_says_nothing() -> None:
    groups = drained(
        snapshot(
            group(1, "top", "cn=mid,ou=groups,o=x", "CN=top, ou=groups, o=x")
            + group(2, "mid", "cn=top,ou=groups,o=x", "ada")
            + person(3, "ada")
        )
    )

    assert groups["top"][1:3] == ((), (eid(2),))
    assert groups["mid"][1:3] == ((eid(3),), (eid(1),))


@pytest.mark.parametrize(
    "member",
    [
        "UID=ADA , OU=People , O=X",
        r"uid=\61da,ou=people,o=x",
        "uid=ada;ou=people;o=x",
        'uid="ada",ou=people,o=x',
    ],
)
def test_a_member_dn_in_another_spelling_is_the_same_person(member: str) -> None:
    assert drained(snapshot(person(1, "ada") + group(2, "g", member)))["g"].members == (eid(1),)


def test_a_member_listed_twice_is_in_the_group_once() -> None:
    assert drained(snapshot(person(1, "ada") + group(2, "g", "ada", "ada")))["g"].members == (eid(1),)


def test_members_that_nobody_answers_to_are_counted_and_ignored() -> None:
    reading = snapshot(
        person(1, "ada") + group(2, "g", "ada", "ghost", "ou=people,o=x", "garbage=") + container()
    )

    g = drained(reading)["g"]

    assert g.members == (eid(1),)
    assert (g.unresolved, reading.counts.dangling_members) == (2, 2)
    assert reading.counts.ignored_members == {"container": 1}
    assert reading.outcome == Complete()


def container(dn: str = "ou=people,o=x") -> str:
    return f"dn: {dn}\nobjectClass: organizationalUnit\nentryUUID: {uuid(99)}\n\n"


def test_computers_and_contacts_are_counted_as_ignored_members() -> None:
    content = (
        "dn: CN=PC1,O=x\nobjectClass: user\nobjectClass: computer\nsAMAccountName: PC1$\n\n"
        "dn: CN=Shop,O=x\nobjectClass: contact\n\n"
        "dn: CN=G,O=x\nobjectClass: group\ncn: G\nobjectGUID:: AAAAAAAAAAAAAAAAAAAAAA==\n"
        "member: CN=PC1,O=x\nmember: CN=Shop,O=x\n\n"
    )
    reading = snapshot(content, read_by=dialect("active_directory"))

    groups = drained(reading)

    assert groups["G"].members == ()
    assert reading.counts.ignored == reading.counts.ignored_members == {"computer": 1, "contact": 1}


def test_a_posix_group_lists_people_by_uid() -> None:
    posix = posix_group("ada", "EVE", "ghost")

    reading = snapshot(posix + person(1, "ada") + person(2, "eve"))

    assert drained(reading)["posix"].members == (eid(1), eid(2))
    assert reading.counts.dangling_members == 1


def posix_group(*uids: str) -> str:
    lines = "".join(f"memberUid: {uid}\n" for uid in uids)
    return f"dn: cn=posix,o=x\nobjectClass: posixGroup\ncn: posix\nentryUUID: {uuid(50)}\n{lines}\n"


def test_a_uid_of_two_people_is_reported_and_not_guessed() -> None:
    twins = person(1, "ada") + person(2, "ada", dn="uid=ada,ou=other,o=x")
    second = posix_group("ada").replace("cn=posix", "cn=posix2").replace(uuid(50), uuid(51))

    reading = snapshot(twins + posix_group("ada") + second)
    groups = drained(reading)

    assert groups["posix"].members == ()
    assert groups["posix"].unresolved == 1
    assert (reading.counts.ambiguous_members, reading.counts.ambiguous_uids) == (2, ["ada"])
    assert reading.counts.users == 2


def test_mails_of_two_people_are_reported_and_both_are_kept() -> None:
    reading = snapshot(person(1, mail="a@x.org") + person(2, mail="A@X.org") + person(3, mail="b@x.org"))

    assert len(list(reading.users())) == 3
    assert reading.counts.shared_mail == 1
    assert reading.counts.shared_mails == [("A@X.org", 1, 7)]
    assert reading.outcome == Complete()


def test_one_person_may_have_one_mail_twice() -> None:
    reading = snapshot(person(1, mail="a@x.org\nmail: A@x.org"))

    drained(reading)

    assert reading.counts.shared_mail == 0


def test_a_person_of_unknown_activity_is_counted() -> None:
    reading = snapshot(person(1, pwdAccountLockedTime="soon") + person(2))

    assert [user.activity for user in reading.users()] == [Activity.UNKNOWN, Activity.ACTIVE]
    assert reading.counts.unknown_activity == 1


# Fingerprints.


def prints(content: str) -> list[bytes]:
    return [user.fingerprint for user in snapshot(content).users()]


def test_a_second_reading_gives_the_same_fingerprints() -> None:
    content = person(1, mail="a@x.org", title="Lead") + group(2, "g", "u1")

    assert prints(content) == prints(content)
    assert drained(snapshot(content)) == drained(snapshot(content))


def test_a_fingerprint_does_not_change_with_order_lines_or_attributes_that_nobody_maps() -> None:
    first = person(1, mail="a@x.org\nmail: b@x.org", title="Lead")
    second = "# moved\n\n" + person(1, title="Lead", telephoneNumber="1", mail="b@x.org\nmail: a@x.org")

    assert prints(first) == prints(second)


@pytest.mark.parametrize(
    "changed",
    [
        person(1, title="Boss"),
        person(1, title="Lead", mail="a@x.org"),
        person(1),
        person(1, title="Lead", dn="uid=u1,ou=moved,o=x"),
        person(1, title="Lead", pwdAccountLockedTime="000001010000Z"),
        person(1, title="Lead\ntitle: Boss"),
    ],
)
def test_a_fingerprint_changes_with_whatever_facts_are_made_of(changed: str) -> None:
    assert prints(person(1, title="Lead")) != prints(changed)


def test_an_account_that_expires_changes_without_its_entry_changing() -> None:
    end = (NOW + timedelta(days=10)).toordinal() - 719163
    content = person(1, shadowExpire=str(end))

    before = list(snapshot(content).users())
    after = list(snapshot(content, read_by=dialect(now=NOW + timedelta(days=11))).users())

    assert [user.activity for user in before + after] == [Activity.ACTIVE, Activity.DISABLED]
    assert before[0].fingerprint != after[0].fingerprint


def test_a_group_s_fingerprint_changes_with_its_name_and_members_and_not_with_their_order() -> None:
    people = person(1, "ada") + person(2, "eve") + group(7, "sub")

    def of(text: str) -> bytes:
        (g,) = [one for one in drained(snapshot(people + text)).values() if one.facts.external_id == eid(3)]
        return g.fingerprint

    same = {of(group(3, "g", "ada", "eve")), of(group(3, "g", "eve", "ada", "UID=ada,ou=people,o=x"))}
    others = {
        of(group(3, "h", "ada", "eve")),
        of(group(3, "g", "ada")),
        of(group(3, "g", "ada", "eve", "cn=sub,ou=groups,o=x")),
    }
    assert len(same) == 1
    assert len(others) == 3
    assert not same & others


# Entries that are not taken over.


def test_an_entry_with_broken_base64_is_rejected_alone_and_its_owner_protected() -> None:
    reading = snapshot(person(1, "ada") + person(2, "eve", cn="x\nsn:: !!!") + group(3, "g", "ada", "eve"))

    groups = drained(reading)

    assert (reading.counts.users, reading.counts.rejected) == (1, 1)
    assert reading.counts.rejections == [(11, "uid=eve,ou=people,o=x", "the value is not base64")]
    assert reading.protected == {eid(2)}
    assert groups["g"].members == (eid(1), eid(2))
    assert reading.outcome == Complete()


def test_a_rejected_person_stays_in_the_groups_that_list_the_uid() -> None:
    reading = snapshot(person(1, "ada", sn="!").replace("sn:", "sn::") + person(2) + posix_group("ada"))

    assert drained(reading)["posix"].members == (eid(1),)
    assert reading.protected == {eid(1)}


def test_a_rejected_group_is_protected_and_stays_where_it_is_nested() -> None:
    broken = group(2, "sub", "u1").replace("cn: sub", "cn:: !")
    reading = snapshot(person(1) + broken + group(3, "top", "cn=sub,ou=groups,o=x"))

    groups = drained(reading)

    assert groups.keys() == {"top"}
    assert reading.protected == {eid(2)}
    assert groups["top"].subgroups == (eid(2),)


def test_a_group_without_a_readable_name_is_protected() -> None:
    nameless = f"dn: cn=g,o=x\nobjectClass: groupOfNames\nentryUUID: {uuid(2)}\n\n"
    reading = snapshot(person(1) + nameless + group(3, "top", "cn=g,o=x"))

    groups = drained(reading)

    assert reading.protected == {eid(2)}
    assert groups["top"].subgroups == (eid(2),)
    assert reading.counts.rejections == [(6, "cn=g,o=x", "the group has no readable cn")]


def test_an_entry_that_cannot_be_identified_leaves_the_snapshot_partial() -> None:
    content = person(1) + "dn: uid=eve,ou=people,o=x\nobjectClass: inetOrgPerson\nuid: eve\n\n"

    reading = snapshot(content)
    drained(reading)

    assert reading.outcome == Partial("the entry rejected on line 6 cannot be identified")
    assert "the entry holds no entryuuid" in reading.counts.rejections[0].reason


def test_an_export_without_ids_has_failed_and_says_what_to_export() -> None:
    content = "".join(person(number).replace("entryUUID", "uidNumber") for number in range(3))

    outcome = outcome_of(content)

    assert isinstance(outcome, Failed)
    assert "export this attribute as well" in outcome.reason


def test_an_export_read_in_the_wrong_dialect_has_failed_and_says_so() -> None:
    of_active_directory = "dn: CN=Ada,O=x\nobjectClass: user\ncn: Ada\n\n"

    assert outcome_of(container() + of_active_directory) == Failed(
        "no entry is a user or a group in the dialect 'openldap'; check the dialect"
    )


def test_an_export_of_containers_alone_is_a_complete_one_of_nobody() -> None:
    assert outcome_of(container()) == Complete()


def test_a_damaged_entry_of_no_concern_leaves_no_doubt() -> None:
    assert outcome_of(person(1) + "dn: cn=pc\nobjectClass: device\nno colon\n\n") == Complete()


@pytest.mark.parametrize("value", ["not-an-id", uuid(7) + "\nentryUUID: " + uuid(8), uuid(7)[:-1], "\0" * 36])
def test_an_id_that_cannot_be_read_rejects_its_entry_alone(value: str) -> None:
    reading = snapshot(person(1) + person(2, entryUUID=value))

    drained(reading)

    assert (reading.counts.users, reading.counts.rejected) == (1, 1)
    assert isinstance(reading.outcome, Partial)


def test_nul_bytes_in_a_dn_reject_the_entry_alone() -> None:
    reading = snapshot(person(1) + person(2, dn="uid=e\0ve,o=x"))

    drained(reading)

    assert reading.counts.rejections == [(6, "", "the dn holds a NUL byte")]
    assert reading.protected == {eid(2)}


def test_the_second_of_two_entries_of_one_id_is_rejected_and_both_lines_are_named() -> None:
    reading = snapshot(
        person(1, "ada") + person(1, "eve") + group(2, "g", "ada", "eve") + group(2, "h", "ada")
    )

    users = list(reading.users())
    (g,) = reading.groups()

    assert [reading.user_facts(user).user_name for user in users] == ["ada"]
    assert g.facts.display_name == "g"
    assert g.members == (eid(1),)
    assert [rejection.number for rejection in reading.counts.rejections] == [6, 18]
    assert f"the id {eid(1)} is that of the entry on line 1 already" in reading.counts.rejections[0].reason
    assert reading.outcome == Partial(
        "the entries on lines 1 and 6 have the same id; the entries on lines 11 and 18 have the same id"
    )


def test_a_user_and_a_group_may_have_the_same_id_text() -> None:
    assert outcome_of(person(1, "ada") + group(1, "g", "ada")) == Complete()


def test_a_dn_of_two_entries_names_neither() -> None:
    reading = snapshot(person(1, "ada") + person(2, "ada") + person(3, "ada") + group(4, "g", "ada"))

    users = list(reading.users())
    (g,) = reading.groups()

    assert [user.external_id for user in users] == [eid(1)]
    assert reading.protected == {eid(2), eid(3)}
    assert g.members == ()
    assert g.unresolved == 1
    assert isinstance(reading.outcome, Partial)


def test_only_the_first_hundred_rejections_are_kept() -> None:
    content = person(1) + "".join(
        f"dn: uid=n{number},o=x\nobjectClass: inetOrgPerson\n\n" for number in range(150)
    )

    reading = snapshot(content)
    drained(reading)

    assert (reading.counts.rejected, len(reading.counts.rejections)) == (150, 100)


def test_shared_mails_and_ambiguous_uids_are_kept_up_to_a_hundred() -> None:
    people = "".join(
        person(number, f"n{number % 120}", dn=f"cn={number},o=x", mail="a@x.org") for number in range(240)
    )

    reading = snapshot(people + posix_group(*(f"n{number}" for number in range(120))))
    drained(reading)

    assert (reading.counts.shared_mail, len(reading.counts.shared_mails)) == (239, 100)
    assert (reading.counts.ambiguous_members, len(reading.counts.ambiguous_uids)) == (120, 100)


# Bases.


def test_entries_outside_the_bases_are_ignored_and_so_are_members_there() -> None:
    content = (
        container()
        + container("ou=groups,o=x")
        + person(1, "ada")
        + person(2, "eve", dn="uid=eve,ou=other,o=x")
        + person(3, "kim", dn="uid=kim,ou=groups,o=x")
        + group(4, "g", "ada", "uid=eve,ou=other,o=x", "uid=kim,ou=groups,o=x")
        + group(5, "h").replace("ou=groups", "ou=people")
    )
    reading = snapshot(
        content, settings=SnapshotSettings(user_bases=("OU=People, O=x",), group_bases=("ou=groups,o=x",))
    )

    groups = drained(reading)

    assert (reading.counts.users, reading.counts.groups) == (1, 1)
    assert groups["g"].members == (eid(1),)
    assert reading.counts.ignored == {"outside_base": 3}
    assert reading.counts.ignored_members == {"outside_base": 2}
    assert reading.outcome == Complete()


def test_a_damaged_entry_outside_the_bases_is_of_no_concern() -> None:
    content = container() + person(1) + "dn: uid=eve,ou=other,o=x\nno colon\n\n"

    assert outcome_of(content, user_bases=("ou=people,o=x",), group_bases=("ou=people,o=x",)) == Complete()


def test_a_base_that_is_not_in_the_file_leaves_the_snapshot_partial() -> None:
    reason = partial_reason(person(1), user_bases=("ou=people,o=x",))

    assert reason == "the base 'ou=people,o=x' is not in the file"


# Endings.


def test_a_file_cut_inside_an_entry_is_partial() -> None:
    content = person(1) + person(2)

    for end in range(len(person(1)) + 1, len(content) - 1):
        assert isinstance(outcome_of(content[:end]), Partial)


def test_a_last_entry_without_an_empty_line_is_protected_and_the_snapshot_partial() -> None:
    reading = snapshot((person(1) + person(2))[:-1])

    drained(reading)

    assert reading.counts.users == 1
    assert reading.protected == {eid(2)}
    assert reading.outcome == Partial("no empty line follows the last entry; add one if the export is whole")


def test_a_checksum_vouches_for_the_last_entry() -> None:
    reading = snapshot(Text((person(1) + person(2))[:-1], vouched=True))

    drained(reading)

    assert reading.counts.users == 2
    assert reading.outcome == Complete()


def test_what_the_exporting_tool_says_of_itself_leaves_the_snapshot_partial() -> None:
    assert "Size limit" in partial_reason(person(1) + "search: 2\nresult: 4 Size limit exceeded\n\n")
    assert "cookie" in partial_reason(person(1) + "# pagedresults: cookie=AA=\n")


def test_a_doubt_of_the_source_leaves_the_snapshot_partial() -> None:
    assert partial_reason(Text(person(1), doubted="the file changed while it was read")) == (
        "the file changed while it was read"
    )


def test_a_record_of_changes_fails_the_snapshot_and_names_the_line() -> None:
    outcome = outcome_of(person(1) + "dn: uid=u1,o=x\nchangetype: delete\n\n")

    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("line 7: ")


@pytest.mark.parametrize("content", ["", "version: 1\n", "# nothing\n\n"])
def test_a_file_without_entries_has_failed(content: str) -> None:
    assert outcome_of(content) == Failed("the file holds no entry")


def test_a_reading_that_was_given_up_has_failed() -> None:
    reading = snapshot(person(1) + person(2))

    next(iter(reading.users()))

    assert reading.outcome == Failed("the reading was given up")


class Broken(io.BytesIO):
    """A stream whose disk fails after the first piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError("input/output error")
        return super().read(size)


def test_a_source_that_cannot_be_read_on_has_failed() -> None:
    source = Text("")
    source.stream = Broken(person(1).encode())

    assert outcome_of(source) == Failed("the export cannot be read: input/output error")


def test_a_packed_file_that_is_cut_is_partial_and_one_that_is_damaged_has_failed() -> None:
    packed = gzip.compress(b"".join(person(number).encode() for number in range(20_000)))
    cut, short, damaged = Text(""), Text(""), Text("")
    short.stream = gzip.GzipFile(fileobj=io.BytesIO(packed[:100]))
    cut.stream = gzip.GzipFile(fileobj=io.BytesIO(packed[:-100]))
    damaged.stream = gzip.GzipFile(fileobj=io.BytesIO(packed[:200] + b"\xff" * 50 + packed[250:]))

    assert outcome_of(cut) == Partial("the packed file ends early")
    assert outcome_of(short) == Failed("the packed file ends early")
    assert isinstance(outcome_of(damaged), Failed)


def test_an_entry_over_the_limits_is_rejected_alone() -> None:
    large = group(2, "large", *(f"u{number}" for number in range(200)))

    reading = snapshot(person(1) + large, limits=LDIFLimits(entry_bytes=2000))
    drained(reading)

    assert (reading.counts.users, reading.counts.groups, reading.counts.rejected) == (1, 0, 1)


# References.


@pytest.mark.parametrize(
    ("reference", "settings", "is_gap"),
    [
        ("refldap://dc.x.org/CN=Configuration,DC=x", {}, False),
        ("refldap://dc.x.org/DC=DomainDnsZones,DC=x", {}, False),
        ("refldap://dc.x.org/ou=branch,o=x", {}, True),
        ("refldap://dc.x.org/ou=bran%63h,o=x??sub", {"ignored_references": ("OU=branch,o=x",)}, False),
        ("refldap://dc.x.org/ou=other,o=x", {"ignored_references": ("ou=branch,o=x",)}, True),
        ("refldap://dc.x.org/ou=a,ou=people,o=x", {"user_bases": ("ou=people,o=x",)}, True),
        ("refldap://dc.x.org/o=x", {"user_bases": ("ou=people,o=x",)}, True),
        ("refldap://dc.x.org/ou=elsewhere,o=x", {"user_bases": ("ou=people,o=x",)}, False),
    ],
)
def test_a_reference_inside_a_base_is_a_gap_unless_it_is_ignored(
    reference: str, settings: dict[str, tuple[str, ...]], *, is_gap: bool
) -> None:
    content = container() + person(1) + f"# {reference}\n\n"

    reading = snapshot(content, settings=SnapshotSettings(**settings))
    drained(reading)

    assert reading.counts.references == 1
    assert isinstance(reading.outcome, Partial if is_gap else Complete)


# The seed: everything odd at once.


def seeded(folder: Path, *, users: int = 400, groups: int = 30) -> bytes:
    path = folder / "seed.ldif"
    write_seed(path, users=users, groups=groups, large_group=200)
    return path.read_bytes()


def test_a_seed_reads_as_it_was_written(tmp_path: Path) -> None:
    written = write_seed(tmp_path / "seed.ldif", users=400, groups=30, large_group=200)
    reading = snapshot((tmp_path / "seed.ldif").read_bytes())

    users = {user.external_id: reading.user_facts(user) for user in reading.users()}
    groups = list(reading.groups())

    assert (len(users), len(groups)) == (written.users, written.groups) == (400, 30)
    assert sum(len(one.members) for one in groups) == written.memberships
    assert sum(len(one.subgroups) for one in groups) == written.nestings
    assert reading.counts.dangling_members == written.dangling
    assert [user_id(number) for number in range(400) if is_disabled(number)] == [
        external_id for external_id, user in users.items() if user.activity is Activity.DISABLED
    ]
    assert users[user_id(NO_MAIL)].mails == ()
    assert len(users[user_id(SEVERAL_MAILS)].mails) == 3
    assert reading.outcome == Complete()


def test_names_in_other_spellings_lead_to_the_same_people(tmp_path: Path) -> None:
    groups = drained(snapshot(seeded(tmp_path)))

    assert groups["case"].members == (user_id(1), user_id(2))
    assert groups["escapes"].members == tuple(user_id(number) for number in range(3, 9))
    assert groups["posix"].members == tuple(user_id(number) for number in range(5))
    assert groups["self"].subgroups == ()
    assert groups["cycle-a"].subgroups == (groups["cycle-b"].facts.external_id,)
    assert groups["nest-top"].facts.external_id == group_id(20)


def test_a_seed_may_lack_people_and_give_others_another_title(tmp_path: Path) -> None:
    before = {user.external_id: user.fingerprint for user in snapshot(seeded(tmp_path)).users()}
    path = tmp_path / "later.ldif"
    write_seed(path, users=400, groups=30, large_group=200, absent={1, 30}, retitled={40})

    reading = snapshot(path.read_bytes())
    after = {user.external_id: user.fingerprint for user in reading.users()}

    assert before.keys() - after.keys() == {user_id(1), user_id(30)}
    assert [key for key in after if after[key] != before[key]] == [user_id(40)]
    assert reading.outcome == Complete()


def test_a_seed_without_odd_entries_may_have_any_size(tmp_path: Path) -> None:
    path = tmp_path / "plain.ldif"

    assert write_seed(path, users=1, groups=0, odd=False).users == 1
    assert write_seed(path, users=5, groups=1, odd=False).memberships == 5
    with pytest.raises(ValueError, match="an odd seed needs"):
        write_seed(path, users=5, groups=1)


@given(st.randoms(use_true_random=False))
def test_the_order_of_entries_makes_no_difference(chosen: random.Random) -> None:
    records = [
        *(person(number) for number in range(6)),
        *(
            group(10 + number, f"g{number}", f"u{number}", "u0", f"cn=g{5 - number},ou=groups,o=x")
            for number in range(6)
        ),
        posix_group("u3", "u4"),
    ]
    expected = {one.facts.external_id: one for one in drained(snapshot("".join(records))).values()}
    chosen.shuffle(records)

    reading = snapshot("".join(records))
    read = {one.facts.external_id: one for one in drained(reading).values()}

    assert read == expected
    assert reading.outcome == Complete()


@given(st.integers(min_value=0), st.sampled_from(b"\0\n\r :=,#d"))
def test_one_damaged_byte_makes_at_most_one_person_vanish_from_a_complete_snapshot(
    position: int, byte: int
) -> None:
    content = bytearray(
        "".join(person(number, cn=f"N {number}", title="Lead") for number in range(8)).encode()
    )
    content[position % len(content)] = byte
    reading = snapshot(bytes(content))

    seen = {user.external_id for user in reading.users()} | reading.protected

    missing = {eid(number) for number in range(8)} - seen
    # One at most: a byte may turn an id into another one, a class into none that counts, a dn into a comment.
    assert len(missing) <= 1 or not isinstance(reading.outcome, Complete)


def test_reading_keeps_no_entry_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "seed.ldif"
    write_seed(path, users=20_000, groups=50, large_group=8_000)
    reading = snapshot(path.read_bytes())
    tracemalloc.start()

    count = sum(1 for _ in reading.users())
    members = sum(len(one.members) for one in reading.groups())

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, members > 40_000) == (20_000, True)
    assert peak < 30 << 20


def test_ids_are_the_directory_s_and_opaque() -> None:
    (user,) = snapshot(person(1, entryUUID=uuid(1).upper())).users()

    assert user.external_id == ExternalId(uuid(1))
