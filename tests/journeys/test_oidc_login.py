"""From the application over the identity provider and back: what one person gets, and what ends with the session."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from directory.changes import SetBlock
from provisioning.clients import StoredClient
from service.clients import NewClient, register_client
from tests.journeys.sso_scene import BASE, OPERATOR, Browser, Scene, read_redirect

ANNA = "anna@example.org"
CALLBACK = "https://app.example/callback"
BYE = "https://app.example/bye"
VERIFIER = "v" * 43


class Application:
    """A host application at the scene's service."""

    def __init__(self, scene: Scene) -> None:
        new = NewClient("Host", "minut", [CALLBACK], [BYE], "https://app.example/backchannel")
        registered = register_client(scene.wiring, new, OPERATOR)
        self.scene = scene
        self.stored: StoredClient = registered.client
        self.server = scene.browser("192.0.2.99")
        self.secret = registered.secret

    def begin(self, **more: str) -> str:
        """Where the application sends the browser."""
        challenge = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": self.stored.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "state": "s/1 &",
            "nonce": "n1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return f"/oidc/authorize?{'&'.join(f'{name}={_quote(value)}' for name, value in asked.items())}"

    def exchange(self, **said: str) -> TestResponse:
        sent = {"client_id": self.stored.client_id, "client_secret": self.secret, **said}
        return self.server.post("/oidc/token", sent)

    def tokens(self, landed: TestResponse) -> dict[str, Any]:
        found = landing(landed)
        assert found["state"] == "s/1 &"
        answer = self.exchange(
            grant_type="authorization_code",
            code=found["code"],
            redirect_uri=CALLBACK,
            code_verifier=VERIFIER,
        )
        tokens: dict[str, Any] = json.loads(answer.get_data())
        assert answer.status_code == 200, tokens
        return tokens

    def claims(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        keys = KeySet.import_key_set(json.loads(self.server.get("/oidc/jwks").get_data()))
        return jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims


def _quote(text: str) -> str:
    return text.replace(" ", "%20").replace("&", "%26").replace("/", "%2F")


def landing(answer: TestResponse) -> dict[str, str]:
    where = answer.headers["Location"]
    assert where.startswith(f"{CALLBACK}?"), where
    return {name: value for name, (value,) in parse_qs(urlsplit(where).query).items()}


def way_of(answer: TestResponse) -> str:
    """The query of the page that asks people to sign in, for a connection's own address."""
    parts = urlsplit(answer.headers["Location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{BASE}/sso/login"
    return f"?{parts.query}"


@pytest.fixture
def application(scene: Scene) -> Application:
    return Application(scene)


def sign_in(application: Application, browser: Browser, **more: str) -> TestResponse:
    """From the application to the identity provider and back to the application."""
    ours = application.scene.ours
    asked = ours.begin(browser, way_of(browser.get(application.begin(**more))))
    back = ours.answer(browser, asked, ANNA)
    assert back.status_code == 303, back.get_data(as_text=True)
    return browser.get(back.headers["Location"])


def test_who_signs_in_over_saml_arrives_at_the_application(scene: Scene, application: Application) -> None:
    scene.ours.set(jit=True, default_role="Member")
    browser = scene.browser()

    tokens = application.tokens(sign_in(application, browser))

    claims = application.claims(tokens)
    (session,) = scene.ours.sessions
    assert claims["sub"] == scene.ours.member(ANNA)
    assert claims["sid"] == session.session_id
    assert (claims["email"], claims["email_verified"]) == (ANNA, True)
    assert claims["roles"] == ["Member"]
    assert claims["auth_time"] == int(session.auth_time.timestamp())
    assert claims["nonce"] == "n1"
    again = browser.get(application.begin())
    assert "code" in landing(again)


def test_it_is_the_same_on_either_database(either_scene: Scene) -> None:
    either_scene.ours.set(jit=True, default_role="Member")
    application, browser = Application(either_scene), either_scene.browser()
    landed = sign_in(application, browser)

    tokens = application.tokens(landed)

    refreshed = application.exchange(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refreshed.status_code == 200
    replayed = application.exchange(
        grant_type="authorization_code",
        code=landing(landed)["code"],
        redirect_uri=CALLBACK,
        code_verifier=VERIFIER,
    )
    assert json.loads(replayed.get_data())["error"] == "invalid_grant"
    renewed = json.loads(refreshed.get_data())["refresh_token"]
    after = application.exchange(grant_type="refresh_token", refresh_token=renewed)
    assert json.loads(after.get_data())["error"] == "invalid_grant"
    unfit = application.exchange(grant_type="refresh_token", refresh_token="nul\x00", client_id="nul\x00")
    assert unfit.status_code == 400


def test_a_fresh_login_is_asked_of_the_identity_provider(scene: Scene, application: Application) -> None:
    scene.ours.set(jit=True, default_role="Member")
    browser = scene.browser()
    sign_in(application, browser)
    scene.clock.move(minutes=30)

    query = way_of(browser.get(application.begin(prompt="login")))

    asked = scene.ours.begin(browser, query)
    assert asked.document.get("ForceAuthn") == "true"
    back = scene.ours.answer(browser, asked, ANNA)
    tokens = application.tokens(browser.get(back.headers["Location"]))
    assert application.claims(tokens)["auth_time"] == int(scene.clock().timestamp())


def test_a_deactivation_ends_all_of_it_at_once(scene: Scene, application: Application) -> None:
    scene.ours.set(jit=True, default_role="Member")
    browser = scene.browser()
    tokens = application.tokens(sign_in(application, browser))

    scene.ours.do(SetBlock(scene.ours.member(ANNA), "left"))

    refreshed = application.exchange(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (refreshed.status_code, json.loads(refreshed.get_data())["error"]) == (400, "invalid_grant")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert application.server.get("/oidc/userinfo", headers=headers).status_code == 401
    assert landing(browser.get(application.begin(prompt="none")))["error"] == "login_required"
    (notice,) = scene.wiring.clients.notices_due(scene.clock(), 10)
    assert notice.client_id == application.stored.client_id


def test_a_logout_leads_over_the_identity_provider_and_back_to_the_application(
    scene: Scene, application: Application
) -> None:
    scene.ours.set(jit=True, default_role="Member")
    browser = scene.browser()
    tokens = application.tokens(sign_in(application, browser))
    wanted = f"/oidc/logout?id_token_hint={tokens['id_token']}&post_logout_redirect_uri={_quote(BYE)}&state=x"

    away = browser.get(wanted)

    assert scene.ours.sessions == []
    asked = read_redirect(away.headers["Location"])
    assert asked.document.tag.endswith("LogoutRequest")
    query = scene.ours.signed_query(scene.ours.logout_response(asked.message_id), "SAMLResponse")
    done = browser.get(f"{scene.ours.path}/slo?{query}")
    assert done.status_code == 303
    back = browser.get(done.headers["Location"])
    assert back.headers["Location"] == f"{BYE}?state=x"
    assert way_of(browser.get(application.begin()))
