"""Orders, shipments and returns in a few words, for the stories of S5."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from commerce_sync.ledger import Run
from flows.walking import KEY, Org, Shop, Walk, line, uid

ORDERS = "salesforce_orders"
BOOK, PRODUCTS, PRICES = (
    "standard_price_book_to_price_books",
    "ordered_products_to_products",
    "products_to_price_entries",
)
HEADS, ITEMS = "orders_to_orders", "order_entries_to_order_items"
SHIPMENTS, RETURNS, STATES = "consignments_to_shipments", "return_requests_to_returns", "order_states_to_history"
LAST_OF_ACCOUNTS, LAST_OF_CONTACTS = "last_orders_to_accounts", "last_orders_to_contacts"
WRITTEN = ("Account", "Contact", "Pricebook2", "Product2", "PricebookEntry", "Order", "OrderItem",
           "Commerce_Shipment__c", "Commerce_Return__c", "Commerce_Status__c")  # fmt: skip


def people(shop: Shop, org: Org, *numbers: int, units: tuple[str, ...] = ()) -> None:
    """Customers and units, in the shop and as accounts and contacts, as S1 would have made them."""
    shop.units(*units)
    ids = shop.customers(*numbers)
    org.far.put("Account", [{"Name": key, KEY: key} for key in (*units, *ids)])
    org.far.put("Contact", [{"LastName": key, KEY: key} for key in ids])


def order(shop: Shop, code: str, *lines: tuple[int, str | None, int, float], customer: int | None = 1,
          ago: int = 1, status: str | None = "CREATED", currency: str = "USD", **values: Any) -> None:  # fmt: skip
    """An order of (number, product, quantity, total) lines; its total is theirs unless another one is given."""
    rows = [line(number, str(product), quantity, total) for number, product, quantity, total in lines]
    for row, (_, product, _, _) in zip(rows, lines, strict=True):
        if product is None:
            row["product"] = None
    placed = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=ago)
    head = {"code": code, "date": placed.isoformat(), "currency": currency, "status": status, "entries": rows,
            "totalPrice": round(sum(item[3] for item in lines), 2), "modifiedtime": shop.tick()}  # fmt: skip
    shop.far.put("Order", [head | {"user": uid(customer) if customer else "guest@people.example"} | values])


def remove_line(shop: Shop, code: str, number: int) -> None:
    """Take a line out of an order; the order tells of it when it is put next."""
    shop.far.delete("OrderEntry", f"{number}|{code}")


def shipment(shop: Shop, code: str, of: str | None, *packed: tuple[int, int, int], status: str, **values: Any) -> None:
    """A consignment of (entry number, quantity, shipped quantity)."""
    entries = [{"orderEntry": {"order": of, "entryNumber": number}, "quantity": quantity, "shippedQuantity": shipped}
               for number, quantity, shipped in packed]  # fmt: skip
    row = {"code": code, "order": of, "status": status, "consignmentEntries": entries, "modifiedtime": shop.tick()}
    shop.far.put("Consignment", [row | values])


def give_back(shop: Shop, code: str, of: str, *refunds: tuple[int, int, str], status: str, **values: Any) -> None:
    """A return of (entry number, pieces, amount)."""
    entries = [{"orderEntry": {"order": of, "entryNumber": number}, "expectedQuantity": pieces,
                "receivedQuantity": pieces, "amount": amount, "reason": "GOODWILL"}
               for number, pieces, amount in refunds]  # fmt: skip
    row = {"code": code, "RMA": code, "order": of, "status": status, "returnEntries": entries}
    shop.far.put("ReturnRequest", [row | {"modifiedtime": shop.tick()} | values])


def run(walk: Walk, *legs: str, **options: Any) -> dict[str, Run]:
    """Walk some legs of the flow, or all of them; none may raise."""
    found: dict[str, Run] = {}
    for leg in legs or (None,):
        found |= walk(ORDERS, leg=leg, **options)
        assert walk.errors == {}
    return found


def assert_in_step(walk: Walk, org: Org) -> None:
    """One more walk of the whole flow reads, finds nothing and writes nothing."""
    before = stamps(org)
    org.far.reset_calls()
    runs = run(walk)
    assert {leg: done.sent for leg, done in runs.items() if done.sent} == {}
    assert (org.writes(), stamps(org)) == (0, before)


def stamps(org: Org) -> dict[str, str]:
    """When each record was last written."""
    return {row["Id"]: row["SystemModstamp"] for kind in WRITTEN for row in org.live(kind).values()}


def lines_of(org: Org, code: str) -> dict[str, tuple[str | None, float, float]]:
    """External id -> (product code, quantity, total) of an order's items."""
    mine = org.live("Order")[code]["Id"]
    return {
        key: (row["Commerce_Product_Code__c"], row["Quantity"], row["Commerce_Line_Total__c"])
        for key, row in org.live("OrderItem").items()
        if row["OrderId"] == mine
    }


def status_of(org: Org, code: str) -> str | None:
    return org.live("Order")[code]["Commerce_Status__c"]


def history(org: Org, kind: str, code: str) -> list[tuple[str, bool]]:
    """(status, late) of one record, oldest first."""
    rows = [row for row in org.live("Commerce_Status__c").values() if (row["Kind__c"], row["Code__c"]) == (kind, code)]
    return [(row["Status__c"], row["Late__c"]) for row in sorted(rows, key=lambda row: row["Name"])]
