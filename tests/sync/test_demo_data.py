"""The two sample companies read without a fault, and their rules name what is there."""

from pathlib import Path
from typing import NamedTuple, TypedDict

import pytest
import yaml

import service
from directory.facts import Activity, UserFacts
from directory.filters import matches, parse_filter
from directory.ids import ExternalId
from mappings.catalogue import load_catalogue
from mappings.rules import parse_pattern
from sync.export_file import open_export
from sync.ldif_source import LDIFSource
from sync.outcome import Complete
from sync.snapshot import Snapshot, SnapshotCounts, SnapshotGroup
from tests.sync.builders import dialect

PACKAGE = Path(service.__file__).parent
COMPANIES = {"minut": "openldap", "minikai": "active_directory"}


class Scope(TypedDict):
    kind: str
    host_id: str
    parents: list[str]


class Company(NamedTuple):
    users: dict[ExternalId, UserFacts]
    groups: dict[str, SnapshotGroup]
    counts: SnapshotCounts
    scopes: list[Scope]
    rules: list[dict[str, str]]


def company(name: str) -> Company:
    folder = PACKAGE / "demo_data" / name
    with open_export(folder, "directory.ldif") as export:
        reading = Snapshot(LDIFSource(export), dialect=dialect(COMPANIES[name]))
        users = {user.external_id: reading.user_facts(user) for user in reading.users()}
        groups = {group.facts.display_name: group for group in reading.groups()}
    assert reading.outcome == Complete()
    scopes = yaml.safe_load((folder / "scopes.yaml").read_text(encoding="utf-8"))["scopes"]
    rules = yaml.safe_load((folder / "rules.yaml").read_text(encoding="utf-8"))["rules"]
    return Company(users, groups, reading.counts, scopes, rules)


def place(scope: Scope) -> str:
    return f"{scope['kind']}/{scope['host_id']}"


@pytest.mark.parametrize("name", COMPANIES)
def test_a_sample_directory_is_read_without_a_fault(name: str) -> None:
    counts = company(name).counts

    assert (counts.rejected, counts.dangling_members, counts.shared_mail, counts.unknown_activity) == (
        0,
        0,
        0,
        0,
    )
    assert counts.missing_primary_groups == 0


@pytest.mark.parametrize(
    ("name", "users", "groups", "disabled"), [("minut", 46, 35, 2), ("minikai", 37, 11, 2)]
)
def test_a_sample_company_is_as_large_as_its_story(name: str, users: int, groups: int, disabled: int) -> None:
    read = company(name)

    assert (len(read.users), len(read.groups)) == (users, groups)
    assert sum(user.activity is Activity.DISABLED for user in read.users.values()) == disabled
    assert any(group.subgroups for group in read.groups.values())


@pytest.mark.parametrize("name", COMPANIES)
def test_every_rule_of_a_sample_names_a_role_a_scope_and_somebody(name: str) -> None:
    read = company(name)
    catalogue_file = PACKAGE.parent / "mappings" / "catalogues" / f"{name}.yaml"
    catalogue = load_catalogue(catalogue_file.read_text(encoding="utf-8"), source=name)
    places = {"organisation"} | {place(scope) for scope in read.scopes}
    host_ids = {(scope["kind"], scope["host_id"].lower()) for scope in read.scopes}

    for rule in read.rules:
        assert rule["role"] in catalogue.roles
        if "pattern" in rule:
            pattern = parse_pattern(rule["pattern"])
            captured = {text for group in read.groups if (text := pattern.capture(group)) is not None}
            assert captured
            assert {(pattern.kind, text) for text in captured} <= host_ids
        elif "filter" in rule:
            tree = parse_filter(rule["filter"])
            assert rule["scope"] in places
            assert any(matches(tree, user.attributes) for user in read.users.values())
        else:
            assert rule["scope"] in places
            assert read.groups[rule["group"]].members


@pytest.mark.parametrize("name", COMPANIES)
def test_every_parent_of_a_sample_scope_is_there(name: str) -> None:
    read = company(name)
    places = {"organisation"} | {place(scope) for scope in read.scopes}

    assert {parent for scope in read.scopes for parent in scope["parents"]} <= places


@pytest.mark.parametrize("file", ["directory.ldif", "scopes.yaml", "rules.yaml"])
@pytest.mark.parametrize("name", COMPANIES)
def test_every_sample_file_begins_by_inviting_to_edit_it(name: str, file: str) -> None:
    head = (PACKAGE / "demo_data" / name / file).read_text(encoding="utf-8")[:400]

    assert head.startswith("# ")
    assert "Edit " in head


def test_a_person_added_to_a_sample_is_read(tmp_path: Path) -> None:
    text = (PACKAGE / "demo_data" / "minut" / "directory.ldif").read_text(encoding="utf-8")
    added = (
        "dn: uid=new,ou=people,dc=kusthem,dc=example\nobjectClass: inetOrgPerson\nuid: new\ncn: Åsa Ny\n"
        "entryUUID: 11111111-2222-4333-8444-555555555555\n\n"
    )
    (tmp_path / "directory.ldif").write_text(text + added, encoding="utf-8")

    with open_export(tmp_path, "directory.ldif") as export:
        reading = Snapshot(LDIFSource(export), dialect=dialect())
        names = {reading.user_facts(user).display_name for user in reading.users()}

    assert "Åsa Ny" in names
    assert reading.outcome == Complete()
