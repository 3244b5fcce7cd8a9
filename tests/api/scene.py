"""A service with an organisation, people who are signed in, and host applications, as they talk over HTTP."""

import base64
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from audit.body import EventBody, parse_body
from directory.changes import AddDomain
from directory.ids import ConnectionId, MemberId, OrganisationId, SessionId
from directory.sso_changes import OpenSession, PutConnection
from provisioning.clients import StoredClient
from provisioning.ports import EventQuery
from service.administration import Administration
from service.app import create_app
from service.clients import NewClient, register_client, signing_keys
from service.opening import open_database_as_is
from service.settings import load_settings
from service.wiring import Wiring
from tests.service.worlds import OPERATOR, HandClock, small_world
from web.cookies import make_value
from web.sessions import digest_token

ISSUER = "http://127.0.0.1:8000"
CALLBACK = "https://app.example/callback"
AFTER_LOGOUT = "https://app.example/bye"
BACKCHANNEL = "https://app.example/backchannel"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@dataclass(slots=True)
class Scene:
    """`client` and `secret` are of the application that most tests are about. Nobody has a cookie jar."""

    administration: Administration
    clock: HandClock
    client: StoredClient
    secret: str
    connection_id: ConnectionId
    http: FlaskClient
    drawn: list[int] = field(default_factory=lambda: [0])

    @property
    def wiring(self) -> Wiring:
        return self.administration.wiring

    def member(self, name: str) -> MemberId:
        with self.administration.read() as reader:
            (found,) = reader.members_by_text(name)
        return found

    def register(self, name: str, **values: Any) -> tuple[StoredClient, str]:  # noqa: ANN401 - as NewClient's own
        asked: dict[str, Any] = {"environment": "minut", "redirect_uris": [CALLBACK], **values}
        made = register_client(self.wiring, NewClient(name, **asked), OPERATOR)
        return made.client, made.secret

    def sign_in(
        self,
        name: str = "anna",
        *,
        hours: float = 8,
        auth_time: datetime | None = None,
        administration: Administration | None = None,
        connection_id: ConnectionId | None = None,
        **values: Any,  # noqa: ANN401 - OpenSession's own
    ) -> str:
        """The cookie's value of a session that is opened as a login opens it."""
        administration = administration or self.administration
        self.drawn[0] += 1
        token = make_value(hashlib.sha256(str(self.drawn[0]).encode()).digest())
        with administration.read() as reader:
            (member_id,) = reader.members_by_text(name)
        opened = OpenSession(
            session_id=SessionId(self.wiring.mint.id()),
            token_sha256=digest_token(token),
            member_id=member_id,
            connection_id=connection_id or self.connection_id,
            login_id=f"login-{self.drawn[0]}",
            auth_time=auth_time or self.clock(),
            expires_at=self.clock() + timedelta(hours=hours),
            **values,
        )
        administration.apply([opened])
        return token

    def authorize(
        self, token: str = "", method: str = "GET", drop: tuple[str, ...] = (), /, **changes: str
    ) -> TestResponse:
        """Ask for a code, with the parameters of a sound request but for the changes."""
        asked = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid email",
            "state": "st&te=1",
            "nonce": "n-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        asked = {name: value for name, value in asked.items() if name not in drop}
        return self.send(method, "/oidc/authorize", asked, token=token)

    def send(
        self,
        method: str,
        path: str,
        asked: Mapping[str, str] | str = "",
        *,
        token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        """A form where it is posted, else a query."""
        cookie = {"Cookie": f"usher_session={token}"} if token else {}
        where: dict[str, Any] = {"data": asked} if method == "POST" else {"query_string": asked}
        if method == "POST" and isinstance(asked, str):
            where["content_type"] = "application/x-www-form-urlencoded"
        response = self.http.open(path, method=method, headers={**cookie, **(headers or {})}, **where)
        assert response.status_code < 500
        assert response.headers["Cache-Control"] == "no-store"
        assert not any(name.startswith("Access-Control") for name, _ in response.headers)
        return response

    def code(self, token: str = "", **changes: str) -> str:
        """A fresh code of somebody who is signed in."""
        answer = self.authorize(token or self.sign_in(), **changes)
        return led(answer)["code"]

    def exchange(
        self, code: str, headers: Mapping[str, str] | None = None, /, **changes: str
    ) -> TestResponse:
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "client_id": self.client.client_id,
            "client_secret": self.secret,
            **changes,
        }
        asked = {name: value for name, value in asked.items() if value}
        return self.send("POST", "/oidc/token", asked, headers=headers)

    def tokens(self, token: str = "", **changes: str) -> dict[str, Any]:
        """What an application gets for a code."""
        answer = self.exchange(self.code(token, **changes))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def refresh(self, refresh_token: str, **changes: str) -> TestResponse:
        changes = {"grant_type": "refresh_token", "refresh_token": refresh_token, **changes}
        return self.exchange("", redirect_uri="", code_verifier="", **changes)

    def userinfo(self, access_token: str) -> TestResponse:
        return self.send("GET", "/oidc/userinfo", headers={"Authorization": f"Bearer {access_token}"})

    def claims(self, id_token: str) -> dict[str, Any]:
        """The claims, proven by the published keys."""
        keys = KeySet.import_key_set(self.http.get("/oidc/jwks").get_json())
        return jwt.decode(id_token, keys, algorithms=["RS256"]).claims

    def events(self) -> list[EventBody]:
        with self.administration.read() as reader:
            return [parse_body(body) for _, body in reader.events(EventQuery(limit=10_000))]


def led(answer: TestResponse) -> dict[str, str]:
    """The parameters with which the browser is led back to the application."""
    assert answer.status_code == 302, answer.text
    where = answer.headers["Location"]
    assert where.startswith(f"{CALLBACK}?")
    return {name: value for name, (value,) in parse_qs(urlsplit(where).query).items()}


def refused(answer: TestResponse) -> str:
    """The error that is told in place: nobody was led anywhere."""
    assert answer.status_code in {400, 401}
    assert "Location" not in answer.headers
    error: str = answer.get_json()["error"]
    return error


def sent_to_login(answer: TestResponse) -> dict[str, str]:
    """The parameters of the page that asks people to sign in."""
    assert answer.status_code == 303
    parts = urlsplit(answer.headers["Location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ISSUER}/sso/login"
    return {name: value for name, (value,) in parse_qs(parts.query).items()}


@dataclass(frozen=True, slots=True)
class Made:
    """What of a scene lies on the disk, to be copied."""

    folder: Path
    organisation_id: OrganisationId
    connection_id: ConnectionId
    client: StoredClient
    secret: str


def make_scene(folder: Path) -> Made:
    """Anna and Ben are Members of Acme by a rule; acme.example is its own domain. There are signing keys already."""
    with small_world(folder, HandClock()) as administration:
        connection_id = put_connection(administration)
        administration.apply([AddDomain("acme.example")])
        new = NewClient("Host", "minut", [CALLBACK], [AFTER_LOGOUT], BACKCHANNEL)
        made = register_client(administration.wiring, new, OPERATOR)
        signing_keys(administration.wiring).public()
        return Made(folder, administration.organisation_id, connection_id, made.client, made.secret)


@contextmanager
def open_scene(made: Made, folder: Path, **environ: str) -> Iterator[Scene]:
    """A copy of the scene, for one test."""
    shutil.copytree(made.folder / "var", folder / "var")
    settings = load_settings({"USHER_DATA": str(folder / "var"), **environ})
    clock = HandClock()
    with open_database_as_is(settings, clock=clock) as wiring:
        yield Scene(
            administration=Administration(wiring, made.organisation_id, OPERATOR),
            clock=clock,
            client=made.client,
            secret=made.secret,
            connection_id=made.connection_id,
            http=create_app(wiring).test_client(use_cookies=False),
        )


def put_connection(administration: Administration) -> ConnectionId:
    """A connection that people have signed in over."""
    connection_id = ConnectionId(administration.wiring.mint.id())
    settings: dict[str, str | int | bool] = {
        "idp_entity_id": "https://idp.example/metadata",
        "sso_url": "https://idp.example/sso",
    }
    administration.apply([PutConnection(connection_id, "idp", settings)])
    return connection_id
