"""`usher rules`: which directory group or attribute gives which role, and where."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from directory.changes import Change, PutRule, RemoveRule
from directory.ids import GroupId, RuleId
from mappings.lint import Severity
from mappings.rules import Rule
from mappings.scopes import ScopeGraph
from provisioning import queries
from provisioning.models import OrganisationModel
from service.administration import Administration
from service.cli.changing import carry_out, preview_options, show_preview
from service.cli.exits import REFUSED
from service.cli.frame import UsherGroup, current, organisation_option
from service.files import read_text
from service.labels import match_label, scope_name
from service.names import find_rule
from service.rule_files import (
    DEFAULT_PRIORITY,
    RuleChanges,
    RuleText,
    WantedRule,
    compare_rules,
    parse_rules,
    resolve_rules,
)

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = {
    "priority": "Priority",
    "kind": "By",
    "match": "Matches",
    "role": "Role",
    "scope": "At",
    "version": "Version",
    "author": "Author",
    "id": "Id",
}


@click.group(cls=UsherGroup)
def rules() -> None:
    """Which group or attribute gives which role.

    A rule matches a directory group, a pattern of group names, or a filter, and gives a role at a scope.
    """


def _rule_options(command: F) -> F:
    options = (
        click.option("--group", default="", help="A directory group, by name, directory/name, or id."),
        click.option(
            "--pattern", default="", help="Group names with a scope in them: 'minut-{unit}-cleaners'."
        ),
        click.option(
            "--filter", "filter_text", default="", help="A SCIM filter: 'department eq \"Housekeeping\"'."
        ),
        click.option(
            "--directory", default="", help="Whose groups or people; needed where there are several."
        ),
        click.option("--role", default="", help="The role to give."),
        click.option("--scope", default="", help="Where: kind/host id, name, id, or organisation."),
        click.option(
            "--priority", type=click.IntRange(0, 1_000_000), default=DEFAULT_PRIORITY, show_default=True
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _rule_text(
    group: str, pattern: str, filter_text: str, directory: str, role: str, scope: str, priority: int
) -> RuleText:
    if sum(map(bool, (group, pattern, filter_text))) != 1:
        raise click.UsageError("say whom the rule matches by exactly one of --group, --pattern and --filter")
    if not role:
        raise click.UsageError("say which role the rule gives by --role")
    return RuleText(
        role=role,
        scope=scope,
        group=group,
        pattern=pattern,
        filter=filter_text,
        directory=directory,
        priority=priority,
    )


def _read_model(administration: Administration) -> OrganisationModel:
    with administration.read() as reader:
        return administration.wiring.models.get(reader, reader.organisation())


def _group_names(model: OrganisationModel) -> dict[GroupId, str]:
    return {group.group_id: group.display_name for group in model.inputs.groups}


def _rule_row(rule: Rule, groups: Mapping[GroupId, str], scopes: ScopeGraph) -> dict[str, object]:
    kind, match = match_label(rule.match, groups)
    return {
        "id": rule.rule_id,
        "version": rule.version,
        "priority": rule.priority,
        "kind": kind,
        "match": match,
        "role": rule.role,
        "scope": scope_name(scopes, rule.scope_id) or "(from the name)",
        "author": rule.author,
        "created_at": rule.created_at,
    }


@rules.command("list")
@organisation_option
def list_() -> None:
    """List the rules in the order in which they count."""
    model = _read_model(current().administration)
    groups = _group_names(model)
    dangling = {rule.rule_id: fault.text for rule, fault in model.access.dangling}
    ordered = sorted(model.inputs.rules, key=lambda rule: (rule.priority, rule.rule_id))
    rows = [
        {**_rule_row(rule, groups, model.scopes), "dangling": dangling.get(rule.rule_id, "")}
        for rule in ordered
    ]
    columns = {**_COLUMNS, "dangling": "Grants nothing because"} if dangling else _COLUMNS
    current().output.listing(rows, columns, empty="There is no rule yet; see 'usher rules add --help'.")


@rules.command()
@_rule_options
@preview_options
@organisation_option
def add(
    group: str,
    pattern: str,
    filter_text: str,
    directory: str,
    role: str,
    scope: str,
    priority: int,
    preview: bool,
    plan_hash: str,
) -> None:
    """Add a rule. It counts at once for everybody it matches."""
    text = _rule_text(group, pattern, filter_text, directory, role, scope, priority)
    administration = current().administration
    put = _resolve_one(administration, text)
    outcome = carry_out(administration, [put], preview=preview, plan_hash=plan_hash)
    if outcome is None:
        return
    kind, match = match_label(put.match, _group_names(_read_model(administration)))
    at = f" at {scope}" if scope else ""
    current().output.say(
        f"Rule added: {kind} '{match}' gives {put.role}{at}. {_effect(outcome.counters)}",
        {"rule_id": put.rule_id, "counters": dict(outcome.counters), "events": outcome.events},
    )


def _resolve_one(administration: Administration, text: RuleText) -> PutRule:
    with administration.read() as reader:
        model = administration.wiring.models.get(reader, reader.organisation())
        (wanted,) = resolve_rules([text], reader, model)
    rule_id = RuleId(administration.wiring.mint.id())
    return PutRule(rule_id, wanted.match, wanted.role, wanted.scope_id, wanted.priority)


def _effect(counters: Mapping[str, int]) -> str:
    given, taken = counters.get("grants_opened", 0), counters.get("grants_closed", 0)
    seated, waiting = counters.get("seats_seated", 0), counters.get("seats_waiting", 0)
    return f"{given} grants given, {taken} taken; {seated} people seated, {waiting} put on the waiting list."


@rules.command()
@click.argument("name", metavar="RULE")
@preview_options
@organisation_option
def remove(name: str, preview: bool, plan_hash: str) -> None:
    """Remove a rule, by its id or the end of it."""
    administration = current().administration
    rule = find_rule(_read_model(administration).inputs.rules, name)
    outcome = carry_out(administration, [RemoveRule(rule.rule_id)], preview=preview, plan_hash=plan_hash)
    if outcome is not None:
        current().output.say(
            f"Rule {rule.rule_id} is removed. {_effect(outcome.counters)}",
            {"rule_id": rule.rule_id, "counters": dict(outcome.counters), "events": outcome.events},
        )


@rules.command()
@_rule_options
@click.option("--remove", "removed", default="", metavar="RULE", help="Preview the removal of this rule.")
@click.option(
    "-f", "--file", type=click.Path(path_type=Path), help="Preview making the rules equal to a file."
)
@organisation_option
def preview(
    group: str,
    pattern: str,
    filter_text: str,
    directory: str,
    role: str,
    scope: str,
    priority: int,
    removed: str,
    file: Path | None,
) -> None:
    """Say whom a rule, a removal or a rules file would touch: access, permissions and seats before and after."""
    administration = current().administration
    changes: Sequence[Change]
    if file is not None:
        compared = _compare_file(administration, file, directory)
        _show_changes(compared, _read_model(administration))
        changes = compared.changes
    elif removed:
        changes = [RemoveRule(find_rule(_read_model(administration).inputs.rules, removed).rule_id)]
    else:
        text = _rule_text(group, pattern, filter_text, directory, role, scope, priority)
        changes = [_resolve_one(administration, text)]
    show_preview(administration, administration.preview(changes))


@rules.command("apply")
@click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="Rules in YAML.")
@click.option("--directory", default="", help="Whose groups or people, where a rule does not say.")
@click.option(
    "--plan", "plan_hash", default="", metavar="HASH", help="Apply what was previewed under this hash."
)
@click.option("--yes", is_flag=True, help="Apply at once what the preview shows.")
@organisation_option
def apply_(file: Path, directory: str, plan_hash: str, yes: bool) -> None:
    """Make the rules equal to a file: preview first, then the same again with --plan HASH or --yes."""
    call = current()
    administration = call.administration
    compared = _compare_file(administration, file, directory)
    document = _changes_document(compared)
    if not compared.changes:
        call.output.say("The rules are as the file says.", {**document, "applied": True})
        return
    if not plan_hash:
        foresight = administration.preview(compared.changes)
        # A program that says yes gets one document, that of what was done.
        if not (yes and call.is_json):
            _show_changes(compared, _read_model(administration))
            show_preview(administration, foresight, document={**document, "applied": False})
        plan_hash = foresight.plan_hash
        if not yes:
            again = f"usher rules apply -f {shlex.quote(str(file))} --plan {plan_hash}"
            call.output.note(f"Nothing is applied yet. To apply exactly this: {again}")
            return
    outcome = administration.apply_previewed(compared.changes, plan_hash)
    call.output.say(
        f"{len(compared.added)} rules added, {len(compared.changed)} changed, {len(compared.removed)} removed, "
        f"{compared.unchanged} unchanged. {_effect(outcome.counters)}",
        {**document, "applied": True, "plan_hash": plan_hash, "counters": dict(outcome.counters)},
    )


def _compare_file(administration: Administration, file: Path, directory: str) -> RuleChanges:
    texts = parse_rules(read_text(file), source=str(file))
    with administration.read() as reader:
        model = administration.wiring.models.get(reader, reader.organisation())
        wanted = resolve_rules(texts, reader, model, source=str(file), directory=directory)
    return compare_rules(model.inputs.rules, wanted, administration.wiring.mint)


def _changes_document(compared: RuleChanges) -> dict[str, object]:
    return {
        "added": len(compared.added),
        "changed": len(compared.changed),
        "removed": len(compared.removed),
        "unchanged": compared.unchanged,
    }


def _show_changes(compared: RuleChanges, model: OrganisationModel) -> None:
    output = current().output
    if output.is_json:
        return
    groups = _group_names(model)

    def told(rule: Rule | PutRule | WantedRule) -> str:
        kind, match = match_label(rule.match, groups)
        at = f" at {scope_name(model.scopes, rule.scope_id)}" if rule.scope_id else ""
        return f"{kind} '{match}' gives {rule.role}{at}, priority {rule.priority}"

    for put in compared.added:
        output.line(f"  add     {told(put)}")
    for rule, changed in compared.changed:
        output.line(f"  change  {told(rule)}")
        output.line(f"  to      {told(changed)}")
    for rule in compared.removed:
        output.line(f"  remove  {told(rule)}")


@rules.command()
@organisation_option
def lint() -> None:
    """Find rules that do nothing, are shadowed, dangle, or give more than they seem to. Exit code 1 for an error."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        findings = queries.lint(reader, administration.wiring.models, now=administration.wiring.clock())
    rows = [
        {
            "severity": finding.severity.value,
            "kind": finding.kind.value,
            "rule": finding.rule_id,
            "text": finding.text,
            "others": list(finding.others),
        }
        for finding in findings
    ]
    columns = {"severity": "Severity", "kind": "Kind", "text": "Finding"}
    call.output.listing(rows, columns, empty="No rule is dead, shadowed, dangling or escalating.")
    if any(finding.severity is Severity.ERROR for finding in findings):
        click.get_current_context().exit(REFUSED)
