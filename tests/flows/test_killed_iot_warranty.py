"""I5: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems import rest
from flows.guarantees import Guarantees, day
from flows.killing import assert_survives
from flows.walking import Org, Shop, Walk


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, opentext_iot: Any, walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    inbox = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/batches/markers")
    made: list[Guarantees] = []
    lapsed = day(760)

    def reset() -> None:
        shop.far.reset()
        opentext_iot.reset()
        made[:] = [Guarantees(opentext_iot, shop, walk, monkeypatch, ledger=inbox)]

    def edit(number: int) -> None:
        """One more device is out of warranty, and the contract of one more ends today."""
        shelf = made[0]
        for own in (0, 1) if number == 0 else (number + 1,):
            shelf.sold(own, on=lapsed - timedelta(days=own), activated=lapsed)
            shelf.sold(10 + own, on=date(2023, 1, 10))
            shelf.consent(10 + own)
            shelf.contract(f"K{own}", 10 + own, on=day(360))

    def look() -> Any:
        shelf = made[0]
        rows = {
            serial: (row["status"], row["decisionId"], row["denied"], row["contractId"])
            for serial, row in shelf.records().items()
        }
        devices = {device["id"]: shelf.on_device(device["id"]) for device in opentext_iot.records("device")}
        return rows, devices, shelf.groups()

    answered(monkeypatch)
    assert_survives("iot_warranty", tmp_path, reset=reset, edit=edit, look=look)


def answered(patch: pytest.MonkeyPatch) -> None:
    """Nobody is asked here: what a denial waits for is told elsewhere."""
    from dataclasses import replace

    from flows import killing, walking

    real = walking.mapping_of
    for module in (killing, walking):
        patch.setattr(module, "mapping_of", lambda leg: replace(real(leg), approval=None))
