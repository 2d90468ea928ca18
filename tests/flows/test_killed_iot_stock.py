"""I2: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems import rest
from flows.appliances import Appliances, ago, noted
from flows.killing import assert_survives
from flows.shelves import DELTA, Depot, counted, moved, tracked
from flows.walking import Org, Shop

TRIP = ("SHIPPED", "IN_TRANSIT", "OUT_FOR_DELIVERY")


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, opentext_iot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    inbox = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/batches/markers")
    made: list[Depot] = []
    at = ago(hours=3)

    def reset() -> None:
        shop.far.reset()
        opentext_iot.reset()
        depot = Depot(Appliances(opentext_iot, shop, monkeypatch))
        made[:] = [depot]
        depot.product("p1", "p2")
        depot.shelf(1, "p1")
        depot.shelf(2, "p2", DELTA)
        for number in range(4):
            depot.fleet.device(10 + number)
            depot.sent(f"S{number}")

    def edit(number: int) -> None:
        """The shelves are counted again, more is sold, one more parcel is on its way and the others get further."""
        device = made[0].fleet.device_id
        noted(inbox, at_moment(counted(device(1), "p1", 60 - 5 * number, seq=number)))
        if number == 0:
            noted(inbox, at_moment(counted(device(2), "p2", 60, warehouse=DELTA)))
        noted(inbox, *(at_moment(moved(device(2), "p2", -2, f"m-{n}"), minutes=1 + n) for n in range(number + 1)))
        noted(inbox, *(at_moment(tracked(device(10 + n), f"S{n}", TRIP[number - n])) for n in range(number + 1)))

    def at_moment(event: dict[str, Any], *, minutes: int = 0) -> dict[str, Any]:
        """The same event in both plays."""
        moment = at.replace(minute=0, second=minutes)
        return event | {
            "time": moment,
            "id": f"{event['type']}/{event['subject']}/{sorted(event['data'].items(), key=str)}",
        }

    def look() -> Any:
        depot = made[0]
        devices = {device["id"]: (depot.fleet.attributes(device["id"]), depot.fleet.tags(device["id"]))
                   for device in opentext_iot.records("device")}  # fmt: skip
        return depot.available(), depot.status(), devices

    assert_survives("iot_stock", tmp_path, reset=reset, edit=edit, look=look)
