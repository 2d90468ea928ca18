"""The storm's world: devices, customers and shelves, and a storm of events about them, the same for one seed.

Of ten devices six can fail, three count a shelf, one says other things. Failing devices repeat themselves: an instance
of a fault is raised and cleared many times over, so that a storm of messages has few results. A tenth of all events
comes twice, everything comes in any order, in ``BATCHES`` deliveries; some clocks are wrong, some messages are odd.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

BATCHES = 5
AGAIN = 0.10
HOME = "storm"
SPACE = uuid.UUID("5b0f4f0e-2f5e-4d1c-9a63-6d0a3d1c7e55")
COLUMNS = ("event_id", "type", "subject", "occurred_at", "data")
ABSOLUTE, DELTA = "WH-EU-1", "WH-US-2"
CODES = ("E17", "E17", "E17", "E33", "E09", "E12", "E04", "E40", "E99")
OTHER = ("usage.summary", "consumable.level", "logistics.status", "device.activated", "unmapped")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Device:
    """What the platform knows of one device."""

    id: str
    product: str | None = None
    customer: str | None = None
    firmware: str | None = None
    warehouse: str | None = None


@dataclass(frozen=True, slots=True)
class World:
    """All that stands still while the storm passes. orders: (code, customer number, product, days before now)."""

    devices: list[Device]
    customers: int
    unwilling: set[int]
    shelves: list[str]
    orders: list[tuple[str, int, str, float]]
    now: datetime
    parts: dict[str, tuple[str, int]] = field(
        default_factory=lambda: {
            "filter": ("approved", 9000), "belt": ("unapproved", 50), "belt-2": ("approved", 9000),
            "bag": ("approved", 0), "hose": ("approved", 9000), "pump": ("approved", 9000),
            "c200": ("approved", 9000), "c300": ("approved", 9000),
        }
    )  # fmt: skip
    """Product -> approval and stock."""
    references: tuple[tuple[str, str, str, int | None], ...] = (
        ("c200", "filter", "CONSUMABLE", 2), ("c200", "belt", "SPAREPART", None), ("belt", "belt-2", "FOLLOWUP", None),
        ("c300", "bag", "CONSUMABLE", None), ("c300", "hose", "SPAREPART", 3), ("c200", "c300", "UPSELLING", None),
    )  # fmt: skip
    """Product, part, kind, pieces."""


def uid(number: int) -> str:
    return f"c{number}@people.example"


def customer_id(number: int) -> str:
    return f"C{number:06d}"


def build(*, devices: int, seed: int, now: datetime) -> World:
    """The world of a storm; one fifth of the customers does not want marketing."""
    draw = random.Random(seed)
    customers = max(1, devices // 2)
    made = [_device(draw, number, customers) for number in range(devices)]
    failing = [item for item in made if item.customer and item.warehouse is None]
    orders = [
        (f"SO{number}", int(str(one.customer)[1:]), draw.choice(("filter", "belt-2", "hose")), draw.uniform(0.05, 6))
        for number, one in enumerate(draw.sample(failing, len(failing) // 10))
    ]
    unwilling = {number for number in range(customers) if draw.random() < 0.2}
    return World(made, customers, unwilling, [item.product or "" for item in made if item.warehouse], orders, now)


def _device(draw: random.Random, number: int, customers: int) -> Device:
    name, kind = str(uuid.uuid5(SPACE, f"device {number}")), number % 10
    if kind < 6:
        known = draw.random() < 0.97
        owner = customer_id(draw.randrange(customers)) if known else None
        return Device(name, draw.choice(("c200", "c200", "c300")), owner, draw.choice((None, "1.9.4", "2.10.0")))
    if kind < 9:
        return Device(name, f"s{number:06d}", warehouse=DELTA if kind == 8 else ABSOLUTE)
    return Device(name)


# Events


@dataclass
class Storm:
    """Draws the messages of a world's devices, ``events`` in all."""

    world: World
    events: int
    seed: int

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed + 1)
        self.number = 0

    def deliveries(self) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of ``COLUMNS``, a list per delivery: shuffled, a tenth of them for the second time."""
        first = int(self.events * (1 - AGAIN))
        found = list(self._all(first))
        found += self.draw.choices(found, k=self.events - len(found))
        self.draw.shuffle(found)
        size = -(-len(found) // BATCHES)
        for start in range(0, len(found), size):
            yield found[start : start + size]

    def _all(self, events: int) -> Iterator[tuple[Any, ...]]:
        """As many different events as asked for: every device speaks, then those at random that speak most."""
        makers = [self._maker(device) for device in self.world.devices]
        made = 0
        while made < events:
            for maker in makers:
                for event in maker():
                    yield event
                    made += 1
                    if made == events:
                        return

    def _maker(self, device: Device) -> Callable[[], Iterator[tuple[Any, ...]]]:
        if device.warehouse:
            return partial(
                self._shelf, device, _Shelf(self.draw.randrange(40, 200), falls_silent=self.draw.random() < 0.125)
            )
        return partial(self._failing, device, _Faults()) if device.product else partial(self._other, device)

    def _event(self, kind: str, subject: str, at: datetime, data: Row) -> tuple[Any, ...]:
        self.number += 1
        return f"e-{self.number}", kind, subject, at, json.dumps(data)

    def _failing(self, device: Device, faults: _Faults) -> Iterator[tuple[Any, ...]]:
        """A dozen messages about one instance of a fault, or a few readings of health."""
        if self.draw.random() < 0.15:
            for _ in range(self.draw.randrange(1, 5)):
                score = self.draw.choice((35, 55, 65, 72, 90, 250))
                yield self._event("device.health", device.id, self._moment(), {"healthScore": score, "status": "ok"})
            return
        one = faults.next(self)
        subject = "ghost" if self.draw.random() < 0.002 else device.id
        for _ in range(self.draw.randrange(6, 18)):
            late = self.draw.choice((0, 0, 1, 20, 300))
            yield self._fault(subject, one, one.raised_at + timedelta(seconds=late * self.draw.random()), "raised")
        for _ in range(6 if one.ends else 0):
            at = one.raised_at + timedelta(minutes=one.minutes, seconds=self.draw.randrange(30))
            yield self._fault(subject, one, at, "cleared")

    def _fault(self, subject: str, one: _Instance, at: datetime, state: str) -> tuple[Any, ...]:
        if one.raised_at <= self.world.now:
            at = min(at, self.world.now)
        data = {"faultCode": one.code, "severity": self.draw.choice(("low", "medium", "high", "critical")),
                "component": "any", "faultState": state, "faultInstanceId": one.name}  # fmt: skip
        return self._event("device.fault", subject, at, data)

    def _moment(self) -> datetime:
        """Some time of the last three days; a clock in five hundred is ten hours ahead."""
        if self.draw.random() < 0.002:
            return self.world.now + timedelta(hours=10)
        return self.world.now - timedelta(minutes=self.draw.randrange(2, 3 * 24 * 60), seconds=self.draw.randrange(60))

    def _shelf(self, device: Device, shelf: _Shelf) -> Iterator[tuple[Any, ...]]:
        """Some messages of a shelf: counts with their sequence, movements, said twice now and then."""
        for _ in range(6):
            shelf.at += timedelta(seconds=self.draw.randrange(30, 400))
            first = self.world.now - (timedelta(days=4) if shelf.falls_silent else timedelta(hours=20))
            at = min(first + shelf.at, self.world.now)
            if device.warehouse == DELTA and shelf.sequence and self.draw.random() < 0.8:
                yield from self._movement(device, shelf, at)
            else:
                yield self._count(device, shelf, at)

    def _movement(self, device: Device, shelf: _Shelf, at: datetime) -> Iterator[tuple[Any, ...]]:
        shelf.movements += 1
        delta = max(-shelf.level, self.draw.randrange(-4, 5))
        shelf.level += delta
        data = {"warehouseCode": device.warehouse, "productCode": device.product, "deltaQty": delta,
                "movementId": f"m-{shelf.movements}", "reason": "pick"}  # fmt: skip
        for _ in range(2 if self.draw.random() < 0.2 else 1):
            yield self._event("inventory.movement", device.id, at, data)

    def _count(self, device: Device, shelf: _Shelf, at: datetime) -> tuple[Any, ...]:
        shelf.sequence += 1
        if device.warehouse == ABSOLUTE:
            shelf.level = max(0, shelf.level + self.draw.randrange(-6, 7))
        odd = self.draw.random()
        quantity = shelf.level + 5000 if odd < 0.02 else -3 if odd < 0.03 else shelf.level
        data = {"warehouseCode": device.warehouse, "productCode": device.product, "onHandQty": quantity,
                "unit": "crates" if 0.03 <= odd < 0.04 else "pieces", "countMethod": "rfid",
                "confidence": 0.4 if 0.04 <= odd < 0.08 else 0.97, "sequence": shelf.sequence}  # fmt: skip
        return self._event("inventory.count", device.id, at, data)

    def _other(self, device: Device) -> Iterator[tuple[Any, ...]]:
        for _ in range(4):
            yield self._event(
                self.draw.choice(OTHER), device.id, self._moment(), {"windowStart": "2026-01-01", "any": 1}
            )


@dataclass(slots=True)
class _Instance:
    name: str | None
    code: str
    raised_at: datetime
    ends: bool
    minutes: float


@dataclass(slots=True)
class _Faults:
    """What one device says of its faults: few instances, about which more and more is said."""

    known: list[_Instance] = field(default_factory=list)

    def next(self, storm: Storm) -> _Instance:
        draw = storm.draw
        if not self.known or (len(self.known) < 3 and draw.random() < 0.3):
            name = None if draw.random() < 0.25 else f"f-{len(self.known)}"
            self.known.append(_Instance(name, draw.choice(CODES), storm._moment(), draw.random() > 0.25,
                                        draw.choice((0.5, 3, 8, 45, 300))))  # fmt: skip
        return draw.choice(self.known)


@dataclass(slots=True)
class _Shelf:
    """What a shelf holds, and has said; one in eight fell silent days ago."""

    level: int
    falls_silent: bool
    sequence: int = 0
    movements: int = 0
    at: timedelta = timedelta(0)


# On disk


def generate(*, folder: str, events: int, devices: int, seed: int = 7) -> dict[str, int]:
    """Write the world and its deliveries below ``folder``; gives their sizes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    world = build(devices=devices, seed=seed, now=datetime.now(UTC).replace(microsecond=0))
    (home / "world.json").write_text(json.dumps({"devices": devices, "seed": seed, "now": world.now.isoformat()}))
    kinds = pa.schema(
        [(name, pa.timestamp("us", tz="UTC") if name == "occurred_at" else pa.string()) for name in COLUMNS]
    )
    rows = 0
    for number, delivery in enumerate(Storm(world, events, seed).deliveries()):
        columns = [pa.array(values, item.type) for values, item in zip(zip(*delivery, strict=True), kinds, strict=True)]
        pq.write_table(pa.table(columns, schema=kinds), delivery_of(folder, number), row_group_size=20_000)
        rows += len(delivery)
    return {"rows": rows}


def delivery_of(folder: str, number: int) -> Path:
    return Path(folder) / f"delivery-{number}.parquet"


def read(folder: str) -> World:
    """The world as ``generate`` made it."""
    told = json.loads((Path(folder) / "world.json").read_text())
    return build(devices=told["devices"], seed=told["seed"], now=datetime.fromisoformat(told["now"]))
