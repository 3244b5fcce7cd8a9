"""An environment as data: its roles, permissions, scope kinds, plans and rulings, read from YAML text.

Takes text and never a path; the caller reads the file. What a catalogue says is checked completely at load,
so that nothing after it has to ask whether a name exists.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeVar

import yaml

from directory.facts import name_key
from directory.ids import EnvironmentId, RoleId
from mappings.errors import CatalogueError
from mappings.yaml_nodes import NodeReader

ROOT_KIND: Final = "organisation"
"""The scope kind of the organisation itself, in every catalogue."""

RESERVED_ROLES: Final = frozenset({"owner"})
"""No role may bear these names: ownership is a relation that no rule can give."""

_Value = TypeVar("_Value")
_Key = TypeVar("_Key", bound=str)

_ENVIRONMENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_ROLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PERMISSION_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,4}")
_PLAN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,62}")
_RULING_NAME = re.compile(r"[A-Z]{1,4}-[A-Z]?[0-9]{1,3}")


class Resolution(StrEnum):
    """How several matching rules become access: all their pairs hold, or the first one's role decides."""

    UNION = "union"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True)
class Permission:
    """One checkable action.

    `needs_organisation`: held only through a grant at the organisation (B-R2). `makes_administrator`: who has
    it could give themselves more. `charges_owner`: acting on it costs the owner money and is audited as such
    (MT-15). `ruling` names the ruling behind it, which a decision about it carries.
    """

    id: str
    needs_organisation: bool
    label: str
    ruling: str = ""
    makes_administrator: bool = False
    charges_owner: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """What the host must check before it acts on a yes.

    Met without a check by a grant at one of the kinds `met_at`.
    """

    id: str
    label: str
    met_at: tuple[str, ...] = ()
    ruling: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """What may be granted at a scope. `permissions` maps each permission to its condition, or to None."""

    id: RoleId
    label: str
    rank: int
    scope_kinds: tuple[str, ...]
    permissions: Mapping[str, str | None]
    is_custom: bool = False
    is_preset: bool = False
    is_administrator_equivalent: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class ScopeKind:
    """A kind of scope node and the kinds that may stand above it. Only the organisation has none above."""

    id: str
    label: str
    parents: tuple[str, ...]
    has_several_parents: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`seats` is None for unlimited, and for a custom plan, whose number the organisation has (MT-14)."""

    id: str
    label: str
    seats: int | None
    is_custom: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """A choice of an organisation that adds permissions to roles while it is on."""

    id: str
    default: bool
    label: str
    adds: Mapping[RoleId, frozenset[str]]
    ruling: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """How a rule of the document's prose is read, or a gap or contradiction in it settled."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What a row of the document's table says of one role.

    `mark` is the document's own; `allows` what it means.
    """

    mark: str
    allows: frozenset[str]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of the document's table, in its own words. `number` counts from 1."""

    number: int
    category: str
    text: str
    permissions: tuple[str, ...]
    cells: Mapping[RoleId, Cell]
    ruling: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Whom the document would give which role, and at which kinds of scope."""

    who: str
    role: RoleId
    scope_kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A checked environment. `forbidden` holds what may never be added to a role, by anything (B-R7).

    `audit_permission` is what a member must be allowed at the organisation to read its record; where it is None, the
    owner alone may.
    """

    id: EnvironmentId
    name: str
    version: int
    resolution: Resolution
    administrator_role: RoleId
    default_role: RoleId | None
    roles: Mapping[RoleId, Role]
    presets: Mapping[RoleId, Role]
    permissions: Mapping[str, Permission]
    conditions: Mapping[str, Condition]
    scope_kinds: Mapping[str, ScopeKind]
    plans: Mapping[str, Plan]
    is_plan_required: bool
    owner_permissions: frozenset[str]
    audit_permission: str | None
    forbidden: Mapping[RoleId, frozenset[str]]
    switches: Mapping[str, Switch]
    rulings: Mapping[str, Ruling]
    table: tuple[TableRow, ...]
    recommendations: tuple[Recommendation, ...]

    def condition_at(self, role: Role, permission: str, scope_kind: str) -> str | None:
        """The condition that a grant of the role at such a scope leaves to the host, or None when none is
        left.
        """
        condition = role.permissions[permission]
        if condition is None or scope_kind in self.conditions[condition].met_at:
            return None
        return condition


def shipped_catalogues() -> tuple[str, ...]:
    """Names of the catalogues that come with the product: `catalogues/<name>.yaml` in this package."""
    return ("minikai", "minut")


# What an organisation's roles are


def roles_of(
    catalogue: Catalogue, *, switches: Mapping[str, bool], custom: Iterable[Role] = ()
) -> Mapping[RoleId, Role]:
    """The roles that an organisation has:

    the catalogue's with its switches applied, the presets, its custom ones.

    A custom role that the catalogue no longer bears out loses what it may not hold; one that bears a name of
    the catalogue is left out. `switches` may hold further settings, which are not looked at.
    """
    roles = {**catalogue.roles, **catalogue.presets}
    for switch in catalogue.switches.values():
        if not switches.get(switch.id, switch.default):
            continue
        for role_id, added in switch.adds.items():
            role = roles[role_id]
            widened = {**role.permissions, **dict.fromkeys(sorted(added))}
            roles[role_id] = replace(role, permissions=MappingProxyType(widened))
    taken = {name_key(role_id) for role_id in roles} | RESERVED_ROLES
    for role in custom:
        if name_key(role.id) not in taken:
            roles[role.id] = _as_custom(catalogue, role)
    return MappingProxyType(roles)


def _as_custom(catalogue: Catalogue, role: Role) -> Role:
    refused = _refused_permissions(catalogue, role)
    permissions = {name: role.permissions[name] for name in sorted(role.permissions) if name not in refused}
    return replace(
        role,
        permissions=MappingProxyType(permissions),
        is_custom=True,
        is_preset=False,
        is_administrator_equivalent=makes_administrator(catalogue, permissions),
    )


def makes_administrator(catalogue: Catalogue, permissions: Iterable[str]) -> bool:
    """Whether the permissions suffice to come by more of them, as an administrator can (MK-10)."""
    known = catalogue.permissions
    return any(name in known and known[name].makes_administrator for name in permissions)


def permissions_beyond(role: Role, held: Iterable[Role]) -> tuple[str, ...]:
    """What the role has and none of the held roles has. Nobody may assign a role that has any (MK-10).

    A permission under a condition does not cover the same one without it.
    """
    unconditional = {
        name for other in held for name, condition in other.permissions.items() if condition is None
    }
    conditional = {pair for other in held for pair in other.permissions.items()}
    return tuple(
        sorted(
            name
            for name, condition in role.permissions.items()
            if name not in unconditional and (name, condition) not in conditional
        )
    )


def check_custom_role(catalogue: Catalogue, role: Role) -> list[str]:
    """Why the role may not be a custom role of an organisation, in sentences. Empty when it may.

    A role that ranks no higher than one with forbidden permissions is as private as that one, and may not
    have them either (B-R7).
    """
    reasons = []
    if not _ROLE_NAME.fullmatch(role.id):
        reasons.append(f"the role name {role.id!r} must be a letter, then letters, digits, '_' and '-'")
    if name_key(role.id) in RESERVED_ROLES:
        reasons.append("'owner' cannot be a role: ownership belongs to a person and is only handed over")
    if name_key(role.id) in {name_key(taken) for taken in (*catalogue.roles, *catalogue.presets)}:
        reasons.append(
            f"the environment {catalogue.id!r} has a role {role.id!r} already; choose another name"
        )
    highest = catalogue.roles[catalogue.administrator_role].rank
    if not 0 <= role.rank <= highest:
        reasons.append(
            f"the rank {role.rank} must be between 0 and {highest}, that of {catalogue.administrator_role}"
        )
    if not role.permissions:
        reasons.append("the role has no permissions")
    if not role.scope_kinds:
        reasons.append("the role has no scope kinds, so it could be granted nowhere")
    for kind in role.scope_kinds:
        if kind not in catalogue.scope_kinds:
            reasons.append(f"the environment {catalogue.id!r} has no scope kind {kind!r}")
    refused = _refused_permissions(catalogue, role)
    reasons.extend(refused[name] for name in sorted(refused))
    if ROOT_KIND not in role.scope_kinds:
        reasons.extend(
            f"{name} is held at the organisation only, where the role cannot be granted"
            for name in sorted(role.permissions)
            if name not in refused and catalogue.permissions[name].needs_organisation
        )
    reasons.extend(
        f"{name} has the unknown condition {condition!r}"
        for name, condition in sorted(role.permissions.items())
        if condition is not None and condition not in catalogue.conditions
    )
    return reasons


def _refused_permissions(catalogue: Catalogue, role: Role) -> dict[str, str]:
    """The permissions that a custom role may not hold, each with the reason."""
    refused = {}
    for name in role.permissions:
        if name not in catalogue.permissions:
            refused[name] = f"the environment {catalogue.id!r} has no permission {name!r}"
        elif name in catalogue.owner_permissions:
            refused[name] = f"{name} belongs to the owner and to no role"
        else:
            for role_id, forbidden in catalogue.forbidden.items():
                if name in forbidden and role.rank <= catalogue.roles[role_id].rank:
                    refused[name] = f"{name} may not be held by a role that ranks no higher than {role_id}"
    return refused


# Reading


def load_catalogue(text: str, *, source: str) -> Catalogue:
    """Read and check a catalogue. `source` names the text in faults.

    The same text is read once: a catalogue never changes, and reading one takes some 40 ms.

    Raises: CatalogueError with all faults together.
    """
    return _read_catalogue(text, source)


@lru_cache(maxsize=8)
def _read_catalogue(text: str, source: str) -> Catalogue:
    reader = NodeReader(source)
    tree = reader.read_tree(text)
    catalogue = None if tree is None else _Loader(reader).load(tree)
    if catalogue is None or reader.faults:
        raise CatalogueError(tuple(sorted(reader.faults)))
    return catalogue


_REQUIRED = (
    "id",
    "name",
    "version",
    "resolution",
    "administrator_role",
    "plan_required",
    "scope_kinds",
    "permissions",
    "roles",
    "plans",
)
_OPTIONAL = (
    "default_role",
    "audit_permission",
    "conditions",
    "owner_permissions",
    "presets",
    "forbidden",
    "switches",
    "marks",
    "table",
    "recommendations",
    "rulings",
)


@dataclass(slots=True)
class _Loader:
    """Reads the parts in the order in which they refer to each other. Wrong parts are noted and left out."""

    read: NodeReader
    rulings: dict[str, Ruling] = field(default_factory=dict)
    scope_kinds: dict[str, ScopeKind] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)
    permissions: dict[str, Permission] = field(default_factory=dict)
    owner_permissions: frozenset[str] = frozenset()
    roles: dict[RoleId, Role] = field(default_factory=dict)
    forbidden: dict[RoleId, frozenset[str]] = field(default_factory=dict)
    ranks: dict[int, str] = field(default_factory=dict)

    def load(self, tree: yaml.Node) -> Catalogue | None:
        fields = self.read.fields(tree, "the catalogue", required=_REQUIRED, optional=_OPTIONAL)
        if any(key not in fields for key in _REQUIRED):
            return None
        self.rulings = self._each(fields, "rulings", _RULING_NAME, self._ruling)
        self.scope_kinds = self._each(fields, "scope_kinds", _PLAIN_NAME, self._scope_kind)
        self._check_scope_kinds(fields["scope_kinds"])
        self.conditions = self._each(fields, "conditions", _PLAIN_NAME, self._condition)
        self.permissions = self._each(fields, "permissions", _PERMISSION_NAME, self._permission)
        self.owner_permissions = self._owner_permissions(fields.get("owner_permissions"))
        self.roles = self._each(fields, "roles", _ROLE_NAME, self._role, key=RoleId)
        presets = self._each(fields, "presets", _ROLE_NAME, self._role, key=RoleId)
        presets = {role_id: replace(role, is_preset=True) for role_id, role in presets.items()}
        self._check_role_names(fields, presets)
        self.forbidden = self._each(fields, "forbidden", _ROLE_NAME, self._forbidden, key=RoleId)
        administrator_role = self._administrator_role(fields["administrator_role"])
        if administrator_role in self.roles:
            administrator = replace(self.roles[administrator_role], is_administrator_equivalent=True)
            self.roles[administrator_role] = administrator
        return Catalogue(
            id=EnvironmentId(self._name(fields["id"], "id", _ENVIRONMENT_NAME)),
            name=self.read.text(fields["name"], "name"),
            version=self._version(fields["version"]),
            resolution=self._resolution(fields["resolution"]),
            administrator_role=administrator_role,
            default_role=self._default_role(fields.get("default_role")),
            roles=MappingProxyType(self.roles),
            presets=MappingProxyType(presets),
            permissions=MappingProxyType(self.permissions),
            conditions=MappingProxyType(self.conditions),
            scope_kinds=MappingProxyType(self.scope_kinds),
            plans=MappingProxyType(self._each(fields, "plans", _PLAN_NAME, self._plan)),
            is_plan_required=self.read.flag(fields["plan_required"], "plan_required"),
            owner_permissions=self.owner_permissions,
            audit_permission=self._audit_permission(fields.get("audit_permission")),
            forbidden=MappingProxyType(self.forbidden),
            switches=MappingProxyType(self._each(fields, "switches", _PLAIN_NAME, self._switch)),
            rulings=MappingProxyType(self.rulings),
            table=self._table(fields.get("table"), self._marks(fields.get("marks"))),
            recommendations=self._recommendations(fields.get("recommendations")),
        )

    # Parts that are mappings of a name to something

    def _each(
        self,
        fields: Mapping[str, yaml.Node],
        section: str,
        form: re.Pattern[str],
        build: Callable[[str, yaml.Node], _Value],
        key: Callable[[str], _Key] = str,  # type: ignore[assignment]  # the default for a _Key of plain str
    ) -> dict[_Key, _Value]:
        found: dict[_Key, _Value] = {}
        if section in fields:
            for name, name_node, node in self.read.entries(fields[section], section):
                if form.fullmatch(name):
                    found[key(name)] = build(name, node)
                else:
                    self.read.note(name_node, f"{name!r} is no name for an entry of {section}")
        return found

    def _ruling(self, name: str, node: yaml.Node) -> Ruling:
        return Ruling(name, self.read.text(node, f"ruling {name}"))

    def _scope_kind(self, name: str, node: yaml.Node) -> ScopeKind:
        what = f"scope kind {name}"
        fields = self.read.fields(node, what, required=("label", "parents"), optional=("several_parents",))
        return ScopeKind(
            id=name,
            label=self._text(fields, "label", what),
            parents=tuple(parent for parent, _ in self._texts(fields, "parents", what)),
            has_several_parents=self._flag(fields, "several_parents", what),
        )

    def _check_scope_kinds(self, node: yaml.Node) -> None:
        if ROOT_KIND not in self.scope_kinds:
            self.read.note(node, f"scope_kinds lacks {ROOT_KIND!r}, the organisation itself")
        for name, name_node, _ in self.read.entries(node, "scope_kinds"):
            kind = self.scope_kinds.get(name)
            if kind is None:
                continue
            for parent in kind.parents:
                if parent not in self.scope_kinds:
                    self.read.note(name_node, f"scope kind {name} has the unknown parent {parent!r}")
            if name == ROOT_KIND and kind.parents:
                self.read.note(name_node, f"{ROOT_KIND} is the root and can have no parents")
            elif name != ROOT_KIND and not kind.parents:
                self.read.note(name_node, f"scope kind {name} has no parents; only {ROOT_KIND} may have none")
            if name in self._kinds_above(kind):
                self.read.note(name_node, f"scope kind {name} stands above itself")

    def _kinds_above(self, kind: ScopeKind) -> set[str]:
        above: set[str] = set()
        waiting = list(kind.parents)
        while waiting:
            name = waiting.pop()
            if name not in above and name in self.scope_kinds:
                above.add(name)
                waiting.extend(self.scope_kinds[name].parents)
        return above

    def _condition(self, name: str, node: yaml.Node) -> Condition:
        what = f"condition {name}"
        fields = self.read.fields(node, what, required=("label",), optional=("met_at", "ruling"))
        return Condition(
            id=name,
            label=self._text(fields, "label", what),
            met_at=self._scope_kind_names(fields, "met_at", what),
            ruling=self._cited(fields),
        )

    def _permission(self, name: str, node: yaml.Node) -> Permission:
        what = f"permission {name}"
        optional = ("needs_organisation", "makes_administrator", "charges_owner", "ruling")
        fields = self.read.fields(node, what, required=("label",), optional=optional)
        return Permission(
            id=name,
            needs_organisation=self._flag(fields, "needs_organisation", what),
            label=self._text(fields, "label", what),
            ruling=self._cited(fields),
            makes_administrator=self._flag(fields, "makes_administrator", what),
            charges_owner=self._flag(fields, "charges_owner", what),
        )

    def _owner_permissions(self, node: yaml.Node | None) -> frozenset[str]:
        if node is None:
            return frozenset()
        return self._known_permissions(self.read.texts(node, "owner_permissions"), "owner_permissions")

    def _role(self, name: str, node: yaml.Node) -> Role:
        what = f"role {name}"
        required = ("label", "rank", "scope_kinds", "permissions")
        fields = self.read.fields(node, what, required=required, optional=("description",))
        rank = self.read.number(fields["rank"], f"rank of {what}") if "rank" in fields else None
        if rank is not None:
            if rank in self.ranks:
                self.read.note(fields["rank"], f"{what} has the rank {rank} of role {self.ranks[rank]}")
            self.ranks.setdefault(rank, name)
        scope_kinds = self._scope_kind_names(fields, "scope_kinds", what)
        if "scope_kinds" in fields and not scope_kinds:
            self.read.note(fields["scope_kinds"], f"{what} can be granted nowhere")
        permissions = self._role_permissions(fields, what, scope_kinds)
        return Role(
            id=RoleId(name),
            label=self._text(fields, "label", what),
            rank=rank or 0,
            scope_kinds=scope_kinds,
            permissions=MappingProxyType(permissions),
            is_administrator_equivalent=any(self.permissions[key].makes_administrator for key in permissions),
            description=self._text(fields, "description", what),
        )

    def _role_permissions(
        self, fields: Mapping[str, yaml.Node], what: str, scope_kinds: Collection[str]
    ) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        if "permissions" not in fields:
            return found
        for item in self.read.items(fields["permissions"], f"permissions of {what}"):
            for name, condition in self._conditional(item, what):
                if name not in self.permissions:
                    self.read.note(item, f"{what} has the unknown permission {name!r}")
                elif name in self.owner_permissions:
                    self.read.note(item, f"{what} has {name}, which belongs to the owner and to no role")
                elif name in found:
                    self.read.note(item, f"{what} has {name} twice")
                else:
                    found[name] = condition
                    if self.permissions[name].needs_organisation and ROOT_KIND not in scope_kinds:
                        self.read.note(item, f"{what} has {name} but cannot be granted at the organisation")
        return found

    def _conditional(self, item: yaml.Node, what: str) -> list[tuple[str, str | None]]:
        """A permission is written `name`, or `name: condition`."""
        if not isinstance(item, yaml.MappingNode):
            name = self.read.text(item, f"a permission of {what}")
            return [(name, None)] if name else []
        found: list[tuple[str, str | None]] = []
        for name, _, node in self.read.entries(item, f"a permission of {what}"):
            condition = self.read.text(node, f"the condition of {name}")
            if condition and condition not in self.conditions:
                self.read.note(node, f"{what} has {name} under the unknown condition {condition!r}")
            found.append((name, condition))
        return found

    def _check_role_names(self, fields: Mapping[str, yaml.Node], presets: Mapping[RoleId, Role]) -> None:
        if not self.roles:
            self.read.note(fields["roles"], "the catalogue has no roles")
        taken: dict[str, str] = {}
        for role_id in (*self.roles, *presets):
            node = fields["presets"] if role_id in presets else fields["roles"]
            key = name_key(role_id)
            if key in RESERVED_ROLES:
                self.read.note(node, f"{role_id!r} cannot be a role: no rule may give it")
            if key in taken or (role_id in self.roles and role_id in presets):
                self.read.note(node, f"the role name {role_id!r} is taken by {taken.get(key, role_id)!r}")
            taken[key] = role_id

    def _forbidden(self, name: str, node: yaml.Node) -> frozenset[str]:
        what = f"forbidden of {name}"
        fields = self.read.fields(node, what, required=("permissions",), optional=("ruling",))
        self._cited(fields)
        names = self._known_permissions(self._texts(fields, "permissions", what), what)
        role = self.roles.get(RoleId(name))
        if role is None:
            self.read.note(node, f"{what}: there is no such role")
        else:
            for permission in sorted(names & role.permissions.keys()):
                self.read.note(node, f"role {name} has {permission}, which is forbidden to it")
        return names

    def _plan(self, name: str, node: yaml.Node) -> Plan:
        what = f"plan {name}"
        fields = self.read.fields(node, what, required=("label", "seats"))
        label = self._text(fields, "label", what)
        seats_node = fields.get("seats")
        if isinstance(seats_node, yaml.ScalarNode) and seats_node.value in {"custom", "unlimited"}:
            return Plan(name, label, None, is_custom=seats_node.value == "custom")
        seats = None
        if seats_node is not None:
            seats = self.read.number(seats_node, f"seats of {what}, if not 'custom' or 'unlimited',")
            if seats == 0:
                self.read.note(seats_node, f"{what} must have a seat for the owner at least")
        return Plan(name, label, seats)

    def _switch(self, name: str, node: yaml.Node) -> Switch:
        what = f"switch {name}"
        fields = self.read.fields(node, what, required=("label", "default", "adds"), optional=("ruling",))
        adds: dict[RoleId, frozenset[str]] = {}
        if "adds" in fields:
            for role_name, role_node, names_node in self.read.entries(fields["adds"], f"adds of {what}"):
                role_id = RoleId(role_name)
                names = self._known_permissions(self.read.texts(names_node, f"adds of {what}"), what)
                if role_id not in self.roles:
                    self.read.note(role_node, f"{what} adds to the unknown role {role_name!r}")
                for refused in sorted(
                    names & (self.owner_permissions | self.forbidden.get(role_id, frozenset()))
                ):
                    self.read.note(
                        role_node, f"{what} adds {refused} to {role_name}, which may never have it"
                    )
                adds[role_id] = names
        return Switch(
            id=name,
            default=self._flag(fields, "default", what),
            label=self._text(fields, "label", what),
            adds=MappingProxyType(adds),
            ruling=self._cited(fields),
        )

    # Single values

    def _version(self, node: yaml.Node) -> int:
        version = self.read.number(node, "version")
        if version == 0:
            self.read.note(node, "version counts from 1")
        return version or 0

    def _resolution(self, node: yaml.Node) -> Resolution:
        value = self.read.text(node, "resolution")
        if value not in list(Resolution):
            self.read.note(node, f"resolution must be one of {', '.join(Resolution)}")
            return Resolution.PRIORITY
        return Resolution(value)

    def _administrator_role(self, node: yaml.Node) -> RoleId:
        role_id = RoleId(self.read.text(node, "administrator_role"))
        role = self.roles.get(role_id)
        if role is None:
            self.read.note(node, f"administrator_role {role_id!r} is none of the roles")
        elif ROOT_KIND not in role.scope_kinds:
            self.read.note(node, f"administrator_role {role_id!r} cannot be granted at the organisation")
        return role_id

    def _audit_permission(self, node: yaml.Node | None) -> str | None:
        if node is None:
            return None
        name = self.read.text(node, "audit_permission")
        permission = self.permissions.get(name)
        if permission is None:
            self.read.note(node, f"audit_permission {name!r} is none of the permissions")
        elif not permission.needs_organisation:
            self.read.note(node, f"audit_permission {name!r} must be one that is held at the organisation")
        return name

    def _default_role(self, node: yaml.Node | None) -> RoleId | None:
        if node is None:
            return None
        role_id = RoleId(self.read.text(node, "default_role"))
        role = self.roles.get(role_id)
        if role is None:
            self.read.note(node, f"default_role {role_id!r} is none of the roles")
        elif role.is_administrator_equivalent:
            self.read.note(node, f"default_role {role_id!r} is an administrator; nobody is one by default")
        return role_id

    # The document's own table

    def _marks(self, node: yaml.Node | None) -> dict[str, str]:
        marks = {"allow": "allow", "deny": "deny"}
        if node is not None:
            for key, value in self.read.fields(node, "marks", required=("allow", "deny")).items():
                marks[key] = self.read.text(value, f"mark {key}", may_be_empty=True)
        return marks

    def _table(self, node: yaml.Node | None, marks: Mapping[str, str]) -> tuple[TableRow, ...]:
        if node is None:
            return ()
        return tuple(
            self._table_row(number, item, marks)
            for number, item in enumerate(self.read.items(node, "table"), 1)
        )

    def _table_row(self, number: int, node: yaml.Node, marks: Mapping[str, str]) -> TableRow:
        what = f"table row {number}"
        required = ("category", "text", "permissions", "cells")
        fields = self.read.fields(node, what, required=required, optional=("ruling",))
        permissions = self._known_permissions(self._texts(fields, "permissions", what), what)
        cells: dict[RoleId, Cell] = {}
        if "cells" in fields:
            for name, name_node, cell_node in self.read.entries(fields["cells"], f"cells of {what}"):
                role = self.roles.get(RoleId(name))
                if role is None:
                    self.read.note(name_node, f"{what} speaks of the unknown role {name!r}")
                    continue
                cells[role.id] = cell = self._cell(cell_node, f"cell {name} of {what}", permissions, marks)
                for permission in sorted(permissions):
                    if (permission in cell.allows) != (permission in role.permissions):
                        verb = "allows" if permission in cell.allows else "denies"
                        self.read.note(cell_node, f"{what} {verb} {permission} to {name}; the role does not")
            for role_id in self.roles:
                if role_id not in cells:
                    self.read.note(fields["cells"], f"{what} lacks a cell for role {role_id}")
        return TableRow(
            number=number,
            category=self._text(fields, "category", what),
            text=self._text(fields, "text", what),
            permissions=tuple(name for name in self.permissions if name in permissions),
            cells=MappingProxyType(cells),
            ruling=self._cited(fields),
        )

    def _cell(
        self, node: yaml.Node, what: str, permissions: frozenset[str], marks: Mapping[str, str]
    ) -> Cell:
        if isinstance(node, yaml.MappingNode):
            fields = self.read.fields(node, what, required=("text", "allows"))
            allows = self._known_permissions(self._texts(fields, "allows", what), what)
            for stray in sorted(allows - permissions):
                self.read.note(node, f"{what} allows {stray}, which the row is not about")
            return Cell(self._text(fields, "text", what), allows)
        value = self.read.text(node, what)
        if value not in marks:
            self.read.note(node, f"{what} must be allow, deny, or a text with what it allows")
        return Cell(marks.get(value, value), permissions if value == "allow" else frozenset())

    def _recommendations(self, node: yaml.Node | None) -> tuple[Recommendation, ...]:
        found = []
        for item in () if node is None else self.read.items(node, "recommendations"):
            what = "a recommendation"
            fields = self.read.fields(item, what, required=("who", "role", "scope_kinds"))
            role_id = RoleId(self._text(fields, "role", what))
            scope_kinds = self._scope_kind_names(fields, "scope_kinds", what)
            role = self.roles.get(role_id)
            if role is None:
                self.read.note(item, f"{what} names the unknown role {role_id!r}")
            elif not set(scope_kinds) <= set(role.scope_kinds):
                self.read.note(item, f"{what} gives {role_id} where it cannot be granted")
            found.append(Recommendation(self._text(fields, "who", what), role_id, scope_kinds))
        return tuple(found)

    # Fields

    def _text(self, fields: Mapping[str, yaml.Node], key: str, what: str) -> str:
        return self.read.text(fields[key], f"{key} of {what}") if key in fields else ""

    def _texts(self, fields: Mapping[str, yaml.Node], key: str, what: str) -> list[tuple[str, yaml.Node]]:
        return self.read.texts(fields[key], f"{key} of {what}") if key in fields else []

    def _flag(self, fields: Mapping[str, yaml.Node], key: str, what: str) -> bool:
        return key in fields and self.read.flag(fields[key], f"{key} of {what}")

    def _name(self, node: yaml.Node, what: str, form: re.Pattern[str]) -> str:
        value = self.read.text(node, what)
        if value and not form.fullmatch(value):
            self.read.note(node, f"{what} {value!r} must match {form.pattern}")
        return value

    def _cited(self, fields: Mapping[str, yaml.Node]) -> str:
        if "ruling" not in fields:
            return ""
        ruling = self.read.text(fields["ruling"], "ruling")
        if ruling and ruling not in self.rulings:
            self.read.note(fields["ruling"], f"there is no ruling {ruling!r}")
        return ruling

    def _scope_kind_names(self, fields: Mapping[str, yaml.Node], key: str, what: str) -> tuple[str, ...]:
        found = []
        for name, node in self._texts(fields, key, what):
            if name in self.scope_kinds:
                found.append(name)
            else:
                self.read.note(node, f"{key} of {what} names the unknown scope kind {name!r}")
        return tuple(found)

    def _known_permissions(self, names: Iterable[tuple[str, yaml.Node]], what: str) -> frozenset[str]:
        found = set()
        for name, node in names:
            if name in self.permissions:
                found.add(name)
            else:
                self.read.note(node, f"{what} names the unknown permission {name!r}")
        return frozenset(found)
