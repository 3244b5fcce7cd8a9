"""The authorization endpoint: who is led where, and who is not."""

import string
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.authorization import SINCE
from service.environments import load_environment
from service.files import shipped_catalogue
from tests.api.scene import CALLBACK, CHALLENGE, ISSUER, Scene, led, refused, sent_to_login
from tests.service.worlds import OPERATOR
from web.return_paths import is_return_path


def fault(answer: object) -> str:
    """The error that the application is told."""
    return led(answer)["error"]  # type: ignore[arg-type]  # a response


def test_who_is_signed_in_is_led_back_with_a_code_state_and_our_name(scene: Scene) -> None:
    answer = scene.authorize(scene.sign_in())

    found = led(answer)
    assert found.keys() == {"code", "state", "iss"}
    assert found["state"] == "st&te=1"
    assert found["iss"] == ISSUER
    assert len(found["code"]) == 43


def test_a_posted_request_is_the_same(scene: Scene) -> None:
    assert led(scene.authorize(scene.sign_in(), "POST")).keys() == {"code", "state", "iss"}


def test_without_state_none_comes_back(scene: Scene) -> None:
    assert led(scene.authorize(scene.sign_in(), "GET", ("state",))).keys() == {"code", "iss"}


def test_who_is_not_signed_in_signs_in_and_comes_back_with_the_same_request(scene: Scene) -> None:
    asked = sent_to_login(scene.authorize("x" * 43))

    assert asked.keys() == {"return"}
    back = asked["return"]
    assert is_return_path(back)
    answer = scene.http.get(back, headers={"Cookie": f"usher_session={scene.sign_in()}"})
    assert led(answer)["state"] == "st&te=1"


@pytest.mark.parametrize(
    "uri",
    [
        f"{CALLBACK}/",
        f"{CALLBACK}?x=1",
        f"{CALLBACK}#x",
        CALLBACK.upper(),
        CALLBACK.replace("https", "http"),
        "https://app.example.evil.example/callback",
        "https://app.example@evil.example/callback",
        "//evil.example/callback",
        "javascript:alert(1)",
        'https://app.example/call"back',
        "https://app.example/callbäck",
        "https://app.example/call\\back",
        "",
    ],
)
def test_nobody_is_led_to_an_address_that_is_not_registered(scene: Scene, uri: str) -> None:
    cookie = scene.sign_in()
    for drop in ((), ("response_type",), ("code_challenge",)):
        assert refused(scene.authorize(cookie, "GET", drop, redirect_uri=uri)) == "invalid_request"
        assert refused(scene.authorize("", "GET", drop, redirect_uri=uri, prompt="none")) == "invalid_request"


@pytest.mark.parametrize("client_id", ["", "unknown", 'quo"te', "nul\x00", "c" * 65])
def test_an_unknown_application_is_told_in_place(scene: Scene, client_id: str) -> None:
    assert refused(scene.authorize(scene.sign_in(), client_id=client_id)) == "invalid_request"


def test_another_applications_address_is_not_this_ones(scene: Scene) -> None:
    scene.register("Other", redirect_uris=["https://other.example/cb"])

    answer = scene.authorize(scene.sign_in(), redirect_uri="https://other.example/cb")

    assert refused(answer) == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": 'co"de'}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": ""}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "c" * 44}, "invalid_request"),
        ({"code_challenge": "ä" * 43}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "٣"}, "invalid_request"),
        ({"nonce": "n" * 513}, "invalid_request"),
        ({"nonce": "nul\x00"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://app.example/r"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"id_token_hint": "no.such.token"}, "invalid_request"),
    ],
)
def test_a_faulty_request_is_told_to_the_application(
    scene: Scene, changes: dict[str, str], error: str
) -> None:
    found = led(scene.authorize(scene.sign_in(), **changes))

    assert found["error"] == error
    assert found["iss"] == ISSUER
    assert "code" not in found
    assert found.get("state", "st&te=1") == "st&te=1"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope", "nonce", "anything"])
def test_a_parameter_stands_there_once(scene: Scene, name: str) -> None:
    query = {
        "response_type": "code",
        "client_id": scene.client.client_id,
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    doubled = urlencode([*query.items(), (name, query.get(name, "a")), (name, "b")])

    answer = scene.send("GET", "/oidc/authorize", doubled, token=scene.sign_in())

    if name in {"client_id", "redirect_uri"}:
        assert refused(answer) == "invalid_request"
    else:
        assert fault(answer) == "invalid_request"


def test_a_request_that_a_login_cannot_lead_back_to_is_refused(scene: Scene) -> None:
    assert fault(scene.authorize(state="ä" * 2000)) == "invalid_request"


def test_prompt_none_never_asks_anybody(scene: Scene) -> None:
    assert fault(scene.authorize(prompt="none")) == "login_required"

    assert "code" in led(scene.authorize(scene.sign_in(), prompt="none"))


def test_another_environments_application_gets_no_login_of_this_one(scene: Scene) -> None:
    load_environment(
        shipped_catalogue("minikai") or "", source="minikai.yaml", wiring=scene.wiring, actor=OPERATOR
    )
    other, _ = scene.register("Elsewhere", environment="minikai")
    cookie = scene.sign_in()

    assert fault(scene.authorize(cookie, client_id=other.client_id)) == "access_denied"
    assert fault(scene.authorize(cookie, client_id=other.client_id, prompt="none")) == "access_denied"


# Signing in anew


@pytest.mark.parametrize("prompt", ["login", "select_account", "login consent"])
def test_prompt_login_has_the_person_sign_in_anew_once(scene: Scene, prompt: str) -> None:
    asked = sent_to_login(scene.authorize(scene.sign_in(), prompt=prompt))
    assert asked["fresh"] == "1"
    scene.clock.advance(seconds=30)

    answer = scene.http.get(asked["return"], headers={"Cookie": f"usher_session={scene.sign_in()}"})

    assert "code" in led(answer)


def test_who_comes_back_by_an_old_login_is_not_taken_for_new(scene: Scene) -> None:
    asked = sent_to_login(scene.authorize(scene.sign_in(), prompt="login"))
    scene.clock.advance(seconds=30)
    cookie = scene.sign_in(auth_time=scene.clock() - timedelta(hours=2))

    answer = scene.http.get(asked["return"], headers={"Cookie": f"usher_session={cookie}"})

    assert fault(answer) == "login_required"


def test_who_comes_back_without_signing_in_is_asked_again(scene: Scene) -> None:
    cookie = scene.sign_in()
    scene.clock.advance(seconds=30)
    asked = sent_to_login(scene.authorize(cookie, prompt="login"))
    scene.clock.advance(seconds=30)

    answer = scene.http.get(asked["return"], headers={"Cookie": f"usher_session={cookie}"})

    assert sent_to_login(answer)["fresh"] == "1"


def test_who_is_not_signed_in_at_all_signs_in_anew_for_prompt_login(scene: Scene) -> None:
    assert sent_to_login(scene.authorize(prompt="login"))["fresh"] == "1"


@pytest.mark.parametrize("since", ["soon", "99999999999999999999", "٣", "0"])
def test_a_mark_that_is_not_of_this_hour_marks_nothing(scene: Scene, since: str) -> None:
    answer = scene.authorize(scene.sign_in(), prompt="login", **{SINCE: since})

    assert sent_to_login(answer)["fresh"] == "1"


def test_a_login_older_than_max_age_is_not_enough(scene: Scene) -> None:
    cookie = scene.sign_in(auth_time=scene.clock() - timedelta(minutes=10))

    assert "code" in led(scene.authorize(cookie, max_age="601"))
    assert sent_to_login(scene.authorize(cookie, max_age="599"))["fresh"] == "1"
    assert fault(scene.authorize(cookie, max_age="599", prompt="none")) == "login_required"


def test_max_age_zero_has_everybody_sign_in_once(scene: Scene) -> None:
    cookie = scene.sign_in()
    scene.clock.advance(seconds=1)
    asked = sent_to_login(scene.authorize(cookie, max_age="0"))
    scene.clock.advance(seconds=20)

    answer = scene.http.get(asked["return"], headers={"Cookie": f"usher_session={scene.sign_in()}"})

    assert "code" in led(answer)


def test_a_hint_of_somebody_else_is_not_answered_with_this_person(scene: Scene) -> None:
    anna = scene.sign_in("anna")
    hint = scene.tokens(anna)["id_token"]

    assert "code" in led(scene.authorize(anna, id_token_hint=hint))
    assert fault(scene.authorize(scene.sign_in("ben"), id_token_hint=hint)) == "login_required"


def test_only_known_scopes_are_given(scene: Scene) -> None:
    tokens = scene.tokens(scene.sign_in(), scope="nonsense profile openid")

    assert tokens["scope"] == "openid profile"


_TEXTS = st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from(string.printable), max_size=30)


_NAMES = (
    "state nonce scope prompt max_age response_type response_mode redirect_uri client_id request id_token_hint "
    f"code_challenge code_challenge_method {SINCE}"
).split()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(_NAMES), text=_TEXTS, method=st.sampled_from(["GET", "POST"]))
def test_no_text_leads_anybody_astray(scene: Scene, name: str, text: str, method: str) -> None:
    cookie = scene.sign_in()

    answer = scene.authorize(cookie, method, **{name: text})

    where = answer.headers.get("Location", "")
    assert answer.status_code in {302, 303, 400, 429}
    assert not where or where.startswith((f"{CALLBACK}?", f"{ISSUER}/sso/login?"))
    if "error_description" in where:
        (said,) = parse_qs(urlsplit(where).query)["error_description"]
        assert said.isascii()
        assert not {'"', "\\"} & set(said)
