"""An organisation with a directory that is pushed to: users as Entra sends them, groups of given sizes, a token."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bench.place import Place, open_place
from bench.scim_client import MARK
from directory.changes import (
    AddMembers,
    Change,
    GroupMatch,
    PutDirectory,
    PutGroup,
    PutRule,
    PutScope,
    PutToken,
    PutUser,
)
from directory.facts import GroupFacts
from directory.ids import DirectoryId, ExternalId, GroupId, RoleId, RuleId, ScopeId
from directory.schema import CORE_GROUP, CORE_USER, ENTERPRISE
from scim.bodies import read_user
from scim.facts import user_facts
from scim.profiles import PROFILES
from web.tokens import make_token

DATABASE = "usher.db"
MARKER_LETTERS = 12
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_BATCH = 1_000
_Item = TypeVar("_Item")


def marker(number: int) -> str:
    """What tells one user from the others, always of one length."""
    return f"{number:0{MARKER_LETTERS}x}"


def user_name(mark: str) -> str:
    return f"user{mark}@bench.example"


def user_body(mark: str = MARK) -> dict[str, object]:
    """A user as Entra creates one. Source: Microsoft, "develop a SCIM endpoint", Create User."""
    return {
        "schemas": [CORE_USER, ENTERPRISE],
        "externalId": f"external{mark}",
        "userName": user_name(mark),
        "active": True,
        "displayName": f"Bench {mark}",
        "emails": [{"primary": True, "type": "work", "value": user_name(mark)}],
        "name": {"formatted": f"Bench {mark}", "familyName": mark, "givenName": "Bench"},
        "title": "Technician",
        ENTERPRISE: {"department": "Operations", "employeeNumber": mark},
    }


def group_body(name: str, members: Sequence[str] = ()) -> dict[str, object]:
    body: dict[str, object] = {"schemas": [CORE_GROUP], "externalId": f"external-{name}", "displayName": name}
    if members:
        body["members"] = [{"value": user_id} for user_id in members]
    return body


def patch_body(*operations: dict[str, object]) -> dict[str, object]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def member_patch(*user_ids: str) -> dict[str, object]:
    """Members come in. Source: Microsoft, "develop a SCIM endpoint", Update Group [Add Members]."""
    return patch_body({"op": "Add", "path": "members", "value": [{"value": user_id} for user_id in user_ids]})


def manager_patch(user_id: str) -> dict[str, object]:
    return patch_body({"op": "Add", "path": f"{ENTERPRISE}:manager", "value": user_id})


@dataclass(slots=True)
class Pushed:
    """What a client knows of a directory: where it lies, what lets it in, and the ids of what is in it.

    `users` by number; `groups` by size. The first users are in the groups, so that those behind the largest are in
    none.
    """

    folder: Path
    directory_id: str
    token: str
    users: list[str] = field(default_factory=list)
    groups: dict[int, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / DATABASE}"

    @property
    def base(self) -> str:
        return f"/scim/v2/{self.directory_id}"

    @property
    def outsiders(self) -> list[str]:
        """Users that are in no group."""
        return self.users[max(self.groups, default=0) :]

    def copy(self, folder: Path) -> "Pushed":
        """The same in a database of its own. Nobody may have this one open."""
        shutil.copytree(self.folder, folder)
        return Pushed(folder, self.directory_id, self.token, self.users, self.groups)


def make_pushed(folder: Path, *, users: int, groups: Sequence[int]) -> Pushed:
    """A directory with so many users, and groups of these sizes; each group but an empty one gives a role."""
    folder.mkdir()
    with open_place(f"sqlite:///{folder / DATABASE}", folder, is_new=True) as place:
        return _fill(place, folder, users=users, groups=groups)


def _fill(place: Place, folder: Path, *, users: int, groups: Sequence[int]) -> Pushed:
    mint = place.wiring.mint
    directory_id, location = DirectoryId(mint.id()), ScopeId(mint.id())
    place.do(
        PutDirectory(directory_id, "scim", "bench", {}),
        PutScope(location, "location", "Gothenburg", "gothenburg", (place.state.root_scope_id,)),
    )
    token = make_token(b"".join(mint.salt() for _ in range(3)))
    place.do(PutToken(mint.id(), directory_id, "bench", token.prefix, token.sha256))
    pushed = Pushed(folder, directory_id, token.text)
    pushed.users = [mint.id() for _ in range(users)]
    pushed.groups = {size: mint.id() for size in groups}
    said: list[Change] = []
    for number, user_id in enumerate(pushed.users):
        user = read_user(user_body(marker(number)), PROFILES["generic"], set())
        said.append(PutUser(user_facts(user_id, user.resource, bool(user.active))))
    for batch in _batches(said):
        place.do(*batch, directory_id=directory_id)
    for size, group_id in pushed.groups.items():
        name = ExternalId(group_id)
        place.do(
            PutGroup(GroupFacts(name, f"group of {size}", client_id=f"external-{size}")),
            directory_id=directory_id,
        )
        if size:
            rule = PutRule(RuleId(mint.id()), GroupMatch(GroupId(group_id)), RoleId("Member"), location)
            place.do(rule)
        for members in _batches(pushed.users[:size]):
            place.do(AddMembers(name, tuple(map(ExternalId, members))), directory_id=directory_id)
    return pushed


def _batches(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    source = iter(items)
    while batch := list(islice(source, _BATCH)):
        yield batch


@contextlib.contextmanager
def reopened(pushed: Pushed) -> Iterator[Place]:
    with open_place(pushed.url, pushed.folder) as place:
        yield place
