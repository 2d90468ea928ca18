"""The fleet of a running simulator: its devices in the registry, its events as the simulated clock moves.

Events are stored some time ahead of the clock and searches hide them until their moment, so most requests have
nothing to make.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from simulators.clock import Clock
from simulators.opentext_iot import catalogue
from simulators.opentext_iot.database import Database
from simulators.opentext_iot.documents import Documents
from simulators.opentext_iot.events import EventRow, Events
from simulators.opentext_iot.fleet import EVENT_TYPES, Device, fleet
from simulators.opentext_iot.fleet.delivery import block
from simulators.opentext_iot.fleet.draws import DAY_MS, HOUR_MS
from simulators.opentext_iot.fleet.shop import demo_shop

AHEAD_MS = HOUR_MS
STEP_MS = 6 * HOUR_MS
FACT = "fleet"
LEGAL = ("seed", "devices", "history_days", "scale")
MOST_DEVICES = 100_000


class RunningFleet:
    """None or one fleet; what it is and how far it got are facts of the database."""

    def __init__(self, database: Database, documents: Documents, events: Events, clock: Clock) -> None:
        self.database, self.documents, self.events, self.clock = database, documents, events, clock
        self._members: list[Device] = []
        self._facts: dict[str, Any] = {}
        self._lock = asyncio.Lock()

    def forget(self) -> None:
        self._members, self._facts = [], {}

    def resume(self) -> None:
        """Go on with the fleet a state folder holds."""
        self.forget()
        facts = self.database.fact(FACT)
        if facts:
            self._facts = facts
            self._members = fleet(facts["seed"], facts["devices"], shop=demo_shop(facts["scale"]))

    def start(self, wanted: dict[str, Any]) -> int:
        """Install a fleet; ``catch_up`` makes its history. Gives the number of devices.

        wanted: seed (1), devices (100), history_days (1), scale (slice) of the shop its codes come from.
        """
        if unknown := set(wanted) - set(LEGAL):
            raise ValueError(f"fleet keys {sorted(unknown)} are unknown; legal: {', '.join(LEGAL)}")
        if self._facts:
            raise ValueError("there is a fleet already; reset first")
        count, days = int(wanted.get("devices", 100)), float(wanted.get("history_days", 1))
        if not 0 < count <= MOST_DEVICES:
            raise ValueError(f"devices is {count}; legal: 1 to {MOST_DEVICES}")
        now = self.documents.now_ms()
        facts: dict[str, Any] = {
            "seed": int(wanted.get("seed", 1)),
            "devices": count,
            "scale": str(wanted.get("scale", "slice")),
        }
        self._members = fleet(facts["seed"], count, shop=demo_shop(facts["scale"]))
        self._facts = facts | {"horizon_ms": now - int(days * DAY_MS)}
        self._install(now)
        return count

    def _install(self, now: int) -> None:
        made = min(one.activated_ms for one in self._members) - DAY_MS
        self.documents.put(catalogue.parts(min(made, now)))
        self.documents.put(catalogue.device_document(one, indexed_ms=now) for one in self._members)
        rows = [(catalogue.STREAM_ID, one.id) for one in self._members]
        self.database.db.executemany("INSERT OR IGNORE INTO attached VALUES (?, ?)", rows)

    async def catch_up(self) -> None:
        """Make events up to a while ahead of the clock; other requests are served in between."""
        if not self._facts or self.documents.now_ms() <= self._facts["horizon_ms"]:
            return
        async with self._lock:
            for _ in self._steps():
                await asyncio.sleep(0)

    def _steps(self) -> Iterator[None]:
        until = self.documents.now_ms() + AHEAD_MS
        while self._facts and self._facts["horizon_ms"] < until:
            start = self._facts["horizon_ms"]
            end = min(start + STEP_MS, until) if until - start < 2 * DAY_MS else start + DAY_MS
            self._make(start, end)
            self._facts["horizon_ms"] = end
            self.database.remember(FACT, self._facts)
            yield

    def _make(self, start: int, end: int) -> None:
        number = self.database.number
        templates = {name: number(catalogue.key("eventTemplate", name)) for name in EVENT_TYPES}
        stream = number(catalogue.STREAM_ID)
        found = block(self._members, start, end)
        devices = {one.id: number(one.id) for one in self._members} if found else {}
        self.events.add(
            EventRow(one.created_ms, one.visible_ms, devices[one.device_id], templates[one.event_type], stream,
                     one.message_id, one.payload)
            for one in found
        )  # fmt: skip
