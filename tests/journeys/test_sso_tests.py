"""Test logins: what an administrator sees of a set-up that works and of one that does not; enforcing after it."""

import re
from typing import Any

import pytest
from lxml import html
from werkzeug.test import TestResponse

from audit.actors import AdminActor
from directory.sso_changes import EnforceLogin, RetireIdPCertificate
from provisioning.logins import StoredTest
from service.administration import Administration
from service.errors import InputError, RefusedError
from service.jobs import as_system
from service.login_tests import begin_test
from tests.journeys.sso_scene import BASE, OPERATOR, OWNER, Asked, Browser, Organisation, Scene, read_redirect
from tests.saml_forge import messages
from tests.saml_forge.keys import ATTACKER

ANNA = "anna@example.org"


def start(ours: Organisation, browser: Browser) -> Asked:
    """Follow the administrator's link to the identity provider."""
    link = begin_test(ours.administration, ours.stored)
    answer = browser.get(link)
    assert answer.status_code == 303
    return read_redirect(answer.headers["Location"])


def finish(ours: Organisation, browser: Browser, asked: Asked, **said: Any) -> TestResponse:  # noqa: ANN401 - what `answer` takes
    """Bring the answer, and look at the page that it leads to."""
    answer = ours.answer(browser, asked, **said)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    assert answer.headers["Location"].startswith(f"{BASE}/saml/test/")
    return browser.get(answer.headers["Location"])


def try_out(ours: Organisation, browser: Browser, **said: Any) -> TestResponse:  # noqa: ANN401 - what `answer` takes
    return finish(ours, browser, start(ours, browser), **said)


def rows(page: TestResponse) -> dict[str, tuple[str, str]]:
    """Result and words by the name of the check."""
    root = html.document_fromstring(page.get_data(as_text=True))
    table = root.xpath("//h2[.='Checks']/following-sibling::table[1]")[0]
    told = [
        [re.sub(r"\s+", " ", cell.text_content()).strip() for cell in row]
        for row in table.xpath(".//tbody/tr")
    ]
    return {name: (result, words) for name, result, words in told}


def failed(page: TestResponse) -> dict[str, str]:
    return {name: words for name, (result, words) in rows(page).items() if result == "Fail"}


def last_test(ours: Organisation) -> StoredTest:
    with ours.administration.read() as reader:
        test = reader.sso.last_test(ours.connection_id, OPERATOR.admin_id)
    assert test is not None
    return test


def test_a_good_set_up_passes_and_changes_nothing(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()

    asked = start(ours, browser)
    page = finish(ours, browser, asked)

    assert asked.document.get("ForceAuthn") == "true"
    assert {result for result, _ in rows(page).values()} == {"Pass"}
    text = page.get_data(as_text=True)
    assert "Passed." in text
    assert "would be made by this login" in text
    assert "Monitoring access at Acme" in text
    assert "has a seat, or would get one" in text
    assert "&lt;samlp:Response" in text
    assert "<samlp:Response" not in text
    assert page.headers["Cache-Control"] == "no-store"
    assert ours.actions() == ["connection.tested"]
    assert ours.sessions == []
    assert browser.token == ""
    with ours.administration.read() as reader:
        assert reader.members_by_mail([ANNA]).get(ANNA, set()) == set()


def test_somebody_known_is_told_by_name_and_access(scene: Scene) -> None:
    page = try_out(scene.ours, scene.browser(), mail=OWNER)

    text = page.get_data(as_text=True)
    assert "Olivia Owner" in text
    assert "found by the e-mail address" in text


def test_another_audience_is_named(scene: Scene) -> None:
    ours = scene.ours

    page = try_out(ours, scene.browser(), audience="https://elsewhere.example")

    assert failed(page) == {
        "Audience": f"audience is https://elsewhere.example, expected {ours.url}/metadata"
    }
    assert rows(page)["Person"] == ("Not reached", "")
    assert (last_test(ours).has_passed, ours.actions()) == (False, ["connection.tested"])


def test_clocks_that_differ_are_named(scene: Scene) -> None:
    page = try_out(scene.ours, scene.browser(), shift=600)

    assert "clocks differ by 600 s" in failed(page)["Clocks"]


def test_another_certificate_is_named(scene: Scene) -> None:
    page = try_out(scene.ours, scene.browser(), key=ATTACKER)

    assert list(failed(page)) == ["Signature"]
    assert "the connection has" in failed(page)["Signature"]
    assert rows(page)["Audience"] == ("Not reached", "")


def test_a_missing_name_id_is_named(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = start(ours, browser)
    about = messages.subject(
        messages.confirmation(recipient=f"{ours.url}/acs", ends=messages.after(300), answers=asked.message_id)
    )

    page = finish(ours, browser, asked, about=about)

    assert failed(page) == {"NameID": "there is no NameID, expected one: it tells who the person is"}


def test_two_values_where_one_is_meant_are_named(scene: Scene) -> None:
    page = try_out(scene.ours, scene.browser(), values={"email": (ANNA, OWNER)})

    assert failed(page) == {
        "Person": "attribute email has 2 values, expected one: it tells who the person is"
    }


def test_a_person_whom_nobody_knows_is_named(scene: Scene) -> None:
    page = try_out(scene.ours, scene.browser(), mail="vera@example.net")

    assert "not verified by this organisation" in failed(page)["Member"]


def test_a_certificate_that_is_not_there_yet_is_named(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    digest = ours.stored.certificates[0].sha256
    ours.do(RetireIdPCertificate(ours.connection_id, digest))

    assert list(failed(try_out(ours, browser))) == ["Signature"]


def test_what_is_no_message_has_its_page_too(scene: Scene) -> None:
    page = try_out(scene.ours, scene.browser(), value="bm8geG1s")

    assert list(failed(page)) == ["Message"]


def test_what_the_provider_writes_is_shown_and_not_done(scene: Scene) -> None:
    values = {"email": (ANNA,), "<script>alert(1)</script>": ("<img src=x onerror=alert(1)>",)}

    text = try_out(scene.ours, scene.browser(), values=values).get_data(as_text=True)

    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_a_draft_can_be_tested_and_says_that_it_is_one(scene: Scene) -> None:
    ours = scene.ours
    ours.set(disabled=True)

    page = try_out(ours, scene.browser())

    assert "switched off" in page.get_data(as_text=True)
    assert ours.actions() == ["connection.tested"]


def test_a_provider_that_loses_relay_state_can_be_tested(scene: Scene) -> None:
    page = try_out(scene.ours, scene.browser(), relay_state="")

    assert "Passed." in page.get_data(as_text=True)


def test_groups_that_were_left_out_are_spoken_of(scene: Scene) -> None:
    link = "http://schemas.microsoft.com/claims/groups.link"
    values = {"email": (ANNA,), link: ("https://graph.example",)}

    assert "left the groups out" in try_out(scene.ours, scene.browser(), values=values).get_data(as_text=True)


def test_without_an_address_that_is_spoken_of(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    ours.set(identity_key="uid")

    asked = start(ours, browser)
    about = messages.subject(
        messages.confirmation(recipient=f"{ours.url}/acs", ends=messages.after(300), answers=asked.message_id)
    )
    page = finish(ours, browser, asked, about=about, values={"uid": ("u1",)})

    assert "No e-mail address was sent" in page.get_data(as_text=True)


def test_the_result_is_for_whoever_began_it_and_gone_within_the_hour(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    link = begin_test(ours.administration, ours.stored)
    path = link.partition("?")[0]
    assert browser.get(link).status_code == 303
    asked = read_redirect(browser.get(path).headers["Location"])
    finish(ours, browser, asked)
    ours.news()

    assert "Passed." in scene.browser().get(link).get_data(as_text=True)
    for other in (path, f"{path}?key=wrong", f"{BASE}/saml/test/nobody?key=x"):
        assert scene.browser().get(other).status_code == 400
    assert browser.post(path, {}).status_code == 400
    scene.clock.move(minutes=60)
    assert browser.get(link).status_code == 400
    assert set(ours.actions()) == {"sso.login_denied"}


def test_a_test_is_answered_once_and_in_its_own_browser(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = start(ours, browser)
    value = ours.response(asked)

    other = ours.answer(scene.browser(), asked, value=value)
    first = ours.answer(browser, asked, value=value)
    again = ours.answer(browser, asked, value=value)

    assert (other.status_code, first.status_code, again.status_code) == (400, 303, 400)


def test_an_answer_after_the_hour_is_none(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    link = begin_test(ours.administration, ours.stored)
    scene.clock.move(minutes=55)
    asked = read_redirect(browser.get(link).headers["Location"])
    value = ours.response(asked)
    scene.clock.move(minutes=6)

    assert ours.answer(browser, asked, value=value).status_code == 400


def test_links_are_not_opened_in_bulk(scene: Scene) -> None:
    browser = scene.browser()

    statuses = {browser.get(f"/saml/test/{number}").status_code for number in range(125)}

    assert statuses == {400}


def test_a_test_needs_somebody_and_a_provider(scene: Scene) -> None:
    ours = scene.ours
    system = as_system(scene.wiring, ours.administration.organisation_id, "scheduler")

    with pytest.raises(InputError, match="administrator"):
        begin_test(system, ours.stored)
    ours.set(sso_url="", idp_entity_id="")
    with pytest.raises(InputError, match="no metadata"):
        begin_test(ours.administration, ours.stored)


def test_only_who_has_passed_a_test_may_make_it_obligatory(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()
    with pytest.raises(RefusedError, match="not passed a test"):
        ours.do(EnforceLogin(ours.connection_id))
    try_out(ours, browser, audience="https://elsewhere.example")
    with pytest.raises(RefusedError, match="not passed a test"):
        ours.do(EnforceLogin(ours.connection_id))

    try_out(ours, browser)
    other = AdminActor("operator:other", is_operator=True)
    with pytest.raises(RefusedError, match="not passed a test"):
        Administration(either_scene.wiring, ours.administration.organisation_id, other).apply(
            [EnforceLogin(ours.connection_id)]
        )
    ours.news()
    ours.do(EnforceLogin(ours.connection_id))

    assert ours.actions() == ["connection.enforced"]
    assert ours.sign_in(browser).status_code == 303
