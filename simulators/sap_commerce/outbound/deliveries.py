"""The webhook queue: consolidation window, deliveries, one retry, and its faults.

Source: fact sheet section 3.3. No order and no delivery is guaranteed, as in the real system. All waiting is on
the simulated clock. Standing fault actions: ``webhook_loss`` (not sent), ``webhook_double`` (sent twice, as two
cluster nodes do), ``webhook_reorder`` (sent after the next one).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from simulators.faults import Faults
from simulators.sap_commerce.errors import ODataError
from simulators.sap_commerce.outbound.payload import PayloadWriter
from simulators.sap_commerce.outbound.roots import item_of_type
from simulators.sap_commerce.outbound.transport import Message, Sender
from simulators.sap_commerce.outbound.webhooks import Webhook, Webhooks, cloud_event_headers, filtered
from simulators.sap_commerce.schema import IntegrationObject
from simulators.sap_commerce.store import Saved, Store

FAULTS = {"webhook_loss", "webhook_double", "webhook_reorder"}
_THREADS = 10
_CACHE_SIZE, _CACHE_S = 10_000, 120
_HOLD_S = 5.0
GroupKey = tuple[int, str, int]  # destination, integration object, root item


@dataclass(slots=True)
class Pending:
    """Events of one item that wait for the consolidation window to close."""

    due: float
    itemtype: str
    kinds: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request to be made at ``due``."""

    webhook: Webhook
    pk: int
    kind: str
    body: dict[str, Any]
    due: float
    attempt: int = 0
    held: bool = False

    @property
    def label(self) -> str:
        return f"{self.webhook.service}/{self.kind}/{self.body.get('integrationKey', '')}"


class Deliveries:
    """Watches a store and tells the webhooks' destinations what was saved."""

    def __init__(
        self, store: Store, *, webhooks: Webhooks, sender: Sender, settings: dict[str, Any], faults: Faults
    ) -> None:
        self._store, self._webhooks, self._sender = store, webhooks, sender
        self._settings, self._faults = settings, faults
        self._pending: OrderedDict[GroupKey, Pending] = OrderedDict()
        self._queue: list[Delivery] = []
        self._deleted: OrderedDict[tuple[int, str], tuple[float, dict[str, Any]]] = OrderedDict()
        self._slots = asyncio.Semaphore(_THREADS)
        self._tasks: set[asyncio.Task[int]] = set()
        self.counts = {"sent": 0, "failed": 0, "filtered": 0, "dropped": 0, "lost": 0}

    def clear(self) -> None:
        self._pending.clear()
        self._queue.clear()
        self._deleted.clear()
        self.counts.update(dict.fromkeys(self.counts, 0))

    @property
    def active(self) -> bool:
        return bool(self._settings["events_exporting"]) and bool(self._webhooks.all())

    @property
    def waiting(self) -> int:
        return len(self._pending) + len(self._queue)

    def deleting(self, pk: int, itemtype: str) -> None:
        """Keep the last state of an item that is about to go, for those who want to hear of it."""
        for webhook in self._webhooks.all():
            service = self._webhooks.service(webhook)
            if "deleted" not in webhook.kinds or service is None:
                continue
            if item_of_type(service, itemtype, store=self._store) is not service.root:
                continue
            body = self._rendered(service, pk, itemtype)
            if body is not None:
                self._deleted[(pk, webhook.service)] = (self._now(), body)
                while len(self._deleted) > _CACHE_SIZE:
                    self._deleted.popitem(last=False)

    def saved(self, changes: list[Saved]) -> None:
        """Take note of one committed transaction."""
        if not self.active:
            return
        seen: set[tuple[int, GroupKey, str]] = set()
        for change in changes:
            for webhook in self._webhooks.all():
                for root, kind in self._webhooks.touched(change, webhook):
                    key = (webhook.destination, webhook.service, root)
                    if kind == "deleted":
                        self._queue_deletion(webhook, change)
                    elif (webhook.pk, key, kind) not in seen:
                        seen.add((webhook.pk, key, kind))
                        self._note(key, kind)

    def _note(self, key: GroupKey, kind: str) -> None:
        window = float(self._settings["webhook_group_timeout_ms"]) / 1000
        due = self._now() + (window if self._settings["webhook_consolidation"] else 0.0)
        if key not in self._pending:
            if self._is_full():
                return
            self._pending[key] = Pending(due, self._store.itemtype(key[2]))
        self._pending[key].kinds.add(kind)

    def _queue_deletion(self, webhook: Webhook, change: Saved) -> None:
        if "deleted" in webhook.kinds and not self._is_full():
            self._queue.append(Delivery(webhook, change.pk, "deleted", {}, self._now()))

    def _is_full(self) -> bool:
        full = self.waiting >= int(self._settings["webhook_queue_size"])
        self.counts["dropped"] += full
        return full

    def _now(self) -> float:
        return self._store.clock.timestamp()

    def pump(self) -> bool:
        """Begin to send everything that is due; whether there was anything."""
        due = [*self._ripe(), *self._taken()]
        for one in due:
            task = asyncio.create_task(self._deliver(one))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(due)

    async def drain(self) -> int:
        """Send until nothing more is due, held back deliveries included; gives how many requests were made."""
        total = 0
        while self.pump() or self._tasks or self._release_held():
            total += sum(await asyncio.gather(*self._tasks))
        return total

    def _taken(self) -> list[Delivery]:
        now = self._now()
        due = [one for one in self._queue if one.due <= now]
        self._queue = [one for one in self._queue if one.due > now]
        return due

    def _ripe(self) -> list[Delivery]:
        """Close the windows that are over: one delivery per webhook that wants what happened."""
        now = self._now()
        found: list[Delivery] = []
        for key in [key for key, pending in self._pending.items() if pending.due <= now]:
            pending = self._pending.pop(key)
            kind = "created" if "created" in pending.kinds else "updated"
            for webhook in self._webhooks.all():
                if (webhook.destination, webhook.service) != key[:2] or kind not in webhook.kinds:
                    continue
                if not self._is_for_child(webhook, pending.itemtype):
                    found += self._delivery(webhook, key[2], kind, pending.itemtype)
        return found

    def _is_for_child(self, webhook: Webhook, itemtype: str) -> bool:
        return bool(self._settings["webhook_consolidation"]) and self._webhooks.has_child_type(webhook, itemtype)

    def _delivery(self, webhook: Webhook, pk: int, kind: str, itemtype: str) -> list[Delivery]:
        service = self._webhooks.service(webhook)
        body = self._rendered(service, pk, itemtype) if service and self._store.exists(pk) else None
        return [] if body is None else [Delivery(webhook, pk, kind, body, self._now())]

    def _rendered(self, service: IntegrationObject, pk: int, itemtype: str) -> dict[str, Any] | None:
        item = item_of_type(service, itemtype, store=self._store)
        if item is None:
            return None
        language, as_text = str(self._settings["platform_language"]), self._settings["outbound_long"] == "string"
        writer = PayloadWriter(
            self._store, service, language, long_as_text=as_text, null_key=str(self._settings["null_key_part"])
        )
        try:
            return writer.write(item, pk)
        except ODataError:  # a failing script of a virtual attribute: there is nothing to send
            return None

    async def _deliver(self, delivery: Delivery) -> int:
        ready = self._prepared(delivery)
        if ready is None:
            return 0
        if self._hit("webhook_loss", ready):
            self.counts["lost"] += 1
            return 0
        if not ready.held and self._hit("webhook_reorder", ready):
            self._queue.append(replace(ready, due=self._now() + _HOLD_S, held=True))
            return 0
        made = await self._request(ready)
        if self._hit("webhook_double", ready):
            made += await self._request(ready)
        self._release_held()
        return made

    def _hit(self, action: str, delivery: Delivery) -> bool:
        for rule in self._faults.active(action):
            pattern = (rule.spec.get("match") or {}).get("path") or ""
            if re.search(pattern, delivery.label) and rule.spend():
                return True
        return False

    def _release_held(self) -> bool:
        held = [one for one in self._queue if one.held]
        self._queue = [replace(one, due=0.0) if one.held else one for one in self._queue]
        return bool(held)

    def _prepared(self, delivery: Delivery) -> Delivery | None:
        """The delivery with the body to send; None when nothing may be sent."""
        if delivery.attempt:
            return delivery
        body: dict[str, Any] | None = delivery.body
        if delivery.kind == "deleted" and not body:
            kept, body = self._deleted.get((delivery.pk, delivery.webhook.service), (0.0, None))
            if body is None or kept + _CACHE_S < self._now():
                self.counts["lost"] += 1
                return None
        if not self._is_active(delivery.webhook):
            self.counts["dropped"] += 1
            return None
        pk = delivery.pk if delivery.kind != "deleted" else None
        found = None if body is None else filtered(body, delivery.webhook, store=self._store, pk=pk)
        if found is None:
            self.counts["filtered"] += 1
            return None
        return replace(delivery, body=found)

    def _is_active(self, webhook: Webhook) -> bool:
        if not self._store.exists(webhook.destination):
            return False
        respects = self._settings["webhook_respects_inactive"]
        return not respects or bool(self._store.value(webhook.destination, "active"))

    async def _request(self, delivery: Delivery) -> int:
        key = str(delivery.body.get("integrationKey", ""))
        moment = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        service = delivery.webhook.service
        headers = cloud_event_headers(
            service=service, kind=delivery.kind, subject=key, time=moment, settings=self._settings
        )
        body = json.dumps(delivery.body, ensure_ascii=False).encode()
        if not self._store.exists(delivery.webhook.destination):  # deleted while the request waited
            return 0
        async with self._slots:
            message = Message(service, key, body, "WEBHOOKSERVICES", headers=headers)
            answer = await self._sender.send(message, self._sender.destination(delivery.webhook.destination))
        succeeded = 200 <= answer.status < 300
        self.counts["sent" if succeeded else "failed"] += 1
        if 500 <= answer.status < 600 and delivery.attempt == 0:
            wait = float(self._settings["webhook_retry_s"])
            self._queue.append(replace(delivery, due=self._now() + wait, attempt=1, held=False))
        return 1
