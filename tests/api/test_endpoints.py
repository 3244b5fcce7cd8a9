"""The provider over HTTP: what it says of itself, userinfo, and what it does not put up with."""

import base64
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from authlib.oidc.discovery import OpenIDProviderMetadata
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.people import MOST_GRANTS
from directory.changes import GroupMatch, PutRule, PutScope
from directory.ids import RoleId, RuleId, ScopeId
from service.names import find_group
from service.oidc_edge import oidc_blueprint
from tests.api.scene import ISSUER, Made, Scene, open_scene, refused

_NAMES = (
    *("grant_type", "client_id", "client_secret", "code", "code_verifier", "redirect_uri", "refresh_token"),
    *("scope", "state", "id_token_hint", "post_logout_redirect_uri", "response_type", "anything"),
)


def test_discovery_holds_what_the_standard_demands(scene: Scene) -> None:
    document = scene.send("GET", "/.well-known/openid-configuration").get_json()

    OpenIDProviderMetadata(
        {**document, "jwks_uri": "https://usher.example/oidc/jwks"} | _https(document)
    ).validate()
    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]


def _https(document: dict[str, object]) -> dict[str, object]:
    return {
        name: value.replace(ISSUER, "https://usher.example")
        for name, value in document.items()
        if isinstance(value, str)
    }


def test_every_address_of_the_discovery_is_there(scene: Scene) -> None:
    document = scene.http.get("/.well-known/openid-configuration").get_json()

    for name, url in document.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            path = url.removeprefix(ISSUER)
            assert scene.http.post(path).status_code != 404
            assert scene.http.get(path).status_code != 404


def test_the_key_set_has_two_public_keys_and_nothing_private(scene: Scene) -> None:
    keys = scene.send("GET", "/oidc/jwks").get_json()["keys"]

    assert len(keys) == 2
    for key in keys:
        assert key.keys() == {"kty", "n", "e", "use", "alg", "kid"}


def test_behind_a_proxy_the_public_address_counts(tmp_path: Path, made_scene: Made) -> None:
    with open_scene(made_scene, tmp_path, USHER_PUBLIC_URL="https://usher.example/sso") as scene:
        issuer = "https://usher.example/sso"
        document = scene.http.get("/.well-known/openid-configuration").get_json()
        assert document["token_endpoint"] == f"{issuer}/oidc/token"
        answer = scene.authorize()
        assert answer.headers["Location"].startswith(f"{issuer}/sso/login?")
        cookie = {"Cookie": f"__Host-usher_session={scene.sign_in()}"}
        back = sent_back(answer.headers["Location"])
        assert (
            f"iss={issuer}".replace(":", "%3A").replace("/", "%2F")
            in scene.http.get(back, headers=cookie).headers["Location"]
        )


def sent_back(location: str) -> str:
    return parse_qs(urlsplit(location).query)["return"][0]


def test_a_provider_that_is_not_reached_by_tls_serves_this_machine_only(
    tmp_path: Path, made_scene: Made
) -> None:
    with open_scene(made_scene, tmp_path, USHER_PUBLIC_URL="http://usher.example") as scene:
        assert refused(scene.authorize(scene.sign_in())) == "insecure_transport"
        assert refused(scene.exchange("code")) == "insecure_transport"


@pytest.mark.parametrize("authorization", ["", "Basic abc", "Bearer", "Bearer no-such", "Bearer ä"])
def test_userinfo_is_for_live_tokens(scene: Scene, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}

    answer = scene.send("GET", "/oidc/userinfo", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == authorization.endswith("no-such")


def test_userinfo_may_be_posted(scene: Scene) -> None:
    headers = {"Authorization": f"Bearer {scene.tokens()['access_token']}"}

    assert scene.send("POST", "/oidc/userinfo", headers=headers).status_code == 200


def test_a_refresh_token_is_no_access_token(scene: Scene) -> None:
    assert scene.userinfo(scene.tokens()["refresh_token"]).status_code == 401


def test_a_body_is_a_form_and_of_a_sensible_size(scene: Scene) -> None:
    answer = scene.http.post("/oidc/token", json={"grant_type": "authorization_code"})
    assert refused(answer) == "invalid_request"
    assert scene.send("POST", "/oidc/token", "x=" + "y" * 70_000).status_code == 413
    assert refused(scene.send("POST", "/oidc/token", "x=" + "y" * 20_000)) == "invalid_request"


@pytest.mark.parametrize("body", ["%ff=%ff", "grant_type=%00", "a=1&a=2", "=", "grant_type", "&&&"])
def test_a_body_that_makes_no_sense_is_the_senders_fault(scene: Scene, body: str) -> None:
    assert refused(scene.send("POST", "/oidc/token", body)) in {"invalid_request", "unsupported_grant_type"}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/oidc/token", "/oidc/logout", "/oidc/userinfo", "/oidc/authorize"]),
    names=st.lists(st.sampled_from(_NAMES), max_size=5),
    texts=st.lists(st.text(max_size=20), min_size=5, max_size=5),
    authorization=st.sampled_from(["", "Basic ", "Bearer "]),
    credentials=st.binary(max_size=20),
    is_encoded=st.booleans(),
)
def test_no_request_is_answered_by_a_fault_of_ours(
    scene: Scene,
    path: str,
    names: list[str],
    texts: list[str],
    authorization: str,
    credentials: bytes,
    is_encoded: bool,
) -> None:
    sent = base64.b64encode(credentials) if is_encoded else credentials.translate(None, b"\r\n")
    headers = {"Authorization": authorization + sent.decode("latin-1")} if authorization else {}
    body = urlencode(list(zip(names, texts, strict=False)))

    for method in ("POST", "GET"):
        answer = scene.send(method, path, body, headers=headers)
        assert answer.status_code in {303, 400, 401, 405, 429}


def test_methods_that_are_not_foreseen_do_nothing(scene: Scene) -> None:
    for path in ("/oidc/authorize", "/oidc/token", "/oidc/userinfo", "/oidc/logout", "/oidc/jwks"):
        assert scene.send("DELETE", path).status_code == 405
    assert scene.send("GET", "/oidc/token").status_code == 405


def test_many_grants_are_counted_in_the_token_and_listed_by_userinfo(scene: Scene) -> None:
    give_many(scene, MOST_GRANTS)

    tokens = scene.tokens(scene.sign_in("anna"))

    claims = scene.claims(tokens["id_token"])
    assert "grants" not in claims
    assert claims["grants_count"] == MOST_GRANTS + 1
    assert claims["roles"] == ["Member"]
    whole = scene.userinfo(tokens["access_token"]).get_json()
    assert len(whole["grants"]) == MOST_GRANTS + 1
    assert {"role": "Member", "scope": "unit/u-7"} in whole["grants"]
    assert "grants_count" not in whole


def give_many(scene: Scene, number: int) -> None:
    mint = scene.wiring.mint
    with scene.administration.read() as reader:
        group_id = find_group(reader, "staff").group_id
        root = reader.organisation().root_scope_id
    changes: list[PutScope | PutRule] = []
    for count in range(number):
        scope_id = ScopeId(mint.id())
        changes.append(PutScope(scope_id, "unit", f"Unit {count}", f"u-{count}", (root,)))
        changes.append(PutRule(RuleId(mint.id()), GroupMatch(group_id), RoleId("Member"), scope_id))
    scene.administration.apply(changes)


def test_whoever_guesses_is_slowed_down(scene: Scene) -> None:
    answers = [scene.exchange("guess", client_secret="guess") for _ in range(70)]

    assert {answer.status_code for answer in answers} == {401, 429}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_whoever_asks_too_often_waits(scene: Scene) -> None:
    app = Flask("alone")
    app.register_blueprint(oidc_blueprint(scene.wiring, lead_to_provider=lambda _: None, timer=lambda: 0.0))
    client = app.test_client()

    answers = [client.get("/.well-known/openid-configuration").status_code for _ in range(501)]

    assert answers == [*[200] * 500, 429]
