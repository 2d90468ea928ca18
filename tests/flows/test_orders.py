"""S5: orders of the shop are orders in Salesforce, with lines, shipments, returns and the last order of an account."""

from __future__ import annotations

import pytest

from flows.ordering import (
    BOOK,
    HEADS,
    ITEMS,
    LAST_OF_ACCOUNTS,
    LAST_OF_CONTACTS,
    ORDERS,
    PRICES,
    PRODUCTS,
    RETURNS,
    SHIPMENTS,
    STATES,
    assert_in_step,
    give_back,
    history,
    lines_of,
    order,
    people,
    run,
    shipment,
    status_of,
)  # fmt: skip
from flows.walking import CUSTOMERS, Org, Shop, Walk, legs_of, uid


def test_orders_come_with_everything_that_belongs_to_them(walk: Walk, shop: Shop, org: Org) -> None:
    people(shop, org, 1, 2, units=("acme",))
    shop.far.put("Product", [{"code": "beer", "name": {"en": "Bière 🍺 بيرة"}}])
    order(shop, "O1", (0, "beer", 2, 10.01), (1, "bread", 1, 5.0), status="COMPLETED")
    order(shop, "O2", (0, "beer", 3, 300.0), customer=2, unit="acme", deliveryCost=4.9, paymentCost=1.1,
          totalDiscounts=6.0, totalPrice=300.0, deliveryMode="standard")  # fmt: skip
    shipment(shop, "S1", "O1", (0, 1, 1), status="SHIPPED", trackingID="TRK1", carrier="UPS", warehouse="main")
    shipment(shop, "S2", "O1", (0, 1, 0), (1, 1, 0), status="READY")
    give_back(shop, "R1", "O1", (0, 1, "2.50"), (1, 1, "5.00"), status="WAIT", currency="USD")
    runs = run(walk)
    assert {leg: done.created for leg, done in runs.items()} == {
        BOOK: 0, PRODUCTS: 2, PRICES: 2, HEADS: 2, ITEMS: 3, SHIPMENTS: 2, RETURNS: 1, STATES: 5,
        LAST_OF_ACCOUNTS: 0, LAST_OF_CONTACTS: 0}  # fmt: skip

    orders, accounts, products = org.live("Order"), org.accounts, org.live("Product2")
    one, two = orders["O1"], orders["O2"]
    assert (one["AccountId"], two["AccountId"]) == (accounts["C0001"]["Id"], accounts["acme"]["Id"])
    assert (one["Commerce_Status__c"], one["Status"], one["Currency__c"]) == ("COMPLETED", "Draft", "USD")
    assert (two["Commerce_Total__c"], two["Lines_Total__c"], two["Discounts__c"]) == (300.0, 300.0, 6.0)
    assert (two["Delivery_Cost__c"], two["Payment_Cost__c"], two["Delivery_Mode__c"]) == (4.9, 1.1, "standard")
    assert lines_of(org, "O1") == {"O1|0": ("beer", 2, 10.01), "O1|1": ("bread", 1, 5.0)}
    item = org.live("OrderItem")["O1|0"]
    assert (item["UnitPrice"], item["Product2Id"]) == (5.01, products["beer"]["Id"]), "a piece of half a cent"
    assert (products["beer"]["Name"], products["bread"]["Name"]) == ("Bière 🍺 بيرة", "bread")

    shipments, returned = org.live("Commerce_Shipment__c"), org.live("Commerce_Return__c")["R1"]
    assert [shipments[key]["Status__c"] for key in ("S1", "S2")] == ["SHIPPED", "READY"]
    assert [(row["Quantity__c"], row["Shipped_Quantity__c"]) for _, row in sorted(shipments.items())] == [
        (1, 1),
        (2, 0),
    ]
    assert (shipments["S1"]["Order__c"], shipments["S1"]["Account__c"]) == (one["Id"], one["AccountId"])
    assert (shipments["S1"]["Tracking_Id__c"], shipments["S1"]["Carrier__c"]) == ("TRK1", "UPS")
    assert (returned["Refund_Amount__c"], returned["Quantity__c"], returned["Reason__c"]) == (7.5, 2, "GOODWILL")
    assert returned["Order__c"] == one["Id"]
    assert history(org, "Order", "O1") == [("COMPLETED", False)]
    assert accounts["acme"]["Last_Order_Code__c"] == org.contacts["C0002"]["Last_Order_Code__c"] == "O2"
    assert accounts["C0001"]["Last_Order_Code__c"] is None, "15.01 is not of high value"
    assert_in_step(walk, org)


def test_an_order_of_somebody_who_is_not_there_yet_arrives_after_the_customers(
    walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1)
    order(shop, "O1", (0, "beer", 1, 250.0))
    shipment(shop, "S1", "O1", (0, 1, 1), status="SHIPPED")
    refused = walk(ORDERS)
    assert {leg: done.rejected for leg, done in refused.items() if done.rejected} == {
        HEADS: 1, ITEMS: 1, SHIPMENTS: 1, STATES: 2, LAST_OF_ACCOUNTS: 1, LAST_OF_CONTACTS: 1}  # fmt: skip
    assert walk.rejects(HEADS)["O1"].reason_class == "reference"
    assert walk.rejects(ITEMS)["O1|0"].reason_class == "reference"
    assert org.live("Order") == {}
    walk(CUSTOMERS)
    run(walk, mode="replay")
    assert status_of(org, "O1") == "CREATED"
    assert set(lines_of(org, "O1")) == {"O1|0"}
    assert org.live("Commerce_Shipment__c")["S1"]["Account__c"] == org.accounts["C0001"]["Id"]
    assert history(org, "Order", "O1") == [("CREATED", False)]
    assert org.contacts["C0001"]["Last_Order_Status__c"] == "CREATED"
    assert_in_step(walk, org)


def test_orders_of_guests_stay_in_the_shop_until_they_are_somebodys(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    people(shop, org, 1)
    shop.far.put("Customer", [{"uid": "guest@people.example", "customerID": None, "modifiedtime": shop.tick()}])
    order(shop, "O1", (0, "beer", 1, 250.0), customer=None)
    order(shop, "O2", (0, "beer", 1, 5.0), ago=500)
    shipment(shop, "S1", "O1", (0, 1, 1), status="SHIPPED")
    runs = run(walk)
    assert (runs[HEADS].sent, runs[HEADS].filtered) == (0, 2), "a guest's, and one nobody asks for any more"
    assert [runs[leg].sent for leg in (ITEMS, SHIPMENTS, STATES, LAST_OF_ACCOUNTS)] == [0, 0, 0, 0]
    shop.touch("O1", user=uid(1))
    run(walk)
    assert org.live("Order").keys() == {"O1"}
    assert org.live("Commerce_Shipment__c")["S1"]["Order__c"] == org.live("Order")["O1"]["Id"]
    assert {key.partition("|")[0] for key in org.live("Commerce_Status__c")} == {"Order", "Shipment"}
    assert_in_step(walk, org)


def test_an_order_that_moves_takes_everything_along(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    people(shop, org, 1, 2, units=("acme",))
    order(shop, "O1", (0, "beer", 1, 120.0), ago=9, status="COMPLETED")
    order(shop, "O2", (0, "beer", 1, 150.0), ago=5)
    shipment(shop, "S1", "O2", (0, 1, 1), status="SHIPPED")
    give_back(shop, "R1", "O2", (0, 1, "10.00"), status="WAIT")
    run(walk)
    assert org.accounts["C0001"]["Last_Order_Code__c"] == "O2"
    shop.tick(1200)  # from here on shipment and return themselves are not read any more
    shop.touch("O2", user=uid(2), unit="acme", status="COMPLETED")
    run(walk)
    acme = org.accounts["acme"]["Id"]
    assert org.live("Order")["O2"]["AccountId"] == acme
    assert org.live("Commerce_Shipment__c")["S1"]["Account__c"] == acme
    assert org.live("Commerce_Return__c")["R1"]["Account__c"] == acme
    last = {key: row["Last_Order_Code__c"] for key, row in org.accounts.items()}
    assert last == {"acme": "O2", "C0001": "O1", "C0002": None}
    assert {key: row["Last_Order_Code__c"] for key, row in org.contacts.items()} == {"C0001": "O1", "C0002": "O2"}
    assert lines_of(org, "O2") == {"O2|0": ("beer", 1, 150.0)}
    assert_in_step(walk, org)


def test_the_newest_high_value_order_stands_on_the_account_and_goes_when_it_is_none(
    walk: Walk, shop: Shop, org: Org
) -> None:
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 100.0), ago=9, status="COMPLETED")
    order(shop, "O2", (0, "beer", 1, 99.99), ago=5)
    order(shop, "O3", (0, "beer", 1, 900.0), ago=1, currency="XTS")
    run(walk, LAST_OF_ACCOUNTS)
    assert org.accounts["C0001"]["Last_Order_Code__c"] == "O1", "at the limit; one below it; one of another currency"
    shop.touch("O1", totalPrice=12.0)
    run(walk, LAST_OF_ACCOUNTS)
    one = org.accounts["C0001"]
    assert (one["Last_Order_Code__c"], one["Last_Order_Status__c"], one["Last_Order_Status_At__c"]) == (
        None,
        None,
        None,
    )
    run(walk, LAST_OF_ACCOUNTS, mode="complete")
    assert walk.runs(LAST_OF_ACCOUNTS)[0].sent == 0


def test_prices_of_the_sales_side_stay_as_they_are(walk: Walk, shop: Shop, org: Org) -> None:
    walk.gated = False
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 10.0))
    run(walk, BOOK, PRODUCTS, PRICES)
    entry = org.live("PricebookEntry")["beer"]
    org.far.patch("PricebookEntry", entry["Id"], UnitPrice=7.77)
    shop.far.put("Product", [{"code": "beer", "name": {"en": "Stout"}}])
    order(shop, "O2", (0, "beer", 1, 10.0), (1, "wine", 1, 1.0))
    run(walk, BOOK, PRODUCTS, PRICES)
    assert org.live("PricebookEntry")["beer"]["UnitPrice"] == 7.77
    assert {key: row["Name"] for key, row in org.live("Product2").items()} == {"beer": "Stout", "wine": "wine"}


@pytest.mark.parametrize("leg", [mapping.leg for mapping in legs_of(ORDERS)])
def test_every_leg_can_be_planned_without_a_trace(walk: Walk, shop: Shop, org: Org, leg: str) -> None:
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 1, 250.0))
    run(walk, leg, mode="plan")
    assert org.live("Order") == org.live("Product2") == org.live("OrderItem") == {}
