"""The way in when the identity provider fails: recovery codes, and how far they reach."""

from hashlib import sha256

import pytest

from audit.body import EventBody
from directory.sso_changes import EnforceLogin, PutRecoveryCodes
from service.login_tests import begin_test
from tests.journeys.sso_scene import BASE, OWNER, Organisation, Scene, read_redirect

CODE = "abcd-efgh-2345-mnop"
OTHER_CODE = "qrst-uvwx-2345-mnop"


def reason_of(body: EventBody) -> str:
    return body["reason"]["code"] if "reason" in body else ""


def digest(code: str) -> bytes:
    return sha256(code.encode()).digest()


def arm(ours: Organisation) -> None:
    ours.do(PutRecoveryCodes(ours.member(OWNER), (digest(CODE), digest(OTHER_CODE))))
    ours.news()


def enforce(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = read_redirect(browser.get(begin_test(ours.administration, ours.stored)).headers["Location"])
    ours.answer(browser, asked)
    ours.do(EnforceLogin(ours.connection_id))
    ours.news()


@pytest.fixture
def armed(either_scene: Scene) -> Scene:
    """Signing in is obligatory, and the owner has two codes."""
    arm(either_scene.ours)
    enforce(either_scene)
    return either_scene


def test_a_code_opens_the_settings_and_nothing_else(armed: Scene) -> None:
    ours, browser = armed.ours, armed.browser()

    answer = browser.post("/sso/recovery", {"code": CODE})

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{BASE}/sso/settings")
    page = browser.get("/sso/settings").get_data(as_text=True)
    assert "In force" in page
    assert "2026-05-04 10:30 UTC" in page
    assert "You are signed in" not in browser.get("/sso/login").get_data(as_text=True)
    (session,) = ours.sessions
    assert (session.kind, session.member_id) == ("breakglass", ours.member(OWNER))
    assert ours.actions() == ["breakglass.used"]


def test_whoever_has_a_code_suspends_resumes_and_lifts_the_obligation(armed: Scene) -> None:
    ours, browser = armed.ours, armed.browser()
    browser.post("/sso/recovery", {"code": CODE})
    ours.news()

    told = []
    for action in ("suspend", "resume", "lift", "lift", "nonsense"):
        assert browser.post("/sso/settings", {"action": action}).headers["Location"] == f"{BASE}/sso/settings"
        told.append(browser.get("/sso/settings").get_data(as_text=True))

    bodies = ours.news()
    assert [body["action"] for body in bodies] == [
        "connection.enforcement_suspended",
        "connection.enforcement_resumed",
        "connection.enforcement_lifted",
    ]
    assert {body["actor"]["id"] for body in bodies} == {ours.member(OWNER)}
    assert "Suspended since" in told[0]
    assert "In force" in told[1]
    assert "not obligatory" in told[2]


def test_it_ends_with_a_button_or_after_half_an_hour(armed: Scene) -> None:
    ours, browser = armed.ours, armed.browser()
    browser.post("/sso/recovery", {"code": CODE})

    browser.post("/sso/logout", {})
    assert ours.sessions == []
    assert browser.get("/sso/settings").headers["Location"] == f"{BASE}/sso/recovery"
    browser.post("/sso/recovery", {"code": OTHER_CODE})
    armed.clock.move(minutes=30)
    assert browser.get("/sso/settings").headers["Location"] == f"{BASE}/sso/recovery"
    ours.news()
    browser.post("/sso/settings", {"action": "lift"})
    assert ours.news() == []


def test_a_code_is_good_once_and_its_reuse_is_written_down(armed: Scene) -> None:
    ours = armed.ours
    armed.browser().post("/sso/recovery", {"code": CODE})
    ours.news()

    again = armed.browser().post("/sso/recovery", {"code": CODE})
    unknown = armed.browser().post("/sso/recovery", {"code": "aaaa-bbbb-cccc-dddd"})

    assert (again.status_code, unknown.status_code) == (400, 400)
    bodies = ours.news()
    assert [(body["action"], reason_of(body)) for body in bodies] == [
        ("command.refused", "recovery_code_invalid"),
        ("sso.login_denied", "recovery_code_invalid"),
    ]
    reference = bodies[1].get("changes", [])[0]["after"]
    assert str(reference) in again.get_data(as_text=True)


@pytest.mark.parametrize("typed", [" ABCD EFGH 2345 MNOP ", "abcdefgh2345mnop", "abcd–efgh–2345–mnop"])
def test_a_code_is_read_however_it_was_typed(scene: Scene, typed: str) -> None:
    arm(scene.ours)

    assert scene.browser().post("/sso/recovery", {"code": typed}).status_code == 303


def test_codes_are_not_tried_out(scene: Scene) -> None:
    browser = scene.browser()

    statuses = [browser.post("/sso/recovery", {"code": f"aaaa{number}"}).status_code for number in range(11)]

    assert statuses == [400] * 10 + [429]
    scene.clock.move(minutes=1)
    assert browser.post("/sso/recovery", {"code": "x"}).status_code == 400


def test_a_form_without_a_code_is_asked_for_again(scene: Scene) -> None:
    browser = scene.browser()

    assert browser.get("/sso/recovery").status_code == 200
    assert browser.post("/sso/recovery", {}).status_code == 400
    assert browser.post("/sso/recovery", b"\xff", content_type="text/plain").status_code == 400


def test_buttons_of_another_site_change_nothing(armed: Scene) -> None:
    ours, browser = armed.ours, armed.browser()
    browser.post("/sso/recovery", {"code": CODE})
    ours.news()

    browser.post("/sso/settings", {"action": "lift"}, headers={"Sec-Fetch-Site": "cross-site"})
    browser.post("/sso/settings", b"x", content_type="text/plain")

    assert ours.news() == []


def test_a_login_opens_no_settings(scene: Scene) -> None:
    browser = scene.browser()
    scene.ours.sign_in(browser)

    assert browser.get("/sso/settings").headers["Location"] == f"{BASE}/sso/recovery"


def test_a_code_in_a_browser_that_is_signed_in_ends_that_session(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    arm(ours)
    ours.sign_in(browser)

    browser.post("/sso/recovery", {"code": CODE})

    assert [session.kind for session in ours.sessions] == ["breakglass"]
