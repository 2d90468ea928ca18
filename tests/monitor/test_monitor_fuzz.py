"""Whatever is asked of the pages is answered in time, without a fault of ours, as text and never as markup.

FUZZ=thorough asks forty times as much.
"""

from __future__ import annotations

import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import commerce_sync.monitor as monitor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts

EXAMPLES = 4_000 if os.environ.get("FUZZ") == "thorough" else 100
MUCH = settings(max_examples=EXAMPLES, deadline=None, derandomize=os.environ.get("FUZZ") != "thorough",
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
LONGEST_S = 30.0
SOURCES = "".join(path.read_text() for path in Path(monitor.__file__).parent.glob("*.py"))
ASKED = sorted(set(re.findall(r'asked\(\s*"([^"]+)"', SOURCES)))
GIVEN = sorted(set(re.findall(r'(?:given|form\.get)\(\s*"([^"]+)"', SOURCES)) - {"token"})
MARK = "zq7"
"""Begins every probe, so that it is told from the markup of the pages."""
PROBES = (
    f"{MARK}<script>alert(1)</script>", f'{MARK}"><img src=x onerror=alert(1)>', f"{MARK}' onmouseover='alert(1)",
    f"{MARK}</title></style></textarea><svg/onload=alert(1)>", f"{MARK}{{{{7*7}}}}", f"javascript:alert('{MARK}')",
    f"{MARK}\r\nSet-Cookie: a=b", f"//{MARK}.example/", f"https://{MARK}.example", f"\\\\{MARK}.example",
)  # fmt: skip
ODD = ("", " ", "0", "-1", "9" * 400, "1e999", "NaN", "²", "\x00", "\ud7ff", "\u202e", "%00", "%ff", "~", "~AAAA", "../" * 8,
       "..", "....//", "%2e%2e%2f", "C:\\", "/etc/passwd", "' OR 1=1 --", "*", "[", "(?", "null", "2026-13-45T99:99:99Z",
       "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "leg=a&key=b", "a" * 3000)  # fmt: skip
KNOWN = ("customers_to_contacts", "units_to_accounts", "feed/storefront", "salesforce_customers", "CD0000001", "rejected",
         "retry", "approved", "resolved", "undone", "1", "2026-11-20T00:00:00+00:00|run", "30d", "all")  # fmt: skip
words = st.sampled_from([*PROBES, *ODD, *KNOWN]) | st.text(max_size=40)
queries = st.dictionaries(st.sampled_from(ASKED) | words, words, max_size=5)
forms = st.dictionaries(st.sampled_from([*GIVEN, "value-Phone", "value-", "clear-Phone"]) | words, words, max_size=6)


def routes(method: str) -> list[str]:
    from commerce_sync.monitor.app import build

    return sorted({route.path for route in build().routes if method in route.methods})


def part(text: str) -> str:
    """One part of an address; the client would take ``..`` for a way up and never send it."""
    return quote(text, safe="").replace(".", "%2E")


def filled(path: str, leg: str, run: str) -> str:
    return path.format(leg=part(leg), run=part(run), name=part(run))


class Markup(HTMLParser):
    """Reads a page as a browser does; ``wrong`` are elements that our pages never have."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[tuple[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        leads = [urlsplit(own[name] or "") for name in ("href", "src", "action", "formaction") if name in own]
        is_foreign = any(one.scheme or one.netloc or one.path.startswith("\\") for one in leads)
        runs = any(name.startswith("on") for name in own) or (tag == "script" and "/static/" not in str(own.get("src")))
        if is_foreign or runs or tag in ("iframe", "object", "embed", "base"):
            self.wrong.append((tag, attrs))


def assert_sound(found: Any, took_s: float, asked: Any) -> None:
    """Not our fault, in time, guarded, and nothing of what was asked is markup."""
    assert found.status_code < 500, (asked, found.text.partition("<main")[2][:500])
    assert took_s < LONGEST_S, asked
    # What is no address of ours (a line end in it, say) Airflow answers itself, as JSON.
    is_page = found.headers.get("content-type", "").startswith("text/html")
    assert "content-security-policy" in found.headers or not is_page, (asked, found.status_code)
    assert found.headers.get("x-content-type-options", "nosniff") == "nosniff"
    assert "a=b" not in found.headers.get("set-cookie", ""), asked
    where = urlsplit(found.headers.get("location", ""))
    assert where.netloc in ("", "testserver"), (asked, found.headers["location"])
    assert where.path.startswith("/commerce-sync") or not where.path, (asked, found.headers.get("location"))
    markup = Markup()
    markup.feed(found.text)
    assert markup.wrong == [], (asked, markup.wrong)
    assert f"{MARK}49" not in found.text, (asked, "a value was taken for a template")


def test_nothing_that_is_looked_at_is_our_fault(scene: Any, vera: Any) -> None:
    paths = st.sampled_from(routes("GET"))

    @MUCH
    @given(path=paths, leg=words, run=words, query=queries)
    def look(path: str, leg: str, run: str, query: dict[str, str]) -> None:
        began = time.monotonic()
        try:
            found = vera.get(filled(path, leg, run), **{"leg": leg, **query})
        except UnicodeEncodeError:
            return  # half a character is no address
        assert_sound(found, time.monotonic() - began, (path, leg, run, query))

    look()


def test_nothing_that_is_sent_is_our_fault(scene: Any, ada: Any) -> None:
    paths, token = st.sampled_from(routes("POST")), ada.form_token()

    @MUCH
    @given(path=paths, leg=words, run=words, form=forms)
    def send(path: str, leg: str, run: str, form: dict[str, str]) -> None:
        began = time.monotonic()
        try:
            found = ada.post(filled(path, leg, run), **({"token": token} | form | {"token": token}))
        except UnicodeEncodeError:
            return
        assert_sound(found, time.monotonic() - began, (path, leg, run, form))

    send()


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"token=%ff%fe", b"&" * 2000, b"=" * 2000, b"a=1&" * 20_000, b"{}"])
def test_a_body_that_is_no_form_is_refused(scene: Any, ada: Any, body: bytes) -> None:
    token = ada.form_token()
    for path in routes("POST"):
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", "x"):
            headers = ada._login | {"Origin": "http://testserver", "Content-Type": kind}
            ada._web.cookies.clear()
            address = "/commerce-sync" + filled(path, "customers_to_contacts", "r1")
            found = ada._web.post(address, content=body, headers=headers, cookies=ada.cookies)
            assert found.status_code == 403, (path, kind, found.status_code)
    assert token


def test_every_change_is_refused_without_the_forms_token_and_from_elsewhere(scene: Any, ada: Any) -> None:
    changes = routes("POST")
    assert len(changes) >= 7
    for path in changes:
        address = filled(path, "customers_to_contacts", "r1")
        assert ada.post(address, token="").status_code == 403, path
        assert ada.post(address, origin="https://evil.example").status_code == 403, path
        assert ada.post(address, origin=None).status_code == 403, path


def test_a_change_is_never_made_by_looking(scene: Any, ada: Any) -> None:
    for path in set(routes("POST")) - set(routes("GET")):
        assert ada.get(filled(path, "customers_to_contacts", "r1")).status_code in (404, 405), path


@pytest.mark.parametrize(
    "name", ["..", "../..", "..%2f..", "%2e%2e", "....", "..\\..", "/", "~..~..", ".%00.", "canary"]
)
def test_no_address_of_a_gate_or_run_leads_out_of_their_folders(scene: Any, vera: Any, home: Path, name: str) -> None:
    for place in (home, home / "pages", home.parent):
        (place / "gate.html").write_text(f"<title>passed</title>{MARK} canary")
    for leg, run in ((name, name), (name, "."), (".", name), ("customers_to_contacts", name), (name, "pages")):
        for path in ("/gates/{leg}/{run}", "/runs/{leg}/{run}", "/plans/{leg}/{run}", "/messages/{leg}/{run}"):
            found = vera.get(filled(path, leg, run))
            assert f"{MARK} canary" not in found.text, (path, leg, run)
            assert found.status_code < 500, (path, leg, run)


def test_every_answer_says_what_the_browser_may_do(scene: Any, vera: Any, ada: Any) -> None:
    from commerce_sync import places

    answers = [vera.get(filled(path, "customers_to_contacts", "never")) for path in routes("GET")]
    chosen = str(places.open_ledger().conflicts(status="open", limit=1)[0].id)
    answers += [
        ada.post("/conflicts/resolve", row=[chosen], **{"as": "resolved"}),
        ada.post("/conflicts/resolve", token=""),
    ]
    assert {found.status_code for found in answers} >= {200, 404, 303, 403}
    for found in answers:
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "script-src 'unsafe" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "same-origin"
        assert "cache-control" in found.headers
