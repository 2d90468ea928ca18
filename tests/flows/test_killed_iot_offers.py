"""I1 and I6: killed at every step boundary they end as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems import rest
from flows.appliances import Appliances, Repairs, ago, fault, noted
from flows.killing import assert_survives
from flows.walking import Org, Shop


@pytest.mark.parametrize("flow", ["iot_condition_offers", "iot_self_service"])
def test_a_killed_flow_ends_as_an_undisturbed_one(
    flow: str, shop: Shop, org: Org, opentext_iot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    inbox = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/batches/markers")
    made: list[Repairs] = []
    at = ago(hours=3)

    def reset() -> None:
        shop.far.reset()
        opentext_iot.reset()
        made[:] = [Repairs(Appliances(opentext_iot, shop, monkeypatch), monkeypatch)]
        made[0].stocked()
        for number in range(10):
            made[0].owner(number)

    def edit(number: int) -> None:
        """One more device fails, and the one before is mended."""
        device = made[0].fleet.device_id
        noted(inbox, fault(device(number), "E17", at, instance=f"f-{number}"))
        if number:
            noted(inbox, fault(device(number - 1), "E17", at, instance=f"f-{number - 1}", state="cleared"))

    def look() -> Any:
        return made[0].groups(), made[0].carts()

    assert_survives(flow, tmp_path, reset=reset, edit=edit, look=look)
