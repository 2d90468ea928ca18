"""The monitor in a real browser, inside Airflow's own page and alone: by keyboard, in light and dark, wide and narrow."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.monitor_web import serving, token

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 120_000
"""How long a page may take where many tests share two cores."""
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Airflow's own while it starts
    pytest.mark.filterwarnings("ignore:websockets"),  # the server's own
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}"),
]
VIEWS = (
    "/", "/runs", "@/runs?leg=customers_to_contacts", "/messages", "@/messages?outcome=rejected", "/errors",
    "/errors?class=duplicate", "@/errors?class=duplicate", "/errors?key=nothing-like-it", "/conflicts", "/holds", "/gates",
    "/receipts", "/limits", "/explain", "/explain?key=C0000001", "/runs/units_to_accounts/never",
)  # fmt: skip
EXPECTED = (
    "Failed to load resource: the server responded with a status of 404",
    "An iframe which has both allow-scripts",
)
"""Complaints about the page that is asked for although it is not there, and about the frame Airflow makes."""
CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text()


@pytest.fixture(scope="module")
def address(application_with_flows: Any, scene: Any) -> Iterator[str]:
    with serving(application_with_flows) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's own loop may not live in a thread that has one already; pytest's has none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the python package playwright is not installed")
    assert threading.current_thread() is threading.main_thread()
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Opens a view; whatever it asked of other hosts, and every complaint of the browser, fails the test."""
    contexts: list[Any] = []
    foreign: list[str] = []
    complaints: list[str] = []

    def opened(view: str = "/", *, scheme: str = "light", width: int = 1280, role: str = "admin") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        context.add_cookies([{"name": "_token", "value": token("ada", role), "url": address}])
        page = context.new_page()
        page.on("request", lambda asked: foreign.append(asked.url) if not is_ours(asked.url, address) else None)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        visit(page, address, view)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not foreign
    assert not [text for text in complaints if not text.startswith(EXPECTED)]


def is_ours(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:", "about:"))


def visit(page: Any, address: str, view: str) -> None:
    """A view; with ``@`` the first row that its table links to."""
    page.goto(f"{address}/commerce-sync{view.removeprefix('@')}")
    if view.startswith("@"):
        page.goto(address + page.locator("tbody th a[href*='/commerce-sync/']").last.get_attribute("href"))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(open_page, view, scheme) -> None:
    page = open_page(view, scheme=scheme)
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == scheme
    faint = page.evaluate(CONTRASTS)
    assert faint["looked_at"] > 10
    assert faint["faint"] == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_scrolls_sideways(open_page, view, width) -> None:
    page = open_page(view, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("view", VIEWS)
def test_every_control_has_a_name_and_shows_the_focus(open_page, view) -> None:
    page = open_page(view)
    nameless = page.evaluate("""() => [...document.querySelectorAll('a, button, input, select, summary')]
        .filter(e => e.type !== 'hidden')
        .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || (e.labels && e.labels.length)))
        .map(e => e.outerHTML)""")
    assert nameless == []
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        found = page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.outerHTML.slice(0, 200), parseFloat(s.outlineWidth), s.outlineStyle] }""")
        seen.add(found[0])
        if found[0].startswith("<body"):
            break
        assert found[1] >= 2, found
        assert found[2] != "none", found
    assert len(seen) > 10


def test_the_keyboard_skips_to_the_content_and_finds_the_search(open_page) -> None:
    page = open_page("/errors")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.locator(".skip").bounding_box()["y"] >= 0, "and it can be seen"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "key"
    page.keyboard.type("CD0000003")
    page.keyboard.press("Enter")
    page.wait_for_url("**/errors?key=CD0000003*")
    assert page.locator("form[data-rows] tbody tr").count() == 1


def test_rows_are_chosen_and_retried_by_keyboard_alone(open_page, address) -> None:
    from commerce_sync import places

    page = open_page("/errors?class=lock")
    everything = page.locator("[data-all]")
    everything.focus()
    page.keyboard.press("Space")
    assert page.locator("[data-chosen]").inner_text() == "41 rows chosen"
    page.locator("input[name=row]").first.focus()
    page.keyboard.press("Space")
    assert page.locator("[data-chosen]").inner_text() == "40 rows chosen"
    assert everything.evaluate("box => box.indeterminate")
    page.get_by_role("button", name="Retry").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**done=retried*")
    assert page.get_by_role("status").get_by_text("40 rows offered again by the next run").is_visible()
    said = places.open_ledger().said(leg="order_entries_to_order_items")
    assert (len(said), {item.answered_by for item in said}) == (40, {"ada"})


def test_nothing_can_be_sent_while_nothing_is_chosen(open_page) -> None:
    page = open_page("/errors?class=transient")
    assert page.get_by_role("button", name="Retry").is_disabled()
    page.locator("input[name=row]").first.check()
    assert page.get_by_role("button", name="Retry").is_enabled()


def test_a_row_is_edited_and_the_page_says_so(open_page) -> None:
    from commerce_sync import places

    page = open_page("/errors?class=duplicate")
    page.locator("form[data-rows] tbody th a").nth(1).click()
    page.wait_for_url("**/errors/customers_to_contacts?key=*")
    assert page.get_by_text("Not here: both sides may edit it").count() >= 3
    assert page.get_by_label("Send for MailingCity instead").count() == 0
    assert page.get_by_label("Send for Registered_At__c instead").get_attribute("placeholder") == "timestamp"
    page.get_by_label("Send for Commerce_Active__c instead").fill("false")
    page.get_by_label("Empty Salutation").check()
    page.get_by_role("button", name="Save and retry").click()
    page.wait_for_url("**done=edited*")
    assert page.get_by_role("status").get_by_text("saved, and offered again").is_visible()
    (word,) = places.open_ledger().said(leg="customers_to_contacts", status="open")
    assert (word.edited, word.answered_by) == ({"Commerce_Active__c": "false", "Salutation": None}, "ada")


def test_a_row_is_dismissed_with_a_reason(open_page) -> None:
    page = open_page("/errors?class=reference")
    page.locator("input[name=row]").first.check()
    page.get_by_role("button", name="Dismiss").click()
    assert page.evaluate("document.activeElement.name") == "reason"
    assert "done=" not in page.url
    assert page.locator("[data-chosen]").inner_text() == "1 row chosen", "what was ticked still is"
    page.keyboard.type("the unit was closed")
    page.get_by_role("button", name="Dismiss").click()
    page.wait_for_url("**done=dismissed*")
    assert page.get_by_text("1 row dismissed").is_visible()


def test_who_may_only_look_has_nothing_to_press(open_page) -> None:
    page = open_page("/errors?class=lock", role="viewer")
    assert page.locator("input[type=checkbox]").count() == 0
    assert page.get_by_role("button", name="Retry").count() == 0
    assert page.get_by_text("that needs the right to trigger runs").is_visible()


WATCH = """document.addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
    const busy = document.querySelector("main").getAttribute("aria-busy");
    const words = document.querySelector("[data-progress]").textContent;
    if (document.body.classList.contains("loading")) sessionStorage.setItem("seen", `${busy} ${words}`);
}).observe(document.body, { attributes: true, subtree: true, childList: true, characterData: true }))"""


def test_the_loading_state_shows_when_an_answer_takes_long(open_page, address) -> None:
    page = open_page("/")
    page.add_init_script(WATCH)
    page.reload()
    held: list[Any] = []
    page.route(re.compile(r".*/commerce-sync/runs$"), lambda route: held.append(route))
    page.get_by_role("navigation").get_by_text("Runs").click(no_wait_after=True)
    page.wait_for_timeout(600)  # a page that is slow to come
    held[0].continue_()
    page.wait_for_url("**/commerce-sync/runs")
    assert page.evaluate("sessionStorage.getItem('seen')") == "true Loading\u2026"
    assert page.locator("body.loading").count() == 0


def test_the_pages_work_without_a_script(browser, address) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    context.add_cookies([{"name": "_token", "value": token("ada", "admin"), "url": address}])
    page = context.new_page()
    page.goto(f"{address}/commerce-sync/errors?class=permission")
    page.locator("input[name=row]").first.check()
    page.get_by_role("button", name="Retry").click()
    assert page.get_by_text("1 row offered again").is_visible()
    context.close()


def inside_airflow(page: Any, address: str) -> Any:
    page.goto(f"{address}/plugin/commerce-sync")
    frame = page.frame_locator("iframe")
    frame.locator("h1").wait_for()
    return frame


def test_airflow_has_an_entry_that_opens_the_monitor(open_page, address) -> None:
    page = open_page("/")
    page.goto(f"{address}/")
    page.get_by_role("link", name="Sync", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Errors", exact=True).click()
    frame.get_by_role("heading", name="Errors").wait_for()
    page.wait_for_url("**/plugin/commerce-sync/commerce-sync/errors")
    page.reload()
    page.frame_locator("iframe").get_by_role("heading", name="Errors").wait_for()


@pytest.mark.parametrize(("system", "airflow"), [("light", "dark"), ("dark", "light")])
def test_inside_airflow_the_theme_is_airflows(open_page, address, system, airflow) -> None:
    page = open_page("/", scheme=system)
    page.evaluate(f"localStorage.setItem('theme', '{airflow}')")
    frame = inside_airflow(page, address)
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    assert page.evaluate("document.documentElement.className") == airflow
    assert frame.locator("html").evaluate(f"() => {scheme}") == airflow
    page.evaluate(f"document.documentElement.classList.replace('{airflow}', '{system}')")
    frame.locator(f"html[data-theme={system}]").wait_for(state="attached")


def test_a_flow_opens_in_airflow_and_not_in_the_frame(open_page, address) -> None:
    page = open_page("/")
    frame = inside_airflow(page, address)
    frame.locator("[data-airflow]", has_text="salesforce_customers").click()
    page.wait_for_url("**/dags/salesforce_customers")
    assert page.frame_locator("iframe").locator("nav[aria-label='Commerce Sync']").count() == 0


def test_a_form_inside_airflow_is_taken(open_page, address) -> None:
    page = open_page("/")
    page.goto(f"{address}/plugin/commerce-sync/commerce-sync/conflicts")
    frame = page.frame_locator("iframe")
    frame.locator("input[name=row]").first.check()
    frame.get_by_role("button", name="Resolved").click()
    frame.get_by_text("1 row marked as resolved").wait_for()
