"""A person's browser, an identity provider that signs, and the service between them, with a clock moved by hand."""

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from lxml import etree, html
from werkzeug.test import TestResponse

from audit.actors import AdminActor
from audit.body import EventBody, parse_body
from directory.changes import AddDomain, Change
from directory.ids import ConnectionId, EnvironmentId, MemberId
from directory.sso_changes import PutConnection, PutIdPCertificate, PutSPKey
from provisioning.logins import StoredConnection, StoredSession
from provisioning.ports import EventQuery
from service.administration import Administration
from service.app import create_app
from service.environments import load_environment
from service.files import shipped_catalogue
from service.opening import open_and_upgrade
from service.organisations import NewOrganisation, create_organisation
from service.settings import load_settings
from service.wiring import Wiring
from tests.builders import FakeClock
from tests.saml_forge import messages
from tests.saml_forge.keys import IDP, OTHER_IDP, SP, Key
from tests.saml_forge.logout import signed_query
from tests.saml_forge.messages import IDP_ENTITY, NOW, OTHER_IDP_ENTITY, moment
from tests.saml_forge.metadata import SLO_URL, SSO_URL
from tests.saml_forge.signing import sign

OPERATOR = AdminActor("operator:test", is_operator=True)
BASE = "https://usher.example"
BACK = "/oidc/authorize?client_id=host&state=s1"
OWNER = "olivia@example.org"


@dataclass(frozen=True, slots=True)
class Asked:
    """An AuthnRequest or LogoutRequest of ours as it came to the identity provider."""

    document: Any
    relay_state: str
    query: Mapping[str, str]

    @property
    def message_id(self) -> str:
        return str(self.document.get("ID"))


def read_redirect(location: str) -> Asked:
    """What the browser was sent off with."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    text = query.get("SAMLRequest") or query["SAMLResponse"]
    document = etree.fromstring(zlib.decompress(base64.b64decode(text), -15))
    return Asked(document, query.get("RelayState", ""), query)


def read_form(answer: TestResponse) -> tuple[str, dict[str, str]]:
    """The first form of a page: where it goes, and what it holds."""
    form = html.document_fromstring(answer.get_data(as_text=True)).forms[0]
    return str(form.action), {name: value or "" for name, value in form.form_values()}


class Browser:
    """A person at the service. Cookies stay; redirects are not followed."""

    def __init__(self, client: FlaskClient, address: str = "192.0.2.1") -> None:
        self.client = client
        self.address = address

    def get(self, path: str, **said: Any) -> TestResponse:  # noqa: ANN401 - what Werkzeug's client takes
        return self.open("GET", path, **said)

    def post(self, path: str, data: Mapping[str, str] | bytes, **said: Any) -> TestResponse:  # noqa: ANN401
        return self.open("POST", path, data=data, **said)

    def open(self, method: str, path: str, **said: Any) -> TestResponse:  # noqa: ANN401 - as above
        return self.client.open(
            path.removeprefix(BASE),
            method=method,
            base_url=BASE,
            environ_overrides={"REMOTE_ADDR": self.address},
            **said,
        )

    @property
    def token(self) -> str:
        cookie = self.client.get_cookie("__Host-usher_session", domain="usher.example")
        return "" if cookie is None else cookie.value


@dataclass(slots=True)
class Organisation:
    """An organisation with one connection, and the identity provider behind it."""

    scene: "Scene"
    administration: Administration
    connection_id: ConnectionId
    entity_id: str
    key: Key
    _seen: int = 0
    _number: int = 0

    # The administrator

    def do(self, *changes: Change) -> None:
        self.administration.apply(list(changes))

    def set(self, **settings: str | int | bool) -> None:
        """Change settings of the connection."""
        stored = self.stored
        self.do(PutConnection(self.connection_id, stored.name, {**stored.settings, **settings}))
        self.news()

    @property
    def stored(self) -> StoredConnection:
        with self.administration.read() as reader:
            stored = reader.sso.connection(self.connection_id)
        assert stored is not None
        return stored

    @property
    def sessions(self) -> list[StoredSession]:
        with self.administration.read() as reader:
            return reader.sso.sessions(None, self.scene.clock(), 100)

    def member(self, mail: str) -> MemberId:
        with self.administration.read() as reader:
            (member_id,) = reader.members_by_mail([mail])[mail]
        return member_id

    def news(self) -> list[EventBody]:
        """What was written since this was last asked."""
        with self.administration.read() as reader:
            bodies = [parse_body(row) for _, row in reader.events(EventQuery(limit=100_000))]
        new, self._seen = bodies[self._seen :], len(bodies)
        return new

    def actions(self) -> list[str]:
        return [body["action"] for body in self.news()]

    # The addresses

    @property
    def path(self) -> str:
        return f"/saml/{self.connection_id}"

    @property
    def url(self) -> str:
        return f"{BASE}{self.path}"

    # The identity provider

    def response(
        self,
        asked: Asked | None,
        mail: str = "anna@example.org",
        *,
        values: Mapping[str, Sequence[str]] | None = None,
        name_id: str | None = None,
        audience: str = "",
        shift: float = 0,
        index: str = "_index-1",
        session_ends: datetime | None = None,
        key: Key | None = None,
        about: str | None = None,
        signed_in_at: datetime | None = None,
        number: str = "",
    ) -> str:
        """A signed response. `shift`: by how many seconds the provider's clock is ahead."""
        self._number += 1
        number = number or f"{self.connection_id}-{self._number}"
        now = self.scene.clock() + timedelta(seconds=shift)
        answers = asked.message_id if asked is not None else None
        subject = messages.subject(
            messages.name_id(name_id or mail),
            messages.confirmation(
                recipient=f"{self.url}/acs", ends=moment(now + timedelta(minutes=5)), answers=answers
            ),
        )
        stated = {"email": (mail,), "firstName": ("Anna",), "lastName": ("Berg",), "groups": ("staff",)}
        assertion = messages.assertion(
            assertion_id=f"_a-{number}",
            issued=moment(now),
            issued_by=messages.issuer(self.entity_id),
            about=subject if about is None else about,
            when=messages.conditions(
                messages.audiences(audience or f"{self.url}/metadata"),
                begins=moment(now - timedelta(minutes=1)),
                ends=moment(now + timedelta(minutes=5)),
            ),
            statements=messages.authn(
                instant=moment(signed_in_at or now),
                index=index,
                ends=None if session_ends is None else moment(session_ends),
            )
            + messages.stated(stated if values is None else values),
        )
        whole = messages.response(
            assertion,
            response_id=f"_r-{number}",
            issued=moment(now),
            destination=f"{self.url}/acs",
            answers=answers,
            issued_by=messages.issuer(self.entity_id),
        )
        signed = sign(whole, f"_a-{number}", key=key or self.key)
        return base64.b64encode(signed.encode()).decode()

    def begin(self, browser: Browser, query: str = "") -> Asked:
        """Have the browser begin a login."""
        begun = browser.get(f"{self.path}/login{query}")
        assert begun.status_code == 303, begun.get_data(as_text=True)
        return read_redirect(begun.headers["Location"])

    def answer(
        self,
        browser: Browser,
        asked: Asked | None,
        mail: str = "anna@example.org",
        **said: Any,  # noqa: ANN401 - what `response` takes
    ) -> TestResponse:
        """Have the browser bring the provider's response."""
        relay_state = said.pop("relay_state", asked.relay_state if asked is not None else "")
        value = said.pop("value", "") or self.response(asked, mail, **said)
        return browser.post(f"{self.path}/acs", {"SAMLResponse": value, "RelayState": relay_state})

    def sign_in(self, browser: Browser, mail: str = "anna@example.org", **said: Any) -> TestResponse:  # noqa: ANN401
        """A whole login."""
        return self.answer(browser, self.begin(browser), mail, **said)

    def logout_request(
        self, name_id: str, index: str | None = "_index-1", *, logout_id: str = "_logout-1"
    ) -> str:
        now = self.scene.clock()
        head = messages.attributes_of(
            ID=logout_id,
            Version="2.0",
            IssueInstant=moment(now),
            NotOnOrAfter=moment(now + timedelta(minutes=5)),
            Destination=f"{self.url}/slo",
        )
        named = "" if index is None else f"<samlp:SessionIndex>{index}</samlp:SessionIndex>"
        return (
            f'<samlp:LogoutRequest xmlns:samlp="{messages.SAMLP}" xmlns:saml="{messages.SAML}"{head}>'
            f"{messages.issuer(self.entity_id)}{messages.name_id(name_id)}{named}</samlp:LogoutRequest>"
        )

    def logout_response(self, answers: str, *, status: str = messages.SUCCESS) -> str:
        head = messages.attributes_of(
            ID="_logout-answer",
            Version="2.0",
            IssueInstant=moment(self.scene.clock()),
            Destination=f"{self.url}/slo",
            InResponseTo=answers,
        )
        return (
            f'<samlp:LogoutResponse xmlns:samlp="{messages.SAMLP}" xmlns:saml="{messages.SAML}"{head}>'
            f"{messages.issuer(self.entity_id)}{messages.status(status)}</samlp:LogoutResponse>"
        )

    def signed_query(self, text: str, field: str = "SAMLRequest", **said: Any) -> str:  # noqa: ANN401
        return signed_query(text, field, key=self.key, **said)

    def signed_value(self, text: str, element_id: str = "_logout-1") -> str:
        return base64.b64encode(sign(text, element_id, key=self.key).encode()).decode()


@dataclass(slots=True)
class Scene:
    """The service. `ours` has verified example.org, `theirs` example.net."""

    folder: Path
    database_url: str
    clock: FakeClock
    wiring: Wiring
    app: Flask
    ours: Organisation = field(init=False)
    theirs: Organisation = field(init=False)

    def browser(self, address: str = "192.0.2.1") -> Browser:
        """Somebody who has never been here."""
        return Browser(self.app.test_client(), address)

    @contextmanager
    def restarted(self) -> Iterator[Browser]:
        """Another process over the same database, and a browser at it."""
        with open_and_upgrade(_settings(self.folder, self.database_url), clock=self.clock) as wiring:
            yield Browser(create_app(wiring).test_client())


def _settings(folder: Path, database_url: str) -> Any:  # noqa: ANN401 - the settings of the service
    given = {"USHER_DATA": str(folder / "var"), "USHER_PUBLIC_URL": BASE}
    return load_settings(given | ({"USHER_DATABASE_URL": database_url} if database_url else {}))


@contextmanager
def sso_scene(folder: Path, database_url: str = "") -> Iterator[Scene]:
    clock = FakeClock(NOW)
    with open_and_upgrade(_settings(folder, database_url), clock=clock) as wiring:
        load_environment(shipped_catalogue("minut") or "", source="minut.yaml", wiring=wiring, actor=OPERATOR)
        scene = Scene(
            folder, database_url, clock, wiring, create_app(wiring, timer=lambda: clock().timestamp())
        )
        scene.ours = _organisation(scene, "Acme", IDP_ENTITY, IDP, "example.org")
        scene.theirs = _organisation(scene, "Other", OTHER_IDP_ENTITY, OTHER_IDP, "example.net")
        yield scene


def _organisation(scene: Scene, name: str, entity_id: str, key: Key, domain: str) -> Organisation:
    wiring = scene.wiring
    connection_id = ConnectionId(wiring.mint.id())
    new = NewOrganisation(name, EnvironmentId("minut"), f"olivia@{domain}", "Olivia Owner", plan="Pro")
    state = create_organisation(new, wiring=wiring, actor=OPERATOR)
    organisation = Organisation(
        scene, Administration(wiring, state.organisation_id, OPERATOR), connection_id, entity_id, key
    )
    settings: dict[str, str | int | bool] = {
        "idp_entity_id": entity_id,
        "sso_url": SSO_URL,
        "slo_url": SLO_URL,
        "jit": True,
        "default_role": "Member",
    }
    organisation.do(
        AddDomain(domain),
        PutConnection(connection_id, f"{name} ID", settings),
        PutIdPCertificate(connection_id, key.certificate),
        PutSPKey(connection_id, "k1", SP.certificate, SP.private_pem),
    )
    organisation.news()
    return organisation
