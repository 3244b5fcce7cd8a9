"""Codes and tokens: what they are bound to, how long they are good, and what they tell."""

import base64
from datetime import timedelta

import pytest

from api.server import CODE_LIFETIME, TOKEN_LIFETIME
from directory.changes import SetBlock
from directory.sso_changes import EndSession, EndSessionsOf
from service.clients import remove_client
from tests.api.scene import CALLBACK, ISSUER, Scene, refused
from tests.service.worlds import OPERATOR


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def test_an_id_token_says_who_it_is_and_what_they_may_do(scene: Scene) -> None:
    cookie = scene.sign_in("anna")
    anna = scene.member("anna")

    tokens = scene.tokens(cookie)

    claims = scene.claims(tokens["id_token"])
    with scene.administration.read() as reader:
        state = reader.organisation()
        (session,) = reader.sso.sessions(anna, scene.clock(), 10)
    now = int(scene.clock().timestamp())
    assert claims.pop("at_hash")
    assert claims == {
        "iss": ISSUER,
        "sub": anna,
        "aud": scene.client.client_id,
        "iat": now,
        "exp": now + int(TOKEN_LIFETIME.total_seconds()),
        "auth_time": int(session.auth_time.timestamp()),
        "nonce": "n-1",
        "name": claims["name"],
        "email": claims["email"],
        "email_verified": True,
        "organisation": state.organisation_id,
        "organisation_name": "Acme",
        "roles": ["Member"],
        "grants": [{"role": "Member", "scope": "organisation"}],
        "access_version": state.access_version,
        "sid": session.session_id,
        "session_ends_at": int(session.expires_at.timestamp()),
    }
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == TOKEN_LIFETIME.total_seconds()
    assert tokens["scope"] == "openid email"


def test_userinfo_says_the_same_person(scene: Scene) -> None:
    tokens = scene.tokens()

    answer = scene.userinfo(tokens["access_token"])

    assert answer.status_code == 200
    claims = scene.claims(tokens["id_token"])
    assert answer.get_json() == {name: claims[name] for name in answer.get_json()}
    assert {"sub", "roles", "grants", "access_version", "sid"} <= answer.get_json().keys()
    assert "nonce" not in answer.get_json()


def test_no_token_outlives_its_session(scene: Scene) -> None:
    tokens = scene.tokens(scene.sign_in(hours=0.05))

    claims = scene.claims(tokens["id_token"])

    assert tokens["expires_in"] == 180
    assert claims["exp"] == claims["session_ends_at"]
    scene.clock.advance(seconds=181)
    assert scene.userinfo(tokens["access_token"]).status_code == 401
    assert refused(scene.refresh(tokens["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"redirect_uri": f"{CALLBACK}/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"client_id": "unknown"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"code": ""}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": 'pass"word'}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_good_for_a_sound_request_only(scene: Scene, changes: dict[str, str], error: str) -> None:
    code = scene.code()

    assert refused(scene.exchange(changes.pop("code", code), **changes)) == error


def test_a_wrong_verifier_uses_the_code_up(scene: Scene) -> None:
    code = scene.code()
    assert refused(scene.exchange(code, code_verifier="w" * 43)) == "invalid_grant"

    assert refused(scene.exchange(code)) == "invalid_grant"


def test_a_code_presented_twice_ends_what_it_gave(scene: Scene) -> None:
    code = scene.code()
    tokens = scene.exchange(code).get_json()

    assert refused(scene.exchange(code)) == "invalid_grant"

    assert scene.userinfo(tokens["access_token"]).status_code == 401
    assert refused(scene.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_a_code_ends_within_a_minute(scene: Scene) -> None:
    first, second = scene.code(), scene.code()
    assert timedelta(seconds=60) >= CODE_LIFETIME

    scene.clock.advance(seconds=CODE_LIFETIME.total_seconds() - 1)
    assert scene.exchange(first).status_code == 200
    scene.clock.advance(seconds=1)

    assert refused(scene.exchange(second)) == "invalid_grant"


def test_a_code_is_of_no_use_to_another_application(scene: Scene) -> None:
    other, secret = scene.register("Other")

    answer = scene.exchange(scene.code(), client_id=other.client_id, client_secret=secret)

    assert refused(answer) == "invalid_grant"


def test_no_code_after_the_session_has_ended(scene: Scene) -> None:
    code = scene.code()
    scene.administration.apply([EndSessionsOf(scene.member("anna"), "revoked")])

    assert refused(scene.exchange(code)) == "invalid_grant"


def test_a_refresh_token_is_good_once_and_gives_the_next(scene: Scene) -> None:
    first = scene.tokens()
    scene.clock.advance(minutes=9)

    second = scene.refresh(first["refresh_token"]).get_json()

    claims = scene.claims(second["id_token"])
    assert "nonce" not in claims
    assert claims["auth_time"] == scene.claims(first["id_token"])["auth_time"]
    assert scene.userinfo(second["access_token"]).status_code == 200
    third = scene.refresh(second["refresh_token"], scope="openid").get_json()
    assert third["scope"] == "openid"
    assert refused(scene.refresh(first["refresh_token"])) == "invalid_grant"
    # Somebody has a copy: nothing that came of the code is good any more.
    assert refused(scene.refresh(third["refresh_token"])) == "invalid_grant"
    assert scene.userinfo(third["access_token"]).status_code == 401


@pytest.mark.parametrize("scope", ["openid admin", 'open"id', "OPENID"])
def test_a_refresh_asks_for_no_unknown_scope_and_loses_nothing(scene: Scene, scope: str) -> None:
    tokens = scene.tokens()

    assert refused(scene.refresh(tokens["refresh_token"], scope=scope)) == "invalid_scope"

    assert scene.refresh(tokens["refresh_token"]).status_code == 200


def test_a_refresh_cannot_widen_its_scope(scene: Scene) -> None:
    tokens = scene.tokens()

    assert refused(scene.refresh(tokens["refresh_token"], scope="openid profile")) == "invalid_scope"


def test_a_refresh_token_is_of_no_use_to_another_application(scene: Scene) -> None:
    other, secret = scene.register("Other")
    tokens = scene.tokens()

    answer = scene.refresh(tokens["refresh_token"], client_id=other.client_id, client_secret=secret)

    assert refused(answer) == "invalid_grant"
    assert refused(scene.refresh("", client_id=scene.client.client_id)) == "invalid_request"


def test_nothing_is_refreshed_for_whom_is_not_active_any_more(scene: Scene) -> None:
    tokens = scene.tokens()
    scene.administration.apply([SetBlock(scene.member("anna"), "left")])

    assert refused(scene.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert scene.userinfo(tokens["access_token"]).status_code == 401


def test_nothing_is_refreshed_after_a_logout(scene: Scene) -> None:
    tokens = scene.tokens()
    sid = scene.claims(tokens["id_token"])["sid"]
    scene.administration.apply([EndSession(sid, "logout")])

    assert refused(scene.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert scene.userinfo(tokens["access_token"]).status_code == 401


def test_who_works_at_the_application_is_not_idle(scene: Scene) -> None:
    tokens = scene.tokens()
    for _ in range(4):
        scene.clock.advance(minutes=50)
        answer = scene.refresh(tokens["refresh_token"])
        assert answer.status_code == 200
        tokens = answer.get_json()

    scene.clock.advance(minutes=61)

    assert refused(scene.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_a_removed_application_gets_nothing(scene: Scene) -> None:
    tokens, code = scene.tokens(), scene.code()

    remove_client(scene.wiring, scene.client, OPERATOR)

    assert refused(scene.exchange(code)) == "invalid_client"
    assert refused(scene.refresh(tokens["refresh_token"])) == "invalid_client"
    assert scene.userinfo(tokens["access_token"]).status_code == 401


def test_a_confidential_application_proves_itself_by_basic_too(scene: Scene) -> None:
    headers = basic(scene.client.client_id, scene.secret)

    assert scene.exchange(scene.code(), headers, client_id="", client_secret="").status_code == 200
    assert scene.exchange(scene.code(), headers, client_secret="").status_code == 200


@pytest.mark.parametrize(
    ("authorization", "error"),
    [
        ("Basic", "invalid_client"),
        ("Basic ", "invalid_client"),
        ("Basic !!!", "invalid_client"),
        ("Basic " + base64.b64encode(b"\xff\xfe").decode(), "invalid_client"),
        ("Basic " + base64.b64encode(b"no-colon").decode(), "invalid_client"),
        ("Basic " + base64.b64encode(b"other:secret").decode(), "invalid_client"),
        ("Bearer abc", "invalid_request"),
    ],
)
def test_an_authorization_header_that_proves_nothing_is_refused(
    scene: Scene, authorization: str, error: str
) -> None:
    answer = scene.exchange(scene.code(), {"Authorization": authorization}, client_secret="")

    assert refused(answer) == error
    assert (answer.status_code == 401) == (error == "invalid_client")
    assert ("WWW-Authenticate" in answer.headers) == (error == "invalid_client")


def test_an_application_proves_itself_in_one_way(scene: Scene) -> None:
    headers = basic(scene.client.client_id, scene.secret)

    assert refused(scene.exchange(scene.code(), headers)) == "invalid_request"


def test_a_public_application_has_no_secret_and_gives_none(scene: Scene) -> None:
    public, secret = scene.register("Phone", is_public=True)
    assert secret == ""
    answer = scene.exchange(
        scene.code(client_id=public.client_id), client_id=public.client_id, client_secret=""
    )

    assert answer.status_code == 200
    code = scene.code(client_id=public.client_id)
    assert (
        refused(scene.exchange(code, client_id=public.client_id, client_secret="guess")) == "invalid_client"
    )
    code = scene.code(client_id=public.client_id)
    assert refused(scene.exchange(code, client_id=public.client_id, client_secret="", code_verifier="")) == (
        "invalid_request"
    )


def test_a_session_that_ends_between_code_and_tokens_gives_none(scene: Scene) -> None:
    scene.sign_in("ben")
    code = scene.code(scene.sign_in("anna"))
    tokens = scene.exchange(code)
    assert tokens.status_code == 200

    scene.administration.apply([EndSessionsOf(scene.member("anna"), "revoked")])

    assert refused(scene.refresh(tokens.get_json()["refresh_token"])) == "invalid_grant"
