"""What people call things: members, groups, scopes, directories and rules by id or by a name of theirs.

A name that fits several things is refused with the candidates; nothing is guessed.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from directory.facts import name_key
from directory.ids import GroupId, MemberId, RoleId, ScopeId
from mappings.catalogue import ROOT_KIND
from mappings.rules import Rule
from mappings.scopes import ScopeGraph, ScopeNode
from provisioning.logins import StoredConnection
from provisioning.models import OrganisationModel
from provisioning.ports import Reader, ServiceStore
from provisioning.resources import StoredToken
from provisioning.state import MemberRecord, OrganisationState, StoredDirectory, StoredGroup, StoredInvitation
from provisioning.tokens import is_live
from service.errors import AmbiguousNameError, NotFoundError
from web.tokens import read_prefix

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SHOWN = 10
_END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)
_MOST_INVITATIONS = 100_000

_Thing = TypeVar("_Thing")


def is_id(text: str) -> bool:
    """Whether the text has the form of our ids."""
    return _ID.fullmatch(text) is not None


def _only(
    kind: str, name: str, found: Sequence[_Thing], render: Callable[[_Thing], str], *, missing: str
) -> _Thing:
    if not found:
        raise NotFoundError(missing)
    if len(found) > 1:
        shown = [render(thing) for thing in found[:_SHOWN]]
        if len(found) > _SHOWN:
            shown.append(f"{len(found) - _SHOWN} more")
        raise AmbiguousNameError(kind, name, shown)
    return found[0]


def find_organisation(store: ServiceStore, name: str) -> OrganisationState:
    """The organisation of this name or id, or the only one whose name begins so; without a name, the only one."""
    if name:
        exact = store.organisation(name)
        if exact is not None:
            return exact
    all_of_them = store.organisations()
    if not all_of_them:
        raise NotFoundError("there is no organisation yet; create one with 'usher organisation create'")
    if not name:
        if len(all_of_them) == 1:
            return all_of_them[0]
        listed = ", ".join(f"'{state.name}'" for state in all_of_them[:_SHOWN])
        raise NotFoundError(f"there are several organisations; say which one by -o NAME: {listed}")
    key = name_key(name)
    return _only(
        "organisation",
        name,
        [state for state in all_of_them if name_key(state.name).startswith(key)],
        lambda state: f"'{state.name}' ({state.organisation_id})",
        missing=f"there is no organisation '{name}'; list them with 'usher organisation list'",
    )


def find_member(reader: Reader, name: str) -> MemberRecord:
    """The member of this id, mail, or user name at a directory."""
    if is_id(name):
        record = reader.member_records([MemberId(name.lower())]).get(MemberId(name.lower()))
        if record is not None:
            return record
    records = reader.member_records(reader.members_by_text(name))
    live = [record for record in records.values() if not record.is_deleted] or list(records.values())
    return _only(
        "member",
        name,
        sorted(live, key=lambda record: record.member_id),
        lambda record: f"{record.display_name} <{record.mail}> ({record.member_id})",
        missing=f"there is no member '{name}'; name one by mail, user name or id ('usher member list')",
    )


def open_invitations(reader: Reader) -> list[StoredInvitation]:
    """Every invitation that reserves a seat."""
    return reader.invitations_due(_END_OF_TIME, _MOST_INVITATIONS)


def find_invitation(reader: Reader, name: str) -> StoredInvitation | None:
    """The open invitation of this id or mail."""
    key = name_key(name)
    found = (
        known for known in open_invitations(reader) if key in {known.invitation_id, name_key(known.mail)}
    )
    return next(found, None)


def find_directory(reader: Reader, name: str) -> StoredDirectory:
    """The directory of this name or id; without a name, the only one."""
    directories = reader.directories()
    if not name and len(directories) == 1:
        return directories[0]
    if not name:
        if not directories:
            raise NotFoundError("there is no directory yet; add one with 'usher directory add-ldif'")
        listed = ", ".join(f"'{directory.name}'" for directory in directories)
        raise NotFoundError(f"there are several directories; name one of them: {listed}")
    key = name_key(name)
    return _only(
        "directory",
        name,
        [known for known in directories if known.directory_id == key or name_key(known.name) == key],
        lambda known: f"'{known.name}' ({known.directory_id})",
        missing=f"there is no directory '{name}'; list them with 'usher directory list'",
    )


def find_push_directory(reader: Reader, name: str) -> StoredDirectory:
    """The SCIM directory of this name or id; without a name, the only one."""
    directories = [known for known in reader.directories() if known.kind == "scim"]
    if name:
        directory = find_directory(reader, name)
        if directory.kind != "scim":
            raise NotFoundError(
                f"directory '{directory.name}' is of the kind {directory.kind}; only SCIM directories are pushed to"
            )
        return directory
    if not directories:
        raise NotFoundError("there is no SCIM directory yet; add one with 'usher directory add-scim'")
    if len(directories) > 1:
        listed = ", ".join(f"'{directory.name}'" for directory in directories)
        raise NotFoundError(f"there are several SCIM directories; name one of them: {listed}")
    return directories[0]


def find_token(reader: Reader, name: str, now: datetime) -> StoredToken:
    """The token of this prefix, end of it, id or name; of several of one name the live one."""
    # Somebody may paste the token itself; it must not be repeated in a message.
    shown = read_prefix(name) or name
    key = name_key(shown)
    tokens = reader.tokens()
    found = [token for token in tokens if key in {token.prefix, token.token_id}] or [
        token for token in tokens if token.prefix.endswith(f"_{key}")
    ]
    if not found:
        named = [token for token in tokens if name_key(token.name) == key]
        found = [token for token in named if is_live(token, now)] or named
    return _only(
        "token",
        shown,
        found,
        lambda token: f"{token.prefix} of '{token.directory_name}'",
        missing=f"there is no token '{shown}'; list them with 'usher token list'",
    )


def find_group(reader: Reader, name: str) -> StoredGroup:
    """The live directory group of this id or name, or of `directory/name` where two directories have the name."""
    if is_id(name):
        by_id = reader.groups_by_id([GroupId(name.lower())]).get(GroupId(name.lower()))
        if by_id is not None:
            return by_id
    directories = {directory.directory_id: directory.name for directory in reader.directories()}
    found = reader.groups_by_name(name)
    if not found and "/" in name:
        of_directory, _, group_name = name.partition("/")
        found = [
            group
            for group in reader.groups_by_name(group_name)
            if name_key(directories.get(group.directory_id, "")) == name_key(of_directory)
        ]
    return _only(
        "group",
        name,
        found,
        lambda group: f"'{directories.get(group.directory_id, '?')}/{group.display_name}' ({group.group_id})",
        missing=f"there is no group '{name}' in any directory; has its directory been read ('usher sync run')?",
    )


def find_scope(scopes: ScopeGraph, name: str) -> ScopeNode:
    """The scope of this id, `kind/host id`, or name; `organisation` is the organisation itself."""
    by_id = scopes.get(ScopeId(name.lower()))
    if by_id is not None:
        return by_id
    root = scopes.get(scopes.root)
    if name == ROOT_KIND and root is not None:
        return root
    kind, slash, host_id = name.partition("/")
    if slash:
        by_host_id = scopes.by_host_id(kind, host_id)
        if by_host_id is not None:
            return by_host_id
    key = name_key(name)
    nodes = scopes.nodes()
    found = [node for node in nodes if name_key(node.name) == key] or [
        node for node in nodes if name_key(node.host_id) == key
    ]
    return _only(
        "scope",
        name,
        found,
        scope_label,
        missing=f"there is no scope '{name}'; name one by kind/host id, name or id ('usher scope list')",
    )


def scope_label(node: ScopeNode) -> str:
    """A scope in one line: its name, and how to name it alone."""
    if not node.parents:
        return f"{node.name} ({ROOT_KIND})"
    return f"{node.name} ({node.kind}/{node.host_id})"


def find_role(model: OrganisationModel, name: str) -> RoleId:
    """The role of this id, in whatever case it is written."""
    key = name_key(name)
    found = [role for role in model.roles if role == name] or [
        role for role in model.roles if name_key(role) == key
    ]
    listed = ", ".join(model.roles)
    return _only("role", name, found, str, missing=f"there is no role '{name}'; the roles are {listed}")


def find_rule(rules: Iterable[Rule], name: str) -> Rule:
    """The rule of this id, or the only one whose id ends so."""
    key = name.lower()
    known = list(rules)
    found = [rule for rule in known if rule.rule_id == key] or [
        rule for rule in known if key and rule.rule_id.endswith(key)
    ]
    return _only(
        "rule",
        name,
        found,
        lambda rule: rule.rule_id,
        missing=f"there is no rule '{name}'; list them with 'usher rules list'",
    )


def find_connection(reader: Reader, name: str) -> StoredConnection:
    """The connection of this name or id, or the only one whose name begins so; without a name, the only one."""
    known = reader.sso.connections()
    key = name_key(name)
    found = (
        [each for each in known if name_key(each.name) == key or each.connection_id == name]
        or [each for each in known if key and name_key(each.name).startswith(key)]
        if name
        else known
    )
    return _only(
        "connection",
        name,
        found,
        lambda each: f"{each.name} ({each.connection_id})",
        missing=f"there is no connection '{name}'; list them with 'usher connection list'"
        if name
        else "there is no connection yet; add one with 'usher connection add'",
    )
