"""S5: lines follow the order to the cent, and an order with a fault is named and kept out, lines and all."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from flows.ordering import (
    BOOK,
    HEADS,
    ITEMS,
    PRICES,
    PRODUCTS,
    RETURNS,
    SHIPMENTS,
    give_back,
    lines_of,
    order,
    people,
    remove_line,
    run,
    shipment,
)  # fmt: skip
from flows.walking import Org, Shop, Walk, mapping_of

LINES = (BOOK, PRODUCTS, PRICES, HEADS, ITEMS)


def test_a_removed_line_goes_and_an_edited_one_changes(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 2, 10.0), (1, "bread", 1, 5.0), (2, "wine", 1, 7.0))
    order(shop, "O2", (0, "beer", 1, 5.0))
    run(walk, *LINES)
    kept = org.live("OrderItem")["O1|0"]["Id"]
    remove_line(shop, "O1", 1)
    order(shop, "O1", (0, "beer", 3, 14.99), (2, "wine", 0, 0.0))
    first = run(walk, *LINES)[ITEMS]
    assert (first.modified, first.deleted) == (1, 2), "one removed, one cancelled"
    assert lines_of(org, "O1") == {"O1|0": ("beer", 3, 14.99)}
    assert org.live("OrderItem")["O1|0"]["Id"] == kept
    assert lines_of(org, "O2") == {"O2|0": ("beer", 1, 5.0)}
    order(shop, "O1", (0, "wine", 3, 14.99), (2, "wine", 1, 1.0))
    run(walk, *LINES)
    assert lines_of(org, "O1") == {"O1|0|2": ("wine", 3, 14.99), "O1|2": ("wine", 1, 1.0)}, (
        "another product, a new item"
    )
    order(shop, "O1", (0, "wine", 4, 14.99), (2, "wine", 1, 1.0))
    assert run(walk, *LINES)[ITEMS].modified == 1
    assert lines_of(org, "O1")["O1|0|2"] == ("wine", 4, 14.99)
    assert run(walk, *LINES)[ITEMS].sent == run(walk, ITEMS, mode="complete")[ITEMS].sent == 0


def test_a_line_whose_product_is_gone_is_still_a_line(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    people(shop, org, 1)
    order(shop, "O1", (0, None, 2, 10.0), (1, "beer", 1, 1.0))
    run(walk, *LINES)
    item, unknown = org.live("OrderItem")["O1|0"], org.live("Product2")["unknown"]
    assert (item["Product2Id"], item["Commerce_Line_Total__c"], item["Commerce_Product_Code__c"]) == (
        unknown["Id"],
        10.0,
        None,
    )
    assert unknown["Name"] == "Product that is no longer in the shop"


def test_orders_the_shop_has_purged_stay_with_their_lines(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 10.0))
    order(shop, "O2", (0, "beer", 1, 20.0))
    run(walk, *LINES)
    shop.far.delete("Order", "O1")
    run(walk, HEADS, ITEMS, mode="complete")
    assert set(org.live("Order")) == {"O1", "O2"}
    assert set(org.live("OrderItem")) == {"O1|0", "O2|0"}


def test_items_that_are_there_although_nobody_remembers_are_taken_over(
    walk: Walk, shop: Shop, org: Org, tmp_path: Any
) -> None:
    walk.gated = False
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 10.0), (1, "bread", 1, 1.0))
    run(walk, *LINES)
    known = {key: row["Id"] for key, row in org.live("OrderItem").items()}
    order(shop, "O1", (0, "beer", 2, 20.0), (1, "bread", 1, 1.0))
    forgetful = Walk(tmp_path / "another")
    forgetful.gated = False
    runs = run(forgetful, *LINES)
    assert {leg: done.rejected for leg, done in runs.items() if done.rejected} == {}
    assert {key: row["Id"] for key, row in org.live("OrderItem").items()} == known
    assert lines_of(org, "O1")["O1|0"] == ("beer", 2, 20.0)
    org.far.delete("OrderItem", known["O1|0"])
    order(shop, "O1", (0, "beer", 3, 30.0), (1, "bread", 1, 1.0))
    assert run(forgetful, *LINES)[ITEMS].rejected == 0
    assert lines_of(org, "O1") == {"O1|0": ("beer", 3, 30.0), "O1|1": ("bread", 1, 1.0)}


FAULTS: dict[str, dict[str, Any]] = {
    "lines_add_up_to_the_total": {"totalPrice": 10.01},
    "total_is_not_negative": {"totalPrice": -10.0, "totalDiscounts": 20.0},
    "currency_is_known": {"currency": "XTS"},
    "order_date_is_plausible": {"date": "1015-01-01T00:00:00+00:00"},
    "status_is_on_the_map": {"status": "TELEPORTED"},
}


def test_an_order_with_a_fault_is_named_and_the_others_arrive(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1)
    for number, fault in enumerate(FAULTS.values()):
        order(shop, f"F{number}", (0, "beer", 1, 10.0), **fault)
    order(shop, "LATER", (0, "beer", 1, 10.0), date="9015-01-01T00:00:00+00:00")
    order(shop, "X" * 201, (0, "beer", 1, 10.0))
    order(shop, "GOOD 🍺 بيرة", (0, "beer", 1, 10.0))
    heads = run(walk, *LINES)[HEADS]
    assert (heads.quarantined, heads.delivered) == (7, 1)
    held = {key: item.code for key, item in walk.rejects(HEADS).items()}
    for number, rule in enumerate(FAULTS):
        assert rule in held[f"F{number}"]
    assert "order_date_is_plausible" in held["LATER"]
    assert set(org.live("Order")) == {"GOOD 🍺 بيرة"}
    assert set(org.live("OrderItem")) == {"GOOD 🍺 بيرة|0"}
    for number in range(len(FAULTS)):
        order(shop, f"F{number}", (0, "beer", 1, 10.0), totalDiscounts=0.0)
    walk.gated = True
    run(walk, HEADS)
    assert set(org.live("Order")) == {"GOOD 🍺 بيرة", *(f"F{number}" for number in range(len(FAULTS)))}
    run(walk, ITEMS)
    run(walk, ITEMS, mode="replay")
    assert len(org.live("OrderItem")) == 6


@pytest.mark.parametrize("fault", [{"totalPrice": 10.01}, {"currency": "XTS"}])
def test_lines_of_an_order_that_became_faulty_stay_as_they_were(
    walk: Walk, shop: Shop, org: Org, fault: dict[str, Any]
) -> None:
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 10.0), (1, "bread", 1, 5.0))
    walk.gated = False
    run(walk, *LINES)
    before = lines_of(org, "O1")
    walk.gated = True
    remove_line(shop, "O1", 1)
    order(shop, "O1", (0, "beer", 2, 12.0), **fault)
    runs = run(walk, HEADS, ITEMS)
    assert (runs[HEADS].quarantined, runs[ITEMS].sent) == (1, 0)
    assert (lines_of(org, "O1"), org.live("Order")["O1"]["Commerce_Total__c"]) == (before, 15.0)
    order(shop, "O1", (0, "beer", 2, 12.0))
    walk.gated = False
    run(walk, HEADS, ITEMS)
    assert (lines_of(org, "O1"), org.live("Order")["O1"]["Commerce_Total__c"]) == ({"O1|0": ("beer", 2, 12.0)}, 12.0)


def test_shipments_and_returns_with_a_fault_are_named(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 2, 10.0))
    order(shop, "BAD", (0, "beer", 2, 10.0), totalPrice=1.0)
    shipment(shop, "S0", "O1", (0, 2, 2), status="SHIPPED")
    shipment(shop, "S1", None, status="SHIPPED")
    shipment(shop, "S2", "O1", (0, 1, 2), status="SHIPPED")
    shipment(shop, "S3", "O1", (0, 1, 1), status="LOST")
    shipment(shop, "S4", "O1", (0, 1, 1), status="SHIPPED", shippingDate="9999-01-01T00:00:00+00:00")
    shipment(shop, "S5", "BAD", (0, 1, 1), status="SHIPPED")
    give_back(shop, "R0", "O1", (0, 1, "2.50"), status="COMPLETED")
    give_back(shop, "R1", "O1", (0, 1, "-2.50"), status="COMPLETED")
    give_back(shop, "R2", "O1", (0, 1, "2.50"), status="COMPLETED", currency="XTS")
    runs = run(walk, *LINES, SHIPMENTS, RETURNS)
    assert (runs[SHIPMENTS].delivered, runs[SHIPMENTS].quarantined, runs[SHIPMENTS].rejected) == (1, 4, 1)
    held = {key: item.code for key, item in (walk.rejects(SHIPMENTS) | walk.rejects(RETURNS)).items()}
    assert "shipment_names_its_order" in held["S1"]
    assert "not_more_shipped_than_packed" in held["S2"]
    assert "status_is_on_the_map" in held["S3"]
    assert "shipping_date_is_plausible" in held["S4"]
    assert walk.rejects(SHIPMENTS)["S5"].reason_class == "reference"
    assert "refund_is_not_negative" in held["R1"]
    assert "currency_is_known" in held["R2"]
    assert set(org.live("Commerce_Shipment__c")) == {"S0"}
    assert org.live("Commerce_Return__c")["R0"]["Refund_Amount__c"] == 2.5


def test_names_and_codes_at_their_longest(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1)
    shop.far.put("Product", [{"code": "long", "name": {"en": "ß" * 300}}, {"code": "c" * 256}])
    order(shop, "O1", (0, "long", 1, 1.0), (1, "c" * 256, 1, 1.0))
    runs = run(walk, *LINES)
    assert (runs[PRODUCTS].delivered, runs[PRODUCTS].quarantined, runs[ITEMS].rejected) == (1, 1, 1)
    assert org.live("Product2")["long"]["Name"] == "ß" * 255
    assert set(lines_of(org, "O1")) == {"O1|0"}


def test_a_field_for_new_records_only_must_be_one_of_the_mapping(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 10.0))
    walk.alter(PRODUCTS, target={"options": {"create_only": ["Nmae"]}})
    with pytest.raises(ConfigurationError, match="create_only names 'Nmae'.*ProductCode, Name"):
        walk.leg(PRODUCTS)
    assert org.live("Product2") == {}


def test_the_rules_of_orders_and_of_their_lines_name_the_same_currencies() -> None:
    rule = next(item.sql for item in mapping_of(HEADS).checks.rows if item.name == "currency_is_known")
    assert rule.removeprefix("Currency__c ") in str(mapping_of(ITEMS).aggregate)
    assert all(rule == item.sql for item in mapping_of(RETURNS).checks.rows if item.name == "currency_is_known")
