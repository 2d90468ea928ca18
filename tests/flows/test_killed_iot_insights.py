"""I8: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems import rest
from flows.appliances import Appliances, ago, noted
from flows.killing import assert_survives
from flows.walking import Org, Shop, line


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, opentext_iot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    inbox = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/batches/markers")
    fleet: list[Appliances] = []
    at = ago(hours=2)

    def reset() -> None:
        shop.far.reset()
        opentext_iot.reset()
        fleet[:] = [Appliances(opentext_iot, shop, monkeypatch)]
        shop.categories("Air")
        shop.product("c200", "air")
        for number in range(8):
            shop.customers(number)
            shop.order(f"O{number}", customer=number, day="2026-10-01", lines=[line(0, "c200", 1, 1)])

    def edit(number: int) -> None:
        """One more device is sold; from the fifth on there is something to say of them, and it always changes."""
        first = range(5) if number == 0 else (4 + number,)
        for own in first:
            fleet[0].device(own, productCode="c200", purchaseOrderCode=f"O{own % 8}")
        noted(inbox, *({"id": f"{number}/{own}", "type": "device.health", "subject": fleet[0].device_id(own), "time": at,
                        "data": {"healthScore": 20 + 10 * number}} for own in range(5 + number)))  # fmt: skip

    def look() -> Any:
        devices = {device["id"]: (fleet[0].attributes(device["id"]), fleet[0].tags(device["id"]))
                   for device in opentext_iot.records("device")}  # fmt: skip
        return devices, sorted((row["qualifier"], row["value"]) for row in shop.far.records("ProductFeature"))

    assert_survives("iot_insights", tmp_path, reset=reset, edit=edit, look=look)
