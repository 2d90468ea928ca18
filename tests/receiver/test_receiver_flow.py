"""Deliveries are nudges: lost, doubled and reordered ones leave the end state that the schedule alone would leave."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from flows.house import org, shop, walk  # noqa: F401 - fixtures
from flows.walking import CUSTOMERS, HOUSEHOLDS
from receiver.receiving import LOGIN, Receiver
from receiver.receiving import Shop as Pushing


@pytest.fixture
def receiver(walk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    one = Receiver(walk.site.ledger, monkeypatch, tmp_path / "receiver.yaml").start()
    one.open("sap_commerce", login=LOGIN)
    yield one
    one.stop()


def pushed_types(ledger: Ledger, after: int) -> set[str]:
    return {kind for one in ledger.receipts_after(after) if one.new for kind in one.types}


@pytest.mark.parametrize("fault", [None, "webhook_loss", "webhook_double", "webhook_reorder"])
def test_disturbed_webhooks_change_nothing_in_the_end(fault, shop, org, walk, receiver):  # noqa: F811
    """A flow is walked whenever a delivery brought something new, and once by its schedule at the end."""
    pushing = Pushing(shop.far, receiver)
    pushing.webhook(service="CustomerSync")
    for name in [fault] if fault else []:
        shop.far.fault(action=name, times=3)
    walks, ledger, draw = 0, walk.site.ledger, random.Random(7)
    for turn in range(4):
        before = ledger.newest_receipt()
        shop.customers(turn * 10 + 1, turn * 10 + 2)
        if turn:
            shop.change(draw.randrange(turn) * 10 + 1, name=f"Grace Hopper{turn}")
        pushing.settle()
        if pushed_types(ledger, before):
            walk(CUSTOMERS, leg=HOUSEHOLDS)
            walks += 1
    walk(CUSTOMERS, leg=HOUSEHOLDS)
    wanted = {row["customerID"]: f"{row['name']} (household)" for row in shop.far.records("Customer")}
    assert {key: row["Name"] for key, row in org.accounts.items()} == wanted
    assert len(wanted) == 9
    assert walks >= 1
    org.far.reset_calls()
    walk(CUSTOMERS, leg=HOUSEHOLDS)
    assert org.writes() == 0
