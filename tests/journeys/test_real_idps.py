"""People signed in and out at identity providers that others have written, by a browser, from end to end."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.architecture.project import ROOT
from tests.browser import Browser, Page
from tests.certificates import Certificates
from tests.https_server import serve_https
from tests.idps.provider import ADA, BEN, Provider
from tests.journeys.exports import export, people
from tests.journeys.real_idps import NAME, Stage, staged
from tests.journeys.shell import OWNER, Shell
from tests.journeys.test_running import free_port, wait_for

JIT = ("--jit", "--default-role", "Member")
SESSION = "__Host-usher_session"


@pytest.fixture
def stage(shell: Shell, idp: Provider, certificates: Certificates) -> Iterator[Stage]:
    with staged(shell, idp, certificates) as made:
        yield made


def synchronise(stage: Stage, *uids: str) -> None:
    """Have a directory bring people in."""
    stage.shell.write_export(export(people(*uids), {"staff": uids}))
    stage.shell.add_directory()
    stage.shell.answer("sync", "run", "hq")
    stage.shell.mark()


def assert_turned_away(stage: Stage, page: Page, *reasons: str) -> None:
    """The one page, which says nothing of why; the event says it, under the page's reference."""
    assert page.status == 400
    denied = [body for body in stage.news() if body["action"] == "sso.login_denied"]
    assert [body["reason"]["code"] for body in denied if "reason" in body] == list(reasons)
    told = {change["path"]: change["after"] for body in denied for change in body["changes"]}
    assert str(told["reference"]) in page.text
    assert not any(reason in page.text for reason in reasons)
    assert stage.sessions() == []


def test_somebody_new_is_made_and_signed_in(stage: Stage) -> None:
    stage.connect(*JIT)

    with stage.browser() as browser:
        page = stage.sign_in(browser)
        cookie = browser.cookies("localhost")[SESSION]

    assert (page.status, page.url) == (200, f"{stage.base}/sso/login")
    assert "You are signed in" in page.text
    assert (cookie.secure, cookie.path, cookie.get_nonstandard_attr("SameSite")) == (True, "/", "Lax")
    assert stage.actions() == [
        "user.created",
        "group.created",
        "group.created",
        "member.created",
        "group.member_added",
        "group.member_added",
        "member.linked",
        "role.granted",
        "seat.assigned",
        "sso.login",
    ]
    shown = stage.shell.json("member", "show", ADA.mail)
    assert shown["name"] == "Ada Adams"
    (session,) = stage.sessions()
    assert session.session_index


@pytest.mark.parametrize(
    ("sign_response", "sign_assertion", "encrypt"),
    [
        (True, False, False),
        (False, True, False),
        (True, False, True),
        (False, True, True),
        (True, True, True),
    ],
)
def test_somebody_whom_a_directory_brought_is_linked_once(
    stage: Stage, sign_response: bool, sign_assertion: bool, encrypt: bool
) -> None:
    synchronise(stage, "ada")
    stage.connect()
    stage.idp.answer(sign_response=sign_response, sign_assertion=sign_assertion, encrypt=encrypt)

    for _ in range(2):
        with stage.browser() as browser:
            assert "You are signed in" in stage.sign_in(browser).text

    assert stage.actions() == ["member.linked", "sso.login", "sso.login"]
    assert len(stage.sessions()) == 2


def test_who_is_asked_anew_may_be_somebody_else(stage: Stage) -> None:
    stage.connect(*JIT)
    settings = (
        "sign_requests=true",
        "sso_binding=post",
        "force_authn=true",
        "require_encrypted_assertion=true",
    )
    stage.shell.answer("connection", "set", NAME, *settings)
    stage.idp.answer(encrypt=True)
    with stage.browser() as browser:
        stage.sign_in(browser)
        # Signed in at the provider as the person is, the form comes again.
        page = stage.sign_in(browser, BEN)

    assert "You are signed in" in page.text
    assert stage.shell.json("member", "show", BEN.mail)["name"] == "Ben Brown"


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_who_signs_out_here_is_signed_out_there(stage: Stage, binding: str) -> None:
    stage.connect(*JIT)
    stage.idp.answer(binding=binding)
    with stage.browser() as browser:
        stage.sign_in(browser)
        stage.news()

        page = browser.get(f"{stage.base}/sso/logout")
        page = browser.carry(browser.send(page.forms[0]))

        assert "signed out" in page.text
        assert page.url.startswith(stage.base)
        assert SESSION not in browser.cookies("localhost")
        assert stage.actions() == ["sso.logout"]
        assert stage.sessions() == []
        assert "username" in browser.carry(browser.get(stage.login_url())).forms[0].fields


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_who_signs_out_there_is_signed_out_here(stage: Stage, binding: str) -> None:
    stage.connect(*JIT)
    stage.idp.answer(binding=binding)
    with stage.browser() as browser:
        stage.sign_in(browser)
        stage.news()

        page = browser.carry(browser.get(stage.idp.logout_url))
        assert page.url.startswith(stage.idp.url)
        assert page.status in {200, 404}, page.text
        assert stage.reasons() == [("sso.logout", "idp_logout")]
        assert stage.sessions() == []
        assert "You are signed in" not in browser.get(f"{stage.base}/sso/login").text


def test_a_change_of_the_providers_key_fails_nobodys_login(
    stage: Stage, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the next certificate is published beside the old one, and where it takes its place at once."""
    idp = stage.idp
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    stage.shell.environ["USHER_PRIVATE_TARGETS"] = "127.0.0.0/8"
    stage.connect(*JIT)

    def logins() -> list[str]:
        with stage.browser() as browser:
            assert "You are signed in" in stage.sign_in(browser).text
        return stage.actions()

    with serve_https(certificates.good) as web:

        def refresh(*options: str) -> list[str]:
            web.documents["/idp"] = idp.metadata()
            stage.shell.answer("connection", "metadata", NAME, *options)
            return stage.actions()

        refresh("--url", f"{web.url}/idp")
        logins()
        idp.use_keys(published=["first", "second"] if idp.publishes_several else ["second"])
        published = refresh("--refresh")
        assert published[:2] == ["metadata.taken", "certificate.added"]
        assert logins() == ["sso.login"]
        idp.use_keys(signing="second")
        assert logins() == ["sso.login"]
        idp.use_keys(published=["second"])
        stage.shell.answer("connection", "set", NAME, "overlap_hours=0")
        refresh("--refresh")
        assert logins() == ["sso.login"]

    states = {each["sha256"]: each for each in stage.shell.json("connection", "show")["certificates"]}
    assert states[idp.sha256("second")]["state"] == "active"
    assert states[idp.sha256("first")]["ends_at"] is not None
    if not idp.publishes_several:
        # Withdrawn before the overlap was cut short, it verifies until that is over.
        stage.shell.answer("connection", "certificate", "retire", NAME, idp.sha256("first"))
    stage.news()
    idp.use_keys(signing="first")
    with stage.browser() as browser:
        page = stage.sign_in(browser)
    assert page.status == 400
    assert stage.reasons() == [("sso.login_denied", "signature_invalid")]


def test_a_change_of_our_key_fails_nobodys_login(stage: Stage) -> None:
    stage.connect(*JIT)
    stage.idp.answer(encrypt=True)
    if stage.idp.publishes_several:
        # Who knows a single key of ours cannot ask for signatures while it changes.
        stage.shell.answer("connection", "set", NAME, "sign_requests=true")
    with stage.browser() as browser:
        stage.sign_in(browser)
    stage.news()

    for step in ("publish", "use", "retire"):
        stage.shell.answer("connection", "rotate", NAME, step)
        if step != "retire":
            # Between the steps the provider reads our metadata, and may be late in doing so.
            assert "You are signed in" in _signed_in(stage).text
        stage.introduce()
        assert "You are signed in" in _signed_in(stage).text

    assert [action for action in stage.actions() if action.startswith("sso.")] == ["sso.login"] * 5


def _signed_in(stage: Stage) -> Page:
    with stage.browser() as browser:
        return stage.sign_in(browser)


# What an administrator is told


def run_test(stage: Stage, browser: Browser) -> tuple[Page, dict[str, tuple[str, str]]]:
    """A test login: the page, and what the command line says of each check."""
    begun = stage.shell.json("connection", "test", NAME)
    told = stage.shell.json("connection", "test", "--show", begun["link"])
    assert told == {"has_ended": False}
    page = stage.sign_in(browser, url=begun["link"])
    shown = stage.shell.json("connection", "test", "--show", begun["test"])
    assert shown["has_ended"]
    assert not {"xml", "decrypted_xml"} & shown.keys()
    told = stage.shell.answer("connection", "test", "--show", begun["test"])
    assert f"has {'passed' if shown['has_passed'] else 'failed'}.\n" in told
    assert ("\n  FAIL " in told) is not shown["has_passed"]
    return page, {step["name"]: (step["result"], step["words"]) for step in shown["steps"]}


def test_a_good_set_up_passes_its_test_and_may_be_made_obligatory(stage: Stage) -> None:
    synchronise(stage, "ada")
    stage.connect()

    with stage.browser() as browser:
        page, steps = run_test(stage, browser)
        assert SESSION not in browser.cookies("localhost")

    assert {result for result, _ in steps.values()} == {"pass"}
    begun = stage.shell.answer("connection", "test").splitlines()
    assert begun[1].startswith(f"  {stage.base}/saml/test/")
    told = stage.shell.answer(*begun[-1].split()[1:])
    assert told == "The test has not ended: open its link, and sign in.\n"
    assert "ada@acme.example" in page.text
    assert "&lt;" in page.text
    assert "<saml" not in page.text
    assert stage.actions() == ["connection.tested"]
    told = stage.shell.answer("connection", "enforce", NAME)
    assert told.startswith(
        "People of acme.example sign in over this connection only.\nNobody holds recovery codes"
    )
    assert stage.actions() == ["connection.enforced"]
    assert stage.shell.json("connection", "enforcement")["connection"] == NAME


def test_a_test_login_names_what_is_wrong(stage: Stage) -> None:
    stage.connect(*JIT)
    idp = stage.idp
    with stage.browser() as browser:
        idp.use_keys(signing="second")
        page, steps = run_test(stage, browser)
        result, words = steps["signature"]
        assert result == "fail"
        assert "You are signed in" not in page.text
        assert f"the connection has {idp.sha256('first')[:16]}" in words
        assert steps["audience"][0] == "not_reached"

        idp.use_keys(signing="first")
        stage.clock.ahead = timedelta(minutes=20)
        _, steps = run_test(stage, browser)
        assert "fail" in {result for result, _ in steps.values()}
        assert any(
            "clocks differ by -" in words or "clocks differ by 1" in words for _, words in steps.values()
        )

    assert stage.actions() == ["connection.tested"] * 2
    assert stage.sessions() == []


@pytest.mark.idp_samlp
def test_a_wrong_audience_is_named(shell: Shell, idp_samlp: Provider, certificates: Certificates) -> None:
    with staged(shell, idp_samlp, certificates) as stage, stage.browser() as browser:
        stage.connect(*JIT)
        idp_samlp.answer(audience="https://old.example/metadata")
        _, steps = run_test(stage, browser)
        entity_id = shell.json("connection", "show")["entity_id"]
        assert steps["audience"] == (
            "fail",
            f"audience is https://old.example/metadata, expected {entity_id}",
        )
        stage.news()

        assert_turned_away(stage, stage.sign_in(browser), "audience_mismatch")


@pytest.mark.idp_samlp
def test_the_owner_gets_by_a_provider_that_fails(
    shell: Shell, idp_samlp: Provider, certificates: Certificates
) -> None:
    with staged(shell, idp_samlp, certificates) as stage, stage.browser() as browser:
        stage.connect(*JIT)
        link = shell.json("connection", "test")["link"]
        assert "Passed." in stage.sign_in(browser, url=link).text
        told = shell.answer("connection", "test", "--show", link)
        assert told.startswith(f"The test of '{NAME}' has passed.\n  pass         message: ")
        assert "\n  Monitoring access at Acme Stays\n" in told
        codes = shell.json("connection", "recovery", OWNER)["codes"]
        told = shell.answer("connection", "enforce", NAME)
        assert told == "People of acme.example sign in over this connection only.\n"
        stage.news()

        page = browser.submit(browser.get(f"{stage.base}/sso/recovery"), "code", code=codes[0].upper())
        assert page.url == f"{stage.base}/sso/settings"
        page = browser.submit(page, "action", action="suspend")

        assert "Suspended since" in page.text
        told = shell.answer("connection", "enforcement")
        assert ", suspended since 20" in told
        assert told.endswith("; 9 recovery codes are unused.\n")
        shell.answer("connection", "enforce", "--resume")
        assert "suspended" not in shell.answer("connection", "enforcement")
        shell.answer("connection", "lift", "--reason", "drill")
        assert stage.reasons() == [
            ("breakglass.used", ""),
            ("connection.enforcement_suspended", "breakglass"),
            ("connection.enforcement_resumed", ""),
            ("connection.enforcement_lifted", "drill"),
        ]


def test_a_name_id_that_is_nobodys_is_named(stage: Stage) -> None:
    synchronise(stage, "cleo")
    stage.connect()
    stage.idp.answer(name_id="nobody")

    with stage.browser() as browser:
        _, steps = run_test(stage, browser)
        assert steps["member"] == (
            "fail",
            "no member has this key, external id or e-mail, and logins over this connection make nobody "
            f"(key nobody, e-mail {ADA.mail})",
        )
        stage.news()

        assert_turned_away(stage, stage.sign_in(browser), "no_member")


def test_a_wrong_key_and_a_wrong_clock_turn_everybody_away(stage: Stage) -> None:
    stage.connect(*JIT)
    with stage.browser() as browser:
        stage.idp.use_keys(signing="second")
        assert_turned_away(stage, stage.sign_in(browser), "signature_invalid")
    stage.idp.use_keys(signing="first")
    with stage.browser() as browser:
        page = browser.carry(browser.get(stage.login_url()))
        stage.clock.ahead = timedelta(minutes=12)
        page = browser.submit(page, "username", username=ADA.name, password=ADA.password)
        assert_turned_away(stage, browser.carry(page), "expired")


def test_a_browser_that_keeps_no_cookies_of_ours_is_told_so(stage: Stage) -> None:
    stage.connect(*JIT)
    with stage.browser() as browser:
        page = browser.carry(browser.get(stage.login_url()))
        browser.lose_cookies("localhost")
        page = browser.submit(page, "username", username=ADA.name, password=ADA.password)
        page = browser.carry(page)

    assert "cookies" in page.text
    assert_turned_away(stage, page, "browser_mismatch")


def test_an_answer_is_good_once(stage: Stage) -> None:
    stage.connect(*JIT)
    with stage.browser() as browser:
        page = browser.carry(browser.get(stage.login_url()))
        page = browser.submit(page, "username", username=ADA.name, password=ADA.password)
        form = page.form("SAMLResponse")
        assert "You are signed in" in browser.send(form).text
        stage.news()

        browser.at = page.url
        assert browser.send(form).status == 400

    assert stage.reasons() == [("sso.login_denied", "replayed")]
    assert len(stage.sessions()) == 1


# To the host application


@contextmanager
def sample_host(stage: Stage) -> Iterator[tuple[str, Path]]:
    """The sample application as its users run it: its address, and the file that it prints into."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    told = stage.shell.json(
        *("client", "add", "Sample host", "--environment", "minut"),
        *("--redirect-uri", f"{url}/callback", "--logout-uri", f"{url}/bye"),
    )
    printed = stage.shell.folder / "printed.txt"
    environ = {
        **os.environ,
        "ISSUER": stage.base,
        "CLIENT_ID": told["client_id"],
        "CLIENT_SECRET": told["client_secret"],
        "REQUESTS_CA_BUNDLE": str(stage.authority),
    }
    words = ["-m", "flask", "--app", str(ROOT / "examples" / "host_app.py"), "run", "--port", str(port)]
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *words], env=environ, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_for(lambda: is_listening(port))
            yield url, printed
        finally:
            process.terminate()
            process.wait()


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_the_sample_host_is_told_who_signed_in(stage: Stage) -> None:
    """From the host over the home realm and the provider's form back to the host, and out again."""
    stage.connect(*JIT)

    with sample_host(stage) as (host, printed), stage.browser() as browser:
        page = browser.get(host)
        assert page.url.startswith(f"{stage.base}/sso/login")
        page = browser.submit(page, "email", email="Ada@Acme.example")
        page = browser.submit(page, "username", username=ADA.name, password=ADA.password)
        page = browser.carry(page)
        assert page.url.startswith(f"{host}/callback")
        claims = json.loads(page.text)
        shown = re.search(r"^\{$.*?^\}$", printed.read_text(), re.MULTILINE | re.DOTALL)
        assert shown is not None
        assert json.loads(shown[0]) == claims
        page = browser.carry(browser.get(f"{host}/logout"))

    member = stage.shell.json("member", "show", ADA.mail)
    assert {
        name: claims[name] for name in ("sub", "email", "email_verified", "name", "organisation_name")
    } == {
        "sub": member["id"],
        "email": ADA.mail,
        "email_verified": True,
        "name": "Ada Adams",
        "organisation_name": "Acme Stays",
    }
    assert claims["roles"] == ["Member"]
    assert claims["grants"] == [{"role": "Member", "scope": "organisation"}]
    assert stage.sessions() == []
    assert stage.actions()[-2:] == ["sso.login", "sso.logout"]
    assert "Signed out." in page.text
