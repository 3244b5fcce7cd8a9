"""The page of the record as a browser without scripts has it: who may open it, and what it shows."""

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask.testing import FlaskClient
from lxml import html

from audit.body import EventBody
from directory.audit_token_changes import RevokeAuditToken
from directory.changes import AddDomain, EndOverride, PutScope, SetOverride, SetSettings
from directory.ids import OverrideId, RoleId, ScopeId
from provisioning.ports import EventQuery
from service.administration import Administration
from service.app import create_app
from service.audit_tokens import IssuedAuditToken, issue_audit_token
from service.environments import load_environment
from service.files import shipped_catalogue
from service.runs import claim_directory, run_claimed
from tests.journeys.sso_scene import BASE, OPERATOR, OWNER, Browser, Organisation, Scene, read_form
from tests.sealed import seal_log
from tests.service.worlds import HandClock, small_world

ANNA = "anna@example.org"
PAGE = "/console/audit"


def issue(organisation: Organisation, *, days: int = 90) -> IssuedAuditToken:
    ends = organisation.scene.clock() + timedelta(days=days)
    return issue_audit_token(organisation.administration, name="Auditor EY", expires_at=ends)


def enter(browser: Browser, text: str, **said: object) -> int:
    return browser.post(f"{PAGE}/sign-in", {"token": text}, **said).status_code


@pytest.fixture
def owner(either_scene: Scene) -> Browser:
    """Our owner's browser."""
    browser = either_scene.browser()
    either_scene.ours.sign_in(browser, OWNER)
    return browser


@pytest.fixture
def auditor(scene: Scene) -> Browser:
    """A browser at which a token of ours was typed."""
    browser = scene.browser()
    assert enter(browser, issue(scene.ours).text) == 303
    return browser


def said(event: EventBody) -> dict[str, object]:
    return {change["path"]: change["after"] for change in event.get("changes", ())}


def links(text: str) -> list[str]:
    return [str(one) for one in html.document_fromstring(text).xpath("//a/@href")]


# Who may


def test_whom_the_access_engine_allows_reads_and_others_are_refused_on_the_record(
    either_scene: Scene,
) -> None:
    ours = either_scene.ours
    browser = either_scene.browser()
    ours.sign_in(browser, ANNA)
    anna = ours.member(ANNA)
    with ours.administration.read() as reader:
        root = reader.organisation().root_scope_id
    unit = ScopeId(either_scene.wiring.mint.id())
    ours.do(PutScope(unit, "location", "Göteborg", "gbg", (root,)))
    ours.news()

    assert browser.get(PAGE).status_code == 403
    (denied,) = ours.news()
    assert (denied["action"], denied["outcome"]) == ("log.read", "denied")
    assert denied["actor"]["id"] == anna
    assert denied["reason"]["code"] == "needs_organisation" or denied["reason"]["code"] == "no_grant"

    def hold(role: str, scope: ScopeId) -> int:
        with ours.administration.read() as reader:
            known = reader.override_of(anna)
        if known is not None:
            ours.do(EndOverride(known.override_id))
        ends = either_scene.clock() + timedelta(days=1)
        override_id = OverrideId(either_scene.wiring.mint.id())
        ours.do(SetOverride(override_id, anna, ((RoleId(role), scope),), "test", ends))
        return browser.get(PAGE).status_code

    assert hold("Admin", unit) == 403
    assert hold("Member", root) == 403
    assert hold("auditor", root) == 200
    assert hold("Admin", root) == 200


def test_where_the_catalogue_names_no_permission_the_owner_alone_reads(scene: Scene) -> None:
    text = (shipped_catalogue("minut") or "").replace("audit_permission: audit_log.read\n", "")
    load_environment(text, source="minut.yaml", wiring=scene.wiring, actor=OPERATOR)
    ours = scene.ours
    owner, anna = scene.browser(), scene.browser()
    ours.sign_in(owner, OWNER)
    ours.sign_in(anna, ANNA)
    with ours.administration.read() as reader:
        root = reader.organisation().root_scope_id
    ends = scene.clock() + timedelta(days=1)
    ours.do(
        SetOverride(
            OverrideId(scene.wiring.mint.id()), ours.member(ANNA), ((RoleId("Admin"), root),), "test", ends
        )
    )

    assert (owner.get(PAGE).status_code, anna.get(PAGE).status_code) == (200, 403)


def test_a_login_leads_back_to_the_address_that_was_asked_for(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()
    wanted = f"{PAGE}?action=sso.&order=oldest"

    asked = browser.get(wanted)
    (home,) = [link for link in links(asked.text) if "/sso/login" in link]
    action, fields = read_form(browser.get(home))
    begun = browser.post(action, {**fields, "email": OWNER})
    query = urlsplit(begun.headers["Location"]).query
    answer = ours.answer(browser, ours.begin(browser, f"?{query}"), OWNER)

    assert asked.status_code == 401
    assert answer.headers["Location"] == f"{BASE}{wanted}"
    assert browser.get(wanted).status_code == 200


def test_a_token_is_exchanged_for_an_hour_of_one_browser(either_scene: Scene) -> None:
    ours, browser = either_scene.ours, either_scene.browser()
    issued = issue(ours)
    ours.news()

    answer = browser.post(f"{PAGE}/sign-in", {"token": f" {issued.text} "})

    cookie = answer.headers["Set-Cookie"]
    assert answer.headers["Location"] == PAGE
    assert cookie.startswith("__Host-usher_audit=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Max-Age=3600", "Path=/"} <= set(cookie.split("; "))
    assert issued.text not in cookie
    page = browser.get(PAGE)
    assert (page.status_code, "Auditor EY reads" in page.text) == (200, True)
    (opened, read) = ours.news()
    assert [said(one)["query"] for one in (opened, read)] == ["sign-in", "list"]
    either_scene.clock.move(minutes=61)
    assert browser.get(PAGE).status_code == 401


@pytest.mark.parametrize("how", ["revoked", "closed", "ended"])
def test_a_page_is_closed_with_its_token_and_by_hand(scene: Scene, how: str) -> None:
    browser, issued = scene.browser(), issue(scene.ours)
    assert enter(browser, issued.text) == 303
    held = browser.client.get_cookie("__Host-usher_audit", domain="usher.example")
    assert held is not None

    if how == "revoked":
        scene.ours.do(RevokeAuditToken(issued.token.token_id))
    elif how == "closed":
        assert browser.post(f"{PAGE}/sign-out", {}).headers["Location"] == f"{PAGE}/sign-in"
    else:
        browser.client.delete_cookie("__Host-usher_audit", domain="usher.example")

    assert browser.get(PAGE).status_code == 401
    if how == "closed":
        browser.client.set_cookie("__Host-usher_audit", held.value, domain="usher.example", secure=True)
        assert browser.get(PAGE).status_code == 401


def test_what_is_no_good_token_is_told_alike_and_not_tried_for_ever(scene: Scene) -> None:
    revoked = issue(scene.ours)
    scene.ours.do(RevokeAuditToken(revoked.token.token_id))
    texts = ["", "x", revoked.text, revoked.text[:-1], "ü" * 90, "x" * 9000]

    browser = scene.browser()
    answers = [browser.post(f"{PAGE}/sign-in", {"token": text}) for text in texts]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    odd = [b"token=a&token=b", b"&".join(b"a=b" for _ in range(9)), b""]
    assert {browser.post(f"{PAGE}/sign-in", body).status_code for body in odd} == {401}
    good = issue(scene.ours)
    statuses = [enter(browser, good.text) for _ in range(3)]
    assert statuses[-1] == 429
    assert enter(scene.browser("198.51.100.7"), good.text) == 303


def test_another_sites_form_neither_opens_nor_closes_the_page(scene: Scene, auditor: Browser) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site"}

    assert enter(scene.browser(), issue(scene.ours).text, headers=elsewhere) == 400
    auditor.post(f"{PAGE}/sign-out", {}, headers=elsewhere)
    assert auditor.get(PAGE).status_code == 200


def test_a_session_of_another_organisation_shows_that_ones_record(either_scene: Scene) -> None:
    ours, theirs = either_scene.ours, either_scene.theirs
    browser = either_scene.browser()
    theirs.sign_in(browser, "olivia@example.net")
    ours.do(AddDomain("canary-domain.example"))
    with ours.administration.read() as reader:
        rows = list(reader.events(EventQuery(newest_first=True, limit=1)))
    event_id = re.findall(rb'"id":"([0-9a-f-]{36})","organisation"', rows[0][1])[0].decode()
    ours.news()

    page = browser.get(PAGE)

    assert "Record of Other" in page.text
    assert "canary-domain" not in page.text
    for path in (f"{PAGE}/events/{event_id}", f"{PAGE}/events/{event_id}/proof"):
        assert browser.get(path).status_code == 404
    assert b"canary-domain" not in browser.get(f"{PAGE}/export?format=jsonl").data
    assert "canary-domain" not in browser.get(f"{PAGE}/reports/configuration").text
    assert ours.news() == []


# What it shows


def test_every_page_has_the_strict_policy_and_no_script_of_its_own(owner: Browser) -> None:
    first = re.search(r'href="(/console/audit/events/[0-9a-f-]{36})"', owner.get(PAGE).text)
    assert first is not None

    for path in (PAGE, first[1], f"{PAGE}/reports/orphans", f"{PAGE}/sign-in", f"{PAGE}?limit=x"):
        answer = owner.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'"), path
        assert "unsafe" not in policy
        assert "form-action 'self'" in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<script>" not in answer.text
        assert " style=" not in answer.text
        assert not re.search(r" on[a-z]+=", answer.text)


def test_a_value_that_is_clicked_filters_and_the_address_holds_all(owner: Browser) -> None:
    page = html.document_fromstring(owner.get(f"{PAGE}?since=1h").text)
    chip = page.xpath("//a[@class='chip'][contains(., 'sso.login')]/@href")[0]

    narrowed = owner.get(chip)

    assert parse_qs(urlsplit(chip).query) == {"since": ["1h"], "action": ["sso.login"]}
    assert narrowed.text.count('class="event ') == 1
    document = html.document_fromstring(narrowed.text)
    (without,) = document.xpath("//a[starts-with(@aria-label, 'Take away the filter action')]/@href")
    assert parse_qs(urlsplit(without).query) == {"since": ["1h"]}
    assert document.xpath("//input[@name='action']/@value") == ["sso.login"]
    (export,) = document.xpath("//a[contains(@href, 'format=csv')]/@href")
    exported = owner.get(export)
    assert exported.data.count(b"sso.login") >= 1
    assert b"domain.added" not in exported.data


def test_an_event_its_causes_and_its_proof_have_addresses_of_their_own(
    owner: Browser, either_scene: Scene
) -> None:
    seal_log(either_scene.wiring, either_scene.ours.administration.organisation_id)
    page = html.document_fromstring(owner.get(f"{PAGE}?action=seat.assigned").text)
    (event,) = page.xpath("//p[@class='sentence']/a/@href")
    (proof,) = page.xpath("//a[@class='seal']/@href")

    told, proven = owner.get(event).text, owner.get(proof).text

    assert "It followed from" in told
    assert all(owner.get(link).status_code == 200 for link in links(told) if "/events/" in link)
    for words in ("usher.example/audit/", "verifier.py", "Leaf hash", "The path:", "tree of all checkpoints"):
        assert words in proven
    assert owner.get(f"{proof}?size=999").status_code == 409
    assert owner.get(f"{proof}?size=x").status_code == 400


def test_pages_are_turned_by_where_the_last_one_ended(owner: Browser) -> None:
    seen: list[str] = []
    following = [f"{PAGE}?limit=4&until=2100-01-01"]
    while following:
        page = html.document_fromstring(owner.get(str(following[0])).text)
        seen += [str(one) for one in page.xpath("//li[contains(@class, 'event')]/@id")]
        following = page.xpath("//a[@rel='next']/@href")

    assert len(seen) == len(set(seen)) > 4


def test_wrong_addresses_say_what_is_wrong_and_lead_back(owner: Browser) -> None:
    answer = owner.get(f"{PAGE}?limit=0&order=<b>")

    assert answer.status_code == 400
    assert "whole number from 1 to 500" in answer.text
    assert "newest or oldest" in answer.text
    assert f'href="{PAGE}"' in answer.text
    for path, status in (
        (f"{PAGE}?colour=<script>", 400),
        (f"{PAGE}?all=yes", 400),
        (f"{PAGE}/events/x", 404),
        (f"{PAGE}/reports/x", 404),
        (f"{PAGE}/reports/orphans?since=x", 400),
        (f"{PAGE}/events/x?a=b", 400),
        (f"{PAGE}/export?format=exe", 400),
        (f"{PAGE}?live=1&after=5", 400),
        (f"{PAGE}?live=1&order=oldest", 400),
    ):
        told = owner.get(path)
        assert told.status_code == status, path
        assert "<script>" not in told.text


def test_names_of_strangers_are_shown_as_text(either_scene: Scene, owner: Browser) -> None:
    canary = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    with either_scene.ours.administration.read() as reader:
        root = reader.organisation().root_scope_id
    scope = PutScope(ScopeId(either_scene.wiring.mint.id()), "location", canary, "canary", (root,))
    either_scene.ours.do(scope)

    page = owner.get(f"{PAGE}?action=scope.")
    event = html.document_fromstring(page.text).xpath("//p[@class='sentence']/a/@href")[0]

    for text in (page.text, owner.get(event).text, owner.get(f"{PAGE}?group={quote(canary)}").text):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;" in text


# Live


def test_a_tail_is_recorded_at_its_opening_and_not_at_each_look(either_scene: Scene, owner: Browser) -> None:
    ours = either_scene.ours
    ours.news()

    opened = owner.get(f"{PAGE}?live=1&action=domain.").headers["Location"]
    page = html.document_fromstring(owner.get(opened).text)
    (news,) = page.xpath("//ol[@id='events']/@data-news")
    (top,) = page.xpath("//ol[@id='events']/@data-top")
    (recorded,) = ours.news()
    assert (said(recorded)["query"], said(recorded)["filter"]) == ("tail", "action=domain.")
    assert recorded["id"] in news
    ours.do(AddDomain("fresh.example"), SetSettings({"seat_policy": "waitlist"}))
    ours.news()
    fresh = owner.get(f"{news}&after={top}")
    again = owner.get(f"{news}&after={fresh.headers['X-Last-Row']}")

    assert "fresh.example" in fresh.text
    assert "seat_policy" not in fresh.text
    assert "event" not in again.text
    assert again.headers["X-Last-Row"] == fresh.headers["X-Last-Row"]
    assert ours.news() == []
    assert "http-equiv" in owner.get(opened).text


def test_a_ticket_follows_for_its_reader_its_filter_and_half_a_day(scene: Scene, auditor: Browser) -> None:
    opened = auditor.get(f"{PAGE}?live=1&action=domain.").headers["Location"]
    ticket = parse_qs(urlsplit(opened).query)["live"][0]
    other = scene.browser("192.0.2.9")
    enter(other, issue(scene.ours).text)
    stranger = scene.browser("192.0.2.8")
    enter(stranger, issue(scene.theirs).text)

    assert auditor.get(opened).status_code == 200
    assert auditor.get(f"{PAGE}?live={ticket}").status_code == 404
    assert auditor.get(f"{PAGE}/news?live={ticket}&action=domain.&since=1h&until=2h").status_code == 400
    assert auditor.get(f"{PAGE}/news?live={ticket}&action=domain.&since=1h").status_code == 200
    for browser in (other, stranger):
        assert browser.get(opened).status_code == 404
    assert auditor.get(f"{PAGE}/news?live=x").status_code == 404
    with scene.ours.administration.read() as reader:
        rows = [body for _, body in reader.events(EventQuery(limit=1))]
    unfit = re.findall(rb'"id":"([0-9a-f-]{36})","organisation"', rows[0])[0].decode()
    assert auditor.get(f"{PAGE}/news?live={unfit}").status_code == 404
    assert scene.browser().get(f"{PAGE}/news?live={ticket}").status_code == 401


def test_a_tail_ends_after_half_a_day(scene: Scene) -> None:
    browser = scene.browser()
    issued = issue(scene.ours)
    enter(browser, issued.text)
    opened = browser.get(f"{PAGE}?live=1").headers["Location"]
    scene.clock.move(hours=12)
    enter(browser, issued.text)

    assert browser.get(opened).status_code == 404


# Runs


def open_page(administration: Administration) -> FlaskClient:
    wiring = administration.wiring
    client = create_app(wiring).test_client()
    issued = issue_audit_token(administration, name="EY", expires_at=wiring.clock() + timedelta(days=1))
    assert client.post(f"{PAGE}/sign-in", data={"token": issued.text}).status_code == 303
    return client


def test_a_run_is_one_row_with_its_count_on_whichever_page(tmp_path: Path) -> None:
    with small_world(tmp_path, HandClock()) as administration:
        client = open_page(administration)
        with administration.read() as reader:
            rows = [body for _, body in reader.events(EventQuery(limit=1000))]
        run_id = re.findall(rb'"type":"run"', b"".join(rows))
        assert len(run_id) > 3

        for order in ("newest", "oldest"):
            found: list[str] = []
            url = f"{PAGE}?limit=2&order={order}"
            while url:
                document = html.document_fromstring(client.get(url).text)
                found += [str(one) for one in document.xpath("//p[@class='run']/a/text()")]
                following = document.xpath("//a[@rel='next']/@href")
                url = str(following[0]) if following else ""
            assert len(found) == 1, order
            assert found[0].endswith("events of this run")

        document = html.document_fromstring(client.get(f"{PAGE}?limit=500").text)
        (link,) = document.xpath("//p[@class='run']/a/@href")
        (told,) = document.xpath("//p[@class='run']/a/text()")
        whole = html.document_fromstring(client.get(link).text)
        assert len(whole.xpath("//li[contains(@class, 'event')]")) == int(told.split()[0])


def test_runs_that_found_nothing_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    with small_world(tmp_path, HandClock()) as administration:
        wiring = administration.wiring
        client = open_page(administration)
        with administration.read() as reader:
            (directory,) = reader.directories()
        for _ in range(3):
            run_claimed(wiring, claim_directory(wiring, directory))

        page, whole = (client.get(f"{PAGE}?action=sync.completed{also}").text for also in ("", "&all=1"))

        assert "3 readings of directories that found nothing new are left out" in page
        assert (page.count('class="event '), whole.count('class="event ')) == (1, 4)


def test_a_tail_says_when_more_came_than_it_shows(scene: Scene, auditor: Browser) -> None:
    opened = auditor.get(f"{PAGE}?live=1&action=domain.").headers["Location"]
    ticket = parse_qs(urlsplit(opened).query)["live"][0]
    scene.ours.do(*(AddDomain(f"d{number}.example") for number in range(120)))

    news = auditor.get(f"{PAGE}/news?live={ticket}&action=domain.")

    assert news.text.count('class="event ') == 100
    assert news.headers["X-Cut"] == "1"
    rest = auditor.get(f"{PAGE}/news?live={ticket}&action=domain.&after={news.headers['X-Last-Row']}")
    assert "X-Cut" not in rest.headers


def test_a_page_that_is_asked_for_too_often_says_when_to_come_again(auditor: Browser) -> None:
    answers = [auditor.get(f"{PAGE}?limit=x") for _ in range(101)]

    assert answers[99].status_code == 400
    assert answers[100].status_code == 429
    assert int(answers[100].headers["Retry-After"]) >= 1


def test_without_a_page_there_is_nothing_to_close(scene: Scene) -> None:
    assert scene.browser().post(f"{PAGE}/sign-out", {}).status_code == 303


def test_a_bundle_of_what_is_not_sealed_is_refused(scene: Scene, auditor: Browser) -> None:
    answer = auditor.get(f"{PAGE}/export?format=bundle")

    assert answer.status_code == 409
    assert "sealed" in answer.text
