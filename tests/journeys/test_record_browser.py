"""The page of the record in a real browser: no script of a stranger runs, and everything can be done by keyboard."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, Page, expect

from directory.changes import AddDomain, PutScope
from directory.ids import ScopeId
from service.administration import Administration
from service.app import create_app
from service.audit_tokens import issue_audit_token
from tests.chromium import running_chromium
from tests.sealed import seal_log
from tests.service.worlds import HandClock, small_world
from tests.serving import served

pytestmark = pytest.mark.chromium

CANARY = '"><script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
PAGE = "/console/audit"
SOON = "new Promise((resolve) => setTimeout(resolve, 20))"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_chromium(os.environ) as browser:
        yield browser


@dataclass(slots=True)
class Reader:
    """An auditor who has typed the token."""

    administration: Administration
    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")


@contextmanager
def reading(folder: Path, chromium: Browser, **options: object) -> Iterator[Reader]:
    with small_world(folder, HandClock()) as administration:
        wiring = administration.wiring
        with administration.read() as reader:
            root = reader.organisation().root_scope_id
        administration.apply([PutScope(ScopeId(wiring.mint.id()), "location", CANARY, "canary", (root,))])
        seal_log(wiring, administration.organisation_id)
        ends = wiring.clock() + timedelta(days=1)
        issued = issue_audit_token(administration, name="Auditor EY", expires_at=ends)
        with served(create_app(wiring)) as url:
            context = chromium.new_context(**options)  # type: ignore[arg-type]  # the test's own options
            page = context.new_page()
            made = Reader(administration, page, url)
            page.on(
                "console", lambda said: made.complaints.append(said.text) if said.type == "error" else None
            )
            page.on("pageerror", lambda error: made.complaints.append(str(error)))
            page.goto(f"{url}{PAGE}/sign-in")
            page.get_by_label("Token").fill(issued.text)
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="What happened")).to_be_visible()
            yield made
            context.close()
            assert made.complaints == []


@pytest.fixture
def reader(tmp_path: Path, chromium: Browser) -> Iterator[Reader]:
    with reading(tmp_path, chromium, timezone_id="Asia/Tokyo") as made:
        yield made


def test_times_are_told_in_both_zones(reader: Reader) -> None:
    when = reader.page.locator(".event .when").first

    expect(when).to_contain_text("UTC")
    expect(when).to_contain_text("GMT+9")


def test_a_click_on_a_value_filters_and_another_takes_it_away(reader: Reader) -> None:
    page = reader.page
    page.locator(".event").filter(has_text="added").get_by_role(
        "link", name="Action scope.created"
    ).first.click()

    expect(page).to_have_url(f"{reader.url}{PAGE}?action=scope.created")
    expect(page.locator(".event")).to_have_count(1)
    page.get_by_role("link", name="Take away the filter action").click()
    expect(page).to_have_url(f"{reader.url}{PAGE}")


def test_a_strangers_name_is_text_everywhere(reader: Reader) -> None:
    page = reader.page
    reader.go(f"{PAGE}?action=scope.created")
    expect(page.locator(".sentence").first).to_contain_text("<script>")
    page.locator(".sentence a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("onerror=")
    reader.go(f"{PAGE}/reports/configuration")
    expect(page.locator("table")).to_contain_text("<script>")

    assert page.evaluate("window.pwned") is None


def test_the_badge_opens_the_proof(reader: Reader) -> None:
    page = reader.page
    reader.go(f"{PAGE}?action=scope.created")
    page.get_by_role("link", name="Sealed #").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("in the log")
    expect(page.get_by_text("Its place was verified")).to_be_visible()


@pytest.mark.parametrize(
    ("form", "ending", "content"), [("CSV", ".csv", "scope.created"), ("OCSF", "", '"class_uid"')]
)
def test_exports_come_as_files(reader: Reader, tmp_path: Path, form: str, ending: str, content: str) -> None:
    page = reader.page
    files: list[Download] = []
    page.on("download", partial(list.append, files))
    reader.go(f"{PAGE}?action=scope.created")
    page.locator("summary", has_text="Export").click()
    page.get_by_role("link", name=form).click()

    assert any(page.evaluate(SOON) or files for _ in range(1000))
    files[0].save_as(tmp_path / "exported")
    assert files[0].suggested_filename.endswith(ending)
    assert (tmp_path / "exported").read_text().count(content) == 1


def test_new_events_come_by_themselves_and_are_not_logged_at_each_look(reader: Reader) -> None:
    page = reader.page
    page.get_by_role("link", name="Follow live").click()
    state = page.get_by_role("status")
    expect(state).to_contain_text("Following")

    reader.administration.apply([AddDomain("fresh.example")])

    expect(page.locator(".event.new .sentence").first).to_contain_text("fresh.example")
    expect(state).to_contain_text("Following")
    expect(page.locator(".event.new")).to_have_count(1)
    page.get_by_role("link", name="Stop following").click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()


def test_everything_can_be_done_by_keyboard(reader: Reader) -> None:
    page = reader.page
    page.get_by_label("Action").focus()
    page.keyboard.type("scope.created")
    page.keyboard.press("Enter")
    expect(page.locator(".event")).to_have_count(1)
    summary = page.locator("summary", has_text="Export")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="CSV")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="CSV")).to_be_hidden()
    expect(summary).to_be_focused()
    page.locator(".event summary").focus()
    page.keyboard.press("Space")
    expect(page.locator(".event .differences")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    focused = page.evaluate("document.activeElement.className")
    assert focused == "chip"


def test_the_page_works_without_scripts(tmp_path: Path, chromium: Browser) -> None:
    with reading(tmp_path, chromium, java_script_enabled=False) as reader:
        page = reader.page
        expect(page.locator(".event .when").first).to_contain_text("UTC")
        page.get_by_role("link", name="Follow live").click()
        expect(page.get_by_text("read anew every ten seconds")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_nothing_runs_over_the_edge_and_all_can_be_read(
    tmp_path: Path, chromium: Browser, scheme: str, width: int
) -> None:
    with reading(tmp_path, chromium, color_scheme=scheme, viewport={"width": width, "height": 900}) as reader:
        page = reader.page
        reader.go(f"{PAGE}?action=scope.")
        first = page.locator(".sentence a").first.get_attribute("href") or ""
        for path in (PAGE, first, f"{first}/proof", f"{PAGE}/reports/configuration", f"{PAGE}/sign-in"):
            reader.go(path)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
            assert page.evaluate(CONTRASTS) == [], path
            unnamed = page.evaluate(UNNAMED)
            assert unnamed == [], path


# What WCAG 2.2 asks of text, 4.5 to 1 (section 1.4.3), measured on what is shown.
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[0-9.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.add(`${one.className} ${ratio.toFixed(2)}`);
  }
  return [...found];
}"""
# Every field, link and button has a name, and ids are there once.
UNNAMED = """() => {
  const nameless = [...document.querySelectorAll("input:not([type=hidden]), select, a, button, summary")]
    .filter((one) => !(one.ariaLabel || one.textContent.trim() || (one.labels && one.labels.length)))
    .map((one) => one.outerHTML);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  return [...nameless, ...ids.filter((id, at) => ids.indexOf(id) !== at)];
}"""
