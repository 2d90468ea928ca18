"""I4: killed at every step boundary it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems import rest
from flows.appliances import Appliances, Repairs, noted, summary
from flows.killing import assert_survives
from flows.walking import Org, Shop


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, opentext_iot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    inbox = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/batches/markers")
    made: list[Repairs] = []

    def reset() -> None:
        shop.far.reset()
        opentext_iot.reset()
        made[:] = [Repairs(Appliances(opentext_iot, shop, monkeypatch), monkeypatch)]
        for number in range(9):
            device = made[0].owner(number)
            noted(inbox, *(summary(device, day) for day in range(1, 27)))

    def edit(number: int) -> None:
        """One more customer is willing; the one before no longer is."""
        for own in range(6) if number == 0 else (5 + number,):
            made[0].consent(own)
        for own in set(range(9)) - set(range(6 + number)) | set(range(number)):
            made[0].consent(own, withdrawn=True)

    def look() -> Any:
        return made[0].groups()

    assert_survives("iot_recommendations", tmp_path, reset=reset, edit=edit, look=look)
