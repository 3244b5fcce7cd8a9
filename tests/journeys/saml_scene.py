"""Two organisations with an identity provider each, at the moment and the addresses of the SAML fixtures."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from audit.actors import AdminActor
from audit.body import EventBody, parse_body
from directory.changes import AddDomain
from directory.ids import ConnectionId, EnvironmentId
from directory.sso_changes import PutConnection, PutIdPCertificate, PutSPKey
from provisioning.logins import LoginRequest
from provisioning.ports import EventQuery
from service.administration import Administration
from service.app import create_app
from service.environments import load_environment
from service.files import shipped_catalogue
from service.opening import open_and_upgrade
from service.organisations import NewOrganisation, create_organisation
from service.settings import load_settings
from service.wiring import Wiring
from tests.saml_forge.keys import IDP, OTHER_IDP, OTHER_SP, SP, Key
from tests.saml_forge.messages import (
    BASE,
    CONNECTION,
    IDP_ENTITY,
    NOW,
    OTHER_CONNECTION,
    OTHER_IDP_ENTITY,
    OTHER_RELAY_STATE,
    RELAY_STATE,
    REQUEST,
    REQUESTED_AT,
)
from tests.saml_forge.metadata import SLO_URL, SSO_URL

OPERATOR = AdminActor("operator:test", is_operator=True)
BROWSER = "b" * 43
OTHER_BROWSER = "o" * 43


@dataclass(frozen=True, slots=True)
class Side:
    """An organisation that has verified its domain, and its connection."""

    administration: Administration
    connection_id: ConnectionId

    def bodies(self, after: int = 0) -> list[tuple[int, EventBody]]:
        """Events behind the row, with their rows."""
        with self.administration.read() as reader:
            found = list(reader.events(EventQuery(after=after, limit=10_000)))
        return [(row, parse_body(body)) for row, body in found]

    def set(self, **settings: str | int | bool) -> None:
        """Change settings of the connection."""
        with self.administration.read() as reader:
            stored = reader.sso.connection(self.connection_id)
        assert stored is not None
        self.administration.apply(
            [PutConnection(self.connection_id, stored.name, {**stored.settings, **settings})]
        )

    def signed_in(self) -> tuple[int, int]:
        """How many live sessions there are, and how many links."""
        with self.administration.read() as reader:
            sessions = reader.sso.sessions(None, NOW, 1_000)
            members = reader.member_ids(None, 1_000)
            return len(sessions), len(reader.sso.links_of(members))


@dataclass(frozen=True, slots=True)
class Scene:
    """`ours` is whom the fixtures are about; `theirs` the other organisation."""

    wiring: Wiring
    ours: Side
    theirs: Side
    seen: dict[ConnectionId, int] = field(default_factory=dict)

    def ask(self, request_id: str = REQUEST, side: Side | None = None) -> None:
        """Store a request of ours, as its AuthnRequest would have been sent."""
        side = side or self.ours
        self.wiring.logins.insert_request(
            LoginRequest(
                request_id=request_id,
                organisation_id=side.administration.organisation_id,
                connection_id=side.connection_id,
                relay_state=RELAY_STATE if request_id == REQUEST else OTHER_RELAY_STATE,
                browser_sha256=sha256(BROWSER.encode()).digest(),
                return_to="/oidc/authorize?client_id=x",
                created_at=REQUESTED_AT,
                expires_at=NOW + timedelta(minutes=10),
            )
        )

    def browser(self) -> FlaskClient:
        """The whole service, newly started: with nothing counted against anybody yet."""
        return create_app(self.wiring).test_client(use_cookies=False)

    def post(
        self, value: str, side: Side | None = None, *, browser: str = BROWSER, relay_state: str = RELAY_STATE
    ) -> TestResponse:
        """The form that the identity provider has the browser send."""
        fields = {"SAMLResponse": value, "RelayState": relay_state}
        return self.send("POST", "acs", side, browser=browser, data=fields)

    def send(
        self,
        method: str,
        path: str,
        side: Side | None = None,
        *,
        browser: str = BROWSER,
        data: Mapping[str, str] | str | None = None,
        query: str = "",
    ) -> TestResponse:
        """To an address of the connection. Form fields, or the body to the letter."""
        headers = {"Cookie": f"__Host-usher_login={browser}"} if browser else {}
        if isinstance(data, str):
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return self.browser().open(
            f"/saml/{(side or self.ours).connection_id}/{path}",
            method=method,
            base_url=BASE,
            headers=headers,
            data=data,
            query_string=query,
        )

    def news(self, side: Side | None = None) -> list[EventBody]:
        """What was written for the organisation since this was last asked."""
        side = side or self.ours
        seen = self.seen.get(side.connection_id, 0)
        found = side.bodies(seen)
        self.seen[side.connection_id] = max((row for row, _ in found), default=seen)
        return [body for _, body in found]


@contextmanager
def saml_scene(folder: Path) -> Iterator[Scene]:
    """Both organisations, made where they are not there yet: a second scene over a folder is a second process."""
    settings = load_settings({"USHER_DATA": str(folder / "var"), "USHER_PUBLIC_URL": BASE})
    with open_and_upgrade(settings, clock=lambda: NOW) as wiring:
        environment = EnvironmentId("minut")
        if wiring.store.environment(environment) is None:
            load_environment(
                shipped_catalogue("minut") or "", source="minut.yaml", wiring=wiring, actor=OPERATOR
            )
        ours = _side(wiring, "Acme", CONNECTION, IDP_ENTITY, IDP, SP, "example.org")
        theirs = _side(
            wiring, "Other", OTHER_CONNECTION, OTHER_IDP_ENTITY, OTHER_IDP, OTHER_SP, "example.net"
        )
        scene = Scene(wiring, ours, theirs)
        scene.news()
        scene.news(theirs)
        yield scene


def _side(wiring: Wiring, name: str, connection: str, entity_id: str, idp: Key, sp: Key, domain: str) -> Side:
    connection_id = ConnectionId(connection)
    known = wiring.store.organisation(name)
    if known is not None:
        return Side(Administration(wiring, known.organisation_id, OPERATOR), connection_id)
    new = NewOrganisation(name, EnvironmentId("minut"), f"olivia@{domain}", "Olivia Owner", plan="Pro")
    state = create_organisation(new, wiring=wiring, actor=OPERATOR)
    administration = Administration(wiring, state.organisation_id, OPERATOR)
    settings: dict[str, str | int | bool] = {
        "idp_entity_id": entity_id,
        "sso_url": SSO_URL,
        "slo_url": SLO_URL,
        "jit": True,
        "default_role": "Member",
    }
    administration.apply(
        [
            AddDomain(domain),
            PutConnection(connection_id, "idp", settings),
            PutIdPCertificate(connection_id, idp.certificate),
            PutSPKey(connection_id, f"key-{name.lower()}", sp.certificate, sp.private_pem),
        ]
    )
    return Side(administration, connection_id)
