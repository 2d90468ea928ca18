"""Delivers events to webhooks: at least once, in no promised order, with a few retries.

Standing faults: webhook_loss (nothing is sent), webhook_double (sent twice), webhook_reorder (held back until the
next event of that hook has been sent), webhook_delay (``delay_ms``). Source: fact sheet section 13; retries,
timeout and the count after which a hook turns FAILING are not documented, hence switches.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from simulators.faults import Faults
from simulators.iconik.call import Event
from simulators.iconik.event_query import matches
from simulators.iconik.site import SYSTEM_DOMAIN
from simulators.iconik.store import Row, Store

STANDING = {"webhook_loss", "webhook_double", "webhook_reorder", "webhook_delay"}


class Dispatcher:
    """Matches events with hooks and posts them in the background."""

    def __init__(self, store: Store, *, faults: Faults, settings: Row) -> None:
        self.store, self.faults, self.settings = store, faults, settings
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[tuple[str, Row]] = []
        self._session: aiohttp.ClientSession | None = None

    def reset(self) -> None:
        """Forget what is under way."""
        for task in self._tasks:
            task.cancel()
        self._held.clear()

    async def close(self) -> None:
        self.reset()
        if self._session is not None:
            await self._session.close()

    def send(self, events: list[Event]) -> None:
        """Hand events to every enabled hook that wants them; returns at once."""
        if not events:
            return
        hooks = [row for row in self.store.find("webhooks") if row["status"] == "ENABLED"]
        for event in events:
            body = envelope(event)
            for hook in hooks:
                if _wants(hook, body):
                    self._hand_over(hook["id"], body)

    def _hand_over(self, hook_id: str, body: Row) -> None:
        if self._hit("webhook_loss", hook_id, body):
            self._note(hook_id, body, outcome="lost")
            return
        if self._hit("webhook_reorder", hook_id, body):
            self._held.append((hook_id, body))
            return
        times = 2 if self._hit("webhook_double", hook_id, body) else 1
        late = [one for held, one in self._held if held == hook_id]
        self._held = [(held, one) for held, one in self._held if held != hook_id]
        delay = self._hit("webhook_delay", hook_id, body)
        wait_s = float(delay.spec.get("delay_ms", 1000)) / 1000 if delay else 0.0
        task = asyncio.get_running_loop().create_task(self._post_all(hook_id, [body] * times + late, wait_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hit(self, action: str, hook_id: str, body: Row) -> Any:
        for rule in self.faults.active(action):
            spec = rule.spec
            named = spec.get("webhook_id") in (None, hook_id)
            if named and all(spec.get(key) in (None, body[key]) for key in ("realm", "operation")) and rule.spend():
                return rule
        return None

    async def _post_all(self, hook_id: str, bodies: list[Row], wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        for body in bodies:
            await self._post(hook_id, body)

    async def _post(self, hook_id: str, body: Row) -> None:
        """Post one event until it is taken or the retries are used up."""
        fault = "not sent"
        for attempt in range(int(self.settings["webhook_retries"]) + 1):
            if attempt:
                await asyncio.sleep(float(self.settings["webhook_retry_s"]))
            hook = self.store.get("webhooks", hook_id)
            if hook is None or hook["status"] != "ENABLED":
                return
            fault = await self._try(hook, body)
            if not fault:
                self._succeeded(hook_id)
                self._note(hook_id, body, outcome="delivered")
                return
        self._note(hook_id, body, outcome="failed", error=fault)
        self._failed(hook_id, body, fault)

    async def _try(self, hook: Row, body: Row) -> str:
        """Empty when the receiver took it, else what went wrong."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {str(key): str(value) for key, value in (hook.get("headers") or {}).items()}
        limit = aiohttp.ClientTimeout(total=float(self.settings["webhook_timeout_s"]))
        try:
            async with self._session.post(hook["url"], json=body, headers=headers, timeout=limit) as answer:
                return "" if answer.status < 300 else f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    def _succeeded(self, hook_id: str) -> None:
        hook = self.store.get("webhooks", hook_id)
        if hook is not None and hook.get("_failures"):
            self.store.put("webhooks", hook_id, hook | {"_failures": 0, "first_failed_at": None})

    def _failed(self, hook_id: str, body: Row, fault: str) -> None:
        hook = self.store.get("webhooks", hook_id)
        if hook is None:
            return
        hook["_failures"] = hook.get("_failures", 0) + 1
        hook["first_failed_at"] = hook.get("first_failed_at") or self.store.now()
        hook |= {"last_error": fault, "last_payload": json.dumps(body)}
        if hook["_failures"] >= int(self.settings["webhook_failing_after"]) and hook["status"] == "ENABLED":
            hook["status"] = "FAILING"
        self.store.put("webhooks", hook_id, hook)

    def call_action(self, action_id: str, body: Row) -> None:
        """Call a custom action's address once, in the background."""
        task = asyncio.get_running_loop().create_task(self._act(action_id, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, action_id: str, body: Row) -> None:
        action = self.store.get("custom_actions", action_id)
        if action is None:
            return
        fault = await self._try(action, body)
        status = {"status": "FAILING" if fault else "HEALTHY", "last_error": fault or None}
        when = {"last_error_date": self.store.now() if fault else None}
        if current := self.store.get("custom_actions", action_id):
            self.store.put("custom_actions", action_id, current | status | when)
        self._note(action_id, body, outcome="failed" if fault else "delivered", error=fault or None)

    def _note(self, hook_id: str, body: Row, *, outcome: str, error: str | None = None) -> None:
        key = self.store.new_id()
        row = {"id": key, "webhook_id": hook_id, "outcome": outcome, "error": error, "body": body}
        self.store.put("deliveries", key, row | {"date_created": self.store.now()}, owner=hook_id)


def envelope(event: Event) -> Row:
    """The body as recorded: eight keys, no event id, no time."""
    return {
        "system_domain_id": SYSTEM_DOMAIN,
        "event_type": event.event_type,
        "object_id": event.object_id,
        "user_id": event.user_id,
        "realm": event.realm.lower(),
        "operation": event.operation.lower(),
        "data": event.data,
        "request_id": event.request_id,
    }


def _wants(hook: Row, body: Row) -> bool:
    for name in ("event_type", "realm", "operation"):
        asked = hook.get(name)
        if asked and str(asked).lower() != body[name]:
            return False
    if hook.get("object_id") and hook["object_id"] not in (body["object_id"], body["data"].get("object_id")):
        return False
    try:
        return not hook.get("query") or matches(hook["query"], body)
    except ValueError:
        return False
