"""Increments on a real server: what is changed there is what the run changes, and doubt leads to a full reading.

Fault cases 35, 36, 39 and 40.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from directory.changes import PutDirectory
from directory.ids import DirectoryId
from provisioning.state import Cursor, RunRecord
from storage.tables import metadata
from sync.ldap_reader import open_session
from sync.run import run_directory
from tests.builders import World
from tests.slapd import PASSWORD, SUFFIX, Slapd, SlapdFactory
from tests.sync.ldap_builders import GROUPS, PEOPLE, Stored, on_slapd, settings

pytestmark = pytest.mark.slapd

OPENLDAP = Path(__file__).parent.parent / "payloads" / "openldap" / "openldap-2k.ldif.gz"
FEW: Stored = {
    "user_filter": "(|(uid=u0001*)(uid=new*))",
    "group_filter": "(cn=team*)",
    "guard_removed_memberships_percent": 100,
}
TIMES: Stored = {**FEW, "incremental": "timestamps"}


def dn(number: int) -> str:
    return f"uid=u{number:06d},{PEOPLE}"


def add_person(name: str) -> str:
    return f"dn: uid={name},{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: X\n\n"


def add_group(name: str, *members: str) -> str:
    listed = "".join(f"member: {member}\n" for member in members)
    return f"dn: cn={name},{GROUPS}\nchangetype: add\nobjectClass: groupOfNames\ncn: {name}\n{listed}\n"


def edit(name: str, *lines: str) -> str:
    return f"dn: {name}\nchangetype: modify\n" + "\n".join(lines) + "\n\n"


@pytest.fixture(scope="module")
def slapd(make_slapd: SlapdFactory) -> Slapd:
    """The server from which each test gets a copy. It has been written to, so that its changes have a number."""
    made = make_slapd(OPENLDAP)
    made.modify(add_group("team", dn(100), dn(101), dn(102)) + add_group("team-outer", f"cn=team,{GROUPS}"))
    made.stop()
    return made


@pytest.fixture
def own(make_slapd: SlapdFactory, slapd: Slapd) -> Slapd:
    return make_slapd.copy(slapd)


def put(world: World, given: Stored) -> DirectoryId:
    return world.put_directory(kind="ldap", settings=given)


def change(world: World, hq: DirectoryId, **other: str | int | bool) -> None:
    known = world.stored_directory(hq)
    world.do(PutDirectory(hq, "ldap", known.name, {**known.settings, **other}))


def run(world: World, hq: DirectoryId, *, full: bool = False, approval: str = "") -> RunRecord:
    return run_directory(
        world.claim(hq, approval=approval, approved_by="admin" if approval else ""),
        keeper=world.keeper,
        exports=world.folder,
        passwords={"hq": PASSWORD}.__getitem__,
        full=full,
    )


def read_first(world: World, slapd: Slapd, given: Stored = FEW) -> DirectoryId:
    hq = put(world, on_slapd(slapd, **given))
    record = run(world, hq)
    assert (record.state, record.method) == ("completed", "full"), record.reason
    return hq


def cursor_of(world: World, hq: DirectoryId) -> Cursor:
    cursor = world.stored_directory(hq).cursor
    assert cursor is not None
    return cursor


def set_cursor(world: World, hq: DirectoryId, cursor: Cursor) -> None:
    fence = world.claim(hq).fence
    with world.unit_of_work.write() as writer:
        writer.save_cursor(hq, fence, cursor)


def id_of(slapd: Slapd, name: str) -> str:
    with open_session(settings(on_slapd(slapd)), PASSWORD) as session:
        found = session.read_base(name, ("entryUUID",))
    assert found is not None
    return found.attributes["entryuuid"][0].decode()


def rows(world: World) -> dict[str, list[tuple[object, ...]]]:
    with world.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(table.select())]
            for table in metadata.sorted_tables
        }


def agree(world: World, hq: DirectoryId) -> None:
    """A full reading finds nothing that the increments have left."""
    record = run(world, hq, full=True)
    assert (record.state, record.plan_hash, record.method) == ("completed", "", "full")
    world.check()


@pytest.mark.parametrize("given", [FEW, TIMES])
def test_nothing_changed_writes_the_row_of_the_directory_alone(
    world: World, own: Slapd, given: Stored
) -> None:
    hq = read_first(world, own, given)
    before = rows(world)
    world.clock.move(seconds=1)

    record = run(world, hq)

    after = rows(world)
    written = {name: [row for row in found if row not in before[name]] for name, found in after.items()}
    assert record.method == {"auto": "syncrepl"}.get(str(given.get("incremental", "auto")), "timestamps")
    assert {name: len(found) for name, found in written.items() if found} == {"directory": 1}
    assert world.stored_directory(hq).last_success_at == world.clock()


@pytest.mark.parametrize("given", [FEW, TIMES])
def test_what_was_edited_arrives_and_nothing_is_left_for_a_full_reading(
    world: World, own: Slapd, given: Stored
) -> None:
    hq = read_first(world, own, given)
    team = id_of(own, f"cn=team,{GROUPS}")
    own.modify(
        edit(dn(103), "replace: cn", "cn: Other")
        + add_person("newcomer")
        + f"dn: {dn(104)}\nchangetype: modrdn\nnewrdn: uid=u0001new\ndeleteoldrdn: 1\n\n"
        + edit(f"cn=team,{GROUPS}", "add: member", f"member: uid=newcomer,{PEOPLE}", f"member: {dn(105)}")
        + edit(f"cn=team,{GROUPS}", "delete: member", f"member: {dn(101)}")
    )

    record = run(world, hq)

    assert record.state == "completed", record.reason
    assert record.method in {"syncrepl", "timestamps"}, record.method_reason
    assert record.counters["users_created"] == 1
    assert world.user(hq, id_of(own, f"uid=u0001new,{PEOPLE}")).user_name == "u0001new"
    assert world.in_group(hq, team) == {
        id_of(own, name) for name in (dn(100), dn(102), dn(105), f"uid=newcomer,{PEOPLE}")
    }
    assert run(world, hq).plan_hash == ""
    agree(world, hq)


def test_a_deleted_person_is_deactivated_at_once_and_an_edited_one_is_not(world: World, own: Slapd) -> None:
    hq = read_first(world, own, {**FEW, "absence_grace_runs": 3})
    gone, kept = id_of(own, dn(110)), id_of(own, dn(111))
    own.modify(f"dn: {dn(110)}\nchangetype: delete\n\n" + edit(dn(111), "replace: cn", "cn: Other"))

    record = run(world, hq)

    # The server names the edited person among those who are gone from the groups.
    assert (record.method, record.counters["users_deactivated"]) == ("syncrepl", 1), record.method_reason
    assert not world.user(hq, gone).active
    assert world.user(hq, kept).active
    agree(world, hq)


def test_who_leaves_the_filter_goes_and_who_comes_back_has_his_groups(world: World, own: Slapd) -> None:
    given: Stored = {**FEW, "user_filter": "(&(uid=u0001*)(!(employeeType=left)))"}
    hq = read_first(world, own, given)
    person, team = id_of(own, dn(102)), id_of(own, f"cn=team,{GROUPS}")
    own.modify(edit(dn(102), "replace: employeeType", "employeeType: left"))

    left = run(world, hq)
    own.modify(edit(dn(102), "delete: employeeType"))
    back = run(world, hq)

    assert (left.method, left.counters["users_deactivated"]) == ("syncrepl", 1)
    assert back.method == "syncrepl"
    assert world.user(hq, person).active
    assert person in world.in_group(hq, team)


def test_a_newcomer_is_in_the_groups_that_listed_him_before_he_could_be_seen(
    world: World, own: Slapd
) -> None:
    own.modify(add_group("team-future", f"uid=newcomer,{PEOPLE}", dn(100)))
    hq = read_first(world, own)
    future = id_of(own, f"cn=team-future,{GROUPS}")
    own.modify(add_person("newcomer"))

    record = run(world, hq)

    assert record.method == "syncrepl", record.method_reason
    assert world.in_group(hq, future) == {id_of(own, dn(100)), id_of(own, f"uid=newcomer,{PEOPLE}")}
    agree(world, hq)


def test_a_deleted_group_and_a_new_one_around_it_arrive(world: World, own: Slapd) -> None:
    hq = read_first(world, own)
    outer = id_of(own, f"cn=team-outer,{GROUPS}")
    own.modify(
        add_group("team-new", dn(100), f"cn=team,{GROUPS}", f"uid=nobody,{PEOPLE}", dn(130))
        + f"dn: cn=team-outer,{GROUPS}\nchangetype: delete\n\n"
    )

    record = run(world, hq)

    assert record.method == "syncrepl", record.method_reason
    assert world.group(hq, outer).deleted_at is not None
    assert world.in_group(hq, id_of(own, f"cn=team-new,{GROUPS}")) == {
        id_of(own, dn(100)),
        id_of(own, dn(130)),
    }
    agree(world, hq)


def test_a_change_through_the_group_alone_is_seen(world: World, own: Slapd) -> None:
    hq = read_first(world, own)
    own.modify(edit(f"cn=team,{GROUPS}", "delete: member", f"member: {dn(100)}"))

    record = run(world, hq)

    assert record.counters["memberships_removed"] == 1
    agree(world, hq)


def test_two_edits_in_the_second_of_the_mark_are_both_seen(world: World, own: Slapd) -> None:
    hq = read_first(world, own, TIMES)
    for name in ("First", "Second"):
        own.modify(edit(dn(120), "replace: displayName", f"displayName: {name}"))
        record = run(world, hq)
        assert record.method == "timestamps", record.method_reason
        assert world.user(hq, id_of(own, dn(120))).display_name == name


def test_a_deletion_that_stamps_cannot_show_waits_for_the_full_reading(world: World, own: Slapd) -> None:
    hq = read_first(world, own, TIMES)
    person = id_of(own, dn(110))
    own.modify(f"dn: {dn(110)}\nchangetype: delete\n\n")

    assert run(world, hq).counters.get("users_deactivated", 0) == 0
    world.clock.move(days=1)
    record = run(world, hq)

    assert (record.method, record.counters["users_deactivated"]) == ("full", 1)
    assert "due every 86400 s" in record.method_reason
    assert not world.user(hq, person).active


CSN = "20200101000000.000000Z#000000#001#000000"


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ("20990101000000.000000Z#000000#{sid}#000000", "stands before what was read"),
        ("20200101000000.000000Z#000000#{sid}#000000", "more than"),
        ("20200101000000.000000Z#000000#005#000000", "from other servers than before"),
        ("garbage", "from other servers than before"),
    ],
)
def test_a_mark_that_is_not_the_server_s_leads_to_a_full_reading_that_removes_nobody(
    world: World, own: Slapd, stamps: str, words: str
) -> None:
    hq = read_first(world, own)
    cursor = cursor_of(world, hq)
    (key,) = (key for key in cursor.mark if key.startswith("csn"))
    servers = [stamp.split("#")[2] for stamp in cursor.mark[key].split(";")]
    text = ";".join(stamps.format(sid=sid) for sid in servers) if "{sid}" in stamps else stamps
    set_cursor(world, hq, replace(cursor, mark={**cursor.mark, key: text}))

    record = run(world, hq)

    assert (record.state, record.method, record.plan_hash) == ("completed", "full", "")
    assert words in record.method_reason
    assert run(world, hq).method == "syncrepl"


def test_a_log_that_does_not_reach_back_leads_to_a_full_reading(world: World, own: Slapd) -> None:
    hq = read_first(world, own, {**FEW, "incremental_percent": 100})
    own.modify(f"dn: {dn(112)}\nchangetype: delete\n\n")
    own.modify("".join(edit(dn(120 + n % 60), "replace: title", f"title: {n}") for n in range(1200)))

    record = run(world, hq)

    assert (record.state, record.method) == ("completed", "full")
    assert record.counters["users_deactivated"] == 1
    assert (
        "what is still there" in record.method_reason or "instead of what has changed" in record.method_reason
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"user_filter": "(|(uid=u0001*)(uid=u0002*))"}, "the bases or filters have changed"),
        ({"map_title": "description"}, "the mapping of attributes has changed"),
        ({"bind_dn": "cn=limited,o=accounts"}, "another account reads than before"),
        ({"member_attributes": "member"}, "other attributes are read than before"),
        ({"guard_removed_users": 11}, "the settings of the directory have changed"),
        ({"incremental": "off"}, "the setting 'incremental' is off"),
    ],
)
def test_settings_that_differ_lead_to_a_full_reading(
    world: World, own: Slapd, other: Stored, words: str
) -> None:
    hq = read_first(world, own)
    change(world, hq, **other)

    record = run(world, hq)

    assert (record.method, record.method_reason) == ("full", words)


def test_another_server_behind_the_same_settings_is_read_in_full(
    world: World, own: Slapd, make_slapd: SlapdFactory, slapd: Slapd
) -> None:
    second = make_slapd.copy(slapd)
    hq = put(world, on_slapd(own, **FEW, servers=f"127.0.0.1:{own.port},127.0.0.1:{second.port}"))
    run(world, hq)
    own.stop()

    record = run(world, hq)

    assert (record.state, record.method) == ("completed", "full")
    assert "another server answers" in record.method_reason
    assert [run(world, hq).method for _ in range(2)] == ["full", "syncrepl"]


def test_too_many_deletions_are_stopped_by_the_guard_and_the_approval_of_them_applies(
    world: World, own: Slapd
) -> None:
    hq = read_first(world, own)
    own.modify("".join(f"dn: {dn(n)}\nchangetype: delete\n\n" for n in range(130, 145)))

    held = run(world, hq)
    again = run(world, hq, approval=held.plan_hash)

    assert (held.state, held.method) == ("blocked", "syncrepl"), held.method_reason
    assert (again.state, again.counters["users_deactivated"]) == ("completed", 15)
    agree(world, hq)


def test_a_full_reading_that_was_held_is_followed_by_a_full_one_so_that_its_approval_fits(
    world: World, own: Slapd
) -> None:
    hq = read_first(world, own)
    change(world, hq, user_filter="(uid=u00010*)")

    held = run(world, hq)
    again = run(world, hq, approval=held.plan_hash)

    assert (held.state, held.method) == ("blocked", "full")
    assert (again.state, again.method) == ("completed", "full"), again.reason
    assert again.method_reason == "the last full reading ended as blocked"


def test_members_below_a_renamed_unit_are_found_by_their_new_names(world: World, own: Slapd) -> None:
    hq = read_first(world, own, {**FEW, "user_bases": SUFFIX, "group_bases": SUFFIX})
    team, outer = (id_of(own, f"cn={name},{GROUPS}") for name in ("team", "team-outer"))
    staff, crews = f"ou=staff,{SUFFIX}", f"ou=crews,{SUFFIX}"
    own.modify(
        f"dn: {PEOPLE}\nchangetype: modrdn\nnewrdn: ou=staff\ndeleteoldrdn: 1\n\n"
        f"dn: {GROUPS}\nchangetype: modrdn\nnewrdn: ou=crews\ndeleteoldrdn: 1\n\n"
        + edit(
            f"cn=team-outer,{crews}",
            "replace: member",
            f"member: cn=team,{crews}",
            f"member: uid=u000100,{staff}",
            f"member: uid=nobody,{staff}",
        )
    )

    record = run(world, hq)

    assert record.method == "syncrepl", record.method_reason
    assert record.counters.get("users_created", 0) == 0
    assert world.in_group(hq, outer) == {id_of(own, f"uid=u000100,{staff}")}
    with world.read() as reader:
        assert reader.nestings_of([world.group(hq, team).group_id]) == {
            (world.group(hq, outer).group_id, world.group(hq, team).group_id)
        }


def test_a_group_that_lists_by_uid_leads_to_a_full_reading(world: World, own: Slapd) -> None:
    hq = read_first(world, own)
    own.modify(
        f"dn: cn=team-posix,{GROUPS}\nchangetype: add\nobjectClass: posixGroup\ncn: team-posix\n"
        "gidNumber: 7\nmemberUid: u000100\n\n"
    )

    record = run(world, hq)

    assert (record.method, record.method_reason) == (
        "full",
        "the group 'team-posix' lists its members by uid",
    )
    assert world.in_group(hq, id_of(own, f"cn=team-posix,{GROUPS}")) == {id_of(own, dn(100))}


def test_a_server_that_sends_everything_as_new_is_not_believed_even_if_that_is_allowed(
    world: World, own: Slapd
) -> None:
    hq = read_first(world, own, {**FEW, "incremental_percent": 100})
    cursor = cursor_of(world, hq)
    (key,) = (key for key in cursor.mark if key.startswith("csn"))
    old = ";".join("20200101000000" + stamp[14:] for stamp in cursor.mark[key].split(";"))
    set_cursor(world, hq, replace(cursor, mark={**cursor.mark, key: old}))

    record = run(world, hq)

    assert (record.method, record.method_reason) == (
        "full",
        "the server tells what is there instead of what has changed",
    )


def test_a_mark_of_another_kind_than_the_server_keeps_is_a_doubt(world: World, own: Slapd) -> None:
    hq = read_first(world, own)
    cursor = cursor_of(world, hq)
    set_cursor(world, hq, replace(cursor, mark={"cookie 0": "", "entries": "100"}))

    record = run(world, hq)

    assert (record.method, record.method_reason) == (
        "full",
        "the server keeps its changes in another way than before",
    )
