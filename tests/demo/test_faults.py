"""What follows from faults, worked out in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from demo import faults, insights
from demo.faults import Appliance, Message, Purchase, Reading, Shop
from demo.insights import Holder, Said

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
DEVICE = Appliance("d1", "c200", "ann@example.com")
SHOP = Shop({("c200", "SPAREPART"): ("belt",)}, frozenset({"belt"}), frozenset({"ann@example.com"}))
OFFER = ("iot-offer-belt", "ann@example.com")


def said(*messages, code="E33", severity="high"):
    return {"f-1": [Message(NOW - timedelta(minutes=ago), clear, code, severity) for ago, clear in messages]}


def decided(messages, *, device=DEVICE, shop=SHOP):
    return faults.decide(list(faults.of_messages(device, messages)), shop=shop, now=NOW)


def test_a_lasting_fault_brings_an_offer_and_a_cart():
    found = decided(said((20, False)))
    assert found.members == {OFFER}
    assert [part for _, _, part in found.carts] == ["belt"]
    assert found.devices == {"d1"}


def test_a_fault_that_was_cleared_or_is_too_young_brings_nothing():
    assert decided(said((20, False), (10, True))).members == set()
    assert decided(said((4, False))).members == set()


def test_a_fault_that_came_back_soon_has_to_last_an_hour():
    assert decided(said((90, False), (50, True), (30, False))).members == set()
    assert decided(said((190, False), (90, True), (70, False))).members == {OFFER}


def test_parts_for_technicians_and_parts_that_are_sold_out_lead_to_service():
    service = {("iot-service", "ann@example.com")}
    assert decided(said((20, False), code="E21")).members == service
    assert decided(said((20, False)), shop=Shop(SHOP.parts, frozenset(), SHOP.willing)).members == service


def test_without_consent_there_is_no_offer_but_a_cart():
    found = decided(said((20, False)), shop=Shop(SHOP.parts, SHOP.sellable, frozenset()))
    assert (found.members, len(found.carts)) == (set(), 1)


def test_what_was_bought_meanwhile_serves():
    device = Appliance("d1", "c200", "ann@example.com", (Purchase(NOW - timedelta(minutes=10), "belt"),))
    assert decided(said((20, False)), device=device).members == set()


def test_low_health_counts_from_the_second_weak_reading_on():
    weak = [Reading(NOW - timedelta(hours=ago), 50.0) for ago in (8, 4)]
    assert [item.raised for item in faults.of_health(DEVICE, weak)] == [NOW - timedelta(hours=4)]
    assert list(faults.of_health(DEVICE, weak[:1])) == []
    (over,) = faults.of_health(DEVICE, [*weak, Reading(NOW, 90.0)])
    assert over.since is None


def test_nothing_is_said_of_few_devices_or_few_holders():
    def averages(number, holders):
        readings = [Said(f"d{n}", "health", NOW - timedelta(hours=1), 80.0 + n) for n in range(number)]
        devices = {f"d{n}": Holder("c200", None, f"h{n % holders}") for n in range(number)}
        return insights.averages(readings, devices=devices, now=NOW)

    assert averages(5, 3) == {("c200", None, "health"): 82.0}
    assert averages(4, 3) == averages(5, 2) == {}
