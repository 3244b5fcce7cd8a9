"""Signing in, from the first address to the session: response, state and the exact list of events."""

import base64
import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from werkzeug.test import TestResponse

from audit.body import EventBody
from directory.changes import Change, DeactivateUser, PutDirectory, PutUser, SetBlock, SetPlan
from directory.facts import UserFacts
from directory.ids import DirectoryId, ExternalId
from directory.sso_changes import DenyLogin, RemoveConnection
from saml import names
from service.log_reading import show_event
from tests.journeys.shell import Shell
from tests.journeys.sso_scene import BACK, BASE, OWNER, Browser, Organisation, Scene, read_form
from tests.saml_forge.keys import ATTACKER, SP

REFERENCE = re.compile(r"<code>([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})</code>")
ANNA = "anna@example.org"


def assert_refused(organisation: Organisation, answer: TestResponse, reason: str) -> None:
    """The one page, no session, and one event that is found by the page's reference."""
    (body,) = organisation.news()
    assert "reason" in body
    assert "changes" in body
    assert (body["action"], body["outcome"], reason_of(body)) == (
        "sso.login_denied",
        "denied",
        reason,
    )
    told = {change["path"]: change["after"] for change in body["changes"]}
    assert_page(answer, str(told["reference"]))
    assert organisation.sessions == []


def reason_of(body: EventBody) -> str:
    return body["reason"]["code"] if "reason" in body else ""


def assert_page(answer: TestResponse, reference: str = "") -> None:
    text = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "usher_session" not in answer.headers.get("Set-Cookie", "")
    found = REFERENCE.search(text)
    assert found is not None
    assert reference in {"", found[1]}
    assert "<saml" not in text
    assert "&lt;saml" not in text


# Who it is


def test_a_new_person_of_a_verified_domain_is_made_and_signed_in(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()

    asked = ours.begin(browser, f"?return={quote(BACK)}")
    answer = ours.answer(browser, asked)

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{BASE}{BACK}")
    (session,) = ours.sessions
    assert session.member_id == ours.member(ANNA)
    assert session.expires_at == either_scene.clock() + timedelta(hours=12)
    assert (session.address, session.session_index) == ("192.0.2.1", "_index-1")
    assert "You are signed in" in browser.get("/sso/login").get_data(as_text=True)
    assert ours.actions() == [
        "user.created",
        "group.created",
        "member.created",
        "group.member_added",
        "member.linked",
        "role.granted",
        "seat.assigned",
        "sso.login",
    ]


def test_who_has_signed_in_before_is_known_by_the_link_alone(either_scene: Scene) -> None:
    ours = either_scene.ours
    ours.sign_in(either_scene.browser())
    ours.news()

    answer = ours.sign_in(either_scene.browser())

    assert answer.status_code == 303
    assert ours.actions() == ["sso.login"]


def test_a_member_is_linked_by_the_mail_of_a_verified_domain(either_scene: Scene) -> None:
    ours = either_scene.ours

    answer = ours.sign_in(either_scene.browser(), OWNER, name_id="persistent-7")

    assert answer.status_code == 303
    assert [session.member_id for session in ours.sessions] == [ours.member(OWNER)]
    assert ours.actions() == ["member.linked", "sso.login"]


def add_directory(ours: Organisation, name: str, *changes: Change, is_paused: bool = False) -> DirectoryId:
    wiring = ours.scene.wiring
    directory_id = DirectoryId(wiring.mint.id())
    ours.do(PutDirectory(directory_id, "ldap", name, {"paused": is_paused}))
    if changes:
        ours.administration.apply(changes, directory_id=directory_id)
    ours.news()
    return directory_id


def test_a_member_is_linked_by_the_external_id_that_a_directory_gave(either_scene: Scene) -> None:
    ours = either_scene.ours
    facts = UserFacts(ExternalId("entry-1"), "anna", "Anna Berg", mails=("anna@elsewhere.example",))
    add_directory(ours, "hq", PutUser(facts))

    answer = ours.sign_in(either_scene.browser(), "other@example.org", name_id="entry-1")

    assert answer.status_code == 303
    assert [session.member_id for session in ours.sessions] == [ours.member("anna@elsewhere.example")]
    assert ours.actions() == ["member.linked", "sso.login"]


def test_while_a_directory_says_who_the_people_are_nobody_is_made(scene: Scene) -> None:
    ours = scene.ours
    add_directory(ours, "hq")

    answer = ours.sign_in(scene.browser())

    assert_refused(ours, answer, "no_member")


def test_an_address_of_another_domain_is_not_taken_from_the_provider(scene: Scene) -> None:
    assert_refused(scene.ours, scene.ours.sign_in(scene.browser(), "vera@example.net"), "domain_not_verified")


def test_two_addresses_are_nobody_s(scene: Scene) -> None:
    values = {"email": (ANNA, OWNER)}

    answer = scene.ours.sign_in(scene.browser(), values=values)

    assert_refused(scene.ours, answer, "identity_ambiguous")


def test_without_a_seat_nobody_is_made(scene: Scene) -> None:
    ours = scene.ours
    ours.do(SetPlan("Pro", seat_limit=1))
    ours.news()

    answer = ours.sign_in(scene.browser())

    assert_page(answer)
    assert ours.sessions == []
    assert ours.actions() == ["seat.denied", "sso.login_denied"]


def test_who_is_blocked_is_not_let_in(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    ours.sign_in(browser)
    ours.do(SetBlock(ours.member(ANNA), "left"))
    ours.news()

    assert_refused(ours, ours.sign_in(browser), "member_blocked")


# The end of a session


def test_a_deactivation_ends_the_sessions_in_its_own_transaction(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()
    facts = UserFacts(ExternalId("entry-1"), "anna", "Anna Berg", mails=(ANNA,))
    directory_id = add_directory(ours, "hq", PutUser(facts))
    assert ours.sign_in(browser).status_code == 303
    ours.news()

    ours.administration.apply([DeactivateUser(ExternalId("entry-1"))], directory_id=directory_id)

    assert ours.sessions == []
    user, member = ours.news()
    assert (user["action"], member["action"]) == ("user.deactivated", "member.deactivated")
    assert {"path": "sessions_ended", "before": None, "after": 1} in member.get("changes", [])
    assert "You are signed in" not in browser.get("/sso/login").get_data(as_text=True)
    assert_refused(ours, ours.sign_in(browser), "member_deactivated")


def test_a_session_ends_with_the_provider_s(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()

    ours.sign_in(browser, session_ends=scene.clock() + timedelta(minutes=20))

    (session,) = ours.sessions
    assert session.expires_at == scene.clock() + timedelta(minutes=20)
    scene.clock.move(minutes=20)
    assert "You are signed in" not in browser.get("/sso/login").get_data(as_text=True)


def test_a_provider_s_session_that_ends_within_the_skew_is_still_one(scene: Scene) -> None:
    ours = scene.ours

    answer = ours.sign_in(scene.browser(), session_ends=scene.clock() - timedelta(seconds=30))

    assert answer.status_code == 303
    assert ours.sessions[0].expires_at == scene.clock() + timedelta(seconds=90)


def test_a_session_that_is_not_used_is_over(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    ours.sign_in(browser)

    scene.clock.move(minutes=59)
    assert "You are signed in" in browser.get("/sso/login").get_data(as_text=True)
    scene.clock.move(minutes=60)
    assert "You are signed in" not in browser.get("/sso/login").get_data(as_text=True)


def test_who_signs_in_again_gets_another_session_and_the_former_one_ends(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    ours.sign_in(browser)
    former = browser.token
    ours.news()

    ours.sign_in(browser, index="_index-2")

    assert browser.token not in {"", former}
    assert [session.session_index for session in ours.sessions] == ["_index-2"]
    bodies = ours.news()
    assert [body["action"] for body in bodies] == ["sso.login", "sso.logout"]
    assert reason_of(bodies[1]) == "replaced"


# Once, here, and by whom it was asked for


def test_a_response_is_good_once(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()
    asked = ours.begin(browser)
    value = ours.response(asked)
    ours.answer(browser, asked, value=value)
    ours.news()

    again = ours.answer(browser, asked, value=value)

    assert_page(again)
    assert [(body["action"], reason_of(body)) for body in ours.news()] == [("sso.login_denied", "replayed")]
    assert len(ours.sessions) == 1


def test_a_response_is_not_good_again_after_a_restart(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()
    asked = ours.begin(browser)
    value = ours.response(asked)
    ours.answer(browser, asked, value=value)
    ours.news()

    with either_scene.restarted() as later:
        cookie = browser.client.get_cookie("__Host-usher_login", domain="usher.example")
        assert cookie is not None
        later.client.set_cookie("__Host-usher_login", cookie.value, domain="usher.example", secure=True)
        again = ours.answer(later, asked, value=value)

    assert_page(again)
    assert [reason_of(body) for body in ours.news()] == ["replayed"]


def test_a_right_response_in_another_browser_signs_nobody_in(either_scene: Scene) -> None:
    ours, attacker, victim = either_scene.ours, either_scene.browser(), either_scene.browser("192.0.2.9")
    asked = ours.begin(attacker)
    value = ours.response(asked)

    assert_refused(ours, ours.answer(victim, asked, value=value), "browser_mismatch")
    ours.begin(victim)
    assert_refused(ours, ours.answer(victim, asked, value=value), "browser_mismatch")

    assert ours.answer(attacker, asked, value=value).status_code == 303


def test_two_windows_of_a_browser_do_not_disturb_each_other(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    first, second = ours.begin(browser), ours.begin(browser)

    assert ours.answer(browser, second).status_code == 303
    assert ours.answer(browser, first).status_code == 303


def test_a_request_is_not_good_for_ever(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = ours.begin(browser)

    scene.clock.move(minutes=15)

    assert_refused(ours, ours.answer(browser, asked), "expired")


def test_a_response_of_another_organisation_is_none_here(either_scene: Scene) -> None:
    ours, theirs, browser = either_scene.ours, either_scene.theirs, either_scene.browser()
    asked = theirs.begin(browser)
    value = theirs.response(asked, "vera@example.net")

    answer = ours.answer(browser, asked, value=value)

    assert_refused(ours, answer, "signature_invalid")
    assert theirs.news() == []
    assert theirs.sessions == []


def test_a_request_of_another_organisation_is_none_of_ours(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = scene.theirs.begin(browser)

    assert_refused(ours, ours.answer(browser, asked), "in_response_to_mismatch")


def test_a_response_with_another_key_beside_it_is_refused(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = ours.begin(browser)

    assert_refused(ours, ours.answer(browser, asked, relay_state="another"), "relay_state_refused")
    assert ours.answer(browser, asked, relay_state="").status_code == 303


def test_what_is_signed_by_nobody_we_know_is_refused(scene: Scene) -> None:
    assert_refused(scene.ours, scene.ours.sign_in(scene.browser(), key=ATTACKER), "signature_invalid")


# Logins that begin at the provider


def test_a_login_that_nobody_asked_for_is_refused(scene: Scene) -> None:
    assert_refused(scene.ours, scene.ours.answer(scene.browser(), None), "unsolicited")


def test_a_login_that_the_provider_begins_is_taken_where_that_is_switched_on(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()
    ours.set(idp_initiated=True, initiated_targets="https://app.example.com/start")
    value = ours.response(None)

    listed = ours.answer(browser, None, value=value, relay_state="https://app.example.com/start")
    again = ours.answer(browser, None, value=value, relay_state="https://app.example.com/start")
    plain = ours.answer(browser, None)

    assert (listed.status_code, listed.headers["Location"]) == (303, "https://app.example.com/start")
    assert again.status_code == 400
    assert (plain.status_code, plain.headers["Location"]) == (303, f"{BASE}/sso/login")


def test_a_login_that_the_provider_begins_leads_to_listed_addresses_only(scene: Scene) -> None:
    ours = scene.ours
    ours.set(idp_initiated=True, initiated_targets="https://app.example.com/start")

    answer = ours.answer(scene.browser(), None, relay_state="https://app.example.com/start/../evil")

    assert_refused(ours, answer, "relay_state_refused")


def test_a_login_that_the_provider_began_long_ago_is_refused(scene: Scene) -> None:
    ours = scene.ours
    ours.set(idp_initiated=True)
    value = ours.response(None)
    scene.clock.move(minutes=8)

    assert_refused(ours, ours.answer(scene.browser(), None, value=value), "expired")


# What goes out


def test_a_request_says_who_asks_and_where_the_answer_goes(scene: Scene) -> None:
    ours = scene.ours

    asked = ours.begin(scene.browser())

    assert asked.document.get("AssertionConsumerServiceURL") == f"{ours.url}/acs"
    assert asked.document.find(names.ISSUER).text == f"{ours.url}/metadata"
    assert asked.document.get("ForceAuthn") is None
    assert asked.document.find(f"{{{names.SAMLP}}}RequestedAuthnContext") is None
    assert "Signature" not in asked.query
    assert "http" not in asked.relay_state


def test_a_request_is_signed_where_that_is_asked_for(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    ours.set(sign_requests=True)

    location = browser.get(f"{ours.path}/login").headers["Location"]

    signed, _, signature = location.partition("?")[2].rpartition("&Signature=")
    public = x509.load_der_x509_certificate(SP.certificate).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    value = base64.b64decode(signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="))
    public.verify(value, signed.encode(), padding.PKCS1v15(), hashes.SHA256())


def test_a_request_can_go_by_a_form_that_posts_itself(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    ours.set(sso_binding="post", sign_requests=True, requested_authn_context="urn:one urn:two")

    page = browser.get(f"{ours.path}/login")
    action, fields = read_form(page)

    document = base64.b64decode(fields["SAMLRequest"])
    assert (page.status_code, action) == (200, "https://idp.example.org/sso")
    assert b"SignatureValue" in document
    assert b"urn:one" in document
    assert "RelayState" in fields
    assert "<script src=" in page.get_data(as_text=True)
    assert "form-action" not in page.headers["Content-Security-Policy"]


def test_a_fresh_login_is_asked_for_and_an_old_one_is_not_taken_for_it(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = ours.begin(browser, "?fresh=1")

    assert asked.document.get("ForceAuthn") == "true"
    earlier = scene.clock() - timedelta(minutes=5)
    assert_refused(ours, ours.answer(browser, asked, signed_in_at=earlier), "authn_too_old")
    assert ours.answer(browser, asked).status_code == 303
    ours.sign_in(browser, signed_in_at=earlier)
    assert len(ours.sessions) == 1


@pytest.mark.parametrize("settings", [{"disabled": True}, {"sso_url": "", "idp_entity_id": ""}])
def test_a_draft_signs_nobody_in(scene: Scene, settings: dict[str, str | bool]) -> None:
    ours, browser = scene.ours, scene.browser()
    asked = ours.begin(browser)
    ours.set(**settings)

    assert_refused(ours, browser.get(f"{ours.path}/login"), "connection_disabled")
    assert ours.answer(browser, asked).status_code == 400


def test_a_connection_that_was_removed_is_told_by_its_organisation_alone(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()
    ours.do(RemoveConnection(ours.connection_id))
    ours.news()

    assert_refused(ours, browser.get(f"{ours.path}/login"), "connection_unknown")


def test_metadata_is_there_for_the_provider(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()

    answer = browser.get(f"{ours.path}/metadata")

    assert answer.status_code == 200
    assert answer.mimetype == "application/samlmetadata+xml"
    assert f'entityID="{ours.url}/metadata"' in answer.get_data(as_text=True)
    assert SP.certificate_text[:60] in re.sub(r"\s", "", answer.get_data(as_text=True))


# Floods


def post_junk(ours: Organisation, browser: Browser, times: int) -> list[TestResponse]:
    return [browser.post(f"{ours.path}/acs", {"SAMLResponse": "%"}) for _ in range(times)]


def test_a_stranger_cannot_fill_the_log(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()

    answers = post_junk(ours, browser, 50)
    written = ours.news()
    scene.clock.move(minutes=1)
    post_junk(ours, scene.browser("192.0.2.77"), 1)

    assert {answer.status_code for answer in answers} == {400}
    assert [reason_of(body) for body in written] == ["malformed"] * 5
    shown = REFERENCE.search(answers[-1].get_data(as_text=True))
    assert shown is not None
    summary, single = ours.news()
    assert summary.get("reason") == {"code": "malformed", "numbers": {"folded": 45}}
    assert summary.get("changes", [])[0]["after"] == shown[1]
    assert single.get("reason") == {"code": "malformed"}


def test_many_strangers_cannot_fill_it_either(scene: Scene) -> None:
    ours = scene.ours

    for number in range(120):
        post_junk(ours, scene.browser(f"2001:db8:{number:x}::1"), 1)

    assert len(ours.news()) == 105


def test_an_address_that_sends_without_end_is_no_longer_read(scene: Scene) -> None:
    ours, browser = scene.ours, scene.browser()

    post_junk(ours, browser, 130)

    assert reason_of(ours.news()[-1]) == "rate_limited"
    assert_page(browser.post(f"{ours.path}/slo", {}))
    begun = [browser.get(f"{ours.path}/login") for _ in range(130)]
    assert_page(begun[-1])
    assert ours.sign_in(scene.browser("192.0.2.2")).status_code == 303


def test_an_administrator_finds_the_cause_by_the_reference(scene: Scene) -> None:
    ours, shell = scene.ours, Shell(scene.folder)
    answer = ours.sign_in(scene.browser(), audience="https://elsewhere.example")
    shown = REFERENCE.search(answer.get_data(as_text=True))
    assert shown is not None

    told = shell.answer("audit", "show", shown[1].lower(), "--organisation", "Acme")

    assert "Denied, audience_mismatch (check audience)" in told
    assert "was not let in over connection 'Acme ID'" in told
    assert shown[1] in told
    assert "there is no event" in shell.fail(1, "audit", "show", "AAAA-AAAA-AAAA", "--organisation", "Acme")


def test_it_is_found_behind_however_many_others(scene: Scene) -> None:
    ours = scene.ours
    first = ours.sign_in(scene.browser(), audience="https://elsewhere.example")
    denials = [DenyLogin(ours.connection_id, "expired", f"R{number}") for number in range(1000)]
    ours.do(*denials)
    shown = REFERENCE.search(first.get_data(as_text=True))
    assert shown is not None

    read = show_event(ours.administration, shown[1])

    assert reason_of(read.event) == "audience_mismatch"
