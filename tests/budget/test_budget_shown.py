"""What people see of budgets: on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commerce_sync import places
from commerce_sync.__main__ import main
from commerce_sync.ledger import Ask, Reported

FILE = "salesforce_default:\n  calls_per_day: {limit: reported, reserve: 20 %}\n"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> places.Ledger:
    (tmp_path / "budgets.yaml").write_text(FILE)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    monkeypatch.setenv("COMMERCE_SYNC_BUDGETS", str(tmp_path / "budgets.yaml"))
    monkeypatch.setattr(places, "_ledger_url", lambda: f"sqlite:///{tmp_path}/ledger.db")
    return places.open_ledger()


def test_budget_says_what_is_left_and_who_waits(ledger: places.Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    ledger.report("salesforce_default", "calls", Reported(100_000, 79_000, now))
    ask = Ask("salesforce_default", "calls", "figures_to_accounts", "low", 20, first=True)
    ledger.draw(ask, places.budgets()["salesforce_default"], now=now)
    main(["budget"])
    shown = capsys.readouterr().out
    assert "100,000" in shown
    assert "79,000" in shown
    assert "figures_to_accounts" in shown
    main(["budget", "--json"])
    found = json.loads(capsys.readouterr().out)[0]
    assert (found["limit"], found["used"], found["reserve"], found["room"]) == (100_000, 79_000, 20_000, 500)
    assert found["legs"][0]["waits_since"].startswith(f"{now:%Y-%m-%d}")


def test_budget_is_green_without_a_breach_and_red_with_one(
    ledger: places.Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["budget"]) == 0
    capsys.readouterr()
    ledger.report("salesforce_default", "calls", Reported(100_000, 95_000, datetime.now(UTC)))
    assert main(["budget", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["breach"]["left"] <= 5_000
