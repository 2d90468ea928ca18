"""The devices of a fleet: what they are, whose they are, how they behave."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from simulators.opentext_iot.fleet.draws import DAY_MS, draw, mixed, share
from simulators.opentext_iot.fleet.shop import Shop, demo_shop
from simulators.seed.connected import PRODUCT_CATEGORIES

_NAMESPACE = uuid.UUID("6f4d1d0e-52a2-4bb8-9c0e-0d3b0f1a7c11")
_EPOCH_MS = 1_735_689_600_000  # 2025-01-01: activations lie in the 600 days behind it


@dataclass(frozen=True, slots=True)
class Family:
    """A device type: how it is called, its consumable, the event types it sends."""

    name: str
    title: str
    letter: str
    consumable: str
    unit: str
    capacity: int
    event_types: tuple[str, ...]


_LIFE = ("device.activated", "device.health", "device.fault", "device.downtime", "usage.anomaly")
FAMILIES = {
    one.name: one
    for one in (
        Family(
            "coffee_machine",
            "Coffee machine CM-40",
            "C",
            "ground-coffee",
            "cup",
            120,
            (*_LIFE, "usage.summary", "consumable.level"),
        ),
        Family(
            "photo_printer",
            "Photo printer PP-2",
            "P",
            "film",
            "print",
            2000,
            (*_LIFE, "usage.summary", "consumable.level"),
        ),
        Family(
            "compressor",
            "Compressor C-200",
            "A",
            "air-filter",
            "hour",
            2000,
            (*_LIFE, "usage.summary", "consumable.level"),
        ),
        Family("cold_chest", "Cold chest K-9", "K", "", "", 0, (*_LIFE, "environment.excursion")),
        Family(
            "shelf_scale",
            "Shelf scale S-1",
            "S",
            "",
            "",
            0,
            ("device.activated", "device.health", "inventory.count", "inventory.movement"),
        ),
        Family(
            "tracker", "Parcel tracker T-5", "T", "", "", 0, ("device.activated", "device.health", "logistics.status")
        ),
    )
}
# of ten devices: six at customers, then cold chests, shelves and a tracker
_MIX = (
    "coffee_machine", "coffee_machine", "photo_printer", "compressor", "cold_chest",
    "coffee_machine", "compressor", "shelf_scale", "photo_printer", "tracker",
)  # fmt: skip
# behaviour -> share of the fleet in thousandths
BEHAVIOURS = {
    "normal": 700,
    "degrading": 100,
    "faulty": 80,
    "flapping": 40,
    "silent": 30,
    "clock_skewed": 30,
    "counter_reset": 20,
}
AT_WAREHOUSE = ("cold_chest", "shelf_scale", "tracker")


@dataclass(frozen=True, slots=True)
class Device:
    """One device. ``base`` seeds its draws; codes are the shop's; empty texts mean none.

    skew_ms: how far its clock is off.   constant_id: it sends every message under the id MSG12345.
    """

    number: int
    base: int
    id: str
    family: str
    behaviour: str
    serial: str
    firmware: str
    product: str
    consumable_product: str
    customer: str
    unit: str
    purchase_order: str
    warehouse: str
    site: str
    activated_ms: int
    skew_ms: int
    constant_id: bool
    orders: tuple[str, ...] = ()


def fleet(seed: int, count: int, *, shop: Shop | None = None) -> list[Device]:
    """The first ``count`` devices of a seed; without a shop that of the demo seed."""
    known = shop or demo_shop()
    shelves = known.stocked()
    return [_device(seed, number, known, shelves) for number in range(count)]


def _device(seed: int, number: int, shop: Shop, shelves: tuple[str, ...]) -> Device:
    base = mixed(seed * 1_000_003 + number * 7919 + 17)
    family = _MIX[number % len(_MIX)]
    own, consumables = (shop.products[name] for name in PRODUCT_CATEGORIES[family])
    customer, unit = shop.customers[number % len(shop.customers)]
    warehouse = shop.warehouses[number // 10 % len(shop.warehouses)] if family in AT_WAREHOUSE else ""
    # each shelf holds one product of one warehouse, so that sequences of a shelf are those of the stock level
    shelf = number // (10 * len(shop.warehouses))
    product = _picked(shelves, shelf) if family == "shelf_scale" else _picked(own, number // 10 % 40)
    behaviour = _behaviour(draw(base, 0, 1))
    letter = FAMILIES[family].letter
    return Device(
        number=number,
        base=base,
        id=str(uuid.uuid5(_NAMESPACE, f"{seed}/{number}")),
        family=family,
        behaviour=behaviour,
        serial=f"{letter}{draw(base, 0, 2) % 90 + 10}-{number:06d}",
        firmware=f"{draw(base, 0, 3) % 3 + 2}.{draw(base, 0, 4) % 8}.{draw(base, 0, 5) % 5}",
        product=product,
        consumable_product=_picked(consumables, draw(base, 0, 6)) if FAMILIES[family].consumable else "",
        customer="" if warehouse else customer,
        unit="" if warehouse else unit,
        purchase_order="" if warehouse else shop.first_orders.get(customer, ""),
        warehouse=warehouse,
        site=warehouse or f"SITE-{number % len(shop.customers):04d}",
        activated_ms=_EPOCH_MS + int(share(draw(base, 0, 7)) * 600) * DAY_MS + draw(base, 0, 8) % DAY_MS,
        skew_ms=(7 * 60_000 if draw(base, 0, 9) & 1 else -3 * 3_600_000) if behaviour == "clock_skewed" else 0,
        constant_id=draw(base, 0, 10) % 100 == 0,
        orders=shop.orders if family == "tracker" else (),
    )


def _picked(codes: tuple[str, ...], number: int) -> str:
    return codes[number % len(codes)] if codes else ""


def _behaviour(bits: int) -> str:
    place = bits % 1000
    for name, part in BEHAVIOURS.items():
        if place < part:
            return name
        place -= part
    return "normal"
