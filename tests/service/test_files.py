"""Rules and scopes read from files, and compared with what stands."""

from datetime import UTC, datetime

from directory.changes import AttributeMatch, GroupMatch, PutRule, RemoveRule
from directory.ids import DirectoryId, GroupId, RoleId, RuleId, ScopeId
from mappings.rules import Rule
from service.files import shipped_catalogue
from service.rule_files import WantedRule, compare_rules
from service.wiring import SystemMint

GROUPS = [GroupMatch(GroupId(name)) for name in ("g1", "g2", "g3")]
SCOPES = [ScopeId(name) for name in ("s1", "s2")]
ADMIN, MEMBER = RoleId("Admin"), RoleId("Member")


def stored(name: str, match: GroupMatch, role: RoleId, scope_id: ScopeId, priority: int = 100) -> Rule:
    return Rule(RuleId(name), 1, priority, match, role, scope_id, "me", datetime(2026, 1, 1, tzinfo=UTC))


def test_equal_sets_need_no_change() -> None:
    changes = compare_rules(
        [stored("r1", GROUPS[0], ADMIN, SCOPES[0])],
        [WantedRule(GROUPS[0], ADMIN, SCOPES[0], 100)],
        SystemMint(),
    )

    assert changes.changes == ()
    assert changes.unchanged == 1


def test_closest_rule_is_changed_and_the_rest_added_and_removed() -> None:
    rules = [
        stored("same-match", GROUPS[0], ADMIN, SCOPES[0]),
        stored("other-role", GROUPS[1], ADMIN, SCOPES[0]),
        stored("other-scope", GROUPS[1], MEMBER, SCOPES[0]),
        stored("gone", GROUPS[2], ADMIN, SCOPES[0]),
    ]
    wanted = [
        WantedRule(GROUPS[0], MEMBER, SCOPES[1], 100),
        WantedRule(GROUPS[1], MEMBER, SCOPES[1], 100),
        WantedRule(GROUPS[1], RoleId("Operator"), SCOPES[0], 100),
        WantedRule(AttributeMatch(DirectoryId("d"), "title pr"), ADMIN, SCOPES[0], 5),
    ]

    changes = compare_rules(rules, wanted, SystemMint())

    assert {(old.rule_id, put.role, put.scope_id) for old, put in changes.changed} == {
        ("same-match", MEMBER, SCOPES[1]),
        ("other-role", RoleId("Operator"), SCOPES[0]),
        ("other-scope", MEMBER, SCOPES[1]),
    }
    (added,) = changes.added
    assert (added.match, added.priority) == (wanted[3].match, 5)
    assert [rule.rule_id for rule in changes.removed] == ["gone"]
    assert isinstance(changes.changes[0], PutRule)
    assert changes.changes[-1] == RemoveRule(RuleId("gone"))


def test_shipped_catalogues_are_found_by_name_only() -> None:
    assert shipped_catalogue("../catalogues/minut") is None
    assert (shipped_catalogue("minut") or "").count("MT-14")


def test_mint_gives_different_ids_and_salts() -> None:
    mint = SystemMint()
    salts = [mint.salt() for _ in range(3000)]

    assert len(set(salts)) == 3000
    assert {len(salt) for salt in salts} == {16}
    ids = [mint.id() for _ in range(100)]
    assert ids == sorted(set(ids))
    assert ids[0][14] == "7"
