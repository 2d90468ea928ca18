"""What happens by the simulated clock: triggers, webhook windows and retries, cleanup at midnight."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from simulators.sap_commerce.outbound.deliveries import Deliveries
from simulators.sap_commerce.outbound.monitor import clean_up
from simulators.sap_commerce.outbound.quartz import parse_cron
from simulators.sap_commerce.outbound.sync import OutboundSync
from simulators.sap_commerce.outbound.transport import Sender
from simulators.sap_commerce.store import Store

_BEAT_S = 0.05
_SLOW_BEATS = 10


class Clockwork:
    """One background task per process; ``tick`` does by hand what the task does by itself."""

    def __init__(
        self, store: Store, *, sync: OutboundSync, deliveries: Deliveries, sender: Sender, settings: dict[str, Any]
    ) -> None:
        self._store, self.sync, self.deliveries, self._sender = store, sync, deliveries, sender
        self._settings = settings
        self._day = ""

    def clear(self) -> None:
        """A reset: nothing is pending any more."""
        self.deliveries.clear()
        self._sender.forget()
        self._day = ""

    async def context(self, _app: web.Application) -> AsyncIterator[None]:
        """The application's life: the task runs in between."""
        task = asyncio.create_task(self._run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self._sender.close()

    async def _run(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(_BEAT_S)
            beats += 1
            if self.deliveries.waiting:
                self.deliveries.pump()
            if beats % _SLOW_BEATS == 0 and self._settings["clockwork"]:
                with contextlib.suppress(LookupError, ValueError, sqlite3.Error):  # items deleted meanwhile
                    await self.run_due()

    async def tick(self) -> dict[str, Any]:
        """Everything that is due now; gives what was run and sent."""
        runs = await self.run_due()
        made = await self.deliveries.drain()
        return {"runs": runs, "webhook_requests": made, "webhooks": dict(self.deliveries.counts)}

    async def run_due(self) -> dict[str, Any]:
        """Cron jobs whose trigger is due, once each however often it should have fired; cleanup after midnight."""
        self._clean_after_midnight()
        now_ms = self._store.now_ms()
        sql = (
            'SELECT t.pk, t.cronJob FROM "Trigger" t JOIN OutboundSyncCronJob c ON c.pk = t.cronJob'
            " WHERE t.active = 1 AND c.active = 1 AND t.activationTime <= ?"
        )
        runs = {}
        for trigger, cron_job in self._store.db.execute(sql, (now_ms,)).fetchall():
            schedule(self._store, trigger)
            runs[self._store.value(cron_job, "code")] = await self.sync.run(cron_job)
        return runs

    def _clean_after_midnight(self) -> None:
        day = datetime.fromtimestamp(self._store.clock.timestamp(), UTC).date().isoformat()
        if self._day and day > self._day:
            clean_up(self._store, settings=self._settings)
        self._day = day


def schedule(store: Store, trigger: int) -> None:
    """Set when a trigger fires next; ValueError when its expression cannot be read."""
    expression = parse_cron(store.value(trigger, "cronExpression") or "")
    moment = expression.next_after(datetime.fromtimestamp(store.clock.timestamp(), UTC))
    next_ms = int(moment.timestamp() * 1000) if moment else None
    if store.value(trigger, "activationTime") != next_ms:
        store.update(trigger, {"activationTime": next_ms})
