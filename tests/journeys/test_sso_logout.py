"""Signing out, here and at the identity provider, by either binding; and forgeries of it, which end nothing."""

import base64

import pytest

from audit.body import EventBody
from saml import names
from tests.journeys.sso_scene import BASE, Browser, Organisation, Scene, read_form, read_redirect

ANNA = "anna@example.org"


def reason_of(body: EventBody) -> str:
    return body["reason"]["code"] if "reason" in body else ""


@pytest.fixture
def browser(scene: Scene) -> Browser:
    """Anna's, who is signed in."""
    browser = scene.browser()
    scene.ours.sign_in(browser)
    scene.ours.news()
    return browser


def test_who_signs_out_is_out_before_the_provider_is_asked(scene: Scene, browser: Browser) -> None:
    ours = scene.ours

    answer = browser.post("/sso/logout", {})

    assert ours.sessions == []
    assert browser.token == ""
    asked = read_redirect(answer.headers["Location"])
    assert asked.document.tag == f"{{{names.SAMLP}}}LogoutRequest"
    assert asked.document.find(names.NAME_ID).text == ANNA
    assert asked.document.find(names.SESSION_INDEX).text == "_index-1"
    assert "Signature" in asked.query
    (body,) = ours.news()
    assert (body["action"], reason_of(body)) == ("sso.logout", "logout")
    back = browser.get(
        f"{ours.path}/slo?{ours.signed_query(ours.logout_response(asked.message_id), 'SAMLResponse')}"
    )
    assert (back.status_code, back.headers["Location"]) == (303, f"{BASE}/oidc/logout/done")
    assert ours.news() == []


def test_who_signs_out_is_asked_first(scene: Scene, browser: Browser) -> None:
    page = browser.get("/sso/logout")

    assert "Sign out" in page.get_data(as_text=True)
    assert len(scene.ours.sessions) == 1
    assert "You are signed out" in scene.browser().get("/sso/logout").get_data(as_text=True)


def test_a_logout_goes_by_a_form_where_the_provider_wants_it(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    ours.set(slo_binding="post")

    action, fields = read_form(browser.post("/sso/logout", {}))
    response = ours.logout_response(read_id(fields["SAMLRequest"]))
    value = ours.signed_value(response, "_logout-answer")
    back = browser.post(f"{ours.path}/slo", {"SAMLResponse": value})

    assert action == "https://idp.example.org/slo"
    assert back.status_code == 303


def read_id(value: str) -> str:
    text = base64.b64decode(value).decode()
    return text.partition(' ID="')[2].partition('"')[0]


def test_a_provider_that_could_not_end_everything_is_told_of(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    asked = read_redirect(browser.post("/sso/logout", {}).headers["Location"])

    text = ours.logout_response(asked.message_id, status=names.RESPONDER)
    back = browser.get(f"{ours.path}/slo?{ours.signed_query(text, 'SAMLResponse')}")

    assert "could not end all other sessions" in back.get_data(as_text=True)


@pytest.mark.parametrize("settings", [{"slo_url": ""}, {"disabled": True, "slo_url": ""}])
def test_a_provider_without_logout_is_not_asked(
    scene: Scene, browser: Browser, settings: dict[str, str | bool]
) -> None:
    scene.ours.set(**settings)

    answer = browser.post("/sso/logout", {})

    assert "You are signed out" in answer.get_data(as_text=True)
    assert scene.ours.sessions == []


def test_who_is_not_signed_in_can_sign_out_too(scene: Scene) -> None:
    answer = scene.browser().post("/sso/logout", {})

    assert (answer.status_code, scene.ours.news()) == (200, [])


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_the_provider_ends_the_session_that_it_names(scene: Scene, browser: Browser, binding: str) -> None:
    ours = scene.ours
    ours.sign_in(scene.browser(), index="_index-2")
    ours.set(slo_binding=binding)
    ours.news()
    text = ours.logout_request(ANNA)

    if binding == "redirect":
        answer = browser.get(f"{ours.path}/slo?{ours.signed_query(text, relay_state='theirs')}")
        told = read_redirect(answer.headers["Location"])
        document, relay_state = told.document, told.relay_state
        assert (document.get("InResponseTo"), relay_state) == ("_logout-1", "theirs")
        assert "Signature" in told.query
    else:
        value = ours.signed_value(text)
        action, fields = read_form(
            browser.post(f"{ours.path}/slo", {"SAMLRequest": value, "RelayState": "theirs"})
        )
        assert (action, fields["RelayState"]) == ("https://idp.example.org/slo", "theirs")
        assert b'InResponseTo="_logout-1"' in base64.b64decode(fields["SAMLResponse"])

    assert [session.session_index for session in ours.sessions] == ["_index-2"]
    (body,) = ours.news()
    assert (body["action"], reason_of(body)) == ("sso.logout", "idp_logout")
    assert "You are signed in" not in browser.get("/sso/login").get_data(as_text=True)


def test_a_logout_without_an_index_ends_all_of_the_person_s(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    ours.sign_in(scene.browser(), index="_index-2")
    ours.sign_in(scene.browser(), "olivia@example.org")
    ours.news()

    browser.get(f"{ours.path}/slo?{ours.signed_query(ours.logout_request(ANNA, None))}")

    assert [session.member_id for session in ours.sessions] == [ours.member("olivia@example.org")]
    assert ours.actions() == ["sso.logout", "sso.logout"]


def test_a_logout_of_nobody_is_answered_all_the_same(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    ours.set(slo_url="")

    answer = browser.get(f"{ours.path}/slo?{ours.signed_query(ours.logout_request('vera@example.org'))}")

    assert answer.status_code == 200
    assert len(ours.sessions) == 1


def refused(ours: Organisation, browser: Browser, reason: str, query: str) -> None:
    answer = browser.get(f"{ours.path}/slo?{query}")
    assert answer.status_code == 400
    assert [reason_of(body) for body in ours.news()] == [reason]
    assert len(ours.sessions) == 1


def test_a_logout_is_good_once(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    query = ours.signed_query(ours.logout_request("vera@example.org"))
    browser.get(f"{ours.path}/slo?{query}")

    refused(ours, browser, "replayed", query)


def test_another_organisation_s_provider_ends_nothing_here(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    text = ours.logout_request(ANNA)

    refused(ours, browser, "signature_invalid", scene.theirs.signed_query(text))


def test_a_logout_that_nobody_signed_ends_nothing(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    query = ours.signed_query(ours.logout_request(ANNA)).partition("&SigAlg")[0]

    refused(ours, browser, "signature_missing", query)


def test_an_answer_to_no_request_of_this_browser_is_refused(scene: Scene, browser: Browser) -> None:
    ours = scene.ours
    query = ours.signed_query(ours.logout_response("_of-nobody"), "SAMLResponse")

    refused(ours, browser, "logout_refused", query)


@pytest.mark.parametrize(
    "data", [{}, {"SAMLRequest": "a", "SAMLResponse": "b"}, {"SAMLRequest": "a"}, {"SAMLResponse": "%"}]
)
def test_a_form_that_is_no_logout_ends_nothing(scene: Scene, browser: Browser, data: dict[str, str]) -> None:
    assert browser.post(f"{scene.ours.path}/slo", data).status_code == 400
    assert browser.open("PUT", f"{scene.ours.path}/slo", data=data).status_code == 400
    assert len(scene.ours.sessions) == 1
