"""I7: killed at every step boundary it ends as if nothing had happened; a person's yes survives with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems import rest
from flows.appliances import Appliances, Repairs, ago, excursion, noted
from flows.killing import assert_survives
from flows.walking import Org, Shop

MEMBERS = "incident_members_to_groups"


def ledger_of(folder: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{folder}/ledger.db", files=f"{folder}/batches/markers")


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, opentext_iot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    inboxes, made, at = list[Ledger](), list[Repairs](), ago(hours=3)

    def reset() -> None:
        """Both plays begin with an empty inbox: what a person was asked, and when, depends on what has come so far."""
        home = tmp_path / f"home-{len(inboxes)}"
        home.mkdir()
        monkeypatch.setenv("COMMERCE_SYNC_HOME", str(home))
        inboxes.append(ledger_of(home))
        shop.far.reset()
        opentext_iot.reset()
        made[:] = [Repairs(Appliances(opentext_iot, shop, monkeypatch), monkeypatch)]
        shop.customers(*range(10))
        for number in range(10):
            made[0].fleet.device(number, tags=(f"customer:C{number:04d}", f"site:S{number}"))

    def edit(number: int) -> None:
        """One more incident, a yes to the one before, and the end of the one before that."""
        device = made[0].fleet.device_id
        noted(inboxes[-1], *(excursion(device(number), f"x-{number}", at.replace(second=n)) for n in (1, 2)))
        if number > 1:
            noted(inboxes[-1], excursion(device(number - 2), f"x-{number - 2}", at.replace(second=9), state="closed"))
        for folder in (tmp_path / "undisturbed", tmp_path / "killed"):
            if folder.exists():
                ledger = ledger_of(folder)
                keys = [item.key for item in ledger.holds(MEMBERS)]
                ledger.answer_holds(MEMBERS, keys=keys, status="approved", by="ann")

    def look() -> Any:
        rows = [row for row in shop.far.records("UserGroup") if row["uid"].startswith("iot-")]
        return made[0].groups(), {row["uid"]: json.loads(row["description"])["status"] for row in rows}

    assert_survives("iot_incidents", tmp_path, reset=reset, edit=edit, look=look)
    groups = {f"iot-safety-excursion-x-{number}": status for number, status in enumerate(("closed", "open", "open"))}
    assert look() == ({"iot-safety-excursion-x-1": {1}}, groups), "the first is over, the last waits for a yes"
