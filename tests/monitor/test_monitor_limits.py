"""The page *Limits*: what is left, who used it, who waits; also when there is nothing yet."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import places
from commerce_sync.ledger import Ask, Reported

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts
ORG = "salesforce_default"


@pytest.fixture
def busy(bare: Path) -> Any:
    """An org that others have nearly used up."""
    fill()
    return places.open_ledger()


def fill() -> None:
    """A day of calls of three flows, and others who begin to use more than ever."""
    ledger, now = places.open_ledger(), datetime.now(UTC)
    used = 20_000
    for hour in range(30, -1, -1):
        at = now - timedelta(hours=hour)
        for leg, priority, calls in (
            ("orders_to_orders", "high", 420), ("customers_to_contacts", "normal", 260),
            ("purchase_history_to_accounts", "low", 700 if hour > 6 else 0),
        ):  # fmt: skip
            if calls:
                ledger.count_calls(Ask(ORG, "calls", leg, priority, calls), used=calls, now=at)
                used += calls if hour < 24 else 0
        used += 40 if hour > 5 else 3_600
        ledger.report(ORG, "calls", Reported(100_000, used, at))
    ask = Ask(ORG, "calls", "purchase_history_to_accounts", "low", 20, first=True)
    ledger.draw(ask, places.budgets()[ORG], now=now - timedelta(minutes=12))


def test_limits_show_what_is_left_who_used_it_and_who_waits(busy: Any, vera: Any) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", " ", vera.text("/limits")))
    assert "Calls to salesforce_default" in text
    assert re.search(r"Used by our flows\s+2\d,\d{3}", text)
    assert "salesforce_purchase_history" in text
    assert re.search(r"purchase_history_to_accounts\s+low.*looking again at", text, re.S)
    assert "Used by hour" in text
    assert "Left, expected" in text


def test_limits_say_what_to_do_when_nothing_was_used_yet(bare: Path, vera: Any) -> None:
    text = vera.text("/limits")
    assert "not told yet" in text


def test_without_budgets_the_page_says_where_to_write_them(
    bare: Path, vera: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COMMERCE_SYNC_BUDGETS", str(tmp_path / "none.yaml"))
    assert "include/budgets.yaml" in vera.text("/limits")
    assert 'class="nothing"' in vera.text("/limits")
