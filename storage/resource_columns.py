"""Where SQL finds each attribute of users and groups of one SCIM directory, and how its values compare there.

A singular attribute is an operand: an expression over the resource's own rows. A multi-valued one is a set of
entries, whose sub-attributes are operands over one entry. Knows no filter and no order. Statements made of these bind
the organisation and, as `in_directory`, the directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from directory.filters import Operator
from directory.schema import CORE_GROUP, CORE_USER, ENTERPRISE, GROUP, MEMBER, USER, ResourceSchema
from storage.resource_keys import COLUMN_OF, ENTERPRISE_COLUMNS, ENTRY_COLUMN_OF, STORED_ENTRIES
from storage.tables import (
    access_interval,
    directory_group,
    directory_user,
    member,
    membership,
    scim_entry,
    scim_user,
    staged_change,
    subgroup,
)
from storage.types import Id
from storage.view import ORGANISATION, is_own

DIRECTORY = bindparam("in_directory", type_=Id)
"""The directory that a statement is about."""

_USERS = directory_user.c
_GROUPS = directory_group.c
_DOCUMENTS = scim_user.c
_ENTRIES = scim_entry.c
_INTERVALS = access_interval.c
_NO_TEXT: ColumnElement[str] = literal_column("''", Text)
_CHILD = directory_group.alias("child")


class _Binary(FunctionElement[str]):
    """A text in the order of its code points."""

    type = Text()
    name = "in_binary_order"
    inherit_cache = True


@compiles(_Binary, "sqlite")
def _binary_sqlite(element: _Binary, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Binary, "postgresql")
def _binary_postgresql(element: _Binary, compiler: SQLCompiler, **options: object) -> str:
    return f'{compiler.process(element.clauses, **options)} COLLATE "C"'


@dataclass(frozen=True, slots=True)
class TextOperand:
    """A text by its comparison key. `is_set`: there is a value; None where there always is.

    `is_binary`: the column is in the order of its code points itself. `id`: the same as an id, which has an index.
    `guard` makes an index of `key` usable, and with it equality and prefixes lead to few rows. `is_as_sent`: the
    column is no key but the text itself, which may be composed or not.
    """

    key: ColumnElement[str]
    is_case_exact: bool = False
    is_set: ColumnElement[bool] | None = None
    is_binary: bool = True
    is_as_sent: bool = False
    id: ColumnElement[str] | None = None
    guard: ColumnElement[bool] | None = None
    table: Table | None = None

    @property
    def ordered(self) -> ColumnElement[str]:
        return self.key if self.is_binary else _Binary(self.key)


@dataclass(frozen=True, slots=True)
class ConstantOperand:
    """A text that is the same for all."""

    value: str
    is_case_exact: bool = False


@dataclass(frozen=True, slots=True)
class AddressOperand:
    """The address of a resource, of which the database knows the last two segments: `Users`, and the id."""

    segment: str
    id: TextOperand


@dataclass(frozen=True, slots=True)
class BooleanOperand:
    """`is_true` is never NULL. `is_set` None: there always is a value."""

    is_true: ColumnElement[bool]
    is_set: ColumnElement[bool] | None = None
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class MomentOperand:
    column: Column[object]


@dataclass(frozen=True, slots=True)
class VersionOperand:
    """A counter that is shown as a weak entity tag."""

    column: Column[int]
    text: TextOperand


@dataclass(frozen=True, slots=True)
class GrantNameOperand:
    """The name of a grant, `Role @ Scope`. No key of it is stored: it is compared in Python, grant by grant."""

    role: ColumnElement[str]
    scope_id: ColumnElement[str]


Operand = (
    TextOperand
    | ConstantOperand
    | AddressOperand
    | BooleanOperand
    | MomentOperand
    | VersionOperand
    | GrantNameOperand
)


@dataclass(frozen=True, slots=True)
class Entries:
    """A set of rows that are entries of a multi-valued attribute.

    `link` ties an entry to the resource's row; `owner` is the resource's id as the entry has it. `found_by`: the
    operators of `value` by which an index leads to few entries whatever the number of resources, within `scope`.
    `order` says which entry is first.
    """

    rows: FromClause
    link: ColumnElement[bool]
    owner: ColumnElement[str]
    subs: Mapping[str, Operand]
    order: tuple[ColumnElement[object], ...]
    found_by: frozenset[Operator] = frozenset()
    scope: ColumnElement[bool] | None = None


@dataclass(frozen=True, slots=True)
class ResourceColumns:
    """One type of resource. Operands and entries go by the text of their paths (`Path.text`).

    `anything` is true of every resource; with it, an index counts them all and no row is read.
    """

    schema: ResourceSchema
    table: Table
    operands: Mapping[str, Operand]
    entries: Mapping[str, tuple[Entries, ...]]
    schemas: Mapping[str, ColumnElement[bool] | None]
    joins: Mapping[Table, ColumnElement[bool]] = field(default_factory=dict)
    anything: ColumnElement[bool] | None = None

    @property
    def id(self) -> Column[str]:
        return self.table.c.id

    @property
    def order_id(self) -> Column[str]:
        """The id as the index (directory, external id) has it."""
        return self.table.c.external_id


def _id_text(column: ColumnElement[str]) -> TextOperand:
    return TextOperand(cast(column, Text), is_case_exact=True, is_binary=False, id=column)


def _common(table: Table, resource_type: str) -> dict[str, Operand]:
    """The attributes of RFC 7643 section 3.1. The id is the external id, and so a text on every database."""
    columns = table.c
    own_id = TextOperand(
        columns.external_id, is_case_exact=True, is_binary=False, guard=columns.directory_id == DIRECTORY
    )
    tag = literal_column("'W/\"'", Text) + cast(columns.version, Text) + literal_column("'\"'", Text)
    return {
        "id": own_id,
        "meta.resourceType": ConstantOperand(resource_type, is_case_exact=True),
        "meta.created": MomentOperand(columns.created_at),
        "meta.lastModified": MomentOperand(columns.updated_at),
        "meta.location": AddressOperand(f"{resource_type}s", own_id),
        "meta.version": VersionOperand(
            columns.version, TextOperand(tag, is_case_exact=True, is_binary=False)
        ),
    }


HAS_WAITING_CHANGE: ColumnElement[bool] = or_(
    member.c.is_held.is_(True),
    exists().where(
        staged_change.c.member_id == member.c.id,
        staged_change.c.event_id.is_not(None),
        staged_change.c.is_rejected.is_(False),
    ),
)
"""The effect of a directory's word waits: for another Admin, or for somebody to look at it."""


def _user_operands() -> dict[str, Operand]:
    operands = _common(directory_user, "User")
    operands["userName"] = TextOperand(_USERS.user_name_key, guard=_USERS.directory_id == DIRECTORY)
    operands["active"] = BooleanOperand(_USERS.active.is_(True))
    indexed = {"externalId", "displayName"}
    for text, name in COLUMN_OF.items():
        path = USER.find(text)
        operands[text] = TextOperand(
            _DOCUMENTS[name],
            is_case_exact=path is not None and path.leaf.is_case_exact,
            is_set=_DOCUMENTS[name].is_not(None),
            guard=_DOCUMENTS.directory_id == DIRECTORY if text in indexed else None,
            table=scim_user,
        )
    operands[f"{MEMBER}:memberId"] = _id_text(_USERS.member_id)
    operands[f"{MEMBER}:seat"] = TextOperand(member.c.seat, is_binary=False, table=member)
    operands[f"{MEMBER}:held"] = BooleanOperand(HAS_WAITING_CHANGE, table=member)
    return operands


def _stored_entries(name: str) -> Entries:
    # Spelled out, not bound: the partial index of addresses says it too, and only so can be chosen.
    is_of_attribute = _ENTRIES.attribute == literal_column(f"'{name}'", Text)
    subs: dict[str, Operand] = {}
    for sub in USER.attributes[name].sub_attributes:
        if sub.name == "primary":
            subs[sub.name] = BooleanOperand(_ENTRIES.is_primary.is_(True), _ENTRIES.is_primary.is_not(None))
        else:
            key = _ENTRIES[ENTRY_COLUMN_OF[sub.name]]
            subs[sub.name] = TextOperand(key, is_case_exact=sub.is_case_exact, is_set=key.is_not(None))
    is_matched_on = name == "emails"
    return Entries(
        rows=scim_entry,
        link=and_(_ENTRIES.user_id == _USERS.id, is_of_attribute),
        owner=_ENTRIES.user_id,
        subs=subs,
        order=(case((_ENTRIES.is_primary.is_(True), 0), else_=1), _ENTRIES.position),
        found_by=frozenset({Operator.EQ, Operator.SW}) if is_matched_on else frozenset(),
        scope=and_(_ENTRIES.directory_id == DIRECTORY, is_of_attribute) if is_matched_on else None,
    )


def _groups_of_user() -> Entries:
    value = _id_text(membership.c.group_id)
    return Entries(
        rows=membership.join(
            directory_group, and_(_GROUPS.id == membership.c.group_id, _GROUPS.deleted_at.is_(None))
        ),
        link=membership.c.user_id == _USERS.id,
        owner=membership.c.user_id,
        subs={
            "value": value,
            "$ref": AddressOperand("Groups", value),
            "display": TextOperand(_GROUPS.name_key),
            "type": ConstantOperand("direct"),
        },
        order=(membership.c.group_id,),
        found_by=frozenset({Operator.EQ}),
    )


def _grants_of_user() -> Entries:
    return Entries(
        rows=access_interval,
        link=and_(
            _INTERVALS.member_id == _USERS.member_id,
            _INTERVALS.closed_at.is_(None),
            is_own(_INTERVALS.organisation_id),
        ),
        owner=_INTERVALS.member_id,
        subs={
            "role": TextOperand(_INTERVALS.role, is_case_exact=True, is_binary=False),
            "scope": _id_text(_INTERVALS.scope_id),
            "display": GrantNameOperand(_INTERVALS.role, _INTERVALS.scope_id),
        },
        order=(_INTERVALS.scope_id, _INTERVALS.role),
    )


def _members_of_group() -> tuple[Entries, Entries]:
    user_id, group_id = _id_text(membership.c.user_id), _id_text(subgroup.c.subgroup_id)
    said = select(_DOCUMENTS.display_name_key).where(_DOCUMENTS.id == _USERS.id).scalar_subquery()
    is_key = frozenset({Operator.EQ})
    users = Entries(
        rows=membership.join(
            directory_user, and_(_USERS.id == membership.c.user_id, _USERS.deleted_at.is_(None))
        ),
        link=membership.c.group_id == _GROUPS.id,
        owner=membership.c.group_id,
        subs={
            "value": user_id,
            "$ref": AddressOperand("Users", user_id),
            "type": ConstantOperand("User"),
            "display": TextOperand(
                func.coalesce(func.nullif(said, _NO_TEXT), _USERS.user_name_key),
                is_binary=False,
            ),
        },
        order=(membership.c.user_id,),
        found_by=is_key,
    )
    groups = Entries(
        rows=subgroup.join(
            _CHILD, and_(_CHILD.c.id == subgroup.c.subgroup_id, _CHILD.c.deleted_at.is_(None))
        ),
        link=and_(subgroup.c.group_id == _GROUPS.id, is_own(subgroup.c.organisation_id)),
        owner=subgroup.c.group_id,
        subs={
            "value": group_id,
            "$ref": AddressOperand("Groups", group_id),
            "type": ConstantOperand("Group"),
            "display": TextOperand(_CHILD.c.name_key),
        },
        order=(subgroup.c.subgroup_id,),
        found_by=is_key,
        scope=subgroup.c.organisation_id == ORGANISATION,
    )
    return users, groups


USER_COLUMNS = ResourceColumns(
    schema=USER,
    table=directory_user,
    operands=_user_operands(),
    entries={
        **{name: (_stored_entries(name),) for name in STORED_ENTRIES},
        "groups": (_groups_of_user(),),
        f"{MEMBER}:grants": (_grants_of_user(),),
    },
    schemas={
        CORE_USER: None,
        ENTERPRISE: or_(*(_DOCUMENTS[name].is_not(None) for name in ENTERPRISE_COLUMNS)),
        MEMBER: None,
    },
    joins={scim_user: _DOCUMENTS.id == _USERS.id, member: member.c.id == _USERS.member_id},
    anything=_USERS.user_name_key >= _NO_TEXT,
)

GROUP_COLUMNS = ResourceColumns(
    schema=GROUP,
    table=directory_group,
    operands={
        **_common(directory_group, "Group"),
        # An empty text says that the client gave none.
        "externalId": TextOperand(
            _GROUPS.client_id,
            is_case_exact=True,
            is_set=_GROUPS.client_id != _NO_TEXT,
            is_binary=False,
            is_as_sent=True,
            guard=_GROUPS.directory_id == DIRECTORY,
        ),
        "displayName": TextOperand(_GROUPS.name_key, guard=_GROUPS.organisation_id == ORGANISATION),
    },
    entries={"members": _members_of_group()},
    schemas={CORE_GROUP: None},
)
