"""I3: a consumable that runs low has one saved cart per refill cycle, and nothing is ordered for anybody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.appliances import PROFILES, Appliances, ago, noted
from flows.shelves import REFILLS, Pantry, hours, level, levels, refilled
from flows.walking import Shop, Walk, line

LOW = ((4, 30.0), (3, 22.0), (2, 14.0), (1, 12.0))
"""Days ago and percent: two readings in a row are low."""
ONE = [[("filter", 2)]]
"""The carts of a customer who is offered a pack."""


@pytest.fixture(params=PROFILES)
def pantries(request: Any, opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Pantry:
    opentext_iot.clear_faults()
    return Pantry(Appliances(opentext_iot, shop, monkeypatch, profile=request.param), monkeypatch)


@pytest.fixture
def pantry(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch, walk: Walk) -> Pantry:
    opentext_iot.clear_faults()
    walk.gated = False  # the gate has stories of its own
    found = Pantry(Appliances(opentext_iot, shop, monkeypatch), monkeypatch)
    found.stocked()
    return found


def test_the_story_of_a_filter(pantries: Pantry, shop: Shop, walk: Walk) -> None:
    pantries.stocked()
    ledger, fleet = walk.site.ledger, pantries.fleet
    device, other = pantries.owner(1, consent=False), pantries.owner(2, consent=False)
    for days, pct in LOW[1:]:
        fleet.reading(device, "consumable.level", hours_ago=days * 24, consumableType="Air-Filter ", levelPct=pct,
                      remainingUnits=pct * 20, unit="hour", estDaysLeft=pct)  # fmt: skip
    fleet.reading(other, "consumable.level", hours_ago=24, consumableType="air-filter", levelPct=3, estDaysLeft=1)
    fleet.polled(ledger)
    refilled(walk)
    assert pantries.refills() == {1: ONE}, "one reading is none"
    (row,) = shop.far.records("Cart")
    assert json.loads(row["description"]) == {
        "consumable": "air-filter",
        "device": "c200",
        "part": "filter",
        "quantity": 2,
    }
    assert (row["saveTime"] is not None, shop.far.records("Order")) == (True, [])
    stamps = pantries.stamps()
    assert (refilled(walk).sent, refilled(walk, mode="complete").sent, pantries.stamps()) == (0, 0, stamps)

    noted(ledger, *levels(device, (0.9, 11), (0.8, 15.4), (0.7, 14)), *levels(other, (0.5, 4.0)))
    refilled(walk)
    assert (pantries.refills(), pantries.stamps().items() >= stamps.items()) == ({1: ONE, 2: ONE}, True), "it flaps"
    first = pantries.names(1)
    noted(ledger, *levels(device, (0.6, 97), (0.5, 96)))
    refilled(walk)
    assert pantries.refills() == {2: ONE}, "refilled"
    noted(ledger, *levels(device, (0.4, 14), (0.3, 13)))
    refilled(walk)
    assert pantries.refills() == {1: ONE, 2: ONE}, "the next cycle"
    assert pantries.names(1) != first


@pytest.mark.parametrize(
    ("readings", "is_offered"),
    [
        (((2, 40.0), (1, 14.0)), False),
        (((3, 40.0), (2, 14.0), (1, 16.0)), False),
        (((3, 15.1), (2, 15.2), (1, 15.3)), False),
        (((2, 15.0), (1, 15.0)), True),
        (((3, 35.0), (2, 25.0), (1, 14.0)), True),
        (((3, 80.0), (2, 70.0), (1, 14.0)), False),
        (((3, 14.0), (2, 80.0), (1, 14.0)), False),
        (((9, 14.0), (8, 13.0), (7, 16.0), (1, 18.0)), True),
        (((2, -5.0), (1, 130.0)), False),
        (((-2, 3.0), (-1, 3.0)), False),
        (((90, 3.0), (89, 3.0)), False),
    ],
    ids=["one reading", "one and a recovery", "just above", "two", "one and a trend", "a fall out of the blue",
         "a glitch between", "low stays low", "outside the scale", "a clock that is ahead", "heard long ago"],
)  # fmt: skip
def test_low_is_two_readings_or_one_and_a_trend(
    pantry: Pantry, walk: Walk, readings: tuple[tuple[float, float], ...], is_offered: bool
) -> None:  # fmt: skip
    noted(walk.site.ledger, *levels(pantry.owner(1), *readings))
    refilled(walk)
    assert pantry.refills() == ({1: ONE} if is_offered else {})


def test_days_left_count_like_percent(pantry: Pantry, walk: Walk) -> None:
    device, other = pantry.owner(1), pantry.owner(2)
    noted(walk.site.ledger, level(device, 40, days_ago=2, estDaysLeft=5), level(device, 39, days_ago=1, estDaysLeft=4),
          level(other, 40, days_ago=2, estDaysLeft=-5), level(other, 39, days_ago=1, estDaysLeft=6))  # fmt: skip
    refilled(walk)
    assert pantry.refills() == {1: ONE}


def test_a_reset_of_the_sensor_is_no_refill(pantry: Pantry, walk: Walk) -> None:
    """A single high reading, one without more units, one beside a fall of the hour counter; and a true refill."""
    devices = {n: pantry.owner(n) for n in (1, 2, 3, 4, 5)}
    ledger = walk.site.ledger
    for device in devices.values():
        noted(ledger, *levels(device, (9, 14), (8, 12), remainingUnits=200))
    refilled(walk)
    names = {n: pantry.names(n) for n in devices}
    assert pantry.refills() == dict.fromkeys(devices, ONE)
    noted(
        ledger,
        *levels(devices[1], (7, 100), remainingUnits=2000), *levels(devices[1], (6, 11), (5, 10), remainingUnits=180),
        *levels(devices[2], (7, 100), (6, 99), remainingUnits=200),
        *levels(devices[3], (7, 100), (6, 99), remainingUnits=2000), hours(devices[3], 900, days_ago=8), hours(devices[3], 3, days_ago=7),
        *levels(devices[4], (7, 40), (6, 39), remainingUnits=800),
        *levels(devices[5], (7, 95), (6, 94), remainingUnits=1900), hours(devices[5], 900, days_ago=8), hours(devices[5], 920, days_ago=7),
    )  # fmt: skip
    refilled(walk)
    assert pantry.refills() == dict.fromkeys((1, 2, 3, 4), ONE), "only the fifth was refilled"
    assert {n: pantry.names(n) for n in (1, 2, 3, 4)} == {n: names[n] for n in (1, 2, 3, 4)}


def test_nothing_is_offered_while_an_order_or_a_cart_is_open(pantry: Pantry, shop: Shop, walk: Walk) -> None:
    for n in range(1, 7):
        noted(walk.site.ledger, *levels(pantry.owner(n), *LOW))
    day = {n: f"{ago(days=n):%Y-%m-%d}" for n in (1, 9, 30, 40)}
    shop.order("O1", customer=1, day=day[40], lines=[line(0, "filter", 2, 20)], status="CREATED")  # still on its way
    shop.order("O2", customer=2, day=day[1], lines=[line(0, "filter", 2, 20)])
    shop.order("O3", customer=3, day=day[30], lines=[line(0, "filter", 2, 20)])  # used up by now
    shop.order("O4", customer=4, day=day[1], lines=[line(0, "filter", 2, 20)], status="CANCELLED")
    shop.order("O5", customer=5, day=day[9], lines=[line(0, "c200", 1, 900)])
    shop.far.put("Cart", [{"code": "own", "user": "c6@people.example", "currency": "USD", "date": ago(days=1).isoformat(), "name": "my list",
                           "entries": [{"entryNumber": 0, "product": "filter", "quantity": 1}]}])  # fmt: skip
    refilled(walk)
    assert pantry.refills() == dict.fromkeys((3, 4, 5), ONE)
    shop.touch("O1", status="CANCELLED", modifiedtime=ago(seconds=2).isoformat())
    shop.far.delete("Cart", "own")
    refilled(walk, mode="complete")
    assert pantry.refills() == dict.fromkeys((1, 3, 4, 5, 6), ONE)
    shop.order("O6", customer=3, day=f"{ago():%Y-%m-%d}", lines=[line(0, "filter", 2, 20)], status="CREATED")
    shop.touch("O6", modifiedtime=ago(seconds=2).isoformat())
    refilled(walk)
    assert 3 not in pantry.refills(), "bought elsewhere"


def test_pieces_serve_the_devices_of_a_customer_in_turn_and_carts_are_capped(
    pantry: Pantry, shop: Shop, walk: Walk
) -> None:  # fmt: skip
    first = pantry.owner(1)
    more = [pantry.fleet.device(10 + n, productCode="c200", customerRef="C0001") for n in range(5)]
    for n, device in enumerate((first, *more)):
        noted(walk.site.ledger, *levels(device, (0.5 - n / 100, 14), (0.4 - n / 100, 13)))
    shop.order("O1", customer=1, day=f"{ago():%Y-%m-%d}", lines=[line(0, "filter", 4, 20)], status="CREATED")
    refilled(walk)
    assert pantry.refills() == {1: ONE * 3}, "two are served, three a month"
    pantry.parts("x9", "cartridge")
    pantry.fits("x9", "cartridge", "CONSUMABLE", quantity=2)
    pantry.priced("cartridge", 120.0)
    dear = [pantry.owner(2, product="x9"), pantry.fleet.device(20, productCode="x9", customerRef="C0002")]
    noted(walk.site.ledger, *(row for device in dear for row in levels(device, *LOW)))
    refilled(walk)
    assert pantry.refills() == {1: ONE * 3, 2: [[("cartridge", 2)]]}, "a second pack would be 480 dollars in all"


def test_only_what_the_shop_sells_now_is_offered_and_stays_as_it_was(pantry: Pantry, shop: Shop, walk: Walk) -> None:
    ways: dict[str, dict[str, Any]] = {
        "unpriced": {}, "over": {"endTime": ago(days=1).isoformat()}, "soon": {"startTime": ago(days=-1).isoformat()},
        "group": {"ug": "gold"}, "scale": {"minqtd": 100}, "sold": {}, "unapproved": {},
    }  # fmt: skip
    shop.far.put("UserPriceGroup", [{"code": "gold"}])
    for n, (way, price) in enumerate(ways.items(), 11):
        pantry.parts(f"d-{way}", way, available=0 if way == "sold" else 5)
        pantry.parts(
            way, available=0 if way == "sold" else 5, status="unapproved" if way == "unapproved" else "approved"
        )
        pantry.fits(f"d-{way}", way, "CONSUMABLE")
        if way != "unpriced":
            pantry.priced(way, 10.0, **price)
        noted(walk.site.ledger, *levels(pantry.owner(n, product=f"d-{way}"), *LOW))
    pantry.parts("c200-pro", "toner", "toner-xl", "anything")
    for code in ("toner", "toner-xl"):
        pantry.priced(code, 9.0)
    pantry.fits("c200", "toner", "SPAREPART")
    pantry.fits("c200-pro", "toner", "CONSUMABLE")
    noted(
        walk.site.ledger,
        *levels(pantry.owner(1), *LOW),
        *levels(pantry.owner(2, product="c200-pro"), *LOW, consumable="toner-black"),
    )
    refilled(walk)
    assert pantry.refills() == {1: ONE, 2: [[("toner-xl", 2)]]}, "a line of the device's own goes first"
    pantry.parts("filter", available=0, modifiedtime=ago(seconds=2).isoformat())
    shop.far.patch("StockLevel", "filter|main", available=0, modifiedtime=ago(seconds=2).isoformat())
    pantry.priced("unpriced", 10.0, modifiedtime=ago(seconds=2).isoformat())
    refilled(walk)
    assert pantry.refills() == {1: ONE, 2: [[("toner-xl", 2)]], 11: [[("unpriced", 1)]]}, "what was offered stays"
    shop.far.patch("Product", "filter", approvalStatus="unapproved", modifiedtime=ago(seconds=2).isoformat())
    refilled(walk)
    assert 1 not in pantry.refills(), "unless it is sold no more"


def test_a_customer_who_left_is_offered_nothing(pantry: Pantry, shop: Shop, walk: Walk) -> None:
    shop.units("acme", "gone")
    shop.buyers(1, unit="acme")
    shop.buyers(2, unit="gone")
    devices = {"private": pantry.owner(1), "ended": pantry.owner(2, contractEnd=f"{ago(days=2):%Y-%m-%d}"),
               "runs": pantry.owner(3, contractEnd=f"{ago(days=-2):%Y-%m-%d}"),
               "acme": pantry.fleet.device(4, productCode="c200", b2bUnit="acme"),
               "gone": pantry.fleet.device(5, productCode="c200", b2bUnit="gone")}  # fmt: skip
    for device in devices.values():
        noted(walk.site.ledger, *levels(device, *LOW))
    refilled(walk)
    users = sorted(str(row["user"]) for row in shop.far.records("Cart"))
    assert users == ["b1@people.example", "b2@people.example", "c1@people.example", "c3@people.example"]
    shop.change(1, loginDisabled=True, modifiedtime=ago(seconds=2).isoformat())
    shop.far.patch("B2BUnit", "gone", active=False, modifiedtime=ago(seconds=2).isoformat())
    refilled(walk)
    assert sorted(str(row["user"]) for row in shop.far.records("Cart")) == ["b1@people.example", "c3@people.example"]


def test_a_cart_that_was_refused_rests_and_one_that_was_purged_is_made_again(
    pantry: Pantry, shop: Shop, walk: Walk
) -> None:  # fmt: skip
    devices = [pantry.owner(n) for n in (1, 2)]
    noted(walk.site.ledger, *(row for device in devices for row in levels(device, *LOW)))
    refilled(walk)
    refilled(walk, mode="complete")  # now they were seen in the shop
    assert pantry.refills() == {1: ONE, 2: ONE}

    def drop(number: int) -> None:
        for row in shop.far.records("Cart"):
            if str(row["user"]).startswith(f"c{number}@"):
                shop.far.delete("Cart", row["code"])

    drop(1)
    run = refilled(walk, mode="complete", ahead_d=1)
    assert (pantry.refills(), run.rejected) == ({2: ONE}, 0), "refused"
    assert refilled(walk, mode="complete", ahead_d=20).sent == 0
    drop(2)
    noted(walk.site.ledger, *(row for device in devices for row in levels(device, (0.1, 10))))
    refilled(walk, mode="complete", ahead_d=28)
    assert pantry.refills() == {2: ONE}, "28 days old: purged, not refused"
    refilled(walk, mode="complete", ahead_d=32)
    assert pantry.refills() == {1: ONE, 2: ONE}, "the rest is over"
    assert refilled(walk, mode="complete", ahead_d=33).sent == 0


def test_a_cart_that_became_an_order_is_no_refusal(pantry: Pantry, shop: Shop, walk: Walk) -> None:
    device = pantry.owner(1)
    noted(walk.site.ledger, *levels(device, *LOW))
    refilled(walk)
    refilled(walk, mode="complete")
    for row in shop.far.records("Cart"):
        shop.far.delete("Cart", row["code"])
    shop.order("O1", customer=1, day=f"{ago():%Y-%m-%d}", lines=[line(0, "filter", 2, 20)], status="CREATED")
    shop.touch("O1", modifiedtime=ago(seconds=2).isoformat())
    run = refilled(walk, mode="complete")
    assert (run.rejected, pantry.refills()) == (0, {})
    shop.touch("O1", status="CANCELLED", modifiedtime=ago(seconds=2).isoformat())
    refilled(walk, mode="complete")
    assert pantry.refills() == {1: ONE}, "there is no rest to wait for"


def test_a_cart_the_customer_has_changed_stays_when_the_device_is_refilled(
    pantry: Pantry, shop: Shop, walk: Walk
) -> None:
    device = pantry.owner(1)
    noted(walk.site.ledger, *levels(device, *LOW))
    refilled(walk)
    (cart,) = shop.far.records("Cart")
    shop.far.patch("Cart", cart["code"], entries=[{"entryNumber": 0, "product": "filter", "quantity": 6}])
    noted(walk.site.ledger, *levels(device, (0.5, 99), (0.4, 98)))
    run = refilled(walk)
    assert (run.deleted, run.rejected, pantry.refills()) == (1, 0, {1: [[("filter", 6)]]})


def test_what_nobody_knows_is_shown_and_stops_nothing_else(pantry: Pantry, walk: Walk) -> None:
    walk.gated = True
    known, stranger = pantry.owner(1), pantry.fleet.device(2, productCode="c200")
    noted(walk.site.ledger, *levels(known, *LOW), *levels(known, *LOW, consumable="Ink 🖋 العربية"), *levels(known, *LOW, consumable="coolant"),
          *levels(stranger, *LOW), *levels("no-such-device", *LOW), *levels(known, *LOW, consumable="x" * 300),
          level(known, "empty", days_ago=0.5), level(known, None, days_ago=0.4), level(known, 3, days_ago=0.3, consumable=None))  # fmt: skip
    run = refilled(walk)
    assert (pantry.refills(), run.status) == ({1: ONE}, "green")
    assert set(walk.rejects(REFILLS)) == {
        f"unknown|{known}|ink 🖋 العربية", f"unknown|{known}|coolant", f"unknown|{known}|{'x' * 300}",
        f"unknown|{stranger}|air-filter", "unknown|no-such-device|air-filter",
    }  # fmt: skip
    assert {item.code for item in walk.rejects(REFILLS).values()} == {"device_customer_and_consumable_are_known"}


def test_a_lost_answer_makes_no_second_cart(pantry: Pantry, shop: Shop, walk: Walk) -> None:
    for n in (1, 2, 3):
        noted(walk.site.ledger, *levels(pantry.owner(n), *LOW))
    shop.far.fault(action="status", status=503, match={"method": "PATCH", "path": "/save"}, skip=1, times=5)
    walk.attempt(REFILLS)
    shop.far.clear_faults()
    refilled(walk)
    assert pantry.refills() == dict.fromkeys((1, 2, 3), ONE)
    assert refilled(walk).sent == 0


def test_messages_late_doubled_and_out_of_order_end_in_the_same_cart(pantry: Pantry, walk: Walk) -> None:
    device = pantry.owner(1)
    story = levels(device, (20, 50), (19, 14), (18, 13), (17, 96), (16, 95), (9, 30), (8, 14), (7, 13))
    for event in (story[7], story[2], story[3], story[0]):
        noted(walk.site.ledger, event)
        refilled(walk)
    noted(walk.site.ledger, *story[::-1], *levels(device, (8, 14), (7, 13), n=1))
    refilled(walk)
    assert pantry.refills() == {1: ONE}
    assert f"{ago(days=17):%Y%m%d}" in pantry.names(1)[0]
