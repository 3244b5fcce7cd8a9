"""Recorded requests of identity providers, and the player that sends them to the application.

A sequence is a file `tests/payloads/<idp>/<name>.json`. `expect` is what a step must be answered: a status, a
scimType (`$any`: there must be one), words of the `detail`, headers, and a part of the body, where `$any` stands for
any value and `$absent` for none; a list must have as many entries. `save` keeps a value of the answer under a name,
`{name}` puts it into a later step, `{base}` is the directory's base URL. A step may be an administrator's rule in
place of a request. `otherwise` is the answer under a profile without the leniency that the file is about.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from directory.changes import PutToken
from directory.ids import DirectoryId, GroupId, RoleId
from provisioning.resources import (
    LoggedRequest,
    PushStore,
    RequestQuery,
    ResourceQuery,
    UserResource,
)
from service.app import REQUEST_LOG, create_app
from service.settings import load_settings
from service.wiring import Wiring, wire
from storage.migrate import upgrade
from tests.architecture.project import ROOT
from tests.builders import KEY_RING, FakeClock, World, make_world
from tests.postgresql import DatabaseFactory
from web.tokens import make_token

PAYLOADS = ROOT / "tests" / "payloads"
IDPS = ("entra", "google", "generic", "jumpcloud", "okta", "onelogin")
ANY = "$any"
ABSENT = "$absent"
PUBLIC_URL = "https://usher.example"

_PLACE = re.compile(r"\{([a-zA-Z]+)\}")
_EVERYTHING = ResourceQuery(limit=1_000)

Document = Mapping[str, Any]


class AddRule(Protocol):
    """What an administrator does between two requests."""

    def __call__(self, group: str, role: str) -> None: ...


@dataclass(frozen=True)
class PayloadSequence:
    """One file. `world` says of the organisation: plan, seats, policy, default_role."""

    name: str
    idp: str
    title: str
    profile: str
    origin: Sequence[str]
    steps: Sequence[Document]
    state: Mapping[str, Document]
    events: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)
    leniency: str = ""

    @property
    def id(self) -> str:
        return f"{self.idp}/{self.name}"

    @property
    def requests(self) -> list[Document]:
        """The steps that are requests."""
        return [step for step in self.steps if "rule" not in step]


def load_sequence(path: Path) -> PayloadSequence:
    return PayloadSequence(**json.loads(path.read_text(encoding="utf-8")))


def load_sequences() -> list[PayloadSequence]:
    return [load_sequence(path) for idp in IDPS for path in sorted((PAYLOADS / idp).glob("*.json"))]


def differences(expected: Any, seen: Any, place: str = "$") -> list[str]:  # noqa: ANN401 - parts of JSON documents
    """Where a document does not have what is expected of it."""
    if expected == ANY:
        return [] if seen not in (None, "", [], {}) else [f"{place}: nothing there"]
    if isinstance(expected, Mapping):
        if not isinstance(seen, Mapping):
            return [f"{place}: {seen!r} is no object"]
        return [
            found
            for key, value in expected.items()
            for found in _compare_member(value, seen, key, f"{place}.{key}")
        ]
    if isinstance(expected, list):
        if not isinstance(seen, list) or len(seen) != len(expected):
            return [f"{place}: {seen!r} has not {len(expected)} entries"]
        pairs = enumerate(zip(expected, seen, strict=True))
        return [found for at, (want, have) in pairs for found in differences(want, have, f"{place}[{at}]")]
    return (
        [] if expected == seen and type(expected) is type(seen) else [f"{place}: {seen!r}, not {expected!r}"]
    )


def _compare_member(value: Any, seen: Document, key: str, place: str) -> list[str]:  # noqa: ANN401 - a part of JSON
    if value == ABSENT:
        return [f"{place}: {seen[key]!r}, not absent"] if key in seen else []
    return differences(value, seen[key], place) if key in seen else [f"{place}: absent, not {value!r}"]


def fill(document: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401 - a JSON document
    """The document with each `{name}` replaced. Raises KeyError for a name that nothing saved."""
    if isinstance(document, str):
        return _PLACE.sub(lambda found: values[found[1]], document)
    if isinstance(document, Mapping):
        return {fill(key, values): fill(value, values) for key, value in document.items()}
    return [fill(value, values) for value in document] if isinstance(document, list) else document


def pick(document: Any, path: str) -> str:  # noqa: ANN401 - a JSON document
    """The text at a dotted path such as `meta.version` or `Resources.0.id`."""
    for part in path.split("."):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return str(document)


@dataclass
class Player:
    """An identity provider: it knows a base URL and a token. `base` is the path, `public_base` the whole URL."""

    client: FlaskClient
    base: str
    public_base: str
    token: str
    headers: Mapping[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        """One request, with no User-Agent unless one is given."""
        sent = {"Authorization": f"Bearer {self.token}", **self.headers, **(headers or {})}
        data = None
        if body is not None:
            sent.setdefault("Content-Type", "application/scim+json")
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.open(self.base + path, method=method, data=data, headers=sent)

    def play(self, sequence: PayloadSequence, add_rule: AddRule, *, is_allowed: bool = True) -> None:
        """Send every step and hold its answer to what is expected. `is_allowed`: the profile has the leniency."""
        self.headers = sequence.headers
        self.values["base"] = self.public_base
        for step in sequence.steps:
            if "rule" in step:
                add_rule(**fill(step["rule"], self.values))
            else:
                self._play_step(step, sequence.id, is_allowed=is_allowed)

    def _play_step(self, step: Document, place: str, *, is_allowed: bool) -> None:
        request = fill({key: step[key] for key in ("path", "body", "headers") if key in step}, self.values)
        answer = self.send(step["method"], request["path"], request.get("body"), request.get("headers"))
        expected = step["expect"] if is_allowed else step.get("otherwise", step["expect"])
        told = f"{place}, '{step['say']}': {answer.status_code} {answer.get_data(as_text=True)[:600]}"
        assert answer.status_code == expected["status"], told
        document = answer.get_json() if answer.data else {}
        if expected is step["expect"]:
            self.values |= {name: pick(document, path) for name, path in step.get("save", {}).items()}
        faults = [
            *differences(fill(expected.get("body", {}), self.values), document),
            *differences(fill(expected.get("headers", {}), self.values), dict(answer.headers)),
            *(_faults_of_error(expected, document) if answer.status_code >= 400 else ()),
            *(["there is a body"] if expected.get("empty") and answer.data else ()),
        ]
        assert not faults, f"{told}: {faults}"


def _faults_of_error(expected: Document, document: Document) -> list[str]:
    told = {"status": str(expected["status"]), "scimType": expected.get("scimType", ABSENT), "detail": ANY}
    words = expected.get("detail", "")
    return differences(told, document) or ([] if words in document["detail"] else [f"no '{words}' in detail"])


@dataclass
class Endpoint:
    """The application over a database, and organisations to push to."""

    wiring: Wiring
    clock: FakeClock

    @cached_property
    def client(self) -> FlaskClient:
        return make_client(self.wiring)

    def make_push(
        self, world: Document = MappingProxyType({}), *, profile: str = "generic", **settings: bool
    ) -> "Push":
        """A new organisation with a SCIM directory and a token. The profile is set unless it is `generic`.

        `world`: as in a file; plan Pro without more.
        """
        made = make_world(
            self.wiring.database,
            plan=world.get("plan", "Pro"),
            seat_limit=world.get("seats"),
            policy=world.get("policy", "reject"),
        )
        made.clock = self.clock
        directory_id = made.put_directory(
            "idp",
            kind="scim",
            settings=settings if profile == "generic" else {"profile": profile, **settings},
            default_role=RoleId(world["default_role"]) if "default_role" in world else None,
        )
        push = Push(self.client, made, directory_id, self.wiring.pushes)
        push.player.token = push.issue_token("first")
        made.events()
        return push


def make_client(wiring: Wiring) -> FlaskClient:
    """A client of the application that does not name itself; whoever does says so in its payloads."""
    client = create_app(wiring).test_client()
    del client.environ_base["HTTP_USER_AGENT"]
    return client


class Push:
    """A directory of an organisation of its own, and the identity provider that pushes to it."""

    def __init__(
        self, client: FlaskClient, world: World, directory_id: DirectoryId, pushes: PushStore
    ) -> None:
        self.world = world
        self.pushes = pushes
        self.directory_id = directory_id
        self.tokens: dict[str, str] = {}
        base = f"/scim/v2/{directory_id}"
        self.player = Player(client, base, PUBLIC_URL + base, token="")
        self.send = self.player.send

    def issue_token(self, name: str, *, valid: timedelta | None = None) -> str:
        """The text of a new token; its id stands in `tokens`."""
        token_id = self.tokens[name] = self.world.new_id()
        seed = token_id.encode()
        fresh = make_token(sha256(seed).digest() + sha256(seed[::-1]).digest())
        ends = None if valid is None else self.world.clock() + valid
        self.world.do(PutToken(token_id, self.directory_id, name, fresh.prefix, fresh.sha256, ends))
        return fresh.text

    def play(self, sequence: PayloadSequence, *, is_allowed: bool = True) -> None:
        """Play it, and hold the organisation to what must be true at any time."""
        self.player.play(sequence, self.add_rule, is_allowed=is_allowed)
        self.world.check()

    def add_rule(self, group: str, role: str) -> None:
        self.world.put_rule(GroupId(group), RoleId(role))

    def logged(self) -> list[LoggedRequest]:
        """The request log of the directory, the first request first."""
        self.player.client.application.extensions[REQUEST_LOG].flush()
        query = RequestQuery(self.directory_id, limit=1_000)
        rows = self.pushes.requests(self.world.organisation_id, query)
        whole = [self.pushes.request(self.world.organisation_id, row.id) for row in reversed(rows)]
        return [row for row in whole if row is not None]

    # Looking

    def users(self) -> dict[str, Document]:
        """Every live user by userName, in the form of a sequence's state."""
        with self.world.read() as reader:
            resources = reader.resources(self.directory_id)
            rows = [resources.user(row.user_id) for row in resources.users(_EVERYTHING).rows]
        return {str(row.resource["userName"]): self._told(row) for row in rows if row is not None}

    def _told(self, row: UserResource) -> Document:
        told: dict[str, Any] = {
            "active": row.resource["active"],
            "roles": self.world.roles(row.member_id),
            "seat": row.seat.value,
            "groups": sorted(name for _, name in row.groups),
        }
        client_id = row.resource.get("externalId")
        return told if client_id is None else {**told, "externalId": client_id}

    def groups(self) -> dict[str, list[str]]:
        """The userNames of the members of every live group, by the group's name."""
        with self.world.read() as reader:
            resources = reader.resources(self.directory_id)
            names = {
                str(row.user_id): str(row.resource["userName"]) for row in resources.users(_EVERYTHING).rows
            }
            return {
                row.display_name: sorted(
                    names[member.id] for chunk in resources.members(row.group_id) for member in chunk
                )
                for row in resources.groups(_EVERYTHING).rows
            }


@contextmanager
def open_endpoint(folder: Path, postgresql: DatabaseFactory | None = None) -> Iterator[Endpoint]:
    """The application over a fresh database: SQLite in the folder, or one of the PostgreSQL server."""
    environ = {"USHER_DATA": str(folder), "USHER_PUBLIC_URL": PUBLIC_URL}
    if postgresql is not None:
        environ["USHER_DATABASE_URL"] = postgresql()
    clock = FakeClock()
    with wire(load_settings(environ), KEY_RING, clock=clock) as wiring:
        upgrade(wiring.database)
        yield Endpoint(wiring, clock)
