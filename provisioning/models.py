"""The access model of an organisation as it stands, and what a change of it touches."""

from dataclasses import dataclass
from threading import Lock

from directory.changes import AttributeMatch, NameMatch, PutRole
from directory.graph import GroupGraph
from directory.ids import DirectoryId, GroupId, OrganisationId, RoleId
from mappings.access import AccessModel, compile_model
from mappings.catalogue import Catalogue, Resolution, Role, roles_of
from mappings.rules import Rule
from mappings.scopes import ScopeGraph
from provisioning.ports import ModelInputs, Reader
from provisioning.state import OrganisationState


@dataclass(frozen=True, slots=True)
class OrganisationModel:
    """Catalogue, roles, scopes and rules of one organisation, compiled."""

    catalogue: Catalogue
    roles: dict[RoleId, Role]
    scopes: ScopeGraph
    inputs: ModelInputs
    resolution: Resolution
    access: AccessModel

    @property
    def name_match_directories(self) -> frozenset[DirectoryId]:
        """Directories whose group names decide access."""
        return frozenset(
            rule.match.directory_id for rule in self.inputs.rules if isinstance(rule.match, NameMatch)
        )

    @property
    def attribute_directories(self) -> frozenset[DirectoryId]:
        """Directories whose user attributes decide access."""
        return frozenset(
            rule.match.directory_id for rule in self.inputs.rules if isinstance(rule.match, AttributeMatch)
        )

    @property
    def looks_at_attributes(self) -> bool:
        return bool(self.attribute_directories)

    def rule(self, rule_id: str) -> Rule | None:
        return next((rule for rule in self.inputs.rules if rule.rule_id == rule_id), None)


@dataclass(frozen=True, slots=True)
class Affected:
    """Whose access may differ between two models: members of these groups, of these directories, or everyone."""

    groups: frozenset[GroupId] = frozenset()
    directories: frozenset[DirectoryId] = frozenset()
    is_everyone: bool = False


def role_of_definition(definition: PutRole) -> Role:
    """The catalogue's view of a custom role."""
    return Role(
        id=definition.role,
        label=definition.label,
        rank=definition.rank,
        scope_kinds=definition.scope_kinds,
        permissions=dict.fromkeys(definition.permissions),
        is_custom=True,
    )


def build_model(catalogue: Catalogue, inputs: ModelInputs, state: OrganisationState) -> OrganisationModel:
    """Compile what an organisation's access follows from. Cost grows with rules, groups under rules and scopes."""
    roles = dict(
        roles_of(
            catalogue,
            switches=state.switches,
            custom=[role_of_definition(definition) for definition in inputs.custom_roles],
        )
    )
    scopes = ScopeGraph(inputs.scopes, state.root_scope_id)
    resolution = Resolution(state.resolution) if state.resolution else catalogue.resolution
    access = compile_model(
        catalogue=catalogue,
        roles=roles,
        scopes=scopes,
        rules=inputs.rules,
        groups=inputs.groups,
        nesting=GroupGraph(inputs.nesting),
        resolution=resolution,
        default_roles=inputs.default_roles,
    )
    return OrganisationModel(catalogue, roles, scopes, inputs, resolution, access)


def read_model(reader: Reader, state: OrganisationState) -> OrganisationModel:
    return build_model(reader.catalogue(), reader.model_inputs(), state)


def compare_models(old: OrganisationModel, new: OrganisationModel) -> Affected:
    """Whom a change of rules, scopes, roles, nesting or settings can touch. Never too few, at times too many."""
    if old.resolution != new.resolution:
        return Affected(is_everyone=True)
    if _role_terms(old) != _role_terms(new):
        return Affected(is_everyone=True)
    groups = {
        group_id
        for group_id in old.access.groups_with_rules() | new.access.groups_with_rules()
        if old.access.rules_of_group(group_id) != new.access.rules_of_group(group_id)
    }
    directories = {
        directory_id
        for directory_id in old.inputs.default_roles.keys() | new.inputs.default_roles.keys()
        if old.inputs.default_roles.get(directory_id) != new.inputs.default_roles.get(directory_id)
    }
    for directory_id in old.attribute_directories | new.attribute_directories:
        if _attribute_rules(old, directory_id) != _attribute_rules(new, directory_id):
            directories.add(directory_id)
    return Affected(frozenset(groups), frozenset(directories))


def _role_terms(model: OrganisationModel) -> dict[RoleId, tuple[int, tuple[str, ...], bool]]:
    """What decides whether a role can be granted, and in which order."""
    return {
        role_id: (role.rank, role.scope_kinds, role.is_administrator_equivalent)
        for role_id, role in model.roles.items()
    }


def _attribute_rules(model: OrganisationModel, directory_id: DirectoryId) -> set[tuple[Rule, bool]]:
    """The directory's predicate rules, each with whether it grants nothing now."""
    dangling = {rule.rule_id for rule, _ in model.access.dangling}
    return {
        (rule, rule.rule_id in dangling)
        for rule in model.inputs.rules
        if isinstance(rule.match, AttributeMatch) and rule.match.directory_id == directory_id
    }


class ModelCache:
    """Compiled models of organisations by model version, the newest of each. Safe between threads."""

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._models: dict[OrganisationId, tuple[int, OrganisationModel]] = {}
        self._lock = Lock()

    def get(self, reader: Reader, state: OrganisationState) -> OrganisationModel:
        """The model of a committed state. A state not committed yet must not be asked for here."""
        with self._lock:
            kept = self._models.get(state.organisation_id)
        if kept is not None and kept[0] == state.model_version:
            return kept[1]
        model = read_model(reader, state)
        self.put(state, model)
        return model

    def put(self, state: OrganisationState, model: OrganisationModel) -> None:
        with self._lock:
            self._models.pop(state.organisation_id, None)
            while len(self._models) >= self._capacity:
                self._models.pop(next(iter(self._models)))
            self._models[state.organisation_id] = (state.model_version, model)
