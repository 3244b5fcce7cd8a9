"""From an e-mail address to the identity provider: by the domain alone, and never led elsewhere."""

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from werkzeug.test import TestResponse

from directory.ids import ConnectionId
from directory.sso_changes import PutConnection
from tests.journeys.sso_scene import BACK, BASE, OWNER, Scene, read_form
from tests.saml_forge.metadata import SSO_URL


def shape(answer: TestResponse) -> tuple[int, str, dict[str, str]]:
    """All of an answer but for its own id."""
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
    return answer.status_code, answer.get_data(as_text=True), headers


def test_a_verified_domain_leads_to_its_provider(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()

    page = browser.get(f"/sso/login?return={quote(BACK)}")
    action, fields = read_form(page)
    answer = browser.post(action, {**fields, "email": " Anna@EXAMPLE.org "})

    assert (page.status_code, fields["return"]) == (200, BACK)
    assert answer.status_code == 303
    where = urlsplit(answer.headers["Location"])
    assert f"{where.scheme}://{where.netloc}{where.path}" == f"{ours.url}/login"
    asked = ours.begin(browser, f"?{where.query}")
    assert ours.answer(browser, asked).headers["Location"] == f"{BASE}{BACK}"


def test_nobody_learns_whether_a_person_exists(scene: Scene) -> None:
    browser = scene.browser()

    there, not_there = (
        browser.post("/sso/login", {"email": mail}) for mail in (OWNER, "nobody-at-all@example.org")
    )

    assert shape(there) == shape(not_there)


@pytest.mark.parametrize("mail", ["anna@unknown.example", "anna@xn--a", "anna@exämple.org", "anna@\x7f.org"])
def test_a_domain_that_nobody_has_verified_leads_nowhere(scene: Scene, mail: str) -> None:
    answer = scene.browser().post("/sso/login", {"email": mail, "return": BACK})

    assert answer.status_code in {200, 400}
    assert read_form(answer)[1]["return"] == BACK
    assert 'role="alert"' in answer.get_data(as_text=True)


@pytest.mark.parametrize("mail", ["", "@", "anna", "anna@", "@example.org", "a@" + "x" * 400])
def test_what_is_no_address_is_asked_for_again(scene: Scene, mail: str) -> None:
    answer = scene.browser().post("/sso/login", {"email": mail})

    assert answer.status_code == 400
    assert "name@company.example" in answer.get_data(as_text=True)


def test_of_several_connections_people_choose_by_name(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    second = ConnectionId(scene.wiring.mint.id())
    settings = {"idp_entity_id": "https://second.example", "sso_url": SSO_URL}
    ours.do(PutConnection(second, "Factory <b>ID</b>", settings))

    answer = browser.post("/sso/login", {"email": OWNER, "return": BACK, "fresh": "1"})

    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "Acme ID" in text
    assert "Factory &lt;b&gt;ID&lt;/b&gt;" in text
    assert f"{BASE}/saml/{second}/login?return={quote(BACK, safe='')}&amp;fresh=1" in text


def test_a_fresh_login_is_asked_for_all_the_way(scene: Scene) -> None:
    browser = scene.browser()
    scene.ours.sign_in(browser)

    action, fields = read_form(browser.get("/sso/login?fresh=1"))
    answer = browser.post(action, {**fields, "email": OWNER})

    assert fields["fresh"] == "1"
    assert parse_qs(urlsplit(answer.headers["Location"]).query) == {"fresh": ["1"]}


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/oidc/authorize/../../evil",
        "/oidc/authorize#@evil.example",
        "javascript:alert(1)",
        "/sso/settings",
        "/oidc/authorize\r\nSet-Cookie: a=b",
        "/oidc/authorize" + "a" * 5000,
    ],
)
def test_a_login_leads_back_to_our_own_endpoint_only(scene: Scene, target: str) -> None:
    ours, browser = scene.ours, scene.browser()

    page = browser.get(f"/sso/login?return={quote(target, safe='')}")
    posted = browser.post("/sso/login", {"email": OWNER, "return": target})
    begun = ours.begin(browser, f"?return={quote(target, safe='')}")
    answer = ours.answer(browser, begun)

    assert "return" not in read_form(page)[1]
    assert posted.headers["Location"] == f"{ours.url}/login"
    assert answer.headers["Location"] == f"{BASE}/sso/login"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_site_s_form_is_not_taken(scene: Scene, headers: dict[str, str]) -> None:
    browser = scene.browser()
    scene.ours.sign_in(browser)

    assert browser.post("/sso/login", {"email": OWNER}, headers=headers).status_code == 400
    assert browser.post("/sso/recovery", {"code": "x"}, headers=headers).status_code == 400
    assert "Sign out" in browser.post("/sso/logout", {}, headers=headers).get_data(as_text=True)
    assert len(scene.ours.sessions) == 1


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": BASE}, {}])
def test_our_own_form_is_taken(scene: Scene, headers: dict[str, str]) -> None:
    assert scene.browser().post("/sso/login", {"email": OWNER}, headers=headers).status_code == 303


def test_addresses_are_not_tried_out_in_bulk(scene: Scene) -> None:
    browser = scene.browser()

    statuses = [
        browser.post("/sso/login", {"email": f"a@{number}.example"}).status_code for number in range(125)
    ]

    assert statuses[:120] == [200] * 120
    assert statuses[-1] == 429
