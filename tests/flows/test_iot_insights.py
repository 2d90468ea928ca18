"""I8, devices to shop: aggregates of a product's devices become features, and nothing that tells of a single one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.ledger import Run
from flows.appliances import Appliances, ago, noted
from flows.walking import Row, Shop, Walk

LEG = "insights_to_product_features"


@pytest.fixture
def fleet(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Appliances:
    opentext_iot.clear_faults()
    return Appliances(opentext_iot, shop, monkeypatch)


def health(device: str, score: float, *, hours_ago: float = 2, ahead_min: float = 0, **data: Any) -> Row:
    at = ago(hours=hours_ago) + timedelta(minutes=ahead_min)
    return {"id": f"{device}/{score}/{at.isoformat()}", "type": "device.health", "subject": device, "time": at,
            "data": {"healthScore": score, "status": "ok"} | data}  # fmt: skip


def walked(walk: Walk, *, mode: str = "auto", ahead_h: float = 0) -> Run:
    now = datetime.now(UTC) + timedelta(hours=ahead_h)
    return walk.leg(LEG, mode, now=now)


def features(shop: Shop) -> dict[str, str]:
    rows = shop.far.records("ProductFeature")
    return {row["qualifier"]: row["value"] for row in rows if row["qualifier"].startswith("iot_insight_")}


def stamps(shop: Shop) -> dict[str, str]:
    """When each feature was last written."""
    return {row["qualifier"]: row["modifiedtime"] for row in shop.far.records("ProductFeature")}


def test_the_story_of_a_products_health(fleet: Appliances, shop: Shop, walk: Walk) -> None:
    shop.product("c200")
    devices = [
        fleet.device(n, productCode="c200", customerRef=f"C{n}", tags=("site:S1",) if n < 5 else ()) for n in range(6)
    ]
    ledger = walk.site.ledger
    shop.far.put("ProductFeature", [{"product": "c200", "qualifier": "color", "valuePosition": 0, "value": "red"}])
    hours = {f"{ago(hours=2):%Y-%m-%dT%H:00:00Z}"}
    noted(ledger, *(health(device, 90 + n % 2) for n, device in enumerate(devices)))
    hours.add(f"{ago(hours=2):%Y-%m-%dT%H:00:00Z}")
    noted(ledger, health(devices[0], 10, hours_ago=9), health(devices[1], 9000, hours_ago=1))
    noted(ledger, health(devices[2], 1, hours_ago=-0.5))  # its clock is half an hour ahead
    walked(walk)
    found = features(shop)
    assert (found["iot_insight_health_value"], found["iot_insight_health_status"]) == ("91", "ok")
    assert (found["iot_insight_health_unit"], found["iot_insight_health_samples"]) == ("points", "5+")
    assert found["iot_insight_health_as_of"] in hours
    assert not [name for name in found if "@" in name], "the one device elsewhere could be told by subtraction"
    assert not [value for value in found.values() for device in devices if device in value]
    before = stamps(shop)
    assert (walked(walk).sent, walked(walk, mode="complete").sent) == (0, 0)
    noted(ledger, *(health(device, 89, hours_ago=1) for device in devices))
    assert walked(walk).sent == 0, "less than epsilon, and not due"
    assert stamps(shop) == before
    noted(ledger, *(health(device, 60, hours_ago=0.5) for device in devices))
    walked(walk)
    assert (features(shop)["iot_insight_health_value"], features(shop)["iot_insight_health_status"]) == (
        "60",
        "degraded",
    )
    run = walked(walk, ahead_h=24)
    assert (features(shop), run.status) == ({}, "green"), "stale insights leave the shop"
    assert [row["qualifier"] for row in shop.far.records("ProductFeature")] == ["color"]


def test_few_devices_or_few_holders_stay_unseen(fleet: Appliances, shop: Shop, walk: Walk) -> None:
    for code, count, holders in (("few", 4, 4), ("one-holder", 8, 2), ("enough", 5, 3), ("ghost", 9, 9)):
        if code != "ghost":
            shop.product(code)
        base = {"few": 0, "one-holder": 10, "enough": 20, "ghost": 30}[code]
        devices = [fleet.device(base + n, productCode=code, customerRef=f"{code}-{n % holders}", tags=("site:S1",))
                   for n in range(count)]  # fmt: skip
        noted(walk.site.ledger, *(health(device, 80) for device in devices))
    run = walked(walk)
    assert {str(row["product"]).partition("|")[0] for row in shop.far.records("ProductFeature")} == {"enough"}
    assert run.delivered == 10
    assert features(shop)["iot_insight_health_value@S1"] == "80", "all of the product's devices are at the site"


def test_a_metric_that_is_not_public_never_leaves(fleet: Appliances, shop: Shop, walk: Walk) -> None:
    shop.product("c200")
    devices = [fleet.device(n, productCode="c200", customerRef=f"C{n}") for n in range(5)]
    for device in devices:
        data = {"loadPctAvg": 55.5, "runtimeHoursTotal": 4210.5, "cyclesTotal": 7}
        hot = {"metric": "temperatureC", "value": 9.26}
        damp = {"metric": "humidityPct", "value": 99}
        noted(walk.site.ledger,
              {"id": f"u{device}", "type": "usage.summary", "subject": device, "time": ago(hours=3), "data": data},
              {"id": f"t{device}", "type": "environment.excursion", "subject": device, "time": ago(hours=3), "data": hot},
              {"id": f"h{device}", "type": "environment.excursion", "subject": device, "time": ago(hours=2), "data": damp},
              {"id": f"b{device}", "type": "usage.summary", "subject": device, "time": ago(hours=2), "data": {"loadPctAvg": "?"}})  # fmt: skip
    walked(walk)
    found = features(shop)
    assert {name.split("_")[2] for name in found} == {"utilisation", "temperature"}
    assert (found["iot_insight_utilisation_value"], found["iot_insight_temperature_value"]) == ("56", "9.3")


def test_order_and_repetition_of_readings_do_not_matter(fleet: Appliances, shop: Shop, walk: Walk) -> None:
    shop.product("c200")
    devices = [fleet.device(n, productCode="c200", customerRef=f"C{n}") for n in range(5)]
    readings = [
        health(device, 50 + n + hours, hours_ago=hours) for n, device in enumerate(devices) for hours in (1, 2, 3)
    ]
    noted(walk.site.ledger, *readings[::-2])
    walked(walk)
    noted(walk.site.ledger, *readings, *readings[:4])
    walked(walk)
    assert features(shop)["iot_insight_health_value"] == "53"
