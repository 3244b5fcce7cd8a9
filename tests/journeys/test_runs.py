"""Readings of a directory: the guard and its approval, dry runs, rejected entries, exports of real servers."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.journeys.exports import Person, export, people
from tests.journeys.shell import Shell

PAYLOADS = Path(__file__).parents[1] / "payloads"
STAFF = tuple(f"person{number:02d}" for number in range(20))


def begin(shell: Shell) -> None:
    """Twenty people in one group, all of them seated."""
    shell.set_up(plan="Enterprise", seats="unlimited")
    shell.write_export(export(people(*STAFF), {"staff": STAFF}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")


def test_first_run_tells_what_it_read_and_did(shell: Shell) -> None:
    shell.set_up()
    persons = [*people("anna", "ben"), Person("carl", mail="anna@acme.example")]
    broken = "dn: uid=zoe,ou=people,dc=acme,dc=example\nobjectClass: inetOrgPerson\nuid: zoe\ncn: Zoe\n"
    text = export(persons, {"staff": ["anna", "ben"]}) + broken + "\n"
    shell.write_export(text)
    shell.add_directory("hq", "--guard", "rejected_percent=50")
    shell.mark()

    answer = shell.answer("sync", "run")

    assert "3 users, 1 groups, 1 rejected" in answer
    assert "rejected, line" in answer
    assert "uid=zoe" in answer
    assert "1 mail addresses that two people have" in answer
    assert "Incomplete, so nobody is removed" in answer
    counted = Counter(shell.new_actions())
    assert counted["user.created"] == 3
    assert counted["group.member_added"] == 2
    assert counted["sync.completed"] == 1


def test_dry_run_prints_the_plan_and_stores_nothing(shell: Shell) -> None:
    shell.set_up()
    shell.write_export(export(people("anna"), {"staff": ["anna", "nobody"]}))
    shell.add_directory()
    with shell.wiring() as wiring:
        before = wiring.store.row_counts()

    answer = shell.answer("sync", "run", "--dry-run")
    document = shell.json("sync", "run", "--dry-run")

    assert "anna" in answer
    assert "1 members of groups whom no entry answers to" in answer
    assert f"Plan hash: {document['plan_hash']}" in answer
    assert document["limits_crossed"] == []
    assert document["counters"]["users_seen"] == 1
    with shell.wiring() as wiring:
        assert wiring.store.row_counts() == before


def test_run_without_users_is_blocked_until_its_plan_is_approved(either_shell: Shell) -> None:
    shell = either_shell
    begin(shell)
    shell.mark()
    shell.write_export(export((), {"staff": ()}))

    blocked = shell.answer("sync", "run", code=1)

    assert "Stopped by the guard" in blocked
    assert "no user was read while 20 are stored" in blocked
    assert shell.new_actions() == ["sync.blocked"]
    assert shell.seats()[0] == 21
    plan_hash = shell.json("sync", "run", "--dry-run")["plan_hash"]
    assert plan_hash in blocked
    assert plan_hash in shell.answer("directory", "status")

    other = shell.json("sync", "run", "--approve", "0" * 64, code=1)
    assert "the approval is for another plan" in other["reason"]
    assert shell.new_actions() == ["guard.refused", "sync.blocked"]

    approved = shell.json("sync", "run", "--approve", plan_hash)
    assert approved["state"] == "completed"
    assert approved["approved_by"].startswith("operator:")
    assert shell.seats()[0] == 1
    counted = Counter(shell.new_actions())
    assert counted["guard.released"] == counted["sync.started"] == counted["sync.completed"] == 1
    assert counted["user.deactivated"] == counted["seat.released"] == counted["role.revoked"] == 20

    # The approval was for that plan on that state, and once.
    shell.write_export(export(people(*STAFF), {"staff": STAFF}))
    shell.answer("sync", "run")
    shell.write_export(export((), {"staff": ()}))
    again = shell.json("sync", "run", "--approve", plan_hash, code=1)
    assert again["state"] == "blocked"


def test_approval_is_refused_when_the_state_has_moved(shell: Shell) -> None:
    begin(shell)
    shell.write_export(export((), {"staff": ()}))
    plan_hash = shell.json("sync", "run", code=1)["plan_hash"]
    shell.answer("rules", "add", "--filter", 'title eq "x"', "--role", "Member", "--scope", "organisation")

    refused = shell.json("sync", "run", "--approve", plan_hash, code=1)

    assert refused["state"] == "blocked"
    assert refused["plan_hash"] != plan_hash


def test_half_of_a_big_group_is_not_lost_by_mistake(shell: Shell) -> None:
    crowd = tuple(f"many{number:03d}" for number in range(60))
    shell.set_up(plan="Enterprise", seats="unlimited")
    shell.write_export(export(people(*crowd), {"crowd": crowd}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.write_export(export(people(*crowd), {"crowd": crowd[:20]}))

    blocked = shell.answer("sync", "run", code=1)
    dry = shell.answer("sync", "run", "--dry-run")

    assert "The guard would stop this plan:" in dry
    assert "Let exactly this plan through with 'usher sync run hq --approve" in dry
    assert "group 'crowd' would shrink from 60 to 20 members" in blocked
    limits = shell.json("directory", "status")["guard"]
    assert limits["group_loss_percent"] == 50


def test_guard_limits_are_settings_of_the_directory(shell: Shell) -> None:
    shell.set_up(plan="Enterprise", seats="unlimited")
    shell.write_export(export(people(*STAFF), {}))
    shell.add_directory("hq", "--guard", "removed_users=19", "--guard", "removed_users_percent=100")
    shell.answer("sync", "run")
    shell.write_export(export(people(STAFF[0]), {}))

    assert "19 users deactivated" in shell.answer("sync", "run")


def test_long_lists_are_cut_and_counted(shell: Shell) -> None:
    crowd = tuple(f"many{number:03d}" for number in range(210))
    nameless = "".join(
        f"dn: uid=x{number},ou=people,dc=acme,dc=example\nobjectClass: inetOrgPerson\nuid: x{number}\ncn: X\n\n"
        for number in range(25)
    )
    shell.set_up(plan="Enterprise", seats="unlimited")
    shell.write_export(export(people(*crowd), {"crowd": crowd}) + nameless)
    shell.add_directory("hq", "--guard", "rejected_percent=50")

    dry = shell.answer("sync", "run", "--dry-run")
    shell.answer("sync", "run")
    preview = shell.answer(
        "rules", "preview", "--group", "crowd", "--role", "Member", "--scope", "organisation"
    )

    assert "... and 5 more rejected entries" in dry
    assert "more changes; --json lists all" in dry
    assert "... and 160 more; --json lists everybody" in preview


def test_history_lists_runs_newest_first(shell: Shell) -> None:
    begin(shell)
    (shell.exports / "hq.ldif").unlink()
    failed = shell.answer("sync", "run", code=3)

    history = shell.json("sync", "history")
    table = shell.answer("sync", "history", "hq", "--limit", "1")

    assert "Failed, nothing is changed: there is no export 'hq.ldif'" in failed
    assert [run["state"] for run in history] == ["failed", "completed"]
    assert "failed" in table
    assert "completed" not in table


def test_locked_person_is_deactivated_and_returns(shell: Shell) -> None:
    begin(shell)
    persons = [Person(STAFF[0], is_locked=True), *people(*STAFF[1:])]
    shell.write_export(export(persons, {"staff": STAFF}))
    shell.answer("sync", "run")
    assert shell.json("member", "show", STAFF[0])["active"] is False

    shell.write_export(export(people(*STAFF), {"staff": STAFF}))
    shell.mark()
    shell.answer("sync", "run")

    assert shell.json("member", "show", STAFF[0])["active"] is True
    assert shell.new_actions() == [
        "sync.started",
        "user.reactivated",
        "member.reactivated",
        "role.granted",
        "seat.assigned",
        "sync.completed",
    ]


def test_busy_directory_is_not_run_twice(shell: Shell) -> None:
    begin(shell)
    with shell.read() as reader:
        (directory,) = reader.directories()
    with shell.wiring() as wiring:
        now = wiring.clock()
        assert wiring.store.claim(directory.directory_id, "other:1", now, now.replace(year=now.year + 1))

    assert "is being read by another run" in shell.fail(1, "sync", "run")


@pytest.mark.parametrize(
    ("payload", "dialect", "users", "groups"),
    [
        ("openldap/openldap-2k.ldif.gz", "openldap", 2000, 89),
        # 25 groups of the company's, the others come with a domain.
        ("ms_ad/samba-ad-300.ldif.gz", "active_directory", 300, 61),
    ],
)
def test_export_of_a_real_server_is_read_twice(
    shell: Shell, payload: str, dialect: str, users: int, groups: int
) -> None:
    shell.set_up(plan="Enterprise", seats="unlimited")
    shutil.copy(PAYLOADS / payload, shell.exports / "real.ldif.gz")
    arguments = ("--file", "real.ldif.gz", "--dialect", dialect)
    shell.answer("directory", "add-ldif", "real", *arguments)

    first = shell.json("sync", "run")
    second = shell.json("sync", "run")

    assert first["state"] == second["state"] == "completed"
    assert first["counters"]["users_created"] == first["counters"]["users_seen"] == users
    assert first["counters"]["groups_created"] == first["counters"]["groups_seen"] == groups
    assert first["rejections"] == []
    assert second["plan_hash"] == ""
    assert "users_created" not in second["counters"]


def test_an_approval_when_nothing_is_to_change_is_refused_in_words(shell: Shell) -> None:
    begin(shell)

    result = shell.invoke("sync", "run", "--approve", "0" * 64)

    assert result.exit_code == 1
    assert "The export asks for no change now." in result.stdout
    assert "--approve" not in result.stdout
