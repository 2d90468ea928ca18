"""I1: episodes of faults, not messages, put customers into groups of offers, and take them out again."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.ledger import Run
from flows.appliances import Appliances, Repairs, ago, fault, noted
from flows.walking import Row, Shop, Walk, line

LEG = "condition_offers_to_groups"
RULE = "fault_device_and_customer_are_known"


@pytest.fixture
def repairs(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Repairs:
    opentext_iot.clear_faults()
    found = Repairs(Appliances(opentext_iot, shop, monkeypatch), monkeypatch)
    found.stocked()
    return found


def walked(walk: Walk, *, mode: str = "auto", ahead: timedelta = timedelta(0)) -> Run:
    return walk.leg(LEG, mode, now=datetime.now(UTC) + ahead)


def stamps(shop: Shop) -> dict[str, str]:
    return {row["uid"]: row["modifiedtime"] for row in shop.far.records("UserGroup")}


def test_the_story_of_a_fault(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    ledger, device, second = walk.site.ledger, repairs.owner(1), repairs.owner(2)
    start = ago(minutes=2)
    noted(ledger, fault(device, "E17", start))
    assert walked(walk).sent == 0, "it has not lasted yet"
    noted(ledger, *(fault(device, "E17", start + timedelta(seconds=n), n=n) for n in range(20)))  # a storm
    noted(ledger, fault(second, "E17", ago(minutes=20)), fault(second, "E17", ago(minutes=19), state="cleared"))
    run = walked(walk, ahead=timedelta(minutes=6))
    assert (repairs.groups(), run.delivered) == ({"iot-offer-filter": {1}}, 1), (
        "what was cleared before is never offered"
    )
    before = stamps(shop)
    later = timedelta(minutes=7)
    assert (walked(walk, ahead=later).sent, walked(walk, mode="complete", ahead=later).sent) == (0, 0)
    assert stamps(shop) == before
    noted(ledger, fault(device, "E17", ago(), state="cleared"))
    walked(walk)
    assert repairs.groups() == {}
    noted(ledger, fault(device, "E17", ago(), instance="f-2"))
    walked(walk, ahead=timedelta(minutes=10))
    assert repairs.groups() == {}, "it flaps: an hour has to pass"
    walked(walk, ahead=timedelta(minutes=65))
    assert repairs.groups() == {"iot-offer-filter": {1}}
    shop.moment = datetime.now(UTC)
    shop.order(
        "O1",
        customer=1,
        day=f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%S+00:00}",
        lines=[line(0, "filter", 1, 5)],
    )
    walked(walk, ahead=timedelta(minutes=70))
    assert repairs.groups() == {}, "the part was bought"
    noted(
        ledger,
        fault(device, "E17", ago(minutes=-80), state="cleared", instance="f-2"),
        fault(device, "E17", ago(minutes=-300), instance="f-3"),
    )
    assert repairs.groups() == {}, "an event from the future is none"


def test_a_fault_that_is_back_after_the_part_was_bought_is_looked_at(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    device, other = repairs.owner(1, consent=False), repairs.owner(2)
    for owner in (device, other):
        noted(walk.site.ledger, fault(owner, "E17", ago(days=9)), fault(owner, "E17", ago(days=8), state="cleared"),
              fault(owner, "E17", ago(days=1), instance="f-2"))  # fmt: skip
    shop.order("O1", customer=1, day=f"{ago(days=8):%Y-%m-%d}", lines=[line(0, "filter", 1, 5)])
    shop.order("O2", customer=2, day=f"{ago(days=8):%Y-%m-%d}", lines=[line(0, "filter", 1, 5)], status="CANCELLED")
    walked(walk)
    assert repairs.groups() == {"iot-escalation": {1}, "iot-offer-filter": {2}}


def test_each_gate_lets_one_pass_and_stops_one(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    """Consent, stock, approval, safety, unknown codes, unknown customers, unit fallback, firmware."""
    repairs.parts("old", "mid", "new", "bare", "pump-device")
    repairs.parts("old", status="unapproved")
    repairs.parts("mid", available=0)
    repairs.fits("bare", "old", "CONSUMABLE")
    for one, next_one in (("old", "mid"), ("mid", "new"), ("new", "old")):  # a circle
        repairs.fits(one, next_one, "FOLLOWUP")
    repairs.fits("pump-device", "mid", "CONSUMABLE")  # superseded by new
    repairs.fits("pump-device", "belt", "SPAREPART", active=False)
    shop.units("acme")
    shop.buyers(50, 51, unit="acme")
    repairs.owner(1)
    shop.far.put("Consent", [{"code": "b50", "consentTemplate": {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"},
                              "customer": "b50@people.example", "consentGivenDate": "2026-01-01T00:00:00+00:00",
                              "modifiedtime": shop.tick()}])  # fmt: skip
    devices = {n: repairs.owner(n, **values) for n, values in {
        2: {"consent": False}, 3: {"product": "bare"}, 4: {"product": "pump-device"}, 5: {}, 6: {}, 7: {"product": "pump-device"},
        8: {"firmware": "1.9.4"}, 9: {"firmware": "2.10.0"}, 10: {},
    }.items()}  # fmt: skip
    repairs.consent(10, withdrawn=True)
    codes = {2: "E17", 3: "E17", 4: "E17", 5: "E04", 6: "E99", 7: "E33", 8: "E33", 9: "E33", 10: "E17"}
    noted(walk.site.ledger, *(fault(devices[n], code, ago(hours=2)) for n, code in codes.items()))
    unit = repairs.fleet.device(60, productCode="c200", customerRef="h-unknown", b2bUnit="acme")
    nobody = repairs.fleet.device(61, productCode="c200")
    noted(walk.site.ledger, fault(unit, "e17 ", ago(hours=2)), fault(nobody, "E17", ago(hours=2)),
          fault("ghost", "E17", ago(hours=2)), fault(unit, "E40", ago(hours=2), instance="weak"),
          fault(unit, "E41", ago(hours=2), instance="nobody-approved"), fault(unit, None, ago(hours=2), instance="none"))  # fmt: skip
    run = walked(walk)
    assert repairs.groups() == {
        "iot-offer-new": {3, 4},
        "iot-offer-belt": {9},
        "iot-service": {5, 7, 8},
        "iot-offer-filter": {50},
    }
    assert (run.status, run.quarantined, run.rejected) == ("green", 5, 0)
    assert {key.split("|")[1] for key in walk.rejects(LEG)} == {devices[6], nobody, "ghost", unit}
    assert all(RULE in str(item.reason) for item in walk.rejects(LEG).values())
    repairs.parts("mid", available=9)
    repairs.consent(2)
    walked(walk)
    assert repairs.groups()["iot-offer-mid"] == {3, 4}, "back in stock"
    assert repairs.groups()["iot-offer-filter"] == {2, 50}


def test_low_health_is_offered_a_replacement_with_hysteresis(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    repairs.parts("c300")
    repairs.fits("c200", "c300", "UPSELLING")
    ledger, device = walk.site.ledger, repairs.owner(1)

    def score(hours: float, value: float) -> Row:
        at = ago(hours=hours)
        return {
            "id": f"{value}/{at}",
            "type": "device.health",
            "subject": device,
            "time": at,
            "data": {"healthScore": value},
        }

    noted(ledger, score(9, 80), score(8, 55))
    walked(walk)
    assert repairs.groups() == {}, "one reading is none"
    noted(ledger, score(7, 65), score(6, 50))
    walked(walk)
    assert repairs.groups() == {"iot-offer-c300": {1}}
    noted(ledger, score(5, 69), score(4.5, 900))
    walked(walk)
    assert repairs.groups() == {"iot-offer-c300": {1}}
    noted(ledger, score(4, 71))
    walked(walk)
    assert repairs.groups() == {}


def test_a_customer_gets_three_offers_a_week_and_one_per_part(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    now = datetime.now(UTC)  # two weeks ago: the week after it is over as well, whatever day it is
    monday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday() + 14)
    devices = [repairs.owner(1)]
    for number in range(5):
        repairs.parts(f"d{number}", f"p{number}")
        repairs.fits(f"d{number}", f"p{number}", "CONSUMABLE")
        devices.append(repairs.fleet.device(20 + number, productCode=f"d{number}", customerRef="C0001"))
    noted(
        walk.site.ledger, *(fault(device, "E17", monday + timedelta(hours=n)) for n, device in enumerate(devices[1:]))
    )
    walked(walk)
    assert set(repairs.groups()) == {"iot-offer-p0", "iot-offer-p1", "iot-offer-p2"}
    twin = repairs.fleet.device(40, productCode="d0", customerRef="C0001")
    noted(walk.site.ledger, fault(twin, "E17", monday + timedelta(days=8)))
    noted(walk.site.ledger, fault(devices[1], "E17", ago(minutes=5), state="cleared"))
    walked(walk)
    assert "iot-offer-p0" in repairs.groups(), "another device of the customer still needs the part"


def story(devices: list[str]) -> list[Row]:
    """Messages of every kind over two weeks: chatter, clears, repeats, no instance ids, unknown codes."""
    draw, found = random.Random(7), []
    for number in range(60):
        device, at = draw.choice(devices), ago(days=14) + timedelta(minutes=draw.randrange(0, 14 * 24 * 60 - 600))
        code = draw.choice(["E17", "E17", "E33", "E04", "E99"])
        instance = None if number % 3 == 0 else f"f-{number}"
        found.append(fault(device, code, at, instance=instance))
        found += [
            fault(device, code, at + timedelta(seconds=30 * n), instance=instance, n=n)
            for n in range(1, draw.randrange(1, 4))
        ]
        if draw.random() < 0.7:
            found.append(
                fault(device, code, at + timedelta(minutes=draw.randrange(1, 500)), instance=instance, state="cleared")
            )
    return found


def test_any_order_and_repetition_of_messages_ends_alike(
    repairs: Repairs, shop: Shop, walk: Walk, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    devices = [repairs.owner(number) for number in range(1, 7)]
    belt = fault(repairs.owner(7), "E33", ago(days=2), instance=None)
    messages = list({row["id"]: row for row in [*story(devices), belt]}.values())
    ends = []
    for seed in range(3):
        monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path / str(seed)))
        again = Walk(tmp_path / str(seed))
        for group in repairs.groups():
            shop.far.delete("UserGroup", group)
        late = list(messages)
        random.Random(seed).shuffle(late)
        for share in (late[: 40 * seed], late[20 * seed :]) if seed else (late,):
            noted(again.site.ledger, *share)
            walked(again)
        ends.append((repairs.groups(), set(again.rejects(LEG))))
    assert ends[0] == ends[1] == ends[2]
    assert set(ends[0][0]) == {"iot-offer-filter", "iot-offer-belt", "iot-service"}
    assert ends[0][1]
