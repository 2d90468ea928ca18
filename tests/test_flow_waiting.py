"""Two runs of a leg at once: both arrive, one after the other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from commerce_sync import flow, walk
from commerce_sync import leg as legs
from commerce_sync.company import LegBusy
from commerce_sync.window import Request
from flows.house import org, shop
from flows.walking import HOUSEHOLDS, Org, Shop, Walk

__all__ = ["org", "shop"]


@pytest.fixture
def house(tmp_path: Path) -> Walk:
    made = Walk(tmp_path)
    made.gated = False
    return made


def go(house: Walk, run_id: str, *, wait_s: float) -> None:
    walk.leg(
        house.site, house.mapping(HOUSEHOLDS), run_id, request=Request(), sources=flow.source_system,
        targets=flow.target_system, wait_s=wait_s,
    )  # fmt: skip


def test_two_runs_at_once_both_end_green_the_second_after_the_first(
    house: Walk, shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customers(1, 2)
    monkeypatch.setattr(walk, "LOOK_AGAIN_S", 0.05)
    begun, may_end = threading.Event(), threading.Event()
    real = legs.extract

    def slow(leg: legs.LegRun, sources: legs.Sources) -> dict[str, object]:
        if leg.id == "first":
            begun.set()
            assert may_end.wait(20)
        return real(leg, sources)

    monkeypatch.setattr(legs, "extract", slow)
    runs = [threading.Thread(target=go, args=(house, name), kwargs={"wait_s": 20}) for name in ("first", "second")]
    runs[0].start()
    assert begun.wait(20)
    runs[1].start()
    with pytest.raises(LegBusy, match="first is still at work"):
        go(house, "impatient", wait_s=0.2)
    may_end.set()
    for run in runs:
        run.join(60)
    found = {run.run: run for run in house.runs(HOUSEHOLDS)}
    assert {name: run.status for name, run in found.items()} == {"first": "green", "second": "green"}
    assert found["first"].ended <= found["second"].started
    assert (found["first"].delivered, found["second"].delivered, len(org.accounts)) == (2, 0, 2)
