"""What makes an entry a user or a group, and which attribute becomes which fact."""

from base64 import b64encode

import pytest

from directory.facts import Activity, UserFacts
from sync.dialects import DIALECTS, make_dialect
from sync.dialects.dialect import (
    ContainerEntry,
    DialectSettings,
    DirectoryEntry,
    GroupEntry,
    IgnoredEntry,
    UserEntry,
)
from sync.errors import DialectError, EntryError
from tests.sync.builders import NOW, dialect, eid, entry, group, person, uuid


def read(text: str, *, settings: DialectSettings | None = None, name: str = "openldap") -> DirectoryEntry:
    return dialect(name, settings).read(entry(text))


def facts(text: str, *, settings: DialectSettings | None = None, name: str = "openldap") -> UserFacts:
    reader = dialect(name, settings)
    user = reader.read(entry(text))
    assert isinstance(user, UserEntry)
    return reader.user_facts(user)


def read_group(text: str, *, settings: DialectSettings | None = None, name: str = "openldap") -> GroupEntry:
    found = read(text, settings=settings, name=name)
    assert isinstance(found, GroupEntry)
    return found


def of_classes(*classes: str, name: str = "openldap") -> DirectoryEntry:
    lines = "".join(f"objectClass: {one}\n" for one in classes)
    ids = f"entryUUID: {uuid(1)}\nobjectGUID: {uuid(1)}\n"
    return read(f"dn: cn=a,o=x\n{lines}cn: a\nuid: a\nsAMAccountName: a\n{ids}\n", name=name)


# The kind of an entry.


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (["top", "inetOrgPerson"], UserEntry),
        (["INETORGPERSON"], UserEntry),
        (["account", "posixAccount"], UserEntry),
        (["groupOfNames"], GroupEntry),
        (["groupOfUniqueNames"], GroupEntry),
        (["posixGroup"], GroupEntry),
        (["groupOfNames", "posixGroup"], GroupEntry),
        (["organizationalUnit"], ContainerEntry),
        (["organization", "dcObject"], ContainerEntry),
        (["pwdPolicy", "device"], IgnoredEntry),
        (["person"], IgnoredEntry),
        (["organizationalRole", "simpleSecurityObject"], IgnoredEntry),
    ],
)
def test_the_object_class_decides_in_openldap(classes: list[str], kind: type) -> None:
    assert isinstance(of_classes(*classes), kind)


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (["top", "person", "organizationalPerson", "user"], UserEntry),
        (["top", "person", "organizationalPerson", "user", "computer"], IgnoredEntry),
        (["top", "person", "organizationalPerson", "contact"], IgnoredEntry),
        (["top", "foreignSecurityPrincipal"], IgnoredEntry),
        (["top", "group"], GroupEntry),
        (["top", "organizationalUnit"], ContainerEntry),
        (["top", "container"], ContainerEntry),
    ],
)
def test_the_object_class_decides_in_active_directory(classes: list[str], kind: type) -> None:
    assert isinstance(of_classes(*classes, name="active_directory"), kind)


def test_an_ignored_entry_says_why() -> None:
    reasons = [
        of_classes("pwdPolicy", "device"),
        of_classes("organizationalRole"),
        of_classes("top"),
        of_classes("user", "computer", name="active_directory"),
    ]

    assert [one.reason for one in reasons if isinstance(one, IgnoredEntry)] == [
        "policy",
        "service",
        "other",
        "computer",
    ]


def test_more_sets_of_classes_than_a_server_has_are_told_apart_all_the_same() -> None:
    reader = dialect()

    for number in range(5000):
        found = reader.read(entry(f"dn: cn=a\nobjectClass: made-up-{number}\nobjectClass: inetOrgPerson\n"
                                  f"uid: a\nentryUUID: {uuid(1)}\n\n"))  # fmt: skip
        assert isinstance(found, UserEntry)


# What cannot be taken over.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dn: uid=a\nuid: a\n\n", "no objectClass"),
        ("dn: uid=a\nobjectClass: inetOrgPerson\nuid: a\n\n", "holds no entryuuid"),
        (person(1, entryUUID="x"), "value of entryuuid"),
        (person(1, entryUUID=f"{uuid(1)}\nentryUUID: {uuid(2)}"), "2 values of entryuuid"),
        (f"dn: cn=a\nobjectClass: inetOrgPerson\nentryUUID: {uuid(1)}\n\n", "no readable uid or mail"),
        (f"dn: cn=a\nobjectClass: inetOrgPerson\nuid:: /w==\nentryUUID: {uuid(1)}\n\n", "no readable uid"),
        (f"dn: cn=a\nobjectClass: inetOrgPerson\nuid:: YQBi\nentryUUID: {uuid(1)}\n\n", "no readable uid"),
        (f"dn: cn=a\nobjectClass: groupOfNames\nentryUUID: {uuid(1)}\n\n", "no readable cn"),
        ("dn: cn=a\nobjectClass: groupOfNames\ncn: a\n\n", "holds no entryuuid"),
    ],
)
def test_an_entry_that_cannot_be_taken_over_says_why(text: str, words: str) -> None:
    with pytest.raises(EntryError, match=words):
        read(text)


def test_a_part_of_a_member_list_is_not_taken_for_all_of_it() -> None:
    with pytest.raises(EntryError, match=r"member;range=0-1499\); export all"):
        read(group(1, "g").replace("objectClass", "member;range=0-1499: uid=a\nobjectClass"))


def test_the_last_range_of_a_member_list_beside_the_first_is_all_of_it() -> None:
    text = group(1, "g", "uid=a").replace("objectClass", "member;range=1-*: uid=b\nobjectClass")

    assert read_group(text).member_dns == [b"uid=b", b"uid=a"]


# Facts.


def test_every_fact_of_openldap_has_its_attribute() -> None:
    text = person(
        1,
        "ada",
        cn="Ada",
        displayName="Ada L",
        givenName="Ada",
        sn="Lovelace",
        mail="ada@x.org\nmail: countess@x.org\nmail: ADA@x.org",
        title="Countess\ntitle: Analyst",
        departmentNumber="7",
        employeeNumber="17",
        employeeType="Contractor",
        o="Engines",
        l="London",
        preferredLanguage="en",
    )

    said = facts(text)

    assert (said.external_id, said.user_name, said.display_name) == (eid(1), "ada", "Ada L")
    assert (said.given_name, said.family_name) == ("Ada", "Lovelace")
    assert said.mails == ("ada@x.org", "countess@x.org")
    assert said.attributes == {
        "title": ("Countess", "Analyst"),
        "department": ("7",),
        "employeeNumber": ("17",),
        "userType": ("Contractor",),
        "organization": ("Engines",),
        "locality": ("London",),
        "preferredLanguage": ("en",),
    }


def test_the_first_attribute_that_an_entry_holds_counts() -> None:
    said = facts(
        f"dn: cn=a\nobjectClass: inetOrgPerson\ncn: Ada\nmail: ada@x.org\nou: Lab\nentryUUID: {uuid(1)}\n\n"
    )

    assert (said.user_name, said.display_name) == ("ada@x.org", "Ada")
    assert said.attributes == {"department": ("Lab",)}


def test_values_that_are_no_text_are_left_out() -> None:
    coded = b64encode(b"sv\xff").decode()
    nul = b64encode(b"a\0b").decode()
    text = person(1, title="Lead").replace("title:", f"l:: {coded}\ntitle:: {nul}\ncn:: {coded}\ntitle:")

    said = facts(text)

    assert said.display_name == ""
    assert said.attributes == {"title": ("Lead",)}


def test_a_dn_that_is_no_text_is_shown_as_far_as_it_is() -> None:
    said = facts(
        person(1).replace("dn: uid=u1,ou=people,o=x", f"dn:: {b64encode(b'cn=a' + bytes([255])).decode()}")
    )

    assert said.dn == "cn=a\ufffd"


def ad_person(**values: str) -> str:
    fields = {"objectGUID": uuid(1), "sAMAccountName": "ada", "userAccountControl": "512", **values}
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
    return f"dn: CN=Ada,O=x\nobjectClass: user\ncn: Ada\n{lines}\n"


def test_the_primary_mail_of_exchange_comes_first() -> None:
    text = ad_person(
        mail="ada@x.org",
        proxyAddresses="smtp:old@x.org\nproxyAddresses: SMTP:first@x.org\nproxyAddresses: X400:c=se\n"
        "proxyAddresses: smtp:ADA@x.org\nproxyAddresses: sip:ada@x.org\nproxyAddresses: smtp:nonsense",
    )

    assert facts(text, name="active_directory").mails == ("first@x.org", "ada@x.org", "old@x.org")


def test_active_directory_names_users_by_account_name() -> None:
    said = facts(
        ad_person(userPrincipalName="ada@x.org", department="Lab", employeeID="17", company="Engines"),
        name="active_directory",
    )

    assert said.user_name == "ada"
    assert said.mails == ()
    assert said.attributes == {
        "department": ("Lab",),
        "employeeNumber": ("17",),
        "organization": ("Engines",),
    }


# Active Directory's own.


def test_an_account_whose_control_was_not_exported_is_unknown() -> None:
    assert facts(ad_person(userAccountControl=""), name="active_directory").activity is Activity.UNKNOWN
    assert facts(ad_person(), name="active_directory").activity is Activity.ACTIVE
    assert facts(ad_person(userAccountControl="514"), name="active_directory").activity is Activity.DISABLED


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"isCriticalSystemObject": "TRUE"}, "built_in"),
        ({"isDeleted": "TRUE"}, "deleted"),
        ({"userAccountControl": "4128"}, "computer"),
        ({"userAccountControl": "532480"}, "computer"),
        ({"userAccountControl": "2080"}, "computer"),
    ],
)
def test_accounts_that_are_no_people_are_left_out(values: dict[str, str], reason: str) -> None:
    found = read(ad_person(**values), name="active_directory")

    assert isinstance(found, IgnoredEntry)
    assert found.reason == reason


def test_built_in_accounts_are_people_when_the_settings_say_so() -> None:
    settings = DialectSettings(include_built_in=True)

    assert isinstance(
        read(ad_person(isCriticalSystemObject="TRUE"), settings=settings, name="active_directory"), UserEntry
    )


def test_a_deleted_group_is_left_out_and_a_built_in_one_is_not() -> None:
    text = f"dn: CN=G\nobjectClass: group\ncn: G\nobjectGUID: {uuid(2)}\n"

    assert isinstance(read(text + "isDeleted: TRUE\n\n", name="active_directory"), IgnoredEntry)
    assert isinstance(read(text + "isCriticalSystemObject: TRUE\n\n", name="active_directory"), GroupEntry)


def sid(*parts: int) -> bytes:
    return bytes([1, len(parts), 0, 0, 0, 0, 0, 5]) + b"".join(part.to_bytes(4, "little") for part in parts)


def primary_group_of(security_id: bytes, rid: str) -> bytes | None:
    coded = b64encode(security_id).decode()
    text = ad_person(primaryGroupID=rid).replace("cn: Ada", f"objectSid:: {coded}\ncn: Ada")
    found = read(text, name="active_directory")
    assert isinstance(found, UserEntry)
    return found.primary_group


def test_the_primary_group_is_the_user_s_domain_with_the_group_s_number() -> None:
    assert primary_group_of(sid(21, 1, 2, 3, 1104), "513") == sid(21, 1, 2, 3, 513)


@pytest.mark.parametrize(
    ("security_id", "rid"),
    [
        (sid(21, 1, 2, 3, 1104), ""),
        (sid(21, 1, 2, 3, 1104), "0"),
        (sid(21, 1, 2, 3, 1104), "-1"),
        (sid(21, 1, 2, 3, 1104), "4294967296"),
        (sid(21, 1, 2, 3, 1104)[:-1], "513"),
        (b"\1\5", "513"),
        (b"", "513"),
    ],
)
def test_a_primary_group_that_cannot_be_read_is_none(security_id: bytes, rid: str) -> None:
    assert primary_group_of(security_id, rid) is None


def test_a_group_shows_the_security_id_by_which_users_name_it() -> None:
    coded = b64encode(sid(21, 1, 2, 3, 513)).decode()
    text = f"dn: CN=G\nobjectClass: group\ncn: G\nobjectGUID: {uuid(2)}\nobjectSid:: {coded}\n\n"

    assert read_group(text, name="active_directory").security_id == sid(21, 1, 2, 3, 513)


# Members.


def test_unique_members_lose_the_bit_string_behind_their_name() -> None:
    text = group(
        1, "g", objectClass="groupOfUniqueNames", uniqueMember="uid=a,o=x#'0101'B\nuniqueMember: uid=b,o=x"
    )

    assert read_group(text).member_dns == [b"uid=a,o=x", b"uid=b,o=x"]


def test_a_group_of_two_kinds_lists_members_of_both() -> None:
    text = group(1, "g", "uid=a,o=x", objectClass="groupOfNames\nobjectClass: posixGroup", memberUid="b")

    found = read_group(text)

    assert (found.member_dns, found.member_uids) == ([b"uid=a,o=x"], [b"b"])


# Settings.


def test_the_settings_map_facts_and_scim_attributes_to_other_attributes() -> None:
    settings = DialectSettings(
        attribute_map={
            "user_name": "userPrincipalName, sAMAccountName",
            "costCenter": "extensionAttribute1",
            "department": "",
        }
    )

    said = facts(
        ad_person(userPrincipalName="ada@x.org", department="Lab", extensionAttribute1="77"),
        settings=settings,
        name="active_directory",
    )

    assert said.user_name == "ada@x.org"
    assert said.attributes == {"costCenter": ("77",)}


def test_the_settings_name_other_ids_for_users_and_groups() -> None:
    settings = DialectSettings(id_attribute="employeeNumber", group_id_attribute="gidNumber")
    user = read(person(1, employeeNumber="17"), settings=settings)
    found = read_group(group(2, "g", gidNumber="5000"), settings=settings)

    assert isinstance(user, UserEntry)
    assert (user.external_id, found.external_id) == ("17", "5000")


def test_the_settings_name_another_member_attribute_and_another_way_to_disable() -> None:
    settings = DialectSettings(
        member_attributes=("roleOccupant",), disabled_attribute="employeeType", disabled_values=("left",)
    )

    assert read_group(group(1, "g", "uid=a", roleOccupant="uid=b"), settings=settings).member_dns == [
        b"uid=b"
    ]
    assert facts(person(1, employeeType="Left"), settings=settings).activity is Activity.DISABLED
    assert facts(person(1, employeeType="staff"), settings=settings).activity is Activity.ACTIVE


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (DialectSettings(id_attribute="dn"), "cannot be the id attribute"),
        (DialectSettings(group_id_attribute="CN"), "cannot be the id attribute"),
        (DialectSettings(id_attribute="entry uuid"), "no LDAP attribute name"),
        (DialectSettings(attribute_map={"title": "ti*le"}), "no LDAP attribute name"),
        (DialectSettings(attribute_map={"ti tle": "title"}), "neither a fact nor"),
        (DialectSettings(attribute_map={"user_name": " "}), "must come from an attribute"),
        (DialectSettings(member_attributes=("",)), "no LDAP attribute name"),
        (DialectSettings(disabled_attribute="a,b"), "no LDAP attribute name"),
    ],
)
def test_settings_that_name_no_usable_attribute_are_refused(settings: DialectSettings, words: str) -> None:
    with pytest.raises(DialectError, match=words):
        dialect("openldap", settings)


def test_another_mapping_gives_another_fingerprint() -> None:
    text = person(1, title="Lead")

    prints = {
        user.fingerprint
        for settings in (
            None,
            DialectSettings(attribute_map={"title": "l"}),
            DialectSettings(attribute_map={"position": "title"}),
        )
        if isinstance(user := read(text, settings=settings), UserEntry)
    }

    assert len(prints) == 3


def test_everything_a_dialect_looks_at_is_wanted() -> None:
    """Reading with all attributes and with the wanted ones only comes to the same."""
    settings = DialectSettings(disabled_attribute="employeeStatus", attribute_map={"costCenter": "ext1"})

    for name in ("openldap", "active_directory"):
        reader = dialect(name, settings)
        assert {"objectclass", "employeestatus", "ext1", "member"} <= reader.wanted
    assert {"objectsid", "primarygroupid", "useraccountcontrol"} <= dialect("active_directory").wanted
    assert {"memberuid", "uid", "entryuuid", "pwdaccountlockedtime"} <= dialect("openldap").wanted


# The choice of a dialect.


def test_an_unknown_dialect_is_refused_with_those_there_are() -> None:
    with pytest.raises(DialectError, match="choose one of openldap, active_directory, ds389, generic"):
        make_dialect("ms_ad", now=NOW)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_knows_its_name(name: str) -> None:
    assert make_dialect(name, DialectSettings(id_attribute="entryUUID"), now=NOW).name == name


def test_the_generic_dialect_needs_an_id_attribute() -> None:
    with pytest.raises(DialectError, match="needs id_attribute"):
        make_dialect("generic", now=NOW)


def test_the_generic_dialect_reads_389_directory_server() -> None:
    settings = DialectSettings(id_attribute="nsUniqueId")
    text = (
        "dn: uid=ada,o=x\nobjectClass: nsPerson\nobjectClass: person\nuid: ada\nnsAccountLock: TRUE\n"
        "nsUniqueId: A1B2C3D4-00000000-00000000-0000000F\n\n"
    )

    said = facts(text, settings=settings, name="generic")

    assert said.external_id == "a1b2c3d4-00000000-00000000-0000000f"
    assert said.activity is Activity.DISABLED


def test_an_entry_that_was_rejected_may_still_be_identified() -> None:
    reader = dialect()

    user = reader.identify(entry(person(1, "ada")).attributes)
    unknown = reader.identify(entry("dn: uid=a\nuid: a\n\n").attributes)
    found = reader.identify(entry(group(2, "g")).attributes)

    assert user == (eid(1), False, [b"ada"], None)
    assert unknown == (None, False, [b"a"], None)
    assert found == (eid(2), True, [], None)
    assert reader.identify(entry("dn: ou=a\nobjectClass: organizationalUnit\n\n").attributes) is None
