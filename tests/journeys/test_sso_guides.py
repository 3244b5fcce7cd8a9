"""The guides to single sign-on: every command is run, in order; every reason is one, and every one is told."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saml.errors import Denial
from tests.architecture.project import ROOT
from tests.certificates import Certificates
from tests.https_server import serve_https
from tests.idps.provider import Person, Provider
from tests.journeys.real_idps import Stage, staged
from tests.journeys.shell import Shell
from tests.journeys.test_guides import commands_of
from tests.name_server import Text, serve_names
from tests.saml_forge.keys import IDP_NEXT
from tests.saml_forge.metadata import entity

GUIDES = ROOT / "docs" / "guides"
PROVIDERS = ("adfs", "entra-saml", "google-saml", "keycloak", "okta-saml", "shibboleth", "simplesamlphp")
FIRST_CELL = re.compile(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", re.MULTILINE)
ADDRESS = re.compile(r"https://\S+")
OWNER = Person("olga", "open sesame", "olga.owner@example.org", "Olga", "Owner")


def reasons_of(guide: str, heading: str = "") -> list[str]:
    text = (GUIDES / f"{guide}.md").read_text(encoding="utf-8")
    text = text[text.index(heading) :]
    return [word for cell in FIRST_CELL.findall(text) for word in re.findall(r"`([a-z_]+)`", cell)]


def test_every_reason_is_explained_once() -> None:
    assert sorted(reasons_of("saml-errors")) == sorted(Denial)


@pytest.mark.parametrize("guide", PROVIDERS)
def test_a_guide_names_reasons_that_there_are(guide: str) -> None:
    named = reasons_of(guide, "## When it fails")

    assert named
    assert set(named) <= set(Denial)


def test_the_overview_leads_to_every_guide() -> None:
    text = (GUIDES / "single-sign-on.md").read_text(encoding="utf-8")

    assert all(f"]({guide}.md)" in text for guide in (*PROVIDERS, "saml-errors"))


@contextmanager
def provider_at(
    shell: Shell, document: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An https address that answers with the metadata; the files that guides speak of are here too."""
    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    shell.environ["USHER_PRIVATE_TARGETS"] = "127.0.0.0/8"
    for name in ("GoogleIDPMetadata.xml", "idp-metadata.xml"):
        Path(name).write_text(document, encoding="utf-8")
    Path("next.pem").write_bytes(IDP_NEXT.certificate_pem)
    with serve_https(certificates.good) as web:
        web.documents["/idp"] = document
        yield f"{web.url}/idp"


@pytest.mark.parametrize("guide", PROVIDERS)
def test_the_commands_of_a_guide_lead_to_a_connection(
    shell: Shell, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, guide: str
) -> None:
    shell.environ["USHER_PUBLIC_URL"] = "https://usher.example"
    shell.set_up()
    lines = commands_of(f"docs/guides/{guide}.md")

    with provider_at(shell, entity(), certificates, monkeypatch) as address:
        outputs = [
            shell.answer(*shlex.split(ADDRESS.sub(address, line).removeprefix("usher "))) for line in lines
        ]

    assert any("https://usher.example/saml/test/" in output for output in outputs)
    (row,) = shell.json("connection", "list")
    assert row["state"] == "ready"
    assert row["settings"]["preset"] == {"simplesamlphp": "generic"}.get(guide, guide.removesuffix("-saml"))


@pytest.mark.idp_pysaml2
def test_the_overview_leads_from_nothing_to_obligatory_sign_in(
    shell: Shell, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, idp_pysaml2: Provider
) -> None:
    idp_pysaml2.people = (OWNER,)
    zone: dict[str, list[Text]] = {}
    with (
        staged(shell, idp_pysaml2, certificates, domain="", owner=OWNER.mail) as stage,
        provider_at(shell, idp_pysaml2.metadata(), certificates, monkeypatch) as address,
        serve_names(zone) as servers,
    ):
        shell.environ["USHER_DNS_SERVERS"] = servers
        told: dict[str, str] = {}
        for line in commands_of("docs/guides/single-sign-on.md"):
            meant = ADDRESS.sub(address, line).replace("owner@example.org", OWNER.mail)
            told[line] = shell.answer(*shlex.split(meant.removeprefix("usher ")))
            carry_on(stage, line, told[line], zone)

    assert "The domain example.org is verified.\n" in told.values()
    assert "sign in over this connection only" in told["usher connection enforce Corporate"]
    assert "Obligatory over 'Corporate'" in told["usher connection enforcement"]
    assert told["usher connection rotate Corporate retire"].endswith("The old key is destroyed.\n")


def carry_on(stage: Stage, line: str, told: str, zone: dict[str, list[Text]]) -> None:
    """What the reader does elsewhere once the command has said what."""
    if line.startswith("usher domain add"):
        found = re.search(r'^  (\S+)  TXT  "(\S+)"$', told, re.MULTILINE)
        assert found is not None
        zone[found[1]] = [found[2].encode()]
    elif line.startswith("usher connection metadata Corporate --file"):
        stage.introduce()
    elif line.startswith("usher connection test"):
        link = re.search(r"^  (https://\S+)$", told, re.MULTILINE)
        assert link is not None
        with stage.browser() as browser:
            page = stage.sign_in(browser, OWNER, url=link[1])
        assert "Passed." in page.text
