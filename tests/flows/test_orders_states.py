"""S5: a status moves forward only; what is late or goes back is history, flagged, and overwrites nothing."""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta

import pytest

from flows.ordering import (
    HEADS,
    LAST_OF_ACCOUNTS,
    LAST_OF_CONTACTS,
    ORDERS,
    RETURNS,
    SHIPMENTS,
    STATES,
    give_back,
    history,
    order,
    people,
    run,
    shipment,
    status_of,
)  # fmt: skip
from flows.walking import Org, Shop, Walk, legs_of

MAP = re.compile(r"\('(\w+)', (\d+)\)")


@pytest.fixture(autouse=True)
def books(org: Org, walk: Walk) -> None:
    """The standard price book is marked; gates have stories of their own."""
    walk.gated = False
    book = next(row["Id"] for row in org.far.records("Pricebook2") if row["IsStandard"])
    org.far.patch("Pricebook2", book, Commerce_Id__c="standard")


def tell(walk: Walk, shop: Shop, status: str, *, at: str | None = None, code: str = "O1") -> None:
    shop.touch(code, status=status, **({"modifiedtime": at} if at else {}))
    run(walk, HEADS, STATES)


TOLD = {
    "PAID": ("CREATED", "PAYMENT_AUTHORIZED", "ON_HOLD", "PAYMENT_AUTHORIZED", "READY"),
    "BACK": ("OPEN", "READY", "CREATED", "READY", "COMPLETED"),
    "DONE": ("COMPLETED", "OPEN", "CANCELLED", "COMPLETED", "ON_HOLD"),
}
SHOWN = {
    "PAID": ["CREATED", "PAYMENT_AUTHORIZED", "ON_HOLD", "PAYMENT_AUTHORIZED", "READY"],
    "BACK": ["OPEN", "READY", "READY", "READY", "COMPLETED"],
    "DONE": ["COMPLETED", "COMPLETED", "CANCELLED", "CANCELLED", "CANCELLED"],
}


def test_a_status_goes_forward_and_never_back(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1)
    shown: dict[str, list[str | None]] = {code: [] for code in TOLD}
    for step in range(5):
        for code, told in TOLD.items():
            order(shop, code, (0, "beer", 1, 10.0), status=told[step])
        run(walk, HEADS, STATES)
        for code in TOLD:
            shown[code].append(status_of(org, code))
    assert shown == SHOWN
    assert history(org, "Order", "PAID") == [(status, False) for status in TOLD["PAID"]]
    assert history(org, "Order", "BACK") == [
        ("OPEN", False), ("READY", False), ("CREATED", True), ("COMPLETED", False)]  # fmt: skip
    assert history(org, "Order", "DONE") == [
        ("COMPLETED", False), ("OPEN", True), ("CANCELLED", False), ("COMPLETED", True), ("ON_HOLD", True)]  # fmt: skip
    assert {"Order|PAID|PAYMENT_AUTHORIZED", "Order|PAID|PAYMENT_AUTHORIZED|2"} <= set(org.live("Commerce_Status__c"))


def test_what_was_read_late_is_history_and_doubled_news_is_none(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 10.0), status="OPEN")
    run(walk, HEADS, STATES)
    at = org.live("Order")["O1"]["Commerce_Status_At__c"]
    early = (datetime.fromisoformat(str(shop.moment)) - timedelta(seconds=30)).isoformat()
    tell(walk, shop, "READY", at=early)
    assert (status_of(org, "O1"), org.live("Order")["O1"]["Commerce_Status_At__c"]) == ("OPEN", at)
    tell(walk, shop, "OPEN")
    tell(walk, shop, "READY", at=early)
    shop.touch("O1", deliveryCost=1.0, status="OPEN")
    run(walk, HEADS, STATES)
    assert history(org, "Order", "O1") == [("OPEN", False), ("READY", True)]
    assert org.live("Order")["O1"]["Commerce_Status_At__c"] == at, "the time of the status, not of the last edit"
    tell(walk, shop, "READY")
    assert (status_of(org, "O1"), history(org, "Order", "O1")[-1]) == ("READY", ("READY", False)), "it has come true"
    runs = run(walk, HEADS, STATES, mode="complete")
    assert [done.sent for done in runs.values()] == [0, 0]


def test_partial_shipments_and_returns_go_their_own_ways(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 4, 40.0))
    shipment(shop, "S1", "O1", (0, 1, 1), status="SHIPPED")
    shipment(shop, "S2", "O1", (0, 3, 0), status="READY")
    give_back(shop, "R1", "O1", (0, 2, "0.00"), status="RECEIVED")
    legs = (HEADS, SHIPMENTS, RETURNS, STATES)
    run(walk, *legs)
    shop.far.patch("Consignment", "S1", status="PICKPACK", modifiedtime=shop.tick())
    shop.far.patch("Consignment", "S2", status="SHIPPED", modifiedtime=shop.tick())
    give_back(shop, "R1", "O1", (0, 2, "12.50"), status="PAYMENT_REVERSED")
    run(walk, *legs)
    shop.far.patch("Consignment", "S2", status="CANCELLED", modifiedtime=shop.tick())
    shop.far.patch("ReturnRequest", "R1", status="RECEIVED", modifiedtime=shop.tick())
    run(walk, *legs)
    shipments, returned = org.live("Commerce_Shipment__c"), org.live("Commerce_Return__c")["R1"]
    assert {key: row["Status__c"] for key, row in shipments.items()} == {"S1": "SHIPPED", "S2": "CANCELLED"}
    assert (returned["Status__c"], returned["Refund_Amount__c"]) == ("PAYMENT_REVERSED", 12.5), "12.50 of 20.00"
    assert history(org, "Shipment", "S1") == [("SHIPPED", False), ("PICKPACK", True)]
    assert history(org, "Shipment", "S2") == [("READY", False), ("SHIPPED", False), ("CANCELLED", False)]
    assert history(org, "Return", "R1") == [("RECEIVED", False), ("PAYMENT_REVERSED", False), ("RECEIVED", True)]
    assert status_of(org, "O1") == "CREATED"
    assert [done.sent for done in run(walk, *legs).values()] == [0, 0, 0, 0]


def test_the_last_order_of_account_and_contact_shows_the_same_status(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 500.0), ago=3, status="COMPLETED")
    order(shop, "O2", (0, "beer", 1, 500.0), ago=1, status="READY")
    legs = (HEADS, LAST_OF_ACCOUNTS, LAST_OF_CONTACTS)
    run(walk, *legs)
    shop.touch("O1", status="OPEN")
    shop.touch("O2", status="CREATED")
    run(walk, *legs)
    shop.touch("O2", totalPrice=1.0)  # now O1 is the newest again: as far as it had come
    run(walk, LAST_OF_ACCOUNTS, LAST_OF_CONTACTS)
    for one in (org.accounts["C0001"], org.contacts["C0001"]):
        assert (one["Last_Order_Code__c"], one["Last_Order_Status__c"]) == ("O1", "COMPLETED")
    assert (status_of(org, "O1"), status_of(org, "O2")) == ("COMPLETED", "READY")


def test_whatever_is_told_the_rank_never_falls_and_no_state_is_lost(walk: Walk, shop: Shop, org: Org) -> None:
    chance = random.Random(5)
    ranks = dict(maps()[HEADS])
    people(shop, org, 1)
    codes = [f"O{number}" for number in range(20)]
    for code in codes:
        order(shop, code, (0, "beer", 1, 10.0))
    run(walk, HEADS, STATES)
    told = {code: {"CREATED"} for code in codes}
    reached = dict.fromkeys(codes, 10)
    for _ in range(4):
        for code in codes:
            status = chance.choice(sorted(ranks))
            told[code].add(status)
            shop.touch(code, status=status)
            reached[code] = max(reached[code], ranks[status])
        run(walk, HEADS, STATES)
        assert {code: ranks[str(status_of(org, code))] for code in codes} == reached
    kept = org.live("Commerce_Status__c")
    seen = {code: {row["Status__c"] for row in kept.values() if row["Code__c"] == code} for code in codes}
    assert seen == told


def maps() -> dict[str, list[tuple[str, int]]]:
    """Leg -> its statuses with their ranks."""
    found = {item.leg: MAP.findall(str(item.aggregate)) for item in legs_of(ORDERS)}
    return {leg: [(status, int(rank)) for status, rank in pairs] for leg, pairs in found.items() if pairs}


def test_every_leg_has_the_same_map_of_states() -> None:
    by_leg = maps()
    assert by_leg[HEADS] == by_leg[LAST_OF_ACCOUNTS] == by_leg[LAST_OF_CONTACTS]
    aggregate = next(str(item.aggregate) for item in legs_of(ORDERS) if item.leg == STATES)
    for kind, leg in (("Order", HEADS), ("Shipment", SHIPMENTS), ("Return", RETURNS)):
        pairs = re.findall(rf"\('{kind}', '(\w+)', (\d+)\)", aggregate)
        assert sorted((status, int(rank)) for status, rank in pairs) == sorted(by_leg[leg])
    for leg, pairs in by_leg.items():
        top = [status for status, rank in pairs if rank == max(rank for _, rank in pairs)]
        assert top in (["CANCELLED"], ["CANCELED"]), f"{leg}: reachable from everywhere, left for nothing"
