"""I3: killed at every step boundary it ends as if nothing had happened, and nobody has two carts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems import rest
from flows.appliances import Appliances, ago, noted
from flows.killing import assert_survives
from flows.shelves import Pantry
from flows.walking import Org, Row, Shop


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, opentext_iot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    inbox = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/batches/markers")
    made: list[Pantry] = []
    times = {days: ago(days=days) for days in range(9)}

    def reset() -> None:
        shop.far.reset()
        opentext_iot.reset()
        made[:] = [Pantry(Appliances(opentext_iot, shop, monkeypatch), monkeypatch)]
        made[0].stocked()
        for number in range(4):
            made[0].owner(number)

    def reading(device: str, days: int, pct: float) -> Row:
        """The same event in both plays."""
        return {"id": f"{device}/{days}", "type": "consumable.level", "subject": device, "time": times[days],
                "data": {"consumableType": "air-filter", "levelPct": pct}}  # fmt: skip

    def edit(number: int) -> None:
        """One more device runs low, and the one before is refilled."""
        device = made[0].fleet.device_id
        noted(inbox, *(reading(device(number), days, pct) for days, pct in ((8, 14), (7, 12))))
        if number:
            noted(inbox, *(reading(device(number - 1), days, pct) for days, pct in ((2, 99), (1, 98))))

    def look() -> Any:
        return made[0].carts()

    assert_survives("iot_replenishment", tmp_path, reset=reset, edit=edit, look=look)
