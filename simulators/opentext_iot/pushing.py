"""Posts new events to subscribers: signed, at least once. Source: fact sheet 11 (assumed).

A refused or failed delivery is tried again with the same deliveryId. The faults lose_pushes, duplicate_pushes and
reorder_pushes disturb it.
"""

from __future__ import annotations

import asyncio
import hashlib
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
    """Watches for events that became visible and delivers them."""

    platform: Platform
    queue: list[Delivery] = field(default_factory=list)
    seen_ms: int = 0

    def reset(self) -> None:
        self.queue.clear()
        self.seen_ms = 0

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
        now = self.platform.now_ms() - 1  # this millisecond may still bring events
        subscribers = self.platform.documents.select("subscription")
        if subscribers:
            self.seen_ms = self.seen_ms or min(one.created_ms for one in subscribers) - 1
            await self.platform.fleet.catch_up()
            self._enqueue(subscribers, until_ms=now)
        self.seen_ms = now
        for one in list(self.queue):
            if one.due_s <= self.platform.clock.timestamp():
                await self._deliver(session, one)

    def _enqueue(self, subscribers: list[Document], *, until_ms: int) -> None:
        sql = "visible_ms > ? AND visible_ms <= ? ORDER BY visible_ms, seq"
        found = self.platform.events.select(sql, (self.seen_ms, until_ms))
        names = template_names(self.platform)
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
