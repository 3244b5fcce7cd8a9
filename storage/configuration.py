"""What administrators set up: directories, rules, scopes, roles and domains."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import bindparam, delete, insert, literal_column, select, update

from directory.changes import AttributeMatch, GroupMatch, Match, NameMatch, PutRole, PutScope
from directory.ids import RoleId, RuleId, ScopeId
from mappings.rules import GroupNode, Rule
from mappings.scopes import ScopeNode
from provisioning.ports import ModelInputs
from provisioning.state import Cursor, StoredDirectory
from storage.tables import directory, directory_group, domain, role, rule, scope, subgroup
from storage.types import Document, Id, Moment, is_id, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View

_AT = bindparam("at", type_=Moment)

_RULES = rule.c
_RULE_OF_ORGANISATION = _RULES.organisation_id == ORGANISATION
_RULE = bindparam("of_rule", type_=Id)
_RULE_COLUMNS = (
    _RULES.id,
    _RULES.version,
    _RULES.priority,
    _RULES.match_kind,
    _RULES.group_id,
    _RULES.directory_id,
    _RULES.expression,
    _RULES.role,
    _RULES.scope_id,
    _RULES.author,
    _RULES.created_at,
)
_SELECT_CURRENT_RULES = (
    select(*_RULE_COLUMNS).where(_RULE_OF_ORGANISATION, _RULES.replaced_at.is_(None)).order_by(_RULES.id)
)
_SELECT_RULE_VERSIONS = (
    select(*_RULE_COLUMNS).where(_RULE_OF_ORGANISATION, _RULES.id == _RULE).order_by(_RULES.version)
)
_END_RULE = (
    update(rule)
    .values(replaced_at=_AT)
    .where(_RULE_OF_ORGANISATION, _RULES.id == _RULE, _RULES.replaced_at.is_(None))
)
_INSERT_RULE = insert(rule)

_SCOPES = scope.c
_SCOPE_OF_ORGANISATION = _SCOPES.organisation_id == ORGANISATION
_SCOPE = bindparam("of_scope", type_=Id)
_SELECT_SCOPES = (
    select(_SCOPES.id, _SCOPES.kind, _SCOPES.name, _SCOPES.host_id, _SCOPES.parents)
    .where(_SCOPE_OF_ORGANISATION, _SCOPES.removed_at.is_(None))
    .order_by(_SCOPES.id)
)
_SELECT_ANY_SCOPE = select(_SCOPES.id).where(_SCOPE_OF_ORGANISATION, _SCOPES.id == _SCOPE)
_UPDATE_SCOPE = (
    update(scope)
    .values(
        kind=bindparam("new_kind"),
        name=bindparam("new_name"),
        host_id=bindparam("new_host_id"),
        parents=bindparam("new_parents", type_=Document),
        removed_at=None,
    )
    .where(_SCOPE_OF_ORGANISATION, _SCOPES.id == _SCOPE)
)
_INSERT_SCOPE = insert(scope)
_END_SCOPE = (
    update(scope)
    .values(removed_at=_AT)
    .where(_SCOPE_OF_ORGANISATION, _SCOPES.id == _SCOPE, _SCOPES.removed_at.is_(None))
)

_ROLES = role.c
_ROLE_OF_ORGANISATION = _ROLES.organisation_id == ORGANISATION
_SELECT_ROLES = (
    select(_ROLES.id, _ROLES.label, _ROLES.permissions, _ROLES.scope_kinds, _ROLES.rank)
    .where(_ROLE_OF_ORGANISATION)
    .order_by(_ROLES.id)
)
_DELETE_ROLE = delete(role).where(_ROLE_OF_ORGANISATION, _ROLES.id == bindparam("of_role"))
_INSERT_ROLE = insert(role)

_DOMAIN_OF_ORGANISATION = domain.c.organisation_id == ORGANISATION
_SELECT_DOMAINS = select(domain.c.domain).where(
    _DOMAIN_OF_ORGANISATION, domain.c.state.in_((literal_column("'verified'"), literal_column("'missing'")))
)
# The operator's word, which no record in the DNS has to prove.
_VERIFY_DOMAIN = (
    update(domain)
    .values(state="verified", challenge="", verified_at=_AT, checked_at=None, missing_since=None)
    .where(_DOMAIN_OF_ORGANISATION, domain.c.domain == bindparam("named"))
)
_INSERT_DOMAIN = insert(domain)

_DIRECTORIES = directory.c
_DIRECTORY_OF_ORGANISATION = _DIRECTORIES.organisation_id == ORGANISATION
_SELECT_DIRECTORIES = (
    select(
        _DIRECTORIES.id,
        _DIRECTORIES.organisation_id,
        _DIRECTORIES.kind,
        _DIRECTORIES.name,
        _DIRECTORIES.settings,
        _DIRECTORIES.default_role,
        _DIRECTORIES.priority,
        _DIRECTORIES.interval_seconds,
        _DIRECTORIES.next_run_at,
        _DIRECTORIES.fence,
        _DIRECTORIES.failures,
        _DIRECTORIES.last_success_at,
        _DIRECTORIES.cursor,
    )
    .where(_DIRECTORY_OF_ORGANISATION)
    .order_by(_DIRECTORIES.priority, _DIRECTORIES.id)
)
_SELECT_DEFAULT_ROLES = select(_DIRECTORIES.id, _DIRECTORIES.default_role).where(_DIRECTORY_OF_ORGANISATION)
_UPDATE_DIRECTORY = (
    update(directory)
    .values(
        kind=bindparam("new_kind"),
        name=bindparam("new_name"),
        settings=bindparam("new_settings", type_=Document),
        default_role=bindparam("new_default_role"),
        priority=bindparam("new_priority"),
        interval_seconds=bindparam("new_interval_seconds"),
        next_run_at=bindparam("new_next_run_at", type_=Moment),
    )
    .where(_DIRECTORY_OF_ORGANISATION, _DIRECTORIES.id == bindparam("of_directory", type_=Id))
)
_INSERT_DIRECTORY = insert(directory)

_SELECT_GROUP_NODES = (
    select(directory_group.c.id, directory_group.c.directory_id, directory_group.c.display_name)
    .where(directory_group.c.organisation_id == ORGANISATION, directory_group.c.deleted_at.is_(None))
    .order_by(directory_group.c.id)
)
# Groups that a SCIM client nests give nothing to each other's members: docs/decisions/0013-scim.md.
_SELECT_NESTING = (
    select(subgroup.c.group_id, subgroup.c.subgroup_id)
    .join(directory_group, directory_group.c.id == subgroup.c.group_id)
    .join(directory, directory.c.id == directory_group.c.directory_id)
    .where(subgroup.c.organisation_id == ORGANISATION, directory.c.kind != "scim")
)


def _match_columns(match: Match) -> dict[str, str | None]:
    columns: dict[str, str | None] = {"group_id": None, "directory_id": None, "expression": None}
    match match:
        case GroupMatch(group_id):
            return columns | {"match_kind": "group", "group_id": group_id}
        case NameMatch(directory_id, pattern):
            return columns | {"match_kind": "name", "directory_id": directory_id, "expression": pattern}
        case AttributeMatch(directory_id, expression):
            return columns | {
                "match_kind": "attribute",
                "directory_id": directory_id,
                "expression": expression,
            }
        case _:
            assert_never(match)


def _read_match(kind: str, row: Row) -> Match:
    group_id, directory_id, expression = row
    if kind == "group":
        return GroupMatch(group_id)
    return NameMatch(directory_id, expression) if kind == "name" else AttributeMatch(directory_id, expression)


def _read_rule(row: Row) -> Rule:
    return Rule(
        rule_id=row[0],
        version=row[1],
        priority=row[2],
        match=_read_match(row[3], row[4:7]),
        role=row[7],
        scope_id=row[8],
        author=row[9],
        created_at=read_moment(row[10]),
    )


def _read_directory(row: Row) -> StoredDirectory:
    return StoredDirectory(
        directory_id=row[0],
        organisation_id=row[1],
        kind=row[2],
        name=row[3],
        settings=read_document(row[4]),
        default_role=row[5],
        priority=row[6],
        interval_seconds=row[7],
        next_run_at=read_optional_moment(row[8]),
        fence=row[9],
        failures=row[10],
        last_success_at=read_optional_moment(row[11]),
        cursor=_read_cursor(read_document(row[12])),
    )


def _read_cursor(document: Mapping[str, Any] | None) -> Cursor | None:
    if document is None:
        return None
    full_at = document["full_at"]
    return Cursor(**{**document, "full_at": None if full_at is None else datetime.fromisoformat(full_at)})


def _read_scope(row: Row) -> ScopeNode:
    scope_id, kind, name, host_id, parents = row
    return ScopeNode(scope_id, kind, name, host_id, tuple(read_document(parents)))


def _read_role(row: Row) -> PutRole:
    role_id, label, permissions, scope_kinds, rank = row
    return PutRole(role_id, label, tuple(read_document(permissions)), tuple(read_document(scope_kinds)), rank)


class ConfigurationReader(View):
    """Directories, rules, scopes, roles and domains as they stand."""

    def model_inputs(self) -> ModelInputs:
        return ModelInputs(
            scopes=tuple(map(_read_scope, self._rows(_SELECT_SCOPES))),
            rules=tuple(map(_read_rule, self._rows(_SELECT_CURRENT_RULES))),
            groups=tuple(GroupNode(*row) for row in self._rows(_SELECT_GROUP_NODES)),
            nesting=tuple(self._pair_rows(_SELECT_NESTING)),
            custom_roles=tuple(map(_read_role, self._rows(_SELECT_ROLES))),
            default_roles=dict(self._pair_rows(_SELECT_DEFAULT_ROLES)),
            domains=self.domains(),
        )

    def directories(self) -> list[StoredDirectory]:
        return [_read_directory(row) for row in self._rows(_SELECT_DIRECTORIES)]

    def domains(self) -> frozenset[str]:
        return frozenset(row[0] for row in self._rows(_SELECT_DOMAINS))

    def had_scope(self, scope_id: ScopeId) -> bool:
        return is_id(scope_id) and self._row(_SELECT_ANY_SCOPE, of_scope=scope_id) is not None

    def rule_versions(self, rule_id: RuleId) -> list[Rule]:
        return [_read_rule(row) for row in self._rows(_SELECT_RULE_VERSIONS, of_rule=rule_id)]


class ConfigurationWriter(ConfigurationReader):
    """Directories, rules, scopes, roles and domains as commands change them."""

    def put_rule(self, rule: Rule, at: datetime) -> None:
        self.end_rule(rule.rule_id, at)
        self._insert(
            _INSERT_RULE,
            id=rule.rule_id,
            version=rule.version,
            priority=rule.priority,
            **_match_columns(rule.match),
            role=rule.role,
            scope_id=rule.scope_id,
            author=rule.author,
            created_at=rule.created_at,
        )

    def end_rule(self, rule_id: RuleId, at: datetime) -> None:
        self._run(_END_RULE, of_rule=rule_id, at=at)

    def put_scope(self, scope: PutScope) -> None:
        values = {
            "kind": scope.kind,
            "name": scope.name,
            "host_id": scope.host_id,
            "parents": scope.parents,
        }
        if not self._run(_UPDATE_SCOPE, of_scope=scope.scope_id, **_as_new(values)):
            self._insert(_INSERT_SCOPE, id=scope.scope_id, **values)

    def end_scope(self, scope_id: ScopeId, at: datetime) -> None:
        self._run(_END_SCOPE, of_scope=scope_id, at=at)

    def put_role(self, role: PutRole) -> None:
        self.delete_role(role.role)
        self._insert(
            _INSERT_ROLE,
            id=role.role,
            label=role.label,
            permissions=role.permissions,
            scope_kinds=role.scope_kinds,
            rank=role.rank,
        )

    def delete_role(self, role: RoleId) -> None:
        self._run(_DELETE_ROLE, of_role=role)

    def put_domain(self, domain: str, at: datetime) -> None:
        if not self._run(_VERIFY_DOMAIN, named=domain, at=at):
            self._insert(_INSERT_DOMAIN, domain=domain, state="verified", claimed_at=at, verified_at=at)

    def put_directory(self, directory: StoredDirectory, at: datetime) -> None:
        """Settings and schedule are as given; lease, fence and failures of a stored directory stay."""
        values = {
            "kind": directory.kind,
            "name": directory.name,
            "settings": directory.settings,
            "default_role": directory.default_role,
            "priority": directory.priority,
            "interval_seconds": directory.interval_seconds,
            "next_run_at": directory.next_run_at,
        }
        if not self._run(_UPDATE_DIRECTORY, of_directory=directory.directory_id, **_as_new(values)):
            self._insert(
                _INSERT_DIRECTORY,
                id=directory.directory_id,
                **values,
                fence=directory.fence,
                failures=directory.failures,
                last_success_at=directory.last_success_at,
                created_at=at,
            )


def _as_new(values: Mapping[str, object]) -> dict[str, object]:
    """Parameters of an update, whose names must not be those of columns."""
    return {f"new_{name}": value for name, value in values.items()}
