"""The end of a session, asked for by an application, and what the others are told."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from api.logout import LOGOUT_EVENT, logout_form
from provisioning.logins import StoredSession
from service.clients import signing_keys
from service.oidc_edge import oidc_blueprint
from tests.api.scene import AFTER_LOGOUT, CALLBACK, ISSUER, Made, Scene, open_scene, refused
from web.return_paths import LOGGED_OUT_PATH

PAGE = f"{ISSUER}/sso/logout"


def live(scene: Scene) -> int:
    with scene.administration.read() as reader:
        return len(reader.sso.sessions(None, scene.clock(), 100))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_application_ends_the_session_and_gets_the_person_back(scene: Scene, method: str) -> None:
    tokens = scene.tokens(scene.sign_in("anna"))
    scene.sign_in("ben")
    asked = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER_LOGOUT, "state": "a&b"}

    answer = scene.send(method, "/oidc/logout", asked)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{AFTER_LOGOUT}?state=a%26b"
    assert live(scene) == 1
    assert refused(scene.refresh(tokens["refresh_token"])) == "invalid_grant"
    (event,) = [body for body in scene.events() if body["action"] == "sso.logout"]
    assert event["actor"]["type"] == "login"
    assert event["reason"]["code"] == "logout"


def test_a_second_logout_ends_nothing_and_leads_back_all_the_same(scene: Scene) -> None:
    asked = {"id_token_hint": scene.tokens()["id_token"], "post_logout_redirect_uri": AFTER_LOGOUT}
    scene.send("GET", "/oidc/logout", asked)
    count = len(scene.events())
    scene.clock.advance(hours=1)

    answer = scene.send("GET", "/oidc/logout", asked)

    assert answer.headers["Location"] == AFTER_LOGOUT
    assert len(scene.events()) == count


def test_who_has_nowhere_to_go_sees_our_page(scene: Scene) -> None:
    hint = scene.tokens()["id_token"]

    for _ in range(2):
        assert scene.send("GET", "/oidc/logout", {"id_token_hint": hint}).headers["Location"] == PAGE


def test_without_an_id_token_the_person_is_asked_and_nothing_ends(scene: Scene) -> None:
    cookie = scene.sign_in()

    answer = scene.send("GET", "/oidc/logout", {"post_logout_redirect_uri": AFTER_LOGOUT}, token=cookie)

    assert answer.headers["Location"] == PAGE
    assert live(scene) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"post_logout_redirect_uri": f"{AFTER_LOGOUT}/"},
        {"post_logout_redirect_uri": CALLBACK},
        {"post_logout_redirect_uri": "https://evil.example"},
        {"post_logout_redirect_uri": 'https://"evil'},
        {"client_id": "another"},
        {"id_token_hint": "no.such.token"},
        {"id_token_hint": "ä"},
        {"id_token_hint": "x" * 17_000},
    ],
)
def test_a_faulty_request_ends_nothing_and_leads_nowhere(scene: Scene, changes: Mapping[str, str]) -> None:
    hint = scene.tokens()["id_token"]

    answer = scene.send("POST", "/oidc/logout", {"id_token_hint": hint, **changes})

    assert refused(answer) == "invalid_request"
    assert live(scene) == 1


def test_what_we_signed_for_other_ends_is_no_id_token(scene: Scene) -> None:
    tokens = scene.tokens()
    claims = scene.claims(tokens["id_token"])
    keys = signing_keys(scene.wiring)
    for other in (
        {**claims, "events": {LOGOUT_EVENT: {}}},
        {**claims, "iss": "https://other.example"},
        {name: value for name, value in claims.items() if name != "sid"},
    ):
        assert refused(scene.send("GET", "/oidc/logout", {"id_token_hint": keys.sign(other)})) == (
            "invalid_request"
        )
    stranger = {**claims, "sub": scene.member("ben")}
    assert scene.send("GET", "/oidc/logout", {"id_token_hint": keys.sign(stranger)}).status_code == 303
    assert live(scene) == 1


def test_an_application_that_is_gone_gets_nobody_back(scene: Scene) -> None:
    claims = {**scene.claims(scene.tokens()["id_token"]), "aud": "gone"}
    hint = signing_keys(scene.wiring).sign(claims)

    asked = {"id_token_hint": hint, "post_logout_redirect_uri": AFTER_LOGOUT}

    assert refused(scene.send("GET", "/oidc/logout", asked)) == "invalid_request"


# By way of the identity provider


def led_away(scene: Scene) -> FlaskClient:
    """The provider alone, beside a single logout that leads every browser to the identity provider."""

    def lead(session: StoredSession) -> Response:
        assert session.login_id
        return Response(status=303, headers={"Location": "https://idp.example/slo"})

    app = Flask("alone")
    app.register_blueprint(oidc_blueprint(scene.wiring, lead_to_provider=lead))
    return app.test_client()


@pytest.mark.parametrize("public_url", ["", "https://usher.example"])
def test_the_way_back_leads_over_the_identity_provider(
    tmp_path: Path, made_scene: Made, public_url: str
) -> None:
    with open_scene(made_scene, tmp_path, USHER_PUBLIC_URL=public_url) as scene:
        name = "__Host-usher_session" if public_url else "usher_session"
        client = led_away(scene)
        base = public_url or ISSUER
        cookie = {"Cookie": f"{name}={scene.sign_in()}"}
        claims = scene.claims(signing_keys(scene.wiring).sign({"probe": 1}))
        assert claims == {"probe": 1}
        with scene.administration.read() as reader:
            (session,) = reader.sso.sessions(None, scene.clock(), 10)
        hint = signing_keys(scene.wiring).sign(
            {
                "iss": base,
                "aud": scene.client.client_id,
                "sub": session.member_id,
                "sid": session.session_id,
                "organisation": session.organisation_id,
            }
        )
        asked = {"id_token_hint": hint, "post_logout_redirect_uri": AFTER_LOGOUT, "state": "s"}

        away = client.get("/oidc/logout", query_string=asked, headers=cookie, base_url=base)

        assert away.headers["Location"] == "https://idp.example/slo"
        set_cookie = away.headers["Set-Cookie"]
        assert "HttpOnly" in set_cookie
        assert "SameSite=Lax" in set_cookie
        assert ("Secure" in set_cookie) == bool(public_url)
        back = client.get(LOGGED_OUT_PATH, base_url=base)
        assert back.headers["Location"] == f"{AFTER_LOGOUT}?state=s"
        again = client.get(LOGGED_OUT_PATH, base_url=base)
        assert again.headers["Location"] == f"{base}/sso/logout"


def test_the_way_back_is_ours_alone_to_say_and_for_minutes(scene: Scene) -> None:
    client = led_away(scene)
    hint = scene.tokens()["id_token"]
    asked = {"id_token_hint": hint, "post_logout_redirect_uri": AFTER_LOGOUT}
    for forged in ("https://evil.example", "a.b.c", hint):
        headers = {"Cookie": f"usher_after_logout={forged}"}
        assert scene.http.get(LOGGED_OUT_PATH, headers=headers).headers["Location"] == PAGE
    client.get("/oidc/logout", query_string=asked)

    scene.clock.advance(minutes=6)

    assert client.get(LOGGED_OUT_PATH).headers["Location"] == PAGE


@pytest.mark.parametrize("state", ["", "s" * 2048])
def test_without_an_address_or_with_one_too_long_nothing_is_remembered(scene: Scene, state: str) -> None:
    long = f"https://app.example/{'x' * 1900}"
    other, secret = scene.register("Long", logout_uris=[long])
    code = scene.code(client_id=other.client_id)
    hint = scene.exchange(code, client_id=other.client_id, client_secret=secret).get_json()["id_token"]
    asked = {"id_token_hint": hint, **({"post_logout_redirect_uri": long, "state": state} if state else {})}

    away = led_away(scene).get("/oidc/logout", query_string=asked)

    assert away.headers["Location"] == "https://idp.example/slo"
    assert "Set-Cookie" not in away.headers


# What other applications are told


def test_a_logout_token_is_what_the_standard_says(scene: Scene) -> None:
    scene.tokens()
    scene.send("GET", "/oidc/logout", {"id_token_hint": scene.tokens()["id_token"]})
    (notice,) = scene.wiring.clients.notices_due(scene.clock(), 10)

    body = logout_form(signing_keys(scene.wiring), ISSUER, notice, now=scene.clock(), token_id="t-1")

    ((name, (token,)),) = parse_qs(body.decode()).items()
    assert name == "logout_token"
    claims = scene.claims(token)
    now = int(scene.clock().timestamp())
    assert claims == {
        "iss": ISSUER,
        "sub": scene.member("anna"),
        "aud": scene.client.client_id,
        "iat": now,
        "exp": now + 120,
        "jti": "t-1",
        "sid": notice.session_id,
        "events": {LOGOUT_EVENT: {}},
    }
