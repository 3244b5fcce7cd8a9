"""The figures of the core: decisions, resolution, imports, one membership, one rule, the audit row."""

import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, update

import mappings
from audit.events import FieldChange, Target
from bench.databases import DATABASES, fresh_database
from bench.figures import Figure, at_least, at_most, cpu_seconds, in_own_process, interleave, seconds
from bench.place import OPERATOR, Place, open_place
from directory.changes import AddMembers, GroupMatch, PutRule, RemoveMembers, RemoveRule
from directory.graph import GroupGraph
from directory.ids import DirectoryId, ExternalId, GroupId, MemberId, RoleId, RuleId, ScopeId, UserId
from mappings.access import LinkedUser, MemberFacts, compile_model, resolve_access
from mappings.catalogue import Catalogue, Resolution, load_catalogue, roles_of
from mappings.decisions import DecisionIndex, decide
from mappings.rules import GroupNode, Rule
from mappings.scopes import ScopeGraph, ScopeNode
from provisioning.commands import Applied
from provisioning.foresight import Foresight, apply_previewed, preview_changes
from provisioning.ledger import Ledger
from provisioning.state import EventRow
from storage.bulk import BulkInsert
from storage.event_rows import append_event_rows
from storage.tables import organisation
from tests.seed import write_seed

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ROOT = ScopeId("root")
ROUNDS = 3
IMPORT_BOUND = {"sqlite": 30, "postgresql": 45}


def measure() -> Iterator[Figure]:
    """All figures of the core, the quick ones first."""
    yield from measure_decisions()
    yield from measure_resolution()
    for kind in DATABASES:
        yield from measure_audit_row(kind)
    for kind in DATABASES:
        yield from measure_imports(kind)
        yield from measure_changes(kind)


def _minut() -> Catalogue:
    text = files(mappings).joinpath("catalogues", "minut.yaml").read_text(encoding="utf-8")
    return load_catalogue(text, source="minut.yaml")


def _scopes() -> ScopeGraph:
    """1,000 nodes: 20 locations of 7 buildings of 6 units."""
    nodes = [ScopeNode(ROOT, "organisation", "Bench", "bench", ())]
    for number in range(999):
        location, building, unit = number // 50, number // 7, number
        if number % 50 == 0:
            node = ScopeNode(ScopeId(f"l{location}"), "location", f"L{location}", f"l{location}", (ROOT,))
        elif number % 7 == 0:
            parent = ScopeId(f"l{location}")
            node = ScopeNode(ScopeId(f"b{building}"), "building", f"B{building}", f"b{building}", (parent,))
        else:
            parent = ScopeId(f"l{location}")
            node = ScopeNode(ScopeId(f"u{unit}"), "unit", f"U{unit}", f"u{unit}", (parent,))
        nodes.append(node)
    return ScopeGraph(nodes, ROOT)


def measure_decisions() -> Iterator[Figure]:
    """100,000 members, 1,000 scopes, 300,000 grants; half of the questions are denied."""
    catalogue, scopes = _minut(), _scopes()
    roles = roles_of(catalogue, switches={})
    drawn = random.Random(1)
    ids = [node.scope_id for node in scopes.nodes()]
    members = [MemberId(f"m{number}") for number in range(100_000)]
    names = [RoleId("Admin"), RoleId("Member"), RoleId("Operator")]
    grants = [(drawn.choice(members), drawn.choice(names), drawn.choice(ids)) for _ in range(300_000)]

    def build() -> DecisionIndex:
        return DecisionIndex(
            roles=roles,
            permissions=catalogue.permissions,
            conditions=catalogue.conditions,
            owner_permissions=catalogue.owner_permissions,
            owner=members[0],
            scopes=scopes,
            grants=grants,
            access_version=1,
        )

    index = build()
    allowed = [(member, "tasks.view", scope_id) for member, _, scope_id in drawn.sample(grants, 50_000)]
    permissions = sorted(catalogue.permissions)
    others = [(drawn.choice(members), drawn.choice(permissions), drawn.choice(ids)) for _ in range(50_000)]
    questions = [*allowed, *others]
    drawn.shuffle(questions)

    def ask() -> None:
        for member, permission, resource in questions:
            decide(index, member, permission, resource)

    building, asking = interleave([build, ask], rounds=5)
    yield at_most("core.index_build", building, "s", 1)
    yield at_least("core.decide", len(questions) / asking, "1/s", 300_000)


def measure_resolution() -> Iterator[Figure]:
    """100,000 members in ten groups each of 2,000, against 200 rules."""
    catalogue, scopes = _minut(), _scopes()
    directory_id = DirectoryId("d")
    groups = [GroupNode(GroupId(f"g{number}"), directory_id, f"group {number}") for number in range(2_000)]
    ids = [node.scope_id for node in scopes.nodes()]
    drawn = random.Random(2)
    rules = [
        Rule(
            RuleId(f"r{number:03d}"),
            1,
            number,
            GroupMatch(groups[number * 10].group_id),
            RoleId(drawn.choice(["Admin", "Member", "Operator"])),
            drawn.choice(ids),
            "bench",
            NOW,
        )
        for number in range(200)
    ]
    model = compile_model(
        catalogue=catalogue,
        roles=roles_of(catalogue, switches={}),
        scopes=scopes,
        rules=rules,
        groups=groups,
        nesting=GroupGraph(()),
        resolution=Resolution.UNION,
        default_roles={directory_id: None},
    )
    people = [
        MemberFacts(
            MemberId(f"m{number}"),
            (
                LinkedUser(
                    UserId(f"u{number}"),
                    directory_id,
                    active=True,
                    groups=tuple(group.group_id for group in drawn.sample(groups, 10)),
                    attributes={},
                ),
            ),
        )
        for number in range(100_000)
    ]

    def resolve() -> None:
        for facts in people:
            resolve_access(model, facts, now=NOW)

    (taken,) = interleave([resolve], rounds=ROUNDS)
    yield at_most("core.resolve_100k", taken, "s", 3)


def measure_audit_row(kind: str) -> Iterator[Figure]:
    """CPU of a transaction that updates a row and adds an event, against one that adds the same bytes plainly."""
    with (
        tempfile.TemporaryDirectory() as folder,
        fresh_database(kind, Path(folder)) as url,
        open_place(url, Path(folder), is_new=True) as place,
    ):
        yield from _measure_audit_row(kind, place)


def _measure_audit_row(kind: str, place: Place) -> Iterator[Figure]:
    wiring, state = place.wiring, place.state
    scratch = MetaData()
    plain = Table(
        "plain", scratch, Column("id", Integer, primary_key=True), Column("body", LargeBinary, nullable=False)
    )
    scratch.create_all(wiring.database.engine)
    insert_plain = BulkInsert(plain, "body")
    touch = update(organisation).where(organisation.c.id == state.organisation_id).values(seated=state.seated)
    transactions, rounds = 400, 5

    def ledger() -> Ledger:
        return Ledger(
            organisation_id=state.organisation_id,
            actor=OPERATOR,
            now=wiring.clock(),
            mint=wiring.mint,
            kind="admin_action",
        )

    def record(events: Ledger) -> None:
        events.record(
            "role.granted",
            (
                Target("member", wiring.mint.id(), pii=wiring.mint.id()),
                Target("scope", wiring.mint.id(), role="object"),
            ),
            (FieldChange("role", None, "Member"), FieldChange("scope_id", None, wiring.mint.id())),
        )

    def prepare() -> list[EventRow]:
        prepared = ledger()
        for _ in range(transactions):
            record(prepared)
        return prepared.rows

    sets = [prepare() for _ in range(rounds)]
    plain_sets, event_sets = iter(sets), iter(sets)

    def write_plain() -> None:
        for row in next(plain_sets):
            with wiring.database.write() as connection:
                connection.execute(touch)
                insert_plain(connection, [(row.body,)])

    def write_events() -> None:
        for row in next(event_sets):
            with wiring.database.write() as connection:
                connection.execute(touch)
                append_event_rows(connection, state.organisation_id, [row])

    bare, audited = interleave([write_plain, write_events], rounds=rounds, clock=cpu_seconds)
    yield at_most(f"core.audit_row_{kind}", audited / bare, "ratio", 1.6)
    if kind == "sqlite":
        collected = ledger()

        def build() -> None:
            for _ in range(5_000):
                record(collected)

        taken = cpu_seconds(build)
        yield at_most("core.event_build", taken / 5_000 * 1e6, "us", 40)


def measure_imports(kind: str) -> Iterator[Figure]:
    """First import of 50,000 and of 100,000, and the first again, from an export of OpenLDAP's form."""
    results = {}
    for users in (50_000, 100_000):
        with tempfile.TemporaryDirectory() as folder, fresh_database(kind, Path(folder)) as url:
            write_seed(Path(folder) / "seed.ldif", users=users, groups=500)
            results[users] = in_own_process("bench.core_import", url, folder, "seed.ldif")
    small, large = results[50_000], results[100_000]
    yield at_most(f"core.import_50k_{kind}", small["first_seconds"], "s", IMPORT_BOUND[kind])
    yield at_most(f"core.import_50k_peak_{kind}", small["first_peak_mb"], "MB", 400)
    yield at_most(
        f"core.import_100k_ratio_{kind}", large["first_seconds"] / small["first_seconds"], "ratio", 2.2
    )
    yield at_most(f"core.import_again_{kind}", small["again_seconds"], "s", 4)
    yield at_most(f"core.import_again_rows_{kind}", small["again_rows"], "rows", 3)


def measure_changes(kind: str) -> Iterator[Figure]:
    """One member into a group of 20,000 and of 10; a rule on the group of 20,000."""
    with tempfile.TemporaryDirectory() as folder, fresh_database(kind, Path(folder)) as url:
        write_seed(Path(folder) / "seed.ldif", users=25_000, groups=200, odd=False)
        with open_place(url, Path(folder), is_new=True) as place:
            place.set_up("seed.ldif", rules=0)
            place.run()
            yield from _measure_membership(kind, place)
            yield from _measure_rule(kind, place)


def _measure_membership(kind: str, place: Place) -> Iterator[Figure]:
    large, small = place.group_by_size(20_000), place.group_by_size(10)
    assert place.location is not None
    place.do(PutRule(RuleId(place.wiring.mint.id()), GroupMatch(small), RoleId("Member"), place.location))
    rule_id = RuleId(place.wiring.mint.id())
    place.do(PutRule(rule_id, GroupMatch(large), RoleId("Member"), place.location))
    with place.unit_of_work.read() as reader:
        taken = reader.user_ids_of_group(large).keys() | reader.user_ids_of_group(small).keys()
        everyone = reader.users_of_members(reader.member_ids(None, 25_001))
    outside = iter([user.external_id for user in everyone if user.active and user.external_id not in taken])

    def move_into(group_id: GroupId) -> None:
        name = place.external_id(group_id)
        users: tuple[ExternalId, ...] = (next(outside),)
        added = place.do(AddMembers(name, users), directory_id=place.directory_id)
        assert added.counters["memberships_added"] == 1
        assert added.counters["grants_opened"] == 1
        place.do(RemoveMembers(name, users), directory_id=place.directory_id)

    into_large, into_small = interleave([lambda: move_into(large), lambda: move_into(small)], rounds=100)
    yield at_most(f"core.one_member_{kind}", into_large / into_small, "ratio", 1.3)
    place.do(RemoveRule(rule_id))


def _measure_rule(kind: str, place: Place) -> Iterator[Figure]:
    wiring = place.wiring
    large = place.group_by_size(20_000)
    assert place.location is not None
    command = place.command(
        PutRule(RuleId(wiring.mint.id()), GroupMatch(large), RoleId("Operator"), place.location)
    )
    tools = (place.unit_of_work, wiring.clock, wiring.mint, wiring.models)
    unit_of_work, clock, mint, models = tools
    foreseen: list[Foresight] = []

    def look() -> None:
        outcome = preview_changes(command, unit_of_work=unit_of_work, clock=clock, mint=mint, models=models)
        assert isinstance(outcome, Foresight)
        foreseen.append(outcome)

    (looking,) = interleave([look], rounds=ROUNDS)
    yield at_most(f"core.rule_preview_20k_{kind}", looking, "s", 2)
    done: list[object] = []
    plan_hash = foreseen[-1].plan_hash
    applying = seconds(
        lambda: done.append(
            apply_previewed(
                command, plan_hash, unit_of_work=unit_of_work, clock=clock, mint=mint, models=models
            )
        )
    )
    (applied,) = done
    assert isinstance(applied, Applied)
    assert applied.counters["grants_opened"] >= 19_000
    yield at_most(f"core.rule_apply_20k_{kind}", applying, "s", 10)
