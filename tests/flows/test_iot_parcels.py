"""I2, parcels: a consignment only moves forward, one nobody knows waits a day, a tracker carries its order's tag."""

from __future__ import annotations

from typing import Any

import pytest

from flows.appliances import Appliances, ago, noted
from flows.shelves import CONSIGNMENTS, TRACKERS, Depot, flowed, tracked
from flows.walking import Shop, Walk


@pytest.fixture
def depot(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Depot:
    opentext_iot.clear_faults()
    return Depot(Appliances(opentext_iot, shop, monkeypatch))


def test_a_status_only_moves_forward_whatever_comes_late(depot: Depot, shop: Shop, walk: Walk) -> None:
    walk.gated = False  # nothing is set aside here
    ledger, tracker = walk.site.ledger, depot.fleet.device(1)
    for code, status in {
        "S1": "READY",
        "S2": "READY",
        "S3": "CANCELLED",
        "S4": "PAYMENT_NOT_CAPTURED",
        "S5": "DELIVERING",
    }.items():
        depot.sent(code, status)
    day = {n: f"{ago(days=-n):%Y-%m-%d}" for n in (1, 2, 3)}
    noted(
        ledger,
        tracked(tracker, "S1", "IN_TRANSIT", eta=day[2], hours_ago=2), tracked(tracker, "S1", "PICKED", eta=day[1], hours_ago=1),
        tracked(tracker, "S2", "picked ", hours_ago=3), tracked(tracker, "S3", "SHIPPED"), tracked(tracker, "S4", "SHIPPED"),
        tracked(tracker, "S5", "SHIPPED", eta=day[3]),
    )  # fmt: skip
    flowed(walk, leg=CONSIGNMENTS)
    assert depot.status() == {"S1": ("IN_TRANSIT", day[2]), "S2": ("PICKPACK", ""), "S3": ("CANCELLED", ""),
                              "S4": ("PAYMENT_NOT_CAPTURED", ""), "S5": ("DELIVERING", "")}  # fmt: skip
    noted(ledger, tracked(tracker, "S1", "SHIPPED", eta=day[1], hours_ago=0.5), tracked(tracker, "S1", "IN_TRANSIT", eta=day[3], hours_ago=0.4),
          tracked(tracker, "S2", "PICKED", hours_ago=3, n=1))  # fmt: skip
    run = flowed(walk, leg=CONSIGNMENTS)[CONSIGNMENTS]
    assert (depot.status()["S1"], run.sent) == (("IN_TRANSIT", day[3]), 1), "the same status, another day"
    shop.far.patch("Consignment", "S2", status="SHIPPED", modifiedtime=ago(seconds=2).isoformat())
    noted(ledger, tracked(tracker, "S2", "READY_FOR_SHIPPING", hours_ago=0))
    assert flowed(walk, leg=CONSIGNMENTS)[CONSIGNMENTS].sent == 0
    assert depot.status()["S2"][0] == "SHIPPED"


def test_an_unknown_consignment_waits_a_day_and_arrives_when_it_is_there(depot: Depot, walk: Walk) -> None:
    ledger, tracker = walk.site.ledger, depot.fleet.device(1)
    depot.sent("S1", "READY")
    noted(
        ledger,
        tracked(tracker, "S2", "SHIPPED"),
        tracked(tracker, "S3", "SHIPPED"),
        tracked(tracker, "S1", "SHIPPED", of="O-other"),
    )
    run = flowed(walk, leg=CONSIGNMENTS)[CONSIGNMENTS]
    assert (run.sent, run.quarantined, depot.status()) == (0, 0, {"S1": ("READY", "")})
    depot.sent("S2", "READY")
    flowed(walk, leg=CONSIGNMENTS, ahead_h=1)
    assert depot.status()["S2"][0] == "SHIPPED"
    run = flowed(walk, leg=CONSIGNMENTS, ahead_h=25)[CONSIGNMENTS]
    found = {key: item.code for key, item in walk.rejects(CONSIGNMENTS).items()}
    assert found == {
        f"consignment|O-{order}|{code}": "consignment_is_in_the_shop" for order, code in (("S3", "S3"), ("other", "S1"))
    }
    assert run.status == "green"
    depot.sent("S3", "READY")
    flowed(walk, leg=CONSIGNMENTS, ahead_h=26)
    assert (depot.status()["S3"][0], set(walk.rejects(CONSIGNMENTS))) == ("SHIPPED", {"consignment|O-other|S1"})


def test_messages_of_parcels_nobody_can_read_are_shown(depot: Depot, walk: Walk) -> None:
    ledger, tracker = walk.site.ledger, depot.fleet.device(1)
    for code in ("S1", "S2", "S3", "S4"):
        depot.sent(code, "READY")
    noted(
        ledger,
        tracked(tracker, "S1", "TELEPORTED 🚀"), tracked(tracker, "S2", "DELIVERED", hours_ago=-3), tracked(tracker, None, "SHIPPED", of="O-S3"),
        tracked(tracker, "S3", "SHIPPED", eta="soon"), tracked(tracker, "S4", "SHIPPED", eta="2999-01-01"),
    )  # fmt: skip
    run = flowed(walk, leg=CONSIGNMENTS)[CONSIGNMENTS]
    assert {code: status for code, (status, _) in depot.status().items()} == {
        "S1": "READY",
        "S2": "READY",
        "S3": "SHIPPED",
        "S4": "READY",
    }
    assert {key: item.code for key, item in walk.rejects(CONSIGNMENTS).items()} == {
        "held|O-S1|S1": "status_is_on_the_map", "held|O-S2|S2": "clock_is_right", "held|O-S3|": "codes_are_there",
        "consignment|O-S4|S4": "day_is_plausible",
    }  # fmt: skip
    assert run.status == "green"
    noted(ledger, tracked(tracker, "S1", "SHIPPED", hours_ago=0))
    flowed(walk, leg=CONSIGNMENTS)
    assert depot.status()["S1"][0] == "SHIPPED"
    assert "held|O-S1|S1" not in walk.rejects(CONSIGNMENTS)


def test_a_tracker_carries_its_orders_until_they_arrive(depot: Depot, walk: Walk) -> None:
    walk.gated = False  # nothing is set aside here
    ledger, (tracker, other) = walk.site.ledger, (depot.fleet.device(n) for n in (1, 2))
    for code in ("S1", "S2"):
        depot.sent(code, "READY")
    noted(
        ledger,
        tracked(tracker, "S1", "SHIPPED", hours_ago=3),
        tracked(tracker, "S2", "SHIPPED", hours_ago=3),
        tracked(tracker, "S9", "SHIPPED"),
    )
    flowed(walk, leg=TRACKERS)
    assert depot.fleet.tags(tracker) == {"serial:SN-1", "order:O-S1", "order:O-S2"}
    noted(ledger, tracked(other, "S1", "IN_TRANSIT", hours_ago=2), tracked(tracker, "S2", "DELIVERED", hours_ago=1))
    flowed(walk, leg=TRACKERS)
    assert (depot.fleet.tags(tracker), depot.fleet.tags(other)) == ({"serial:SN-1"}, {"serial:SN-2", "order:O-S1"})
    run = flowed(walk, leg=TRACKERS, ahead_h=24 * 31)[TRACKERS]
    assert (depot.fleet.tags(other), run.deleted) == ({"serial:SN-2"}, 1), "a parcel nobody hears of for a month"
