"""The sample application, the service, and an identity provider of somebody else: three servers and one browser."""

import json
from collections.abc import Iterator

import pytest

from tests.certificates import Certificates
from tests.idps.provider import ADA, Provider
from tests.journeys.oidc_host import Late, load_sample, serving
from tests.journeys.real_idps import Stage, staged
from tests.journeys.shell import Shell


@pytest.fixture
def stage(shell: Shell, idp: Provider, certificates: Certificates) -> Iterator[Stage]:
    with staged(shell, idp, certificates) as made:
        yield made


def test_the_sample_host_prints_who_has_signed_in_at_the_identity_provider(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.connect("--jit", "--default-role", "Member")
    late = Late()
    with serving(late) as address, stage.browser() as browser:
        made = stage.shell.json(
            *("client", "add", "Sample", "--environment", "minut"),
            *("--redirect-uri", f"{address}/callback", "--logout-uri", f"{address}/bye"),
        )
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stage.authority))
        late.application = load_sample(monkeypatch, stage.base, made["client_id"], made["client_secret"])
        capsys.readouterr()

        page = browser.get(address)
        assert page.url.startswith(f"{stage.base}/sso/login")
        page = browser.carry(browser.submit(page, "return", email=ADA.mail))
        page = browser.submit(page, "username", username=ADA.name, password=ADA.password)
        page = browser.carry(page)

    assert page.url.startswith(f"{address}/callback")
    claims = json.loads(capsys.readouterr().out)
    (session,) = stage.sessions()
    assert (claims["iss"], claims["sub"], claims["sid"]) == (
        stage.base,
        session.member_id,
        session.session_id,
    )
    assert (claims["email"], claims["email_verified"], claims["roles"]) == (ADA.mail, True, ["Member"])
