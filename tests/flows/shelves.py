"""Shelves that are counted, parcels that are tracked and consumables that run low, in a few words, for I2 and I3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.ledger import Run
from flows.appliances import Appliances, Repairs, ago
from flows.ordering import order, shipment
from flows.walking import Row, Walk
from systems.opentext_iot.iot_tenant import key

STOCK, REFILLS = "iot_stock", "refill_carts"
LEVELS, CONSIGNMENTS = "counts_to_stock_levels", "parcels_to_consignments"
SHELVES, TRACKERS = "stock_levels_to_devices", "parcels_to_trackers"
COUNTED, DELTA = "WH-EU-1", "WH-US-2"
"""Warehouses of the table in stock_levels.sql: one by counts, one by movements."""
SAFETY = 2
TYPES = (("warehouseCode", "string"), ("reorderPoint", "string"), ("contractEnd", "string"), ("expectedQty", "decimal"))


def prepared(fleet: Appliances) -> Appliances:
    """The platform with the attribute types and event templates of I2 and I3 as well."""
    fleet.far.put("attributeType", [{"id": key(name), "name": name, "type": kind, "isActive": True}
                                    for name, kind in TYPES])  # fmt: skip
    fleet.far.put("eventTemplate", [{"id": key(name), "name": name, "isActive": True, "eventFields": []}
                                    for name in ("inventory.movement", "logistics.status")])  # fmt: skip
    return fleet


class Depot:
    """A shop with warehouses and products, devices that count their shelves, parcels with trackers."""

    def __init__(self, fleet: Appliances) -> None:
        self.fleet, self.shop = prepared(fleet), fleet.shop
        self.shop.far.put("Warehouse", [{"code": code} for code in ("WH-EU-1", "WH-US-1", "WH-US-2")])

    def product(self, *codes: str, unit: str = "pieces", **values: Any) -> None:
        self.shop.far.put("Product", [{"code": code, "approvalStatus": "approved", "modifiedtime": self.shop.tick(),
                                       "unit": unit} | values for code in codes])  # fmt: skip

    def shelf(self, number: int, product: str, warehouse: str = COUNTED, **values: Any) -> str:
        """A device that counts a product; gives the device."""
        return self.fleet.device(number, productCode=product, warehouseCode=warehouse, **values)

    def stocked(self, product: str, available: int, warehouse: str = COUNTED, **values: Any) -> None:
        row = {"productCode": product, "warehouse": warehouse, "available": available, "modifiedtime": self.shop.tick()}
        self.shop.far.put("StockLevel", [row | values])

    def available(self) -> dict[tuple[str, str], int]:
        """(warehouse, product) -> available, as the shop has it."""
        rows = self.shop.far.records("StockLevel")
        return {(str(row["warehouse"]), row["productCode"]): row["available"] for row in rows}

    def of(self, product: str, warehouse: str = COUNTED) -> int | None:
        return self.available().get((warehouse, product))

    def sent(self, code: str, status: str = "READY", *, of: str | None = None, **values: Any) -> None:
        """An order O-<code> with a consignment."""
        name = of or f"O-{code}"
        self.shop.customers(1)
        order(self.shop, name, (0, "p1", 1, 5))
        shipment(self.shop, code, name, (0, 1, 0), status=status, **values)

    def status(self) -> dict[str, tuple[str, str]]:
        """Consignment -> its status, and the day it is to come."""
        return {row["code"]: (str(row["status"]), (row["namedDeliveryDate"] or "")[:10])
                for row in self.shop.far.records("Consignment")}  # fmt: skip


def counted(
    device: str, product: str | None, qty: Any, *, seq: int | None = None, hours_ago: float = 1.0,
    warehouse: str | None = COUNTED, n: int = 0, **data: Any,
) -> Row:  # fmt: skip
    """A count as the inbox has it; ``n`` tells repeated messages apart."""
    at = ago(hours=hours_ago)
    body = {"warehouseCode": warehouse, "productCode": product, "onHandQty": qty, "unit": "pieces", "countMethod": "scale",
            "confidence": 0.97, "sequence": seq} | data  # fmt: skip
    name = f"{device}/{warehouse}/{product}/{qty}/{seq}/{at.isoformat()}/{n}/{sorted(data.items())}"
    return {"id": name, "type": "inventory.count", "subject": device, "time": at, "data": body}


def moved(
    device: str, product: str | None, delta: Any, name: str | None, *, hours_ago: float = 1.0,
    warehouse: str | None = DELTA, n: int = 0,
) -> Row:  # fmt: skip
    """A movement as the inbox has it."""
    at = ago(hours=hours_ago)
    body = {"warehouseCode": warehouse, "productCode": product, "deltaQty": delta, "movementId": name, "reason": "sale"}
    return {"id": f"{device}/{name}/{delta}/{at.isoformat()}/{n}", "type": "inventory.movement", "subject": device,
            "time": at, "data": body}  # fmt: skip


def tracked(
    device: str, code: str | None, status: str, *, eta: str | None = None, of: str | None = None, hours_ago: float = 1.0,
    n: int = 0,
) -> Row:  # fmt: skip
    """A message of a tracker as the inbox has it."""
    at = ago(hours=hours_ago)
    body = {
        "orderCode": of or f"O-{code}",
        "consignmentCode": code,
        "status": status,
        "locationCode": "HUB-7",
        "eta": eta,
    }
    return {"id": f"{device}/{code}/{status}/{at.isoformat()}/{n}", "type": "logistics.status", "subject": device,
            "time": at, "data": body}  # fmt: skip


def level(
    device: str, pct: Any, *, days_ago: float, consumable: str | None = "air-filter", n: int = 0, **data: Any
) -> Row:  # fmt: skip
    """A reading of a consumable as the inbox has it."""
    at = ago(days=days_ago)
    body = {"consumableType": consumable, "levelPct": pct, "unit": "hour"} | data
    return {"id": f"{device}/{consumable}/{pct}/{at.isoformat()}/{n}", "type": "consumable.level", "subject": device,
            "time": at, "data": body}  # fmt: skip


def levels(device: str, *readings: tuple[float, float], **data: Any) -> list[Row]:
    """Readings of (days ago, percent)."""
    return [level(device, pct, days_ago=days, **data) for days, pct in readings]


def hours(device: str, total: float, *, days_ago: float) -> Row:
    at = ago(days=days_ago)
    return {"id": f"{device}/{total}/{at.isoformat()}", "type": "usage.summary", "subject": device, "time": at,
            "data": {"runtimeHoursTotal": total}}  # fmt: skip


def reason(walk: Walk, leg: str, key_: str) -> str:
    """Why a row was set aside, or ``''``."""
    found = walk.rejects(leg).get(key_)
    return str(found.code) if found else ""


def flowed(walk: Walk, *, ahead_h: float = 0, mode: str = "auto", leg: str | None = None) -> dict[str, Run]:
    """I2 as a whole, so many hours from now, without an error."""
    runs = walk(STOCK, mode, leg, now=datetime.now(UTC) + timedelta(hours=ahead_h))
    assert walk.errors == {}
    return runs


class Pantry(Repairs):
    """A shop with filters for a compressor, customers with one each, and what becomes of their consumables."""

    def __init__(self, fleet: Appliances, patch: pytest.MonkeyPatch) -> None:
        super().__init__(prepared(fleet), patch)

    def stocked(self) -> None:
        """The compressor c200 takes filters, in packs of two; ten dollars each."""
        self.shop.far.put("Warehouse", [{"code": "main"}])
        self.parts("c200", "filter")
        self.fits("c200", "filter", "CONSUMABLE", quantity=2)
        self.priced("filter", 10.0)

    def priced(self, code: str, price: float, name: str | None = None, **values: Any) -> None:
        row = {"sapConditionId": name or f"LIST-{code}", "price": price, "currency": "USD", "unit": "pieces",
               "product": code, "catalogVersion": "Online|Default", "modifiedtime": self.shop.tick()}  # fmt: skip
        self.shop.far.put("PriceRow", [row | values])

    def refills(self) -> dict[int, list[list[tuple[str, int]]]]:
        """Customer number -> what is in each cart of ours."""
        found = {number: sorted(entries for name, entries in carts if str(name).startswith("refill-"))
                 for number, carts in self.carts().items()}  # fmt: skip
        return {number: carts for number, carts in found.items() if carts}

    def names(self, number: int) -> list[str]:
        return [str(name) for name, _ in self.carts().get(number, []) if str(name).startswith("refill-")]

    def stamps(self) -> dict[str, str]:
        """When each cart was last written."""
        return {row["code"]: row["modifiedtime"] for row in self.shop.far.records("Cart")}


def refilled(walk: Walk, *, mode: str = "auto", ahead_d: float = 0) -> Run:
    """I3, so many days from now, without an error."""
    return walk.leg(REFILLS, mode, now=datetime.now(UTC) + timedelta(days=ahead_d))
