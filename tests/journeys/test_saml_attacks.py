"""The attacks of docs/guides/saml-attacks.md on the whole service: one page, one event, nobody in, nobody out."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from audit.body import EventBody
from tests.journeys.saml_scene import OTHER_BROWSER, Scene, saml_scene
from tests.payloads.saml_attacks.relay_state.make import LISTED
from tests.saml_forge.accepted import form_value
from tests.saml_forge.cases import ATTACKS, CLASSES, Attack, attacks_of
from tests.saml_forge.logout import LOGOUT, logout_request, signed_query
from tests.saml_forge.messages import (
    ASSERTION,
    OTHER_REQUEST,
    REQUEST,
    assertion,
    confirmation,
    name_id,
    response,
    subject,
)
from tests.saml_forge.signing import sign

JUDGED = [
    (name, case)
    for name in CLASSES
    for case in attacks_of(name)
    if case.at == "pipeline" and not case.given and not case.literal
]
# What asks for no request is not held against one.
AT_THE_ENDPOINT = {"unsolicited.xml": "unsolicited"}
ANSWER = response(sign(assertion(), ASSERTION))
REFERENCE = re.compile(rb"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """For what leaves nothing behind."""
    with saml_scene(tmp_path_factory.mktemp("scene")) as scene:
        scene.ask()
        yield scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with saml_scene(tmp_path) as scene:
        scene.ask()
        yield scene


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Somebody has signed in."""
    with saml_scene(tmp_path_factory.mktemp("inside")) as scene:
        scene.ask()
        assert scene.post(coded(ANSWER)).status_code == 303
        scene.news()
        yield scene


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def content(name: str, case: Attack) -> bytes:
    return (ATTACKS / name / case.file).read_bytes() if case.is_kept else case.content


def named(name: str, file: str) -> str:
    return form_value(file, (ATTACKS / name / file).read_bytes())


def cases(name: str, place: str) -> list[Attack]:
    return [case for case in attacks_of(name) if case.at == place]


def by_file(chosen: list[Attack]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", chosen, ids=[case.file for case in chosen])


def assert_turned_away(answer: TestResponse) -> None:
    """The one page, whatever the cause."""
    assert answer.status_code == 400
    assert "usher_session" not in "".join(answer.headers.getlist("Set-Cookie"))
    assert "no-store" in answer.headers["Cache-Control"]
    assert REFERENCE.search(answer.data)


def assert_denied(bodies: list[EventBody], reason: str, answer: TestResponse) -> None:
    """One event, found by the reference that the page shows, that says the reason and nothing of the message."""
    (body,) = bodies
    found = REFERENCE.search(answer.data)
    assert (body["action"], body["outcome"]) == ("sso.login_denied", "denied")
    assert body["reason"]["code"] == reason
    assert found is not None
    assert found.group().decode() in str(body["changes"])
    assert "@example" not in str(body)


@pytest.mark.parametrize(("name", "case"), JUDGED, ids=[f"{name}/{case.file}" for name, case in JUDGED])
def test_attack_signs_nobody_in(shared: Scene, name: str, case: Attack) -> None:
    answer = shared.post(form_value(case.file, content(name, case)))

    assert_turned_away(answer)
    assert_denied(shared.news(), AT_THE_ENDPOINT.get(case.file, case.reason), answer)
    assert shared.ours.signed_in() == (0, 0)


def test_page_is_the_same_for_every_cause(shared: Scene) -> None:
    chosen = {case.reason: (name, case) for name, case in JUDGED}

    pages = {
        REFERENCE.sub(b"", shared.post(form_value(case.file, content(name, case))).data)
        for name, case in chosen.values()
    }

    shared.news()
    assert len(chosen) > 10
    assert len(pages) == 1


# Classes 11 to 13: once, in one browser, for one organisation


def test_genuine_answer_signs_in(scene: Scene) -> None:
    answer = scene.post(coded(ANSWER))

    assert answer.status_code == 303
    assert scene.ours.signed_in() == (1, 1)
    assert "sso.login" in [body["action"] for body in scene.news()]


@by_file(cases("replay", "endpoint"))
def test_assertion_is_good_once_however_it_is_wrapped(scene: Scene, case: Attack) -> None:
    scene.ask(OTHER_REQUEST)
    scene.post(coded(ANSWER))
    scene.news()

    answer = scene.post(form_value(case.file, content("replay", case)), relay_state="")

    assert_turned_away(answer)
    assert_denied(scene.news(), case.reason, answer)
    assert scene.ours.signed_in() == (1, 1)


def test_assertion_is_remembered_by_another_process_and_after_a_restart(tmp_path: Path) -> None:
    with saml_scene(tmp_path) as first:
        first.ask()
        first.post(coded(ANSWER))
        with saml_scene(tmp_path) as second:
            answer = second.post(coded(ANSWER))
            assert_denied(second.news(), "replayed", answer)
    with saml_scene(tmp_path) as restarted:
        answer = restarted.post(coded(ANSWER))
        assert_denied(restarted.news(), "replayed", answer)
        assert restarted.ours.signed_in() == (1, 1)


@pytest.mark.parametrize(
    ("file", "browser"),
    [("another-browser.xml", OTHER_BROWSER), ("no-cookie.xml", ""), ("no-cookie.xml", "x")],
)
def test_answer_is_for_the_browser_that_asked(scene: Scene, file: str, browser: str) -> None:
    answer = scene.post(named("correlation", file), browser=browser)

    assert_turned_away(answer)
    assert_denied(scene.news(), "browser_mismatch", answer)
    assert scene.ours.signed_in() == (0, 0)
    assert scene.post(named("correlation", file)).status_code == 303


def test_answer_at_another_organisation_s_address_is_refused(scene: Scene) -> None:
    answer = scene.post(named("cross_organisation", "posted-to-the-others-acs.xml"), scene.theirs)

    assert_turned_away(answer)
    assert_denied(scene.news(scene.theirs), "signature_invalid", answer)
    assert (scene.ours.signed_in(), scene.theirs.signed_in()) == ((0, 0), (0, 0))


def test_answer_to_another_organisation_s_request_is_refused(scene: Scene) -> None:
    scene.ask(OTHER_REQUEST, scene.theirs)
    made = sign(response(assertion().replace(REQUEST, OTHER_REQUEST), answers=OTHER_REQUEST), ASSERTION)

    answer = scene.post(coded(made))

    assert_denied(scene.news(), "in_response_to_mismatch", answer)
    assert scene.ours.signed_in() == (0, 0)


def test_provider_does_not_vouch_for_another_organisation_s_domain(scene: Scene) -> None:
    answer = scene.post(named("cross_organisation", "mail-of-the-others-domain.xml"))

    assert_turned_away(answer)
    assert_denied(scene.news(), "domain_not_verified", answer)
    assert (scene.ours.signed_in(), scene.theirs.signed_in()) == ((0, 0), (0, 0))


# Class 14: where a login leads to


def initiated() -> str:
    free = assertion(about=subject(name_id(), confirmation(answers=None)))
    return coded(sign(response(free, answers=None), ASSERTION))


@by_file(cases("relay_state", "endpoint"))
def test_login_leads_to_no_address_of_a_stranger(scene: Scene, case: Attack) -> None:
    scene.ours.set(idp_initiated=True, initiated_targets=LISTED)
    scene.news()
    value = content("relay_state", case).decode()

    answer = scene.post(initiated(), relay_state=value)
    asked = scene.post(coded(ANSWER), relay_state=value)

    for each in (answer, asked):
        assert_turned_away(each)
    assert [body["reason"]["code"] for body in scene.news()] == [case.reason] * 2
    assert scene.ours.signed_in() == (0, 0)


def test_login_leads_to_a_listed_address(scene: Scene) -> None:
    scene.ours.set(idp_initiated=True, initiated_targets=LISTED)

    answer = scene.post(initiated(), relay_state=LISTED)

    assert (answer.status_code, answer.headers["Location"]) == (303, LISTED)


def test_login_that_nobody_asked_for_is_refused_where_it_is_not_switched_on(scene: Scene) -> None:
    answer = scene.post(initiated(), relay_state=LISTED)

    assert_turned_away(answer)
    assert_denied(scene.news(), "unsolicited", answer)


# Class 16: bindings


def test_response_by_get_is_refused(scene: Scene) -> None:
    value = named("encodings", "response-by-get.b64")

    answer = scene.send("GET", "acs", query=f"SAMLResponse={quote(value, safe='')}")

    assert_turned_away(answer)
    assert_denied(scene.news(), "malformed", answer)


@pytest.mark.parametrize("file", ["field-twice.b64", "field-missing.b64"])
def test_form_has_the_field_once(scene: Scene, file: str) -> None:
    value = named("encodings", file)
    field = f"SAMLResponse={quote(value, safe='')}&"

    answer = scene.send("POST", "acs", data=field * 2 if value else "RelayState=x")

    assert_turned_away(answer)
    assert_denied(scene.news(), "malformed", answer)


# Class 17: whoever ends sessions is proven


@by_file(cases("logout", "logout") + cases("logout", "endpoint"))
def test_forged_logout_ends_no_session(inside: Scene, case: Attack) -> None:
    octets = content("logout", case)

    if case.file.endswith(".txt"):
        answer = inside.send("GET", "slo", query=octets.decode())
    else:
        parameter = "SAMLResponse" if "-response-" in case.file else "SAMLRequest"
        answer = inside.send("POST", "slo", data={parameter: form_value(case.file, octets)})

    assert_turned_away(answer)
    assert_denied(inside.news(), case.reason, answer)
    assert inside.ours.signed_in() == (1, 1)


def test_logout_of_another_organisation_s_provider_ends_no_session(inside: Scene) -> None:
    answer = inside.send("GET", "slo", inside.theirs, query=signed_query(logout_request()))

    assert_turned_away(answer)
    assert inside.ours.signed_in() == (1, 1)


def test_genuine_logout_ends_the_session_and_is_good_once(scene: Scene) -> None:
    scene.post(coded(ANSWER))
    scene.news()
    query = signed_query(logout_request())

    assert scene.send("GET", "slo", query=query).status_code == 303
    assert scene.ours.signed_in() == (0, 1)
    answer = scene.send("POST", "slo", data={"SAMLRequest": coded(sign(logout_request(), LOGOUT))})

    assert_turned_away(answer)
    assert [body["action"] for body in scene.news()] == ["sso.logout", "sso.login_denied"]
