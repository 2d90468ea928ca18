"""Posts new events to subscribers: signed, at least once. Source: fact sheet 11 (assumed).

A refused or failed delivery is tried again with the same deliveryId. The faults lose_pushes, duplicate_pushes and
reorder_pushes disturb it.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import hmac
import logging
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.events import StoredEvent
from simulators.opentext_iot.generic_events import event_body, template_names
from simulators.opentext_iot.platform import Platform

log = logging.getLogger(__name__)
TICK_S = 0.1
TIMEOUT = aiohttp.ClientTimeout(total=5)
LARGEST_DELIVERY = 500
MOST_ATTEMPTS = 10


@dataclass(slots=True)
class Delivery:
    """One body on its way to one subscriber; ``due_s`` is on the simulated clock."""

    url: str
    secret: str
    body: bytes
    due_s: float = 0.0
    attempts: int = 0


@dataclass(slots=True)
class Pusher:
    """Watches for events that became visible and delivers them.

    ``seen`` is the number of the newest stored event looked at, ``coming`` a heap of (visible_ms, number) of those not
    visible yet. Numbers, not times: an event may be stored a moment after the time it bears.
    """

    platform: Platform
    queue: list[Delivery] = field(default_factory=list)
    coming: list[tuple[int, int]] = field(default_factory=list)
    seen: int = 0

    def reset(self) -> None:
        self.queue.clear()
        self.coming.clear()
        self.seen = 0

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """The life of the background task, for ``app.cleanup_ctx``."""
        task = asyncio.create_task(self._watch())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            while True:
                await asyncio.sleep(TICK_S)
                try:
                    await self._tick(session)
                except Exception:
                    log.exception("a turn of the subscriptions failed")  # the next turn tries again

    async def _tick(self, session: aiohttp.ClientSession) -> None:
        subscribers = self.platform.documents.select("subscription")
        if subscribers:
            await self.platform.fleet.catch_up()
            self._look(since_ms=min(one.created_ms for one in subscribers))
            self._enqueue(subscribers, self._visible())
        else:
            self.coming.clear()
            self.seen = self.platform.events.newest()
        for one in list(self.queue):
            if one.due_s <= self.platform.clock.timestamp():
                await self._deliver(session, one)

    def _look(self, *, since_ms: int) -> None:
        until = self.platform.events.newest()
        for found in self.platform.events.appearing(self.seen, until, since_ms=since_ms):
            heapq.heappush(self.coming, found)
        self.seen = until

    def _visible(self) -> list[StoredEvent]:
        """Events that are visible by now, in order, each given once."""
        now, numbers = self.platform.now_ms(), []
        while self.coming and self.coming[0][0] <= now:
            numbers.append(heapq.heappop(self.coming)[1])
        found = [self.platform.events.select("seq = ?", (number,)) for number in numbers]
        return [one for some in found for one in some]

    def _enqueue(self, subscribers: list[Document], found: list[StoredEvent]) -> None:
        names = template_names(self.platform) if found else {}
        shown = [(one.created_ms, event_body(one, names)) for one in found]
        for one in subscribers:
            types = one.body["eventTypes"]
            new = [event for created_ms, event in shown if created_ms >= one.created_ms]
            wanted = [event for event in new if not types or event["eventType"] in types]
            for start in range(0, len(wanted), LARGEST_DELIVERY):
                self._add(one, wanted[start : start + LARGEST_DELIVERY])

    def _add(self, subscriber: Document, events: list[Body]) -> None:
        if any(rule.spend() for rule in self.platform.faults.active("lose_pushes")):
            return
        body: dict[str, Any] = {"deliveryId": str(uuid.uuid4()), "subscriptionId": subscriber.id}
        for rule in self.platform.faults.active("reorder_pushes"):
            if rule.spend():
                random.Random(int(rule.spec.get("seed", 1))).shuffle(events)
        body["events"] = events
        times = 1 + sum(rule.spend() for rule in self.platform.faults.active("duplicate_pushes"))
        for _ in range(times):
            url, secret = subscriber.body["url"], subscriber.body["secret"]
            self.queue.append(Delivery(url, secret, msgspec.json.encode(body)))

    async def _deliver(self, session: aiohttp.ClientSession, one: Delivery) -> None:
        stamp = str(int(self.platform.clock.timestamp()))
        headers = {"Content-Type": "application/json", "X-OTIoT-Timestamp": stamp}
        headers["X-OTIoT-Signature"] = signature(one.secret, stamp=stamp, body=one.body)
        one.attempts += 1
        try:
            async with session.post(one.url, data=one.body, headers=headers, allow_redirects=False) as answer:
                done = 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, ValueError):
            done = False
        if (done or one.attempts >= MOST_ATTEMPTS) and one in self.queue:
            self.queue.remove(one)
        one.due_s = self.platform.clock.timestamp() + float(self.platform.settings["subscription_retry_s"])


def signature(secret: str, *, stamp: str, body: bytes) -> str:
    """The header X-OTIoT-Signature: HMAC-SHA256 of "{timestamp}.{body}" in hex."""
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"
