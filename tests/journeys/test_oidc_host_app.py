"""A host application by a real OpenID client signs people in, over HTTP, and is turned away where it must be."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from authlib.integrations.base_client import OAuthError

from directory.changes import SetBlock
from directory.sso_changes import EndSessionsOf
from tests.api.scene import Made, make_scene
from tests.journeys.oidc_host import EXAMPLE, VERIFIER, Host, hosted, query_of, sample_host


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_scene(tmp_path_factory.mktemp("oidc"))


@pytest.fixture
def host(made: Made, tmp_path: Path) -> Iterator[Host]:
    with hosted(made, tmp_path) as opened:
        yield opened


# The sample application


def test_the_sample_host_signs_a_person_in_and_prints_who_it_is(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sample_host(host, monkeypatch) as address:
        asked = host.browser.get(address, timeout=60)
        assert asked.url.startswith(f"{host.issuer}/sso/login?")
        assert asked.status_code == 200
        host.sign_in("anna")

        landed = host.browser.get(host.issuer + query_of(asked.url)["return"], timeout=60)

    assert landed.url.startswith(f"{address}/callback?")
    claims = json.loads(capsys.readouterr().out)
    assert claims == landed.json()
    assert claims["iss"] == host.issuer
    assert claims["sub"] == host.scene.member("anna")
    assert claims["email"].startswith("anna@")
    assert claims["roles"] == ["Member"]
    assert claims["grants"] == [{"role": "Member", "scope": "organisation"}]


def test_the_sample_host_signs_a_person_out_here_and_there(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.sign_in("anna")
    with sample_host(host, monkeypatch) as address:
        assert host.browser.get(address, timeout=60).status_code == 200

        out = host.browser.get(f"{address}/logout", timeout=60)

        assert out.url.split("?")[0] == f"{address}/bye"
        again = host.browser.get(address, timeout=60)
        assert again.url.startswith(f"{host.issuer}/sso/login?")
        assert host.browser.get(f"{address}/logout", timeout=60).text == "Signed out."


def test_the_sample_host_is_short_enough_to_read() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").split('"""', 2)[2].splitlines()

    assert sum(bool(line.strip()) for line in lines) <= 36


# Every way to be turned away


def test_a_code_becomes_tokens_and_tokens_are_renewed(host: Host) -> None:
    host.sign_in()
    client = host.client()

    token = host.exchange(client, host.land(client))
    renewed = host.refresh(client, token)

    assert renewed["refresh_token"] != token["refresh_token"]
    who = client.get(host.discovery["userinfo_endpoint"], timeout=60).json()
    assert who["sub"] == host.scene.member("anna")
    assert host.scene.claims(renewed["id_token"])["sub"] == who["sub"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_each_way_of_proving_the_application_is_taken(host: Host, method: str) -> None:
    host.sign_in()
    client = host.client(token_endpoint_auth_method=method)

    assert host.exchange(client, host.land(client))["id_token"]


def test_a_wrong_secret_is_refused(host: Host) -> None:
    host.sign_in()
    client = host.client()
    landed = host.land(client)
    host.scene.secret = "guessed"

    with pytest.raises(OAuthError, match="invalid_client"):
        host.exchange(host.client(), landed)


def test_a_wrong_verifier_is_refused(host: Host) -> None:
    host.sign_in()
    client = host.client()

    with pytest.raises(OAuthError, match="invalid_grant"):
        host.exchange(client, host.land(client), code_verifier="b" * 43)


def test_a_wrong_address_is_refused_at_both_ends(host: Host) -> None:
    host.sign_in()
    client = host.client()
    landed = host.land(client)
    with pytest.raises(OAuthError, match="invalid_grant"):
        host.exchange(client, landed, redirect_uri=f"{host.callback}2")
    url, _ = host.client(redirect_uri=f"{host.callback}2").create_authorization_url(
        host.discovery["authorization_endpoint"], code_verifier=VERIFIER
    )

    answer = host.browser.get(url, allow_redirects=False, timeout=60)

    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_replayed_code_takes_away_what_it_gave(host: Host) -> None:
    host.sign_in()
    client = host.client()
    landed = host.land(client)
    token = host.exchange(client, landed)

    with pytest.raises(OAuthError, match="invalid_grant"):
        host.exchange(host.client(), landed)

    with pytest.raises(OAuthError, match="invalid_grant"):
        host.refresh(client, token)
    assert client.get(host.discovery["userinfo_endpoint"], timeout=60).status_code == 401


def test_an_expired_code_is_refused(host: Host) -> None:
    host.sign_in()
    client = host.client()
    landed = host.land(client)

    host.scene.clock.advance(seconds=60)

    with pytest.raises(OAuthError, match="invalid_grant"):
        host.exchange(client, landed)


def test_nothing_comes_of_a_revoked_session(host: Host) -> None:
    host.sign_in()
    client = host.client()
    token, landed = host.exchange(client, host.land(client)), host.land(host.client())

    host.scene.administration.apply([EndSessionsOf(host.scene.member("anna"), "revoked")])

    with pytest.raises(OAuthError, match="invalid_grant"):
        host.refresh(client, token)
    with pytest.raises(OAuthError, match="invalid_grant"):
        host.exchange(host.client(), landed)
    assert client.get(host.discovery["userinfo_endpoint"], timeout=60).status_code == 401
    assert query_of(host.land(client, prompt="none"))["error"] == "login_required"


def test_nothing_is_renewed_after_a_deactivation(host: Host) -> None:
    host.sign_in("ben")
    client = host.client()
    token = host.exchange(client, host.land(client))

    host.scene.administration.apply([SetBlock(host.scene.member("ben"), "left")])

    with pytest.raises(OAuthError, match="invalid_grant"):
        host.refresh(client, token)
    assert client.get(host.discovery["userinfo_endpoint"], timeout=60).status_code == 401
