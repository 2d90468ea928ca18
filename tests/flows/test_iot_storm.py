"""A small storm of device events through the inbox and the flows I1, I6 and I2, against rules told in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks import storm_far, storm_flows, storm_world
from benchmarks.storm_oracle import Expected, expect
from flows.walking import Shop, Walk

EVENTS, DEVICES = 20_000, 400
WRITES = 1.05


class Weather:
    """A storm over fresh simulators."""

    def __init__(self, folder: Path, walk: Walk, sides: tuple[Any, Any], now: datetime) -> None:
        self.folder, self.walk, self.sides, self.now = str(folder), walk, sides, now
        self.world = storm_world.read(self.folder)
        self.seen: set[int] = set()
        self.far = [storm_far.FarSide(side.credentials) for side in sides]
        storm_far.fill(self.world, *self.far)

    def blow(self, *deliveries: int) -> dict[str, int]:
        """Some deliveries come, then each flow runs once; gives leg -> rows it asked the shop to change."""
        for number in deliveries:
            storm_flows.take(self.walk.site.ledger, self.folder, number)
        self.seen |= set(deliveries)
        runs = {leg: self.walk.leg(leg, now=self.now) for leg in storm_flows.LEGS}
        return {leg: storm_flows.told(run)["writes"] for leg, run in runs.items()}

    def wanted(self, before: Expected) -> Expected:
        """What the oracle says of all that has come so far."""
        events = {
            event[0]: event for number in sorted(self.seen) for event in storm_flows.delivered(self.folder, number)
        }
        return expect(self.world, events.values(), now=self.now, stock=before.stock)

    def held(self) -> Expected:
        return storm_far.held(self.far[0])


@pytest.fixture
def weather(
    shop: Shop, walk: Walk, opentext_iot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Weather:  # fmt: skip
    opentext_iot.clear_faults()
    for name in ("SAP_COMMERCE_DEFAULT", "SAP_COMMERCE_OCC", "OPENTEXT_IOT_DEFAULT"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", "")
    storm_far.connect({"sap_commerce": shop.far.credentials, "opentext_iot": opentext_iot.credentials})
    # One member a call: then the simulator counts them.
    walk.alter("condition_offers_to_groups", target={"options": {"members_per_call": 1}})
    storm_world.generate(folder=str(tmp_path / "storm"), events=EVENTS, devices=DEVICES)
    return Weather(tmp_path / "storm", walk, (shop.far, opentext_iot), datetime.now(UTC) + timedelta(minutes=5))


def test_a_storm_ends_in_exactly_what_the_rules_say_with_no_write_to_spare(weather: Weather, shop: Shop) -> None:
    before, results, writes = Expected(set(), {}, {}), 0, 0
    shop.far.reset_calls()
    comings: dict[str, int] = {"offers": 0, "carts": 0}
    for number in storm_flows.rounds():
        writes += sum(weather.blow(number).values())
        wanted = weather.wanted(before)
        assert storm_flows.differences(wanted, weather.held()) == {}, f"after delivery {number}"
        results += sum(storm_flows.results(before, wanted).values())
        comings["offers"] += len(wanted.offers - before.offers)
        comings["carts"] += len(wanted.carts.keys() - before.carts.keys())
        before = wanted
    assert min(len(before.offers), len(before.carts), len(before.stock)) > DEVICES // 20, "hardly a storm"
    assert len({group for group, _ in before.offers}) > 3
    assert writes <= WRITES * results
    calls = shop.far.calls()["by_route"]
    assert calls["POST /occ/v2/{site}/users/{user}/carts"] == comings["carts"]
    # A group that is not there yet takes one call more.
    asked = calls["PATCH /occ/v2/{site}/customergroups/{group}/members"]
    assert asked - calls["POST /occ/v2/{site}/customergroups"] == comings["offers"]
    assert sum(weather.blow().values()) == 0


def test_the_same_storm_in_another_order_ends_alike(weather: Weather, walk: Walk) -> None:
    weather.blow(4, 2, 3)
    weather.blow(2, 1, 0)
    wanted = weather.wanted(Expected(set(), {}, {}))
    assert storm_flows.differences(wanted, weather.held()) == {}
