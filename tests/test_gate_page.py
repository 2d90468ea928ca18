"""The page of a gate: what a person sees, and what can never get in."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import fsspec
import pytest

from commerce_sync import gate_page
from commerce_sync.gate_page import CheckResult, GateResult


def result(**over):
    checks = (
        CheckResult("ExpectColumnValuesToMatchRegex", "changes", ("Email",), "regex=^[^@]+@[^@]+$", 12400, 37, False, "quarantine", examples=("Email=***",)),
        CheckResult("positive_amount", "rows", ("Amount", "Currency"), "Amount > 0 OR Currency = 'XXX'", 12400, 3, False, "quarantine", examples=("Amount=-3.00, Currency=EUR", "Amount=0.00, Currency=EUR")),
        CheckResult("ExpectTableRowCountToBeBetween", "source", (), "min_value=1", 0, 0, True, "stop", observed="184302"),
        CheckResult("ExpectColumnValuesToNotBeNull", "changes", ("LastName",), "", 12400, 0, True, "quarantine"),
        CheckResult("max_quarantined", "limit", (), "at most 1248 of 12480 changes", 12480, 40, True, "stop"),
    )  # fmt: skip
    given = {
        "leg": "customers_to_contacts", "run": "scheduled__2026-11-21T02:00:00+00:00", "changes": 12480, "quarantined": 40,
        "allowed": 1248, "results": checks, "stopped": "", "page": "x", "seconds": 3.42,
    }  # fmt: skip
    return GateResult(**(given | over))


class Reader(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_names_the_verdict_the_counts_and_every_check():
    reader = Reader(gate_page.render(result()))
    assert reader.open == []
    for text in (
        "customers_to_contacts",
        "Quarantined",
        "12\u202f480",
        "1\u202f248",
        "2 of 5",
        "positive_amount",
        "0.3 %",
        "Amount=-3.00",
    ):
        assert text in reader.text


def test_the_page_loads_nothing_from_anywhere():
    page = gate_page.render(result())
    tags = {tag for tag, _ in Reader(page).tags}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?:|//|url\(|@import", page)
    assert "prefers-color-scheme: dark" in page


def test_the_table_can_be_read_aloud_and_reached_by_keyboard():
    tags = Reader(gate_page.render(result())).tags
    assert ("html", {"lang": "en"}) in tags
    assert [attrs["scope"] for tag, attrs in tags if tag == "th"] == ["col"] * 7 + ["row"] * 5
    assert any(attrs.get("tabindex") == "0" and attrs.get("role") == "region" for _, attrs in tags)


def test_values_from_data_are_escaped():
    evil = "<script>alert(1)</script>"
    check = CheckResult(evil, "rows", (evil,), evil, 5, 1, False, "stop", observed=evil, examples=(evil,))
    page = gate_page.render(result(leg=evil, run=evil, stopped=evil, results=(check,)))
    assert "<script" not in page
    assert Reader(page).text.count(evil) >= 8


def test_what_stopped_the_leg_comes_first():
    stop = CheckResult("last", "rows", (), "false", 5, 1, False, "stop")
    given = result(stopped="last: 1 of 5 rows failed.", results=(*result().results, stop))
    rows = re.findall(r'<th scope="row">(\w+)', gate_page.render(given))
    assert rows[:3] == ["last", "ExpectColumnValuesToMatchRegex", "positive_amount"]
    assert "Nothing was sent. last: 1 of 5 rows failed." in gate_page.render(given)


@pytest.mark.parametrize("root", ["folder", "memory://gate-pages"])
def test_the_page_is_written_to_a_folder_or_a_bucket_under_leg_and_run(tmp_path, root):
    pages = tmp_path / root if root == "folder" else root
    where = gate_page.address(pages, leg="a leg", run="manual__2026-11-21T02:00:00+00:00")
    assert where.endswith("/a_leg/manual__2026-11-21T02_00_00_00_00/gate.html")
    gate_page.write(result(page=where))
    gate_page.write(result(page=where, leg="again"))
    with fsspec.open(where, "rt", encoding="utf-8") as page:
        assert "Gate of again" in page.read()


def test_a_leg_without_checks_says_so():
    assert "This leg has no checks." in gate_page.render(result(results=(), quarantined=0, allowed=None))
