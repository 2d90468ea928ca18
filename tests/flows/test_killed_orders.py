"""S5: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.killing import assert_survives
from flows.ordering import ORDERS, give_back, order, people, remove_line, shipment
from flows.walking import Org, Shop

FIELDS = {
    "Account": ("Last_Order_Code__c", "Last_Order_Status__c"),
    "Contact": ("Last_Order_Code__c", "Last_Order_Status__c"),
    "Product2": ("Name",),
    "PricebookEntry": ("UnitPrice",),
    "Order": ("Commerce_Status__c", "Commerce_Total__c", "TotalAmount"),
    "OrderItem": ("Commerce_Product_Code__c", "Quantity", "Commerce_Line_Total__c"),
    "Commerce_Shipment__c": ("Status__c", "Quantity__c"),
    "Commerce_Return__c": ("Status__c", "Refund_Amount__c"),
    "Commerce_Status__c": ("Kind__c", "Code__c", "Status__c", "Late__c"),
}
STATES = ("CREATED", "OPEN", "CREATED", "READY", "COMPLETED", "OPEN", "CANCELLED")


def test_a_killed_flow_ends_as_an_undisturbed_one(shop: Shop, org: Org, tmp_path: Path) -> None:
    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)
        people(shop, org, 1, 2)

    def edit(number: int) -> None:
        """The first order changes, loses its lines one by one and goes back and forth; another one comes."""
        if number:
            remove_line(shop, "O", number - 1)
        lines = [(place, f"p{place}", 1, 100.0 + number) for place in range(number, 8)]
        order(shop, "O", *lines, ago=20, status=STATES[number])
        order(shop, f"O{number}", (0, f"p{number}", 2, 150.0), (1, f"q{number}", 1, 1.0), customer=2, ago=10 - number)
        shipment(shop, f"S{number}", "O", (7, 1, 1), status="SHIPPED")
        shop.far.patch("Consignment", "S0", status="READY" if number % 2 else "IN_TRANSIT", modifiedtime=shop.tick())
        give_back(shop, f"R{number}", f"O{number}", (1, 1, "0.50"), status="WAIT")

    def look() -> Any:
        return {
            kind: {key: tuple(row[name] for name in names) for key, row in org.live(kind).items()}
            for kind, names in FIELDS.items()
        }

    assert_survives(ORDERS, tmp_path, reset=reset, edit=edit, look=look)
