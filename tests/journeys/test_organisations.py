"""Organisations, scopes, roles, environments: what the operator sets up, and what is refused."""

from hashlib import sha256
from pathlib import Path

import pytest

from mappings.catalogue import load_catalogue
from service.files import shipped_catalogue
from storage.engine import Database
from tests.journeys.exports import export, people
from tests.journeys.shell import ACME, OWNER, Shell

OWNER_OPTIONS = ("--owner-mail", OWNER, "--owner-name", "Olivia Owner")


def test_organisation_begins_with_its_owner_seated(either_shell: Shell) -> None:
    either_shell.set_up()

    events = either_shell.new_events()
    assert [body["action"] for body in events] == [
        "organisation.created",
        "member.created",
        "role.granted",
        "seat.assigned",
    ]
    # Everything follows from the creation.
    assert {body["cause"].get("root", body["id"]) for body in events} == {events[0]["id"]}
    document = either_shell.json("organisation", "show", "acme")
    assert document["owner"] == f"Olivia Owner <{OWNER}>"
    assert (document["seats_used"], document["seat_limit"]) == (1, 5)
    (row,) = either_shell.json("organisation", "list")
    assert (row["organisation"], row["plan"], row["waiting"]) == (ACME, "Standard", 0)


def test_creation_that_was_cut_off_goes_on_where_it_stopped(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.answer("environment", "load", "minut")
    write = Database.write
    count = 0

    def failing(database: Database) -> object:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError("power cut")
        return write(database)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", failing)
        assert shell.fail(
            3, "organisation", "create", ACME, "--environment", "minut", "--plan", "Starter", *OWNER_OPTIONS
        )
    assert shell.state().owner_id is None
    assert "has no owner" in shell.answer("doctor", code=1)

    shell.answer(
        "organisation",
        "create",
        ACME,
        "--environment",
        "minut",
        "--plan",
        "Pro",
        "--seat-policy",
        "waitlist",
        "--domain",
        "acme.example",
        *OWNER_OPTIONS,
    )

    state = shell.state()
    assert state.owner_id is not None
    assert (state.plan, state.seat_policy.value) == ("Pro", "waitlist")
    actions = shell.new_actions()
    assert actions.count("organisation.created") == 1
    assert actions.count("seat.assigned") == 1


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (ACME, ("--environment", "moon", "--plan", "Pro"), "there is no environment 'moon'"),
        (ACME, ("--environment", "minut"), "needs a plan; its plans are Starter, Standard, Pro, Enterprise"),
        (ACME, ("--environment", "minut", "--plan", "Gold"), "plan 'Gold' is not in the catalogue 'minut'"),
        (ACME, ("--environment", "minut", "--plan", "Enterprise"), "give one, or say unlimited (MT-14)"),
        ("", ("--environment", "minut", "--plan", "Pro"), "cannot be used"),
        (" x", ("--environment", "minut", "--plan", "Pro"), "cannot be used"),
        ("a\x1bb", ("--environment", "minut", "--plan", "Pro"), "cannot be used"),
    ],
)
def test_organisation_that_cannot_be_is_refused(
    shell: Shell, name: str, options: tuple[str, ...], expected: str
) -> None:
    shell.answer("environment", "load", "minut")

    assert expected in shell.fail(1, "organisation", "create", name, *options, *OWNER_OPTIONS)
    assert shell.json("organisation", "list") == []


def test_name_is_taken_in_any_case_and_form(shell: Shell) -> None:
    shell.set_up()

    message = shell.fail(
        1, "organisation", "create", "ACME STAYS", "--environment", "minut", "--plan", "Pro", *OWNER_OPTIONS
    )

    assert message == f"there is an organisation '{ACME}' already; choose another name"


@pytest.mark.parametrize(
    ("mail", "name", "expected"),
    [("nobody", "Olivia", "'nobody' is not a mail address"), (OWNER, " ", "the owner needs a name")],
)
def test_owner_needs_mail_and_name(shell: Shell, mail: str, name: str, expected: str) -> None:
    shell.answer("environment", "load", "minut")
    options = ("--environment", "minut", "--plan", "Pro", "--owner-mail", mail, "--owner-name", name)

    assert expected in shell.fail(1, "organisation", "create", ACME, *options)


def test_several_organisations_must_be_named(shell: Shell) -> None:
    assert "there is no organisation yet" in shell.fail(1, "seats")
    shell.set_up()
    shell.create("Acme Care", environment="minut", plan="Pro")

    assert shell.fail(1, "seats") == (
        "there are several organisations; say which one by -o NAME: 'Acme Care', 'Acme Stays'"
    )
    assert "names more than one organisation" in shell.fail(1, "seats", "-o", "acme")
    assert "there is no organisation 'other'" in shell.fail(1, "seats", "-o", "other")
    assert shell.json("seats", "-o", "acme care")["plan"] == "Pro"
    assert shell.json("seats", "-o", shell.state().organisation_id)["plan"] == "Standard"
    shell.environ["USHER_ORGANISATION"] = "Acme C"
    assert shell.json("seats")["plan"] == "Pro"


def test_settings_and_domains_are_changed_with_an_event(shell: Shell) -> None:
    shell.set_up()
    shell.mark()

    shell.answer("organisation", "set", "seat_policy=waitlist", "member_sees_sensor_data=true")
    shell.answer("organisation", "add-domain", "ACME.example")

    assert shell.new_actions() == ["settings.updated", "domain.verified"]
    document = shell.json("organisation", "show")
    assert document["seat_policy"] == "waitlist"
    assert document["settings"] == ["member_sees_sensor_data=true"]
    assert document["domains"] == ["acme.example"]
    assert "setting 'colour=red' is not known here" in shell.fail(1, "organisation", "set", "colour=red")
    assert "is not NAME=VALUE" in shell.fail(2, "organisation", "set", "colour")
    assert "is not a mail domain" in shell.fail(1, "organisation", "add-domain", "acme")
    assert "Plan hash" in shell.answer("organisation", "set", "resolution=priority", "--preview")


# Scopes

SCOPES = """\
scopes:
  - {kind: unit, host_id: loft-7, name: Loft 7, parents: [building/b1]}
  - {kind: building, host_id: b1, name: House One, parents: [location/north]}
  - {kind: location, host_id: north, name: North}
"""


def write(shell: Shell, text: str) -> Path:
    path = shell.folder / "scopes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_scopes_are_imported_in_any_order_and_again(shell: Shell) -> None:
    shell.set_up()
    path = write(shell, SCOPES)
    shell.mark()

    assert "Plan hash" in shell.answer("scope", "import", str(path), "--preview")
    first = shell.json("scope", "import", str(path))
    second = shell.answer("scope", "import", str(path))
    path.write_text(SCOPES.replace("Loft 7", "Loft Seven"), encoding="utf-8")
    third = shell.json("scope", "import", str(path))

    assert first == {"added": 3, "changed": 0, "unchanged": 0}
    assert second == "0 scopes added, 0 changed, 3 unchanged.\n"
    assert third == {"added": 0, "changed": 1, "unchanged": 2}
    assert shell.new_actions() == ["mapping.previewed", *["scope.created"] * 3, "scope.updated"]
    tree = [row["scope"] for row in shell.json("scope", "list")]
    assert tree == ["organisation", "location/north", "building/b1", "unit/loft-7"]
    assert [row["name"] for row in shell.json("scope", "list", "--kind", "unit")] == ["Loft Seven"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scopes: {}", "scopes.yaml:1: scopes must be a list"),
        ("scopes:\n  - {kind: unit, name: x}", "scopes.yaml:2: a scope lacks 'host_id'"),
        ("scopes:\n  - {kind: star, host_id: s, name: S}", "the catalogue has no scope kind 'star'"),
        (
            "scopes:\n  - {kind: unit, host_id: u, name: U, parents: [building/none]}",
            "there is no scope 'building/none'",
        ),
        ("scopes:\n  - {kind: location, host_id: l, name: L, parents: []}", "has no parent"),
        (
            "scopes:\n  - {kind: unit, host_id: u, name: U}\n  - {kind: unit, host_id: U, name: V}",
            "scopes.yaml:3: unit/U stands twice, first on line 2",
        ),
        (
            "scopes:\n"
            "  - {kind: unit, host_id: a, name: A, parents: [unit/b]}\n"
            "  - {kind: unit, host_id: b, name: B, parents: [unit/a]}",
            "scopes would cover themselves: unit/",
        ),
    ],
)
def test_faulty_scopes_are_refused_whole(shell: Shell, text: str, expected: str) -> None:
    shell.set_up()

    assert expected in shell.fail(1, "scope", "import", str(write(shell, text)))
    assert len(shell.json("scope", "list")) == 1


def test_scope_is_added_renamed_and_removed(shell: Shell) -> None:
    shell.set_up()

    assert "is added" in shell.answer("scope", "add", "location", "North", "--host-id", "n")
    assert "stands already" in shell.answer("scope", "add", "location", "North", "--host-id", "n")
    assert "is changed" in shell.answer("scope", "add", "location", "Far North", "--host-id", "N")
    shell.answer("scope", "add", "unit", "Loft", "--host-id", "l", "--parent", "far north")
    assert "still has nodes below it" in shell.fail(1, "scope", "remove", "location/n")
    assert "the root scope" in shell.fail(1, "scope", "remove", "organisation")
    assert "Plan hash" in shell.answer("scope", "remove", "unit/l", "--preview")
    assert shell.answer("scope", "remove", "loft") == "Scope Loft (unit/l) is removed.\n"
    assert "there is no scope 'loft'" in shell.fail(1, "scope", "remove", "loft")


# Roles

ROLE = ("--label", "Night porter", "--at", "organisation", "--rank", "2")


def test_custom_role_is_given_and_cannot_go_while_in_use(shell: Shell) -> None:
    shell.set_up()
    shell.write_export(export(people("anna"), {"night": ["anna"]}))
    shell.add_directory()
    shell.answer("sync", "run")

    permission = ("--permission", "security_alarm.manage")
    assert "Plan hash" in shell.answer("role", "add", "Porter", *ROLE, *permission, "--preview")
    shell.answer("role", "add", "Porter", *ROLE, *permission)
    shell.answer("rules", "add", "--group", "night", "--role", "porter", "--scope", "organisation")

    assert "custom" in shell.answer("role", "list")
    shell.answer("decide", "anna", "security_alarm.manage", "organisation")
    assert "is in use" in shell.fail(1, "role", "remove", "Porter")
    (rule,) = shell.json("rules", "list")
    shell.answer("rules", "remove", rule["id"])
    assert shell.answer("role", "remove", "porter") == "Role 'Porter' is deleted.\n"
    assert "there is no custom role 'Admin'" in shell.fail(1, "role", "remove", "admin")


@pytest.mark.parametrize(
    ("name", "permission", "expected"),
    [
        ("Payer", "billing.manage", "billing.manage belongs to the owner and to no role"),
        ("Owner", "tasks.view", "'owner' cannot be a role"),
        ("Admin", "tasks.view", "is a role of the catalogue"),
        ("Flyer", "planes.fly", "has no permission 'planes.fly'"),
    ],
)
def test_custom_role_may_not_hold_everything(shell: Shell, name: str, permission: str, expected: str) -> None:
    shell.set_up()

    assert expected in shell.fail(1, "role", "add", name, *ROLE, "--permission", permission)


# Environments


def test_permission_table_is_that_of_the_document(blank_shell: Shell) -> None:
    for name in ("minut", "minikai"):
        catalogue = load_catalogue(shipped_catalogue(name) or "", source=name)

        text = blank_shell.answer("environment", "show", name, "--rulings")
        document = blank_shell.json("environment", "show", name)

        assert "Not loaded here" in text
        assert [row["text"] for row in document["table"]] == [row.text for row in catalogue.table]
        for row in catalogue.table:
            line = next(line for line in text.splitlines() if f" {row.text} " in line)
            assert line.split()[0] == str(row.number)
            marks = [cell.mark for cell in row.cells.values() if cell.mark]
            assert all(mark in line for mark in marks)
        assert all(ruling in text for ruling in catalogue.rulings)


def test_environment_is_checked_with_all_faults(blank_shell: Shell) -> None:
    path = blank_shell.folder / "mine.yaml"
    text = shipped_catalogue("minut") or ""
    path.write_text(text, encoding="utf-8")
    assert "no fault found" in blank_shell.answer("environment", "check", str(path))
    assert blank_shell.json("environment", "check", str(path))["environment"] == "minut"

    path.write_text(
        text.replace("rank: 3", "rank: high").replace("version: 1", "version: one"), encoding="utf-8"
    )
    message = blank_shell.fail(1, "environment", "check", str(path))

    assert len(message.splitlines()) == 2
    assert all(line.startswith(f"{path}:") for line in message.splitlines())
    assert "cannot be read" in blank_shell.fail(
        3, "environment", "check", str(blank_shell.folder / "none.yaml")
    )


def test_environment_is_loaded_once_and_shown(shell: Shell) -> None:
    assert "is new" in shell.answer("environment", "load", "minikai")
    assert "is loaded already" in shell.answer("environment", "load", "minikai")
    assert "Not loaded" not in shell.answer("environment", "show", "minikai")
    assert "no catalogue 'moon' comes with Usher" in shell.fail(1, "environment", "load", "moon")
    assert "there is no environment 'moon'" in shell.fail(1, "environment", "show", "moon")


def test_changed_catalogue_is_followed_by_every_organisation(shell: Shell) -> None:
    shell.set_up()
    shell.write_export(export(people("anna"), {"staff": ["anna"]}))
    shell.add_directory()
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
    text = shipped_catalogue("minut") or ""
    assert "Denied" in shell.answer("decide", "anna", "devices.remove", "organisation", code=1)
    path = shell.folder / "minut.yaml"
    wider = text.replace(
        "      - devices.add\n      - tasks.view\n",
        "      - devices.add\n      - devices.remove\n      - tasks.view\n",
    )
    assert wider != text
    path.write_text(wider, encoding="utf-8")
    shell.mark()

    answer = shell.answer("environment", "load", str(path))

    assert answer == f"Environment 'minut' (Minut, version 1) has changed. Worked out anew: {ACME}.\n"
    assert "Allowed" in shell.answer("decide", "anna", "devices.remove", "organisation")
    assert shell.new_actions() == ["environment.loaded"]
    assert "Worked out" not in shell.answer("environment", "load", str(path))


def test_catalogue_that_lacks_what_is_used_is_refused(shell: Shell) -> None:
    shell.set_up()
    shell.answer("scope", "add", "unit", "Loft", "--host-id", "l")
    shell.write_export(export(people("anna"), {"staff": ["anna"]}))
    shell.add_directory("hq", "--default-role", "Operator")
    shell.answer("sync", "run")
    shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "unit/l")
    smaller = """\
id: minut
name: Minut
version: 2
resolution: union
administrator_role: Admin
plan_required: false
scope_kinds:
  organisation: {label: Organisation, parents: []}
permissions:
  things.do: {label: Do things}
roles:
  Admin: {label: Admin, rank: 3, scope_kinds: [organisation], permissions: [things.do]}
plans: {}
"""
    path = shell.folder / "small.yaml"
    path.write_text(smaller, encoding="utf-8")

    message = shell.fail(1, "environment", "load", str(path))

    for part in ("the plan 'Standard'", "the role 'Member'", "the role 'Operator'", "the kind 'unit'"):
        assert part in message
    assert shell.json("environment", "show", "minut")["version"] == 1


def test_load_that_was_cut_off_is_ended_by_the_next(shell: Shell) -> None:
    shell.set_up()
    changed = (shipped_catalogue("minut") or "").replace("name: Minut\n", "name: Minut Plus\n")
    catalogue = load_catalogue(changed, source="x")
    with shell.wiring() as wiring:
        wiring.store.put_environment(
            catalogue.id, changed, sha256(changed.encode()).hexdigest(), wiring.clock()
        )
    path = shell.folder / "minut.yaml"
    path.write_text(changed, encoding="utf-8")
    version = shell.state().model_version

    answer = shell.answer("environment", "load", str(path))

    assert "is loaded already. Worked out anew" in answer
    assert shell.state().model_version == version + 1
