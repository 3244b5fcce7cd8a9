"""Mapping rules: added, previewed, made equal to a file, found wanting."""

from pathlib import Path

import pytest

from tests.journeys.exports import Person, export
from tests.journeys.shell import ACME, Shell

PERSONS = [
    Person("anna", department="Operations"),
    Person("ben", department="Housekeeping"),
    Person("carla", department="Housekeeping"),
]
GROUPS = {"admins": ["anna"], "minut-loft-7-cleaners": ["ben"], "staff": ["anna", "ben", "carla"]}
RULES = """\
rules:
  - {group: admins, role: Admin, scope: organisation, priority: 10}
  - {pattern: "minut-{unit}-cleaners", role: Operator, priority: 60}
  - {filter: 'department eq "Housekeeping"', role: Operator, scope: organisation}
"""


@pytest.fixture
def full(shell: Shell) -> Shell:
    """Three people, a unit, and no rule yet."""
    shell.set_up(plan="Pro")
    shell.answer("scope", "add", "unit", "Loft 7", "--host-id", "loft-7")
    shell.write_export(export(PERSONS, GROUPS))
    shell.add_directory()
    shell.answer("sync", "run")
    return shell


def write(shell: Shell, text: str, name: str = "rules.yaml") -> Path:
    path = shell.folder / name
    path.write_text(text, encoding="utf-8")
    return path


def grants(shell: Shell) -> set[tuple[str, str]]:
    return {
        (row["mail"].partition("@")[0], f"{grant['role']}@{grant['scope']}")
        for row in shell.json("member", "list")
        for grant in row["grants"]
    }


def test_file_is_previewed_then_applied_under_its_hash(full: Shell) -> None:
    path = write(full, RULES)
    full.mark()

    shown = full.answer("rules", "apply", "-f", str(path))

    assert "add     group 'admins' gives Admin at organisation, priority 10" in shown
    assert "Nothing is applied yet" in shown
    assert full.json("rules", "list") == []
    plan_hash = full.json("rules", "preview", "-f", str(path))["plan_hash"]
    assert plan_hash in shown
    applied = full.json("rules", "apply", "-f", str(path), "--plan", plan_hash)
    assert (applied["added"], applied["applied"]) == (3, True)
    assert grants(full) == {
        ("olivia.owner", "Admin@organisation"),
        ("anna", "Admin@organisation"),
        ("ben", "Operator@unit/loft-7"),
        ("ben", "Operator@organisation"),
        ("carla", "Operator@organisation"),
    }
    actions = full.new_actions()
    assert actions[:2] == ["mapping.previewed", "mapping.previewed"]
    assert actions[2:6] == ["mapping.applied", "mapping.created", "mapping.created", "mapping.created"]
    assert sorted(actions[6:]) == sorted(["role.granted"] * 4 + ["seat.assigned"] * 3)


def test_applying_the_same_file_again_changes_nothing(full: Shell) -> None:
    path = write(full, RULES)
    full.answer("rules", "apply", "-f", str(path), "--yes")
    full.mark()

    again = full.answer("rules", "apply", "-f", str(path), "--yes")
    document = full.json("rules", "apply", "-f", str(path), "--yes")

    assert document == {"added": 0, "changed": 0, "removed": 0, "unchanged": 3, "applied": True}
    assert again == "The rules are as the file says.\n"
    assert full.new_actions() == []


def test_changed_file_keeps_the_rules_ids(full: Shell) -> None:
    assert full.json("rules", "apply", "-f", str(write(full, RULES)), "--yes")["applied"] is True
    before = {rule["match"]: (rule["id"], rule["version"]) for rule in full.json("rules", "list")}
    changed = RULES.replace("priority: 60", "priority: 61").replace(
        "  - {filter: 'department eq \"Housekeeping\"', role: Operator, scope: organisation}\n", ""
    )
    path = write(full, changed + "  - {group: staff, role: Member, scope: unit/loft-7}\n")
    full.mark()

    foreseen = full.json("rules", "apply", "-f", str(path))
    assert (foreseen["applied"], foreseen["changed"]) == (False, 1)
    shown = full.answer("rules", "apply", "-f", str(path), "--yes")

    assert "1 rules added, 1 changed, 1 removed, 1 unchanged" in shown
    after = {rule["match"]: (rule["id"], rule["version"]) for rule in full.json("rules", "list")}
    assert after["admins"] == before["admins"]
    assert after["minut-{unit}-cleaners"] == (before["minut-{unit}-cleaners"][0], 2)
    actions = full.new_actions()
    assert [actions.count(f"mapping.{kind}") for kind in ("created", "updated", "deleted")] == [1, 1, 1]


def test_plan_is_refused_when_anything_has_moved(full: Shell) -> None:
    path = write(full, RULES)
    plan_hash = full.json("rules", "preview", "-f", str(path))["plan_hash"]
    full.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "loft 7")
    full.mark()

    message = full.fail(1, "rules", "apply", "-f", str(path), "--plan", plan_hash)

    assert message == "what was previewed is no longer what would happen; preview it again"
    assert full.new_actions() == ["command.refused"]


def test_removal_is_previewed_and_done_by_the_end_of_an_id(full: Shell) -> None:
    full.answer("rules", "add", "--group", "admins", "--role", "admin", "--scope", "organisation")
    (rule,) = full.json("rules", "list")
    end = rule["id"][-12:]

    foreseen = full.json("rules", "preview", "--remove", end)
    assert full.json("rules", "remove", end, "--preview")["plan_hash"] == foreseen["plan_hash"]
    assert [change["name"] for change in foreseen["changes"]] == ["Anna Example"]
    assert "1 of them would lose all access" in full.answer("rules", "preview", "--remove", end)
    removed = full.answer("rules", "remove", end)

    assert "0 grants given, 1 taken" in removed
    assert full.json("rules", "list") == []


def test_rule_added_with_preview_stores_only_the_preview(full: Shell) -> None:
    full.mark()

    shown = full.answer(
        "rules", "add", "--group", "staff", "--role", "Member", "--scope", "unit/loft-7", "--preview"
    )

    assert "3 people change" in shown
    assert "Member@unit/loft-7" in shown
    assert full.new_actions() == ["mapping.previewed"]
    assert full.json("rules", "list") == []


def test_first_filter_is_previewed_with_the_people_it_matches(full: Shell) -> None:
    rule = ("--filter", 'department eq "Housekeeping"', "--role", "Operator", "--scope", "organisation")

    foreseen = full.json("rules", "preview", *rule)

    assert {change["name"] for change in foreseen["changes"]} == {"Ben Example", "Carla Example"}


def test_lint_names_dead_and_dangling_rules(full: Shell) -> None:
    assert "No rule is dead" in full.answer("rules", "lint")
    full.answer("rules", "add", "--group", "admins", "--role", "Admin", "--scope", "loft-7")
    full.answer("rules", "add", "--pattern", "empty-{unit}", "--role", "Operator", "--directory", "hq")
    full.answer("scope", "remove", "loft-7")

    findings = full.json("rules", "lint", code=1)

    assert {finding["kind"] for finding in findings} >= {"dangling"}
    assert "Grants nothing because" in full.answer("rules", "list")


def test_groups_of_two_directories_are_told_apart(full: Shell) -> None:
    full.write_export(
        export([Person("dora", key="dora2")], {"staff": ["dora"]}).replace("staff", "Staff"), "two.ldif"
    )
    full.add_directory("two")
    full.answer("sync", "run", "two")

    message = full.fail(1, "rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")

    assert message.startswith("'staff' names more than one group: 'hq/staff'")
    assert "'two/Staff'" in message
    document = full.invoke(
        "--json", "rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation"
    ).stderr
    assert '"ambiguous_name"' in document
    assert '"candidates"' in document
    with full.read() as reader:
        (group_id,) = {
            group.group_id for group in reader.groups_by_name("staff") if group.display_name == "Staff"
        }
    shown = full.json("rules", "preview", "--group", group_id, "--role", "Member", "--scope", "organisation")
    assert [change["name"] for change in shown["changes"]] == ["Dora Example"]
    full.answer("rules", "add", "--group", "two/staff", "--role", "Member", "--scope", "organisation")
    assert ("dora", "Member@organisation") in grants(full)
    assert "there are several directories" in full.fail(
        1, "rules", "add", "--filter", 'title eq "x"', "--role", "Member", "--scope", "organisation"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rules: [", "rules.yaml:1: not YAML"),
        ("", "rules.yaml:1: the file is empty"),
        ("scopes: []", "unknown key 'scopes' in the rules file"),
        (
            "rules:\n  - {role: Admin, scope: organisation}",
            "rules.yaml:2: a rule names one of group, pattern, filter",
        ),
        ("rules:\n  - {group: admins, pattern: x, role: Admin}", "this one names group and pattern"),
        ("rules:\n  - {group: admins, role: Admin, scope: 7}", "scope of a rule must be text"),
        (
            "rules:\n  - {group: admins, role: Admin, priority: high}",
            "priority of a rule must be a whole number",
        ),
        ("rules:\n  - {group: nobody, role: Admin, scope: organisation}", "there is no group 'nobody'"),
        ("rules:\n  - {group: admins, role: King, scope: organisation}", "there is no role 'King'"),
        ("rules:\n  - {group: admins, role: Admin, scope: unit/none}", "there is no scope 'unit/none'"),
        ("rules:\n  - {group: admins, role: owner, scope: organisation}", "nobody becomes owner by a rule"),
        ("rules:\n  - {group: admins, role: Admin}", "does not say at which scope"),
        ("rules:\n  - {pattern: 'x-{spaceship}', role: Admin}", "there is no scope kind 'spaceship'"),
        ("rules:\n  - {filter: 'title eq', role: Admin, scope: organisation}", "the filter does not parse"),
        (
            "rules:\n"
            "  - {group: admins, role: Admin, scope: organisation}\n"
            "  - {group: Admins, role: admin, scope: organisation}",
            "rules.yaml:3: the same rule stands on line 2 already",
        ),
    ],
)
def test_faulty_file_is_refused_and_changes_nothing(full: Shell, text: str, expected: str) -> None:
    version = full.state(ACME).access_version

    message = full.fail(1, "rules", "apply", "-f", str(write(full, text)), "--yes")

    assert expected in message
    assert full.json("rules", "list") == []
    assert full.state(ACME).access_version == version


def test_rule_must_say_whom_and_what(full: Shell) -> None:
    assert "exactly one of --group" in full.fail(2, "rules", "add", "--role", "Admin")
    assert "by --role" in full.fail(2, "rules", "add", "--group", "admins")


def test_unreadable_files_are_outside_failures(full: Shell) -> None:
    assert "cannot be read: No such file" in full.fail(3, "rules", "apply", "-f", "missing.yaml")
    binary = full.folder / "binary.yaml"
    binary.write_bytes(b"rules:\n  - \xff\n")
    assert f"{binary}:2: not UTF-8 text" in full.fail(1, "rules", "apply", "-f", str(binary))
    large = full.folder / "large.yaml"
    large.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    assert "longer than 4 MiB" in full.fail(1, "rules", "apply", "-f", str(large))
