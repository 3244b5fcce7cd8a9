"""Whatever is sent to any address of single sign-on: an answer below 500, nobody signed in, nothing of the inside."""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saml.serving import MAX_BODY
from tests.journeys.sso_scene import Scene

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PLACES = ("acs", "slo", "login", "metadata", "nonsense", "acs/more", "//acs")
FIELDS = ("SAMLResponse", "SAMLRequest", "RelayState", "email", "code", "return", "action", "key", "fresh")
INSIDE = ("Traceback", "lxml", "xmlsec", "onelogin", "sqlalchemy", "&lt;saml")


def paths(scene: Scene) -> list[str]:
    ours = [f"{scene.ours.path}/{place}" for place in PLACES]
    strange = [
        "/saml/nobody/acs",
        "/saml/nobody/metadata",
        "/saml/%00/login",
        "/saml/%ED%A0%80/slo",
        "/saml/test/%00",
        "/saml/test/x",
        "/saml/",
    ]
    return [*ours, *strange, "/sso/login", "/sso/logout", "/sso/recovery", "/sso/settings"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_at_every_address_is_answered(scene: Scene, method: str) -> None:
    browser = scene.browser()

    for path in paths(scene):
        answer = browser.open(method, path, data=b"\xff\x00%")
        assert answer.status_code < 500, path
        assert not any(word in answer.get_data(as_text=True) for word in INSIDE)
    assert scene.ours.sessions == []


@given(
    fields=st.dictionaries(
        st.sampled_from(FIELDS), st.one_of(st.text(max_size=50), st.binary(max_size=50).map(str)), max_size=4
    ),
    place=st.integers(min_value=0, max_value=17),
    is_post=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_every_form_at_every_address_is_answered(
    scene: Scene, fields: dict[str, str], place: int, is_post: bool
) -> None:
    browser, path = scene.browser(), paths(scene)[place]

    told = {name: text.encode("utf-8", "replace").decode() for name, text in fields.items()}
    answer = browser.post(path, told) if is_post else browser.get(path, query_string=told)

    assert answer.status_code < 500
    assert scene.ours.sessions == []


def test_a_body_without_end_is_not_read_to_its_end(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    body = b"SAMLResponse=" + b"A" * (MAX_BODY + 10_000_000)

    form = "application/x-www-form-urlencoded"
    answers = [browser.post(f"{ours.path}/{place}", body, content_type=form) for place in ("acs", "slo")]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert [body.get("reason") for body in ours.news()] == [
        {"code": "too_large", "numbers": {"check": "form"}}
    ] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "-1"},
        {"Content-Length": "x"},
        {"Content-Length": "99999999999999999999"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"},
        {"Cookie": "__Host-usher_login=\xff; __Host-usher_session=" + "x" * 5000},
        {"User-Agent": "\x01" * 9000},
    ],
)
def test_odd_headers_are_answered(scene: Scene, headers: dict[str, str]) -> None:
    browser = scene.browser()

    for place in ("acs", "slo"):
        answer = browser.post(
            f"{scene.ours.path}/{place}",
            b"SAMLResponse=a&SAMLResponse=b",
            headers={"Content-Type": "application/x-www-form-urlencoded", **headers},
        )
        assert answer.status_code == 400


def test_a_client_may_call_itself_what_it_likes(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = ours.begin(browser)
    value = ours.response(asked, index="\t" + "x" * 5000)

    answer = browser.post(
        f"{ours.path}/acs", {"SAMLResponse": value}, headers={"User-Agent": "\x7fÄgent" * 500}
    )

    assert answer.status_code == 303
    (session,) = ours.sessions
    assert (session.session_index, len(session.user_agent) <= 400) == ("", True)
    assert session.user_agent.isascii()


def test_the_page_is_the_same_for_every_cause(scene: Scene) -> None:
    ours = scene.ours
    asked = ours.begin(scene.browser())
    answers = [
        ours.answer(scene.browser(), asked),
        ours.answer(scene.browser(), None),
        scene.browser().post(f"{ours.path}/acs", {"SAMLResponse": "%"}),
        scene.browser().get(f"{ours.path}/acs"),
        scene.browser().get(f"{ours.path}/slo?SAMLRequest={base64.b64encode(b'x').decode()}"),
    ]

    pages = set()
    for answer, body in zip(answers, ours.news(), strict=True):
        reference = next(one["after"] for one in body.get("changes", []) if one["path"] == "reference")
        pages.add(answer.get_data(as_text=True).replace(str(reference), "X"))
    assert len(pages) == 1


def test_nothing_of_a_message_stands_in_an_event_or_the_log(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, browser = scene.ours, scene.browser()
    canary = "canary-7f3a"
    asked = ours.begin(browser)
    value = ours.response(asked, f"{canary}@example.org", index=f"_{canary}", name_id=f"{canary}-id")
    ours.answer(browser, asked, value=value)
    ours.answer(browser, asked, value=value)
    token = browser.token
    browser.post("/sso/logout", {})

    written = str(ours.news()) + capsys.readouterr().out
    assert canary not in written
    assert token not in written
    assert asked.relay_state not in written


def test_a_form_that_ends_early_or_says_nothing_is_refused(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    form = "application/x-www-form-urlencoded"

    for body, headers in (
        (b"RelayState=a", {}),
        (b"", {}),
        (b"SAMLResponse=a", {"Content-Length": "999"}),
        (b"SAMLResponse=%FF", {}),
        (b"SAMLResponse=\xff", {}),
        (b"&".join(b"a%d=b" % number for number in range(30)), {}),
    ):
        answer = browser.post(f"{ours.path}/acs", body, content_type=form, headers=headers)
        assert answer.status_code == 400
