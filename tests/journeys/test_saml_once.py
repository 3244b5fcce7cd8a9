"""A login counts once, in one browser, for one organisation: classes 11 to 13 of docs/guides/saml-attacks.md.

The steps are those of the endpoint, in its order: prove, use the request and the assertion, find out who it is.
"""

import base64
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from directory.ids import MemberId, SessionId
from directory.sso_changes import OpenSession
from provisioning.signing_in import sign_in
from saml.attributes import read_person
from saml.errors import LoginDenied
from saml.login import Expectations, Trust
from saml.pipeline import judge_response, named_request
from tests.journeys.saml_scene import BROWSER, OTHER_BROWSER, Scene, Side, saml_scene
from tests.saml_forge.accepted import form_value
from tests.saml_forge.cases import ATTACKS, Attack, attacks_of
from tests.saml_forge.messages import (
    ASSERTION,
    BASE,
    NOW,
    OTHER_REQUEST,
    REQUEST,
    assertion,
    response,
)
from tests.saml_forge.signing import sign

ANSWER = response(sign(assertion(), ASSERTION))
TO_REPLAY = attacks_of("replay")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with saml_scene(tmp_path) as scene:
        scene.ask()
        yield scene


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kept(name: str, case: Attack) -> str:
    return form_value(case.file, (ATTACKS / name / case.file).read_bytes())


def named(name: str, file: str) -> str:
    return form_value(file, (ATTACKS / name / file).read_bytes())


def log_in(scene: Scene, value: str, side: Side | None = None, *, browser: str = BROWSER) -> str:
    """Why the person was not let in; empty when they were."""
    side = side or scene.ours
    wiring = scene.wiring
    with side.administration.read() as reader:
        connection = reader.sso.connection(side.connection_id)
        assert connection is not None
        keys = [reader.sso.sp_private_key(side.connection_id, key.key_id) for key in connection.keys]
    settings = connection.read
    trust = Trust(tuple(one.certificate for one in connection.trusted(NOW)), tuple(filter(None, keys)))
    request_id = named_request(value)
    request = wiring.logins.request(request_id or "")
    expected = Expectations(
        idp_entity_id=settings.idp_entity_id,
        sp_entity_id=f"{BASE}/saml/{side.connection_id}/metadata",
        acs_url=f"{BASE}/saml/{side.connection_id}/acs",
        request_id=request_id,
        requested_at=request.created_at if request is not None else None,
        now=NOW,
    )
    try:
        login = judge_response(value, trust=trust, expectations=expected)
    except LoginDenied as denied:
        return denied.reason
    used = wiring.logins.use_request(
        organisation_id=side.administration.organisation_id,
        connection_id=side.connection_id,
        request_id=request_id,
        browser_sha256=sha256(browser.encode()).digest(),
        assertion_id=login.assertion_id,
        keep_until=login.used_until,
        now=NOW,
    )
    if used:
        return used
    number = wiring.mint.id()
    session = OpenSession(
        session_id=SessionId(number),
        token_sha256=sha256(number.encode()).digest(),
        member_id=MemberId(""),
        connection_id=None,
        login_id=wiring.mint.id(),
        auth_time=login.authn_instant,
        expires_at=login.used_until,
    )
    outcome = sign_in(
        side.connection_id,
        read_person(login, settings),
        session,
        reference="REF-1",
        unit_of_work=side.administration.unit_of_work,
        clock=wiring.clock,
        mint=wiring.mint,
        models=wiring.models,
    )
    return outcome.denial or ""


def test_genuine_answer_signs_in_once(scene: Scene) -> None:
    assert log_in(scene, coded(ANSWER)) == ""

    assert scene.ours.signed_in() == (1, 1)
    assert scene.theirs.signed_in() == (0, 0)


@pytest.mark.parametrize("case", TO_REPLAY, ids=[case.file for case in TO_REPLAY])
def test_assertion_is_good_once_however_it_is_wrapped(scene: Scene, case: Attack) -> None:
    scene.ask(OTHER_REQUEST)
    assert log_in(scene, coded(ANSWER)) == ""

    assert log_in(scene, kept("replay", case)) == case.reason

    assert scene.ours.signed_in() == (1, 1)


def test_assertion_is_remembered_by_another_process_and_after_a_restart(tmp_path: Path) -> None:
    with saml_scene(tmp_path) as first:
        first.ask()
        assert log_in(first, coded(ANSWER)) == ""
        with saml_scene(tmp_path) as second:
            assert log_in(second, coded(ANSWER)) == "replayed"
    with saml_scene(tmp_path) as restarted:
        assert log_in(restarted, coded(ANSWER)) == "replayed"
        assert restarted.ours.signed_in() == (1, 1)


@pytest.mark.parametrize(("file", "browser"), [("another-browser.xml", OTHER_BROWSER), ("no-cookie.xml", "")])
def test_answer_is_for_the_browser_that_asked(scene: Scene, file: str, browser: str) -> None:
    assert log_in(scene, named("correlation", file), browser=browser) == "browser_mismatch"

    assert scene.ours.signed_in() == (0, 0)
    assert log_in(scene, named("correlation", file)) == ""


def test_answer_at_another_organisation_s_address_is_refused(scene: Scene) -> None:
    value = named("cross_organisation", "posted-to-the-others-acs.xml")

    assert log_in(scene, value, scene.theirs) == "signature_invalid"

    assert scene.theirs.signed_in() == (0, 0)


def test_answer_to_another_organisation_s_request_is_refused(scene: Scene) -> None:
    scene.ask(OTHER_REQUEST, scene.theirs)
    answer = sign(response(assertion().replace(REQUEST, OTHER_REQUEST), answers=OTHER_REQUEST), ASSERTION)

    assert log_in(scene, coded(answer)) == "in_response_to_mismatch"

    assert scene.ours.signed_in() == (0, 0)


def test_provider_does_not_vouch_for_another_organisation_s_domain(scene: Scene) -> None:
    value = named("cross_organisation", "mail-of-the-others-domain.xml")

    assert log_in(scene, value) == "domain_not_verified"

    assert (scene.ours.signed_in(), scene.theirs.signed_in()) == ((0, 0), (0, 0))
