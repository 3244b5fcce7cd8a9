"""Mapping rules as a YAML file: read, resolved against an organisation, and compared with the rules that stand.

A rule names its group by the group's name or id; what is stored goes by the id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from directory.changes import AttributeMatch, Change, GroupMatch, Match, NameMatch, PutRule, RemoveRule
from directory.facts import name_key
from directory.ids import RoleId, RuleId, ScopeId
from mappings.catalogue import RESERVED_ROLES
from mappings.rules import Rule
from mappings.yaml_nodes import NodeReader
from provisioning.models import OrganisationModel
from provisioning.ports import Mint, Reader
from service.errors import AmbiguousNameError, InputError, NotFoundError
from service.names import find_directory, find_group, find_role, find_scope

DEFAULT_PRIORITY = 100
_KINDS = ("group", "pattern", "filter")


@dataclass(frozen=True, slots=True)
class RuleText:
    """One rule in a person's words. Exactly one of `group`, `pattern` and `filter` is given. `line` 0: no file."""

    role: str
    scope: str = ""
    group: str = ""
    pattern: str = ""
    filter: str = ""
    directory: str = ""
    priority: int = DEFAULT_PRIORITY
    line: int = 0


@dataclass(frozen=True, slots=True)
class WantedRule:
    """One rule as it shall be, without an id yet."""

    match: Match
    role: RoleId
    scope_id: ScopeId | None
    priority: int


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """What makes the rules equal to a file. `changed` holds each rule that gets a new version, with that version."""

    added: tuple[PutRule, ...]
    changed: tuple[tuple[Rule, PutRule], ...]
    removed: tuple[Rule, ...]
    unchanged: int

    @property
    def changes(self) -> tuple[Change, ...]:
        """Removals come last: nobody loses and regains access in between."""
        return (
            *self.added,
            *(put for _, put in self.changed),
            *(RemoveRule(rule.rule_id) for rule in self.removed),
        )


def parse_rules(text: str, *, source: str) -> list[RuleText]:
    """Read a rules file: a mapping with the one key `rules`. Raises InputError with every fault and its line."""
    reader = NodeReader(source)
    tree = reader.read_tree(text)
    found: list[RuleText] = []
    if tree is not None:
        fields = reader.fields(tree, "the rules file", required=("rules",))
        if "rules" in fields:
            found = [_parse_rule(reader, node) for node in reader.items(fields["rules"], "rules")]
    if reader.faults:
        raise InputError([str(fault) for fault in sorted(reader.faults)])
    return found


def _parse_rule(reader: NodeReader, node: yaml.Node) -> RuleText:
    what = "a rule"
    fields = reader.fields(
        node, what, required=("role",), optional=(*_KINDS, "scope", "directory", "priority")
    )
    texts = {
        key: reader.text(value, f"{key} of {what}") for key, value in fields.items() if key != "priority"
    }
    priority = DEFAULT_PRIORITY
    if "priority" in fields:
        priority = reader.number(fields["priority"], f"priority of {what}") or 0
    kinds = [kind for kind in _KINDS if kind in fields]
    if len(kinds) != 1 and isinstance(node, yaml.MappingNode):
        reader.note(
            node, f"{what} names one of {', '.join(_KINDS)}; this one names {' and '.join(kinds) or 'none'}"
        )
    return RuleText(
        role=texts.get("role", ""),
        scope=texts.get("scope", ""),
        group=texts.get("group", ""),
        pattern=texts.get("pattern", ""),
        filter=texts.get("filter", ""),
        directory=texts.get("directory", ""),
        priority=priority,
        line=node.start_mark.line + 1,
    )


def resolve_rules(
    texts: Sequence[RuleText],
    reader: Reader,
    model: OrganisationModel,
    *,
    source: str = "",
    directory: str = "",
) -> list[WantedRule]:
    """Find what the rules name in the organisation. `directory` is whom patterns and filters are about by default.

    Raises: InputError with every rule of a file that names something that is not there, or is there twice; for a rule
    of no file, the NotFoundError or AmbiguousNameError itself.
    """
    faults: list[str] = []
    wanted: dict[WantedRule, int] = {}
    for text in texts:
        place = f"{source}:{text.line}: "
        try:
            rule = WantedRule(
                match=_resolve_match(text, reader, directory),
                role=_resolve_role(text.role, model),
                scope_id=find_scope(model.scopes, text.scope).scope_id if text.scope else None,
                priority=text.priority,
            )
        except (NotFoundError, AmbiguousNameError) as error:
            if not text.line:
                raise
            faults.append(f"{place}{error}")
            continue
        if rule in wanted:
            faults.append(f"{place}the same rule stands on line {wanted[rule]} already; keep one of them")
        wanted.setdefault(rule, text.line)
    if faults:
        raise InputError(faults)
    return list(wanted)


def _resolve_role(name: str, model: OrganisationModel) -> RoleId:
    """A reserved name passes: the write path says why no rule gives it."""
    return RoleId(name) if name_key(name) in RESERVED_ROLES else find_role(model, name)


def _resolve_match(text: RuleText, reader: Reader, directory: str) -> Match:
    if text.group:
        name = f"{text.directory}/{text.group}" if text.directory else text.group
        return GroupMatch(find_group(reader, name).group_id)
    directory_id = find_directory(reader, text.directory or directory).directory_id
    if text.pattern:
        return NameMatch(directory_id, text.pattern)
    return AttributeMatch(directory_id, text.filter)


def compare_rules(stored: Iterable[Rule], wanted: Iterable[WantedRule], mint: Mint) -> RuleChanges:
    """Find the fewest changes. A rule about the same people keeps its id and its history where it can."""
    left = {rule.rule_id: rule for rule in stored}
    missing = list(wanted)
    pairs: list[tuple[Rule, WantedRule]] = []
    # From the closest likeness to the faintest: all equal; all but the priority; all but role or scope; the match.
    for likeness in (
        lambda rule: (rule.match, rule.role, rule.scope_id, rule.priority),
        lambda rule: (rule.match, rule.role, rule.scope_id),
        lambda rule: (rule.match, rule.scope_id),
        lambda rule: (rule.match, rule.role),
        lambda rule: rule.match,
    ):
        for rule in list(left.values()):
            like = next((want for want in missing if likeness(want) == likeness(rule)), None)
            if like is not None:
                pairs.append((rule, like))
                missing.remove(like)
                del left[rule.rule_id]
    changed = tuple((rule, _put(rule.rule_id, want)) for rule, want in pairs if not _is_same(rule, want))
    return RuleChanges(
        added=tuple(_put(RuleId(mint.id()), want) for want in missing),
        changed=changed,
        removed=tuple(left.values()),
        unchanged=len(pairs) - len(changed),
    )


def _is_same(rule: Rule, want: WantedRule) -> bool:
    return (rule.match, rule.role, rule.scope_id, rule.priority) == (
        want.match,
        want.role,
        want.scope_id,
        want.priority,
    )


def _put(rule_id: RuleId, want: WantedRule) -> PutRule:
    return PutRule(rule_id, want.match, want.role, want.scope_id, want.priority)
